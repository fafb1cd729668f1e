//! Clients written by others, in Python: where they are installed, and how a test runs one.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Environment variable with the Python that has the packages of `tests/peers/requirements.txt`.
pub const PYTHON: &str = "PENSTOCK_PEERS_PYTHON";
/// A script that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The Python with the peers' packages; where there is none, says why the test is left out.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        println!("skipped: {PYTHON} is not set; `cargo xtask test --only peers` sets it");
    }
    python
}

/// Runs a script of `tests/peers` and fails the test with what it said when it does not end well in time.
pub async fn run(python: &Path, script: &str, arguments: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let running = tokio::process::Command::new(python).arg(path).args(arguments).kill_on_drop(true).output();
    let ended = tokio::time::timeout(LIMIT, running).await;
    let output = ended.unwrap_or_else(|_| panic!("{script} has not ended within {LIMIT:?}")).unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{script} ended with {}\n{out}\n{err}", output.status);
    println!("{out}");
}
