//! `penstock tune --live` on a running site: an output in the hand of a test, and every way in which that ends.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, PENSTOCK, Plant, Session, edit};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

const SITE: &str = "site: tuned\nname: Tuned\ntime_zone: Asia/Shanghai\ntasks: { normal: 100ms }\n";
const TAGS: &str = "computed:
  - { tag: level, unit: mm, range: [0, 500] }
  - tag: out
    unit: \"%\"
    range: [0, 100]
    write: { limits: [0, 100] }
    fallback: { bad_input: hold, fault: 0, link: hold, shutdown: hold }
";
const PROGRAMS: &str = "- program: loop
  script: hold.rhai
  task: normal
  in: { pv: { tag: level, delay: 1 scan, or: 0 } }
  out: { y: out }
- program: tank
  script: tank.rhai
  task: normal
  in: { u: out }
  out: { y: level }
";
const LOOP: &str = r#"
fn declare(p) { p.title("保持", "Hold"); p.input("pv", "mm"); p.output("y", "%"); p.param("kp", "%", 0.3); }
fn scan(io) { let pv = io.pv; io.y = 50.0; }
"#;
/// A process of first order: 2 mm per % with a lag of 2 s.
const TANK: &str = r#"
fn declare(p) { p.title("池", "Tank"); p.input("u", "%"); p.output("y", "mm"); p.state("level", 100.0); }
fn scan(io) { io.level += (2.0 * io.u - io.level) * io.dt / 2.0; io.y = io.level; }
"#;

struct Works {
    _dir: tempfile::TempDir,
    site: PathBuf,
    state: PathBuf,
    plant: Plant,
}

impl Works {
    fn start() -> Works {
        let dir = tempfile::tempdir().unwrap();
        let (site, state) = (dir.path().join("works/site"), dir.path().join("state"));
        std::fs::create_dir_all(site.join("scripts")).unwrap();
        let files = [
            ("site.yaml", SITE),
            ("tags.yaml", TAGS),
            ("programs.yaml", PROGRAMS),
            ("scripts/hold.rhai", LOOP),
            ("scripts/tank.rhai", TANK),
        ];
        for (name, text) in files {
            std::fs::write(site.join(name), text).unwrap();
        }
        let plant = Plant::start_alone(&site, &state);
        Works { _dir: dir, site, state, plant }
    }

    fn tune(&self, options: &[&str]) -> Command {
        self.tune_for("6s", options)
    }

    fn tune_for(&self, hold: &str, options: &[&str]) -> Command {
        let mut command = Command::new(PENSTOCK);
        command.arg("tune").arg(&self.site).args(["--live", "--loop", "loop", "--yes", "--by", "zhang"]);
        command.arg("--state").arg(&self.state).args(["--size", "10", "--hold", hold]).args(options);
        command
    }

    fn begin(&self, hold: &str) -> Child {
        self.tune_for(hold, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn session(&self) -> Session {
        Session::login(&self.plant.url, ENGINEER)
    }

    /// The actions on the output, oldest first: what, value, station.
    fn actions(&self) -> Vec<(String, Option<f64>, String)> {
        let rows = self.session().get("/api/actions");
        let rows = rows.as_array().unwrap_or_else(|| panic!("{rows}")).clone();
        let row = |row: &serde_json::Value| {
            let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
            (text(&row["kind"]), row["new"].as_f64(), text(&row["station"]))
        };
        let mut found: Vec<_> =
            rows.iter().map(row).filter(|(kind, ..)| kind == "manual" || kind == "release").collect();
        found.reverse();
        found
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_test_on_the_running_plant_finds_its_process_and_gives_the_output_back() {
    let works = Works::start();
    let live = works.session().live().await;
    live.until("the loop holds its tank", LIMIT, |l| l.number("level").is_some_and(|y| (y - 100.0).abs() < 0.5)).await;
    let out = works.state.join("found.json");
    let output = works.tune(&["--out", out.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("SIMC") && said(&output).contains("now: kp 0.3"), "{}", said(&output));
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let number = |path: &str| found.pointer(path).unwrap().as_f64().unwrap();
    assert!((number("/found/gain") - 2.0).abs() < 0.1, "{found:#}");
    assert!((number("/found/lag_s") - 2.0).abs() < 0.6 && number("/found/dead_s") < 1.0, "{found:#}");
    live.until("the program has its output", LIMIT, |l| l.number("out") == Some(50.0)).await;
    // One row for each level and one for the end; that a level is held on is no action.
    let actions = works.actions();
    let values: Vec<_> = actions.iter().map(|(kind, value, _)| (kind.as_str(), *value)).collect();
    let manual = |value: f64| ("manual", Some(value));
    assert_eq!(values, [manual(50.0), manual(60.0), manual(40.0), manual(50.0), ("release", None)]);
    assert!(actions.iter().all(|(_, _, station)| station.starts_with("tune, control socket")), "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_output_over_keeps_it_and_the_test_ends() {
    let works = Works::start();
    let live = works.session().live().await;
    let test = works.begin("6s");
    live.until("the test has moved the output", LIMIT, |l| l.number("out") == Some(60.0)).await;
    let body = json!({"tag": "out", "value": 33, "lease_s": 600, "confirm": true});
    let (status, reply) = works.session().post("/api/claim", &body);
    assert_eq!(status, 200, "{reply}");
    let output = test.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("the test ended: `out` is held by hand by ") && text.contains("could not be given back"),
        "{text}"
    );
    live.until("the person's value stands", LIMIT, |l| l.number("out") == Some(33.0)).await;
    // While somebody holds it no test begins.
    let output = works.tune(&[]).output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("did not begin: `out` is held by hand by "), "{text}");
    assert_eq!(live.number("out"), Some(33.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_test_lets_go_and_a_stopped_one_gives_back() {
    let works = Works::start();
    let live = works.session().live().await;
    let mut test = works.begin("60s");
    live.until("the test holds the output", LIMIT, |l| l.output("out").is_some_and(|o| o["manual"] == true)).await;
    let begun = Instant::now();
    test.kill().unwrap();
    test.wait().unwrap();
    live.until("the hold has ended by itself", LIMIT, |l| l.output("out").is_some_and(|o| o["manual"] == false)).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    let test = works.begin("60s");
    live.until("the test holds the output", LIMIT, |l| l.output("out").is_some_and(|o| o["manual"] == true)).await;
    let begun = Instant::now();
    common::send(i32::try_from(test.id()).unwrap(), rustix::process::Signal::INT);
    let output = test.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("stopped by hand; `out` is back with its program"), "{}", said(&output));
    live.until("the output is back", LIMIT, |l| l.output("out").is_some_and(|o| o["manual"] == false)).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_ends_the_test_and_another_folder_or_no_consent_begins_none() {
    let works = Works::start();
    let live = works.session().live().await;
    live.until("the loop holds its tank", LIMIT, |l| l.number("level").is_some_and(|y| (y - 100.0).abs() < 0.5)).await;
    let output = works.tune(&["--high", "110"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("outside 0 to 110; `out` is back with its program"), "{}", said(&output));
    live.until("the output is back", LIMIT, |l| l.number("out") == Some(50.0)).await;
    let before = works.actions().len();

    let mut asked = Command::new(PENSTOCK);
    asked.arg("tune").arg(&works.site).args(["--live", "--loop", "loop", "--state"]).arg(&works.state);
    let output = asked.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("add --yes"), "{}", said(&output));

    let output = works.tune(&["--cycles", "1"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("--cycles 2 to 100"), "{}", said(&output));

    edit(&works.site.join("programs.yaml"), "program: loop", "program: loop\n  set: { kp: 0.5 }");
    let output = works.tune(&[]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("is not what runs"), "{}", said(&output));
    assert_eq!(works.actions().len(), before, "nothing was touched");
}
