//! Controlled objects: a machine or a valve with its outputs, the modes it can be in, and what happens to it.

use crate::{Role, TagId, Text, Utc, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who drives a controlled object. The numbers are those of its mode tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nobody: its outputs stand at their declared off values.
    Off,
    /// A person, by hand; outputs that no person moved stay where they were.
    Manual,
    /// Its program.
    Auto,
    /// Its program, with the set-point of another one.
    Cascade,
    /// A foreign system; its program where that says nothing.
    Remote,
    /// The panel in the field: the runtime sends nothing.
    Local,
}

impl Mode {
    /// Every mode, in the order of its number.
    pub const ALL: [Mode; 6] = [Self::Off, Self::Manual, Self::Auto, Self::Cascade, Self::Remote, Self::Local];

    /// The word used in files, interfaces and the action log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Manual => "manual",
            Self::Auto => "auto",
            Self::Cascade => "cascade",
            Self::Remote => "remote",
            Self::Local => "local",
        }
    }

    /// The mode of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Mode> {
        Self::ALL.into_iter().find(|m| m.as_str() == word)
    }

    /// Its number in the mode tag.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Off => 0,
            Self::Manual => 1,
            Self::Auto => 2,
            Self::Cascade => 3,
            Self::Remote => 4,
            Self::Local => 5,
        }
    }

    /// What a person calls it.
    #[must_use]
    pub fn title(self) -> Text {
        let (zh, en) = match self {
            Self::Off => ("停用", "off"),
            Self::Manual => ("手动", "manual"),
            Self::Auto => ("自动", "automatic"),
            Self::Cascade => ("串级", "cascade"),
            Self::Remote => ("远程", "remote"),
            Self::Local => ("就地", "local"),
        };
        Text::new(zh, en)
    }

    /// True where a program drives the object: what a lease of a hand ends in.
    #[must_use]
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Auto | Self::Cascade)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A maintenance lock: who works on the object, and why it must stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceLock {
    /// Who locked it.
    pub who: Arc<str>,
    /// Their words; never empty.
    pub reason: Arc<str>,
    /// Since when.
    pub since: Utc,
}

/// How long an output may be held by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldTimes {
    /// What holds where the person gives no time; `None`: until released.
    pub default: Option<Duration>,
    /// The longest time; `None`: any, and also without an end.
    pub max: Option<Duration>,
}

impl HoldTimes {
    /// The lease of a hold for the time asked for (`None`: none was given), cut to the longest.
    #[must_use]
    pub fn lease(&self, asked: Option<Duration>) -> Option<Duration> {
        match (asked.or(self.default), self.max) {
            (Some(time), Some(max)) => Some(time.min(max)),
            (time, max) => time.or(max),
        }
    }
}

/// What made a declared condition what it is: one comparison of it, with the value that it saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The tag compared.
    pub tag: TagId,
    /// Its value at that moment.
    pub value: Option<Value>,
    /// Its quality at that moment, as a class and a reason.
    pub quality: crate::Quality,
    /// The comparison as declared, for example `aer/b1/vibration > 7.1 mm/s`.
    pub text: Arc<str>,
}

/// What happened to a controlled object.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectEventKind {
    /// Its mode changed.
    Mode {
        /// The mode before.
        old: Mode,
        /// The mode now.
        new: Mode,
        /// Who changed it; `lease` where the time of a hold ran out, `panel` where the switch in the field did it.
        by: Arc<str>,
    },
    /// An interlock acts.
    Tripped {
        /// Its condition as declared: what names it within the object.
        when: Arc<str>,
        /// What a person calls it.
        text: Text,
        /// What made it act.
        cause: Cause,
    },
    /// The cause of an interlock is gone; `latched`: it acts on until a person resets it.
    Cleared {
        /// See `Tripped`.
        when: Arc<str>,
        /// See `Tripped`.
        text: Text,
        /// It acts on.
        latched: bool,
    },
    /// A person reset an interlock whose cause is gone.
    Reset {
        /// See `Tripped`.
        when: Arc<str>,
        /// See `Tripped`.
        text: Text,
        /// Who.
        by: Arc<str>,
    },
    /// A hold by hand will end soon.
    LeaseEnding {
        /// Who holds.
        who: Arc<str>,
        /// When it will end.
        until: Utc,
    },
    /// The time of a hold by hand ran out.
    LeaseEnded {
        /// Who held.
        who: Arc<str>,
    },
    /// It was locked for maintenance.
    Locked(Arc<MaintenanceLock>),
    /// It was unlocked.
    Unlocked {
        /// Who.
        by: Arc<str>,
    },
}

/// A change of a controlled object, or of the hold of an output that belongs to none.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectEvent {
    /// Name of the object; for an output without one the path of its tag.
    pub object: Arc<str>,
    /// When.
    pub at: Utc,
    /// What.
    pub what: ObjectEventKind,
}

/// Why a controlled object does not take an order. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// There is no such object.
    #[error("there is no controlled object `{0}`")]
    Unknown(Arc<str>),
    /// The object does not offer the mode.
    #[error("`{object}` does not offer the mode {mode}")]
    NotOffered {
        /// The object.
        object: Arc<str>,
        /// The mode.
        mode: Mode,
    },
    /// It is locked for maintenance.
    #[error("`{object}` is locked by {}: {}", lock.who, lock.reason)]
    Locked {
        /// The object.
        object: Arc<str>,
        /// The lock.
        lock: Arc<MaintenanceLock>,
    },
    /// It is not locked.
    #[error("`{0}` is not locked")]
    NotLocked(Arc<str>),
    /// The panel in the field has it.
    #[error("`{0}` is on local control at its panel")]
    Local(Arc<str>),
    /// Foreign systems may drive it in mode remote only.
    #[error("`{0}` is not in mode remote")]
    NotRemote(Arc<str>),
    /// A permissive of its start is not met.
    #[error("`{object}` may not be started: {} ({condition})", text.en)]
    NotPermitted {
        /// The object.
        object: Arc<str>,
        /// What a person calls the permissive.
        text: Text,
        /// The comparison that is not met, as declared.
        condition: Arc<str>,
    },
    /// No interlock of it waits for a reset: none acts, or its cause is still there.
    #[error("no interlock of `{0}` waits for a reset, or its cause is still there")]
    NothingToReset(Arc<str>),
    /// Its task has not taken earlier orders yet.
    #[error("`{0}`: too many orders are waiting; try again")]
    Busy(Arc<str>),
}

/// A mode that an object offers, and the least role that may select it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedMode {
    /// The mode.
    pub mode: Mode,
    /// The least role.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_of_modes_are_their_own() {
        for (number, mode) in (0_i64..).zip(Mode::ALL) {
            assert_eq!((mode.number(), Mode::parse(mode.as_str())), (number, Some(mode)));
        }
        assert_eq!(Mode::parse("automatic"), None);
    }

    #[test]
    fn a_hold_never_outlasts_the_longest_time() {
        let s = |n| Some(Duration::from_secs(n));
        let rows = [
            (None, None, None, None),
            (s(60), None, None, s(60)),
            (s(60), None, s(300), s(300)),
            (s(60), s(120), s(300), s(120)),
            (None, s(120), None, s(120)),
        ];
        for (default, max, asked, lease) in rows {
            assert_eq!(HoldTimes { default, max }.lease(asked), lease, "{default:?} {max:?} {asked:?}");
        }
    }
}
