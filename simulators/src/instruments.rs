//! Instruments: what a sensor makes of the truth before a device scales it into a register.
//!
//! Classes as in BSM1: a chain of equal first-order lags, white noise drawn on a time grid and interpolated between its
//! points, sample-and-hold for analysers that work in batches, and a measuring range that clips.

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
    value: f64,
    frozen: bool,
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
            value,
            frozen: false,
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
        if self.frozen || self.held_for < self.class.hold_s() {
            return;
        }
        self.held_for = 0.0;
        let noise = self.noise.0 + (self.noise.1 - self.noise.0) * self.noise_at;
        self.value = (shown + self.sigma * noise).clamp(self.range.0, self.range.1);
    }

    /// What the instrument shows.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
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
}
