//! The simulated plant: process models and the device servers in front of them.
//!
//! A municipal wastewater plant at Jinan of 18 446 m3/d: biology (ASM1, Takacs settler), air side, phosphorus and
//! chlorine, PV, heat pump and electrical feeders. Six devices show it to the world over Modbus and OPC UA, as the real
//! ones would: through instruments with lag and noise, in scaled registers, with watchdogs of their own.
//!
//! | layer | module | knows |
//! | --- | --- | --- |
//! | process models | [`models`] | physics, no registers |
//! | plant | [`plant`] | all models on one clock, typed handles, true values |
//! | device programs | [`devices`], [`instruments`] | registers, instruments, local control; no sockets |
//! | simulation | [`simulation`] | plant and device programs, stepped; deterministic by seed |
//! | field | [`field`] | one face of the two plants; [`score`] judges a run by the truth |
//! | faults | [`faults`] | what is wrong with links, instruments, machines |
//! | scenarios | [`scenario`] | faults and assertions over plant time |
//! | servers | [`run`] | sockets, serial lines, real time or lock-step, the fault interface |
//! | benchmark | [`bsm1`] | the same biology as the IWA benchmark BSM1 defines it, scored as it says |
//!
//! Nothing here is shared with the drivers of the runtime: a simulator with the same codec would share its errors.

mod api;
pub mod bsm1;
mod clock;
mod config;
pub mod devices;
pub mod faults;
pub mod field;
pub mod instruments;
pub mod models;
pub mod options;
pub mod plant;
mod rng;
mod runner;
pub mod scenario;
pub mod score;
pub mod simulation;
pub mod speed;
mod works_score;

pub use clock::PlantClock;
pub use config::{DEVICES, LOCKSTEP, PortError, Ports, SPEED_MAX, SimConfig, SimError};
pub use field::{Field, FieldConfig, PlantKind};
pub use models::wet::{Weather, WeatherError};
pub use runner::run;
