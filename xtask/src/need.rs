//! What the tests need beside the Rust toolchain, and how it is installed where that is permitted.

use crate::python;
use crate::steps::{Context, run};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Oldest Node.js the front end's tools run on.
const NODE_MIN: (u32, u32) = (20, 19);
/// Names a browser goes by. The browser tests look for the same ones.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];
/// The copy of the lock file that `node_modules` was installed from; the build script of `hmi` writes it too.
const INSTALLED: &str = "node_modules/.penstock-installed-lock.json";

/// The step `tools`: installs everything. Every missing thing is named, not only the first.
pub fn everything(context: &Context) -> Result<(), String> {
    let missing: Vec<String> = [modules(context), browser(), chinese_font(), broker(), peers(context).map(drop)]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
}

/// The front end's modules, as its lock file names them.
pub fn modules(context: &Context) -> Result<(), String> {
    node()?;
    let web = context.web();
    let lock = std::fs::read(web.join("package-lock.json")).map_err(|e| format!("hmi/web/package-lock.json: {e}"))?;
    // The build script of `hmi` may be at it in another cargo call: both wait for this file.
    let target = context.root.join("target");
    std::fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let guard_path = target.join("penstock-hmi-web.lock");
    let guard = std::fs::File::create(&guard_path).map_err(|e| format!("{}: {e}", guard_path.display()))?;
    guard.lock().map_err(|e| format!("{}: {e}", guard_path.display()))?;
    let installed = web.join(INSTALLED);
    if std::fs::read(&installed).ok().as_deref() == Some(lock.as_slice()) {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&web))?;
    std::fs::write(&installed, &lock).map_err(|e| format!("{}: {e}", installed.display()))
}

fn node() -> Result<(), String> {
    let (major, minor) = NODE_MIN;
    let wanted = format!("Node.js {major}.{minor} or newer with npm is needed (Debian: apt-get install nodejs npm)");
    let version = said(Command::new("node").arg("--version")).ok_or_else(|| wanted.clone())?;
    if !at_least(&version, NODE_MIN) {
        return Err(format!("{wanted}; this is {}", version.trim()));
    }
    said(Command::new("npm").arg("--version")).map(drop).ok_or(wanted)
}

/// True for a version like `v20.20.2` that is not older than `least`.
fn at_least(version: &str, least: (u32, u32)) -> bool {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(|p| p.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else { return false };
    (major, minor) >= least
}

/// A browser for the tests.
pub fn browser() -> Result<(), String> {
    if browser_path().is_some() {
        return Ok(());
    }
    install("chromium", &["chromium"])?;
    browser_path().map(drop).ok_or_else(|| "chromium was installed but is not found".to_owned())
}

fn browser_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|dir| BROWSERS.iter().map(move |b| dir.join(b))).find(|p| p.is_file())
}

/// An MQTT broker for the tests of the edge node. Debian puts it where only the administrator's path leads.
pub fn broker() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = || {
        let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        dirs.map(|dir| dir.join("mosquitto")).any(|p| p.is_file())
    };
    if is_there() {
        return Ok(());
    }
    install("the broker mosquitto", &["mosquitto"])?;
    if is_there() { Ok(()) } else { Err("mosquitto was installed but is not found".to_owned()) }
}

/// A C++ compiler: libFuzzer is built with the fuzzers.
pub fn cxx() -> Result<(), String> {
    let is_there = || said(Command::new("c++").arg("--version")).is_some();
    if is_there() {
        return Ok(());
    }
    install("a C++ compiler", &["g++"])?;
    if is_there() { Ok(()) } else { Err("g++ was installed but `c++` is not found".to_owned()) }
}

/// A C compiler and libmodbus with its headers, for the bench that stands beside it.
pub fn libmodbus() -> Result<(), String> {
    let is_there = || {
        let header = "#include <modbus/modbus.h>\nint main(void) { return modbus_new_tcp(0, 0) == 0; }\n";
        let source = std::env::temp_dir().join(format!("penstock-libmodbus-{}.c", std::process::id()));
        let program = source.with_extension("out");
        let built = std::fs::write(&source, header).is_ok()
            && said(Command::new("cc").arg("-o").arg(&program).arg(&source).arg("-lmodbus")).is_some();
        // What was made to look is of no more use; a file that was never made cannot be removed.
        let _ = std::fs::remove_file(&source);
        let _ = std::fs::remove_file(&program);
        built
    };
    if is_there() {
        return Ok(());
    }
    install("a C compiler with libmodbus", &["gcc", "libc6-dev", "libmodbus-dev"])?;
    if is_there() { Ok(()) } else { Err("libmodbus was installed but nothing can be built with it".to_owned()) }
}

/// Python with its environments: Debian's comes without the part that puts pip into one.
pub fn python_venv() -> Result<(), String> {
    let works = || said(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_some();
    if works() {
        return Ok(());
    }
    install("Python 3 with venv", &["python3", "python3-venv"])?;
    if works() { Ok(()) } else { Err("python3-venv was installed but does not work".to_owned()) }
}

/// A font with Chinese characters: without one every page would be tested as empty boxes.
fn chinese_font() -> Result<(), String> {
    if has_chinese_font() {
        return Ok(());
    }
    install("a Chinese font", &["fontconfig", "fonts-noto-cjk"])?;
    if has_chinese_font() {
        Ok(())
    } else {
        Err("fonts-noto-cjk was installed but no Chinese font is found".to_owned())
    }
}

fn has_chinese_font() -> bool {
    said(Command::new("fc-list").arg(":lang=zh-cn")).is_some_and(|fonts| !fonts.trim().is_empty())
}

/// The Python with the clients of `simulators/tests/peers/requirements.txt`, installed again where that file has changed.
pub fn peers(context: &Context) -> Result<PathBuf, String> {
    python::environment(context, "peers", &context.root.join("simulators/tests/peers/requirements.txt"))
}

/// Installs Debian packages where that is permitted without asking; otherwise the one line says what to install.
fn install(what: &str, packages: &[&str]) -> Result<(), String> {
    let by_hand = || format!("{what} is missing: apt-get install {}", packages.join(" "));
    let root = said(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    let sudo = !root && said(Command::new("sudo").args(["-n", "true"])).is_some();
    if said(Command::new("apt-get").arg("--version")).is_none() || !(root || sudo) {
        return Err(by_hand());
    }
    let apt = |arguments: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        }
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let installed = apt(&["update", "--quiet"]).and_then(|()| {
        let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
        arguments.extend(packages);
        apt(&arguments)
    });
    installed.map_err(|e| format!("{}: {e}", by_hand()))
}

/// What a command says, if it can be started and succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(at_least("v20.19.0\n", (20, 19)));
        assert!(at_least("v22.0.0", (20, 19)));
        assert!(!at_least("v20.9.9", (20, 19)));
        assert!(!at_least("v8.99.0", (20, 19)));
        assert!(!at_least("nonsense", (20, 19)));
    }
}
