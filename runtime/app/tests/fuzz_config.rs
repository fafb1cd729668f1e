//! Configuration at random: whatever stands in a file of a site, `check` ends, does not panic, and says where.
//!
//! The files of the small site of `check.rs` and of the bundled plants, with lines and words taken out, doubled,
//! exchanged, and replaced by what hurts parsers. `PROPTEST_CASES=100000 cargo test -p penstock --test fuzz_config`
//! looks for longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use penstock::config::{self, Overrides};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// No site may take longer than this by far.
const PATIENCE: Duration = Duration::from_secs(120);

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of a site with all that it refers to, and the files in it that a person edits.
struct Stage {
    _folder: tempfile::TempDir,
    site: PathBuf,
    files: Vec<(PathBuf, String)>,
}

impl Stage {
    fn small() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check");
        copy(&fixtures.join("site"), &folder.path().join("site"));
        copy(&fixtures.join("profiles"), &folder.path().join("profiles"));
        Stage::of(folder, "site")
    }

    fn bundled(site: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        copy(&root.join("configs"), &folder.path().join("configs"));
        copy(&root.join("scripts"), &folder.path().join("scripts"));
        Stage::of(folder, &format!("configs/{site}"))
    }

    fn of(folder: tempfile::TempDir, site: &str) -> Stage {
        let site = folder.path().join(site);
        let mut paths = Vec::new();
        yaml_files(&site, &mut paths);
        paths.sort();
        let files = paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect();
        let stage = Stage { _folder: folder, site, files };
        stage.load().unwrap_or_else(|e| panic!("the site is wrong before anything was broken: {e}"));
        stage
    }

    /// The answer as text; loading happens on a thread of its own, so that one that never ends is a failure.
    fn load(&self) -> Result<(), String> {
        let (done, ended) = mpsc::channel();
        let site = self.site.clone();
        let run = std::thread::spawn(move || {
            let answer = config::load(&site, &Overrides::default());
            done.send(answer.map(|_| ()).map_err(|e| e.to_string())).unwrap();
        });
        match ended.recv_timeout(PATIENCE) {
            Ok(answer) => answer,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("loading does not end"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                run.join().unwrap();
                unreachable!("a thread that ends well has answered")
            }
        }
    }

    /// Puts `text` into a file, loads, and puts the file back.
    fn with(&self, file: usize, text: &str) -> Result<(), String> {
        let (path, right) = &self.files[file];
        std::fs::write(path, text).unwrap();
        let answer = self.load();
        std::fs::write(path, right).unwrap();
        answer
    }
}

fn yaml_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        // Scenarios are files of the simulator; a site does not read them.
        if path.is_dir() && !path.ends_with("scenarios") {
            yaml_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            into.push(path);
        }
    }
}

/// What hurts: YAML's own marks, numbers at the edge, times and units that are none, paths that lead away.
const SPICE: &[&str] = &[
    ":",
    "-",
    "- -",
    "{",
    "}",
    "[",
    "]",
    "{{{{{{{{{{{{{{{{",
    "[[[[[[[[[[[[[[[[",
    "&a",
    "*a",
    "<<: *a",
    "? a",
    "|",
    ">",
    "!!binary x",
    "!!python/object:os.system",
    "#",
    "---",
    "...",
    "\"",
    "'",
    "%YAML 9.9",
    "\t",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "水",
    "null",
    "~",
    "true",
    "yes",
    "0",
    "-1",
    "1e999",
    "-1e999",
    ".nan",
    ".inf",
    "0x7fffffffffffffffffff",
    "99999999999999999999999999",
    "1e-320",
    "18446744073709551616",
    "65536",
    "40001",
    "499999",
    "0s",
    "-5s",
    "1e30s",
    "99999999999d",
    "1fortnight",
    "5 GB",
    "-1 TB",
    "mg/Liter",
    "kW/kW/kW",
    "../../../../etc/passwd",
    "/dev/zero",
    "/",
    ".",
    "*",
    "**/*.yaml",
    "[*]",
    "a/../b",
    "127.0.0.1:99999",
    "tcp://[::1]:1",
    "ns=99999;i=-1",
    "s=",
    "tag",
    "tags",
    "points",
    "limits: [5, 1]",
    "range: [0, 0]",
    "every: 0s",
    "hold 1s then then",
    "x > y",
    "=A1",
    "${HOME}",
    "{{ x }}",
    "aer/z3/do",
    "a b",
    "A/B",
    "//",
    "a//b",
    "/a/",
];

#[derive(Debug, Clone)]
struct Mutation {
    what: u8,
    place: usize,
    other: usize,
    spice: usize,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = (0_u8..9, any::<usize>(), any::<usize>(), any::<usize>());
    let one = one.prop_map(|(what, place, other, spice)| Mutation { what, place, other, spice });
    prop::collection::vec(one, 1..6)
}

/// The start and end of a word of `line`, chosen by a draw.
fn word(line: &str, draw: usize) -> Option<(usize, usize)> {
    let inner = |c: char| !c.is_whitespace() && !matches!(c, ',' | '{' | '}' | '[' | ']' | ':');
    let mut words = Vec::new();
    let mut from = None;
    for (i, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match (inner(c), from) {
            (true, None) => from = Some(i),
            (false, Some(start)) => {
                words.push((start, i));
                from = None;
            }
            _ => {}
        }
    }
    (!words.is_empty()).then(|| words[draw % words.len()])
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for m in mutations {
        if lines.is_empty() {
            break;
        }
        let (a, b) = (m.place % lines.len(), m.other % lines.len());
        let spice = SPICE[m.spice % SPICE.len()];
        match m.what {
            0 => drop(lines.remove(a)),
            1 => lines.insert(a, lines[b].clone()),
            2 => lines.swap(a, b),
            3 => lines[a].insert_str(0, "  "),
            4 => lines[a] = lines[a].trim_start().to_owned(),
            // A word becomes another one, of this line's or of the list.
            5 | 6 => {
                if let Some((from, to)) = word(&lines[a], m.other) {
                    lines[a].replace_range(from..to, spice);
                }
            }
            7 => {
                let other = word(&lines[b], m.spice).map(|(from, to)| lines[b][from..to].to_owned());
                if let (Some((from, to)), Some(other)) = (word(&lines[a], m.other), other) {
                    lines[a].replace_range(from..to, &other);
                }
            }
            // The file ends in the middle of a line, as after a full disk.
            _ => {
                let end = lines[a].char_indices().map(|(i, _)| i).nth(m.spice % 40).unwrap_or(0);
                lines[a].truncate(end);
                lines.truncate(a + 1);
            }
        }
    }
    lines.join("\n")
}

/// Loads the stage with a mistaken file, and looks at what is said about it.
fn survives(stage: &Stage, which: usize, changes: &[Mutation]) {
    let file = which % stage.files.len();
    let (path, right) = &stage.files[file];
    let text = mutate(right, changes);
    if let Err(said) = stage.with(file, &text) {
        assert!(said.contains("error"), "nothing is called an error: {said}\n{}:\n{text}", path.display());
        // Each error says where, but for those of a folder as a whole.
        let errors = said.lines().filter(|l| l.starts_with("error")).count();
        let places = said.lines().filter(|l| l.trim_start().starts_with("-->")).count();
        assert!(places >= errors, "{errors} errors with {places} places: {said}\n{}:\n{text}", path.display());
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 100, ..Config::with_cases(Config::default().cases / 2) })]

    #[test]
    fn a_small_site_with_mistakes_is_answered(edits in prop::collection::vec((any::<usize>(), mutations()), 8)) {
        let stage = Stage::small();
        for (which, changes) in edits {
            survives(&stage, which, &changes);
        }
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 20, ..Config::with_cases(Config::default().cases / 32) })]

    #[test]
    fn a_bundled_plant_with_mistakes_is_answered(
        bsm1 in any::<bool>(), edits in prop::collection::vec((any::<usize>(), mutations()), 8),
    ) {
        let stage = Stage::bundled(if bsm1 { "bsm1" } else { "jinan-wwtp" });
        for (which, changes) in edits {
            survives(&stage, which, &changes);
        }
    }
}

#[test]
fn a_file_that_grows_without_end_is_refused() {
    let stage = Stage::small();
    let site = stage.files.iter().position(|(p, _)| p.ends_with("site.yaml")).unwrap();
    // Each anchor doubles the one before: a few lines that would be a million nodes.
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for i in 1..25 {
        bomb.push_str(&format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1));
    }
    for text in [bomb, "[".repeat(200_000), "a: ".repeat(100_000), format!("site: {}", "x".repeat(5_000_000))] {
        assert!(stage.with(site, &text).is_err());
    }
}
