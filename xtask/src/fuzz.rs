//! `cargo xtask fuzz`: every parser that reads foreign bytes, round after round.
//!
//! The targets of `drivers/fuzz` take bytes that coverage guides: libFuzzer, on the stable toolchain, keeps what reaches new
//! code under `target/fuzz/corpus` and goes on from there the next time. What breaks a promise is written under
//! `drivers/fuzz/findings`, which every `cargo test` tries.
//!
//! The others are property tests that `cargo test` runs with few cases, here with many. What fails is written by proptest
//! to a file `proptest-regressions` beside the source, and is tried first from then on by everybody who has the file.

use crate::need;
use crate::steps::{Context, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One parser, or a family of them.
struct Target {
    name: &'static str,
    /// What it reads, for a person.
    title: &'static str,
    way: Way,
}

/// How a target is fed.
enum Way {
    /// Bytes that coverage guides, at most so many; the name is one of `penstock-fuzz`.
    Guided { bytes_max: u32 },
    /// The property tests of a test binary (`--lib`, or `--test` and its name) whose paths begin so, with so many cases: a
    /// round takes about half a minute.
    Tests { package: &'static str, binary: &'static [&'static str], filter: &'static str, cases: u32 },
}

/// Time of a guided target in a round, s.
const GUIDED_S: u64 = 60;
/// No input may take longer, s, nor need more memory, MB.
const GUIDED_BOUNDS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];
/// What a build tells of the way that each input takes: cargo-fuzz passes the same, and the stable compiler takes it.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

const fn guided(name: &'static str, title: &'static str, bytes_max: u32) -> Target {
    Target { name, title, way: Way::Guided { bytes_max } }
}

const fn tests(
    name: &'static str,
    title: &'static str,
    package: &'static str,
    filter: &'static str,
    cases: u32,
) -> Target {
    Target { name, title, way: Way::Tests { package, binary: &["--lib"], filter, cases } }
}

const TARGETS: &[Target] = &[
    guided("frames", "Modbus frames over TCP and on a line", 2_048),
    guided("answers", "Modbus answers of every function", 300),
    guided("values", "registers into values and back", 300),
    guided("sunspec", "SunSpec chains and their points", 4_096),
    guided("addresses", "addresses in every notation", 64),
    guided("commands", "Sparkplug commands", 2_048),
    guided("states", "Sparkplug STATE messages", 256),
    guided("records", "stored chunks and rows of the historian", 4_096),
    tests("test-frames", "Modbus frames over TCP and on a line", "penstock-modbus", "frame::", 200_000),
    tests("test-answers", "Modbus answers of every function", "penstock-modbus", "pdu::", 200_000),
    tests("test-wire", "bytes in place of answers, through the transport", "penstock-modbus", "transport::", 5_000),
    tests("test-values", "registers into values and back", "penstock-modbus", "codec::", 200_000),
    tests("test-sunspec", "SunSpec chains, points and their names", "penstock-modbus", "sunspec::", 50_000),
    tests("test-addresses", "addresses in every notation", "penstock-modbus", "notation::", 100_000),
    tests("test-registers", "requests to the Modbus server", "penstock-modbus-server", "", 100_000),
    tests("test-sparkplug", "Sparkplug commands and STATE messages", "penstock-mqtt", "", 50_000),
    Target {
        name: "test-config",
        title: "files of a site",
        way: Way::Tests { package: "penstock", binary: &["--test", "fuzz_config"], filter: "", cases: 300 },
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
    let program = targets.iter().any(|t| matches!(t.way, Way::Guided { .. })).then(|| built(context)).transpose()?;
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        rounds += 1;
        for target in targets.iter().filter(|_| rounds == 1 || Instant::now() < end) {
            println!("round {rounds}, {}: {}", target.name, target.title);
            match (&target.way, &program) {
                (Way::Guided { bytes_max }, Some(program)) => feed(context, program, target.name, *bytes_max)?,
                (Way::Guided { .. }, None) => return Err("the guided program was not built".to_owned()),
                (Way::Tests { package, binary, filter, cases }, _) => {
                    repeat(context, target.name, package, binary, filter, *cases)?;
                }
            }
        }
    }
    println!("{rounds} rounds of {} targets: nothing found", targets.len());
    Ok(())
}

/// The guided program, built with coverage in a folder of its own.
fn built(context: &Context) -> Result<PathBuf, String> {
    need::cxx()?;
    let told = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not say its host")?;
    let folder = context.target().join("fuzz/build");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With a target named, the flags reach the product and not what only runs while it is built.
    command.args(["build", "--release", "-p", "penstock-fuzz", "--features", "guided", "--target", host]);
    command
        .args(["--bin", "penstock-fuzz-guided"])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE)
        .current_dir(&context.root);
    run(&mut command)?;
    Ok(folder.join(host).join("release/penstock-fuzz-guided"))
}

/// Feeds one target for a while, from its seeds and from what was found worth keeping before.
fn feed(context: &Context, program: &Path, name: &str, bytes_max: u32) -> Result<(), String> {
    let (corpus, seeds) =
        (context.target().join("fuzz/corpus").join(name), context.target().join("fuzz/seeds").join(name));
    let findings = context.root.join("drivers/fuzz/findings").join(name);
    for folder in [&corpus, &seeds, &findings] {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command
        .env("PENSTOCK_FUZZ_TARGET", name)
        .env("PENSTOCK_FUZZ_SEEDS", &seeds)
        .args(GUIDED_BOUNDS)
        .args(["-verbosity=0", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={GUIDED_S}")).arg(format!("-max_len={bytes_max}"));
    // A folder ends with a slash: what follows it is the name of the file.
    command.arg(format!("-artifact_prefix={}/", findings.display())).arg(&corpus).arg(&seeds).arg(&findings);
    run(&mut command).map_err(|e| {
        format!(
            "{e}\n`{name}` broke its promise; the bytes are kept under drivers/fuzz/findings/{name}: keep that file, and try \
             it with `cargo run -p penstock-fuzz --bin penstock-fuzz -- try {name} <file>`"
        )
    })?;
    // Nothing found leaves no folder behind; one with earlier findings stays.
    let _ = std::fs::remove_dir(&findings);
    let kept = std::fs::read_dir(&corpus).map_or(0, Iterator::count);
    println!("{name}: {kept} inputs reach what no other reaches");
    Ok(())
}

/// Runs property tests with many cases.
fn repeat(
    context: &Context,
    name: &str,
    package: &str,
    binary: &[&str],
    filter: &str,
    cases: u32,
) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "-p", package]).args(binary);
    command.args(["--", filter]).current_dir(&context.root);
    command.env("PROPTEST_CASES", cases.to_string());
    run(&mut command).map_err(|e| {
        format!("{e}\n`{name}` failed; the case is kept in `proptest-regressions` beside its source: keep that file")
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
        let (two, time) = wanted(&["--only", "sunspec", "--minutes", "5", "--only", "test-wire"]).unwrap();
        assert_eq!(
            (two.iter().map(|t| t.name).collect::<Vec<_>>(), time.as_secs()),
            (vec!["sunspec", "test-wire"], 300)
        );
        assert!(wanted(&["--only", "sun"]).err().unwrap().contains("the targets are frames, answers"));
        // The bytes of each are those that its program knows.
        let lib = include_str!("../../drivers/fuzz/src/lib.rs");
        for target in TARGETS.iter().filter(|t| matches!(t.way, Way::Guided { .. })) {
            assert!(lib.contains(&format!("name: \"{}\"", target.name)), "{}", target.name);
        }
        assert!(wanted(&["--minutes", "x"]).is_err() && wanted(&["--hours"]).is_err());
    }
}
