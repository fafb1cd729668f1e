//! State of tasks: handed out while they run, taken up before the first scan of another run.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{Plant, Site};
use penstock_engine::{Take, TaskState};
use penstock_model::{FallbackAction, TagId, TaskId, Value};
use std::time::Duration;

const LOOP: &str = r#"
fn declare(p) {
    p.input("x", "");
    p.output("y", "");
    p.output_bool("on");
    p.block("pi", pid());
    p.block("hours", run_hours());
    p.state("n", 0);
}
fn scan(io) {
    io.n += 1;
    if io.first { io.pi.reset(io.granted("y")); }
    io.hours.run(true);
    io.y = io.pi.run(50.0, io.x, #{ kp: 0.5, ti: 20, min: 0, max: 100 });
    io.on = io.x < 60.0;
}
"#;

fn plant() -> Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.output("y", FallbackAction::Hold).rate_per_s = Some(2.0);
    let on = site.output("on", FallbackAction::Value(Value::Bool(false)));
    on.min_off = Duration::from_secs(600);
    site.tags[2].value_type = penstock_model::ValueType::Bool;
    site.program("loop", 0, LOOP, "x=x y=y on=on");
    site.build()
}

fn ask(plant: &mut Plant) -> TaskState {
    plant.engine.ask_for_state();
    assert!(plant.engine.take_state(TaskId(0)).is_none(), "only a scan makes it");
    plant.scan(0, 1_000);
    *plant.engine.take_state(TaskId(0)).unwrap()
}

#[test]
fn a_task_hands_out_its_state_once_for_each_time_it_is_asked() {
    let mut plant = plant();
    plant.feed("x", 20.0);
    for _ in 0..20 {
        plant.scan(0, 1_000);
    }
    let state = ask(&mut plant);
    assert!(!state.faulted && state.outputs.len() == 2);
    assert_eq!(state.programs[0].state.states, [("n".to_owned(), Value::Int(21))]);
    assert_eq!(state, plant.tasks[0].save(common::at(plant.ms)));
    plant.scan(0, 1_000);
    assert!(plant.engine.take_state(TaskId(0)).is_none());
    // Nobody takes it: the next one is not made, and the scans go on.
    plant.engine.ask_for_state();
    plant.scan(0, 1_000);
    plant.engine.ask_for_state();
    plant.scan(0, 1_000);
    let kept = plant.engine.take_state(TaskId(0)).unwrap();
    assert_eq!(kept.programs[0].state.states[0].1, Value::Int(23));
}

#[test]
fn a_large_task_is_saved_over_several_scans() {
    let source = "fn declare(p) { p.block(\"s\", smith()); p.state(\"n\", 0); } fn scan(io) { io.n += 1; \
                  io.s.run(1.0, 2.0, #{ gain: 1, t: 5, dead_time: 100, dead_time_max: 2000 }); }";
    let mut site = Site::new(&[("normal", 1_000)]);
    for n in 0..12 {
        site.program(&format!("p{n}"), 0, source, "");
    }
    let mut plant = site.build();
    for _ in 0..700 {
        plant.scan(0, 5_000);
    }
    plant.engine.ask_for_state();
    let mut scans = 0;
    let state = loop {
        plant.scan(0, 1_000);
        scans += 1;
        if let Some(state) = plant.engine.take_state(TaskId(0)) {
            break state;
        }
        assert!(scans < 20);
    };
    assert_eq!(scans, 4, "three delay lines of some 800 numbers each scan");
    assert_eq!(state.programs.len(), 12);
    assert!(state.programs.iter().all(|p| p.state.values() > 500));
}

#[test]
fn a_restart_goes_on_without_a_bump_and_minimum_times_with_it() {
    let mut before = plant();
    before.feed("x", 20.0);
    for _ in 0..30 {
        before.scan(0, 1_000);
    }
    before.feed("x", 70.0);
    before.scan(0, 1_000);
    let state = before.tasks[0].save(common::at(before.ms));
    let (y, hours) = (before.value("y"), state.programs[0].state.blocks[1].clone());

    let mut after = plant();
    assert_eq!(after.tasks[0].restore(&state, Take::All, Duration::from_secs(60)), []);
    assert_eq!(after.tasks[0].save(common::at(0)).programs[0].state.blocks[1], hours);
    after.feed("x", 70.0);
    after.scan(0, 1_000);
    assert!((after.value("y") - y).abs() <= 2.0 + 1e-9, "{} after {y}", after.value("y"));
    assert_eq!(after.commanded().len(), 2, "both outputs are commanded anew");
    // Off for 1 min before this run, and for 9 min of it.
    after.feed("x", 20.0);
    for s in 2..=540 {
        after.scan(0, 1_000);
        assert_eq!(after.sample("on").value, Some(Value::Bool(s >= 540)), "{s}");
    }
}

#[test]
fn of_a_faulted_task_and_of_an_old_state_totals_alone_come_back() {
    let mut before = plant();
    before.feed("x", 20.0);
    for _ in 0..30 {
        before.scan(0, 1_000);
    }
    let mut state = before.tasks[0].save(common::at(before.ms));
    let totals = |take: Take, state: &TaskState| {
        let mut after = plant();
        assert_eq!(after.tasks[0].restore(state, take, Duration::ZERO), []);
        let now = after.tasks[0].save(common::at(0));
        assert_eq!(now.programs[0].state.blocks[1], state.programs[0].state.blocks[1]);
        assert_eq!(now.programs[0].state.states[0].1, Value::Int(0));
        assert!(now.programs[0].state.first && now.outputs.is_empty());
    };
    totals(Take::Totals, &state);
    state.faulted = true;
    totals(Take::All, &state);
}

#[test]
fn a_script_of_another_name_goes_on_by_name_and_type_and_tells_what_is_lost() {
    let mut before = plant();
    before.feed("x", 20.0);
    for _ in 0..5 {
        before.scan(0, 1_000);
    }
    let mut state = before.tasks[0].save(common::at(before.ms));
    state.programs[0].script = "before.rhai".into();
    state.programs[0].state.states.push(("gone".into(), Value::Int(1)));
    let mut after = plant();
    let fresh = after.tasks[0].restore(&state, Take::All, Duration::ZERO);
    assert_eq!(fresh.iter().map(|(_, f)| (f.name.as_str(), f.lost)).collect::<Vec<_>>(), [("gone", true)]);
    let now = after.tasks[0].save(common::at(0));
    assert_eq!(now.programs[0].state.blocks, state.programs[0].state.blocks);
    assert_eq!(now.programs[0].state.states[0].1, Value::Int(5));
}

#[test]
fn outputs_of_another_site_change_nothing() {
    let mut state = plant().tasks[0].save(common::at(0));
    let mut donor = plant();
    donor.feed("x", 20.0);
    donor.scan(0, 1_000);
    let saved = donor.tasks[0].save(common::at(1_000));
    state.programs = saved.programs.clone();
    state.programs[0].name = "other".into();
    state.outputs = saved.outputs.clone();
    state.outputs[0].tag = TagId(900);
    state.outputs[1].granted = Value::Int(7);
    let mut after = plant();
    let fresh = after.tasks[0].restore(&state, Take::All, Duration::ZERO);
    assert_eq!(fresh, []);
    let now = after.tasks[0].save(common::at(0));
    assert!(now.outputs.is_empty() && now.programs[0].state.first);
}
