//! The historian's thread: takes records from its queue, appends samples, commits every second, keeps the journal.
//!
//! When the disk is full or the store fails, samples stay in memory within the historian's own bound, a fault is
//! published once, and control goes on.

use crossbeam::channel::{Receiver, RecvTimeoutError};
use penstock_engine::ObjectDef;
use penstock_historian::{Historian, Point, SeriesDef, SeriesId};
use penstock_model::{
    AlarmDef, Clock, FaultRecord, LinkState, Now, Origin, Record, Sample, SampleSink, TagId, TagSample, TagTable, Utc,
    Value, ValueType, WriteEnd, WriteLife, limits, with_causes,
};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Old chunks are looked for this often; retention is a matter of days.
const RETAIN_EVERY: Duration = Duration::from_secs(600);

/// A larger step of civil time against the monotonic clock is a jump, not a correction.
const UTC_STEP_MAX: Duration = Duration::from_secs(60);
/// By age nothing is deleted until civil time has gone on without a jump for this long: time servers put a wrong clock
/// right within minutes, and what a clock in the wrong year deletes is gone.
const UTC_STEADY_MIN: Duration = Duration::from_secs(3_600);

/// A source time older than this against the scan says when a value began, not when it was seen.
const SOURCE_TIME_AGE_MAX: Duration = Duration::from_secs(60);

/// Everything the thread needs of its surroundings.
pub struct HistoryContext {
    /// The store.
    pub historian: Arc<Historian>,
    /// The site's tags.
    pub tags: Arc<TagTable>,
    /// The site's alarms, for the journal's names.
    pub alarms: Vec<AlarmDef>,
    /// Device names by id, for the journal.
    pub devices: Vec<Arc<str>>,
    /// Where the historian's own health goes.
    pub sink: Arc<dyn SampleSink>,
    /// The runtime's clock.
    pub clock: Arc<dyn Clock>,
    /// Records dropped before they reached the queue.
    pub dropped: Arc<AtomicU64>,
    /// The site's controlled objects.
    pub objects: Vec<ObjectDef>,
    /// Where the end of a hold by hand is recorded, so that a restart does not take it up again.
    pub actions: Option<Arc<penstock_ledger::ActionLog>>,
    /// Told after every commit that the thread goes on.
    pub beat: super::sinks::Beat,
}

/// Starts the thread. It ends when `stop` is set and the queue is empty, after a last commit.
///
/// # Errors
/// When the system cannot start a thread.
pub fn start(
    context: HistoryContext,
    records: Receiver<Record>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("historian".into()).spawn(move || Writer::new(context).run(&records, &stop))
}

struct Writer {
    context: HistoryContext,
    series: HashMap<TagId, SeriesId>,
    recorded: HashMap<TagId, Utc>,
    batch: Vec<Point>,
    links: HashMap<u16, LinkState>,
    failing: HashMap<TagId, Arc<str>>,
    fault: Option<String>,
    steady: SteadyTime,
}

/// Whether civil time may be believed for what cannot be undone.
struct SteadyTime {
    since: Now,
    last: Now,
}

impl SteadyTime {
    fn new(now: Now) -> SteadyTime {
        SteadyTime { since: now, last: now }
    }

    /// Looks at the clocks; true when civil time jumped since the last look.
    fn jumped(&mut self, now: Now) -> bool {
        let utc_ns = i128::from(now.utc.0) - i128::from(self.last.utc.0);
        let mono_ns = i128::try_from(now.mono.since(self.last.mono).as_nanos()).unwrap_or(i128::MAX);
        self.last = now;
        let jumped = utc_ns.saturating_sub(mono_ns).unsigned_abs() > UTC_STEP_MAX.as_nanos();
        if jumped {
            self.since = now;
        }
        jumped
    }

    fn is_trusted(&self) -> bool {
        self.last.mono.since(self.since.mono) >= UTC_STEADY_MIN
    }

    /// The time to delete by: while civil time is in doubt nothing is old, and only the bound of size counts.
    fn retain_at(&self) -> Utc {
        if self.is_trusted() { self.last.utc } else { Utc(0) }
    }
}

impl Writer {
    fn new(context: HistoryContext) -> Self {
        let steady = SteadyTime::new(context.clock.now());
        Self {
            context,
            steady,
            series: HashMap::new(),
            recorded: HashMap::new(),
            batch: Vec::new(),
            links: HashMap::new(),
            failing: HashMap::new(),
            fault: None,
        }
    }

    fn run(mut self, records: &Receiver<Record>, stop: &AtomicBool) {
        let mut next_commit = Instant::now() + limits::HISTORY_COMMIT_EVERY;
        let mut next_retain = Instant::now() + RETAIN_EVERY;
        loop {
            match records.recv_deadline(next_commit) {
                Ok(record) => self.take(&record),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_commit {
                self.commit();
                if self.steady.jumped(self.context.clock.now()) {
                    tracing::warn!("civil time jumped; nothing old is deleted until it has been steady for an hour");
                }
                next_commit = Instant::now() + limits::HISTORY_COMMIT_EVERY;
                if stop.load(Ordering::SeqCst) && records.is_empty() {
                    break;
                }
            }
            if Instant::now() >= next_retain {
                if let Err(error) = self.context.historian.retain(self.steady.retain_at()) {
                    tracing::warn!(error = with_causes(&error), "historian: retention failed");
                }
                next_retain = Instant::now() + RETAIN_EVERY;
            }
        }
        while let Ok(record) = records.try_recv() {
            self.take(&record);
        }
        self.commit();
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::Scan(scan) => {
                for s in &scan.samples {
                    self.sample(s, scan.at);
                }
            }
            other => {
                if let (Record::Object(event), Some(actions)) = (other, &self.context.actions) {
                    let path = |tag: TagId| self.context.tags.get(tag).path.to_string();
                    super::objects::record_end(actions, event, &self.context.objects, &path);
                }
                // Told here and not where it happens: a scan thread must never wait for whoever reads the log.
                match other {
                    Record::Fault(f) if f.active => tracing::error!(part = &*f.part, message = &*f.message, "fault"),
                    Record::Fault(f) => tracing::info!(part = &*f.part, "the fault is over"),
                    _ => {}
                }
                if let Some((kind, body, utc)) = self.journal_row(other)
                    && let Err(error) = self.context.historian.events_append(utc, kind, &body)
                {
                    self.report(Some(with_causes(&error)));
                }
            }
        }
    }

    fn sample(&mut self, tag_sample: &TagSample, scan: Utc) {
        let def = self.context.tags.get(tag_sample.tag);
        if !def.log.enabled {
            return;
        }
        let series = match self.series.get(&tag_sample.tag) {
            Some(id) => *id,
            None => {
                let wanted = SeriesDef {
                    path: def.path.clone(),
                    value_type: def.value_type,
                    unit: def.unit.as_str().into(),
                    decimals: def.decimals,
                };
                match self.context.historian.series(&wanted) {
                    Ok(id) => {
                        self.series.insert(tag_sample.tag, id);
                        id
                    }
                    Err(error) => {
                        self.report(Some(with_causes(&error)));
                        return;
                    }
                }
            }
        };
        let s = &tag_sample.sample;
        // A sample belongs to the time its source gave it. One that is recorded again because it is due, or whose source
        // has spoken long ago, is recorded as seen by this scan.
        let last = self.recorded.get(&tag_sample.tag).copied();
        let fresh = last.is_none_or(|last| s.source_time > last) && s.source_time > scan - SOURCE_TIME_AGE_MAX;
        let utc = if fresh { s.source_time.min(scan) } else { scan };
        self.recorded.insert(tag_sample.tag, utc);
        self.batch.push(Point { series, utc, value: s.value.clone(), quality: s.quality });
    }

    fn commit(&mut self) {
        self.context.historian.append(&self.batch);
        self.batch.clear();
        let result = self.context.historian.commit();
        self.context.beat.beat();
        self.report(result.err().map(|e| with_causes(&e)));
        self.publish_health();
    }

    /// Publishes the historian's own fault once when it comes and once when it goes.
    fn report(&mut self, fault: Option<String>) {
        if same_trouble(fault.as_deref(), self.fault.as_deref()) {
            self.fault = fault;
            return;
        }
        let now = self.context.clock.now();
        match &fault {
            Some(message) => tracing::error!(
                %message,
                "historian cannot save; samples wait in memory and control goes on. Free disk space or repair the store"
            ),
            None => tracing::info!("historian saves again"),
        }
        if fault.is_some() != self.fault.is_some() {
            let record = FaultRecord {
                part: "historian".into(),
                message: fault.clone().unwrap_or_default().into(),
                active: fault.is_some(),
                at: now.utc,
            };
            if let Some((kind, body, utc)) = self.journal_row(&Record::Fault(record))
                && let Err(error) = self.context.historian.events_append(utc, kind, &body)
            {
                tracing::warn!(error = with_causes(&error), "historian: the fault itself could not be journalled");
            }
        }
        self.fault = fault;
    }

    fn publish_health(&self) {
        let stats = self.context.historian.stats();
        let now = self.context.clock.now();
        let dropped = self.context.dropped.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted with")]
        let values = [
            ("sys/historian/ok", Value::Bool(self.fault.is_none())),
            ("sys/historian/samples", Value::Float(stats.samples as f64)),
            ("sys/historian/dropped", Value::Float((stats.dropped + dropped) as f64)),
            ("sys/historian/pending", Value::Float(stats.pending as f64)),
            ("sys/historian/disk_bytes", Value::Float(stats.bytes_disk as f64)),
            ("sys/historian/commit_ms", Value::Float(stats.last_commit.as_secs_f64() * 1e3)),
        ];
        publish(&self.context.tags, &*self.context.sink, now, values);
    }

    /// What of a write a person needs. Programs move outputs all day; their moves are the output tag's own history. The
    /// journal keeps what a person, a remote system or a fallback did, once when it begins and once when it is done, and
    /// every write that failed: one row per failure, not one per retry.
    fn write_row(&mut self, life: &WriteLife) -> Option<(&'static str, String, Utc)> {
        let c = &life.command;
        let noted = !matches!(c.origin, Origin::Program(_));
        let path = self.context.tags.get(c.tag).path.clone();
        let wish = if c.value.is_some() { life.wished.as_ref().or(c.value.as_ref()) } else { None };
        let value = wish.map(ToString::to_string);
        let Some((end, at)) = &life.end else {
            let body = json!({"tag": &*path, "value": value, "origin": c.origin.to_string(), "command": c.id.0,
                "bound_by": life.bound_by.as_deref()});
            return (noted && life.first).then(|| ("command", body.to_string(), c.granted));
        };
        let mut body = json!({"tag": &*path, "value": value, "origin": c.origin.to_string(), "command": c.id.0,
            "state": life.stage(), "granted_ms": c.granted.millis(), "sent_ms": life.sent.map(Utc::millis),
            "acknowledged_ms": life.acknowledged.map(Utc::millis), "read_back_ms": life.read_back.map(Utc::millis)});
        match end {
            WriteEnd::Failed(why) => {
                if self.failing.insert(c.tag, why.clone()).as_ref() == Some(why) {
                    return None;
                }
                body["message"] = json!(&**why);
            }
            WriteEnd::Settled => {
                let recovered = self.failing.remove(&c.tag).is_some();
                let whole = noted && life.is_whole();
                if !(recovered || whole) {
                    return None;
                }
            }
            // The row of the write that took its place tells.
            WriteEnd::Superseded => return None,
        }
        Some(("outcome", body.to_string(), *at))
    }

    fn journal_row(&mut self, record: &Record) -> Option<(&'static str, String, Utc)> {
        let (kind, body, at) = match record {
            Record::Scan(_) => return None,
            Record::Alarm(e) => {
                let name = self.context.alarms.get(e.id.0 as usize).map_or("?", |d| &*d.name);
                let value = e.value.as_ref().map(ToString::to_string);
                (
                    "alarm",
                    json!({"alarm": name, "state": e.state.as_str(), "value": value, "by": e.by.as_deref()}),
                    e.at,
                )
            }
            // A write is journalled as the life it has, not by its single news.
            Record::Command(_) | Record::Outcome(_) => return None,
            Record::Write(life) => return self.write_row(life),
            Record::Link(l) => {
                if self.links.insert(l.device.0, l.state) == Some(l.state) {
                    return None;
                }
                let device = self.context.devices.get(usize::from(l.device.0)).map_or("?", |d| &**d);
                ("link", json!({"device": device, "state": l.state.as_str(), "reason": &*l.reason}), l.at)
            }
            Record::Object(e) => {
                let path = |tag: TagId| self.context.tags.get(tag).path.to_string();
                ("object", super::objects::journal_body(e, &path), e.at)
            }
            Record::Fault(f) => ("fault", json!({"part": &*f.part, "message": &*f.message, "active": f.active}), f.at),
        };
        Some((kind, body.to_string(), at))
    }
}

/// True where two messages differ in figures only: the bytes left on a full disk change every second, the trouble does not.
fn same_trouble(a: Option<&str>, b: Option<&str>) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    a.map(words) == b.map(words)
}

/// System tags that the historian's thread publishes: path, Chinese, English, unit, type.
pub const HEALTH_TAGS: &[(&str, &str, &str, &str, ValueType)] = &[
    ("sys/historian/ok", "历史库可写", "Historian saves", "", ValueType::Bool),
    ("sys/historian/samples", "历史样本数", "Samples stored", "samples", ValueType::Float),
    ("sys/historian/dropped", "丢弃记录数", "Records dropped", "samples", ValueType::Float),
    ("sys/historian/pending", "待写样本数", "Samples waiting", "samples", ValueType::Float),
    ("sys/historian/disk_bytes", "历史库占用", "Historian on disk", "B", ValueType::Float),
    ("sys/historian/commit_ms", "落盘耗时", "Commit time", "ms", ValueType::Float),
];

/// Delivers values of the runtime's own tags; a path that the site does not have is passed over.
pub fn publish(
    tags: &TagTable,
    sink: &dyn SampleSink,
    now: Now,
    values: impl IntoIterator<Item = (&'static str, Value)>,
) {
    let batch: Vec<TagSample> = values
        .into_iter()
        .filter_map(|(path, value)| Some(TagSample { tag: tags.find(path)?, sample: Sample::good(value, now) }))
        .collect();
    sink.samples(&batch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::Instant as Mono;

    #[test]
    fn nothing_is_old_until_civil_time_has_been_steady_and_after_a_jump() {
        let year = 365 * 86_400;
        let at =
            |mono_s: u64, utc_s: i64| Now { mono: Mono(mono_s * 1_000_000_000), utc: Utc::from_millis(utc_s * 1_000) };
        let mut time = SteadyTime::new(at(0, 50 * year));
        for (mono, utc, jumped, trusted) in [
            (1, 50 * year + 1, false, false),
            (3_600, 50 * year + 3_600, false, true),
            // A correction of some seconds is none.
            (3_610, 50 * year + 3_630, false, true),
            (3_611, 52 * year, true, false),
            (3_711, 50 * year + 3_731, true, false),
            (7_310, 50 * year + 7_330, false, false),
            (7_311, 50 * year + 7_331, false, true),
        ] {
            assert_eq!((time.jumped(at(mono, utc)), time.is_trusted()), (jumped, trusted), "at {mono} s");
            let expected = if trusted { Utc::from_millis(utc * 1_000) } else { Utc(0) };
            assert_eq!(time.retain_at(), expected);
        }
    }

    #[test]
    fn a_figure_that_moves_is_no_news_and_another_trouble_is() {
        let full = |free: u64| format!("disk is nearly full: {free} bytes free");
        assert!(same_trouble(Some(&full(12)), Some(&full(9_000))));
        assert!(!same_trouble(Some(&full(12)), Some("history store is damaged")));
        assert!(!same_trouble(Some(&full(12)), None));
        assert!(same_trouble(None, None));
    }
}
