//! When the runtime is started again, and when no more.

use crate::config::SupervisorSettings;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A runtime that ran for this long was well: the next crash is a new trouble.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// First wait of a runtime that keeps dying; it doubles from there. The first restart after a good run waits for nothing.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What to do after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Start again after this time.
    After(Duration),
    /// Stay in the fail-safe state, for this reason.
    Never(String),
}

/// Counts crashes.
pub struct Restarts {
    settings: SupervisorSettings,
    crashes: VecDeque<Instant>,
    /// Crashes in a row without a good run between them, and the first of them.
    row: Option<(u32, Instant)>,
}

impl Restarts {
    pub fn new(settings: SupervisorSettings) -> Restarts {
        Restarts { settings, crashes: VecDeque::new(), row: None }
    }

    /// Takes over changed settings; what was counted stays.
    pub fn set(&mut self, settings: SupervisorSettings) {
        self.settings = settings;
    }

    /// A crash after `ran`. Returns since when the outputs have been without a runtime that is well: times of `hold …
    /// then` run from there, or a runtime that keeps dying would hold an output for ever.
    pub fn died(&mut self, ran: Duration) -> Instant {
        self.died_at(ran, Instant::now())
    }

    fn died_at(&mut self, ran: Duration, now: Instant) -> Instant {
        self.crashes.push_back(now);
        while self.crashes.front().is_some_and(|at| now.duration_since(*at) > self.settings.restarts_within) {
            self.crashes.pop_front();
        }
        let row = match self.row {
            Some((count, since)) if ran < WELL_AFTER => (count.saturating_add(1), since),
            _ => (1, now),
        };
        self.row = Some(row);
        row.1
    }

    pub fn next(&self) -> Next {
        if !self.settings.restart {
            return Next::Never("the site declares `restart: false`".to_owned());
        }
        // The last crash itself is not a restart yet.
        if self.crashes.len() > self.settings.restarts_max as usize {
            let SupervisorSettings { restarts_max, restarts_within, .. } = self.settings;
            return Next::Never(format!(
                "the runtime was started again {restarts_max} times within {restarts_within:?} and died each time"
            ));
        }
        let row = self.row.map_or(1, |(count, _)| count);
        let wait = match row {
            0 | 1 => Duration::ZERO,
            n => WAIT_MIN.saturating_mul(1 << (n - 2).min(10)).min(WAIT_MAX),
        };
        Next::After(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_while_it_keeps_dying_and_end_at_the_limit() {
        let mut restarts = Restarts::new(SupervisorSettings::default());
        let start = Instant::now();
        let mut waits = Vec::new();
        for i in 0..6_u64 {
            let since = restarts.died_at(Duration::from_secs(1), start + Duration::from_secs(10 * i));
            assert_eq!(since, start, "one trouble");
            waits.push(restarts.next());
        }
        let ms = |ms| Next::After(Duration::from_millis(ms));
        assert_eq!(waits[..5], [ms(0), ms(500), ms(1_000), ms(2_000), ms(4_000)]);
        assert!(matches!(&waits[5], Next::Never(why) if why.contains("5 times")), "{waits:?}");
    }

    #[test]
    fn a_good_run_makes_the_next_crash_a_new_trouble_and_old_crashes_are_forgotten() {
        let mut restarts = Restarts::new(SupervisorSettings::default());
        let start = Instant::now();
        for hour in 0..20_u64 {
            let now = start + Duration::from_secs(3_600 * hour);
            assert_eq!(restarts.died_at(Duration::from_secs(3_000), now), now);
            assert_eq!(restarts.next(), Next::After(Duration::ZERO));
        }
    }

    #[test]
    fn a_site_may_forbid_restarts() {
        let mut restarts = Restarts::new(SupervisorSettings { restart: false, ..SupervisorSettings::default() });
        restarts.died(Duration::ZERO);
        assert!(matches!(restarts.next(), Next::Never(_)));
    }
}
