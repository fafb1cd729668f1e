//! Why a tag stands as it stands: what a person is told, from the running engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;

use common::{Answer, DO, Plant};
use penstock_model::{BadReason, Clock, DeviceId, LinkRecord, LinkState, Sample, TagSample, Value};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Asks while the task scans on.
fn ask(plant: &Plant, cookie: &str, path: &str) -> Json {
    let answer = asked(plant, cookie, path);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn asked(plant: &Plant, cookie: &str, path: &str) -> Answer {
    std::thread::scope(|scope| {
        let question = scope.spawn(|| plant.get(&format!("/api/why/{path}"), cookie));
        while !question.is_finished() {
            plant.scan();
            std::thread::sleep(Duration::from_millis(10));
        }
        question.join().unwrap()
    })
}

fn words<'a>(why: &'a Json, lang: &str) -> &'a str {
    why["sentence"][lang].as_str().unwrap()
}

#[test]
fn an_output_names_its_program_with_what_that_read() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let why = ask(&plant, &guest, "z/valve");
    assert_eq!(words(&why, "en"), "it follows program z, which wishes 40.00 %");
    assert_eq!(words(&why, "zh"), "跟随程序 z，其期望 40.00 %");
    assert_eq!(why["note"], Json::Null);
    assert_eq!((&why["claims"], &why["steps"]), (&json!([]), &json!([])));
    let program = &why["program"];
    assert_eq!(
        (&program["name"], &program["script"], &program["wished"]),
        (&json!("z"), &json!("valve"), &json!(40.0))
    );
    let input = &why["inputs"][0];
    assert_eq!((&input["name"], &input["tag"], &input["value"]), (&json!("x"), &json!(DO.0), &json!(1.0)));
    assert!(input["age_ms"].as_u64().unwrap() >= 1_000, "how old it is: {input}");
    assert_eq!(why["limits"]["range"], json!([0.0, 100.0]));
    assert!(why["fallback"]["en"].as_str().unwrap().ends_with(": hold"), "{why}");
}

#[test]
fn a_hand_is_named_with_the_time_it_has_left() {
    let plant = Plant::start();
    let li = plant.login("li");
    let body = json!({ "tag": "z/valve", "value": 55, "lease_s": 3600, "confirm": true });
    assert_eq!(plant.post("/api/claim", &li, &body).status, 200);
    plant.scan();
    let why = ask(&plant, &li, "z/valve");
    assert_eq!(words(&why, "en"), "it is held by hand by li at 55.00 %");
    let claim = &why["claims"][0];
    assert_eq!((&claim["origin"], &claim["priority"]), (&json!("user li"), &json!("manual")));
    assert_eq!((&claim["value"], &claim["decides"]), (&json!(55.0), &json!(true)));
    let left = claim["until_ms"].as_i64().unwrap() - why["utc_ms"].as_i64().unwrap();
    assert!((3_000_000..=3_600_000).contains(&left), "{left} ms");
    assert_eq!(why["program"]["wished"], json!(40.0), "what it would do otherwise");
    let entered = ask(&plant, &li, "z/sp");
    assert_eq!(words(&entered, "en"), "it is the initial value: nobody has entered another");
}

#[test]
fn a_lost_link_is_found_behind_a_fallback() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let now = plant.clock.now();
    plant.engine.sink().link(LinkRecord {
        device: DeviceId(0),
        state: LinkState::Down,
        reason: "no answer within 500 ms".into(),
        at: now.utc,
        last_answer: Some(now.mono),
        answered: 1,
        failed: 1,
        refused: 0,
        reconnects: 0,
        round_trip: Duration::ZERO,
        retries: 0,
        demoted: false,
        quarantined: 0,
        note: "".into(),
    });
    let lost = Sample::bad(BadReason::Link, Some(Value::Float(1.0)), now);
    plant.engine.sink().samples(&[TagSample { tag: DO, sample: lost }]);
    plant.scan();
    let why = ask(&plant, &guest, "z/do");
    assert!(
        words(&why, "en").starts_with("z/do: the link is down (Controller: the device does not answer, last answer"),
        "{why}"
    );
    assert!(words(&why, "zh").contains("通信中断（控制器：设备没有应答"), "{why}");
    assert_eq!((&why["link"]["state"], &why["program"]), (&json!("down"), &Json::Null));
    // The valve is written to the same device: its own link counts first, the input is told beside it.
    let why = ask(&plant, &guest, "z/valve");
    assert!(words(&why, "en").starts_with("it is in its fallback at 40.00 %: the link is down"), "{why}");
    assert_eq!((&why["inputs"][0]["quality"], &why["inputs"][0]["ended"]), (&json!("b"), &json!(true)));
    assert_eq!(why["steps"], json!([]), "its own link is the end of the way: {why}");
}

#[test]
fn a_bad_input_is_followed_to_where_it_comes_from() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let refused = Sample::bad(BadReason::Refused, Some(Value::Float(1.0)), plant.clock.now());
    plant.engine.sink().samples(&[TagSample { tag: DO, sample: refused }]);
    plant.scan();
    let why = ask(&plant, &guest, "z/valve");
    let wanted = "it is in its fallback at 40.00 %: the program's input x (z/do: the device refuses it) is bad";
    assert_eq!(words(&why, "en"), wanted);
    assert!(words(&why, "zh").contains("程序输入不可用：x（z/do：设备拒绝）"), "{why}");
    assert_eq!(why["steps"][0]["tag"], json!(DO.0), "from the valve back to the sensor: {why}");
}

#[test]
fn a_task_that_does_not_scan_is_told_of_by_what_it_left() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    plant.clock.advance(Duration::from_secs(30));
    let answer = plant.get("/api/why/z/valve", &guest);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let why = answer.json();
    assert_eq!(words(&why, "en"), "it follows program z, which wishes 40.00 %");
    let note = why["note"]["en"].as_str().unwrap();
    assert!(note.contains("has not scanned for 30.0 s") && note.contains("nothing controls"), "{note}");
    assert!(why["note"]["zh"].as_str().unwrap().contains("未扫描"));
    assert_eq!(why["inputs"][0]["name"], "x", "what its inputs are now");
    plant.scan();
    assert_eq!(ask(&plant, &guest, "z/valve")["note"], Json::Null);
}

#[test]
fn a_faulted_task_says_its_fault() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    plant.measure(95.0);
    plant.scan();
    let why = ask(&plant, &guest, "z/valve");
    assert!(
        words(&why, "en").contains("the task is faulted") && words(&why, "en").contains("cannot show this"),
        "{why}"
    );
    assert!(why["program"]["fault"].is_string(), "{why}");
}

#[test]
fn who_may_look_may_ask_and_nobody_else() {
    let plant = Plant::start();
    assert_eq!(plant.get("/api/why/z/valve", "").status, 401);
    let guest = plant.login("guest");
    let answer = plant.get("/api/why/z/none", &guest);
    assert_eq!(answer.status, 404);
    assert!(answer.error().1.contains("no tag `z/none`"));
    let why = ask(&plant, &guest, "z/do");
    assert!(words(&why, "en").starts_with("it is measured by Controller"), "{why}");
    let own = ask(&plant, &guest, "sys/link/plc/up");
    assert!(!words(&own, "zh").is_ascii(), "{own}");
}
