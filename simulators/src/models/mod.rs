//! Process models: physics only, no registers, no noise of instruments.

pub mod air;
pub mod asm1;
pub mod basin;
pub mod blower;
pub mod dosing;
pub mod heat;
pub mod influent;
pub mod machines;
pub mod meters;
pub mod pv;
mod settled;
pub mod sludge;
pub mod tariff;
pub mod tertiary;
pub mod water;
pub mod weather;
pub mod wet;
pub mod works;

#[cfg(test)]
mod works_tests;
