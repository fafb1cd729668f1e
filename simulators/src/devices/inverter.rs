//! PV inverter: mixed integer registers, ABCD, unit 3.
//!
//! The power limit is held only while the client keeps writing it: after the revert time (register 40003, real-time
//! seconds, 0 for never) without a write of limit or enable the limit register returns to 100 %.

use super::image::{Map, Order, Rule, encode_i16, encode_u16, encode_u32, encode_u64, holding, input};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::plant::{Feeder, Plant};

/// Modbus unit of the inverter.
pub const UNIT: u8 = 3;
const LIMIT: u16 = holding(40_001);
const ENABLE: u16 = holding(40_002);
const REVERT: u16 = holding(40_003);
const FULL: u16 = 1000;
/// Revert time the inverter starts with, s.
const REVERT_DEFAULT_S: u16 = 60;

/// The inverter.
pub struct Inverter {
    image: SharedImage,
    irradiance: Instrument,
    module: Instrument,
    writes: u64,
    unwritten_s: f64,
}

impl Inverter {
    /// An inverter without limit.
    #[must_use]
    pub fn new(seed: u64) -> Inverter {
        let image = shared(Map {
            input: vec![(input(30_001), 12)],
            holding: vec![(LIMIT, 3)],
            discrete: vec![],
            coils: vec![],
            rules: vec![
                Rule::Word { at: LIMIT, low: 0, high: FULL },
                Rule::Word { at: ENABLE, low: 0, high: 1 },
                Rule::Word { at: REVERT, low: 0, high: 3600 },
            ],
        });
        image.lock().put_holding(LIMIT, &[FULL, 0, REVERT_DEFAULT_S]);
        Inverter {
            image,
            irradiance: Instrument::new(seed, "irradiance", Class::Fast(3.0), 1.0, (0.0, 1400.0)),
            module: Instrument::new(seed, "module temperature", Class::Fast(5.0), 0.05, (-40.0, 100.0)),
            writes: 0,
            unwritten_s: 0.0,
        }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }
}

impl Station for Inverter {
    fn control(&mut self, plant: &mut Plant, _dt: f64, real_dt: f64) {
        let mut image = self.image.lock();
        let writes = image.writes(LIMIT) + image.writes(ENABLE);
        self.unwritten_s = if writes == self.writes { self.unwritten_s + real_dt } else { 0.0 };
        self.writes = writes;
        let revert_s = f64::from(image.word(REVERT));
        if revert_s > 0.0 && self.unwritten_s > revert_s {
            image.put_holding(LIMIT, &[FULL]);
        }
        let enabled = image.word(ENABLE) == 1;
        plant.handles.pv_limit_pct = if enabled { f64::from(image.word(LIMIT)) * 0.1 } else { 100.0 };
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.irradiance.see(plant.pv().irradiance, dt);
        self.module.see(plant.pv().module_c, dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let pv = plant.pv();
        let milli = |kw: f64| encode_u32((kw * 1000.0).round() as i32 as u32, Order::Abcd);
        let mut image = self.image.lock();
        image.put_input(input(30_001), &[pv.state as u16]);
        image.put_input(input(30_002), &milli(pv.power_kw));
        image.put_input(input(30_004), &encode_u64(pv.energy.count()));
        image.put_input(input(30_008), &milli(pv.dc_kw));
        // In the dark the sensor's noise would be light.
        let irradiance = if pv.irradiance > 0.0 { self.irradiance.value() } else { 0.0 };
        image.put_input(input(30_010), &[encode_u16(irradiance, 1.0)]);
        image.put_input(input(30_011), &[encode_i16(self.module.value(), 0.1)]);
        image.put_input(input(30_012), &[encode_u16(plant.meter(Feeder::Pv).frequency_hz, 0.01)]);
    }
}
