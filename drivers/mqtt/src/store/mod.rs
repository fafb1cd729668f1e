//! What hosts have not got yet, on the disk: a ring of segment files, bounded by bytes and by age.
//!
//! Files of our own and not sled: a queue is written at one end and read at the other, so an append is one write at the
//! end of one file; dropping the oldest is removing a file, which gives the space back at once; a torn end is cut off and
//! costs the last record, not the store. sled never shrinks, syncs nothing by itself, and opens as a whole or not at all.
//!
//! Everything before the confirmed position has arrived at a broker. It moves only when the broker has answered a
//! question that was asked after the message: whatever is in doubt is sent again. So a value may come twice, with the
//! same time, and none is lost but to the bounds, which are counted.

mod segment;
mod thread;

pub(crate) use thread::StoreHandle;

use crate::limits::SEGMENTS;
use penstock_model::Utc;
use prost::Message;
use segment::{Found, Kind, MAGIC};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// File that holds the confirmed position.
const CURSOR: &str = "cursor";

/// A place in the store, right behind a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    segment: u64,
    offset: u64,
    /// Values of the segment up to here.
    values: u64,
}

/// Which tag an alias of a segment means.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTag {
    #[prost(string, tag = "1")]
    pub path: String,
    /// Sparkplug data type.
    #[prost(uint32, tag = "2")]
    pub datatype: u32,
}

/// The tags of a segment: the alias is the place here, from 1.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTable {
    #[prost(message, repeated, tag = "1")]
    pub tags: Vec<StoredTag>,
}

/// A record on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Replayed {
    /// Where the next one stands.
    pub behind: Position,
    /// How many values it holds.
    pub count: u32,
    /// A Sparkplug payload without number.
    pub payload: Vec<u8>,
    /// What its aliases mean.
    pub table: Arc<StoredTable>,
}

/// How large it may become and how old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub bytes_max: u64,
    pub age_max: Duration,
}

struct Segment {
    number: u64,
    bytes: u64,
    values: u64,
    oldest_ms: i64,
    newest_ms: i64,
}

struct Reader {
    number: u64,
    file: File,
    table: Arc<StoredTable>,
}

/// The store. One thread owns it.
pub(crate) struct Store {
    dir: PathBuf,
    bounds: Bounds,
    table: Vec<u8>,
    /// Oldest first; the last one is written to while `writer` is open.
    segments: VecDeque<Segment>,
    writer: Option<File>,
    unsynced: bool,
    confirmed: Position,
    cursor_saved: Position,
    /// Where the next record to send stands.
    at: Position,
    reader: Option<Reader>,
    /// Values lost to the bounds since the start.
    dropped: u64,
    next_number: u64,
}

impl Store {
    /// Opens what is there, or starts one. A torn end is cut off in memory and never read; what is damaged further inside
    /// is left out from there to the end of its segment. Answers how many bytes that are.
    pub fn open(dir: &Path, bounds: Bounds, table: &StoredTable) -> io::Result<(Store, u64)> {
        std::fs::create_dir_all(dir)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            numbers.extend(entry?.file_name().to_str().and_then(segment::number));
        }
        numbers.sort_unstable();
        let cursor = read_cursor(&dir.join(CURSOR));
        let mut store = Store {
            dir: dir.to_path_buf(),
            bounds,
            table: table.encode_to_vec(),
            segments: VecDeque::new(),
            writer: None,
            unsynced: false,
            confirmed: cursor,
            cursor_saved: cursor,
            at: cursor,
            reader: None,
            dropped: 0,
            next_number: numbers.last().map_or(cursor.segment, |n| (*n).max(cursor.segment)) + 1,
        };
        let mut broken = 0;
        for number in numbers {
            if number < cursor.segment {
                std::fs::remove_file(segment::path(dir, number))?;
                continue;
            }
            let offset = if number == cursor.segment { cursor.offset } else { 0 };
            let look = segment::open(dir, number).and_then(|mut file| segment::look(&mut file, offset));
            let look = match look {
                Ok(look) => look,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    broken += std::fs::metadata(segment::path(dir, number))?.len();
                    std::fs::remove_file(segment::path(dir, number))?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            broken += look.broken;
            if number == cursor.segment {
                store.confirmed.values = look.values_before;
            }
            let (oldest_ms, newest_ms) = (look.oldest_ms, look.newest_ms);
            let bytes = look.bytes + look.broken;
            store.segments.push_back(Segment { number, bytes, values: look.values, oldest_ms, newest_ms });
        }
        store.at = store.confirmed;
        Ok((store, broken))
    }

    /// Takes a record up: it survives the end of the process from here on, and a power cut after [`Store::sync`].
    pub fn append(&mut self, at: Utc, count: u32, payload: &[u8]) -> io::Result<()> {
        let ms = at.millis();
        let record = segment::encode(Kind::Values, ms, count, payload)?;
        let segment_max = (self.bounds.bytes_max / SEGMENTS).max(self.table.len() as u64 * 2);
        let full = self.segments.back().is_some_and(|s| s.bytes + record.len() as u64 > segment_max);
        if self.writer.is_none() || full {
            self.begin_segment(ms)?;
        }
        if let Err(error) = self.write(&record) {
            // Half a record may stand there: nothing may be written behind it.
            self.writer = None;
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            last.bytes += record.len() as u64;
            last.values += u64::from(count);
            last.oldest_ms = last.oldest_ms.min(ms);
            last.newest_ms = last.newest_ms.max(ms);
        }
        self.unsynced = true;
        self.keep_bounds(at);
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let file = self.writer.as_mut().ok_or_else(|| io::Error::other("no segment is open"))?;
        file.write_all(record)
    }

    fn begin_segment(&mut self, ms: i64) -> io::Result<()> {
        self.sync()?;
        let number = self.next_number;
        let mut file = segment::create(&self.dir, number)?;
        self.next_number += 1;
        let table = segment::encode(Kind::Table, ms, 0, &self.table)?;
        let bytes = (MAGIC.len() + table.len()) as u64;
        self.segments.push_back(Segment { number, bytes, values: 0, oldest_ms: i64::MAX, newest_ms: i64::MIN });
        file.write_all(&table)?;
        self.writer = Some(file);
        Ok(())
    }

    /// Makes what was appended survive a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.unsynced, &self.writer) {
            file.sync_data()?;
        }
        self.unsynced = false;
        Ok(())
    }

    /// Drops the oldest while it is too large, and what is too old as a whole.
    pub fn keep_bounds(&mut self, now: Utc) {
        let oldest = (now - self.bounds.age_max).millis();
        loop {
            let bytes: u64 = self.segments.iter().map(|s| s.bytes).sum();
            let Some(first) = self.segments.front() else { return };
            let old = first.newest_ms != i64::MIN && first.newest_ms < oldest;
            let last = self.segments.len() == 1;
            if !old && (bytes <= self.bounds.bytes_max || last) {
                return;
            }
            self.dropped += self.left_in(first);
            if last {
                self.writer = None;
            }
            self.remove_first();
        }
    }

    /// Values of a segment that are not confirmed.
    fn left_in(&self, segment: &Segment) -> u64 {
        match segment.number.cmp(&self.confirmed.segment) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => segment.values.saturating_sub(self.confirmed.values),
            std::cmp::Ordering::Greater => segment.values,
        }
    }

    fn remove_first(&mut self) {
        let Some(first) = self.segments.pop_front() else { return };
        if self.reader.as_ref().is_some_and(|r| r.number == first.number) {
            self.reader = None;
        }
        let path = segment::path(&self.dir, first.number);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "a segment of the store that is done with cannot be removed");
        }
    }

    /// Starts over at what is not confirmed.
    pub fn rewind(&mut self) {
        self.at = self.confirmed;
    }

    /// The next record to send; `None` at the end. What is too old is passed over and counted.
    pub fn next(&mut self, now: Utc) -> io::Result<Option<Replayed>> {
        let oldest = (now - self.bounds.age_max).millis();
        loop {
            let Some(number) = self.segments.iter().map(|s| s.number).find(|n| *n >= self.at.segment) else {
                return Ok(None);
            };
            if number > self.at.segment || self.at.offset < MAGIC.len() as u64 {
                self.at = Position { segment: number, offset: MAGIC.len() as u64, values: 0 };
            }
            let found = self.read_at()?;
            let last = self.segments.back().is_some_and(|s| s.number == number);
            match found {
                Found::Record(record, next) => {
                    let nothing_in_doubt = self.at == self.confirmed || self.confirmed.segment < self.at.segment;
                    self.at.offset = next;
                    match record.kind {
                        Kind::Table => continue,
                        Kind::Values => self.at.values += u64::from(record.count),
                    }
                    if record.ms < oldest {
                        self.dropped += u64::from(record.count);
                        if nothing_in_doubt {
                            self.confirmed = self.at;
                        }
                        continue;
                    }
                    let table = self.reader.as_ref().map(|r| r.table.clone()).unwrap_or_default();
                    let (behind, count) = (self.at, record.count);
                    return Ok(Some(Replayed { behind, count, payload: record.content, table }));
                }
                Found::End | Found::Broken if last => return Ok(None),
                Found::End | Found::Broken => self.at = Position { segment: number + 1, offset: 0, values: 0 },
            }
        }
    }

    fn read_at(&mut self) -> io::Result<Found> {
        let number = self.at.segment;
        if self.reader.as_ref().is_none_or(|r| r.number != number) {
            let mut file = segment::open(&self.dir, number)?;
            let table = match segment::read(&mut file, MAGIC.len() as u64)? {
                Found::Record(record, _) if record.kind == Kind::Table => {
                    StoredTable::decode(record.content.as_slice()).unwrap_or_default()
                }
                _ => StoredTable::default(),
            };
            self.reader = Some(Reader { number, file, table: Arc::new(table) });
        }
        match &mut self.reader {
            Some(reader) => segment::read(&mut reader.file, self.at.offset),
            None => Ok(Found::End),
        }
    }

    /// Everything before that position has arrived.
    pub fn confirm(&mut self, position: Position) {
        if position <= self.confirmed {
            return;
        }
        self.confirmed = position;
        while let Some(first) = self.segments.front() {
            let done = first.number < position.segment
                || (first.number == position.segment && first.values <= position.values);
            if !done {
                break;
            }
            if self.segments.len() == 1 {
                self.writer = None;
            }
            self.remove_first();
        }
    }

    /// Writes the confirmed position down, where it has moved.
    pub fn save_cursor(&mut self) -> io::Result<()> {
        if self.cursor_saved != self.confirmed {
            write_cursor(&self.dir, self.confirmed)?;
            self.cursor_saved = self.confirmed;
        }
        Ok(())
    }

    /// Values that wait.
    pub fn values(&self) -> u64 {
        self.segments.iter().map(|s| self.left_in(s)).sum()
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    /// Time of the oldest value that may still wait, ms of UTC.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.segments.iter().find(|s| self.left_in(s) > 0).map(|s| s.oldest_ms)
    }

    /// Values lost to the bounds since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The position written last; the beginning where there is none or it cannot be read: everything is then sent again.
fn read_cursor(path: &Path) -> Position {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut parts = text.trim_end().rsplitn(2, ' ');
    let (crc, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != crc {
        return Position::default();
    }
    let mut numbers = body.split(' ').skip(1).filter_map(|n| n.parse().ok());
    let (segment, offset) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Position { segment, offset, values: 0 }
}

fn write_cursor(dir: &Path, at: Position) -> io::Result<()> {
    let body = format!("cursor {} {}", at.segment, at.offset);
    let text = format!("{body} {:08x}\n", crc32fast::hash(body.as_bytes()));
    replace(&dir.join(CURSOR), text.as_bytes())
}

/// Puts a small file in the place of another, whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests;
