//! What stands of all that people did: outputs held by hand, modes and maintenance locks of controlled objects. Kept while
//! the log is read, so that a restart takes it up again.

use crate::action::{ActionKind, ActionRow, Hold};
use penstock_model::{MaintenanceLock, Mode, Utc, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a controlled object stood at the last record about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectStanding {
    /// Its name.
    pub object: String,
    /// Its mode and who selected it; `None` where nobody ever did.
    pub mode: Option<(Mode, String)>,
    /// The last automatic mode before a hold by hand.
    pub resume: Option<Mode>,
    /// When mode manual ends by itself.
    pub until: Option<Utc>,
    /// Its maintenance lock.
    pub lock: Option<Arc<MaintenanceLock>>,
}

#[derive(Debug, Clone)]
struct Held {
    seq: u64,
    value: Value,
    who: String,
    at: Utc,
    until: Option<Utc>,
}

#[derive(Debug, Default)]
pub(crate) struct Standing {
    holds: BTreeMap<String, Held>,
    objects: BTreeMap<String, ObjectStanding>,
}

impl Standing {
    pub fn take(&mut self, row: &ActionRow) {
        let action = &row.action;
        let held = |value: &Value, until: &Option<Utc>| Held {
            seq: row.seq,
            value: value.clone(),
            who: action.who.clone(),
            at: action.at,
            until: *until,
        };
        match &action.what {
            ActionKind::Manual { tag, new, until, .. } => {
                self.holds.insert(tag.clone(), held(new, until));
            }
            ActionKind::Release { tag } => {
                self.holds.remove(tag);
            }
            ActionKind::Mode { object, old, new, until, outputs } => {
                for (tag, value) in outputs {
                    self.holds.remove(tag);
                    if let (Mode::Manual, Some(value)) = (new, value) {
                        self.holds.insert(tag.clone(), held(value, until));
                    }
                }
                let standing = self.object(object);
                standing.until = until.filter(|_| *new == Mode::Manual);
                standing.resume = [*new, *old].into_iter().find(|m| m.is_automatic()).or(standing.resume);
                standing.mode = Some((*new, action.who.clone()));
            }
            ActionKind::Lock { object, reason, outputs } => {
                outputs.iter().for_each(|tag| drop(self.holds.remove(tag)));
                let who: Arc<str> = action.who.as_str().into();
                let lock = MaintenanceLock { who, reason: reason.as_str().into(), since: action.at };
                let standing = self.object(object);
                standing.lock = Some(Arc::new(lock));
                standing.mode = Some((Mode::Off, action.who.clone()));
                standing.until = None;
            }
            ActionKind::Unlock { object } => self.object(object).lock = None,
            ActionKind::LeaseEnded { object, outputs, mode } => {
                outputs.iter().for_each(|tag| drop(self.holds.remove(tag)));
                if let Some(mode) = mode {
                    let standing = self.object(object);
                    standing.mode = Some((*mode, action.who.clone()));
                    standing.until = None;
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, name: &str) -> &mut ObjectStanding {
        self.objects.entry(name.to_owned()).or_insert_with(|| ObjectStanding {
            object: name.to_owned(),
            mode: None,
            resume: None,
            until: None,
            lock: None,
        })
    }

    /// The holds; what stands before a damaged record may have been ended by it.
    pub fn holds(&self, broken: Option<u64>) -> Vec<Hold> {
        let hold = |(tag, held): (&String, &Held)| Hold {
            tag: tag.clone(),
            value: held.value.clone(),
            who: held.who.clone(),
            at: held.at,
            until: held.until,
            doubtful: broken.is_some_and(|seq| held.seq < seq),
        };
        self.holds.iter().map(hold).collect()
    }

    pub fn objects(&self) -> Vec<ObjectStanding> {
        self.objects.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use penstock_model::Role;

    fn standing(kinds: Vec<ActionKind>) -> Standing {
        let mut standing = Standing::default();
        for (seq, what) in (1..).zip(kinds) {
            let at = Utc::from_millis(i64::try_from(seq).unwrap());
            let action = Action { at, who: "li".into(), role: Role::Operator, what, station: "s".into() };
            standing.take(&ActionRow { seq, action });
        }
        standing
    }

    fn mode(old: Mode, new: Mode, value: Option<f64>) -> ActionKind {
        let outputs = vec![("run".into(), value.map(Value::Float)), ("speed".into(), None)];
        ActionKind::Mode { object: "b1".into(), old, new, until: Some(Utc(50)), outputs }
    }

    #[test]
    fn a_mode_holds_its_outputs_until_the_next_one() {
        let s = standing(vec![mode(Mode::Cascade, Mode::Manual, Some(3.0))]);
        let holds = s.holds(None);
        assert_eq!((holds.len(), &*holds[0].tag, holds[0].until), (1, "run", Some(Utc(50))));
        let object = s.objects().remove(0);
        assert_eq!((object.mode, object.resume), (Some((Mode::Manual, "li".into())), Some(Mode::Cascade)));
        let s = standing(vec![mode(Mode::Auto, Mode::Manual, Some(3.0)), mode(Mode::Manual, Mode::Off, None)]);
        assert_eq!((s.holds(None).len(), s.objects()[0].until), (0, None));
        assert_eq!(s.objects()[0].resume, Some(Mode::Auto));
    }

    #[test]
    fn a_lock_ends_holds_and_stands_until_it_is_taken_away() {
        let lock = || ActionKind::Lock { object: "b1".into(), reason: "seal".into(), outputs: vec!["run".into()] };
        let s = standing(vec![mode(Mode::Auto, Mode::Manual, Some(3.0)), lock()]);
        let object = s.objects().remove(0);
        assert_eq!((s.holds(None).len(), object.mode.clone().unwrap().0), (0, Mode::Off));
        assert_eq!(object.lock.map(|l| (l.who.to_string(), l.since)), Some(("li".into(), Utc::from_millis(2))));
        let s = standing(vec![lock(), ActionKind::Unlock { object: "b1".into() }]);
        assert_eq!((s.objects()[0].lock.clone(), s.objects()[0].mode.clone().unwrap().0), (None, Mode::Off));
    }

    #[test]
    fn a_lease_that_ended_is_no_hold_any_more() {
        let ended = ActionKind::LeaseEnded { object: "b1".into(), outputs: vec!["run".into()], mode: Some(Mode::Auto) };
        let s = standing(vec![mode(Mode::Auto, Mode::Manual, Some(3.0)), ended]);
        assert_eq!((s.holds(None).len(), s.objects()[0].mode.clone().unwrap().0), (0, Mode::Auto));
    }
}
