//! Many writes to one server: in how few requests they go, in which order, and what one that is refused costs the rest.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Delivered, Mode, Options, Rig, Server, Wire, device, read, write};
use opcua::types::Variant;
use penstock_model::{CommandId, FallbackCause, LinkState, Origin, OutcomeState, Quality, Value, ValueType};
use penstock_opcua::DeviceConfig;
use std::path::Path;
use std::time::Duration;

/// Outputs of the device: tags 100 and on.
const OUTPUTS: u32 = 60;
const FIRST: u32 = 100;

/// A device that is only written, so that what is answered are the requests of its writes.
fn outputs(wire: &Wire, pki: &Path) -> DeviceConfig {
    let points = (0..OUTPUTS).map(|i| write(FIRST + i, &format!("Out{i}"))).collect();
    DeviceConfig { points, timeout: Duration::from_secs(10), ..device(wire.address, pki) }
}

fn read_back(d: &Delivered, id: u64) -> bool {
    d.outcomes_of(id).last() == Some(&OutcomeState::ReadBack)
}

/// The commands in the order in which they were sent.
fn sent(d: &Delivered) -> Vec<u64> {
    d.outcomes.iter().filter(|o| o.state == OutcomeState::Sent).map(|o| o.id.0).collect()
}

/// The server is away, is commanded all its outputs, and comes back.
async fn commanded_while_away(options: Options) -> (Rig, Server, Wire, tempfile::TempDir) {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(options).await;
    server.add_outputs(OUTPUTS);
    let wire = Wire::to(&server).await;
    wire.mode.send(Mode::Cut).unwrap();
    let rig = Rig::start(outputs(&wire, pki.path()));
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    for i in 0..OUTPUTS {
        rig.command(u64::from(i), FIRST + i, Some(Value::Float(f64::from(i) + 0.5))).await;
    }
    (rig, server, wire, pki)
}

/// Requests answered until all outputs read back.
async fn requests(options: Options) -> u64 {
    let (rig, server, wire, _pki) = commanded_while_away(options).await;
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("all read back", |d| (0..u64::from(OUTPUTS)).all(|id| read_back(d, id))).await;
    for i in 0..OUTPUTS {
        assert_eq!(server.value(&format!("Out{i}")), Variant::Double(f64::from(i) + 0.5));
    }
    let answered = rig.answered().await;
    rig.stop().await;
    server.stop().await;
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_writes_take_one_request_and_no_more_than_the_server_takes_at_once() {
    // Beside the writes: namespaces, limits, types (two nodes each) and one read-back.
    let whole = requests(Options::default()).await;
    let split = requests(Options { writes_max: Some(25), ..Options::default() }).await;
    let single = requests(Options { writes_max: Some(1), ..Options::default() }).await;
    println!("60 writes: {whole} requests in one, {split} by 25, {single} one by one");
    assert!(whole <= 6, "{whole}");
    assert!((whole + 2..=whole + 9).contains(&split), "{split}");
    assert!(single >= 180, "one by one each has its type, its write and its read-back: {single}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_reads_little_at_once_is_asked_for_little() {
    let (rig, server, wire, _pki) = commanded_while_away(Options { reads_max: Some(7), ..Options::default() }).await;
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("all read back", |d| (0..u64::from(OUTPUTS)).all(|id| read_back(d, id))).await;
    assert_eq!(rig.see(|d| d.links.last().unwrap().refused), 0, "nothing beyond its limit was asked");
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_declared_for_the_lost_link_is_written_before_anything_else() {
    let (rig, server, wire, _pki) = commanded_while_away(Options { writes_max: Some(1), ..Options::default() }).await;
    // The arbiter decides what is declared only after the loss; what it granted before is older.
    let fallback = Origin::Fallback(FallbackCause::Link);
    rig.command_of(900, FIRST + 30, Some(Value::Float(14.0)), fallback).await;
    rig.until("it takes the place of the wish", |d| d.outcomes_of(30) == [OutcomeState::Superseded]).await;
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("all read back", |d| (0..u64::from(OUTPUTS)).all(|id| id == 30 || read_back(d, id))).await;
    assert_eq!(rig.see(sent)[..3], [900, 0, 1]);
    assert_eq!(server.value("Out30"), Variant::Double(14.0));
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_written_before_it_is_subscribed() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let wire = Wire::to(&server).await;
    let points = vec![read(0, "Level", ValueType::Float), write(6, "Cmd")];
    let rig = Rig::start(DeviceConfig { points, ..device(wire.address, pki.path()) });
    rig.command(1, 6, Some(Value::Float(70.0))).await;
    rig.until("at work", |d| read_back(d, 1) && d.is(0, 1.5, Quality::Good)).await;
    wire.mode.send(Mode::Cut).unwrap();
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    rig.command_of(2, 6, Some(Value::Float(14.0)), Origin::Fallback(FallbackCause::Link)).await;
    let lost = rig.see(|d| d.samples.len());
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("confirmed", |d| d.outcomes_of(2).contains(&OutcomeState::Acknowledged)).await;
    let good = |d: &Delivered| d.samples[lost..].iter().any(|s| s.sample.quality == Quality::Good);
    assert!(!rig.see(good), "values come after the declared value is there");
    rig.until("values", good).await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_item_harms_no_other_of_its_request() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let wire = Wire::to(&server).await;
    wire.mode.send(Mode::Cut).unwrap();
    let points = vec![write(0, "Cmd"), write(1, "Locked"), write(2, "Missing"), write(3, "Speed"), write(4, "Speed")];
    let rig = Rig::start(DeviceConfig { points, ..device(wire.address, pki.path()) });
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    for (id, value) in [(0, 40.5), (1, 1.0), (2, 2.0), (3, 12.0), (4, 70_000.0)] {
        rig.command(u64::from(id), id, Some(Value::Float(value))).await;
    }
    wire.mode.send(Mode::Pass).unwrap();
    rig.until("each has its end", |d| {
        (0..5).all(|id| matches!(d.outcomes_of(id).last(), Some(OutcomeState::ReadBack | OutcomeState::Failed(_))))
    })
    .await;
    let end = |id: u64| match rig.see(|d| d.outcomes_of(id)).pop() {
        Some(OutcomeState::Failed(why)) => why.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!((end(0), end(3)), ("Some(ReadBack)".to_owned(), "Some(ReadBack)".to_owned()));
    for (id, why) in [
        (1, "t/1: writing nsu=urn:penstock:test;s=Locked failed: Bad"),
        (2, "t/2: BadNodeIdUnknown"),
        (4, "t/4: 70000 does not fit a Int16"),
    ] {
        assert!(end(id).contains(why), "{id}: {}", end(id));
    }
    assert_eq!((server.value("Cmd"), server.value("Speed")), (Variant::Double(40.5), Variant::Int16(12)));
    let lost = rig.see(|d| d.outcomes.iter().filter(|o| o.id == CommandId(2) && o.state == OutcomeState::Sent).count());
    assert_eq!(lost, 0, "what has no node is not sent");
    rig.stop().await;
    server.stop().await;
}
