//! Types of SunSpec points: how many registers, which wire type, and how "not implemented" looks.

use crate::wire::WireType;

/// Type of a point, as the model definitions name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Signed, one register.
    Int16,
    /// Unsigned, one register.
    Uint16,
    /// A number of repetitions; it is always there.
    Count,
    /// Counter of one register.
    Acc16,
    /// One of a list of states.
    Enum16,
    /// Bits of one register.
    Bits16,
    /// A power of ten, -10 to 10, by which other points are multiplied.
    Factor,
    /// Fills the model up to an even length.
    Pad,
    /// Signed, two registers.
    Int32,
    /// Unsigned, two registers.
    Uint32,
    /// Counter of two registers.
    Acc32,
    /// Bits of two registers.
    Bits32,
    /// IEEE 754 single.
    Float32,
    /// Unsigned, four registers.
    Uint64,
    /// Counter of four registers.
    Acc64,
    /// Text of so many registers.
    Text(u16),
}

impl Kind {
    /// The wire type that decodes it.
    #[must_use]
    pub fn wire(self) -> WireType {
        match self {
            Self::Int16 | Self::Factor => WireType::Int16,
            Self::Uint16 | Self::Count | Self::Acc16 | Self::Enum16 | Self::Bits16 | Self::Pad => WireType::Uint16,
            Self::Int32 => WireType::Int32,
            Self::Uint32 | Self::Acc32 | Self::Bits32 => WireType::Uint32,
            Self::Float32 => WireType::Float32,
            Self::Uint64 | Self::Acc64 => WireType::Uint64,
            Self::Text(registers) => WireType::Text(registers * 2),
        }
    }

    /// Registers it takes.
    #[must_use]
    pub fn registers(self) -> u16 {
        self.wire().registers()
    }

    /// True for energy and charge that count up, where 0 means that nothing is counted.
    #[must_use]
    pub fn is_counter(self) -> bool {
        matches!(self, Self::Acc16 | Self::Acc32 | Self::Acc64)
    }

    /// True where the value has fractions even without a scale factor.
    #[must_use]
    pub fn is_float(self) -> bool {
        self == Self::Float32
    }

    /// True where these registers say that the device does not have the point. A counter that stands at 0 says so too,
    /// unless `zero_counts`.
    #[must_use]
    pub fn is_absent(self, words: &[u16], zero_counts: bool) -> bool {
        let all = |word: u16| words.iter().all(|w| *w == word);
        let lowest = || words.first() == Some(&0x8000) && words.iter().skip(1).all(|w| *w == 0);
        match self {
            Self::Count => false,
            Self::Pad => true,
            Self::Int16 | Self::Factor | Self::Int32 => lowest(),
            Self::Uint16 | Self::Enum16 | Self::Bits16 | Self::Uint32 | Self::Bits32 | Self::Uint64 => all(0xFFFF),
            Self::Acc16 | Self::Acc32 | Self::Acc64 => all(0) && !zero_counts,
            // The definition names one pattern of NaN; devices use others.
            Self::Float32 => match words {
                [high, low] => f32::from_bits(u32::from(*high) << 16 | u32::from(*low)).is_nan(),
                _ => false,
            },
            Self::Text(_) => all(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_implemented_is_seen_by_the_pattern_of_its_type() {
        for (kind, absent, present) in [
            (Kind::Int16, vec![0x8000], vec![0x7FFF]),
            (Kind::Factor, vec![0x8000], vec![0xFFFE]),
            (Kind::Uint16, vec![0xFFFF], vec![0x8000]),
            (Kind::Enum16, vec![0xFFFF], vec![0]),
            (Kind::Acc16, vec![0], vec![1]),
            (Kind::Int32, vec![0x8000, 0], vec![0x8000, 1]),
            (Kind::Uint32, vec![0xFFFF, 0xFFFF], vec![0xFFFF, 0xFFFE]),
            (Kind::Acc32, vec![0, 0], vec![0, 1]),
            (Kind::Bits32, vec![0xFFFF, 0xFFFF], vec![0, 0]),
            (Kind::Float32, vec![0x7FC0, 0], vec![0, 0]),
            (Kind::Float32, vec![0xFFC0, 1], vec![0x7F80, 0]),
            (Kind::Uint64, vec![0xFFFF; 4], vec![0; 4]),
            (Kind::Acc64, vec![0; 4], vec![0, 0, 0, 1]),
            (Kind::Text(2), vec![0, 0], vec![0x4100, 0]),
        ] {
            assert!(kind.is_absent(&absent, false), "{kind:?} {absent:x?}");
            assert!(!kind.is_absent(&present, false), "{kind:?} {present:x?}");
            assert_eq!(usize::from(kind.registers()), absent.len(), "{kind:?}");
        }
        assert!(!Kind::Acc32.is_absent(&[0, 0], true), "a site may say that 0 is a count");
        assert!(!Kind::Count.is_absent(&[0xFFFF], false));
    }
}
