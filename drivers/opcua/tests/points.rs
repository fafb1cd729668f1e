//! Ways to fetch and to address: groups, elements of arrays, nodes that come and go.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Delivered, Mode, Options, Rig, Server, Wire, device, read, write};
use opcua::types::Variant;
use penstock_model::{BadReason, LinkState, OutcomeState, Quality, Value, ValueType};
use penstock_opcua::{Deadband, DeviceConfig, Fetch, GroupConfig, Part, PointConfig};
use std::time::Duration;

const GOOD: Quality = Quality::Good;
const CONFIGURATION: Quality = Quality::Bad(BadReason::Configuration);
/// Longer than the server's shortest sampling interval: what comes sooner it may pass over.
const SAMPLED: Duration = Duration::from_millis(15);
const FAST: Duration = Duration::from_millis(50);

fn element(point: PointConfig, index: u32) -> PointConfig {
    PointConfig { part: Part { index: vec![index], fields: Vec::new() }, ..point }
}

fn values_of(d: &Delivered, tag: u32) -> Vec<Value> {
    let mut all: Vec<Value> =
        d.samples.iter().filter(|s| s.tag.0 == tag).filter_map(|s| s.sample.value.clone()).collect();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_a_download_takes_away_is_found_again() {
    for fetch in Fetch::ALL {
        let pki = tempfile::tempdir().unwrap();
        let server = Server::start(Options::default()).await;
        let points = vec![read(0, "Level", ValueType::Float), read(1, "Count", ValueType::Int)];
        let groups = vec![GroupConfig { fetch, ..GroupConfig::every("g", FAST) }];
        let rig = Rig::start(DeviceConfig { points, groups, ..device(server.address, pki.path()) });
        rig.until("values", |d| d.is(0, 1.5, GOOD) && d.is(1, 7_i64, GOOD)).await;
        server.remove("Level");
        rig.until("gone alone", |d| d.quality(0) == Some(CONFIGURATION) && d.is(1, 7_i64, GOOD)).await;
        server.add("Level", 8.5);
        rig.until("back", |d| d.is(0, 8.5, GOOD)).await;
        server.good("Level", 9.5);
        rig.until("and alive", |d| d.is(0, 9.5, GOOD) && d.is(1, 7_i64, GOOD)).await;
        assert!(rig.see(|d| d.links.iter().all(|l| l.reconnects == 0)), "{fetch:?}: the link was never lost");
        rig.stop().await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_was_there_is_asked_for_less_and_less_often() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let points = vec![read(0, "Nowhere", ValueType::Float), read(1, "Count", ValueType::Int)];
    let groups = vec![GroupConfig { fetch: Fetch::Read, ..GroupConfig::every("g", FAST) }];
    let begun = std::time::Instant::now();
    let rig = Rig::start(DeviceConfig { points, groups, ..device(server.address, pki.path()) });
    // Each question tells once: at the beginning, a second later, two more seconds later.
    let asked = |d: &Delivered| d.samples.iter().filter(|s| s.tag.0 == 0 && s.sample.quality == CONFIGURATION).count();
    rig.until("asked for the third time", |d| asked(d) >= 3 && d.is(1, 7_i64, GOOD)).await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_element_of_an_array_is_read_and_written_alone() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let points = vec![
        element(read(0, "Speeds", ValueType::Int), 1),
        element(read(1, "Speeds", ValueType::Int), 9),
        read(2, "Level", ValueType::Float),
        element(write(3, "Speeds"), 2),
    ];
    let rig = Rig::start(DeviceConfig { points, ..device(server.address, pki.path()) });
    rig.until("the second element, and no tenth", |d| {
        d.is(0, 20_i64, GOOD) && d.quality(1).is_some_and(Quality::is_bad) && d.is(2, 1.5, GOOD)
    })
    .await;
    rig.command(1, 3, Some(Value::Float(33.0))).await;
    rig.until("written", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;
    assert_eq!(server.value("Speeds"), Variant::from(vec![10_i16, 20, 33]));
    rig.command(2, 3, Some(Value::Float(70_000.0))).await;
    rig.until(
        "refused by its type",
        |d| matches!(d.outcomes_of(2).last(), Some(OutcomeState::Failed(why)) if why.contains("does not fit a Int16")),
    )
    .await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadband_is_the_servers_to_apply_and_a_refused_one_costs_no_value() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let absolute = GroupConfig { deadband: Some(Deadband::Absolute(1.0)), ..GroupConfig::every("absolute", FAST) };
    // Its nodes have no EURange: the server cannot take a percentage of it.
    let percent = GroupConfig { deadband: Some(Deadband::Percent(5.0)), ..GroupConfig::every("percent", FAST) };
    let points = vec![
        read(0, "Level", ValueType::Float),
        PointConfig { group: 1, ..read(1, "Level", ValueType::Float) },
        read(2, "Name", ValueType::Text),
    ];
    let config = DeviceConfig { points, groups: vec![absolute, percent], ..device(server.address, pki.path()) };
    let rig = Rig::start(config);
    rig.until("values", |d| d.is(0, 1.5, GOOD) && d.is(1, 1.5, GOOD) && d.is(2, "P-12", GOOD)).await;
    for value in [2.0, 3.5] {
        server.good("Level", value);
        rig.until("the one without a deadband sees each", |d| d.is(1, value, GOOD)).await;
    }
    rig.until("the large step passes", |d| d.is(0, 3.5, GOOD)).await;
    let seen = rig.see(|d| values_of(d, 0));
    assert_eq!(seen, [Value::Float(1.5), Value::Float(3.5)], "the small step stays within the deadband");
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_keeps_what_happens_between_two_publishes() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let publish = Duration::from_millis(500);
    let group = GroupConfig { queue: 10, sampling: Some(Duration::ZERO), ..GroupConfig::every("slow", publish) };
    let points = vec![read(0, "Level", ValueType::Float)];
    let rig = Rig::start(DeviceConfig { points, groups: vec![group], ..device(server.address, pki.path()) });
    rig.until("first", |d| d.is(0, 1.5, GOOD)).await;
    for value in [2.0, 3.0, 4.0] {
        server.good("Level", value);
        tokio::time::sleep(SAMPLED).await;
    }
    rig.until("last", |d| d.is(0, 4.0, GOOD)).await;
    let seen = rig.see(|d| values_of(d, 0));
    assert_eq!(seen, [1.5, 2.0, 3.0, 4.0].map(Value::Float));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_server_is_noticed_where_nothing_is_subscribed() {
    for points in [vec![read(0, "Level", ValueType::Float)], vec![write(6, "Cmd")]] {
        let pki = tempfile::tempdir().unwrap();
        let server = Server::start(Options::default()).await;
        let wire = Wire::to(&server).await;
        let groups = vec![GroupConfig { fetch: Fetch::Read, ..GroupConfig::every("g", FAST) }];
        let timeout = Duration::from_millis(500);
        let rig = Rig::start(DeviceConfig { points, groups, timeout, ..device(wire.address, pki.path()) });
        rig.until("up", |d| d.link() == Some(LinkState::Up)).await;
        wire.mode.send(Mode::Mute).unwrap();
        rig.until("down", |d| d.link() == Some(LinkState::Down) && d.reason().contains("no answer")).await;
        wire.mode.send(Mode::Pass).unwrap();
        rig.until("up again", |d| d.link() == Some(LinkState::Up)).await;
        rig.stop().await;
        server.stop().await;
    }
}
