use super::*;
use proptest::prelude::*;
use std::fs::OpenOptions;

const AGE: Duration = Duration::from_secs(3_600);

fn table() -> StoredTable {
    StoredTable { tags: vec![StoredTag { path: "aer/do".into(), datatype: 10 }] }
}

fn bounds(bytes_max: u64) -> Bounds {
    Bounds { bytes_max, age_max: AGE }
}

fn open(dir: &Path, bytes_max: u64) -> Store {
    Store::open(dir, bounds(bytes_max), &table()).unwrap().0
}

fn at(s: i64) -> Utc {
    Utc::from_millis(1_700_000_000_000 + s * 1_000)
}

/// Everything that is left to send, by the first byte of each record, and confirmed where `confirm`.
fn drain(store: &mut Store, now: Utc, confirm: bool) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(record) = store.next(now).unwrap() {
        assert_eq!(*record.table, table());
        all.push(record.payload[0]);
        if confirm {
            store.confirm(record.behind);
        }
    }
    all
}

#[test]
fn what_is_appended_comes_out_in_order_until_it_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000_000);
    for i in 0..50u8 {
        store.append(at(i.into()), 2, &[i; 100]).unwrap();
    }
    assert_eq!((store.values(), store.oldest_ms()), (100, Some(at(0).millis())));
    let all: Vec<u8> = (0..50).collect();
    assert_eq!(drain(&mut store, at(60), false), all);
    store.rewind();
    let mut ten = None;
    for _ in 0..10 {
        ten = store.next(at(60)).unwrap();
    }
    store.confirm(ten.unwrap().behind);
    assert_eq!(store.values(), 80);
    store.rewind();
    assert_eq!(drain(&mut store, at(60), true), all[10..]);
    assert_eq!((store.values(), store.bytes()), (0, 0), "what is done with is gone from the disk");
    store.append(at(61), 1, &[99; 10]).unwrap();
    assert_eq!(drain(&mut store, at(61), true), [99]);
}

#[test]
fn a_killed_process_loses_nothing_and_sends_the_unconfirmed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000_000);
    for i in 0..20u8 {
        store.append(at(i.into()), 1, &[i; 10]).unwrap();
    }
    let mut five = None;
    for _ in 0..5 {
        five = store.next(at(30)).unwrap();
    }
    store.confirm(five.unwrap().behind);
    store.save_cursor().unwrap();
    for _ in 0..5 {
        store.next(at(30)).unwrap();
    }
    // No destructor runs when a process is killed.
    std::mem::forget(store);
    let mut store = open(dir.path(), 1_000_000);
    assert_eq!(store.values(), 15);
    assert_eq!(drain(&mut store, at(30), true), (5..20).collect::<Vec<u8>>());
}

#[test]
fn the_oldest_gives_way_where_the_bound_is_reached_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 100_000);
    for i in 0..200u8 {
        store.append(at(i.into()), 3, &[i; 1_000]).unwrap();
    }
    assert!(store.bytes() <= 100_000, "{}", store.bytes());
    let on_disk: u64 = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= 100_000, "{on_disk}");
    let left = drain(&mut store, at(200), false);
    assert_eq!(left.last(), Some(&199));
    assert!(left.windows(2).all(|w| w[1] == w[0] + 1), "without a gap: {left:?}");
    assert!(left.len() > 80, "at most one segment more than needed gives way");
    assert_eq!(store.dropped() + 3 * left.len() as u64, 600, "every value is either here or counted");
}

#[test]
fn what_is_too_old_is_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000_000);
    for i in 0..10u8 {
        store.append(at(i64::from(i) * 600), 1, &[i; 10]).unwrap();
    }
    // An hour is kept: at 90 min the first three (0, 10, 20 min) are too old.
    assert_eq!(drain(&mut store, at(5_400), false), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((store.dropped(), store.values()), (3, 7));
    store.keep_bounds(at(100_000));
    assert_eq!((store.dropped(), store.values(), store.bytes()), (10, 0, 0), "the whole store is too old");
    store.append(at(100_001), 1, &[77; 10]).unwrap();
    assert_eq!(drain(&mut store, at(100_001), true), [77]);
}

#[test]
fn a_torn_end_costs_the_last_record_alone_and_writing_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000_000);
    for i in 0..5u8 {
        store.append(at(i.into()), 1, &[i; 100]).unwrap();
    }
    std::mem::forget(store);
    let file = segment::path(dir.path(), 1);
    let length = std::fs::metadata(&file).unwrap().len();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 7).unwrap();
    let (mut store, broken) = Store::open(dir.path(), bounds(1_000_000), &table()).unwrap();
    assert_eq!(broken, 8 + 13 + 100 - 7);
    store.append(at(9), 1, &[9; 100]).unwrap();
    assert_eq!(drain(&mut store, at(10), true), [0, 1, 2, 3, 9]);
    assert_eq!(store.values(), 0);
}

#[test]
fn a_file_that_is_no_segment_is_left_out_and_a_broken_cursor_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000_000);
    store.append(at(0), 1, &[1; 10]).unwrap();
    std::mem::forget(store);
    std::fs::write(segment::path(dir.path(), 7), b"PNSTKMQ\x02 from the future").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    std::fs::write(dir.path().join(CURSOR), "cursor 1 9999 00000000\n").unwrap();
    let (mut store, broken) = Store::open(dir.path(), bounds(1_000_000), &table()).unwrap();
    assert!(broken > 0 && dir.path().join("notes.txt").exists());
    assert_eq!(drain(&mut store, at(1), true), [1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever happens to the bytes of a segment: no panic, and what comes out was put in, in its order.
    #[test]
    fn damage_never_becomes_a_value(changes in proptest::collection::vec((0usize..3_000, any::<u8>()), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), 1_000_000);
        for i in 0..20u8 {
            store.append(at(i.into()), 1, &[i; 100]).unwrap();
        }
        std::mem::forget(store);
        let file = segment::path(dir.path(), 1);
        let mut bytes = std::fs::read(&file).unwrap();
        for (place, byte) in changes {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        std::fs::write(&file, bytes).unwrap();
        let mut store = open(dir.path(), 1_000_000);
        let mut last = None;
        while let Some(record) = store.next(at(30)).unwrap() {
            let first = record.payload[0];
            prop_assert!(record.payload.iter().all(|b| *b == first) && record.payload.len() == 100);
            prop_assert!(last < Some(first));
            last = Some(first);
        }
    }
}
