//! What a scan took in and what it granted, as plain data: the record from which any past scan can be run again.
//!
//! A task whose scans are recorded leaves one [`ScanJournal`] per scan. It holds everything that the scan could not have
//! known from the scan before: the time, the samples that others delivered, claims, outcomes, links, resets, and where
//! time itself stopped a program. With a [`Keyframe`] of the task's memory and the journals after it, [`crate::Replay`]
//! grants the same again, bit for bit.

use crate::output::{Imposition, OutputMemory};
use crate::state::SavedProgram;
use penstock_model::{
    Claim, Command, DeviceId, FallbackCause, Instant, Now, Outcome, Quality, Sample, TagId, TagSample, TaskId, Value,
};
use std::sync::Arc;
use std::time::Duration;

/// One scan: what it took in, and what it granted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScanJournal {
    /// The task.
    pub task: TaskId,
    /// Number of the scan since the start of the run, from 1.
    pub scan: u64,
    /// How many configurations the task has taken since the start of the run: 0 is the one it started with.
    pub changes: u32,
    /// When it ran.
    pub now: Now,
    /// How late it started.
    pub jitter: Duration,
    /// Deadlines missed since the scan before.
    pub missed_now: u32,
    /// The task was reset at its beginning.
    pub reset: bool,
    /// Devices whose link was down.
    pub links_down: Vec<DeviceId>,
    /// Samples that were new to it and that it did not write itself.
    pub samples: Vec<TagSample>,
    /// Claims it took, in their order.
    pub claims: Vec<Claim>,
    /// What its objects made of their outputs, where that changed since the scan before; of all of them with a
    /// keyframe. The claims above on such outputs are in it already.
    pub impositions: Vec<Imposition>,
    /// News of commands it took, in their order.
    pub outcomes: Vec<Outcome>,
    /// Where time stopped it: the one thing that a replay cannot find out by itself.
    pub stop: Option<TimeStop>,
    /// What its outputs and computed tags became, where that changed; all of them with a keyframe.
    pub written: Vec<Written>,
    /// Commands it issued, in their order.
    pub commands: Vec<Issued>,
    /// The task's memory at its beginning.
    pub key: Option<Box<Keyframe>>,
}

/// A scan that used up its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStop {
    /// The program that was stopped; `None`: the task as a whole ran too long.
    pub program: Option<Arc<str>>,
    /// The fault in words.
    pub message: Arc<str>,
}

/// An output or computed tag at the end of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The tag.
    pub tag: TagId,
    /// Granted or computed; `None` before the first and after it was handed back to the device.
    pub value: Option<Value>,
    /// How far it may be trusted.
    pub quality: Quality,
    /// What its program wished, for an output of a program.
    pub wish: Option<Value>,
}

/// A command as it was issued.
#[derive(Debug, Clone, PartialEq)]
pub struct Issued {
    /// The command.
    pub command: Arc<Command>,
    /// The device's queue was full.
    pub refused: bool,
}

/// All that a task remembers from one scan to the next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Keyframe {
    /// Its programs.
    pub programs: Vec<SavedProgram>,
    /// Its outputs and entries.
    pub outputs: Vec<OutputMemory>,
    /// Its image.
    pub image: Vec<Latched>,
    /// Its fault: the cause and the words.
    pub fault: Option<(FallbackCause, Arc<str>)>,
}

/// A tag of a task's image.
#[derive(Debug, Clone, PartialEq)]
pub struct Latched {
    /// The tag.
    pub tag: TagId,
    /// As the task last latched or wrote it.
    pub sample: Sample,
    /// When its value last moved.
    pub moved: Instant,
}

impl ScanJournal {
    /// Empties it for another scan; its memory stays.
    pub(crate) fn clear(&mut self) {
        self.reset = false;
        self.links_down.clear();
        self.samples.clear();
        self.claims.clear();
        self.impositions.clear();
        self.outcomes.clear();
        self.stop = None;
        self.written.clear();
        self.commands.clear();
        self.key = None;
    }
}
