//! What a simulation came to: loops, travel of outputs, energy, carbon, alarms, faults.

use super::SimulateArgs;
use crate::config::Site;
use penstock_engine::Engine;
use penstock_model::{AlarmState, Record, TagId};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A number is reported as changed between two runs when it differs by more than this share.
const CHANGE_SHARE: f64 = 0.01;

#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    seconds: u64,
    good: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn add(&mut self, value: Option<f64>) {
        self.seconds += 1;
        let Some(x) = value else { return };
        (self.min, self.max) = if self.good == 0 { (x, x) } else { (self.min.min(x), self.max.max(x)) };
        self.good += 1;
        self.sum += x;
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    fn mean(&self) -> Option<f64> {
        (self.good > 0).then(|| self.sum / self.good as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    fn good_share(&self) -> f64 {
        if self.seconds == 0 { 0.0 } else { self.good as f64 / self.seconds as f64 }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Travel {
    last: Option<f64>,
    sum: f64,
    moves: u64,
}

/// What is counted while a simulation runs.
pub struct Tally {
    loops: Vec<(TagId, TagId, Spread)>,
    values: Vec<(TagId, Spread)>,
    outputs: Vec<(TagId, Travel)>,
    alarms: BTreeMap<String, u64>,
    alarm_names: Vec<String>,
    faults: Vec<String>,
    seconds: u64,
}

impl Tally {
    /// An empty tally of a site.
    pub fn new(site: &Site) -> Tally {
        let measured = |t: &&penstock_model::TagDef| {
            t.output.is_none() && t.entry.is_none() && t.category != penstock_model::Category::System
        };
        Tally {
            loops: site.loops.iter().map(|l| (l.measured, l.set_point, Spread::default())).collect(),
            values: site.tags.iter().filter(measured).map(|t| (t.id, Spread::default())).collect(),
            outputs: site
                .tags
                .iter()
                .filter(|t| t.output.is_some() && t.entry.is_none())
                .map(|t| (t.id, Travel::default()))
                .collect(),
            alarms: BTreeMap::new(),
            alarm_names: site.alarms.iter().map(|a| a.name.to_string()).collect(),
            faults: Vec::new(),
            seconds: 0,
        }
    }

    /// Takes a fact of the engine.
    pub fn take(&mut self, record: &Record) {
        match record {
            Record::Alarm(e) if e.state == AlarmState::ActiveUnacknowledged => {
                if let Some(name) = self.alarm_names.get(e.id.0 as usize) {
                    *self.alarms.entry(name.clone()).or_default() += 1;
                }
            }
            Record::Fault(f) if f.active => self.faults.push(format!("{}: {}", f.part, f.message)),
            _ => {}
        }
    }

    /// Looks at every tag, once a second of plant time.
    pub fn second(&mut self, engine: &Engine) {
        self.seconds += 1;
        let number = |tag: TagId| engine.read(tag).usable_f64();
        for (measured, set_point, spread) in &mut self.loops {
            let error = number(*measured).zip(number(*set_point)).map(|(pv, sp)| (pv - sp).abs());
            spread.add(error);
        }
        for (tag, spread) in &mut self.values {
            spread.add(number(*tag));
        }
        for (tag, travel) in &mut self.outputs {
            let Some(x) = number(*tag) else { continue };
            if let Some(last) = travel.last.filter(|last| (last - x).abs() > 1e-9) {
                travel.sum += (x - last).abs();
                travel.moves += 1;
            }
            travel.last = Some(x);
        }
    }

    /// The report of the run.
    pub fn report(
        &self,
        site: &Site,
        args: &SimulateArgs,
        look: Duration,
        energy: Option<penstock_ledger::Summary>,
    ) -> Report {
        let path = |tag: TagId| site.tags.get(tag).path.to_string();
        let unit = |tag: TagId| site.tags.get(tag).unit.as_str();
        #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
        let days = self.seconds as f64 * look.as_secs_f64() / 86_400.0;
        let loops: Vec<Json> = self
            .loops
            .iter()
            .map(|(m, s, e)| {
                json!({"measured": path(*m), "set_point": path(*s), "unit": unit(*m), "mean_abs_error": e.mean(),
                       "max_abs_error": e.max, "good_share": e.good_share()})
            })
            .collect();
        let values: serde_json::Map<String, Json> = self
            .values
            .iter()
            .filter(|(_, s)| s.good > 0)
            .map(|(t, s)| {
                let body = json!({"unit": unit(*t), "mean": s.mean(), "min": s.min, "max": s.max, "good_share": s.good_share()});
                (path(*t), body)
            })
            .collect();
        let outputs: serde_json::Map<String, Json> = self
            .outputs
            .iter()
            .map(|(t, x)| {
                (path(*t), json!({"unit": unit(*t), "travel_per_day": x.sum / days.max(1e-9), "moves": x.moves}))
            })
            .collect();
        Report(json!({
            "site": site.id, "configuration": site.config_hash, "days": args.days, "settle_hours": args.settle_hours,
            "seed": args.seed, "start": args.start, "loops": loops, "values": values, "outputs": outputs,
            "alarms": self.alarms, "faults": self.faults, "energy": energy,
        }))
    }
}

/// A report, as it is saved.
pub struct Report(Json);

impl Report {
    /// Adds what the plant itself says of the run: indices and limits by the truth.
    pub fn judged_by_truth(&mut self, score: Json) {
        self.0["indices"] = score;
    }

    /// The report as it is saved.
    pub fn to_json(&self) -> &Json {
        &self.0
    }

    /// Every number that changed by more than a hundredth against an earlier report, in words.
    pub fn compare(&self, before: &Json) -> String {
        let mut lines = Vec::new();
        differences("", before, &self.0, &mut lines);
        if lines.is_empty() {
            return "no number differs by more than 1 % from the earlier run".to_owned();
        }
        format!("changed against the earlier run:\n  {}", lines.join("\n  "))
    }
}

fn differences(place: &str, before: &Json, now: &Json, lines: &mut Vec<String>) {
    match (before, now) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let place = if place.is_empty() { key.clone() } else { format!("{place} {key}") };
                differences(&place, a.get(key).unwrap_or(&Json::Null), b.get(key).unwrap_or(&Json::Null), lines);
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                let name = y["measured"].as_str().map_or_else(|| i.to_string(), str::to_owned);
                differences(&format!("{place} {name}"), x, y, lines);
            }
        }
        _ => match (before.as_f64(), now.as_f64()) {
            (Some(x), Some(y)) => {
                let scale = x.abs().max(y.abs());
                if scale > 1e-9 && (x - y).abs() > CHANGE_SHARE * scale {
                    lines.push(format!("{place}: {x:.4} → {y:.4} ({:+.1} %)", (y - x) / x.abs().max(1e-9) * 100.0));
                }
            }
            _ if before != now => lines.push(format!("{place}: {before} → {now}")),
            _ => {}
        },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.0;
        let number = |x: &Json| x.as_f64().map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
        writeln!(
            f,
            "{} ({}), {} days after {} h, seed {}",
            r["site"], r["configuration"], r["days"], r["settle_hours"], r["seed"]
        )?;
        writeln!(f, "\nloop                          mean |error|   max |error|   known")?;
        for l in r["loops"].as_array().into_iter().flatten() {
            writeln!(
                f,
                "{:<28} {:>12} {:>13} {:>6.1} %  {}",
                l["measured"].as_str().unwrap_or_default(),
                number(&l["mean_abs_error"]),
                number(&l["max_abs_error"]),
                l["good_share"].as_f64().unwrap_or(0.0) * 100.0,
                l["unit"].as_str().unwrap_or_default(),
            )?;
        }
        writeln!(f, "\noutput                        travel per day        moves")?;
        for (path, o) in r["outputs"].as_object().into_iter().flatten() {
            writeln!(f, "{path:<28} {:>15} {:>12}", number(&o["travel_per_day"]), o["moves"])?;
        }
        writeln!(f, "\nquantity                             mean          min          max")?;
        for (path, v) in r["values"].as_object().into_iter().flatten() {
            writeln!(
                f,
                "{path:<28} {:>12} {:>12} {:>12}  {}",
                number(&v["mean"]),
                number(&v["min"]),
                number(&v["max"]),
                v["unit"].as_str().unwrap_or_default()
            )?;
        }
        for figure in r["indices"]["figures"].as_array().into_iter().flatten() {
            writeln!(
                f,
                "{:<22} {:>12}  {:<12} {}",
                figure["name"].as_str().unwrap_or_default(),
                number(&figure["value"]),
                figure["unit"].as_str().unwrap_or_default(),
                figure["title"].as_str().unwrap_or_default()
            )?;
        }
        let e = &r["energy"];
        if e.is_object() {
            writeln!(
                f,
                "\nenergy: load {} kWh, import {} kWh, export {} kWh, PV {} kWh, self-use {}, {} kWh/m3, {} kg CO2e",
                number(&e["load_kwh"]),
                number(&e["import_kwh"]),
                number(&e["export_kwh"]),
                number(&e["pv_kwh"]),
                number(&e["scr"]),
                number(&e["kwh_per_m3"]),
                number(&e["carbon"]["total_kg"]),
            )?;
        }
        writeln!(f, "\nalarms raised:")?;
        let alarms = r["alarms"].as_object();
        if alarms.is_none_or(serde_json::Map::is_empty) {
            writeln!(f, "  none")?;
        }
        for (name, count) in alarms.into_iter().flatten() {
            writeln!(f, "  {count:>5} × {name}")?;
        }
        for fault in r["faults"].as_array().into_iter().flatten() {
            writeln!(f, "fault: {}", fault.as_str().unwrap_or_default())?;
        }
        Ok(())
    }
}
