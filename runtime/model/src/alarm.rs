//! Process conditions that need a person.

use crate::{TagId, Text, Utc, Value};
use std::sync::Arc;
use std::time::Duration;

/// An alarm's place in the site's list of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmId(pub u32);

/// How soon a person must act. Shown by name: the numeric scales of other systems run opposite ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmPriority {
    /// When there is time.
    Low,
    /// In this shift.
    Medium,
    /// Within minutes.
    High,
    /// Now.
    Critical,
}

impl AlarmPriority {
    /// The word used in files and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// When an alarm is active.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AlarmCondition {
    /// The number is above the limit; it clears below limit − deadband.
    Above {
        /// Limit in the tag's unit.
        limit: f64,
        /// Deadband in the tag's unit, at least 0.
        deadband: f64,
    },
    /// The number is below the limit; it clears above limit + deadband.
    Below {
        /// Limit in the tag's unit.
        limit: f64,
        /// Deadband in the tag's unit, at least 0.
        deadband: f64,
    },
    /// The switch or whole number equals this.
    Equals(i64),
    /// The quality is Bad.
    Bad,
}

/// A declared alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmDef {
    /// Its id: equal to its index in the site's list.
    pub id: AlarmId,
    /// Stable name, for example `aer/z3/do/low`.
    pub name: Arc<str>,
    /// The tag watched.
    pub tag: TagId,
    /// When it is active. While the tag is Bad, a condition on its value keeps the state it had.
    pub condition: AlarmCondition,
    /// The condition must hold this long before the alarm is raised.
    pub on_delay: Duration,
    /// The condition must be gone this long before the alarm returns to normal.
    pub off_delay: Duration,
    /// How soon a person must act.
    pub priority: AlarmPriority,
    /// What is wrong.
    pub title: Text,
    /// What usually causes it.
    pub cause: Text,
    /// What happens if nobody acts.
    pub consequence: Text,
    /// What to do.
    pub response: Text,
}

/// The four states of an alarm (ISA-18.2, without shelving).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AlarmState {
    /// Condition gone, nothing to acknowledge.
    #[default]
    Normal,
    /// Condition present, not acknowledged.
    ActiveUnacknowledged,
    /// Condition present, acknowledged.
    ActiveAcknowledged,
    /// Condition gone before anyone acknowledged it.
    ReturnedUnacknowledged,
}

impl AlarmState {
    /// The word used in interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ActiveUnacknowledged => "active",
            Self::ActiveAcknowledged => "acknowledged",
            Self::ReturnedUnacknowledged => "returned",
        }
    }

    /// True while the condition is present.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::ActiveUnacknowledged | Self::ActiveAcknowledged)
    }

    /// True while a person has something to acknowledge.
    #[must_use]
    pub fn needs_acknowledge(self) -> bool {
        matches!(self, Self::ActiveUnacknowledged | Self::ReturnedUnacknowledged)
    }
}

/// A change of an alarm's state.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmEvent {
    /// The alarm.
    pub id: AlarmId,
    /// The state it is in now.
    pub state: AlarmState,
    /// When.
    pub at: Utc,
    /// The tag's value at that time.
    pub value: Option<Value>,
    /// Who acknowledged, where the change is an acknowledgement.
    pub by: Option<Arc<str>>,
}

/// An alarm as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmView {
    /// The alarm.
    pub id: AlarmId,
    /// Its state.
    pub state: AlarmState,
    /// When it was last raised.
    pub raised: Option<Utc>,
    /// When it last returned to normal.
    pub returned: Option<Utc>,
    /// When and by whom it was last acknowledged.
    pub acknowledged: Option<(Utc, Arc<str>)>,
    /// The tag's value when it was raised.
    pub value: Option<Value>,
}
