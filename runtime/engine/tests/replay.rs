//! Recorded scans run again: the same grants, bit for bit, whatever happened in them.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{PLC, Plant, Site, at};
use penstock_engine::{
    BadPolicy, Delay, EngineConfig, Imposed, InterlockDef, OrderKind, PermissiveDef, Replay, ScanJournal, ScanTiming,
    Script, Written,
};
use penstock_model::*;
use std::collections::HashMap;
use std::time::Duration;

/// Blocks of every sort of memory, quality, mode, an output kept, a state, and an error at a certain input.
const LOOP: &str = r#"
fn declare(p) {
    p.input("x", ""); p.input("w", ""); p.input("other", "");
    p.output("y", ""); p.output_bool("on"); p.output("z", "");
    p.param("sp", "", 50.0);
    p.block("pi", pid()); p.block("soft", lag()); p.block("sum", totaliser()); p.block("slow", smith());
    p.block("win", window()); p.block("hyst", hysteresis()); p.block("ramp", ramp()); p.block("late", on_delay());
    p.state("n", 0); p.state("last", 0.0);
}
fn scan(io) {
    io.n += if io.mode("y") == "cascade" { 2 } else { 1 };
    if io.first { io.pi.reset(io.granted("y")); }
    let x = io.soft.run(io.x, #{ t: 3 });
    io.sum.run(x);
    io.last = io.win.run(x, #{ t: 20 }).mean + io.age("x") + io.or("other", 0.5);
    if io.n % 11 == 0 { throw "the eleventh"; }
    io.z = io.slow.run(io.last, x, #{ gain: 1.5, t: 8, dead_time: 4, dead_time_max: 10 });
    if io.w > 80.0 { io.keep("y"); } else {
        io.y = io.pi.run(io.ramp.run(io.sp, #{ up: 1, down: 2 }), x, #{ kp: 0.7, ti: 11, td: 2, min: 0, max: 100, track: io.track("y") });
    }
    io.on = io.late.run(io.hyst.run(io.w, #{ on: 60, off: 30 }), #{ t: 2 });
}
"#;

/// Reads what the other computes, in the same task.
const SECOND: &str = r#"
fn declare(p) { p.input("z", ""); p.input("jitter", ""); p.input("m", ""); p.output("v", ""); p.output("d", ""); p.block("f", lead_lag()); }
fn scan(io) {
    io.v = io.f.run(io.z, #{ lead: 2, lag: 5 }) + 0.001 * io.or("jitter", 0.0) + io.m;
    io.d = 50.0 + 0.02 * io.or("jitter", 0.0);
}
"#;

fn plant() -> Plant {
    let mut site = Site::new(&[("fast", 100), ("normal", 1_000)]);
    let x = site.input("x");
    x.ttl = Some(Duration::from_secs(5));
    x.frozen_after = Some(Duration::from_secs(9));
    site.input("w");
    let y = site.output("y", FallbackAction::HoldThen(Duration::from_secs(3), Value::Float(20.0)));
    (y.limits, y.rate_per_s) = (Some((5.0, 95.0)), Some(1.7));
    let on = site.output("on", FallbackAction::Value(Value::Bool(false)));
    (on.min_on, on.min_off) = (Duration::from_secs(4), Duration::from_secs(6));
    site.tags[3].value_type = ValueType::Bool;
    site.computed("z");
    site.output("v", FallbackAction::Release).rate_per_s = Some(0.4);
    site.entry("sp", 40.0, (0.0, 90.0));
    let d = site.output("d", FallbackAction::Hold);
    d.write = WritePolicy {
        deadband: 1.0,
        quiet: Duration::from_secs(3),
        answer_within: Duration::from_secs(4),
        ..WritePolicy::default()
    };
    let jitter = site.input("jitter").id;
    site.tags[jitter.index()].source = Source::System;
    site.computed("q");
    site.program(
        "quick",
        0,
        "fn declare(p) { p.input(\"x\", \"\"); p.output(\"q\", \"\"); } fn scan(io) { io.q = io.x * 1.1; }",
        "x=x q=q",
    );
    site.program("loop", 1, LOOP, "x=x w=w other=q y=y on=on z=z");
    machine(&mut site);
    site.program("second", 1, SECOND, "z=z jitter=jitter m=machine/mode v=v d=d");
    // Two that feed each other, over a scan's delay.
    site.computed("forth");
    site.computed("back");
    let mix = "fn declare(p) { p.input(\"a\", \"\"); p.input(\"b\", \"\"); p.output(\"c\", \"\"); } fn scan(io) { io.c = 0.9 * io.a + 0.3 * io.b; }";
    site.program("forth", 1, mix, "a=back b=x c=forth").delays =
        vec![Delay { input: "a".into(), otherwise: Some(Value::Float(12.0)) }];
    site.program("back", 1, mix, "a=forth b=w c=back");
    site.build()
}

/// Everything that can hold an output of an object.
fn machine(site: &mut Site) {
    site.input("panel").value_type = ValueType::Bool;
    let feedback = site.input("feedback").id;
    site.object("machine", &[("y", Value::Float(10.0)), ("on", Value::Bool(false))]);
    let (high, late, level, local) =
        (site.when("w > 90"), site.when("x < 25 for 2s"), site.when("jitter > 20"), site.when("panel"));
    let object = &mut site.objects[0];
    object.outputs[0].feedback = Some(feedback);
    object.outputs[0].lock = Value::Float(30.0);
    object.hold.max = Some(Duration::from_secs(20));
    object.local = Some(local);
    let interlock = |output, value, when, bad, latch| InterlockDef {
        output,
        value,
        when,
        text: Text::same("interlock"),
        bad,
        latch,
    };
    object.interlocks.push(interlock(0, Value::Float(15.0), late, BadPolicy::Ignore, false));
    object.interlocks.push(interlock(1, Value::Bool(false), high, BadPolicy::Hold, true));
    let (text, modes) = (Text::same("level"), vec![Mode::Cascade]);
    object.permissives.push(PermissiveDef { output: Some(1), when: level, text, bad: BadPolicy::Trip, modes });
}

/// Orders to the object, and what foreign systems and the panel do.
fn order(plant: &Plant, dice: &mut Dice) {
    plant.feed("panel", dice.below(25) == 0);
    if dice.below(3) > 0 {
        plant.feed("feedback", dice.number());
    }
    let lease = [None, Some(Duration::from_secs(6))][usize::try_from(dice.below(2)).unwrap()];
    let mode = |mode| OrderKind::Mode { mode, lease };
    let kind = match dice.below(22) {
        0 => mode(Mode::Off),
        1 => mode(Mode::Manual),
        2 => mode(Mode::Cascade),
        3 => mode(Mode::Remote),
        4..=6 => mode(Mode::Auto),
        7 => OrderKind::Lock { reason: "oil".into() },
        8..=10 => OrderKind::Unlock,
        11 | 12 => OrderKind::Reset,
        13 | 14 => {
            let (wish, origin) = (Wish::Value(dice.number().into()), Origin::Remote("grid".into()));
            let lease = Some(Duration::from_secs(15));
            let claim = Claim { tag: plant.id("y"), wish, origin, priority: Priority::Optimiser, lease };
            return drop(plant.engine.claim(claim));
        }
        15 => return drop(plant.claim("y", Wish::Value(dice.number().into()), Priority::Manual, Some(9_000))),
        _ => return,
    };
    // What the object does not allow at the moment is refused.
    drop(plant.order(0, kind));
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn number(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(1_000_000)).unwrap()) / 10_000.0
    }
}

/// Some minutes of a plant in which everything happens, and the journals of the slow task.
fn lived(seed: u64, scans: u32, mut each: impl FnMut(&mut Plant, u32)) -> (Plant, Vec<ScanJournal>) {
    let mut plant = plant();
    plant.engine.record_scans();
    let mut dice = Dice(seed);
    let mut journals = Vec::new();
    let outputs = ["y", "v"];
    for scan in 0..scans {
        each(&mut plant, scan);
        happen(&plant, &mut dice, outputs);
        order(&plant, &mut dice);
        for _ in 0..dice.below(4) {
            plant.scan(0, 70 + dice.below(60));
        }
        if dice.below(20) == 0 {
            plant.engine.ask_for_keyframe(TaskId(1));
        }
        plant.ms += 900 + dice.below(200);
        *plant.out.full.lock() = dice.below(15) == 0;
        let timing = ScanTiming { jitter: Duration::from_micros(dice.below(900)), ..ScanTiming::default() };
        plant.tasks[1].scan(at(plant.ms), timing);
        while let Some(journal) = plant.engine.take_journal(TaskId(1)) {
            journals.push((*journal).clone());
            plant.engine.give_back_journal(journal);
        }
        while let Some(journal) = plant.engine.take_journal(TaskId(0)) {
            plant.engine.give_back_journal(journal);
        }
    }
    (plant, journals)
}

fn happen(plant: &Plant, dice: &mut Dice, outputs: [&str; 2]) {
    for path in ["x", "w", "jitter"] {
        match dice.below(12) {
            0 => plant.bad(path),
            1 | 2 => {}
            3 => plant
                .deliver(path, Sample::with_quality(3.0, Quality::Uncertain(UncertainReason::Device), at(plant.ms))),
            _ => plant.feed(path, dice.number()),
        }
    }
    let output = outputs[usize::try_from(dice.below(2)).unwrap()];
    let strength = [Priority::Optimiser, Priority::Grid, Priority::Manual, Priority::Interlock];
    let strength = strength[usize::try_from(dice.below(4)).unwrap()];
    match dice.below(14) {
        0 => drop(plant.claim(output, Wish::Value(dice.number().into()), strength, Some(dice.below(20_000)))),
        1 => drop(plant.claim(output, Wish::Band(10.0, 10.0 + dice.number()), strength, Some(dice.below(20_000)))),
        2 | 3 => drop(plant.claim(output, Wish::Release, strength, None)),
        4 => drop(plant.claim("on", Wish::Value((dice.below(2) == 0).into()), strength, Some(5_000))),
        5 => drop(plant.claim("sp", Wish::Value(dice.number().min(90.0).into()), Priority::Manual, None)),
        6 => plant.link(LinkState::Down),
        7 | 8 => plant.link(LinkState::Up),
        9 => plant.engine.reset_task(TaskId(1)),
        _ => {}
    }
    for command in plant.out.commands.lock().drain(..) {
        let state = match dice.below(5) {
            0 => OutcomeState::Failed("refused by the device".into()),
            1 => continue,
            _ => OutcomeState::Acknowledged,
        };
        plant.engine.sink().outcome(Outcome { id: command.id, tag: command.tag, state, at: at(plant.ms).utc });
    }
}

type Standing = HashMap<TagId, Written>;

/// Replays from the first keyframe at or after `from`, and tells the first scan that granted anything else.
fn differs(configs: &[EngineConfig], journals: &[ScanJournal], from: usize) -> Option<String> {
    let mut replay: Option<Replay> = None;
    let mut then: Standing = HashMap::new();
    let mut changes = 0;
    let mut compared = 0;
    for journal in &journals[from..] {
        if let Some(key) = &journal.key
            && (replay.is_none() || journal.changes != changes)
        {
            changes = journal.changes;
            let config = configs[usize::try_from(changes).unwrap()].clone();
            let mut fresh = Replay::new(config, TaskId(1), None).unwrap();
            assert_eq!(fresh.take_up(key, journal.now), []);
            replay = Some(fresh);
        }
        let Some(replay) = &mut replay else { continue };
        let again = replay.scan(journal);
        then.extend(journal.written.iter().map(|w| (w.tag, w.clone())));
        for here in &again.written {
            if then.get(&here.tag) != Some(here) {
                return Some(format!("scan {}: {:?} and then {here:?}", journal.scan, then.get(&here.tag)));
            }
        }
        let plain = |c: &Command| (c.tag, c.value.clone(), c.origin.clone(), c.granted);
        let issued: Vec<_> = journal.commands.iter().map(|c| plain(&c.command)).collect();
        let here: Vec<_> = again.commands.iter().map(plain).collect();
        if issued != here {
            return Some(format!("scan {}: commands {issued:?} and {here:?}", journal.scan));
        }
        compared += 1;
    }
    assert!(compared > 0, "nothing was replayed");
    None
}

#[test]
fn a_recorded_window_is_granted_again_bit_for_bit() {
    let mut seen = (0, 0, 0, 0);
    let mut held = HashMap::new();
    for seed in 1..9 {
        let (plant, journals) = lived(seed, 250, |_, _| {});
        assert_eq!(journals.len(), 250);
        assert!(journals[0].key.is_some() && journals.iter().filter(|j| j.key.is_some()).count() > 3);
        seen.0 += journals.iter().map(|j| j.claims.len()).sum::<usize>();
        seen.1 += journals.iter().map(|j| j.outcomes.len()).sum::<usize>();
        seen.2 += journals.iter().filter(|j| !j.links_down.is_empty()).count();
        seen.3 += journals.iter().flat_map(|j| &j.commands).filter(|c| c.refused).count();
        for hold in journals.iter().flat_map(|j| &j.impositions).map(|i| &i.hold) {
            let what = match &hold.imposed {
                Imposed::Nothing => "nothing",
                Imposed::Stand => "stand",
                Imposed::HandedBack(..) => "local",
                Imposed::Value(_, Origin::Interlock(_), _) => "interlock",
                Imposed::Value(_, Origin::Lock(_), _) => "lock",
                Imposed::Value(..) => "off",
            };
            *held.entry(what).or_insert(0) += 1;
            *held.entry(hold.mode.as_str()).or_insert(0) += 1;
            *held.entry("permissive").or_insert(0) += u32::from(hold.permit_off.is_some());
            assert!(what != "interlock" || hold.interlock.is_some(), "an interlock without its name");
            assert_eq!(hold.permit_off.is_some(), hold.blocked.is_some(), "a permissive without its name");
            *held.entry("ends").or_insert(0) += u32::from(hold.until.is_some());
        }
        let unanswered = |o: &Outcome| matches!(&o.state, OutcomeState::Failed(why) if !why.contains("refused"));
        let late = journals.iter().flat_map(|j| &j.outcomes).filter(|o| unanswered(o)).count();
        *held.entry("unanswered").or_insert(0) += u32::try_from(late).unwrap();
        let faulted = plant.faults().iter().filter(|(_, active)| *active).count();
        assert!(faulted > 0, "seed {seed}: no fault in it");
        for from in [0, 1, 60, 130] {
            assert_eq!(differs(&[plant.engine.config()], &journals, from), None, "seed {seed} from {from}");
        }
    }
    for what in [
        "nothing",
        "stand",
        "local",
        "interlock",
        "lock",
        "off",
        "manual",
        "auto",
        "cascade",
        "remote",
        "permissive",
        "ends",
        "unanswered",
    ] {
        assert!(held.get(what).is_some_and(|n| *n > 0), "{what}: {held:?}");
    }
    assert!(seen.0 > 100 && seen.1 > 100 && seen.2 > 50 && seen.3 > 3, "{seen:?}");
}

#[test]
fn a_window_goes_on_over_a_change_of_the_configuration() {
    let mut configs = vec![plant().engine.config()];
    let (_, journals) = lived(33, 160, |plant, scan| {
        if scan % 40 == 39 {
            let mut config = plant.engine.config();
            let changed = LOOP.replace("kp: 0.7", if scan % 80 == 39 { "kp: 1.4" } else { "kp: 0.2" });
            config.programs[1].script = Script::compile("loop", &changed).unwrap();
            configs.push(config.clone());
            let change = plant.engine.prepare(config, at(plant.ms)).unwrap();
            plant.scan(0, 1);
            assert!(plant.engine.apply(change).is_ok());
            plant.scan(0, 1);
        }
    });
    assert_eq!(journals.last().unwrap().changes, 4);
    assert_eq!(differs(&configs, &journals, 0), None);
}

#[test]
fn another_parameter_grants_something_else_and_the_comparison_says_so() {
    let (plant, journals) = lived(5, 250, |_, _| {});
    let mut config = plant.engine.config();
    config.programs[1].params = vec![("sp".into(), Value::Float(61.0))];
    assert!(differs(&[config], &journals, 0).is_some_and(|d| d.contains("scan ")));
}

#[test]
fn the_record_of_an_object_is_needed_after_the_keyframe_too() {
    let (plant, mut journals) = lived(5, 250, |_, _| {});
    for journal in journals.iter_mut().filter(|j| j.key.is_none()) {
        journal.impositions.clear();
    }
    assert!(differs(&[plant.engine.config()], &journals, 0).is_some());
}

#[test]
fn where_time_stopped_a_program_the_replay_stops_too() {
    let (mut plant, mut journals) = lived(7, 5, |_, _| {});
    assert_eq!(differs(&[plant.engine.config()], &journals, 0), None);
    // Each look at this clock is half a period later: the scan overruns.
    struct Fast(std::sync::atomic::AtomicU64);
    impl Clock for Fast {
        fn now(&self) -> Now {
            let ns = self.0.fetch_add(900_000_000, std::sync::atomic::Ordering::SeqCst);
            Now { mono: Instant(ns), utc: Utc(0) }
        }
    }
    plant.engine.reset_task(TaskId(1));
    for _ in 0..3 {
        plant.ms += 1_000;
        plant.feed("x", 44.0);
        plant.feed("w", 44.0);
        let clock = std::sync::Arc::new(Fast(std::sync::atomic::AtomicU64::new(0)));
        plant.tasks[1].scan(at(plant.ms), ScanTiming { clock: Some(clock), ..ScanTiming::default() });
    }
    while let Some(journal) = plant.engine.take_journal(TaskId(1)) {
        journals.push(*journal);
    }
    assert!(journals.iter().any(|j| j.stop.is_some()));
    assert_eq!(differs(&[plant.engine.config()], &journals, 0), None);
}

#[test]
fn what_nobody_fetches_is_counted_and_the_next_journal_starts_anew() {
    let mut plant = plant();
    plant.engine.record_scans();
    for _ in 0..600 {
        plant.scan(1, 1_000);
    }
    let lost = plant.engine.journals_lost(TaskId(1));
    assert_eq!(lost, 600 - 512);
    let mut last = 0;
    while let Some(journal) = plant.engine.take_journal(TaskId(1)) {
        assert_eq!(journal.scan, last + 1);
        last = journal.scan;
    }
    plant.scan(1, 1_000);
    let next = plant.engine.take_journal(TaskId(1)).unwrap();
    assert!(next.scan == 601 && next.key.is_some(), "{}", next.scan);
    assert_eq!(PLC, DeviceId(0));
}
