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
/// How long a node that the server does not know is left alone: a program download is noticed without a restart.
pub const UNKNOWN_RETRY: Duration = Duration::from_secs(30);
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
