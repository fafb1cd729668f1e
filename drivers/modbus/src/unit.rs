//! One unit: what it has to do, and one question to it at a time.
//!
//! States of its link: *connecting* until the first answer or the first failure; *up* from an answer on; *down* from a
//! failure on. A connection alone is not *up*: a gateway accepts connections for a device that is switched off.

use crate::breaker::Breaker;
use crate::codec::Encoded;
use crate::config::DeviceConfig;
use crate::discover::Discovery;
use crate::line::Transport;
use crate::link::Link;
use crate::pdu::{Answer, Request, refusal};
use crate::read::{Group, PointState, deliver_link_loss};
use crate::transport::{CallError, Wire};
use penstock_model::{Clock, Command, CommandBook, CommandNews, Outcome, OutcomeState, SampleSink};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// A unit of a channel, as the driver runs it.
pub(crate) struct Unit {
    pub(crate) config: DeviceConfig,
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) link: Link,
    pub(crate) book: CommandBook<Encoded, Instant>,
    /// What is polled, as learned: refused requests are split.
    pub(crate) groups: Vec<Group>,
    /// What is known of each point.
    pub(crate) points: Vec<PointState>,
    pub(crate) beat: Beat,
    pub(crate) breaker: Breaker,
    /// Number of the turn in which it was last served.
    pub(crate) served: u64,
    /// Questions asked of it so far.
    pub(crate) asked: u64,
    /// It was lost: what it was commanded is asserted again when it is back.
    pub(crate) away: bool,
    /// Its chain of SunSpec models, where its points are found by that.
    pub(crate) discovery: Option<Discovery>,
    /// It has said what it is.
    identified: bool,
    commands: mpsc::Receiver<Command>,
    commands_open: bool,
    /// Not asked before: the pause it needs.
    ready_at: Instant,
    /// When it was last asked.
    asked_at: Instant,
    /// Time spent on answers that did not come, since it was last taken.
    lost: Duration,
    /// An answer came since that was last taken.
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

/// What broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The unit does not answer; its neighbours may.
    Unit(String),
    /// The connection is gone.
    Channel(String),
}

/// What a unit has to do, the more urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A command.
    Write,
    /// A read-back.
    Check,
    /// The heartbeat.
    Beat,
    /// The next request of a group.
    Read(usize),
    /// Any request, so that the connection is not closed.
    KeepAlive,
    /// The question what it is.
    Identify,
    /// The next question of its chain of models.
    Discover,
}

impl Work {
    /// True for what is done before anything is read.
    pub(crate) fn is_before_reads(self) -> bool {
        matches!(self, Self::Write | Self::Check | Self::Beat)
    }
}

/// Work that is due, and by when it should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) work: Work,
    pub(crate) deadline: Instant,
}

impl Unit {
    pub(crate) fn new(
        config: DeviceConfig,
        sink: Arc<dyn SampleSink>,
        commands: mpsc::Receiver<Command>,
        clock: Arc<dyn Clock>,
    ) -> Unit {
        let link = Link::new(config.id, config.name.clone(), sink.clone(), clock.clone());
        let now = Instant::now();
        Unit {
            book: CommandBook::new(config.name.clone(), config.written()),
            groups: Group::all(&config, &[], now),
            discovery: Discovery::of(&config, now),
            points: vec![PointState::default(); config.points.len()],
            // Silent until the first scan, so that the first beat is told.
            beat: Beat { silent: config.heartbeat.is_some(), ..Beat::default() },
            breaker: Breaker::new(),
            served: 0,
            asked: 0,
            away: true,
            identified: !config.quirks.identify,
            config,
            sink,
            clock,
            link,
            commands,
            commands_open: true,
            ready_at: now,
            asked_at: now,
            lost: Duration::ZERO,
            answered: false,
            tags_lost: false,
        }
    }

    /// The unit is to be served from here on, for the first time or again: everything is read and asserted at once.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.book.reassert();
        self.groups.iter_mut().for_each(|group| group.restart(now));
        self.forget_chain(now);
        self.beat.next = self.config.heartbeat.map(|_| now);
        self.asked_at = now;
        self.identified = !self.config.quirks.identify;
    }

    /// Nothing is ever read from this unit: the connection is all there is to go by.
    pub(crate) fn reads_nothing(&self) -> bool {
        self.discovery.is_none() && self.groups.iter().all(Group::is_empty)
    }

    /// The most urgent work that is due; a read before anything else where `reads_first`.
    pub(crate) fn due(&mut self, now: Instant, reads_first: bool) -> Option<Due> {
        if self.ready_at > now {
            return None;
        }
        let read = self.read_due(now);
        if reads_first && read.is_some() {
            return read;
        }
        self.book.repeat(now);
        let at_once = |work| Some(Due { work, deadline: now });
        if self.discovery.as_ref().is_some_and(|d| d.is_needed(now)) {
            return at_once(Work::Discover);
        }
        if self.book.first_pending().is_some() {
            return at_once(Work::Write);
        }
        if self.book.next_check().is_some_and(|at| at <= now) {
            return at_once(Work::Check);
        }
        if self.beat.next.is_some_and(|at| at <= now) {
            return at_once(Work::Beat);
        }
        if read.is_some() {
            return read;
        }
        if !self.identified && !self.away {
            return at_once(Work::Identify);
        }
        if self.discovery.as_ref().is_some_and(|d| d.is_due(now)) {
            return at_once(Work::Discover);
        }
        self.keep_alive_at().is_some_and(|at| at <= now).then_some(Due { work: Work::KeepAlive, deadline: now })
    }

    /// The group whose next turn would be missed first.
    fn read_due(&self, now: Instant) -> Option<Due> {
        let of = |(index, group): (usize, &Group)| {
            let deadline = group.deadline(now)?;
            Some(Due { work: Work::Read(index), deadline })
        };
        self.groups.iter().enumerate().filter_map(of).min_by_key(|due| due.deadline)
    }

    fn keep_alive_at(&self) -> Option<Instant> {
        self.config.quirks.keep_alive.map(|every| self.asked_at + every)
    }

    /// When there is something to do next, as far as is known.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let groups = self.groups.iter().filter_map(Group::wakes_at).min();
        let pending = self.book.first_pending().map(|_| self.ready_at);
        let chain = self.discovery.as_ref().map(|d| d.wakes_at(self.ready_at));
        let next = [groups, pending, self.beat.next, self.book.next_due(), self.keep_alive_at(), chain];
        next.into_iter().flatten().min().map(|at| at.max(self.ready_at))
    }

    /// Not asked before this.
    pub(crate) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// Its fastest poll period; its time-out where it polls nothing.
    pub(crate) fn fastest(&self) -> Duration {
        self.config.groups.iter().map(|g| g.every).min().unwrap_or(self.config.timeout)
    }

    /// Does one piece of work: one request, or a write with its first read-back.
    pub(crate) async fn work(&mut self, work: Work, wire: &mut Wire) -> Result<(), Trouble> {
        match work {
            Work::Write => match self.book.first_pending() {
                Some(point) => self.write(wire, point).await,
                None => Ok(()),
            },
            Work::Check => match self.book.due(Instant::now()).into_iter().next() {
                Some(check) => self.check(wire, check).await,
                None => Ok(()),
            },
            Work::Beat => self.beat(wire).await,
            Work::Read(group) => self.poll(wire, group).await,
            Work::KeepAlive => self.keep_alive(wire).await,
            Work::Identify => self.identify(wire).await,
            Work::Discover => self.discover(wire).await,
        }
    }

    /// One request on the wire, repeated as configured. Counts it, and turns the tags Bad(link) as soon as the answer is
    /// overdue, although it may still be waited for.
    pub(crate) async fn exchange(&mut self, wire: &mut Wire, request: &Request) -> Result<Answer, CallError> {
        let writes = request.writes();
        let quirks = self.config.quirks;
        let wait = quirks.write_timeout.filter(|_| writes).unwrap_or(self.config.timeout);
        let overdue = Instant::now() + overdue_after(&self.config, self.link.round_trip()).min(wait);
        // A probe asks once: it is there to find out cheaply.
        let mut left = if self.breaker.open_until().is_some() { 0 } else { self.config.retries() };
        loop {
            sleep_until(self.ready_at).await;
            let started = Instant::now();
            self.asked += 1;
            let result = self.call(wire, request, wait, overdue).await;
            self.asked_at = Instant::now();
            self.ready_at =
                self.asked_at + if writes { quirks.pause.max(quirks.pause_after_write) } else { quirks.pause };
            match &result {
                Ok(_) => self.link.answered(started.elapsed()),
                Err(CallError::Refused(_) | CallError::Nonsense(_)) => self.link.refused(),
                Err(_) => self.link.failed(),
            }
            match &result {
                Ok(_) | Err(CallError::Refused(_) | CallError::Nonsense(_)) => {
                    self.answered = true;
                    self.tags_lost = false;
                }
                Err(CallError::Silent(_) | CallError::Damaged(_)) => {
                    self.lost += started.elapsed() + self.config.channel.silence();
                    if left > 0 {
                        left -= 1;
                        self.link.retried();
                        continue;
                    }
                }
                // A gateway that says so at once has cost what it took.
                Err(CallError::Unreachable(_)) => self.lost += started.elapsed(),
                Err(CallError::Lost(_)) => {}
            }
            return result;
        }
    }

    async fn call(
        &mut self,
        wire: &mut Wire,
        request: &Request,
        wait: Duration,
        overdue: Instant,
    ) -> Result<Answer, CallError> {
        let call = wire.call(self.config.unit, request, wait);
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
    }

    /// Reads the first thing that is polled, for the connection's sake.
    async fn keep_alive(&mut self, wire: &mut Wire) -> Result<(), Trouble> {
        let Some(point) = self.config.points.iter().find(|point| point.is_placed()) else {
            self.asked_at = Instant::now();
            return Ok(());
        };
        let ask = Request::Read { area: point.address.area, start: point.address.pdu, count: point.places() };
        let result = self.exchange(wire, &ask).await;
        result.err().as_ref().and_then(trouble).map_or(Ok(()), Err)
    }

    /// Asks the unit what it is. One that does not know the question is not asked again on this connection.
    async fn identify(&mut self, wire: &mut Wire) -> Result<(), Trouble> {
        let device = self.config.name.clone();
        match self.exchange(wire, &Request::Identify).await {
            Ok(Answer::Identity(words)) => {
                tracing::info!(%device, says = words.join(", "), "the device says what it is");
            }
            Ok(_) => {}
            Err(error) => {
                if let Some(trouble) = trouble(&error) {
                    return Err(trouble);
                }
                tracing::warn!(%device, why = in_words(&error), "the device does not say what it is");
            }
        }
        self.identified = true;
        Ok(())
    }

    /// The unit, or the connection to it, is lost: its tags turn bad, and its link is down.
    pub(crate) fn lose(&mut self, reason: &str) {
        self.away = true;
        self.link.down(reason, self.breaker.open_until().is_some());
        if !std::mem::replace(&mut self.tags_lost, true) {
            deliver_link_loss(&self.config, &self.points, &*self.sink, self.clock.now());
        }
    }

    /// True when an answer came since the last time this was asked.
    pub(crate) fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// Time spent on answers that did not come, since the last time this was asked.
    pub(crate) fn take_lost(&mut self) -> Duration {
        std::mem::take(&mut self.lost)
    }

    /// Takes in all commands that wait.
    pub(crate) fn take_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.took(command);
        }
    }

    /// Ready when a command came and was taken in.
    pub(crate) fn poll_command(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.commands_open {
            return Poll::Pending;
        }
        match self.commands.poll_recv(context) {
            Poll::Ready(Some(command)) => {
                self.took(command);
                Poll::Ready(())
            }
            Poll::Ready(None) => {
                self.commands_open = false;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn took(&mut self, command: Command) {
        let news = self.book.accept(command);
        news.into_iter().for_each(|n| self.tell(n));
    }

    /// Gives news of a command.
    pub(crate) fn tell(&self, (id, tag, state): CommandNews) {
        if let OutcomeState::Failed(reason) = &state {
            tracing::warn!(device = %self.config.name, command = id.0, %reason, "command failed");
        }
        self.sink.outcome(Outcome { id, tag, state, at: self.clock.now().utc });
    }

    /// The last commands of a runtime that stops (its shutdown fallbacks) go out.
    pub(crate) async fn flush(&mut self, wire: &mut Wire) {
        while let Some(point) = self.book.first_pending() {
            if self.write(wire, point).await.is_err() {
                break;
            }
        }
    }

    /// Tells what never went out.
    pub(crate) fn tell_unsent(&mut self) {
        for command in self.book.unsent() {
            let reason = "the runtime stopped before the command could be sent";
            self.tell((command.id, command.tag, OutcomeState::Failed(reason.into())));
        }
    }
}

impl DeviceConfig {
    /// How often a question without an answer is repeated.
    pub(crate) fn retries(&self) -> u8 {
        self.quirks.retries.unwrap_or(u8::from(self.channel.transport != Transport::Tcp))
    }
}

/// What a failed call breaks, if anything.
pub(crate) fn trouble(error: &CallError) -> Option<Trouble> {
    match error {
        CallError::Lost(reason) => Some(Trouble::Channel(reason.clone())),
        CallError::Unreachable(code) => Some(Trouble::Unit(refusal(*code))),
        CallError::Silent(reason) | CallError::Damaged(reason) => Some(Trouble::Unit(reason.clone())),
        CallError::Refused(_) | CallError::Nonsense(_) => None,
    }
}

/// A failed call in words for a person.
pub(crate) fn in_words(error: &CallError) -> String {
    match error {
        CallError::Refused(code) | CallError::Unreachable(code) => refusal(*code),
        CallError::Nonsense(what) | CallError::Silent(what) | CallError::Damaged(what) | CallError::Lost(what) => {
            what.clone()
        }
    }
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
