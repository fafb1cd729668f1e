//! Heat pump controller: scaled integers, unit 1. Minimum run time and restart inhibit are the machine's own.

use super::image::{Map, Order, Rule, encode_i16, encode_u16, encode_u32, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::models::heat::HeatCommands;
use crate::plant::Plant;

/// Modbus unit of the controller.
pub const UNIT: u8 = 1;
const RUN: u16 = holding(40_001);
const CAPACITY: u16 = holding(40_002);
const SUPPLY: u16 = holding(40_003);

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
            input: vec![(input(30_001), 13)],
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
        image.put_input(input(30_001), &[plant.heat().state.number()]);
        // A counter of 0.1 kWh in an ABCD pair.
        let energy = encode_u32(plant.heat().heat_energy.count() as u32, Order::Abcd);
        image.put_input(input(30_010), &energy);
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

fn temperatures() -> Vec<Spec<Plant>> {
    fn spec(number: u16, tag: &'static str, read: fn(&Plant) -> f64, tau_s: f64) -> Spec<Plant> {
        Spec {
            at: input(number),
            tag: tag.to_owned(),
            read,
            class: Class::Fast(tau_s),
            sigma: 0.03,
            range: (-40.0, 120.0),
        }
    }
    vec![
        spec(30_002, "hp/source/temp_in", |p| p.heat().source_in_c, 5.0),
        spec(30_003, "hp/source/temp_out", |p| p.heat().source_out_c, 5.0),
        spec(30_004, "hp/supply/temp", |p| p.heat().supply_c, 5.0),
        spec(30_005, "hp/return/temp", |p| p.heat().return_c, 5.0),
        spec(30_006, "hp/tank/temp", |p| p.heat().tank_c, 20.0),
        spec(30_012, "hp/outdoor/temp", |p| p.measured().outdoor_c, 60.0),
    ]
}

fn quantities() -> Vec<Spec<Plant>> {
    fn spec(number: u16, tag: &'static str, read: fn(&Plant) -> f64, sigma: f64) -> Spec<Plant> {
        Spec { at: input(number), tag: tag.to_owned(), read, class: Class::Fast(2.0), sigma, range: (0.0, 6000.0) }
    }
    vec![
        spec(30_007, "hp/source/flow", |p| p.heat().source_m3_h, 0.1),
        spec(30_008, "hp/power", |p| p.heat().power_kw, 0.1),
        spec(30_009, "hp/heat", |p| p.heat().heat_kw, 0.2),
        spec(30_013, "hp/demand", |p| p.heat().demand_kw, 0.0),
    ]
}
