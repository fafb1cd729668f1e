//! What the engine shows of itself: plain values, copied out.

use crate::object::Hindrance;
use penstock_model::{
    Command, FallbackCause, Origin, Outcome, Priority, TagId, TaskId, Utc, Value, WriteCounts, WriteLife,
};
use std::sync::Arc;
use std::time::Duration;

/// An output or entry as the arbiter left it at its last scan.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputView {
    /// The tag.
    pub tag: TagId,
    /// True while a person holds it by hand.
    pub manual: bool,
    /// Whose value it follows; `None` while nobody wishes anything.
    pub holder: Option<(Origin, Priority)>,
    /// The value granted; `None` before the first and after it was handed back to the device.
    pub granted: Option<Value>,
    /// The value wished by the holder, before limits.
    pub wished: Option<Value>,
    /// What keeps the granted value from the wished one: `limit`, `rate`, `min on time`, `min off time`, or the
    /// author of a band, `permissive`.
    pub bound_by: Option<Arc<str>>,
    /// The cause of the fallback it follows.
    pub fallback: Option<FallbackCause>,
    /// The interlock of its object that acts on it: the first of the declaration.
    pub interlock: Option<Arc<Hindrance>>,
    /// The permissive that keeps it from starting: the first of the declaration that is not met.
    pub blocked: Option<Arc<Hindrance>>,
    /// When the hold by hand ends by itself.
    pub until: Option<Utc>,
    /// True once that is near.
    pub ending: bool,
    /// The last command granted.
    pub last_command: Option<Arc<Command>>,
    /// The last news of that command.
    pub last_outcome: Option<Outcome>,
}

/// The last writes of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct WritesView {
    /// What became of all writes since the start.
    pub counts: WriteCounts,
    /// From the grant to the device's confirmation; all zero while nothing was confirmed.
    pub latency: Percentiles,
    /// The last ones, newest first; at most [`penstock_model::limits::WRITES_KEPT_MAX`].
    pub last: Vec<WriteLife>,
}

/// A distribution, as much of it as a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// Half of all lie at or under this.
    pub p50: Duration,
    /// 99 of 100 lie at or under this.
    pub p99: Duration,
    /// 999 of 1 000 lie at or under this.
    pub p999: Duration,
    /// The largest seen.
    pub max: Duration,
}

/// A task's health.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Its period.
    pub period: Duration,
    /// Scans since start.
    pub scans: u64,
    /// Deadlines missed since start.
    pub missed: u64,
    /// How late scans started.
    pub jitter: Percentiles,
    /// How long scans ran.
    pub run_time: Percentiles,
    /// From the receipt of a device's sample to the write of the command that answered it. See
    /// [`crate::TaskCore::scan`] for what is counted; all zero while nothing was.
    pub latency: Percentiles,
    /// Why it is faulted, in words for a person.
    pub fault: Option<Arc<str>>,
}

/// A program's health.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramView {
    /// Its name.
    pub name: Arc<str>,
    /// The script it runs.
    pub script: Arc<str>,
    /// The task it runs in.
    pub task: TaskId,
    /// The error that faulted its task, with line and column, until the task is reset.
    pub fault: Option<Arc<str>>,
    /// The last error, kept after a reset.
    pub last_error: Option<Arc<str>>,
    /// Inputs that were bad at its last scan, as `name: quality`.
    pub bad_inputs: Vec<String>,
    /// The last lines it printed, oldest first.
    pub log: Vec<String>,
}

/// A tag by which the runtime publishes its own health; the loader appends it to the table as a system tag.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemTag {
    /// Its path, `sys/…`.
    pub path: Arc<str>,
    /// What a person calls it.
    pub title: penstock_model::Text,
    /// Its unit.
    pub unit: penstock_model::Unit,
    /// Its type.
    pub value_type: penstock_model::ValueType,
}
