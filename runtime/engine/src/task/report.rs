//! What a task tells the world at the end of a scan: health, alarms, faults, and the one scan record.

use super::{Logged, ScanTiming, TaskCore};
use penstock_model::{FaultRecord, Instant, LinkState, Now, Record, Sample, ScanRecord, TagSample, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Lines kept of what a program prints.
const LOG_LINES_MAX: usize = 50;

impl TaskCore {
    /// A program's bad inputs and printed lines, where they changed.
    pub(super) fn publish_program(&mut self, k: usize) {
        let program = &mut self.programs[k];
        let printed = self.host.take_printed();
        let bad: Vec<_> = {
            let frame = program.instance.io.0.lock();
            let samples = frame.inputs.iter().enumerate().zip(&program.inputs);
            samples
                .filter(|((_, sample), place)| place.is_some() && sample.quality.is_bad())
                .map(|((i, sample), _)| (i, sample.quality))
                .collect()
        };
        if bad == program.bad && printed.is_empty() {
            return;
        }
        let mut view = program.view.lock();
        if bad != program.bad {
            let names = &program.instance.io.0.lock().declaration.inputs;
            view.bad_inputs = bad.iter().map(|(i, quality)| format!("{}: {quality}", names[*i].name)).collect();
            program.bad = bad;
        }
        view.log.extend(printed);
        let surplus = view.log.len().saturating_sub(LOG_LINES_MAX);
        view.log.drain(..surplus);
    }

    pub(super) fn publish_fault(&self, message: &str, active: bool, now: Now) {
        let part = format!("task {}", self.def.name).into();
        self.shared.records.publish(Record::Fault(FaultRecord { part, message: message.into(), active, at: now.utc }));
    }

    /// The links' health as tags: a change of state at once, the rest once a second.
    pub(super) fn publish_links(&mut self, now: Now) {
        let due = self.health_due(now.mono);
        for device in 0..self.links.len() {
            let link = self.shared.links[device].record.lock().clone();
            let changed = self.links[device].1 != Some(link.state);
            self.links[device].1 = Some(link.state);
            let counts = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
            let age = now.mono.since(link.last_answer.unwrap_or(self.started));
            for (part, at_once, value) in [
                ("up", true, Value::Bool(link.state == LinkState::Up)),
                ("poll_age_ms", false, Value::Float(age.as_secs_f64() * 1e3)),
                ("round_trip_ms", false, Value::Float(link.round_trip.as_secs_f64() * 1e3)),
                ("failed", false, counts(link.failed)),
                ("refused", false, counts(link.refused)),
                ("reconnects", false, counts(link.reconnects)),
                ("retries", false, counts(link.retries)),
                ("demoted", false, Value::Bool(link.demoted)),
                ("quarantined", false, counts(u64::from(link.quarantined))),
            ] {
                let tag = self.links[device].0.get(part);
                if due || (changed && at_once) {
                    self.write_own(tag, value, now);
                }
            }
        }
    }

    pub(super) fn evaluate_alarms(&self, now: Now) {
        for (def, cell) in self.alarms.iter().zip(&self.shared.cells) {
            let sample = self.shared.table.shown(def.tag);
            let mut cell = cell.lock();
            if let Some(event) = cell.evaluate(def, &sample, now) {
                self.shared.records.publish(Record::Alarm(event));
            }
        }
    }

    /// The reason of the fault for whoever looks at the task. Written on a change alone: a scan that goes well takes no
    /// lock for it.
    fn show_fault(&mut self) {
        let message = self.fault.as_ref().map(|f| f.message.clone());
        if message != self.shown_fault {
            let stats = &self.shared.tasks[self.index].stats;
            stats.fault.lock().clone_from(&message);
            stats.faulted.store(message.is_some(), Ordering::Release);
            self.shown_fault = message;
        }
    }

    /// Counters, health tags, a fault that is new, and the scan record.
    pub(super) fn report(&mut self, now: Now, timing: &ScanTiming, run_time: Option<Duration>) {
        let new_fault = self.fault.as_mut().and_then(|f| std::mem::take(&mut f.fresh).then(|| f.message.clone()));
        if let Some(message) = &new_fault {
            self.publish_fault(message, true, now);
        }
        let stats = &self.shared.tasks[self.index].stats;
        let scan = stats.scans.fetch_add(1, Ordering::Relaxed) + 1;
        let missed_now = u64::from(timing.missed_now);
        let missed = stats.missed.fetch_add(missed_now, Ordering::Relaxed) + missed_now;
        stats.jitter.add(timing.jitter);
        if let Some(run_time) = run_time {
            stats.run_time.add(run_time);
        }
        self.health.scanned(now.mono, timing.jitter, run_time);
        self.show_fault();
        self.publish_health(now, missed);
        let samples = self.record(now.mono);
        let run_time = run_time.unwrap_or_default();
        let (task, jitter) = (self.def.id, timing.jitter);
        let record = ScanRecord { task, scan, at: now.utc, jitter, run_time, missed, samples };
        self.shared.records.publish(Record::Scan(Arc::new(record)));
    }

    /// The samples of this task's tags that changed, or are due, by each tag's policy.
    fn record(&mut self, now: Instant) -> Vec<TagSample> {
        // About as many as last time: a long list that grows as it is filled is copied again and again.
        let mut samples = Vec::with_capacity(self.record_len);
        let recorded = self.locals.iter().zip(&self.image).zip(&mut self.logged).filter(|((local, _), _)| local.logged);
        for ((local, sample), logged) in recorded {
            if is_due(logged, sample, now) {
                logged.recorded = Some((sample.value.clone(), sample.quality, now));
                samples.push(TagSample { tag: local.tag, sample: sample.clone() });
            }
        }
        self.record_len = samples.len();
        samples
    }
}

fn is_due(logged: &Logged, sample: &Sample, now: Instant) -> bool {
    let Some((value, quality, at)) = &logged.recorded else { return true };
    let moved = match (value, &sample.value) {
        (Some(Value::Float(a)), Some(Value::Float(b))) => (a - b).abs() > logged.policy.deadband,
        (a, b) => a != b,
    };
    moved || *quality != sample.quality || now.since(*at) >= logged.policy.at_least_every
}
