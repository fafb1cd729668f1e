//! Heat pump controller: scaled integers, unit 1. Minimum run time and restart inhibit are the machine's own.
//!
//! A controller of modest means. Its manual counts registers from 0, so its "register 2" is 30003 to others. It takes
//! single writes only (function 16 is refused with exception 1) and reads of at most 16 registers (exception 3 beyond);
//! measurements are input registers alone, commands holding registers alone.
//!
//! | number in the manual | area | content |
//! | --- | --- | --- |
//! | 0 | input | status word: bit 0 running, 1 fault, 2 restart inhibit, 3 starting, 4 remote |
//! | 1 | input | fault code: 0 none, 21 evaporator about to freeze, 40 sensor broken |
//! | 2 to 7 | input | source in, source out, supply, return, tank, outdoor: 0.1 degC, signed; 32767 for a broken sensor |
//! | 8 to 10 | input | source flow 0.1 m3/h, electrical power 0.1 kW, heat 0.1 kW |
//! | 11, 12 | input | heat delivered, 0.1 kWh, 32 bits, low word first; rolls over |
//! | 13 | input | heat demand, 0.1 kW |
//! | 14 | input | stage: 0 off, 1 starting, 2 running, 3 fault, 4 restart inhibit |
//! | 0, 1, 2 | holding | run 0/1, capacity 0.1 %, supply limit 0.1 degC |

use super::image::{Abilities, Map, Order, Rule, encode_i16, encode_u16, encode_u32, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::models::heat::{HeatCommands, HeatState};
use crate::plant::Plant;

/// Modbus unit of the controller.
pub const UNIT: u8 = 1;
const RUN: u16 = holding(40_001);
const CAPACITY: u16 = holding(40_002);
const SUPPLY: u16 = holding(40_003);
const STATUS: u16 = input(30_001);
/// Measuring range of the temperatures: beyond it the loop is broken.
const RANGE_C: (f64, f64) = (-40.0, 120.0);
const ENERGY: u16 = input(30_012);
const STAGE: u16 = input(30_015);
/// What a temperature register shows for a broken sensor.
const BROKEN: u16 = 0x7fff;
/// Fault codes.
const EVAPORATOR: u16 = 21;
const SENSOR: u16 = 40;
/// Most registers of one read.
const READ_MAX: u16 = 16;

/// The controller.
pub struct HeatPumpController {
    image: SharedImage,
    temperatures: Panel<Plant>,
    quantities: Panel<Plant>,
}

impl HeatPumpController {
    /// A controller whose command registers hold what the machine is doing.
    #[must_use]
    pub fn new(seed: u64, plant: &Plant) -> HeatPumpController {
        let image = shared(Map {
            input: vec![(STATUS, 15)],
            holding: vec![(RUN, 3)],
            discrete: vec![],
            coils: vec![],
            rules: vec![
                Rule::Word { at: RUN, low: 0, high: 1 },
                Rule::Word { at: CAPACITY, low: 250, high: 1000 },
                Rule::Word { at: SUPPLY, low: 350, high: 600 },
            ],
        });
        let commands = plant.handles.heat;
        let words =
            [u16::from(commands.run), encode_u16(commands.capacity_pct, 0.1), encode_i16(commands.supply_c, 0.1)];
        image.lock().put_holding(RUN, &words);
        image.lock().keep_power_on();
        image.lock().restrict(Abilities { read_registers_max: READ_MAX, write_multiple: false });
        HeatPumpController {
            image,
            temperatures: Panel::new(seed, Wire::I16(0.1), temperatures()),
            quantities: Panel::new(seed, Wire::U16(0.1), quantities()),
        }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }
}

impl Station for HeatPumpController {
    fn control(&mut self, plant: &mut Plant, _dt: f64, _real_dt: f64) {
        let image = self.image.lock();
        plant.handles.heat = HeatCommands {
            run: image.word(RUN) == 1,
            capacity_pct: f64::from(image.word(CAPACITY)) * 0.1,
            supply_c: f64::from(image.word(SUPPLY)) * 0.1,
        };
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.temperatures.see(plant, dt);
        self.quantities.see(plant, dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let mut image = self.image.lock();
        self.temperatures.publish(&mut image);
        self.quantities.publish(&mut image);
        let broken = self.temperatures.beyond(RANGE_C, |at| image.put_input(at, &[BROKEN]));
        let state = plant.heat().state;
        let code = match state {
            HeatState::Fault => EVAPORATOR,
            _ if broken => SENSOR,
            _ => 0,
        };
        image.put_input(STATUS, &[status(state), code]);
        image.put_input(STAGE, &[state.number()]);
        image.put_input_pair(ENERGY, encode_u32(plant.heat().heat_energy.count() as u32, Order::Cdab));
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.temperatures.instrument(tag).or_else(|| self.quantities.instrument(tag))
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        self.temperatures.quantities(plant, see);
        self.quantities.quantities(plant, see);
    }
}

/// The packed status word. The machine has no local mode: bit 4 always stands.
fn status(state: HeatState) -> u16 {
    let state = match state {
        HeatState::Off => 0,
        HeatState::Running(_) => 1,
        HeatState::Fault => 1 << 1,
        HeatState::Inhibited(_) => 1 << 2,
        HeatState::Starting(_) => 1 << 3,
    };
    state | 1 << 4
}

fn temperatures() -> Vec<Spec<Plant>> {
    fn spec(number: u16, tag: &'static str, read: fn(&Plant) -> f64, tau_s: f64) -> Spec<Plant> {
        Spec { at: input(number), tag: tag.to_owned(), read, class: Class::Fast(tau_s), sigma: 0.03, range: RANGE_C }
    }
    vec![
        spec(30_003, "hp/source/temp_in", |p| p.heat().source_in_c, 5.0),
        spec(30_004, "hp/source/temp_out", |p| p.heat().source_out_c, 5.0),
        spec(30_005, "hp/supply/temp", |p| p.heat().supply_c, 5.0),
        spec(30_006, "hp/return/temp", |p| p.heat().return_c, 5.0),
        spec(30_007, "hp/tank/temp", |p| p.heat().tank_c, 20.0),
        spec(30_008, "hp/outdoor/temp", |p| p.measured().outdoor_c, 60.0),
    ]
}

fn quantities() -> Vec<Spec<Plant>> {
    fn spec(number: u16, tag: &'static str, read: fn(&Plant) -> f64, sigma: f64) -> Spec<Plant> {
        Spec { at: input(number), tag: tag.to_owned(), read, class: Class::Fast(2.0), sigma, range: (0.0, 6000.0) }
    }
    vec![
        spec(30_009, "hp/source/flow", |p| p.heat().source_m3_h, 0.1),
        spec(30_010, "hp/power", |p| p.heat().power_kw, 0.1),
        spec(30_011, "hp/heat", |p| p.heat().heat_kw, 0.2),
        spec(30_014, "hp/demand", |p| p.heat().demand_kw, 0.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::simulation::Simulation;

    #[test]
    fn status_word_has_one_bit_of_a_state_and_the_remote_bit() {
        let words = [
            HeatState::Off,
            HeatState::Running(1.0),
            HeatState::Fault,
            HeatState::Inhibited(1.0),
            HeatState::Starting(1.0),
        ]
        .map(status);
        assert_eq!(words, [0b1_0000, 0b1_0001, 0b1_0010, 0b1_0100, 0b1_1000]);
    }

    #[test]
    fn a_broken_sensor_shows_its_mark_and_a_code() {
        let mut simulation = Simulation::new(1, 1_782_014_400);
        let read = |simulation: &Simulation| {
            let image = simulation.image("heat_pump", UNIT).unwrap();
            image.lock().read_input(STATUS, 15).unwrap().to_vec()
        };
        let healthy = read(&simulation);
        assert_eq!(healthy[..2], [0b1_0000, 0]);
        assert!((450..490).contains(&healthy[6]), "tank {}", healthy[6]);
        // A counter of 0.1 kWh around 2.4 GWh: the high word comes second.
        assert_eq!(
            u32::from(healthy[12]) << 16 | u32::from(healthy[11]),
            simulation.plant().heat().heat_energy.count() as u32
        );
        let id = simulation.inject("range hp/tank/temp high".parse().unwrap()).unwrap();
        simulation.step(1.0, 1.0);
        let broken = read(&simulation);
        assert_eq!((broken[6], broken[1]), (BROKEN, SENSOR));
        assert!(broken[2..6].iter().all(|word| *word != BROKEN));
        simulation.clear(id);
        simulation.step(1.0, 1.0);
        assert_eq!(read(&simulation)[1], 0);
        let image = simulation.image("heat_pump", UNIT).unwrap();
        assert_eq!(image.lock().abilities(), Abilities { read_registers_max: 16, write_multiple: false });
    }
}
