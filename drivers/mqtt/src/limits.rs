//! Every bound of this driver, each with its reason.

use std::time::Duration;

/// Longest command that is read: a hundred values with long names have some 10 KB; nothing else is ours to read.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Most metrics in one command: a host that writes more at once writes no set-points.
pub const COMMAND_METRICS_MAX: usize = 100;
/// Values that hosts may write per second, all together: each becomes a record on the disk.
pub const COMMANDS_PER_S_MAX: u32 = 20;
/// A command that was sent longer ago than this, or is this much ahead of our clock, is not carried out: it waited
/// somewhere, and the plant is another one now.
pub const COMMAND_AGE_MAX: Duration = Duration::from_secs(60);
/// Longest STATE message of a host: it has some 50 bytes.
pub const STATE_BYTES_MAX: usize = 1024;
/// Longest packet taken from a broker at all; a longer one ends the session, since MQTT 3.1.1 has no other answer. Above
/// [`COMMAND_BYTES_MAX`], so that a command which is merely too long costs a line in the log and no session.
pub const INCOMING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest packet sent: a birth of the largest site (250 000 tags of about 200 bytes).
pub const OUTGOING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages handed to the client and not yet on the wire. When full nothing is published; what changes meanwhile goes
/// into the store, and a birth tells the latest afterwards.
pub const MESSAGES_WAITING_MAX: usize = 8;
/// History is sent only while fewer messages than this wait: it must never stand in the way of a live value.
pub const MESSAGES_WAITING_FOR_REPLAY: u64 = 2;
/// Room in the client's own queue: a birth of a node with all its devices, whose number is bounded by
/// [`DEVICES_MAX`], beside what waits already.
pub const CLIENT_QUEUE: usize = DEVICES_MAX * 3 + MESSAGES_WAITING_MAX;
/// Sparkplug devices of an edge node: plant sections, not instruments.
pub const DEVICES_MAX: usize = 64;
/// Brokers that are tried in turn.
pub const BROKERS_MAX: usize = 8;
/// Events of the client waiting for us.
pub const EVENTS_WAITING_MAX: usize = 64;
/// Time for connecting, for the answer to the subscription, and for a flush to the wire.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time for the goodbye at stop: the process must end.
pub const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the broker is asked whether it lives; without an answer the link is lost at the next. An answer also shows
/// that everything sent before has arrived: this is how much a broken link may make us send twice.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Rebirths are not sent more often: a host that asks in a loop costs a birth per this time.
pub const REBIRTH_EVERY_MIN: Duration = Duration::from_secs(1);
/// Where several brokers are given, one without the primary host is left after this time.
pub const HOST_WAIT_MAX: Duration = Duration::from_secs(30);
/// A session that lived this long was a good one: the next wait starts from the shortest again.
pub const SESSION_GOOD_AFTER: Duration = Duration::from_secs(10);
/// Shortest time between two publications.
pub const PUBLISH_EVERY_MIN: Duration = Duration::from_millis(10);
/// Most metrics in one message of changes or of history: brokers in the cloud take packets of 128 KB.
pub const METRICS_PER_MESSAGE_MAX: usize = 4_000;
/// Bytes of what was sent and not yet shown to have arrived. Beyond it the oldest is taken as arrived.
pub const UNCONFIRMED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often history is sent, a share of its rate at a time.
pub const REPLAY_EVERY: Duration = Duration::from_millis(100);
/// Batches waiting for the store's thread: a disk that hangs for a minute at one batch per second.
pub const STORE_WAITING_MAX: usize = 64;
/// Longest record of the store: a longer one in a file is damage.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Segments that the store is made of at its largest size: dropping the oldest costs at most this share.
pub const SEGMENTS: u64 = 16;
/// Least size of a store.
pub const STORE_BYTES_MIN: u64 = 1_000_000;
/// What a power cut may cost of the store; a process that is killed loses nothing of it.
pub const STORE_SYNC_EVERY: Duration = Duration::from_secs(1);
/// Status is published this often.
pub const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Longest secret read from a file.
pub const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// Longest certificate file: a bundle of all public authorities has 250 KB.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;
/// A device is told dead when none of its tags could be used for this long: longer than a start, and than most hiccups of
/// a link, which the quality of each tag tells at once anyway.
pub const DEVICE_DEATH_AFTER: Duration = Duration::from_secs(5);
