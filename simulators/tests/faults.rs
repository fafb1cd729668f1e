//! Faults as a foreign client meets them: raw bytes on the links, and the HTTP interface that begins and ends them.

#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not see as such

mod support;

use std::time::{Duration, Instant};

use penstock_simulators::SimConfig;
use serde_json::Value;
use support::{Sim, ask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Silence that counts as no answer: several updates of the simulator, and answers take milliseconds.
const SILENCE: Duration = Duration::from_millis(1000);
const PATIENCE: Duration = Duration::from_secs(10);

fn with_api(faults: &[&str]) -> SimConfig {
    SimConfig {
        api: Some("127.0.0.1:0".parse().unwrap()),
        faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
        ..SimConfig::default()
    }
}

/// One HTTP request by hand: status and JSON body.
async fn http(sim: &Sim, request: &str, body: &str) -> (u16, Value) {
    let mut stream = sim.connect("api").await;
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    let length = body.len();
    let text = if body.is_empty() {
        format!("{head}\r\n")
    } else {
        format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Begins a fault and returns its number.
async fn begin(sim: &Sim, fault: &str) -> u64 {
    let (status, told) = http(sim, "POST /faults", &format!("{{\"fault\":\"{fault}\"}}")).await;
    assert_eq!(status, 201, "{fault}: {told}");
    told["id"].as_u64().unwrap()
}

async fn end(sim: &Sim, id: u64) {
    assert_eq!(http(sim, &format!("DELETE /faults/{id}"), "").await.0, 204);
}

/// A request for one input register, by its transaction identifier.
fn request(transaction: u16, unit: u8) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0, 0, 6, unit, 4, 0, 0, 0, 1]);
    frame
}

/// What comes within [`SILENCE`]; an empty answer is none, `None` a closed connection.
async fn bytes(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut answer = vec![0; 64];
    match tokio::time::timeout(SILENCE, stream.read(&mut answer)).await {
        Err(_) => Some(Vec::new()),
        Ok(Ok(0) | Err(_)) => None,
        Ok(Ok(count)) => {
            answer.truncate(count);
            Some(answer)
        }
    }
}

async fn exchange(stream: &mut TcpStream, transaction: u16, unit: u8) -> Option<Vec<u8>> {
    stream.write_all(&request(transaction, unit)).await.ok()?;
    bytes(stream).await
}

fn healthy(answer: Option<&[u8]>, transaction: u16, unit: u8) -> bool {
    let mut head = transaction.to_be_bytes().to_vec();
    head.extend([0, 0, 0, 5, unit, 4, 2]);
    answer.is_some_and(|answer| answer.len() == 11 && answer[..9] == head)
}

async fn assert_healthy(sim: &Sim, device: &str, unit: u8) {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut stream) = TcpStream::connect(sim.addresses[device]).await
            && healthy(exchange(&mut stream, 77, unit).await.as_deref(), 77, unit)
        {
            return;
        }
        assert!(Instant::now() < until, "{device} does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn dropped_connections_are_closed_and_so_are_new_ones() {
    let sim = Sim::start_with(with_api(&[])).await;
    let mut open = sim.connect("aeration_plc").await;
    assert!(healthy(exchange(&mut open, 1, 1).await.as_deref(), 1, 1));
    let id = begin(&sim, "drop aeration_plc").await;
    assert_eq!(bytes(&mut open).await, None);
    let mut new = sim.connect("aeration_plc").await;
    assert_eq!(bytes(&mut new).await, None, "the port listens, the connection does not live");
    assert_healthy(&sim, "dosing_skid", 2).await;
    end(&sim, id).await;
    assert_healthy(&sim, "aeration_plc", 1).await;
    sim.stop().await;
}

#[tokio::test]
async fn a_refusing_device_has_a_closed_port() {
    let sim = Sim::start_with(with_api(&["refuse dosing_skid"])).await;
    let refused = async || {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(sim.addresses["dosing_skid"]).await.is_ok() {
            assert!(Instant::now() < until, "the port stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    refused().await;
    assert_eq!(http(&sim, "DELETE /faults", "").await.0, 204);
    assert_healthy(&sim, "dosing_skid", 2).await;
    let mut open = sim.connect("dosing_skid").await;
    assert!(healthy(exchange(&mut open, 1, 2).await.as_deref(), 1, 2));
    begin(&sim, "refuse dosing_skid").await;
    assert_eq!(bytes(&mut open).await, None);
    refused().await;
    sim.stop().await;
}

#[tokio::test]
async fn delay_and_jitter_hold_answers_back() {
    let sim = Sim::start_with(with_api(&["delay aeration_plc 400ms", "jitter dosing_skid 60ms"])).await;
    let mut slow = sim.connect("aeration_plc").await;
    for transaction in 1..4 {
        let clock = Instant::now();
        assert!(healthy(exchange(&mut slow, transaction, 1).await.as_deref(), transaction, 1));
        assert!(clock.elapsed() >= Duration::from_millis(400), "{:?}", clock.elapsed());
    }
    let mut jittery = sim.connect("dosing_skid").await;
    let mut took = Vec::new();
    for transaction in 1..12 {
        let clock = Instant::now();
        assert!(healthy(exchange(&mut jittery, transaction, 2).await.as_deref(), transaction, 2));
        took.push(clock.elapsed());
    }
    assert!(took.iter().max().unwrap().as_millis() >= 20, "{took:?}");
    assert_eq!(http(&sim, "DELETE /faults", "").await.0, 204);
    let clock = Instant::now();
    assert!(healthy(exchange(&mut slow, 9, 1).await.as_deref(), 9, 1));
    assert!(clock.elapsed() < Duration::from_millis(400), "{:?}", clock.elapsed());
    sim.stop().await;
}

#[tokio::test]
async fn one_unit_of_a_gateway_is_mute_or_slow_while_the_others_answer() {
    let sim = Sim::start_with(with_api(&["mute power_meters/12", "slow power_meters/14 150ms"])).await;
    let mut gateway = sim.connect("power_meters").await;
    assert!(healthy(exchange(&mut gateway, 1, 11).await.as_deref(), 1, 11));
    assert_eq!(exchange(&mut gateway, 2, 12).await, Some(Vec::new()), "no answer, no close");
    assert!(healthy(exchange(&mut gateway, 3, 13).await.as_deref(), 3, 13));
    let clock = Instant::now();
    assert!(healthy(exchange(&mut gateway, 4, 14).await.as_deref(), 4, 14));
    assert!(clock.elapsed() >= Duration::from_millis(150));
    end(&sim, 1).await;
    assert!(healthy(exchange(&mut gateway, 5, 12).await.as_deref(), 5, 12));
    sim.stop().await;
}

#[tokio::test]
async fn refusals_stale_identifiers_and_short_frames() {
    let sim = Sim::start_with(with_api(&["exception dosing_skid 6", "stale heat_pump", "short pv_inverter"])).await;
    let mut busy = sim.connect("dosing_skid").await;
    assert_eq!(exchange(&mut busy, 0x1234, 2).await.unwrap(), [0x12, 0x34, 0, 0, 0, 3, 2, 0x84, 6]);

    let mut stale = sim.connect("heat_pump").await;
    assert_eq!(exchange(&mut stale, 0x0200, 1).await.unwrap()[..9], [0x01, 0xff, 0, 0, 0, 5, 1, 4, 2]);
    assert_eq!(exchange(&mut stale, 0x0300, 1).await.unwrap()[..9], [0x02, 0x00, 0, 0, 0, 5, 1, 4, 2]);

    let mut short = sim.connect("pv_inverter").await;
    // The header promises five bytes after itself and three come.
    assert_eq!(exchange(&mut short, 7, 3).await.unwrap(), [0, 7, 0, 0, 0, 5, 3, 4, 2]);
    assert_eq!(bytes(&mut short).await, Some(Vec::new()), "the rest never comes");

    assert_eq!(http(&sim, "DELETE /faults", "").await.0, 204);
    assert!(healthy(exchange(&mut busy, 8, 2).await.as_deref(), 8, 2));
    assert!(healthy(exchange(&mut stale, 9, 1).await.as_deref(), 9, 1));
    assert!(healthy(exchange(&mut short, 10, 3).await.as_deref(), 10, 3));
    sim.stop().await;
}

#[tokio::test]
async fn a_restart_closes_everything_and_forgets_what_was_written() {
    let sim = Sim::start_with(with_api(&[])).await;
    let mut plc = sim.connect("aeration_plc").await;
    let power_on = ask(&mut plc, 1, &[3, 0, 0, 0, 1]).await;
    assert_eq!(ask(&mut plc, 1, &[6, 0, 0, 0x11, 0x94]).await, [6, 0, 0, 0x11, 0x94]);
    let clock = Instant::now();
    begin(&sim, "restart aeration_plc 500ms").await;
    assert_eq!(bytes(&mut plc).await, None);
    assert_healthy(&sim, "aeration_plc", 1).await;
    assert!(clock.elapsed() >= Duration::from_millis(450), "{:?}", clock.elapsed());
    let mut plc = sim.connect("aeration_plc").await;
    assert_eq!(ask(&mut plc, 1, &[3, 0, 0, 0, 1]).await, power_on);
    assert_eq!(http(&sim, "GET /faults", "").await.1, serde_json::json!([]));
    sim.stop().await;
}

#[tokio::test]
async fn a_stuck_instrument_is_stuck_in_the_registers_and_true_in_the_state() {
    let sim = Sim::start_with(with_api(&["stuck aer/z5/nh4 0.5"])).await;
    let mut plc = sim.connect("aeration_plc").await;
    assert_eq!(ask(&mut plc, 1, &[4, 0, 6, 0, 2]).await, [4, 4, 0x3f, 0, 0, 0]);
    let (status, state) = http(&sim, "GET /state", "").await;
    assert_eq!((status, state["shown"]["aer/z5/nh4"].as_f64()), (200, Some(0.5)));
    assert_ne!(state["true"]["aer/z5/nh4"].as_f64(), Some(0.5));
    assert_eq!(state["true"]["aer/b1/running"].as_f64(), Some(1.0));
    assert_eq!(state["faults"][0]["fault"], "stuck aer/z5/nh4 0.5");
    end(&sim, 1).await;
    let until = Instant::now() + PATIENCE;
    while ask(&mut plc, 1, &[4, 0, 6, 0, 2]).await == [4, 4, 0x3f, 0, 0, 0] {
        assert!(Instant::now() < until, "still stuck");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_interface_says_what_is_wrong_with_a_request() {
    let sim = Sim::start_with(with_api(&[])).await;
    let post = async |body: &str| http(&sim, "POST /faults", body).await;
    let (status, told) = post("{\"fault\":\"stuck aer/z5/nh3 for 30min\"}").await;
    assert_eq!(status, 400);
    assert!(told["error"].as_str().unwrap().contains("the nearest is `aer/z5/nh4`"), "{told}");
    for body in ["{\"fault\":1}", "{\"fault\":\"power-dip\",\"for\":1}", "not json"] {
        let (status, told) = post(body).await;
        assert!((400..500).contains(&status) && told["error"].is_string(), "{body}: {status} {told}");
    }
    let (status, told) = post("{\"fault\":\"stuck eff/nh4 2 for 30min\"}").await;
    assert_eq!((status, &told["fault"], told["left_s"].as_f64()), (201, &"stuck eff/nh4 2".into(), Some(1800.0)));
    assert_eq!(http(&sim, "DELETE /faults/99", "").await.0, 404);
    assert_eq!(http(&sim, "GET /faults", "").await.1[0]["id"], 1);
    for id in 2..=64 {
        assert_eq!(begin(&sim, "pump-trip pac").await, id);
    }
    assert_eq!(post("{\"fault\":\"power-cut\"}").await.0, 409);
    sim.stop().await;
}

#[tokio::test]
async fn without_an_address_there_is_no_interface_and_no_other_address_is_taken() {
    let sim = Sim::start().await;
    assert!(!sim.addresses.contains_key("api"));
    sim.stop().await;
    let open = SimConfig { api: Some("0.0.0.0:0".parse().unwrap()), ..SimConfig::default() };
    let error = penstock_simulators::run(open, |_| {}, async {}).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

mod opcua_client {
    use super::*;
    use opcua::client::{ClientBuilder, IdentityToken};
    use opcua::crypto::SecurityPolicy;
    use opcua::types::{AttributeId, MessageSecurityMode, NodeId, ReadValueId, TimestampsToReturn, UserTokenPolicy};

    #[tokio::test(flavor = "multi_thread")]
    async fn clock_skew_and_dropped_connections_of_the_opc_ua_device() {
        let sim = Sim::start_with(with_api(&["skew sludge_effluent_plc -90s"])).await;
        let pki = tempfile::tempdir().unwrap();
        let mut client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:test")
            .pki_dir(pki.path())
            .session_retry_limit(1)
            .client()
            .unwrap();
        let url = format!("opc.tcp://{}", sim.addresses["sludge_effluent_plc"]);
        let endpoint =
            (url.as_str(), SecurityPolicy::None.to_str(), MessageSecurityMode::None, UserTokenPolicy::anonymous());
        let endpoints = client.get_server_endpoints_from_url(url.as_str()).await.unwrap();
        let port = sim.addresses["sludge_effluent_plc"].port().to_string();
        assert!(endpoints.iter().all(|e| e.endpoint_url.as_ref().contains(&port)), "{endpoints:?}");
        let (session, event_loop) =
            client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
        event_loop.spawn();
        assert!(tokio::time::timeout(PATIENCE, session.wait_for_connection()).await.unwrap());
        let namespace = session.get_namespace_index("urn:penstock:sim:sludge-effluent").await.unwrap();
        let read = async || {
            let node_id = NodeId::new(namespace, "Effluent.Flow");
            let node = ReadValueId { node_id, attribute_id: AttributeId::Value as u32, ..Default::default() };
            session.read(&[node], TimestampsToReturn::Both, 0.0).await.map(|mut values| values.remove(0))
        };
        let behind_s = async || {
            let value = read().await.unwrap();
            let now = opcua::types::DateTime::now();
            (now.ticks() - value.source_timestamp.unwrap().ticks()) as f64 / 1e7
        };
        let behind = behind_s().await;
        assert!((89.0..95.0).contains(&behind), "{behind} s");
        end(&sim, 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let behind = behind_s().await;
        assert!((-1.0..5.0).contains(&behind), "{behind} s");

        begin(&sim, "drop sludge_effluent_plc").await;
        let until = Instant::now() + PATIENCE;
        while matches!(tokio::time::timeout(SILENCE, read()).await, Ok(Ok(_))) {
            assert!(Instant::now() < until, "the session lives on");
        }
        // Over a dropped connection nothing is answered, a good-bye no more than a question.
        let _ = tokio::time::timeout(SILENCE, session.disconnect()).await;
        sim.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_menu_is_told_and_the_weather_changes_while_the_plant_runs() {
    let sim = Sim::start_with(with_api(&[])).await;
    let (status, menu) = http(&sim, "GET /menu", "").await;
    assert_eq!(status, 200);
    let example = menu.as_array().unwrap().iter().find(|entry| entry["name"] == "stuck").unwrap()["example"].clone();
    begin(&sim, example.as_str().unwrap()).await;
    assert_eq!(http(&sim, "PUT /weather", "{\"weather\":\"rain\"}").await.0, 200);
    let (status, refused) = http(&sim, "PUT /weather", "{\"weather\":\"snow\"}").await;
    assert_eq!(status, 400);
    assert!(refused["error"].as_str().unwrap().contains("dry, rain, storm"), "{refused}");
    assert_eq!(http(&sim, "PUT /weather", "{\"wether\":\"dry\"}").await.0, 422);
}
