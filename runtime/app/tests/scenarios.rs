//! Scenarios with the runtime in the loop, by the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn site() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/jinan-wwtp")
}

fn simulate(scenario: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.arg("simulate").arg(site()).arg("--scenario").arg(scenario).args(options).output().unwrap()
}

/// Every scenario of the bundled site, two at a time: one that nobody runs is soon about another plant.
#[test]
fn every_bundled_scenario_holds() {
    let folder = site().join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    let (first, second) = files.split_at(files.len() / 2);
    std::thread::scope(|scope| {
        for half in [first, second] {
            scope.spawn(move || {
                for file in half {
                    let output = simulate(file, &["--assert"]);
                    let said = String::from_utf8_lossy(&output.stdout);
                    let verdict: Vec<_> = said.lines().rev().take(30).collect();
                    assert!(output.status.success(), "{}: {verdict:#?}", file.display());
                }
            });
        }
    });
}

#[test]
fn an_expectation_turned_around_fails_and_says_when() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(site().join("scenarios/link-loss-aeration.yaml")).unwrap();
    let turned = text.replace(
        "{quality: aer/z3/do, from: 302s, to: 329s, is: bad, reason: link}",
        "{quality: aer/z3/do, from: 302s, to: 329s, is: good}",
    );
    assert_ne!(text, turned);
    let (file, out) = (folder.path().join("turned.yaml"), folder.path().join("report.json"));
    std::fs::write(&file, turned).unwrap();
    let output = simulate(&file, &["--assert", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FAILED") && said.contains("is bad(link) at 00:05:02"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(report["verdict"]["failed"], 1);
    assert_eq!(report["alarms"]["sys/link/aeration_plc"]["raised"], 1);
    assert!(report["indices"]["kwh_per_m3"]["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn mistakes_of_tags_alarms_limits_and_report_paths_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    let text = "scenario: x\ndays: 1\ndo:\n  - {at: 1h, set: {aer/nh4_sp: 500}}\nexpect:\n  - {tag: aer/z3/od, below: 3}\n  - {alarm: aer/b1/falt, never: true}\n  - {report: energy.kwh_per_m2, below: 3}\n";
    std::fs::write(&file, text).unwrap();
    let output = simulate(&file, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in [":4:32", "500 is outside", "aer/z3/do`?", "aer/b1/fault`?", "kwh_per_m3`?", "4 mistakes"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_matrix_seeks_the_entry_that_gives_the_number_of_another_row() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("matrix.yaml"), folder.path().join("table.json"));
    let text = "
matrix: which command gives this flow
site: jinan-wwtp
base: {settle: 2min, days: 0.005}
columns:
  - {report: values.slu/ras/flow.mean, title: return sludge, decimals: 0}
rows:
  - {row: by hand, before: [{set: {slu/ras/cmd: 900}}]}
  - {row: sought, seek: {entry: slu/ras/cmd, from: 400, to: 1400, report: values.slu/ras/flow.mean, within: 0.01}}
  - {row: out of reach, seek: {entry: slu/ras/cmd, from: 1200, to: 1400, report: values.slu/ras/flow.mean}}
";
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.arg("simulate").arg(site()).arg("--matrix").arg(&file);
    let output = command.args(["--assert", "--out", out.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "a row that finds nothing fails: {said}");
    assert!(said.contains("out of reach: ") && said.contains("between them it does not become"), "{said}");
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(table["rows"][1]["sought"]["entry"], "slu/ras/cmd");
    let found = table["rows"][1]["sought"]["value"].as_f64().unwrap();
    assert!((found - 900.0).abs() < 30.0, "{found}: {said}");
}

#[test]
fn a_matrix_is_a_table_and_fails_where_a_limit_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("matrix.yaml"), folder.path().join("table.json"));
    let text = "
matrix: hands on the return sludge
site: jinan-wwtp
base: {settle: 1min, days: 0.01}
columns:
  - {report: values.slu/ras/flow.max, title: return sludge, limit: 1200, slack: 0, decimals: 0}
  - {report: writes.failed, title: failed, decimals: 0}
rows:
  - {row: as it is}
  - {row: by hand, before: [{set: {slu/ras/cmd: 1450}}]}
";
    std::fs::write(&file, text).unwrap();
    let run = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
        command.arg("simulate").arg(site()).arg("--matrix").arg(&file).args(options).output().unwrap()
    };
    let output = run(&["--assert", "--out", out.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("| by hand | 14") && said.contains(" ✗ | 0 |") && said.contains("1 cells beyond"), "{said}");
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(table["rows"][1]["values"]["values.slu/ras/flow.max"]["beyond"], true);
    assert!(run(&["--assert", "--rows", "as it is"]).status.success());
    let output = run(&["--rows", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no row of the matrix has `nobody`"));
}
