//! Changing a running site from the command line, in real processes.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, Live, PENSTOCK, Plant, Session, edit};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

const SITE: &str = "site: changing\nname: Changing\ntime_zone: Asia/Shanghai\ntasks: { normal: 100ms, slow: 1s }\n";
const TAGS: &str = "computed:
  - { tag: n, type: int }
  - tag: out
    range: [0, 100]
    write: { rate: 5/s, limits: [0, 90] }
    fallback: { bad_input: hold, fault: 0, link: hold, shutdown: hold }
";
const PROGRAMS: &str =
    "- program: aer/z3\n  script: count.rhai\n  task: normal\n  out: { n: n, y: out }\n  set: { sp: 20 }\n";
const SCRIPT: &str = r#"
fn declare(p) {
    p.title("计数", "Counting");
    p.output_int("n");
    p.output("y", "");
    p.param("sp", "%", 10);
    p.state("count", 0);
}
fn scan(io) {
    io.count += 1;
    io.n = io.count;
    io.y = io.sp;
}
"#;

struct Works {
    _dir: tempfile::TempDir,
    site: PathBuf,
    state: PathBuf,
}

impl Works {
    fn new() -> Works {
        let dir = tempfile::tempdir().unwrap();
        let (site, state) = (dir.path().join("works/site"), dir.path().join("state"));
        std::fs::create_dir_all(site.join("scripts")).unwrap();
        for (name, text) in
            [("site.yaml", SITE), ("tags.yaml", TAGS), ("programs.yaml", PROGRAMS), ("scripts/count.rhai", SCRIPT)]
        {
            std::fs::write(site.join(name), text).unwrap();
        }
        Works { _dir: dir, site, state }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.join(name)
    }

    /// Whether a verb succeeded, and all it said.
    fn run(&self, verb: &str, more: &[&str]) -> (bool, String) {
        let mut command = Command::new(PENSTOCK);
        command.arg(verb).arg(&self.site).args(more).arg("--state").arg(&self.state).args(["--lang", "en"]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn history(&self) -> Vec<serde_json::Value> {
        let (ok, text) = self.run("history", &["--json"]);
        assert!(ok, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

async fn look(plant: &Plant) -> Live {
    let live = Session::login(&plant.url, ENGINEER).live().await;
    live.until("the program counts", LIMIT, |l| l.number("n").is_some_and(|n| n > 3.0)).await;
    live
}

fn log(state: &Path) -> String {
    std::fs::read_to_string(state.join("runtime.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_applied_kept_and_gone_back_from() {
    let works = Works::new();
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    assert!(works.run("diff", &[]).1.contains("the same as configuration 1"));
    live.until("the output arrives", LIMIT, |l| l.number("out") == Some(20.0)).await;

    edit(&works.file("programs.yaml"), "sp: 20", "sp: 60");
    edit(&works.file("tags.yaml"), "limits: [0, 90]", "limits: [0, 50]");
    let (_, text) = works.run("diff", &[]);
    assert!(text.contains("[live]    program aer/z3: parameter sp 20 % → 60 %"), "{text}");
    assert!(text.contains("[live]    tag out: limits 0..90 → 0..50"), "{text}");
    let (ok, text) = works.run("apply", &[]);
    assert!(!ok && text.contains("--yes"), "{text}");
    let (before, counted) = (live.number("out").unwrap(), live.number("n").unwrap());
    let (ok, text) = works.run("apply", &["--at-scan", "--by", "Li", "--comment", "more air", "--probation", "0s"]);
    assert!(ok && text.contains("configuration 2 runs"), "{text}");
    live.until("it moves", LIMIT, |l| l.number("out").is_some_and(|y| y > before)).await;
    assert!(live.number("out").unwrap() < 45.0, "at its rate, not at once");
    live.until("it stands at its new limit", LIMIT, |l| l.number("out") == Some(50.0)).await;
    assert!(live.number("n").unwrap() > counted, "the count went on");

    let shown = Session::login(&plant.url, ENGINEER).get("/api/site");
    let out = shown["tags"].as_array().unwrap().iter().find(|t| t["path"] == "out").unwrap();
    assert_eq!(out["limits"], serde_json::json!([0.0, 50.0]), "screens know the new limits: {out}");
    let history = works.history();
    assert_eq!(shown["config_hash"], history[1]["hash"]);
    assert_eq!(history.len(), 2);
    assert_eq!((history[1]["kind"].as_str(), history[1]["comment"].as_str()), (Some("apply"), Some("more air")));
    assert!(history[1]["who"].as_str().unwrap().starts_with("Li ("));
    assert_eq!(history[1]["lines"][0]["zh"], "程序 aer/z3：参数 sp 20 % → 60 %");

    // What needs a restart is refused whole, the rest of it too.
    edit(&works.file("tags.yaml"), "computed:", "entries:\n  - { tag: more, initial: 1 }\ncomputed:");
    edit(&works.file("programs.yaml"), "sp: 60", "sp: 30");
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(!ok && text.contains("[restart] tag more is new") && text.contains("nothing was changed"), "{text}");
    assert_eq!(works.history().len(), 2);
    let (ok, text) = works.run("rollback", &["--yes", "--probation", "0s"]);
    assert!(ok && text.contains("configuration 3 runs"), "{text}");
    live.until("it is back", LIMIT, |l| l.number("out") == Some(20.0)).await;
    assert_eq!((works.history()[2]["kind"].as_str(), works.history()[2]["of"].as_u64()), (Some("rollback"), Some(1)));
    assert!(plant.stop());

    // The folder is what runs after a restart, and the start says that it is not what ran last.
    let plant = Plant::start_alone(&works.site, &works.state);
    let text = log(&works.state);
    assert!(
        text.contains("not the configuration that ran last") && text.contains("parameter sp 20 % → 30 %"),
        "{text}"
    );
    assert_eq!(works.history().len(), 4);
    assert!(plant.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_breaks_within_its_probation_is_gone_back_from_by_itself() {
    let works = Works::new();
    let plant = Plant::start_alone(&works.site, &works.state);
    let live = look(&plant).await;
    edit(
        &works.file("scripts/count.rhai"),
        "io.y = io.sp;",
        "io.y = io.sp + 1.0 / (io.count % 10); if io.count % 10 == 0 { io.y = 1 / 0; }",
    );
    let (ok, text) = works.run("apply", &["--yes", "--comment", "a slip"]);
    // The answer waits for the slow task: it may have gone back by then.
    assert!(if ok { text.contains("on probation for") } else { text.contains("went back by itself") }, "{text}");
    live.until("it went back", LIMIT, |l| l.value("sys/config/went_back").is_some_and(|v| v.value == true)).await;
    let counted = live.number("n").unwrap();
    live.until("the task runs again", LIMIT, |l| {
        l.number("n").is_some_and(|n| n > counted + 15.0)
            && l.value("sys/task/normal/faulted").is_some_and(|v| v.value == false)
    })
    .await;
    let history = works.history();
    assert_eq!(
        (history.len(), history[2]["kind"].as_str(), history[2]["of"].as_u64()),
        (3, Some("automatic"), Some(1))
    );
    assert!(history[2]["comment"].as_str().unwrap().contains("count.rhai line"), "{}", history[2]);
    assert_eq!(history[2]["hash"], history[0]["hash"]);
    assert!(log(&works.state).contains("went back by itself to configuration 1"), "{}", log(&works.state));
    // The same slip is refused nowhere, but a mistake that the check finds is.
    edit(&works.file("scripts/count.rhai"), "io.count += 1;", "io.cuont += 1;");
    let (ok, text) = works.run("apply", &["--yes"]);
    assert!(!ok && text.contains("did you mean `count`"), "{text}");
    assert!(plant.stop());
}
