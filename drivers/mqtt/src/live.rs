//! A session after its subscription: birth, changes, history at its own pace, and what hosts ask for.

use crate::Refusal;
use crate::command::{self, Allowance};
use crate::limits::{
    MESSAGES_WAITING_FOR_REPLAY, MESSAGES_WAITING_MAX, METRICS_PER_MESSAGE_MAX, REBIRTH_EVERY_MIN, REPLAY_EVERY,
};
use crate::node::{Change, Message};
use crate::session::{News, SessionError, Talk, stopped};
use crate::store::{Replayed, StoredTable};
use penstock_model::Instant;
use rumqttc::QoS;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

/// What a birth, and what comes after it, remembers.
#[derive(Default)]
struct Live {
    born: Option<Instant>,
    birth_due: bool,
    replay: Replay,
    /// Places that a host has tried to write: their values are told once more, so that it sees what holds.
    again: Vec<usize>,
    commands: Allowance,
    refusals: Allowance,
}

/// History on its way.
#[derive(Default)]
struct Replay {
    asked: Option<oneshot::Receiver<Option<Replayed>>>,
    pending: Option<Replayed>,
    /// Values that may be sent now; below 0 while a large record is paid off.
    allowance: f64,
    /// Today's places of the aliases of a stored table.
    places: Option<(Arc<StoredTable>, Vec<Option<usize>>)>,
}

/// The record that was asked for; never where none was.
async fn answered(asked: &mut Option<oneshot::Receiver<Option<Replayed>>>) -> Option<Replayed> {
    let Some(receiver) = asked else { return std::future::pending().await };
    let record = receiver.await.ok().flatten();
    *asked = None;
    record
}

impl Talk<'_> {
    pub(crate) async fn live(&mut self) -> Result<(), SessionError> {
        let mut live = Live { birth_due: true, ..Live::default() };
        let mut replay_ticks = interval(REPLAY_EVERY);
        replay_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(store) = &self.feed.store {
            store.rewind();
        }
        loop {
            tokio::select! {
                () = stopped(self.stop) => {
                    self.goodbye().await;
                    return Ok(());
                }
                n = self.news.recv() => {
                    let Some(news) = n else { return Err(SessionError::Queue) };
                    if self.host_news(&news) == Some(false) {
                        self.goodbye().await;
                        let host = self.feed.config.primary_host.clone().unwrap_or_default();
                        return Err(SessionError::HostOffline(host));
                    }
                    self.take(news, &mut live);
                }
                _ = self.ticks.tick() => self.tick(&mut live)?,
                record = answered(&mut live.replay.asked) => {
                    // At the end of the store it is asked again by the tick alone.
                    if record.is_some() {
                        live.replay.pending = record;
                        self.replay_step(&mut live)?;
                    }
                }
                _ = replay_ticks.tick(), if self.feed.store.is_some() => {
                    let rate = self.feed.config.store.map_or(0, |s| s.replay_per_s);
                    let share = f64::from(rate) * REPLAY_EVERY.as_secs_f64();
                    // What was not used is not saved up: after a pause history comes no faster.
                    live.replay.allowance = (live.replay.allowance + share).min(share.max(1.0));
                    self.replay_step(&mut live)?;
                }
            }
        }
    }

    fn take(&mut self, news: News, live: &mut Live) {
        match news {
            News::Arrived(number) => self.feed.confirmed(number),
            News::Message { topic, retained, payload } => {
                if let Some(command) = self.command(&topic, retained, payload) {
                    self.obey(&command, live);
                }
            }
            News::Connected | News::Subscribed(_) | News::SaidGoodbye => {}
        }
    }

    fn obey(&mut self, command: &command::Command, live: &mut Live) {
        let now = self.feed.clock.now();
        let asked = command::read(&self.feed.config, &self.feed.node, command, now.utc);
        live.birth_due |= asked.rebirth;
        let mut refused = asked.refused;
        for (place, order) in asked.orders {
            let metric = order.path.to_string();
            let done = if live.commands.take(now.mono) {
                self.feed.source.order(order)
            } else {
                Err("too many commands within a second".to_owned())
            };
            refused.extend(done.err().map(|why| Refusal { metric, why }));
            if !live.again.contains(&place) {
                live.again.push(place);
            }
        }
        for refusal in refused {
            if live.refusals.take(now.mono) {
                self.feed.source.refused(refusal);
            }
        }
    }

    /// Births when one is due, and changes otherwise.
    fn tick(&mut self, live: &mut Live) -> Result<(), SessionError> {
        let now = self.feed.clock.now();
        let table = self.feed.source.tags();
        if !Arc::ptr_eq(&table, &self.feed.table) {
            // Units, ranges or names may be others: hosts know them from births alone.
            self.feed.table = table;
            live.birth_due = true;
        }
        let room = self.waiting() < MESSAGES_WAITING_MAX as u64;
        let rested = live.born.is_none_or(|at| now.mono.since(at) >= REBIRTH_EVERY_MIN);
        if !room {
            // The wire is slower than the plant. What changes is kept, and the next birth tells the latest of everything,
            // without a gap in the numbers.
            live.birth_due = true;
        }
        if live.birth_due && !(rested && room) {
            self.feed.keep();
            return Ok(());
        }
        if live.birth_due {
            let (changes, messages) = self.feed.birth();
            self.publish(messages)?;
            self.feed.sent(self.handed, &changes);
            (live.born, live.birth_due) = (Some(now.mono), false);
            self.feed.status.online = true;
            self.feed.status.births += 1;
            self.feed.show_now();
            return Ok(());
        }
        let mut changes = self.feed.fresh();
        changes.extend(std::mem::take(&mut live.again).into_iter().filter_map(|p| self.feed.node.again(p)));
        self.publish_changes(&changes)?;
        self.feed.show();
        Ok(())
    }

    fn publish_changes(&mut self, changes: &[Change]) -> Result<(), SessionError> {
        let now = self.feed.clock.now();
        for part in changes.chunks(METRICS_PER_MESSAGE_MAX) {
            let messages = self.feed.node.data(part, now.utc);
            self.publish(messages)?;
        }
        let waits = self.feed.store.as_ref().is_some_and(|s| s.shown().values > 0);
        let table = self.feed.table.clone();
        let judged = self.feed.node.judge_devices(&table, !waits, now);
        self.publish(judged)?;
        self.feed.sent(self.handed, changes);
        Ok(())
    }

    fn publish(&mut self, messages: Vec<Message>) -> Result<(), SessionError> {
        for message in messages {
            let sent = self.client.try_publish(message.topic, QoS::AtMostOnce, false, message.payload);
            sent.map_err(|_| SessionError::Queue)?;
            self.handed += 1;
        }
        Ok(())
    }

    /// Sends one kept record where that disturbs no live value, and asks for the next.
    fn replay_step(&mut self, live: &mut Live) -> Result<(), SessionError> {
        let Some(store) = &self.feed.store else { return Ok(()) };
        if live.birth_due || live.born.is_none() {
            return Ok(());
        }
        if live.replay.pending.is_none() && live.replay.asked.is_none() && store.shown().values > 0 {
            live.replay.asked = Some(store.next());
        }
        if live.replay.allowance <= 0.0 || self.waiting() >= MESSAGES_WAITING_FOR_REPLAY {
            return Ok(());
        }
        let Some(record) = live.replay.pending.take() else { return Ok(()) };
        live.replay.allowance -= f64::from(record.count);
        let known = live.replay.places.as_ref().is_some_and(|(table, _)| Arc::ptr_eq(table, &record.table));
        if !known {
            live.replay.places = Some((record.table.clone(), self.feed.node.places_of(&record.table)));
        }
        let places = live.replay.places.as_ref().map_or(&[][..], |(_, places)| places);
        let messages = self.feed.node.replay(&record.payload, places, self.feed.clock.now().utc);
        self.publish(messages)?;
        self.feed.replayed(self.handed, record.behind);
        if let Some(store) = &self.feed.store {
            live.replay.asked = Some(store.next());
        }
        Ok(())
    }
}
