//! The control socket of a running site: takes changes from the command line, carries them out, watches their probation.
//!
//! `control.sock` in the state folder, open to its owner alone. One JSON line is asked and one is answered per connection,
//! both bounded. One thread does everything here, so that changes come one after the other.

use super::align::align;
use super::applied::Applied;
use super::diff::{Difference, differences};
use super::history::{self, Entry, Kind, Note};
use super::line;
use super::words::Words;
use crate::config::{Overrides, Site, load};
use crate::recorder::Recorder;
use crate::supervise::child::Line;
use penstock_engine::{Change, Engine};
use penstock_historian::Historian;
use penstock_ledger::{Action, ActionKind, ActionLog};
use penstock_model::{Clock, FaultRecord, Record, RecordSink, Role, TaskId, Utc, Value, with_causes};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest question: two paths and a comment.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// How long whoever connected may take over its question, and over taking the answer.
const QUESTION_WAIT: Duration = Duration::from_secs(2);
/// How often probation is looked at, and a connection taken.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long an answer waits for every task to take a change; slower tasks take it at their next scan.
const TAKEN_WAIT: Duration = Duration::from_secs(15);
/// Longest probation.
const PROBATION_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

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
        /// Who, why, and for how long it is on probation.
        #[serde(flatten)]
        order: Order,
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
    /// Seconds of probation left.
    pub probation_s: Option<u64>,
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

/// A change on probation.
struct Probation {
    until: Instant,
    number: u32,
    /// The site gone back to, and its number.
    before: Arc<Site>,
    before_number: u32,
    /// Back to it, prepared.
    back: Change,
    tasks: HashSet<TaskId>,
    /// Tasks that were faulted when it began.
    faulted: HashSet<TaskId>,
}

struct Control {
    context: Context,
    site: Arc<Site>,
    number: u32,
    probation: Option<Probation>,
    /// The runtime went back by itself, and nobody has applied anything since.
    went_back: bool,
    /// What to tell of a folder that was not used after a crash, until another configuration is put in force.
    folder_unused: Option<Words>,
    shown: Option<Instant>,
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
    std::thread::Builder::new().name("control".into()).spawn(move || {
        let site = context.site.clone();
        let folder_unused = context.applied.as_ref().map(Applied::words);
        let mut control =
            Control { context, site, number, probation: None, went_back: false, folder_unused, shown: None };
        while !stop.load(Ordering::SeqCst) {
            if let Ok((stream, _)) = listener.accept() {
                control.serve(stream);
            }
            control.watch();
            control.publish();
            std::thread::sleep(LOOK_EVERY);
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

fn refused(zh: impl Into<String>, en: impl Into<String>) -> Words {
    Words::new(zh, en)
}

impl Control {
    fn serve(&mut self, stream: UnixStream) {
        let result = self.converse(&stream);
        if let Err(error) = result {
            tracing::warn!(%error, "a question on the control socket was broken off");
        }
    }

    fn converse(&mut self, stream: &UnixStream) -> std::io::Result<()> {
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
        let answer = match serde_json::from_str::<Question>(&question) {
            Err(e) => Err(refused(format!("无法理解的请求：{e}"), format!("the question is not understood: {e}"))),
            Ok(question) => self.answer(question, account(uid)),
        };
        let answer = answer.unwrap_or_else(|words| self.say(false, words, Vec::new()));
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        line::write(stream, &text, QUESTION_WAIT)
    }

    fn say(&self, ok: bool, words: Words, lines: Vec<Words>) -> Answer {
        let left = self.probation.as_ref().map(|p| p.until.saturating_duration_since(Instant::now()).as_secs());
        Answer { ok, words, lines, number: self.number, probation_s: left }
    }

    fn answer(&mut self, question: Question, account: String) -> Result<Answer, Words> {
        match question {
            Question::Status => {
                let (n, hash) = (self.number, &self.site.config_hash);
                let words = Words::new(format!("运行配置 {n}（{hash}）"), format!("configuration {n} runs ({hash})"));
                Ok(self.say(true, words, self.folder_unused.clone().into_iter().collect()))
            }
            Question::Apply { site, hash, order } => {
                let loaded = load(&site, &self.context.overrides).map_err(|d| {
                    refused(format!("配置有误：\n{d}"), format!("the configuration has mistakes:\n{d}"))
                })?;
                if loaded.site.config_hash != hash {
                    return Err(refused(
                        "检查之后文件又被改动，请重新执行",
                        "the folder has changed since it was checked; look at it again and repeat",
                    ));
                }
                self.change(loaded.site, Kind::Apply, None, &account, &order)
            }
            Question::Rollback { number, order } => {
                let wrong = |e: String| refused(format!("无法回退：{e}"), format!("cannot go back: {e}"));
                let (entries, _) = history::list(&self.context.state_dir).map_err(wrong)?;
                let entry = self.rollback_to(&entries, number)?;
                let loaded =
                    history::configuration(&self.context.state_dir, entry, &self.context.overrides).map_err(wrong)?;
                self.change(loaded.site, Kind::Rollback, Some(entry.number), &account, &order)
            }
        }
    }

    /// The entry that is meant: the one of this number, or the newest that is another configuration than what runs.
    fn rollback_to<'e>(&self, entries: &'e [Entry], number: Option<u32>) -> Result<&'e Entry, Words> {
        let found = match number {
            Some(number) => entries.iter().find(|e| e.number == number),
            None => {
                // Back from a return is back before what was returned to, not forth again.
                let now = entries.iter().find(|e| e.number == self.number);
                let from = now.and_then(|e| e.of).unwrap_or(self.number);
                entries.iter().rev().find(|e| e.number < from && e.hash != self.site.config_hash)
            }
        };
        found.ok_or_else(|| {
            let which = number.map_or("–".to_owned(), |n| n.to_string());
            refused(
                format!("历史中没有可回退的配置 {which}"),
                format!("the history holds no configuration to go back to ({which})"),
            )
        })
    }

    fn change(
        &mut self,
        new: Site,
        kind: Kind,
        of: Option<u32>,
        account: &str,
        order: &Order,
    ) -> Result<Answer, Words> {
        let found = differences(&self.site, &new);
        if new.config_hash == self.site.config_hash {
            return Err(refused("与运行配置相同，无需更改", "it is the configuration that runs: nothing to change"));
        }
        let kept: Vec<&Difference> = found.iter().filter(|d| d.restart.is_some()).collect();
        if !kept.is_empty() {
            let list = |of: &dyn Fn(&Words) -> String| {
                let line = |d: &&Difference| {
                    let why = d.restart.as_ref().map(of).unwrap_or_default();
                    format!("\n  {} – {why}", of(&d.words))
                };
                kept.iter().map(line).collect::<String>()
            };
            return Err(refused(
                format!("未作任何更改，以下各项须重启：{}", list(&|w| w.zh.clone())),
                format!("nothing was changed; this needs a restart:{}", list(&|w| w.en.clone())),
            ));
        }
        let lines: Vec<Words> = found.iter().map(|d| d.words.clone()).collect();
        let programs: HashSet<String> =
            found.iter().filter_map(|d| d.program.as_ref()).flat_map(|p| p.lines().map(str::to_owned)).collect();
        let change = self.prepare(&new)?;
        let who = order.by.as_ref().map_or_else(|| account.to_owned(), |by| format!("{by} ({account})"));
        let note = Note {
            at: self.context.clock.now().utc,
            kind,
            who: who.clone(),
            comment: order.comment.clone(),
            of,
            lines: lines.clone(),
        };
        let disk = |e: String| refused(format!("未作任何更改：{e}"), format!("nothing was changed: {e}"));
        self.log(&who, account, &new, kind, &order.comment).map_err(disk)?;
        let entry = history::add(&self.context.state_dir, &new, note).map_err(disk)?;
        self.carry_out(change, new, entry.number, &programs, order.probation_s)
    }

    /// Hands the change to the tasks and begins its probation.
    fn carry_out(
        &mut self,
        change: Change,
        new: Site,
        number: u32,
        programs: &HashSet<String>,
        probation_s: u64,
    ) -> Result<Answer, Words> {
        let engine = self.context.engine.clone();
        let before_views = engine.programs();
        let faulted = engine.tasks().iter().filter(|t| t.fault.is_some()).map(|t| t.id).collect();
        self.record(&new);
        if engine.apply(change).is_err() {
            self.not_recorded();
            return Err(refused(
                "上一次更改尚未被所有任务接收，请稍后再试",
                "the last change has not been taken by every task yet; try again after their next scan",
            ));
        }
        let (before, before_number) = (std::mem::replace(&mut self.site, Arc::new(new)), self.number);
        self.number = number;
        self.context.shown_hash.set(&self.site.config_hash);
        self.probation = None;
        self.end_went_back();
        self.folder_unused = None;
        self.tell_supervisor();
        let began = Instant::now();
        while !engine.change_is_taken() && began.elapsed() < TAKEN_WAIT {
            std::thread::sleep(Duration::from_millis(2));
        }
        let tasks: HashSet<TaskId> = (before_views.iter().chain(&engine.programs()))
            .filter(|view| programs.contains(&*view.name))
            .map(|view| view.task)
            .collect();
        let probation = Duration::from_secs(probation_s).min(PROBATION_MAX);
        if !probation.is_zero() {
            match self.prepare(&before) {
                Ok(back) => {
                    let until = Instant::now() + probation;
                    self.probation = Some(Probation { until, number, before, before_number, back, tasks, faulted });
                }
                Err(why) => {
                    tracing::error!(why = why.en, "the change has no probation: the way back cannot be prepared")
                }
            }
        }
        self.publish_now();
        let (taken, n) = (engine.change_is_taken(), number);
        tracing::info!(number, taken, "configuration changed while running");
        let words = if taken {
            Words::new(
                format!("配置 {n} 已在扫描边界生效"),
                format!("configuration {n} runs, from a scan of every task on"),
            )
        } else {
            Words::new(
                format!("配置 {n} 已交给各任务，慢任务在下一次扫描时生效"),
                format!("configuration {n} was handed to the tasks; slow ones take it at their next scan"),
            )
        };
        Ok(self.say(true, words, Vec::new()))
    }

    fn prepare(&self, new: &Site) -> Result<Change, Words> {
        let unlike =
            || refused("点、设备或报警清单不同，须重启", "tags, devices or alarms are other ones: it needs a restart");
        let config = align(&self.context.engine.config(), new).ok_or_else(unlike)?;
        let change = self.context.engine.prepare(config, self.context.clock.now());
        change.map_err(|e| refused(format!("未作任何更改：{e}"), format!("nothing was changed: {e}")))
    }

    /// Into the log of actions, before anything is done, and into the journal.
    fn log(&self, who: &str, station: &str, new: &Site, kind: Kind, comment: &str) -> Result<(), String> {
        let at = self.context.clock.now().utc;
        let what = match kind {
            Kind::Start | Kind::Restart => "started with",
            Kind::Apply => "applied",
            Kind::Rollback => "went back to",
            Kind::Automatic => "went back by itself to",
        };
        let text = format!("{what} configuration {} while running: {comment}", new.config_hash);
        let action = Action {
            at,
            who: who.to_owned(),
            role: Role::Engineer,
            what: ActionKind::Custom { text: text.clone() },
            station: format!("control socket, account {station}"),
        };
        self.context.actions.append(action).map_err(|e| with_causes(&e))?;
        let body = serde_json::json!({ "hash": new.config_hash, "what": what, "by": who, "comment": comment });
        if let Err(error) = self.context.historian.events_append(at, "config", &body.to_string()) {
            tracing::warn!(error = with_causes(&error), "the change of configuration could not be journalled");
        }
        Ok(())
    }

    /// Looks at the change on probation; goes back where it broke something.
    fn watch(&mut self) {
        let Some(probation) = &self.probation else { return };
        let tasks = self.context.engine.tasks();
        let broken = tasks
            .iter()
            .find(|t| t.fault.is_some() && probation.tasks.contains(&t.id) && !probation.faulted.contains(&t.id));
        if let Some(task) = broken {
            let reason = task.fault.as_deref().unwrap_or("it is faulted");
            let reason = format!("task {}: {reason}", task.name);
            self.go_back(&reason);
        } else if Instant::now() >= probation.until {
            tracing::info!(number = probation.number, "the configuration has passed its probation");
            self.probation = None;
        }
    }

    fn go_back(&mut self, reason: &str) {
        let Some(Probation { number, before, before_number, mut back, tasks, faulted, .. }) = self.probation.take()
        else {
            return;
        };
        for task in tasks.difference(&faulted) {
            back.end_fault(*task);
        }
        // First the plant, then the books.
        self.record(&before);
        if self.context.engine.apply(back).is_err() {
            self.not_recorded();
            tracing::error!(number, "the configuration broke and could not be gone back from: reset the task by hand");
            return;
        }
        self.site = before;
        self.context.shown_hash.set(&self.site.config_hash);
        self.went_back = true;
        let comment = format!("configuration {number} within its probation: {reason}");
        let site = self.site.clone();
        if let Err(error) = self.log("penstock", "penstock", &site, Kind::Automatic, &comment) {
            tracing::error!(%error, "the return to the configuration before could not be logged");
        }
        let zh = format!("配置 {number} 在试运行期内出错，已自动回退：{reason}");
        let note = Note {
            at: self.context.clock.now().utc,
            kind: Kind::Automatic,
            who: "penstock".to_owned(),
            comment: comment.clone(),
            of: Some(before_number),
            lines: vec![Words::new(zh, format!("went back by itself from {comment}"))],
        };
        match history::add(&self.context.state_dir, &site, note) {
            Ok(entry) => {
                self.number = entry.number;
                self.tell_supervisor();
            }
            Err(error) => tracing::error!(%error, "the return to the configuration before could not be kept"),
        }
        self.fault(&format!("went back by itself to configuration {before_number}; {comment}"), true);
        self.publish_now();
    }

    /// The record of scans keeps what the tasks run next.
    fn record(&self, site: &Site) {
        if let Some(Err(error)) = self.context.recorder.as_ref().map(|recorder| recorder.configuration(site)) {
            tracing::error!(%error, "the configuration could not be kept with the record of scans: its scans cannot be replayed");
        }
    }

    /// What it writes when this process dies is declared by what runs.
    fn tell_supervisor(&self) {
        if let Some(line) = &self.context.supervisor {
            line.runs(self.number);
        }
    }

    fn not_recorded(&self) {
        if let Some(recorder) = &self.context.recorder {
            recorder.not_applied();
        }
    }

    fn end_went_back(&mut self) {
        if std::mem::take(&mut self.went_back) {
            self.fault("", false);
        }
    }

    /// A return is a fault of the configuration until a person applies another one.
    fn fault(&self, message: &str, active: bool) {
        let at = self.context.clock.now().utc;
        let record = FaultRecord { part: "configuration".into(), message: message.into(), active, at };
        self.context.records.publish(Record::Fault(record));
    }

    fn publish(&mut self) {
        if self.shown.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.publish_now();
        }
    }

    fn publish_now(&mut self) {
        self.shown = Some(Instant::now());
        if !self.context.engine.change_is_taken() {
            tracing::debug!("a slow task has not taken the last change yet");
        }
        let left =
            self.probation.as_ref().map_or(0.0, |p| p.until.saturating_duration_since(Instant::now()).as_secs_f64());
        let values = [
            ("sys/config/number", Value::Int(i64::from(self.number))),
            ("sys/config/probation_s", Value::Float(left.ceil())),
            ("sys/config/went_back", Value::Bool(self.went_back)),
            ("sys/config/folder_unused", Value::Bool(self.folder_unused.is_some())),
        ];
        let engine = &self.context.engine;
        crate::run::history::publish(&engine.tags(), &*engine.sink(), self.context.clock.now(), values);
    }
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
