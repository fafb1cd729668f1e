//! Mean power as a utility bills it: over metering intervals of `t` (900 s where nothing else is said), and sliding.
//!
//! ```text
//! projected = (E + P·left)/t          allowed = (limit·t − E)/left
//! ```
//!
//! `E` is the energy of the running interval so far, `P` the present power, `left` the rest of the interval. Intervals
//! follow one another from the first scan; a pulse at `sync` (the meter's own, at its rise) begins one, so that no clock
//! is needed.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, result};
use super::logic::TIME_ROUNDING;
use super::memory::Pass;
use super::window::Window;
use rhai::Dynamic;

/// Metering interval where none is given, s.
const INTERVAL: f64 = 900.0;
/// Share of an interval that must have passed for a pulse to end one: what a pulse cuts shorter, at the start or after a
/// pulse that came a moment late, is no metering interval, and a few seconds of it would make a false peak.
const WHOLE_FROM: f64 = 0.9;

#[derive(Debug, Clone, Default)]
pub(crate) struct Demand {
    sliding: Window,
    /// Seconds of the running interval, and power·seconds in them.
    passed: f64,
    energy: f64,
    /// Mean power of the last interval, and of the greatest one.
    last: Option<f64>,
    peak: Option<f64>,
    sync: bool,
}

/// What is said after a step, in the unit of the power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub sliding: f64,
    pub projected: f64,
    pub left: f64,
    pub allowed: Option<f64>,
}

impl Demand {
    /// `power` of the last `dt` seconds; `t` above 0 s.
    pub fn run(&mut self, power: f64, t: f64, limit: Option<f64>, sync: bool, dt: f64) -> Seen {
        let power = bounded(power);
        if sync && !self.sync {
            if self.passed >= WHOLE_FROM * t {
                self.close(self.passed);
            }
            (self.passed, self.energy) = (0.0, 0.0);
        }
        self.sync = sync;
        let mut rest = dt;
        if self.passed + rest + TIME_ROUNDING >= t {
            let missing = (t - self.passed).max(0.0);
            self.energy += power * missing;
            self.passed += missing;
            self.close(self.passed);
            rest -= missing;
            if rest + TIME_ROUNDING >= t {
                // A scan longer than whole intervals: they all had this power.
                self.note(power);
                rest %= t;
            }
        }
        self.passed += rest.max(0.0);
        self.energy = bounded(self.energy + power * rest.max(0.0));
        let left = (t - self.passed).max(0.0);
        Seen {
            sliding: self.sliding.run(power, t, dt).mean,
            projected: bounded((self.energy + power * left) / t),
            left,
            // In the last instant of an interval nothing can be made good any more.
            allowed: limit.filter(|_| left > 0.0).map(|limit| bounded((limit * t - self.energy) / left).max(0.0)),
        }
    }

    fn close(&mut self, time: f64) {
        let mean = self.energy / time;
        (self.passed, self.energy) = (0.0, 0.0);
        self.note(bounded(mean));
    }

    fn note(&mut self, mean: f64) {
        self.last = Some(mean);
        self.peak = Some(self.peak.map_or(mean, |peak| peak.max(mean)));
    }
}

impl FunctionBlock for Demand {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let t = call.time_above_0("t", "leave it out for 900 s")?.unwrap_or(INTERVAL);
        let seen = self.run(call.x(0)?, t, call.number("limit")?, call.flag("sync")?, call.dt);
        let or_nothing = |x: Option<f64>| x.map_or(Dynamic::UNIT, Dynamic::from);
        Ok(result([
            ("sliding", seen.sliding.into()),
            ("projected", seen.projected.into()),
            ("left", seen.left.into()),
            ("allowed", or_nothing(seen.allowed)),
            ("last", or_nothing(self.last)),
            ("peak", or_nothing(self.peak)),
        ]))
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        *self = Self::default();
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.part("sliding", &mut self.sliding, Window::memory);
        pass.amount("passed", &mut self.passed);
        pass.number("energy", &mut self.energy);
        pass.maybe("last", &mut self.last);
        pass.maybe("peak", &mut self.peak);
        pass.switch("sync", &mut self.sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_is_the_mean_of_what_was_and_what_is() {
        let mut block = Demand::default();
        for _ in 0..300 {
            block.run(100.0, 900.0, None, false, 1.0);
        }
        let mut seen = block.run(400.0, 900.0, Some(250.0), false, 1.0);
        for _ in 0..299 {
            seen = block.run(400.0, 900.0, Some(250.0), false, 1.0);
        }
        // 300 s at 100 and 300 s at 400 are 150 000 of the 225 000 kWs that 250 kW allow.
        assert!((seen.projected - 300.0).abs() < 1e-9 && (seen.left - 300.0).abs() < 1e-6, "{seen:?}");
        assert!((seen.allowed.unwrap() - 250.0).abs() < 1e-9, "{seen:?}");
        assert!((seen.sliding - 250.0).abs() < 1e-9, "{seen:?}");
        for _ in 0..300 {
            seen = block.run(0.0, 900.0, None, false, 1.0);
        }
        assert!((block.last.unwrap() - 500.0 / 3.0).abs() < 1e-9, "{block:?}");
        assert!((seen.projected, seen.left) == (0.0, 900.0), "{seen:?}");
        assert!((seen.sliding - 500.0 / 3.0).abs() < 1e-6, "{seen:?}");
    }

    #[test]
    fn a_pulse_begins_an_interval_once() {
        let mut block = Demand::default();
        for k in 0..100 {
            block.run(50.0, 900.0, None, (40..45).contains(&k), 1.0);
        }
        assert!((block.passed - 60.0).abs() < 1e-9, "{block:?}");
        assert_eq!((block.last, block.peak), (None, None), "40 s are no interval");
        // The meter's interval is a little shorter than ours: it ends at the pulse.
        for k in 60..895 {
            block.run(if k < 895 - 60 { 50.0 } else { 200.0 }, 900.0, None, false, 1.0);
        }
        block.run(0.0, 900.0, None, true, 1.0);
        assert!((block.last.unwrap() - (50.0 * 835.0 + 200.0 * 60.0) / 895.0).abs() < 1e-9, "{block:?}");
        assert_eq!(block.passed, 1.0);
    }

    #[test]
    fn a_scan_over_the_end_is_divided_between_the_intervals() {
        let mut block = Demand::default();
        block.run(90.0, 900.0, None, false, 600.0);
        let seen = block.run(30.0, 900.0, None, false, 600.0);
        // 600 s at 90 and 300 s at 30, then 300 s of the next one at 30.
        assert_eq!((block.last, block.peak, seen.left), (Some(70.0), Some(70.0), 600.0));
        let seen = block.run(10.0, 900.0, None, false, 3_600.0);
        assert_eq!((block.last, block.peak, seen.left), (Some(10.0), Some(70.0), 600.0));
    }
}
