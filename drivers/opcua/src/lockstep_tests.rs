//! A server in memory whose session fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

use super::*;
use crate::config::{GroupConfig, PointConfig, WriteConfig};
use crate::security::{Identity, Security};
use penstock_model::{CommandId, DeviceId, Origin, Utc, ValueType};
use std::sync::Mutex;

struct Server {
    reach: Reach,
    read: f64,
    written: f64,
}

impl Nodes for Server {
    fn reach(&self) -> Reach {
        self.reach
    }
    fn read(&mut self, node: &NodeRef) -> Option<Plain> {
        Some(Plain::Double(if node.string_id() == Some("In") { self.read } else { self.written }))
    }
    fn write(&mut self, _: &NodeRef, value: Plain) -> bool {
        if let Plain::Double(x) = value {
            self.written = x;
        }
        true
    }
}

#[derive(Default)]
struct Heard(Mutex<(Vec<TagSample>, Vec<Outcome>, Vec<LinkRecord>)>);

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        self.0.lock().unwrap().0.extend_from_slice(batch);
    }
    fn outcome(&self, outcome: Outcome) {
        self.0.lock().unwrap().1.push(outcome);
    }
    fn link(&self, link: LinkRecord) {
        self.0.lock().unwrap().2.push(link);
    }
}

impl Heard {
    fn sample(&self) -> Sample {
        self.0.lock().unwrap().0.last().unwrap().sample.clone()
    }
    fn state(&self) -> LinkState {
        self.0.lock().unwrap().2.last().unwrap().state
    }
}

fn config() -> DeviceConfig {
    let point = |tag: u32, node: &str, write: bool| PointConfig {
        tag: TagId(tag),
        path: node.into(),
        node: format!("ns=2;s={node}"),
        part: crate::part::Part::default(),
        value_type: ValueType::Float,
        scale: 1.0,
        offset: 0.0,
        range: None,
        group: 0,
        write: write.then_some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0 }),
    };
    DeviceConfig {
        id: DeviceId(0),
        name: "d".into(),
        endpoint: "opc.tcp://127.0.0.1:4840".into(),
        security: Security::None,
        exceptions: Vec::new(),
        identity: Identity::Anonymous,
        timeout: Duration::from_secs(1),
        groups: vec![GroupConfig::every("g", Duration::from_millis(500))],
        points: vec![point(0, "In", false), point(1, "Out", true)],
        pki_dir: "pki".into(),
        certificate_tag: None,
    }
}

fn run(
    driver: &mut Lockstep,
    server: &mut Server,
    heard: &Heard,
    from_ms: u64,
    to_ms: u64,
    command: Option<(u64, f64)>,
) {
    let mut command = command;
    for ms in (from_ms..to_ms).step_by(100) {
        let nanos = ms * 1_000_000;
        let now = Now { mono: Instant(nanos), utc: Utc(i64::try_from(nanos).unwrap()) };
        let commands = command.take().map(|(id, value)| Command {
            id: CommandId(id),
            tag: TagId(1),
            device: DeviceId(0),
            value: Some(Value::Float(value)),
            origin: Origin::Retained,
            granted: now.utc,
        });
        driver.step(server, commands.into_iter().collect(), heard, now);
    }
}

#[test]
fn a_lost_session_makes_tags_bad_and_commands_wait_for_the_next_one() {
    let (mut driver, heard) = (Lockstep::new(config()), Heard::default());
    let mut server = Server { reach: Reach::Answers, read: 3.0, written: 0.0 };
    run(&mut driver, &mut server, &heard, 0, 1_000, Some((1, 5.0)));
    assert_eq!((heard.sample().quality, server.written), (Quality::Good, 5.0));
    server.reach = Reach::Closed;
    run(&mut driver, &mut server, &heard, 1_000, 1_200, None);
    assert_eq!(heard.sample().quality, Quality::Bad(BadReason::Link));
    assert_eq!((heard.sample().value, heard.state()), (Some(Value::Float(3.0)), LinkState::Down));
    run(&mut driver, &mut server, &heard, 1_200, 3_000, Some((2, 8.0)));
    assert_eq!(server.written, 5.0);
    (server.reach, server.written) = (Reach::Answers, 0.0);
    run(&mut driver, &mut server, &heard, 3_000, 8_000, None);
    assert_eq!((heard.sample().quality, heard.state(), server.written), (Quality::Good, LinkState::Up, 8.0));
}

#[test]
fn silence_is_known_when_a_keep_alive_is_overdue() {
    let (mut driver, heard) = (Lockstep::new(config()), Heard::default());
    let mut server = Server { reach: Reach::Answers, read: 3.0, written: 0.0 };
    run(&mut driver, &mut server, &heard, 0, 1_000, None);
    server.reach = Reach::Silent;
    run(&mut driver, &mut server, &heard, 1_000, 2_000, None);
    assert_eq!(heard.sample().quality, Quality::Good, "two periods and a grace have not passed");
    run(&mut driver, &mut server, &heard, 2_000, 2_500, None);
    assert_eq!(heard.sample().quality, Quality::Bad(BadReason::Link));
    assert_eq!(heard.state(), LinkState::Down);
}
