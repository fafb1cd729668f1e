//! The life of a write: from the wish that caused it to the process that followed, or to what went wrong.

use crate::{Command, Utc, Value};
use std::sync::Arc;

/// How a write ended.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteEnd {
    /// It did its work: the declared measurement followed, or, where none is declared, the device holds the value.
    Settled,
    /// It did not; in words for a person.
    Failed(Arc<str>),
    /// A newer write of the output took its place before it had settled.
    Superseded,
}

/// One write of an output, with civil times of the stages it has come to. A stage without a time was not reached, or
/// was not told by the device's driver.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteLife {
    /// What is written, for whom.
    pub command: Arc<Command>,
    /// What was wished, before limits, rate and minimum times.
    pub wished: Option<Value>,
    /// What kept the value from the wished one.
    pub bound_by: Option<Arc<str>>,
    /// When this wish was first heard. A rate limit makes many writes of one wish.
    pub requested: Utc,
    /// The first write of its wish.
    pub first: bool,
    /// Handed to the driver's queue.
    pub queued: Option<Utc>,
    /// Handed to the link.
    pub sent: Option<Utc>,
    /// The device confirmed it.
    pub acknowledged: Option<Utc>,
    /// Read back and found equal.
    pub read_back: Option<Utc>,
    /// How often it was written again since, unchanged.
    pub repeats: u32,
    /// How it ended, and when. What has failed may still settle: a device that comes back is told the value again.
    pub end: Option<(WriteEnd, Utc)>,
}

impl WriteLife {
    /// The word for how far it has come.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match &self.end {
            Some((WriteEnd::Settled, _)) => "settled",
            Some((WriteEnd::Failed(_), _)) => "failed",
            Some((WriteEnd::Superseded, _)) => "superseded",
            None if self.read_back.is_some() => "read-back",
            None if self.acknowledged.is_some() => "acknowledged",
            None if self.sent.is_some() => "sent",
            None if self.queued.is_some() => "queued",
            None => "requested",
        }
    }

    /// True when this write carries the whole wish and not a step on the way to it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.command.value == self.wished || self.bound_by.as_deref().is_some_and(|b| b != "rate")
    }
}

/// What happened to writes of one output since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteCounts {
    /// Commands granted.
    pub granted: u64,
    /// Confirmed by the device.
    pub acknowledged: u64,
    /// Ended as settled.
    pub settled: u64,
    /// Ended as failed.
    pub failed: u64,
    /// Ended by a newer write.
    pub superseded: u64,
    /// Scans in which a change was within the deadband and was not written.
    pub kept_back: u64,
}
