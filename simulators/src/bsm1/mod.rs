//! The IWA benchmark BSM1 on the biology of this crate: plant with handles, influent files, sensors, default loops,
//! indices, protocols, and the comparison with the published figures.
//!
//! | module | holds |
//! | --- | --- |
//! | [`plant`] | handles, actuators, default loops; everything integrated together |
//! | [`influent`], [`noise`] | files of the benchmark |
//! | [`sensors`] | sensor classes A to D |
//! | [`points`], [`site`] | its handles and sensors as registers of one controller in the field |
//! | [`control`] | PI controllers, continuous and once a minute |
//! | [`balance`] | mass balances of the plant |
//! | [`indices`] | EQI, OCI and the rest |
//! | [`protocol`] | steady states, dry and rain runs |
//! | [`published`] | figures to compare with |
//!
//! The files of the benchmark are not part of this repository: their terms of redistribution are not settled.

pub mod balance;
pub mod control;
mod fidelity;
pub mod indices;
pub mod influent;
pub mod noise;
pub mod plant;
pub mod points;
pub mod protocol;
pub mod published;
mod rest;
pub mod sensors;
pub mod site;

#[cfg(test)]
mod tests;

pub use fidelity::{Comparison, Report, fidelity};

use std::io;
use std::path::{Path, PathBuf};

/// A file of the benchmark that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Bsm1Error {
    /// The file cannot be read.
    #[error("cannot read benchmark file {path}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A line is not what the file promises.
    #[error("benchmark file {path}:{line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Bsm1Error {
    fn read(path: &Path, source: io::Error) -> Bsm1Error {
        Bsm1Error::Read { path: path.display().to_string(), source }
    }

    fn line(path: &Path, line: usize, reason: String) -> Bsm1Error {
        Bsm1Error::Line { path: path.display().to_string(), line, reason }
    }
}

/// Folder of the benchmark's files where none is named: `PENSTOCK_BSM1_DATA`, or `../shared/data/bsm1` beside the
/// folder the program runs in (the workspace, as a rule).
#[must_use]
pub fn default_data_dir() -> PathBuf {
    std::env::var_os("PENSTOCK_BSM1_DATA").map_or_else(|| PathBuf::from("../shared/data/bsm1"), PathBuf::from)
}
