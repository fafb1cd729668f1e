//! The record of scans: written beside the plant into a bounded ring in the state folder, read by `replay`, `shadow` and
//! `why`.
//!
//! Duties: no scan waits for the disk (tasks leave their journals in bounded queues); what was written survives the death
//! of the process; what is missing is known to be missing. The folder `recorder/` of the state folder holds the segments
//! and, once each, the configurations that ran.

pub mod bundle;
pub mod codec;
pub mod order;
pub mod ring;
pub mod tape;

use crate::config::{RecorderSettings, Site};
use bundle::{Bundle, Names};
use codec::{Memory, Out};
use parking_lot::Mutex;
use penstock_engine::{Engine, ScanJournal};
use penstock_model::{Clock, LinkRecord, TagTable, TaskId, Utc, Value, ValueType};
use ring::{Bounds, Head, Kind, Ring};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often journals are fetched: well within what waits for a 10 ms task.
const FETCH_EVERY: Duration = Duration::from_millis(100);
/// How long a journal waits in memory for others of its block.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Length at which a block is written at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How often a keyframe is taken: a replay starts at most so far before its window.
const KEYFRAME_EVERY: Duration = Duration::from_secs(60);
/// What a power cut may cost. The death of the process alone costs what waits in memory.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How long a journal waits to learn which configuration it ran with.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(5);

/// System tags published here: path, Chinese, English, unit, type.
pub const RECORDER_TAGS: &[(&str, &str, &str, &str, ValueType)] = &[
    ("sys/recorder/ok", "扫描记录可写", "Record of scans is written", "", ValueType::Bool),
    ("sys/recorder/lost", "未记录的扫描数", "Scans not recorded", "", ValueType::Int),
    ("sys/recorder/disk_bytes", "扫描记录占用", "Record of scans on disk", "B", ValueType::Float),
];

/// Folder of the record within a state folder.
#[must_use]
pub fn folder(state: &Path) -> PathBuf {
    state.join("recorder")
}

/// The recorder of a running site.
#[derive(Clone)]
pub struct Recorder {
    dir: PathBuf,
    /// Configurations in the order in which the tasks took them.
    configs: Arc<Mutex<Vec<[u8; 6]>>>,
    settings: RecorderSettings,
    free_bytes_min: u64,
    tags: Arc<TagTable>,
    tasks: Vec<TaskId>,
    /// When the run began: its name.
    run: i64,
}

impl Recorder {
    /// For this site; `None` where it keeps no record. To be called before the first scan: the tasks begin to leave
    /// their journals.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn new(site: &Site, state: &Path, engine: &Engine, now: Utc) -> std::io::Result<Option<Recorder>> {
        let Some(settings) = site.recorder else { return Ok(None) };
        let recorder = Recorder {
            dir: folder(state),
            configs: Arc::default(),
            settings,
            free_bytes_min: site.historian.free_bytes_min,
            tags: site.tags.clone(),
            tasks: site.tasks.iter().map(|t| t.id).collect(),
            run: now.0,
        };
        std::fs::create_dir_all(recorder.dir.join("configs"))?;
        recorder.keep(site)?;
        recorder.next(site);
        Names::of(site).write(&recorder.dir, recorder.run)?;
        engine.record_scans();
        Ok(Some(recorder))
    }

    /// Keeps the files of a configuration.
    ///
    /// # Errors
    /// When the disk does not take it. Its scans are recorded all the same; a replay of them needs the files.
    pub fn keep(&self, site: &Site) -> std::io::Result<()> {
        Bundle::of(site)?.write(&self.dir)
    }

    /// Names the configuration that was just handed to the tasks. To be called for each, in their order.
    pub fn next(&self, site: &Site) {
        self.configs.lock().push(ring::config_bytes(&site.config_hash));
    }

    /// Starts the thread that writes. It ends when `stop` is set.
    ///
    /// # Errors
    /// When the folder cannot be used or the system starts no thread.
    pub fn start(
        &self,
        engine: Engine,
        clock: Arc<dyn Clock>,
        stop: Arc<AtomicBool>,
    ) -> std::io::Result<JoinHandle<()>> {
        let bounds = Bounds {
            bytes_max: self.settings.bytes_max,
            keep_ns: i64::try_from(self.settings.keep.as_nanos()).unwrap_or(i64::MAX),
            free_bytes_min: self.free_bytes_min,
        };
        let writer = Writer {
            ring: Ring::open(&self.dir, bounds)?,
            run: self.run,
            clock,
            tasks: self.tasks.iter().map(|task| Pending::new(*task)).collect(),
            recorder: self.clone(),
            engine,
            links: Vec::new(),
            failing: false,
            unwritten: 0,
        };
        std::thread::Builder::new().name("recorder".into()).spawn(move || writer.run(&stop))
    }
}

/// Journals of one task that are not on the disk yet.
struct Pending {
    task: TaskId,
    out: Out,
    memory: Memory,
    head: Option<Head>,
    since: Instant,
    /// Waits to learn its configuration.
    held: Option<(Box<ScanJournal>, Instant)>,
    /// The memory of the encoder is that of what is on the disk.
    joined: bool,
}

impl Pending {
    fn new(task: TaskId) -> Pending {
        let (out, memory) = (Out::default(), Memory::default());
        Pending { task, out, memory, head: None, since: Instant::now(), held: None, joined: false }
    }
}

struct Writer {
    recorder: Recorder,
    engine: Engine,
    clock: Arc<dyn Clock>,
    ring: Ring,
    run: i64,
    tasks: Vec<Pending>,
    /// Links as last written: state and reason.
    links: Vec<(penstock_model::LinkState, Arc<str>)>,
    failing: bool,
    /// Scans that were fetched and could not be written.
    unwritten: u64,
}

impl Writer {
    fn run(mut self, stop: &AtomicBool) {
        // Of this thread alone: control and operators go first.
        if let Err(error) = rustix::process::setpriority_process(None, 5) {
            tracing::debug!(%error, "the recorder runs at the usual priority");
        }
        let (mut keyed, mut synced, mut shown) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let ending = stop.load(Ordering::SeqCst);
            for index in 0..self.tasks.len() {
                self.fetch(index);
                let pending = &self.tasks[index];
                if pending.head.is_some() && (ending || pending.since.elapsed() >= FLUSH_EVERY) {
                    self.flush(index);
                }
            }
            self.write_links(false);
            if keyed.elapsed() >= KEYFRAME_EVERY {
                keyed = Instant::now();
                self.ask_for_keyframes();
            }
            if synced.elapsed() >= SYNC_EVERY || ending {
                synced = Instant::now();
                let result = self.ring.sync();
                self.tell(result.map(|()| false));
            }
            if shown.elapsed() >= Duration::from_secs(1) {
                shown = Instant::now();
                self.publish();
            }
            if ending {
                return;
            }
            std::thread::sleep(FETCH_EVERY);
        }
    }

    fn ask_for_keyframes(&self) {
        for pending in &self.tasks {
            self.engine.ask_for_keyframe(pending.task);
        }
    }

    /// Takes what a task has left into its block.
    fn fetch(&mut self, index: usize) {
        loop {
            let pending = &mut self.tasks[index];
            let (journal, since) = match pending.held.take() {
                Some(held) => held,
                None => match self.engine.take_journal(pending.task) {
                    Some(journal) => (journal, Instant::now()),
                    None => return,
                },
            };
            let config = self.recorder.configs.lock().get(journal.changes as usize).copied();
            if config.is_none() && since.elapsed() < CONFIGURATION_WAIT {
                pending.held = Some((journal, since));
                return;
            }
            self.add(index, &journal, config.unwrap_or_default());
            self.engine.give_back_journal(journal);
        }
    }

    fn add(&mut self, index: usize, journal: &ScanJournal, config: [u8; 6]) {
        let pending = &mut self.tasks[index];
        if journal.key.is_none() && !pending.joined {
            // What it builds on is not on the disk.
            self.unwritten += 1;
            self.engine.ask_for_keyframe(pending.task);
            return;
        }
        if journal.key.is_some() {
            self.flush(index);
        }
        let pending = &mut self.tasks[index];
        pending.joined = true;
        let head = pending.head.get_or_insert_with(|| {
            pending.since = Instant::now();
            Head {
                kind: Kind::Scans,
                task: pending.task.0,
                key: journal.key.is_some(),
                config,
                run: self.run,
                first_scan: journal.scan,
                last_scan: journal.scan,
                first_utc: journal.now.utc.0,
                last_utc: journal.now.utc.0,
                len: 0,
                crc: 0,
            }
        });
        head.last_scan = journal.scan;
        head.last_utc = journal.now.utc.0;
        pending.out.journal(journal, &mut pending.memory);
        if pending.out.0.len() >= BLOCK_BYTES {
            self.flush(index);
        }
    }

    /// Writes a task's block.
    fn flush(&mut self, index: usize) {
        let pending = &mut self.tasks[index];
        let Some(head) = pending.head.take() else { return };
        let now = self.clock.now().utc.0;
        let result = self.ring.append(head, &pending.out.0, now);
        if result.is_err() {
            pending.joined = false;
            self.unwritten += head.last_scan - head.first_scan + 1;
        }
        self.tasks[index].out.0.clear();
        self.tell(result);
    }

    /// Says once that the disk refuses, and once that it takes again. A new segment begins with keyframes.
    fn tell(&mut self, result: std::io::Result<bool>) {
        match result {
            Ok(new_segment) => {
                if new_segment {
                    self.ask_for_keyframes();
                    self.write_links(true);
                }
                if std::mem::take(&mut self.failing) {
                    tracing::info!("scans are recorded again");
                }
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(
                    %error,
                    folder = %self.recorder.dir.display(),
                    "scans are not recorded: windows from now on cannot be replayed. Free disk space or permit the folder; control goes on"
                );
            }
            Err(_) => {}
        }
    }

    /// How the links stand, where that changed.
    fn write_links(&mut self, always: bool) {
        let links = self.engine.links();
        let stand: Vec<_> = links.iter().map(|l| (l.state, l.reason.clone())).collect();
        if stand == self.links && !always {
            return;
        }
        let now = self.clock.now().utc.0;
        let body = links_json(&links);
        let config = self.recorder.configs.lock().last().copied().unwrap_or_default();
        let head = Head {
            kind: Kind::Links,
            task: 0,
            key: false,
            config,
            run: self.run,
            first_scan: 0,
            last_scan: 0,
            first_utc: now,
            last_utc: now,
            len: 0,
            crc: 0,
        };
        let result = self.ring.append(head, body.to_string().as_bytes(), now);
        if result.is_ok() {
            self.links = stand;
        }
        self.tell(result);
    }

    fn publish(&self) {
        let lost: u64 = self.tasks.iter().map(|p| self.engine.journals_lost(p.task)).sum::<u64>() + self.unwritten;
        #[expect(clippy::cast_precision_loss, reason = "a size for a screen")]
        let bytes = self.ring.bytes().unwrap_or(0) as f64;
        let values = [
            ("sys/recorder/ok", Value::Bool(!self.failing)),
            ("sys/recorder/lost", Value::Int(i64::try_from(lost).unwrap_or(i64::MAX))),
            ("sys/recorder/disk_bytes", Value::Float(bytes)),
        ];
        crate::run::history::publish(&self.recorder.tags, &*self.engine.sink(), self.clock.now(), values);
    }
}

fn links_json(links: &[LinkRecord]) -> serde_json::Value {
    let link = |l: &LinkRecord| serde_json::json!({ "device": l.device.0, "state": l.state.as_str(), "reason": &*l.reason, "at_ns": Utc::from_millis(l.at.millis()).0 });
    links.iter().map(link).collect()
}
