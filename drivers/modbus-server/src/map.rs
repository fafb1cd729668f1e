//! Which tag stands in which registers, and what is written there. Knows no network.
//!
//! Registers are read alike by function 3 and 4, bits alike by 1 and 2: foreign systems differ in which they ask for. The
//! registers of one tag in one answer come from one sample; who reads halves of a value in two requests may get halves of two.

use crate::limits::{BITS_MAX, REGISTERS_MAX};
use penstock_model::{Quality, Sample, TagId, Text};
use std::collections::HashMap;
use std::sync::Arc;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One bit.
    Bit,
    /// One register, 0 to 65535.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers, two's complement.
    I64,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, IEEE 754.
    F64,
}

impl Form {
    /// All that take registers or a bit.
    pub const ALL: [Form; 8] = [Self::Bit, Self::U16, Self::I16, Self::U32, Self::I32, Self::I64, Self::F32, Self::F64];

    /// The word used in files and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Registers it takes; 1 for a bit.
    #[must_use]
    pub fn words(self) -> u16 {
        match self {
            Self::Bit | Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::I64 | Self::F64 => 4,
        }
    }

    /// Smallest and largest raw number of a whole-number form.
    fn bounds(self) -> Option<(f64, f64)> {
        match self {
            Self::U16 => Some((0.0, 65_535.0)),
            Self::I16 => Some((-32_768.0, 32_767.0)),
            Self::U32 => Some((0.0, 4_294_967_295.0)),
            Self::I32 => Some((-2_147_483_648.0, 2_147_483_647.0)),
            // Beyond 2^53 a quantity has no exact whole number.
            Self::I64 => Some((-9_007_199_254_740_992.0, 9_007_199_254_740_992.0)),
            Self::Bit | Self::F32 | Self::F64 => None,
        }
    }

    /// True where a raw number can be written.
    #[must_use]
    pub fn holds(self, raw: f64) -> bool {
        self.raw(raw).is_some()
    }

    /// The number that stands for "no value": what SunSpec uses, and NaN.
    fn mark(self) -> u64 {
        match self {
            Self::Bit => 0,
            Self::U16 => 0xffff,
            Self::I16 => 0x8000,
            Self::U32 => 0xffff_ffff,
            Self::I32 => 0x8000_0000,
            Self::I64 => 0x8000_0000_0000_0000,
            Self::F32 => u64::from(f32::NAN.to_bits()),
            Self::F64 => f64::NAN.to_bits(),
        }
    }

    /// The raw number of a value; `None` where the form cannot hold it.
    fn raw(self, value: f64) -> Option<u64> {
        if let Some((low, high)) = self.bounds() {
            let whole = value.round();
            #[expect(clippy::cast_possible_truncation, reason = "checked to lie within the form's bounds")]
            return (low..=high).contains(&whole).then(|| (whole as i64).cast_unsigned());
        }
        match self {
            Self::Bit => Some(u64::from(value != 0.0)),
            Self::F32 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a value beyond it becomes infinite and is refused"
                )]
                let short = value as f32;
                short.is_finite().then(|| u64::from(short.to_bits()))
            }
            _ => value.is_finite().then(|| value.to_bits()),
        }
    }
}

/// Which register of a value stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordOrder {
    /// The high one, `ABCD`.
    #[default]
    HighFirst,
    /// The low one, `CDAB`.
    LowFirst,
}

/// What stands in the registers of a bad value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bad {
    /// NaN, and what SunSpec writes for whole numbers: 0xFFFF, 0x8000, and so on.
    Mark,
    /// The last value known: only for who reads the quality too.
    Last,
    /// This value, in the tag's unit.
    Value(f64),
    /// No answer but exception 4 for every request that touches it.
    Exception,
}

/// A tag and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The tag.
    pub tag: TagId,
    /// Its path.
    pub path: Arc<str>,
    /// What a person calls it.
    pub title: Text,
    /// Its unit.
    pub unit: String,
    /// Address from 0 on: of the first register, or of the bit.
    pub at: u16,
    /// How it is written.
    pub form: Form,
    /// Which register first.
    pub order: WordOrder,
    /// Value of one step: the raw number times this is the value.
    pub scale: f64,
    /// What stands there while it is bad.
    pub bad: Bad,
    /// Register of its quality: 192 good, 64 uncertain, 0 bad.
    pub quality_at: Option<u16>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Exception 2: nothing stands there.
    Address,
    /// Exception 3: too many or none.
    Count,
    /// Exception 4: a value in it is bad, and its point wants this told so.
    Value,
}

#[derive(Clone, Copy)]
enum Cell {
    /// A word of a point, from its first.
    Word(usize, u16),
    Quality(usize),
    Heartbeat,
}

/// The whole map, laid out by address.
pub struct Map {
    points: Vec<Point>,
    registers: HashMap<u16, Cell>,
    bits: HashMap<u16, usize>,
    register_span: Option<(u16, u16)>,
    bit_span: Option<(u16, u16)>,
}

impl Map {
    /// Lays points out.
    ///
    /// # Errors
    /// For the first point that does not fit: its place in the list, and why.
    pub fn new(points: Vec<Point>, heartbeat_at: Option<u16>) -> Result<Map, (usize, String)> {
        let (mut registers, mut bits) = (HashMap::new(), HashMap::new());
        if let Some(at) = heartbeat_at {
            registers.insert(at, Cell::Heartbeat);
        }
        let said = |cell: &Cell, points: &[Point]| match cell {
            Cell::Word(p, _) => format!("`{}`", points[*p].path),
            Cell::Quality(p) => format!("the quality of `{}`", points[*p].path),
            Cell::Heartbeat => "the heartbeat".to_owned(),
        };
        for (place, point) in points.iter().enumerate() {
            if !point.scale.is_finite() || point.scale == 0.0 {
                return Err((place, format!("scale {} is not a number other than 0", point.scale)));
            }
            let mut cells: Vec<(u32, Cell)> = Vec::new();
            if point.form == Form::Bit {
                if let Some(other) = bits.insert(point.at, place) {
                    return Err((place, format!("bit PDU {} is that of `{}` already", point.at, points[other].path)));
                }
            } else {
                cells.extend(
                    (0..point.form.words()).map(|w| (u32::from(point.at) + u32::from(w), Cell::Word(place, w))),
                );
            }
            cells.extend(point.quality_at.map(|at| (u32::from(at), Cell::Quality(place))));
            for (at, cell) in cells {
                let Ok(at) = u16::try_from(at) else {
                    return Err((place, "it goes beyond the last register, 65535".to_owned()));
                };
                if let Some(other) = registers.insert(at, cell) {
                    return Err((
                        place,
                        format!(
                            "register PDU {at} (HR{}) is that of {} already",
                            u32::from(at) + 1,
                            said(&other, &points)
                        ),
                    ));
                }
            }
        }
        let span = |addresses: &mut dyn Iterator<Item = u16>| {
            addresses.fold(None, |span, at| match span {
                None => Some((at, at)),
                Some((low, high)) => Some((at.min(low), at.max(high))),
            })
        };
        let (register_span, bit_span) = (span(&mut registers.keys().copied()), span(&mut bits.keys().copied()));
        Ok(Map { points, registers, bits, register_span, bit_span })
    }

    /// The points in the order they were given.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The registers from `start`. Those between the first and the last of the map that belong to nothing are 0.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn registers(
        &self,
        start: u16,
        count: u16,
        heartbeat: u16,
        read: &dyn Fn(TagId) -> Sample,
    ) -> Result<Vec<u16>, Refused> {
        let end = ends(start, count, REGISTERS_MAX, self.register_span)?;
        let mut words = Vec::with_capacity(usize::from(count));
        let mut last: Option<(usize, Result<[u16; 4], Refused>, u16)> = None;
        for at in start..=end {
            let (place, word) = match self.registers.get(&at) {
                None => {
                    words.push(0);
                    continue;
                }
                Some(Cell::Heartbeat) => {
                    words.push(heartbeat);
                    continue;
                }
                Some(Cell::Word(place, word)) => (*place, Some(*word)),
                Some(Cell::Quality(place)) => (*place, None),
            };
            let (encoded, quality) = match &last {
                Some((p, encoded, quality)) if *p == place => (*encoded, *quality),
                _ => {
                    let (encoded, quality) = encode(&self.points[place], &read(self.points[place].tag));
                    last = Some((place, encoded, quality));
                    (encoded, quality)
                }
            };
            match word {
                Some(word) => words.push(encoded?[usize::from(word)]),
                None => words.push(quality),
            }
        }
        Ok(words)
    }

    /// The bits from `start`, as [`Map::registers`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn bits(&self, start: u16, count: u16, read: &dyn Fn(TagId) -> Sample) -> Result<Vec<bool>, Refused> {
        let end = ends(start, count, BITS_MAX, self.bit_span)?;
        let bit = |at: u16| match self.bits.get(&at) {
            None => Ok(false),
            Some(place) => encode(&self.points[*place], &read(self.points[*place].tag)).0.map(|w| w[0] != 0),
        };
        (start..=end).map(bit).collect()
    }
}

/// The last address of a request, where it lies within what there is.
fn ends(start: u16, count: u16, most: u16, span: Option<(u16, u16)>) -> Result<u16, Refused> {
    if count == 0 || count > most {
        return Err(Refused::Count);
    }
    let end = start.checked_add(count - 1).ok_or(Refused::Address)?;
    let (low, high) = span.ok_or(Refused::Address)?;
    if start < low || end > high { Err(Refused::Address) } else { Ok(end) }
}

/// A sample as the registers of its point, and its quality as a register. A value that the form cannot hold is bad: a
/// cut one would be a wrong one.
fn encode(point: &Point, sample: &Sample) -> (Result<[u16; 4], Refused>, u16) {
    let known = sample.value.as_ref().and_then(penstock_model::Value::as_f64);
    let raw = |value: f64| point.form.raw(value / point.scale);
    let usable = known.filter(|_| !sample.quality.is_bad()).and_then(raw);
    let quality = match (sample.quality, usable) {
        (_, None) | (Quality::Bad(_), _) => 0,
        (Quality::Uncertain(_), _) => 64,
        (Quality::Good, _) => 192,
    };
    let number = usable.or(match point.bad {
        Bad::Mark => Some(point.form.mark()),
        Bad::Last => Some(known.and_then(raw).unwrap_or(point.form.mark())),
        Bad::Value(value) => Some(raw(value).unwrap_or(point.form.mark())),
        Bad::Exception => None,
    });
    (number.map(|n| split(n, point)).ok_or(Refused::Value), quality)
}

fn split(number: u64, point: &Point) -> [u16; 4] {
    let words = usize::from(point.form.words());
    let mut out = [0; 4];
    for (word, slot) in out.iter_mut().take(words).enumerate() {
        let from_low = match point.order {
            WordOrder::HighFirst => words - 1 - word,
            WordOrder::LowFirst => word,
        };
        *slot = ((number >> (16 * from_low)) & 0xffff) as u16;
    }
    out
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
