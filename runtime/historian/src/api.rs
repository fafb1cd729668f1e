//! What goes in and what comes out.

use penstock_model::{Quality, Utc, Value, ValueType};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where and how long history is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder; created when missing, its parents too.
    pub dir: PathBuf,
    /// Older than this is deleted by [`crate::Historian::retain`], in whole chunks.
    pub retention: Duration,
    /// Bytes the folder is meant to take at most; the oldest chunks go first. The store needs about 2.2 bytes of disk
    /// per byte of data, so the data itself is held to `bytes_max / 2.2`. `None`: by age alone.
    pub bytes_max: Option<u64>,
    /// A commit is refused while the file system has fewer free bytes than this. 0 switches the check off.
    pub free_bytes_min: u64,
}

/// What is recorded under one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesDef {
    /// The tag's path; the identity of the series for ever.
    pub path: Arc<str>,
    /// Type of the values. Kept for readers; a point of another type is stored as it is.
    pub value_type: ValueType,
    /// Unit of the values, as text.
    pub unit: Arc<str>,
    /// Figures after the decimal point on screens. Kept for readers; storage is lossless whatever it says.
    pub decimals: u8,
}

/// A series of this store; stable across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// One recorded sample. Times are kept to the whole millisecond, rounded down.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The series.
    pub series: SeriesId,
    /// Civil time of the sample.
    pub utc: Utc,
    /// Its value; `None` where there was none. Text beyond [`penstock_model::limits::TEXT_BYTES_MAX`] bytes is cut.
    pub value: Option<Value>,
    /// How far it may be trusted.
    pub quality: Quality,
}

/// What happened in one part of a range. A part without any point has no bucket.
///
/// The numbers are those of points that are not Bad; switches count as 0 and 1; text has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Start of the part (inclusive); it ends where the next part starts.
    pub from: Utc,
    /// Number of the earliest point that has one.
    pub first: Option<f64>,
    /// Number of the latest point that has one.
    pub last: Option<f64>,
    /// Smallest number.
    pub min: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// Arithmetic mean of the points' numbers. It knows no time: a point that stood for an hour weighs as much as one
    /// that stood for a second.
    pub mean: Option<f64>,
    /// Points in the part, with and without a number.
    pub count: u32,
    /// Worst quality among all points of the part.
    pub worst: Quality,
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// When it happened.
    pub utc: Utc,
    /// What kind of thing, for example `alarm`, `fault`.
    pub kind: String,
    /// The rest, in the writer's own format.
    pub body: String,
}

/// A damaged store that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Where it lies now.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// What was found at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The store was damaged and put aside; a fresh one was opened: an alarm, the history begins anew.
    pub quarantined: Option<Quarantine>,
    /// True when there was no store before.
    pub created: bool,
    /// Series known.
    pub series: usize,
    /// Compressed chunks stored.
    pub chunks: u64,
    /// Points replayed from the tail rows into memory.
    pub recovered: u64,
    /// Rows that could not be read and were left out: an alarm.
    pub damaged_rows: u64,
    /// Commits that were confirmed once and are gone: the data was damaged and the store fell back to a state before. The
    /// older history is used on. An alarm.
    pub lost_commits: u64,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitReport {
    /// Points made durable.
    pub points: usize,
    /// Journal rows made durable.
    pub events: usize,
    /// Tail rows written for them.
    pub rows: usize,
    /// Bytes of those rows.
    pub bytes: usize,
    /// Chunks written in place of older tail rows.
    pub chunks: usize,
    /// How long it took.
    pub took: Duration,
}

/// What retention deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetainReport {
    /// Chunks deleted.
    pub chunks: u64,
    /// Points in them.
    pub samples: u64,
    /// Journal rows deleted.
    pub events: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// False when the bound of one call was reached: call again.
    pub complete: bool,
}

/// The historian's own health.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Series known.
    pub series: usize,
    /// Points held: chunks, tail and memory.
    pub samples: u64,
    /// Points lost since the start: memory was full while the store took nothing, or their series is unknown.
    pub dropped: u64,
    /// Bytes of all stored keys and values.
    pub bytes_live: u64,
    /// Bytes the store takes on the disk; never shrinks, freed parts are used again.
    pub bytes_disk: u64,
    /// Bytes per point in the compressed chunks: keys, values, time and quality included. 0 without chunks.
    pub bytes_per_sample: f64,
    /// Compressed chunks.
    pub chunks: u64,
    /// Bytes of tail rows (durable, not compressed yet).
    pub tail_bytes: u64,
    /// Journal rows stored.
    pub events: u64,
    /// Points not durable yet.
    pub pending: usize,
    /// Damaged rows met since the start.
    pub damaged: u64,
    /// How long the last good commit took.
    pub last_commit: Duration,
    /// Why the last commit failed; `None` when it did not.
    pub last_error: Option<String>,
}

/// What a check of a whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Series known.
    pub series: usize,
    /// Chunks read.
    pub chunks: u64,
    /// Points in chunks and tail rows.
    pub samples: u64,
    /// Tail rows read.
    pub tail_rows: u64,
    /// Journal rows read.
    pub events: u64,
    /// What is wrong, one line each (the first 100); empty when all is well.
    pub damaged: Vec<String>,
}
