//! The driver against a real OPC UA server that breaks in the ways servers break.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Mode, Options, Rig, Server, Wire, device, read, write};
use opcua::types::{DateTime, StatusCode, Variant};
use penstock_model::{BadReason, LinkState, OutcomeState, Quality, TagId, UncertainReason, Value, ValueType};
use penstock_opcua::DeviceConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const GOOD: Quality = Quality::Good;
const LINK: Quality = Quality::Bad(BadReason::Link);
const CONFIGURATION: Quality = Quality::Bad(BadReason::Configuration);

/// Four points that are read and three that are written.
fn plain(address: SocketAddr, pki: &Path) -> DeviceConfig {
    let points = vec![
        read(0, "Level", ValueType::Float),
        read(1, "Count", ValueType::Int),
        read(2, "Name", ValueType::Text),
        read(3, "Run", ValueType::Bool),
        write(6, "Cmd"),
        write(7, "Speed"),
        write(8, "Locked"),
    ];
    DeviceConfig { points, ..device(address, pki) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_arrive_with_quality_and_source_time_and_silence_confirms_them() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let rig = Rig::start(plain(server.address, pki.path()));
    rig.until("all values", |d| {
        d.is(0, 1.5, GOOD) && d.is(1, 7_i64, GOOD) && d.is(2, "P-12", GOOD) && d.is(3, true, GOOD)
    })
    .await;
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up));

    // A server drops what is older than what it has, so the device's clock runs a little ahead of ours here.
    let start = DateTime::now().ticks() + 10_000_000;
    let at = |step: i64| DateTime::from(start + step * 1_000_000);
    let millis = |t: DateTime| (t.ticks() - 116_444_736_000_000_000) / 10_000;
    server.set("Level", 2.5, StatusCode::UncertainSensorNotAccurate, at(0));
    let device_says = Quality::Uncertain(UncertainReason::Device);
    rig.until("uncertain, with the source's time", |d| {
        d.is(0, 2.5, device_says) && d.last(0).is_some_and(|s| s.source_time.millis() == millis(at(0)))
    })
    .await;
    server.set("Level", 2.5, StatusCode::BadSensorFailure, at(1));
    rig.until("bad by status alone, with the last value kept", |d| d.is(0, 2.5, Quality::Bad(BadReason::Device))).await;
    server.set("Level", 3.5, StatusCode::Good, at(2));
    rig.until("good", |d| d.is(0, 3.5, GOOD)).await;

    // Nothing changes, and still the value is received again and again: it is known to be so now.
    let received = rig.see(|d| d.last(0).unwrap().received);
    rig.until("confirmed", |d| {
        d.is(0, 3.5, GOOD) && d.last(0).is_some_and(|s| s.received.since(received) > Duration::from_millis(150))
    })
    .await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_or_a_wrong_type_is_bad_alone() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let mut config = plain(server.address, pki.path());
    config.points.push(read(10, "Missing", ValueType::Float));
    config.points.push(read(11, "Name", ValueType::Float));
    let mut elsewhere = read(12, "Level", ValueType::Float);
    elsewhere.node = "nsu=urn:nobody;s=Level".into();
    config.points.push(elsewhere);
    let rig = Rig::start(config);
    rig.until("three bad, the rest good", |d| {
        (10..13).all(|t| d.quality(t) == Some(CONFIGURATION))
            && d.is(0, 1.5, GOOD)
            && d.is(1, 7_i64, GOOD)
            && d.is(2, "P-12", GOOD)
            && d.is(3, true, GOOD)
    })
    .await;
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_written_in_the_nodes_type_and_read_back() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let rig = Rig::start(plain(server.address, pki.path()));
    for (id, tag, value) in [(1, 6, 40.5), (2, 7, 12.0)] {
        rig.command(id, tag, Some(Value::Float(value))).await;
        let all = [OutcomeState::Sent, OutcomeState::Acknowledged, OutcomeState::ReadBack];
        rig.until("read back", |d| d.outcomes_of(id) == all).await;
    }
    assert_eq!((server.value("Cmd"), server.value("Speed")), (Variant::Double(40.5), Variant::Int16(12)));

    for (id, tag, value, why) in [
        (3, 8, 1.0, "t/8: writing nsu=urn:penstock:test;s=Locked failed: Bad"),
        (4, 7, 40_000.0, "t/7: 40000 does not fit a Int16"),
        (5, 9, 1.0, "device `plc` has no writable point for this tag"),
        (6, 0, 1.0, "device `plc` has no writable point for this tag"),
    ] {
        rig.command(id, tag, Some(Value::Float(value))).await;
        let failed = |o: Option<&OutcomeState>| matches!(o, Some(OutcomeState::Failed(r)) if r.contains(why));
        rig.until(why, |d| failed(d.outcomes_of(id).last())).await;
    }
    assert!(rig.see(|d| d.samples.iter().all(|s| s.tag.0 < 6)), "a read-back is no sample");
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up), "a refusal is not a lost link");

    // The last command of a stopping runtime still goes out.
    rig.command(7, 6, Some(Value::Float(15.0))).await;
    rig.stop().await;
    assert_eq!(server.value("Cmd"), Variant::Double(15.0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_read_and_commanded_again_although_its_namespaces_moved() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let wire = Wire::to(&server).await;
    let rig = Rig::start(plain(wire.address, pki.path()));
    rig.until("first values", |d| d.is(0, 1.5, GOOD)).await;
    rig.command(1, 6, Some(Value::Float(40.5))).await;
    rig.until("written", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;

    wire.mode.send(Mode::Cut).unwrap();
    server.stop().await;
    rig.until("Bad(link), value kept", |d| d.is(0, 1.5, LINK) && d.is(2, "P-12", LINK)).await;
    rig.until("link down", |d| d.link() == Some(LinkState::Down) && !d.reason().is_empty()).await;
    rig.command(2, 7, Some(Value::Float(1.0))).await;
    rig.command(3, 7, Some(Value::Float(2.0))).await;
    rig.until("superseded", |d| d.outcomes_of(2) == [OutcomeState::Superseded]).await;

    let server = Server::start(Options { shifted: true, ..Options::default() }).await;
    server.good("Level", 9.5);
    *wire.to.lock().unwrap() = server.address;
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("values of the new server", |d| d.is(0, 9.5, GOOD) && d.is(1, 7_i64, GOOD)).await;
    rig.until("asserted again", |d| {
        let read_back = |id| d.outcomes_of(id).iter().filter(|o| **o == OutcomeState::ReadBack).count();
        read_back(1) == 2 && read_back(3) == 1
    })
    .await;
    assert_eq!((server.value("Cmd"), server.value("Speed")), (Variant::Double(40.5), Variant::Int16(2)));
    assert_eq!(rig.see(|d| d.links.last().unwrap().reconnects), 1);
    server.good("Level", 10.5);
    rig.until("changes go on arriving", |d| d.is(0, 10.5, GOOD)).await;
    assert!(rig.see(|d| d.samples.iter().all(|s| s.tag.0 < 6)));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_server_is_noticed_without_waiting_for_its_connection_to_end() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let wire = Wire::to(&server).await;
    let config = DeviceConfig { timeout: Duration::from_millis(500), ..plain(wire.address, pki.path()) };
    let rig = Rig::start(config);
    rig.until("first values", |d| d.is(0, 1.5, GOOD)).await;
    wire.mode.send(Mode::Mute).unwrap();
    let from = Instant::now();
    rig.until("Bad(link)", |d| d.is(0, 1.5, LINK)).await;
    assert!(from.elapsed() < Duration::from_secs(2), "took {:?}", from.elapsed());
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    server.good("Level", 4.5);
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("back", |d| d.is(0, 4.5, GOOD) && d.link() == Some(LinkState::Up)).await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_falls_silent_is_created_again_on_the_same_link() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options { silent: true, ..Options::default() }).await;
    let rig = Rig::start(plain(server.address, pki.path()));
    let lost =
        |d: &bench::Delivered| d.samples.iter().filter(|s| s.tag == TagId(0) && s.sample.quality == LINK).count();
    // Falling silent twice takes a second subscription.
    rig.until("silent twice", |d| lost(d) >= 2).await;
    assert!(rig.see(|d| d.links.iter().all(|l| l.state != LinkState::Down && l.reconnects == 0)));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_listening_is_a_link_that_is_down() {
    let pki = tempfile::tempdir().unwrap();
    // Bound but not listening: the port is ours, and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let rig = Rig::start(plain(socket.local_addr().unwrap(), pki.path()));
    rig.until("Bad(link)", |d| d.quality(0) == Some(LINK) && d.link() == Some(LinkState::Down)).await;
    rig.command(1, 6, Some(Value::Float(1.0))).await;
    let sink = rig.stop().await;
    let outcomes = sink.delivered.lock().unwrap().outcomes_of(1);
    assert!(matches!(outcomes.as_slice(), [OutcomeState::Failed(r)] if r.contains("stopped")), "{outcomes:?}");
}
