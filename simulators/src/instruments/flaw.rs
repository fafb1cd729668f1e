//! Faults that lie over an instrument's healthy value.
//!
//! Drift, bias, gain and noise are of the measuring cell: an instrument that samples and holds shows them from sample to
//! sample, so that its code stays the same in between. A stuck value, a spike and a failure current are of the output and
//! act at once.

use crate::faults::SensorFault;
use crate::rng::Rng;

/// A spike lasts so many seconds of plant time.
const SPIKE_S: f64 = 3.0;
/// Failure currents of a 4-20 mA loop (NAMUR NE 43): 21.5 mA and 3.5 mA, as shares of the span beyond its ends.
const ABOVE_SHARE: f64 = 1.5 / 16.0;
const BELOW_SHARE: f64 = 0.5 / 16.0;

/// One active fault of an instrument.
#[derive(Debug, Clone)]
pub(super) struct Flaw {
    pub(super) id: u64,
    fault: SensorFault,
    age_s: f64,
    spike_at_s: f64,
    /// Age and normal deviate at the last sample.
    sampled: (f64, f64),
    rng: Rng,
}

impl Flaw {
    pub(super) fn new(id: u64, fault: SensorFault, seed: u64) -> Flaw {
        let mut rng = Rng::new(seed, &format!("fault {id}"));
        let sampled = (0.0, if matches!(fault, SensorFault::Noise { .. }) { rng.gauss() } else { 0.0 });
        Flaw { id, fault, age_s: 0.0, spike_at_s: 0.0, sampled, rng }
    }

    /// Goes on by `dt` seconds; `sample` where the instrument takes a new sample then.
    pub(super) fn advance(&mut self, dt: f64, sample: bool) {
        self.age_s += dt;
        match self.fault {
            SensorFault::Spike { every_s, .. } if self.age_s >= self.spike_at_s + SPIKE_S => {
                self.spike_at_s = self.age_s + every_s * (0.5 + self.rng.uniform());
            }
            SensorFault::Noise { .. } if sample => self.sampled = (self.age_s, self.rng.gauss()),
            _ if sample => self.sampled.0 = self.age_s,
            _ => {}
        }
    }

    /// A calibration takes away what a drift has made of the value so far; the drift goes on.
    pub(super) fn calibrated(&mut self) {
        if matches!(self.fault, SensorFault::Drift { .. }) {
            (self.age_s, self.sampled.0) = (0.0, 0.0);
        }
    }

    /// Whether the output gives a failure current.
    pub(super) fn fails(&self) -> bool {
        matches!(self.fault, SensorFault::OutOfRange { .. })
    }

    /// What it makes of a value, in a measuring range.
    pub(super) fn apply(&self, value: f64, range: (f64, f64)) -> f64 {
        let clipped = |value: f64| value.clamp(range.0, range.1);
        let span = range.1 - range.0;
        match self.fault {
            SensorFault::Stuck { at } => at.unwrap_or(value),
            SensorFault::Drift { per_h } => clipped(value + per_h * self.sampled.0 / 3600.0),
            SensorFault::Bias { by } => clipped(value + by),
            SensorFault::Gain { factor } => clipped(value * factor),
            SensorFault::Noise { sigma } => clipped(value + sigma * self.sampled.1),
            SensorFault::Spike { by, .. } if self.age_s >= self.spike_at_s => clipped(value + by),
            SensorFault::OutOfRange { high: true } => range.1 + ABOVE_SHARE * span,
            SensorFault::OutOfRange { high: false } => range.0 - BELOW_SHARE * span,
            // An order is no flaw of the value: the instrument itself obeys it.
            SensorFault::Spike { .. } | SensorFault::Maintenance | SensorFault::Calibrate | SensorFault::ReagentLow => {
                value
            }
        }
    }
}
