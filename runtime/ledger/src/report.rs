//! The answer of [`crate::Ledger::summary`]: what a page or a report shows. Energies in kWh, masses in kg CO2e, times in
//! milliseconds of UTC; a ratio is a number between 0 and 1 where its identity holds. These types serialise because
//! they are the payload themselves.

use penstock_model::Text;
use serde::Serialize;

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Title {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl From<&Text> for Title {
    fn from(t: &Text) -> Self {
        Self { zh: t.zh.to_string(), en: t.en.to_string() }
    }
}

/// How well the quarter-hours behind a number are known, as counts of quarters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Quarters with readings at both borders, or rates covered throughout.
    pub measured: u32,
    /// The sum is known from the register; its spread over these quarters is not.
    pub back_filled: u32,
    /// A part of the quarter stands for the rest, or the register was replaced in it.
    pub estimated: u32,
    /// Nothing is known for at least half of the quarter, or the register has not come back yet.
    pub missing: u32,
}

/// Energy, cost and emissions of a range of quarter-hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// First quarter's begin.
    pub from_ms: i64,
    /// Last quarter's end (the running quarter counts in full).
    pub to_ms: i64,
    /// Quarters with any data.
    pub quarters: u32,
    /// Per meter, in the order of the configuration.
    pub meters: Vec<MeterSummary>,
    /// Purchased: import registers of the grid meters.
    pub import_kwh: f64,
    /// Fed in: export registers of the grid meters.
    pub export_kwh: f64,
    /// Generated.
    pub pv_kwh: f64,
    /// Consumed on site: import + generation - export + discharge - charge.
    pub load_kwh: f64,
    /// Generated and not fed in: generation - export.
    pub self_kwh: f64,
    /// Share of the generation used on site (self-consumption rate); none without generation.
    pub scr: Option<f64>,
    /// Share of the consumption covered by generation (self-sufficiency rate); none without consumption.
    pub ssr: Option<f64>,
    /// Highest quarter-hour demand, kW.
    pub demand_max_kw: Option<f64>,
    /// Begin of that quarter.
    pub demand_max_ms: Option<i64>,
    /// Cost by tier.
    pub cost: CostSummary,
    /// Treated water, m3; none without a flow meter.
    pub flow_m3: Option<f64>,
    /// Coverage of the flow.
    pub flow_coverage: Coverage,
    /// Consumption per treated water.
    pub kwh_per_m3: Option<f64>,
    /// Emissions.
    pub carbon: CarbonSummary,
    /// What each level of the meter tree leaves unexplained.
    pub residuals: Vec<Residual>,
    /// Gaps, rejected readings, resets in the range, newest first, at most [`crate::limits::ISSUES_MAX`].
    pub issues: Vec<Issue>,
}

/// One meter in the range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeterSummary {
    /// Its name.
    pub name: String,
    /// What a person calls it.
    pub title: Title,
    /// `grid`, `pv`, `load` or `storage`.
    pub kind: &'static str,
    /// The meter upstream.
    pub parent: Option<String>,
    /// Through its import register.
    pub import_kwh: f64,
    /// Through its export register; none without one.
    pub export_kwh: Option<f64>,
    /// How well the import is known.
    pub coverage: Coverage,
}

/// What a level of the meter tree leaves unexplained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Residual {
    /// The upstream meter.
    pub parent: String,
    /// What reached its children: its net import plus generation among them.
    pub supplied_kwh: f64,
    /// What they took.
    pub taken_kwh: f64,
    /// supplied - taken.
    pub residual_kwh: f64,
    /// Share of what was supplied; none when nothing was.
    pub share: Option<f64>,
}

/// Cost of purchased energy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostSummary {
    /// `CNY`.
    pub currency: String,
    /// Per tier, in the order of the tariff.
    pub tiers: Vec<TierCost>,
    /// Sum over the tiers.
    pub import_cost: f64,
    /// Paid for exported energy.
    pub export_revenue: f64,
}

/// One tier in the range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TierCost {
    /// Its name.
    pub name: String,
    /// What a person calls it.
    pub title: Title,
    /// Its price per kWh.
    pub price_per_kwh: f64,
    /// Purchased in it.
    pub kwh: f64,
    /// Its cost.
    pub cost: f64,
}

/// Emissions of the range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CarbonSummary {
    /// Per activity and edition of its factor.
    pub lines: Vec<CarbonLine>,
    /// Sum of the lines that do not stand apart.
    pub total_kg: f64,
    /// Sum of the lines that stand apart (process gases by default factors).
    pub separate_kg: f64,
    /// Per scope: scope, kg without and kg of the lines that stand apart.
    pub scopes: Vec<(u8, f64, f64)>,
    /// `total_kg` per treated water.
    pub kg_per_m3: Option<f64>,
    /// `total_kg + separate_kg` per treated water.
    pub kg_per_m3_with_separate: Option<f64>,
    /// Memo, outside the inventory and never subtracted: exported energy by the factor of purchased electricity.
    pub avoided_kg: f64,
}

/// One activity under one edition of its factor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CarbonLine {
    /// The activity.
    pub activity: String,
    /// What a person calls it.
    pub title: Title,
    /// Scope of the GHG Protocol.
    pub scope: u8,
    /// What was counted, in `unit`.
    pub quantity: f64,
    /// `kWh`, `kg`, `kg N`.
    pub unit: String,
    /// The factor used.
    pub factor: FactorUse,
    /// The global warming potential used.
    pub gwp: Option<FactorUse>,
    /// Emission.
    pub kg: f64,
    /// With the factor's lower bound.
    pub lower_kg: Option<f64>,
    /// With the factor's upper bound.
    pub upper_kg: Option<f64>,
    /// True for a line that stands apart from the total.
    pub separate: bool,
    /// How well the quantity is known.
    pub coverage: Coverage,
}

/// The record of the registry that a line used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactorUse {
    /// Its id.
    pub id: String,
    /// Its edition.
    pub edition: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// Where it stands.
    pub source: String,
}

/// Something an auditor would ask about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Issue {
    /// When it began.
    pub at_ms: i64,
    /// When it ended, for a gap that has.
    pub until_ms: Option<i64>,
    /// The stream: `meter:grid:import`, `activity:pac`, `flow`; empty for the ledger as a whole.
    pub stream: String,
    /// What it is.
    pub kind: IssueKind,
    /// The reading that stood before.
    pub before: Option<f64>,
    /// The reading that came.
    pub after: Option<f64>,
    /// In words, for a person.
    pub text: String,
}

/// What an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssueKind {
    /// No usable input for a while.
    Gap,
    /// An increment beyond what the meter can see; not booked.
    Jump,
    /// A reading below the one before, neither zero nor a rollover; not booked.
    Decrease,
    /// The register read zero and was held.
    Zero,
    /// The register started again at its rollover value; booked.
    Rollover,
    /// The register's base was moved: a meter replaced or reset. What flowed across it is not booked.
    Reset,
    /// Register and integrated power disagree over a quarter.
    Mismatch,
    /// Civil time was stepped.
    ClockStep,
    /// A gap longer than what is spread over its quarters.
    LongGap,
    /// A file of the ledger was damaged; in words what was kept.
    Store,
}
