//! Programs that feed each other in a circle over a delay of one scan, and programs with limits of their own.

mod common;

use common::{Plant, Site, at};
use penstock_engine::{BuildError, Delay, Engine, ProgramLimits, ScanTiming};
use penstock_model::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ADD: &str = "fn declare(p) { p.input(\"a\", \"\"); p.input(\"b\", \"\"); p.output(\"c\", \"\"); } fn scan(io) { io.c = io.a + io.b; }";

/// `u = x + v`, `v = u + x`; one of the two reads late. In whatever order the two are declared.
fn circle(late: &str, otherwise: Option<f64>, turned: bool) -> Site {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.computed("u");
    site.computed("v");
    let mut add = [("first", "a=x b=v c=u"), ("second", "a=x b=u c=v")];
    if turned {
        add.reverse();
    }
    for (name, io) in add {
        let program = site.program(name, 0, ADD, io);
        if name == late {
            program.delays = vec![Delay { input: "b".into(), otherwise: otherwise.map(Value::Float) }];
        }
    }
    site
}

fn values(plant: &Plant) -> (f64, f64) {
    (plant.value("u"), plant.value("v"))
}

#[test]
fn a_circle_runs_over_what_the_scan_before_left() {
    for turned in [false, true] {
        let mut plant = circle("first", Some(10.0), turned).build();
        let mut wanted = (0.0, 10.0);
        for scan in 0..5 {
            plant.feed("x", 1.0);
            plant.scan(0, 1_000);
            // `first` sees the last `v`; `second` sees the `u` of this scan.
            wanted.0 = 1.0 + wanted.1;
            wanted.1 = 1.0 + wanted.0;
            assert_eq!(values(&plant), wanted, "scan {scan}");
        }
        assert_eq!(plant.quality("u"), "good");
    }
}

#[test]
fn what_is_read_late_is_late_also_where_its_writer_runs_before() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.computed("u");
    site.computed("v");
    site.program("writer", 0, ADD, "a=x b=x c=u");
    let reader = "fn declare(p) { p.input(\"a\", \"\"); p.output(\"c\", \"\"); } fn scan(io) { io.c = io.a; }";
    site.program("reader", 0, reader, "a=u c=v").delays = vec![Delay { input: "a".into(), otherwise: None }];
    let mut plant = site.build();
    plant.feed("x", 1.0);
    plant.scan(0, 1_000);
    assert_eq!(plant.quality("v"), "bad(input)", "nothing was there at the end of the scan before");
    for scan in 2..5_u32 {
        plant.feed("x", f64::from(scan));
        plant.scan(0, 1_000);
        assert_eq!(plant.value("v"), 2.0 * f64::from(scan - 1));
    }
}

#[test]
fn a_circle_starts_and_recovers_by_what_is_read_while_it_is_bad_and_never_without() {
    let mut plant = circle("first", Some(10.0), false).build();
    plant.feed("x", 1.0);
    plant.scan(0, 1_000);
    assert_eq!((values(&plant), plant.quality("u")), ((11.0, 12.0), "good".into()));
    plant.bad("x");
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("u"), plant.quality("v")), ("bad(input)".into(), "bad(input)".into()));
    plant.feed("x", 2.0);
    plant.scan(0, 1_000);
    assert_eq!(values(&plant), (12.0, 14.0), "it begins anew from what is declared");
    let doubtful = Quality::Uncertain(UncertainReason::Frozen);
    plant.deliver("x", Sample { quality: doubtful, ..Sample::good(2.0, at(plant.ms)) });
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("u"), plant.quality("v")), ("uncertain(input)".into(), "uncertain(input)".into()));
    plant.feed("x", 2.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("u"), plant.quality("v")), ("good".into(), "good".into()), "doubt does not go round");
    let mut plant = circle("second", None, false).build();
    for _ in 0..3 {
        plant.feed("x", 1.0);
        plant.scan(0, 1_000);
        assert_eq!((plant.quality("u"), plant.quality("v")), ("bad(input)".into(), "bad(input)".into()));
    }
}

#[test]
fn a_delay_of_an_input_that_is_not_there_or_of_another_type_is_refused() {
    let refused = |input: &str, otherwise: Option<Value>| {
        let mut site = circle("first", None, false);
        site.programs[0].delays = vec![Delay { input: input.into(), otherwise }];
        let out = Arc::new(common::Recorder::default());
        Engine::build(site.config(), out.clone(), out, at(0)).map(|_| ()).unwrap_err()
    };
    assert!(matches!(refused("bb", None), BuildError::UnknownName { what: "input", .. }));
    assert!(matches!(refused("b", Some(Value::Bool(true))), BuildError::Param { .. }));
    assert!(matches!(refused("a", None), BuildError::Circle { .. }), "a delay elsewhere breaks no circle");
}

/// A clock that moves by a millisecond with every look.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Now {
        at(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A program that counts to `n` beside one that does nothing of the sort.
fn counting(n: u32, limits: ProgramLimits) -> Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    let out = site.output("y", FallbackAction::Value(7.0.into()));
    out.fallback.overrun = FallbackAction::Value(3.0.into());
    let source = format!(
        "fn declare(p) {{ p.output(\"y\", \"\"); }} fn scan(io) {{ let k = 0; while k < {n} {{ k += 1; }} io.y = 1; }}"
    );
    site.program("long", 0, &source, "y=y").limits = limits;
    site.build()
}

#[test]
fn a_program_has_the_operations_that_its_limits_give_it() {
    for (n, operations, faults) in
        [(50, Some(1_000), false), (5_000, Some(1_000), true), (5_000, None, false), (5_000, Some(90_000), false)]
    {
        let mut plant = counting(n, ProgramLimits { operations, time: None });
        plant.scan(0, 1_000);
        let fault = plant.engine.tasks()[0].fault.clone();
        assert_eq!(fault.is_some(), faults, "{n} {operations:?} {fault:?}");
        assert_eq!(plant.value("y"), if faults { 7.0 } else { 1.0 });
        if let Some(why) = fault {
            assert!(
                why.contains("program long")
                    && why.contains("more than 1000 operations in one scan, which its `limits` give it: does a loop"),
                "{why}"
            );
        }
    }
}

#[test]
fn a_program_has_the_time_that_its_limits_give_it_and_no_more_than_its_task() {
    // Every look at the clock takes a millisecond, and a running script is looked at every 64 operations.
    for (n, time_ms, part) in [
        (2_000, Some(20), Some("the 20ms that its `limits` give it")),
        // Each look counts for a quarter at most; the fourth is the one at the end.
        (50, Some(2), Some("the 2ms that its `limits` give it")),
        // One look alone is a pause of the machine and not the program.
        (1, Some(1), None),
        (2_000, Some(400), None),
        (2_000, None, None),
        (30_000, Some(800), Some("stopped after 800ms of processor time")),
    ] {
        let limits = ProgramLimits { operations: None, time: time_ms.map(Duration::from_millis) };
        let mut plant = counting(n, limits);
        let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
        plant.tasks[0].scan(at(1_000), ScanTiming { clock: Some(clock), ..ScanTiming::default() });
        let fault = plant.engine.tasks()[0].fault.clone();
        match part {
            Some(part) => {
                assert!(fault.as_ref().is_some_and(|f| f.contains(part)), "{n} {time_ms:?}: {fault:?}");
                assert_eq!((plant.value("y"), plant.quality("y")), (3.0, "bad(overrun)".into()));
            }
            None => assert_eq!((fault, plant.value("y")), (None, 1.0), "{n} {time_ms:?}"),
        }
    }
}
