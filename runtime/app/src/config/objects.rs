//! Controlled objects: their mode tags are declared before the programs, which may read them; the rest is checked after
//! the programs, which say who writes what.

use super::object_files::{HoldFile, ObjectFile, ObjectOutputFile};
use super::read::Reader;
use super::tags::{Ctx, Draft, Kind, Tags};
use super::text::{At, Node};
use crate::diagnostics::{FileId, Pos, suggest};
use penstock_engine::{
    BadPolicy, Condition, InterlockDef, ObjectDef, ObjectOutput, ObjectStart, PermissiveDef, ProgramDef, TagFacts,
};
use penstock_model::limits::{LEASE_MAX, LEASE_MIN, OBJECT_PARTS_MAX, OBJECTS_MAX};
use penstock_model::{HoldTimes, Mode, OfferedMode, Role, Source, TagDef, TagId, Text, Value, ValueType};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Modes that can be selected; local comes from the panel alone.
const SELECTABLE: [Mode; 5] = [Mode::Off, Mode::Manual, Mode::Auto, Mode::Cascade, Mode::Remote];

/// Objects as read, with their mode tags.
#[derive(Default)]
pub struct Forms(Vec<(FileId, ObjectFile, TagId)>);

impl Forms {
    /// Takes up the objects of one file and declares their mode tags.
    pub fn read(&mut self, reader: &mut Reader, tags: &mut Tags, file: FileId, text: &str) {
        let Some(forms) = reader.form::<Vec<ObjectFile>>(file, text) else {
            // A mode tag of what could not be read may be bound somewhere.
            reader.lost.any_tag = true;
            return;
        };
        for form in forms {
            if self.0.len() >= OBJECTS_MAX {
                reader.report.error(file, form.object.pos, format!("at most {OBJECTS_MAX} objects fit"));
                return;
            }
            let mut def = TagDef::float(
                TagId(0),
                &format!("{}/mode", form.object.value),
                penstock_model::Unit::NONE,
                Source::System,
            );
            let title = &form.title.0;
            def.title = Text::new(&format!("{}模式", title.zh), &format!("{}: mode", title.en));
            def.value_type = ValueType::Int;
            def.decimals = 0;
            def.states = Mode::ALL.iter().map(|m| (m.number(), m.title())).collect();
            let place = Some((file, form.object.pos));
            if let Some(tag) = tags.add(reader, Draft { def, kind: Kind::Own, place, writer: None }) {
                self.0.push((file, form, tag));
            }
        }
    }

    /// Checks everything else. `site_hold` is what holds where an object says nothing.
    pub fn finish(
        self,
        reader: &mut Reader,
        tags: &Tags,
        programs: &[ProgramDef],
        site_hold: HoldTimes,
    ) -> Vec<ObjectDef> {
        let mut taken = HashMap::new();
        let mut out = Vec::new();
        for (file, form, mode_tag) in &self.0 {
            let mut build = Build { ctx: Ctx { reader: &mut *reader, file: *file }, tags, programs, taken: &mut taken };
            out.extend(build.object(form, *mode_tag, site_hold));
        }
        out
    }
}

struct Build<'a> {
    ctx: Ctx<'a>,
    tags: &'a Tags,
    programs: &'a [ProgramDef],
    /// Outputs that belong to an object, with its name.
    taken: &'a mut HashMap<TagId, String>,
}

impl Build<'_> {
    fn object(&mut self, form: &ObjectFile, mode_tag: TagId, site_hold: HoldTimes) -> Option<ObjectDef> {
        let name = &form.object.value;
        for (what, count) in [
            ("outputs", form.outputs.len()),
            ("interlocks", form.interlocks.len()),
            ("permissives", form.permissives.len()),
        ] {
            if count > OBJECT_PARTS_MAX {
                self.ctx.error(form.object.pos, format!("`{name}` has {count} {what}; at most {OBJECT_PARTS_MAX} fit"));
                return None;
            }
        }
        if form.outputs.is_empty() {
            self.ctx
                .error(form.object.pos, format!("`{name}` has no output"))
                .help("add: outputs: [{ tag: <output>, off: <value> }]");
            return None;
        }
        let outputs: Vec<Option<ObjectOutput>> = form.outputs.iter().map(|o| self.output(name, o)).collect();
        self.one_task(form);
        let modes = self.modes(form);
        let initial = self.ctx.word(&form.initial, Mode::Auto, "mode", &SELECTABLE, Mode::as_str);
        if !modes.iter().any(|m| m.mode == initial) && initial != Mode::Off {
            let pos = form.initial.as_ref().map_or(form.object.pos, |at| at.pos);
            self.ctx.error(pos, format!("`{name}` starts in mode {initial}, which it does not offer"));
        }
        let local = form.local.as_ref().and_then(|at| self.condition(at));
        let hold = form.hold.as_ref().map_or(site_hold, |h| hold_times(&mut self.ctx, h));
        // What could not be read keeps its place, so that numbers fit; nothing loads with an error anyway.
        let whole: Vec<ObjectOutput> = outputs.into_iter().collect::<Option<_>>()?;
        let interlocks = form.interlocks.iter().filter_map(|i| {
            let bad = self.ctx.word(&i.bad, BadPolicy::Trip, "policy", &BadPolicy::ALL, BadPolicy::as_str);
            let output = self.part_of(form, i.output.as_ref(), i.when.pos, true)?;
            let output_place = output.unwrap_or(0);
            let def = whole.get(output_place)?;
            let when = self.condition(&i.when)?;
            if when.tags().contains(&def.tag) {
                self.ctx
                    .error(
                        i.when.pos,
                        format!(
                            "the interlock reads the output that it moves, `{}`",
                            form.outputs[output_place].tag.value
                        ),
                    )
                    .help("read what the device reports instead");
            }
            let value = match &i.value {
                Some(at) => self.value(def.tag, at, "interlock value")?,
                None => def.off.clone(),
            };
            Some(InterlockDef { output: output_place, value, when, text: i.text.0.clone(), bad, latch: i.latch })
        });
        let interlocks: Vec<InterlockDef> = interlocks.collect();
        let permissives = form.permissives.iter().filter_map(|p| {
            let output = self.part_of(form, p.output.as_ref(), p.when.pos, false)?;
            let when = self.condition(&p.when)?;
            let bad = self.ctx.word(&p.bad, BadPolicy::Trip, "policy", &BadPolicy::ALL, BadPolicy::as_str);
            let modes = match &p.modes {
                Some(list) => list
                    .iter()
                    .map(|at| self.ctx.word(&Some(at.clone()), Mode::Auto, "mode", &SELECTABLE, Mode::as_str))
                    .collect(),
                None => SELECTABLE[1..].to_vec(),
            };
            Some(PermissiveDef { output, when, text: p.text.0.clone(), bad, modes })
        });
        let permissives: Vec<PermissiveDef> = permissives.collect();
        let mut programs: Vec<Arc<str>> = Vec::new();
        for output in &whole {
            if let Some((program, ..)) = &self.tags.get(output.tag).writer
                && !programs.contains(program)
            {
                programs.push(program.clone());
            }
        }
        Some(ObjectDef {
            name: name.as_str().into(),
            title: form.title.0.clone(),
            mode_tag,
            outputs: whole,
            programs,
            modes,
            initial,
            local,
            hold,
            interlocks,
            permissives,
            start: ObjectStart::default(),
        })
    }

    fn output(&mut self, object: &str, form: &ObjectOutputFile) -> Option<ObjectOutput> {
        let tag = self.tags.find(self.ctx.reader, self.ctx.file, &form.tag)?;
        let path = &form.tag.value;
        let draft = self.tags.get(tag);
        if draft.def.output.is_none() || draft.def.entry.is_some() {
            let why = if draft.def.entry.is_some() { "people enter it" } else { "nothing commands it" };
            self.ctx.error(form.tag.pos, format!("`{path}` is not an output")).label(why);
            return None;
        }
        if let Some(other) = self.taken.insert(tag, object.to_owned()) {
            self.ctx.error(form.tag.pos, format!("`{path}` belongs to `{other}` already"));
        }
        let off = self.value(tag, &form.off, "off value");
        let lock = form.lock.as_ref().map(|at| self.value(tag, at, "lock value"));
        let feedback = match &form.feedback {
            None => None,
            Some(at) => {
                let shown = self.tags.find(self.ctx.reader, self.ctx.file, at)?;
                let (def, shown_def) = (&draft.def, &self.tags.get(shown).def);
                if def.unit != shown_def.unit || (shown_def.value_type == ValueType::Text) {
                    let message = format!(
                        "`{}` does not show where `{path}` stands: it is in `{}`, not in `{}`",
                        at.value, shown_def.unit, def.unit
                    );
                    self.ctx.error(at.pos, message);
                }
                Some(shown)
            }
        };
        let off = off?;
        let lock = lock.unwrap_or_else(|| Some(off.clone()))?;
        Some(ObjectOutput { tag, off, lock, feedback })
    }

    /// A value as the tag takes it, within its limits.
    fn value(&mut self, tag: TagId, at: &At<Node>, what: &str) -> Option<Value> {
        let def = &self.tags.get(tag).def;
        let Some(value) = at.value.to_value(def.value_type) else {
            self.ctx.error(
                at.pos,
                format!("{what}: {} is not a {} for `{}`", at.value.describe(), def.value_type, def.path),
            );
            return None;
        };
        if let (Some(x), Some((low, high))) = (value.as_f64(), def.output.as_ref().and_then(|o| o.limits))
            && !(low..=high).contains(&x)
        {
            self.ctx.error(at.pos, format!("{what} {x} of `{}` is outside its limits {low}..{high}", def.path));
            return None;
        }
        Some(value)
    }

    /// Outputs of one object are written in one task: only then one scan decides about all of them.
    fn one_task(&mut self, form: &ObjectFile) {
        let task_of = |at: &At<String>| {
            let tag = self.tags.list.iter().find(|d| *d.def.path == *at.value)?;
            let (writer, ..) = tag.writer.as_ref()?;
            self.programs.iter().find(|p| p.name == *writer).map(|p| p.task)
        };
        let mut first: Option<(&At<String>, penstock_model::TaskId)> = None;
        for output in &form.outputs {
            let Some(task) = task_of(&output.tag) else { continue };
            match first {
                None => first = Some((&output.tag, task)),
                Some((other, other_task)) if other_task != task => {
                    let message =
                        format!("`{}` and `{}` are written in different tasks", other.value, output.tag.value);
                    self.ctx
                        .error(output.tag.pos, message)
                        .help("make two objects of it, or move a program to the other's task");
                    return;
                }
                Some(_) => {}
            }
        }
    }

    fn modes(&mut self, form: &ObjectFile) -> Vec<OfferedMode> {
        let Some(modes) = &form.modes else {
            return [Mode::Off, Mode::Manual, Mode::Auto]
                .map(|mode| OfferedMode { mode, role: Role::Operator })
                .to_vec();
        };
        let mut out: Vec<OfferedMode> = Vec::new();
        for (key, role) in &modes.0 {
            let Some(mode) = SELECTABLE.into_iter().find(|m| m.as_str() == key.value) else {
                let help = if key.value == "local" {
                    Some(
                        "the panel in the field decides that: say how it is recognised with `local: <condition>`"
                            .to_owned(),
                    )
                } else {
                    suggest(&key.value, SELECTABLE.iter().map(|m| m.as_str()))
                };
                self.ctx.error(key.pos, format!("`{}` is not a mode that can be selected", key.value)).help_maybe(help);
                continue;
            };
            let role = self.ctx.role(&Some(role.clone()));
            out.push(OfferedMode { mode, role });
        }
        out.sort_by_key(|m| m.mode);
        out
    }

    /// The place of the output that an interlock or permissive names.
    fn part_of(&mut self, form: &ObjectFile, named: Option<&At<String>>, pos: Pos, one: bool) -> Option<Option<usize>> {
        let Some(named) = named else {
            if one && form.outputs.len() > 1 {
                self.ctx
                    .error(pos, "which output does it move?")
                    .help(format!("add: output: {}", form.outputs[0].tag.value));
                return None;
            }
            return Some(one.then_some(0));
        };
        let place = form.outputs.iter().position(|o| o.tag.value == named.value);
        if place.is_none() {
            let help = suggest(&named.value, form.outputs.iter().map(|o| o.tag.value.as_str()));
            self.ctx
                .error(named.pos, format!("`{}` is not an output of `{}`", named.value, form.object.value))
                .help_maybe(help);
        }
        place.map(Some)
    }

    fn condition(&mut self, at: &At<String>) -> Option<Condition> {
        let tags = self.tags;
        let facts = |path: &str| {
            let def = &tags.list.iter().find(|d| &*d.def.path == path)?.def;
            Some(TagFacts { id: def.id, value_type: def.value_type, unit: def.unit, range: def.range })
        };
        match Condition::parse(&at.value, &facts) {
            Ok(condition) => Some(condition),
            Err(e) => {
                let pos = within(at, e.at, e.len);
                if let Some(path) = e.unknown_tag {
                    self.tags.find(self.ctx.reader, self.ctx.file, &At { value: path, pos });
                } else {
                    self.ctx.error(pos, e.message).help_maybe(e.help);
                }
                None
            }
        }
    }
}

/// The place of a part of a text that stands on one line, quoted or not; else that of the whole.
fn within(at: &At<String>, start: usize, len: usize) -> Pos {
    let small = |n: usize| u32::try_from(n).unwrap_or(0);
    let quotes = match at.pos.len.checked_sub(small(at.value.chars().count())) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return at.pos,
    };
    Pos { line: at.pos.line, column: at.pos.column + quotes + small(start), len: small(len) }
}

/// `hold:` of a site or an object.
pub fn hold_times(ctx: &mut Ctx<'_>, form: &HoldFile) -> HoldTimes {
    let mut time = |at: &Option<At<String>>| -> Option<Duration> {
        let at = at.as_ref()?;
        let time = ctx.duration_at(at)?;
        if !(LEASE_MIN..=LEASE_MAX).contains(&time) {
            ctx.error(at.pos, format!("a hold lasts {LEASE_MIN:?} to 30 days, not {}", at.value));
            return None;
        }
        Some(time)
    };
    let (default, max) = (time(&form.default), time(&form.max));
    if let (Some(d), Some(m), Some(at)) = (default, max, &form.default)
        && d > m
    {
        ctx.error(at.pos, "the default time of a hold is longer than the longest");
    }
    HoldTimes { default, max }
}
