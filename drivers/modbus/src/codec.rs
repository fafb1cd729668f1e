//! The one way between what lies on the wire and a tag's value.
//!
//! Reading: places → bytes, most significant first (table of byte orders) → raw number or text (table of shapes) →
//! scale and offset → the tag's type. Writing walks the same two tables backwards. There is no other decoder in this
//! driver: polling, read-back and the tests all pass here.

use crate::config::PointConfig;
use crate::wire::{ByteOrder, WireType};
use penstock_model::{BadReason, Quality, UncertainReason, Value, ValueType};

/// What a request brought for one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Places<'a> {
    /// A coil or a discrete input.
    Bit(bool),
    /// Registers, in the order of their addresses.
    Words(&'a [u16]),
}

/// What a write sends for one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// A coil.
    Bit(bool),
    /// Whole registers.
    Words(Vec<u16>),
    /// Some bits of one register; the others keep what the device has.
    Part {
        /// The bits that are ours.
        mask: u16,
        /// Their values; 0 outside the mask.
        bits: u16,
    },
}

impl Encoded {
    /// True when the device holds exactly what was written.
    pub(crate) fn is_in(&self, places: Places<'_>) -> bool {
        match (self, places) {
            (Self::Bit(a), Places::Bit(b)) => *a == b,
            (Self::Words(a), Places::Words(b)) => a == b,
            (Self::Part { mask, bits }, Places::Words([word])) => word & mask == *bits,
            _ => false,
        }
    }
}

/// A value that cannot be put on the wire.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum EncodeError {
    /// Of a type the point cannot carry.
    #[error("a {got} cannot be written as {wire}")]
    WrongType { got: ValueType, wire: WireType },
    /// Beyond what the wire type holds.
    #[error("{value} does not fit {wire}, which holds {low} to {high} here")]
    OutOfRange { value: f64, wire: WireType, low: f64, high: f64 },
    /// NaN or infinite.
    #[error("a number that is not finite cannot be written")]
    NotFinite,
    /// Longer than the point, or not printable.
    #[error("the text does not fit {0}")]
    Text(WireType),
}

/// How a raw value is laid into its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bit,
    Signed,
    Unsigned,
    Float,
    Bcd,
    Text,
}

/// `kind` in `bytes` bytes from byte `first` of the registers, most significant byte first.
struct Shape {
    kind: Kind,
    first: usize,
    bytes: usize,
}

fn shape(wire: WireType) -> Shape {
    let (kind, first, bytes) = match wire {
        WireType::Bit => (Kind::Bit, 0, 2),
        WireType::Int8High => (Kind::Signed, 0, 1),
        WireType::Int8Low => (Kind::Signed, 1, 1),
        WireType::Int16 => (Kind::Signed, 0, 2),
        WireType::Int32 => (Kind::Signed, 0, 4),
        WireType::Int64 => (Kind::Signed, 0, 8),
        WireType::Uint16 => (Kind::Unsigned, 0, 2),
        WireType::Uint32 => (Kind::Unsigned, 0, 4),
        WireType::Uint64 => (Kind::Unsigned, 0, 8),
        WireType::Float32 => (Kind::Float, 0, 4),
        WireType::Float64 => (Kind::Float, 0, 8),
        WireType::Bcd16 => (Kind::Bcd, 0, 2),
        WireType::Bcd32 => (Kind::Bcd, 0, 4),
        WireType::Text(n) => (Kind::Text, 0, usize::from(n)),
    };
    Shape { kind, first, bytes }
}

/// What the bytes say before scaling.
#[derive(Debug, Clone, PartialEq)]
enum Raw {
    Int(i128),
    Float(f64),
    Text(String),
}

/// The tag's value of what was read, with its quality: Uncertain(range) outside the tag's range.
///
/// # Errors
/// Bad(undecodable) when the places do not hold the declared type or the tag's type cannot hold the value;
/// Bad(not-finite) for NaN and infinity.
pub(crate) fn decode(point: &PointConfig, places: Places<'_>) -> Result<(Value, Quality), BadReason> {
    let raw = match places {
        Places::Bit(on) => Raw::Int(i128::from(on)),
        Places::Words(words) => raw_of(point, words)?,
    };
    let value = engineering(point, raw)?;
    if !value.is_finite() {
        return Err(BadReason::NotFinite);
    }
    let inside = match (point.range, &value) {
        (Some((low, high)), Value::Int(_) | Value::Float(_)) => {
            value.as_f64().is_none_or(|x| (low..=high).contains(&x))
        }
        _ => true,
    };
    Ok((value, if inside { Quality::Good } else { Quality::Uncertain(UncertainReason::RangeExceeded) }))
}

/// What to write for a value of the tag.
///
/// # Errors
/// When the point cannot carry the value.
pub(crate) fn encode(point: &PointConfig, value: &Value) -> Result<Encoded, EncodeError> {
    let raw = raw_wished(point, value)?;
    if !point.address.area.is_register() {
        return Ok(Encoded::Bit(raw == Raw::Int(1)));
    }
    let Shape { kind, first, bytes } = shape(point.wire);
    let mut big = vec![0_u8; usize::from(point.wire.registers()) * 2];
    match raw {
        Raw::Text(text) => big[..text.len()].copy_from_slice(text.as_bytes()),
        Raw::Float(x) if bytes == 4 => {
            #[expect(clippy::cast_possible_truncation, reason = "checked to stay finite as a single")]
            big.copy_from_slice(&(x as f32).to_be_bytes());
        }
        Raw::Float(x) => big.copy_from_slice(&x.to_be_bytes()),
        Raw::Int(i) if kind == Kind::Bit => {
            let word = if i == 1 { bit_mask(point) } else { 0 };
            big.copy_from_slice(&word.to_be_bytes());
        }
        Raw::Int(i) => {
            let i = if kind == Kind::Bcd { to_bcd(i) } else { i };
            big[first..first + bytes].copy_from_slice(&i.to_be_bytes()[16 - bytes..]);
        }
    }
    let words = place(&big, point.order, kind);
    let mask = match point.wire {
        WireType::Bit => bit_mask(point).to_be_bytes(),
        WireType::Int8High => [0xFF, 0],
        WireType::Int8Low => [0, 0xFF],
        _ => return Ok(Encoded::Words(words)),
    };
    Ok(Encoded::Part { mask: place(&mask, point.order, kind)[0], bits: words[0] })
}

fn bit_mask(point: &PointConfig) -> u16 {
    1 << (point.address.bit.unwrap_or(0) & 15)
}

/// Registers → bytes, most significant first.
fn gather(words: &[u16], order: ByteOrder, kind: Kind) -> Vec<u8> {
    let wire: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    // Text runs through its registers in order whatever the order of numbers; only bytes within a word can be swapped.
    let step = if kind == Kind::Text { 2 } else { wire.len().max(2) };
    wire.chunks_exact(step).flat_map(|chunk| order.places(step).iter().map(|place| chunk[*place])).collect()
}

/// Bytes, most significant first → registers: the inverse of [`gather`].
fn place(big: &[u8], order: ByteOrder, kind: Kind) -> Vec<u16> {
    let step = if kind == Kind::Text { 2 } else { big.len().max(2) };
    let mut wire = vec![0_u8; big.len()];
    for (from, to) in big.chunks_exact(step).zip(wire.chunks_exact_mut(step)) {
        for (byte, place) in from.iter().zip(order.places(step)) {
            to[*place] = *byte;
        }
    }
    wire.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect()
}

fn raw_of(point: &PointConfig, words: &[u16]) -> Result<Raw, BadReason> {
    if words.len() != usize::from(point.wire.registers()) {
        return Err(BadReason::Undecodable);
    }
    let Shape { kind, first, bytes } = shape(point.wire);
    let big = gather(words, point.order, kind);
    let part = big.get(first..first + bytes).ok_or(BadReason::Undecodable)?;
    let unsigned = || part.iter().fold(0_i128, |sum, byte| sum << 8 | i128::from(*byte));
    Ok(match kind {
        Kind::Bit => Raw::Int(i128::from(unsigned() & i128::from(bit_mask(point)) != 0)),
        Kind::Unsigned => Raw::Int(unsigned()),
        Kind::Signed => {
            let unused = 128 - 8 * part.len();
            Raw::Int(unsigned() << unused >> unused)
        }
        Kind::Float => match *part {
            [a, b, c, d] => Raw::Float(f64::from(f32::from_be_bytes([a, b, c, d]))),
            [a, b, c, d, e, f, g, h] => Raw::Float(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
            _ => return Err(BadReason::Undecodable),
        },
        Kind::Bcd => Raw::Int(from_bcd(part).ok_or(BadReason::Undecodable)?),
        Kind::Text => {
            let end = part.iter().position(|b| *b == 0).unwrap_or(part.len());
            let text = std::str::from_utf8(&part[..end]).map_err(|_| BadReason::Undecodable)?.trim_end();
            if text.chars().any(char::is_control) {
                return Err(BadReason::Undecodable);
            }
            Raw::Text(text.to_owned())
        }
    })
}

fn from_bcd(bytes: &[u8]) -> Option<i128> {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .try_fold(0_i128, |sum, digit| if digit > 9 { None } else { Some(sum * 10 + i128::from(digit)) })
}

fn to_bcd(mut number: i128) -> i128 {
    let mut out = 0;
    for digit in 0..8 {
        out |= (number % 10) << (4 * digit);
        number /= 10;
    }
    out
}

/// The whole numbers of scale and offset where both are whole: then nothing is rounded up to 64 bits.
fn whole(point: &PointConfig) -> Option<(i128, i128)> {
    // 2^53 bounds the whole numbers an f64 holds exactly.
    let exact = |x: f64| x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
    (exact(point.scale) && exact(point.offset)).then_some((point.scale as i128, point.offset as i128))
}

/// 1/scale where that is a whole number: dividing by 100 gives the decimal the instrument meant, multiplying by 0.01
/// does not always.
fn divisor(scale: f64) -> Option<f64> {
    let inverse = (1.0 / scale).round();
    (inverse.abs() >= 2.0 && inverse.abs() <= 1e12 && 1.0 / inverse == scale).then_some(inverse)
}

#[expect(clippy::cast_precision_loss, reason = "a float tag takes a 64-bit counter rounded")]
fn engineering(point: &PointConfig, raw: Raw) -> Result<Value, BadReason> {
    let wanted = point.value_type;
    let scale = |x: f64| match divisor(point.scale) {
        Some(d) => x / d + point.offset,
        None => x * point.scale + point.offset,
    };
    match raw {
        Raw::Text(text) if wanted == ValueType::Text => Ok(Value::Text(text.into())),
        Raw::Int(i) if wanted != ValueType::Float => {
            let value = match whole(point) {
                Some((scale, offset)) => i64::try_from(i * scale + offset).ok().map(Value::Int),
                None => Some(Value::Float(scale(i as f64))),
            };
            value.and_then(|v| v.convert(wanted)).ok_or(BadReason::Undecodable)
        }
        Raw::Int(i) => Ok(Value::Float(scale(i as f64))),
        Raw::Float(x) if !x.is_finite() => Err(BadReason::NotFinite),
        Raw::Float(x) => Value::Float(scale(x)).convert(wanted).ok_or(BadReason::Undecodable),
        Raw::Text(_) => Err(BadReason::Undecodable),
    }
}

/// The raw value that a tag's value asks for, rounded to the nearest whole number where the wire holds no fractions.
fn raw_wished(point: &PointConfig, value: &Value) -> Result<Raw, EncodeError> {
    let Shape { kind, bytes, .. } = shape(point.wire);
    let wrong = || EncodeError::WrongType { got: value.value_type(), wire: point.wire };
    if let (Kind::Text, Value::Text(text)) = (kind, value) {
        return if text.len() <= bytes && !text.chars().any(char::is_control) {
            Ok(Raw::Text(text.to_string()))
        } else {
            Err(EncodeError::Text(point.wire))
        };
    }
    let number = value.as_f64().filter(|_| kind != Kind::Text).ok_or_else(wrong)?;
    if !number.is_finite() {
        return Err(EncodeError::NotFinite);
    }
    let unscaled = match divisor(point.scale) {
        Some(d) => (number - point.offset) * d,
        None => (number - point.offset) / point.scale,
    };
    if kind == Kind::Float {
        let most = if bytes == 4 { f64::from(f32::MAX) } else { f64::MAX };
        return if unscaled.abs() <= most { Ok(Raw::Float(unscaled)) } else { Err(range(point, number, -most, most)) };
    }
    let (low, high) = bounds(kind, bytes);
    let wished = match (value, whole(point)) {
        (Value::Int(i), Some((1, offset))) => i128::from(*i) - offset,
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates, and the bounds follow")]
        _ => unscaled.round() as i128,
    };
    #[expect(clippy::cast_precision_loss, reason = "bounds are for a message")]
    if (low..=high).contains(&wished) {
        Ok(Raw::Int(wished))
    } else {
        Err(range(point, number, low as f64, high as f64))
    }
}

/// Smallest and largest whole number of a kind.
fn bounds(kind: Kind, bytes: usize) -> (i128, i128) {
    match kind {
        Kind::Signed => (-(1 << (8 * bytes - 1)), (1 << (8 * bytes - 1)) - 1),
        Kind::Bit => (0, 1),
        Kind::Bcd => (0, if bytes == 2 { 9_999 } else { 99_999_999 }),
        _ => (0, (1 << (8 * bytes)) - 1),
    }
}

/// The refusal of a number, with the bounds in the tag's unit.
fn range(point: &PointConfig, value: f64, low: f64, high: f64) -> EncodeError {
    let (a, b) = (low * point.scale + point.offset, high * point.scale + point.offset);
    EncodeError::OutOfRange { value, wire: point.wire, low: a.min(b), high: a.max(b) }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
