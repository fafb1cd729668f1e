//! The historian on a real folder: restarts, kills, damage, foreign formats.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at the first thing that is not as it should be")]

use penstock_historian::{Config, Historian, OpenError, Point, SeriesDef, SeriesId, StoreError};
use penstock_model::{BadReason, Quality, Utc, Value, ValueType};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ALL: (Utc, Utc) = (Utc(i64::MIN), Utc(i64::MAX));

fn config(dir: &Path) -> Config {
    Config { dir: dir.to_owned(), retention: Duration::from_secs(86_400), bytes_max: None, free_bytes_min: 1 }
}

fn def(path: &str, value_type: ValueType) -> SeriesDef {
    SeriesDef { path: path.into(), value_type, unit: "".into(), decimals: 1 }
}

fn point(series: SeriesId, ms: i64, value: impl Into<Value>) -> Point {
    Point { series, utc: Utc::from_millis(ms), value: Some(value.into()), quality: Quality::Good }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Points of every type, so many chunks and so many in the tail.
fn fill(h: &Historian, points: i64) -> Vec<Point> {
    let float = h.series(&def("float", ValueType::Float)).unwrap();
    let int = h.series(&def("int", ValueType::Int)).unwrap();
    let switch = h.series(&def("switch", ValueType::Bool)).unwrap();
    let text = h.series(&def("text", ValueType::Text)).unwrap();
    let mut all = Vec::new();
    for i in 0..points {
        let ms = 1_795_000_000_000 + i * 1_000;
        all.push(point(float, ms, (i % 300) as f64 / 10.0));
        all.push(point(int, ms, i * i));
        all.push(point(switch, ms, i % 60 < 30));
        if i % 10 == 0 {
            all.push(point(text, ms, ["stopped", "running", "故障"][(i / 10 % 3) as usize]));
            all.push(Point { value: None, quality: Quality::Bad(BadReason::Link), ..point(float, ms, 0.0) });
        }
    }
    for part in all.chunks(1_600) {
        h.append(part);
        h.commit().unwrap();
    }
    all
}

fn everything(h: &Historian) -> Vec<Point> {
    let series = h.series_list();
    series.iter().flat_map(|(_, def)| h.query(&def.path, ALL.0, ALL.1).unwrap()).collect()
}

fn by_series(points: &[Point]) -> Vec<Point> {
    let mut points = points.to_vec();
    points.sort_by_key(|p| (p.series, p.utc));
    points
}

#[test]
fn a_restart_finds_everything_and_verify_agrees() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a").join("history");
    let (h, report) = Historian::open(config(&dir)).unwrap();
    assert!(report.created && report.quarantined.is_none());
    let all = fill(&h, 5_000);
    h.events_append(Utc(5), "alarm", "{\"id\":1}").unwrap();
    assert_eq!(everything(&h), by_series(&all));
    assert!(h.stats().chunks >= 4, "{:?}", h.stats());
    h.close().unwrap();
    let verified = Historian::verify(&dir).unwrap();
    assert_eq!((verified.damaged.len(), verified.samples, verified.events), (0, all.len() as u64, 1));
    let (h, report) = Historian::open(config(&dir)).unwrap();
    assert!(!report.created && report.recovered > 0 && report.chunks >= 4, "{report:?}");
    assert_eq!((report.series, report.damaged_rows), (4, 0));
    assert_eq!(everything(&h), by_series(&all));
    assert_eq!(h.events(ALL.0, ALL.1, None, 9).unwrap()[0].body, "{\"id\":1}");
    let stats = h.stats();
    assert!(stats.bytes_disk > 0 && stats.bytes_per_sample > 0.0 && stats.samples == all.len() as u64, "{stats:?}");
    assert!(matches!(Historian::open(config(&dir)), Err(OpenError::InUse { .. })));
}

#[test]
fn a_copy_of_the_live_folder_has_all_that_was_committed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("history");
    let (h, _) = Historian::open(config(&dir)).unwrap();
    let all = fill(&h, 3_000);
    // Never committed, so not in the copy; in the copy's place a kill would leave the same files.
    let s = h.series_list()[0].0;
    h.append(&[point(s, 1, 1.0)]);
    let killed = root.path().join("killed");
    copy(&dir, &killed);
    let (copy, report) = Historian::open(config(&killed)).unwrap();
    assert_eq!((report.quarantined, report.damaged_rows), (None, 0));
    assert_eq!(everything(&copy), by_series(&all));
}

#[test]
fn dropping_commits_what_waits() {
    let root = tempfile::tempdir().unwrap();
    let (h, _) = Historian::open(config(root.path())).unwrap();
    let s = h.series(&def("a", ValueType::Float)).unwrap();
    h.append(&[point(s, 1, 1.0)]);
    drop(h);
    let (h, _) = Historian::open(config(root.path())).unwrap();
    assert_eq!(h.query("a", ALL.0, ALL.1).unwrap().len(), 1);
}

/// Runs only as the child of the test below.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os("PENSTOCK_HISTORIAN_TEST_DIR") else { return };
    let (h, _) = Historian::open(config(Path::new(&dir))).unwrap();
    let ids: Vec<_> = (0..8).map(|i| h.series(&def(&format!("s{i}"), ValueType::Int)).unwrap()).collect();
    let mut out = std::io::stdout();
    for i in 0i64.. {
        for n in 0..200 {
            h.append(&ids.iter().map(|s| point(*s, i * 200_000 + n * 1_000, i * 200 + n)).collect::<Vec<_>>());
        }
        h.commit().unwrap();
        writeln!(out, "committed {}", (i + 1) * 200).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_9_loses_nothing_that_was_committed() {
    let root = tempfile::tempdir().unwrap();
    for (round, commits) in [3, 30, 60].into_iter().enumerate() {
        let dir = root.path().join(format!("history{round}"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env("PENSTOCK_HISTORIAN_TEST_DIR", &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut committed = 0i64;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
            if let Some((_, n)) = line.split_once("committed ") {
                committed = n.parse().unwrap();
                if committed >= commits * 200 {
                    break;
                }
            }
        }
        // SIGKILL on this system.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(committed >= commits * 200, "the child ended early");
        let (h, report) = Historian::open(config(&dir)).unwrap();
        assert_eq!((report.quarantined, report.damaged_rows), (None, 0));
        for i in 0..8 {
            let found: Vec<_> = h.query(&format!("s{i}"), ALL.0, ALL.1).unwrap();
            assert!(found.len() as i64 >= committed, "{} of {committed}", found.len());
            let values = found.iter().map(|p| p.value.clone().unwrap());
            assert!(values.eq((0..found.len() as i64).map(Value::Int)), "series {i} has a hole or a double");
        }
        h.close().unwrap();
        assert_eq!(Historian::verify(&dir).unwrap().damaged, Vec::<String>::new());
    }
}

#[test]
fn a_damaged_store_is_put_aside_and_a_fresh_one_works() {
    let root = tempfile::tempdir().unwrap();
    let original = root.path().join("original");
    let (h, _) = Historian::open(config(&original)).unwrap();
    fill(&h, 2_000);
    h.close().unwrap();
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: [Damage; 4] = [
        ("data overwritten", &|dir| {
            let file = dir.join("sled/db");
            let noise = (0..fs::metadata(&file).unwrap().len()).map(|i| (i * 7 % 251) as u8).collect::<Vec<_>>();
            fs::write(file, noise).unwrap();
        }),
        ("data cut to nothing", &|dir| fs::write(dir.join("sled/db"), "").unwrap()),
        ("damage noted", &|dir| fs::write(dir.join("damaged"), "a page does not fit").unwrap()),
        ("store removed", &|dir| fs::remove_dir_all(dir.join("sled")).unwrap()),
    ];
    for (name, damage) in damages {
        let dir = root.path().join(name);
        copy(&original, &dir);
        damage(&dir);
        let (h, report) = Historian::open(config(&dir)).unwrap();
        let quarantine = report.quarantined.unwrap_or_else(|| panic!("{name}: not put aside"));
        println!("{name}: {}", quarantine.reason);
        assert!(report.created && quarantine.moved_to.join("format").is_file(), "{name}");
        let expected = format!("{name}.damaged-");
        assert!(quarantine.moved_to.file_name().unwrap().to_str().unwrap().starts_with(&expected));
        assert!(!quarantine.reason.is_empty());
        let all = fill(&h, 100);
        h.close().unwrap();
        let (h, report) = Historian::open(config(&dir)).unwrap();
        assert!(report.quarantined.is_none() && !report.created);
        assert_eq!(everything(&h), by_series(&all), "{name}");
    }
}

#[test]
fn damage_in_the_middle_of_the_data_is_told_and_never_invents_points() {
    let root = tempfile::tempdir().unwrap();
    let original = root.path().join("original");
    let (h, _) = Historian::open(config(&original)).unwrap();
    let all = fill(&h, 2_000);
    h.close().unwrap();
    let mut lost = 0;
    let length = fs::metadata(original.join("sled/db")).unwrap().len();
    for part in 0..12 {
        let dir = root.path().join(format!("damaged{part}"));
        copy(&original, &dir);
        let file = dir.join("sled/db");
        let mut bytes = fs::read(&file).unwrap();
        let at = (length * part / 12) as usize;
        bytes[at..].iter_mut().take(3_000).for_each(|b| *b ^= 0x5a);
        fs::write(&file, bytes).unwrap();
        let (h, report) = Historian::open(config(&dir)).unwrap();
        println!("part {part}: {report:?}");
        let found = everything(&h);
        let told = report.quarantined.is_some() || report.lost_commits > 0 || report.damaged_rows > 0;
        assert!(told || found.len() == all.len(), "part {part}: {} of {} points", found.len(), all.len());
        lost += usize::from(found.len() < all.len());
        for point in found {
            assert!(all.contains(&point), "part {part} invents {point:?}");
        }
        let s = h.series(&def("after", ValueType::Float)).unwrap();
        h.append(&[point(s, 1, 1.0)]);
        h.commit().unwrap();
        drop(h);
        let (_, report) = Historian::open(config(&dir)).unwrap();
        assert_eq!((report.quarantined, report.lost_commits), (None, 0), "told once");
    }
    assert!(lost > 2, "the damage must hit");
}

#[test]
fn another_format_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let (h, _) = Historian::open(config(root.path())).unwrap();
    h.close().unwrap();
    assert_eq!(fs::read_to_string(root.path().join("format")).unwrap(), "penstock history, format 1\n");
    for other in [0, 2, 200] {
        fs::write(root.path().join("format"), format!("penstock history, format {other}\n")).unwrap();
        let error = Historian::open(config(root.path())).unwrap_err();
        assert!(matches!(error, OpenError::Version { found, known: 1, .. } if found == other), "{error}");
        assert!(matches!(Historian::verify(root.path()), Err(OpenError::Version { .. })));
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3, "nothing was put aside");
    fs::write(root.path().join("format"), "penstock history, format 1\n").unwrap();
    Historian::open(config(root.path())).unwrap();
}

#[test]
fn a_floor_above_the_free_space_refuses_with_both_numbers() {
    let root = tempfile::tempdir().unwrap();
    let (h, _) = Historian::open(Config { free_bytes_min: u64::MAX, ..config(root.path()) }).unwrap();
    let s = h.series(&def("a", ValueType::Float)).unwrap();
    h.append(&[point(s, 1, 1.0)]);
    assert!(matches!(h.commit(), Err(StoreError::LowSpace { free, floor: u64::MAX }) if free > 0));
    assert_eq!(h.query("a", ALL.0, ALL.1).unwrap().len(), 1);
}

#[test]
fn verify_of_a_folder_without_history_says_so() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(Historian::verify(root.path()), Err(OpenError::Io { .. })));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn readers_see_every_point_once_while_a_writer_commits_and_seals() {
    let root = tempfile::tempdir().unwrap();
    let (h, _) = Historian::open(config(root.path())).unwrap();
    let s = h.series(&def("a", ValueType::Int)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut longest = 0;
                    while !done.load(std::sync::atomic::Ordering::Acquire) {
                        let found = h.query("a", ALL.0, ALL.1).unwrap();
                        assert!(found.len() >= longest);
                        longest = found.len();
                        let values = found.into_iter().map(|p| p.value.unwrap());
                        assert!(values.eq((0..longest as i64).map(Value::Int)));
                    }
                })
            })
            .collect();
        for i in 0..60i64 {
            h.append(&(0..250).map(|n| point(s, (i * 250 + n) * 100, i * 250 + n)).collect::<Vec<_>>());
            h.commit().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        readers.into_iter().for_each(|r| r.join().unwrap());
    });
    assert!(h.stats().chunks >= 6);
}
