//! A visit: a person asks one unit a few questions, outside of any running site.
//!
//! The questions go through the driver's own parts, so that what a visit shows is what a site will see: the plan joins
//! points into requests, the peculiarities of the device are kept to, one codec reads and writes, an answer counts only
//! for its own question. There is no breaker and nothing is asked by itself.

use crate::address::{Address, Area};
use crate::codec::{Encoded, decode, encode};
use crate::config::{DeviceConfig, PointConfig};
use crate::limits::{VERIFY_STEP_MAX, VERIFY_STEP_MIN};
use crate::line::Transport;
use crate::pdu::{Answer, ILLEGAL_FUNCTION, ILLEGAL_PLACES, Request, refusal};
use crate::plan::ReadRequest;
use crate::read::places;
use crate::transport::{CallError, Wire, connect};
use crate::unit::{Trouble, Unit};
use penstock_model::{
    BadReason, LinkRecord, Outcome, Quality, SampleSink, SystemClock, TagSample, Value, limits::RECONNECT_WAIT_MIN,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Why a question found no answer. Each leads to another action of the person who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskFault {
    /// There is no connection to the gateway, device or port.
    Connect,
    /// Nothing came within the time-out.
    Silent,
    /// Bytes came that are no answer of this unit.
    Damaged,
    /// A gateway answered that it cannot reach the unit: exception 10 or 11.
    Gateway(u8),
    /// The unit answered and refused: the exception code.
    Refused(u8),
    /// The unit answered something else than was asked.
    Nonsense,
    /// The connection ended.
    Lost,
    /// The point cannot carry the value: nothing was sent.
    Value,
}

/// A question without an answer, for a person: who was asked, for what, why nothing came, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who}: {asked}: {why}{}", advice(.help))]
pub struct AskError {
    /// What it was.
    pub fault: AskFault,
    /// The device, its address and unit.
    pub who: String,
    /// What was asked.
    pub asked: String,
    /// Why there is no answer.
    pub why: String,
    /// What to do; may be empty.
    pub help: &'static str,
}

/// Places as they came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
    /// Registers.
    Words(Vec<u16>),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = match self {
            Self::Bits(bits) => bits.iter().map(|b| u8::from(*b).to_string()).collect(),
            Self::Words(words) => words.iter().map(|w| format!("0x{w:04X}")).collect(),
        };
        f.write_str(&words.join(" "))
    }
}

/// One point as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PointReading {
    /// The request that brought it.
    pub request: ReadRequest,
    /// Function code of that request.
    pub function: u8,
    /// Why the request that a site would send did not bring it, where the point was then asked for alone.
    pub planned: Option<AskError>,
    /// Its own places.
    pub raw: Raw,
    /// Its value, or why the places hold none.
    pub value: Result<(Value, Quality), BadReason>,
    /// From the question to the answer.
    pub round_trip: Duration,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What was sent, as it lies on the wire. Of single bits of a register, those alone.
    pub sent: Raw,
    /// From the first question of the write to its confirmation.
    pub took: Duration,
    /// The last read-back.
    pub back: PointReading,
    /// The device holds what was sent, or a value within the point's tolerance.
    pub equal: bool,
    /// Read-backs until then.
    pub read_backs: u32,
}

/// Nobody listens but the person who asks.
struct Nobody;

impl SampleSink for Nobody {
    fn samples(&self, _: &[TagSample]) {}
    fn outcome(&self, _: Outcome) {}
    fn link(&self, _: LinkRecord) {}
}

/// A connection to one unit at a time.
pub struct Visit {
    unit: Unit,
    wire: Wire,
    /// How long the connection took.
    connected_in: Duration,
}

impl Visit {
    /// Connects to a device as its configuration says, and waits as long as it needs after that.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn open(config: DeviceConfig) -> Result<Visit, AskError> {
        let (wire, connected_in) = dial(&config).await?;
        // A visit takes no commands: they come from the person, one by one.
        let (_, commands) = mpsc::channel(1);
        let unit = Unit::new(config, Arc::new(Nobody), commands, Arc::new(SystemClock::new()));
        Ok(Visit { unit, wire, connected_in })
    }

    /// How long the connection took.
    #[must_use]
    pub fn connected_in(&self) -> Duration {
        self.connected_in
    }

    /// What is visited.
    #[must_use]
    pub fn config(&self) -> &DeviceConfig {
        &self.unit.config
    }

    /// Asks another unit on the same connection from here on.
    pub fn turn_to(&mut self, unit: u8) {
        self.unit.config.unit = unit;
    }

    /// Reads places of an area.
    ///
    /// # Errors
    /// When no answer comes, or a refusal.
    pub async fn places(&mut self, area: Area, start: u16, count: u16) -> Result<(Raw, Duration), AskError> {
        let asked = span(area, start, count);
        let begun = Instant::now();
        match self.ask(&Request::Read { area, start, count }, &asked).await? {
            Answer::Bits(bits) => Ok((Raw::Bits(bits), begun.elapsed())),
            Answer::Words(words) => Ok((Raw::Words(words), begun.elapsed())),
            Answer::Written | Answer::Identity(_) => {
                Err(self.error(AskFault::Nonsense, &asked, "another kind of answer".to_owned()))
            }
        }
    }

    /// Asks the unit what it is (function 43/14): vendor, product and revision, as far as it tells.
    ///
    /// # Errors
    /// When no answer comes; exception 1 from a unit that does not know the question.
    pub async fn identify(&mut self) -> Result<Vec<String>, AskError> {
        let asked = "what it is (function 43/14)";
        match self.ask(&Request::Identify, asked).await? {
            Answer::Identity(words) => Ok(words),
            _ => Err(self.error(AskFault::Nonsense, asked, "another kind of answer".to_owned())),
        }
    }

    /// Reads the point of this index with the request that a site would send; alone where the device refuses that one,
    /// and where the point is written and therefore not polled.
    ///
    /// # Errors
    /// When no answer comes, or the point itself is refused.
    pub async fn point(&mut self, index: usize) -> Result<PointReading, AskError> {
        self.find_models(index).await?;
        let alone = self.alone(index)?;
        let plan = self.unit.config.plan();
        let planned = plan.groups.into_iter().flatten().find(|request| request.points.contains(&index));
        let Some(planned) = planned.filter(|request| *request != alone) else { return self.read(index, alone).await };
        match self.read(index, planned).await {
            Err(error) if matches!(error.fault, AskFault::Refused(code) if ILLEGAL_PLACES.contains(&code)) => {
                let reading = self.read(index, alone).await?;
                Ok(PointReading { planned: Some(error), ..reading })
            }
            result => result,
        }
    }

    /// Writes a value in the tag's unit with the functions that a site would use, and reads it back until it is equal or
    /// the time of the point is over (at once where the point declares none).
    ///
    /// # Errors
    /// When the point cannot carry the value (nothing was sent then), when the device does not take it, and when it cannot
    /// be read back: then it may hold the new value or the old one.
    pub async fn write(&mut self, index: usize, value: &Value) -> Result<Written, AskError> {
        let alone = self.alone(index)?;
        let point = self.unit.config.points[index].clone();
        let asked = format!("writing {value} to {}", point.place());
        if point.sunspec.is_some() {
            let why = "a limit of a SunSpec device goes with its timer, which a visit would not set again: let a site write it";
            return Err(self.error(AskFault::Value, &asked, why.to_owned()));
        }
        let encoded = encode(&point, value).map_err(|e| self.error(AskFault::Value, &asked, e.to_string()))?;
        self.redial().await?;
        let begun = Instant::now();
        if let Err(e) = self.unit.put(&mut self.wire, &point, &encoded).await {
            return Err(self.call_error(&e, &asked));
        }
        let took = begun.elapsed();
        let rule = point.write;
        let until = Instant::now() + rule.map_or(Duration::ZERO, |w| w.verify_within);
        let step = rule.map_or(VERIFY_STEP_MIN, |w| (w.verify_within / 10).clamp(VERIFY_STEP_MIN, VERIFY_STEP_MAX));
        let mut read_backs = 0;
        loop {
            let back = self.read(index, alone.clone()).await.map_err(|e| AskError {
                why: format!("{}. The device confirmed the write, but what it holds now is not known", e.why),
                ..e
            })?;
            read_backs += 1;
            let equal = holds(&encoded, &back, value, rule.map_or(0.0, |w| w.tolerance));
            if equal || Instant::now() >= until {
                return Ok(Written { sent: sent(&encoded), took, back, equal, read_backs });
            }
            sleep(step).await;
        }
    }

    /// Looks the device through for its models, where the point is found by one.
    async fn find_models(&mut self, index: usize) -> Result<(), AskError> {
        let wanted = self.unit.config.points.get(index).filter(|point| point.sunspec.is_some());
        let Some(asked) = wanted.map(PointConfig::place) else { return Ok(()) };
        while self.unit.discovery.as_ref().is_some_and(|d| d.is_needed(Instant::now())) {
            self.redial().await?;
            if let Err(Trouble::Unit(why) | Trouble::Channel(why)) = self.unit.discover(&mut self.wire).await {
                return Err(self.error(AskFault::Silent, &asked, why));
            }
        }
        let missing = self.unit.discovery.iter().flat_map(|d| d.missing()).find(|(missing, _)| *missing == index);
        match missing.map(|(_, why)| why.clone()) {
            Some(why) => Err(self.error(AskFault::Nonsense, &asked, why)),
            None => Ok(()),
        }
    }

    /// The request for one point alone.
    fn alone(&self, index: usize) -> Result<ReadRequest, AskError> {
        let of = |point: &PointConfig| {
            let (start, end) = point.span();
            let count = u16::try_from(end - u32::from(start)).unwrap_or(u16::MAX);
            ReadRequest { area: point.address.area, start, count, points: vec![index] }
        };
        let unknown = || self.error(AskFault::Value, &format!("point {index}"), "the device has no such point".into());
        self.unit.config.points.get(index).map(of).ok_or_else(unknown)
    }

    async fn read(&mut self, index: usize, request: ReadRequest) -> Result<PointReading, AskError> {
        let asked = span(request.area, request.start, request.count);
        let ask = Request::Read { area: request.area, start: request.start, count: request.count };
        let begun = Instant::now();
        let answer = self.ask(&ask, &asked).await?;
        let round_trip = begun.elapsed();
        let point = &self.unit.config.points[index];
        let Some(own) = places(&answer, request.start, point.address.pdu, point.places()) else {
            return Err(self.error(AskFault::Nonsense, &asked, "the point's places are not in the answer".to_owned()));
        };
        let raw = match own {
            crate::codec::Places::Bit(on) => Raw::Bits(vec![on]),
            crate::codec::Places::Words(words) => Raw::Words(words.to_vec()),
        };
        let value = match &answer {
            Answer::Words(words) if point.sunspec.is_some() => point.value_in(words, request.start),
            _ => decode(point, own),
        };
        Ok(PointReading { function: ask.function(), request, planned: None, raw, value, round_trip })
    }

    async fn ask(&mut self, request: &Request, asked: &str) -> Result<Answer, AskError> {
        self.redial().await?;
        let answer = self.unit.exchange(&mut self.wire, request).await;
        answer.map_err(|e| self.call_error(&e, asked))
    }

    /// Connects again where the connection has ended: some devices end it after a question they do not like.
    async fn redial(&mut self) -> Result<(), AskError> {
        if !self.wire.is_alive() {
            sleep(RECONNECT_WAIT_MIN).await;
            (self.wire, self.connected_in) = dial(&self.unit.config).await?;
        }
        Ok(())
    }

    fn call_error(&self, error: &CallError, asked: &str) -> AskError {
        let (fault, why) = match error {
            CallError::Refused(code) => (AskFault::Refused(*code), refusal(*code)),
            CallError::Unreachable(code) => (AskFault::Gateway(*code), refusal(*code)),
            CallError::Nonsense(why) => (AskFault::Nonsense, why.clone()),
            CallError::Silent(why) => (AskFault::Silent, why.clone()),
            CallError::Damaged(why) => (AskFault::Damaged, why.clone()),
            CallError::Lost(why) => (AskFault::Lost, why.clone()),
        };
        self.error(fault, asked, why)
    }

    fn error(&self, fault: AskFault, asked: &str, why: String) -> AskError {
        let config = &self.unit.config;
        AskError { fault, who: who(config), asked: asked.to_owned(), why, help: help(fault, config) }
    }
}

async fn dial(config: &DeviceConfig) -> Result<(Wire, Duration), AskError> {
    let begun = Instant::now();
    let wire = connect(&config.channel, &config.address, config.timeout).await.map_err(|why| AskError {
        fault: AskFault::Connect,
        who: who(config),
        asked: "connecting".to_owned(),
        why,
        help: help(AskFault::Connect, config),
    })?;
    let took = begun.elapsed();
    sleep(config.pause_after_connect).await;
    Ok((wire, took))
}

fn who(config: &DeviceConfig) -> String {
    let transport = config.channel.transport.as_str();
    if *config.name == *config.address {
        format!("{transport} {} unit {}", config.address, config.unit)
    } else {
        format!("device `{}` ({transport} {} unit {})", config.name, config.address, config.unit)
    }
}

/// Places of an area, in both ways of counting: `holding register PDU 0..1 (40001..40002)`.
fn span(area: Area, start: u16, count: u16) -> String {
    let at = |pdu: u16| Address { area, pdu, bit: None };
    if count <= 1 {
        return at(start).to_string();
    }
    let last = start.saturating_add(count - 1);
    format!("{area} PDU {start}..{last} ({}..{})", at(start).modicon(), at(last).modicon())
}

/// What a person does about it.
fn help(fault: AskFault, config: &DeviceConfig) -> &'static str {
    let line = matches!(config.channel.transport, Transport::Serial(_));
    match fault {
        AskFault::Connect if line => {
            "is the adapter plugged in, may this account use the port (group dialout), and does a running Penstock or \
             another program hold it? A line has one master"
        }
        AskFault::Connect => {
            "check address, port and cable; many devices take one to five connections and refuse more: end other masters"
        }
        AskFault::Silent if line => {
            "check the unit number, speed and parity (`--line 9600,8N1`), the two wires (swap A and B), and the device's \
             power"
        }
        AskFault::Silent => {
            "check the unit number: a gateway passes it on, a device of its own often wants 1, 255 or 0; a slow one needs \
             a longer `--timeout`"
        }
        AskFault::Damaged if line => {
            "check speed and parity, termination and shield of the line, and that no two units have one number"
        }
        AskFault::Damaged => "is the port Modbus TCP, or RTU frames over TCP (`--rtu-over-tcp`)?",
        AskFault::Gateway(_) => {
            "the gateway speaks, the unit behind it does not: check the unit's number, power and line, and the gateway's \
             list of units"
        }
        AskFault::Refused(ILLEGAL_FUNCTION) => {
            "the device does not know this function: try another table (3xxxx input, 4xxxx holding registers) or, for a \
             write, `write_with: multiple` or `single` in its file"
        }
        AskFault::Refused(2) => "`penstock point scan` finds which places there are",
        AskFault::Refused(3) => {
            "the count or the value is none the device takes: fewer registers (`registers_max`), or a value within its own \
             limits"
        }
        AskFault::Refused(4) => "the device itself reports a fault: look at its own display or log",
        AskFault::Refused(5 | 6) => "the device is busy: ask again, or give it time (`pause_between_requests`)",
        AskFault::Nonsense => {
            "the device does not keep to the protocol here: ask its maker, or read fewer places at once"
        }
        AskFault::Lost => {
            "the device ends the connection: too many masters, a wrong unit number, or a need of `pause_after_connect`"
        }
        AskFault::Refused(_) | AskFault::Value => "",
    }
}

/// What is sent, as places.
fn sent(encoded: &Encoded) -> Raw {
    match encoded {
        Encoded::Bit(on) => Raw::Bits(vec![*on]),
        Encoded::Words(words) => Raw::Words(words.clone()),
        Encoded::Part { bits, .. } => Raw::Words(vec![*bits]),
    }
}

/// True where what was read back is what was written, or as near as the point allows.
fn holds(encoded: &Encoded, back: &PointReading, wanted: &Value, tolerance: f64) -> bool {
    let exactly = match &back.raw {
        Raw::Bits(bits) => bits.first().is_some_and(|on| encoded.is_in(crate::codec::Places::Bit(*on))),
        Raw::Words(words) => encoded.is_in(crate::codec::Places::Words(words)),
    };
    let near = || match (back.value.as_ref().ok().and_then(|(v, _)| v.as_f64()), wanted.as_f64()) {
        (Some(got), Some(wanted)) => (got - wanted).abs() <= tolerance,
        _ => false,
    };
    exactly || near()
}

fn advice(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("\n  what to do: {help}") }
}
