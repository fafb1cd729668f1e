//! Electricity of the plant: machines, feeders, meters.

use super::{Mains, Plant};
use crate::models::machines::{self, Machines};
use crate::models::meters::{Meter, reactive};
use crate::models::tariff;
use crate::models::tertiary::WASH_M3_H;

/// Voltage during a dip, V line to line.
const DIP_V: f64 = 220.0;

/// Feeders with a meter, in the order of [`Plant::meters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feeder {
    /// Point of connection to the grid.
    Grid = 0,
    /// Blowers.
    Blowers = 1,
    /// Pumps.
    Pumps = 2,
    /// Heat pump.
    HeatPump = 3,
    /// Mixers, dewatering, buildings.
    Aux = 4,
    /// PV, generation counted as import of the meter.
    Pv = 5,
}

/// All feeders.
pub const FEEDERS: [Feeder; 6] =
    [Feeder::Grid, Feeder::Blowers, Feeder::Pumps, Feeder::HeatPump, Feeder::Aux, Feeder::Pv];

impl Plant {
    /// What every machine but the blowers takes now, kW; they follow with every step of the air.
    pub(super) fn step_machines(&mut self, dt: f64) {
        let wander = self.surroundings.aux.step(dt);
        let dewater = self.surroundings.dewater.step(dt);
        let lit = (7.0..19.0).contains(&self.clock.hour());
        let dose = |running: bool| if running { machines::DOSING_KW } else { 0.0 };
        let wash = if self.tertiary.washing() { WASH_M3_H } else { 0.0 };
        let dewatering = if self.sludge.running() { (self.sludge.power_kw() + dewater).max(5.0) } else { 0.0 };
        // The two PAC pumps stand on one feeder.
        let pac5 = dose(self.pac5.running());
        let pumps = [&self.tertiary.pac, &self.tertiary.carbon, &self.tertiary.naclo];
        self.measured.dewater_kw = dewatering;
        self.machines = Machines {
            blowers: self.machines.blowers,
            lift: machines::LIFT.kw(self.inflow.q / 24.0),
            filter_lift: machines::FILTER_LIFT.kw(self.tertiary.flow_m3_h()),
            recycle: machines::RECYCLE.kw(self.recycle_m3_h),
            ras: machines::RAS.kw(self.ras_m3_h),
            was: machines::WAS.kw(self.was_m3_h),
            wash: machines::WASH.kw(wash),
            dosing: [dose(pumps[0].running()) + pac5, dose(pumps[1].running()), dose(pumps[2].running())],
            compressor: self.heat.compressor_kw,
            heat_auxiliaries: self.heat.power_kw - self.heat.compressor_kw,
            mixers: machines::MIXERS_KW,
            flocculation: machines::FLOCCULATION_KW,
            filters: machines::FILTERS_KW,
            thickener: machines::THICKENER_KW,
            dewatering,
            buildings: if lit { machines::BUILDINGS_KW.0 } else { machines::BUILDINGS_KW.1 } + wander.max(-5.0),
        };
        match self.disturbances.mains {
            Mains::Present => {}
            // Contactors drop: what has none goes on.
            Mains::Dip => self.machines = self.machines.without_contactors(),
            Mains::Absent => self.machines = Machines::default(),
        }
        self.step_mains(dt);
    }

    fn step_mains(&mut self, dt: f64) {
        let voltage = 400.0 + self.surroundings.voltage.step(dt);
        let frequency = 50.0 + self.surroundings.frequency.step(dt);
        let (voltage_v, frequency_hz) = match self.disturbances.mains {
            Mains::Present => (voltage, frequency),
            Mains::Dip => (DIP_V, frequency),
            Mains::Absent => (0.0, 0.0),
        };
        let tier = tariff::tier_at(&self.clock) as usize;
        for meter in &mut self.meters {
            (meter.voltage_v, meter.frequency_hz, meter.tier) = (voltage_v, frequency_hz, tier);
        }
    }

    pub(super) fn step_meters(&mut self, dt: f64) {
        let present = self.disturbances.mains != Mains::Absent;
        self.machines.blowers = self.air.blowers.map(|blower| if present { blower.power_kw } else { 0.0 });
        let machines = &self.machines;
        let loads = [
            (Feeder::Blowers, machines.blower_feeder(), 0.95),
            (Feeder::Pumps, machines.pump_feeder(), 0.86),
            (Feeder::HeatPump, machines.heat_feeder(), 0.90),
            (Feeder::Aux, machines.auxiliary_feeder(), 0.88),
        ];
        let (mut grid_kw, mut grid_kvar) = (0.0, 0.0);
        for (feeder, kw, factor) in loads {
            let kvar = reactive(kw, factor);
            self.meters[feeder as usize].step(dt, kw, kvar);
            grid_kw += kw;
            grid_kvar += kvar;
        }
        self.meters[Feeder::Pv as usize].step(dt, self.pv.power_kw, 0.0);
        self.meters[Feeder::Grid as usize].step(dt, grid_kw - self.pv.power_kw, grid_kvar);
    }

    /// What every machine takes, kW.
    #[must_use]
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// The meter of a feeder.
    #[must_use]
    pub fn meter(&self, feeder: Feeder) -> &Meter {
        &self.meters[feeder as usize]
    }

    /// The inverter's electronics start again: its energy register shows nothing for a while.
    pub fn restart_inverter(&mut self) {
        self.pv.restart();
    }

    /// The meter of a feeder is replaced: its registers begin at 0.
    pub fn reset_meter(&mut self, feeder: Feeder) {
        self.meters[feeder as usize].reset();
    }

    /// The import register of a feeder shows `kwh` from now on, such as a little less than its rollover; a reading
    /// beyond its width is taken as the register would show it.
    pub fn preset_meter(&mut self, feeder: Feeder, kwh: f64) {
        self.meters[feeder as usize].import.preset(kwh);
    }
}
