//! The benchmark as a plant in the field: one controller whose registers are exactly its sensors and handles.
//!
//! The plant has lived through the benchmark's protocol when it starts: days of constant influent to rest, fourteen dry
//! days under the default loops. From then on the handles are the client's; what it does not write stays as the default
//! loops left it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Bsm1Error;
use super::balance::Stock;
use super::indices::{Indices, SAMPLE_S, Sample};
use super::influent::Series;
use super::noise::Noise;
use super::plant::{Handles, Plant};
use super::points::{HANDLES, ORDER, POINTS, UNIT, handle_register, point_register};
use super::protocol;
use super::sensors::Sensor;
use crate::devices::SharedImage;
use crate::devices::image::{Image, Map, Rule, encode_f32};
use crate::faults::{ActuatorFault, Fault, FaultBook, Injection, LinkFault, MachineFault, PlantPart, Pump, Quantity};
use crate::field::{Field, InjectError};
use crate::instruments::{Class, Instrument};
use crate::models::asm1::SO;
use crate::models::wet::Weather;
use crate::score::{Column, SAMPLES_MAX, Score};

/// Socket name of the controller.
pub const DEVICE: &str = "bsm1_plc";
/// Days of our own influent that are laid out: a year and a bit; then its last week comes again and again.
const DAYS: u32 = 371;
/// Days of dry weather before the start.
const WARM_UP_DAYS: u32 = 14;
/// Oxygen above which a tank is aerated for nothing, g/m3.
const OXYGEN_HIGH: f64 = 2.5;

/// Where influent and noise come from.
#[derive(Debug, Clone)]
enum Source {
    /// Our generator.
    Generated,
    /// Files of the benchmark in a folder.
    Files(PathBuf),
}

/// One row of the evaluation.
struct Row {
    at_s: u64,
    sample: Sample,
    oxygen: [f64; 5],
    stock: Stock,
}

/// The benchmark with its controller.
pub struct Benchmark {
    seed: u64,
    start_unix_s: i64,
    source: Source,
    plant: Plant,
    series: Series,
    image: SharedImage,
    sensors: Vec<usize>,
    instruments: Vec<Instrument>,
    faults: FaultBook,
    rows: VecDeque<Row>,
    /// Part of a second not yet stepped.
    rest_s: f64,
}

impl Benchmark {
    /// The plant after its warm-up. `files` is a folder with the benchmark's influent and noise; our own generator makes
    /// both where it is absent.
    ///
    /// # Errors
    /// [`Bsm1Error`] with the file that is missing or wrong.
    pub fn new(seed: u64, start_unix_s: i64, weather: Weather, files: Option<&Path>) -> Result<Benchmark, Bsm1Error> {
        let source = files.map_or(Source::Generated, |folder| Source::Files(folder.to_path_buf()));
        let noise = match &source {
            Source::Generated => Noise::Seeded(seed),
            Source::Files(folder) => Noise::read(&folder.join("sensornoise_1min.csv"))?,
        };
        let warm_up_s = i64::from(WARM_UP_DAYS) * 86_400;
        let dry = source.series(seed, Weather::Dry, start_unix_s - warm_up_s, WARM_UP_DAYS)?;
        let series = source.series(seed, weather, start_unix_s, DAYS)?;
        let mut plant = protocol::closed_loop_rested();
        plant.begin(dry, noise.clone());
        plant.advance(warm_up_s.unsigned_abs());
        plant.begin(series.clone(), noise);
        plant.open_loops();
        let sensors = POINTS.iter().enumerate().map(|(channel, point)| {
            plant.add_sensor(Sensor::new(point.measured, point.class, point.range_max, channel))
        });
        let sensors = sensors.collect();
        let instruments = POINTS.iter().map(|point| {
            // The sensor has lags and noise already; this is where its faults act.
            Instrument::new(seed, point.tag, Class::Direct, 0.0, (0.0, point.range_max))
        });
        let image = Arc::new(Mutex::new(Image::new(map())));
        lay_handles(&mut image.lock(), plant.handles());
        image.lock().keep_power_on();
        let mut benchmark = Benchmark {
            seed,
            start_unix_s,
            source,
            plant,
            series,
            image,
            sensors,
            instruments: instruments.collect(),
            faults: FaultBook::default(),
            rows: VecDeque::new(),
            rest_s: 0.0,
        };
        benchmark.see(0.0);
        benchmark.publish();
        Ok(benchmark)
    }

    /// The plant.
    #[must_use]
    pub fn plant(&self) -> &Plant {
        &self.plant
    }

    /// What the client wrote, and what broken actuators make of it.
    fn command(&mut self) {
        let mut handles = *self.plant.handles();
        {
            let image = self.image.lock();
            for (place, (_, handle)) in HANDLES.iter().enumerate() {
                handle.set(&mut handles, image.float(handle_register(place), ORDER));
            }
        }
        let held = *self.plant.handles();
        let (mut alpha, mut growth) = (1.0, 1.0);
        for active in self.faults.active() {
            let Fault::Machine(fault) = &active.fault else { continue };
            match fault {
                MachineFault::Actuator { actuator, fault } => {
                    for (_, handle) in HANDLES.iter().filter(|(name, _)| actuator.moves(name)) {
                        let wanted = handle.of(&handles);
                        let gives = match fault {
                            ActuatorFault::Stuck => handle.of(&held),
                            ActuatorFault::Cap { max } => wanted.min(*max),
                            ActuatorFault::Gain { factor } => wanted * factor,
                        };
                        handle.set(&mut handles, gives);
                    }
                }
                MachineFault::Plant { part: PlantPart::Alpha, factor } => alpha *= factor,
                MachineFault::Plant { part: PlantPart::Growth, factor } => growth *= factor,
                MachineFault::PumpTrip(Pump::Recycle) => handles.q_internal = 0.0,
                MachineFault::PumpTrip(Pump::Ras) => handles.q_ras = 0.0,
                MachineFault::PumpTrip(Pump::Carbon) => handles.carbon_m3_d = [0.0; 5],
                _ => {}
            }
        }
        self.plant.set_handles(&handles);
        self.plant.set_nature(alpha, growth);
    }

    fn see(&mut self, dt: f64) {
        for (sensor, instrument) in self.sensors.iter().zip(&mut self.instruments) {
            instrument.see(self.plant.shown(*sensor).unwrap_or(0.0), dt);
        }
    }

    fn advance(&mut self, mut seconds: u64) {
        while seconds > 0 {
            let now = self.plant.time_s();
            if now.is_multiple_of(SAMPLE_S) {
                let works = self.plant.works();
                if self.rows.len() == SAMPLES_MAX {
                    self.rows.pop_front();
                }
                self.rows.push_back(Row {
                    at_s: now,
                    sample: Sample::of(&self.plant),
                    oxygen: std::array::from_fn(|k| works.tanks[k][SO]),
                    stock: Stock::of(works),
                });
            }
            let part = seconds.min(SAMPLE_S - now % SAMPLE_S);
            self.plant.advance(part);
            seconds -= part;
        }
    }

    /// Lays the 32-bit values in the order the faults say.
    fn turn_words(&mut self) {
        let turned = self.faults.link(DEVICE).words_turned(UNIT);
        self.image.lock().turn_words(turned);
        self.publish();
    }

    /// What does not fit this plant, in words.
    fn unfit(fault: &Fault) -> Option<String> {
        match fault {
            Fault::Link { device, .. } if *device != DEVICE => Some(format!("device `{device}`")),
            Fault::Sensor { tag, .. } if !POINTS.iter().any(|point| point.tag == *tag) => {
                Some(format!("measured quantity `{tag}`"))
            }
            Fault::Machine(MachineFault::Actuator { actuator, .. })
                if !HANDLES.iter().any(|(name, _)| actuator.moves(name)) =>
            {
                Some(format!("actuator `{actuator}`"))
            }
            Fault::Machine(
                MachineFault::Actuator { .. }
                | MachineFault::Plant { part: PlantPart::Alpha | PlantPart::Growth, .. }
                | MachineFault::PumpTrip(Pump::Recycle | Pump::Ras | Pump::Carbon),
            )
            | Fault::Link { .. }
            | Fault::Sensor { .. } => None,
            Fault::Machine(_) => Some(format!("machine of `{fault}`")),
        }
    }
}

impl Source {
    fn series(&self, seed: u64, weather: Weather, start_unix_s: i64, days: u32) -> Result<Series, Bsm1Error> {
        match self {
            Source::Generated => Ok(Series::generated(seed, weather, start_unix_s, days)),
            Source::Files(folder) => Series::read(&folder.join(match weather {
                Weather::Dry => "inf_dry.csv",
                Weather::Rain => "inf_rain.csv",
                Weather::Storm => "inf_storm.csv",
            })),
        }
    }
}

fn map() -> Map {
    let max = HANDLES.map(|(_, handle)| handle.of(&Handles::MAX));
    let rules = max.iter().enumerate().map(|(place, max)| {
        let (at, high) = (handle_register(place), *max as f32);
        Rule::Float { at, order: ORDER, low: 0.0, high }
    });
    Map {
        input: vec![(point_register(0), 2 * POINTS.len() as u16)],
        holding: vec![(handle_register(0), 2 * HANDLES.len() as u16)],
        discrete: Vec::new(),
        coils: Vec::new(),
        rules: rules.collect(),
    }
}

fn lay_handles(image: &mut Image, handles: &Handles) {
    for (place, (_, handle)) in HANDLES.iter().enumerate() {
        image.put_holding(handle_register(place), &encode_f32(handle.of(handles), ORDER));
    }
}

impl Field for Benchmark {
    fn step(&mut self, plant_dt: f64, real_dt: f64) {
        self.command();
        self.rest_s += plant_dt.max(0.0);
        // A sum of tenths falls short of the whole by rounding.
        let whole = (self.rest_s + 1e-6).floor();
        self.rest_s = (self.rest_s - whole).max(0.0);
        self.advance(whole as u64);
        self.see(plant_dt);
        for id in self.faults.advance(plant_dt, real_dt) {
            self.clear(id);
        }
        self.publish();
    }

    fn publish(&mut self) {
        let mut image = self.image.lock();
        for (place, instrument) in self.instruments.iter().enumerate() {
            image.put_input_pair(point_register(place), encode_f32(instrument.value(), ORDER));
        }
    }

    fn unix_s(&self) -> f64 {
        self.start_unix_s as f64 + self.elapsed_s()
    }

    fn elapsed_s(&self) -> f64 {
        self.plant.time_s() as f64 + self.rest_s
    }

    fn images(&self) -> Vec<(&'static str, Vec<(u8, SharedImage)>)> {
        vec![(DEVICE, vec![(UNIT, self.image.clone())])]
    }

    fn inject(&mut self, injection: Injection) -> Result<u64, InjectError> {
        if let Some(what) = Benchmark::unfit(&injection.fault) {
            return Err(InjectError::Elsewhere { what, plant: "bsm1" });
        }
        let fault = injection.fault.clone();
        let id = self.faults.enter(injection)?;
        match fault {
            Fault::Link { fault: LinkFault::Restart { .. }, .. } => self.image.lock().power_on(),
            Fault::Link { fault: LinkFault::WordSwap, .. } => self.turn_words(),
            Fault::Sensor { tag, fault } => {
                let seed = self.seed;
                for (_, instrument) in POINTS.iter().zip(&mut self.instruments).filter(|(p, _)| p.tag == tag) {
                    instrument.break_down(id, fault, seed);
                }
            }
            Fault::Link { .. } | Fault::Machine(_) => {}
        }
        Ok(id)
    }

    fn clear(&mut self, id: u64) -> bool {
        let Some(ended) = self.faults.take(id) else { return false };
        match ended.fault {
            Fault::Sensor { tag, .. } => {
                for (_, instrument) in POINTS.iter().zip(&mut self.instruments).filter(|(p, _)| p.tag == tag) {
                    instrument.repair(id);
                }
            }
            Fault::Link { fault: LinkFault::WordSwap, .. } => self.turn_words(),
            Fault::Link { .. } | Fault::Machine(_) => {}
        }
        true
    }

    fn fault_book(&self) -> &FaultBook {
        &self.faults
    }

    fn quantities(&self) -> Vec<Quantity> {
        let (works, inflow, applied) = (self.plant.works(), self.plant.inflow(), self.plant.applied());
        let shown = POINTS.iter().zip(&self.instruments);
        shown
            .map(|(point, instrument)| Quantity {
                tag: point.tag.to_owned(),
                truth: point.measured.truth(works, inflow, &applied),
                shown: Some(instrument.value()),
            })
            .collect()
    }

    fn set_weather(&mut self, weather: Weather) -> Result<(), InjectError> {
        let now_s = self.plant.time_s();
        let later = self
            .source
            .series(self.seed, weather, self.start_unix_s + now_s as i64, DAYS)
            .map_err(|error| InjectError::Weather { reason: error.to_string() })?;
        self.series = self.series.followed_by(now_s, &later);
        self.plant.continue_with(self.series.clone());
        Ok(())
    }

    /// Indices of the benchmark and what judges a controller beside them; the window begins at the first sample at or
    /// after `from_s`.
    fn score(&self, from_s: f64) -> Score {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.at_s as f64 >= from_s).collect();
        let Some(first) = rows.first() else { return Score::default() };
        let samples: Vec<Sample> = rows.iter().map(|row| row.sample).collect();
        let Some(indices) = Indices::of(&samples, &first.stock, &Stock::of(self.plant.works())) else {
            return Score::default();
        };
        let mut score = indices.score();
        let count = rows.len() as f64;
        let names = [
            ("do3_mean", "mean oxygen in tank 3", 2),
            ("do4_mean", "mean oxygen in tank 4", 3),
            ("do5_mean", "mean oxygen in tank 5", 4),
        ];
        for (name, title, tank) in names {
            score.add(name, title, "mg/L", rows.iter().map(|row| row.oxygen[tank]).sum::<f64>() / count);
        }
        let high = rows.iter().filter(|row| row.oxygen[4] > OXYGEN_HIGH).count() as f64;
        score.add("do5_over_2_5", "time oxygen in tank 5 over 2.5 mg/L", "%", 100.0 * high / count);
        score.add(
            "do5_max",
            "greatest oxygen in tank 5",
            "mg/L",
            rows.iter().map(|row| row.oxygen[4]).fold(0.0, f64::max),
        );
        let travels = [
            ("kla1_travel", "mean change of KLa of tank 1 in 15 min", 0),
            ("kla2_travel", "mean change of KLa of tank 2 in 15 min", 1),
            ("kla3_travel", "mean change of KLa of tank 3 in 15 min", 2),
            ("kla4_travel", "mean change of KLa of tank 4 in 15 min", 3),
            ("kla5_travel", "mean change of KLa of tank 5 in 15 min", 4),
        ];
        for (name, title, tank) in travels {
            let moves = rows.windows(2).map(|w| (w[1].sample.handles.kla[tank] - w[0].sample.handles.kla[tank]).abs());
            score.add(name, title, "1/d", moves.sum::<f64>() / (count - 1.0).max(1.0));
        }
        let limits = super::indices::limited(&samples);
        let per_day = 86_400 / SAMPLE_S as usize;
        score.limits = limits
            .iter()
            .map(|(name, limit, values)| {
                let mut column = Column::default();
                values.iter().for_each(|(value, flow)| column.add(*value, *flow));
                column.kept(name, "mg/L", *limit, per_day)
            })
            .collect();
        score
    }
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
