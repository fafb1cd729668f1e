//! The words of Penstock: what flows from a device to an operator and back.
//!
//! Every other crate speaks in these types. This crate does no I/O, knows no async runtime, and its
//! types are deliberately not serialisable: files, sockets and stores each have types of their own
//! and convert at their edge.
//!
//! The way of a value: a driver decodes a [`Sample`] and hands it to a [`SampleSink`]; the engine latches
//! samples into an image, programs turn the image into [`Claim`]s, the arbiter grants a [`Command`], a
//! driver carries it out and answers with an [`Outcome`]. Whatever happened is published as [`Record`]s.

mod alarm;
mod claim;
mod command_book;
mod contract;
mod error;
pub mod limits;
mod object;
mod quality;
mod record;
mod sample;
mod tag;
mod text;
mod time;
mod unit;
mod value;
mod virtual_link;
mod write;

pub use alarm::{AlarmCondition, AlarmDef, AlarmEvent, AlarmId, AlarmPriority, AlarmState, AlarmView};
pub use claim::{
    Claim, ClaimError, Command, CommandId, Fallback, FallbackAction, FallbackCause, Origin, Outcome, OutcomeState,
    Priority, Wish,
};
pub use command_book::{CommandBook, CommandNews, DueCheck};
pub use contract::{CommandSink, Liveness, QueueFull, RecordSink, SampleSink};
pub use error::with_causes;
pub use object::{Cause, HoldTimes, MaintenanceLock, Mode, ObjectEvent, ObjectEventKind, OfferedMode, OrderError};
pub use quality::{BadReason, Quality, UncertainReason};
pub use record::{FaultRecord, LinkRecord, LinkState, Record, ScanRecord, TagSample};
pub use sample::Sample;
pub use tag::{
    Category, DeviceId, EntryDef, LogPolicy, OutputDef, Role, SettleDef, Source, TagDef, TagId, TagTable,
    TagTableError, TaskId, WritePolicy,
};
pub use text::Text;
pub use time::{Clock, Instant, ManualClock, Now, SystemClock, Utc};
pub use unit::{Unit, UnknownUnit};
pub use value::{Value, ValueType};
pub use virtual_link::{LinkTurn, Reach, VirtualLink};
pub use write::{WriteCounts, WriteEnd, WriteLife};
