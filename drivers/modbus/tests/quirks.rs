//! What is peculiar to devices, key by key, against a real Modbus TCP server that insists on it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Device, Rig, device, read, write};
use penstock_modbus::{ByteOrder, DeviceConfig, PointConfig, Quirks, WireType, WriteWith};
use penstock_model::{OutcomeState, Quality, Value};
use std::time::{Duration, Instant};
use tokio_modbus::Request;

const FAST: Duration = Duration::from_millis(20);
const GOOD: Quality = Quality::Good;

fn with(address: String, points: Vec<PointConfig>, quirks: Quirks) -> DeviceConfig {
    DeviceConfig { points: points.into(), quirks, ..device(address, FAST) }
}

/// Commands a value and waits until it reads back.
async fn commanded(rig: &Rig, id: u64, tag: u32, value: Value) {
    rig.command(id, tag, Some(value)).await;
    rig.until("the command reads back", |d| {
        let outcomes = d.outcomes_of(id);
        assert!(!outcomes.iter().any(|o| matches!(o, OutcomeState::Failed(_))), "{outcomes:?}");
        outcomes.last() == Some(&OutcomeState::ReadBack)
    })
    .await;
}

/// The functions of all questions that were no reads.
fn writes(plc: &Device) -> Vec<u8> {
    plc.with(|s| s.requests.iter().map(|r| r.function_code().value()).filter(|f| *f > 4).collect())
}

#[tokio::test]
async fn a_device_that_needs_time_after_a_connection_gets_it() {
    let plc = Device::start().await;
    let pause = Duration::from_millis(400);
    let config = with(plc.address(), vec![read(0, "40001", WireType::Uint16)], Quirks::default());
    let begun = Instant::now();
    let rig = Rig::start(DeviceConfig { pause_after_connect: pause, ..config });
    rig.until("a value", |d| d.is(0, 0.0, GOOD)).await;
    assert!(begun.elapsed() >= pause, "the first value came after {:?}", begun.elapsed());
    rig.stop().await;
}

#[tokio::test]
async fn a_device_that_takes_one_point_at_a_time_is_asked_so() {
    let plc = Device::start().await;
    let points = (0..4).map(|i| read(i, &format!("HR{}", i + 1), WireType::Uint16)).collect();
    let rig = Rig::start(with(plc.address(), points, Quirks { one_by_one: true, ..Quirks::default() }));
    rig.until("all values", |d| (0..4).all(|tag| d.is(tag, 0.0, GOOD))).await;
    let single = |r: &Request<'_>| matches!(r, Request::ReadHoldingRegisters(_, 1));
    assert!(plc.with(|s| s.requests.iter().all(single)));
    rig.stop().await;
}

#[tokio::test]
async fn each_way_to_write_uses_its_functions_alone() {
    for (way, register, wide, coil) in [
        (WriteWith::Auto, vec![6], vec![16], vec![5]),
        (WriteWith::Single, vec![6], vec![6, 6], vec![5]),
        (WriteWith::Multiple, vec![16], vec![16], vec![15]),
        (WriteWith::ReadWrite, vec![23], vec![23], vec![5]),
    ] {
        let plc = Device::start().await;
        let points = vec![
            write(0, "40001", WireType::Uint16),
            PointConfig { order: ByteOrder::Cdab, ..write(1, "40011", WireType::Uint32) },
            write(2, "00005", WireType::Bit),
        ];
        let rig = Rig::start(with(plc.address(), points, Quirks { write_with: way, ..Quirks::default() }));
        commanded(&rig, 1, 0, Value::Float(7.0)).await;
        commanded(&rig, 2, 1, Value::Float(65_538.0)).await;
        commanded(&rig, 3, 2, Value::Bool(true)).await;
        assert_eq!(writes(&plc), [register, wide, coil].concat(), "{}", way.as_str());
        let held = plc.with(|s| [s.registers[&0], s.registers[&10], s.registers[&11], u16::from(s.coils[&4])]);
        assert_eq!(held, [7, 2, 1, 1], "{}: words are swapped, the value is whole", way.as_str());
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_bit_is_written_by_the_device_itself_where_it_can() {
    let plc = Device::start().await;
    plc.with(|s| s.registers.insert(0, 0b1010_0000));
    let quirks = Quirks { mask_write: true, ..Quirks::default() };
    let rig = Rig::start(with(plc.address(), vec![write(0, "40001.2", WireType::Bit)], quirks));
    commanded(&rig, 1, 0, Value::Bool(true)).await;
    assert_eq!(writes(&plc), [22]);
    assert_eq!(plc.with(|s| s.registers[&0]), 0b1010_0100, "its neighbours are kept");
    rig.stop().await;
}

#[tokio::test]
async fn a_device_that_writes_slowly_is_waited_for() {
    let plc = Device::start().await;
    plc.with(|s| s.write_delay = Some(Duration::from_millis(700)));
    let points = vec![read(0, "40002", WireType::Uint16), write(1, "40001", WireType::Uint16)];
    let pause = Duration::from_millis(300);
    let slow = Quirks { write_timeout: Some(bench::PATIENCE), pause_after_write: pause, ..Quirks::default() };
    // The time-out of any other answer is 400 ms.
    let rig = Rig::start(with(plc.address(), points, slow));
    rig.until("a value", |d| d.is(0, 0.0, GOOD)).await;
    let begun = Instant::now();
    commanded(&rig, 1, 1, Value::Float(3.0)).await;
    assert!(begun.elapsed() >= Duration::from_millis(700) + pause, "read back after {:?}", begun.elapsed());
    assert_eq!(writes(&plc), [6], "it is written once");
    rig.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_alive_and_a_device_is_asked_what_it_is() {
    let plc = Device::start().await;
    let quirks = Quirks { keep_alive: Some(Duration::from_millis(50)), identify: true, ..Quirks::default() };
    let mut config = with(plc.address(), vec![read(0, "40001", WireType::Uint16)], quirks);
    config.groups[0].every = Duration::from_secs(3_600);
    let rig = Rig::start(config);
    rig.until("a value", |d| d.is(0, 0.0, GOOD)).await;
    let asked = || plc.with(|s| s.requests.iter().filter(|r| r.function_code().value() == 3).count());
    let patience = Instant::now() + bench::PATIENCE;
    while asked() < 4 && Instant::now() < patience {
        tokio::time::sleep(FAST).await;
    }
    assert!(asked() >= 4, "nothing was asked although the connection was idle");
    rig.stop().await;
}
