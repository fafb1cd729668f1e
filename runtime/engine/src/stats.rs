//! Distributions of times in fixed memory, since the start and over the last minute.
//!
//! Buckets grow by an eighth, as in an HDR histogram of three bits: a figure read from one is never too low and at most
//! an eighth too high. A scan adds to them without a lock and without an allocation; whoever reads takes no notice of
//! the scan, and the scan none of them.

use crate::view::Percentiles;
use penstock_model::Instant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per doubling, as a power of two: a figure read from the histogram is at most an eighth too high.
const PER_OCTAVE_BITS: u32 = 3;
/// Buckets in all: times up to 2^43 ns (two and a half hours) are told apart.
const BUCKETS: usize = 328;
/// Seconds that a [`Window`] looks back.
const WINDOW_S: usize = 60;
/// Length of one of its slots.
const SLOT: Duration = Duration::from_secs(1);

/// Counts of durations since the start. 2.6 KB, whatever is counted. Any number of threads may add and read at once;
/// what is added while somebody reads may or may not be in what they get.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64; BUCKETS]>,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([const { AtomicU64::new(0) }; BUCKETS]), max_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one duration. Takes no lock and allocates nothing.
    pub fn add(&self, time: Duration) {
        let ns = nanos(time);
        self.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// The distribution of everything counted since the start; all zero where nothing was.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        percentiles(counts.iter().copied(), self.max_ns.load(Ordering::Relaxed))
    }
}

/// One second of a [`Window`].
#[derive(Clone)]
struct Slot {
    counts: [u32; BUCKETS],
    max_ns: u64,
}

impl Slot {
    const EMPTY: Slot = Slot { counts: [0; BUCKETS], max_ns: 0 };
}

/// Counts of durations over the last minute, by whole seconds: what is read covers 59 to 60 seconds. 82 KB, whatever is
/// counted. Owned by one task, so that nothing of it is shared.
pub(crate) struct Window {
    slots: Box<[Slot]>,
    /// What all slots hold together, so that reading costs one pass over the buckets and not sixty.
    sum: Box<[u32; BUCKETS]>,
    /// Number of the current second since the clock's origin.
    second: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: vec![Slot::EMPTY; WINDOW_S].into_boxed_slice(), sum: Box::new([0; BUCKETS]), second: 0 }
    }
}

impl Window {
    /// Counts one duration at `now`.
    pub fn add(&mut self, time: Duration, now: Instant) {
        self.forget(now);
        let ns = nanos(time);
        let (slot, index) = (&mut self.slots[place(self.second)], bucket(ns));
        // A slot that is full to the brim counts no further, and neither does the sum: they stay in step.
        if let (Some(one), Some(all)) = (slot.counts[index].checked_add(1), self.sum[index].checked_add(1)) {
            (slot.counts[index], self.sum[index]) = (one, all);
        }
        slot.max_ns = slot.max_ns.max(ns);
    }

    /// The distribution of the last minute before `now`; `None` where nothing was counted in it.
    pub fn percentiles(&mut self, now: Instant) -> Option<Percentiles> {
        self.forget(now);
        let max_ns = self.slots.iter().map(|s| s.max_ns).max().unwrap_or(0);
        let any = self.sum.iter().any(|count| *count > 0);
        any.then(|| percentiles(self.sum.iter().map(|c| u64::from(*c)), max_ns))
    }

    /// Empties the slots of the seconds that began since the last call: at most all of them.
    fn forget(&mut self, now: Instant) {
        let second = now.0 / nanos(SLOT);
        let passed = second.saturating_sub(self.second).min(WINDOW_S as u64);
        for step in 0..passed {
            let slot = &mut self.slots[place(second - step)];
            for (all, one) in self.sum.iter_mut().zip(&slot.counts) {
                *all -= one;
            }
            *slot = Slot::EMPTY;
        }
        self.second = self.second.max(second);
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % WINDOW_S as u64).unwrap_or(0)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Percentiles of counts by bucket: each is the top of the bucket in which its share of all is reached, and never above
/// the largest seen.
fn percentiles(counts: impl Iterator<Item = u64> + Clone, max_ns: u64) -> Percentiles {
    let total: u64 = counts.clone().sum();
    let wanted = [500, 990, 999].map(|per_mille| total.saturating_mul(per_mille).div_ceil(1_000));
    let mut found = [max_ns; 3];
    let (mut seen, mut next) = (0, 0);
    // One walk for all: the shares rise, and whoever reads does so on the thread of a scan.
    for (index, count) in counts.enumerate().filter(|(_, count)| *count > 0) {
        seen += count;
        while next < wanted.len() && seen >= wanted[next] {
            found[next] = top(index).min(max_ns);
            next += 1;
        }
        if next == wanted.len() {
            break;
        }
    }
    let [p50, p99, p999] = found.map(Duration::from_nanos);
    Percentiles { p50, p99, p999, max: Duration::from_nanos(max_ns) }
}

fn bucket(ns: u64) -> usize {
    let small = 1 << PER_OCTAVE_BITS;
    if ns < small {
        return usize::try_from(ns).unwrap_or(0);
    }
    let octave = ns.ilog2() - PER_OCTAVE_BITS;
    let within = (ns >> octave) - small;
    let index = u64::from(octave + 1) * small + within;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The largest number of nanoseconds of a bucket.
fn top(index: usize) -> u64 {
    let small = 1 << PER_OCTAVE_BITS;
    let index = index as u64;
    if index < small {
        return index;
    }
    let octave = index / small - 1;
    ((small + index % small + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    fn near(d: Duration, us: u64) -> bool {
        d >= Duration::from_micros(us) && d <= Duration::from_micros(us + us / 8 + 1)
    }

    #[test]
    fn every_time_lies_in_its_bucket_and_no_bucket_is_wider_than_an_eighth() {
        for ns in (0..2_000).chain((11..43).flat_map(|e| [(1_u64 << e) - 1, 1 << e, (1 << e) + 12_345 % (1 << e)])) {
            let top = top(bucket(ns));
            assert!(top >= ns && (top - ns) * 8 <= ns.max(8), "{ns} ns is shown as {top} ns");
            assert!(bucket(ns) == 0 || super::top(bucket(ns) - 1) < ns, "{ns}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_stand_where_they_should() {
        let h = Histogram::default();
        assert_eq!(h.percentiles(), Percentiles::default());
        for us in 1..=1_000 {
            h.add(Duration::from_micros(us));
        }
        let p = h.percentiles();
        assert!(near(p.p50, 500) && near(p.p99, 990) && near(p.p999, 999), "{p:?}");
        assert_eq!((p.max, h.count()), (Duration::from_millis(1), 1_000));
        let one = Histogram::default();
        one.add(Duration::from_nanos(777));
        assert_eq!(one.percentiles().p50, Duration::from_nanos(777));
    }

    #[test]
    fn threads_that_add_at_once_lose_nothing() {
        let h = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|ns| h.add(Duration::from_nanos(ns))));
            }
        });
        assert_eq!((h.count(), h.percentiles().max), (40_000, Duration::from_nanos(9_999)));
    }

    #[test]
    fn a_window_forgets_what_is_older_than_a_minute() {
        let mut w = Window::default();
        assert_eq!(w.percentiles(s(5)), None);
        w.add(Duration::from_millis(50), s(5));
        for second in 6..=64 {
            w.add(Duration::from_micros(second), s(second));
        }
        let p = w.percentiles(s(64)).unwrap();
        assert_eq!(p.max, Duration::from_millis(50), "59 s ago is still in");
        assert!(near(p.p50, 35), "{p:?}");
        let p = w.percentiles(s(65)).unwrap();
        assert_eq!(p.max, Duration::from_micros(64), "60 s ago is out");
        assert!(near(p.p50, 35), "{p:?}");
    }

    #[test]
    fn a_window_that_was_left_alone_is_empty_and_its_sums_agree() {
        let mut w = Window::default();
        for second in [1, 1, 2, 59, 61, 62] {
            w.add(Duration::from_micros(3), s(second));
        }
        // Seconds 3 to 62: the three of the first two seconds are gone.
        assert_eq!(w.sum.iter().sum::<u32>(), 3);
        // A clock that stands still or steps back forgets nothing and breaks nothing.
        w.add(Duration::from_micros(3), s(10));
        assert_eq!((w.sum.iter().sum::<u32>(), w.second), (4, 62));
        assert_eq!(w.percentiles(s(100_000)), None);
        assert!(w.sum.iter().all(|c| *c == 0) && w.slots.iter().all(|slot| slot.max_ns == 0));
        assert!(w.percentiles(Instant(u64::MAX)).is_none());
    }
}
