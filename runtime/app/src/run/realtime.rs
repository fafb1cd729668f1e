//! What the system grants of soft realtime: priorities, processors, locked memory, sharp timers.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use std::num::NonZeroU64;
use std::time::Duration;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Priority of the fastest task under SCHED_FIFO. 80 lies above the threaded interrupts of a PREEMPT_RT kernel (50 where
/// nobody changed them), so that a burst on the network delays no scan, and below the kernel's own watchdogs at 99.
pub const FIFO_PRIORITY_MAX: u8 = 80;

/// What the system granted of soft realtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Realtime {
    /// SCHED_FIFO was granted to every scan thread.
    pub fifo: bool,
    /// Memory is locked: no page fault on the scan.
    pub memory_locked: bool,
    /// Every task that declares a processor is bound to it.
    pub pinned: bool,
}

/// SCHED_FIFO priorities of tasks by their periods, rate-monotonic (Liu and Layland, 1973): the shorter the period, the
/// higher the priority, from [`FIFO_PRIORITY_MAX`] down to 1. Tasks of one period share a priority and do not interrupt
/// each other; so do the slowest where there are more periods than priorities.
#[must_use]
pub fn priorities(periods: &[Duration]) -> Vec<u8> {
    let mut distinct = periods.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let rank = |period| distinct.binary_search(period).unwrap_or(0);
    let level = |period| FIFO_PRIORITY_MAX.saturating_sub(u8::try_from(rank(period)).unwrap_or(u8::MAX)).max(1);
    periods.iter().map(level).collect()
}

/// Bytes of a scan thread's stack that are there before its first scan: a quarter of it. A script that nests deeper takes its
/// pages when it first comes there.
const STACK_USED: usize = 512 << 10;

/// Loads the whole program and locks it, so that a way it seldom goes waits for no disk. To be called before threads are
/// started: of each stack that exists every page would be taken. What it answers [`lock_memory`] answers again.
pub(crate) fn lock_program() {
    let _ = mlockall(MlockAllFlags::CURRENT);
}

/// Locks the memory the process uses now, so that no scan waits for a page. Pages that nobody has touched stay out: a stack
/// is two megabytes, of which most threads use some thousand bytes. What is allocated later is not locked: a limit on
/// locked memory would otherwise turn into failed allocations.
pub(super) fn lock_memory() -> bool {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT).is_ok()
}

/// Takes the pages of the calling thread's stack that its scans will use.
#[inline(never)]
pub(super) fn warm_stack() {
    let deep = [0_u8; STACK_USED];
    std::hint::black_box(&deep);
}

/// Gives the calling thread SCHED_FIFO at this priority. False where the system does not permit it.
#[must_use]
pub fn use_fifo(level: u8) -> bool {
    // Without realtime priority the kernel may wake a thread 50 µs late to save power; with it, this has no effect.
    let sharp = set_current_timer_slack(NonZeroU64::new(1));
    if let Err(error) = sharp {
        tracing::debug!(%error, "timer slack stays as it is");
    }
    let Ok(level) = ThreadPriorityValue::try_from(level) else { return false };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(level), policy).is_ok()
}

/// Binds the calling thread to one processor.
///
/// # Errors
/// The system's answer, for a person: there is no such processor, or it is not one of ours.
pub(super) fn bind_to(cpu: u16) -> Result<(), String> {
    let mut set = CpuSet::new();
    let cpu = usize::from(cpu);
    if cpu >= CpuSet::MAX_CPU {
        return Err(format!("processors are numbered 0 to {}", CpuSet::MAX_CPU - 1));
    }
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_no_thread_has_touched_takes_no_memory_when_it_is_locked() {
        let together = std::sync::Arc::new(std::sync::Barrier::new(33));
        let threads: Vec<_> = (0..32)
            .map(|_| {
                let together = together.clone();
                std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
                    // All stacks stand; and again, once they were looked at.
                    together.wait();
                    together.wait();
                })
            })
            .collect();
        together.wait();
        let before = resident_kb();
        let locked = lock_memory();
        let taken = resident_kb().saturating_sub(before);
        together.wait();
        for thread in threads {
            thread.unwrap().join().unwrap();
        }
        // Other tests run beside this one; the stacks are 256 MB.
        assert!(taken < 128 << 10, "{taken} kB taken, locked: {locked}");
    }

    #[test]
    fn the_stack_of_a_scan_is_there_before_it_is_used() {
        let taken = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(|| {
                let own = rustix::thread::gettid().as_raw_nonzero();
                let faults = || {
                    let stat = std::fs::read_to_string(format!("/proc/self/task/{own}/stat")).unwrap();
                    let after = stat.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().to_owned();
                    after.parse::<u64>().unwrap()
                };
                let before = faults();
                warm_stack();
                let first = faults() - before;
                let before = faults();
                warm_stack();
                (first, faults() - before)
            })
            .unwrap()
            .join()
            .unwrap();
        assert!(taken.0 > 0 && taken.1 < 8, "page faults: {taken:?}");
    }

    #[test]
    fn the_fastest_task_has_the_highest_priority_and_equal_periods_share_one() {
        let ms = Duration::from_millis;
        assert_eq!(priorities(&[ms(10), ms(100), ms(1_000)]), [80, 79, 78]);
        assert_eq!(priorities(&[ms(100), ms(10), ms(100), ms(20)]), [78, 80, 78, 79]);
        let many: Vec<Duration> = (10..=265).map(ms).collect();
        let levels = priorities(&many);
        assert!(levels.windows(2).all(|w| w[0] > w[1] || w == [1, 1]), "{levels:?}");
        assert_eq!((levels[0], levels[79], levels[255]), (80, 1, 1));
        assert_eq!(priorities(&[]), Vec::<u8>::new());
    }

    #[test]
    fn a_thread_is_bound_to_one_processor_and_to_none_that_does_not_exist() {
        std::thread::spawn(|| {
            let ours = rustix::thread::sched_getaffinity(None).unwrap();
            let first = (0..CpuSet::MAX_CPU).find(|cpu| ours.is_set(*cpu)).unwrap();
            bind_to(u16::try_from(first).unwrap()).unwrap();
            let bound = rustix::thread::sched_getaffinity(None).unwrap();
            assert_eq!((bound.count(), bound.is_set(first)), (1, true));
            assert!(bind_to(u16::MAX).unwrap_err().contains("1023"));
            // The last one a set can hold: no machine of ours has it.
            assert!(bind_to(1_023).is_err());
            assert_eq!(rustix::thread::sched_getaffinity(None).unwrap().count(), 1, "it stays where it was");
        })
        .join()
        .unwrap();
    }
}
