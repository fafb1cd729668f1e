//! Changing programs, outputs and alarms of a running engine.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{Plant, Site, at};
use penstock_engine::{ChangeError, EngineConfig, Script};
use penstock_model::*;
use std::sync::Arc;

const LOOP: &str = r#"
fn declare(p) {
    p.input("x", "");
    p.output("y", "");
    p.param("sp", "", 50.0);
    p.block("pi", pid());
    p.block("hours", totaliser());
    p.state("n", 0);
}
fn scan(io) {
    io.n += 1;
    if io.first { io.pi.reset(io.granted("y")); }
    io.hours.run(3600.0);
    io.y = io.pi.run(io.sp, io.x, #{ kp: 0.5, ti: 20, min: 0, max: 100 });
}
"#;

/// Another program of the same name: a new block, a state of another type, a bang-bang output.
fn other() -> String {
    LOOP.replace("p.block(\"pi\", pid());", "p.block(\"soft\", lag()); p.block(\"pi\", pid());")
        .replace("io.y = io.pi.run(", "let z = io.soft.run(1.0, #{ t: 3 }); io.y = 90.0 * z + 0.0 * io.pi.run(")
}

fn site() -> Site {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    site.input("x");
    for n in 0..40 {
        let output = site.output(&format!("y{n}"), FallbackAction::Hold);
        output.rate_per_s = Some(2.0);
        output.limits = Some((0.0, 100.0));
        site.program(&format!("p{n}"), 0, LOOP, &format!("x=x y=y{n}"));
    }
    site.alarm("x", AlarmCondition::Above { limit: 80.0, deadband: 0.0 });
    site
}

fn change(plant: &Plant, edit: impl FnOnce(&mut EngineConfig)) -> Result<(), ChangeError> {
    let mut config = plant.engine.config();
    edit(&mut config);
    let change = plant.engine.prepare(config, at(plant.ms))?;
    assert!(plant.engine.apply(change).is_ok(), "the last change is not taken");
    Ok(())
}

fn edit_tag(config: &mut EngineConfig, path: &str, edit: impl FnOnce(&mut TagDef)) {
    let mut tags: Vec<TagDef> = config.tags.iter().cloned().collect();
    edit(tags.iter_mut().find(|t| &*t.path == path).unwrap());
    config.tags = Arc::new(TagTable::new(tags).unwrap());
}

fn state(plant: &mut Plant, program: usize, name: &str) -> Value {
    let saved = plant.tasks[0].save(at(plant.ms));
    saved.programs[program].state.states.iter().find(|(n, _)| n == name).unwrap().1.clone()
}

#[test]
fn a_hundred_changes_lose_no_scan_and_move_no_output_faster_than_its_rate() {
    let mut plant = site().build();
    plant.feed("x", 20.0);
    let scripts = [LOOP.to_owned(), other()].map(|source| Script::compile("p", &source).unwrap());
    let mut last: Vec<f64> = Vec::new();
    let mut scans = 0_i64;
    for round in 0..100_usize {
        let (script, low) = (scripts[round % 2].clone(), f64::from(u32::try_from(round % 3).unwrap()) * 10.0);
        let edit = |config: &mut EngineConfig| {
            for program in config.programs.iter_mut().filter(|p| round % 4 != 3 || &*p.name == "p7") {
                program.script = script.clone();
                program.params = vec![("sp".into(), Value::Float(30.0 + f64::from(u32::try_from(round).unwrap())))];
            }
            edit_tag(config, "y3", |t| t.output.as_mut().unwrap().limits = Some((low, 100.0 - low)));
        };
        change(&plant, edit).unwrap();
        for step in 0..10 {
            plant.feed("x", 20.0 + f64::from(step));
            plant.scan(0, 100);
            scans += 1;
            let now: Vec<f64> = (0..40).map(|n| plant.value(&format!("y{n}"))).collect();
            for (n, (before, now)) in last.iter().zip(&now).enumerate() {
                assert!((now - before).abs() <= 0.2 + 1e-9, "round {round}, y{n}: {before} to {now}");
            }
            last = now;
        }
        assert!(!plant.engine.change_is_taken(), "the second task has not scanned yet");
        plant.scan(1, 0);
        assert!(plant.engine.change_is_taken());
    }
    let records = plant.out.records.lock();
    let scanned = records.iter().filter(|r| matches!(r, Record::Scan(s) if s.task == TaskId(0))).count();
    assert_eq!((scanned, records.iter().filter(|r| matches!(r, Record::Fault(_))).count()), (1_000, 0));
    drop(records);
    assert_eq!(state(&mut plant, 0, "n"), Value::Int(scans), "every scan was counted by every program");
    let saved = plant.tasks[0].save(at(plant.ms));
    let total = &saved.programs[7].state.blocks.iter().find(|b| b.name == "hours").unwrap().memory[0].1;
    let penstock_engine::Field::Number(total) = total else { panic!("{total:?}") };
    assert!((total - 100.0).abs() < 1e-6, "100 s at 3600 per hour: {total}");
}

#[test]
fn limits_programs_and_alarms_are_the_new_ones_and_what_people_hold_stays() {
    let mut plant = site().build();
    plant.feed("x", 20.0);
    plant.by_hand("y1", 60.0);
    for _ in 0..600 {
        plant.scan(0, 100);
    }
    assert_eq!(plant.value("y1"), 60.0);
    change(&plant, |config| {
        edit_tag(config, "y1", |t| t.output.as_mut().unwrap().limits = Some((0.0, 55.0)));
        config.alarms[0].condition = AlarmCondition::Above { limit: 10.0, deadband: 0.0 };
        // One program goes, another comes and takes its output.
        config.programs.retain(|p| &*p.name != "p2");
        let mut new = config.programs[0].clone();
        (new.name, new.outputs) = ("new".into(), vec![("y".into(), TagId(3))]);
        config.programs.push(new);
    })
    .unwrap();
    assert!(plant.claim("y1", Wish::Value(60.0.into()), Priority::Manual, None).is_err(), "beyond the new limit");
    let before = plant.value("y2");
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert!(plant.view("y1").manual && (plant.value("y1") - 59.8).abs() < 1e-9, "on its way at its rate");
    assert!((plant.value("y2") - before).abs() <= 0.2 + 1e-9);
    assert_eq!(plant.view("y2").holder.unwrap().0, Origin::Program("new".into()));
    assert_eq!(plant.engine.alarms()[0].state, AlarmState::ActiveUnacknowledged);
    let names: Vec<_> = plant.engine.programs().iter().map(|p| p.name.to_string()).collect();
    assert!(names.contains(&"new".to_owned()) && !names.contains(&"p2".to_owned()));
}

#[test]
fn what_cannot_change_while_it_runs_is_refused_whole_with_every_reason() {
    let plant = site().build();
    let error = change(&plant, |config| {
        edit_tag(config, "y1", |t| t.unit = Unit::parse("%").unwrap());
        config.programs[5].task = TaskId(1);
        config.alarms.clear();
        config.programs[0].params = vec![("sp".into(), Value::Float(1.0))];
    })
    .unwrap_err();
    let ChangeError::Restart(reasons) = error else { panic!("{error}") };
    let all = reasons.join("\n");
    for part in ["tag `y1`", "program `p5`", "output `y5` would move from task fast to task normal", "alarms"] {
        assert!(all.contains(part), "{all}");
    }
    assert!(plant.engine.config().programs[0].params.is_empty(), "nothing of it was taken");
    let error = change(&plant, |config| config.programs[0].outputs.clear()).unwrap_err();
    assert!(matches!(error, ChangeError::Build(_)), "{error}");
}

#[test]
fn a_change_is_not_made_on_top_of_one_that_is_not_taken() {
    let mut plant = site().build();
    let prepare = |plant: &Plant| plant.engine.prepare(plant.engine.config(), at(plant.ms)).unwrap();
    let (one, stale) = (prepare(&plant), prepare(&plant));
    assert!(plant.engine.apply(one).is_ok());
    assert!(plant.engine.apply(prepare(&plant)).is_err(), "the first one waits");
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert!(plant.engine.apply(stale).is_err(), "prepared against what does not run any more");
    assert!(plant.engine.apply(prepare(&plant)).is_ok());
}

#[test]
fn a_fault_stays_over_a_change_unless_the_change_ends_it() {
    let mut plant = site().build();
    plant.feed("x", 20.0);
    for _ in 0..20 {
        plant.scan(0, 100);
    }
    let good = plant.engine.config();
    let broken = Script::compile("broken", &LOOP.replace("io.n += 1;", "io.n += 1; let z = io.n / 0;")).unwrap();
    change(&plant, |config| config.programs[0].script = broken).unwrap();
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert!(plant.engine.tasks()[0].fault.is_some());
    let mut back = plant.engine.prepare(good, at(plant.ms)).unwrap();
    back.end_fault(TaskId(0));
    let before = plant.value("y0");
    assert!(plant.engine.apply(back).is_ok());
    plant.scan(0, 100);
    assert_eq!(plant.engine.tasks()[0].fault, None);
    assert!((plant.value("y0") - before).abs() <= 0.2 + 1e-9 && plant.quality("y0") == "good");
    assert_eq!(plant.faults(), [("task fast".to_owned(), true), ("task fast".to_owned(), false)]);
}

#[test]
fn a_slow_task_that_has_not_taken_a_change_never_does_when_it_is_gone_back_from() {
    let mut site = site();
    site.output("ys", FallbackAction::Hold);
    site.program("slow", 1, LOOP, "x=x y=ys");
    let mut plant = site.build();
    plant.engine.record_scans();
    plant.feed("x", 20.0);
    for _ in 0..20 {
        plant.scan(0, 100);
    }
    plant.scan(1, 0);
    let broken = Script::compile("broken", &LOOP.replace("io.n += 1;", "io.n += 1; let z = io.n / 0;")).unwrap();
    let mut config = plant.engine.config();
    for program in &mut config.programs {
        program.script = broken.clone();
    }
    let change = plant.engine.prepare(config, at(plant.ms)).unwrap();
    let Ok(handed) = plant.engine.apply(change) else { panic!("the first change") };
    let mut back = plant.engine.prepare_return(&handed, at(plant.ms)).unwrap();
    plant.scan(0, 100);
    assert!(plant.engine.tasks()[0].fault.is_some());
    assert_eq!(plant.engine.waits_for(), [TaskId(1)]);
    back.end_fault(TaskId(0));
    assert!(plant.engine.apply(back).is_ok(), "it does not wait for the slow task");
    assert_eq!(plant.engine.waits_for(), [TaskId(0)], "the slow one runs on as it is");
    plant.scan(0, 100);
    plant.scan(1, 0);
    assert!(plant.engine.change_is_taken());
    assert!(plant.engine.tasks().iter().all(|t| t.fault.is_none()));
    let slow = plant.tasks[1].save(at(plant.ms));
    assert_eq!(slow.programs[0].state.states[0].1, Value::Int(2), "not one scan of the broken script");
    let shown = plant.engine.programs();
    assert!(shown.iter().all(|p| &*p.script != "broken"), "{shown:?}");
    // The records say which configuration each scan ran, and the next change fits every task.
    change_all(&plant);
    plant.scan(0, 100);
    plant.scan(1, 0);
    let mut ran = [Vec::new(), Vec::new()];
    for (task, ran) in ran.iter_mut().enumerate() {
        while let Some(journal) = plant.engine.take_journal(TaskId(u8::try_from(task).unwrap())) {
            ran.push(journal.changes);
        }
        ran.dedup();
    }
    assert_eq!(ran, [vec![0, 1, 2, 3], vec![0, 3]]);
    assert_eq!(plant.tasks[1].save(at(plant.ms)).programs[0].state.states[0].1, Value::Int(3));
}

fn change_all(plant: &Plant) {
    change(plant, |config| {
        for program in &mut config.programs {
            program.params = vec![("sp".into(), Value::Float(31.0))];
        }
    })
    .unwrap();
}

#[test]
fn a_way_back_meets_a_task_that_is_taking_the_change_at_that_moment() {
    for round in 0..40 {
        let mut plant = site().build();
        plant.feed("x", 20.0);
        plant.scan(0, 100);
        plant.scan(1, 0);
        let good = plant.engine.config();
        let mut config = good.clone();
        config.programs[0].params = vec![("sp".into(), Value::Float(77.0))];
        let change = plant.engine.prepare(config, at(plant.ms)).unwrap();
        let Ok(handed) = plant.engine.apply(change) else { panic!("the first change") };
        let back = plant.engine.prepare_return(&handed, at(plant.ms)).unwrap();
        let engine = plant.engine.clone();
        std::thread::scope(|scope| {
            let returning = scope.spawn(move || {
                for _ in 0..round * 200 {
                    std::hint::spin_loop();
                }
                assert!(engine.apply(back).is_ok());
            });
            plant.scan(0, 100);
            plant.scan(1, 0);
            returning.join().unwrap();
        });
        plant.scan(0, 100);
        plant.scan(1, 0);
        assert!(plant.engine.change_is_taken());
        assert_eq!(plant.engine.config().programs[0].params, good.programs[0].params);
        change_all(&plant);
        plant.scan(0, 100);
        plant.scan(1, 0);
        assert!(plant.engine.change_is_taken());
        assert_eq!(state(&mut plant, 0, "n"), Value::Int(4), "every scan counted, whatever was taken when");
    }
}
