//! The ring on the disk: segments of blocks, bounded in bytes and age. `docs/recorder-format.md` describes the bytes.
//!
//! Every block stands for itself: a head with its own checksum, then the bytes with theirs. A reader passes over a block
//! that is damaged and ends a segment at the first head that does not hold, so that a torn tail costs the tail alone.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// First bytes of a segment.
pub const SEGMENT_HEAD: &[u8; 20] = b"penstock-recorder 2\n";
/// First bytes of a block.
const BLOCK_MAGIC: &[u8; 4] = b"PSR1";
/// Bytes of a block's head.
pub const HEAD_BYTES: usize = 72;
/// A configuration is applied well within this of its being kept.
const NEW_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// Longest block that is read: a keyframe of the largest site is shorter.
const BLOCK_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Journals of one task.
    Scans,
    /// How the links stood, as JSON.
    Links,
}

/// Head of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it holds.
    pub kind: Kind,
    /// The task.
    pub task: u8,
    /// Its first journal has a keyframe.
    pub key: bool,
    /// The configuration that ran: the first twelve hexadecimal digits of its hash.
    pub config: [u8; 6],
    /// The run: when it started, ns since 1970 UTC.
    pub run: i64,
    /// Number of its first scan.
    pub first_scan: u64,
    /// Number of its last scan.
    pub last_scan: u64,
    /// Time of its first scan, ns since 1970 UTC.
    pub first_utc: i64,
    /// Time of its last scan.
    pub last_utc: i64,
    /// Bytes that follow.
    pub len: u32,
    /// Their checksum.
    pub crc: u32,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut b = [0; HEAD_BYTES];
        b[0..4].copy_from_slice(BLOCK_MAGIC);
        b[4] = match self.kind {
            Kind::Scans => 1,
            Kind::Links => 2,
        };
        b[5] = self.task;
        b[6] = u8::from(self.key);
        b[8..14].copy_from_slice(&self.config);
        b[16..24].copy_from_slice(&self.run.to_le_bytes());
        b[24..32].copy_from_slice(&self.first_scan.to_le_bytes());
        b[32..40].copy_from_slice(&self.last_scan.to_le_bytes());
        b[40..48].copy_from_slice(&self.first_utc.to_le_bytes());
        b[48..56].copy_from_slice(&self.last_utc.to_le_bytes());
        b[56..60].copy_from_slice(&self.len.to_le_bytes());
        b[60..64].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32fast::hash(&b[..68]);
        b[68..72].copy_from_slice(&crc.to_le_bytes());
        b
    }

    fn parse(b: &[u8; HEAD_BYTES]) -> Option<Head> {
        let word = |at: usize| <[u8; 8]>::try_from(&b[at..at + 8]).unwrap_or_default();
        let half = |at: usize| u32::from_le_bytes(<[u8; 4]>::try_from(&b[at..at + 4]).unwrap_or_default());
        if &b[0..4] != BLOCK_MAGIC || half(68) != crc32fast::hash(&b[..68]) {
            return None;
        }
        let kind = match b[4] {
            1 => Kind::Scans,
            2 => Kind::Links,
            _ => return None,
        };
        let mut config = [0; 6];
        config.copy_from_slice(&b[8..14]);
        let head = Head {
            kind,
            task: b[5],
            key: b[6] == 1,
            config,
            run: i64::from_le_bytes(word(16)),
            first_scan: u64::from_le_bytes(word(24)),
            last_scan: u64::from_le_bytes(word(32)),
            first_utc: i64::from_le_bytes(word(40)),
            last_utc: i64::from_le_bytes(word(48)),
            len: half(56),
            crc: half(60),
        };
        (head.len <= BLOCK_BYTES_MAX).then_some(head)
    }

    /// The configuration's hash in hexadecimal digits.
    #[must_use]
    pub fn config_hex(&self) -> String {
        self.config.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A hash of twelve hexadecimal digits as bytes; zero where it is none.
#[must_use]
pub fn config_bytes(hash: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = hash.get(2 * i..2 * i + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
    }
    bytes
}

/// How far the ring may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all segments.
    pub bytes_max: u64,
    /// Age of the last scan in a segment, ns.
    pub keep_ns: i64,
    /// Free space on the disk that always stays.
    pub free_bytes_min: u64,
}

impl Bounds {
    /// Length at which a segment is closed: a sixteenth of the ring, so that the bound is kept closely.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 16).clamp(256 * 1024, 32 * 1024 * 1024)
    }
}

/// The ring, being written.
pub struct Ring {
    dir: PathBuf,
    bounds: Bounds,
    file: Option<(File, u64)>,
    /// Number of the last segment begun, by whichever process.
    number: u64,
}

impl Ring {
    /// The ring in this folder, which is made. A new segment begins: what a crash tore stays behind.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(dir: &Path, bounds: Bounds) -> std::io::Result<Ring> {
        std::fs::create_dir_all(dir.join("configs"))?;
        std::fs::create_dir_all(dir.join("runs"))?;
        let last = segments(dir)?.pop().map_or(Place::Before(0, 0), |(path, _)| Place::of(&path));
        let number = if let Place::Number(number) = last { number } else { 0 };
        Ok(Ring { dir: dir.to_path_buf(), bounds, file: None, number })
    }

    /// Appends a block. True: a new segment began with it.
    ///
    /// # Errors
    /// When the disk does not take it, or is too full. The segment is closed then: its tail may be torn.
    pub fn append(&mut self, head: Head, bytes: &[u8], now_ns: i64) -> std::io::Result<bool> {
        let result = self.try_append(head, bytes, now_ns);
        if result.is_err() {
            self.file = None;
        }
        result
    }

    fn try_append(&mut self, mut head: Head, bytes: &[u8], now_ns: i64) -> std::io::Result<bool> {
        head.len = u32::try_from(bytes.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        head.crc = crc32fast::hash(bytes);
        let full = self.file.as_ref().is_none_or(|(_, written)| *written >= self.bounds.segment_bytes());
        if full {
            self.begin_segment(&head, now_ns)?;
        }
        let Some((file, written)) = &mut self.file else { return Ok(full) };
        let mut block = Vec::with_capacity(HEAD_BYTES + bytes.len());
        block.extend_from_slice(&head.to_bytes());
        block.extend_from_slice(bytes);
        file.write_all(&block)?;
        *written += block.len() as u64;
        Ok(full)
    }

    fn begin_segment(&mut self, head: &Head, now_ns: i64) -> std::io::Result<()> {
        self.sync()?;
        self.make_room(head, now_ns)?;
        self.number += 1;
        let name = format!("{:010}-{:016}.rec", self.number, (now_ns / 1_000_000).max(0));
        let mut file = File::options().create_new(true).append(true).open(self.dir.join(name))?;
        file.write_all(SEGMENT_HEAD)?;
        self.file = Some((file, SEGMENT_HEAD.len() as u64));
        Ok(())
    }

    /// Removes the oldest segments while the ring is too large or too old, or the disk too full; and configurations that
    /// no block names any more, nor the one of this head.
    fn make_room(&mut self, head: &Head, now_ns: i64) -> std::io::Result<()> {
        let segments = segments(&self.dir)?;
        let mut total: u64 = segments.iter().map(|(_, len)| len).sum();
        let room = self.bounds.segment_bytes();
        let free = || -> std::io::Result<u64> {
            let fs = rustix::fs::statvfs(&self.dir)?;
            Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
        };
        let mut removed = false;
        for (index, (path, len)) in segments.iter().enumerate() {
            let open = self.file.is_some() && index + 1 == segments.len();
            let too_large = total + room > self.bounds.bytes_max;
            let too_old = modified_ns(path).is_some_and(|at| now_ns.saturating_sub(at) > self.bounds.keep_ns);
            if open || !(too_large || too_old || free()? < self.bounds.free_bytes_min + room) {
                break;
            }
            std::fs::remove_file(path)?;
            total -= len;
            removed = true;
        }
        if removed {
            self.drop_unused_configs(head)?;
        }
        if free()? < self.bounds.free_bytes_min {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn drop_unused_configs(&self, next: &Head) -> std::io::Result<()> {
        let index = Index::read(&self.dir)?;
        let recent = std::time::SystemTime::now();
        // Kept for a block that is still to come: by the head, and for others by the file's own clock, which may have been
        // set back behind the times in the record.
        let is_new = |path: &Path| {
            let at = std::fs::metadata(path).and_then(|m| m.modified());
            at.is_ok_and(|at| recent.duration_since(at).unwrap_or_else(|e| e.duration()) < NEW_WITHIN)
        };
        let used: std::collections::HashSet<String> = index.blocks.iter().map(|b| b.head.config_hex()).collect();
        let runs = index.blocks.iter().map(|b| b.head.run.to_string());
        let next = [next.config_hex(), next.run.to_string()];
        let used: std::collections::HashSet<String> = used.into_iter().chain(runs).chain(next).collect();
        let folder = |name: &str| std::fs::read_dir(self.dir.join(name));
        for entry in folder("configs")?.chain(folder("runs")?).filter_map(Result::ok) {
            let old = modified_ns(&entry.path()).is_some_and(|at| {
                let newest = index.blocks.iter().map(|b| b.head.last_utc).max().unwrap_or(at);
                newest > at
            });
            let named = entry.path().file_stem().is_some_and(|stem| used.contains(&*stem.to_string_lossy()));
            if old && !named && !is_new(&entry.path()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Lets what was written survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> std::io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_data())
    }

    /// Bytes on the disk.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn bytes(&self) -> std::io::Result<u64> {
        Ok(segments(&self.dir)?.iter().map(|(_, len)| len).sum())
    }
}

fn modified_ns(path: &Path) -> Option<i64> {
    let at = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// Where a segment stands among the others, by its name. The number goes on over restarts: the civil clock, which may be
/// set back, orders nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Written by a version that named it `<utc ms>-<number>`: before all numbered ones.
    Before(u64, u64),
    /// Its number.
    Number(u64),
}

impl Place {
    fn of(path: &Path) -> Place {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let (first, second) = stem.split_once('-').unwrap_or((&stem, ""));
        let (a, b) = (first.parse().unwrap_or(0), second.parse().unwrap_or(0));
        if first.len() >= 16 { Place::Before(a, b) } else { Place::Number(a) }
    }
}

/// Segments of a ring with their lengths, oldest first.
fn segments(dir: &Path) -> std::io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rec") {
            // A writer beside us may have removed it meanwhile.
            if let Ok(meta) = std::fs::metadata(&path) {
                found.push((path, meta.len()));
            }
        }
    }
    found.sort_by_cached_key(|(path, _)| (Place::of(path), path.clone()));
    Ok(found)
}

/// A block on the disk.
#[derive(Debug, Clone)]
pub struct BlockRef {
    /// Its head.
    pub head: Head,
    file: usize,
    offset: u64,
}

/// Where everything lies in a ring.
#[derive(Debug, Default)]
pub struct Index {
    files: Vec<PathBuf>,
    /// In the order they were written.
    pub blocks: Vec<BlockRef>,
    /// Segments whose tail could not be read, with the place.
    pub torn: Vec<(PathBuf, u64)>,
}

impl Index {
    /// Reads the heads of a ring.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(dir: &Path) -> std::io::Result<Index> {
        let mut index = Index::default();
        for (path, len) in segments(dir)? {
            let Ok(mut file) = File::open(&path) else { continue };
            let number = index.files.len();
            index.files.push(path.clone());
            let mut head = [0; SEGMENT_HEAD.len()];
            let mut at = SEGMENT_HEAD.len() as u64;
            if file.read_exact(&mut head).is_err() || &head != SEGMENT_HEAD {
                index.torn.push((path, 0));
                continue;
            }
            while at < len {
                let mut bytes = [0; HEAD_BYTES];
                let head = file.read_exact(&mut bytes).ok().and_then(|()| Head::parse(&bytes));
                let end = head.map(|h| at + HEAD_BYTES as u64 + u64::from(h.len)).filter(|end| *end <= len);
                let (Some(head), Some(end)) = (head, end) else {
                    index.torn.push((path, at));
                    break;
                };
                index.blocks.push(BlockRef { head, file: number, offset: at + HEAD_BYTES as u64 });
                at = end;
                file.seek(SeekFrom::Start(at))?;
            }
        }
        Ok(index)
    }

    /// Bytes of a block; `None` where they are damaged or gone.
    #[must_use]
    pub fn bytes(&self, block: &BlockRef) -> Option<Vec<u8>> {
        let mut file = File::open(&self.files[block.file]).ok()?;
        file.seek(SeekFrom::Start(block.offset)).ok()?;
        let mut bytes = vec![0; block.head.len as usize];
        file.read_exact(&mut bytes).ok()?;
        (crc32fast::hash(&bytes) == block.head.crc).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(scan: u64, key: bool) -> Head {
        let at = i64::try_from(scan).unwrap() * 1_000_000_000;
        Head {
            kind: Kind::Scans,
            task: 1,
            key,
            config: config_bytes("0123456789ab"),
            run: 7,
            first_scan: scan,
            last_scan: scan,
            first_utc: at,
            last_utc: at,
            len: 0,
            crc: 0,
        }
    }

    fn bounds(bytes_max: u64) -> Bounds {
        Bounds { bytes_max, keep_ns: i64::MAX, free_bytes_min: 0 }
    }

    #[test]
    fn a_torn_tail_costs_the_tail_and_a_damaged_block_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), bounds(1 << 30)).unwrap();
        for scan in 1..=5 {
            ring.append(head(scan, scan == 1), &[u8::try_from(scan).unwrap(); 100], 0).unwrap();
        }
        let index = Index::read(dir.path()).unwrap();
        assert_eq!((index.blocks.len(), index.torn.len()), (5, 0));
        assert_eq!(index.blocks[2].head.config_hex(), "0123456789ab");
        assert_eq!(index.bytes(&index.blocks[2]), Some(vec![3; 100]));
        let (path, len) = segments(dir.path()).unwrap().remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        // A byte of the second block's content, and half of the last block.
        bytes[SEGMENT_HEAD.len() + 2 * HEAD_BYTES + 150] ^= 1;
        bytes.truncate(usize::try_from(len).unwrap() - 50);
        std::fs::write(&path, bytes).unwrap();
        let index = Index::read(dir.path()).unwrap();
        assert_eq!((index.blocks.len(), index.torn.len()), (4, 1));
        assert_eq!(index.bytes(&index.blocks[1]), None);
        assert_eq!(index.bytes(&index.blocks[3]), Some(vec![4; 100]));
    }

    #[test]
    fn the_ring_keeps_its_bound_and_the_configurations_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let bound = 6 * 1024 * 1024;
        let mut ring = Ring::open(dir.path(), bounds(bound)).unwrap();
        for name in ["0123456789ab", "aaaaaaaaaaaa"] {
            let path = dir.path().join(format!("configs/{name}.json"));
            std::fs::write(&path, "{}").unwrap();
            let past = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
            File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
        }
        let far = 9_000_000_000;
        for scan in far..far + 400 {
            ring.append(head(scan, true), &vec![0; 50_000], i64::try_from(scan).unwrap() * 1_000_000).unwrap();
        }
        let bytes = ring.bytes().unwrap();
        assert!(bytes <= bound && bytes > bound / 2, "{bytes}");
        let index = Index::read(dir.path()).unwrap();
        assert_eq!(index.blocks.last().unwrap().head.last_scan, far + 399);
        assert!(index.blocks[0].head.first_scan > far);
        assert!(dir.path().join("configs/0123456789ab.json").exists());
        assert!(!dir.path().join("configs/aaaaaaaaaaaa.json").exists());
    }

    #[test]
    fn segments_follow_one_another_also_when_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        // One of a version that named them by the clock, which was fast.
        let mut old = SEGMENT_HEAD.to_vec();
        old.extend_from_slice(&Head { len: 0, crc: crc32fast::hash(&[]), ..head(1, true) }.to_bytes());
        std::fs::write(dir.path().join("0009999999999999-0007.rec"), old).unwrap();
        for (run, now_ms) in [(2, 9_000_000), (3, 1_800_000), (4, 1_900_000), (5, 60_000)] {
            let mut ring = Ring::open(dir.path(), bounds(1 << 30)).unwrap();
            ring.append(head(run, true), &[1; 10], now_ms * 1_000_000).unwrap();
            ring.file = None;
            ring.append(head(10 * run, true), &[1; 10], now_ms * 1_000_000).unwrap();
        }
        let index = Index::read(dir.path()).unwrap();
        let scans: Vec<u64> = index.blocks.iter().map(|b| b.head.first_scan).collect();
        assert_eq!(scans, [1, 2, 20, 3, 30, 4, 40, 5, 50]);
        let (path, _) = segments(dir.path()).unwrap().pop().unwrap();
        assert!(path.ends_with("0000000008-0000000000060000.rec"), "{}", path.display());
    }

    #[test]
    fn what_a_run_with_its_clock_set_back_needs_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), bounds(6 * 1024 * 1024)).unwrap();
        let far = 9_000_000_000;
        for scan in far..far + 200 {
            ring.append(head(scan, true), &vec![0; 50_000], 0).unwrap();
        }
        // The next run: its times lie far before those in the record, and it has not written yet.
        let names = dir.path().join("runs/8.json");
        std::fs::write(&names, "{}").unwrap();
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        File::options().write(true).open(&names).unwrap().set_modified(past).unwrap();
        let mut ring = Ring::open(dir.path(), bounds(1024 * 1024)).unwrap();
        ring.append(Head { run: 8, ..head(1, true) }, &[1; 10], 0).unwrap();
        assert!(names.exists());
        let index = Index::read(dir.path()).unwrap();
        assert_eq!(index.blocks.last().unwrap().head.run, 8);
    }

    #[test]
    fn on_a_full_disk_the_record_gives_way_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), bounds(1 << 30)).unwrap();
        ring.append(head(1, true), &[1; 10], 0).unwrap();
        let mut full = Ring::open(dir.path(), Bounds { free_bytes_min: u64::MAX / 4, ..bounds(1 << 30) }).unwrap();
        assert!(full.append(head(2, true), &[1; 10], 1).is_err());
    }
}
