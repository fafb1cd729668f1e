//! Fixed vectors for each order, type and alias, and the round trip over all of them.

use super::*;
use crate::address::Area;
use proptest::prelude::*;

fn point(wire: WireType, order: ByteOrder, value_type: ValueType) -> PointConfig {
    PointConfig { order, ..crate::fuzz::point_of(value_type, wire) }
}

/// Both directions: these registers are this value, and this value is written as these registers.
#[track_caller]
fn check(p: &PointConfig, words: &[u16], value: Value) {
    assert_eq!(decode(p, Places::Words(words)), Ok((value.clone(), Quality::Good)), "{} {}", p.wire, p.order);
    assert_eq!(encode(p, &value), Ok(Encoded::Words(words.to_vec())), "{} {}", p.wire, p.order);
}

#[test]
fn each_order_of_32_bits_has_its_bytes() {
    // 123456.789 as a single is 0x47F12065.
    for (names, words) in [
        (["ABCD", "big", "#BB"], [0x47F1, 0x2065]),
        (["CDAB", "swapped", "#LB"], [0x2065, 0x47F1]),
        (["BADC", "byte-swap", "#BL"], [0xF147, 0x6520]),
        (["DCBA", "little", "#LL"], [0x6520, 0xF147]),
    ] {
        for name in names {
            let order = ByteOrder::parse(name).unwrap();
            let p = point(WireType::Float32, order, ValueType::Float);
            check(&p, &words, Value::Float(f64::from(f32::from_bits(0x47F1_2065))));
            let p = point(WireType::Uint32, order, ValueType::Int);
            check(&p, &words, Value::Int(0x47F1_2065));
        }
    }
}

#[test]
fn each_order_of_64_bits_has_its_bytes() {
    for (name, words) in [
        ("12345678", [0x0102, 0x0304, 0x0506, 0x0708]),
        ("21436587", [0x0201, 0x0403, 0x0605, 0x0807]),
        ("87654321", [0x0807, 0x0605, 0x0403, 0x0201]),
        ("78563412", [0x0708, 0x0506, 0x0304, 0x0102]),
        ("34127856", [0x0304, 0x0102, 0x0708, 0x0506]),
        ("56781234", [0x0506, 0x0708, 0x0102, 0x0304]),
    ] {
        let p = point(WireType::Int64, ByteOrder::parse(name).unwrap(), ValueType::Int);
        check(&p, &words, Value::Int(0x0102_0304_0506_0708));
    }
    let p = point(WireType::Float64, ByteOrder::Abcd, ValueType::Float);
    check(&p, &[0x3FF0, 0, 0, 1], Value::Float(1.000_000_000_000_000_2));
}

#[test]
fn sixteen_bits_know_only_two_orders() {
    for (order, word) in
        [(ByteOrder::Abcd, 0xFF85), (ByteOrder::Cdab, 0xFF85), (ByteOrder::Badc, 0x85FF), (ByteOrder::Dcba, 0x85FF)]
    {
        check(&point(WireType::Int16, order, ValueType::Int), &[word], Value::Int(-123));
    }
}

#[test]
fn bytes_and_bits_of_a_register_leave_the_rest_alone() {
    let high = point(WireType::Int8High, ByteOrder::Abcd, ValueType::Int);
    let low = point(WireType::Int8Low, ByteOrder::Abcd, ValueType::Int);
    assert_eq!(decode(&high, Places::Words(&[0xFE7F])).unwrap().0, Value::Int(-2));
    assert_eq!(decode(&low, Places::Words(&[0xFE7F])).unwrap().0, Value::Int(127));
    assert_eq!(encode(&high, &Value::Int(-2)), Ok(Encoded::Part { mask: 0xFF00, bits: 0xFE00 }));
    assert_eq!(encode(&low, &Value::Int(-1)), Ok(Encoded::Part { mask: 0x00FF, bits: 0x00FF }));
    for bit in 0..16_u8 {
        for order in [ByteOrder::Abcd, ByteOrder::Dcba] {
            let mut p = point(WireType::Bit, order, ValueType::Bool);
            p.address.bit = Some(bit);
            let word = if order == ByteOrder::Abcd { 1_u16 << bit } else { (1_u16 << bit).swap_bytes() };
            assert_eq!(decode(&p, Places::Words(&[word])).unwrap().0, Value::Bool(true));
            assert_eq!(decode(&p, Places::Words(&[!word])).unwrap().0, Value::Bool(false));
            assert_eq!(encode(&p, &Value::Bool(true)), Ok(Encoded::Part { mask: word, bits: word }));
            assert_eq!(encode(&p, &Value::Bool(false)), Ok(Encoded::Part { mask: word, bits: 0 }));
        }
    }
    let mut coil = point(WireType::Bit, ByteOrder::Abcd, ValueType::Bool);
    coil.address.area = Area::Coil;
    assert_eq!(decode(&coil, Places::Bit(true)).unwrap().0, Value::Bool(true));
    assert_eq!(encode(&coil, &Value::Bool(true)), Ok(Encoded::Bit(true)));
    assert_eq!(encode(&coil, &Value::Int(2)).unwrap_err().to_string(), "2 does not fit bit, which holds 0 to 1 here");
}

#[test]
fn text_and_decimal_digits() {
    let text = |order| point(WireType::Text(5), order, ValueType::Text);
    check(&text(ByteOrder::Abcd), &[0x5031, 0x3200, 0], Value::from("P12"));
    check(&text(ByteOrder::Cdab), &[0x5031, 0x3200, 0], Value::from("P12"));
    check(&text(ByteOrder::Dcba), &[0x3150, 0x0032, 0], Value::from("P12"));
    assert_eq!(decode(&text(ByteOrder::Abcd), Places::Words(&[0x5031, 0x2020, 0x2000])).unwrap().0, Value::from("P1"));
    assert_eq!(decode(&text(ByteOrder::Abcd), Places::Words(&[0xFFFE, 0, 0])), Err(BadReason::Undecodable));
    assert_eq!(
        decode(&text(ByteOrder::Abcd), Places::Words(&[0x0731, 0x3107, 0])).unwrap_err(),
        BadReason::Undecodable
    );
    assert_eq!(encode(&text(ByteOrder::Abcd), &Value::from("123456")), Err(EncodeError::Text(WireType::Text(5))));
    assert!(encode(&text(ByteOrder::Abcd), &Value::Int(1)).is_err());

    check(&point(WireType::Bcd16, ByteOrder::Abcd, ValueType::Int), &[0x1234], Value::Int(1234));
    check(&point(WireType::Bcd32, ByteOrder::Cdab, ValueType::Int), &[0x5678, 0x1234], Value::Int(12_345_678));
    let bcd = point(WireType::Bcd16, ByteOrder::Abcd, ValueType::Int);
    assert_eq!(decode(&bcd, Places::Words(&[0x12A4])), Err(BadReason::Undecodable));
    assert!(encode(&bcd, &Value::Int(10_000)).is_err());
    assert!(encode(&bcd, &Value::Int(-1)).is_err());
}

#[test]
fn scaling_gives_the_decimal_the_instrument_meant_and_is_reversed_on_write() {
    let scaled =
        |scale, offset| PointConfig { scale, offset, ..point(WireType::Uint16, ByteOrder::Abcd, ValueType::Float) };
    for (scale, offset, word, value) in [
        (0.1, 0.0, 3, 0.3),
        (0.01, 0.0, 4001, 40.01),
        (0.001, 0.0, 57, 0.057),
        (2.5, -10.0, 4, 0.0),
        (-1.0, 100.0, 30, 70.0),
    ] {
        check(&scaled(scale, offset), &[word], Value::Float(value));
    }
    let p = scaled(0.01, 0.0);
    assert_eq!(encode(&p, &Value::Float(40.004)), Ok(Encoded::Words(vec![4000])), "rounds to the nearest step");
    assert_eq!(encode(&p, &Value::Float(40.006)), Ok(Encoded::Words(vec![4001])));
    let too_big = encode(&p, &Value::Float(655.36)).unwrap_err();
    assert_eq!(too_big.to_string(), "655.36 does not fit uint16, which holds 0 to 655.35 here");
    assert!(encode(&p, &Value::Float(-0.01)).is_err());
    assert_eq!(encode(&p, &Value::Float(f64::NAN)), Err(EncodeError::NotFinite));
    let single = point(WireType::Float32, ByteOrder::Abcd, ValueType::Float);
    assert!(encode(&single, &Value::Float(1e39)).is_err());
}

#[test]
fn nonsense_is_bad_and_never_a_number() {
    let single = point(WireType::Float32, ByteOrder::Abcd, ValueType::Float);
    for words in [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]] {
        assert_eq!(decode(&single, Places::Words(&words)), Err(BadReason::NotFinite));
    }
    assert_eq!(decode(&single, Places::Words(&[0])), Err(BadReason::Undecodable));
    let flag = point(WireType::Uint16, ByteOrder::Abcd, ValueType::Bool);
    assert_eq!(decode(&flag, Places::Words(&[1])).unwrap().0, Value::Bool(true));
    assert_eq!(decode(&flag, Places::Words(&[2])), Err(BadReason::Undecodable));
    let count = point(WireType::Uint64, ByteOrder::Abcd, ValueType::Int);
    assert_eq!(decode(&count, Places::Words(&[0xFFFF; 4])), Err(BadReason::Undecodable));
    let whole = point(WireType::Float32, ByteOrder::Abcd, ValueType::Int);
    assert_eq!(decode(&whole, Places::Words(&[0x3FC0, 0])), Err(BadReason::Undecodable));
}

#[test]
fn outside_the_range_is_uncertain_and_keeps_its_value() {
    let p = PointConfig { range: Some((0.0, 10.0)), ..point(WireType::Int16, ByteOrder::Abcd, ValueType::Float) };
    assert_eq!(decode(&p, Places::Words(&[10])), Ok((Value::Float(10.0), Quality::Good)));
    let out = Quality::Uncertain(UncertainReason::RangeExceeded);
    assert_eq!(decode(&p, Places::Words(&[11])), Ok((Value::Float(11.0), out)));
}

fn any_wire() -> impl Strategy<Value = WireType> {
    prop_oneof![
        Just(WireType::Int8Low),
        Just(WireType::Int8High),
        Just(WireType::Int16),
        Just(WireType::Uint16),
        Just(WireType::Int32),
        Just(WireType::Uint32),
        Just(WireType::Int64),
        Just(WireType::Uint64),
        Just(WireType::Float32),
        Just(WireType::Float64),
        Just(WireType::Bcd16),
        Just(WireType::Bcd32),
        (1..=250_u16).prop_map(WireType::Text),
    ]
}

fn any_order() -> impl Strategy<Value = ByteOrder> {
    prop::sample::select(ByteOrder::ALL.to_vec())
}

proptest! {
    /// Any registers either do not decode, or decode to a value that is written back and decodes to itself.
    #[test]
    fn what_decodes_encodes_to_the_same_value(
        wire in any_wire(), order in any_order(), seed in prop::collection::vec(any::<u16>(), 125), ascii in any::<bool>(),
    ) {
        let kind = match wire {
            WireType::Text(_) => ValueType::Text,
            WireType::Float32 | WireType::Float64 => ValueType::Float,
            _ => ValueType::Int,
        };
        let p = point(wire, order, kind);
        let words: Vec<u16> = seed[..usize::from(wire.registers())]
            .iter()
            .map(|w| if ascii { (w & 0x0F0F) | 0x4040 } else { *w })
            .collect();
        if let Ok((value, _)) = decode(&p, Places::Words(&words)) {
            let written = match encode(&p, &value) {
                Ok(Encoded::Words(written)) => written,
                Ok(Encoded::Part { mask, bits }) => {
                    prop_assert_eq!(words[0] & mask, bits);
                    vec![(words[0] & !mask) | bits]
                }
                other => panic!("{other:?}"),
            };
            // Zero is written with one sign.
            if !wire.is_text() && value.as_f64() != Some(0.0) {
                prop_assert_eq!(&written, &words);
            }
            prop_assert_eq!(decode(&p, Places::Words(&written)).map(|d| d.0), Ok(value));
        }
    }

    /// A value within the wire's range comes back within half a step of the scale.
    #[test]
    fn a_written_value_reads_back_within_half_a_step(
        wire in prop::sample::select(vec![WireType::Int16, WireType::Int32, WireType::Int64]),
        order in any_order(),
        scale in prop::sample::select(vec![1.0, 0.1, 0.01, 0.001, 0.5, 2.5, -0.1, 10.0]),
        offset in -100.0..100.0_f64,
        raw in -30_000.0..30_000.0_f64,
    ) {
        let p = PointConfig { scale, offset, ..point(wire, order, ValueType::Float) };
        let value = raw * scale + offset;
        let Ok(Encoded::Words(words)) = encode(&p, &Value::Float(value)) else { panic!("{value} must fit") };
        let back = decode(&p, Places::Words(&words)).unwrap().0.as_f64().unwrap();
        prop_assert!((back - value).abs() <= scale.abs() / 2.0 + 1e-9, "{value} came back as {back}");
    }
}
