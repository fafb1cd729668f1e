//! Modes, holds with an end and maintenance locks as people meet them: over the interface of the screens, over a kill and a
//! restart of the real process, with every refusal in words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod common;

use common::{ENGINEER, Live, OPERATOR, Plant, Session, Sim, VIEWER, bundled_site};
use serde_json::{Value as Json, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(40);

/// The object's item on the screen.
fn object(live: &Live, site: &Json, name: &str) -> Option<Json> {
    let number = site["objects"].as_array().unwrap().iter().position(|o| o["name"] == name).unwrap() as u64;
    live.look(|screen| screen.objects.get(&number).cloned())
}

async fn mode_is(live: &Live, site: &Json, name: &str, mode: &str) {
    live.until(&format!("{name} is in mode {mode}"), SOON, |l| {
        object(l, site, name).is_some_and(|o| o["mode"] == mode)
    })
    .await;
}

fn order(session: &Session, what: &str, body: &Json) -> (u16, Json) {
    session.post(&format!("/api/objects/{what}"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_lease_and_lock_are_refused_by_role_and_stand_over_a_kill() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let mut plant = Plant::start(&bundled_site(), state.path(), &sim);
    let operator = Session::login(&plant.url, OPERATOR);
    let live = operator.live().await;
    let site = operator.get("/api/site");
    mode_is(&live, &site, "aer/z3/valve", "auto").await;
    mode_is(&live, &site, "dos/pac", "auto").await;
    live.until("the mode is a good tag", SOON, |l| l.number("dos/pac/mode") == Some(2.0)).await;

    // Who may what.
    let off = |object: &str| json!({ "object": object, "mode": "off", "confirm": true });
    assert_eq!(order(&Session::login(&plant.url, VIEWER), "mode", &off("dos/pac")).0, 403);
    let (status, reply) = order(&operator, "mode", &off("aer/z3/valve"));
    assert_eq!((status, reply["error"]["en"].as_str().unwrap().contains("engineer")), (403, true), "{reply}");
    assert_eq!(order(&operator, "mode", &json!({ "object": "dos/pac", "mode": "cascade", "confirm": true })).0, 422);
    assert_eq!(order(&operator, "mode", &json!({ "object": "dos/pac", "mode": "off" })).0, 422, "unconfirmed");
    assert_eq!(order(&operator, "mode", &off("dos/none")).0, 404);

    // A hold with an end, one without, and a lock.
    let claim =
        |tag: &str, value: f64, lease: u64| json!({ "tag": tag, "value": value, "lease_s": lease, "confirm": true });
    let (status, reply) = operator.post("/api/claim", &claim("aer/z3/valve/cmd", 33.0, 25));
    assert_eq!(status, 200, "{reply}");
    let (status, reply) = operator.post("/api/claim", &claim("aer/z4/valve/cmd", 44.0, 3_600));
    assert_eq!(status, 200, "{reply}");
    assert_eq!(operator.post("/api/claim", &claim("aer/z4/valve/cmd", 44.0, 1)).0, 422, "too short");
    mode_is(&live, &site, "aer/z3/valve", "manual").await;
    mode_is(&live, &site, "aer/z4/valve", "manual").await;
    assert_eq!(order(&operator, "lock", &json!({ "object": "dos/pac", "reason": "  ", "confirm": true })).0, 422);
    let (status, reply) = order(&operator, "lock", &json!({ "object": "dos/pac", "reason": "hose", "confirm": true }));
    assert_eq!(status, 200, "{reply}");
    live.until("the dose goes to its lock value", SOON, |l| {
        l.output("dos/pac/cmd").is_some_and(|o| o["granted"] == 0.0 && o["holder"] == "lock zhang")
    })
    .await;
    let (status, reply) = order(&operator, "mode", &json!({ "object": "dos/pac", "mode": "auto", "confirm": true }));
    assert_eq!(status, 409);
    assert_eq!(reply["error"]["en"], "`dos/pac` is locked by zhang: hose");
    assert!(reply["error"]["zh"].as_str().unwrap().contains("检修锁定"), "{reply}");
    assert_eq!(operator.post("/api/claim", &claim("dos/pac/cmd", 9.0, 60)).0, 409);

    plant.kill();
    tokio::time::sleep(Duration::from_secs(26)).await;
    let plant = Plant::start(&bundled_site(), state.path(), &sim);
    let operator = Session::login(&plant.url, OPERATOR);
    let live = operator.live().await;
    mode_is(&live, &site, "aer/z4/valve", "manual").await;
    mode_is(&live, &site, "aer/z3/valve", "auto").await;
    live.until("the hold goes on for what is left", SOON, |l| {
        l.output("aer/z4/valve/cmd").is_some_and(|o| o["manual"] == true && o["until_ms"].is_i64())
    })
    .await;
    let lock = object(&live, &site, "dos/pac").unwrap()["lock"].clone();
    assert_eq!((&lock["who"], &lock["reason"]), (&json!("zhang"), &json!("hose")));
    let log = std::fs::read_to_string(state.path().join("runtime.log")).unwrap();
    assert!(log.contains("ended while the runtime stood still"), "{log}");

    // Unlocking leaves it off; then a person decides.
    let engineer = Session::login(&plant.url, ENGINEER);
    let (status, reply) = order(&engineer, "unlock", &json!({ "object": "dos/pac", "confirm": true }));
    assert_eq!(status, 200, "{reply}");
    mode_is(&live, &site, "dos/pac", "off").await;
    live.until("it is unlocked", SOON, |l| object(l, &site, "dos/pac").is_some_and(|o| o["lock"].is_null())).await;
    let (status, reply) = order(&operator, "mode", &json!({ "object": "dos/pac", "mode": "auto", "confirm": true }));
    assert_eq!(status, 200, "{reply}");
    mode_is(&live, &site, "dos/pac", "auto").await;
    let kinds: Vec<String> = engineer
        .get("/api/actions?limit=50")
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["object"] == "dos/pac")
        .map(|a| a["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["mode", "unlock", "lock"], "newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_lock_is_taken_away_by_an_engineer_alone_and_a_lease_that_ends_is_recorded() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let plant = Plant::start(&bundled_site(), state.path(), &sim);
    let (operator, engineer) = (Session::login(&plant.url, OPERATOR), Session::login(&plant.url, ENGINEER));
    let live = operator.live().await;
    let site = operator.get("/api/site");
    mode_is(&live, &site, "dos/naclo", "auto").await;
    let lock = json!({ "object": "dos/naclo", "reason": "泵头检修", "confirm": true });
    assert_eq!(order(&engineer, "lock", &lock).0, 200);
    live.until("it is locked", SOON, |l| object(l, &site, "dos/naclo").is_some_and(|o| o["lock"].is_object())).await;
    let (status, reply) = order(&operator, "unlock", &json!({ "object": "dos/naclo", "confirm": true }));
    assert_eq!((status, reply["error"]["en"].as_str().unwrap().contains("wang")), (403, true), "{reply}");
    assert_eq!(order(&engineer, "unlock", &json!({ "object": "dos/naclo", "confirm": true })).0, 200);

    let (status, reply) = order(
        &operator,
        "mode",
        &json!({ "object": "aer/z5/valve", "mode": "manual", "lease_s": 10, "confirm": true }),
    );
    assert_eq!(status, 200, "{reply}");
    mode_is(&live, &site, "aer/z5/valve", "manual").await;
    mode_is(&live, &site, "aer/z5/valve", "auto").await;
    let ended = || {
        let actions = engineer.get("/api/actions?limit=50");
        actions.as_array().unwrap().iter().any(|a| a["kind"] == "lease_ended" && a["object"] == "aer/z5/valve")
    };
    live.until("the end is in the action log", SOON, |_| ended()).await;
    live.until("and in the journal", SOON, |_| {
        let events = engineer.get("/api/events?from=0&to=4000000000000&kind=object");
        events.as_array().is_some_and(|rows| rows.iter().any(|e| e["event"] == "lease-ended"))
    })
    .await;
}
