//! Without guidance: names the targets, and tries files again.

use penstock_fuzz::{TARGETS, target};
use std::process::ExitCode;

const USAGE: &str = "penstock-fuzz targets | try <target> <file>...";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["targets"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["try", name, files @ ..] if !files.is_empty() => {
            let target = target(name).ok_or_else(|| format!("there is no target `{name}`"))?;
            for file in files {
                let bytes = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
                (target.promise)(&bytes);
                println!("{file}: {} bytes, the promise holds", bytes.len());
            }
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    }
}
