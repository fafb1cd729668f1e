//! What has run: every configuration that was started or applied, in `changes/` of the state folder.
//!
//! An entry is a folder `changes/<number>/` with `entry.json` and, under `files/`, a copy of every file the configuration
//! was read from, in their places relative to each other. It is written beside, synced and renamed, so that there is a
//! whole entry or none. A change is entered as asked for before it is handed to the tasks, and as run once they have it: the
//! newest entry that ran is what runs, or ran last. The files are kept of the newest entries alone; what happened is kept
//! for longer.

use super::words::Words;
use crate::config::{Loaded, Overrides, Site, load};
use penstock_model::Utc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Configurations kept with their files, so that they can be gone back to: a year of careful work.
pub const ENTRIES_MAX: usize = 50;
/// Entries kept without their files: when, who, why and what differed.
pub const LISTED_MAX: usize = 1_000;
/// Longest comment and name kept.
const TEXT_CHARS_MAX: usize = 500;
/// Lines of differences kept of one entry.
const LINES_MAX: usize = 500;

/// Beside `entry.json` of what was asked for: what takes its place when the tasks have it.
const READY: &str = "entry.ran";

/// How a configuration came to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The runtime was started with it.
    Start,
    /// It was applied while running.
    Apply,
    /// A person went back to it.
    Rollback,
    /// The runtime went back to it by itself within the probation of another.
    Automatic,
    /// The runtime was started with it again after a crash, although the site's folder is another one.
    Restart,
}

/// What became of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was asked for, and nobody noted what became of it: it counts as never run.
    Asked,
    /// It was refused, and never ran.
    Refused,
    /// The tasks took it.
    #[default]
    Ran,
}

/// One configuration that ran, or was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u32,
    /// When, in milliseconds of UTC.
    pub at_ms: i64,
    /// How it came.
    pub kind: Kind,
    /// Name of the site.
    pub site_id: String,
    /// Account of the operating system, and who was said to be responsible.
    pub who: String,
    /// Why.
    pub comment: String,
    /// Hash of the configuration.
    pub hash: String,
    /// For a return: the number gone back to.
    pub of: Option<u32>,
    /// What differed from the one before.
    pub lines: Vec<Words>,
    /// The site's folder below `files/`.
    pub site: PathBuf,
    /// What became of it. Entries of older versions have run.
    #[serde(default)]
    pub outcome: Outcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Words>,
}

/// Reads the list, oldest first. Folders that are no whole entry are passed over and named.
///
/// # Errors
/// Where the folder cannot be read.
pub fn list(state_dir: &Path) -> Result<(Vec<Entry>, Vec<String>), String> {
    let dir = state_dir.join("changes");
    let folders = match std::fs::read_dir(&dir) {
        Ok(folders) => folders,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(e) => return Err(format!("{}: {e}", dir.display())),
    };
    let (mut entries, mut broken) = (Vec::new(), Vec::new());
    for folder in folders.filter_map(Result::ok) {
        let name = folder.file_name().to_string_lossy().into_owned();
        let Ok(number) = name.parse::<u32>() else { continue };
        let read = std::fs::read(folder.path().join("entry.json")).ok();
        match read.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok()).filter(|e| e.number == number) {
            Some(entry) => entries.push(entry),
            None => broken.push(name),
        }
    }
    entries.sort_by_key(|e| e.number);
    Ok((entries, broken))
}

/// The list without what was only asked for or refused: what can be compared with and gone back to. The newest is what
/// runs, or ran last.
///
/// # Errors
/// Where the folder cannot be read.
pub fn ran(state_dir: &Path) -> Result<(Vec<Entry>, Vec<String>), String> {
    let (mut entries, broken) = list(state_dir)?;
    entries.retain(|e| e.outcome == Outcome::Ran);
    Ok((entries, broken))
}

/// Loads the configuration of an entry and checks that it is the one that ran.
///
/// # Errors
/// In words, why it cannot be used.
pub fn configuration(state_dir: &Path, entry: &Entry, overrides: &Overrides) -> Result<Loaded, String> {
    let inside = entry.site.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        return Err(format!("entry {} names a folder outside its own", entry.number));
    }
    let files = folder(state_dir, entry.number).join("files");
    if !files.is_dir() {
        return Err(format!(
            "the files of configuration {} are not kept any more: those of the newest {ENTRIES_MAX} are",
            entry.number
        ));
    }
    let dir = files.join(&entry.site);
    let loaded = load(&dir, overrides).map_err(|d| format!("the copy of configuration {}: {d}", entry.number))?;
    if loaded.site.config_hash != entry.hash {
        return Err(format!(
            "the copy of configuration {} is not the one that ran (hash {} and not {}): it was changed or damaged",
            entry.number, loaded.site.config_hash, entry.hash
        ));
    }
    Ok(loaded)
}

/// What is to be noted of a configuration.
pub struct Note {
    pub at: Utc,
    pub kind: Kind,
    pub who: String,
    pub comment: String,
    pub of: Option<u32>,
    pub lines: Vec<Words>,
}

/// Adds an entry for this site that runs already, the newest; on return it is on the disk. The oldest go where there are
/// too many.
///
/// # Errors
/// In words, where the disk does not take it.
pub fn add(state_dir: &Path, site: &Site, note: Note) -> Result<Entry, String> {
    enter(state_dir, site, note, Outcome::Ran)
}

/// Adds an entry for a site that is about to be handed to the tasks. It counts as never run until [`took`].
///
/// # Errors
/// In words, where the disk does not take it.
pub fn ask(state_dir: &Path, site: &Site, note: Note) -> Result<Entry, String> {
    enter(state_dir, site, note, Outcome::Asked)
}

/// Notes that what was asked for runs. The words lie ready on the disk: a full one takes this too.
///
/// # Errors
/// In words; the entry counts as never run then.
pub fn took(state_dir: &Path, number: u32) -> Result<(), String> {
    let dir = folder(state_dir, number);
    let renamed = std::fs::rename(dir.join(READY), dir.join("entry.json"));
    renamed.and_then(|()| std::fs::File::open(&dir)?.sync_all()).map_err(|e| format!("{}: {e}", dir.display()))
}

/// Notes that what was asked for was refused.
///
/// # Errors
/// In words; the entry says that it was asked for and counts as never run.
pub fn refuse(state_dir: &Path, entry: &Entry, why: Words) -> Result<(), String> {
    let dir = folder(state_dir, entry.number);
    let refused = Entry { outcome: Outcome::Refused, why: Some(why), ..entry.clone() };
    let write = || -> std::io::Result<()> {
        match std::fs::remove_file(dir.join(READY)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let beside = dir.join("entry.new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(&refused)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, dir.join("entry.json"))?;
        std::fs::File::open(&dir)?.sync_all()
    };
    write().map_err(|e| format!("{}: {e}", dir.display()))
}

fn enter(state_dir: &Path, site: &Site, note: Note, outcome: Outcome) -> Result<Entry, String> {
    let (entries, broken) = list(state_dir)?;
    let used = broken.iter().filter_map(|name| name.parse().ok());
    let number = entries.iter().map(|e| e.number).chain(used).max().unwrap_or(0) + 1;
    let cut = |text: String| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    let (files, place) = relative(site)?;
    let mut lines = note.lines;
    lines.truncate(LINES_MAX);
    let entry = Entry {
        number,
        at_ms: note.at.millis(),
        kind: note.kind,
        site_id: site.id.clone(),
        who: cut(note.who),
        comment: cut(note.comment),
        hash: site.config_hash.clone(),
        of: note.of,
        lines,
        site: place,
        outcome,
        why: None,
    };
    write(state_dir, &entry, &files)
        .map_err(|e| format!("the history of configurations in {}: {e}", state_dir.display()))?;
    prune(state_dir, &entries);
    Ok(entry)
}

/// Makes room after one more entry than these: the oldest lose their files, the very oldest go.
fn prune(state_dir: &Path, entries: &[Entry]) {
    let surplus = |max: usize| entries.len().saturating_sub(max - 1);
    for (place, old) in entries.iter().take(surplus(ENTRIES_MAX)).enumerate() {
        let folder = folder(state_dir, old.number);
        let gone = if place < surplus(LISTED_MAX) { folder } else { folder.join("files") };
        match std::fs::remove_dir_all(gone) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, number = old.number, "an old configuration could not be removed from the history");
            }
            _ => {}
        }
    }
}

/// The highest number of a configuration that ran on this state folder; 0 where there is none.
#[must_use]
pub fn newest(state_dir: &Path) -> u32 {
    let Ok(folders) = std::fs::read_dir(state_dir.join("changes")) else { return 0 };
    let numbers = folders.filter_map(Result::ok).filter_map(|f| f.file_name().to_str()?.parse::<u32>().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let entry = |number: u32| std::fs::read(folder(state_dir, number).join("entry.json")).ok();
    let ran = |bytes: Vec<u8>| serde_json::from_slice::<Entry>(&bytes).is_ok_and(|e| e.outcome == Outcome::Ran);
    numbers.into_iter().find(|number| entry(*number).is_some_and(ran)).unwrap_or(0)
}

fn folder(state_dir: &Path, number: u32) -> PathBuf {
    state_dir.join("changes").join(format!("{number:06}"))
}

fn write(state_dir: &Path, entry: &Entry, files: &BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
    let target = folder(state_dir, entry.number);
    let beside = target.with_extension("new");
    if beside.exists() {
        std::fs::remove_dir_all(&beside)?;
    }
    let put = |path: &Path, bytes: &[u8]| -> std::io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(&beside))?;
        let mut file = std::fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    for (path, bytes) in files {
        put(&beside.join("files").join(path), bytes)?;
    }
    put(&beside.join("entry.json"), &serde_json::to_vec_pretty(entry)?)?;
    if entry.outcome == Outcome::Asked {
        let taken = Entry { outcome: Outcome::Ran, ..entry.clone() };
        put(&beside.join(READY), &serde_json::to_vec_pretty(&taken)?)?;
    }
    std::fs::rename(&beside, &target)?;
    std::fs::File::open(state_dir.join("changes"))?.sync_all()
}

/// The files of a site by their places below what they have in common, and the place of the site's folder.
fn relative(site: &Site) -> Result<(BTreeMap<PathBuf, Vec<u8>>, PathBuf), String> {
    let whole = |path: &Path| std::path::absolute(path).map(|p| crate::diagnostics::plain_path(&p));
    let wrong = |e: std::io::Error| format!("{}: {e}", site.dir.display());
    let dir = whole(&site.dir).map_err(wrong)?;
    let mut paths = Vec::new();
    for file in site.sources.files() {
        let (path, bytes) = file?;
        paths.push((whole(path).map_err(wrong)?, bytes));
    }
    // One above the site's folder at least, so that it has a name of its own.
    let mut common = dir.parent().unwrap_or(&dir).to_path_buf();
    while !paths.iter().all(|(path, _)| path.starts_with(&common)) {
        if !common.pop() {
            return Err("the site's files have no folder in common".to_owned());
        }
    }
    let below = |path: &Path| path.strip_prefix(&common).map(Path::to_path_buf).unwrap_or_default();
    let place = below(&dir);
    Ok((paths.into_iter().map(|(path, bytes)| (below(&path), bytes)).collect(), place))
}
