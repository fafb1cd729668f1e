//! The simulation in real time or in lock-step with a client: sockets and serial lines in front of it, faults and
//! questions from outside between its steps.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::api::{self, Ask, NotInjected, Snapshot};
use crate::config::{DEVICES, LOCKSTEP, OPCUA_DEVICE, SimConfig, SimError};
use crate::devices::gate::{Gate, Protocol, inner_listener};
use crate::devices::lockstep::{self, Lockstep};
use crate::devices::modbus::Units;
use crate::devices::opcua::OpcUaServer;
use crate::devices::serial::{Line, Terminal};
use crate::faults::LinkState;
use crate::field::{self, Field, FieldConfig};
use crate::rng::Rng;

/// Real time between two updates of the registers.
const UPDATE: Duration = Duration::from_millis(100);
/// Real time made up for at most after the process was held up: beyond it the plant simply stood still.
const CATCH_UP_MAX_S: f64 = 1.0;
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
    let mut simulation = field::build(&FieldConfig {
        kind: config.plant,
        seed: config.seed,
        start_unix_s: start,
        weather: config.weather,
        influent: config.influent.clone(),
    })?;
    let present: Vec<&str> = simulation.images().into_iter().map(|(device, _)| device).collect();
    let named = config.serial.iter().map(|port| &port.device).chain(config.gateways.keys());
    if let Some(device) = named.into_iter().find(|device| !present.contains(&device.as_str())) {
        return Err(SimError::OtherPlant { device: device.clone(), plant: config.plant });
    }
    for fault in &config.faults {
        simulation.inject(fault.clone()).map_err(|error| SimError::Faults { reason: error.to_string() })?;
    }
    // The first client must not see a moment of health.
    simulation.publish();
    let mut servers = JoinSet::new();
    let mut links = Links::new(&*simulation);
    let mut addresses = Vec::new();
    for (device, units) in simulation.modbus_devices() {
        let units = units.behind(config.gateways.get(device).copied().unwrap_or_default());
        open_serial(&config, &links, device, &units, &mut servers)?;
        addresses.push(open(&config, &links, device, Protocol::Modbus(units), &mut servers).await?);
    }
    let mut opcua = None;
    if let Some(nodes) = simulation.opcua_nodes() {
        let (inner, inner_address) = inner(OPCUA_DEVICE).await?;
        let opened = open(&config, &links, OPCUA_DEVICE, Protocol::Stream(inner_address), &mut servers).await?;
        let server = OpcUaServer::start(inner, opened.1, nodes, &config.opcua)
            .await
            .map_err(|reason| SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason })?;
        server.publish(&simulation.link(OPCUA_DEVICE));
        opcua = Some(server);
        addresses.push(opened);
    }
    let mut pace = Pace::Time(config.speed);
    if config.lockstep {
        let register = Lockstep::new();
        let units = Units::new([(lockstep::UNIT, register.image())]);
        pace = Pace::Client(register, units.asked());
        addresses.push(open(&config, &links, LOCKSTEP.0, Protocol::Modbus(units), &mut servers).await?);
    }
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    if let Some(wanted) = config.api {
        let (listener, address) = bind(API, wanted).await?;
        addresses.push((API.to_owned(), address));
        servers.spawn(api::serve(listener, asks.clone()));
    }
    ready(&addresses);
    let on_serial = config.on_serial().into_iter().map(str::to_owned).collect();
    let mut running = Running { simulation, links: &mut links, on_serial, asked, opcua: opcua.as_ref() };
    let result = tokio::select! {
        () = stop => Ok(()),
        error = running.keep_on(pace) => Err(error),
    };
    drop(asks);
    servers.shutdown().await;
    if let Some(opcua) = opcua {
        opcua.stop().await;
    }
    result
}

/// Opens the serial line of a device, if it is to have one.
fn open_serial(
    config: &SimConfig,
    links: &Links,
    device: &'static str,
    units: &Units,
    servers: &mut JoinSet<()>,
) -> Result<(), SimError> {
    for port in config.serial.iter().filter(|port| port.device == device) {
        let terminal = Terminal::open(port).map_err(|source| SimError::Serial {
            device: device.to_owned(),
            link: port.link.display().to_string(),
            source,
        })?;
        let rng = Rng::new(config.seed, &format!("serial {device}"));
        let line = Line { device, port: port.clone(), units: units.clone(), link: links.of(device), rng };
        servers.spawn(line.serve(terminal));
    }
    Ok(())
}

/// Opens the public port of a device and its gate.
async fn open(
    config: &SimConfig,
    links: &Links,
    device: &'static str,
    protocol: Protocol,
    servers: &mut JoinSet<()>,
) -> Result<(String, SocketAddr), SimError> {
    let (listener, address) = bind(device, SocketAddr::new(config.host, config.ports.get(device))).await?;
    let gate = Gate::new(device, protocol, address, links.of(device), config.seed);
    servers.spawn(gate.serve(listener));
    Ok((device.to_owned(), address))
}

/// What moves plant time.
enum Pace {
    /// Real time, so many times faster.
    Time(f64),
    /// A client of the register, which is told of on every request.
    Client(Lockstep, Arc<Notify>),
}

/// The simulation with everything that must hear of its steps.
struct Running<'a> {
    simulation: Box<dyn Field>,
    links: &'a mut Links,
    on_serial: Vec<String>,
    asked: mpsc::Receiver<Ask>,
    opcua: Option<&'a OpcUaServer>,
}

impl Running<'_> {
    /// Steps the plant; ends only when a server does.
    async fn keep_on(&mut self, mut pace: Pace) -> SimError {
        let mut ticks = tokio::time::interval(UPDATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        while self.opcua.is_none_or(OpcUaServer::running) {
            tokio::select! {
                _ = ticks.tick() => if let Pace::Time(speed) = pace {
                    let now = Instant::now();
                    let real_dt = (now - last).as_secs_f64();
                    last = now;
                    self.step(real_dt.min(CATCH_UP_MAX_S) * speed, real_dt);
                },
                () = asked_to_advance(&pace) => if let Pace::Client(register, _) = &mut pace {
                    while let Some(advance) = register.begin() {
                        let dt = f64::from(advance.ms) / 1000.0;
                        // The client's time is the plant's: watchdogs and reversions count it too.
                        self.step(dt, dt);
                        register.done(advance);
                    }
                },
                Some(ask) = self.asked.recv() => self.answer(ask),
            }
            self.links.update(&*self.simulation);
        }
        SimError::OpcUa { device: OPCUA_DEVICE.to_owned(), reason: "it ended by itself".to_owned() }
    }

    fn step(&mut self, dt: f64, real_dt: f64) {
        // A request of no time is acknowledged and moves nothing.
        if dt > 0.0 {
            self.simulation.step(dt, real_dt);
        }
        if let Some(opcua) = self.opcua {
            opcua.publish(&self.simulation.link(OPCUA_DEVICE));
        }
    }

    /// Answers one request of the fault interface; one that no longer waits for its answer has still been obeyed.
    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Inject(injection, reply) => {
                let on_serial: Vec<&str> = self.on_serial.iter().map(String::as_str).collect();
                let entered = injection.fits(&on_serial).map_err(NotInjected::from).and_then(|()| {
                    let id = self.simulation.inject(injection)?;
                    let active = self.simulation.faults().iter().find(|fault| fault.id == id);
                    Ok((id, active.cloned()))
                });
                self.links.update(&*self.simulation);
                let _ = reply.send(entered);
            }
            Ask::Clear(id, reply) => {
                let cleared = self.simulation.clear(id);
                self.links.update(&*self.simulation);
                let _ = reply.send(cleared);
            }
            Ask::ClearAll(reply) => {
                self.simulation.clear_all();
                self.links.update(&*self.simulation);
                let _ = reply.send(());
            }
            Ask::Weather(weather, reply) => {
                let _ = reply.send(self.simulation.set_weather(weather));
            }
            Ask::Look(reply) => {
                let _ = reply.send(Snapshot::of(&*self.simulation));
            }
        }
    }
}

/// Completes when a client has asked something of the lock-step register.
async fn asked_to_advance(pace: &Pace) {
    match pace {
        Pace::Time(_) => std::future::pending().await,
        Pace::Client(_, asked) => asked.notified().await,
    }
}

/// What the gates are told.
struct Links(Vec<(&'static str, watch::Sender<LinkState>)>);

impl Links {
    fn new(simulation: &dyn Field) -> Links {
        // The lock-step register has no faults, but a link like the others.
        let devices = DEVICES.into_iter().chain([LOCKSTEP]);
        Links(devices.map(|(device, _)| (device, watch::Sender::new(simulation.link(device)))).collect())
    }

    fn of(&self, device: &str) -> watch::Receiver<LinkState> {
        let known = self.0.iter().find(|(name, _)| *name == device);
        known.map_or_else(|| watch::Sender::new(LinkState::default()).subscribe(), |(_, link)| link.subscribe())
    }

    fn update(&mut self, simulation: &dyn Field) {
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
