//! One request, one answer, or why not.
//!
//! A channel that missed an answer is gone: whatever arrives later belongs to a question nobody asks any more, and
//! must never be taken for the answer to the next one. So the connection is dropped after any time-out, after any
//! broken frame, and when a call is abandoned half-way.
//!
//! Everything above this module is the same for TCP and for serial lines; a serial line will be one more [`Endpoint`].

use crate::address::Area;
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::{Error, ExceptionCode, ProtocolError, Request as Frame, Response, Slave};

/// Where a device is reached.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// Modbus TCP at `host:port`.
    Tcp(String),
}

/// What is asked of a device. Functions 1 to 6, 15 and 16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Functions 1 to 4, by area.
    Read { area: Area, start: u16, count: u16 },
    /// Function 5, or 15 with one coil where the device does not know 5.
    WriteCoil { at: u16, on: bool, plural: bool },
    /// Function 6 for one register, 16 for more; 16 for one where the device does not know 6.
    WriteWords { at: u16, words: Vec<u16>, plural: bool },
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Bits(Vec<bool>),
    Words(Vec<u16>),
    Written,
}

/// What came back instead. The four are never mixed: they lead to different qualities and different actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The device answered, and refused.
    Refused(u8),
    /// The gateway answered that it cannot reach the device behind it. The connection to the gateway stays.
    Unreachable(u8),
    /// The device answered with something else than was asked. The connection stays.
    Nonsense(String),
    /// No answer: the connection is gone.
    Lost(String),
}

/// Exception code "illegal function".
pub(crate) const ILLEGAL_FUNCTION: u8 = 1;
/// Exception codes that mean "not with these registers": address, value.
pub(crate) const ILLEGAL_PLACES: [u8; 2] = [2, 3];

/// An exception code in words.
pub(crate) fn refusal(code: u8) -> String {
    let word = match code {
        1 => "illegal function",
        2 => "illegal data address; datasheets count from 0 or from 1, try one lower or one higher",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledged, still working",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway has no path to this unit",
        11 => "the unit behind the gateway does not answer",
        _ => "unknown reason",
    };
    format!("exception {code}: {word}")
}

/// A connection to one unit.
pub(crate) struct Channel {
    context: Option<Context>,
}

impl Endpoint {
    /// Opens a connection to a unit.
    pub(crate) async fn connect(&self, unit: u8, timeout: Duration) -> Result<Channel, String> {
        match self {
            Self::Tcp(address) => {
                let stream = tokio::time::timeout(timeout, TcpStream::connect(address.as_str()))
                    .await
                    .map_err(|_| format!("{address} does not answer a connection within {timeout:?}"))?
                    .map_err(|e| format!("{address}: {}", in_words(&e)))?;
                // A request is a handful of bytes: waiting to fill a packet would add 40 ms to every poll.
                stream.set_nodelay(true).map_err(|e| format!("{address}: {}", in_words(&e)))?;
                Ok(Channel { context: Some(tcp::attach_slave(stream, Slave(unit))) })
            }
        }
    }
}

impl Channel {
    /// False once the connection is gone.
    pub(crate) fn is_alive(&self) -> bool {
        self.context.is_some()
    }

    /// Asks and waits for the answer. Abandoning this future closes the connection.
    pub(crate) async fn call(&mut self, request: &Request, timeout: Duration) -> Result<Answer, CallError> {
        // Taken out for the time of the call: only a clean answer puts it back.
        let Some(mut context) = self.context.take() else {
            return Err(CallError::Lost("not connected".to_owned()));
        };
        let result = match tokio::time::timeout(timeout, context.call(frame(request))).await {
            Err(_) => return Err(CallError::Lost(format!("no answer within {timeout:?}"))),
            Ok(Err(e)) => return Err(CallError::Lost(lost_in_words(&e))),
            Ok(Ok(result)) => result,
        };
        self.context = Some(context);
        match result {
            Ok(response) => answer(request, response),
            Err(e @ (ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice)) => {
                Err(CallError::Unreachable(e.into()))
            }
            Err(e) => Err(CallError::Refused(e.into())),
        }
    }
}

fn frame(request: &Request) -> Frame<'_> {
    match request {
        Request::Read { area, start, count } => match area {
            Area::Coil => Frame::ReadCoils(*start, *count),
            Area::Discrete => Frame::ReadDiscreteInputs(*start, *count),
            Area::Input => Frame::ReadInputRegisters(*start, *count),
            Area::Holding => Frame::ReadHoldingRegisters(*start, *count),
        },
        Request::WriteCoil { at, on, plural: false } => Frame::WriteSingleCoil(*at, *on),
        Request::WriteCoil { at, on, plural: true } => Frame::WriteMultipleCoils(*at, Cow::Owned(vec![*on])),
        Request::WriteWords { at, words, plural } => match (words.as_slice(), plural) {
            ([word], false) => Frame::WriteSingleRegister(*at, *word),
            _ => Frame::WriteMultipleRegisters(*at, Cow::Borrowed(words)),
        },
    }
}

/// Checks that the answer is the one asked for, down to its length.
fn answer(request: &Request, response: Response) -> Result<Answer, CallError> {
    let wanted = match request {
        Request::Read { count, .. } => usize::from(*count),
        _ => 0,
    };
    match response {
        // Bits come in whole bytes; the places beyond the last one asked for are padding.
        Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits) if bits.len() >= wanted => {
            bits.truncate(wanted);
            Ok(Answer::Bits(bits))
        }
        Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words) if words.len() == wanted => {
            Ok(Answer::Words(words))
        }
        Response::WriteSingleCoil(..)
        | Response::WriteMultipleCoils(..)
        | Response::WriteSingleRegister(..)
        | Response::WriteMultipleRegisters(..) => Ok(Answer::Written),
        other => {
            let got = match &other {
                Response::ReadCoils(b) | Response::ReadDiscreteInputs(b) => format!("{} bits", b.len()),
                Response::ReadInputRegisters(w) | Response::ReadHoldingRegisters(w) => format!("{} registers", w.len()),
                _ => "another function".to_owned(),
            };
            Err(CallError::Nonsense(format!("asked for {wanted}, got {got}")))
        }
    }
}

/// A call without an answer in words for a person, short enough for a screen: what came instead may be a whole frame.
fn lost_in_words(e: &Error) -> String {
    match e {
        // The library reports a closed connection as whatever the thread failed with last, be it years ago.
        Error::Transport(e) if e.raw_os_error().is_some() && !NETWORK.contains(&e.kind()) => CLOSED.to_owned(),
        Error::Transport(e) => in_words(e),
        Error::Protocol(ProtocolError::HeaderMismatch { message, .. }) => {
            format!("an answer to another question: {message}")
        }
        Error::Protocol(ProtocolError::FunctionCodeMismatch { request, .. }) => {
            format!("an answer to another question: function {} was asked", request.value())
        }
    }
}

/// The device, or what lies between, ended the connection.
const CLOSED: &str = "the device closed the connection";
/// What the system really says of a connection that breaks.
const NETWORK: [ErrorKind; 8] = [
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::ConnectionRefused,
    ErrorKind::BrokenPipe,
    ErrorKind::TimedOut,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::NetworkDown,
];

/// A broken connection in words for a person.
fn in_words(e: &io::Error) -> String {
    match e.kind() {
        ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::NotConnected => {
            CLOSED.to_owned()
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput => format!("an answer that is not Modbus: {e}"),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_told_in_a_few_words() {
        // 115 is what an earlier, finished connect of the same thread left behind.
        for stale in [0, 2, 11, 115] {
            assert_eq!(lost_in_words(&io::Error::from_raw_os_error(stale).into()), CLOSED, "{stale}");
        }
        let unreachable = lost_in_words(&io::Error::from_raw_os_error(113).into());
        assert!(unreachable.to_lowercase().contains("no route"), "{unreachable}");
        let message = "transaction 2 instead of 1".to_owned();
        let result = Ok(Response::ReadHoldingRegisters(vec![0x55AA; 125]));
        let other = lost_in_words(&ProtocolError::HeaderMismatch { message, result }.into());
        assert_eq!(other, "an answer to another question: transaction 2 instead of 1");
    }
}
