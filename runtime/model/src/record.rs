//! Facts that the engine publishes for the historian, the journals, the HMI and remote systems.

use crate::{AlarmEvent, Command, DeviceId, Instant, ObjectEvent, Outcome, Sample, TagId, TaskId, Utc, WriteLife};
use std::sync::Arc;
use std::time::Duration;

/// A tag's new sample.
#[derive(Debug, Clone, PartialEq)]
pub struct TagSample {
    /// The tag.
    pub tag: TagId,
    /// Its sample.
    pub sample: Sample,
}

/// State of our connection to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Not tried yet, or being tried.
    Connecting,
    /// Answers.
    Up,
    /// Lost or refused; being tried again.
    Down,
}

impl LinkState {
    /// The word used in interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A link changed state, or its counters are published (at most once a second per device).
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRecord {
    /// The device.
    pub device: DeviceId,
    /// State of the link.
    pub state: LinkState,
    /// Why it is down, in words for a person; empty when up.
    pub reason: Arc<str>,
    /// When.
    pub at: Utc,
    /// Monotonic time of the last good answer.
    pub last_answer: Option<Instant>,
    /// Requests answered since start.
    pub answered: u64,
    /// Requests that failed since start (time-out, broken link).
    pub failed: u64,
    /// Requests the device refused since start (exception code, bad status).
    pub refused: u64,
    /// Times the link was re-established since start.
    pub reconnects: u64,
    /// Round trip of the last answer.
    pub round_trip: Duration,
    /// Requests repeated since start because they were not answered.
    pub retries: u64,
    /// The device alone does not answer: it is left alone between probes, its neighbours on the same line are not.
    pub demoted: bool,
    /// Points left alone because the device refuses them.
    pub quarantined: u32,
    /// What is wrong although the link is up, in words for a person: the points that are left alone. Empty when all is
    /// well.
    pub note: Arc<str>,
}

/// One pass of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRecord {
    /// The task.
    pub task: TaskId,
    /// Number of this scan since start.
    pub scan: u64,
    /// Civil time of its latch.
    pub at: Utc,
    /// How late it started against its absolute deadline.
    pub jitter: Duration,
    /// How long it ran.
    pub run_time: Duration,
    /// Deadlines missed since start.
    pub missed: u64,
    /// What changed, or is due to be logged, in this scan.
    pub samples: Vec<TagSample>,
}

/// A part of the runtime broke or was mended.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRecord {
    /// The part, for example `task normal`, `program aer/z3`, `historian`.
    pub part: Arc<str>,
    /// What is wrong, in words for a person; empty when mended.
    pub message: Arc<str>,
    /// True while broken.
    pub active: bool,
    /// When.
    pub at: Utc,
}

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A scan was done.
    Scan(Arc<ScanRecord>),
    /// An alarm changed state.
    Alarm(AlarmEvent),
    /// A command was granted.
    Command(Arc<Command>),
    /// News of a command.
    Outcome(Outcome),
    /// A write began or ended: as it stands then.
    Write(Arc<WriteLife>),
    /// News of a link.
    Link(LinkRecord),
    /// A part of the runtime broke or was mended.
    Fault(FaultRecord),
    /// A controlled object changed its mode, tripped, was locked, or a hold ends.
    Object(Arc<ObjectEvent>),
}
