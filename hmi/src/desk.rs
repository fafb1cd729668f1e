//! Where what persons do to the plant is checked, recorded and handed in: for the pages, and for every other door that
//! persons come in by with the same rights.

use crate::act::{claim_refused, fits, not_released};
use crate::guard::may;
use crate::objects::{self, ModeChange};
use crate::reply::ApiError;
use crate::site::{role, writable};
use axum::http::StatusCode;
use penstock_engine::Engine;
use penstock_ledger::{Action, ActionKind, ActionLog};
use penstock_model::{
    AlarmId, Claim, ClaimError, Clock, HoldTimes, Origin, Priority, Role, TagDef, TagId, Utc, Value, Wish, with_causes,
};
use std::sync::Arc;

/// A person at one of the doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name that stands in the record of actions.
    pub user: Arc<str>,
    /// What they may do.
    pub role: Role,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
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
    Unavailable,
    /// The record of actions cannot be written, so nothing was done.
    Record,
}

/// What was not done, and why, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// In short.
    pub why: Why,
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// The desk of one door.
pub struct Desk {
    pub(crate) engine: Engine,
    pub(crate) actions: Arc<ActionLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hold: HoldTimes,
    pub(crate) station: String,
}

/// A claim that passed every check.
#[derive(Debug)]
pub(crate) struct Order {
    claim: Claim,
    pub(crate) path: String,
    unit: String,
    pub(crate) old: Option<Value>,
    /// The value wished; `None` for a release.
    pub(crate) new: Option<Value>,
    entry: bool,
    /// When a hold by hand ends by itself.
    until: Option<Utc>,
    /// What becomes of its object's mode, where it has one and that changes.
    mode: Option<ModeChange>,
}

impl Order {
    fn what(&self) -> ActionKind {
        let (tag, old) = (self.path.clone(), self.old.clone());
        match &self.new {
            None => ActionKind::Release { tag },
            Some(new) if self.entry => ActionKind::SetPoint { tag, old, new: new.clone(), unit: self.unit.clone() },
            Some(new) => ActionKind::Manual { tag, old, new: new.clone(), until: self.until },
        }
    }

    /// What stands in the log after the engine refused: the state before the order.
    fn undone(&self, was_manual: bool) -> Option<ActionKind> {
        let tag = self.path.clone();
        match (&self.new, &self.old) {
            (Some(new), Some(old)) if self.entry => {
                Some(ActionKind::SetPoint { tag, old: Some(new.clone()), new: old.clone(), unit: self.unit.clone() })
            }
            (Some(new), Some(old)) if was_manual => {
                Some(ActionKind::Manual { tag, old: Some(new.clone()), new: old.clone(), until: None })
            }
            (Some(_), _) if !self.entry => Some(ActionKind::Release { tag }),
            (None, Some(old)) => Some(ActionKind::Manual { tag, old: None, new: old.clone(), until: None }),
            _ => None,
        }
    }
}

impl Desk {
    /// A desk. `hold` is how long an output that belongs to no object is held by hand, `station` names the door in the
    /// record of actions.
    #[must_use]
    pub fn new(
        engine: &Engine,
        actions: &Arc<ActionLog>,
        clock: &Arc<dyn Clock>,
        hold: HoldTimes,
        station: &str,
    ) -> Desk {
        let (engine, actions, clock) = (engine.clone(), actions.clone(), clock.clone());
        Desk { engine, actions, clock, hold, station: station.to_owned() }
    }

    pub(crate) fn action(&self, user: &str, role: Role, what: ActionKind) -> Action {
        let at = self.clock.now().utc;
        Action { at, who: user.to_owned(), role, what, station: self.station.clone() }
    }

    /// Puts an action on the disk; the person is told when that is impossible.
    pub(crate) fn record(&self, who: &Person, what: ActionKind) -> Result<u64, ApiError> {
        self.actions.append(self.action(&who.user, who.role, what)).map_err(|error| {
            tracing::error!(error = with_causes(&error), "the action log cannot be written; the action was refused");
            ApiError::unrecorded()
        })
    }

    /// Refuses who may not write a tag, and a tag that nobody writes. True for an entry.
    pub(crate) fn may_write(&self, who: &Person, def: &TagDef) -> Result<bool, ApiError> {
        let Some(kind) = writable(def) else { return Err(claim_refused(&ClaimError::ReadOnly(def.path.clone()))) };
        may(who, role(def).unwrap_or(Role::Engineer))?;
        Ok(kind == "entry")
    }

    /// The order that a person's wish comes to: a value that fits the tag, or a release.
    pub(crate) fn order(
        &self,
        who: &Person,
        def: &TagDef,
        new: Option<Value>,
        lease_s: Option<u64>,
    ) -> Result<Order, ApiError> {
        let (tag, entry) = (def.id, writable(def) == Some("entry"));
        let old = if entry { self.engine.read(tag).value } else { self.engine.output(tag).and_then(|o| o.granted) };
        let (lease, until) = match &new {
            Some(_) if !entry => objects::lease(self, tag, lease_s)?,
            _ => (None, None),
        };
        let claim = Claim {
            tag,
            wish: new.clone().map_or(Wish::Release, Wish::Value),
            origin: Origin::User(who.user.clone()),
            priority: Priority::Manual,
            lease,
        };
        let mode = if entry { None } else { objects::mode_of_hand(self, who, &claim, until)? };
        Ok(Order {
            claim,
            path: def.path.to_string(),
            unit: def.unit.as_str().to_owned(),
            old,
            new,
            entry,
            until,
            mode,
        })
    }

    /// Records a checked order and hands it to the engine; the number of its record.
    pub(crate) fn carry_out(&self, who: &Person, order: &Order) -> Result<u64, ApiError> {
        let was_manual = self.engine.output(order.claim.tag).is_some_and(|o| o.manual);
        if let Some(mode) = &order.mode {
            self.record(who, mode.what())?;
        }
        let seq = self.record(who, order.what())?;
        if let Err(refused) = self.engine.claim(order.claim.clone()) {
            let text = format!("action {seq} was refused by the runtime and not done: {refused}");
            tracing::error!(path = %order.path, %refused, "a checked claim was refused; the record is put right");
            self.record(who, ActionKind::Custom { text })?;
            if let Some(undone) = order.undone(was_manual) {
                self.record(who, undone)?;
            }
            if let Some(mode) = &order.mode {
                self.record(who, mode.undone())?;
            }
            return Err(claim_refused(&refused));
        }
        Ok(seq)
    }

    /// Acknowledges an alarm; false where there is nothing to acknowledge, which is not recorded.
    pub(crate) fn acknowledge_one(&self, who: &Person, id: AlarmId, comment: &str) -> Result<bool, ApiError> {
        let Some(def) = self.engine.alarm_defs().into_iter().find(|d| d.id == id) else {
            return Err(ApiError::not_found(&format!("alarm {}", id.0)));
        };
        if !self.engine.alarms().iter().any(|a| a.id == id && a.state.needs_acknowledge()) {
            return Ok(false);
        }
        self.record(who, ActionKind::Acknowledge { alarm: def.name.to_string() })?;
        if !comment.is_empty() {
            self.record(who, remark(&def.name, comment))?;
        }
        Ok(self.engine.acknowledge(id, &who.user, self.clock.now()))
    }

    /// Writes a tag in a person's name as from its faceplate, for the site's own time where it is an output; `None`
    /// releases an output. Waits for the disk. On return it is recorded and handed to the engine.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn write(&self, who: &Person, tag: TagId, value: Option<&Value>) -> Result<u64, Denial> {
        let _one = self.actions.turn();
        let tags = self.engine.tags();
        let def = tags.get(tag);
        let entry = self.may_write(who, def).map_err(|e| {
            let why = if writable(def).is_none() { Why::ReadOnly } else { Why::Denied };
            Denial { why, ..denial(e) }
        })?;
        if entry && value.is_none() {
            return Err(Denial { why: Why::Type, ..denial(not_released(def)) });
        }
        let fitting = value.map(|value| fits(def, value)).transpose().map_err(|error| {
            let why = match error {
                ClaimError::OutOfRange { .. } | ClaimError::NotFinite(_) => Why::Range,
                _ => Why::Type,
            };
            Denial { why, ..denial(claim_refused(&error)) }
        })?;
        let order = self.order(who, def, fitting, None).map_err(denial)?;
        self.carry_out(who, &order).map_err(denial)
    }

    /// Holds an output by hand for a short while, to be said again before it ends: a test of a loop does that. As
    /// [`Desk::write`], but what the person holds at the same value already is held on and not recorded again. `goes_on`
    /// says that they believe to hold it: where it is no longer theirs, nothing is done. Waits for the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then. Somebody else's hold is never taken over.
    pub fn hold(&self, who: &Person, tag: TagId, value: f64, lease_s: u64, goes_on: bool) -> Result<(), Denial> {
        let _one = self.actions.turn();
        let tags = self.engine.tags();
        let def = tags.get(tag);
        let view = self.engine.output(tag).ok_or_else(|| denial(not_held(def)))?;
        self.may_write(who, def).map_err(denial)?;
        let holder = match &view.holder {
            Some((Origin::User(name), _)) if view.manual => Some(name),
            _ => None,
        };
        let mine = holder.is_some_and(|name| *name == who.user);
        if !mine && (goes_on || view.manual) {
            return Err(denial(taken_over(def, holder.map(|name| &**name), view.manual)));
        }
        let fitting = fits(def, &Value::Float(value)).map_err(|e| denial(claim_refused(&e)))?;
        let order = self.order(who, def, Some(fitting), Some(lease_s)).map_err(denial)?;
        if mine && view.wished == order.new {
            return self.engine.claim(order.claim).map_err(|e| denial(claim_refused(&e)));
        }
        self.carry_out(who, &order).map(drop).map_err(denial)
    }

    /// Acknowledges an alarm in a person's name; false where there is nothing to acknowledge. Waits for the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn acknowledge(&self, who: &Person, alarm: AlarmId, comment: &str) -> Result<bool, Denial> {
        let _one = self.actions.turn();
        may(who, Role::Operator).map_err(denial)?;
        self.acknowledge_one(who, alarm, comment).map_err(denial)
    }

    /// Records what a person says to an alarm. Waits for the disk.
    ///
    /// # Errors
    /// Why not.
    pub fn comment(&self, who: &Person, alarm: AlarmId, comment: &str) -> Result<(), Denial> {
        may(who, Role::Operator).map_err(denial)?;
        let def = self.engine.alarm_defs().into_iter().find(|d| d.id == alarm);
        let name = def.map_or_else(|| alarm.0.to_string(), |d| d.name.to_string());
        self.record(who, remark(&name, comment)).map(drop).map_err(denial)
    }

    /// Records a log-in, a refused one, or something else that moves nothing. Waits for the disk; what the log cannot take
    /// is said aloud.
    pub fn note(&self, user: &str, role: Role, what: ActionKind) {
        if let Err(error) = self.actions.append(self.action(user, role, what)) {
            tracing::error!(%user, error = with_causes(&error), "the action log cannot take a note");
        }
    }
}

fn not_held(def: &TagDef) -> ApiError {
    let en = format!("`{}` is no output: it cannot be held by hand", def.path);
    ApiError::unprocessable(format!("{} 不是输出，不能手动保持", def.path), en)
}

/// Somebody, or something, has an output that a test believed to hold.
fn taken_over(def: &TagDef, holder: Option<&str>, by_hand: bool) -> ApiError {
    let path = &def.path;
    let (zh, en) = match (holder, by_hand) {
        (Some(name), _) => (format!("{path} 已由 {name} 手动保持"), format!("`{path}` is held by hand by {name}")),
        (None, true) => (
            format!("{path} 的手动值未生效：联锁、故障值或更高优先级在起作用"),
            format!("`{path}` is held by hand and does not follow: an interlock, a fallback or a stronger claim acts"),
        ),
        (None, false) => {
            (format!("{path} 已不再由本试验保持"), format!("`{path}` was released, or its hold has ended"))
        }
    };
    ApiError::unprocessable(zh, en)
}

fn remark(alarm: &str, comment: &str) -> ActionKind {
    ActionKind::Custom { text: format!("comment on alarm {alarm}: {comment}") }
}

fn denial(error: ApiError) -> Denial {
    let why = match error.status {
        _ if error.unrecorded => Why::Record,
        StatusCode::FORBIDDEN => Why::Denied,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => Why::Unavailable,
        StatusCode::NOT_FOUND => Why::ReadOnly,
        _ => Why::State,
    };
    Denial { why, zh: error.zh, en: error.en }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_after_the_record_puts_the_old_state_into_the_log() {
        let order = |new: Option<f64>, old: Option<f64>, entry: bool| Order {
            claim: Claim {
                tag: TagId(0),
                wish: Wish::Release,
                origin: Origin::Retained,
                priority: Priority::Manual,
                lease: None,
            },
            path: "t".into(),
            unit: String::new(),
            old: old.map(Value::Float),
            new: new.map(Value::Float),
            entry,
            until: None,
            mode: None,
        };
        let set = order(Some(3.0), Some(2.0), true).undone(false);
        assert!(matches!(set, Some(ActionKind::SetPoint { new: Value::Float(n), .. }) if n == 2.0));
        let first_manual = order(Some(3.0), Some(2.0), false).undone(false);
        assert!(matches!(first_manual, Some(ActionKind::Release { .. })));
        let second_manual = order(Some(3.0), Some(2.0), false).undone(true);
        assert!(matches!(second_manual, Some(ActionKind::Manual { new: Value::Float(n), .. }) if n == 2.0));
        let release = order(None, Some(2.0), false).undone(true);
        assert!(matches!(release, Some(ActionKind::Manual { new: Value::Float(n), .. }) if n == 2.0));
    }
}
