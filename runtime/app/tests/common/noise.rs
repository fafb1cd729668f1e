//! What the machine itself costs while a test watches scans: threads that do nothing but sleep to their deadlines, at the
//! same priority, two on each processor, half a period apart.

use penstock::run::{FIFO_PRIORITY_MAX, monotonic_ns, sleep_until, use_fifo};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The sleepers.
pub struct Noise {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<u64>>,
}

impl Noise {
    pub fn listen(period: Duration) -> Noise {
        let stop = Arc::new(AtomicBool::new(false));
        let allowed = sched_getaffinity(None).unwrap();
        let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let period = u64::try_from(period.as_nanos()).unwrap();
        let threads = cpus.flat_map(|cpu| [(cpu, 0), (cpu, period / 2)]).map(|(cpu, phase)| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut own = CpuSet::new();
                own.set(cpu);
                let _ = sched_setaffinity(None, &own);
                let _ = use_fifo(FIFO_PRIORITY_MAX);
                let (mut deadline, mut missed) = (monotonic_ns() + phase, 0);
                while !stop.load(Ordering::SeqCst) {
                    deadline += period;
                    sleep_until(deadline);
                    let late = monotonic_ns().saturating_sub(deadline) / period;
                    missed += late;
                    deadline += late * period;
                }
                missed
            })
        });
        Noise { threads: threads.collect(), stop }
    }

    /// Deadlines that passed while nothing was to be done.
    pub fn missed(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// Whether every scan thread of a process runs with SCHED_FIFO.
pub fn scans_are_fifo(pid: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut policies = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        let (name, rest) = (stat.split('(').nth(1)?.split(')').next()?, stat.rsplit(')').next()?);
        // The fields behind the name start with the third; the policy is the forty-first, and 1 is SCHED_FIFO.
        name.starts_with("scan-").then(|| rest.split_whitespace().nth(38).unwrap() == "1")
    });
    let first = policies.next();
    first == Some(true) && policies.all(|fifo| fifo)
}
