//! Scenarios: faults and assertions over plant time, from a text of lines, run without sockets.
//!
//! ```text
//! # the ammonium analyser sticks
//! seed 7
//! start 2026-06-21T04:00:00Z
//! weather storm
//! at 10min  stuck aer/z5/nh4 0.5 for 2h
//! at 20min  shown aer/z5/nh4 <= 0.5
//! at 1h     eff/nh4 < 5
//! at 2h     clear all
//! from 0s to 2h  aer/header/pressure > 40
//! ```
//!
//! A tag alone is the truth, after `shown` it is what the instrument shows. Real time and plant time are the same here.

use std::fmt;

use crate::faults::{Injection, ParseError, QUANTITIES, duration, nearest};
use crate::models::wet::Weather;
use crate::simulation::Simulation;

/// Start of the plant clock where a scenario names none: noon of midsummer's Sunday 2026 at the plant.
const START_UNIX_S: i64 = 1_782_014_400;
/// Step of a run, s.
const STEP_S: f64 = 1.0;
/// Longest scenario, s: a year runs for an hour or more.
const LENGTH_MAX_S: f64 = 366.0 * 86_400.0;
/// Most lines that do something.
const LINES_MAX: usize = 10_000;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

const RELATIONS: [(&str, Relation); 4] =
    [("<", Relation::Less), ("<=", Relation::AtMost), (">", Relation::Greater), (">=", Relation::AtLeast)];

impl Relation {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Relation::Less => left < right,
            Relation::AtMost => left <= right,
            Relation::Greater => left > right,
            Relation::AtLeast => left >= right,
        }
    }
}

/// One assertion over a time or a span of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// Tag of the quantity or state.
    pub tag: String,
    /// What the instrument shows in place of the truth.
    pub shown: bool,
    /// Comparison.
    pub relation: Relation,
    /// With what.
    pub limit: f64,
    /// First moment it must hold, s from the start.
    pub from_s: f64,
    /// Last moment it must hold.
    pub to_s: f64,
}

/// Something done at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A fault begins.
    Inject(Injection),
    /// Faults whose normal form begins with these words end.
    Clear(String),
    /// All faults end.
    ClearAll,
}

/// A line of a scenario with its number and words.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<T> {
    /// Line number, from 1.
    pub number: usize,
    /// The line.
    pub text: String,
    /// What it says.
    pub says: T,
}

/// A parsed scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Seed of the run.
    pub seed: u64,
    /// Start of the plant clock, Unix seconds.
    pub start_unix_s: i64,
    /// Weather of the run.
    pub weather: Weather,
    /// What is done, with the time in s from the start, in order of time.
    pub acts: Vec<(f64, Line<Act>)>,
    /// What must hold.
    pub assertions: Vec<Line<Assertion>>,
}

/// Why a text is no scenario.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScenarioError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there; part of the text above, so not its source.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The first word is unknown.
    #[error("`{0}` begins no line; there are at, from, seed, start, weather")]
    Begin(String),
    /// A time is wrong.
    #[error("`{0}` is no time from the start, as `30min`; units are ms, s, min, h, d; up to a year")]
    Time(String),
    /// A span ends before it begins or is not written as `from .. to ..`.
    #[error("a span is written `from 10min to 2h` and ends after it begins")]
    Span,
    /// A setting has a value it cannot have.
    #[error("{0}")]
    Setting(String),
    /// Neither fault nor assertion.
    #[error(transparent)]
    Fault(#[from] ParseError),
    /// An assertion about something that is not measured.
    #[error("nothing called `{word}` is measured; the nearest is `{nearest}`")]
    Tag {
        /// The word.
        word: String,
        /// The nearest tag.
        nearest: String,
    },
    /// An assertion is not of the form.
    #[error("an assertion is written `[shown] <tag> <, <=, > or >= <number>`")]
    Assertion,
    /// A state has no instrument.
    #[error("`{0}` is a state, which no instrument shows")]
    NotShown(String),
    /// Faults cannot be asked for over a span.
    #[error("a fault is written `at <time> <fault> for <duration>`; a span is for assertions")]
    FaultInSpan,
    /// More lines than anything needs.
    #[error("more than {LINES_MAX} lines do something")]
    Long,
}

/// Tags of states beside the measured quantities.
const STATES: [&str; 11] = [
    "aer/b1/running",
    "aer/b1/fault",
    "aer/b2/running",
    "aer/b2/fault",
    "aer/b3/running",
    "aer/b3/fault",
    "aer/remote",
    "dos/pac/running",
    "dos/carbon/running",
    "dos/naclo/running",
    "slu/dewater/running",
];

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the number of the first wrong line.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let mut scenario = Scenario {
            seed: 1,
            start_unix_s: START_UNIX_S,
            weather: Weather::Dry,
            acts: Vec::new(),
            assertions: Vec::new(),
        };
        for (index, whole) in text.lines().enumerate() {
            let number = index + 1;
            let line = whole.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            scenario.take(number, line).map_err(|reason| ScenarioError { line: number, reason })?;
        }
        // Stable: what stands first of the same time is done first.
        scenario.acts.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(scenario)
    }

    fn take(&mut self, number: usize, line: &str) -> Result<(), Reason> {
        if self.acts.len() + self.assertions.len() >= LINES_MAX {
            return Err(Reason::Long);
        }
        let (first, rest) = first_word(line);
        let text = line.to_owned();
        match first {
            "at" => {
                let (word, what) = first_word(rest);
                let at_s = time(word)?;
                if let Some(act) = act(what)? {
                    self.acts.push((at_s, Line { number, text, says: act }));
                } else {
                    let says = assertion(what, at_s, at_s)?;
                    self.assertions.push(Line { number, text, says });
                }
            }
            "from" => {
                let (from, rest) = first_word(rest);
                let (to, rest) = first_word(rest);
                let (until, what) = first_word(rest);
                let from_s = time(from)?;
                if to != "to" {
                    return Err(Reason::Span);
                }
                let to_s = time(until)?;
                if to_s < from_s {
                    return Err(Reason::Span);
                }
                if matches!(act(what), Ok(Some(_))) {
                    return Err(Reason::FaultInSpan);
                }
                self.assertions.push(Line { number, text, says: assertion(what, from_s, to_s)? });
            }
            "seed" => {
                self.seed =
                    rest.parse().map_err(|_| Reason::Setting(format!("`{rest}` is no seed (0 to 2^64 - 1)")))?;
            }
            "start" => {
                let start = rest.parse::<jiff::Timestamp>();
                let start = start.map_err(|e| Reason::Setting(format!("`{rest}` is no RFC 3339 time: {e}")))?;
                self.start_unix_s = start.as_second();
                let config = crate::SimConfig { start: Some(self.start_unix_s), ..crate::SimConfig::default() };
                config.check().map_err(|e| Reason::Setting(e.to_string()))?;
            }
            "weather" => self.weather = rest.parse().map_err(|e| Reason::Setting(format!("{e}")))?,
            _ => return Err(Reason::Begin(first.to_owned())),
        }
        Ok(())
    }

    /// Last moment something is done or must hold, s from the start.
    #[must_use]
    pub fn length_s(&self) -> f64 {
        let acts = self.acts.iter().map(|(at_s, _)| *at_s);
        let ends = self.assertions.iter().map(|line| line.says.to_s);
        acts.chain(ends).fold(0.0, f64::max)
    }

    /// Runs in virtual time and says what held. The same scenario has the same verdict.
    #[must_use]
    pub fn run(&self) -> Verdict {
        let mut simulation = Simulation::in_weather(self.seed, self.start_unix_s, self.weather);
        let mut checks: Vec<Check> = self.assertions.iter().map(Check::new).collect();
        let mut troubles = Vec::new();
        let mut acts = self.acts.iter().peekable();
        let steps = (self.length_s() / STEP_S).ceil() as u64;
        for step in 0..=steps {
            let now_s = step as f64 * STEP_S;
            while let Some((_, line)) = acts.next_if(|(at_s, _)| *at_s <= now_s) {
                if let Err(trouble) = perform(&mut simulation, &line.says) {
                    troubles.push(format!("line {}: {}: {trouble}", line.number, line.text));
                }
            }
            let due = |check: &Check| check.from_s <= now_s && now_s < check.to_s + STEP_S;
            if checks.iter().any(due) {
                let values = simulation.quantities();
                checks.iter_mut().filter(|check| due(check)).for_each(|check| check.look(now_s, &values));
            }
            if step < steps {
                simulation.step(STEP_S, STEP_S);
            }
        }
        Verdict { checks, troubles }
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

fn time(word: &str) -> Result<f64, Reason> {
    duration(word).filter(|s| (0.0..=LENGTH_MAX_S).contains(s)).ok_or_else(|| Reason::Time(word.to_owned()))
}

/// What is done; `None` for an assertion, which has a relation in it.
fn act(what: &str) -> Result<Option<Act>, Reason> {
    if what.split_whitespace().any(|word| RELATIONS.iter().any(|(name, _)| *name == word)) {
        return Ok(None);
    }
    match first_word(what) {
        ("clear", "all") => Ok(Some(Act::ClearAll)),
        ("clear", rest) => {
            let (name, target) = first_word(rest);
            // Parameters do not matter for which fault ends; the words must be those of some fault.
            let known = crate::faults::MENU.iter().any(|entry| entry.name == name);
            if !known {
                let nearest = nearest(name, crate::faults::MENU.map(|entry| entry.name));
                return Err(ParseError::Name { word: name.to_owned(), nearest }.into());
            }
            Ok(Some(Act::Clear(format!("{name} {target}").trim().to_owned())))
        }
        ("shown", _) => Err(Reason::Assertion),
        _ => Ok(Some(Act::Inject(what.parse()?))),
    }
}

fn assertion(what: &str, from_s: f64, to_s: f64) -> Result<Assertion, Reason> {
    let words: Vec<&str> = what.split_whitespace().collect();
    let (shown, words) = match words.as_slice() {
        ["shown", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let [tag, relation, limit] = words else { return Err(Reason::Assertion) };
    let relation = RELATIONS.iter().find(|(name, _)| name == relation).ok_or(Reason::Assertion)?.1;
    let limit: f64 = limit.parse().ok().filter(|limit: &f64| limit.is_finite()).ok_or(Reason::Assertion)?;
    if shown && STATES.contains(tag) {
        return Err(Reason::NotShown((*tag).to_owned()));
    }
    let known = QUANTITIES.into_iter().chain(STATES);
    if !known.clone().any(|name| name == *tag) {
        return Err(Reason::Tag { word: (*tag).to_owned(), nearest: nearest(tag, known).to_owned() });
    }
    Ok(Assertion { tag: (*tag).to_owned(), shown, relation, limit, from_s, to_s })
}

/// Does what a line says.
fn perform(simulation: &mut Simulation, act: &Act) -> Result<(), String> {
    match act {
        Act::Inject(injection) => simulation.inject(injection.clone()).map(|_| ()).map_err(|full| full.to_string()),
        Act::ClearAll => {
            simulation.clear_all();
            Ok(())
        }
        Act::Clear(words) => {
            let of =
                |text: &str| text == words || text.strip_prefix(words.as_str()).is_some_and(|r| r.starts_with(' '));
            let ids: Vec<u64> =
                simulation.faults().iter().filter(|f| of(&f.fault.to_string())).map(|fault| fault.id).collect();
            if ids.is_empty() {
                return Err("no such fault is active".to_owned());
            }
            ids.into_iter().for_each(|id| {
                simulation.clear(id);
            });
            Ok(())
        }
    }
}

/// What became of one assertion.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Line number.
    pub number: usize,
    /// The line.
    pub text: String,
    /// The first value that did not hold, with its time in s; the last value seen where all did.
    pub value: f64,
    /// Time of that value, s from the start.
    pub at_s: f64,
    /// It held all the time.
    pub passed: bool,
    assertion: Assertion,
    from_s: f64,
    to_s: f64,
}

impl Check {
    fn new(line: &Line<Assertion>) -> Check {
        let assertion = line.says.clone();
        let (from_s, to_s) = (assertion.from_s, assertion.to_s);
        let text = line.text.clone();
        Check { number: line.number, text, value: f64::NAN, at_s: from_s, passed: true, assertion, from_s, to_s }
    }

    fn look(&mut self, now_s: f64, values: &[crate::faults::Quantity]) {
        if !self.passed {
            return;
        }
        let found = values.iter().find(|quantity| quantity.tag == self.assertion.tag);
        let value = found.and_then(|quantity| if self.assertion.shown { quantity.shown } else { Some(quantity.truth) });
        (self.value, self.at_s) = (value.unwrap_or(f64::NAN), now_s);
        // Nothing holds for a value that is not there.
        self.passed = self.assertion.relation.holds(self.value, self.assertion.limit);
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Assertions in the order of their lines.
    pub checks: Vec<Check>,
    /// Lines that could not be done.
    pub troubles: Vec<String>,
}

impl Verdict {
    /// Everything was done and held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.troubles.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let word = if check.passed { "held  " } else { "FAILED" };
            writeln!(f, "{word} line {}: {} (is {:.4} after {} s)", check.number, check.text, check.value, check.at_s)?;
        }
        for trouble in &self.troubles {
            writeln!(f, "FAILED {trouble}")?;
        }
        let held = self.checks.iter().filter(|check| check.passed).count();
        write!(f, "{held} of {} assertions held", self.checks.len())
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
