//! Where tasks leave the journals of their scans, and how they are fetched.
//!
//! No scan waits for whoever fetches: what does not fit is dropped and counted, and the next journal that fits comes with
//! a keyframe, so that a gap costs no more than itself.

use crate::engine::Engine;
use crate::journal::ScanJournal;
use crossbeam::queue::ArrayQueue;
use penstock_model::TaskId;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Journals that wait at most: 5 s of a 10 ms task.
const SCANS_WAITING_MAX: usize = 512;
/// Samples in them at most: some 20 MB.
const SAMPLES_WAITING_MAX: usize = 250_000;
/// Emptied journals that are kept for the next scans.
const SPARE_MAX: usize = 64;

pub(crate) struct JournalSlot {
    on: AtomicBool,
    key_wanted: AtomicBool,
    full: ArrayQueue<Box<ScanJournal>>,
    spare: ArrayQueue<Box<ScanJournal>>,
    samples_waiting: AtomicUsize,
    lost: AtomicU64,
}

impl Default for JournalSlot {
    fn default() -> JournalSlot {
        JournalSlot {
            on: AtomicBool::new(false),
            key_wanted: AtomicBool::new(false),
            full: ArrayQueue::new(SCANS_WAITING_MAX),
            spare: ArrayQueue::new(SPARE_MAX),
            samples_waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }
}

impl JournalSlot {
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// True once after somebody asked for a keyframe.
    pub fn take_key_wanted(&self) -> bool {
        self.key_wanted.load(Ordering::Relaxed) && self.key_wanted.swap(false, Ordering::Relaxed)
    }

    /// An empty journal.
    pub fn empty(&self) -> Box<ScanJournal> {
        let mut journal = self.spare.pop().unwrap_or_default();
        journal.clear();
        journal
    }

    /// Leaves a journal. False: there is no room, and it was counted.
    pub fn leave(&self, journal: Box<ScanJournal>) -> bool {
        let samples = journal.samples.len();
        let room = self.samples_waiting.load(Ordering::Relaxed) + samples <= SAMPLES_WAITING_MAX;
        // Counted before it can be fetched, so that the count never falls below zero.
        self.samples_waiting.fetch_add(samples, Ordering::Relaxed);
        let left = if room { self.full.push(journal) } else { Err(journal) };
        if left.is_err() {
            self.samples_waiting.fetch_sub(samples, Ordering::Relaxed);
            self.lose();
        }
        left.is_ok()
    }

    /// Counts a scan of which there is no journal.
    pub fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Lets every task leave a journal of each scan, beginning with a keyframe.
    pub fn record_scans(&self) {
        for task in &self.shared.tasks {
            task.journal.on.store(true, Ordering::Relaxed);
        }
    }

    /// Asks a task for a keyframe with its next journal.
    pub fn ask_for_keyframe(&self, task: TaskId) {
        if let Some(task) = self.shared.tasks.get(usize::from(task.0)) {
            task.journal.key_wanted.store(true, Ordering::Relaxed);
        }
    }

    /// The oldest journal that a task has left; `None` while there is none.
    #[must_use]
    pub fn take_journal(&self, task: TaskId) -> Option<Box<ScanJournal>> {
        let slot = &self.shared.tasks.get(usize::from(task.0))?.journal;
        let journal = slot.full.pop()?;
        slot.samples_waiting.fetch_sub(journal.samples.len(), Ordering::Relaxed);
        Some(journal)
    }

    /// Gives a journal back, so that a later scan need not allocate one.
    pub fn give_back_journal(&self, mut journal: Box<ScanJournal>) {
        if let Some(task) = self.shared.tasks.get(usize::from(journal.task.0)) {
            // Emptied here: what it held is dropped by whoever fetched it, never by a scan.
            journal.clear();
            drop(task.journal.spare.push(journal));
        }
    }

    /// Scans of a task of which no journal could be left, since the start.
    #[must_use]
    pub fn journals_lost(&self, task: TaskId) -> u64 {
        self.shared.tasks.get(usize::from(task.0)).map_or(0, |t| t.journal.lost.load(Ordering::Relaxed))
    }
}
