//! One file of the store: a header and records behind each other. `docs/mqtt-store-format.md` describes the bytes.

use crate::limits::RECORD_BYTES_MAX;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Start of every segment; the last byte is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"PNSTKMQ\x01";
/// Bytes before a record's body: length and checksum.
const HEAD: u64 = 8;
/// Bytes of a body before its content: kind, time, count.
const BODY_HEAD: usize = 13;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Which tag each alias of this segment means.
    Table = 1,
    /// Values under their aliases.
    Values = 2,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub kind: Kind,
    /// When its newest value was kept, ms of UTC.
    pub ms: i64,
    /// How many values it holds.
    pub count: u32,
    pub content: Vec<u8>,
}

/// Where the next record is, or why there is none.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Record(Record, u64),
    /// The end of what was written.
    End,
    /// Bytes that are no record: torn by a power cut, or damaged.
    Broken,
}

/// Path of a segment.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The number of a segment's file name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".seg").filter(|n| n.len() == 10 && n.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// The bytes of a record.
pub(super) fn encode(kind: Kind, ms: i64, count: u32, content: &[u8]) -> io::Result<Vec<u8>> {
    let length = BODY_HEAD + content.len();
    if length > RECORD_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a record longer than the format allows"));
    }
    let mut body = Vec::with_capacity(length);
    body.push(kind as u8);
    body.extend_from_slice(&ms.to_le_bytes());
    body.extend_from_slice(&count.to_le_bytes());
    body.extend_from_slice(content);
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Starts a segment. One that stands there already is an error: nothing is overwritten.
pub(super) fn create(dir: &Path, number: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().create_new(true).read(true).write(true).open(path(dir, number))?;
    file.write_all(MAGIC)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// Opens a segment for reading. An error of kind `InvalidData` where it is none.
pub(super) fn open(dir: &Path, number: u64) -> io::Result<File> {
    let mut file = File::open(path(dir, number))?;
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|_| io::Error::new(ErrorKind::InvalidData, "shorter than its header"))?;
    if &magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a segment of this version"));
    }
    Ok(file)
}

/// The record at an offset, and where the next one begins.
pub(super) fn read(file: &mut File, offset: u64) -> io::Result<Found> {
    let end = file.metadata()?.len();
    if offset >= end {
        return Ok(Found::End);
    }
    if end - offset < HEAD {
        return Ok(Found::Broken);
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let [a, b, c, d, e, f, g, h] = head;
    let (length, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let size = length as usize;
    if !(BODY_HEAD..=RECORD_BYTES_MAX).contains(&size) || u64::from(length) > end - offset - HEAD {
        return Ok(Found::Broken);
    }
    let mut body = vec![0; size];
    file.read_exact(&mut body)?;
    if crc32fast::hash(&body) != crc {
        return Ok(Found::Broken);
    }
    let kind = match body[0] {
        1 => Kind::Table,
        2 => Kind::Values,
        _ => return Ok(Found::Broken),
    };
    let (mut ms, mut count) = ([0; 8], [0; 4]);
    ms.copy_from_slice(&body[1..9]);
    count.copy_from_slice(&body[9..13]);
    let content = body.split_off(BODY_HEAD);
    let record = Record { kind, ms: i64::from_le_bytes(ms), count: u32::from_le_bytes(count), content };
    Ok(Found::Record(record, offset + HEAD + u64::from(length)))
}

/// What a look through a whole segment found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// Bytes up to the end of the last whole record.
    pub bytes: u64,
    /// Bytes behind them that are no record.
    pub broken: u64,
    /// Values in it.
    pub values: u64,
    /// Values before the position asked for.
    pub values_before: u64,
    /// Time of its oldest and newest values.
    pub oldest_ms: i64,
    pub newest_ms: i64,
}

/// Looks through a segment; `confirmed` is the position up to which it was sent.
pub(super) fn look(file: &mut File, confirmed: u64) -> io::Result<Look> {
    let mut look = Look { bytes: MAGIC.len() as u64, oldest_ms: i64::MAX, newest_ms: i64::MIN, ..Look::default() };
    loop {
        match read(file, look.bytes)? {
            Found::Record(record, next) => {
                if record.kind == Kind::Values {
                    look.values += u64::from(record.count);
                    if next <= confirmed {
                        look.values_before = look.values;
                    }
                    look.oldest_ms = look.oldest_ms.min(record.ms);
                    look.newest_ms = look.newest_ms.max(record.ms);
                }
                look.bytes = next;
            }
            Found::End => return Ok(look),
            Found::Broken => {
                look.broken = file.metadata()?.len().saturating_sub(look.bytes);
                return Ok(look);
            }
        }
    }
}
