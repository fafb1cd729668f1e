//! Measures the start jitter of real scan threads. Called by `cargo xtask bench jitter`, which makes a table of the lines
//! printed here.

mod jitter;
mod site;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
scan_bench jitter <folder for the site> <folder of scripts> <seconds> [busy]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["jitter", folder, scripts, seconds, rest @ ..] => match (seconds.parse(), rest) {
            (Ok(seconds), []) => jitter::run(Path::new(folder), Path::new(scripts), seconds, false),
            (Ok(seconds), ["busy"]) => jitter::run(Path::new(folder), Path::new(scripts), seconds, true),
            _ => Err(USAGE.to_owned()),
        },
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
