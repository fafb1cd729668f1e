//! The time that a hold by hand lasts.

use penstock_model::{Instant, Now, Utc, limits};
use std::time::Duration;

/// A hold that ends by itself. Its end follows the monotonic clock; civil time is for whoever looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lease {
    pub end: Instant,
    pub until: Utc,
    notice: Instant,
    announced: bool,
}

impl Lease {
    pub fn new(time: Duration, now: Now) -> Lease {
        let notice = limits::LEASE_NOTICE.min(time / 5);
        Lease { end: now.mono + time, until: now.utc + time, notice: now.mono + (time - notice), announced: false }
    }

    /// One of which only the end is known: of a replay, where nobody is told of it.
    pub fn ending_at(end: Instant) -> Lease {
        Lease { end, until: Utc::default(), notice: end, announced: true }
    }

    /// True once, when the end is near.
    pub fn announces(&mut self, now: Instant) -> bool {
        let near = now >= self.notice && now < self.end;
        near && !std::mem::replace(&mut self.announced, true)
    }

    pub fn is_ending(&self) -> bool {
        self.announced
    }

    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }
}
