//! `cargo xtask bench`: what is measured, side by side with a peer or with real time, as ratios.
//!
//! Nothing here passes or fails: machines are noisy. The figures are for people who compare them in one run.

use crate::field;
use crate::python;
use crate::scan;
use crate::steps::Context;
use std::process::Command;
use std::time::Instant;

/// One bench.
pub struct Bench {
    /// What it is called.
    pub name: &'static str,
    /// What it measures, for a person.
    pub title: &'static str,
    /// Runs it with the words after its name.
    pub run: fn(&Context, &[&str]) -> Result<(), String>,
}

/// All benches.
pub const BENCHES: &[Bench] = &[
    Bench { name: "model", title: "plant models alone, beside bsm2-python", run: model },
    Bench { name: "simulate", title: "both sites in virtual time; --days N, 14 where absent", run: simulate },
    Bench {
        name: "jitter",
        title: "real scan threads, idle and under load, beside a bare thread; --seconds N, 20 where absent",
        run: scan::jitter,
    },
    Bench {
        name: "field",
        title: "the drivers under load, beside libmodbus, pymodbus and asyncua; --seconds N per row, 20 where absent",
        run: field::field,
    },
    Bench { name: "engine", title: "what a program call and a latch of 100 000 tags cost", run: scan::engine },
];

/// The list of benches, one line each.
pub fn list() -> String {
    BENCHES.iter().map(|bench| format!("cargo xtask bench {:<10} {}\n", bench.name, bench.title)).collect()
}

/// Speed of the plant models, and of bsm2-python's benchmark plant on the same machine in the same minute.
fn model(context: &Context, words: &[&str]) -> Result<(), String> {
    if let [word, ..] = words {
        return Err(format!("`{word}` is not understood: the bench `model` takes nothing"));
    }
    let requirements = context.root.join("xtask/bench/requirements.txt");
    let python = python::environment(context, "bench-peers", &requirements)?;
    context.cargo(&["build", "--release", "-p", "penstock-simulators"])?;
    let ours = said(Command::new(context.release("penstock-sim")).arg("speed"))?;
    let script = context.root.join("xtask/bench/bsm1_peer.py");
    let theirs = said(Command::new(python).arg(script).arg("2"))?;
    let theirs = theirs.lines().last().and_then(|line| line.trim().parse::<f64>().ok());
    let theirs = theirs.ok_or("bsm2-python printed no number")?;
    println!("\n{:<44} {:>16} {:>22}", "model, one core", "× real time", "× bsm2-python (BSM1)");
    for line in ours.lines() {
        let (title, speed) = line.rsplit_once('\t').ok_or_else(|| format!("penstock-sim printed `{line}`"))?;
        let speed: f64 = speed.parse().map_err(|_| format!("penstock-sim printed `{line}`"))?;
        println!("{title:<44} {speed:>16.0} {:>22.1}", speed / theirs);
    }
    println!("{:<44} {theirs:>16.0} {:>22.1}", "bsm2-python 0.0.16, open loop, 1 min steps", 1.0);
    Ok(())
}

/// Both sites in virtual time: programs, codec and plant in lock-step.
fn simulate(context: &Context, words: &[&str]) -> Result<(), String> {
    let days = match words {
        [] => 14.0,
        ["--days", days] => days.parse::<f64>().map_err(|_| format!("`{days}` is no number of days"))?,
        _ => return Err("the bench `simulate` takes --days N".to_owned()),
    };
    context.cargo(&["build", "--release", "-p", "penstock"])?;
    let mut rows = Vec::new();
    for site in ["bsm1", "jinan-wwtp"] {
        let mut command = Command::new(context.release("penstock"));
        command.arg("simulate").arg(context.root.join("configs").join(site));
        command.args(["--days", &days.to_string(), "--settle-hours", "0"]);
        let begin = Instant::now();
        said(&mut command)?;
        rows.push((site, begin.elapsed().as_secs_f64()));
    }
    println!("\n{:<14} {:>6} {:>10} {:>14} {:>16}", "site", "days", "took", "× real time", "14 days take");
    for (site, seconds) in rows {
        let ratio = days * 86_400.0 / seconds;
        println!("{site:<14} {days:>6} {seconds:>8.1} s {ratio:>14.0} {:>14.1} s", 14.0 * 86_400.0 / ratio);
    }
    Ok(())
}

/// What a command printed; its error output goes to ours.
pub fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{name} cannot be started: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name} ended with {}", output.status))
    }
}

/// Runs a bench by name.
pub fn bench(context: &Context, name: &str, words: &[&str]) -> Result<(), String> {
    let found = BENCHES.iter().find(|bench| bench.name == name);
    let bench = found.ok_or_else(|| format!("there is no bench `{name}`\n{}", list()))?;
    (bench.run)(context, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_mistyped_bench_is_answered_with_the_list() {
        let context = Context::new(PathBuf::from("."));
        let error = bench(&context, "modell", &[]).unwrap_err();
        assert!(error.contains("`modell`") && error.contains("bench model "), "{error}");
        let error = bench(&context, "simulate", &["--days", "x"]).unwrap_err();
        assert!(error.contains("`x` is no number"), "{error}");
        assert!(bench(&context, "model", &["fast"]).unwrap_err().contains("`fast`"));
        assert!(said(&mut Command::new("false")).unwrap_err().contains("false ended with"));
    }
}
