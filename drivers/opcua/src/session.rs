//! The link of one server: connect, subscribe, serve, lose, wait, connect again, for ever.
//!
//! States: *connecting* until the first session or the first failure; *up* once a session answers; *down* from a
//! failure on. A session is lost when its connection ends, or when a subscription falls silent and the server does not
//! answer any more; a subscription that alone falls silent is created again.

use crate::commands::{Book, News};
use crate::config::DeviceConfig;
use crate::connect::{Driven, Open, client, in_words, open};
use crate::convert::{bare, refused};
use crate::feed::{Feed, Pulse, Receiver, handle};
use crate::limits::{
    ITEMS_PER_REQUEST, KEEP_ALIVE_COUNT, NOTIFICATIONS_MAX, SILENCE_GRACE, SUBSCRIPTION_LIFETIME, UNKNOWN_RETRY,
};
use crate::link::Link;
use crate::node::{NodeRef, parse_node};
use opcua::client::{Client, Session};
use opcua::types::{
    DataChangeFilter, DataChangeTrigger, Error, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NamespaceMap, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariantScalarTypeId,
};
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use penstock_model::{BadReason, Clock, Command, Outcome, OutcomeState, SampleSink};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Everything one device's task owns.
pub(crate) struct Driver {
    pub(crate) config: Arc<DeviceConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) link: Link,
    pub(crate) book: Book,
    sink: Arc<dyn SampleSink>,
    feed: Arc<Feed>,
    nodes: Vec<Result<NodeRef, String>>,
    commands: mpsc::Receiver<Command>,
    commands_open: bool,
    stop: watch::Receiver<bool>,
    /// A session was open since the last loss.
    was_open: bool,
}

/// What belongs to one session.
pub(crate) struct Live {
    pub(crate) session: Arc<Session>,
    /// Type of each node that was written, by point.
    pub(crate) types: HashMap<usize, VariantScalarTypeId>,
    task: Driven,
    link: u64,
    namespaces: NamespaceMap,
    /// By group; `None` where there is nothing to watch, or the server refused.
    subscriptions: Vec<Option<Watch>>,
    /// Points that the server does not let us watch.
    unwatched: Vec<usize>,
    retry_at: Instant,
}

struct Watch {
    id: u32,
    pulse: Arc<Pulse>,
    /// Longest silence of a live subscription.
    silence: Duration,
}

/// Why serving ended.
pub(crate) enum End {
    /// The link failed, for this reason.
    Lost(String),
    /// The runtime stops.
    Stopped,
}

/// What came instead of an answer.
pub(crate) enum CallError {
    /// No answer: the session is gone.
    Lost(String),
    /// The server answered, and refused.
    Refused(StatusCode),
}

impl Driver {
    pub(crate) fn new(
        config: DeviceConfig,
        sink: Arc<dyn SampleSink>,
        commands: mpsc::Receiver<Command>,
        clock: Arc<dyn Clock>,
        stop: watch::Receiver<bool>,
    ) -> Driver {
        let config = Arc::new(config);
        Driver {
            link: Link::new(config.id, config.name.clone(), sink.clone(), clock.clone()),
            book: Book::new(&config),
            feed: Arc::new(Feed::new(config.clone(), sink.clone(), clock.clone())),
            nodes: config.points.iter().map(|p| parse_node(&p.node).map_err(|e| e.to_string())).collect(),
            config,
            sink,
            clock,
            commands,
            commands_open: true,
            stop,
            was_open: false,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let mut wait = RECONNECT_WAIT_MIN;
        let mut ready = None;
        loop {
            let End::Lost(reason) = self.connect_and_serve(&mut ready).await else { break };
            if std::mem::take(&mut self.was_open) {
                wait = RECONNECT_WAIT_MIN;
            }
            self.feed_lost(&reason);
            if self.pause(wait).await {
                break;
            }
            wait = (wait * 2).min(RECONNECT_WAIT_MAX);
        }
        self.take_commands();
        for command in self.book.unsent() {
            let reason = "the runtime stopped before the command could be sent";
            self.tell((command.id, command.tag, OutcomeState::Failed(reason.into())));
        }
    }

    /// Tags and link go bad, once per loss.
    fn feed_lost(&mut self, reason: &str) {
        if self.link.down(reason) {
            self.feed.lose();
        }
    }

    async fn connect_and_serve(&mut self, ready: &mut Option<Client>) -> End {
        if self.stopped() {
            return End::Stopped;
        }
        let mut stop = self.stop.clone();
        let opened = tokio::select! {
            opened = self.open(ready) => opened,
            () = stop_requested(&mut stop) => return End::Stopped,
        };
        let Open { session, task } = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.link.failed();
                return End::Lost(reason);
            }
        };
        let mut live = Live {
            session,
            task,
            link: self.feed.begin(),
            namespaces: NamespaceMap::new(),
            types: HashMap::new(),
            subscriptions: self.config.groups.iter().map(|_| None).collect(),
            unwatched: Vec::new(),
            retry_at: Instant::now() + UNKNOWN_RETRY,
        };
        self.book.reassert();
        let end = match self.set_up(&mut live).await {
            Ok(()) => self.serve(&mut live).await,
            Err(end) => end,
        };
        if let End::Stopped = end {
            self.finish(&mut live).await;
        }
        end
    }

    async fn open(&self, ready: &mut Option<Client>) -> Result<Open, String> {
        let client = match ready {
            Some(client) => client,
            None => {
                let config = self.config.clone();
                let made = tokio::task::spawn_blocking(move || client(&config)).await;
                ready.insert(made.map_err(|e| e.to_string())??)
            }
        };
        open(client, &self.config).await
    }

    /// Looks up namespaces and creates subscriptions.
    async fn set_up(&mut self, live: &mut Live) -> Result<(), End> {
        let session = live.session.clone();
        live.namespaces = match self.call(session.read_namespace_array()).await {
            Ok(namespaces) => namespaces,
            Err(e) => return Err(End::Lost(format!("the namespaces cannot be read: {}", e.in_words()))),
        };
        session.trigger_publish_now();
        self.was_open = true;
        for group in 0..self.config.groups.len() {
            self.subscribe(live, group).await?;
        }
        Ok(())
    }

    /// Points of a group that are read.
    fn read_points(&self, group: usize) -> Vec<usize> {
        let read = |i: &usize| self.config.points[*i].group == group && self.config.points[*i].write.is_none();
        (0..self.config.points.len()).filter(read).collect()
    }

    /// Creates the subscription of a group with all its items.
    async fn subscribe(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        let points = self.read_points(group);
        if points.is_empty() {
            return Ok(());
        }
        let publish = self.config.groups[group].publish;
        let lifetime = SUBSCRIPTION_LIFETIME.as_millis() / publish.as_millis().max(1);
        let lifetime = u32::try_from(lifetime).unwrap_or(u32::MAX).max(3 * KEEP_ALIVE_COUNT);
        let pulse = Arc::new(Pulse::new());
        let receiver =
            Receiver { feed: self.feed.clone(), pulse: pulse.clone(), link: live.link, points: points.clone() };
        let session = live.session.clone();
        let create =
            session.create_subscription(publish, lifetime, KEEP_ALIVE_COUNT, NOTIFICATIONS_MAX, 0, true, receiver);
        let id = match self.call(create).await {
            Ok(id) => id,
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            Err(CallError::Refused(status)) => {
                let why = format!("the server refuses a subscription: {}", in_words(status));
                points.iter().for_each(|i| self.feed.refuse(*i, BadReason::Refused, &why));
                return Ok(());
            }
        };
        let (interval, count) = session.subscription_state().lock().get(id).map_or((publish, KEEP_ALIVE_COUNT), |s| {
            (s.publishing_interval().max(publish), s.max_keep_alive_count().max(1))
        });
        live.subscriptions[group] = Some(Watch { id, pulse, silence: interval * count * 2 + SILENCE_GRACE });
        self.watch(live, group, points).await
    }

    /// Creates the items of these points in their group's subscription; refused points are bad alone.
    async fn watch(&mut self, live: &mut Live, group: usize, points: Vec<usize>) -> Result<(), End> {
        let Some(id) = live.subscriptions[group].as_ref().map(|w| w.id) else { return Ok(()) };
        let mut known = Vec::with_capacity(points.len());
        for index in points {
            match self.node(live, index) {
                Ok(node) => known.push((index, node)),
                Err(why) => {
                    self.feed.refuse(index, BadReason::Configuration, &why);
                    live.unwatched.push(index);
                }
            }
        }
        let mut size = ITEMS_PER_REQUEST;
        let mut from = 0;
        let mut filter = true;
        let mut unfiltered = Vec::new();
        while from < known.len() {
            let chunk = &known[from..(from + size).min(known.len())];
            let items = chunk.iter().map(|(index, node)| self.item(*index, node, filter)).collect();
            let session = live.session.clone();
            match self.call(session.create_monitored_items(id, TimestampsToReturn::Both, items)).await {
                Ok(results) => {
                    for ((index, node), created) in chunk.iter().zip(results) {
                        let status = created.result.status_code;
                        if filter && no_filter(status) {
                            unfiltered.push((*index, node.clone()));
                        } else if status.is_bad() {
                            let reason = refused(status).unwrap_or(BadReason::Refused);
                            self.feed.refuse(*index, reason, &in_words(status));
                            live.unwatched.push(*index);
                        }
                    }
                    from += chunk.len();
                }
                Err(CallError::Refused(status)) if size > 1 && too_many(status) => size /= 2,
                Err(CallError::Refused(status)) => {
                    for (index, _) in chunk {
                        self.feed.refuse(*index, BadReason::Refused, &in_words(status));
                        live.unwatched.push(*index);
                    }
                    from += chunk.len();
                }
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            }
            if from >= known.len() && !unfiltered.is_empty() {
                (known, from, filter) = (std::mem::take(&mut unfiltered), 0, false);
            }
        }
        Ok(())
    }

    /// What to watch of a node: value and status. The filter only says what the standard has as default; some servers
    /// without one report no change of status, others know no filters at all.
    fn item(&self, index: usize, node: &NodeId, filter: bool) -> MonitoredItemCreateRequest {
        let publish = self.config.groups[self.config.points[index].group].publish;
        let trigger =
            DataChangeFilter { trigger: DataChangeTrigger::StatusValue, deadband_type: 0, deadband_value: 0.0 };
        MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId::from(node.clone()),
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: handle(index),
                sampling_interval: publish.as_secs_f64() * 1_000.0,
                filter: if filter { ExtensionObject::from_message(trigger) } else { ExtensionObject::null() },
                // Latest wins, as everywhere on the way of a value.
                queue_size: 1,
                discard_oldest: true,
            },
        }
    }

    /// The node of a point in this session.
    pub(crate) fn node(&self, live: &Live, index: usize) -> Result<NodeId, String> {
        self.nodes[index].as_ref().map_err(Clone::clone)?.resolve(&live.namespaces)
    }

    /// Writes and watches until the session is lost or the runtime stops.
    async fn serve(&mut self, live: &mut Live) -> End {
        let shortest = live.subscriptions.iter().flatten().map(|w| w.silence).min();
        let tick =
            shortest.map_or(Duration::from_secs(1), |s| s / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            if self.stopped() {
                return End::Stopped;
            }
            if let Err(end) = self.turn(live).await {
                return end;
            }
            let wake = self.book.next_due().map_or(Instant::now() + tick, |due| due.min(Instant::now() + tick));
            tokio::select! {
                () = sleep_until(wake) => {}
                command = self.commands.recv(), if self.commands_open => self.took(command),
                reason = live.task.ended() => {
                    self.link.failed();
                    return End::Lost(reason);
                }
                () = stop_requested(&mut self.stop) => {}
            }
        }
    }

    /// Commands first, then read-backs, then the subscriptions.
    async fn turn(&mut self, live: &mut Live) -> Result<(), End> {
        self.take_commands();
        for point in self.book.pending() {
            self.write(live, point).await?;
        }
        for due in self.book.due(Instant::now()) {
            self.check(live, due).await?;
        }
        for group in 0..live.subscriptions.len() {
            self.listen(live, group).await?;
        }
        self.link.report_if_due();
        if Instant::now() >= live.retry_at {
            self.retry(live).await?;
        }
        Ok(())
    }

    /// Counts what a subscription said; creates it again when it fell silent or ended.
    async fn listen(&mut self, live: &mut Live, group: usize) -> Result<(), End> {
        let Some(watch) = &live.subscriptions[group] else { return Ok(()) };
        self.link.heard(watch.pulse.take_count());
        let silent = watch.pulse.last().elapsed() > watch.silence;
        if !silent && !watch.pulse.has_ended() {
            return Ok(());
        }
        let (id, limit) = (watch.id, watch.silence);
        let points = self.read_points(group);
        self.feed.silent(&points);
        tracing::warn!(device = %self.config.name, group = %self.config.groups[group].name, ?limit,
            "subscription fell silent; creating it again");
        live.subscriptions[group] = None;
        live.unwatched.retain(|i| !points.contains(i));
        let session = live.session.clone();
        // Whether the server still knows the old one does not matter, whether it answers does.
        if let Err(CallError::Lost(reason)) = self.call(session.delete_subscription(id)).await {
            return Err(End::Lost(reason));
        }
        self.subscribe(live, group).await
    }

    /// Asks again for what was refused: a program download may have brought it.
    async fn retry(&mut self, live: &mut Live) -> Result<(), End> {
        live.retry_at = Instant::now() + UNKNOWN_RETRY;
        if !live.unwatched.is_empty() {
            let session = live.session.clone();
            match self.call(session.read_namespace_array()).await {
                Ok(namespaces) => live.namespaces = namespaces,
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
                Err(CallError::Refused(_)) => {}
            }
        }
        let again = std::mem::take(&mut live.unwatched);
        for group in 0..live.subscriptions.len() {
            if live.subscriptions[group].is_none() {
                self.subscribe(live, group).await?;
            } else {
                let points = again.iter().copied().filter(|i| self.config.points[*i].group == group).collect();
                self.watch(live, group, points).await?;
            }
        }
        Ok(())
    }

    /// One service call: bounded, counted, judged.
    pub(crate) async fn call<T>(&mut self, call: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
        let started = Instant::now();
        let result = match tokio::time::timeout(self.config.timeout, call).await {
            Ok(Ok(answer)) => {
                self.link.answered(started.elapsed());
                return Ok(answer);
            }
            Ok(Err(e)) if is_lost(e.status()) => CallError::Lost(in_words(e.status())),
            Ok(Err(e)) => CallError::Refused(e.status()),
            Err(_) => CallError::Lost(format!("no answer within {:?}", self.config.timeout)),
        };
        match &result {
            CallError::Lost(_) => self.link.failed(),
            CallError::Refused(_) => self.link.refused(),
        }
        Err(result)
    }

    /// The last commands of a runtime that stops still go out, if that takes no longer than one answer may take; then
    /// the session is closed, so that the server does not keep it.
    async fn finish(&mut self, live: &mut Live) {
        self.take_commands();
        let limit = self.config.timeout;
        let _ = tokio::time::timeout(limit, async {
            for point in self.book.pending() {
                if self.write(live, point).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let _ = tokio::time::timeout(limit, live.session.disconnect()).await;
    }

    /// Waits while the link is down; commands are kept meanwhile. True when stopped.
    async fn pause(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.stopped() {
            tokio::select! {
                () = sleep_until(until) => {}
                command = self.commands.recv(), if self.commands_open => self.took(command),
                () = stop_requested(&mut self.stop) => {}
            }
        }
        self.stopped()
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    fn take_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.took(Some(command));
        }
    }

    fn took(&mut self, command: Option<Command>) {
        match command {
            Some(command) => {
                let news = self.book.accept(command);
                news.into_iter().for_each(|n| self.tell(n));
            }
            None => self.commands_open = false,
        }
    }

    /// Gives news of a command.
    pub(crate) fn tell(&self, (id, tag, state): News) {
        if let OutcomeState::Failed(reason) = &state {
            tracing::warn!(device = %self.config.name, command = id.0, %reason, "command failed");
        }
        self.sink.outcome(Outcome { id, tag, state, at: self.clock.now().utc });
    }
}

impl CallError {
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Lost(reason) => reason.clone(),
            Self::Refused(status) => in_words(*status),
        }
    }
}

/// Completes when the runtime stops, or when nobody can tell us to any more.
async fn stop_requested(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// True for a status that speaks of the session or the connection, not of what was asked.
fn is_lost(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadTimeout
            | StatusCode::BadRequestTimeout
            | StatusCode::BadCommunicationError
            | StatusCode::BadConnectionClosed
            | StatusCode::BadConnectionRejected
            | StatusCode::BadNotConnected
            | StatusCode::BadServerNotConnected
            | StatusCode::BadDisconnect
            | StatusCode::BadEndOfStream
            | StatusCode::BadSecureChannelClosed
            | StatusCode::BadSecureChannelIdInvalid
            | StatusCode::BadTcpSecureChannelUnknown
            | StatusCode::BadSessionClosed
            | StatusCode::BadSessionIdInvalid
            | StatusCode::BadSessionNotActivated
            | StatusCode::BadShutdown
            | StatusCode::BadServerHalted
    )
}

/// True when the server does not know our filter.
fn no_filter(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadMonitoredItemFilterUnsupported
            | StatusCode::BadMonitoredItemFilterInvalid
            | StatusCode::BadFilterNotAllowed
    )
}

/// True when fewer items per request may help.
fn too_many(status: StatusCode) -> bool {
    matches!(
        bare(status),
        StatusCode::BadTooManyOperations
            | StatusCode::BadRequestTooLarge
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadEncodingLimitsExceeded
    )
}
