//! Running recorded scans again: the same grants from the same journals, or what another script would have granted.
//!
//! Duties: a replay is an engine of its own whose commands reach nobody. It is handed a keyframe and the journals after
//! it; what each scan then grants is compared by the caller. Tasks are replayed one by one: what one task reads of
//! another is part of its journal and stays as it was, also where the other one's script was changed.

use crate::config::{BuildError, EngineConfig};
use crate::engine::Engine;
use crate::explain::Explained;
use crate::journal::{Keyframe, ScanJournal, Written};
use crate::state::LeftFresh;
use crate::task::TaskCore;
use parking_lot::Mutex;
use penstock_model::{
    Clock, Command, CommandId, CommandSink, DeviceId, Now, QueueFull, Record, RecordSink, TagId, TaskId, Value,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Commands of a replay are numbered from here, so that none is taken for a recorded one.
const FIRST_ID: u64 = 1 << 62;

/// Where commands and records of a replay end.
#[derive(Default)]
struct Nowhere {
    commands: Mutex<Vec<Command>>,
    /// Outputs whose command the device's queue refuses in this scan, as it did then.
    refused: Mutex<Vec<TagId>>,
}

impl CommandSink for Nowhere {
    fn submit(&self, _: DeviceId, command: Command) -> Result<(), QueueFull> {
        let refused = self.refused.lock().contains(&command.tag);
        self.commands.lock().push(command);
        if refused { Err(QueueFull) } else { Ok(()) }
    }
}

impl RecordSink for Nowhere {
    fn publish(&self, _: Record) {}
}

/// One task in replay.
pub struct Replay {
    engine: Engine,
    core: TaskCore,
    nowhere: Arc<Nowhere>,
    /// By output: the id of its last command then, its value, and the id and value of the last command of the replay.
    ids: HashMap<TagId, Pair>,
    clock: Option<Arc<dyn Clock>>,
    now: Now,
}

#[derive(Default)]
struct Pair {
    then: Option<(CommandId, Option<Value>)>,
    here: Option<(CommandId, Option<Value>)>,
}

/// What a replayed scan granted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayedScan {
    /// Every output and computed tag of the task, as it stands.
    pub written: Vec<Written>,
    /// Commands issued, in their order; their ids are the replay's own.
    pub commands: Vec<Command>,
    /// The task's fault in words.
    pub fault: Option<Arc<str>>,
}

impl Replay {
    /// A replay of one task of a configuration. `clock` bounds the time of its programs and is for one that runs beside
    /// a plant; without it scans stop where time stopped them then.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or has no such task.
    pub fn new(config: EngineConfig, task: TaskId, clock: Option<Arc<dyn Clock>>) -> Result<Replay, BuildError> {
        let nowhere = Arc::new(Nowhere::default());
        let (engine, cores) = Engine::build(config, nowhere.clone(), nowhere.clone(), Now::default())?;
        engine.shared.command_ids.store(FIRST_ID, Ordering::Relaxed);
        let core = cores.into_iter().nth(usize::from(task.0)).ok_or(BuildError::NoTask)?;
        Ok(Replay { engine, core, nowhere, ids: HashMap::new(), clock, now: Now::default() })
    }

    /// Takes up the memory of a keyframe, by name and type. Tells what of the programs was left fresh: nothing, where
    /// the scripts are those of then.
    pub fn take_up(&mut self, key: &Keyframe, now: Now) -> Vec<(String, LeftFresh)> {
        self.ids.clear();
        for output in &key.outputs {
            let last = output.last_command.as_ref().map(|c| (c.id, c.value.clone()));
            // The output remembers its last command by the id of then.
            self.ids.insert(output.tag, Pair { then: last.clone(), here: last });
        }
        self.now = now;
        self.core.take_up(key, now)
    }

    /// The memory of the task as the last scan left it: for a replay of another script from this moment on.
    #[must_use]
    pub fn keyframe(&self) -> Keyframe {
        self.core.keyframe()
    }

    /// Runs one recorded scan again, from what the scan before left, or from [`Replay::take_up`].
    pub fn scan(&mut self, journal: &ScanJournal) -> ReplayedScan {
        let mut journal = journal.clone();
        journal.outcomes.retain_mut(|outcome| match self.ids.get(&outcome.tag) {
            // The device's answer counts where the same was commanded here.
            Some(Pair { then: Some(then), here: Some(here) }) if then.0 == outcome.id && then.1 == here.1 => {
                outcome.id = here.0;
                true
            }
            _ => false,
        });
        let refused = journal.commands.iter().filter(|c| c.refused).map(|c| c.command.tag);
        *self.nowhere.refused.lock() = refused.collect();
        self.core.scan_again(&journal, self.clock.clone());
        self.now = journal.now;
        let commands = std::mem::take(&mut *self.nowhere.commands.lock());
        for issued in &journal.commands {
            let command = &issued.command;
            self.ids.entry(command.tag).or_default().then = Some((command.id, command.value.clone()));
        }
        for command in &commands {
            self.ids.entry(command.tag).or_default().here = Some((command.id, command.value.clone()));
        }
        ReplayedScan { written: self.core.written(), commands, fault: self.core.fault_text() }
    }

    /// Health of the programs, by the order of the configuration: printed lines and errors of the replay.
    #[must_use]
    pub fn programs(&self) -> Vec<crate::ProgramView> {
        self.engine.programs()
    }

    /// A tag as the last scan left it, with what stands behind it. `program` is the one that writes it.
    #[must_use]
    pub fn explain(&self, tag: TagId, program: Option<&str>) -> Explained {
        self.core.explain(tag, program, self.now)
    }
}
