//! What a task remembers, handed out while it runs and taken up before its first scan.

use super::TaskCore;
use crate::state::{LeftFresh, SavedProgram, Take, TaskState};
use penstock_model::Now;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Plain values that one scan saves of its programs at most, when it is asked to: some 50 µs. The rest follows in the
/// next scans; only the program at which the bound is reached may go beyond it.
const SAVED_PER_SCAN_MAX: usize = 2_000;

/// A state that is being saved over several scans.
pub(super) struct Saving {
    state: Box<TaskState>,
    next: usize,
}

impl Saving {
    /// Forgets what was saved so far.
    pub fn begin_again(&mut self) {
        self.state.programs.clear();
        self.next = 0;
    }
}

impl TaskCore {
    /// All that the task remembers, at once. For a task that is not scanned at the moment.
    #[must_use]
    pub fn save(&mut self, now: Now) -> TaskState {
        let mut state = TaskState { at: now.utc, ..TaskState::default() };
        for k in 0..self.programs.len() {
            self.save_program(k, &mut state);
        }
        self.save_rest(now, &mut state);
        state
    }

    /// Takes up what fits of a saved state. Before the first scan. The time of the last scan is not taken up, for it
    /// was on another run's clock; `away` is for how long the task was not scanned. What a program ran is not compared: state
    /// goes by the program's name and by name and type within it, as over a change while running. Tells what was left fresh,
    /// by program.
    pub fn restore(&mut self, state: &TaskState, take: Take, away: Duration) -> Vec<(String, LeftFresh)> {
        let mut fresh = Vec::new();
        let take = if state.faulted { Take::Totals } else { take };
        for program in &mut self.programs {
            let Some(saved) = state.programs.iter().find(|p| p.name == program.name) else { continue };
            let mut saved = saved.state.clone();
            saved.last = None;
            let left = program.instance.load(&saved, take);
            fresh.extend(left.into_iter().map(|left| (program.name.to_string(), left)));
        }
        if take == Take::All {
            for saved in &state.outputs {
                if let Some(i) = self.by_tag.get(&saved.tag) {
                    self.outputs[*i].output.restore(saved, away, self.started);
                }
            }
        }
        fresh
    }

    /// Saves a part of the state where somebody has asked for it, and hands it over when it is whole. Never waits: while
    /// nobody has taken the last one, nothing is saved.
    pub(super) fn save_if_asked(&mut self, now: Now) {
        let shared = self.shared.clone();
        let slot = &shared.tasks[self.index].snapshot;
        if self.saving.is_none() {
            if !slot.wanted.load(Ordering::Relaxed) || slot.ready.is_full() {
                return;
            }
            slot.wanted.store(false, Ordering::Relaxed);
            self.saving = Some(Saving { state: Box::default(), next: 0 });
        }
        let Some(mut saving) = self.saving.take() else { return };
        let mut values = 0;
        while saving.next < self.programs.len() && values < SAVED_PER_SCAN_MAX {
            values += self.save_program(saving.next, &mut saving.state);
            saving.next += 1;
        }
        if saving.next < self.programs.len() {
            self.saving = Some(saving);
            return;
        }
        self.save_rest(now, &mut saving.state);
        // The slot was empty when this began and nobody else fills it.
        let _ = slot.ready.push(saving.state);
    }

    fn save_program(&self, k: usize, into: &mut TaskState) -> usize {
        let program = &self.programs[k];
        let state = program.instance.save();
        let values = state.values();
        let script = program.instance.script_name().into();
        into.programs.push(SavedProgram { name: program.name.clone(), script, state });
        values
    }

    fn save_rest(&self, now: Now, into: &mut TaskState) {
        into.at = now.utc;
        into.faulted = self.fault.is_some();
        into.outputs.extend(self.outputs.iter().filter_map(|o| o.output.save(now.mono)));
    }
}
