//! When a task scans: deadlines on an absolute grid, and what becomes of those that pass without a scan.

use penstock_engine::OverrunPolicy;
use std::time::Duration;

/// The deadlines of one task, in nanoseconds of the kernel's monotonic clock. Knows no clock itself.
pub(super) struct Pace {
    period: u64,
    policy: OverrunPolicy,
    /// The deadline to sleep to.
    deadline: u64,
    /// Deadlines dropped since the last scan, not yet told.
    dropped: u64,
}

/// A scan that is to be made now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// How late it is against the deadline it was woken for.
    pub late: Duration,
    /// Deadlines that passed without a scan since the last one.
    pub missed: u32,
}

impl Pace {
    /// Deadlines from `first` on, one every `period`.
    pub fn new(first: u64, period: Duration, policy: OverrunPolicy) -> Pace {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Pace { period, policy, deadline: first, dropped: 0 }
    }

    /// The deadline to sleep to.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The task is awake at `now`, at its deadline or later. `None`: this scan is dropped, sleep to the next deadline.
    /// The next deadline is always on the original grid and after `now` or at most a period before it: a late task never
    /// runs twice to catch up, and the phase between tasks stays what it was.
    pub fn woken(&mut self, now: u64) -> Option<Start> {
        let late = now.saturating_sub(self.deadline);
        let missed = late / self.period;
        self.deadline = self.deadline.saturating_add(missed.saturating_add(1).saturating_mul(self.period));
        if self.policy == OverrunPolicy::Skip && missed > 0 && self.dropped == 0 {
            self.dropped = missed.saturating_add(1);
            return None;
        }
        let missed = missed.saturating_add(std::mem::take(&mut self.dropped));
        Some(Start { late: Duration::from_nanos(late), missed: u32::try_from(missed).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(policy: OverrunPolicy) -> Pace {
        Pace::new(1_000, Duration::from_nanos(100), policy)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what `woken` answers")]
    fn start(late: u64, missed: u32) -> Option<Start> {
        Some(Start { late: Duration::from_nanos(late), missed })
    }

    #[test]
    fn deadlines_lie_on_one_grid_however_late_a_scan_is() {
        for policy in [OverrunPolicy::Count, OverrunPolicy::Fault] {
            let mut p = pace(policy);
            assert_eq!((p.woken(1_000), p.deadline()), (start(0, 0), 1_100));
            assert_eq!((p.woken(1_199), p.deadline()), (start(99, 0), 1_200));
            // A whole period late: the deadline of 1 200 is missed, the scan is that of 1 300.
            assert_eq!((p.woken(1_300), p.deadline()), (start(100, 1), 1_400));
            assert_eq!((p.woken(1_750), p.deadline()), (start(350, 3), 1_800));
            assert_eq!((p.woken(1_803), p.deadline()), (start(3, 0), 1_900));
        }
    }

    #[test]
    fn skip_drops_the_late_scan_and_tells_of_it_with_the_next() {
        let mut p = pace(OverrunPolicy::Skip);
        assert_eq!(p.woken(1_040), start(40, 0));
        // Late, but within its period: that is jitter, not an overrun.
        assert_eq!(p.woken(1_180), start(80, 0));
        assert_eq!((p.woken(1_450), p.deadline()), (None, 1_500));
        assert_eq!((p.woken(1_501), p.deadline()), (start(1, 3), 1_600));
    }

    #[test]
    fn skip_never_drops_twice_in_a_row() {
        let mut p = pace(OverrunPolicy::Skip);
        assert_eq!(p.woken(1_250), None);
        assert_eq!((p.woken(1_520), p.deadline()), (start(220, 5), 1_600));
        assert_eq!(p.woken(1_810), None);
    }

    #[test]
    fn every_deadline_is_a_scan_or_counted() {
        for policy in OverrunPolicy::ALL {
            let (mut p, mut now, mut scans, mut counted) = (pace(policy), 1_000, 0_u64, 0_u64);
            for k in 0..1_000_u64 {
                now = now.max(p.deadline()) + k * k % 437;
                if let Some(start) = p.woken(now) {
                    scans += 1;
                    counted += u64::from(start.missed);
                }
            }
            let passed = (p.deadline() - 1_000) / 100;
            assert_eq!(scans + counted + p.dropped, passed, "{policy:?}");
            assert_eq!((p.deadline() - 1_000) % 100, 0);
        }
    }

    #[test]
    fn the_ends_of_time_break_nothing() {
        let mut p = Pace::new(0, Duration::MAX, OverrunPolicy::Count);
        assert_eq!(p.woken(u64::MAX).map(|s| s.missed), Some(1));
        assert_eq!(p.deadline(), u64::MAX);
        assert_eq!(Pace::new(0, Duration::ZERO, OverrunPolicy::Skip).woken(u64::MAX), None);
    }
}
