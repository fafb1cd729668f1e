//! Devices on a serial line as a client on the other end of it meets them: literal RTU bytes through a pseudo-terminal.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use penstock_simulators::SimConfig;
use penstock_simulators::devices::modbus::Gateway;
use penstock_simulators::devices::rtu::{crc, frame};
use rustix::fs::{Mode, OFlags};
use support::{Sim, ask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

/// Silence that counts as no answer: an answer takes a few milliseconds at this speed.
const SILENCE: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(10);
/// Voltage of the meter 12.
const VOLTAGE: [u8; 5] = [4, 0, 8, 0, 1];

/// The client's end of a line.
struct Client {
    reader: pipe::Receiver,
    writer: pipe::Sender,
}

impl Client {
    fn open(link: &Path) -> Option<Client> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(link, flags, Mode::empty()).ok()?);
        let writer = pipe::Sender::from_file_unchecked(file.try_clone().unwrap()).unwrap();
        Some(Client { reader: pipe::Receiver::from_file_unchecked(file).unwrap(), writer })
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    /// Everything that comes until the line is silent; `None` where the line has gone.
    async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        let mut wait = SILENCE;
        loop {
            let mut chunk = [0; 256];
            match tokio::time::timeout(wait, self.reader.read(&mut chunk)).await {
                Err(_) => return Some(all),
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(count)) => all.extend(&chunk[..count]),
            }
            // The simulator writes an answer at once.
            wait = Duration::from_millis(60);
        }
    }

    async fn ask(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        self.send(&frame(unit, pdu)).await;
        self.hear().await.expect("the line has gone")
    }
}

/// The PDU of a whole healthy answer of a unit.
fn pdu(answer: &[u8], unit: u8) -> &[u8] {
    assert!(answer.len() >= 5 && answer[0] == unit, "{answer:02x?}");
    let (body, told) = answer.split_at(answer.len() - 2);
    assert_eq!(crc(body).to_le_bytes(), told, "{answer:02x?}");
    &body[1..]
}

fn is_voltage(pdu: &[u8]) -> bool {
    pdu.len() == 4 && pdu[..2] == [4, 2] && (3900..4100).contains(&u16::from_be_bytes([pdu[2], pdu[3]]))
}

async fn start(folder: &Path, faults: &[&str]) -> Sim {
    let serial = ["power_meters=meters,115200", "heat_pump=heat_pump,115200,8E1"]
        .map(|text| text.replace('=', &format!("={}/", folder.display())).parse().unwrap());
    Sim::start_with(SimConfig {
        serial: serial.to_vec(),
        faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
        ..SimConfig::default()
    })
    .await
}

#[tokio::test]
async fn units_of_a_line_answer_and_clients_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path(), &[]).await;
    let link = folder.path().join("meters");
    for _ in 0..3 {
        let mut client = Client::open(&link).unwrap();
        for unit in [11, 12, 16] {
            let answer = client.ask(unit, &VOLTAGE).await;
            assert!(is_voltage(pdu(&answer, unit)), "unit {unit}: {answer:02x?}");
        }
        assert_eq!(pdu(&client.ask(12, &[4, 0, 12, 0, 1]).await, 12), [0x84, 2]);
        assert_eq!(pdu(&client.ask(12, &[43, 14, 1, 0]).await, 12), [0xab, 1], "ended by silence");
    }
    let mut client = Client::open(&link).unwrap();
    assert!(client.ask(17, &VOLTAGE).await.is_empty(), "no gateway speaks for a unit that is not on the line");
    let mut wrong = frame(12, &VOLTAGE);
    wrong[6] ^= 1;
    client.send(&wrong).await;
    assert_eq!(client.hear().await, Some(vec![]), "a wrong CRC is not answered");
    assert!(is_voltage(pdu(&client.ask(12, &VOLTAGE).await, 12)));
    // In two pieces.
    let request = frame(12, &VOLTAGE);
    client.send(&request[..3]).await;
    client.send(&request[3..]).await;
    assert!(is_voltage(pdu(&client.hear().await.unwrap(), 12)));
    sim.stop().await;
    assert!(!link.is_symlink(), "the link outlived the plant");
}

#[tokio::test]
async fn a_broadcast_acts_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path(), &[]).await;
    let mut client = Client::open(&folder.path().join("heat_pump")).unwrap();
    assert!(client.ask(0, &[6, 0, 1, 0x01, 0xf4]).await.is_empty());
    assert_eq!(pdu(&client.ask(1, &[3, 0, 1, 0, 1]).await, 1), [3, 2, 0x01, 0xf4]);
    assert_eq!(pdu(&client.ask(1, &[16, 0, 1, 0, 1, 2, 1, 0xf4]).await, 1), [0x90, 1]);
    let mut tcp = sim.connect("heat_pump").await;
    assert_eq!(ask(&mut tcp, 1, &[3, 0, 1, 0, 1]).await, [3, 2, 0x01, 0xf4], "the same registers by both ways");
    sim.stop().await;
}

#[tokio::test]
async fn faults_of_the_line() {
    let good = |unit| frame(unit, &VOLTAGE);
    let hear = async |faults: &[&str], requests: usize| {
        let folder = tempfile::tempdir().unwrap();
        let sim = start(folder.path(), faults).await;
        let mut client = Client::open(&folder.path().join("meters")).unwrap();
        let mut answer = Vec::new();
        for _ in 0..requests {
            answer = client.ask(12, &VOLTAGE).await;
        }
        let other = client.ask(13, &VOLTAGE).await;
        sim.stop().await;
        (answer, other)
    };
    let (answer, other) = hear(&["bad-crc power_meters/12"], 1).await;
    let (body, told) = answer.split_at(5);
    assert!(is_voltage(&body[1..]) && crc(body).to_le_bytes() != told, "{answer:02x?}");
    assert!(is_voltage(pdu(&other, 13)), "the other unit is well");

    let (answer, _) = hear(&["echo power_meters/12"], 1).await;
    assert_eq!(answer[..8], good(12));
    assert!(is_voltage(pdu(&answer[8..], 12)));

    let (answer, _) = hear(&["garbage power_meters/12"], 1).await;
    assert!((8..=15).contains(&answer.len()), "{answer:02x?}");
    assert!(is_voltage(pdu(&answer[answer.len() - 7..], 12)));

    let (answer, _) = hear(&["wrong-unit power_meters/12"], 1).await;
    assert!(is_voltage(pdu(&answer, 13)));
    assert_eq!(hear(&["short power_meters/12"], 1).await.0.len(), 3);
    assert!(hear(&["mute power_meters/12"], 1).await.0.is_empty());
    assert_eq!(pdu(&hear(&["exception power_meters/12 4"], 1).await.0, 12), [0x84, 4]);
    assert_eq!(hear(&["drop power_meters"], 1).await, (vec![], vec![]));
    assert!(hear(&["stale power_meters/12"], 1).await.0.is_empty(), "there was no answer before");
    assert!(is_voltage(pdu(&hear(&["stale power_meters/12"], 2).await.0, 12)));
}

#[tokio::test]
async fn an_unplugged_adapter_takes_its_link_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("meters");
    let sim = start(folder.path(), &["refuse power_meters for 2s"]).await;
    let until = Instant::now() + PATIENCE;
    while link.is_symlink() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!link.is_symlink());
    while !link.is_symlink() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = Client::open(&link).unwrap();
    assert!(is_voltage(pdu(&client.ask(12, &VOLTAGE).await, 12)));
    sim.stop().await;
}

#[tokio::test]
async fn a_gateway_may_wait_or_be_silent() {
    for (kind, unit, expected) in [
        (Gateway::Timeout(Duration::from_millis(300)), 17, Some(vec![0x84, 0x0b])),
        (Gateway::Timeout(Duration::from_millis(300)), 12, Some(vec![0x84, 0x0b])),
        (Gateway::Silent, 17, None),
        (Gateway::Knowing, 12, None),
    ] {
        let sim = Sim::start_with(SimConfig {
            gateways: BTreeMap::from([("power_meters".to_owned(), kind)]),
            faults: vec!["mute power_meters/12".parse().unwrap()],
            ..SimConfig::default()
        })
        .await;
        let mut client = sim.connect("power_meters").await;
        let before = Instant::now();
        let answer = tokio::time::timeout(Duration::from_secs(1), ask(&mut client, unit, &VOLTAGE)).await.ok();
        assert_eq!(answer, expected, "{kind:?} unit {unit}");
        if expected.is_some() {
            assert!(before.elapsed() >= Duration::from_millis(300));
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn busy_and_swapped_words_and_wrong_units_over_tcp() {
    let faults = ["busy heat_pump 600ms", "word-swap power_meters/12", "wrong-unit dosing_skid"];
    let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
    let sim = Sim::start_with(SimConfig { faults, ..SimConfig::default() }).await;
    let mut heat = sim.connect("heat_pump").await;
    assert_eq!(ask(&mut heat, 1, &[3, 0, 0, 0, 1]).await[0], 3);
    assert_eq!(ask(&mut heat, 1, &[3, 0, 0, 0, 1]).await, [0x83, 6]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ask(&mut heat, 1, &[3, 0, 0, 0, 1]).await[0], 3);
    // Energy of 1.9 GWh in 0.01 kWh: in the documented order the low word comes first, power high word first.
    let mut meters = sim.connect("power_meters").await;
    let block = ask(&mut meters, 12, &[4, 0, 0, 0, 6]).await;
    let word = |i: usize| u32::from(u16::from_be_bytes([block[2 + 2 * i], block[3 + 2 * i]]));
    let energy = word(4) << 16 | word(5);
    assert!((190_000_000..200_000_000).contains(&energy), "{energy}");
    let power = f32::from_bits(word(1) << 16 | word(0));
    assert!((20.0..500.0).contains(&power), "{power}");
    let mut skid = sim.connect("dosing_skid").await;
    skid.write_all(&[0, 1, 0, 0, 0, 6, 2, 4, 0, 0, 0, 1]).await.unwrap();
    let mut answer = [0; 11];
    skid.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..9], [0, 1, 0, 0, 0, 5, 3, 4, 2]);
    sim.stop().await;
}

/// Bytes of a small generator: what matters is that they are many, different and the same in every run.
fn noise(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        })
        .collect()
}

#[tokio::test]
async fn arbitrary_bytes_neither_end_nor_hang_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path(), &[]).await;
    let link = folder.path().join("meters");
    for seed in 1..=40 {
        let mut stream = sim.connect("power_meters").await;
        let mut bytes = noise(seed, 1 + seed as usize * 7);
        if seed % 2 == 0 {
            // A header that holds, so that the noise reaches the units.
            let length = bytes.len().min(200);
            bytes.truncate(length);
            let head = [0, 1, 0, 0, 0, length as u8 + 1, 12];
            bytes.splice(0..0, head);
        }
        // The device may close on what is no frame.
        let _ = stream.write_all(&bytes).await;
        drop(stream);
        let mut client = Client::open(&link).unwrap();
        client.send(&noise(seed + 1000, seed as usize * 9)).await;
    }
    let mut stream = sim.connect("power_meters").await;
    assert!(is_voltage(&ask(&mut stream, 12, &VOLTAGE).await));
    let mut client = Client::open(&link).unwrap();
    client.hear().await.unwrap();
    assert!(is_voltage(pdu(&client.ask(12, &VOLTAGE).await, 12)));
    sim.stop().await;
}
