//! How a task is paced and timed: missed deadlines, run time, latency, and the tags that show them.

mod common;

use common::{Plant, Site, at};
use penstock_engine::{OverrunPolicy, ScanTiming};
use penstock_model::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that moves by a millisecond with every look.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Now {
        at(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[test]
fn missed_deadlines_fault_a_task_that_declares_it_and_no_other() {
    for (policy, faults) in [(OverrunPolicy::Count, false), (OverrunPolicy::Skip, false), (OverrunPolicy::Fault, true)]
    {
        let mut site = Site::new(&[("normal", 100)]);
        site.tasks[0].overrun = policy;
        let out = site.output("y", FallbackAction::Value(7.0.into()));
        out.fallback.overrun = FallbackAction::Value(3.0.into());
        site.program("p", 0, r#"fn declare(p) { p.output("y", ""); } fn scan(io) { io.y = 1; }"#, "y=y");
        let mut plant = site.build();
        plant.scan(0, 100);
        let late = Duration::from_millis(250);
        plant.tasks[0].scan(at(350), ScanTiming { jitter: late, missed_now: 2, clock: None });
        let task = &plant.engine.tasks()[0];
        assert_eq!((task.fault.is_some(), task.missed), (faults, 2), "{policy:?}");
        assert_eq!(plant.value("y"), if faults { 3.0 } else { 1.0 }, "{policy:?}");
        if faults {
            let why = task.fault.clone().unwrap();
            assert!(why.contains("missed 2 deadlines") && why.contains("250ms"), "{why}");
            assert_eq!(plant.quality("y"), "bad(overrun)");
            plant.engine.reset_task(TaskId(0));
            plant.tasks[0].scan(at(400), ScanTiming::default());
            assert_eq!((plant.value("y"), plant.engine.tasks()[0].fault.clone()), (1.0, None));
        }
    }
}

/// Two programs in a row, `x` of the device to `y` of the device; `slow` is read along.
fn chain() -> Plant {
    let mut site = Site::new(&[("normal", 100)]);
    site.input("x");
    site.input("slow");
    site.computed("z");
    site.output("y", FallbackAction::Value(7.0.into()));
    let add = r#"fn declare(p) { p.input("a", ""); p.input("b", ""); p.output("c", ""); } fn scan(io) { io.c = io.a + io.b; }"#;
    site.program("first", 0, add, "a=x b=slow c=z");
    site.program("second", 0, add, "a=z b=slow c=y");
    site.build()
}

#[test]
fn the_latency_runs_from_a_devices_new_sample_through_all_programs_to_the_write() {
    let mut plant = chain();
    plant.ms = 10;
    plant.feed("slow", 1.0);
    plant.feed("x", 1.0);
    plant.scan(0, 90);
    let answer = |plant: &Plant, state: OutcomeState, after_ms: u64| {
        let command = plant.out.commands.lock().last().cloned().unwrap();
        let at = at(plant.ms + after_ms).utc;
        plant.engine.sink().outcome(Outcome { id: command.id, tag: command.tag, state, at });
    };
    answer(&plant, OutcomeState::Acknowledged, 20);
    // The first news ends it: that the device read back the same later is no second latency.
    answer(&plant, OutcomeState::ReadBack, 60);
    plant.scan(0, 100);
    let latency = |plant: &Plant| plant.engine.tasks()[0].latency.max;
    assert_eq!(latency(&plant), Duration::from_millis(110));

    // A sample 30 ms before the scan, and an old one of `slow` that was seen before: only the new one counts.
    plant.ms += 70;
    plant.feed("x", 5.0);
    plant.scan(0, 30);
    answer(&plant, OutcomeState::Sent, 5);
    plant.scan(0, 100);
    assert_eq!(plant.engine.tasks()[0].latency.p50, Duration::from_nanos(37_748_735), "35 ms, up to its bucket's top");

    // Refused, by hand, or without a new sample: no latency.
    plant.feed("x", 6.0);
    plant.scan(0, 100);
    answer(&plant, OutcomeState::Failed("refused".into()), 90);
    plant.by_hand("y", 50.0);
    plant.scan(0, 100);
    answer(&plant, OutcomeState::Acknowledged, 99);
    plant.scan(0, 100);
    assert_eq!(latency(&plant), Duration::from_millis(110));
}

#[test]
fn times_of_the_last_minute_are_tags_once_a_second() {
    let mut plant = chain();
    let jitter = |us| ScanTiming { jitter: Duration::from_micros(us), ..ScanTiming::default() };
    plant.tasks[0].scan(at(0), jitter(40));
    assert_eq!(plant.value("sys/task/normal/jitter_max"), 40.0);
    assert_eq!(plant.quality("sys/task/normal/run_p99"), "bad(never-received)", "virtual time takes none");
    assert_eq!(plant.quality("sys/task/normal/latency_max"), "bad(never-received)");
    // One scan in a hundred comes 900 µs late.
    for k in 1..600 {
        plant.tasks[0].scan(at(k * 100), jitter(if k % 100 == 0 { 900 } else { 40 }));
        assert!(k >= 10 || plant.value("sys/task/normal/jitter_max") == 40.0, "published between two seconds");
    }
    let value = |plant: &Plant, part: &str| plant.value(&format!("sys/task/normal/{part}"));
    let near = |x: f64, us: f64| x >= us && x <= us * 1.125;
    assert!(near(value(&plant, "jitter_p50"), 40.0) && near(value(&plant, "jitter_p99"), 40.0));
    assert!(near(value(&plant, "jitter_p999"), 900.0) && value(&plant, "jitter_max") == 900.0);
    // A minute later the late ones are forgotten; the figures since the start are not.
    for k in 600..1_200 {
        plant.tasks[0].scan(at(k * 100), jitter(10));
    }
    assert_eq!(value(&plant, "jitter_max"), 10.0);
    assert_eq!(plant.engine.tasks()[0].jitter.max, Duration::from_micros(900));

    // A run time that was known once and is no more is stale, and keeps its figure.
    let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
    plant.tasks[0].scan(at(200_000), ScanTiming { clock: Some(clock), ..ScanTiming::default() });
    assert!(value(&plant, "run_max") >= 1_000.0);
    assert_eq!(plant.quality("sys/task/normal/run_max"), "good");
    plant.tasks[0].scan(at(300_000), jitter(10));
    assert_eq!(plant.quality("sys/task/normal/run_max"), "bad(stale)");
    assert!(value(&plant, "run_max") >= 1_000.0);
}
