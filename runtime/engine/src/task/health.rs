//! A task's own health: how late it starts, how long it runs, and how long the plant waits for its answer.

use super::TaskCore;
use crate::stats::Window;
use crate::system::HealthTags;
use penstock_model::{
    BadReason, Command, CommandId, Instant, Now, Origin, Outcome, OutcomeState, Quality, Sample, TagId, Value,
};
use std::time::Duration;

/// The runtime's own health is published this often; a change of state at once.
pub(super) const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Times of one task as its health tags show them.
pub(super) struct Health {
    pub tags: HealthTags,
    /// When they were published last.
    pub at: Option<Instant>,
    /// The worst since then.
    worst_jitter: Duration,
    worst_run: Duration,
    /// The last minute.
    jitter: Window,
    run: Window,
    latency: Window,
}

/// A command that answers samples of devices, until the device has it.
pub(super) struct Asked {
    id: CommandId,
    /// When the oldest sample was received that its program saw for the first time.
    sampled: Instant,
    /// The scan that issued it.
    issued: Now,
}

impl Health {
    pub fn new(tags: HealthTags) -> Health {
        Health {
            tags,
            at: None,
            worst_jitter: Duration::ZERO,
            worst_run: Duration::ZERO,
            jitter: Window::default(),
            run: Window::default(),
            latency: Window::default(),
        }
    }

    /// Counts one scan. `run_time` is `None` in virtual time.
    pub fn scanned(&mut self, now: Instant, jitter: Duration, run_time: Option<Duration>) {
        self.jitter.add(jitter, now);
        self.worst_jitter = self.worst_jitter.max(jitter);
        if let Some(run_time) = run_time {
            self.run.add(run_time, now);
            self.worst_run = self.worst_run.max(run_time);
        }
    }
}

impl Asked {
    /// The command as far as it counts for the latency: a program's, with a device's sample behind it.
    pub fn new(command: &Command, sampled: Option<Instant>, issued: Now) -> Option<Asked> {
        let sampled = sampled.filter(|_| matches!(command.origin, Origin::Program(_)))?;
        Some(Asked { id: command.id, sampled, issued })
    }

    /// The latency that this news of the command tells, at the scan that hears it. Nothing where it was not written.
    fn latency(&self, news: &Outcome, heard: Instant) -> Option<Duration> {
        match news.state {
            OutcomeState::Sent | OutcomeState::Acknowledged | OutcomeState::ReadBack => {}
            OutcomeState::Failed(_) | OutcomeState::Superseded => return None,
        }
        // News carry civil time alone. A step of it must not show as a latency: what was written was written between
        // the scan that issued the command and the one that heard of it.
        let written = u64::try_from(news.at.0.saturating_sub(self.issued.utc.0)).unwrap_or(0);
        let written = Duration::from_nanos(written).min(heard.since(self.issued.mono));
        Some(self.issued.mono.since(self.sampled) + written)
    }
}

impl TaskCore {
    /// Takes news of an output's last command for the latency: the first that says it was written, or that it was not.
    pub(super) fn answered(&mut self, i: usize, news: &Outcome, heard: Instant) {
        let Some(asked) = self.outputs[i].asked.take_if(|asked| asked.id == news.id) else { return };
        if let Some(latency) = asked.latency(news, heard) {
            self.shared.tasks[self.index].stats.latency.add(latency);
            self.health.latency.add(latency, heard);
        }
    }

    /// The task's health as tags: times once a second, and at once whether it is faulted.
    pub(super) fn publish_health(&mut self, now: Now, missed: u64) {
        let faulted = self.health.tags.get("faulted");
        let value = Value::Bool(self.fault.is_some());
        let shown = faulted.and_then(|tag| self.places.get(&tag)).map(|i| self.image[*i].value == Some(value.clone()));
        let due = self.health_due(now.mono);
        if due || shown == Some(false) {
            self.write_own(faulted, value, now);
        }
        if !due {
            return;
        }
        let (jitter, run) = (self.health.worst_jitter, self.health.worst_run);
        self.write_own(self.health.tags.get("jitter_us"), micros(jitter), now);
        self.write_own(self.health.tags.get("run_us"), micros(run), now);
        self.write_own(self.health.tags.get("missed"), Value::Int(i64::try_from(missed).unwrap_or(i64::MAX)), now);
        let jitter = self.health.jitter.percentiles(now.mono);
        self.write_time("jitter_p50", jitter.map(|p| p.p50), now);
        self.write_time("jitter_p99", jitter.map(|p| p.p99), now);
        self.write_time("jitter_p999", jitter.map(|p| p.p999), now);
        self.write_time("jitter_max", jitter.map(|p| p.max), now);
        let run = self.health.run.percentiles(now.mono);
        self.write_time("run_p99", run.map(|p| p.p99), now);
        self.write_time("run_max", run.map(|p| p.max), now);
        let latency = self.health.latency.percentiles(now.mono);
        self.write_time("latency_p99", latency.map(|p| p.p99), now);
        self.write_time("latency_max", latency.map(|p| p.max), now);
        self.health.worst_jitter = Duration::ZERO;
        self.health.worst_run = Duration::ZERO;
        self.health.at = Some(now.mono);
    }

    /// True when the times are to be published in this scan.
    pub(super) fn health_due(&self, now: Instant) -> bool {
        self.health.at.is_none_or(|at| now.since(at) >= HEALTH_EVERY)
    }

    /// Writes a figure of the last minute. Where nothing was counted in it, the last figure is stale, and there is none
    /// before the first.
    fn write_time(&mut self, part: &str, time: Option<Duration>, now: Now) {
        let Some((tag, place)) = self.own(self.health.tags.get(part)) else { return };
        self.image[place] = match (time, self.image[place].value.take()) {
            (Some(time), _) => Sample::good(micros(time), now),
            (None, None) => Sample::initial(None, now),
            (None, last) => Sample { quality: Quality::Bad(BadReason::Stale), ..Sample::initial(last, now) },
        };
        self.shared.table.write(tag, &self.image[place], now.mono);
    }

    /// Writes a tag of the runtime's own.
    pub(super) fn write_own(&mut self, tag: Option<TagId>, value: Value, now: Now) {
        let Some((tag, place)) = self.own(tag) else { return };
        self.image[place] = Sample::good(value, now);
        self.shared.table.write(tag, &self.image[place], now.mono);
    }

    fn own(&self, tag: Option<TagId>) -> Option<(TagId, usize)> {
        tag.and_then(|tag| self.places.get(&tag).map(|place| (tag, *place)))
    }
}

fn micros(time: Duration) -> Value {
    Value::Float(time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{DeviceId, Utc};

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Now {
        Now { mono: Instant(ms * MS), utc: Utc::from_millis(1_000 + i64::try_from(ms).unwrap()) }
    }

    fn command(origin: Origin) -> Command {
        let (id, tag, device) = (CommandId(4), TagId(0), DeviceId(0));
        Command { id, tag, device, value: None, origin, granted: at(30).utc }
    }

    fn news(state: OutcomeState, at: Utc) -> Outcome {
        Outcome { id: CommandId(4), tag: TagId(0), state, at }
    }

    #[test]
    fn the_latency_runs_from_the_sample_to_the_write_and_no_step_of_civil_time_shows_in_it() {
        let program = || Origin::Program("p".into());
        let asked = Asked::new(&command(program()), Some(at(10).mono), at(30)).unwrap();
        let latency = |state, utc| asked.latency(&news(state, utc), at(130).mono);
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(latency(OutcomeState::Acknowledged, at(37).utc), ms(27));
        assert_eq!(latency(OutcomeState::Sent, Utc(0)), ms(20), "civil time went back");
        assert_eq!(latency(OutcomeState::ReadBack, at(3_600_000).utc), ms(120), "civil time went forward");
        assert_eq!(latency(OutcomeState::Failed("full".into()), at(37).utc), None);
        assert_eq!(latency(OutcomeState::Superseded, at(37).utc), None);
        assert!(Asked::new(&command(program()), None, at(30)).is_none(), "no sample is behind it");
        assert!(Asked::new(&command(Origin::User("li".into())), Some(at(10).mono), at(30)).is_none());
    }
}
