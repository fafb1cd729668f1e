//! Most-open-valve control: a slow trim of the set-point of a header pressure, so that the most open valve behind the
//! header stands at a target.
//!
//! ```text
//! every `every` s:   p += clamp(gain·z(m − target), −step, step)
//! ```
//!
//! `m` is the mean over that time of the greatest valve position, `z` the dead zone of half-width `band`. A valve near
//! its end asks for more pressure; when all are throttled the pressure was made for nothing. The trim is the only integrator
//! on the pressure set-point, and it acts far slower than the flow controllers that move the valves (1 to 15 min), for
//! they answer every change of pressure. Valves without a position, or in a person's hand, are left out by `()`; while
//! there is none the set-point stays.

use super::FunctionBlock;
use super::args::{Call, Reset, dead_zone, number_or_none};
use super::logic::TIME_ROUNDING;
use super::memory::Pass;
use rhai::Dynamic;

/// Most valves behind one header.
const VALVES_MAX: usize = 64;
/// Fastest and slowest trim, s: below a minute it would work against the flow controllers, and after a quarter of an
/// hour the load has changed again.
const EVERY: std::ops::RangeInclusive<f64> = 60.0..=900.0;

/// Names of the settings.
pub(crate) const SETTINGS: &[&str] = &["band", "every", "gain", "max", "min", "start", "step", "target", "track"];

/// Settings of the trim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trim {
    /// Position of the most open valve, in the unit of the positions.
    pub target: f64,
    /// Distance from the target that changes nothing.
    pub band: f64,
    /// Change of the set-point per step and unit of position beyond the band.
    pub gain: f64,
    /// Time between two steps, s.
    pub every: f64,
    /// Greatest change per step.
    pub step: f64,
    /// Set-point at the first run.
    pub start: f64,
    pub min: f64,
    pub max: f64,
    /// What the set-point really is, while somebody else decides it.
    pub track: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct MostOpenValve {
    set_point: Option<f64>,
    /// Seconds with a position since the last step, and the position's integral over them.
    time: f64,
    sum: f64,
}

impl MostOpenValve {
    /// `most_open`: the greatest position, where there is one.
    pub fn run(&mut self, most_open: Option<f64>, s: &Trim, dt: f64) -> f64 {
        let mut p = self.set_point.unwrap_or(s.start);
        if let Some(track) = s.track {
            p = track;
            (self.time, self.sum) = (0.0, 0.0);
        } else if let Some(position) = most_open {
            self.time += dt;
            self.sum += position * dt;
            if self.time + TIME_ROUNDING >= s.every {
                let mean = self.sum / self.time;
                p += (s.gain * dead_zone(mean - s.target, s.band)).clamp(-s.step, s.step);
                (self.time, self.sum) = (0.0, 0.0);
            }
        } else {
            // What was seen before says nothing about the valves that will come back.
            (self.time, self.sum) = (0.0, 0.0);
        }
        let p = p.clamp(s.min, s.max);
        self.set_point = Some(p);
        p
    }
}

impl FunctionBlock for MostOpenValve {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let mut most_open: Option<f64> = None;
        for value in &call.array(0, VALVES_MAX)? {
            if let Some(position) = number_or_none(value)? {
                most_open = Some(most_open.map_or(position, |m| m.max(position)));
            }
        }
        let (min, max) = call.limits_needed()?;
        let positive = |name| call.width(name)?.ok_or_else(|| format!("`{name}` is missing"));
        let s = Trim {
            target: call.needed("target")?,
            band: positive("band")?,
            gain: positive("gain")?,
            every: call.within("every", EVERY)?.ok_or("`every` is missing")?,
            step: positive("step")?,
            start: call.needed("start")?,
            min,
            max,
            track: call.number("track")?,
        };
        Ok(self.run(most_open, &s, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        *self = Self { set_point: to.number()?, ..Self::default() };
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe("set_point", &mut self.set_point);
        pass.amount("time", &mut self.time);
        pass.number("sum", &mut self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIM: Trim = Trim {
        target: 80.0,
        band: 3.0,
        gain: 0.1,
        every: 300.0,
        step: 1.0,
        start: 55.0,
        min: 45.0,
        max: 60.0,
        track: None,
    };

    #[test]
    fn the_set_point_moves_once_in_its_time_by_what_lies_beyond_the_band() {
        let mut block = MostOpenValve::default();
        for second in 1..=900 {
            let p = block.run(Some(88.0), &TRIM, 1.0);
            // 0.1 · (88 − 80 − 3) at each 300 s
            let expected = 55.0 + 0.5 * f64::from(second / 300);
            assert!((p - expected).abs() < 1e-9, "{p} is not {expected} at {second} s");
        }
        for _ in 0..1_000 {
            assert!((block.run(Some(77.5), &TRIM, 1.0) - 56.5).abs() < 1e-9, "within the band");
        }
        assert!((block.run(Some(20.0), &TRIM, 900.0) - 55.5).abs() < 1e-9, "one step at most");
        let held = Trim { track: Some(50.0), ..TRIM };
        assert_eq!(block.run(Some(20.0), &held, 900.0), 50.0);
        assert_eq!(block.run(None, &TRIM, 3_600.0), 50.0);
    }

    #[test]
    fn it_brings_the_most_open_valve_of_a_header_to_its_band() {
        // Valves that keep their flow: position ∝ flow/√(p − p0), so the answer is p − p0 = (flow/0.8)².
        let mut block = MostOpenValve::default();
        let (head, mut p) = (45.0_f64, 55.0_f64);
        for _ in 0..200 {
            let position = |flow: f64| (100.0 * flow / (p - head).max(0.1).sqrt()).min(100.0);
            let most_open = position(2.0).max(position(1.2));
            p = block.run(Some(most_open), &TRIM, 60.0);
        }
        let opened = 100.0 * 2.0 / (p - head).sqrt();
        assert!((opened - 80.0).abs() <= 3.0 + 0.1, "{opened} % at {p} kPa");
    }
}
