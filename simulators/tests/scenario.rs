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
fn the_exit_code_follows_the_assertions_when_asked_for() {
    let holds = "at 5s stuck eff/nh4 9\nat 10s shown eff/nh4 >= 9\n";
    let fails = "at 5s stuck eff/nh4 9\nat 10s shown eff/nh4 < 9\n";
    let cases: [(&str, &[&str], i32); 5] =
        [(holds, &["--assert"], 0), (fails, &["--assert"], 1), (holds, &[], 0), (fails, &[], 0), ("at", &[], 1)];
    for (text, options, code) in cases {
        let output = run(text, options);
        assert_eq!(output.status.code(), Some(code), "{text} {options:?}: {output:?}");
    }
    let output = run(fails, &["--assert"]);
    let verdict = String::from_utf8(output.stdout).unwrap();
    assert!(verdict.contains("FAILED line 2: at 10s shown eff/nh4 < 9 (is 9.0000 after 10 s)"), "{verdict}");
    let output = run("at 5s stuk eff/nh4", &["--assert"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("line 1: no fault is called `stuk`; the nearest is `stuck`"), "{error}");
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
    let scenario = page.split("```scenario\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let verdict = penstock_simulators::scenario::Scenario::parse(scenario).unwrap().run();
    assert!(verdict.passed(), "{verdict}");
}
