//! The drivers' tasks, and what happens when one breaks.

use crate::config::{DriverConfig, Site};
use penstock_engine::Engine;
use penstock_ledger::ActionLog;
use penstock_model::{Clock, Command, DeviceId, LinkRecord, LinkState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Starts a task per device, and the publication over MQTT where the site has one.
pub fn start(
    site: &Site,
    engine: &Engine,
    receivers: Vec<mpsc::Receiver<Command>>,
    clock: &Arc<dyn Clock>,
    stop: &watch::Receiver<bool>,
    state: &std::path::Path,
    actions: &Arc<ActionLog>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for (device, commands) in site.devices.iter().zip(receivers) {
        let (sink, clock, stop) = (engine.sink(), clock.clone(), stop.clone());
        let driver = match &device.driver {
            DriverConfig::Modbus(config) => {
                tokio::spawn(penstock_modbus::run(config.clone(), sink, commands, clock.clone(), stop))
            }
            DriverConfig::OpcUa(config) => {
                let config = penstock_opcua::DeviceConfig { pki_dir: state.join("pki"), ..config.clone() };
                tokio::spawn(penstock_opcua::run(config, sink, commands, clock.clone(), stop))
            }
        };
        tasks.push(tokio::spawn(watch_over(driver, device.id, device.name.clone(), engine.clone(), clock)));
    }
    if let Some(config) = &site.modbus_server {
        let source = Arc::new(super::modbus_server::EngineRegisters::new(engine, clock));
        tasks.push(tokio::spawn(penstock_modbus_server::run(config.clone(), source, stop.clone(), None)));
    }
    if let Some(settings) = &site.mqtt {
        let (config, source) = super::mqtt::node(settings, engine, clock, actions, state);
        tasks.push(tokio::spawn(penstock_mqtt::run(config, source, clock.clone(), stop.clone())));
    }
    tasks
}

/// Waits for a driver. One that breaks is a defect of ours, and would otherwise go unseen: the link is reported down, so
/// that outputs take their fallback for a lost link and the link's alarm is raised.
async fn watch_over(driver: JoinHandle<()>, device: DeviceId, name: Arc<str>, engine: Engine, clock: Arc<dyn Clock>) {
    let Err(error) = driver.await else { return };
    tracing::error!(device = %name, %error, "the driver broke, a defect of the runtime; restart the runtime to reach the device");
    let Some(last) = engine.links().into_iter().find(|l| l.device == device) else { return };
    let reason = "the driver broke; restart the runtime".into();
    engine.sink().link(LinkRecord { state: LinkState::Down, reason, at: clock.now().utc, ..last });
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
        watch_over(driver, DeviceId(0), "plc".into(), engine.clone(), clock).await;
        let link = &engine.links()[0];
        assert_eq!(link.state, LinkState::Down);
        assert!(link.reason.contains("restart the runtime"), "{}", link.reason);
    }
}
