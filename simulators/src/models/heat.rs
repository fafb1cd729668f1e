//! Heat from the treated water: heat pump, storage tank, district heating.
//!
//! Heat in kW, temperatures in degC. Evaporator, condenser loop and tank are stores of water stepped by backward Euler,
//! so that condenser is evaporator plus compressor, and what the tank gains is what comes less what goes. COP is a share of Carnot's between evaporator and condenser, so it falls with the
//! lift. The machine keeps its own minimum run time and restart inhibit.

use super::meters::EnergyRegister;

/// Electrical power at full capacity and the rated lift, kW.
pub const RATED_KW: f64 = 150.0;
/// Least run time and time before the next start, s.
pub const MIN_RUN_S: f64 = 600.0;
/// Time after a stop before the next start, s.
pub const RESTART_INHIBIT_S: f64 = 360.0;
/// From the start until heat is delivered, s.
pub const START_S: f64 = 60.0;
/// Storage tank, m3.
const TANK_M3: f64 = 200.0;
/// Heat of one cubic metre of water, kWh/K.
const WATER_KWH_M3_K: f64 = 1.163;
/// Source pump at full flow, and circulation between machine and tank, m3/h.
const SOURCE_M3_H: f64 = 130.0;
const LOOP_M3_H: f64 = 70.0;
/// Share of the effluent the source pump may take.
const SOURCE_SHARE: f64 = 0.35;
/// Share of Carnot's COP that is reached; temperature differences in the exchangers, K.
const CARNOT_SHARE: f64 = 0.50;
const PINCH_K: f64 = 4.0;
/// The evaporator must not freeze: trip below this source outlet temperature, degC.
const SOURCE_OUT_MIN_C: f64 = 3.0;
/// Water in the evaporator and in the condenser loop, m3.
const EVAPORATOR_M3: f64 = 0.7;
const CONDENSER_M3: f64 = 0.4;
/// Heat the standing machine passes to the tank's circuit, kW/K.
const STANDING_KW_K: f64 = 0.8;
/// Loss of the tank, kW/K over 15 degC.
const LOSS_KW_K: f64 = 0.25;
/// District heat: kW per K below the heating limit, its limit, and hot water all the year.
const DISTRICT_KW_K: f64 = 12.0;
const HEATING_LIMIT_C: f64 = 18.0;
const HOT_WATER_KW: f64 = 35.0;
/// Electronics and, while heat is moved, circulation pumps, kW.
const STANDBY_KW: f64 = 0.8;
const PUMPS_KW: f64 = 6.0;

/// What the machine is doing, with the numbers of its state register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeatState {
    /// Standing, free to start.
    Off,
    /// Starting, so many seconds left.
    Starting(f64),
    /// Running for so many seconds.
    Running(f64),
    /// Tripped; cleared by taking the run command away.
    Fault,
    /// Standing, not free to start for so many seconds.
    Inhibited(f64),
}

impl HeatState {
    /// Number in the state register.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            HeatState::Off => 0,
            HeatState::Starting(_) => 1,
            HeatState::Running(_) => 2,
            HeatState::Fault => 3,
            HeatState::Inhibited(_) => 4,
        }
    }
}

/// Commands to the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatCommands {
    /// Run.
    pub run: bool,
    /// Capacity, %.
    pub capacity_pct: f64,
    /// Supply temperature not to be exceeded, degC.
    pub supply_c: f64,
}

/// Heat pump with tank and district.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatPlant {
    /// What it is doing.
    pub state: HeatState,
    /// Source water in and out, degC.
    pub source_in_c: f64,
    /// Source water leaving, degC.
    pub source_out_c: f64,
    /// Source flow, m3/h.
    pub source_m3_h: f64,
    /// Supply of the machine, degC.
    pub supply_c: f64,
    /// Return to the machine, degC.
    pub return_c: f64,
    /// Tank, degC.
    pub tank_c: f64,
    /// Electrical power, kW.
    pub power_kw: f64,
    /// Heat delivered by the machine, kW.
    pub heat_kw: f64,
    /// Heat the district asks for, kW.
    pub demand_kw: f64,
    /// Heat delivered (32 bits of 0.1 kWh).
    pub heat_energy: EnergyRegister,
    /// Electrical power of the compressor, kW; the rest of [`power_kw`](HeatPlant::power_kw) is pumps and electronics.
    pub compressor_kw: f64,
    /// Heat taken from the source water, kW.
    pub evaporator_kw: f64,
    /// Heat from the condenser loop into the tank, kW.
    pub tank_in_kw: f64,
    /// Heat from the tank to the district, kW.
    pub served_kw: f64,
    /// Loss of the tank, kW.
    pub loss_kw: f64,
    capacity: f64,
}

impl HeatPlant {
    /// Standing, with a tank at the given temperature.
    #[must_use]
    pub fn new(tank_c: f64, source_c: f64, heat_kwh: f64) -> HeatPlant {
        HeatPlant {
            state: HeatState::Off,
            source_in_c: source_c,
            source_out_c: source_c,
            source_m3_h: 0.0,
            supply_c: tank_c,
            return_c: tank_c,
            tank_c,
            power_kw: STANDBY_KW,
            heat_kw: 0.0,
            demand_kw: 0.0,
            heat_energy: EnergyRegister::new(32, 0.1, heat_kwh),
            compressor_kw: 0.0,
            evaporator_kw: 0.0,
            tank_in_kw: 0.0,
            served_kw: 0.0,
            loss_kw: 0.0,
            capacity: 0.0,
        }
    }

    /// The machine stands at once, whatever its minimum run time, and waits before it may start again.
    pub fn lose_power(&mut self) {
        self.state = HeatState::Inhibited(RESTART_INHIBIT_S);
    }

    /// Goes on by `dt` seconds.
    pub fn step(&mut self, dt: f64, commands: &HeatCommands, water: &SourceWater, outdoor_c: f64, hour: f64) {
        self.state = self.next_state(dt, commands.run);
        self.source_in_c = water.temp_c;
        let moving = matches!(self.state, HeatState::Running(_) | HeatState::Starting(_));
        let flow = if moving { SOURCE_M3_H.min(SOURCE_SHARE * water.flow_m3_h) } else { 0.0 };
        self.source_m3_h += (flow - self.source_m3_h) * (1.0 - (-dt / 8.0).exp());
        self.return_c = self.tank_c;
        let running = matches!(self.state, HeatState::Running(_)) && self.source_m3_h > 5.0;
        if running {
            self.run(dt, commands)
        } else {
            self.stand(moving)
        }
        self.step_loops(dt, running);
        self.step_tank(dt, outdoor_c, hour);
        self.heat_energy.add(self.heat_kw * dt / 3600.0);
    }

    fn next_state(&self, dt: f64, run: bool) -> HeatState {
        match self.state {
            HeatState::Off if run => HeatState::Starting(START_S),
            HeatState::Off => HeatState::Off,
            HeatState::Starting(_) if !run => HeatState::Inhibited(RESTART_INHIBIT_S),
            HeatState::Starting(left) if left > dt => HeatState::Starting(left - dt),
            HeatState::Starting(_) => HeatState::Running(0.0),
            // Minimum run time first, whatever is commanded; protection does not wait.
            HeatState::Running(_) if self.source_out_c < SOURCE_OUT_MIN_C => HeatState::Fault,
            HeatState::Running(ran) if !run && ran >= MIN_RUN_S => HeatState::Inhibited(RESTART_INHIBIT_S),
            HeatState::Running(ran) => HeatState::Running(ran + dt),
            HeatState::Fault if run => HeatState::Fault,
            HeatState::Fault => HeatState::Inhibited(RESTART_INHIBIT_S),
            HeatState::Inhibited(left) if left > dt => HeatState::Inhibited(left - dt),
            HeatState::Inhibited(_) => HeatState::Off,
        }
    }

    fn run(&mut self, dt: f64, commands: &HeatCommands) {
        // The machine throttles itself over the last 3 K below the supply limit.
        let room = ((commands.supply_c + 1.0 - self.supply_c) / 3.0).clamp(0.25, 1.0);
        let target = (commands.capacity_pct / 100.0).clamp(0.25, 1.0).min(room);
        self.capacity += (target - self.capacity) * (1.0 - (-dt / 30.0).exp());
        let cop = cop(self.supply_c, self.source_out_c, self.capacity);
        let lift = self.supply_c - self.source_out_c;
        self.compressor_kw = RATED_KW * self.capacity * (0.70 + 0.30 * lift / 40.0).max(0.3);
        self.heat_kw = self.compressor_kw * cop;
        self.evaporator_kw = self.heat_kw - self.compressor_kw;
        self.power_kw = self.compressor_kw + PUMPS_KW + STANDBY_KW;
    }

    fn stand(&mut self, pumps: bool) {
        (self.capacity, self.compressor_kw, self.evaporator_kw, self.heat_kw) = (0.0, 0.0, 0.0, 0.0);
        self.power_kw = STANDBY_KW + if pumps { PUMPS_KW } else { 0.0 };
    }

    /// Water in evaporator and condenser loop.
    fn step_loops(&mut self, dt: f64, running: bool) {
        let hours = dt / 3600.0;
        let (store, through) = (EVAPORATOR_M3 * WATER_KWH_M3_K, self.source_m3_h * WATER_KWH_M3_K * hours);
        self.source_out_c =
            (store * self.source_out_c + through * self.source_in_c - self.evaporator_kw * hours) / (store + through);
        // The standing machine takes the temperature of what stands around it.
        if self.source_m3_h < 1.0 && !running {
            self.source_out_c += (self.source_in_c - self.source_out_c) * (1.0 - (-dt / 120.0).exp());
        }
        let conductance = if running { LOOP_M3_H * WATER_KWH_M3_K } else { STANDING_KW_K };
        let (store, through) = (CONDENSER_M3 * WATER_KWH_M3_K, conductance * hours);
        self.supply_c = (store * self.supply_c + through * self.return_c + self.heat_kw * hours) / (store + through);
        self.tank_in_kw = conductance * (self.supply_c - self.return_c);
    }

    fn step_tank(&mut self, dt: f64, outdoor_c: f64, hour: f64) {
        let morning = 1.0 + 0.25 * (std::f64::consts::PI * (hour - 7.0) / 12.0).cos();
        self.demand_kw = (HEATING_LIMIT_C - outdoor_c).max(0.0) * DISTRICT_KW_K + HOT_WATER_KW * morning;
        // A cool tank cannot heat the district any more; its own boiler takes over.
        self.served_kw = self.demand_kw * ((self.tank_c - 32.0) / 6.0).clamp(0.0, 1.0);
        self.loss_kw = LOSS_KW_K * (self.tank_c - 15.0);
        self.tank_c += (self.tank_in_kw - self.served_kw - self.loss_kw) * dt / 3600.0 / (TANK_M3 * WATER_KWH_M3_K);
    }

    /// Heat in condenser loop and tank above 0 degC, kWh.
    #[must_use]
    pub fn stored_kwh(&self) -> f64 {
        WATER_KWH_M3_K * (TANK_M3 * self.tank_c + CONDENSER_M3 * self.supply_c)
    }
}

/// Source water: treated effluent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceWater {
    /// Flow of the effluent, m3/h.
    pub flow_m3_h: f64,
    /// Its temperature, degC.
    pub temp_c: f64,
}

/// Coefficient of performance at a supply and source outlet temperature; part load is a little better.
#[must_use]
pub fn cop(supply_c: f64, source_out_c: f64, capacity: f64) -> f64 {
    let condenser = supply_c + PINCH_K + 273.15;
    let evaporator = source_out_c - PINCH_K + 273.15;
    let carnot = condenser / (condenser - evaporator).max(10.0);
    CARNOT_SHARE * carnot * (1.06 - 0.06 * capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: HeatCommands = HeatCommands { run: true, capacity_pct: 100.0, supply_c: 58.0 };
    const STOP: HeatCommands = HeatCommands { run: false, ..RUN };
    const WATER: SourceWater = SourceWater { flow_m3_h: 760.0, temp_c: 15.0 };

    fn seconds(plant: &mut HeatPlant, commands: &HeatCommands, count: u32) {
        for _ in 0..count {
            plant.step(1.0, commands, &WATER, 2.0, 12.0);
        }
    }

    #[test]
    fn cop_falls_with_the_lift_and_stays_in_range() {
        assert!(cop(40.0, 12.0, 1.0) > cop(50.0, 12.0, 1.0));
        assert!(cop(50.0, 14.0, 1.0) > cop(50.0, 8.0, 1.0));
        assert!(cop(55.0, 8.0, 1.0) > 2.8 && cop(40.0, 18.0, 0.5) < 6.0);
    }

    #[test]
    fn energy_balance_of_machine_and_tank_closes() {
        let mut plant = HeatPlant::new(45.0, 15.0, 0.0);
        let start_kwh = plant.stored_kwh();
        let (mut came, mut went, mut source) = (0.0, 0.0, 0.0);
        for second in 0..3 * 86_400 {
            let commands = if second % 7200 < 5000 { RUN } else { STOP };
            plant.step(1.0, &commands, &WATER, 2.0, 12.0);
            assert!((plant.heat_kw - plant.evaporator_kw - plant.compressor_kw).abs() < 1e-9);
            let own = if plant.source_m3_h > 5.0 { PUMPS_KW + STANDBY_KW } else { STANDBY_KW };
            assert!(plant.power_kw - plant.compressor_kw <= own + PUMPS_KW);
            came += plant.heat_kw / 3600.0;
            went += (plant.served_kw + plant.loss_kw) / 3600.0;
            source += plant.evaporator_kw / 3600.0;
        }
        let stored = plant.stored_kwh() - start_kwh;
        assert!((came - went - stored).abs() < 1e-6 * came, "{came} against {went} + {stored}");
        assert!(came > 5000.0 && source > 0.6 * came, "{came} {source}");
        assert!((plant.heat_energy.kwh() - came).abs() < 0.11, "{} {came}", plant.heat_energy.kwh());
        // At rest what the water lost is what the evaporator took.
        seconds(&mut plant, &RUN, 1800);
        let cooled = plant.source_m3_h * WATER_KWH_M3_K * (plant.source_in_c - plant.source_out_c);
        assert!((cooled / plant.evaporator_kw - 1.0).abs() < 0.01, "{cooled} {}", plant.evaporator_kw);
    }

    #[test]
    fn the_district_asks_for_more_in_the_cold() {
        let demand = |outdoor_c: f64| {
            let mut plant = HeatPlant::new(48.0, 15.0, 0.0);
            plant.step(1.0, &STOP, &WATER, outdoor_c, 12.0);
            (plant.demand_kw, plant.served_kw)
        };
        let (winter, summer) = (demand(-5.0), demand(28.0));
        assert!(winter.0 > 5.0 * summer.0 && summer.0 > 10.0, "{winter:?} {summer:?}");
        assert_eq!(winter.0, winter.1, "a warm tank serves it all");
    }

    #[test]
    fn minimum_run_and_restart_inhibit_are_the_machines_own() {
        let mut plant = HeatPlant::new(45.0, 15.0, 0.0);
        seconds(&mut plant, &RUN, START_S as u32 + 10);
        seconds(&mut plant, &STOP, 300);
        assert_eq!(plant.state.number(), 2, "stopped before its minimum run time");
        seconds(&mut plant, &STOP, MIN_RUN_S as u32 - 300);
        assert_eq!(plant.state.number(), 4);
        seconds(&mut plant, &RUN, 60);
        assert_eq!(plant.state.number(), 4, "started inside the inhibit");
        seconds(&mut plant, &RUN, RESTART_INHIBIT_S as u32 + START_S as u32 + 5);
        assert_eq!(plant.state.number(), 2);
    }

    #[test]
    fn cold_source_trips_and_the_supply_limit_throttles() {
        let mut plant = HeatPlant::new(45.0, 15.0, 0.0);
        seconds(&mut plant, &RUN, 900);
        let cold = SourceWater { flow_m3_h: 60.0, temp_c: 6.0 };
        for _ in 0..600 {
            plant.step(1.0, &RUN, &cold, 2.0, 12.0);
        }
        assert_eq!(plant.state.number(), 3);
        assert_eq!(plant.heat_kw, 0.0);
        let mut warm = HeatPlant::new(50.0, 15.0, 0.0);
        let limited = HeatCommands { supply_c: 50.0, ..RUN };
        seconds(&mut warm, &limited, 3600);
        assert!(warm.power_kw < 70.0, "{}", warm.power_kw);
    }
}
