//! Process models: physics only, no registers, no noise of instruments.

pub mod air;
pub mod asm1;
pub mod heat;
pub mod influent;
pub mod meters;
pub mod pv;
mod settled;
pub mod tertiary;
pub mod weather;
pub mod wet;
pub mod works;

#[cfg(test)]
mod works_tests;
