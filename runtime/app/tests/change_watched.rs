//! The probation of a change and those who change at the same time, in real processes: nothing slow, held or untold keeps a
//! plant on what broke it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, Live, PENSTOCK, Plant, Session, edit};
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Generous against a loaded machine, and half the period of the slow task.
const LIMIT: Duration = Duration::from_secs(60);

const SITE: &str =
    "site: watched\nname: Watched\ntime_zone: Asia/Shanghai\ntasks: { fast: 50ms, normal: 100ms, slow: 2min }\n";
const TAGS: &str = "computed:\n  - { tag: n, type: int }\n  - { tag: m, type: int }\n  - tag: out\n    range: [0, 100]\n    write: { rate: 5/s, limits: [0, 90] }\n    fallback: { bad_input: hold, fault: 30, link: hold, shutdown: hold }\n";
const PROGRAMS: &str = "- { program: quick, script: count.rhai, task: fast, out: { n: n, y: out }, set: { sp: 20 } }\n- { program: late, script: late.rhai, task: slow, out: { n: m } }\n";
const COUNT: &str = r#"
fn declare(p) { p.title("计数", "Count"); p.output_int("n"); p.output("y", ""); p.param("sp", "%", 10); p.state("count", 0); }
fn scan(io) { io.count += 1; io.n = io.count; io.y = io.sp; }
"#;
const LATE: &str = r#"
fn declare(p) { p.title("慢", "Late"); p.output_int("n"); p.state("count", 0); }
fn scan(io) { io.count += 1; io.n = io.count; }
"#;

struct Works {
    _dir: tempfile::TempDir,
    site: PathBuf,
    state: PathBuf,
}

impl Works {
    fn new(site_yaml: &str) -> Works {
        let dir = tempfile::tempdir().unwrap();
        let (site, state) = (dir.path().join("works/site"), dir.path().join("state"));
        std::fs::create_dir_all(site.join("scripts")).unwrap();
        for (name, text) in [
            ("site.yaml", site_yaml),
            ("tags.yaml", TAGS),
            ("programs.yaml", PROGRAMS),
            ("scripts/count.rhai", COUNT),
            ("scripts/late.rhai", LATE),
        ] {
            std::fs::write(site.join(name), text).unwrap();
        }
        Works { _dir: dir, site, state }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.join(name)
    }

    fn verb(&self, verb: &[&str]) -> (bool, String) {
        let mut command = Command::new(PENSTOCK);
        let output = command.args(verb).arg("--state").arg(&self.state).args(["--lang", "en"]).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    fn run(&self, verb: &str, more: &[&str]) -> (bool, String) {
        self.verb(&[&[verb, self.site.to_str().unwrap()], more].concat())
    }

    fn history(&self) -> Vec<Json> {
        let (ok, text) = self.run("history", &["--json"]);
        assert!(ok, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Sends a question and does not wait for the answer.
    fn send(&self, question: &Json) -> UnixStream {
        let mut stream = UnixStream::connect(self.state.join("control.sock")).unwrap();
        writeln!(stream, "{question}").unwrap();
        stream
    }

    fn ask(&self, question: &Json) -> Json {
        let mut line = String::new();
        BufReader::new(self.send(question)).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn apply(&self, base: &str, comment: &str) -> Json {
        let site = penstock::config::load(&self.site, &penstock::config::Overrides::default())
            .unwrap_or_else(|e| panic!("{e}"))
            .site;
        json!({"ask": "apply", "site": self.site, "hash": site.config_hash, "base": base, "comment": comment, "probation_s": 600})
    }
}

async fn look(plant: &Plant) -> Live {
    let live = Session::login(&plant.url, ENGINEER).live().await;
    live.until("the program counts", LIMIT, |l| l.number("n").is_some_and(|n| n > 3.0)).await;
    live
}

async fn went_back(live: &Live) {
    live.until("it went back", LIMIT, |l| l.value("sys/config/went_back").is_some_and(|v| v.value == true)).await;
    live.until("the task runs", LIMIT, |l| l.value("sys/task/fast/faulted").is_some_and(|v| v.value == false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_gone_back_from_though_a_slow_task_has_not_taken_the_change_and_somebody_holds_the_socket() {
    let works = Works::new(SITE);
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    edit(&works.file("scripts/count.rhai"), "io.y = io.sp;", "io.y = io.sp; if io.count % 20 == 19 { io.y = 1 / 0; }");
    edit(&works.file("scripts/late.rhai"), "io.count += 1;", "io.count += 1000;");
    let base = works.ask(&json!({"ask": "status"}))["hash"].as_str().unwrap().to_owned();
    let asked = works.send(&works.apply(&base, "a slip"));
    // Whoever drips bytes meanwhile holds up nobody.
    let dripping = std::thread::spawn({
        let socket = works.state.join("control.sock");
        move || {
            let (mut stream, begun) = (UnixStream::connect(socket).unwrap(), Instant::now());
            while begun.elapsed() < Duration::from_secs(20) && stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(500));
            }
            begun.elapsed()
        }
    });
    went_back(&live).await;
    let mut line = String::new();
    BufReader::new(asked).read_line(&mut line).unwrap();
    assert!(line.contains("went back by itself"), "{line}");
    let counted = live.number("n").unwrap();
    live.until("it counts on", LIMIT, |l| l.number("n").is_some_and(|n| n > counted + 40.0)).await;
    let history = works.history();
    let kinds: Vec<_> = history.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "apply", "automatic"]);
    assert!(works.run("diff", &[]).1.contains("differences from configuration 3"));
    assert!(dripping.join().unwrap() < Duration::from_secs(19), "it was given up");
    assert!(plant.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_the_disk_does_not_take_is_written_when_it_does() {
    let works = Works::new(&SITE.replace("2min", "200ms"));
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    edit(&works.file("scripts/count.rhai"), "io.y = io.sp;", "io.y = io.sp; if io.count % 100 == 99 { io.y = 1 / 0; }");
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(ok, "{text}");
    // As a full disk: nothing can be put where the history is.
    let (there, away) = (works.state.join("changes"), works.state.join("away"));
    std::fs::rename(&there, &away).unwrap();
    std::fs::write(&there, "").unwrap();
    went_back(&live).await;
    std::fs::remove_file(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    live.until("the history has it", LIMIT, |l| l.number("sys/config/number").is_some_and(|n| n == 3.0)).await;
    let history = works.history();
    let kinds: Vec<_> = history.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "apply", "automatic"]);
    assert!(works.run("diff", &[]).1.contains("differences from configuration 3"));
    assert!(plant.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_probation_and_one_that_nobody_was_shown_are_not_changed_over() {
    let works = Works::new(&SITE.replace("2min", "200ms"));
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    let base = works.ask(&json!({"ask": "status"}))["hash"].as_str().unwrap().to_owned();
    edit(&works.file("tags.yaml"), "limits: [0, 90]", "limits: [20, 80]");
    let (ok, text) = works.run("apply", &["--yes", "--by", "Bao"]);
    assert!(ok && text.contains("on probation"), "{text}");

    // Another engineer was shown the differences from before that.
    edit(&works.file("tags.yaml"), "limits: [20, 80]", "limits: [0, 90]");
    edit(&works.file("programs.yaml"), "sp: 20", "sp: 48");
    let answer = works.ask(&works.apply(&base, "lost update"));
    let text = answer["words"]["en"].as_str().unwrap();
    assert!(answer["ok"] == false && text.contains("limits 0..90 → 20..80") && text.contains("Bao"), "{answer}");

    // A change on probation is not changed over unawares.
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(!ok && text.contains("configuration 2 is on probation") && text.contains("--keep"), "{text}");
    let (ok, text) = works.run("rollback", &["--yes"]);
    assert!(ok && text.contains("configuration 3 runs") && !text.contains("on probation"), "{text}");
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(ok && text.contains("configuration 4 runs"), "{text}");
    edit(&works.file("programs.yaml"), "sp: 48", "sp: 49");
    let (ok, text) = works.run("apply", &["--yes", "--keep"]);
    assert!(ok && text.contains("configuration 5 runs"), "{text}");
    live.until("it arrives", LIMIT, |l| l.number("out") == Some(49.0)).await;
    assert_eq!(works.history().len(), 5, "what was refused before it was asked of the plant is no entry");
    assert!(plant.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_never_ran_and_a_damaged_copy_stops_nobody() {
    let works = Works::new(SITE);
    let plant = Plant::start_alone(&works.site, &works.state);
    let _live = look(&plant).await;
    edit(&works.file("programs.yaml"), "sp: 20", "sp: 30");
    let base = works.ask(&json!({"ask": "status"}))["hash"].as_str().unwrap().to_owned();
    let mut question = works.apply(&base, "first");
    question["probation_s"] = json!(0);
    let first = works.ask(&question);
    assert!(first["ok"] == true && first["words"]["en"].as_str().unwrap().contains("slow will take it"), "{first}");
    edit(&works.file("programs.yaml"), "sp: 30", "sp: 40");
    let second = works.ask(&works.apply(first["hash"].as_str().unwrap(), "second"));
    assert!(second["ok"] == false && second["number"] == 2, "{second}");
    let history = works.history();
    assert_eq!((history.len(), &history[2]["outcome"], &history[1]["outcome"]), (3, &json!("refused"), &json!("ran")));
    assert!(works.run("history", &[]).1.contains("refused, never ran: nothing was changed: the last change"));
    let (_, text) = works.run("diff", &[]);
    assert!(text.contains("differences from configuration 2") && text.contains("30 % → 40 %"), "{text}");

    // The copy of what runs is damaged: the one before it is compared with, and that is said.
    let kept = works.state.join("changes/000002/files");
    let damaged = walk(&kept).into_iter().find(|f| f.ends_with("programs.yaml")).unwrap();
    edit(&damaged, "sp: 30", "sp: 31");
    let (ok, text) = works.run("diff", &[]);
    assert!(ok && text.contains("was changed or damaged") && text.contains("20 % → 40 %"), "{text}");
    assert!(plant.stop());
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let inside = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    inside.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_change_leaves_faulted_is_named_and_reset_from_the_command_line() {
    let works = Works::new(&SITE.replace("2min", "200ms"));
    edit(&works.file("scripts/count.rhai"), "io.y = io.sp;", "io.y = io.sp; if io.count == 40 { io.y = 1 / 0; }");
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    live.until("it faults", LIMIT, |l| l.value("sys/task/fast/faulted").is_some_and(|v| v.value == true)).await;
    edit(&works.file("scripts/count.rhai"), " if io.count == 40 { io.y = 1 / 0; }", "");
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(ok && text.contains("task fast still stands faulted") && text.contains("penstock reset fast"), "{text}");
    let (ok, text) = works.verb(&["reset", "quick"]);
    assert!(!ok && text.contains("the tasks are: fast, normal, slow"), "{text}");
    let (ok, text) = works.verb(&["reset", "fast", "--by", "Li"]);
    assert!(ok && text.contains("task fast runs again"), "{text}");
    live.until("it runs", LIMIT, |l| l.value("sys/task/fast/faulted").is_some_and(|v| v.value == false)).await;
    let (ok, text) = works.verb(&["reset", "fast"]);
    assert!(!ok && text.contains("not faulted"), "{text}");
    let shown = Session::login(&plant.url, ENGINEER).get("/api/actions?limit=50");
    assert!(shown.to_string().contains("reset_task"), "{shown}");
    assert!(plant.stop());
}
