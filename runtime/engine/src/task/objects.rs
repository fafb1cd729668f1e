//! What a task does for its controlled objects: takes orders, follows hands, ends leases, evaluates conditions, and tells
//! each output what is imposed on it before anything is weighed.

use super::TaskCore;
use crate::object::OrderKind;
use crate::output::Permit;
use penstock_model::{Claim, MaintenanceLock, Mode, Now, ObjectEvent, ObjectEventKind, Origin, Priority, Record, Wish};
use std::sync::Arc;
use std::time::Duration;

impl TaskCore {
    /// Takes the orders that came since the last scan. What an object does not allow any more since the order was
    /// checked is left out: the lock, and nothing else, can have come between.
    pub(super) fn take_orders(&mut self, now: Now) {
        let shared = self.shared.clone();
        let orders = &shared.tasks[self.index].orders;
        for _ in 0..orders.capacity() {
            let Some(order) = orders.pop() else { break };
            let Some(o) = self.objects.iter().position(|c| c.index == order.object) else { continue };
            match order.kind {
                OrderKind::Mode { mode, lease } if !self.objects[o].is_locked() => {
                    self.set_mode(o, mode, &order.by, lease, now);
                }
                OrderKind::Lock { reason } if !self.objects[o].is_locked() => {
                    self.set_mode(o, Mode::Off, &order.by, None, now);
                    let lock = MaintenanceLock { who: order.by, reason, since: now.utc };
                    let told = self.objects[o].lock(Arc::new(lock));
                    self.tell(o, told, now);
                }
                OrderKind::Unlock => {
                    if let Some(told) = self.objects[o].unlock(&order.by) {
                        self.tell(o, told, now);
                    }
                }
                OrderKind::Reset => {
                    let mut told = Vec::new();
                    self.objects[o].reset(&order.by, &mut |what| told.push(what));
                    told.into_iter().for_each(|what| self.tell(o, what, now));
                }
                OrderKind::Mode { .. } | OrderKind::Lock { .. } => {}
            }
        }
    }

    fn tell(&self, o: usize, what: ObjectEventKind, now: Now) {
        let event = self.objects[o].event(what, now);
        self.shared.records.publish(Record::Object(Arc::new(event)));
    }

    fn set_mode(&mut self, o: usize, mode: Mode, by: &Arc<str>, lease: Option<Duration>, now: Now) {
        let cell = &mut self.objects[o];
        let left_remote = cell.selected() == Mode::Remote && mode != Mode::Remote;
        cell.select(mode, by, lease, now);
        for &i in &cell.outputs {
            let output = &mut self.outputs[i].output;
            if mode == Mode::Manual {
                output.hold_here(by);
            } else {
                output.end_hands();
            }
            if left_remote {
                output.end_remote();
            }
        }
    }

    /// A hand on an output is a hand on its object: a value means mode manual, a release the mode before. The claim as
    /// the output shall take it; `None` where the object does not allow it.
    pub(super) fn hand_on_object(&mut self, i: usize, mut claim: Claim, now: Now) -> Option<Claim> {
        let Some((o, _)) = self.outputs[i].object else { return Some(claim) };
        let cell = &self.objects[o];
        let remote = matches!(claim.origin, Origin::Remote(_));
        if remote && cell.mode() != Mode::Remote {
            return None;
        }
        if claim.priority != Priority::Manual || remote {
            return Some(claim);
        }
        if cell.is_locked() {
            return None;
        }
        let by: Arc<str> = match &claim.origin {
            Origin::User(name) => name.clone(),
            other => other.to_string().into(),
        };
        match claim.wish {
            Wish::Value(_) => {
                self.set_mode(o, Mode::Manual, &by, claim.lease.take(), now);
                Some(claim)
            }
            Wish::Release => {
                if cell.selected() == Mode::Manual {
                    let resume = cell.resume();
                    self.set_mode(o, resume, &by, None, now);
                }
                None
            }
            Wish::Band(..) => Some(claim),
        }
    }

    /// Evaluates the objects on this scan's image and imposes on their outputs what follows.
    pub(super) fn step_objects(&mut self, now: Now) {
        for o in 0..self.objects.len() {
            if let Some(told) = self.objects[o].lease_step(now.mono) {
                let over = matches!(told, ObjectEventKind::LeaseEnded { .. });
                self.tell(o, told, now);
                if over && self.objects[o].selected() == Mode::Manual {
                    let mode = self.objects[o].resume();
                    self.set_mode(o, mode, &"lease".into(), None, now);
                }
            }
            let cell = &mut self.objects[o];
            let (records, name) = (&self.shared.records, cell.def.name.clone());
            cell.look(&self.image, now, &mut |what| {
                records.publish(Record::Object(Arc::new(ObjectEvent { object: name.clone(), at: now.utc, what })));
            });
            for (k, &i) in cell.outputs.iter().enumerate() {
                let output = &mut self.outputs[i].output;
                let imposed = cell.imposed(k, output.has_hand(), &self.image);
                output.impose(imposed, cell.acting(k));
                output.mode = cell.mode();
                let runs = cell.runs(k, &self.image);
                output.permit(
                    cell.blocking(k)
                        .filter(|_| !runs)
                        .map(|why| Permit { off: cell.def.outputs[k].off.clone(), why: Some(why.clone()) }),
                );
                output.show_until(cell.ending());
            }
            self.image[cell.mode_place] = cell.mode_sample(now);
        }
    }

    /// Shows the objects and their mode tags as this scan left them.
    pub(super) fn commit_objects(&mut self, now: Now) {
        for cell in &mut self.objects {
            let place = cell.mode_place;
            self.shared.table.write(self.locals[place].tag, &self.image[place], now.mono);
            if let Some(view) = cell.take_view() {
                *self.shared.objects[cell.index].view.lock() = view;
            }
        }
    }

    /// Ends leases of outputs that belong to no object, and says so.
    pub(super) fn end_leases(&mut self, now: Now) {
        for arbitrated in &mut self.outputs {
            let Some(what) = arbitrated.output.expire(now.mono) else { continue };
            let object = self.shared.table.tags.get(arbitrated.output.tag).path.clone();
            let event = ObjectEvent { object, at: now.utc, what };
            self.shared.records.publish(Record::Object(Arc::new(event)));
        }
    }
}
