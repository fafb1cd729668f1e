//! Dosing skid: phosphate analysers, coagulant, carbon, hypochlorite; float32 CDAB, unit 2.
//!
//! While a phosphate analyser is cleaned, takes its zero or is out of service, it holds its value and the skid says so with
//! a bit; the status words of all analysers stand from input register 30201 on, in the order of [`STATUS_TAGS`].

use super::image::{Map, Order, Rule, discrete, encode_u16, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::models::tertiary::DoseCommands;
use crate::plant::{Mains, Measured, PAC5_KG_D, Plant};

/// Modbus unit of the skid.
pub const UNIT: u8 = 2;
const COMMANDS: u16 = holding(40_101);
/// Step of the dose commands, L/h.
const COMMAND_STEP: f64 = 0.1;
/// Analysers whose work the skid's own bit tells of.
const PO4_TAGS: [&str; 2] = ["dos/po4/in", "dos/po4/out"];
/// First input register of the status words.
const STATUS: u16 = input(30_201);
/// Instruments with a status word, in the order of their registers.
pub const STATUS_TAGS: [&str; 4] = ["dos/po4/in", "dos/po4/out", "dos/tp/out", "dos/cl2/residual"];

/// The skid.
pub struct DosingSkid {
    image: SharedImage,
    panel: Panel<Measured>,
}

impl DosingSkid {
    /// A skid whose command registers hold what the plant is doing.
    #[must_use]
    pub fn new(seed: u64, plant: &Plant) -> DosingSkid {
        let image = shared(Map {
            input: vec![(input(30_001), 24), (STATUS, STATUS_TAGS.len() as u16)],
            holding: vec![(COMMANDS, 4)],
            discrete: vec![(discrete(10_001), 4)],
            coils: vec![],
            rules: [3000, 3000, 1000, 3000]
                .into_iter()
                .zip(COMMANDS..)
                .map(|(high, at)| Rule::Word { at, low: 0, high })
                .collect(),
        });
        let doses = plant.handles.doses;
        let pac5_l_h = plant.handles.metal_kg_d / PAC5_KG_D;
        let commands = [doses.pac_l_h, doses.carbon_l_h, doses.naclo_l_h, pac5_l_h];
        let commands = commands.map(|l_h| encode_u16(l_h, COMMAND_STEP));
        image.lock().put_holding(COMMANDS, &commands);
        image.lock().keep_power_on();
        DosingSkid { image, panel: Panel::new(seed, Wire::F32(Order::Cdab), points()) }
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
        plant.handles.metal_kg_d = command(3) * PAC5_KG_D;
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.panel.attend(plant.clock(), plant.disturbances.mains != Mains::Absent);
        self.panel.see(plant.measured(), dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let mut image = self.image.lock();
        self.panel.publish(&mut image);
        for (i, running) in plant.measured().dose_running.into_iter().enumerate() {
            image.put_discrete(discrete(10_001) + i as u16, running);
        }
        image.put_discrete(discrete(10_004), self.panel.in_service(&PO4_TAGS));
        self.panel.publish_status(&mut image, STATUS, &STATUS_TAGS);
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
        self.panel.power_cycle();
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
        spec(30_021, "dos/pac5/flow", |m| m.pac5_flow, flow, 0.05, 300.0),
        spec(30_023, "dos/pac5/level", |m| m.pac5_level, flow, 0.02, 100.0),
    ]
}
