//! The link of one device: connect, serve, lose, wait, connect again, for ever.
//!
//! States: *connecting* until the first answer or the first failure; *up* from an answer on; *down* from a failure on.
//! A connection alone is not *up*: a gateway accepts connections for a device that is switched off.
//!
//! The order within a turn is fixed: commands, read-backs, heartbeat, then one request of the group that is due, and
//! again. So a command waits for one request at most, never for a whole poll, and a busy device that is commanded
//! without pause is still read.

use crate::commands::{Book, News};
use crate::config::DeviceConfig;
use crate::link::Link;
use crate::read::{PointState, Poll, deliver_link_loss};
use crate::transport::{Answer, CallError, Channel, Endpoint, Request, refusal};
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use penstock_model::{Clock, Command, Outcome, OutcomeState, SampleSink};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Everything one device's task owns.
pub(crate) struct Session {
    pub(crate) config: DeviceConfig,
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) link: Link,
    pub(crate) book: Book,
    /// The requests of each group, as learned: refused ones are split.
    pub(crate) polls: Vec<Vec<Poll>>,
    /// What is known of each point.
    pub(crate) points: Vec<PointState>,
    pub(crate) beat: Beat,
    commands: mpsc::Receiver<Command>,
    commands_open: bool,
    stop: watch::Receiver<bool>,
    channel: Option<Channel>,
    /// An answer came since the last loss.
    answered: bool,
    /// The tags are Bad(link) already.
    tags_lost: bool,
}

/// The heartbeat's state.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    pub(crate) count: u16,
    pub(crate) next: Option<Instant>,
    pub(crate) refused: bool,
    /// Control was not alive at the last beat that was due.
    pub(crate) silent: bool,
}

/// Why serving ended.
pub(crate) enum End {
    /// The link failed, for this reason.
    Lost(String),
    /// The runtime stops.
    Stopped,
}

impl Session {
    pub(crate) fn new(
        config: DeviceConfig,
        sink: Arc<dyn SampleSink>,
        commands: mpsc::Receiver<Command>,
        clock: Arc<dyn Clock>,
        stop: watch::Receiver<bool>,
    ) -> Session {
        let link = Link::new(config.id, config.name.clone(), sink.clone(), clock.clone());
        Session {
            book: Book::new(&config),
            polls: Vec::new(),
            points: vec![PointState::default(); config.points.len()],
            // Silent until the first scan, so that the first beat is told.
            beat: Beat { silent: config.heartbeat.is_some(), ..Beat::default() },
            config,
            sink,
            clock,
            link,
            commands,
            commands_open: true,
            stop,
            channel: None,
            answered: false,
            tags_lost: false,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let endpoint = Endpoint::Tcp(self.config.address.clone());
        let mut wait = RECONNECT_WAIT_MIN;
        loop {
            let End::Lost(reason) = self.connect_and_serve(&endpoint).await else { break };
            if std::mem::take(&mut self.answered) {
                wait = RECONNECT_WAIT_MIN;
            }
            self.link.down(&reason);
            self.lose_tags();
            if self.pause(wait).await {
                break;
            }
            wait = (wait * 2).min(RECONNECT_WAIT_MAX);
        }
        self.finish().await;
    }

    async fn connect_and_serve(&mut self, endpoint: &Endpoint) -> End {
        if self.stopped() {
            return End::Stopped;
        }
        if !self.channel.as_ref().is_some_and(Channel::is_alive) {
            self.channel = None;
            let connect = endpoint.connect(self.config.unit, self.config.timeout);
            let connected = tokio::select! {
                result = connect => result,
                () = stop_requested(&mut self.stop) => return End::Stopped,
            };
            match connected {
                Ok(channel) => self.channel = Some(channel),
                Err(reason) => {
                    self.link.failed();
                    return End::Lost(reason);
                }
            }
            if self.pause(self.config.pause_after_connect).await {
                return End::Stopped;
            }
        }
        self.polls = Poll::all(&self.config);
        self.book.reassert();
        if self.polls.iter().all(Vec::is_empty) {
            // Nothing is ever read from this device: the connection is all there is to go by.
            self.link.up();
        }
        self.serve().await
    }

    /// Polls and writes until the link fails or the runtime stops.
    async fn serve(&mut self) -> End {
        let start = Instant::now();
        let mut due: Vec<Instant> = vec![start; self.polls.len()];
        self.beat.next = self.config.heartbeat.map(|_| start);
        loop {
            if let Err(end) = self.before_reads().await {
                return end;
            }
            let next = (0..due.len()).filter(|g| !self.polls[*g].is_empty()).min_by_key(|g| due[*g]);
            match next {
                Some(group) if due[group] <= Instant::now() => {
                    if let Err(end) = self.poll(group).await {
                        return end;
                    }
                    due[group] = next_deadline(due[group], self.config.groups[group].every, Instant::now());
                }
                _ => {
                    let wake = [next.map(|g| due[g]), self.beat.next, self.book.next_due()].into_iter().flatten().min();
                    self.idle(wake).await;
                }
            }
        }
    }

    /// What comes before every read: commands, read-backs, heartbeat.
    pub(crate) async fn before_reads(&mut self) -> Result<(), End> {
        if self.stopped() {
            return Err(End::Stopped);
        }
        self.take_commands();
        self.book.repeat(Instant::now());
        for point in self.book.pending() {
            self.write(point).await?;
        }
        for check in self.book.due(Instant::now()) {
            self.check(check).await?;
        }
        self.beat().await
    }

    /// One request on the wire. Counts it, and turns the tags Bad(link) as soon as the answer is overdue, although
    /// it may still be waited for.
    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<Answer, CallError> {
        let Some(channel) = self.channel.as_mut() else { return Err(CallError::Lost("not connected".to_owned())) };
        let started = Instant::now();
        let overdue = started + overdue_after(&self.config, self.link.round_trip());
        let result = {
            let call = channel.call(request, self.config.timeout);
            tokio::pin!(call);
            tokio::select! {
                biased;
                result = &mut call => result,
                () = sleep_until(overdue), if !self.tags_lost => {
                    self.tags_lost = true;
                    deliver_link_loss(&self.config, &self.points, &*self.sink, self.clock.now());
                    call.await
                }
            }
        };
        match &result {
            Ok(_) => self.link.answered(started.elapsed()),
            Err(CallError::Refused(_) | CallError::Nonsense(_)) => self.link.refused(),
            Err(CallError::Unreachable(_) | CallError::Lost(_)) => self.link.failed(),
        }
        if matches!(result, Ok(_) | Err(CallError::Refused(_) | CallError::Nonsense(_))) {
            self.answered = true;
            self.tags_lost = false;
        }
        result
    }

    /// All tags Bad(link), once per loss.
    fn lose_tags(&mut self) {
        if !std::mem::replace(&mut self.tags_lost, true) {
            deliver_link_loss(&self.config, &self.points, &*self.sink, self.clock.now());
        }
    }

    /// Waits until `wake`, a command, or the stop.
    async fn idle(&mut self, wake: Option<Instant>) {
        // Without anything to do a turn still comes once a second, for the report of the link.
        let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        tokio::select! {
            () = sleep_until(wake) => self.link.report_if_due(),
            command = self.commands.recv(), if self.commands_open => self.took(command),
            () = stop_requested(&mut self.stop) => {}
        }
    }

    /// Waits while the link is down or not ready yet; commands are kept meanwhile. True when stopped.
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

    /// The last commands of a runtime that stops (its shutdown fallbacks) still go out, if that takes no longer than
    /// one answer may take.
    async fn finish(&mut self) {
        self.take_commands();
        let limit = self.config.timeout;
        let _ = tokio::time::timeout(limit, async {
            for point in self.book.pending() {
                if !self.channel.as_ref().is_some_and(Channel::is_alive) || self.write(point).await.is_err() {
                    break;
                }
            }
        })
        .await;
        for command in self.book.unsent() {
            let reason = "the runtime stopped before the command could be sent";
            self.tell((command.id, command.tag, OutcomeState::Failed(reason.into())));
        }
    }
}

/// The end that a failed call means, if it ends the link.
pub(crate) fn link_end(error: &CallError) -> Option<End> {
    match error {
        CallError::Lost(reason) => Some(End::Lost(reason.clone())),
        CallError::Unreachable(code) => Some(End::Lost(refusal(*code))),
        CallError::Refused(_) | CallError::Nonsense(_) => None,
    }
}

/// Completes when the runtime stops, or when nobody can tell us to any more.
async fn stop_requested(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// An answer is overdue after the fastest poll period, so that tags turn Bad(link) within two of them whatever the
/// time-out. A device that is known to need longer gets twice its last round trip.
fn overdue_after(config: &DeviceConfig, round_trip: Duration) -> Duration {
    let fastest = config.groups.iter().map(|g| g.every).min().unwrap_or(config.timeout);
    fastest.max(round_trip * 2).min(config.timeout)
}

/// The next deadline of a period after `now`, on the grid of `last`: missed ones are skipped, never caught up.
pub(crate) fn next_deadline(last: Instant, every: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(last).as_nanos() / every.as_nanos().max(1);
    last + every * u32::try_from(missed).unwrap_or(u32::MAX - 1).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_deadlines_are_skipped_on_the_same_grid() {
        let start = Instant::now();
        let every = Duration::from_millis(100);
        for (late_ms, next_ms) in [(0, 100), (30, 100), (99, 100), (100, 200), (1_050, 1_100)] {
            let next = next_deadline(start, every, start + Duration::from_millis(late_ms));
            assert_eq!(next, start + Duration::from_millis(next_ms), "{late_ms} ms late");
        }
    }
}
