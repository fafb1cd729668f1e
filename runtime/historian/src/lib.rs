//! Keeps what was measured: points of tags and a journal of events, durable once a second and compressed.
//!
//! A point is appended to memory, becomes durable in a tail row with the next [`Historian::commit`], and is packed into a
//! compressed chunk together with its neighbours once there are enough of them; then the tail rows go. After a kill the
//! tail rows bring back what was not packed: at most what was never committed is lost. `docs/historian-format.md` has the
//! bytes.
//!
//! Civil time may jump and points may come late or twice: all are kept, and answers are in the order of time. Points of
//! one time stay in the order they arrived.
//!
//! Full means: while the store takes nothing, points wait in memory up to a bound; then the oldest are dropped and
//! counted in [`Stats::dropped`].

mod api;
mod cell;
mod column;
mod commit;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod limits;
mod memory;
mod open;
mod query;
mod recover;
mod retain;
mod sled_store;
mod storage;
#[cfg(test)]
mod tests;
mod verify;

pub use api::{
    Bucket, CommitReport, Config, EventRow, OpenReport, Point, Quarantine, RetainReport, SeriesDef, SeriesId, Stats,
    VerifyReport,
};
pub use error::{OpenError, StoreError};

use commit::Writer;
use memory::Memory;
use open::Progress;
use parking_lot::Mutex;
use penstock_model::Utc;
use recover::Loaded;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use storage::Storage;

/// The store of one site. Queries from any thread; `append` and `commit` are safe from any thread too, but meant for one
/// writer. Dropping it commits what waits.
pub struct Historian {
    config: Config,
    storage: Box<dyn Storage>,
    progress: Progress,
    memory: Mutex<Memory>,
    // Locked before `memory` wherever both are.
    writer: Mutex<Writer>,
    damaged: Mutex<BTreeSet<Vec<u8>>>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    tail_bytes: u64,
    bytes_disk: u64,
    damaged_at_open: u64,
    last_commit: Duration,
    last_error: Option<String>,
}

impl Historian {
    /// Opens or creates the store in `config.dir` and replays its tail. A damaged store is moved to
    /// `<dir>.damaged-<utc>`, a fresh one opened, and both said in the report.
    ///
    /// # Errors
    /// When the folder is in use, is of another format, or cannot be created or read.
    pub fn open(config: Config) -> Result<(Historian, OpenReport), OpenError> {
        let (store, loaded, progress, report) = open::open_folder(&config.dir)?;
        Ok((Self::with(config, Box::new(store), loaded, progress), report))
    }

    fn with(config: Config, storage: Box<dyn Storage>, loaded: Loaded, progress: Progress) -> Historian {
        let needed_from = loaded.memory.needed_from(loaded.next_row);
        let writer = Writer {
            next_row: loaded.next_row,
            rows: loaded.rows,
            needed_from,
            commit: loaded.commit,
            ..Writer::default()
        };
        let health = Health {
            tail_bytes: writer.tail_bytes(),
            bytes_disk: storage.bytes_disk(),
            damaged_at_open: loaded.damaged,
            ..Health::default()
        };
        Historian {
            config,
            storage,
            progress,
            memory: Mutex::new(loaded.memory),
            writer: Mutex::new(writer),
            damaged: Mutex::default(),
            health: Mutex::new(health),
        }
    }

    /// The id of a path, which it keeps for ever. A new series, or a changed definition, is stored with the next commit.
    ///
    /// # Errors
    /// When the path is empty or too long, or there are too many series. Never for want of a working store.
    pub fn series(&self, def: &SeriesDef) -> Result<SeriesId, StoreError> {
        self.memory.lock().define(def)
    }

    /// All series ever recorded, in the order of their ids.
    #[must_use]
    pub fn series_list(&self) -> Vec<(SeriesId, SeriesDef)> {
        self.memory.lock().iter().map(|(id, s)| (SeriesId(id), s.def.clone())).collect()
    }

    /// Takes points into memory, where queries find them at once; durable with the next commit. When too many wait
    /// because the store takes none, the oldest are dropped and counted. Points of unknown series are counted as dropped.
    pub fn append(&self, batch: &[Point]) {
        self.memory.lock().append(batch);
    }

    /// Makes everything appended so far durable: on return it survives a power cut. Meant to be called once a second.
    ///
    /// # Errors
    /// When less than `free_bytes_min` is free, the disk is full, or the store fails. Everything stays in memory, within
    /// its bound, and is tried again with the next call.
    pub fn commit(&self) -> Result<CommitReport, StoreError> {
        let mut writer = self.writer.lock();
        let started = Instant::now();
        let result = self.commit_with(&mut writer);
        let bytes_disk = self.storage.bytes_disk();
        let mut health = self.health.lock();
        health.bytes_disk = bytes_disk;
        match result {
            Ok(mut report) => {
                report.took = started.elapsed();
                health.tail_bytes = writer.tail_bytes();
                health.last_commit = report.took;
                health.last_error = None;
                Ok(report)
            }
            Err(e) => {
                health.last_error = Some(e.to_string());
                Err(e)
            }
        }
    }

    /// The points with `from <= utc < to` in the order of time, those not committed yet included.
    ///
    /// # Errors
    /// When the path was never recorded, `to` is before `from`, the range holds too many points, or the store fails.
    pub fn query(&self, path: &str, from: Utc, to: Utc) -> Result<Vec<Point>, StoreError> {
        self.query_range(path, from, to)
    }

    /// At most `max` of the points with `from <= utc < to`: the first ones in the order of time, or where `backwards` the
    /// last ones against it. Reads no more of the store than it takes to find them.
    ///
    /// # Errors
    /// When the path was never recorded, `to` is before `from`, or the store fails.
    pub fn page(&self, path: &str, from: Utc, to: Utc, max: usize, backwards: bool) -> Result<Vec<Point>, StoreError> {
        self.page_range(path, from, to, max, backwards)
    }

    /// The range `from <= utc < to` in so many parts of equal length (1 to 100 000). Extremes are kept, the worst quality
    /// shows, a part without points is absent.
    ///
    /// # Errors
    /// When the path was never recorded, the range is turned round, the number of parts is out of bounds, or the store
    /// fails.
    pub fn downsample(&self, path: &str, from: Utc, to: Utc, buckets: usize) -> Result<Vec<Bucket>, StoreError> {
        self.downsample_range(path, from, to, buckets)
    }

    /// The latest point with `utc < at`: with [`Historian::query`] from `at` on, no point is seen twice.
    ///
    /// # Errors
    /// When the path was never recorded, or the store fails.
    pub fn last_before(&self, path: &str, at: Utc) -> Result<Option<Point>, StoreError> {
        self.last_cell_before(path, at)
    }

    /// Takes a journal row into memory; durable with the next commit.
    ///
    /// # Errors
    /// When the row is too long, or so many wait for a store that takes none that no more are taken.
    pub fn events_append(&self, utc: Utc, kind: &str, body: &str) -> Result<(), StoreError> {
        self.memory.lock().event(utc.0, kind, body)
    }

    /// Journal rows with `from <= utc < to`, the newest first, at most `limit` and at most 100 000.
    ///
    /// # Errors
    /// When the store fails.
    pub fn events(&self, from: Utc, to: Utc, kind: Option<&str>, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        self.events_between(from, to, kind, limit)
    }

    /// Deletes chunks and journal rows that are wholly older than the retention, then the oldest ones until the data
    /// fits `bytes_max`. At most 20 000 per call: the report says whether it is done.
    ///
    /// # Errors
    /// When the store fails, the last commit failed, or hardly any space is free.
    pub fn retain(&self, now: Utc) -> Result<RetainReport, StoreError> {
        self.retain_until(now)
    }

    /// The historian's own health, as of the last commit where it concerns the disk. Never waits for the disk: screens ask
    /// for it while it does not answer.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.memory.lock().stats();
        let health = self.health.lock();
        stats.tail_bytes = health.tail_bytes;
        stats.bytes_live += health.tail_bytes;
        stats.bytes_disk = health.bytes_disk;
        stats.damaged = health.damaged_at_open + self.damaged.lock().len() as u64;
        stats.last_commit = health.last_commit;
        stats.last_error.clone_from(&health.last_error);
        stats
    }

    /// Reads every row of the store in a folder that no process has open, and says what is wrong. Puts nothing aside.
    ///
    /// # Errors
    /// When there is no store, it is in use or of another format, or it cannot be opened at all.
    pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
        open::verify_folder(dir)
    }

    /// Commits what waits and closes the store.
    ///
    /// # Errors
    /// As [`Historian::commit`]; what could not be committed is lost.
    pub fn close(self) -> Result<CommitReport, StoreError> {
        self.commit()
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        if let Err(error) = self.commit() {
            tracing::error!(%error, "history not committed at the end; the points of the last second are lost");
        }
    }
}

impl fmt::Debug for Historian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Historian").field("dir", &self.config.dir).finish_non_exhaustive()
    }
}
