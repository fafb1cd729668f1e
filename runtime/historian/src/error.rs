//! What can go wrong, in words that name the folder or the series and what was tried.

use std::path::PathBuf;

/// The store could not be opened. A *damaged* store is no error of opening: it is put aside and said in the report.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another historian of this process, has the folder open.
    #[error("history in `{}` is in use by another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// Written by another format than this build knows. Nothing was changed.
    #[error("history in `{}` has format {found}, this build reads format {known}", dir.display())]
    Version {
        /// The folder.
        dir: PathBuf,
        /// The format found.
        found: u8,
        /// The format of this build.
        known: u8,
    },
    /// The folder cannot be created, read or renamed.
    #[error("history in `{}`: cannot {what}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Damaged, and this call puts nothing aside (see [`crate::Historian::verify`]).
    #[error("history in `{}` is damaged: {reason}", dir.display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store answered with an error while it was read at the start.
    #[error("history in `{}` cannot be read", dir.display())]
    Store {
        /// The folder.
        dir: PathBuf,
        /// The store's answer.
        source: StoreError,
    },
}

/// Reading or writing failed. Points in memory are kept in every case and tried again with the next commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Less free space than the configured floor: nothing was written, so that the store is never hit by a full disk.
    #[error("disk is nearly full: {free} bytes free, history stops below {floor} bytes")]
    LowSpace {
        /// Bytes free for us.
        free: u64,
        /// The configured floor (`free_bytes_min`).
        floor: u64,
    },
    /// The disk is full.
    #[error("disk is full: {0}")]
    Full(String),
    /// The store or the system refused.
    #[error("history store cannot {what}: {reason}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// The answer.
        reason: String,
    },
    /// The store's files contradict themselves. The next start puts the folder aside.
    #[error("history store is damaged: {0}")]
    Damaged(String),
    /// Nothing was ever recorded under that path.
    #[error("no history of `{0}`")]
    UnknownSeries(String),
    /// A path that is empty or longer than a tag's path may be.
    #[error("`{0}` cannot be the path of a series: 1 to {max} bytes are allowed", max = penstock_model::limits::TAG_PATH_BYTES_MAX)]
    BadPath(String),
    /// More series than a site may have tags.
    #[error("history holds {0} series already; no more are taken")]
    TooManySeries(usize),
    /// A range that ends before it starts, or a downsample without buckets.
    #[error("the range asked of `{0}` is empty or turned round")]
    BadRange(String),
    /// The range holds more points than one answer may carry; ask for less or for a downsample.
    #[error("the range asked of `{path}` holds more than {max} points")]
    TooManyPoints {
        /// The series.
        path: String,
        /// The bound.
        max: usize,
    },
    /// A journal row too long to be stored in one piece.
    #[error("journal row of kind `{kind}` has {bytes} bytes, {max} are allowed")]
    EventTooLong {
        /// Kind of the row.
        kind: String,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Too many journal rows wait for a store that does not take them.
    #[error("{0} journal rows wait to be stored; no more are taken")]
    JournalFull(usize),
}
