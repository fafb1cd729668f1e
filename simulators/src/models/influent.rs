//! Dry-weather influent of our own: a daily and weekly pattern around the mean loads of the benchmark, and seeded wander.
//!
//! Means over a week: 18 446 m3/d, flow-weighted 31.56 g NH4-N/m3 and 381 g COD/m3. Concentrations keep the
//! benchmark's composition within the carbon group and within the nitrogen group.

use std::f64::consts::PI;

use super::asm1::{Mix, SALK, SI, SND, SNH, SS, STATES, XBH, XI, XND, XS};
use crate::clock::PlantClock;
use crate::rng::Wander;

/// Mean flow, m3/d.
pub const FLOW_MEAN_M3_D: f64 = 18_446.0;
/// Flow-weighted mean of ammonium nitrogen, g/m3.
pub const NH4_MEAN: f64 = 31.56;
/// Flow-weighted mean concentrations.
const MEAN: [(usize, f64); 9] = [
    (SI, 30.0),
    (SS, 69.5),
    (XI, 51.2),
    (XS, 202.32),
    (XBH, 28.17),
    (SNH, NH4_MEAN),
    (SND, 6.95),
    (XND, 10.59),
    (SALK, 7.0),
];
/// Least share of a mean concentration or flow that noise may leave.
const SHARE_MIN: f64 = 0.2;

/// Generator of the influent.
#[derive(Debug, Clone)]
pub struct Influent {
    flow_norm: f64,
    nitrogen_norm: f64,
    carbon_norm: f64,
    flow_wander: Wander,
    day_wander: Wander,
    nitrogen_wander: Wander,
    carbon_wander: Wander,
}

/// Influent at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inflow {
    /// Flow, m3/d.
    pub q: f64,
    /// Concentrations.
    pub mix: Mix,
}

impl Influent {
    /// A generator with its own noise.
    #[must_use]
    pub fn new(seed: u64) -> Influent {
        // Normalise the shapes over one week so that the means hold whatever the shapes are.
        let minutes = 7 * 1440;
        let (mut flow, mut nitrogen, mut carbon) = (0.0, 0.0, 0.0);
        for minute in 0..minutes {
            let (weekday, hour) = (minute / 1440, f64::from(minute as u32 % 1440) / 60.0);
            let q = flow_shape(weekday, hour);
            flow += q;
            nitrogen += q * nitrogen_shape(weekday, hour);
            carbon += q * carbon_shape(weekday, hour);
        }
        Influent {
            flow_norm: minutes as f64 / flow,
            nitrogen_norm: flow / nitrogen,
            carbon_norm: flow / carbon,
            flow_wander: Wander::new(seed, "influent flow", 0.025, 1800.0),
            day_wander: Wander::new(seed, "influent day", 0.03, 86_400.0),
            nitrogen_wander: Wander::new(seed, "influent nitrogen", 0.04, 3600.0),
            carbon_wander: Wander::new(seed, "influent carbon", 0.05, 3600.0),
        }
    }

    /// The pattern without noise.
    #[must_use]
    pub fn pattern(&self, clock: &PlantClock) -> Inflow {
        self.at(clock, 0.0, 0.0, 0.0)
    }

    /// Goes on by `dt` seconds and returns the influent at the clock's time.
    pub fn step(&mut self, clock: &PlantClock, dt: f64) -> Inflow {
        let flow = self.flow_wander.step(dt) + self.day_wander.step(dt);
        let nitrogen = self.nitrogen_wander.step(dt);
        let carbon = self.carbon_wander.step(dt);
        self.at(clock, flow, nitrogen, carbon)
    }

    fn at(&self, clock: &PlantClock, flow: f64, nitrogen: f64, carbon: f64) -> Inflow {
        let (weekday, hour) = (clock.weekday(), clock.hour());
        let q = FLOW_MEAN_M3_D * (flow_shape(weekday, hour) * self.flow_norm * (1.0 + flow)).max(SHARE_MIN);
        let nitrogen = (nitrogen_shape(weekday, hour) * self.nitrogen_norm * (1.0 + nitrogen)).max(SHARE_MIN);
        let carbon = (carbon_shape(weekday, hour) * self.carbon_norm * (1.0 + carbon)).max(SHARE_MIN);
        let mut mix = [0.0; STATES];
        for (i, mean) in MEAN {
            let share = match i {
                SI | SALK => 1.0,
                SNH | SND | XND => nitrogen,
                _ => carbon,
            };
            mix[i] = mean * share;
        }
        Inflow { q, mix }
    }
}

/// Daily shape with one and two periods a day; peaks in hours of the local day.
fn daily(hour: f64, first: f64, first_peak: f64, second: f64, second_peak: f64) -> f64 {
    1.0 + first * (2.0 * PI * (hour - first_peak) / 24.0).cos()
        + second * (4.0 * PI * (hour - second_peak) / 24.0).cos()
}

/// Weekend days run later and lower; `weekday` 5 and 6 are Saturday and Sunday.
fn weekend(weekday: usize) -> bool {
    weekday >= 5
}

fn flow_shape(weekday: usize, hour: f64) -> f64 {
    if weekend(weekday) { 0.92 * daily(hour, 0.30, 14.0, 0.14, 10.5) } else { daily(hour, 0.36, 13.0, 0.16, 9.5) }
}

fn nitrogen_shape(weekday: usize, hour: f64) -> f64 {
    if weekend(weekday) { 0.90 * daily(hour, 0.22, 11.0, 0.08, 9.0) } else { daily(hour, 0.30, 10.0, 0.10, 8.0) }
}

fn carbon_shape(weekday: usize, hour: f64) -> f64 {
    if weekend(weekday) { 0.88 * daily(hour, 0.20, 15.0, 0.08, 11.0) } else { daily(hour, 0.25, 14.0, 0.10, 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::asm1;

    fn week(seed: u64, noise: bool, weeks: usize) -> (f64, f64, f64, f64, f64) {
        let mut influent = Influent::new(seed);
        let mut clock = PlantClock::new(1_782_014_400);
        let (mut q, mut nh4, mut cod, mut least, mut most) = (0.0, 0.0, 0.0, f64::MAX, 0.0_f64);
        let steps = weeks * 7 * 288;
        for _ in 0..steps {
            clock.advance(300.0);
            let inflow = if noise { influent.step(&clock, 300.0) } else { influent.pattern(&clock) };
            q += inflow.q;
            nh4 += inflow.q * inflow.mix[SNH];
            cod += inflow.q * asm1::cod(&inflow.mix);
            least = least.min(inflow.q);
            most = most.max(inflow.q);
        }
        (q / steps as f64, nh4 / q, cod / q, least, most)
    }

    #[test]
    fn pattern_has_the_mean_loads_of_the_benchmark() {
        let (q, nh4, cod, least, most) = week(1, false, 1);
        assert!((q / FLOW_MEAN_M3_D - 1.0).abs() < 1e-3, "{q}");
        assert!((nh4 / NH4_MEAN - 1.0).abs() < 1e-3, "{nh4}");
        assert!((cod / 381.19 - 1.0).abs() < 1e-3, "{cod}");
        assert!(least < 12_000.0 && most > 25_000.0, "the day has no shape: {least}..{most}");
    }

    #[test]
    fn noise_leaves_the_means() {
        let (q, nh4, cod, ..) = week(5, true, 8);
        assert!((q / FLOW_MEAN_M3_D - 1.0).abs() < 0.03, "{q}");
        assert!((nh4 / NH4_MEAN - 1.0).abs() < 0.03, "{nh4}");
        assert!((cod / 381.19 - 1.0).abs() < 0.03, "{cod}");
    }
}
