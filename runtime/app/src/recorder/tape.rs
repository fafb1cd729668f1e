//! Reading the ring back: the journals of a task in their order, and where they are not whole.

use super::bundle::{Bundle, Names, Unpacked};
use super::codec::{In, Memory};
use super::order;
use super::ring::{BlockRef, Index, Kind};
use penstock_engine::ScanJournal;
use penstock_model::{TaskId, Utc};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

/// What comes next on a tape.
#[derive(Debug)]
pub enum Next {
    /// A scan, with what it ran with.
    Scan(Box<ScanJournal>, Ran),
    /// Scans are missing from here: why, in words.
    Gap(Gap),
}

/// With what a scan ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Hash of the configuration.
    pub hash: String,
    /// The run.
    pub run: i64,
}

/// Scans that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// After this moment.
    pub after: Utc,
    /// Up to this one; `None`: to the end of the record.
    pub until: Option<Utc>,
    /// Why, in words.
    pub reason: String,
}

/// Configurations of a ring, each loaded once.
pub struct Configs {
    dir: PathBuf,
    loaded: HashMap<(String, i64), Unpacked>,
}

impl Configs {
    /// Of the ring in this folder.
    #[must_use]
    pub fn new(dir: &Path) -> Configs {
        Configs { dir: dir.to_path_buf(), loaded: HashMap::new() }
    }

    /// The configuration, where it was loaded already.
    #[must_use]
    pub fn there(&self, hash: &str, run: i64) -> Option<&Unpacked> {
        self.loaded.get(&(hash.to_owned(), run))
    }

    /// The configuration of this hash with the numbers of a run.
    ///
    /// # Errors
    /// In words: it is not there, or does not load.
    pub fn get(&mut self, hash: &str, run: i64) -> Result<&Unpacked, String> {
        match self.loaded.entry((hash.to_owned(), run)) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => {
                let names = Names::read(&self.dir, run)?;
                Ok(place.insert(Bundle::read(&self.dir, hash)?.unpack(&names)?))
            }
        }
    }
}

/// The journals of one task, in their order.
pub struct Tape {
    task: TaskId,
    blocks: VecDeque<BlockRef>,
    ready: VecDeque<(ScanJournal, Ran)>,
    memory: Memory,
    /// The memory is that of the journal before.
    joined: bool,
    /// Run, scan and time of the last journal told.
    last: Option<(i64, u64, Utc)>,
    /// Last block taken: run and scan, so that a later look at the ring goes on behind it.
    behind: Option<(i64, u64)>,
    gap: Option<(Utc, String)>,
}

impl Tape {
    /// From the last keyframe before `from`, or the first after it where none is before.
    #[must_use]
    pub fn new(index: &Index, task: TaskId, from: Utc) -> Tape {
        let of_task = |b: &&BlockRef| b.head.kind == Kind::Scans && b.head.task == task.0;
        let blocks: Vec<&BlockRef> = index.blocks.iter().filter(of_task).collect();
        let here = order::locate(&order::spans(blocks.iter().copied()), from.0);
        let before = here.and_then(|here| blocks[..=here].iter().rposition(|b| b.head.key));
        let start = before.or_else(|| blocks.iter().position(|b| b.head.key)).unwrap_or(blocks.len());
        Tape {
            task,
            blocks: blocks[start..].iter().map(|b| (*b).clone()).collect(),
            ready: VecDeque::new(),
            memory: Memory::default(),
            joined: false,
            last: None,
            behind: None,
            gap: None,
        }
    }

    /// Takes up what was written since.
    pub fn look_again(&mut self, index: &Index) {
        let behind = self.behind;
        let of_task = |b: &&BlockRef| b.head.kind == Kind::Scans && b.head.task == self.task.0;
        let blocks: Vec<&BlockRef> = index.blocks.iter().filter(of_task).collect();
        // Where it was removed meanwhile, all that is there is newer. A run's number does not tell which is the later.
        let taken = blocks.iter().rposition(|b| behind == Some((b.head.run, b.head.last_scan)));
        self.blocks = blocks[taken.map_or(0, |at| at + 1)..].iter().map(|b| (*b).clone()).collect();
    }

    /// The next scan or gap; `None` at the end of what was read.
    ///
    /// # Errors
    /// In words: the configuration of a block is not there.
    pub fn next(&mut self, index: &Index, configs: &mut Configs) -> Result<Option<Next>, String> {
        loop {
            if let Some((journal, ran)) = self.ready.pop_front() {
                return Ok(Some(Next::Scan(Box::new(journal), ran)));
            }
            let Some(block) = self.blocks.pop_front() else {
                return Ok(self.gap.take().map(|(after, reason)| Next::Gap(Gap { after, until: None, reason })));
            };
            self.behind = Some((block.head.run, block.head.last_scan));
            self.open(index, &block, configs)?;
            if self.gap.is_some() && !self.ready.is_empty() {
                let until = self.ready.front().map(|(j, _)| j.now.utc);
                if let Some((after, reason)) = self.gap.take() {
                    return Ok(Some(Next::Gap(Gap { after, until, reason })));
                }
            }
        }
    }

    fn open(&mut self, index: &Index, block: &BlockRef, configs: &mut Configs) -> Result<(), String> {
        let head = &block.head;
        let follows = self.last.is_none_or(|(run, scan, _)| run == head.run && scan + 1 == head.first_scan);
        if !follows
            && self.gap.is_none()
            && let Some((run, scan, at)) = self.last
        {
            let reason = if run == head.run {
                format!("{} scans were not recorded", head.first_scan.saturating_sub(scan + 1))
            } else {
                "the runtime was stopped and started again".to_owned()
            };
            self.gap = Some((at, reason));
        }
        if !(head.key || self.joined && follows) {
            self.joined = false;
            return Ok(());
        }
        let after = self.last.map_or(Utc(head.first_utc), |(_, _, at)| at);
        let hash = head.config_hex();
        let Unpacked { tags, devices, .. } = configs.get(&hash, head.run)?;
        let read = index.bytes(block).and_then(|bytes| {
            let mut from = In::new(&bytes, tags, devices);
            let mut journals = Vec::new();
            while !from.is_empty() {
                journals.push(from.journal(self.task, &mut self.memory).ok()?);
            }
            Some(journals)
        });
        match read {
            Some(journals) => {
                self.joined = true;
                self.last = Some((head.run, head.last_scan, Utc(head.last_utc)));
                self.ready
                    .extend(journals.into_iter().map(|journal| (journal, Ran { hash: hash.clone(), run: head.run })));
            }
            None => {
                self.joined = false;
                self.gap.get_or_insert((after, "a block of the record is damaged".to_owned()));
            }
        }
        Ok(())
    }
}
