//! A declared condition at work: its delays, its latch, and what a bad input means to it.

use super::def::BadPolicy;
use super::view::GuardState;
use crate::condition::{Condition, Timers, Tri};
use penstock_model::{Cause, Instant, Now, Sample, Utc, limits};

/// What a condition came to after its policy on bad inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    No,
    Yes,
    /// Inputs that have never been received since the start: wait for them, within reason.
    Waiting,
}

/// One condition with its memory.
pub(crate) struct Watch {
    condition: Condition,
    timers: Timers,
    bad: BadPolicy,
    /// What an input of bad quality means under [`BadPolicy::Trip`].
    safe: bool,
    /// What it last was.
    last: bool,
    /// True once every input has been received, or was waited for long enough.
    known: bool,
    started: Instant,
}

impl Watch {
    /// `safe`: the side that counts as safe where an input is bad; `last`: what `hold` begins with.
    pub fn new(condition: Condition, bad: BadPolicy, safe: bool, last: bool, started: Instant) -> Watch {
        let timers = condition.timers();
        Watch { condition, timers, bad, safe, last, known: false, started }
    }

    /// Looks at the tags where `other`, a watch of the same condition, was bound to them.
    pub fn look_from(&mut self, other: &mut Watch) {
        std::mem::swap(&mut self.condition, &mut other.condition);
    }

    /// One evaluation, and the place of the comparison that decided.
    pub fn look(&mut self, image: &[Sample], now: Instant) -> (Verdict, usize) {
        let (so, leaf) = self.condition.evaluate(&mut self.timers, image, now);
        if !self.known && so == Tri::Unknown && self.condition.waits(image) {
            self.known = now.since(self.started) >= limits::INTERLOCK_START_WAIT;
            if !self.known {
                return (Verdict::Waiting, leaf);
            }
        }
        self.known |= so != Tri::Unknown;
        let so = match (so, self.bad) {
            (Tri::True, _) => true,
            (Tri::False, _) => false,
            (Tri::Unknown, BadPolicy::Trip) => self.safe,
            (Tri::Unknown, BadPolicy::Ignore) => !self.safe,
            (Tri::Unknown, BadPolicy::Hold) => self.last,
        };
        self.last = so;
        (if so { Verdict::Yes } else { Verdict::No }, leaf)
    }

    pub fn cause(&self, leaf: usize, image: &[Sample]) -> Cause {
        self.condition.cause(leaf, image)
    }

    fn is_cause(&self, cause: &Cause, leaf: usize, image: &[Sample]) -> bool {
        self.condition.is_cause(cause, leaf, image)
    }
}

/// What an evaluation of an interlock changed.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Tripped,
    /// The cause is gone; true where it has latched.
    Cleared(bool),
}

/// An interlock as it stands.
pub(crate) struct Interlock {
    watch: Watch,
    latch: bool,
    pub state: GuardState,
    /// What made it act, as it was then.
    pub cause: Option<Cause>,
    pub since: Option<Utc>,
}

impl Interlock {
    pub fn new(watch: Watch, latch: bool, latched: bool) -> Interlock {
        let state = if latched && latch { GuardState::Latched } else { GuardState::Waiting };
        Interlock { watch, latch, state, cause: None, since: None }
    }

    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// True while the output must take the interlock's value.
    pub fn acts(&self) -> bool {
        matches!(self.state, GuardState::Acting | GuardState::Latched)
    }

    /// One evaluation.
    pub fn look(&mut self, image: &[Sample], now: Now) -> Option<Change> {
        let (verdict, leaf) = self.watch.look(image, now.mono);
        match (verdict, self.state) {
            // What had latched before a restart acts, whatever is not known yet.
            (Verdict::Waiting, GuardState::Latched) => None,
            (Verdict::Waiting, _) => {
                self.state = GuardState::Waiting;
                None
            }
            (Verdict::Yes, GuardState::Acting) => None,
            (Verdict::Yes, before) => {
                self.state = GuardState::Acting;
                self.cause = Some(self.watch.cause(leaf, image));
                if before != GuardState::Latched || self.since.is_none() {
                    self.since = Some(now.utc);
                }
                Some(Change::Tripped)
            }
            (Verdict::No, GuardState::Acting) => {
                self.state = if self.latch { GuardState::Latched } else { GuardState::Clear };
                if !self.latch {
                    self.clear();
                }
                Some(Change::Cleared(self.latch))
            }
            (Verdict::No, GuardState::Waiting) => {
                self.state = GuardState::Clear;
                None
            }
            (Verdict::No, GuardState::Clear | GuardState::Latched) => None,
        }
    }

    /// Ends a latch whose cause is gone.
    pub fn reset(&mut self) -> bool {
        let latched = self.state == GuardState::Latched;
        if latched {
            self.state = GuardState::Clear;
            self.clear();
        }
        latched
    }

    fn clear(&mut self) {
        self.cause = None;
        self.since = None;
    }
}

/// A permissive as it stands.
pub(crate) struct Permissive {
    watch: Watch,
    /// What is known of it: `None` while inputs are waited for.
    pub met: Option<bool>,
    /// What decides, as it was when it began to: while it is not met, the first comparison that is unmet now.
    pub cause: Option<Cause>,
}

impl Permissive {
    pub fn new(watch: Watch) -> Permissive {
        Permissive { watch, met: None, cause: None }
    }

    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// One evaluation; true when it changed, or while it is not met another comparison is what it waits for. A value that
    /// moves without deciding otherwise is no change.
    pub fn look(&mut self, image: &[Sample], now: Instant) -> bool {
        let (verdict, leaf) = self.watch.look(image, now);
        let met = match verdict {
            Verdict::Waiting => None,
            Verdict::Yes => Some(true),
            Verdict::No => Some(false),
        };
        let still = self.cause.as_ref().is_some_and(|c| met == Some(true) || self.watch.is_cause(c, leaf, image));
        if self.met == met && still {
            return false;
        }
        self.met = met;
        self.cause = Some(self.watch.cause(leaf, image));
        true
    }
}
