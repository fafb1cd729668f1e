//! The life of a write, the deadband of an output, and what a device's heartbeat is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]
#![allow(clippy::float_cmp, reason = "values pass through unchanged")]

mod common;

use common::{PLC, Plant, Site, at};
use penstock_model::limits::WRITES_KEPT_MAX;
use penstock_model::{
    Command, FallbackAction, LinkState, Outcome, OutcomeState, OutputDef, Priority, Record, SettleDef, Value, Wish,
    WriteLife,
};
use std::time::Duration;

const FOLLOW: &str = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { io.y = io.x; }
"#;

/// One output that a program moves to what is fed, and a measurement `pos` beside it. Scanned every second.
fn plant(change: impl FnOnce(&mut OutputDef)) -> Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.input("pos");
    change(site.output("y", FallbackAction::Value(5.0.into())));
    site.program("p", 0, FOLLOW, "x=x y=y");
    site.build()
}

fn settle(plant: &mut OutputDef, tolerance: f64) {
    // The second tag of the site.
    plant.write.settle = Some(SettleDef { tag: penstock_model::TagId(1), tolerance, within: Duration::from_secs(5) });
}

fn step(plant: &mut Plant, x: f64) {
    plant.feed("x", x);
    plant.scan(0, 1_000);
}

fn last_command(plant: &Plant) -> Command {
    plant.out.commands.lock().last().unwrap().clone()
}

fn tell(plant: &Plant, command: &Command, state: OutcomeState, ms: u64) {
    let outcome = Outcome { id: command.id, tag: command.tag, state, at: at(ms).utc };
    plant.engine.sink().outcome(outcome);
}

fn newest(plant: &Plant) -> WriteLife {
    plant.engine.writes(plant.id("y")).unwrap().last.first().unwrap().clone()
}

fn published(plant: &Plant) -> Vec<&'static str> {
    let mut records = plant.out.records.lock();
    let stages = records.iter().filter_map(|r| if let Record::Write(life) = r { Some(life.stage()) } else { None });
    let stages = stages.collect();
    records.clear();
    stages
}

#[test]
fn every_stage_has_its_time_and_without_a_measurement_equal_is_settled() {
    let mut plant = plant(|_| ());
    step(&mut plant, 40.0);
    let command = last_command(&plant);
    assert_eq!((newest(&plant).stage(), published(&plant)), ("queued", vec!["queued"]));
    for (state, ms, stage) in [
        (OutcomeState::Sent, 1_010, "sent"),
        (OutcomeState::Acknowledged, 1_020, "acknowledged"),
        (OutcomeState::ReadBack, 1_030, "settled"),
    ] {
        tell(&plant, &command, state, ms);
        step(&mut plant, 40.0);
        assert_eq!(newest(&plant).stage(), stage);
    }
    let life = newest(&plant);
    let times =
        [life.requested, life.queued.unwrap(), life.sent.unwrap(), life.acknowledged.unwrap(), life.end.unwrap().1];
    assert_eq!(times, [1_000, 1_000, 1_010, 1_020, 1_030].map(|ms| at(ms).utc));
    assert_eq!((life.wished, life.bound_by, life.first), (Some(40.0.into()), None, true));
    assert_eq!(published(&plant), ["settled"]);
    let view = plant.engine.writes(plant.id("y")).unwrap();
    assert_eq!((view.counts.granted, view.counts.acknowledged, view.counts.settled), (1, 1, 1));
    assert!(view.latency.max >= Duration::from_millis(20) && view.latency.max < Duration::from_millis(24));
    assert!(plant.engine.writes(plant.id("x")).is_none(), "nobody writes an input");
}

#[test]
fn a_write_settles_when_the_measurement_follows_and_fails_when_it_does_not() {
    let mut plant = plant(|o| settle(o, 1.0));
    plant.feed("pos", 10.0);
    step(&mut plant, 40.0);
    tell(&plant, &last_command(&plant), OutcomeState::ReadBack, 1_030);
    step(&mut plant, 40.0);
    assert_eq!(newest(&plant).stage(), "read-back", "the valve has not moved yet");
    plant.feed("pos", 39.5);
    step(&mut plant, 40.0);
    assert_eq!(newest(&plant).stage(), "settled");

    step(&mut plant, 60.0);
    tell(&plant, &last_command(&plant), OutcomeState::ReadBack, plant.ms);
    published(&plant);
    for _ in 0..6 {
        step(&mut plant, 60.0);
    }
    assert_eq!(newest(&plant).stage(), "failed");
    let (end, _) = newest(&plant).end.unwrap();
    assert!(format!("{end:?}").contains("`pos` stands at 39.5"), "{end:?}");
    assert_eq!(published(&plant), ["failed"]);
    assert_eq!(plant.commanded().len(), 2, "a valve that sticks is not commanded again and again");
}

#[test]
fn a_write_without_an_answer_fails_in_time_and_is_tried_again() {
    let mut plant = plant(|o| o.write.answer_within = Duration::from_secs(3));
    step(&mut plant, 40.0);
    tell(&plant, &last_command(&plant), OutcomeState::Sent, 1_010);
    step(&mut plant, 40.0);
    step(&mut plant, 40.0);
    assert_eq!(newest(&plant).stage(), "sent");
    step(&mut plant, 40.0);
    let lives = plant.engine.writes(plant.id("y")).unwrap().last;
    assert_eq!(lives.iter().map(WriteLife::stage).collect::<Vec<_>>(), ["queued", "failed"]);
    assert!(format!("{:?}", lives[1].end).contains("no answer to this write within 3s"));
}

#[test]
fn on_a_lost_link_a_write_fails_by_name_and_settles_when_the_device_is_back() {
    let mut plant = plant(|o| {
        o.write.answer_within = Duration::from_secs(2);
        o.fallback.link = FallbackAction::Value(7.0.into());
    });
    step(&mut plant, 40.0);
    plant.link(LinkState::Down);
    for _ in 0..4 {
        step(&mut plant, 40.0);
    }
    let command = last_command(&plant);
    assert_eq!(command.value, Some(Value::Float(7.0)));
    assert_eq!(plant.commanded().len(), 2, "the driver asserts it again by itself");
    assert!(format!("{:?}", newest(&plant).end).contains("its link is down"));
    for state in [OutcomeState::Sent, OutcomeState::Acknowledged, OutcomeState::ReadBack] {
        tell(&plant, &command, state, plant.ms);
    }
    step(&mut plant, 40.0);
    assert_eq!(newest(&plant).stage(), "settled");
}

#[test]
fn a_newer_write_supersedes_and_only_the_last_ones_are_kept() {
    let mut plant = plant(|_| ());
    for i in 0..30 {
        step(&mut plant, f64::from(i));
    }
    let view = plant.engine.writes(plant.id("y")).unwrap();
    assert_eq!(view.last.len(), WRITES_KEPT_MAX);
    assert_eq!(view.last[0].stage(), "queued");
    assert!(view.last[1..].iter().all(|life| life.stage() == "superseded"));
    assert_eq!((view.counts.granted, view.counts.superseded), (30, 29));
}

#[test]
fn the_steps_of_a_ramp_belong_to_one_wish() {
    let mut plant = plant(|o| o.rate_per_s = Some(10.0));
    step(&mut plant, 0.0);
    for _ in 0..3 {
        step(&mut plant, 30.0);
    }
    let lives = plant.engine.writes(plant.id("y")).unwrap().last;
    let shown: Vec<_> = lives.iter().map(|l| (l.requested, l.first, l.is_whole())).collect();
    let wish = at(2_000).utc;
    assert_eq!(shown, [(wish, false, true), (wish, false, false), (wish, true, false), (at(1_000).utc, true, true)]);
}

#[test]
fn a_small_change_waits_until_it_stands_and_a_person_does_not_wait() {
    let mut plant = plant(|o| {
        o.limits = Some((0.0, 100.0));
        o.write.deadband = 0.5;
        o.write.quiet = Duration::from_secs(3);
    });
    let float = |x: f64| vec![Some(Value::Float(x))];
    step(&mut plant, 40.0);
    assert_eq!(plant.commanded(), float(40.0));
    for x in [40.1, 40.2, 40.3, 40.2, 40.4] {
        step(&mut plant, x);
        assert_eq!((plant.commanded(), plant.value("y")), (vec![], x), "granted, not written");
    }
    step(&mut plant, 40.6);
    assert_eq!(plant.commanded(), float(40.6), "the small steps add up");
    for _ in 0..3 {
        step(&mut plant, 40.7);
        assert_eq!(plant.commanded(), []);
    }
    step(&mut plant, 40.7);
    assert_eq!(plant.commanded(), float(40.7), "the last value is written");
    plant.by_hand("y", 40.8);
    step(&mut plant, 40.7);
    assert_eq!(plant.commanded(), float(40.8), "a person means what they enter");
    plant.claim("y", Wish::Release, Priority::Manual, None).unwrap();
    step(&mut plant, 0.3);
    plant.commanded();
    step(&mut plant, 0.0);
    assert_eq!(plant.commanded(), float(0.0), "off is off");
    let counts = plant.engine.writes(plant.id("y")).unwrap().counts;
    assert_eq!(counts.kept_back, 8);
}

#[test]
fn a_heart_beats_while_the_tasks_of_its_device_scan_and_are_well() {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.input("x");
    site.output("y", FallbackAction::Hold);
    let source = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { if io.x > 90.0 { throw "too much"; } io.y = io.x; }
"#;
    site.program("p", 1, source, "x=x y=y");
    let mut plant = site.build();
    let alive = |plant: &Plant, ms: u64| {
        let liveness = plant.engine.sink().liveness(PLC, at(ms).mono);
        (liveness.scans, liveness.healthy)
    };
    assert_eq!(alive(&plant, 10), (false, true), "before the first scan");
    plant.feed("x", 1.0);
    plant.scan(1, 1_000);
    assert_eq!(alive(&plant, 4_000), (true, true), "the other task commands nothing");
    assert_eq!(alive(&plant, 4_001), (false, true), "three periods without a scan");
    plant.feed("x", 95.0);
    plant.scan(1, 3_500);
    assert_eq!(alive(&plant, 4_600), (true, false), "faulted");
    assert_eq!(plant.engine.silence(at(5_000).mono), [None, Some(Duration::from_millis(500))]);
}
