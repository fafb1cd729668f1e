use super::*;

fn image() -> Image {
    Image::new(Map {
        input: vec![(0, 4)],
        holding: vec![(0, 8), (899, 1)],
        discrete: vec![],
        coils: vec![(0, 3)],
        rules: vec![
            Rule::Word { at: 0, low: 1500, high: 8500 },
            Rule::Float { at: 4, order: Order::Cdab, low: 0.0, high: 10.0 },
            Rule::Word { at: 899, low: 0, high: u16::MAX },
        ],
    })
}

#[test]
fn layouts_are_those_of_known_numbers() {
    // 1.5 is 0x3FC00000.
    assert_eq!(encode_f32(1.5, Order::Abcd), [0x3fc0, 0x0000]);
    assert_eq!(encode_f32(1.5, Order::Cdab), [0x0000, 0x3fc0]);
    assert_eq!(encode_u32(0x0102_0304, Order::Cdab), [0x0304, 0x0102]);
    assert_eq!(encode_u64(0x0102_0304_0506_0708), [0x0102, 0x0304, 0x0506, 0x0708]);
    assert_eq!(encode_i16(-1.25, 0.01), 0xff83);
    assert_eq!(encode_u16(-3.0, 0.1), 0);
    assert_eq!(encode_u16(1e9, 0.1), u16::MAX);
    assert_eq!(encode_i16(-1e9, 0.1), 0x8000);
}

#[test]
fn reads_stay_inside_a_block() {
    let image = image();
    assert!(image.read_input(0, 4).is_ok());
    for (at, count) in [(0, 5), (4, 1), (3, 2), (65_535, 1)] {
        assert_eq!(image.read_input(at, count), Err(Refusal::Address), "{at} {count}");
    }
    assert!(image.read_holding(899, 1).is_ok());
    assert_eq!(image.read_holding(7, 2), Err(Refusal::Address));
}

#[test]
fn writes_obey_rules_and_are_all_or_nothing() {
    let mut image = image();
    assert_eq!(image.write_holding(0, &[4000]), Ok(()));
    assert_eq!(image.write_holding(0, &[1499]), Err(Refusal::Value));
    assert_eq!(image.write_holding(1, &[1]), Err(Refusal::Address));
    assert_eq!(image.write_holding(0, &[5000, 1]), Err(Refusal::Address));
    assert_eq!(image.word(0), 4000);
    let five = encode_f32(5.0, Order::Cdab);
    assert_eq!(image.write_holding(4, &five), Ok(()));
    assert_eq!(image.float(4, Order::Cdab), 5.0);
    assert_eq!(image.write_holding(4, &five[..1]), Err(Refusal::Value));
    assert_eq!(image.write_holding(5, &five[1..]), Err(Refusal::Value));
    assert_eq!(image.write_holding(4, &encode_f32(f64::NAN, Order::Cdab)), Err(Refusal::Value));
    assert_eq!(image.write_holding(4, &encode_f32(11.0, Order::Cdab)), Err(Refusal::Value));
    assert_eq!((image.writes(0), image.writes(4), image.writes(899)), (1, 1, 0));
    assert_eq!(image.write_coils(2, &[true, true]), Err(Refusal::Address));
    assert_eq!(image.write_coils(2, &[true]), Ok(()));
    assert!(image.coil(2) && !image.coil(1));
}

#[test]
fn a_long_is_written_as_a_whole_and_within_its_range() {
    let mut image = Image::new(Map {
        holding: vec![(10, 4)],
        rules: vec![Rule::Long { at: 10, low: 5, high: 100_000 }],
        ..Map::default()
    });
    assert_eq!(image.write_holding(10, &[1, 0]), Ok(()));
    assert_eq!((image.long(10), image.long(60_000)), (65_536, 0));
    assert_eq!(image.write_holding(10, &[0, 4]), Err(Refusal::Value));
    assert_eq!(image.write_holding(10, &[2, 0]), Err(Refusal::Value));
    assert_eq!(image.write_holding(10, &[0]), Err(Refusal::Value), "half of it");
    assert_eq!(image.write_holding(11, &[0]), Err(Refusal::Value), "the other half");
    assert_eq!(image.write_holding(12, &[0]), Err(Refusal::Address));
    image.set_busy(true);
    assert_eq!(image.write_holding(10, &[0, 7]), Err(Refusal::Busy));
    assert_eq!(image.long(10), 65_536);
}

#[test]
fn turned_words_are_turned_for_reading_and_writing_and_back() {
    let mut image = image();
    let [five, six] = [5.0, 6.0].map(|v| encode_f32(v, Order::Cdab));
    let reversed = |[a, b]: [u16; 2]| [b, a];
    image.put_holding(4, &five);
    image.keep_power_on();
    image.turn_words(true);
    assert_eq!(image.read_holding(4, 2).unwrap(), reversed(five), "a client sees it turned");
    assert_eq!(image.float(4, Order::Cdab), 5.0, "the device knows what it holds");
    assert_eq!(image.write_holding(4, &reversed(six)), Ok(()));
    assert_eq!(image.float(4, Order::Cdab), 6.0);
    image.put_input_pair(0, five);
    assert_eq!(image.read_input(0, 2).unwrap(), reversed(five));
    image.put_holding(4, &five);
    assert_eq!(image.read_holding(4, 2).unwrap(), reversed(five));
    assert_eq!(image.write_holding(4, &reversed(six)), Ok(()));
    image.turn_words(false);
    assert_eq!(image.read_holding(4, 2).unwrap(), six);
    image.power_on();
    assert_eq!(image.float(4, Order::Cdab), 5.0);
}

proptest::proptest! {
    #[test]
    fn what_is_laid_is_what_is_read(bits: u32, wide: u64, value: f32, turned: bool) {
        for order in [Order::Abcd, Order::Cdab] {
            let [first, second] = encode_u32(bits, order);
            let [high, low] = if order == Order::Abcd { [first, second] } else { [second, first] };
            assert_eq!(u32::from(high) << 16 | u32::from(low), bits);
            let mut image = image();
            image.turn_words(turned);
            image.put_holding(4, &encode_f32(f64::from(value), Order::Cdab));
            let read = image.float(4, Order::Cdab) as f32;
            assert!(read == value || (read.is_nan() && value.is_nan()), "{read} for {value}");
        }
        let back = encode_u64(wide).iter().fold(0_u64, |sum, word| sum << 16 | u64::from(*word));
        assert_eq!(back, wide);
        let laid = f64::from(encode_i16(f64::from(value), 0.1) as i16) * 0.1;
        if value.abs() <= 3276.0 {
            assert!((laid - f64::from(value)).abs() <= 0.0501, "{laid} for {value}");
        }
    }

    #[test]
    fn any_write_is_taken_as_a_whole_or_changes_nothing(at: u16, words in proptest::collection::vec(proptest::num::u16::ANY, 1..123)) {
        let mut image = image();
        let before = image.clone();
        match image.write_holding(at, &words) {
            Ok(()) => assert_eq!(image.read_holding(at, words.len() as u16).unwrap(), words),
            Err(_) => assert_eq!(image, before),
        }
    }
}
