//! What is counted while a simulation runs: loops, outputs, quantities, chemicals, alarms, limits, writes, faults.

use super::swing::Swing;
use crate::config::Site;
use penstock_engine::Engine;
use penstock_ledger::Quantity;
use penstock_model::{AlarmCondition, AlarmDef, AlarmState, Category, OutcomeState, Record, TagId, Utc, ValueType};
use std::collections::BTreeMap;

/// A change smaller than this is no move of an output: rounding.
const MOVE_MIN: f64 = 1e-9;
/// Unit of dosing flows.
const DOSE_UNIT: &str = "L/h";
/// Most messages of faults kept; each is told once.
const FAULTS_MAX: usize = 100;

/// Values over time. Judged are the seconds after the settling.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    /// Seconds looked at.
    pub seconds: u64,
    /// Seconds with a usable value.
    pub good: u64,
    /// Sum of the usable values.
    pub sum: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
impl Spread {
    fn add(&mut self, value: Option<f64>) {
        self.seconds += 1;
        let Some(x) = value else { return };
        (self.min, self.max) = if self.good == 0 { (x, x) } else { (self.min.min(x), self.max.max(x)) };
        self.good += 1;
        self.sum += x;
    }

    /// Mean of the usable values.
    pub fn mean(&self) -> Option<f64> {
        (self.good > 0).then(|| self.sum / self.good as f64)
    }

    /// Smallest, where there is one.
    pub fn least(&self) -> Option<f64> {
        (self.good > 0).then_some(self.min)
    }

    /// Largest, where there is one.
    pub fn most(&self) -> Option<f64> {
        (self.good > 0).then_some(self.max)
    }

    /// Share of the seconds with a usable value.
    pub fn known(&self) -> f64 {
        if self.seconds == 0 { 0.0 } else { self.good as f64 / self.seconds as f64 }
    }
}

/// A quantity held at a set-point.
pub struct LoopTally {
    /// What is measured.
    pub measured: TagId,
    /// Where it should be.
    pub set_point: TagId,
    /// Numeric outputs of the programs that read both.
    pub outputs: Vec<TagId>,
    /// Absolute error.
    pub error: Spread,
    /// Crossings of the set-point.
    pub swing: Swing,
    /// Seconds in which every limited output of the loop stood at a limit.
    pub saturated: u64,
}

/// The way of an output.
pub struct OutputTally {
    /// The output.
    pub tag: TagId,
    /// A switch.
    pub switch: bool,
    last: Option<f64>,
    /// Sum of all changes, in the tag's unit.
    pub travel: f64,
    /// Changes.
    pub moves: u64,
    /// Changes of a switch from off to on.
    pub starts: u64,
}

/// A dosed chemical.
pub struct ChemicalTally {
    /// Tag of the volume flow, L/h.
    pub tag: TagId,
    /// Product per volume as the ledger has it, kg/L.
    pub kg_per_l: Option<f64>,
    /// Volume flow.
    pub flow: Spread,
}

/// Seconds from one moment to a later one.
#[expect(clippy::cast_precision_loss, reason = "a run is a year at most: microseconds remain")]
pub fn seconds_between(from: Utc, to: Utc) -> f64 {
    to.0.saturating_sub(from.0) as f64 / 1e9
}

/// An alarm.
#[derive(Default)]
pub struct AlarmTally {
    /// Times raised after the settling.
    pub raised: u64,
    since: Option<Utc>,
    active_s: f64,
}

impl AlarmTally {
    /// Seconds active until `now`.
    pub fn active_s(&self, now: Utc) -> f64 {
        self.active_s + self.since.map_or(0.0, |since| seconds_between(since, now))
    }

    /// It is active.
    pub fn standing(&self) -> bool {
        self.since.is_some()
    }
}

/// The limit of an alarm: how long the value was beyond it, whether or not the alarm was raised.
pub struct LimitTally {
    /// Place of the alarm in the site's list.
    pub alarm: usize,
    /// The limit.
    pub limit: f64,
    /// Above it; below it otherwise.
    pub above: bool,
    tag: TagId,
    /// Usable values seen.
    pub good: u64,
    /// Seconds beyond.
    pub beyond: u64,
    inside: bool,
    /// Times the value went beyond.
    pub crossings: u64,
}

/// Commands and what became of them.
#[derive(Default)]
pub struct Writes {
    /// Commands granted.
    pub granted: u64,
    /// Outcomes that say that the write failed or was refused.
    pub failed: u64,
    /// Replaced by a newer one before they were sent.
    pub superseded: u64,
}

/// Everything counted.
pub struct Tally {
    /// Loops of the site.
    pub loops: Vec<LoopTally>,
    /// Measured and computed quantities.
    pub values: Vec<(TagId, Spread)>,
    /// Outputs.
    pub outputs: Vec<OutputTally>,
    /// Dosed chemicals by activity or tag.
    pub chemicals: BTreeMap<String, ChemicalTally>,
    /// Alarms in the order of the site.
    pub alarms: Vec<AlarmTally>,
    /// Limits of alarms on values.
    pub limits: Vec<LimitTally>,
    /// Commands.
    pub writes: Writes,
    /// Faults of the runtime, in the order in which they came.
    pub faults: Vec<String>,
    /// Looks taken while judged.
    pub seconds: u64,
    /// Seconds every look stands for: one, or a step of the clock where that is longer.
    pub look_s: f64,
    judged: bool,
    now: Vec<Option<f64>>,
    bounds: Vec<Option<(f64, f64)>>,
}

impl Tally {
    /// An empty tally of a site.
    pub fn new(site: &Site) -> Tally {
        let limits = |(index, def): (usize, &AlarmDef)| {
            let (limit, above) = match def.condition {
                AlarmCondition::Above { limit, .. } => (limit, true),
                AlarmCondition::Below { limit, .. } => (limit, false),
                AlarmCondition::Equals(_) | AlarmCondition::Bad => return None,
            };
            let zero =
                LimitTally { alarm: index, limit, above, tag: def.tag, good: 0, beyond: 0, inside: true, crossings: 0 };
            Some(zero)
        };
        let measured =
            |t: &&penstock_model::TagDef| t.output.is_none() && t.entry.is_none() && t.category != Category::System;
        let output = |t: &penstock_model::TagDef| OutputTally {
            tag: t.id,
            switch: t.value_type == ValueType::Bool,
            last: None,
            travel: 0.0,
            moves: 0,
            starts: 0,
        };
        let driven = site.tags.iter().filter(|t| t.output.is_some() && t.entry.is_none());
        Tally {
            loops: site.loops.iter().map(|l| of_loop(site, l.measured, l.set_point)).collect(),
            values: site.tags.iter().filter(measured).map(|t| (t.id, Spread::default())).collect(),
            outputs: driven.map(output).collect(),
            chemicals: chemicals(site),
            alarms: site.alarms.iter().map(|_| AlarmTally::default()).collect(),
            limits: site.alarms.iter().enumerate().filter_map(limits).collect(),
            writes: Writes::default(),
            faults: Vec::new(),
            seconds: 0,
            look_s: 1.0,
            judged: false,
            now: vec![None; site.tags.len()],
            bounds: site.tags.iter().map(|t| t.output.as_ref().and_then(|o| o.limits)).collect(),
        }
    }

    /// The settling is over: from here on everything counts.
    pub fn begin(&mut self, now: Utc) {
        self.judged = true;
        for alarm in &mut self.alarms {
            alarm.since = alarm.since.map(|_| now);
        }
    }

    /// Takes a fact of the engine.
    pub fn take(&mut self, record: &Record) {
        match record {
            Record::Alarm(event) => {
                let Some(alarm) = self.alarms.get_mut(event.id.0 as usize) else { return };
                if event.state == AlarmState::ActiveUnacknowledged {
                    alarm.raised += u64::from(self.judged);
                    alarm.since = Some(event.at);
                } else if !event.state.is_active()
                    && let Some(since) = alarm.since.take()
                    && self.judged
                {
                    alarm.active_s += seconds_between(since, event.at);
                }
            }
            Record::Fault(f) if f.active && self.faults.len() < FAULTS_MAX => {
                self.faults.push(format!("{}: {}", f.part, f.message));
            }
            Record::Command(_) if self.judged => self.writes.granted += 1,
            Record::Outcome(outcome) if self.judged => match outcome.state {
                OutcomeState::Failed(_) => self.writes.failed += 1,
                OutcomeState::Superseded => self.writes.superseded += 1,
                OutcomeState::Sent | OutcomeState::Acknowledged | OutcomeState::ReadBack => {}
            },
            _ => {}
        }
    }

    /// Looks at every tag: once a second of judged plant time, or once a step where that is longer.
    pub fn second(&mut self, engine: &Engine) {
        self.seconds += 1;
        for (index, value) in self.now.iter_mut().enumerate() {
            let id = TagId(u32::try_from(index).unwrap_or(u32::MAX));
            *value = engine.read(id).usable_f64();
        }
        let now = &self.now;
        let number = |tag: TagId| now[tag.index()];
        for l in &mut self.loops {
            let error = number(l.measured).zip(number(l.set_point)).map(|(pv, sp)| pv - sp);
            l.error.add(error.map(f64::abs));
            l.swing.add(error);
            let at_limit = |tag: &TagId| {
                let (low, high) = self.bounds[tag.index()]?;
                number(*tag).map(|x| x <= low + MOVE_MIN || x >= high - MOVE_MIN)
            };
            let mut limited = l.outputs.iter().filter_map(at_limit).peekable();
            l.saturated += u64::from(limited.peek().is_some() && limited.all(|stands| stands));
        }
        for (tag, spread) in &mut self.values {
            spread.add(number(*tag));
        }
        for chemical in self.chemicals.values_mut() {
            chemical.flow.add(number(chemical.tag));
        }
        for output in &mut self.outputs {
            let Some(x) = number(output.tag) else { continue };
            if let Some(last) = output.last.filter(|last| (last - x).abs() > MOVE_MIN) {
                output.travel += (x - last).abs();
                output.moves += 1;
                output.starts += u64::from(output.switch && x > last);
            }
            output.last = Some(x);
        }
        for limit in &mut self.limits {
            let Some(x) = number(limit.tag) else { continue };
            limit.good += 1;
            let beyond = if limit.above { x > limit.limit } else { x < limit.limit };
            limit.beyond += u64::from(beyond);
            limit.crossings += u64::from(beyond && limit.inside);
            limit.inside = !beyond;
        }
    }
}

/// A loop with the outputs by which it is held: those of the programs that read both measurement and set-point.
fn of_loop(site: &Site, measured: TagId, set_point: TagId) -> LoopTally {
    let mut outputs = Vec::new();
    for program in &site.programs {
        let reads = |tag: TagId| program.inputs.iter().any(|(_, input)| *input == tag);
        if reads(measured) && reads(set_point) {
            let of = program.outputs.iter().map(|(_, tag)| *tag);
            outputs.extend(of.filter(|tag| {
                let def = site.tags.get(*tag);
                def.output.is_some() && matches!(def.value_type, ValueType::Float | ValueType::Int)
            }));
        }
    }
    outputs.sort_unstable();
    outputs.dedup();
    LoopTally { measured, set_point, outputs, error: Spread::default(), swing: Swing::default(), saturated: 0 }
}

/// Dosed chemicals: the volume flows of the ledger's activities, and every other measured flow in the unit of dosing.
fn chemicals(site: &Site) -> BTreeMap<String, ChemicalTally> {
    let mut all = BTreeMap::new();
    let mut taken = Vec::new();
    for activity in site.ledger.iter().flat_map(|ledger| &ledger.activities) {
        if let Quantity::VolumeFlowTag { tag, kg_per_l } = &activity.quantity
            && let Some(tag) = site.tags.find(tag)
        {
            taken.push(tag);
            let chemical = ChemicalTally { tag, kg_per_l: Some(*kg_per_l), flow: Spread::default() };
            all.insert(activity.name.clone(), chemical);
        }
    }
    for def in site.tags.iter() {
        if def.unit.as_str() == DOSE_UNIT && def.output.is_none() && def.entry.is_none() && !taken.contains(&def.id) {
            let chemical = ChemicalTally { tag: def.id, kg_per_l: None, flow: Spread::default() };
            all.insert(def.path.to_string(), chemical);
        }
    }
    all
}
