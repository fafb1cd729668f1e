//! Scan tables: what a task makes of its inputs, and what it does when something breaks.

mod common;

use common::{Site, at};
use penstock_engine::{ScanTiming, Script};
use penstock_model::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const COPY: &str = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { io.y = io.x; }
"#;

/// x → y through [`COPY`]; y goes to the device and falls back to 7.
fn copy() -> common::Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    let x = site.input("x");
    x.ttl = Some(Duration::from_secs(5));
    x.frozen_after = Some(Duration::from_secs(60));
    site.output("y", FallbackAction::Value(7.0.into()));
    site.program("copy", 0, COPY, "x=x y=y");
    site.build()
}

#[test]
fn every_kind_of_input_has_its_output() {
    let mut plant = copy();
    // (delivered, quality of y, value of y)
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("y"), plant.value("y")), ("bad(input)".into(), 7.0), "never received");
    plant.feed("x", 2.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("y"), plant.value("y")), ("good".into(), 2.0));
    let now = at(plant.ms);
    for (sample, quality, value) in [
        (Sample::bad(BadReason::Link, None, now), "bad(input)", 7.0),
        (Sample { value: Some(Value::Float(f64::NAN)), ..Sample::good(0.0, now) }, "bad(input)", 7.0),
        (Sample::with_quality(3.0, Quality::Uncertain(UncertainReason::Maintenance), now), "uncertain(input)", 3.0),
        (Sample::good(4.0, now), "good", 4.0),
        // Received before the one above: late, and dropped.
        (Sample::good(9.0, at(1)), "good", 4.0),
    ] {
        plant.deliver("x", sample.clone());
        plant.scan(0, 1);
        assert_eq!((plant.quality("y"), plant.value("y")), (quality.into(), value), "{sample:?}");
    }
    plant.scan(0, 5_001);
    assert_eq!((plant.quality("x"), plant.quality("y")), ("bad(stale)".into(), "bad(input)".into()));
    for _ in 0..70 {
        plant.feed("x", 4.0);
        plant.scan(0, 1_000);
    }
    assert_eq!((plant.quality("x"), plant.quality("y")), ("uncertain(frozen)".into(), "uncertain(input)".into()));
    assert_eq!(plant.value("y"), 4.0);
    assert!(plant.faults().is_empty());
}

#[test]
fn optimisation_freezes_no_tag_read() {
    let mut plant = copy();
    for x in [1.0, 2.0, 3.0] {
        plant.feed("x", x);
        plant.scan(0, 1_000);
        assert_eq!(plant.value("y"), x);
    }
}

#[test]
fn a_reserved_word_may_name_a_member() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("in");
    site.computed("out");
    let source = r#"
fn declare(p) { p.input("do", ""); p.output("new", ""); p.block("call", lag()); }
fn scan(io) { io.new = io.call.run(io.do, #{ t: 0 }) * 2; if io.do > 1.0 { io.new += 1; } }
"#;
    site.program("p", 0, source, "do=in new=out");
    let mut plant = site.build();
    plant.feed("in", 4.0);
    plant.scan(0, 1_000);
    assert_eq!(plant.value("out"), 9.0);
}

#[test]
fn guards_say_what_to_do_without_an_input() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    for path in ["good", "usable", "or", "age", "unbound"] {
        site.computed(path);
    }
    let source = r#"
fn declare(p) {
    p.input("x", ""); p.input("extra", ""); p.optional("extra");
    for n in ["good", "usable", "or", "age", "unbound"] { p.output(`${n}_out`, ""); }
}
fn scan(io) {
    io.good_out = if io.good("x") { 1 } else { 0 };
    io.usable_out = if io.usable("x") { 1 } else { 0 };
    io.or_out = io.or("x", -1);
    io.age_out = io.age("x");
    io.unbound_out = io.or("extra", 5.0);
    if io.quality("x") != "bad(link)" { print(io.quality("x")); }
}
"#;
    site.program("p", 0, source, "x=x good_out=good usable_out=usable or_out=or age_out=age unbound_out=unbound");
    let mut plant = site.build();
    let seen = |p: &common::Plant| ["good", "usable", "or", "age", "unbound"].map(|t| p.value(t));
    plant.feed("x", 3.0);
    plant.scan(0, 500);
    assert_eq!(seen(&plant), [1.0, 1.0, 3.0, 0.5, 5.0]);
    plant.deliver("x", Sample::with_quality(3.0, Quality::Uncertain(UncertainReason::Device), at(plant.ms)));
    plant.scan(0, 1_000);
    assert_eq!(seen(&plant), [0.0, 1.0, 3.0, 1.0, 5.0]);
    assert!(plant.sample("or").quality.is_good(), "a guarded read leaves no doubt behind");
    plant.bad("x");
    plant.scan(0, 1_000);
    assert_eq!(seen(&plant), [0.0, 0.0, -1.0, 1.0, 5.0]);
    assert_eq!(plant.engine.programs()[0].log, ["good", "uncertain(device-uncertain)"]);
    assert_eq!(plant.engine.programs()[0].bad_inputs, ["x: bad(link)"]);
}

#[test]
fn an_output_left_alone_is_bad_unless_it_is_kept() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.computed("left");
    site.computed("kept");
    site.output("valve", FallbackAction::Value(50.0.into()));
    let source = r#"
fn declare(p) { p.input("x", ""); p.output("left", ""); p.output("kept", ""); p.output("valve", ""); }
fn scan(io) {
    if io.first { io.left = 1; io.kept = 2; io.valve = 3; return; }
    io.keep("kept");
    if io.x > 0.0 { io.keep("valve"); }
}
"#;
    site.program("p", 0, source, "x=x left=left kept=kept valve=valve");
    let mut plant = site.build();
    plant.feed("x", 1.0);
    for _ in 0..2 {
        plant.scan(0, 1_000);
    }
    assert_eq!((plant.quality("left"), plant.value("left")), ("bad(input)".into(), 1.0));
    assert_eq!((plant.quality("kept"), plant.value("kept")), ("good".into(), 2.0));
    assert_eq!((plant.quality("valve"), plant.value("valve")), ("good".into(), 3.0));
    plant.feed("x", -1.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("valve"), plant.value("valve")), ("bad(input)".into(), 50.0));
    // After the fallback it is the program's wish that is kept, not the fallback's value.
    plant.feed("x", 1.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("valve"), plant.value("valve")), ("good".into(), 3.0));
}

#[test]
fn outputs_assigned_before_a_bad_reading_stay() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.computed("before");
    site.computed("after");
    let source = r#"
fn declare(p) { p.input("x", ""); p.output("before", ""); p.output("after", ""); }
fn scan(io) { io.before = 1.0; try { io.after = io.x; } catch { io.after = 0.0; } }
"#;
    site.program("p", 0, source, "x=x before=before after=after");
    let mut plant = site.build();
    plant.bad("x");
    plant.scan(0, 1_000);
    assert_eq!(plant.quality("before"), "good");
    assert_eq!(plant.quality("after"), "bad(input)", "a bad reading is not to be caught");
    assert!(plant.faults().is_empty());
}

#[test]
fn programs_run_in_the_order_of_data_flow_and_time_is_theirs() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    for path in ["a", "b", "c"] {
        site.computed(path);
    }
    let step = r#"fn declare(p) { p.input("i", ""); p.output("o", ""); } fn scan(io) { io.o = io.i * 10.0; }"#;
    // Declared last to first.
    site.program("third", 0, step, "i=b o=c");
    site.program("second", 0, step, "i=a o=b");
    site.program("first", 0, step, "i=x o=a");
    site.computed("dt");
    site.computed("self");
    let clock = r#"
fn declare(p) { p.input("own", ""); p.output("dt_s", ""); p.output("count", ""); }
fn scan(io) { io.dt_s = io.dt; io.count = io.or("own", 0.0) + 1; }
"#;
    site.program("clock", 0, clock, "own=self dt_s=dt count=self");
    let mut plant = site.build();
    plant.feed("x", 1.0);
    plant.scan(0, 10);
    assert_eq!((plant.value("c"), plant.value("dt")), (1_000.0, 1.0), "the first step is the nominal period");
    plant.scan(0, 1_300);
    assert_eq!((plant.value("dt"), plant.value("self")), (1.3, 2.0), "its own output is that of the scan before");
}

#[test]
fn an_endless_loop_faults_its_task_alone_and_a_reset_ends_it() {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.input("go");
    site.input("x");
    site.output("spin", FallbackAction::Value(7.0.into()));
    site.computed("beside");
    site.output("y", FallbackAction::Value(0.0.into()));
    let spin = r#"
fn declare(p) { p.input("go", ""); p.output("o", ""); p.state("n", 0); }
fn scan(io) { io.n += 1; if io.go > 0.0 { loop { } } io.o = io.n; }
"#;
    let beside = r#"fn declare(p) { p.output("o", ""); } fn scan(io) { io.o = 1; }"#;
    site.program("beside", 0, beside, "o=beside");
    site.program("spin", 0, spin, "go=go o=spin");
    site.program("copy", 1, COPY, "x=x y=y");
    let mut plant = site.build();
    plant.feed("go", 0.0);
    plant.feed("x", 1.0);
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert_eq!((plant.value("spin"), plant.quality("beside")), (1.0, "good".into()));
    plant.feed("go", 1.0);
    for _ in 0..3 {
        plant.scan(0, 100);
    }
    assert_eq!((plant.value("spin"), plant.quality("spin")), (7.0, "bad(program-fault)".into()));
    assert_eq!(plant.quality("beside"), "bad(program-fault)", "a fault is the whole task's");
    assert_eq!(plant.value("sys/task/fast/faulted"), 1.0);
    assert_eq!(plant.faults(), [("task fast".to_owned(), true)], "told once");
    let tasks = plant.engine.tasks();
    assert!(tasks[0].fault.as_ref().unwrap().contains("operations"), "{:?}", tasks[0].fault);
    assert!(tasks[0].fault.as_ref().unwrap().contains("line 3"), "{:?}", tasks[0].fault);
    assert_eq!((tasks[0].scans, &tasks[1].fault), (4, &None));
    plant.feed("x", 2.0);
    plant.scan(1, 1_000);
    assert_eq!((plant.value("y"), plant.quality("y")), (2.0, "good".into()));
    // The cause is gone, but only a person ends a fault.
    plant.feed("go", 0.0);
    plant.scan(0, 100);
    assert_eq!(plant.quality("spin"), "bad(program-fault)");
    plant.engine.reset_task(TaskId(0));
    plant.scan(0, 100);
    assert_eq!((plant.value("spin"), plant.quality("spin")), (1.0, "good".into()), "its state is fresh");
    assert_eq!(plant.faults().last(), Some(&("task fast".to_owned(), false)));
    assert_eq!(plant.value("sys/task/fast/faulted"), 0.0);
    let program = &plant.engine.programs()[1];
    assert!(program.fault.is_none() && program.last_error.is_some());
}

#[test]
fn a_defect_of_the_runtime_within_a_scan_is_a_fault_of_the_task_too() {
    let mut plant = copy();
    plant.feed("x", 2.0);
    *plant.out.breaks.lock() = true;
    plant.scan(0, 1_000);
    let fault = plant.engine.tasks()[0].fault.clone().unwrap();
    assert!(fault.contains("the queue broke"), "{fault}");
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("y"), plant.value("y")), ("bad(program-fault)".into(), 7.0));
    assert_eq!(plant.commanded().last(), Some(&Some(Value::Float(7.0))));
    assert_eq!(plant.faults(), [("task normal".to_owned(), true)]);
    plant.feed("x", 3.0);
    plant.engine.reset_task(TaskId(0));
    plant.scan(0, 1_000);
    assert_eq!((plant.quality("y"), plant.value("y")), ("good".into(), 3.0));
}

#[test]
fn a_script_error_of_any_kind_is_a_fault_with_its_place() {
    for (body, part) in [
        ("io.y = ln(-1.0);", "finite"),
        ("io.y = true;", "takes a float"),
        ("let a = [1]; io.y = a[5];", "bounds"),
        ("let z = 0; io.y = 1 / z;", "zero"),
        ("throw \"no\";", "no"),
        ("io.f.run(1.0, 2.0, #{ kp: 1.0, min: 5, max: 1 });", "above"),
        ("io.f.run(1.0, 2.0, #{ kp: 1.0, ti: 0, min: 0, max: 1 });", "`ti`"),
        ("let m = #{ kp: 1.0 }; m.kd = 1; io.f.run(1.0, 2.0, m);", "no setting `kd`"),
    ] {
        let mut site = Site::new(&[("normal", 1_000)]);
        site.output("y", FallbackAction::Value(7.0.into()));
        let source =
            format!("fn declare(p) {{ p.output(\"y\", \"\"); p.block(\"f\", pid()); }}\nfn scan(io) {{\n{body}\n}}");
        site.program("wrong", 0, &source, "y=y");
        let mut plant = site.build();
        plant.scan(0, 1_000);
        let fault = plant.engine.tasks()[0].fault.clone().unwrap_or_else(|| panic!("no fault for {body}"));
        assert!(fault.contains(part) && fault.contains("line 3"), "{body}: {fault}");
        assert_eq!((plant.value("y"), plant.commanded()), (7.0, vec![Some(7.0.into())]));
    }
}

/// A clock that moves by a fixed step with every look.
struct Ticking(AtomicU64, u64);

impl Clock for Ticking {
    fn now(&self) -> Now {
        at(self.0.fetch_add(self.1, Ordering::SeqCst))
    }
}

/// A clock that moves by 10 µs with every look, and by two seconds with the given one.
struct Pausing(AtomicU64, u64);

impl Clock for Pausing {
    fn now(&self) -> Now {
        let look = self.0.fetch_add(1, Ordering::SeqCst);
        let ns = 10_000 * look + if look >= self.1 { 2_000_000_000 } else { 0 };
        Now { mono: Instant(ns), utc: Utc(0) }
    }
}

#[test]
fn a_pause_of_the_machine_is_no_fault_of_a_fast_task() {
    // The pause is charged to the thread that ran: 10 ms of period, and a clock that jumps once, wherever that is.
    let source =
        r#"fn declare(p) { p.output("y", ""); } fn scan(io) { let n = 0; while n < 500 { n += 1; } io.y = n; }"#;
    for time in [None, Some(Duration::from_millis(5))] {
        for look in 1..12 {
            let mut site = Site::new(&[("fast", 10)]);
            site.output("y", FallbackAction::Value(7.0.into()));
            site.program("p", 0, source, "y=y");
            site.programs[0].limits.time = time;
            let mut plant = site.build();
            let clock = Arc::new(Pausing(AtomicU64::new(0), look));
            plant.tasks[0].scan(at(10), ScanTiming { clock: Some(clock.clone()), ..ScanTiming::default() });
            assert!(clock.0.load(Ordering::SeqCst) > 12, "the pause is within the scan");
            let task = &plant.engine.tasks()[0];
            assert_eq!((task.fault.as_deref(), plant.value("y")), (None, 500.0), "at look {look}");
            assert!(task.run_time.max >= Duration::from_secs(2), "it is counted all the same: {:?}", task.run_time);
        }
    }
}

#[test]
fn whoever_is_slow_at_every_look_is_stopped_early() {
    // Four looks, however much time passed at each.
    let source = r#"fn declare(p) { p.output("y", ""); } fn scan(io) { while true {} }"#;
    for step in [13, 60, 1_000] {
        let mut site = Site::new(&[("fast", 10)]);
        site.output("y", FallbackAction::Value(7.0.into()));
        site.program("p", 0, source, "y=y");
        let mut plant = site.build();
        let clock = Arc::new(Ticking(AtomicU64::new(0), step));
        plant.tasks[0].scan(at(10), ScanTiming { clock: Some(clock.clone()), ..ScanTiming::default() });
        let task = &plant.engine.tasks()[0];
        assert!(task.fault.as_ref().is_some_and(|f| f.contains("stopped after 50ms")), "{step}: {:?}", task.fault);
        assert!(clock.0.load(Ordering::SeqCst) <= 8 * step, "{step}: too many looks");
    }
}

#[test]
fn an_overrun_takes_its_own_fallback() {
    // Over the limit only when looked at between many short programs; and inside a long-running script.
    let long = r#"
fn declare(p) { p.output("y", ""); }
fn scan(io) { let n = 0; while n < 5000 { n += 1; } io.y = n; }
"#;
    let short = r#"fn declare(p) { p.output("y", ""); } fn scan(io) { io.y = 1; }"#;
    for (source, others, step, part) in [(short, 80, 15, "ran"), (long, 0, 5, "stopped")] {
        let mut site = Site::new(&[("normal", 100)]);
        let out = site.output("y", FallbackAction::Value(7.0.into()));
        out.fallback.overrun = FallbackAction::Value(3.0.into());
        site.program("p", 0, source, "y=y");
        for i in 0..others {
            let tag = format!("y{i}");
            site.output(&tag, FallbackAction::Hold);
            site.program(&format!("p{i}"), 0, source, &format!("y={tag}"));
        }
        let mut plant = site.build();
        plant.tasks[0].scan(at(100), ScanTiming::default());
        assert!(plant.engine.tasks()[0].fault.is_none(), "without a clock there is no overrun");
        let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicU64::new(0), step));
        let timing = ScanTiming { jitter: Duration::from_millis(2), missed_now: 1, clock: Some(clock) };
        plant.tasks[0].scan(at(200), timing);
        let task = &plant.engine.tasks()[0];
        assert!(task.fault.as_ref().is_some_and(|f| f.contains(part)), "{:?}", task.fault);
        assert_eq!((plant.value("y"), plant.quality("y")), (3.0, "bad(overrun)".into()));
        assert_eq!((task.missed, task.jitter.max), (1, Duration::from_millis(2)));
        assert!(task.run_time.max >= Duration::from_millis(80), "{:?}", task.run_time);
    }
}

#[test]
fn a_task_with_time_to_spare_is_left_alone_by_the_clock() {
    let mut plant = copy();
    plant.feed("x", 1.0);
    let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicU64::new(0), 1));
    plant.tasks[0].scan(at(100), ScanTiming { clock: Some(clock), ..ScanTiming::default() });
    assert!(plant.engine.tasks()[0].fault.is_none());
    assert_eq!(plant.value("y"), 1.0);
}

#[test]
fn the_same_samples_claims_and_times_give_the_same_commands_and_records() {
    let run = || {
        let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
        site.input("pv");
        site.entry("sp", 5.0, (0.0, 10.0));
        let out = site.output("u", FallbackAction::HoldThen(Duration::from_secs(2), 20.0.into()));
        (out.limits, out.rate_per_s) = (Some((0.0, 100.0)), Some(30.0));
        let source = r#"
fn declare(p) { p.input("sp", ""); p.input("pv", ""); p.output("u", ""); p.block("c", pid()); p.block("s", lag()); }
fn scan(io) {
    let pv = io.s.run(io.pv, #{ t: 0.4 });
    io.u = io.c.run(io.sp, pv, #{ kp: 4.0, ti: 3.0, td: 0.2, min: 0, max: 100, track: io.track("u") });
}
"#;
        site.program("loop", 0, source, "sp=sp pv=pv u=u");
        site.alarm("pv", AlarmCondition::Above { limit: 6.0, deadband: 0.5 });
        let mut plant = site.build();
        // A fixed multiplicative generator: the same noise every time.
        let mut noise: u64 = 20_261_122;
        for k in 0_u32..600 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match noise >> 60 {
                0 => plant.bad("pv"),
                _ => plant.feed("pv", 5.0 + (noise >> 40) as f64 / 8e6),
            }
            match k {
                50 => plant.by_hand("u", 66.0),
                90 => plant.release("u"),
                200 => plant.by_hand("sp", 7.5),
                300 => plant.link(LinkState::Down),
                330 => plant.link(LinkState::Up),
                _ => {}
            }
            plant.scan(0, 100);
            if k % 10 == 9 {
                plant.scan(1, 0);
            }
        }
        let commands = std::mem::take(&mut *plant.out.commands.lock());
        let records = std::mem::take(&mut *plant.out.records.lock());
        (commands, records)
    };
    let ((commands, records), (commands2, records2)) = (run(), run());
    assert!(commands.len() > 100 && records.iter().any(|r| matches!(r, Record::Alarm(_))));
    assert_eq!(commands, commands2);
    assert_eq!(records, records2);
}

#[test]
fn one_record_per_scan_holds_what_changed_or_is_due() {
    let mut site = Site::new(&[("normal", 1_000)]);
    let x = site.input("x");
    x.log = LogPolicy { enabled: true, deadband: 0.5, at_least_every: Duration::from_secs(10) };
    let quiet = site.input("quiet");
    quiet.log.enabled = false;
    let mut plant = site.build();
    let mut logged = Vec::new();
    for (k, x) in [1.0, 1.4, 1.6, 1.6, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2].into_iter().enumerate() {
        plant.feed("x", x);
        plant.feed("quiet", x);
        plant.scan(0, 1_000);
        let records = std::mem::take(&mut *plant.out.records.lock());
        let [Record::Scan(scan)] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(scan.scan, k as u64 + 1);
        assert!(scan.samples.iter().all(|s| s.tag == plant.id("x")), "{scan:?}");
        logged.extend(scan.samples.iter().map(|s| (k, s.sample.usable_f64().unwrap())));
    }
    assert_eq!(logged, [(0, 1.0), (2, 1.6), (4, 2.2), (14, 2.2)]);
}

#[test]
fn links_and_tasks_are_tags_too() {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.input("x");
    let mut plant = site.build();
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert_eq!(plant.value("sys/link/plc/up"), 0.0);
    plant.link(LinkState::Up);
    plant.scan(1, 200);
    assert_eq!(plant.value("sys/link/plc/up"), 1.0, "a change of state is told at once");
    plant.scan(1, 1_000);
    assert_eq!(plant.value("sys/link/plc/poll_age_ms"), 1_200.0);
    assert_eq!((plant.value("sys/link/plc/failed"), plant.value("sys/link/plc/round_trip_ms")), (2.0, 3.0));
    assert_eq!(plant.engine.links()[0].state, LinkState::Up);
    assert_eq!(plant.value("sys/task/fast/missed"), 0.0);
    assert_eq!(plant.quality("sys/task/normal/run_us"), "good");
    assert!(plant.out.records.lock().iter().any(|r| matches!(r, Record::Link(l) if l.state == LinkState::Up)));
}

#[test]
fn a_script_is_shared_and_its_programs_are_not() {
    let mut site = Site::new(&[("normal", 1_000)]);
    for path in ["x1", "x2"] {
        site.input(path);
    }
    for path in ["y1", "y2"] {
        site.computed(path);
    }
    let source = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); p.param("k", "", 1.0); p.state("sum", 0.0); }
fn scan(io) { io.sum += io.x * io.k; io.y = io.sum; }
"#;
    let script = Script::compile("sum", source).unwrap();
    for (name, x, y, k) in [("one", "x1", "y1", 1.0), ("two", "x2", "y2", 10.0)] {
        let io = format!("x={x} y={y}");
        let program = site.program(name, 0, source, &io);
        program.script = script.clone();
        program.params = vec![("k".into(), k.into())];
    }
    let mut plant = site.build();
    plant.feed("x1", 1.0);
    plant.feed("x2", 2.0);
    for _ in 0..3 {
        plant.scan(0, 1_000);
    }
    assert_eq!((plant.value("y1"), plant.value("y2")), (3.0, 60.0));
}
