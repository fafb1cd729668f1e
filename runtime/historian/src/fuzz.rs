//! What any bytes on the disk may do to this crate, behind the checksum that nearly all of them fail: each function panics
//! where one of our promises does not hold. Compiled for tests and for the fuzzer alone.

use crate::cell::{ChunkHead, chunk_cells, pack, row_cells};

/// A stored chunk and a tail row: refused, or cells in the order of their times that are stored again as they are.
///
/// # Panics
/// Where that does not hold.
pub fn records(bytes: &[u8]) {
    if let Ok(rows) = row_cells(bytes) {
        assert!(rows.len() <= bytes.len());
    }
    let Ok(cells) = chunk_cells(bytes) else { return };
    let head = ChunkHead::of(bytes).unwrap_or_else(|damage| panic!("read whole, and its head is damaged: {damage}"));
    assert_eq!((cells.len(), cells[0].ms, cells[cells.len() - 1].ms), (head.count, head.first_ms, head.last_ms));
    let again = pack(&cells, usize::MAX).unwrap_or_default();
    let again: Vec<_> = again.iter().flat_map(|chunk| chunk_cells(&chunk.payload).unwrap_or_default()).collect();
    assert_eq!(format!("{again:?}"), format!("{cells:?}"));
}

/// Chunks and rows to begin from: each kind of value, and all of them mixed.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    use crate::cell::{Cell, RowWriter};
    use penstock_model::Value;
    let kinds: [fn(i64) -> Option<Value>; 6] = [
        |_| None,
        |i| Some(Value::Bool(i % 3 == 0)),
        |i| Some(Value::Int(i * i - 40)),
        |i| Some(Value::Float(i as f64 * 0.01 + 6.5)),
        |i| Some(Value::Float((i as f64).sin())),
        |i| Some(Value::from(if i % 2 == 0 { "auto" } else { "手动" })),
    ];
    let cell =
        |i: i64, value| Cell { ms: 1_700_000_000_000 + i * 1_000, value, quality: if i % 7 == 0 { 128 } else { 0 } };
    let mut series: Vec<Vec<Cell>> = kinds.map(|kind| (0..40).map(|i| cell(i, kind(i))).collect()).to_vec();
    series.push((0..40).map(|i| cell(i, kinds[i as usize % kinds.len()](i))).collect());
    let rows = series.iter().map(|cells| {
        let mut row = RowWriter::default();
        // Forty points fit into one row.
        cells.iter().zip(0..).all(|(cell, id)| row.push(id, cell));
        row.finish()
    });
    let chunks = series.iter().flat_map(|cells| pack(cells, usize::MAX).unwrap_or_default()).map(|chunk| chunk.payload);
    chunks.chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_begun_from_is_read() {
        let seeds = seeds();
        assert_eq!(seeds.len(), 14);
        assert!(seeds[..7].iter().all(|chunk| chunk_cells(chunk).is_ok_and(|cells| cells.len() == 40)));
        assert!(seeds[7..].iter().all(|row| row_cells(row).is_ok_and(|cells| cells.len() == 40)));
        seeds.iter().for_each(|seed| records(seed));
    }

    proptest! {
        #[test]
        fn damaged_records_are_refused_or_whole(
            which: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let seeds = seeds();
            let mut bytes = which.get(&seeds).clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            records(&bytes);
        }
    }
}
