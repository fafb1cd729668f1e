//! What a run did, in the figures that a person who stood beside it would ask for.

use crate::config::Site;
use penstock_engine::{Engine, Percentiles, TaskView};
use penstock_historian::{Historian, Stats};
use penstock_ledger::Ledger;
use penstock_model::{LinkRecord, LinkState, Sample, TagDef, Utc};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a summary is gathered from.
pub(super) struct Inputs<'a> {
    pub site: &'a Site,
    pub engine: &'a Engine,
    pub historian: &'a Historian,
    pub ledger: Option<&'a Ledger>,
    pub before: BeforeStop,
    pub from: Utc,
    pub to: Utc,
    pub ran: Duration,
    pub drops: &'a [(&'static str, Arc<AtomicU64>)],
}

/// What has to be looked at before the stop turns outputs to their shutdown state and links down.
pub(super) struct BeforeStop {
    links: Vec<LinkRecord>,
    loops: Vec<Loop>,
}

impl BeforeStop {
    pub fn look(site: &Site, engine: &Engine) -> BeforeStop {
        let loops = site.loops.iter().map(|l| {
            let def: &TagDef = site.tags.get(l.measured);
            Loop {
                title: def.title.en.to_string(),
                measured: engine.read(l.measured),
                set_point: engine.read(l.set_point),
                unit: def.unit.as_str(),
            }
        });
        BeforeStop { links: engine.links(), loops: loops.collect() }
    }
}

/// A controlled quantity beside its set-point, from the site's list of loops.
#[derive(Debug, Clone)]
struct Loop {
    title: String,
    measured: Sample,
    set_point: Sample,
    unit: &'static str,
}

/// Figures of one run.
#[derive(Debug)]
pub struct Summary {
    ran: Duration,
    tasks: Vec<TaskView>,
    history: Stats,
    dropped: Vec<(&'static str, u64)>,
    links: Vec<(Arc<str>, LinkRecord)>,
    devices: usize,
    loops: Vec<Loop>,
    ledger: Option<Result<penstock_ledger::Summary, String>>,
}

impl Summary {
    pub(super) fn gather(i: Inputs<'_>) -> Summary {
        let links = i.before.links.into_iter().filter_map(|l| {
            let device = i.site.devices.get(usize::from(l.device.0))?;
            Some((device.name.clone(), l))
        });
        Summary {
            ran: i.ran,
            tasks: i.engine.tasks(),
            history: i.historian.stats(),
            dropped: i.drops.iter().map(|(n, d)| (*n, d.load(Ordering::Relaxed))).collect(),
            links: links.collect(),
            devices: i.site.devices.len(),
            loops: i.before.loops,
            ledger: i.ledger.map(|l| l.summary(i.from, i.to).map_err(|e| e.to_string())),
        }
    }

    fn energy(f: &mut fmt::Formatter<'_>, s: &penstock_ledger::Summary) -> fmt::Result {
        writeln!(
            f,
            "energy      import {:.2} kWh, export {:.2} kWh, PV {:.2} kWh, load {:.2} kWh",
            s.import_kwh, s.export_kwh, s.pv_kwh, s.load_kwh
        )?;
        match s.scr {
            Some(share) => writeln!(f, "PV self-use {:.1} % of generation", share * 100.0)?,
            None => writeln!(f, "PV self-use none to state: nothing was generated in this run")?,
        }
        writeln!(f, "carbon      {:.2} kg CO2e in this run", s.carbon.total_kg)?;
        for line in &s.carbon.lines {
            let apart = if line.separate { " (shown apart, not in the total)" } else { "" };
            writeln!(
                f,
                "              {}: {:.3} kg CO2e = {:.3} {} × {} {} [{} {}]{apart}",
                line.title.en,
                line.kg,
                line.quantity,
                line.unit,
                line.factor.value,
                line.factor.unit,
                line.factor.id,
                line.factor.edition
            )?;
        }
        Ok(())
    }
}

fn shown(sample: &Sample, unit: &str) -> String {
    let Some(value) = &sample.value else { return sample.quality.to_string() };
    let figure = value.as_f64().map_or_else(|| value.to_string(), |x| format!("{x:.2}"));
    if sample.quality.is_good() { format!("{figure} {unit}") } else { format!("{figure} {unit} {}", sample.quality) }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ran {:.1} s", self.ran.as_secs_f64())?;
        for t in &self.tasks {
            writeln!(
                f,
                "scan        {:<8} every {:>6} ms: {} done, {} missed{}",
                t.name,
                t.period.as_millis(),
                t.scans,
                t.missed,
                t.fault.as_ref().map_or_else(String::new, |why| format!(", FAULTED: {why}")),
            )?;
            for (what, times) in [("start jitter", t.jitter), ("run time", t.run_time), ("latency", t.latency)] {
                if times == Percentiles::default() {
                    continue;
                }
                writeln!(
                    f,
                    "              {what:<12} p50 {} µs, p99 {} µs, p99.9 {} µs, max {} µs",
                    times.p50.as_micros(),
                    times.p99.as_micros(),
                    times.p999.as_micros(),
                    times.max.as_micros()
                )?;
            }
        }
        let h = &self.history;
        let dropped: u64 = self.dropped.iter().map(|(_, n)| n).sum::<u64>() + h.dropped;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let per_sample = if h.samples == 0 { 0.0 } else { (h.bytes_live + h.tail_bytes) as f64 / h.samples as f64 };
        writeln!(
            f,
            "history     {} samples stored, {dropped} dropped, {per_sample:.2} bytes per sample on disk, store of {} kB",
            h.samples,
            h.bytes_disk / 1000
        )?;
        if h.chunks > 0 {
            writeln!(f, "              {:.2} bytes per sample in {} sealed chunks", h.bytes_per_sample, h.chunks)?;
        }
        let up = self.links.iter().filter(|(_, l)| l.state == LinkState::Up).count();
        writeln!(f, "links       {up} of {} up", self.devices)?;
        for (name, l) in &self.links {
            let reason = if l.reason.is_empty() { String::new() } else { format!(" ({})", l.reason) };
            writeln!(
                f,
                "              {name}: {}{reason}, {} answered, {} failed, {} refused, {} reconnects",
                l.state.as_str(),
                l.answered,
                l.failed,
                l.refused,
                l.reconnects
            )?;
        }
        for l in &self.loops {
            writeln!(
                f,
                "loop        {}: {} at set-point {}",
                l.title,
                shown(&l.measured, l.unit),
                shown(&l.set_point, l.unit)
            )?;
        }
        match &self.ledger {
            Some(Ok(summary)) => Self::energy(f, summary)?,
            Some(Err(error)) => writeln!(f, "energy      not known: {error}")?,
            None => {}
        }
        Ok(())
    }
}
