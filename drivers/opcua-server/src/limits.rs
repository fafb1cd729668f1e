//! Every bound of this server, each with its reason.

use std::time::Duration;

/// Connections at once that a site may allow: a foreign system has one or two, a historian one, an engineer's tool one.
pub const CONNECTIONS_MAX: usize = 64;
/// Connections of one address: one broken client cannot take every place.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 16;
/// Sessions at once that a site may allow.
pub const SESSIONS_MAX: usize = 64;
/// A connection that has not sent its hello whole by then is closed.
pub const HELLO_WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection on which nothing moves for this long is closed: clients ask for publishes much more often.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(600);
/// A client that does not take what it asked for is cut off after this.
pub const SEND_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest hello: a version, four sizes and an address of at most 4096 bytes.
pub const HELLO_BYTES_MAX: usize = 8 + 24 + 4_096;
/// Longest chunk taken: the receive buffer that the server tells clients of.
pub const CHUNK_BYTES_MAX: usize = 65_535;
/// Chunks of one message.
pub const CHUNKS_MAX: usize = 129;
/// Longest message, both ways.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest text a client may send: a comment, a password, a filter's operand.
pub const TEXT_BYTES_MAX: usize = 65_535;
/// Longest array a client may send.
pub const ARRAY_MAX: usize = 20_000;
/// A session that is silent for this long ends, whatever its client asked for.
pub const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// Subscriptions of one session.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 20;
/// Monitored items of one subscription.
pub const ITEMS_PER_SUBSCRIPTION_MAX: usize = 20_000;
/// Monitored items of all sessions: every tag of a large site for two foreign systems. About 400 bytes each.
pub const ITEMS_MAX: usize = 200_000;
/// Items that watch events, of all sessions.
pub const EVENT_ITEMS_MAX: usize = 256;
/// Values that the server keeps of one item between two publishes.
pub const QUEUE_MAX: usize = 100;
/// Events kept for a client that does not take them; the oldest goes first and is counted.
pub const EVENTS_WAITING_MAX: usize = 2_000;
/// Changes in one publish: more do not fit the default message sizes of common clients.
pub const NOTIFICATIONS_PER_PUBLISH_MAX: u64 = 5_000;
/// Publishes kept for a client that does not ask for them.
pub const PUBLISHES_WAITING_MAX: usize = 100;
/// How often changes are looked for, and the shortest publishing interval.
pub const FEED_EVERY: Duration = Duration::from_millis(100);
/// How often users, definitions and counters are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nodes of one read, browse or registration.
pub const NODES_PER_CALL_MAX: usize = 10_000;
/// Items created, changed or deleted by one call.
pub const ITEMS_PER_CALL_MAX: usize = 10_000;
/// Values of one write: each is checked, recorded on the disk and claimed.
pub const WRITES_PER_CALL_MAX: usize = 100;
/// Calls of methods in one request.
pub const METHODS_PER_CALL_MAX: usize = 100;
/// Writes and acknowledgements under way at a time; further ones are answered "too busy".
pub const ACTIONS_WAITING_MAX: usize = 16;
/// Nodes of one history read.
pub const HISTORY_NODES_MAX: usize = 100;
/// Values of one node in one answer of a history read; the rest comes by continuation.
pub const HISTORY_VALUES_MAX: usize = 10_000;
/// Values of all nodes in one answer of a history read: 30 bytes each.
pub const HISTORY_VALUES_PER_CALL_MAX: usize = 100_000;
/// Moments of one history read "at time": each is a search in the store.
pub const HISTORY_TIMES_MAX: usize = 1_000;
/// Intervals of one history read with an aggregate.
pub const HISTORY_INTERVALS_MAX: usize = 10_000;
/// Unfinished history reads of one session.
pub const HISTORY_CONTINUATIONS_MAX: usize = 100;
/// History reads under way at a time: each may read megabytes, and none may starve the writer.
pub const HISTORY_READS_MAX: usize = 2;
/// Longest comment of an acknowledgement, in bytes.
pub const COMMENT_BYTES_MAX: usize = 500;
/// Refreshes of conditions of one session within a second; more have no use and cost every alarm an event.
pub const REFRESHES_PER_SECOND_MAX: u32 = 4;
/// Certificates judged at a time: each reads the folder of certificates, in the name of a stranger.
pub const ADMISSIONS_MAX: usize = 2;
/// Wait before an address that cannot be listened on is tried again.
pub const BIND_WAIT: Duration = Duration::from_secs(5);
/// Time the library's server has to begin to listen.
pub const START_WAIT_MAX: Duration = Duration::from_secs(20);
/// Time open connections have to close.
pub const STOP_WAIT_MAX: Duration = Duration::from_secs(2);
/// The library keeps a hundred bytes of each value item for ever once its subscription was deleted. So many items made,
/// and it is begun anew when no session is open.
pub const ITEMS_MADE_IDLE_MAX: u64 = 200_000;
/// See [`ITEMS_MADE_IDLE_MAX`]: so many, and it is begun anew whoever is connected. Clients connect again.
pub const ITEMS_MADE_MAX: u64 = 2_000_000;
/// Sessions remembered, to find subscriptions that a client moved to another session.
pub const SESSIONS_SEEN_MAX: usize = 256;

const _: () = assert!(CHUNKS_MAX * CHUNK_BYTES_MAX >= MESSAGE_BYTES_MAX);
const _: () = assert!(HELLO_BYTES_MAX <= CHUNK_BYTES_MAX);
