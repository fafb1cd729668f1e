//! OPC UA server: the plant's tags, alarms and history for foreign systems, and their writes as claims of persons.
//!
//! Duties: nodes for tags and areas; values with quality and both times; conditions of alarms; history; who may come in
//! and what they may do, bounded everywhere. It reads tags like a screen and hands on what persons wish: [`Plant`] is all
//! it knows of the runtime. The library's server stands behind a gate of ours, because it takes any length for granted
//! before it knows who is there.
//!
//! | module | duty |
//! | --- | --- |
//! | `convert`, `units` | samples and units as OPC UA has them |
//! | `space` | the nodes: areas, tags, properties, conditions |
//! | `access` | endpoints, log-in, rights |
//! | `nodes` | read, write, subscribe and history of our nodes |
//! | `core` | the standard's own nodes, with the methods of conditions |
//! | `watch`, `feed` | who is told of which value, and when |
//! | `alarms`, `event`, `types` | conditions as they stand, their events, and the fields of these |
//! | `history` | pages of history with bounds and continuation |
//! | `gate`, `hail` | the public port, and whose certificate opens a channel |
//! | `serve` | life of the server |

mod access;
mod alarms;
mod convert;
mod core;
mod event;
mod feed;
mod gate;
mod hail;
mod history;
pub mod limits;
#[cfg(test)]
mod mock;
mod nodes;
mod serve;
mod space;
mod types;
mod units;
mod watch;

pub use serve::run;

use penstock_model::{AlarmDef, AlarmEvent, AlarmId, AlarmView, Quality, Role, Sample, TagId, TagSample, TagTable};
use penstock_model::{Utc, Value};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Which algorithms protect a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Basic256Sha256.
    Basic256Sha256,
    /// Aes128_Sha256_RsaOaep.
    Aes128Sha256RsaOaep,
    /// Aes256_Sha256_RsaPss.
    Aes256Sha256RsaPss,
}

/// A protection that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// None at all: everybody on the network reads what is sent.
    None,
    /// Signed: what is sent can be read, and not changed.
    Sign(Policy),
    /// Signed and encrypted.
    SignAndEncrypt(Policy),
}

/// Languages of names and messages. The library keeps one text, whatever a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Texts {
    /// `English / 中文`.
    #[default]
    Both,
    /// Chinese.
    Chinese,
    /// English.
    English,
}

/// What the server runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Host name that clients are told to come to.
    pub host: String,
    /// Name of the application, as clients show it.
    pub name: String,
    /// Namespace of the nodes.
    pub namespace: String,
    /// What is offered; empty offers nothing.
    pub security: Vec<Security>,
    /// Clients without an identity may read.
    pub anonymous: bool,
    /// Connections at once; at most [`limits::CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// Sessions at once; at most [`limits::SESSIONS_MAX`].
    pub sessions_max: usize,
    /// Languages of names and messages.
    pub texts: Texts,
    /// The tags that have a node.
    pub tags: Vec<TagId>,
    /// Those of them that persons may write, by their rights.
    pub writable: Vec<TagId>,
}

/// Who the server is: made by the runtime, not by a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Folder with `trusted/` and `rejected/` that the library looks into: whom [`Plant::admit`] has let in lies there.
    pub pki_dir: PathBuf,
    /// Its certificate, relative to `pki_dir`.
    pub certificate: PathBuf,
    /// The certificate's key, relative to `pki_dir`.
    pub key: PathBuf,
    /// The application that the certificate names.
    pub application_uri: String,
}

/// A person who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// User name.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
}

/// Why a write or an acknowledgement was not done, for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The person may not.
    Denied,
    /// Outside the limits.
    Range,
    /// Not of the tag's type.
    Type,
    /// Nobody writes that.
    ReadOnly,
    /// Not as things stand: a lock, a mode, a permissive.
    State,
    /// Too much waits.
    Busy,
    /// The record of actions cannot be written, so nothing was done.
    Record,
}

/// A stored sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When.
    pub utc: Utc,
    /// Its value.
    pub value: Option<Value>,
    /// How far it may be trusted.
    pub quality: Quality,
}

/// What happened within an interval of history; see the historian's bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Start of the interval.
    pub from: Utc,
    /// First, last, smallest, largest, mean of the numbers that are not bad.
    pub first: Option<f64>,
    /// See `first`.
    pub last: Option<f64>,
    /// See `first`.
    pub min: Option<f64>,
    /// See `first`.
    pub max: Option<f64>,
    /// See `first`.
    pub mean: Option<f64>,
    /// Points, with and without a number.
    pub count: u32,
    /// Worst quality of all.
    pub worst: Quality,
}

/// How the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// It listens.
    pub listening: bool,
    /// Connections now.
    pub connections: usize,
    /// Connections turned away since the start.
    pub turned_away: u64,
    /// Value and event items now.
    pub items: usize,
    /// Writes and acknowledgements done since the start.
    pub done: u64,
    /// Writes and acknowledgements refused since the start.
    pub refused: u64,
    /// Log-ins refused since the start.
    pub logins_refused: u64,
    /// Events lost for clients that did not take them.
    pub events_lost: u64,
}

/// The runtime as the server sees it. Calls marked so may wait for a disk or compute for long and are made on threads
/// for that; no other call may block.
pub trait Plant: Send + Sync + 'static {
    /// Every tag as it is declared now.
    fn tags(&self) -> Arc<TagTable>;
    /// A tag as it stands.
    fn read(&self, tag: TagId) -> Sample;
    /// Tags that changed since `version` (0: all), and the version to ask with next.
    fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>);
    /// The declared alarms.
    fn alarm_defs(&self) -> Vec<AlarmDef>;
    /// Every alarm as it stands, in the order of the ids.
    fn alarms(&self) -> Vec<AlarmView>;
    /// Changes of alarms since this was last asked, in their order; at most some thousands are kept.
    fn alarm_events(&self) -> Vec<AlarmEvent>;
    /// The person of a log-in's token, with the rights they have now; `None` once they are gone or have another password.
    fn person(&self, token: &str) -> Option<Person>;
    /// Checks a name and a password and gives the token of the log-in. `None` where it is refused. May block.
    fn log_in(&self, name: &str, password: &str) -> Option<String>;
    /// Gives the token of a log-in by a certificate whose key the client has proved to hold; the thumbprint is in lower-case
    /// hexadecimal. `None` where it is nobody's. May block.
    fn log_in_by_certificate(&self, thumbprint: &str) -> Option<String>;
    /// Whether a client with this certificate, as it came, may open a channel. May block.
    ///
    /// # Errors
    /// Why not, in words for the log.
    fn admit(&self, certificate: &[u8]) -> Result<(), String>;
    /// Carries a write out, or a release where there is no value. May block.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    fn write(&self, person: &Person, tag: TagId, value: Option<Value>) -> Result<(), Refused>;
    /// Tells of a write that was refused here already. May block.
    fn write_refused(&self, person: Option<&Person>, path: &str, why: &str);
    /// Acknowledges an alarm with a comment, which may be empty. False where there is nothing to acknowledge. May block.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    fn acknowledge(&self, person: &Person, alarm: AlarmId, comment: &str) -> Result<bool, Refused>;
    /// Records a comment on an alarm. May block.
    ///
    /// # Errors
    /// Why not.
    fn comment(&self, person: &Person, alarm: AlarmId, comment: &str) -> Result<(), Refused>;
    /// Stored points of a tag with `from <= utc < to`, at most `max`: the first ones, or the last ones in falling order of
    /// time where `backwards`. May block.
    ///
    /// # Errors
    /// When the store fails, in words for the log. A tag without history has no points.
    fn points(&self, tag: TagId, from: Utc, to: Utc, max: usize, backwards: bool) -> Result<Vec<Point>, String>;
    /// The last stored point before a time. May block.
    ///
    /// # Errors
    /// As [`Plant::points`].
    fn point_before(&self, tag: TagId, at: Utc) -> Result<Option<Point>, String>;
    /// A range in so many intervals of equal length; those without points are absent. May block.
    ///
    /// # Errors
    /// As [`Plant::points`].
    fn intervals(&self, tag: TagId, from: Utc, to: Utc, count: usize) -> Result<Vec<Interval>, String>;
    /// About once a second, and when something ends: how the server stands.
    fn status(&self, status: &Status);
    /// Called every second on a thread that may wait: certificates of strangers have to be kept within a bound.
    fn housekeeping(&self) {}
}
