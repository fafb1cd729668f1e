//! What the engine shows of a controlled object.

use penstock_model::{Cause, MaintenanceLock, Mode, Utc};
use std::sync::Arc;

/// How an interlock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuardState {
    /// Inputs have not been received since the start: the output is not moved meanwhile.
    #[default]
    Waiting,
    /// Its cause is not there.
    Clear,
    /// Its cause is there, and it acts.
    Acting,
    /// Its cause is gone, and it acts until a person resets it.
    Latched,
}

impl GuardState {
    /// The word used in interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Clear => "clear",
            Self::Acting => "acting",
            Self::Latched => "latched",
        }
    }
}

/// An interlock, in the order of the declaration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InterlockView {
    /// How it stands.
    pub state: GuardState,
    /// What made it act, as it was then; `None` where it does not act, or has latched before a restart.
    pub cause: Option<Cause>,
    /// Since when it acts.
    pub since: Option<Utc>,
}

/// A permissive, in the order of the declaration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PermissiveView {
    /// True where it is met; `None` while its inputs have not been received since the start.
    pub met: Option<bool>,
    /// What decides, as it was when it began to: while it is not met, the first comparison that is unmet now.
    pub cause: Option<Cause>,
}

/// A controlled object as its task left it at its last scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectView {
    /// Its mode now: `local` while the panel in the field has it, else the one selected.
    pub mode: Mode,
    /// The mode selected: what holds when the panel gives it back.
    pub selected: Mode,
    /// The mode that a hold by hand ends in.
    pub resume: Mode,
    /// Who selected it; empty for the declared first mode.
    pub by: Arc<str>,
    /// Since when.
    pub since: Utc,
    /// Its maintenance lock.
    pub lock: Option<Arc<MaintenanceLock>>,
    /// When a hold by hand ends by itself.
    pub until: Option<Utc>,
    /// True once that is near.
    pub ending: bool,
    /// Its interlocks.
    pub interlocks: Vec<InterlockView>,
    /// Its permissives.
    pub permissives: Vec<PermissiveView>,
}
