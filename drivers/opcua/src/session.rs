//! The link of one server: connect, subscribe, serve, lose, wait, connect again, for ever.
//!
//! States: *connecting* until the first session or the first failure; *up* once a session answers; *down* from a
//! failure on. A session is lost when its connection ends, or when a subscription falls silent and the server does not
//! answer any more; a subscription that alone falls silent is created again.

use crate::capacity::Capacity;
use crate::config::DeviceConfig;
use crate::connect::{Driven, Open, client, in_words, open};
use crate::convert::bare;
use crate::expiry::Expiry;
use crate::feed::Feed;
use crate::limits::{PROBE_AFTER, UNKNOWN_RETRY_MIN, WRITES_PER_REQUEST};
use crate::link::Link;
use crate::node::{NodeRef, parse_node};
use crate::subscribe::Source;
use opcua::client::{Client, Session};
use opcua::types::{
    Error, NamespaceMap, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant, VariantScalarTypeId,
};
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use penstock_model::{Clock, Command, CommandBook, CommandNews, Outcome, OutcomeState, SampleSink};
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
    pub(crate) book: CommandBook<Variant, Instant>,
    pub(crate) feed: Arc<Feed>,
    sink: Arc<dyn SampleSink>,
    expiry: Expiry,
    nodes: Vec<Result<NodeRef, String>>,
    commands: mpsc::Receiver<Command>,
    commands_open: bool,
    stop: watch::Receiver<bool>,
    /// Writes in one request: fewer where a server did not answer as many in time, more again where it does.
    pub(crate) writes: usize,
    /// A session was open since the last loss.
    was_open: bool,
}

/// What belongs to one session.
pub(crate) struct Live {
    pub(crate) session: Arc<Session>,
    /// Type of each node that was written, by point.
    pub(crate) types: HashMap<usize, VariantScalarTypeId>,
    pub(crate) link: u64,
    pub(crate) namespaces: NamespaceMap,
    /// How much the server takes in one request.
    pub(crate) capacity: Capacity,
    /// By group.
    pub(crate) sources: Vec<Source>,
    /// Points that the server does not let us have.
    pub(crate) unwatched: Vec<usize>,
    /// When they are asked for again, and how long the wait after that is.
    pub(crate) retry_at: Instant,
    pub(crate) retry_wait: Duration,
    task: Driven,
    /// When the server was heard last, and what was counted then.
    heard: Instant,
    answers: u64,
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
            book: CommandBook::new(config.name.clone(), config.written()),
            feed: Arc::new(Feed::new(config.clone(), sink.clone(), clock.clone())),
            expiry: Expiry::new(config.clone(), sink.clone(), clock.clone()),
            nodes: config.points.iter().map(|p| parse_node(&p.node).map_err(|e| e.to_string())).collect(),
            config,
            sink,
            clock,
            commands,
            commands_open: true,
            stop,
            writes: WRITES_PER_REQUEST,
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
        let Open { session, task, certificates } = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.link.failed();
                return End::Lost(reason);
            }
        };
        self.expiry.learn(certificates);
        let mut live = Live {
            session,
            types: HashMap::new(),
            link: self.feed.begin(),
            namespaces: NamespaceMap::new(),
            capacity: Capacity::default(),
            sources: self.config.groups.iter().map(|_| Source::None).collect(),
            unwatched: Vec::new(),
            retry_at: Instant::now() + UNKNOWN_RETRY_MIN,
            retry_wait: UNKNOWN_RETRY_MIN,
            task,
            heard: Instant::now(),
            answers: 0,
        };
        // What was decided while the server was away comes before what its return will change.
        self.take_commands();
        self.book.reassert();
        let ready = self.set_up(&mut live).await;
        self.was_open |= ready.is_ok();
        let end = match ready {
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
        let opened = open(client, &self.config).await;
        if opened.is_err() {
            // The next attempt begins anew: somebody may have put another certificate in its place.
            *ready = None;
        }
        opened
    }

    /// The node of a point in this session.
    pub(crate) fn node(&self, live: &Live, index: usize) -> Result<NodeId, String> {
        self.nodes[index].as_ref().map_err(Clone::clone)?.resolve(&live.namespaces)
    }

    /// Writes and watches until the session is lost or the runtime stops.
    async fn serve(&mut self, live: &mut Live) -> End {
        let shortest = live.sources.iter().filter_map(Source::silence).min();
        let tick =
            shortest.map_or(Duration::from_secs(1), |s| s / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            if self.stopped() {
                return End::Stopped;
            }
            if let Err(end) = self.turn(live).await {
                return end;
            }
            let due = live.sources.iter().filter_map(Source::due).chain(self.book.next_due()).min();
            let tick = if self.book.has_pending() { Duration::ZERO } else { tick };
            let wake = due.map_or(Instant::now() + tick, |due| due.min(Instant::now() + tick));
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

    /// Commands first, one request of them, then read-backs, then the subscriptions.
    async fn turn(&mut self, live: &mut Live) -> Result<(), End> {
        self.take_commands();
        self.write_pending(live).await?;
        let due = self.book.due(Instant::now());
        self.check(live, due).await?;
        for group in 0..live.sources.len() {
            self.listen(live, group).await?;
        }
        self.probe(live).await?;
        let note = self.feed.clock_note();
        self.link.note(&note);
        self.link.report_if_due();
        self.expiry.tell();
        if Instant::now() >= live.retry_at {
            self.retry(live).await?;
        }
        Ok(())
    }

    /// Asks for the state of a server that was not heard for a while: one that stalls without closing is noticed even
    /// where nothing is subscribed.
    async fn probe(&mut self, live: &mut Live) -> Result<(), End> {
        let answers = self.link.answers();
        if answers != live.answers {
            (live.answers, live.heard) = (answers, Instant::now());
        }
        if live.heard.elapsed() < PROBE_AFTER {
            return Ok(());
        }
        live.heard = Instant::now();
        let ask = [ReadValueId::from(NodeId::from(VariableId::Server_ServerStatus_State))];
        match self.call(live.session.clone().read(&ask, TimestampsToReturn::Neither, 0.0)).await {
            Err(CallError::Lost(reason)) => Err(End::Lost(reason)),
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        }
    }

    /// One service call: bounded, counted, judged.
    pub(crate) async fn call<T>(&mut self, call: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
        let started = Instant::now();
        // The library's own limit is the same, and whichever of the two comes first must not change the words.
        let late = |s| matches!(bare(s), StatusCode::BadTimeout | StatusCode::BadRequestTimeout);
        let result = match tokio::time::timeout(self.config.timeout, call).await {
            Ok(Ok(answer)) => {
                self.link.answered(started.elapsed());
                return Ok(answer);
            }
            Ok(Err(e)) if is_lost(e.status()) && !late(e.status()) => CallError::Lost(in_words(e.status())),
            Ok(Err(e)) if !is_lost(e.status()) => CallError::Refused(e.status()),
            Ok(Err(_)) | Err(_) => CallError::Lost(format!("no answer within {:?}", self.config.timeout)),
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
            while self.book.has_pending() && self.write_pending(live).await.is_ok() {}
        })
        .await;
        let _ = tokio::time::timeout(limit, live.session.disconnect()).await;
    }

    /// Waits while the link is down; commands are kept meanwhile. True when stopped.
    async fn pause(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.stopped() {
            self.expiry.tell();
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
    pub(crate) fn tell(&self, (id, tag, state): CommandNews) {
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
pub(crate) fn is_lost(status: StatusCode) -> bool {
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
