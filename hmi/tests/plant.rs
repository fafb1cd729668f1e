//! What people see of the plant and do to it: claims, acknowledgements, resets, the live feed, history.

mod common;

use common::{DO, Plant, SP, VALVE, next};
use penstock_historian::Point;
use penstock_hmi::{Desk, Person, Why};
use penstock_ledger::ActionKind;
use penstock_model::{
    AlarmId, AlarmState, BadReason, Claim, Clock, HoldTimes, Origin, Priority, Quality, Role, Sample, TagSample, Utc,
    Value, Wish,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn a_set_point_reaches_the_engine_and_the_log_first() {
    let plant = Plant::start();
    let li = plant.login("li");
    let answer = plant.post("/api/claim", &li, &json!({ "tag": "z/sp", "value": 3.5, "confirm": true }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    assert_eq!((&json["tag"], &json["old"], &json["new"]), (&json!("z/sp"), &json!(2.0), &json!(3.5)));
    let row = plant.log().remove(0);
    assert_eq!((row.action.who.as_str(), json["seq"].as_u64()), ("li", Some(row.seq)));
    let what = ActionKind::SetPoint {
        tag: "z/sp".into(),
        old: Some(Value::Float(2.0)),
        new: Value::Float(3.5),
        unit: "mg/L".into(),
    };
    assert_eq!(row.action.what, what);
    plant.scan();
    assert_eq!(plant.engine.read(SP).value, Some(Value::Float(3.5)));
    assert_eq!(plant.engine.read(SP).quality, Quality::Good);
    assert_eq!(plant.actions.last_entries(), [("z/sp".to_owned(), Value::Float(3.5), "li".to_owned())]);
}

#[test]
fn an_output_is_held_by_hand_until_it_is_released() {
    let plant = Plant::start();
    let li = plant.login("li");
    assert_eq!(plant.commanded(), Some(Value::Float(40.0)));
    let answer = plant.post("/api/claim", &li, &json!({ "tag": "z/valve", "value": 55, "confirm": true }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.json()["old"], &answer.json()["new"]), (&json!(40.0), &json!(55.0)));
    plant.scan();
    assert_eq!(plant.commanded(), Some(Value::Float(55.0)));
    let output = plant.engine.output(VALVE).unwrap();
    assert!(output.manual);
    assert_eq!(output.holder, Some((Origin::User("li".into()), Priority::Manual)));
    plant.scan();
    assert_eq!(plant.commanded(), Some(Value::Float(55.0)), "the program does not take it back by itself");
    assert_eq!(plant.post("/api/claim", &li, &json!({ "tag": "z/valve", "release": true })).status, 200);
    plant.scan();
    assert_eq!(plant.commanded(), Some(Value::Float(40.0)));
    let kinds: Vec<_> = plant.log().into_iter().take(2).map(|row| row.action.what).collect();
    let manual = ActionKind::Manual {
        tag: "z/valve".into(),
        old: Some(Value::Float(40.0)),
        new: Value::Float(55.0),
        until: None,
    };
    assert_eq!(kinds, [ActionKind::Release { tag: "z/valve".into() }, manual]);
}

#[test]
fn what_another_took_by_hand_a_second_person_can_release() {
    let plant = Plant::start();
    let (li, wang) = (plant.login("li"), plant.login("wang"));
    plant.post("/api/claim", &li, &json!({ "tag": "z/valve", "value": 55, "confirm": true }));
    plant.scan();
    assert_eq!(plant.post("/api/claim", &wang, &json!({ "tag": "z/valve", "release": true })).status, 200);
    plant.scan();
    assert!(!plant.engine.output(VALVE).unwrap().manual, "the next shift must be able to give it back");
    assert_eq!(plant.commanded(), Some(Value::Float(40.0)));
}

#[test]
fn a_refused_claim_says_why_in_both_languages_and_leaves_no_trace() {
    let plant = Plant::start();
    let li = plant.login("li");
    let rows = [
        (json!({ "tag": "z/sp", "value": 9, "confirm": true }), 422, "outside 0.5..8"),
        (json!({ "tag": "z/sp", "value": "x", "confirm": true }), 422, "takes a float"),
        (json!({ "tag": "z/sp", "value": 3 }), 422, "must be confirmed"),
        (json!({ "tag": "z/sp", "release": true }), 422, "cannot be released"),
        (json!({ "tag": "z/do", "value": 3, "confirm": true }), 422, "read only"),
        (json!({ "tag": "z/valve", "value": 100.1, "confirm": true }), 422, "outside 0..100"),
        (json!({ "tag": "z/none", "value": 3, "confirm": true }), 404, "no tag `z/none`"),
        (json!({ "tag": "z/kp", "value": 3, "confirm": true }), 403, "engineer"),
        (json!({ "tag": "z/sp", "value": 3, "release": true, "confirm": true }), 400, "either"),
    ];
    let before = plant.log().len();
    for (body, status, words) in rows {
        let answer = plant.post("/api/claim", &li, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        let (zh, en) = answer.error();
        assert!(en.contains(words), "{body}: {en}");
        assert!(!zh.is_ascii(), "{body}: {zh}");
    }
    plant.scan();
    assert_eq!(plant.log().len(), before);
    assert_eq!(plant.engine.read(SP).value, Some(Value::Float(2.0)));
    assert_eq!(plant.commanded(), Some(Value::Float(40.0)));
    let wang = plant.login("wang");
    assert_eq!(plant.post("/api/claim", &wang, &json!({ "tag": "z/kp", "value": 3, "confirm": true })).status, 200);
}

#[test]
fn a_claim_the_engine_refuses_is_put_right_in_the_log() {
    let plant = Plant::start();
    let li = plant.login("li");
    let claim = Claim {
        tag: SP,
        wish: Wish::Value(Value::Float(2.0)),
        origin: Origin::User("li".into()),
        priority: Priority::Manual,
        lease: None,
    };
    let filled = (0..100_000).any(|_| plant.engine.claim(claim.clone()).is_err());
    assert!(filled, "the mailbox is bounded");
    let answer = plant.post("/api/claim", &li, &json!({ "tag": "z/sp", "value": 3.5, "confirm": true }));
    assert_eq!(answer.status, 503, "{}", answer.body);
    let kinds: Vec<_> = plant.log().into_iter().take(3).map(|row| row.action.what).collect();
    assert!(matches!(&kinds[2], ActionKind::SetPoint { new: Value::Float(x), .. } if *x == 3.5), "{kinds:?}");
    assert!(matches!(&kinds[1], ActionKind::Custom { text } if text.contains("not done")), "{kinds:?}");
    assert!(matches!(&kinds[0], ActionKind::SetPoint { new: Value::Float(x), .. } if *x == 2.0), "{kinds:?}");
    assert_eq!(plant.actions.last_entries()[0].1, Value::Float(2.0), "a restart brings the old value");
    plant.scan();
    assert_eq!(plant.engine.read(SP).value, Some(Value::Float(2.0)));
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let plant = Plant::start();
    let li = plant.login("li");
    let before = plant.log().len();
    // A new year begins a new file of the log, and there is no folder to put it in.
    std::fs::remove_dir_all(plant.dir.path().join("actions")).unwrap();
    plant.clock.step_utc(plant.clock.now().utc + Duration::from_secs(366 * 86_400));
    for body in [
        json!({ "tag": "z/sp", "value": 3.5, "confirm": true }),
        json!({ "tag": "z/valve", "value": 55, "confirm": true }),
    ] {
        let answer = plant.post("/api/claim", &li, &body);
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.error().1.contains("nothing was done"), "{}", answer.body);
    }
    // At the other doors the same, told apart from a runtime that is busy.
    let clock: Arc<dyn Clock> = plant.clock.clone();
    let desk = Desk::new(&plant.engine, &plant.actions, &clock, HoldTimes::default(), "elsewhere");
    let person = Person { user: "li".into(), role: Role::Operator };
    let written = desk.write(&person, SP, Some(&Value::Float(3.5)));
    assert_eq!(written.map_err(|d| d.why), Err(Why::Record));
    assert_eq!(desk.comment(&person, AlarmId(0), "seen").map_err(|d| d.why), Err(Why::Record));
    plant.scan();
    assert_eq!(plant.engine.read(SP).value, Some(Value::Float(2.0)));
    assert_eq!(plant.commanded(), Some(Value::Float(40.0)));
    assert_eq!(plant.log().len(), before);
}

#[test]
fn an_alarm_is_acknowledged_once_and_by_name() {
    let plant = Plant::start();
    let li = plant.login("li");
    assert_eq!(plant.post("/api/alarms/ack", &li, &json!({ "ids": [0] })).json(), json!({ "acknowledged": [] }));
    plant.measure(6.0);
    assert_eq!(plant.engine.alarms()[0].state, AlarmState::ActiveUnacknowledged);
    assert_eq!(plant.post("/api/alarms/ack", &li, &json!({ "ids": [0] })).json(), json!({ "acknowledged": [0] }));
    let alarm = plant.engine.alarms().remove(0);
    assert_eq!(alarm.state, AlarmState::ActiveAcknowledged);
    assert_eq!(alarm.acknowledged.map(|(_, by)| by.to_string()), Some("li".into()));
    let log = plant.log();
    assert_eq!(log[0].action.what, ActionKind::Acknowledge { alarm: "z/do/high".into() });
    assert_eq!(plant.post("/api/alarms/ack", &li, &json!({ "ids": [0] })).json(), json!({ "acknowledged": [] }));
    assert_eq!(plant.log().len(), log.len(), "nothing to acknowledge is nothing to record");
}

#[test]
fn a_faulted_task_is_reset_by_an_engineer() {
    let plant = Plant::start();
    let wang = plant.login("wang");
    assert_eq!(plant.post("/api/tasks/0/reset", &wang, &json!({})).status, 409);
    plant.measure(95.0);
    assert!(plant.engine.tasks()[0].fault.is_some(), "{:?}", plant.engine.programs());
    let system = plant.get("/api/system", &wang).json();
    assert!(system["tasks"][0]["fault"].is_string(), "{system}");
    plant.measure(1.0);
    let answer = plant.post("/api/tasks/0/reset", &wang, &json!({}));
    assert_eq!((answer.status, &answer.json()["task"]), (200, &json!("normal")));
    assert_eq!(plant.log()[0].action.what, ActionKind::ResetTask { task: "normal".into() });
    plant.measure(1.0);
    assert_eq!(plant.engine.tasks()[0].fault, None);
}

#[test]
fn the_live_feed_tells_everything_once_and_then_what_changes() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let mut socket = plant.live(&guest, None).expect("the feed opens");
    let first = next(&mut socket, "values");
    let rows = first["values"].as_array().unwrap();
    assert_eq!(rows.len(), plant.engine.tags().len(), "every tag at first");
    let oxygen = rows.iter().find(|row| row[0] == DO.0).unwrap();
    assert_eq!((&oxygen[1], &oxygen[2], &oxygen[3], &oxygen[5]), (&json!(1.0), &json!("g"), &json!(""), &json!(1000)));
    assert_eq!(first["utc_ms"], plant.clock.now().utc.millis());
    assert_eq!(next(&mut socket, "alarms")["items"], json!([]));
    let outputs = next(&mut socket, "outputs");
    let valve = outputs["items"].as_array().unwrap().iter().find(|o| o["tag"] == VALVE.0).unwrap();
    assert_eq!((&valve["granted"], &valve["manual"]), (&json!(40.0), &json!(false)));
    assert!(next(&mut socket, "links")["items"].is_array());
    assert_eq!(next(&mut socket, "tasks")["items"][0]["name"], "normal");

    plant.measure(6.0);
    let changed = next(&mut socket, "values");
    let rows = changed["values"].as_array().unwrap();
    assert!(rows.iter().any(|row| row[0] == DO.0 && row[1] == 6.0), "{changed}");
    assert!(rows.iter().all(|row| row[0] != VALVE.0 || row[1] == 40.0), "{changed}");
    let alarms = next(&mut socket, "alarms");
    assert_eq!((&alarms["items"][0]["id"], &alarms["items"][0]["state"]), (&json!(0), &json!("active")));

    let lost = Sample::bad(BadReason::Link, Some(Value::Float(6.0)), plant.clock.now());
    plant.engine.sink().samples(&[TagSample { tag: DO, sample: lost }]);
    plant.scan();
    let row = loop {
        let message = next(&mut socket, "values");
        let found = message["values"].as_array().unwrap().iter().find(|row| row[0] == DO.0).cloned();
        if let Some(row) = found {
            break row;
        }
    };
    assert_eq!((&row[1], &row[2], &row[3]), (&json!(6.0), &json!("b"), &json!("link")), "why it is bad, in a word");
}

#[test]
fn the_live_feed_ends_with_the_session_and_takes_no_messages() {
    let plant = Plant::start();
    assert_eq!(plant.live("", None).err(), Some(401));
    let guest = plant.login("guest");
    let mut talking = plant.live(&guest, None).unwrap();
    talking.send(Message::text("set everything to 0")).unwrap();
    assert_eq!(close_code(&mut talking), Some(1008));
    let mut socket = plant.live(&guest, None).unwrap();
    next(&mut socket, "tasks");
    plant.clock.advance(penstock_hmi::limits::SESSION_IDLE_MAX + Duration::from_secs(1));
    assert_eq!(close_code(&mut socket), Some(4401));
}

#[test]
fn a_stop_ends_the_server_and_its_clients() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let mut socket = plant.live(&guest, None).unwrap();
    next(&mut socket, "tasks");
    let _idle = plant.connect();
    plant.stop();
    assert_eq!(close_code(&mut socket), Some(1001));
    assert!(plant.ended());
}

fn close_code(socket: &mut tokio_tungstenite::tungstenite::WebSocket<std::net::TcpStream>) -> Option<u16> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.map(|f| f.code.into()),
            Ok(_) => {}
            Err(error) => panic!("ended without a word: {error}"),
        }
    }
}

#[test]
fn the_site_is_told_as_it_is_declared() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let site = plant.get("/api/site", &guest).json();
    assert_eq!(site["name"], json!({ "zh": "试验厂", "en": "Test plant" }));
    assert_eq!(site["tasks"], json!([{ "id": 0, "name": "normal", "period_ms": 1000.0 }]));
    assert_eq!(site["devices"][0]["driver"], "modbus");
    assert_eq!(site["pages"], json!({ "pages": ["overview"] }));
    let tags = site["tags"].as_array().unwrap();
    assert_eq!(tags.len(), plant.engine.tags().len());
    let (oxygen, sp, valve) = (&tags[0], &tags[1], &tags[2]);
    assert_eq!(
        (&oxygen["source"], &oxygen["device"], &oxygen["writable"]),
        (&json!("device"), &json!("plc"), &json!(null))
    );
    assert_eq!(
        (&sp["writable"], &sp["limits"], &sp["role"]),
        (&json!("entry"), &json!([0.5, 8.0]), &json!("operator"))
    );
    assert_eq!((&valve["writable"], &valve["limits"]), (&json!("output"), &json!([0.0, 100.0])));
    assert_eq!(tags[3]["role"], "engineer");
    let alarm = &site["alarms"][0];
    assert_eq!((&alarm["kind"], &alarm["limit"], &alarm["priority"]), (&json!("above"), &json!(5.0), &json!("high")));
    assert_eq!(alarm["response"]["en"], "look at the valve");
}

#[test]
fn a_browser_gets_the_site_packed_and_finds_the_same_in_it() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let plain = plant.get("/api/site", &guest);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let host = plant.address;
    let answer = plant.raw_bytes(&format!(
        "GET /api/site HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: penstock_session={guest}\r\n\
         Accept-Encoding: gzip, deflate, br\r\n\r\n"
    ));
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer[end..]), &mut text).unwrap();
    assert_eq!(text, plain.body);
    assert!(answer.len() - end < plain.body.len() / 2, "{} of {}", answer.len() - end, plain.body.len());
}

#[test]
fn history_comes_raw_where_it_fits_and_as_extremes_where_not() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let series = plant.series("z/do");
    let start = plant.clock.now().utc.millis() - 600_000;
    let quality = |n: i64| if n == 50 { Quality::Bad(BadReason::Link) } else { Quality::Good };
    let points: Vec<Point> = (0..100)
        .map(|n| Point {
            series,
            utc: Utc::from_millis(start + n * 1000),
            value: Some(Value::Float(f64::from(n as i32))),
            quality: quality(n),
        })
        .collect();
    plant.historian.append(&points);
    let url = |points: usize| {
        let (from, to) = (start + 10_000, start + 100_000);
        format!("/api/history?tags=z/do,z/sp&from={from}&to={to}&points={points}")
    };
    let raw = plant.get(&url(1000), &guest).json();
    let oxygen = &raw["series"][0];
    assert_eq!((&oxygen["tag"], &oxygen["raw"]), (&json!("z/do"), &json!(true)));
    let rows = oxygen["points"].as_array().unwrap();
    assert_eq!(rows.len(), 91, "90 in the stretch and the one before it");
    assert_eq!(rows[0], json!([start + 9_000, 9.0, 9.0, 9.0, "g"]));
    assert_eq!(rows[41], json!([start + 50_000, 50.0, 50.0, 50.0, "b"]));
    assert_eq!(raw["series"][1]["points"], json!([]), "nothing was kept of the other");

    let parts = plant.get(&url(10), &guest).json();
    let oxygen = &parts["series"][0];
    assert_eq!(oxygen["raw"], json!(false));
    let rows = oxygen["points"].as_array().unwrap();
    assert_eq!(rows.len(), 11);
    assert_eq!(rows[1], json!([start + 10_000, 10.0, 18.0, 18.0, "g"]));
    assert!(rows.iter().any(|row| row[4] == "b"), "the bad sample shows in its part: {rows:?}");
}

#[test]
fn journals_and_health_are_shown() {
    let plant = Plant::start();
    let guest = plant.login("guest");
    let utc = plant.clock.now().utc;
    plant.historian.events_append(utc, "alarm", r#"{"alarm":"z/do/high","state":"active"}"#).unwrap();
    plant.historian.commit().unwrap();
    let events = plant.get("/api/events?limit=5", &guest).json();
    assert_eq!(events, json!([{ "utc_ms": utc.millis(), "kind": "alarm", "alarm": "z/do/high", "state": "active" }]));
    let actions = plant.get("/api/actions?limit=5", &guest).json();
    assert_eq!((&actions[0]["kind"], &actions[0]["who"]), (&json!("login"), &json!("guest")));
    let energy = plant.get("/api/energy?from=0&to=1000", &guest);
    assert_eq!(energy.status, 404, "this site has no ledger");
    plant.clock.advance(Duration::from_secs(9));
    let system = plant.get("/api/system", &guest).json();
    assert_eq!(system["uptime_s"], 10, "one scan and nine seconds");
    assert_eq!(system["programs"][0]["name"], "z");
    assert_eq!(system["historian"]["dropped"], 0);
    assert_eq!(system["drops"][0], json!({ "name": "historian", "count": 7 }));
}
