//! What registers can mean: the same words in every type and order, for a person who knows what the display shows.

use crate::address::{Address, Area};
use crate::codec::{Places, decode};
use crate::config::PointConfig;
use crate::wire::{ByteOrder, WireType};
use penstock_model::{BadReason, TagId, Value, ValueType};

/// One way to read some registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// As which type.
    pub wire: WireType,
    /// In which byte order.
    pub order: ByteOrder,
    /// What it gives then, or why nothing.
    pub value: Result<Value, BadReason>,
}

/// Types by the registers they take, floating point first: it is what most often goes wrong.
const TYPES: [(u16, &[WireType]); 3] = [
    (1, &[WireType::Uint16, WireType::Int16, WireType::Bcd16, WireType::Int8High, WireType::Int8Low]),
    (2, &[WireType::Float32, WireType::Uint32, WireType::Int32, WireType::Bcd32]),
    (4, &[WireType::Float64, WireType::Uint64, WireType::Int64]),
];

/// Every type and order in which words, in the order of their addresses, can be read from the first one on. Types that
/// need more words than there are are left out.
#[must_use]
pub fn meanings(words: &[u16]) -> Vec<Meaning> {
    let mut out = Vec::new();
    for (registers, types) in TYPES {
        let Some(own) = words.get(..usize::from(registers)) else { continue };
        for wire in types {
            for order in orders(*wire) {
                out.push(Meaning { wire: *wire, order, value: meaning(own, *wire, order) });
            }
        }
    }
    out
}

/// Orders that differ for a type: two for one register, four for two, six for four; one for single bytes, whose order is
/// their name.
fn orders(wire: WireType) -> Vec<ByteOrder> {
    match (wire, wire.registers()) {
        (WireType::Int8High | WireType::Int8Low, _) => vec![ByteOrder::Abcd],
        (_, 1) => vec![ByteOrder::Abcd, ByteOrder::Badc],
        (_, 2) => ByteOrder::ALL.into_iter().filter(|order| !order.is_64_bit_only()).collect(),
        _ => ByteOrder::ALL.to_vec(),
    }
}

/// Words as one type in one order, unscaled: whole numbers as such where they fit, else rounded.
///
/// # Errors
/// What a point would be bad for: no decimal digits, no finite number, no text.
pub fn meaning(words: &[u16], wire: WireType, order: ByteOrder) -> Result<Value, BadReason> {
    let point = |value_type: ValueType| PointConfig {
        sunspec: None,
        tag: TagId(0),
        path: "".into(),
        address: Address { area: Area::Holding, pdu: 0, bit: (wire == WireType::Bit).then_some(0) },
        wire,
        order,
        scale: 1.0,
        offset: 0.0,
        value_type,
        range: None,
        group: 0,
        write: None,
    };
    let as_type = |value_type| decode(&point(value_type), Places::Words(words)).map(|(value, _)| value);
    match wire {
        WireType::Bit => as_type(ValueType::Bool),
        WireType::Text(_) => as_type(ValueType::Text),
        WireType::Float32 | WireType::Float64 => as_type(ValueType::Float),
        _ => as_type(ValueType::Int).or_else(|_| as_type(ValueType::Float)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(words: &[u16], wire: WireType, order: ByteOrder) -> Result<Value, BadReason> {
        meanings(words).into_iter().find(|m| m.wire == wire && m.order == order).map(|m| m.value).unwrap()
    }

    #[test]
    fn a_pair_is_read_in_every_order() {
        let pair = [0x42C8, 0x0000];
        assert_eq!(find(&pair, WireType::Float32, ByteOrder::Abcd), Ok(Value::Float(100.0)));
        assert_eq!(find(&pair, WireType::Uint32, ByteOrder::Abcd), Ok(Value::Int(0x42C8_0000)));
        assert_eq!(find(&pair, WireType::Uint32, ByteOrder::Cdab), Ok(Value::Int(0x42C8)));
        assert_eq!(find(&[0, 0x42C8], WireType::Float32, ByteOrder::Cdab), Ok(Value::Float(100.0)));
        assert_eq!(find(&[0xC842, 0], WireType::Float32, ByteOrder::Badc), Ok(Value::Float(100.0)));
        assert_eq!(find(&[0, 0xC842], WireType::Float32, ByteOrder::Dcba), Ok(Value::Float(100.0)));
        assert_eq!(find(&pair, WireType::Uint16, ByteOrder::Badc), Ok(Value::Int(0xC842)));
        assert_eq!(find(&pair, WireType::Bcd16, ByteOrder::Abcd), Err(BadReason::Undecodable));
        assert_eq!(find(&[0x1234], WireType::Bcd16, ByteOrder::Abcd), Ok(Value::Int(1_234)));
        assert_eq!(find(&[0x7FC0, 0], WireType::Float32, ByteOrder::Abcd), Err(BadReason::NotFinite));
    }

    #[test]
    fn a_quad_has_six_orders_and_counters_beyond_63_bits_are_rounded() {
        let words = 2.5_f64.to_bits().to_be_bytes();
        let quad: Vec<u16> = words.chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect();
        assert_eq!(find(&quad, WireType::Float64, ByteOrder::Abcd), Ok(Value::Float(2.5)));
        let turned = [quad[2], quad[3], quad[0], quad[1]];
        assert_eq!(find(&turned, WireType::Float64, ByteOrder::Efghabcd), Ok(Value::Float(2.5)));
        let swapped = [quad[1], quad[0], quad[3], quad[2]];
        assert_eq!(find(&swapped, WireType::Float64, ByteOrder::Cdabghef), Ok(Value::Float(2.5)));
        let all = find(&[0xFFFF; 4], WireType::Uint64, ByteOrder::Abcd);
        assert_eq!(all, Ok(Value::Float(18_446_744_073_709_551_615.0)));
        assert_eq!(meanings(&quad).len(), 3 * 2 + 2 + 4 * 4 + 3 * 6);
        assert_eq!(meanings(&[1, 2, 3]).len(), 3 * 2 + 2 + 4 * 4, "three registers hold no 64 bits");
    }
}
