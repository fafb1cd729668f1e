//! Channels of a site: what is accepted, what the plan says of it, and what is refused at which place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use penstock::config::{DriverConfig, Overrides, Site, load};
use penstock_modbus::{DeviceConfig, Parity, Transport, WriteWith};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PENSTOCK: &str = env!("CARGO_BIN_EXE_penstock");

const LINE: &str = "- channel: field_line
  serial: /dev/ttyUSB0
  line: { baud: 9600, parity: none, stop_bits: 2 }
  pause: 6ms
  answer_time: 20ms
  dead_share: 2
";

/// A small site: meters on a line, a drive of its own peculiarities.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage { folder: tempfile::tempdir().unwrap() };
        stage.put(
            "site.yaml",
            "site: lines\nname: Lines\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\nprofiles: profiles\n",
        );
        stage.put("channels.yaml", LINE);
        stage.put(
            "profiles/meter.yaml",
            "profile: meter
driver: modbus-tcp
pause_between_requests: 10ms
registers_max: 16
groups: { normal: { every: 2s }, slow: { every: 10s } }
points:
  - { tag: power, at: 30001, as: float32, unit: kW, group: normal }
  - { tag: voltage, at: 30009, as: uint16, scale: 0.1, unit: V, group: slow }
",
        );
        for unit in [11, 12, 13] {
            stage.meter(unit, "channel: field_line");
        }
        stage.put(
            "devices/drive.yaml",
            "device: drive
driver: modbus-rtu
address: /dev/ttyUSB1
line: { baud: 19200 }
unit: 4
write_with: single
mask_write: true
keep_alive: 20s
retries: 2
groups: { normal: { every: 1s } }
points:
  - { tag: drv/speed, at: h8, as: int16, unit: \"%\", raw: [0, 16384], range: [0, 100] }
  - { tag: drv/current, at: \"4!300021#LB\", as: float32, unit: A }
",
        );
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn meter(&self, unit: u8, way: &str) {
        let text = format!("device: meter_{unit}\nprofile: meter\nprefix: met/{unit}\n{way}\nunit: {unit}\n");
        self.put(&format!("devices/meter-{unit}.yaml"), &text);
    }

    fn load(&self) -> Site {
        load(self.folder.path(), &Overrides::default()).unwrap_or_else(|e| panic!("{e}")).site
    }

    #[track_caller]
    fn refused(&self, parts: &[&str]) {
        let said = load(self.folder.path(), &Overrides::default()).map(|_| ()).unwrap_err().to_string();
        for part in parts {
            assert!(said.contains(part), "missing: {part}\nin: {said}");
        }
    }
}

fn modbus<'a>(site: &'a Site, name: &str) -> &'a DeviceConfig {
    match &site.devices.iter().find(|d| &*d.name == name).unwrap().driver {
        DriverConfig::Modbus(config) => config,
        DriverConfig::OpcUa(_) => panic!("{name} is no Modbus device"),
    }
}

#[test]
fn devices_of_a_channel_share_it_and_peculiarities_come_from_device_and_profile() {
    let stage = Stage::new();
    let site = stage.load();
    let meter = modbus(&site, "meter_12");
    assert_eq!((meter.address.as_str(), meter.channel.name.as_deref()), ("/dev/ttyUSB0", Some("field_line")));
    let Transport::Serial(serial) = meter.channel.transport else { panic!("{:?}", meter.channel) };
    assert_eq!((serial.baud, serial.parity, serial.stop_bits), (9_600, Parity::None, 2));
    assert_eq!((meter.channel.pause, meter.channel.dead_share), (Duration::from_millis(6), 0.02));
    assert_eq!((meter.quirks.pause, meter.registers_max), (Duration::from_millis(10), 16));
    let drive = modbus(&site, "drive");
    assert_eq!((drive.quirks.write_with, drive.quirks.mask_write), (WriteWith::Single, true));
    assert_eq!((drive.quirks.keep_alive, drive.quirks.retries), (Some(Duration::from_secs(20)), Some(2)));
    assert_eq!((drive.points[0].scale, drive.points[0].offset), (100.0 / 16_384.0, 0.0));
    assert_eq!((drive.points[0].address.pdu, drive.points[1].address.pdu), (8, 20));
    assert_eq!(drive.points[1].order.to_string(), "CDAB");
    assert_eq!(site.devices.iter().find(|d| &*d.name == "drive").unwrap().driver.as_str(), "modbus-rtu");
    let all: Vec<DeviceConfig> = ["drive", "meter_11", "meter_12", "meter_13"].map(|n| modbus(&site, n).clone()).into();
    assert_eq!(penstock_modbus::channels(&all), [vec![0], vec![1, 2, 3]]);
}

#[test]
fn a_gateway_is_one_connection_and_a_bare_address_is_another() {
    let stage = Stage::new();
    stage.meter(11, "gateway: west\naddress: 10.0.0.7:502");
    stage.meter(12, "gateway: west\naddress: 10.0.0.7:502");
    stage.meter(13, "address: 10.0.0.7:502");
    let site = stage.load();
    let name = |n: &str| modbus(&site, n).channel.name.clone();
    assert_eq!(
        (name("meter_11").as_deref(), name("meter_12").as_deref(), name("meter_13")),
        (Some("west"), Some("west"), None)
    );
    assert_eq!(modbus(&site, "meter_11").channel.transport, Transport::Tcp);
    stage.meter(12, "gateway: west\naddress: 10.0.0.8:502");
    stage.refused(&["`west` is described in two ways", "meter-12.yaml:4:10", "meter-11.yaml:4:10"]);
    // Moved from outside, all of a gateway move together.
    stage.meter(12, "gateway: west\naddress: 10.0.0.7:502");
    let overrides = Overrides { device_address: vec![("west".to_owned(), "127.0.0.1:5020".to_owned())] };
    let site = load(stage.folder.path(), &overrides).unwrap().site;
    assert_eq!(modbus(&site, "meter_12").address, "127.0.0.1:5020");
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    let stage = Stage::new();
    stage.meter(12, "channel: feild_line");
    stage.refused(&["unknown channel `feild_line`", "meter-12.yaml:4:10", "field_line"]);
    stage.meter(12, "channel: field_line\naddress: 10.0.0.7:502");
    stage.refused(&["the device is on channel `field_line`, which says this already", "meter-12.yaml:5:10"]);
    stage.meter(12, "channel: field_line\ndriver: modbus-tcp");
    stage.refused(&["channel `field_line` is `modbus-rtu`, not `modbus-tcp`", "driver: modbus"]);
    stage.put(
        "devices/meter-12.yaml",
        "device: meter_12\nprofile: meter\nprefix: met/12\nchannel: field_line\nunit: 11\n",
    );
    stage.refused(&["unit 11 of `field_line` is taken", "meter-12.yaml:5:7", "meter-11.yaml:5:7"]);
    stage.meter(12, "channel: field_line");
    stage.put("channels.yaml", &LINE.replace("  serial: /dev/ttyUSB0\n", ""));
    stage.refused(&["channel `field_line` does not say where it is", "channels.yaml:1:12"]);
    stage.put("channels.yaml", &LINE.replace("9600", "96"));
    stage.refused(&["96 bits per second is outside 300..921600", "channels.yaml:3:17"]);
    stage.put("channels.yaml", &LINE.replace("dead_share: 2", "dead_share: 80"));
    stage.refused(&["a dead share of 80 % is outside", "channels.yaml:6:15"]);
    stage.put("channels.yaml", &LINE.replace("serial: /dev/ttyUSB0", "tcp: 10.0.0.7:502"));
    stage.refused(&["`line` belongs to a serial port", "channels.yaml:3"]);
}

#[test]
fn a_line_that_cannot_meet_its_periods_is_refused_with_the_reason() {
    let stage = Stage::new();
    stage.put("channels.yaml", &LINE.replace("9600", "300"));
    stage.refused(&[
        "% of the time of channel `field_line`: they cannot be done in their periods",
        "group `normal` of device `meter_1",
        "every 2s",
        "profiles/meter.yaml:5:28",
        "penstock plan",
    ]);
}

fn plan(folder: &Path, more: &[&str]) -> String {
    let output = Command::new(PENSTOCK).arg("plan").arg(folder).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_plan_lists_every_request_with_its_cost_and_what_the_dead_cost() {
    let stage = Stage::new();
    let text = plan(stage.folder.path(), &["--points"]);
    for part in [
        "channel field_line: modbus-rtu /dev/ttyUSB0 9600 8N2",
        "3 units, 6 requests, 96 bytes, 0 places read for nothing",
        "1 dead: everything at once",
        "input register PDU 0..1: 2 read, 0 for nothing, 1 points, 17 bytes",
        "input register PDU 8 (30009)  uint16 ABCD  met/11/voltage",
        "channel modbus-rtu /dev/ttyUSB1 19200 8E1",
        "holding register PDU 8 (40009)  int16 ABCD  drv/speed",
    ] {
        assert!(text.contains(part), "missing: {part}\nin:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&plan(stage.folder.path(), &["--json"])).unwrap();
    let line = json.as_array().unwrap().iter().find(|c| c["devices"].as_array().unwrap().len() == 3).unwrap();
    // 8 bytes out, 9 back at 11 bits each and 9600 a second; 20 ms of thinking; two silences of 6 ms; 10 ms of pause.
    let expected = 17.0 * 11.0 / 9.6 + 20.0 + 12.0 + 10.0;
    let first = &line["requests"][0];
    assert!((first["expected_ms"].as_f64().unwrap() - expected).abs() < 1e-3, "{first}");
    let short = 15.0 * 11.0 / 9.6 + 42.0;
    let load = 3.0 * (expected / 2_000.0 + short / 10_000.0);
    assert!((line["load"].as_f64().unwrap() - load).abs() < 1e-3);
    // One dead: its neighbours' requests, and its own time-outs: once and a repetition, then a probe.
    let others = 2.0 * (expected + short);
    let dead = &line["dead"][0];
    assert!((dead["at_first_ms"].as_f64().unwrap() - (others + 2.0 * 1_100.0)).abs() < 1e-3, "{dead}");
    assert!((dead["then_ms"].as_f64().unwrap() - (others + 1_100.0)).abs() < 1e-3, "{dead}");
}

#[test]
fn the_plan_of_the_bundled_sites_fits() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for (site, part) in
        [("jinan-wwtp", "channel power_meters: modbus-tcp 127.0.0.1:5024"), ("bsm1", "channel modbus-tcp")]
    {
        let text = plan(&configs.join(site), &[]);
        assert!(text.contains(part), "{text}");
    }
}
