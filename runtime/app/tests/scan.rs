//! Scan tasks on their real threads: pacing, priorities, processors, the watchdog, and consumers that never take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use crossbeam::channel::Receiver;
use penstock::config::{self, Overrides};
use penstock::run::{CommandQueues, FIFO_PRIORITY_MAX, Fanout, ScanThreads, monotonic_ns, sleep_until, use_fifo};
use penstock_engine::{
    Engine, EngineConfig, OverrunPolicy, ProgramDef, ProgramLimits, Script, TaskCore, TaskDef, system_tags,
};
use penstock_model::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const PLC: DeviceId = DeviceId(0);

/// Counts up with every scan, so that each of them has a command to give.
const COUNTER: &str = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); p.state("n", 0.0); }
fn scan(io) { io.n += 1.0; io.y = io.x + io.n; }
"#;

fn task(id: u8, name: &str, ms: u64) -> TaskDef {
    TaskDef::new(TaskId(id), name, Duration::from_millis(ms))
}

/// One program of `script` per entry of `of`, each between tags of its own, in that task.
fn site(tasks: Vec<TaskDef>, script: &str, of: &[u8]) -> EngineConfig {
    let script = Script::compile("script", script).unwrap();
    let (mut tags, mut programs) = (Vec::new(), Vec::new());
    for (k, task) in of.iter().enumerate() {
        let x = TagId(u32::try_from(tags.len()).unwrap());
        let y = TagId(x.0 + 1);
        tags.push(TagDef::float(x, &format!("in/{k}"), Unit::NONE, Source::Device(PLC)));
        let name: Arc<str> = format!("program/{k}").into();
        let mut out = TagDef::float(y, &format!("out/{k}"), Unit::NONE, Source::Program(name.clone()));
        out.output = Some(Box::new(OutputDef {
            device: Some(PLC),
            limits: None,
            rate_per_s: None,
            min_on: Duration::ZERO,
            min_off: Duration::ZERO,
            fallback: Fallback::always(FallbackAction::Value(Value::Float(-1.0))),
            write: penstock_model::WritePolicy::default(),
        }));
        tags.push(out);
        let (inputs, outputs) = (vec![("x".to_owned(), x)], vec![("y".to_owned(), y)]);
        let script = script.clone();
        programs.push(ProgramDef {
            name,
            script,
            task: TaskId(*task),
            inputs,
            outputs,
            params: Vec::new(),
            delays: Vec::new(),
            limits: ProgramLimits::default(),
        });
    }
    let names: Vec<Arc<str>> = tasks.iter().map(|t| t.name.clone()).collect();
    for own in system_tags(&names, &["plc".into()]) {
        let id = TagId(u32::try_from(tags.len()).unwrap());
        let mut def = TagDef::float(id, &own.path, own.unit, Source::System);
        def.value_type = own.value_type;
        tags.push(def);
    }
    EngineConfig {
        tags: Arc::new(TagTable::new(tags).unwrap()),
        tasks,
        programs,
        alarms: Vec::new(),
        devices: vec!["plc".into()],
        objects: Vec::new(),
        entries: Vec::new(),
    }
}

/// Gives every device's tag a value.
fn feed(engine: &Engine, now: Now) {
    let tags = engine.tags();
    let inputs = tags.iter().filter(|t| matches!(t.source, Source::Device(_)));
    let batch: Vec<TagSample> = inputs.map(|t| TagSample { tag: t.id, sample: Sample::good(1.0, now) }).collect();
    engine.sink().samples(&batch);
}

/// Runs the tasks for a time and returns what was seen of their threads meanwhile.
fn run_for(time: Duration, cores: Vec<TaskCore>, clock: &Arc<dyn Clock>) -> (penstock::run::Realtime, Vec<Thread>) {
    let (threads, realtime) = ScanThreads::start(cores, clock).unwrap();
    let seen = scan_threads();
    std::thread::sleep(time);
    threads.stop(clock);
    (realtime, seen)
}

/// A scan thread as the kernel shows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thread {
    name: String,
    /// SCHED_FIFO priority; 0 without.
    priority: u8,
    /// Processors it may run on.
    cpus: String,
}

fn scan_threads() -> Vec<Thread> {
    // A thread of another test may end while it is looked at; then it is no thread.
    let read = |path: &Path, file: &str| std::fs::read_to_string(path.join(file)).ok();
    let first = std::ffi::OsString::from(std::process::id().to_string());
    let all = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let mut list: Vec<Thread> = all
        // The process's first thread bears the name of the test's own file.
        .filter(|path| path.file_name() != Some(first.as_os_str()))
        .filter_map(|path| {
            let name = read(&path, "comm").filter(|name| name.starts_with("scan-"))?.trim().to_owned();
            let stat = read(&path, "stat")?;
            // The fields behind the name in brackets start with the third; the realtime priority is the fortieth.
            let after = stat.rsplit(')').next().unwrap();
            let priority = after.split_whitespace().nth(37).unwrap().parse().unwrap();
            let status = read(&path, "status")?;
            let cpus = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
            Some(Thread { name, priority, cpus })
        })
        .collect();
    list.sort();
    list
}

/// Takes everything and keeps nothing.
struct Nothing;

impl CommandSink for Nothing {
    fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
        Ok(())
    }
}

impl RecordSink for Nothing {
    fn publish(&self, _: Record) {}
}

fn start(config: EngineConfig, commands: Arc<dyn CommandSink>) -> (Engine, Vec<TaskCore>, Arc<dyn Clock>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (engine, cores) = Engine::build(config, commands, Arc::new(Nothing), clock.now()).unwrap();
    feed(&engine, clock.now());
    (engine, cores, clock)
}

#[test]
fn threads_have_the_priority_of_their_period_and_the_processor_they_ask_for() {
    // Names of their own: other tests run threads in this process at the same time.
    let mut tasks = vec![task(0, "pa", 20), task(1, "pb", 100), task(2, "pc", 100), task(3, "pd", 1_000)];
    let first = scan_cpus().first().copied().unwrap();
    tasks[1].cpu = Some(first);
    let (engine, cores, clock) = start(site(tasks, COUNTER, &[0, 1, 2, 3]), Arc::new(Nothing));
    let (realtime, mut threads) = run_for(Duration::from_millis(300), cores, &clock);
    threads.retain(|thread| thread.name.starts_with("scan-p"));
    let names: Vec<&str> = threads.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["scan-pa", "scan-pb", "scan-pc", "scan-pd"]);
    let top = FIFO_PRIORITY_MAX;
    let wanted = if realtime.fifo { [top, top - 1, top - 1, top - 2] } else { [0; 4] };
    assert_eq!(threads.iter().map(|t| t.priority).collect::<Vec<_>>(), wanted, "{realtime:?}");
    assert!(realtime.pinned);
    assert_eq!(threads[1].cpus, first.to_string());
    assert!(engine.tasks().iter().all(|t| t.scans > 0 && t.fault.is_none()));
}

/// Processors this process may run on.
fn scan_cpus() -> Vec<u16> {
    let set = rustix::thread::sched_getaffinity(None).unwrap();
    (0..1_024).filter(|cpu| set.is_set(usize::from(*cpu))).collect()
}

#[test]
fn a_processor_that_is_not_there_costs_the_binding_and_not_the_task() {
    let mut tasks = vec![task(0, "lone", 20)];
    tasks[0].cpu = Some(1_023);
    let (engine, cores, clock) = start(site(tasks, COUNTER, &[0]), Arc::new(Nothing));
    let (realtime, mut threads) = run_for(Duration::from_millis(100), cores, &clock);
    threads.retain(|thread| thread.name == "scan-lone");
    assert!(!realtime.pinned && threads.len() == 1, "{realtime:?}");
    assert!(engine.tasks()[0].scans >= 2 && engine.tasks()[0].fault.is_none());
}

#[test]
fn a_program_that_never_returns_is_stopped_by_processor_time_and_its_task_alone_falls_back() {
    // Each turn sorts what is in no order: the limit on operations alone would let this run for a second.
    let endless = r#"
fn declare(p) { p.input("x", ""); p.output("y", ""); }
fn scan(io) { let a = []; for i in 0..512 { a.push(i * 197 % 512); } while true { let b = a; b.sort(); } io.y = io.x; }
"#;
    let mut config = site(vec![task(0, "stuck", 100), task(1, "normal", 50)], COUNTER, &[0, 1]);
    config.programs[0].script = Script::compile("endless", endless).unwrap();
    let (engine, cores, clock) = start(config, Arc::new(Nothing));
    let (threads, _) = ScanThreads::start(cores, &clock).unwrap();
    std::thread::sleep(Duration::from_millis(800));
    let tasks = engine.tasks();
    let out = |k| engine.read(engine.tags().find(&format!("out/{k}")).unwrap());
    let fault = tasks[0].fault.clone().unwrap();
    assert!(fault.contains("program/0") && fault.contains("of processor time: it does not return"), "{fault}");
    assert_eq!((out(0).quality.to_string().as_str(), out(0).value), ("bad(overrun)", Some(Value::Float(-1.0))));
    // In processor time: 80 ms of a period of 100 ms, and at most the few operations until the next look at the clock.
    assert!(tasks[0].run_time.max >= Duration::from_millis(80), "{:?}", tasks[0].run_time);
    assert!(tasks[0].run_time.max < Duration::from_millis(100), "{:?}", tasks[0].run_time);
    assert!(tasks[0].scans > 2, "a faulted task goes on with its arbiter");
    assert!(tasks[1].fault.is_none() && tasks[1].scans > 2 && out(1).quality.is_good(), "{:?}", tasks[1]);
    threads.stop(&clock);
}

/// A road to the device that keeps a scan waiting once, as a machine that stands still would.
struct Stalls(AtomicBool, Duration);

impl CommandSink for Stalls {
    fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
        if !self.0.swap(true, Ordering::SeqCst) {
            std::thread::sleep(self.1);
        }
        Ok(())
    }
}

#[test]
fn missed_deadlines_have_the_consequence_their_task_declares() {
    for policy in OverrunPolicy::ALL {
        let mut tasks = vec![task(0, "fast", 50)];
        tasks[0].overrun = policy;
        let stalls = Stalls(AtomicBool::new(false), Duration::from_millis(170));
        let (engine, cores, clock) = start(site(tasks, COUNTER, &[0]), Arc::new(stalls));
        run_for(Duration::from_millis(600), cores, &clock);
        let task = &engine.tasks()[0];
        // The deadlines at 50 and 100 ms pass during the stall of 170 ms; the scan of 150 ms is 20 ms late, and where
        // late scans are skipped it is missed as well.
        assert!(task.missed >= if policy == OverrunPolicy::Skip { 3 } else { 2 }, "{policy:?}: {task:?}");
        let fault = task.fault.as_deref().unwrap_or_default();
        assert_eq!(fault.contains("overrun: fault"), policy == OverrunPolicy::Fault, "{policy:?}: {fault}");
        assert!(task.scans >= 5, "{policy:?}: {task:?}");
    }
}

/// Counts what passes to the fan-out.
struct Counted {
    fanout: Fanout,
    published: AtomicU64,
}

impl RecordSink for Counted {
    fn publish(&self, record: Record) {
        self.published.fetch_add(1, Ordering::SeqCst);
        self.fanout.publish(record);
    }
}

/// A log that takes nothing any more once it is closed: whoever writes to it waits.
#[derive(Clone, Default)]
struct StuckLog(Arc<AtomicBool>);

impl std::io::Write for StuckLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        while self.0.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Deadlines that a thread misses which does nothing but sleep to them: what the machine itself costs.
fn bare_sleeper(period: Duration, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let _ = use_fifo(FIFO_PRIORITY_MAX);
        let period = u64::try_from(period.as_nanos()).unwrap();
        let (mut deadline, mut missed) = (monotonic_ns(), 0);
        while !stop.load(Ordering::SeqCst) {
            deadline += period;
            sleep_until(deadline);
            let late = monotonic_ns().saturating_sub(deadline) / period;
            missed += late;
            deadline += late * period;
        }
        missed
    })
}

#[test]
fn consumers_that_never_take_cost_records_and_no_deadline() {
    const PERIOD: Duration = Duration::from_millis(20);
    const RUN: Duration = Duration::from_secs(4);
    let log = StuckLog::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).init();

    // Nothing is ever taken from any of these, nor from the device's queue of commands.
    let mut fanout = Fanout::default();
    let names = ["history", "journal", "ledger", "live feed", "log"];
    let stuck: Vec<Receiver<Record>> = names.iter().map(|name| fanout.add(name)).collect();
    let drops = fanout.drops();
    let (queues, mut devices) = CommandQueues::new(1);
    let records = Arc::new(Counted { fanout, published: AtomicU64::new(0) });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = site(vec![task(0, "fast", 20), task(1, "normal", 100)], COUNTER, &[0; 20]);
    let (engine, cores) = Engine::build(config, Arc::new(queues), records.clone(), clock.now()).unwrap();
    feed(&engine, clock.now());

    let stop = Arc::new(AtomicBool::new(false));
    let (threads, _) = ScanThreads::start(cores, &clock).unwrap();
    log.0.store(true, Ordering::SeqCst);
    let writer = std::thread::spawn(|| tracing::info!("a line that nobody takes"));
    let noise = bare_sleeper(PERIOD, stop.clone());
    // A screen that asks for everything all the time, at normal priority.
    let (greedy, asked) = (engine.clone(), stop.clone());
    let greedy = std::thread::spawn(move || {
        let mut answers = 0_u64;
        while !asked.load(Ordering::SeqCst) {
            answers += u64::from(!greedy.changed_since(0).1.is_empty() && greedy.tasks().len() == 2);
        }
        answers
    });
    std::thread::sleep(RUN);
    stop.store(true, Ordering::SeqCst);
    let (noise, answers) = (noise.join().unwrap(), greedy.join().unwrap());
    let tasks = engine.tasks();
    assert!(!writer.is_finished(), "the log took the line");
    log.0.store(false, Ordering::SeqCst);
    writer.join().unwrap();
    threads.stop(&clock);

    let due = u64::try_from(RUN.as_millis() / PERIOD.as_millis()).unwrap();
    let (scans, missed) = (tasks[0].scans, tasks[0].missed);
    assert!(tasks.iter().all(|t| t.fault.is_none()), "{tasks:?}");
    assert!(scans + missed >= due, "{scans} scans and {missed} missed of {due} due");
    // The sleeper and the task do not wake at the same moments: one in a hundred is allowed beside what it missed.
    assert!(missed <= 2 * noise + due / 100, "{missed} missed, a bare thread missed {noise}");
    assert!(answers > 0);

    let published = records.published.load(Ordering::SeqCst);
    for (queue, (name, dropped)) in stuck.iter().zip(&drops) {
        let dropped = dropped.load(Ordering::SeqCst);
        assert_eq!(queue.len(), limits::RECORDS_WAITING_MAX, "{name}");
        assert_eq!(queue.len() as u64 + dropped, published, "{name}: every record waits or was counted");
        assert!(dropped > 0, "{name}");
    }
    let mut waiting = 0;
    while devices[0].try_recv().is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, limits::COMMANDS_WAITING_MAX, "commands for a driver that takes none");
    let failed = |queue: &Receiver<Record>| {
        queue.try_iter().any(|r| matches!(r, Record::Outcome(Outcome { state: OutcomeState::Failed(_), .. })))
    };
    assert!(failed(&stuck[0]), "a command that found no room says so");
}

#[test]
fn a_site_says_period_processor_and_overrun_of_its_tasks() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixtures, folder.path());
    let file = folder.path().join("site/site.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let tasks = "tasks: { slow: 10s, idle: 10s, normal: { overrun: skip, every: 1s, cpu: 1 }, own: { every: 50ms, overrun: fault } }";
    std::fs::write(&file, text.replace("tasks: { normal: 1s, slow: 10s }", tasks)).unwrap();
    let loaded = config::load(&folder.path().join("site"), &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    let said: Vec<_> = loaded.site.tasks.iter().map(|t| (t.id.0, &*t.name, t.period, t.cpu, t.overrun)).collect();
    let s = Duration::from_secs;
    assert_eq!(
        said,
        [
            (0, "own", Duration::from_millis(50), None, OverrunPolicy::Fault),
            (1, "normal", s(1), Some(1), OverrunPolicy::Skip),
            (2, "slow", s(10), None, OverrunPolicy::Count),
            (3, "idle", s(10), None, OverrunPolicy::Count),
        ]
    );
    assert!(loaded.site.tags.find("sys/task/own/jitter_p999").is_some());
    let schema = config::schema("site").unwrap().to_string();
    assert!(schema.contains("\"overrun\"") && schema.contains("[\"count\",\"skip\",\"fault\"]"), "{schema}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}
