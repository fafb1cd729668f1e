//! Following each write of an output from its wish to its end. What is kept for others to look at lies in a
//! [`WriteBook`] of bounded size; what the scan needs every time lies in [`Life`], so that a scan that has no news of a
//! write takes no lock for it.

use crate::output::Output;
use crate::stats::Histogram;
use crate::view::WritesView;
use penstock_model::{
    Command, CommandId, Instant, Now, Origin, Outcome, OutcomeState, Utc, Value, WriteCounts, WriteEnd, WriteLife,
    limits::WRITES_KEPT_MAX,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The last writes of one output, newest last, and what became of all of them.
#[derive(Default)]
pub(crate) struct WriteBook {
    kept: VecDeque<WriteLife>,
    pub counts: WriteCounts,
    /// From the grant to the device's confirmation. Made with the first one: most tags are never written.
    latency: Option<Histogram>,
}

impl WriteBook {
    pub fn view(&self) -> WritesView {
        WritesView {
            counts: self.counts,
            latency: self.latency.as_ref().map(Histogram::percentiles).unwrap_or_default(),
            last: self.kept.iter().rev().cloned().collect(),
        }
    }

    pub fn newest(&self) -> Option<&WriteLife> {
        self.kept.back()
    }

    /// The newest write, as long as it is this one: what is told of older ones is of no use any more.
    fn current(&mut self, id: CommandId) -> Option<&mut WriteLife> {
        self.kept.back_mut().filter(|life| life.command.id == id)
    }

    fn count_end(&mut self, end: &WriteEnd) {
        match end {
            WriteEnd::Settled => self.counts.settled += 1,
            WriteEnd::Failed(_) => self.counts.failed += 1,
            WriteEnd::Superseded => self.counts.superseded += 1,
        }
    }
}

/// How a write that is under way stands, on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is awaited.
    Idle,
    /// The device has not answered since.
    Asked(Instant),
    /// The device holds the value since; the process is to follow.
    Held(Instant),
}

/// The write under way of one output.
pub(crate) struct Life {
    id: CommandId,
    state: State,
    /// The measurement that is to follow is declared.
    follows: bool,
    wish: Option<(Origin, Option<Value>)>,
    requested: Utc,
    /// The wish has had its first write.
    begun: bool,
}

impl Life {
    pub fn new(output: &Output) -> Life {
        let follows = output.write.settle.is_some();
        Life { id: CommandId(0), state: State::Idle, follows, wish: None, requested: Utc(0), begun: false }
    }

    /// Takes over the write under way from the life that this one takes the place of; whether a measurement follows is
    /// its own.
    pub fn take_over(&mut self, old: &mut Life) {
        std::mem::swap(self, old);
        std::mem::swap(&mut self.follows, &mut old.follows);
    }

    pub fn id(&self) -> CommandId {
        self.id
    }

    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    /// Notes when a wish is new.
    pub fn request(&mut self, output: &Output, now: Utc) {
        let (origin, wished, _) = output.request();
        let same = self.wish.as_ref().is_some_and(|(o, w)| *o == origin && w.as_ref() == wished);
        if !same {
            self.wish = Some((origin, wished.cloned()));
            self.requested = now;
            self.begun = false;
        }
    }

    /// A command was granted, and handed to its driver's queue where there was room. The write it ends, and itself.
    pub fn granted(
        &mut self,
        book: &mut WriteBook,
        output: &Output,
        command: Arc<Command>,
        now: Now,
        queued: bool,
    ) -> (Option<WriteLife>, Option<WriteLife>) {
        let ended = self.finish(book, WriteEnd::Superseded, now.utc);
        let (_, wished, bound_by) = output.request();
        self.id = command.id;
        self.state = State::Asked(now.mono);
        let life = WriteLife {
            command,
            wished: wished.cloned(),
            bound_by: bound_by.cloned(),
            requested: self.requested,
            first: !std::mem::replace(&mut self.begun, true),
            queued: queued.then_some(now.utc),
            sent: None,
            acknowledged: None,
            read_back: None,
            repeats: 0,
            end: None,
        };
        book.counts.granted += 1;
        if book.kept.len() >= WRITES_KEPT_MAX {
            book.kept.pop_front();
        }
        book.kept.push_back(life.clone());
        (ended, Some(life))
    }

    /// Takes news of the write; the write where that ended it.
    pub fn news(&mut self, book: &mut WriteBook, outcome: &Outcome, now: Now) -> Option<WriteLife> {
        let (id, at, follows) = (self.id, outcome.at, self.follows);
        let life = book.current(outcome.id).filter(|life| life.command.id == id)?;
        match &outcome.state {
            OutcomeState::Sent => {
                life.repeats += u32::from(life.sent.is_some());
                life.sent.get_or_insert(at);
                None
            }
            OutcomeState::Acknowledged => {
                let first = life.acknowledged.is_none();
                life.acknowledged.get_or_insert(at);
                life.sent.get_or_insert(at);
                let handed_back = life.command.value.is_none();
                let granted = life.command.granted;
                if first {
                    book.counts.acknowledged += 1;
                    let took = u64::try_from(at.0.saturating_sub(granted.0)).unwrap_or(0);
                    book.latency.get_or_insert_default().add(Duration::from_nanos(took));
                }
                if handed_back { self.end(book, WriteEnd::Settled, at) } else { None }
            }
            OutcomeState::ReadBack => {
                let first = life.read_back.is_none();
                life.read_back.get_or_insert(at);
                let failed = matches!(life.end, Some((WriteEnd::Failed(_), _)));
                if follows && (first || failed) {
                    // A value asserted again after a failure is to be followed anew.
                    life.end = None;
                    self.state = State::Held(now.mono);
                    return None;
                }
                if first || failed { self.end(book, WriteEnd::Settled, at) } else { None }
            }
            OutcomeState::Failed(why) => self.end(book, WriteEnd::Failed(why.clone()), at),
            OutcomeState::Superseded => self.end(book, WriteEnd::Superseded, at),
        }
    }

    /// Why the write has failed for want of an answer, if it has.
    pub fn overdue(&self, within: Duration, now: Instant) -> Option<String> {
        match self.state {
            State::Asked(since) if now.since(since) >= within => {
                Some(format!("the device gave no answer to this write within {within:?}"))
            }
            _ => None,
        }
    }

    /// How a write that the device holds has ended, if it has: `followed` says whether the measurement is there.
    pub fn judge(
        &self,
        followed: bool,
        within: Duration,
        now: Instant,
        stands: impl Fn() -> String,
    ) -> Option<WriteEnd> {
        let State::Held(since) = self.state else { return None };
        if followed {
            return Some(WriteEnd::Settled);
        }
        let late = now.since(since) >= within;
        late.then(|| WriteEnd::Failed(format!("the process did not follow: {} {within:?} later", stands()).into()))
    }

    /// Ends the write under way; the write as it ended, where that is news.
    pub fn end(&mut self, book: &mut WriteBook, end: WriteEnd, at: Utc) -> Option<WriteLife> {
        self.state = State::Idle;
        let life = book.current(self.id)?;
        if life.end.as_ref().is_some_and(|(before, _)| *before == end) {
            return None;
        }
        life.end = Some((end.clone(), at));
        let life = life.clone();
        book.count_end(&end);
        Some(life)
    }

    /// Ends the write under way by a newer one.
    fn finish(&mut self, book: &mut WriteBook, end: WriteEnd, at: Utc) -> Option<WriteLife> {
        let open = book.newest().is_some_and(|life| life.end.is_none());
        if open { self.end(book, end, at) } else { None }
    }
}
