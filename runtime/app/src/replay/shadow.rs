//! `penstock shadow`: another program beside the plant, on its live inputs; what it grants goes nowhere.
//!
//! It runs in this process, at the lowest priority, behind the record that the runtime writes. The runtime does not know of
//! it: a shadow that faults, loops or is killed costs the plant nothing.

use super::Common;
use super::alter::Alter;
use super::compare::Comparison;
use super::window::Runner;
use crate::recorder::order;
use crate::recorder::ring::Index;
use crate::recorder::tape::{Configs, Next, Tape};
use crate::run::ThreadCpuClock;
use penstock_model::{TagTable, Utc};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the record is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longer than this without a scan, and the runtime does not run.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// `penstock shadow`
#[derive(Debug, clap::Args)]
pub struct ShadowArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    alter: Alter,
    /// How long.
    #[arg(long = "for", default_value = "10min", value_parser = crate::cli::duration)]
    run_for: Duration,
    /// Print the report as JSON at the end, and no live line.
    #[arg(long)]
    json: bool,
}

/// Runs a shadow and reports what it would have granted.
///
/// # Errors
/// In words: no record, nothing to shadow, a script that does not compile, or a runtime that does not run.
pub fn run(args: &ShadowArgs) -> Result<(), String> {
    if args.alter.is_empty() {
        return Err("nothing to shadow: give --program <program>=<file.rhai>, or --set <parameter>=<value>".to_owned());
    }
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the shadow runs at the usual priority");
    }
    let opened = args.common.open()?;
    let mut configs = Configs::new(&opened.dir);
    let last = opened.index.blocks.last().map(|b| (b.head.config_hex(), b.head.run)).unwrap_or_default();
    let (config, other) = args.alter.apply(&configs.get(&last.0, last.1)?.site, None)?;
    let tasks: Vec<_> =
        config.programs.iter().filter(|p| other.iter().any(|o| **o == *p.name)).map(|p| p.task).collect();
    let [task] = tasks.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()[..]
    else {
        return Err(format!("the programs {} run in several tasks: shadow them one task at a time", other.join(", ")));
    };
    // What was recorded before is not what it is asked about. Tasks are written one after the other: the last scan of the
    // record may be another task's, and older.
    let last = order::end_of(&opened.index.blocks, task).unwrap_or(opened.end().0);
    let start = Utc(last.saturating_add(1));
    let mut tape = Tape::new(&opened.index, task, start);
    let mut runner = Runner::new(task, None, args.alter.clone(), start);
    runner.bound_time(Arc::new(ThreadCpuClock));
    let mut comparison = Comparison::default();
    let (began, mut heard, mut index) = (Instant::now(), Instant::now(), opened.index);
    let mut gaps = Vec::new();
    let live = !args.json && std::io::stdout().is_terminal();
    loop {
        while let Some(next) = tape.next(&index, &mut configs)? {
            match next {
                Next::Gap(gap) => {
                    runner.stop();
                    gaps.push(gap.reason);
                }
                Next::Scan(journal, ran) => {
                    heard = Instant::now();
                    runner.scan(&mut configs, &journal, &ran, &mut comparison)?;
                }
            }
        }
        if live {
            say_part!("\r{}\x1b[K", line(args, &comparison, &config.tags));
            let _ = std::io::stdout().flush();
        }
        if began.elapsed() >= args.run_for {
            break;
        }
        if heard.elapsed() > SILENCE_MAX {
            say!();
            complain!("no scan was recorded for {SILENCE_MAX:?}: does the runtime run with this state folder?");
            break;
        }
        std::thread::sleep(LOOK_EVERY.min(args.run_for.saturating_sub(began.elapsed())));
        index = Index::read(&opened.dir).map_err(|e| format!("{}: {e}", opened.dir.display()))?;
        tape.look_again(&index);
    }
    if live {
        say!();
    }
    if runner.other.is_empty() {
        // No scan has come with which it could have begun.
        runner.other = other;
    }
    let shown = |at: Utc| crate::change::control::shown_time(at.millis(), &opened.site.time_zone);
    report(args, &runner, &comparison, &config.tags, &gaps, shown)
}

/// One line while it runs.
fn line(args: &ShadowArgs, c: &Comparison, tags: &TagTable) -> String {
    let worst = c.found.iter().max_by(|a, b| {
        let size = |d: &super::compare::Difference| d.largest.map_or(0.0, |(x, _)| x.abs());
        size(a.1).total_cmp(&size(b.1))
    });
    let worst = worst.map_or_else(
        || args.common.say("无差异", "no difference"),
        |((tag, _), d)| {
            let largest = d.largest.map_or(0.0, |(x, _)| x);
            let def = tags.get(*tag);
            format!("{} {largest:+.3} {}", def.path, def.unit.as_str())
        },
    );
    args.common.say(format!("影子运行：{} 次扫描，{worst}", c.scans), format!("shadow: {} scans, {worst}", c.scans))
}

fn report(
    args: &ShadowArgs,
    runner: &Runner,
    c: &Comparison,
    tags: &TagTable,
    gaps: &[String],
    shown: impl Fn(Utc) -> String,
) -> Result<(), String> {
    if args.json {
        let mut json = c.json(tags);
        json["programs"] = runner.other.clone().into();
        json["fresh"] = runner.fresh.clone().into();
        say!("{json:#}");
    } else {
        let (programs, scans, s) = (runner.other.join(", "), c.scans, c.time_s);
        say!(
            "{}",
            args.common.say(
                format!("影子运行 {programs}：{scans} 次扫描，{s:.0} s。其输出未送往任何设备。"),
                format!("shadow of {programs}: {scans} scans, {s:.0} s. Its outputs went nowhere.")
            )
        );
        for fresh in &runner.fresh {
            say!("  {}", args.common.say(format!("未沿用：{fresh}"), format!("started fresh: {fresh}")));
        }
        for reason in gaps {
            say!(
                "  {}",
                args.common.say(format!("记录不完整：{reason}"), format!("the record is not whole: {reason}"))
            );
        }
        for (at, fault) in &c.faults {
            let at = shown(*at);
            say!(
                "  {}",
                args.common.say(format!("{at} 影子故障：{fault}"), format!("{at} fault in the shadow: {fault}"))
            );
        }
        for line in c.lines(tags, &shown, args.common.chinese()) {
            say!("  {line}");
        }
        if c.is_equal() && c.scans > 0 {
            say!("  {}", args.common.say("与现行程序逐位相同", "equal to the live program to the bit"));
        }
    }
    if c.scans == 0 { Err("no scan was seen".to_owned()) } else { Ok(()) }
}
