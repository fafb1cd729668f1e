//! Changing a running engine: other programs, output definitions and alarms, without a scan that is lost or an output
//! that jumps.
//!
//! Duties: everything is compiled, checked and built outside the scan ([`Engine::prepare`]); a scan thread only takes a
//! prepared box from its slot at the beginning of a scan, moves over what is remembered, and puts the old objects into
//! another slot, to be dropped elsewhere. Every task changes at its own next scan.
//!
//! What stays the same while an engine runs: tags (but for the limits, rate, minimum times and fallback of outputs),
//! tasks, devices, the list of alarms, and the task of every program and output. A change that would alter any of it is
//! refused whole, with every reason.

use crate::config::{BuildError, EngineConfig};
use crate::engine::{Engine, Running, Shared};
use crate::object::{ObjectDef, ObjectStart};
use crate::plan::{Plan, plan};
use crate::task::{Carry, ProgramCarry, TaskCore};
use crate::view::ProgramView;
use parking_lot::Mutex;
use penstock_model::{Fallback, FallbackAction, Now, OutputDef, Source, TagDef, WritePolicy};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a configuration cannot take the place of the running one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// It contradicts itself.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// It alters what stays the same while the engine runs. Every such thing, in words.
    #[error("needs a restart: {}", .0.join("; "))]
    Restart(Vec<String>),
}

/// A configuration built and ready to take the place of the running one.
pub struct Change {
    /// In boxes: the scan takes one as it is, and no large object is moved there.
    #[expect(clippy::vec_box, reason = "the box itself is what goes through the slot")]
    tasks: Vec<Box<TaskChange>>,
    running: Arc<Running>,
    /// The running configuration it was made against.
    base: Arc<Running>,
    /// For the way back: what ran before `base`, and runs on in every task that has not taken `base`.
    before: Option<Arc<Running>>,
}

/// A change that was handed to the tasks: what is needed to go back from it.
pub struct Handed {
    before: Arc<Running>,
}

/// What one task takes over at the beginning of a scan, and afterwards what it had before.
pub(crate) struct TaskChange {
    pub core: TaskCore,
    pub carry: Carry,
    /// The change ends a fault of the task.
    pub end_fault: bool,
    /// Which configuration it is, counted from the start.
    pub generation: u32,
}

impl Change {
    /// Lets the change end the fault of this task: for the way back from a change that caused it.
    pub fn end_fault(&mut self, task: penstock_model::TaskId) {
        if let Some(change) = self.tasks.get_mut(usize::from(task.0)) {
            change.end_fault = true;
        }
    }
}

impl Engine {
    /// Builds everything that `config` needs to take the place of the running configuration. Changes nothing; `now` is
    /// the time of the values that new programs find before their first scan.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or alters what cannot change while the engine runs.
    pub fn prepare(&self, config: EngineConfig, now: Now) -> Result<Change, ChangeError> {
        self.prepare_on(self.shared.running.read().clone(), config, now)
    }

    /// Builds the way back from a change, as [`Engine::prepare`] does. It can be applied at any time until another change is,
    /// also while some tasks have not taken the one that it goes back from: those never will, and run on as they are.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub fn prepare_return(&self, handed: &Handed, now: Now) -> Result<Change, ChangeError> {
        let base = self.shared.running.read().clone();
        let change = self.prepare_on(base, handed.before.config.clone(), now)?;
        Ok(Change { before: Some(handed.before.clone()), ..change })
    }

    fn prepare_on(&self, base: Arc<Running>, config: EngineConfig, now: Now) -> Result<Change, ChangeError> {
        let plan = plan(&config)?;
        let reasons = needs_restart(&base, &config, &plan);
        if !reasons.is_empty() {
            return Err(ChangeError::Restart(reasons));
        }
        let views = program_views(&config);
        let generation = base.generation + 1;
        let tasks = (0..config.tasks.len()).map(|task| {
            let core = TaskCore::new(&self.shared, &config, &plan, &views, task, now);
            let carry = carry(&base, &config, &plan, task, &core);
            Box::new(TaskChange { core, carry, end_fault: false, generation })
        });
        let tasks: Vec<_> = tasks.collect();
        let layouts = tasks.iter().map(|t| t.core.layout()).collect();
        let (order, owner) = (plan.order, plan.owner);
        let running = Arc::new(Running { config, order, owner, programs: views, layouts, generation });
        Ok(Change { tasks, running, base, before: None })
    }

    /// Hands a prepared change to the tasks; each takes it at the beginning of its next scan.
    ///
    /// # Errors
    /// Gives the change back where an earlier one has not been taken by every task yet (a way back does not wait for
    /// that), or where another was applied since it was prepared: it has to be prepared anew then.
    pub fn apply(&self, mut change: Change) -> Result<Handed, Change> {
        let mut running = self.shared.running.write();
        if !Arc::ptr_eq(&running, &change.base) || (change.before.is_none() && !self.change_is_taken()) {
            return Err(change);
        }
        let mut untaken = Vec::new();
        let tasks = std::mem::take(&mut change.tasks);
        let mut handed = Vec::with_capacity(tasks.len());
        for (index, change) in tasks.into_iter().enumerate() {
            let slot = &self.shared.tasks[index].change;
            // Either the task gets what waits, or this does: one that has not begun to take the change never will.
            match slot.next.pop() {
                Some(waited) => {
                    slot.under_way.fetch_sub(1, Ordering::AcqRel);
                    untaken.push((index, waited));
                }
                None => handed.push((slot, change)),
            }
        }
        if let (Some(before), Some(new)) = (&change.before, Arc::get_mut(&mut change.running)) {
            for (index, _) in &untaken {
                new.layouts[*index].clone_from(&before.layouts[*index]);
                for place in &before.order[*index] {
                    new.programs[*place] = before.programs[*place].clone();
                }
            }
        }
        let before = std::mem::replace(&mut *running, change.running);
        for (slot, change) in handed {
            // Empty, as was just seen, and filled by nobody else while `running` is held. A task that is in the middle of
            // taking the change that is gone back from finds this one at its next scan.
            slot.under_way.fetch_add(1, Ordering::AcqRel);
            let _ = slot.next.push(change);
        }
        drop(running);
        drop(untaken);
        Ok(Handed { before })
    }

    /// True once every task runs what was applied last. Drops what the tasks had before.
    #[must_use]
    pub fn change_is_taken(&self) -> bool {
        self.waits_for().is_empty()
    }

    /// The tasks that have not taken yet what was applied last. Drops what the others had before.
    #[must_use]
    pub fn waits_for(&self) -> Vec<penstock_model::TaskId> {
        let mut waiting = Vec::new();
        for task in &self.shared.tasks {
            if task.change.under_way.load(Ordering::Acquire) > 0 {
                waiting.push(task.def.id);
            }
            while let Some(old) = task.change.old.pop() {
                drop(old);
            }
        }
        waiting
    }

    /// The configuration that runs, as it was built or applied last.
    #[must_use]
    pub fn config(&self) -> EngineConfig {
        self.shared.running.read().config.clone()
    }
}

/// Empty views for the programs of a configuration.
pub(crate) fn program_views(config: &EngineConfig) -> Vec<Arc<Mutex<ProgramView>>> {
    let view = |p: &crate::config::ProgramDef| ProgramView {
        name: p.name.clone(),
        script: p.script.name().into(),
        task: p.task,
        fault: None,
        last_error: None,
        bad_inputs: Vec::new(),
        log: Vec::new(),
    };
    config.programs.iter().map(|p| Arc::new(Mutex::new(view(p)))).collect()
}

fn needs_restart(base: &Running, config: &EngineConfig, plan: &Plan) -> Vec<String> {
    let old = &base.config;
    let mut reasons = Vec::new();
    if old.tasks != config.tasks {
        reasons.push("tasks are other ones".to_owned());
    }
    if old.devices != config.devices {
        reasons.push("devices are other ones".to_owned());
    }
    if declared(&old.objects) != declared(&config.objects) {
        reasons.push("controlled objects, their interlocks or permissives are declared otherwise".to_owned());
    }
    let alarms = |c: &EngineConfig| c.alarms.iter().map(|a| (a.name.clone(), a.tag)).collect::<Vec<_>>();
    if alarms(old) != alarms(config) {
        reasons.push("the list of alarms, or the tag of one, is another one".to_owned());
    }
    if old.tags.len() != config.tags.len() {
        reasons.push("tags were added or removed".to_owned());
        return reasons;
    }
    for (was, is) in old.tags.iter().zip(config.tags.iter()) {
        if fixed(was) != fixed(is) {
            reasons.push(format!("tag `{}` is declared otherwise", is.path));
        } else if (is.output.is_some() || is.entry.is_some())
            && base.owner[is.id.index()] != plan.owner[is.id.index()]
            && old.tasks == config.tasks
        {
            let name = |owner: usize| &config.tasks[owner].name;
            let (from, to) = (name(base.owner[is.id.index()]), name(plan.owner[is.id.index()]));
            reasons.push(format!("output `{}` would move from task {from} to task {to}", is.path));
        }
    }
    let tasks: HashMap<_, _> = old.programs.iter().map(|p| (&p.name, p.task)).collect();
    for program in &config.programs {
        if tasks.get(&program.name).is_some_and(|task| *task != program.task) {
            reasons.push(format!("program `{}` would move to another task", program.name));
        }
    }
    reasons
}

/// Objects as a site declares them, without how they stood at a start.
fn declared(objects: &[ObjectDef]) -> Vec<ObjectDef> {
    objects.iter().map(|o| ObjectDef { start: ObjectStart::default(), ..o.clone() }).collect()
}

/// What of a tag stays the same while the engine runs.
fn fixed(def: &TagDef) -> TagDef {
    let source = match &def.source {
        Source::Program(_) => Source::Program("".into()),
        other => other.clone(),
    };
    let output = def.output.as_ref().map(|o| {
        Box::new(OutputDef {
            device: o.device,
            limits: None,
            rate_per_s: None,
            min_on: std::time::Duration::ZERO,
            min_off: std::time::Duration::ZERO,
            fallback: Fallback::always(FallbackAction::Hold),
            write: WritePolicy::default(),
        })
    });
    TagDef { source, output, ..def.clone() }
}

/// Where each part of a task's new objects finds what it takes over from the old ones.
fn carry(base: &Running, config: &EngineConfig, plan: &Plan, task: usize, core: &TaskCore) -> Carry {
    let places: HashMap<_, _> = base.layouts[task].iter().enumerate().map(|(place, tag)| (*tag, place)).collect();
    let old: Vec<&crate::config::ProgramDef> = base.order[task].iter().map(|n| &base.config.programs[*n]).collect();
    let programs = plan.order[task].iter().map(|n| {
        let new = &config.programs[*n];
        let from = old.iter().position(|p| p.name == new.name)?;
        let (was, is) = (old[from].script.declaration(), new.script.declaration());
        let blocks: Vec<(usize, usize)> = (is.blocks.iter().enumerate())
            .filter_map(|(to, block)| Some((was.blocks.iter().position(|b| b == block)?, to)))
            .collect();
        let same = |a: &(String, penstock_model::Value), b: &(String, penstock_model::Value)| {
            a.0 == b.0 && a.1.value_type() == b.1.value_type()
        };
        let states: Vec<(usize, usize)> = (is.states.iter().enumerate())
            .filter_map(|(to, state)| Some((was.states.iter().position(|s| same(s, state))?, to)))
            .collect();
        let whole = blocks.len() == is.blocks.len() && states.len() == is.states.len();
        Some(ProgramCarry { from, blocks, states, whole })
    });
    Carry { locals: core.layout().iter().map(|tag| places.get(tag).copied()).collect(), programs: programs.collect() }
}

impl Shared {
    /// The definitions of the tags as they are now.
    pub fn tags_now(&self) -> Arc<penstock_model::TagTable> {
        self.running.read().config.tags.clone()
    }
}
