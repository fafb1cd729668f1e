//! Asking a running task what stands behind a tag.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;

use common::{Plant, Site, at};
use penstock_engine::{InterlockDef, Words};
use penstock_model::{FallbackAction, Origin, Priority, Text, Value, Wish};

const FOLLOW: &str = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { io.y = io.x; }
"#;

fn plant() -> Plant {
    let mut site = Site::new(&[("normal", 1_000)]);
    site.input("x");
    site.input("heat");
    site.output("y", FallbackAction::Value(5.0.into()));
    site.program("p", 0, FOLLOW, "x=x y=y");
    let when = site.when("heat > 70");
    site.object("m", &[("y", Value::Float(0.0))]).interlocks.push(InterlockDef {
        when,
        output: 0,
        value: 0.0.into(),
        text: Text::new("过热", "Too hot"),
        bad: penstock_engine::BadPolicy::Ignore,
        latch: false,
    });
    let mut plant = site.build();
    step(&mut plant, 1.0);
    plant
}

fn step(plant: &mut Plant, x: f64) {
    plant.feed("x", x);
    plant.feed("heat", 20.0);
    plant.scan(0, 1_000);
}

#[test]
fn a_question_waits_for_the_next_scan_and_its_answer_is_of_that_scan() {
    let mut plant = plant();
    let question = plant.engine.ask_why(plant.id("y")).unwrap();
    assert_eq!(question.answer(), None, "nobody answers between two scans");
    plant.claim("y", Wish::Value(7.0.into()), Priority::Grid, Some(60_000)).unwrap();
    step(&mut plant, 3.0);
    let answer = question.answer().unwrap();
    assert_eq!(answer.now, at(plant.ms));
    let output = answer.output.as_ref().unwrap();
    assert_eq!(output.stands.granted, Some(Value::Float(7.0)));
    assert_eq!(output.claims[0].origin, Origin::User("li".into()));
    assert_eq!(answer.inputs[0].sample.value, Some(Value::Float(3.0)), "what the program read in that scan");
    step(&mut plant, 4.0);
    assert_eq!(question.answer().unwrap().now, at(plant.ms - 1_000), "a later scan leaves it alone");
}

#[test]
fn questions_are_bounded_in_the_queue_and_in_a_scan() {
    let mut plant = plant();
    let y = plant.id("y");
    let asked: Vec<_> = (0..100).map_while(|_| plant.engine.ask_why(y)).collect();
    assert!((4..100).contains(&asked.len()), "{} wait", asked.len());
    let answered = || asked.iter().filter(|q| q.answer().is_some()).count();
    step(&mut plant, 1.0);
    let first = answered();
    assert!(first > 0 && first < asked.len(), "{first} of {} in one scan", asked.len());
    for _ in 0..asked.len() {
        step(&mut plant, 1.0);
    }
    assert_eq!(answered(), asked.len());
    assert!(plant.engine.ask_why(y).is_some());
}

#[test]
fn an_interlock_is_told_with_what_it_saw() {
    let mut plant = plant();
    let question = plant.engine.ask_why(plant.id("y")).unwrap();
    plant.feed("heat", 81.5);
    plant.scan(0, 1_000);
    let why = question.answer().unwrap().interlock.clone().unwrap();
    let tags = plant.engine.tags();
    let def = tags.get(why.cause.tag);
    assert_eq!(Words::En.hindrance(&why, def), "Too hot (heat > 70, it was 81.50)");
    assert!(Words::Zh.hindrance(&why, def).starts_with("过热（heat > 70"));
}
