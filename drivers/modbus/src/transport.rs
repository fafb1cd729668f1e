//! One question, one answer, or why not, on a connection that several units may share.
//!
//! An answer counts only for its own question. Modbus TCP numbers them: a late one is told by its number and dropped,
//! and the connection goes on. A serial line has no numbers: after an answer that did not come, and after anything that
//! was no frame, the line must first be silent, and whatever arrives meanwhile is dropped; then an answer must have the
//! right unit, function and length. Before a unit is asked again for as many places as it still owes, it is asked for
//! another number of them: devices answer in order, so with that answer everything owed has come or never will. A
//! question given up half-way leaves the connection unclean in the same way.

use crate::frame::{Found, Frame, rtu_frame, rtu_next, tcp_frame, tcp_next};
use crate::limits::{BITS_MAX, NOISE_MAX, REGISTERS_MAX};
use crate::line::{ChannelConfig, Parity, Rts, SerialSettings, Transport};
use crate::pdu::{Answer, NoAnswer, OF_A_GATEWAY, Request};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_serial::{DataBits, FlowControl, SerialPort, SerialPortBuilderExt, SerialStream, StopBits};

/// What came back instead of an answer. They are never mixed: they lead to different qualities and different actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The device answered, and refused.
    Refused(u8),
    /// The gateway answered that it cannot reach the device behind it. The connection to the gateway stays.
    Unreachable(u8),
    /// The device answered with something else than was asked. The connection stays.
    Nonsense(String),
    /// No answer in time. The connection stays.
    Silent(String),
    /// Bytes that are no answer of this unit. The connection stays.
    Damaged(String),
    /// The connection is gone, for every unit on it.
    Lost(String),
}

/// What a wire is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Sets the adapter's request-to-send.
    fn set_rts(&mut self, _on: bool) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for TcpStream {}

impl Stream for SerialStream {
    fn set_rts(&mut self, on: bool) -> io::Result<()> {
        self.write_request_to_send(on).map_err(io::Error::from)
    }
}

/// How frames are marked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Tcp,
    Rtu,
}

/// An open connection or serial line.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    framing: Framing,
    /// Bytes that came and are not yet understood; at most a frame and what came with it.
    buffer: Vec<u8>,
    transaction: u16,
    /// False once the connection is gone.
    alive: bool,
    /// A question is under way; still set at the next one, it was given up half-way.
    busy: bool,
    /// Something may still come that belongs to no question of the future.
    unclean: bool,
    /// When bytes last went over the line.
    last: Instant,
    gap: Duration,
    silence: Duration,
    character: Duration,
    rts: Rts,
    echo: bool,
    /// Frames that were dropped because they belonged to no question, or another.
    late: u64,
    /// On a line, answers that may still come: unit, function and bytes of the PDU.
    owed: VecDeque<(u8, u8, usize)>,
}

/// Opens the connection of a channel at this address.
///
/// # Errors
/// Why not, in words for a person.
pub(crate) async fn connect(channel: &ChannelConfig, address: &str, wait: Duration) -> Result<Wire, String> {
    match &channel.transport {
        Transport::Tcp | Transport::RtuOverTcp => {
            let stream = timeout(wait, TcpStream::connect(address))
                .await
                .map_err(|_| format!("{address} does not answer a connection within {wait:?}"))?
                .map_err(|e| format!("{address}: {}", in_words(&e)))?;
            // A request is a handful of bytes: waiting to fill a packet would add 40 ms to every poll.
            stream.set_nodelay(true).map_err(|e| format!("{address}: {}", in_words(&e)))?;
            Ok(Wire::new(Box::new(stream), channel))
        }
        Transport::Serial(serial) => {
            let mut stream = open(address, serial).map_err(|e| format!("{address}: {e}"))?;
            if let Some(level) = serial.rts.level(false) {
                stream.set_rts(level).map_err(|e| format!("{address}: request-to-send: {e}"))?;
            }
            let mut wire = Wire::new(Box::new(stream), channel);
            // Whatever somebody else was asked a moment ago is not for us.
            wire.unclean = true;
            Ok(wire)
        }
    }
}

fn open(path: &str, serial: &SerialSettings) -> tokio_serial::Result<SerialStream> {
    let parity = match serial.parity {
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
        Parity::None => tokio_serial::Parity::None,
    };
    tokio_serial::new(path, serial.baud)
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(if serial.stop_bits == 2 { StopBits::Two } else { StopBits::One })
        .flow_control(FlowControl::None)
        .open_native_async()
}

impl Wire {
    /// A wire on an open stream.
    pub(crate) fn new(stream: Box<dyn Stream>, channel: &ChannelConfig) -> Wire {
        let (rts, echo) = match &channel.transport {
            Transport::Serial(serial) => (serial.rts, serial.echo),
            Transport::Tcp | Transport::RtuOverTcp => (Rts::Auto, false),
        };
        Wire {
            stream,
            framing: if channel.transport == Transport::Tcp { Framing::Tcp } else { Framing::Rtu },
            buffer: Vec::new(),
            transaction: 0,
            alive: true,
            busy: false,
            unclean: false,
            last: Instant::now(),
            gap: channel.gap(),
            silence: channel.silence(),
            character: channel.character(),
            rts,
            echo,
            late: 0,
            owed: VecDeque::new(),
        }
    }

    /// False once the connection is gone.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// False while an answer may still come that nobody waits for any more.
    pub(crate) fn is_clean(&self) -> bool {
        !self.unclean
    }

    /// Asks a unit and waits for the answer. Abandoning this future leaves the wire unclean, which is noticed.
    pub(crate) async fn call(&mut self, unit: u8, request: &Request, wait: Duration) -> Result<Answer, CallError> {
        if !self.alive {
            return Err(CallError::Lost("not connected".to_owned()));
        }
        if std::mem::replace(&mut self.busy, true) {
            self.unclean = true;
            if self.framing == Framing::Tcp {
                // Half of a question may have gone out.
                self.alive = false;
                return Err(CallError::Lost("a question was given up half-way".to_owned()));
            }
        }
        let result = match self.framing {
            Framing::Tcp => self.ask_tcp(unit, request, wait).await,
            Framing::Rtu => match self.settle(unit, request, wait).await {
                Ok(()) => self.ask_line(unit, request, wait).await,
                Err(error) => Err(error),
            },
        };
        self.busy = false;
        match &result {
            Err(CallError::Lost(_)) => self.alive = false,
            Err(CallError::Silent(_) | CallError::Damaged(_)) => self.unclean = true,
            _ => self.unclean = false,
        }
        result
    }

    async fn ask_tcp(&mut self, unit: u8, request: &Request, wait: Duration) -> Result<Answer, CallError> {
        self.transaction = self.transaction.wrapping_add(1);
        sleep_until(self.last + self.gap).await;
        let until = Instant::now() + wait;
        self.send(&tcp_frame(self.transaction, unit, &request.bytes()), until).await?;
        loop {
            match tcp_next(&self.buffer) {
                Found::More => {
                    if !self.more(until).await? {
                        // Whatever comes next would be taken for the rest of a frame that was begun.
                        self.alive = self.buffer.is_empty();
                        return Err(self.nothing_came(wait, None));
                    }
                }
                Found::Broken(what) => {
                    // Where the next frame begins cannot be known any more; the unit is to blame, not its neighbours.
                    self.alive = false;
                    return Err(CallError::Damaged(format!("an answer that is not Modbus: {what}")));
                }
                Found::Frame(frame) => {
                    self.buffer.drain(..frame.bytes);
                    if frame.transaction != self.transaction {
                        self.late += 1;
                        continue;
                    }
                    if frame.unit != unit {
                        return Err(CallError::Damaged(format!("unit {} answered in its place", frame.unit)));
                    }
                    return request.answer(&frame.pdu).map_err(|no| match no {
                        NoAnswer::Refused(code) => refused(code),
                        NoAnswer::Wrong(what) => CallError::Nonsense(what),
                        NoAnswer::Foreign(what) => CallError::Damaged(what),
                    });
                }
            }
        }
    }

    /// Asks on a line, and keeps account of what the unit owes.
    async fn ask_line(&mut self, unit: u8, request: &Request, wait: Duration) -> Result<Answer, CallError> {
        let given_up = (unit, request.function(), request.answer_bytes());
        if self.owed.len() >= OWED_MAX {
            self.owed.pop_front();
        }
        // Noted before, so that a question given up half-way is owed too.
        self.owed.push_back(given_up);
        let result = self.ask_rtu(unit, request, wait).await;
        match &result {
            Ok(_) | Err(CallError::Refused(_)) => self.owed.retain(|owed| owed.0 != unit),
            Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => {
                self.owed.pop_back();
            }
            Err(CallError::Silent(_) | CallError::Damaged(_) | CallError::Lost(_)) => self.unclean = true,
        }
        result
    }

    /// Where an answer of this very shape may still come, asks for another shape first, so that none does.
    async fn settle(&mut self, unit: u8, request: &Request, wait: Duration) -> Result<(), CallError> {
        let owes = |request: &Request| self.owed.contains(&(unit, request.function(), request.answer_bytes()));
        if request.writes() || !owes(request) {
            return Ok(());
        }
        let Some(other) = other_shapes(request).into_iter().find(|other| !owes(other)) else { return Ok(()) };
        match self.ask_line(unit, &other, wait).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask_rtu(&mut self, unit: u8, request: &Request, wait: Duration) -> Result<Answer, CallError> {
        self.quieten().await?;
        let question = rtu_frame(unit, &request.bytes());
        let on_line = self.character * u32::try_from(request.answer_bytes() + 3).unwrap_or(u32::MAX);
        let sending = self.character * u32::try_from(question.len()).unwrap_or(u32::MAX);
        self.direction(true)?;
        self.send(&question, Instant::now() + wait + sending).await?;
        if self.rts != Rts::Auto {
            // The system says that it took the bytes, not that they have left.
            sleep(sending).await;
            self.direction(false)?;
        }
        let until = Instant::now() + sending + wait + on_line;
        let mut echo = if self.echo { question.len() } else { 0 };
        // What came and was not the answer, for the message of the one that never came.
        let mut other: Option<String> = None;
        loop {
            if echo > 0 && self.buffer.len() >= echo {
                if self.buffer[..echo] != question[..] {
                    return Err(CallError::Damaged("our own question came back changed: two are sending".to_owned()));
                }
                self.buffer.drain(..echo);
                echo = 0;
            }
            let found = if echo > 0 { Found::More } else { rtu_next(&self.buffer) };
            match found {
                Found::More => {
                    if !self.more(until).await? {
                        return Err(self.nothing_came(wait, other));
                    }
                }
                Found::Broken(_) if request.answer_bytes() != 5 && self.buffer.starts_with(&question) => {
                    let what = "our own question comes back: say `echo: true` for this line";
                    return Err(CallError::Damaged(what.to_owned()));
                }
                // The question may still be coming back in pieces.
                Found::Broken(_) if self.buffer.len() < question.len() && question.starts_with(&self.buffer) => {
                    if !self.more(until).await? {
                        return Err(self.nothing_came(wait, other));
                    }
                }
                Found::Broken(what) => return Err(CallError::Damaged(what)),
                Found::Frame(frame) => match self.take_rtu(frame, unit, request) {
                    Ok(answer) => return answer,
                    Err(what) => other = Some(what),
                },
            }
        }
    }

    /// A whole frame from the line: the outcome of the question, or in words what else it is; then it is dropped.
    fn take_rtu(&mut self, frame: Frame, unit: u8, request: &Request) -> Result<Result<Answer, CallError>, String> {
        self.buffer.drain(..frame.bytes);
        let what = if frame.unit == unit {
            match request.answer(&frame.pdu) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(NoAnswer::Refused(code)) => return Ok(Err(refused(code))),
                Err(NoAnswer::Wrong(what) | NoAnswer::Foreign(what)) => what,
            }
        } else {
            format!("unit {} answered in its place", frame.unit)
        };
        self.late += 1;
        Err(what)
    }

    fn nothing_came(&mut self, wait: Duration, other: Option<String>) -> CallError {
        match other {
            Some(what) => CallError::Damaged(what),
            None if self.buffer.is_empty() => CallError::Silent(format!("no answer within {wait:?}")),
            None => {
                CallError::Damaged(format!("{} bytes of an answer within {wait:?}, and no more", self.buffer.len()))
            }
        }
    }

    /// Waits until the line is ready for a question: silent for as long as is due, with nothing left over.
    async fn quieten(&mut self) -> Result<(), CallError> {
        self.buffer.clear();
        let silence = if self.unclean { self.silence.max(self.gap) } else { self.gap };
        let from = if self.unclean { Instant::now() } else { self.last };
        let mut until = from + silence;
        let limit = Instant::now() + NOISE_MAX + silence;
        loop {
            // A question is never sent over bytes that have come already: those belong to nobody.
            if !self.more(until.max(Instant::now())).await? {
                break;
            }
            self.late += u64::from(!self.unclean);
            self.buffer.clear();
            until = Instant::now() + self.silence.max(self.gap);
            if until > limit {
                return Err(CallError::Damaged("the line is never silent: something chatters on it".to_owned()));
            }
        }
        self.unclean = false;
        Ok(())
    }

    fn direction(&mut self, sending: bool) -> Result<(), CallError> {
        match self.rts.level(sending) {
            None => Ok(()),
            Some(level) => self.stream.set_rts(level).map_err(|e| CallError::Lost(format!("request-to-send: {e}"))),
        }
    }

    async fn send(&mut self, bytes: &[u8], until: Instant) -> Result<(), CallError> {
        // Not flushed: on a serial line that would block the thread until the last bit has left.
        match timeout_at(until, self.stream.write_all(bytes)).await {
            // A part of the question may have gone out: nothing sensible can follow it.
            Err(_) => return Err(CallError::Lost("the question could not be sent in time".to_owned())),
            Ok(Err(e)) => return Err(CallError::Lost(in_words(&e))),
            Ok(Ok(())) => {}
        }
        self.last = Instant::now();
        Ok(())
    }

    /// Takes what comes next into the buffer; false when nothing came in time.
    async fn more(&mut self, until: Instant) -> Result<bool, CallError> {
        let mut chunk = [0; 512];
        match timeout_at(until, self.stream.read(&mut chunk)).await {
            Err(_) => Ok(false),
            Ok(Ok(0)) => Err(CallError::Lost(CLOSED.to_owned())),
            Ok(Ok(count)) => {
                self.last = Instant::now();
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Ok(Err(e)) => Err(CallError::Lost(in_words(&e))),
        }
    }
}

/// Answers kept in mind that may still come; more than a busy line can owe.
const OWED_MAX: usize = 64;

/// Reads at the same place whose answers have other lengths.
fn other_shapes(request: &Request) -> Vec<Request> {
    let Request::Read { area, start, count } = *request else { return Vec::new() };
    let (step, most) = if area.is_register() { (1, REGISTERS_MAX) } else { (8, BITS_MAX) };
    let counts = [count.saturating_sub(step), count + step, count + 2 * step, count.saturating_sub(2 * step)];
    let fits = |count: &u16| (1..=most).contains(count) && u32::from(start) + u32::from(*count) <= 65_536;
    counts.into_iter().filter(fits).map(|count| Request::Read { area, start, count }).collect()
}

/// An exception, by who speaks: a gateway for itself, or the device.
fn refused(code: u8) -> CallError {
    if OF_A_GATEWAY.contains(&code) { CallError::Unreachable(code) } else { CallError::Refused(code) }
}

/// The device, or what lies between, ended the connection.
const CLOSED: &str = "the device closed the connection";

/// A broken connection in words for a person.
fn in_words(e: &io::Error) -> String {
    match e.kind() {
        ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::NotConnected => CLOSED.to_owned(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
