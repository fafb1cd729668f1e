//! Quarter-hours: their numbers, what is known of a stream in one, and how time is cut at their borders.

use crate::limits::{
    BACKFILL_QUARTERS_MAX, BORDER_GAP_MAX, CLOSE_GRACE, COVERED_ESTIMATED_MIN, COVERED_MEASURED_MIN, QUARTER,
};
use crate::register::nanos;
use crate::report::Coverage;
use serde::{Deserialize, Serialize};

/// Nanoseconds of a quarter.
pub(crate) const QUARTER_NS: i64 = 900_000_000_000;
const _: () = assert!(QUARTER_NS as u128 == QUARTER.as_nanos());

/// Number of the quarter that holds this time: quarters since 1970.
pub(crate) fn quarter_of(t: i64) -> i64 {
    t.div_euclid(QUARTER_NS)
}

/// Begin of a quarter, ns.
pub(crate) fn start_of(quarter: i64) -> i64 {
    quarter.saturating_mul(QUARTER_NS)
}

/// How well a quarter of a stream is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    Measured,
    BackFilled,
    Estimated,
    Missing,
}

/// What is known of one stream in one quarter. Everything in it adds up, so that late readings are merged in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Energy (kWh), mass (kg) or volume (m3) counted.
    pub amount: f64,
    /// Seconds the count stands for.
    pub covered_s: f64,
    /// Of these, seconds whose share is uncertain: a register silent across a border, a rate of uncertain quality.
    pub soft_s: f64,
    /// Seconds that should be covered; less than a quarter where the stream is younger.
    pub expected_s: f64,
    /// The register was given a new base in this quarter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Register at the begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Register at the end, or where it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// Ledger time of `to`, ns.
    #[serde(default)]
    pub at_ns: i64,
    /// Number of the revision, from 0.
    #[serde(default)]
    pub rev: u16,
}

impl Row {
    /// How well the quarter is known.
    pub(crate) fn class(&self, register: bool) -> Class {
        let share = if self.expected_s > 0.0 { self.covered_s / self.expected_s } else { 1.0 };
        let soft = self.soft_s > (1.0 - COVERED_MEASURED_MIN) * self.expected_s;
        match (register, share >= COVERED_MEASURED_MIN) {
            _ if self.estimated => Class::Estimated,
            (true, true) if soft => Class::BackFilled,
            (false, true) if soft => Class::Estimated,
            (_, true) => Class::Measured,
            (true, false) => Class::Missing,
            (false, false) if share >= COVERED_ESTIMATED_MIN => Class::Estimated,
            (false, false) => Class::Missing,
        }
    }

    /// The quantity to account: the count, or for a rate covered in part its mean over the whole.
    pub(crate) fn value(&self, register: bool) -> f64 {
        let short = self.covered_s > 0.0 && self.covered_s < COVERED_MEASURED_MIN * self.expected_s;
        if !register && short && self.class(register) == Class::Estimated {
            return self.amount * self.expected_s / self.covered_s;
        }
        self.amount
    }

    /// This row with what came later.
    pub(crate) fn merged(mut self, later: &Row) -> Row {
        self.amount += later.amount;
        self.covered_s += later.covered_s;
        self.soft_s += later.soft_s;
        self.expected_s = self.expected_s.max(later.expected_s);
        self.estimated |= later.estimated;
        self.from = self.from.or(later.from);
        if later.at_ns >= self.at_ns {
            self.to = later.to.or(self.to);
            self.at_ns = later.at_ns;
        }
        self
    }

    /// Seconds that should be covered in `quarter` at time `t` by a stream born at `born`. The running quarter, and one
    /// just ended, are forgiven the time a reading may take to come.
    pub(crate) fn expected(quarter: i64, born: i64, t: i64, running: bool) -> f64 {
        let begin = start_of(quarter).max(born);
        let end = start_of(quarter + 1).min(if running { t - nanos(CLOSE_GRACE) } else { t });
        (end - begin).max(0) as f64 / 1e9
    }
}

impl Coverage {
    pub(crate) fn count(&mut self, class: Class) {
        match class {
            Class::Measured => self.measured += 1,
            Class::BackFilled => self.back_filled += 1,
            Class::Estimated => self.estimated += 1,
            Class::Missing => self.missing += 1,
        }
    }

    /// Quarters counted.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.measured + self.back_filled + self.estimated + self.missing
    }
}

/// A share of an increment that falls into one quarter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub quarter: i64,
    /// Part of the whole, 0..=1.
    pub part: f64,
    /// Part of the whole up to the end of this share.
    pub upto: f64,
    pub seconds: f64,
    /// Seconds whose distribution is not known.
    pub soft_s: f64,
    /// End of this share.
    pub end: i64,
}

/// Cuts the time from `t0` to `t1` at the borders of quarters. A silence longer than [`BORDER_GAP_MAX`] that crosses a border
/// is spread evenly and marked; one longer than [`BACKFILL_QUARTERS_MAX`] quarters is not spread (second result true).
pub(crate) fn cut(t0: i64, t1: i64) -> (Vec<Share>, bool) {
    let (first, last) = (quarter_of(t0), quarter_of(t1.max(t0 + 1) - 1));
    let long = last - first > BACKFILL_QUARTERS_MAX;
    let first = if long { last } else { first };
    let begin = t0.max(start_of(first));
    let soft = last > first && t1 - t0 > nanos(BORDER_GAP_MAX) || long;
    let whole = (t1 - begin).max(1) as f64;
    let mut shares = Vec::new();
    let mut at = begin;
    for quarter in first..=last {
        let end = start_of(quarter + 1).min(t1);
        let seconds = (end - at).max(0) as f64 / 1e9;
        let (part, upto) =
            if first == last { (1.0, 1.0) } else { ((end - at) as f64 / whole, (end - begin) as f64 / whole) };
        shares.push(Share { quarter, part, upto, seconds, soft_s: if soft { seconds } else { 0.0 }, end });
        at = end;
    }
    (shares, long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn time_is_cut_at_the_borders() {
        let (one, _) = cut(10 * S, 11 * S);
        assert_eq!((one.len(), one[0].part, one[0].soft_s), (1, 1.0, 0.0));
        let (two, _) = cut(890 * S, 910 * S);
        assert_eq!(
            two.iter().map(|s| (s.quarter, s.part, s.soft_s)).collect::<Vec<_>>(),
            [(0, 0.5, 0.0), (1, 0.5, 0.0)]
        );
        let (gap, long) = cut(450 * S, 1_800 * S);
        assert_eq!(gap.iter().map(|s| (s.quarter, s.soft_s)).collect::<Vec<_>>(), [(0, 450.0), (1, 900.0)]);
        assert!(!long);
        let (inside, _) = cut(10 * S, 400 * S);
        assert_eq!(inside[0].soft_s, 0.0, "a silence inside a quarter changes nothing: both borders were read");
        let (spread, long) = cut(0, 50 * 86_400 * S);
        assert!(long && spread.len() == 1 && spread[0].part == 1.0);
    }

    #[test]
    fn classes_follow_the_coverage() {
        let row = |covered_s, soft_s, estimated| Row {
            covered_s,
            soft_s,
            expected_s: 900.0,
            estimated,
            amount: 9.0,
            ..Row::default()
        };
        for (covered, soft, estimated, register, class, value) in [
            (900.0, 0.0, false, true, Class::Measured, 9.0),
            (895.0, 5.0, false, true, Class::Measured, 9.0),
            (900.0, 900.0, false, true, Class::BackFilled, 9.0),
            (800.0, 0.0, false, true, Class::Missing, 9.0),
            (800.0, 0.0, true, true, Class::Estimated, 9.0),
            (900.0, 0.0, false, false, Class::Measured, 9.0),
            (900.0, 100.0, false, false, Class::Estimated, 9.0),
            (450.0, 0.0, false, false, Class::Estimated, 18.0),
            (449.0, 0.0, false, false, Class::Missing, 9.0),
        ] {
            let row = row(covered, soft, estimated);
            assert_eq!((row.class(register), row.value(register)), (class, value), "{row:?} register {register}");
        }
    }

    proptest! {
        /// Nothing is lost and nothing is made at a border.
        #[test]
        fn shares_add_up(t0 in -1_000_000i64..1_000_000, length in 1i64..100_000) {
            let (shares, _) = cut(t0 * S, (t0 + length) * S);
            let part: f64 = shares.iter().map(|s| s.part).sum();
            let seconds: f64 = shares.iter().map(|s| s.seconds).sum();
            prop_assert!((part - 1.0).abs() < 1e-9);
            prop_assert!((seconds - length as f64).abs() < 1e-6);
            prop_assert!(shares.windows(2).all(|w| w[0].quarter + 1 == w[1].quarter));
        }
    }
}
