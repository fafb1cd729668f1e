//! Energy and carbon: `energy.yaml` and `carbon.yaml` to what the ledger runs on.

use super::account_files::{ActivityFile, CarbonFile, EnergyFile, MeterFile, QuantityFile};
use super::read::Reader;
use super::tags::{Ctx, Tags};
use super::text::{At, parse_clock};
use crate::diagnostics::{FileId, Pos, suggest};
use penstock_ledger::{
    ActivityDef, Factor, FlowKind, LedgerConfig, MeterDef, MeterKind, Quantity, Tariff, TariffPeriod, TariffTier,
};
use penstock_model::ValueType;
use std::collections::HashMap;

/// The two files together, with the places of what they name.
pub struct Accounts<'a> {
    pub reader: &'a mut Reader,
    /// Tag paths named, with their places, in the order of the file.
    tags: Vec<(String, FileId, Pos)>,
    /// Where what the ledger's messages name stands: ``factor `grid` ``.
    names: HashMap<String, (FileId, Pos)>,
    tariff: (FileId, Pos),
}

impl<'a> Accounts<'a> {
    pub fn new(reader: &'a mut Reader) -> Self {
        Self { reader, tags: Vec::new(), names: HashMap::new(), tariff: (FileId(0), Pos::default()) }
    }

    /// The ledger's configuration; `None` where a part of it cannot be read.
    pub fn build(
        &mut self,
        time_zone: &str,
        energy: (FileId, EnergyFile),
        carbon: Option<(FileId, CarbonFile)>,
    ) -> Option<LedgerConfig> {
        let (file, e) = energy;
        let meters: Vec<Option<MeterDef>> = e.meters.iter().map(|m| self.meter(file, &e, m)).collect();
        let tariff = self.tariff(file, &e)?;
        let (flow_meter, flow_kind) = self.water(file, &e);
        let (factors, activities) = match &carbon {
            Some((file, c)) => self.carbon(*file, c, &e),
            None => (Vec::new(), Vec::new()),
        };
        let known = meters.len();
        let meters: Vec<MeterDef> = meters.into_iter().flatten().collect();
        let complete = meters.len() == known;
        let config = LedgerConfig {
            meters,
            tariff,
            factors,
            activities,
            time_zone: time_zone.to_owned(),
            flow_meter,
            flow_kind,
            demand_limit_kw: e.demand_limit_kw.as_ref().map(|d| d.value),
        };
        complete.then_some(config)
    }

    /// What the ledger's own check finds, and whether the tags it reads exist in its units.
    pub fn check(&mut self, config: &LedgerConfig, tags: &Tags) {
        let mut left = std::mem::take(&mut self.tags);
        for input in config.inputs() {
            let Some(index) = left.iter().position(|(path, _, _)| *path == input.path) else { continue };
            let (path, file, pos) = left.remove(index);
            let Some(tag) = tags.find(self.reader, file, &At { value: path.clone(), pos }) else { continue };
            let def = &tags.get(tag).def;
            if self.reader.lost.doubtful.contains(&path) {
                continue;
            }
            if !matches!(def.value_type, ValueType::Float | ValueType::Int) {
                self.reader.report.error(
                    file,
                    pos,
                    format!("{}: `{path}` is a {}, not a number", input.reader, def.value_type),
                );
            } else if def.unit.as_str() != input.unit {
                let message = format!("{} reads {}, but `{path}` is in `{}`", input.reader, input.unit, def.unit);
                self.reader.report.error(file, pos, message);
            }
        }
        for message in config.check() {
            // Told before, with the nearest name.
            let told = ["unknown parent", "unknown meter", "unknown factor", "known time zone"];
            if told.iter().any(|words| message.contains(words)) {
                continue;
            }
            let named = self.names.iter().filter_map(|(name, place)| Some((message.find(name)?, place)));
            let (file, pos) = *named.min_by_key(|(at, _)| *at).map_or(&self.tariff, |(_, place)| place);
            self.reader.report.error(file, pos, message);
        }
    }

    fn note(&mut self, file: FileId, tag: &At<String>) -> String {
        self.tags.push((tag.value.clone(), file, tag.pos));
        tag.value.clone()
    }

    fn meter(&mut self, file: FileId, e: &EnergyFile, m: &MeterFile) -> Option<MeterDef> {
        self.names.insert(format!("meter `{}`", m.meter.value), (file, m.meter.pos));
        if let Some(parent) = &m.parent
            && !e.meters.iter().any(|o| o.meter.value == parent.value)
        {
            let help = suggest(&parent.value, e.meters.iter().map(|o| o.meter.value.as_str()));
            self.reader.report.error(file, parent.pos, format!("unknown meter `{}`", parent.value)).help_maybe(help);
        }
        let kind = MeterKind::parse(&m.kind.value);
        if kind.is_none() {
            let help = suggest(&m.kind.value, ["grid", "pv", "load", "storage"]);
            self.reader
                .report
                .error(file, m.kind.pos, format!("`{}` is not a kind of meter", m.kind.value))
                .help_maybe(help);
        }
        Some(MeterDef {
            name: m.meter.value.clone(),
            title: m.title.0.clone(),
            parent: m.parent.as_ref().map(|p| p.value.clone()),
            import_tag: self.note(file, &m.import),
            export_tag: m.export.as_ref().map(|t| self.note(file, t)),
            power_tag: m.power.as_ref().map(|t| self.note(file, t)),
            kind: kind?,
            rollover_kwh: m.rollover_kwh.value,
            power_kw_max: m.power_max_kw.value,
        })
    }

    fn tariff(&mut self, file: FileId, e: &EnergyFile) -> Option<Tariff> {
        let t = &e.tariff;
        self.tariff = (file, t.periods.first().map_or(t.currency.pos, |p| p.from.pos));
        let mut periods = Vec::new();
        let mut ctx = Ctx { reader: self.reader, file };
        for p in &t.periods {
            let tier = t.tiers.iter().position(|tier| tier.tier.value == p.tier.value);
            if tier.is_none() {
                let help = suggest(&p.tier.value, t.tiers.iter().map(|tier| tier.tier.value.as_str()));
                ctx.error(p.tier.pos, format!("unknown tier `{}`", p.tier.value)).help_maybe(help);
            }
            let mut clock = |at: &At<String>| match parse_clock(&at.value) {
                Ok(minutes) => Some(minutes),
                Err(why) => {
                    ctx.error(at.pos, why).help("write hours and minutes in quotes: \"07:30\"");
                    None
                }
            };
            let (from, to) = (clock(&p.from), clock(&p.to));
            if let (Some(tier), Some(from_min), Some(to_min)) = (tier, from, to) {
                periods.push(TariffPeriod {
                    from_min,
                    to_min,
                    tier,
                    months: p.months.as_ref().map(|m| m.value.clone()),
                });
            }
        }
        let tiers = t.tiers.iter().map(|tier| TariffTier {
            name: tier.tier.value.clone(),
            title: tier.title.0.clone(),
            price_per_kwh: tier.price.value,
        });
        let complete = periods.len() == t.periods.len();
        let tariff = Tariff {
            tiers: tiers.collect(),
            periods,
            export_price: t.export_price.value,
            currency: t.currency.value.clone(),
        };
        complete.then_some(tariff)
    }

    fn water(&mut self, file: FileId, e: &EnergyFile) -> (Option<String>, FlowKind) {
        let Some(w) = &e.treated_water else { return (None, FlowKind::Rate) };
        match (&w.flow, &w.total) {
            (Some(flow), None) => (Some(self.note(file, flow)), FlowKind::Rate),
            (None, Some(total)) => {
                let number = |at: &Option<At<f64>>| at.as_ref().map_or(0.0, |n| n.value);
                let kind = FlowKind::Total { rollover_m3: number(&w.rollover_m3), m3_h_max: number(&w.flow_max) };
                (Some(self.note(file, total)), kind)
            }
            (Some(flow), Some(_)) => {
                self.reader.report.error(file, flow.pos, "the treated water is either a flow or a total, not both");
                (None, FlowKind::Rate)
            }
            (None, None) => {
                let pos = e.tariff.currency.pos;
                self.reader.report.error(file, pos, "treated_water names neither a flow nor a total");
                (None, FlowKind::Rate)
            }
        }
    }

    fn carbon(&mut self, file: FileId, c: &CarbonFile, e: &EnergyFile) -> (Vec<Factor>, Vec<ActivityDef>) {
        let factors = c
            .factors
            .iter()
            .map(|f| {
                self.names
                    .insert(format!("factor `{}` edition `{}`", f.factor.value, f.edition.value), (file, f.value.pos));
                Factor {
                    id: f.factor.value.clone(),
                    edition: f.edition.value.clone(),
                    value: f.value.value,
                    unit: f.unit.value.clone(),
                    source: f.source.clone(),
                    valid_from: f.valid_from.as_ref().map(|v| v.value.clone()),
                    lower: f.range.as_ref().map(|r| r.value.0),
                    upper: f.range.as_ref().map(|r| r.value.1),
                }
            })
            .collect();
        let activities = c.activities.iter().filter_map(|a| self.activity(file, c, e, a)).collect();
        (factors, activities)
    }

    fn activity(&mut self, file: FileId, c: &CarbonFile, e: &EnergyFile, a: &ActivityFile) -> Option<ActivityDef> {
        self.names.insert(format!("activity `{}`", a.activity.value), (file, a.factor.pos));
        for id in std::iter::once(&a.factor).chain(&a.gwp) {
            if !c.factors.iter().any(|f| f.factor.value == id.value) {
                let help = suggest(&id.value, c.factors.iter().map(|f| f.factor.value.as_str()));
                self.reader.report.error(file, id.pos, format!("unknown factor `{}`", id.value)).help_maybe(help);
            }
        }
        let quantity = self.quantity(file, e, &a.quantity)?;
        Some(ActivityDef {
            name: a.activity.value.clone(),
            title: a.title.0.clone(),
            scope: a.scope.value,
            factor: a.factor.value.clone(),
            gwp: a.gwp.as_ref().map(|g| g.value.clone()),
            quantity,
        })
    }

    fn quantity(&mut self, file: FileId, e: &EnergyFile, at: &At<QuantityFile>) -> Option<Quantity> {
        let q = &at.value;
        let mut found = Vec::new();
        if let Some(meter) = &q.meter {
            if !e.meters.iter().any(|m| m.meter.value == meter.value) {
                let help = suggest(&meter.value, e.meters.iter().map(|m| m.meter.value.as_str()));
                self.reader.report.error(file, meter.pos, format!("unknown meter `{}`", meter.value)).help_maybe(help);
            }
            found.push(Quantity::MeterImport(meter.value.clone()));
        }
        if let Some(tag) = &q.mass_flow {
            found.push(Quantity::MassRateTag { tag: self.note(file, tag) });
        }
        if let Some(v) = &q.volume_flow {
            found.push(Quantity::VolumeFlowTag { tag: self.note(file, &v.tag), kg_per_l: v.kg_per_l.value });
        }
        if let Some(l) = &q.load {
            found.push(Quantity::Load {
                flow_tag: self.note(file, &l.flow),
                concentration_tag: self.note(file, &l.concentration),
                substance: l.substance.value.clone(),
            });
        }
        if found.len() == 1 {
            return found.pop();
        }
        self.reader.report.error(file, at.pos, "a quantity has exactly one of: meter, mass_flow, volume_flow, load");
        None
    }
}
