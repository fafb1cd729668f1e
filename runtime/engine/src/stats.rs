//! Distributions of times in fixed memory.

use crate::view::Percentiles;
use std::time::Duration;

/// Buckets per doubling: a figure read from the histogram is at most an eighth too high.
const PER_OCTAVE_BITS: u32 = 3;
/// Buckets in all: times up to 2^43 ns (two and a half hours) are told apart.
const BUCKETS: usize = 328;

/// Counts of durations in buckets that grow by an eighth. 2.6 KB, whatever is counted.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    pub fn add(&mut self, time: Duration) {
        self.counts[bucket(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))] += 1;
        self.total += 1;
        self.max = self.max.max(time);
    }

    pub fn percentiles(&self) -> Percentiles {
        Percentiles { p50: self.at(50), p99: self.at(99), max: self.max }
    }

    /// The top of the bucket in which the given share (percent) of all is reached, never above the largest seen.
    fn at(&self, percent: u64) -> Duration {
        let wanted = self.total.saturating_mul(percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Duration::from_nanos(top(index)).min(self.max);
            }
        }
        self.max
    }
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
        let mut h = Histogram::default();
        assert_eq!(h.percentiles(), Percentiles::default());
        for us in 1..=1_000 {
            h.add(Duration::from_micros(us));
        }
        let p = h.percentiles();
        let near = |d: Duration, us: u64| d >= Duration::from_micros(us) && d <= Duration::from_micros(us + us / 8 + 1);
        assert!(near(p.p50, 500) && near(p.p99, 990), "{p:?}");
        assert_eq!(p.max, Duration::from_millis(1));
        let mut one = Histogram::default();
        one.add(Duration::from_nanos(777));
        assert_eq!(one.percentiles().p50, Duration::from_nanos(777));
    }
}
