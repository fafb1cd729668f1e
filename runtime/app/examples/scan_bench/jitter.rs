//! Start jitter of real scan threads: 200 programs and 10 000 tags at 10 ms and 100 ms, beside a thread that does
//! nothing but sleep to its deadlines.

use crate::site;
use penstock::config::{self, Overrides, Site};
use penstock::run::{CommandQueues, FIFO_PRIORITY_MAX, Fanout, ScanThreads, monotonic_ns, sleep_until, use_fifo};
use penstock_engine::{Engine, EngineConfig, Histogram, Percentiles};
use penstock_model::{
    Clock, Now, Outcome, OutcomeState, Sample, SampleSink, Source, SystemClock, TagDef, TagId, TagSample,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Period of the bare thread: that of the fastest task.
const BARE_PERIOD: Duration = Duration::from_millis(10);
/// How often the field delivers what programs read, and everything else.
const FIELD_EVERY: Duration = Duration::from_millis(100);
const REST_EVERY: u64 = 10;

/// Runs the site for so many seconds and prints a line per thread:
/// `row`, name, p50, p99, p99.9, max in µs, scans, missed, latency p99 and max in µs (`-`: none), tab-separated.
///
/// # Errors
/// When the site cannot be written, loaded or started, or a task faults: then no figure would mean anything.
pub fn run(folder: &Path, scripts: &Path, seconds: u64, busy: bool) -> Result<(), String> {
    site::write(folder, scripts)?;
    let site = config::load(folder, &Overrides::default()).map_err(|d| d.to_string())?.site;
    println!("note\t{} tags, {} programs", site.tags.len(), site.programs.len());
    let mut fanout = Fanout::default();
    let records = fanout.add("bench");
    let (queues, devices) = CommandQueues::new(site.devices.len());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let built = Engine::build(engine_config(&site), Arc::new(queues), Arc::new(fanout), clock.now());
    let (engine, cores) = built.map_err(|e| e.to_string())?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut helpers = vec![field(&engine, &clock, devices, &stop)];
    let taken = stop.clone();
    helpers.push(std::thread::spawn(move || {
        while !taken.load(Ordering::Relaxed) {
            let _ = records.recv_timeout(Duration::from_millis(100));
        }
    }));
    if busy {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        helpers.extend((0..cores).map(|_| spinner(&stop)));
    }
    let bare = Arc::new(Bare::default());
    helpers.push(bare_thread(&bare, &stop));
    let (threads, realtime) = ScanThreads::start(cores, &clock).map_err(|e| e.to_string())?;
    println!(
        "note\tSCHED_FIFO {}, locked memory {}",
        if realtime.fifo { "granted" } else { "refused" },
        if realtime.memory_locked { "granted" } else { "refused" }
    );
    std::thread::sleep(Duration::from_secs(seconds));
    let tasks = engine.tasks();
    threads.stop(&clock);
    stop.store(true, Ordering::Relaxed);
    if helpers.into_iter().map(JoinHandle::join).any(|ended| ended.is_err()) {
        return Err("a thread of the bench broke".to_owned());
    }
    for task in tasks {
        if let Some(fault) = task.fault {
            return Err(format!("task {}: {fault}", task.name));
        }
        let name = format!("task {} ({} ms)", task.name, task.period.as_millis());
        row(&name, task.jitter, task.scans, task.missed, Some(task.latency));
        let run = task.run_time;
        println!(
            "note\ttask {}: run time p50 {} µs, p99 {} µs, max {} µs",
            task.name,
            us(run.p50),
            us(run.p99),
            us(run.max)
        );
    }
    row("bare thread (10 ms)", bare.late.percentiles(), bare.late.count(), bare.missed.load(Ordering::Relaxed), None);
    Ok(())
}

fn us(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

fn row(name: &str, late: Percentiles, scans: u64, missed: u64, latency: Option<Percentiles>) {
    let (p99, max) = latency.map_or(("-".to_owned(), "-".to_owned()), |l| (us(l.p99), us(l.max)));
    let late = [late.p50, late.p99, late.p999, late.max].map(us).join("\t");
    println!("row\t{name}\t{late}\t{scans}\t{missed}\t{p99}\t{max}");
}

fn engine_config(site: &Site) -> EngineConfig {
    EngineConfig {
        tags: site.tags.clone(),
        tasks: site.tasks.clone(),
        programs: site.programs.clone(),
        alarms: site.alarms.clone(),
        devices: site.devices.iter().map(|d| d.name.clone()).collect(),
        objects: Vec::new(),
        entries: Vec::new(),
    }
}

/// What the field would say of a tag at a time in seconds: slow waves within the point's range, so that valves move.
fn measured(def: &TagDef, seconds: f64, now: Now) -> TagSample {
    let phase = f64::from(def.id.0) * 0.7;
    let (low, high) = def.range.unwrap_or((0.0, 100.0));
    let wave = (seconds * 0.8 + phase).sin() * 0.3 + 0.5;
    TagSample { tag: def.id, sample: Sample::good(low + (high - low) * wave, now) }
}

/// The field in a thread of normal priority: delivers samples, takes commands and says that they were written.
fn field(
    engine: &Engine,
    clock: &Arc<dyn Clock>,
    mut devices: Vec<tokio::sync::mpsc::Receiver<penstock_model::Command>>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (engine, clock, stop) = (engine.clone(), clock.clone(), stop.clone());
    std::thread::spawn(move || {
        let sink: Arc<dyn SampleSink> = engine.sink();
        let measured_by = |wanted: bool| -> Vec<TagId> {
            let tags = engine.tags();
            let device = tags.iter().filter(|t| matches!(t.source, Source::Device(_)));
            device.filter(|t| t.path.starts_with('z') == wanted).map(|t| t.id).collect()
        };
        let (zones, rest) = (measured_by(true), measured_by(false));
        let begin = std::time::Instant::now();
        let mut turn = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let (now, seconds) = (clock.now(), begin.elapsed().as_secs_f64());
            let of = |list: &[TagId]| -> Vec<TagSample> {
                list.iter().map(|tag| measured(engine.tags().get(*tag), seconds, now)).collect()
            };
            sink.samples(&of(&zones));
            if turn.is_multiple_of(REST_EVERY) {
                sink.samples(&of(&rest));
            }
            turn += 1;
            let next = begin + FIELD_EVERY * u32::try_from(turn).unwrap_or(u32::MAX);
            while std::time::Instant::now() < next {
                for device in &mut devices {
                    while let Ok(command) = device.try_recv() {
                        let (id, tag, at) = (command.id, command.tag, clock.now().utc);
                        sink.outcome(Outcome { id, tag, state: OutcomeState::Acknowledged, at });
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    })
}

/// Takes all it can get of a processor at normal priority.
fn spinner(stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = stop.clone();
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    })
}

/// What the bare thread counts.
#[derive(Default)]
struct Bare {
    late: Histogram,
    missed: AtomicU64,
}

/// A thread one priority above the fastest task that does nothing but sleep to absolute deadlines: what the machine and
/// the kernel cost without us.
fn bare_thread(bare: &Arc<Bare>, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (bare, stop) = (bare.clone(), stop.clone());
    std::thread::spawn(move || {
        if !use_fifo(FIFO_PRIORITY_MAX + 1) {
            println!("note\tthe bare thread has no realtime priority either");
        }
        let period = u64::try_from(BARE_PERIOD.as_nanos()).unwrap_or(u64::MAX);
        let mut deadline = monotonic_ns() + period;
        while !stop.load(Ordering::Relaxed) {
            sleep_until(deadline);
            let late = monotonic_ns().saturating_sub(deadline);
            bare.late.add(Duration::from_nanos(late));
            bare.missed.fetch_add(late / period, Ordering::Relaxed);
            deadline += (late / period + 1) * period;
        }
    })
}
