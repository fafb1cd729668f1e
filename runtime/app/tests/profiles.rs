//! Every profile against the registers of a device of its kind: a file in `fixtures/registers` holds the registers, the
//! values that a person would read on the device, and for some a command with the registers it leaves. They are served over
//! Modbus TCP and read by the real configuration and the real driver.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use penstock::config::{self, DriverConfig, Overrides};
use penstock_modbus::{ChannelConfig, DeviceConfig};
use penstock_model::{
    Command, CommandId, DeviceId, LinkRecord, Origin, Outcome, OutcomeState, Quality, Sample, SampleSink, SystemClock,
    TagId, TagSample, Utc, Value,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};

/// Far beyond what anything here takes, so that only a defect meets it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    profile: String,
    unit: u8,
    /// Registers by address, counted from 0, in hexadecimal.
    #[serde(default)]
    holding: BTreeMap<u16, String>,
    #[serde(default)]
    input: BTreeMap<u16, String>,
    /// Every tag of the profile: its value, or `bad(...)`.
    expect: BTreeMap<String, Expected>,
    /// Points of the device beside its profile, as its file has them.
    #[serde(default)]
    points: String,
    /// What is commanded, by tag, and what the holding registers are afterwards.
    #[serde(default)]
    commands: BTreeMap<String, f64>,
    #[serde(default)]
    then: BTreeMap<u16, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Bool(bool),
    Number(f64),
    Word(String),
}

impl Expected {
    fn is(&self, sample: &Sample) -> bool {
        match (self, &sample.value) {
            (Expected::Word(word), _) if word.starts_with("bad(") => sample.quality.to_string() == *word,
            (_, None) => false,
            (_, Some(_)) if sample.quality != Quality::Good => false,
            (Expected::Bool(want), Some(Value::Bool(got))) => want == got,
            (Expected::Number(want), Some(got)) => {
                got.as_f64().is_some_and(|got| (got - want).abs() <= want.abs().max(1.0) * 1e-9)
            }
            (Expected::Word(want), Some(Value::Text(got))) => **want == **got,
            _ => false,
        }
    }
}

fn words(text: &str) -> Vec<u16> {
    text.split_whitespace().map(|word| u16::from_str_radix(word, 16).unwrap()).collect()
}

fn spread(blocks: &BTreeMap<u16, String>) -> HashMap<u16, u16> {
    blocks.iter().flat_map(|(at, text)| (*at..).zip(words(text))).collect()
}

#[derive(Default)]
struct Device {
    holding: HashMap<u16, u16>,
    input: HashMap<u16, u16>,
}

impl Device {
    /// The answer to a question; exception 2 for registers that were not recorded.
    fn answer(&mut self, pdu: &[u8]) -> Vec<u8> {
        let word = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
        let (function, at) = (pdu[0], word(1));
        let exception = |code: u8| vec![function | 0x80, code];
        match function {
            3 | 4 => {
                let area = if function == 3 { &self.holding } else { &self.input };
                let found: Option<Vec<u16>> = (at..at + word(3)).map(|at| area.get(&at).copied()).collect();
                let Some(found) = found else { return exception(2) };
                let mut out = vec![function, u8::try_from(2 * found.len()).unwrap()];
                out.extend(found.iter().flat_map(|word| word.to_be_bytes()));
                out
            }
            6 => {
                self.holding.insert(at, word(3));
                pdu.to_vec()
            }
            16 => {
                let values = pdu[6..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                self.holding.extend((at..).zip(values));
                pdu[..5].to_vec()
            }
            _ => exception(1),
        }
    }
}

async fn serve(listener: TcpListener, unit: u8, device: Arc<Mutex<Device>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(client(stream, unit, device.clone()));
    }
}

async fn client(mut stream: TcpStream, unit: u8, device: Arc<Mutex<Device>>) {
    let mut head = [0; 7];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu).await.unwrap();
        assert_eq!(head[6], unit, "another unit was asked");
        let answer = device.lock().unwrap().answer(&pdu);
        let length = u16::try_from(answer.len() + 1).unwrap().to_be_bytes();
        let frame = [&head[..4], &length, &head[6..7], &answer].concat();
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

#[derive(Default)]
struct Heard {
    samples: Mutex<HashMap<TagId, Sample>>,
    outcomes: Mutex<HashMap<CommandId, OutcomeState>>,
    changed: Notify,
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        self.samples.lock().unwrap().extend(batch.iter().map(|s| (s.tag, s.sample.clone())));
        self.changed.notify_waiters();
    }
    fn outcome(&self, outcome: Outcome) {
        self.outcomes.lock().unwrap().insert(outcome.id, outcome.state);
        self.changed.notify_waiters();
    }
    fn link(&self, _: LinkRecord) {}
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
            panic!("never: {what}; {:?}; {:?}", self.samples.lock().unwrap(), self.outcomes.lock().unwrap());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A site with one device of the profile, read as any site is.
fn configured(recorded: &Recorded, address: &str) -> DeviceConfig {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    std::fs::create_dir_all(site.join("devices")).unwrap();
    let profiles = std::fs::canonicalize(root().join("configs/profiles")).unwrap();
    let text = format!(
        "site: bench\nname: Bench\ntime_zone: Asia/Shanghai\ntasks: {{ normal: 1s }}\nprofiles: {}\n\
         include: {{ devices: [devices/*.yaml] }}\n",
        profiles.display()
    );
    std::fs::write(site.join("site.yaml"), text).unwrap();
    let points = recorded.points.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let points = if points.is_empty() { points } else { format!("points:\n{points}") };
    let text = format!(
        "device: bench\nprofile: {}\ndriver: modbus-tcp\naddress: {address}\nunit: {}\n{points}",
        recorded.profile, recorded.unit
    );
    std::fs::write(site.join("devices/bench.yaml"), text).unwrap();
    let loaded = config::load(&site, &Overrides::default()).unwrap_or_else(|e| panic!("{}: {e}", recorded.profile));
    let device = loaded.site.devices.into_iter().next().unwrap();
    let DriverConfig::Modbus(config) = device.driver else { panic!("{} is no Modbus device", recorded.profile) };
    assert_eq!(config.channel, ChannelConfig::default(), "served over TCP here");
    config
}

async fn check(recorded: Recorded) {
    let name = &recorded.profile;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = Device { holding: spread(&recorded.holding), input: spread(&recorded.input) };
    let device = Arc::new(Mutex::new(device));
    let server = tokio::spawn(serve(listener, recorded.unit, device.clone()));

    let config = configured(&recorded, &address);
    let tags: HashMap<String, TagId> = config.points.iter().map(|p| (p.path.to_string(), p.tag)).collect();
    let read: BTreeSet<String> =
        config.points.iter().filter(|p| p.write.is_none()).map(|p| p.path.to_string()).collect();
    let expected: BTreeSet<String> = recorded.expect.keys().cloned().collect();
    assert_eq!(read, expected, "{name}: every tag that is read is expected, and no other");

    let heard = Arc::new(Heard::default());
    let (queue, commands) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let driver = penstock_modbus::run(config, heard.clone(), commands, Arc::new(SystemClock::new()), stopped);
    let driver = tokio::spawn(driver);
    heard.until(&format!("{name}: every tag"), |h| h.samples.lock().unwrap().len() >= read.len()).await;
    let samples = heard.samples.lock().unwrap().clone();
    let wrong: Vec<String> = recorded
        .expect
        .iter()
        .filter(|(tag, want)| !want.is(&samples[&tags[*tag]]))
        .map(|(tag, want)| format!("{tag}: expected {want:?}, read {:?}", samples[&tags[tag]]))
        .collect();
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));

    for (number, (tag, value)) in (1_u64..).zip(&recorded.commands) {
        let command = Command {
            id: CommandId(number),
            tag: tags[tag],
            device: DeviceId(0),
            value: Some(Value::Float(*value)),
            origin: Origin::Program("bench".into()),
            granted: Utc(0),
        };
        queue.send(command).await.unwrap();
    }
    heard
        .until(&format!("{name}: every command reads back"), |h| {
            let outcomes = h.outcomes.lock().unwrap();
            assert!(
                !outcomes.values().any(|state| matches!(state, OutcomeState::Failed(_))),
                "{name}: a command failed: {outcomes:?}"
            );
            outcomes.values().filter(|state| matches!(state, OutcomeState::ReadBack)).count() == recorded.commands.len()
        })
        .await;
    for (at, want) in spread(&recorded.then) {
        let got = device.lock().unwrap().holding.get(&at).copied();
        assert_eq!(got, Some(want), "{name}: holding register {at} after the commands");
    }
    stop.send(true).unwrap();
    driver.await.unwrap();
    server.abort();
}

#[tokio::test]
async fn every_profile_reads_the_registers_of_its_device() {
    let folder = root().join("runtime/app/tests/fixtures/registers");
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let recorded: Recorded =
            serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
        let of_file = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(of_file.starts_with(&recorded.profile), "{of_file} is of profile {}", recorded.profile);
        seen.insert(recorded.profile.clone());
        check(recorded).await;
    }
    let profiles = std::fs::read_dir(root().join("configs/profiles")).unwrap().map(Result::unwrap);
    let profiles: BTreeSet<String> =
        profiles.map(|e| e.path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(seen, profiles, "every profile has registers to be tested against");
}

/// Keys that say how the manual of a device counts and swaps, in its profile or in its own file.
#[test]
fn a_manual_that_counts_from_zero_and_swaps_words_is_taken_at_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(
        "site/site.yaml",
        "site: s\nname: S\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\ninclude: { devices: [devices/*.yaml] }\n",
    );
    put(
        "profiles/odd.yaml",
        "profile: odd\ndriver: modbus-tcp\nzero_based: true\nbyte_order: CDAB\npause_after_connect: 500ms\n\
         one_by_one: true\nwrite_with: single\nkeep_alive: 20s\npause_after_write: 200ms\nwrite_timeout: 3s\n\
         groups: { normal: { every: 1s } }\npoints:\n  - { tag: power, at: 40000, as: float32, unit: kW }\n",
    );
    put(
        "site/devices/a.yaml",
        "device: a\nprofile: odd\nprefix: a\naddress: 127.0.0.1:1502\nkeep_alive: 5s\npoints:\n  \
         - { tag: a/flow, at: HR10, as: uint32, byte_order: ABCD, unit: m3/h }\n",
    );
    put("site/devices/b.yaml", "device: b\nprofile: odd\nprefix: b\naddress: 127.0.0.1:1503\n");
    let loaded = config::load(&folder.path().join("site"), &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    let of = |name: &str| {
        let device = loaded.site.devices.iter().find(|d| &*d.name == name).unwrap();
        let DriverConfig::Modbus(config) = &device.driver else { panic!("{name}") };
        config.clone()
    };
    let (a, b) = (of("a"), of("b"));
    let places: Vec<_> = a.points.iter().map(|p| (p.address.pdu, p.order.to_string())).collect();
    assert_eq!(places, [(0, "CDAB".to_owned()), (10, "ABCD".to_owned())]);
    let quirks = a.quirks;
    assert_eq!(a.pause_after_connect, Duration::from_millis(500));
    assert_eq!((quirks.one_by_one, quirks.write_with), (true, penstock_modbus::WriteWith::Single));
    assert_eq!(quirks.pause_after_write, Duration::from_millis(200));
    assert_eq!((quirks.write_timeout, quirks.keep_alive), (Some(Duration::from_secs(3)), Some(Duration::from_secs(5))));
    assert_eq!(b.quirks.keep_alive, Some(Duration::from_secs(20)));
}
