//! One scan task: latch, run, arbitrate, command, alarm, record — in that order, once per call of [`TaskCore::scan`].
//!
//! A task is owned by the thread that paces it and shares with the others only the table of samples and its mailboxes.
//! What goes wrong in a program is contained here: the task's outputs take their fallback, its tags go bad with the
//! reason, and the arbiter, the alarms and every other task go on. A fault stays until the task is reset.

mod build;
mod delay;
mod explain;
mod health;
mod journal;
mod objects;
mod report;
mod retain;
mod swap;
mod writes;

pub(crate) use swap::{Carry, ProgramCarry};

use crate::config::{OverrunPolicy, ProgramLimits, TaskDef};
use crate::engine::Shared;
use crate::host::Host;
use crate::io::UNASSIGNED;
use crate::life::Life;
use crate::object::ObjectCell;
use crate::output::{Output, Wished};
use crate::program::{End, Instance, panic_text};
use crate::system::HealthTags;
use crate::table::Seen;
use crate::view::ProgramView;
use delay::Late;
use health::{Asked, Health};
use journal::is_down;
use parking_lot::Mutex;
use penstock_model::{
    AlarmDef, BadReason, Clock, FallbackCause, Instant, LinkState, LogPolicy, Now, Quality, Record, Sample, TagId,
    TagSample, TaskId, Value,
};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Short programs between two looks at the clock.
const PROGRAMS_PER_LOOK: usize = 16;

/// How the caller's pacing went, for one scan.
#[derive(Clone, Default)]
pub struct ScanTiming {
    /// How late the scan started against its absolute deadline.
    pub jitter: Duration,
    /// Deadlines that were missed since the last scan.
    pub missed_now: u32,
    /// A clock for run time and time limit; `None` in virtual time, where scans take none.
    pub clock: Option<Arc<dyn Clock>>,
}

/// A tag this task needs. Small: every scan goes over all of them.
struct Local {
    tag: TagId,
    /// This task latches, writes and records it.
    owned: bool,
    /// Drivers or other feeders write it; the task only latches.
    external: bool,
    /// A device's tag.
    device: bool,
    /// This task records it by its policy in `logged`.
    logged: bool,
    /// When the oldest device's sample was received that is new in this scan and stands behind this tag's value.
    news: Option<Instant>,
    seen: Seen,
    /// What it is latched as goes into the record of scans: the task does not make it itself, or not of its inputs alone.
    journalled: bool,
}

/// What goes to the historian of a tag, and what last went.
struct Logged {
    policy: LogPolicy,
    recorded: Option<(Option<Value>, Quality, Instant)>,
}

struct Program {
    /// What it shows of itself.
    view: Arc<Mutex<ProgramView>>,
    name: Arc<str>,
    instance: Instance,
    /// Places in the image, by input.
    inputs: Vec<Option<usize>>,
    /// By output.
    outputs: Vec<Bound>,
    /// Inputs that are read as they stood at the end of the last scan.
    late: Vec<Late>,
    limits: ProgramLimits,
    /// Bad inputs as last published.
    bad: Vec<(usize, Quality)>,
}

/// What stands behind an output of a program.
#[derive(Clone, Copy)]
enum Bound {
    /// Nothing: an optional output.
    Free,
    /// A tag with an arbiter, by its place in the task's list of outputs.
    Output(usize),
    /// A computed tag, by its place in the image.
    Computed(usize),
}

/// An output with what its program left in this scan.
struct Arbitrated {
    output: Output,
    local: usize,
    program: Option<Arc<str>>,
    /// Its controlled object, by the place in the task's list, and its place among that object's outputs.
    object: Option<(usize, usize)>,
    wished: Wished,
    /// The last command, where a device's sample caused it and the device has not answered yet.
    asked: Option<Asked>,
    /// The write that is under way.
    life: Life,
    /// Place in the image of the measurement that follows the output.
    settle: Option<usize>,
}

struct Fault {
    cause: FallbackCause,
    message: Arc<str>,
    /// True until it was published.
    fresh: bool,
}

/// How far a scan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The image stands.
    Latch,
    /// The programs have run.
    Run,
    /// Every output has been weighed.
    Arbitrate,
    /// Commands were handed to the drivers.
    Command,
    /// What there is to tell was told.
    Record,
}

/// Called after each phase of a scan of a task, with the number of its scan. Exists in debug builds alone.
#[cfg(debug_assertions)]
pub type Probe = Box<dyn Fn(Phase, u64) + Send>;

/// One scan task. Owned by the thread that paces it.
pub struct TaskCore {
    shared: Arc<Shared>,
    index: usize,
    def: TaskDef,
    host: Host,
    locals: Vec<Local>,
    /// By place as `locals`.
    logged: Vec<Logged>,
    /// Samples of the last scan record.
    record_len: usize,
    places: HashMap<TagId, usize>,
    image: Vec<Sample>,
    /// What an unbound input reads as.
    unbound: Sample,
    programs: Vec<Program>,
    outputs: Vec<Arbitrated>,
    by_tag: HashMap<TagId, usize>,
    objects: Vec<ObjectCell>,
    fault: Option<Fault>,
    /// The alarms, for the task that evaluates them.
    alarms: Vec<AlarmDef>,
    /// Evaluates alarms and publishes the links' health.
    chores: bool,
    health: Health,
    /// The fault as last shown.
    shown_fault: Option<Arc<str>>,
    links: Vec<(HealthTags, Option<LinkState>)>,
    started: Instant,
    /// Devices whose link is down in this scan, by their place.
    down: Vec<bool>,
    /// The record of this scan.
    recording: journal::Recording,
    #[cfg(debug_assertions)]
    probe: Option<Probe>,
    /// The state that is being handed out.
    saving: Option<retain::Saving>,
}

impl TaskCore {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.def.id
    }

    /// Time from one scan to the next.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.def.period
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.def.name
    }

    /// What becomes of the task when deadlines are missed.
    #[must_use]
    pub fn overrun_policy(&self) -> OverrunPolicy {
        self.def.overrun
    }

    /// The processor its thread is to be bound to.
    #[must_use]
    pub fn cpu(&self) -> Option<u16> {
        self.def.cpu
    }

    /// One scan at `now`. Publishes exactly one [`penstock_model::ScanRecord`], and commands, alarms and faults as they
    /// come. Never blocks, never panics: what breaks is a fault of this task, and its outputs fall back at the next scan.
    ///
    /// For the latency every command counts that a program's wish caused and that a sample of a device stands behind
    /// which came since the scan before: directly, or through other programs of this task. It runs from the receipt of
    /// the oldest such sample to the first news that the command was written. Between tasks it is not followed.
    #[expect(clippy::needless_pass_by_value, reason = "the caller makes one per scan")]
    pub fn scan(&mut self, now: Now, timing: ScanTiming) {
        // Every lock is released by a panic, and what stands is only replaced whole: the next scan weighs everything anew.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            self.change_if_handed(now);
            self.look_at_links();
            self.begin_journal(now, &timing);
            self.scan_once(now, &timing);
            self.end_journal();
        })) {
            self.lose_journal();
            self.broke(&panic_text(&*panic));
        }
        self.shared.tasks[self.index].stats.last_scan.store(now.mono.0, Ordering::Release);
    }

    fn scan_once(&mut self, now: Now, timing: &ScanTiming) {
        let started = timing.clock.as_ref().map(|clock| clock.now().mono);
        self.host.arm(timing.clock.clone(), started.unwrap_or_default(), self.def.run_max());
        self.restart_if_asked(now);
        self.latch(now.mono);
        self.reached(Phase::Latch);
        self.take_news(now);
        self.step_objects(now);
        self.note_impositions();
        self.control(now, timing, started);
        self.reached(Phase::Arbitrate);
        self.commit(now);
        self.reached(Phase::Command);
        if self.chores {
            self.publish_links(now);
            self.evaluate_alarms(now);
        }
        let run_time = match (&timing.clock, started) {
            (Some(clock), Some(started)) => Some(clock.now().mono.since(started)),
            _ => None,
        };
        self.report(now, timing, run_time);
        self.reached(Phase::Record);
        self.save_if_asked(now);
        self.answer_questions(now);
    }

    /// Weighs every output for this scan: by its program, or for the task's fault.
    fn control(&mut self, now: Now, timing: &ScanTiming, started: Option<Instant>) {
        self.look_back();
        for i in 0..self.outputs.len() {
            if self.outputs[i].program.is_none() {
                self.propose(i, now, None);
            }
        }
        if self.fault.is_none() {
            let fault = self.too_late(timing).or_else(|| self.run_programs(now));
            self.fault = fault.or_else(|| self.overrun(timing, started));
        }
        self.reached(Phase::Run);
        if let Some(cause) = self.fault.as_ref().map(|f| f.cause) {
            self.fall_back(now, cause);
        }
    }

    /// Makes a defect of the runtime within a scan a fault of the task. Also where the scan breaks again each time and
    /// never comes to its report, the task is seen to be faulted.
    fn broke(&mut self, what: &str) {
        // The image may hold what never came to the table.
        for local in &mut self.locals {
            local.seen = Seen::default();
        }
        let message: Arc<str> = format!("the runtime itself broke in this task: {what}").into();
        *self.shared.tasks[self.index].stats.fault.lock() = Some(message.clone());
        self.shared.tasks[self.index].stats.faulted.store(true, Ordering::Release);
        self.shown_fault = Some(message.clone());
        self.fault.get_or_insert(Fault { cause: FallbackCause::Fault, message, fresh: true });
    }

    /// Grants every output its declared fallback for the end of the runtime. The last call on a task; never panics, so
    /// that one task's defect does not keep the others from their shutdown.
    pub fn shutdown(&mut self, now: Now) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.shut_down(now))) {
            self.broke(&panic_text(&*panic));
        }
    }

    fn shut_down(&mut self, now: Now) {
        self.look_at_links();
        self.latch(now.mono);
        self.fall_back(now, FallbackCause::Shutdown);
        for i in 0..self.outputs.len() {
            if self.outputs[i].program.is_none() {
                let cause = self.outputs[i].output.device().map(|_| FallbackCause::Shutdown);
                self.propose(i, now, cause);
            }
        }
        self.commit(now);
        self.report(now, &ScanTiming::default(), None);
    }

    fn restart_if_asked(&mut self, now: Now) {
        if self.shared.tasks[self.index].reset.swap(false, Ordering::AcqRel) {
            self.recording.note(|journal| journal.reset = true);
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Now) {
        for program in &mut self.programs {
            program.instance.restart();
            program.view.lock().fault = None;
        }
        for arbitrated in &mut self.outputs {
            arbitrated.output.forget_wish();
        }
        if self.fault.take().is_some() {
            self.publish_fault("", false, now);
        }
    }

    /// Freezes the image of this scan.
    fn latch(&mut self, now: Instant) {
        let mut latch = self.shared.table.latch(now);
        for (local, sample) in self.locals.iter_mut().zip(&mut self.image) {
            let before = sample.received;
            let publish = local.owned && local.external;
            let looked = latch.take(local.tag, publish, &mut local.seen, sample);
            if looked && local.journalled {
                self.recording.note(|j| j.samples.push(TagSample { tag: local.tag, sample: sample.clone() }));
            }
            let news = looked && local.device && sample.received > before && !sample.quality.is_bad();
            local.news = news.then_some(sample.received);
        }
    }

    /// Takes the claims and outcomes that came since the last scan. Bounded: what comes meanwhile waits for the next.
    fn take_news(&mut self, now: Now) {
        let shared = self.shared.clone();
        let mail = &shared.tasks[self.index];
        self.end_leases(now);
        self.take_orders(now);
        for _ in 0..mail.claims.capacity() {
            let Some(claim) = mail.claims.pop() else { break };
            if let Some(i) = self.by_tag.get(&claim.tag).copied() {
                self.recording.note(|journal| journal.claims.push(claim.clone()));
                if let Some(claim) = self.hand_on_object(i, claim, now) {
                    self.outputs[i].output.claim(claim, now);
                }
            }
        }
        for _ in 0..mail.outcomes.capacity() {
            let Some(outcome) = mail.outcomes.pop() else { break };
            if let Some(i) = self.by_tag.get(&outcome.tag).copied() {
                self.recording.note(|journal| journal.outcomes.push(outcome.clone()));
                self.answered(i, &outcome, now.mono);
                self.hear(i, &outcome, now);
            }
            self.shared.records.publish(Record::Outcome(outcome));
        }
        self.watch_writes(now);
    }

    /// Runs every program in the order of data flow; each one's outputs are arbitrated before the next one reads them.
    fn run_programs(&mut self, now: Now) -> Option<Fault> {
        for k in 0..self.programs.len() {
            if k % PROGRAMS_PER_LOOK == 0 {
                self.host.look();
            }
            self.fill_frame(k);
            if let Some(fault) = self.recording.stopped_then(&self.programs[k].name) {
                return Some(fault);
            }
            let end = self.run_bounded(k, now.mono);
            self.publish_program(k);
            let (cause, reason) = match end {
                End::Done | End::Missing(_) => {
                    self.collect(k, now, end == End::Done);
                    continue;
                }
                End::OutOfTime => (FallbackCause::Overrun, self.out_of_time(k)),
                End::Failed(message) => (FallbackCause::Fault, message),
            };
            let program = &self.programs[k];
            let message: Arc<str> = format!("program {}: {reason}", program.name).into();
            let mut view = program.view.lock();
            view.fault = Some(message.clone());
            view.last_error = Some(message.clone());
            if cause == FallbackCause::Overrun {
                self.recording.time_stop(Some(&program.name), &message);
            }
            return Some(Fault { cause, message, fresh: true });
        }
        None
    }

    fn fill_frame(&mut self, k: usize) {
        let program = &self.programs[k];
        let mut frame = program.instance.io.0.lock();
        for (input, place) in frame.inputs.iter_mut().zip(&program.inputs) {
            input.clone_from(place.map_or(&self.unbound, |i| &self.image[i]));
        }
        for late in &program.late {
            frame.inputs[late.input].clone_from(&late.sample);
            frame.settled[late.input] = late.is_settled();
        }
        for (slot, bound) in frame.outputs.iter_mut().zip(&program.outputs) {
            if let Bound::Output(i) = *bound {
                slot.mode = self.outputs[i].output.mode;
            }
            (slot.granted, slot.manual, slot.held) = match *bound {
                Bound::Free => (None, false, false),
                Bound::Computed(i) => (self.image[i].value.clone(), false, false),
                Bound::Output(i) => {
                    let output = &self.outputs[i].output;
                    let overruling = output.overruling();
                    let granted = output.stands.granted.as_ref().or(overruling).cloned();
                    (granted, overruling.is_some(), output.was_held())
                }
            };
        }
    }

    /// Takes what a program left for its outputs. `done`: it ran to its last line, so that `io.keep` counts.
    fn collect(&mut self, k: usize, now: Now, done: bool) {
        let program = &self.programs[k];
        let at_once = program.inputs.iter().enumerate().filter(|(n, _)| !program.late.iter().any(|l| l.input == *n));
        let behind = at_once.filter_map(|(_, place)| self.locals[(*place)?].news).min();
        for n in 0..self.programs[k].outputs.len() {
            let slot = self.programs[k].instance.io.0.lock().outputs[n].clone();
            let kept = slot.kept.filter(|_| done);
            let news = behind.filter(|_| slot.assigned.is_some());
            match self.programs[k].outputs[n] {
                Bound::Free => {}
                Bound::Computed(i) => {
                    let last = self.image[i].value.clone();
                    let (value, quality) = match (slot.assigned, kept) {
                        (Some((value, quality)), _) => (Some(value), quality),
                        (None, Some(quality)) if last.is_some() => (last, quality),
                        (None, _) => (last, UNASSIGNED),
                    };
                    self.image[i] = Sample { value, quality, source_time: now.utc, received: now.mono };
                    self.locals[i].news = news;
                }
                Bound::Output(i) => {
                    let arbitrated = &mut self.outputs[i];
                    let missing = slot.assigned.is_none() && kept.is_none();
                    arbitrated.wished = match (slot.assigned, kept) {
                        (Some((value, quality)), _) => Wished::Value(value, quality),
                        (None, quality) => Wished::Keep(quality.unwrap_or(UNASSIGNED)),
                    };
                    let cause = missing.then_some(FallbackCause::BadInput);
                    let local = arbitrated.local;
                    self.locals[local].news = news;
                    self.propose(i, now, cause);
                }
            }
        }
    }

    /// The fault of a task that missed deadlines, where it declares that it is one.
    fn too_late(&self, timing: &ScanTiming) -> Option<Fault> {
        if timing.missed_now == 0 || self.def.overrun != OverrunPolicy::Fault || self.programs.is_empty() {
            return None;
        }
        let (missed, late) = (timing.missed_now, timing.jitter);
        let message =
            format!("missed {missed} deadlines, the scan started {late:?} late: `overrun: fault` is declared");
        Some(Fault { cause: FallbackCause::Overrun, message: message.into(), fresh: true })
    }

    fn overrun(&mut self, timing: &ScanTiming, started: Option<Instant>) -> Option<Fault> {
        if let Some(fault) = self.recording.overran_then() {
            return Some(fault);
        }
        let (clock, started) = (timing.clock.as_ref()?, started?);
        if self.programs.is_empty() || !self.host.used_up() {
            return None;
        }
        let (ran, limit) = (clock.now().mono.since(started), self.def.run_max());
        let message = format!("ran {ran:?} of a period of {:?}: the limit is {limit:?}", self.def.period);
        let message: Arc<str> = message.into();
        self.recording.time_stop(None, &message);
        Some(Fault { cause: FallbackCause::Overrun, message, fresh: true })
    }

    /// Weighs every output of the task's programs for `cause` instead of their wishes.
    fn fall_back(&mut self, now: Now, cause: FallbackCause) {
        let reason = match cause {
            FallbackCause::Overrun => BadReason::Overrun,
            FallbackCause::Shutdown => BadReason::Shutdown,
            _ => BadReason::ProgramFault,
        };
        for k in 0..self.programs.len() {
            for n in 0..self.programs[k].outputs.len() {
                match self.programs[k].outputs[n] {
                    Bound::Free => {}
                    Bound::Computed(i) => self.image[i] = Sample::bad(reason, self.image[i].value.clone(), now),
                    Bound::Output(i) => self.propose(i, now, Some(cause)),
                }
            }
        }
    }

    fn propose(&mut self, i: usize, now: Now, cause: Option<FallbackCause>) {
        let arbitrated = &mut self.outputs[i];
        let cause = match cause {
            Some(FallbackCause::Shutdown) => cause,
            // A command cannot arrive: what counts is what the device shall find when it is back.
            _ if is_down(&self.down, arbitrated.output.device()) => Some(FallbackCause::Link),
            _ => cause,
        };
        arbitrated.output.propose(now.mono, arbitrated.program.as_ref(), &arbitrated.wished, cause);
        if !self.locals[arbitrated.local].external {
            self.image[arbitrated.local] = arbitrated.output.sample(now);
        }
    }

    /// The one place where anything of a scan takes effect.
    fn commit(&mut self, now: Now) {
        self.commit_objects(now);
        for i in 0..self.outputs.len() {
            let arbitrated = &mut self.outputs[i];
            arbitrated.output.commit(now.mono, &arbitrated.wished);
            let local = arbitrated.local;
            if !self.locals[local].external {
                self.shared.table.write(self.locals[local].tag, &self.image[local], now.mono);
            }
            self.issue(i, now);
            let output = &self.outputs[i].output;
            if let Some(view) = self.shared.outputs.get(&output.tag) {
                *view.lock() = output.view();
            }
        }
        for bound in self.programs.iter().flat_map(|p| &p.outputs) {
            if let Bound::Computed(i) = *bound {
                self.shared.table.write(self.locals[i].tag, &self.image[i], now.mono);
            }
        }
    }
}
