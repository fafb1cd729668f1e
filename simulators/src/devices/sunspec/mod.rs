//! SunSpec: a chain of standard models in the holding registers, from "SunS" at PDU address 40000 to the end model.
//!
//! Values are whole numbers with a scale factor beside them that moves with the magnitude, as inverters do: who reads
//! the one without the other, or keeps a factor from before, is off by powers of ten.

pub mod control;
pub mod inverter;
pub mod meter;
pub mod models;

use super::image::Image;
use models::{M1, Model};

/// PDU address of "SunS".
pub const BASE: u16 = 40_000;
/// Number of the model after the last.
const END_MODEL: u16 = 0xffff;

/// A model at its place in a device's chain.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// PDU address of its ID register.
    pub at: u16,
    /// The model.
    pub model: Model,
}

impl Placed {
    /// The first model, after "SunS".
    #[must_use]
    pub const fn first(model: Model) -> Placed {
        Placed { at: BASE + 2, model }
    }

    /// The model behind this one.
    #[must_use]
    pub const fn then(&self, model: Model) -> Placed {
        Placed { at: self.at + 2 + self.model.length(), model }
    }

    /// PDU address of a point.
    #[must_use]
    pub const fn point(&self, name: &str) -> u16 {
        self.at + self.model.offset(name)
    }
}

/// Common model of every device here.
pub const COMMON: Placed = Placed::first(M1);

/// Registers of a chain, all points not implemented, with the end model.
#[must_use]
pub fn chain(models: &[Placed]) -> Vec<u16> {
    // "SunS".
    let mut words = vec![0x5375, 0x6e53];
    for placed in models {
        words.extend([placed.model.id, placed.model.length()]);
        for (_, kind) in placed.model.points {
            let (first, rest) = kind.not_implemented();
            words.push(first);
            words.extend((1..kind.registers()).map(|_| rest));
        }
    }
    words.extend([END_MODEL, 0]);
    words
}

/// Lays a text of so many registers, filled up with zero bytes.
pub fn put_text(image: &mut Image, at: u16, registers: usize, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(2 * registers, 0);
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    image.put_holding(at, &words);
}

/// Fills the common model.
pub fn put_common(image: &mut Image, model: &str, version: &str, serial: &str, address: u8) {
    put_text(image, const { COMMON.point("Mn") }, 16, "Penstock");
    put_text(image, const { COMMON.point("Md") }, 16, model);
    put_text(image, const { COMMON.point("Vr") }, 8, version);
    put_text(image, const { COMMON.point("SN") }, 16, serial);
    image.put_holding(const { COMMON.point("DA") }, &[u16::from(address)]);
}

/// Lays an unsigned 32-bit number, high word first.
pub fn put_u32(image: &mut Image, at: u16, value: u32) {
    image.put_holding(at, &[(value >> 16) as u16, value as u16]);
}

/// Lays an unsigned 64-bit number, high word first.
pub fn put_u64(image: &mut Image, at: u16, value: u64) {
    image.put_holding(at, &super::image::encode_u64(value));
}

/// Largest magnitude of a signed register; 0x8000 means not implemented.
const I16_FULL: f64 = 32_767.0;
/// Largest value of an unsigned register; 0xFFFF means not implemented.
const U16_FULL: f64 = 65_534.0;
/// A factor falls when the value would then fill so much of the register: between this and full it stays.
const FALL: f64 = 0.8;

/// A scale factor that moves with the magnitude of its values, with hysteresis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    now: i16,
    least: i16,
    most: i16,
    full: f64,
}

impl Scale {
    /// For signed registers; the factor stays between two powers of ten.
    #[must_use]
    pub const fn signed(least: i16, most: i16) -> Scale {
        Scale { now: least, least, most, full: I16_FULL }
    }

    /// For unsigned registers.
    #[must_use]
    pub const fn unsigned(least: i16, most: i16) -> Scale {
        Scale { now: least, least, most, full: U16_FULL }
    }

    /// Moves the factor so that the value of the largest magnitude fits, and returns its register.
    pub fn fit(&mut self, largest: f64) -> u16 {
        let filled = |factor: i16| largest.abs() / 10_f64.powi(i32::from(factor)) / self.full;
        while self.now < self.most && filled(self.now) > 1.0 {
            self.now += 1;
        }
        while self.now > self.least && filled(self.now - 1) < FALL {
            self.now -= 1;
        }
        self.now as u16
    }

    /// A value at the present factor, held at the ends of the register.
    #[must_use]
    pub fn lay(&self, value: f64) -> u16 {
        let steps = (value / 10_f64.powi(i32::from(self.now))).round();
        if self.full == I16_FULL {
            steps.clamp(-self.full, self.full) as i16 as u16
        } else {
            steps.clamp(0.0, self.full) as u16
        }
    }
}

/// A value in steps of a fixed power of ten, signed.
#[must_use]
pub fn fixed_i16(value: f64, factor: i16) -> u16 {
    Scale::signed(factor, factor).lay(value)
}

/// A value in steps of a fixed power of ten, unsigned.
#[must_use]
pub fn fixed_u16(value: f64, factor: i16) -> u16 {
    Scale::unsigned(factor, factor).lay(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{M103, M123};

    #[test]
    fn a_chain_is_walked_by_its_lengths() {
        let inverter = COMMON.then(M103);
        let controls = inverter.then(M123);
        let words = chain(&[COMMON, inverter, controls]);
        assert_eq!(words[..2], [0x5375, 0x6e53]);
        let mut at = 2;
        let mut ids = Vec::new();
        while words[at] != END_MODEL {
            ids.push(words[at]);
            at += 2 + usize::from(words[at + 1]);
        }
        assert_eq!((ids, at + 2), (vec![1, 103, 123], words.len()));
        assert_eq!((inverter.at, controls.at), (40_070, 40_122));
        let word = |address: u16| words[usize::from(address - BASE)];
        assert_eq!(
            [inverter.point("W"), inverter.point("A"), inverter.point("St")].map(word),
            [0x8000, 0xffff, 0xffff]
        );
        assert_eq!([inverter.point("W_SF"), inverter.point("WH")].map(word), [0x8000, 0]);
    }

    #[test]
    fn the_factor_moves_with_hysteresis() {
        let mut scale = Scale::signed(-1, 2);
        let mut at = |value: f64| (scale.fit(value) as i16, scale.lay(value) as i16);
        assert_eq!(at(0.0), (-1, 0));
        assert_eq!(at(3000.0), (-1, 30_000));
        assert_eq!(at(3300.0), (0, 3300));
        assert_eq!(at(3000.0), (0, 3000), "it does not fall back at once");
        assert_eq!(at(2600.0), (-1, 26_000));
        assert_eq!(at(-590_000.0), (2, -5900));
        assert_eq!(at(300_000.0), (2, 3000), "nor here");
        assert_eq!(at(200_000.0), (1, 20_000));
        assert_eq!(at(9.9e9), (2, 32_767), "beyond the last factor it stops at the end");
        assert_eq!(fixed_i16(-4.0e4, 0), 0x8001, "never the value of not implemented");
        assert_eq!(fixed_u16(7.0e4, 0), 0xfffe);
        assert_eq!(fixed_u16(-1.0, 0), 0);
    }
}
