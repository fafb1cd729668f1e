//! A change of the running site: from its books to the tasks, its probation, and the way back.
//!
//! What stands is behind one lock, which is held for the handing over alone and never while a disk is waited for: the watch
//! over a probation begins with the handing over, and whoever asks or writes books does not hold it up. First the plant,
//! then the books: a return waits for neither.

use super::align::align;
use super::applied::Applied;
use super::control::{Answer, Context, Order, refused};
use super::diff::{Difference, differences};
use super::history::{self, Entry, Kind, Note};
use super::words::Words;
use crate::config::Site;
use parking_lot::Mutex;
use penstock_engine::{Change, TaskView};
use penstock_ledger::{Action, ActionKind};
use penstock_model::{FaultRecord, Record, Role, TaskId, Utc, Value, with_causes};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer waits for every task to take a change; slower tasks take it at their next scan.
const TAKEN_WAIT: Duration = Duration::from_secs(15);
/// How long an answer waits for a reset task to run again.
const RESET_WAIT: Duration = Duration::from_secs(5);
/// How often an answer looks whether what it waits for has come.
const ANSWER_LOOK: Duration = Duration::from_millis(5);
/// How often a return that the disk did not take is written again.
const BOOK_AGAIN: Duration = Duration::from_secs(2);
/// Longest probation.
const PROBATION_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

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
    /// Tasks that were faulted when it began and have not run since.
    faulted: HashSet<TaskId>,
}

/// A return by itself, to be written into the history.
struct Return {
    at: Utc,
    /// The configuration left, and the one that runs again.
    number: u32,
    before_number: u32,
    reason: String,
    site: Arc<Site>,
    tried: Instant,
}

/// What runs, and what is known of it.
struct Stand {
    site: Arc<Site>,
    number: u32,
    probation: Option<Probation>,
    /// The runtime went back by itself, and nobody has applied anything since.
    went_back: bool,
    /// What to tell of a folder that was not used after a crash, until another configuration is put in force.
    folder_unused: Option<Words>,
    shown: Option<Instant>,
}

/// The changes of a running site.
pub(super) struct Control {
    pub context: Context,
    stand: Mutex<Stand>,
    /// Held while a change is written into the history and the logs: entries are numbered, and come in their order. The
    /// watch takes it only after the plant has gone back.
    books: Mutex<()>,
    /// A return that the disk has not taken yet: without it the history would say that what was gone back from runs.
    unbooked: Mutex<Option<Return>>,
}

/// A change that may be made, before it is handed over.
struct Asked {
    new: Arc<Site>,
    base: Arc<Site>,
    change: Change,
    programs: HashSet<String>,
    probation: Duration,
}

impl Control {
    pub fn new(context: Context, number: u32) -> Control {
        let folder_unused = context.applied.as_ref().map(Applied::words);
        let site = context.site.clone();
        let stand = Stand { site, number, probation: None, went_back: false, folder_unused, shown: None };
        Control { context, stand: Mutex::new(stand), books: Mutex::new(()), unbooked: Mutex::new(None) }
    }

    /// What runs, and its number.
    pub fn running(&self) -> (Arc<Site>, u32) {
        let stand = self.stand.lock();
        (stand.site.clone(), stand.number)
    }

    pub fn folder_unused(&self) -> Option<Words> {
        self.stand.lock().folder_unused.clone()
    }

    pub fn say(&self, ok: bool, words: Words, lines: Vec<Words>) -> Answer {
        let stand = self.stand.lock();
        let left = stand.probation.as_ref().map(|p| p.until.saturating_duration_since(Instant::now()).as_secs());
        let hash = stand.site.config_hash.clone();
        Answer { ok, words, lines, number: stand.number, hash, probation_s: left, seen: None }
    }

    /// Refuses where another configuration runs than the one the person was shown the differences from.
    pub fn is_base(&self, base: &str) -> Result<(), Words> {
        let (site, number) = self.running();
        if site.config_hash == base {
            return Ok(());
        }
        let entries = history::ran(&self.context.state_dir).map(|(entries, _)| entries).unwrap_or_default();
        let shown = entries.iter().rev().find(|e| e.hash == base);
        let newest = entries.iter().rev().find(|e| e.number == number).map_or_else(String::new, |e| e.who.clone());
        let meanwhile =
            shown.and_then(|e| history::configuration(&self.context.state_dir, e, &self.context.overrides).ok());
        let found = meanwhile.map(|was| differences(&was.site, &site)).unwrap_or_default();
        let list =
            |of: &dyn Fn(&Words) -> &String| found.iter().map(|d| format!("\n  {}", of(&d.words))).collect::<String>();
        Err(refused(
            format!(
                "未作任何更改：在您查看差异之后，运行的已是配置 {number}（{newest}）。其间的改动：{}\n请用 penstock diff 重新查看后再执行",
                list(&|w| &w.zh)
            ),
            format!(
                "nothing was changed: since you were shown the differences, configuration {number} was put in force ({newest}). \
                 What changed meanwhile:{}\nlook at the differences again (penstock diff), put the folder right, and repeat",
                list(&|w| &w.en)
            ),
        ))
    }

    /// Refuses where a change on probation would go unwatched. Going back to what it came from is always possible.
    fn is_free(&self, new: &Site, kind: Kind, order: &Order) -> Result<(), Words> {
        let stand = self.stand.lock();
        let Some(probation) = stand.probation.as_ref().filter(|_| !order.keep) else { return Ok(()) };
        if kind == Kind::Rollback && new.config_hash == probation.before.config_hash {
            return Ok(());
        }
        let (n, left) = (probation.number, probation.until.saturating_duration_since(Instant::now()).as_secs());
        Err(refused(
            format!(
                "未作任何更改：配置 {n} 还在试运行（剩余 {left} s）。请等待，或用 --keep 确认保留它并结束其试运行，或用 penstock rollback 回退"
            ),
            format!(
                "nothing was changed: configuration {n} is on probation for {left} s more. Wait, or end its probation and keep it \
                 with --keep, or take it back with `penstock rollback`"
            ),
        ))
    }

    /// Makes a change: books that it is asked for, hands it over, books what became of it.
    pub fn change(
        &self,
        new: Site,
        kind: Kind,
        of: Option<u32>,
        account: &str,
        order: &Order,
    ) -> Result<Answer, Words> {
        let (base, _) = self.running();
        let found = differences(&base, &new);
        if new.config_hash == base.config_hash {
            return Err(refused("与运行配置相同，无需更改", "it is the configuration that runs: nothing to change"));
        }
        live_alone(&found)?;
        self.is_free(&new, kind, order)?;
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
            lines: found.iter().map(|d| d.words.clone()).collect(),
        };
        let probation = Duration::from_secs(order.probation_s).min(PROBATION_MAX);
        let asked = Asked { new: Arc::new(new), base, change, programs, probation };
        let wait = {
            let _books = self.books.lock();
            // What came before it stands before it in the history, or nowhere while the disk takes nothing.
            self.book_waiting();
            self.booked(asked, note, account)?
        };
        self.taken(&wait)
    }

    /// Writes that it is asked for, hands it over, and writes what became of it; its entry.
    fn booked(&self, asked: Asked, note: Note, account: &str) -> Result<Entry, Words> {
        let (who, kind, comment) = (note.who.clone(), note.kind, note.comment.clone());
        let new = asked.new.clone();
        let disk = |e: String| refused(format!("未作任何更改：{e}"), format!("nothing was changed: {e}"));
        let log = |what: &str, comment: &str| self.log(&who, account, &new, what, comment);
        log(if kind == Kind::Rollback { "asks to go back to" } else { "asks to apply" }, &comment).map_err(disk)?;
        let told = |done: Result<(), String>| {
            if let Err(error) = done {
                tracing::error!(%error, "what became of the change could not be written");
            }
        };
        let state = &self.context.state_dir;
        let entry = history::ask(state, &new, note).map_err(|e| {
            told(log("was refused", &e));
            disk(e)
        })?;
        if let Some(Err(error)) = self.context.recorder.as_ref().map(|recorder| recorder.keep(&new)) {
            tracing::error!(%error, "the configuration could not be kept with the record of scans: its scans cannot be replayed");
        }
        if let Err(why) = self.hand_over(asked, entry.number) {
            told(history::refuse(state, &entry, why.clone()));
            told(log("was refused", &why.en));
            return Err(why);
        }
        told(history::took(state, entry.number));
        told(log(if kind == Kind::Rollback { "went back to" } else { "applied" }, &comment));
        self.tell_supervisor(entry.number);
        tracing::info!(number = entry.number, "configuration changed while running");
        Ok(entry)
    }

    /// Hands the change to the tasks and begins its probation in the same moment.
    fn hand_over(&self, asked: Asked, number: u32) -> Result<(), Words> {
        let engine = &self.context.engine;
        let Asked { new, base, change, programs, probation } = asked;
        let mut stand = self.stand.lock();
        if !Arc::ptr_eq(&stand.site, &base) {
            return Err(refused(
                "未作任何更改：运行时刚刚自动回退，请重新查看",
                "nothing was changed: the runtime has just gone back by itself; look at it again and repeat",
            ));
        }
        let before_views = engine.programs();
        let faulted = engine.tasks().iter().filter(|t| t.fault.is_some()).map(|t| t.id).collect();
        let handed = engine.apply(change).map_err(|_| {
            refused(
                "未作任何更改：上一次更改尚未被所有任务接收，请稍后再试",
                "nothing was changed: the last change has not been taken by every task yet; try again after their next scan",
            )
        })?;
        if let Some(recorder) = &self.context.recorder {
            recorder.next(&new);
        }
        // What was gone back to has passed already: a way back from it would lead to what a person did not want.
        let passed = stand.probation.take().is_some_and(|p| p.before.config_hash == new.config_hash);
        let (before, before_number) = (std::mem::replace(&mut stand.site, new), stand.number);
        stand.number = number;
        stand.folder_unused = None;
        self.context.shown_hash.set(&stand.site.config_hash);
        if std::mem::take(&mut stand.went_back) {
            self.fault("", false);
        }
        if !probation.is_zero() && !passed {
            let views = engine.programs();
            let touched = before_views.iter().chain(&views).filter(|view| programs.contains(&*view.name));
            let tasks = touched.map(|view| view.task).collect();
            match engine.prepare_return(&handed, self.context.clock.now()) {
                Ok(back) => {
                    let until = Instant::now() + probation;
                    stand.probation = Some(Probation { until, number, before, before_number, back, tasks, faulted });
                }
                Err(why) => tracing::error!(%why, "the change has no probation: the way back cannot be prepared"),
            }
        }
        Ok(())
    }

    /// Waits until every task has taken the change, or it was gone back from, and says how it stands.
    fn taken(&self, entry: &Entry) -> Result<Answer, Words> {
        let (engine, n, began) = (&self.context.engine, entry.number, Instant::now());
        let mut waits = engine.waits_for();
        while !waits.is_empty() && began.elapsed() < TAKEN_WAIT && self.running().1 == n {
            std::thread::sleep(ANSWER_LOOK);
            waits = engine.waits_for();
        }
        self.publish_now();
        if self.running().1 != n {
            return Err(refused(
                format!("配置 {n} 出错，已自动回退；原因见 penstock history"),
                format!("configuration {n} broke and the runtime went back by itself; penstock history says why"),
            ));
        }
        let tasks = engine.tasks();
        let names: Vec<&str> = tasks.iter().filter(|t| waits.contains(&t.id)).map(|t| &*t.name).collect();
        let words = if names.is_empty() {
            Words::new(
                format!("配置 {n} 已在扫描边界生效"),
                format!("configuration {n} runs, from a scan of every task on"),
            )
        } else {
            let names = names.join(", ");
            Words::new(
                format!("配置 {n} 已交给各任务；任务 {names} 在下一次扫描时生效"),
                format!("configuration {n} was handed to the tasks; {names} will take it at the next scan"),
            )
        };
        Ok(self.say(true, words, tasks.iter().filter_map(still_faulted).collect()))
    }

    fn prepare(&self, new: &Site) -> Result<Change, Words> {
        let unlike =
            || refused("点、设备或报警清单不同，须重启", "tags, devices or alarms are other ones: it needs a restart");
        let config = align(&self.context.engine.config(), new).ok_or_else(unlike)?;
        let change = self.context.engine.prepare(config, self.context.clock.now());
        change.map_err(|e| refused(format!("未作任何更改：{e}"), format!("nothing was changed: {e}")))
    }

    /// Ends the fault of a task, which a change leaves as it is.
    pub fn reset(&self, name: &str, by: Option<&str>, account: &str) -> Result<Answer, Words> {
        let engine = &self.context.engine;
        let tasks = engine.tasks();
        let Some(task) = tasks.iter().find(|t| &*t.name == name) else {
            let all = tasks.iter().map(|t| &*t.name).collect::<Vec<_>>().join(", ");
            return Err(refused(
                format!("没有任务 {name}；任务有：{all}"),
                format!("there is no task `{name}`; the tasks are: {all}"),
            ));
        };
        let Some(fault) = task.fault.clone() else {
            return Err(refused(
                format!("任务 {name} 没有故障，无需复位"),
                format!("task {name} is not faulted: there is nothing to reset"),
            ));
        };
        let action = Action {
            at: self.context.clock.now().utc,
            who: by.map_or_else(|| account.to_owned(), |by| format!("{by} ({account})")),
            role: Role::Engineer,
            what: ActionKind::ResetTask { task: name.to_owned() },
            station: format!("control socket, account {account}"),
        };
        self.context.actions.append(action).map_err(|e| {
            let e = with_causes(&e);
            refused(format!("未复位：{e}"), format!("not reset, because it could not be logged: {e}"))
        })?;
        engine.reset_task(task.id);
        let (id, scans, began) = (task.id, task.scans, Instant::now());
        let after = loop {
            let now = engine.tasks().into_iter().find(|t| t.id == id);
            // A scan that was under way may not have seen it.
            if now.as_ref().is_none_or(|t| t.scans > scans + 1 || t.fault.is_none()) || began.elapsed() >= RESET_WAIT {
                break now;
            }
            std::thread::sleep(ANSWER_LOOK);
        };
        match after.and_then(|t| t.fault) {
            None => {
                let words = Words::new(
                    format!("任务 {name} 已复位（原故障：{fault}）"),
                    format!("task {name} runs again; it was faulted by: {fault}"),
                );
                Ok(self.say(true, words, Vec::new()))
            }
            Some(now) => Err(refused(
                format!("任务 {name} 已要求复位，但仍有故障：{now}"),
                format!("task {name} was asked to restart and stands faulted: {now}"),
            )),
        }
    }

    /// Into the log of actions, which may refuse, and into the journal.
    fn log(&self, who: &str, station: &str, new: &Site, what: &str, comment: &str) -> Result<(), String> {
        let at = self.context.clock.now().utc;
        let text = match what {
            "was refused" => format!("was refused configuration {}: {comment}", new.config_hash),
            _ => format!("{what} configuration {} while running: {comment}", new.config_hash),
        };
        let action = Action {
            at,
            who: who.to_owned(),
            role: Role::Engineer,
            what: ActionKind::Custom { text },
            station: format!("control socket, account {station}"),
        };
        self.context.actions.append(action).map_err(|e| with_causes(&e))?;
        let body = serde_json::json!({ "hash": new.config_hash, "what": what, "by": who, "comment": comment });
        if let Err(error) = self.context.historian.events_append(at, "config", &body.to_string()) {
            tracing::warn!(error = with_causes(&error), "the change of configuration could not be journalled");
        }
        Ok(())
    }

    /// Looks at the change on probation; goes back where it broke something. Called some fifty times a second.
    pub fn watch(&self) {
        // Whoever holds the books writes it first himself, and may be held by a disk: the watch waits for neither.
        if self.unbooked.lock().as_ref().is_some_and(|back| back.tried.elapsed() >= BOOK_AGAIN)
            && let Some(_books) = self.books.try_lock()
        {
            self.book_waiting();
        }
        let mut stand = self.stand.lock();
        let Some(probation) = &mut stand.probation else { return };
        let tasks = self.context.engine.tasks();
        // Whoever reset a task since the change has it watched again.
        probation.faulted.retain(|id| tasks.iter().any(|t| t.id == *id && t.fault.is_some()));
        let broken =
            |t: &&TaskView| t.fault.is_some() && probation.tasks.contains(&t.id) && !probation.faulted.contains(&t.id);
        if let Some(task) = tasks.iter().find(broken) {
            let reason = format!("task {}: {}", task.name, task.fault.as_deref().unwrap_or("it is faulted"));
            let gone = self.go_back(&mut stand, &reason);
            drop(stand);
            if let Some((number, before_number)) = gone {
                self.book_return(number, before_number, &reason);
            }
        } else if Instant::now() >= probation.until {
            tracing::info!(number = probation.number, "the configuration has passed its probation");
            stand.probation = None;
        }
    }

    /// The plant goes back; the numbers of the configuration left and of the one that runs again.
    fn go_back(&self, stand: &mut Stand, reason: &str) -> Option<(u32, u32)> {
        let Probation { number, before, before_number, mut back, tasks, faulted, .. } = stand.probation.take()?;
        for task in tasks.difference(&faulted) {
            back.end_fault(*task);
        }
        if self.context.engine.apply(back).is_err() {
            tracing::error!(
                number,
                reason,
                "the configuration broke and could not be gone back from: reset the task by hand"
            );
            return None;
        }
        if let Some(recorder) = &self.context.recorder {
            recorder.next(&before);
        }
        (stand.site, stand.number, stand.went_back) = (before, before_number, true);
        self.context.shown_hash.set(&stand.site.config_hash);
        Some((number, before_number))
    }

    fn book_return(&self, number: u32, before_number: u32, reason: &str) {
        let comment = format!("configuration {number} within its probation: {reason}");
        self.fault(&format!("went back by itself to configuration {before_number}; {comment}"), true);
        let _books = self.books.lock();
        let (site, _) = self.running();
        if let Err(error) = self.log("penstock", "penstock", &site, "went back by itself to", &comment) {
            tracing::error!(%error, "the return to the configuration before could not be logged");
        }
        self.tell_supervisor(before_number);
        let (at, reason) = (self.context.clock.now().utc, reason.to_owned());
        let back = Return { at, number, before_number, reason, site, tried: Instant::now() };
        if let Err(error) = self.enter_return(&back) {
            tracing::error!(%error, "the return to the configuration before could not be kept in the history yet; it is tried again");
            *self.unbooked.lock() = Some(back);
        }
        self.publish_now();
    }

    /// Writes the return that waits for the disk, if one does. The caller holds the books.
    fn book_waiting(&self) {
        let Some(mut back) = self.unbooked.lock().take() else { return };
        match self.enter_return(&back) {
            Ok(number) => tracing::info!(number, "the return to the configuration before is kept in the history now"),
            Err(_) => {
                back.tried = Instant::now();
                *self.unbooked.lock() = Some(back);
            }
        }
    }

    /// Writes a return into the history; its number there.
    fn enter_return(&self, back: &Return) -> Result<u32, String> {
        let Return { at, number, before_number, reason, site, .. } = back;
        let zh = format!("配置 {number} 在试运行期内出错，已自动回退：{reason}");
        let comment = format!("configuration {number} within its probation: {reason}");
        let note = Note {
            at: *at,
            kind: Kind::Automatic,
            who: "penstock".to_owned(),
            comment: comment.clone(),
            of: Some(*before_number),
            lines: vec![Words::new(zh, format!("went back by itself from {comment}"))],
        };
        let entry = history::add(&self.context.state_dir, site, note)?;
        let mut stand = self.stand.lock();
        // Unless a person has applied another one meanwhile.
        if stand.number == *before_number {
            stand.number = entry.number;
            drop(stand);
            self.tell_supervisor(entry.number);
        }
        Ok(entry.number)
    }

    /// What it writes when this process dies is declared by what runs.
    fn tell_supervisor(&self, number: u32) {
        if let Some(line) = &self.context.supervisor {
            line.runs(number);
        }
    }

    /// A return is a fault of the configuration until a person applies another one.
    fn fault(&self, message: &str, active: bool) {
        let at = self.context.clock.now().utc;
        let record = FaultRecord { part: "configuration".into(), message: message.into(), active, at };
        self.context.records.publish(Record::Fault(record));
    }

    pub fn publish(&self) {
        let shown = self.stand.lock().shown;
        if shown.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.publish_now();
        }
    }

    fn publish_now(&self) {
        let values = {
            let mut stand = self.stand.lock();
            stand.shown = Some(Instant::now());
            let left = stand
                .probation
                .as_ref()
                .map_or(0.0, |p| p.until.saturating_duration_since(Instant::now()).as_secs_f64());
            [
                ("sys/config/number", Value::Int(i64::from(stand.number))),
                ("sys/config/probation_s", Value::Float(left.ceil())),
                ("sys/config/went_back", Value::Bool(stand.went_back)),
                ("sys/config/folder_unused", Value::Bool(stand.folder_unused.is_some())),
            ]
        };
        let engine = &self.context.engine;
        // Also drops what the tasks had before.
        if !engine.change_is_taken() {
            tracing::debug!("a slow task has not taken the last change yet");
        }
        crate::run::history::publish(&engine.tags(), &*engine.sink(), self.context.clock.now(), values);
    }
}

/// Refuses where one of the differences needs a restart, and names each that does.
fn live_alone(found: &[Difference]) -> Result<(), Words> {
    let kept: Vec<&Difference> = found.iter().filter(|d| d.restart.is_some()).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let list = |of: &dyn Fn(&Words) -> String| {
        let line = |d: &&Difference| {
            let why = d.restart.as_ref().map(of).unwrap_or_default();
            format!("\n  {} – {why}", of(&d.words))
        };
        kept.iter().map(line).collect::<String>()
    };
    Err(refused(
        format!("未作任何更改，以下各项须重启：{}", list(&|w| w.zh.clone())),
        format!("nothing was changed; this needs a restart:{}", list(&|w| w.en.clone())),
    ))
}

/// What to tell of a task that a change has not set going again.
fn still_faulted(task: &TaskView) -> Option<Words> {
    let (name, fault) = (&task.name, task.fault.as_ref()?);
    Some(Words::new(
        format!("任务 {name} 仍处于故障，更改不会使其恢复：{fault}。原因排除后执行 penstock reset {name}"),
        format!(
            "task {name} still stands faulted, which a change does not end: {fault}. When the cause is gone: penstock reset {name}"
        ),
    ))
}
