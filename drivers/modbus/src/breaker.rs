//! What a unit that does not answer may cost.
//!
//! Each unit has a breaker: opened by a failure, it leaves the unit alone for a while that doubles with each failure;
//! then a single request, the probe, decides whether it closes. A channel with several units has a purse beside it:
//! time spent on answers that did not come is paid from it, it refills with a share of the time, and while it is empty
//! no probe is sent. So the dead together never take more than their share from the living.

use crate::limits::PROBE_WAIT_MAX;
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a unit may be asked.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    /// Set while it is open: the next probe comes no earlier.
    not_before: Option<Instant>,
    /// The next wait.
    wait: Duration,
}

impl Breaker {
    pub(crate) fn new() -> Breaker {
        Breaker { not_before: None, wait: RECONNECT_WAIT_MIN }
    }

    /// The unit did not answer.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + self.wait);
        self.wait = (self.wait * 2).min(RECONNECT_WAIT_MAX);
    }

    /// The unit answered.
    pub(crate) fn answered(&mut self) {
        self.not_before = None;
        self.wait = RECONNECT_WAIT_MIN;
    }

    /// When the next probe may be sent; `None` while the unit is asked as planned.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        self.not_before
    }
}

/// The time that units which do not answer may take, together.
#[derive(Debug, Clone)]
pub(crate) struct Purse {
    share: f64,
    /// Most it holds: two answers that do not come, so that a unit that was away for a moment is noticed at once.
    most: Duration,
    /// Seconds in it at `at`; below nought while time is owed.
    seconds: f64,
    at: Option<Instant>,
}

impl Purse {
    pub(crate) fn new(share: f64, longest_wait: Duration) -> Purse {
        let most = longest_wait * 2;
        Purse { share, most, seconds: most.as_secs_f64(), at: None }
    }

    /// Time was spent on an answer that did not come.
    pub(crate) fn spend(&mut self, lost: Duration, now: Instant) {
        self.refill(now);
        // What is owed ends after a while: a channel that lost everything at once does not starve its return. A single
        // probe is always paid for, however small the share.
        let floor = (self.share * PROBE_WAIT_MAX.as_secs_f64()).max(self.most.as_secs_f64());
        self.seconds = (self.seconds - lost.as_secs_f64()).max(-floor);
    }

    /// Forgives what is owed.
    pub(crate) fn fill(&mut self) {
        self.seconds = self.most.as_secs_f64();
    }

    /// When a probe may be paid for.
    pub(crate) fn ready_at(&mut self, now: Instant) -> Instant {
        self.refill(now);
        // A probe that is not answered is paid afterwards: what counts is that nothing is owed.
        if self.seconds >= 0.0 { now } else { now + Duration::from_secs_f64(-self.seconds / self.share) }
    }

    fn refill(&mut self, now: Instant) {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.seconds = (self.seconds + since.as_secs_f64() * self.share).min(self.most.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_an_answer_ends_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        assert_eq!(breaker.open_until(), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            breaker.failed(now);
            waits.push((breaker.open_until().unwrap() - now).as_millis());
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        breaker.answered();
        assert_eq!(breaker.open_until(), None);
        breaker.failed(now);
        assert_eq!(breaker.open_until(), Some(now + Duration::from_millis(250)));
    }

    /// Probes as often as the purse allows, each answered by nothing.
    fn lost_in(share: f64, probe: Duration, hours: u64) -> f64 {
        let start = Instant::now();
        let mut purse = Purse::new(share, probe);
        let (mut now, mut lost) = (start, Duration::ZERO);
        let end = start + Duration::from_secs(hours * 3_600);
        while now < end {
            now = purse.ready_at(now);
            now += probe;
            lost += probe;
            purse.spend(probe, now);
        }
        lost.as_secs_f64() / (now - start).as_secs_f64()
    }

    #[test]
    fn the_dead_take_their_share_and_no_more() {
        for share in [0.01, 0.04, 0.2] {
            for probe in [50, 500, 1_000] {
                let taken = lost_in(share, Duration::from_millis(probe), 24);
                assert!(taken <= share * 1.01 && taken > share * 0.9, "{share} with {probe} ms: {taken}");
            }
        }
    }

    #[test]
    fn the_first_probes_are_not_waited_for_and_debts_end() {
        let start = Instant::now();
        let mut purse = Purse::new(0.04, Duration::from_millis(500));
        for _ in 0..2 {
            purse.spend(Duration::from_millis(500), start);
            assert_eq!(purse.ready_at(start), start);
        }
        purse.spend(Duration::from_secs(1_000), start);
        let wait = purse.ready_at(start) - start;
        assert!(wait <= PROBE_WAIT_MAX + Duration::from_millis(1), "{wait:?}");
    }
}
