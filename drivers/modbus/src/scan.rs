//! A scan: which units answer, and which places of a unit can be read.
//!
//! Gentle: one question at a time with a pause between, reads alone, bounded in time. A block that is refused is halved,
//! large blocks before small ones, so that when the time is over the whole range is known roughly and what was not settled
//! is said. Halves begin at even places: many devices give values of two registers whole or not at all.

use crate::address::Area;
use crate::limits::{SCAN_BITS, SCAN_BUSY_TRIES, SCAN_REGISTERS, SCAN_SILENT_MAX};
use crate::pdu::{ILLEGAL_FUNCTION, ILLEGAL_PLACES};
use crate::visit::{AskError, AskFault, Visit};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a scan may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Silence between two questions.
    pub pause: Duration,
    /// All of the scan; what is not settled by then is said to be open.
    pub time: Duration,
}

/// What a unit did with the question whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It answered.
    Answers,
    /// It answered with this exception: it is there, and has no such register or function.
    Refuses(u8),
    /// Something came, but no answer of this unit: two units with one number, noise, or wrong settings.
    Damaged(String),
    /// It is not there: why.
    Absent(String),
}

impl Sign {
    /// True where the unit itself spoke.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Answers | Self::Refuses(_))
    }
}

/// A unit that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSeen {
    /// Its number.
    pub unit: u8,
    /// What it did.
    pub sign: Sign,
    /// How long that took.
    pub took: Duration,
    /// What it says it is (function 43/14), where it says so.
    pub identity: Vec<String>,
}

/// What is known of one area of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaMap {
    /// The area.
    pub area: Area,
    /// Places that can be read, first and last, in order.
    pub readable: Vec<(u16, u16)>,
    /// Places that were refused as a block and not looked into further, first and last, in order.
    pub open: Vec<(u16, u16)>,
    /// The device does not know the function that reads this area.
    pub unknown: bool,
    /// Why the area was given up, where it was.
    pub ended: Option<AskError>,
    /// Questions asked.
    pub questions: u32,
}

/// Asks each unit for its first holding register, and who answers what it is. `tell` hears of each unit as soon as it was
/// asked.
///
/// # Errors
/// When there is no connection to ask on.
pub async fn scan_units(
    visit: &mut Visit,
    units: RangeInclusive<u8>,
    limits: ScanLimits,
    mut tell: impl FnMut(&UnitSeen),
) -> Result<Vec<UnitSeen>, AskError> {
    let end = Instant::now() + limits.time;
    let mut all = Vec::new();
    for unit in units {
        if Instant::now() >= end {
            break;
        }
        visit.turn_to(unit);
        let begun = Instant::now();
        let sign = match visit.places(Area::Holding, 0, 1).await {
            Ok(_) => Sign::Answers,
            Err(AskError { fault: AskFault::Refused(code), .. }) => Sign::Refuses(code),
            Err(e @ AskError { fault: AskFault::Damaged | AskFault::Nonsense, .. }) => Sign::Damaged(e.why),
            Err(e @ AskError { fault: AskFault::Connect, .. }) => return Err(e),
            Err(e) => Sign::Absent(e.why),
        };
        let took = begun.elapsed();
        sleep(limits.pause).await;
        let mut seen = UnitSeen { unit, sign, took, identity: Vec::new() };
        if seen.sign.is_there() {
            // Most devices do not know the question; that is no trouble.
            seen.identity = visit.identify().await.unwrap_or_default();
            sleep(limits.pause).await;
        }
        tell(&seen);
        all.push(seen);
    }
    Ok(all)
}

/// Finds the places of each area that can be read. Each area gets an equal share of the time that is left.
///
/// # Errors
/// When there is no connection to ask on.
pub async fn scan_areas(
    visit: &mut Visit,
    areas: &[Area],
    range: RangeInclusive<u16>,
    limits: ScanLimits,
) -> Result<Vec<AreaMap>, AskError> {
    let end = Instant::now() + limits.time;
    let mut all = Vec::new();
    for (done, area) in areas.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(areas.len() - done).unwrap_or(1);
        all.push(scan_area(visit, *area, range.clone(), limits.pause, Instant::now() + share).await?);
    }
    Ok(all)
}

/// Blocks still to be asked, the largest first, then by place.
type Open = BinaryHeap<(u32, Reverse<u32>)>;

async fn scan_area(
    visit: &mut Visit,
    area: Area,
    range: RangeInclusive<u16>,
    pause: Duration,
    end: Instant,
) -> Result<AreaMap, AskError> {
    let mut map = AreaMap { area, readable: Vec::new(), open: Vec::new(), unknown: false, ended: None, questions: 0 };
    let block = if area.is_register() { SCAN_REGISTERS } else { SCAN_BITS };
    let mut open = blocks(range, block);
    let (mut silent, mut busy) = (0, 0);
    while let Some((count, Reverse(start))) = open.pop() {
        let first = u16::try_from(start).unwrap_or(u16::MAX);
        let last = u16::try_from(start + count - 1).unwrap_or(u16::MAX);
        if Instant::now() >= end {
            map.open.push((first, last));
            continue;
        }
        map.questions += 1;
        let result = visit.places(area, first, u16::try_from(count).unwrap_or(block)).await;
        sleep(pause).await;
        let error = match result {
            Ok(_) => {
                (silent, busy) = (0, 0);
                map.readable.push((first, last));
                continue;
            }
            Err(error) => error,
        };
        match error.fault {
            AskFault::Refused(ILLEGAL_FUNCTION) if map.readable.is_empty() => {
                map.unknown = true;
                return Ok(map);
            }
            AskFault::Refused(code) if ILLEGAL_PLACES.contains(&code) => {
                (silent, busy) = (0, 0);
                halves(start, count).into_iter().for_each(|half| open.push(half));
                continue;
            }
            AskFault::Refused(5 | 6) if busy < SCAN_BUSY_TRIES => {
                busy += 1;
                open.push((count, Reverse(start)));
                sleep(pause * 4).await;
                continue;
            }
            AskFault::Connect => return Err(error),
            AskFault::Refused(_) => {}
            _ => silent += 1,
        }
        map.open.push((first, last));
        if silent >= SCAN_SILENT_MAX {
            map.ended = Some(error);
            map.open.extend(open.drain().map(|(count, Reverse(start))| span(start, count)));
        }
    }
    map.readable = merged(map.readable);
    map.open = merged(map.open);
    Ok(map)
}

fn span(start: u32, count: u32) -> (u16, u16) {
    let place = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    (place(start), place(start + count - 1))
}

/// The range in blocks that begin at multiples of the block's size, as far as it does.
fn blocks(range: RangeInclusive<u16>, block: u16) -> Open {
    let (mut at, end, block) = (u32::from(*range.start()), u32::from(*range.end()) + 1, u32::from(block));
    let mut out = Open::new();
    while at < end {
        let next = ((at / block + 1) * block).min(end);
        out.push((next - at, Reverse(at)));
        at = next;
    }
    out
}

/// The two halves of a refused block, the second beginning at an even place where it can; none of a single place.
fn halves(start: u32, count: u32) -> Vec<(u32, Reverse<u32>)> {
    if count < 2 {
        return Vec::new();
    }
    let middle = start + count / 2;
    let middle = if count > 2 && middle % 2 == 1 { middle + 1 } else { middle };
    vec![(middle - start, Reverse(start)), (start + count - middle, Reverse(middle))]
}

/// Neighbours joined, in order.
fn merged(mut spans: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    spans.sort_unstable();
    let mut out: Vec<(u16, u16)> = Vec::new();
    for (first, last) in spans {
        match out.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_range_once() {
        for (range, block) in [(0..=999, 64), (5..=5, 64), (63..=64, 64), (65_500..=65_535, 64), (0..=65_535, 256)] {
            let mut all: Vec<(u32, u32)> = blocks(range.clone(), block)
                .into_iter()
                .map(|(count, Reverse(start))| (start, start + count))
                .collect();
            all.sort_unstable();
            assert!(all.windows(2).all(|two| two[0].1 == two[1].0), "{range:?}: {all:?}");
            assert_eq!((all[0].0, all[all.len() - 1].1), (u32::from(*range.start()), u32::from(*range.end()) + 1));
            assert!(all.iter().all(|(start, end)| end - start <= u32::from(block)));
        }
    }

    #[test]
    fn halves_cover_their_block_and_end() {
        for (start, count) in [(0, 2), (0, 3), (1, 3), (5, 59), (64, 64), (1, 2)] {
            let two = halves(start, count);
            let [(a, Reverse(first)), (b, Reverse(second))] = two[..] else { panic!("{two:?}") };
            assert_eq!((first, first + a, second + b), (start, second, start + count));
            assert!(a > 0 && b > 0 && (count == 2 || second % 2 == 0), "{start} {count}: {two:?}");
        }
        assert!(halves(7, 1).is_empty());
    }

    #[test]
    fn neighbours_are_joined() {
        assert_eq!(merged(vec![(4, 5), (0, 1), (2, 3), (9, 9)]), [(0, 5), (9, 9)]);
        assert_eq!(merged(vec![(65_535, 65_535), (65_534, 65_534)]), [(65_534, 65_535)]);
        assert_eq!(merged(Vec::new()), []);
    }
}
