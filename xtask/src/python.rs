//! Python environments of our own under `target/`, for peers that are written in Python.

use crate::need;
use crate::steps::{Context, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy of the list of packages that an environment was made from.
const INSTALLED: &str = "penstock-installed.txt";

/// The interpreter of the environment `name`, which holds exactly the packages of a list; made where it is missing or the
/// list has changed.
pub fn environment(context: &Context, name: &str, requirements: &Path) -> Result<PathBuf, String> {
    need::python_venv()?;
    let wanted = std::fs::read(requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    let dir = context.target().join(name);
    let python = dir.join("bin/python");
    let installed = dir.join(INSTALLED);
    if python.is_file() && std::fs::read(&installed).ok().as_deref() == Some(wanted.as_slice()) {
        return Ok(python);
    }
    // What another list left there must not stay.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(requirements))?;
    std::fs::write(&installed, &wanted).map_err(|e| format!("{}: {e}", installed.display()))?;
    Ok(python)
}
