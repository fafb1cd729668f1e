//! The thread that owns the store: whoever publishes never waits for a disk.

use super::{Bounds, Position, Replayed, Store, StoredTable};
use crate::limits::{STORE_SYNC_EVERY, STORE_WAITING_MAX};
use penstock_model::{Clock, Utc};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

enum Ask {
    Append { at: Utc, count: u32, payload: Vec<u8> },
    Rewind,
    Next(oneshot::Sender<Option<Replayed>>),
    Confirm(Position),
}

/// What the thread shows of the store.
#[derive(Debug, Default)]
struct Stats {
    values: AtomicU64,
    bytes: AtomicU64,
    /// ms of UTC; `i64::MAX` for none.
    oldest_ms: AtomicI64,
    dropped: AtomicU64,
    /// Dropped before they reached the thread.
    refused: AtomicU64,
    failing: AtomicBool,
}

/// How the store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    pub values: u64,
    pub bytes: u64,
    pub oldest_ms: Option<i64>,
    pub dropped: u64,
    pub ok: bool,
}

/// The store, from outside its thread.
pub(crate) struct StoreHandle {
    asks: Option<SyncSender<Ask>>,
    stats: Arc<Stats>,
    thread: Option<JoinHandle<()>>,
}

impl StoreHandle {
    /// Opens the store in a thread of its own.
    pub fn start(
        dir: &Path,
        bounds: Bounds,
        table: StoredTable,
        clock: Arc<dyn Clock>,
        ready: Option<oneshot::Sender<()>>,
    ) -> io::Result<StoreHandle> {
        let (asks, asked) = sync_channel(STORE_WAITING_MAX);
        let stats = Arc::new(Stats { oldest_ms: AtomicI64::new(i64::MAX), ..Stats::default() });
        let (dir, shown) = (dir.to_path_buf(), stats.clone());
        let thread = std::thread::Builder::new().name("mqtt-store".to_owned()).spawn(move || {
            let mut keeper = Keeper { dir, bounds, table, clock, stats: shown, store: None, told: String::new() };
            keeper.open();
            keeper.show();
            if let Some(ready) = ready {
                let _ = ready.send(());
            }
            keeper.serve(&asked);
        })?;
        Ok(StoreHandle { asks: Some(asks), stats, thread: Some(thread) })
    }

    fn ask(&self, ask: Ask) -> bool {
        let Some(asks) = &self.asks else { return false };
        let lost = match asks.try_send(ask) {
            Ok(()) => return true,
            Err(TrySendError::Full(ask) | TrySendError::Disconnected(ask)) => ask,
        };
        if let Ask::Append { count, .. } = lost {
            self.stats.refused.fetch_add(u64::from(count), Ordering::Relaxed);
        }
        false
    }

    /// Hands values over. Never waits: where the disk hangs they are counted as dropped.
    pub fn append(&self, at: Utc, count: u32, payload: Vec<u8>) {
        self.ask(Ask::Append { at, count, payload });
    }

    /// What is not confirmed is to be sent again.
    pub fn rewind(&self) {
        self.ask(Ask::Rewind);
    }

    /// Asks for the next record; the receiver fails where the thread is busy, to be asked again.
    pub fn next(&self) -> oneshot::Receiver<Option<Replayed>> {
        let (tell, answer) = oneshot::channel();
        self.ask(Ask::Next(tell));
        answer
    }

    /// Everything before that position has arrived. A confirmation that is lost is made up for by the next.
    pub fn confirm(&self, position: Position) {
        self.ask(Ask::Confirm(position));
    }

    /// How it stands.
    pub fn shown(&self) -> Shown {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let oldest = self.stats.oldest_ms.load(Ordering::Relaxed);
        Shown {
            values: load(&self.stats.values),
            bytes: load(&self.stats.bytes),
            oldest_ms: (oldest != i64::MAX).then_some(oldest),
            dropped: load(&self.stats.dropped) + load(&self.stats.refused),
            ok: !self.stats.failing.load(Ordering::Relaxed),
        }
    }

    /// Lets the thread finish what it was given, and waits for it.
    pub fn close(mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the MQTT store broke, a defect of the runtime");
        }
    }
}

struct Keeper {
    dir: PathBuf,
    bounds: Bounds,
    table: StoredTable,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    store: Option<Store>,
    /// The error told last: a full disk is one line, not one per second.
    told: String,
}

impl Keeper {
    fn open(&mut self) {
        match Store::open(&self.dir, self.bounds, &self.table) {
            Ok((store, broken)) => {
                if broken > 0 {
                    tracing::warn!(bytes = broken, folder = %self.dir.display(), "the MQTT store: an end that was not written whole is left out");
                }
                self.store = Some(store);
                self.tell(Ok(()));
            }
            Err(error) => self.tell(Err(error)),
        }
    }

    fn serve(&mut self, asked: &Receiver<Ask>) {
        let mut saved = Instant::now();
        loop {
            match asked.recv_timeout(STORE_SYNC_EVERY) {
                Ok(ask) => self.answer(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.save();
                    return;
                }
            }
            if saved.elapsed() >= STORE_SYNC_EVERY {
                saved = Instant::now();
                self.save();
            }
            self.show();
        }
    }

    fn answer(&mut self, ask: Ask) {
        let now = self.clock.now().utc;
        let Some(store) = &mut self.store else {
            if let Ask::Append { count, .. } = ask {
                self.stats.refused.fetch_add(u64::from(count), Ordering::Relaxed);
            }
            return;
        };
        let result = match ask {
            Ask::Append { at, count, payload } => {
                let result = store.append(at, count, &payload);
                if result.is_err() {
                    self.stats.refused.fetch_add(u64::from(count), Ordering::Relaxed);
                }
                result
            }
            Ask::Rewind => {
                store.rewind();
                Ok(())
            }
            Ask::Next(tell) => match store.next(now) {
                Ok(record) => {
                    // Nobody waits any more where the session ended meanwhile; the next one starts over.
                    let _ = tell.send(record);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Ask::Confirm(position) => {
                store.confirm(position);
                Ok(())
            }
        };
        if result.is_err() {
            self.tell(result);
        }
    }

    /// Once a second: syncs, writes the position down, keeps the bounds, and tries again what failed.
    fn save(&mut self) {
        let now = self.clock.now().utc;
        match &mut self.store {
            None => self.open(),
            Some(store) => {
                store.keep_bounds(now);
                let result = store.sync().and_then(|()| store.save_cursor());
                self.tell(result);
            }
        }
    }

    fn tell(&mut self, result: io::Result<()>) {
        let text = result.err().map(|e| e.to_string()).unwrap_or_default();
        self.stats.failing.store(!text.is_empty(), Ordering::Relaxed);
        if text == self.told {
            return;
        }
        if text.is_empty() {
            tracing::info!(folder = %self.dir.display(), "the MQTT store can be written again");
        } else {
            tracing::error!(
                folder = %self.dir.display(), error = %text,
                "the MQTT store cannot be used: values that no broker takes are lost until it can; free space on the disk or mend the folder"
            );
        }
        self.told = text;
    }

    fn show(&self) {
        let Some(store) = &self.store else { return };
        self.stats.values.store(store.values(), Ordering::Relaxed);
        self.stats.bytes.store(store.bytes(), Ordering::Relaxed);
        self.stats.oldest_ms.store(store.oldest_ms().unwrap_or(i64::MAX), Ordering::Relaxed);
        self.stats.dropped.store(store.dropped(), Ordering::Relaxed);
    }
}
