//! A point as it lies in memory, and its two stored forms: many of one series in a chunk, the last second's points of all
//! series in tail rows.

use crate::api::{Point, SeriesId};
use crate::column::{
    Scale, get_bools, get_codes, get_floats, get_ints, get_texts, put_bools, put_codes, put_floats, put_ints, put_texts,
};
use crate::frame::{Damage, FRAME_BYTES, Reader, put_bytes, put_int, put_uint};
use crate::limits::{CHUNK_SPAN_MS_MAX, SLAB_POINTS_MAX, VALUE_BYTES_MAX};
use penstock_model::limits::TEXT_BYTES_MAX;
use penstock_model::{BadReason, Quality, UncertainReason, Utc, Value};
use std::sync::Arc;

/// Room for the payload of one value.
const PAYLOAD_MAX: usize = VALUE_BYTES_MAX - FRAME_BYTES;

/// One point of a known series: time in ms since 1970, quality by its stored code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) ms: i64,
    pub(crate) value: Option<Value>,
    pub(crate) quality: u8,
}

impl Cell {
    /// The cell of a point; text is cut to its bound, on the border of a character.
    pub(crate) fn new(point: &Point) -> Cell {
        let value = match &point.value {
            Some(Value::Text(t)) if t.len() > TEXT_BYTES_MAX => {
                let end = (0..=TEXT_BYTES_MAX).rev().find(|i| t.is_char_boundary(*i));
                Some(Value::from(&t[..end.unwrap_or(0)]))
            }
            other => other.clone(),
        };
        Cell { ms: point.utc.millis(), value, quality: point.quality.code() }
    }

    /// The point of this cell.
    pub(crate) fn point(&self, series: u32) -> Point {
        let utc = Utc::from_millis(self.ms);
        Point { series: SeriesId(series), utc, value: self.value.clone(), quality: self.quality() }
    }

    /// Its quality. A code of a newer build is never read as good.
    pub(crate) fn quality(&self) -> Quality {
        Quality::from_code(self.quality).unwrap_or(match self.quality {
            64..=127 => Quality::Uncertain(UncertainReason::Device),
            _ => Quality::Bad(BadReason::Undecodable),
        })
    }

    /// Its number where it may be used.
    pub(crate) fn number(&self) -> Option<f64> {
        if self.quality().is_bad() { None } else { self.value.as_ref().and_then(Value::as_f64) }
            .filter(|x| x.is_finite())
    }

    fn kind(&self) -> u8 {
        match self.value {
            None => 0,
            Some(Value::Bool(_)) => 1,
            Some(Value::Int(_)) => 2,
            Some(Value::Float(_)) => 3,
            Some(Value::Text(_)) => 4,
        }
    }
}

/// The head of a chunk, readable without unpacking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) count: usize,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

impl ChunkHead {
    fn read(r: &mut Reader) -> Result<ChunkHead, Damage> {
        let count = r.count(SLAB_POINTS_MAX)?;
        let first_ms = r.int()?;
        let span = i64::try_from(r.uint()?).map_err(|_| Damage::Malformed("span is too long"))?;
        let last_ms = first_ms.checked_add(span).ok_or(Damage::Malformed("span is too long"))?;
        if count == 0 { Err(Damage::Malformed("chunk is empty")) } else { Ok(ChunkHead { count, first_ms, last_ms }) }
    }

    /// The head of a chunk's payload.
    pub(crate) fn of(payload: &[u8]) -> Result<ChunkHead, Damage> {
        Self::read(&mut Reader(payload))
    }
}

/// Encodes cells that are in the order of time; not empty, at most [`SLAB_POINTS_MAX`].
fn chunk_payload(cells: &[Cell]) -> Vec<u8> {
    let (first, last) = (cells[0].ms, cells[cells.len() - 1].ms);
    let mut out = Vec::with_capacity(1024);
    put_uint(&mut out, cells.len() as u64);
    put_int(&mut out, first);
    put_uint(&mut out, last.abs_diff(first));
    let mut section = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        fill(&mut bytes);
        put_bytes(&mut out, &bytes);
    };
    section(&|o| put_ints(o, &cells.iter().map(|c| c.ms.wrapping_sub(first)).collect::<Vec<_>>()));
    section(&|o| put_codes(o, &cells.iter().map(|c| c.quality).collect::<Vec<_>>()));
    section(&|o| put_codes(o, &cells.iter().map(Cell::kind).collect::<Vec<_>>()));
    let (mut bools, mut ints, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        match &cell.value {
            None => {}
            Some(Value::Bool(b)) => bools.push(*b),
            Some(Value::Int(i)) => ints.push(*i),
            Some(Value::Float(x)) => floats.push(*x),
            Some(Value::Text(t)) => texts.push(t.clone()),
        }
    }
    if !bools.is_empty() {
        section(&|o| put_bools(o, &bools));
    }
    if !ints.is_empty() {
        section(&|o| put_ints(o, &ints));
    }
    if !floats.is_empty() {
        section(&|o| put_floats(o, &floats));
    }
    if !texts.is_empty() {
        section(&|o| put_texts(o, &texts));
    }
    out
}

/// Decodes a chunk.
pub(crate) fn chunk_cells(payload: &[u8]) -> Result<Vec<Cell>, Damage> {
    let mut r = Reader(payload);
    let head = ChunkHead::read(&mut r)?;
    let times = get_ints(r.bytes()?, head.count)?;
    let qualities = get_codes(r.bytes()?, head.count)?;
    let kinds = get_codes(r.bytes()?, head.count)?;
    let mut column = |kind: u8| {
        let n = kinds.iter().filter(|k| **k == kind).count();
        if n == 0 { Ok((&[][..], 0)) } else { r.bytes().map(|b| (b, n)) }
    };
    let (b, n) = column(1)?;
    let mut bools = if n == 0 { Vec::new() } else { get_bools(b, n)? }.into_iter();
    let (b, n) = column(2)?;
    let mut ints = if n == 0 { Vec::new() } else { get_ints(b, n)? }.into_iter();
    let (b, n) = column(3)?;
    let mut floats = if n == 0 { Vec::new() } else { get_floats(b, n)? }.into_iter();
    let (b, n) = column(4)?;
    let mut texts = if n == 0 { Vec::new() } else { get_texts(b, n)? }.into_iter();
    if !r.is_empty() {
        return Err(Damage::Malformed("chunk is too long"));
    }
    let mut cells = Vec::with_capacity(head.count);
    for ((offset, quality), kind) in times.into_iter().zip(qualities).zip(kinds) {
        let value = match kind {
            0 => None,
            1 => bools.next().map(Value::Bool),
            2 => ints.next().map(Value::Int),
            3 => floats.next().map(Value::Float),
            4 => texts.next().map(Value::Text),
            _ => return Err(Damage::Malformed("unknown kind of value")),
        };
        cells.push(Cell { ms: head.first_ms.wrapping_add(offset), value, quality });
    }
    let ordered = cells.is_sorted_by_key(|c| c.ms);
    if ordered && cells[0].ms == head.first_ms && cells[cells.len() - 1].ms == head.last_ms {
        Ok(cells)
    } else {
        Err(Damage::Malformed("times of a chunk do not fit its head"))
    }
}

/// A chunk ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) head: ChunkHead,
    pub(crate) payload: Vec<u8>,
}

/// Packs cells, given in the order they arrived, into as few chunks as fit the bounds of a value and of a chunk's span;
/// nothing when that takes more than `chunks_max`.
pub(crate) fn pack(cells: &[Cell], chunks_max: usize) -> Option<Vec<Chunk>> {
    let mut sorted = cells.to_vec();
    // Stable: points of one time keep the order they arrived in.
    sorted.sort_by_key(|c| c.ms);
    let mut chunks = Vec::new();
    let mut rest = &sorted[..];
    while let Some(first) = rest.first() {
        let until = first.ms.saturating_add(CHUNK_SPAN_MS_MAX);
        let n = rest.partition_point(|c| c.ms <= until).min(SLAB_POINTS_MAX);
        let (part, others) = rest.split_at(n);
        pack_part(part, &mut chunks);
        rest = others;
        if chunks.len() > chunks_max {
            return None;
        }
    }
    Some(chunks)
}

fn pack_part(cells: &[Cell], chunks: &mut Vec<Chunk>) {
    let payload = chunk_payload(cells);
    if payload.len() <= PAYLOAD_MAX || cells.len() == 1 {
        let head = ChunkHead { count: cells.len(), first_ms: cells[0].ms, last_ms: cells[cells.len() - 1].ms };
        chunks.push(Chunk { head, payload });
        return;
    }
    // Parts of equal length that would fit with a tenth to spare; what still does not fit is divided again.
    let parts = (payload.len() * 11 / 10).div_ceil(PAYLOAD_MAX).max(2);
    for part in cells.chunks(cells.len().div_ceil(parts)) {
        pack_part(part, chunks);
    }
}

const ROW_GOOD: u8 = 0x08;
const ROW_FALSE: u8 = 1;
const ROW_TRUE: u8 = 2;
const ROW_INT: u8 = 3;
const ROW_SCALED: u8 = 4;
const ROW_FLOAT: u8 = 5;
const ROW_TEXT: u8 = 6;
const ROW_SINGLE: u8 = 7;

/// Fills tail rows: points in the order they arrived, each with the difference of series and time to the one before.
#[derive(Debug, Default)]
pub(crate) struct RowWriter {
    payload: Vec<u8>,
    series: i64,
    ms: i64,
}

impl RowWriter {
    /// Adds a point, or leaves the row as it is and says false when it is full.
    pub(crate) fn push(&mut self, series: u32, cell: &Cell) -> bool {
        let before = self.payload.len();
        put_int(&mut self.payload, i64::from(series) - self.series);
        put_int(&mut self.payload, cell.ms.wrapping_sub(self.ms));
        put_row_value(&mut self.payload, cell);
        if self.payload.len() > PAYLOAD_MAX && before > 0 {
            self.payload.truncate(before);
            return false;
        }
        (self.series, self.ms) = (i64::from(series), cell.ms);
        true
    }

    /// The payload of the row.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.payload
    }
}

fn put_row_value(out: &mut Vec<u8>, cell: &Cell) {
    let good = if cell.quality == Quality::Good.code() { ROW_GOOD } else { 0 };
    let head = |out: &mut Vec<u8>, kind: u8| {
        out.push(kind | good);
        if good == 0 {
            out.push(cell.quality);
        }
    };
    match &cell.value {
        None => head(out, 0),
        Some(Value::Bool(b)) => head(out, if *b { ROW_TRUE } else { ROW_FALSE }),
        Some(Value::Int(i)) => {
            head(out, ROW_INT);
            put_int(out, *i);
        }
        Some(Value::Float(x)) => {
            let exact = Scale::all().take(13).find_map(|s| s.whole(*x).map(|w| (s, w)));
            #[expect(clippy::cast_possible_truncation, reason = "used only where the way back gives the same bits")]
            let single = *x as f32;
            // A single float is 4 bytes; a whole number below 2^27 is not longer.
            if let Some((scale, whole)) = exact.filter(|(_, w)| w.abs() < 1 << 27) {
                head(out, ROW_SCALED | scale.decimals << 4 | u8::from(scale.multiply) << 7);
                put_int(out, whole);
            } else if f64::from(single).to_bits() == x.to_bits() {
                head(out, ROW_SINGLE);
                out.extend_from_slice(&single.to_bits().to_le_bytes());
            } else {
                head(out, ROW_FLOAT);
                out.extend_from_slice(&x.to_bits().to_le_bytes());
            }
        }
        Some(Value::Text(t)) => {
            head(out, ROW_TEXT);
            put_bytes(out, t.as_bytes());
        }
    }
}

/// Decodes a tail row: its points with their series, in the order they arrived.
pub(crate) fn row_cells(payload: &[u8]) -> Result<Vec<(u32, Cell)>, Damage> {
    let mut r = Reader(payload);
    let mut cells = Vec::new();
    let (mut series, mut ms) = (0i64, 0i64);
    while !r.is_empty() {
        series = series.wrapping_add(r.int()?);
        ms = ms.wrapping_add(r.int()?);
        let id = u32::try_from(series).map_err(|_| Damage::Malformed("series of a tail row is no series"))?;
        let head = r.byte()?;
        let quality = if head & ROW_GOOD != 0 { Quality::Good.code() } else { r.byte()? };
        let value = match head & 7 {
            0 => None,
            ROW_FALSE => Some(Value::Bool(false)),
            ROW_TRUE => Some(Value::Bool(true)),
            ROW_INT => Some(Value::Int(r.int()?)),
            ROW_SCALED => {
                let scale = Scale { decimals: head >> 4 & 7, multiply: head & 0x80 != 0 };
                Some(Value::Float(scale.float(r.int()?)))
            }
            ROW_FLOAT => Some(Value::Float(f64::from_bits(u64::from_le_bytes(r.fixed()?)))),
            ROW_SINGLE => Some(Value::Float(f64::from(f32::from_bits(u32::from_le_bytes(r.fixed()?))))),
            _ => Some(Value::Text(Arc::from(r.text()?))),
        };
        cells.push((id, Cell { ms, value, quality }));
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![
            1 => Just(None),
            2 => any::<bool>().prop_map(|b| Some(Value::Bool(b))),
            3 => prop_oneof![any::<i64>(), -50i64..50].prop_map(|i| Some(Value::Int(i))),
            // Any bits at all: NaN with payload, both zeros, infinities, subnormals.
            3 => any::<u64>().prop_map(|b| Some(Value::Float(f64::from_bits(b)))),
            3 => any::<f32>().prop_map(|x| Some(Value::Float(f64::from(x)))),
            6 => (-5000i64..5000, 0u8..7, any::<bool>())
                .prop_map(|(w, decimals, multiply)| Some(Value::Float(Scale { decimals, multiply }.float(w)))),
            1 => ".{0,80}".prop_map(|t| Some(Value::from(t.as_str()))),
        ]
    }

    /// Series of one kind with a steady or a wild clock, as well as any mixture.
    fn any_cells() -> impl Strategy<Value = Vec<Cell>> {
        let value = prop_oneof![
            any_value().boxed(),
            (0i64..40).prop_map(|w| Some(Value::Float(w as f64 * 0.1))).boxed(),
            any::<bool>().prop_map(|b| Some(Value::Bool(b))).boxed(),
        ];
        let step = prop_oneof![Just(1000i64), 990i64..1010, -100_000i64..100_000, any::<i64>()];
        let quality = prop_oneof![4 => Just(0u8), 1 => any::<u8>()];
        (any::<i32>(), prop::collection::vec((step, value, quality), 1..300)).prop_map(|(start, rows)| {
            let mut ms = i64::from(start) * 1000;
            rows.into_iter()
                .map(|(step, value, quality)| {
                    // Civil time is nanoseconds in 64 bits: more milliseconds than that cannot occur.
                    ms = ms.wrapping_add(step) % 9_223_372_036_854;
                    Cell { ms, value, quality }
                })
                .collect()
        })
    }

    /// Compares to the bit, which `==` on floats does not.
    fn bits(cells: &[Cell]) -> Vec<String> {
        cells
            .iter()
            .map(|c| match &c.value {
                Some(Value::Float(x)) => format!("{} f{:x} {}", c.ms, x.to_bits(), c.quality),
                v => format!("{} {v:?} {}", c.ms, c.quality),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn chunks_give_back_every_bit_in_order_and_keep_their_bounds(cells in any_cells()) {
            let chunks = pack(&cells, usize::MAX).unwrap();
            let mut back = Vec::new();
            for chunk in &chunks {
                prop_assert!(chunk.payload.len() <= PAYLOAD_MAX);
                prop_assert!(chunk.head.last_ms - chunk.head.first_ms <= CHUNK_SPAN_MS_MAX);
                prop_assert_eq!(ChunkHead::of(&chunk.payload).unwrap(), chunk.head);
                back.extend(chunk_cells(&chunk.payload).unwrap());
            }
            let mut expected = cells;
            expected.sort_by_key(|c| c.ms);
            prop_assert_eq!(bits(&back), bits(&expected));
        }

        #[test]
        fn tail_rows_give_back_every_bit_in_the_order_of_arrival(
            cells in any_cells(), series in prop::collection::vec(any::<u32>(), 300)
        ) {
            let mut rows = Vec::new();
            let mut writer = RowWriter::default();
            for (cell, id) in cells.iter().zip(&series) {
                if !writer.push(*id, cell) {
                    rows.push(std::mem::take(&mut writer).finish());
                    prop_assert!(writer.push(*id, cell));
                }
            }
            rows.push(writer.finish());
            prop_assert!(rows.iter().all(|r| r.len() <= PAYLOAD_MAX));
            let back: Vec<_> = rows.iter().flat_map(|r| row_cells(r).unwrap()).collect();
            let (ids, back): (Vec<_>, Vec<_>) = back.into_iter().unzip();
            prop_assert_eq!(&ids[..], &series[..cells.len()]);
            prop_assert_eq!(bits(&back), bits(&cells));
        }

        #[test]
        fn foreign_bytes_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // The checksum stands before this; the decoder must still survive without it.
            let _ = row_cells(&bytes);
            let mut chunk = chunk_payload(&[Cell { ms: 5, value: Some(Value::Int(7)), quality: 0 }]);
            let n = bytes.len().min(chunk.len());
            chunk[..n].iter_mut().zip(&bytes).for_each(|(c, b)| *c ^= b & 0x11);
            let _ = chunk_cells(&chunk);
        }
    }

    #[test]
    fn a_quality_of_a_newer_build_is_never_read_as_good() {
        for code in 1..=u8::MAX {
            assert!(!Cell { ms: 0, value: None, quality: code }.quality().is_good(), "code {code}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text: Value = "水".repeat(200).as_str().into();
        let cell = Cell::new(&Point { series: SeriesId(0), utc: Utc(0), value: Some(text), quality: Quality::Good });
        assert_eq!(cell.value, Some("水".repeat(85).as_str().into()));
    }
}
