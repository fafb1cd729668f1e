//! `penstock simulate`: a site's own configuration and programs against the plant model, in virtual time.
//!
//! Engine, codecs of the drivers and plant go in lock-step on one thread and one clock, without sockets: the same seed
//! gives the same report to the byte. The programs do not know the difference. A scenario brings faults, weather and
//! entries at their times and is judged on plant, tags, alarms and report.

pub(crate) mod bench;
mod compare;
mod field;
mod matrix;
mod progress;
mod report;
mod script;
mod swing;
mod tally;
mod text;

use crate::config::{Overrides, Site};
use crate::run::observe_ledger;
use field::{Field, Mailboxes};
use parking_lot::Mutex;
use penstock_engine::{Engine, EngineConfig, ScanTiming, TaskCore};
use penstock_historian::Historian;
use penstock_ledger::Ledger;
use penstock_model::{Clock, Instant, ManualClock, Record, RecordSink, Utc, with_causes};
use penstock_simulators::faults::Injection;
use penstock_simulators::scenario::{Scenario, Verdict};
use penstock_simulators::{Field as Plant, FieldConfig, Weather};
use progress::Progress;
use report::{Head, Report};
use script::{Events, Script};
use serde_json::Value as Json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tally::Tally;

/// Options of a simulation.
#[derive(Debug, Clone, clap::Args)]
pub struct SimulateArgs {
    /// Site folder. Its devices must be configured at the simulators' default ports.
    pub site: PathBuf,
    /// A scenario: faults, weather and entries at their times, and what must hold. See docs/scenarios.md.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["days", "settle_hours", "weather", "faults", "start"])]
    pub scenario: Option<PathBuf>,
    /// A matrix: rows that differ from a base, each a run, and numbers of their reports as a table. See docs/scenarios.md.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "compare", "days", "settle_hours", "weather", "faults", "start", "seed"])]
    pub matrix: Option<PathBuf>,
    /// Of a matrix, only the rows whose name holds this text; and the rows they are held against.
    #[arg(long, value_name = "TEXT", requires = "matrix")]
    pub rows: Option<String>,
    /// Exit with 1 when an expectation of the scenario or a limit of the matrix fails.
    #[arg(long)]
    pub assert: bool,
    /// Days of plant time.
    #[arg(long, default_value_t = 1.0)]
    pub days: f64,
    /// Hours at the beginning that are run but not judged: the plant and the programs settle.
    #[arg(long, default_value_t = 2.0)]
    pub settle_hours: f64,
    /// Weather over the catchment: dry, rain or storm.
    #[arg(long, default_value = "dry")]
    pub weather: Weather,
    /// A fault active from the start, as `stuck aer/z5/nh4 0.5 for 12h`; may be repeated.
    #[arg(long = "fault", value_name = "TEXT")]
    pub faults: Vec<Injection>,
    /// Seed of weather, influent and instrument noise; 1, or that of the scenario, where absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Start of the plant clock, seconds since 1970 UTC; the default is 2026-06-15 00:00 in Jinan.
    #[arg(long, default_value_t = 1_781_452_800)]
    pub start: i64,
    /// Folder with the benchmark's influent and noise files, for a site of the benchmark; our own generator when absent.
    #[arg(long, value_name = "FOLDER")]
    pub influent: Option<PathBuf>,
    /// Save the report as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Compare with the report of an earlier run.
    #[arg(long)]
    pub compare: Option<PathBuf>,
}

/// The ledger looks at its meters so often, on a grid of UTC that quarter-hours fall on, ms: in virtual time a look a second
/// would cost as much as the plant.
const OBSERVE_MS: i64 = 10_000;
/// Longest run: a year of plant time.
const DAYS_MAX: f64 = 366.0;

/// Runs a simulation and prints its report, and the verdict of its scenario.
///
/// # Errors
/// In words for a person: a site or scenario that does not check, an option out of range, a device without counterpart;
/// with `--assert` also an expectation that failed.
pub fn run(args: &SimulateArgs) -> Result<(), String> {
    if !(args.days > 0.0 && args.days <= DAYS_MAX) {
        return Err(format!("--days {} is outside 0 to {DAYS_MAX}", args.days));
    }
    if !(args.settle_hours >= 0.0 && args.settle_hours <= args.days * 24.0) {
        return Err(format!("--settle-hours {} is outside 0 to the length of the run", args.settle_hours));
    }
    let site = crate::config::load(&args.site, &Overrides::default()).map_err(|d| d.to_string())?.site;
    if args.assert && args.scenario.is_none() && args.matrix.is_none() {
        return Err("--assert judges a scenario or a matrix: name one".to_owned());
    }
    if let Some(file) = &args.matrix {
        return matrix::run(&site, args, file);
    }
    // Read before the run: a file that is missing afterwards would cost it.
    let before = args.compare.as_deref().map(read_json).transpose()?;
    let plan = Plan::new(&site, args)?;
    let (report, verdict) = simulate(&site, &plan, std::io::stderr().is_terminal())?;
    say!("{report}");
    if let Some(before) = &before {
        say!("{}", compare::compare(before, report.to_json()));
    }
    if let Some(file) = &args.out {
        std::fs::write(file, format!("{:#}\n", report.to_json())).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let Some(verdict) = verdict else { return Ok(()) };
    say!("{verdict}");
    if args.assert && !verdict.passed() {
        return Err(format!("{} expectations of the scenario failed", verdict.failures()));
    }
    Ok(())
}

fn read_json(file: &Path) -> Result<Json, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// What is run.
pub(crate) struct Plan {
    seed: u64,
    /// Plant time at the beginning of the settling, Unix seconds.
    start: i64,
    settle: Duration,
    total: Duration,
    /// Weather from the beginning of the settling on.
    weather: Weather,
    /// Faults active from the beginning of the settling on.
    faults: Vec<Injection>,
    influent: Option<PathBuf>,
    scenario: Option<Scenario>,
}

impl Plan {
    /// A plant that settles for so long, and nothing else.
    pub(crate) fn settling(seed: u64, start: i64, settle: Duration, weather: Weather) -> Plan {
        let (faults, total) = (Vec::new(), settle);
        Plan { seed, start, settle, total, weather, faults, influent: None, scenario: None }
    }

    fn new(site: &Site, args: &SimulateArgs) -> Result<Plan, String> {
        let Some(file) = &args.scenario else {
            return Ok(Plan {
                seed: args.seed.unwrap_or(1),
                start: args.start,
                settle: Duration::from_secs_f64(args.settle_hours * 3600.0),
                total: Duration::from_secs_f64(args.days * 86_400.0),
                weather: args.weather,
                faults: args.faults.clone(),
                influent: args.influent.clone(),
                scenario: None,
            });
        };
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut scenario = Scenario::parse(&text, &names(site, args.start)?)
            .map_err(|problems| problems.told(&file.display().to_string()))?;
        scenario.seed = args.seed.unwrap_or(scenario.seed);
        Ok(Plan::with_influent(scenario, args.influent.as_deref()))
    }

    /// Of a scenario, in our own weather or in that of a folder of the benchmark.
    fn with_influent(scenario: Scenario, influent: Option<&Path>) -> Plan {
        let weather = scenario.weather;
        let plan = Plan::of(scenario);
        // The files of the benchmark hold their days before the weather themselves.
        match influent {
            Some(folder) => Plan { influent: Some(folder.to_path_buf()), weather, ..plan },
            None => plan,
        }
    }

    /// Of a scenario: it settles before its beginning, so that its times are those of the clock; its weather comes with
    /// the beginning.
    fn of(scenario: Scenario) -> Plan {
        let settle = Duration::from_secs_f64(scenario.settle_s.ceil());
        let before = i64::try_from(settle.as_secs()).unwrap_or(i64::MAX);
        Plan {
            seed: scenario.seed,
            start: scenario.start_unix_s.saturating_sub(before),
            settle,
            total: settle + Duration::from_secs_f64(scenario.length_s),
            weather: if settle.is_zero() { scenario.weather } else { Weather::Dry },
            faults: Vec::new(),
            influent: None,
            scenario: Some(scenario),
        }
    }

    fn field(&self) -> FieldConfig {
        FieldConfig {
            seed: self.seed,
            start_unix_s: self.start,
            weather: self.weather,
            influent: self.influent.clone(),
            ..FieldConfig::default()
        }
    }

    fn head(&self) -> Head {
        let of = self.scenario.as_ref();
        let weather = of.map_or(self.weather, |scenario| scenario.weather);
        Head {
            scenario: of.map(|scenario| scenario.title.clone()),
            scenario_zh: of.and_then(|scenario| scenario.title_zh.clone()),
            weather: match weather {
                Weather::Dry => "dry",
                Weather::Rain => "rain",
                Weather::Storm => "storm",
            },
            seed: self.seed,
            start: of.map_or(self.start, |scenario| scenario.start_unix_s),
            judged_s: self.total.saturating_sub(self.settle).as_secs_f64(),
            settle_s: self.settle.as_secs_f64(),
        }
    }
}

/// The names that a scenario or a matrix for this site may use.
fn names(site: &Site, start: i64) -> Result<penstock_simulators::scenario::Names, String> {
    let mut plant = build(site, &FieldConfig { seed: 1, start_unix_s: start, ..FieldConfig::default() })?;
    // Its first sample: names of indices are those of a plant that has run.
    plant.step(1.0, 1.0);
    Ok(script::names(site, &*plant, empty_report(site, &*plant)?))
}

/// The report of a run in which nothing happened: it shows which numbers a scenario can be about.
fn empty_report(site: &Site, plant: &dyn Plant) -> Result<Json, String> {
    let plan = Plan {
        seed: 0,
        start: 0,
        settle: Duration::ZERO,
        total: Duration::ZERO,
        weather: Weather::Dry,
        faults: Vec::new(),
        influent: None,
        scenario: None,
    };
    let scratch = Scratch::new()?;
    let now = Utc::from_millis(0);
    let energy = summary(open_ledger(site, &scratch.0)?.as_ref(), now, now + Duration::from_secs(900))?;
    Ok(Report::new(site, &plan.head(), &Tally::new(site), energy, &plant.score(0.0), now).0)
}

fn summary(ledger: Option<&Ledger>, from: Utc, to: Utc) -> Result<Json, String> {
    let Some(ledger) = ledger else { return Ok(Json::Null) };
    let summary = ledger.summary(from, to).map_err(|e| e.to_string())?;
    serde_json::to_value(summary).map_err(|e| e.to_string())
}

/// What is told of a run. In lock-step nobody else publishes.
struct Heard {
    tally: Tally,
    events: Events,
}

/// Takes records of the engine.
struct HeardSink(Mutex<Heard>);

impl RecordSink for HeardSink {
    fn publish(&self, record: Record) {
        let mut heard = self.0.lock();
        heard.tally.take(&record);
        heard.events.take(&record);
    }
}

/// Stores that the ledger needs, in a folder that goes when the run is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        // Numbered, because a process may simulate twice at a time.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("penstock-simulate-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder of the system's temporary place that stays behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A run in progress: plant, devices and runtime on one clock.
struct Run<'a> {
    clock: ManualClock,
    plant: Box<dyn Plant>,
    field: Field,
    engine: Engine,
    cores: Vec<TaskCore>,
    due: Vec<Duration>,
    heard: Arc<HeardSink>,
    script: Option<Script>,
    ledger: Option<Ledger>,
    /// When the ledger looks at its meters next.
    observe: Instant,
    plan: &'a Plan,
    /// Holds the ledger's files for as long as the run.
    _scratch: Scratch,
}

impl Run<'_> {
    fn new<'a>(site: &Site, plan: &'a Plan) -> Result<Run<'a>, String> {
        let clock = ManualClock::at(Utc::from_millis(plan.start.saturating_mul(1000)));
        let mut plant = build(site, &plan.field())?;
        for fault in &plan.faults {
            plant.inject(fault.clone()).map_err(|e| e.to_string())?;
        }
        let mailboxes = Mailboxes::new(site.devices.len());
        let field = Field::new(site, &*plant, mailboxes.clone())?;
        let heard = Arc::new(HeardSink(Mutex::new(Heard { tally: Tally::new(site), events: Events::new(site) })));
        let config = EngineConfig {
            tags: site.tags.clone(),
            tasks: site.tasks.clone(),
            programs: site.programs.clone(),
            alarms: site.alarms.clone(),
            devices: site.devices.iter().map(|d| d.name.clone()).collect(),
            objects: site.objects.clone(),
            entries: Vec::new(),
        };
        let (engine, cores) =
            Engine::build(config, mailboxes, heard.clone(), clock.now()).map_err(|e| e.to_string())?;
        let scratch = Scratch::new()?;
        let zero = clock.now().utc + plan.settle;
        Ok(Run {
            plant,
            field,
            engine,
            due: vec![Duration::ZERO; cores.len()],
            cores,
            heard,
            script: plan.scenario.as_ref().map(|scenario| Script::new(scenario, zero)),
            ledger: open_ledger(site, &scratch.0)?,
            observe: clock.now().mono,
            clock,
            plan,
            _scratch: scratch,
        })
    }

    /// The settling is over.
    fn begin(&mut self) -> Result<(), String> {
        self.heard.0.lock().tally.begin(self.clock.now().utc);
        if let Some(scenario) = &self.plan.scenario
            && scenario.weather != self.plan.weather
        {
            self.plant.set_weather(scenario.weather).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Devices, then the tasks that are due.
    fn scan(&mut self, elapsed: Duration) {
        let now = self.clock.now();
        if let Some(script) = &mut self.script {
            script.act(&mut *self.plant, &self.engine, now.utc);
        }
        self.field.step(&*self.plant, &*self.engine.sink(), now);
        for (core, due) in self.cores.iter_mut().zip(&mut self.due) {
            if *due <= elapsed {
                *due += core.period();
                core.scan(now, ScanTiming::default());
            }
        }
        self.field.deliver(&*self.engine.sink(), now);
    }

    /// Once a second of plant time, or once a step where that is longer.
    fn second(&mut self, judged: bool) {
        let now = self.clock.now();
        if let Some(ledger) = self.ledger.as_ref().filter(|_| self.observe <= now.mono) {
            let passed = now.utc.millis().rem_euclid(OBSERVE_MS);
            self.observe = now.mono + Duration::from_millis(OBSERVE_MS.saturating_sub(passed).unsigned_abs());
            observe_ledger(ledger, &self.engine, now);
        }
        let mut heard = self.heard.0.lock();
        if judged {
            heard.tally.second(&self.engine);
        }
        if let Some(script) = &mut self.script {
            script.second(&*self.plant, &self.engine, &mut heard.events, now.utc);
        }
    }
}

fn simulate(site: &Site, plan: &Plan, progress: bool) -> Result<(Report, Option<Verdict>), String> {
    let mut run = Run::new(site, plan)?;
    let step = base_step(&run.cores)?;
    let look = step.max(Duration::from_secs(1));
    run.heard.0.lock().tally.look_s = look.as_secs_f64();
    let from = run.clock.now().utc + plan.settle;
    let mut bar = progress.then(|| Progress::new(plan.total));
    let (mut elapsed, mut second, mut begun) = (Duration::ZERO, Duration::ZERO, false);
    while elapsed < plan.total {
        if !begun && elapsed >= plan.settle {
            begun = true;
            run.begin()?;
        }
        run.scan(elapsed);
        if second <= elapsed {
            second += look;
            run.second(begun);
        }
        run.plant.step(step.as_secs_f64(), step.as_secs_f64());
        run.clock.advance(step);
        elapsed += step;
        if let Some(bar) = &mut bar {
            bar.show(elapsed);
        }
    }
    if let Some(bar) = &bar {
        bar.finish();
    }
    let now = run.clock.now().utc;
    // The last moment of a scenario is the end of its run.
    if let Some(script) = &mut run.script {
        script.second(&*run.plant, &run.engine, &mut run.heard.0.lock().events, now);
    }
    let energy = summary(run.ledger.as_ref(), from, now)?;
    let score = run.plant.score(plan.settle.as_secs_f64());
    let mut report = Report::new(site, &plan.head(), &run.heard.0.lock().tally, energy, &score, now);
    let verdict = run.script.map(|script| script.finish(report.to_json()));
    if let Some(verdict) = &verdict {
        report.add_verdict(verdict.to_json());
    }
    Ok((report, verdict))
}

/// The plant a site is made for.
fn build(site: &Site, config: &FieldConfig) -> Result<Box<dyn Plant>, String> {
    let config = FieldConfig { kind: crate::sim::plant_of(site), ..config.clone() };
    penstock_simulators::field::build(&config).map_err(|e| with_causes(&e))
}

fn open_ledger(site: &Site, dir: &Path) -> Result<Option<Ledger>, String> {
    let Some(config) = &site.ledger else { return Ok(None) };
    let (historian, _) = Historian::open(penstock_historian::Config {
        dir: dir.join("history"),
        retention: Duration::from_secs(86_400),
        bytes_max: None,
        free_bytes_min: 0,
    })
    .map_err(|e| e.to_string())?;
    Ledger::open(&dir.join("ledger"), config.clone(), Arc::new(historian)).map(Some).map_err(|e| e.to_string())
}

/// The step of the common clock: the fastest task's period, which every other period must be a multiple of.
fn base_step(cores: &[TaskCore]) -> Result<Duration, String> {
    let step = cores.iter().map(TaskCore::period).min().ok_or("the site has no tasks")?;
    for core in cores {
        if core.period().as_nanos() % step.as_nanos() != 0 {
            return Err(format!(
                "task `{}` of {:?} does not fall on the grid of the fastest task, {step:?}; virtual time needs that",
                core.name(),
                core.period()
            ));
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(seed: u64) -> SimulateArgs {
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/jinan-wwtp");
        SimulateArgs {
            site,
            scenario: None,
            matrix: None,
            rows: None,
            assert: false,
            days: 0.02,
            settle_hours: 0.1,
            weather: Weather::Dry,
            faults: Vec::new(),
            seed: Some(seed),
            start: 1_781_452_800,
            influent: None,
            out: None,
            compare: None,
        }
    }

    #[test]
    fn one_seed_is_one_report_and_another_seed_another() {
        let site = crate::config::load(&args(1).site, &Overrides::default()).unwrap().site;
        let run = |seed| {
            let plan = Plan::new(&site, &args(seed)).unwrap();
            simulate(&site, &plan, false).unwrap().0.to_json().to_string()
        };
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
    }

    #[test]
    fn the_plant_is_controlled_in_virtual_time_as_on_the_wire() {
        let site = crate::config::load(&args(1).site, &Overrides::default()).unwrap().site;
        let plan = Plan::new(&site, &args(1)).unwrap();
        let (report, _) = simulate(&site, &plan, false).unwrap();
        let report = report.to_json();
        assert_eq!(report["faults"].as_array().unwrap().len(), 0, "{report:#}");
        let loops = report["loops"].as_array().unwrap();
        let pressure = loops.iter().find(|l| l["measured"] == "aer/header/pressure").unwrap();
        assert!(pressure["mean_abs_error"].as_f64().unwrap() < 1.5, "{pressure}");
        assert!(pressure["good_share"].as_f64().unwrap() > 0.99, "{pressure}");
    }

    fn scripted(site: &Site, text: &str) -> Verdict {
        let plant =
            build(site, &FieldConfig { seed: 1, start_unix_s: 1_781_452_800, ..FieldConfig::default() }).unwrap();
        let names = script::names(site, &*plant, empty_report(site, &*plant).unwrap());
        let scenario = Scenario::parse(text, &names).unwrap_or_else(|problems| panic!("{problems}"));
        simulate(site, &Plan::of(scenario), false).unwrap().1.unwrap()
    }

    #[test]
    fn every_scenario_of_the_site_reads_and_has_both_titles() {
        let dir = args(1).site;
        let site = crate::config::load(&dir, &Overrides::default()).unwrap().site;
        let mut read = 0;
        for entry in std::fs::read_dir(dir.join("scenarios")).unwrap() {
            let scenario = Some(entry.unwrap().path());
            let plan = Plan::new(&site, &SimulateArgs { scenario, ..args(1) }).unwrap_or_else(|e| panic!("{e}"));
            let scenario = plan.scenario.unwrap();
            assert!(scenario.title_zh.is_some() && scenario.expectations.len() > 3, "{}", scenario.title);
            read += 1;
        }
        assert!(read >= 8, "{read} scenarios");
    }

    #[test]
    fn an_operator_of_a_scenario_enters_holds_and_releases() {
        let site = crate::config::load(&args(1).site, &Overrides::default()).unwrap().site;
        let text = "
scenario: by hand
settle: 1min
do:
  - {at: 10s, set: {aer/nh4_sp: 3, aer/z3/valve/cmd: 60}}
  - {at: 2min, release: aer/z3/valve/cmd}
expect:
  - {tag: aer/nh4_sp, at: 5s, equals: 2}
  - {tag: aer/nh4_sp, from: 30s, to: 3min, equals: 3}
  - {tag: aer/z3/valve/cmd, from: 100s, to: 119s, equals: 60, within: 0.01}
  - {tag: aer/z3/valve/cmd, at: 3min, above: 60.1}
  - {faults: none}
";
        let verdict = scripted(&site, text);
        assert!(verdict.passed(), "{verdict}");
        assert_eq!(verdict, scripted(&site, text));
        let turned = scripted(&site, &text.replace("to: 3min, equals: 3", "to: 3min, equals: 4"));
        assert_eq!(turned.failures(), 1, "{turned}");
    }
}
