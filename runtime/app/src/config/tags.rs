//! Tags as they are declared: one list, one writer each, checked where they stand.

use super::files::{ComputedTag, EntryTag, FallbackFile, LogFile, WriteFile};
use super::read::Reader;
use super::states::StatesFile;
use super::text::{At, DURATION_HELP, FALLBACK_HELP, Node, parse_duration, parse_fallback, parse_rate};
use super::writes::Feedback;
use crate::diagnostics::{FileId, Pos, nearest, suggest};
use penstock_model::limits::TAG_PATH_BYTES_MAX;
use penstock_model::{
    Category, DeviceId, EntryDef, Fallback, FallbackAction, LogPolicy, OutputDef, Role, Source, TagDef, TagId,
    TagTable, TagTableError, Text, Unit, Value, ValueType,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Default of `log: every`.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How a tag comes by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A device's point is read.
    Read,
    /// A device's point is written by a program.
    Written,
    /// A person enters it, a device may be told.
    Entered,
    /// A program computes it, no device is told.
    Computed,
    /// The runtime publishes it.
    Own,
}

/// A tag and where it was declared.
#[derive(Debug)]
pub struct Draft {
    /// What will be in the table.
    pub def: TagDef,
    /// How it comes by its value.
    pub kind: Kind,
    /// Where it was declared; `None` for the runtime's own.
    pub place: Option<(FileId, Pos)>,
    /// The program that writes it, with the place of the binding.
    pub writer: Option<(Arc<str>, FileId, Pos)>,
}

/// All tags so far.
#[derive(Debug, Default)]
pub struct Tags {
    /// In the order of their ids.
    pub list: Vec<Draft>,
    /// Measurements that outputs name, until every tag is known.
    pub feedback: Vec<(TagId, Feedback)>,
    by_path: HashMap<Arc<str>, usize>,
}

impl Tags {
    /// The id the next tag gets.
    pub fn next_id(&self) -> TagId {
        TagId(u32::try_from(self.list.len()).unwrap_or(u32::MAX))
    }

    /// Takes up a tag; an error where its path is wrong or taken.
    pub fn add(&mut self, reader: &mut Reader, draft: Draft) -> Option<TagId> {
        let path = draft.def.path.clone();
        if let Some((file, pos)) = draft.place {
            if let Err(why) = check_path(&path) {
                reader.report.error(file, pos, format!("`{path}` is not a tag path")).label(why);
                return None;
            }
            if let Some(other) = self.by_path.get(&path) {
                let first = self.list[*other].place.map_or_else(
                    || "by the runtime itself".to_owned(),
                    |(file, pos)| format!("first declared here: {}", reader.report.place(file, pos)),
                );
                reader.report.error(file, pos, format!("tag `{path}` is declared twice")).label(first);
                return None;
            }
        } else if self.by_path.contains_key(&path) {
            // The user's own tag stands; the clash is told at its place.
            let other = &self.list[self.by_path[&path]];
            if let Some((file, pos)) = other.place {
                reader
                    .report
                    .error(file, pos, format!("tag `{path}` is published by the runtime itself"))
                    .help("choose another path");
            }
            return None;
        }
        let id = self.next_id();
        let def = TagDef { id, ..draft.def };
        self.by_path.insert(path, self.list.len());
        self.list.push(Draft { def, ..draft });
        Some(id)
    }

    /// The tag a file names; an error with the nearest path where there is none.
    pub fn find(&self, reader: &mut Reader, file: FileId, path: &At<String>) -> Option<TagId> {
        if let Some(index) = self.by_path.get(path.value.as_str()) {
            return Some(self.list[*index].def.id);
        }
        if !reader.lost.may_be(&path.value) {
            let near = nearest(&path.value, self.by_path.keys().map(AsRef::as_ref)).map(str::to_owned);
            reader
                .report
                .error(file, path.pos, format!("unknown tag `{}`", path.value))
                .label("no device, entry or program output declares it")
                .help_maybe(near.map(|n| format!("did you mean `{n}`?")));
        }
        None
    }

    /// The draft of an id.
    pub fn get(&self, id: TagId) -> &Draft {
        &self.list[id.index()]
    }

    /// The finished table.
    pub fn into_table(self) -> Result<TagTable, TagTableError> {
        TagTable::new(self.list.into_iter().map(|d| d.def).collect())
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > TAG_PATH_BYTES_MAX {
        return Err("longer than 96 bytes");
    }
    if path.starts_with("sys/") {
        return Err("`sys/` is the runtime's own");
    }
    if path.split('/').any(str::is_empty) {
        return Err("an empty part");
    }
    if !path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')) {
        return Err("letters, digits, `_`, `-`, `.` and `/` only");
    }
    Ok(())
}

/// What every declaration of a tag has in common.
pub struct Common<'a> {
    pub path: String,
    pub title: Option<Text>,
    pub unit: &'a Option<At<String>>,
    pub value_type: &'a Option<At<String>>,
    pub type_default: ValueType,
    pub range: &'a Option<At<(f64, f64)>>,
    pub decimals: Option<u8>,
    pub category: &'a Option<At<String>>,
    pub category_default: Category,
    pub log: &'a Option<LogFile>,
    pub states: &'a Option<At<StatesFile>>,
}

/// One file under check.
pub struct Ctx<'a> {
    pub reader: &'a mut Reader,
    pub file: FileId,
}

impl Ctx<'_> {
    pub fn error(&mut self, pos: Pos, message: impl Into<String>) -> &mut crate::diagnostics::Diagnostic {
        self.reader.report.error(self.file, pos, message)
    }

    /// A duration, or the default where there is none or it is wrong.
    pub fn duration(&mut self, text: &Option<At<String>>, default: Duration) -> Duration {
        text.as_ref().and_then(|t| self.duration_at(t)).unwrap_or(default)
    }

    pub fn duration_at(&mut self, text: &At<String>) -> Option<Duration> {
        match parse_duration(&text.value) {
            Ok(d) => Some(d),
            Err(why) => {
                self.error(text.pos, why).help(DURATION_HELP);
                None
            }
        }
    }

    pub fn unit(&mut self, text: &Option<At<String>>) -> Unit {
        let Some(text) = text else { return Unit::NONE };
        Unit::parse(&text.value).unwrap_or_else(|e| {
            let help = suggest(&text.value, Unit::all());
            self.error(text.pos, e.to_string()).help_maybe(help);
            Unit::NONE
        })
    }

    pub fn value_type(&mut self, text: &Option<At<String>>, default: ValueType) -> ValueType {
        let all = [ValueType::Float, ValueType::Int, ValueType::Bool, ValueType::Text];
        self.word(text, default, "type", &all, |t| t.as_str())
    }

    pub fn category(&mut self, text: &Option<At<String>>, default: Category) -> Category {
        self.word(text, default, "category", &[Category::Process, Category::Energy, Category::Carbon], |c| c.as_str())
    }

    pub fn role(&mut self, text: &Option<At<String>>) -> Role {
        self.word(text, Role::Operator, "role", &[Role::Operator, Role::Engineer], |r| r.as_str())
    }

    /// One word of a closed list.
    pub fn word<T: Copy>(
        &mut self,
        text: &Option<At<String>>,
        default: T,
        what: &str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> T {
        let Some(text) = text else { return default };
        all.iter().copied().find(|v| name(*v) == text.value).unwrap_or_else(|| {
            let help = suggest(&text.value, all.iter().map(|v| name(*v)));
            self.error(text.pos, format!("`{}` is not a {what}", text.value)).help_maybe(help);
            default
        })
    }

    /// A pair of bounds in their order.
    pub fn span(&mut self, span: &Option<At<(f64, f64)>>, what: &str) -> Option<(f64, f64)> {
        let at = span.as_ref()?;
        let (low, high) = at.value;
        if !(low.is_finite() && high.is_finite()) {
            self.error(at.pos, format!("{what} must be finite numbers"));
            return None;
        }
        if low >= high {
            self.error(at.pos, format!("{what} is upside down: {low} is not below {high}"))
                .help(format!("write [{high}, {low}]"));
            return None;
        }
        Some((low, high))
    }

    /// What every tag has.
    pub fn tag(&mut self, c: &Common<'_>, source: Source) -> TagDef {
        let before = self.reader.report.count();
        let unit = self.unit(c.unit);
        let value_type = self.value_type(c.value_type, c.type_default);
        if self.reader.report.count() > before {
            self.reader.lost.doubtful.insert(c.path.clone());
        }
        let number = matches!(value_type, ValueType::Float | ValueType::Int);
        let range = self.span(c.range, "range");
        if let (Some(at), false) = (c.range, number) {
            self.error(at.pos, format!("a {value_type} has no range"));
        }
        let mut def = TagDef::float(TagId(0), &c.path, unit, source);
        def.title = c.title.clone().unwrap_or_else(|| Text::same(&c.path));
        def.value_type = value_type;
        def.range = range.filter(|_| number);
        def.decimals = c.decimals.unwrap_or_else(|| decimals(value_type, def.range));
        def.category = self.category(c.category, c.category_default);
        if let Some(log) = c.log {
            def.log = LogPolicy {
                enabled: log.keep.unwrap_or(true),
                deadband: self.not_negative(&log.deadband, "deadband"),
                at_least_every: self.duration(&log.every, LOG_EVERY),
            };
        }
        if let Some(states) = c.states {
            def.states = self.states(states, value_type);
        }
        def
    }

    pub fn not_negative(&mut self, number: &Option<At<f64>>, what: &str) -> f64 {
        let Some(at) = number else { return 0.0 };
        if at.value.is_finite() && at.value >= 0.0 {
            return at.value;
        }
        self.error(at.pos, format!("{what} {} is not a number of 0 or more", at.value));
        0.0
    }

    /// How a tag leaves: limits, rate, fallback.
    pub fn output(
        &mut self,
        def: &TagDef,
        device: Option<DeviceId>,
        write: &At<WriteFile>,
        fallback: Option<&At<FallbackFile>>,
        entered: bool,
    ) -> OutputDef {
        let w = &write.value;
        let number = matches!(def.value_type, ValueType::Float | ValueType::Int);
        let limits = self.limits(&w.limits, def);
        if number && limits.is_none() && w.limits.is_none() {
            self.error(write.pos, format!("output `{}` has neither a range nor limits", def.path))
                .help("say the smallest and largest value ever commanded: write: { limits: [0, 100] }");
        }
        let rate = w.rate.as_ref().and_then(|at| {
            let rate = parse_rate(&at.value);
            match rate {
                Ok(_) if !number => {
                    self.error(at.pos, format!("a {} has no rate", def.value_type));
                    None
                }
                Ok(rate) => Some(rate),
                Err(why) => {
                    self.error(at.pos, why).help("write a change per time: 1/s, 30/min");
                    None
                }
            }
        });
        for at in [&w.min_on, &w.min_off].into_iter().flatten().filter(|_| def.value_type != ValueType::Bool) {
            self.error(at.pos, format!("a {} is not switched on and off", def.value_type));
        }
        OutputDef {
            device,
            limits,
            rate_per_s: rate,
            min_on: self.duration(&w.min_on, Duration::ZERO),
            min_off: self.duration(&w.min_off, Duration::ZERO),
            fallback: self.fallback(def, write.pos, fallback, limits, entered),
            write: self.write_policy(def, w),
        }
    }

    /// Limits of an output or entry: those given, else the range; never outside the range.
    fn limits(&mut self, given: &Option<At<(f64, f64)>>, def: &TagDef) -> Option<(f64, f64)> {
        let Some(at) = given else { return def.range };
        let limits = self.span(given, "limits")?;
        if !matches!(def.value_type, ValueType::Float | ValueType::Int) {
            self.error(at.pos, format!("a {} has no limits", def.value_type));
            return None;
        }
        if let Some((low, high)) = def.range
            && (limits.0 < low || limits.1 > high)
        {
            self.error(
                at.pos,
                format!("limits {}..{} of `{}` are outside its range {low}..{high}", limits.0, limits.1, def.path),
            );
        }
        Some(limits)
    }

    fn fallback(
        &mut self,
        def: &TagDef,
        pos: Pos,
        given: Option<&At<FallbackFile>>,
        limits: Option<(f64, f64)>,
        entered: bool,
    ) -> Fallback {
        let Some(given) = given else {
            if !entered {
                self.error(pos, format!("output `{}` does not say its fallback", def.path))
                    .help("add: fallback: { bad_input: hold 5min then 0, fault: 0, link: device, shutdown: 0 }");
            }
            return Fallback::always(FallbackAction::Hold);
        };
        let f = &given.value;
        let mut action = |cause: &str, node: &Option<At<Node>>, otherwise: Option<&FallbackAction>| {
            let Some(node) = node else {
                if let Some(other) = otherwise {
                    return other.clone();
                }
                if !entered {
                    self.error(given.pos, format!("the fallback of `{}` does not say `{cause}`", def.path))
                        .help(FALLBACK_HELP);
                }
                return FallbackAction::Hold;
            };
            match parse_fallback(&node.value, def.value_type) {
                Ok(action) => {
                    if let FallbackAction::Value(v) | FallbackAction::HoldThen(_, v) = &action
                        && let (Some(x), Some((low, high))) = (v.as_f64(), limits)
                        && !(low..=high).contains(&x)
                    {
                        self.error(
                            node.pos,
                            format!("fallback {x} of `{}` is outside its limits {low}..{high}", def.path),
                        );
                    }
                    action
                }
                Err(why) => {
                    self.error(node.pos, why).help(FALLBACK_HELP);
                    FallbackAction::Hold
                }
            }
        };
        let bad_input = action("bad_input", &f.bad_input, None);
        let fault = action("fault", &f.fault, None);
        let overrun = action("overrun", &f.overrun, Some(&fault));
        let link = action("link", &f.link, None);
        let shutdown = action("shutdown", &f.shutdown, None);
        let crash = action("crash", &f.crash, Some(&shutdown));
        Fallback { bad_input, fault, overrun, link, shutdown, crash }
    }

    /// What a person may enter.
    pub fn entry(
        &mut self,
        def: &TagDef,
        initial: &At<Node>,
        limits: &Option<At<(f64, f64)>>,
        role: &Option<At<String>>,
    ) -> EntryDef {
        let limits = self.limits(limits, def);
        let value = initial.value.to_value(def.value_type).unwrap_or_else(|| {
            self.error(
                initial.pos,
                format!("{} is not a {} to start `{}` with", initial.value.describe(), def.value_type, def.path),
            );
            zero(def.value_type)
        });
        if let (Some(x), Some((low, high))) = (initial.value.number(), limits)
            && !(low..=high).contains(&x)
        {
            self.error(initial.pos, format!("initial value {x} of `{}` is outside its limits {low}..{high}", def.path));
        }
        EntryDef { initial: value, limits, role: self.role(role) }
    }

    /// An entry of `tags.yaml`.
    pub fn entry_tag(&mut self, tags: &mut Tags, e: &EntryTag) {
        let range = if e.range.is_some() { &e.range } else { &e.limits };
        let common = Common {
            path: e.tag.value.clone(),
            title: e.title.as_ref().map(|l| l.0.clone()),
            unit: &e.unit,
            value_type: &e.value_type,
            type_default: ValueType::Float,
            range,
            decimals: e.decimals,
            category: &e.category,
            category_default: Category::Process,
            log: &e.log,
            states: &e.states,
        };
        let mut def = self.tag(&common, Source::Operator);
        def.entry = Some(Box::new(self.entry(&def, &e.initial, &e.limits, &e.role)));
        let draft = Draft { def, kind: Kind::Entered, place: Some((self.file, e.tag.pos)), writer: None };
        tags.add(self.reader, draft);
    }

    /// A computed tag of `tags.yaml`.
    pub fn computed_tag(&mut self, tags: &mut Tags, c: &ComputedTag) {
        let common = Common {
            path: c.tag.value.clone(),
            title: c.title.as_ref().map(|l| l.0.clone()),
            unit: &c.unit,
            value_type: &c.value_type,
            type_default: ValueType::Float,
            range: &c.range,
            decimals: c.decimals,
            category: &c.category,
            category_default: Category::Process,
            log: &c.log,
            states: &c.states,
        };
        let mut def = self.tag(&common, Source::Program("".into()));
        match (&c.write, &c.fallback) {
            (Some(write), fallback) => {
                def.output = Some(Box::new(self.output(&def, None, write, fallback.as_ref(), false)))
            }
            (None, Some(fallback)) => {
                self.error(fallback.pos, format!("`{}` has a fallback but no `write`", def.path));
            }
            (None, None) => {}
        }
        let feedback = c.write.as_ref().and_then(|w| self.feedback(&w.value, None));
        let draft = Draft { def, kind: Kind::Computed, place: Some((self.file, c.tag.pos)), writer: None };
        let id = tags.add(self.reader, draft);
        tags.feedback.extend(id.zip(feedback));
    }
}

fn zero(value_type: ValueType) -> Value {
    match value_type {
        ValueType::Bool => Value::Bool(false),
        ValueType::Int => Value::Int(0),
        ValueType::Float => Value::Float(0.0),
        ValueType::Text => Value::from(""),
    }
}

/// Figures that mean something: about a thousandth of the range.
fn decimals(value_type: ValueType, range: Option<(f64, f64)>) -> u8 {
    match (value_type, range) {
        (ValueType::Float, Some((low, high))) if high - low >= 1000.0 => 0,
        (ValueType::Float, Some((low, high))) if high - low >= 50.0 => 1,
        (ValueType::Float, _) => 2,
        _ => 0,
    }
}
