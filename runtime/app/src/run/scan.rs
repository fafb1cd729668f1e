//! Scan threads: each task on its own thread, woken at absolute deadlines.
//!
//! A task that comes late does not run twice to catch up: the deadlines it slept through are counted as missed and
//! the next one is the next on the original grid, so the phase between tasks stays what it was.

use penstock_engine::{ScanTiming, TaskCore};
use penstock_model::{Clock, Instant, Now, TaskId, Utc};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Priority of the fastest task under SCHED_FIFO; slower tasks are each one lower (rate-monotonic). 80 stays below
/// the kernel's own threaded interrupts on the usual PREEMPT_RT set-up.
const FIFO_PRIORITY_MAX: u8 = 80;

/// The running scan threads of a site.
pub struct ScanThreads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<TaskCore>>,
}

/// What the system granted of soft realtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Realtime {
    /// SCHED_FIFO was granted to every scan thread.
    pub fifo: bool,
    /// Memory is locked: no page fault on the scan.
    pub memory_locked: bool,
}

impl ScanThreads {
    /// Starts one thread per task and says in one line what of soft realtime the system permits.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(cores: Vec<TaskCore>, clock: &Arc<dyn Clock>) -> std::io::Result<(ScanThreads, Realtime)> {
        let memory_locked = rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT).is_ok();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(cores.len());
        let (granted, grants) = std::sync::mpsc::channel();
        let tasks = cores.len();
        for core in cores {
            let (stop, clock, granted) = (stop.clone(), clock.clone(), granted.clone());
            let name = format!("scan-{}", core.name());
            threads.push(std::thread::Builder::new().name(name).spawn(move || {
                // The receiver is gone only when the start was given up.
                let _ = granted.send(use_fifo(core.id()));
                run(core, &clock, &stop)
            })?);
        }
        let fifo = (0..tasks).all(|_| grants.recv().unwrap_or(false));
        let realtime = Realtime { fifo, memory_locked };
        if fifo && memory_locked {
            tracing::info!("scan threads run with SCHED_FIFO and locked memory");
        } else {
            tracing::warn!(
                fifo,
                memory_locked,
                "soft realtime is not permitted here: scans may start late under load; grant CAP_SYS_NICE and CAP_IPC_LOCK"
            );
        }
        Ok((ScanThreads { stop, threads }, realtime))
    }

    /// Lets every task finish its scan, grants the shutdown fallbacks, and waits for the threads.
    pub fn stop(self, clock: &Arc<dyn Clock>) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            match thread.join() {
                Ok(mut core) => core.shutdown(clock.now()),
                Err(_) => tracing::error!("a scan thread ended by a panic; its outputs stay where they are"),
            }
        }
    }
}

fn use_fifo(task: TaskId) -> bool {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    let level = FIFO_PRIORITY_MAX.saturating_sub(task.0).max(1);
    let Ok(level) = thread_priority::ThreadPriorityValue::try_from(level) else {
        return false;
    };
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(level),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
    )
    .is_ok()
}

/// Nanoseconds on the kernel's monotonic clock: the grid on which deadlines lie.
fn monotonic_ns() -> u64 {
    let t = clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// CPU time of the calling thread. Run times and the limit of a scan are measured with it: a program is at fault for
/// what it computes, not for what another process took of the machine. What starvation costs shows as jitter and missed
/// deadlines instead.
struct ThreadCpuClock;

impl Clock for ThreadCpuClock {
    fn now(&self) -> Now {
        let t = clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let ns = u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0);
        Now { mono: Instant(ns), utc: Utc::default() }
    }
}

fn sleep_until(deadline_ns: u64) {
    let at = Timespec {
        tv_sec: i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(deadline_ns % 1_000_000_000).unwrap_or(0),
    };
    // A signal may end the sleep early: sleep again until the time has really come.
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

fn run(mut core: TaskCore, clock: &Arc<dyn Clock>, stop: &AtomicBool) -> TaskCore {
    let period = u64::try_from(core.period().as_nanos()).unwrap_or(u64::MAX).max(1);
    // The first deadline comes at once; slow tasks must not leave the screen empty for a whole period.
    let mut deadline = monotonic_ns();
    let cpu: Arc<dyn Clock> = Arc::new(ThreadCpuClock);
    while !stop.load(Ordering::SeqCst) {
        wait(deadline, stop);
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let late = monotonic_ns().saturating_sub(deadline);
        let missed = late / period;
        deadline += missed * period;
        let timing = ScanTiming {
            jitter: Duration::from_nanos(late),
            missed_now: u32::try_from(missed).unwrap_or(u32::MAX),
            clock: Some(cpu.clone()),
        };
        core.scan(clock.now(), timing);
        deadline += period;
    }
    core
}

/// Sleeps to the deadline in steps short enough that a stop is noticed by a task of any period.
fn wait(deadline: u64, stop: &AtomicBool) {
    const NOTICE_NS: u64 = 200_000_000;
    loop {
        let now = monotonic_ns();
        if now >= deadline || stop.load(Ordering::SeqCst) {
            return;
        }
        sleep_until(deadline.min(now + NOTICE_NS));
    }
}
