//! Declared conditions on tags: small trees of comparisons, compiled once and evaluated every scan without allocating.
//!
//! ```text
//! aer/b1/vibration > 7.1 mm/s for 2s           a comparison that must hold for a time
//! aer/b1/running and not aer/b1/fault          switches, and, or, not, brackets
//! good(hp/source/flow) or hp/state == 0        the quality of a tag
//! aer/header/pressure > aer/header/pressure_sp tags against tags of the same unit
//! ```
//!
//! The logic has three values: a bad input is neither true nor false. `false and bad` is false, `true or bad` is true,
//! everything else with a bad part is unknown, and whoever declares the condition says what that means. An uncertain
//! input counts as usable; `good(tag)` tells it apart. `for` delays: the part before it must have been other than false
//! for so long, without a break.

mod parse;

pub use parse::{ConditionError, TagFacts};

use penstock_model::{BadReason, Cause, Instant, Quality, Sample, TagId, Value};
use std::sync::Arc;
use std::time::Duration;

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tri {
    False,
    True,
    /// An input that decides is bad.
    Unknown,
}

impl Tri {
    fn not(self) -> Tri {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Tri {
    fn from(so: bool) -> Tri {
        if so { Self::True } else { Self::False }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

/// A tag with its place in the image of the task that evaluates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub tag: TagId,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Right {
    Number(f64),
    Tag(Place),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Test {
    /// The switch is on.
    On,
    /// The number compares so.
    Number(Compare, Right),
    /// The quality is Good.
    Good,
    /// The quality is Good or Uncertain.
    Usable,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    pub left: Place,
    pub test: Test,
    /// As declared.
    pub text: Arc<str>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Leaf(usize),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// A delay, with the place of its timer.
    For(Box<Node>, Duration, usize),
}

/// A declared condition, checked against the site's tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: Arc<str>,
    root: Node,
    leaves: Vec<Leaf>,
    timers: usize,
}

/// The running delays of one condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(Vec<Option<Instant>>);

impl Condition {
    /// Reads a condition. `tags` says what is known of a tag path.
    ///
    /// # Errors
    /// The first mistake, with its place in the text.
    pub fn parse(text: &str, tags: &dyn Fn(&str) -> Option<TagFacts>) -> Result<Condition, ConditionError> {
        parse::parse(text, tags)
    }

    /// The condition as declared.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The tags it reads, each once.
    #[must_use]
    pub fn tags(&self) -> Vec<TagId> {
        let mut all = Vec::new();
        for leaf in &self.leaves {
            let right = match leaf.test {
                Test::Number(_, Right::Tag(place)) => Some(place.tag),
                _ => None,
            };
            for tag in std::iter::once(leaf.left.tag).chain(right) {
                if !all.contains(&tag) {
                    all.push(tag);
                }
            }
        }
        all
    }

    /// Finds the places of its tags in an image.
    pub(crate) fn bind(&mut self, mut place: impl FnMut(TagId) -> usize) {
        for leaf in &mut self.leaves {
            leaf.left.at = place(leaf.left.tag);
            if let Test::Number(_, Right::Tag(right)) = &mut leaf.test {
                right.at = place(right.tag);
            }
        }
    }

    pub(crate) fn timers(&self) -> Timers {
        Timers(vec![None; self.timers])
    }

    /// What it comes to, and the place of the comparison that made it so.
    pub(crate) fn evaluate(&self, timers: &mut Timers, image: &[Sample], now: Instant) -> (Tri, usize) {
        self.node(&self.root, timers, image, now)
    }

    /// True while a tag that it reads has never been received.
    pub(crate) fn waits(&self, image: &[Sample]) -> bool {
        let initial = |p: Place| image[p.at].quality == Quality::Bad(BadReason::Initial);
        self.leaves
            .iter()
            .any(|leaf| initial(leaf.left) || matches!(leaf.test, Test::Number(_, Right::Tag(right)) if initial(right)))
    }

    /// The comparison of that place with the value that it sees.
    pub(crate) fn cause(&self, leaf: usize, image: &[Sample]) -> Cause {
        let leaf = &self.leaves[leaf];
        let sample = &image[leaf.left.at];
        Cause { tag: leaf.left.tag, value: sample.value.clone(), quality: sample.quality, text: leaf.text.clone() }
    }

    /// True where `cause` still names the comparison of that place, with an input as usable as it was.
    pub(crate) fn is_cause(&self, cause: &Cause, leaf: usize, image: &[Sample]) -> bool {
        let leaf = &self.leaves[leaf];
        cause.text == leaf.text && cause.quality.is_bad() == image[leaf.left.at].quality.is_bad()
    }

    fn node(&self, node: &Node, timers: &mut Timers, image: &[Sample], now: Instant) -> (Tri, usize) {
        match node {
            Node::Leaf(at) => (self.leaves[*at].evaluate(image), *at),
            Node::Not(inner) => {
                let (so, at) = self.node(inner, timers, image, now);
                (so.not(), at)
            }
            Node::And(parts) => self.all(parts, Tri::False, timers, image, now),
            Node::Or(parts) => self.all(parts, Tri::True, timers, image, now),
            Node::For(inner, time, timer) => {
                let (so, at) = self.node(inner, timers, image, now);
                if so == Tri::False {
                    timers.0[*timer] = None;
                    return (so, at);
                }
                let since = *timers.0[*timer].get_or_insert(now);
                (if now.since(since) >= *time { so } else { Tri::False }, at)
            }
        }
    }

    /// The first part that decides; else the first unknown; else the first. Every part is evaluated, for its delays.
    fn all(&self, parts: &[Node], decides: Tri, timers: &mut Timers, image: &[Sample], now: Instant) -> (Tri, usize) {
        let mut found: Option<(Tri, usize)> = None;
        let weight = |so: Tri| match so {
            so if so == decides => 2,
            Tri::Unknown => 1,
            _ => 0,
        };
        for part in parts {
            let next = self.node(part, timers, image, now);
            if found.is_none_or(|(so, _)| weight(next.0) > weight(so)) {
                found = Some(next);
            }
        }
        found.unwrap_or((Tri::Unknown, 0))
    }
}

impl Leaf {
    fn evaluate(&self, image: &[Sample]) -> Tri {
        let sample = &image[self.left.at];
        match self.test {
            Test::Good => sample.quality.is_good().into(),
            Test::Usable => (!sample.quality.is_bad()).into(),
            Test::On => sample.usable().and_then(Value::as_bool).map_or(Tri::Unknown, Tri::from),
            Test::Number(compare, right) => {
                let right = match right {
                    Right::Number(x) => Some(x),
                    Right::Tag(place) => image[place.at].usable_f64(),
                };
                match (sample.usable_f64(), right) {
                    (Some(x), Some(y)) => compare.holds(x, y).into(),
                    _ => Tri::Unknown,
                }
            }
        }
    }
}

impl Compare {
    #[expect(clippy::float_cmp, reason = "equality is declared for switches and whole numbers; floats are refused")]
    fn holds(self, x: f64, y: f64) -> bool {
        match self {
            Self::Above => x > y,
            Self::AtLeast => x >= y,
            Self::Below => x < y,
            Self::AtMost => x <= y,
            Self::Equal => x == y,
            Self::Unequal => x != y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{Now, UncertainReason, Unit, ValueType};

    fn facts(path: &str) -> Option<TagFacts> {
        let fact = |id, value_type, unit: &str| {
            let unit = Unit::parse(unit).unwrap();
            Some(TagFacts { id: TagId(id), value_type, unit, range: None })
        };
        match path {
            "p/x" => fact(0, ValueType::Float, "kPa"),
            "p/y" => fact(1, ValueType::Float, "kPa"),
            "p/on" => fact(2, ValueType::Bool, ""),
            _ => None,
        }
    }

    fn at(s: u64) -> Now {
        Now { mono: Instant(s * 1_000_000_000), ..Now::default() }
    }

    fn image(x: Option<f64>, y: Option<f64>, on: Option<bool>) -> Vec<Sample> {
        let bad = || Sample::bad(BadReason::Link, None, at(0));
        let float = |v: Option<f64>| v.map_or_else(bad, |v| Sample::good(v, at(0)));
        vec![float(x), float(y), on.map_or_else(bad, |v| Sample::good(v, at(0)))]
    }

    fn condition(text: &str) -> Condition {
        let mut c = Condition::parse(text, &facts).unwrap();
        c.bind(TagId::index);
        c
    }

    #[test]
    fn comparisons_and_their_logic_with_bad_inputs() {
        use Tri::{False, True, Unknown};
        let rows = [
            ("p/x > 5", image(Some(5.1), None, None), True),
            ("p/x > 5 kPa", image(Some(5.0), None, None), False),
            ("p/x >= p/y", image(Some(5.0), Some(5.0), None), True),
            ("p/x >= p/y", image(Some(5.0), None, None), Unknown),
            ("p/on and p/x > 5", image(None, None, Some(false)), False),
            ("p/on and p/x > 5", image(None, None, Some(true)), Unknown),
            ("p/on or p/x > 5", image(None, None, Some(true)), True),
            ("not p/on", image(None, None, Some(true)), False),
            ("not p/on", image(None, None, None), Unknown),
            ("not (p/on or p/x < 1)", image(Some(2.0), None, Some(false)), True),
            ("good(p/x)", image(None, None, None), False),
            ("p/on == false", image(None, None, Some(false)), True),
            // `and` binds more tightly than `or`.
            ("p/on or p/on and p/x > 5", image(Some(0.0), None, Some(true)), True),
        ];
        for (text, image, want) in rows {
            let c = condition(text);
            assert_eq!(c.evaluate(&mut c.timers(), &image, at(0).mono).0, want, "{text} on {image:?}");
        }
        let mut frozen = image(Some(9.0), None, None);
        frozen[0].quality = Quality::Uncertain(UncertainReason::Frozen);
        let evaluate = |text: &str| condition(text).evaluate(&mut condition(text).timers(), &frozen, at(0).mono).0;
        assert_eq!([evaluate("p/x > 5"), evaluate("good(p/x)"), evaluate("usable(p/x)")], [True, False, True]);
    }

    #[test]
    fn a_delay_counts_from_the_first_scan_and_starts_again_after_a_break() {
        let c = condition("p/x > 5 for 2s");
        let mut timers = c.timers();
        let values =
            [Some(6.0), Some(6.0), Some(5.0), Some(6.0), Some(6.0), Some(6.0), None, Some(4.0), None, None, None];
        let got: Vec<Tri> =
            (0_u64..).zip(values).map(|(s, x)| c.evaluate(&mut timers, &image(x, None, None), at(s).mono).0).collect();
        use Tri::{False, True, Unknown};
        assert_eq!(got, [False, False, False, False, False, True, Unknown, False, False, False, Unknown]);
    }

    #[test]
    fn the_cause_is_the_first_comparison_that_decides() {
        let cause = |text: &str, image: &[Sample]| {
            let c = condition(text);
            let (_, leaf) = c.evaluate(&mut c.timers(), image, at(0).mono);
            c.cause(leaf, image).text.to_string()
        };
        assert_eq!(cause("p/x > 5 or p/on", &image(Some(1.0), None, Some(true))), "p/on");
        assert_eq!(cause("p/x > 5 kPa or p/on", &image(Some(7.0), None, Some(true))), "p/x > 5 kPa");
        assert_eq!(cause("p/x > 5 and p/y > 5", &image(Some(7.0), None, None)), "p/y > 5");
        assert_eq!(cause("not p/on and p/x < 9", &image(Some(7.0), None, Some(false))), "p/on");
    }
}
