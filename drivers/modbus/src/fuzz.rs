//! What any bytes may do to this crate: each function takes bytes as a device, or a person, may send them, and panics where
//! one of our promises does not hold. Compiled for tests and for the fuzzer alone.

use crate::address::{Address, Area};
use crate::codec::{Encoded, Places, decode, encode};
use crate::config::{DeviceConfig, GroupConfig, PointConfig};
use crate::frame::{Found, PDU_MAX, rtu_next, tcp_next};
use crate::notation::parse_place;
use crate::pdu::{Answer, Request};
use crate::plan::Plan;
use crate::sunspec::Settings;
use crate::sunspec::chain::{BASE_MAX, MODELS_MAX, Reply, Step, Walk, chain_of};
use crate::sunspec::point::{SunSpecPoint, place};
use crate::sunspec::reference::parse;
use crate::wire::{ByteOrder, WireType};
use penstock_model::{DeviceId, TagId, ValueType};
use std::time::Duration;

/// Reads choices off the front of the bytes; where they end, zeros follow.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// The rest as registers, at most so many.
    fn words(&mut self, most: usize) -> Vec<u16> {
        self.0.chunks_exact(2).take(most).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }
}

/// A stream of a connection and of a line: every frame lies within the bytes and carries what a PDU may.
///
/// # Panics
/// Where one does not.
pub fn frames(bytes: &[u8]) {
    for next in [tcp_next, rtu_next] {
        let mut at = 0;
        while let Found::Frame(frame) = next(&bytes[at..]) {
            assert!(frame.bytes > 0 && (1..=PDU_MAX).contains(&frame.pdu.len()), "{frame:?}");
            at += frame.bytes;
            assert!(at <= bytes.len(), "{frame:?}");
        }
    }
}

/// A question chosen by the first bytes, answered with the rest: what is taken for values has the count that was asked for,
/// and a write counts as done only by its own echo.
///
/// # Panics
/// Where that does not hold.
pub fn answers(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let (kind, at, count) = (choices.byte(), choices.word(), choices.byte());
    let plural = kind & 0x80 != 0;
    let areas = [Area::Coil, Area::Discrete, Area::Input, Area::Holding];
    let words = |n: u8| (0..u16::from(n % 100) + 1).map(|i| i.wrapping_mul(at)).collect::<Vec<u16>>();
    let request = match kind % 8 {
        area @ 0..=3 => Request::Read { area: areas[usize::from(area)], start: at, count: u16::from(count % 125) + 1 },
        4 => Request::WriteCoil { at, on: count & 1 == 1, plural },
        5 => Request::WriteWords { at, words: words(count), plural },
        6 => Request::MaskWord { at, mask: choices.word(), bits: choices.word() },
        _ if plural => Request::Identify,
        _ => Request::Exchange { at, words: words(count) },
    };
    let (pdu, question) = (choices.0, request.bytes());
    assert!(question.len() <= PDU_MAX && request.answer_bytes() <= PDU_MAX, "{request:?}");
    match (request.answer(pdu), &request) {
        (Ok(Answer::Words(words)), Request::Read { count, .. }) => {
            assert_eq!((words.len(), pdu.len()), (usize::from(*count), request.answer_bytes()), "{request:?}");
        }
        (Ok(Answer::Bits(bits)), Request::Read { count, .. }) => {
            assert_eq!((bits.len(), pdu.len()), (usize::from(*count), request.answer_bytes()), "{request:?}");
        }
        (Ok(Answer::Words(read)), Request::Exchange { words, .. }) => {
            assert_eq!((read.len(), pdu.len()), (words.len(), 2 + 2 * words.len()), "{request:?}");
        }
        (Ok(Answer::Written), Request::MaskWord { .. }) => assert_eq!(pdu, question),
        (Ok(Answer::Written), Request::WriteCoil { .. } | Request::WriteWords { .. }) => {
            assert_eq!(pdu, &question[..5], "{request:?}");
        }
        (Ok(Answer::Identity(said)), Request::Identify) => assert!(said.iter().map(String::len).sum::<usize>() < 1_024),
        (Ok(other), _) => panic!("{request:?} was answered with {other:?}"),
        (Err(_), _) => {}
    }
}

const TYPES: [WireType; 16] = [
    WireType::Bit,
    WireType::Int8Low,
    WireType::Int8High,
    WireType::Int16,
    WireType::Uint16,
    WireType::Int32,
    WireType::Uint32,
    WireType::Int64,
    WireType::Uint64,
    WireType::Float32,
    WireType::Float64,
    WireType::Bcd16,
    WireType::Bcd32,
    WireType::Text(1),
    WireType::Text(7),
    WireType::Text(250),
];
const ORDERS: [ByteOrder; 4] = [ByteOrder::Abcd, ByteOrder::Cdab, ByteOrder::Badc, ByteOrder::Dcba];

/// Registers as a value of a type chosen by the first bytes: finite, and what is written for it decodes to the same.
///
/// # Panics
/// Where that does not hold.
pub fn values(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let (wire, order) = (choices.one_of(&TYPES), choices.one_of(&ORDERS));
    let value_type = match wire {
        WireType::Text(_) => ValueType::Text,
        WireType::Float32 | WireType::Float64 => ValueType::Float,
        WireType::Bit => ValueType::Bool,
        _ => ValueType::Int,
    };
    let mut point = point_of(value_type, wire);
    point.order = order;
    point.address.bit = (wire == WireType::Bit).then(|| choices.byte() % 16);
    let mut words = choices.words(usize::from(wire.registers()));
    words.resize(usize::from(wire.registers()), 0);
    let Ok((value, _)) = decode(&point, Places::Words(&words)) else { return };
    assert!(value.is_finite(), "{point:?} {words:?}");
    let written = match encode(&point, &value) {
        Ok(Encoded::Words(written)) => written,
        Ok(Encoded::Part { mask, bits }) => vec![(words[0] & !mask) | bits],
        other => panic!("{value:?} of {point:?} cannot be written: {other:?}"),
    };
    // A text is padded in one way, and zero has one sign.
    let is_same = wire.is_text() || value.as_f64() == Some(0.0) || written == words;
    assert!(is_same, "{point:?}: {words:?} is written as {written:?}");
    assert_eq!(decode(&point, Places::Words(&written)).map(|(v, _)| v), Ok(value), "{point:?}");
}

/// A point on the first holding register, as it stands.
pub(crate) fn point_of(value_type: ValueType, wire: WireType) -> PointConfig {
    PointConfig {
        tag: TagId(0),
        path: "t".into(),
        address: Address { area: Area::Holding, pdu: 0, bit: None },
        wire,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type,
        range: None,
        group: 0,
        write: None,
        sunspec: None,
    }
}

/// Points that reach every kind of SunSpec address: a model, any of a kind, a copy in a repeating part, a writable one
/// with a revert timer, a counter, a text.
const SUNSPEC: [&str; 6] = ["inverter.W", "inverter.WH", "123.WMaxLimPct", "160.module.2.DCWH", "701.TotWhInj", "1.SN"];

/// A device with these SunSpec points, each under its own name.
pub(crate) fn sunspec_device(points: &[&str]) -> DeviceConfig {
    let named = points.iter().filter_map(|at| Some((at, parse(&format!("sunspec {at}")).ok()?)));
    let points = named.map(|(at, wanted)| {
        let wire = wanted.any[0].row.kind.wire();
        let scales = vec![1.0; wanted.any.len()];
        let sunspec = Box::new(SunSpecPoint { wanted, scales, revert: None, zero_counts: false, placed: None });
        let value_type = if wire.is_text() { ValueType::Text } else { ValueType::Float };
        PointConfig { path: (*at).into(), sunspec: Some(sunspec), ..point_of(value_type, wire) }
    });
    DeviceConfig {
        id: DeviceId(0),
        name: "d".into(),
        address: "127.0.0.1:502".into(),
        unit: 1,
        timeout: Duration::from_millis(500),
        groups: vec![GroupConfig { name: "g".into(), every: Duration::from_secs(1) }],
        points: points.collect(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: crate::ChannelConfig::default(),
        quirks: crate::Quirks::default(),
        sunspec: Settings::default(),
    }
}

/// Registers of a device behind a base chosen by the first bytes: the walk ends and asks only for what exists, models lie
/// one behind the other, and points are found or not, finite or bad.
///
/// # Panics
/// Where that does not hold.
pub fn sunspec(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let base = choices.one_of(&[40_000, 0, 50_000, 65_000, BASE_MAX]);
    let most = u16::from(choices.byte() % 125) + 1;
    let words = choices.words(usize::from(u16::MAX - base));
    let part = |at: u16, count: u16| {
        let from = usize::from(at.checked_sub(base)?);
        words.get(from..from + usize::from(count))
    };
    let mut walk = Walk::new(&[base]);
    let (mut step, mut asked) = (walk.step(), 0);
    while let Step::Ask(at, count) = step {
        asked += 1;
        assert!(asked <= MODELS_MAX + 3 && u32::from(at) + u32::from(count) <= 65_536);
        step = walk.take(&part(at, count).map_or(Reply::Refused("none"), Reply::Words));
    }
    if let Step::Done(chain) = &step {
        assert!(chain.models.len() <= MODELS_MAX);
        assert!(chain.models.windows(2).all(|two| two[0].at + 2 + two[0].length == two[1].at), "{chain}");
    }
    let Ok(chain) = chain_of(base, &words, &[base]) else { return };
    let mut config = DeviceConfig { registers_max: most, ..sunspec_device(&SUNSPEC) };
    place(&mut config, &chain);
    for point in config.points.iter().filter(|p| p.is_placed()) {
        let (start, end) = point.span();
        assert!(point.wire.is_text() || end - u32::from(start) <= u32::from(most.max(4)), "{point:?}");
        let from = usize::from(start - base);
        let read = words.get(from..words.len().min(from + (end - u32::from(start)) as usize)).unwrap_or(&[]);
        if let Ok((value, _)) = point.value_in(read, start) {
            assert!(value.is_finite(), "{point:?}");
        }
    }
    for request in Plan::new(&config).groups.into_iter().flatten() {
        assert!(request.count > 0 && u32::from(request.start) + u32::from(request.count) <= 65_536, "{request:?}");
    }
}

/// A text in place of an address, a type or an order: read as one that says itself again, or refused.
///
/// # Panics
/// Where it reads back as another.
pub fn addresses(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for zero_based in [false, true] {
        if let Ok(found) = parse_place(text, zero_based) {
            let again = parse_place(&found.address.modicon(), false);
            assert_eq!(again.map(|place| place.address), Ok(found.address), "{text}");
        }
    }
    if let Ok(reference) = parse(text) {
        assert!(!reference.any.is_empty(), "{text}");
        assert_eq!(parse(&reference.to_string()), Ok(reference), "{text}");
    }
    if let Ok(wire) = WireType::parse(text) {
        assert_eq!(WireType::parse(&wire.to_string()), Ok(wire), "{text}");
    }
    if let Ok(order) = ByteOrder::parse(text) {
        assert_eq!(ByteOrder::parse(&order.to_string()), Ok(order), "{text}");
    }
}

/// Places to begin from, by the function that takes them.
#[must_use]
pub fn seeds(of: &str) -> Vec<Vec<u8>> {
    use crate::frame::{rtu_frame, tcp_frame};
    // Answers of every function, an exception, and a device that says what it is.
    let pdus: [&[u8]; 11] = [
        &[1, 2, 0x5A, 1],
        &[2, 1, 0xFF],
        &[3, 4, 0x41, 0x20, 0, 0],
        &[4, 2, 0x80, 0],
        &[5, 0, 1, 0xFF, 0],
        &[6, 0, 1, 0, 7],
        &[15, 0, 1, 0, 1],
        &[16, 0, 1, 0, 2],
        &[22, 0, 4, 0xFF, 0xF0, 0, 5],
        &[0x83, 2],
        &[43, 14, 1, 1, 0, 0, 2, 0, 3, b'A', b'B', b'B', 1, 2, b'X', b'7'],
    ];
    match of {
        "frames" => {
            let tcp = pdus.iter().flat_map(|pdu| tcp_frame(7, 1, pdu)).collect();
            let rtu = pdus.iter().flat_map(|pdu| rtu_frame(1, pdu)).collect();
            vec![tcp, rtu]
        }
        "answers" => pdus.iter().map(|pdu| [&[pdu[0] & 7, 0, 1, 1][..], pdu].concat()).collect(),
        "values" => {
            let digits = [0x12, 0x34, 0x56, 0x78, b'A', b'b', b' ', 0];
            (0..TYPES.len() as u8).map(|wire| [&[wire, 0][..], &digits].concat()).collect()
        }
        "sunspec" => {
            let chain = [(1, 66), (103, 50), (120, 26), (123, 24), (160, 48), (701, 153), (0xFFFF, 0)];
            let mut words: Vec<u16> = vec![0x5375, 0x6E53];
            for (id, length) in chain {
                words.extend([id, length]);
                words.extend((0..length).map(|at| if at % 5 == 0 { 0xFFFE } else { at }));
            }
            vec![[0, 124].into_iter().chain(words.iter().flat_map(|word| word.to_be_bytes())).collect()]
        }
        _ => [
            "40001",
            "400001.3",
            "hr:100",
            "4x00001",
            "%MW100",
            "%IX0.3",
            "3!400001#LB",
            "1!400001.20H",
            "HR0",
            "[a]HR0",
            "holding-register:4:UINT[1]",
            "string(20)",
            "CDAB",
            "sunspec 103.W",
            "sunspec 160#2.module.2.DCWH | 103.WH",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Promise = (&'static str, fn(&[u8]));
    const ALL: [Promise; 5] =
        [("frames", frames), ("answers", answers), ("values", values), ("sunspec", sunspec), ("addresses", addresses)];

    #[test]
    fn what_is_begun_from_is_read() {
        for (name, promise) in ALL {
            let seeds = seeds(name);
            assert!(!seeds.is_empty());
            seeds.iter().for_each(|seed| promise(seed));
        }
        // The device of the seed is found, and its points with it.
        let seed = &seeds("sunspec")[0];
        let words = Choices(&seed[2..]).words(1_000);
        let chain = chain_of(40_000, &words, &[40_000]).unwrap();
        let mut config = sunspec_device(&SUNSPEC);
        assert_eq!((chain.models.len(), place(&mut config, &chain)), (6, Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            ALL.iter().for_each(|(_, promise)| promise(&bytes));
        }

        /// Seeds with some of their bytes changed.
        #[test]
        fn damaged_seeds_keep_the_promises(
            of in 0..ALL.len(), which: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let (name, promise) = ALL[of];
            let seeds = seeds(name);
            let mut bytes = which.get(&seeds).clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            promise(&bytes);
        }
    }
}
