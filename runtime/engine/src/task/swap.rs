//! Taking a prepared change at the beginning of a scan.

use super::TaskCore;
use penstock_model::{Now, TagId};
use std::sync::atomic::Ordering;

/// Where the new objects of a task find what they take over from the old ones. Made outside the scan.
pub(crate) struct Carry {
    /// By new place: the old place of the same tag.
    pub locals: Vec<Option<usize>>,
    /// By new place of a program.
    pub programs: Vec<Option<ProgramCarry>>,
}

/// What a program takes over from the one of its name.
pub(crate) struct ProgramCarry {
    /// Old place of the program.
    pub from: usize,
    /// Old and new place of blocks of one name and kind.
    pub blocks: Vec<(usize, usize)>,
    /// Old and new place of states of one name and type.
    pub states: Vec<(usize, usize)>,
    /// Everything that the new script declares is taken over.
    pub whole: bool,
}

impl TaskCore {
    /// The tags of the task by their places.
    pub(crate) fn layout(&self) -> Vec<TagId> {
        self.locals.iter().map(|local| local.tag).collect()
    }

    /// Takes a change where one waits. Nothing is compiled, allocated or dropped here: memories are moved from the old
    /// objects to the new ones, and the old ones go into the slot from which somebody else drops them.
    pub(super) fn change_if_handed(&mut self, now: Now) {
        let shared = self.shared.clone();
        let slot = &shared.tasks[self.index].change;
        let Some(mut change) = slot.next.pop() else { return };
        std::mem::swap(self, &mut change.core);
        let old = &mut change.core;
        self.started = old.started;
        self.recording.changed(change.generation);
        self.fault = old.fault.take();
        self.shown_fault = old.shown_fault.take();
        #[cfg(debug_assertions)]
        std::mem::swap(&mut self.probe, &mut old.probe);
        std::mem::swap(&mut self.health, &mut old.health);
        std::mem::swap(&mut self.links, &mut old.links);
        // A state that is being handed out names programs of before; it is begun anew when it is asked for again.
        std::mem::swap(&mut self.saving, &mut old.saving);
        if let Some(saving) = &mut self.saving {
            saving.begin_again();
        }
        for (new, from) in change.carry.locals.iter().enumerate() {
            if let Some(from) = *from {
                std::mem::swap(&mut self.logged[new].recorded, &mut old.logged[from].recorded);
                std::mem::swap(&mut self.image[new], &mut old.image[from]);
            }
        }
        for (new, carry) in change.carry.programs.iter().enumerate() {
            if let Some(carry) = carry {
                let (program, before) = (&mut self.programs[new], &mut old.programs[carry.from]);
                program.instance.take_over(&mut before.instance, carry);
                std::mem::swap(&mut program.bad, &mut before.bad);
            }
        }
        for arbitrated in &mut self.outputs {
            let Some(from) = old.by_tag.get(&arbitrated.output.tag) else { continue };
            let before = &mut old.outputs[*from];
            arbitrated.output.take_over(&mut before.output);
            arbitrated.asked = before.asked.take();
            arbitrated.life.take_over(&mut before.life);
            if arbitrated.program == before.program {
                std::mem::swap(&mut arbitrated.wished, &mut before.wished);
            }
        }
        // The same objects in the same order: a change that declares others needs a restart.
        for (object, before) in self.objects.iter_mut().zip(&mut old.objects) {
            object.take_over(before);
        }
        if change.end_fault && self.fault.take().is_some() {
            self.publish_fault("", false, now);
        }
        // There is room: whoever hands changes over has seen to it.
        let _ = slot.old.push(change);
        slot.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
