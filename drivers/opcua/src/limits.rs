//! Every bound of this driver that is not a site's own choice, each with its reason.

use std::time::Duration;

/// Shortest publishing interval: servers revise shorter ones upward.
pub const PUBLISH_PERIOD_MIN: Duration = Duration::from_millis(10);
/// Empty publishing intervals after which a server has to say that it is alive. One: silence is then known within two
/// periods, and a keep-alive is a hundred bytes.
pub const KEEP_ALIVE_COUNT: u32 = 1;
/// What a subscription may be late on top of its two periods: servers publish on a timer of their own, 100 ms in many.
pub const SILENCE_GRACE: Duration = Duration::from_millis(250);
/// How long the server keeps a subscription that nobody asks for: longer than a hiccup, shorter than a shift.
pub const SUBSCRIPTION_LIFETIME: Duration = Duration::from_secs(30);
/// How long the server keeps a session that is silent: a lost link leaves one behind, and small servers have five.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// Changes in one publish: larger ones exceed the default message sizes of common servers and are dropped silently.
pub const NOTIFICATIONS_MAX: u32 = 5_000;
/// Largest message accepted.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most chunks of a message accepted: the largest message in chunks of 64 KiB.
pub const CHUNKS_MAX: usize = 256;
/// Points per request when items are created; halved for servers that take fewer.
pub const ITEMS_PER_REQUEST: usize = 500;
/// Writes per request: what a server that takes 10 ms for each answers within the shortest usual time-out.
pub const WRITES_PER_REQUEST: usize = 100;
/// How soon a node that the server does not know is asked for again; the wait doubles up to [`UNKNOWN_RETRY_MAX`].
pub const UNKNOWN_RETRY_MIN: Duration = Duration::from_secs(1);
/// How long a node that the server does not know is left alone at most: a program download is noticed without a restart.
pub const UNKNOWN_RETRY_MAX: Duration = Duration::from_secs(30);
/// How long a link may go without an answer before the server's state is asked for: a device that is only written has no
/// subscription that would notice a server that stalls.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// Values of one point that a server may be asked to keep between two publishes.
pub const QUEUE_MAX: u32 = 1_000;
/// Dimensions of an array that a point may be an element of.
pub const INDEX_DIMENSIONS_MAX: usize = 8;
/// Fields between a structure and the value within it.
pub const FIELD_DEPTH_MAX: usize = 8;
/// Largest password file read.
pub const SECRET_BYTES_MAX: u64 = 4_096;
/// Largest certificate read: one of 4096 bits with every extension has under 3 KiB.
pub const CERTIFICATE_BYTES_MAX: u64 = 65_536;
/// Authorities, and lists of what they revoked, that are looked at: a works has two or three.
pub const AUTHORITIES_MAX: usize = 200;
/// Largest list of revoked certificates read: a hundred thousand of them.
pub const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Persons who log in with a certificate: as many as a works has users.
pub const USER_CERTIFICATES_MAX: usize = 200;
/// Certificates kept in `rejected/`; the oldest goes first. A server that makes a new one at each start fills it else.
pub const REJECTED_MAX: usize = 100;
/// Days our own certificate is valid: the plant is visited for it every third year.
pub const OWN_DAYS: u32 = 1_096;
/// Length of our own key in bits: what every policy offered accepts.
pub const KEY_BITS: u32 = 2_048;
/// Days before its end at which a certificate is told of in the log.
pub const EXPIRY_WARN_DAYS: f64 = 30.0;
/// How often the days left are delivered as a tag.
pub const EXPIRY_TELL_EVERY: Duration = Duration::from_secs(60);
/// How far the clock of a server may be off before the log says so.
pub const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);
/// Nodes that a browse visits at most.
pub const BROWSE_NODES_MAX: usize = 20_000;
/// Nodes per request of a browse.
pub const BROWSE_PER_REQUEST: usize = 100;
/// Attributes per read of a browse.
pub const ATTRIBUTES_PER_READ: usize = 500;
/// Answers that opening a session takes: hello, channel, session, activation.
pub const ANSWERS_TO_CONNECT: u32 = 4;
/// Shortest wait between two read-backs of one write.
pub const VERIFY_STEP_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two read-backs of one write.
pub const VERIFY_STEP_MAX: Duration = Duration::from_millis(500);
/// Least time between two reports of a link whose state did not change.
pub const LINK_REPORT_EVERY: Duration = Duration::from_secs(1);
/// A source time further ahead than this is a wrong clock, and is replaced by ours: a record in the future would hide
/// every later one.
pub const SOURCE_AHEAD_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(CHUNKS_MAX * 65_536 >= MESSAGE_BYTES_MAX);
