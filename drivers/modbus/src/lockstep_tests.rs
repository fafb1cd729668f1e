//! A device in memory whose link fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

use super::*;
use crate::config::{Beats, BeatsWhile, GroupConfig, Heartbeat, WriteConfig};
use crate::{ByteOrder, WireType, parse_address};
use penstock_model::{CommandId, DeviceId, LinkState, Liveness, Origin, Quality, TagId, Utc, ValueType};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Holding registers; requests arrive as `reach` says.
struct Device {
    reach: Reach,
    refuses: bool,
    words: [u16; 4],
}

impl Registers for Device {
    fn reach(&self) -> Reach {
        self.reach
    }
    fn words(&mut self, _: Area, start: u16, count: u16) -> Option<Vec<u16>> {
        let from = usize::from(start);
        if self.refuses { None } else { self.words.get(from..from + usize::from(count)).map(<[u16]>::to_vec) }
    }
    fn bits(&mut self, _: Area, _: u16, _: u16) -> Option<Vec<bool>> {
        None
    }
    fn write_words(&mut self, start: u16, words: &[u16]) -> bool {
        if !self.refuses {
            self.words[usize::from(start)] = words[0];
        }
        !self.refuses
    }
    fn write_bit(&mut self, _: u16, _: bool) -> bool {
        false
    }
}

/// What came out, in order; and whether control is faulted.
#[derive(Default)]
struct Heard(Mutex<(Vec<TagSample>, Vec<Outcome>, Vec<LinkRecord>)>, AtomicBool);

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        self.0.lock().unwrap().0.extend_from_slice(batch);
    }
    fn liveness(&self, _: DeviceId, _: Instant) -> Liveness {
        Liveness { scans: true, healthy: !self.1.load(Ordering::Relaxed) }
    }
    fn outcome(&self, outcome: Outcome) {
        self.0.lock().unwrap().1.push(outcome);
    }
    fn link(&self, link: LinkRecord) {
        self.0.lock().unwrap().2.push(link);
    }
}

impl Heard {
    fn quality(&self) -> Option<Quality> {
        self.0.lock().unwrap().0.last().map(|s| s.sample.quality)
    }
    fn state(&self) -> Option<LinkState> {
        self.0.lock().unwrap().2.last().map(|l| l.state)
    }
    fn outcomes(&self) -> Vec<(u64, OutcomeState)> {
        self.0.lock().unwrap().1.iter().map(|o| (o.id.0, o.state.clone())).collect()
    }
}

fn config(heartbeat: bool) -> DeviceConfig {
    let point = |tag: u32, at: &str, write: bool| PointConfig {
        tag: TagId(tag),
        path: format!("t{tag}").into(),
        address: parse_address(at, false).unwrap(),
        wire: WireType::Uint16,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: ValueType::Float,
        range: None,
        group: 0,
        write: write.then_some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None }),
        sunspec: None,
    };
    DeviceConfig {
        id: DeviceId(0),
        name: "d".into(),
        address: "127.0.0.1:502".into(),
        unit: 1,
        timeout: Duration::from_millis(500),
        groups: vec![GroupConfig { name: "g".into(), every: Duration::from_millis(200) }],
        points: vec![point(0, "HR1", false), point(1, "HR2", true)].into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 4,
        heartbeat: heartbeat.then(|| Heartbeat {
            address: parse_address("HR4", false).unwrap(),
            every: Duration::from_secs(1),
            values: Beats::Count,
            beats: BeatsWhile::Healthy,
            sunspec: None,
            placed: true,
        }),
        pause_after_connect: Duration::ZERO,
        channel: crate::ChannelConfig::default(),
        quirks: crate::Quirks::default(),
        sunspec: crate::sunspec::Settings::default(),
    }
}

struct Bench {
    device: Device,
    driver: Lockstep,
    heard: Heard,
    ms: u64,
}

impl Bench {
    fn new(heartbeat: bool) -> Bench {
        let device = Device { reach: Reach::Answers, refuses: false, words: [7, 0, 0, 0] };
        Bench { device, driver: Lockstep::new(config(heartbeat)), heard: Heard::default(), ms: 0 }
    }

    /// Steps of 100 ms until `ms`, with a command at the first of them.
    fn run(&mut self, ms: u64, command: Option<(u64, f64)>) {
        let mut command = command;
        while self.ms < ms {
            self.ms += 100;
            let nanos = self.ms * 1_000_000;
            let now = Now { mono: Instant(nanos), utc: Utc(i64::try_from(nanos).unwrap()) };
            let commands = command.take().map(|(id, value)| Command {
                id: CommandId(id),
                tag: TagId(1),
                device: DeviceId(0),
                value: Some(Value::Float(value)),
                origin: Origin::Retained,
                granted: now.utc,
            });
            self.driver.step(&mut self.device, commands.into_iter().collect(), &self.heard, now);
        }
    }
}

#[test]
fn a_closed_link_makes_tags_bad_and_what_was_commanded_meanwhile_is_written_when_it_is_back() {
    let mut bench = Bench::new(false);
    bench.run(1_000, Some((1, 5.0)));
    assert_eq!((bench.heard.quality(), bench.device.words[1]), (Some(Quality::Good), 5));
    bench.device.reach = Reach::Closed;
    bench.run(1_300, None);
    assert_eq!(bench.heard.quality(), Some(Quality::Bad(BadReason::Link)));
    assert_eq!(
        bench.heard.0.lock().unwrap().0.last().unwrap().sample.value,
        Some(Value::Float(7.0)),
        "the last one known"
    );
    assert_eq!(bench.heard.state(), Some(LinkState::Down));
    bench.run(2_000, Some((2, 6.0)));
    bench.run(3_000, Some((3, 8.0)));
    assert_eq!(bench.device.words[1], 5);
    assert_eq!(bench.heard.outcomes().last(), Some(&(2, OutcomeState::Superseded)));
    // As a device that restarted would have it.
    bench.device.words[1] = 0;
    bench.device.reach = Reach::Answers;
    bench.run(8_000, None);
    assert_eq!((bench.heard.quality(), bench.device.words[1]), (Some(Quality::Good), 8));
    assert_eq!(bench.heard.outcomes().last(), Some(&(3, OutcomeState::ReadBack)));
    let record = bench.heard.0.lock().unwrap().2.last().unwrap().clone();
    assert_eq!((record.state, record.reconnects), (LinkState::Up, 1));
    assert!(record.failed > 1, "{record:?}");
}

#[test]
fn what_was_written_before_the_loss_is_asserted_again() {
    let mut bench = Bench::new(false);
    bench.run(1_000, Some((1, 5.0)));
    bench.device.reach = Reach::Closed;
    bench.run(1_500, None);
    bench.device.words[1] = 0;
    bench.device.reach = Reach::Answers;
    bench.run(5_000, None);
    assert_eq!(bench.device.words[1], 5);
}

#[test]
fn a_mute_device_obeys_although_nobody_hears_of_it() {
    let mut bench = Bench::new(false);
    bench.run(1_000, None);
    bench.device.reach = Reach::Silent;
    bench.run(1_100, Some((1, 5.0)));
    assert_eq!(bench.device.words[1], 5, "the request arrived");
    assert!(bench.heard.outcomes().is_empty());
    bench.run(2_000, None);
    assert_eq!(bench.heard.quality(), Some(Quality::Bad(BadReason::Link)));
    assert_eq!(bench.heard.state(), Some(LinkState::Down));
}

#[test]
fn the_heartbeat_stops_with_the_link() {
    let mut bench = Bench::new(true);
    bench.run(3_000, None);
    let beats = bench.device.words[3];
    assert!(beats >= 3, "{beats}");
    bench.device.reach = Reach::Closed;
    bench.run(20_000, None);
    assert_eq!(bench.device.words[3], beats);
    bench.device.reach = Reach::Answers;
    bench.run(40_000, None);
    assert!(bench.device.words[3] > beats);
}

#[test]
fn a_refusal_is_no_loss() {
    let mut bench = Bench::new(false);
    bench.device.refuses = true;
    bench.run(1_000, Some((1, 5.0)));
    assert_eq!(bench.heard.quality(), Some(Quality::Bad(BadReason::Refused)));
    assert_eq!(bench.heard.state(), Some(LinkState::Up));
    assert!(matches!(bench.heard.outcomes().last(), Some((1, OutcomeState::Failed(_)))));
}

#[test]
fn a_heart_stops_with_what_it_stands_for_and_beats_again_with_it() {
    for (beats, values, during) in
        [(BeatsWhile::Healthy, Beats::Count, false), (BeatsWhile::Scans, Beats::Toggle, true)]
    {
        let mut bench = Bench::new(true);
        let mut config = config(true);
        config.heartbeat = config.heartbeat.map(|h| Heartbeat { values, beats, ..h });
        bench.driver = Lockstep::new(config);
        bench.run(2_500, None);
        let before = bench.device.words[3];
        bench.heard.1.store(true, Ordering::Relaxed);
        bench.run(3_500, None);
        assert_eq!(bench.device.words[3] != before, during, "{beats:?} while a task is faulted");
        bench.heard.1.store(false, Ordering::Relaxed);
        let before = bench.device.words[3];
        bench.run(4_500, None);
        assert_ne!(bench.device.words[3], before, "{beats:?} again");
        assert!(values == Beats::Count || bench.device.words[3] <= 1, "a toggle knows 0 and 1");
    }
}
