//! The fault menu: what can go wrong with links, instruments and machines, and the list of what is wrong now.
//!
//! | kind | acts on | its clock |
//! | --- | --- | --- |
//! | [`LinkFault`] | bytes between a device and its clients | real time |
//! | [`SensorFault`] | what an instrument makes of the truth | plant time |
//! | [`MachineFault`] | valves, pumps, blowers, mains | plant time |
//!
//! Durations follow the clock of the kind: a delayed answer is delayed for a client, a drifting probe drifts in its tank.

mod act;
mod book;
mod link;
mod parse;
mod targets;

pub use act::Quantity;
pub use book::{ActiveFault, FAULTS_MAX, FaultBook, FaultsFull};
pub use link::{Certificate, LinkState, NoSerialLine, Treatment};
pub(crate) use parse::duration;
pub use parse::{MENU, MenuEntry, ParseError};
#[cfg(test)]
pub(crate) use targets::QUANTITIES;
pub(crate) use targets::nearest;

use std::fmt;

use crate::plant::Feeder;

/// One fault and its target.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Of the link to a device, or to one unit of it.
    Link {
        /// Device socket name.
        device: &'static str,
        /// Modbus unit; all of the device where absent.
        unit: Option<u8>,
        /// What is wrong.
        fault: LinkFault,
    },
    /// Of one instrument.
    Sensor {
        /// Tag of the measured quantity.
        tag: &'static str,
        /// What is wrong.
        fault: SensorFault,
    },
    /// Of a machine or the mains.
    Machine(MachineFault),
}

/// What can be wrong with a link. Times in ms of real time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkFault {
    /// Connections are closed, new ones at once.
    Drop,
    /// Nobody listens on the port.
    Refuse,
    /// Every answer comes so much later.
    Delay {
        /// Milliseconds.
        ms: f64,
    },
    /// Every answer comes later by a random time.
    Jitter {
        /// Most milliseconds.
        ms: f64,
    },
    /// No answer, the connection stays open.
    Mute,
    /// Every request is refused.
    Exception {
        /// Modbus exception code.
        code: u8,
    },
    /// Answers carry the transaction identifier of an earlier request.
    Stale,
    /// Answers end in the middle.
    Short,
    /// The device restarts: registers at their power-on values, port closed meanwhile.
    Restart {
        /// Seconds until it listens again.
        after_s: f64,
    },
    /// The clock of the device is wrong: source times of OPC UA values.
    Skew {
        /// Seconds ahead of UTC.
        s: f64,
    },
    /// Answers on a serial line carry a wrong CRC.
    BadCrc,
    /// Bytes that belong to no frame stand before every answer.
    Garbage,
    /// The device lays its 32-bit values into register pairs in the other order.
    WordSwap,
    /// Answers carry the number of another unit.
    WrongUnit,
    /// Every request comes back before its answer.
    Echo,
    /// A request that comes sooner than this after the last answer of its unit is refused as busy.
    Busy {
        /// Milliseconds of pause the device needs.
        ms: f64,
    },
    /// Shows an expired certificate; OPC UA.
    CertExpired,
    /// Shows a certificate nobody has seen before, as after a replacement of the device; OPC UA.
    NewCertificate,
    /// A new program is loaded: its nodes are gone meanwhile, and have another namespace index afterwards; OPC UA.
    Download,
}

/// What can be wrong with an instrument. Values in the unit of the quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SensorFault {
    /// Shows one value.
    Stuck {
        /// That value; the one it shows when the fault begins where absent.
        at: Option<f64>,
    },
    /// Goes off by so much every hour of plant time.
    Drift {
        /// Per hour.
        per_h: f64,
    },
    /// Is off by so much.
    Bias {
        /// Added to the value.
        by: f64,
    },
    /// Shows additional white noise.
    Noise {
        /// Standard deviation.
        sigma: f64,
    },
    /// Shows short spikes at random times.
    Spike {
        /// Added to the value.
        by: f64,
        /// Mean plant time between spikes, s.
        every_s: f64,
    },
    /// Shows a value beyond its range, as a broken loop does.
    OutOfRange {
        /// Above the range, or below it.
        high: bool,
    },
    /// Is off by a factor.
    Gain {
        /// Multiplies the value.
        factor: f64,
    },
    /// A person has taken it out of service: it holds its value and says so.
    Maintenance,
    /// It is calibrated: it holds its value and says so; what a drift has made of it is gone afterwards.
    Calibrate,
    /// Its reagents run low: the status word says so, the value stays good.
    ReagentLow,
}

/// Pumps that can trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pump {
    /// Polyaluminium chloride.
    Pac,
    /// Sodium acetate.
    Carbon,
    /// Hypochlorite.
    Naclo,
    /// Internal recycle.
    Recycle,
    /// Return sludge.
    Ras,
}

/// An actuator of the benchmark, or a row of them: `kla` is all of `kla1` to `kla5`. Pumps of the works are called alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actuator(pub(crate) &'static str);

impl Actuator {
    /// Whether it is, or contains, the handle of that name.
    #[must_use]
    pub fn moves(&self, handle: &str) -> bool {
        handle.strip_prefix(self.0).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
    }
}

impl fmt::Display for Actuator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What can be wrong with an actuator of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ActuatorFault {
    /// Stays at what it gave when the fault began.
    Stuck,
    /// Gives no more than this, in its own unit.
    Cap {
        /// Greatest value.
        max: f64,
    },
    /// Gives this share of its command.
    Gain {
        /// Multiplies the command.
        factor: f64,
    },
}

/// A property of a plant that no one measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantPart {
    /// Oxygen transfer in sewage over that in clean water.
    Alpha,
    /// Growth rates of heterotrophs and nitrifiers.
    Growth,
    /// Metal that precipitates of what is dosed.
    Efficacy,
    /// Dissolved phosphate of the sewage.
    Phosphate,
    /// Available chlorine in a litre of hypochlorite: it loses it in the tank.
    Hypochlorite,
}

/// What can be wrong with machines and mains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MachineFault {
    /// An energy meter is replaced by a new one: its registers begin at 0.
    MeterReset(Feeder),
    /// The import register of a meter shows a reading from now on, such as one just before its rollover.
    MeterPreset {
        /// Which meter.
        feeder: Feeder,
        /// The reading, kWh.
        kwh: f64,
    },
    /// An actuator of the benchmark.
    Actuator {
        /// Which.
        actuator: Actuator,
        /// What is wrong.
        fault: ActuatorFault,
    },
    /// The plant is not what it was laid out for.
    Plant {
        /// What of it.
        part: PlantPart,
        /// Multiplies it.
        factor: f64,
    },
    /// A zone valve does not obey.
    ValveStuck {
        /// 0 to 2 for the zones 3 to 5.
        zone: usize,
        /// Position it goes to, %; stays where it is where absent.
        at: Option<f64>,
    },
    /// A pump stands.
    PumpTrip(Pump),
    /// A blower trips and cannot be reset.
    BlowerTrip {
        /// 0 to 2 for the blowers 1 to 3.
        blower: usize,
    },
    /// Voltage so low that contactors drop.
    PowerDip,
    /// No voltage.
    PowerCut,
}

/// A fault with how long it lasts: what the text `stuck aer/z5/nh4 0.5 for 30min` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The fault.
    pub fault: Fault,
    /// Seconds of its clock; until cleared where absent.
    pub for_s: Option<f64>,
}

impl Fault {
    /// Whether its durations count real time.
    #[must_use]
    pub fn in_real_time(&self) -> bool {
        matches!(self, Fault::Link { .. })
    }
}

/// The text it is parsed from, in its normal form.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Link { device, unit, fault } => {
                let target = unit.map_or_else(|| (*device).to_owned(), |unit| format!("{device}/{unit}"));
                match fault {
                    LinkFault::Drop => write!(f, "drop {target}"),
                    LinkFault::Refuse => write!(f, "refuse {target}"),
                    LinkFault::Delay { ms } => write!(f, "delay {target} {ms}ms"),
                    LinkFault::Jitter { ms } => write!(f, "jitter {target} {ms}ms"),
                    LinkFault::Mute => write!(f, "mute {target}"),
                    LinkFault::Exception { code } => write!(f, "exception {target} {code}"),
                    LinkFault::Stale => write!(f, "stale {target}"),
                    LinkFault::Short => write!(f, "short {target}"),
                    LinkFault::Restart { after_s } => write!(f, "restart {target} {after_s}s"),
                    LinkFault::Skew { s } => write!(f, "skew {target} {s}s"),
                    LinkFault::BadCrc => write!(f, "bad-crc {target}"),
                    LinkFault::Garbage => write!(f, "garbage {target}"),
                    LinkFault::WordSwap => write!(f, "word-swap {target}"),
                    LinkFault::WrongUnit => write!(f, "wrong-unit {target}"),
                    LinkFault::Echo => write!(f, "echo {target}"),
                    LinkFault::Busy { ms } => write!(f, "busy {target} {ms}ms"),
                    LinkFault::CertExpired => write!(f, "cert-expired {target}"),
                    LinkFault::NewCertificate => write!(f, "new-certificate {target}"),
                    LinkFault::Download => write!(f, "download {target}"),
                }
            }
            Fault::Sensor { tag, fault } => match fault {
                SensorFault::Stuck { at: None } => write!(f, "stuck {tag}"),
                SensorFault::Stuck { at: Some(at) } => write!(f, "stuck {tag} {at}"),
                SensorFault::Drift { per_h } => write!(f, "drift {tag} {per_h}"),
                SensorFault::Bias { by } => write!(f, "bias {tag} {by}"),
                SensorFault::Noise { sigma } => write!(f, "noise {tag} {sigma}"),
                SensorFault::Spike { by, every_s } => write!(f, "spike {tag} {by} {every_s}s"),
                SensorFault::OutOfRange { high: true } => write!(f, "range {tag} high"),
                SensorFault::OutOfRange { high: false } => write!(f, "range {tag} low"),
                SensorFault::Gain { factor } => write!(f, "gain {tag} {factor}"),
                SensorFault::Maintenance => write!(f, "maintenance {tag}"),
                SensorFault::Calibrate => write!(f, "calibrate {tag}"),
                SensorFault::ReagentLow => write!(f, "reagent-low {tag}"),
            },
            Fault::Machine(fault) => match fault {
                MachineFault::MeterReset(feeder) => write!(f, "meter-reset {}", targets::meter_name(*feeder)),
                MachineFault::MeterPreset { feeder, kwh } => {
                    write!(f, "meter-preset {} {kwh}", targets::meter_name(*feeder))
                }
                MachineFault::Actuator { actuator, fault } => match fault {
                    ActuatorFault::Stuck => write!(f, "actuator-stuck {actuator}"),
                    ActuatorFault::Cap { max } => write!(f, "actuator-cap {actuator} {max}"),
                    ActuatorFault::Gain { factor } => write!(f, "actuator-gain {actuator} {factor}"),
                },
                MachineFault::Plant { part, factor } => write!(f, "plant {} {factor}", targets::part_name(*part)),
                MachineFault::ValveStuck { zone, at: None } => write!(f, "valve-stuck z{}", zone + 3),
                MachineFault::ValveStuck { zone, at: Some(at) } => write!(f, "valve-stuck z{} {at}", zone + 3),
                MachineFault::PumpTrip(pump) => write!(f, "pump-trip {}", targets::pump_name(*pump)),
                MachineFault::BlowerTrip { blower } => write!(f, "blower-trip b{}", blower + 1),
                MachineFault::PowerDip => write!(f, "power-dip"),
                MachineFault::PowerCut => write!(f, "power-cut"),
            },
        }
    }
}

/// The text it is parsed from, in its normal form.
impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        self.for_s.map_or(Ok(()), |s| write!(f, " for {s}s"))
    }
}
