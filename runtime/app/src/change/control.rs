//! The control socket of a running site: takes changes from the command line, carries them out, watches their probation; and
//! holds an output for a test of a loop ([`super::hand`]).
//!
//! `control.sock` in the state folder, open to its owner alone. One JSON line is asked and one is answered per connection,
//! both bounded in length and time. One thread answers, so that changes come one after the other; another watches the
//! probation ([`super::live`]) and waits for nobody who asks.

use super::applied::Applied;
use super::hand::{Act, Seen};
use super::history::{self, Entry, Kind};
use super::line;
use super::live::Control;
use super::words::Words;
use crate::config::{Overrides, Site, load};
use crate::recorder::Recorder;
use crate::supervise::child::Line;
use penstock_engine::Engine;
use penstock_historian::Historian;
use penstock_ledger::ActionLog;
use penstock_model::{Clock, RecordSink, Utc};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest question: two paths and a comment.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// How long whoever connected may take over its question, and over taking the answer.
const QUESTION_WAIT: Duration = Duration::from_secs(2);
/// How often probation is looked at, and a connection taken.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// Which configuration runs.
    Status,
    /// To take over the configuration in a folder.
    Apply {
        /// The site's folder, absolute.
        site: PathBuf,
        /// Hash of what was checked: the folder must not have changed since.
        hash: String,
        /// Hash of the running configuration that the person was shown the differences from.
        base: String,
        /// Who, why, and for how long it is on probation.
        #[serde(flatten)]
        order: Order,
    },
    /// To end the fault of a task.
    Reset {
        /// Its name.
        task: String,
        /// Who is responsible, in their own words.
        by: Option<String>,
    },
    /// To hold an output by hand for a test of a loop, to give it back, or to look.
    Hand {
        /// Path of the output.
        output: String,
        /// Path of the measurement.
        measured: String,
        /// What is to be done.
        #[serde(flatten)]
        act: Act,
        /// Who is responsible, in their own words.
        by: Option<String>,
    },
    /// To go back to a configuration of the history; the one before where none is named.
    Rollback {
        /// Its number.
        number: Option<u32>,
        /// Who, why, and for how long it is on probation.
        #[serde(flatten)]
        order: Order,
    },
}

/// Who orders a change and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Who is responsible, in their own words.
    pub by: Option<String>,
    /// Why.
    pub comment: String,
    /// Probation, s; 0: none.
    pub probation_s: u64,
    /// Ends the probation of the change before, and keeps that change.
    #[serde(default)]
    pub keep: bool,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// True: it was done.
    pub ok: bool,
    /// What was done, or why not.
    pub words: Words,
    /// What differs.
    pub lines: Vec<Words>,
    /// Number of the configuration that runs.
    pub number: u32,
    /// Its hash.
    pub hash: String,
    /// Seconds of probation left.
    pub probation_s: Option<u64>,
    /// What was looked at.
    #[serde(default)]
    pub seen: Option<Seen>,
}

/// What the thread works with.
pub struct Context {
    pub engine: Engine,
    pub site: Arc<Site>,
    pub overrides: Overrides,
    pub state_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub actions: Arc<ActionLog>,
    pub historian: Arc<Historian>,
    pub records: Arc<dyn RecordSink>,
    pub recorder: Option<Recorder>,
    /// The hash that screens show, and begin anew with.
    pub shown_hash: penstock_hmi::ConfigHash,
    /// Where this configuration is not the site's folder: a restart after a crash.
    pub applied: Option<Applied>,
    /// The supervisor, which must know what runs.
    pub supervisor: Option<Line>,
}

/// System tags published here: path, Chinese, English, unit, type.
pub const CHANGE_TAGS: &[(&str, &str, &str, &str, penstock_model::ValueType)] = &[
    ("sys/config/number", "运行配置编号", "Running configuration", "", penstock_model::ValueType::Int),
    ("sys/config/probation_s", "试运行剩余", "Probation left", "s", penstock_model::ValueType::Float),
    ("sys/config/went_back", "已自动回退", "Went back by itself", "", penstock_model::ValueType::Bool),
    ("sys/config/folder_unused", "站点文件夹未采用", "Site's folder not used", "", penstock_model::ValueType::Bool),
];

/// Starts the thread. It ends when `stop` is set.
///
/// # Errors
/// When the socket cannot be made, or the system cannot start a thread.
pub fn start(context: Context, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    let path = socket(&context.state_dir);
    // The action log's lock has shown that no other process runs on this folder: what lies there is left over.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let number = super::started::started(&context);
    let control = Arc::new(Control::new(context, number));
    let (watching, ends) = (control.clone(), stop.clone());
    let watch = std::thread::Builder::new().name("probation".into()).spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            watching.watch();
            watching.publish();
            std::thread::sleep(LOOK_EVERY);
        }
    })?;
    std::thread::Builder::new().name("control".into()).spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => serve(&control, &stream),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
        if watch.join().is_err() {
            tracing::error!("the watch over changes on probation broke");
        }
        // Nobody is listening any more; where it cannot be removed the next start does.
        let _ = std::fs::remove_file(&path);
    })
}

/// Where the socket lies.
#[must_use]
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// The account of the operating system, by name where it has one.
pub fn account(uid: Option<u32>) -> String {
    let uid = uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {uid}"))
}

pub(super) fn refused(zh: impl Into<String>, en: impl Into<String>) -> Words {
    Words::new(zh, en)
}

fn serve(control: &Control, stream: &UnixStream) {
    if let Err(error) = converse(control, stream) {
        tracing::warn!(%error, "a question on the control socket was broken off");
    }
}

fn converse(control: &Control, stream: &UnixStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let uid = rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.uid.as_raw());
    let own = rustix::process::getuid().as_raw();
    if !uid.is_some_and(|uid| uid == own || uid == 0) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "another account may not change this site",
        ));
    }
    let question = line::read(stream, QUESTION_BYTES_MAX, QUESTION_WAIT)?;
    let answered = match serde_json::from_str::<Question>(&question) {
        Err(e) => Err(refused(format!("无法理解的请求：{e}"), format!("the question is not understood: {e}"))),
        Ok(question) => answer(control, question, &account(uid)),
    };
    let answered = answered.unwrap_or_else(|words| control.say(false, words, Vec::new()));
    let mut text = serde_json::to_string(&answered)?;
    text.push('\n');
    line::write(stream, &text, QUESTION_WAIT)
}

fn answer(control: &Control, question: Question, account: &str) -> Result<Answer, Words> {
    match question {
        Question::Status => {
            let (site, n) = control.running();
            let hash = &site.config_hash;
            let words = Words::new(format!("运行配置 {n}（{hash}）"), format!("configuration {n} runs ({hash})"));
            Ok(control.say(true, words, control.folder_unused().into_iter().collect()))
        }
        Question::Apply { site, hash, base, order } => {
            let loaded = load(&site, &control.context.overrides)
                .map_err(|d| refused(format!("配置有误：\n{d}"), format!("the configuration has mistakes:\n{d}")))?;
            if loaded.site.config_hash != hash {
                return Err(refused(
                    "检查之后文件又被改动，请重新执行",
                    "the folder has changed since it was checked; look at it again and repeat",
                ));
            }
            control.is_base(&base)?;
            control.change(loaded.site, Kind::Apply, None, account, &order)
        }
        Question::Rollback { number, order } => {
            let wrong = |e: String| refused(format!("无法回退：{e}"), format!("cannot go back: {e}"));
            let state = &control.context.state_dir;
            let (entries, _) = history::ran(state).map_err(wrong)?;
            let entry = rollback_to(control, &entries, number)?;
            let loaded = history::configuration(state, entry, &control.context.overrides).map_err(wrong)?;
            control.change(loaded.site, Kind::Rollback, Some(entry.number), account, &order)
        }
        Question::Hand { output, measured, act, by } => control.hand((&output, &measured), act, by.as_deref(), account),
        Question::Reset { task, by } => control.reset(&task, by.as_deref(), account),
    }
}

/// The entry that is meant: the one of this number, or the newest that is another configuration than what runs.
fn rollback_to<'e>(control: &Control, entries: &'e [Entry], number: Option<u32>) -> Result<&'e Entry, Words> {
    let (site, running) = control.running();
    let found = match number {
        Some(number) => entries.iter().find(|e| e.number == number),
        None => {
            // Back from a return is back before what was returned to, not forth again.
            let now = entries.iter().find(|e| e.number == running);
            let from = now.and_then(|e| e.of).unwrap_or(running);
            entries.iter().rev().find(|e| e.number < from && e.hash != site.config_hash)
        }
    };
    found.ok_or_else(|| {
        let which = number.map_or("–".to_owned(), |n| n.to_string());
        refused(
            format!("历史中没有可回退的配置 {which}"),
            format!("the history holds no configuration that ran to go back to ({which})"),
        )
    })
}

/// A moment as a person reads it.
#[must_use]
pub fn shown_time(at_ms: i64, zone: &str) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(Utc::from_millis(at_ms).millis()) else { return "?".to_owned() };
    match jiff::tz::TimeZone::get(zone) {
        Ok(zone) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}
