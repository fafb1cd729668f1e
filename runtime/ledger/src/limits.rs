//! Every bound of the ledger, each with its reason.

use std::time::Duration;

/// Length of a metering interval: the quarter-hour of tariffs, of demand billing and of the meters' own frozen registers.
pub const QUARTER: Duration = Duration::from_secs(900);
/// A reading within this time of a quarter's border stands for the border: 60 s of 900 s moves at most one fifteenth
/// of the difference between two neighbouring quarters, and the slowest meter group is polled more often.
pub const BORDER_GAP_MAX: Duration = Duration::from_secs(60);
/// A quarter is written this long after its end even where a stream has not delivered since: later readings revise it.
pub const CLOSE_GRACE: Duration = Duration::from_secs(60);
/// Share by which an increment may exceed rated power × time before it is rejected.
pub const JUMP_FACTOR: f64 = 1.2;
/// Added to the time of an increment when it is judged: poll and register refresh are not in step.
pub const JUMP_SLACK: Duration = Duration::from_secs(2);
/// A register that refreshes slowly may deliver at once what it collected for at most this long.
pub const REFRESH_MAX: Duration = Duration::from_secs(900);
/// A reading that contradicts the register's past must stay consistent with itself for this long before it becomes
/// the new base: a spike is gone by then, a replaced meter is not.
pub const REBASE_AFTER: Duration = Duration::from_secs(60);
/// Longest step over which a rate (kg/h, m3/h, kW) is taken as constant.
pub const RATE_STEP_MAX: Duration = Duration::from_secs(60);
/// Share of a quarter's seconds that must be covered for `measured`.
pub const COVERED_MEASURED_MIN: f64 = 0.99;
/// Share that must be covered for the mean of the covered part to stand for the rest (`estimated`).
pub const COVERED_ESTIMATED_MIN: f64 = 0.5;
/// A silence shorter than this is no issue of its own: a bus that repeats a poll is not news.
pub const GAP_ISSUE_MIN: Duration = Duration::from_secs(60);
/// Civil and monotonic time may part by this much between two looks; beyond it civil time was stepped.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(2);
/// Days of quarters held in memory: the longest month, the day before it in any time zone, and the longest back-fill.
pub const DAYS_IN_MEMORY: i64 = 40;
/// Longest gap spread over its quarters; a longer one is booked in the quarter of its end, and said.
pub const BACKFILL_QUARTERS_MAX: i64 = 38 * 96;
/// Issues of one stream that are written per quarter; further ones are counted in the last.
pub const ISSUES_PER_QUARTER_MAX: u32 = 4;
/// Issues held in memory and listed in one summary.
pub const ISSUES_MAX: usize = 1_000;
/// Lines that wait for a disk that does not take them: two days of quarters with their issues. Then the oldest is lost, and counted.
pub const LINES_WAITING_MAX: usize = 1_024;
/// How often the running part is saved.
pub const STATE_SAVE_EVERY: Duration = Duration::from_secs(60);
/// Wait before a failed write is tried again.
pub const WRITE_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Actions held in memory for the screens.
pub const ACTIONS_IN_MEMORY_MAX: usize = 2_000;
/// Longest line of a chained file: a quarter of 250 meters fits.
pub const LINE_BYTES_MAX: usize = 256 * 1024;
/// Longest free text of an action.
pub const ACTION_TEXT_BYTES_MAX: usize = 1_024;
/// Meters of one site.
pub const METERS_MAX: usize = 250;
/// Activities of one site.
pub const ACTIVITIES_MAX: usize = 100;
/// Register and integrated power may differ by this share over a quarter before it is an issue.
pub const POWER_MISMATCH_MAX: f64 = 0.10;
/// And by at least this energy: small loads are below the meters' resolution.
pub const POWER_MISMATCH_KWH_MIN: f64 = 1.0;
/// Longest range of one summary: a year and the leap day, with the days of another calendar's overlap.
pub const SUMMARY_DAYS_MAX: i64 = 400;

const _: () = assert!(BACKFILL_QUARTERS_MAX < DAYS_IN_MEMORY * 96, "a back-fill must find its rows in memory");
const _: () = assert!(BORDER_GAP_MAX.as_secs() < QUARTER.as_secs());
