//! One object at work: what was selected, what its conditions say, and what it imposes on its outputs.

use super::def::{BadPolicy, ObjectDef};
use super::guard::{Change, Interlock, Permissive, Verdict, Watch};
use super::view::{GuardState, InterlockView, ObjectView, PermissiveView};
use super::{Hindrance, Imposed};
use crate::lease::Lease;
use penstock_model::{
    Cause, Instant, MaintenanceLock, Mode, Now, ObjectEvent, ObjectEventKind, Origin, Priority, Quality, Sample, TagId,
    Utc, Value,
};
use std::sync::Arc;
use std::time::Duration;

/// Origins are made once: no scan allocates for them.
struct Origins {
    off: Origin,
    local: Origin,
    interlock: Origin,
}

/// A controlled object, owned by the task of its outputs.
pub(crate) struct ObjectCell {
    /// Its place in the site's list.
    pub index: usize,
    pub def: Arc<ObjectDef>,
    /// Places of its outputs in the task's list, in the order of the declaration.
    pub outputs: Vec<usize>,
    /// Place of its mode tag in the image.
    pub mode_place: usize,
    feedback: Vec<Option<usize>>,
    selected: Mode,
    resume: Mode,
    by: Arc<str>,
    since: Utc,
    lock: Option<Arc<MaintenanceLock>>,
    lease: Option<Lease>,
    is_local: bool,
    local: Option<Watch>,
    interlocks: Vec<Interlock>,
    permissives: Vec<Permissive>,
    /// Per output: the interlock that acts on it, and the permissive that keeps it from starting.
    acting: Vec<Option<Arc<Hindrance>>>,
    blocking: Vec<Option<Arc<Hindrance>>>,
    origins: Origins,
    told: Mode,
    /// True until what changed has been shown.
    dirty: bool,
}

impl ObjectCell {
    pub fn new(
        index: usize,
        def: &ObjectDef,
        outputs: Vec<usize>,
        mut place: impl FnMut(TagId) -> usize,
        now: Now,
    ) -> ObjectCell {
        let mut watch = |condition: &crate::condition::Condition, bad, safe, last| {
            let mut condition = condition.clone();
            condition.bind(&mut place);
            Watch::new(condition, bad, safe, last, now.mono)
        };
        let latched = |when: &Arc<str>| def.start.latched.contains(when);
        let interlocks = def
            .interlocks
            .iter()
            .map(|i| Interlock::new(watch(&i.when, i.bad, true, false), i.latch, latched(i.when.text())));
        let interlocks = interlocks.collect();
        let permissives = def.permissives.iter().map(|p| Permissive::new(watch(&p.when, p.bad, false, true)));
        let permissives = permissives.collect();
        let local = def.local.as_ref().map(|c| watch(c, BadPolicy::Hold, true, false));
        let (selected, by) = def.start.mode.clone().unwrap_or((def.initial, "".into()));
        let resume =
            def.start.resume.unwrap_or_else(|| if selected.is_automatic() { selected } else { def.resting_mode() });
        ObjectCell {
            index,
            mode_place: place(def.mode_tag),
            feedback: def.outputs.iter().map(|o| o.feedback.map(&mut place)).collect(),
            acting: vec![None; outputs.len()],
            blocking: vec![None; outputs.len()],
            outputs,
            selected,
            resume,
            by,
            since: now.utc,
            lock: def.start.lock.clone(),
            lease: def.start.lease.filter(|_| selected == Mode::Manual).map(|time| Lease::new(time, now)),
            is_local: false,
            local,
            interlocks,
            permissives,
            origins: Origins {
                off: Origin::Off(def.name.clone()),
                local: Origin::Local(def.name.clone()),
                interlock: Origin::Interlock(def.name.clone()),
            },
            told: selected,
            dirty: true,
            def: Arc::new(def.clone()),
        }
    }

    /// Takes over everything that has happened to the object from the one of the same declaration that it takes the
    /// place of. Where it finds its tags and outputs is its own.
    pub fn take_over(&mut self, old: &mut ObjectCell) {
        std::mem::swap(self, old);
        std::mem::swap(&mut self.outputs, &mut old.outputs);
        std::mem::swap(&mut self.mode_place, &mut old.mode_place);
        std::mem::swap(&mut self.feedback, &mut old.feedback);
        let own =
            old.interlocks.iter_mut().map(Interlock::watch).chain(old.permissives.iter_mut().map(Permissive::watch));
        let taken =
            self.interlocks.iter_mut().map(Interlock::watch).chain(self.permissives.iter_mut().map(Permissive::watch));
        for (taken, own) in taken.chain(&mut self.local).zip(own.chain(&mut old.local)) {
            taken.look_from(own);
        }
    }

    /// The mode that holds.
    pub fn mode(&self) -> Mode {
        if self.is_local { Mode::Local } else { self.selected }
    }

    pub fn selected(&self) -> Mode {
        self.selected
    }

    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub fn resume(&self) -> Mode {
        self.resume
    }

    /// Selects a mode in somebody's name.
    pub fn select(&mut self, mode: Mode, by: &Arc<str>, lease: Option<Duration>, now: Now) {
        let lease = match (lease, self.def.hold.max) {
            (Some(time), Some(max)) => Some(time.min(max)),
            (time, max) => time.or(max),
        };
        if mode != self.selected {
            self.since = now.utc;
        }
        if mode.is_automatic() {
            self.resume = mode;
        }
        self.selected = mode;
        self.by = by.clone();
        self.lease = lease.filter(|_| mode == Mode::Manual).map(|time| Lease::new(time, now));
        self.dirty = true;
    }

    pub fn lock(&mut self, lock: Arc<MaintenanceLock>) -> ObjectEventKind {
        self.lock = Some(lock.clone());
        self.dirty = true;
        ObjectEventKind::Locked(lock)
    }

    pub fn unlock(&mut self, by: &Arc<str>) -> Option<ObjectEventKind> {
        self.lock.take()?;
        self.dirty = true;
        Some(ObjectEventKind::Unlocked { by: by.clone() })
    }

    /// Ends every latch whose cause is gone.
    pub fn reset(&mut self, by: &Arc<str>, told: &mut dyn FnMut(ObjectEventKind)) {
        for (interlock, def) in self.interlocks.iter_mut().zip(&self.def.interlocks) {
            if interlock.reset() {
                self.dirty = true;
                told(ObjectEventKind::Reset { when: def.when.text().clone(), text: def.text.clone(), by: by.clone() });
            }
        }
    }

    /// What the clock does to a hold: announced, or over.
    pub fn lease_step(&mut self, now: Instant) -> Option<ObjectEventKind> {
        let lease = self.lease.as_mut()?;
        if lease.is_over(now) {
            self.dirty = true;
            self.lease = None;
            return Some(ObjectEventKind::LeaseEnded { who: self.by.clone() });
        }
        let until = lease.until;
        let near = lease.announces(now);
        self.dirty |= near;
        near.then(|| ObjectEventKind::LeaseEnding { who: self.by.clone(), until })
    }

    /// Evaluates every condition on this scan's image.
    pub fn look(&mut self, image: &[Sample], now: Now, told: &mut dyn FnMut(ObjectEventKind)) {
        if let Some(local) = &mut self.local {
            // Until the switch has been read it counts as not local: interlocks wait for what is not known by themselves.
            let is_local = local.look(image, now.mono).0 == Verdict::Yes;
            self.dirty |= is_local != self.is_local;
            self.is_local = is_local;
        }
        for (interlock, def) in self.interlocks.iter_mut().zip(&self.def.interlocks) {
            let before = interlock.state;
            let change = interlock.look(image, now);
            self.dirty |= before != interlock.state;
            let (when, text) = (def.when.text(), &def.text);
            match (change, &interlock.cause) {
                (Some(Change::Tripped), Some(cause)) => {
                    told(ObjectEventKind::Tripped { when: when.clone(), text: text.clone(), cause: cause.clone() });
                }
                (Some(Change::Cleared(latched)), _) => {
                    told(ObjectEventKind::Cleared { when: when.clone(), text: text.clone(), latched });
                }
                _ => {}
            }
        }
        for permissive in &mut self.permissives {
            self.dirty |= permissive.look(image, now.mono);
        }
        if self.mode() != self.told {
            let by =
                if self.mode() == Mode::Local || self.told == Mode::Local { "panel".into() } else { self.by.clone() };
            told(ObjectEventKind::Mode { old: self.told, new: self.mode(), by });
            self.told = self.mode();
        }
        if self.dirty {
            self.name_hindrances();
        }
    }

    fn name_hindrances(&mut self) {
        for k in 0..self.outputs.len() {
            self.acting[k] = self.interlock_on(k).map(|n| {
                let (def, interlock) = (&self.def.interlocks[n], &self.interlocks[n]);
                Arc::new(Hindrance {
                    text: def.text.clone(),
                    when: def.when.text().clone(),
                    cause: interlock.cause.clone().unwrap_or_else(|| unknown_cause(&def.when)),
                })
            });
            let unmet = self.permissives.iter().zip(&self.def.permissives);
            let mut unmet = unmet.filter(|(p, def)| p.met != Some(true) && def.output.is_none_or(|o| o == k));
            self.blocking[k] = unmet.next().map(|(p, def)| {
                Arc::new(Hindrance {
                    text: def.text.clone(),
                    when: def.when.text().clone(),
                    cause: p.cause.clone().unwrap_or_else(|| unknown_cause(&def.when)),
                })
            });
        }
    }

    fn interlock_on(&self, k: usize) -> Option<usize> {
        (0..self.interlocks.len()).find(|n| self.def.interlocks[*n].output == k && self.interlocks[*n].acts())
    }

    /// What the object imposes on its output `k`.
    pub fn imposed(&self, k: usize, has_hand: bool, image: &[Sample]) -> Imposed {
        let output = &self.def.outputs[k];
        let trip = self.interlock_on(k).map(|n| &self.def.interlocks[n].value);
        let interlock =
            |value: &Value| Imposed::Value(value.clone(), self.origins.interlock.clone(), Priority::Interlock);
        if let Some(lock) = &self.lock {
            return match trip {
                Some(value) if towards_off(&output.lock, &output.off, value) => interlock(value),
                _ => Imposed::Value(output.lock.clone(), Origin::Lock(lock.who.clone()), Priority::Interlock),
            };
        }
        if self.is_local {
            let feedback =
                self.feedback[k].and_then(|at| image[at].usable()).and_then(|v| v.convert(output.off.value_type()));
            return Imposed::HandedBack(self.origins.local.clone(), feedback);
        }
        if let Some(value) = trip {
            return interlock(value);
        }
        if (0..self.interlocks.len())
            .any(|n| self.def.interlocks[n].output == k && self.interlocks[n].state == GuardState::Waiting)
        {
            return Imposed::Stand;
        }
        match self.selected {
            Mode::Off => Imposed::Value(output.off.clone(), self.origins.off.clone(), Priority::Manual),
            Mode::Manual if !has_hand => Imposed::Stand,
            _ => Imposed::Nothing,
        }
    }

    /// The permissive that keeps output `k` from starting.
    pub fn blocking(&self, k: usize) -> Option<&Arc<Hindrance>> {
        self.blocking[k].as_ref()
    }

    /// The interlock that acts on output `k`.
    pub fn acting(&self, k: usize) -> Option<&Arc<Hindrance>> {
        self.acting[k].as_ref()
    }

    /// True where the feedback of output `k` shows that it is not at its off value.
    pub fn runs(&self, k: usize, image: &[Sample]) -> bool {
        let off = &self.def.outputs[k].off;
        let Some(sample) = self.feedback[k].map(|at| &image[at]) else { return false };
        match (off, sample.usable()) {
            (Value::Bool(off), Some(shown)) => shown.as_bool().is_some_and(|on| on != *off),
            (off, Some(shown)) => shown.as_f64() != off.as_f64(),
            (_, None) => false,
        }
    }

    /// The mode as a sample.
    pub fn mode_sample(&self, now: Now) -> Sample {
        Sample::good(Value::Int(self.mode().number()), now)
    }

    pub fn event(&self, what: ObjectEventKind, now: Now) -> ObjectEvent {
        ObjectEvent { object: self.def.name.clone(), at: now.utc, what }
    }

    pub fn ending(&self) -> (Option<Utc>, bool) {
        self.lease.as_ref().map_or((None, false), |l| (Some(l.until), l.is_ending()))
    }

    /// The view, where something changed since the last call.
    pub fn take_view(&mut self) -> Option<ObjectView> {
        std::mem::take(&mut self.dirty).then(|| self.view())
    }

    pub fn view(&self) -> ObjectView {
        let (until, ending) = self.ending();
        ObjectView {
            mode: self.mode(),
            selected: self.selected,
            resume: self.resume,
            by: self.by.clone(),
            since: self.since,
            lock: self.lock.clone(),
            until,
            ending,
            interlocks: self
                .interlocks
                .iter()
                .map(|i| InterlockView { state: i.state, cause: i.cause.clone(), since: i.since })
                .collect(),
            permissives: self
                .permissives
                .iter()
                .map(|p| PermissiveView { met: p.met, cause: p.cause.clone() })
                .collect(),
        }
    }
}

/// Of an interlock that latched before a restart nobody knows the value any more, only the condition.
fn unknown_cause(when: &crate::condition::Condition) -> Cause {
    let tag = when.tags().first().copied().unwrap_or(TagId(u32::MAX));
    Cause { tag, value: None, quality: Quality::Good, text: when.text().clone() }
}

/// True where moving a locked output to `value` brings it to its off value, or nearer to it.
fn towards_off(lock: &Value, off: &Value, value: &Value) -> bool {
    if value == off {
        return true;
    }
    match (lock.as_f64(), off.as_f64(), value.as_f64()) {
        (Some(lock), Some(off), Some(value)) => (lock.min(off)..=lock.max(off)).contains(&value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_way_to_off_is_open_under_a_lock() {
        let f = Value::Float;
        for (lock, off, value, open) in [
            (Value::Bool(false), Value::Bool(false), Value::Bool(true), false),
            (Value::Bool(true), Value::Bool(false), Value::Bool(false), true),
            (f(40.0), f(0.0), f(0.0), true),
            (f(40.0), f(0.0), f(20.0), true),
            (f(40.0), f(0.0), f(60.0), false),
            (f(0.0), f(0.0), f(60.0), false),
            (f(60.0), f(100.0), f(100.0), true),
        ] {
            assert_eq!(towards_off(&lock, &off, &value), open, "{lock} {off} {value}");
        }
    }
}
