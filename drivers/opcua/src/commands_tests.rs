//! The order in which kept commands go out.

use super::*;
use crate::config::{GroupConfig, PointConfig, WriteConfig};
use crate::part::Part;
use crate::security::{Identity, Security};
use penstock_model::{DeviceId, FallbackCause, Utc, Value, ValueType};
use std::time::Duration;

/// A book for points 0 to 3, whose tags have the same numbers.
fn book() -> Book {
    let point = |tag: u32| PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        node: format!("ns=2;s=N{tag}"),
        part: Part::default(),
        value_type: ValueType::Float,
        scale: 1.0,
        offset: 0.0,
        range: None,
        group: 0,
        write: Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0 }),
    };
    Book::new(&DeviceConfig {
        id: DeviceId(0),
        name: "plc".into(),
        endpoint: "opc.tcp://nowhere:4840".into(),
        security: Security::None,
        exceptions: Vec::new(),
        identity: Identity::Anonymous,
        timeout: Duration::from_secs(2),
        groups: vec![GroupConfig::every("g", Duration::from_secs(1))],
        points: (0..4).map(point).collect(),
        pki_dir: "pki".into(),
        certificate_tag: None,
    })
}

fn command(id: u64, tag: u32, origin: Origin) -> Command {
    let (device, granted) = (DeviceId(0), Utc(0));
    Command { id: CommandId(id), tag: TagId(tag), device, value: Some(Value::Float(1.0)), origin, granted }
}

fn program(id: u64, tag: u32) -> Command {
    command(id, tag, Origin::Program("p".into()))
}

fn fallback(id: u64, tag: u32) -> Command {
    command(id, tag, Origin::Fallback(FallbackCause::Link))
}

/// Sends what waits, at most so many, by a server that confirms the points listed; the order of it.
fn send(book: &mut Book, at_most: usize, confirmed: &[usize]) -> Vec<u64> {
    let sent = book.pending(at_most);
    for (point, command) in &sent {
        book.send(*point);
        if confirmed.contains(point) {
            book.confirm(*point, command.id);
        }
    }
    sent.iter().map(|(_, command)| command.id.0).collect()
}

const ALL: &[usize] = &[0, 1, 2, 3];

#[test]
fn what_waits_goes_out_as_it_came_and_a_fallback_first() {
    let mut book = book();
    for command in [program(1, 2), program(2, 0), fallback(3, 3), program(4, 1)] {
        assert!(book.accept(command).is_empty());
    }
    assert_eq!(send(&mut book, 3, ALL), [3, 1, 2]);
    assert_eq!(send(&mut book, 3, ALL), [4]);
    assert!(!book.has_pending());
}

#[test]
fn after_a_return_what_the_server_never_confirmed_goes_first() {
    let mut book = book();
    for command in [program(1, 0), program(2, 1), program(3, 2), program(4, 3)] {
        book.accept(command);
    }
    // The server refuses point 1; then it is lost.
    assert_eq!(send(&mut book, 9, &[0, 2, 3]), [1, 2, 3, 4]);
    book.accept(fallback(5, 3));
    // Probes without an answer: sent, never confirmed.
    for _ in 0..3 {
        book.reassert();
        assert_eq!(send(&mut book, 1, &[]), [5]);
    }
    book.reassert();
    assert_eq!(send(&mut book, 9, ALL), [5, 2, 1, 3]);
    // Once confirmed, a fallback is as any other.
    book.reassert();
    assert_eq!(send(&mut book, 9, ALL), [1, 2, 3, 5]);
}
