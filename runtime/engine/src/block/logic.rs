//! Blocks about switches: hysteresis, delays, minimum times, hours run.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, result, whole};
use super::memory::Pass;
use rhai::Dynamic;

/// Rounding of summed time steps, s: a delay of ten steps must end at the tenth.
pub(super) const TIME_ROUNDING: f64 = 1e-6;

/// Switch with two thresholds. `on ≥ off`: on at `x ≥ on`, off at `x ≤ off`. `on < off`: on at `x ≤ on`, off at
/// `x ≥ off`. Between them it stays; it starts off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hysteresis(pub bool);

impl Hysteresis {
    pub fn run(&mut self, x: f64, on: f64, off: f64) -> bool {
        let (turns_on, turns_off) = if on >= off { (x >= on, x <= off) } else { (x <= on, x >= off) };
        if turns_on {
            self.0 = true;
        } else if turns_off {
            self.0 = false;
        }
        self.0
    }
}

/// On once its input has been on for `t` seconds; off at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnDelay {
    on_for: Option<f64>,
}

impl OnDelay {
    pub fn run(&mut self, input: bool, t: f64, dt: f64) -> bool {
        self.on_for = input.then(|| self.on_for.map_or(0.0, |x| x + dt));
        self.on_for.is_some_and(|x| x + TIME_ROUNDING >= t)
    }
}

/// Off once its input has been off for `t` seconds; on at once. It starts off.
#[derive(Debug, Clone, Default)]
pub(crate) struct OffDelay {
    on: bool,
    off_for: Option<f64>,
}

impl OffDelay {
    pub fn run(&mut self, input: bool, t: f64, dt: f64) -> bool {
        if input {
            self.set(true);
        } else if self.on {
            let off_for = self.off_for.map_or(0.0, |x| x + dt);
            self.off_for = Some(off_for);
            self.on = off_for + TIME_ROUNDING < t;
        }
        self.on
    }

    fn set(&mut self, on: bool) {
        *self = Self { on, off_for: None };
    }
}

/// A switch that stays on for at least `on` seconds and off for at least `off` seconds, whatever is wished.
/// Free to switch at its first scan.
#[derive(Debug, Clone, Default)]
pub(crate) struct MinTimes {
    on: bool,
    /// Seconds in this state; none: long enough.
    since: Option<f64>,
}

impl MinTimes {
    pub fn run(&mut self, wish: bool, on: f64, off: f64, dt: f64) -> bool {
        self.since = self.since.map(|t| t + dt);
        let least = if self.on { on } else { off };
        if wish != self.on && self.since.is_none_or(|t| t + TIME_ROUNDING >= least) {
            *self = Self { on: wish, since: Some(0.0) };
        }
        self.on
    }
}

/// Hours and starts of a machine: `hours += dt/3600` while on, `starts += 1` at each change to on.
/// A machine that runs at the first scan has not started then.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunHours {
    hours: f64,
    starts: usize,
    was_on: Option<bool>,
    /// Seconds of the present run, or of the last one.
    run_s: f64,
}

impl RunHours {
    pub fn run(&mut self, on: bool, dt: f64) {
        if on && self.was_on == Some(false) {
            self.starts = self.starts.saturating_add(1);
            self.run_s = 0.0;
        }
        if on {
            self.hours = bounded(self.hours + dt / 3600.0);
            self.run_s = bounded(self.run_s + dt);
        }
        self.was_on = Some(on);
    }
}

impl FunctionBlock for Hysteresis {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.x(0)?, call.needed("on")?, call.needed("off")?).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.0 = to.switch()?;
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.switch("on", &mut self.0);
    }
}

impl FunctionBlock for OnDelay {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.on(0)?, call.time("t")?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        self.on_for = None;
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe_amount("on_for", &mut self.on_for);
    }
}

impl FunctionBlock for OffDelay {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.on(0)?, call.time("t")?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        self.set(to.switch()?);
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.switch("on", &mut self.on);
        pass.maybe_amount("off_for", &mut self.off_for);
    }
}

impl FunctionBlock for MinTimes {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.on(0)?, call.time("on")?, call.time("off")?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        *self = Self { on: to.switch()?, since: None };
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.switch("on", &mut self.on);
        pass.maybe_amount("since", &mut self.since);
    }
}

impl FunctionBlock for RunHours {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        self.run(call.on(0)?, call.dt);
        Ok(result([("hours", self.hours.into()), ("starts", whole(self.starts)), ("run_s", self.run_s.into())]))
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        let hours = to.number()?.unwrap_or(0.0);
        if hours < 0.0 {
            return Err(format!("reset takes hours of at least 0, not {hours}"));
        }
        *self = Self { hours, ..Self::default() };
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.amount("hours", &mut self.hours);
        pass.count("starts", &mut self.starts, usize::MAX);
        pass.maybe_switch("was_on", &mut self.was_on);
        pass.amount("run_s", &mut self.run_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hysteresis_keeps_its_state_between_its_thresholds() {
        let mut rising = Hysteresis::default();
        let seen = [4.0, 6.0, 4.9, 4.0, 3.9, 5.0].map(|x| rising.run(x, 5.0, 4.0));
        assert_eq!(seen, [false, true, true, false, false, true]);
        let mut falling = Hysteresis::default();
        let seen = [3.0, 1.9, 2.5, 3.0].map(|x| falling.run(x, 2.0, 3.0));
        assert_eq!(seen, [false, true, true, false]);
    }

    #[test]
    fn an_on_delay_waits_and_forgets_at_once() {
        let mut delay = OnDelay::default();
        let on = |d: &mut OnDelay, b| d.run(b, 1.0, 0.1);
        assert!((0..10).all(|_| !on(&mut delay, true)));
        assert!(on(&mut delay, true));
        assert!(!on(&mut delay, false));
        assert!(!on(&mut delay, true));
        assert!(OnDelay::default().run(true, 0.0, 0.1));
    }

    #[test]
    fn an_off_delay_holds_and_then_lets_go() {
        let mut delay = OffDelay::default();
        assert!(!delay.run(false, 1.0, 0.25));
        assert!(delay.run(true, 1.0, 0.25));
        let seen = [false; 6].map(|b| delay.run(b, 1.0, 0.25));
        assert_eq!(seen, [true, true, true, true, false, false]);
        assert!(delay.run(true, 1.0, 0.25));
    }

    #[test]
    fn minimum_times_hold_a_switch_against_a_hasty_wish() {
        let mut block = MinTimes::default();
        let wishes = [true, false, false, false, true, true, true, true];
        // On for 3 s at least, off for 2 s at least, scans of 1 s.
        let seen = wishes.map(|wish| block.run(wish, 3.0, 2.0, 1.0));
        assert_eq!(seen, [true, true, true, false, false, true, true, true]);
        FunctionBlock::reset(&mut block, Reset(Some(&true.into()))).unwrap();
        assert!(!block.run(false, 3.0, 2.0, 1.0), "free after a reset");
    }

    #[test]
    fn run_hours_count_time_and_starts() {
        let mut block = RunHours::default();
        for second in 0..7_200 {
            // On in the first half of each 20 min, running at the beginning: 5 starts are seen, 1 h is run.
            block.run(second % 1_200 < 600, 1.0);
        }
        assert_eq!(block.starts, 5);
        assert!((block.hours - 1.0).abs() < 1e-9 && (block.run_s - 600.0).abs() < 1e-9, "{block:?}");
    }
}
