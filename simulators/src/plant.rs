//! The plant: all process models on one clock, with typed handles and the true values of everything measured.

use crate::clock::{DAY_S, PlantClock};
use crate::models::air::{AirCommands, AirSystem};
use crate::models::asm1::{self, SALK, SI, SND, SNH, SNO, SO, SS};
use crate::models::heat::{HeatCommands, HeatPlant, SourceWater};
use crate::models::influent::{FLOW_MEAN_M3_D, Inflow, Influent};
use crate::models::meters::{EnergyRegister, Meter, reactive};
use crate::models::pv::Pv;
use crate::models::tertiary::{CARBON_COD_G_L, DoseCommands, Tertiary, TertiaryIn};
use crate::models::weather::{Conditions, Sky};
use crate::models::wet::Weather;
use crate::models::works::{Inputs, Works};
use crate::rng::{Rng, Wander};

/// Longest single step of the models, s: the header and the valves move within seconds.
pub const STEP_MAX_S: f64 = 1.0;
/// Flows follow their commands with this time constant, s.
const FLOW_TAU_S: f64 = 12.0;
/// The effluent follows the influent through the levels of the later stages, s.
const EFFLUENT_TAU_S: f64 = 300.0;
/// Dissolved oxygen the plant is warmed up at, g/m3.
const WARM_UP_DO: f64 = 1.5;
/// Doses the plant is warmed up with at mean flow, L/h; they follow the flow.
const PAC_MEAN_L_H: f64 = 33.0;
const NACLO_MEAN_L_H: f64 = 11.5;
/// Mean organic load of the influent, g COD/d.
const COD_LOAD_MEAN: f64 = 381.19 * FLOW_MEAN_M3_D;

/// Actuator inputs of the plant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Handles {
    /// Valves and blowers.
    pub air: AirCommands,
    /// Internal recycle, m3/h, 0 to 3800.
    pub recycle_m3_h: f64,
    /// Return sludge, m3/h, 200 to 1500.
    pub ras_m3_h: f64,
    /// Waste sludge, m3/h, 0 to 77.
    pub was_m3_h: f64,
    /// Dosing pumps.
    pub doses: DoseCommands,
    /// Limit of the PV inverter, % of rated power.
    pub pv_limit_pct: f64,
    /// Heat pump.
    pub heat: HeatCommands,
}

/// What broken machines and the mains do to the plant, whatever the handles say; all clear by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Disturbances {
    /// Zone valves that do not obey: `Some(None)` stands where it is, `Some(Some(pct))` goes to a position of its own.
    pub valve_stuck: [Option<Option<f64>>; 3],
    /// Blowers held tripped.
    pub blower_trip: [bool; 3],
    /// Tripped dosing pumps: PAC, carbon, hypochlorite.
    pub dose_trip: [bool; 3],
    /// Tripped internal recycle pump.
    pub recycle_trip: bool,
    /// Tripped return sludge pump.
    pub ras_trip: bool,
    /// Condition of the mains.
    pub mains: Mains,
}

/// Condition of the mains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mains {
    /// Good.
    #[default]
    Present,
    /// Voltage so low that contactors drop: motors stop and, blowers apart, start again by themselves.
    Dip,
    /// No voltage: every machine stands, the inverter has disconnected; devices live on their batteries.
    Absent,
}

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

/// True values the instruments see. Flows in m3/h, concentrations in mg/L, temperatures in degC, powers in kW.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[allow(missing_docs)] // the names say it, the units stand above
pub struct Measured {
    pub tank_do: [f64; 5],
    pub z5_nh4: f64,
    pub z2_no3: f64,
    pub mlss: f64,
    pub zone_air: [f64; 3],
    pub valve_pct: [f64; 3],
    pub header_kpa: f64,
    pub blower_speed: [f64; 3],
    pub blower_kw: [f64; 3],
    pub blower_running: [bool; 3],
    pub blower_fault: [bool; 3],
    pub water_c: f64,
    pub inf_flow: f64,
    pub inf_nh4: f64,
    pub inf_cod: f64,
    pub recycle_flow: f64,
    pub ras_flow: f64,
    pub was_flow: f64,
    pub po4_in: f64,
    pub po4_out: f64,
    pub tp_out: f64,
    pub chlorine: f64,
    /// PAC, carbon, hypochlorite: L/h.
    pub dose_flow: [f64; 3],
    /// PAC, carbon, hypochlorite: %.
    pub dose_level: [f64; 3],
    pub dose_running: [bool; 3],
    pub eff_flow: f64,
    pub eff_nh4: f64,
    pub eff_cod: f64,
    pub eff_tn: f64,
    pub eff_tss: f64,
    pub eff_ph: f64,
    pub eff_c: f64,
    pub blanket_m: f64,
    pub ras_tss: f64,
    pub dewater_kw: f64,
    pub dewater_running: bool,
    pub outdoor_c: f64,
    pub irradiance: f64,
}

/// Slowly wandering side conditions of the electrical net and the auxiliaries.
#[derive(Debug, Clone)]
struct Surroundings {
    voltage: Wander,
    frequency: Wander,
    aux: Wander,
    dewater: Wander,
}

/// The simulated plant.
#[derive(Debug, Clone)]
pub struct Plant {
    clock: PlantClock,
    /// Actuator inputs; they hold until changed.
    pub handles: Handles,
    /// Faults of machines and mains; they hold until changed.
    pub disturbances: Disturbances,
    works: Works,
    air: AirSystem,
    tertiary: Tertiary,
    pv: Pv,
    heat: HeatPlant,
    meters: [Meter; 6],
    influent: Influent,
    inflow: Inflow,
    sky: Sky,
    weather: Conditions,
    surroundings: Surroundings,
    recycle_m3_h: f64,
    ras_m3_h: f64,
    was_m3_h: f64,
    eff_m3_h: f64,
    measured: Measured,
}

impl Plant {
    /// A plant near its controlled operating point at `start_unix_s`: the biology has lived through the day before at
    /// 1.5 mg/L of oxygen, valves and blowers stand where they give the air that needs.
    #[must_use]
    pub fn new(seed: u64, start_unix_s: i64, weather: Weather) -> Plant {
        let mut rng = Rng::new(seed, "registers");
        let clock = PlantClock::new(start_unix_s - DAY_S as i64);
        let influent = Influent::new(seed, weather, start_unix_s);
        let mut sky = Sky::new(seed);
        let doses = DoseCommands { pac_l_h: PAC_MEAN_L_H, carbon_l_h: 0.0, naclo_l_h: NACLO_MEAN_L_H };
        let inflow = influent.pattern(&clock);
        let weather = sky.step(&clock, 1.0, 0.0);
        let air = AirCommands { valve_pct: [40.0; 3], speed_pct: [60.0; 3], run: [true, true, false] };
        let mut plant = Plant {
            clock,
            handles: Handles {
                air,
                recycle_m3_h: 2.0 * FLOW_MEAN_M3_D / 24.0,
                ras_m3_h: FLOW_MEAN_M3_D / 24.0,
                was_m3_h: 16.0,
                doses,
                pv_limit_pct: 100.0,
                heat: HeatCommands { run: false, capacity_pct: 60.0, supply_c: 50.0 },
            },
            disturbances: Disturbances::default(),
            works: Works::settled(),
            air: AirSystem::new(&air),
            tertiary: Tertiary::new(seed, &doses),
            pv: Pv::new(1_850_000.0 + 50_000.0 * rng.uniform(), weather.outdoor_c),
            heat: HeatPlant::new(47.0, weather.water_c, 2_400_000.0 + 50_000.0 * rng.uniform()),
            meters: [4.1e6, 1.9e6, 0.9e6, 0.7e6, 0.6e6, 1.85e6]
                .map(|kwh| Meter::new(kwh * (1.0 + 0.05 * rng.uniform()), 0.0)),
            influent,
            inflow,
            sky,
            weather,
            surroundings: Surroundings {
                voltage: Wander::new(seed, "voltage", 1.6, 120.0),
                frequency: Wander::new(seed, "frequency", 0.012, 15.0),
                aux: Wander::new(seed, "auxiliaries", 1.5, 600.0),
                dewater: Wander::new(seed, "dewatering", 1.2, 60.0),
            },
            recycle_m3_h: 2.0 * FLOW_MEAN_M3_D / 24.0,
            ras_m3_h: FLOW_MEAN_M3_D / 24.0,
            was_m3_h: 16.0,
            eff_m3_h: FLOW_MEAN_M3_D / 24.0 - 16.0,
            measured: Measured::default(),
        };
        plant.meters[Feeder::Grid as usize].export = EnergyRegister::new(32, 0.01, 310_000.0 * (1.0 + rng.uniform()));
        plant.warm_up();
        plant.clock = PlantClock::new(start_unix_s);
        plant.sense();
        plant
    }

    /// Lives through one day with oxygen held by hand and doses that follow the flow, then sets valves and blowers for the air that took.
    fn warm_up(&mut self) {
        const STEP_S: f64 = 10.0;
        let mut kla = [220.0, 180.0, 110.0];
        for _ in 0..(DAY_S / STEP_S) as usize {
            self.clock.advance(STEP_S);
            self.step_surroundings(STEP_S);
            for (zone, kla) in kla.iter_mut().enumerate() {
                *kla = (*kla + 0.4 * (WARM_UP_DO - self.works.tanks[zone + 2][SO])).clamp(10.0, 360.0);
            }
            self.air.zone_kla = kla;
            let flow = self.inflow.q / FLOW_MEAN_M3_D;
            self.handles.doses =
                DoseCommands { pac_l_h: PAC_MEAN_L_H * flow, carbon_l_h: 0.0, naclo_l_h: NACLO_MEAN_L_H * flow };
            self.step_water(STEP_S);
        }
        self.handles.air = AirSystem::commands_for(kla, self.load());
        self.air = AirSystem::new(&self.handles.air);
    }

    /// Goes on by `dt` seconds, in steps of at most [`STEP_MAX_S`].
    pub fn step(&mut self, dt: f64) {
        let parts = (dt / STEP_MAX_S).ceil().max(1.0);
        for _ in 0..parts as usize {
            self.step_once(dt / parts);
        }
    }

    fn step_once(&mut self, dt: f64) {
        self.clock.advance(dt);
        self.step_surroundings(dt);
        self.step_air(dt);
        self.step_water(dt);
        let source = SourceWater { flow_m3_h: self.eff_m3_h, temp_c: self.weather.water_c };
        let hour = self.clock.hour();
        if self.disturbances.mains == Mains::Absent {
            self.heat.lose_power();
        }
        self.heat.step(dt, &self.handles.heat, &source, self.weather.outdoor_c, hour);
        self.pv.mains = self.disturbances.mains != Mains::Absent;
        self.pv.step(dt, self.weather.irradiance, self.weather.outdoor_c, self.handles.pv_limit_pct);
        self.step_dewatering(dt);
        self.step_meters(dt);
        self.sense();
    }

    fn step_surroundings(&mut self, dt: f64) {
        self.inflow = self.influent.step(&self.clock, dt);
        self.weather = self.sky.step(&self.clock, dt, self.influent.wet());
    }

    fn step_air(&mut self, dt: f64) {
        let mut air = self.handles.air;
        let faults = self.disturbances;
        for i in 0..3 {
            if let Some(stuck) = faults.valve_stuck[i] {
                air.valve_pct[i] = stuck.unwrap_or(self.air.valve_pct[i]);
            }
            if faults.blower_trip[i] {
                self.air.blowers[i].trip();
                // Taking the run command away would reset it.
                air.run[i] = true;
            }
            if faults.mains != Mains::Present {
                self.air.blowers[i].lose_power();
            }
        }
        self.air.step(dt, &air, self.load());
    }

    /// Whether a machine has the voltage to turn.
    fn powered(&self) -> bool {
        self.disturbances.mains == Mains::Present
    }

    /// What reaches the dosing pumps of their commands.
    fn doses(&self) -> DoseCommands {
        let faults = &self.disturbances;
        let command = |l_h: f64, pump: usize| if self.powered() && !faults.dose_trip[pump] { l_h } else { 0.0 };
        let doses = &self.handles.doses;
        DoseCommands {
            pac_l_h: command(doses.pac_l_h, 0),
            carbon_l_h: command(doses.carbon_l_h, 1),
            naclo_l_h: command(doses.naclo_l_h, 2),
        }
    }

    /// Organic load of the influent relative to its mean.
    fn load(&self) -> f64 {
        self.inflow.q * asm1::cod(&self.inflow.mix) / COD_LOAD_MEAN
    }

    fn step_water(&mut self, dt: f64) {
        let share = 1.0 - (-dt / FLOW_TAU_S).exp();
        let toward = |now: &mut f64, command: f64| *now += (command - *now) * share;
        let turning = |m3_h: f64, tripped: bool| if self.powered() && !tripped { m3_h } else { 0.0 };
        let recycle = turning(self.handles.recycle_m3_h.clamp(0.0, 3800.0), self.disturbances.recycle_trip);
        let ras = turning(self.handles.ras_m3_h.clamp(0.0, 1500.0), self.disturbances.ras_trip);
        let was = turning(self.handles.was_m3_h.clamp(0.0, 77.0), false);
        toward(&mut self.recycle_m3_h, recycle);
        toward(&mut self.ras_m3_h, ras);
        toward(&mut self.was_m3_h, was);
        let kla = self.air.zone_kla;
        let inputs = Inputs {
            influent: self.inflow.mix,
            q_in: self.inflow.q,
            q_internal: self.recycle_m3_h * 24.0,
            q_ras: self.ras_m3_h * 24.0,
            q_was: (self.was_m3_h * 24.0).min(self.inflow.q),
            kla: [0.0, 0.0, kla[0], kla[1], kla[2]],
            carbon: [self.tertiary.carbon.flow_l_h * CARBON_COD_G_L * 24.0, 0.0, 0.0, 0.0, 0.0],
            temp_c: self.weather.water_c,
        };
        self.works.step(dt, &inputs);
        let leaving = (inputs.q_in - inputs.q_was) / 24.0;
        self.eff_m3_h += (leaving - self.eff_m3_h) * (1.0 - (-dt / EFFLUENT_TAU_S).exp());
        let stream = TertiaryIn {
            influent_nh4: self.inflow.mix[SNH],
            influent_m3_h: self.inflow.q / 24.0,
            do_mean: self.works.tanks[2..].iter().map(|t| t[SO]).sum::<f64>() / 3.0,
            secondary: self.works.effluent(),
        };
        let doses = self.doses();
        self.tertiary.step(dt, &doses, self.eff_m3_h, &stream);
    }

    /// Dewatering runs on working days from 8 to 16 o'clock.
    fn step_dewatering(&mut self, dt: f64) {
        let wander = self.surroundings.dewater.step(dt);
        let shift = self.powered() && self.clock.weekday() < 5 && (8.0..16.0).contains(&self.clock.hour());
        self.measured.dewater_running = shift;
        self.measured.dewater_kw = if shift { (26.0 + wander).max(5.0) } else { 0.0 };
    }

    /// Pumping energy per cubic metre: lift 0.045, filter lift 0.012, recycle 0.004, return 0.008, waste 0.05 kWh
    /// (the last three as in BSM1).
    fn pumps_kw(&self) -> f64 {
        let dosing = self.measured.dose_running.iter().filter(|running| **running).count() as f64 * 0.3;
        0.045 * self.inflow.q / 24.0
            + 0.012 * self.eff_m3_h
            + 0.004 * self.recycle_m3_h
            + 0.008 * self.ras_m3_h
            + 0.05 * self.was_m3_h
            + dosing
    }

    /// Voltage, V, and frequency, Hz.
    fn mains(&mut self, dt: f64) -> (f64, f64) {
        let voltage = 400.0 + self.surroundings.voltage.step(dt);
        let frequency = 50.0 + self.surroundings.frequency.step(dt);
        match self.disturbances.mains {
            Mains::Present => (voltage, frequency),
            Mains::Dip => (DIP_V, frequency),
            Mains::Absent => (0.0, 0.0),
        }
    }

    fn step_meters(&mut self, dt: f64) {
        let (voltage, frequency) = self.mains(dt);
        let present = self.disturbances.mains != Mains::Absent;
        // Mixers 12 kW, filters and instruments 7 kW, buildings by day.
        let lit = if (7.0..19.0).contains(&self.clock.hour()) { 9.0 } else { 6.0 };
        let aux = 12.0 + 7.0 + lit + self.surroundings.aux.step(dt).max(-5.0) + self.measured.dewater_kw;
        let pumps = if self.powered() { self.pumps_kw() } else { 0.0 };
        let loads = [
            (Feeder::Blowers, self.air.power_kw(), 0.95),
            (Feeder::Pumps, pumps, 0.86),
            (Feeder::HeatPump, self.heat.power_kw, 0.90),
            (Feeder::Aux, aux, 0.88),
        ]
        .map(|(feeder, kw, factor)| (feeder, if present { kw } else { 0.0 }, factor));
        let (mut grid_kw, mut grid_kvar) = (0.0, 0.0);
        for (feeder, kw, factor) in loads {
            let kvar = reactive(kw, factor);
            self.meters[feeder as usize].step(dt, kw, kvar);
            grid_kw += kw;
            grid_kvar += kvar;
        }
        self.meters[Feeder::Pv as usize].step(dt, self.pv.power_kw, 0.0);
        self.meters[Feeder::Grid as usize].step(dt, grid_kw - self.pv.power_kw, grid_kvar);
        for meter in &mut self.meters {
            meter.voltage_v = voltage;
            meter.frequency_hz = frequency;
        }
    }

    fn sense(&mut self) {
        let tanks = &self.works.tanks;
        let secondary = self.works.effluent();
        let particulate_share = self.tertiary.tss / asm1::tss(&secondary).max(1e-6);
        let dissolved_cod = secondary[SI] + secondary[SS];
        let dissolved_n = secondary[SNO] + secondary[SNH] + secondary[SND];
        let dosing = [&self.tertiary.pac, &self.tertiary.carbon, &self.tertiary.naclo];
        let blowers = &self.air.blowers;
        self.measured = Measured {
            tank_do: std::array::from_fn(|k| tanks[k][SO]),
            z5_nh4: tanks[4][SNH],
            z2_no3: tanks[1][SNO],
            mlss: asm1::tss(&tanks[4]),
            zone_air: self.air.zone_flow,
            valve_pct: self.air.valve_pct,
            header_kpa: self.air.header_kpa,
            blower_speed: std::array::from_fn(|i| blowers[i].speed_pct),
            blower_kw: std::array::from_fn(|i| blowers[i].power_kw),
            blower_running: std::array::from_fn(|i| blowers[i].running()),
            blower_fault: std::array::from_fn(|i| blowers[i].tripped()),
            water_c: self.weather.water_c,
            inf_flow: self.inflow.q / 24.0,
            inf_nh4: self.inflow.mix[SNH],
            inf_cod: asm1::cod(&self.inflow.mix),
            recycle_flow: self.recycle_m3_h,
            ras_flow: self.ras_m3_h,
            was_flow: self.was_m3_h,
            po4_in: self.tertiary.po4_in(),
            po4_out: self.tertiary.po4_out(),
            tp_out: self.tertiary.tp_out(),
            chlorine: self.tertiary.chlorine(),
            dose_flow: dosing.map(|d| d.flow_l_h),
            dose_level: dosing.map(|d| d.level_pct),
            dose_running: dosing.map(|d| d.running()),
            eff_flow: self.eff_m3_h,
            eff_nh4: secondary[SNH],
            eff_cod: dissolved_cod + (asm1::cod(&secondary) - dissolved_cod) * particulate_share,
            eff_tn: dissolved_n + (asm1::total_nitrogen(&secondary) - dissolved_n) * particulate_share,
            eff_tss: self.tertiary.tss,
            // Carbonic acid equilibrium: pK 6.4, about 0.95 mmol/L of dissolved carbon dioxide after aeration.
            eff_ph: 6.4 + (secondary[SALK].max(0.05) / 0.95).log10(),
            eff_c: self.weather.water_c,
            blanket_m: self.works.blanket_m(),
            ras_tss: asm1::tss(&self.works.underflow()),
            dewater_kw: self.measured.dewater_kw,
            dewater_running: self.measured.dewater_running,
            outdoor_c: self.weather.outdoor_c,
            irradiance: self.weather.irradiance,
        };
    }

    /// True values.
    #[must_use]
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Another weather over the catchment, from now on: its events are counted from this moment.
    pub fn set_weather(&mut self, weather: Weather) {
        self.influent.set_weather(weather, &self.clock);
    }

    /// The plant clock.
    #[must_use]
    pub fn clock(&self) -> &PlantClock {
        &self.clock
    }

    /// The biological works.
    #[must_use]
    pub fn works(&self) -> &Works {
        &self.works
    }

    /// The PV plant.
    #[must_use]
    pub fn pv(&self) -> &Pv {
        &self.pv
    }

    /// The heat pump with its tank.
    #[must_use]
    pub fn heat(&self) -> &HeatPlant {
        &self.heat
    }

    /// The meter of a feeder.
    #[must_use]
    pub fn meter(&self, feeder: Feeder) -> &Meter {
        &self.meters[feeder as usize]
    }
}

#[cfg(test)]
#[path = "plant_tests.rs"]
mod tests;
