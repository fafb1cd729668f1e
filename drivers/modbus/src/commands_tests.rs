//! The order in which kept commands go out.

use super::*;
use crate::config::{DeviceConfig, GroupConfig, PointConfig, WriteConfig};
use crate::line::ChannelConfig;
use crate::wire::{ByteOrder, WireType};
use crate::{Quirks, parse_address};
use penstock_model::{DeviceId, FallbackCause, Utc, Value, ValueType};
use std::time::Duration;

/// A book for points 0 to 3, whose tags have the same numbers.
fn book() -> Book {
    let point = |tag: u32| PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        address: parse_address(&format!("HR{}", tag + 1), false).unwrap(),
        wire: WireType::Uint16,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: ValueType::Int,
        range: None,
        group: 0,
        write: Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None }),
        sunspec: None,
    };
    Book::new(&DeviceConfig {
        id: DeviceId(0),
        name: "plc".into(),
        address: "nowhere:1".into(),
        unit: 1,
        timeout: Duration::from_millis(500),
        groups: vec![GroupConfig { name: "g".into(), every: Duration::from_secs(1) }],
        points: (0..4).map(point).collect(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: ChannelConfig::default(),
        quirks: Quirks::default(),
        sunspec: crate::sunspec::Settings::default(),
    })
}

fn command(id: u64, tag: u32, origin: Origin) -> Command {
    let (device, granted) = (DeviceId(0), Utc(0));
    Command { id: CommandId(id), tag: TagId(tag), device, value: Some(Value::Int(1)), origin, granted }
}

fn program(id: u64, tag: u32) -> Command {
    command(id, tag, Origin::Program("p".into()))
}

fn fallback(id: u64, tag: u32) -> Command {
    command(id, tag, Origin::Fallback(FallbackCause::Link))
}

/// Sends everything that waits, by a device that confirms the points listed; the order of it.
fn send_all(book: &mut Book, again: Option<Instant>, confirmed: &[usize]) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(point) = book.first_pending() {
        let (command, _) = book.send(point, again).unwrap();
        if confirmed.contains(&point) {
            book.confirm(point, command.id);
        }
        sent.push(command.id.0);
    }
    sent
}

const ALL: &[usize] = &[0, 1, 2, 3];

#[test]
fn what_waits_goes_out_as_it_came_and_a_fallback_first() {
    let mut book = book();
    for command in [program(1, 2), program(2, 0), fallback(3, 3), program(4, 1)] {
        assert!(book.accept(command).is_empty());
    }
    assert_eq!(send_all(&mut book, None, ALL), [3, 1, 2, 4]);
}

#[test]
fn after_a_return_what_the_device_never_confirmed_goes_first() {
    let mut book = book();
    for command in [program(1, 0), program(2, 1), program(3, 2), program(4, 3)] {
        book.accept(command);
    }
    // The device refuses point 1; then it is lost.
    assert_eq!(send_all(&mut book, None, &[0, 2, 3]), [1, 2, 3, 4]);
    book.accept(fallback(5, 3));
    book.reassert();
    assert_eq!(send_all(&mut book, None, ALL), [5, 2, 1, 3]);
    // Once confirmed, a fallback is as any other.
    book.reassert();
    assert_eq!(send_all(&mut book, None, ALL), [1, 2, 3, 5]);
}

#[test]
fn a_fallback_that_was_tried_in_vain_is_the_first_again() {
    let mut book = book();
    book.accept(program(1, 0));
    assert_eq!(send_all(&mut book, None, ALL), [1]);
    book.accept(fallback(2, 1));
    // A probe without an answer: sent, never confirmed.
    for _ in 0..3 {
        book.reassert();
        let first = book.first_pending().unwrap();
        assert_eq!(book.send(first, None).unwrap().0.id, CommandId(2));
    }
    book.reassert();
    assert_eq!(send_all(&mut book, None, ALL), [2, 1]);
}

#[test]
fn what_is_repeated_waits_behind_what_waits_already_and_before_what_comes_later() {
    let mut book = book();
    let now = Instant::now();
    book.accept(program(1, 0));
    book.accept(program(2, 1));
    assert_eq!(send_all(&mut book, Some(now), ALL), [1, 2]);
    book.accept(program(3, 2));
    book.repeat(now);
    book.accept(program(4, 3));
    assert_eq!(send_all(&mut book, None, ALL), [3, 1, 2, 4]);
}

#[test]
fn a_confirmation_of_a_command_that_was_replaced_counts_for_nothing() {
    let mut book = book();
    book.accept(program(1, 0));
    book.accept(program(2, 1));
    assert_eq!(send_all(&mut book, None, &[0]), [1, 2]);
    book.accept(program(3, 1));
    book.confirm(1, CommandId(2));
    book.reassert();
    assert_eq!(send_all(&mut book, None, ALL), [3, 1]);
}
