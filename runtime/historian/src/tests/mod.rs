//! The historian over a store that can fail, lose what was not synced, and run full.

mod compression;
mod fake;
mod model;
mod page;

use crate::api::*;
use crate::error::StoreError;
use crate::frame::{frame_as, key};
use crate::memory::Bounds;
use crate::open::Progress;
use crate::recover::{LoadError, load};
use crate::verify::verify_store;
use crate::{Historian, limits};
use fake::Fake;
use penstock_model::{BadReason, Quality, UncertainReason, Utc, Value, ValueType};
use std::path::PathBuf;
use std::time::Duration;

const START_MS: i64 = 1_795_000_000_000;

fn config() -> Config {
    Config { dir: PathBuf::new(), retention: Duration::from_secs(86_400), bytes_max: None, free_bytes_min: 1_000 }
}

fn open(fake: &Fake) -> Historian {
    open_with(fake, config(), Bounds::default())
}

fn open_with(fake: &Fake, config: Config, bounds: Bounds) -> Historian {
    let mut loaded = load(fake, false).unwrap();
    loaded.memory.bounds = bounds;
    Historian::with(config, Box::new(fake.clone()), loaded, Progress::default())
}

fn def(path: &str) -> SeriesDef {
    SeriesDef { path: path.into(), value_type: ValueType::Float, unit: "mg/L".into(), decimals: 2 }
}

fn at(ms: i64) -> Utc {
    Utc::from_millis(START_MS + ms)
}

fn point(series: SeriesId, ms: i64, value: impl Into<Value>) -> Point {
    Point { series, utc: at(ms), value: Some(value.into()), quality: Quality::Good }
}

const ALL: (Utc, Utc) = (Utc(i64::MIN), Utc(i64::MAX));

fn numbers(h: &Historian, path: &str) -> Vec<f64> {
    h.query(path, ALL.0, ALL.1).unwrap().iter().map(|p| p.value.as_ref().and_then(Value::as_f64).unwrap()).collect()
}

fn check_store(fake: &Fake) -> VerifyReport {
    let report = verify_store(fake, 0).unwrap();
    assert_eq!(report.damaged, Vec::<String>::new());
    report
}

#[test]
fn a_full_disk_is_said_keeps_the_points_and_is_tried_again() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("aer/z1/do")).unwrap();
    h.append(&[point(s, 0, 1.0)]);
    fake.0.lock().free = 999;
    assert_eq!(h.commit(), Err(StoreError::LowSpace { free: 999, floor: 1_000 }));
    assert_eq!(fake.0.lock().syncs, 1, "only the header was ever written");
    fake.0.lock().free = 5_000;
    fake.0.lock().fail_after = Some(0);
    h.append(&[point(s, 1_000, 2.0)]);
    assert_eq!(h.commit(), Err(StoreError::Full("no space left on device".into())));
    let stats = h.stats();
    assert_eq!((stats.pending, stats.dropped), (2, 0));
    assert_eq!(stats.last_error.as_deref(), Some("disk is full: no space left on device"));
    assert_eq!(numbers(&h, "aer/z1/do"), [1.0, 2.0]);
    assert_eq!(h.commit().unwrap().points, 2);
    assert_eq!(h.stats().last_error, None);
    let again = open(&fake.crashed(0));
    assert_eq!(numbers(&again, "aer/z1/do"), [1.0, 2.0]);
}

#[test]
fn memory_is_bounded_while_the_store_takes_nothing() {
    let fake = Fake::new();
    let h = open_with(&fake, config(), Bounds { pending_points: 100, ..Bounds::default() });
    let s = h.series(&def("a")).unwrap();
    fake.0.lock().free = 0;
    for i in 0..250 {
        h.append(&[point(s, i * 1_000, i)]);
        assert!(h.commit().is_err());
    }
    let stats = h.stats();
    assert_eq!((stats.pending, stats.dropped), (100, 150));
    fake.0.lock().free = u64::MAX;
    // A write that fails gives the points back within the same bound.
    fake.0.lock().fail_after = Some(1);
    assert!(h.commit().is_err());
    assert_eq!(h.commit().unwrap().points, 100);
    assert_eq!(numbers(&h, "a"), (150..250).map(f64::from).collect::<Vec<_>>());
    for i in 0..limits::PENDING_EVENTS_MAX {
        h.events_append(at(i as i64), "alarm", "x").unwrap();
    }
    assert_eq!(h.events_append(at(0), "alarm", "x"), Err(StoreError::JournalFull(limits::PENDING_EVENTS_MAX)));
}

#[test]
fn rows_of_a_failed_commit_do_not_outlive_it() {
    let fake = Fake::new();
    let h = open_with(&fake, config(), Bounds { pending_points: 50, ..Bounds::default() });
    let s = h.series(&def("a")).unwrap();
    // Several rows of long texts reach the store, but the commit fails at its end; then short points take their place.
    let long = |i: i64| "x".repeat(200) + &i.to_string();
    h.append(&(0..50).map(|i| point(s, i, long(i).as_str())).collect::<Vec<_>>());
    {
        let mut inner = fake.0.lock();
        (inner.fail_after, inner.survive) = (Some(1), 1);
    }
    assert!(h.commit().is_err());
    h.append(&(0..50).map(|i| point(s, 1_000 + i, i)).collect::<Vec<_>>());
    assert_eq!(h.commit().unwrap().rows, 1);
    assert_eq!(check_store(&fake).samples, 50);
    assert_eq!(numbers(&open(&fake.crashed(0)), "a").len(), 50);
}

#[test]
fn a_damaged_store_is_noted_for_the_next_start_until_a_commit_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let (progress, noted) = Progress::open(dir.path()).unwrap();
    assert_eq!(noted, 0);
    let h = Historian::with(config(), Box::new(fake.clone()), load(&fake, false).unwrap(), progress);
    let s = h.series(&def("a")).unwrap();
    let commit = |fail: bool, damaged: bool| {
        {
            let mut inner = fake.0.lock();
            (inner.fail_after, inner.damaged) = (fail.then_some(0), damaged);
        }
        h.append(&[point(s, 0, 1.0)]);
        (h.commit().is_ok(), dir.path().join("damaged").exists())
    };
    assert_eq!(commit(true, false), (false, false), "a full disk is no damage");
    assert_eq!(commit(true, true), (false, true));
    assert_eq!(std::fs::read_to_string(dir.path().join("damaged")).unwrap(), "a page does not fit");
    assert_eq!(commit(false, true), (true, false));
    assert_eq!(commit(false, true), (true, false));
    assert_eq!(Progress::open(dir.path()).unwrap().1, 2, "two commits were confirmed");
}

#[test]
fn points_of_an_unknown_series_are_counted_and_ids_are_stable() {
    let fake = Fake::new();
    let h = open(&fake);
    let (a, b) = (h.series(&def("a")).unwrap(), h.series(&def("b")).unwrap());
    h.append(&[point(SeriesId(77), 0, 1.0)]);
    assert_eq!(h.stats().dropped, 1);
    let wider = SeriesDef { decimals: 5, ..def("b") };
    h.commit().unwrap();
    assert_eq!(h.series(&wider).unwrap(), b);
    h.commit().unwrap();
    let h = open(&fake.crashed(0));
    assert_eq!(h.series_list(), [(a, def("a")), (b, wider)]);
    assert_eq!(h.series(&def("c")).unwrap(), SeriesId(2));
    assert_eq!(h.series(&def("")), Err(StoreError::BadPath(String::new())));
    assert!(h.series(&def(&"x".repeat(97))).is_err());
    assert_eq!(h.query("nowhere", ALL.0, ALL.1), Err(StoreError::UnknownSeries("nowhere".into())));
    assert_eq!(h.query("a", at(1), at(0)), Err(StoreError::BadRange("a".into())));
}

#[test]
fn the_tail_stays_within_its_bound_though_a_slow_series_holds_it() {
    let fake = Fake::new();
    let h = open_with(&fake, config(), Bounds { tail_bytes: 20_000, ..Bounds::default() });
    let (slow, fast) = (h.series(&def("slow")).unwrap(), h.series(&def("fast")).unwrap());
    h.append(&[point(slow, 0, 1.0)]);
    for i in 0..6_000 {
        h.append(&[point(fast, i * 1_000, i as f64 / 10.0)]);
        h.commit().unwrap();
        assert!(h.stats().tail_bytes <= 20_100, "{} bytes after {i}", h.stats().tail_bytes);
    }
    let report = check_store(&fake);
    assert!(report.tail_rows < 2_500, "{} rows", report.tail_rows);
    assert_eq!(report.samples, 6_001);
    assert_eq!(numbers(&h, "slow"), [1.0]);
    assert_eq!(numbers(&h, "fast").len(), 6_000);
}

#[test]
fn the_heads_together_stay_within_their_bound() {
    let fake = Fake::new();
    let h = open_with(&fake, config(), Bounds { head_points_total: 1_000, ..Bounds::default() });
    let ids: Vec<_> = (0..10).map(|i| h.series(&def(&format!("s{i}"))).unwrap()).collect();
    for i in 0..500 {
        h.append(&ids.iter().map(|s| point(*s, i * 1_000, i)).collect::<Vec<_>>());
        h.commit().unwrap();
        assert!(h.memory.lock().head_points <= 1_010);
    }
    assert!(h.stats().chunks > 0);
    assert_eq!(check_store(&fake).samples, 5_000);
}

#[test]
fn a_backlog_of_many_chunks_is_sealed_in_atomic_parts() {
    // 20 000 points scattered over years arrive in one commit: far more chunks than a batch may have entries.
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("a")).unwrap();
    let times: Vec<i64> = (0..20_000i64).map(|i| (i * 7_919 % 20_000) * 7_200_000).collect();
    h.append(&times.iter().map(|ms| point(s, *ms, *ms as f64)).collect::<Vec<_>>());
    h.commit().unwrap();
    h.append(&[point(s, -1, -1.0)]);
    // The seal fails in the middle: some parts survive, some do not.
    {
        let mut inner = fake.0.lock();
        (inner.fail_after, inner.survive) = (Some(9), 7);
    }
    assert!(h.commit().is_err());
    let mut expected: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    expected.push(-1.0);
    expected.sort_by(f64::total_cmp);
    assert_eq!(numbers(&h, "a"), expected);
    // Killed at this point, every committed point is there once.
    let killed = open(&fake.crashed(7));
    assert!(killed.stats().chunks > 0 && killed.stats().chunks < 1_700, "{}", killed.stats().chunks);
    assert_eq!(numbers(&killed, "a"), expected[1..]);
    assert!(h.commit().unwrap().chunks > 100);
    assert_eq!(numbers(&h, "a"), expected);
    assert_eq!(check_store(&fake).samples, 20_001);
}

#[test]
fn retention_deletes_whole_chunks_by_age() {
    let fake = Fake::new();
    let h = open_with(&fake, Config { retention: Duration::from_secs(3_600), ..config() }, Bounds::default());
    let (a, b) = (h.series(&def("a")).unwrap(), h.series(&def("b")).unwrap());
    for i in 0..20_000 {
        h.append(&[point(a, i * 1_000, i)]);
        if i % 1_000 == 0 {
            h.append(&[point(b, i * 1_000, i)]);
            h.events_append(at(i * 1_000), "alarm", &i.to_string()).unwrap();
            h.commit().unwrap();
        }
    }
    h.commit().unwrap();
    h.commit().unwrap();
    let before = h.stats();
    assert!(before.chunks >= 6, "{}", before.chunks);
    let report = h.retain(at(20_000_000)).unwrap();
    assert!(report.complete);
    let kept = numbers(&h, "a");
    assert_eq!(kept.last(), Some(&19_999.0));
    // Everything within the hour is kept, and at most one chunk's worth of more.
    assert!(kept[0] <= 16_400.0 && kept[0] > 16_400.0 - 4_096.0, "{}", kept[0]);
    assert_eq!(kept.len() as u64 + report.samples, 20_000);
    assert_eq!(h.events(ALL.0, ALL.1, None, 100).unwrap().len(), 3);
    assert_eq!(report.events, 17);
    assert_eq!(h.retain(at(20_000_000)).unwrap(), RetainReport { complete: true, ..RetainReport::default() });
    let after = h.stats();
    assert_eq!(after.samples + report.samples, before.samples);
    assert_eq!(after.bytes_live + report.bytes, before.bytes_live);
    h.events_append(at(0), "alarm", "late").unwrap();
    h.commit().unwrap();
    check_store(&fake);
    assert_eq!(numbers(&open(&fake.crashed(0)), "a"), kept);
}

#[test]
fn retention_by_bytes_takes_the_oldest_of_all_series_and_the_journal() {
    let fake = Fake::new();
    let config = Config { bytes_max: Some(220_000), retention: Duration::from_secs(1 << 40), ..config() };
    let h = open_with(&fake, config, Bounds::default());
    let ids: Vec<_> = (0..4).map(|i| h.series(&def(&format!("s{i}"))).unwrap()).collect();
    let mut noise = 1u64;
    for i in 0..20_000 {
        for s in &ids {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            h.append(&[point(*s, i * 1_000, f64::from_bits(noise >> 12 | 0x3ff << 52))]);
        }
        if i % 50 == 0 {
            h.events_append(at(i * 1_000), "alarm", "x").unwrap();
        }
        if i % 500 == 0 {
            h.commit().unwrap();
        }
    }
    h.commit().unwrap();
    h.commit().unwrap();
    assert!(h.stats().bytes_live > 300_000);
    let report = h.retain(at(0)).unwrap();
    assert!(report.complete && report.events > 0, "{report:?}");
    assert!(h.stats().bytes_live <= 100_000);
    // Evenly: no series lost more than a chunk or two beyond the others, and the journal starts where they start.
    let oldest: Vec<i64> =
        ids.iter().map(|s| h.query(&format!("s{}", s.0), ALL.0, ALL.1).unwrap()[0].utc.millis()).collect();
    let (low, high) = (oldest.iter().min().unwrap(), oldest.iter().max().unwrap());
    assert!(high - low < 2_000_000, "{oldest:?}");
    let journal = h.events(ALL.0, ALL.1, None, 1_000).unwrap();
    assert!(journal.last().unwrap().utc.millis() + 2_000_000 > *low);
    h.append(&[point(ids[0], 0, 0.0)]);
    h.commit().unwrap();
    check_store(&fake);
}

#[test]
fn retention_waits_for_a_good_commit() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("a")).unwrap();
    h.append(&(0..3_000).map(|i| point(s, i * 1_000, i)).collect::<Vec<_>>());
    h.commit().unwrap();
    h.commit().unwrap();
    h.append(&[point(s, 3_000_000, 0)]);
    fake.0.lock().fail_after = Some(1);
    assert!(h.commit().is_err());
    let late = at(200_000_000);
    assert!(h.retain(late).unwrap_err().to_string().contains("the last commit failed"));
    h.commit().unwrap();
    let report = h.retain(late).unwrap();
    assert_eq!((report.chunks, report.samples), (1, 3_000));
    // For want of room a commit is refused, but deleting is not, until there is hardly any room at all.
    h.append(&(0..3_000).map(|i| point(s, i * 1_000, i)).collect::<Vec<_>>());
    h.commit().unwrap();
    h.commit().unwrap();
    h.append(&[point(s, 3_000_000, 0)]);
    fake.0.lock().free = 400;
    assert_eq!(h.retain(late), Err(StoreError::LowSpace { free: 400, floor: 500 }));
    fake.0.lock().free = 600;
    assert!(h.commit().is_err());
    assert_eq!(h.retain(late).unwrap().chunks, 1);
    fake.0.lock().free = 1_000;
    h.commit().unwrap();
    check_store(&fake);
}

#[test]
fn downsampling_keeps_extremes_gaps_and_the_worst_quality() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("a")).unwrap();
    let bad = |ms, v: f64| Point { quality: Quality::Bad(BadReason::Link), ..point(s, ms, v) };
    let mut points = Vec::new();
    for i in 0..10_000i64 {
        let value = if i == 4_321 { 99.5 } else { (i % 10) as f64 };
        match i {
            7_000..8_000 => {}
            8_500 => points.push(bad(i * 1_000, -5e9)),
            9_500 => {
                points.push(Point { quality: Quality::Uncertain(UncertainReason::Frozen), ..point(s, i * 1_000, -1.0) })
            }
            _ => points.push(point(s, i * 1_000, value)),
        }
    }
    // Late points, and one not committed at all.
    points.swap(10, 4_000);
    let (early, late) = points.split_at(6_000);
    h.append(early);
    h.commit().unwrap();
    h.commit().unwrap();
    h.append(late);
    let got = h.downsample("a", at(0), at(10_000_000), 10).unwrap();
    let starts: Vec<i64> = got.iter().map(|b| (b.from.millis() - START_MS) / 1_000_000).collect();
    assert_eq!(starts, [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    assert_eq!((got[4].min, got[4].max, got[4].count), (Some(0.0), Some(99.5), 1_000));
    assert_eq!((got[0].first, got[0].last, got[0].mean), (Some(0.0), Some(9.0), Some(4.5)));
    assert_eq!(got[0].worst, Quality::Good);
    assert_eq!((got[7].min, got[7].count), (Some(0.0), 1_000), "a bad value is no extreme");
    assert_eq!(got[7].worst, Quality::Bad(BadReason::Link));
    assert_eq!((got[8].min, got[8].worst), (Some(-1.0), Quality::Uncertain(UncertainReason::Frozen)));
    // A part of bad points alone exists, and has no numbers.
    let one = h.downsample("a", at(8_500_000), at(8_500_001), 1).unwrap();
    assert_eq!((one.len(), one[0].count, one[0].max, one[0].mean), (1, 1, None, None));
    assert_eq!(h.downsample("a", at(7_000_000), at(8_000_000), 50).unwrap(), []);
    assert_eq!(h.downsample("a", at(0), at(0), 5).unwrap(), []);
    assert!(h.downsample("a", at(0), at(1), 0).is_err());
    // Parts that do not divide evenly: every point is in exactly one, at or after its start.
    let odd = h.downsample("a", at(0), at(10_000_000), 7_777).unwrap();
    assert_eq!(odd.iter().map(|b| b.count).sum::<u32>(), 9_000);
    assert!(odd.is_sorted_by_key(|b| b.from));
}

#[test]
fn the_last_point_before_a_time_is_found_across_overlapping_chunks_and_memory() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("a")).unwrap();
    let commit = |points: &[Point]| {
        h.append(points);
        h.commit().unwrap();
        h.commit().unwrap();
    };
    // A chunk that starts early and ends late, then one that lies inside it.
    commit(&(0..2_100).map(|i| point(s, i * 40_000, i as f64)).collect::<Vec<_>>());
    commit(&(0..2_100).map(|i| point(s, 30_000_000 + i, 1e6 + i as f64)).collect::<Vec<_>>());
    h.append(&[point(s, 50_000_005, 7.0)]);
    let last = |ms| h.last_before("a", at(ms)).unwrap().map(|p| (p.utc.millis() - START_MS, p.value.unwrap()));
    assert_eq!(h.stats().chunks, 2);
    assert_eq!(last(0), None);
    assert_eq!(last(1), Some((0, Value::Float(0.0))));
    assert_eq!(last(30_001_000), Some((30_000_999, Value::Float(1e6 + 999.0))));
    assert_eq!(last(30_040_001), Some((30_040_000, Value::Float(751.0))));
    assert_eq!(last(50_000_006), Some((50_000_005, Value::Float(7.0))));
    assert_eq!(last(50_000_005), Some((50_000_000, Value::Float(1250.0))));
    assert_eq!(last(i64::MAX / 2_000_000), Some((83_960_000, Value::Float(2099.0))));
}

#[test]
fn civil_time_that_jumps_back_loses_nothing_and_stays_in_order() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("a")).unwrap();
    let mut expected = Vec::new();
    for i in 0..5_000i64 {
        // A day back after every thousand points, and the same second twice now and then.
        let ms = i / 7 * 7_000 - i / 1_000 * 86_400_000;
        expected.push((ms, i as f64));
        h.append(&[point(s, ms, i as f64)]);
        if i % 10 == 0 {
            h.commit().unwrap();
        }
    }
    expected.sort_by_key(|(ms, _)| *ms);
    let expected: Vec<f64> = expected.into_iter().map(|(_, v)| v).collect();
    assert_eq!(numbers(&h, "a"), expected);
    drop(h);
    assert_eq!(numbers(&open(&fake.crashed(0)), "a"), expected);
    check_store(&fake);
}

#[test]
fn the_journal_answers_newest_first_and_survives() {
    let fake = Fake::new();
    let h = open(&fake);
    for i in 0..10 {
        h.events_append(at(i / 2), if i % 3 == 0 { "fault" } else { "alarm" }, &i.to_string()).unwrap();
        if i == 6 {
            fake.0.lock().fail_after = Some(1);
            assert!(h.commit().is_err());
            h.commit().unwrap();
        }
    }
    let bodies = |h: &Historian, kind, limit| -> Vec<String> {
        h.events(at(0), at(100), kind, limit).unwrap().into_iter().map(|e| e.body).collect()
    };
    assert_eq!(bodies(&h, None, 4), ["9", "8", "7", "6"]);
    assert_eq!(bodies(&h, Some("fault"), 99), ["9", "6", "3", "0"]);
    assert_eq!(h.events(at(1), at(3), None, 99).unwrap().len(), 4);
    drop(h);
    let h = open(&fake.crashed(0));
    assert_eq!(bodies(&h, None, 99).len(), 10);
    assert_eq!(bodies(&h, None, 0), Vec::<String>::new());
    assert!(matches!(h.events_append(at(0), "x", &"y".repeat(4_000)), Err(StoreError::EventTooLong { .. })));
    h.events_append(at(4), "note", "after").unwrap();
    assert_eq!(bodies(&h, None, 2), ["after", "9"]);
    check_store(&fake);
}

#[test]
fn damaged_rows_are_left_out_counted_and_named_and_the_rest_is_served() {
    let fake = Fake::new();
    let h = open(&fake);
    let (a, b) = (h.series(&def("a")).unwrap(), h.series(&def("b")).unwrap());
    for i in 0..3 {
        h.append(&(0..2_048).map(|n| point(a, i * 2_048_000 + n * 1_000, n)).collect::<Vec<_>>());
        h.append(&[point(b, i, i)]);
        h.commit().unwrap();
    }
    h.commit().unwrap();
    h.append(&[point(b, 10, 10)]);
    h.commit().unwrap();
    drop(h);
    let kinds = [key::SERIES, key::STATE, key::CHUNK, key::ROW];
    for kind in kinds {
        let broken = fake.crashed(0);
        {
            let mut inner = broken.0.lock();
            let (_, v) = inner.rows.range_mut(vec![kind]..).next().unwrap();
            let n = v.len();
            v[n - 1] ^= 0x40;
        }
        let report = verify_store(&broken, 0).unwrap();
        assert!(!report.damaged.is_empty(), "kind {kind}");
        let h = open(&broken);
        let of_a = h.query("a", ALL.0, ALL.1).map(|p| p.len());
        match kind {
            key::SERIES => assert_eq!(of_a, Err(StoreError::UnknownSeries("a".into()))),
            key::CHUNK => assert_eq!(of_a, Ok(2 * 2_048)),
            _ => assert!(of_a.unwrap() >= 3 * 2_048, "kind {kind}"),
        }
        assert!(numbers(&h, "b").contains(&10.0));
        assert!(h.stats().damaged >= 1, "kind {kind}");
        // The id of a lost definition is not given to another path.
        assert!(h.series(&def("new")).unwrap().0 >= 2);
    }
}

#[test]
fn another_format_is_refused_and_a_lost_header_is_damage() {
    let fake = Fake::new();
    drop(open(&fake));
    let header = key::HEADER.to_vec();
    fake.0.lock().rows.insert(header.clone(), frame_as(0, &header, b"penstock-historian"));
    assert!(matches!(load(&fake, true), Err(LoadError::Version(0))));
    assert!(matches!(verify_store(&fake, 0), Err(LoadError::Version(0))));
    fake.0.lock().rows.insert(header.clone(), frame_as(2, &header, b"penstock-historian"));
    assert!(matches!(load(&fake, true), Err(LoadError::Version(2))));
    fake.0.lock().rows.insert(header.clone(), frame_as(1, &header, b"something else"));
    assert!(matches!(load(&fake, true), Err(LoadError::Damaged(_))));
    fake.0.lock().rows.remove(&header);
    assert!(matches!(load(&fake, true), Err(LoadError::Damaged(_))), "an empty store that was in use");
    assert!(load(&fake, false).unwrap().created);
    fake.0.lock().rows.remove(&header);
    fake.0.lock().rows.insert(key::row(5), vec![1]);
    assert!(matches!(load(&fake, false), Err(LoadError::Damaged(_))), "rows without a header");
}
