//! One observation of a tag.

use crate::{BadReason, Instant, Now, Quality, UncertainReason, Utc, Value};
use std::time::Duration;

/// A value with its quality, the time its source gave it, and the time we received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The value; `None` when none has ever been known. A Bad sample may keep the last value, for showing only.
    pub value: Option<Value>,
    /// Trust in the value.
    pub quality: Quality,
    /// When the source took it (civil time); equal to our own time where the protocol carries none.
    pub source_time: Utc,
    /// When we received it (monotonic): the base of its age.
    pub received: Instant,
}

impl Sample {
    /// A good value observed now. A NaN or infinite number becomes Bad(not-finite).
    #[must_use]
    pub fn good(value: impl Into<Value>, now: Now) -> Self {
        Self::with_quality(value, Quality::Good, now)
    }

    /// A value of the given quality observed now. A NaN or infinite number becomes Bad(not-finite).
    #[must_use]
    pub fn with_quality(value: impl Into<Value>, quality: Quality, now: Now) -> Self {
        let value = value.into();
        if value.is_finite() {
            Self { value: Some(value), quality, source_time: now.utc, received: now.mono }
        } else {
            Self::bad(BadReason::NotFinite, None, now)
        }
    }

    /// No usable value, with the reason and the last value known, if any.
    #[must_use]
    pub fn bad(reason: BadReason, last: Option<Value>, now: Now) -> Self {
        Self { value: last, quality: Quality::Bad(reason), source_time: now.utc, received: now.mono }
    }

    /// A value that nobody has confirmed yet.
    #[must_use]
    pub fn initial(value: Option<Value>, now: Now) -> Self {
        let quality = match value {
            Some(_) => Quality::Uncertain(UncertainReason::Initial),
            None => Quality::Bad(BadReason::Initial),
        };
        Self { value, quality, source_time: now.utc, received: now.mono }
    }

    /// How long ago this was received.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.since(self.received)
    }

    /// The value where it may be used (Good or Uncertain), else `None`.
    #[must_use]
    pub fn usable(&self) -> Option<&Value> {
        if self.quality.is_bad() { None } else { self.value.as_ref() }
    }

    /// The number where it may be used, else `None`.
    #[must_use]
    pub fn usable_f64(&self) -> Option<f64> {
        self.usable().and_then(Value::as_f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_never_enters_as_good() {
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let s = Sample::good(x, Now::default());
            assert_eq!(s.quality, Quality::Bad(BadReason::NotFinite));
            assert_eq!(s.usable_f64(), None);
        }
    }

    #[test]
    fn a_bad_sample_keeps_its_last_value_for_showing_only() {
        let s = Sample::bad(BadReason::Link, Some(Value::Float(2.0)), Now::default());
        assert_eq!(s.value, Some(Value::Float(2.0)));
        assert_eq!(s.usable(), None);
    }
}
