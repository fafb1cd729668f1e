//! What a simulation came to, as numbers: one JSON object, the same to the byte for the same run.

use super::tally::Tally;
use crate::config::Site;
use penstock_model::{TagId, Utc};
use penstock_simulators::score::{Figure, LimitKept, Score};
use serde_json::{Map, Value as Json, json};

/// Seconds in an hour.
const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;

/// What was run.
#[derive(Debug, Clone)]
pub struct Head {
    /// Title of the scenario; none for a run without.
    pub scenario: Option<String>,
    /// The same in Chinese.
    pub scenario_zh: Option<String>,
    /// Weather at the beginning.
    pub weather: &'static str,
    /// Seed.
    pub seed: u64,
    /// Plant time at the beginning, Unix seconds.
    pub start: i64,
    /// Length of the judged part and of the settling before it, s.
    pub judged_s: f64,
    /// See `judged_s`.
    pub settle_s: f64,
}

/// A report, as it is saved.
#[derive(Debug, Clone)]
pub struct Report(pub Json);

impl Report {
    /// The report as it is saved.
    pub fn to_json(&self) -> &Json {
        &self.0
    }

    /// The report of a run. `energy` is the ledger's summary; `score` what the plant itself says of the
    /// run, by the truth; `now` the end of the run.
    pub fn new(site: &Site, head: &Head, tally: &Tally, energy: Json, score: &Score, now: Utc) -> Report {
        let name = |tag: TagId| site.tags.get(tag).path.to_string();
        let known_faults: Vec<&String> = tally.faults.iter().collect();
        Report(json!({
            "site": site.id, "configuration": site.config_hash,
            "scenario": head.scenario, "scenario_zh": head.scenario_zh, "weather": head.weather, "seed": head.seed,
            "start": head.start, "days": head.judged_s / DAY_S, "settle_hours": head.settle_s / HOUR_S,
            "loops": loops(site, tally),
            "outputs": outputs(site, tally),
            "values": tally.values.iter().map(|(tag, s)| {
                let unit = site.tags.get(*tag).unit.as_str();
                (name(*tag), json!({"unit": unit, "mean": s.mean(), "min": s.least(), "max": s.most(), "good_share": s.known()}))
            }).collect::<Map<String, Json>>(),
            "chemicals": chemicals(site, tally),
            "alarms": alarms(site, tally, now),
            "alarm_kinds": alarm_kinds(site, tally),
            "limits": limits(site, tally),
            "writes": {"granted": tally.writes.granted, "failed": tally.writes.failed,
                       "superseded": tally.writes.superseded},
            "faults": known_faults,
            "energy": energy,
            "indices": indices(score), "effluent": effluent(score),
        }))
    }

    /// Adds what became of the expectations of a scenario.
    pub fn add_verdict(&mut self, verdict: Json) {
        if let Json::Object(map) = &mut self.0 {
            map.insert("verdict".to_owned(), verdict);
        }
    }
}

/// Indices of the plant, by the truth that no instrument sees.
fn indices(score: &Score) -> Json {
    let one = |f: &Figure| (f.name.to_owned(), json!({"value": f.value, "unit": f.unit, "title": f.title}));
    Json::Object(score.figures.iter().map(one).collect())
}

/// How the limits of the effluent were kept, by the truth.
fn effluent(score: &Score) -> Json {
    let one = |l: &LimitKept| {
        let body = json!({"limit": l.limit, "unit": l.unit, "over_pct": l.over_pct, "crossings": l.crossings,
                          "p95": l.p95, "max": l.max, "days_over": l.days_over, "worst_day": l.worst_day});
        (l.name.to_owned(), body)
    };
    Json::Object(score.limits.iter().map(one).collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
fn days(tally: &Tally) -> f64 {
    (tally.seconds as f64 * tally.look_s / DAY_S).max(1e-9)
}

fn loops(site: &Site, tally: &Tally) -> Json {
    let way = |tag: &TagId| {
        let output = tally.outputs.iter().find(|o| o.tag == *tag)?;
        Some((site.tags.get(*tag).path.to_string(), json!(output.travel / days(tally))))
    };
    let all = tally.loops.iter().map(|l| {
        let def = site.tags.get(l.measured);
        let swing = l.swing.found();
        json!({
            "measured": &*def.path, "set_point": &*site.tags.get(l.set_point).path, "unit": def.unit.as_str(),
            "mean_abs_error": l.error.mean(), "iae_unit_h": l.error.sum * tally.look_s / HOUR_S, "max_abs_error": l.error.most(),
            "good_share": l.error.known(), "saturated_share": share(l.saturated, l.error.seconds),
            "oscillation": swing.map(|(regularity, _)| regularity),
            "oscillation_period_s": swing.map(|(_, looks)| looks * tally.look_s),
            "output_travel_per_day": l.outputs.iter().filter_map(way).collect::<Map<String, Json>>(),
        })
    });
    Json::Array(all.collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn outputs(site: &Site, tally: &Tally) -> Json {
    let per_day = |count: u64| count as f64 / days(tally);
    let all = tally.outputs.iter().map(|o| {
        let def = site.tags.get(o.tag);
        let starts = o.switch.then(|| per_day(o.starts));
        let body = json!({"unit": def.unit.as_str(), "travel_per_day": o.travel / days(tally),
                          "moves_per_day": per_day(o.moves), "starts_per_day": starts});
        (def.path.to_string(), body)
    });
    Json::Object(all.collect())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
fn chemicals(site: &Site, tally: &Tally) -> Json {
    let all = tally.chemicals.iter().map(|(name, c)| {
        // A second without a usable value counts with the mean of the others: said by `good_share`.
        let litres = c.flow.mean().map(|mean| mean * c.flow.seconds as f64 * tally.look_s / HOUR_S);
        let kg = litres.zip(c.kg_per_l).map(|(litres, kg_per_l)| litres * kg_per_l);
        let body = json!({"tag": &*site.tags.get(c.tag).path, "litres": litres, "kg": kg,
                          "litres_per_day": litres.map(|x| x / days(tally)), "good_share": c.flow.known()});
        (name.clone(), body)
    });
    Json::Object(all.collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn alarms(site: &Site, tally: &Tally, now: Utc) -> Json {
    let all = site.alarms.iter().zip(&tally.alarms).map(|(def, a)| {
        let body = json!({"priority": def.priority.as_str(), "raised": a.raised,
                          "per_day": a.raised as f64 / days(tally), "active_s": a.active_s(now), "standing": a.standing()});
        (def.name.to_string(), body)
    });
    Json::Object(all.collect())
}

/// Alarms raised by the last part of the tag that they watch: `doubt` are the signals that programs did not believe.
fn alarm_kinds(site: &Site, tally: &Tally) -> Json {
    let mut kinds = std::collections::BTreeMap::<String, u64>::new();
    for (def, alarm) in site.alarms.iter().zip(&tally.alarms) {
        let path = &site.tags.get(def.tag).path;
        *kinds.entry(path.rsplit('/').next().unwrap_or_default().to_owned()).or_default() += alarm.raised;
    }
    json!(kinds)
}

fn limits(site: &Site, tally: &Tally) -> Json {
    let all = tally.limits.iter().filter_map(|l| {
        let alarm = site.alarms.get(l.alarm)?;
        let def = site.tags.get(alarm.tag);
        let body = json!({"tag": &*def.path, "unit": def.unit.as_str(), "side": if l.above { "above" } else { "below" },
                          "limit": l.limit, "share": share(l.beyond, l.good), "crossings": l.crossings});
        Some((alarm.name.to_string(), body))
    });
    Json::Object(all.collect())
}
