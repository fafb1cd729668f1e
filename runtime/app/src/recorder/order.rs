//! What follows what in a record whose civil clock may have been set back. Blocks stand in the order in which they were
//! written; their times rise, but where the clock was set back one time stands in the record twice.

use super::ring::{BlockRef, Kind};
use penstock_model::TaskId;
use std::collections::{BTreeSet, HashMap};

/// A clock that goes back by more than this from block to block of a task was set back; less is its usual correction, ns.
const SET_BACK_NS: i64 = 1_000_000_000;
/// So much after its last scan a moment still means the end of the record: a person types the time of the wall clock, ns.
const END_SLACK_NS: i64 = 10_000_000_000;

/// First and last time of each block, ns of UTC.
pub type Spans = Vec<(i64, i64)>;

/// The block in which a moment lies, or after which it lies where nothing was recorded then. Of a time that stands in the
/// record twice, the later one. Before the first block since the clock was set back, and in none before: that one. `None`:
/// it lies before all.
#[must_use]
pub fn locate(spans: &[(i64, i64)], at: i64) -> Option<usize> {
    let end = spans.len().checked_sub(1)?;
    let (first, last) = spans[end];
    if (first..=last.saturating_add(END_SLACK_NS)).contains(&at) {
        return Some(end);
    }
    let holds = |i: &usize| {
        let ((first, last), (next, _)) = (spans[*i], spans[*i + 1]);
        first <= at && (at < next || is_set_back(last, next) && at < last)
    };
    // A slow task begins a while after the clock was set back.
    let begins = |i: &usize| is_set_back(spans[*i - 1].1, spans[*i].0) && at < spans[*i].0;
    let found = (0..end).rev().find(holds).or_else(|| (1..=end).rev().find(begins));
    found.or_else(|| (first <= at).then_some(end))
}

fn is_set_back(before: i64, after: i64) -> bool {
    after < before.saturating_sub(SET_BACK_NS)
}

/// Times of the blocks of one task.
pub fn spans<'a>(blocks: impl IntoIterator<Item = &'a BlockRef>) -> Spans {
    blocks.into_iter().map(|b| (b.head.first_utc, b.head.last_utc)).collect()
}

/// Blocks that tell how the links stood, each with the time for which it held.
#[must_use]
pub fn links(blocks: &[BlockRef]) -> (Vec<&BlockRef>, Spans) {
    let (mut found, mut spans) = (Vec::new(), Spans::new());
    for block in blocks {
        if block.head.kind == Kind::Links {
            found.push(block);
            spans.push((block.head.first_utc, block.head.last_utc));
        } else if let Some(span) = spans.last_mut() {
            span.1 = block.head.last_utc;
        }
    }
    (found, spans)
}

/// The end of the record: the time of the last scan written, whatever other times stand in it.
#[must_use]
pub fn end(blocks: &[BlockRef]) -> Option<i64> {
    blocks.iter().rev().find(|b| b.head.kind == Kind::Scans).map(|b| b.head.last_utc)
}

/// The time of the last scan of a task that was written.
#[must_use]
pub fn end_of(blocks: &[BlockRef], task: TaskId) -> Option<i64> {
    let of_task = |b: &&BlockRef| b.head.kind == Kind::Scans && b.head.task == task.0;
    blocks.iter().rev().find(of_task).map(|b| b.head.last_utc)
}

/// The first time after the clock was last set back; `None` where it never was.
#[must_use]
pub fn set_back(blocks: &[BlockRef]) -> Option<i64> {
    let mut before: HashMap<u8, i64> = HashMap::new();
    // Every task meets the same step of the clock, each at its own next block.
    let (mut begin, mut met) = (None, BTreeSet::new());
    for head in blocks.iter().map(|b| &b.head).filter(|h| h.kind == Kind::Scans) {
        let back = before.insert(head.task, head.last_utc).is_some_and(|last| is_set_back(last, head.first_utc));
        let within = is_set_back(head.first_utc, head.last_utc);
        if back || within {
            let first = if within { head.last_utc } else { head.first_utc };
            if !met.insert(head.task) || begin.is_none_or(|b| first < b) {
                begin = Some(first);
                met = BTreeSet::from([head.task]);
            }
        }
    }
    begin
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_time_that_stands_twice_means_the_later_and_one_that_stands_once_itself() {
        // 100 to 200 s, set back to 80, up to 120.
        let spans: Spans = (10..20).chain(8..12).map(|i| (i * 10 * S, i * 10 * S + 9 * S)).collect();
        for (at, block) in
            [(105, Some(12)), (119, Some(13)), (125, Some(13)), (145, Some(4)), (81, Some(10)), (79, Some(10))]
        {
            assert_eq!(locate(&spans, at * S), block, "{at} s");
        }
        assert_eq!(locate(&spans, 198 * S), Some(9), "the last before the clock was set back");
        assert_eq!(locate(&[], 5), None);
        assert_eq!(locate(&[(10, 20)], 5), None);
        assert_eq!(locate(&[(0, 10)], i64::MAX), Some(0));
        // A hole: the moment is after the block before it.
        assert_eq!(locate(&[(0, 10 * S), (90 * S, 95 * S)], 50 * S), Some(0));
    }
}
