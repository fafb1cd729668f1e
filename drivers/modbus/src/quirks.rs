//! What is peculiar to a kind of device, and stands in its profile.

use std::time::Duration;

/// Which functions write registers and coils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteWith {
    /// 5 and 6 for one place, 16 for more; where the device refuses the one, the other.
    #[default]
    Auto,
    /// 5 and 6 only: a value over several registers is written register by register, lowest address first. The device
    /// holds a mixture of old and new for the time of a round trip.
    Single,
    /// 15 and 16 only.
    Multiple,
    /// 23: registers are written and read back in one question.
    ReadWrite,
}

impl WriteWith {
    /// All of them.
    pub const ALL: [WriteWith; 4] = [Self::Auto, Self::Single, Self::Multiple, Self::ReadWrite];

    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Single => "single",
            Self::Multiple => "multiple",
            Self::ReadWrite => "read_write",
        }
    }
}

/// Peculiarities of a device. The default is a device without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// How long it needs after each answer before it hears again.
    pub pause: Duration,
    /// How long it needs after a write before it answers again.
    pub pause_after_write: Duration,
    /// How long it may take to confirm a write; `None` as long as any answer.
    pub write_timeout: Option<Duration>,
    /// One point per request: nothing is joined.
    pub one_by_one: bool,
    /// Which functions write.
    pub write_with: WriteWith,
    /// Single bits of a register are written with function 22, so that the device itself keeps the neighbours.
    pub mask_write: bool,
    /// Something is read when nothing was asked for so long: the device closes idle connections.
    pub keep_alive: Option<Duration>,
    /// The device is asked what it is (function 43/14) when it comes, and the log tells.
    pub identify: bool,
    /// How often a question without an answer is repeated before the unit is given up. `None` never over TCP, once on a
    /// line, where single frames are lost.
    pub retries: Option<u8>,
}
