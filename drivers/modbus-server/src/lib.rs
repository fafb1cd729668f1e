//! Modbus TCP server: chosen tags as registers for a foreign control system, to be read and not to be written.
//!
//! Duties: answer functions 1 to 4 from the map, refuse every other with exception 1, bound the connections and close
//! silent ones, count up a heartbeat while control is alive. It reads tags like a screen; nothing here reaches a device.

pub mod limits;
mod map;
mod serve;

pub use map::{Bad, Form, Map, Point, Refused, WordOrder};
pub use serve::run;

use penstock_model::{Sample, TagId};
use std::net::SocketAddr;
use std::time::Duration;

/// What the server runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Connections at once; at most [`limits::CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// A connection without a request for this long is closed.
    pub idle: Duration,
    /// Register that counts up once a second while control is alive.
    pub heartbeat_at: Option<u16>,
    /// What stands where.
    pub points: Vec<Point>,
}

/// How the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// It listens.
    pub listening: bool,
    /// Connections now.
    pub connections: usize,
    /// Requests answered with values since the start.
    pub answered: u64,
    /// Requests answered with an exception since the start: writes, addresses of nothing.
    pub refused: u64,
    /// Connections turned away since the start.
    pub turned_away: u64,
}

/// Where the values come from. No call may block.
pub trait Source: Send + Sync {
    /// The tag as it stands.
    fn read(&self, tag: TagId) -> Sample;
    /// True while every task scans in time.
    fn alive(&self) -> bool;
    /// How the server stands, about once a second.
    fn status(&self, _status: &Status) {}
}
