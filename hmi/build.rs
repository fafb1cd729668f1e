//! Builds the front end and puts it into the binary.
//!
//! `PENSTOCK_HMI_DIST` names a folder that is built already (packaging, no internet; a relative path starts at the top
//! of the repository). Otherwise `npm ci` and `npm run build` run in `hmi/web` when its sources changed. `npm ci` is
//! left out while `node_modules` still fits `package-lock.json`: a copy of the lock file beside the modules says so.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the front end is built from; nothing else makes this script run again.
const SOURCES: &[&str] = &[
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "vite.config.js",
    "svelte.config.js",
    "svelte.config.ts",
    "tsconfig.json",
];
/// The copy of the lock file that `node_modules` was installed from. `xtask` knows the name too.
const INSTALLED: &str = "node_modules/.penstock-installed-lock.json";
/// Lines of npm's own words shown when it fails: the first ones name the mistake, the rest is its stack.
const SHOWN_LINES: usize = 15;

fn main() {
    // `cargo::error` fails the build with these lines and nothing around them.
    if let Err(message) = embed() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn embed() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=PENSTOCK_HMI_DIST");
    println!("cargo::rerun-if-changed=build.rs");
    let home = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let dist = match std::env::var_os("PENSTOCK_HMI_DIST") {
        Some(dist) => {
            let dist = home.join("..").join(dist);
            println!("cargo::rerun-if-changed={}", dist.display());
            dist
        }
        None => build_web(&home.join("web"), &out)?,
    };
    let mut files = Vec::new();
    list(&dist, &dist, &mut files).map_err(|e| format!("cannot read the built front end {}: {e}", dist.display()))?;
    files.sort();
    if !files.iter().any(|(name, _)| name == "index.html") {
        return Err(format!("the built front end {} holds no index.html", dist.display()));
    }
    let mut code = String::from("static DIST: &[(&str, &[u8])] = &[\n");
    for (name, path) in &files {
        let _ = writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string());
    }
    code.push_str("];\n");
    fs::write(out.join("dist.rs"), code).map_err(|e| format!("cannot write the list of front-end files: {e}"))
}

fn build_web(web: &Path, out: &Path) -> Result<PathBuf, String> {
    for source in SOURCES {
        if web.join(source).exists() {
            // Not by its whole path: two checkouts may share a target folder, and each is to find its own front end.
            println!("cargo::rerun-if-changed=web/{source}");
        }
    }
    let lock_text = fs::read(web.join("package-lock.json")).map_err(|e| {
        format!("hmi/web/package-lock.json: {e}; restore it, or set PENSTOCK_HMI_DIST to a built front end")
    })?;
    // Builds of two profiles may run at once and share node_modules.
    let guard = out.ancestors().nth(4).unwrap_or(out).join("penstock-hmi-web.lock");
    let guard = fs::File::create(&guard).map_err(|e| format!("cannot create {}: {e}", guard.display()))?;
    guard.lock().map_err(|e| format!("cannot wait for another build of the front end: {e}"))?;
    let installed = web.join(INSTALLED);
    if fs::read(&installed).ok().as_deref() != Some(lock_text.as_slice()) {
        npm(web, &["ci", "--no-audit", "--no-fund"])?;
        fs::write(&installed, &lock_text).map_err(|e| format!("cannot write {}: {e}", installed.display()))?;
    }
    let dist = out.join("dist");
    let dist_text = dist.to_str().ok_or("the build folder's path is not UTF-8, which vite needs")?;
    npm(web, &["run", "build", "--", "--outDir", dist_text, "--emptyOutDir"])?;
    Ok(dist)
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("npm").args(arguments).current_dir(web).env("NO_COLOR", "1").output().map_err(|e| {
            match e.kind() {
                std::io::ErrorKind::NotFound => {
                    "npm is missing: install Node.js 20.19 or newer (Debian: apt-get install nodejs \
             npm), or set PENSTOCK_HMI_DIST to a built front end"
                        .to_owned()
                }
                _ => format!("npm cannot be started: {e}"),
            }
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).take(SHOWN_LINES).collect();
    Err(format!("`npm {}` failed in hmi/web:\n{}", arguments.join(" "), lines.join("\n")))
}

fn list(top: &Path, dir: &Path, files: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            list(top, &path, files)?;
        } else {
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((name, fs::canonicalize(&path)?));
        }
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|e| format!("{name}: {e}"))
}
