//! `penstock tune`: settings of a loop by a test on the plant model, or on the plant, with limits and an end.
//!
//! One output is held by hand for short leases and moved, by steps or by a relay; everything else stays in automatic. Beyond
//! the bounds of the measurement, with a bad measurement and where the output does not obey, the test ends at once and the
//! output goes back to its program. Where the test stands is a [`Stand`]: the plant model in virtual time, or a running site.

mod live;
mod relay;
mod rules;
mod stand;
pub(crate) mod step;

pub(crate) use stand::{Stand, Target, Watch};

use crate::config::{Overrides, Site};
use crate::simulate::Plan;
use crate::simulate::bench::Bench;
use live::Live;
use penstock_engine::ProgramDef;
use penstock_model::{TagDef, TagId, Value, ValueType};
use penstock_simulators::Weather;
use relay::Relay;
use rules::{Settings, of_relay, simc};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Duration;

/// Step of the output where nobody names one, as a share of its limits.
const SIZE_SHARE: f64 = 0.05;
/// A model that explains less of what was seen is none.
const EXPLAINED_MIN: f64 = 0.5;
/// The hysteresis of the relay: so many standard deviations of the measurement before the test.
const BAND_SIGMAS: f64 = 3.0;
/// Periods of a relay test that differ by more than this share are no limit cycle.
const SPREAD_MAX: f64 = 0.35;

/// How a loop is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// The output goes up, down and back; a process of first order with dead time is fitted.
    Step,
    /// The output jumps by the sign of the deviation; gain and period at the border of stability are measured.
    Relay,
}

/// Options of a test.
#[derive(Debug, Clone, clap::Args)]
pub struct TuneArgs {
    /// Site folder. For the plant model its devices must be configured at the simulators' default ports.
    pub site: PathBuf,
    /// Test the running site, and not the plant model.
    #[arg(long, conflicts_with_all = ["settle_hours", "weather", "seed", "start"])]
    pub live: bool,
    /// State folder of the running site, as given to `run`.
    #[arg(long, default_value = "var/penstock", requires = "live")]
    pub state: PathBuf,
    /// Who is responsible for the test of a running site; beside the account of the operating system.
    #[arg(long, requires = "live")]
    pub by: Option<String>,
    /// Do not ask before a running site is tested.
    #[arg(long, requires = "live")]
    pub yes: bool,
    /// Program whose controller is to be set, for example aer/z3.
    #[arg(long = "loop", value_name = "PROGRAM")]
    pub program: String,
    /// Output that is moved; the program's, where it has one number alone.
    #[arg(long, value_name = "TAG")]
    pub output: Option<String>,
    /// Measurement that is watched; that of the site's `loops` which the program reads, where there is one alone.
    #[arg(long, value_name = "TAG")]
    pub measured: Option<String>,
    /// How the loop is tested.
    #[arg(long, value_enum, default_value = "step")]
    pub method: Method,
    /// How far the output moves to either side, in its unit; 5 % of its limits where absent.
    #[arg(long, value_name = "VALUE")]
    pub size: Option<f64>,
    /// Time at each level of a step test, and of the look before a relay test.
    #[arg(long, default_value = "20min", value_parser = crate::cli::duration)]
    pub hold: Duration,
    /// Full cycles of a relay test.
    #[arg(long, default_value_t = 5)]
    pub cycles: usize,
    /// Longest relay test.
    #[arg(long, default_value = "12h", value_parser = crate::cli::duration)]
    pub at_most: Duration,
    /// Least measurement: below it the test ends at once. Its alarm limit or range where absent.
    #[arg(long, allow_negative_numbers = true)]
    pub low: Option<f64>,
    /// Greatest measurement: above it the test ends at once. Its alarm limit or range where absent.
    #[arg(long, allow_negative_numbers = true)]
    pub high: Option<f64>,
    /// Time constant that the closed loop is to have; the dead time where absent.
    #[arg(long, value_parser = crate::cli::duration)]
    pub closed: Option<Duration>,
    /// Hours at the beginning in which plant and programs settle.
    #[arg(long, default_value_t = 3.0)]
    pub settle_hours: f64,
    /// Weather over the catchment: dry, rain or storm.
    #[arg(long, default_value = "dry")]
    pub weather: Weather,
    /// Seed of weather, influent and instrument noise.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Start of the plant clock, seconds since 1970 UTC; the default is 2026-06-15 00:00 in Jinan.
    #[arg(long, default_value_t = 1_781_452_800)]
    pub start: i64,
    /// Save the result as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Runs a test and prints what it found and proposes.
///
/// # Errors
/// In words for a person: a site that does not check, a loop that is not clear, a test that ended early, a result that is
/// none.
pub fn run(args: &TuneArgs) -> Result<(), String> {
    let site = crate::config::load(&args.site, &Overrides::default()).map_err(|d| d.to_string())?.site;
    let program = program(&site, &args.program)?;
    let target = target(&site, program, args)?;
    let size = size(&site, &target, args.size)?;
    sensible(args)?;
    let tested = if args.live {
        let mut live = Live::begin(&site, program, &target, args)?;
        test(&mut live, &site, &target, size, args)
    } else {
        let settle = Duration::from_secs_f64(args.settle_hours * 3600.0);
        let plan = Plan::settling(args.seed, args.start, settle, args.weather);
        test(&mut Bench::settled(&site, &plan, &target)?, &site, &target, size, args)
    };
    let (tested, returned) = tested?;
    let scan_s = site.tasks.get(usize::from(program.task.0)).map_or(1.0, |task| task.period.as_secs_f64());
    let report = Report { site: &site, program, target: &target, size, tested, scan_s, closed: args.closed };
    say!("{}", report.text());
    if let (Some(stood), Some(after)) = returned {
        let unit = site.tags.get(target.measured).unit.as_str();
        say!("given back at {stood:.3}; {:?} later the measurement is {after:.3} {unit}", args.hold);
    }
    if let Some(out) = &args.out {
        std::fs::write(out, format!("{:#}\n", report.json())).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    report.verdict()
}

/// What a test found; where the output was given back, and what the measurement was a hold later.
type Ended = (Tested, (Option<f64>, Option<f64>));

/// Runs the test on a stand, and sees the output back with its program whatever happened.
fn test(stand: &mut impl Stand, site: &Site, target: &Target, size: f64, args: &TuneArgs) -> Result<Ended, String> {
    let tested = match args.method {
        Method::Step => step_test(stand, target, size, args.hold),
        Method::Relay => relay_test(stand, target, size, args),
    };
    // Whatever happened: the program has its output back, and is seen to hold it.
    let stood = stand.stands().unwrap_or(None);
    let released = stand.release();
    let path = &site.tags.get(target.output).path;
    match (tested, released) {
        (Ok(tested), Ok(_)) => Ok((tested, (stood, stand.free(args.hold)))),
        (Err(why), Ok(false)) => Err(format!("the test did not begin: {why}")),
        (Err(why), Ok(true)) => Err(format!("the test ended: {why}; `{path}` is back with its program")),
        (Ok(_), Err(kept)) => Err(format!("the test is over, and `{path}` could not be given back: {kept}")),
        (Err(why), Err(kept)) => Err(format!("the test ended: {why}; `{path}` could not be given back: {kept}")),
    }
}

/// What was found.
enum Tested {
    Step(step::Fit),
    Relay { ultimate: rules::Ultimate, spread: f64, band: f64, falls: bool },
}

/// The middle and the standard deviation of what was seen.
#[expect(clippy::cast_precision_loss, reason = "looks of a test")]
fn calm(looks: &[step::Look]) -> (f64, f64) {
    let n = looks.len().max(1) as f64;
    let mean = looks.iter().map(|look| look.y).sum::<f64>() / n;
    (mean, (looks.iter().map(|look| (look.y - mean).powi(2)).sum::<f64>() / n).sqrt())
}

fn stay(stand: &mut impl Stand, value: f64, time: Duration, looks: &mut Vec<step::Look>) -> Result<(), String> {
    let end = stand.now_s() + time.as_secs_f64();
    while stand.now_s() < end {
        looks.push(stand.held(value)?);
    }
    Ok(())
}

/// Where the output is held before it moves: where its program has it, with room to move on both sides.
fn base(stand: &mut impl Stand, target: &Target, size: f64) -> Result<f64, String> {
    let stands = stand.stands()?.ok_or("the output has no value yet; on the plant model: a longer --settle-hours")?;
    Ok(stands.clamp(target.limits.0 + size, target.limits.1 - size))
}

fn step_test(stand: &mut impl Stand, target: &Target, size: f64, hold: Duration) -> Result<Tested, String> {
    let base = base(stand, target, size)?;
    let mut looks = Vec::new();
    for level in [base, base + size, base - size, base] {
        stay(stand, level, hold, &mut looks)?;
    }
    for look in &mut looks {
        look.u -= base;
    }
    step::fit(&looks).map(Tested::Step).ok_or_else(|| "the output never moved".to_owned())
}

fn relay_test(stand: &mut impl Stand, target: &Target, size: f64, args: &TuneArgs) -> Result<Tested, String> {
    let base = base(stand, target, size)?;
    let mut looks = Vec::new();
    stay(stand, base, args.hold, &mut looks)?;
    // The second half: the plant has come to rest.
    let (centre, sigma) = calm(&looks[looks.len() / 2..]);
    let band = (BAND_SIGMAS * sigma).max(1e-6 * centre.abs().max(1.0));
    let mut relay = Relay::new(centre, band);
    let (begin, mut up) = (stand.now_s(), true);
    while relay.cycles() <= args.cycles {
        if stand.now_s() - begin > args.at_most.as_secs_f64() {
            let cycles = relay.cycles();
            return Err(format!("{cycles} cycles in {:?}: a greater --size, or a longer --at-most", args.at_most));
        }
        let look = stand.held(if up { base + size } else { base - size })?;
        up = relay.look(look.t, look.y);
        looks.push(look);
    }
    let (ultimate, spread) =
        relay.found(&looks).ok_or("the measurement does not swing beyond its noise: a greater --size")?;
    Ok(Tested::Relay { ultimate, spread, band, falls: relay.falls() })
}

fn program<'a>(site: &'a Site, name: &str) -> Result<&'a ProgramDef, String> {
    site.programs.iter().find(|program| &*program.name == name).ok_or_else(|| {
        let names: Vec<&str> = site.programs.iter().map(|program| &*program.name).collect();
        format!("no program is called `{name}`: {}", names.join(", "))
    })
}

/// Refuses numbers that make no test, on the model and on the plant alike.
fn sensible(args: &TuneArgs) -> Result<(), String> {
    if !(0.0..=24.0 * 60.0).contains(&args.settle_hours) || args.cycles < 2 || args.cycles > 100 {
        return Err("--settle-hours is 0 to 1440, --cycles 2 to 100".to_owned());
    }
    if args.hold.is_zero() || args.hold > Duration::from_secs(7 * 86_400) {
        return Err("--hold is above 0 and at most 7d".to_owned());
    }
    Ok(())
}

/// One tag by name, or the only candidate.
fn one(site: &Site, named: Option<&str>, candidates: &[TagId], option: &str) -> Result<TagId, String> {
    let paths = || candidates.iter().map(|tag| site.tags.get(*tag).path.to_string()).collect::<Vec<_>>().join(", ");
    match (named, candidates) {
        (Some(named), _) => match candidates.iter().find(|tag| &*site.tags.get(**tag).path == named) {
            Some(tag) => Ok(*tag),
            None => Err(format!("{option} `{named}` is none of the program's: {}", paths())),
        },
        (None, [tag]) => Ok(*tag),
        (None, []) => Err(format!("the program has nothing for {option}")),
        (None, _) => Err(format!("name one with {option}: {}", paths())),
    }
}

fn target(site: &Site, program: &ProgramDef, args: &TuneArgs) -> Result<Target, String> {
    let is_number = |def: &TagDef| def.value_type == ValueType::Float;
    let tag = |list: &[(String, TagId)], fits: &dyn Fn(&TagDef) -> bool| -> Vec<TagId> {
        list.iter().map(|(_, tag)| *tag).filter(|tag| fits(site.tags.get(*tag))).collect()
    };
    let driven = |def: &TagDef| is_number(def) && def.output.as_ref().is_some_and(|o| o.limits.is_some());
    let output = one(site, args.output.as_deref(), &tag(&program.outputs, &driven), "--output")?;
    let read = tag(&program.inputs, &|def| is_number(def) && def.entry.is_none());
    let looped = |tag: &TagId| site.loops.iter().any(|l| l.measured == *tag);
    let of_loops: Vec<TagId> = read.iter().copied().filter(looped).collect();
    // Where the site's loops say nothing clear, every number that the program reads may be meant.
    let measured = match (&args.measured, of_loops.as_slice()) {
        (None, [tag]) => *tag,
        (named, _) => one(site, named.as_deref(), &read, "--measured")?,
    };
    let (low, high) = Target::bounds(site, measured);
    let (low, high) = (args.low.unwrap_or(low), args.high.unwrap_or(high));
    let limits = site.tags.get(output).output.as_ref().and_then(|o| o.limits).ok_or("the output has no limits")?;
    if low >= high || low.is_nan() || high.is_nan() {
        return Err(format!("--low {low} is not below --high {high}"));
    }
    Ok(Target { output, measured, low, high, limits })
}

fn size(site: &Site, target: &Target, asked: Option<f64>) -> Result<f64, String> {
    let span = target.limits.1 - target.limits.0;
    let size = asked.unwrap_or(SIZE_SHARE * span);
    if !(size > 0.0 && size <= span / 2.0) {
        let path = &site.tags.get(target.output).path;
        let (low, high) = target.limits;
        return Err(format!(
            "--size {size} does not fit `{path}`, which goes from {low} to {high}: above 0, at most half of that"
        ));
    }
    Ok(size)
}

/// What is told.
struct Report<'a> {
    site: &'a Site,
    program: &'a ProgramDef,
    target: &'a Target,
    size: f64,
    tested: Tested,
    scan_s: f64,
    closed: Option<Duration>,
}

impl Report<'_> {
    fn proposals(&self) -> Vec<Settings> {
        match &self.tested {
            Tested::Step(fit) => vec![simc(fit.process, self.closed.map(|t| t.as_secs_f64()), self.scan_s)],
            Tested::Relay { ultimate, falls, .. } => of_relay(*ultimate, *falls).to_vec(),
        }
    }

    /// The program's own settings: parameters that are called after a gain or an integral time.
    fn present(&self) -> Vec<String> {
        let value = |name: &str| self.program.params.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        let declared = self.program.script.declaration().params.iter();
        let named = declared.filter(|param| param.name.ends_with("kp") || param.name.ends_with("ti"));
        named
            .filter_map(|param| match value(&param.name).or(param.default.as_ref()) {
                Some(Value::Float(x)) => Some(format!("{} {x}", param.name)),
                _ => None,
            })
            .collect()
    }

    fn text(&self) -> String {
        let (output, measured) = (self.site.tags.get(self.target.output), self.site.tags.get(self.target.measured));
        let (per, unit) = (output.unit.as_str(), measured.unit.as_str());
        let mut lines = vec![format!(
            "{}: `{}` moved by ±{} {per}, `{}` watched\n",
            self.program.name, output.path, self.size, measured.path
        )];
        match &self.tested {
            Tested::Step(fit) => lines.push(format!(
                "  gain       {:.4} {unit} per {per}\n  lag        {:.1} s\n  dead time  {:.1} s\n  drift      {:.3} {unit} in an hour\n  explained  {:.1} %, noise {:.4} {unit}",
                fit.process.gain,
                fit.process.lag_s,
                fit.process.dead_s,
                fit.drift_h,
                100.0 * fit.explained,
                fit.noise
            )),
            Tested::Relay { ultimate, spread, band, .. } => lines.push(format!(
                "  ultimate gain    {:.4} {per} per {unit}\n  ultimate period  {:.1} s, periods within {:.0} %\n  hysteresis       ±{band:.4} {unit}",
                ultimate.gain,
                ultimate.period_s,
                100.0 * spread
            )),
        }
        lines.push("\n  kp, ti of `pid()`".to_owned());
        for found in self.proposals() {
            let way = if found.reverse { ", reverse" } else { "" };
            lines.push(format!("  {:.4} {per} per {unit}, {:.1} s{way}: {}", found.kp, found.ti_s, found.source));
        }
        let present = self.present();
        if !present.is_empty() {
            lines.push(format!("  now: {}", present.join(", ")));
        }
        lines.join("\n")
    }

    fn json(&self) -> Json {
        let found = match &self.tested {
            Tested::Step(fit) => {
                json!({"gain": fit.process.gain, "lag_s": fit.process.lag_s, "dead_s": fit.process.dead_s,
                "drift_per_hour": fit.drift_h, "explained": fit.explained, "noise": fit.noise})
            }
            Tested::Relay { ultimate, spread, band, falls } => json!({"ultimate_gain": ultimate.gain,
                "ultimate_period_s": ultimate.period_s, "spread": spread, "band": band, "falls": falls}),
        };
        let proposals: Vec<Json> = self
            .proposals()
            .iter()
            .map(|s| json!({"rule": s.source, "kp": s.kp, "ti_s": s.ti_s, "reverse": s.reverse}))
            .collect();
        json!({"site": self.site.id, "program": &*self.program.name,
               "output": &*self.site.tags.get(self.target.output).path,
               "measured": &*self.site.tags.get(self.target.measured).path,
               "size": self.size, "scan_s": self.scan_s, "found": found, "proposals": proposals})
    }

    /// Whether the result may be used at all.
    fn verdict(&self) -> Result<(), String> {
        match &self.tested {
            Tested::Step(fit) if fit.explained < EXPLAINED_MIN => Err(format!(
                "the model explains {:.0} % of what was seen: it is none. A greater --size, a longer --hold, or another --measured",
                100.0 * fit.explained
            )),
            Tested::Relay { spread, .. } if *spread > SPREAD_MAX => Err(format!(
                "the periods differ by {:.0} %: no limit cycle. A greater --size, or more --cycles",
                100.0 * spread
            )),
            _ => Ok(()),
        }
    }
}
