//! The site's streams, laid out from its configuration: which input feeds which, and who uses them.

use crate::carbon::{self, Emission};
use crate::config::{FlowKind, LedgerConfig, MeterKind, Quantity};
use crate::register::Rules;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use penstock_model::{BadReason, Quality, Sample};

/// The configuration with everything that is derived from it once.
#[derive(Debug)]
pub(crate) struct Book {
    pub config: LedgerConfig,
    pub zone: TimeZone,
    pub streams: Vec<Stream>,
    /// Per meter: its import and export streams.
    pub meters: Vec<(usize, Option<usize>)>,
    pub flow: Option<usize>,
    /// Per activity: the stream it counts.
    pub activities: Vec<usize>,
}

/// One register or one integrated rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stream {
    /// Its key in files: `meter:grid:import`, `flow`, `activity:pac`.
    pub key: String,
    pub input: Input,
    /// Unit of its amount.
    pub unit: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Register {
        tag: String,
        rules: Rules,
    },
    /// Amount per hour = tag × scale.
    Rate {
        tag: String,
        scale: f64,
    },
    /// Amount per hour = flow × concentration × scale.
    Product {
        flow: String,
        concentration: String,
        scale: f64,
    },
}

impl Input {
    pub(crate) fn is_register(&self) -> bool {
        matches!(self, Self::Register { .. })
    }

    /// A rate now, per hour, with the quality of its inputs.
    pub(crate) fn rate(&self, read: &dyn Fn(&str) -> Option<Sample>) -> (Option<f64>, Quality) {
        let one = |tag: &str| match read(tag) {
            Some(s) => (s.usable_f64(), s.quality),
            None => (None, Quality::Bad(BadReason::Configuration)),
        };
        match self {
            Self::Register { .. } => (None, Quality::Bad(BadReason::Configuration)),
            Self::Rate { tag, scale } => {
                let (value, quality) = one(tag);
                (value.map(|v| v * scale), quality)
            }
            Self::Product { flow, concentration, scale } => {
                let ((q, a), (c, b)) = (one(flow), one(concentration));
                (q.zip(c).map(|(q, c)| q * c * scale), a.worst(b))
            }
        }
    }
}

impl Book {
    /// Lays out a checked configuration.
    pub(crate) fn new(config: LedgerConfig, zone: TimeZone) -> Book {
        let mut streams: Vec<Stream> = Vec::new();
        let mut add = |key: String, input: Input, unit: &'static str| {
            streams.push(Stream { key, input, unit });
            streams.len() - 1
        };
        let mut meters = Vec::new();
        for m in &config.meters {
            let rules = Rules { rollover: m.rollover_kwh, rate_max: m.power_kw_max };
            let mut register = |tag: &String, way: &str| {
                add(format!("meter:{}:{way}", m.name), Input::Register { tag: tag.clone(), rules }, "kWh")
            };
            let import = register(&m.import_tag, "import");
            meters.push((import, m.export_tag.as_ref().map(|tag| register(tag, "export"))));
        }
        let flow = config.flow_meter.as_ref().map(|tag| {
            let input = match config.flow_kind {
                FlowKind::Rate => Input::Rate { tag: tag.clone(), scale: 1.0 },
                FlowKind::Total { rollover_m3, m3_h_max } => {
                    Input::Register { tag: tag.clone(), rules: Rules { rollover: rollover_m3, rate_max: m3_h_max } }
                }
            };
            add("flow".to_owned(), input, "m3")
        });
        let mut activities = Vec::new();
        for a in &config.activities {
            let key = format!("activity:{}", a.name);
            activities.push(match &a.quantity {
                Quantity::MeterImport(meter) => {
                    let index = config.meters.iter().position(|m| m.name == *meter).unwrap_or_default();
                    meters[index].0
                }
                Quantity::MassRateTag { tag } => add(key, Input::Rate { tag: tag.clone(), scale: 1.0 }, "kg"),
                Quantity::VolumeFlowTag { tag, kg_per_l } => {
                    add(key, Input::Rate { tag: tag.clone(), scale: *kg_per_l }, "kg")
                }
                // m3/h × mg/L = g/h.
                Quantity::Load { flow_tag, concentration_tag, .. } => {
                    let (flow, concentration) = (flow_tag.clone(), concentration_tag.clone());
                    add(key, Input::Product { flow, concentration, scale: 0.001 }, "kg")
                }
            });
        }
        Book { config, zone, streams, meters, flow, activities }
    }

    /// The import (`export` false) or export streams of the meters of a kind.
    pub(crate) fn of_kind(&self, kind: MeterKind, export: bool) -> Vec<usize> {
        let meters = self.config.meters.iter().zip(&self.meters).filter(|(m, _)| m.kind == kind);
        meters.filter_map(|(_, (i, e))| if export { *e } else { Some(*i) }).collect()
    }

    /// Site time of a ledger time.
    pub(crate) fn local(&self, t: i64) -> jiff::civil::DateTime {
        let second = t.div_euclid(1_000_000_000);
        self.zone.to_datetime(jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Ledger time at which the local day begins that holds `t`; with `month`, the local month.
    pub(crate) fn begin_of(&self, t: i64, month: bool) -> i64 {
        let date = self.local(t).date();
        let date = if month { date.first_of_month() } else { date };
        // The civil day may begin later than 00:00 where the clock is put forward at midnight.
        let zoned = date.to_zoned(self.zone.clone());
        zoned.map_or(t, |z| z.timestamp().as_second().saturating_mul(1_000_000_000))
    }

    /// The tariff tier in force at a ledger time; none without tiers.
    pub(crate) fn tier(&self, t: i64) -> Option<usize> {
        let local = self.local(t);
        let month = u8::try_from(local.month()).unwrap_or(1);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        self.config.tariff.matches(month, minute).first().map(|p| p.tier)
    }

    /// What each activity emits per unit on a local date.
    pub(crate) fn emissions(&self, date: Date) -> Vec<Option<Emission>> {
        let of = |a| carbon::emission(a, &self.config.factors, date).ok();
        self.config.activities.iter().map(of).collect()
    }

    /// The rules and factors as kept in the chain.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        let c = &self.config;
        let meters: Vec<_> = c.meters.iter().map(|m| serde_json::json!({
            "name": m.name, "kind": m.kind.as_str(), "parent": m.parent, "import_tag": m.import_tag, "export_tag": m.export_tag,
            "rollover_kwh": m.rollover_kwh, "power_kw_max": m.power_kw_max,
        })).collect();
        let factors: Vec<_> = c
            .factors
            .iter()
            .map(|f| {
                serde_json::json!({
                    "id": f.id, "edition": f.edition, "value": f.value, "unit": f.unit, "source": f.source,
                    "valid_from": f.valid_from, "lower": f.lower, "upper": f.upper,
                })
            })
            .collect();
        let activities: Vec<_> = c.activities.iter().map(|a| serde_json::json!({
            "name": a.name, "scope": a.scope, "factor": a.factor, "gwp": a.gwp, "quantity": format!("{:?}", a.quantity),
        })).collect();
        let tiers: Vec<_> = c
            .tariff
            .tiers
            .iter()
            .map(|t| {
                serde_json::json!({
                    "name": t.name, "price_per_kwh": t.price_per_kwh,
                })
            })
            .collect();
        let periods: Vec<_> = c
            .tariff
            .periods
            .iter()
            .map(|p| {
                serde_json::json!({
                    "from_min": p.from_min, "to_min": p.to_min, "tier": p.tier, "months": p.months,
                })
            })
            .collect();
        serde_json::json!({
            "meters": meters, "factors": factors, "activities": activities, "time_zone": c.time_zone,
            "tariff": { "tiers": tiers, "periods": periods, "export_price": c.tariff.export_price, "currency": c.tariff.currency },
        })
    }
}
