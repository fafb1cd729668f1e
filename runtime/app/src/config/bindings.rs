//! Programs and alarms: scripts and limits bound to tags.

use super::files::{AlarmFile, ProgramFile};
use super::read::Reader;
use super::tags::{Ctx, Kind, Tags};
use super::text::{At, Node, Pairs, parse_duration};
use crate::diagnostics::{FileId, Pos, nearest, suggest};
use penstock_engine::{ParamDecl, PortDecl, ProgramDef, Script, TaskDef};
use penstock_model::limits::SCRIPT_SOURCE_BYTES_MAX;
use penstock_model::{
    AlarmCondition, AlarmDef, AlarmId, AlarmPriority, Source, TagDef, TagId, TaskId, Unit, Value, ValueType,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a program binds an input: for the check of loops.
pub(super) struct Use {
    pub program: usize,
    /// The input.
    pub port: String,
    pub tag: TagId,
    pub file: FileId,
    pub pos: Pos,
    /// Place of its `delay`, where it has one.
    pub late: Option<Pos>,
}

/// Reads programs.
pub struct Programs<'a> {
    pub reader: &'a mut Reader,
    pub tags: &'a mut Tags,
    pub tasks: &'a [TaskDef],
    pub script_dirs: Vec<PathBuf>,
    pub list: Vec<ProgramDef>,
    names: HashMap<String, (FileId, Pos)>,
    scripts: HashMap<PathBuf, Option<Script>>,
    /// Where the text of a script stands in the report.
    pub(super) texts: HashMap<String, FileId>,
    pub(super) uses: Vec<Use>,
}

impl<'a> Programs<'a> {
    pub fn new(reader: &'a mut Reader, tags: &'a mut Tags, tasks: &'a [TaskDef], script_dirs: Vec<PathBuf>) -> Self {
        Self {
            reader,
            tags,
            tasks,
            script_dirs,
            list: Vec::new(),
            names: HashMap::new(),
            scripts: HashMap::new(),
            texts: HashMap::new(),
            uses: Vec::new(),
        }
    }

    /// Reads one file of programs.
    pub fn read(&mut self, path: &Path, named: Option<(FileId, Pos)>) {
        let form = self
            .reader
            .text(path, named)
            .and_then(|(file, text)| Some((file, self.reader.form::<Vec<ProgramFile>>(file, &text)?)));
        let Some((file, programs)) = form else {
            self.reader.lost.programs = true;
            return;
        };
        for program in &programs {
            self.program(file, program);
        }
    }

    fn program(&mut self, file: FileId, p: &ProgramFile) {
        if let Some((other, pos)) = self.names.get(&p.program.value) {
            let first = self.reader.report.place(*other, *pos);
            self.reader
                .report
                .error(file, p.program.pos, format!("program `{}` is declared twice", p.program.value))
                .label(format!("first declared here: {first}"));
        }
        self.names.insert(p.program.value.clone(), (file, p.program.pos));
        let name: Arc<str> = p.program.value.as_str().into();
        let task = self.task(file, &p.task);
        let script = self.script(file, &p.script);
        let index = self.list.len();
        let declaration = script.as_ref().map(Script::declaration);
        let (bound, late) = Ctx { reader: self.reader, file }.inputs(&p.inputs);
        let inputs = self.ports(file, &bound, declaration.map(|d| d.inputs.as_slice()), "input");
        let outputs = self.ports(file, &p.outputs, declaration.map(|d| d.outputs.as_slice()), "output");
        for (port, tag) in &inputs {
            let pos = bound.get(port).map(|at| at.pos).unwrap_or_default();
            let late = late.iter().find(|l| l.port == *port).map(|l| l.pos);
            self.uses.push(Use { program: index, port: port.clone(), tag: *tag, file, pos, late });
        }
        for (port, tag) in &outputs {
            let pos = p.outputs.get(port).map(|at| at.pos).unwrap_or_default();
            self.writes(file, pos, *tag, &name);
        }
        let (mut params, mut delays) = (Vec::new(), Vec::new());
        let task_def = task.map(|id| &self.tasks[usize::from(id.0)]);
        let limits = Ctx { reader: self.reader, file }.program_limits(p.limits.as_ref(), task_def);
        if let Some(d) = declaration {
            // Whatever is said of an input, and be it wrong: it is not missing.
            let named = Pairs(p.inputs.0.iter().map(|(port, _)| (port.clone(), port.clone())).collect());
            self.unbound(file, p, "input", &d.inputs, &named);
            self.unbound(file, p, "output", &d.outputs, &p.outputs);
            let mut ctx = Ctx { reader: self.reader, file };
            params = parameters(&mut ctx, &d.params, &p.set, p.script.pos);
            delays = ctx.delays(&late, d);
        }
        if let (Some(script), Some(task)) = (script, task) {
            self.list.push(ProgramDef { name, script, task, inputs, outputs, params, delays, limits });
        } else {
            self.uses.retain(|u| u.program != index);
        }
    }

    fn task(&mut self, file: FileId, name: &At<String>) -> Option<TaskId> {
        let found = self.tasks.iter().find(|t| *t.name == *name.value).map(|t| t.id);
        if found.is_none() && !self.tasks.is_empty() {
            let help = suggest(&name.value, self.tasks.iter().map(|t| &*t.name));
            self.reader.report.error(file, name.pos, format!("unknown task `{}`", name.value)).help_maybe(help);
        }
        found
    }

    fn script(&mut self, file: FileId, name: &At<String>) -> Option<Script> {
        let Some(path) = self.script_dirs.iter().map(|d| d.join(&name.value)).find(|p| p.is_file()) else {
            let dirs = self.script_dirs.clone();
            let all: Vec<PathBuf> = dirs.iter().flat_map(|d| self.reader.find(d, "*.rhai")).collect();
            let names: Vec<String> =
                all.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
            let help = suggest(&name.value, names.iter().map(String::as_str));
            self.reader.report.error(file, name.pos, format!("unknown script `{}`", name.value)).help_maybe(help);
            return None;
        };
        if let Some(known) = self.scripts.get(&path) {
            return known.clone();
        }
        let script = compile(self.reader, &path, &name.value, Some((file, name.pos)));
        if script.is_some() {
            self.texts.extend(self.reader.report.last_file().map(|text| (name.value.clone(), text)));
        }
        self.scripts.insert(path, script.clone());
        script
    }

    fn ports(
        &mut self,
        file: FileId,
        bound: &Pairs<At<String>>,
        declared: Option<&[PortDecl]>,
        what: &str,
    ) -> Vec<(String, TagId)> {
        let mut out = Vec::new();
        for (port, path) in &bound.0 {
            let tag = self.tags.find(self.reader, file, path);
            if let Some(declared) = declared {
                match (declared.iter().find(|d| d.name == port.value), tag) {
                    (Some(decl), Some(tag)) => self.fits(file, path.pos, decl, tag, what),
                    (Some(_), None) => {}
                    (None, _) => {
                        let help = suggest(&port.value, declared.iter().map(|d| d.name.as_str()));
                        let message = format!("the script has no {what} `{}`", port.value);
                        self.reader.report.error(file, port.pos, message).help_maybe(help);
                    }
                }
            }
            out.extend(tag.map(|tag| (port.value.clone(), tag)));
        }
        out
    }

    /// The tag's type and unit fit the port's.
    fn fits(&mut self, file: FileId, pos: Pos, port: &PortDecl, tag: TagId, what: &str) {
        let def = &self.tags.get(tag).def;
        if self.reader.lost.doubtful.contains(&*def.path) {
            return;
        }
        let widened = what == "input" && port.value_type == ValueType::Float && def.value_type == ValueType::Int;
        let (path, name) = (&def.path, &port.name);
        if def.value_type != port.value_type && !widened {
            let message = format!("{what} `{name}` takes a {}, but `{path}` is a {}", port.value_type, def.value_type);
            self.reader.report.error(file, pos, message);
        } else if port.value_type == ValueType::Float && def.unit != port.unit && port.unit != Unit::ANY {
            let say = |unit: &str| if unit.is_empty() { "no unit".to_owned() } else { format!("`{unit}`") };
            let message = format!(
                "{what} `{name}` is in {}, but `{path}` is in {}",
                say(port.unit.as_str()),
                say(def.unit.as_str())
            );
            self.reader
                .report
                .error(file, pos, message)
                .help("nothing is converted silently: change the unit of one of them");
        }
    }

    /// Notes the writer of a tag; two are an error, and so is one where a device or a person writes.
    fn writes(&mut self, file: FileId, pos: Pos, tag: TagId, program: &Arc<str>) {
        let draft = &mut self.tags.list[tag.index()];
        let path = draft.def.path.clone();
        if let Some((other, other_file, other_pos)) = &draft.writer {
            let label = format!("also written by `{other}` ({})", self.reader.report.place(*other_file, *other_pos));
            let unwritten: Vec<&str> = self
                .tags
                .list
                .iter()
                .filter(|d| d.writer.is_none() && matches!(d.kind, Kind::Written | Kind::Computed))
                .map(|d| &*d.def.path)
                .collect();
            let help = nearest(&path, unwritten).map(|near| format!("nobody writes `{near}`: was that meant?"));
            self.reader
                .report
                .error(file, pos, format!("`{path}` is written by two programs"))
                .label(label)
                .help_maybe(help);
            return;
        }
        let why = match draft.kind {
            Kind::Written | Kind::Computed => {
                draft.writer = Some((program.clone(), file, pos));
                draft.def.source = Source::Program(program.clone());
                return;
            }
            Kind::Read => "a device is read into it",
            Kind::Entered => "people enter it",
            Kind::Own => "the runtime itself publishes it",
        };
        self.reader
            .report
            .error(file, pos, format!("`{path}` cannot be an output"))
            .label(why)
            .help("give the point a `write`, or declare a computed tag in tags.yaml");
    }

    fn unbound(&mut self, file: FileId, p: &ProgramFile, what: &str, declared: &[PortDecl], bound: &Pairs<At<String>>) {
        let names = || declared.iter().map(|d| d.name.as_str());
        let misspelt = |name: &str| bound.0.iter().any(|(k, _)| nearest(&k.value, names()) == Some(name));
        for port in declared.iter().filter(|d| !d.optional && bound.get(&d.name).is_none() && !misspelt(&d.name)) {
            let key = if what == "input" { "in" } else { "out" };
            self.reader
                .report
                .error(
                    file,
                    p.program.pos,
                    format!("program `{}` does not bind {what} `{}`", p.program.value, port.name),
                )
                .help(format!(
                    "add: {key}: {{ {}: <tag in {}> }}",
                    port.name,
                    if port.unit.as_str().is_empty() { port.value_type.as_str() } else { port.unit.as_str() }
                ));
        }
    }

    /// What only the whole shows: outputs nobody writes, circles.
    pub fn finish(mut self) -> Vec<ProgramDef> {
        if !self.reader.lost.programs {
            for draft in self.tags.list.iter().filter(|d| d.writer.is_none()) {
                let Some((file, pos)) = draft.place else { continue };
                let (message, help) = match draft.kind {
                    Kind::Written => (
                        format!("nothing writes `{}`", draft.def.path),
                        "bind it as an output of a program, or give it an `entry`",
                    ),
                    Kind::Computed => {
                        (format!("no program computes `{}`", draft.def.path), "bind it as an output of a program")
                    }
                    _ => continue,
                };
                self.reader.report.error(file, pos, message).help(help);
            }
        }
        self.circles();
        self.delays();
        self.bare_reads();
        self.list
    }
}

/// Compiles a script file; its mistakes are told in the script itself.
pub fn compile(reader: &mut Reader, path: &Path, name: &str, named: Option<(FileId, Pos)>) -> Option<Script> {
    let (file, source) = reader.text(path, named)?;
    if source.len() > SCRIPT_SOURCE_BYTES_MAX {
        reader.report.error(file, Pos::default(), format!("the script is larger than {SCRIPT_SOURCE_BYTES_MAX} bytes"));
        return None;
    }
    match Script::compile(name, &source) {
        Ok(script) => Some(script),
        Err(errors) => {
            for e in errors {
                let line = source.lines().nth((e.line.max(1) - 1) as usize).unwrap_or_default();
                let pos = Pos { line: e.line, column: e.column.max(1), len: word_length(line, e.column) };
                reader.report.error(file, pos, e.message).help_maybe(e.help);
            }
            None
        }
    }
}

/// Characters of the word that starts at a column (from 1).
fn word_length(line: &str, column: u32) -> u32 {
    let rest = line.chars().skip(column.saturating_sub(1) as usize);
    let length = rest.take_while(|c| c.is_alphanumeric() || *c == '_').count();
    u32::try_from(length.max(1)).unwrap_or(1)
}

/// Parameters as values, checked against what the script declares. `owner` is blamed for what is missing.
pub fn parameters(
    ctx: &mut Ctx<'_>,
    declared: &[ParamDecl],
    set: &Pairs<At<Node>>,
    owner: Pos,
) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (name, node) in &set.0 {
        let Some(decl) = declared.iter().find(|d| d.name == name.value) else {
            let help = suggest(&name.value, declared.iter().map(|d| d.name.as_str()));
            ctx.error(name.pos, format!("the script has no parameter `{}`", name.value)).help_maybe(help);
            continue;
        };
        match parameter(decl, &node.value) {
            Ok(value) => out.push((name.value.clone(), value)),
            Err(why) => {
                ctx.error(node.pos, why);
            }
        }
    }
    for decl in declared.iter().filter(|d| d.default.is_none() && set.get(&d.name).is_none()) {
        ctx.error(owner, format!("parameter `{}` is not set", decl.name))
            .help(format!("the script gives it no default; add: set: {{ {}: <{}> }}", decl.name, decl.unit));
    }
    out
}

fn parameter(decl: &ParamDecl, node: &Node) -> Result<Value, String> {
    let seconds = match decl.unit.as_str() {
        "s" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let name = &decl.name;
    let value = match (node, seconds) {
        (Node::Text(text), Some(seconds)) => Some(Value::Float(parse_duration(text)?.as_secs_f64() / seconds)),
        _ => node.to_value(decl.value_type),
    };
    let value = value
        .and_then(|v| v.convert(decl.value_type))
        .ok_or_else(|| format!("{} is not a {} for parameter `{name}`", node.describe(), decl.value_type))?;
    if let (Some(x), Some((low, high))) = (value.as_f64(), decl.limits)
        && !(low..=high).contains(&x)
    {
        return Err(format!("parameter `{name}`: {x} is outside {low}..{high} {}", decl.unit).trim_end().to_owned());
    }
    Ok(value)
}

/// Reads alarms.
pub struct Alarms<'a> {
    pub reader: &'a mut Reader,
    pub tags: &'a Tags,
    pub list: Vec<AlarmDef>,
    names: HashMap<String, (FileId, Pos)>,
}

impl<'a> Alarms<'a> {
    pub fn new(reader: &'a mut Reader, tags: &'a Tags) -> Self {
        Self { reader, tags, list: Vec::new(), names: HashMap::new() }
    }

    /// Reads one file of alarms.
    pub fn read(&mut self, path: &Path, named: Option<(FileId, Pos)>) {
        let Some((file, text)) = self.reader.text(path, named) else { return };
        let Some(alarms) = self.reader.form::<Vec<AlarmFile>>(file, &text) else { return };
        for alarm in &alarms {
            self.alarm(file, alarm);
        }
    }

    fn alarm(&mut self, file: FileId, a: &AlarmFile) {
        if let Some((other, pos)) = self.names.get(&a.alarm.value) {
            let first = self.reader.report.place(*other, *pos);
            self.reader
                .report
                .error(file, a.alarm.pos, format!("alarm `{}` is declared twice", a.alarm.value))
                .label(format!("first declared here: {first}"));
        }
        self.names.insert(a.alarm.value.clone(), (file, a.alarm.pos));
        let tag = self.tags.find(self.reader, file, &a.tag);
        let mut ctx = Ctx { reader: self.reader, file };
        let on_delay = ctx.duration(&a.on_delay, Duration::ZERO);
        let off_delay = ctx.duration(&a.off_delay, Duration::ZERO);
        let all = [AlarmPriority::Low, AlarmPriority::Medium, AlarmPriority::High, AlarmPriority::Critical];
        let priority = ctx.word(&Some(a.priority.clone()), AlarmPriority::Low, "priority", &all, |p| p.as_str());
        let deadband = ctx.not_negative(&a.deadband, "deadband");
        let condition = condition(&mut ctx, a, deadband);
        let (Some(tag), Some((condition, pos))) = (tag, condition) else { return };
        watch(&mut ctx, &self.tags.get(tag).def, condition, pos);
        self.list.push(AlarmDef {
            id: AlarmId(u32::try_from(self.list.len()).unwrap_or(u32::MAX)),
            name: a.alarm.value.as_str().into(),
            tag,
            condition,
            on_delay,
            off_delay,
            priority,
            title: a.title.0.clone(),
            cause: a.cause.0.clone(),
            consequence: a.consequence.0.clone(),
            response: a.response.0.clone(),
        });
    }
}

fn condition(ctx: &mut Ctx<'_>, a: &AlarmFile, deadband: f64) -> Option<(AlarmCondition, Pos)> {
    let mut found = Vec::new();
    for (at, above) in [(&a.above, true), (&a.below, false)] {
        let Some(at) = at else { continue };
        if !at.value.is_finite() {
            ctx.error(at.pos, "a limit must be a finite number");
            return None;
        }
        let limit = at.value;
        let condition =
            if above { AlarmCondition::Above { limit, deadband } } else { AlarmCondition::Below { limit, deadband } };
        found.push((condition, at.pos));
    }
    if let Some(at) = &a.equals {
        let number = match &at.value {
            Node::Bool(b) => Some(i64::from(*b)),
            Node::Int(i) => Some(*i),
            _ => None,
        };
        let Some(number) = number else {
            ctx.error(at.pos, format!("{} is neither a whole number nor true or false", at.value.describe()));
            return None;
        };
        found.push((AlarmCondition::Equals(number), at.pos));
    }
    if let Some(at) = &a.bad {
        if !at.value {
            ctx.error(at.pos, "`bad: false` is no condition").help("leave it out, or write `bad: true`");
            return None;
        }
        found.push((AlarmCondition::Bad, at.pos));
    }
    match found.as_slice() {
        [one] => Some(*one),
        [] => {
            ctx.error(a.alarm.pos, format!("alarm `{}` has no condition", a.alarm.value))
                .help("add one of: above, below, equals, bad");
            None
        }
        [_, second, ..] => {
            ctx.error(second.1, format!("alarm `{}` has more than one condition", a.alarm.value))
                .help("one alarm tells one thing: make two of it");
            None
        }
    }
}

/// The tag can raise the alarm at all.
fn watch(ctx: &mut Ctx<'_>, tag: &TagDef, condition: AlarmCondition, pos: Pos) {
    let number = matches!(tag.value_type, ValueType::Float | ValueType::Int);
    let path = &tag.path;
    match condition {
        AlarmCondition::Above { .. } | AlarmCondition::Below { .. } if !number => {
            ctx.error(pos, format!("`{path}` is a {}: it has no limit", tag.value_type)).help("watch it with `equals`");
        }
        AlarmCondition::Equals(_) if !matches!(tag.value_type, ValueType::Bool | ValueType::Int) => {
            ctx.error(pos, format!("`{path}` is a {}: it does not equal a whole number", tag.value_type))
                .help("watch it with `above` or `below`");
        }
        AlarmCondition::Equals(n) if tag.value_type == ValueType::Bool && !(0..=1).contains(&n) => {
            ctx.error(pos, format!("`{path}` is a bool: it never equals {n}"));
        }
        AlarmCondition::Above { limit, .. } if tag.range.is_some_and(|(_, high)| limit >= high) => {
            ctx.error(pos, format!("`{path}` never rises above {limit}: its range ends there"));
        }
        AlarmCondition::Below { limit, .. } if tag.range.is_some_and(|(low, _)| limit <= low) => {
            ctx.error(pos, format!("`{path}` never falls below {limit}: its range ends there"));
        }
        _ => {}
    }
}
