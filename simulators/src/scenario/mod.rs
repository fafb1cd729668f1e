//! Scenarios: what happens to the plant, when, and what must hold; a YAML file, run in virtual time without sockets.
//!
//! ```yaml
//! scenario: the ammonium analyser sticks
//! seed: 7
//! weather: storm
//! do:
//!   - {at: 10min, fault: stuck aer/z5/nh4 0.5 for 2h}
//!   - {at: 2h, clear: all}
//! expect:
//!   - {shown: aer/z5/nh4, at: 20min, equals: 0.5, within: 0.01}
//!   - {true: eff/nh4, from: 1h, to: 2h, below: 5}
//! ```
//!
//! The plant alone knows `true` and `shown` values; with a runtime in the loop the same file also speaks of tags,
//! qualities, alarms, faults of the runtime and numbers of its report. The format is described in `docs/scenarios.md`.

mod expect;
mod judge;
mod matrix;
mod plant;
mod read;
mod seek;
mod tree;
mod verdict;

use crate::faults::Injection;
use crate::field::{Field, PlantKind};
use crate::models::wet::Weather;

pub use expect::{Aggregate, Bound, Event, Expectation, Measure, Relation, Source, Test, What};
pub use judge::{Judge, Look, News, number_of};
pub use matrix::{Column, Matrix, Row};
pub use plant::{perform, run_file};
pub use seek::{Next, Search, Seek};
pub use tree::{Place, Problem, Problems};
pub use verdict::{Finding, Verdict, told_time};

/// Start of the plant clock where a scenario names none: midnight of Monday, 15 June 2026, at the plant.
pub const START_UNIX_S: i64 = 1_781_452_800;
/// Longest scenario, s: a year runs for an hour or more.
pub const LENGTH_MAX_S: f64 = 366.0 * 86_400.0;
/// Name of the site that is made for a plant.
fn site_of(kind: PlantKind) -> &'static str {
    match kind {
        PlantKind::Jinan => "jinan-wwtp",
        PlantKind::Bsm1 => "bsm1",
    }
}

/// A value a person enters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry {
    /// A number in the unit of its tag.
    Number(f64),
    /// A switch.
    Switch(bool),
}

/// Something done at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A fault begins.
    Inject(Injection),
    /// Faults whose normal form begins with these words end.
    Clear(String),
    /// All faults end.
    ClearAll,
    /// The weather over the catchment changes.
    Weather(Weather),
    /// An operator enters set-points or takes outputs by hand: tag and value. Only with a runtime.
    Set(Vec<(String, Entry)>),
    /// An operator gives outputs back to their programs. Only with a runtime.
    Release(Vec<String>),
}

/// What is done, when, and where the file says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Seconds from the beginning; negative for what is done before the settling.
    pub at_s: f64,
    /// Line of the file, from 1.
    pub line: u32,
    /// The entry on one line.
    pub text: String,
    /// What is done.
    pub deed: Deed,
}

/// A parsed scenario. All times count from the beginning, which is where the settling ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What a person calls it.
    pub title: String,
    /// The same in Chinese, where the file says it.
    pub title_zh: Option<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Plant time at the beginning, Unix seconds.
    pub start_unix_s: i64,
    /// Weather from the beginning on.
    pub weather: Weather,
    /// Plant and programs run for so long before the beginning, s, in dry weather and with the faults of `before` alone.
    pub settle_s: f64,
    /// Length from the beginning, s.
    pub length_s: f64,
    /// What is done, in order of time.
    pub acts: Vec<Act>,
    /// What must hold, in the order of the file.
    pub expectations: Vec<Expectation>,
}

/// A tag that a person can set, with what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settable {
    /// Path of the tag.
    pub path: String,
    /// A switch; a number otherwise.
    pub switch: bool,
    /// Smallest and largest value, in the tag's unit.
    pub limits: Option<(f64, f64)>,
    /// An output, which can be released again; a set-point otherwise.
    pub output: bool,
}

/// Names a runtime adds to those of the plant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuntimeNames {
    /// Paths of all tags.
    pub tags: Vec<String>,
    /// Tags a person can set.
    pub settable: Vec<Settable>,
    /// Names of alarms.
    pub alarms: Vec<String>,
    /// Words for why a quality is not good.
    pub reasons: Vec<String>,
    /// The report of a run in which nothing happened: what its paths lead to.
    pub report: serde_json::Value,
}

/// The names a scenario may use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names {
    /// Sites the scenario may be meant for.
    pub sites: Vec<String>,
    /// Quantities with an instrument, which have a true and a shown value.
    pub quantities: Vec<String>,
    /// States of machines, which no instrument shows.
    pub states: Vec<String>,
    /// Names of the runtime; none where the plant runs alone.
    pub runtime: Option<RuntimeNames>,
}

impl Names {
    /// The names of a plant alone.
    #[must_use]
    pub fn of(kind: PlantKind, simulation: &dyn Field) -> Names {
        let (shown, states): (Vec<_>, Vec<_>) = simulation.quantities().into_iter().partition(|q| q.shown.is_some());
        let tags = |list: Vec<crate::faults::Quantity>| list.into_iter().map(|q| q.tag).collect();
        Names { sites: vec![site_of(kind).to_owned()], quantities: tags(shown), states: tags(states), runtime: None }
    }

    /// Whether the plant itself has a true value under this name.
    #[must_use]
    pub fn in_plant(&self, name: &str) -> bool {
        self.quantities.iter().chain(&self.states).any(|known| known == name)
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`Problems`]: every mistake of the text with its place, not only the first.
    pub fn parse(text: &str, names: &Names) -> Result<Scenario, Problems> {
        read::scenario(text, names)
    }
}

#[cfg(test)]
mod tests;
