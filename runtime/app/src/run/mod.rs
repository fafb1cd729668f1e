//! A running site: wiring of engine, drivers, historian, ledger and HMI, and their orderly end.
//!
//! Each part can die or be absent and the rest goes on: the scan threads wait for nobody.

pub(crate) mod drivers;
mod fanout;
pub mod history;
mod ledger;
pub(crate) mod modbus_server;
pub(crate) mod mqtt;
mod objects;
pub(crate) mod opcua_server;
mod pace;
mod person_certificates;
mod realtime;
mod restore;
mod retain;
mod retain_file;
mod scan;
mod sinks;
mod summary;

pub use fanout::{CommandQueues, Fanout};
pub(crate) use ledger::observe as observe_ledger;
pub(crate) use realtime::lock_program;
pub use realtime::{FIFO_PRIORITY_MAX, Realtime, priorities, use_fifo};
pub use scan::{ScanThreads, ThreadCpuClock, monotonic_ns, sleep_until};
pub use summary::Summary;

use crate::change::applied::Applied;
use crate::change::control;
use crate::config::Site;
use crate::recorder::Recorder;
use crate::supervise::child::Line;
use penstock_engine::{Engine, EngineConfig, ObjectDef};
use penstock_historian::Historian;
use penstock_hmi::{DeviceInfo, HmiConfig, HmiContext, SiteInfo};
use penstock_ledger::{ActionLog, Ledger};
use penstock_model::{Clock, SystemClock, Utc, with_causes};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Time given to drivers for the last commands of a stop.
const LAST_COMMANDS_WAIT: Duration = Duration::from_millis(800);
/// Time given to a driver or the HMI to end; then it is dropped with the runtime.
const TASK_END_WAIT: Duration = Duration::from_secs(3);

/// What a person chooses at the start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where history, ledger, users and certificates live.
    pub state_dir: PathBuf,
    /// Address of the HMI.
    pub hmi: SocketAddr,
    /// The line to the supervisor, where one watches.
    pub supervisor: Option<Line>,
    /// Where the site is not what lies in its folder: a restart after a crash.
    pub applied: Option<Applied>,
}

/// Why a site could not be started. The configuration itself has been checked before.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder of the state directory.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The engine refuses the configuration.
    #[error("engine")]
    Engine(#[from] penstock_engine::BuildError),
    /// The record of operators' actions.
    #[error("action log")]
    Actions(#[from] penstock_ledger::LogError),
    /// The historian, where not even an empty store can be opened.
    #[error("historian")]
    Historian(#[from] penstock_historian::OpenError),
    /// The ledger.
    #[error("ledger")]
    Ledger(#[from] penstock_ledger::LedgerError),
    /// The HMI.
    #[error("{0}")]
    Hmi(String),
}

/// A running site.
pub struct Runtime {
    site: Arc<Site>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    historian: Arc<Historian>,
    ledger: Option<Arc<Ledger>>,
    hmi: SocketAddr,
    realtime: Realtime,
    scans: ScanThreads,
    keeper: retain::Keeper,
    workers: Vec<JoinHandle<()>>,
    workers_stop: Arc<AtomicBool>,
    history: JoinHandle<()>,
    history_stop: Arc<AtomicBool>,
    drivers: Vec<tokio::task::JoinHandle<()>>,
    driver_threads: drivers::Threads,
    drivers_stop: watch::Sender<bool>,
    hmi_task: tokio::task::JoinHandle<()>,
    hmi_stop: watch::Sender<bool>,
    opcua_server: Option<opcua_server::Server>,
    started: Utc,
    started_at: Instant,
    drops: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Runtime {
    /// Starts a checked site: stores, engine, drivers, HMI, and the scans last.
    ///
    /// # Errors
    /// When the state directory cannot be used, or the HMI's address is taken.
    pub async fn start(site: Site, options: Options) -> Result<Runtime, StartError> {
        let site = Arc::new(site);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let now = clock.now();
        let state = &options.state_dir;
        std::fs::create_dir_all(state).map_err(|source| io(format!("state directory {}", state.display()), source))?;

        let (actions, report) = ActionLog::open(&state.join("actions"))?;
        report_actions(&report);
        let historian = open_historian(&site, state)?;
        let ledger = match &site.ledger {
            Some(config) => Some(Arc::new(Ledger::open(&state.join("ledger"), config.clone(), historian.clone())?)),
            None => None,
        };

        let mut fanout = Fanout::default();
        let records = fanout.add("historian");
        let alarm_news = site.opcua_server.as_ref().map(|_| fanout.add_only("opcua server", opcua_server::wants));
        let mut drops = fanout.drops();
        drops.push(("log", crate::log::lost()));
        let (queues, receivers) = CommandQueues::new(site.devices.len());
        let objects = restore::objects(&site.objects, &actions, &historian, now.utc);
        let config = engine_config(&site, &actions, objects);
        let fanout: Arc<Fanout> = Arc::new(fanout);
        let (engine, mut cores) = Engine::build(config, Arc::new(queues), fanout.clone(), now)?;
        #[cfg(debug_assertions)]
        crate::supervise::child::arm(&mut cores);
        crate::supervise::record::journal(state, &historian, now.utc);
        restore::writes(&historian, now.utc);
        restore::alarms(&engine, &historian, &site.alarms, now.utc);
        restore::holds(&engine, &actions, now.utc);
        retain::restore(&site, state, &mut cores, now.utc);

        let actions = Arc::new(actions);
        let log = actions.clone();
        let hmi_config = HmiConfig {
            bind: options.hmi,
            users_file: state.join("users.json"),
            mimic_dir: site.hmi_dir.clone(),
            station: format!("hmi {}", options.hmi),
        };
        let info = site_info(&site);
        let shown_hash = info.config_hash.clone();
        let context = HmiContext {
            engine: engine.clone(),
            historian: historian.clone(),
            ledger: ledger.clone(),
            actions: actions.clone(),
            clock: clock.clone(),
            site: info,
            drops: Arc::new({
                let drops = drops.clone();
                move || drops.iter().map(|(n, d)| ((*n).to_owned(), d.load(Ordering::Relaxed))).collect()
            }),
        };
        let (hmi_stop, stopped) = watch::channel(false);
        let (hmi, hmi_task) = start_hmi(hmi_config, context, stopped).await?;
        // Only now a device is touched: where the address is taken, another runtime may be running this plant.
        if let Some(line) = options.supervisor.clone()
            && tokio::task::spawn_blocking(move || line.take_over()).await.is_err()
        {
            tracing::error!("the supervisor could not be asked for the outputs");
        }
        let (drivers_stop, stopped) = watch::channel(false);
        let driver_threads = drivers::Threads::start().map_err(|source| io("the drivers' threads".into(), source))?;
        let drivers = drivers::start(
            &driver_threads,
            &site,
            &engine,
            receivers,
            &drivers::Around { clock: &clock, stop: &stopped, state, actions: &actions },
        );

        let opcua_server = site.opcua_server.as_ref().zip(alarm_news).map(|(settings, news)| {
            opcua_server::Server::start(opcua_server::Parts {
                site: &site,
                settings,
                engine: &engine,
                historian: &historian,
                actions: &actions,
                clock: &clock,
                state,
                news,
                // It takes no more claims once the HMI does not.
                stop: hmi_stop.subscribe(),
            })
        });
        let opcua_server =
            opcua_server.transpose().map_err(|source| io("the OPC UA server's threads".into(), source))?;
        let workers_stop = Arc::new(AtomicBool::new(false));
        let history_stop = Arc::new(AtomicBool::new(false));
        let beat = sinks::Beat::default();
        let history = history::start(
            history::HistoryContext {
                historian: historian.clone(),
                tags: site.tags.clone(),
                alarms: site.alarms.clone(),
                devices: site.devices.iter().map(|d| d.name.clone()).collect(),
                sink: engine.sink(),
                clock: clock.clone(),
                dropped: drops[0].1.clone(),
                objects: site.objects.clone(),
                actions: Some(log),
                beat: beat.clone(),
            },
            records,
            history_stop.clone(),
        )
        .map_err(|source| io("historian thread".into(), source))?;
        sinks::watch(&engine, &clock, beat, drivers_stop.subscribe());
        let mut workers = Vec::new();
        if let Some(ledger) = &ledger {
            let worker = ledger::start(ledger.clone(), engine.clone(), clock.clone(), workers_stop.clone());
            workers.push(worker.map_err(|source| io("ledger thread".into(), source))?);
        }
        let keeper = retain::Keeper::new(&site, state);
        let worker = keeper.start(engine.clone(), workers_stop.clone());
        workers.push(worker.map_err(|source| io("retain thread".into(), source))?);
        let recorder = Recorder::new(&site, state, &engine, now.utc);
        let recorder = recorder.map_err(|source| io(format!("record of scans in {}", state.display()), source))?;
        if let Some(recorder) = &recorder {
            let worker = recorder.start(engine.clone(), clock.clone(), workers_stop.clone());
            workers.push(worker.map_err(|source| io("recorder thread".into(), source))?);
        }
        let context = control::Context {
            recorder,
            engine: engine.clone(),
            site: site.clone(),
            overrides: site.overrides.clone(),
            state_dir: state.clone(),
            clock: clock.clone(),
            actions,
            historian: historian.clone(),
            records: fanout,
            shown_hash,
            applied: options.applied,
            supervisor: options.supervisor.clone(),
        };
        match control::start(context, workers_stop.clone()) {
            Ok(worker) => workers.push(worker),
            // The plant runs without it.
            Err(error) => tracing::error!(
                %error,
                socket = %control::socket(state).display(),
                "no control socket: the configuration cannot be changed while this site runs. A path of a socket is at most \
                 107 bytes long; choose a shorter state folder"
            ),
        }
        let (scans, realtime) = ScanThreads::start(cores, &clock).map_err(|source| io("scan thread".into(), source))?;
        if let Some(line) = &options.supervisor {
            let followed = line.follow(engine.clone(), clock.clone(), hmi);
            followed.map_err(|source| io("the line to the supervisor".into(), source))?;
        }
        Ok(Runtime {
            site,
            engine,
            clock,
            historian,
            ledger,
            hmi,
            realtime,
            scans,
            keeper,
            workers,
            workers_stop,
            history,
            history_stop,
            drivers,
            driver_threads,
            drivers_stop,
            hmi_task,
            hmi_stop,
            opcua_server,
            started: now.utc,
            started_at: Instant::now(),
            drops,
        })
    }

    /// Where the HMI listens.
    #[must_use]
    pub fn hmi_address(&self) -> SocketAddr {
        self.hmi
    }

    /// What of soft realtime the system granted.
    #[must_use]
    pub fn realtime(&self) -> Realtime {
        self.realtime
    }

    /// The engine's handle.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops in the order that leaves the plant safe: the HMI takes no more claims, scans end and grant the shutdown
    /// fallbacks, drivers carry them out and end, and the historian saves last.
    pub async fn stop(self) -> Summary {
        let before = summary::BeforeStop::look(&self.site, &self.engine);
        // Nobody listens any more only when the task has ended already: the same for every stop below.
        let _ = self.hmi_stop.send(true);
        end("the HMI", self.hmi_task).await;
        if let Some(mut server) = self.opcua_server
            && let Some(task) = server.ended()
        {
            end("the OPC UA server", task).await;
        }
        let clock = self.clock.clone();
        let scans = self.scans;
        let ended = tokio::task::spawn_blocking(move || scans.stop(&clock)).await;
        let states = ended.unwrap_or_else(|_| {
            tracing::error!("the scan threads could not be ended in order");
            Vec::new()
        });
        tokio::time::sleep(LAST_COMMANDS_WAIT).await;
        let _ = self.drivers_stop.send(true);
        for driver in self.drivers {
            end("a driver", driver).await;
        }
        drop(self.driver_threads);
        self.workers_stop.store(true, Ordering::SeqCst);
        self.history_stop.store(true, Ordering::SeqCst);
        let (workers, history) = (self.workers, self.history);
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
                + usize::from(history.join().is_err())
        })
        .await;
        if !matches!(joined, Ok(0)) {
            tracing::error!("the historian's, the ledger's or the retain thread ended by a panic");
        }
        if !states.is_empty() {
            self.keeper.write_last(states);
        }
        Summary::gather(summary::Inputs {
            site: &self.site,
            engine: &self.engine,
            historian: &self.historian,
            ledger: self.ledger.as_deref(),
            before,
            from: self.started,
            to: self.clock.now().utc,
            ran: self.started_at.elapsed(),
            drops: &self.drops,
        })
    }
}

fn report_actions(report: &penstock_ledger::OpenReport) {
    if report.torn_bytes > 0 {
        tracing::warn!(bytes = report.torn_bytes, "action log: an unfinished last line, never answered, was removed");
    }
    if let Some(broken) = &report.broken {
        tracing::error!(%broken, "action log: a record was changed or damaged; the log goes on in a new segment");
    }
}

async fn end(what: &str, task: tokio::task::JoinHandle<()>) {
    if tokio::time::timeout(TASK_END_WAIT, task).await.is_err() {
        tracing::warn!("{what} did not end in time and is dropped");
    }
}

fn io(what: String, source: std::io::Error) -> StartError {
    StartError::Io { what, source }
}

fn open_historian(site: &Site, state: &std::path::Path) -> Result<Arc<Historian>, StartError> {
    let (historian, report) = Historian::open(penstock_historian::Config {
        dir: state.join("history"),
        retention: site.historian.retention,
        bytes_max: site.historian.bytes_max,
        free_bytes_min: site.historian.free_bytes_min,
    })?;
    if let Some(damaged) = &report.quarantined {
        tracing::error!(
            folder = %damaged.moved_to.display(),
            reason = %damaged.reason,
            "the historian's store was damaged: it was set aside and a fresh one started; keep the folder for repair"
        );
    }
    Ok(Arc::new(historian))
}

fn engine_config(site: &Site, actions: &ActionLog, objects: Vec<ObjectDef>) -> EngineConfig {
    EngineConfig {
        tags: site.tags.clone(),
        tasks: site.tasks.clone(),
        programs: site.programs.clone(),
        alarms: site.alarms.clone(),
        devices: site.devices.iter().map(|d| d.name.clone()).collect(),
        objects,
        entries: restore::entries(&site.tags, actions.last_entries()),
    }
}

async fn start_hmi(
    config: HmiConfig,
    context: HmiContext,
    stop: watch::Receiver<bool>,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), StartError> {
    let (ready, address) = oneshot::channel();
    let (failed, failure) = oneshot::channel();
    let task = tokio::spawn(async move {
        if let Err(error) = penstock_hmi::serve(config, context, stop, ready).await {
            // The receiver is gone once the HMI has been up; before, the start itself fails with this reason.
            if let Err(reason) = failed.send(with_causes(&error)) {
                tracing::error!(%reason, "the HMI ended; control goes on without it");
            }
        }
    });
    match address.await {
        Ok(address) => Ok((address, task)),
        Err(_) => Err(StartError::Hmi(failure.await.unwrap_or_else(|_| "the HMI ended while starting".into()))),
    }
}

fn site_info(site: &Site) -> SiteInfo {
    SiteInfo {
        name: site.name.clone(),
        time_zone: site.time_zone.clone(),
        config_hash: site.config_hash.as_str().into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        devices: site
            .devices
            .iter()
            .map(|d| DeviceInfo {
                id: d.id,
                name: d.name.to_string(),
                title: d.title.clone(),
                driver: d.driver.as_str().to_owned(),
                address: d.address.clone(),
            })
            .collect(),
        pages: site.pages.clone(),
        hold: site.hold,
    }
}
