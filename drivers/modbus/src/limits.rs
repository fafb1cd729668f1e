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

/// Speeds of a serial line: what adapters offer.
pub const BAUDS: std::ops::RangeInclusive<u32> = 300..=921_600;
/// Above this speed the silence between frames is fixed (Modbus over Serial Line V1.02, 2.5.1.1).
pub const GAP_FAST_BAUD: u32 = 19_200;
/// That silence.
pub const GAP_FAST: Duration = Duration::from_micros(1_750);
/// Silence on a serial line after an answer that did not come: the standard's own turnaround delay.
pub const TURNAROUND_LINE: Duration = Duration::from_millis(100);
/// The same behind a serial device server, which passes bytes on in lumps.
pub const TURNAROUND_TCP: Duration = Duration::from_millis(200);
/// A line that is not silent for so long is not waited for any longer: something chatters on it.
pub const NOISE_MAX: Duration = Duration::from_secs(2);
/// What a device on a serial line takes to think, where nobody says: a common instrument.
pub const ANSWER_TIME_LINE: Duration = Duration::from_millis(10);
/// The same over TCP: a small PLC in the same network.
pub const ANSWER_TIME_TCP: Duration = Duration::from_millis(2);
/// Share of a channel's time that units which do not answer may take, where nobody says.
pub const DEAD_SHARE_DEFAULT: f64 = 0.04;
/// Above this share the dead would take more than the living.
pub const DEAD_SHARE_MAX: f64 = 0.5;
/// The dead's time is owed for no longer than this, or than one probe takes to be earned: some unit that does not answer
/// is tried that often, however many there are.
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(60);
/// After this many writes in a row a read that is due comes first: a program that commands without pause blinds nobody.
pub const WRITES_PER_READ: u32 = 8;
/// Most repetitions of a request that was not answered.
pub const RETRIES_MAX: u8 = 10;
/// Silent questions in a row, whoever was asked, after which a shared connection is taken for dead and made anew.
pub const SILENT_ROW_MAX: u32 = 4;
/// Units on one channel: Modbus knows 247, and a gateway's own number.
pub const UNITS_MAX: usize = 248;
/// Registers asked for at once by a scan: half of what a request can carry, which small devices take too, and a power of two,
/// so that halves begin at even places.
pub const SCAN_REGISTERS: u16 = 64;
/// Bits asked for at once by a scan.
pub const SCAN_BITS: u16 = 256;
/// Questions in a row without an answer after which a scan gives an area up.
pub const SCAN_SILENT_MAX: u32 = 3;
/// How often a scan asks a busy device again before it leaves a block open.
pub const SCAN_BUSY_TRIES: u32 = 3;
/// How often a heartbeat that stopped looks whether control is alive again.
pub(crate) const BEAT_LOOK: Duration = Duration::from_millis(100);
