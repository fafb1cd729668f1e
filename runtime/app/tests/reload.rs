//! A hundred changes of scripts and parameters while the plant runs, in the real process and under load: outputs move at
//! their rate, no scan is missed for a change, memories go over, and the history tells every one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;
#[path = "common/noise.rs"]
mod noise;
#[path = "common/recorder.rs"]
mod recorder;

use common::{ENGINEER, PENSTOCK, Plant, Session, add_user};
use noise::{Noise, scans_are_fifo};
use penstock::config::{self, Overrides};
use recorder::Recorder;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Generous against a loaded machine.
const SOON: Duration = Duration::from_secs(30);
const SWAPS: usize = 100;
/// What a write may be late on its way to the device on a loaded machine: a change of value belongs to the time of its
/// scan. A jump past the rate would be ten times what this allows for.
const SLACK: Duration = Duration::from_secs(1);
/// Instances of the program that makes load, three tags each.
const LOADS: usize = 100;
/// Registers of the outputs, in hundredths, and their rates per second.
const OUTPUTS: [(u16, &str, f64); 3] = [(1, "fast", 5.0), (2, "also", 4.0), (3, "normal", 3.0)];

const SITE: &str = "
site: reload
name: Reload
time_zone: Asia/Shanghai
tasks: { fast: 10ms, also: 10ms, normal: 100ms, slow: 500ms }
";
const COUNT: &str = r#"
fn declare(p) { p.title("计数", "Count"); p.output_int("c"); p.state("k", 0); }
fn scan(io) { io.k += 1; io.c = io.k; }
"#;
const LOAD: &str = r#"
fn declare(p) {
    p.title("负载", "Load"); p.input("x", "%"); p.output("a", ""); p.output("b", ""); p.output("c", "");
    p.param("gain", "", 1.0); p.state("k", 0.0);
}
fn scan(io) { io.k += 0.37 * io.gain; io.a = io.k + io.x; io.b = io.k * 3.1; io.c = io.k * io.k; }
"#;

/// One of the two versions: the other way for every output, another gain, and other lines in every script.
fn version(folder: &Path, high: bool, plc: &Recorder) -> PathBuf {
    let site = folder.join(if high { "high/site" } else { "low/site" });
    let (target, gain) = if high { ("80.0 - io.bias", 2.0) } else { ("20.0 + io.bias", 1.0) };
    let drive = format!(
        "fn declare(p) {{ p.title(\"驱动\", \"Drive\"); p.output(\"y\", \"%\"); p.param(\"bias\", \"%\", 1.0); }}\nfn scan(io) {{ io.y = {target}; }}\n"
    );
    let mut tags = String::from("computed:\n");
    let mut programs = String::new();
    let mut points = String::from(
        "  - { tag: in/level, at: 30100, as: uint16, type: float, unit: \"%\", range: [0, 100], ttl: 30s }\n",
    );
    for (register, task, rate) in OUTPUTS {
        points += &format!(
            "  - {{ tag: out/{task}, at: {}, as: uint16, scale: 0.01, type: float, unit: \"%\", range: [0, 100], write: {{ rate: {rate}/s }},\n      fallback: {{ bad_input: hold, fault: hold, link: hold, shutdown: hold }} }}\n",
            40_000 + u32::from(register)
        );
        tags += &format!("  - {{ tag: c/{task}, type: int }}\n");
        programs += &format!(
            "- {{ program: drive/{task}, script: drive.rhai, task: {task}, out: {{ y: out/{task} }}, set: {{ bias: {gain} }} }}\n- {{ program: count/{task}, script: count.rhai, task: {task}, out: {{ c: c/{task} }} }}\n"
        );
    }
    for i in 0..LOADS {
        let task = ["normal", "normal", "slow", "fast"][if i % 20 == 0 { 3 } else { i % 3 }];
        tags += &format!("  - {{ tag: l/{i}/a }}\n  - {{ tag: l/{i}/b }}\n  - {{ tag: l/{i}/c }}\n");
        programs += &format!(
            "- {{ program: load/{i}, script: load.rhai, task: {task}, in: {{ x: in/level }}, out: {{ a: l/{i}/a, b: l/{i}/b, c: l/{i}/c }}, set: {{ gain: {gain} }} }}\n"
        );
    }
    let device = format!(
        "device: plc\ndriver: modbus-tcp\naddress: {}\ntimeout: 500ms\ngroups: {{ g: {{ every: 100ms }} }}\npoints:\n{points}",
        plc.address
    );
    let mark = format!("// the version that goes {}\n", if high { "up" } else { "down" });
    for (name, text) in [
        ("site.yaml", SITE.to_owned()),
        ("tags.yaml", tags),
        ("programs.yaml", programs),
        ("scripts/drive.rhai", drive),
        ("scripts/count.rhai", mark.clone() + COUNT),
        ("scripts/load.rhai", mark + LOAD),
        ("devices/plc.yaml", device),
    ] {
        let file = site.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    site
}

/// Asks as `penstock apply` does, with its default probation.
fn apply(state: &Path, site: &Path, (hash, base): (&str, &str), comment: &str) {
    // One on top of the other, without waiting for the probation of the one before.
    let question = json!({"ask": "apply", "site": site, "hash": hash, "base": base, "by": "Li", "comment": comment,
        "probation_s": 600, "keep": true});
    let mut stream = UnixStream::connect(state.join("control.sock")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    writeln!(stream, "{question}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let answer: Json = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["ok"], true, "{comment}: {answer}");
}

/// Scans and missed deadlines of a task.
fn task(system: &Json, name: &str) -> (u64, u64) {
    let task = system["tasks"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap();
    assert!(task["fault"].is_null(), "{task}");
    (task["scans"].as_u64().unwrap(), task["missed"].as_u64().unwrap())
}

/// Every step that the device saw lies within what the rate allows for the time.
fn judge_steps(plc: &Recorder, register: u16, rate: f64, since: Instant) {
    let written = plc.written(register, since);
    assert!(written.len() > 100, "{} writes", written.len());
    let mut steepest = 0.0_f64;
    let mut turns = 0;
    for (i, (at, value)) in written.iter().enumerate() {
        for (then, later) in written.iter().skip(i + 1).take(200) {
            let step = (f64::from(*later) - f64::from(*value)).abs() * 0.01;
            let allowed = rate * (then.duration_since(*at) + SLACK).as_secs_f64() + 0.02;
            assert!(step <= allowed, "register {register}: {step} within {:?}", then.duration_since(*at));
            steepest = steepest.max(step / allowed);
        }
    }
    for three in written.windows(3) {
        let [a, b, c] = [three[0].1, three[1].1, three[2].1];
        turns += usize::from((b > a) != (c > b) && a != b && b != c);
    }
    println!(
        "register {register}: {} writes, {turns} turns, {:.0} % of what is allowed",
        written.len(),
        steepest * 100.0
    );
    assert!(turns > SWAPS / 4, "the versions drive the output apart: {turns} turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_changes_under_load_cost_no_step_no_scan_and_no_memory() {
    let (folder, plc) = (tempfile::tempdir().unwrap(), Recorder::start());
    let state = folder.path().join("state");
    let versions = [false, true].map(|high| {
        let site = version(folder.path(), high, &plc);
        let loaded = config::load(&site, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
        (site, loaded.site.config_hash)
    });
    plc.set(100, 40);
    add_user(&state, ENGINEER, "engineer");
    let begun = Instant::now();
    let plant = Plant::launch(&versions[0].0, &state, &[], &[]);
    let session = Session::login(&plant.url, ENGINEER);
    let live = session.live().await;
    // Both ways have room: the outputs stand between the targets.
    live.until("it runs", SOON, |l| l.number("c/normal").is_some_and(|c| c > 5.0)).await;
    plc.wait_for(1, 2_100, begun, SOON);

    // A screen that asks for everything, all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let (greedy, asked) = (Session::login(&plant.url, ENGINEER), stop.clone());
    let greedy = std::thread::spawn(move || {
        while !asked.load(Ordering::SeqCst) {
            greedy.get("/api/system");
            greedy.get("/api/site");
        }
    });
    let noise = Noise::listen(Duration::from_millis(10));
    let before = session.get("/api/system");
    let from = Instant::now();
    for swap in 0..SWAPS {
        let (site, hash) = &versions[(swap + 1) % 2];
        let at = Instant::now();
        apply(&state, site, (hash, &versions[swap % 2].1), &format!("swap {swap}"));
        // Time for the outputs to move: several scans of every task.
        std::thread::sleep(Duration::from_millis(150).saturating_sub(at.elapsed()));
    }
    let after = session.get("/api/system");
    let took = from.elapsed();
    let machine = noise.missed();
    stop.store(true, Ordering::SeqCst);
    greedy.join().unwrap();
    println!("{SWAPS} swaps in {took:?}; a bare thread missed {machine}");

    for (register, _, rate) in OUTPUTS {
        judge_steps(&plc, register, rate, begun);
    }
    let fifo = scans_are_fifo(plant.runtime_pid().unwrap());
    for name in ["fast", "also", "normal", "slow"] {
        let ((scans_before, missed_before), (scans, missed)) = (task(&before, name), task(&after, name));
        println!("{name}: {} scans, {} missed", scans - scans_before, missed - missed_before);
        assert!(scans > scans_before);
        if fifo {
            let missed = missed - missed_before;
            assert!(missed <= 2 * machine, "{name} missed {missed}, a bare thread {machine}");
        }
    }
    if !fifo {
        println!("SCHED_FIFO is not permitted here: missed deadlines are printed and not judged");
    }
    // A memory that was lost once in a hundred changes would be short by half of its count at least.
    for name in ["fast", "also", "normal"] {
        let (scans, _) = task(&session.get("/api/system"), name);
        let path = format!("c/{name}");
        live.until("it counted on", SOON, |l| l.number(&path).is_some_and(|c| c + 5.0 >= scans as f64)).await;
    }
    let mut command = Command::new(PENSTOCK);
    let output = command.arg("history").arg(&versions[0].0).arg("--state").arg(&state).arg("--json").output().unwrap();
    let history: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    let comments: Vec<&str> =
        history.iter().filter(|e| e["kind"] == "apply").map(|e| e["comment"].as_str().unwrap()).collect();
    let wanted: Vec<String> = (0..SWAPS).map(|swap| format!("swap {swap}")).collect();
    assert_eq!(comments, wanted);
    // All are told; the newest can be gone back to, and an old one says why not.
    let kept = std::fs::read_dir(state.join("changes")).unwrap().flatten().filter(|e| e.path().join("files").is_dir());
    assert_eq!(kept.count(), 50);
    let mut command = Command::new(PENSTOCK);
    command.arg("rollback").arg(&versions[0].0).args(["3", "--yes", "--lang", "en", "--state"]).arg(&state);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("the files of configuration 3 are not kept any more"), "{text}");
    assert!(live.value("sys/config/went_back").is_some_and(|v| v.value == false));
    assert!(plant.stop());
}
