//! What programs remember over a restart, in real processes.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, Live, Plant, Session};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

const SITE: &str = "site: counting\nname: Counting\ntime_zone: Asia/Shanghai\ntasks: { normal: 100ms }\n\
                    retain: { every: 1s, max_age: 1h }\n";
const TAGS: &str = "computed:
  - { tag: n, type: int }
  - { tag: hours, unit: h }
  - tag: out
    range: [0, 100]
    write: { rate: 5/s }
    fallback: { bad_input: hold, fault: 0, link: hold, shutdown: hold }
";
const PROGRAMS: &str =
    "- program: count\n  script: count.rhai\n  task: normal\n  out: { n: n, hours: hours, y: out }\n";
/// The loop has no measurement: its integrator climbs 1 in 10 s, and what it starts from shows in the output.
const SCRIPT: &str = r#"
fn declare(p) {
    p.title("计数", "Counting");
    p.output_int("n");
    p.output("hours", "h");
    p.output("y", "");
    p.block("pump", run_hours());
    p.block("pi", pid());
    p.state("count", 0);
}
fn scan(io) {
    io.count += 1;
    io.n = io.count;
    io.hours = io.pump.run(true).hours;
    io.y = io.pi.run(1.0, 0.0, #{ kp: 1, ti: 1, min: 0, max: 100 });
}
"#;

fn site(dir: &Path) -> PathBuf {
    let site = dir.join("site");
    std::fs::create_dir_all(site.join("scripts")).unwrap();
    for (name, text) in
        [("site.yaml", SITE), ("tags.yaml", TAGS), ("programs.yaml", PROGRAMS), ("scripts/count.rhai", SCRIPT)]
    {
        std::fs::write(site.join(name), text).unwrap();
    }
    site
}

async fn look(plant: &Plant) -> Live {
    let live = Session::login(&plant.url, ENGINEER).live().await;
    live.until("the program counts", LIMIT, |l| l.number("n").is_some() && l.number("out").is_some()).await;
    live
}

/// The count, the hours and the output that the file on the disk holds.
fn kept(state: &Path) -> (f64, f64, f64) {
    let text = std::fs::read_to_string(state.join("retained.json")).unwrap();
    let body: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let program = &body["tasks"][0]["programs"][0];
    let hours = &program["blocks"][0]["memory"][0];
    assert_eq!(hours[0], "hours");
    let out = body["tasks"][0]["outputs"].as_array().unwrap().iter().find(|o| o["tag"] == "out").unwrap();
    let number = |v: &serde_json::Value| v.as_f64().unwrap();
    (number(&program["states"][0][1]["int"]), number(&hours[1]["number"]), number(&out["granted"]["float"]))
}

fn log(state: &Path) -> String {
    std::fs::read_to_string(state.join("runtime.log")).unwrap()
}

async fn run_and_kill(site: &Path, state: &Path) {
    let mut plant = Plant::start_alone(site, state);
    let live = look(&plant).await;
    let file = state.join("retained.json");
    live.until("the state is on the disk", LIMIT, |_| file.exists() && kept(state).0 > 20.0).await;
    plant.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_hours_and_integrators_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (site, state) = (site(dir.path()), dir.path().join("state"));
    run_and_kill(&site, &state).await;
    let (count, hours, out) = kept(&state);
    assert!(hours > 0.0 && out > 1.0, "{hours} {out}");

    let plant = Plant::start_alone(&site, &state);
    let live = look(&plant).await;
    let now = |path: &str| live.number(path).unwrap();
    assert!(now("n") > count && now("hours") > hours && now("out") >= out, "{count} {hours} {out}");
    assert!(log(&state).contains("retained state taken up"), "{}", log(&state));
    // An orderly end is the newest state of all.
    let last = now("n");
    assert!(plant.stop());
    assert!(kept(&state).0 >= last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_not_used_and_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (site, state) = (site(dir.path()), dir.path().join("state"));
    run_and_kill(&site, &state).await;
    let (count, ..) = kept(&state);
    let file = state.join("retained.json");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let mut plant = Plant::start_alone(&site, &state);
    let live = look(&plant).await;
    assert!(live.number("n").unwrap() < count, "a fresh start");
    let log = log(&state);
    assert!(log.contains("checksum") && log.contains("start fresh") && log.contains("retained-unused-"), "{log}");
    let aside = |e: std::fs::DirEntry| e.file_name().to_string_lossy().starts_with("retained-unused-");
    assert_eq!(
        std::fs::read_dir(&state)
            .unwrap()
            .filter_map(Result::ok)
            .filter(|e| e.path().is_file())
            .map(aside)
            .filter(|a| *a)
            .count(),
        1
    );
    plant.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_old_state_totals_alone_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (site, state) = (site(dir.path()), dir.path().join("state"));
    run_and_kill(&site, &state).await;
    let (count, hours, _) = kept(&state);
    common::edit(&site.join("site.yaml"), "max_age: 1h", "max_age: 0s");

    let mut plant = Plant::start_alone(&site, &state);
    let live = look(&plant).await;
    assert!(live.number("n").unwrap() < count && live.number("hours").unwrap() > hours);
    let log = log(&state);
    assert!(log.contains("too old for controllers") && log.contains("kept aside"), "{log}");
    plant.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_file_of_another_name_loses_nothing_and_a_program_that_is_gone_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (site, state) = (site(dir.path()), dir.path().join("state"));
    run_and_kill(&site, &state).await;
    let (count, hours, _) = kept(&state);
    std::fs::rename(site.join("scripts/count.rhai"), site.join("scripts/counting.rhai")).unwrap();
    common::edit(&site.join("programs.yaml"), "count.rhai", "counting.rhai");
    let mut plant = Plant::start_alone(&site, &state);
    let live = look(&plant).await;
    assert!(live.number("n").unwrap() > count && live.number("hours").unwrap() > hours);
    assert!(!log(&state).contains("kept aside"), "{}", log(&state));
    let file = state.join("retained.json");
    live.until("the state is on the disk", LIMIT, |_| file.exists() && kept(&state).0 > count).await;
    plant.kill();

    common::edit(&site.join("programs.yaml"), "program: count", "program: recount");
    let mut plant = Plant::start_alone(&site, &state);
    let live = look(&plant).await;
    assert!(live.number("n").unwrap() < count, "another program");
    let log = log(&state);
    assert!(log.contains("a program that the site no longer has") && log.contains("retained-unused-"), "{log}");
    plant.kill();
}
