//! The conditions as they stand, and who is told of their events.
//!
//! The library gives an item for events a queue of one where the client does not say how long it is to be, and drops
//! what does not fit. So events wait here, per item and bounded, and go on as the item has room.

use crate::event::{PlantEvent, Remark, Snapshot};
use crate::limits::{EVENT_ITEMS_MAX, EVENTS_WAITING_MAX, REFRESHES_PER_SECOND_MAX, SESSIONS_SEEN_MAX};
use crate::{Config, Plant};
use opcua::nodes::TypeTree;
use opcua::server::{MonitoredItemHandle, SubscriptionCache};
use opcua::types::{NodeId, ObjectId, StatusCode};
use penstock_model::{AlarmDef, AlarmEvent, AlarmId, AlarmState, AlarmView, TagTable};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An item that watches events.
struct EventItem {
    handle: MonitoredItemHandle,
    session: u32,
    /// The node whose events it watches; `None` is the server: all of them.
    area: Option<NodeId>,
    token: String,
    waiting: VecDeque<Arc<PlantEvent>>,
}

/// All conditions, and the items that watch them.
#[derive(Default)]
pub(crate) struct Alarms {
    conditions: Vec<Snapshot>,
    items: Vec<EventItem>,
    /// Sessions seen, the latest last: a subscription may have been moved to another one.
    sessions: VecDeque<u32>,
    refreshes: HashMap<u32, (Instant, u32)>,
    lost: u64,
    drawn: u64,
    seed: u64,
}

impl Alarms {
    /// The conditions as the alarms stand now.
    pub(crate) fn new(plant: &dyn Plant, seed: u64) -> Alarms {
        let mut alarms = Alarms { seed, ..Alarms::default() };
        let views = plant.alarms();
        for view in views {
            let snapshot = alarms.taken(plant, &view);
            alarms.conditions.push(snapshot);
        }
        alarms
    }

    fn taken(&mut self, plant: &dyn Plant, view: &AlarmView) -> Snapshot {
        let at = [view.raised, view.returned, view.acknowledged.as_ref().map(|(at, _)| *at)];
        let quality = plant.alarm_defs().get(view.id.0 as usize).map(|d| plant.read(d.tag).quality);
        Snapshot {
            event_id: self.event_id(),
            state: view.state,
            at: at.into_iter().flatten().max().unwrap_or_default(),
            raised: view.raised,
            returned: view.returned,
            acknowledged: view.acknowledged.clone(),
            value: view.value.clone(),
            quality: quality.unwrap_or(penstock_model::Quality::Good),
            remark: None,
            by: None,
        }
    }

    /// An id that no other event has: of this run, and of runs before.
    fn event_id(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        id[8..].copy_from_slice(&self.drawn.to_be_bytes());
        id
    }

    /// Events that were lost for items that did not take them.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Notes that a session was heard.
    pub(crate) fn heard(&mut self, session: u32) {
        if self.sessions.back() == Some(&session) {
            return;
        }
        self.sessions.retain(|s| *s != session);
        self.sessions.push_back(session);
        if self.sessions.len() > SESSIONS_SEEN_MAX {
            self.sessions.pop_front();
        }
    }

    /// Takes up an item; false where there are too many.
    pub(crate) fn watch(&mut self, handle: MonitoredItemHandle, session: u32, token: &str, node: &NodeId) -> bool {
        if self.items.len() >= EVENT_ITEMS_MAX {
            return false;
        }
        let area = (node != &NodeId::from(ObjectId::Server)).then(|| node.clone());
        self.heard(session);
        self.items.push(EventItem { handle, session, area, token: token.to_owned(), waiting: VecDeque::new() });
        true
    }

    pub(crate) fn forget(&mut self, handle: MonitoredItemHandle) {
        self.items.retain(|item| item.handle != handle);
    }

    /// Items of users that are gone get no more events.
    pub(crate) fn revoke(&mut self, is_known: &dyn Fn(&str) -> bool) {
        self.items.retain(|item| is_known(&item.token));
    }

    /// An alarm changed: its condition, and an event for everybody who watches.
    pub(crate) fn changed(&mut self, about: &About<'_>, event: &AlarmEvent) {
        let event_id = self.event_id();
        let Some(condition) = self.conditions.get_mut(event.id.0 as usize) else { return };
        condition.event_id = event_id;
        condition.state = event.state;
        condition.at = event.at;
        condition.value.clone_from(&event.value);
        condition.by.clone_from(&event.by);
        match (event.state, &event.by) {
            (_, Some(by)) => condition.acknowledged = Some((event.at, by.clone())),
            (AlarmState::ActiveUnacknowledged, None) => {
                condition.raised = Some(event.at);
                condition.remark = None;
            }
            (_, None) => condition.returned = Some(event.at),
        }
        if let Some(def) = about.defs.get(event.id.0 as usize) {
            condition.quality = about.plant.read(def.tag).quality;
        }
        self.tell(about, event.id);
    }

    /// Conditions whose change was missed because too many came at once.
    pub(crate) fn settle(&mut self, about: &About<'_>) {
        for view in about.plant.alarms() {
            let differs = self.conditions.get(view.id.0 as usize).is_some_and(|c| c.state != view.state);
            if differs {
                let mut snapshot = self.taken(about.plant, &view);
                let condition = &mut self.conditions[view.id.0 as usize];
                snapshot.remark.clone_from(&condition.remark);
                *condition = snapshot;
                self.tell(about, view.id);
            }
        }
    }

    /// A person said something to an alarm, and everybody who watches is told.
    pub(crate) fn remark(&mut self, about: &About<'_>, alarm: AlarmId, remark: Remark) {
        let event_id = self.event_id();
        let Some(condition) = self.conditions.get_mut(alarm.0 as usize) else { return };
        condition.event_id = event_id;
        condition.at = remark.at;
        condition.by = Some(remark.by.clone());
        condition.remark = Some(remark);
        self.tell(about, alarm);
    }

    /// Puts another remark in the place of the last one, which it gives back; nobody is told yet.
    pub(crate) fn exchange_remark(&mut self, alarm: AlarmId, remark: Option<Remark>) -> Option<Remark> {
        let condition = self.conditions.get_mut(alarm.0 as usize)?;
        std::mem::replace(&mut condition.remark, remark)
    }

    /// The alarm of an event, if that is still its last one.
    pub(crate) fn is_last(&self, alarm: AlarmId, event_id: &[u8]) -> bool {
        self.conditions.get(alarm.0 as usize).is_some_and(|c| c.event_id == event_id)
    }

    fn tell(&mut self, about: &About<'_>, alarm: AlarmId) {
        let Some((event, area)) = self.event(about, alarm) else { return };
        for item in &mut self.items {
            if item.area.is_none() || item.area == area {
                push(item, event.clone(), &mut self.lost);
            }
        }
    }

    fn event(&self, about: &About<'_>, alarm: AlarmId) -> Option<(Arc<PlantEvent>, Option<NodeId>)> {
        let def = about.defs.get(alarm.0 as usize).filter(|d| (about.exposed)(d.tag))?;
        let snapshot = self.conditions.get(alarm.0 as usize)?.clone();
        let source = about.tags.get(def.tag);
        let area = crate::space::top_area(about.namespace, &source.path);
        let event = PlantEvent::of_condition(about.config, about.namespace, def, source, snapshot);
        Some((Arc::new(event), area))
    }

    /// Tells one subscription, or one item of it, of every condition that is of interest.
    pub(crate) fn refresh(
        &mut self,
        about: &About<'_>,
        session: u32,
        (subscription, only): (u32, Option<u32>),
    ) -> Result<(), StatusCode> {
        let now = Instant::now();
        let (since, count) = self.refreshes.entry(session).or_insert((now, 0));
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > REFRESHES_PER_SECOND_MAX {
            return Err(StatusCode::BadRefreshInProgress);
        }
        let events: Vec<_> = (0..self.conditions.len())
            .filter(|i| self.conditions[*i].state != AlarmState::Normal)
            .filter_map(|i| self.event(about, AlarmId(u32::try_from(i).ok()?)))
            .collect();
        let (begin, end) = (self.event_id(), self.event_id());
        let mut found = false;
        for item in &mut self.items {
            let h = item.handle;
            if h.subscription_id != subscription || only.is_some_and(|id| id != h.monitored_item_id) {
                continue;
            }
            found = true;
            let texts = about.config.texts;
            push(item, Arc::new(PlantEvent::of_refresh(true, begin, texts)), &mut self.lost);
            for (event, area) in &events {
                if item.area.is_none() || item.area == *area {
                    push(item, event.clone(), &mut self.lost);
                }
            }
            push(item, Arc::new(PlantEvent::of_refresh(false, end, texts)), &mut self.lost);
        }
        match (found, only) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(StatusCode::BadMonitoredItemIdInvalid),
            (false, None) => Err(StatusCode::BadSubscriptionIdInvalid),
        }
    }

    /// Hands on what waits, as the library's items have room.
    pub(crate) fn hand_on(&mut self, cache: &SubscriptionCache, types: &dyn TypeTree) {
        self.refreshes.retain(|_, (since, _)| since.elapsed() < Duration::from_secs(1));
        let sessions = &self.sessions;
        self.items.retain_mut(|item| {
            if item.waiting.is_empty() {
                return true;
            }
            let known = std::iter::once(item.session).chain(sessions.iter().rev().copied());
            for session in known {
                let Some(subscriptions) = cache.get_session_subscriptions(session) else { continue };
                let mut subscriptions = subscriptions.lock();
                let Some(subscription) = subscriptions.get_mut(item.handle.subscription_id) else { continue };
                item.session = session;
                let id = item.handle.monitored_item_id;
                let room = subscription.get(&id).map_or(0, |i| if i.has_notifications() { 0 } else { i.queue_size() });
                for event in item.waiting.drain(..room.min(item.waiting.len())) {
                    subscription.notify_event(&id, &*event, types);
                }
                return true;
            }
            // Its subscription is gone with its session.
            false
        });
    }
}

/// What an event is made from.
pub(crate) struct About<'a> {
    pub(crate) plant: &'a dyn Plant,
    pub(crate) config: &'a Config,
    pub(crate) namespace: u16,
    pub(crate) defs: &'a [AlarmDef],
    pub(crate) tags: &'a TagTable,
    pub(crate) exposed: &'a dyn Fn(penstock_model::TagId) -> bool,
}

fn push(item: &mut EventItem, event: Arc<PlantEvent>, lost: &mut u64) {
    if item.waiting.len() >= EVENTS_WAITING_MAX {
        item.waiting.pop_front();
        *lost += 1;
    }
    item.waiting.push_back(event);
}

#[cfg(test)]
#[path = "alarms_tests.rs"]
mod tests;
