//! What every output declares for a crash, and its writing by the drivers themselves: the same plan, codec and
//! read-back as in the runtime, without polls and without a heartbeat.

use crate::config::{DriverConfig, Site};
use penstock_model::{
    Clock, Command, CommandId, DeviceId, FallbackAction, FallbackCause, LinkRecord, Origin, Outcome, OutcomeState,
    SampleSink, SystemClock, TagId, TagSample, Utc, Value,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// One output that is written when the runtime dies.
#[derive(Debug, Clone)]
struct Planned {
    tag: TagId,
    path: Arc<str>,
    value: Value,
    /// It stays where it is for this long first.
    after: Duration,
}

/// A device with such outputs.
#[derive(Debug, Clone)]
struct Target {
    id: DeviceId,
    driver: DriverConfig,
    outputs: Vec<Planned>,
}

/// Everything needed to act without the runtime, made while all is well.
#[derive(Debug, Clone)]
pub struct Plan {
    targets: Vec<Target>,
}

impl Plan {
    /// What the site declares. Outputs that hold or are handed back need no write and are not in it.
    pub fn of(site: &Site, state: &std::path::Path) -> Plan {
        let mut targets = Vec::new();
        for device in &site.devices {
            let mut outputs = Vec::new();
            for def in site.tags.iter() {
                let Some(out) = def.output.as_ref().filter(|o| o.device == Some(device.id)) else { continue };
                let (after, value) = match out.fallback.action(FallbackCause::Crash) {
                    FallbackAction::Hold | FallbackAction::Release => continue,
                    FallbackAction::Value(value) => (Duration::ZERO, value),
                    FallbackAction::HoldThen(time, value) => (*time, value),
                };
                if let Some(value) = value.convert(def.value_type) {
                    outputs.push(Planned { tag: def.id, path: def.path.clone(), value, after });
                }
            }
            if outputs.is_empty() {
                continue;
            }
            let planned = |tag: TagId| outputs.iter().any(|o| o.tag == tag);
            let mut driver = device.driver.clone();
            match &mut driver {
                DriverConfig::Modbus(config) => {
                    // Picked out and not thinned out: the rest of a large site is not copied for it.
                    let kept = config.points.iter().filter(|p| p.write.is_some() && planned(p.tag));
                    config.points = kept.cloned().collect();
                    // Who beats says that control is alive. It is not.
                    config.heartbeat = None;
                }
                DriverConfig::OpcUa(config) => {
                    config.points.retain(|p| p.write.is_some() && planned(p.tag));
                    // The certificate's days are the runtime's to tell.
                    config.certificate_tag = None;
                    *config = crate::pki::with_folder(config, state);
                }
            }
            targets.push(Target { id: device.id, driver, outputs });
        }
        Plan { targets }
    }
}

/// How one output was brought to its declared state.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its tag.
    pub path: Arc<str>,
    /// The value.
    pub value: Value,
    /// When it was begun.
    pub granted: Utc,
    /// The last news, and when.
    pub news: Option<(OutcomeState, Utc)>,
}

impl Written {
    /// True where the device holds the value.
    pub fn is_done(&self) -> bool {
        matches!(self.news, Some((OutcomeState::ReadBack, _)))
    }

    fn is_over(&self) -> bool {
        self.is_done() || matches!(self.news, Some((OutcomeState::Failed(_), _)))
    }
}

/// Where the drivers deliver: the last news of each write.
#[derive(Default)]
struct Heard {
    writes: Mutex<HashMap<CommandId, Written>>,
    changed: Notify,
}

impl SampleSink for Heard {
    fn samples(&self, _: &[TagSample]) {}
    fn outcome(&self, outcome: Outcome) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(write) = writes.get_mut(&outcome.id) {
            write.news = Some((outcome.state, outcome.at));
        }
        self.changed.notify_one();
    }
    fn link(&self, _: LinkRecord) {}
}

/// Drivers at work for the fail-safe state. They go on trying until they are ended.
pub struct Writers {
    heard: Arc<Heard>,
    stop: watch::Sender<bool>,
    drivers: Vec<JoinHandle<()>>,
    delayed: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Begins to write; what holds first is counted from `since`.
    pub fn start(plan: &Plan, since: Instant) -> Writers {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let heard = Arc::new(Heard::default());
        let (stop, stopped) = watch::channel(false);
        let (mut drivers, mut delayed) = (Vec::new(), Vec::new());
        let mut id = 0;
        let mut members = Vec::new();
        for target in &plan.targets {
            let (queue, commands) = mpsc::channel(target.outputs.len().max(1));
            for output in &target.outputs {
                id += 1;
                let job = Job { id: CommandId(id), device: target.id, output: output.clone() };
                let left = output.after.saturating_sub(since.elapsed());
                if left.is_zero() {
                    job.submit(&heard, &queue, &*clock);
                } else {
                    let (heard, queue, clock) = (heard.clone(), queue.clone(), clock.clone());
                    delayed.push(tokio::spawn(async move {
                        tokio::time::sleep(left).await;
                        tracing::warn!(tag = %job.output.path, value = %job.output.value, "held long enough: the output goes to its declared value");
                        job.submit(&heard, &queue, &*clock);
                    }));
                }
            }
            match &target.driver {
                DriverConfig::Modbus(config) => {
                    members.push(penstock_modbus::Member { config: config.clone(), commands });
                }
                DriverConfig::OpcUa(config) => drivers.push(tokio::spawn(penstock_opcua::run(
                    config.clone(),
                    heard.clone(),
                    commands,
                    clock.clone(),
                    stopped.clone(),
                ))),
            }
        }
        for members in crate::run::drivers::by_channel(members) {
            let driver = penstock_modbus::run_channel(members, heard.clone(), clock.clone(), stopped.clone());
            drivers.push(tokio::spawn(driver));
        }
        Writers { heard, stop, drivers, delayed }
    }

    /// Waits until everything that is due was written or has failed, at most until the deadline; what became of it.
    pub async fn finish(&mut self, deadline: Duration) -> Vec<Written> {
        let until = tokio::time::Instant::now() + deadline;
        loop {
            let news = self.heard.changed.notified();
            if self.report().iter().all(Written::is_over) {
                break;
            }
            if tokio::time::timeout_at(until, news).await.is_err() {
                break;
            }
        }
        self.report()
    }

    fn report(&self) -> Vec<Written> {
        let writes = self.heard.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Written> = writes.values().cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// Ends every writer at once: from here on the runtime owns the outputs.
    pub fn end(self) {
        // The drivers may have ended by themselves.
        let _ = self.stop.send(true);
        self.delayed.iter().chain(&self.drivers).for_each(JoinHandle::abort);
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.delayed.iter().chain(&self.drivers).for_each(JoinHandle::abort);
    }
}

struct Job {
    id: CommandId,
    device: DeviceId,
    output: Planned,
}

impl Job {
    fn submit(&self, heard: &Heard, queue: &mpsc::Sender<Command>, clock: &dyn Clock) {
        let granted = clock.now().utc;
        let Planned { tag, path, value, .. } = &self.output;
        let written = Written { path: path.clone(), value: value.clone(), granted, news: None };
        heard.writes.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, written);
        let origin = Origin::Fallback(FallbackCause::Crash);
        let value = Some(value.clone());
        let command = Command { id: self.id, tag: *tag, device: self.device, value, origin, granted };
        if queue.try_send(command).is_err() {
            tracing::error!(tag = %path, "the output cannot be written: its driver has ended");
        }
    }
}
