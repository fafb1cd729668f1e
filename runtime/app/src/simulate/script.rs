//! A scenario with the runtime in the loop: its names, its deeds at their times, and what is seen of plant and runtime.

use super::tally::seconds_between;
use crate::config::Site;
use penstock_engine::Engine;
use penstock_model::{
    AlarmState, BadReason, Claim, Origin, Priority, Record, TagDef, UncertainReason, Utc, Value, ValueType, Wish,
};
use penstock_simulators::Field as Plant;
use penstock_simulators::faults::Quantity;
use penstock_simulators::scenario::{
    Act, Deed, Entry, Judge, Look, Names, News, RuntimeNames, Scenario, Settable, Source, Verdict, perform,
};
use serde_json::Value as Json;
use std::cell::OnceCell;
use std::sync::Arc;

/// In whose name a scenario enters values.
const OPERATOR: &str = "scenario";

/// The names a scenario for this site may use; `report` is that of a run in which nothing happened.
pub fn names(site: &Site, plant: &dyn Plant, report: Json) -> Names {
    let mut names = Names::of(crate::sim::plant_of(site), plant);
    names.sites = vec![site.id.clone()];
    let reasons = UncertainReason::ALL.iter().map(|r| r.as_str()).chain(BadReason::ALL.iter().map(|r| r.as_str()));
    names.runtime = Some(RuntimeNames {
        tags: site.tags.iter().map(|def| def.path.to_string()).collect(),
        settable: site.tags.iter().filter_map(settable).collect(),
        alarms: site.alarms.iter().map(|alarm| alarm.name.to_string()).collect(),
        reasons: reasons.map(str::to_owned).collect(),
        report,
    });
    names
}

/// What a person may enter into a tag: the same limits the engine holds a claim against.
fn settable(def: &TagDef) -> Option<Settable> {
    if (def.entry.is_none() && def.output.is_none()) || def.value_type == ValueType::Text {
        return None;
    }
    let limits = def.entry.as_ref().and_then(|e| e.limits).or(def.output.as_ref().and_then(|o| o.limits));
    let switch = def.value_type == ValueType::Bool;
    Some(Settable { path: def.path.to_string(), switch, limits, output: def.output.is_some() && def.entry.is_none() })
}

/// An event of the runtime, kept until the judge hears of it.
enum Event {
    Raised(Arc<str>),
    Returned(Arc<str>),
    Fault(Arc<str>),
    Mended(Arc<str>),
}

/// Events of the engine with their times, in order.
#[derive(Default)]
pub struct Events {
    alarms: Vec<Arc<str>>,
    waiting: Vec<(Utc, Event)>,
}

impl Events {
    /// No events of a site yet.
    pub fn new(site: &Site) -> Events {
        Events { alarms: site.alarms.iter().map(|a| a.name.clone()).collect(), waiting: Vec::new() }
    }

    /// Keeps a fact a scenario may be about.
    pub fn take(&mut self, record: &Record) {
        match record {
            Record::Alarm(event) => {
                let Some(name) = self.alarms.get(event.id.0 as usize) else { return };
                if event.state == AlarmState::ActiveUnacknowledged {
                    self.waiting.push((event.at, Event::Raised(name.clone())));
                } else if !event.state.is_active() {
                    self.waiting.push((event.at, Event::Returned(name.clone())));
                }
            }
            Record::Fault(fault) => {
                let event = if fault.active { Event::Fault } else { Event::Mended };
                self.waiting.push((fault.at, event(fault.part.clone())));
            }
            _ => {}
        }
    }
}

/// A scenario as it runs.
pub struct Script {
    acts: std::iter::Peekable<std::vec::IntoIter<Act>>,
    judge: Judge,
    zero: Utc,
}

impl Script {
    /// Before the run; `zero` is the moment from which the scenario counts its times.
    pub fn new(scenario: &Scenario, zero: Utc) -> Script {
        Script { acts: scenario.acts.clone().into_iter().peekable(), judge: Judge::new(scenario), zero }
    }

    fn now_s(&self, now: Utc) -> f64 {
        seconds_between(self.zero, now)
    }

    /// Does what is due.
    pub fn act(&mut self, plant: &mut dyn Plant, engine: &Engine, now: Utc) {
        let now_s = self.now_s(now);
        while let Some(act) = self.acts.next_if(|act| act.at_s <= now_s) {
            let done = perform(plant, &act.deed).unwrap_or_else(|| enter(engine, &act.deed));
            if let Err(why) = done {
                self.judge.trouble(&act, &why);
            }
        }
    }

    /// Hears of the events and looks at the values of a second.
    pub fn second(&mut self, plant: &dyn Plant, engine: &Engine, events: &mut Events, now: Utc) {
        for (at, event) in events.waiting.drain(..) {
            let at_s = seconds_between(self.zero, at);
            match &event {
                Event::Raised(name) => self.judge.hear(at_s, News::Raised(name)),
                Event::Returned(name) => self.judge.hear(at_s, News::Returned(name)),
                Event::Fault(part) => self.judge.hear(at_s, News::Fault(part)),
                Event::Mended(part) => self.judge.hear(at_s, News::Mended(part)),
            }
        }
        let now_s = self.now_s(now);
        if now_s >= 0.0 && self.judge.due(now_s) {
            self.judge.second(now_s, &Both { plant, engine, quantities: OnceCell::new() });
        }
    }

    /// The verdict over the run and its report.
    pub fn finish(self, report: &Json) -> Verdict {
        self.judge.finish(Some(report))
    }
}

/// Entries and releases of a person, by the way of every claim.
fn enter(engine: &Engine, deed: &Deed) -> Result<(), String> {
    let claim = |path: &str, wish: Wish| {
        let tag = engine.tags().find(path).ok_or_else(|| format!("the site has no tag `{path}`"))?;
        let origin = Origin::User(OPERATOR.into());
        let claim = Claim { tag, wish, origin, priority: Priority::Manual, lease: None };
        engine.claim(claim).map_err(|refused| refused.to_string())
    };
    match deed {
        Deed::Set(entries) => entries.iter().try_for_each(|(path, entry)| {
            let value = match entry {
                Entry::Number(x) => Value::Float(*x),
                Entry::Switch(on) => Value::Bool(*on),
            };
            claim(path, Wish::Value(value))
        }),
        Deed::Release(paths) => paths.iter().try_for_each(|path| claim(path, Wish::Release)),
        _ => Err("this concerns the plant".to_owned()),
    }
}

/// Plant and runtime at one moment. The plant is asked only when somebody wants to know.
struct Both<'a> {
    plant: &'a dyn Plant,
    engine: &'a Engine,
    quantities: OnceCell<Vec<Quantity>>,
}

impl Look for Both<'_> {
    fn value(&self, source: Source, tag: &str) -> Option<f64> {
        if source == Source::Tag {
            return self.engine.read(self.engine.tags().find(tag)?).usable_f64();
        }
        let all = self.quantities.get_or_init(|| self.plant.quantities());
        let found = all.iter().find(|quantity| quantity.tag == tag)?;
        if source == Source::True { Some(found.truth) } else { found.shown }
    }

    fn quality(&self, tag: &str) -> Option<(&'static str, &'static str)> {
        let quality = self.engine.read(self.engine.tags().find(tag)?).quality;
        Some((quality.class(), quality.reason()))
    }
}
