//! What an instrument says of itself: its condition, and the status word a PLC passes on.

/// What an instrument is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// It measures.
    #[default]
    Measuring,
    /// It measures while it is cleaned, and sees the cleaning.
    Disturbed,
    /// It is cleaned and holds its last good value.
    Cleaning,
    /// It is calibrated and holds its last good value.
    Calibrating,
    /// A person has taken it out of service; it holds its last good value.
    Maintenance,
    /// It has got power and is not ready; what is shown is from before.
    WarmUp,
    /// It has no power; what is shown is from before.
    Unpowered,
    /// Its loop gives a failure current.
    Failed,
}

/// Measuring, and the value may be used.
pub const VALID: u16 = 1 << 0;
/// Calibration running.
pub const CALIBRATION: u16 = 1 << 1;
/// Cleaning, or in maintenance.
pub const SERVICE: u16 = 1 << 2;
/// Less than a tenth of its reagents is left.
pub const REAGENT_LOW: u16 = 1 << 3;
/// Failure: no power, or a failure current.
pub const FAILURE: u16 = 1 << 4;
/// Changes with every new value of a sample-and-hold instrument; 0 for the others.
pub const NEW_VALUE: u16 = 1 << 5;
/// Warming up after power came.
pub const WARM_UP: u16 = 1 << 6;

impl Condition {
    /// Its bits of the status word.
    #[must_use]
    pub fn bits(self) -> u16 {
        match self {
            Condition::Measuring => VALID,
            Condition::Disturbed | Condition::Cleaning | Condition::Maintenance => SERVICE,
            Condition::Calibrating => CALIBRATION,
            Condition::WarmUp => WARM_UP,
            Condition::Unpowered | Condition::Failed => FAILURE,
        }
    }

    /// Cleaned, calibrated or out of service.
    #[must_use]
    pub fn in_service(self) -> bool {
        self.bits() & (SERVICE | CALIBRATION) != 0
    }
}
