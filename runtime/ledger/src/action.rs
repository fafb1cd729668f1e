//! The log of what people did: who, when, from where, the old value and the new. Append-only, chained, on disk before the
//! action is answered.

use crate::chain::{self, Chain, LogError, OpenReport, VerifyReport};
use crate::limits::{ACTION_TEXT_BYTES_MAX, ACTIONS_IN_MEMORY_MAX};
use crate::standing::{ObjectStanding, Standing};
use parking_lot::Mutex;
use penstock_model::{Mode, Role, Utc, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

const PREFIX: &str = "actions";

/// Something a person did.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// When.
    pub at: Utc,
    /// User name.
    pub who: String,
    /// The role they had.
    pub role: Role,
    /// What they did.
    pub what: ActionKind,
    /// From which station (address or name of the screen).
    pub station: String,
}

/// What was done. Texts longer than [`crate::limits::ACTION_TEXT_BYTES_MAX`] are cut.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionKind {
    /// An entry tag was given a value; it holds until the next.
    SetPoint {
        /// Path of the tag.
        tag: String,
        /// The value before.
        old: Option<Value>,
        /// The value now.
        new: Value,
        /// Unit of both.
        unit: String,
    },
    /// An output was taken by hand.
    Manual {
        /// Path of the tag.
        tag: String,
        /// The value before.
        old: Option<Value>,
        /// The value now.
        new: Value,
        /// When the hold ends by itself; `None`: not before a person ends it.
        until: Option<Utc>,
    },
    /// A controlled object was put into another mode.
    Mode {
        /// Name of the object.
        object: String,
        /// The mode before.
        old: Mode,
        /// The mode now.
        new: Mode,
        /// When mode manual ends by itself.
        until: Option<Utc>,
        /// The object's outputs. In mode manual each with the value that it is held at, where it has one.
        outputs: Vec<(String, Option<Value>)>,
    },
    /// A controlled object was locked for maintenance; it is off afterwards.
    Lock {
        /// Name of the object.
        object: String,
        /// Why.
        reason: String,
        /// The object's outputs: what was held by hand is not any more.
        outputs: Vec<String>,
    },
    /// A maintenance lock was taken away.
    Unlock {
        /// Name of the object.
        object: String,
    },
    /// The latched interlocks of a controlled object were reset.
    ResetInterlocks {
        /// Name of the object.
        object: String,
    },
    /// The time of a hold by hand ran out; recorded by the runtime in the name of who held.
    LeaseEnded {
        /// Name of the object, or path of an output that belongs to none.
        object: String,
        /// The outputs that were held.
        outputs: Vec<String>,
        /// The mode that the object went back to; `None` without an object.
        mode: Option<Mode>,
    },
    /// An output was given back to its program.
    Release {
        /// Path of the tag.
        tag: String,
    },
    /// An alarm was acknowledged.
    Acknowledge {
        /// Name of the alarm.
        alarm: String,
    },
    /// A faulted task was reset.
    ResetTask {
        /// Name of the task.
        task: String,
    },
    /// Came in.
    Login,
    /// Was refused at login.
    LoginFailed,
    /// Went out.
    Logout,
    /// Anything else.
    Custom {
        /// In words.
        text: String,
    },
}

/// An action as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRow {
    /// Its number: consecutive from 1.
    pub seq: u64,
    /// The action.
    pub action: Action,
}

/// An output that a person took by hand and nobody has released since.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// Path of the tag.
    pub tag: String,
    /// The value it is held at.
    pub value: Value,
    /// Who holds it.
    pub who: String,
    /// Since when.
    pub at: Utc,
    /// When it ends by itself.
    pub until: Option<Utc>,
    /// A damaged record follows in the log: it may have been the release.
    pub doubtful: bool,
}

/// The log. Shared between threads.
#[derive(Debug)]
pub struct ActionLog {
    inner: Mutex<Inner>,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    chain: Chain,
    memory: Memory,
}

/// What is kept at hand of the log.
#[derive(Debug, Default)]
struct Memory {
    latest: VecDeque<ActionRow>,
    entries: BTreeMap<String, (Value, String)>,
    standing: Standing,
    /// Number of the first record that does not verify; what was written before it may have been revoked by it.
    broken: Option<u64>,
}

impl Memory {
    fn take(&mut self, row: ActionRow) {
        match &row.action.what {
            ActionKind::SetPoint { tag, new, .. } => {
                self.entries.insert(tag.clone(), (new.clone(), row.action.who.clone()));
            }
            _ => self.standing.take(&row),
        }
        if self.latest.len() == ACTIONS_IN_MEMORY_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(row);
    }
}

impl ActionLog {
    /// Opens or creates the log in `dir`. An unfinished last line (a write that was never acknowledged) is removed; a
    /// record that does not verify is reported, left where it is, and the log goes on in a new file.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process has the log open.
    pub fn open(dir: &Path) -> Result<(ActionLog, OpenReport), LogError> {
        let mut memory = Memory::default();
        let (chain, report) = Chain::open(dir, PREFIX, &mut |seq, body| {
            // A record of a later version is kept in the chain and not shown.
            if let Some(action) = serde_json::from_value::<Stored>(body).ok().and_then(Stored::into_action) {
                memory.take(ActionRow { seq, action });
            }
        })?;
        memory.broken = report.broken.as_ref().map(|b| b.seq);
        Ok((ActionLog { inner: Mutex::new(Inner { chain, memory }), turn: Mutex::new(()) }, report))
    }

    /// Waits until nobody else acts. Whoever checks, records and carries out an action holds this meanwhile, so that the
    /// log and the engine see all actions in one order, whether they come from a page or from a foreign system.
    #[must_use]
    pub fn turn(&self) -> impl Drop + '_ {
        self.turn.lock()
    }

    /// Appends an action; on return it is on disk. The result is its number.
    ///
    /// # Errors
    /// When the disk does not take it: then the action is not in the log, and the caller must not carry it out.
    pub fn append(&self, action: Action) -> Result<u64, LogError> {
        let action = action.cut();
        let body = serde_json::to_string(&Stored::from_action(&action)).map_err(LogError::Encode)?;
        let mut inner = self.inner.lock();
        let seq = inner.chain.append(&year(action.at), &[body])?;
        inner.memory.take(ActionRow { seq, action });
        Ok(seq)
    }

    /// The latest actions, newest first, at most `limit` and at most [`crate::limits::ACTIONS_IN_MEMORY_MAX`].
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<ActionRow> {
        self.inner.lock().memory.latest.iter().rev().take(limit).cloned().collect()
    }

    /// The last value entered per entry tag and who entered it: what holds after a restart.
    #[must_use]
    pub fn last_entries(&self) -> Vec<(String, Value, String)> {
        let inner = self.inner.lock();
        inner.memory.entries.iter().map(|(tag, (value, who))| (tag.clone(), value.clone(), who.clone())).collect()
    }

    /// The outputs that stand by hand, by path: what a person decided holds over a restart until a person ends it.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        let inner = self.inner.lock();
        inner.memory.standing.holds(inner.memory.broken)
    }

    /// How the controlled objects stand, by name: mode, and maintenance lock. Both hold over a restart.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectStanding> {
        self.inner.lock().memory.standing.objects()
    }

    /// Hash of the last record.
    #[must_use]
    pub fn head(&self) -> String {
        self.inner.lock().chain.head().to_owned()
    }

    /// Verifies the log in `dir` from its first record, changing nothing. A log that was shortened by whole records verifies:
    /// compare `head` or `records` with what was noted earlier.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn verify(dir: &Path) -> Result<VerifyReport, LogError> {
        chain::verify(dir, PREFIX)
    }
}

fn year(at: Utc) -> String {
    let seconds = at.0.div_euclid(1_000_000_000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "1970".to_owned(), |t| t.strftime("%Y").to_string())
}

impl Action {
    fn cut(mut self) -> Action {
        let text = |t: &mut String| {
            let mut end = t.len().min(ACTION_TEXT_BYTES_MAX);
            while !t.is_char_boundary(end) {
                end -= 1;
            }
            t.truncate(end);
        };
        text(&mut self.who);
        text(&mut self.station);
        match &mut self.what {
            ActionKind::SetPoint { tag, unit, .. } => {
                text(tag);
                text(unit);
            }
            ActionKind::Manual { tag, .. } | ActionKind::Release { tag } => text(tag),
            ActionKind::Mode { object, .. }
            | ActionKind::Unlock { object }
            | ActionKind::ResetInterlocks { object } => {
                text(object);
            }
            ActionKind::Lock { object, reason, .. } => {
                text(object);
                text(reason);
            }
            ActionKind::LeaseEnded { object, .. } => text(object),
            ActionKind::Acknowledge { alarm: t }
            | ActionKind::ResetTask { task: t }
            | ActionKind::Custom { text: t } => {
                text(t);
            }
            ActionKind::Login | ActionKind::LoginFailed | ActionKind::Logout => {}
        }
        self
    }
}

/// The layout of a record's body.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Nanoseconds of UTC.
    at_ns: i64,
    who: String,
    role: String,
    station: String,
    what: StoredKind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredKind {
    SetPoint {
        tag: String,
        old: Option<StoredValue>,
        new: StoredValue,
        unit: String,
    },
    Manual {
        tag: String,
        old: Option<StoredValue>,
        new: StoredValue,
        /// Nanoseconds of UTC. Absent in records of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ns: Option<i64>,
    },
    Mode {
        object: String,
        old: String,
        new: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ns: Option<i64>,
        outputs: Vec<(String, Option<StoredValue>)>,
    },
    Lock {
        object: String,
        reason: String,
        outputs: Vec<String>,
    },
    Unlock {
        object: String,
    },
    ResetInterlocks {
        object: String,
    },
    LeaseEnded {
        object: String,
        outputs: Vec<String>,
        mode: Option<String>,
    },
    Release {
        tag: String,
    },
    Acknowledge {
        alarm: String,
    },
    ResetTask {
        task: String,
    },
    Login,
    LoginFailed,
    Logout,
    Custom {
        text: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl From<&Value> for StoredValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(x) => Self::Float(*x),
            Value::Text(t) => Self::Text(t.to_string()),
        }
    }
}

impl From<StoredValue> for Value {
    fn from(value: StoredValue) -> Self {
        match value {
            StoredValue::Bool(b) => Self::Bool(b),
            StoredValue::Int(i) => Self::Int(i),
            StoredValue::Float(x) => Self::Float(x),
            StoredValue::Text(t) => Self::Text(t.into()),
        }
    }
}

impl Stored {
    fn from_action(a: &Action) -> Stored {
        let old = |v: &Option<Value>| v.as_ref().map(StoredValue::from);
        let what = match &a.what {
            ActionKind::SetPoint { tag, old: o, new, unit } => {
                StoredKind::SetPoint { tag: tag.clone(), old: old(o), new: new.into(), unit: unit.clone() }
            }
            ActionKind::Manual { tag, old: o, new, until } => {
                StoredKind::Manual { tag: tag.clone(), old: old(o), new: new.into(), until_ns: until.map(|u| u.0) }
            }
            ActionKind::Mode { object, old: o, new, until, outputs } => StoredKind::Mode {
                object: object.clone(),
                old: o.to_string(),
                new: new.to_string(),
                until_ns: until.map(|u| u.0),
                outputs: outputs.iter().map(|(tag, value)| (tag.clone(), old(value))).collect(),
            },
            ActionKind::Lock { object, reason, outputs } => {
                StoredKind::Lock { object: object.clone(), reason: reason.clone(), outputs: outputs.clone() }
            }
            ActionKind::Unlock { object } => StoredKind::Unlock { object: object.clone() },
            ActionKind::ResetInterlocks { object } => StoredKind::ResetInterlocks { object: object.clone() },
            ActionKind::LeaseEnded { object, outputs, mode } => StoredKind::LeaseEnded {
                object: object.clone(),
                outputs: outputs.clone(),
                mode: mode.map(|m| m.to_string()),
            },
            ActionKind::Release { tag } => StoredKind::Release { tag: tag.clone() },
            ActionKind::Acknowledge { alarm } => StoredKind::Acknowledge { alarm: alarm.clone() },
            ActionKind::ResetTask { task } => StoredKind::ResetTask { task: task.clone() },
            ActionKind::Login => StoredKind::Login,
            ActionKind::LoginFailed => StoredKind::LoginFailed,
            ActionKind::Logout => StoredKind::Logout,
            ActionKind::Custom { text } => StoredKind::Custom { text: text.clone() },
        };
        let (who, station) = (a.who.clone(), a.station.clone());
        Stored { at_ns: a.at.0, who, role: a.role.as_str().to_owned(), station, what }
    }

    fn into_action(self) -> Option<Action> {
        let what = match self.what {
            StoredKind::SetPoint { tag, old, new, unit } => {
                ActionKind::SetPoint { tag, old: old.map(Value::from), new: new.into(), unit }
            }
            StoredKind::Manual { tag, old, new, until_ns } => {
                ActionKind::Manual { tag, old: old.map(Value::from), new: new.into(), until: until_ns.map(Utc) }
            }
            StoredKind::Mode { object, old, new, until_ns, outputs } => ActionKind::Mode {
                object,
                old: Mode::parse(&old)?,
                new: Mode::parse(&new)?,
                until: until_ns.map(Utc),
                outputs: outputs.into_iter().map(|(tag, value)| (tag, value.map(Value::from))).collect(),
            },
            StoredKind::Lock { object, reason, outputs } => ActionKind::Lock { object, reason, outputs },
            StoredKind::Unlock { object } => ActionKind::Unlock { object },
            StoredKind::ResetInterlocks { object } => ActionKind::ResetInterlocks { object },
            StoredKind::LeaseEnded { object, outputs, mode } => ActionKind::LeaseEnded {
                object,
                outputs,
                mode: match mode {
                    Some(word) => Some(Mode::parse(&word)?),
                    None => None,
                },
            },
            StoredKind::Release { tag } => ActionKind::Release { tag },
            StoredKind::Acknowledge { alarm } => ActionKind::Acknowledge { alarm },
            StoredKind::ResetTask { task } => ActionKind::ResetTask { task },
            StoredKind::Login => ActionKind::Login,
            StoredKind::LoginFailed => ActionKind::LoginFailed,
            StoredKind::Logout => ActionKind::Logout,
            StoredKind::Custom { text } => ActionKind::Custom { text },
        };
        let role = Role::parse(&self.role)?;
        Some(Action { at: Utc(self.at_ns), who: self.who, role, what, station: self.station })
    }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
