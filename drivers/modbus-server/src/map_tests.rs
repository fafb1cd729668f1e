use super::*;
use penstock_model::{BadReason, Now, UncertainReason, Value};
use proptest::prelude::*;

fn point(tag: u32, at: u16, form: Form) -> Point {
    Point {
        tag: TagId(tag),
        path: format!("t{tag}").into(),
        title: Text::same("t"),
        unit: String::new(),
        at,
        form,
        order: WordOrder::HighFirst,
        scale: 1.0,
        bad: Bad::Mark,
        quality_at: None,
    }
}

fn good(value: impl Into<Value>) -> Sample {
    Sample::good(value, Now::default())
}

fn one(point: Point, sample: &Sample) -> Result<Vec<u16>, Refused> {
    let words = point.form.words();
    let at = point.at;
    Map::new(vec![point], None).unwrap().registers(at, words, 0, &|_| sample.clone())
}

#[test]
fn values_are_written_in_their_form() {
    let rows: [(Form, f64, &[u16]); 8] = [
        (Form::U16, 65_535.0, &[0xffff]),
        (Form::I16, -2.0, &[0xfffe]),
        (Form::U32, 65_536.0 * 2.0 + 1.0, &[2, 1]),
        (Form::I32, -2.0, &[0xffff, 0xfffe]),
        (Form::I64, -2.0, &[0xffff, 0xffff, 0xffff, 0xfffe]),
        (Form::F32, 1.5, &[0x3fc0, 0]),
        (Form::F64, 1.5, &[0x3ff8, 0, 0, 0]),
        (Form::U16, 2.5, &[3]),
    ];
    for (form, value, words) in rows {
        assert_eq!(one(point(0, 10, form), &good(value)).unwrap(), words, "{form:?} {value}");
    }
    let low_first = Point { order: WordOrder::LowFirst, ..point(0, 0, Form::F32) };
    assert_eq!(one(low_first, &good(1.5)).unwrap(), [0, 0x3fc0]);
    let scaled = Point { scale: 0.01, ..point(0, 0, Form::I16) };
    assert_eq!(one(scaled, &good(-12.34)).unwrap(), [(-1234i16).cast_unsigned()]);
    assert_eq!(one(point(0, 0, Form::U16), &good(true)).unwrap(), [1]);
}

#[test]
fn a_bad_value_is_what_its_point_says_and_never_looks_like_a_measurement_by_itself() {
    let bad = Sample::bad(BadReason::Link, Some(Value::Float(7.0)), Now::default());
    let with = |bad, form| Point { bad, ..point(0, 0, form) };
    assert_eq!(one(with(Bad::Mark, Form::U16), &bad), Ok(vec![0xffff]));
    assert_eq!(one(with(Bad::Mark, Form::I32), &bad), Ok(vec![0x8000, 0]));
    assert_eq!(one(with(Bad::Mark, Form::F32), &bad), Ok(vec![0x7fc0, 0]));
    assert_eq!(one(with(Bad::Last, Form::U16), &bad), Ok(vec![7]));
    assert_eq!(one(with(Bad::Value(-1.0), Form::I16), &bad), Ok(vec![0xffff]));
    assert_eq!(one(with(Bad::Exception, Form::U16), &bad), Err(Refused::Value));
    let never = Sample::initial(None, Now::default());
    assert_eq!(one(with(Bad::Last, Form::U16), &never), Ok(vec![0xffff]), "there is no last value");
}

#[test]
fn what_does_not_fit_is_bad_and_not_cut() {
    for (form, value) in [(Form::U16, -1.0), (Form::U16, 65_536.0), (Form::I16, 40_000.0), (Form::F32, 1e300)] {
        let served = Point { quality_at: Some(100), ..point(0, 0, form) };
        let map = Map::new(vec![served], None).unwrap();
        let read = |_: TagId| good(value);
        assert_eq!(map.registers(100, 1, 0, &read), Ok(vec![0]), "{form:?} {value}");
        assert_eq!(map.registers(0, 1, 0, &read).unwrap()[0], split(form.mark(), &map.points()[0])[0]);
    }
}

#[test]
fn quality_and_heartbeat_have_registers_and_gaps_are_zero() {
    let a = Point { quality_at: Some(21), ..point(0, 10, Form::F32) };
    let b = Point { quality_at: Some(22), ..point(1, 14, Form::I16) };
    let map = Map::new(vec![a, b], Some(9)).unwrap();
    let read = |tag: TagId| match tag.0 {
        0 => Sample::with_quality(1.5, Quality::Uncertain(UncertainReason::Frozen), Now::default()),
        _ => good(5i64),
    };
    assert_eq!(map.registers(9, 14, 77, &read), Ok(vec![77, 0x3fc0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 64, 192]));
    assert_eq!(map.registers(8, 2, 0, &read), Err(Refused::Address));
    assert_eq!(map.registers(22, 2, 0, &read), Err(Refused::Address));
    assert_eq!(map.registers(9, 0, 0, &read), Err(Refused::Count));
    assert_eq!(map.registers(9, 126, 0, &read), Err(Refused::Count));
    assert_eq!(map.registers(65_535, 2, 0, &read), Err(Refused::Address));
    assert_eq!(map.bits(0, 1, &read), Err(Refused::Address), "there are no bits");
}

#[test]
fn bits_are_bits() {
    let map = Map::new(vec![point(0, 3, Form::Bit), point(1, 5, Form::Bit)], None).unwrap();
    let read = |tag: TagId| if tag.0 == 0 { good(true) } else { Sample::bad(BadReason::Link, None, Now::default()) };
    assert_eq!(map.bits(3, 3, &read), Ok(vec![true, false, false]));
    assert_eq!(map.bits(3, 2_001, &read), Err(Refused::Count));
}

#[test]
fn two_things_never_share_a_register() {
    let wrong = |points: Vec<Point>, heartbeat| Map::new(points, heartbeat).err().unwrap();
    let (place, why) = wrong(vec![point(0, 10, Form::F32), point(1, 11, Form::U16)], None);
    assert_eq!((place, why.as_str()), (1, "register PDU 11 (HR12) is that of `t0` already"));
    let (_, why) = wrong(vec![point(0, 10, Form::F32)], Some(11));
    assert_eq!(why, "register PDU 11 (HR12) is that of the heartbeat already");
    let quality = Point { quality_at: Some(10), ..point(0, 10, Form::U16) };
    assert!(wrong(vec![quality], None).1.contains("already"));
    assert!(wrong(vec![point(0, 65_535, Form::F32)], None).1.contains("beyond the last register"));
    assert!(wrong(vec![Point { scale: 0.0, ..point(0, 0, Form::U16) }], None).1.contains("scale"));
}

proptest! {
    /// Whatever is asked for: no panic, and an answer of the right length or a refusal.
    #[test]
    fn every_request_is_answered_or_refused(start in any::<u16>(), count in any::<u16>(), value in any::<f64>()) {
        let map = Map::new(vec![point(0, 100, Form::F64), point(1, 60_000, Form::I16)], Some(5)).unwrap();
        let read = |_: TagId| Sample { value: Some(Value::Float(value)), ..good(0.0) };
        if let Ok(words) = map.registers(start, count, 1, &read) {
            prop_assert_eq!(words.len(), usize::from(count));
        }
        prop_assert!(map.bits(start, count, &read).is_err());
    }

    /// A value that is not marked bad comes back as it was, to half a step.
    #[test]
    fn a_written_number_reads_as_the_value(value in -300.0..300.0f64, scale in 0.01..10.0f64) {
        let served = Point { scale, quality_at: Some(9), ..point(0, 0, Form::I16) };
        let map = Map::new(vec![served], None).unwrap();
        let words = map.registers(0, 10, 0, &|_| good(value)).unwrap();
        if words[9] == 192 {
            prop_assert!((f64::from(words[0].cast_signed()) * scale - value).abs() <= scale * 0.500_001);
        } else {
            prop_assert!((value / scale).abs() >= 32_767.0);
        }
    }
}
