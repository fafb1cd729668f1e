//! From a configuration to a plan: bindings resolved and checked, programs ordered by data flow, one task per tag.

use crate::config::{BuildError, EngineConfig, ProgramDef, resolve_params};
use crate::declare::PortDecl;
use crate::nearest::did_you_mean;
use crate::system::{HealthTags, own_tags};
use penstock_model::{Source, TagDef, TagId, Value, ValueType, limits};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A program with its bindings in the order of the script's declaration.
pub(crate) struct ProgramPlan {
    pub inputs: Vec<Option<TagId>>,
    pub outputs: Vec<Option<TagId>>,
    pub params: Vec<Value>,
    /// Places of the inputs that are read one scan late, with what is read while they are bad.
    pub delays: Vec<(usize, Option<Value>)>,
}

pub(crate) struct Plan {
    /// In the order of the configuration.
    pub programs: Vec<ProgramPlan>,
    /// Per task: its programs in the order they run.
    pub order: Vec<Vec<usize>>,
    /// Per tag: the task that latches or writes it, arbitrates it and records it.
    pub owner: Vec<usize>,
    /// The task that evaluates alarms, keeps entries and every tag that no program reads: `normal`, or else the
    /// second, or else the only one.
    pub chores: usize,
    /// System tags that the engine writes itself.
    pub own: HashSet<TagId>,
}

pub(crate) fn plan(config: &EngineConfig) -> Result<Plan, BuildError> {
    check_lists(config)?;
    let programs = config.programs.iter().map(|p| bind(config, p)).collect::<Result<Vec<_>, _>>()?;
    check_writers(config, &programs)?;
    for def in config.tags.iter() {
        check_tag(def, config)?;
    }
    let names: Vec<Arc<str>> = config.tasks.iter().map(|t| t.name.clone()).collect();
    let chores = names.iter().position(|n| &**n == "normal").unwrap_or(usize::from(names.len() > 1));
    let mut order = Vec::with_capacity(config.tasks.len());
    for task in &config.tasks {
        let of_task: Vec<usize> = (0..config.programs.len()).filter(|i| config.programs[*i].task == task.id).collect();
        order.push(by_data_flow(config, &programs, &of_task, &task.name)?);
    }
    let mut own = own_tags(&config.tags, &names, &config.devices);
    own.extend(config.objects.iter().map(|o| o.mode_tag));
    let mut owner = owners(config, &programs, chores, &names);
    own_objects(config, &mut owner)?;
    Ok(Plan { programs, order, owner, chores, own })
}

fn check_lists(config: &EngineConfig) -> Result<(), BuildError> {
    if config.tasks.is_empty() {
        return Err(BuildError::NoTask);
    }
    for (index, task) in config.tasks.iter().enumerate() {
        if usize::from(task.id.0) != index {
            return Err(BuildError::Misplaced(format!("task `{}`", task.name)));
        }
        let (min, max) = (limits::SCAN_PERIOD_MIN, limits::SCAN_PERIOD_MAX);
        if task.period < min || task.period > max {
            return Err(BuildError::Period { task: task.name.clone(), period: task.period, min, max });
        }
    }
    for (index, alarm) in config.alarms.iter().enumerate() {
        if alarm.id.0 as usize != index || alarm.tag.index() >= config.tags.len() {
            return Err(BuildError::Misplaced(format!("alarm `{}`", alarm.name)));
        }
    }
    Ok(())
}

fn bind(config: &EngineConfig, program: &ProgramDef) -> Result<ProgramPlan, BuildError> {
    if usize::from(program.task.0) >= config.tasks.len() {
        return Err(BuildError::UnknownTask { program: program.name.clone() });
    }
    let declaration = program.script.declaration();
    Ok(ProgramPlan {
        inputs: bind_ports(config, program, "input", &declaration.inputs, &program.inputs)?,
        outputs: bind_ports(config, program, "output", &declaration.outputs, &program.outputs)?,
        params: resolve_params(&program.name, declaration, &program.params)?,
        delays: bind_delays(program, &declaration.inputs)?,
    })
}

/// A value in the type of a port: a whole number may be read as the other, nothing else is converted.
fn taken(value: &Value, wanted: ValueType) -> Option<Value> {
    let fits = value.value_type() == wanted || (value.value_type(), wanted) == (ValueType::Int, ValueType::Float);
    value.convert(wanted).filter(|v| fits && v.is_finite())
}

fn bind_delays(program: &ProgramDef, inputs: &[PortDecl]) -> Result<Vec<(usize, Option<Value>)>, BuildError> {
    let mut delays: Vec<(usize, Option<Value>)> = Vec::new();
    for delay in &program.delays {
        let (owner, name) = (program.name.clone(), delay.input.clone());
        let Some(index) = inputs.iter().position(|p| p.name == name) else {
            let help = did_you_mean(&name, inputs.iter().map(|p| p.name.as_str()));
            return Err(BuildError::UnknownName { program: owner, what: "input", name, help });
        };
        if delays.iter().any(|(other, _)| *other == index) {
            return Err(BuildError::Twice { program: owner, what: "input", name });
        }
        let wanted = inputs[index].value_type;
        let otherwise = match &delay.otherwise {
            None => None,
            Some(value) => Some(taken(value, wanted).ok_or_else(|| BuildError::Param {
                program: owner,
                name,
                reason: format!("{value} is no {wanted} to read while it is bad"),
            })?),
        };
        delays.push((index, otherwise));
    }
    Ok(delays)
}

fn bind_ports(
    config: &EngineConfig,
    program: &ProgramDef,
    what: &'static str,
    ports: &[PortDecl],
    bindings: &[(String, TagId)],
) -> Result<Vec<Option<TagId>>, BuildError> {
    let mut bound = vec![None; ports.len()];
    let owner = || program.name.clone();
    for (name, tag) in bindings {
        let Some(index) = ports.iter().position(|p| p.name == *name) else {
            let help = did_you_mean(name, ports.iter().map(|p| p.name.as_str()));
            return Err(BuildError::UnknownName { program: owner(), what, name: name.clone(), help });
        };
        if tag.index() >= config.tags.len() {
            return Err(BuildError::Misplaced(format!("program `{}`: {what} `{name}`", program.name)));
        }
        let def = config.tags.get(*tag);
        let wanted = ports[index].value_type;
        // A whole number may be read, and a number with a point never written, as the other: nothing is lost.
        let fits = def.value_type == wanted
            || (what == "input" && (def.value_type, wanted) == (ValueType::Int, ValueType::Float));
        if !fits {
            let (tag, got) = (def.path.clone(), def.value_type);
            return Err(BuildError::PortType { program: owner(), what, name: name.clone(), wanted, tag, got });
        }
        if bound[index].replace(*tag).is_some() {
            return Err(BuildError::Twice { program: owner(), what, name: name.clone() });
        }
    }
    match ports.iter().zip(&bound).find(|(port, tag)| tag.is_none() && !port.optional) {
        Some((port, _)) => Err(BuildError::Missing { program: owner(), what, name: port.name.clone() }),
        None => Ok(bound),
    }
}

fn check_writers(config: &EngineConfig, programs: &[ProgramPlan]) -> Result<(), BuildError> {
    let mut writers: HashMap<TagId, &Arc<str>> = HashMap::new();
    for (program, plan) in config.programs.iter().zip(programs) {
        for tag in plan.outputs.iter().flatten() {
            let def = config.tags.get(*tag);
            let two = |first: &str| BuildError::TwoWriters {
                tag: def.path.clone(),
                first: first.to_owned(),
                second: program.name.to_string(),
            };
            if let Some(first) = writers.insert(*tag, &program.name) {
                return Err(two(first));
            }
            match &def.source {
                Source::Operator => return Err(two("an operator's entry")),
                Source::System => return Err(two("the runtime")),
                Source::Device(_) if def.output.is_none() => return Err(two("a device")),
                Source::Device(_) | Source::Program(_) if def.entry.is_some() => {
                    return Err(two("an operator's entry"));
                }
                Source::Device(_) | Source::Program(_) => {}
            }
        }
    }
    Ok(())
}

fn check_tag(def: &TagDef, config: &EngineConfig) -> Result<(), BuildError> {
    let wrong = |reason: String| Err(BuildError::Tag { tag: def.path.clone(), reason });
    if let Some(entry) = &def.entry {
        let Some(value) = entry.initial.convert(def.value_type).filter(Value::is_finite) else {
            return wrong(format!("the initial value {} is no {}", entry.initial, def.value_type));
        };
        if let (Some((low, high)), Some(x)) = (entry.limits, value.as_f64())
            && !(low..=high).contains(&x)
        {
            return wrong(format!("the initial value {x} is outside {low}..{high}"));
        }
    }
    if let Some(output) = &def.output {
        if output.limits.is_some_and(|(low, high)| low > high || low.is_nan() || high.is_nan()) {
            return wrong("the limits are upside down".to_owned());
        }
        if output.rate_per_s.is_some_and(|r| r <= 0.0 || !r.is_finite()) {
            return wrong("the rate is not above 0 per second".to_owned());
        }
        if output.device.is_some_and(|d| usize::from(d.0) >= config.devices.len()) {
            return wrong("goes to a device that does not exist".to_owned());
        }
    }
    Ok(())
}

/// The programs of one task so that each runs after those whose outputs it reads; where data flow leaves a choice, in
/// the order of the configuration. A program that reads its own output sees the value of the scan before, and so does
/// one that reads an input late.
fn by_data_flow(
    config: &EngineConfig,
    programs: &[ProgramPlan],
    of_task: &[usize],
    task: &Arc<str>,
) -> Result<Vec<usize>, BuildError> {
    let writer: HashMap<TagId, usize> =
        of_task.iter().flat_map(|i| programs[*i].outputs.iter().flatten().map(move |t| (*t, *i))).collect();
    let feeds_of = |i: usize| -> BTreeSet<usize> {
        let late = |input: usize| programs[i].delays.iter().any(|(delayed, _)| *delayed == input);
        let at_once = programs[i].inputs.iter().enumerate().filter(|(input, _)| !late(*input));
        at_once.filter_map(|(_, t)| writer.get(t.as_ref()?).copied()).filter(|w| *w != i).collect()
    };
    let mut waiting: Vec<(usize, BTreeSet<usize>)> = of_task.iter().map(|i| (*i, feeds_of(*i))).collect();
    let mut order = Vec::with_capacity(of_task.len());
    while !waiting.is_empty() {
        let Some(place) = waiting.iter().position(|(_, feeds)| feeds.is_empty()) else {
            return Err(BuildError::Circle { task: task.clone(), names: circle(config, &waiting) });
        };
        let (done, _) = waiting.remove(place);
        waiting.iter_mut().for_each(|(_, feeds)| {
            feeds.remove(&done);
        });
        order.push(done);
    }
    Ok(order)
}

/// One circle among programs that all wait for another, in the direction of the data.
fn circle(config: &EngineConfig, waiting: &[(usize, BTreeSet<usize>)]) -> Vec<String> {
    let mut path: Vec<usize> = Vec::new();
    let mut here = waiting[0].0;
    while !path.contains(&here) {
        path.push(here);
        let next = waiting.iter().find(|(i, _)| *i == here).and_then(|(_, feeds)| feeds.first());
        here = next.copied().unwrap_or(here);
    }
    let start = path.iter().position(|i| *i == here).unwrap_or(0);
    let mut names: Vec<String> = path[start..].iter().map(|i| config.programs[*i].name.to_string()).collect();
    // The walk went from reader to writer; the data goes the other way.
    names.reverse();
    names.push(names[0].clone());
    names
}

/// Each object's outputs belong to one task, which then writes its mode.
fn own_objects(config: &EngineConfig, owner: &mut [usize]) -> Result<(), BuildError> {
    let mut taken: HashSet<TagId> = HashSet::new();
    for def in &config.objects {
        let wrong = |reason: String| Err(BuildError::Object { object: def.name.clone(), reason });
        let known = |tag: TagId| tag.index() < config.tags.len();
        if !known(def.mode_tag) || !def.outputs.iter().all(|o| known(o.tag)) || !def.reads().all(known) {
            return wrong("names a tag that does not exist".to_owned());
        }
        let Some(first) = def.outputs.first() else { return wrong("has no output".to_owned()) };
        let task = owner[first.tag.index()];
        for output in &def.outputs {
            let tag = config.tags.get(output.tag);
            let (off, lock) = (output.off.value_type(), output.lock.value_type());
            if tag.output.is_none() || tag.entry.is_some() {
                return wrong(format!("`{}` is not an output of a program", tag.path));
            }
            if off != tag.value_type || lock != tag.value_type {
                return wrong(format!("the off or lock value of `{}` is no {}", tag.path, tag.value_type));
            }
            if !taken.insert(output.tag) {
                return wrong(format!("`{}` belongs to another object already", tag.path));
            }
            if owner[output.tag.index()] != task {
                return wrong(format!(
                    "`{}` is written in another task than `{}`",
                    tag.path,
                    config.tags.get(first.tag).path
                ));
            }
        }
        let fits = |i: &crate::object::InterlockDef| {
            def.outputs.get(i.output).is_some_and(|o| i.value.value_type() == o.off.value_type())
        };
        if !def.interlocks.iter().all(fits)
            || def.permissives.iter().any(|p| p.output.is_some_and(|o| o >= def.outputs.len()))
        {
            return wrong("an interlock or a permissive does not fit its output".to_owned());
        }
        owner[def.mode_tag.index()] = task;
    }
    Ok(())
}

fn owners(config: &EngineConfig, programs: &[ProgramPlan], chores: usize, names: &[Arc<str>]) -> Vec<usize> {
    let mut owner: Vec<Option<usize>> = vec![None; config.tags.len()];
    let of = |program: &ProgramDef| usize::from(program.task.0);
    for (program, plan) in config.programs.iter().zip(programs) {
        for tag in plan.outputs.iter().flatten() {
            owner[tag.index()] = Some(of(program));
        }
    }
    let written: Vec<bool> = owner.iter().map(Option::is_some).collect();
    for (program, plan) in config.programs.iter().zip(programs) {
        for tag in plan.inputs.iter().flatten().filter(|t| !written[t.index()]) {
            let def = config.tags.get(*tag);
            // Whoever reads a device's tag most often latches it for all; entries stay with the chores.
            if matches!(def.source, Source::Device(_)) && def.entry.is_none() {
                let fastest = owner[tag.index()].map_or(of(program), |other| other.min(of(program)));
                owner[tag.index()] = Some(fastest);
            }
        }
    }
    for (index, name) in names.iter().enumerate() {
        for tag in HealthTags::of_task(&config.tags, name).all() {
            owner[tag.index()] = Some(index);
        }
    }
    owner.into_iter().map(|o| o.unwrap_or(chores)).collect()
}
