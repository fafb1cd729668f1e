//! The ledger's files: a chain of quarters and issues, and the saved running part. Layout: `docs/ledger-format.md`.

use crate::chain::{self, Chain, LogError, OpenReport};
use crate::limits::{DAYS_IN_MEMORY, LINES_WAITING_MAX, WRITE_RETRY_AFTER};
use crate::quarter::{Class, Row, quarter_of, start_of};
use crate::register::Register;
use crate::report::{Issue, IssueKind};
use penstock_model::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const PREFIX: &str = "intervals";
const STATE_FILE: &str = "state.json";
/// Files read at open: the two or three months that the days in memory touch, and room for damaged ones.
const SEGMENTS_AT_OPEN: usize = 6;

/// A record of the chain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stored {
    /// One quarter, or later revisions of some of its streams.
    Quarter {
        /// Begin, seconds of UTC.
        start_s: i64,
        streams: BTreeMap<String, StoredRow>,
    },
    Issue(StoredIssue),
    /// The rules and factors in force from here on.
    Config(serde_json::Value),
}

/// A row as written: what outside readers need (`value`, `class`) beside what adds up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredRow {
    pub value: f64,
    pub class: Class,
    #[serde(flatten)]
    pub row: Row,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredIssue {
    at_ms: i64,
    until_ms: Option<i64>,
    stream: String,
    kind: IssueKind,
    before: Option<f64>,
    after: Option<f64>,
    text: String,
}

impl From<&Issue> for StoredIssue {
    fn from(i: &Issue) -> Self {
        let (stream, text) = (i.stream.clone(), i.text.clone());
        let Issue { at_ms, until_ms, kind, before, after, .. } = *i;
        Self { at_ms, until_ms, stream, kind, before, after, text }
    }
}

impl From<StoredIssue> for Issue {
    fn from(s: StoredIssue) -> Self {
        let StoredIssue { at_ms, until_ms, stream, kind, before, after, text } = s;
        Self { at_ms, until_ms, stream, kind, before, after, text }
    }
}

/// What is saved of a stream between its quarters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    pub register: Register,
    /// Ledger time of its first usable input.
    pub born: Option<i64>,
    /// Ledger time of its last usable input.
    pub last_ok: Option<i64>,
}

/// The running part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Ledger time it was saved at, ns.
    pub t_ns: i64,
    /// First quarter that is not written yet.
    pub next: i64,
    pub streams: BTreeMap<String, StreamState>,
    /// Counted, not yet written: quarter, stream, row.
    pub pending: Vec<(i64, String, Row)>,
}

/// What open found.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub state: Option<State>,
    /// Rows of the chain by quarter and stream: number of the record, row.
    pub rows: BTreeMap<i64, BTreeMap<String, (u64, Row)>>,
    /// Number of the last record that the saved state knows of.
    pub state_seq: u64,
    pub issues: Vec<Issue>,
    pub config: Option<serde_json::Value>,
    /// What is wrong with the files, in words.
    pub complaints: Vec<String>,
}

/// The files, open for appending.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    chain: Chain,
    waiting: VecDeque<(String, String)>,
    retry_at: Instant,
    pub lost: u64,
    pub last_error: Option<String>,
}

impl Store {
    pub(crate) fn open(dir: &Path) -> Result<(Store, Loaded), LogError> {
        let mut loaded = Loaded::default();
        let mut latest = i64::MIN;
        let (chain, report) = Chain::open_tail(dir, PREFIX, SEGMENTS_AT_OPEN, &mut |seq, body| {
            match serde_json::from_value(body) {
                Ok(Stored::Quarter { start_s, streams }) => {
                    let quarter = quarter_of(start_s.saturating_mul(1_000_000_000));
                    latest = quarter;
                    let rows = loaded.rows.entry(quarter).or_default();
                    rows.extend(streams.into_iter().map(|(key, s)| (key, (seq, s.row))));
                }
                Ok(Stored::Issue(issue)) => loaded.issues.push(issue.into()),
                Ok(Stored::Config(config)) => loaded.config = Some(config),
                // A record of a later version stays in the chain, unread.
                Err(_) => {}
            }
        })?;
        loaded.rows = loaded.rows.split_off(&latest.saturating_sub(DAYS_IN_MEMORY * 96));
        loaded.complaints = complaints(&report);
        let path = dir.join(STATE_FILE);
        match fs::read(&path) {
            Ok(bytes) => match read_state(&bytes) {
                // A state that knows more than the chain: the chain was cut or restored from an older copy.
                Ok((seq, _)) if seq > report.records => loaded.complaints.push(format!(
                    "the intervals end at record {}, the saved state knows {seq}: records are missing",
                    report.records
                )),
                Ok((seq, state)) => (loaded.state_seq, loaded.state) = (seq, Some(state)),
                Err(reason) => loaded.complaints.push(format!("{STATE_FILE} is not used: {reason}")),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(chain::io_error("read", &path)(e)),
        }
        let store = Store {
            dir: dir.to_owned(),
            chain,
            waiting: VecDeque::new(),
            retry_at: Instant(0),
            lost: 0,
            last_error: None,
        };
        Ok((store, loaded))
    }

    /// Queues a record for the disk. When too many wait, the oldest is lost and counted.
    pub(crate) fn push(&mut self, t: i64, record: &Stored) {
        match serde_json::to_string(record) {
            Ok(body) => {
                if self.waiting.len() == LINES_WAITING_MAX {
                    self.waiting.pop_front();
                    self.lost += 1;
                }
                self.waiting.push_back((month_of(t), body));
            }
            Err(e) => {
                self.lost += 1;
                self.last_error = Some(e.to_string());
            }
        }
    }

    /// Writes what waits; after a failure not before its wait is over.
    pub(crate) fn flush(&mut self, mono: Instant) {
        if self.waiting.is_empty() || mono < self.retry_at {
            return;
        }
        while let Some(label) = self.waiting.front().map(|(label, _)| label.clone()) {
            let same = self.waiting.iter().take_while(|(l, _)| *l == label);
            let bodies: Vec<String> = same.map(|(_, body)| body.clone()).collect();
            match self.chain.append(&label, &bodies) {
                Ok(_) => {
                    self.waiting.drain(..bodies.len());
                    self.last_error = None;
                }
                Err(e) => {
                    if self.last_error.is_none() {
                        tracing::error!(error = %chain_text(&e), "intervals are not being written; they wait in memory");
                    }
                    self.last_error = Some(chain_text(&e));
                    self.retry_at = mono + WRITE_RETRY_AFTER;
                    return;
                }
            }
        }
    }

    /// Saves the running part, where nothing waits: a state must not know more than the chain.
    pub(crate) fn save(&mut self, state: &State) {
        if !self.waiting.is_empty() {
            return;
        }
        let saved = serde_json::to_string(state).map_err(LogError::Encode).and_then(|body| self.replace(&body));
        match saved {
            Ok(()) => self.last_error = None,
            Err(e) => self.last_error = Some(chain_text(&e)),
        }
    }

    fn replace(&self, body: &str) -> Result<(), LogError> {
        let (path, fresh) = (self.dir.join(STATE_FILE), self.dir.join("state.new"));
        let mut file = File::create(&fresh).map_err(chain::io_error("create", &fresh))?;
        file.write_all(self.chain.seal(body).as_bytes()).map_err(chain::io_error("write", &fresh))?;
        file.sync_data().map_err(chain::io_error("sync", &fresh))?;
        fs::rename(&fresh, &path).map_err(chain::io_error("replace", &path))?;
        chain::sync_dir(&self.dir)
    }

    /// As the free function, of this store.
    pub(crate) fn read(&self, from: i64, to: i64) -> Result<Read, LogError> {
        read(&self.dir, from, to)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn head(&self) -> (u64, String) {
        (self.chain.seq(), self.chain.head().to_owned())
    }
}

/// Rows by quarter and stream, and issues.
pub(crate) type Read = (BTreeMap<i64, BTreeMap<String, Row>>, Vec<Issue>);

/// Rows of quarters `from..to` and issues begun in them, from the files. Revisions of a quarter may stand up to
/// [`DAYS_IN_MEMORY`] days after it.
pub(crate) fn read(dir: &Path, from: i64, to: i64) -> Result<Read, LogError> {
    let mut rows: BTreeMap<i64, BTreeMap<String, Row>> = BTreeMap::new();
    let mut issues = Vec::new();
    let last = month_of(start_of(to.saturating_add(DAYS_IN_MEMORY * 96)));
    chain::read(dir, PREFIX, &month_of(start_of(from)), &last, &mut |_, body| match serde_json::from_value(body) {
        Ok(Stored::Quarter { start_s, streams }) => {
            let quarter = quarter_of(start_s.saturating_mul(1_000_000_000));
            if (from..to).contains(&quarter) {
                let of_quarter = rows.entry(quarter).or_default();
                of_quarter.extend(streams.into_iter().map(|(key, s)| (key, s.row)));
            }
        }
        Ok(Stored::Issue(issue)) => issues.push(Issue::from(issue)),
        Ok(Stored::Config(_)) | Err(_) => {}
    })?;
    issues.retain(|i| (from..to).contains(&quarter_of(i.at_ms.saturating_mul(1_000_000))));
    Ok((rows, issues))
}

/// Verifies the intervals in `dir` from their first record, changing nothing.
pub(crate) fn verify(dir: &Path) -> Result<chain::VerifyReport, LogError> {
    chain::verify(dir, PREFIX)
}

fn read_state(bytes: &[u8]) -> Result<(u64, State), &'static str> {
    let (seq, body) = chain::unseal(bytes)?;
    Ok((seq, serde_json::from_value(body).map_err(|_| "it is of another version")?))
}

fn complaints(report: &OpenReport) -> Vec<String> {
    let mut complaints = Vec::new();
    if report.torn_bytes > 0 {
        complaints.push(format!("an unfinished last line of {} bytes was removed", report.torn_bytes));
    }
    if let Some(broken) = &report.broken {
        complaints.push(format!("{broken}; its file is left as it is"));
    }
    complaints
}

fn month_of(t: i64) -> String {
    let second = t.div_euclid(1_000_000_000);
    jiff::Timestamp::from_second(second).map_or_else(|_| "1970-01".to_owned(), |t| t.strftime("%Y-%m").to_string())
}

/// The message with its causes.
pub(crate) fn chain_text(e: &dyn std::error::Error) -> String {
    match e.source() {
        Some(source) => format!("{e}: {}", chain_text(source)),
        None => e.to_string(),
    }
}
