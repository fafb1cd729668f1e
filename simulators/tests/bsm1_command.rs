//! The benchmark command of `penstock-sim`, as a person calls it.

use std::process::{Command, Output};

fn call(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_penstock-sim")).args(arguments).output().expect("penstock-sim starts")
}

#[test]
fn a_folder_without_the_files_fails_and_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = call(&["bsm1", "--data", &folder.path().display().to_string()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("inf_dry.csv") && text.contains("No such file"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn speeds_are_printed_for_programs() {
    let output = call(&["speed"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.lines().count() >= 4, "{text}");
    for line in text.lines() {
        let (title, speed) = line.split_once('\t').expect("title and speed");
        assert!(!title.is_empty() && speed.parse::<f64>().is_ok_and(|speed| speed > 0.0), "{line}");
    }
}

#[test]
fn settings_of_the_plant_do_not_mix_with_the_benchmark() {
    assert!(!call(&["--seed", "3", "speed"]).status.success());
    assert!(!call(&["bsm1", "--speed"]).status.success());
}
