//! A gateway with many units in memory, in virtual time: what a dead one costs the others is counted, not measured.

use super::*;
use crate::breaker::Breaker;
use crate::config::{GroupConfig, PointConfig, WriteConfig};
use crate::frame::{rtu_frame, tcp_frame};
use crate::line::{ChannelConfig, SerialSettings};
use crate::transport::Stream;
use crate::wire::{ByteOrder, WireType};
use crate::{Quirks, parse_address};
use penstock_model::{
    Clock, Command, CommandId, DeviceId, LinkRecord, LinkState, Now, Origin, Outcome, OutcomeState, Quality,
    SampleSink, TagId, TagSample, Utc, Value, ValueType,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

/// What the gateway does with each question; shared with the test.
#[derive(Default)]
struct Gateway {
    /// Units that answer nothing.
    dead: HashSet<u8>,
    /// Units for which the gateway itself says that they do not answer.
    unreachable: HashSet<u8>,
    /// Registers that do not exist.
    illegal: HashSet<u16>,
    /// Bus time of an answer.
    takes: Duration,
    /// Unit and function of each question, in order.
    asked: Vec<(u8, u8, u16)>,
    /// So many answers more are lost on the way.
    lose: u32,
}

type Shared = Arc<Mutex<Gateway>>;

/// The gateway's side: one question after the other, as a bus has them.
async fn serve(mut far: DuplexStream, gateway: Shared, line: bool) {
    loop {
        let mut head = [0; 12];
        let question = if line { &mut head[..8] } else { &mut head[..] };
        if far.read_exact(question).await.is_err() {
            return;
        }
        let (unit, pdu) = if line { (head[0], &head[1..6]) } else { (head[6], &head[7..12]) };
        let (at, count) = (u16::from_be_bytes([pdu[1], pdu[2]]), u16::from_be_bytes([pdu[3], pdu[4]]));
        let (answer, takes) = {
            let mut g = gateway.lock().unwrap();
            g.asked.push((unit, pdu[0], at));
            let lost = g.lose > 0;
            g.lose = g.lose.saturating_sub(1);
            let answer = match pdu[0] {
                _ if lost || g.dead.contains(&unit) => None,
                function if g.unreachable.contains(&unit) => Some(vec![function | 0x80, 11]),
                function @ (3 | 4) if (at..at + count).any(|r| g.illegal.contains(&r)) => {
                    Some(vec![function | 0x80, 2])
                }
                function @ (3 | 4) => {
                    let mut out = vec![function, u8::try_from(count * 2).unwrap()];
                    (at..at + count).for_each(|r| out.extend(r.to_be_bytes()));
                    Some(out)
                }
                _ => Some(pdu.to_vec()),
            };
            (answer, g.takes)
        };
        tokio::time::sleep(takes).await;
        let Some(answer) = answer else { continue };
        let frame = if line {
            rtu_frame(unit, &answer)
        } else {
            tcp_frame(u16::from_be_bytes([head[0], head[1]]), unit, &answer)
        };
        if far.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Both clocks, from virtual time.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap();
        Now { mono: penstock_model::Instant(nanos), utc: Utc(i64::try_from(nanos).unwrap()) }
    }
}

#[derive(Default)]
struct Heard {
    /// When each tag had a good sample, in seconds.
    good: Mutex<HashMap<TagId, Vec<f64>>>,
    last: Mutex<HashMap<TagId, Quality>>,
    outcomes: Mutex<Vec<Outcome>>,
    links: Mutex<HashMap<DeviceId, LinkRecord>>,
    /// Control is not alive.
    resting: std::sync::atomic::AtomicBool,
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        for TagSample { tag, sample } in batch {
            self.last.lock().unwrap().insert(*tag, sample.quality);
            if sample.quality == Quality::Good {
                let at = std::time::Duration::from_nanos(sample.received.0).as_secs_f64();
                self.good.lock().unwrap().entry(*tag).or_default().push(at);
            }
        }
    }
    fn liveness(&self, _: DeviceId, _: penstock_model::Instant) -> penstock_model::Liveness {
        let alive = !self.resting.load(std::sync::atomic::Ordering::Relaxed);
        penstock_model::Liveness { scans: alive, healthy: alive }
    }
    fn outcome(&self, outcome: Outcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }
    fn link(&self, link: LinkRecord) {
        self.links.lock().unwrap().insert(link.device, link);
    }
}

struct Bench {
    channel: Channel,
    gateway: Shared,
    heard: Arc<Heard>,
    commands: Vec<mpsc::Sender<Command>>,
    stop: watch::Sender<bool>,
    start: Instant,
}

fn point(tag: u32, at: &str, group: usize) -> PointConfig {
    PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        address: parse_address(at, false).unwrap(),
        wire: WireType::Uint16,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: ValueType::Int,
        range: None,
        group,
        write: None,
        sunspec: None,
    }
}

/// A unit that reads one register per group; its tags are 10 × unit + group.
fn device(unit: u8, channel: &ChannelConfig, groups: &[Duration]) -> DeviceConfig {
    let tag = |group: usize| u32::from(unit) * 10 + u32::try_from(group).unwrap();
    DeviceConfig {
        id: DeviceId(unit.into()),
        name: format!("u{unit}").into(),
        address: "nowhere:1".into(),
        unit,
        timeout: Duration::from_millis(500),
        groups: groups.iter().map(|every| GroupConfig { name: "g".into(), every: *every }).collect(),
        points: (0..groups.len()).map(|g| point(tag(g), &format!("HR{}", g * 100 + 1), g)).collect(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: channel.clone(),
        quirks: Quirks::default(),
        sunspec: crate::sunspec::Settings::default(),
    }
}

impl Bench {
    fn new(configs: Vec<DeviceConfig>, takes: Duration) -> Bench {
        let (near, far) = duplex(4_096);
        let line = configs[0].channel.transport != Transport::Tcp;
        let gateway: Shared = Arc::new(Mutex::new(Gateway { takes, ..Gateway::default() }));
        tokio::spawn(serve(far, gateway.clone(), line));
        let start = Instant::now();
        let (heard, clock) = (Arc::new(Heard::default()), Arc::new(Virtual(start)));
        let (stop, stopped) = watch::channel(false);
        let (mut commands, mut units) = (Vec::new(), Vec::new());
        for config in configs {
            let (sender, receiver) = mpsc::channel(64);
            commands.push(sender);
            units.push(Unit::new(config, heard.clone(), receiver, clock.clone()));
        }
        let shared = units[0].config.channel.clone();
        let mut channel = Channel::new(units, stopped);
        channel.wire = Some(Wire::new(Box::new(near) as Box<dyn Stream>, &shared));
        channel.open();
        Bench { channel, gateway, heard, commands, stop, start }
    }

    /// Twenty units on one gateway.
    fn twenty(every: Duration, takes: Duration) -> Bench {
        let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
        Bench::new((1..=20).map(|unit| device(unit, &channel, &[every])).collect(), takes)
    }

    async fn run(&mut self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            self.channel.turn().await;
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Gateway) -> R) -> R {
        f(&mut self.gateway.lock().unwrap())
    }

    fn link(&self, unit: u8) -> LinkRecord {
        self.heard.links.lock().unwrap()[&DeviceId(unit.into())].clone()
    }

    fn quality(&self, tag: u32) -> Option<Quality> {
        self.heard.last.lock().unwrap().get(&TagId(tag)).copied()
    }

    /// Mean age of a tag's value over a window of seconds since the start, as a clock reading it at random would find.
    fn mean_age(&self, tag: u32, from: f64, to: f64) -> f64 {
        let times: Vec<f64> = self.heard.good.lock().unwrap()[&TagId(tag)].clone();
        let inside: Vec<f64> = times.into_iter().filter(|at| (from..to).contains(at)).collect();
        let gaps: Vec<f64> = inside.windows(2).map(|two| two[1] - two[0]).collect();
        gaps.iter().map(|gap| gap * gap).sum::<f64>() / (2.0 * gaps.iter().sum::<f64>())
    }
}

/// Worst rise of the living's mean poll age when unit 7 is dead, against the same channel with all alive.
async fn rise(every: Duration, takes: Duration, unreachable: bool) -> (f64, usize) {
    const MINUTES: u64 = 10;
    let mut whole = Bench::twenty(every, takes);
    whole.run(MINUTES * 60).await;
    let mut sick = Bench::twenty(every, takes);
    sick.with(|g| if unreachable { g.unreachable.insert(7) } else { g.dead.insert(7) });
    sick.run(MINUTES * 60).await;
    let probes = sick.with(|g| g.asked.iter().filter(|(unit, ..)| *unit == 7).count());
    let (from, to) = (0.0, (MINUTES * 60) as f64);
    let rises = (1..=20_u32).filter(|unit| *unit != 7).map(|unit| {
        let (was, is) = (whole.mean_age(unit * 10, from, to), sick.mean_age(unit * 10, from, to));
        is / was - 1.0
    });
    (rises.fold(f64::MIN, f64::max), probes)
}

#[tokio::test(start_paused = true)]
async fn one_dead_unit_among_twenty_costs_the_others_less_than_five_percent() {
    for (every_ms, takes_ms) in [(1_000, 10), (1_000, 40), (300, 20), (2_000, 5)] {
        for unreachable in [false, true] {
            let (every, takes) = (Duration::from_millis(every_ms), Duration::from_millis(takes_ms));
            let (rise, probes) = rise(every, takes, unreachable).await;
            assert!(rise < 0.05, "every {every_ms} ms, {takes_ms} ms each: the age rises by {:.1} %", rise * 100.0);
            assert!(probes >= 10, "the dead unit is tried again: {probes} times in ten minutes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_told_apart_and_come_back_alone() {
    let mut bench = Bench::twenty(Duration::from_secs(1), Duration::from_millis(10));
    bench.with(|g| {
        g.dead.insert(7);
        g.unreachable.insert(9);
    });
    bench.run(20).await;
    for unit in 1..=20_u8 {
        let (link, quality) = (bench.link(unit), bench.quality(u32::from(unit) * 10));
        let dead = [7, 9].contains(&unit);
        assert_eq!(link.state, if dead { LinkState::Down } else { LinkState::Up }, "unit {unit}: {link:?}");
        assert_eq!(link.demoted, dead, "unit {unit}");
        assert_eq!(quality == Some(Quality::Good), !dead, "unit {unit}: {quality:?}");
    }
    assert!(bench.link(7).reason.contains("no answer"), "{:?}", bench.link(7));
    assert!(bench.link(9).reason.contains("behind the gateway"), "{:?}", bench.link(9));
    assert!(bench.channel.wire.as_ref().is_some_and(Wire::is_alive), "the connection is the others' too");
    bench.with(|g| {
        g.dead.clear();
        g.unreachable.clear();
    });
    bench.run(30).await;
    for unit in [7_u8, 9] {
        assert_eq!(bench.link(unit).state, LinkState::Up);
        assert_eq!(bench.quality(u32::from(unit) * 10), Some(Quality::Good));
        assert!(!bench.link(unit).demoted && bench.link(unit).reconnects <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_all_everybody_is_back_at_once() {
    let mut bench = Bench::twenty(Duration::from_secs(1), Duration::from_millis(300));
    bench.with(|g| g.unreachable.extend(1..=20));
    bench.run(120).await;
    assert!((1..=20).all(|unit| bench.link(unit).state == LinkState::Down));
    bench.with(|g| g.unreachable.clear());
    bench.with(|g| g.takes = Duration::from_millis(10));
    // The longest wait between two probes of a unit.
    bench.run(RECONNECT_WAIT_MAX.as_secs() + 1).await;
    assert!((1..=20).all(|unit| bench.link(unit).state == LinkState::Up));
}

#[tokio::test(start_paused = true)]
async fn a_unit_whose_heart_rests_comes_back_all_the_same() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let mut configs: Vec<DeviceConfig> =
        (1..=2).map(|unit| device(unit, &channel, &[Duration::from_secs(1)])).collect();
    configs[1].heartbeat = Some(crate::Heartbeat {
        address: parse_address("HR900", false).unwrap(),
        every: Duration::from_secs(1),
        values: crate::Beats::Count,
        beats: crate::BeatsWhile::Healthy,
        sunspec: None,
        placed: true,
    });
    let mut bench = Bench::new(configs, Duration::from_millis(10));
    bench.with(|g| g.unreachable.insert(2));
    bench.run(10).await;
    assert_eq!(bench.link(2).state, LinkState::Down);
    // Control of everything stops; then the unit is mended.
    bench.heard.resting.store(true, std::sync::atomic::Ordering::Relaxed);
    bench.with(|g| g.unreachable.clear());
    bench.run(20).await;
    assert_eq!((bench.link(2).state, bench.quality(20)), (LinkState::Up, Some(Quality::Good)));
}

#[tokio::test(start_paused = true)]
async fn writes_go_first_and_fast_groups_before_slow_ones_and_equals_take_turns() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let groups = [Duration::from_millis(200), Duration::from_secs(5)];
    let mut configs: Vec<DeviceConfig> = (1..=3).map(|unit| device(unit, &channel, &groups)).collect();
    let write = Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None });
    configs[2].points.push(PointConfig { write, ..point(99, "HR500", 0) });
    let mut bench = Bench::new(configs, Duration::from_millis(20));
    bench.commands[2]
        .send(Command {
            id: CommandId(1),
            tag: TagId(99),
            device: DeviceId(3),
            value: Some(Value::Int(499)),
            origin: Origin::Program("test".into()),
            granted: Utc(0),
        })
        .await
        .unwrap();
    bench.run(60).await;
    let asked = bench.with(|g| g.asked.clone());
    // The command and its read-back, the fast groups of all in turn, then the slow ones.
    let first: Vec<(u8, u8, u16)> = asked[..8].to_vec();
    assert_eq!(first[..2], [(3, 6, 499), (3, 3, 499)], "{first:?}");
    let mut fast: Vec<u8> = first[2..5].iter().map(|(unit, ..)| *unit).collect();
    assert!(first[2..5].iter().all(|(.., at)| *at == 0), "{first:?}");
    fast.sort_unstable();
    assert_eq!(fast, [1, 2, 3]);
    assert!(first[5..].iter().all(|(.., at)| *at == 100), "{first:?}");
    assert!(bench.heard.outcomes.lock().unwrap().iter().any(|o| o.state == OutcomeState::ReadBack));
    let polls = |unit: u8, at: u16| asked.iter().filter(|a| a.0 == unit && a.2 == at).count();
    for unit in 1..=3 {
        assert!((298..=302).contains(&polls(unit, 0)), "unit {unit}: {} fast polls", polls(unit, 0));
        assert!((11..=13).contains(&polls(unit, 100)), "unit {unit}: {} slow polls", polls(unit, 100));
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_channel_that_is_asked_too_much_everybody_gets_the_same_and_slow_groups_too() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    // 4 units × (5 + 1) questions of 100 ms a second: more than twice what fits.
    let groups = [Duration::from_millis(200), Duration::from_secs(1)];
    let configs = (1..=4).map(|unit| device(unit, &channel, &groups)).collect();
    let mut bench = Bench::new(configs, Duration::from_millis(100));
    bench.run(600).await;
    let asked = bench.with(|g| g.asked.clone());
    let polls = |unit: u8, at: u16| asked.iter().filter(|a| a.0 == unit && a.2 == at).count() as f64;
    for at in [0, 100] {
        let counts: Vec<f64> = (1..=4).map(|unit| polls(unit, at)).collect();
        let (least, most) = counts.iter().fold((f64::MAX, 0.0_f64), |(l, m), c| (l.min(*c), m.max(*c)));
        assert!(least > 100.0 && most / least < 1.1, "register {at}: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_without_pause_do_not_blind_the_reads() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let mut config = device(1, &channel, &[Duration::from_millis(100)]);
    let write = Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: Some(Duration::ZERO) });
    config.points.push(PointConfig { write, ..point(99, "HR500", 0) });
    let mut bench = Bench::new(vec![config], Duration::from_millis(10));
    let command = Command {
        id: CommandId(1),
        tag: TagId(99),
        device: DeviceId(1),
        value: Some(Value::Int(499)),
        origin: Origin::Program("test".into()),
        granted: Utc(0),
    };
    bench.commands[0].send(command).await.unwrap();
    bench.run(60).await;
    let asked = bench.with(|g| g.asked.clone());
    let reads = asked.iter().filter(|a| a.2 == 0).count();
    let writes = asked.iter().filter(|a| a.1 == 6).count();
    assert!(writes > 1_000 && reads > 200, "{writes} writes, {reads} reads");
}

#[tokio::test(start_paused = true)]
async fn only_the_illegal_register_is_left_alone_and_named_and_asked_again_at_a_slow_pace() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let mut config = device(3, &channel, &[Duration::from_secs(1)]);
    config.points = (0..8).map(|i| point(i, &format!("HR{}", 108 + i), 0)).collect();
    let mut bench = Bench::new(vec![config, device(4, &channel, &[Duration::from_secs(1)])], Duration::from_millis(5));
    bench.with(|g| g.illegal.insert(112));
    bench.run(10).await;
    for tag in 0..8 {
        assert_eq!(bench.quality(tag) == Some(Quality::Good), tag != 5, "tag {tag}: {:?}", bench.quality(tag));
    }
    let link = bench.link(3);
    assert_eq!((link.state, link.quarantined), (LinkState::Up, 1));
    assert_eq!(&*link.note, "refused by unit 3: holding register PDU 112 (40113) (`t/5`)");
    let covers = |a: &&(u8, u8, u16)| a.0 == 3 && a.2 == 112;
    let before = bench.with(|g| g.asked.iter().filter(covers).count());
    bench.run(55).await;
    assert_eq!(bench.with(|g| g.asked.iter().filter(covers).count()), before + 1, "asked again once a minute");
    // The device is corrected: the next try finds it, and the block is joined again.
    bench.with(|g| g.illegal.clear());
    bench.run(65).await;
    assert_eq!(bench.quality(5), Some(Quality::Good));
    let link = bench.link(3);
    assert_eq!((link.quarantined, &*link.note), (0, ""));
    bench.with(|g| g.asked.clear());
    bench.run(10).await;
    assert!(bench.with(|g| g.asked.iter().filter(|a| a.0 == 3).all(|a| a.2 == 107)), "one request again");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_on_a_line_is_asked_for_again_and_counted() {
    let transport = Transport::Serial(SerialSettings::default());
    let channel = ChannelConfig { name: Some("line".into()), transport, ..ChannelConfig::default() };
    let configs = (1..=2).map(|unit| device(unit, &channel, &[Duration::from_secs(2)])).collect();
    let mut bench = Bench::new(configs, Duration::from_millis(20));
    bench.run(5).await;
    bench.with(|g| g.lose = 1);
    bench.run(5).await;
    let retries: u64 = [1, 2].map(|unit| bench.link(unit).retries).iter().sum();
    assert_eq!(retries, 1);
    for unit in [1, 2] {
        assert_eq!(bench.link(unit).state, LinkState::Up);
        assert_eq!(bench.quality(u32::from(unit) * 10), Some(Quality::Good));
    }
}

#[tokio::test(start_paused = true)]
async fn quirks_of_a_device_are_kept_to() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let mut config = device(1, &channel, &[Duration::from_secs(60)]);
    config.points = (0..4).map(|i| point(i, &format!("HR{}", 1 + i), 0)).collect();
    config.quirks = Quirks {
        one_by_one: true,
        pause: Duration::from_millis(100),
        keep_alive: Some(Duration::from_secs(5)),
        ..Quirks::default()
    };
    let mut bench = Bench::new(vec![config], Duration::from_millis(10));
    let before = Instant::now();
    while bench.with(|g| g.asked.len()) < 4 {
        bench.channel.turn().await;
    }
    assert!(before.elapsed() >= Duration::from_millis(3 * 110), "pauses lie between: {:?}", before.elapsed());
    assert_eq!(bench.with(|g| g.asked.iter().map(|a| a.2).collect::<Vec<_>>()), [0, 1, 2, 3], "one register each");
    bench.run(30).await;
    let kept = bench.with(|g| g.asked.len()) - 4;
    assert!((5..=7).contains(&kept), "something every 5 s: {kept}");
}

#[tokio::test(start_paused = true)]
async fn the_stop_is_obeyed_and_what_never_went_out_is_told() {
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let write = Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None });
    let configs = [1, 2].map(|unit| {
        let mut config = device(unit, &channel, &[Duration::from_secs(1)]);
        config.points.push(PointConfig { write, ..point(u32::from(unit) * 10 + 9, "HR500", 0) });
        config
    });
    let mut bench = Bench::new(configs.to_vec(), Duration::from_millis(10));
    bench.with(|g| g.dead.insert(2));
    bench.run(5).await;
    for unit in [1_u16, 2] {
        let command = Command {
            id: CommandId(unit.into()),
            tag: TagId(u32::from(unit) * 10 + 9),
            device: DeviceId(unit),
            value: Some(Value::Int(499)),
            origin: Origin::Program("test".into()),
            granted: Utc(0),
        };
        bench.commands[usize::from(unit) - 1].send(command).await.unwrap();
    }
    bench.stop.send(true).unwrap();
    let Bench { channel, heard, start, .. } = bench;
    channel.run().await;
    assert!(start.elapsed() < Duration::from_secs(7));
    let outcomes = heard.outcomes.lock().unwrap();
    let of = |id: u64| outcomes.iter().filter(|o| o.id == CommandId(id)).map(|o| o.state.clone()).collect::<Vec<_>>();
    assert_eq!(of(1).last(), Some(&OutcomeState::ReadBack), "who answers gets it");
    assert!(matches!(of(2).as_slice(), [OutcomeState::Failed(why)] if why.contains("stopped")), "{:?}", of(2));
}

#[test]
fn devices_are_put_together_by_the_name_of_their_channel() {
    let named = |name: Option<&str>| ChannelConfig { name: name.map(Into::into), ..ChannelConfig::default() };
    let all = [None, Some("a"), Some("b"), None, Some("a")].map(|name| device(1, &named(name), &[]));
    assert_eq!(channels(&all), vec![vec![0], vec![1, 4], vec![2], vec![3]]);
    assert_eq!(Breaker::new().open_until(), None);
}
