//! What a site declares about a controlled object, with names and ids resolved by the loader.

use crate::condition::Condition;
use penstock_model::{HoldTimes, MaintenanceLock, Mode, OfferedMode, Role, TagId, Text, Value};
use std::sync::Arc;
use std::time::Duration;

/// What an input of bad quality means to an interlock or a permissive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadPolicy {
    /// The interlock acts; the permissive is not met. The safe side.
    #[default]
    Trip,
    /// It counts as if the cause were not there.
    Ignore,
    /// What held before goes on.
    Hold,
}

impl BadPolicy {
    /// Every policy.
    pub const ALL: [BadPolicy; 3] = [Self::Trip, Self::Ignore, Self::Hold];

    /// The word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trip => "trip",
            Self::Ignore => "ignore",
            Self::Hold => "hold",
        }
    }
}

/// An output of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectOutput {
    /// Its tag.
    pub tag: TagId,
    /// Its value in mode off, of the tag's type and within its limits.
    pub off: Value,
    /// Its value under a maintenance lock.
    pub lock: Value,
    /// The tag that shows where it really stands: followed while the panel in the field has the object, and the proof
    /// that a machine runs already after a restart.
    pub feedback: Option<TagId>,
}

/// A condition under which an output must take a value, whoever wants something else.
#[derive(Debug, Clone, PartialEq)]
pub struct InterlockDef {
    /// Place of the output in the object's list.
    pub output: usize,
    /// The value that it takes.
    pub value: Value,
    /// When.
    pub when: Condition,
    /// What a person calls it.
    pub text: Text,
    /// What an input of bad quality means.
    pub bad: BadPolicy,
    /// It acts until a person resets it, also when its cause is gone.
    pub latch: bool,
}

/// A condition without which an output is not started. It never stops what runs.
#[derive(Debug, Clone, PartialEq)]
pub struct PermissiveDef {
    /// Place of the output in the object's list; `None`: all of them.
    pub output: Option<usize>,
    /// What must be so.
    pub when: Condition,
    /// What a person calls it.
    pub text: Text,
    /// What an input of bad quality means.
    pub bad: BadPolicy,
    /// Modes that cannot be selected from off without it.
    pub modes: Vec<Mode>,
}

/// How an object stood before the last stop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectStart {
    /// Its mode and who selected it; `None`: the one declared for the first start.
    pub mode: Option<(Mode, Arc<str>)>,
    /// The mode that a hold by hand ends in.
    pub resume: Option<Mode>,
    /// Its maintenance lock.
    pub lock: Option<Arc<MaintenanceLock>>,
    /// The interlocks that had latched, by their conditions as declared.
    pub latched: Vec<Arc<str>>,
    /// What is left of the time of its hold by hand.
    pub lease: Option<Duration>,
}

/// A controlled object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectDef {
    /// Its name, for example `aer/b1`.
    pub name: Arc<str>,
    /// What a person calls it.
    pub title: Text,
    /// The tag of its mode, a whole number ([`Mode::number`]); the engine writes it.
    pub mode_tag: TagId,
    /// Its outputs, all of one task.
    pub outputs: Vec<ObjectOutput>,
    /// The programs that drive it, by name: for whoever looks at it.
    pub programs: Vec<Arc<str>>,
    /// The modes that a person may select, and who may.
    pub modes: Vec<OfferedMode>,
    /// The mode at the first start.
    pub initial: Mode,
    /// True while the panel in the field has it. A bad input changes nothing.
    pub local: Option<Condition>,
    /// How long it may be held by hand.
    pub hold: HoldTimes,
    /// Its interlocks; of several that act on one output the first decides.
    pub interlocks: Vec<InterlockDef>,
    /// Its permissives.
    pub permissives: Vec<PermissiveDef>,
    /// How it stood before the last stop.
    pub start: ObjectStart,
}

impl ObjectDef {
    /// The least role that may select a mode; `None` where it is not offered.
    #[must_use]
    pub fn role_for(&self, mode: Mode) -> Option<Role> {
        self.modes.iter().find(|m| m.mode == mode).map(|m| m.role)
    }

    /// The mode that a hold ends in where nothing else is known: automatic, or else the declared first mode.
    #[must_use]
    pub fn resting_mode(&self) -> Mode {
        if self.role_for(Mode::Auto).is_some() || self.initial == Mode::Manual { Mode::Auto } else { self.initial }
    }

    /// Every tag that its conditions and feedbacks read, possibly more than once.
    pub fn reads(&self) -> impl Iterator<Item = TagId> {
        let interlocks = self.interlocks.iter().flat_map(|i| i.when.tags());
        let permissives = self.permissives.iter().flat_map(|p| p.when.tags());
        let local = self.local.iter().flat_map(Condition::tags);
        let feedback = self.outputs.iter().filter_map(|o| o.feedback);
        interlocks.chain(permissives).chain(local).chain(feedback)
    }
}
