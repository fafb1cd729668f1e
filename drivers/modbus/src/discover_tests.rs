//! A unit with a chain of models in memory, in virtual time: found, read with its factors, written, lost, moved.

use super::*;
use crate::channel::Channel;
use crate::config::{Beats, BeatsWhile, GroupConfig, Heartbeat, PointConfig, WriteConfig};
use crate::frame::tcp_frame;
use crate::line::ChannelConfig;
use crate::sunspec::Settings;
use crate::sunspec::models::Model;
use crate::sunspec::point::SunSpecPoint;
use crate::sunspec::reference::parse;
use crate::transport::Stream;
use crate::wire::ByteOrder;
use crate::{Address, Lockstep, Quirks, Registers};
use penstock_model::{
    BadReason, Clock, Command, CommandId, DeviceId, LinkRecord, LinkState, Now, Origin, Outcome, OutcomeState, Quality,
    Sample, SampleSink, TagId, TagSample, Utc, Value, ValueType,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

const GOOD: Quality = Quality::Good;
const ABSENT: Quality = Quality::Bad(BadReason::Configuration);
const SF_MINUS_1: u16 = 0xFFFF;

#[derive(Default)]
struct Device {
    words: HashMap<u16, u16>,
    /// Questions to these registers get no answer at all.
    silent: Option<u16>,
    /// Function, place, number of registers.
    asked: Vec<(u8, u16, u16)>,
}

impl Device {
    /// A chain of these models from `base`, every point not implemented but for what is put afterwards.
    fn with_chain(base: u16, models: &[u16]) -> Device {
        let mut device = Device::default();
        device.lay(base, models);
        device
    }

    fn lay(&mut self, base: u16, models: &[u16]) {
        self.words = [(base, 0x5375), (base + 1, 0x6E53)].into();
        let mut at = base + 2;
        for id in models {
            let length = Model::of(*id).map_or(8, |model| model.length(0));
            self.words.extend([(at, *id), (at + 1, length)]);
            self.words.extend((at + 2..at + 2 + length).map(|at| (at, 0x8000)));
            at += 2 + length;
        }
        self.words.extend([(at, 0xFFFF), (at + 1, 0)]);
    }

    /// Where a point of the n-th model of a number lies.
    fn at(&self, id: u16, name: &str) -> u16 {
        let base =
            *self.words.iter().find(|(at, w)| **w == 0x5375 && self.words.get(&(**at + 1)) == Some(&0x6E53)).unwrap().0;
        let mut head = base + 2;
        while self.words[&head] != id {
            head += 2 + self.words[&(head + 1)];
        }
        head + Model::of(id).unwrap().point(None, name).unwrap().0
    }

    fn put(&mut self, id: u16, name: &str, words: &[u16]) {
        let at = self.at(id, name);
        self.words.extend((at..).zip(words.iter().copied()));
    }

    fn get(&self, id: u16, name: &str) -> u16 {
        self.words[&self.at(id, name)]
    }
}

type Shared = Arc<Mutex<Device>>;

async fn serve(mut far: DuplexStream, device: Shared) {
    loop {
        let mut head = [0; 7];
        if far.read_exact(&mut head).await.is_err() {
            return;
        }
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        far.read_exact(&mut pdu).await.unwrap();
        let word = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
        let (function, at) = (pdu[0], word(1));
        let answer = {
            let mut d = device.lock().unwrap();
            d.asked.push((function, at, if function == 6 { 1 } else { word(3) }));
            match function {
                _ if d.silent == Some(at) => continue,
                3 => match (at..at.saturating_add(word(3))).map(|at| d.words.get(&at)).collect::<Option<Vec<_>>>() {
                    None => vec![function | 0x80, 2],
                    Some(words) => {
                        let mut out = vec![function, u8::try_from(2 * words.len()).unwrap()];
                        words.iter().for_each(|w| out.extend(w.to_be_bytes()));
                        out
                    }
                },
                6 => {
                    d.words.insert(at, word(3));
                    pdu.clone()
                }
                _ => {
                    let words = pdu[6..].chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect::<Vec<_>>();
                    d.words.extend((at..).zip(words));
                    pdu[..5].to_vec()
                }
            }
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
        let frame = tcp_frame(u16::from_be_bytes([head[0], head[1]]), head[6], &answer);
        if far.write_all(&frame).await.is_err() {
            return;
        }
    }
}

struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap();
        Now { mono: penstock_model::Instant(nanos), utc: Utc(i64::try_from(nanos).unwrap()) }
    }
}

#[derive(Default)]
struct Heard {
    samples: Mutex<HashMap<TagId, Vec<Sample>>>,
    outcomes: Mutex<Vec<Outcome>>,
    link: Mutex<Option<LinkRecord>>,
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        for TagSample { tag, sample } in batch {
            self.samples.lock().unwrap().entry(*tag).or_default().push(sample.clone());
        }
    }
    fn liveness(&self, _: DeviceId, _: penstock_model::Instant) -> penstock_model::Liveness {
        penstock_model::Liveness { scans: true, healthy: true }
    }
    fn outcome(&self, outcome: Outcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }
    fn link(&self, link: LinkRecord) {
        *self.link.lock().unwrap() = Some(link);
    }
}

impl Heard {
    fn last(&self, tag: u32) -> Option<(Option<f64>, Quality)> {
        let samples = self.samples.lock().unwrap();
        let last = samples.get(&TagId(tag))?.last()?;
        Some((last.value.as_ref().and_then(Value::as_f64), last.quality))
    }

    fn is(&self, tag: u32, value: f64) -> bool {
        self.last(tag) == Some((Some(value), GOOD))
    }

    /// Every good value a tag ever had.
    fn good(&self, tag: u32) -> Vec<f64> {
        let samples = self.samples.lock().unwrap();
        let of_tag = samples.get(&TagId(tag)).map_or(&[][..], Vec::as_slice);
        of_tag.iter().filter(|s| s.quality == GOOD).filter_map(|s| s.value.as_ref()?.as_f64()).collect()
    }

    fn outcomes(&self, id: u64) -> Vec<OutcomeState> {
        self.outcomes.lock().unwrap().iter().filter(|o| o.id == CommandId(id)).map(|o| o.state.clone()).collect()
    }

    fn note(&self) -> String {
        self.link.lock().unwrap().as_ref().map(|link| link.note.to_string()).unwrap_or_default()
    }
}

fn point(tag: u32, at: &str) -> PointConfig {
    let wanted = parse(&format!("sunspec {at}")).unwrap();
    let scales = vec![1.0; wanted.any.len()];
    PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        address: Address { area: Area::Holding, pdu: 0, bit: None },
        wire: wanted.any[0].row.kind.wire(),
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: ValueType::Float,
        range: None,
        group: 0,
        write: None,
        sunspec: Some(Box::new(SunSpecPoint { wanted, scales, revert: None, zero_counts: false, placed: None })),
    }
}

fn written(tag: u32, at: &str, revert: Option<Duration>) -> PointConfig {
    let repeat = revert.map(|time| time / 3);
    let write = Some(WriteConfig { verify_within: Duration::from_secs(1), tolerance: 0.001, repeat });
    let mut point = PointConfig { write, ..point(tag, at) };
    point.sunspec.as_mut().unwrap().revert = revert;
    point
}

fn config(points: Vec<PointConfig>) -> DeviceConfig {
    DeviceConfig {
        id: DeviceId(0),
        name: "inverter".into(),
        address: "nowhere:1".into(),
        unit: 1,
        timeout: Duration::from_millis(500),
        groups: vec![GroupConfig { name: "g".into(), every: Duration::from_secs(1) }],
        points: points.into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: ChannelConfig::default(),
        quirks: Quirks::default(),
        sunspec: Settings::default(),
    }
}

struct Bench {
    channel: Channel,
    device: Shared,
    heard: Arc<Heard>,
    commands: mpsc::Sender<Command>,
    _stop: watch::Sender<bool>,
}

impl Bench {
    fn new(config: DeviceConfig, device: Device) -> Bench {
        assert_eq!(config.check(), Vec::<String>::new());
        let device = Arc::new(Mutex::new(device));
        let heard = Arc::new(Heard::default());
        let (stop, stopped) = watch::channel(false);
        let (commands, receiver) = mpsc::channel(8);
        let unit = Unit::new(config, heard.clone(), receiver, Arc::new(Virtual(Instant::now())));
        let mut bench = Bench { channel: Channel::new(vec![unit], stopped), device, heard, commands, _stop: stop };
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        let (near, far) = duplex(4_096);
        tokio::spawn(serve(far, self.device.clone()));
        let shared = self.channel.units[0].config.channel.clone();
        self.channel.wire = Some(Wire::new(Box::new(near) as Box<dyn Stream>, &shared));
        self.channel.open();
    }

    async fn run(&mut self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            self.channel.turn().await;
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Device) -> R) -> R {
        f(&mut self.device.lock().unwrap())
    }

    async fn command(&self, id: u64, tag: u32, value: f64) {
        let command = Command {
            id: CommandId(id),
            tag: TagId(tag),
            device: DeviceId(0),
            value: Some(Value::Float(value)),
            origin: Origin::Program("test".into()),
            granted: Utc(0),
        };
        self.commands.send(command).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_always_of_one_answer_with_its_factor() {
    let mut device = Device::with_chain(40_000, &[1, 103]);
    device.put(103, "W", &[5321, 2]);
    device.put(103, "WH", &[0x0012, 0xD687, 1]);
    let mut bench = Bench::new(config(vec![point(0, "inverter.W"), point(1, "103.WH"), point(2, "103.DCW")]), device);
    bench.run(3).await;
    assert!(bench.heard.is(0, 532_100.0) && bench.heard.is(1, 12_345_670.0));
    assert_eq!(bench.heard.last(2), Some((None, Quality::Bad(BadReason::NotImplemented))));
    // The factor moves with the magnitude: no value in between is off by powers of ten.
    for (raw, factor, value) in [(3_000, 3_u16, 3.0e6), (30_000, SF_MINUS_1, 3_000.0), (0x8AD0, 0, -30_000.0)] {
        bench.with(|d| d.put(103, "W", &[raw, factor]));
        bench.run(2).await;
        assert!(bench.heard.is(0, value), "{:?}", bench.heard.last(0));
    }
    let wrong: Vec<f64> =
        bench.heard.good(0).into_iter().filter(|v| ![532_100.0, 3.0e6, 3_000.0, -30_000.0].contains(v)).collect();
    assert_eq!(wrong, Vec::<f64>::new());
    // A factor that the device does not have, or one that cannot be, gives no value.
    for (factor, why) in [(0x8000, BadReason::NotImplemented), (400, BadReason::Undecodable)] {
        bench.with(|d| d.put(103, "W_SF", &[factor]));
        bench.run(2).await;
        assert_eq!(bench.heard.last(0).map(|(_, quality)| quality), Some(Quality::Bad(why)));
    }
    let asks = bench.with(|d| d.asked.clone());
    let head = bench.with(|d| d.at(103, "A")) - 2;
    assert!(
        asks.iter().all(|(_, at, count)| *count == 2 || *at == head),
        "one request with the head of the model: {asks:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_chain_is_found_wherever_it_begins_even_behind_silence() {
    for (base, silent) in [(40_000, None), (50_000, None), (0, None), (50_000, Some(40_000))] {
        let mut device = Device::with_chain(base, &[1, 64_001, 103]);
        device.put(103, "Hz", &[4998, 0xFFFE]);
        device.silent = silent;
        let mut bench = Bench::new(config(vec![point(0, "103.Hz")]), device);
        // A unit that says nothing is lost, and asked elsewhere when it is tried again.
        for _ in 0..20 {
            bench.run(1).await;
            if bench.channel.wire.is_none() {
                bench.connect();
            }
        }
        assert!(bench.heard.is(0, 49.98), "from {base}: {:?}", bench.heard.last(0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_device_does_not_have_is_bad_and_named_and_the_rest_goes_on() {
    let mut device = Device::with_chain(40_000, &[1, 101]);
    device.put(101, "W", &[250, 1]);
    let points = vec![point(0, "inverter.W"), point(1, "103.W"), written(2, "123.WMaxLimPct", None)];
    let mut bench = Bench::new(config(points), device);
    bench.run(3).await;
    assert!(bench.heard.is(0, 2_500.0), "any inverter model is taken");
    assert_eq!(bench.heard.last(1), Some((None, ABSENT)));
    assert!(bench.heard.note().contains("sunspec 103.W (`t/1`)"), "{}", bench.heard.note());
    // It is said with each turn, so that it never looks like something nobody asks for.
    let said = bench.heard.samples.lock().unwrap()[&TagId(1)].len();
    bench.run(5).await;
    assert!(bench.heard.samples.lock().unwrap()[&TagId(1)].len() >= said + 4);
    bench.command(7, 2, 50.0).await;
    bench.run(2).await;
    let outcomes = bench.heard.outcomes(7);
    assert!(
        matches!(&outcomes[..], [OutcomeState::Failed(why)] if why.contains("does not have sunspec 123.WMaxLimPct")),
        "{outcomes:?}"
    );
    // The device gets a firmware that has it: found without a restart.
    bench.with(|d| {
        d.lay(40_000, &[1, 101, 103, 123]);
        d.put(101, "W", &[250, 1]);
        d.put(103, "W", &[111, 0]);
        d.put(123, "WMaxLimPct_SF", &[0xFFFE]);
    });
    bench.run(70).await;
    assert!(bench.heard.is(1, 111.0) && bench.heard.note().is_empty(), "{}", bench.heard.note());
}

#[tokio::test(start_paused = true)]
async fn a_device_without_a_chain_says_so_and_is_asked_again() {
    let mut bench = Bench::new(config(vec![point(0, "103.W"), written(1, "123.WMaxLimPct", None)]), Device::default());
    bench.command(1, 1, 40.0).await;
    bench.run(10).await;
    assert_eq!(bench.heard.last(0), Some((None, ABSENT)));
    assert!(matches!(&bench.heard.outcomes(1)[..], [OutcomeState::Failed(_)]));
    assert_eq!(bench.heard.link.lock().unwrap().as_ref().map(|l| l.state), Some(LinkState::Up), "it does answer");
    let asked = bench.with(|d| std::mem::take(&mut d.asked));
    assert_eq!(asked, [(3, 40_000, 2), (3, 50_000, 2), (3, 0, 2)], "once, not with every poll");
    // A broken chain: the end of model 103 lies beyond the registers.
    bench.with(|d| {
        d.lay(40_000, &[1, 103]);
        let at = d.at(103, "A") - 1;
        d.words.insert(at, 60_000);
    });
    bench.run(65).await;
    assert_eq!(bench.heard.last(0), Some((None, ABSENT)));
    bench.with(|d| {
        d.lay(40_000, &[1, 103, 123]);
        d.put(103, "W", &[111, 0]);
        d.put(123, "WMaxLimPct_SF", &[0]);
    });
    bench.run(65).await;
    assert!(bench.heard.is(0, 111.0));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_moved_gives_no_wrong_value() {
    let mut device = Device::with_chain(40_000, &[1, 103]);
    device.put(103, "W", &[500, 0]);
    let mut bench = Bench::new(config(vec![point(0, "103.W"), point(1, "103.Hz")]), device);
    bench.run(3).await;
    assert!(bench.heard.is(0, 500.0));
    // A new firmware puts another model before it, without a break of the connection.
    bench.with(|d| {
        d.lay(40_000, &[1, 120, 103]);
        d.put(103, "W", &[777, 0]);
        // What lies where the power was.
        let old = 40_070 + 14;
        d.words.extend([(old, 9_999), (old + 1, 0)]);
    });
    bench.run(3).await;
    assert_eq!(bench.heard.last(0).map(|(_, quality)| quality), Some(ABSENT));
    bench.run(70).await;
    assert!(bench.heard.is(0, 777.0), "{:?}", bench.heard.last(0));
    assert!(bench.heard.good(0).iter().all(|v| [500.0, 777.0].contains(v)), "{:?}", bench.heard.good(0));
    // And over a break.
    bench.with(|d| {
        d.lay(50_000, &[1, 103]);
        d.put(103, "W", &[888, 0]);
    });
    bench.channel.wire = None;
    bench.channel.units[0].lose("cut");
    bench.connect();
    bench.run(3).await;
    assert!(bench.heard.is(0, 888.0));
    assert!(bench.heard.good(0).iter().all(|v| [500.0, 777.0, 888.0].contains(v)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_the_chain_looked_through_again() {
    let mut device = Device::with_chain(40_000, &[1, 103]);
    device.put(103, "W", &[500, 0]);
    let mut bench = Bench::new(config(vec![point(0, "103.W")]), device);
    bench.run(3).await;
    bench.with(|d| {
        d.lay(50_000, &[1, 103]);
        d.put(103, "W", &[600, 0]);
    });
    bench.run(65).await;
    assert!(bench.heard.is(0, 600.0), "{:?}", bench.heard.last(0));
}

#[tokio::test(start_paused = true)]
async fn a_command_takes_its_factor_its_timer_and_its_switch_along() {
    let mut device = Device::with_chain(40_000, &[1, 103, 123]);
    device.put(123, "WMaxLimPct", &[100, 0, 0, 0, 0]);
    device.put(123, "WMaxLimPct_SF", &[0xFFFE]);
    let limit = written(0, "123.WMaxLimPct | 704.WMaxLimPct", Some(Duration::from_secs(60)));
    let mut bench = Bench::new(config(vec![limit, point(1, "123.WMaxLim_Ena")]), device);
    bench.command(1, 0, 62.35).await;
    bench.run(3).await;
    assert_eq!(bench.heard.outcomes(1).last(), Some(&OutcomeState::ReadBack), "{:?}", bench.heard.outcomes(1));
    let (limit, timer, switch) = ("WMaxLimPct", "WMaxLimPct_RvrtTms", "WMaxLim_Ena");
    assert_eq!(bench.with(|d| [limit, timer, switch].map(|name| d.get(123, name))), [6_235, 60, 1]);
    let writes = |d: &mut Device| {
        let of = |name: &str| (d.at(123, name), name.to_owned());
        let names: HashMap<u16, String> = [limit, timer, switch].map(of).into();
        let asked = std::mem::take(&mut d.asked);
        asked.iter().filter(|a| a.0 != 3).map(|a| names[&a.1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(bench.with(writes), [timer, limit, switch], "the timer first, so that no limit stands without it");
    // Renewed within the time, under the factor as it is then.
    bench.with(|d| d.put(123, "WMaxLimPct_SF", &[SF_MINUS_1]));
    bench.run(25).await;
    assert_eq!(bench.with(|d| d.get(123, limit)), 624);
    assert_eq!(bench.with(writes), [timer, limit, switch]);
    // A factor that is not there: nothing is written.
    bench.with(|d| d.put(123, "WMaxLimPct_SF", &[0x8000]));
    bench.command(2, 0, 10.0).await;
    bench.run(3).await;
    let outcomes = bench.heard.outcomes(2);
    assert!(
        matches!(outcomes.last(), Some(OutcomeState::Failed(why)) if why.contains("WMaxLimPct_SF")),
        "{outcomes:?}"
    );
    assert_eq!(bench.with(writes), Vec::<String>::new());
    // What would read as "not implemented" is refused: 65535 with the factor 0.
    bench.with(|d| d.put(123, "WMaxLimPct_SF", &[0]));
    bench.command(3, 0, 65_535.0).await;
    bench.run(3).await;
    assert!(
        matches!(bench.heard.outcomes(3).last(), Some(OutcomeState::Failed(why)) if why.contains("not implemented"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_finds_its_register() {
    let mut config = config(vec![point(0, "103.W")]);
    config.heartbeat = Some(Heartbeat {
        address: Address { area: Area::Holding, pdu: 0, bit: None },
        every: Duration::from_secs(1),
        values: Beats::Count,
        beats: BeatsWhile::Healthy,
        sunspec: parse("sunspec 715.ControllerHb").unwrap().any.first().copied(),
        placed: false,
    });
    let mut bench = Bench::new(config.clone(), Device::with_chain(40_000, &[1, 103, 715]));
    bench.run(5).await;
    let at = bench.with(|d| d.at(715, "ControllerHb"));
    let beat = bench.with(|d| [d.words[&at], d.words[&(at + 1)]]);
    assert!(beat[0] == 0 && (4..=6).contains(&beat[1]), "two registers that count: {beat:?}");
    // A device without it: nothing is written anywhere.
    let mut bench = Bench::new(config, Device::with_chain(40_000, &[1, 103]));
    bench.run(5).await;
    assert!(bench.with(|d| d.asked.iter().all(|(function, ..)| *function == 3)));
}

/// The registers of a device, for lock-step.
struct Memory(Device);

impl Registers for Memory {
    fn words(&mut self, _: Area, start: u16, count: u16) -> Option<Vec<u16>> {
        (start..start.saturating_add(count)).map(|at| self.0.words.get(&at).copied()).collect()
    }
    fn bits(&mut self, _: Area, _: u16, _: u16) -> Option<Vec<bool>> {
        None
    }
    fn write_words(&mut self, start: u16, words: &[u16]) -> bool {
        self.0.words.extend((start..).zip(words.iter().copied()));
        true
    }
    fn write_bit(&mut self, _: u16, _: bool) -> bool {
        false
    }
}

#[test]
fn in_lock_step_the_same_points_are_found() {
    let mut device = Device::with_chain(50_000, &[1, 103, 123]);
    device.put(103, "W", &[5321, 2]);
    device.put(123, "WMaxLimPct_SF", &[SF_MINUS_1]);
    let mut memory = Memory(device);
    let points =
        vec![point(0, "103.W"), point(1, "203.W"), written(2, "123.WMaxLimPct", Some(Duration::from_secs(60)))];
    let mut driver = Lockstep::new(config(points));
    let heard = Heard::default();
    let now = |s: u64| Now { mono: penstock_model::Instant(s * 1_000_000_000), utc: Utc(0) };
    driver.step(&mut memory, Vec::new(), &heard, now(1));
    assert!(heard.is(0, 532_100.0));
    assert_eq!(heard.last(1), Some((None, ABSENT)));
    let command = Command {
        id: CommandId(1),
        tag: TagId(2),
        device: DeviceId(0),
        value: Some(Value::Float(40.0)),
        origin: Origin::Program("test".into()),
        granted: Utc(0),
    };
    driver.step(&mut memory, vec![command], &heard, now(2));
    assert_eq!(heard.outcomes(1).last(), Some(&OutcomeState::ReadBack));
    let got = ["WMaxLimPct", "WMaxLimPct_RvrtTms", "WMaxLim_Ena"].map(|name| memory.0.get(123, name));
    assert_eq!(got, [400, 60, 1]);
}
