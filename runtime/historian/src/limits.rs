//! Every bound of the historian, each with its reason.

/// Longest value ever handed to a store. sled survives power cuts with values of one page (measured with 3.9 KB); above
/// 128 KB it would use a folder that it never syncs.
pub(crate) const VALUE_BYTES_MAX: usize = 4_000;
/// Most entries of one atomic batch: 10 000 entries took 9.6 GB of memory in sled, 100 take none to speak of.
pub(crate) const BATCH_ENTRIES_MAX: usize = 100;
/// Memory that sled may use for pages: its own default of 1 GB is more than a small controller has.
pub(crate) const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// A head of this many points is sealed: the fixed part of a chunk (about 60 bytes) is then 0.03 bytes per point.
pub(crate) const HEAD_POINTS_MAX: usize = 2_048;
/// A head is not sealed for its age alone below this many points: the fixed part would cost a byte per point.
pub(crate) const HEAD_POINTS_MIN: usize = 64;
/// A head whose points span more than this is sealed: recovery replays about an hour, not a day.
pub(crate) const HEAD_SPAN_MS_MAX: i64 = 3_600_000;
/// Points in all heads together, 40 bytes each: above it the largest heads are sealed early. 80 MB.
pub(crate) const HEAD_POINTS_TOTAL_MAX: usize = 2_000_000;
/// Points that may wait in memory for a store that takes none, 48 bytes each; then the oldest are dropped and counted.
/// A quarter of an hour at 1 000 points per second.
pub(crate) const PENDING_POINTS_MAX: usize = 1_000_000;
/// Journal rows that may wait; then further rows are refused.
pub(crate) const PENDING_EVENTS_MAX: usize = 10_000;
/// Bytes of tail rows: above it the series that hold the oldest rows are sealed early. Replayed in about a second.
pub(crate) const TAIL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Heads sealed in one commit, or one in 64 of all series where that is more: series of equal pace fill up in the same
/// second, and encoding all of them at once would delay that second's points.
pub(crate) const SEALS_PER_COMMIT: usize = 64;
/// Tail rows deleted in one commit: deleting never delays the points that wait.
pub(crate) const ROW_DELETES_PER_COMMIT: usize = 2_000;

/// Points encoded into chunks in one go; also the most a chunk can hold.
pub(crate) const SLAB_POINTS_MAX: usize = 8_192;
/// Longest time between the first and the last point of a chunk. A query must look this far back for chunks that reach
/// into its range.
pub(crate) const CHUNK_SPAN_MS_MAX: i64 = 24 * 3_600_000;

/// Points of one raw answer: 200 MB in memory. A trend asks for a downsample instead.
pub(crate) const QUERY_POINTS_MAX: usize = 4_000_000;
/// Buckets of one downsample: more than any screen has columns.
pub(crate) const BUCKETS_MAX: usize = 100_000;
/// Rows of one answer of the journal.
pub(crate) const EVENTS_ANSWER_MAX: usize = 100_000;
/// Kind and body of a journal row together, so that the row fits into one value.
pub(crate) const EVENT_BYTES_MAX: usize = 3_900;

/// Chunks and journal rows deleted by one call of retention, so that a clock that jumped far ahead cannot erase a whole
/// history in one call.
pub(crate) const RETAIN_DELETES_MAX: u64 = 20_000;
/// Bytes of disk per byte of live data that sled needs (measured), in tenths.
pub(crate) const DISK_PER_LIVE_TENTHS: u64 = 22;
/// Damaged rows remembered, so that each is counted and logged once.
pub(crate) const DAMAGED_KEYS_MAX: usize = 1_000;
/// Lines of a verify report.
pub(crate) const VERIFY_LINES_MAX: usize = 100;

// A full batch of chunks and its state row, and one row of the largest point, must fit.
const _: () = assert!(PENDING_POINTS_MAX > SLAB_POINTS_MAX && SLAB_POINTS_MAX >= HEAD_POINTS_MAX);
const _: () = assert!(EVENT_BYTES_MAX + 16 < VALUE_BYTES_MAX);
const _: () = assert!(penstock_model::limits::TEXT_BYTES_MAX + 64 < VALUE_BYTES_MAX);
