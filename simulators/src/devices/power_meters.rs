//! Power meters behind one gateway: units 11 (grid), 12 (blowers), 13 (pumps), 14 (heat pump), 15 (auxiliaries), 16 (PV).
//!
//! Power is float32 ABCD; the energy registers are 32 bits of 0.01 kWh, low word first, and roll over.

use super::image::{Map, Order, encode_f32, encode_i16, encode_u16, encode_u32, input};
use super::{SharedImage, Station, shared};
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

/// The meters.
pub struct PowerMeters {
    images: [SharedImage; 6],
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
            images: std::array::from_fn(|_| shared(Map { input: vec![(input(30_001), 12)], ..Map::default() })),
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

    fn sense(&mut self, _plant: &Plant, _dt: f64) {}

    fn publish(&mut self, plant: &Plant) {
        for ((_, feeder), image) in UNITS.iter().zip(&self.images) {
            let meter = plant.meter(*feeder);
            let mut image = image.lock();
            image.put_input(input(30_001), &encode_f32(meter.power_kw, Order::Abcd));
            image.put_input(input(30_003), &encode_f32(meter.reactive_kvar, Order::Abcd));
            image.put_input(input(30_005), &encode_u32(meter.import.count() as u32, Order::Cdab));
            image.put_input(input(30_007), &encode_u32(meter.export.count() as u32, Order::Cdab));
            image.put_input(input(30_009), &[encode_u16(meter.voltage_v, 0.1)]);
            image.put_input(input(30_010), &[encode_u16(meter.current_a(), 0.1)]);
            image.put_input(input(30_011), &[encode_u16(meter.frequency_hz, 0.01)]);
            image.put_input(input(30_012), &[encode_i16(meter.power_factor(), 0.001)]);
        }
    }
}
