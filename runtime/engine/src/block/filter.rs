//! Blocks that shape or sum a number: lag, ramp, totaliser.

/// First-order low pass `t·dy/dt = x − y`, solved exactly over the step: `y += (x − y)·(1 − e^(−dt/t))`.
/// Starts at its first input. `t` in s; 0 passes the input through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lag(pub Option<f64>);

impl Lag {
    pub fn run(&mut self, x: f64, t: f64, dt: f64) -> f64 {
        let y = match self.0 {
            Some(y) if t > 0.0 => y + (x - y) * -(-dt / t).exp_m1(),
            _ => x,
        };
        self.0 = Some(y);
        y
    }
}

/// Follows a target by at most `up` and `down` per second: `y += clamp(target − y, −down·dt, up·dt)`.
/// Starts at its first target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ramp(pub Option<f64>);

impl Ramp {
    pub fn run(&mut self, target: f64, up: f64, down: f64, dt: f64) -> f64 {
        let y = self.0.map_or(target, |y| {
            let step = target - y;
            // The last step lands on the target itself, not beside it by a rounding.
            if step > up * dt {
                y + up * dt
            } else if step < -down * dt {
                y - down * dt
            } else {
                target
            }
        });
        self.0 = Some(y);
        y
    }
}

/// Sum of a rate per hour: `total += rate·dt/3600`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totaliser(pub f64);

impl Totaliser {
    pub fn run(&mut self, rate_per_h: f64, dt: f64) -> f64 {
        self.0 += rate_per_h * dt / 3600.0;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_answers_a_step_with_its_exponential_whatever_the_time_step() {
        for dt in [0.1, 1.0, 7.0] {
            let mut lag = Lag::default();
            assert_eq!(lag.run(2.0, 30.0, dt), 2.0);
            let mut t = 0.0;
            while t < 100.0 {
                t += dt;
                let y = lag.run(12.0, 30.0, dt);
                let expected = 2.0 + 10.0 * (1.0 - (-t / 30.0_f64).exp());
                assert!((y - expected).abs() < 1e-9, "{y} is not {expected} at {t} s in steps of {dt}");
            }
        }
        assert_eq!(Lag(Some(5.0)).run(9.0, 0.0, 1.0), 9.0);
    }

    #[test]
    fn a_ramp_moves_at_its_speed_and_lands_on_its_target() {
        let mut ramp = Ramp::default();
        assert_eq!(ramp.run(10.0, 2.0, 0.5, 0.1), 10.0);
        assert!((ramp.run(20.0, 2.0, 0.5, 1.0) - 12.0).abs() < 1e-12);
        assert!((ramp.run(0.0, 2.0, 0.5, 2.0) - 11.0).abs() < 1e-12);
        assert_eq!(ramp.run(11.7, 2.0, 0.5, 1.0), 11.7);
    }

    #[test]
    fn a_totaliser_holds_the_integral() {
        // ∫ (100 + 10·t/h) dt over 2 h in steps of 1 s (rectangles at the left): 220 − 10/3600
        let mut total = Totaliser::default();
        let mut last = 0.0;
        for second in 0..7_200 {
            last = total.run(100.0 + 10.0 * f64::from(second) / 3600.0, 1.0);
        }
        assert!((last - (220.0 - 10.0 / 3600.0)).abs() < 1e-6, "{last}");
    }
}
