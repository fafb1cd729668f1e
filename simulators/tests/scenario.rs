//! `penstock-sim run`: what it prints and how it exits.

#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not see as such

use std::io::Write;
use std::process::{Command, Output};

fn run(text: &str, options: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock-sim"));
    command.arg("run").arg(file.path()).args(options).output().unwrap()
}

#[test]
fn the_exit_code_follows_the_expectations_when_asked_for() {
    let with = |relation: &str| {
        format!(
            "scenario: x\ndo:\n  - {{at: 5s, fault: stuck eff/nh4 9}}\nexpect:\n  - {{shown: eff/nh4, at: 10s, {relation}: 9}}\n"
        )
    };
    let (holds, fails) = (with("at_least"), with("below"));
    let cases: [(&str, &[&str], i32); 5] =
        [(&holds, &["--assert"], 0), (&fails, &["--assert"], 1), (&holds, &[], 0), (&fails, &[], 0), ("at", &[], 1)];
    for (text, options, code) in cases {
        let output = run(text, options);
        assert_eq!(output.status.code(), Some(code), "{text} {options:?}: {output:?}");
    }
    let output = run(&fails, &["--assert"]);
    let verdict = String::from_utf8(output.stdout).unwrap();
    assert!(verdict.contains("FAILED line 5: {shown: eff/nh4, at: 10s, below: 9}"), "{verdict}");
    assert!(verdict.contains("is 9.0000 at 00:00:10"), "{verdict}");
    let output = run(&fails, &["--json"]);
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["expectations"][0]["value"], 9.0);
    let output = run("scenario: x\ndo:\n  - {at: 5s, fault: stuk eff/nh4}\n", &["--assert"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(":3:21") && error.contains("no fault is called `stuk`; the nearest is `stuck`"), "{error}");
}

#[test]
fn wrong_options_are_explained() {
    let run = |options: &[&str]| Command::new(env!("CARGO_BIN_EXE_penstock-sim")).args(options).output().unwrap();
    for (options, expected) in [
        (["--fault", "stuck aer/z5/nh3"], "the nearest is `aer/z5/nh4`"),
        (["--weather", "snow"], "there are dry, rain, storm"),
        (["--api", "0.0.0.0:0"], "loopback"),
        (["--opcua-anonymous", "all"], "neither `read` nor `write`"),
    ] {
        let output = run(&options);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(expected), "{options:?}: {error}");
    }
    // What the works have the benchmark has not.
    let output = run(&["--plant", "bsm1", "--gateway", "power_meters=silent"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("`bsm1` has no device `power_meters`"), "{error}");
}

#[test]
fn every_fault_of_the_page_is_in_the_menu_and_every_example_parses() {
    use penstock_simulators::faults::{Injection, MENU};
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulator-faults.md");
    let page = std::fs::read_to_string(page).unwrap();
    // Rows of the menu: | `name` | target | parameters | what it does | `example` |
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim().trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 5)
        .collect();
    assert_eq!(rows.iter().map(|cells| cells[0]).collect::<Vec<_>>(), MENU.map(|entry| entry.name));
    for cells in &rows {
        cells[4].parse::<Injection>().unwrap_or_else(|e| panic!("{}: {e}", cells[4]));
    }
}

#[test]
fn the_example_of_the_page_of_scenarios_holds() {
    use penstock_simulators::PlantKind;
    use penstock_simulators::scenario::{Names, START_UNIX_S, Scenario};
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let plant = penstock_simulators::simulation::Simulation::new(1, START_UNIX_S);
    let scenario =
        Scenario::parse(example, &Names::of(PlantKind::Jinan, &plant)).unwrap_or_else(|problems| panic!("{problems}"));
    let verdict = scenario.run(PlantKind::Jinan).unwrap();
    assert!(verdict.passed() && verdict.findings.len() >= 4, "{verdict}");
}
