//! One commit: what waits in memory becomes durable tail rows, ripe heads become chunks, tail rows that no head needs any
//! more are deleted.
//!
//! Memory changes only after the store has confirmed everything. A failed commit leaves the memory as it was and the
//! store with leftovers that the next commit overwrites or deletes; queries never see them.

use crate::Historian;
use crate::api::CommitReport;
use crate::cell::{Cell, RowWriter, pack};
use crate::error::StoreError;
use crate::frame::{frame, key};
use crate::limits::{BATCH_ENTRIES_MAX, ROW_DELETES_PER_COMMIT, SLAB_POINTS_MAX};
use crate::memory::{Event, JournalState, Memory, SeriesState, encode_def};
use crate::recover::commit_value;
use crate::storage::{Op, Storage};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What the one writer knows about the store.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) next_row: u64,
    /// Number of the last commit.
    pub(crate) commit: u64,
    /// Tail rows in the store with their bytes, oldest first.
    pub(crate) rows: VecDeque<(u64, u32)>,
    /// Rows below this number may be deleted.
    pub(crate) needed_from: u64,
    /// Chunks of a commit that failed, to be written again exactly as they were.
    pub(crate) seals: Vec<Seal>,
    /// The last write failed: the store must be repaired and cleaned of leftovers.
    pub(crate) failed: bool,
}

impl Writer {
    /// Bytes of the rows that heads still need.
    pub(crate) fn tail_bytes(&self) -> u64 {
        self.needed_rows().map(|(_, bytes)| bytes).sum()
    }

    fn needed_rows(&self) -> impl Iterator<Item = (u64, u64)> {
        self.rows.iter().filter(|(row, _)| *row >= self.needed_from).map(|(row, bytes)| (*row, u64::from(*bytes)))
    }

    /// The row up to which heads must be packed so that the tail shrinks to three quarters of its bound; 0 below it.
    fn pressure_row(&self, tail_bytes_max: u64) -> u64 {
        let total = self.tail_bytes();
        if total <= tail_bytes_max {
            return 0;
        }
        let mut excess = total - tail_bytes_max / 4 * 3;
        for (row, bytes) in self.needed_rows() {
            excess = excess.saturating_sub(bytes);
            if excess == 0 {
                return row;
            }
        }
        u64::MAX
    }
}

/// Part of a head as chunks, with the state that makes them count: one atomic group.
#[derive(Debug)]
pub(crate) struct Seal {
    series: u32,
    cells: usize,
    chunks: usize,
    ops: Vec<Op>,
    after: SeriesState,
}

/// What one commit writes.
#[derive(Default)]
struct Plan {
    defs: Vec<(u32, Vec<u8>)>,
    cells: Arc<Vec<(u32, Cell)>>,
    events: Arc<Vec<Event>>,
    journal: JournalState,
}

/// What it wrote.
#[derive(Default)]
struct Written {
    /// Row, its bytes, and the end of its points in the plan.
    rows: Vec<(u64, u32, usize)>,
    journal: JournalState,
    deleted: usize,
}

/// Collects groups of entries that belong together into batches of the allowed size.
pub(crate) struct Batches<'a> {
    storage: &'a dyn Storage,
    ops: Vec<Op>,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, ops: Vec::new() }
    }

    pub(crate) fn group(&mut self, group: impl IntoIterator<Item = Op>) -> Result<(), StoreError> {
        let before = self.ops.len();
        self.ops.extend(group);
        if self.ops.len() > BATCH_ENTRIES_MAX {
            let group = self.ops.split_off(before);
            self.flush()?;
            self.ops = group;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        if !self.ops.is_empty() {
            self.storage.apply(&self.ops)?;
            self.ops.clear();
        }
        Ok(())
    }
}

/// Packs a head into seals: as many groups as it takes to keep each one within a batch.
fn seal(series: u32, cells: &[Cell], mut state: SeriesState, sealed_row: u64, number: &mut u64) -> Vec<Seal> {
    let mut seals = Vec::new();
    let mut rest = cells;
    let mut slab = SLAB_POINTS_MAX;
    while !rest.is_empty() {
        let mut n = rest.len().min(slab);
        // One entry is left for the state. A single point is a single chunk, so this ends.
        let chunks = loop {
            match pack(&rest[..n], BATCH_ENTRIES_MAX - 1) {
                Some(chunks) => break chunks,
                None => n = (n / 2).max(1),
            }
        };
        slab = (2 * n).min(SLAB_POINTS_MAX);
        let mut ops = Vec::with_capacity(chunks.len() + 1);
        for chunk in &chunks {
            let chunk_key = key::chunk(series, chunk.head.first_ms, *number);
            let op = Op::Put(chunk_key.clone(), frame(&chunk_key, &chunk.payload));
            state.last_chunk = *number;
            state.chunks += 1;
            state.samples += chunk.head.count as u64;
            state.bytes += op.bytes() as u64;
            ops.push(op);
            *number += 1;
        }
        rest = &rest[n..];
        if rest.is_empty() {
            (state.sealed_row, state.sealed_skip) = (sealed_row, 0);
        } else {
            state.sealed_skip += n as u64;
        }
        let state_key = key::state(series);
        let value = frame(&state_key, &state.encode());
        ops.push(Op::Put(state_key, value));
        seals.push(Seal { series, cells: n, chunks: chunks.len(), ops, after: state });
    }
    seals
}

/// Packs the points into tail rows.
fn tail_rows(cells: &[(u32, Cell)], first_row: u64) -> (Vec<Op>, Vec<(u64, u32, usize)>) {
    let (mut ops, mut rows) = (Vec::new(), Vec::new());
    let mut writer = RowWriter::default();
    let mut finish = |writer: RowWriter, end: usize| {
        let row = first_row + rows.len() as u64;
        let row_key = key::row(row);
        let value = frame(&row_key, &writer.finish());
        let op = Op::Put(row_key, value);
        rows.push((row, op.bytes() as u32, end));
        ops.push(op);
    };
    for (i, (series, cell)) in cells.iter().enumerate() {
        if !writer.push(*series, cell) {
            finish(std::mem::take(&mut writer), i);
            writer.push(*series, cell);
        }
    }
    if !cells.is_empty() {
        finish(writer, cells.len());
    }
    (ops, rows)
}

impl Historian {
    pub(crate) fn commit_with(&self, w: &mut Writer) -> Result<CommitReport, StoreError> {
        if w.failed
            && let Err(e) = self.storage.repair()
        {
            if let StoreError::Damaged(reason) = &e {
                self.progress.note_damage(reason);
            }
            return Err(e);
        }
        if w.seals.is_empty() {
            self.prepare_seals(w);
        }
        let deletable = w.rows.front().is_some_and(|(row, _)| *row < w.needed_from);
        {
            let m = self.memory.lock();
            let defs = m.iter().any(|(_, s)| !s.def_saved);
            if m.pending.is_empty() && m.events.is_empty() && !defs && w.seals.is_empty() && !deletable && !w.failed {
                return Ok(CommitReport::default());
            }
        }
        if let Err(e) = self.check_space(self.config.free_bytes_min) {
            if !w.failed {
                // None of them is in the store yet, and retention may change the states they end in.
                w.seals.clear();
            }
            return Err(e);
        }
        let plan = {
            let mut m = self.memory.lock();
            m.begin();
            let defs = m.iter().filter(|(_, s)| !s.def_saved).map(|(id, s)| (id, encode_def(&s.def))).collect();
            Plan { defs, cells: m.inflight.clone(), events: m.events_inflight.clone(), journal: m.journal }
        };
        let result = self.write(w, &plan);
        let mut m = self.memory.lock();
        match result {
            Ok(written) => {
                let report = finish(w, &mut m, plan, written);
                drop(m);
                self.progress.note(w.commit);
                Ok(report)
            }
            Err(e) => {
                w.failed = true;
                if let StoreError::Damaged(reason) = &e {
                    self.progress.note_damage(reason);
                }
                // Ours must be gone before the memory takes its points back without a copy.
                drop(plan);
                m.put_back();
                Err(e)
            }
        }
    }

    /// Refuses to write into a nearly full file system: sled cannot go on after a write that found no room.
    pub(crate) fn check_space(&self, floor: u64) -> Result<(), StoreError> {
        if floor == 0 {
            return Ok(());
        }
        let free = self.storage.bytes_free()?;
        if free < floor { Err(StoreError::LowSpace { free, floor }) } else { Ok(()) }
    }

    fn prepare_seals(&self, w: &mut Writer) {
        let (heads, mut number) = {
            let m = self.memory.lock();
            let due = m.due(w.pressure_row(m.bounds.tail_bytes));
            let heads: Vec<_> =
                due.into_iter().filter_map(|id| m.get(id).map(|s| (id, s.head.cells.clone(), s.state))).collect();
            (heads, m.next_chunk)
        };
        for (id, cells, state) in heads {
            w.seals.extend(seal(id, &cells, state, w.next_row - 1, &mut number));
        }
    }

    fn write(&self, w: &Writer, plan: &Plan) -> Result<Written, StoreError> {
        if w.failed {
            self.delete_leftover_rows(w.next_row)?;
        }
        let mut out = Batches::new(&*self.storage);
        for (id, def) in &plan.defs {
            let k = key::series(*id);
            let v = frame(&k, def);
            out.group([Op::Put(k, v)])?;
        }
        for seal in &w.seals {
            out.group(seal.ops.iter().cloned())?;
        }
        let mut written = Written { journal: plan.journal, ..Written::default() };
        let events: Vec<Op> = plan
            .events
            .iter()
            .map(|e| {
                let k = e.key();
                let v = frame(&k, &e.encode());
                Op::Put(k, v)
            })
            .collect();
        if let Some(last) = plan.events.last() {
            written.journal.next = last.number + 1;
            written.journal.rows += events.len() as u64;
            written.journal.bytes += events.iter().map(|op| op.bytes() as u64).sum::<u64>();
            // Before the rows: after a kill in between, no number is used twice.
            out.group([Op::Put(key::JOURNAL.to_vec(), frame(&key::JOURNAL, &written.journal.encode()))])?;
        }
        for op in events {
            out.group([op])?;
        }
        let (ops, rows) = tail_rows(&plan.cells, w.next_row);
        written.rows = rows;
        for op in ops {
            out.group([op])?;
        }
        // Freed by an earlier commit, whose chunks are durable.
        for (row, _) in w.rows.iter().take_while(|(row, _)| *row < w.needed_from).take(ROW_DELETES_PER_COMMIT) {
            out.group([Op::Delete(key::row(*row))])?;
            written.deleted += 1;
        }
        out.group([Op::Put(key::COMMIT.to_vec(), commit_value(w.commit + 1))])?;
        out.flush()?;
        self.storage.sync()?;
        Ok(written)
    }

    fn delete_leftover_rows(&self, from: u64) -> Result<(), StoreError> {
        let mut leftover = Vec::new();
        self.storage.scan(&key::row(from), &[key::EVENT], false, &mut |k, _| {
            leftover.push(Op::Delete(k.to_vec()));
            ControlFlow::Continue(())
        })?;
        leftover.chunks(BATCH_ENTRIES_MAX).try_for_each(|batch| self.storage.apply(batch))
    }
}

/// The store has confirmed: memory follows.
fn finish(w: &mut Writer, m: &mut Memory, plan: Plan, written: Written) -> CommitReport {
    let Plan { defs, cells, events, .. } = plan;
    let mut report = CommitReport {
        points: cells.len(),
        events: events.len(),
        rows: written.rows.len(),
        bytes: written.rows.iter().map(|(_, bytes, _)| *bytes as usize).sum(),
        ..CommitReport::default()
    };
    for (id, saved) in defs {
        if let Some(series) = m.get_mut(id) {
            // Unless it changed again meanwhile.
            series.def_saved = encode_def(&series.def) == saved;
        }
    }
    for seal in w.seals.drain(..) {
        report.chunks += seal.chunks;
        m.next_chunk = m.next_chunk.max(seal.after.last_chunk + 1);
        m.head_points -= seal.cells;
        if let Some(series) = m.get_mut(seal.series) {
            series.head.cells.drain(..seal.cells);
            series.state = seal.after;
        }
    }
    m.inflight = Arc::default();
    let mut from = 0;
    let mut cells = Arc::unwrap_or_clone(cells);
    let mut cells = cells.drain(..);
    for (row, bytes, end) in written.rows {
        for (id, cell) in cells.by_ref().take(end - from) {
            if let Some(series) = m.get_mut(id) {
                series.head.push(cell, row);
                m.head_points += 1;
            }
        }
        from = end;
        w.rows.push_back((row, bytes));
        w.next_row = row + 1;
    }
    m.events_inflight = Arc::default();
    m.journal = written.journal;
    w.rows.drain(..written.deleted);
    w.needed_from = m.needed_from(w.next_row);
    w.failed = false;
    w.commit += 1;
    report
}
