//! Independent clients in Python. `PENSTOCK_PEERS_PYTHON` names an interpreter that has their packages; without it such a
//! test is skipped and says so.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, of which each file uses its share")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest run of one script.
const LIMIT: Duration = Duration::from_secs(120);

/// The interpreter; none, with the reason printed, where there is none.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("PENSTOCK_PEERS_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: PENSTOCK_PEERS_PYTHON does not name a Python with the peers' packages");
    }
    python
}

/// Runs a script of `simulators/tests/peers`; panics with its output when it fails or takes too long.
pub fn run(python: &Path, script: &str, args: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let output = tempfile::NamedTempFile::new().unwrap();
    let (out, errors) = (output.reopen().unwrap(), output.reopen().unwrap());
    let mut child =
        Command::new(python).arg(&script).args(args).stdin(Stdio::null()).stdout(out).stderr(errors).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = std::fs::read_to_string(output.path()).unwrap();
    match status {
        Some(status) if status.success() => print!("{said}"),
        Some(status) => panic!("{} ended with {status}:\n{said}", script.display()),
        None => panic!("{} took longer than {LIMIT:?}:\n{said}", script.display()),
    }
}
