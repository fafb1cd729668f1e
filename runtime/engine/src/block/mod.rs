//! Function blocks: the parts of a control program that have a memory.
//!
//! Each block is a plain state machine in SI-free numbers: it knows neither scripts nor tags. Its time step is the
//! program's (`io.dt`, s), so a scan in which a block is not run does not advance it.

mod filter;
mod logic;
mod pid;

pub(crate) use filter::{Lag, Ramp, Totaliser};
pub(crate) use logic::{Hysteresis, OffDelay, OnDelay};
pub(crate) use pid::{Pid, PidSettings};

/// The kinds of function blocks a script may declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// `pid()`: controller with proportional, integral and derivative action.
    Pid,
    /// `lag()`: first-order low pass.
    Lag,
    /// `ramp()`, also called `rate_limit()`: follows a target at a limited speed.
    Ramp,
    /// `hysteresis()`: switch with two thresholds.
    Hysteresis,
    /// `on_delay()`: on after its input has been on for a time.
    OnDelay,
    /// `off_delay()`: off after its input has been off for a time.
    OffDelay,
    /// `totaliser()`: integral of a rate per hour.
    Totaliser,
}

impl BlockKind {
    /// The function that makes one in `declare`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Lag => "lag",
            Self::Ramp => "ramp",
            Self::Hysteresis => "hysteresis",
            Self::OnDelay => "on_delay",
            Self::OffDelay => "off_delay",
            Self::Totaliser => "totaliser",
        }
    }

    /// Names of the settings that `run` takes in its map.
    #[must_use]
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Pid => &["kp", "ti", "td", "min", "max", "b", "track", "reverse"],
            Self::Lag | Self::OnDelay | Self::OffDelay => &["t"],
            Self::Ramp => &["up", "down"],
            Self::Hysteresis => &["on", "off"],
            Self::Totaliser => &[],
        }
    }

    /// Values that `run` takes before its map of settings.
    #[must_use]
    pub fn values(self) -> usize {
        match self {
            Self::Pid => 2,
            _ => 1,
        }
    }

    pub(crate) fn make(self) -> Block {
        match self {
            Self::Pid => Block::Pid(Pid::default()),
            Self::Lag => Block::Lag(Lag::default()),
            Self::Ramp => Block::Ramp(Ramp::default()),
            Self::Hysteresis => Block::Hysteresis(Hysteresis::default()),
            Self::OnDelay => Block::OnDelay(OnDelay::default()),
            Self::OffDelay => Block::OffDelay(OffDelay::default()),
            Self::Totaliser => Block::Totaliser(Totaliser::default()),
        }
    }
}

/// A block with its memory.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Pid(Pid),
    Lag(Lag),
    Ramp(Ramp),
    Hysteresis(Hysteresis),
    OnDelay(OnDelay),
    OffDelay(OffDelay),
    Totaliser(Totaliser),
}
