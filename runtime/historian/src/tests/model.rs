//! Any sequence of appends, good commits, failing commits and crashes: nothing committed is lost, nothing is there twice.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    /// Points of a series; their distance in time may be negative.
    Append {
        series: usize,
        count: usize,
        step_ms: i64,
    },
    Commit,
    /// The store fails at a later write of this commit, and keeps some of what it did not sync.
    Fail {
        after: usize,
        survive: usize,
    },
    /// The machine stops in this commit, or between commits.
    Crash {
        after: Option<usize>,
        survive: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let step_ms = prop_oneof![3 => Just(1_000i64), 1 => -7_200_000i64..7_200_000, 1 => Just(0)];
    prop_oneof![
        6 => (0usize..4, prop_oneof![4 => 1usize..60, 1 => 500usize..3_000], step_ms)
            .prop_map(|(series, count, step_ms)| Step::Append { series, count, step_ms }),
        5 => Just(Step::Commit),
        2 => (0usize..6, 0usize..6).prop_map(|(after, survive)| Step::Fail { after, survive }),
        1 => (prop::option::of(0usize..6), 0usize..6).prop_map(|(after, survive)| Step::Crash { after, survive }),
    ]
}

/// What ought to be there: per series time and a value that occurs once.
#[derive(Default)]
struct Expected {
    points: Vec<Vec<(i64, i64)>>,
    durable: BTreeSet<i64>,
    next: i64,
    ms: i64,
}

fn found(h: &Historian, series: usize) -> Vec<(i64, i64)> {
    let points = h.query(&format!("s{series}"), ALL.0, ALL.1).unwrap();
    points
        .into_iter()
        .map(|p| match p.value {
            Some(Value::Int(i)) => (p.utc.millis(), i),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn in_order(mut points: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    points.sort_by_key(|(ms, _)| *ms);
    points
}

fn start(fake: &Fake) -> Historian {
    // A small tail, so that heads are sealed for every reason there is.
    let h = open_with(fake, config(), Bounds { tail_bytes: 3_000, head_points_total: 4_000, ..Bounds::default() });
    for i in 0..4 {
        h.series(&def(&format!("s{i}"))).unwrap();
    }
    h
}

fn run(steps: Vec<Step>) {
    let mut fake = Fake::new();
    let mut h = start(&fake);
    let mut expected = Expected { points: vec![Vec::new(); 4], ms: START_MS, ..Expected::default() };
    for step in steps {
        match step {
            Step::Append { series, count, step_ms } => {
                for _ in 0..count {
                    let (ms, value) = (expected.ms, expected.next);
                    h.append(&[Point {
                        series: SeriesId(series as u32),
                        utc: Utc::from_millis(ms),
                        value: Some(Value::Int(value)),
                        quality: Quality::Good,
                    }]);
                    expected.points[series].push((ms, value));
                    expected.next += 1;
                    expected.ms += step_ms;
                }
            }
            Step::Commit => commit(&h, &fake, &mut expected),
            Step::Fail { after, survive } => {
                {
                    let mut inner = fake.0.lock();
                    (inner.fail_after, inner.survive) = (Some(after), survive);
                }
                let failed = h.commit().is_err();
                fake.0.lock().fail_after = None;
                if !failed {
                    durable(&mut expected);
                }
            }
            Step::Crash { after, survive } => {
                if after.is_some() {
                    fake.0.lock().fail_after = after;
                    if h.commit().is_ok() {
                        durable(&mut expected);
                    }
                }
                let next = fake.crashed(survive);
                // The old one must not write any more.
                fake.0.lock().free = 0;
                drop(std::mem::replace(&mut h, start(&next)));
                fake = next;
                crashed(&h, &mut expected);
            }
        }
        for series in 0..4 {
            assert_eq!(found(&h, series), in_order(expected.points[series].clone()), "series {series}");
        }
    }
    commit(&h, &fake, &mut expected);
}

fn durable(expected: &mut Expected) {
    expected.durable.extend(expected.points.iter().flatten().map(|(_, v)| *v));
}

fn commit(h: &Historian, fake: &Fake, expected: &mut Expected) {
    h.commit().unwrap();
    durable(expected);
    let report = check_store(fake);
    assert_eq!(report.samples as usize, expected.points.iter().map(Vec::len).sum::<usize>());
    assert_eq!(h.stats().samples, report.samples);
}

/// After a crash: everything committed, each point at most once, nothing that was never appended, and the order holds.
fn crashed(h: &Historian, expected: &mut Expected) {
    for (series, points) in expected.points.iter_mut().enumerate() {
        let there: BTreeSet<i64> = found(h, series).into_iter().map(|(_, v)| v).collect();
        let lost: Vec<_> = points.iter().filter(|(_, v)| expected.durable.contains(v) && !there.contains(v)).collect();
        assert!(lost.is_empty(), "series {series} lost {lost:?}");
        points.retain(|(_, v)| there.contains(v));
        assert_eq!(found(h, series), in_order(points.clone()), "series {series}");
    }
    // What came back belongs to the store now.
    durable(expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn nothing_committed_is_ever_lost_or_there_twice(steps in prop::collection::vec(any_step(), 1..40)) {
        run(steps);
    }
}
