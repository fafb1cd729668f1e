//! Wishes for an output, what the arbiter grants, and what became of it.

use crate::{DeviceId, OrderError, TagId, Utc, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who stands behind a claim, from weakest to strongest. The strongest live claim decides; bands of
/// stronger claims bind the values of weaker ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A control program, on its scan.
    Program,
    /// A planner above the programs.
    Optimiser,
    /// The grid operator or the utility.
    Grid,
    /// A person, by hand.
    Manual,
    /// A safety interlock.
    Interlock,
}

impl Priority {
    /// The word used on screens and in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Optimiser => "optimiser",
            Self::Grid => "grid",
            Self::Manual => "manual",
            Self::Interlock => "interlock",
        }
    }
}

/// The author of a claim, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A program, by its name in the site's configuration.
    Program(Arc<str>),
    /// A person, by user name.
    User(Arc<str>),
    /// A foreign system (OPC UA client, MQTT host), by its name.
    Remote(Arc<str>),
    /// A declared fallback, by cause.
    Fallback(FallbackCause),
    /// A person's stored entry, restored at start.
    Retained,
    /// The mode of a controlled object, by the object's name: its declared off value.
    Off(Arc<str>),
    /// The panel in the field has the controlled object of this name.
    Local(Arc<str>),
    /// An interlock of the controlled object of this name.
    Interlock(Arc<str>),
    /// A maintenance lock, by the name of who locked.
    Lock(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(n) => write!(f, "program {n}"),
            Self::User(n) => write!(f, "user {n}"),
            Self::Remote(n) => write!(f, "remote {n}"),
            Self::Fallback(c) => write!(f, "fallback on {c}"),
            Self::Retained => f.write_str("retained"),
            Self::Off(n) => write!(f, "off {n}"),
            Self::Local(n) => write!(f, "local {n}"),
            Self::Interlock(n) => write!(f, "interlock {n}"),
            Self::Lock(n) => write!(f, "lock {n}"),
        }
    }
}

/// What is wished.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// This value.
    Value(Value),
    /// Anything between these two numbers, in the tag's unit: binds weaker claims.
    Band(f64, f64),
    /// Nothing any more: the origin's claim on this tag ends.
    Release,
}

/// A wish for a tag. The only way anything in Penstock asks for an output or enters a set-point.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The tag wished for.
    pub tag: TagId,
    /// The wish.
    pub wish: Wish,
    /// Its author.
    pub origin: Origin,
    /// Its strength.
    pub priority: Priority,
    /// It ends by itself after this time; `None` holds until released.
    pub lease: Option<Duration>,
}

/// Why a claim was not taken. Nothing has changed when one of these is returned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClaimError {
    /// The tag can neither be commanded nor entered.
    #[error("`{0}` is read only")]
    ReadOnly(Arc<str>),
    /// Outside what may be entered.
    #[error("`{path}`: {value} is outside {low}..{high}")]
    OutOfRange {
        /// Path of the tag.
        path: Arc<str>,
        /// The value wished.
        value: f64,
        /// Smallest value accepted.
        low: f64,
        /// Largest value accepted.
        high: f64,
    },
    /// Of another type than the tag.
    #[error("`{path}` takes a {wanted}, not a {got}")]
    WrongType {
        /// Path of the tag.
        path: Arc<str>,
        /// Type of the tag.
        wanted: crate::ValueType,
        /// Type of the value wished.
        got: crate::ValueType,
    },
    /// NaN or infinite.
    #[error("`{0}` takes a finite number")]
    NotFinite(Arc<str>),
    /// The task that owns the tag has not taken earlier claims yet.
    #[error("`{0}`: too many claims are waiting; try again")]
    Busy(Arc<str>),
    /// Its controlled object does not allow it now.
    #[error("`{path}`: {refused}")]
    Object {
        /// Path of the tag.
        path: Arc<str>,
        /// Why.
        refused: OrderError,
    },
}

/// Numbers commands in the order they were granted, over all tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What the arbiter grants: the only thing that may move a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its number.
    pub id: CommandId,
    /// The tag commanded.
    pub tag: TagId,
    /// The device it goes to.
    pub device: DeviceId,
    /// The value, within the tag's limits; `None` hands the output back to the device's own control: the
    /// driver stops writing this point.
    pub value: Option<Value>,
    /// Whose wish it was.
    pub origin: Origin,
    /// When it was granted.
    pub granted: Utc,
}

/// How far a command has come.
#[derive(Debug, Clone, PartialEq)]
pub enum OutcomeState {
    /// Handed to the link.
    Sent,
    /// The device confirmed the write.
    Acknowledged,
    /// Read back and found equal within the point's tolerance.
    ReadBack,
    /// The device answered and refused, or the link failed, or the read-back differs; in words for a person.
    Failed(Arc<str>),
    /// A newer command for the tag took its place before it was sent.
    Superseded,
}

/// News of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The command.
    pub id: CommandId,
    /// Its tag.
    pub tag: TagId,
    /// How far it came.
    pub state: OutcomeState,
    /// When.
    pub at: Utc,
}

/// Why an output lost its reason to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackCause {
    /// A program's input is bad and the program does not handle it.
    BadInput,
    /// The program or its task is faulted.
    Fault,
    /// The task overran.
    Overrun,
    /// The link to the output's device is down.
    Link,
    /// The runtime is stopping.
    Shutdown,
    /// The runtime's process died; its supervisor writes what is declared.
    Crash,
}

impl FallbackCause {
    /// The key used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadInput => "bad_input",
            Self::Fault => "fault",
            Self::Overrun => "overrun",
            Self::Link => "link",
            Self::Shutdown => "shutdown",
            Self::Crash => "crash",
        }
    }
}

impl fmt::Display for FallbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an output then does.
#[derive(Debug, Clone, PartialEq)]
pub enum FallbackAction {
    /// Stays at the last value granted.
    Hold,
    /// Stays for a time, then goes to the value.
    HoldThen(Duration, Value),
    /// Goes to the value (through the tag's rate limit).
    Value(Value),
    /// Is handed back to the device's own control: nothing more is written.
    Release,
}

/// The declared safe state of an output, per cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Fallback {
    /// See [`FallbackCause::BadInput`].
    pub bad_input: FallbackAction,
    /// See [`FallbackCause::Fault`].
    pub fault: FallbackAction,
    /// See [`FallbackCause::Overrun`].
    pub overrun: FallbackAction,
    /// See [`FallbackCause::Link`].
    pub link: FallbackAction,
    /// See [`FallbackCause::Shutdown`].
    pub shutdown: FallbackAction,
    /// See [`FallbackCause::Crash`]. Carried out at once and without a rate, as for a shutdown.
    pub crash: FallbackAction,
}

impl Fallback {
    /// The action for a cause.
    #[must_use]
    pub fn action(&self, cause: FallbackCause) -> &FallbackAction {
        match cause {
            FallbackCause::BadInput => &self.bad_input,
            FallbackCause::Fault => &self.fault,
            FallbackCause::Overrun => &self.overrun,
            FallbackCause::Link => &self.link,
            FallbackCause::Shutdown => &self.shutdown,
            FallbackCause::Crash => &self.crash,
        }
    }

    /// The same action for every cause.
    #[must_use]
    pub fn always(action: FallbackAction) -> Self {
        Self {
            bad_input: action.clone(),
            fault: action.clone(),
            overrun: action.clone(),
            link: action.clone(),
            shutdown: action.clone(),
            crash: action,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_is_ordered_as_declared() {
        assert!(Priority::Interlock > Priority::Manual);
        assert!(Priority::Manual > Priority::Grid);
        assert!(Priority::Grid > Priority::Optimiser);
        assert!(Priority::Optimiser > Priority::Program);
    }
}
