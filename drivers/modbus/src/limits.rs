//! Every bound of this driver that is not a site's own choice, each with its reason.

use std::time::Duration;

/// Registers one read request can carry (Modbus Application Protocol V1.1b3, 6.3).
pub const REGISTERS_MAX: u16 = 125;
/// Bits one read request can carry (V1.1b3, 6.1).
pub const BITS_MAX: u16 = 2_000;
/// Bytes of text one point can have: the registers of one request.
pub const TEXT_BYTES_WIRE_MAX: u16 = REGISTERS_MAX * 2;
/// Shortest poll period: under it a round trip on a field network does not fit.
pub const POLL_PERIOD_MIN: Duration = Duration::from_millis(10);
/// How long a point that the device refused is left alone: a corrected device is noticed without a restart, and a
/// register that never existed costs one request a minute.
pub const REFUSED_RETRY: Duration = Duration::from_secs(60);
/// Shortest wait between two read-backs of one write: a slow actuator is not asked more often than it can answer.
pub const VERIFY_STEP_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two read-backs of one write.
pub const VERIFY_STEP_MAX: Duration = Duration::from_millis(500);
/// Least time between two reports of a link whose state did not change.
pub const LINK_REPORT_EVERY: Duration = Duration::from_secs(1);

// A point of the longest text still fits one request, and every text fits a value.
const _: () = assert!(TEXT_BYTES_WIRE_MAX / 2 <= REGISTERS_MAX);
const _: () = assert!(TEXT_BYTES_WIRE_MAX as usize <= penstock_model::limits::TEXT_BYTES_MAX);
/// How often a heartbeat that stopped looks whether control is alive again.
pub(crate) const BEAT_LOOK: Duration = Duration::from_millis(100);
