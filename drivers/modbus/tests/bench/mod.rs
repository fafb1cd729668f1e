//! A Modbus device that a test can break, and a sink that remembers what the driver delivered.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use penstock_modbus::{
    ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, PointConfig, Quirks, WireType, WriteConfig, parse_address,
};
use penstock_model::{
    Command, CommandId, DeviceId, LinkRecord, LinkState, Origin, Outcome, OutcomeState, Quality, Sample, SampleSink,
    SystemClock, TagId, TagSample, Utc, Value, ValueType,
};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

/// Longest a test waits for something that must happen: far beyond what it takes, so that only a defect meets it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the device holds and how it behaves.
#[derive(Default)]
pub struct State {
    pub registers: HashMap<u16, u16>,
    pub coils: HashMap<u16, bool>,
    /// Registers and coils that do not exist.
    pub illegal: HashSet<u16>,
    /// Function codes the device does not know.
    pub unknown_functions: HashSet<u8>,
    /// Every answer is this exception.
    pub exception: Option<ExceptionCode>,
    /// Answers come this late; `None` is at once.
    pub delay: Option<Duration>,
    /// Writes are confirmed this late.
    pub write_delay: Option<Duration>,
    /// No answer at all.
    pub mute: bool,
    /// New connections are closed at once.
    pub closed: bool,
    /// Writes are confirmed but change nothing.
    pub deaf: bool,
    pub requests: Vec<Request<'static>>,
    pub connections: usize,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send>>;

#[derive(Clone)]
struct Plc(Arc<Mutex<State>>);

impl Service for Plc {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Answer;

    fn call(&self, request: Self::Request) -> Answer {
        let mut state = self.0.lock().unwrap();
        state.requests.push(request.request.clone());
        if state.mute {
            return Box::pin(std::future::pending());
        }
        // Values are those of the moment of the question: a late answer carries old ones.
        let writes = !matches!(
            request.request,
            Request::ReadCoils(..)
                | Request::ReadDiscreteInputs(..)
                | Request::ReadHoldingRegisters(..)
                | Request::ReadInputRegisters(..)
        );
        let answer = state.answer(request.request);
        let delay = if writes { state.write_delay.or(state.delay) } else { state.delay };
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            answer
        })
    }
}

impl State {
    fn answer(&mut self, request: Request<'static>) -> Result<Response, ExceptionCode> {
        if let Some(exception) = self.exception {
            return Err(exception);
        }
        if self.unknown_functions.contains(&request.function_code().value()) {
            return Err(ExceptionCode::IllegalFunction);
        }
        let words = |s: &State, start: u16, count: u16| {
            (start..start + count)
                .map(|a| if s.illegal.contains(&a) { None } else { Some(*s.registers.get(&a).unwrap_or(&0)) })
                .collect::<Option<Vec<u16>>>()
                .ok_or(ExceptionCode::IllegalDataAddress)
        };
        let bits = |s: &State, start: u16, count: u16| {
            (start..start + count).map(|a| *s.coils.get(&a).unwrap_or(&false)).collect::<Vec<bool>>()
        };
        match request {
            Request::ReadHoldingRegisters(a, n) => words(self, a, n).map(Response::ReadHoldingRegisters),
            Request::ReadInputRegisters(a, n) => words(self, a, n).map(Response::ReadInputRegisters),
            Request::ReadCoils(a, n) => Ok(Response::ReadCoils(bits(self, a, n))),
            Request::ReadDiscreteInputs(a, n) => Ok(Response::ReadDiscreteInputs(bits(self, a, n))),
            Request::WriteSingleRegister(a, w) => {
                self.put(a, &[w])?;
                Ok(Response::WriteSingleRegister(a, w))
            }
            Request::WriteMultipleRegisters(a, ws) => {
                self.put(a, &ws)?;
                Ok(Response::WriteMultipleRegisters(a, u16::try_from(ws.len()).unwrap()))
            }
            Request::WriteSingleCoil(a, on) => {
                self.coils.insert(a, on);
                Ok(Response::WriteSingleCoil(a, on))
            }
            Request::WriteMultipleCoils(a, on) => {
                self.coils.extend((a..).zip(on.iter().copied()));
                Ok(Response::WriteMultipleCoils(a, u16::try_from(on.len()).unwrap()))
            }
            Request::MaskWriteRegister(a, and, or) => {
                let old = *self.registers.get(&a).unwrap_or(&0);
                self.put(a, &[(old & and) | (or & !and)])?;
                Ok(Response::MaskWriteRegister(a, and, or))
            }
            Request::ReadWriteMultipleRegisters(from, n, a, ws) => {
                self.put(a, &ws)?;
                words(self, from, n).map(Response::ReadWriteMultipleRegisters)
            }
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }

    fn put(&mut self, at: u16, words: &[u16]) -> Result<(), ExceptionCode> {
        if self.illegal.contains(&at) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        if !self.deaf {
            self.registers.extend((at..).zip(words.iter().copied()));
        }
        Ok(())
    }
}

/// The device. Its port is its own for its whole life, connected or not.
pub struct Device {
    state: Arc<Mutex<State>>,
    listener: std::net::TcpListener,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Device {
    pub async fn start() -> Device {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let mut device = Device { state: Arc::default(), listener, server: None };
        device.serve();
        device
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap())
    }

    /// Closes every connection; new ones are closed at once until `restore`.
    pub async fn cut(&mut self) {
        self.with(|s| s.closed = true);
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
        self.serve();
    }

    pub fn restore(&self) {
        self.with(|s| s.closed = false);
    }

    fn serve(&mut self) {
        let listener = TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let state = self.state.clone();
        self.server = Some(tokio::spawn(async move {
            let on_connected = |stream: TcpStream, _| {
                let state = state.clone();
                async move {
                    let mut s = state.lock().unwrap();
                    s.connections += 1;
                    Ok((!s.closed).then(|| (Plc(state.clone()), stream)))
                }
            };
            let _ = Server::new(listener).serve(&on_connected, |_| {}).await;
        }));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Everything the driver delivered, in order.
#[derive(Default)]
pub struct Delivered {
    pub samples: Vec<TagSample>,
    pub outcomes: Vec<Outcome>,
    pub links: Vec<LinkRecord>,
}

impl Delivered {
    pub fn last(&self, tag: u32) -> Option<&Sample> {
        self.samples.iter().rev().find(|s| s.tag == TagId(tag)).map(|s| &s.sample)
    }

    pub fn is(&self, tag: u32, value: impl Into<Value>, quality: Quality) -> bool {
        let value = value.into();
        self.last(tag).is_some_and(|s| s.quality == quality && s.value.as_ref() == Some(&value))
    }

    pub fn quality(&self, tag: u32) -> Option<Quality> {
        self.last(tag).map(|s| s.quality)
    }

    pub fn link(&self) -> Option<LinkState> {
        self.links.last().map(|l| l.state)
    }

    pub fn outcomes_of(&self, id: u64) -> Vec<OutcomeState> {
        self.outcomes.iter().filter(|o| o.id == CommandId(id)).map(|o| o.state.clone()).collect()
    }
}

#[derive(Default)]
pub struct Sink {
    pub delivered: Mutex<Delivered>,
    changed: Notify,
}

impl Sink {
    fn add(&self, f: impl FnOnce(&mut Delivered)) {
        f(&mut self.delivered.lock().unwrap());
        self.changed.notify_waiters();
    }
}

impl SampleSink for Sink {
    fn samples(&self, batch: &[TagSample]) {
        self.add(|d| d.samples.extend_from_slice(batch));
    }
    fn outcome(&self, outcome: Outcome) {
        self.add(|d| d.outcomes.push(outcome));
    }
    fn link(&self, link: LinkRecord) {
        self.add(|d| d.links.push(link));
    }
}

/// A driver at work.
pub struct Rig {
    pub sink: Arc<Sink>,
    pub commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    pub fn start(config: DeviceConfig) -> Rig {
        assert_eq!(config.check(), Vec::<String>::new());
        let sink = Arc::new(Sink::default());
        let (commands, receiver) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let clock = Arc::new(SystemClock::new());
        let task = tokio::spawn(penstock_modbus::run(config, sink.clone(), receiver, clock, stopped));
        Rig { sink, commands, stop, task }
    }

    pub fn see<R>(&self, f: impl FnOnce(&Delivered) -> R) -> R {
        f(&self.sink.delivered.lock().unwrap())
    }

    /// Waits until what was delivered satisfies the condition.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        mut holds: impl FnMut(&Delivered) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let wait = async {
                loop {
                    let changed = self.sink.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    if self.see(&mut holds) {
                        return;
                    }
                    changed.await;
                }
            };
            if tokio::time::timeout(PATIENCE, wait).await.is_err() {
                let news = self.see(|d| format!("outcomes {:?}; link {:?}", d.outcomes, d.links.last()));
                panic!("{caller}: never: {what}; {news}");
            }
        }
    }

    /// Gives a command for a tag; `None` hands the output back.
    pub async fn command(&self, id: u64, tag: u32, value: Option<Value>) {
        let command = Command {
            id: CommandId(id),
            tag: TagId(tag),
            device: DeviceId(0),
            value,
            origin: Origin::Program("test".into()),
            granted: Utc(0),
        };
        self.commands.send(command).await.unwrap();
    }

    pub async fn stop(self) -> Arc<Sink> {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the driver must stop").unwrap();
        self.sink
    }
}

/// A device with one group of the given period and no points.
pub fn device(address: String, every: Duration) -> DeviceConfig {
    DeviceConfig {
        id: DeviceId(0),
        name: "plc".into(),
        address,
        unit: 1,
        timeout: Duration::from_millis(400),
        groups: vec![GroupConfig { name: "fast".into(), every }],
        points: Vec::new().into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: ChannelConfig::default(),
        quirks: Quirks::default(),
        sunspec: penstock_modbus::sunspec::Settings::default(),
    }
}

/// A point that is read: tag number, address, type.
pub fn read(tag: u32, at: &str, wire: WireType) -> PointConfig {
    PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        address: parse_address(at, false).unwrap(),
        wire,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: if wire == WireType::Bit { ValueType::Bool } else { ValueType::Float },
        range: None,
        group: 0,
        write: None,
        sunspec: None,
    }
}

/// A point that is written.
pub fn write(tag: u32, at: &str, wire: WireType) -> PointConfig {
    let write = Some(WriteConfig { verify_within: Duration::from_millis(200), tolerance: 0.0, repeat: None });
    PointConfig { write, ..read(tag, at, wire) }
}
