//! The devices as a foreign client sees them: hand-written Modbus TCP frames and an OPC UA client against the running
//! simulator on free ports.

#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not see as such

mod support;

use std::collections::HashMap;
use std::time::Duration;

use support::{Sim, ask};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

fn abcd(bytes: &[u8]) -> f32 {
    f32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn cdab(bytes: &[u8]) -> f32 {
    f32::from_be_bytes([bytes[2], bytes[3], bytes[0], bytes[1]])
}

fn word(bytes: &[u8], register: usize) -> u16 {
    u16::from_be_bytes([bytes[2 * register], bytes[2 * register + 1]])
}

/// Input registers from PDU address 0.
async fn inputs(stream: &mut TcpStream, unit: u8, count: u8) -> Vec<u8> {
    let answer = ask(stream, unit, &[4, 0, 0, 0, count]).await;
    assert_eq!(answer[..2], [4, 2 * count]);
    answer[2..].to_vec()
}

#[tokio::test]
async fn aeration_plc_answers_by_its_map() {
    let sim = Sim::start().await;
    let mut plc = sim.connect("aeration_plc").await;
    let block = inputs(&mut plc, 1, 48).await;
    let value = |number: usize| abcd(&block[2 * (number - 30_001)..]);
    for number in [30_001, 30_003, 30_005] {
        assert!((0.5..3.5).contains(&value(number)), "DO at {number}: {}", value(number));
    }
    assert!((45.0..65.0).contains(&value(30_023)), "header {}", value(30_023));
    assert!((2500.0..4500.0).contains(&value(30_045)), "mlss {}", value(30_045));
    let air: f32 = [30_011, 30_013, 30_015].map(value).iter().sum();
    assert!((1500.0..9000.0).contains(&air), "air {air}");
    assert!((400.0..1300.0).contains(&value(30_039)), "flow {}", value(30_039));

    // Discrete inputs 1..7: blower 1 runs, no fault, remote.
    let bits = ask(&mut plc, 1, &[2, 0, 0, 0, 7]).await;
    assert_eq!(bits[..2], [2, 1]);
    assert_eq!(bits[2] & 0b0111_1001, 0b0100_0001, "{:#010b}", bits[2]);

    // Write valve 3 to 45.00 %, read it back; coil 3 on.
    assert_eq!(ask(&mut plc, 1, &[6, 0, 0, 0x11, 0x94]).await, [6, 0, 0, 0x11, 0x94]);
    assert_eq!(ask(&mut plc, 1, &[3, 0, 0, 0, 1]).await, [3, 2, 0x11, 0x94]);
    assert_eq!(ask(&mut plc, 1, &[5, 0, 2, 0xff, 0]).await, [5, 0, 2, 0xff, 0]);
    assert_eq!(ask(&mut plc, 1, &[1, 0, 2, 0, 1]).await, [1, 1, 1]);
    // 1500.0 m3/h as float32 ABCD into 40011.
    let recycle = [16, 0, 10, 0, 2, 4, 0x44, 0xbb, 0x80, 0x00];
    assert_eq!(ask(&mut plc, 1, &recycle).await, [16, 0, 10, 0, 2]);
    assert_eq!(ask(&mut plc, 1, &[3, 0, 10, 0, 2]).await, [3, 4, 0x44, 0xbb, 0x80, 0x00]);
    // Heartbeat at PDU 899.
    assert_eq!(ask(&mut plc, 1, &[6, 0x03, 0x83, 0, 1]).await, [6, 0x03, 0x83, 0, 1]);
    sim.stop().await;
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let sim = Sim::start().await;
    let mut plc = sim.connect("aeration_plc").await;
    let cases: [(&str, u8, &[u8], [u8; 2]); 11] = [
        ("unknown unit", 9, &[4, 0, 0, 0, 1], [0x84, 0x0b]),
        ("input beyond the map", 1, &[4, 0, 66, 0, 1], [0x84, 2]),
        ("range over the end", 1, &[4, 0, 60, 0, 20], [0x84, 2]),
        ("no register", 1, &[4, 0, 0, 0, 0], [0x84, 3]),
        ("more than 125 registers", 1, &[3, 0, 0, 0, 126], [0x83, 3]),
        ("holding gap before the heartbeat", 1, &[3, 0x03, 0x82, 0, 1], [0x83, 2]),
        ("valve below 15 %", 1, &[6, 0, 0, 0x05, 0xdb], [0x86, 3]),
        ("valve above 85 %", 1, &[6, 0, 0, 0x21, 0x35], [0x86, 3]),
        ("register that is not writable", 1, &[6, 0, 7, 0, 1], [0x86, 2]),
        ("NaN", 1, &[16, 0, 10, 0, 2, 4, 0x7f, 0xc0, 0, 0], [0x90, 3]),
        ("unknown function", 1, &[0x16, 0, 0, 0, 0, 0, 0], [0x96, 1]),
    ];
    for (what, unit, pdu, expected) in cases {
        assert_eq!(ask(&mut plc, unit, pdu).await, expected, "{what}");
    }
    let mut skid = sim.connect("dosing_skid").await;
    assert_eq!(ask(&mut skid, 1, &[4, 0, 0, 0, 1]).await, [0x84, 0x0b], "the skid is unit 2");
    assert_eq!(ask(&mut skid, 2, &[6, 0, 102, 0x03, 0xe9]).await, [0x86, 3], "hypochlorite above 100 L/h");
    sim.stop().await;
}

#[tokio::test]
async fn skid_inverter_and_heat_pump_answer_by_their_maps() {
    let sim = Sim::start().await;
    let mut skid = sim.connect("dosing_skid").await;
    let block = inputs(&mut skid, 2, 20).await;
    let value = |number: usize| cdab(&block[2 * (number - 30_001)..]);
    assert!((0.3..3.0).contains(&value(30_001)), "PO4 in {}", value(30_001));
    assert!((15.0..60.0).contains(&value(30_005)), "PAC {}", value(30_005));
    assert!((60.0..80.0).contains(&value(30_011)), "level {}", value(30_011));
    let commands = ask(&mut skid, 2, &[3, 0, 100, 0, 3]).await;
    assert!((f32::from(word(&commands[2..], 0)) * 0.1 - value(30_005)).abs() < 1.0, "{commands:?}");
    assert_eq!(word(&commands[2..], 1), 0, "no carbon");
    assert_eq!(ask(&mut skid, 2, &[2, 0, 0, 0, 4]).await, [2, 1, 0b0101]);

    let mut inverter = sim.connect("pv_inverter").await;
    let block = inputs(&mut inverter, 3, 12).await;
    assert!([4, 5].contains(&word(&block, 0)), "state at noon {}", word(&block, 0));
    let power_kw = f64::from(i32::from_be_bytes(block[2..6].try_into().unwrap())) * 0.001;
    let energy_kwh = u64::from_be_bytes(block[6..14].try_into().unwrap()) as f64 * 0.001;
    assert!((20.0..=600.0).contains(&power_kw), "{power_kw} kW");
    assert!((1.8e6..2.0e6).contains(&energy_kwh), "{energy_kwh} kWh");
    assert!((40..1300).contains(&word(&block, 9)), "irradiance {}", word(&block, 9));
    assert!((4990..=5010).contains(&word(&block, 11)), "frequency {}", word(&block, 11));
    assert_eq!(ask(&mut inverter, 3, &[3, 0, 0, 0, 3]).await, [3, 6, 0x03, 0xe8, 0, 0, 0, 60]);

    let mut heat = sim.connect("heat_pump").await;
    let block = inputs(&mut heat, 1, 15).await;
    assert_eq!((word(&block, 0), word(&block, 1)), (0b1_0000, 0), "off, in remote, no fault");
    assert!((450..490).contains(&word(&block, 6)), "tank {}", word(&block, 6));
    assert_eq!(word(&block, 14), 0, "stage");
    assert_eq!(ask(&mut heat, 1, &[4, 0, 0, 0, 17]).await, [0x84, 3], "more than 16 registers");
    assert_eq!(ask(&mut heat, 1, &[16, 0, 1, 0, 1, 2, 1, 0xf4]).await, [0x90, 1], "it knows single writes only");
    assert_eq!(ask(&mut heat, 1, &[6, 0, 1, 1, 0xf4]).await, [6, 0, 1, 1, 0xf4]);
    assert_eq!(ask(&mut heat, 1, &[6, 0, 1, 0x02, 0x58]).await, [6, 0, 1, 0x02, 0x58]);
    assert_eq!(ask(&mut heat, 1, &[3, 0, 0, 0, 3]).await, [3, 6, 0, 0, 0x02, 0x58, 0x01, 0xf4]);
    assert_eq!(ask(&mut heat, 1, &[6, 0, 1, 0, 100]).await, [0x86, 3], "capacity below 25 %");
    sim.stop().await;
}

#[tokio::test]
async fn meters_behind_the_gateway_balance() {
    let sim = Sim::start().await;
    let mut gateway = sim.connect("power_meters").await;
    let mut power = HashMap::new();
    for unit in 11..=16 {
        let block = inputs(&mut gateway, unit, 12).await;
        power.insert(unit, f64::from(abcd(&block)));
        // Low word first.
        let energy = u32::from(word(&block, 5)) << 16 | u32::from(word(&block, 4));
        assert!(f64::from(energy) * 0.01 > 500_000.0, "unit {unit}: {energy}");
        assert!((3900..4100).contains(&word(&block, 8)), "unit {unit}: voltage {}", word(&block, 8));
        assert!((4990..=5010).contains(&word(&block, 10)), "unit {unit}");
        let factor = f64::from(word(&block, 11) as i16) * 0.001;
        assert!((-1.0..=1.0).contains(&factor) && factor != 0.0, "unit {unit}: {factor}");
    }
    // The six answers may straddle an update of the registers.
    let balance = power[&12] + power[&13] + power[&14] + power[&15] - power[&16];
    assert!((power[&11] - balance).abs() < 5.0, "{power:?}");
    assert_eq!(ask(&mut gateway, 17, &[4, 0, 0, 0, 1]).await, [0x84, 0x0b]);
    sim.stop().await;
}

#[tokio::test]
async fn registers_live_and_a_stopped_plant_frees_its_ports() {
    let sim = Sim::start().await;
    let mut plc = sim.connect("aeration_plc").await;
    let first = inputs(&mut plc, 1, 48).await;
    let mut changed = false;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        changed = inputs(&mut plc, 1, 48).await != first;
        if changed {
            break;
        }
    }
    assert!(changed, "the registers stand still");
    let address = sim.addresses["aeration_plc"];
    sim.stop().await;
    assert_eq!(plc.read(&mut [0; 8]).await.unwrap_or(0), 0, "the connection outlived the plant");
    tokio::net::TcpListener::bind(address).await.unwrap();
}

mod opcua_client {
    use super::*;
    use opcua::client::{ClientBuilder, IdentityToken};
    use opcua::crypto::SecurityPolicy;
    use opcua::types::{
        AttributeId, DataValue, MessageSecurityMode, NodeId, NumericRange, ReadValueId, StatusCode, TimestampsToReturn,
        UserTokenPolicy, Variant, WriteValue,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn nodes_read_and_commands_are_checked() {
        let sim = Sim::start().await;
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
        let (session, event_loop) =
            client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
        event_loop.spawn();
        assert!(tokio::time::timeout(Duration::from_secs(10), session.wait_for_connection()).await.unwrap());
        let namespace = session.get_namespace_index("urn:penstock:sim:sludge-effluent").await.unwrap();
        let id = |name: &str| NodeId::new(namespace, name.to_owned());
        let read = async |name: &str| {
            let node = ReadValueId { node_id: id(name), attribute_id: AttributeId::Value as u32, ..Default::default() };
            session.read(&[node], TimestampsToReturn::Both, 0.0).await.unwrap().remove(0)
        };
        let write = async |name: &str, value: Variant| {
            let value = WriteValue {
                node_id: id(name),
                attribute_id: AttributeId::Value as u32,
                index_range: NumericRange::None,
                value: DataValue::value_only(value),
            };
            session.write(&[value]).await.unwrap()[0]
        };

        let flow = read("Effluent.Flow").await;
        assert!(matches!(flow.value, Some(Variant::Double(v)) if (400.0..1300.0).contains(&v)), "{flow:?}");
        assert!(flow.source_timestamp.is_some() && flow.status().is_good());
        assert!(matches!(read("Sludge.DewaterRunning").await.value, Some(Variant::Boolean(_))));
        assert_eq!(read("Sludge.Nothing").await.status(), StatusCode::BadNodeIdUnknown);

        assert_eq!(write("Sludge.RasCmd", Variant::Double(900.0)).await, StatusCode::Good);
        assert_eq!(read("Sludge.RasCmd").await.value, Some(Variant::Double(900.0)));
        assert_eq!(write("Sludge.RasCmd", Variant::Double(1600.0)).await, StatusCode::BadOutOfRange);
        assert_eq!(write("Sludge.RasCmd", Variant::Double(f64::NAN)).await, StatusCode::BadOutOfRange);
        assert_eq!(write("Sludge.WasCmd", Variant::Int32(10)).await, StatusCode::BadTypeMismatch);
        assert!(write("Effluent.Flow", Variant::Double(1.0)).await.is_bad());
        assert_eq!(read("Sludge.RasCmd").await.value, Some(Variant::Double(900.0)));

        // The command reaches the plant: the flow follows with a time constant of 12 s.
        let mut flow = 0.0;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(Variant::Double(now)) = read("Sludge.RasFlow").await.value {
                flow = now;
            }
            if flow > 795.0 {
                break;
            }
        }
        assert!(flow > 795.0, "return sludge still at {flow} m3/h");
        let _ = session.disconnect().await;
        sim.stop().await;
    }
}
