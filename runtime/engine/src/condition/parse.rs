//! From the text of a condition to its tree: words, precedence, and the check of types and units.

use super::{Compare, Condition, Leaf, Node, Place, Right, Test};
use crate::nearest::did_you_mean;
use penstock_model::{TagId, Unit, ValueType, limits};
use std::time::Duration;

/// What a condition must know of a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TagFacts {
    /// Its id.
    pub id: TagId,
    /// Its type.
    pub value_type: ValueType,
    /// Its unit.
    pub unit: Unit,
    /// Its range, in its unit.
    pub range: Option<(f64, f64)>,
}

/// A mistake in a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Character of the text where it stands, from 0.
    pub at: usize,
    /// Characters that it takes.
    pub len: usize,
    /// The path, where the mistake is a tag that does not exist.
    pub unknown_tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Word {
    text: String,
    at: usize,
}

const KEYWORDS: [&str; 9] = ["and", "or", "not", "for", "good", "usable", "true", "false", "bad"];
const COMPARES: [(&str, Compare); 6] = [
    (">", Compare::Above),
    (">=", Compare::AtLeast),
    ("<", Compare::Below),
    ("<=", Compare::AtMost),
    ("==", Compare::Equal),
    ("!=", Compare::Unequal),
];

fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        match chars[i] {
            c if c.is_whitespace() => {
                i += 1;
                continue;
            }
            '(' | ')' => i += 1,
            '<' | '>' | '=' | '!' => {
                i += 1;
                i += usize::from(chars.get(i) == Some(&'='));
            }
            _ => {
                while chars.get(i).is_some_and(|c| !c.is_whitespace() && !"()<>=!".contains(*c)) {
                    i += 1;
                }
            }
        }
        out.push(Word { text: chars[start..i].iter().collect(), at: start });
    }
    out
}

struct Parser<'a> {
    words: Vec<Word>,
    next: usize,
    end: usize,
    depth: usize,
    tags: &'a dyn Fn(&str) -> Option<TagFacts>,
    leaves: Vec<Leaf>,
    timers: usize,
}

type Parsed<T> = Result<T, ConditionError>;

pub(super) fn parse(text: &str, tags: &dyn Fn(&str) -> Option<TagFacts>) -> Parsed<Condition> {
    let end = text.chars().count();
    let whole = |message: String| ConditionError { message, help: None, at: 0, len: end, unknown_tag: None };
    if text.len() > limits::CONDITION_BYTES_MAX {
        return Err(whole(format!("a condition is at most {} bytes long", limits::CONDITION_BYTES_MAX)));
    }
    let mut parser = Parser { words: words(text), next: 0, end, depth: 0, tags, leaves: Vec::new(), timers: 0 };
    if parser.words.is_empty() {
        return Err(whole("the condition is empty".to_owned()));
    }
    let root = parser.or()?;
    if let Some(word) = parser.words.get(parser.next) {
        return Err(error(
            word,
            format!("`{}` is not expected here", word.text),
            Some("join comparisons with `and` or `or`"),
        ));
    }
    Ok(Condition { text: text.trim().into(), root, leaves: parser.leaves, timers: parser.timers })
}

fn error(word: &Word, message: String, help: Option<&str>) -> ConditionError {
    let len = word.text.chars().count().max(1);
    ConditionError { message, help: help.map(str::to_owned), at: word.at, len, unknown_tag: None }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.next).map(|w| w.text.as_str())
    }

    fn take(&mut self, what: &str) -> Parsed<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += 1;
        word.ok_or_else(|| {
            let end = Word { text: String::new(), at: self.end };
            error(&end, format!("the condition ends where {what} is expected"), None)
        })
    }

    fn or(&mut self) -> Parsed<Node> {
        let mut parts = vec![self.and()?];
        while self.peek() == Some("or") {
            self.next += 1;
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Or(parts) })
    }

    fn and(&mut self) -> Parsed<Node> {
        let mut parts = vec![self.timed()?];
        while self.peek() == Some("and") {
            self.next += 1;
            parts.push(self.timed()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::And(parts) })
    }

    fn timed(&mut self) -> Parsed<Node> {
        let inner = self.unary()?;
        if self.peek() != Some("for") {
            return Ok(inner);
        }
        self.next += 1;
        let word = self.take("a time")?;
        let seconds = seconds(&word.text);
        if seconds.is_some_and(|s| s > TIME_MAX_S) {
            return Err(error(&word, format!("`{}` is too long: a time is at most 876600h", word.text), None));
        }
        let Some(time) = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) else {
            return Err(error(
                &word,
                format!("`{}` is not a time", word.text),
                Some("write a number and a unit: 500ms, 2s, 5min, 1h"),
            ));
        };
        self.timers += 1;
        Ok(Node::For(Box::new(inner), time, self.timers - 1))
    }

    fn unary(&mut self) -> Parsed<Node> {
        let word = self.take("a tag")?;
        match word.text.as_str() {
            "not" | "(" => {
                self.depth += 1;
                if self.depth > limits::CONDITION_DEPTH_MAX {
                    return Err(error(&word, format!("brackets deeper than {}", limits::CONDITION_DEPTH_MAX), None));
                }
                let node = if word.text == "not" { Node::Not(Box::new(self.unary()?)) } else { self.bracket(&word)? };
                self.depth -= 1;
                Ok(node)
            }
            "good" | "usable" => {
                let open = self.take("`(`")?;
                if open.text != "(" {
                    return Err(error(
                        &open,
                        format!("`{}` takes a tag in brackets", word.text),
                        Some("for example good(tank/level)"),
                    ));
                }
                let tag = self.take("a tag")?;
                let facts = self.tag(&tag)?;
                let close = self.take("`)`")?;
                if close.text != ")" {
                    return Err(error(&close, "a bracket is not closed here".to_owned(), None));
                }
                let test = if word.text == "good" { Test::Good } else { Test::Usable };
                self.leaf(&word, facts, test, format!("{}({})", word.text, tag.text))
            }
            _ => self.comparison(&word),
        }
    }

    fn bracket(&mut self, open: &Word) -> Parsed<Node> {
        let node = self.or()?;
        match self.peek() {
            Some(")") => {
                self.next += 1;
                Ok(node)
            }
            _ => Err(error(open, "this bracket is not closed".to_owned(), None)),
        }
    }

    fn comparison(&mut self, left: &Word) -> Parsed<Node> {
        if left.text.parse::<f64>().is_ok() {
            return Err(error(
                left,
                "a comparison begins with a tag".to_owned(),
                Some("write the number on the right: tank/level < 0.5"),
            ));
        }
        let facts = self.tag(left)?;
        let Some(compare) = self.peek().and_then(|w| COMPARES.iter().find(|(text, _)| *text == w)) else {
            if let Some(word) = self.words.get(self.next).filter(|w| matches!(w.text.as_str(), "=" | "!")) {
                return Err(error(word, format!("`{}` is no comparison", word.text), Some("write == or !=")));
            }
            return if facts.value_type == ValueType::Bool {
                self.leaf(left, facts, Test::On, left.text.clone())
            } else {
                let message =
                    format!("`{}` is a {}: it is neither true nor false by itself", left.text, facts.value_type);
                Err(error(left, message, Some("compare it with a number: >, >=, <, <=, ==, !=")))
            };
        };
        let (sign, compare) = *compare;
        self.next += 1;
        let right = self.take("a number or a tag")?;
        let (test, shown) = self.right(left, facts, compare, &right)?;
        let ordered = !matches!(compare, Compare::Equal | Compare::Unequal);
        if facts.value_type == ValueType::Bool && ordered {
            return Err(error(
                left,
                format!("`{}` is a bool: it is not above or below anything", left.text),
                Some("write it alone, or with `not` before it"),
            ));
        }
        if facts.value_type == ValueType::Float && !ordered {
            return Err(error(
                left,
                format!("`{}` is a float: it hardly ever equals a number", left.text),
                Some("use >, >=, < or <="),
            ));
        }
        self.leaf(left, facts, test, format!("{} {sign} {shown}", left.text))
    }

    /// What stands on the right of a comparison.
    fn right(&mut self, left: &Word, facts: TagFacts, compare: Compare, right: &Word) -> Parsed<(Test, String)> {
        if let "true" | "false" = right.text.as_str() {
            if facts.value_type != ValueType::Bool {
                let message = format!("`{}` is a {}, not a bool", left.text, facts.value_type);
                return Err(error(right, message, Some("compare it with a number")));
            }
            let value = if right.text == "true" { 1.0 } else { 0.0 };
            return Ok((Test::Number(compare, Right::Number(value)), right.text.clone()));
        }
        if let Some((number, unit)) = number(&right.text) {
            if facts.value_type == ValueType::Bool {
                return Err(error(
                    right,
                    format!("`{}` is a bool, not a number", left.text),
                    Some("compare it with true or false"),
                ));
            }
            let shown = self.literal(left, facts, right, number, unit)?;
            self.reachable(left, facts, compare, right, number)?;
            return Ok((Test::Number(compare, Right::Number(number)), shown));
        }
        let other = self.tag(right)?;
        if (facts.value_type == ValueType::Bool) != (other.value_type == ValueType::Bool) {
            let message = format!("`{}` is a {}, `{}` a {}", left.text, facts.value_type, right.text, other.value_type);
            return Err(error(right, message, None));
        }
        if facts.unit != other.unit {
            let message = format!("`{}` is in {}, `{}` in {}", left.text, say(facts.unit), right.text, say(other.unit));
            return Err(error(right, message, Some("nothing is converted silently")));
        }
        Ok((Test::Number(compare, Right::Tag(Place { tag: other.id, at: 0 })), right.text.clone()))
    }

    /// A number with the unit behind it, which must be the tag's own.
    fn literal(&mut self, left: &Word, facts: TagFacts, right: &Word, number: f64, joined: &str) -> Parsed<String> {
        if !number.is_finite() {
            return Err(error(right, "a limit must be a finite number".to_owned(), None));
        }
        let mut word =
            Word { text: joined.to_owned(), at: right.at + right.text.chars().count() - joined.chars().count() };
        if joined.is_empty() {
            let next = self.words.get(self.next).filter(|w| !KEYWORDS.contains(&w.text.as_str()) && w.text != ")");
            match next {
                Some(next) => {
                    word = next.clone();
                    self.next += 1;
                }
                None => return Ok(number.to_string()),
            }
        }
        let unit = Unit::parse(&word.text).map_err(|e| {
            let help = did_you_mean(&word.text, Unit::all());
            error(&word, e.to_string(), help.as_deref())
        })?;
        if unit != facts.unit {
            let message = format!("`{}` is in {}, not in {}", left.text, say(facts.unit), say(unit));
            return Err(error(
                &word,
                message,
                Some("nothing is converted silently: write the limit in the tag's unit"),
            ));
        }
        Ok(format!("{number} {unit}"))
    }

    /// A limit outside the tag's range would never be passed.
    fn reachable(&self, left: &Word, facts: TagFacts, compare: Compare, right: &Word, number: f64) -> Parsed<()> {
        let Some((low, high)) = facts.range else { return Ok(()) };
        let never = match compare {
            Compare::Above => number >= high,
            Compare::AtLeast => number > high,
            Compare::Below => number <= low,
            Compare::AtMost => number < low,
            Compare::Equal | Compare::Unequal => !(low..=high).contains(&number),
        };
        if never {
            let message = format!("`{}` never passes {number}: its range is {low}..{high}", left.text);
            return Err(error(right, message, None));
        }
        Ok(())
    }

    fn tag(&self, word: &Word) -> Parsed<TagFacts> {
        if KEYWORDS.contains(&word.text.as_str()) || !word.text.chars().any(char::is_alphanumeric) {
            return Err(error(word, format!("`{}` stands where a tag is expected", word.text), None));
        }
        let facts = (self.tags)(&word.text).ok_or_else(|| ConditionError {
            unknown_tag: Some(word.text.clone()),
            ..error(word, format!("unknown tag `{}`", word.text), None)
        })?;
        if facts.value_type == ValueType::Text {
            return Err(error(
                word,
                format!("`{}` is a text: conditions are on numbers and switches", word.text),
                None,
            ));
        }
        Ok(facts)
    }

    fn leaf(&mut self, word: &Word, facts: TagFacts, test: Test, text: String) -> Parsed<Node> {
        if self.leaves.len() >= limits::CONDITION_LEAVES_MAX {
            return Err(error(
                word,
                format!("more than {} comparisons in one condition", limits::CONDITION_LEAVES_MAX),
                None,
            ));
        }
        self.leaves.push(Leaf { left: Place { tag: facts.id, at: 0 }, test, text: text.into() });
        Ok(Node::Leaf(self.leaves.len() - 1))
    }
}

/// A number at the start of a word, and what follows it: `7.1mm/s`.
fn number(text: &str) -> Option<(f64, &str)> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let split = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || *c == '.' || (*i == 0 && matches!(c, '-' | '+'))))
        .map_or(text.len(), |(i, _)| i);
    let number = text[..split].parse().ok()?;
    Some((number, &text[split..]))
}

/// Longest time of a condition, s: 100 years, the longest duration of any file.
const TIME_MAX_S: f64 = 36_525.0 * 86_400.0;

/// `500ms`, `2s`, `5min`, `1h` in seconds.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = number(text)?;
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Some(number * seconds)
}

fn say(unit: Unit) -> String {
    if unit == Unit::NONE { "no unit".to_owned() } else { format!("`{unit}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(path: &str) -> Option<TagFacts> {
        let fact = |value_type, unit: &str| {
            Some(TagFacts { id: TagId(0), value_type, unit: Unit::parse(unit).unwrap(), range: Some((0.0, 90.0)) })
        };
        match path {
            "p/x" => fact(ValueType::Float, "kPa"),
            "p/air" => fact(ValueType::Float, "Nm3/h"),
            "p/n" => fact(ValueType::Int, ""),
            "p/on" => fact(ValueType::Bool, ""),
            "p/name" => fact(ValueType::Text, ""),
            _ => None,
        }
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let rows = [
            ("", 0, "empty"),
            ("p/x", 0, "is a float: it is neither true nor false"),
            ("p/x > ", 6, "ends where a number or a tag"),
            ("p/z > 5", 0, "unknown tag `p/z`"),
            ("p/x > 5 mbar", 8, "is in `kPa`, not in `mbar`"),
            ("p/x > 5mbar", 7, "is in `kPa`, not in `mbar`"),
            ("p/x > 5 parsec", 8, "not a known unit"),
            ("p/x > p/air", 6, "`p/x` is in `kPa`, `p/air` in `Nm3/h`"),
            ("p/x > 95", 6, "never passes 95: its range is 0..90"),
            ("p/x == 5", 0, "hardly ever equals"),
            ("p/on > 0", 7, "is a bool, not a number"),
            ("p/on == 1", 8, "is a bool, not a number"),
            ("p/x > true", 6, "is a float, not a bool"),
            ("p/name == 3", 0, "is a text"),
            ("5 < p/x", 0, "begins with a tag"),
            ("p/on p/on", 5, "not expected here"),
            ("(p/on", 0, "not closed"),
            ("p/on)", 4, "not expected here"),
            ("p/on for ever", 9, "not a time"),
            ("p/on for 99999999999999h", 9, "too long: a time is at most 876600h"),
            ("p/on for", 8, "ends where a time"),
            ("p/on = true", 5, "no comparison"),
            ("good p/x", 5, "takes a tag in brackets"),
            ("and p/on", 0, "where a tag is expected"),
        ];
        for (text, at, words) in rows {
            let e = parse(text, &facts).unwrap_err();
            assert!(e.message.contains(words), "`{text}`: {e}");
            assert_eq!(e.at, at, "`{text}`: {e}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let deep = format!("{}p/on{}", "(".repeat(40), ")".repeat(40));
        assert!(parse(&deep, &facts).unwrap_err().message.contains("deeper"));
        let wide = vec!["p/on"; 40].join(" or ");
        assert!(parse(&wide, &facts).unwrap_err().message.contains("comparisons"));
        assert!(parse(&"x".repeat(2_000), &facts).unwrap_err().message.contains("bytes"));
    }

    #[test]
    fn every_tag_is_listed_once_and_the_text_stays() {
        let c = parse(" p/on and p/x > 5 kPa for 2s ", &facts).unwrap();
        assert_eq!((&**c.text(), c.tags().len(), c.timers), ("p/on and p/x > 5 kPa for 2s", 1, 1));
        assert!(matches!(c.root, Node::And(ref parts) if matches!(parts[1], Node::For(..))), "{c:?}");
    }
}
