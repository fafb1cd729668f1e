//! Inputs and expectations of a case, as words and as judgements.

use crate::config::text::Node;
use penstock_model::{BadReason, Quality, Sample, UncertainReason, Value, ValueType};

/// A number equals another within this share of it.
const EQUAL_SHARE: f64 = 1e-6;
/// And within this, near zero.
const EQUAL_NEAR_ZERO: f64 = 1e-9;
/// A value that moves by at most this is steady.
const STEADY: f64 = 1e-6;
/// A rising value may fall by this: the noise of adding in floating point.
const TREND_NOISE: f64 = 1e-9;

/// How an output moved through a row.
#[derive(Clone, Copy)]
pub(super) struct Trend {
    first: f64,
    last: f64,
    low: f64,
    high: f64,
    fell: bool,
    rose: bool,
    steps: usize,
}

impl Trend {
    pub(super) fn at(x: f64) -> Self {
        Self { first: x, last: x, low: x, high: x, fell: false, rose: false, steps: 0 }
    }

    pub(super) fn step(&mut self, x: f64) {
        self.fell |= x < self.last - TREND_NOISE;
        self.rose |= x > self.last + TREND_NOISE;
        self.low = self.low.min(x);
        self.high = self.high.max(x);
        self.last = x;
        self.steps += 1;
    }
}

/// An input as written: a value, `{ bad: link }`, `{ uncertain: frozen, value: 2.0 }`.
pub(super) fn input(node: &Node, wanted: ValueType, last: Option<Value>) -> Result<(Option<Value>, Quality), String> {
    let typed = |node: &Node| node.to_value(wanted).ok_or_else(|| format!("{} is not a {wanted}", node.describe()));
    let Node::Map(pairs) = node else { return Ok((Some(typed(node)?), Quality::Good)) };
    let mut quality = None;
    let mut value = last;
    for (key, node) in pairs {
        match (key.value.as_str(), &node.value) {
            ("bad", Node::Text(word)) => quality = Some(Quality::Bad(bad_reason(word)?)),
            ("uncertain", Node::Text(word)) => quality = Some(Quality::Uncertain(uncertain_reason(word)?)),
            ("value", node) => value = Some(typed(node)?),
            (other, _) => return Err(format!("`{other}` is not part of an input: write bad, uncertain, value")),
        }
    }
    match quality {
        None => Err("say the quality: { bad: link } or { uncertain: frozen }".to_owned()),
        Some(Quality::Uncertain(_)) if value.is_none() => Err("an uncertain input needs a value".to_owned()),
        Some(quality) => Ok((value, quality)),
    }
}

fn bad_reason(word: &str) -> Result<BadReason, String> {
    let all = BadReason::ALL;
    all.iter().copied().find(|r| r.as_str() == word).ok_or_else(|| unknown_reason(word, all.iter().map(|r| r.as_str())))
}

fn uncertain_reason(word: &str) -> Result<UncertainReason, String> {
    let all = UncertainReason::ALL;
    all.iter().copied().find(|r| r.as_str() == word).ok_or_else(|| unknown_reason(word, all.iter().map(|r| r.as_str())))
}

fn unknown_reason(word: &str, all: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = all.collect();
    format!("`{word}` is not a reason: {}", names.join(", "))
}

/// What to write instead of a wrong expectation.
pub(super) const EXPECT_HELP: &str = "write a value, { near: 40, tol: 0.5 }, { between: [15, 85] }, { above: 1 }, { below: 9 }, rising, \
                           falling, steady, good, uncertain, { bad: input } or { uncertain: input }";

/// What a row expects of an output.
pub(super) enum Expected {
    Equal(Value),
    Near(f64, f64),
    Between(f64, f64),
    Rising,
    Falling,
    Steady,
    Good,
    AnyUncertain,
    AnyBad,
    Quality(Quality),
}

pub(super) fn expect(node: &Node) -> Result<Expected, String> {
    let wrong = || format!("{} is not an expectation", node.describe());
    let pairs = match node {
        Node::Bool(b) => return Ok(Expected::Equal(Value::Bool(*b))),
        Node::Int(i) => return Ok(Expected::Equal(Value::Int(*i))),
        Node::Float(x) => return Ok(Expected::Equal(Value::Float(*x))),
        Node::Text(word) => {
            return match word.as_str() {
                "rising" => Ok(Expected::Rising),
                "falling" => Ok(Expected::Falling),
                "steady" => Ok(Expected::Steady),
                "good" => Ok(Expected::Good),
                "uncertain" => Ok(Expected::AnyUncertain),
                "bad" => Ok(Expected::AnyBad),
                _ => Err(wrong()),
            };
        }
        Node::List(_) => return Err(wrong()),
        Node::Map(pairs) => pairs,
    };
    let parts: Vec<(&str, &Node)> = pairs.iter().map(|(k, v)| (k.value.as_str(), &v.value)).collect();
    let number = |node: &Node| node.number().ok_or_else(|| format!("{} is not a number", node.describe()));
    match parts.as_slice() {
        [("near", x), ("tol", tol)] | [("tol", tol), ("near", x)] => Ok(Expected::Near(number(x)?, number(tol)?)),
        [("near", _)] => Err("`near` needs its tolerance `tol`".to_owned()),
        [("between", Node::List(bounds))] => match bounds.as_slice() {
            [low, high] => Ok(Expected::Between(number(&low.value)?, number(&high.value)?)),
            _ => Err("`between` takes two numbers".to_owned()),
        },
        [("above", x)] => Ok(Expected::Between(number(x)?, f64::INFINITY)),
        [("below", x)] => Ok(Expected::Between(f64::NEG_INFINITY, number(x)?)),
        [("bad", Node::Text(word))] => Ok(Expected::Quality(Quality::Bad(bad_reason(word)?))),
        [("uncertain", Node::Text(word))] => Ok(Expected::Quality(Quality::Uncertain(uncertain_reason(word)?))),
        _ => Err(wrong()),
    }
}

impl Expected {
    /// How the output differs, in words that follow its name; `None` where it does not.
    pub(super) fn differs(&self, got: &Sample, trend: Option<&Trend>) -> Option<String> {
        let shown = show(got);
        match self {
            Self::Good => (!got.quality.is_good()).then(|| format!("is {shown}, expected good")),
            Self::AnyUncertain => {
                (!matches!(got.quality, Quality::Uncertain(_))).then(|| format!("is {shown}, expected uncertain"))
            }
            Self::AnyBad => (!got.quality.is_bad()).then(|| format!("is {shown}, expected bad")),
            Self::Quality(wanted) => (got.quality != *wanted).then(|| format!("is {shown}, expected {wanted}")),
            Self::Equal(wanted) => {
                let equal = got.usable().is_some_and(|value| same(value, wanted));
                (!equal).then(|| format!("is {shown}, expected {wanted}"))
            }
            Self::Near(x, tolerance) => {
                let near = got.usable_f64().is_some_and(|v| (v - x).abs() <= *tolerance);
                (!near).then(|| format!("is {shown}, expected {x} ± {tolerance}"))
            }
            Self::Between(low, high) => {
                // Open ends are strict: `above: 5` is more than 5.
                let inside = got.usable_f64().is_some_and(|v| {
                    if low.is_infinite() {
                        v < *high
                    } else if high.is_infinite() {
                        v > *low
                    } else {
                        (*low..=*high).contains(&v)
                    }
                });
                (!inside).then(|| {
                    if low.is_infinite() {
                        format!("is {shown}, expected below {high}")
                    } else if high.is_infinite() {
                        format!("is {shown}, expected above {low}")
                    } else {
                        format!("is {shown}, expected {low} to {high}")
                    }
                })
            }
            Self::Rising | Self::Falling | Self::Steady => self.trend_differs(got, trend),
        }
    }

    fn trend_differs(&self, got: &Sample, trend: Option<&Trend>) -> Option<String> {
        let word = match self {
            Self::Rising => "rising",
            Self::Falling => "falling",
            _ => "steady",
        };
        let Some(t) = trend.filter(|_| got.usable_f64().is_some()) else {
            return Some(format!("is {}, expected {word}", show(got)));
        };
        if t.steps == 0 {
            return Some(format!("has no earlier value to be {word} from; repeat the row with `times`"));
        }
        let (first, last) = (t.first, t.last);
        match self {
            Self::Rising if last <= first => Some(format!("went from {first} to {last}, expected rising")),
            Self::Rising if t.fell => Some(format!("rose from {first} to {last}, but fell in between")),
            Self::Falling if last >= first => Some(format!("went from {first} to {last}, expected falling")),
            Self::Falling if t.rose => Some(format!("fell from {first} to {last}, but rose in between")),
            Self::Steady if t.high - t.low > STEADY => {
                Some(format!("moved between {} and {}, expected steady", t.low, t.high))
            }
            _ => None,
        }
    }
}

fn same(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Bool(_), _) | (_, Value::Bool(_)) => false,
        _ => match (got.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= (b.abs() * EQUAL_SHARE).max(EQUAL_NEAR_ZERO),
            _ => got == wanted,
        },
    }
}

fn show(sample: &Sample) -> String {
    match (&sample.value, sample.quality) {
        (Some(value), Quality::Good) => value.to_string(),
        (Some(value), Quality::Uncertain(_)) => format!("{value} {}", sample.quality),
        _ => sample.quality.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::Now;

    fn parse(text: &str) -> Node {
        crate::config::read::parse::<Node>(text).unwrap()
    }

    pub(super) fn differs(expected: &str, got: &Sample, trend: Option<&Trend>) -> Option<String> {
        expect(&parse(expected)).unwrap().differs(got, trend)
    }

    #[test]
    fn every_expectation_can_pass_and_can_fail() {
        let good = |x: f64| Sample::good(x, Now::default());
        let bad = Sample::bad(BadReason::Input, Some(Value::Float(40.0)), Now::default());
        let frozen = Sample::with_quality(40.0, Quality::Uncertain(UncertainReason::Frozen), Now::default());
        for (expected, passes, fails) in [
            ("40", good(40.0), good(40.1)),
            ("40", frozen.clone(), bad.clone()),
            ("{ near: 40, tol: 0.5 }", good(40.4), good(40.6)),
            ("{ between: [15, 85] }", good(85.0), bad.clone()),
            ("{ above: 15 }", good(15.1), good(15.0)),
            ("{ below: 15 }", good(14.9), good(15.0)),
            ("good", good(1.0), frozen.clone()),
            ("uncertain", frozen.clone(), good(1.0)),
            ("{ uncertain: frozen }", frozen.clone(), bad.clone()),
            ("{ bad: input }", bad.clone(), good(1.0)),
            ("true", Sample::good(true, Now::default()), good(1.0)),
            ("2", Sample::good(2_i64, Now::default()), Sample::good(3_i64, Now::default())),
        ] {
            assert_eq!(differs(expected, &passes, None), None, "{expected}");
            assert!(differs(expected, &fails, None).is_some(), "{expected}");
        }
    }

    #[test]
    fn a_trend_looks_at_the_whole_row() {
        let got = Sample::good(3.0, Now::default());
        let through = |xs: &[f64]| {
            let mut t = Trend::at(xs[0]);
            xs[1..].iter().for_each(|x| t.step(*x));
            t
        };
        let cases = [
            ("rising", through(&[1.0, 2.0, 3.0]), through(&[1.0, 5.0, 3.0])),
            ("rising", through(&[1.0, 1.0, 3.0]), through(&[3.0, 3.0])),
            ("falling", through(&[3.0, 2.0]), through(&[1.0, 2.0])),
            ("steady", through(&[3.0, 3.0]), through(&[3.0, 3.1, 3.0])),
        ];
        for (expected, passes, fails) in cases {
            assert_eq!(differs(expected, &got, Some(&passes)), None);
            assert!(differs(expected, &got, Some(&fails)).is_some());
        }
        assert!(differs("rising", &got, Some(&Trend::at(1.0))).unwrap().contains("times"));
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for text in ["up", "[1, 2]", "{ near: 40 }", "{ bad: lnik }", "{ between: [1] }"] {
            assert!(expect(&parse(text)).is_err(), "{text}");
        }
    }
}
