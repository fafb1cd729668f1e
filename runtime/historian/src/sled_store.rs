//! The store on sled 0.34.7, used only in the ways that were measured to be safe:
//!
//! - durable means `flush()` and then our own `fsync` of the data file: `flush()` alone ends in a call that does not wait
//!   for the disk. New folders are made durable themselves.
//! - values of at most 4 000 bytes and batches of at most 100 entries.
//! - the 500 ms flusher stays on, because sled cleans up there.
//! - sled panics on damaged files and cannot go on after an I/O error: every call is contained, and after an error the
//!   database is closed and opened again.

use crate::error::StoreError;
use crate::limits::{BATCH_ENTRIES_MAX, CACHE_BYTES, VALUE_BYTES_MAX};
use crate::storage::{Op, Storage, Visit};
use parking_lot::RwLock;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a sled folder did not open.
#[derive(Debug)]
pub(crate) enum SledOpenError {
    InUse,
    Io(io::Error),
    Damaged(String),
}

/// An open sled database in a folder.
pub(crate) struct SledStore {
    path: PathBuf,
    open: RwLock<Option<Opened>>,
    failed: AtomicBool,
}

#[derive(Clone)]
struct Opened {
    db: sled::Db,
    // A second handle of the data file, to wait for the disk: sled does not give its own away.
    file: std::sync::Arc<File>,
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a folder and makes it and every folder created on the way durable.
pub(crate) fn create_dir_durable(dir: &Path) -> io::Result<()> {
    let existing = dir.ancestors().find(|a| a.is_dir());
    std::fs::create_dir_all(dir)?;
    for folder in dir.ancestors() {
        // A relative path ends in the empty one, which stands for the working folder.
        sync_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
        if Some(folder) == existing {
            break;
        }
    }
    Ok(())
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic without text").to_owned()
}

fn open_sled(path: &Path) -> Result<Opened, SledOpenError> {
    let config =
        sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500)).use_compression(false);
    let db = match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => db,
        Ok(Err(sled::Error::Io(e))) => {
            // The lock has no error kind of its own.
            let in_use = e.to_string().contains("could not acquire lock");
            return Err(match e.kind() {
                _ if in_use => SledOpenError::InUse,
                // These are sled's words for files that contradict themselves.
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => SledOpenError::Damaged(e.to_string()),
                io::ErrorKind::Other if e.raw_os_error().is_none() => SledOpenError::Damaged(e.to_string()),
                _ => SledOpenError::Io(e),
            });
        }
        Ok(Err(e)) => return Err(SledOpenError::Damaged(e.to_string())),
        Err(panic) => return Err(SledOpenError::Damaged(panic_text(&*panic))),
    };
    let file = File::open(path.join("db")).map_err(SledOpenError::Io)?;
    for dir in [&path.join("blobs"), path] {
        sync_dir(dir).map_err(SledOpenError::Io)?;
    }
    Ok(Opened { db, file: file.into() })
}

fn store_error(what: &'static str, e: &sled::Error) -> StoreError {
    match e {
        sled::Error::Io(io) if io.kind() == io::ErrorKind::StorageFull => StoreError::Full(io.to_string()),
        sled::Error::Io(io) => StoreError::Store { what, reason: io.to_string() },
        other => StoreError::Damaged(other.to_string()),
    }
}

impl SledStore {
    /// Opens or creates the database in this folder.
    pub(crate) fn open(path: &Path) -> Result<SledStore, SledOpenError> {
        create_dir_durable(path).map_err(SledOpenError::Io)?;
        let opened = open_sled(path)?;
        Ok(SledStore { path: path.to_owned(), open: RwLock::new(Some(opened)), failed: AtomicBool::new(false) })
    }

    fn with<T>(&self, what: &'static str, f: impl FnOnce(&Opened) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let opened = self.open.read().clone().ok_or(StoreError::Store { what, reason: "it is closed".into() })?;
        let result = catch_unwind(AssertUnwindSafe(|| f(&opened)))
            .unwrap_or_else(|panic| Err(StoreError::Damaged(panic_text(&*panic))));
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl Storage for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("read", |o| Ok(o.db.get(key).map_err(|e| store_error("read", &e))?.map(|v| v.to_vec())))
    }

    fn scan(&self, from: &[u8], to: &[u8], backwards: bool, visit: Visit) -> Result<(), StoreError> {
        self.with("read", |o| {
            let mut range = o.db.range(from..to);
            loop {
                let Some(entry) = (if backwards { range.next_back() } else { range.next() }) else { return Ok(()) };
                let (key, value) = entry.map_err(|e| store_error("read", &e))?;
                if visit(&key, &value).is_break() {
                    return Ok(());
                }
            }
        })
    }

    fn apply(&self, ops: &[Op]) -> Result<(), StoreError> {
        let too_long = ops.iter().any(|op| matches!(op, Op::Put(_, v) if v.len() > VALUE_BYTES_MAX));
        if too_long || ops.len() > BATCH_ENTRIES_MAX {
            let reason = format!("{} entries, or a value above {VALUE_BYTES_MAX} bytes", ops.len());
            return Err(StoreError::Store { what: "take a batch so large", reason });
        }
        let mut batch = sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(key.as_slice(), value.as_slice()),
                Op::Delete(key) => batch.remove(key.as_slice()),
            }
        }
        self.with("write", |o| o.db.apply_batch(batch).map_err(|e| store_error("write", &e)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.with("flush", |o| {
            o.db.flush().map_err(|e| store_error("flush", &e))?;
            o.file.sync_all().map_err(|e| store_error("sync", &sled::Error::Io(e)))
        })
    }

    fn repair(&self) -> Result<(), StoreError> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut open = self.open.write();
        let old = open.take();
        // Closing writes, and what failed before may fail and panic again.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        let again = |reason: String| StoreError::Store { what: "open again after an error", reason };
        match open_sled(&self.path) {
            Ok(opened) => *open = Some(opened),
            Err(SledOpenError::InUse) => return Err(again("a query still reads the old one".into())),
            Err(SledOpenError::Io(e)) if e.kind() == io::ErrorKind::StorageFull => {
                return Err(StoreError::Full(e.to_string()));
            }
            Err(SledOpenError::Io(e)) => return Err(again(e.to_string())),
            Err(SledOpenError::Damaged(reason)) => return Err(StoreError::Damaged(reason)),
        }
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    fn bytes_disk(&self) -> u64 {
        // The data file is all there is: no value is long enough for a blob, snapshots are a few kilobytes.
        std::fs::metadata(self.path.join("db")).map_or(0, |m| m.len())
    }

    fn bytes_free(&self) -> Result<u64, StoreError> {
        let fs = rustix::fs::statvfs(&self.path)
            .map_err(|e| StoreError::Store { what: "ask for free space", reason: io::Error::from(e).to_string() })?;
        Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
    }
}
