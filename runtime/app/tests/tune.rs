//! `penstock tune` as an engineer runs it: on the plant model, in virtual time.

use std::path::PathBuf;
use std::process::{Command, Output};

fn tune(options: &[&str]) -> Output {
    let site = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/jinan-wwtp");
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.arg("tune").arg(site).args(["--settle-hours", "0.25"]).args(options);
    command.output().expect("penstock starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_step_test_finds_the_process_and_proposes_settings() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tune.json");
    let options = ["--loop", "aer/z3", "--measured", "aer/z3/air", "--size", "4", "--hold", "4min", "--high", "5000"];
    let output = tune(&[&options[..], &["--out", out.to_str().unwrap()]].concat());
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("SIMC") && text.contains("now: ") && text.contains("flow_kp 0.007"), "{text}");
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let number = |path: &str| found.pointer(path).unwrap().as_f64().unwrap();
    // A valve of this size gives some ten Nm3/h per %, and has moved within a minute.
    assert!((5.0..200.0).contains(&number("/found/gain")) && number("/found/lag_s") < 90.0, "{found:#}");
    assert!(number("/found/explained") > 0.8, "{found:#}");
    assert!(number("/proposals/0/kp") > 0.0 && number("/proposals/0/ti_s") > 0.0, "{found:#}");
}

#[test]
fn a_relay_test_finds_the_border_of_stability() {
    let options =
        ["--loop", "aer/z3", "--measured", "aer/z3/air", "--method", "relay", "--size", "6", "--hold", "4min"];
    let output = tune(&[&options[..], &["--cycles", "4", "--high", "5000"]].concat());
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ultimate period") && text.contains("Tyreus & Luyben"), "{text}");
}

#[test]
fn beyond_a_bound_the_test_ends_and_the_program_has_its_output_back() {
    let output =
        tune(&["--loop", "aer/z3", "--measured", "aer/z3/air", "--hold", "2min", "--high", "100", "--low", "0"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("`aer/z3/air` is ") && text.contains("outside 0 to 100"), "{text}");
    assert!(text.contains("`aer/z3/valve/cmd` is back with its program"), "{text}");
}

#[test]
fn what_is_not_clear_is_asked_for_by_name() {
    for (options, part) in [
        (&["--loop", "aer/z9"][..], "no program is called `aer/z9`: aer/nh4, "),
        (&["--loop", "aer/pressure"], "name one with --output: aer/b1/speed/cmd, aer/b2/speed/cmd"),
        (&["--loop", "slu/ras"], "name one with --measured: inf/flow/used"),
        (&["--loop", "aer/z3", "--measured", "aer/z4/air"], "--measured `aer/z4/air` is none of the program's"),
        (
            &["--loop", "aer/z3", "--measured", "aer/z3/air", "--size", "80"],
            "--size 80 does not fit `aer/z3/valve/cmd`",
        ),
        (&["--loop", "aer/z3", "--measured", "aer/z3/air", "--low", "9", "--high", "9"], "is not below"),
        (&["--loop", "aer/z3", "--measured", "aer/z3/air", "--cycles", "1"], "--cycles 2 to 100"),
    ] {
        let output = tune(options);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {text}");
        assert!(text.contains(part), "{part}: {text}");
    }
}
