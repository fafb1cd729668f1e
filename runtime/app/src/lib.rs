//! The parts of the `penstock` program: what turns files and command lines into a running site.

#[macro_use]
mod say;

mod browse;
pub mod cases;
pub mod change;
pub mod cli;
pub mod config;
mod demo;
pub mod diagnostics;
mod log;
mod pki;
mod plan;
mod point;
mod recorder;
mod registers;
mod replay;
pub mod run;
mod signals;
mod sim;
mod simulate;
pub mod supervise;
mod tune;
mod users;
mod verify;
