//! Changing the configuration of a running site: what differs, what of it can be applied, what was applied before.
//!
//! The way of a change: folder → check → difference → engine's prepared change → next scan of every task → probation. The
//! command line finds the running process by the socket in the state folder ([`client`]); the process itself reads the
//! folder again, checks it again and carries it out ([`control`], [`live`]).

mod align;
pub(crate) mod applied;
pub mod client;
pub(crate) mod control;
mod diff;
mod diff_parts;
pub(crate) mod hand;
pub(crate) mod history;
mod line;
mod live;
mod started;
mod words;

pub use diff::{Difference, differences};
pub use words::Words;
