//! Adds quarters up: energy, ratios, cost, emissions. Sums first, then divides.

use crate::book::Book;
use crate::carbon::Emission;
use crate::config::MeterKind;
use crate::quarter::{Class, start_of};
use crate::report::{
    CarbonLine, CarbonSummary, CostSummary, Coverage, FactorUse, MeterSummary, Residual, Summary, TierCost,
};
use jiff::civil::Date;

/// A stream in a quarter, as it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub value: f64,
    pub class: Class,
}

/// Sums of the quarters added so far.
pub(crate) struct Tally<'a> {
    book: &'a Book,
    quarters: u32,
    amounts: Vec<f64>,
    pub coverage: Vec<Coverage>,
    tier_kwh: Vec<f64>,
    demand: Option<(f64, i64)>,
    grid_imports: Vec<usize>,
    /// What the activities emit on the local date of the last quarter added.
    emissions: Option<(Date, Vec<Option<Emission>>)>,
    lines: Vec<Line>,
    avoided_kg: f64,
}

struct Line {
    activity: usize,
    emission: Emission,
    quantity: f64,
    coverage: Coverage,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(book: &'a Book) -> Tally<'a> {
        Tally {
            book,
            quarters: 0,
            amounts: vec![0.0; book.streams.len()],
            coverage: vec![Coverage::default(); book.streams.len()],
            tier_kwh: vec![0.0; book.config.tariff.tiers.len()],
            demand: None,
            grid_imports: book.of_kind(MeterKind::Grid, false),
            emissions: None,
            lines: Vec::new(),
            avoided_kg: 0.0,
        }
    }

    /// Adds a quarter: a cell per stream, none where nothing is known at all. A quarter that still runs (`complete` false)
    /// counts as energy but not as demand: its mean power is not known before its end.
    pub(crate) fn add(&mut self, quarter: i64, cells: &[Option<Cell>], complete: bool) {
        if cells.iter().all(Option::is_none) {
            return;
        }
        self.quarters += 1;
        for (index, cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                self.amounts[index] += cell.value;
                self.coverage[index].count(cell.class);
            }
        }
        let begin = start_of(quarter);
        let purchased = self.grid_imports.iter().filter_map(|i| cells[*i]).map(|c| c.value).reduce(|a, b| a + b);
        if let Some(kwh) = purchased {
            if let Some(sum) = self.book.tier(begin).and_then(|tier| self.tier_kwh.get_mut(tier)) {
                *sum += kwh;
            }
            if complete && self.demand.is_none_or(|(max, _)| kwh * 4.0 > max) {
                self.demand = Some((kwh * 4.0, begin));
            }
        }
        self.add_emissions(begin, cells);
    }

    fn add_emissions(&mut self, begin: i64, cells: &[Option<Cell>]) {
        let date = self.book.local(begin).date();
        if self.emissions.as_ref().is_none_or(|(of, _)| *of != date) {
            self.emissions = Some((date, self.book.emissions(date)));
        }
        let Some((_, emissions)) = &self.emissions else { return };
        for (activity, emission) in emissions.iter().enumerate() {
            let stream = self.book.activities[activity];
            let Some(emission) = emission else { continue };
            if let Some(cell) = cells[stream] {
                let line = self.lines.iter_mut().find(|l| l.activity == activity && l.emission == *emission);
                let line = match line {
                    Some(line) => line,
                    None => {
                        let (emission, coverage) = (emission.clone(), Coverage::default());
                        self.lines.push(Line { activity, emission, quantity: 0.0, coverage });
                        let last = self.lines.len() - 1;
                        &mut self.lines[last]
                    }
                };
                line.quantity += cell.value;
                line.coverage.count(cell.class);
            }
            // Feed-in of the same meter, at the factor of purchased electricity.
            if self.book.config.activities[activity].scope == 2 {
                let meter = self.book.meters.iter().position(|(import, _)| *import == stream);
                let grid = meter.filter(|m| self.book.config.meters[*m].kind == MeterKind::Grid);
                let export = grid.and_then(|m| self.book.meters[m].1).and_then(|s| cells[s]);
                self.avoided_kg += export.map_or(0.0, |c| c.value) * emission.kg_per_unit;
            }
        }
    }

    fn sum(&self, kind: MeterKind, export: bool) -> f64 {
        self.book.of_kind(kind, export).into_iter().map(|s| self.amounts[s]).sum()
    }

    /// The sums as a summary of the quarters `from..to`, without issues.
    pub(crate) fn summary(&self, from: i64, to: i64) -> Summary {
        let (import_kwh, export_kwh) = (self.sum(MeterKind::Grid, false), self.sum(MeterKind::Grid, true));
        let pv_kwh = self.sum(MeterKind::Pv, false);
        let (charge, discharge) = (self.sum(MeterKind::Storage, false), self.sum(MeterKind::Storage, true));
        let load_kwh = import_kwh + pv_kwh - export_kwh + discharge - charge;
        let self_kwh = pv_kwh - export_kwh;
        let flow_m3 = self.book.flow.map(|s| self.amounts[s]);
        let per_m3 = |amount: f64| flow_m3.filter(|f| *f > 0.0).map(|f| amount / f);
        Summary {
            from_ms: start_of(from) / 1_000_000,
            to_ms: start_of(to) / 1_000_000,
            quarters: self.quarters,
            meters: self.meters(),
            import_kwh,
            export_kwh,
            pv_kwh,
            load_kwh,
            self_kwh,
            scr: (pv_kwh > 0.0).then(|| self_kwh / pv_kwh),
            ssr: (load_kwh > 0.0).then(|| self_kwh / load_kwh),
            demand_max_kw: self.demand.map(|(kw, _)| kw),
            demand_max_ms: self.demand.map(|(_, begin)| begin / 1_000_000),
            cost: self.cost(export_kwh),
            flow_m3,
            flow_coverage: self.book.flow.map(|s| self.coverage[s]).unwrap_or_default(),
            kwh_per_m3: per_m3(load_kwh),
            carbon: self.carbon(&per_m3),
            residuals: self.residuals(),
            issues: Vec::new(),
        }
    }

    fn meters(&self) -> Vec<MeterSummary> {
        let meters = self.book.config.meters.iter().zip(&self.book.meters);
        meters
            .map(|(m, (import, export))| MeterSummary {
                name: m.name.clone(),
                title: (&m.title).into(),
                kind: m.kind.as_str(),
                parent: m.parent.clone(),
                import_kwh: self.amounts[*import],
                export_kwh: export.map(|e| self.amounts[e]),
                coverage: self.coverage[*import],
            })
            .collect()
    }

    fn cost(&self, export_kwh: f64) -> CostSummary {
        let tariff = &self.book.config.tariff;
        let tiers: Vec<TierCost> = tariff
            .tiers
            .iter()
            .zip(&self.tier_kwh)
            .map(|(t, kwh)| TierCost {
                name: t.name.clone(),
                title: (&t.title).into(),
                price_per_kwh: t.price_per_kwh,
                kwh: *kwh,
                cost: kwh * t.price_per_kwh,
            })
            .collect();
        CostSummary {
            currency: tariff.currency.clone(),
            import_cost: tiers.iter().map(|t| t.cost).sum(),
            tiers,
            export_revenue: export_kwh * tariff.export_price,
        }
    }

    fn carbon(&self, per_m3: &dyn Fn(f64) -> Option<f64>) -> CarbonSummary {
        let config = &self.book.config;
        let record = |index: usize| {
            let f = &config.factors[index];
            let (id, edition, unit, source) = (f.id.clone(), f.edition.clone(), f.unit.clone(), f.source.clone());
            FactorUse { id, edition, value: f.value, unit, source }
        };
        let mut lines: Vec<CarbonLine> = Vec::new();
        for (index, a) in config.activities.iter().enumerate() {
            for line in self.lines.iter().filter(|l| l.activity == index) {
                lines.push(CarbonLine {
                    activity: a.name.clone(),
                    title: (&a.title).into(),
                    scope: a.scope,
                    quantity: line.quantity,
                    unit: a.quantity.unit(),
                    factor: record(line.emission.factor),
                    gwp: line.emission.gwp.map(record),
                    kg: line.quantity * line.emission.kg_per_unit,
                    lower_kg: line.emission.lower.map(|k| k * line.quantity),
                    upper_kg: line.emission.upper.map(|k| k * line.quantity),
                    separate: a.gwp.is_some(),
                    coverage: line.coverage,
                });
            }
        }
        let sum = |separate: bool, scope: Option<u8>| {
            let of = |l: &&CarbonLine| l.separate == separate && scope.is_none_or(|s| s == l.scope);
            lines.iter().filter(of).map(|l| l.kg).sum::<f64>()
        };
        let (total_kg, separate_kg) = (sum(false, None), sum(true, None));
        CarbonSummary {
            total_kg,
            separate_kg,
            scopes: (1..=3).map(|s| (s, sum(false, Some(s)), sum(true, Some(s)))).collect(),
            kg_per_m3: per_m3(total_kg),
            kg_per_m3_with_separate: per_m3(total_kg + separate_kg),
            avoided_kg: self.avoided_kg,
            lines,
        }
    }

    fn residuals(&self) -> Vec<Residual> {
        let meters = &self.book.config.meters;
        let net = |m: usize| {
            let (import, export) = self.book.meters[m];
            (self.amounts[import], export.map_or(0.0, |e| self.amounts[e]))
        };
        let mut residuals = Vec::new();
        for (p, parent) in meters.iter().enumerate() {
            let children: Vec<usize> =
                (0..meters.len()).filter(|c| meters[*c].parent.as_deref() == Some(parent.name.as_str())).collect();
            if children.is_empty() {
                continue;
            }
            let (import, export) = net(p);
            let (mut supplied, mut taken) = (import - export, 0.0);
            for child in children {
                let (import, export) = net(child);
                match meters[child].kind {
                    MeterKind::Pv => supplied += import - export,
                    MeterKind::Storage => {
                        supplied += export;
                        taken += import;
                    }
                    MeterKind::Load | MeterKind::Grid => taken += import - export,
                }
            }
            let residual_kwh = supplied - taken;
            residuals.push(Residual {
                parent: parent.name.clone(),
                supplied_kwh: supplied,
                taken_kwh: taken,
                residual_kwh,
                share: (supplied > 0.0).then(|| residual_kwh / supplied),
            });
        }
        residuals
    }
}
