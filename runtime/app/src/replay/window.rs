//! `penstock replay`: a past window run again.

use super::alter::{Alter, plain};
use super::compare::Comparison;
use super::{Common, Opened};
use crate::recorder::tape::{Configs, Gap, Next, Ran, Tape};
use penstock_engine::{Replay, ScanJournal};
use penstock_model::{TagTable, TaskId, Utc};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Default length of a window.
const WINDOW: Duration = Duration::from_secs(600);

/// `penstock replay`
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    common: Common,
    /// Begin of the window: `2026-11-22 18:05`, `18:05:30`, `-10min` before the end of the record. Default -10min.
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window. Default: the end of the record.
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// This task alone.
    #[arg(long)]
    task: Option<String>,
    /// A folder of scripts that take the place of those of their names.
    #[arg(long)]
    scripts: Option<PathBuf>,
    #[command(flatten)]
    alter: Alter,
    /// Write every difference into this file: .csv, or the summary into a .json.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What came of one task.
struct Done {
    name: String,
    comparison: Comparison,
    tags: Option<Arc<TagTable>>,
    whole_from: Option<Utc>,
    to: Option<Utc>,
    gaps: Vec<Gap>,
    fresh: Vec<String>,
    configs: Vec<String>,
    other: Vec<String>,
}

/// Runs a window again and prints what differed.
///
/// # Errors
/// In words: no such record, window, task or script; or, with the scripts of then, that the grants are not those of then.
pub fn run(args: &ReplayArgs) -> Result<(), String> {
    let opened = args.common.open()?;
    let (first, last) = opened.span();
    let from = args.from.as_deref().map_or(Ok(opened.before_end(WINDOW)), |t| opened.moment(t))?;
    let until = args.to.as_deref().map(|t| opened.moment(t)).transpose()?;
    let to = until.unwrap_or(opened.end());
    // Where the clock was set back, a window up to the end may begin at a later time than it ends.
    if until.map_or(from == to, |to| from >= to) {
        return Err(format!(
            "the window is empty: it begins at {} and ends at {}",
            opened.shown(from),
            opened.shown(to)
        ));
    }
    if to < first || from > last {
        return Err(format!(
            "the window {} to {} is not in the record, which holds {} to {}",
            opened.shown(from),
            opened.shown(to),
            opened.shown(first),
            opened.shown(last)
        ));
    }
    let altered = !args.alter.is_empty() || args.scripts.is_some();
    let mut configs = Configs::new(&opened.dir);
    let mut all = Vec::new();
    for (task, name) in opened.tasks(args.task.as_deref())? {
        all.push(one_task(args, &opened, &mut configs, (task, name), (from, until))?);
    }
    for done in &all {
        print_task(&args.common, &opened, done, altered);
    }
    if let Some(file) = &args.out {
        write_out(file, &all)?;
        say!("{}", args.common.say(format!("已写入 {}", file.display()), format!("written to {}", file.display())));
    }
    if all.iter().all(|d| d.comparison.scans == 0) {
        return Err("no scan of the window could be replayed".to_owned());
    }
    if !altered && all.iter().any(|d| !d.comparison.is_equal()) {
        return Err("the replay did not grant what was granted then: this is a defect of the runtime; keep the record"
            .to_owned());
    }
    Ok(())
}

fn one_task(
    args: &ReplayArgs,
    opened: &Opened,
    configs: &mut Configs,
    (task, name): (TaskId, String),
    (from, until): (Utc, Option<Utc>),
) -> Result<Done, String> {
    let mut tape = Tape::new(&opened.index, task, from);
    let mut runner = Runner::new(task, args.scripts.clone(), args.alter.clone(), from);
    let mut done = Done {
        name,
        comparison: if args.out.is_some() { Comparison::with_rows() } else { Comparison::default() },
        tags: None,
        whole_from: None,
        to: None,
        gaps: Vec::new(),
        fresh: Vec::new(),
        configs: Vec::new(),
        other: Vec::new(),
    };
    while let Some(next) = tape.next(&opened.index, configs)? {
        match next {
            Next::Gap(gap) => {
                runner.stop();
                if gap.until.is_none_or(|until| until >= from) && until.is_none_or(|to| gap.after <= to) {
                    done.gaps.push(gap);
                }
            }
            Next::Scan(journal, ran) => {
                if until.is_some_and(|to| journal.now.utc > to) {
                    break;
                }
                if !done.configs.contains(&ran.hash) && journal.now.utc >= from {
                    done.configs.push(ran.hash.clone());
                }
                if runner.scan(configs, &journal, &ran, &mut done.comparison)? {
                    done.whole_from.get_or_insert(journal.now.utc);
                    done.to = Some(journal.now.utc);
                }
                done.tags = Some(configs.get(&ran.hash, ran.run)?.site.tags.clone());
            }
        }
    }
    done.fresh = runner.fresh;
    done.other = runner.other;
    Ok(done)
}

/// Follows a tape with a replay: the configurations of then up to a moment, and with something other from it on.
pub struct Runner {
    task: TaskId,
    scripts: Option<PathBuf>,
    alter: Alter,
    from: Utc,
    ran: Option<Ran>,
    changes: u32,
    replay: Option<Replay>,
    /// The replay runs what is other.
    altered: bool,
    /// `from` has come: a clock that is set back afterwards does not undo it.
    begun: bool,
    clock: Option<Arc<dyn penstock_model::Clock>>,
    /// What of the programs was left fresh.
    pub fresh: Vec<String>,
    /// Programs that are other.
    pub other: Vec<String>,
}

impl Runner {
    /// For one task; what is other counts from `from` on.
    pub fn new(task: TaskId, scripts: Option<PathBuf>, alter: Alter, from: Utc) -> Runner {
        Runner {
            task,
            scripts,
            alter,
            from,
            ran: None,
            changes: 0,
            replay: None,
            altered: false,
            begun: false,
            clock: None,
            fresh: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Bounds the time of what is other, as beside a plant.
    pub fn bound_time(&mut self, clock: Arc<dyn penstock_model::Clock>) {
        self.clock = Some(clock);
    }

    /// The record is not whole here: goes on at the next keyframe.
    pub fn stop(&mut self) {
        self.replay = None;
    }

    /// The replay, where one is under way.
    pub fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// Runs one scan. True: it was compared.
    ///
    /// # Errors
    /// In words: the configuration or what is other in it does not fit.
    pub fn scan(
        &mut self,
        configs: &mut Configs,
        journal: &ScanJournal,
        ran: &Ran,
        comparison: &mut Comparison,
    ) -> Result<bool, String> {
        let changed = self.ran.as_ref() != Some(ran) || self.changes != journal.changes;
        if let Some(key) = &journal.key
            && (self.replay.is_none() || changed)
        {
            let replay = Replay::new(plain(&configs.get(&ran.hash, ran.run)?.site), self.task, None);
            let mut replay = replay.map_err(|e| e.to_string())?;
            replay.take_up(key, journal.now);
            (self.ran, self.changes) = (Some(ran.clone()), journal.changes);
            self.replay = Some(replay);
            self.altered = false;
            comparison.begin_anew();
        }
        if self.replay.is_none() {
            return Ok(false);
        }
        self.begun |= journal.now.utc >= self.from;
        let within = self.begun;
        if within && !self.altered && (self.scripts.is_some() || !self.alter.is_empty()) {
            self.switch(configs, journal, ran)?;
        }
        let Some(replay) = &mut self.replay else { return Ok(false) };
        let here = replay.scan(journal);
        comparison.hear(journal);
        if within {
            comparison.compare(journal, &here);
        }
        Ok(within)
    }

    /// From here on with what is other; what the task remembers goes over by name and type.
    fn switch(&mut self, configs: &mut Configs, journal: &ScanJournal, ran: &Ran) -> Result<(), String> {
        let Some(before) = &self.replay else { return Ok(()) };
        let site = &configs.get(&ran.hash, ran.run)?.site;
        let (config, other) = self.alter.apply(site, self.scripts.as_deref())?;
        let replay = Replay::new(config, self.task, self.clock.clone());
        let mut replay = replay.map_err(|e| e.to_string())?;
        let fresh = replay.take_up(&before.keyframe(), journal.now);
        self.fresh.extend(fresh.into_iter().map(|(program, left)| format!("{program}: {left}")));
        self.fresh.dedup();
        self.other = other;
        self.replay = Some(replay);
        self.altered = true;
        Ok(())
    }
}

fn print_task(common: &Common, opened: &Opened, done: &Done, altered: bool) {
    let c = &done.comparison;
    let (name, scans) = (&done.name, c.scans);
    let (Some(from), Some(to), Some(tags)) = (done.whole_from, done.to, &done.tags) else {
        say!(
            "{}",
            common.say(
                format!("任务 {name}：此时段没有可重放的扫描"),
                format!("task {name}: no scan of the window can be replayed")
            )
        );
        print_gaps(common, opened, done);
        return;
    };
    let (from, to, configs) = (opened.shown(from), opened.shown(to), done.configs.join(", "));
    say!(
        "{}",
        common.say(
            format!("任务 {name}：{from} 至 {to}，{scans} 次扫描，配置 {configs}"),
            format!("task {name}: {from} to {to}, {scans} scans, configuration {configs}")
        )
    );
    print_gaps(common, opened, done);
    if altered && !done.other.is_empty() {
        let programs = done.other.join(", ");
        say!("  {}", common.say(format!("已替换：{programs}"), format!("other than then: {programs}")));
    }
    for fresh in &done.fresh {
        say!("  {}", common.say(format!("未沿用：{fresh}"), format!("started fresh: {fresh}")));
    }
    for (at, fault) in &c.faults {
        let at = opened.shown(*at);
        say!("  {}", common.say(format!("{at} 任务故障：{fault}"), format!("{at} the task was faulted: {fault}")));
    }
    if c.is_equal() {
        let commands: u64 = c.commands.values().map(|(then, _)| then).sum();
        say!(
            "  {}",
            common.say(
                format!("与当时逐位相同：所有输出与计算值，{commands} 条命令"),
                format!("equal to the bit: every output and computed tag, {commands} commands")
            )
        );
    }
    for line in c.lines(tags, |at| opened.shown(at), common.chinese()) {
        say!("  {line}");
    }
}

fn print_gaps(common: &Common, opened: &Opened, done: &Done) {
    for gap in &done.gaps {
        let after = opened.shown(gap.after);
        let until = gap.until.map_or_else(|| common.say("记录结束", "the end of the record"), |at| opened.shown(at));
        say!(
            "  {}",
            common.say(
                format!("{after} 至 {until} 的记录不完整：{}", gap.reason),
                format!("not whole from {after} to {until}: {}", gap.reason)
            )
        );
    }
}

fn write_out(file: &Path, all: &[Done]) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", file.display());
    if file.extension().is_some_and(|e| e == "json") {
        let tasks: Vec<_> = all
            .iter()
            .filter_map(|d| {
                let mut json = d.comparison.json(d.tags.as_ref()?);
                json["task"] = d.name.clone().into();
                Some(json)
            })
            .collect();
        let text = serde_json::to_string_pretty(&tasks).map_err(|e| e.to_string())?;
        return std::fs::write(file, text).map_err(fail);
    }
    let mut text = "time,task,tag,part,then,then_quality,here,here_quality\n".to_owned();
    for done in all {
        let Some(tags) = &done.tags else { continue };
        for row in done.comparison.rows.iter().flatten() {
            let value =
                |v: &Option<penstock_model::Value>| v.as_ref().map_or(String::new(), |v| quoted(&v.to_string()));
            let quality = |q: Option<penstock_model::Quality>| q.map_or(String::new(), |q| q.to_string());
            let at = jiff::Timestamp::from_nanosecond(i128::from(row.at.0))
                .map_or_else(|_| String::new(), |t| t.to_string());
            let part = if row.part == super::compare::Part::Value { "value" } else { "wish" };
            text.push_str(&format!(
                "{at},{},{},{part},{},{},{},{}\n",
                quoted(&done.name),
                quoted(&tags.get(row.tag).path),
                value(&row.then),
                quality(row.then_quality),
                value(&row.here),
                quality(row.here_quality)
            ));
        }
        if done.comparison.rows_left_out > 0 {
            complain!(
                "{}: {} further differences of task {} are not in the file",
                file.display(),
                done.comparison.rows_left_out,
                done.name
            );
        }
    }
    std::fs::write(file, text).map_err(fail)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
