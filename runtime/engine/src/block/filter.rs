//! Blocks that shape or sum a number: lag, lead-lag, ramp, deadband, totaliser.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, dead_zone};
use super::memory::Pass;
use rhai::Dynamic;

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

impl FunctionBlock for Lag {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.x(0)?, call.time("t")?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.0 = to.number()?;
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe("y", &mut self.0);
    }
}

/// Lead and lag `lag·dy/dt + y = x + lead·dx/dt`, exact for an input that is held from scan to scan:
/// `y = r·x + (1 − r)·w` with `r = lead/lag` and `w += (x_before − w)·(1 − e^(−dt/lag))`.
///
/// From the partial fractions `(1 + lead·s)/(1 + lag·s) = r + (1 − r)/(1 + lag·s)` and the zero-order hold of the
/// second term. Starts settled at its first input.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeadLag {
    /// The input of the last scan and the lagged input.
    memory: Option<(f64, f64)>,
}

impl LeadLag {
    /// `lead` at least 0, `lag` above 0, both in s.
    pub fn run(&mut self, x: f64, lead: f64, lag: f64, dt: f64) -> f64 {
        let (before, lagged) = self.memory.unwrap_or((x, x));
        let lagged = lagged + (before - lagged) * -(-dt / lag).exp_m1();
        self.memory = Some((x, lagged));
        // x + (r − 1)·(x − w): a settled block answers x itself, without a rounding.
        bounded(x + (lead / lag - 1.0) * (x - lagged))
    }
}

impl FunctionBlock for LeadLag {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let lag = call.time_above_0("lag", "a lead alone would answer a step with an impulse")?;
        let lag = lag.ok_or("`lag` is missing")?;
        Ok(self.run(call.x(0)?, call.time("lead")?, lag, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.memory = to.number()?.map(|x| (x, x));
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        let mut memory = self.memory.map_or((None, None), |(before, lagged)| (Some(before), Some(lagged)));
        pass.maybe("before", &mut memory.0);
        pass.maybe("lagged", &mut memory.1);
        self.memory = memory.0.zip(memory.1);
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

impl FunctionBlock for Ramp {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let speed = |name| call.width(name)?.ok_or_else(|| format!("`{name}` is missing"));
        Ok(self.run(call.x(0)?, speed("up")?, speed("down")?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.0 = to.number()?;
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe("y", &mut self.0);
    }
}

/// Takes small changes away, in one of two ways.
///
/// As a dead zone about `centre`: `y = centre` while `|x − centre| ≤ width`, and nearer to it by `width` beyond. With
/// `hold`: y stays until `|x − y| > width` and then takes x, so that a valve moves in steps worth moving.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadband(Option<f64>);

impl Deadband {
    pub fn run(&mut self, x: f64, width: f64, centre: f64, hold: bool) -> f64 {
        let y = match self.0 {
            _ if !hold => centre + dead_zone(x - centre, width),
            Some(y) if (x - y).abs() <= width => y,
            _ => x,
        };
        self.0 = Some(y);
        y
    }
}

impl FunctionBlock for Deadband {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let width = call.width("width")?.ok_or("`width` is missing")?;
        let (centre, hold) = (call.number("centre")?, call.flag("hold")?);
        if hold && centre.is_some() {
            return Err("`centre` has no meaning with `hold`".to_owned());
        }
        Ok(self.run(call.x(0)?, width, centre.unwrap_or(0.0), hold).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.0 = to.number()?;
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe("y", &mut self.0);
    }
}

/// Sum of a rate per hour: `total += rate·dt/3600`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totaliser(pub f64);

impl Totaliser {
    pub fn run(&mut self, rate_per_h: f64, dt: f64) -> f64 {
        self.0 = bounded(self.0 + rate_per_h * dt / 3600.0);
        self.0
    }
}

impl FunctionBlock for Totaliser {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.x(0)?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.0 = to.number()?.unwrap_or(0.0);
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.number("total", &mut self.0);
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

    #[test]
    fn a_lead_lag_answers_a_step_as_its_formula_whatever_the_time_step() {
        // Step of height 10 at t = 0: y = 2 + 10·(1 + (lead/lag − 1)·e^(−t/lag)).
        for (lead, dt) in [(30.0, 0.1), (30.0, 7.0), (5.0, 3.0), (0.0, 1.0)] {
            let lag = 12.0;
            let mut block = LeadLag::default();
            assert_eq!(block.run(2.0, lead, lag, dt), 2.0);
            for k in 0..40 {
                let t = f64::from(k) * dt;
                let y = block.run(12.0, lead, lag, dt);
                let expected = 2.0 + 10.0 * (1.0 + (lead / lag - 1.0) * (-t / lag).exp());
                assert!((y - expected).abs() < 1e-9, "{y} is not {expected} at {t} s in steps of {dt}");
            }
        }
    }

    #[test]
    fn a_lead_lag_takes_uneven_steps_of_time() {
        let mut block = LeadLag::default();
        block.run(0.0, 20.0, 10.0, 1.0);
        block.run(1.0, 20.0, 10.0, 1.0);
        let mut t = 0.0;
        for dt in [0.5, 3.0, 0.01, 40.0] {
            t += dt;
            let y = block.run(1.0, 20.0, 10.0, dt);
            assert!((y - (1.0 + (-t / 10.0_f64).exp())).abs() < 1e-9, "{y} at {t}");
        }
    }

    #[test]
    fn a_deadband_takes_small_changes_away() {
        let mut zone = Deadband::default();
        let seen = [-5.0, -2.0, 0.0, 1.9, 2.5].map(|x| zone.run(x, 2.0, 0.0, false));
        assert_eq!(seen, [-3.0, 0.0, 0.0, 0.0, 0.5]);
        assert_eq!(zone.run(57.0, 2.0, 50.0, false), 55.0);
        let mut step = Deadband::default();
        let seen = [40.0, 41.0, 41.2, 40.5, 39.0, 38.5].map(|x| step.run(x, 1.0, 0.0, true));
        assert_eq!(seen, [40.0, 40.0, 41.2, 41.2, 39.0, 39.0]);
    }
}
