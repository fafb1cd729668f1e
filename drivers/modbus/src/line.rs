//! The way to a device: which connection or serial line, shared with whom, and how long things take on it.

use crate::frame::{RTU_AROUND, TCP_HEADER};
use crate::limits::{
    ANSWER_TIME_LINE, ANSWER_TIME_TCP, BAUDS, DEAD_SHARE_DEFAULT, DEAD_SHARE_MAX, GAP_FAST, GAP_FAST_BAUD,
    TURNAROUND_LINE, TURNAROUND_TCP,
};
use crate::pdu::Request;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Parity of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parity {
    /// Even number of ones: what the standard asks of every device, and the default.
    #[default]
    Even,
    /// Odd number of ones.
    Odd,
    /// No parity bit.
    None,
}

impl Parity {
    /// All of them.
    pub const ALL: [Parity; 3] = [Self::Even, Self::Odd, Self::None];

    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Odd => "odd",
            Self::None => "none",
        }
    }
}

/// What the adapter's request-to-send does, for RS-485 converters that do not find the direction by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rts {
    /// Left alone: the adapter or the system's driver switches the direction.
    #[default]
    Auto,
    /// On while we send, off while we listen.
    Send,
    /// Off while we send, on while we listen.
    Listen,
}

impl Rts {
    /// All of them.
    pub const ALL: [Rts; 3] = [Self::Auto, Self::Send, Self::Listen];

    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Send => "send",
            Self::Listen => "listen",
        }
    }

    /// The level of the signal, where we set it at all.
    pub(crate) fn level(self, sending: bool) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Send => Some(sending),
            Self::Listen => Some(!sending),
        }
    }
}

/// How characters go over a serial line: eight data bits always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialSettings {
    /// Bits per second, 300 to 921 600.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits, 1 or 2; the standard wants 2 where there is no parity.
    pub stop_bits: u8,
    /// Direction of an RS-485 converter.
    pub rts: Rts,
    /// Our own bytes come back: a two-wire converter that listens while it sends.
    pub echo: bool,
}

impl Default for SerialSettings {
    /// 19 200 bits per second, even parity, one stop bit: the standard's own.
    fn default() -> Self {
        Self { baud: 19_200, parity: Parity::Even, stop_bits: 1, rts: Rts::Auto, echo: false }
    }
}

impl SerialSettings {
    /// Time of one character: start bit, eight data bits, parity, stop bits.
    #[must_use]
    pub fn character(&self) -> Duration {
        let bits = 9 + u32::from(self.parity != Parity::None) + u32::from(self.stop_bits);
        Duration::from_secs_f64(f64::from(bits) / f64::from(self.baud.max(1)))
    }

    /// Silence between frames: 3.5 characters, above 19 200 bits per second 1.75 ms (Modbus over Serial Line V1.02).
    #[must_use]
    pub fn gap(&self) -> Duration {
        if self.baud > GAP_FAST_BAUD { GAP_FAST } else { self.character().mul_f64(3.5) }
    }
}

impl fmt::Display for SerialSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::None => 'N',
        };
        write!(f, "{} 8{parity}{}", self.baud, self.stop_bits)
    }
}

/// How frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Modbus TCP.
    #[default]
    Tcp,
    /// Modbus RTU frames over a TCP connection: a serial device server.
    RtuOverTcp,
    /// Modbus RTU over a serial line of this machine.
    Serial(SerialSettings),
}

impl Transport {
    /// The word used in files and on screens.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp => "modbus-tcp",
            Self::RtuOverTcp => "modbus-rtu-tcp",
            Self::Serial(_) => "modbus-rtu",
        }
    }
}

/// A channel: one TCP connection or serial line, and what is agreed on it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelConfig {
    /// Devices that give the same name share one connection; `None` has one of its own.
    pub name: Option<Arc<str>>,
    /// How frames travel.
    pub transport: Transport,
    /// Silence kept between frames, beyond what the standard asks of a serial line; zero for most.
    pub pause: Duration,
    /// After an answer that did not come, the line must be silent for this long before the next question. `None` takes
    /// 100 ms on a serial line, 200 ms on RTU over TCP; Modbus TCP needs none.
    pub turnaround: Option<Duration>,
    /// Share of the channel's time, 0.001 to 0.5, that units which do not answer may take together while others do.
    pub dead_share: f64,
    /// How long a device thinks before it answers, for the plan alone. `None` takes 2 ms over TCP, 10 ms on a line.
    pub answer_time: Option<Duration>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            name: None,
            transport: Transport::Tcp,
            pause: Duration::ZERO,
            turnaround: None,
            dead_share: DEAD_SHARE_DEFAULT,
            answer_time: None,
        }
    }
}

impl ChannelConfig {
    /// Silence between frames.
    pub(crate) fn gap(&self) -> Duration {
        match &self.transport {
            Transport::Serial(serial) => serial.gap().max(self.pause),
            Transport::Tcp | Transport::RtuOverTcp => self.pause,
        }
    }

    /// Time of one character on the wire; nothing over TCP.
    pub(crate) fn character(&self) -> Duration {
        match &self.transport {
            Transport::Serial(serial) => serial.character(),
            Transport::Tcp | Transport::RtuOverTcp => Duration::ZERO,
        }
    }

    /// Silence demanded after an answer that did not come.
    pub(crate) fn silence(&self) -> Duration {
        self.turnaround.unwrap_or(match self.transport {
            Transport::Tcp => Duration::ZERO,
            Transport::RtuOverTcp => TURNAROUND_TCP,
            Transport::Serial(_) => TURNAROUND_LINE,
        })
    }

    /// Bytes of a question and of its answer, frames included.
    pub(crate) fn bytes(&self, request: &Request) -> usize {
        let around = if self.transport == Transport::Tcp { TCP_HEADER } else { RTU_AROUND };
        request.bytes().len() + request.answer_bytes() + 2 * around
    }

    /// What one question takes, answer and silence included, as far as can be known beforehand.
    pub(crate) fn expected(&self, request: &Request) -> Duration {
        let thinks = self.answer_time.unwrap_or(match self.transport {
            Transport::Serial(_) => ANSWER_TIME_LINE,
            Transport::Tcp | Transport::RtuOverTcp => ANSWER_TIME_TCP,
        });
        let bytes = u32::try_from(self.bytes(request)).unwrap_or(u32::MAX);
        self.character() * bytes + thinks + self.gap() * 2
    }

    /// What cannot work. `name` is the device's.
    pub(crate) fn check(&self, name: &str, address: &str) -> Vec<String> {
        let mut found = Vec::new();
        let host_port =
            || address.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok_and(|p| p > 0));
        match &self.transport {
            Transport::Tcp | Transport::RtuOverTcp if !host_port() => {
                found.push(format!("device `{name}`: address `{address}` is not host:port, for example 10.0.0.7:502"))
            }
            Transport::Serial(serial) => {
                if address.is_empty() {
                    found.push(format!("device `{name}`: address `` names no serial port, for example /dev/ttyUSB0"));
                }
                if !BAUDS.contains(&serial.baud) {
                    found.push(format!("device `{name}`: {} bits per second is outside 300..921600", serial.baud));
                }
                if !(1..=2).contains(&serial.stop_bits) {
                    found.push(format!("device `{name}`: {} stop bits; there are 1 and 2", serial.stop_bits));
                }
            }
            _ => {}
        }
        if !(0.001..=DEAD_SHARE_MAX).contains(&self.dead_share) {
            found.push(format!("device `{name}`: a dead share of {} % is outside 0.1..50 %", self.dead_share * 100.0));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Area;

    #[test]
    fn times_of_a_line_are_the_standards() {
        let slow = SerialSettings { baud: 9_600, parity: Parity::None, ..SerialSettings::default() };
        assert_eq!(slow.character(), Duration::from_secs_f64(10.0 / 9_600.0));
        assert_eq!(slow.gap(), slow.character().mul_f64(3.5));
        let fast = SerialSettings { baud: 115_200, ..slow };
        assert_eq!(fast.gap(), Duration::from_micros(1_750));
        assert_eq!(SerialSettings::default().to_string(), "19200 8E1");
        let channel = ChannelConfig { transport: Transport::Serial(slow), ..ChannelConfig::default() };
        let ask = Request::Read { area: Area::Input, start: 0, count: 12 };
        // 8 bytes out, 29 back, 10 ms of thinking, two silences.
        assert_eq!(channel.bytes(&ask), 37);
        let expected = slow.character() * 37 + Duration::from_millis(10) + slow.gap() * 2;
        assert_eq!(channel.expected(&ask), expected);
        assert_eq!(ChannelConfig::default().bytes(&ask), 45);
    }
}
