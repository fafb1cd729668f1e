//! What a consumer cannot tell by itself: that it stands still. A thread that waits for a disk that does not answer says
//! nothing more, and its last word was that all is well.

use penstock_engine::Engine;
use penstock_model::{Clock, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A commit takes milliseconds, on a slow disk a second; ten without one is a disk that does not answer.
const STANDSTILL: Duration = Duration::from_secs(10);

/// When the historian's thread last went on.
#[derive(Debug, Clone)]
pub struct Beat {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Beat {
    fn default() -> Self {
        Beat { start: Instant::now(), last_ms: Arc::default() }
    }
}

impl Beat {
    /// It goes on.
    pub fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::SeqCst);
    }

    /// For how long it has not.
    fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::SeqCst)))
    }
}

/// Begins to look; ends with `stop`.
pub fn watch(engine: &Engine, clock: &Arc<dyn Clock>, historian: Beat, mut stop: watch::Receiver<bool>) {
    let (engine, clock, lost) = (engine.clone(), clock.clone(), crate::log::lost());
    let mut watched = Watched { standing: false };
    tokio::spawn(async move {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let lost = i64::try_from(lost.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            let mut values = vec![("sys/log/lost", Value::Int(lost))];
            if watched.look(historian.silence()) {
                values.push(("sys/historian/ok", Value::Bool(false)));
            }
            super::history::publish(&engine.tags(), &*engine.sink(), clock.now(), values);
        }
    });
}

struct Watched {
    standing: bool,
}

impl Watched {
    /// True while the historian stands still; said once when that begins and once when it is over.
    fn look(&mut self, silence: Duration) -> bool {
        let standing = silence >= STANDSTILL;
        match (self.standing, standing) {
            (false, true) => tracing::error!(
                ?silence,
                "the historian stands still: its disk does not answer. Records wait within their bound, further ones are lost and counted; control goes on"
            ),
            (true, false) => tracing::warn!("the historian goes on; sys/historian/dropped counts what was lost"),
            _ => {}
        }
        self.standing = standing;
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_begins_after_ten_seconds_and_ends_with_the_next_beat() {
        let beat = Beat::default();
        beat.beat();
        assert!(beat.silence() < STANDSTILL);
        let mut watched = Watched { standing: false };
        assert!(!watched.look(Duration::from_secs(9)));
        assert!(watched.look(Duration::from_secs(10)) && watched.look(Duration::from_secs(11)));
        assert!(!watched.look(Duration::ZERO));
    }
}
