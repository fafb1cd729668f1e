//! Claims, limits, fallbacks, commands and their outcomes; alarms and entries through the engine.

mod common;

use common::{PLC, Plant, Site, at};
use penstock_engine::{BuildError, Engine};
use penstock_model::*;
use std::sync::Arc;
use std::time::Duration;

const WISH: &str = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { io.y = io.x; }
"#;

/// A program that wishes `x` for the output `y`, adjusted; x is fed with 50.
fn wish(adjust: impl Fn(&mut OutputDef)) -> Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    adjust(site.output("y", FallbackAction::Value(7.0.into())));
    site.program("p", 0, WISH, "x=x y=y");
    let mut plant = site.build();
    plant.feed("x", 50.0);
    plant.scan(0, 1_000);
    plant
}

fn bound(plant: &Plant) -> Option<String> {
    plant.view("y").bound_by.map(|b| b.to_string())
}

#[test]
fn limits_and_rate_bind_and_say_so() {
    let mut plant = wish(|o| {
        o.limits = Some((10.0, 80.0));
        o.rate_per_s = Some(5.0);
    });
    assert_eq!((plant.value("y"), bound(&plant)), (50.0, None));
    plant.feed("x", 200.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), bound(&plant)), (55.0, Some("rate".into())));
    for _ in 0..10 {
        plant.scan(0, 1_000);
    }
    assert_eq!((plant.value("y"), bound(&plant)), (80.0, Some("limit".into())));
    assert_eq!(plant.view("y").wished, Some(200.0.into()));
    plant.feed("x", 0.0);
    plant.scan(0, 2_000);
    assert_eq!(plant.value("y"), 70.0, "the rate counts real time");
}

#[test]
fn commands_go_out_on_change_only() {
    let mut plant = wish(|_| ());
    plant.scan(0, 1_000);
    plant.scan(0, 1_000);
    plant.feed("x", 51.0);
    plant.scan(0, 1_000);
    assert_eq!(plant.commanded(), [Some(50.0.into()), Some(51.0.into())]);
    let view = plant.view("y");
    let command = view.last_command.unwrap();
    assert_eq!((command.id, command.device, &command.origin), (CommandId(2), PLC, &Origin::Program("p".into())));
    assert!(!view.manual);
}

#[test]
fn a_failed_command_is_issued_again_and_then_at_rest() {
    let mut plant = wish(|_| ());
    let fail = |plant: &Plant| {
        let id = plant.view("y").last_command.unwrap().id;
        let state = OutcomeState::Failed("refused".into());
        plant.engine.sink().outcome(Outcome { id, tag: plant.id("y"), state, at: at(plant.ms).utc });
    };
    for expected in [1, 1, 1, 1, 0, 0] {
        assert_eq!(plant.commanded().len(), expected, "at {} ms", plant.ms);
        fail(&plant);
        plant.scan(0, 1_000);
    }
    // Ten seconds after the last news of its failure it is tried once more.
    plant.scan(0, 9_000);
    plant.scan(0, 10_000);
    assert_eq!(plant.commanded().len(), 1);
    let id = plant.view("y").last_command.unwrap().id;
    plant.engine.sink().outcome(Outcome {
        id,
        tag: plant.id("y"),
        state: OutcomeState::ReadBack,
        at: at(plant.ms).utc,
    });
    plant.scan(0, 30_000);
    assert_eq!(plant.commanded().len(), 0);
    assert_eq!(plant.view("y").last_outcome.unwrap().state, OutcomeState::ReadBack);
    *plant.out.full.lock() = true;
    plant.feed("x", 1.0);
    plant.scan(0, 1_000);
    assert!(
        matches!(plant.view("y").last_outcome.unwrap().state, OutcomeState::Failed(_)),
        "a full queue is a failure"
    );
    *plant.out.full.lock() = false;
    plant.scan(0, 1_000);
    assert_eq!(plant.commanded(), [Some(1.0.into())]);
}

#[test]
fn the_stronger_claim_decides_and_a_lease_ends_by_itself() {
    let mut plant = wish(|_| ());
    plant.claim("y", Wish::Value(20.0.into()), Priority::Optimiser, Some(2_500)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(plant.value("y"), 20.0);
    assert_eq!(plant.view("y").holder.unwrap().1, Priority::Optimiser);
    plant.by_hand("y", 30.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.view("y").manual), (30.0, true));
    plant.release("y");
    plant.scan(0, 400);
    assert_eq!(plant.value("y"), 20.0, "the optimiser's lease still runs");
    plant.scan(0, 1_100);
    assert_eq!(plant.value("y"), 50.0, "and ends");
    assert!(!plant.view("y").manual);
}

#[test]
fn any_person_may_take_over_and_let_go() {
    let mut plant = wish(|_| ());
    plant.by_hand("y", 30.0);
    let other = |wish| Claim {
        tag: plant.id("y"),
        wish,
        origin: Origin::User("wang".into()),
        priority: Priority::Manual,
        lease: None,
    };
    let (take, release) = (other(Wish::Value(40.0.into())), other(Wish::Release));
    plant.engine.claim(take).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.view("y").holder.unwrap().0), (40.0, Origin::User("wang".into())));
    plant.engine.claim(release).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(plant.value("y"), 50.0, "nobody's older wish comes back");
}

#[test]
fn a_band_binds_what_is_weaker_and_names_its_author() {
    let mut plant = wish(|_| ());
    plant.claim("y", Wish::Band(0.0, 25.0), Priority::Grid, None).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), bound(&plant)), (25.0, Some("user li".into())));
    plant.by_hand("y", 60.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), bound(&plant)), (60.0, None), "a person is stronger than the grid");
    plant.claim("y", Wish::Band(0.0, 10.0), Priority::Interlock, None).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(plant.value("y"), 10.0, "an interlock binds a person");
}

#[test]
fn a_switch_keeps_its_minimum_times_but_not_against_an_interlock() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    let out = site.output("run", FallbackAction::Value(false.into()));
    (out.min_on, out.min_off) = (Duration::from_secs(10), Duration::from_secs(5));
    site.tags.last_mut().unwrap().value_type = ValueType::Bool;
    let source = r#"
fn declare(p) { p.input("x", ""); p.output_bool("run"); }
fn scan(io) { io.run = io.x > 0.0; }
"#;
    site.program("p", 0, source, "x=x run=run");
    let mut plant = site.build();
    let step = |plant: &mut Plant, x: f64, s: u64| {
        plant.feed("x", x);
        plant.scan(0, s * 1_000);
        (plant.value("run") > 0.0, plant.view("run").bound_by.map(|b| b.to_string()))
    };
    assert_eq!(step(&mut plant, 0.0, 1), (false, None));
    assert_eq!(step(&mut plant, 1.0, 1), (true, None), "how long it was off before the start is not ours to say");
    assert_eq!(step(&mut plant, 0.0, 9), (true, Some("min on time".into())));
    assert_eq!(step(&mut plant, 0.0, 1), (false, None));
    assert_eq!(step(&mut plant, 1.0, 4), (false, Some("min off time".into())));
    assert_eq!(step(&mut plant, 1.0, 1), (true, None));
    plant.claim("run", Wish::Value(false.into()), Priority::Interlock, None).unwrap();
    assert_eq!(step(&mut plant, 1.0, 1), (false, None));
}

#[test]
fn each_cause_has_its_own_fallback() {
    let mut plant = wish(|o| {
        o.rate_per_s = Some(10.0);
        o.fallback = Fallback {
            crash: FallbackAction::Hold,
            bad_input: FallbackAction::HoldThen(Duration::from_secs(3), 40.0.into()),
            fault: FallbackAction::Value(1.0.into()),
            overrun: FallbackAction::Value(2.0.into()),
            link: FallbackAction::Hold,
            shutdown: FallbackAction::Release,
        };
    });
    plant.bad("x");
    for (s, expected) in [(1, 50.0), (2, 50.0), (3, 50.0), (4, 40.0)] {
        plant.scan(0, 1_000);
        assert_eq!(plant.value("y"), expected, "{s} s after the input went bad");
        assert_eq!(plant.quality("y"), "bad(input)");
        assert_eq!(plant.view("y").fallback, Some(FallbackCause::BadInput));
    }
    plant.feed("x", 45.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.quality("y"), plant.view("y").fallback), (45.0, "good".into(), None));
    // The link is lost: hold, whatever the program wishes; a person's hand stays.
    plant.link(LinkState::Down);
    plant.feed("x", 48.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.quality("y")), (45.0, "bad(link)".into()));
    plant.by_hand("y", 47.0);
    plant.scan(0, 1_000);
    assert_eq!(plant.value("y"), 47.0);
    plant.release("y");
    plant.link(LinkState::Up);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.quality("y")), (48.0, "good".into()));
    plant.commanded();
    plant.tasks[0].shutdown(at(plant.ms));
    assert_eq!(plant.commanded(), [None], "handed back to the device");
    assert_eq!((plant.quality("y"), plant.view("y").granted), ("bad(shutdown)".into(), None));
}

#[test]
fn shutdown_goes_all_the_way_in_its_one_scan() {
    let mut plant = wish(|o| {
        o.rate_per_s = Some(1.0);
        o.limits = Some((10.0, 90.0));
    });
    plant.by_hand("y", 55.0);
    plant.scan(0, 1_000);
    plant.commanded();
    plant.tasks[0].shutdown(at(plant.ms));
    assert_eq!(plant.commanded(), [Some(10.0.into())], "not slowed by the rate, but within the limits");
}

#[test]
fn taking_and_leaving_the_hand_is_bumpless_for_a_controller_that_tracks() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("pv");
    site.output("u", FallbackAction::Value(30.0.into())).limits = Some((0.0, 100.0));
    site.computed("manual");
    let source = r#"
fn declare(p) { p.input("pv", ""); p.output("u", ""); p.output("m", ""); p.block("c", pid()); }
fn scan(io) {
    io.m = if io.manual("u") { 1 } else { 0 };
    io.u = io.c.run(10.0, io.pv, #{ kp: 2.0, ti: 50.0, min: 0, max: 100, track: io.track("u") });
}
"#;
    site.program("p", 0, source, "pv=pv u=u m=manual");
    let mut plant = site.build();
    // The largest step the controller takes by itself here: kp·e·dt/ti.
    let step = 2.0 * 4.0 / 50.0 + 1e-9;
    for _ in 0..20 {
        plant.feed("pv", 6.0);
        plant.scan(0, 1_000);
    }
    let before = plant.value("u");
    plant.by_hand("u", 80.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("u"), plant.value("manual")), (80.0, 1.0), "a person is obeyed at once, from {before}");
    for _ in 0..100 {
        plant.scan(0, 1_000);
    }
    plant.release("u");
    for _ in 0..5 {
        let last = plant.value("u");
        plant.scan(0, 1_000);
        assert!((plant.value("u") - last).abs() <= step, "bump from {last} to {}", plant.value("u"));
    }
    // A fault of the task and its reset: from the fallback's value, not from the controller's own idea.
    plant.bad("pv");
    plant.scan(0, 1_000);
    assert_eq!(plant.value("u"), 30.0);
    plant.engine.reset_task(TaskId(0));
    plant.feed("pv", 6.0);
    plant.scan(0, 1_000);
    assert!((plant.value("u") - 30.0).abs() <= step, "bump to {}", plant.value("u"));
}

#[test]
fn a_hand_on_the_output_before_the_first_scan_is_seen_by_the_program() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.output("u", FallbackAction::Hold);
    let source = r#"
fn declare(p) { p.output("u", ""); p.state("last", 0.0); p.block("c", pid()); }
fn scan(io) {
    if io.manual("u") { io.last = io.granted("u"); }
    io.c.reset(io.granted("u"));
    io.u = io.last;
}
"#;
    site.program("p", 0, source, "u=u");
    let mut plant = site.build();
    plant.by_hand("u", 42.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.value("u"), plant.faults().len()), (42.0, 0));
    plant.release("u");
    plant.scan(0, 1_000);
    assert_eq!(plant.value("u"), 42.0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever is wished by whomever, what is granted lies within the limits and moves no faster than the rate.
    #[test]
    fn nothing_passes_the_limits_or_the_rate(
        steps in proptest::collection::vec((0_u8..8, -200.0..200.0_f64, 1_u64..3_000), 1..60),
    ) {
        let mut plant = wish(|o| {
            o.limits = Some((0.0, 100.0));
            o.rate_per_s = Some(5.0);
        });
        let mut last = plant.value("y");
        for (kind, x, ms) in steps {
            match kind {
                0 => plant.bad("x"),
                1 => plant.link(LinkState::Down),
                2 => plant.link(LinkState::Up),
                3 => plant.by_hand("y", x.clamp(0.0, 100.0)),
                4 => plant.release("y"),
                5 => plant.claim("y", Wish::Band(x, x + 10.0), Priority::Grid, Some(ms)).unwrap(),
                _ => plant.feed("x", x),
            }
            plant.scan(0, ms);
            let y = plant.value("y");
            proptest::prop_assert!((0.0..=100.0).contains(&y), "granted {y}");
            let step = 5.0 * std::time::Duration::from_millis(ms).as_secs_f64();
            proptest::prop_assert!((y - last).abs() <= step + 1e-9, "from {last} to {y} in {ms} ms");
            last = y;
        }
    }
}

#[test]
fn handles_may_go_to_any_thread() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Engine>();
    sent::<penstock_engine::TaskCore>();
}

#[test]
fn a_claim_that_does_not_fit_is_refused_before_it_waits() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.output("y", FallbackAction::Hold).limits = Some((0.0, 100.0));
    site.output("run", FallbackAction::Hold);
    site.tags.last_mut().unwrap().value_type = ValueType::Bool;
    site.entry("sp", 2.0, (0.5, 8.0));
    let mut plant = site.build();
    let manual = |path: &str, value: Value| plant.claim(path, Wish::Value(value), Priority::Manual, None);
    assert_eq!(manual("x", 1.0.into()), Err(ClaimError::ReadOnly("x".into())));
    assert_eq!(manual("y", f64::NAN.into()), Err(ClaimError::NotFinite("y".into())));
    assert!(matches!(manual("y", 100.1.into()), Err(ClaimError::OutOfRange { .. })));
    assert!(matches!(manual("y", "full".into()), Err(ClaimError::WrongType { .. })));
    assert!(matches!(manual("run", 2.0.into()), Err(ClaimError::WrongType { .. })));
    assert!(matches!(manual("sp", 9.0.into()), Err(ClaimError::OutOfRange { .. })));
    assert!(matches!(
        plant.claim("run", Wish::Band(0.0, 1.0), Priority::Grid, None),
        Err(ClaimError::WrongType { .. })
    ));
    assert!(matches!(plant.claim("y", Wish::Band(5.0, 1.0), Priority::Grid, None), Err(ClaimError::OutOfRange { .. })));
    assert_eq!(manual("y", 40_i64.into()), Ok(()), "a whole number is a number");
    assert_eq!(manual("run", 1_i64.into()), Ok(()));
    for _ in 2..limits::CLAIMS_WAITING_MAX {
        manual("y", 1.0.into()).unwrap();
    }
    assert_eq!(manual("y", 1.0.into()), Err(ClaimError::Busy("y".into())));
    plant.scan(0, 1_000);
    assert_eq!((plant.value("y"), plant.value("run")), (1.0, 1.0));
    let unknown = Claim {
        tag: TagId(9_999),
        wish: Wish::Release,
        origin: Origin::User("li".into()),
        priority: Priority::Manual,
        lease: None,
    };
    assert!(matches!(plant.engine.claim(unknown), Err(ClaimError::ReadOnly(_))));
}

#[test]
fn an_entry_keeps_its_value_and_its_time_and_is_written_to_its_device() {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.entry("plain", 2.0, (0.5, 8.0));
    let mirrored = site.entry("mirrored", 55.0, (45.0, 70.0));
    mirrored.output = Some(Box::new(OutputDef {
        device: Some(PLC),
        limits: Some((45.0, 70.0)),
        rate_per_s: None,
        min_on: Duration::ZERO,
        min_off: Duration::ZERO,
        fallback: Fallback::always(FallbackAction::Hold),
        write: penstock_model::WritePolicy::default(),
    }));
    site.entry("restored", 1.0, (0.0, 3.0));
    site.entry("outgrown", 1.0, (0.0, 3.0));
    let (restored, outgrown) = (site.id("restored"), site.id("outgrown"));
    site.entries = vec![(restored, 2.5.into(), "wang".into()), (outgrown, 99.0.into(), "wang".into())];
    let mut plant = site.build();
    plant.scan(1, 1_000);
    assert_eq!(["plain", "mirrored", "restored", "outgrown"].map(|p| plant.value(p)), [2.0, 55.0, 2.5, 1.0]);
    assert_eq!(plant.view("restored").holder.unwrap().0, Origin::User("wang".into()));
    assert_eq!(plant.commanded(), [Some(55.0.into())]);
    plant.by_hand("mirrored", 60.0);
    plant.scan(1, 1_000);
    plant.scan(1, 5_000);
    assert_eq!(plant.commanded(), [Some(60.0.into())]);
    let sample = plant.sample("mirrored");
    assert_eq!((sample.value, sample.quality, sample.source_time), (Some(60.0.into()), Quality::Good, at(2_000).utc));
    assert!(!plant.view("mirrored").manual, "an entry is nobody's hold");
    plant.release("mirrored");
    plant.scan(1, 1_000);
    assert_eq!(plant.value("mirrored"), 60.0);
}

#[test]
fn alarms_are_raised_by_the_scan_acknowledged_by_a_person_and_restored() {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.input("x");
    site.alarm("x", AlarmCondition::Above { limit: 5.0, deadband: 1.0 });
    let mut plant = site.build();
    plant.feed("x", 6.0);
    plant.scan(1, 1_000);
    let alarm = AlarmId(0);
    assert_eq!(plant.engine.alarms()[0].state, AlarmState::ActiveUnacknowledged);
    assert!(plant.engine.acknowledge(alarm, "li", at(plant.ms)));
    assert!(!plant.engine.acknowledge(alarm, "li", at(plant.ms)));
    assert!(!plant.engine.acknowledge(AlarmId(9), "li", at(plant.ms)));
    plant.feed("x", 3.0);
    plant.scan(1, 1_000);
    let states: Vec<_> = plant
        .out
        .records
        .lock()
        .iter()
        .filter_map(|r| match r {
            Record::Alarm(e) => Some((e.state, e.by.as_deref().map(str::to_owned))),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [
            (AlarmState::ActiveUnacknowledged, None),
            (AlarmState::ActiveAcknowledged, Some("li".into())),
            (AlarmState::Normal, None),
        ]
    );
    let stood = AlarmView { state: AlarmState::ReturnedUnacknowledged, ..plant.engine.alarms().remove(0) };
    plant.engine.restore_alarm(stood.clone());
    assert_eq!(plant.engine.alarms(), [stood]);
}

#[test]
fn a_contradicting_configuration_is_refused_by_name() {
    let step = r#"fn declare(p) { p.input("i", ""); p.output("o", ""); p.param("k", "", 1.0, 0.0, 2.0); } fn scan(io) { io.o = io.i; }"#;
    let base = |wire: &[(&str, &str)]| {
        let mut site = Site::new(&[("normal", 1_000)]);
        site.input("x");
        for path in ["a", "b"] {
            site.computed(path);
        }
        for (name, io) in wire {
            site.program(name, 0, step, io);
        }
        site
    };
    let refused = |site: Site| {
        let out = Arc::new(common::Recorder::default());
        Engine::build(site.config(), out.clone(), out, at(0)).map(|_| ()).unwrap_err()
    };
    let circle = refused(base(&[("p", "i=a o=b"), ("q", "i=b o=a")]));
    assert_eq!(circle, BuildError::Circle { task: "normal".into(), names: vec!["q".into(), "p".into(), "q".into()] });
    assert!(matches!(refused(base(&[("p", "i=x o=a"), ("q", "i=x o=a")])), BuildError::TwoWriters { .. }));
    assert!(matches!(refused(base(&[("p", "i=x o=x")])), BuildError::TwoWriters { .. }));
    assert!(matches!(refused(base(&[("p", "i=x")])), BuildError::Missing { what: "output", .. }));
    let mut site = base(&[("p", "i=x o=a")]);
    site.programs[0].params = vec![("kk".into(), 1.0.into())];
    assert!(matches!(refused(site), BuildError::UnknownName { help: Some(_), .. }));
    let mut site = base(&[("p", "i=x o=a")]);
    site.programs[0].params = vec![("k".into(), 3.0.into())];
    assert!(matches!(refused(site), BuildError::Param { .. }));
    let mut site = base(&[("p", "i=x o=a")]);
    site.tags[0].value_type = ValueType::Bool;
    assert!(matches!(refused(site), BuildError::PortType { .. }));
    let mut site = base(&[]);
    site.tasks[0].period = Duration::from_millis(1);
    assert!(matches!(refused(site), BuildError::Period { .. }));
    let mut site = base(&[]);
    site.entry("sp", 9.0, (0.0, 1.0));
    assert!(matches!(refused(site), BuildError::Tag { .. }));
}
