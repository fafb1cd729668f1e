//! Two clocks and nothing else: a monotonic one for intervals, UTC for records.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A point on the monotonic clock: nanoseconds since the process's own origin. Drives every interval, age and delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The time since `earlier`; zero when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A point of civil time: nanoseconds since 1970-01-01T00:00:00 UTC. Goes into records; never drives an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Utc(pub i64);

impl Utc {
    /// Whole milliseconds since 1970, rounded down.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From milliseconds since 1970; saturates at the ends of the range (years 1678 and 2262).
    #[must_use]
    pub fn from_millis(ms: i64) -> Utc {
        Utc(ms.saturating_mul(1_000_000))
    }
}

impl Add<Duration> for Utc {
    type Output = Utc;
    fn add(self, d: Duration) -> Utc {
        Utc(self.0.saturating_add(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Utc {
    type Output = Utc;
    fn sub(self, d: Duration) -> Utc {
        Utc(self.0.saturating_sub(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Civil time.
    pub utc: Utc,
}

/// The source of time. The engine never reads a clock itself: it is handed a [`Now`] per scan.
pub trait Clock: Send + Sync {
    /// Both clocks now.
    fn now(&self) -> Now;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is this call.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = Instant(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let utc = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Utc(0), |d| Utc(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)));
        Now { mono, utc }
    }
}

/// A clock that stands still until told otherwise: tests and virtual time.
#[derive(Debug, Default)]
pub struct ManualClock {
    mono: AtomicU64,
    utc: AtomicI64,
}

impl ManualClock {
    /// A clock at monotonic zero and the given civil time.
    #[must_use]
    pub fn at(utc: Utc) -> Self {
        Self { mono: AtomicU64::new(0), utc: AtomicI64::new(utc.0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, d: Duration) {
        let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.mono.fetch_add(ns, Ordering::SeqCst);
        self.utc.fetch_add(i64::try_from(ns).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets civil time alone, as an NTP step would.
    pub fn step_utc(&self, utc: Utc) {
        self.utc.store(utc.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        Now { mono: Instant(self.mono.load(Ordering::SeqCst)), utc: Utc(self.utc.load(Ordering::SeqCst)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_civil_time_moves_no_interval() {
        let clock = ManualClock::at(Utc::from_millis(1_000));
        let before = clock.now();
        clock.advance(Duration::from_secs(2));
        clock.step_utc(Utc::from_millis(-5));
        let after = clock.now();
        assert_eq!(after.mono.since(before.mono), Duration::from_secs(2));
        assert_eq!(after.utc.millis(), -5);
        assert_eq!(before.mono.since(after.mono), Duration::ZERO);
    }
}
