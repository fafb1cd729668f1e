//! A scenario's text as a tree that knows where everything stands, and the list of what is wrong with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Error as YamlError, Spanned};

/// Longest scenario file, bytes: some ten thousand lines.
const BYTES_MAX: usize = 1 << 20;
/// Most problems kept: beyond this a person repairs the first ones and tries again.
const PROBLEMS_MAX: usize = 200;

/// A place in a file: line and column from 1, length in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line from 1; 0 for the file as a whole.
    pub line: u32,
    /// Column in characters from 1.
    pub column: u32,
    /// Length in characters.
    pub len: u32,
}

impl Place {
    fn of(at: &serde_yaml::Location) -> Place {
        let small = |n: u64| u32::try_from(n).unwrap_or(0);
        Place { line: small(at.line()), column: small(at.column()), len: small(at.span().len()) }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(d)?;
        Ok(At { place: Place::of(&spanned.referenced), value: spanned.value })
    }
}

/// Names with values, in the order of the file.
pub(super) type Map = Vec<(At<String>, At<Node>)>;

/// A value of any kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Nothing,
    Switch(bool),
    Whole(i128),
    Number(f64),
    Text(String),
    List(Vec<At<Node>>),
    Map(Map),
}

impl Node {
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Nothing => "nothing",
            Node::Switch(_) => "true or false",
            Node::Whole(_) | Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "names with values",
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Node::Whole(n) => Some(*n as f64),
            Node::Number(x) => Some(*x).filter(|x| x.is_finite()),
            _ => None,
        }
    }
}

/// On one line, as it could stand in a file.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Nothing => f.write_str("~"),
            Node::Switch(on) => write!(f, "{on}"),
            Node::Whole(n) => write!(f, "{n}"),
            Node::Number(x) => write!(f, "{x}"),
            Node::Text(text) => f.write_str(text),
            Node::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { ", " } else { "" }, item.value)?;
                }
                f.write_str("]")
            }
            Node::Map(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{}: {}", if i > 0 { ", " } else { "" }, key.value, value.value)?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick;
        impl<'de> Visitor<'de> for Pick {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Nothing)
            }
            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Nothing)
            }
            fn visit_bool<E>(self, on: bool) -> Result<Node, E> {
                Ok(Node::Switch(on))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Node, E> {
                Ok(Node::Whole(n.into()))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Node, E> {
                Ok(Node::Whole(n.into()))
            }
            fn visit_f64<E>(self, x: f64) -> Result<Node, E> {
                Ok(Node::Number(x))
            }
            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<At<Node>>()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<At<String>, At<Node>>()? {
                    pairs.push(pair);
                }
                Ok(Node::Map(pairs))
            }
        }
        d.deserialize_any(Pick)
    }
}

/// One thing that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The line at fault.
    pub excerpt: String,
}

/// Everything that is wrong with a scenario, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// What is wrong.
    pub items: Vec<Problem>,
    /// How many more there were beyond those kept.
    pub left_out: usize,
}

impl Problems {
    /// As a compiler tells it, under the name of the file.
    #[must_use]
    pub fn told(&self, file: &str) -> String {
        let mut text = String::new();
        for problem in &self.items {
            let Place { line, column, len } = problem.place;
            let gutter = " ".repeat(line.to_string().len());
            text.push_str(&format!("error: {}\n{gutter}--> {file}:{line}:{column}\n", problem.message));
            if !problem.excerpt.is_empty() {
                let lead: String =
                    problem.excerpt.chars().take((column.max(1) - 1) as usize).map(|c| " ".repeat(width(c))).collect();
                let under = problem.excerpt.chars().skip((column.max(1) - 1) as usize).take(len.max(1) as usize);
                let under: usize = under.map(width).sum();
                let carets = "^".repeat(under.max(1));
                text.push_str(&format!("{gutter} |\n{line} | {}\n{gutter} | {lead}{carets}\n", problem.excerpt));
            }
            if let Some(help) = &problem.help {
                text.push_str(&format!("{gutter} = help: {help}\n"));
            }
            text.push('\n');
        }
        if self.left_out > 0 {
            text.push_str(&format!("... and {} more\n\n", self.left_out));
        }
        let count = self.items.len() + self.left_out;
        text.push_str(&format!("{count} mistake{} in {file}", if count == 1 { "" } else { "s" }));
        text
    }
}

/// Columns a character takes on a terminal: Chinese takes two, a tab is shown as one blank.
fn width(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6);
    if wide { 2 } else { 1 }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told("scenario"))
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a text is read.
pub(super) struct Complaints<'t> {
    lines: Vec<&'t str>,
    items: Vec<Problem>,
}

impl<'t> Complaints<'t> {
    pub fn new(text: &'t str) -> Complaints<'t> {
        Complaints { lines: text.lines().collect(), items: Vec::new() }
    }

    fn line(&self, line: u32) -> &'t str {
        (line as usize).checked_sub(1).and_then(|at| self.lines.get(at)).copied().unwrap_or_default()
    }

    /// Adds a problem.
    pub fn add(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        let excerpt = self.line(place.line).trim_end().to_owned();
        self.items.push(Problem { place, message: message.into(), help, excerpt });
    }

    /// The place of one word of a text that begins at `place`; the text's own where the word is not found there.
    pub fn word(&self, place: Place, word: &str) -> Place {
        let line = self.line(place.line);
        let from = line.char_indices().nth((place.column.max(1) - 1) as usize).map_or(line.len(), |(at, _)| at);
        let found = line[from..].find(word).filter(|_| !word.is_empty());
        found.map_or(place, |at| {
            let column = line[..from + at].chars().count() + 1;
            let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Place { line: place.line, column: small(column), len: small(word.chars().count()) }
        })
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn finish(mut self) -> Problems {
        self.items.sort_by_key(|problem| problem.place);
        let left_out = self.items.len().saturating_sub(PROBLEMS_MAX);
        self.items.truncate(PROBLEMS_MAX);
        Problems { items: self.items, left_out }
    }
}

/// The tree of a text; complains where it is no YAML.
pub(super) fn tree(text: &str, complaints: &mut Complaints<'_>) -> Option<At<Node>> {
    if text.len() > BYTES_MAX {
        complaints.add(Place::default(), format!("the scenario is longer than {BYTES_MAX} bytes"), None);
        return None;
    }
    let options = serde_yaml::options! { with_snippet: false };
    match serde_yaml::from_str_with_options::<At<Node>>(text, options) {
        Ok(tree) => Some(tree),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location().map(|at| Place::of(&at)).unwrap_or_default();
            let (message, help) = match error {
                YamlError::DuplicateMappingKey { key: Some(key), .. } => (format!("key `{key}` stands twice"), None),
                YamlError::Eof { .. } => ("the scenario is empty".to_owned(), None),
                other => {
                    let text = other.to_string();
                    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
                    (message, Some("check indentation, colons, quotes and brackets here and just above".to_owned()))
                }
            };
            complaints.add(place, message, help);
            None
        }
    }
}
