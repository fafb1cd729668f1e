//! One running total and the rules for when it lies.
//!
//! States: *no base* (nothing read yet), *based* (increments are booked from the base), *held* (a reading contradicts the base: nothing is
//! booked while a *candidate* proves itself). Judged in this order: plausible increment, rollover, zero, decrease, jump.
//! Seen in the field: registers that read 0 while an inverter wakes up, an unsigned underflow for one poll, a total restored
//! from an old backup after a restart. None of that is energy.

use crate::limits::{JUMP_FACTOR, JUMP_SLACK, REBASE_AFTER, REFRESH_MAX};
use crate::report::IssueKind;
use serde::{Deserialize, Serialize};

/// What the site declares of a register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// Value at which it starts again at 0; 0 for never.
    pub rollover: f64,
    /// Largest rate, per hour.
    pub rate_max: f64,
}

/// A register between two readings. Times are ledger time, ns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Register {
    base: Option<Base>,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Base {
    value: f64,
    /// When this value was first seen.
    changed: i64,
    /// When it was last seen.
    seen: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Candidate {
    /// Where it began.
    start: Base,
    /// Where it stands.
    now: Base,
    /// When it was first seen to be other than zero.
    moved: Option<i64>,
}

/// An increment to book: `amount` between two register values and two times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Increment {
    pub from: f64,
    pub to: f64,
    pub t0: i64,
    pub t1: i64,
    pub amount: f64,
    /// The register was given a new base: what flowed before `t0` is not known.
    pub estimated: bool,
}

/// Something to tell, with the reading before and after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Finding {
    pub kind: IssueKind,
    pub before: f64,
    pub after: f64,
}

enum Verdict {
    Increment(f64),
    Rollover(f64),
    Contradiction(IssueKind),
}

impl Register {
    /// Takes a reading of time `t`. Readings that are not newer than the last are ignored.
    pub(crate) fn take(&mut self, rules: &Rules, reading: f64, t: i64) -> (Option<Increment>, Option<Finding>) {
        let Some(base) = self.base else {
            self.base = Some(Base { value: reading, changed: t, seen: t });
            return (None, None);
        };
        if t <= base.seen || self.candidate.is_some_and(|c| t <= c.now.seen) {
            return (None, None);
        }
        match judge(&base, rules, reading, t) {
            Verdict::Increment(amount) => (Some(self.advance(base, reading, t, amount)), None),
            Verdict::Rollover(amount) => {
                let finding = Finding { kind: IssueKind::Rollover, before: base.value, after: reading };
                (Some(self.advance(base, reading, t, amount)), Some(finding))
            }
            Verdict::Contradiction(kind) => self.contradiction(base, rules, reading, t, kind),
        }
    }

    /// True while a reading contradicts the base and nothing is booked.
    pub(crate) fn held(&self) -> bool {
        self.candidate.is_some()
    }

    /// The base's value and when it was last seen.
    pub(crate) fn base(&self) -> Option<(f64, i64)> {
        self.base.map(|b| (b.value, b.seen))
    }

    /// Puts the base where a written interval ends, where that is later than the base.
    pub(crate) fn catch_up(&mut self, value: f64, t: i64) {
        if self.base.is_none_or(|b| b.seen < t) {
            self.base = Some(Base { value, changed: t, seen: t });
            self.candidate = None;
        }
    }

    /// Moves all times: civil time was stepped, the time between readings was not.
    pub(crate) fn shift(&mut self, by: i64) {
        let moved = |b: &mut Base| {
            b.changed += by;
            b.seen += by;
        };
        self.base.iter_mut().for_each(moved);
        if let Some(c) = &mut self.candidate {
            moved(&mut c.start);
            moved(&mut c.now);
            c.moved = c.moved.map(|t| t + by);
        }
    }

    fn advance(&mut self, base: Base, reading: f64, t: i64, amount: f64) -> Increment {
        let changed = if amount > 0.0 { t } else { base.changed };
        self.base = Some(Base { value: reading, changed, seen: t });
        self.candidate = None;
        Increment { from: base.value, to: reading, t0: base.seen, t1: t, amount, estimated: false }
    }

    fn contradiction(
        &mut self,
        base: Base,
        rules: &Rules,
        reading: f64,
        t: i64,
        kind: IssueKind,
    ) -> (Option<Increment>, Option<Finding>) {
        let follows = self
            .candidate
            .filter(|c| matches!(judge(&c.now, rules, reading, t), Verdict::Increment(_) | Verdict::Rollover(_)));
        let Some(mut candidate) = follows else {
            let start = Base { value: reading, changed: t, seen: t };
            self.candidate = Some(Candidate { start, now: start, moved: (reading != 0.0).then_some(t) });
            return (None, Some(Finding { kind, before: base.value, after: reading }));
        };
        let changed = if reading == candidate.now.value { candidate.now.changed } else { t };
        candidate.now = Base { value: reading, changed, seen: t };
        if reading != 0.0 {
            candidate.moved.get_or_insert(t);
        }
        self.candidate = Some(candidate);
        let proven = candidate.moved.is_some_and(|since| t - since >= nanos(REBASE_AFTER));
        if !proven {
            return (None, None);
        }
        self.base = Some(candidate.now);
        self.candidate = None;
        let start = candidate.start;
        let wrapped = if reading < start.value { rules.rollover } else { 0.0 };
        let amount = reading - start.value + wrapped;
        let increment = Increment { from: start.value, to: reading, t0: start.seen, t1: t, amount, estimated: true };
        (Some(increment), Some(Finding { kind: IssueKind::Reset, before: base.value, after: start.value }))
    }
}

fn judge(base: &Base, rules: &Rules, reading: f64, t: i64) -> Verdict {
    // A register that refreshes slowly delivers at once what it collected while it stood still.
    let still = (base.seen - base.changed).min(nanos(REFRESH_MAX));
    let hours = (t - base.seen + still + nanos(JUMP_SLACK)) as f64 / 3.6e12;
    let amount_max = rules.rate_max * hours * JUMP_FACTOR;
    let delta = reading - base.value;
    if (0.0..=amount_max).contains(&delta) {
        return Verdict::Increment(delta);
    }
    let wrapped = delta + rules.rollover;
    if delta < 0.0 && rules.rollover > 0.0 && (0.0..=amount_max).contains(&wrapped) {
        return Verdict::Rollover(wrapped);
    }
    Verdict::Contradiction(match delta {
        d if d > 0.0 => IssueKind::Jump,
        _ if reading == 0.0 => IssueKind::Zero,
        _ => IssueKind::Decrease,
    })
}

/// A duration in the unit of ledger time.
pub(crate) fn nanos(d: std::time::Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;
    const RULES: Rules = Rules { rollover: 100_000.0, rate_max: 360.0 };

    /// Feeds readings one second apart; returns what was booked and what was found.
    fn feed(register: &mut Register, readings: &[f64], from: i64) -> (f64, Vec<IssueKind>) {
        let (mut booked, mut found) = (0.0, Vec::new());
        for (second, reading) in (from..).zip(readings) {
            let (increment, finding) = register.take(&RULES, *reading, second * S);
            booked += increment.map_or(0.0, |i| i.amount);
            found.extend(finding.map(|f| f.kind));
        }
        (booked, found)
    }

    #[test]
    fn counter_rules() {
        let zeros = vec![0.0; 300];
        let replaced: Vec<f64> = (0..90).map(|s| 7.0 + f64::from(s) * 0.1).collect();
        let after_zero: Vec<f64> = zeros.iter().copied().chain((1..90).map(|s| f64::from(s) * 0.1)).collect();
        let jumped: Vec<f64> = (0..90).map(|s| 55_000.0 + f64::from(s) * 0.1).collect();
        let rows: Vec<(&str, Vec<f64>, f64, Vec<IssueKind>)> = vec![
            ("normal", vec![50_000.0, 50_000.1, 50_000.1, 50_000.2], 0.2, vec![]),
            ("zero at wake-up, then back", [&[50_000.0], &zeros[..], &[50_000.1]].concat(), 0.1, vec![IssueKind::Zero]),
            ("rollover", vec![99_999.95, 0.05], 0.1, vec![IssueKind::Rollover]),
            ("rollover to exactly zero", vec![99_999.9, 0.0, 0.1], 0.2, vec![IssueKind::Rollover]),
            ("one spike", vec![50_000.0, 99_000.0, 50_000.1], 0.1, vec![IssueKind::Jump]),
            ("underflow spike", vec![10.0, 42_949_672.95, 10.1], 0.1, vec![IssueKind::Jump]),
            ("a dip", vec![50_000.0, 49_000.0, 50_000.1], 0.1, vec![IssueKind::Decrease]),
            ("meter replaced", [&[50_000.0], &replaced[..]].concat(), 8.9, vec![IssueKind::Decrease, IssueKind::Reset]),
            (
                "reset to zero, counts again",
                [&[50_000.0], &after_zero[..]].concat(),
                8.9,
                vec![IssueKind::Zero, IssueKind::Reset],
            ),
            ("preset upwards", [&[50_000.0], &jumped[..]].concat(), 8.9, vec![IssueKind::Jump, IssueKind::Reset]),
            (
                "first reading zero, then the true one",
                [&[0.0, 0.0], &jumped[..]].concat(),
                8.9,
                vec![IssueKind::Jump, IssueKind::Reset],
            ),
        ];
        for (name, readings, booked, found) in rows {
            let (sum, kinds) = feed(&mut Register::default(), &readings, 0);
            assert!((sum - booked).abs() < 1e-6, "{name}: booked {sum}, not {booked}");
            assert_eq!(kinds, found, "{name}");
        }
    }

    #[test]
    fn a_silence_makes_room_for_what_may_have_flowed_and_no_more() {
        for (silence_s, delta, booked) in [(3_600, 400.0, true), (3_600, 440.0, false), (60, 400.0, false)] {
            let mut register = Register::default();
            register.take(&RULES, 1_000.0, 0);
            let (increment, _) = register.take(&RULES, 1_000.0 + delta, silence_s * S);
            assert_eq!(increment.is_some(), booked, "{delta} kWh after {silence_s} s");
        }
    }

    #[test]
    fn a_register_that_refreshes_once_a_minute_is_believed() {
        let mut readings = vec![1_000.0; 60];
        readings.extend([1_006.0; 60]);
        readings.push(1_012.0);
        let (booked, found) = feed(&mut Register::default(), &readings, 0);
        assert!((booked - 12.0).abs() < 1e-9 && found.is_empty(), "{booked} {found:?}");
    }

    #[test]
    fn the_same_reading_seen_twice_is_one_reading() {
        let mut register = Register::default();
        register.take(&RULES, 10.0, S);
        let first = register.take(&RULES, 10.1, 2 * S);
        assert!(first.0.is_some());
        assert_eq!(register.take(&RULES, 10.1, 2 * S), (None, None));
    }

    proptest! {
        /// Whatever is read, nothing negative and nothing beyond the meter's power over the time passed is ever booked.
        #[test]
        fn bookings_are_bounded(readings in proptest::collection::vec(-1e6..1e8f64, 1..200)) {
            let mut register = Register::default();
            let mut booked = 0.0;
            for (second, reading) in (0..).zip(&readings) {
                let (increment, _) = register.take(&RULES, *reading, second * S);
                if let Some(i) = increment {
                    prop_assert!(i.amount >= 0.0 && i.t0 < i.t1);
                    booked += i.amount;
                }
            }
            let seconds = readings.len() as f64;
            prop_assert!(booked <= RULES.rate_max * JUMP_FACTOR * (seconds * 903.0) / 3600.0);
        }
    }
}
