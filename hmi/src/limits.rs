//! Every bound of the HMI's server, each with its reason.

use std::time::Duration;

/// Shortest password. Ten letters or digits outlast any guessing the login back-off lets through.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest password: a sentence fits, and hashing it costs no more than a short one.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Longest user name: fits the head line of the screen and a row of the action log.
pub const USER_NAME_BYTES_MAX: usize = 48;
/// Users of one site: several shifts, engineers and guests with room to spare.
pub const USERS_MAX: usize = 1_000;
/// Largest users file read: `USERS_MAX` rows of a name, a role and a hash.
pub const USERS_FILE_BYTES_MAX: u64 = 512 * 1024;
/// A session unused for one shift ends.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// Sessions at a time; a new one ends the longest unused.
pub const SESSIONS_MAX: usize = 256;
/// Failed logins of one user from one address that cost no waiting: a person's typing mistakes.
pub const LOGIN_FREE_MISSES: u32 = 3;
/// Failed logins from one address over all names that cost no waiting: a control room behind one address.
pub const LOGIN_FREE_MISSES_PER_ADDRESS: u32 = 20;
/// Longest wait after a failed login: longer would keep an operator out in an emergency.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Failed logins are forgotten after this long without another.
pub const LOGIN_MISS_KEPT: Duration = Duration::from_secs(900);
/// Names and addresses with failed logins remembered; the one that waits shortest makes room.
pub const LOGIN_MISSES_MAX: usize = 4_096;
/// Passwords hashed at a time: each takes 19 MiB and a core, which the scan needs more.
pub const PASSWORD_CHECKS_MAX: usize = 2;
/// Largest request body: an acknowledgement of a full page fits twenty times.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Open connections: every live client with its handful of parallel requests.
pub const CONNECTIONS_MAX: usize = 512;
/// Open connections of one address: several browsers on one machine; one broken client cannot take every place.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 96;
/// A connection on which nothing moves in either direction for this long is closed.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);
/// A question must have arrived whole and be answered this long after its first byte, however busily its bytes drip: a
/// client on a slow line needs a second, and a connection that only pretends to ask keeps no place from a person.
pub const QUESTION_TIME_MAX: Duration = Duration::from_secs(20);
/// A new connection must have asked and been answered within this time.
pub const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Live clients: every screen of a large site.
pub const LIVE_CLIENTS_MAX: usize = 64;
/// Pace of the live feed: faster than a person sees a change, slow enough that a client's cost is bounded.
pub const LIVE_EVERY: Duration = Duration::from_millis(250);
/// Every so many live steps come the links, the tasks and the check of the session: one second.
pub const LIVE_STEPS_PER_SECOND: u64 = 4;
/// Live steps between two pings: the answer keeps the connection from counting as idle.
pub const LIVE_STEPS_PER_PING: u64 = 60;
/// A client that has not taken a message for this long is dropped and counted.
pub const LIVE_SEND_WAIT_MAX: Duration = Duration::from_secs(5);
/// Values of one message, so that the first picture of a large site is no single huge text.
pub const LIVE_VALUES_PER_MESSAGE: usize = 4_000;
/// Largest message a live client may send: it has nothing to say.
pub const LIVE_INBOUND_BYTES_MAX: usize = 1_024;
/// Tags of one history request: more pens than a person tells apart.
pub const HISTORY_TAGS_MAX: usize = 16;
/// Points per tag of one history request: more than a screen has columns.
pub const HISTORY_POINTS_MAX: usize = 4_000;
/// Points per tag where the request does not say.
pub const HISTORY_POINTS_DEFAULT: usize = 800;
/// Longest stretch of one history request: ten years and the leap days.
pub const HISTORY_SPAN_MAX_MS: i64 = 3_653 * 86_400_000;
/// Rows of one journal or action request.
pub const ROWS_MAX: usize = 1_000;
/// Rows where the request does not say.
pub const ROWS_DEFAULT: usize = 200;
/// Alarms of one acknowledgement: a visible page.
pub const ACKNOWLEDGE_MAX: usize = 100;
/// Store queries at a time: each may read megabytes and none may starve the writer.
pub const QUERIES_MAX: usize = 3;
/// Questions "why" under way at a time: each costs its task a few copies at one scan.
pub const WHY_PLACES_MAX: usize = 16;
/// Tags whose last answer is kept for the next screen that asks.
pub const WHY_TAGS_MAX: usize = 64;
/// An answer younger than this is given again: a hundred screens on one tag cost one question a second.
pub const WHY_FRESH: Duration = Duration::from_secs(1);
/// A task that has not answered for this long is told of as it is; the question stays with it.
pub const WHY_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// How often the answer is looked for.
pub const WHY_LOOK_EVERY: Duration = Duration::from_millis(20);
/// A question not answered for this long over two scans is asked again: the scan that took it broke.
pub const WHY_GIVEN_UP: Duration = Duration::from_secs(5);
/// Operator actions waiting for the log at a time: more than the people of a site do in a second.
pub const ACTIONS_WAITING_MAX: usize = 16;
/// Logins and logouts waiting for the log at a time, each on a thread; more are let in without being noted.
pub const NOTES_WAITING_MAX: usize = 16;
/// How long a login waits for the log: a disk that does not answer must not keep a person out.
pub const NOTE_WAIT_MAX: Duration = Duration::from_secs(3);
/// Largest mimic drawing.
pub const MIMIC_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Connections still open this long after the stop are cut.
pub const STOP_WAIT_MAX: Duration = Duration::from_secs(3);

// A live client holds a connection for good: with every live place taken there must be connections left to log in on.
const _: () = assert!(LIVE_CLIENTS_MAX < CONNECTIONS_MAX && CONNECTIONS_PER_ADDRESS_MAX < CONNECTIONS_MAX);
