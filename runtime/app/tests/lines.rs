//! The Modbus driver against the simulated power meters, on one serial line and on one gateway: every fault of the
//! simulator that a unit can have is seen as what it is, costs its neighbours nothing, and ends without a restart.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use penstock_modbus::{
    ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, Member, Parity, PointConfig, Quirks, SerialSettings,
    Transport, WireType, parse_address, run_channel,
};
use penstock_model::{
    BadReason, DeviceId, LinkRecord, LinkState, Outcome, Quality, SampleSink, SystemClock, TagId, TagSample, ValueType,
};
use penstock_simulators::{Ports, SimConfig, run};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Far beyond what anything here takes, so that only a defect meets it.
const PATIENCE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(1);
const UNITS: std::ops::RangeInclusive<u8> = 11..=16;
/// How long a fault lasts, in the simulator's words.
const LASTS: &str = "12s";

#[derive(Default)]
struct Heard {
    /// Every quality a tag had, without repetitions.
    qualities: Mutex<HashMap<TagId, Vec<Quality>>>,
    links: Mutex<HashMap<DeviceId, LinkRecord>>,
    reasons: Mutex<HashMap<DeviceId, Vec<String>>>,
    wrong: Mutex<Vec<String>>,
    changed: Notify,
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        for TagSample { tag, sample } in batch {
            let mut all = self.qualities.lock().unwrap();
            let seen = all.entry(*tag).or_default();
            if seen.last() != Some(&sample.quality) {
                seen.push(sample.quality);
            }
            // The net's voltage in 0.1 V: whatever came through as good is one.
            let volts = sample.value.as_ref().and_then(penstock_model::Value::as_f64);
            if sample.quality == Quality::Good && !volts.is_some_and(|v| (300.0..500.0).contains(&v)) {
                self.wrong.lock().unwrap().push(format!("tag {} was {volts:?}", tag.0));
            }
        }
        self.changed.notify_waiters();
    }
    fn outcome(&self, _: Outcome) {}
    fn link(&self, link: LinkRecord) {
        let mut reasons = self.reasons.lock().unwrap();
        let seen = reasons.entry(link.device).or_default();
        if !link.reason.is_empty() && seen.last().is_none_or(|last| **last != *link.reason) {
            seen.push(link.reason.to_string());
        }
        drop(reasons);
        self.links.lock().unwrap().insert(link.device, link);
        self.changed.notify_waiters();
    }
}

impl Heard {
    async fn until(&self, what: &str, holds: impl Fn(&Heard) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(self) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("never: {what}; {:?}; {:?}", self.qualities.lock().unwrap(), self.reasons.lock().unwrap());
        }
    }

    fn now(&self, unit: u8) -> Option<Quality> {
        self.qualities.lock().unwrap().get(&TagId(unit.into())).and_then(|all| all.last().copied())
    }

    fn was(&self, unit: u8, quality: Quality) -> bool {
        self.qualities.lock().unwrap().get(&TagId(unit.into())).is_some_and(|all| all.contains(&quality))
    }
}

fn meter(unit: u8, address: &str, channel: &ChannelConfig) -> DeviceConfig {
    DeviceConfig {
        id: DeviceId(unit.into()),
        name: format!("meter {unit}").into(),
        address: address.to_owned(),
        unit,
        timeout: Duration::from_secs(1),
        groups: vec![GroupConfig { name: "normal".into(), every: EVERY }],
        points: vec![PointConfig {
            tag: TagId(unit.into()),
            path: format!("met/{unit}/voltage").into(),
            address: parse_address("30009", false).unwrap(),
            wire: WireType::Uint16,
            order: ByteOrder::Abcd,
            scale: 0.1,
            offset: 0.0,
            value_type: ValueType::Float,
            range: None,
            group: 0,
            write: None,
            sunspec: None,
        }]
        .into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: channel.clone(),
        quirks: Quirks::default(),
        sunspec: penstock_modbus::sunspec::Settings::default(),
    }
}

/// The meters with one fault for each unit from 12 on, read by the driver until all are well again.
async fn sick(line: bool, faults: &[(u8, &str, Quality, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let port = folder.path().join("meters");
    let serial = format!("power_meters={},115200,8E1", port.display());
    let config = SimConfig {
        ports: Ports::ephemeral(),
        serial: vec![serial.parse().unwrap()],
        faults: faults.iter().map(|(unit, text, ..)| fault(*unit, text).parse().unwrap()).collect(),
        ..SimConfig::default()
    };
    let (ready, is_ready) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let simulator = tokio::spawn(run(config, move |addresses| ready.send(addresses.to_vec()).unwrap(), async {
        let _ = ended.await;
    }));
    let addresses: HashMap<String, std::net::SocketAddr> = is_ready.await.unwrap().into_iter().collect();
    let settings = SerialSettings { baud: 115_200, parity: Parity::Even, ..SerialSettings::default() };
    let transport = if line { Transport::Serial(settings) } else { Transport::Tcp };
    // The units are many and the test is short: a generous share of the time goes to the sick.
    let channel = ChannelConfig { name: Some("meters".into()), transport, dead_share: 0.5, ..ChannelConfig::default() };
    let address = if line { port.display().to_string() } else { addresses["power_meters"].to_string() };

    let heard = Arc::new(Heard::default());
    let (stop, stopped) = watch::channel(false);
    let members = UNITS.map(|unit| Member { config: meter(unit, &address, &channel), commands: mpsc::channel(1).1 });
    let driver = tokio::spawn(run_channel(members.collect(), heard.clone(), Arc::new(SystemClock::new()), stopped));
    heard.until("every fault is seen", |h| faults.iter().all(|(unit, _, quality, _)| h.was(*unit, *quality))).await;
    heard.until("all are well again", |h| UNITS.into_iter().all(|unit| h.now(unit) == Some(Quality::Good))).await;
    stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap();
    assert_eq!(*heard.wrong.lock().unwrap(), Vec::<String>::new());
    let reasons = heard.reasons.lock().unwrap().clone();
    for (unit, text, quality, reason) in faults {
        let told = reasons.get(&DeviceId((*unit).into())).cloned().unwrap_or_default();
        if *quality == Quality::Bad(BadReason::Link) {
            assert!(told.iter().any(|why| why.contains(reason)), "{text} at unit {unit} is told as {told:?}");
        }
        assert_eq!(heard.links.lock().unwrap()[&DeviceId((*unit).into())].state, LinkState::Up, "{text}");
    }
    // Who has no fault noticed nothing.
    let healthy = heard.qualities.lock().unwrap()[&TagId(11)].clone();
    assert!(healthy.iter().all(|q| *q == Quality::Good), "{healthy:?}");
    drop(end);
    tokio::time::timeout(PATIENCE, simulator).await.unwrap().unwrap().unwrap();
}

/// `mute {} for 12s` with the unit in place of the braces.
fn fault(unit: u8, text: &str) -> String {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    format!("{name} power_meters/{unit} {rest} for {LASTS}")
}

const LINK: Quality = Quality::Bad(BadReason::Link);
const REFUSED: Quality = Quality::Bad(BadReason::Refused);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_units_on_a_serial_line() {
    tokio::join!(
        sick(
            true,
            &[
                (12, "mute", LINK, "no answer"),
                (13, "bad-crc", LINK, "checksum"),
                (14, "exception 4", REFUSED, ""),
                (15, "wrong-unit", LINK, "answered in its place"),
            ]
        ),
        sick(
            true,
            &[
                (12, "short", LINK, "of an answer"),
                (13, "echo", LINK, "echo: true"),
                (14, "garbage", LINK, ""),
                (15, "exception 11", LINK, "behind the gateway"),
                (16, "slow 1150ms", LINK, ""),
            ]
        ),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_units_behind_a_gateway() {
    tokio::join!(
        sick(
            false,
            &[
                (12, "mute", LINK, "no answer"),
                (13, "stale", LINK, "no answer"),
                (14, "exception 4", REFUSED, ""),
                (15, "wrong-unit", LINK, "answered in its place"),
            ]
        ),
        sick(
            false,
            &[
                (12, "short", LINK, "of an answer"),
                (13, "exception 11", LINK, "behind the gateway"),
                (14, "slow 1150ms", LINK, "no answer"),
                (15, "exception 10", LINK, "no path"),
            ]
        ),
    );
}
