//! Chores of the repository: `cargo xtask test` runs everything that must pass, `cargo xtask bench` what is measured.
//!
//! Plain std, so that it builds in seconds on a fresh machine. A step that cannot run because a tool is missing has
//! failed: nothing is left out silently.

mod bench;
mod field;
mod fuzz;
mod need;
mod proc;
mod python;
mod scan;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use steps::Context;

const USAGE: &str = "\
cargo xtask test                   install what tests need, then run every step
cargo xtask test --only <step>     run one step (may be repeated)
cargo xtask bench                  list the benches
cargo xtask bench <name>           measure
cargo xtask fuzz [--minutes n]     parsers against foreign bytes, for an hour unless said otherwise
cargo xtask fuzz --only <target>   one of them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => match only(rest) {
            Ok(only) => test(&only),
            Err(message) => wrong(&message),
        },
        ["bench"] => {
            print!("{}", bench::list());
            ExitCode::SUCCESS
        }
        ["bench", name, rest @ ..] => measure(name, rest),
        ["fuzz", rest @ ..] => match repository() {
            Some(root) => match fuzz::fuzz(&Context::new(root), rest) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => wrong(&message),
            },
            None => wrong("this is not inside the repository"),
        },
        _ => wrong(USAGE),
    }
}

fn measure(name: &str, words: &[&str]) -> ExitCode {
    let Some(root) = repository() else { return wrong("this is not inside the repository") };
    match bench::bench(&Context::new(root), name, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => wrong(&message),
    }
}

fn wrong(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}

/// The steps named by `--only`; empty for all.
fn only(mut words: &[&str]) -> Result<Vec<String>, String> {
    let mut named = Vec::new();
    while let [first, rest @ ..] = words {
        let ("--only", [step, rest @ ..]) = (*first, rest) else {
            return Err(format!("`{first}` is not understood\n{USAGE}"));
        };
        if !steps::STEPS.iter().any(|s| s.name == *step) {
            let names: Vec<&str> = steps::STEPS.iter().map(|s| s.name).collect();
            return Err(format!("there is no step `{step}`; the steps are {}", names.join(", ")));
        }
        named.push((*step).to_owned());
        words = rest;
    }
    Ok(named)
}

struct Done {
    name: &'static str,
    took: Duration,
    result: Result<(), String>,
}

fn test(only: &[String]) -> ExitCode {
    let Some(root) = repository() else { return wrong("this is not inside the repository") };
    let context = Context::new(root);
    let mut done = Vec::new();
    for step in steps::STEPS.iter().filter(|s| only.is_empty() || only.iter().any(|o| o == s.name)) {
        println!("\n=== {}: {}", step.name, step.title);
        let start = Instant::now();
        let result = (step.run)(&context);
        if let Err(message) = &result {
            println!("--- {} failed: {message}", step.name);
        }
        done.push(Done { name: step.name, took: start.elapsed(), result });
    }
    report(&done)
}

fn report(done: &[Done]) -> ExitCode {
    println!("\n{:<11} {:>8}  result", "step", "time");
    for d in done {
        let result = match &d.result {
            Ok(()) => "passed",
            Err(message) => &format!("FAILED: {message}"),
        };
        println!("{:<11} {:>6.1} s  {result}", d.name, d.took.as_secs_f64());
    }
    let failed = done.iter().filter(|d| d.result.is_err()).count();
    println!("{} passed, {failed} failed", done.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The top of the repository: where this crate's folder lies.
fn repository() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)?;
    home.parent().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_takes_known_steps() {
        assert_eq!(only(&[]), Ok(vec![]));
        assert_eq!(only(&["--only", "fmt", "--only", "e2e"]), Ok(vec!["fmt".to_owned(), "e2e".to_owned()]));
        assert!(only(&["--only", "everything"]).unwrap_err().contains("fmt"));
        assert!(only(&["--only"]).is_err());
        assert!(only(&["fmt"]).is_err());
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        let step = |result| Done { name: "a", took: Duration::ZERO, result };
        let code = |c: ExitCode| format!("{c:?}");
        assert_eq!(code(report(&[step(Ok(()))])), code(ExitCode::SUCCESS));
        assert_eq!(code(report(&[step(Ok(())), step(Err("x".into()))])), code(ExitCode::FAILURE));
    }
}
