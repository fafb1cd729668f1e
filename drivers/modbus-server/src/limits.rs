//! Every bound of this server, each with its reason.

use std::time::Duration;

/// Registers of one answer, by the protocol.
pub const REGISTERS_MAX: u16 = 125;
/// Bits of one answer, by the protocol.
pub const BITS_MAX: u16 = 2_000;
/// Connections at once that a site may allow: a foreign system has two or three, a test bench some more.
pub const CONNECTIONS_MAX: usize = 64;
/// Shortest and longest time after which a silent connection is closed.
pub const IDLE_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));
/// Points of one map: more do not fit into the addresses there are.
pub const POINTS_MAX: usize = 65_536;
/// Wait before an address that cannot be listened on is tried again.
pub const BIND_WAIT: Duration = Duration::from_secs(5);
/// The heartbeat counts this often, and the status is published.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
