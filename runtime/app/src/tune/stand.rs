//! Where a loop is tested, and what ends a test there.

use super::step::Look;
use crate::config::Site;
use penstock_model::{AlarmCondition, TagId};
use std::time::Duration;

/// An output that is not where the test put it after this many looks is held by something else.
const OBEYS_LOOKS: u32 = 30;

/// What a test moves and watches.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Output that is moved.
    pub output: TagId,
    /// Measurement that is watched.
    pub measured: TagId,
    /// Bounds of the measurement: beyond them the test ends at once.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Bounds of the output.
    pub limits: (f64, f64),
}

impl Target {
    /// Bounds of a measurement where nobody names them: its alarm limits, else its range.
    pub fn bounds(site: &Site, measured: TagId) -> (f64, f64) {
        let (mut low, mut high) = site.tags.get(measured).range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        for alarm in site.alarms.iter().filter(|alarm| alarm.tag == measured) {
            match alarm.condition {
                AlarmCondition::Above { limit, .. } => high = high.min(limit),
                AlarmCondition::Below { limit, .. } => low = low.max(limit),
                AlarmCondition::Equals(_) | AlarmCondition::Bad => {}
            }
        }
        (low, high)
    }
}

/// A plant with its runtime, as a test sees it.
pub(crate) trait Stand {
    /// Seconds since the beginning.
    fn now_s(&self) -> f64;

    /// Where the output stands now; `None` while it has no usable value.
    ///
    /// # Errors
    /// In words, where the plant cannot be asked.
    fn stands(&mut self) -> Result<Option<f64>, String>;

    /// Holds the output at `value` until the next look, and takes it.
    ///
    /// # Errors
    /// In words, why the test cannot go on: the measurement is bad or beyond its bounds, the hold is refused, or the output
    /// does not go where it is sent.
    fn held(&mut self, value: f64) -> Result<Look, String>;

    /// Gives the output back to its program, and takes one more look; false where the test never held it.
    ///
    /// # Errors
    /// In words, and when the output goes back by itself.
    fn release(&mut self) -> Result<bool, String>;

    /// Lets the plant run with its programs for a while; what the measurement then is.
    fn free(&mut self, time: Duration) -> Option<f64>;
}

/// Judges each look: what ends a test.
pub(crate) struct Watch {
    target: Target,
    output: String,
    measured: String,
    unit: String,
    astray: u32,
    /// Where the output stood at the last look.
    last: f64,
}

impl Watch {
    /// The watch over a test.
    pub fn new(site: &Site, target: &Target) -> Watch {
        let measured = site.tags.get(target.measured);
        Watch {
            target: target.clone(),
            output: site.tags.get(target.output).path.to_string(),
            measured: measured.path.to_string(),
            unit: measured.unit.as_str().to_owned(),
            astray: 0,
            last: f64::NAN,
        }
    }

    /// A look at `t` seconds with the output sent to `value`: where it stands, and what is measured or why it is bad.
    ///
    /// # Errors
    /// In words, why the test ends.
    pub fn judge(
        &mut self,
        t: f64,
        value: f64,
        output: Option<f64>,
        measured: Result<f64, String>,
    ) -> Result<Look, String> {
        let y = measured.map_err(|quality| format!("`{}` is {quality}", self.measured))?;
        let Target { low, high, limits, .. } = self.target;
        if y < low || y > high {
            return Err(format!("`{}` is {y:.4} {}, outside {low} to {high}", self.measured, self.unit));
        }
        let u = output.ok_or_else(|| format!("`{}` has no value", self.output))?;
        let span = (limits.1 - limits.0).abs();
        // One that is still on its way, by its rate, obeys.
        let stands = (u - self.last).abs() <= 1e-6 * span;
        self.astray = if stands && (u - value).abs() > 0.002 * span { self.astray + 1 } else { 0 };
        self.last = u;
        if self.astray > OBEYS_LOOKS {
            return Err(format!(
                "`{}` stands at {u:.4} and not at {value:.4}: a limit, an interlock, a mode or a stronger claim holds it",
                self.output
            ));
        }
        Ok(Look { t, u, y })
    }
}
