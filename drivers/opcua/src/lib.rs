//! OPC UA client: subscribes a server's nodes into samples and carries commands out.
//!
//! Duties: resolve nodes by namespace uri anew in each session; one subscription per group, watched for silence; a
//! node that the server does not know makes its own tag bad and no other; the server's status and source time become
//! the sample's quality and time; write values in the node's own type, read them back, and say what became of each
//! command.
//!
//! One device is one task with a session of its own, so a dead server delays no other.
//!
//! | module | duty |
//! | --- | --- |
//! | `node` | node ids as people write them |
//! | `config` | what a site declares, and what cannot work |
//! | `part` | elements of arrays, fields of structures |
//! | `convert` | the one way between an OPC UA value and a sample |
//! | `security` | how the channel is protected, who we are, where passwords are |
//! | `pki`, `certificate`, `expiry` | whom we trust, what a certificate says, how long it lasts |
//! | `chain` | authorities, and what they revoked |
//! | `pki_server` | the same folder for our own server |
//! | `connect` | endpoint, identity, session |
//! | `feed` | notifications into samples |
//! | `write` | commands: converted, written, read back |
//! | `session` | the link: connect, serve, lose, reconnect |
//! | `subscribe` | a group's values: subscribed or read; nodes that go and come back |
//! | `browse` | what a server has, for a person |
//! | `lockstep` | the same conversion against values in memory, in virtual time |
//! | `link` | state of the link, its counters and reports |

mod browse;
mod capacity;
mod certificate;
mod chain;
mod config;
mod connect;
mod convert;
mod expiry;
mod feed;
pub mod limits;
mod link;
mod lockstep;
mod node;
mod part;
mod pki;
mod pki_server;
mod security;
mod session;
mod subscribe;
mod write;

pub use browse::{BrowsedNode, Kind, Tree, Variable, browse};
pub use certificate::Certificate;
pub use config::{Deadband, DeviceConfig, Exception, Fetch, GroupConfig, PointConfig, WriteConfig};
pub use lockstep::{Lockstep, Nodes, Plain};
pub use node::{Namespace, NodeError, NodeRef, parse_node};
pub use part::Part;
pub use pki::{Entry, Make, Pki, PkiError, Place};
pub use pki_server::UserEntry;
pub use security::{Identity, Password, Security, SecurityPolicy};

use penstock_model::{Clock, Command, SampleSink};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Runs one device until `stop` becomes true (or its sender is gone): for ever connected or reconnecting.
///
/// Samples, outcomes and the state of the link go to `sink`. `commands` may be closed early; the device is then read
/// only. On stop, commands already given (the shutdown fallbacks) are still written if that takes no longer than
/// `config.timeout`, and the session is closed.
pub async fn run(
    config: DeviceConfig,
    sink: Arc<dyn SampleSink>,
    commands: mpsc::Receiver<Command>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) {
    session::Driver::new(config, sink, commands, clock, stop).run().await;
}
