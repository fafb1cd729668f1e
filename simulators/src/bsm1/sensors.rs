//! Sensors of the benchmark: lags, sample and hold, noise, clipping.
//!
//! Classes as in [`crate::instruments::Class`], whose instruments are those of devices with noise of their own; here
//! lags follow a truth that moves linearly between two sights, and noise is the benchmark's.

use super::noise::Noise;
use super::plant::Handles;
use crate::instruments::Class;
use crate::models::works::{LAYERS, Works};
use crate::models::{asm1, influent::Inflow};

/// Share of the measuring range that is one standard deviation of noise.
pub const NOISE_SHARE: f64 = 0.025;

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// A state of [`asm1`] in a tank counted from 0.
    Tank(usize, usize),
    /// Suspended solids of a tank counted from 0.
    Solids(usize),
    /// A state of the influent.
    Influent(usize),
    /// Influent flow.
    InfluentFlow,
    /// A state of the effluent.
    Effluent(usize),
    /// Suspended solids of the effluent.
    EffluentSolids,
    /// COD of the influent.
    InfluentCod,
    /// COD of the effluent.
    EffluentCod,
    /// Total nitrogen of the effluent.
    EffluentNitrogen,
    /// Effluent flow.
    EffluentFlow,
    /// Suspended solids of return and waste sludge.
    UnderflowSolids,
    /// KLa that the aerator of a tank counted from 0 gives.
    Kla(usize),
    /// Internal recycle.
    InternalFlow,
    /// Return sludge.
    ReturnFlow,
    /// Waste sludge.
    WasteFlow,
}

impl Measured {
    /// The true value; `applied` is what the actuators do.
    #[must_use]
    pub fn truth(self, works: &Works, inflow: &Inflow, applied: &Handles) -> f64 {
        match self {
            Measured::Tank(tank, state) => works.tanks[tank][state],
            Measured::Solids(tank) => asm1::tss(&works.tanks[tank]),
            Measured::Influent(state) => inflow.mix[state],
            Measured::InfluentFlow => inflow.q,
            Measured::Effluent(state) => works.effluent()[state],
            Measured::EffluentSolids => works.settler.tss[0],
            Measured::InfluentCod => asm1::cod(&inflow.mix),
            Measured::EffluentCod => asm1::cod(&works.effluent()),
            Measured::EffluentNitrogen => asm1::total_nitrogen(&works.effluent()),
            Measured::EffluentFlow => inflow.q - applied.q_was,
            Measured::UnderflowSolids => works.settler.tss[LAYERS - 1],
            Measured::Kla(tank) => applied.kla[tank],
            Measured::InternalFlow => applied.q_internal,
            Measured::ReturnFlow => applied.q_ras,
            Measured::WasteFlow => applied.q_was,
        }
    }
}

/// One sensor.
#[derive(Debug, Clone)]
pub struct Sensor {
    measured: Measured,
    class: Class,
    range_max: f64,
    channel: usize,
    lags: Vec<f64>,
    /// Truth at the last sight.
    seen: f64,
    held: f64,
    /// Last batch, still in the analyser (class D).
    pending: f64,
}

impl Sensor {
    /// A sensor that shows 0 to `range_max` with noise of 2.5 % of it, from the channel given; a direct one has none.
    #[must_use]
    pub fn new(measured: Measured, class: Class, range_max: f64, channel: usize) -> Sensor {
        let lags = Vec::new();
        Sensor { measured, class, range_max, channel, lags, seen: 0.0, held: 0.0, pending: 0.0 }
    }

    /// What it measures.
    #[must_use]
    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// Fills all lags with the truth at a time, s.
    pub fn fill(&mut self, truth: f64, noise: &Noise, time_s: u64) {
        self.lags = vec![truth; self.class.lags().0];
        self.seen = truth;
        self.held = self.reading(noise, time_s);
        self.pending = self.held;
    }

    /// Sees the truth `dt` seconds after the last sight; the truth went there in a straight line.
    pub fn see(&mut self, truth: f64, dt: f64) {
        let tau_s = self.class.lags().1;
        let keep = (-dt / tau_s).exp();
        // Exact answer of a lag to a ramp; that of the next lag is taken to be one too, good to second order.
        let lead = tau_s / dt * (1.0 - keep);
        let (mut before, mut after) = (self.seen, truth);
        for lag in &mut self.lags {
            let was = *lag;
            *lag = keep * was + (lead - keep) * before + (1.0 - lead) * after;
            (before, after) = (was, *lag);
        }
        self.seen = truth;
    }

    /// Takes a new value where one is due; to be called on every whole minute, s.
    pub fn hold(&mut self, noise: &Noise, time_s: u64) {
        let hold_s = self.class.hold_s() as u64;
        if hold_s == 0 || !time_s.is_multiple_of(hold_s) {
            return;
        }
        let reading = self.reading(noise, time_s);
        self.held = if self.class == Class::D { std::mem::replace(&mut self.pending, reading) } else { reading };
    }

    /// What the sensor shows at a time, s.
    #[must_use]
    pub fn value(&self, noise: &Noise, time_s: u64) -> f64 {
        if self.class.hold_s() > 0.0 { self.held } else { self.reading(noise, time_s) }
    }

    fn reading(&self, noise: &Noise, time_s: u64) -> f64 {
        let lagged = self.lags.last().copied().unwrap_or(self.seen);
        let noise = if self.class == Class::Direct {
            0.0
        } else {
            NOISE_SHARE * self.range_max * noise.at(self.channel, time_s as f64)
        };
        (lagged + noise).clamp(0.0, self.range_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(class: Class) -> Sensor {
        let mut sensor = Sensor::new(Measured::InfluentFlow, class, 10.0, 0);
        sensor.fill(0.0, &Noise::None, 0);
        sensor.seen = 1.0;
        sensor
    }

    #[test]
    fn a_step_reaches_nine_tenths_after_the_response_time() {
        for (class, minutes) in [(Class::A, 1.0), (Class::B0, 10.0), (Class::C0, 20.0)] {
            for dt in [1.0, 10.0] {
                let mut sensor = sensor(class);
                let steps = (1..5000).find(|step| {
                    sensor.see(1.0, dt);
                    sensor.value(&Noise::None, *step) >= 0.9
                });
                let took = steps.unwrap() as f64 * dt / 60.0;
                // Within 5 % and one step.
                assert!(
                    (took - minutes).abs() < 0.05 * minutes + dt / 60.0,
                    "{class:?} in steps of {dt} s: {took} min"
                );
            }
        }
    }

    #[test]
    fn coarse_steps_follow_a_moving_truth_as_fine_ones_do() {
        let follow = |class, dt: f64| {
            let mut sensor = Sensor::new(Measured::InfluentFlow, class, 10.0, 0);
            sensor.fill(5.0, &Noise::None, 0);
            for step in 1..=(3600.0 / dt) as u32 {
                sensor.see(5.0 + 2.0 * (f64::from(step) * dt / 300.0).sin(), dt);
            }
            sensor.value(&Noise::None, 0)
        };
        for class in [Class::A, Class::B0, Class::C0] {
            let (coarse, fine) = (follow(class, 15.0), follow(class, 0.1));
            assert!((coarse - fine).abs() < 0.005, "{class:?}: {coarse} and {fine}");
        }
    }

    #[test]
    fn batches_hold_and_class_d_shows_the_last_but_one() {
        for (class, expected) in [(Class::B1, 300), (Class::C1, 300), (Class::D, 1800)] {
            let mut sensor = sensor(class);
            let mut changes = Vec::new();
            let mut before = sensor.value(&Noise::None, 0);
            for second in (60..7200).step_by(60) {
                sensor.see(1.0 + second as f64 / 7200.0, 60.0);
                sensor.hold(&Noise::None, second);
                let now = sensor.value(&Noise::None, second);
                if now != before {
                    changes.push(second);
                }
                before = now;
            }
            assert!(changes.iter().all(|t| t % expected == 0) && changes.len() >= 2, "{class:?}: {changes:?}");
            if class == Class::D {
                assert_eq!(changes, [3600, 5400], "the first batch shows when the second is taken");
                assert!((before - (1.0 + 3600.0 / 7200.0)).abs() < 1e-9, "{before}");
            }
        }
    }

    #[test]
    fn noise_is_scaled_and_the_range_clips() {
        let mut sensor = Sensor::new(Measured::InfluentFlow, Class::A, 10.0, 0);
        sensor.fill(5.0, &Noise::None, 0);
        let noise = Noise::Seeded(1);
        let n = 10_000;
        let square: f64 = (0..n).map(|m| (sensor.value(&noise, m * 60) - 5.0).powi(2)).sum();
        assert!(((square / n as f64).sqrt() - 0.25).abs() < 0.01);
        sensor.fill(0.0, &noise, 0);
        assert!((0..n).all(|m| (0.0..=10.0).contains(&sensor.value(&noise, m * 60))));
        sensor.fill(99.0, &Noise::None, 0);
        assert_eq!(sensor.value(&Noise::None, 0), 10.0);
    }
}
