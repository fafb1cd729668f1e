//! What the site declares about each named quantity.

use crate::{Fallback, Text, Unit, Value, ValueType};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A tag's place in the [`TagTable`]. Small, dense, valid for one loaded configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(pub u32);

impl TagId {
    /// The index into tables that are laid out by tag.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A device's place in the site's list of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u16);

/// A scan task's place in the site's list of tasks, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaskId(pub u8);

/// The one writer a tag has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A device's point is read into the tag.
    Device(DeviceId),
    /// A program computes it.
    Program(Arc<str>),
    /// A person enters it: a set-point or a parameter.
    Operator,
    /// The runtime publishes it about itself.
    System,
}

/// What the tag is about; the historian and the HMI group by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// A process quantity.
    Process,
    /// Energy, power, cost.
    Energy,
    /// Emissions and their factors.
    Carbon,
    /// The runtime's own health.
    System,
}

impl Category {
    /// The word used in files and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Energy => "energy",
            Self::Carbon => "carbon",
            Self::System => "system",
        }
    }
}

/// What a person may do, each level including the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Acknowledges alarms, changes set-points, drives outputs by hand.
    Operator,
    /// Also resets faulted tasks and changes what is marked for engineers.
    Engineer,
}

impl Role {
    /// The word used in files and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Engineer => "engineer",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Role> {
        [Self::Viewer, Self::Operator, Self::Engineer].into_iter().find(|r| r.as_str() == word)
    }
}

/// How a tag leaves to a device: its limits and what it does when its reason to move is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDef {
    /// The device the command goes to; `None` for an output that stays inside the runtime.
    pub device: Option<DeviceId>,
    /// Smallest and largest value ever commanded, in the tag's unit; numbers only.
    pub limits: Option<(f64, f64)>,
    /// Largest change per second, in the tag's unit; numbers only.
    pub rate_per_s: Option<f64>,
    /// Shortest time on and shortest time off; switches only.
    pub min_on: Duration,
    /// See `min_on`.
    pub min_off: Duration,
    /// What it does when it loses its reason to move, per cause.
    pub fallback: Fallback,
    /// When a change is worth a write, and when a write has done its work.
    pub write: WritePolicy,
}

/// When a change of an output is worth a write, how long the answer may take, and what shows that it took effect.
#[derive(Debug, Clone, PartialEq)]
pub struct WritePolicy {
    /// A program's change of less than this (tag's unit) is not sent at once; 0 sends every change. Numbers only.
    pub deadband: f64,
    /// A change kept back by `deadband` is sent once the program has wished the same value for this long.
    pub quiet: Duration,
    /// A write that the device has not answered after this long has failed.
    pub answer_within: Duration,
    /// What shows that the process followed; `None` where nothing measures it.
    pub settle: Option<SettleDef>,
}

/// The measured quantity that follows an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettleDef {
    /// Where it is measured: a position, a speed, a run signal.
    pub tag: TagId,
    /// Largest difference between command and measurement, in the output's unit.
    pub tolerance: f64,
    /// It must have followed this long after the device held the value.
    pub within: Duration,
}

impl Default for WritePolicy {
    fn default() -> Self {
        let quiet = crate::limits::WRITE_QUIET;
        Self { deadband: 0.0, quiet, answer_within: crate::limits::WRITE_ANSWER, settle: None }
    }
}

/// What a person may enter.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryDef {
    /// The value before anyone has entered one.
    pub initial: Value,
    /// Smallest and largest value accepted; a value outside is refused, not clamped. Numbers only.
    pub limits: Option<(f64, f64)>,
    /// The least role that may enter it.
    pub role: Role,
}

/// What the historian keeps of a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogPolicy {
    /// False: nothing is kept.
    pub enabled: bool,
    /// A change of at most this much (tag's unit) is not kept; quality changes always are.
    pub deadband: f64,
    /// At least one sample is kept per this time, changed or not.
    pub at_least_every: Duration,
}

/// Everything declared about one tag.
#[derive(Debug, Clone, PartialEq)]
pub struct TagDef {
    /// Its id: equal to its index in the table.
    pub id: TagId,
    /// Path with `/`, for example `aer/z3/do`.
    pub path: Arc<str>,
    /// What a person calls it.
    pub title: Text,
    /// Unit of its value.
    pub unit: Unit,
    /// Type of its value.
    pub value_type: ValueType,
    /// Instrument or engineering range in its unit; numbers only.
    pub range: Option<(f64, f64)>,
    /// Figures after the decimal point on screens.
    pub decimals: u8,
    /// Older than this and the sample is Bad(stale); `None` for tags that are valid until changed.
    pub ttl: Option<Duration>,
    /// Unchanged for longer than this and the sample is Uncertain(frozen).
    pub frozen_after: Option<Duration>,
    /// Its one writer.
    pub source: Source,
    /// Present where the tag can be commanded. On the heap: most of a hundred thousand tags have none.
    pub output: Option<Box<OutputDef>>,
    /// Present where a person may enter it; on the heap like `output`.
    pub entry: Option<Box<EntryDef>>,
    /// What it is about.
    pub category: Category,
    /// What the historian keeps.
    pub log: LogPolicy,
    /// Names of states by whole value, for switches and modes: `0 → stopped`.
    pub states: Arc<[(i64, Text)]>,
}

/// All tags of a site, by id and by path.
#[derive(Debug, Clone, Default)]
pub struct TagTable {
    defs: Vec<TagDef>,
    by_path: HashMap<Arc<str>, TagId>,
}

/// A table that cannot be: the loader's own mistake, since the check finds these before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagTableError {
    /// Two tags with one path.
    #[error("tag `{0}` is declared twice")]
    Duplicate(Arc<str>),
    /// A tag whose id is not its index.
    #[error("tag `{0}` has an id that is not its place in the table")]
    Misplaced(Arc<str>),
}

impl TagTable {
    /// A table of these tags.
    ///
    /// # Errors
    /// When two tags share a path, or an id is not the tag's index.
    pub fn new(mut defs: Vec<TagDef>) -> Result<Self, TagTableError> {
        defs.shrink_to_fit();
        let mut by_path = HashMap::with_capacity(defs.len());
        for (index, def) in defs.iter().enumerate() {
            if def.id.index() != index {
                return Err(TagTableError::Misplaced(def.path.clone()));
            }
            if by_path.insert(def.path.clone(), def.id).is_some() {
                return Err(TagTableError::Duplicate(def.path.clone()));
            }
        }
        Ok(Self { defs, by_path })
    }

    /// How many tags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.defs.len()
    }

    /// True for a table without tags.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.defs.is_empty()
    }

    /// The definition of a tag.
    ///
    /// # Panics
    /// When the id is of another table.
    #[must_use]
    pub fn get(&self, id: TagId) -> &TagDef {
        &self.defs[id.index()]
    }

    /// The tag of that path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<TagId> {
        self.by_path.get(path).copied()
    }

    /// All tags in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &TagDef> {
        self.defs.iter()
    }
}

impl fmt::Display for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl TagDef {
    /// A plain floating-point tag with neither output nor entry, logged on change: the base that a loader or a
    /// test then adjusts.
    #[must_use]
    pub fn float(id: TagId, path: &str, unit: Unit, source: Source) -> TagDef {
        TagDef {
            id,
            path: path.into(),
            title: Text::same(path),
            unit,
            value_type: ValueType::Float,
            range: None,
            decimals: 2,
            ttl: None,
            frozen_after: None,
            source,
            output: None,
            entry: None,
            category: Category::Process,
            log: LogPolicy { enabled: true, deadband: 0.0, at_least_every: Duration::from_secs(60) },
            states: Arc::from([]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_refuses_two_tags_of_one_path() {
        let a = TagDef::float(TagId(0), "a", Unit::NONE, Source::System);
        let b = TagDef::float(TagId(1), "a", Unit::NONE, Source::System);
        assert_eq!(TagTable::new(vec![a.clone(), b]).unwrap_err(), TagTableError::Duplicate("a".into()));
        let c = TagDef { id: TagId(7), ..a.clone() };
        assert_eq!(TagTable::new(vec![c]).unwrap_err(), TagTableError::Misplaced("a".into()));
        let table = TagTable::new(vec![a]).unwrap();
        assert_eq!(table.find("a"), Some(TagId(0)));
        assert_eq!(table.find("b"), None);
    }
}
