//! Reading a store at the start: definitions, how far each series is packed, and the tail rows into the heads.

use crate::cell::row_cells;
use crate::error::StoreError;
use crate::frame::{Damage, frame, key, unframe};
use crate::memory::{JournalState, Memory, SeriesState, decode_def};
use crate::storage::{Op, Storage};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Says what the store is.
pub(crate) const HEADER_TEXT: &[u8] = b"penstock-historian";

/// Why a store cannot be taken into use as it is.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// Another format.
    Version(u8),
    /// It contradicts itself.
    Damaged(String),
    /// It did not answer.
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Damaged(reason) => LoadError::Damaged(reason),
            other => LoadError::Store(other),
        }
    }
}

/// A store in memory.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    /// Tail rows in the store with their bytes, oldest first.
    pub(crate) rows: VecDeque<(u64, u32)>,
    pub(crate) next_row: u64,
    /// Number of the last commit in the store.
    pub(crate) commit: u64,
    pub(crate) created: bool,
    pub(crate) recovered: u64,
    pub(crate) damaged: u64,
}

/// Checks the header; writes it into an empty store. True when it did.
fn header(storage: &dyn Storage, expect_existing: bool) -> Result<bool, LoadError> {
    if let Some(value) = storage.get(&key::HEADER)? {
        return match unframe(&key::HEADER, &value) {
            Ok(HEADER_TEXT) => Ok(false),
            Ok(_) => Err(LoadError::Damaged("its header is of something else".into())),
            Err(Damage::Version(found)) => Err(LoadError::Version(found)),
            Err(damage) => Err(LoadError::Damaged(format!("header: {damage}"))),
        };
    }
    let mut empty = true;
    storage.scan(&[], &[0xff], false, &mut |_, _| {
        empty = false;
        ControlFlow::Break(())
    })?;
    if expect_existing || !empty {
        return Err(LoadError::Damaged("its header is missing".into()));
    }
    storage.apply(&[Op::Put(key::HEADER.to_vec(), frame(&key::HEADER, HEADER_TEXT))])?;
    storage.sync()?;
    Ok(true)
}

/// Reads a store. With `expect_existing`, an empty one has lost everything and is damaged.
pub(crate) fn load(storage: &dyn Storage, expect_existing: bool) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded { created: header(storage, expect_existing)?, ..Loaded::default() };
    series(storage, &mut loaded)?;
    journal(storage, &mut loaded)?;
    rows(storage, &mut loaded)?;
    loaded.commit = match storage.get(&key::COMMIT)?.as_deref().map(read_commit) {
        None => 0,
        Some(Ok(number)) => number,
        Some(Err(damage)) => {
            tracing::error!(%damage, "number of the last commit is damaged");
            loaded.damaged += 1;
            0
        }
    };
    Ok(loaded)
}

/// The stored form of a commit's number; always of the same length, so that it is overwritten in place.
pub(crate) fn commit_value(number: u64) -> Vec<u8> {
    frame(&key::COMMIT, &number.to_le_bytes())
}

/// The number in a stored form.
pub(crate) fn read_commit(value: &[u8]) -> Result<u64, Damage> {
    let bytes = unframe(&key::COMMIT, value)?.try_into();
    bytes.map(u64::from_le_bytes).map_err(|_| Damage::Malformed("number of a commit has another length"))
}

fn series(storage: &dyn Storage, loaded: &mut Loaded) -> Result<(), LoadError> {
    let Loaded { memory, damaged, .. } = loaded;
    storage.scan(&[key::SERIES], &[key::STATE], false, &mut |k, v| {
        let Some(id) = key::id_of(k) else { return ControlFlow::Continue(()) };
        match unframe(k, v).and_then(decode_def) {
            Ok(def) => memory.put_series(id, def, true),
            Err(damage) => {
                tracing::error!(series = id, %damage, "definition of a series is damaged; its history is not reachable");
                memory.reserve_id(id);
                *damaged += 1;
            }
        }
        ControlFlow::Continue(())
    })?;
    let mut rebuild = Vec::new();
    storage.scan(&[key::STATE], &[key::CHUNK], false, &mut |k, v| {
        let Some(id) = key::id_of(k) else { return ControlFlow::Continue(()) };
        memory.reserve_id(id);
        match unframe(k, v).and_then(SeriesState::decode) {
            Ok(state) => {
                memory.next_chunk = memory.next_chunk.max(state.last_chunk);
                if let Some(series) = memory.get_mut(id) {
                    series.state = state;
                }
            }
            Err(damage) => {
                tracing::error!(series = id, %damage, "state of a series is damaged; it is counted anew");
                *damaged += 1;
                rebuild.push(id);
            }
        }
        ControlFlow::Continue(())
    })?;
    for id in rebuild {
        // How far the tail is packed is lost: its points come back a second time rather than not at all.
        let mut state = SeriesState::default();
        storage.scan(&key::chunk(id, i64::MIN, 0), &key::chunk(id, i64::MAX, u64::MAX), false, &mut |k, v| {
            let head = unframe(k, v).and_then(crate::cell::ChunkHead::of);
            if let (Some((_, _, number)), Ok(head)) = (key::chunk_of(k), head) {
                state.last_chunk = state.last_chunk.max(number);
                state.chunks += 1;
                state.samples += head.count as u64;
                state.bytes += (k.len() + v.len()) as u64;
            }
            ControlFlow::Continue(())
        })?;
        memory.next_chunk = memory.next_chunk.max(state.last_chunk);
        if let Some(series) = memory.get_mut(id) {
            series.state = state;
        }
    }
    memory.next_chunk += 1;
    Ok(())
}

fn journal(storage: &dyn Storage, loaded: &mut Loaded) -> Result<(), LoadError> {
    let stored = storage.get(&key::JOURNAL)?;
    match stored.as_deref().map(|v| unframe(&key::JOURNAL, v).and_then(JournalState::decode)) {
        None => {}
        Some(Ok(state)) => loaded.memory.journal = state,
        Some(Err(damage)) => {
            tracing::error!(%damage, "state of the journal is damaged; it is counted anew");
            loaded.damaged += 1;
            let journal = &mut loaded.memory.journal;
            storage.scan(&[key::EVENT], &key::JOURNAL, false, &mut |k, v| {
                if let Some((_, number)) = key::event_of(k) {
                    journal.next = journal.next.max(number + 1);
                    journal.rows += 1;
                    journal.bytes += (k.len() + v.len()) as u64;
                }
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(())
}

fn rows(storage: &dyn Storage, loaded: &mut Loaded) -> Result<(), LoadError> {
    let Loaded { memory, rows, next_row, recovered, damaged, .. } = loaded;
    let mut skip: Vec<u64> = memory.series.iter().map(|s| s.as_ref().map_or(0, |s| s.state.sealed_skip)).collect();
    *next_row = memory.iter().map(|(_, s)| s.state.sealed_row).max().unwrap_or(0) + 1;
    storage.scan(&[key::ROW], &[key::EVENT], false, &mut |k, v| {
        let Some(row) = key::row_of(k) else { return ControlFlow::Continue(()) };
        rows.push_back((row, (k.len() + v.len()) as u32));
        *next_row = (*next_row).max(row + 1);
        let cells = match unframe(k, v).and_then(row_cells) {
            Ok(cells) => cells,
            Err(damage) => {
                tracing::error!(row, %damage, "tail row is damaged; its points are lost");
                *damaged += 1;
                return ControlFlow::Continue(());
            }
        };
        let mut unknown = false;
        for (id, cell) in cells {
            let Some(series) = memory.get_mut(id) else {
                unknown = true;
                continue;
            };
            if row <= series.state.sealed_row {
                continue;
            }
            let skip = &mut skip[id as usize];
            if *skip > 0 {
                *skip -= 1;
                continue;
            }
            series.head.push(cell, row);
            memory.head_points += 1;
            *recovered += 1;
        }
        *damaged += u64::from(unknown);
        ControlFlow::Continue(())
    })?;
    Ok(())
}
