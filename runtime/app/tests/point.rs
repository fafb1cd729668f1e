//! Devices are taken into service from the command line: `penstock point` against the simulated plant.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;

use common::{PENSTOCK, Plant, Sim, bundled_site, holding_registers};
use std::path::Path;
use std::process::Command;

/// Runs `penstock point`; whether it went well, and what it said on both ways out.
fn point(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(PENSTOCK).arg("point").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), format!("{}{}", text(output.stdout), text(output.stderr)))
}

/// The same, for a tag of the bundled site with its device at the simulator.
fn of_site(sim: &Sim, state: &Path, verb: &str, device: &str, tag: &str, more: &[&str]) -> (bool, String) {
    let (site, at) = (bundled_site(), format!("{device}={}", address(sim, device)));
    let start = [verb, site.to_str().unwrap(), tag, "--device", &at, "--state", state.to_str().unwrap()];
    point(&[&start[..], more].concat())
}

fn address<'s>(sim: &'s Sim, device: &str) -> &'s str {
    let known = if device.starts_with("meter_") { "power_meters" } else { device };
    &sim.devices[known]
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "missing: {part}\nin: {said}");
    }
}

#[test]
fn a_tag_is_read_once_with_all_that_a_commissioning_needs() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let (well, said) = of_site(&sim, state.path(), "read", "aeration_plc", "aer/z3/do", &[]);
    assert!(well, "{said}");
    says(
        &said,
        &["aer/z3/do = ", " mg/L (", "input register PDU 0 (30001)", "float32 ABCD", "raw         0x", "unit 1"],
    );
    says(&said, &["function 4", "a site asks so every 1s (group `normal`)", "round trip"]);
    let (well, said) = of_site(&sim, state.path(), "read", "aeration_plc", "aer/z3/do", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    let oxygen = json["value"].as_f64().unwrap();
    assert!(well && (0.0..10.0).contains(&oxygen), "{json}");
    let words: Vec<u16> = json["raw"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap() as u16).collect();
    assert_eq!(common::float_abcd(&words), oxygen, "the registers are those of the value");
    assert_eq!((json["pdu"].as_u64(), json["at"].as_str()), (Some(0), Some("30001")));

    // The same place without a site, and one off.
    let at = address(&sim, "aeration_plc");
    let (well, said) = point(&["read", "--address", at, "--at", "30001", "--as", "real"]);
    assert!(well && said.contains("30001 = "), "{said}");
    let (well, said) = point(&["read", "--address", at, "--at", "49001"]);
    assert!(!well);
    says(&said, &[at, "unit 1", "PDU 9000 (49001)", "exception 2", "one lower or one higher", "what to do: "]);
    let (well, said) = point(&["read", "--address", at, "--unit", "9", "--at", "30001"]);
    assert!(!well);
    says(&said, &["unit 9", "exception 11", "the gateway speaks"]);

    // What is no point of a device, and a slip of the pen.
    let (well, said) = of_site(&sim, state.path(), "read", "aeration_plc", "aer/z3/doo", &[]);
    assert!(!well);
    says(&said, &["aer/z3/doo", "did you mean `aer/z3/do`?"]);
    let (well, said) = of_site(&sim, state.path(), "read", "aeration_plc", "sys/drops/log", &[]);
    assert!(!well, "{said}");
    let (well, said) = point(&["read", "--address", "127.0.0.1:1", "--at", "30001"]);
    assert!(!well);
    says(&said, &["nothing listens there", "check address, port and cable"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_shows_the_old_value_and_is_held_against_what_the_device_holds() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let write = |tag: &str, more: &[&str]| of_site(&sim, state.path(), "write", "aeration_plc", tag, more);
    let at = address(&sim, "aeration_plc").to_owned();
    let before = holding_registers(&at, 1, 0, 1).await;

    let (well, said) = write("aer/z3/valve/cmd", &["--value", "47.5"]);
    assert!(!well, "nobody can be asked: {said}");
    says(&said, &["--yes", "nothing was written"]);
    let (well, said) = write("aer/z3/valve/cmd", &["--value", "95", "--yes"]);
    assert!(!well);
    says(&said, &["95 is outside the limits of `aer/z3/valve/cmd`, 15 to 85 %", "--raw"]);
    let (well, said) = write("aer/z3/do", &["--value", "2", "--yes"]);
    assert!(!well && said.contains("can only be read"), "{said}");
    assert_eq!(holding_registers(&at, 1, 0, 1).await, before, "nothing has been written so far");

    let (well, said) = write("aer/z3/valve/cmd", &["--value", "47.5", "--yes"]);
    assert!(well, "{said}");
    says(&said, &["aer/z3/valve/cmd = ", "to write    47.5 %", "sent        0x128E", "equal: ", "no Penstock runs"]);
    assert_eq!(holding_registers(&at, 1, 0, 1).await, [4_750]);

    // Without a site there are no limits and no output: that has to be said.
    let raw =
        ["write", "--address", &at, "--at", "40001", "--as", "uint16", "--scale", "0.01", "--value", "50", "--yes"];
    let state_text = state.path().to_str().unwrap();
    let (well, said) = point(&[&raw[..], &["--state", state_text]].concat());
    assert!(!well && said.contains("--raw"), "{said}");
    let (well, said) = point(&[&raw[..], &["--raw", "--state", state_text]].concat());
    assert!(well && said.contains("equal: "), "{said}");
    assert_eq!(holding_registers(&at, 1, 0, 1).await, [5_000]);
    // The device's own limits answer for themselves.
    let beyond =
        ["write", "--address", &at, "--at", "40001", "--value", "1499", "--yes", "--raw", "--state", state_text];
    let (well, said) = point(&beyond);
    assert!(!well);
    says(&said, &["writing 1499 to holding register PDU 0 (40001)", "exception 3", "its own"]);
}

#[test]
fn beside_a_running_site_nothing_is_written_unless_one_insists() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let plant = Plant::start(&bundled_site(), state.path(), &sim);
    let write = |more: &[&str]| of_site(&sim, state.path(), "write", "aeration_plc", "aer/z3/valve/cmd", more);
    let (well, said) = write(&["--value", "47.5", "--yes"]);
    assert!(!well);
    says(&said, &["a Penstock controls the plant", "configuration 1 ", "nothing was written", "--force"]);
    let (well, said) = write(&["--value", "47.5", "--yes", "--force"]);
    // What its program commands meanwhile may be there already: it is said either way.
    says(&said, &["WARNING: a Penstock controls the plant", "sent        0x128E"]);
    assert!(well || said.contains("NOT equal"), "{said}");
    // Reading disturbs nobody.
    let (well, said) = of_site(&sim, state.path(), "read", "aeration_plc", "aer/z3/do", &[]);
    assert!(well, "{said}");
    drop(plant);
}

#[test]
fn a_gateway_is_scanned_for_units_and_a_unit_for_places() {
    let sim = Sim::start();
    let at = address(&sim, "power_meters");
    let (well, said) = point(&["scan", "--address", at, "--unit", "9..18", "--pause", "1ms"]);
    assert!(well, "{said}");
    says(&said, &["units that answer: 11, 12, 13, 14, 15, 16", "unit   9 ", "behind the gateway"]);
    let (well, said) =
        point(&["scan", "--address", at, "--unit", "12", "--pause", "1ms", "--places", "0..99", "--area", "input"]);
    assert!(well, "{said}");
    says(&said, &["input registers, ", "readable  PDU 0..11 (30001..30012), 12"]);
    assert!(!said.contains("not settled"), "{said}");
    let (well, said) = point(&["scan", "--address", at, "--unit", "12", "--time", "0s"]);
    assert!(well && said.contains("not settled: PDU 0..999"), "what the time did not reach is said: {said}");
    let (well, said) = point(&["scan", "--address", at, "--unit", "77"]);
    assert!(!well && said.contains("--unit 1..20"), "{said}");
}

#[test]
fn what_the_decoder_prints_is_a_point_that_the_check_takes() {
    let sim = Sim::start();
    // A counter with its low word first, as the meters have it.
    let at = address(&sim, "power_meters");
    let live = ["decode", "--address", at, "--unit", "11", "--at", "30005", "--range", "50000000..500000000"];
    // Another order may lie within the range by chance: the one that is meant is said.
    let (well, said) = point(&[&live[..], &["--as", "udint", "--byte-order", "CDAB", "--tag", "met/energy"]].concat());
    assert!(well, "{said}");
    says(&said, &["counted from 1: PDU 4 (30005)", "counted from 0: PDU 5 (30006)", "* within", "as: uint32"]);
    says(&said, &["byte_order: CDAB", "at: 30005"]);
    let folder = tempfile::tempdir().unwrap();
    let site = "site: new\nname: New\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\n";
    std::fs::write(folder.path().join("site.yaml"), site).unwrap();
    std::fs::create_dir_all(folder.path().join("devices")).unwrap();
    let check = |printed: &str, zero_based: bool| {
        let yaml = printed.split("points:\n").nth(1).unwrap_or_else(|| panic!("no point in: {printed}"));
        let head = format!(
            "device: meter\ndriver: modbus-tcp\naddress: 10.0.0.7:502\nunit: 11\nzero_based: {zero_based}\n\
             groups: {{ normal: {{ every: 1s }} }}\npoints:\n"
        );
        std::fs::write(folder.path().join("devices/meter.yaml"), format!("{head}{yaml}")).unwrap();
        let output = Command::new(PENSTOCK).args(["check", folder.path().to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("no mistakes"), "{said}\n{yaml}");
        let plan = Command::new(PENSTOCK).args(["plan", "--points", folder.path().to_str().unwrap()]).output().unwrap();
        String::from_utf8(plan.stdout).unwrap()
    };
    says(&check(&said, false), &["input register PDU 4 (30005)"]);

    // Without a device: registers from a log or a manual.
    let (well, said) = point(&["decode", "0x42C8", "0x0000", "--range", "0..150", "--at", "40101", "--tag", "a/b"]);
    assert!(well, "{said}");
    says(&said, &["float32   ABCD", "* 100", "as: float32", "byte_order: ABCD"]);
    says(&check(&said, false), &["holding register PDU 100 (40101)"]);
    let zero = ["decode", "0x42C8", "0x0000", "--range", "0..150", "--at", "40100", "--zero-based"];
    let (_, said) = point(&[&zero[..], &["--address-less"]].concat());
    assert!(said.contains("--address-less"), "an unknown option is refused: {said}");
    let (well, said) = point(&zero);
    assert!(well, "{said}");
    says(&check(&said, true), &["holding register PDU 100 (40101)"]);
    for kind in ["uint16", "int16", "float64", "uint64", "bcd16", "int8h"] {
        let words = ["decode", "0x1234", "0x0056", "0x0000", "0x0001", "--as", kind];
        let (well, said) = point(&words);
        assert!(well, "{kind}: {said}");
        check(&said, false);
    }
    let (well, said) = point(&["decode", "70000"]);
    assert!(!well && said.contains("0 to 65535"), "{said}");
}

#[test]
fn a_serial_line_is_read_like_any_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let port = folder.path().join("meters");
    let sim = Sim::start_with(&[format!("--serial=power_meters={},115200,8E1", port.display())]);
    let line = ["--address", port.to_str().unwrap(), "--line", "115200,8E1"];
    let read = |more: &[&str]| point(&[&["read"], &line[..], more].concat());
    let (well, said) = read(&["--unit", "12", "--at", "30009", "--scale", "0.1"]);
    assert!(well, "{said}");
    says(&said, &["modbus-rtu ", "unit 12", "input register PDU 8 (30009)", "raw         0x0F"]);
    let (well, said) = read(&["--unit", "40", "--at", "30009", "--timeout", "200ms"]);
    assert!(!well);
    says(&said, &["no answer within 200ms", "speed and parity"]);
    drop(sim);
}

#[test]
fn a_tag_of_an_opc_ua_server_is_read_and_written_by_its_driver() {
    let (state, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let of = |verb: &str, tag: &str, more: &[&str]| of_site(&sim, state.path(), verb, "sludge_effluent_plc", tag, more);
    let (well, said) = of("read", "eff/nh4", &[]);
    assert!(well, "{said}");
    says(&said, &["eff/nh4 = ", " mg/L (good)", "s=Effluent.NH4", "source time 20"]);
    let (well, said) = of("write", "slu/ras/cmd", &["--value", "801.5", "--yes"]);
    assert!(well, "{said}");
    says(&said, &["slu/ras/cmd = ", "to write    801.5 m3/h", "equal: the server holds"]);
    let (well, said) = of("read", "slu/ras/cmd", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(well && json["value"].as_f64() == Some(801.5), "{json}");
    let (well, said) = of("write", "slu/ras/cmd", &["--value", "2000", "--yes"]);
    assert!(!well && said.contains("outside the limits"), "{said}");
    let (well, said) = of("write", "eff/nh4", &["--value", "2", "--yes"]);
    assert!(!well && said.contains("no output of the site is declared"), "{said}");
    let (well, said) = of("write", "eff/nh4", &["--value", "2", "--yes", "--raw"]);
    assert!(!well && said.contains("NOT written"), "the server itself refuses: {said}");
}
