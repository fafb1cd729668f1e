//! Instruments: what a sensor makes of the truth before a device scales it into a register.
//!
//! Classes as in BSM1: a chain of equal first-order lags, white noise drawn on a time grid and interpolated between its
//! points, sample-and-hold for analysers that work in batches, and a measuring range that clips. Faults lie over that: each
//! turns the healthy value into a wrong one, in the order in which they began.

use crate::faults::SensorFault;
use crate::rng::Rng;

/// Dynamic behaviour of an instrument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Class {
    /// A value the device knows itself (positions, commands): no lag.
    Direct,
    /// Flow, power, pressure: one lag of so many seconds.
    Fast(f64),
    /// Class A probe, response 1 min: two lags of 0.257 min.
    A,
    /// Class B0 analyser, response 10 min: eight lags of 0.849 min.
    B0,
    /// Class B1: as B0, a new value every 5 min.
    B1,
    /// Class C0 analyser with slow filtration, response 20 min: eight lags of 1.699 min.
    C0,
    /// Class C1: as C0, a new value every 5 min.
    C1,
    /// Class D: batch analysis, a new value every 30 min.
    D,
}

impl Class {
    /// Number of lags and the time constant of each, s.
    pub(crate) fn lags(self) -> (usize, f64) {
        match self {
            Class::Direct | Class::D => (0, 1.0),
            Class::Fast(tau_s) => (1, tau_s),
            Class::A => (2, 0.257 * 60.0),
            Class::B0 | Class::B1 => (8, 0.849 * 60.0),
            Class::C0 | Class::C1 => (8, 1.699 * 60.0),
        }
    }

    /// Time between two new values, s; 0 for an instrument that measures all the time.
    pub(crate) fn hold_s(self) -> f64 {
        match self {
            Class::B1 | Class::C1 => 300.0,
            Class::D => 1800.0,
            Class::Direct | Class::Fast(_) | Class::A | Class::B0 | Class::C0 => 0.0,
        }
    }

    /// Distance of the points of the noise grid, s.
    fn grid_s(self) -> f64 {
        match self {
            Class::Direct | Class::Fast(_) => 1.0,
            Class::A => 5.0,
            Class::B0 | Class::B1 | Class::C0 | Class::C1 | Class::D => 60.0,
        }
    }
}

/// One instrument.
#[derive(Debug, Clone)]
pub struct Instrument {
    class: Class,
    sigma: f64,
    range: (f64, f64),
    lags: Option<Vec<f64>>,
    noise: (f64, f64),
    noise_at: f64,
    held_for: f64,
    healthy: f64,
    value: f64,
    frozen: bool,
    flaws: Vec<Flaw>,
    rng: Rng,
}

impl Instrument {
    /// An instrument with noise of standard deviation `sigma` that shows values within `range`.
    #[must_use]
    pub fn new(seed: u64, name: &str, class: Class, sigma: f64, range: (f64, f64)) -> Instrument {
        let mut rng = Rng::new(seed, name);
        let noise = (rng.gauss(), rng.gauss());
        let value = range.0;
        Instrument {
            class,
            sigma,
            range,
            lags: None,
            noise,
            noise_at: 0.0,
            held_for: f64::MAX,
            healthy: value,
            value,
            frozen: false,
            flaws: Vec::new(),
            rng,
        }
    }

    /// Holds the shown value while the instrument is cleaned or calibrated.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Sees the truth for `dt` seconds. The first sight fills all lags.
    pub fn see(&mut self, truth: f64, dt: f64) {
        let (count, tau_s) = self.class.lags();
        let lags = self.lags.get_or_insert_with(|| vec![truth; count]);
        let share = 1.0 - (-dt / tau_s).exp();
        let mut shown = truth;
        for lag in lags {
            *lag += (shown - *lag) * share;
            shown = *lag;
        }
        self.noise_at += dt / self.class.grid_s();
        while self.noise_at >= 1.0 {
            self.noise_at -= 1.0;
            self.noise = (self.noise.1, self.rng.gauss());
        }
        self.held_for += dt;
        if !self.frozen && self.held_for >= self.class.hold_s() {
            self.held_for = 0.0;
            let noise = self.noise.0 + (self.noise.1 - self.noise.0) * self.noise_at;
            self.healthy = (shown + self.sigma * noise).clamp(self.range.0, self.range.1);
        }
        self.value = self.flaws.iter_mut().fold(self.healthy, |value, flaw| flaw.apply(value, self.range, dt));
    }

    /// Begins a fault; `seed` gives it its own randomness.
    pub fn break_down(&mut self, id: u64, fault: SensorFault, seed: u64) {
        // What is stuck without a value is stuck at what it shows now.
        let fault = match fault {
            SensorFault::Stuck { at: None } => SensorFault::Stuck { at: Some(self.value) },
            other => other,
        };
        self.flaws.push(Flaw { id, fault, age_s: 0.0, spike_at_s: 0.0, rng: Rng::new(seed, &format!("fault {id}")) });
        self.value = self.flaws.iter_mut().fold(self.healthy, |value, flaw| flaw.apply(value, self.range, 0.0));
    }

    /// Ends the fault of that number.
    pub fn repair(&mut self, id: u64) {
        self.flaws.retain(|flaw| flaw.id != id);
        self.value = self.flaws.iter_mut().fold(self.healthy, |value, flaw| flaw.apply(value, self.range, 0.0));
    }

    /// Some fault is active.
    #[must_use]
    pub fn broken(&self) -> bool {
        !self.flaws.is_empty()
    }

    /// What the instrument shows.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// A spike lasts so many seconds of plant time.
const SPIKE_S: f64 = 3.0;
/// An overdriven transmitter shows so much of its span beyond the end of its range.
const OVERDRIVE_SHARE: f64 = 0.1;

/// One active fault of an instrument.
#[derive(Debug, Clone)]
struct Flaw {
    id: u64,
    fault: SensorFault,
    age_s: f64,
    spike_at_s: f64,
    rng: Rng,
}

impl Flaw {
    fn apply(&mut self, value: f64, range: (f64, f64), dt: f64) -> f64 {
        self.age_s += dt;
        let clipped = |value: f64| value.clamp(range.0, range.1);
        match self.fault {
            SensorFault::Stuck { at } => at.unwrap_or(value),
            SensorFault::Drift { per_h } => clipped(value + per_h * self.age_s / 3600.0),
            SensorFault::Bias { by } => clipped(value + by),
            SensorFault::Gain { factor } => clipped(value * factor),
            SensorFault::Noise { sigma } => clipped(value + sigma * self.rng.gauss()),
            SensorFault::Spike { by, every_s } => {
                if self.age_s >= self.spike_at_s + SPIKE_S {
                    self.spike_at_s = self.age_s + every_s * (0.5 + self.rng.uniform());
                }
                if self.age_s >= self.spike_at_s { clipped(value + by) } else { value }
            }
            SensorFault::OutOfRange { high } => {
                let beyond = OVERDRIVE_SHARE * (range.1 - range.0);
                if high { range.1 + beyond } else { range.0 - beyond }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_times_are_those_of_the_class() {
        // Time to 90 % of a step, s: A about 1 min, B0 about 10 min, C0 about 20 min.
        for (class, expected) in [(Class::A, 60.0), (Class::B0, 600.0), (Class::C0, 1200.0), (Class::Fast(2.0), 4.6)] {
            let mut instrument = Instrument::new(1, "step", class, 0.0, (0.0, 10.0));
            instrument.see(0.0, 0.1);
            let steps = (1..20_000).find(|_| {
                instrument.see(1.0, 0.1);
                instrument.value() >= 0.9
            });
            let took = f64::from(steps.unwrap()) * 0.1;
            assert!((took / expected - 1.0).abs() < 0.05, "{class:?}: {took} s");
        }
    }

    #[test]
    fn noise_range_hold_and_freeze() {
        let mut instrument = Instrument::new(1, "noise", Class::Direct, 0.5, (0.0, 10.0));
        let mut shown = Vec::new();
        for _ in 0..20_000 {
            instrument.see(5.0, 1.0);
            shown.push(instrument.value());
        }
        let mean = shown.iter().sum::<f64>() / shown.len() as f64;
        let sigma = (shown.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / shown.len() as f64).sqrt();
        assert!((mean - 5.0).abs() < 0.02 && (sigma - 0.5).abs() < 0.02, "{mean} {sigma}");
        instrument.see(99.0, 1.0);
        assert_eq!(instrument.value(), 10.0);
        instrument.freeze(true);
        instrument.see(1.0, 1.0);
        assert_eq!(instrument.value(), 10.0);

        let mut batch = Instrument::new(1, "batch", Class::B1, 0.1, (0.0, 10.0));
        batch.see(5.0, 1.0);
        let first = batch.value();
        let changed = (1..400).filter(|_| {
            let before = batch.value();
            batch.see(5.0, 1.0);
            batch.value() != before
        });
        assert_eq!(changed.count(), 1, "one new value in 400 s after {first}");
    }

    /// What an instrument of range 0 to 10 shows of 4.0 after `seconds` under a fault, and after its repair.
    fn under(fault: SensorFault, seconds: usize) -> (Vec<f64>, f64) {
        let mut instrument = Instrument::new(1, "fault", Class::Direct, 0.0, (0.0, 10.0));
        instrument.see(4.0, 1.0);
        instrument.break_down(1, fault, 7);
        let shown = (0..seconds)
            .map(|_| {
                instrument.see(4.0, 1.0);
                instrument.value()
            })
            .collect();
        assert!(instrument.broken());
        instrument.repair(1);
        assert!(!instrument.broken());
        (shown, instrument.value())
    }

    #[test]
    fn every_fault_acts_and_ends() {
        let cases: [(SensorFault, f64); 8] = [
            (SensorFault::Stuck { at: Some(0.5) }, 0.5),
            (SensorFault::Stuck { at: None }, 4.0),
            (SensorFault::Drift { per_h: 1.0 }, 5.0),
            (SensorFault::Bias { by: -1.5 }, 2.5),
            (SensorFault::Bias { by: 20.0 }, 10.0),
            (SensorFault::Gain { factor: 0.5 }, 2.0),
            (SensorFault::OutOfRange { high: true }, 11.0),
            (SensorFault::OutOfRange { high: false }, -1.0),
        ];
        for (fault, expected) in cases {
            let (shown, after) = under(fault, 3600);
            assert!((shown[3599] - expected).abs() < 1e-9, "{fault:?}: {}", shown[3599]);
            assert_eq!(after, 4.0, "{fault:?}");
        }
        let (noisy, after) = under(SensorFault::Noise { sigma: 0.5 }, 4000);
        let sigma = (noisy.iter().map(|x| (x - 4.0).powi(2)).sum::<f64>() / 4000.0).sqrt();
        assert!((sigma - 0.5).abs() < 0.03, "{sigma}");
        assert_eq!(after, 4.0);
        let (spiky, _) = under(SensorFault::Spike { by: 3.0, every_s: 100.0 }, 4000);
        let up = spiky.iter().filter(|x| **x == 7.0).count();
        assert!((60..200).contains(&up) && spiky.iter().all(|x| *x == 7.0 || *x == 4.0), "{up} seconds of spikes");
    }

    #[test]
    fn a_stuck_instrument_does_not_follow_and_faults_lie_over_each_other() {
        let mut instrument = Instrument::new(1, "stuck", Class::Direct, 0.0, (0.0, 10.0));
        instrument.see(4.0, 1.0);
        instrument.break_down(1, SensorFault::Stuck { at: None }, 7);
        instrument.see(9.0, 1.0);
        assert_eq!(instrument.value(), 4.0);
        instrument.break_down(2, SensorFault::Bias { by: 1.0 }, 7);
        assert_eq!(instrument.value(), 5.0);
        instrument.repair(1);
        assert_eq!(instrument.value(), 10.0);
    }
}
