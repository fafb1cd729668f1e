//! What outputs do when something breaks: for each cause the real process is driven into it, and what the device got is
//! read from the device. Crashes are kill -9.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;
#[path = "common/recorder.rs"]
mod recorder;

use common::{OPERATOR, Plant, Session, add_user, edit, lives, send};
use recorder::Recorder;
use rustix::process::Signal;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Generous against a loaded machine; nothing here is a measurement but what is printed.
const SOON: Duration = Duration::from_secs(20);
/// The runtime acts again this soon after a crash; aimed at are 2 s.
const RESUMED: Duration = Duration::from_secs(10);
/// `deadline` of the site, and what a loaded machine adds.
const DEADLINE: Duration = Duration::from_secs(5);

const SITE: &str = "
site: bench
name: Bench
time_zone: Asia/Shanghai
tasks: { main: 100ms, other: 200ms }
supervisor: { deadline: 2s, max_restarts: 2 per 10min, hang: 2s }
";
const TAGS: &str = "
entries:
  - { tag: sick, initial: 0, limits: [0, 1], type: int }
";
const PROGRAMS: &str = "
- { program: main, script: main.rhai, task: main, in: { x: in/level, sick: sick }, out: { y: out/y, held: out/held, later: out/later, left: out/left } }
- { program: other, script: other.rhai, task: other, out: { z: out/z } }
";
const MAIN: &str = r#"
fn declare(p) {
    p.title("主程序", "Main");
    p.input("x", "%");
    p.input_int("sick");
    p.output("y", "%");
    p.output("held", "%");
    p.output("later", "%");
    p.output("left", "%");
}
fn scan(io) {
    if io.sick == 1 { throw "asked to fail"; }
    io.y = io.x;
    io.held = io.x;
    io.later = io.x;
    io.left = io.x;
}
"#;
const OTHER: &str = r#"
fn declare(p) {
    p.title("另一程序", "Other");
    p.output("z", "%");
    p.state("n", 50.0);
}
fn scan(io) {
    io.n = if io.n > 59.0 { 50.0 } else { io.n + 1.0 };
    io.z = io.n;
}
"#;

/// Registers of the outputs: 40001 to 40005.
const Y: u16 = 1;
const HELD: u16 = 2;
const LATER: u16 = 3;
const LEFT: u16 = 4;
const Z: u16 = 5;
/// What the program writes, and what is declared for each cause.
const WISH: u16 = 70;
const BAD_INPUT: u16 = 11;
const FAULT: u16 = 12;
const OVERRUN: u16 = 13;
const LINK: u16 = 14;
const SHUTDOWN: u16 = 15;
const CRASH: u16 = 16;

struct Bench {
    folder: tempfile::TempDir,
    plc: Recorder,
    probe: Recorder,
    site: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let (folder, plc, probe) = (tempfile::tempdir().unwrap(), Recorder::start(), Recorder::start());
        let site = folder.path().join("site");
        let point = |tag: &str, at: u16, fallback: &str| {
            format!(
                "  - {{ tag: {tag}, at: {}, as: uint16, type: float, unit: \"%\", range: [0, 100], write: {{}},\n      fallback: {{ {fallback} }} }}\n",
                40_000 + u32::from(at)
            )
        };
        let all = format!(
            "bad_input: {BAD_INPUT}, fault: {FAULT}, overrun: {OVERRUN}, link: {LINK}, shutdown: {SHUTDOWN}, crash: {CRASH}"
        );
        let rest = "bad_input: hold, fault: hold, link: hold";
        let plc_file = format!(
            "device: plc\ndriver: modbus-tcp\naddress: {}\ntimeout: 500ms\nheartbeat: {{ write: HR90, every: 100ms, values: toggle }}\ngroups: {{ g: {{ every: 100ms }} }}\npoints:\n{}{}{}{}{}",
            plc.address,
            point("out/y", Y, &all),
            point("out/held", HELD, &format!("{rest}, shutdown: {SHUTDOWN}, crash: hold")),
            point("out/later", LATER, &format!("{rest}, shutdown: hold, crash: hold 1s then 36")),
            point("out/left", LEFT, &format!("{rest}, shutdown: {SHUTDOWN}, crash: device")),
            point("out/z", Z, &format!("{rest}, shutdown: {SHUTDOWN}")),
        );
        let probe_file = format!(
            "device: probe\ndriver: modbus-tcp\naddress: {}\ntimeout: 500ms\ngroups: {{ g: {{ every: 100ms }} }}\npoints:\n  - {{ tag: in/level, at: 30001, as: uint16, type: float, unit: \"%\", range: [0, 100], ttl: 1s }}\n",
            probe.address
        );
        for (file, text) in [
            ("site.yaml", SITE),
            ("tags.yaml", TAGS),
            ("programs.yaml", PROGRAMS),
            ("scripts/main.rhai", MAIN),
            ("scripts/other.rhai", OTHER),
            ("devices/plc.yaml", &plc_file),
            ("devices/probe.yaml", &probe_file),
        ] {
            write(&site.join(file), text);
        }
        probe.set(1, WISH);
        Bench { folder, plc, probe, site }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn start(&self, environment: &[(&str, &str)]) -> Plant {
        std::fs::create_dir_all(self.state()).unwrap();
        let begun = Instant::now();
        let plant = Plant::launch(&self.site, &self.state(), &[], environment);
        self.plc.wait_for(Y, WISH, begun, SOON);
        self.plc.wait_for(LATER, WISH, begun, SOON);
        plant
    }

    /// Starts it and makes the program fail.
    fn sick(&self) -> (Plant, Instant) {
        add_user(&self.state(), OPERATOR, "operator");
        let plant = self.start(&[]);
        let operator = Session::login(&plant.url, OPERATOR);
        let asked = Instant::now();
        let (status, reply) = operator.post("/api/claim", &json!({"tag": "sick", "value": 1, "confirm": true}));
        assert_eq!(status, 200, "{reply}");
        (plant, asked)
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

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[test]
fn a_bad_input_brings_its_outputs_to_their_declared_value_alone() {
    let bench = Bench::new();
    let _plant = bench.start(&[]);
    let cut = Instant::now();
    bench.probe.connected(false);
    bench.plc.wait_for(Y, BAD_INPUT, cut, SOON);
    assert_eq!(bench.plc.holds(HELD), WISH, "`hold` stays");
    let later = Instant::now();
    bench.plc.wait_for(Z, 52, later, SOON);
    bench.probe.connected(true);
    bench.plc.wait_for(Y, WISH, later, SOON);
}

#[test]
fn a_fault_brings_its_own_value_and_the_heart_stops() {
    let bench = Bench::new();
    let (plant, asked) = bench.sick();
    bench.plc.wait_for(Y, FAULT, asked, SOON);
    assert_eq!(bench.plc.holds(HELD), WISH, "`hold` stays");
    bench.wait_log("the heartbeat stops");
    let quiet = Instant::now();
    bench.plc.wait_for(Z, 55, quiet, SOON);
    let beats = bench.plc.written(90, quiet);
    assert!(beats.is_empty(), "a task that commands the device is faulted: {beats:?}");
    let life = Session::login(&plant.url, OPERATOR).get("/api/writes?tag=out/y");
    let last = &life["writes"][0];
    assert_eq!((&last["stage"], &last["value"]), (&json!("settled"), &json!(f64::from(FAULT))), "{life}");
    assert_eq!(last["origin"], "fallback on fault", "{life}");
    for time in ["requested_ms", "queued_ms", "sent_ms", "acknowledged_ms", "read_back_ms", "ended_ms"] {
        assert!(last[time].is_i64(), "{time}: {life}");
    }
}

#[test]
fn an_overrun_brings_its_own_value() {
    let bench = Bench::new();
    edit(&bench.site.join("site.yaml"), "main: 100ms", "main: { every: 100ms, overrun: fault }");
    let plant = bench.start(&[]);
    let frozen = Instant::now();
    let runtime = plant.runtime_pid().unwrap();
    // Shorter than what the supervisor takes for a hang.
    send(runtime, Signal::STOP);
    std::thread::sleep(Duration::from_millis(400));
    send(runtime, Signal::CONT);
    bench.plc.wait_for(Y, OVERRUN, frozen, SOON);
    assert_eq!(bench.plc.holds(HELD), WISH, "`hold` stays");
    bench.plc.wait_for(Z, 52, Instant::now(), SOON);
}

#[test]
fn a_device_that_comes_back_finds_the_value_declared_for_its_lost_link() {
    let bench = Bench::new();
    let _plant = bench.start(&[]);
    bench.plc.connected(false);
    bench.wait_log("link is down device=plc");
    // The task of 100 ms has weighed the loss; another goes on moving its own output, which waits too.
    std::thread::sleep(Duration::from_secs(1));
    let back = Instant::now();
    bench.plc.connected(true);
    bench.plc.wait_for(Y, WISH, back, SOON);
    let written: Vec<u16> = bench.plc.written(Y, back).into_iter().map(|(_, v)| v).collect();
    assert_eq!(written[0], LINK, "{written:?}");
    assert_eq!(bench.plc.first_written(back), Some((Y, LINK)), "nothing was written before it");
}

#[test]
fn an_orderly_stop_leaves_the_values_for_a_shutdown_and_is_no_crash() {
    let bench = Bench::new();
    let plant = bench.start(&[]);
    let stopped = Instant::now();
    assert!(plant.stop(), "{}", bench.log());
    for register in [Y, HELD, LEFT, Z] {
        assert_eq!(bench.plc.written(register, stopped).last().map(|(_, v)| *v), Some(SHUTDOWN), "{register}");
    }
    assert!(!bench.log().contains("the runtime died"), "{}", bench.log());
}

#[test]
fn a_stop_that_nobody_listens_to_is_as_orderly() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.state()).unwrap();
    let begun = Instant::now();
    let plant = Plant::launch_unheard(&bench.site, &bench.state());
    bench.plc.wait_for(Y, WISH, begun, SOON);
    let stopped = Instant::now();
    assert!(plant.stop(), "it ended with an error, as a panic does");
    for register in [Y, HELD, LEFT, Z] {
        assert_eq!(bench.plc.written(register, stopped).last().map(|(_, v)| *v), Some(SHUTDOWN), "{register}");
    }
}

#[test]
fn kill_9_of_the_runtime_is_answered_by_the_supervisor_and_journalled_by_the_next_one() {
    let bench = Bench::new();
    add_user(&bench.state(), OPERATOR, "operator");
    let plant = bench.start(&[]);
    let runtime = plant.runtime_pid().unwrap();
    // Far from the wish, so that the restart shows in the registers.
    let killed = Instant::now();
    send(runtime, Signal::KILL);
    let took = bench.plc.wait_for(Y, CRASH, killed, DEADLINE);
    bench.plc.wait_for(Z, SHUTDOWN, killed, DEADLINE);
    let resumed = bench.plc.wait_for(Y, WISH, killed, RESUMED);
    // The commands of one scan are sent one after the other.
    bench.plc.wait_for(LEFT, WISH, killed, RESUMED);
    println!("fail-safe {took:?}, resumed {resumed:?} after the kill");
    assert_eq!(bench.plc.written(LEFT, killed).first().map(|(_, v)| *v), Some(WISH), "`device` is not written");
    assert_ne!(plant.runtime_pid(), Some(runtime));
    let events = Session::login(&plant.url, OPERATOR).get("/api/events?limit=200");
    let find = |f: &dyn Fn(&serde_json::Value) -> bool| events.as_array().unwrap().iter().any(f);
    assert!(find(&|e| e["part"] == "runtime"
        && e["active"] == true
        && e["message"].as_str().unwrap().contains("SIGKILL")));
    assert!(find(&|e| e["part"] == "runtime" && e["active"] == false));
    assert!(
        find(&|e| e["tag"] == "out/y" && e["origin"] == "fallback on crash" && e["state"] == "settled"),
        "{events}"
    );
    // Stopped again by the same supervisor, in order.
    assert!(plant.stop());
}

#[test]
fn kill_9_in_each_phase_of_a_scan() {
    for phase in ["latch", "run", "arbitrate", "command", "record"] {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.state()).unwrap();
        let begun = Instant::now();
        let _plant =
            Plant::launch(&bench.site, &bench.state(), &[], &[("PENSTOCK_DIE_IN", &format!("main:{phase}:20"))]);
        bench.plc.wait_for(Y, WISH, begun, SOON);
        bench.wait_log("the runtime died");
        let crashed = bench.plc.wait_for(Y, CRASH, begun, DEADLINE);
        let resumed = bench.plc.wait_for(Y, WISH, begun + crashed, RESUMED);
        println!("{phase}: resumed {resumed:?} after the fail-safe value");
    }
}

#[test]
fn what_holds_first_goes_to_its_value_while_the_runtime_stays_away_and_the_limit_of_restarts_is_told() {
    let bench = Bench::new();
    let plant = bench.start(&[]);
    for crash in 0..3 {
        let killed = Instant::now();
        let start = Instant::now();
        let pid = loop {
            if let Some(pid) = plant.runtime_pid().filter(|pid| lives(*pid)) {
                break pid;
            }
            assert!(start.elapsed() < SOON, "{}", bench.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        send(pid, Signal::KILL);
        bench.plc.wait_for(Y, CRASH, killed, DEADLINE);
        if crash < 2 {
            bench.plc.wait_for(Y, WISH, killed, RESUMED);
        } else {
            bench.wait_log("THE RUNTIME DOES NOT RUN");
            bench.plc.wait_for(LATER, 36, killed, SOON);
            assert_eq!(plant.runtime_pid(), None);
            assert_eq!(bench.plc.holds(HELD), WISH, "`hold` stays");
        }
    }
    let supervisor = plant.supervisor_pid();
    assert!(!plant.stop(), "a plant that was given up is no success");
    assert!(!lives(supervisor));
}

#[test]
fn a_runtime_that_hangs_is_killed_and_its_outputs_are_brought_to_safety() {
    let bench = Bench::new();
    let plant = bench.start(&[]);
    let frozen = Instant::now();
    send(plant.runtime_pid().unwrap(), Signal::STOP);
    bench.plc.wait_for(Y, CRASH, frozen, SOON);
    bench.plc.wait_for(Y, WISH, frozen, SOON);
    assert!(bench.log().contains("the runtime hangs and is killed"), "{}", bench.log());
}

#[test]
fn a_runtime_whose_supervisor_dies_stops_in_order() {
    let bench = Bench::new();
    let plant = bench.start(&[]);
    let runtime = plant.runtime_pid().unwrap();
    let killed = Instant::now();
    send(plant.supervisor_pid(), Signal::KILL);
    bench.plc.wait_for(Y, SHUTDOWN, killed, SOON);
    let start = Instant::now();
    while lives(runtime) {
        assert!(start.elapsed() < SOON, "the runtime goes on without a supervisor");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(bench.log().contains("the supervisor is gone"), "{}", bench.log());
}
