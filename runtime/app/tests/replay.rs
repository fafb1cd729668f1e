//! The record of scans in real processes: replay after a kill, another parameter, a shadow, and why a tag stands so.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, Live, PENSTOCK, Plant, Session, edit};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

const SITE: &str = "site: looking\nname: Looking\ntime_zone: Asia/Shanghai\ntasks: { normal: 100ms, slow: 1s }\n";
const TAGS: &str = "entries:
  - { tag: sp, range: [0, 100], initial: 30 }
computed:
  - { tag: n, type: int }
  - tag: out
    range: [0, 100]
    write: { rate: 5/s, limits: [0, 25] }
    fallback: { bad_input: hold, fault: 0, link: hold, shutdown: hold }
  - tag: broken
    range: [0, 100]
    write: {}
    fallback: { bad_input: hold, fault: 7, link: hold, shutdown: hold }
";
const PROGRAMS: &str = "- program: loop
  script: loop.rhai
  task: normal
  in: { sp: sp }
  out: { n: n, y: out }
- program: breaks
  script: breaks.rhai
  task: slow
  out: { y: broken }
";
const LOOP: &str = r#"
fn declare(p) {
    p.title("回路", "Loop");
    p.input("sp", "");
    p.output_int("n");
    p.output("y", "");
    p.param("kp", "", 0.5);
    p.block("pi", pid());
    p.block("soft", lag());
    p.state("count", 0);
}
fn scan(io) {
    io.count += 1;
    io.n = io.count;
    let x = io.soft.run((io.count % 50).to_float(), #{ t: 2 });
    io.y = io.pi.run(io.sp, x, #{ kp: io.kp, ti: 5, min: 0, max: 100 });
}
"#;
const BREAKS: &str = r#"
fn declare(p) { p.title("故障", "Breaks"); p.output("y", ""); p.state("n", 0); }
fn scan(io) { io.n += 1; if io.n > 2 { throw "the pump curve is missing"; } io.y = 50.0; }
"#;
/// Nobody listens there.
const DEVICE: &str = "device: far
driver: modbus-tcp
address: 127.0.0.1:9
groups: { normal: { every: 500ms } }
points:
  - { tag: far/level, at: HR3, as: float32, unit: m, range: [0, 10] }
";

struct Works {
    _dir: tempfile::TempDir,
    site: PathBuf,
    state: PathBuf,
}

impl Works {
    fn new() -> Works {
        let dir = tempfile::tempdir().unwrap();
        let (site, state) = (dir.path().join("works/site"), dir.path().join("state"));
        for folder in ["scripts", "devices"] {
            std::fs::create_dir_all(site.join(folder)).unwrap();
        }
        for (name, text) in [
            ("site.yaml", SITE),
            ("tags.yaml", TAGS),
            ("programs.yaml", PROGRAMS),
            ("scripts/loop.rhai", LOOP),
            ("scripts/breaks.rhai", BREAKS),
            ("devices/far.yaml", DEVICE),
        ] {
            std::fs::write(site.join(name), text).unwrap();
        }
        Works { _dir: dir, site, state }
    }

    /// A verb on this site: its end, and all it said.
    fn say(&self, verb: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(PENSTOCK);
        command.arg(verb).arg(&self.site).args(arguments).arg("--state").arg(&self.state).args(["--lang", "en"]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
        (output.status.success(), text)
    }

    async fn run(&self) -> (Plant, Session, Live) {
        let plant = Plant::start_alone(&self.site, &self.state);
        let session = Session::login(&plant.url, ENGINEER);
        let live = session.live().await;
        live.until("the program counts", LIMIT, |l| l.number("n").is_some_and(|n| n > 30.0)).await;
        (plant, session, live)
    }
}

fn claim(session: &Session, tag: &str, value: f64) {
    let body = serde_json::json!({ "tag": tag, "value": value, "confirm": true });
    let (status, body) = session.post("/api/claim", &body);
    assert!(status < 300, "{status} {body}");
}

/// The record reaches this count.
async fn recorded(works: &Works, live: &Live, until: f64) {
    live.until("more scans", LIMIT, |l| l.number("n").is_some_and(|n| n > until)).await;
    let there = |_: &Live| {
        let (_, text) = works.say("why", &["n"]);
        let number = text.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
        number.is_some_and(|n| n >= until)
    };
    live.until("the scans are recorded", LIMIT, there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_window_is_granted_again_to_the_bit() {
    let works = Works::new();
    let (mut plant, session, live) = works.run().await;
    claim(&session, "sp", 12.0);
    recorded(&works, &live, 60.0).await;
    claim(&session, "out", 3.0);
    recorded(&works, &live, 80.0).await;
    // A change of the running configuration lies within the window.
    edit(&works.site.join("programs.yaml"), "out: { n: n, y: out }", "out: { n: n, y: out }\n  set: { kp: 0.9 }");
    let (done, text) = works.say("apply", &["--yes"]);
    assert!(done, "{text}");
    recorded(&works, &live, 110.0).await;
    plant.kill();

    let (equal, text) = works.say("replay", &["--from", "-1h"]);
    assert!(equal && text.matches("equal to the bit").count() == 2, "{text}");
    assert!(text.contains("task normal") && text.contains("task slow") && text.contains(", configuration"), "{text}");
    // A torn tail costs the tail alone.
    let mut segments: Vec<PathBuf> = std::fs::read_dir(works.state.join("recorder"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rec"))
        .collect();
    segments.sort();
    let last = segments.last().unwrap();
    let bytes = std::fs::read(last).unwrap();
    std::fs::write(last, &bytes[..bytes.len() - 33]).unwrap();
    let (equal, text) = works.say("replay", &["--from", "-1h", "--task", "normal"]);
    assert!(equal && text.contains("equal to the bit"), "{text}");

    // Another run follows; the gap between them is told.
    let (mut plant, _, live) = works.run().await;
    // What the program remembers has come back: its count goes on.
    let now = live.number("n").unwrap();
    recorded(&works, &live, now + 30.0).await;
    plant.kill();
    let (equal, text) = works.say("replay", &["--from", "-1h", "--task", "normal"]);
    assert!(equal && text.contains("was stopped and started again"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_parameter_or_script_shows_its_difference() {
    let works = Works::new();
    let (mut plant, session, live) = works.run().await;
    claim(&session, "sp", 12.0);
    recorded(&works, &live, 60.0).await;
    plant.kill();
    let out = works.state.join("diff.csv");
    let (done, text) = works.say("replay", &["--from", "-3s", "--set", "kp=0.05", "--out", out.to_str().unwrap()]);
    assert!(done && text.contains("other than then: loop") && text.contains("out: differs"), "{text}");
    assert!(text.contains("largest") && text.contains("integral"), "{text}");
    let csv = std::fs::read_to_string(&out).unwrap();
    assert!(csv.lines().count() > 5 && csv.lines().nth(1).unwrap().contains(",normal,out,"), "{csv}");

    let other = works.state.join("other.rhai");
    std::fs::write(&other, LOOP.replace("io.y =", "io.y = 0.5 *")).unwrap();
    let (done, text) = works.say("replay", &["--from", "-3s", "--program", &format!("loop={}", other.display())]);
    assert!(done && text.contains("out: differs"), "{text}");
    std::fs::write(&other, LOOP.replace("io.sp,", "io.spp,")).unwrap();
    let (done, text) = works.say("replay", &["--from", "-3s", "--program", &format!("loop={}", other.display())]);
    assert!(!done && text.contains("other.rhai:16:") && text.contains("did you mean"), "{text}");
    for (arguments, wanted) in [
        (["--from", "2020-01-01 00:00", "--to", "2020-01-02 00:00"], "is not in the record"),
        (["--from", "-3s", "--set", "kpp=1"], "did you mean `kp`?"),
        (["--from", "-3s", "--program", "lop=x.rhai"], "did you mean `loop`?"),
        (["--from", "-3s", "--task", "fast"], "there are: normal, slow"),
        (["--from", "soon", "--task", "normal"], "is no moment"),
    ] {
        let (done, text) = works.say("replay", &arguments);
        assert!(!done && text.contains(wanted), "{arguments:?}: {text}");
    }
    edit(&works.site.join("site.yaml"), "site: looking", "site: foreign");
    let (done, text) = works.say("replay", &[]);
    assert!(!done && text.contains("of the site `looking`") && text.contains("is `foreign`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_reports_what_it_would_have_done_and_costs_the_plant_nothing() {
    let works = Works::new();
    let (mut plant, session, live) = works.run().await;
    claim(&session, "sp", 12.0);
    recorded(&works, &live, 40.0).await;
    let (done, text) = works.say("shadow", &["--set", "kp=0.05", "--for", "4s"]);
    assert!(done && text.contains("shadow of loop") && text.contains("out: differs"), "{text}");
    let (done, text) = works.say("shadow", &["--set", "kp=0.5", "--for", "2s"]);
    assert!(done && text.contains("equal to the live program to the bit"), "{text}");
    let other = works.state.join("endless.rhai");
    std::fs::write(&other, LOOP.replace("io.n = io.count;", "io.n = io.count; while true { }")).unwrap();
    let (done, text) = works.say("shadow", &["--program", &format!("loop={}", other.display()), "--for", "2s"]);
    assert!(done && text.contains("fault in the shadow"), "{text}");
    let before = live.number("n").unwrap();
    live.until("the live program goes on", LIMIT, |l| l.number("n").is_some_and(|n| n > before)).await;
    plant.kill();
    // Without a scan it says nothing of the program.
    for json in [&[][..], &["--json"]] {
        let arguments = [&["--set", "kp=0.5", "--for", "1s"], json].concat();
        let (done, text) = works.say("shadow", &arguments);
        assert!(!done && text.contains("no scan was seen") && !text.contains("equal to"), "{text}");
        assert!(!text.contains("\"equal\": true"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_limit_the_person_the_fault_and_the_lost_link() {
    let works = Works::new();
    let (mut plant, session, live) = works.run().await;
    claim(&session, "sp", 95.0);
    live.until("the output is at its limit", LIMIT, |l| l.number("out") == Some(25.0)).await;
    let now = live.number("n").unwrap();
    recorded(&works, &live, now + 5.0).await;
    let why = |tag: &str| works.say("why", &[tag]).1;
    let text = why("out");
    assert!(text.contains("it follows program loop") && text.contains("its limit 0..25 keeps it at 25.0"), "{text}");
    assert!(text.contains("sp = sp  95.0  good") && text.contains("programs.yaml:1"), "{text}");
    let text = why("sp");
    assert!(text.contains("it was entered by wang"), "{text}");
    claim(&session, "out", 4.0);
    recorded(&works, &live, now + 60.0).await;
    let text = why("out");
    assert!(text.contains("it is held by hand by wang at 4.0"), "{text}");
    let text = why("broken");
    assert!(text.contains("in its fallback") && text.contains("the pump curve is missing"), "{text}");
    let text = why("far/level");
    assert!(text.contains("from device far (127.0.0.1:9)") && text.contains("link: far down"), "{text}");
    assert!(text.contains("far.yaml:6"), "{text}");
    let (done, text) = works.say("why", &["outt"]);
    assert!(!done && text.contains("did you mean `out`?"), "{text}");
    let (_, text) = works.say("why", &["out", "--at", "-5min"]);
    assert!(text.contains("is not in the record"), "{text}");
    plant.kill();
    assert!(Path::new(&works.state.join("recorder")).is_dir());
    assert!(why("out").contains("held by hand by wang"), "also after the runtime died");
}

const OBJECTS: &str = "- object: pump
  title: { zh: 泵, en: Pump }
  outputs: [{ tag: out, off: 0 }]
  modes: { off: operator, manual: operator, auto: operator }
  interlocks:
    - { when: sp > 90, text: { zh: 设定值过高, en: Set-point too high }, bad: ignore }
";

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_interlock_of_an_object_and_the_end_of_a_hold() {
    let works = Works::new();
    std::fs::write(works.site.join("objects.yaml"), OBJECTS).unwrap();
    let (mut plant, session, live) = works.run().await;
    claim(&session, "sp", 95.0);
    let now = live.number("n").unwrap();
    recorded(&works, &live, now + 20.0).await;
    let (_, text) = works.say("why", &["out"]);
    let wanted = "an interlock holds it at 0.0: Set-point too high (sp > 90, it was 95.0)";
    assert!(text.contains(wanted), "{text}");
    claim(&session, "sp", 50.0);
    live.until("the interlock is gone", LIMIT, |l| l.number("out").is_some_and(|x| x > 0.0)).await;
    let body = serde_json::json!({ "tag": "out", "value": 4.0, "lease_s": 3_600, "confirm": true });
    let (status, body) = session.post("/api/claim", &body);
    assert!(status < 300, "{status} {body}");
    let now = live.number("n").unwrap();
    recorded(&works, &live, now + 20.0).await;
    let (_, text) = works.say("why", &["out"]);
    assert!(text.contains("it is held by hand by wang at 4.0"), "{text}");
    assert!(text.contains("lease ends in 60 min") && !text.contains("until released"), "{text}");
    plant.kill();
}
