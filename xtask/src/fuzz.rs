//! `cargo xtask fuzz`: the property tests of every parser that reads foreign bytes, with many cases, round after round.
//!
//! They are the same tests that `cargo test` runs with few cases. What fails is written by proptest to a file
//! `proptest-regressions` beside the source, and is tried first from then on by everybody who has the file.

use crate::steps::{Context, run};
use std::process::Command;
use std::time::{Duration, Instant};

/// One parser, or a family of them.
struct Target {
    name: &'static str,
    /// What it reads, for a person.
    title: &'static str,
    package: &'static str,
    /// The test binary: `--lib`, or `--test` and its name.
    binary: &'static [&'static str],
    /// Which tests, by the beginning of their paths.
    filter: &'static str,
    /// Cases of a round: about half a minute each.
    cases: u32,
}

const TARGETS: &[Target] = &[
    Target {
        name: "frames",
        title: "Modbus frames over TCP and on a line",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "frame::",
        cases: 200_000,
    },
    Target {
        name: "answers",
        title: "Modbus answers of every function",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "pdu::",
        cases: 200_000,
    },
    Target {
        name: "wire",
        title: "bytes in place of answers, through the transport",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "transport::",
        cases: 5_000,
    },
    Target {
        name: "values",
        title: "registers into values and back",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "codec::",
        cases: 200_000,
    },
    Target {
        name: "sunspec",
        title: "SunSpec chains, points and their names",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "sunspec::",
        cases: 50_000,
    },
    Target {
        name: "addresses",
        title: "addresses in every notation",
        package: "penstock-modbus",
        binary: &["--lib"],
        filter: "notation::",
        cases: 100_000,
    },
    Target {
        name: "registers",
        title: "requests to the Modbus server",
        package: "penstock-modbus-server",
        binary: &["--lib"],
        filter: "",
        cases: 100_000,
    },
    Target {
        name: "sparkplug",
        title: "Sparkplug commands and STATE messages",
        package: "penstock-mqtt",
        binary: &["--lib"],
        filter: "",
        cases: 50_000,
    },
    Target {
        name: "config",
        title: "files of a site",
        package: "penstock",
        binary: &["--test", "fuzz_config"],
        filter: "",
        cases: 300,
    },
];

/// How long, where nobody says.
const MINUTES: u64 = 60;

/// Runs the targets in turn until the time is over, each at least once.
///
/// # Errors
/// When the words are not understood, or a target fails: which, and how it is run again.
pub fn fuzz(context: &Context, words: &[&str]) -> Result<(), String> {
    let (targets, time) = wanted(words)?;
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        rounds += 1;
        for target in targets.iter().filter(|_| rounds == 1 || Instant::now() < end) {
            println!("round {rounds}, {}: {}, {} cases", target.name, target.title, target.cases);
            one(context, target)?;
        }
    }
    println!("{rounds} rounds of {} targets: nothing found", targets.len());
    Ok(())
}

fn one(context: &Context, target: &Target) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "-p", target.package]).args(target.binary);
    command.args(["--", target.filter]).current_dir(&context.root);
    command.env("PROPTEST_CASES", target.cases.to_string());
    run(&mut command).map_err(|e| {
        format!(
            "{e}\n`{}` failed; the case is kept in `proptest-regressions` beside its source: keep that file",
            target.name
        )
    })
}

fn wanted(mut words: &[&str]) -> Result<(Vec<&'static Target>, Duration), String> {
    let mut named: Vec<&'static Target> = Vec::new();
    let mut minutes = MINUTES;
    loop {
        match words {
            [] => break,
            ["--minutes", number, rest @ ..] => {
                minutes = number.parse().map_err(|_| format!("`{number}` is no number of minutes"))?;
                words = rest;
            }
            ["--only", name, rest @ ..] => {
                let names = || TARGETS.iter().map(|t| t.name).collect::<Vec<_>>().join(", ");
                let target = TARGETS.iter().find(|t| t.name == *name);
                named.push(target.ok_or_else(|| format!("there is no target `{name}`; the targets are {}", names()))?);
                words = rest;
            }
            [word, ..] => return Err(format!("`{word}` is not understood: --minutes <n>, --only <target>")),
        }
    }
    if named.is_empty() {
        named = TARGETS.iter().collect();
    }
    Ok((named, Duration::from_secs(minutes.saturating_mul(60))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_targets_and_time() {
        let (all, time) = wanted(&[]).unwrap();
        assert_eq!((all.len(), time), (TARGETS.len(), Duration::from_secs(3_600)));
        let (two, time) = wanted(&["--only", "sunspec", "--minutes", "5", "--only", "wire"]).unwrap();
        assert_eq!((two.iter().map(|t| t.name).collect::<Vec<_>>(), time.as_secs()), (vec!["sunspec", "wire"], 300));
        assert!(wanted(&["--only", "sun"]).err().unwrap().contains("the targets are frames, answers"));
        assert!(wanted(&["--minutes", "x"]).is_err() && wanted(&["--hours"]).is_err());
    }
}
