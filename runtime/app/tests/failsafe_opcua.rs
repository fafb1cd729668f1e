//! What outputs over OPC UA do when the link, the runtime or its process ends: the real process, kill -9, and what the
//! device got.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;
#[path = "common/opcua_device.rs"]
mod opcua_device;

use common::{OPERATOR, Plant, Session, add_user, send};
use opcua_device::{NAMESPACE, OpcUaDevice};
use rustix::process::Signal;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Generous against a loaded machine; nothing here is a measurement but what is printed.
const SOON: Duration = Duration::from_secs(30);
const SITE: &str = "
site: bench
name: Bench
time_zone: Asia/Shanghai
tasks: { main: 100ms }
supervisor: { deadline: 5s, max_restarts: 2 per 10min, hang: 2s }
";
const PROGRAMS: &str =
    "- { program: main, script: main.rhai, task: main, out: { y: out/y, held: out/held, moving: out/moving } }\n";
const MAIN: &str = r#"
fn declare(p) {
    p.title("主程序", "Main");
    p.output("y", "%");
    p.output("held", "%");
    p.output("moving", "%");
    p.state("n", 20.0);
}
fn scan(io) {
    io.n = if io.n > 29.0 { 20.0 } else { io.n + 1.0 };
    io.moving = io.n;
    io.y = 70.0;
    io.held = 70.0;
}
"#;
const WISH: f64 = 70.0;
const LINK: f64 = 14.0;
const SHUTDOWN: f64 = 15.0;
const CRASH: f64 = 16.0;

struct Bench {
    folder: tempfile::TempDir,
    plc: OpcUaDevice,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), plc: OpcUaDevice::start(&["Moving", "Y", "Held"]) };
        let point = |tag: &str, node: &str, fallback: &str| {
            format!(
                "  - {{ tag: {tag}, node: s={node}, unit: \"%\", range: [0, 100], group: fast, write: {{}},\n      fallback: {{ bad_input: hold, fault: hold, {fallback} }} }}\n"
            )
        };
        let device = format!(
            "device: plc\ndriver: opcua\nendpoint: opc.tcp://{}\nsecurity: none\ntimeout: 2s\nnamespace: {NAMESPACE}\ngroups: {{ fast: {{ publish: 100ms }} }}\npoints:\n{}{}{}",
            bench.plc.address,
            // Goes on moving while the link is lost: it waits too, and is older.
            point("out/moving", "Moving", &format!("link: hold, shutdown: {SHUTDOWN}")),
            point("out/y", "Y", &format!("link: {LINK}, shutdown: {SHUTDOWN}, crash: {CRASH}")),
            point("out/held", "Held", &format!("link: hold, shutdown: {SHUTDOWN}, crash: hold")),
        );
        for (name, text) in [
            ("site.yaml", SITE),
            ("programs.yaml", PROGRAMS),
            ("scripts/main.rhai", MAIN),
            ("devices/plc.yaml", &device),
        ] {
            let file = bench.folder.path().join("site").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        add_user(&bench.state(), OPERATOR, "operator");
        bench
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn start(&self) -> Plant {
        let begun = Instant::now();
        let plant = Plant::launch(&self.folder.path().join("site"), &self.state(), &[], &[]);
        self.plc.wait_for("Y", WISH, begun, SOON);
        self.plc.wait_for("Held", WISH, begun, SOON);
        plant
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("runtime.log")).unwrap()
    }

    fn wait_log(&self, what: &str) {
        let start = Instant::now();
        while !self.log().contains(what) {
            assert!(start.elapsed() < SOON, "the log never says `{what}`: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_server_that_comes_back_finds_the_value_declared_for_its_lost_link() {
    let bench = Bench::new();
    let _plant = bench.start();
    bench.plc.connected(false);
    bench.wait_log("link is down device=plc");
    // The task of 100 ms has weighed the loss.
    std::thread::sleep(Duration::from_secs(1));
    let back = Instant::now();
    bench.plc.connected(true);
    bench.plc.wait_for("Y", WISH, back, SOON);
    let written: Vec<f64> = bench.plc.written("Y", back).into_iter().map(|(_, v)| v).collect();
    assert_eq!(written[0], LINK, "{written:?}");
    assert_eq!(bench.plc.first_written(back), Some(("Y".to_owned(), LINK)), "nothing was written before it");
    assert!(bench.plc.written("Held", back).iter().all(|(_, v)| *v == WISH), "`hold` stays");
}

#[test]
fn an_orderly_stop_leaves_the_values_for_a_shutdown_in_the_server() {
    let bench = Bench::new();
    let plant = bench.start();
    let stopped = Instant::now();
    assert!(plant.stop(), "{}", bench.log());
    for node in ["Y", "Held"] {
        assert_eq!(bench.plc.written(node, stopped).last().map(|(_, v)| *v), Some(SHUTDOWN), "{node}");
        assert_eq!(bench.plc.holds(node), SHUTDOWN);
    }
    assert!(!bench.log().contains("the runtime died"), "{}", bench.log());
}

#[test]
fn kill_9_of_the_runtime_is_answered_by_the_supervisor_over_opc_ua() {
    let bench = Bench::new();
    let plant = bench.start();
    let runtime = plant.runtime_pid().unwrap();
    let killed = Instant::now();
    send(runtime, Signal::KILL);
    let took = bench.plc.wait_for("Y", CRASH, killed, SOON);
    let resumed = bench.plc.wait_for("Y", WISH, killed + took, SOON);
    println!("over OPC UA: fail-safe {took:?} after the kill, resumed {resumed:?} after that");
    bench.wait_log("every output that declares a value for a crash holds it");
    assert!(bench.plc.written("Held", killed).iter().all(|(_, v)| *v == WISH), "`hold` is not written");
    assert_ne!(plant.runtime_pid(), Some(runtime));
    let events = Session::login(&plant.url, OPERATOR).get("/api/events?limit=200");
    let settled = |e: &serde_json::Value| {
        e["tag"] == "out/y" && e["origin"] == "fallback on crash" && e["state"] == json!("settled")
    };
    assert!(events.as_array().unwrap().iter().any(settled), "read back by the supervisor: {events}");
    assert!(plant.stop());
}

#[test]
fn a_runtime_that_hangs_has_its_outputs_brought_to_safety_over_opc_ua() {
    let bench = Bench::new();
    let plant = bench.start();
    let frozen = Instant::now();
    send(plant.runtime_pid().unwrap(), Signal::STOP);
    let took = bench.plc.wait_for("Y", CRASH, frozen, SOON);
    bench.plc.wait_for("Y", WISH, frozen + took, SOON);
    assert!(bench.log().contains("the runtime hangs and is killed"), "{}", bench.log());
}
