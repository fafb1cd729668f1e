//! The list of active faults with their remaining times.

use super::{ActuatorFault, Fault, Injection, LinkFault, LinkState, MachineFault, PlantPart, Pump};
use crate::plant::{Disturbances, Mains};

/// Most faults active at a time: more than any test needs, and an endless client cannot fill the memory.
pub const FAULTS_MAX: usize = 64;
/// A time remaining below this is over, s: sums of steps miss a round number by rounding.
const OVER_S: f64 = 1e-6;

/// A fault that is active.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveFault {
    /// Number, counted from 1 in the order of injection.
    pub id: u64,
    /// The fault.
    pub fault: Fault,
    /// Seconds left on its clock; until cleared where absent.
    pub left_s: Option<f64>,
}

/// Too many faults are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{FAULTS_MAX} faults are active, the most there can be; clear one first")]
pub struct FaultsFull;

/// Active faults.
#[derive(Debug, Clone, Default)]
pub struct FaultBook {
    active: Vec<ActiveFault>,
    last_id: u64,
}

impl FaultBook {
    /// Active faults in the order in which they began.
    #[must_use]
    pub fn active(&self) -> &[ActiveFault] {
        &self.active
    }

    /// Enters a fault and returns its number.
    pub(crate) fn enter(&mut self, injection: Injection) -> Result<u64, FaultsFull> {
        if self.active.len() >= FAULTS_MAX {
            return Err(FaultsFull);
        }
        self.last_id += 1;
        let left_s = match &injection.fault {
            Fault::Link { fault: LinkFault::Restart { after_s }, .. } => Some(*after_s),
            _ => injection.for_s,
        };
        self.active.push(ActiveFault { id: self.last_id, fault: injection.fault, left_s });
        Ok(self.last_id)
    }

    /// Takes a fault out.
    pub(crate) fn take(&mut self, id: u64) -> Option<ActiveFault> {
        let at = self.active.iter().position(|fault| fault.id == id)?;
        Some(self.active.remove(at))
    }

    /// Goes on by so many seconds of plant time and of real time; returns the numbers of the faults that are over.
    pub(crate) fn advance(&mut self, dt: f64, real_dt: f64) -> Vec<u64> {
        let mut over = Vec::new();
        for fault in &mut self.active {
            let passed = if fault.fault.in_real_time() { real_dt } else { dt };
            if let Some(left_s) = &mut fault.left_s {
                *left_s -= passed;
                if *left_s <= OVER_S {
                    over.push(fault.id);
                }
            }
        }
        over
    }

    /// State of a device's link.
    pub(crate) fn link(&self, device: &str) -> LinkState {
        LinkState::of(device, self.active.iter().map(|active| &active.fault))
    }

    /// State of machines and mains; of two faults of one valve the later counts.
    pub(crate) fn disturbances(&self) -> Disturbances {
        let mut sum = Disturbances::default();
        for active in &self.active {
            let Fault::Machine(fault) = &active.fault else { continue };
            match fault {
                MachineFault::ValveStuck { zone, at } => sum.valve_stuck[*zone] = Some(*at),
                MachineFault::PumpTrip(Pump::Pac) => sum.dose_trip[0] = true,
                MachineFault::PumpTrip(Pump::Carbon) => sum.dose_trip[1] = true,
                MachineFault::PumpTrip(Pump::Naclo) => sum.dose_trip[2] = true,
                MachineFault::PumpTrip(Pump::Recycle) => sum.recycle_trip = true,
                MachineFault::PumpTrip(Pump::Ras) => sum.ras_trip = true,
                MachineFault::BlowerTrip { blower } => sum.blower_trip[*blower] = true,
                MachineFault::PowerCut => sum.mains = Mains::Absent,
                MachineFault::PowerDip if sum.mains == Mains::Present => sum.mains = Mains::Dip,
                MachineFault::Actuator { actuator, fault: ActuatorFault::Gain { factor } } => {
                    sum.factors.weaken(actuator.0, *factor);
                }
                MachineFault::Plant { part, factor } => match part {
                    PlantPart::Alpha => sum.factors.alpha *= factor,
                    PlantPart::Growth => sum.factors.growth *= factor,
                    PlantPart::Efficacy => sum.factors.efficacy *= factor,
                    PlantPart::Phosphate => sum.factors.phosphate *= factor,
                    PlantPart::Hypochlorite => sum.factors.hypochlorite *= factor,
                },
                // Meters were changed when it happened; the benchmark's own actuators are refused by the works.
                MachineFault::PowerDip
                | MachineFault::MeterReset(_)
                | MachineFault::MeterPreset { .. }
                | MachineFault::Actuator { .. } => {}
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(texts: &[&str]) -> FaultBook {
        let mut book = FaultBook::default();
        for text in texts {
            book.enter(text.parse().unwrap()).unwrap();
        }
        book
    }

    #[test]
    fn each_kind_lasts_by_its_own_clock() {
        let mut book = book(&["mute heat_pump for 10s", "stuck eff/nh4 for 10s", "power-cut", "restart heat_pump 3s"]);
        assert_eq!(book.advance(10.0, 0.1), [2], "plant time");
        assert!(book.take(2).is_some() && book.take(2).is_none());
        assert_eq!(book.advance(0.0, 2.9), [4], "a restart ends by itself");
        assert!(book.link("heat_pump").refused && !book.link("dosing_skid").refused);
        book.take(4);
        assert_eq!(book.advance(1e6, 7.0), [1], "real time");
        assert_eq!(book.active().len(), 2);
        assert_eq!(book.disturbances().mains, Mains::Absent);
    }

    #[test]
    fn the_list_is_bounded_and_numbers_are_not_used_again() {
        let mut book = FaultBook::default();
        let one = || "power-dip".parse::<Injection>().unwrap();
        for id in 1..=FAULTS_MAX as u64 {
            assert_eq!(book.enter(one()), Ok(id));
        }
        assert_eq!(book.enter(one()), Err(FaultsFull));
        book.take(1);
        assert_eq!(book.enter(one()), Ok(FAULTS_MAX as u64 + 1));
    }

    #[test]
    fn faults_of_one_target_add_up() {
        let book = book(&[
            "delay power_meters 100ms",
            "delay power_meters/12 50ms",
            "mute power_meters/13",
            "exception power_meters/14 11",
            "skew sludge_effluent_plc -90s",
            "valve-stuck z4 40",
            "valve-stuck z4",
            "power-cut",
            "power-dip",
        ]);
        let meters = book.link("power_meters");
        assert_eq!(meters.treatment(Some(12)), Treatment { delay_ms: 150.0, ..Treatment::default() });
        assert!(meters.treatment(Some(13)).mute && !meters.treatment(Some(11)).mute);
        assert_eq!(meters.treatment(Some(14)).exception, Some(11));
        assert_eq!(book.link("sludge_effluent_plc").skew_s, -90.0);
        assert_eq!(book.disturbances().valve_stuck, [None, Some(None), None]);
        assert_eq!(book.disturbances().mains, Mains::Absent);
    }

    use super::super::Treatment;
}
