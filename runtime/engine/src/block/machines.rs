//! What a sequencer is told of its machines, and what it remembers of each.

use super::args::{bounded, finite};
use super::logic::TIME_ROUNDING;
use super::memory::Pass;
use crate::nearest::did_you_mean;
use rhai::Dynamic;
use std::collections::VecDeque;

/// Most machines of one station.
pub(crate) const MACHINES_MAX: usize = 16;
/// Most starts that are remembered: more in an hour than any motor of this size bears.
pub(crate) const STARTS_MAX: usize = 60;
/// Time over which starts are counted, s.
const STARTS_WITHIN: f64 = 3_600.0;

const FIELDS: &[&str] = &["available", "auto", "running", "capacity", "hours", "margin"];

/// A machine as the program sees it in this scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Machine {
    /// Without fault and not under repair.
    pub available: bool,
    /// The sequencer may start and stop it.
    pub auto: bool,
    pub running: bool,
    /// What it can be counted on for, in the unit of the demand; above 0.
    pub capacity: f64,
    /// Hours run by the machine's own counter, where it has one.
    pub hours: Option<f64>,
    /// Distance from the surge line, where it is known.
    pub margin: Option<f64>,
}

impl Machine {
    /// Reads `#{ available, auto, running, capacity, hours, margin }`.
    pub fn read(value: &Dynamic) -> Result<Machine, String> {
        let map = value.as_map_ref().map_err(|_| format!("run takes a map for each machine, not {value}"))?;
        if let Some(wrong) = map.keys().find(|k| !FIELDS.contains(&k.as_str())) {
            let help = did_you_mean(wrong, FIELDS.iter().copied()).map(|h| format!(" ({h})")).unwrap_or_default();
            return Err(format!("a machine has no `{wrong}`{help}"));
        }
        let get = |name: &str| map.get(name).filter(|v| !v.is_unit());
        let flag = |name: &str, otherwise: bool| {
            get(name).map_or(Ok(otherwise), |v| {
                v.as_bool().map_err(|_| format!("`{name}` of a machine is true or false, not {v}"))
            })
        };
        let figure = |name: &str| {
            get(name)
                .map(|v| finite(v).ok_or_else(|| format!("`{name}` of a machine is a finite number, not {v}")))
                .transpose()
        };
        let capacity = figure("capacity")?.ok_or("`capacity` of a machine is missing")?;
        if capacity <= 0.0 {
            return Err(format!("`capacity` of a machine is above 0, not {capacity}"));
        }
        get("running").ok_or("`running` of a machine is missing")?;
        Ok(Machine {
            available: flag("available", true)?,
            auto: flag("auto", true)?,
            running: flag("running", false)?,
            capacity,
            hours: figure("hours")?,
            margin: figure("margin")?,
        })
    }
}

/// What is remembered of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// The order that stands.
    pub ordered: bool,
    /// It did not come up, or fell out, without a fault signal; cleared by a fault that comes and goes, or a reset.
    pub failed: bool,
    /// It was in a person's hand at the last scan.
    pub hand: bool,
    /// Seconds since the order changed; none: longer than anybody asks for.
    since: Option<f64>,
    /// Seconds since it was ordered or last seen running, while it is ordered and does not run.
    missing: f64,
    own_hours: f64,
    /// Seconds since each start of the last hour, the oldest in front.
    starts: VecDeque<f64>,
}

impl Unit {
    /// Takes a machine over as it runs.
    pub fn adopt(machine: &Machine) -> Unit {
        Unit { ordered: machine.running, hand: !machine.auto, ..Unit::unknown() }
    }

    /// A machine about which nothing is known yet.
    pub fn unknown() -> Unit {
        let starts = VecDeque::with_capacity(STARTS_MAX);
        Unit { ordered: false, failed: false, hand: false, since: None, missing: 0.0, own_hours: 0.0, starts }
    }

    pub fn memory(&mut self, pass: &mut Pass) {
        pass.switch("ordered", &mut self.ordered);
        pass.switch("failed", &mut self.failed);
        pass.switch("hand", &mut self.hand);
        pass.maybe_amount("since", &mut self.since);
        pass.newer_amount("missing", &mut self.missing);
        pass.amount("own_hours", &mut self.own_hours);
        let Some(starts) = pass.rows("starts", self.starts.iter().map(|age| [*age]), STARTS_MAX) else { return };
        if starts.iter().any(|[age]| *age < 0.0) {
            pass.refuse("`starts` has one of the future");
        }
        self.starts.clear();
        self.starts.extend(starts.into_iter().flatten());
    }

    pub fn advance(&mut self, machine: &Machine, start_timeout: Option<f64>, dt: f64) {
        self.since = self.since.map(|t| bounded(t + dt));
        for age in &mut self.starts {
            *age = bounded(*age + dt);
        }
        while self.starts.front().is_some_and(|age| age + TIME_ROUNDING >= STARTS_WITHIN) {
            self.starts.pop_front();
        }
        if machine.running {
            self.own_hours = bounded(self.own_hours + dt / 3_600.0);
        }
        let absent = machine.auto && self.ordered && !machine.running;
        self.missing = if absent { bounded(self.missing + dt) } else { 0.0 };
        if !machine.available {
            // A fault signal says more than our suspicion; when it goes, the machine has been seen to.
            self.failed = false;
        } else if absent && start_timeout.is_some_and(|t| self.missing + TIME_ROUNDING >= t) {
            self.failed = true;
        }
    }

    /// True when the order has stood for `t` seconds.
    pub fn lasted(&self, t: f64) -> bool {
        self.since.is_none_or(|since| since + TIME_ROUNDING >= t)
    }

    /// Lets a failed one be tried again.
    pub fn forgive(&mut self) {
        self.failed = false;
        self.missing = 0.0;
    }

    /// Another order, by whomever: its time begins, and a start counts.
    pub fn order(&mut self, on: bool) {
        self.ordered = on;
        self.since = Some(0.0);
        self.missing = 0.0;
        if on {
            if self.starts.len() == STARTS_MAX {
                self.starts.pop_front();
            }
            self.starts.push_back(0.0);
        }
    }

    pub fn starts(&self) -> usize {
        self.starts.len()
    }

    /// Hours by the machine's counter, or those seen here.
    pub fn hours(&self, machine: &Machine) -> f64 {
        machine.hours.unwrap_or(self.own_hours)
    }
}
