//! Dosing skid: phosphate analysers, coagulant, carbon, hypochlorite; float32 CDAB, unit 2.
//!
//! The phosphate analysers clean themselves every day from 3:00 to 3:20 local time: they hold their values and the
//! skid says so.

use super::image::{Map, Order, Rule, discrete, encode_u16, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::models::tertiary::DoseCommands;
use crate::plant::{Measured, Plant};

/// Modbus unit of the skid.
pub const UNIT: u8 = 2;
const COMMANDS: u16 = holding(40_101);
/// Step of the dose commands, L/h.
const COMMAND_STEP: f64 = 0.1;
const PO4_POINTS: [u16; 2] = [input(30_001), input(30_003)];
/// Cleaning of the phosphate analysers, local hours.
const CLEANING: std::ops::Range<f64> = 3.0..3.0 + 20.0 / 60.0;

/// The skid.
pub struct DosingSkid {
    image: SharedImage,
    panel: Panel<Measured>,
    cleaning: bool,
}

impl DosingSkid {
    /// A skid whose command registers hold what the plant is doing.
    #[must_use]
    pub fn new(seed: u64, plant: &Plant) -> DosingSkid {
        let image = shared(Map {
            input: vec![(input(30_001), 20)],
            holding: vec![(COMMANDS, 3)],
            discrete: vec![(discrete(10_001), 4)],
            coils: vec![],
            rules: [3000, 3000, 1000]
                .into_iter()
                .zip(COMMANDS..)
                .map(|(high, at)| Rule::Word { at, low: 0, high })
                .collect(),
        });
        let doses = plant.handles.doses;
        let commands = [doses.pac_l_h, doses.carbon_l_h, doses.naclo_l_h].map(|l_h| encode_u16(l_h, COMMAND_STEP));
        image.lock().put_holding(COMMANDS, &commands);
        image.lock().keep_power_on();
        DosingSkid { image, panel: Panel::new(seed, Wire::F32(Order::Cdab), points()), cleaning: false }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }
}

impl Station for DosingSkid {
    fn control(&mut self, plant: &mut Plant, _dt: f64, _real_dt: f64) {
        let image = self.image.lock();
        let command = |i: u16| f64::from(image.word(COMMANDS + i)) * COMMAND_STEP;
        plant.handles.doses = DoseCommands { pac_l_h: command(0), carbon_l_h: command(1), naclo_l_h: command(2) };
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.cleaning = CLEANING.contains(&plant.clock().hour());
        self.panel.freeze(&PO4_POINTS, self.cleaning);
        self.panel.see(plant.measured(), dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let mut image = self.image.lock();
        self.panel.publish(&mut image);
        for (i, running) in plant.measured().dose_running.into_iter().enumerate() {
            image.put_discrete(discrete(10_001) + i as u16, running);
        }
        image.put_discrete(discrete(10_004), self.cleaning);
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.panel.instrument(tag)
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        self.panel.quantities(plant.measured(), see);
    }
}

fn points() -> Vec<Spec<Measured>> {
    fn spec(
        number: u16,
        tag: &'static str,
        read: fn(&Measured) -> f64,
        class: Class,
        sigma: f64,
        top: f64,
    ) -> Spec<Measured> {
        Spec { at: input(number), tag: tag.to_owned(), read, class, sigma, range: (0.0, top) }
    }
    let flow = Class::Fast(1.0);
    vec![
        spec(30_001, "dos/po4/in", |m| m.po4_in, Class::B1, 0.015, 5.0),
        spec(30_003, "dos/po4/out", |m| m.po4_out, Class::B1, 0.006, 2.0),
        spec(30_005, "dos/pac/flow", |m| m.dose_flow[0], flow, 0.05, 300.0),
        spec(30_007, "dos/carbon/flow", |m| m.dose_flow[1], flow, 0.05, 300.0),
        spec(30_009, "dos/naclo/flow", |m| m.dose_flow[2], flow, 0.02, 100.0),
        spec(30_011, "dos/pac/level", |m| m.dose_level[0], flow, 0.02, 100.0),
        spec(30_013, "dos/carbon/level", |m| m.dose_level[1], flow, 0.02, 100.0),
        spec(30_015, "dos/naclo/level", |m| m.dose_level[2], flow, 0.02, 100.0),
        spec(30_017, "dos/cl2/residual", |m| m.chlorine, Class::A, 0.01, 5.0),
        spec(30_019, "dos/tp/out", |m| m.tp_out, Class::B1, 0.01, 5.0),
    ]
}
