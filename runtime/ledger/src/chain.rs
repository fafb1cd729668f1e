//! Append-only files of JSON lines, each line carrying the hash of the one before: what is written stays as written, or
//! the change is seen. The layout stands in `docs/ledger-format.md`.
//!
//! A folder holds segments `<prefix>-<number>-<label>.jsonl`. The chain runs through them in the order of their numbers; the
//! label is the period of civil time a segment is about. A new segment is begun with a new label, or where a damaged one
//! has to be left alone.

use crate::limits::LINE_BYTES_MAX;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder in use is tried again this often, [`IN_USE_WAIT`] apart: a process that was killed keeps its locks until its
/// memory is given back.
const IN_USE_TRIES: u32 = 60;
const IN_USE_WAIT: Duration = Duration::from_millis(50);

/// Version of the line layout.
const VERSION: u8 = 1;
/// Between the hashed part of a line and its hash.
const HASH_KEY: &str = ",\"hash\":\"";
/// The rest of a line after the hashed part: key, 64 hex digits, quote, brace.
const TAIL_BYTES: usize = HASH_KEY.len() + 64 + 2;

/// A chained file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A record that no line can hold.
    #[error("a record of {bytes} bytes is longer than the {LINE_BYTES_MAX} a line may have")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// A record that does not encode.
    #[error("a record cannot be encoded")]
    Encode(#[source] serde_json::Error),
}

/// What was found at open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Number of the last record.
    pub records: u64,
    /// Hash of the last record: printed on a report, it proves later that nothing before it was changed or cut off.
    pub head: String,
    /// Bytes of an unfinished last line that were removed: its write had never been acknowledged.
    pub torn_bytes: u64,
    /// The first record that does not verify. The damaged segment is left as it is, and a new one begun.
    pub broken: Option<Broken>,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Records that verify.
    pub records: u64,
    /// Hash of the last record.
    pub head: String,
    /// Bytes after the last complete line.
    pub torn_bytes: u64,
    /// The first record that does not verify.
    pub broken: Option<Broken>,
}

/// The first record that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// File name of its segment.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// The sequence number a sound record would have there.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} ({} line {}): {}", self.seq, self.file, self.line, self.reason)
    }
}

/// Where the chain stands.
#[derive(Debug, Clone)]
struct Head {
    seq: u64,
    hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

#[derive(Deserialize)]
struct Line {
    v: u8,
    seq: u64,
    prev: String,
    body: serde_json::Value,
}

/// A folder of chained segments, open for appending.
#[derive(Debug)]
pub(crate) struct Chain {
    dir: PathBuf,
    prefix: &'static str,
    head: Head,
    /// The segment being appended to; none where the next append begins one.
    segment: Option<Segment>,
    /// Holds the advisory lock for as long as the chain is open.
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    label: String,
    file: File,
    /// Length up to the last acknowledged record.
    len: u64,
}

impl Chain {
    /// Opens or creates the chain, repairs an unfinished last line, and hands every sound record to `each`, oldest first.
    pub(crate) fn open(
        dir: &Path,
        prefix: &'static str,
        each: &mut dyn FnMut(u64, serde_json::Value),
    ) -> Result<(Chain, OpenReport), LogError> {
        Self::open_tail(dir, prefix, usize::MAX, each)
    }

    /// As [`Chain::open`], reading the last `count` segments alone: what went before is left to [`verify`].
    pub(crate) fn open_tail(
        dir: &Path,
        prefix: &'static str,
        count: usize,
        each: &mut dyn FnMut(u64, serde_json::Value),
    ) -> Result<(Chain, OpenReport), LogError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let lock_path = dir.join(format!("{prefix}.lock"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io_error("open", &lock_path))?;
        hold(&lock, dir, &lock_path)?;
        let mut paths = segments(dir, prefix)?;
        let skipped = paths.len().saturating_sub(count);
        paths.drain(..skipped);
        let mut walk = Walk { trust_next: skipped > 0, ..Walk::default() };
        let mut last_broken = false;
        for (index, segment) in paths.iter().enumerate() {
            last_broken = walk.segment(&segment.path, index + 1 == paths.len(), each)?;
        }
        let mut segment = None;
        if let Some(OnDisk { path, label, .. }) = paths.last().filter(|_| !last_broken) {
            let file = OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
            if walk.torn > 0 {
                file.set_len(walk.len).map_err(io_error("shorten", path))?;
                file.sync_all().map_err(io_error("sync", path))?;
            }
            segment = Some(Segment { path: path.clone(), label: label.clone(), file, len: walk.len });
        }
        let report = OpenReport {
            records: walk.head.seq,
            head: walk.head.hash.clone(),
            torn_bytes: walk.torn,
            broken: walk.broken,
        };
        sync_dir(dir)?;
        let chain = Chain { dir: dir.to_owned(), prefix, head: walk.head, segment, _lock: lock };
        Ok((chain, report))
    }

    /// Appends records in one write and returns the number of the last one, once the disk has them.
    ///
    /// On an error nothing was appended: what may have reached the file is cut off before the next try.
    pub(crate) fn append(&mut self, label: &str, bodies: &[String]) -> Result<u64, LogError> {
        let mut head = self.head.clone();
        let mut text = String::new();
        for body in bodies {
            head.seq += 1;
            let (line, hash) = line(&head, head.seq, body);
            if line.len() >= LINE_BYTES_MAX {
                return Err(LogError::TooLong { bytes: body.len() });
            }
            head.hash = hash;
            text.push_str(&line);
        }
        let segment = self.segment_for(label)?;
        let Segment { path, file, len, .. } = segment;
        let write = |operation| io_error(operation, path.as_path());
        file.set_len(*len).map_err(write("shorten"))?;
        file.seek(SeekFrom::Start(*len)).map_err(write("write"))?;
        file.write_all(text.as_bytes()).map_err(write("write"))?;
        file.sync_data().map_err(write("sync"))?;
        *len += text.len() as u64;
        self.head = head;
        Ok(self.head.seq)
    }

    /// Hash of the last record.
    pub(crate) fn head(&self) -> &str {
        &self.head.hash
    }

    /// Number of the last record.
    pub(crate) fn seq(&self) -> u64 {
        self.head.seq
    }

    /// A line of the same layout for a file of its own, bound to the record the chain stands at.
    pub(crate) fn seal(&self, body: &str) -> String {
        line(&self.head, self.head.seq, body).0
    }

    /// The segment to append to: the last one while the label stays the same.
    fn segment_for(&mut self, label: &str) -> Result<&mut Segment, LogError> {
        if self.segment.as_ref().is_none_or(|s| s.label != label) {
            let number = segments(&self.dir, self.prefix)?.last().map_or(1, |s| s.number + 1);
            let path = self.dir.join(format!("{}-{number:05}-{label}.jsonl", self.prefix));
            let file =
                OpenOptions::new().create_new(true).write(true).open(&path).map_err(io_error("create", &path))?;
            sync_dir(&self.dir)?;
            self.segment = Some(Segment { path, label: label.to_owned(), file, len: 0 });
        }
        self.segment.as_mut().ok_or_else(|| LogError::InUse(self.dir.clone()))
    }
}

/// A line and its hash.
fn line(prev: &Head, seq: u64, body: &str) -> (String, String) {
    let hashed = format!("{{\"v\":{VERSION},\"seq\":{seq},\"prev\":\"{}\",\"body\":{body}", prev.hash);
    let hash = hash_hex(hashed.as_bytes());
    (format!("{hashed}{HASH_KEY}{hash}\"}}\n"), hash)
}

/// The body of a sealed line and the number it was bound to.
pub(crate) fn unseal(bytes: &[u8]) -> Result<(u64, serde_json::Value), &'static str> {
    let (line, _) = parse(bytes)?;
    if line.v != VERSION {
        return Err("its layout version is not known");
    }
    Ok((line.seq, line.body))
}

/// Verifies all segments of a folder without changing or locking anything.
pub(crate) fn verify(dir: &Path, prefix: &str) -> Result<VerifyReport, LogError> {
    let mut walk = Walk::default();
    let paths = segments(dir, prefix)?;
    for (index, segment) in paths.iter().enumerate() {
        walk.segment(&segment.path, index + 1 == paths.len(), &mut |_, _| {})?;
    }
    Ok(VerifyReport { records: walk.records, head: walk.head.hash, torn_bytes: walk.torn, broken: walk.broken })
}

/// Hands the sound records of the segments with `from <= label <= to` to `each`.
pub(crate) fn read(
    dir: &Path,
    prefix: &str,
    from: &str,
    to: &str,
    each: &mut dyn FnMut(u64, serde_json::Value),
) -> Result<(), LogError> {
    let mut walk = Walk { trust_next: true, ..Walk::default() };
    for OnDisk { path, label, .. } in segments(dir, prefix)? {
        if from <= label.as_str() && label.as_str() <= to {
            walk.segment(&path, false, each)?;
        }
    }
    Ok(())
}

/// The state of a walk along the chain.
#[derive(Default)]
struct Walk {
    head: Head,
    records: u64,
    /// Of the last segment: length of its complete lines, and bytes after them.
    len: u64,
    torn: u64,
    broken: Option<Broken>,
    /// The walk begins in the middle of the chain: the next record is taken as it is.
    trust_next: bool,
}

impl Walk {
    /// Walks one segment; true when it is damaged. A line that does not verify by itself is not handed on; one that
    /// verifies but does not fit its predecessor is, and reported.
    fn segment(
        &mut self,
        path: &Path,
        last: bool,
        each: &mut dyn FnMut(u64, serde_json::Value),
    ) -> Result<bool, LogError> {
        let mut reader = BufReader::new(File::open(path).map_err(io_error("open", path))?);
        let (mut number, mut damaged) = (0, false);
        let mut line = Vec::new();
        (self.len, self.torn) = (0, 0);
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
            let read = read.map_err(io_error("read", path))?;
            if read == 0 {
                return Ok(damaged);
            }
            number += 1;
            let complete = line.last() == Some(&b'\n');
            if !complete && last && read < LINE_BYTES_MAX {
                self.torn = read as u64;
                return Ok(damaged);
            }
            self.len += read as u64;
            let seq = self.head.seq + 1;
            let reason = match parse(&line) {
                Ok((found, hash)) => {
                    if std::mem::take(&mut self.trust_next) {
                        self.head = Head { seq: found.seq.saturating_sub(1), hash: found.prev.clone() };
                    }
                    let seq = self.head.seq + 1;
                    let reason = if found.v != VERSION {
                        Some(format!("layout version {} is not known", found.v))
                    } else if found.seq != seq {
                        Some(format!("its number is {}", found.seq))
                    } else if found.prev != self.head.hash {
                        Some("it does not follow from the record before".to_owned())
                    } else {
                        None
                    };
                    self.head = Head { seq: found.seq, hash };
                    self.records += u64::from(reason.is_none());
                    each(found.seq, found.body);
                    reason
                }
                Err(reason) => Some(reason.to_owned()),
            };
            if let Some(reason) = reason {
                damaged = true;
                let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                self.broken.get_or_insert(Broken { file, line: number, seq, reason });
            }
        }
    }
}

/// Splits a line into its record and its hash, when the hash is that of the line.
fn parse(line: &[u8]) -> Result<(Line, String), &'static str> {
    let line = line.strip_suffix(b"\n").ok_or("the line has no end")?;
    let split = line.len().checked_sub(TAIL_BYTES).ok_or("the line is too short")?;
    let (hashed, tail) = line.split_at(split);
    let hash = tail.strip_prefix(HASH_KEY.as_bytes()).and_then(|t| t.strip_suffix(b"\"}")).ok_or("it has no hash")?;
    let expected = hash_hex(hashed);
    if hash != expected.as_bytes() {
        return Err("its content does not match its hash");
    }
    let mut object = hashed.to_vec();
    object.push(b'}');
    let line = serde_json::from_slice(&object).map_err(|_| "it is not a record")?;
    Ok((line, expected))
}

fn hash_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A segment as found.
struct OnDisk {
    path: PathBuf,
    number: u32,
    label: String,
}

fn segments(dir: &Path, prefix: &str) -> Result<Vec<OnDisk>, LogError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let rest = name.strip_prefix(prefix).and_then(|r| r.strip_prefix('-')).and_then(|r| r.strip_suffix(".jsonl"));
        if let Some((number, label)) = rest.and_then(|r| r.split_once('-'))
            && let Ok(number) = number.parse()
        {
            let label = label.to_owned();
            found.push(OnDisk { path, number, label });
        }
    }
    found.sort_by_key(|s| s.number);
    Ok(found)
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error("sync", dir))
}

pub(crate) fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { operation, path, source }
}

/// Takes the lock of a folder.
fn hold(lock: &File, dir: &Path, path: &Path) -> Result<(), LogError> {
    let mut tries = 0;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if tries < IN_USE_TRIES => {
                tries += 1;
                std::thread::sleep(IN_USE_WAIT);
            }
            Err(fs::TryLockError::WouldBlock) => return Err(LogError::InUse(dir.to_owned())),
            Err(fs::TryLockError::Error(source)) => {
                return Err(LogError::Io { operation: "lock", path: path.to_owned(), source });
            }
        }
    }
}
