//! Cases of scripts: tables of inputs, time steps and expected outputs in `*.cases.yaml` beside each `*.rhai`, run on the
//! engine's bench without devices, files or clocks. A script without cases is an error.

mod expect;

use crate::config::bindings::{compile, parameters};
use crate::config::case_files::{CaseFile, RestartFile, RowFile};
use crate::config::read::Reader;
use crate::config::tags::Ctx;
use crate::config::text::{At, Node};
use crate::diagnostics::{Diagnostics, FileId, Pos, suggest};
use expect::{EXPECT_HELP, Trend, expect, input};
use penstock_engine::{Bench, Declaration, PortDecl, Script, Take};
use penstock_model::{BadReason, Instant, Quality, Sample, Utc, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Scans of one row: four months at 10 s. A slip of the pen does not hang the build.
const TIMES_MAX: u32 = 1_000_000;

/// Longest time that a case passes through: as long as the longest duration of a file, within the range of the clocks.
const CASE_MAX: Duration = Duration::from_secs(36_525 * 86_400);

/// What came of running cases.
#[derive(Debug, Clone, Default)]
pub struct CasesReport {
    /// Scripts run.
    pub scripts: usize,
    /// Cases run.
    pub cases: usize,
    /// Scans run.
    pub scans: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Every difference and every mistake, with the place of its row.
    pub diagnostics: Diagnostics,
}

impl CasesReport {
    /// True when every case passed and nothing was wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.diagnostics.errors().next().is_none()
    }

    /// For pipelines.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "ok": self.passed(), "scripts": self.scripts, "cases": self.cases, "scans": self.scans, "failed": self.failed,
            "diagnostics": self.diagnostics.to_json(),
        })
    }
}

impl fmt::Display for CasesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.diagnostics.is_empty() {
            write!(f, "{}\n\n", self.diagnostics)?;
        }
        write!(f, "{} scripts, {} cases, {} scans: ", self.scripts, self.cases, self.scans)?;
        match (self.failed, self.passed()) {
            (0, true) => f.write_str("all pass"),
            (0, false) => f.write_str("not all could be run"),
            (n, _) => write!(f, "{n} failed"),
        }
    }
}

/// Runs the cases of one script (`x.rhai` or `x.cases.yaml`), or of every script below a folder.
#[must_use]
pub fn run_cases(dir_or_file: &Path) -> CasesReport {
    let mut run = Run::default();
    let name = dir_or_file.to_string_lossy();
    if dir_or_file.is_dir() {
        run.folder(dir_or_file);
        if run.result.scripts == 0 && !run.reader.report.has_errors() {
            run.reader.report.error_outside(format!("no scripts (*.rhai) in `{name}`"));
        }
    } else if let Some(stem) = name.strip_suffix(".cases.yaml") {
        run.script(&PathBuf::from(format!("{stem}.rhai")));
    } else if name.ends_with(".rhai") {
        run.script(dir_or_file);
    } else {
        run.reader.report.error_outside(format!("`{name}` is neither a folder, nor a script, nor its cases"));
    }
    CasesReport { diagnostics: run.reader.report.finish(), ..run.result }
}

#[derive(Default)]
struct Run {
    reader: Reader,
    result: CasesReport,
}

impl Run {
    fn folder(&mut self, dir: &Path) {
        let mut entries: Vec<PathBuf> = match std::fs::read_dir(dir) {
            Ok(entries) => entries.filter_map(Result::ok).map(|e| e.path()).collect(),
            Err(e) => {
                self.reader.report.error_outside(format!("folder `{}` cannot be read: {e}", dir.display()));
                return;
            }
        };
        entries.sort();
        for path in entries {
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                self.folder(&path);
            } else if name.ends_with(".rhai") {
                self.script(&path);
            } else if let Some(stem) = name.strip_suffix(".cases.yaml")
                && !Path::new(&format!("{stem}.rhai")).is_file()
            {
                self.reader.report.error_outside(format!("`{name}` has no script `{stem}.rhai`"));
            }
        }
    }

    fn script(&mut self, path: &Path) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(script) = compile(&mut self.reader, path, &name, None) else { return };
        self.result.scripts += 1;
        let cases_path = path.with_extension("cases.yaml");
        if !cases_path.is_file() {
            let shown = cases_path.display().to_string();
            self.reader
                .report
                .error_outside(format!("script `{}` has no cases", path.display()))
                .help(format!("write `{shown}`: rows of inputs, and what must come out"));
            return;
        }
        let Some((file, text)) = self.reader.text(&cases_path, None) else { return };
        let Some(cases) = self.reader.form::<Vec<CaseFile>>(file, &text) else { return };
        if cases.is_empty() {
            self.reader.report.error(file, Pos::default(), format!("script `{name}` has no cases"));
        }
        let mut seen: HashMap<&str, Pos> = HashMap::new();
        for case in &cases {
            if let Some(first) = seen.insert(&case.case.value, case.case.pos) {
                let label = format!("first: {}", self.reader.report.place(file, first));
                self.reader.report.error(file, case.case.pos, "two cases have one name").label(label);
            }
            let before = self.reader.report.count();
            self.case(file, &script, case);
            self.result.cases += 1;
            self.result.failed += usize::from(self.reader.report.count() > before);
        }
    }

    fn case(&mut self, file: FileId, script: &Script, case: &CaseFile) {
        let declaration = script.declaration();
        let mut ctx = Ctx { reader: &mut self.reader, file };
        let before = ctx.reader.report.count();
        let params = parameters(&mut ctx, &declaration.params, &case.set, case.case.pos);
        if ctx.reader.report.count() > before {
            return;
        }
        let bench = match Bench::new(script, &params) {
            Ok(bench) => bench,
            Err(why) => {
                ctx.error(case.case.pos, why);
                return;
            }
        };
        if case.rows.is_empty() {
            ctx.error(case.case.pos, "the case has no rows");
        }
        let mut table = Table {
            name: &case.case.value,
            ctx,
            bench,
            declaration,
            now: Duration::ZERO,
            dt: None,
            inputs: declaration
                .inputs
                .iter()
                .map(|i| (i.name.clone(), (None, Quality::Bad(BadReason::Initial))))
                .collect(),
            outputs: HashMap::new(),
            scans: 0,
        };
        table.manual(&case.manual.0);
        for row in &case.rows {
            let before = table.ctx.reader.report.count();
            table.row(row);
            // One difference explains the ones that follow from it.
            if table.ctx.reader.report.count() > before {
                break;
            }
        }
        self.result.scans += table.scans;
    }
}

/// A case as it runs.
struct Table<'a> {
    name: &'a str,
    ctx: Ctx<'a>,
    bench: Bench,
    declaration: &'a Declaration,
    now: Duration,
    dt: Option<Duration>,
    inputs: BTreeMap<String, (Option<Value>, Quality)>,
    outputs: HashMap<String, Sample>,
    scans: usize,
}

impl Table<'_> {
    fn row(&mut self, row: &At<RowFile>) {
        let r = &row.value;
        if let Some(text) = &r.dt {
            match self.ctx.duration_at(text) {
                Some(dt) if !dt.is_zero() => self.dt = Some(dt),
                Some(_) => {
                    self.ctx.error(text.pos, "the time step is zero");
                    return;
                }
                None => return,
            }
        }
        let Some(dt) = self.dt else {
            self.ctx.error(row.pos, "the first row does not say its time step").help("add: dt: 1s");
            return;
        };
        let times = r.times.as_ref().map_or(1, |t| t.value);
        if let Some(at) = r.times.as_ref().filter(|t| !(1..=TIMES_MAX).contains(&t.value)) {
            self.ctx.error(at.pos, format!("a row is repeated 1 to {TIMES_MAX} times, not {times}"));
            return;
        }
        if dt.checked_mul(times).and_then(|t| self.now.checked_add(t)).is_none_or(|end| end > CASE_MAX) {
            let pos = r.dt.as_ref().map_or(row.pos, |text| text.pos);
            let help = "write a smaller dt, or fewer times";
            self.ctx.error(pos, "with this row the case is longer than 100 years").help(help);
            return;
        }
        let before = self.ctx.reader.report.count();
        self.set_inputs(&r.inputs.0);
        self.manual(&r.manual.0);
        self.check_names(&r.out.0);
        if self.ctx.reader.report.count() > before {
            return;
        }
        match r.restart.as_ref().map(|at| at.value) {
            Some(RestartFile::Kept) => self.bench.restart(Take::All),
            Some(RestartFile::Fresh) => self.bench.restart(Take::Totals),
            None => {}
        }
        let mut trends: HashMap<String, Trend> =
            self.outputs.iter().filter_map(|(name, s)| Some((name.clone(), Trend::at(s.usable_f64()?)))).collect();
        let mut failed = None;
        for _ in 0..times {
            let error = self.scan(dt);
            for (name, sample) in &self.outputs {
                if let Some(x) = sample.usable_f64() {
                    trends.entry(name.clone()).and_modify(|t| t.step(x)).or_insert_with(|| Trend::at(x));
                }
            }
            failed = failed.or(error);
            if failed.is_some() && r.error.is_none() {
                break;
            }
        }
        self.judge_error(row, failed.as_deref());
        for (name, wanted) in &r.out.0 {
            self.judge(name, wanted, trends.get(&name.value));
        }
    }

    fn scan(&mut self, dt: Duration) -> Option<String> {
        self.now += dt;
        self.scans += 1;
        let nanos = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        let received = Instant(nanos);
        let source_time = Utc(i64::try_from(nanos).unwrap_or(i64::MAX));
        let inputs: Vec<(String, Sample)> = self
            .inputs
            .iter()
            .map(|(name, (value, quality))| {
                (name.clone(), Sample { value: value.clone(), quality: *quality, source_time, received })
            })
            .collect();
        let result = self.bench.scan(dt, &inputs);
        self.outputs = result.outputs.into_iter().collect();
        result.error
    }

    fn judge_error(&mut self, row: &At<RowFile>, failed: Option<&str>) {
        let name = self.name;
        match (&row.value.error, failed) {
            (None, Some(error)) => {
                self.ctx.error(row.pos, format!("case `{name}`: the script failed: {error}"));
            }
            (Some(wanted), None) => {
                self.ctx.error(wanted.pos, format!("case `{name}`: the script did not fail"));
            }
            (Some(wanted), Some(error)) if !error.contains(&wanted.value) => {
                self.ctx.error(wanted.pos, format!("case `{name}`: the script failed otherwise: {error}"));
            }
            _ => {}
        }
    }

    fn set_inputs(&mut self, inputs: &[(At<String>, At<Node>)]) {
        for (name, node) in inputs {
            let Some(port) = port(&mut self.ctx, &self.declaration.inputs, name, "input") else { continue };
            let last = self.inputs.get(&name.value).and_then(|(v, _)| v.clone());
            match input(&node.value, port.value_type, last) {
                Ok(sample) => {
                    self.inputs.insert(name.value.clone(), sample);
                }
                Err(why) => {
                    self.ctx.error(node.pos, why);
                }
            }
        }
    }

    fn manual(&mut self, outputs: &[(At<String>, At<Node>)]) {
        for (name, node) in outputs {
            let Some(port) = port(&mut self.ctx, &self.declaration.outputs, name, "output") else { continue };
            if node.value == Node::Text("release".to_owned()) {
                self.bench.set_manual(&name.value, None);
            } else if let Some(value) = node.value.to_value(port.value_type) {
                self.bench.set_manual(&name.value, Some(value));
            } else {
                let message = format!("{} is not a {} for `{}`", node.value.describe(), port.value_type, name.value);
                self.ctx.error(node.pos, message).help("write a value, or `release`");
            }
        }
    }

    fn check_names(&mut self, outputs: &[(At<String>, At<Node>)]) {
        for (name, _) in outputs {
            port(&mut self.ctx, &self.declaration.outputs, name, "output");
        }
    }

    fn judge(&mut self, name: &At<String>, wanted: &At<Node>, trend: Option<&Trend>) {
        let missing;
        let sample = if let Some(sample) = self.outputs.get(&name.value) {
            sample
        } else {
            missing = Sample {
                value: None,
                quality: Quality::Bad(BadReason::Initial),
                source_time: Utc(0),
                received: Instant(0),
            };
            &missing
        };
        let difference = match expect(&wanted.value) {
            Ok(expected) => expected.differs(sample, trend),
            Err(why) => {
                self.ctx.error(wanted.pos, why).help(EXPECT_HELP);
                return;
            }
        };
        if let Some(difference) = difference {
            let message = format!("case `{}`: `{}` {difference}", self.name, name.value);
            let after = format!("after {:?}, scan {}", self.now, self.scans);
            self.ctx.error(wanted.pos, message).label(after);
        }
    }
}

fn port<'d>(ctx: &mut Ctx<'_>, declared: &'d [PortDecl], name: &At<String>, what: &str) -> Option<&'d PortDecl> {
    let found = declared.iter().find(|d| d.name == name.value);
    if found.is_none() {
        let help = suggest(&name.value, declared.iter().map(|d| d.name.as_str()));
        ctx.error(name.pos, format!("the script has no {what} `{}`", name.value)).help_maybe(help);
    }
    found
}
