//! The simulated plant: process models and the device servers in front of them.
//!
//! A municipal wastewater plant at Jinan of 18 446 m3/d: biology (ASM1, Takacs settler), air side, phosphorus and
//! chlorine, PV, heat pump and electrical feeders. Six devices show it to the world over Modbus TCP and OPC UA, as the
//! real ones would: through instruments with lag and noise, in scaled registers, with watchdogs of their own.
//!
//! | layer | module | knows |
//! | --- | --- | --- |
//! | process models | [`models`] | physics, no registers |
//! | plant | [`plant`] | all models on one clock, typed handles, true values |
//! | device programs | [`devices`], [`instruments`] | registers, instruments, local control; no sockets |
//! | simulation | [`simulation`] | plant and device programs, stepped; deterministic by seed |
//! | servers | [`run`] | sockets, real time |
//! | benchmark | [`bsm1`] | the same biology as the IWA benchmark BSM1 defines it, scored as it says |
//!
//! Nothing here is shared with the drivers of the runtime: a simulator with the same codec would share its errors.

pub mod bsm1;
mod clock;
mod config;
pub mod devices;
pub mod instruments;
pub mod models;
pub mod plant;
mod rng;
pub mod simulation;

pub use clock::PlantClock;
pub use config::{DEVICES, PortError, Ports, SPEED_MAX, SimConfig, SimError};

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use devices::modbus;
use devices::opcua::OpcUaServer;
use simulation::Simulation;

/// Real time between two updates of the registers.
const UPDATE: Duration = Duration::from_millis(100);
/// Real time made up for at most after the process was held up: beyond it the plant simply stood still.
const CATCH_UP_MAX_S: f64 = 1.0;
const OPCUA_DEVICE: &str = "sludge_effluent_plc";

/// Runs the simulated plant until `stop` completes.
///
/// `ready` is called once, when every device listens, with the device names and their addresses.
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
    let mut simulation = Simulation::new(config.seed, start);
    let mut addresses = Vec::new();
    let mut servers = JoinSet::new();
    for (device, units) in simulation.modbus_devices() {
        let (listener, address) = listen(&config, device).await?;
        addresses.push((device.to_owned(), address));
        servers.spawn(modbus::serve(device, listener, units));
    }
    let (listener, address) = listen(&config, OPCUA_DEVICE).await?;
    addresses.push((OPCUA_DEVICE.to_owned(), address));
    let opcua = OpcUaServer::start(listener, address, simulation.sludge_nodes())
        .map_err(|reason| SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason })?;
    opcua.publish();
    ready(&addresses);
    let result = tokio::select! {
        () = stop => Ok(()),
        error = keep_running(&mut simulation, config.speed, &opcua) => Err(error),
    };
    servers.shutdown().await;
    opcua.stop().await;
    result
}

/// Steps the plant by real time; ends only when a server does.
async fn keep_running(simulation: &mut Simulation, speed: f64, opcua: &OpcUaServer) -> SimError {
    let mut ticks = tokio::time::interval(UPDATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    while opcua.running() {
        ticks.tick().await;
        let now = Instant::now();
        let real_dt = (now - last).as_secs_f64();
        last = now;
        simulation.step(real_dt.min(CATCH_UP_MAX_S) * speed, real_dt);
        opcua.publish();
    }
    SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason: "it ended by itself".to_owned() }
}

async fn listen(config: &SimConfig, device: &str) -> Result<(TcpListener, SocketAddr), SimError> {
    let wanted = SocketAddr::new(config.host, config.ports.get(device));
    let failed = |source| SimError::Listen { device: device.to_owned(), address: wanted.to_string(), source };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn host_unix_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
