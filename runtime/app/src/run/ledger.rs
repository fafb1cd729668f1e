//! The ledger's thread: shows it the meters once a second and delivers its figures as tags.

use penstock_engine::Engine;
use penstock_ledger::Ledger;
use penstock_model::{Clock, Now, TagSample};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// Starts the thread; it ends within a second of `stop`.
///
/// # Errors
/// When the system cannot start a thread.
pub fn start(
    ledger: Arc<Ledger>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("ledger".into()).spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            observe(&ledger, &engine, clock.now());
            std::thread::sleep(OBSERVE_EVERY);
        }
    })
}

/// Shows the ledger the meters as they stand and delivers its figures as tags; to be called once a second of the clock.
pub fn observe(ledger: &Ledger, engine: &Engine, now: Now) {
    let tags = engine.tags();
    let read = |path: &str| tags.find(path).map(|id| engine.read(id));
    let batch: Vec<TagSample> = ledger
        .observe(now, &read)
        .into_iter()
        .filter_map(|(path, sample)| Some(TagSample { tag: tags.find(&path)?, sample }))
        .collect();
    engine.sink().samples(&batch);
}
