//! The repository's own rules, each a test: what may not stand in its files, and how long they may be.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file that needs no excuse.
const LINES_MAX: usize = 600;
/// The excuse stands in one of the first lines.
const EXCUSE_WITHIN: usize = 12;
const SOURCES: &[&str] = &["rs", "rhai", "ts", "mjs", "js", "svelte", "css", "sh"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// Files that are tracked, or would be with the next `git add`.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git starts");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    let mut files: Vec<String> = names.split('\0').filter(|n| !n.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    // A file that was deleted but not yet committed as such is still listed.
    files.retain(|f| root().join(f).is_file());
    assert!(files.iter().any(|f| f == "Cargo.toml"), "the list is of this repository");
    files
}

/// The text of a file; `None` for pictures and other binaries.
fn text(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).expect("a listed file is readable")).ok()
}

/// Texts that tie the repository to one machine. Written in two parts, so that this file passes its own test.
fn machine_paths() -> Vec<String> {
    [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/"), ("/mn", "t/")]
        .iter()
        .map(|(a, b)| format!("{a}{b}"))
        .collect()
}

/// The place of a machine's path in a line: at its start or after something that cannot be part of a longer path.
fn tied(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-)}/>".contains(c)))
    })
}

#[test]
fn no_file_is_tied_to_one_machine() {
    let mut wrong = Vec::new();
    for file in files() {
        let Some(text) = text(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            if machine_paths().iter().any(|path| tied(line, path)) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "paths of one machine:\n{}", wrong.join("\n"));
}

#[test]
fn a_path_is_found_where_it_stands_alone() {
    let path = &machine_paths()[0];
    assert!(tied(&format!("see {path}main"), path));
    assert!(tied(&format!("\"{path}main\""), path));
    assert!(!tied(&format!("net{path}x"), path));
    assert!(!tied("nothing here", path));
}

/// Locked packages are named by registry and checksum, never by the address of whatever mirror wrote the lock file.
#[test]
fn lock_files_name_no_address() {
    let cargo = text("Cargo.lock").expect("Cargo.lock");
    let sources: Vec<&str> = cargo.lines().filter_map(|l| l.strip_prefix("source = ")).collect();
    assert!(!sources.is_empty());
    // Cargo writes its default registry by this index, whatever mirror stands in for it; anything else is a fork.
    let foreign: Vec<_> = sources.iter().filter(|s| !s.ends_with("/crates.io-index\"")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for file in files().iter().filter(|f| f.ends_with("package-lock.json")) {
        let text = text(file).expect("a lock file is text");
        let lock: serde_json::Value = serde_json::from_str(&text).expect("a lock file is JSON");
        let packages = lock["packages"].as_object().expect("packages");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["resolved"].is_null(), "{file}: {name} names an address");
            assert!(package["integrity"].is_string(), "{file}: {name} has no integrity");
        }
    }
}

#[test]
fn long_files_say_why() {
    let mut wrong = Vec::new();
    for file in files() {
        if !SOURCES.iter().any(|s| file.ends_with(&format!(".{s}"))) {
            continue;
        }
        let Some(text) = text(&file) else { continue };
        let lines = text.lines().count();
        let excused = text.lines().take(EXCUSE_WITHIN).any(|line| {
            let line = line.trim_start();
            let comment = ["// long:", "# long:", "<!-- long:", "/* long:"].iter().find_map(|c| line.strip_prefix(c));
            comment.is_some_and(|reason| reason.trim().len() > 10)
        });
        if lines > LINES_MAX && !excused {
            wrong.push(format!("{file} has {lines} lines"));
        }
    }
    assert!(wrong.is_empty(), "split them, or say `// long: <reason>` in the first lines: {wrong:?}");
}

/// What `ARCHITECTURE.md` promises of the engine: it reads no clock, opens no file or socket, paces no thread.
#[test]
fn the_engine_names_no_file_socket_or_clock() {
    let words = [
        "std::fs",
        "std::net",
        "std::thread",
        "thread::spawn",
        "thread::sleep",
        "SystemTime",
        "Instant::now",
        "SystemClock",
        "std::env",
    ];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files().iter().filter(|f| f.starts_with("runtime/engine/src/") && f.ends_with(".rs")) {
        seen += 1;
        let text = text(file).expect("source is text");
        // Tests at the end of a file may do what they need.
        let product = text.split("#[cfg(test)]").next().unwrap_or("");
        for (number, line) in product.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if words.iter().any(|w| code.contains(w)) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(seen > 0, "the engine's sources are found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
