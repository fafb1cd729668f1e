//! Answers: chunks of the store and points in memory, put in the order of time.

use crate::Historian;
use crate::api::{Bucket, EventRow, Point};
use crate::cell::{Cell, ChunkHead, chunk_cells};
use crate::error::StoreError;
use crate::frame::{Damage, key, unframe};
use crate::limits::{BUCKETS_MAX, CHUNK_SPAN_MS_MAX, DAMAGED_KEYS_MAX, EVENTS_ANSWER_MAX, QUERY_POINTS_MAX};
use crate::memory::Event;
use penstock_model::{Quality, Utc};
use std::ops::ControlFlow;

/// Stands for points in memory where chunks have numbers: they come after all chunks.
const IN_MEMORY: u64 = u64::MAX;
const NS_PER_MS: i128 = 1_000_000;

/// The first whole millisecond that is not before this time.
fn ceil_ms(utc: Utc) -> i64 {
    let ns = i128::from(utc.0);
    // 64-bit nanoseconds are far fewer milliseconds than fit.
    -((-ns).div_euclid(NS_PER_MS)) as i64
}

/// What memory knows of a series at one moment. Chunks from `next_chunk` on are not looked at: they come from a commit
/// under way and hold what `cells` holds.
struct Snapshot {
    id: u32,
    cells: Vec<Cell>,
    next_chunk: u64,
}

impl Historian {
    fn snapshot(&self, path: &str, low_ms: i64, high_ms: i64) -> Result<Snapshot, StoreError> {
        let m = self.memory.lock();
        let id = *m.by_path.get(path).ok_or_else(|| StoreError::UnknownSeries(path.to_owned()))?;
        let inside = |c: &&Cell| c.ms >= low_ms && c.ms < high_ms;
        let head = m.get(id).map_or(&[][..], |s| &s.head.cells);
        let waiting = m.inflight.iter().chain(m.pending.iter()).filter(|(series, _)| *series == id).map(|(_, c)| c);
        let mut cells: Vec<Cell> = head.iter().chain(waiting).filter(inside).cloned().collect();
        cells.sort_by_key(|c| c.ms);
        Ok(Snapshot { id, cells, next_chunk: m.next_chunk })
    }

    /// Counts and logs a damaged row, once.
    pub(crate) fn note_damage(&self, row_key: &[u8], damage: &Damage) {
        let mut damaged = self.damaged.lock();
        if damaged.len() < DAMAGED_KEYS_MAX && damaged.insert(row_key.to_vec()) {
            tracing::error!(key = ?row_key, %damage, "stored history is damaged; the row is left out");
        }
    }

    /// Visits the cells of every chunk that reaches into the range, chunk by chunk, and the number of the chunk.
    fn chunks_between(
        &self,
        snapshot: &Snapshot,
        low_ms: i64,
        high_ms: i64,
        visit: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let from = key::chunk(snapshot.id, low_ms.saturating_sub(CHUNK_SPAN_MS_MAX), 0);
        let to = key::chunk(snapshot.id, high_ms, 0);
        self.storage.scan(&from, &to, false, &mut |k, v| {
            let Some((_, _, number)) = key::chunk_of(k) else { return ControlFlow::Continue(()) };
            if number >= snapshot.next_chunk {
                return ControlFlow::Continue(());
            }
            let cells = unframe(k, v).and_then(|payload| {
                let head = ChunkHead::of(payload)?;
                if head.last_ms < low_ms { Ok(Vec::new()) } else { chunk_cells(payload) }
            });
            match cells {
                Ok(cells) => {
                    let low = cells.partition_point(|c| c.ms < low_ms);
                    let high = cells.partition_point(|c| c.ms < high_ms);
                    if low < high { visit(number, &cells[low..high]) } else { ControlFlow::Continue(()) }
                }
                Err(damage) => {
                    self.note_damage(k, &damage);
                    ControlFlow::Continue(())
                }
            }
        })
    }

    pub(crate) fn query_range(&self, path: &str, from: Utc, to: Utc) -> Result<Vec<Point>, StoreError> {
        if to < from {
            return Err(StoreError::BadRange(path.to_owned()));
        }
        let (low, high) = (ceil_ms(from), ceil_ms(to));
        let mut snapshot = self.snapshot(path, low, high)?;
        let mut found: Vec<(u64, Cell)> = Vec::new();
        self.chunks_between(&snapshot, low, high, &mut |number, cells| {
            found.extend(cells.iter().map(|c| (number, c.clone())));
            if found.len() > QUERY_POINTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        found.extend(snapshot.cells.drain(..).map(|c| (IN_MEMORY, c)));
        if found.len() > QUERY_POINTS_MAX {
            return Err(StoreError::TooManyPoints { path: path.to_owned(), max: QUERY_POINTS_MAX });
        }
        // Chunks may overlap in time; those of one time keep the order they arrived in.
        found.sort_by_key(|(number, c)| (c.ms, *number));
        Ok(found.into_iter().map(|(_, c)| c.point(snapshot.id)).collect())
    }

    /// See [`Historian::page`]. Chunks are visited in the order of their first points; once enough points are known that
    /// lie before every chunk to come, the rest is not read.
    pub(crate) fn page_range(
        &self,
        path: &str,
        from: Utc,
        to: Utc,
        max: usize,
        backwards: bool,
    ) -> Result<Vec<Point>, StoreError> {
        if to < from {
            return Err(StoreError::BadRange(path.to_owned()));
        }
        let max = max.min(QUERY_POINTS_MAX);
        let (low, high) = (ceil_ms(from), ceil_ms(to));
        let mut snapshot = self.snapshot(path, low, high)?;
        let mut found: Vec<(u64, Cell)> = snapshot.cells.drain(..).map(|c| (IN_MEMORY, c)).collect();
        // In the order of time throughout, those of one time in the order they arrived: an answer is turned round at its end.
        let keep_best = |found: &mut Vec<(u64, Cell)>| {
            found.sort_by_key(|(number, c)| (c.ms, *number));
            let surplus = found.len().saturating_sub(max);
            if backwards {
                found.drain(..surplus);
            } else {
                found.truncate(max);
            }
        };
        keep_best(&mut found);
        let first = key::chunk(snapshot.id, low.saturating_sub(CHUNK_SPAN_MS_MAX), 0);
        self.storage.scan(&first, &key::chunk(snapshot.id, high, 0), backwards, &mut |k, v| {
            let Some((_, first_ms, number)) = key::chunk_of(k) else { return ControlFlow::Continue(()) };
            let furthest = if backwards { found.first() } else { found.last() };
            let enough = match furthest {
                Some((_, cell)) if found.len() >= max && backwards => {
                    first_ms.saturating_add(CHUNK_SPAN_MS_MAX) < cell.ms
                }
                Some((_, cell)) if found.len() >= max => first_ms > cell.ms,
                _ => max == 0,
            };
            if enough {
                return ControlFlow::Break(());
            }
            if number >= snapshot.next_chunk {
                return ControlFlow::Continue(());
            }
            let cells = unframe(k, v).and_then(|payload| {
                let head = ChunkHead::of(payload)?;
                if head.last_ms < low { Ok(Vec::new()) } else { chunk_cells(payload) }
            });
            match cells {
                Ok(cells) => {
                    let inside = cells.into_iter().filter(|c| c.ms >= low && c.ms < high);
                    found.extend(inside.map(|c| (number, c)));
                    keep_best(&mut found);
                }
                Err(damage) => self.note_damage(k, &damage),
            }
            ControlFlow::Continue(())
        })?;
        if backwards {
            found.reverse();
        }
        Ok(found.into_iter().map(|(_, c)| c.point(snapshot.id)).collect())
    }

    pub(crate) fn downsample_range(
        &self,
        path: &str,
        from: Utc,
        to: Utc,
        buckets: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        if to < from || buckets == 0 || buckets > BUCKETS_MAX {
            return Err(StoreError::BadRange(path.to_owned()));
        }
        let (low, high) = (ceil_ms(from), ceil_ms(to));
        let snapshot = self.snapshot(path, low, high)?;
        let (start, span, n) = (i128::from(from.0), i128::from(to.0) - i128::from(from.0), buckets as i128);
        let mut sums: Vec<Option<Sum>> = vec![None; buckets];
        let mut add = |number: u64, cells: &[Cell]| {
            for cell in cells {
                let offset = i128::from(cell.ms) * NS_PER_MS - start;
                if let Some(sum) = sums.get_mut((offset * n / span) as usize) {
                    sum.get_or_insert_with(Sum::default).add(number, cell);
                }
            }
            ControlFlow::Continue(())
        };
        self.chunks_between(&snapshot, low, high, &mut add)?;
        let _ = add(IN_MEMORY, &snapshot.cells);
        // The first time that falls into part i: rounded up, as the parts are found by rounding down.
        let bucket_start = |i: usize| Utc((start + (i as i128 * span + n - 1) / n) as i64);
        Ok(sums.into_iter().enumerate().filter_map(|(i, s)| s.map(|s| s.bucket(bucket_start(i)))).collect())
    }

    pub(crate) fn last_cell_before(&self, path: &str, at: Utc) -> Result<Option<Point>, StoreError> {
        let high = ceil_ms(at);
        let snapshot = self.snapshot(path, i64::MIN, high)?;
        let mut best: Option<(i64, u64, Cell)> = snapshot.cells.last().map(|c| (c.ms, IN_MEMORY, c.clone()));
        let from = key::chunk(snapshot.id, i64::MIN, 0);
        self.storage.scan(&from, &key::chunk(snapshot.id, high, 0), true, &mut |k, v| {
            let Some((_, first_ms, number)) = key::chunk_of(k) else { return ControlFlow::Continue(()) };
            let best_ms = best.as_ref().map_or(i64::MIN, |b| b.0);
            if first_ms.saturating_add(CHUNK_SPAN_MS_MAX) < best_ms {
                return ControlFlow::Break(());
            }
            if number >= snapshot.next_chunk {
                return ControlFlow::Continue(());
            }
            let cells = unframe(k, v).and_then(|payload| {
                let head = ChunkHead::of(payload)?;
                if head.last_ms < best_ms { Ok(Vec::new()) } else { chunk_cells(payload) }
            });
            match cells {
                Ok(mut cells) => {
                    cells.truncate(cells.partition_point(|c| c.ms < high));
                    if let Some(cell) = cells.pop()
                        && best.as_ref().is_none_or(|b| (b.0, b.1) < (cell.ms, number))
                    {
                        best = Some((cell.ms, number, cell));
                    }
                }
                Err(damage) => self.note_damage(k, &damage),
            }
            ControlFlow::Continue(())
        })?;
        Ok(best.map(|(_, _, cell)| cell.point(snapshot.id)))
    }

    pub(crate) fn events_between(
        &self,
        from: Utc,
        to: Utc,
        kind: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let limit = limit.min(EVENTS_ANSWER_MAX);
        if to <= from || limit == 0 {
            return Ok(Vec::new());
        }
        let wanted = |e: &Event| e.utc >= from.0 && e.utc < to.0 && kind.is_none_or(|k| e.kind == k);
        let (mut found, next) = {
            let m = self.memory.lock();
            let waiting = m.events_inflight.iter().chain(&m.events).filter(|e| wanted(e));
            (waiting.cloned().collect::<Vec<_>>(), m.journal.next)
        };
        let mut stored = 0;
        self.storage.scan(&key::event(from.0, 0), &key::event(to.0, 0), true, &mut |k, v| {
            match unframe(k, v).and_then(|payload| Event::decode(k, payload)) {
                // Rows from `next` on are of a commit under way and were found in memory.
                Ok(event) if event.number < next && wanted(&event) => {
                    found.push(event);
                    stored += 1;
                }
                Ok(_) => {}
                Err(damage) => self.note_damage(k, &damage),
            }
            if stored >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        found.sort_by_key(|e| std::cmp::Reverse((e.utc, e.number)));
        found.truncate(limit);
        Ok(found.into_iter().map(|e| EventRow { utc: Utc(e.utc), kind: e.kind, body: e.body }).collect())
    }
}

/// A bucket being filled, in any order of chunks.
#[derive(Debug, Clone)]
struct Sum {
    count: u32,
    worst: Quality,
    numbers: u32,
    total: f64,
    min: f64,
    max: f64,
    first: ((i64, u64), f64),
    last: ((i64, u64), f64),
}

impl Default for Sum {
    fn default() -> Self {
        Sum {
            count: 0,
            worst: Quality::Good,
            numbers: 0,
            total: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            first: ((i64::MAX, u64::MAX), 0.0),
            last: ((i64::MIN, 0), 0.0),
        }
    }
}

impl Sum {
    fn add(&mut self, number: u64, cell: &Cell) {
        self.count = self.count.saturating_add(1);
        self.worst = self.worst.worst(cell.quality());
        let Some(x) = cell.number() else { return };
        let place = (cell.ms, number);
        if self.numbers == 0 || place < self.first.0 {
            self.first = (place, x);
        }
        if self.numbers == 0 || place >= self.last.0 {
            self.last = (place, x);
        }
        self.numbers = self.numbers.saturating_add(1);
        self.total += x;
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    fn bucket(self, from: Utc) -> Bucket {
        let some = |x: f64| (self.numbers > 0).then_some(x);
        Bucket {
            from,
            first: some(self.first.1),
            last: some(self.last.1),
            min: some(self.min),
            max: some(self.max),
            mean: some(self.total / f64::from(self.numbers.max(1))),
            count: self.count,
            worst: self.worst,
        }
    }
}
