//! Every bound of the runtime that is not a site's own choice, each with its reason.

use std::time::Duration;

/// Longest text value: a nameplate or a status line fits, a document does not.
pub const TEXT_BYTES_MAX: usize = 256;
/// Longest tag path: fits a screen's width and a log line.
pub const TAG_PATH_BYTES_MAX: usize = 96;
/// Tags of one site: ten times the largest wastewater plant seen; bounds every table laid out by tag.
pub const TAGS_MAX: usize = 250_000;
/// Devices of one site.
pub const DEVICES_MAX: usize = 4_096;
/// Shortest scan period: a tenth of the fastest process reaction that is ours (header pressure), and five times the
/// worst start jitter seen on a virtual machine.
pub const SCAN_PERIOD_MIN: Duration = Duration::from_millis(10);
/// Longest scan period: beyond it an operator's change would seem lost.
pub const SCAN_PERIOD_MAX: Duration = Duration::from_secs(3_600);
/// Script operations per program and scan: about a thousand times a normal program; an endless loop ends in under 1 ms.
pub const SCRIPT_OPERATIONS_MAX: u64 = 100_000;
/// Smallest limit of operations that a program may be given: less ends a script of a few lines in its first scan.
pub const SCRIPT_OPERATIONS_MIN: u64 = 100;
/// Shortest limit of time that a program may be given: a script of a few lines takes a tenth of it.
pub const PROGRAM_TIME_MIN: Duration = Duration::from_micros(100);
/// Depth of calls in a script: control programs do not recurse.
pub const SCRIPT_CALL_LEVELS_MAX: usize = 16;
/// Depth of expressions in a script, in and out of functions.
pub const SCRIPT_EXPRESSION_DEPTH_MAX: usize = 64;
/// Elements of an array or a map in a script: a day of quarter-hours with room to spare.
pub const SCRIPT_COLLECTION_MAX: usize = 512;
/// Bytes of a string in a script.
pub const SCRIPT_STRING_BYTES_MAX: usize = 1_024;
/// Bytes of a script file.
pub const SCRIPT_SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Share of its period a task may run before its scan is stopped as an overrun, in percent.
pub const SCAN_RUN_PERCENT_MAX: u32 = 80;
/// A scan is never stopped before it has run this long, however short the period. A hypervisor or firmware that takes the
/// processor away is charged to the thread that ran, and is no fault of a program: pauses of 25 ms were measured often,
/// and longer ones count for a part only (`penstock_engine`'s host).
pub const SCAN_RUN_MIN: Duration = Duration::from_millis(50);
/// Highest number of a processor that a task may be bound to: what the system's own set of processors holds.
pub const SCAN_CPU_MAX: u16 = 1_023;
/// Claims waiting for a task: more than a person or a planner makes between two scans.
pub const CLAIMS_WAITING_MAX: usize = 256;
/// Orders to controlled objects waiting for a task: more than the people of a site give between two scans.
pub const ORDERS_WAITING_MAX: usize = 64;
/// Controlled objects of one site.
pub const OBJECTS_MAX: usize = 4_096;
/// Outputs, interlocks and permissives of one controlled object, each: a large compressor has half of it.
pub const OBJECT_PARTS_MAX: usize = 64;
/// Comparisons in one declared condition: what one person still understands at night has far fewer.
pub const CONDITION_LEAVES_MAX: usize = 32;
/// Depth of brackets in one declared condition.
pub const CONDITION_DEPTH_MAX: usize = 16;
/// Bytes of a declared condition.
pub const CONDITION_BYTES_MAX: usize = 1_024;
/// Longest time that an interlock waits after the start for inputs that have never been received: the slowest link of a
/// plant is up by then. Until then the outputs it guards are not moved at all.
pub const INTERLOCK_START_WAIT: Duration = Duration::from_secs(60);
/// A hold by hand is announced this long before its end, or a fifth of its time where that is less.
pub const LEASE_NOTICE: Duration = Duration::from_secs(300);
/// Shortest and longest hold with an end: shorter is a slip of the finger, longer is no lease.
pub const LEASE_MIN: Duration = Duration::from_secs(10);
/// See [`LEASE_MIN`].
pub const LEASE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Bytes of the reason of a maintenance lock.
pub const LOCK_REASON_BYTES_MAX: usize = 200;
/// Commands waiting for one device: every output of a large PLC once.
pub const COMMANDS_WAITING_MAX: usize = 1_024;
/// Last writes of one output that are kept to be looked at: a person's question is about the last minutes, and a ramp of
/// the slowest valve still fits.
pub const WRITES_KEPT_MAX: usize = 16;
/// A change that a deadband keeps back is sent once the wish has stood for this long.
pub const WRITE_QUIET: Duration = Duration::from_secs(10);
/// A write without an answer has failed after this long, where the site does not say: ten times a slow serial gateway.
pub const WRITE_ANSWER: Duration = Duration::from_secs(10);
/// Periods without a scan after which a device's heartbeat stops: one late scan is no failure, three are.
pub const HEARTBEAT_PERIODS_MAX: u32 = 3;
/// A heartbeat never stops before this silence: a fast task on a busy machine comes back by itself within it.
pub const HEARTBEAT_SILENCE_MIN: Duration = Duration::from_secs(1);
/// Records waiting for one sink: ten seconds of a large site at 100 ms.
pub const RECORDS_WAITING_MAX: usize = 4_096;
/// First wait before a lost link is tried again.
pub const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
/// Longest wait between two tries of a lost link: a repaired cable is noticed while the electrician still stands there.
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time an unsaved sample may exist only in memory.
pub const HISTORY_COMMIT_EVERY: Duration = Duration::from_secs(1);
