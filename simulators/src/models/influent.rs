//! Influent of our own: a daily and weekly pattern around the mean loads of the benchmark, season, seeded wander, and
//! wet weather on top (see [`wet`](super::wet)).
//!
//! Means over a dry week: 18 446 m3/d, 582 kg NH4-N/d, 7 032 kg COD/d; peaks near 32 000 m3/d, 1 590 kg NH4-N/d and
//! 17 200 kg COD/d. Concentrations keep the benchmark's composition within the carbon and within the nitrogen group.
//! The shapes are sums of bell curves: a steep peak of the morning, an evening, and for flow and carbon an afternoon.

use std::f64::consts::PI;

use super::asm1::{self, Mix, SALK, SI, SND, SNH, SS, STATES, XBH, XI, XND, XS};
use super::wet::{Runoff, SEWER_MAX_M3_D, Weather, WetWeather};
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
/// Groundwater in the sewer over the year: share of the flow by which the wettest day (mid August) lies above the mean.
/// It thins the water and leaves the loads.
const SEASON_SHARE: f64 = 0.025;
const WETTEST_DAY: f64 = 225.0;
/// Composition of the flushed sewer deposits, shares of their COD, and their nitrogen, g per g COD.
const FLUSH_COD: [(usize, f64); 4] = [(SS, 0.08), (XI, 0.22), (XS, 0.60), (XBH, 0.10)];
const FLUSH_XND: f64 = 0.015;

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
    wet: WetWeather,
    runoff: Runoff,
}

/// Influent at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inflow {
    /// Flow, m3/d.
    pub q: f64,
    /// Concentrations.
    pub mix: Mix,
}

impl Inflow {
    /// Ammonium load, kg N/d.
    #[must_use]
    pub fn nh4_kg_d(&self) -> f64 {
        self.q * self.mix[SNH] / 1000.0
    }

    /// Organic load, kg COD/d.
    #[must_use]
    pub fn cod_kg_d(&self) -> f64 {
        self.q * asm1::cod(&self.mix) / 1000.0
    }
}

impl Influent {
    /// A generator with its own noise; the weeks of the weather begin at `start_unix_s`.
    #[must_use]
    pub fn new(seed: u64, weather: Weather, start_unix_s: i64) -> Influent {
        // Normalise the shapes over one week so that the means hold whatever the shapes are.
        let minutes = 7 * 1440;
        let (mut flow, mut nitrogen, mut carbon) = (0.0, 0.0, 0.0);
        for minute in 0..minutes {
            let (weekday, hour) = (minute / 1440, f64::from(minute as u32 % 1440) / 60.0);
            let q = FLOW.at(weekday, hour);
            flow += q;
            nitrogen += q * NITROGEN.at(weekday, hour);
            carbon += q * CARBON.at(weekday, hour);
        }
        Influent {
            flow_norm: minutes as f64 / flow,
            nitrogen_norm: flow / nitrogen,
            carbon_norm: flow / carbon,
            flow_wander: Wander::new(seed, "influent flow", 0.02, 1800.0),
            day_wander: Wander::new(seed, "influent day", 0.015, 86_400.0),
            nitrogen_wander: Wander::new(seed, "influent nitrogen", 0.025, 3600.0),
            carbon_wander: Wander::new(seed, "influent carbon", 0.03, 3600.0),
            wet: WetWeather::new(seed, weather, start_unix_s as f64),
            runoff: Runoff::default(),
        }
    }

    /// The dry pattern without noise.
    #[must_use]
    pub fn pattern(&self, clock: &PlantClock) -> Inflow {
        self.dry(clock, 0.0, 0.0, 0.0)
    }

    /// Goes on by `dt` seconds and returns the influent at the clock's time.
    pub fn step(&mut self, clock: &PlantClock, dt: f64) -> Inflow {
        let flow = self.flow_wander.step(dt) + self.day_wander.step(dt);
        let nitrogen = self.nitrogen_wander.step(dt);
        let carbon = self.carbon_wander.step(dt);
        self.runoff = self.wet.at(clock.unix_s());
        with_runoff(&self.dry(clock, flow, nitrogen, carbon), &self.runoff)
    }

    /// Another weather from the clock's time on.
    pub fn set_weather(&mut self, weather: Weather, clock: &PlantClock) {
        self.wet.set(weather, clock.unix_s());
    }

    /// How wet the sky is, 0 to 1.
    #[must_use]
    pub fn wet(&self) -> f64 {
        self.runoff.wet
    }

    fn dry(&self, clock: &PlantClock, flow: f64, nitrogen: f64, carbon: f64) -> Inflow {
        let (weekday, hour) = (clock.weekday(), clock.hour());
        let season = 1.0 + SEASON_SHARE * (2.0 * PI * (clock.day_of_year() - WETTEST_DAY) / 365.2425).cos();
        let q = FLOW_MEAN_M3_D * season * (FLOW.at(weekday, hour) * self.flow_norm * (1.0 + flow)).max(SHARE_MIN);
        let nitrogen = (NITROGEN.at(weekday, hour) * self.nitrogen_norm * (1.0 + nitrogen)).max(SHARE_MIN) / season;
        let carbon = (CARBON.at(weekday, hour) * self.carbon_norm * (1.0 + carbon)).max(SHARE_MIN) / season;
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

/// Rain thins everything but the alkalinity (which the benchmark leaves at 7), a flush adds deposits, and the sewer
/// brings no more than it can: what overflows leaves at the concentration of the rest.
fn with_runoff(dry: &Inflow, runoff: &Runoff) -> Inflow {
    let q = dry.q + runoff.q;
    let mut mix = dry.mix.map(|g_m3| g_m3 * dry.q / q);
    mix[SALK] = dry.mix[SALK];
    let flush_g_m3 = runoff.flush_kg_d * 1000.0 / q;
    for (i, share) in FLUSH_COD {
        mix[i] += flush_g_m3 * share;
    }
    mix[XND] += flush_g_m3 * FLUSH_XND;
    Inflow { q: q.min(SEWER_MAX_M3_D), mix }
}

/// A day as a base and bell curves of (height, hour of its middle, standard deviation in h).
struct Shape {
    base: f64,
    bells: [(f64, f64, f64); 3],
    /// Level of a weekend day against a working day.
    weekend: f64,
}

const FLOW: Shape =
    Shape { base: 0.56, bells: [(0.91, 11.0, 1.3), (0.52, 21.5, 3.6), (0.42, 15.0, 2.6)], weekend: 0.95 };
const NITROGEN: Shape =
    Shape { base: 0.62, bells: [(0.83, 10.6, 1.2), (0.50, 0.0, 2.6), (0.26, 16.5, 4.0)], weekend: 0.92 };
const CARBON: Shape =
    Shape { base: 0.55, bells: [(0.71, 11.8, 1.9), (0.46, 22.5, 3.4), (0.30, 16.0, 2.6)], weekend: 0.92 };
/// On Saturday and Sunday the morning comes so many hours later, and with so much of its height; the rest half an hour
/// later.
const WEEKEND_LATER_H: f64 = 1.5;
const WEEKEND_MORNING: f64 = 0.6;

impl Shape {
    /// `weekday` 5 and 6 are Saturday and Sunday.
    fn at(&self, weekday: usize, hour: f64) -> f64 {
        let weekend = weekday >= 5;
        let mut sum = self.base;
        for (i, (height, middle, width)) in self.bells.into_iter().enumerate() {
            let (height, middle) = match (weekend, i) {
                (false, _) => (height, middle),
                (true, 0) => (height * WEEKEND_MORNING, middle + WEEKEND_LATER_H),
                (true, _) => (height * 0.9, middle + 0.5),
            };
            // Hours to the middle the short way round the clock.
            let off = (hour - middle + 12.0).rem_euclid(24.0) - 12.0;
            sum += height * (-0.5 * (off / width).powi(2)).exp();
        }
        sum * if weekend { self.weekend } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Summer.
    const START: i64 = 1_782_014_400;

    #[derive(Debug, Default)]
    struct Fortnight {
        q: f64,
        nh4_kg_d: f64,
        cod_kg_d: f64,
        q_min: f64,
        q_max: f64,
        nh4_max: f64,
        cod_max: f64,
    }

    fn fortnight(seed: u64, weather: Weather, start: i64) -> Fortnight {
        const STEP_S: f64 = 60.0;
        let mut influent = Influent::new(seed, weather, start);
        let mut clock = PlantClock::new(start);
        let steps = 14 * 1440;
        let mut seen = Fortnight { q_min: f64::MAX, ..Fortnight::default() };
        for _ in 0..steps {
            clock.advance(STEP_S);
            let inflow = influent.step(&clock, STEP_S);
            assert!(inflow.mix.iter().all(|g_m3| *g_m3 >= 0.0 && g_m3.is_finite()));
            seen.q += inflow.q / f64::from(steps);
            seen.nh4_kg_d += inflow.nh4_kg_d() / f64::from(steps);
            seen.cod_kg_d += inflow.cod_kg_d() / f64::from(steps);
            seen.q_min = seen.q_min.min(inflow.q);
            seen.q_max = seen.q_max.max(inflow.q);
            seen.nh4_max = seen.nh4_max.max(inflow.nh4_kg_d());
            seen.cod_max = seen.cod_max.max(inflow.cod_kg_d());
        }
        seen
    }

    /// `value` within `share` of `expected`.
    fn near(what: &str, seed: u64, value: f64, expected: f64, share: f64) {
        assert!((value / expected - 1.0).abs() <= share, "seed {seed}: {what} {value:.0}, benchmark {expected}");
    }

    #[test]
    fn dry_fortnight_has_loads_and_peaks_of_the_benchmark() {
        for seed in 1..9 {
            for start in [START, START + 183 * 86_400] {
                let f = fortnight(seed, Weather::Dry, start);
                near("flow", seed, f.q, 18_446.0, 0.05);
                near("least flow", seed, f.q_min, 10_000.0, 0.12);
                near("greatest flow", seed, f.q_max, 32_180.0, 0.10);
                near("NH4 load", seed, f.nh4_kg_d, 582.0, 0.05);
                near("greatest NH4 load", seed, f.nh4_max, 1593.0, 0.12);
                near("COD load", seed, f.cod_kg_d, 7032.0, 0.05);
                near("greatest COD load", seed, f.cod_max, 17_158.0, 0.12);
            }
        }
    }

    #[test]
    fn rain_adds_water_and_no_load() {
        for seed in 1..9 {
            let f = fortnight(seed, Weather::Rain, START);
            near("greatest flow", seed, f.q_max, 52_126.0, 0.10);
            near("NH4 load", seed, f.nh4_kg_d, 582.0, 0.05);
            near("COD load", seed, f.cod_kg_d, 7032.0, 0.05);
            assert!(f.q > 1.2 * 18_446.0, "seed {seed}: {f:?}");
        }
    }

    #[test]
    fn storm_fills_the_sewer_and_flushes_it() {
        for seed in 1..9 {
            let f = fortnight(seed, Weather::Storm, START);
            near("greatest flow", seed, f.q_max, 60_000.0, 0.001);
            near("greatest COD load", seed, f.cod_max, 56_635.0, 0.12);
            near("NH4 load", seed, f.nh4_kg_d, 582.0, 0.06);
            near("flow", seed, f.q, 20_500.0, 0.08);
        }
    }

    #[test]
    fn weekends_are_lower_and_later_and_summers_thinner() {
        let influent = Influent::new(1, Weather::Dry, START);
        // START is a Sunday noon.
        let hour =
            |days: i64, hour: i64| influent.pattern(&PlantClock::new(START + days * 86_400 + (hour - 12) * 3600));
        assert!(hour(0, 11).q < 0.9 * hour(1, 11).q);
        assert!(hour(0, 13).q > hour(0, 10).q && hour(1, 13).q < hour(1, 11).q);
        let (summer, winter) = (hour(1, 12), hour(1 + 26 * 7, 12));
        assert!(summer.q > 1.02 * winter.q && summer.mix[SNH] < winter.mix[SNH]);
        assert!((summer.nh4_kg_d() / winter.nh4_kg_d() - 1.0).abs() < 1e-9);
    }
}
