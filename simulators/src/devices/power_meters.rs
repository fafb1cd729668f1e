//! Power meters behind one gateway: units 11 (grid), 12 (blowers), 13 (pumps), 14 (heat pump), 15 (auxiliaries), 16 (PV).
//!
//! Power is float32 ABCD; the energy registers are 32 bits of 0.01 kWh, low word first, and roll over. The grid meter
//! carries a tariff clock: the tier in force (30013, 0 deep valley to 4 sharp peak) and the import of every tier
//! (30014 to 30023, as the other energy registers).

use super::image::{Map, Order, encode_u32, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::models::meters::Meter;
use crate::plant::{Feeder, Plant};

/// Units of the gateway and what they measure.
pub const UNITS: [(u8, Feeder); 6] = [
    (11, Feeder::Grid),
    (12, Feeder::Blowers),
    (13, Feeder::Pumps),
    (14, Feeder::HeatPump),
    (15, Feeder::Aux),
    (16, Feeder::Pv),
];

/// Input registers of a meter, and of the one with the tariff clock.
const REGISTERS: u16 = 12;
const GRID_REGISTERS: u16 = 23;

/// Names of the meters in tags and faults, in the order of [`UNITS`].
pub const METERS: [(&str, Feeder); 6] = [
    ("grid", Feeder::Grid),
    ("blowers", Feeder::Blowers),
    ("pumps", Feeder::Pumps),
    ("heat_pump", Feeder::HeatPump),
    ("aux", Feeder::Aux),
    ("pv", Feeder::Pv),
];

/// The meters.
pub struct PowerMeters {
    images: [SharedImage; 6],
    panels: [Panel<Meter>; 6],
}

impl Default for PowerMeters {
    fn default() -> PowerMeters {
        PowerMeters::new()
    }
}

impl PowerMeters {
    /// Meters at zero until the first publication.
    #[must_use]
    pub fn new() -> PowerMeters {
        PowerMeters {
            images: UNITS.map(|(_, feeder)| {
                let registers = if feeder == Feeder::Grid { GRID_REGISTERS } else { REGISTERS };
                shared(Map { input: vec![(input(30_001), registers)], ..Map::default() })
            }),
            panels: METERS.map(|(name, _)| panel(name)),
        }
    }

    /// Registers of every unit.
    #[must_use]
    pub fn images(&self) -> Vec<(u8, SharedImage)> {
        UNITS.iter().zip(&self.images).map(|((unit, _), image)| (*unit, image.clone())).collect()
    }
}

impl Station for PowerMeters {
    fn control(&mut self, _plant: &mut Plant, _dt: f64, _real_dt: f64) {}

    fn sense(&mut self, plant: &Plant, dt: f64) {
        for ((_, feeder), panel) in UNITS.iter().zip(&mut self.panels) {
            panel.see(plant.meter(*feeder), dt);
        }
    }

    fn publish(&mut self, plant: &Plant) {
        for (((_, feeder), image), panel) in UNITS.iter().zip(&self.images).zip(&self.panels) {
            let meter = plant.meter(*feeder);
            let mut image = image.lock();
            panel.publish(&mut image);
            image.put_input_pair(input(30_005), encode_u32(meter.import.count() as u32, Order::Cdab));
            image.put_input_pair(input(30_007), encode_u32(meter.export.count() as u32, Order::Cdab));
            if *feeder == Feeder::Grid {
                image.put_input(input(30_013), &[meter.tier as u16]);
                for (at, register) in (0..).map(|i| input(30_014) + 2 * i).zip(&meter.tiers) {
                    image.put_input_pair(at, encode_u32(register.count() as u32, Order::Cdab));
                }
            }
        }
    }

    fn restart(&mut self) {
        // Nothing can be written to a meter, and its energy registers outlive its supply.
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.panels.iter_mut().find_map(|panel| panel.instrument(tag))
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        for ((_, feeder), panel) in UNITS.iter().zip(&self.panels) {
            panel.quantities(plant.meter(*feeder), see);
        }
    }
}

/// A meter adds neither lag nor noise: its points are there for faults to act on.
fn panel(feeder: &str) -> Panel<Meter> {
    type Read = fn(&Meter) -> f64;
    let of = |wire, points: &[(u16, &str, Read, f64)]| {
        let specs = points.iter().map(|(number, quantity, read, most)| Spec {
            at: input(*number),
            tag: format!("met/{feeder}/{quantity}"),
            read: *read,
            class: Class::Direct,
            sigma: 0.0,
            range: (-most, *most),
        });
        Panel::new(0, wire, specs.collect())
    };
    let powers: [(u16, &str, Read, f64); 2] =
        [(30_001, "power", |m| m.power_kw, 5000.0), (30_003, "reactive", |m| m.reactive_kvar, 5000.0)];
    let volts_amperes: [(u16, &str, Read, f64); 2] =
        [(30_009, "voltage", |m| m.voltage_v, 1000.0), (30_010, "current", |m| m.current_a(), 6000.0)];
    of(Wire::F32(Order::Abcd), &powers)
        .and(of(Wire::U16(0.1), &volts_amperes))
        .and(of(Wire::U16(0.01), &[(30_011, "freq", |m| m.frequency_hz, 100.0)]))
        .and(of(Wire::I16(0.001), &[(30_012, "pf", |m| m.power_factor(), 1.0)]))
}
