//! Judges a signal of one, two or three sensors, and falls back in steps where it fails.
//!
//! Each sensor is tested by itself; the first that fails is its cause:
//!
//! | cause | when |
//! | --- | --- |
//! | `missing` | it has no value |
//! | `maintenance` | it is being calibrated or cleaned |
//! | `stale` | its sample is older than `max_age` |
//! | `range` | below `min` or above `max` |
//! | `spike` | further than `spike` from the median of its last five samples |
//! | `rate` | further than `rate·t` from its last accepted sample, taken `t` before it |
//! | `flat` | within `flat_band` of one value for `flat_time` |
//!
//! A spike test by the running median (a filter of Hampel's kind) passes a real step at its third sample; the rate test
//! passes it once the rate could have brought it there. Both know a new sample by its age, so a scan faster than the
//! analyser does not see one sample twice. The sensors that pass then vote ([`super::vote`]), cause `vote`.
//!
//! The ladder of a signal without a good value: `substitute` where there is one, else the last good value for at most
//! `hold` seconds, else `safe`.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, number_or_none, result, whole};
use super::logic::TIME_ROUNDING;
use super::memory::Pass;
use super::vote::vote;
use rhai::{Array, Dynamic, ImmutableString};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Most sensors of one signal.
const SENSORS_MAX: usize = 3;
/// Samples of the running median.
const MEDIAN_OF: usize = 5;

/// Verdicts on a new sample; the first is none.
const SUDDEN: &[&str] = &["", "spike", "rate"];

/// Every cause by its number, which can be a tag where a word cannot: alarms and trends are of numbers.
const CAUSES: &[&str] = &["", "missing", "maintenance", "stale", "range", "spike", "rate", "flat", "vote", "returning"];

/// The number of a cause; of several sensors, that of the first one named.
fn code(cause: &str) -> usize {
    let first = cause.split(", ").next().unwrap_or_default();
    let word = first.split_once(": ").map_or(first, |(_, word)| word);
    CAUSES.iter().position(|cause| *cause == word).unwrap_or_default()
}

/// Names of the settings.
pub(crate) const SETTINGS: &[&str] = &[
    "age",
    "back_after",
    "flat_band",
    "flat_time",
    "hold",
    "maintenance",
    "max",
    "max_age",
    "min",
    "rate",
    "safe",
    "spike",
    "spread",
    "substitute",
];

/// Settings of the tests and the ladder. Times in s, the rest in the signal's unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tests {
    pub min: f64,
    pub max: f64,
    pub spike: Option<f64>,
    /// Per s.
    pub rate: Option<f64>,
    pub flat_time: Option<f64>,
    pub flat_band: f64,
    pub max_age: Option<f64>,
    /// Greatest distance of sensors that agree.
    pub spread: Option<f64>,
    pub substitute: Option<f64>,
    pub hold: f64,
    pub safe: f64,
    /// For this long it must be good before it counts as good again.
    pub back_after: f64,
}

/// What a sensor shows in this scan.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    pub value: Option<f64>,
    /// Seconds since its sample was taken.
    pub age: Option<f64>,
    pub maintenance: bool,
}

/// What is remembered of a sensor.
#[derive(Debug, Clone, Default)]
struct Sensor {
    recent: [f64; MEDIAN_OF],
    count: usize,
    /// Last accepted sample and the seconds since it was taken.
    accepted: Option<(f64, f64)>,
    /// The verdict on the sample that is being seen, for scans between two samples.
    verdict: Option<&'static str>,
    age: Option<f64>,
    /// The value it has been near to, and for how long.
    near: Option<(f64, f64)>,
}

impl Sensor {
    /// The cause for which this sensor is not believed.
    fn judge(&mut self, shown: Shown, s: &Tests, dt: f64) -> Result<f64, &'static str> {
        if let Some((_, since)) = &mut self.accepted {
            *since = bounded(*since + dt);
        }
        let Some(x) = shown.value else {
            self.forget();
            return Err("missing");
        };
        if shown.maintenance {
            self.forget();
            return Err("maintenance");
        }
        // A sample that has not grown older by a whole scan is another one.
        let fresh = match (shown.age, self.age) {
            (Some(age), Some(before)) => age + TIME_ROUNDING < before + dt,
            _ => true,
        };
        self.age = shown.age;
        let flat = self.flat(x, s, dt);
        if shown.age.zip(s.max_age).is_some_and(|(age, most)| age > most) {
            return Err("stale");
        }
        if x < s.min || x > s.max {
            return Err("range");
        }
        if fresh {
            self.verdict = self.sudden(x, shown.age, s);
        }
        match self.verdict {
            Some(cause) => Err(cause),
            None if flat => Err("flat"),
            None => {
                // The same sample in another scan is no younger.
                if fresh || self.accepted.is_none() {
                    self.accepted = Some((x, shown.age.unwrap_or(0.0)));
                }
                Ok(x)
            }
        }
    }

    fn memory(&mut self, pass: &mut Pass) {
        let mut recent = vec![self.recent];
        if let Some(rows) = pass.rows("recent", recent.drain(..), 1) {
            match rows.first() {
                Some(row) => self.recent = *row,
                None => pass.refuse("`recent` is empty"),
            }
        }
        pass.count("count", &mut self.count, MEDIAN_OF);
        let (mut value, mut since) = self.accepted.map_or((None, None), |(x, since)| (Some(x), Some(since)));
        pass.maybe("accepted", &mut value);
        pass.maybe_amount("since", &mut since);
        self.accepted = value.zip(since);
        let mut verdict = SUDDEN.iter().position(|word| Some(*word) == self.verdict.or(Some(""))).unwrap_or(0);
        pass.word("verdict", &mut verdict, SUDDEN);
        self.verdict = Some(SUDDEN[verdict]).filter(|word| !word.is_empty());
        pass.maybe_amount("age", &mut self.age);
        let (mut near, mut near_for) = self.near.map_or((None, None), |(x, since)| (Some(x), Some(since)));
        pass.maybe("near", &mut near);
        pass.maybe_amount("near_for", &mut near_for);
        self.near = near.zip(near_for);
    }

    /// After a gap or a calibration the signal may stand elsewhere; that is neither a spike nor too fast.
    fn forget(&mut self) {
        *self = Self::default();
    }

    /// Spike and rate of a new sample.
    fn sudden(&mut self, x: f64, age: Option<f64>, s: &Tests) -> Option<&'static str> {
        self.recent.rotate_right(1);
        self.recent[0] = x;
        self.count = (self.count + 1).min(MEDIAN_OF);
        let mut sorted = self.recent;
        let sorted = &mut sorted[..self.count];
        sorted.sort_by(f64::total_cmp);
        let median = sorted[(self.count - 1) / 2];
        // Two samples alone have no majority.
        if self.count > 2 && s.spike.is_some_and(|spike| (x - median).abs() > spike) {
            return Some("spike");
        }
        let too_fast = |(y, since): (f64, f64), rate: f64| {
            let between = (since - age.unwrap_or(0.0)).max(0.0);
            (x - y).abs() > rate * between
        };
        self.accepted.zip(s.rate).is_some_and(|(last, rate)| too_fast(last, rate)).then_some("rate")
    }

    fn flat(&mut self, x: f64, s: &Tests, dt: f64) -> bool {
        let Some(most) = s.flat_time else {
            self.near = None;
            return false;
        };
        let since = match self.near {
            Some((value, since)) if (x - value).abs() <= s.flat_band => (value, bounded(since + dt)),
            _ => (x, 0.0),
        };
        self.near = Some(since);
        since.1 + TIME_ROUNDING >= most
    }
}

/// Where on the ladder a signal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Every sensor is believed.
    Good,
    /// Fewer sensors than there are carry the value.
    Suspect,
    Substitute,
    Hold,
    Safe,
}

/// Words of a result, made once: a good signal is judged with every scan.
static STATES: LazyLock<[ImmutableString; 5]> =
    LazyLock::new(|| State::ALL.map(|state| ImmutableString::from(state.as_str())));
static NO_CAUSE: LazyLock<ImmutableString> = LazyLock::new(ImmutableString::new);

impl State {
    const ALL: [Self; 5] = [Self::Good, Self::Suspect, Self::Substitute, Self::Hold, Self::Safe];

    fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Suspect => "suspect",
            Self::Substitute => "substitute",
            Self::Hold => "hold",
            Self::Safe => "safe",
        }
    }
}

/// What is said of a signal after a scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub value: f64,
    pub state: State,
    /// Empty when good; with several sensors each failed one with its number.
    pub cause: Cow<'static, str>,
    pub used: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Validator {
    sensors: Vec<Sensor>,
    last_good: Option<f64>,
    /// Seconds without a good value.
    lost: f64,
    /// Seconds it has been good again, while it does not count yet.
    returning: Option<f64>,
}

impl Validator {
    pub fn run(&mut self, shown: &[Shown], s: &Tests, dt: f64) -> Judged {
        let shown = &shown[..shown.len().min(SENSORS_MAX)];
        self.sensors.resize_with(shown.len(), Sensor::default);
        let (mut verdicts, mut passed) = ([Ok(0.0); SENSORS_MAX], [None; SENSORS_MAX]);
        let (verdicts, passed) = (&mut verdicts[..shown.len()], &mut passed[..shown.len()]);
        for (i, sensor) in self.sensors.iter_mut().enumerate() {
            verdicts[i] = sensor.judge(shown[i], s, dt);
            passed[i] = verdicts[i].ok();
        }
        // A last good value that may not stand in for the signal any more does not bear witness either.
        let remembered = self.last_good.filter(|_| self.lost <= s.hold + TIME_ROUNDING);
        let vote = vote(passed, s.spread, s.substitute.or(remembered));
        let mut causes: Vec<(usize, &'static str)> =
            verdicts.iter().enumerate().filter_map(|(i, v)| v.err().map(|cause| (i, cause))).collect();
        causes.extend(vote.and_then(|v| v.outvoted).map(|i| (i, "vote")));
        causes.sort_unstable();
        let mut cause: Cow<'static, str> = match causes.as_slice() {
            [] => "".into(),
            [(_, cause)] if shown.len() == 1 => (*cause).into(),
            all => all.iter().map(|(i, cause)| format!("{}: {cause}", i + 1)).collect::<Vec<_>>().join(", ").into(),
        };
        let agreed = vote.map(|v| (v.value, v.used));
        if agreed.is_none() && passed.iter().flatten().count() > 1 {
            cause = if cause.is_empty() { "vote".into() } else { format!("vote, {cause}").into() };
        }
        let returned = self.returned(agreed.is_some(), s.back_after, dt);
        match agreed.filter(|_| returned) {
            Some((value, used)) => {
                (self.last_good, self.lost) = (Some(value), 0.0);
                let state = if used == shown.len() { State::Good } else { State::Suspect };
                Judged { value, state, cause, used }
            }
            None => {
                self.lost = bounded(self.lost + dt);
                let cause = if agreed.is_some() { "returning".into() } else { cause };
                let (value, state) = self.fall_back(s);
                Judged { value, state, cause, used: 0 }
            }
        }
    }

    /// True when a value that is good now counts as good.
    fn returned(&mut self, good: bool, back_after: f64, dt: f64) -> bool {
        if !good {
            self.returning = Some(0.0);
            return false;
        }
        let Some(since) = self.returning else { return true };
        let since = since + dt;
        self.returning = (since + TIME_ROUNDING < back_after).then_some(since);
        self.returning.is_none()
    }

    fn fall_back(&self, s: &Tests) -> (f64, State) {
        match (s.substitute, self.last_good) {
            (Some(value), _) => (value, State::Substitute),
            (None, Some(value)) if self.lost <= s.hold + TIME_ROUNDING => (value, State::Hold),
            _ => (s.safe, State::Safe),
        }
    }
}

/// One value for each sensor: an array of as many, or one for all.
fn per_sensor(call: &Call, name: &str, count: usize) -> Result<Array, String> {
    match call.get(name) {
        None => Ok(vec![Dynamic::UNIT; count]),
        Some(value) => match value.as_array_ref() {
            Ok(array) if array.len() == count => Ok(array.clone()),
            Ok(array) => Err(format!("`{name}` has {} elements for {count} sensors", array.len())),
            Err(_) => Ok(vec![value.clone(); count]),
        },
    }
}

fn shown(call: &Call) -> Result<Vec<Shown>, String> {
    let values = if call.value(0).is_array() { call.array(0, SENSORS_MAX)? } else { vec![call.value(0).clone()] };
    let ages = per_sensor(call, "age", values.len())?;
    let maintenance = per_sensor(call, "maintenance", values.len())?;
    let sensors = values.iter().zip(&ages).zip(&maintenance).map(|((value, age), maintenance)| {
        let age = number_or_none(age).ok().filter(|age| age.is_none_or(|a| a >= 0.0));
        let flag = if maintenance.is_unit() { Ok(false) } else { maintenance.as_bool() };
        Ok(Shown {
            value: number_or_none(value)?,
            age: age.ok_or("`age` takes a time of at least 0 s, or () for none")?,
            maintenance: flag.map_err(|_| "`maintenance` takes true or false".to_owned())?,
        })
    });
    sensors.collect()
}

impl FunctionBlock for Validator {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let (min, max) = call.limits()?;
        let s = Tests {
            min,
            max,
            spike: call.width("spike")?,
            rate: call.width("rate")?,
            flat_time: call.time_above_0("flat_time", "leave it out for no such test")?,
            flat_band: call.width("flat_band")?.unwrap_or(0.0),
            max_age: call.time_or_none("max_age")?,
            spread: call.width("spread")?,
            substitute: call.number("substitute")?,
            hold: call.time("hold")?,
            safe: call.needed("safe")?,
            back_after: call.time_or_none("back_after")?.unwrap_or(0.0),
        };
        if s.max_age.is_some() && call.get("age").is_none() {
            return Err("`max_age` needs `age`: io.age(\"…\")".to_owned());
        }
        let judged = self.run(&shown(call)?, &s, call.dt);
        Ok(result([
            ("value", judged.value.into()),
            ("state", STATES[judged.state as usize].clone().into()),
            ("code", whole(code(&judged.cause))),
            ("cause", if judged.cause.is_empty() { NO_CAUSE.clone() } else { judged.cause.as_ref().into() }.into()),
            ("used", whole(judged.used)),
            ("lost", self.lost.into()),
        ]))
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        *self = Self { last_good: to.number()?, ..Self::default() };
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.parts("sensors", &mut self.sensors, SENSORS_MAX, Sensor::default, Sensor::memory);
        pass.maybe("last_good", &mut self.last_good);
        pass.amount("lost", &mut self.lost);
        pass.maybe_amount("returning", &mut self.returning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Good, Hold, Safe, Substitute, Suspect};

    /// Dissolved oxygen, mg/L: range 0.02 to 12, 1 mg/L in a minute.
    const OXYGEN: Tests = Tests {
        min: 0.02,
        max: 12.0,
        spike: None,
        rate: None,
        flat_time: None,
        flat_band: 0.0,
        max_age: None,
        spread: None,
        substitute: None,
        hold: 3.0,
        safe: 1.5,
        back_after: 0.0,
    };

    fn one(value: f64) -> Vec<Shown> {
        vec![Shown { value: Some(value), ..Shown::default() }]
    }

    fn check(s: &Tests, rows: &[(f64, f64, State, &str)]) {
        let mut block = Validator::default();
        for (row, (x, value, state, cause)) in rows.iter().enumerate() {
            let seen = block.run(&one(*x), s, 1.0);
            assert_eq!((seen.value, seen.state, seen.cause.as_ref()), (*value, *state, *cause), "row {row}");
        }
    }

    #[test]
    fn the_ladder_goes_down_step_by_step_and_up_at_once() {
        check(
            &OXYGEN,
            &[
                (13.0, 1.5, Safe, "range"),
                (2.0, 2.0, Good, ""),
                (0.01, 2.0, Hold, "range"),
                (0.01, 2.0, Hold, "range"),
                (0.01, 2.0, Hold, "range"),
                (0.01, 1.5, Safe, "range"),
                (2.5, 2.5, Good, ""),
            ],
        );
        let soft = Tests { substitute: Some(1.8), ..OXYGEN };
        check(&soft, &[(2.0, 2.0, Good, ""), (-1.0, 1.8, Substitute, "range"), (2.0, 2.0, Good, "")]);
        let slow = Tests { back_after: 2.0, ..OXYGEN };
        check(
            &slow,
            &[(2.0, 2.0, Good, ""), (99.0, 2.0, Hold, "range"), (2.2, 2.0, Hold, "returning"), (2.2, 2.2, Good, "")],
        );
    }

    #[test]
    fn a_spike_is_held_over_and_a_step_passes_at_its_third_sample() {
        let s = Tests { spike: Some(1.0), ..OXYGEN };
        let good = (2.0, 2.0, Good, "");
        check(&s, &[good, good, good, good, (5.0, 2.0, Hold, "spike"), good, good]);
        let spike = (5.0, 2.0, Hold, "spike");
        check(&s, &[good, good, good, good, good, spike, spike, (5.0, 5.0, Good, "")]);
    }

    #[test]
    fn the_rate_lets_a_value_pass_once_it_could_have_come_there() {
        // 0.5 per s: a step of 1.2 is believed after 3 s.
        let s = Tests { rate: Some(0.5), ..OXYGEN };
        let fast = (3.2, 2.0, Hold, "rate");
        check(
            &s,
            &[(2.0, 2.0, Good, ""), (2.4, 2.4, Good, ""), (2.0, 2.0, Good, ""), fast, fast, (3.2, 3.2, Good, "")],
        );
    }

    #[test]
    fn a_flat_line_is_found_after_its_time() {
        let s = Tests { flat_time: Some(3.0), flat_band: 0.1, ..OXYGEN };
        let flat = (2.05, 2.05, Hold, "flat");
        check(&s, &[(2.0, 2.0, Good, ""), (2.08, 2.08, Good, ""), (2.05, 2.05, Good, ""), flat, (2.3, 2.3, Good, "")]);
    }

    #[test]
    fn between_two_samples_of_an_analyser_nothing_is_judged_twice() {
        // A sample every 300 s, scans every second, and a spike at the fourth sample: held for that one sample.
        let s = Tests { spike: Some(1.0), max_age: Some(400.0), hold: 600.0, ..OXYGEN };
        let mut block = Validator::default();
        for second in 0_u32..2_400 {
            let value = if second / 300 == 4 { 9.0 } else { 2.0 };
            let shown = [Shown { value: Some(value), age: Some(f64::from(second % 300)), maintenance: false }];
            let seen = block.run(&shown, &s, 1.0);
            let expected = if second / 300 == 4 { (Hold, "spike") } else { (Good, "") };
            assert_eq!((seen.state, seen.cause.as_ref(), seen.value), (expected.0, expected.1, 2.0), "{second} s");
        }
        let old = [Shown { value: Some(2.0), age: Some(401.0), maintenance: false }];
        assert_eq!(block.run(&old, &s, 1.0).cause, "stale");
        let washing = [Shown { value: Some(2.0), age: Some(0.0), maintenance: true }];
        assert_eq!(block.run(&washing, &s, 1.0).cause, "maintenance");
        assert_eq!(block.run(&[Shown::default()], &s, 1.0).cause, "missing");
    }

    #[test]
    fn the_rate_counts_from_sample_to_sample() {
        // 0.01 per s and a sample every 5 s: 0.05 from one to the next, however often it is looked at.
        let s = Tests { rate: Some(0.01), ..OXYGEN };
        let mut block = Validator::default();
        let mut run = |value: f64, age: f64| {
            block.run(&[Shown { value: Some(value), age: Some(age), maintenance: false }], &s, 1.0)
        };
        let mut value = 2.0;
        for second in 0_u32..60 {
            value += if second > 0 && second % 5 == 0 { 0.045 } else { 0.0 };
            let seen = run(value, f64::from(second % 5));
            assert_eq!((seen.state, seen.cause.as_ref(), seen.value), (Good, "", value), "{second} s");
        }
        for age in 0_u32..5 {
            let seen = run(value + 0.06, f64::from(age));
            assert_eq!((seen.state, seen.cause.as_ref()), (if age < 3 { Hold } else { Safe }, "rate"), "age {age}");
        }
        // 10 s after the last accepted one the next may be 0.1 away.
        assert_eq!(run(value + 0.09, 0.0).state, Good);
        // It is the time between the samples that counts, not the one between the scans that saw them: 1.2 s here.
        run(value + 0.09, 1.0);
        assert_eq!(run(value + 0.105, 0.8).state, Hold);
        assert_eq!(run(value + 0.101, 0.0).state, Good);
    }

    #[test]
    fn sensors_vote_and_the_failed_are_named() {
        let s = Tests { spread: Some(0.5), ..OXYGEN };
        let three = |a, b, c| [a, b, c].map(|x| Shown { value: Some(x), ..Shown::default() });
        let mut block = Validator::default();
        let mut run = |a, b, c| block.run(&three(a, b, c), &s, 1.0);
        let seen = run(2.0, 2.2, 2.4);
        assert_eq!((seen.state, seen.used, seen.cause.as_ref()), (Good, 3, ""));
        let seen = run(2.0, 7.0, 2.2);
        assert_eq!((seen.state, seen.used, seen.cause.as_ref()), (Suspect, 2, "2: vote"));
        assert!((seen.value - 2.1).abs() < 1e-12);
        let seen = run(2.0, -1.0, 2.2);
        assert_eq!((seen.state, seen.used, seen.cause.as_ref()), (Suspect, 2, "2: range"));
        let seen = run(1.0, 5.0, 9.0);
        assert_eq!((seen.state, seen.used, seen.cause.as_ref()), (Hold, 0, "vote"));
        let seen = run(99.0, 99.0, 99.0);
        assert_eq!(seen.cause, "1: range, 2: range, 3: range");
    }

    #[test]
    fn a_cause_has_a_number_also_among_several() {
        for (cause, number) in
            [("", 0), ("missing", 1), ("flat", 7), ("returning", 9), ("2: range, 3: vote", 4), ("vote, 1: stale", 8)]
        {
            assert_eq!(code(cause), number, "{cause}");
        }
    }
}
