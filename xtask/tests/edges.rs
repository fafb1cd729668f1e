//! Which crate may use which: the table of ARCHITECTURE.md, as a test. A new crate needs a row here and there.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crate, and the workspace crates it may use when it is built and run.
const ALLOWED: &[(&str, &[&str])] = &[
    ("penstock-model", &[]),
    ("penstock-engine", &["penstock-model"]),
    ("penstock-historian", &["penstock-model"]),
    ("penstock-ledger", &["penstock-model", "penstock-historian"]),
    ("penstock-modbus", &["penstock-model"]),
    ("penstock-modbus-server", &["penstock-model"]),
    ("penstock-opcua", &["penstock-model"]),
    ("penstock-opcua-server", &["penstock-model"]),
    ("penstock-mqtt", &["penstock-model"]),
    ("penstock-fuzz", &["penstock-modbus", "penstock-mqtt", "penstock-historian"]),
    ("penstock-hmi", &["penstock-model", "penstock-engine", "penstock-historian", "penstock-ledger"]),
    // A simulator that shared a driver's codec would agree with its bugs.
    ("penstock-simulators", &[]),
    (
        "penstock",
        &[
            "penstock-model",
            "penstock-engine",
            "penstock-historian",
            "penstock-ledger",
            "penstock-modbus",
            "penstock-modbus-server",
            "penstock-opcua",
            "penstock-opcua-server",
            "penstock-mqtt",
            "penstock-hmi",
            "penstock-simulators",
        ],
    ),
    ("xtask", &[]),
];

const ASYNC: &[&str] = &["tokio", "async-std", "smol", "mio", "futures"];
const NETWORK: &[&str] = &["axum", "hyper", "ureq", "reqwest", "rumqttc", "tokio-modbus", "async-opcua", "socket2"];
const FIELD: &[&str] = &["rumqttc", "tokio-modbus", "async-opcua", "serialport"];
const FILES: &[&str] = &["sled", "rustix", "serde-saphyr", "tempfile"];
const SERDE: &[&str] = &["serde", "serde_json", "serde_derive"];

/// Crate, and foreign packages that it must not name: what it does not know, it cannot depend on.
const FORBIDDEN: &[(&str, &[&[&str]])] = &[
    ("penstock-model", &[ASYNC, NETWORK, FILES, SERDE]),
    ("penstock-engine", &[ASYNC, NETWORK, FILES, SERDE, &["jiff", "tracing"]]),
    ("penstock-historian", &[ASYNC, NETWORK]),
    ("penstock-ledger", &[ASYNC, NETWORK]),
    ("penstock-hmi", &[FIELD]),
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

struct Crate {
    /// What it uses when it is built and run.
    used: BTreeSet<String>,
    /// What only its tests use.
    in_tests: BTreeSet<String>,
}

fn crates() -> BTreeMap<String, Crate> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |v: &Value| v.as_str().expect("a name").to_owned();
    let mut crates = BTreeMap::new();
    for package in packages {
        let (mut used, mut in_tests) = (BTreeSet::new(), BTreeSet::new());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // `kind` is null for the product, "build" for build scripts, "dev" for tests.
            let side = if dependency["kind"] == "dev" { &mut in_tests } else { &mut used };
            side.insert(text(&dependency["name"]));
        }
        crates.insert(text(&package["name"]), Crate { used, in_tests });
    }
    crates
}

fn ours<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    names.map(String::as_str).filter(|n| *n == "penstock" || n.starts_with("penstock-") || *n == "xtask").collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let crates = crates();
    let listed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours(crates.keys()), listed, "the workspace's crates are the table's rows");
    assert_eq!(crates.len(), listed.len(), "every crate carries the project's name");
    let mut wrong = Vec::new();
    for (name, allowed) in ALLOWED {
        for used in ours(crates[*name].used.iter()) {
            if !allowed.contains(&used) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges outside the table: {wrong:?}");
}

#[test]
fn simulators_know_no_crate_of_ours_in_their_tests_either() {
    let crates = crates();
    assert_eq!(ours(crates["penstock-simulators"].in_tests.iter()), BTreeSet::new());
}

#[test]
fn crates_do_not_name_what_they_must_not_know() {
    let crates = crates();
    let mut wrong = Vec::new();
    for (name, groups) in FORBIDDEN {
        for used in &crates[*name].used {
            if groups.iter().any(|group| group.contains(&used.as_str())) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The scan must not be able to wait for a socket: not through a dependency's dependency either.
#[test]
fn no_async_runtime_reaches_the_engine() {
    for name in ["penstock-model", "penstock-engine"] {
        let tree = cargo(&["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(reached.contains(name), "the tree names its root: {reached:?}");
        let wrong: Vec<_> = ASYNC.iter().chain(NETWORK).filter(|p| reached.contains(**p)).collect();
        assert!(wrong.is_empty(), "{name} reaches {wrong:?}");
    }
}
