//! What people and foreign systems ask of an object, and what is refused before it reaches a task.

use super::def::ObjectDef;
use super::view::{GuardState, ObjectView};
use penstock_model::{Claim, Mode, OrderError, Origin, Priority, TagId, Value, Wish};
use std::sync::Arc;
use std::time::Duration;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderKind {
    /// Another mode. `lease`: how long mode manual holds; `None` without an end.
    Mode {
        /// The mode.
        mode: Mode,
        /// See above.
        lease: Option<Duration>,
    },
    /// A maintenance lock. The object is off afterwards, also when the lock is gone.
    Lock {
        /// Why.
        reason: Arc<str>,
    },
    /// The end of the maintenance lock.
    Unlock,
    /// The end of every latch whose cause is gone.
    Reset,
}

/// An order to a controlled object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectOrder {
    /// Place of the object in the site's list.
    pub object: usize,
    /// What is asked.
    pub kind: OrderKind,
    /// Who asks.
    pub by: Arc<str>,
}

/// Refuses what the object does not allow as it stands.
pub(crate) fn check_order(def: &ObjectDef, view: &ObjectView, kind: &OrderKind) -> Result<(), OrderError> {
    let object = || def.name.clone();
    if let (Some(lock), OrderKind::Mode { .. } | OrderKind::Lock { .. }) = (&view.lock, kind) {
        return Err(OrderError::Locked { object: object(), lock: lock.clone() });
    }
    match kind {
        OrderKind::Mode { mode, .. } => {
            if def.role_for(*mode).is_none() {
                return Err(OrderError::NotOffered { object: object(), mode: *mode });
            }
            if view.mode == Mode::Local {
                return Err(OrderError::Local(object()));
            }
            permitted_mode(def, view, *mode)
        }
        OrderKind::Unlock if view.lock.is_none() => Err(OrderError::NotLocked(object())),
        OrderKind::Reset if !view.interlocks.iter().any(|i| i.state == GuardState::Latched) => {
            Err(OrderError::NothingToReset(object()))
        }
        OrderKind::Lock { .. } | OrderKind::Unlock | OrderKind::Reset => Ok(()),
    }
}

/// Leaving off needs the permissives that name the mode.
fn permitted_mode(def: &ObjectDef, view: &ObjectView, mode: Mode) -> Result<(), OrderError> {
    if view.selected != Mode::Off || mode == Mode::Off {
        return Ok(());
    }
    let unmet = def.permissives.iter().zip(&view.permissives);
    let unmet = unmet.filter(|(p, v)| p.modes.contains(&mode) && v.met != Some(true));
    refuse(def, unmet.map(|(p, v)| (p, v.cause.as_ref())).next())
}

fn refuse(
    def: &ObjectDef,
    unmet: Option<(&super::PermissiveDef, Option<&penstock_model::Cause>)>,
) -> Result<(), OrderError> {
    let Some((p, cause)) = unmet else { return Ok(()) };
    let condition = cause.map_or_else(|| p.when.text().clone(), |c| c.text.clone());
    Err(OrderError::NotPermitted { object: def.name.clone(), text: p.text.clone(), condition })
}

/// Refuses a claim on an output that the object does not allow as it stands. `granted`: the output's present value.
pub(crate) fn check_claim(
    def: &ObjectDef,
    view: &ObjectView,
    claim: &Claim,
    granted: Option<&Value>,
) -> Result<(), OrderError> {
    let object = || def.name.clone();
    if claim.priority < Priority::Manual && matches!(claim.origin, Origin::Remote(_)) && view.mode != Mode::Remote {
        return Err(OrderError::NotRemote(object()));
    }
    if claim.priority != Priority::Manual {
        return Ok(());
    }
    if let Some(lock) = &view.lock {
        return Err(OrderError::Locked { object: object(), lock: lock.clone() });
    }
    if matches!(claim.origin, Origin::Remote(_)) && view.mode != Mode::Remote {
        return Err(OrderError::NotRemote(object()));
    }
    let Wish::Value(value) = &claim.wish else { return Ok(()) };
    if view.mode == Mode::Local {
        return Err(OrderError::Local(object()));
    }
    if def.role_for(Mode::Manual).is_none() {
        return Err(OrderError::NotOffered { object: object(), mode: Mode::Manual });
    }
    permitted_mode(def, view, Mode::Manual)?;
    let Some(output) = output_of(def, claim.tag) else { return Ok(()) };
    let off = &def.outputs[output].off;
    // A start by hand that could not happen is refused at once: the person is told why.
    if value == off || granted != Some(off) {
        return Ok(());
    }
    let unmet = def.permissives.iter().zip(&view.permissives);
    let unmet = unmet.filter(|(p, v)| p.output.is_none_or(|o| o == output) && v.met != Some(true));
    refuse(def, unmet.map(|(p, v)| (p, v.cause.as_ref())).next())
}

fn output_of(def: &ObjectDef, tag: TagId) -> Option<usize> {
    def.outputs.iter().position(|o| o.tag == tag)
}
