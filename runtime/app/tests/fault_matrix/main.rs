//! Every fault of the simulator's menu on every transport: seen within two polls as what it is, no wrong value taken for a
//! good one, its neighbours untouched, and over without a restart. The table stands in `table.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bridge;
mod table;

use bridge::Bridge;
use penstock::config::{self, DriverConfig, Overrides};
use penstock_modbus::{
    ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, Member, Parity, PointConfig, Quirks, SerialSettings, WireType,
    parse_address, run_channel,
};
use penstock_model::{
    DeviceId, LinkRecord, LinkState, Outcome, Quality, SampleSink, SystemClock, TagId, TagSample, Value, ValueType,
};
use penstock_opcua::Pki;
use penstock_simulators::devices::opcua::{Anonymous, OpcUaSettings};
use penstock_simulators::faults::MENU;
use penstock_simulators::{Ports, SimConfig, SimError, run};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use table::{Cell, MATRIX, NOT_OF_A_LINK, Transport, page};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Far beyond what anything here takes, so that only a defect meets it.
const PATIENCE: Duration = Duration::from_secs(90);
const EVERY: Duration = Duration::from_secs(1);
/// A fault is seen before this many more good values have come: two periods of polls.
const POLLS_MAX: u64 = 2;
/// What is borne must be borne for so many polls.
const BORNE_POLLS: u64 = 4;

/// What is known of one tag.
#[derive(Default, Clone)]
struct Seen {
    quality: Option<Quality>,
    good: u64,
    /// Every quality since the fault began, and how many good values had come before each first appeared.
    since: Vec<(Quality, u64)>,
}

#[derive(Default)]
struct Known {
    tags: HashMap<TagId, Seen>,
    links: HashMap<DeviceId, LinkRecord>,
    /// What the links said since the fault began.
    said: HashMap<DeviceId, Vec<String>>,
    wrong: Vec<String>,
}

/// What is right for a tag.
type Right = fn(TagId, f64) -> bool;

struct Heard {
    known: Mutex<Known>,
    right: Right,
    changed: Notify,
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        let mut known = self.known.lock().unwrap();
        for TagSample { tag, sample } in batch {
            let number = sample.value.as_ref().and_then(Value::as_f64);
            if sample.quality == Quality::Good && !number.is_some_and(|n| (self.right)(*tag, n)) {
                known.wrong.push(format!("tag {} was {number:?}", tag.0));
            }
            let seen = known.tags.entry(*tag).or_default();
            if !seen.since.iter().any(|(quality, _)| *quality == sample.quality) {
                seen.since.push((sample.quality, seen.good));
            }
            seen.good += u64::from(sample.quality == Quality::Good);
            seen.quality = Some(sample.quality);
        }
        drop(known);
        self.changed.notify_waiters();
    }
    fn outcome(&self, _: Outcome) {}
    fn link(&self, link: LinkRecord) {
        let mut known = self.known.lock().unwrap();
        let said = known.said.entry(link.device).or_default();
        for text in [&link.reason, &link.note] {
            if !text.is_empty() && !said.iter().any(|s| **s == **text) {
                said.push(text.to_string());
            }
        }
        known.links.insert(link.device, link);
        drop(known);
        self.changed.notify_waiters();
    }
}

impl Heard {
    async fn until(&self, what: &str, holds: impl Fn(&Known) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(&self.known.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let known = self.known.lock().unwrap();
            let tags: Vec<_> = known.tags.iter().map(|(tag, seen)| (tag.0, seen.quality, &seen.since)).collect();
            panic!("never: {what}; {tags:?}; {:?}", known.said);
        }
    }
}

/// A plant on one transport, read by the driver.
struct Plant {
    transport: Transport,
    heard: Arc<Heard>,
    api: SocketAddr,
    /// Name of the simulated device.
    device: &'static str,
    /// The link and the tags that faults are aimed at.
    sick: (DeviceId, Vec<TagId>),
    /// A unit beside it, where there is one.
    neighbour: Option<TagId>,
    stop: watch::Sender<bool>,
    driver: JoinHandle<()>,
    end: oneshot::Sender<()>,
    simulator: JoinHandle<Result<(), SimError>>,
    _bridge: Option<Bridge>,
}

async fn simulator(
    config: SimConfig,
) -> (HashMap<String, SocketAddr>, oneshot::Sender<()>, JoinHandle<Result<(), SimError>>) {
    let (ready, is_ready) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let told = move |addresses: &[(String, SocketAddr)]| ready.send(addresses.iter().cloned().collect()).unwrap();
    let task = tokio::spawn(run(config, told, async {
        let _ = ended.await;
    }));
    (is_ready.await.unwrap(), end, task)
}

/// A meter with two requests, so that the answer before is never of the shape of the next: counter and voltage.
fn meter(unit: u8, address: &str, channel: &ChannelConfig) -> DeviceConfig {
    let point = |tag: u32, at: &str, wire, order, scale, range| PointConfig {
        tag: TagId(tag),
        path: format!("met/{unit}/{at}").into(),
        address: parse_address(at, false).unwrap(),
        wire,
        order,
        scale,
        offset: 0.0,
        value_type: ValueType::Float,
        range: Some(range),
        group: 0,
        write: None,
        sunspec: None,
    };
    let tag = u32::from(unit) * 10;
    DeviceConfig {
        id: DeviceId(unit.into()),
        name: format!("meter {unit}").into(),
        address: address.to_owned(),
        unit,
        timeout: Duration::from_secs(1),
        groups: vec![GroupConfig { name: "normal".into(), every: EVERY }],
        points: vec![
            point(tag, "30005", WireType::Uint32, ByteOrder::Cdab, 0.01, (500_000.0, 5_000_000.0)),
            point(tag + 1, "30009", WireType::Uint16, ByteOrder::Abcd, 0.1, (300.0, 500.0)),
        ]
        .into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 0,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: channel.clone(),
        quirks: Quirks::default(),
        sunspec: penstock_modbus::sunspec::Settings::default(),
    }
}

fn meters_right(tag: TagId, value: f64) -> bool {
    if tag.0 % 10 == 1 { (300.0..500.0).contains(&value) } else { (500_000.0..5_000_000.0).contains(&value) }
}

/// The meters on a Modbus transport: unit 12 for the faults, unit 11 beside it.
async fn meters(transport: Transport, folder: &Path) -> Plant {
    let port = folder.join("meters");
    let line = transport != Transport::Tcp;
    let config = SimConfig {
        ports: Ports::ephemeral(),
        api: Some("127.0.0.1:0".parse().unwrap()),
        serial: if line {
            vec![format!("power_meters={},115200,8E1", port.display()).parse().unwrap()]
        } else {
            vec![]
        },
        ..SimConfig::default()
    };
    let (addresses, end, simulator) = simulator(config).await;
    let bridge = (transport == Transport::RtuOverTcp).then(|| Bridge::to(&port));
    let (address, way) = match (transport, &bridge) {
        (Transport::RtuOverTcp, Some(bridge)) => (bridge.address.to_string(), penstock_modbus::Transport::RtuOverTcp),
        (Transport::Rtu, _) => {
            let settings = SerialSettings { baud: 115_200, parity: Parity::Even, ..SerialSettings::default() };
            (port.display().to_string(), penstock_modbus::Transport::Serial(settings))
        }
        _ => (addresses["power_meters"].to_string(), penstock_modbus::Transport::Tcp),
    };
    // The units are few and the test is short: a generous share of the time goes to the sick.
    let channel =
        ChannelConfig { name: Some("meters".into()), transport: way, dead_share: 0.5, ..ChannelConfig::default() };
    let heard = Arc::new(Heard { known: Mutex::default(), right: meters_right, changed: Notify::new() });
    let (stop, stopped) = watch::channel(false);
    let members = [11, 12].map(|unit| Member { config: meter(unit, &address, &channel), commands: mpsc::channel(1).1 });
    let driver = tokio::spawn(run_channel(members.into(), heard.clone(), Arc::new(SystemClock::new()), stopped));
    Plant {
        transport,
        heard,
        api: addresses["api"],
        device: "power_meters",
        sick: (DeviceId(12), vec![TagId(120), TagId(121)]),
        neighbour: Some(TagId(111)),
        stop,
        driver,
        end,
        simulator,
        _bridge: bridge,
    }
}

const SERVER: &str = "device: plc
driver: opcua
security: Basic256Sha256
timeout: 2s
namespace: urn:penstock:sim:sludge-effluent
groups: { normal: { publish: 500ms } }
points:
  - { tag: eff/flow, node: s=Effluent.Flow, unit: m3/h, range: [0, 3000], group: normal }
  - { tag: slu/ras/flow, node: s=Sludge.RasFlow, unit: m3/h, range: [0, 2000], group: normal }
";

/// The OPC UA server of the works, on a protected channel.
async fn server(folder: &Path) -> Plant {
    let sim_pki = folder.join("sim-pki");
    let config = SimConfig {
        ports: Ports::ephemeral(),
        api: Some("127.0.0.1:0".parse().unwrap()),
        opcua: OpcUaSettings {
            pki: Some(sim_pki.clone()),
            trust_all: true,
            anonymous: Anonymous::Read,
            ..OpcUaSettings::default()
        },
        ..SimConfig::default()
    };
    let (addresses, end, simulator) = simulator(config).await;
    let site = folder.join("site");
    std::fs::create_dir_all(site.join("devices")).unwrap();
    let head = "site: w\nname: W\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\n";
    std::fs::write(site.join("site.yaml"), head).unwrap();
    let endpoint = format!("endpoint: opc.tcp://{}\n", addresses["sludge_effluent_plc"]);
    std::fs::write(site.join("devices/plc.yaml"), SERVER.replace("security:", &format!("{endpoint}security:")))
        .unwrap();
    let loaded = config::load(&site, &Overrides::default()).unwrap_or_else(|e| panic!("{e}")).site;
    let DriverConfig::OpcUa(config) = &loaded.devices[0].driver else { panic!("a server") };
    let pki = folder.join("pki");
    for certificate in ["own/cert.der", "own/expired.der"] {
        Pki::at(&pki).trust(sim_pki.join(certificate).to_str().unwrap()).unwrap();
    }
    let config = penstock_opcua::DeviceConfig { pki_dir: pki, certificate_tag: None, ..config.clone() };
    let sick = (config.id, config.points.iter().map(|p| p.tag).collect());
    let right: Right = |_, value| (1.0..3_000.0).contains(&value);
    let heard = Arc::new(Heard { known: Mutex::default(), right, changed: Notify::new() });
    let (stop, stopped) = watch::channel(false);
    let (_, receiver) = mpsc::channel(1);
    let clock = Arc::new(SystemClock::new());
    let driver = tokio::spawn(penstock_opcua::run(config, heard.clone(), receiver, clock, stopped));
    Plant {
        transport: Transport::OpcUa,
        heard,
        api: addresses["api"],
        device: "sludge_effluent_plc",
        sick,
        neighbour: None,
        stop,
        driver,
        end,
        simulator,
        _bridge: None,
    }
}

impl Plant {
    async fn well(&self, what: &str) {
        let good = |known: &Known, tag: &TagId| known.tags.get(tag).is_some_and(|t| t.quality == Some(Quality::Good));
        let all: Vec<TagId> = self.sick.1.iter().copied().chain(self.neighbour).collect();
        let (transport, link) = (self.transport.title(), self.sick.0);
        self.heard
            .until(&format!("{transport}: well {what}"), |known| {
                all.iter().all(|tag| good(known, tag))
                    && known.links.get(&link).is_some_and(|l| l.state == LinkState::Up)
            })
            .await;
    }

    /// Begins a fault; its number ends it. What was said before counts no more.
    async fn begin(&self, text: &str) -> u64 {
        let (url, body) = (format!("http://{}/faults", self.api), serde_json::json!({ "fault": text }));
        {
            let mut known = self.heard.known.lock().unwrap();
            known.said.clear();
            known.tags.values_mut().for_each(|seen| (seen.good, seen.since) = (0, Vec::new()));
        }
        let made = tokio::task::spawn_blocking(move || {
            ureq::post(&url).send_json(&body).unwrap().body_mut().read_json::<serde_json::Value>().unwrap()
        });
        made.await.unwrap()["id"].as_u64().unwrap()
    }

    async fn end_fault(&self, number: u64) {
        let url = format!("http://{}/faults/{number}", self.api);
        // One that ends by itself may have ended already.
        let _ = tokio::task::spawn_blocking(move || ureq::delete(&url).call().is_ok()).await.unwrap();
    }

    /// One cell of the table; what was seen, in words.
    async fn cell(&self, fault: &str, cell: Cell) -> Option<String> {
        let name = format!("{fault} on {}", self.transport.title());
        let (text, borne) = match cell {
            Cell::None(_) => return None,
            Cell::Seen(text, ..) => (text, false),
            Cell::Borne(text, ..) => (text, true),
        };
        self.well(&format!("before {name}")).await;
        let number = self.begin(&text.replace("{}", self.device)).await;
        let (link, tags) = (self.sick.0, &self.sick.1);
        let told = match cell {
            Cell::Seen(_, quality, reasons) => {
                let of = |known: &Known, tag: &TagId| {
                    known.tags.get(tag).and_then(|seen| seen.since.iter().find(|(q, _)| *q == quality).map(|(_, n)| *n))
                };
                // The range is that of one of the two; all else concerns both.
                let one_is_enough = quality.class() == "uncertain";
                let hit = |known: &Known| {
                    let mut hits = tags.iter().map(|tag| of(known, tag).is_some());
                    if one_is_enough { hits.any(|hit| hit) } else { hits.all(|hit| hit) }
                };
                let says = |known: &Known| {
                    let said = known.said.get(&link).cloned().unwrap_or_default();
                    reasons.is_empty() || said.iter().any(|s| reasons.iter().any(|r| s.contains(r)))
                };
                self.heard.until(&format!("{name} is {quality}, {reasons:?}"), |known| hit(known) && says(known)).await;
                let known = self.heard.known.lock().unwrap();
                let polls = tags.iter().filter_map(|tag| of(&known, tag)).min().unwrap();
                assert!(polls <= POLLS_MAX, "{name}: {polls} good values came after it began");
                let said = known.said.get(&link).and_then(|said| said.first().cloned()).unwrap_or_default();
                format!("{quality} after {polls} good values: {said}")
            }
            _ => {
                let enough =
                    |known: &Known| tags.iter().all(|t| known.tags.get(t).is_some_and(|s| s.good >= BORNE_POLLS));
                self.heard.until(&format!("{name} is borne"), enough).await;
                if let Cell::Borne(_, _, says) = cell
                    && !says.is_empty()
                {
                    let heard =
                        |known: &Known| known.said.get(&link).is_some_and(|s| s.iter().any(|s| s.contains(says)));
                    self.heard.until(&format!("{name} is told as `{says}`"), heard).await;
                }
                "stays good".to_owned()
            }
        };
        {
            let known = self.heard.known.lock().unwrap();
            let whole = !text.contains("/12");
            for tag in self.neighbour.iter().filter(|_| !whole).chain(tags.iter().filter(|_| borne)) {
                let since: Vec<Quality> = known.tags[tag].since.iter().map(|(q, _)| *q).collect();
                assert!(since.iter().all(|q| *q == Quality::Good), "{name}: tag {} was {since:?}", tag.0);
            }
            assert_eq!(known.wrong, Vec::<String>::new(), "{name}: a wrong value as a good one");
        }
        self.end_fault(number).await;
        self.well(&format!("after {name}")).await;
        Some(told)
    }

    async fn all(self) {
        let column = Transport::ALL.iter().position(|t| *t == self.transport).unwrap();
        for row in MATRIX {
            if let Some(told) = self.cell(row.fault, row.cells[column]).await {
                println!("{:<16} {:<22} {told}", row.fault, self.transport.title());
            }
        }
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.driver).await.unwrap().unwrap();
        drop(self.end);
        tokio::time::timeout(PATIENCE, self.simulator).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_over_modbus_tcp() {
    let folder = tempfile::tempdir().unwrap();
    meters(Transport::Tcp, folder.path()).await.all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_over_a_serial_device_server() {
    let folder = tempfile::tempdir().unwrap();
    meters(Transport::RtuOverTcp, folder.path()).await.all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_on_a_serial_line() {
    let folder = tempfile::tempdir().unwrap();
    meters(Transport::Rtu, folder.path()).await.all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_an_opc_ua_server() {
    let folder = tempfile::tempdir().unwrap();
    server(folder.path()).await.all().await;
}

#[test]
fn every_fault_of_the_menu_has_its_place() {
    let menu: BTreeSet<&str> = MENU.iter().map(|entry| entry.name).collect();
    let rows = MATRIX.iter().map(|row| row.fault);
    let others = NOT_OF_A_LINK.iter().flat_map(|(_, names)| names.iter().copied());
    let known: BTreeSet<&str> = rows.chain(others).collect();
    assert_eq!(menu, known);
}

#[test]
fn the_page_shows_the_table() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fault-matrix.md")).unwrap();
    let wanted = page();
    assert!(text.contains(&wanted), "docs/fault-matrix.md is to hold this table:\n{wanted}");
    for (_, names) in NOT_OF_A_LINK {
        let line = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        assert!(text.contains(&line), "docs/fault-matrix.md is to name: {line}");
    }
}
