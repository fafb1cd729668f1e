//! A simulated plant with its devices, whichever plant it is: what sockets, scenarios and virtual time need of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::bsm1::Bsm1Error;
use crate::bsm1::site::Benchmark;
use crate::devices::SharedImage;
use crate::devices::modbus::Units;
use crate::devices::sludge::SharedNodes;
use crate::faults::{ActiveFault, FaultBook, FaultsFull, Injection, LinkState, Quantity};
use crate::models::wet::Weather;
use crate::score::Score;
use crate::simulation::Simulation;

/// Which plant is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlantKind {
    /// The works at Jinan with all their machines.
    #[default]
    Jinan,
    /// The IWA benchmark BSM1: its handles and sensors, nothing else.
    Bsm1,
}

impl fmt::Display for PlantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlantKind::Jinan => "jinan",
            PlantKind::Bsm1 => "bsm1",
        })
    }
}

/// A word names no plant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no plant; there are jinan, bsm1")]
pub struct PlantError {
    /// The word that was given.
    pub word: String,
}

impl FromStr for PlantKind {
    type Err = PlantError;

    fn from_str(word: &str) -> Result<PlantKind, PlantError> {
        match word {
            "jinan" => Ok(PlantKind::Jinan),
            "bsm1" => Ok(PlantKind::Bsm1),
            _ => Err(PlantError { word: word.to_owned() }),
        }
    }
}

/// Why a fault or a weather could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// Too many faults are active.
    #[error(transparent)]
    Full(#[from] FaultsFull),
    /// The fault is one of another plant.
    #[error("the plant `{plant}` has no {what}")]
    Elsewhere {
        /// What it does not have.
        what: String,
        /// Name of the plant.
        plant: &'static str,
    },
    /// The weather has no influent.
    #[error("{reason}")]
    Weather {
        /// Why not.
        reason: String,
    },
}

/// A simulated plant with its devices.
pub trait Field: Send {
    /// Goes on by `plant_dt` seconds of plant time, during which `real_dt` seconds of real time passed, and publishes.
    fn step(&mut self, plant_dt: f64, real_dt: f64);
    /// Lays what the instruments show now where clients read it.
    fn publish(&mut self);
    /// Plant time, Unix seconds.
    fn unix_s(&self) -> f64;
    /// Plant time since the start, s.
    fn elapsed_s(&self) -> f64;
    /// Modbus devices with the registers of their units.
    fn images(&self) -> Vec<(&'static str, Vec<(u8, SharedImage)>)>;
    /// Nodes of the OPC UA device, where the plant has one.
    fn opcua_nodes(&self) -> Option<SharedNodes> {
        None
    }
    /// Begins a fault and returns its number.
    ///
    /// # Errors
    /// [`InjectError`] when the list is full or the plant does not have what should fail.
    fn inject(&mut self, injection: Injection) -> Result<u64, InjectError>;
    /// Ends a fault; false when none has that number.
    fn clear(&mut self, id: u64) -> bool;
    /// The list of faults.
    fn fault_book(&self) -> &FaultBook;
    /// All measured quantities, and the states of machines (1 for running, tripped or obeying).
    fn quantities(&self) -> Vec<Quantity>;
    /// Changes the weather from now on.
    ///
    /// # Errors
    /// [`InjectError::Weather`] when there is no influent for it.
    fn set_weather(&mut self, weather: Weather) -> Result<(), InjectError>;
    /// What the run came to since `from_s` seconds after the start.
    fn score(&self, from_s: f64) -> Score;

    /// Ends all faults.
    fn clear_all(&mut self) {
        let ids: Vec<u64> = self.faults().iter().map(|fault| fault.id).collect();
        for id in ids {
            self.clear(id);
        }
    }
    /// Active faults in the order in which they began.
    fn faults(&self) -> &[ActiveFault] {
        self.fault_book().active()
    }
    /// State of the link to a device.
    fn link(&self, device: &str) -> LinkState {
        self.fault_book().link(device)
    }
    /// Modbus devices as sockets serve them.
    fn modbus_devices(&self) -> Vec<(&'static str, Units)> {
        self.images().into_iter().map(|(device, units)| (device, Units::new(units))).collect()
    }
    /// Registers of one unit behind a Modbus socket.
    fn image(&self, device: &str, unit: u8) -> Option<SharedImage> {
        let (_, units) = self.images().into_iter().find(|(name, _)| *name == device)?;
        units.into_iter().find(|(u, _)| *u == unit).map(|(_, image)| image)
    }
}

/// What a plant is made from.
#[derive(Debug, Clone, Default)]
pub struct FieldConfig {
    /// Which plant.
    pub kind: PlantKind,
    /// Seed of weather, influent and instrument noise.
    pub seed: u64,
    /// Start of the plant clock, Unix seconds.
    pub start_unix_s: i64,
    /// Weather over the catchment.
    pub weather: Weather,
    /// Folder with influent and noise files of the benchmark, for [`PlantKind::Bsm1`]; our own generator where absent.
    pub influent: Option<PathBuf>,
}

/// Makes a plant.
///
/// # Errors
/// [`Bsm1Error`] when a file of the benchmark is missing or wrong.
pub fn build(config: &FieldConfig) -> Result<Box<dyn Field>, Bsm1Error> {
    Ok(match config.kind {
        PlantKind::Jinan => Box::new(Simulation::in_weather(config.seed, config.start_unix_s, config.weather)),
        PlantKind::Bsm1 => {
            Box::new(Benchmark::new(config.seed, config.start_unix_s, config.weather, config.influent.as_deref())?)
        }
    })
}
