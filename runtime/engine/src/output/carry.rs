//! What of an output goes over a restart, and over a change of the configuration while it runs.

use super::Output;
use crate::state::OutputState;
use penstock_model::{Instant, ValueType};
use std::time::Duration;

impl Output {
    /// How it stands, for a run after this one; `None` for an entry, and before anything was granted.
    pub fn save(&self, now: Instant) -> Option<OutputState> {
        let granted = self.stands.granted.clone().filter(|_| !self.entry)?;
        let since = self.changed_at.map(|at| now.since(at) + self.stood_before);
        Some(OutputState { tag: self.tag, granted, position: self.stands.position, since })
    }

    /// Takes up how it stood before a restart, so that its first value moves no faster than its rate and its minimum
    /// times go on. What does not fit the tag any more is left. It is commanded anew in any case.
    pub fn restore(&mut self, saved: &OutputState, away: Duration, now: Instant) {
        let fits = saved.granted.value_type() == self.value_type && saved.granted.is_finite();
        if self.entry || !fits {
            return;
        }
        self.stands.granted = Some(saved.granted.clone());
        // Its own number where nothing was kept behind it, and never one that does not round to what was granted.
        let number = saved.granted.as_f64().filter(|_| matches!(self.value_type, ValueType::Int | ValueType::Float));
        self.stands.position = number.map(|n| saved.position.filter(|p| (p - n).abs() <= 0.5).unwrap_or(n));
        self.changed_at = saved.since.map(|_| now);
        self.stood_before = saved.since.map_or(Duration::ZERO, |since| since.saturating_add(away));
        self.stepped_at = now;
    }

    /// Takes over everything that has happened to the output from the one that it takes the place of; its definition is
    /// its own. So its next value moves from what stands, at its own rate.
    pub fn take_over(&mut self, old: &mut Output) {
        std::mem::swap(&mut self.claims, &mut old.claims);
        std::mem::swap(&mut self.base, &mut old.base);
        std::mem::swap(&mut self.program_wish, &mut old.program_wish);
        std::mem::swap(&mut self.stands, &mut old.stands);
        std::mem::swap(&mut self.proposal, &mut old.proposal);
        std::mem::swap(&mut self.commanded, &mut old.commanded);
        std::mem::swap(&mut self.last_command, &mut old.last_command);
        std::mem::swap(&mut self.last_outcome, &mut old.last_outcome);
        std::mem::swap(&mut self.imposed, &mut old.imposed);
        std::mem::swap(&mut self.interlock, &mut old.interlock);
        std::mem::swap(&mut self.permit, &mut old.permit);
        std::mem::swap(&mut self.tracked, &mut old.tracked);
        self.mode = old.mode;
        self.until = old.until;
        self.changed_at = old.changed_at;
        self.stood_before = old.stood_before;
        self.stands_since = old.stands_since;
        self.stepped_at = old.stepped_at;
        self.failures = old.failures;
        self.retry_at = old.retry_at;
    }
}
