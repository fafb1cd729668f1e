//! What an engine is built from.

use crate::declare::Declaration;
use crate::nearest::did_you_mean;
use crate::object::ObjectDef;
use crate::script::Script;
use penstock_model::{AlarmDef, TagId, TagTable, TaskId, Value, limits};
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a task that starts a scan a whole period late or more: at least one deadline has passed without a
/// scan. A run longer than [`TaskDef::run_max`] faults the task whatever is declared here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverrunPolicy {
    /// The missed deadlines are counted and the late scan runs at once. For control that is better late than never.
    #[default]
    Count,
    /// The late scan is dropped and counted too: the next one starts on its deadline. For programs that need even
    /// steps more than fresh values. Never twice in a row, so that a busy machine slows a task and does not stop it.
    Skip,
    /// The task is faulted: its outputs take their `overrun` fallback until an engineer resets it. For control that is
    /// dangerous when late.
    Fault,
}

impl OverrunPolicy {
    /// Every policy.
    pub const ALL: [OverrunPolicy; 3] = [Self::Count, Self::Skip, Self::Fault];

    /// The word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Skip => "skip",
            Self::Fault => "fault",
        }
    }
}

/// A scan task: everything that runs at one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDef {
    /// Its id: equal to its place in the list of tasks.
    pub id: TaskId,
    /// Its name, for example `fast`, `normal`, `slow`.
    pub name: Arc<str>,
    /// Time from one scan to the next, [`penstock_model::limits::SCAN_PERIOD_MIN`] to `SCAN_PERIOD_MAX`.
    pub period: Duration,
    /// What becomes of it when deadlines are missed.
    pub overrun: OverrunPolicy,
    /// Number of the processor its thread is bound to; `None`: any. For whoever paces the task, the engine starts no
    /// thread.
    pub cpu: Option<u16>,
}

impl TaskDef {
    /// A task that counts missed deadlines and runs on any processor.
    #[must_use]
    pub fn new(id: TaskId, name: &str, period: Duration) -> TaskDef {
        TaskDef { id, name: name.into(), period, overrun: OverrunPolicy::Count, cpu: None }
    }

    /// Processor time after which a scan is stopped, because a program does not return.
    #[must_use]
    pub fn run_max(&self) -> Duration {
        (self.period * limits::SCAN_RUN_PERCENT_MAX / 100).max(limits::SCAN_RUN_MIN)
    }
}

/// A script bound to tags.
#[derive(Debug, Clone)]
pub struct ProgramDef {
    /// Its name, for example `aer/z3`.
    pub name: Arc<str>,
    /// The script it runs.
    pub script: Script,
    /// The task it runs in.
    pub task: TaskId,
    /// The tag behind each input of the script, by the input's name.
    pub inputs: Vec<(String, TagId)>,
    /// The tag behind each output of the script, by the output's name.
    pub outputs: Vec<(String, TagId)>,
    /// Values of the script's parameters, in the parameter's unit (durations in seconds).
    pub params: Vec<(String, Value)>,
    /// Inputs that are read as they stood at the end of the last scan.
    pub delays: Vec<Delay>,
    /// What it may use up in one scan.
    pub limits: ProgramLimits,
}

/// An input that is read one scan late, so that programs may feed each other in a circle.
#[derive(Debug, Clone, PartialEq)]
pub struct Delay {
    /// The input's name.
    pub input: String,
    /// What is read, with quality uncertain, while the tag is bad; as with `io.or` no uncertainty of this input comes to
    /// the outputs. `None`: it is read as it is.
    pub otherwise: Option<Value>,
}

/// What a program may use up in one scan. Beyond it the task is faulted: by cause `fault` for operations, by cause
/// `overrun` for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgramLimits {
    /// Operations of the script; `None`: [`penstock_model::limits::SCRIPT_OPERATIONS_MAX`], which is also the most.
    pub operations: Option<u64>,
    /// Time on the clock of the task's own limit; `None`: what the task has left, which is also the most.
    pub time: Option<Duration>,
}

/// Everything an engine is built from. Names and ids were resolved by the loader.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Every tag, system tags included.
    pub tags: Arc<TagTable>,
    /// The tasks, fastest first; a task's id is its place here.
    pub tasks: Vec<TaskDef>,
    /// The programs. Their order decides only where data flow leaves a choice.
    pub programs: Vec<ProgramDef>,
    /// The alarms; an alarm's id is its place here.
    pub alarms: Vec<AlarmDef>,
    /// Names of the devices; a device's id is its place here.
    pub devices: Vec<Arc<str>>,
    /// The controlled objects.
    pub objects: Vec<ObjectDef>,
    /// Entries that were made before the last stop: the tag, the value, who made it.
    pub entries: Vec<(TagId, Value, Arc<str>)>,
}

/// Why an engine cannot be built. The loader's check finds these first, with the place in the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// There is no task at all.
    #[error("the site declares no task")]
    NoTask,
    /// A task, device, alarm or tag id that is not its place in its list.
    #[error("{0} has an id that is not its place in the list")]
    Misplaced(String),
    /// A task's period outside the runtime's limits.
    #[error("task `{task}`: a period of {period:?} is outside {min:?}..{max:?}")]
    Period {
        /// The task.
        task: Arc<str>,
        /// Its period.
        period: Duration,
        /// Shortest period.
        min: Duration,
        /// Longest period.
        max: Duration,
    },
    /// A program names a task that does not exist.
    #[error("program `{program}` runs in a task that does not exist")]
    UnknownTask {
        /// The program.
        program: Arc<str>,
    },
    /// A binding or parameter names something the script does not declare.
    #[error("program `{program}`: the script has no {what} `{name}`{}", help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default())]
    UnknownName {
        /// The program.
        program: Arc<str>,
        /// `input`, `output` or `parameter`.
        what: &'static str,
        /// The name found.
        name: String,
        /// The nearest name.
        help: Option<String>,
    },
    /// A port is bound, or a parameter set, twice.
    #[error("program `{program}`: {what} `{name}` stands twice")]
    Twice {
        /// The program.
        program: Arc<str>,
        /// `input`, `output` or `parameter`.
        what: &'static str,
        /// The name found.
        name: String,
    },
    /// A port that is not optional is not bound, or a parameter without default is not set.
    #[error("program `{program}`: {what} `{name}` is missing")]
    Missing {
        /// The program.
        program: Arc<str>,
        /// `input`, `output` or `parameter`.
        what: &'static str,
        /// The name declared.
        name: String,
    },
    /// A tag of another type than the port.
    #[error("program `{program}`: {what} `{name}` takes a {wanted}, but `{tag}` is a {got}")]
    PortType {
        /// The program.
        program: Arc<str>,
        /// `input` or `output`.
        what: &'static str,
        /// The port.
        name: String,
        /// Type of the port.
        wanted: penstock_model::ValueType,
        /// The tag's path.
        tag: Arc<str>,
        /// Type of the tag.
        got: penstock_model::ValueType,
    },
    /// A parameter's value does not fit.
    #[error("program `{program}`: parameter `{name}`: {reason}")]
    Param {
        /// The program.
        program: Arc<str>,
        /// The parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Two programs, or a program and another source, write one tag.
    #[error("tag `{tag}` is written by `{first}` and by `{second}`")]
    TwoWriters {
        /// The tag's path.
        tag: Arc<str>,
        /// One writer.
        first: String,
        /// The other.
        second: String,
    },
    /// Programs of one task feed each other in a circle.
    #[error("task `{task}`: programs feed each other in a circle: {}; read one of the tags between them one scan late", names.join(" → "))]
    Circle {
        /// The task.
        task: Arc<str>,
        /// The programs in the order of the circle, the first one again at the end.
        names: Vec<String>,
    },
    /// A definition contradicts itself: an entry's initial value outside its limits, limits upside down.
    #[error("tag `{tag}`: {reason}")]
    Tag {
        /// The tag's path.
        tag: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// A controlled object that cannot be.
    #[error("object `{object}`: {reason}")]
    Object {
        /// Its name.
        object: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// The script host could not be made.
    #[error("script host: {0}")]
    Host(String),
}

/// Values of all parameters in the order of the declaration: those given, the rest by default.
pub(crate) fn resolve_params(
    program: &str,
    declaration: &Declaration,
    given: &[(String, Value)],
) -> Result<Vec<Value>, BuildError> {
    let owner = || -> Arc<str> { program.into() };
    let mut values: Vec<Option<Value>> = vec![None; declaration.params.len()];
    for (name, value) in given {
        let Some(index) = declaration.params.iter().position(|p| p.name == *name) else {
            let help = did_you_mean(name, declaration.params.iter().map(|p| p.name.as_str()));
            return Err(BuildError::UnknownName { program: owner(), what: "parameter", name: name.clone(), help });
        };
        let value = declaration.params[index].accept(value).map_err(|reason| BuildError::Param {
            program: owner(),
            name: name.clone(),
            reason,
        })?;
        if values[index].replace(value).is_some() {
            return Err(BuildError::Twice { program: owner(), what: "parameter", name: name.clone() });
        }
    }
    let missing = |name: &str| BuildError::Missing { program: owner(), what: "parameter", name: name.to_owned() };
    declaration
        .params
        .iter()
        .zip(values)
        .map(|(param, value)| value.or_else(|| param.default.clone()).ok_or_else(|| missing(&param.name)))
        .collect()
}
