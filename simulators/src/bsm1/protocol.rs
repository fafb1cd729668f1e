//! Protocols of the benchmark: days of constant influent to rest, fourteen dry days, fourteen days of the test file.
//!
//! Indices are those of days 7 to 14 of the test file. Sensors have noise in the dynamic parts only.

use std::path::Path;

use super::Bsm1Error;
use super::balance::Stock;
use super::control::{DiscretePi, Pi};
use super::indices::{Indices, SAMPLE_S, Sample};
use super::influent::Series;
use super::noise::Noise;
use super::plant::{Handles, Plant};
use super::rest;
use super::sensors::{Measured, Sensor};
use crate::instruments::Class;
use crate::models::asm1::{Mix, SNO, SO};
use crate::models::works::Works;

const DAY_S: u64 = 86_400;
/// Days of constant influent before anything is compared.
pub const REST_DAYS: u64 = 200;
/// Days of an influent file.
const FILE_DAYS: u64 = 14;
/// First day of the evaluation window.
const WINDOW_DAY: u64 = 7;
/// Period of the discrete controllers, s.
const SCAN_S: u64 = 60;
/// Mixed liquor the relaxation starts from; the steady state does not depend on it.
const START: Mix = [30.0, 5.0, 1000.0, 100.0, 2000.0, 100.0, 400.0, 1.0, 5.0, 5.0, 1.0, 5.0, 5.0];

/// The files of the benchmark that the runs need.
#[derive(Debug, Clone)]
pub struct Files {
    /// Fourteen dry days.
    pub dry: Series,
    /// Fourteen days with rain from day 9.
    pub rain: Series,
    /// Noise of the sensors.
    pub noise: Noise,
}

impl Files {
    /// Reads them from a folder.
    ///
    /// # Errors
    /// [`Bsm1Error`] with the first file that is missing or wrong.
    pub fn read(folder: &Path) -> Result<Files, Bsm1Error> {
        Ok(Files {
            dry: Series::read(&folder.join("inf_dry.csv"))?,
            rain: Series::read(&folder.join("inf_rain.csv"))?,
            noise: Noise::read(&folder.join("sensornoise_1min.csv"))?,
        })
    }
}

/// The plant with constant handles after [`REST_DAYS`] of constant influent.
#[must_use]
pub fn open_loop_at_rest() -> Plant {
    let mut plant = Plant::new(Works::uniform(START));
    plant.advance(REST_DAYS * DAY_S);
    plant
}

/// What [`closed_loop_at_rest`] comes to, from stored figures: at once.
#[must_use]
pub fn closed_loop_rested() -> Plant {
    let mut plant = Plant::new(rest::WORKS);
    let mut handles = Handles::OPEN_LOOP;
    (handles.kla[4], handles.q_internal) = (rest::KLA5, rest::Q_INTERNAL);
    plant.stand_at(&handles);
    plant.close_loops();
    plant
}

/// The plant under its default loops after [`REST_DAYS`] of constant influent, without noise.
#[must_use]
pub fn closed_loop_at_rest() -> Plant {
    let mut plant = Plant::new(Works::uniform(START));
    plant.close_loops();
    plant.advance(REST_DAYS * DAY_S);
    plant
}

/// Acts on the plant once a minute.
pub trait Controller {
    /// Runs at every whole minute, before the plant goes on.
    fn scan(&mut self, plant: &mut Plant);
}

/// Nothing beside what the plant has in itself.
#[derive(Debug, Clone, Copy)]
pub struct Unattended;

impl Controller for Unattended {
    fn scan(&mut self, _: &mut Plant) {}
}

/// The default loops as a program that runs every minute on noisy class A and B0 sensors.
#[derive(Debug, Clone)]
pub struct EveryMinute {
    so: (usize, DiscretePi),
    sno: (usize, DiscretePi),
}

impl EveryMinute {
    /// Takes over from the continuous loops, or from constant handles, without a bump.
    #[must_use]
    pub fn taking_over(plant: &mut Plant) -> EveryMinute {
        plant.open_loops();
        let so = plant.add_sensor(Sensor::new(Measured::Tank(4, SO), Class::A, 10.0, 0));
        let sno = plant.add_sensor(Sensor::new(Measured::Tank(1, SNO), Class::B0, 20.0, 1));
        let applied = plant.applied();
        let shown = |sensor| plant.shown(sensor).unwrap_or(0.0);
        EveryMinute {
            so: (so, DiscretePi::starting(Pi::SO5, shown(so), applied.kla[4])),
            sno: (sno, DiscretePi::starting(Pi::SNO2, shown(sno), applied.q_internal)),
        }
    }
}

impl Controller for EveryMinute {
    fn scan(&mut self, plant: &mut Plant) {
        let mut handles = *plant.handles();
        // A sensor that is gone leaves its handle as it is.
        if let Some(so) = plant.shown(self.so.0) {
            handles.kla[4] = self.so.1.run(so, SCAN_S as f64);
        }
        if let Some(sno) = plant.shown(self.sno.0) {
            handles.q_internal = self.sno.1.run(sno, SCAN_S as f64);
        }
        plant.set_handles(&handles);
    }
}

/// Fourteen days of an influent file under a controller; indices of days 7 to 14.
pub fn fortnight(
    plant: &mut Plant,
    influent: &Series,
    noise: &Noise,
    controller: &mut dyn Controller,
) -> Option<Indices> {
    plant.begin(influent.clone(), noise.clone());
    let mut samples = Vec::new();
    let mut before = Stock::of(plant.works());
    while plant.time_s() < FILE_DAYS * DAY_S {
        if plant.time_s() == WINDOW_DAY * DAY_S {
            before = Stock::of(plant.works());
        }
        if plant.time_s() >= WINDOW_DAY * DAY_S && plant.time_s().is_multiple_of(SAMPLE_S) {
            samples.push(Sample::of(plant));
        }
        controller.scan(plant);
        plant.advance(SCAN_S);
    }
    Indices::of(&samples, &before, &Stock::of(plant.works()))
}
