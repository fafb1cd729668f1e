//! Controlled objects: modes, interlocks, permissives, holds with an end, and the maintenance lock.
//!
//! An object is a machine or a valve: outputs that belong together. Each scan of the task that owns its outputs decides,
//! before any output is weighed, what the object imposes on them ([`Imposed`]); the arbiter then does the rest.
//!
//! Order of strength, for one output: shutdown · maintenance lock · the panel in the field · interlock · off · a person by
//! hand · everything else as the arbiter says. With one exception, which keeps a lock from holding something unsafe: an
//! interlock that moves a locked output to its off value, or towards it, acts. An interlock that would move it the other
//! way, which could start a machine that somebody works on, does not.

mod cell;
mod def;
mod guard;
mod order;
mod view;

pub(crate) use cell::ObjectCell;
pub use def::{BadPolicy, InterlockDef, ObjectDef, ObjectOutput, ObjectStart, PermissiveDef};
pub use order::{ObjectOrder, OrderKind};
pub(crate) use order::{check_claim, check_order};
pub use view::{GuardState, InterlockView, ObjectView, PermissiveView};

use penstock_model::{Cause, Origin, Priority, Text, Value};
use std::sync::Arc;

/// What an object imposes on one of its outputs in this scan.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Imposed {
    /// Nothing: claims and programs decide.
    #[default]
    Nothing,
    /// This value, of this strength.
    Value(Value, Origin, Priority),
    /// Nobody moves it: what it needs to know is not known yet, or a person has it and has said no value.
    Stand,
    /// The panel in the field has it: nothing is sent. What its feedback shows is followed.
    HandedBack(Origin, Option<Value>),
}

/// Why an output of an object is not free: for whoever looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hindrance {
    /// What a person calls the interlock or permissive.
    pub text: Text,
    /// Its condition as declared.
    pub when: Arc<str>,
    /// What made it so.
    pub cause: Cause,
}
