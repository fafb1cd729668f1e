//! `stroke()`: a dose that a pump cannot give steadily, given in pulses of the same volume.
//!
//! ```text
//! dose ≥ least             answer = dose,    owed = 0
//! dose < least             owed += dose · dt
//!   owed ≥ least · pulse   a pulse begins:   answer = least for `pulse` seconds, owed −= least · dt
//!   between pulses         answer = 0
//! ```
//!
//! `owed` is what the pump has not given yet; a pulse that ends a part of a scan late leaves it below zero, and the next
//! one comes so much later: the volume is that of the dose.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded};
use super::memory::Pass;
use rhai::Dynamic;

#[derive(Debug, Clone, Default)]
pub(crate) struct Stroke {
    /// Volume that the pulses still owe: dose times seconds.
    owed: f64,
    /// Seconds of the pulse that runs.
    left: f64,
}

impl Stroke {
    pub fn run(&mut self, dose: f64, least: f64, pulse: f64, dt: f64) -> f64 {
        if dose >= least {
            *self = Self::default();
            return dose;
        }
        self.owed = bounded(self.owed + dose.max(0.0) * dt);
        if self.left <= 0.0 {
            if self.owed < least * pulse {
                return 0.0;
            }
            self.left = pulse;
        }
        self.left = (self.left - dt).max(0.0);
        self.owed = bounded(self.owed - least * dt);
        least
    }
}

impl FunctionBlock for Stroke {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let least = call.width("least")?.ok_or("`least` is missing")?;
        let pulse = call.time_above_0("pulse", "it is how long the pump runs at its least")?;
        let pulse = pulse.ok_or("`pulse` is missing")?;
        Ok(self.run(call.x(0)?, least, pulse, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        *self = Self::default();
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.number("owed", &mut self.owed);
        pass.amount("left", &mut self.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the pump gives in `seconds` of scans of `dt`: volume and number of pulses.
    fn given(dose: f64, seconds: f64, dt: f64) -> (f64, usize) {
        let (mut block, mut volume, mut pulses, mut before) = (Stroke::default(), 0.0, 0, 0.0);
        let mut t = 0.0;
        while t < seconds {
            let flow = block.run(dose, 4.0, 30.0, dt);
            assert!(flow == 0.0 || flow == 4.0, "a pulse is the least steady flow: {flow}");
            pulses += usize::from(flow > 0.0 && before == 0.0);
            volume += flow * dt;
            before = flow;
            t += dt;
        }
        (volume, pulses)
    }

    #[test]
    fn what_the_pump_can_give_passes_as_it_is() {
        let mut block = Stroke::default();
        assert_eq!(block.run(4.0, 4.0, 30.0, 1.0), 4.0);
        assert_eq!(block.run(55.5, 4.0, 30.0, 1.0), 55.5);
        assert_eq!(block.run(0.0, 0.0, 30.0, 1.0), 0.0, "a pump without a least flow never pulses");
    }

    #[test]
    fn pulses_give_the_volume_of_the_dose() {
        // A quarter of the least flow: a pulse of 30 s in each 120 s.
        let (volume, pulses) = given(1.0, 7_200.0, 1.0);
        assert!((volume - 7_200.0).abs() <= 4.0 * 30.0, "{volume}");
        assert_eq!(pulses, 60);
        // The scan is no divisor of the pulse: what a pulse gives too much the next one waits for.
        for dt in [0.7, 7.0, 13.0, 45.0] {
            let (volume, _) = given(1.3, 36_000.0, dt);
            assert!((volume - 1.3 * 36_000.0).abs() <= 4.0 * (30.0 + 2.0 * dt), "{dt}: {volume}");
        }
    }

    #[test]
    fn nothing_is_owed_for_no_dose_a_reversed_one_and_after_a_steady_one() {
        assert_eq!(given(0.0, 3_600.0, 1.0), (0.0, 0));
        assert_eq!(given(-3.0, 3_600.0, 1.0), (0.0, 0));
        let mut block = Stroke::default();
        for _ in 0..110 {
            block.run(1.0, 4.0, 30.0, 1.0);
        }
        block.run(5.0, 4.0, 30.0, 1.0);
        let seen: Vec<f64> = (0..119).map(|_| block.run(1.0, 4.0, 30.0, 1.0)).collect();
        assert!(seen.iter().all(|flow| *flow == 0.0), "a debt from before the steady dose was paid");
        assert_eq!(block.run(1.0, 4.0, 30.0, 1.0), 4.0);
    }
}
