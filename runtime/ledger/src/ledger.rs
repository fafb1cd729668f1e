//! Looks at the meters once a second, books what flowed into quarters, writes the quarters down, and answers what
//! they come to.
//!
//! Duties: ledger time, booking, closing, issues. The rules of a register are in `register`, the adding up in `summary`, the
//! published tags in `publish`, the files in `store`; below this module: `clock`, `close`, `issues`.
//!
//! *Ledger time* is civil time that never runs backwards by itself: a step of civil time beyond
//! [`crate::limits::CLOCK_STEP_MIN`] moves every stored time with it, so that no interval between two readings changes its length.

mod clock;
mod close;
mod issues;

use self::close::PowerCheck;
use self::issues::gap_issue;
use crate::book::{Book, Input};
use crate::chain::{LogError, VerifyReport};
use crate::config::{LedgerConfig, MeterKind};
use crate::demand::Demand;
use crate::limits::{
    BORDER_GAP_MAX, DAYS_IN_MEMORY, GAP_ISSUE_MIN, ISSUES_MAX, RATE_STEP_MAX, STATE_SAVE_EVERY, SUMMARY_DAYS_MAX,
};
use crate::quarter::{Row, cut, quarter_of, start_of};
use crate::register::{Increment, Rules, nanos};
use crate::report::{Issue, IssueKind, Summary};
use crate::store::{self, Loaded, State, Store, Stored, StreamState};
use crate::summary::{Cell, Tally};
use crate::tags::{LedgerTag, tag_list};
use parking_lot::Mutex;
use penstock_historian::Historian;
use penstock_model::{BadReason, Instant, Now, Quality, Sample, Utc};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The ledger could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The configuration cannot be used.
    #[error("the energy and carbon configuration has errors: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A file could not be used.
    #[error("the ledger's files cannot be used")]
    Store(#[from] LogError),
    /// A range that is empty or too long.
    #[error("a summary covers more than nothing and at most {SUMMARY_DAYS_MAX} days")]
    Range,
}

/// The ledger's own health.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct LedgerStatus {
    /// Hash of the last record on disk.
    pub head: String,
    /// Number of the last record on disk.
    pub records: u64,
    /// Lines that wait for the disk.
    pub waiting: usize,
    /// Lines lost because the disk did not take them for too long.
    pub lost: u64,
    /// What the disk last refused; none when all is written.
    pub last_error: Option<String>,
}

/// Energy and carbon of one site. Shared between threads: [`Ledger::observe`] from one, the rest from any.
#[derive(Debug)]
pub struct Ledger {
    book: Book,
    dir: PathBuf,
    historian: Option<Arc<Historian>>,
    inner: Mutex<Inner>,
    /// Beside `inner`, which is held while the disk is written: who asks for the health must not wait for the disk.
    status: Mutex<LedgerStatus>,
}

/// Rows of one quarter, by stream.
pub(crate) type Rows = Vec<Option<Row>>;

#[derive(Debug)]
pub(crate) struct Inner {
    streams: Vec<StreamState>,
    live: Vec<Live>,
    /// Written quarters of the days in memory.
    rows: BTreeMap<i64, Rows>,
    /// Booked, not written yet.
    pending: BTreeMap<i64, Rows>,
    /// First quarter not written yet; none before the first look.
    next: Option<i64>,
    /// The last look: monotonic time, ledger time.
    last: Option<(Instant, i64)>,
    /// Ledger time of the first look.
    opened: i64,
    /// Ledger time of the saved state.
    saved_t: Option<i64>,
    saved_at: Instant,
    /// Seconds that a forward step of civil time took out of a quarter.
    skipped: BTreeMap<i64, f64>,
    issues: VecDeque<Issue>,
    /// Issues of this look, for the journal.
    fresh: Vec<Issue>,
    pub(crate) demand: Demand,
    power: Vec<PowerCheck>,
    /// Highest demand of the local month that begins at the first number.
    pub(crate) month_max: Option<(i64, f64)>,
    complaints: Vec<String>,
    config_to_write: bool,
    store: Store,
}

/// What is known of a stream's input now.
#[derive(Debug, Clone, Copy)]
struct Live {
    quality: Quality,
    /// Quarter, issues written in it, issues held back in it.
    issues: (i64, u32, u32),
}

impl Ledger {
    /// Opens or creates the ledger in `dir`. Damaged files are left as they are, said as an issue, and the ledger goes on.
    ///
    /// # Errors
    /// When the configuration has errors (all of them are named), the folder cannot be used, or another process has it open.
    pub fn open(dir: &Path, config: LedgerConfig, historian: Arc<Historian>) -> Result<Ledger, LedgerError> {
        Self::open_with(dir, config, Some(historian))
    }

    /// As [`Ledger::open`]; without a historian issues go to the ledger's own file alone.
    pub(crate) fn open_with(
        dir: &Path,
        config: LedgerConfig,
        historian: Option<Arc<Historian>>,
    ) -> Result<Ledger, LedgerError> {
        let errors = config.check();
        let zone = match jiff::tz::TimeZone::get(&config.time_zone) {
            Ok(zone) if errors.is_empty() => zone,
            _ => return Err(LedgerError::Config(errors)),
        };
        let book = Book::new(config, zone);
        let (store, loaded) = Store::open(dir)?;
        let inner = Inner::new(&book, store, loaded);
        let status = Mutex::new(status_of(&inner.store));
        Ok(Ledger { book, dir: dir.to_owned(), historian, inner: Mutex::new(inner), status })
    }

    /// The tags it publishes.
    #[must_use]
    pub fn tags(&self) -> Vec<LedgerTag> {
        tag_list(&self.book.config)
    }

    /// The tags a ledger of this configuration publishes; the same as [`tag_list`].
    #[must_use]
    pub fn tag_list(config: &LedgerConfig) -> Vec<LedgerTag> {
        tag_list(config)
    }

    /// Looks at the meters: to be called every second. Answers the ledger's own tags. A disk that refuses is retried, told by
    /// [`Ledger::status`], and does not stop the counting.
    pub fn observe(&self, now: Now, read: &dyn Fn(&str) -> Option<Sample>) -> Vec<(String, Sample)> {
        let mut inner = self.inner.lock();
        let (t, dt) = inner.tick(&self.book, now);
        inner.look(&self.book, now, t, dt, read);
        inner.close(&self.book, now.mono, t);
        inner.write_out(&self.book, now.mono, t);
        let samples = crate::publish::samples(&self.book, &inner, now, t, read);
        let fresh = std::mem::take(&mut inner.fresh);
        let status = status_of(&inner.store);
        drop(inner);
        *self.status.lock() = status;
        self.journal(now.utc, &fresh);
        samples
    }

    /// Energy, cost and emissions of the quarters that `from..to` touches, from what is written and the running part.
    ///
    /// # Errors
    /// When the range is empty or longer than [`crate::limits::SUMMARY_DAYS_MAX`] days, or files cannot be read.
    pub fn summary(&self, from: Utc, to: Utc) -> Result<Summary, LedgerError> {
        let (from, to) = (quarter_of(from.0), quarter_of(to.0.saturating_sub(1)).saturating_add(1));
        if from >= to || to - from > SUMMARY_DAYS_MAX * 96 {
            return Err(LedgerError::Range);
        }
        let floor = self.inner.lock().floor();
        let (old, old_issues) =
            if from < floor { store::read(&self.dir, from, to.min(floor))? } else { (BTreeMap::new(), Vec::new()) };
        let mut tally = Tally::new(&self.book);
        for (quarter, rows) in &old {
            let cells: Vec<_> = self.book.streams.iter().map(|s| cell(rows.get(&s.key).copied(), &s.input)).collect();
            tally.add(*quarter, &cells, true);
        }
        let inner = self.inner.lock();
        inner.tally(&self.book, from.max(floor), to, &mut tally);
        let mut summary = tally.summary(from, to);
        let within = |i: &&Issue| (from.max(floor)..to).contains(&quarter_of(i.at_ms.saturating_mul(1_000_000)));
        summary.issues = old_issues;
        summary.issues.extend(inner.issues.iter().filter(within).cloned());
        summary.issues.extend(inner.open_gaps(&self.book).filter(|i| within(&i)));
        summary.issues.sort_by_key(|i| std::cmp::Reverse(i.at_ms));
        summary.issues.truncate(ISSUES_MAX);
        Ok(summary)
    }

    /// The ledger's own health as of the last look. Never waits for the disk.
    #[must_use]
    pub fn status(&self) -> LedgerStatus {
        self.status.lock().clone()
    }

    /// Verifies the intervals in `dir` from their first record, changing nothing.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn verify(dir: &Path) -> Result<VerifyReport, LedgerError> {
        Ok(store::verify(dir)?)
    }

    fn journal(&self, utc: Utc, issues: &[Issue]) {
        for issue in issues {
            tracing::warn!(stream = %issue.stream, kind = ?issue.kind, "{}", issue.text);
            let Some(historian) = &self.historian else { continue };
            let body = serde_json::to_string(issue).unwrap_or_default();
            if let Err(e) = historian.events_append(utc, "ledger", &body) {
                tracing::warn!(error = %store::chain_text(&e), "an issue of the ledger is missing in the journal");
            }
        }
    }
}

fn status_of(store: &Store) -> LedgerStatus {
    let (records, head) = store.head();
    LedgerStatus { head, records, waiting: store.waiting(), lost: store.lost, last_error: store.last_error.clone() }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        if let Some((_, t)) = inner.last {
            inner.save(&self.book, t);
        }
    }
}

fn cell(row: Option<Row>, input: &Input) -> Option<Cell> {
    let register = input.is_register();
    row.map(|r| Cell { value: r.value(register), class: r.class(register) })
}

impl Inner {
    fn new(book: &Book, store: Store, loaded: Loaded) -> Inner {
        let count = book.streams.len();
        let index: BTreeMap<&str, usize> = book.streams.iter().enumerate().map(|(i, s)| (s.key.as_str(), i)).collect();
        let state = loaded.state.unwrap_or_default();
        let saved_t = (state.t_ns != 0).then_some(state.t_ns);
        let mut inner = Inner {
            streams: book.streams.iter().map(|s| state.streams.get(&s.key).cloned().unwrap_or_default()).collect(),
            live: vec![Live { quality: Quality::Bad(BadReason::Initial), issues: (0, 0, 0) }; count],
            rows: BTreeMap::new(),
            pending: BTreeMap::new(),
            next: (state.next != 0).then_some(state.next),
            last: None,
            opened: 0,
            saved_t,
            saved_at: Instant(0),
            skipped: BTreeMap::new(),
            issues: loaded.issues.into_iter().collect(),
            fresh: Vec::new(),
            demand: Demand::default(),
            power: vec![PowerCheck::default(); book.config.meters.len()],
            month_max: None,
            complaints: loaded.complaints,
            config_to_write: loaded.config != Some(book.as_json()),
            store,
        };
        let excess = inner.issues.len().saturating_sub(ISSUES_MAX);
        inner.issues.drain(..excess);
        for (quarter, key, row) in state.pending {
            if let Some(i) = index.get(key.as_str()) {
                inner.pending.entry(quarter).or_insert_with(|| vec![None; count])[*i] = Some(row);
            }
        }
        for (quarter, rows) in loaded.rows {
            for (key, (seq, row)) in rows {
                let Some(i) = index.get(key.as_str()).copied() else { continue };
                inner.rows.entry(quarter).or_insert_with(|| vec![None; count])[i] = Some(row);
                // Written after the state was saved: what the state still holds of it is in the row.
                if seq > loaded.state_seq {
                    inner.replay(quarter, i, &row);
                }
            }
        }
        inner
    }

    fn replay(&mut self, quarter: i64, i: usize, row: &Row) {
        if let Some(rows) = self.pending.get_mut(&quarter) {
            rows[i] = None;
        }
        let stream = &mut self.streams[i];
        if let Some(to) = row.to {
            stream.register.catch_up(to, row.at_ns);
        }
        if row.covered_s > 0.0 {
            stream.last_ok = stream.last_ok.max(Some(row.at_ns));
        }
        stream.born.get_or_insert(start_of(quarter));
        self.next = self.next.max(Some(quarter + 1));
        self.saved_t = self.saved_t.max(Some(row.at_ns));
    }

    fn look(&mut self, book: &Book, now: Now, t: i64, dt: Option<i64>, read: &dyn Fn(&str) -> Option<Sample>) {
        for (i, stream) in book.streams.iter().enumerate() {
            match &stream.input {
                Input::Register { tag, rules } => self.look_register(book, i, rules, t, now, read(tag)),
                input => self.look_rate(book, i, input, t, dt, read),
            }
        }
        for (m, meter) in book.config.meters.iter().enumerate() {
            let power = meter.power_tag.as_ref().and_then(|tag| read(tag)).and_then(|s| s.usable_f64());
            self.power[m].tick(t, dt.unwrap_or(0), power);
        }
        self.demand.tick(t);
    }

    fn look_register(&mut self, book: &Book, i: usize, rules: &Rules, t: i64, now: Now, sample: Option<Sample>) {
        let Some(sample) = sample else {
            self.live[i].quality = Quality::Bad(BadReason::Configuration);
            return;
        };
        self.live[i].quality = sample.quality;
        let Some(reading) = sample.usable_f64() else { return };
        let seen = t - nanos(sample.age(now.mono));
        self.usable_at(book, i, seen);
        let (increment, finding) = self.streams[i].register.take(rules, reading, seen);
        if let Some(finding) = finding {
            self.tell_finding(book, i, rules, &finding, seen);
        }
        if let Some(increment) = increment {
            self.book(book, i, &increment, rules.rollover, false);
            if book.of_kind(MeterKind::Grid, false).contains(&i) {
                self.demand.add(increment.amount);
                if increment.t1 - increment.t0 > nanos(BORDER_GAP_MAX) {
                    self.demand.restart();
                }
            }
        }
    }

    fn look_rate(
        &mut self,
        book: &Book,
        i: usize,
        input: &Input,
        t: i64,
        dt: Option<i64>,
        read: &dyn Fn(&str) -> Option<Sample>,
    ) {
        let (rate, quality) = input.rate(read);
        self.live[i].quality = quality;
        let Some(rate) = rate else { return };
        self.usable_at(book, i, t);
        let Some(dt) = dt.filter(|dt| *dt > 0 && *dt <= nanos(RATE_STEP_MAX)) else { return };
        // Below zero is noise of the instrument at standstill.
        let amount = rate.max(0.0) * dt as f64 / 3.6e12;
        let increment = Increment { from: 0.0, to: 0.0, t0: t - dt, t1: t, amount, estimated: false };
        self.book(book, i, &increment, 0.0, quality != Quality::Good);
    }

    /// A usable input of time `seen`: ends a gap.
    fn usable_at(&mut self, book: &Book, i: usize, seen: i64) {
        let stream = &mut self.streams[i];
        stream.born.get_or_insert(seen);
        let last = stream.last_ok;
        stream.last_ok = last.max(Some(seen));
        if let Some(last) = last.filter(|last| seen - last > nanos(GAP_ISSUE_MIN)) {
            let issue = gap_issue(&book.streams[i].key, last, Some(seen));
            self.tell_of(i, seen, issue);
        }
    }

    /// Books an increment into its quarters.
    fn book(&mut self, book: &Book, i: usize, increment: &Increment, rollover: f64, soft: bool) {
        let (shares, long) = cut(increment.t0, increment.t1);
        let count = book.streams.len();
        let register = book.streams[i].input.is_register();
        let at = |upto: f64| {
            let value = increment.from + increment.amount * upto;
            if rollover > 0.0 && value >= rollover { value - rollover } else { value }
        };
        for s in &shares {
            let row = Row {
                amount: increment.amount * s.part,
                covered_s: s.seconds,
                soft_s: if soft { s.seconds } else { s.soft_s },
                expected_s: 0.0,
                estimated: increment.estimated,
                from: register.then(|| at(s.upto - s.part)),
                to: register.then(|| if s.upto >= 1.0 { increment.to } else { at(s.upto) }),
                at_ns: s.end,
                rev: 0,
            };
            let slot = &mut self.pending.entry(s.quarter).or_insert_with(|| vec![None; count])[i];
            *slot = Some(slot.map_or(row, |before| before.merged(&row)));
        }
        if long {
            let days = (increment.t1 - increment.t0) as f64 / 8.64e13;
            let text = format!(
                "{:.1} {} of {days:.0} days were booked in one quarter: the gap is too long to be spread",
                increment.amount, book.streams[i].unit
            );
            let (before, after) = (Some(increment.from), Some(increment.to));
            self.tell_of(
                i,
                increment.t1,
                Issue {
                    at_ms: increment.t1 / 1_000_000,
                    until_ms: None,
                    stream: book.streams[i].key.clone(),
                    kind: IssueKind::LongGap,
                    before,
                    after,
                    text,
                },
            );
        }
    }

    /// First quarter that memory holds for certain.
    fn floor(&self) -> i64 {
        // Where civil time was set back there are rows ahead of the present: they do not move the window.
        let present = self.last.map(|(_, t)| quarter_of(t)).or(self.next);
        present.map_or(i64::MIN, |q| q - DAYS_IN_MEMORY * 96 + 1)
    }

    /// Adds the quarters `from..to` that memory holds.
    pub(crate) fn tally(&self, book: &Book, from: i64, to: i64, tally: &mut Tally<'_>) {
        if from >= to {
            return;
        }
        let t = self.last.map_or(0, |(_, t)| t);
        let mut quarters: Vec<i64> =
            self.rows.range(from..to).chain(self.pending.range(from..to)).map(|(q, _)| *q).collect();
        quarters.sort_unstable();
        quarters.dedup();
        for quarter in quarters {
            let cells: Vec<_> = book
                .streams
                .iter()
                .enumerate()
                .map(|(i, stream)| cell(self.row(quarter, i, t), &stream.input))
                .collect();
            tally.add(quarter, &cells, quarter < quarter_of(t));
        }
    }

    /// How much of the running quarter's begin lies before the first look at the grid's meters.
    pub(crate) fn unseen_ns(&self, book: &Book, t: i64) -> i64 {
        let begin = start_of(quarter_of(t));
        let born = book.of_kind(MeterKind::Grid, false).into_iter().filter_map(|i| self.streams[i].born).max();
        born.map_or(0, |born| (born - begin).max(0))
    }

    /// What is known of a stream in a quarter, written and pending.
    fn row(&self, quarter: i64, i: usize, t: i64) -> Option<Row> {
        let of = |map: &BTreeMap<i64, Rows>| map.get(&quarter).and_then(|rows| rows[i]);
        match (of(&self.rows), of(&self.pending)) {
            (Some(before), Some(later)) => Some(before.merged(&later)),
            (None, Some(mut row)) => {
                let born = self.streams[i].born.unwrap_or(t);
                let skipped = self.skipped.get(&quarter).copied().unwrap_or(0.0);
                row.expected_s = (Row::expected(quarter, born, t, true) - skipped).max(0.0);
                Some(row)
            }
            (before, None) => before,
        }
    }

    /// Energy purchased in the running quarter so far.
    pub(crate) fn running_kwh(&self, book: &Book, t: i64) -> f64 {
        let grid = book.of_kind(MeterKind::Grid, false);
        grid.iter().filter_map(|i| self.row(quarter_of(t), *i, t)).map(|r| r.amount).sum()
    }

    /// Quality of a stream's count as it stands.
    pub(crate) fn quality(&self, i: usize) -> Quality {
        let quality = self.live[i].quality.propagated();
        if quality == Quality::Good && self.streams[i].register.held() {
            return Quality::Uncertain(penstock_model::UncertainReason::LastKnown);
        }
        quality
    }

    fn write_out(&mut self, book: &Book, mono: Instant, t: i64) {
        if std::mem::take(&mut self.config_to_write) {
            self.store.push(t, &Stored::Config(book.as_json()));
        }
        self.store.flush(mono);
        if self.saved_at == Instant(0) || mono.since(self.saved_at) >= STATE_SAVE_EVERY {
            self.save(book, t);
            // Zero means "at once": the origin itself counts as one nanosecond later.
            self.saved_at = Instant(mono.0.max(1));
        }
    }

    fn save(&mut self, book: &Book, t: i64) {
        let streams = book.streams.iter().zip(&self.streams).map(|(s, state)| (s.key.clone(), state.clone())).collect();
        let mut pending = Vec::new();
        for (quarter, rows) in &self.pending {
            for (stream, row) in book.streams.iter().zip(rows) {
                pending.extend(row.map(|row| (*quarter, stream.key.clone(), row)));
            }
        }
        self.store.save(&State { t_ns: t, next: self.next.unwrap_or(0), streams, pending });
    }
}
