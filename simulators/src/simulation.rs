//! Plant and device programs together, without sockets: deterministic in seed, start and steps.

use crate::config::OPCUA_DEVICE;
use crate::devices::aeration::{self, AerationPlc};
use crate::devices::dosing::{self, DosingSkid};
use crate::devices::heat_pump::{self, HeatPumpController};
use crate::devices::inverter::{self, Inverter};
use crate::devices::power_meters::PowerMeters;
use crate::devices::sludge::{SharedNodes, SludgePlc};
use crate::devices::sunspec;
use crate::devices::{SharedImage, Station};
use crate::faults::{ActuatorFault, Fault, FaultBook, Injection, MachineFault, Quantity};
use crate::field::{Field, InjectError};
use crate::models::wet::Weather;
use crate::plant::{Factors, Plant, STEP_MAX_S};
use crate::score::Score;
use crate::works_score::WorksScore;

/// The plant with its devices.
pub struct Simulation {
    seed: u64,
    pub(crate) faults: FaultBook,
    plant: Plant,
    score: WorksScore,
    aeration: AerationPlc,
    dosing: DosingSkid,
    inverter: Inverter,
    meters: PowerMeters,
    heat_pump: HeatPumpController,
    sludge: SludgePlc,
}

impl Simulation {
    /// A plant near its operating point with instruments that have settled on it.
    #[must_use]
    pub fn new(seed: u64, start_unix_s: i64) -> Simulation {
        Simulation::in_weather(seed, start_unix_s, Weather::Dry)
    }

    /// The same with a choice of weather.
    #[must_use]
    pub fn in_weather(seed: u64, start_unix_s: i64, weather: Weather) -> Simulation {
        let plant = Plant::new(seed, start_unix_s, weather);
        let mut simulation = Simulation {
            seed,
            faults: FaultBook::default(),
            score: WorksScore::default(),
            aeration: AerationPlc::new(seed, &plant),
            dosing: DosingSkid::new(seed, &plant),
            inverter: Inverter::new(seed),
            meters: PowerMeters::new(),
            heat_pump: HeatPumpController::new(seed, &plant),
            sludge: SludgePlc::new(seed, &plant),
            plant,
        };
        simulation.step(1.0, 0.0);
        simulation
    }

    /// The device programs in the order of [`DEVICES`](crate::DEVICES).
    pub(crate) fn stations(&mut self) -> (&mut Plant, [&mut dyn Station; 6]) {
        let stations: [&mut dyn Station; 6] = [
            &mut self.aeration,
            &mut self.dosing,
            &mut self.inverter,
            &mut self.meters,
            &mut self.heat_pump,
            &mut self.sludge,
        ];
        (&mut self.plant, stations)
    }

    /// The same for looking at.
    pub(crate) fn stations_ref(&self) -> [&dyn Station; 6] {
        [&self.aeration, &self.dosing, &self.inverter, &self.meters, &self.heat_pump, &self.sludge]
    }

    /// What does not fit this plant, in words.
    fn unfit(&self, fault: &Fault) -> Option<String> {
        match fault {
            Fault::Link { device, .. } if !self.unit_images().iter().any(|(name, _)| name == device) => {
                (*device != OPCUA_DEVICE).then(|| format!("device `{device}`"))
            }
            Fault::Sensor { tag, .. } if !self.quantities().iter().any(|quantity| quantity.tag == *tag) => {
                Some(format!("measured quantity `{tag}`"))
            }
            Fault::Machine(MachineFault::Actuator { actuator, fault }) => {
                let pump = Factors::PUMPS.contains(&actuator.to_string().as_str());
                let gain = matches!(fault, ActuatorFault::Gain { .. });
                (!(pump && gain)).then(|| format!("actuator `{actuator}`"))
            }
            Fault::Link { .. } | Fault::Sensor { .. } | Fault::Machine(_) => None,
        }
    }

    /// The aeration PLC obeys its client.
    #[must_use]
    pub fn remote(&self) -> bool {
        self.aeration.remote()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Goes on by `plant_dt` seconds of plant time, during which `real_dt` seconds of real time passed, and publishes.
    pub fn step(&mut self, plant_dt: f64, real_dt: f64) {
        let parts = (plant_dt / STEP_MAX_S).ceil().max(1.0);
        let (dt, real_dt) = (plant_dt / parts, real_dt / parts);
        for _ in 0..parts as usize {
            let (plant, mut stations) = self.stations();
            stations.iter_mut().for_each(|station| station.control(plant, dt, real_dt));
            plant.step(dt);
            stations.iter_mut().for_each(|station| station.sense(plant, dt));
            self.score.count(&self.plant, dt);
            self.age_faults(dt, real_dt);
        }
        self.publish();
    }

    /// Lays what the instruments show now where clients read it.
    pub(crate) fn publish(&mut self) {
        let (plant, mut stations) = self.stations();
        stations.iter_mut().for_each(|station| station.publish(plant));
    }

    /// The plant.
    #[must_use]
    pub fn plant(&self) -> &Plant {
        &self.plant
    }

    /// Registers of the aeration PLC.
    #[must_use]
    pub fn aeration_image(&self) -> SharedImage {
        self.aeration.image()
    }

    /// Registers of the inverter.
    #[must_use]
    pub fn inverter_image(&self) -> SharedImage {
        self.inverter.image()
    }

    /// Nodes of the sludge and effluent PLC.
    #[must_use]
    pub fn sludge_nodes(&self) -> SharedNodes {
        self.sludge.nodes()
    }

    /// Registers of a device's first unit.
    #[cfg(test)]
    pub(crate) fn images_of(&self, device: &str) -> SharedImage {
        let found = self.unit_images().into_iter().find(|(name, _)| *name == device);
        found.and_then(|(_, units)| units.into_iter().next()).map(|(_, image)| image).expect("a Modbus device")
    }

    fn unit_images(&self) -> Vec<(&'static str, Vec<(u8, SharedImage)>)> {
        vec![
            ("aeration_plc", vec![(aeration::UNIT, self.aeration.image())]),
            ("dosing_skid", vec![(dosing::UNIT, self.dosing.image())]),
            (
                "pv_inverter",
                vec![(inverter::UNIT, self.inverter.image()), (sunspec::meter::UNIT, self.inverter.meter_image())],
            ),
            ("power_meters", self.meters.images()),
            ("heat_pump", vec![(heat_pump::UNIT, self.heat_pump.image())]),
        ]
    }
}

impl Field for Simulation {
    fn step(&mut self, plant_dt: f64, real_dt: f64) {
        Simulation::step(self, plant_dt, real_dt);
    }

    fn publish(&mut self) {
        Simulation::publish(self);
    }

    fn unix_s(&self) -> f64 {
        self.plant.clock().unix_s()
    }

    fn elapsed_s(&self) -> f64 {
        self.plant.clock().elapsed_s()
    }

    fn images(&self) -> Vec<(&'static str, Vec<(u8, SharedImage)>)> {
        self.unit_images()
    }

    fn opcua_nodes(&self) -> Option<SharedNodes> {
        Some(self.sludge_nodes())
    }

    fn inject(&mut self, injection: Injection) -> Result<u64, InjectError> {
        if let Some(what) = self.unfit(&injection.fault) {
            return Err(InjectError::Elsewhere { what, plant: "jinan" });
        }
        Ok(Simulation::inject(self, injection)?)
    }

    fn clear(&mut self, id: u64) -> bool {
        Simulation::clear(self, id)
    }

    fn fault_book(&self) -> &FaultBook {
        &self.faults
    }

    fn quantities(&self) -> Vec<Quantity> {
        Simulation::quantities(self)
    }

    fn set_weather(&mut self, weather: Weather) -> Result<(), InjectError> {
        self.plant.set_weather(weather);
        Ok(())
    }

    fn score(&self, from_s: f64) -> Score {
        self.score.score(from_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::image::{Order, encode_f32, holding, input};

    const NOON: i64 = 1_782_014_400;

    /// Everything a client could read.
    fn bytes(simulation: &Simulation) -> Vec<u8> {
        let mut all = Vec::new();
        for (device, units) in simulation.unit_images() {
            for (unit, image) in units {
                all.extend(format!("{device} {unit} {:?}\n", image.lock()).into_bytes());
            }
        }
        let nodes = simulation.sludge_nodes();
        let nodes = nodes.lock();
        nodes.doubles.iter().chain(&nodes.commands).for_each(|value| all.extend(value.to_be_bytes()));
        all
    }

    #[test]
    fn the_same_seed_is_the_same_plant_byte_for_byte() {
        let run = |seed| {
            let mut simulation = Simulation::new(seed, NOON);
            for step in 0..600 {
                if step == 100 {
                    simulation.aeration_image().lock().write_holding(0, &[7000]).unwrap();
                }
                simulation.step(if step % 3 == 0 { 0.1 } else { 6.0 }, 0.1);
            }
            bytes(&simulation)
        };
        assert_eq!(run(11), run(11));
        assert_ne!(run(11), run(12));
    }

    #[test]
    fn commands_in_registers_move_the_plant() {
        let mut simulation = Simulation::new(1, NOON);
        let image = simulation.aeration_image();
        image.lock().write_holding(0, &[2500]).unwrap();
        image.lock().write_holding(holding(40_011), &encode_f32(900.0, Order::Abcd)).unwrap();
        simulation.sludge_nodes().lock().commands = [600.0, 20.0];
        for _ in 0..1200 {
            simulation.step(0.1, 0.1);
        }
        let m = simulation.plant().measured();
        assert!((m.valve_pct[0] - 25.0).abs() < 0.6, "{:?}", m.valve_pct);
        assert!((m.recycle_flow - 900.0).abs() < 1.0 && (m.ras_flow - 600.0).abs() < 1.0, "{m:?}");
        assert!((m.was_flow - 20.0).abs() < 0.1);
        // The valve position register shows the same in float32 ABCD.
        let words = image.lock().read_input(input(30_017), 2).unwrap().to_vec();
        let shown = f32::from_bits(u32::from(words[0]) << 16 | u32::from(words[1]));
        assert!((f64::from(shown) - m.valve_pct[0]).abs() < 1e-3);
    }

    #[test]
    fn silence_after_the_first_beat_hands_the_air_to_the_plc() {
        let mut simulation = Simulation::new(1, NOON);
        let image = simulation.aeration_image();
        let remote = |s: &Simulation| s.aeration_image().lock().read_discrete(6, 1).unwrap()[0];
        for _ in 0..100 {
            simulation.step(1.0, 1.0);
        }
        assert!(remote(&simulation), "a client that never beat is not watched");
        image.lock().write_holding(899, &[1]).unwrap();
        for _ in 0..49 {
            simulation.step(0.1, 0.1);
        }
        assert!(remote(&simulation), "four seconds and nine tenths are no silence");
        for _ in 0..3 {
            simulation.step(0.1, 0.1);
        }
        assert!(!remote(&simulation));
        for _ in 0..600 {
            simulation.step(1.0, 1.0);
        }
        let m = *simulation.plant().measured();
        assert!(m.valve_pct.iter().all(|v| (v - 40.0).abs() < 0.6), "{:?}", m.valve_pct);
        assert_eq!(m.blower_running, [true, false, false]);
        assert!((m.header_kpa - 55.0).abs() < 0.5, "{}", m.header_kpa);
        // Real time decides, not plant time: an hour of plant in half a second is no silence.
        image.lock().write_holding(899, &[2]).unwrap();
        simulation.step(3600.0, 0.5);
        assert!(remote(&simulation));
        let air = simulation.plant().handles.air;
        assert_eq!(air.valve_pct[0], f64::from(image.lock().word(0)) * 0.01);
    }

    #[test]
    fn limit_of_the_inverter_reverts_when_not_rewritten() {
        let mut simulation = Simulation::new(1, NOON);
        let image = simulation.inverter_image();
        image.lock().write_holding(0, &[200, 1, 30]).unwrap();
        for second in 0..90 {
            if second == 25 {
                image.lock().write_holding(0, &[200]).unwrap();
            }
            simulation.step(1.0, 1.0);
            let expected = if second < 25 + 30 { 20.0 } else { 100.0 };
            // The second the time runs out may fall on either side.
            if second != 55 {
                assert_eq!(simulation.plant().handles.pv_limit_pct, expected, "second {second}");
            }
            if second > 10 && second < 55 {
                assert!(simulation.plant().pv().power_kw <= 120.0 + 1e-9);
            }
        }
        assert_eq!(image.lock().word(0), 1000);
        image.lock().write_holding(0, &[300, 1, 0]).unwrap();
        for _ in 0..5 {
            simulation.step(600.0, 600.0);
        }
        assert_eq!(simulation.plant().handles.pv_limit_pct, 30.0, "a revert time of 0 is never");
    }
}
