//! `penstock simulate`: a site's own configuration and programs against the plant model, in virtual time.
//!
//! Engine, codecs of the drivers and plant go in lock-step on one thread and one clock, without sockets: the same seed
//! gives the same report to the byte. The programs do not know the difference.

mod field;
mod report;

use crate::config::{Overrides, Site};
use crate::run::observe_ledger;
use field::{Field, Mailboxes};
use parking_lot::Mutex;
use penstock_engine::{Engine, EngineConfig, ScanTiming, TaskCore};
use penstock_historian::Historian;
use penstock_ledger::Ledger;
use penstock_model::{Clock, ManualClock, Record, RecordSink, Utc, with_causes};
use penstock_simulators::FieldConfig;
use penstock_simulators::Weather;
use penstock_simulators::faults::Injection;
use report::{Report, Tally};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Options of a simulation.
#[derive(Debug, Clone, clap::Args)]
pub struct SimulateArgs {
    /// Site folder. Its devices must be configured at the simulators' default ports.
    pub site: PathBuf,
    /// Days of plant time.
    #[arg(long, default_value_t = 1.0)]
    pub days: f64,
    /// Hours at the beginning that are run but not judged: the plant and the programs settle.
    #[arg(long, default_value_t = 2.0)]
    pub settle_hours: f64,
    /// Weather over the catchment: dry, rain or storm.
    #[arg(long, default_value = "dry")]
    pub weather: Weather,
    /// A fault active from the start, as `stuck aer/z5/nh4 0.5 for 12h`; may be repeated. Faults of links do nothing here.
    #[arg(long = "fault", value_name = "TEXT")]
    pub faults: Vec<Injection>,
    /// Seed of weather, influent and instrument noise.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
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

/// Longest run: a year of plant time.
const DAYS_MAX: f64 = 366.0;

/// Runs a simulation and prints its report.
///
/// # Errors
/// In words for a person: a site that does not check, an option out of range, a device without counterpart.
pub fn run(args: &SimulateArgs) -> Result<(), String> {
    if !(args.days > 0.0 && args.days <= DAYS_MAX) {
        return Err(format!("--days {} is outside 0 to {DAYS_MAX}", args.days));
    }
    if !(args.settle_hours >= 0.0 && args.settle_hours <= args.days * 24.0) {
        return Err(format!("--settle-hours {} is outside 0 to the length of the run", args.settle_hours));
    }
    let site = crate::config::load(&args.site, &Overrides::default()).map_err(|d| d.to_string())?.site;
    let report = simulate(&site, args, std::io::stderr().is_terminal())?;
    println!("{report}");
    if let Some(file) = &args.compare {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let before = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("{}", report.compare(&before));
    }
    if let Some(file) = &args.out {
        std::fs::write(file, format!("{:#}\n", report.to_json())).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// Takes records of the engine into the tally; in lock-step nobody else publishes.
struct TallySink(Mutex<Tally>);

impl RecordSink for TallySink {
    fn publish(&self, record: Record) {
        self.0.lock().take(&record);
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

fn simulate(site: &Site, args: &SimulateArgs, progress: bool) -> Result<Report, String> {
    let clock = ManualClock::at(Utc::from_millis(args.start.saturating_mul(1000)));
    let mut plant = penstock_simulators::field::build(&FieldConfig {
        kind: crate::sim::plant_of(site),
        seed: args.seed,
        start_unix_s: args.start,
        weather: args.weather,
        influent: args.influent.clone(),
    })
    .map_err(|e| with_causes(&e))?;
    for fault in &args.faults {
        plant.inject(fault.clone()).map_err(|e| e.to_string())?;
    }
    let mailboxes = Mailboxes::new(site.devices.len());
    let mut field = Field::new(site, &*plant, mailboxes.clone())?;
    let tally = Arc::new(TallySink(Mutex::new(Tally::new(site))));
    let config = EngineConfig {
        tags: site.tags.clone(),
        tasks: site.tasks.clone(),
        programs: site.programs.clone(),
        alarms: site.alarms.clone(),
        devices: site.devices.iter().map(|d| d.name.clone()).collect(),
        entries: Vec::new(),
    };
    let (engine, cores) = Engine::build(config, mailboxes, tally.clone(), clock.now()).map_err(|e| e.to_string())?;
    let scratch = Scratch::new()?;
    let ledger = open_ledger(site, &scratch.0)?;
    let step = base_step(&cores)?;
    // Figures stand for a second each, or for a step where that is longer.
    let look = step.max(Duration::from_secs(1));
    let mut due: Vec<Duration> = vec![Duration::ZERO; cores.len()];
    let mut cores = cores;
    let total = Duration::from_secs_f64(args.days * 86_400.0);
    let settled = Duration::from_secs_f64(args.settle_hours * 3600.0);
    let from = clock.now().utc + settled;
    let (mut elapsed, mut second, mut shown) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    while elapsed < total {
        field.step(&*engine.sink(), clock.now());
        for (core, due) in cores.iter_mut().zip(&mut due) {
            if *due <= elapsed {
                *due += core.period();
                core.scan(clock.now(), ScanTiming::default());
            }
        }
        field.deliver(&*engine.sink(), clock.now());
        if second <= elapsed {
            second += look;
            if let Some(ledger) = &ledger {
                observe_ledger(ledger, &engine, clock.now());
            }
            if elapsed >= settled {
                tally.0.lock().second(&engine);
            }
        }
        plant.step(step.as_secs_f64(), step.as_secs_f64());
        clock.advance(step);
        elapsed += step;
        if progress && shown <= elapsed {
            shown += total / 200;
            show(elapsed, total);
        }
    }
    if progress {
        eprintln!();
    }
    let energy = match &ledger {
        Some(ledger) => Some(ledger.summary(from, clock.now().utc).map_err(|e| e.to_string())?),
        None => None,
    };
    let mut report = tally.0.lock().report(site, args, look, energy);
    let score = plant.score(settled.as_secs_f64());
    report.judged_by_truth(serde_json::to_value(score).map_err(|e| e.to_string())?);
    Ok(report)
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

fn show(elapsed: Duration, total: Duration) {
    let share = (elapsed.as_secs_f64() / total.as_secs_f64()).min(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 40")]
    let filled = (share * 40.0) as usize;
    eprint!("\r[{}{}] day {:.2}", "█".repeat(filled), "·".repeat(40 - filled), elapsed.as_secs_f64() / 86_400.0);
    // A progress bar that cannot be drawn is no reason to stop.
    let _ = std::io::stderr().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(seed: u64) -> SimulateArgs {
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/jinan-wwtp");
        SimulateArgs {
            site,
            days: 0.02,
            settle_hours: 0.1,
            weather: Weather::Dry,
            faults: Vec::new(),
            seed,
            start: 1_781_452_800,
            influent: None,
            out: None,
            compare: None,
        }
    }

    #[test]
    fn one_seed_is_one_report_and_another_seed_another() {
        let site = crate::config::load(&args(1).site, &Overrides::default()).unwrap().site;
        let run = |seed| simulate(&site, &args(seed), false).unwrap().to_json().to_string();
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
    }

    #[test]
    fn the_plant_is_controlled_in_virtual_time_as_on_the_wire() {
        let site = crate::config::load(&args(1).site, &Overrides::default()).unwrap().site;
        let run = simulate(&site, &args(1), false).unwrap();
        let report = run.to_json();
        assert_eq!(report["faults"].as_array().unwrap().len(), 0, "{report:#}");
        let loops = report["loops"].as_array().unwrap();
        let pressure = loops.iter().find(|l| l["measured"] == "aer/header/pressure").unwrap();
        assert!(pressure["mean_abs_error"].as_f64().unwrap() < 1.5, "{pressure}");
        assert!(pressure["good_share"].as_f64().unwrap() > 0.99, "{pressure}");
    }
}
