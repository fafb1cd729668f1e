//! The quarter-hour demand: what the supplier bills by the month's worst quarter.

use crate::quarter::{QUARTER_NS, quarter_of, start_of};
use std::collections::VecDeque;

/// Time between two entries of the sliding window: 90 entries hold a quarter-hour.
const STEP_NS: i64 = 10_000_000_000;

/// Purchased energy since start, remembered for the length of the window.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    total_kwh: f64,
    window: VecDeque<(i64, f64)>,
}

impl Demand {
    /// Purchased energy was booked.
    pub(crate) fn add(&mut self, kwh: f64) {
        self.total_kwh += kwh;
    }

    /// Energy came whose time is not known, or civil time was stepped: the window begins anew.
    pub(crate) fn restart(&mut self) {
        self.window.clear();
    }

    /// To be called with every look at the meters.
    pub(crate) fn tick(&mut self, t: i64) {
        if self.window.back().is_none_or(|(last, _)| t - last >= STEP_NS) {
            self.window.push_back((t, self.total_kwh));
        }
        // One entry at or before the window's begin stays.
        while self.window.get(1).is_some_and(|(second, _)| t - second >= QUARTER_NS) {
            self.window.pop_front();
        }
    }

    /// Mean power over the sliding window, kW, and whether the window is full.
    pub(crate) fn sliding(&self, t: i64) -> Option<(f64, bool)> {
        let (first, kwh) = self.window.front()?;
        let span = t - first;
        (span >= STEP_NS).then(|| ((self.total_kwh - kwh) / hours(span), span >= QUARTER_NS - STEP_NS))
    }
}

/// The running quarter: energy so far, the time since its begin, and how much of that nobody has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Running {
    pub kwh: f64,
    pub elapsed_ns: i64,
    /// Time at the quarter's begin before the meters were first looked at.
    pub unseen_ns: i64,
}

impl Running {
    pub(crate) fn at(t: i64, kwh: f64, unseen_ns: i64) -> Running {
        let elapsed_ns = t - start_of(quarter_of(t));
        Running { kwh, elapsed_ns, unseen_ns: unseen_ns.clamp(0, elapsed_ns) }
    }

    /// Mean power so far, kW.
    pub(crate) fn mean_kw(&self) -> f64 {
        self.kwh / hours((self.elapsed_ns - self.unseen_ns).max(1_000_000_000))
    }

    /// Demand of the quarter if the rest of it runs at `power_kw`, and the part that nobody has seen did too: a supplier's
    /// meter has counted it.
    pub(crate) fn projected_kw(&self, power_kw: f64) -> f64 {
        (self.kwh + power_kw * hours(QUARTER_NS - self.elapsed_ns + self.unseen_ns)) / hours(QUARTER_NS)
    }

    /// Mean power for the rest of the quarter at which its demand meets the limit: (P·T − E) / (T − t). Negative
    /// when the limit is already passed. The part that nobody has seen is taken at the mean of the rest. In its last
    /// minute the rest is taken as a whole minute: a power that no load can follow for seconds says nothing.
    pub(crate) fn allowed_kw(&self, limit_kw: f64) -> f64 {
        let spent = self.kwh + self.mean_kw() * hours(self.unseen_ns);
        (limit_kw * hours(QUARTER_NS) - spent) / hours((QUARTER_NS - self.elapsed_ns).max(60_000_000_000))
    }
}

fn hours(ns: i64) -> f64 {
    ns as f64 / 3.6e12
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn the_window_slides() {
        let mut demand = Demand::default();
        for second in 0..=1_800 {
            // 100 kW for a quarter, then 200 kW.
            demand.add(
                if second == 0 {
                    0.0
                } else if second <= 900 {
                    100.0
                } else {
                    200.0
                } / 3_600.0,
            );
            demand.tick(second * S);
            match second {
                5 => assert_eq!(demand.sliding(second * S), None),
                300 => assert!(matches!(demand.sliding(second * S), Some((kw, false)) if (kw - 100.0).abs() < 1e-6)),
                1_350 => assert!(matches!(demand.sliding(second * S), Some((kw, true)) if (kw - 150.0).abs() < 1e-6)),
                1_800 => assert!(matches!(demand.sliding(second * S), Some((kw, true)) if (kw - 200.0).abs() < 1e-6)),
                _ => {}
            }
        }
        assert!(demand.window.len() <= 92);
    }

    #[test]
    fn what_remains_of_the_quarter_is_shared_out() {
        // A third of the quarter at 300 kW, limit 200 kW: 150 kW for the rest.
        let running = Running::at(300 * S, 25.0, 0);
        assert!((running.mean_kw() - 300.0).abs() < 1e-9);
        assert!((running.allowed_kw(200.0) - 150.0).abs() < 1e-9);
        assert!((running.projected_kw(150.0) - 200.0).abs() < 1e-9);
        // First look in the middle of the quarter: a minute at 300 kW was seen, seven and a half were not.
        let late = Running::at(510 * S, 5.0, 450 * S);
        assert!((late.mean_kw() - 300.0).abs() < 1e-9);
        assert!((late.projected_kw(300.0) - 300.0).abs() < 1e-9, "a steady load projects to itself");
        assert!((late.allowed_kw(300.0) - 300.0).abs() < 1e-9);
    }
}
