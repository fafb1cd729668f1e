//! PV inverter: mixed integer registers, ABCD, unit 3.
//!
//! The power limit is held only while the client keeps writing it: after the revert time (register 40003, real-time
//! seconds, 0 for never) without a write of limit or enable the limit register returns to 100 %.
//!
//! The same unit answers with SunSpec models from PDU address 40000 on, and unit 240 is a SunSpec meter on the grid
//! connection point. The vendor's limit and those of the models apply together: the least holds.

use super::image::{Map, Rule, encode_u64, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::sunspec::control::{Controls, Grid, Permit};
use super::sunspec::inverter::{self as models, Measurements, NOMINAL_V, Shown};
use super::sunspec::meter::SunSpecMeter;
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::plant::{Feeder, Mains, Plant};

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
    controls: Controls,
    permit: Permit,
    measurements: Measurements,
    meter: SunSpecMeter,
}

/// What holds before a client has said anything.
const FREE: Permit = Permit { limit_pct: 100.0, connected: true, in_service: true, limited: false, reduced: false };

impl Inverter {
    /// An inverter without limit.
    #[must_use]
    pub fn new(seed: u64) -> Inverter {
        let image = shared(Map {
            input: vec![(input(30_001), 12)],
            holding: vec![(LIMIT, 3), models::block()],
            discrete: vec![],
            coils: vec![],
            rules: [
                Rule::Word { at: LIMIT, low: 0, high: FULL },
                Rule::Word { at: ENABLE, low: 0, high: 1 },
                Rule::Word { at: REVERT, low: 0, high: 3600 },
            ]
            .into_iter()
            .chain(models::rules())
            .collect(),
        });
        image.lock().put_holding(LIMIT, &[FULL, 0, REVERT_DEFAULT_S]);
        models::power_on(&mut image.lock());
        image.lock().keep_power_on();
        Inverter {
            image,
            panel: panel(seed),
            writes: 0,
            unwritten_s: 0.0,
            controls: Controls::new(seed),
            permit: FREE,
            measurements: Measurements::default(),
            meter: SunSpecMeter::new(),
        }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }

    /// Registers of the SunSpec meter behind the same port.
    #[must_use]
    pub fn meter_image(&self) -> SharedImage {
        self.meter.image()
    }

    fn shown(&mut self, plant: &Plant) -> Shown {
        let (pv, meter) = (*plant.pv(), plant.meter(Feeder::Pv));
        let mut seen = |tag, truth| self.panel.instrument(tag).map_or(truth, |instrument| instrument.value());
        Shown {
            power_kw: seen("pv/power", pv.power_kw),
            dc_kw: seen("pv/dc_power", pv.dc_kw),
            frequency_hz: seen("pv/freq", meter.frequency_hz),
            module_c: seen("pv/module_temp", pv.module_c),
            reactive_kvar: meter.reactive_kvar,
            voltage_v: meter.voltage_v,
            outdoor_c: plant.measured().outdoor_c,
            energy_wh: pv.energy.count(),
            state: pv.state,
            mains: plant.disturbances.mains,
            permit: self.permit,
            limit_pct: plant.handles.pv_limit_pct,
            unix_s: plant.clock().unix_s(),
        }
    }
}

impl Station for Inverter {
    fn control(&mut self, plant: &mut Plant, dt: f64, real_dt: f64) {
        let mut image = self.image.lock();
        let writes = image.writes(LIMIT) + image.writes(ENABLE);
        self.unwritten_s = if writes == self.writes { self.unwritten_s + real_dt } else { 0.0 };
        self.writes = writes;
        let revert_s = f64::from(image.word(REVERT));
        if revert_s > 0.0 && self.unwritten_s > revert_s {
            image.put_holding(LIMIT, &[FULL]);
        }
        let enabled = image.word(ENABLE) == 1;
        let vendor_pct = if enabled { f64::from(image.word(LIMIT)) * 0.1 } else { 100.0 };
        let meter = plant.meter(Feeder::Pv);
        let grid = Grid { voltage_pct: meter.voltage_v / NOMINAL_V * 100.0, frequency_hz: meter.frequency_hz };
        let grid = (plant.disturbances.mains != Mains::Absent).then_some(grid);
        self.permit = self.controls.step(&mut image, grid, dt, real_dt);
        plant.handles.pv_limit_pct = vendor_pct.min(self.permit.limit_pct);
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.panel.see(plant, dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let shown = self.shown(plant);
        self.meter.publish(plant.meter(Feeder::Grid));
        let pv = plant.pv();
        let mut image = self.image.lock();
        image.put_input(input(30_001), &[pv.state as u16]);
        image.put_input(input(30_004), &encode_u64(pv.shown_count()));
        self.panel.publish(&mut image);
        self.measurements.publish(&mut image, &shown);
        // In the dark the sensor's noise would be light.
        let dark = pv.irradiance <= 0.0;
        if dark && self.panel.instrument("pv/irradiance").is_some_and(|sensor| !sensor.broken()) {
            image.put_input(input(30_010), &[0]);
        }
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
        (self.writes, self.unwritten_s) = (0, 0.0);
        self.controls.restart();
        self.permit = FREE;
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
