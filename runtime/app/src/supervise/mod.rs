//! The supervisor: a small process that runs the runtime as its child, and owns the outputs while there is none.
//!
//! Duties: notices that the runtime died or hangs; writes what every output declares for a crash, within the site's
//! deadline; starts the runtime again, with growing waits and not more often than declared; hands the outputs over
//! before the new one touches a device; leaves a record that the new one journals. An orderly stop is the runtime's
//! own affair: the supervisor passes the signal on and waits. What is started again is the configuration that was last
//! applied, not what lies in the folder.
//!
//! Terms: a *crash* is any end that nobody asked for, a hang included. *Taking over* is the moment from which the
//! runtime owns the outputs: it asks, the supervisor stops writing and says so.

pub mod child;
mod failsafe;
pub mod heap;
pub mod record;
mod restarts;
mod running;
mod watch;

use crate::config::Loaded;
use failsafe::Writers;
use restarts::{Next, Restarts};
use running::Running;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use watch::{End, Watched};

/// How often a person is reminded that the plant stands in its fail-safe state.
const REMIND_EVERY: Duration = Duration::from_secs(60);
/// How long a note may take before the supervisor goes on without it.
const NOTE_WAIT: Duration = Duration::from_secs(3);
/// Exit code of a supervisor that was stopped while the runtime could not be kept running.
const GAVE_UP: u8 = 3;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The site's folder.
    pub site: PathBuf,
    /// Folder for history, ledger and users.
    pub state: PathBuf,
    /// Address of the HMI.
    pub hmi: SocketAddr,
    /// Devices that are at another address than configured.
    pub devices: Vec<(String, String)>,
    /// Run what was last applied and not the folder.
    pub applied: bool,
}

/// Runs a site under supervision until `stop` completes or the runtime ends in order. `loaded` is the site as checked
/// by the caller; what a crash would need of it is kept, and the rest let go. `ready` is called with the HMI's address once the runtime is up for the first time.
///
/// # Errors
/// When the runtime cannot be started at all, in words for a person.
pub async fn run(
    mut launch: Launch,
    loaded: Loaded,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> Result<ExitCode, String> {
    let mut running = Running::new(&loaded.site, &launch);
    drop(loaded);
    let mut restarts = Restarts::new(running.settings);
    let mut writers: Option<Writers> = None;
    let mut ready = Some(ready);
    let mut stop = std::pin::pin!(stop);
    let mut first = true;
    loop {
        let died = {
            let mut child = Watched::spawn(&launch, std::mem::take(&mut first), launch.applied)?;
            let told = &mut |address: SocketAddr| {
                if let Some(ready) = ready.take() {
                    ready(address);
                }
            };
            let (end, ran) = child.watch(&mut launch, &mut running, &mut writers, stop.as_mut(), told).await;
            match end {
                End::Ordered => return Ok(ExitCode::SUCCESS),
                End::NeverStarted(code) => return Ok(ExitCode::from(code)),
                End::Stuck(why) => {
                    running.catch_up(&launch).await;
                    fail_safe(&running, &launch, &why).await.end();
                    return Ok(ExitCode::from(GAVE_UP));
                }
                End::Died(why) => (why, ran),
            }
        };
        let (why, ran) = died;
        running.catch_up(&launch).await;
        restarts.set(running.settings);
        let since = restarts.died(ran.unwrap_or_default());
        writers = match (writers.take(), ran) {
            // Died before it took over: what is being written goes on.
            (Some(writers), None) => {
                tracing::error!(%why, "the runtime died while starting; the outputs stay in their declared state");
                let state = launch.state.clone();
                noted(move || record::note(&state, "runtime", &format!("{why} while starting"), true)).await;
                Some(writers)
            }
            // Nobody of ours has touched the plant yet: another may be running it.
            (None, None) => {
                tracing::error!(%why, "the runtime died before it touched the plant; nothing is written");
                None
            }
            (_, Some(_)) => Some(fail_safe_since(&running, &launch, &why, since).await),
        };
        match restarts.next() {
            Next::Never(why) => {
                stay(&launch, &why, stop.as_mut()).await;
                return Ok(ExitCode::from(GAVE_UP));
            }
            Next::After(wait) => {
                tracing::warn!(?wait, "the runtime is started again");
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.as_mut() => {
                        tracing::warn!("stopped while there was no runtime");
                        return Ok(ExitCode::from(GAVE_UP));
                    }
                }
            }
        }
        // Nobody stands by: what ran is what runs on, whatever an engineer has made of the folder meanwhile.
        tokio::select! {
            applied = restart_with(&mut running, &launch) => launch.applied = applied,
            () = stop.as_mut() => {
                tracing::warn!("stopped while there was no runtime");
                return Ok(ExitCode::from(GAVE_UP));
            }
        }
        restarts.set(running.settings);
    }
}

/// Decides what the runtime is started with again, and tells where that is not the site's folder. True: with what was
/// last applied.
async fn restart_with(running: &mut Running, launch: &Launch) -> bool {
    let (kept, applied) = running.choose(launch).await;
    if let Some(applied) = applied {
        applied.tell();
        let (state, words) = (launch.state.clone(), applied.words().en);
        noted(move || record::configuration(&state, &words)).await;
    }
    kept
}

/// Notes something for the next runtime. A disk that does not answer must not hold up what has to be done.
async fn noted(note: impl FnOnce() + Send + 'static) {
    if tokio::time::timeout(NOTE_WAIT, tokio::task::spawn_blocking(note)).await.is_err() {
        tracing::warn!("what happened cannot be noted, the disk does not answer; this log is its only record");
    }
}

async fn fail_safe(running: &Running, launch: &Launch, why: &str) -> Writers {
    fail_safe_since(running, launch, why, Instant::now()).await
}

/// Brings every output to its declared state for a crash; returns when all are there or the deadline has passed.
async fn fail_safe_since(running: &Running, launch: &Launch, why: &str, since: Instant) -> Writers {
    let (plan, settings) = (&running.plan, &running.settings);
    tracing::error!(%why, "the runtime died: the supervisor brings the outputs to their declared state");
    let started = Instant::now();
    let mut writers = Writers::start(plan, since);
    let report = writers.finish(settings.deadline).await;
    let took = started.elapsed();
    let bad: Vec<&str> = report.iter().filter(|w| !w.is_done()).map(|w| &*w.path).collect();
    if bad.is_empty() {
        tracing::warn!(written = report.len(), ?took, "every output that declares a value for a crash holds it");
    } else {
        tracing::error!(
            not_confirmed = bad.join(", "),
            deadline = ?settings.deadline,
            "outputs are not confirmed in their declared state within the deadline; look at them on site; the supervisor goes on trying"
        );
    }
    let (state, why) = (launch.state.clone(), why.to_owned());
    noted(move || {
        record::note(&state, "runtime", &why, true);
        record::writes(&state, &report);
    })
    .await;
    writers
}

/// The plant stays in its fail-safe state until a person acts.
async fn stay(launch: &Launch, why: &str, mut stop: std::pin::Pin<&mut impl Future<Output = ()>>) {
    let (state, text) = (launch.state.clone(), format!("{why}; the outputs stay in their declared state"));
    noted(move || record::note(&state, "supervisor", &text, true)).await;
    loop {
        tracing::error!(
            %why,
            "THE RUNTIME DOES NOT RUN: outputs stay in their declared state for a crash; find the reason in this log, then start again"
        );
        tokio::select! {
            () = tokio::time::sleep(REMIND_EVERY) => {}
            () = stop.as_mut() => return,
        }
    }
}
