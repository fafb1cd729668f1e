//! Every bound of this driver, each with its reason.

use std::time::Duration;

/// Longest packet taken from a broker: a rebirth command has some 60 bytes; nothing else is ours to read.
pub const INCOMING_BYTES_MAX: usize = 64 * 1024;
/// Longest packet sent: a birth of the largest site (250 000 tags of about 100 bytes).
pub const OUTGOING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Messages handed to the client and not yet on the wire. When full nothing is published; what changes meanwhile is
/// published later, latest value only.
pub const MESSAGES_WAITING_MAX: usize = 8;
/// Events of the client waiting for us.
pub const EVENTS_WAITING_MAX: usize = 32;
/// Time for connecting, for the answer to the subscription, and for saying goodbye.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time for the goodbye at stop: the process must end.
pub const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Silence after which the broker is asked whether it lives; without an answer the link is lost at the next.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Rebirths are not sent more often: a host that asks in a loop costs a birth per this time.
pub const REBIRTH_EVERY_MIN: Duration = Duration::from_secs(1);
/// A session that lived this long was a good one: the next wait starts from the shortest again.
pub const SESSION_GOOD_AFTER: Duration = Duration::from_secs(10);
/// Shortest time between two publications.
pub const PUBLISH_EVERY_MIN: Duration = Duration::from_millis(10);
