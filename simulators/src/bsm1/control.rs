//! The default controllers of the benchmark: PI with tracking anti-windup, continuous and once a minute.

use crate::clock::DAY_S;

/// A PI controller: `u = offset + gain e + I + A` with `dI = gain e / Ti` and `dA = (sat(u) - u) / Tt`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pi {
    /// Output per unit of error.
    pub gain: f64,
    /// Integral time Ti, d.
    pub integral_d: f64,
    /// Tracking time Tt, d.
    pub tracking_d: f64,
    /// Output without error.
    pub offset: f64,
    /// Setpoint.
    pub setpoint: f64,
    /// Greatest output; the least is 0.
    pub max: f64,
}

/// Integral and tracking part of a controller.
pub type PiState = [f64; 2];

impl Pi {
    /// KLa of tank 5, 1/d, after oxygen there, g/m3.
    pub const SO5: Pi =
        Pi { gain: 25.0, integral_d: 0.002, tracking_d: 0.001, offset: 144.0, setpoint: 2.0, max: 360.0 };

    /// Internal recycle, m3/d, after nitrate in tank 2, g N/m3. (The report's appendix prints the tracking time as
    /// 1.015 d.)
    pub const SNO2: Pi =
        Pi { gain: 10_000.0, integral_d: 0.025, tracking_d: 0.015, offset: 18_500.0, setpoint: 1.0, max: 92_230.0 };

    /// Output, and change of the state per day.
    #[must_use]
    pub fn respond(&self, measured: f64, state: &PiState) -> (f64, PiState) {
        let action = self.gain * (self.setpoint - measured);
        let raw = self.offset + action + state[0] + state[1];
        let output = raw.clamp(0.0, self.max);
        (output, [action / self.integral_d, (output - raw) / self.tracking_d])
    }
}

/// A PI controller that runs at intervals and holds its output between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiscretePi {
    pi: Pi,
    state: PiState,
}

impl DiscretePi {
    /// Starts without a bump: the first output at `measured` is `output`.
    #[must_use]
    pub fn starting(pi: Pi, measured: f64, output: f64) -> DiscretePi {
        let integral = output - pi.offset - pi.gain * (pi.setpoint - measured);
        DiscretePi { pi, state: [integral, 0.0] }
    }

    /// Output for the next `interval_s` seconds.
    pub fn run(&mut self, measured: f64, interval_s: f64) -> f64 {
        let (output, rate) = self.pi.respond(measured, &self.state);
        self.state = std::array::from_fn(|i| self.state[i] + rate[i] * interval_s / DAY_S);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integral_removes_the_error_of_a_lag() {
        // A plant of gain 1/100 and 5 min: KLa 200 for SO 2.
        let mut pi = DiscretePi::starting(Pi::SO5, 0.0, 100.0);
        let mut so = 0.0;
        for _ in 0..600 {
            let kla = pi.run(so, 60.0);
            so += (kla / 100.0 - so) * (1.0 - (-60.0_f64 / 300.0).exp());
        }
        assert!((so - 2.0).abs() < 1e-6, "{so}");
    }

    #[test]
    fn saturation_does_not_wind_up() {
        let mut pi = DiscretePi::starting(Pi::SNO2, 1.0, 18_500.0);
        for _ in 0..1440 {
            let held = pi.run(0.0, 60.0);
            assert!((0.0..=92_230.0).contains(&held));
        }
        // A day at the limit; out of it within Tt.
        let minutes = (0..60).take_while(|_| pi.run(2.0, 60.0) >= 92_230.0).count();
        assert!(minutes <= 22, "{minutes} min to leave the limit");
    }

    #[test]
    fn starts_without_a_bump() {
        let mut pi = DiscretePi::starting(Pi::SO5, 1.3, 131.0);
        assert!((pi.run(1.3, 60.0) - 131.0).abs() < 1e-9);
    }
}
