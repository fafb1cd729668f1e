//! What one program call and one latch cost, in processor time of the real engine without threads around it.

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
/// Scans of each measurement, after a tenth of them that do not count. Their median is told: it does not see what an
/// interrupt or a neighbour cost once.
const ZONE_SCANS: u64 = 1_000;
const LATCH_SCANS: u64 = 100;
const PERIOD: Duration = Duration::from_secs(1);

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

/// Measures and prints a line per figure: `row`, what, figure, unit, tab-separated.
///
/// # Errors
/// When the script cannot be read or compiled, or a task faults: then no figure would mean anything.
pub fn run(scripts: &Path) -> Result<(), String> {
    let file = scripts.join("aeration_zone.rhai");
    let source = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let script = Script::compile("aeration_zone.rhai", &source).map_err(|e| format!("{e:?}"))?;
    let alone = script_alone(&script)?;
    row("zone-aeration: the script alone", alone * 1e6, "µs per call");
    let within = zones(&script)? / f64::from(ZONES);
    row("zone-aeration: latch, script, arbiter, record", within * 1e6, "µs per call");
    for (title, logged, fresh) in [
        ("latch of 100 000 tags, nothing new", false, false),
        ("latch of 100 000 tags, all of them new", false, true),
        ("the same, and each recorded", true, true),
    ] {
        row(title, latch(logged, fresh)? * 1e3, "ms");
    }
    Ok(())
}

fn row(title: &str, figure: f64, unit: &str) {
    println!("row\t{title}\t{figure:.2}\t{unit}");
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

/// Median of processor seconds of `scans` calls, each prepared before the clock is read.
fn median(scans: u64, mut prepare: impl FnMut(u64), mut measured: impl FnMut(u64)) -> f64 {
    let clock = ThreadCpuClock;
    let mut times = Vec::new();
    for scan in 0..scans + scans / 10 {
        prepare(scan);
        let begin = clock.now().mono;
        measured(scan);
        let took = clock.now().mono.since(begin);
        if scan >= scans / 10 {
            times.push(took);
        }
    }
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// Seconds per call of the script on the engine's bench: no image, no arbiter, no records.
fn script_alone(script: &Script) -> Result<f64, String> {
    let mut bench = Bench::new(script, &[])?;
    let (mut failed, clock) = (None, ThreadCpuClock);
    let mut times = Vec::new();
    for scan in 0..u64::from(ZONES) * 50 {
        let now = bench.next(PERIOD);
        let given = inputs(0, scan).map(|(name, x)| (name.to_owned(), Sample::good(x, now)));
        let begin = clock.now().mono;
        let result = bench.scan(PERIOD, &given);
        times.push(clock.now().mono.since(begin));
        failed = failed.or(result.error);
    }
    times.sort_unstable();
    match failed {
        Some(error) => Err(error),
        None => Ok(times[times.len() / 2].as_secs_f64()),
    }
}

/// Seconds per scan of a task with [`ZONES`] zones.
fn zones(script: &Script) -> Result<f64, String> {
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
        valve.output = Some(OutputDef {
            device: Some(PLC),
            limits: Some((15.0, 85.0)),
            rate_per_s: None,
            min_on: Duration::ZERO,
            min_off: Duration::ZERO,
            fallback: Fallback::always(FallbackAction::Hold),
            write: penstock_model::WritePolicy::default(),
        });
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
    let (engine, mut core) = build(tags, programs)?;
    let sink = engine.sink();
    let feed = |scan: u64| {
        let all =
            (0..ZONES).flat_map(|zone| (0_u32..).zip(inputs(zone, scan)).map(move |(k, (_, x))| (zone * 5 + k, x)));
        let batch: Vec<TagSample> =
            all.map(|(tag, x)| TagSample { tag: TagId(tag), sample: Sample::good(x, at(scan)) }).collect();
        sink.samples(&batch);
    };
    let took = median(ZONE_SCANS, feed, |scan| core.scan(at(scan), timing()));
    healthy(&engine)?;
    Ok(took)
}

/// Seconds per scan of a task without programs that owns [`TAGS`] tags; `fresh`: each has a new value every time.
fn latch(logged: bool, fresh: bool) -> Result<f64, String> {
    let tags = (0..TAGS).map(|id| {
        let mut def = TagDef::float(TagId(id), &format!("t{id}"), Unit::NONE, Source::Device(PLC));
        def.log.enabled = logged;
        def
    });
    let (engine, mut core) = build(tags.collect(), Vec::new())?;
    let sink = engine.sink();
    let feed = |scan: u64| {
        if fresh || scan == 0 {
            #[expect(clippy::cast_precision_loss, reason = "a number of scans")]
            let x = scan as f64;
            let sample = Sample::good(x, at(scan));
            let batch: Vec<TagSample> =
                (0..TAGS).map(|id| TagSample { tag: TagId(id), sample: sample.clone() }).collect();
            sink.samples(&batch);
        }
    };
    let took = median(LATCH_SCANS, feed, |scan| core.scan(at(scan), timing()));
    healthy(&engine)?;
    Ok(took)
}

fn timing() -> ScanTiming {
    ScanTiming { clock: Some(Arc::new(ThreadCpuClock)), ..ScanTiming::default() }
}

fn build(tags: Vec<TagDef>, programs: Vec<ProgramDef>) -> Result<(Engine, TaskCore), String> {
    let config = EngineConfig {
        tags: Arc::new(TagTable::new(tags).map_err(|e| e.to_string())?),
        tasks: vec![TaskDef::new(TaskId(0), "normal", PERIOD)],
        programs,
        alarms: Vec::new(),
        devices: vec!["plc".into()],
        objects: Vec::new(),
        entries: Vec::new(),
    };
    let start = Now { mono: Instant(0), utc: Utc(0) };
    let built = Engine::build(config, Arc::new(Nothing), Arc::new(Nothing), start);
    let (engine, mut cores) = built.map_err(|e| e.to_string())?;
    Ok((engine, cores.remove(0)))
}

fn healthy(engine: &Engine) -> Result<(), String> {
    match engine.tasks().into_iter().find_map(|task| task.fault) {
        Some(fault) => Err(fault.to_string()),
        None => Ok(()),
    }
}
