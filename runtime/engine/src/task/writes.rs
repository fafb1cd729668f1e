//! The writes of a task: handing commands out, hearing of them, and following each to its end.

use super::health::Asked;
use super::journal::is_down;
use super::{Arbitrated, Phase, TaskCore};
use penstock_model::{Command, CommandId, Now, Outcome, OutcomeState, Quality, Record, Value, WriteLife};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl TaskCore {
    /// Hands out the command that is due for an output, if one is.
    pub(super) fn issue(&mut self, i: usize, now: Now) {
        let sampled = self.locals[self.outputs[i].local].news;
        let Arbitrated { output, asked, life, .. } = &mut self.outputs[i];
        let Some(device) = output.device() else { return };
        life.request(output, now.utc);
        let Some(value) = output.due(now.mono, is_down(&self.down, Some(device))) else {
            if output.keeps_back(now.mono)
                && let Some(book) = self.shared.writes.get(&output.tag)
            {
                book.lock().counts.kept_back += 1;
            }
            return;
        };
        let id = CommandId(self.shared.command_ids.fetch_add(1, Ordering::Relaxed) + 1);
        let command = Command { id, tag: output.tag, device, value, origin: output.origin(), granted: now.utc };
        *asked = Asked::new(&command, sampled, now);
        let record = Arc::new(command.clone());
        self.shared.records.publish(Record::Command(record.clone()));
        output.commanded(record.clone());
        let tag = output.tag;
        let queued = self.shared.commands.submit(device, command);
        self.recording.issued(&record, queued.is_err());
        if let Some(book) = self.shared.writes.get(&tag) {
            let (ended, begun) = life.granted(&mut book.lock(), output, record, now, queued.is_ok());
            self.publish_write(ended);
            self.publish_write(begun);
        }
        if let Err(full) = queued {
            let state = OutcomeState::Failed(full.to_string().into());
            let outcome = Outcome { id, tag, state, at: now.utc };
            self.outputs[i].asked = None;
            self.hear(i, &outcome, now);
            self.shared.records.publish(Record::Outcome(outcome));
        }
    }

    /// Takes news of a command.
    pub(super) fn hear(&mut self, i: usize, outcome: &Outcome, now: Now) {
        let Arbitrated { output, life, .. } = &mut self.outputs[i];
        let ended = self.shared.writes.get(&outcome.tag).and_then(|book| life.news(&mut book.lock(), outcome, now));
        output.outcome(outcome.clone(), now.mono);
        self.publish_write(ended);
    }

    /// Ends the writes that were not answered in time, and those that the process followed, or did not.
    pub(super) fn watch_writes(&mut self, now: Now) {
        for i in 0..self.outputs.len() {
            let Arbitrated { output, life, settle, .. } = &self.outputs[i];
            if let Some(why) = life.overdue(output.write.answer_within, now.mono) {
                let down = is_down(&self.down, output.device());
                let id = life.id();
                let why: Arc<str> = if down { format!("{why}; its link is down").into() } else { why.into() };
                let outcome = Outcome { id, tag: output.tag, state: OutcomeState::Failed(why), at: now.utc };
                // The driver asserts the command again by itself once a lost link is back.
                if down {
                    let Arbitrated { output, life, .. } = &mut self.outputs[i];
                    let book = self.shared.writes.get(&output.tag);
                    let ended = book.and_then(|book| life.news(&mut book.lock(), &outcome, now));
                    self.publish_write(ended);
                } else {
                    // A replay does not follow writes: it is told.
                    self.recording.note(|journal| journal.outcomes.push(outcome.clone()));
                    self.hear(i, &outcome, now);
                }
                self.shared.records.publish(Record::Outcome(outcome));
                continue;
            }
            let (Some(place), Some(def)) = (*settle, output.write.settle) else { continue };
            if !life.is_held() {
                continue;
            }
            let sample = &self.image[place];
            let reading = sample.value.as_ref().filter(|_| !matches!(sample.quality, Quality::Bad(_)));
            let followed = reading.zip(output.stands_commanded()).is_some_and(|(a, b)| near(a, b, def.tolerance));
            let path = &self.shared.table.tags.get(def.tag).path;
            let late = || match reading {
                Some(value) => format!("`{path}` stands at {value}"),
                None => format!("`{path}` is {}", sample.quality),
            };
            let said = life.judge(followed, def.within, now.mono, late);
            let Some(said) = said else { continue };
            let Arbitrated { output, life, .. } = &mut self.outputs[i];
            let book = self.shared.writes.get(&output.tag);
            let ended = book.and_then(|book| life.end(&mut book.lock(), said, now.utc));
            self.publish_write(ended);
        }
    }

    fn publish_write(&self, life: Option<WriteLife>) {
        if let Some(life) = life {
            self.shared.records.publish(Record::Write(Arc::new(life)));
        }
    }

    /// Installs what is called after each phase of a scan: for tests that end the process there.
    #[cfg(debug_assertions)]
    pub fn set_probe(&mut self, probe: super::Probe) {
        self.probe = Some(probe);
    }

    #[cfg(debug_assertions)]
    pub(super) fn reached(&self, phase: Phase) {
        if let Some(probe) = &self.probe {
            probe(phase, self.shared.tasks[self.index].stats.scans.load(Ordering::Relaxed));
        }
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "the debug build looks at its probe")]
    pub(super) fn reached(&self, _phase: Phase) {}
}

fn near(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance,
        _ => a == b,
    }
}
