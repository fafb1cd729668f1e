//! What lies in memory: the series, their heads (durable in tail rows, not packed yet) and what waits for the next commit.

use crate::api::{Point, SeriesDef, SeriesId, Stats};
use crate::cell::Cell;
use crate::error::StoreError;
use crate::frame::{Damage, Reader, key, put_bytes, put_uint};
use crate::limits::{
    EVENT_BYTES_MAX, HEAD_POINTS_MAX, HEAD_POINTS_MIN, HEAD_POINTS_TOTAL_MAX, HEAD_SPAN_MS_MAX, PENDING_EVENTS_MAX,
    PENDING_POINTS_MAX, SEALS_PER_COMMIT, TAIL_BYTES_MAX,
};
use penstock_model::ValueType;
use penstock_model::limits::{TAG_PATH_BYTES_MAX, TAGS_MAX};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The bounds that tests make small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) pending_points: usize,
    pub(crate) tail_bytes: u64,
    pub(crate) head_points_total: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pending_points: PENDING_POINTS_MAX,
            tail_bytes: TAIL_BYTES_MAX,
            head_points_total: HEAD_POINTS_TOTAL_MAX,
        }
    }
}

/// How far a series is packed, and what its chunks amount to. Stored in the same atomic batch as the chunks, so that
/// recovery knows exactly which points of the tail rows are in chunks already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SeriesState {
    /// Points of tail rows up to this number are in chunks.
    pub(crate) sealed_row: u64,
    /// And so many of the points that follow.
    pub(crate) sealed_skip: u64,
    /// Highest chunk number used.
    pub(crate) last_chunk: u64,
    pub(crate) chunks: u64,
    pub(crate) samples: u64,
    /// Keys and values of the chunks.
    pub(crate) bytes: u64,
}

impl SeriesState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for x in [self.sealed_row, self.sealed_skip, self.last_chunk, self.chunks, self.samples, self.bytes] {
            put_uint(&mut out, x);
        }
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Damage> {
        let mut r = Reader(payload);
        Ok(Self {
            sealed_row: r.uint()?,
            sealed_skip: r.uint()?,
            last_chunk: r.uint()?,
            chunks: r.uint()?,
            samples: r.uint()?,
            bytes: r.uint()?,
        })
    }
}

/// What the stored journal amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalState {
    /// Number of the next row that is stored.
    pub(crate) next: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl JournalState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for x in [self.next, self.rows, self.bytes] {
            put_uint(&mut out, x);
        }
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Damage> {
        let mut r = Reader(payload);
        Ok(Self { next: r.uint()?, rows: r.uint()?, bytes: r.uint()? })
    }
}

/// The stored form of a definition.
pub(crate) fn encode_def(def: &SeriesDef) -> Vec<u8> {
    let kind = match def.value_type {
        ValueType::Bool => 1,
        ValueType::Int => 2,
        ValueType::Float => 3,
        ValueType::Text => 4,
    };
    let mut out = vec![kind, def.decimals];
    put_bytes(&mut out, def.path.as_bytes());
    put_bytes(&mut out, def.unit.as_bytes());
    out
}

/// A definition from its stored form.
pub(crate) fn decode_def(payload: &[u8]) -> Result<SeriesDef, Damage> {
    let mut r = Reader(payload);
    let value_type = match r.byte()? {
        1 => ValueType::Bool,
        2 => ValueType::Int,
        3 => ValueType::Float,
        4 => ValueType::Text,
        _ => return Err(Damage::Malformed("unknown type of series")),
    };
    Ok(SeriesDef { value_type, decimals: r.byte()?, path: r.text()?.into(), unit: r.text()?.into() })
}

/// A journal row in memory.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) utc: i64,
    pub(crate) number: u64,
    pub(crate) kind: String,
    pub(crate) body: String,
}

impl Event {
    pub(crate) fn key(&self) -> Vec<u8> {
        key::event(self.utc, self.number)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.kind.as_bytes());
        put_bytes(&mut out, self.body.as_bytes());
        out
    }

    pub(crate) fn decode(event_key: &[u8], payload: &[u8]) -> Result<Event, Damage> {
        let (utc, number) = key::event_of(event_key).ok_or(Damage::Malformed("key of a journal row is too short"))?;
        let mut r = Reader(payload);
        Ok(Event { utc, number, kind: r.text()?.to_owned(), body: r.text()?.to_owned() })
    }
}

/// Points of one series that are durable in tail rows and not packed yet, in the order they arrived.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) cells: Vec<Cell>,
    /// Tail row of the first of them.
    pub(crate) first_row: u64,
    min_ms: i64,
    max_ms: i64,
}

impl Head {
    pub(crate) fn push(&mut self, cell: Cell, row: u64) {
        if self.cells.is_empty() {
            (self.first_row, self.min_ms, self.max_ms) = (row, cell.ms, cell.ms);
        }
        self.min_ms = self.min_ms.min(cell.ms);
        self.max_ms = self.max_ms.max(cell.ms);
        self.cells.push(cell);
    }

    fn is_ripe(&self) -> bool {
        let n = self.cells.len();
        n >= HEAD_POINTS_MAX || (n >= HEAD_POINTS_MIN && self.max_ms.saturating_sub(self.min_ms) > HEAD_SPAN_MS_MAX)
    }
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) def: SeriesDef,
    /// False until the definition is durable as it is.
    pub(crate) def_saved: bool,
    pub(crate) head: Head,
    pub(crate) state: SeriesState,
}

/// Everything in memory. Held for moments only: never while the store is read or written.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) series: Vec<Option<Series>>,
    pub(crate) by_path: HashMap<Arc<str>, u32>,
    /// Not durable yet.
    pub(crate) pending: VecDeque<(u32, Cell)>,
    /// Being written by the commit under way; still answered by queries.
    pub(crate) inflight: Arc<Vec<(u32, Cell)>>,
    pub(crate) events: Vec<Event>,
    pub(crate) events_inflight: Arc<Vec<Event>>,
    pub(crate) journal: JournalState,
    /// Chunks from this number on are of a commit that is not done: queries find their points in the heads.
    pub(crate) next_chunk: u64,
    pub(crate) head_points: usize,
    pub(crate) dropped: u64,
    pub(crate) bounds: Bounds,
}

impl Memory {
    /// The id of a path; a new series, or a changed definition, is stored by the next commit.
    pub(crate) fn define(&mut self, def: &SeriesDef) -> Result<SeriesId, StoreError> {
        if let Some(id) = self.by_path.get(&def.path) {
            if let Some(Some(series)) = self.series.get_mut(*id as usize)
                && series.def != *def
            {
                series.def = def.clone();
                series.def_saved = false;
            }
            return Ok(SeriesId(*id));
        }
        if def.path.is_empty() || def.path.len() > TAG_PATH_BYTES_MAX || def.unit.len() > TAG_PATH_BYTES_MAX {
            return Err(StoreError::BadPath(def.path.to_string()));
        }
        // Twice a site's tags: paths of tags that were renamed or removed keep their history and their place.
        if self.series.len() >= 2 * TAGS_MAX {
            return Err(StoreError::TooManySeries(self.series.len()));
        }
        let id = self.series.len() as u32;
        self.put_series(id, def.clone(), false);
        Ok(SeriesId(id))
    }

    /// Adds a series under its id.
    pub(crate) fn put_series(&mut self, id: u32, def: SeriesDef, def_saved: bool) {
        self.reserve_id(id);
        self.by_path.insert(def.path.clone(), id);
        let series = Series { def, def_saved, head: Head::default(), state: SeriesState::default() };
        self.series[id as usize] = Some(series);
    }

    /// Makes sure that an id is never given to another path.
    pub(crate) fn reserve_id(&mut self, id: u32) {
        while self.series.len() <= id as usize {
            self.series.push(None);
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Series> {
        self.series.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        self.series.get_mut(id as usize)?.as_mut()
    }

    /// All series with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.series.iter().enumerate().filter_map(|(id, s)| s.as_ref().map(|s| (id as u32, s)))
    }

    pub(crate) fn append(&mut self, batch: &[Point]) {
        for point in batch {
            if self.get(point.series.0).is_none() {
                self.dropped += 1;
                continue;
            }
            self.pending.push_back((point.series.0, Cell::new(point)));
        }
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        let excess = self.pending.len().saturating_sub(self.bounds.pending_points);
        self.pending.drain(..excess);
        self.dropped += excess as u64;
    }

    pub(crate) fn event(&mut self, utc: i64, kind: &str, body: &str) -> Result<(), StoreError> {
        let bytes = kind.len() + body.len();
        if bytes > EVENT_BYTES_MAX {
            return Err(StoreError::EventTooLong { kind: kind.to_owned(), bytes, max: EVENT_BYTES_MAX });
        }
        if self.events.len() >= PENDING_EVENTS_MAX {
            return Err(StoreError::JournalFull(self.events.len()));
        }
        let number = self.journal.next + (self.events_inflight.len() + self.events.len()) as u64;
        self.events.push(Event { utc, number, kind: kind.to_owned(), body: body.to_owned() });
        Ok(())
    }

    /// What waits becomes what is being written.
    pub(crate) fn begin(&mut self) {
        self.inflight = Arc::new(std::mem::take(&mut self.pending).into());
        self.events_inflight = Arc::new(std::mem::take(&mut self.events));
    }

    /// The write failed: everything waits again, before what has come since.
    pub(crate) fn put_back(&mut self) {
        let cells = Arc::unwrap_or_clone(std::mem::take(&mut self.inflight));
        let mut pending = VecDeque::from(cells);
        pending.append(&mut self.pending);
        self.pending = pending;
        self.drop_oldest();
        let mut events = Arc::unwrap_or_clone(std::mem::take(&mut self.events_inflight));
        events.append(&mut self.events);
        self.events = events;
    }

    /// The series whose heads are to be packed now, the most urgent first: full or old heads, the holders of tail rows
    /// up to `pressure_row`, and the largest ones when all heads together take too much memory.
    pub(crate) fn due(&self, pressure_row: u64) -> Vec<u32> {
        let mut due: Vec<(u32, &Head)> = self
            .iter()
            .map(|(id, s)| (id, &s.head))
            .filter(|(_, h)| !h.cells.is_empty() && (h.is_ripe() || h.first_row <= pressure_row))
            .collect();
        if self.head_points > self.bounds.head_points_total {
            let mut all: Vec<(u32, &Head)> = self.iter().map(|(id, s)| (id, &s.head)).collect();
            all.sort_by_key(|(_, h)| Reverse(h.cells.len()));
            let mut excess = self.head_points - self.bounds.head_points_total / 4 * 3;
            due.clear();
            for (id, head) in all {
                due.push((id, head));
                excess = excess.saturating_sub(head.cells.len());
                if excess == 0 || head.cells.is_empty() {
                    break;
                }
            }
            return due.into_iter().filter(|(_, h)| !h.cells.is_empty()).map(|(id, _)| id).collect();
        }
        // Overfull heads go whatever the number; the others take turns.
        due.sort_by_key(|(_, h)| (h.cells.len() < 2 * HEAD_POINTS_MAX, h.first_row));
        let turns = SEALS_PER_COMMIT.max(self.series.len() / 64);
        let overfull = due.partition_point(|(_, h)| h.cells.len() >= 2 * HEAD_POINTS_MAX);
        due.truncate(overfull.max(turns));
        due.into_iter().map(|(id, _)| id).collect()
    }

    /// The oldest tail row that a head still needs, or `next_row` when none does.
    pub(crate) fn needed_from(&self, next_row: u64) -> u64 {
        let rows = self.iter().filter(|(_, s)| !s.head.cells.is_empty()).map(|(_, s)| s.head.first_row);
        rows.min().unwrap_or(next_row)
    }

    /// The numbers that memory knows.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            series: self.by_path.len(),
            dropped: self.dropped,
            pending: self.pending.len() + self.inflight.len(),
            events: self.journal.rows + (self.events.len() + self.events_inflight.len()) as u64,
            ..Stats::default()
        };
        let (mut packed, mut bytes) = (0, 0);
        for (_, s) in self.iter() {
            stats.chunks += s.state.chunks;
            packed += s.state.samples;
            bytes += s.state.bytes;
        }
        stats.samples = packed + (self.head_points + stats.pending) as u64;
        stats.bytes_live = bytes + self.journal.bytes;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        if packed > 0 {
            stats.bytes_per_sample = bytes as f64 / packed as f64;
        }
        stats
    }
}
