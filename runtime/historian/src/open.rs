//! Opening a folder: the file that names its format, the store behind it, and quarantine of what is damaged.
//!
//! ```text
//! <dir>/format         one line: penstock history, format 1
//! <dir>/sled/          the store
//! <dir>/progress       number of the last commit that the store confirmed
//! <dir>/damaged        there while commits fail because the store is damaged: the next start puts the folder aside
//! <dir>.damaged-<utc>  a damaged folder, as it was
//! ```

use crate::api::{OpenReport, Quarantine, VerifyReport};
use crate::error::{OpenError, StoreError};
use crate::frame::FORMAT;
use crate::recover::{LoadError, Loaded, commit_value, load, read_commit};
use crate::sled_store::{SledOpenError, SledStore, create_dir_durable, sync_dir};
use crate::storage::Storage;
use crate::verify::verify_store;
use penstock_model::{Clock, SystemClock, Utc};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MARKER: &str = "format";
const DAMAGED: &str = "damaged";
const MARKER_TEXT: &str = "penstock history, format ";

/// A folder in use is tried again this often, 50 ms apart: the last holder may be closing.
const IN_USE_TRIES: u32 = 60;

/// Why a folder was not taken.
enum Refusal {
    Damaged(String),
    Other(OpenError),
}

fn io_error(dir: &Path, what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { dir: dir.to_owned(), what, source }
}

/// True when the folder was taken into use before. An unreadable line counts as such; a foreign format is refused.
fn read_marker(dir: &Path) -> Result<bool, OpenError> {
    match fs::read_to_string(dir.join(MARKER)) {
        Ok(text) => match text.trim().strip_prefix(MARKER_TEXT).and_then(|v| v.parse().ok()) {
            Some(found) if found != FORMAT => Err(OpenError::Version { dir: dir.to_owned(), found, known: FORMAT }),
            _ => Ok(true),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(true),
        Err(e) => Err(io_error(dir, "read its format")(e)),
    }
}

fn write_marker(dir: &Path) -> io::Result<()> {
    let temporary = dir.join("format.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{MARKER_TEXT}{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(MARKER))?;
    sync_dir(dir)
}

/// A note beside the store of the last commit it confirmed. sled takes damage in the middle of its file for the end of
/// it and falls back to what was there before, without a word: the note tells.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    dir: PathBuf,
    file: Option<File>,
    damaged: AtomicBool,
}

impl Progress {
    /// Opens the note in a folder; with the number noted there, 0 when there is none that can be read.
    pub(crate) fn open(dir: &Path) -> io::Result<(Progress, u64)> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(dir.join("progress"))?;
        let mut value = Vec::new();
        file.read_to_end(&mut value)?;
        let progress = Progress { dir: dir.to_owned(), file: Some(file), damaged: AtomicBool::new(false) };
        Ok((progress, read_commit(&value).unwrap_or(0)))
    }

    /// Notes a commit that is durable already. Not synced: after a power cut an older note is as good.
    pub(crate) fn note(&self, commit: u64) {
        let Some(file) = &self.file else { return };
        let mut result = file.write_all_at(&commit_value(commit), 0);
        if self.damaged.swap(false, Ordering::AcqRel) {
            result = result.and(fs::remove_file(self.dir.join(DAMAGED)));
        }
        if let Err(error) = result {
            tracing::warn!(%error, "cannot note the last commit beside the history store");
        }
    }

    /// Notes that a commit failed because the store is damaged: opening it may well succeed, so the next start must be
    /// told. A later commit that succeeds takes the note back.
    pub(crate) fn note_damage(&self, reason: &str) {
        if self.file.is_some() && !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!(reason, "history store is damaged; points wait in memory, the next start puts it aside");
            if let Err(error) = fs::write(self.dir.join(DAMAGED), reason) {
                tracing::error!(%error, "cannot note the damage beside the history store");
            }
        }
    }
}

fn open_sled(dir: &Path) -> Result<SledStore, Refusal> {
    let mut tries = 0;
    loop {
        return match SledStore::open(&dir.join("sled")) {
            Ok(store) => Ok(store),
            Err(SledOpenError::InUse) if tries < IN_USE_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(SledOpenError::InUse) => Err(Refusal::Other(OpenError::InUse { dir: dir.to_owned() })),
            Err(SledOpenError::Io(e)) => Err(Refusal::Other(io_error(dir, "open the store")(e))),
            Err(SledOpenError::Damaged(reason)) => Err(Refusal::Damaged(reason)),
        };
    }
}

/// What a failed load means for the folder.
fn refusal(dir: &Path, error: LoadError) -> Refusal {
    match error {
        LoadError::Damaged(reason) => Refusal::Damaged(reason),
        LoadError::Version(found) => Refusal::Other(OpenError::Version { dir: dir.to_owned(), found, known: FORMAT }),
        LoadError::Store(source) => Refusal::Other(OpenError::Store { dir: dir.to_owned(), source }),
    }
}

fn open_once(dir: &Path) -> Result<(SledStore, Loaded, Progress, u64), Refusal> {
    create_dir_durable(dir).map_err(|e| Refusal::Other(io_error(dir, "create the folder")(e)))?;
    let existing = read_marker(dir).map_err(Refusal::Other)?;
    match fs::read_to_string(dir.join(DAMAGED)) {
        Ok(reason) => return Err(Refusal::Damaged(reason)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Refusal::Other(io_error(dir, "read its note of damage")(e))),
    }
    let store = open_sled(dir)?;
    let mut loaded = load(&store, existing).map_err(|e| refusal(dir, e))?;
    if !existing {
        write_marker(dir).map_err(|e| Refusal::Other(io_error(dir, "write its format")(e)))?;
    }
    let (progress, noted) = Progress::open(dir).map_err(|e| Refusal::Other(io_error(dir, "open its progress")(e)))?;
    let lost = noted.saturating_sub(loaded.commit);
    if lost > 0 {
        tracing::error!(commits = lost, "history is damaged: the store fell back by so many commits");
        // Later numbers go on from the note, so that one loss is told once.
        loaded.commit = noted;
    }
    Ok((store, loaded, progress, lost))
}

/// `20261122T110600Z`.
fn stamp(utc: Utc) -> String {
    let seconds = utc.millis().div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Gregorian date of a day number (Hinnant, "chrono-compatible low-level date algorithms", civil_from_days): years
    // are counted from 1 March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Moves a damaged folder aside and says where to.
fn quarantine(dir: &Path, now: Utc) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let base = format!("{name}.damaged-{}", stamp(now));
    let mut target = dir.with_file_name(&base);
    let mut n = 1;
    while target.exists() {
        n += 1;
        target = dir.with_file_name(format!("{base}-{n}"));
    }
    fs::rename(dir, &target)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent)?,
        _ => sync_dir(Path::new("."))?,
    }
    Ok(target)
}

/// Opens the folder, putting a damaged one aside first.
pub(crate) fn open_folder(dir: &Path) -> Result<(SledStore, Loaded, Progress, OpenReport), OpenError> {
    let mut quarantined = None;
    let (store, loaded, progress, lost_commits) = match open_once(dir) {
        Ok(opened) => opened,
        Err(Refusal::Other(e)) => return Err(e),
        Err(Refusal::Damaged(reason)) => {
            let moved_to =
                quarantine(dir, SystemClock::new().now().utc).map_err(io_error(dir, "put the damaged folder aside"))?;
            tracing::error!(moved_to = %moved_to.display(), reason, "history was damaged and put aside; it begins anew");
            quarantined = Some(Quarantine { moved_to, reason });
            open_once(dir).map_err(|refusal| match refusal {
                Refusal::Other(e) => e,
                Refusal::Damaged(reason) => OpenError::Damaged { dir: dir.to_owned(), reason },
            })?
        }
    };
    let report = OpenReport {
        quarantined,
        created: loaded.created,
        series: loaded.memory.by_path.len(),
        chunks: loaded.memory.iter().map(|(_, s)| s.state.chunks).sum(),
        recovered: loaded.recovered,
        damaged_rows: loaded.damaged,
        lost_commits,
    };
    Ok((store, loaded, progress, report))
}

/// Checks every row of the store in a folder.
pub(crate) fn verify_folder(dir: &Path) -> Result<VerifyReport, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { dir: dir.to_owned(), reason };
    if !read_marker(dir)? || !dir.join("sled").join("db").is_file() {
        let missing = io::Error::new(io::ErrorKind::NotFound, "there is no history");
        return Err(io_error(dir, "find the store")(missing));
    }
    let store = open_sled(dir).map_err(|refusal| match refusal {
        Refusal::Other(e) => e,
        Refusal::Damaged(reason) => damaged(reason),
    })?;
    let noted = fs::read(dir.join("progress")).ok().and_then(|v| read_commit(&v).ok()).unwrap_or(0);
    verify_store(&store as &dyn Storage, noted).map_err(|e| match e {
        LoadError::Damaged(reason) | LoadError::Store(StoreError::Damaged(reason)) => damaged(reason),
        LoadError::Version(found) => OpenError::Version { dir: dir.to_owned(), found, known: FORMAT },
        LoadError::Store(source) => OpenError::Store { dir: dir.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_civil_dates() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_345_560, "20261122T110600Z"),
            (-1, "19691231T235959Z"),
            (4_107_542_399, "21000228T235959Z"),
        ] {
            assert_eq!(stamp(Utc::from_millis(seconds * 1_000)), text);
        }
    }
}
