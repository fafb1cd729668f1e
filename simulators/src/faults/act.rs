//! Faults at work in the simulation: where they begin, end and are listed.

use super::{ActiveFault, Fault, FaultsFull, Injection, LinkFault, LinkState, MachineFault, targets};
use crate::config::DEVICES;
use crate::field::Field;
use crate::simulation::Simulation;

/// The inverter: its electronics are those of the plant's own PV model.
const PV_DEVICE: &str = "pv_inverter";

/// A measured quantity now.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// Its tag.
    pub tag: String,
    /// The truth.
    pub truth: f64,
    /// What its instrument shows; none for a state the device knows by itself.
    pub shown: Option<f64>,
}

impl Simulation {
    /// Begins a fault and returns its number.
    ///
    /// # Errors
    /// [`FaultsFull`] when [`FAULTS_MAX`](super::FAULTS_MAX) faults are active.
    pub fn inject(&mut self, injection: Injection) -> Result<u64, FaultsFull> {
        let fault = injection.fault.clone();
        let id = self.faults.enter(injection)?;
        match fault {
            Fault::Link { device, fault: LinkFault::Restart { .. }, .. } => {
                if let Some(index) = DEVICES.iter().position(|(name, _)| *name == device) {
                    self.stations().1[index].restart();
                    if device == PV_DEVICE {
                        self.stations().0.restart_inverter();
                    }
                }
            }
            Fault::Link { device, fault: LinkFault::WordSwap, .. } => self.turn_words(device),
            Fault::Link { .. } => {}
            Fault::Sensor { tag, fault } => {
                let seed = self.seed();
                let (_, stations) = self.stations();
                for instrument in stations.into_iter().filter_map(|station| station.instrument(tag)) {
                    instrument.break_down(id, fault, seed);
                }
            }
            Fault::Machine(MachineFault::MeterReset(feeder)) => self.stations().0.reset_meter(feeder),
            Fault::Machine(MachineFault::MeterPreset { feeder, kwh }) => self.stations().0.preset_meter(feeder, kwh),
            Fault::Machine(_) => self.disturb(),
        }
        Ok(id)
    }

    /// Ends a fault; false when none has that number.
    pub fn clear(&mut self, id: u64) -> bool {
        let Some(ended) = self.faults.take(id) else { return false };
        match ended.fault {
            Fault::Link { device, fault: LinkFault::WordSwap, .. } => self.turn_words(device),
            Fault::Link { .. } => {}
            Fault::Sensor { tag, .. } => {
                let (_, stations) = self.stations();
                for instrument in stations.into_iter().filter_map(|station| station.instrument(tag)) {
                    instrument.repair(id);
                }
            }
            Fault::Machine(_) => self.disturb(),
        }
        true
    }

    /// Active faults in the order in which they began.
    #[must_use]
    pub fn faults(&self) -> &[ActiveFault] {
        self.faults.active()
    }

    /// State of the link to a device.
    #[must_use]
    pub fn link(&self, device: &str) -> LinkState {
        self.faults.link(device)
    }

    /// Lets time pass for the faults that end by themselves.
    pub(crate) fn age_faults(&mut self, dt: f64, real_dt: f64) {
        for id in self.faults.advance(dt, real_dt) {
            self.clear(id);
        }
    }

    /// Lays the 32-bit values of a device in the order its faults say.
    fn turn_words(&mut self, device: &str) {
        let link = self.link(device);
        for unit in targets::units(device) {
            if let Some(image) = self.image(device, unit) {
                image.lock().turn_words(link.words_turned(unit));
            }
        }
        self.publish();
    }

    fn disturb(&mut self) {
        self.stations().0.disturbances = self.faults.disturbances();
    }

    /// All measured quantities and the states of machines (1 for running, tripped or obeying).
    #[must_use]
    pub fn quantities(&self) -> Vec<Quantity> {
        let mut all = Vec::new();
        let plant = self.plant();
        for station in self.stations_ref() {
            station.quantities(plant, &mut |tag, truth, shown| {
                all.push(Quantity { tag: tag.to_owned(), truth, shown: Some(shown) });
            });
        }
        let m = plant.measured();
        let mut state = |tag: String, on: bool| {
            all.push(Quantity { tag, truth: f64::from(u8::from(on)), shown: None });
        };
        for i in 0..3 {
            state(format!("aer/b{}/running", i + 1), m.blower_running[i]);
            state(format!("aer/b{}/fault", i + 1), m.blower_fault[i]);
        }
        state("aer/remote".to_owned(), self.remote());
        for (i, pump) in ["pac", "carbon", "naclo"].into_iter().enumerate() {
            state(format!("dos/{pump}/running"), m.dose_running[i]);
        }
        state("slu/dewater/running".to_owned(), m.dewater_running);
        all
    }
}

#[cfg(test)]
#[path = "act_tests.rs"]
mod tests;
