//! PV inverter: mixed integer registers, ABCD, unit 3.
//!
//! The power limit is held only while the client keeps writing it: after the revert time (register 40003, real-time
//! seconds, 0 for never) without a write of limit or enable the limit register returns to 100 %.

use super::image::{Map, Rule, encode_u64, holding, input};
use super::panel::{Panel, Spec, Wire};
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
    panel: Panel<Plant>,
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
        image.lock().keep_power_on();
        Inverter { image, panel: panel(seed), writes: 0, unwritten_s: 0.0 }
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
        self.panel.see(plant, dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let pv = plant.pv();
        let mut image = self.image.lock();
        image.put_input(input(30_001), &[pv.state as u16]);
        image.put_input(input(30_004), &encode_u64(pv.shown_count()));
        self.panel.publish(&mut image);
        // In the dark the sensor's noise would be light.
        let dark = pv.irradiance <= 0.0;
        if dark && self.panel.instrument("pv/irradiance").is_some_and(|sensor| !sensor.broken()) {
            image.put_input(input(30_010), &[0]);
        }
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
        (self.writes, self.unwritten_s) = (0, 0.0);
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.panel.instrument(tag)
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        self.panel.quantities(plant, see);
    }
}

fn panel(seed: u64) -> Panel<Plant> {
    type Read = fn(&Plant) -> f64;
    let spec = |number, tag: &str, read: Read, class, sigma, range| Spec {
        at: input(number),
        tag: tag.to_owned(),
        read,
        class,
        sigma,
        range,
    };
    let direct = Class::Direct;
    let kw = (-2000.0, 2000.0);
    let powers = vec![
        spec(30_002, "pv/power", |p| p.pv().power_kw, direct, 0.0, kw),
        spec(30_008, "pv/dc_power", |p| p.pv().dc_kw, direct, 0.0, kw),
    ];
    let sun = spec(30_010, "pv/irradiance", |p| p.pv().irradiance, Class::Fast(3.0), 1.0, (0.0, 1400.0));
    let module = spec(30_011, "pv/module_temp", |p| p.pv().module_c, Class::Fast(5.0), 0.05, (-40.0, 100.0));
    let frequency = spec(30_012, "pv/freq", |p| p.meter(Feeder::Pv).frequency_hz, direct, 0.0, (0.0, 100.0));
    Panel::new(seed, Wire::I32(0.001), powers)
        .and(Panel::new(seed, Wire::U16(1.0), vec![sun]))
        .and(Panel::new(seed, Wire::I16(0.1), vec![module]))
        .and(Panel::new(seed, Wire::U16(0.01), vec![frequency]))
}
