//! Making a task of its part of the plan.

use super::delay::Late;
use super::health::Health;
use super::journal::Recording;
use super::{Arbitrated, Bound, Local, Logged, Program, TaskCore};
use crate::config::EngineConfig;
use crate::engine::Shared;
use crate::host::Host;
use crate::life::Life;
use crate::object::ObjectCell;
use crate::output::{Output, Wished};
use crate::plan::Plan;
use crate::program::Instance;
use crate::system::HealthTags;
use crate::table::Seen;
use crate::view::ProgramView;
use parking_lot::Mutex;
use penstock_model::{Now, Origin, Sample, Source, TagDef, TagId, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The tags of one task, each once, with their places.
struct Locals<'a> {
    shared: &'a Shared,
    owner: &'a [usize],
    task: usize,
    list: Vec<Local>,
    logged: Vec<Logged>,
    places: HashMap<TagId, usize>,
}

impl<'a> Locals<'a> {
    fn new(shared: &'a Shared, owner: &'a [usize], task: usize) -> Locals<'a> {
        Locals { shared, owner, task, list: Vec::new(), logged: Vec::new(), places: HashMap::new() }
    }

    fn place(&mut self, tag: TagId) -> usize {
        *self.places.entry(tag).or_insert_with(|| {
            let owned = self.owner[tag.index()] == self.task;
            let external = self.shared.table.is_external(tag);
            let def = self.shared.table.tags.get(tag);
            let (device, logged) = (matches!(def.source, Source::Device(_)) && external, owned && def.log.enabled);
            let (news, seen) = (None, Seen::default());
            let journalled = external || !owned;
            self.list.push(Local { tag, owned, external, device, logged, news, seen, journalled });
            self.logged.push(Logged { policy: def.log, recorded: None });
            self.list.len() - 1
        })
    }
}

impl TaskCore {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        config: &EngineConfig,
        plan: &Plan,
        views: &[Arc<Mutex<ProgramView>>],
        index: usize,
        now: Now,
    ) -> TaskCore {
        let mut locals = Locals::new(shared, &plan.owner, index);
        let mut outputs = Vec::new();
        let mut by_tag = HashMap::new();
        for def in config.tags.iter().filter(|t| plan.owner[t.id.index()] == index) {
            let local = locals.place(def.id);
            if def.output.is_some() || def.entry.is_some() {
                by_tag.insert(def.id, outputs.len());
                let output = initial_output(config, def, now);
                let (life, settle) = (Life::new(&output), output.write.settle.map(|s| locals.place(s.tag)));
                let (program, object, wished, asked) = (None, None, Wished::Nobody, None);
                outputs.push(Arbitrated { output, local, program, object, wished, asked, life, settle });
            }
        }
        let mut host = Host::new();
        let mut programs = Vec::new();
        for &number in &plan.order[index] {
            let (def, bound) = (&config.programs[number], &plan.programs[number]);
            host.learn(def.script.declaration().names().chain(["dt", "first"]));
            let inputs: Vec<Option<usize>> = bound.inputs.iter().map(|tag| tag.map(|t| locals.place(t))).collect();
            let late = bound.delays.iter();
            let late = late.filter_map(|(n, or)| Some(Late::new(*n, inputs[*n]?, or.clone(), now))).collect();
            let mut places = Vec::with_capacity(bound.outputs.len());
            for tag in &bound.outputs {
                places.push(match tag.map(|t| (t, by_tag.get(&t).copied())) {
                    None => Bound::Free,
                    Some((_, Some(i))) => {
                        outputs[i].program = Some(def.name.clone());
                        Bound::Output(i)
                    }
                    Some((t, None)) => Bound::Computed(locals.place(t)),
                });
            }
            let instance = Instance::new(def.script.clone(), bound.params.clone());
            let name = def.name.clone();
            programs.push(Program {
                view: views[number].clone(),
                name,
                instance,
                inputs,
                outputs: places,
                late,
                limits: def.limits,
                bad: Vec::new(),
            });
        }
        let mut objects: Vec<ObjectCell> = Vec::new();
        for (number, def) in config.objects.iter().enumerate() {
            let own: Vec<usize> = def.outputs.iter().filter_map(|o| by_tag.get(&o.tag).copied()).collect();
            if own.len() < def.outputs.len() {
                continue;
            }
            for (k, i) in own.iter().enumerate() {
                outputs[*i].object = Some((objects.len(), k));
            }
            objects.push(ObjectCell::new(number, def, own, |tag| locals.place(tag), now));
        }
        let chores = plan.chores == index;
        let devices: &[Arc<str>] = if chores { &config.devices } else { &[] };
        let Locals { mut list, mut logged, mut places, .. } = locals;
        // They grow no more, and a task may have a hundred thousand.
        list.shrink_to_fit();
        logged.shrink_to_fit();
        places.shrink_to_fit();
        for place in programs.iter().flat_map(|p: &Program| p.inputs.iter().flatten()) {
            // The runtime's own health comes from clocks: no replay can make it again.
            list[*place].journalled |= shared.table.tags.get(list[*place].tag).source == Source::System;
        }
        for cell in &objects {
            // Follows from the mode that its outputs are told.
            list[cell.mode_place].journalled = false;
        }
        TaskCore {
            host,
            image: vec![Sample::initial(None, now); list.len()],
            unbound: Sample::initial(None, now),
            locals: list,
            logged,
            record_len: 0,
            places,
            programs,
            outputs,
            by_tag,
            objects,
            fault: None,
            chores,
            alarms: if chores { config.alarms.clone() } else { Vec::new() },
            health: Health::new(HealthTags::of_task(&config.tags, &config.tasks[index].name)),
            shown_fault: None,
            links: devices.iter().map(|d| (HealthTags::of_link(&config.tags, d), None)).collect(),
            started: now.mono,
            down: vec![false; config.devices.len()],
            recording: Recording::default(),
            #[cfg(debug_assertions)]
            probe: None,
            saving: None,
            shared: shared.clone(),
            index,
            def: config.tasks[index].clone(),
        }
    }
}

/// An entry starts with what was entered before the last stop, where that still fits, or else with its initial value.
fn initial_output(config: &EngineConfig, def: &TagDef, now: Now) -> Output {
    let mut output = Output::new(def, now);
    let Some(entry) = &def.entry else { return output };
    let fits = |v: &Value| match (entry.limits, v.as_f64()) {
        (Some((low, high)), Some(x)) => (low..=high).contains(&x),
        _ => v.is_finite(),
    };
    let retained = config.entries.iter().rev().filter(|(tag, ..)| *tag == def.id);
    let retained =
        retained.filter_map(|(_, v, who)| v.convert(def.value_type).map(|v| (v, who))).find(|(v, _)| fits(v));
    if let Some((value, who)) = retained {
        output.enter(value, Origin::User(who.clone()), now);
    } else if let Some(value) = entry.initial.convert(def.value_type) {
        output.enter(value, Origin::Retained, now);
    }
    output
}
