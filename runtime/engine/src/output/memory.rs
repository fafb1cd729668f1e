//! All that an output remembers from scan to scan, as plain data: for keyframes of the record of scans.
//!
//! Unlike [`crate::OutputState`], which carries an output over a restart, this is complete: an output that takes it up
//! grants bit for bit what the one that gave it would have granted.

use super::{Live, Output, Permit, Verdict, Wished};
use crate::lease::Lease;
use crate::object::{Hindrance, Imposed};
use penstock_model::{
    Command, FallbackCause, Instant, Mode, Now, Origin, Outcome, Priority, Quality, TagId, Utc, Value, Wish,
};
use std::sync::Arc;
use std::time::Duration;

/// A claim as an output holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldClaim {
    /// What is wished.
    pub wish: Wish,
    /// Who wishes it.
    pub origin: Origin,
    /// With which strength.
    pub priority: Priority,
    /// When its lease ends; `None`: it has none.
    pub expires: Option<Instant>,
}

/// What the object of an output says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectHold {
    /// The object's mode; automatic for an output that belongs to none.
    pub mode: Mode,
    /// What it imposes.
    pub imposed: Imposed,
    /// Where the output stays while a start is not permitted.
    pub permit_off: Option<Value>,
    /// What the output follows while the panel in the field has it.
    pub tracked: Option<Value>,
    /// When a hold by hand of the object ends by itself.
    pub until: Option<Utc>,
    /// The interlock that acts on the output, with what made it act. It explains; what it imposes stands in `imposed`.
    pub interlock: Option<Arc<Hindrance>>,
    /// The permissive that keeps it from starting, with what it waits for.
    pub blocked: Option<Arc<Hindrance>>,
}

/// All that an object and the persons at it have made of one of its outputs before it is weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct Imposition {
    /// The output's tag.
    pub tag: TagId,
    /// Claims that live.
    pub claims: Vec<HeldClaim>,
    /// What the object says.
    pub hold: ObjectHold,
}

/// What was granted, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The value.
    pub granted: Option<Value>,
    /// The number behind it, unrounded.
    pub position: Option<f64>,
    /// Whose value it follows.
    pub holder: Option<(Origin, Priority)>,
    /// What the holder wished, before limits.
    pub wished: Option<Value>,
    /// What keeps the granted value from the wished one.
    pub bound_by: Option<Arc<str>>,
    /// The cause of the fallback it follows.
    pub fallback: Option<FallbackCause>,
    /// Why the output has lost its reason to move, and since when.
    pub cause: Option<(FallbackCause, Instant)>,
    /// How far the value may be trusted.
    pub quality: Quality,
}

/// All that an output or entry remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputMemory {
    /// The tag.
    pub tag: TagId,
    /// Claims that live.
    pub claims: Vec<HeldClaim>,
    /// Value of an entry, and who entered it when.
    pub base: Option<(Value, Origin, Now)>,
    /// What its program wished last.
    pub program_wish: Option<Value>,
    /// What its program left in the scan before.
    pub wished: Wished,
    /// What its object says of it.
    pub hold: ObjectHold,
    /// What stands.
    pub stands: Grant,
    /// When the granted value last changed.
    pub changed_at: Option<Instant>,
    /// For how long it had stood so before.
    pub stood_before: Duration,
    /// Since when the granted value stands.
    pub stands_since: Instant,
    /// When its rate was last counted.
    pub stepped_at: Instant,
    /// The value last commanded.
    pub commanded: Option<Value>,
    /// The last command.
    pub last_command: Option<Arc<Command>>,
    /// The last news of it.
    pub last_outcome: Option<Outcome>,
    /// Failures in a row.
    pub failures: u32,
    /// When it is tried again.
    pub retry_at: Option<Instant>,
}

impl Output {
    /// All that it remembers; `wished` is what its program left.
    pub fn memory(&self, wished: &Wished) -> OutputMemory {
        let v = &self.stands;
        OutputMemory {
            tag: self.tag,
            claims: self.held_claims(),
            base: self.base.clone(),
            program_wish: self.program_wish.clone(),
            wished: wished.clone(),
            hold: self.hold_of_object(),
            stands: Grant {
                granted: v.granted.clone(),
                position: v.position,
                holder: v.holder.clone(),
                wished: v.wished.clone(),
                bound_by: v.bound_by.clone(),
                fallback: v.fallback,
                cause: v.cause,
                quality: v.quality,
            },
            changed_at: self.changed_at,
            stood_before: self.stood_before,
            stands_since: self.stands_since,
            stepped_at: self.stepped_at,
            commanded: self.commanded.clone(),
            last_command: self.last_command.clone(),
            last_outcome: self.last_outcome.clone(),
            failures: self.failures,
            retry_at: self.retry_at,
        }
    }

    /// Takes up all of a memory.
    pub fn remember(&mut self, memory: &OutputMemory) {
        let g = &memory.stands;
        self.obey(&memory.claims, &memory.hold);
        self.base.clone_from(&memory.base);
        self.program_wish.clone_from(&memory.program_wish);
        self.stands = Verdict {
            granted: g.granted.clone(),
            position: g.position,
            holder: g.holder.clone(),
            wished: g.wished.clone(),
            bound_by: g.bound_by.clone(),
            fallback: g.fallback,
            cause: g.cause,
            quality: g.quality,
        };
        self.proposal = self.stands.clone();
        self.changed_at = memory.changed_at;
        self.stood_before = memory.stood_before;
        self.stands_since = memory.stands_since;
        self.stepped_at = memory.stepped_at;
        self.commanded.clone_from(&memory.commanded);
        self.last_command.clone_from(&memory.last_command);
        self.last_outcome.clone_from(&memory.last_outcome);
        self.failures = memory.failures;
        self.retry_at = memory.retry_at;
    }
    fn held_claims(&self) -> Vec<HeldClaim> {
        let held = |c: &Live| HeldClaim {
            wish: c.wish.clone(),
            origin: c.origin.clone(),
            priority: c.priority,
            expires: c.lease.as_ref().map(|l| l.end),
        };
        self.claims.iter().map(held).collect()
    }

    fn hold_of_object(&self) -> ObjectHold {
        ObjectHold {
            mode: self.mode,
            imposed: self.imposed.clone(),
            permit_off: self.permit.as_ref().map(|p| p.off.clone()),
            tracked: self.tracked.clone(),
            until: self.until.0,
            interlock: self.interlock.clone(),
            blocked: self.permit.as_ref().and_then(|p| p.why.clone()),
        }
    }

    /// What its object and the persons at it have made of it in this scan.
    pub fn imposition(&self) -> Imposition {
        Imposition { tag: self.tag, claims: self.held_claims(), hold: self.hold_of_object() }
    }

    /// True where they have made the same of it as then, to the bit. Allocates nothing.
    pub fn is_as(&self, then: &Imposition) -> bool {
        let same_claim = |(c, h): (&Live, &HeldClaim)| {
            c.priority == h.priority
                && c.lease.as_ref().map(|l| l.end) == h.expires
                && c.origin == h.origin
                && same_wish(&c.wish, &h.wish)
        };
        let hold = &then.hold;
        self.mode == hold.mode
            && self.imposed == hold.imposed
            && same(self.permit.as_ref().map(|p| &p.off), hold.permit_off.as_ref())
            && same(self.tracked.as_ref(), hold.tracked.as_ref())
            && self.until.0 == hold.until
            && same_why(self.interlock.as_ref(), hold.interlock.as_ref())
            && same_why(self.permit.as_ref().and_then(|p| p.why.as_ref()), hold.blocked.as_ref())
            && self.claims.len() == then.claims.len()
            && self.claims.iter().zip(&then.claims).all(same_claim)
    }

    /// Takes what an object and the persons at it made of the output then.
    pub fn obey(&mut self, claims: &[HeldClaim], hold: &ObjectHold) {
        let live = |c: &HeldClaim| Live {
            wish: c.wish.clone(),
            origin: c.origin.clone(),
            priority: c.priority,
            lease: c.expires.map(Lease::ending_at),
        };
        self.claims = claims.iter().map(live).collect();
        self.mode = hold.mode;
        self.imposed.clone_from(&hold.imposed);
        self.permit = hold.permit_off.clone().map(|off| Permit { off, why: hold.blocked.clone() });
        self.tracked.clone_from(&hold.tracked);
        self.until = (hold.until, false);
        self.interlock.clone_from(&hold.interlock);
    }
}

/// Equal to the bit, so that a zero keeps its sign.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Float(a)), Some(Value::Float(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

fn same_why(a: Option<&Arc<Hindrance>>, b: Option<&Arc<Hindrance>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same_wish(a: &Wish, b: &Wish) -> bool {
    match (a, b) {
        (Wish::Value(a), Wish::Value(b)) => same(Some(a), Some(b)),
        (Wish::Band(a, b), Wish::Band(c, d)) => a.to_bits() == c.to_bits() && b.to_bits() == d.to_bits(),
        (a, b) => a == b,
    }
}
