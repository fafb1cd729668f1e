//! The driver against a server written by others: asyncua, in Python.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{PATIENCE, Rig, device, read, write};
use penstock_model::{OutcomeState, Quality, Value, ValueType};
use penstock_opcua::{Fetch, GroupConfig, Kind, Part, Pki, PointConfig, Security, SecurityPolicy, browse};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Environment variable with the Python that has the packages of `simulators/tests/peers/requirements.txt`.
const PYTHON: &str = "PENSTOCK_PEERS_PYTHON";
const GOOD: Quality = Quality::Good;

/// The server's process, its port and its certificate; none without Python.
async fn peer(folder: &Path) -> Option<(Child, u16, String)> {
    let Some(python) = std::env::var_os(PYTHON) else {
        println!("skipped: {PYTHON} is not set; `cargo xtask test --only peers` sets it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/opcua_server.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let ["ready", port, certificate] = line.split_whitespace().collect::<Vec<_>>()[..] {
                return (port.parse().unwrap(), certificate.to_owned());
            }
        }
        panic!("the peer ended");
    };
    let (port, certificate) = tokio::time::timeout(PATIENCE, ready).await.expect("the peer comes up");
    Some((child, port, certificate))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structures_arrays_and_a_protected_channel_of_a_foreign_server() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut child, port, certificate)) = peer(folder.path()).await else { return };
    let at = |point: PointConfig| PointConfig {
        node: point.node.replace(bench::NAMESPACE, "urn:penstock:test:peer"),
        ..point
    };
    let field = |point: PointConfig, fields: &[&str]| {
        let fields = fields.iter().map(|f| (*f).to_owned()).collect();
        at(PointConfig { part: Part { index: Vec::new(), fields }, ..point })
    };
    let element =
        |point: PointConfig, i: u32| at(PointConfig { part: Part { index: vec![i], fields: Vec::new() }, ..point });
    let points = vec![
        field(read(0, "Status", ValueType::Float), &["Actual", "Flow"]),
        field(read(1, "Status", ValueType::Int), &["Actual", "Count"]),
        field(read(2, "Status", ValueType::Bool), &["Running"]),
        field(read(3, "Status", ValueType::Float), &["Actual", "Flaw"]),
        element(read(4, "Speeds", ValueType::Int), 1),
        PointConfig { group: 1, ..element(read(5, "Speeds", ValueType::Int), 2) },
        at(write(6, "Cmd")),
    ];
    let pki = folder.path().join("pki");
    Pki::at(&pki).trust(&certificate).unwrap();
    let mut config = device(std::net::SocketAddr::from(([127, 0, 0, 1], port)), &pki);
    config.endpoint = format!("opc.tcp://127.0.0.1:{port}");
    config.points = points;
    config.timeout = Duration::from_secs(10);
    let every = Duration::from_millis(200);
    config.groups =
        vec![GroupConfig::every("g", every), GroupConfig { fetch: Fetch::Read, ..GroupConfig::every("r", every) }];
    for security in [Security::None, Security::SignAndEncrypt(SecurityPolicy::Basic256Sha256)] {
        config.security = security;
        let rig = Rig::start(config.clone());
        rig.until("fields and elements", |d| {
            d.is(0, 12.5, GOOD)
                && d.is(1, 7_i64, GOOD)
                && d.is(2, true, GOOD)
                && d.is(4, 20_i64, GOOD)
                && d.is(5, 30_i64, GOOD)
        })
        .await;
        rig.until("a field that is none is bad alone", |d| d.quality(3).is_some_and(Quality::is_bad)).await;
        rig.command(1, 6, Some(Value::Float(2.5))).await;
        rig.until("written as a single", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;
        rig.stop().await;
    }
    let tree = browse(&config, None, 2).await.unwrap();
    let of = |name: &str| tree.nodes.iter().find(|n| n.name == name).unwrap().variable.clone().unwrap();
    assert_eq!((of("Speeds").kind, of("Speeds").dimensions), (Kind::Int, vec![3]));
    assert_eq!(of("Status").kind, Kind::Other);
    drop(child.stdin.take());
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("the peer ends").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writes_to_a_foreign_server_go_together_and_one_refused_harms_none() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut child, port, _)) = peer(folder.path()).await else { return };
    let mut config = device(std::net::SocketAddr::from(([127, 0, 0, 1], port)), folder.path());
    config.timeout = Duration::from_secs(10);
    config.points = (0..30_u32).map(|i| write(i, &format!("Out{i}"))).collect();
    for point in &mut config.points {
        point.node = point.node.replace(bench::NAMESPACE, "urn:penstock:test:peer");
    }
    let rig = Rig::start(config);
    for i in 0..30_u32 {
        rig.command(u64::from(i), i, Some(Value::Float(f64::from(i) + 0.5))).await;
    }
    let ended = |d: &bench::Delivered, id: u64| match d.outcomes_of(id).last() {
        Some(OutcomeState::Failed(why)) => id == 7 && why.contains("Bad"),
        Some(OutcomeState::ReadBack) => id != 7,
        _ => false,
    };
    rig.until("each as it should", |d| (0..30).all(|id| ended(d, id))).await;
    let answered = rig.answered().await;
    println!("30 writes to asyncua: {answered} requests");
    assert!(answered < 30, "each alone takes a type, a write and a read-back: {answered}");
    rig.stop().await;
    drop(child.stdin.take());
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("the peer ends").unwrap();
}
