//! What a site declares about its meters, its tariff and its emissions, and the check of it.

use crate::carbon::{self, FactorUnit};
use crate::limits::{ACTIVITIES_MAX, METERS_MAX};
use penstock_model::{Text, Unit};
use std::collections::HashSet;

/// Everything the energy and carbon ledger needs to know of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerConfig {
    /// The meters; those with a parent form a tree.
    pub meters: Vec<MeterDef>,
    /// The contract with the supplier.
    pub tariff: Tariff,
    /// The factor registry: several editions of one id may stand side by side.
    pub factors: Vec<Factor>,
    /// What emits.
    pub activities: Vec<ActivityDef>,
    /// IANA name of the site's time zone, for example `Asia/Shanghai`.
    pub time_zone: String,
    /// Tag path of the treated water.
    pub flow_meter: Option<String>,
    /// What `flow_meter` carries.
    pub flow_kind: FlowKind,
    /// Contract limit of the quarter-hour demand, kW.
    pub demand_limit_kw: Option<f64>,
}

/// What the tag of the treated water carries.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FlowKind {
    /// A flow in m3/h, integrated.
    #[default]
    Rate,
    /// A totaliser in m3, read like an energy register.
    Total {
        /// Value at which it starts again at 0, m3; 0 for one that never does.
        rollover_m3: f64,
        /// Largest flow, m3/h: the base of the jump rule.
        m3_h_max: f64,
    },
}

/// Place of a meter in the energy balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeterKind {
    /// The gateway to the grid: import is purchase, export is feed-in.
    Grid,
    /// Generation: its import register counts what it generates.
    Pv,
    /// A consumer or a group of consumers.
    Load,
    /// A store: import is charging, export is discharging.
    Storage,
}

impl MeterKind {
    /// The word used in files and interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Pv => "pv",
            Self::Load => "load",
            Self::Storage => "storage",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<MeterKind> {
        [Self::Grid, Self::Pv, Self::Load, Self::Storage].into_iter().find(|k| k.as_str() == word)
    }
}

/// One meter.
#[derive(Debug, Clone, PartialEq)]
pub struct MeterDef {
    /// Its name, unique on the site; part of tag paths and of files, so it never changes its meaning.
    pub name: String,
    /// What a person calls it.
    pub title: Text,
    /// Name of the meter upstream of it.
    pub parent: Option<String>,
    /// Tag of the energy register, kWh.
    pub import_tag: String,
    /// Tag of the register of the other direction, kWh.
    pub export_tag: Option<String>,
    /// Tag of the active power, kW, positive in the direction of the import register: cross-check and demand forecast.
    pub power_tag: Option<String>,
    /// Its place in the balance.
    pub kind: MeterKind,
    /// Value at which the registers start again at 0, kWh; 0 for one that never does.
    pub rollover_kwh: f64,
    /// Largest power it can see, kW: the base of the jump rule.
    pub power_kw_max: f64,
}

/// Prices by local time.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// The tiers; a tier's place in this list is the value of the tag `energy/tariff/tier`.
    pub tiers: Vec<TariffTier>,
    /// When which tier holds. Every quarter-hour of every month must have exactly one; a period with months goes before
    /// one without.
    pub periods: Vec<TariffPeriod>,
    /// Paid for exported energy, per kWh.
    pub export_price: f64,
    /// Currency, as a known unit: `CNY`.
    pub currency: String,
}

/// One price.
#[derive(Debug, Clone, PartialEq)]
pub struct TariffTier {
    /// Its name: `valley`.
    pub name: String,
    /// What a person calls it.
    pub title: Text,
    /// Price of imported energy with all levies, per kWh. May be negative.
    pub price_per_kwh: f64,
}

/// A daily period of local time.
#[derive(Debug, Clone, PartialEq)]
pub struct TariffPeriod {
    /// First minute of the local day (0..1440), a multiple of 15.
    pub from_min: u16,
    /// Minute at which it ends (0..=1440), a multiple of 15; before `from_min` for a period across midnight, equal to it for
    /// the whole day.
    pub to_min: u16,
    /// Index into the tiers.
    pub tier: usize,
    /// Months (1..=12) it holds in; `None` for all. The month is that of the local time itself.
    pub months: Option<Vec<u8>>,
}

/// One edition of a factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Its id: `grid/cn-shandong`.
    pub id: String,
    /// Its edition: `2023`.
    pub edition: String,
    /// Value in `unit`.
    pub value: f64,
    /// `<out> / <in>`, for example `kg CO2e/kWh`, `kg N2O-N/kg N`, `kg CO2e/kg N2O`.
    pub unit: String,
    /// Title, number, date and table of where it stands.
    pub source: String,
    /// First local date (`YYYY-MM-DD`) of activities it is used for; `None` for all dates before the next edition.
    pub valid_from: Option<String>,
    /// Lower bound of its range, same unit.
    pub lower: Option<f64>,
    /// Upper bound of its range, same unit.
    pub upper: Option<f64>,
}

/// Something that emits.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityDef {
    /// Its name, unique; part of tag paths and files.
    pub name: String,
    /// What a person calls it.
    pub title: Text,
    /// Scope of the GHG Protocol: 1, 2 or 3.
    pub scope: u8,
    /// Id of its factor.
    pub factor: String,
    /// Id of the global warming potential, where the factor gives a gas other than CO2e. Such a line stands apart from the
    /// total, with its range: a default factor of a process gas spans two orders of magnitude.
    pub gwp: Option<String>,
    /// What is counted.
    pub quantity: Quantity,
}

/// What an activity counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    /// Energy through the import register of a meter, kWh.
    MeterImport(String),
    /// A mass flow, kg/h, integrated to kg of product.
    MassRateTag {
        /// Tag of the mass flow, kg/h.
        tag: String,
    },
    /// A volume flow times the product it carries, integrated to kg of product.
    VolumeFlowTag {
        /// Tag of the volume flow, L/h.
        tag: String,
        /// Product (on the basis the factor has) per volume, kg/L.
        kg_per_l: f64,
    },
    /// A water flow times a concentration, integrated to kg of the substance.
    Load {
        /// Tag of the flow, m3/h.
        flow_tag: String,
        /// Tag of the concentration, mg/L.
        concentration_tag: String,
        /// What is dissolved, as the factor's unit names it: `N`.
        substance: String,
    },
}

impl Quantity {
    /// Unit of the counted quantity: `kWh`, `kg` or `kg N`.
    #[must_use]
    pub fn unit(&self) -> String {
        match self {
            Self::MeterImport(_) => "kWh".to_owned(),
            Self::MassRateTag { .. } | Self::VolumeFlowTag { .. } => "kg".to_owned(),
            Self::Load { substance, .. } => format!("kg {substance}"),
        }
    }
}

/// A tag the ledger reads, with the unit it must have: the loader compares both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerInput {
    /// Tag path.
    pub path: String,
    /// The unit the ledger takes it in.
    pub unit: &'static str,
    /// Who reads it, for the message.
    pub reader: String,
}

impl LedgerConfig {
    /// Every tag the ledger reads, with the unit expected.
    #[must_use]
    pub fn inputs(&self) -> Vec<LedgerInput> {
        let mut inputs = Vec::new();
        let mut add = |path: &str, unit: &'static str, reader: String| {
            inputs.push(LedgerInput { path: path.to_owned(), unit, reader });
        };
        for m in &self.meters {
            let reader = format!("meter `{}`", m.name);
            add(&m.import_tag, "kWh", reader.clone());
            if let Some(tag) = &m.export_tag {
                add(tag, "kWh", reader.clone());
            }
            if let Some(tag) = &m.power_tag {
                add(tag, "kW", reader);
            }
        }
        if let Some(tag) = &self.flow_meter {
            let unit = if self.flow_kind == FlowKind::Rate { "m3/h" } else { "m3" };
            add(tag, unit, "treated water".to_owned());
        }
        for a in &self.activities {
            let reader = format!("activity `{}`", a.name);
            match &a.quantity {
                Quantity::MeterImport(_) => {}
                Quantity::MassRateTag { tag } => add(tag, "kg/h", reader),
                Quantity::VolumeFlowTag { tag, .. } => add(tag, "L/h", reader),
                Quantity::Load { flow_tag, concentration_tag, .. } => {
                    add(flow_tag, "m3/h", reader.clone());
                    add(concentration_tag, "mg/L", reader);
                }
            }
        }
        inputs
    }

    /// Everything wrong with it, in words; empty for a configuration that can be opened.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            errors.push(format!("`{}` is not a known time zone", self.time_zone));
        }
        if self.demand_limit_kw.is_some_and(|kw| !(kw.is_finite() && kw > 0.0)) {
            errors.push("the demand limit must be above 0 kW".to_owned());
        }
        if let FlowKind::Total { rollover_m3, m3_h_max } = self.flow_kind {
            check_register("treated water", rollover_m3, m3_h_max, &mut errors);
        }
        self.check_meters(&mut errors);
        self.tariff.check(&mut errors);
        self.check_factors(&mut errors);
        self.check_activities(&mut errors);
        errors
    }

    fn check_meters(&self, errors: &mut Vec<String>) {
        if self.meters.len() > METERS_MAX {
            errors.push(format!("{} meters, at most {METERS_MAX}", self.meters.len()));
        }
        let mut names = HashSet::new();
        for m in &self.meters {
            if !is_name(&m.name) {
                errors.push(format!("meter name `{}`: letters, digits, `_`, `-` and `/` between them only", m.name));
            }
            if !names.insert(m.name.as_str()) {
                errors.push(format!("meter `{}` is declared twice", m.name));
            }
            check_register(&format!("meter `{}`", m.name), m.rollover_kwh, m.power_kw_max, errors);
        }
        for m in &self.meters {
            let mut at = m;
            for step in 0..=self.meters.len() {
                let Some(parent) = &at.parent else { break };
                let Some(next) = self.meters.iter().find(|p| p.name == *parent) else {
                    if step == 0 {
                        errors.push(format!("meter `{}` names an unknown parent `{parent}`", m.name));
                    }
                    break;
                };
                if step == self.meters.len() {
                    errors.push(format!("meter `{}` is its own ancestor", m.name));
                }
                at = next;
            }
        }
    }

    fn check_factors(&self, errors: &mut Vec<String>) {
        for (index, f) in self.factors.iter().enumerate() {
            let name = format!("factor `{}` edition `{}`", f.id, f.edition);
            if let Err(e) = FactorUnit::parse(&f.unit) {
                errors.push(format!("{name}: {e}"));
            }
            let bounds = (f.lower.unwrap_or(f.value), f.upper.unwrap_or(f.value));
            if !(f.value.is_finite() && bounds.0 <= f.value && f.value <= bounds.1 && bounds.1.is_finite()) {
                errors.push(format!("{name}: the value {} is not within its bounds", f.value));
            }
            if let Some(date) = &f.valid_from
                && date.parse::<jiff::civil::Date>().is_err()
            {
                errors.push(format!("{name}: `{date}` is not a date (YYYY-MM-DD)"));
            }
            let twin = self.factors[..index].iter().find(|o| o.id == f.id && o.valid_from == f.valid_from);
            if let Some(twin) = twin {
                let from = f.valid_from.as_deref().unwrap_or("always");
                errors.push(format!("{name} and edition `{}` are both valid from {from}", twin.edition));
            }
        }
    }

    fn check_activities(&self, errors: &mut Vec<String>) {
        if self.activities.len() > ACTIVITIES_MAX {
            errors.push(format!("{} activities, at most {ACTIVITIES_MAX}", self.activities.len()));
        }
        let mut names = HashSet::new();
        for a in &self.activities {
            let name = format!("activity `{}`", a.name);
            if !is_name(&a.name) {
                errors.push(format!("{name}: letters, digits, `_`, `-` and `/` between them only"));
            }
            if a.name == "avoided" || a.name == "separate" {
                errors.push(format!("{name}: the name is taken by the ledger's own tags"));
            }
            if !names.insert(a.name.as_str()) {
                errors.push(format!("{name} is declared twice"));
            }
            if !(1..=3).contains(&a.scope) {
                errors.push(format!("{name}: scope {} is not 1, 2 or 3", a.scope));
            }
            match &a.quantity {
                Quantity::MeterImport(meter) if !self.meters.iter().any(|m| m.name == *meter) => {
                    errors.push(format!("{name}: unknown meter `{meter}`"));
                }
                Quantity::VolumeFlowTag { kg_per_l, .. } if !(kg_per_l.is_finite() && *kg_per_l > 0.0) => {
                    errors.push(format!("{name}: {kg_per_l} kg/L must be above 0"));
                }
                _ => {}
            }
            errors.extend(carbon::check_chain(a, &self.factors));
        }
    }
}

impl Tariff {
    fn check(&self, errors: &mut Vec<String>) {
        if Unit::parse(&self.currency).is_err() || Unit::parse(&format!("{}/kWh", self.currency)).is_err() {
            errors.push(format!("currency `{}` is not a known unit", self.currency));
        }
        let prices =
            self.tiers.iter().map(|t| (t.name.as_str(), t.price_per_kwh)).chain([("export", self.export_price)]);
        for (name, price) in prices {
            if !price.is_finite() {
                errors.push(format!("tariff price `{name}` is not a number"));
            }
        }
        let before = errors.len();
        for p in &self.periods {
            let name = format!("tariff period {}-{}", clock_text(p.from_min), clock_text(p.to_min));
            if p.from_min >= 1440 || p.to_min > 1440 || p.from_min % 15 != 0 || p.to_min % 15 != 0 {
                errors.push(format!("{name}: borders must be quarter-hours of the day"));
            }
            if p.tier >= self.tiers.len() {
                errors.push(format!("{name}: tier {} does not exist", p.tier));
            }
            if p.months.as_ref().is_some_and(|m| m.is_empty() || m.iter().any(|m| !(1..=12).contains(m))) {
                errors.push(format!("{name}: months must be 1 to 12"));
            }
        }
        if errors.len() > before {
            return;
        }
        for month in 1..=12 {
            for minute in (0..1440).step_by(15) {
                let found = self.matches(month, minute);
                if found.len() != 1 {
                    let what = if found.is_empty() { "no tariff tier" } else { "more than one tariff tier" };
                    errors.push(format!("{what} at {} in month {month}", clock_text(minute)));
                    return;
                }
            }
        }
    }

    /// The periods that hold at that local minute: those with months, or else those without.
    pub(crate) fn matches(&self, month: u8, minute: u16) -> Vec<&TariffPeriod> {
        let at = |p: &&TariffPeriod| p.holds_at(minute);
        let named: Vec<_> =
            self.periods.iter().filter(|p| p.months.as_ref().is_some_and(|m| m.contains(&month))).filter(at).collect();
        if !named.is_empty() {
            return named;
        }
        self.periods.iter().filter(|p| p.months.is_none()).filter(at).collect()
    }
}

impl TariffPeriod {
    fn holds_at(&self, minute: u16) -> bool {
        match self.from_min.cmp(&self.to_min) {
            std::cmp::Ordering::Less => (self.from_min..self.to_min).contains(&minute),
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => minute >= self.from_min || minute < self.to_min,
        }
    }
}

fn check_register(name: &str, rollover: f64, rate_max: f64, errors: &mut Vec<String>) {
    if !(rollover.is_finite() && rollover >= 0.0) {
        errors.push(format!("{name}: the rollover value must be 0 (none) or above"));
    }
    if !(rate_max.is_finite() && rate_max > 0.0) {
        errors.push(format!("{name}: the largest rate must be above 0"));
    }
}

fn clock_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Names become parts of tag paths and keys of files.
fn is_name(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    text.len() <= 64 && text.split('/').all(plain)
}
