//! A person's visit to a device: one point, a write, a scan, and what is said when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Device, device, read, write};
use penstock_modbus::{
    Area, AskFault, DeviceConfig, PointConfig, Raw, ScanLimits, Sign, Visit, WireType, WriteWith, scan_areas,
    scan_units,
};
use penstock_model::{BadReason, Quality, Value};
use std::time::Duration;
use tokio_modbus::{ExceptionCode, Request};

fn visited(plc: &Device, points: Vec<PointConfig>) -> DeviceConfig {
    DeviceConfig {
        points: points.into(),
        timeout: Duration::from_secs(5),
        ..device(plc.address(), Duration::from_secs(1))
    }
}

/// 12.5 as a float at registers 0 and 1, 7 at 4.
async fn plc() -> Device {
    let plc = Device::start().await;
    plc.with(|s| s.registers.extend([(0, 0x4148), (1, 0), (4, 7)]));
    plc
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_is_read_by_the_request_that_a_site_would_send() {
    let plc = plc().await;
    let config = visited(&plc, vec![read(0, "40001", WireType::Float32), read(1, "40005", WireType::Uint16)]);
    let mut visit = Visit::open(config).await.unwrap();
    let reading = visit.point(0).await.unwrap();
    assert_eq!(reading.value, Ok((Value::Float(12.5), Quality::Good)));
    assert_eq!(reading.raw, Raw::Words(vec![0x4148, 0]));
    assert_eq!((reading.function, reading.request.start, reading.request.count), (3, 0, 5), "with its neighbour");
    assert_eq!(reading.planned, None);
    assert_eq!(reading.raw.to_string(), "0x4148 0x0000");
    assert_eq!(plc.with(|s| s.requests.len()), 1, "asked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_is_refused_is_told_and_the_point_is_read_alone() {
    let plc = plc().await;
    plc.with(|s| s.illegal.insert(3));
    let config = visited(&plc, vec![read(0, "40001", WireType::Float32), read(1, "40005", WireType::Uint16)]);
    let mut visit = Visit::open(config).await.unwrap();
    let reading = visit.point(1).await.unwrap();
    assert_eq!(reading.value, Ok((Value::Float(7.0), Quality::Good)));
    let planned = reading.planned.unwrap();
    assert_eq!(planned.fault, AskFault::Refused(2));
    for part in ["holding register PDU 0..4 (40001..40005)", "unit 1", "exception 2", "point scan"] {
        assert!(planned.to_string().contains(part), "missing {part}: {planned}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_failure_is_told_apart_and_says_what_to_do() {
    let plc = plc().await;
    let config = visited(&plc, vec![read(0, "40001", WireType::Float32)]);
    let mut visit = Visit::open(DeviceConfig { timeout: Duration::from_millis(300), ..config.clone() }).await.unwrap();
    for (code, fault, part) in [
        (ExceptionCode::IllegalFunction, AskFault::Refused(1), "does not know this function"),
        (ExceptionCode::ServerDeviceFailure, AskFault::Refused(4), "its own display"),
        (ExceptionCode::ServerDeviceBusy, AskFault::Refused(6), "ask again"),
        (ExceptionCode::GatewayTargetDevice, AskFault::Gateway(11), "gateway speaks"),
    ] {
        plc.with(|s| s.exception = Some(code));
        let error = visit.point(0).await.unwrap_err();
        assert_eq!(error.fault, fault);
        assert!(error.to_string().contains(part), "{error}");
    }
    plc.with(|s| (s.exception, s.mute) = (None, true));
    let error = visit.point(0).await.unwrap_err();
    assert_eq!(error.fault, AskFault::Silent);
    assert!(error.to_string().contains("unit number"), "{error}");
    plc.with(|s| s.mute = false);
    drop(plc);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Visit::open(DeviceConfig { address: free.to_string(), ..config }).await.err().unwrap();
    assert_eq!(error.fault, AskFault::Connect);
    assert!(error.to_string().contains("nothing listens there"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_sent_as_the_device_wants_it_and_held_against_what_it_holds() {
    let plc = plc().await;
    let mut config = visited(&plc, vec![write(0, "40001", WireType::Float32), write(1, "40005.2", WireType::Bit)]);
    config.quirks.write_with = WriteWith::Single;
    let mut visit = Visit::open(config).await.unwrap();
    let done = visit.write(0, &Value::Float(1.0)).await.unwrap();
    assert!(done.equal);
    assert_eq!((done.sent, done.back.value), (Raw::Words(vec![0x3F80, 0]), Ok((Value::Float(1.0), Quality::Good))));
    let writes = |s: &mut bench::State| {
        let single = |r: &&Request<'_>| matches!(r, Request::WriteSingleRegister(..));
        s.requests.iter().filter(single).count()
    };
    assert_eq!(plc.with(writes), 2, "register by register");
    assert!(visit.write(1, &Value::Bool(false)).await.unwrap().equal);
    assert_eq!(plc.with(|s| s.registers[&4]), 3, "the neighbours' bits stay");
    plc.with(|s| s.deaf = true);
    let done = visit.write(0, &Value::Float(9.0)).await.unwrap();
    assert!(!done.equal && done.read_backs > 1, "{done:?}");
    assert_eq!(done.back.value, Ok((Value::Float(1.0), Quality::Good)));
    let asked = plc.with(|s| s.requests.len());
    let error = visit.write(0, &Value::Float(1e39)).await.unwrap_err();
    assert_eq!((error.fault, plc.with(|s| s.requests.len())), (AskFault::Value, asked), "nothing was sent: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decoded_is_said_with_its_registers() {
    let plc = plc().await;
    plc.with(|s| s.registers.extend([(0, 0x7FC0), (1, 0)]));
    let mut visit = Visit::open(visited(&plc, vec![read(0, "40001", WireType::Float32)])).await.unwrap();
    let reading = visit.point(0).await.unwrap();
    assert_eq!((reading.value, reading.raw), (Err(BadReason::NotFinite), Raw::Words(vec![0x7FC0, 0])));
}

const GENTLE: ScanLimits = ScanLimits { pause: Duration::ZERO, time: Duration::from_secs(60) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_finds_the_readable_places_and_says_what_it_left_open() {
    let plc = plc().await;
    // Only 10 to 17 and 100 exist below 200.
    plc.with(|s| s.illegal.extend((0..200).filter(|at| !(10..=17).contains(at) && *at != 100)));
    plc.with(|s| s.unknown_functions.extend([1, 2]));
    let mut visit = Visit::open(visited(&plc, Vec::new())).await.unwrap();
    let areas = [Area::Coil, Area::Holding];
    let maps = scan_areas(&mut visit, &areas, 0..=199, GENTLE).await.unwrap();
    assert!(maps[0].unknown && maps[0].questions == 1);
    assert_eq!(maps[1].readable, [(10, 17), (100, 100)]);
    assert_eq!((maps[1].open.clone(), maps[1].ended.clone()), (Vec::new(), None));
    assert!(
        plc.with(|s| s
            .requests
            .iter()
            .all(|r| matches!(r, Request::ReadCoils(..) | Request::ReadHoldingRegisters(..))))
    );
    let none = ScanLimits { time: Duration::ZERO, ..GENTLE };
    let maps = scan_areas(&mut visit, &[Area::Holding], 0..=199, none).await.unwrap();
    assert_eq!((maps[0].readable.clone(), maps[0].open.clone(), maps[0].questions), (Vec::new(), vec![(0, 199)], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_gives_a_silent_device_up_and_tells_units_apart() {
    let plc = plc().await;
    let config = DeviceConfig { timeout: Duration::from_millis(100), ..visited(&plc, Vec::new()) };
    let mut visit = Visit::open(config).await.unwrap();
    plc.with(|s| s.mute = true);
    let maps = scan_areas(&mut visit, &[Area::Holding], 0..=65_535, GENTLE).await.unwrap();
    assert_eq!((maps[0].questions, maps[0].open.clone()), (3, vec![(0, 65_535)]));
    assert_eq!(maps[0].ended.as_ref().map(|e| e.fault), Some(AskFault::Silent));
    plc.with(|s| s.mute = false);
    let mut told = 0;
    let mut visit = Visit::open(visited(&plc, Vec::new())).await.unwrap();
    let seen = scan_units(&mut visit, 1..=2, GENTLE, |_| told += 1).await.unwrap();
    assert_eq!((told, seen.len()), (2, 2));
    assert!(seen.iter().all(|unit| unit.sign == Sign::Answers), "{seen:?}");
    plc.with(|s| s.exception = Some(ExceptionCode::GatewayTargetDevice));
    let seen = scan_units(&mut visit, 7..=7, GENTLE, |_| {}).await.unwrap();
    assert!(matches!(&seen[0].sign, Sign::Absent(why) if why.contains("behind the gateway")), "{seen:?}");
    plc.with(|s| s.exception = Some(ExceptionCode::IllegalDataAddress));
    let seen = scan_units(&mut visit, 7..=7, GENTLE, |_| {}).await.unwrap();
    assert_eq!(seen[0].sign, Sign::Refuses(2), "who refuses is there");
}
