//! What holds for every block, whatever it is fed: with inputs, settings and time steps at random its answers stay
//! finite and within their limits, and it can be reset at any time.

use super::args::{Call, SETTINGS_MAX};
use super::{Block, BlockKind, reset, save};
use proptest::prelude::*;
use rhai::{Array, Dynamic, Map};

/// One scan: inputs, time step, a number to draw settings from.
#[derive(Debug, Clone, Copy)]
struct Scan {
    x: f64,
    y: f64,
    dt: f64,
    draw: u32,
}

impl Scan {
    fn bit(self, n: u32) -> bool {
        self.draw >> n & 1 == 1
    }

    fn pick(self, n: u32, choices: &[f64]) -> f64 {
        choices[(self.draw >> n) as usize % choices.len()]
    }

    fn maybe(self, n: u32, x: f64) -> Dynamic {
        if self.bit(n) { x.into() } else { Dynamic::UNIT }
    }
}

fn signal() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -200.0..200.0, 2 => -1e9..1e9, 1 => Just(0.0), 1 => Just(f64::MAX), 1 => Just(f64::MIN)]
}

fn scans() -> impl Strategy<Value = Vec<Scan>> {
    // The logarithm of the time step is what is even between 0.01 s and an hour.
    let dt = (-2.0..=3.556_302_5_f64).prop_map(|log| 10_f64.powf(log).min(3_600.0));
    let scan = (signal(), signal(), dt, any::<u32>()).prop_map(|(x, y, dt, draw)| Scan { x, y, dt, draw });
    prop::collection::vec(scan, 1..80)
}

fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

const TIMES: [f64; 6] = [0.001, 0.5, 7.0, 60.0, 900.0, 1e5];
const GAINS: [f64; 6] = [-3.0, 0.0, 0.01, 2.0, 50.0, 1e6];

/// The settings of a `pid` at random; limits 10 to 90.
fn pid(s: Scan) -> Map {
    let mode = if s.bit(0) { "auto" } else { ["manual", "cascade"][usize::from(s.bit(1))] };
    map([
        ("kp", s.pick(2, &GAINS).into()),
        ("ti", s.maybe(5, s.pick(6, &TIMES))),
        ("td", s.maybe(9, s.pick(10, &TIMES))),
        ("n", s.pick(3, &[1.0, 10.0, 100.0]).into()),
        ("b", s.pick(13, &[0.0, 0.5, 1.0]).into()),
        ("c", s.pick(15, &[0.0, 0.5, 1.0]).into()),
        ("tt", s.maybe(17, s.pick(18, &TIMES))),
        ("rate", s.maybe(21, s.pick(22, &[0.0, 0.1, 1e6]))),
        ("deadband", s.maybe(24, 1.0)),
        ("track", if s.draw.is_multiple_of(7) { s.x.into() } else { Dynamic::UNIT }),
        ("reset_from", if s.bit(5) && s.bit(25) { s.y.into() } else { Dynamic::UNIT }),
        ("mode", mode.into()),
        ("manual", s.maybe(26, s.y)),
        ("cascade", s.y.into()),
        ("reverse", s.bit(27).into()),
        ("min", 10.into()),
        ("max", 90.into()),
    ])
}

fn smith(s: Scan) -> Map {
    let (gain, t) = (("gain", s.pick(0, &GAINS).into()), ("t", s.pick(3, &TIMES).into()));
    if s.bit(9) {
        map([gain, t, ("dead_time", s.x.abs().into()), ("dead_time_max", s.pick(6, &TIMES).into())])
    } else {
        map([gain, t, ("flow", s.x.into()), ("volume", s.pick(6, &TIMES).into())])
    }
}

fn machines(s: Scan) -> Dynamic {
    let machine = |i: u32| {
        Dynamic::from_map(map([
            ("available", s.bit(4 * i).into()),
            ("auto", (s.bit(4 * i + 1) || s.bit(3)).into()),
            ("running", s.bit(4 * i + 2).into()),
            ("capacity", 100.into()),
            ("hours", s.maybe(4 * i + 3, s.y.abs())),
            ("margin", s.maybe(4 * i, s.x)),
        ]))
    };
    (0..5).map(machine).collect::<Array>().into()
}

fn validator(s: Scan) -> Map {
    map([
        ("min", (-100).into()),
        ("max", 100.into()),
        ("spike", s.maybe(0, 5.0)),
        ("rate", s.maybe(1, 1.0)),
        ("flat_time", s.maybe(2, 60.0)),
        ("flat_band", 0.5.into()),
        ("age", s.y.abs().into()),
        ("max_age", s.maybe(3, 120.0)),
        ("maintenance", s.bit(4).into()),
        ("spread", s.maybe(5, 10.0)),
        ("substitute", s.maybe(6, 12.0)),
        ("hold", 600.into()),
        ("safe", (-7).into()),
        ("back_after", s.maybe(7, 30.0)),
    ])
}

/// What a script would hand to a block of this kind.
fn call(kind: BlockKind, s: Scan) -> (Vec<Dynamic>, Map) {
    let (x, y) = (Dynamic::from(s.x), Dynamic::from(s.y));
    let time = |n| Dynamic::from(s.pick(n, &TIMES));
    match kind {
        BlockKind::Pid => (vec![x, y], pid(s)),
        BlockKind::Lag => (vec![x], map([("t", time(0))])),
        BlockKind::LeadLag => (vec![x], map([("lead", time(0)), ("lag", time(3))])),
        BlockKind::Ramp => (vec![x], map([("up", time(0)), ("down", time(3))])),
        BlockKind::Deadband => (vec![x], map([("width", 2.into()), ("hold", s.bit(0).into())])),
        BlockKind::Hysteresis => (vec![x], map([("on", y), ("off", 4.into())])),
        BlockKind::OnDelay | BlockKind::OffDelay => (vec![s.bit(0).into()], map([("t", time(1))])),
        BlockKind::MinTimes => (vec![s.bit(0).into()], map([("on", time(1)), ("off", time(4))])),
        BlockKind::Totaliser => (vec![x], Map::new()),
        BlockKind::RunHours => (vec![s.bit(0).into()], Map::new()),
        BlockKind::Window => (vec![x], map([("t", time(0))])),
        BlockKind::Demand => (vec![x], map([("t", time(0)), ("limit", s.maybe(3, s.y)), ("sync", s.bit(4).into())])),
        BlockKind::Smith => (vec![x, y], smith(s)),
        BlockKind::Ratio => {
            let settings = [("ratio", s.pick(0, &GAINS).into()), ("bias", y), ("track", s.maybe(3, s.x))];
            let mut settings = map(settings);
            settings.extend(map([("balance", time(4)), ("min", 10.into()), ("max", 90.into())]));
            (vec![x], settings)
        }
        BlockKind::SplitRange => {
            let range = |r: [i64; 4]| Dynamic::from(r.map(Dynamic::from).to_vec());
            let ranges: Array = vec![range([0, 60, 90, 10]), range([40, 100, 10, 90])];
            (vec![x], map([("ranges", ranges.into())]))
        }
        BlockKind::Stroke => {
            (vec![x], map([("least", s.pick(0, &[0.0, 2.0, 25.0]).into()), ("pulse", s.pick(3, &[0.5, 30.0]).into())]))
        }
        BlockKind::MostOpenValve => {
            let positions: Array = vec![s.maybe(0, s.x), s.maybe(1, s.y), Dynamic::UNIT];
            let settings = [("target", 80.into()), ("band", 3.into()), ("gain", time(3)), ("every", 300.into())];
            let mut settings = map(settings);
            let rest = [("step", time(6)), ("start", y), ("track", s.maybe(9, s.x)), ("min", 10.into())];
            settings.extend(map(rest));
            settings.extend(map([("max", 90.into())]));
            (vec![positions.into()], settings)
        }
        BlockKind::Sequencer => {
            let mut settings = map([("min_run", time(20)), ("min_stop", time(21)), ("min_running", 0.into())]);
            settings.extend(map([("max_running", 3.into()), ("start_timeout", time(23)), ("guard", 8.into())]));
            settings.extend(map([("up_after", time(24)), ("down_after", time(26))]));
            (vec![x, machines(s)], settings)
        }
        BlockKind::Validator => {
            let sensors: Array = vec![x, y, s.maybe(8, s.x)];
            (vec![sensors.into()], validator(s))
        }
    }
}

fn all_finite(value: &Dynamic) -> bool {
    if let Ok(x) = value.as_float() {
        return x.is_finite();
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().all(all_finite);
    }
    value.as_map_ref().is_err() || value.as_map_ref().is_ok_and(|map| map.values().all(all_finite))
}

/// An answer with every bit of its numbers.
fn bits(answer: &Result<Dynamic, String>) -> String {
    fn of(value: &Dynamic) -> String {
        if let Ok(x) = value.as_float() {
            return format!("{:016x}", x.to_bits());
        }
        if let Ok(array) = value.as_array_ref() {
            return format!("{:?}", array.iter().map(of).collect::<Vec<_>>());
        }
        value.as_map_ref().map_or_else(
            |_| format!("{value:?}"),
            |map| format!("{:?}", map.iter().map(|(name, value)| (name.to_string(), of(value))).collect::<Vec<_>>()),
        )
    }
    answer.as_ref().map_or_else(Clone::clone, of)
}

/// True when an answer keeps the limits that `call` set.
fn within(kind: BlockKind, answer: &Dynamic) -> bool {
    let limited = |x: &Dynamic| x.as_float().is_ok_and(|x| (10.0..=90.0).contains(&x));
    match kind {
        BlockKind::Pid | BlockKind::Ratio | BlockKind::MostOpenValve => limited(answer),
        BlockKind::SplitRange => answer.as_array_ref().is_ok_and(|a| a.iter().all(limited)),
        BlockKind::Sequencer => {
            let map = answer.as_map_ref().unwrap();
            map["wanted"].as_int().is_ok_and(|n| (0..=3).contains(&n))
        }
        BlockKind::Validator => {
            let map = answer.as_map_ref().unwrap();
            map["value"].as_float().is_ok_and(|x| (-100.0..=100.0).contains(&x))
        }
        BlockKind::Window => {
            let map = answer.as_map_ref().unwrap();
            let part = |name: &str| map[name].as_float().unwrap();
            let (low, high) = (part("min"), part("max"));
            let rounding = 1e-9 * low.abs().max(high.abs());
            let mean_within = (low - rounding..=high + rounding).contains(&part("mean"));
            mean_within && part("std") >= 0.0
        }
        _ => true,
    }
}

fn step(kind: BlockKind, block: &mut Block, s: Scan) -> Result<Dynamic, String> {
    let (values, settings) = call(kind, s);
    kind.run(block, &values, Some(&settings), s.dt)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_stay_finite_and_within_their_limits(scans in scans()) {
        for kind in BlockKind::ALL {
            let mut block = kind.make();
            for s in &scans {
                let answer = step(kind, &mut block, *s);
                let answer = answer.map_err(|e| TestCaseError::fail(format!("{kind:?}: {e}")))?;
                prop_assert!(all_finite(&answer), "{kind:?}: {answer:?}");
                prop_assert!(within(kind, &answer), "{kind:?}: {answer:?}");
                if s.draw.is_multiple_of(31) {
                    prop_assert!(reset(&mut block, None).is_ok(), "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_block_saved_and_loaded_goes_on_bit_for_bit(scans in scans()) {
        for kind in BlockKind::ALL {
            let mut block = kind.make();
            let mut copy = kind.make();
            for (n, s) in scans.iter().enumerate() {
                if n % 7 == 0 || s.draw.is_multiple_of(5) {
                    let memory = save(&mut block);
                    copy = kind.load(&memory).map_err(|e| TestCaseError::fail(format!("{kind:?}: {e}: {memory:?}")))?;
                    prop_assert_eq!(&save(&mut copy), &memory, "{:?}", kind);
                }
                if s.draw.is_multiple_of(31) {
                    let to = (s.bit(9) && kind == BlockKind::Pid).then(|| Dynamic::from(s.y));
                    prop_assert!(reset(&mut block, to.as_ref()).is_ok() && reset(&mut copy, to.as_ref()).is_ok());
                }
                let (a, b) = (step(kind, &mut block, *s), step(kind, &mut copy, *s));
                prop_assert_eq!(bits(&a), bits(&b), "{:?} at {}", kind, n);
            }
            prop_assert_eq!(save(&mut block), save(&mut copy), "{:?}", kind);
        }
    }

    #[test]
    fn a_reset_block_answers_as_a_new_one(scans in scans()) {
        let half = scans.len() / 2;
        // What protects the machines of a sequencer outlives its reset; it has a test of its own.
        for kind in BlockKind::ALL.into_iter().filter(|kind| !matches!(kind, BlockKind::Sequencer)) {
            let (mut used, mut new) = (kind.make(), kind.make());
            for s in &scans[..half] {
                prop_assert!(step(kind, &mut used, *s).is_ok());
            }
            prop_assert!(reset(&mut used, None).is_ok());
            for s in &scans[half..] {
                let (a, b) = (step(kind, &mut used, *s), step(kind, &mut new, *s));
                prop_assert_eq!(format!("{:?}", a), format!("{:?}", b), "{:?}", kind);
            }
        }
    }
}

#[test]
fn what_is_no_finite_number_is_refused_and_leaves_no_trace() {
    let usual = Scan { x: 20.0, y: 30.0, dt: 1.0, draw: 0b1010_0110_1010_0011_0110_1001_0101 };
    for kind in BlockKind::ALL {
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut block = kind.make();
            let (mut values, settings) = call(kind, usual);
            if values[0].is_bool() {
                continue;
            }
            values[0] = if values[0].is_array() { vec![Dynamic::from(wrong)].into() } else { wrong.into() };
            let error = kind.run(&mut block, &values, Some(&settings), 1.0).unwrap_err();
            assert!(error.contains("finite number"), "{kind:?}: {error}");
            let mut new = kind.make();
            let after = (step(kind, &mut block, usual), step(kind, &mut new, usual));
            assert_eq!(format!("{:?}", after.0), format!("{:?}", after.1), "{kind:?}");
        }
    }
}

#[test]
fn settings_that_are_none_are_refused_with_their_reason() {
    let usual = Scan { x: 20.0, y: 30.0, dt: 1.0, draw: 0b10_0110_1010_0011_0110_1001_0001 };
    let text = |t: &str| Dynamic::from(t.to_owned());
    for (kind, name, value, part) in [
        (BlockKind::Pid, "kq", 1.into(), "no setting `kq` (did you mean `kp`?)"),
        (BlockKind::Pid, "kp", Dynamic::UNIT, "`kp` is missing"),
        (BlockKind::Pid, "min", 91.into(), "`min` 91 is above `max` 90"),
        (BlockKind::Pid, "ti", 0.into(), "`ti` is a time above 0 s"),
        (BlockKind::Pid, "td", (-1).into(), "`td` is a time of at least 0 s"),
        (BlockKind::Pid, "b", 1.5.into(), "`b` lies between 0 and 1, not 1.5"),
        (BlockKind::Pid, "n", 0.into(), "`n` lies between 1 and 100"),
        (BlockKind::Pid, "rate", (-1).into(), "`rate` is at least 0"),
        (BlockKind::Pid, "mode", text("hand"), "`mode` is one of auto, manual, cascade, not hand"),
        (BlockKind::Pid, "reverse", 1.into(), "`reverse` takes true or false"),
        (BlockKind::Pid, "tt", f64::NAN.into(), "`tt` takes a finite number"),
        (BlockKind::Lag, "t", (-1).into(), "`t` is a time of at least 0 s"),
        (BlockKind::LeadLag, "lag", 0.into(), "`lag` is a time above 0 s"),
        (BlockKind::Ramp, "up", (-1).into(), "`up` is at least 0"),
        (BlockKind::Deadband, "width", (-2).into(), "`width` is at least 0"),
        (BlockKind::Window, "t", 0.into(), "`t` is a time above 0 s"),
        (BlockKind::Demand, "t", (-900).into(), "`t` is a time above 0 s"),
        (BlockKind::Smith, "volume", 50.into(), "either `dead_time`"),
        (BlockKind::Smith, "flow", 5.into(), "either `dead_time`"),
        (BlockKind::Smith, "dead_time_max", 0.into(), "`dead_time_max` is a time above 0 s"),
        (BlockKind::Stroke, "pulse", 0.into(), "`pulse` is a time above 0 s"),
        (BlockKind::Stroke, "least", (-1).into(), "`least` is at least 0"),
        (BlockKind::Stroke, "least", Dynamic::UNIT, "`least` is missing"),
        (BlockKind::MostOpenValve, "every", 5.into(), "`every` lies between 60 and 900"),
        (BlockKind::Sequencer, "down", 1.2.into(), "`down` 1.2 is above `up`"),
        (BlockKind::Sequencer, "min_running", 4.into(), "`min_running` is above `max_running`"),
        (BlockKind::Sequencer, "starts_per_hour", 0.into(), "`starts_per_hour` lies between 1"),
        (BlockKind::Sequencer, "order", text("age"), "`order` is one of hours, fixed"),
        (BlockKind::Validator, "safe", Dynamic::UNIT, "`safe` is missing"),
        (BlockKind::Validator, "age", vec![Dynamic::from(1)].into(), "`age` has 1 elements for 3 sensors"),
    ] {
        let (values, mut settings) = call(kind, usual);
        settings.insert(name.into(), value);
        let error = kind.run(&mut kind.make(), &values, Some(&settings), 1.0).unwrap_err();
        assert!(error.contains(part), "{kind:?} {name}: {error}");
    }
}

#[test]
fn settings_are_known_by_their_names_alone() {
    for kind in BlockKind::ALL {
        let names = kind.settings();
        assert!(names.is_sorted() && names.len() <= SETTINGS_MAX, "{}: {names:?}", kind.as_str());
        // Each by itself and all of them: none is taken for another, whatever else is given.
        let all: Map = names.iter().map(|name| ((*name).into(), (*name).into())).collect();
        let call = Call::new(&[], names, Some(&all), 1.0).ok().unwrap();
        for name in names {
            assert_eq!(call.get(name).unwrap().to_string(), *name);
            let one: Map = std::iter::once(((*name).into(), (*name).into())).collect();
            let call = Call::new(&[], names, Some(&one), 1.0).ok().unwrap();
            assert!(names.iter().all(|other| call.get(other).is_some() == (other == name)), "{name}");
            for wrong in [format!("{name}_"), name[1..].to_owned(), "".to_owned(), "zz".to_owned()] {
                let mut more = all.clone();
                more.insert(wrong.as_str().into(), 1.into());
                let refused = Call::new(&[], names, Some(&more), 1.0).err();
                assert_eq!(refused, (!names.contains(&wrong.as_str())).then_some(wrong.as_str()));
            }
        }
    }
}
