//! All that an output remembers from scan to scan, as plain data: for keyframes of the record of scans.
//!
//! Unlike [`crate::OutputState`], which carries an output over a restart, this is complete: an output that takes it up
//! grants bit for bit what the one that gave it would have granted.

use super::{Live, Output, Verdict, Wished};
use penstock_model::{Command, FallbackCause, Instant, Now, Origin, Outcome, Priority, Quality, TagId, Value, Wish};
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
    /// What stands.
    pub stands: Grant,
    /// When the granted value last changed.
    pub changed_at: Option<Instant>,
    /// For how long it had stood so before.
    pub stood_before: Duration,
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
        let held = |c: &Live| HeldClaim {
            wish: c.wish.clone(),
            origin: c.origin.clone(),
            priority: c.priority,
            expires: c.expires,
        };
        let v = &self.stands;
        OutputMemory {
            tag: self.tag,
            claims: self.claims.iter().map(held).collect(),
            base: self.base.clone(),
            program_wish: self.program_wish.clone(),
            wished: wished.clone(),
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
        let live = |c: &HeldClaim| Live {
            wish: c.wish.clone(),
            origin: c.origin.clone(),
            priority: c.priority,
            expires: c.expires,
        };
        let g = &memory.stands;
        self.claims = memory.claims.iter().map(live).collect();
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
        self.stepped_at = memory.stepped_at;
        self.commanded.clone_from(&memory.commanded);
        self.last_command.clone_from(&memory.last_command);
        self.last_outcome.clone_from(&memory.last_outcome);
        self.failures = memory.failures;
        self.retry_at = memory.retry_at;
    }
}
