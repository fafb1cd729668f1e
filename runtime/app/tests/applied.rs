//! What starts after a crash: the configuration that was last applied, whatever has become of the site's folder. The
//! runtime is killed with kill -9 and what it does again is read from the device.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;
#[path = "common/recorder.rs"]
mod recorder;

use common::{ENGINEER, PENSTOCK, Plant, Session, add_user, edit, send};
use recorder::Recorder;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Generous against a loaded machine.
const SOON: Duration = Duration::from_secs(30);
const Y: u16 = 1;
const SITE: &str = "
site: kept
name: Kept
time_zone: Asia/Shanghai
tasks: { main: 100ms }
supervisor: { deadline: 2s, max_restarts: 9 per 10min }
";
const PROGRAMS: &str = "- { program: main, script: main.rhai, task: main, out: { y: out/y }, set: { sp: 20 } }\n";
const MAIN: &str = r#"
fn declare(p) { p.title("主程序", "Main"); p.output("y", "%"); p.param("sp", "%", 10); }
fn scan(io) { io.y = io.sp; }
"#;

struct Works {
    folder: tempfile::TempDir,
    plc: Recorder,
}

impl Works {
    fn new() -> Works {
        let works = Works { folder: tempfile::tempdir().unwrap(), plc: Recorder::start() };
        let device = format!(
            "device: plc\ndriver: modbus-tcp\naddress: {}\ntimeout: 500ms\ngroups: {{ g: {{ every: 100ms }} }}\npoints:\n  - {{ tag: out/y, at: 40001, as: uint16, type: float, unit: \"%\", range: [0, 100], write: {{}},\n      fallback: {{ bad_input: hold, fault: hold, link: hold, shutdown: hold, crash: 11 }} }}\n",
            works.plc.address
        );
        for (name, text) in [
            ("site.yaml", SITE),
            ("programs.yaml", PROGRAMS),
            ("scripts/main.rhai", MAIN),
            ("devices/plc.yaml", &device),
        ] {
            let file = works.file(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        add_user(&works.state(), ENGINEER, "engineer");
        works
    }

    fn site(&self) -> PathBuf {
        self.folder.path().join("works/site")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site().join(name)
    }

    fn start(&self, arguments: &[&str]) -> Plant {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Plant::launch(&self.site(), &self.state(), &arguments, &[])
    }

    /// Whether a verb succeeded, and all it said.
    fn run(&self, verb: &str, more: &[&str]) -> (bool, String) {
        let mut command = Command::new(PENSTOCK);
        command.arg(verb).arg(self.site()).args(more).arg("--state").arg(self.state()).args(["--lang", "en"]);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    fn apply(&self) {
        let (ok, text) = self.run("apply", &["--yes"]);
        assert!(ok, "{text}");
    }

    /// kill -9, and what the device got since.
    fn kill(&self, plant: &Plant, declared: u16, again: u16) {
        let killed = Instant::now();
        send(plant.runtime_pid().unwrap(), Signal::KILL);
        let crashed = self.plc.wait_for(Y, declared, killed, SOON);
        self.plc.wait_for(Y, again, killed + crashed, SOON);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("runtime.log")).unwrap()
    }

    fn history(&self) -> Vec<serde_json::Value> {
        let (ok, text) = self.run("history", &["--json"]);
        assert!(ok, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn what_was_applied_starts_again_after_a_crash_and_a_half_edited_folder_does_not() {
    let works = Works::new();
    let begun = Instant::now();
    let plant = works.start(&[]);
    works.plc.wait_for(Y, 20, begun, SOON);

    // Applied: another parameter, and another value for a crash, which is the supervisor's to know.
    edit(&works.file("programs.yaml"), "sp: 20", "sp: 60");
    edit(&works.file("devices/plc.yaml"), "crash: 11", "crash: 12");
    let applied = Instant::now();
    works.apply();
    works.plc.wait_for(Y, 60, applied, SOON);

    // In the middle of an edit: a file that does not even parse.
    edit(&works.file("programs.yaml"), "sp: 60", "sp: [99, ");
    works.kill(&plant, 12, 60);
    let log = works.log();
    assert!(
        log.contains("configuration 2, the one last applied, is what runs; the site's folder has mistakes"),
        "{log}"
    );
    assert!(log.contains("the mistakes of the folder"), "{log}");
    let entry = works.history().pop().unwrap();
    assert_eq!((entry["kind"].as_str(), entry["of"].as_u64()), (Some("restart"), Some(2)), "{entry}");
    let (_, text) = works.run("history", &[]);
    assert!(text.contains("restart after a crash") && text.contains("penstock check lists them"), "{text}");

    // Whole again, and not what was applied: still not what starts by itself.
    edit(&works.file("programs.yaml"), "sp: [99, ", "sp: 33");
    works.kill(&plant, 12, 60);
    assert!(works.log().contains("the site's folder differs in 1 and is not used"), "{}", works.log());
    assert!(works.log().contains("parameter sp 60 % → 33 %"), "{}", works.log());
    assert_eq!(works.history().len(), 3, "a runtime that keeps dying does not push out what people did");
    let shown = Session::login(&plant.url, ENGINEER).get("/api/events?limit=200");
    let told =
        |e: &serde_json::Value| e["kind"] == "config" && e["comment"].as_str().is_some_and(|c| c.contains("not used"));
    assert!(shown.as_array().unwrap().iter().any(told), "{shown}");

    // A person puts it in force, and then it is what starts again.
    let applied = Instant::now();
    works.apply();
    works.plc.wait_for(Y, 33, applied, SOON);
    works.kill(&plant, 12, 33);
    assert_eq!(works.history().len(), 4);
    assert!(plant.stop());
}

#[test]
fn a_start_that_nobody_watches_may_run_what_was_applied_and_a_person_runs_the_folder() {
    let works = Works::new();
    let begun = Instant::now();
    let plant = works.start(&[]);
    works.plc.wait_for(Y, 20, begun, SOON);
    edit(&works.file("programs.yaml"), "sp: 20", "sp: 60");
    works.apply();
    works.plc.wait_for(Y, 60, begun, SOON);
    assert!(plant.stop());

    edit(&works.file("programs.yaml"), "sp: 60", "sp: [99, ");
    let run = Command::new(PENSTOCK).arg("run").arg(works.site()).arg("--state").arg(works.state()).output().unwrap();
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(!run.status.success() && text.contains("programs.yaml"), "a person is told the mistakes: {text}");
    let begun = Instant::now();
    let plant = works.start(&["--applied"]);
    works.plc.wait_for(Y, 60, begun, SOON);
    assert!(works.log().contains("configuration 2, the one last applied, is what runs"), "{}", works.log());
    assert!(plant.stop());

    edit(&works.file("programs.yaml"), "sp: [99, ", "sp: 45");
    let begun = Instant::now();
    let plant = works.start(&[]);
    works.plc.wait_for(Y, 45, begun, SOON);
    let log = works.log();
    assert!(log.contains("the folder is what runs now, because a person started it"), "{log}");
    assert!(plant.stop());
}
