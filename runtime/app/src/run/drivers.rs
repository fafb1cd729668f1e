//! The drivers' tasks, and what happens when one breaks.

use crate::config::{DriverConfig, Site};
use penstock_engine::Engine;
use penstock_ledger::ActionLog;
use penstock_model::{Clock, Command, DeviceId, LinkRecord, LinkState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Threads on which drivers run and nothing else: whatever a screen asks for, it delays no device.
pub struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start() -> std::io::Result<Threads> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(THREADS)
            .thread_name("drivers")
            .enable_all()
            .build()
            .map(|threads| Threads(Some(threads)))
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.0 {
            Some(threads) => threads.spawn(work),
            None => tokio::spawn(work),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Where they are dropped must not wait, and whoever stops in order has waited for the drivers before.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// Two: a driver that computes for long, in a large birth or a large plan, leaves another for the rest.
const THREADS: usize = 2;

/// What drivers are given of the runtime around them.
pub struct Around<'a> {
    /// Time of samples and waits.
    pub clock: &'a Arc<dyn Clock>,
    /// Becomes true when they shall end.
    pub stop: &'a watch::Receiver<bool>,
    /// The state folder.
    pub state: &'a std::path::Path,
    /// Where the wishes of hosts are written down.
    pub actions: &'a Arc<ActionLog>,
}

/// Starts a task per device, the publication over MQTT and the registers for a foreign system where the site has them.
pub fn start(
    threads: &Threads,
    site: &Site,
    engine: &Engine,
    receivers: Vec<mpsc::Receiver<Command>>,
    around: &Around<'_>,
) -> Vec<JoinHandle<()>> {
    let Around { clock, stop, state, actions } = *around;
    let mut tasks = Vec::new();
    let mut members = Vec::new();
    for (device, commands) in site.devices.iter().zip(receivers) {
        match &device.driver {
            DriverConfig::Modbus(config) => members.push(penstock_modbus::Member { config: config.clone(), commands }),
            DriverConfig::OpcUa(config) => {
                let config = crate::pki::with_folder(config, state);
                let driver = penstock_opcua::run(config, engine.sink(), commands, clock.clone(), stop.clone());
                let who = vec![(device.id, device.name.clone())];
                tasks.push(threads.spawn(watch_over(threads.spawn(driver), who, engine.clone(), clock.clone())));
            }
        }
    }
    for members in by_channel(members) {
        let who = members.iter().map(|m| (m.config.id, m.config.name.clone())).collect();
        let driver = penstock_modbus::run_channel(members, engine.sink(), clock.clone(), stop.clone());
        tasks.push(threads.spawn(watch_over(threads.spawn(driver), who, engine.clone(), clock.clone())));
    }
    if let Some(config) = &site.modbus_server {
        let source = Arc::new(super::modbus_server::EngineRegisters::new(engine, clock));
        tasks.push(threads.spawn(penstock_modbus_server::run(config.clone(), source, stop.clone(), None)));
    }
    if let Some(settings) = &site.mqtt {
        let (config, source) = super::mqtt::node(settings, engine, clock, actions, state);
        tasks.push(threads.spawn(penstock_mqtt::run(config, source, clock.clone(), stop.clone())));
    }
    tasks
}

/// Modbus devices by the connection or line they share.
pub(crate) fn by_channel(members: Vec<penstock_modbus::Member>) -> Vec<Vec<penstock_modbus::Member>> {
    let groups = penstock_modbus::channels(members.iter().map(|m| &m.config));
    let mut members: Vec<Option<penstock_modbus::Member>> = members.into_iter().map(Some).collect();
    let mut take = |index: usize| members.get_mut(index).and_then(Option::take);
    groups.into_iter().map(|group| group.into_iter().filter_map(&mut take).collect()).collect()
}

/// Waits for a driver. One that breaks is a defect of ours, and would otherwise go unseen: the link is reported down, so
/// that outputs take their fallback for a lost link and the link's alarm is raised.
async fn watch_over(driver: JoinHandle<()>, devices: Vec<(DeviceId, Arc<str>)>, engine: Engine, clock: Arc<dyn Clock>) {
    let Err(error) = driver.await else { return };
    for (device, name) in devices {
        tracing::error!(device = %name, %error, "the driver broke, a defect of the runtime; restart the runtime to reach the device");
        let Some(last) = engine.links().into_iter().find(|l| l.device == device) else { continue };
        let reason = "the driver broke; restart the runtime".into();
        engine.sink().link(LinkRecord { state: LinkState::Down, reason, at: clock.now().utc, ..last });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_engine::{EngineConfig, TaskDef};
    use penstock_model::{CommandSink, ManualClock, QueueFull, Record, RecordSink, TagTable, TaskId, Utc};
    use std::time::Duration;

    struct Nothing;

    impl CommandSink for Nothing {
        fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
            Ok(())
        }
    }

    impl RecordSink for Nothing {
        fn publish(&self, _: Record) {}
    }

    #[tokio::test]
    async fn a_driver_that_breaks_is_a_link_that_is_down() {
        let config = EngineConfig {
            tags: Arc::new(TagTable::new(Vec::new()).unwrap()),
            tasks: vec![TaskDef::new(TaskId(0), "t", Duration::from_secs(1))],
            programs: Vec::new(),
            alarms: Vec::new(),
            devices: vec!["plc".into()],
            objects: Vec::new(),
            entries: Vec::new(),
        };
        let clock = Arc::new(ManualClock::at(Utc(0)));
        let (engine, _) = Engine::build(config, Arc::new(Nothing), Arc::new(Nothing), clock.now()).unwrap();
        let driver = tokio::spawn(async { panic!("a defect") });
        watch_over(driver, vec![(DeviceId(0), "plc".into())], engine.clone(), clock).await;
        let link = &engine.links()[0];
        assert_eq!(link.state, LinkState::Down);
        assert!(link.reason.contains("restart the runtime"), "{}", link.reason);
    }
}
