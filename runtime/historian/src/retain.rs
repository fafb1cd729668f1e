//! Retention: whole chunks and journal rows that are too old, and the oldest ones of a store that is too large.

use crate::Historian;
use crate::api::RetainReport;
use crate::cell::ChunkHead;
use crate::error::StoreError;
use crate::frame::{frame, key, unframe};
use crate::limits::{BATCH_ENTRIES_MAX, DISK_PER_LIVE_TENTHS, RETAIN_DELETES_MAX};
use crate::memory::{Memory, SeriesState};
use crate::storage::{Op, Storage};
use penstock_model::Utc;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;

/// Deletions of one batch: each may come with the state row of another series.
const SLICE: usize = BATCH_ENTRIES_MAX / 2;

/// Stands for the journal among the series.
const JOURNAL: Option<u32> = None;

/// Something that can be deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Victim {
    /// Milliseconds of the first point, or of the journal row.
    ms: i64,
    of: Option<u32>,
    key: Vec<u8>,
    samples: u64,
    bytes: u64,
    last_ms: i64,
}

fn victim(k: &[u8], v: &[u8]) -> Option<Victim> {
    let bytes = (k.len() + v.len()) as u64;
    if k.first() == Some(&key::EVENT) {
        let ms = Utc(key::event_of(k)?.0).millis();
        return Some(Victim { ms, of: JOURNAL, key: k.to_vec(), samples: 0, bytes, last_ms: ms });
    }
    let (id, first_ms, _) = key::chunk_of(k)?;
    // A damaged chunk goes by the time in its key.
    let head = unframe(k, v).and_then(ChunkHead::of);
    let (samples, last_ms) = head.map_or((0, first_ms), |h| (h.count as u64, h.last_ms));
    Some(Victim { ms: first_ms, of: Some(id), key: k.to_vec(), samples, bytes, last_ms })
}

/// The oldest entry of a series or of the journal, after a given key.
fn oldest(storage: &dyn Storage, of: Option<u32>, after: Option<&[u8]>) -> Result<Option<Victim>, StoreError> {
    let (start, end) = match of {
        Some(id) => (key::chunk(id, i64::MIN, 0), key::chunk(id, i64::MAX, u64::MAX)),
        None => (key::event(i64::MIN, 0), key::JOURNAL.to_vec()),
    };
    let start = after.map_or(start, |k| [k, &[0]].concat());
    let mut found = None;
    storage.scan(&start, &end, false, &mut |k, v| {
        found = victim(k, v);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

impl Historian {
    pub(crate) fn retain_until(&self, now: Utc) -> Result<RetainReport, StoreError> {
        let mut report = RetainReport { complete: true, ..RetainReport::default() };
        let cutoff = (now - self.config.retention).millis();
        let mut all: Vec<Option<u32>> = self.memory.lock().iter().map(|(id, _)| Some(id)).collect();
        all.push(JOURNAL);
        for of in &all {
            while self.retain_aged(*of, cutoff, &mut report)? {}
        }
        if let Some(bytes_max) = self.config.bytes_max {
            self.retain_bytes(&all, bytes_max / DISK_PER_LIVE_TENTHS * 10, &mut report)?;
        }
        Ok(report)
    }

    /// Deletes one slice of what is older than the cutoff; true when there may be more.
    fn retain_aged(&self, of: Option<u32>, cutoff: i64, report: &mut RetainReport) -> Result<bool, StoreError> {
        if report.chunks + report.events >= RETAIN_DELETES_MAX {
            report.complete = false;
            return Ok(false);
        }
        let (start, end) = match of {
            Some(id) => (key::chunk(id, i64::MIN, 0), key::chunk(id, cutoff, 0)),
            None => (key::event(i64::MIN, 0), key::event(Utc::from_millis(cutoff).0, 0)),
        };
        let mut victims = Vec::new();
        self.storage.scan(&start, &end, false, &mut |k, v| {
            victims.extend(victim(k, v).filter(|c| c.last_ms < cutoff));
            if victims.len() >= SLICE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let more = victims.len() >= SLICE;
        self.delete(victims, report)?;
        Ok(more)
    }

    fn retain_bytes(&self, all: &[Option<u32>], live_max: u64, report: &mut RetainReport) -> Result<(), StoreError> {
        let mut excess = self.stats().bytes_live.saturating_sub(live_max);
        if excess == 0 {
            return Ok(());
        }
        let mut heap = BinaryHeap::new();
        for of in all {
            heap.extend(oldest(&*self.storage, *of, None)?.map(Reverse));
        }
        let mut victims = Vec::new();
        while excess > 0 {
            let Some(Reverse(next)) = heap.pop() else { break };
            excess = excess.saturating_sub(next.bytes);
            heap.extend(oldest(&*self.storage, next.of, Some(&next.key))?.map(Reverse));
            victims.push(next);
            if victims.len() >= SLICE {
                self.delete(std::mem::take(&mut victims), report)?;
                if report.chunks + report.events >= RETAIN_DELETES_MAX {
                    report.complete = false;
                    return Ok(());
                }
            }
        }
        self.delete(victims, report)
    }

    /// Deletes at most [`SLICE`] entries in one batch with the states they change.
    fn delete(&self, victims: Vec<Victim>, report: &mut RetainReport) -> Result<(), StoreError> {
        if victims.is_empty() {
            return Ok(());
        }
        let mut w = self.writer.lock();
        if w.failed {
            // Its chunks and states lie half written in the store; the next good commit puts that right.
            return Err(StoreError::Store { what: "delete old history", reason: "the last commit failed".into() });
        }
        // Deleting writes too, but rather than end for want of room it may use half of the floor.
        self.check_space(self.config.free_bytes_min / 2)?;
        let (mut states, mut journal) = {
            let m = self.memory.lock();
            // Only what is done: chunks of a commit under way are not there, since the writer is locked.
            (states_of(&m, &victims), m.journal)
        };
        let mut ops = Vec::with_capacity(2 * victims.len());
        for victim in &victims {
            match victim.of.map(|id| states.get_mut(&id)) {
                Some(Some(state)) => {
                    state.chunks = state.chunks.saturating_sub(1);
                    state.samples = state.samples.saturating_sub(victim.samples);
                    state.bytes = state.bytes.saturating_sub(victim.bytes);
                }
                Some(None) => {}
                None => {
                    journal.rows = journal.rows.saturating_sub(1);
                    journal.bytes = journal.bytes.saturating_sub(victim.bytes);
                }
            }
            ops.push(Op::Delete(victim.key.clone()));
        }
        for (id, state) in &states {
            let k = key::state(*id);
            let v = frame(&k, &state.encode());
            ops.push(Op::Put(k, v));
        }
        if victims.iter().any(|v| v.of.is_none()) {
            ops.push(Op::Put(key::JOURNAL.to_vec(), frame(&key::JOURNAL, &journal.encode())));
        }
        if let Err(e) = self.storage.apply(&ops) {
            w.failed = true;
            return Err(e);
        }
        let mut m = self.memory.lock();
        for (id, state) in states {
            if let Some(series) = m.get_mut(id) {
                series.state = state;
            }
        }
        m.journal = journal;
        for victim in victims {
            report.bytes += victim.bytes;
            report.samples += victim.samples;
            if victim.of.is_some() { report.chunks += 1 } else { report.events += 1 }
        }
        Ok(())
    }
}

fn states_of(m: &Memory, victims: &[Victim]) -> BTreeMap<u32, SeriesState> {
    victims.iter().filter_map(|v| v.of).filter_map(|id| m.get(id).map(|s| (id, s.state))).collect()
}
