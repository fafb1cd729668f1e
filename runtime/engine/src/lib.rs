//! The control engine: image, scan tasks, script host, function blocks, arbiter, fallbacks, alarms.
//!
//! Duties: turn samples and claims into commands and records, once per scan and task, in the same way every time.
//! It is handed the time, the samples and the claims, and it hands out commands and records; it starts no thread, opens
//! no file and no socket, and reads no clock but the one given for run times.
//!
//! Terms: a *task* is what runs at one period; a *program* is one script bound to tags; a *scan* is one pass of a task.
//!
//! One scan of a task ([`TaskCore::scan`]):
//! 1. latch: the tags the task needs are copied once; too old is Bad(stale), still too long is Uncertain(frozen);
//! 2. orders, claims and outcomes that came meanwhile are taken from bounded mailboxes; controlled objects evaluate
//!    their interlocks and permissives and say what they impose on their outputs;
//! 3. programs run in the order of data flow, each one's outputs arbitrated before the next reads them;
//! 4. a script error, a panic, too many operations or too long a run faults this task alone: the whole scan's outputs
//!    are weighed again, with their declared fallbacks;
//! 5. what stands is committed: samples written, commands issued on change;
//! 6. the task named `normal` (or else the second, or the only one) evaluates all alarms and publishes the links;
//! 7. one record of the scan is published.

mod alarm;
mod bench;
mod block;
mod change;
mod check;
mod condition;
mod config;
mod constants;
mod declare;
mod engine;
mod explain;
mod host;
mod instrument;
mod io;
mod journal;
mod lease;
mod life;
mod members;
mod nearest;
mod object;
mod output;
mod plan;
mod program;
mod record;
mod replay;
mod script;
mod state;
mod stats;
mod system;
mod table;
mod task;
mod unguarded;
mod view;
mod words;

pub use bench::{Bench, BenchResult};
pub use block::{BlockKind, BlockMemory, Field};
pub use change::{Change, ChangeError, Handed};
pub use condition::{Condition, ConditionError, TagFacts};
pub use config::{BuildError, Delay, EngineConfig, OverrunPolicy, ProgramDef, ProgramLimits, TaskDef};
pub use declare::{Declaration, ParamDecl, PortDecl};
pub use engine::Engine;
pub use explain::{Explained, InputNow, Question, Writer};
pub use journal::{Issued, Keyframe, Latched, ScanJournal, TimeStop, Written};
pub use object::{
    BadPolicy, GuardState, Hindrance, Imposed, InterlockDef, InterlockView, ObjectDef, ObjectOrder, ObjectOutput,
    ObjectStart, ObjectView, OrderKind, PermissiveDef, PermissiveView,
};
pub use output::{Grant, HeldClaim, Imposition, ObjectHold, OutputMemory, Wished};
pub use replay::{Replay, ReplayedScan};
pub use script::{Script, ScriptError};
pub use state::{BlockState, LeftFresh, OutputState, ProgramState, SavedProgram, Take, TaskState};
pub use stats::Histogram;
pub use system::system_tags;
#[cfg(debug_assertions)]
pub use task::Probe;
pub use task::{Phase, ScanTiming, TaskCore};
pub use unguarded::UnguardedRead;
pub use view::{OutputView, Percentiles, ProgramView, SystemTag, TaskView, WritesView};
pub use words::{Circumstances, Words, age};
