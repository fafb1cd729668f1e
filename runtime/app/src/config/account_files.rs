//! The forms of `energy.yaml` and `carbon.yaml`, as written.

use super::text::{At, Label};
use schemars::JsonSchema;
use serde::Deserialize;

type Text = Option<At<String>>;
type Number = Option<At<f64>>;
type Span = Option<At<(f64, f64)>>;

/// `energy.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnergyFile {
    /// The meters; those with a parent form a tree.
    pub meters: Vec<MeterFile>,
    /// The contract with the supplier.
    pub tariff: TariffFile,
    /// The treated water, for energy per volume.
    pub treated_water: Option<WaterFile>,
    /// Contract limit of the quarter-hour demand, kW.
    pub demand_limit_kw: Number,
}

/// The treated water
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaterFile {
    /// Tag of a flow in m3/h.
    pub flow: Text,
    /// Tag of a totaliser in m3.
    pub total: Text,
    /// Value at which the totaliser starts again at 0, m3; 0 for never.
    pub rollover_m3: Number,
    /// Largest flow, m3/h.
    pub flow_max: Number,
}

/// One meter
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterFile {
    /// Its name, unique.
    pub meter: At<String>,
    /// What a person calls it.
    pub title: Label,
    /// `grid`, `pv`, `load`, `storage`.
    pub kind: At<String>,
    /// The meter upstream of it.
    pub parent: Text,
    /// Tag of the energy register, kWh.
    pub import: At<String>,
    /// Tag of the register of the other direction, kWh.
    pub export: Text,
    /// Tag of the active power, kW.
    pub power: Text,
    /// Value at which the registers start again at 0, kWh; 0 for never.
    pub rollover_kwh: At<f64>,
    /// Largest power it can see, kW.
    pub power_max_kw: At<f64>,
}

/// Prices by local time
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffFile {
    /// Currency: `CNY`.
    pub currency: At<String>,
    /// Paid for exported energy, per kWh.
    pub export_price: At<f64>,
    /// The tiers; the place in this list is the value of `energy/tariff/tier`.
    pub tiers: Vec<TierFile>,
    /// When which tier holds. Every quarter-hour of every month must have exactly one.
    pub periods: Vec<PeriodFile>,
}

/// One price
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierFile {
    /// Its name.
    pub tier: At<String>,
    /// What a person calls it.
    pub title: Label,
    /// Price of imported energy with all levies, per kWh.
    pub price: At<f64>,
}

/// A daily period of local time
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeriodFile {
    /// Its tier.
    pub tier: At<String>,
    /// Start: `"07:30"`.
    pub from: At<String>,
    /// End: `"24:00"`.
    pub to: At<String>,
    /// Months (1 to 12). Default all. A period with months goes before one without.
    pub months: Option<At<Vec<u8>>>,
}

/// `carbon.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarbonFile {
    /// The factor registry.
    pub factors: Vec<FactorFile>,
    /// What emits.
    pub activities: Vec<ActivityFile>,
}

/// One edition of a factor
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorFile {
    /// Its id: `grid/cn-shandong`.
    pub factor: At<String>,
    /// Its edition: `"2023"`.
    pub edition: At<String>,
    /// Value in `unit`.
    pub value: At<f64>,
    /// `<out>/<in>`: `kg CO2e/kWh`, `kg N2O-N/kg N`.
    pub unit: At<String>,
    /// Title, number, date and table of where it stands.
    pub source: String,
    /// First local date it is used for: `2023-01-01`.
    pub valid_from: Text,
    /// Lower and upper bound of its range.
    pub range: Span,
}

/// Something that emits
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityFile {
    /// Its name, unique.
    pub activity: At<String>,
    /// What a person calls it.
    pub title: Label,
    /// Scope of the GHG Protocol: 1, 2 or 3.
    pub scope: At<u8>,
    /// Id of its factor.
    pub factor: At<String>,
    /// Id of the global warming potential, where the factor gives a gas other than CO2e.
    pub gwp: Text,
    /// What is counted: exactly one of its keys.
    pub quantity: At<QuantityFile>,
}

/// What an activity counts; exactly one key
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantityFile {
    /// A meter: its import, kWh.
    pub meter: Text,
    /// Tag of a mass flow, kg/h.
    pub mass_flow: Text,
    /// A volume flow times the product it carries.
    pub volume_flow: Option<VolumeFile>,
    /// A water flow times a concentration.
    pub load: Option<LoadFile>,
}

/// A volume flow times the product it carries
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeFile {
    /// Tag of the volume flow, L/h.
    pub tag: At<String>,
    /// Product per volume, kg/L, on the basis of the factor.
    pub kg_per_l: At<f64>,
}

/// A water flow times a concentration
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadFile {
    /// Tag of the flow, m3/h.
    pub flow: At<String>,
    /// Tag of the concentration, mg/L.
    pub concentration: At<String>,
    /// What is dissolved, as the factor's unit names it: `N`.
    pub substance: At<String>,
}
