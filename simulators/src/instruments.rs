//! Instruments: what a sensor makes of the truth before a device scales it into a register.
//!
//! Classes as in BSM1: a chain of equal first-order lags, white noise drawn on a time grid and interpolated between its
//! points, sample-and-hold for analysers that work in batches, and a measuring range that clips. Faults lie over that: each
//! turns the healthy value into a wrong one, in the order in which they began.
//!
//! Instruments are also cleaned, calibrated, taken out of service and without power, each by its [`service`]: then they
//! show the last good value, say so by their [`status`], and afterwards come back with the response of their class.

mod flaw;
pub mod service;
pub mod status;

use crate::faults::SensorFault;
use crate::rng::Rng;
use flaw::Flaw;
use service::{Cleaning, Service};
use status::Condition;

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

/// Below this share of a filling the reagents are low.
const REAGENT_LOW_SHARE: f64 = 0.1;
/// A calibration refills what is below this share.
const REAGENT_REFILL_SHARE: f64 = 0.3;

/// One instrument.
#[derive(Debug, Clone)]
pub struct Instrument {
    class: Class,
    sigma: f64,
    range: (f64, f64),
    service: Option<Service>,
    lags: Option<Vec<f64>>,
    /// Share of the way that a lag goes in one step, and the step it holds for, s: the same step comes again and again.
    share: (f64, f64),
    noise: (f64, f64),
    noise_at: f64,
    held_for: f64,
    healthy: f64,
    value: f64,
    samples: u64,
    /// It is time to clean, to calibrate.
    due: (bool, bool),
    powered: bool,
    warm_up_left_s: f64,
    reagent: f64,
    /// What people ask of it: fault number and order.
    orders: Vec<(u64, SensorFault)>,
    flaws: Vec<Flaw>,
    rng: Rng,
}

impl Instrument {
    /// The instrument of a tag, with noise of standard deviation `sigma`, that shows values within `range`.
    #[must_use]
    pub fn new(seed: u64, tag: &str, class: Class, sigma: f64, range: (f64, f64)) -> Instrument {
        let mut rng = Rng::new(seed, tag);
        let noise = (rng.gauss(), rng.gauss());
        let value = range.0;
        Instrument {
            class,
            sigma,
            range,
            service: service::of(tag),
            lags: None,
            share: (0.0, 0.0),
            noise,
            noise_at: 0.0,
            held_for: f64::MAX,
            healthy: value,
            value,
            samples: 0,
            due: (false, false),
            powered: true,
            warm_up_left_s: 0.0,
            reagent: 0.4 + 0.6 * Rng::new(seed, &format!("reagents {tag}")).uniform(),
            orders: Vec::new(),
            flaws: Vec::new(),
            rng,
        }
    }

    /// Looks at the plant's clock and mains before it sees: what its service asks for now, [`service::week_s`], and whether
    /// it has power. Instruments without a service live on the battery of their device.
    pub fn attend(&mut self, week_s: f64, mains: bool) {
        let Some(service) = self.service else { return };
        let calibrating = self.condition() == Condition::Calibrating;
        self.due = (
            service.cleaning.is_some_and(|window| window.holds(week_s)),
            service.calibration.is_some_and(|window| window.holds(week_s)),
        );
        self.powered = mains;
        if !mains {
            self.warm_up_left_s = service.warm_up_s;
        }
        self.end_calibration(calibrating);
    }

    /// Loses its power for a moment, and warms up.
    pub fn power_cycle(&mut self) {
        self.warm_up_left_s = self.service.map_or(0.0, |service| service.warm_up_s);
    }

    /// What it is doing now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let ordered = |order: SensorFault| self.orders.iter().any(|(_, given)| *given == order);
        let seen = self.service.is_some_and(|service| matches!(service.cleaning_shows, Cleaning::Seen(_)));
        if !self.powered {
            Condition::Unpowered
        } else if self.warm_up_left_s > 0.0 {
            Condition::WarmUp
        } else if ordered(SensorFault::Maintenance) {
            Condition::Maintenance
        } else if self.due.1 || ordered(SensorFault::Calibrate) {
            Condition::Calibrating
        } else if self.due.0 {
            if seen { Condition::Disturbed } else { Condition::Cleaning }
        } else if self.flaws.iter().any(Flaw::fails) {
            Condition::Failed
        } else {
            Condition::Measuring
        }
    }

    /// The status word, bits of [`status`].
    #[must_use]
    pub fn status(&self) -> u16 {
        let low = self.service.is_some_and(|service| service.reagent_s.is_some())
            && (self.reagent < REAGENT_LOW_SHARE
                || self.orders.iter().any(|(_, order)| *order == SensorFault::ReagentLow));
        let toggle = self.class.hold_s() > 0.0 && self.samples % 2 == 1;
        self.condition().bits() | if low { status::REAGENT_LOW } else { 0 } | if toggle { status::NEW_VALUE } else { 0 }
    }

    /// Number of samples taken so far: it tells a new value from one that is held.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Sees the truth for `dt` seconds. The first sight fills all lags.
    pub fn see(&mut self, truth: f64, dt: f64) {
        // The step that ends a warm-up measures: the first word that says so comes with a value of now.
        self.warm_up_left_s = (self.warm_up_left_s - if self.powered { dt } else { 0.0 }).max(0.0);
        let condition = self.condition();
        let first = self.lags.is_none();
        let (count, tau_s) = self.class.lags();
        let disturbance = match (condition, self.service.map(|service| service.cleaning_shows)) {
            (Condition::Disturbed, Some(Cleaning::Seen(share))) => share * (self.range.1 - self.range.0),
            _ => 0.0,
        };
        let measures = matches!(condition, Condition::Measuring | Condition::Disturbed | Condition::Failed);
        let mut shown = truth + disturbance;
        let lags = self.lags.get_or_insert_with(|| vec![truth; count]);
        // What stands in cleaning water or a standard does not see the plant: afterwards it comes back from where it was.
        if measures || condition == Condition::WarmUp {
            if self.share.1 != dt {
                self.share = (1.0 - (-dt / tau_s).exp(), dt);
            }
            for lag in lags {
                *lag += (shown - *lag) * self.share.0;
                shown = *lag;
            }
        }
        self.noise_at += dt / self.class.grid_s();
        while self.noise_at >= 1.0 {
            self.noise_at -= 1.0;
            self.noise = (self.noise.1, self.rng.gauss());
        }
        self.held_for += dt;
        let sample = first || measures && self.held_for >= self.class.hold_s();
        if sample {
            self.held_for = 0.0;
            self.samples += 1;
            let noise = self.noise.0 + (self.noise.1 - self.noise.0) * self.noise_at;
            self.healthy = (shown + self.sigma * noise).clamp(self.range.0, self.range.1);
        }
        if let Some(reagent_s) = self.service.and_then(|service| service.reagent_s)
            && measures
        {
            self.reagent = (self.reagent - dt / reagent_s).max(0.0);
        }
        self.flaws.iter_mut().for_each(|flaw| flaw.advance(dt, sample));
        self.show();
    }

    /// Begins a fault; `seed` gives it its own randomness.
    pub fn break_down(&mut self, id: u64, fault: SensorFault, seed: u64) {
        if matches!(fault, SensorFault::Maintenance | SensorFault::Calibrate | SensorFault::ReagentLow) {
            self.orders.push((id, fault));
            return;
        }
        // What is stuck without a value is stuck at what it shows now.
        let fault = match fault {
            SensorFault::Stuck { at: None } => SensorFault::Stuck { at: Some(self.value) },
            other => other,
        };
        self.flaws.push(Flaw::new(id, fault, seed));
        self.show();
    }

    /// Ends the fault of that number.
    pub fn repair(&mut self, id: u64) {
        let calibrating = self.condition() == Condition::Calibrating;
        self.orders.retain(|(order, _)| *order != id);
        self.flaws.retain(|flaw| flaw.id != id);
        self.end_calibration(calibrating);
        self.show();
    }

    /// Does what a calibration that has just ended leaves behind.
    fn end_calibration(&mut self, was_running: bool) {
        // One that a power cut or a person breaks off has done nothing.
        let broken_off = matches!(
            self.condition(),
            Condition::Calibrating | Condition::Maintenance | Condition::WarmUp | Condition::Unpowered
        );
        if was_running && !broken_off {
            self.flaws.iter_mut().for_each(Flaw::calibrated);
            if self.reagent < REAGENT_REFILL_SHARE {
                self.reagent = 1.0;
            }
        }
    }

    fn show(&mut self) {
        self.value = self.flaws.iter().fold(self.healthy, |value, flaw| flaw.apply(value, self.range));
    }

    /// Some fault or order is active.
    #[must_use]
    pub fn broken(&self) -> bool {
        !self.flaws.is_empty() || !self.orders.is_empty()
    }

    /// What the instrument shows.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
#[path = "instruments/tests.rs"]
mod tests;
