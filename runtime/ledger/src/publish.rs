//! The ledger's own tags: today's numbers, from the same adding up as every summary.

use crate::book::Book;
use crate::config::MeterKind;
use crate::demand::Running;
use crate::ledger::Inner;
use crate::quarter::quarter_of;
use crate::summary::Tally;
use crate::tags::{activity_path, meter_path, path, tag_list};
use penstock_model::{BadReason, Now, Quality, Sample, UncertainReason, Value};
use std::collections::HashMap;

/// One sample per tag of [`tag_list`], in its order.
pub(crate) fn samples(
    book: &Book,
    inner: &Inner,
    now: Now,
    t: i64,
    read: &dyn Fn(&str) -> Option<Sample>,
) -> Vec<(String, Sample)> {
    let day = quarter_of(book.begin_of(t, false));
    let mut tally = Tally::new(book);
    inner.tally(book, day, quarter_of(t) + 1, &mut tally);
    let mut out = Out { now, values: HashMap::new() };
    let quality = |streams: &[usize]| {
        let of = |i: &usize| {
            let quality = inner.quality(*i);
            let guessed = tally.coverage[*i].estimated + tally.coverage[*i].missing > 0;
            if quality.is_good() && guessed { Quality::Uncertain(UncertainReason::Substituted) } else { quality }
        };
        streams.iter().map(of).fold(Quality::Good, Quality::worst)
    };
    energy(book, inner, &tally, t, &quality, &mut out);
    demand(book, inner, t, &quality, read, &mut out);
    carbon(book, &tally, &quality, &mut out);
    out.put(
        path::ISSUES,
        Some(Value::Int(i64::try_from(inner.issues_since(book.begin_of(t, false))).unwrap_or(0))),
        Quality::Good,
    );
    tag_list(&book.config)
        .into_iter()
        .map(|tag| {
            let sample = out.values.remove(&tag.path);
            (tag.path, sample.unwrap_or_else(|| Sample::bad(BadReason::Initial, None, now)))
        })
        .collect()
}

struct Out {
    now: Now,
    values: HashMap<String, Sample>,
}

impl Out {
    /// A value with the quality of what it was computed from. None is a ratio without a denominator yet: no value, never received.
    fn put(&mut self, path: &str, value: Option<Value>, quality: Quality) {
        let sample = match (value, quality) {
            (None, _) => Sample::bad(BadReason::Initial, None, self.now),
            (Some(value), Quality::Bad(reason)) => Sample::bad(reason, Some(value), self.now),
            (Some(value), quality) => Sample::with_quality(value, quality, self.now),
        };
        self.values.insert(path.to_owned(), sample);
    }

    fn number(&mut self, path: &str, value: f64, quality: Quality) {
        self.put(path, Some(Value::Float(value)), quality);
    }

    fn ratio(&mut self, path: &str, value: Option<f64>, quality: Quality) {
        self.put(path, value.map(Value::Float), quality);
    }
}

fn energy(book: &Book, inner: &Inner, tally: &Tally<'_>, t: i64, quality: &dyn Fn(&[usize]) -> Quality, out: &mut Out) {
    let summary = tally.summary(0, 0);
    if let Some(tier) = book.tier(t) {
        out.put(path::TIER, i64::try_from(tier).ok().map(Value::Int), Quality::Good);
        out.number(path::PRICE, book.config.tariff.tiers[tier].price_per_kwh, Quality::Good);
    }
    let (import, export) = (book.of_kind(MeterKind::Grid, false), book.of_kind(MeterKind::Grid, true));
    let pv = book.of_kind(MeterKind::Pv, false);
    let storage = [book.of_kind(MeterKind::Storage, false), book.of_kind(MeterKind::Storage, true)].concat();
    let balance = quality(&[&import[..], &export, &pv, &storage].concat());
    out.number(path::IMPORT, summary.import_kwh, quality(&import));
    out.number(path::COST, summary.cost.import_cost, quality(&import));
    out.number(path::EXPORT, summary.export_kwh, quality(&export));
    out.number(path::PV, summary.pv_kwh, quality(&pv));
    out.number(path::LOAD, summary.load_kwh, balance);
    let self_use = quality(&[&export[..], &pv].concat());
    out.ratio(path::SELF_USE, summary.scr.map(|r| r * 100.0), self_use);
    out.ratio(path::SELF_SUFFICIENCY, summary.ssr.map(|r| r * 100.0), balance);
    let all: Vec<usize> = book.meters.iter().flat_map(|(i, e)| [Some(*i), *e]).flatten().collect();
    out.ratio(path::RESIDUAL, summary.residuals.first().map(|r| r.residual_kwh), quality(&all));
    if let Some(flow) = book.flow {
        out.ratio(path::FLOW, summary.flow_m3, quality(&[flow]));
        out.ratio(path::KWH_PER_M3, summary.kwh_per_m3, balance.worst(quality(&[flow])));
    }
    for (meter, (stream, _)) in book.config.meters.iter().zip(&book.meters) {
        let kwh = summary.meters.iter().find(|m| m.name == meter.name).map_or(0.0, |m| m.import_kwh);
        out.number(&meter_path(&meter.name), kwh, quality(&[*stream]));
    }
    if let Some((_, max)) = inner.month_max {
        out.number(path::DEMAND_MONTH, max, quality(&import));
    }
}

fn demand(
    book: &Book,
    inner: &Inner,
    t: i64,
    quality: &dyn Fn(&[usize]) -> Quality,
    read: &dyn Fn(&str) -> Option<Sample>,
    out: &mut Out,
) {
    let quality = quality(&book.of_kind(MeterKind::Grid, false));
    let sliding = inner.demand.sliding(t);
    let full = if sliding.is_some_and(|(_, full)| full) {
        Quality::Good
    } else {
        Quality::Uncertain(UncertainReason::Initial)
    };
    out.ratio(path::DEMAND, sliding.map(|(kw, _)| kw), quality.worst(full));
    let running = Running::at(t, inner.running_kwh(book, t), inner.unseen_ns(book, t));
    let seen = if running.unseen_ns == 0 { Quality::Good } else { Quality::Uncertain(UncertainReason::Initial) };
    let quality = quality.worst(seen);
    out.number(path::DEMAND_QUARTER, running.mean_kw(), quality);
    if let Some(limit) = book.config.demand_limit_kw {
        out.number(path::DEMAND_ALLOWED, running.allowed_kw(limit), quality);
    }
    // Purchase now: the grid meters' own power, and the sliding mean where one has none.
    let grid = book.config.meters.iter().filter(|m| m.kind == MeterKind::Grid);
    let power = grid.map(|m| m.power_tag.as_ref().and_then(|tag| read(tag)).and_then(|s| s.usable_f64()));
    let power = power.map(|p| p.map(|kw| kw.max(0.0))).sum::<Option<f64>>().or(sliding.map(|(kw, _)| kw));
    out.ratio(path::DEMAND_PROJECTED, power.map(|kw| running.projected_kw(kw)), quality);
}

fn carbon(book: &Book, tally: &Tally<'_>, quality: &dyn Fn(&[usize]) -> Quality, out: &mut Out) {
    let carbon = tally.summary(0, 0).carbon;
    let (mut total, mut separate, mut purchased) = (Quality::Good, Quality::Good, Quality::Good);
    for (activity, stream) in book.config.activities.iter().zip(&book.activities) {
        let quality = quality(&[*stream]);
        let kg = carbon.lines.iter().filter(|l| l.activity == activity.name).map(|l| l.kg).sum();
        out.number(&activity_path(&activity.name), kg, quality);
        let sum = if activity.gwp.is_some() { &mut separate } else { &mut total };
        *sum = sum.worst(quality);
        if activity.scope == 2 {
            purchased = purchased.worst(quality);
        }
    }
    let export = quality(&book.of_kind(MeterKind::Grid, true));
    out.number(path::CARBON, carbon.total_kg, total);
    out.number(path::CARBON_SEPARATE, carbon.separate_kg, separate);
    out.number(path::CARBON_AVOIDED, carbon.avoided_kg, purchased.worst(export));
    if let Some(flow) = book.flow {
        out.ratio(path::CARBON_PER_M3, carbon.kg_per_m3, total.worst(quality(&[flow])));
    }
}
