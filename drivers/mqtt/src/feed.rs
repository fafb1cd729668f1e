//! What lives longer than a session: what hosts know, what waits for them, and how the node stands.

use crate::limits::{METRICS_PER_MESSAGE_MAX, PUBLISH_EVERY_MIN, STATUS_EVERY, UNCONFIRMED_BYTES_MAX};
use crate::node::{Change, Message, Node};
use crate::store::{Bounds, Position, StoreHandle, replace};
use crate::{Config, MetricSource, Status};
use penstock_model::{Clock, Instant, TagTable, Utc};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

/// File that holds the number of the last session.
const BD_SEQ: &str = "bdseq";
/// Folder of the store.
const QUEUE: &str = "queue";

/// What a message carried that must not be lost before it has arrived.
pub(crate) enum Carried {
    /// Live values, as the store would keep them.
    Live { at: Utc, count: u32, payload: Vec<u8> },
    /// A record of the store.
    Replayed(Position),
}

/// Messages that were sent and not yet shown to have arrived, by their number.
#[derive(Default)]
struct Unconfirmed {
    sent: VecDeque<(u64, Carried)>,
    bytes: usize,
}

impl Unconfirmed {
    fn push(&mut self, number: u64, carried: Carried) {
        self.bytes += size(&carried);
        self.sent.push_back((number, carried));
        while self.bytes > UNCONFIRMED_BYTES_MAX {
            let Some((_, oldest)) = self.sent.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// Everything up to that number has arrived. The last position of the store among it.
    fn confirm(&mut self, number: u64) -> Option<Position> {
        let mut position = None;
        while self.sent.front().is_some_and(|(n, _)| *n <= number) {
            let Some((_, carried)) = self.sent.pop_front() else { break };
            self.bytes -= size(&carried);
            if let Carried::Replayed(at) = carried {
                position = Some(at);
            }
        }
        position
    }
}

fn size(carried: &Carried) -> usize {
    match carried {
        Carried::Live { payload, .. } => payload.len() + 64,
        Carried::Replayed(_) => 64,
    }
}

/// See the module.
pub(crate) struct Feed {
    pub config: Arc<Config>,
    pub source: Arc<dyn MetricSource>,
    pub clock: Arc<dyn Clock>,
    pub node: Node,
    pub store: Option<StoreHandle>,
    pub status: Status,
    pub table: Arc<TagTable>,
    /// Version of the source up to which changes were taken.
    version: u64,
    unconfirmed: Unconfirmed,
    shown: Option<Instant>,
    bd_seq_file: Option<PathBuf>,
}

impl Feed {
    pub async fn new(config: Arc<Config>, source: Arc<dyn MetricSource>, clock: Arc<dyn Clock>) -> Feed {
        let (dir, table) = (config.state_dir.clone(), source.tags());
        let (for_store, store_clock) = (config.clone(), clock.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let Some(dir) = dir else { return (None, None) };
            if let Err(error) = std::fs::create_dir_all(&dir) {
                tracing::error!(folder = %dir.display(), %error, "the state of the MQTT edge node cannot be kept");
            }
            (read_bd_seq(&dir.join(BD_SEQ)), open_store(&for_store, &dir, store_clock))
        });
        let (last, opened) = opened.await.unwrap_or((None, None));
        let store = match opened {
            // What waits is counted before anything is said of it.
            Some((store, ready)) => {
                let _ = ready.await;
                Some(store)
            }
            None => None,
        };
        let bd_seq_file = config.state_dir.as_ref().map(|dir| dir.join(BD_SEQ));
        let host_online = config.primary_host.as_ref().map(|_| false);
        Feed {
            node: Node::new(config.clone(), last),
            store,
            status: Status { host_online, store_ok: true, ..Status::default() },
            table,
            version: 0,
            unconfirmed: Unconfirmed::default(),
            shown: None,
            bd_seq_file,
            config,
            source,
            clock,
        }
    }

    /// Numbers a session; the number is on the disk before the broker hears of it, so that no restart uses it twice.
    pub async fn begin_session(&mut self) {
        let number = self.node.begin_session();
        let Some(path) = self.bd_seq_file.clone() else { return };
        let text = format!("{number}\n");
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || replace(&path, text.as_bytes())).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(file = %shown, %error, "the number of the session cannot be kept; after a restart hosts may take a late death for ours");
        }
    }

    /// A tick while hosts do not listen: what changed goes into the store.
    pub fn keep(&mut self) {
        let changes = self.fresh();
        if let Some(store) = &self.store {
            let now = self.clock.now().utc;
            for part in changes.chunks(METRICS_PER_MESSAGE_MAX) {
                let (count, payload) = self.node.history(part, now);
                if count > 0 {
                    store.append(now, count, payload);
                }
            }
        }
        self.show();
    }

    /// What changed since this was asked last. It counts as told from here on.
    pub fn fresh(&mut self) -> Vec<Change> {
        let (at, samples) = self.source.changed_since(self.version);
        self.version = at;
        self.node.changes(&samples)
    }

    /// Births with everything as it stands, and what changed until now.
    pub fn birth(&mut self) -> (Vec<Change>, Vec<Message>) {
        self.version = 0;
        let changes = self.fresh();
        let messages = self.node.birth(&self.table, self.clock.now().utc);
        (changes, messages)
    }

    /// Remembers what was sent in the messages up to that number until they are shown to have arrived.
    pub fn sent(&mut self, number: u64, changes: &[Change]) {
        if self.store.is_none() {
            return;
        }
        let at = self.clock.now().utc;
        for part in changes.chunks(METRICS_PER_MESSAGE_MAX) {
            let (count, payload) = self.node.history(part, at);
            if count > 0 {
                self.unconfirmed.push(number, Carried::Live { at, count, payload });
            }
        }
    }

    /// Remembers that a record of the store was sent.
    pub fn replayed(&mut self, number: u64, behind: Position) {
        self.unconfirmed.push(number, Carried::Replayed(behind));
    }

    /// The messages up to that number have arrived.
    pub fn confirmed(&mut self, number: u64) {
        if let (Some(position), Some(store)) = (self.unconfirmed.confirm(number), &self.store) {
            store.confirm(position);
        }
    }

    /// The session is over: what may not have arrived is kept, and will be sent again.
    pub fn session_ended(&mut self) {
        for (_, carried) in std::mem::take(&mut self.unconfirmed).sent {
            if let (Carried::Live { at, count, payload }, Some(store)) = (carried, &self.store) {
                store.append(at, count, payload);
            }
        }
        self.status.broker = None;
        self.status.online = false;
        self.status.host_online = self.status.host_online.map(|_| false);
        self.shown = None;
        self.show();
    }

    /// Waits between two sessions. False: we are to stop.
    pub async fn wait(&mut self, time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        let mut ticks = interval(self.config.publish_every.max(PUBLISH_EVERY_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                _ = ticks.tick() => self.keep(),
                () = crate::session::stopped(stop) => return false,
            }
        }
    }

    /// Publishes how the node stands, once a second and when that has been reset.
    pub fn show(&mut self) {
        let now = self.clock.now();
        if self.shown.is_some_and(|at| now.mono.since(at) < STATUS_EVERY) {
            return;
        }
        self.shown = Some(now.mono);
        if let Some(store) = &self.store {
            let shown = store.shown();
            let age = shown.oldest_ms.map_or(0, |ms| now.utc.millis().saturating_sub(ms));
            self.status.backlog = shown.values;
            self.status.backlog_bytes = shown.bytes;
            self.status.backlog_age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            self.status.dropped = shown.dropped;
            self.status.store_ok = shown.ok;
        }
        self.source.status(&self.status);
    }

    /// The next status is shown at once.
    pub fn show_now(&mut self) {
        self.shown = None;
        self.show();
    }

    /// Keeps what is under way and ends the store's thread.
    pub async fn close(mut self) {
        self.session_ended();
        if let Some(store) = self.store.take()
            && tokio::task::spawn_blocking(move || store.close()).await.is_err()
        {
            tracing::error!("the MQTT store could not be closed");
        }
    }
}

fn open_store(config: &Config, dir: &Path, clock: Arc<dyn Clock>) -> Option<(StoreHandle, oneshot::Receiver<()>)> {
    let settings = config.store?;
    let bounds = Bounds { bytes_max: settings.bytes_max, age_max: settings.age_max };
    let (ready, opened) = oneshot::channel();
    match StoreHandle::start(&dir.join(QUEUE), bounds, Node::stored_table(config), clock, Some(ready)) {
        Ok(store) => Some((store, opened)),
        Err(error) => {
            tracing::error!(%error, "the thread of the MQTT store cannot be started: nothing is kept for hosts that are away");
            None
        }
    }
}

/// The number of the last session; `None` where it is not known.
fn read_bd_seq(path: &Path) -> Option<u8> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
