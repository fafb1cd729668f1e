//! Controlled objects: modes, interlocks, permissives, holds with an end, maintenance locks, and their order of strength.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{Plant, Site};
use penstock_engine::{BadPolicy, GuardState, InterlockDef, OrderKind, PermissiveDef};
use penstock_model::*;
use std::time::Duration;

/// A program that wishes 50 and on, and says the mode it sees.
const PUMP: &str = r#"
fn declare(p) {
    p.title("泵", "Pump");
    p.input("x", "");
    p.output_bool("run");
    p.output("speed", "");
    p.output("seen", "");
}
fn scan(io) {
    io.run = true;
    io.speed = io.x;
    let tracked = io.track("speed");
    io.seen = if io.mode("run") == "off" { -1.0 } else if tracked == () { 0.0 } else { tracked };
}
"#;

fn site() -> Site {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.input("vib");
    site.input("level");
    site.input("panel").value_type = ValueType::Bool;
    site.input("speed_fb");
    site.output("run", FallbackAction::Hold);
    site.tags.last_mut().unwrap().value_type = ValueType::Bool;
    site.output("speed", FallbackAction::Hold).limits = Some((0.0, 100.0));
    site.computed("seen");
    site.program("pump", 0, PUMP, "x=x run=run speed=speed seen=seen");
    site.object("pump", &[("run", Value::Bool(false)), ("speed", Value::Float(10.0))]);
    site
}

fn interlock(site: &mut Site, when: &str, bad: BadPolicy, latch: bool) {
    let when = site.when(when);
    let text = Text::new("振动高", "Vibration high");
    site.objects[0].interlocks.push(InterlockDef { output: 0, value: Value::Bool(false), when, text, bad, latch });
}

fn permissive(site: &mut Site, when: &str, modes: &[Mode]) {
    let when = site.when(when);
    let text = Text::new("液位足够", "Level sufficient");
    let modes = modes.to_vec();
    site.objects[0].permissives.push(PermissiveDef { output: Some(0), when, text, bad: BadPolicy::Trip, modes });
}

/// Running in automatic with good inputs, after two scans.
fn running(site: Site) -> Plant {
    let mut plant = site.build();
    plant.feed("x", 50.0);
    plant.feed("vib", 1.0);
    plant.feed("level", 3.0);
    plant.feed("panel", false);
    plant.feed("speed_fb", 50.0);
    plant.scan(0, 1_000);
    plant.scan(0, 1_000);
    plant.object_events();
    plant.commanded();
    plant
}

fn on(plant: &Plant) -> Option<Value> {
    plant.view("run").granted
}

fn mode(mode: Mode) -> OrderKind {
    OrderKind::Mode { mode, lease: None }
}

#[test]
fn a_mode_is_a_tag_and_decides_who_drives() {
    let mut plant = running(site());
    assert_eq!((plant.value("pump/mode"), on(&plant), plant.value("speed")), (2.0, Some(Value::Bool(true)), 50.0));
    plant.order(0, mode(Mode::Off)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((plant.value("pump/mode"), on(&plant), plant.value("speed")), (0.0, Some(Value::Bool(false)), 10.0));
    assert_eq!(plant.quality("pump/mode"), "good");
    assert_eq!(plant.value("seen"), -1.0, "the program sees its mode in the same scan");
    let holder = plant.view("run").holder.unwrap().0;
    assert_eq!((holder, plant.view("run").manual), (Origin::Off("pump".into()), false));
    plant.order(0, mode(Mode::Manual)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.value("speed")), (Some(Value::Bool(false)), 10.0), "without a bump");
    plant.by_hand("speed", 30.0);
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.value("speed")), (Some(Value::Bool(false)), 30.0));
    plant.order(0, mode(Mode::Auto)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.value("speed")), (Some(Value::Bool(true)), 50.0));
    let modes: Vec<(Mode, Mode)> = plant
        .object_events()
        .iter()
        .filter_map(|e| match e {
            ObjectEventKind::Mode { old, new, by } if &**by == "wang" => Some((*old, *new)),
            _ => None,
        })
        .collect();
    assert_eq!(modes, [(Mode::Auto, Mode::Off), (Mode::Off, Mode::Manual), (Mode::Manual, Mode::Auto)]);
}

#[test]
fn a_hand_on_one_output_holds_its_whole_object_and_a_release_gives_it_back() {
    let mut plant = running(site());
    plant.order(0, mode(Mode::Cascade)).unwrap();
    plant.scan(0, 1_000);
    plant.by_hand("speed", 70.0);
    plant.feed("x", 20.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), plant.value("speed"), on(&plant)), (Mode::Manual, 70.0, Some(Value::Bool(true))));
    assert!(plant.view("run").manual && plant.view("speed").manual);
    plant.release("run");
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), plant.value("speed")), (Mode::Cascade, 20.0), "the mode before, whichever was released");
    assert!(!plant.view("speed").manual);
}

#[test]
fn a_hold_with_an_end_is_announced_and_ends_in_its_program() {
    let mut plant = running(site());
    plant.claim("speed", Wish::Value(70.0.into()), Priority::Manual, Some(100_000)).unwrap();
    plant.scan(0, 1_000);
    let began = plant.ms;
    let until = plant.view("speed").until.unwrap();
    assert_eq!(until, common::at(began).utc + Duration::from_secs(100));
    plant.scan(0, 79_000);
    assert!(!plant.view("speed").ending);
    plant.scan(0, 1_000);
    assert!(plant.view("speed").ending && plant.engine.object(0).unwrap().ending, "a fifth of its time before the end");
    plant.scan(0, 19_000);
    assert_eq!(plant.value("speed"), 70.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), plant.value("speed"), plant.view("speed").until), (Mode::Auto, 50.0, None));
    let events = plant.object_events();
    let who = |e: &ObjectEventKind| match e {
        ObjectEventKind::LeaseEnding { who, .. } | ObjectEventKind::LeaseEnded { who } => Some(who.to_string()),
        _ => None,
    };
    assert_eq!(events.iter().filter_map(who).collect::<Vec<_>>(), ["li", "li"]);
}

#[test]
fn a_hold_of_an_output_without_an_object_also_ends_and_says_so() {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.output("valve", FallbackAction::Hold);
    let mut plant = site.build();
    plant.claim("valve", Wish::Value(7.0.into()), Priority::Manual, Some(20_000)).unwrap();
    plant.scan(0, 1_000);
    assert!(plant.view("valve").manual && plant.view("valve").until.is_some());
    plant.scan(0, 16_000);
    plant.scan(0, 4_000);
    assert!(!plant.view("valve").manual);
    let events = plant.object_events();
    assert!(matches!(events[0], ObjectEventKind::LeaseEnding { .. }), "{events:?}");
    assert!(matches!(&events[1], ObjectEventKind::LeaseEnded { who } if &**who == "li"), "{events:?}");
}

#[test]
fn an_interlock_acts_whoever_wants_something_else_and_names_its_first_cause() {
    let mut s = site();
    interlock(&mut s, "vib > 7.1 for 2s", BadPolicy::Trip, false);
    interlock(&mut s, "level < 0.5", BadPolicy::Trip, false);
    let mut plant = running(s);
    plant.by_hand("run", true);
    plant.feed("vib", 7.4);
    plant.scan(0, 1_000);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)), "not long enough");
    plant.feed("level", 0.2);
    plant.scan(0, 1_000);
    let view = plant.view("run");
    assert_eq!((view.granted, view.holder.unwrap().1), (Some(Value::Bool(false)), Priority::Interlock));
    let why = view.interlock.unwrap();
    assert_eq!(
        (&*why.text.en, &*why.cause.text, why.cause.value.clone()),
        ("Vibration high", "vib > 7.1", Some(Value::Float(7.4)))
    );
    assert_eq!(plant.engine.object(0).unwrap().interlocks[1].state, GuardState::Acting);
    plant.feed("vib", 1.0);
    plant.scan(0, 1_000);
    assert_eq!(&*plant.view("run").interlock.unwrap().cause.text, "level < 0.5", "the next one is named");
    plant.feed("level", 3.0);
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.view("run").interlock), (Some(Value::Bool(true)), None), "the hand is still there");
    let events = plant.object_events();
    let trips = events.iter().filter(|e| matches!(e, ObjectEventKind::Tripped { .. })).count();
    let clears = events.iter().filter(|e| matches!(e, ObjectEventKind::Cleared { latched: false, .. })).count();
    assert_eq!((trips, clears), (2, 2), "{events:?}");
}

#[test]
fn a_latch_stays_until_a_person_resets_it_and_not_before_its_cause_is_gone() {
    let mut s = site();
    interlock(&mut s, "vib > 7.1", BadPolicy::Trip, true);
    let mut plant = running(s);
    assert!(matches!(plant.order(0, OrderKind::Reset), Err(OrderError::NothingToReset(_))));
    plant.feed("vib", 8.0);
    plant.scan(0, 1_000);
    assert!(matches!(plant.order(0, OrderKind::Reset), Err(OrderError::NothingToReset(_))), "the cause is there");
    plant.feed("vib", 1.0);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)));
    assert_eq!(plant.engine.object(0).unwrap().interlocks[0].state, GuardState::Latched);
    plant.order(0, OrderKind::Reset).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)));
    let events = plant.object_events();
    assert!(events.iter().any(|e| matches!(e, ObjectEventKind::Reset { by, .. } if &**by == "wang")), "{events:?}");
}

#[test]
fn what_a_bad_input_means_is_declared() {
    for (bad, want) in [(BadPolicy::Trip, false), (BadPolicy::Ignore, true), (BadPolicy::Hold, true)] {
        let mut s = site();
        interlock(&mut s, "vib > 7.1", bad, false);
        let mut plant = running(s);
        plant.bad("vib");
        plant.scan(0, 1_000);
        assert_eq!(on(&plant), Some(Value::Bool(want)), "{bad:?}");
    }
    let mut s = site();
    interlock(&mut s, "vib > 7.1", BadPolicy::Hold, false);
    let mut plant = running(s);
    plant.feed("vib", 9.0);
    plant.scan(0, 1_000);
    plant.bad("vib");
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)), "held as it was: acting");
}

#[test]
fn at_the_start_nothing_moves_until_the_interlocks_inputs_were_seen_and_then_it_counts_as_bad() {
    let mut s = site();
    interlock(&mut s, "vib > 7.1", BadPolicy::Trip, true);
    let mut plant = s.build();
    plant.feed("x", 50.0);
    for _ in 0..59 {
        plant.scan(0, 1_000);
    }
    assert_eq!(on(&plant), None, "a machine that runs is not stopped because the runtime came back");
    assert_eq!(plant.value("speed"), 50.0, "an output without interlock moves");
    assert!(plant.object_events().is_empty());
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)), "a minute is enough");
    plant.feed("vib", 1.0);
    plant.scan(0, 1_000);
    plant.order(0, OrderKind::Reset).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)));
}

#[test]
fn a_latch_from_before_a_restart_acts_from_the_first_scan_on() {
    let mut s = site();
    interlock(&mut s, "vib > 7.1", BadPolicy::Trip, true);
    s.objects[0].start.latched = vec!["vib > 7.1".into()];
    let mut plant = s.build();
    plant.feed("x", 50.0);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)));
    assert_eq!(&*plant.view("run").interlock.unwrap().when, "vib > 7.1");
    plant.feed("vib", 1.0);
    plant.scan(0, 1_000);
    plant.order(0, OrderKind::Reset).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)));
}

#[test]
fn a_permissive_blocks_a_start_and_never_stops_what_runs() {
    let mut s = site();
    permissive(&mut s, "level > 0.5", &[Mode::Auto, Mode::Manual]);
    let mut plant = running(s);
    plant.feed("level", 0.2);
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.view("run").blocked), (Some(Value::Bool(true)), None), "it runs on");
    plant.order(0, mode(Mode::Off)).unwrap();
    plant.scan(0, 1_000);
    let refused = plant.order(0, mode(Mode::Auto)).unwrap_err().to_string();
    assert_eq!(refused, "`pump` may not be started: Level sufficient (level > 0.5)");
    let refused = plant.claim("run", Wish::Value(true.into()), Priority::Manual, None).unwrap_err().to_string();
    assert!(refused.contains("Level sufficient"), "{refused}");
    plant.feed("level", 3.0);
    plant.scan(0, 1_000);
    plant.order(0, mode(Mode::Auto)).unwrap();
    plant.feed("level", 0.2);
    plant.scan(0, 1_000);
    let view = plant.view("run");
    assert_eq!((view.granted, view.bound_by.as_deref()), (Some(Value::Bool(false)), Some("permissive")));
    assert_eq!(&*view.blocked.unwrap().cause.text, "level > 0.5");
    plant.feed("level", 3.0);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)));
}

#[test]
fn the_cause_of_a_permissive_is_the_first_that_is_unmet_now() {
    let mut s = site();
    permissive(&mut s, "panel and level > 0.5 and vib < 5", &[Mode::Auto, Mode::Manual]);
    let mut plant = running(s);
    let cause = |plant: &Plant| {
        let cause = plant.view("run").blocked.map(|b| b.cause.clone());
        cause.map(|c| (c.text.to_string(), c.value, c.quality.is_bad()))
    };
    plant.order(0, mode(Mode::Off)).unwrap();
    plant.feed("level", 0.2);
    plant.scan(0, 1_000);
    assert_eq!(cause(&plant), Some(("panel".into(), Some(Value::Bool(false)), false)));
    plant.feed("panel", true);
    plant.scan(0, 1_000);
    assert_eq!(cause(&plant), Some(("level > 0.5".into(), Some(Value::Float(0.2)), false)), "the panel is met now");
    let refused = plant.order(0, mode(Mode::Auto)).unwrap_err().to_string();
    assert!(refused.contains("level > 0.5"), "{refused}");
    plant.object_events();
    for level in [0.3, 0.4] {
        plant.feed("level", level);
        plant.scan(0, 1_000);
        assert_eq!(cause(&plant).unwrap().1, Some(Value::Float(0.2)), "as it was when it became the cause");
    }
    assert_eq!(plant.object_events(), [], "nothing of it is an event");
    plant.feed("level", 3.0);
    plant.feed("vib", 9.0);
    plant.scan(0, 1_000);
    assert_eq!(cause(&plant).unwrap().0, "vib < 5");
    plant.feed("vib", 1.0);
    plant.scan(0, 1_000);
    assert_eq!(cause(&plant), None);
}

#[test]
fn a_machine_that_its_feedback_shows_running_is_not_started_by_a_restart() {
    let mut s = site();
    permissive(&mut s, "level > 0.5", &[]);
    s.objects[0].outputs[0].feedback = Some(s.id("panel"));
    let mut plant = s.build();
    for (path, value) in [("x", 50.0), ("level", 0.1)] {
        plant.feed(path, value);
    }
    plant.feed("panel", true);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(true)));
    let mut s = site();
    permissive(&mut s, "level > 0.5", &[]);
    let mut plant = s.build();
    plant.feed("x", 50.0);
    plant.feed("level", 0.1);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), None, "without that proof nothing is sent");
}

#[test]
fn the_panel_overrules_every_selection_and_the_program_follows_what_it_does() {
    let mut s = site();
    s.objects[0].local = Some(s.when("panel"));
    s.objects[0].outputs[1].feedback = Some(s.id("speed_fb"));
    let mut plant = running(s);
    plant.feed("panel", true);
    plant.feed("speed_fb", 33.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), on(&plant), plant.view("speed").granted), (Mode::Local, None, None));
    assert_eq!(plant.commanded(), [None, None], "both outputs are handed back, and nothing more is sent");
    assert_eq!((plant.value("speed"), plant.quality("speed")), (33.0, "uncertain(substituted)".into()));
    plant.scan(0, 1_000);
    assert_eq!(plant.value("seen"), 33.0, "the loop tracks the panel");
    assert!(matches!(plant.order(0, mode(Mode::Off)), Err(OrderError::Local(_))));
    let refused = plant.claim("speed", Wish::Value(9.0.into()), Priority::Manual, None);
    assert!(matches!(refused, Err(ClaimError::Object { refused: OrderError::Local(_), .. })));
    plant.bad("panel");
    plant.scan(0, 1_000);
    assert_eq!(plant.mode(0), Mode::Local, "a bad switch changes nothing");
    plant.feed("panel", false);
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), plant.value("speed")), (Mode::Auto, 50.0));
}

#[test]
fn after_local_an_output_goes_from_where_the_panel_left_it_at_its_own_rate() {
    let mut s = site();
    s.objects[0].local = Some(s.when("panel"));
    s.objects[0].outputs[1].feedback = Some(s.id("speed_fb"));
    let speed = s.id("speed").index();
    s.tags[speed].output.as_mut().unwrap().rate_per_s = Some(2.0);
    let mut plant = running(s);
    plant.feed("panel", true);
    plant.feed("speed_fb", 33.0);
    plant.scan(0, 1_000);
    plant.feed("panel", false);
    plant.scan(0, 1_000);
    assert_eq!(plant.value("speed"), 35.0);
}

#[test]
fn a_foreign_system_drives_in_mode_remote_alone() {
    let mut plant = running(site());
    let claim = |plant: &Plant| {
        let (tag, origin) = (plant.id("speed"), Origin::Remote("dcs".into()));
        let (wish, priority) = (Wish::Value(80.0.into()), Priority::Grid);
        plant.engine.claim(Claim { tag, wish, origin, priority, lease: None })
    };
    assert!(matches!(claim(&plant), Err(ClaimError::Object { refused: OrderError::NotRemote(_), .. })));
    plant.order(0, mode(Mode::Remote)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(plant.value("speed"), 50.0, "its program where the foreign system says nothing");
    claim(&plant).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((plant.value("speed"), plant.mode(0)), (80.0, Mode::Remote));
    plant.order(0, mode(Mode::Auto)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(plant.value("speed"), 50.0, "its claims end with the mode");
}

#[test]
fn a_lock_moves_to_its_value_and_refuses_everybody_by_name() {
    let mut s = site();
    s.objects[0].outputs[1].lock = Value::Float(0.0);
    let mut plant = running(s);
    plant.by_hand("speed", 70.0);
    plant.scan(0, 1_000);
    plant.order(0, OrderKind::Lock { reason: "bearing".into() }).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.value("speed")), (Some(Value::Bool(false)), 0.0));
    assert_eq!(plant.view("run").holder, Some((Origin::Lock("wang".into()), Priority::Interlock)));
    let refused = plant.claim("speed", Wish::Value(9.0.into()), Priority::Manual, None).unwrap_err().to_string();
    assert_eq!(refused, "`speed`: `pump` is locked by wang: bearing");
    assert!(matches!(plant.order(0, mode(Mode::Auto)), Err(OrderError::Locked { .. })));
    assert!(matches!(plant.order(0, OrderKind::Lock { reason: "x".into() }), Err(OrderError::Locked { .. })));
    plant.link(LinkState::Down);
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)), "a lost link does not move it");
    plant.link(LinkState::Up);
    plant.order(0, OrderKind::Unlock).unwrap();
    plant.scan(0, 1_000);
    assert_eq!(
        (plant.mode(0), on(&plant)),
        (Mode::Off, Some(Value::Bool(false))),
        "it stays off until a person says more"
    );
    assert!(matches!(plant.order(0, OrderKind::Unlock), Err(OrderError::NotLocked(_))));
    plant.order(0, mode(Mode::Auto)).unwrap();
    plant.scan(0, 1_000);
    assert_eq!((on(&plant), plant.value("speed")), (Some(Value::Bool(true)), 50.0), "the hold of before is gone");
}

#[test]
fn an_interlock_acts_through_a_lock_towards_off_and_never_starts_what_is_locked() {
    let mut s = site();
    s.objects[0].outputs[1].lock = Value::Float(40.0);
    for (when, value) in [("vib > 7", 90.0), ("level < 0.5", 10.0)] {
        let when = s.when(when);
        let (text, bad) = (Text::same("x"), BadPolicy::Trip);
        let def = InterlockDef { output: 1, value: Value::Float(value), when, text, bad, latch: false };
        s.objects[0].interlocks.push(def);
    }
    let mut plant = running(s);
    plant.order(0, OrderKind::Lock { reason: "seal".into() }).unwrap();
    plant.feed("vib", 9.0);
    plant.scan(0, 1_000);
    assert_eq!(plant.value("speed"), 40.0, "away from off: the person in front of it counts more");
    plant.feed("vib", 1.0);
    plant.feed("level", 0.1);
    plant.scan(0, 1_000);
    assert_eq!(plant.value("speed"), 10.0, "to off: a lock never holds a machine in danger");
}

#[test]
fn shutdown_is_stronger_than_a_lock_and_a_fault_of_the_task_is_not() {
    let mut s = site();
    let run = s.id("run").index();
    s.tags[run].output.as_mut().unwrap().fallback =
        Fallback { shutdown: FallbackAction::Release, ..Fallback::always(FallbackAction::Value(Value::Bool(true))) };
    let mut plant = running(s);
    plant.order(0, OrderKind::Lock { reason: "seal".into() }).unwrap();
    plant.bad("x");
    plant.scan(0, 1_000);
    assert_eq!(on(&plant), Some(Value::Bool(false)));
    let now = common::at(plant.ms + 1);
    plant.tasks[0].shutdown(now);
    assert_eq!(on(&plant), None);
}

#[test]
fn what_stood_before_a_restart_stands_again() {
    let mut s = site();
    s.objects[0].start.mode = Some((Mode::Off, "li".into()));
    s.objects[0].start.lock = Some(MaintenanceLock { who: "li".into(), reason: "seal".into(), since: Utc(0) }.into());
    let mut plant = s.build();
    assert!(matches!(plant.order(0, mode(Mode::Auto)), Err(OrderError::Locked { .. })), "before the first scan too");
    plant.feed("x", 50.0);
    plant.scan(0, 1_000);
    assert_eq!((plant.mode(0), on(&plant)), (Mode::Off, Some(Value::Bool(false))));
}

#[test]
fn the_same_scans_give_the_same_records() {
    let run = || {
        let mut s = site();
        interlock(&mut s, "vib > 7.1 for 2s", BadPolicy::Trip, true);
        permissive(&mut s, "level > 0.5", &[Mode::Auto]);
        let mut plant = running(s);
        for n in 0..40_u32 {
            plant.feed("vib", f64::from(n % 13));
            plant.feed("level", f64::from(n % 7) / 4.0);
            if n % 11 == 5 {
                let _ = plant.order(0, mode(if n % 2 == 0 { Mode::Off } else { Mode::Auto }));
            }
            if n % 17 == 3 {
                let _ = plant.order(0, OrderKind::Reset);
            }
            plant.scan(0, 1_000);
        }
        format!("{:?} {:?}", plant.out.records.lock(), plant.out.commands.lock())
    };
    assert_eq!(run(), run());
}

#[test]
fn an_object_that_cannot_be_is_refused() {
    let refused = |change: fn(&mut Site)| {
        let mut s = site();
        change(&mut s);
        let out = std::sync::Arc::new(common::Recorder::default());
        penstock_engine::Engine::build(s.config(), out.clone(), out, common::at(0)).err().unwrap().to_string()
    };
    let wrong_type = refused(|s| s.objects[0].outputs[0].off = Value::Float(0.0));
    assert_eq!(wrong_type, "object `pump`: the off or lock value of `run` is no bool");
    let twice = refused(|s| {
        let again = s.objects[0].clone();
        s.objects.push(again);
    });
    assert_eq!(twice, "object `pump`: `run` belongs to another object already");
    let none = refused(|s| s.objects[0].outputs.clear());
    assert_eq!(none, "object `pump`: has no output");
}
