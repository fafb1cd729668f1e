//! The ledger's thread: shows it the meters once a second and delivers its figures as tags.

use penstock_engine::Engine;
use penstock_ledger::Ledger;
use penstock_model::{Clock, TagSample};
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
        let sink = engine.sink();
        let tags = engine.tags().clone();
        while !stop.load(Ordering::SeqCst) {
            let read = |path: &str| tags.find(path).map(|id| engine.read(id));
            let figures = ledger.observe(clock.now(), &read);
            let batch: Vec<TagSample> = figures
                .into_iter()
                .filter_map(|(path, sample)| Some(TagSample { tag: tags.find(&path)?, sample }))
                .collect();
            sink.samples(&batch);
            std::thread::sleep(OBSERVE_EVERY);
        }
    })
}
