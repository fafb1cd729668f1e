//! Servers that are at their limits: what they do not give is told with its remedy, and the rest goes on.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Options, Rig, Server, device, read, write};
use opcua::types::{DateTime, StatusCode};
use penstock_model::{BadReason, LinkState, OutcomeState, Quality, Value, ValueType};
use penstock_opcua::{DeviceConfig, GroupConfig, PointConfig};
use std::time::Duration;

const GOOD: Quality = Quality::Good;
const UNKNOWN: Quality = Quality::Bad(BadReason::Configuration);
const SENSOR: Quality = Quality::Bad(BadReason::Device);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_session_left_is_tried_until_it_has_one() {
    let (pki, other_pki) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(Options { sessions_max: Some(1), ..Options::default() }).await;
    let level = || vec![read(0, "Level", ValueType::Float)];
    let other = Rig::start(DeviceConfig { points: level(), ..device(server.address, other_pki.path()) });
    other.until("the other has the session", |d| d.is(0, 1.5, GOOD)).await;
    let rig = Rig::start(DeviceConfig { points: level(), ..device(server.address, pki.path()) });
    rig.until("down, with the remedy", |d| {
        d.link() == Some(LinkState::Down)
            && d.reason().contains("BadTooManySessions: the server has no session left; close another client")
    })
    .await;
    other.stop().await;
    rig.until("up without a restart", |d| d.is(0, 1.5, GOOD) && d.link() == Some(LinkState::Up)).await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_a_subscription_left_is_read_instead() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options { subscriptions_max: Some(1), ..Options::default() }).await;
    let every = Duration::from_millis(50);
    let points = vec![
        read(0, "Level", ValueType::Float),
        PointConfig { group: 1, ..read(1, "Count", ValueType::Int) },
        write(6, "Cmd"),
    ];
    let groups = vec![GroupConfig::every("first", every), GroupConfig::every("second", every)];
    let rig = Rig::start(DeviceConfig { points, groups, ..device(server.address, pki.path()) });
    rig.until("both groups", |d| d.is(0, 1.5, GOOD) && d.is(1, 7_i64, GOOD)).await;
    server.good("Level", 2.5);
    server.good("Count", 8);
    rig.until("both follow", |d| d.is(0, 2.5, GOOD) && d.is(1, 8_i64, GOOD)).await;
    rig.command(1, 6, Some(Value::Float(3.5))).await;
    rig.until("and writes", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;
    assert!(rig.see(|d| d.links.iter().all(|l| l.reconnects == 0)));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_subscription_has_no_room_for_is_read_instead() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options { items_max: Some(5), ..Options::default() }).await;
    let mut points: Vec<PointConfig> = (0..12).map(|i| read(i, "Level", ValueType::Float)).collect();
    points.extend([read(12, "Nowhere", ValueType::Float), read(13, "Count", ValueType::Int), write(14, "Cmd")]);
    let rig = Rig::start(DeviceConfig { points, ..device(server.address, pki.path()) });
    rig.until("all are there, but for the one that the server does not have", |d| {
        (0..12).all(|tag| d.is(tag, 1.5, GOOD)) && d.is(13, 7_i64, GOOD) && d.quality(12) == Some(UNKNOWN)
    })
    .await;
    server.good("Level", 2.5);
    server.good("Count", 8);
    rig.until("all follow", |d| (0..12).all(|tag| d.is(tag, 2.5, GOOD)) && d.is(13, 8_i64, GOOD)).await;
    rig.command(1, 14, Some(Value::Float(3.5))).await;
    rig.until("and what is written is", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;
    server.set("Level", 2.5, StatusCode::BadSensorFailure, DateTime::now());
    rig.until("a bad value is bad everywhere", |d| (0..12).all(|tag| d.quality(tag) == Some(SENSOR))).await;
    assert!(rig.see(|d| d.links.iter().all(|l| l.reconnects == 0)));
    rig.stop().await;
    server.stop().await;
}
