//! What an instrument itself, and the quality of its sample, say against a value: asked before any test of the value.

use crate::host::Fail;
use crate::io::Io;
use penstock_model::{Quality, UncertainReason};
use rhai::INT;

/// Nothing is said against it.
const FINE: INT = 0;
// The codes are those of `validator()`, which judges the value afterwards.
const MISSING: INT = 1;
const MAINTENANCE: INT = 2;
const RANGE: INT = 4;
const FLAT: INT = 7;

/// The code of what is said. `word` is the instrument's status word, 0 where there is none.
fn code(quality: Quality, word: INT, service: INT, failure: INT) -> INT {
    // Whoever cleans a probe may unplug it: service counts first, and raises no alarm.
    match quality {
        _ if word & service != 0 => MAINTENANCE,
        Quality::Uncertain(UncertainReason::Maintenance) => MAINTENANCE,
        _ if word & failure != 0 || quality.is_bad() => MISSING,
        Quality::Uncertain(UncertainReason::RangeExceeded) => RANGE,
        Quality::Uncertain(UncertainReason::Frozen) => FLAT,
        _ => FINE,
    }
}

impl Io {
    /// `io.health("x", "status", service, failure)`: `service` and `failure` are the bits of the status word that mean so.
    fn health(&self, name: &str, status: &str, service: INT, failure: INT) -> Result<INT, Fail> {
        let (quality, word) = self.quality_and_word(name, status)?;
        Ok(code(quality, word, service, failure))
    }
}

pub(crate) fn register(engine: &mut rhai::Engine) {
    engine.register_fn("health", |io: &mut Io, name: &str, status: &str, service: INT, failure: INT| {
        io.health(name, status, service, failure)
    });
    engine.register_fn("health", |io: &mut Io, name: &str| io.quality(name).map(|quality| code(quality, 0, 0, 0)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::BadReason;

    #[test]
    fn service_counts_before_failure_and_failure_before_what_the_sample_says() {
        let judged = |quality, word| code(quality, word, 2 | 4 | 64, 16);
        for (quality, word, expected) in [
            (Quality::Good, 0, FINE),
            (Quality::Good, 1 | 8 | 32, FINE),
            (Quality::Good, 2, MAINTENANCE),
            (Quality::Good, 4 | 8, MAINTENANCE),
            (Quality::Good, 64 | 16, MAINTENANCE),
            (Quality::Good, 16, MISSING),
            (Quality::Good, 16 | 32, MISSING),
            (Quality::Bad(BadReason::Link), 4, MAINTENANCE),
            (Quality::Bad(BadReason::Link), 1, MISSING),
            (Quality::Bad(BadReason::Stale), 0, MISSING),
            (Quality::Uncertain(UncertainReason::Maintenance), 0, MAINTENANCE),
            (Quality::Uncertain(UncertainReason::Maintenance), 16, MAINTENANCE),
            (Quality::Uncertain(UncertainReason::RangeExceeded), 1, RANGE),
            (Quality::Uncertain(UncertainReason::Frozen), 1, FLAT),
            (Quality::Uncertain(UncertainReason::Frozen), 2, MAINTENANCE),
            (Quality::Uncertain(UncertainReason::Substituted), 1, FINE),
        ] {
            assert_eq!(judged(quality, word), expected, "{quality} with {word}");
        }
    }
}
