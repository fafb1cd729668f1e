//! The simulation in real time: sockets in front of it, faults and questions from outside between its steps.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::api::{self, Ask, Snapshot};
use crate::config::{DEVICES, SimConfig, SimError};
use crate::devices::gate::{Gate, Protocol, inner_listener};
use crate::devices::modbus;
use crate::devices::opcua::OpcUaServer;
use crate::faults::LinkState;
use crate::simulation::Simulation;

/// Real time between two updates of the registers.
const UPDATE: Duration = Duration::from_millis(100);
/// Real time made up for at most after the process was held up: beyond it the plant simply stood still.
const CATCH_UP_MAX_S: f64 = 1.0;
const OPCUA_DEVICE: &str = "sludge_effluent_plc";
/// Name under which the address of the fault interface is reported.
const API: &str = "api";
/// Requests of the fault interface that wait for the next step at most; further ones wait in their sockets.
const ASKS_MAX: usize = 16;

/// Runs the simulated plant until `stop` completes.
///
/// `ready` is called once, when every device listens, with the device names and their addresses; the fault interface,
/// if there is one, comes last under the name `api`.
///
/// # Errors
/// [`SimError`] when a setting is out of range, a device cannot listen, or the OPC UA server ends by itself.
pub async fn run(
    config: SimConfig,
    ready: impl FnOnce(&[(String, SocketAddr)]) + Send,
    stop: impl Future<Output = ()>,
) -> Result<(), SimError> {
    config.check()?;
    let start = config.start.unwrap_or_else(host_unix_s);
    let mut simulation = Simulation::in_weather(config.seed, start, config.weather);
    for fault in &config.faults {
        simulation.inject(fault.clone()).map_err(|full| SimError::Faults { reason: full.to_string() })?;
    }
    // The first client must not see a moment of health.
    simulation.publish();
    let mut servers = JoinSet::new();
    let mut links = Links::new(&simulation);
    let mut addresses = Vec::new();
    for (device, units) in simulation.modbus_devices() {
        let (inner, inner_address) = inner(device).await?;
        servers.spawn(modbus::serve(device, inner, units));
        addresses.push(open(&config, &links, device, Protocol::Modbus, inner_address, &mut servers).await?);
    }
    let (inner, inner_address) = inner(OPCUA_DEVICE).await?;
    addresses.push(open(&config, &links, OPCUA_DEVICE, Protocol::Stream, inner_address, &mut servers).await?);
    let public = addresses[addresses.len() - 1].1;
    let opcua = OpcUaServer::start(inner, public, simulation.sludge_nodes())
        .await
        .map_err(|reason| SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason })?;
    opcua.publish(simulation.link(OPCUA_DEVICE).skew_s);
    let (asks, mut asked) = mpsc::channel(ASKS_MAX);
    if let Some(wanted) = config.api {
        let (listener, address) = bind(API, wanted).await?;
        addresses.push((API.to_owned(), address));
        servers.spawn(api::serve(listener, asks.clone()));
    }
    ready(&addresses);
    let result = tokio::select! {
        () = stop => Ok(()),
        error = keep_running(&mut simulation, config.speed, &opcua, &mut links, &mut asked) => Err(error),
    };
    drop(asks);
    servers.shutdown().await;
    opcua.stop().await;
    result
}

/// Opens the public port of a device and its gate.
async fn open(
    config: &SimConfig,
    links: &Links,
    device: &'static str,
    protocol: Protocol,
    inner: SocketAddr,
    servers: &mut JoinSet<()>,
) -> Result<(String, SocketAddr), SimError> {
    let (listener, address) = bind(device, SocketAddr::new(config.host, config.ports.get(device))).await?;
    let gate = Gate::new(device, protocol, address, inner, links.of(device), config.seed);
    servers.spawn(gate.serve(listener));
    Ok((device.to_owned(), address))
}

/// Steps the plant by real time; ends only when a server does.
async fn keep_running(
    simulation: &mut Simulation,
    speed: f64,
    opcua: &OpcUaServer,
    links: &mut Links,
    asked: &mut mpsc::Receiver<Ask>,
) -> SimError {
    let mut ticks = tokio::time::interval(UPDATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    while opcua.running() {
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                let real_dt = (now - last).as_secs_f64();
                last = now;
                simulation.step(real_dt.min(CATCH_UP_MAX_S) * speed, real_dt);
                opcua.publish(simulation.link(OPCUA_DEVICE).skew_s);
            }
            Some(ask) = asked.recv() => answer(simulation, ask, links),
        }
        links.update(simulation);
    }
    SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason: "it ended by itself".to_owned() }
}

/// Answers one request of the fault interface; one that no longer waits for its answer has still been obeyed.
fn answer(simulation: &mut Simulation, ask: Ask, links: &mut Links) {
    match ask {
        Ask::Inject(injection, reply) => {
            let entered = simulation.inject(injection).map(|id| {
                let active = simulation.faults().iter().find(|fault| fault.id == id);
                (id, active.cloned())
            });
            links.update(simulation);
            let _ = reply.send(entered);
        }
        Ask::Clear(id, reply) => {
            let cleared = simulation.clear(id);
            links.update(simulation);
            let _ = reply.send(cleared);
        }
        Ask::ClearAll(reply) => {
            simulation.clear_all();
            links.update(simulation);
            let _ = reply.send(());
        }
        Ask::Weather(weather, reply) => {
            simulation.set_weather(weather);
            let _ = reply.send(());
        }
        Ask::Look(reply) => {
            let _ = reply.send(Snapshot::of(simulation));
        }
    }
}

/// What the gates are told.
struct Links(Vec<(&'static str, watch::Sender<LinkState>)>);

impl Links {
    fn new(simulation: &Simulation) -> Links {
        Links(DEVICES.into_iter().map(|(device, _)| (device, watch::Sender::new(simulation.link(device)))).collect())
    }

    fn of(&self, device: &str) -> watch::Receiver<LinkState> {
        let known = self.0.iter().find(|(name, _)| *name == device);
        known.map_or_else(|| watch::Sender::new(LinkState::default()).subscribe(), |(_, link)| link.subscribe())
    }

    fn update(&mut self, simulation: &Simulation) {
        for (device, link) in &self.0 {
            let now = simulation.link(device);
            link.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
    }
}

async fn inner(device: &str) -> Result<(TcpListener, SocketAddr), SimError> {
    inner_listener().await.map_err(|source| SimError::Listen {
        device: device.to_owned(),
        address: "a loopback port for its own server".to_owned(),
        source,
    })
}

async fn bind(device: &str, wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), SimError> {
    let failed = |source| SimError::Listen { device: device.to_owned(), address: wanted.to_string(), source };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn host_unix_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
