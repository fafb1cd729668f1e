//! SunSpec: points by model and name in place of registers.
//!
//! A device begins with "SunS" and a chain of models. The chain is walked when the device comes (`chain`), the points that
//! the site names (`reference`) are found in it by the tables of the models (`models`, `tables`), and from then on are read
//! and written as registers, with their scale factors (`point`). Whatever says "not implemented" is no value (`kind`).

pub mod chain;
pub mod kind;
pub mod models;
pub mod point;
pub mod reference;
mod tables;
pub mod units;

use std::time::Duration;

/// How a device is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Address of "SunS", counted from 0; `None` looks at the three usual places.
    pub base: Option<u16>,
}

impl Settings {
    /// Where to look, in order.
    pub(crate) fn bases(&self) -> Vec<u16> {
        self.base.map_or_else(|| chain::BASES.to_vec(), |base| vec![base])
    }
}

/// A device that gave no chain, or not all that is wanted of it, is looked through again after this time; so is one that
/// refuses registers of its chain, at most so often.
pub const AGAIN: Duration = Duration::from_secs(60);
/// A device whose chain is known is looked through again after this time, while its values are read on.
pub const RECHECK: Duration = Duration::from_secs(600);
