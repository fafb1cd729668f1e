//! Modbus client: reads a device's points into samples and carries commands out.
//!
//! Duties: understand addresses, types and byte orders as people write them; read as few requests as the device
//! allows; keep a failed link, a refusal and nonsense apart; write before reading, read back what was written, and
//! say what became of each command.
//!
//! One channel, a TCP connection or a serial line, is one task; it serves the units on it in turn, and leaves the ones
//! that do not answer alone so far that the others notice little of them. Most devices have a channel of their own.
//!
//! | module | duty |
//! | --- | --- |
//! | `address`, `notation` | addresses as people and other products write them |
//! | `wire` | wire types and byte orders |
//! | `config` | what a site declares, and what cannot work |
//! | `codec` | the one way between registers and values |
//! | `plan` | points joined into requests |
//! | `line` | the way to a device: transport, timing, who shares it |
//! | `quirks` | what is peculiar to a kind of device |
//! | `pdu`, `frame` | questions and answers as bytes; the frames around them |
//! | `transport` | one question, one answer, or why not |
//! | `channel` | connect, whose turn it is, lose, connect again |
//! | `breaker` | what a unit that does not answer may cost |
//! | `unit` | what a unit has to do, one question at a time |
//! | `read`, `write` | one poll; one command; the heartbeat |
//! | `sunspec`, `discover` | points by model and name; the chain of models looked through |
//! | `load` | what the plan asks of each channel, and whether it can be met |
//! | `lockstep` | the same plan and codec against registers in memory, in virtual time |
//! | `link` | state of the link, its counters and reports |
//! | `visit`, `scan`, `interpret` | a person asks a unit: one point, what there is, what registers can mean |

mod address;
mod breaker;
mod channel;
mod codec;
mod config;
mod discover;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod interpret;
pub mod limits;
mod line;
mod link;
mod load;
mod lockstep;
mod notation;
mod pdu;
mod plan;
mod quirks;
mod read;
mod scan;
pub mod sunspec;
mod transport;
mod unit;
mod visit;
mod wire;
mod write;

pub use address::{Address, AddressError, Area, parse_address};
pub use channel::channels;
pub use config::{Beats, BeatsWhile, DeviceConfig, GroupConfig, Heartbeat, PointConfig, Points, WriteConfig};
pub use interpret::{Meaning, meaning, meanings};
pub use line::{ChannelConfig, Parity, Rts, SerialSettings, Transport};
pub use load::{ChannelLoad, Dead, PlannedRequest, load};
pub use lockstep::{Lockstep, Registers};
pub use notation::{Place, parse_place};
pub use plan::{Plan, ReadRequest};
pub use quirks::{Quirks, WriteWith};
pub use scan::{AreaMap, ScanLimits, Sign, UnitSeen, scan_areas, scan_units};
pub use visit::{AskError, AskFault, PointReading, Raw, Visit, Written};
pub use wire::{ByteOrder, WireError, WireType};

use penstock_model::{Clock, Command, SampleSink};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A device of a channel, and where its commands come from.
#[derive(Debug)]
pub struct Member {
    /// The device.
    pub config: DeviceConfig,
    /// Its commands; may be closed early, the device is then read only.
    pub commands: mpsc::Receiver<Command>,
}

/// Runs a device that has a channel of its own, until `stop` becomes true (or its sender is gone): see [`run_channel`].
pub async fn run(
    config: DeviceConfig,
    sink: Arc<dyn SampleSink>,
    commands: mpsc::Receiver<Command>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) {
    run_channel(vec![Member { config, commands }], sink, clock, stop).await;
}

/// Runs the devices of one channel until `stop` becomes true (or its sender is gone): for ever connected or
/// reconnecting. The first device says where the channel is; see [`channels`] for who belongs together.
///
/// Samples, outcomes and the states of the links go to `sink`. On stop, commands already given (the shutdown fallbacks)
/// are still written if that takes no longer than the longest time-out.
pub async fn run_channel(
    members: Vec<Member>,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) {
    let unit = |m: Member| unit::Unit::new(m.config, sink.clone(), m.commands, clock.clone());
    channel::Channel::new(members.into_iter().map(unit).collect(), stop).run().await;
}
