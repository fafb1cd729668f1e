//! The tags the ledger publishes.

use crate::config::{LedgerConfig, MeterKind};
use penstock_model::{Category, Text, Unit, ValueType};

/// A tag the ledger publishes: what the loader needs to declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerTag {
    /// Tag path.
    pub path: String,
    /// What a person calls it.
    pub title: Text,
    /// Unit.
    pub unit: Unit,
    /// Type.
    pub value_type: ValueType,
    /// Energy or carbon.
    pub category: Category,
    /// Figures after the decimal point on screens.
    pub decimals: u8,
    /// Names of states by whole value.
    pub states: Vec<(i64, Text)>,
}

/// Paths of the tags that do not depend on names of the site.
pub(crate) mod path {
    pub const PRICE: &str = "energy/tariff/price";
    pub const TIER: &str = "energy/tariff/tier";
    pub const IMPORT: &str = "energy/today/import_kwh";
    pub const EXPORT: &str = "energy/today/export_kwh";
    pub const PV: &str = "energy/today/pv_kwh";
    pub const LOAD: &str = "energy/today/load_kwh";
    pub const COST: &str = "energy/today/cost";
    pub const RESIDUAL: &str = "energy/today/residual_kwh";
    pub const SELF_USE: &str = "energy/self_use";
    pub const SELF_SUFFICIENCY: &str = "energy/self_sufficiency";
    pub const DEMAND: &str = "energy/demand_kw";
    pub const DEMAND_QUARTER: &str = "energy/demand/quarter_kw";
    pub const DEMAND_PROJECTED: &str = "energy/demand/projected_kw";
    pub const DEMAND_ALLOWED: &str = "energy/demand/allowed_kw";
    pub const DEMAND_MONTH: &str = "energy/demand/month_max_kw";
    pub const KWH_PER_M3: &str = "energy/kwh_per_m3";
    pub const FLOW: &str = "energy/today/flow_m3";
    pub const CARBON: &str = "carbon/today_kg";
    pub const CARBON_SEPARATE: &str = "carbon/separate/today_kg";
    pub const CARBON_AVOIDED: &str = "carbon/avoided/today_kg";
    pub const CARBON_PER_M3: &str = "carbon/kg_per_m3";
    pub const ISSUES: &str = "energy/ledger/issues_today";
}

/// Path of a meter's energy of today.
pub(crate) fn meter_path(meter: &str) -> String {
    format!("energy/meter/{meter}/today_kwh")
}

/// Path of an activity's emission of today.
pub(crate) fn activity_path(activity: &str) -> String {
    format!("carbon/{activity}/today_kg")
}

/// Every tag a ledger of this configuration publishes. Needs nothing opened, so the loader can declare them first.
/// Units that the configuration misspells are left out here; [`LedgerConfig::check`] names them.
#[must_use]
pub fn tag_list(config: &LedgerConfig) -> Vec<LedgerTag> {
    let mut tags = Vec::new();
    let mut add = |path: &str, zh: &str, en: &str, unit: &str, decimals: u8| {
        if let Ok(unit) = Unit::parse(unit) {
            let category = if path.starts_with("carbon") { Category::Carbon } else { Category::Energy };
            tags.push(LedgerTag {
                path: path.to_owned(),
                title: Text::new(zh, en),
                unit,
                value_type: ValueType::Float,
                category,
                decimals,
                states: Vec::new(),
            });
        }
    };
    let has = |kind| config.meters.iter().any(|m| m.kind == kind);
    let currency = &config.tariff.currency;
    if !config.tariff.tiers.is_empty() {
        add(path::PRICE, "当前电价", "Price now", &format!("{currency}/kWh"), 4);
        add(path::TIER, "当前电价时段", "Tariff tier now", "", 0);
        add(path::COST, "今日购电费用", "Cost of purchase today", currency, 2);
    }
    if has(MeterKind::Grid) {
        add(path::IMPORT, "今日购电量", "Purchased today", "kWh", 1);
        add(path::EXPORT, "今日上网电量", "Fed in today", "kWh", 1);
        add(path::LOAD, "今日用电量", "Consumed today", "kWh", 1);
        add(path::RESIDUAL, "今日计量差额", "Unexplained by the meter tree today", "kWh", 2);
        add(path::DEMAND, "15分钟滑差需量", "Sliding quarter-hour demand", "kW", 1);
        add(path::DEMAND_QUARTER, "本刻钟平均功率", "Mean power of this quarter-hour", "kW", 1);
        add(path::DEMAND_PROJECTED, "本刻钟预计需量", "Demand expected of this quarter-hour", "kW", 1);
        add(path::DEMAND_MONTH, "本月最大需量", "Highest demand this month", "kW", 1);
        if config.demand_limit_kw.is_some() {
            add(path::DEMAND_ALLOWED, "本刻钟剩余允许功率", "Power allowed for the rest of this quarter-hour", "kW", 1);
        }
    }
    if has(MeterKind::Pv) {
        add(path::PV, "今日光伏发电量", "Generated today", "kWh", 1);
    }
    if has(MeterKind::Pv) && has(MeterKind::Grid) {
        add(path::SELF_USE, "今日光伏自用率", "Self-consumption rate today", "%", 1);
        add(path::SELF_SUFFICIENCY, "今日自给率", "Self-sufficiency rate today", "%", 1);
    }
    if config.flow_meter.is_some() {
        add(path::FLOW, "今日处理水量", "Treated water today", "m3", 0);
        add(path::KWH_PER_M3, "今日吨水电耗", "Consumption per treated water today", "kWh/m3", 3);
        add(path::CARBON_PER_M3, "今日吨水碳排放", "Emission per treated water today", "kg CO2e/m3", 3);
    }
    for m in &config.meters {
        add(&meter_path(&m.name), &format!("{}今日电量", m.title.zh), &format!("{} today", m.title.en), "kWh", 1);
    }
    if !config.activities.is_empty() {
        add(path::CARBON, "今日碳排放（不含工艺气体）", "Emission today without process gases", "kg CO2e", 1);
        add(path::CARBON_AVOIDED, "今日上网减排（备查，不抵扣）", "Avoided by feed-in today (memo)", "kg CO2e", 1);
    }
    if config.activities.iter().any(|a| a.gwp.is_some()) {
        add(path::CARBON_SEPARATE, "今日工艺气体排放", "Emission of process gases today", "kg CO2e", 1);
    }
    for a in &config.activities {
        let (zh, en) = (format!("{}今日碳排放", a.title.zh), format!("{}: emission today", a.title.en));
        add(&activity_path(&a.name), &zh, &en, "kg CO2e", 1);
    }
    add(path::ISSUES, "今日计量异常数", "Metering issues today", "", 0);
    for tag in &mut tags {
        if tag.path == path::TIER {
            tag.value_type = ValueType::Int;
            tag.states = (0..).zip(config.tariff.tiers.iter().map(|t| t.title.clone())).collect();
        } else if tag.path == path::ISSUES {
            tag.value_type = ValueType::Int;
        }
    }
    tags
}
