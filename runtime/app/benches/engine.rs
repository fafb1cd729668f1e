//! What one program call and one latch cost, in processor time of the real engine without threads around it.
//!
//! Criterion takes the samples and tells the estimates; what is measured is the time that the processor gave this thread,
//! so that a neighbour on the machine counts as little as possible. It still counts where processors are shared: beside each
//! figure stands one of a thing that is not ours, on the same machine in the same minute.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use penstock::run::ThreadCpuClock;
use penstock_engine::{Bench, Engine, EngineConfig, ProgramDef, ProgramLimits, ScanTiming, Script, TaskCore, TaskDef};
use penstock_model::{
    Clock, Command, CommandSink, DeviceId, Fallback, FallbackAction, Instant, Now, OutputDef, QueueFull, Record,
    RecordSink, Sample, Source, TagDef, TagId, TagSample, TagTable, TaskId, Unit, Utc,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PLC: DeviceId = DeviceId(0);
/// Instances of the zone program in one task.
const ZONES: u32 = 200;
/// Tags of the latch.
const TAGS: u32 = 100_000;
const PERIOD: Duration = Duration::from_secs(1);

criterion_group!(engine, program, latch);
criterion_main!(engine);

/// Takes everything and keeps nothing: what leaves the engine is not measured here.
struct Nothing;

impl CommandSink for Nothing {
    fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
        Ok(())
    }
}

impl RecordSink for Nothing {
    fn publish(&self, _: Record) {}
}

/// One call of the zone's script, alone and with all that a scan does around it.
fn program(criterion: &mut Criterion) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/aeration_zone.rhai");
    let source = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let script = Script::compile("aeration_zone.rhai", &source).unwrap_or_else(|e| panic!("{e:?}"));
    let mut group = criterion.benchmark_group("zone-aeration");
    let mut bench = Bench::new(&script, &[]).unwrap_or_else(|e| panic!("{e}"));
    let mut scan = 0;
    group.bench_function("the script alone, a call", |b| {
        b.iter_custom(|calls| {
            let clock = ThreadCpuClock;
            let mut took = Duration::ZERO;
            for _ in 0..calls {
                scan += 1;
                let now = bench.next(PERIOD);
                let given = inputs(0, scan).map(|(name, x)| (name.to_owned(), Sample::good(x, now)));
                let begin = clock.now().mono;
                let result = bench.scan(PERIOD, &given);
                took += clock.now().mono.since(begin);
                // A figure of a program that stands still would mean nothing.
                assert_eq!(result.error, None, "the program ran");
            }
            took
        });
    });
    let rhai = rhai::Engine::new();
    let loops = rhai.compile("let x = 0.0; for i in 0..100 { x += 1.5; } x").unwrap_or_else(|e| panic!("{e}"));
    group.bench_function("beside it: plain Rhai, a loop of 100 additions", |b| {
        b.iter_custom(|calls| processor_time(calls, || assert_eq!(rhai.eval_ast::<f64>(&loops).ok(), Some(150.0))));
    });
    let mut works = Works::zones(&script);
    group.bench_function(BenchmarkId::new("latch, script, arbiter, record; a call of", ZONES), |b| {
        b.iter_custom(|calls| works.scans(calls, Works::feed_zones) / ZONES);
    });
    group.finish();
}

/// One scan of a task without programs that owns [`TAGS`] tags.
fn latch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("latch of 100 000 tags");
    group.sample_size(20);
    for (title, logged, fresh) in
        [("nothing new", false, false), ("all of them new", false, true), ("all new and each recorded", true, true)]
    {
        let mut works = Works::tags(logged);
        works.feed_tags(0);
        let feed: fn(&Works, u64) = if fresh { Works::feed_tags } else { |_, _| () };
        group.bench_function(title, |b| b.iter_custom(|scans| works.scans(scans, feed)));
    }
    let samples: Vec<Sample> = (0..TAGS).map(|id| Sample::good(f64::from(id), at(0))).collect();
    let mut copy = samples.clone();
    group.bench_function("beside it: a plain copy of as many samples", |b| {
        b.iter_custom(|times| {
            processor_time(times, || {
                copy.clone_from(&samples);
                std::hint::black_box(&copy);
            })
        });
    });
    group.finish();
}

/// Processor time of so many repetitions.
fn processor_time(times: u64, mut work: impl FnMut()) -> Duration {
    let begin = ThreadCpuClock.now().mono;
    (0..times).for_each(|_| work());
    ThreadCpuClock.now().mono.since(begin)
}

fn at(scan: u64) -> Now {
    let ns = (scan + 1) * 1_000_000_000;
    Now { mono: Instant(ns), utc: Utc(i64::try_from(ns).unwrap_or(i64::MAX)) }
}

/// Four inputs of a zone at a scan: they move, so that controllers compute and valves are commanded.
fn inputs(zone: u32, scan: u64) -> [(&'static str, f64); 4] {
    #[expect(clippy::cast_precision_loss, reason = "a number of scans")]
    let t = scan as f64 * 0.3 + f64::from(zone);
    [("o2", 2.0 + t.sin()), ("sp", 2.0), ("air", 1_500.0 + 500.0 * (0.7 * t).cos()), ("pos", 50.0)]
}

/// An engine with one task, and the scan it has come to.
struct Works {
    engine: Engine,
    core: TaskCore,
    scan: u64,
}

impl Works {
    /// Processor time of so many scans, each fed before the clock is read.
    fn scans(&mut self, scans: u64, feed: impl Fn(&Works, u64)) -> Duration {
        let clock = ThreadCpuClock;
        let mut took = Duration::ZERO;
        for _ in 0..scans {
            self.scan += 1;
            feed(self, self.scan);
            let begin = clock.now().mono;
            self.core.scan(at(self.scan), timing());
            took += clock.now().mono.since(begin);
        }
        let fault = self.engine.tasks().into_iter().find_map(|task| task.fault);
        assert!(fault.is_none(), "a faulted task does nothing: {fault:?}");
        took
    }

    fn feed_zones(&self, scan: u64) {
        let all =
            (0..ZONES).flat_map(|zone| (0_u32..).zip(inputs(zone, scan)).map(move |(k, (_, x))| (zone * 5 + k, x)));
        let batch: Vec<TagSample> =
            all.map(|(tag, x)| TagSample { tag: TagId(tag), sample: Sample::good(x, at(scan)) }).collect();
        self.engine.sink().samples(&batch);
    }

    fn feed_tags(&self, scan: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a number of scans")]
        let x = scan as f64;
        let sample = Sample::good(x, at(scan));
        let batch: Vec<TagSample> = (0..TAGS).map(|id| TagSample { tag: TagId(id), sample: sample.clone() }).collect();
        self.engine.sink().samples(&batch);
    }

    /// A task with [`ZONES`] zones.
    fn zones(script: &Script) -> Self {
        let (mut tags, mut programs) = (Vec::new(), Vec::new());
        for zone in 0..ZONES {
            let first = zone * 5;
            let tag = |k: u32, part: &str| (TagId(first + k), format!("z{zone}/{part}"));
            for (k, (port, _)) in (0_u32..).zip(inputs(zone, 0)) {
                let (id, path) = tag(k, port);
                tags.push(TagDef::float(id, &path, Unit::NONE, Source::Device(PLC)));
            }
            let (id, path) = tag(4, "valve");
            let name: Arc<str> = format!("z{zone}").into();
            let mut valve = TagDef::float(id, &path, Unit::NONE, Source::Program(name.clone()));
            valve.output = Some(Box::new(OutputDef {
                device: Some(PLC),
                limits: Some((15.0, 85.0)),
                rate_per_s: None,
                min_on: Duration::ZERO,
                min_off: Duration::ZERO,
                fallback: Fallback::always(FallbackAction::Hold),
                write: penstock_model::WritePolicy::default(),
            }));
            tags.push(valve);
            let ports = (0_u32..).zip(inputs(zone, 0)).map(|(k, (port, _))| (port.to_owned(), TagId(first + k)));
            programs.push(ProgramDef {
                name,
                script: script.clone(),
                task: TaskId(0),
                inputs: ports.collect(),
                outputs: vec![("valve".to_owned(), id)],
                params: Vec::new(),
                delays: Vec::new(),
                limits: ProgramLimits::default(),
            });
        }
        build(tags, programs)
    }

    /// A task that owns [`TAGS`] tags of a device.
    fn tags(logged: bool) -> Self {
        let tags = (0..TAGS).map(|id| {
            let mut def = TagDef::float(TagId(id), &format!("t{id}"), Unit::NONE, Source::Device(PLC));
            def.log.enabled = logged;
            def
        });
        build(tags.collect(), Vec::new())
    }
}

fn timing() -> ScanTiming {
    ScanTiming { clock: Some(Arc::new(ThreadCpuClock)), ..ScanTiming::default() }
}

fn build(tags: Vec<TagDef>, programs: Vec<ProgramDef>) -> Works {
    let config = EngineConfig {
        tags: Arc::new(TagTable::new(tags).unwrap_or_else(|e| panic!("{e}"))),
        tasks: vec![TaskDef::new(TaskId(0), "normal", PERIOD)],
        programs,
        alarms: Vec::new(),
        devices: vec!["plc".into()],
        objects: Vec::new(),
        entries: Vec::new(),
    };
    let start = Now { mono: Instant(0), utc: Utc(0) };
    let built = Engine::build(config, Arc::new(Nothing), Arc::new(Nothing), start);
    let (engine, mut cores) = built.unwrap_or_else(|e| panic!("{e}"));
    Works { engine, core: cores.remove(0), scan: 0 }
}
