//! How a value lies in bits and registers: its wire type and its byte order.

use std::fmt;

/// How a value is represented on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireType {
    /// A coil, a discrete input, or one bit of a register.
    Bit,
    /// The low byte of a register, signed.
    Int8Low,
    /// The high byte of a register, signed.
    Int8High,
    /// One register, signed.
    Int16,
    /// One register, unsigned.
    Uint16,
    /// Two registers, signed.
    Int32,
    /// Two registers, unsigned.
    Uint32,
    /// Four registers, signed.
    Int64,
    /// Four registers, unsigned.
    Uint64,
    /// Two registers, IEEE 754 single.
    Float32,
    /// Four registers, IEEE 754 double.
    Float64,
    /// Text of this many bytes, two to a register, ended by a zero byte or padded with blanks.
    Text(u16),
    /// One register, four decimal digits.
    Bcd16,
    /// Two registers, eight decimal digits.
    Bcd32,
}

/// One row per type: our word first, then what other products and IEC 61131 call it.
const TYPES: [(WireType, &[&str]); 13] = [
    (WireType::Bit, &["bit", "bool", "boolean"]),
    (WireType::Int8Low, &["int8l", "int8low", "sint"]),
    (WireType::Int8High, &["int8h", "int8high"]),
    (WireType::Int16, &["int16", "int", "short", "i16"]),
    (WireType::Uint16, &["uint16", "uint", "word", "u16"]),
    (WireType::Int32, &["int32", "dint", "i32"]),
    (WireType::Uint32, &["uint32", "udint", "dword", "u32"]),
    (WireType::Int64, &["int64", "lint", "i64"]),
    (WireType::Uint64, &["uint64", "ulint", "qword", "lword", "u64"]),
    (WireType::Float32, &["float32", "float", "real", "single", "f32"]),
    (WireType::Float64, &["float64", "double", "lreal", "f64"]),
    (WireType::Bcd16, &["bcd16", "bcd"]),
    (WireType::Bcd32, &["bcd32", "lbcd"]),
];

/// A text that names no wire type or byte order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {hint}")]
pub struct WireError {
    /// The text.
    pub text: String,
    /// What it should have been: `wire type` or `byte order`.
    pub what: &'static str,
    /// What to write instead.
    pub hint: String,
}

impl WireType {
    /// Reads a type by our word or by one of its aliases, in any case: `float32`, `REAL`, `string(20)`.
    ///
    /// # Errors
    /// When no type has that name, or a text has no sensible length.
    pub fn parse(text: &str) -> Result<WireType, WireError> {
        let word = text.trim().to_ascii_lowercase();
        let fail = |hint: &str| WireError { text: text.to_owned(), what: "wire type", hint: hint.to_owned() };
        if let Some(row) = TYPES.iter().find(|row| row.1.contains(&word.as_str())) {
            return Ok(row.0);
        }
        if let Some(rest) = word.strip_prefix("string").or_else(|| word.strip_prefix("text")) {
            let digits = rest.trim_start_matches('(').trim_end_matches(')');
            return match digits.parse::<u16>() {
                Ok(n) if (1..=crate::limits::TEXT_BYTES_WIRE_MAX).contains(&n) => Ok(WireType::Text(n)),
                _ => Err(fail("a text names its bytes, for example string(20); one request carries at most 250")),
            };
        }
        Err(fail(
            "use bit, int16, uint16, int32, uint32, int64, uint64, float32, float64, string(n), bcd16, bcd32, int8l \
             or int8h",
        ))
    }

    /// How many registers it takes; a bit takes one place of its area.
    #[must_use]
    pub fn registers(self) -> u16 {
        match self {
            Self::Bit | Self::Int8Low | Self::Int8High | Self::Int16 | Self::Uint16 | Self::Bcd16 => 1,
            Self::Int32 | Self::Uint32 | Self::Float32 | Self::Bcd32 => 2,
            Self::Int64 | Self::Uint64 | Self::Float64 => 4,
            Self::Text(bytes) => bytes.div_ceil(2),
        }
    }

    /// True for text.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text(_))
    }
}

impl fmt::Display for WireType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|row| row.0 == *self) {
            Some(row) => f.write_str(row.1[0]),
            None => match self {
                Self::Text(bytes) => write!(f, "string({bytes})"),
                _ => Ok(()),
            },
        }
    }
}

/// In which order the bytes of a value arrive; `A` is the most significant. The names are those of a 32-bit value;
/// the same rule is applied to 16 and 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ByteOrder {
    /// Big-endian, the protocol's own: `AB`, `ABCD`, `ABCDEFGH`.
    #[default]
    Abcd,
    /// Words swapped: `AB`, `CDAB`, `GHEFCDAB`.
    Cdab,
    /// Bytes swapped within each word: `BA`, `BADC`, `BADCFEHG`.
    Badc,
    /// Little-endian: `BA`, `DCBA`, `HGFEDCBA`.
    Dcba,
    /// 64 bits only: words swapped within each half, `CDABGHEF`.
    Cdabghef,
    /// 64 bits only: the halves swapped, `EFGHABCD`.
    Efghabcd,
}

/// One row per order: names, and for 2, 4 and 8 bytes the place on the wire of each byte, most significant first.
/// The two orders of 64 bits alone have the rows of the nearest 32-bit order for shorter values; the check refuses them.
struct OrderRow {
    order: ByteOrder,
    names: &'static [&'static str],
    two: [usize; 2],
    four: [usize; 4],
    eight: [usize; 8],
}

const ORDERS: [OrderRow; 6] = [
    OrderRow {
        order: ByteOrder::Abcd,
        names: &["abcd", "ab", "abcdefgh", "12345678", "1234", "big", "big-endian", "be", "#bb", "bb"],
        two: [0, 1],
        four: [0, 1, 2, 3],
        eight: [0, 1, 2, 3, 4, 5, 6, 7],
    },
    OrderRow {
        order: ByteOrder::Cdab,
        names: &["cdab", "ghefcdab", "78563412", "3412", "swapped", "word-swap", "mle", "#lb", "lb"],
        two: [0, 1],
        four: [2, 3, 0, 1],
        eight: [6, 7, 4, 5, 2, 3, 0, 1],
    },
    OrderRow {
        order: ByteOrder::Badc,
        names: &["badc", "ba", "badcfehg", "21436587", "2143", "byte-swap", "#bl", "bl"],
        two: [1, 0],
        four: [1, 0, 3, 2],
        eight: [1, 0, 3, 2, 5, 4, 7, 6],
    },
    OrderRow {
        order: ByteOrder::Dcba,
        names: &["dcba", "hgfedcba", "87654321", "4321", "little", "little-endian", "le", "#ll", "ll"],
        two: [1, 0],
        four: [3, 2, 1, 0],
        eight: [7, 6, 5, 4, 3, 2, 1, 0],
    },
    OrderRow {
        order: ByteOrder::Cdabghef,
        names: &["cdabghef", "34127856"],
        two: [0, 1],
        four: [2, 3, 0, 1],
        eight: [2, 3, 0, 1, 6, 7, 4, 5],
    },
    OrderRow {
        order: ByteOrder::Efghabcd,
        names: &["efghabcd", "56781234"],
        two: [0, 1],
        four: [2, 3, 0, 1],
        eight: [4, 5, 6, 7, 0, 1, 2, 3],
    },
];

impl ByteOrder {
    /// Every order.
    pub const ALL: [ByteOrder; 6] = [Self::Abcd, Self::Cdab, Self::Badc, Self::Dcba, Self::Cdabghef, Self::Efghabcd];

    /// Reads an order by its letters (`CDAB`), its digits (`3412`), or what other products call it (`#LB`, `swapped`,
    /// `little`, `MLE`), in any case.
    ///
    /// # Errors
    /// When no order has that name.
    pub fn parse(text: &str) -> Result<ByteOrder, WireError> {
        let word = text.trim().to_ascii_lowercase().replace([' ', '_'], "-");
        let joined = word.replace('-', "");
        let hit = |row: &&OrderRow| row.names.iter().any(|n| *n == word || *n == joined);
        ORDERS.iter().find(hit).map(|row| row.order).ok_or_else(|| WireError {
            text: text.to_owned(),
            what: "byte order",
            hint: "use ABCD (big-endian), CDAB (words swapped), BADC (bytes swapped) or DCBA (little-endian); for 64 \
                   bits also CDABGHEF and EFGHABCD"
                .to_owned(),
        })
    }

    /// True for the two orders that only 64-bit values can have.
    #[must_use]
    pub fn is_64_bit_only(self) -> bool {
        matches!(self, Self::Cdabghef | Self::Efghabcd)
    }

    /// For each byte of a value of `bytes` (2, 4 or 8), most significant first, its place on the wire.
    pub(crate) fn places(self, bytes: usize) -> &'static [usize] {
        const ROWS: &[OrderRow] = &ORDERS;
        let row = &ROWS[match self {
            Self::Abcd => 0,
            Self::Cdab => 1,
            Self::Badc => 2,
            Self::Dcba => 3,
            Self::Cdabghef => 4,
            Self::Efghabcd => 5,
        }];
        match bytes {
            2 => &row.two,
            4 => &row.four,
            _ => &row.eight,
        }
    }
}

impl fmt::Display for ByteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = ORDERS.iter().find(|row| row.order == *self);
        f.write_str(&row.map_or(String::new(), |row| row.names[0].to_ascii_uppercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_every_alias_and_printed_by_one_word() {
        for (wire, names) in TYPES {
            for name in names {
                assert_eq!(WireType::parse(&name.to_ascii_uppercase()), Ok(wire), "{name}");
            }
            assert_eq!(WireType::parse(&wire.to_string()), Ok(wire));
        }
        assert_eq!(WireType::parse("STRING(20)"), Ok(WireType::Text(20)));
        assert_eq!(WireType::parse("text(20)").unwrap().to_string(), "string(20)");
        for wrong in ["", "string", "string(0)", "string(251)", "int128", "float32 "] {
            assert_eq!(WireType::parse(wrong).is_ok(), wrong == "float32 ", "{wrong}");
        }
    }

    #[test]
    fn orders_are_read_by_every_alias() {
        for (text, want) in [
            ("ABCD", ByteOrder::Abcd),
            ("AB CD", ByteOrder::Abcd),
            ("CD AB", ByteOrder::Cdab),
            ("#BL", ByteOrder::Badc),
            ("BA", ByteOrder::Badc),
            ("LE", ByteOrder::Dcba),
            ("big endian", ByteOrder::Abcd),
            ("word_swap", ByteOrder::Cdab),
            ("34127856", ByteOrder::Cdabghef),
            ("56781234", ByteOrder::Efghabcd),
        ] {
            assert_eq!(ByteOrder::parse(text), Ok(want), "{text}");
        }
        for order in ByteOrder::ALL {
            assert_eq!(ByteOrder::parse(&order.to_string()), Ok(order));
        }
        assert!(ByteOrder::parse("ACBD").unwrap_err().to_string().contains("CDAB"));
    }
}
