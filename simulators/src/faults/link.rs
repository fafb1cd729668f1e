//! What the faults of a device's link add up to.

use super::{Fault, Injection, LinkFault};

/// A fault of frames with a CRC is aimed at a device that is on no serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`bad-crc` does not concern {device}: Modbus TCP has no CRC and the device is on no serial line (`--serial {device}=<link>`)"
)]
pub struct NoSerialLine {
    /// The device.
    pub device: &'static str,
}

impl Injection {
    /// Checks that a fault of serial frames is aimed at one of the devices on a serial line.
    ///
    /// # Errors
    /// [`NoSerialLine`] when it is not.
    pub fn fits(&self, on_serial: &[&str]) -> Result<(), NoSerialLine> {
        match self.fault {
            Fault::Link { device, fault: LinkFault::BadCrc, .. } if !on_serial.contains(&device) => {
                Err(NoSerialLine { device })
            }
            _ => Ok(()),
        }
    }
}

/// Certificate an OPC UA device shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Its own.
    #[default]
    Own,
    /// One that is not valid any more.
    Expired,
    /// One nobody has seen before.
    New,
}

/// State of the link to one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkState {
    /// Connections are closed as soon as they are open.
    pub dropped: bool,
    /// Nobody listens.
    pub refused: bool,
    /// The port itself is gone, not only the device behind it: the adapter of a serial line is unplugged.
    pub unplugged: bool,
    /// Seconds the device's clock is ahead.
    pub skew_s: f64,
    /// The device restarts: it has forgotten its clients.
    pub restarting: bool,
    /// A new program is loaded into it.
    pub downloading: bool,
    /// The certificate it shows.
    pub certificate: Certificate,
    rules: Vec<(Option<u8>, LinkFault)>,
}

/// What happens to a request for one unit and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Treatment {
    /// No answer.
    pub mute: bool,
    /// The answer is held back, ms.
    pub delay_ms: f64,
    /// And by a random time up to this, ms.
    pub jitter_ms: f64,
    /// The request is refused with this code.
    pub exception: Option<u8>,
    /// The answer carries an old transaction identifier.
    pub stale: bool,
    /// The answer is cut.
    pub short: bool,
    /// The answer's CRC is wrong.
    pub bad_crc: bool,
    /// Bytes that belong to no frame stand before the answer.
    pub garbage: bool,
    /// The answer carries the number of another unit.
    pub wrong_unit: bool,
    /// The request comes back before the answer.
    pub echo: bool,
    /// Pause the unit needs after its last answer, ms; it refuses what comes sooner.
    pub busy_ms: f64,
}

impl LinkState {
    /// The sum of those of `faults` that concern `device`.
    pub(crate) fn of<'a>(device: &str, faults: impl IntoIterator<Item = &'a Fault>) -> LinkState {
        let mut state = LinkState::default();
        for fault in faults {
            let Fault::Link { device: target, unit, fault } = fault else { continue };
            if *target != device {
                continue;
            }
            match fault {
                LinkFault::Drop => state.dropped = true,
                LinkFault::Refuse => (state.refused, state.unplugged) = (true, true),
                LinkFault::Restart { .. } => (state.refused, state.restarting) = (true, true),
                LinkFault::CertExpired => state.certificate = Certificate::Expired,
                LinkFault::NewCertificate => state.certificate = Certificate::New,
                LinkFault::Download => state.downloading = true,
                LinkFault::Skew { s } => state.skew_s += s,
                other => state.rules.push((*unit, *other)),
            }
        }
        state
    }

    /// No connection may live.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.dropped || self.refused
    }

    /// Whether a unit lays its 32-bit values in the other order.
    #[must_use]
    pub(crate) fn words_turned(&self, unit: u8) -> bool {
        self.rules.iter().any(|(of, fault)| *fault == LinkFault::WordSwap && of.is_none_or(|of| of == unit))
    }

    /// What happens to a unit; `None` is a link without units.
    #[must_use]
    pub fn treatment(&self, unit: Option<u8>) -> Treatment {
        let mut sum = Treatment::default();
        for (of, fault) in &self.rules {
            if of.is_some() && *of != unit {
                continue;
            }
            match fault {
                LinkFault::Mute => sum.mute = true,
                LinkFault::Delay { ms } => sum.delay_ms += ms,
                LinkFault::Jitter { ms } => sum.jitter_ms += ms,
                LinkFault::Exception { code } => sum.exception = Some(*code),
                LinkFault::Stale => sum.stale = true,
                LinkFault::Short => sum.short = true,
                LinkFault::BadCrc => sum.bad_crc = true,
                LinkFault::Garbage => sum.garbage = true,
                LinkFault::WrongUnit => sum.wrong_unit = true,
                LinkFault::Echo => sum.echo = true,
                LinkFault::Busy { ms } => sum.busy_ms = sum.busy_ms.max(*ms),
                // The others concern the device as a whole.
                _ => {}
            }
        }
        sum
    }
}
