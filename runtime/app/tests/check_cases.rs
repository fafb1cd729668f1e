//! The runner of script cases: a right case passes, a wrong one is told with its row.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use penstock::cases::run_cases;
use std::path::Path;

const SCRIPT: &str = "fn declare(p) {
    p.title(\"比例\", \"Ratio\");
    p.input(\"flow\", \"m3/h\");
    p.input_bool(\"on\");
    p.output(\"dose\", \"L/h\");
    p.output_bool(\"run\");
    p.param(\"ratio\", \"\", 2.0);
    p.state(\"count\", 0);
}

fn scan(io) {
    io.count += 1;
    io.run = io.on;
    io.dose = io.flow * io.ratio + io.count * 0.001;
}
";

fn run(cases: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ratio.rhai"), SCRIPT).unwrap();
    std::fs::write(dir.path().join("ratio.cases.yaml"), cases).unwrap();
    let report = run_cases(dir.path());
    (report.passed(), report.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn right_cases_pass() {
    let (ok, text) = run("
- case: the dose follows the flow
  set: { ratio: 3 }
  rows:
    - { dt: 1s, in: { flow: 10, on: true }, out: { dose: 30.001, run: true } }
    - { times: 10, out: { dose: rising, run: true } }
    - { in: { flow: 5 }, out: { dose: falling } }
    - { in: { flow: { uncertain: frozen } }, out: { dose: { uncertain: input } } }
    - { in: { flow: { bad: link }, on: false }, out: { dose: { bad: input }, run: false } }
    - { in: { flow: 10 }, out: { dose: { near: 30, tol: 0.1 } } }
    - { out: { dose: { between: [29, 31] } } }
- case: an input that never came is bad
  rows:
    - { dt: 1s, in: { on: true }, out: { dose: { bad: input } } }
");
    assert!(ok, "{text}");
    assert!(text.ends_with("1 scripts, 2 cases, 17 scans: all pass"), "{text}");
}

#[test]
fn a_difference_names_its_row_and_both_values() {
    let (ok, text) = run("
- case: wrong
  rows:
    - { dt: 1s, in: { flow: 10, on: true } }
    - { out: { dose: 21 } }
");
    assert!(!ok);
    assert!(text.contains("error: case `wrong`: `dose` is 20.002, expected 21"), "{text}");
    assert!(text.contains("--> ratio.cases.yaml:5:22"), "{text}");
    assert!(text.contains("    - { out: { dose: 21 } }"), "{text}");
    assert!(text.ends_with("1 failed"), "{text}");
}

#[test]
fn mistakes_in_the_table_are_told_like_mistakes_in_a_site() {
    for (cases, wanted) in [
        ("- { case: a, rows: [{ in: { flow: 1 } }] }", "does not say its time step"),
        ("- { case: a, rows: [{ dt: 1s, in: { flwo: 1 } }] }", "did you mean `flow`?"),
        ("- { case: a, rows: [{ dt: 1s, out: { dosis: 1 } }] }", "the script has no output `dosis`"),
        ("- { case: a, rows: [{ dt: 1s, in: { flow: true } }] }", ""),
        ("- { case: a, rows: [{ dt: 1s, in: { flow: { bad: lnk } } }] }", "`lnk` is not a reason"),
        ("- { case: a, set: { ratoi: 1 }, rows: [{ dt: 1s }] }", "did you mean `ratio`?"),
        ("- { case: a, rows: [{ dt: 1s, times: 0 }] }", "repeated 1 to"),
        ("- { case: a, rows: [{ dt: 1s, out: { run: maybe } }] }", "is not an expectation"),
        ("- { case: a, rows: [{ dt: 99999999999999d }] }", "`99999999999999d` is too long"),
        ("- { case: a, rows: [{ dt: 36000d, times: 1000000 }] }", "the case is longer than 100 years"),
        ("- { case: a, rows: [{ dt: 1s }, { dt: 36000d }, { times: 2 }] }", "the case is longer than 100 years"),
        ("- { case: a, rows: [] }", "no rows"),
        ("- { case: a, rosw: [] }", "did you mean `rows`?"),
        ("[]", "no cases"),
        ("- { case: a, rows: [{ dt: 1s }] }\n- { case: a, rows: [{ dt: 1s }] }", "two cases have one name"),
        ("- { case: a, rows: [{ dt: 1s, error: boom }] }", "did not fail"),
    ] {
        let (ok, text) = run(cases);
        assert!(wanted.is_empty() || !ok, "{cases} passes");
        assert!(text.contains(wanted), "{cases}\n{text}");
    }
}

#[test]
fn a_script_without_cases_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ratio.rhai"), SCRIPT).unwrap();
    let report = run_cases(dir.path());
    assert!(!report.passed());
    assert!(report.to_string().contains("has no cases"), "{report}");
}

#[test]
fn cases_without_a_script_and_an_empty_folder_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run_cases(dir.path()).to_string().contains("no scripts"));
    std::fs::write(dir.path().join("gone.cases.yaml"), "[]").unwrap();
    assert!(run_cases(dir.path()).to_string().contains("has no script"));
    assert!(!run_cases(Path::new("nowhere.txt")).passed());
}

#[test]
fn an_output_held_by_hand_is_shown_to_the_script() {
    let dir = tempfile::tempdir().unwrap();
    let script = "fn declare(p) { p.title(\"手动\", \"Manual\"); p.output(\"valve\", \"%\"); p.output_bool(\"held\"); }
fn scan(io) { io.held = io.manual(\"valve\"); io.valve = 10.0; }
";
    std::fs::write(dir.path().join("hand.rhai"), script).unwrap();
    std::fs::write(
        dir.path().join("hand.cases.yaml"),
        "- case: by hand\n  manual: { valve: 35 }\n  rows:\n    - { dt: 1s, out: { held: true } }\n    - { manual: { valve: release } }\n    - { out: { held: false } }\n",
    )
    .unwrap();
    let report = run_cases(dir.path());
    assert!(report.passed(), "{report}");
}

const MEMORY: &str = "fn declare(p) {
    p.title(\"记忆\", \"Memory\");
    p.input(\"x\", \"m3/h\");
    p.output(\"y\", \"m3/h\");
    p.output(\"total\", \"m3\");
    p.output_int(\"scans\");
    p.output_bool(\"began\");
    p.output(\"step\", \"s\");
    p.block(\"soft\", lag());
    p.block(\"sum\", totaliser());
    p.state(\"n\", 0);
}
fn scan(io) {
    io.n += 1;
    io.scans = io.n;
    io.began = io.first;
    io.step = io.dt;
    io.y = io.soft.run(io.x, #{ t: 10.0 });
    io.total = io.sum.run(io.x);
}
";

#[test]
fn a_restart_keeps_what_is_remembered_or_the_totals_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("memory.rhai"), MEMORY).unwrap();
    let run = |cases: &str| {
        std::fs::write(dir.path().join("memory.cases.yaml"), cases).unwrap();
        let report = run_cases(dir.path());
        (report.passed(), report.to_string())
    };
    let (ok, text) = run("
- case: kept
  rows:
    - { dt: 1s, in: { x: 36 } }
    - { times: 299, in: { x: 72 }, out: { scans: 300, began: false } }
    - { dt: 5s, restart: kept, in: { x: 72 }, out: { scans: 301, began: false, y: steady, step: 5 } }
- case: fresh
  rows:
    - { dt: 1s, in: { x: 3600 }, out: { began: true } }
    - { times: 9, out: { total: { near: 10, tol: 0.001 }, scans: 10, y: 3600 } }
    - { restart: fresh, in: { x: 7200 }, out: { scans: 1, began: true, y: 7200, total: { near: 12, tol: 0.001 } } }
    - { out: { scans: 2, began: false } }
");
    assert!(ok, "{text}");
    let (ok, text) = run("
- case: otherwise
  rows:
    - { dt: 1s, restart: warm, in: { x: 36 } }
");
    assert!(!ok && text.contains("`warm` is not known here"), "{text}");
}

#[test]
fn every_script_in_the_repository_has_cases_that_pass() {
    let report = run_cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts"));
    assert!(report.passed() && report.cases >= report.scripts, "{report}");
}
