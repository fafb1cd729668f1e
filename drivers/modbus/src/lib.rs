//! Modbus client: reads a device's points into samples and carries commands out.
//!
//! Duties: understand addresses, types and byte orders as people write them; read as few requests as the device
//! allows; keep a failed link, a refusal and nonsense apart; write before reading, read back what was written, and
//! say what became of each command.
//!
//! One device is one task with a connection of its own, so a dead device delays no other.
//!
//! | module | duty |
//! | --- | --- |
//! | `address` | notations of an address |
//! | `wire` | wire types and byte orders |
//! | `config` | what a site declares, and what cannot work |
//! | `codec` | the one way between registers and values |
//! | `plan` | points joined into requests |
//! | `transport` | one request, one answer, or why not |
//! | `commands` | last command per point, and what became of it |
//! | `session` | the link: connect, serve, lose, reconnect |
//! | `read`, `write` | one poll; one command; the heartbeat |
//! | `lockstep` | the same plan and codec against registers in memory, in virtual time |
//! | `link` | state of the link, its counters and reports |

mod address;
mod codec;
mod commands;
mod config;
pub mod limits;
mod link;
mod lockstep;
mod plan;
mod read;
mod session;
mod transport;
mod wire;
mod write;

pub use address::{Address, AddressError, Area, parse_address};
pub use config::{Beats, BeatsWhile, DeviceConfig, GroupConfig, Heartbeat, PointConfig, WriteConfig};
pub use lockstep::{Lockstep, Registers};
pub use plan::{Plan, ReadRequest};
pub use wire::{ByteOrder, WireError, WireType};

use penstock_model::{Clock, Command, SampleSink};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Runs one device until `stop` becomes true (or its sender is gone): for ever connected or reconnecting.
///
/// Samples, outcomes and the state of the link go to `sink`. `commands` may be closed early; the device is then read
/// only. On stop, commands already given (the shutdown fallbacks) are still written if that takes no longer than
/// `config.timeout`.
pub async fn run(
    config: DeviceConfig,
    sink: Arc<dyn SampleSink>,
    commands: mpsc::Receiver<Command>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) {
    session::Session::new(config, sink, commands, clock, stop).run().await;
}
