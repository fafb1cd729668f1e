//! The plant: all process models on one clock, with typed handles and the true values of everything measured.
//!
//! Three paces: the air side and the meters at the caller's step, flows, machines and weather every [`SLOW_S`], the water
//! with its biology, tertiary stage and sludge line every [`WATER_S`]. The paces count plant time alone, so the same
//! steps are the same plant.

#[path = "plant_ledger.rs"]
mod ledger;
#[path = "plant_measured.rs"]
mod measured;
#[path = "plant_power.rs"]
mod power;

pub use ledger::{Ledger, Residual};
pub use measured::Measured;
pub use power::{FEEDERS, Feeder};

use crate::clock::{DAY_S, PlantClock};
use crate::models::air::{AirCommands, AirSurroundings, AirSystem};
use crate::models::asm1::{self, Params, SNH, SO};
use crate::models::basin::{Basin, Inputs};
use crate::models::dosing::Dosing;
use crate::models::heat::{HeatCommands, HeatPlant, SourceWater};
use crate::models::influent::{FLOW_MEAN_M3_D, Inflow, Influent, PO4_OF_NH4};
use crate::models::machines::Machines;
use crate::models::meters::{EnergyRegister, Meter};
use crate::models::pv::Pv;
use crate::models::sludge::{self, SludgeLine};
use crate::models::tertiary::{CARBON_COD_G_L, DoseCommands, PAC_AL_G_L, Tertiary, pac_for};
use crate::models::water::{self, MEOH_PER_AL, PO4, Stock};
use crate::models::weather::{Conditions, Sky};
use crate::models::wet::Weather;
use crate::rng::{Rng, Wander};

/// Longest single step of the models, s: the header and the valves move within seconds.
pub const STEP_MAX_S: f64 = 1.0;
/// Pace of flows, machines, weather, PV and heat, s.
pub const SLOW_S: f64 = 1.0;
/// Pace of the water, s: half the time constant of the fastest reaction, oxygen uptake near zero oxygen. An oxygen probe
/// answers within a minute.
pub const WATER_S: f64 = 5.0;
/// Sums of steps that fall short of a pace by rounding alone have reached it, s.
const ROUNDING_S: f64 = 1e-6;
/// Flows follow their commands with this time constant, s.
const FLOW_TAU_S: f64 = 12.0;
/// Dissolved oxygen the plant is warmed up at, g/m3.
const WARM_UP_DO: f64 = 1.5;
/// Phosphate the plant is warmed up at, g/m3, in place of the coagulant's control.
const WARM_UP_PO4: f64 = 0.26;
/// Doses at mean flow, L/h; hypochlorite follows the flow through the warm-up.
const PAC_MEAN_L_H: f64 = 33.0;
const NACLO_MEAN_L_H: f64 = 11.5;
/// Mean organic load of the influent, g COD/d.
const COD_LOAD_MEAN: f64 = 381.19 * FLOW_MEAN_M3_D;
/// Most metal that can be dosed into tank 5, kg Al/d.
const METAL_MAX_KG_D: f64 = 1000.0;
/// Aluminium that the pump into tank 5 gives in a day at 1 L/h, kg.
pub const PAC5_KG_D: f64 = PAC_AL_G_L * 24.0 / 1000.0;
/// Its tank, L.
const PAC5_TANK_L: f64 = 20_000.0;
/// Energy registers of the blowers at the start, kWh.
const BLOWER_KWH: [f64; 3] = [640_210.3, 598_774.9, 655_031.2];

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
    /// Metal into tank 5 for simultaneous precipitation, kg Al/d, 0 to 1000: by a PAC pump with a tank of its own.
    pub metal_kg_d: f64,
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
    /// What the plant is by what it was laid out for.
    pub factors: Factors,
}

/// Properties of the plant and what its pumps give of their commands, by what they were laid out for; all 1 by default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Oxygen transfer in sewage.
    pub alpha: f64,
    /// Growth rates.
    pub growth: f64,
    /// Metal that precipitates.
    pub efficacy: f64,
    /// Dissolved phosphate of the sewage.
    pub phosphate: f64,
    /// Available chlorine in a litre of hypochlorite.
    pub hypochlorite: f64,
    /// PAC, carbon, hypochlorite, internal recycle, return sludge: as in [`Factors::PUMPS`].
    pub pumps: [f64; 5],
}

impl Default for Factors {
    fn default() -> Factors {
        Factors { alpha: 1.0, growth: 1.0, efficacy: 1.0, phosphate: 1.0, hypochlorite: 1.0, pumps: [1.0; 5] }
    }
}

impl Factors {
    /// Names of the pumps that can be weak.
    pub const PUMPS: [&'static str; 5] = ["pac", "carbon", "naclo", "internal", "ras"];

    /// Lets a pump give this share of its command; nothing where no pump is called so.
    pub fn weaken(&mut self, pump: &str, factor: f64) {
        if let Some(place) = Self::PUMPS.iter().position(|name| *name == pump) {
            self.pumps[place] *= factor;
        }
    }
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
    basin: Basin,
    air: AirSystem,
    tertiary: Tertiary,
    /// PAC pump into tank 5.
    pac5: Dosing,
    sludge: SludgeLine,
    /// Reject water on its way to the inlet.
    returning: Stock,
    pv: Pv,
    heat: HeatPlant,
    machines: Machines,
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
    slow_s: f64,
    water_s: f64,
    mains_before: Mains,
    ledger: Ledger,
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
        let air = AirCommands { valve_pct: [45.0; 3], speed_pct: [90.0; 3], run: [true, true, false] };
        let basin = Basin::settled();
        let mut plant = Plant {
            clock,
            handles: Handles {
                air,
                recycle_m3_h: 2.0 * FLOW_MEAN_M3_D / 24.0,
                ras_m3_h: FLOW_MEAN_M3_D / 24.0,
                was_m3_h: 16.0,
                doses,
                metal_kg_d: 0.0,
                pv_limit_pct: 100.0,
                heat: HeatCommands { run: false, capacity_pct: 60.0, supply_c: 50.0 },
            },
            disturbances: Disturbances::default(),
            basin,
            air: AirSystem::new(&air, &AirSurroundings::MILD, BLOWER_KWH),
            tertiary: Tertiary::new(seed, &doses, basin.effluent()),
            pac5: Dosing::new(0.0, METAL_MAX_KG_D / PAC5_KG_D, PAC5_TANK_L, 76.0),
            sludge: SludgeLine::new(basin.underflow()),
            returning: Stock::EMPTY,
            pv: Pv::new(1_850_000.0 + 50_000.0 * rng.uniform(), weather.outdoor_c),
            heat: HeatPlant::new(47.0, weather.water_c, 2_400_000.0 + 50_000.0 * rng.uniform()),
            machines: Machines::default(),
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
            slow_s: 0.0,
            water_s: 0.0,
            mains_before: Mains::Present,
            ledger: Ledger::EMPTY,
            measured: Measured::default(),
        };
        plant.meters[Feeder::Grid as usize].export = EnergyRegister::new(32, 0.01, 310_000.0 * (1.0 + rng.uniform()));
        plant.warm_up();
        plant.clock = PlantClock::new(start_unix_s);
        plant.step_machines(0.0);
        plant.step_meters(0.0);
        plant.sense_air();
        plant.sense_slow();
        plant.sense_water();
        plant
    }

    /// Lives through one day with oxygen held by hand and doses that follow the flow, then sets valves and blowers for
    /// the air that took.
    fn warm_up(&mut self) {
        const STEP_S: f64 = 10.0;
        let mut kla = [220.0, 180.0, 110.0];
        for _ in 0..(DAY_S / STEP_S) as usize {
            self.clock.advance(STEP_S);
            self.step_surroundings(STEP_S);
            for (zone, kla) in kla.iter_mut().enumerate() {
                *kla = (*kla + 0.4 * (WARM_UP_DO - self.basin.tanks[zone + 2][SO])).clamp(10.0, 360.0);
            }
            self.air.zone_kla = kla;
            let flow = self.inflow.q / FLOW_MEAN_M3_D;
            let pac_l_h = pac_for(self.tertiary.flow_m3_h(), self.tertiary.inlet()[PO4], WARM_UP_PO4);
            self.handles.doses = DoseCommands { pac_l_h, carbon_l_h: 0.0, naclo_l_h: NACLO_MEAN_L_H * flow };
            self.step_flows(STEP_S);
            self.step_water(STEP_S);
        }
        let around = self.air_surroundings();
        self.handles.air = AirSystem::commands_for(kla, &around);
        self.air = AirSystem::new(&self.handles.air, &around, BLOWER_KWH);
        self.ledger = Ledger::EMPTY;
    }

    /// Goes on by `dt` seconds, in steps of at most [`STEP_MAX_S`]. A step that is no positive number does nothing.
    pub fn step(&mut self, dt: f64) {
        if !(dt > 0.0 && dt.is_finite()) {
            return;
        }
        let parts = (dt / STEP_MAX_S).ceil().max(1.0);
        for _ in 0..parts as usize {
            self.step_once(dt / parts);
        }
    }

    fn step_once(&mut self, dt: f64) {
        self.clock.advance(dt);
        self.slow_s += dt;
        self.water_s += dt;
        self.step_air(dt);
        // The mains act on every machine at once.
        let switched = self.disturbances.mains != self.mains_before;
        self.mains_before = self.disturbances.mains;
        if switched || self.slow_s >= SLOW_S - ROUNDING_S {
            let slow = std::mem::take(&mut self.slow_s);
            self.step_slow(slow);
        }
        if self.water_s >= WATER_S - ROUNDING_S {
            let water = std::mem::take(&mut self.water_s);
            self.step_water(water);
            self.sense_water();
        }
        self.step_meters(dt);
        self.sense_air();
    }

    fn step_slow(&mut self, dt: f64) {
        self.step_surroundings(dt);
        self.step_flows(dt);
        let source = SourceWater { flow_m3_h: self.eff_m3_h, temp_c: self.weather.water_c };
        let hour = self.clock.hour();
        if self.disturbances.mains == Mains::Absent {
            self.heat.lose_power();
        }
        self.heat.step(dt, &self.handles.heat, &source, self.weather.outdoor_c, hour);
        self.pv.mains = self.disturbances.mains != Mains::Absent;
        self.pv.step(dt, self.weather.irradiance, self.weather.outdoor_c, self.handles.pv_limit_pct);
        self.step_machines(dt);
        self.sense_slow();
    }

    fn step_surroundings(&mut self, dt: f64) {
        self.inflow = self.influent.step(&self.clock, dt);
        self.weather = self.sky.step(&self.clock, dt, self.influent.wet());
    }

    fn air_surroundings(&self) -> AirSurroundings {
        // Organic load of the influent relative to its mean.
        let load = self.inflow.q * asm1::cod(&self.inflow.mix) / COD_LOAD_MEAN;
        AirSurroundings { load, intake_c: self.weather.outdoor_c }
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
        let around = self.air_surroundings();
        self.air.alpha_factor = faults.factors.alpha;
        self.air.step(dt, &air, &around);
    }

    /// Whether a machine has the voltage to turn.
    fn powered(&self) -> bool {
        self.disturbances.mains == Mains::Present
    }

    /// What reaches the dosing pumps of their commands.
    fn doses(&self) -> DoseCommands {
        let faults = &self.disturbances;
        let weak = &faults.factors.pumps;
        let command =
            |l_h: f64, pump: usize| if self.powered() && !faults.dose_trip[pump] { l_h * weak[pump] } else { 0.0 };
        let doses = &self.handles.doses;
        DoseCommands {
            pac_l_h: command(doses.pac_l_h, 0),
            carbon_l_h: command(doses.carbon_l_h, 1),
            naclo_l_h: command(doses.naclo_l_h, 2),
        }
    }

    /// Pumps follow their commands.
    fn step_flows(&mut self, dt: f64) {
        let share = 1.0 - (-dt / FLOW_TAU_S).exp();
        let toward = |now: &mut f64, command: f64| *now += (command - *now) * share;
        let turning = |m3_h: f64, tripped: bool| if self.powered() && !tripped { m3_h } else { 0.0 };
        let weak = self.disturbances.factors.pumps;
        let recycle = turning(self.handles.recycle_m3_h.clamp(0.0, 3800.0) * weak[3], self.disturbances.recycle_trip);
        let ras = turning(self.handles.ras_m3_h.clamp(0.0, 1500.0) * weak[4], self.disturbances.ras_trip);
        let was = turning(self.handles.was_m3_h.clamp(0.0, 77.0), false);
        toward(&mut self.recycle_m3_h, recycle);
        toward(&mut self.ras_m3_h, ras);
        toward(&mut self.was_m3_h, was);
        let doses = self.doses();
        self.tertiary.step_pumps(dt, &doses);
        let metal = if self.powered() { self.handles.metal_kg_d.clamp(0.0, METAL_MAX_KG_D) } else { 0.0 };
        self.pac5.step(dt, metal / PAC5_KG_D);
    }

    /// Reactors and settler, tertiary stage, sludge line: every amount is handed on as it is.
    fn step_water(&mut self, dt: f64) {
        let days = dt / DAY_S;
        let factors = self.disturbances.factors;
        let po4 = PO4_OF_NH4 * factors.phosphate * self.inflow.mix[SNH];
        let raw = Stock::of(self.inflow.q * days, &water::water(&self.inflow.mix, po4));
        let mut arriving = raw;
        let reject = std::mem::replace(&mut self.returning, Stock::EMPTY);
        arriving.put(&reject);
        let q_in = arriving.m3 / days;
        let kla = self.air.zone_kla;
        let inputs = Inputs {
            influent: arriving.concentration(),
            q_in,
            q_internal: self.recycle_m3_h * 24.0,
            q_ras: self.ras_m3_h * 24.0,
            q_was: (self.was_m3_h * 24.0).min(q_in),
            kla: [0.0, 0.0, kla[0], kla[1], kla[2]],
            carbon: self.tertiary.carbon.flow_l_h * CARBON_COD_G_L * 24.0,
            metal: self.pac5.flow_l_h * PAC5_KG_D * 1000.0 * MEOH_PER_AL,
            temp_c: self.weather.water_c,
        };
        self.tertiary.efficacy_factor = factors.efficacy;
        self.tertiary.hypochlorite_factor = factors.hypochlorite;
        let passed = self.basin.step_with(dt, &inputs, &Params::at(inputs.temp_c).grown(factors.growth));
        let treated = self.tertiary.step(dt, &passed.effluent, self.weather.water_c);
        let mut sludge = passed.waste;
        sludge.put(&treated.sludge);
        let on_duty = sludge::on_duty(self.clock.weekday(), self.clock.hour());
        let line = self.sludge.step(dt, sludge, on_duty, self.powered());
        self.returning = line.reject;
        self.eff_m3_h = treated.effluent.m3 / days / 24.0;

        let ledger = &mut self.ledger;
        ledger.influent.put(&raw);
        ledger.effluent.put(&treated.effluent);
        ledger.cake.put(&line.cake);
        ledger.waste.put(&passed.waste);
        ledger.tertiary_sludge.put(&treated.sludge);
        ledger.reject.put(&reject);
        ledger.carbon += inputs.carbon * days;
        ledger.metal += water::hydroxide_mol(inputs.metal * days + treated.metal);
        ledger.nitrogen_gas += passed.nitrogen_gas;
        ledger.oxygen += passed.oxygen;
        ledger.solids_formed += passed.solids_formed + treated.solids_formed + line.solids_formed;
    }

    /// The weather changes now: the first event of the new one begins within minutes, what falls runs dry.
    pub fn set_weather(&mut self, weather: Weather) {
        self.influent.set_weather(weather, &self.clock);
    }

    /// Everything the plant holds of water and what is in it.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let mut all = self.basin.stock();
        all.put(&self.tertiary.stock());
        all.put(&self.sludge.stock());
        all.put(&self.returning);
        all
    }

    /// What passed the boundaries since the start.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// True values.
    #[must_use]
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// The plant clock.
    #[must_use]
    pub fn clock(&self) -> &PlantClock {
        &self.clock
    }

    /// The influent.
    #[must_use]
    pub fn inflow(&self) -> &Inflow {
        &self.inflow
    }

    /// Reactors and settler.
    #[must_use]
    pub fn works(&self) -> &Basin {
        &self.basin
    }

    /// The air side.
    #[must_use]
    pub fn air(&self) -> &AirSystem {
        &self.air
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
}

#[cfg(test)]
#[path = "plant_tests.rs"]
mod tests;
