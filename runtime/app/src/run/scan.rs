//! Scan threads: each task on its own thread, woken at absolute deadlines, the fastest task first at the processor.
//!
//! What keeps a task from running away: a program that does not return is stopped from within once its task has used
//! 80 % of its period in processor time, and 50 ms at least (`TaskDef::run_max`), looked at every 64 operations of the script.
//! One look counts for a quarter of that at most: a pause of the machine below is charged to the thread that ran, and is
//! no fault of a program. A stopped program faults the task as an overrun, whatever its policy on missed deadlines. No thread has to be killed for it, so
//! no lock is left behind. The functions a script can call are bounded by the sizes of its values.

use super::pace::Pace;
use super::realtime::{Realtime, bind_to, lock_memory, priorities, use_fifo, warm_stack};
use penstock_engine::{ScanTiming, TaskCore, TaskState};
use penstock_model::{Clock, Instant, Now, TaskId, Utc};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The running scan threads of a site.
pub struct ScanThreads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<TaskCore>>,
}

/// What the system said to one thread at its start.
struct Granted {
    fifo: bool,
    task: String,
    cpu: Option<(u16, Result<(), String>)>,
}

impl ScanThreads {
    /// Starts one thread per task and says in one line what of soft realtime the system permits, and in one more for
    /// every task that could not be bound to its processor. Such a task runs on any.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(cores: Vec<TaskCore>, clock: &Arc<dyn Clock>) -> std::io::Result<(ScanThreads, Realtime)> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(cores.len());
        let (granted, grants) = std::sync::mpsc::channel();
        let levels = priorities(&cores.iter().map(TaskCore::period).collect::<Vec<_>>());
        for (core, level) in cores.into_iter().zip(levels) {
            let (stop, clock, granted) = (stop.clone(), clock.clone(), granted.clone());
            let name = format!("scan-{}", core.name());
            threads.push(std::thread::Builder::new().name(name).spawn(move || {
                warm_stack();
                let cpu = core.cpu().map(|cpu| (cpu, bind_to(cpu)));
                // The receiver is gone only when the start was given up.
                let _ = granted.send(Granted { fifo: use_fifo(level), task: core.name().to_owned(), cpu });
                run(core, &clock, &stop)
            })?);
        }
        // Each thread says it once and holds its end of the channel for as long as it runs.
        let grants: Vec<Granted> = grants.iter().take(threads.len()).collect();
        let realtime = tell(&grants, threads.len(), lock_memory());
        Ok((ScanThreads { stop, threads }, realtime))
    }

    /// Lets every task finish its scan, grants the shutdown fallbacks, and waits for the threads. The states the tasks
    /// end with are for the next start.
    pub fn stop(self, clock: &Arc<dyn Clock>) -> Vec<(TaskId, TaskState)> {
        self.stop.store(true, Ordering::SeqCst);
        let mut states = Vec::with_capacity(self.threads.len());
        for thread in self.threads {
            match thread.join() {
                Ok(mut core) => {
                    let now = clock.now();
                    core.shutdown(now);
                    states.push((core.id(), core.save(now)));
                }
                Err(_) => tracing::error!("a scan thread ended by a panic; its outputs stay where they are"),
            }
        }
        states
    }
}

/// Says what the system granted to `tasks` threads.
fn tell(grants: &[Granted], tasks: usize, memory_locked: bool) -> Realtime {
    let fifo = grants.iter().filter(|g| g.fifo).count() == tasks;
    let mut pinned = true;
    for (task, cpu, reason) in grants.iter().filter_map(|g| match &g.cpu {
        Some((cpu, Err(reason))) => Some((&g.task, cpu, reason)),
        _ => None,
    }) {
        pinned = false;
        tracing::warn!(%task, cpu, %reason, "the task is not bound to its processor and runs on any");
    }
    if fifo && memory_locked {
        tracing::info!("scan threads run with SCHED_FIFO and locked memory");
    } else {
        tracing::warn!(
            fifo,
            memory_locked,
            "soft realtime is not permitted here: scans may start late under load; grant CAP_SYS_NICE and CAP_IPC_LOCK"
        );
    }
    Realtime { fifo, memory_locked, pinned }
}

/// Nanoseconds on the kernel's monotonic clock: the grid on which deadlines lie.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let t = clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// CPU time of the calling thread. Run times and the limit of a scan are measured with it: a program is at fault for
/// what it computes, not for what another process took of the machine. What starvation costs shows as jitter and missed
/// deadlines instead.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadCpuClock;

impl Clock for ThreadCpuClock {
    fn now(&self) -> Now {
        let t = clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let ns = u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0);
        Now { mono: Instant(ns), utc: Utc::default() }
    }
}

/// Sleeps until the kernel's monotonic clock shows `deadline_ns`, however late the call is made.
pub fn sleep_until(deadline_ns: u64) {
    let at = Timespec {
        tv_sec: i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(deadline_ns % 1_000_000_000).unwrap_or(0),
    };
    // A signal may end the sleep early: sleep again until the time has really come.
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

fn run(mut core: TaskCore, clock: &Arc<dyn Clock>, stop: &AtomicBool) -> TaskCore {
    // The first deadline comes at once; slow tasks must not leave the screen empty for a whole period.
    let mut pace = Pace::new(monotonic_ns(), core.period(), core.overrun_policy());
    let cpu: Arc<dyn Clock> = Arc::new(ThreadCpuClock);
    while !stop.load(Ordering::SeqCst) {
        wait(pace.deadline(), stop);
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let Some(start) = pace.woken(monotonic_ns()) else { continue };
        let timing = ScanTiming { jitter: start.late, missed_now: start.missed, clock: Some(cpu.clone()) };
        core.scan(clock.now(), timing);
    }
    core
}

/// Sleeps to the deadline in steps short enough that a stop is noticed by a task of any period.
fn wait(deadline: u64, stop: &AtomicBool) {
    const NOTICE: Duration = Duration::from_millis(200);
    loop {
        let now = monotonic_ns();
        if now >= deadline || stop.load(Ordering::SeqCst) {
            return;
        }
        sleep_until(deadline.min(now + u64::try_from(NOTICE.as_nanos()).unwrap_or(u64::MAX)));
    }
}
