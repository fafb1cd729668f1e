//! How the points of a group are fetched on a session: subscribed, or read where the server has no subscriptions; and
//! what becomes of those that the server does not have.
//!
//! A node that is refused makes its own tag bad and no other, and is asked for again with a growing wait: a program
//! download brings nodes, and takes them. Namespaces that moved meanwhile end the session, because every node was
//! resolved with the former ones.

use crate::config::{Deadband, Fetch};
use crate::connect::{in_words, with_remedy};
use crate::convert::{bare, refused};
use crate::feed::{Pulse, Receiver, handle, is_gone};
use crate::limits::{
    KEEP_ALIVE_COUNT, NOTIFICATIONS_MAX, SILENCE_GRACE, SUBSCRIPTION_LIFETIME, UNKNOWN_RETRY_MAX, UNKNOWN_RETRY_MIN,
};
use crate::session::{CallError, Driver, End, Live};
use opcua::client::custom_types::DataTypeTreeBuilder;
use opcua::types::custom::DynamicTypeLoader;
use opcua::types::{
    DataChangeFilter, DataChangeTrigger, DeadbandType, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NodeId, ReadValueId, StatusCode, TimestampsToReturn,
};
use penstock_model::{BadReason, ValueType};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Where a group's values come from on this session.
pub(crate) enum Source {
    /// From nowhere: nothing to fetch, or the server refused.
    None,
    /// From a subscription.
    Watch(Watch),
    /// From reads.
    Read(Reads),
}

/// A subscription.
pub(crate) struct Watch {
    id: u32,
    pulse: Arc<Pulse>,
    /// Longest silence of a live subscription.
    silence: Duration,
    /// The server's number of each point's item.
    items: HashMap<usize, u32>,
    /// What the server has no room to watch.
    rest: Reads,
}

/// Points that are read.
pub(crate) struct Reads {
    /// With their nodes as the server registered them.
    nodes: Vec<(usize, NodeId)>,
    next: Instant,
}

impl Watch {
    /// Lets publishes say nothing of what is read.
    fn leave_out_rest(&self) {
        self.pulse.leave_out(self.rest.nodes.iter().map(|(index, _)| *index).collect());
    }
}

impl Reads {
    /// These nodes, to be read at once.
    fn of(nodes: Vec<(usize, NodeId)>) -> Reads {
        Reads { nodes, next: Instant::now() }
    }

    fn due(&self) -> Option<Instant> {
        (!self.nodes.is_empty()).then_some(self.next)
    }
}

impl Source {
    /// Longest silence, where silence means something.
    pub(crate) fn silence(&self) -> Option<Duration> {
        if let Source::Watch(watch) = self { Some(watch.silence) } else { None }
    }

    /// When something is to be done.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self {
            Source::None => None,
            Source::Watch(watch) => watch.rest.due(),
            Source::Read(reads) => reads.due(),
        }
    }

    /// What of the group is read.
    fn reads(&mut self) -> Option<&mut Reads> {
        match self {
            Source::None => None,
            Source::Watch(watch) => Some(&mut watch.rest),
            Source::Read(reads) => Some(reads),
        }
    }
}

/// What a monitored item is asked to report, from the most particular to the plainest. A server refuses what it does
/// not know, and is asked for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Filter {
    /// Changes beyond the group's deadband.
    Deadband,
    /// Changes of value and status, said in so many words: some servers report no change of status without.
    Change,
    /// Whatever the server reports by itself.
    None,
}

impl Filter {
    fn plainer(self) -> Option<Filter> {
        match self {
            Filter::Deadband => Some(Filter::Change),
            Filter::Change => Some(Filter::None),
            Filter::None => None,
        }
    }
}

impl Driver {
    /// Looks up namespaces and types and fetches every group.
    pub(crate) async fn set_up(&mut self, live: &mut Live) -> Result<(), End> {
        let session = live.session.clone();
        live.namespaces = match self.call(session.read_namespace_array()).await {
            Ok(namespaces) => namespaces,
            Err(e) => return Err(End::Lost(format!("the namespaces cannot be read: {}", e.in_words()))),
        };
        self.learn_capacity(live).await?;
        // Before anything is subscribed, which takes a while on a large server: the declared values come first.
        while self.book.has_pending() {
            self.write_pending(live).await?;
        }
        if self.config.points.iter().any(|p| !p.part.fields.is_empty()) {
            self.learn_types(live).await?;
        }
        session.trigger_publish_now();
        for group in 0..self.config.groups.len() {
            self.fetch(live, group).await?;
        }
        Ok(())
    }

    /// Reads how the server describes its own structures. Without that their fields cannot be told apart, and their
    /// points say so one by one.
    async fn learn_types(&mut self, live: &mut Live) -> Result<(), End> {
        let session = live.session.clone();
        let tree = DataTypeTreeBuilder::new(|id: &NodeId| id.namespace != 0).build(&session);
        // Many requests in a row, each bounded by itself: the whole takes as long as a browse of the types.
        match tree.await {
            Ok(tree) => session.add_type_loader(Arc::new(DynamicTypeLoader::new(Arc::new(tree)))),
            Err(e) if crate::session::is_lost(e.status()) => return Err(End::Lost(in_words(e.status()))),
            Err(e) => {
                tracing::warn!(device = %self.config.name, error = %e, "the server does not describe its structures");
            }
        }
        Ok(())
    }

    /// Points of a group that are read.
    fn read_points(&self, group: usize) -> Vec<usize> {
        let read = |i: &usize| self.config.points[*i].group == group && self.config.points[*i].write.is_none();
        (0..self.config.points.len()).filter(read).collect()
    }

    async fn fetch(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        let points = self.read_points(group);
        if points.is_empty() {
            return Ok(());
        }
        match self.config.groups[group].fetch {
            Fetch::Subscribe => self.subscribe(live, group, points).await,
            Fetch::Read => self.register(live, group, points).await,
        }
    }

    /// Creates the subscription of a group with all its items.
    async fn subscribe(&mut self, live: &mut Live, group: usize, points: Vec<usize>) -> Result<(), End> {
        let publish = self.config.groups[group].publish;
        let lifetime = SUBSCRIPTION_LIFETIME.as_millis() / publish.as_millis().max(1);
        let lifetime = u32::try_from(lifetime).unwrap_or(u32::MAX).max(3 * KEEP_ALIVE_COUNT);
        let pulse = Arc::new(Pulse::new());
        let receiver = Receiver {
            feed: self.feed.clone(),
            pulse: pulse.clone(),
            link: live.link,
            points: points.clone(),
            begun: false,
        };
        let session = live.session.clone();
        let create =
            session.create_subscription(publish, lifetime, KEEP_ALIVE_COUNT, NOTIFICATIONS_MAX, 0, true, receiver);
        let id = match self.call(create).await {
            Ok(id) => id,
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            Err(CallError::Refused(status)) if has_none(status) => {
                tracing::warn!(device = %self.config.name, group = %self.config.groups[group].name,
                    status = with_remedy(status), "the server has no subscription for the group; it is read instead");
                return self.register(live, group, points).await;
            }
            Err(CallError::Refused(status)) => {
                let why = format!("the server refuses a subscription: {}", with_remedy(status));
                points.iter().for_each(|i| self.feed.refuse(*i, BadReason::Refused, &why));
                return Ok(());
            }
        };
        let (interval, count) = session.subscription_state().lock().get(id).map_or((publish, KEEP_ALIVE_COUNT), |s| {
            (s.publishing_interval().max(publish), s.max_keep_alive_count().max(1))
        });
        if interval > publish * 3 / 2 {
            tracing::warn!(device = %self.config.name, group = %self.config.groups[group].name, asked = ?publish, got = ?interval,
                "the server publishes more slowly than asked: tags with a shorter time to live go stale in between");
        }
        let silence = interval * count * 2 + SILENCE_GRACE;
        live.sources[group] =
            Source::Watch(Watch { id, pulse, silence, items: HashMap::new(), rest: Reads::of(Vec::new()) });
        self.watch(live, group, points).await
    }

    /// The nodes of points; those that have none in this session are bad alone.
    fn known(&self, live: &mut Live, points: Vec<usize>) -> Vec<(usize, NodeId)> {
        let mut known = Vec::with_capacity(points.len());
        for index in points {
            match self.node(live, index) {
                Ok(node) => known.push((index, node)),
                Err(why) => self.drop_point(live, index, BadReason::Configuration, &why),
            }
        }
        known
    }

    /// A point is bad for now, and asked for again later.
    fn drop_point(&self, live: &mut Live, index: usize, reason: BadReason, why: &str) {
        self.feed.refuse(index, reason, why);
        live.unwatched.push(index);
    }

    /// Creates the items of these points in their group's subscription; refused points are bad alone.
    async fn watch(&mut self, live: &mut Live, group: usize, points: Vec<usize>) -> Result<(), End> {
        let Source::Watch(Watch { id, .. }) = &live.sources[group] else { return Ok(()) };
        let id = *id;
        let known = self.known(live, points);
        let has_deadband = self.config.groups[group].deadband.is_some();
        let (deaf, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|(i, _)| !has_deadband || !self.is_number(*i));
        let mut round = Some((Filter::Deadband, rest));
        let mut plain = Some(deaf);
        let mut no_room = Vec::new();
        while let Some((filter, known)) = round {
            let mut refused = self.watch_with(live, group, id, filter, &known, &mut no_room).await?;
            let next = filter.plainer();
            if next == Some(Filter::Change) {
                for (index, _) in &refused {
                    let point = &self.config.points[*index];
                    tracing::warn!(device = %self.config.name, tag = %point.path, node = point.node,
                        "the server takes no deadband for the node; every change is reported");
                }
                refused.extend(plain.take().into_iter().flatten());
            }
            round = next.filter(|_| !refused.is_empty()).map(|f| (f, refused));
        }
        self.read_besides(live, group, no_room).await
    }

    /// Reads from now on what a subscription has no room for.
    async fn read_besides(
        &mut self,
        live: &mut Live,
        group: usize,
        mut nodes: Vec<(usize, NodeId)>,
    ) -> Result<(), End> {
        if nodes.is_empty() {
            return Ok(());
        }
        self.registered(live, &mut nodes).await?;
        let Source::Watch(watch) = &mut live.sources[group] else { return Ok(()) };
        // A node that the server does not have comes by here with every question for it: told once.
        if watch.rest.nodes.is_empty() {
            tracing::warn!(device = %self.config.name, group = %self.config.groups[group].name, points = nodes.len(),
                status = with_remedy(StatusCode::BadTooManyMonitoredItems),
                "the server does not watch all of the group; the rest is read instead");
        }
        watch.rest.nodes.append(&mut nodes);
        watch.rest.next = Instant::now();
        watch.leave_out_rest();
        Ok(())
    }

    fn is_number(&self, index: usize) -> bool {
        matches!(self.config.points[index].value_type, ValueType::Float | ValueType::Int)
    }

    /// Creates items with one kind of filter; what comes back are the points whose filter the server does not take. Those
    /// that it has no room for are laid into `no_room`.
    async fn watch_with(
        &mut self,
        live: &mut Live,
        group: usize,
        id: u32,
        filter: Filter,
        known: &[(usize, NodeId)],
        no_room: &mut Vec<(usize, NodeId)>,
    ) -> Result<Vec<(usize, NodeId)>, End> {
        let (mut size, mut from, mut unfiltered) = (live.capacity.items, 0, Vec::new());
        while from < known.len() {
            let chunk = &known[from..(from + size).min(known.len())];
            let items = chunk.iter().map(|(index, node)| self.item(*index, node, filter)).collect();
            let session = live.session.clone();
            match self.call(session.create_monitored_items(id, TimestampsToReturn::Both, items)).await {
                Ok(results) => {
                    for ((index, node), created) in chunk.iter().zip(results) {
                        let status = created.result.status_code;
                        if filter != Filter::None && no_filter(status) {
                            unfiltered.push((*index, node.clone()));
                        } else if is_full(status) {
                            no_room.push((*index, node.clone()));
                        } else if status.is_bad() {
                            let reason = refused(status).unwrap_or(BadReason::Refused);
                            self.drop_point(live, *index, reason, &with_remedy(status));
                        } else if let Source::Watch(watch) = &mut live.sources[group] {
                            watch.items.insert(*index, created.result.monitored_item_id);
                        }
                    }
                    from += chunk.len();
                }
                // A server that is full refuses all of a request whose last items do not fit.
                Err(CallError::Refused(status)) if chunk.len() > 1 && (too_many(status) || is_full(status)) => {
                    size = chunk.len() / 2;
                }
                Err(CallError::Refused(status)) if is_full(status) => {
                    // Not one fits: nor does what follows.
                    no_room.extend_from_slice(&known[from..]);
                    from = known.len();
                }
                Err(CallError::Refused(status)) => {
                    let why = with_remedy(status);
                    chunk.iter().for_each(|(index, _)| self.drop_point(live, *index, BadReason::Refused, &why));
                    from += chunk.len();
                }
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            }
        }
        Ok(unfiltered)
    }

    /// What to watch of a node.
    fn item(&self, index: usize, node: &NodeId, filter: Filter) -> MonitoredItemCreateRequest {
        let point = &self.config.points[index];
        let group = &self.config.groups[point.group];
        let (deadband_type, deadband_value) = match (filter, group.deadband) {
            (Filter::Deadband, Some(Deadband::Absolute(x))) => (DeadbandType::Absolute as u32, x),
            (Filter::Deadband, Some(Deadband::Percent(x))) => (DeadbandType::Percent as u32, x),
            _ => (DeadbandType::None as u32, 0.0),
        };
        let wanted = DataChangeFilter { trigger: DataChangeTrigger::StatusValue, deadband_type, deadband_value };
        MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId::from(node.clone()),
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: handle(index),
                sampling_interval: group.sampling.unwrap_or(group.publish).as_secs_f64() * 1_000.0,
                filter: if filter == Filter::None {
                    ExtensionObject::null()
                } else {
                    ExtensionObject::from_message(wanted)
                },
                queue_size: group.queue,
                discard_oldest: true,
            },
        }
    }

    /// Prepares a group to be read.
    async fn register(&mut self, live: &mut Live, group: usize, points: Vec<usize>) -> Result<(), End> {
        let mut nodes = self.known(live, points);
        self.registered(live, &mut nodes).await?;
        live.sources[group] = Source::Read(Reads::of(nodes));
        Ok(())
    }

    /// Puts registered nodes, which are cheaper for a server to read again and again, in the place of plain ones.
    async fn registered(&mut self, live: &mut Live, nodes: &mut [(usize, NodeId)]) -> Result<(), End> {
        for chunk in nodes.chunks_mut(live.capacity.register) {
            let plain: Vec<NodeId> = chunk.iter().map(|(_, node)| node.clone()).collect();
            match self.call(live.session.clone().register_nodes(&plain)).await {
                Ok(registered) if registered.len() == plain.len() => {
                    chunk.iter_mut().zip(registered).for_each(|((_, node), r)| *node = r);
                }
                Ok(_) | Err(CallError::Refused(_)) => {}
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            }
        }
        Ok(())
    }

    /// Hears what a group's source has: counts what a subscription said and creates it again when it fell silent or ended;
    /// reads what is due.
    pub(crate) async fn listen(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        if let Source::Watch(watch) = &live.sources[group] {
            self.link.heard(watch.pulse.take_count());
            let gone = watch.pulse.take_gone();
            if watch.pulse.last().elapsed() > watch.silence || watch.pulse.has_ended() {
                return self.replace(live, group).await;
            }
            if !gone.is_empty() {
                self.forget(live, group, &gone).await?;
            }
        }
        let due = live.sources[group].due().is_some_and(|due| due <= Instant::now());
        if due { self.read_group(live, group).await } else { Ok(()) }
    }

    /// A subscription that fell silent or ended is created again, if the server still answers.
    async fn replace(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        let Source::Watch(watch) = std::mem::replace(&mut live.sources[group], Source::None) else { return Ok(()) };
        let points = self.read_points(group);
        self.feed.silent(&points);
        tracing::warn!(device = %self.config.name, group = %self.config.groups[group].name, limit = ?watch.silence,
            "subscription fell silent; creating it again");
        live.unwatched.retain(|i| !points.contains(i));
        let session = live.session.clone();
        // Whether the server still knows the old one does not matter, whether it answers does.
        if let Err(CallError::Lost(reason)) = self.call(session.delete_subscription(watch.id)).await {
            return Err(End::Lost(reason));
        }
        self.fetch(live, group).await
    }

    /// Items whose nodes are gone are dead: they are given up and asked for anew.
    async fn forget(&mut self, live: &mut Live, group: usize, gone: &BTreeSet<usize>) -> Result<(), End> {
        let Source::Watch(watch) = &mut live.sources[group] else { return Ok(()) };
        let id = watch.id;
        let items: Vec<u32> = gone.iter().filter_map(|index| watch.items.remove(index)).collect();
        if items.is_empty() {
            return Ok(());
        }
        live.unwatched.extend(gone.iter().copied());
        live.unwatched.sort_unstable();
        live.unwatched.dedup();
        (live.retry_wait, live.retry_at) = (UNKNOWN_RETRY_MIN, Instant::now() + UNKNOWN_RETRY_MIN);
        let session = live.session.clone();
        match self.call(session.delete_monitored_items(id, &items)).await {
            Err(CallError::Lost(reason)) => Err(End::Lost(reason)),
            // A server that forgot them with their nodes has nothing to delete.
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        }
    }

    /// Reads once what of a group is read.
    async fn read_group(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        let publish = self.config.groups[group].publish;
        let Some(reads) = live.sources[group].reads() else { return Ok(()) };
        // On a grid of its own, and never twice to catch up.
        reads.next = (reads.next + publish).max(Instant::now());
        let nodes = std::mem::take(&mut reads.nodes);
        let (mut size, mut from, mut values) = (live.capacity.read, 0, Vec::with_capacity(nodes.len()));
        while from < nodes.len() {
            let chunk = &nodes[from..(from + size).min(nodes.len())];
            let ask: Vec<_> = chunk.iter().map(|(_, node)| ReadValueId::from(node.clone())).collect();
            match self.call(live.session.clone().read(&ask, TimestampsToReturn::Both, 0.0)).await {
                Ok(answers) => {
                    values.extend(chunk.iter().map(|(index, _)| *index).zip(answers));
                    from += chunk.len();
                }
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
                Err(CallError::Refused(status)) if size > 1 && too_many(status) => size /= 2,
                Err(CallError::Refused(status)) => {
                    let why = in_words(status);
                    chunk.iter().for_each(|(index, _)| self.feed.refuse(*index, BadReason::Refused, &why));
                    from += chunk.len();
                }
            }
        }
        let gone: BTreeSet<usize> =
            values.iter().filter(|(_, v)| v.status.is_some_and(is_gone)).map(|(index, _)| *index).collect();
        let points: Vec<usize> = values.iter().map(|(index, _)| *index).collect();
        let news = gone.iter().any(|index| !self.feed.is_missing(*index));
        let changes = self.feed.read(values.into_iter());
        self.feed.publish(live.link, &points, changes);
        if let Some(reads) = live.sources[group].reads() {
            reads.nodes = nodes;
            reads.nodes.retain(|(index, _)| !gone.contains(index));
        }
        if let Source::Watch(watch) = &live.sources[group] {
            watch.leave_out_rest();
        }
        live.unwatched.extend(gone);
        // Soon after a download; less and less often for what was not there before.
        if news {
            (live.retry_wait, live.retry_at) = (UNKNOWN_RETRY_MIN, Instant::now() + UNKNOWN_RETRY_MIN);
        }
        Ok(())
    }

    /// Asks again for what was refused: a program download may have brought it.
    pub(crate) async fn retry(&mut self, live: &mut Live) -> Result<(), End> {
        live.retry_wait = (live.retry_wait * 2).min(UNKNOWN_RETRY_MAX);
        live.retry_at = Instant::now() + live.retry_wait;
        let empty =
            (0..live.sources.len()).any(|g| matches!(live.sources[g], Source::None) && !self.read_points(g).is_empty());
        if live.unwatched.is_empty() && !empty {
            return Ok(());
        }
        match self.call(live.session.clone().read_namespace_array()).await {
            Ok(now) if now.known_namespaces() != live.namespaces.known_namespaces() => {
                return Err(End::Lost("the server's namespaces changed; every node is looked up anew".to_owned()));
            }
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            Ok(_) | Err(CallError::Refused(_)) => {}
        }
        let again = std::mem::take(&mut live.unwatched);
        for group in 0..live.sources.len() {
            let points: Vec<usize> = again.iter().copied().filter(|i| self.config.points[*i].group == group).collect();
            match &live.sources[group] {
                Source::None => self.fetch(live, group).await?,
                Source::Watch(_) => self.watch(live, group, points).await?,
                // All of it: what a server registered before its download may mean nothing now.
                Source::Read(_) if !points.is_empty() => {
                    let all = self.read_points(group);
                    self.register(live, group, all).await?;
                }
                Source::Read(_) => {}
            }
        }
        Ok(())
    }
}

/// True when the server has no subscriptions, or none left.
fn has_none(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadServiceUnsupported
            | StatusCode::BadNotImplemented
            | StatusCode::BadNotSupported
            | StatusCode::BadTooManySubscriptions
    )
}

/// True when the server does not take our filter.
fn no_filter(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadMonitoredItemFilterUnsupported
            | StatusCode::BadMonitoredItemFilterInvalid
            | StatusCode::BadFilterNotAllowed
            | StatusCode::BadDeadbandFilterInvalid
    )
}

/// True when the server has as many monitored items as it takes.
fn is_full(status: StatusCode) -> bool {
    bare(status) == StatusCode::BadTooManyMonitoredItems
}

/// True when fewer items per request may help.
pub(crate) fn too_many(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadTooManyOperations
            | StatusCode::BadRequestTooLarge
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadEncodingLimitsExceeded
    )
}
