//! The record of a task's scans, and running a recorded scan again.

use super::{Arbitrated, Bound, Fault, ScanTiming, TaskCore};
use crate::io::Frame;
use crate::journal::{Issued, Keyframe, Latched, ScanJournal, TimeStop, Written};
use crate::output::{Imposition, Wished};
use crate::state::{LeftFresh, SavedProgram, Take};
use penstock_model::{Clock, Command, DeviceId, FallbackCause, Now, Quality, Sample, TagId, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a tag was when it was last noted in a journal.
type Noted = Option<(Option<Value>, Quality, Option<Value>)>;

/// The record of one task.
#[derive(Default)]
pub(super) struct Recording {
    /// The scan that is under way.
    journal: Option<Box<ScanJournal>>,
    /// The configuration that runs, counted from the start.
    changes: u32,
    /// The next journal needs no keyframe: the one before it was left.
    joined: bool,
    /// By output, and then by computed tag.
    noted: Vec<Noted>,
    /// By output, for those of an object: what was last noted.
    imposed: Vec<Option<Imposition>>,
    /// In a replay: where time stopped the scan.
    stop: Option<TimeStop>,
}

impl Recording {
    /// Writes into the journal, where the scan has one.
    pub fn note(&mut self, write: impl FnOnce(&mut ScanJournal)) {
        if let Some(journal) = &mut self.journal {
            write(journal);
        }
    }

    pub fn issued(&mut self, command: &Arc<Command>, refused: bool) {
        self.note(|journal| journal.commands.push(Issued { command: command.clone(), refused }));
    }

    pub fn time_stop(&mut self, program: Option<&Arc<str>>, message: &Arc<str>) {
        self.note(|j| j.stop = Some(TimeStop { program: program.cloned(), message: message.clone() }));
    }

    /// The task has taken a configuration, the one of this number. Numbers may be left out: a task that was slow has never
    /// run what the others have gone back from.
    pub fn changed(&mut self, generation: u32) {
        self.changes = generation;
        self.joined = false;
    }

    /// In a replay: the fault of the program that time stopped then.
    pub fn stopped_then(&self, program: &Arc<str>) -> Option<Fault> {
        let stop = self.stop.as_ref().filter(|stop| stop.program.as_ref() == Some(program))?;
        Some(Fault { cause: FallbackCause::Overrun, message: stop.message.clone(), fresh: true })
    }

    /// In a replay: the fault of a task that ran too long then.
    pub fn overran_then(&self) -> Option<Fault> {
        let stop = self.stop.as_ref().filter(|stop| stop.program.is_none())?;
        Some(Fault { cause: FallbackCause::Overrun, message: stop.message.clone(), fresh: true })
    }
}

/// True where the device is among those whose link is down.
pub(super) fn is_down(down: &[bool], device: Option<DeviceId>) -> bool {
    device.and_then(|d| down.get(usize::from(d.0)).copied()).unwrap_or(false)
}

impl TaskCore {
    /// Freezes for this scan which links are down: a link that falls within the scan counts in the next.
    pub(super) fn look_at_links(&mut self) {
        for (down, link) in self.down.iter_mut().zip(&self.shared.links) {
            *down = link.down.load(Ordering::Acquire);
        }
    }

    /// Opens the journal of a scan, where scans are recorded; with a keyframe where one is due.
    pub(super) fn begin_journal(&mut self, now: Now, timing: &ScanTiming) {
        let shared = self.shared.clone();
        let slot = &shared.tasks[self.index].journal;
        if !slot.is_on() {
            self.recording.journal = None;
            return;
        }
        let mut journal = slot.empty();
        journal.task = self.def.id;
        journal.scan = shared.tasks[self.index].stats.scans.load(Ordering::Relaxed) + 1;
        journal.changes = self.recording.changes;
        journal.now = now;
        journal.jitter = timing.jitter;
        journal.missed_now = timing.missed_now;
        let down = (0_u16..).zip(&self.down).filter(|(_, down)| **down).map(|(device, _)| DeviceId(device));
        journal.links_down.extend(down);
        if slot.take_key_wanted() || !self.recording.joined {
            journal.key = Some(Box::new(self.keyframe()));
            self.recording.noted.clear();
            self.recording.imposed.clear();
        }
        self.recording.journal = Some(journal);
    }

    /// Notes what objects made of their outputs, where it is not as it was noted last.
    pub(super) fn note_impositions(&mut self) {
        let Recording { journal: Some(journal), imposed, .. } = &mut self.recording else { return };
        imposed.resize(self.outputs.len(), None);
        for (arbitrated, noted) in self.outputs.iter().zip(imposed) {
            let output = &arbitrated.output;
            if arbitrated.object.is_none() || noted.as_ref().is_some_and(|then| output.is_as(then)) {
                continue;
            }
            let now = output.imposition();
            journal.impositions.push(now.clone());
            *noted = Some(now);
        }
    }

    /// Leaves the journal of a scan that came to its end.
    pub(super) fn end_journal(&mut self) {
        let Some(mut journal) = self.recording.journal.take() else { return };
        let mut noted = std::mem::take(&mut self.recording.noted);
        let known = noted.len();
        for (place, (tag, value, quality, wish)) in self.standing().enumerate() {
            let before = noted.get(place).and_then(Option::as_ref);
            if before.is_some_and(|(v, q, w)| v.as_ref() == value && *q == quality && w.as_ref() == wish) {
                continue;
            }
            let now: Noted = Some((value.cloned(), quality, wish.cloned()));
            if place < known {
                noted[place] = now;
            } else {
                noted.push(now);
            }
            journal.written.push(Written { tag, value: value.cloned(), quality, wish: wish.cloned() });
        }
        self.recording.noted = noted;
        self.recording.joined = self.shared.tasks[self.index].journal.leave(journal);
    }

    /// A scan broke: there is no journal of it.
    pub(super) fn lose_journal(&mut self) {
        if self.recording.journal.take().is_some() {
            self.shared.tasks[self.index].journal.lose();
        }
        self.recording.joined = false;
    }

    /// Every output and computed tag of the task, as it stands.
    fn standing(&self) -> impl Iterator<Item = (TagId, Option<&Value>, Quality, Option<&Value>)> {
        let outputs = self.outputs.iter().map(|arbitrated| {
            let Arbitrated { output, wished, .. } = arbitrated;
            let wish = match wished {
                Wished::Value(value, _) => Some(value),
                Wished::Keep(_) | Wished::Nobody => None,
            };
            (output.tag, output.stands.granted.as_ref(), output.stands.quality, wish)
        });
        let computed = self.programs.iter().flat_map(|p| &p.outputs).filter_map(|bound| match *bound {
            Bound::Computed(i) => Some((self.locals[i].tag, self.image[i].value.as_ref(), self.image[i].quality, None)),
            Bound::Free | Bound::Output(_) => None,
        });
        outputs.chain(computed)
    }

    /// All that the task remembers.
    pub(crate) fn keyframe(&self) -> Keyframe {
        let program = |p: &super::Program| SavedProgram {
            name: p.name.clone(),
            script: p.instance.script_name().into(),
            state: p.instance.save(),
        };
        let latched = self.locals.iter().zip(&self.image);
        Keyframe {
            programs: self.programs.iter().map(program).collect(),
            outputs: self.outputs.iter().map(|a| a.output.memory(&a.wished)).collect(),
            image: latched
                .map(|(local, sample)| Latched {
                    tag: local.tag,
                    sample: sample.clone(),
                    moved: self.shared.table.moved(local.tag),
                })
                .collect(),
            fault: self.fault.as_ref().map(|f| (f.cause, f.message.clone())),
        }
    }

    /// Takes up a keyframe. Tells what of the programs was left fresh.
    pub(crate) fn take_up(&mut self, key: &Keyframe, now: Now) -> Vec<(String, LeftFresh)> {
        let mut fresh = Vec::new();
        for program in &mut self.programs {
            program.instance.restart();
            let Some(saved) = key.programs.iter().find(|p| p.name == program.name) else { continue };
            let left = program.instance.load(&saved.state, Take::All);
            fresh.extend(left.into_iter().map(|left| (program.name.to_string(), left)));
        }
        for memory in &key.outputs {
            if let Some(i) = self.by_tag.get(&memory.tag) {
                let arbitrated = &mut self.outputs[*i];
                arbitrated.output.remember(memory);
                arbitrated.wished = memory.wished.clone();
            }
        }
        for latched in &key.image {
            let Some(place) = self.places.get(&latched.tag).copied() else { continue };
            self.image[place].clone_from(&latched.sample);
            if !self.locals[place].journalled {
                self.shared.table.put_back(latched.tag, &latched.sample, latched.moved, now.mono);
            }
        }
        let fault = key.fault.clone();
        self.fault = fault.map(|(cause, message)| Fault { cause, message, fresh: false });
        fresh
    }

    /// Runs a recorded scan again. `clock` bounds its time as in [`TaskCore::scan`]; without one the scan stops where
    /// time stopped it then.
    pub(crate) fn scan_again(&mut self, journal: &ScanJournal, clock: Option<Arc<dyn Clock>>) {
        let now = journal.now;
        let started = clock.as_ref().map(|clock| clock.now().mono);
        let timing = ScanTiming { jitter: journal.jitter, missed_now: journal.missed_now, clock };
        self.host.arm(timing.clock.clone(), started.unwrap_or_default(), self.def.run_max());
        self.recording.stop = journal.stop.clone().filter(|_| timing.clock.is_none());
        for (device, down) in self.down.iter_mut().enumerate() {
            *down = journal.links_down.iter().any(|d| usize::from(d.0) == device);
        }
        if journal.reset {
            self.restart(now);
        }
        let mut latch = self.shared.table.latch(now.mono);
        for (local, sample) in self.locals.iter_mut().zip(&mut self.image) {
            local.news = None;
            if !local.journalled {
                latch.take(local.tag, false, &mut local.seen, sample);
            }
        }
        drop(latch);
        for latched in &journal.samples {
            if let Some(place) = self.places.get(&latched.tag) {
                self.image[*place].clone_from(&latched.sample);
            }
        }
        self.hear_claims_again(journal);
        for outcome in &journal.outcomes {
            if let Some(i) = self.by_tag.get(&outcome.tag) {
                self.outputs[*i].output.outcome(outcome.clone(), now.mono);
            }
        }
        self.show_modes_again(now);
        self.control(now, &timing, started);
        self.commit(now);
        if let Some(fault) = &mut self.fault {
            fault.fresh = false;
        }
    }

    /// Takes the claims of then. An output of an object takes what the object made of them, so that none of its
    /// conditions is evaluated again.
    fn hear_claims_again(&mut self, journal: &ScanJournal) {
        let now = journal.now;
        for arbitrated in self.outputs.iter_mut().filter(|a| a.object.is_none()) {
            // Whoever held it was told then.
            let _told = arbitrated.output.expire(now.mono);
        }
        for claim in &journal.claims {
            if let Some(arbitrated) = self.by_tag.get(&claim.tag).map(|i| &mut self.outputs[*i])
                && arbitrated.object.is_none()
            {
                arbitrated.output.claim(claim.clone(), now);
            }
        }
        for imposition in &journal.impositions {
            if let Some(arbitrated) = self.by_tag.get(&imposition.tag).map(|i| &mut self.outputs[*i])
                && arbitrated.object.is_some()
            {
                arbitrated.output.obey(&imposition.claims, &imposition.hold);
            }
        }
    }

    /// The mode tags of the objects as they were: an object's outputs know its mode.
    fn show_modes_again(&mut self, now: Now) {
        for cell in &self.objects {
            let Some(i) = cell.outputs.first() else { continue };
            let mode = self.outputs[*i].output.mode;
            self.image[cell.mode_place] = Sample::good(Value::Int(mode.number()), now);
        }
    }

    /// Every output and computed tag, as it stands.
    pub(crate) fn written(&self) -> Vec<Written> {
        let written = self.standing().map(|(tag, value, quality, wish)| Written {
            tag,
            value: value.cloned(),
            quality,
            wish: wish.cloned(),
        });
        written.collect()
    }

    /// The task's fault in words.
    pub(crate) fn fault_text(&self) -> Option<Arc<str>> {
        self.fault.as_ref().map(|f| f.message.clone())
    }

    /// What an output remembers, where the task arbitrates the tag.
    pub(crate) fn output_memory(&self, tag: TagId) -> Option<crate::output::OutputMemory> {
        let arbitrated = &self.outputs[*self.by_tag.get(&tag)?];
        Some(arbitrated.output.memory(&arbitrated.wished))
    }

    /// A tag of the image as it counts.
    pub(crate) fn imaged(&self, tag: TagId) -> Option<&penstock_model::Sample> {
        self.places.get(&tag).map(|place| &self.image[*place])
    }

    /// Looks into the frame of a program of this name as its last scan left it; with the tags behind its inputs.
    pub(crate) fn frame_of<T>(&self, name: &str, look: impl FnOnce(&Frame, Vec<Option<TagId>>) -> T) -> Option<T> {
        let program = self.programs.iter().find(|p| *p.name == *name)?;
        let tags = program.inputs.iter().map(|place| place.map(|i| self.locals[i].tag)).collect();
        Some(look(&program.instance.io.0.lock(), tags))
    }
}
