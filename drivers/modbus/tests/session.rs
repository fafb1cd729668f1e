//! The driver against a real Modbus TCP server that breaks in the ways devices break.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Device, PATIENCE, Rig, device, read, write};
use penstock_modbus::{Beats, BeatsWhile, DeviceConfig, Heartbeat, WireType, parse_address};
use penstock_model::{BadReason, LinkState, OutcomeState, Quality, TagId, Value};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_modbus::{ExceptionCode, Request};

const FAST: Duration = Duration::from_millis(20);
const GOOD: Quality = Quality::Good;
const LINK: Quality = Quality::Bad(BadReason::Link);
const REFUSED: Quality = Quality::Bad(BadReason::Refused);

/// Two registers that are read and one that is written.
fn plain(address: String) -> DeviceConfig {
    let points = vec![
        read(0, "40001", WireType::Uint16),
        read(1, "40002", WireType::Int16),
        write(2, "40011", WireType::Uint16),
    ];
    DeviceConfig { points: points.into(), ..device(address, FAST) }
}

#[tokio::test]
async fn values_arrive_with_one_request_per_block() {
    let plc = Device::start().await;
    plc.with(|s| {
        s.registers.extend([(0, 7), (1, 0xFFFE)]);
        s.coils.insert(3, true);
    });
    let mut config = plain(plc.address());
    config.points.push(read(3, "10004", WireType::Bit));
    let rig = Rig::start(config);
    rig.until("all values", |d| d.is(0, 7.0, GOOD) && d.is(1, -2.0, GOOD) && d.is(3, true, GOOD)).await;
    plc.with(|s| s.registers.insert(0, 8));
    rig.until("the change", |d| d.is(0, 8.0, GOOD)).await;
    let blocks: Vec<Request<'_>> = plc.with(|s| s.requests.clone());
    assert!(
        blocks.contains(&Request::ReadHoldingRegisters(0, 2)) && blocks.contains(&Request::ReadDiscreteInputs(3, 1))
    );
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up));
    rig.stop().await;
}

#[tokio::test]
async fn a_lost_connection_turns_every_tag_bad_and_recovers_by_itself() {
    let mut plc = Device::start().await;
    plc.with(|s| s.registers.extend([(0, 7), (1, 9)]));
    let rig = Rig::start(plain(plc.address()));
    rig.until("first values", |d| d.is(0, 7.0, GOOD) && d.is(1, 9.0, GOOD)).await;

    plc.cut().await;
    let lost = Instant::now();
    rig.until("Bad(link) with the last value kept", |d| d.is(0, 7.0, LINK) && d.is(1, 9.0, LINK)).await;
    // Two poll periods are the promise; the machine's own delays come on top.
    assert!(lost.elapsed() < FAST * 2 + Duration::from_millis(200), "took {:?}", lost.elapsed());
    rig.until("link down", |d| d.link() == Some(LinkState::Down)).await;
    assert!(rig.see(|d| !d.links.last().unwrap().reason.is_empty()));

    plc.with(|s| s.registers.insert(0, 8));
    plc.restore();
    rig.until("new values", |d| d.is(0, 8.0, GOOD) && d.is(1, 9.0, GOOD)).await;
    let link = rig.see(|d| d.links.last().unwrap().clone());
    assert_eq!((link.state, link.reconnects), (LinkState::Up, 1));
    assert!(link.failed >= 1);
    // Nobody delivers a sample for a tag that belongs to the arbiter, not even a bad one.
    assert!(rig.see(|d| d.samples.iter().all(|s| s.tag != TagId(2))));
    rig.stop().await;
}

#[tokio::test]
async fn nothing_listening_is_a_link_that_is_down() {
    // Bound but not listening: the port is ours, and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let rig = Rig::start(plain(socket.local_addr().unwrap().to_string()));
    rig.until("Bad(link)", |d| d.quality(0) == Some(LINK) && d.link() == Some(LinkState::Down)).await;
    assert!(rig.see(|d| d.links.last().unwrap().reason.contains("nothing listens there")));
    rig.stop().await;
}

#[tokio::test]
async fn only_the_refused_register_turns_bad() {
    let plc = Device::start().await;
    plc.with(|s| {
        s.registers.extend((0..8).map(|a| (a, 100 + a)));
        s.illegal.insert(5);
    });
    let points = (0..8_u16).map(|a| read(a.into(), &format!("HR{}", a + 1), WireType::Uint16)).collect();
    let rig = Rig::start(DeviceConfig { points, ..device(plc.address(), FAST) });
    let others_good = |d: &bench::Delivered| (0..8).filter(|t| *t != 5).all(|t| d.is(t, f64::from(100 + t), GOOD));
    rig.until("seven good, one refused", |d| others_good(d) && d.quality(5) == Some(REFUSED)).await;
    assert!(
        rig.see(|d| d.samples.iter().all(|s| s.tag == TagId(5) || s.sample.quality == GOOD)),
        "the others never turned bad"
    );

    // What was learned stays: later polls ask for the good parts alone, and the bad register is left in peace.
    plc.with(|s| s.requests.clear());
    rig.sink.delivered.lock().unwrap().samples.clear();
    rig.until("three more polls", |d| d.samples.iter().filter(|s| s.tag == TagId(7)).count() >= 3).await;
    let covers = |r: &Request<'_>| matches!(r, Request::ReadHoldingRegisters(a, n) if (*a..a + n).contains(&5));
    assert!(!plc.with(|s| s.requests.iter().any(covers)), "the refused register was asked again");
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up), "a refusal is not a lost link");
    rig.stop().await;
}

#[tokio::test]
async fn a_gap_that_the_device_does_not_have_costs_no_point() {
    let plc = Device::start().await;
    plc.with(|s| {
        s.registers.extend([(0, 1), (4, 2)]);
        s.illegal.insert(2);
    });
    let points = vec![read(0, "HR1", WireType::Uint16), read(1, "HR5", WireType::Uint16)];
    let rig = Rig::start(DeviceConfig { points: points.into(), ..device(plc.address(), FAST) });
    rig.until("both good", |d| d.is(0, 1.0, GOOD) && d.is(1, 2.0, GOOD)).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_late_answer_never_becomes_a_value() {
    let plc = Device::start().await;
    plc.with(|s| {
        s.registers.insert(0, 111);
        s.delay = Some(Duration::from_millis(150));
    });
    let config = DeviceConfig { timeout: Duration::from_millis(60), ..plain(plc.address()) };
    let rig = Rig::start(config);
    rig.until("a time-out", |d| {
        d.quality(0) == Some(LINK) && d.links.last().is_some_and(|l| l.reason.contains("no answer"))
    })
    .await;
    // A second question is on its way while the answer to the first still travels.
    let asked = plc.with(|s| s.requests.len());
    let more = async {
        while plc.with(|s| s.requests.len()) == asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("the driver asks again");
    plc.with(|s| {
        s.registers.insert(0, 222);
        s.delay = None;
    });
    rig.until("the new value", |d| d.is(0, 222.0, GOOD)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(rig.see(|d| d.samples.iter().all(|s| s.sample.value != Some(Value::Float(111.0)))));
    rig.stop().await;
}

#[tokio::test]
async fn a_mute_device_is_bad_within_two_polls_although_its_time_out_is_long() {
    let plc = Device::start().await;
    let rig = Rig::start(DeviceConfig { timeout: PATIENCE, ..plain(plc.address()) });
    rig.until("first values", |d| d.quality(0) == Some(GOOD)).await;
    plc.with(|s| s.mute = true);
    let from = Instant::now();
    rig.until("Bad(link)", |d| d.quality(0) == Some(LINK) && d.quality(1) == Some(LINK)).await;
    assert!(from.elapsed() < FAST * 2 + Duration::from_millis(300), "took {:?}", from.elapsed());
}

#[tokio::test]
async fn a_command_is_written_confirmed_and_read_back() {
    let plc = Device::start().await;
    let mut config = plain(plc.address());
    config.points[2].scale = 0.01;
    config.points.push(write(3, "HR21", WireType::Float32));
    config.points.push(write(4, "C5", WireType::Bit));
    config.points.push(write(5, "HR31.2", WireType::Bit));
    plc.with(|s| s.registers.insert(30, 0b1000_0001));
    let rig = Rig::start(config);
    for (id, tag, value) in
        [(1, 2, Value::Float(40.01)), (2, 3, Value::Float(2.5)), (3, 4, Value::Bool(true)), (4, 5, Value::Bool(true))]
    {
        rig.command(id, tag, Some(value)).await;
        rig.until("read back", |d| d.outcomes_of(id).last() == Some(&OutcomeState::ReadBack)).await;
        let all = [OutcomeState::Sent, OutcomeState::Acknowledged, OutcomeState::ReadBack];
        assert_eq!(rig.see(|d| d.outcomes_of(id)), all);
    }
    plc.with(|s| {
        assert_eq!(s.registers[&10], 4001);
        assert_eq!((s.registers[&20], s.registers[&21]), (0x4020, 0));
        assert!(s.coils[&4]);
        assert_eq!(s.registers[&30], 0b1000_0101, "the neighbours' bits stay");
    });
    assert!(rig.see(|d| d.samples.iter().all(|s| s.tag.0 < 2)), "a read-back is no sample");
    rig.stop().await;
}

#[tokio::test]
async fn a_device_that_knows_only_the_functions_for_many_is_written_with_those() {
    let plc = Device::start().await;
    plc.with(|s| s.unknown_functions.extend([5, 6]));
    let mut config = plain(plc.address());
    config.points.push(write(3, "C1", WireType::Bit));
    let rig = Rig::start(config);
    rig.command(1, 2, Some(Value::Float(5.0))).await;
    rig.command(2, 3, Some(Value::Bool(true))).await;
    let done = Some(OutcomeState::ReadBack);
    rig.until("both", |d| d.outcomes_of(1).last() == done.as_ref() && d.outcomes_of(2).last() == done.as_ref()).await;
    plc.with(|s| assert!(s.registers[&10] == 5 && s.coils[&0]));
    rig.stop().await;
}

#[tokio::test]
async fn a_command_that_fails_says_why() {
    let plc = Device::start().await;
    plc.with(|s| {
        s.deaf = true;
        s.illegal.insert(20);
    });
    let mut config = plain(plc.address());
    config.points.push(write(3, "HR21", WireType::Uint16));
    let rig = Rig::start(config);
    for (id, tag, value, why) in [
        (1, 2, Value::Float(5.0), "t/2: commanded 5, but holding register PDU 10 (40011) reads back 0 200ms later"),
        (
            2,
            3,
            Value::Float(5.0),
            "t/3: writing holding register PDU 20 (40021) failed: exception 2: illegal data address",
        ),
        (3, 2, Value::Float(70_000.0), "t/2: 70000 does not fit uint16, which holds 0 to 65535 here"),
        (4, 9, Value::Float(1.0), "device `plc` has no writable point for this tag"),
        (5, 0, Value::Float(1.0), "device `plc` has no writable point for this tag"),
    ] {
        rig.command(id, tag, Some(value)).await;
        let failed = |o: Option<&OutcomeState>| matches!(o, Some(OutcomeState::Failed(r)) if r.contains(why));
        rig.until(why, |d| failed(d.outcomes_of(id).last())).await;
    }
    assert_eq!(rig.see(|d| d.link()), Some(LinkState::Up));
    rig.stop().await;
}

#[tokio::test]
async fn a_slow_actuator_has_its_time_to_read_back() {
    let plc = Device::start().await;
    plc.with(|s| s.deaf = true);
    let mut config = plain(plc.address());
    config.points[2].write.as_mut().unwrap().verify_within = PATIENCE;
    config.points[2].write.as_mut().unwrap().tolerance = 0.5;
    let rig = Rig::start(config);
    rig.command(1, 2, Some(Value::Float(5.0))).await;
    rig.until("confirmed", |d| d.outcomes_of(1).last() == Some(&OutcomeState::Acknowledged)).await;
    plc.with(|s| s.registers.insert(10, 5));
    rig.until("read back", |d| d.outcomes_of(1).last() == Some(&OutcomeState::ReadBack)).await;
    rig.stop().await;
}

#[tokio::test]
async fn the_last_command_supersedes_waiting_ones_and_is_asserted_again_after_a_loss() {
    let mut plc = Device::start().await;
    plc.cut().await;
    let rig = Rig::start(plain(plc.address()));
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    for id in 1..=3 {
        #[expect(clippy::cast_precision_loss, reason = "1 to 3")]
        rig.command(id, 2, Some(Value::Float(id as f64))).await;
    }
    rig.until("two superseded", |d| (1..=2).all(|id| d.outcomes_of(id) == [OutcomeState::Superseded])).await;
    plc.restore();
    rig.until("the last is written", |d| d.outcomes_of(3).last() == Some(&OutcomeState::ReadBack)).await;
    let writes =
        |s: &mut bench::State| s.requests.iter().filter(|r| matches!(r, Request::WriteSingleRegister(10, 3))).count();
    assert_eq!(plc.with(writes), 1);
    assert!(matches!(plc.with(|s| s.requests[0].clone()), Request::WriteSingleRegister(10, 3)), "writes before reads");

    // The device forgets while it is away.
    plc.cut().await;
    rig.until("down again", |d| d.link() == Some(LinkState::Down)).await;
    plc.with(|s| s.registers.insert(10, 0));
    plc.restore();
    rig.until("asserted again", |d| d.outcomes_of(3).iter().filter(|o| **o == OutcomeState::ReadBack).count() == 2)
        .await;
    assert_eq!(plc.with(|s| s.registers[&10]), 3);

    // Handed back to the device, it is never asserted again.
    rig.command(4, 2, None).await;
    rig.until("released", |d| d.outcomes_of(4) == [OutcomeState::Acknowledged]).await;
    plc.cut().await;
    rig.until("down a third time", |d| d.link() == Some(LinkState::Down)).await;
    plc.with(|s| {
        s.registers.insert(10, 0);
        s.requests.clear();
    });
    plc.restore();
    rig.until("up", |d| d.link() == Some(LinkState::Up) && d.quality(0) == Some(GOOD)).await;
    assert_eq!(plc.with(|s| s.registers[&10]), 0);
    assert_eq!(plc.with(writes), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_repeated_point_is_written_again_although_nothing_changed() {
    let plc = Device::start().await;
    let mut config = plain(plc.address());
    for point in config.points.iter_mut() {
        if let Some(write) = &mut point.write {
            write.repeat = Some(Duration::from_millis(50));
        }
    }
    let rig = Rig::start(config);
    rig.command(1, 2, Some(Value::Float(4.0))).await;
    rig.until("written", |d| d.outcomes_of(1).contains(&OutcomeState::ReadBack)).await;
    // The device reverts by itself, as an inverter does when its limit is not renewed.
    plc.with(|s| s.registers.insert(10, 0));
    rig.until("written again", |d| d.outcomes_of(1).iter().filter(|o| **o == OutcomeState::ReadBack).count() >= 2)
        .await;
    assert_eq!(plc.with(|s| s.registers[&10]), 4);
    // Handed back, the device keeps what it falls back to.
    rig.command(2, 2, None).await;
    rig.until("released", |d| d.outcomes_of(2) == [OutcomeState::Acknowledged]).await;
    plc.with(|s| s.requests.clear());
    rig.until("polled on", |_| plc.with(|s| s.requests.len() > 4)).await;
    assert!(!plc.with(|s| s.requests.iter().any(|r| matches!(r, Request::WriteSingleRegister(..)))));
    rig.stop().await;
}

#[tokio::test]
async fn a_unit_that_its_gateway_cannot_reach_is_bad_by_link_and_the_gateway_stays_connected() {
    let plc = Device::start().await;
    plc.with(|s| s.exception = Some(ExceptionCode::GatewayTargetDevice));
    let rig = Rig::start(plain(plc.address()));
    rig.until("Bad(link)", |d| d.quality(0) == Some(LINK) && d.link() == Some(LinkState::Down)).await;
    assert!(rig.see(|d| d.links.last().unwrap().reason.contains("behind the gateway")));
    plc.with(|s| s.exception = None);
    rig.until("back", |d| d.quality(0) == Some(GOOD)).await;
    assert_eq!(plc.with(|s| s.connections), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_busy_device_refuses_for_a_while_and_is_asked_again_at_once() {
    let plc = Device::start().await;
    plc.with(|s| s.exception = Some(ExceptionCode::ServerDeviceBusy));
    let rig = Rig::start(plain(plc.address()));
    rig.until("refused", |d| d.quality(0) == Some(REFUSED) && d.quality(1) == Some(REFUSED)).await;
    plc.with(|s| s.exception = None);
    rig.until("good", |d| d.quality(0) == Some(GOOD) && d.quality(1) == Some(GOOD)).await;
    rig.stop().await;
}

#[tokio::test]
async fn the_heartbeat_counts_up() {
    let plc = Device::start().await;
    let beat = Heartbeat {
        address: parse_address("HR900", false).unwrap(),
        every: FAST,
        values: Beats::Count,
        beats: BeatsWhile::Healthy,
        sunspec: None,
        placed: true,
    };
    let rig = Rig::start(DeviceConfig { heartbeat: Some(beat), ..plain(plc.address()) });
    let beats = |s: &mut bench::State| {
        let count = |r: &Request<'_>| match r {
            Request::WriteSingleRegister(899, n) => Some(*n),
            _ => None,
        };
        s.requests.iter().filter_map(count).collect::<Vec<_>>()
    };
    rig.until("three beats", |_| plc.with(beats).len() >= 3).await;
    assert_eq!(plc.with(beats)[..3], [1, 2, 3]);
    rig.stop().await;
}

#[tokio::test]
async fn a_dead_device_delays_no_other() {
    let (dead, alive) = (Device::start().await, Device::start().await);
    dead.with(|s| s.mute = true);
    let blocked = Rig::start(DeviceConfig { timeout: PATIENCE, ..plain(dead.address()) });
    let rig = Rig::start(plain(alive.address()));
    rig.until("twenty polls", |d| d.samples.iter().filter(|s| s.tag == TagId(0)).count() >= 20).await;
    assert!(rig.see(|d| d.samples.iter().all(|s| s.sample.quality == GOOD)));
    assert_eq!(dead.with(|s| s.requests.len()), 1, "the dead one is still waiting for its first answer");
    drop(blocked);
    rig.stop().await;
}

#[tokio::test]
async fn the_last_commands_of_a_stopping_runtime_still_go_out() {
    let plc = Device::start().await;
    let rig = Rig::start(plain(plc.address()));
    rig.until("up", |d| d.link() == Some(LinkState::Up)).await;
    rig.command(1, 2, Some(Value::Float(40.0))).await;
    let sink = rig.stop().await;
    assert_eq!(plc.with(|s| s.registers[&10]), 40);
    assert_eq!(sink.delivered.lock().unwrap().outcomes_of(1).first(), Some(&OutcomeState::Sent));

    let mut away = Device::start().await;
    away.cut().await;
    let rig = Rig::start(plain(away.address()));
    rig.until("down", |d| d.link() == Some(LinkState::Down)).await;
    rig.command(2, 2, Some(Value::Float(40.0))).await;
    let sink = rig.stop().await;
    let delivered = sink.delivered.lock().unwrap();
    assert!(matches!(delivered.outcomes_of(2).as_slice(), [OutcomeState::Failed(r)] if r.contains("stopped")));
}

/// The bytes that answer a question of this transaction id.
type Frame = fn([u8; 2]) -> Vec<u8>;

/// Answers of a device that speaks no proper Modbus, from the question's transaction id; the right one is 1234 in one
/// holding register of unit 1.
const HOSTILE: [(&str, Frame); 16] = [
    ("garbage", |_| (0..=255).rev().collect()),
    ("half a frame", |[a, b]| vec![a, b, 0, 0, 0, 5, 1, 3, 2]),
    ("another transaction", |[a, b]| vec![a, b ^ 1, 0, 0, 0, 5, 1, 3, 2, 0x55, 0xAA]),
    ("another unit", |[a, b]| vec![a, b, 0, 0, 0, 5, 2, 3, 2, 0x55, 0xAA]),
    ("another protocol", |[a, b]| vec![a, b, 0, 7, 0, 5, 1, 3, 2, 0x55, 0xAA]),
    ("another function", |[a, b]| vec![a, b, 0, 0, 0, 5, 1, 4, 2, 0x55, 0xAA]),
    ("no function", |[a, b]| vec![a, b, 0, 0, 0, 1, 1]),
    ("length nought", |[a, b]| vec![a, b, 0, 0, 0, 0, 1, 3, 2, 0x55, 0xAA]),
    ("a function alone", |[a, b]| vec![a, b, 0, 0, 0, 2, 1, 3]),
    ("an exception without its code", |[a, b]| vec![a, b, 0, 0, 0, 2, 1, 0x83]),
    ("an exception of another function", |[a, b]| vec![a, b, 0, 0, 0, 3, 1, 0x84, 2]),
    ("an exception nobody knows", |[a, b]| vec![a, b, 0, 0, 0, 3, 1, 0x83, 99]),
    ("a huge length", |[a, b]| vec![a, b, 0, 0, 0xFF, 0xFF, 1, 3, 2, 0x55, 0xAA]),
    ("too few bytes", |[a, b]| vec![a, b, 0, 0, 0, 4, 1, 3, 2, 0x55]),
    ("too many registers", |[a, b]| vec![a, b, 0, 0, 0, 7, 1, 3, 4, 0x55, 0xAA, 0x55, 0xAA]),
    ("bytes beyond the count", |[a, b]| vec![a, b, 0, 0, 0, 7, 1, 3, 2, 0x04, 0xD2, 0x55, 0xAA]),
];

/// Answers the first question with the hostile frame, and every later one rightly, on whatever connection it comes.
async fn answer_badly_once(listener: TcpListener, hostile: Frame) {
    let mut first = true;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = [0; 12];
        while stream.read_exact(&mut question).await.is_ok() {
            let id = [question[0], question[1]];
            let right = vec![id[0], id[1], 0, 0, 0, 5, 1, 3, 2, 0x04, 0xD2];
            let answer = if std::mem::take(&mut first) { hostile(id) } else { right };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_device_that_answers_nonsense_never_gives_a_wrong_value_and_is_read_again() {
    let one = |(name, hostile): (&'static str, _)| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let points = vec![read(0, "40001", WireType::Uint16)];
        let config = DeviceConfig { points: points.into(), ..device(listener.local_addr().unwrap().to_string(), FAST) };
        let server = tokio::spawn(answer_badly_once(listener, hostile));
        let rig = Rig::start(config);
        rig.until(name, |d| d.is(0, 1_234.0, GOOD)).await;
        let wrong =
            |s: &&penstock_model::TagSample| s.sample.value.as_ref().is_some_and(|v| *v != Value::Float(1_234.0));
        assert_eq!(rig.see(|d| d.samples.iter().find(wrong).cloned()), None, "{name}");
        rig.stop().await;
        server.abort();
    };
    let all = HOSTILE.map(|row| tokio::spawn(one(row)));
    for done in all {
        done.await.unwrap();
    }
}
