//! The seams between engine, drivers and sinks. None of these calls may block.

use crate::{Command, DeviceId, Instant, LinkRecord, Outcome, Record, TagSample};

/// Where drivers deliver. Implemented by the engine; called from any thread; never blocks on a scan.
///
/// Latest wins: each tag holds one pending sample, so a burst of any size costs no memory.
pub trait SampleSink: Send + Sync {
    /// New samples. A NaN or infinite number is turned into Bad(not-finite) on the way in.
    fn samples(&self, batch: &[TagSample]);
    /// News of a command.
    fn outcome(&self, outcome: Outcome);
    /// News of the link, with every change of state and at most once a second otherwise.
    fn link(&self, link: LinkRecord);
    /// Whether control of a device is alive at `now`: the base of a heartbeat. A sink without scans is always alive.
    fn liveness(&self, _device: DeviceId, _now: Instant) -> Liveness {
        Liveness { scans: true, healthy: true }
    }
}

/// What stands behind a device at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// Every task that commands the device scans in time.
    pub scans: bool,
    /// And none of them is faulted.
    pub healthy: bool,
}

/// Where the engine sends what the arbiter grants. Implemented by the wiring: a bounded queue per device.
pub trait CommandSink: Send + Sync {
    /// Queues a command for its device.
    ///
    /// # Errors
    /// When the device's queue is full; the engine records the command as failed and tries again on its next scan.
    fn submit(&self, device: DeviceId, command: Command) -> Result<(), QueueFull>;
}

/// A bounded queue had no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("queue is full")]
pub struct QueueFull;

/// Where the engine publishes. Implemented by the wiring, which fans out to bounded queues and counts what it drops.
pub trait RecordSink: Send + Sync {
    /// Publishes one fact. Never blocks.
    fn publish(&self, record: Record);
}
