//! From a counted quantity to kg CO2e: the unit algebra of factors and the choice of their edition.
//!
//! `kg CO2e = quantity × factor [× molar ratio × GWP]`. Sources of the formulae: electricity `E_imp · EF_grid`; chemicals
//! `m_product · EF`; N2O of treatment `TN · EF · 44/28 · GWP` (2019 Refinement to the 2006 IPCC Guidelines, volume 5,
//! equation 6.9).

use crate::config::{ActivityDef, Factor};
use jiff::civil::Date;

/// Gases whose factors are given by their nitrogen or carbon: (spelling, gas, molar mass ratio).
const MOLAR: &[(&str, &str, f64)] = &[("N2O-N", "N2O", 44.0 / 28.0), ("CH4-C", "CH4", 16.0 / 12.0)];
const MASS: &[(&str, f64)] = &[("kg", 1.0), ("t", 1_000.0), ("g", 0.001)];

/// A factor's unit, taken apart: `scale` kg of `out` per one `per`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactorUnit {
    /// `CO2e`, `N2O`, `N2O-N`, `CH4`.
    pub out: String,
    /// `kWh`, `m3`, `kg`, `kg N`.
    pub per: String,
    /// To kg per base unit.
    pub scale: f64,
}

impl FactorUnit {
    pub(crate) fn parse(unit: &str) -> Result<FactorUnit, String> {
        let bad = || format!("unit `{unit}` is not of the form `kg CO2e/kWh`");
        let (out, per) = unit.split_once('/').ok_or_else(bad)?;
        let (out_scale, out) = mass(out.trim()).ok_or_else(bad)?;
        // Published grid factors count CO2 alone: its warming potential is 1 by definition.
        let out = if out == "CO2" { "CO2e".to_owned() } else { out };
        let per = per.trim();
        let (per_scale, per) = match per {
            "kWh" | "m3" => (1.0, per.to_owned()),
            "MWh" => (1_000.0, "kWh".to_owned()),
            _ => {
                let (scale, substance) = mass(per).ok_or_else(bad)?;
                (scale, if substance.is_empty() { "kg".to_owned() } else { format!("kg {substance}") })
            }
        };
        if out.is_empty() {
            return Err(bad());
        }
        Ok(FactorUnit { out, per, scale: out_scale / per_scale })
    }
}

/// Splits `kg N`, `kgCO2e`, `t` into its scale to kg and the substance.
fn mass(text: &str) -> Option<(f64, String)> {
    MASS.iter().find_map(|(unit, scale)| {
        let rest = text.strip_prefix(unit)?;
        let word = rest.trim_start();
        let fits = word.is_empty() || rest.len() > word.len() || word.starts_with(|c: char| c.is_ascii_uppercase());
        (fits && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')).then(|| (*scale, word.to_owned()))
    })
}

/// What one unit of an activity's quantity emits, and by which records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Emission {
    /// Index of the factor in the registry.
    pub factor: usize,
    /// Index of the warming potential.
    pub gwp: Option<usize>,
    /// kg CO2e per unit of the quantity.
    pub kg_per_unit: f64,
    /// With the factor's lower bound.
    pub lower: Option<f64>,
    /// With the factor's upper bound.
    pub upper: Option<f64>,
}

/// The emission of an activity on a local date.
pub(crate) fn emission(activity: &ActivityDef, factors: &[Factor], date: Date) -> Result<Emission, String> {
    let pick = |id: &str| {
        edition(factors, id, date).ok_or_else(|| format!("activity `{}` names unknown factor `{id}`", activity.name))
    };
    let factor = pick(&activity.factor)?;
    let gwp = activity.gwp.as_deref().map(pick).transpose()?;
    chain(activity, factors, factor, gwp)
}

/// Errors of every combination of editions an activity could use.
pub(crate) fn check_chain(activity: &ActivityDef, factors: &[Factor]) -> Vec<String> {
    let all = |id: &str| (0..factors.len()).filter(|i| factors[*i].id == id).collect::<Vec<_>>();
    let mut errors = Vec::new();
    for id in std::iter::once(&activity.factor).chain(&activity.gwp) {
        if all(id).is_empty() {
            errors.push(format!("activity `{}` names unknown factor `{id}`", activity.name));
        }
    }
    for factor in all(&activity.factor) {
        let gwps = match &activity.gwp {
            None => vec![None],
            Some(id) => all(id).into_iter().map(Some).collect(),
        };
        errors.extend(gwps.into_iter().filter_map(|gwp| chain(activity, factors, factor, gwp).err()));
    }
    errors
}

fn chain(activity: &ActivityDef, factors: &[Factor], factor: usize, gwp: Option<usize>) -> Result<Emission, String> {
    let f = &factors[factor];
    let unit = FactorUnit::parse(&f.unit)?;
    let counted = activity.quantity.unit();
    let named = format!("activity `{}`, factor `{}` edition `{}`", activity.name, f.id, f.edition);
    if unit.per != counted {
        return Err(format!("{named}: the factor is per {} (`{}`), the activity counts {counted}", unit.per, f.unit));
    }
    let mut scale = unit.scale;
    match gwp {
        None if unit.out != "CO2e" => {
            return Err(format!("{named}: it gives kg {}, and the activity names no `gwp`", unit.out));
        }
        None => {}
        Some(index) => {
            let g = &factors[index];
            let gwp_unit = FactorUnit::parse(&g.unit)?;
            let molar = MOLAR.iter().find(|(spelling, _, _)| *spelling == unit.out);
            let (gas, ratio) = molar.map_or((unit.out.as_str(), 1.0), |(_, gas, ratio)| (*gas, *ratio));
            if gwp_unit.out != "CO2e" || gwp_unit.per != format!("kg {gas}") {
                let (id, unit) = (&g.id, &g.unit);
                return Err(format!("{named}: `{id}` has the unit `{unit}`, needed is `kg CO2e/kg {gas}`"));
            }
            scale *= ratio * g.value * gwp_unit.scale;
        }
    }
    let times = |bound: Option<f64>| bound.map(|b| b * scale);
    Ok(Emission { factor, gwp, kg_per_unit: f.value * scale, lower: times(f.lower), upper: times(f.upper) })
}

/// The edition in force on a date: the latest begun; before the first one began, the first.
fn edition(factors: &[Factor], id: &str, date: Date) -> Option<usize> {
    let from = |f: &Factor| f.valid_from.as_ref().and_then(|d| d.parse::<Date>().ok()).unwrap_or(Date::MIN);
    let of_id = || factors.iter().enumerate().filter(|(_, f)| f.id == id);
    let begun = of_id().filter(|(_, f)| from(f) <= date).max_by_key(|(_, f)| from(f));
    begun.or_else(|| of_id().min_by_key(|(_, f)| from(f))).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Quantity;
    use penstock_model::Text;

    fn factor(id: &str, edition: &str, value: f64, unit: &str, from: Option<&str>) -> Factor {
        let (id, edition, unit) = (id.to_owned(), edition.to_owned(), unit.to_owned());
        let valid_from = from.map(str::to_owned);
        Factor { id, edition, value, unit, source: "test".into(), valid_from, lower: None, upper: None }
    }

    fn activity(quantity: Quantity, factor: &str, gwp: Option<&str>) -> ActivityDef {
        let title = Text::same("x");
        ActivityDef { name: "x".into(), title, scope: 1, factor: factor.into(), gwp: gwp.map(str::to_owned), quantity }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn units_are_taken_apart_whatever_their_spelling() {
        for (text, out, per, scale) in [
            ("kg CO2e/kWh", "CO2e", "kWh", 1.0),
            ("kgCO2/kWh", "CO2e", "kWh", 1.0),
            ("t CO2e/MWh", "CO2e", "kWh", 1.0),
            ("t CO2e/t", "CO2e", "kg", 1.0),
            ("g CO2e/kg", "CO2e", "kg", 0.001),
            ("kg N2O-N/kg N", "N2O-N", "kg N", 1.0),
            ("kg CO2e/kg N2O", "CO2e", "kg N2O", 1.0),
            ("kg CO2e/m3", "CO2e", "m3", 1.0),
        ] {
            let unit = FactorUnit::parse(text).unwrap();
            assert_eq!((unit.out.as_str(), unit.per.as_str(), unit.scale), (out, per, scale), "{text}");
        }
        for text in ["kg CO2e", "CO2e/kWh", "kg/kWh", "kg CO2e/hour", "kg CO2e/kWh/m3", "tonne CO2e/kWh", ""] {
            assert!(FactorUnit::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_golden_lines_come_out() {
        let mut n2o = factor("n2o", "2019R", 0.016, "kg N2O-N/kg N", None);
        (n2o.lower, n2o.upper) = (Some(0.00016), Some(0.045));
        let factors = [
            factor("grid", "2023", 0.6191, "kg CO2/kWh", None),
            factor("pac", "x", 1.62, "kg CO2e/kg", None),
            factor("acetate", "x", 2.90, "t CO2e/t", None),
            n2o,
            factor("gwp-n2o", "AR6", 273.0, "kg CO2e/kg N2O", None),
        ];
        let mass = || Quantity::MassRateTag { tag: "t".into() };
        let load = Quantity::Load { flow_tag: "q".into(), concentration_tag: "c".into(), substance: "N".into() };
        let rows = [
            (activity(Quantity::MeterImport("grid".into()), "grid", None), 5_430_000.0, 3_361.71),
            (activity(mass(), "pac", None), 547_500.0, 886.95),
            (activity(mass(), "acetate", None), 365_000.0, 1_058.50),
            (activity(load.clone(), "n2o", Some("gwp-n2o")), 730_000.0, 5_010.72),
        ];
        for (activity, quantity, tonnes) in rows {
            let e = emission(&activity, &factors, day("2026-11-22")).unwrap();
            assert!((e.kg_per_unit * quantity / 1000.0 - tonnes).abs() < 0.006, "{} {quantity}", activity.factor);
        }
        let e = emission(&activity(load, "n2o", Some("gwp-n2o")), &factors, day("2026-11-22")).unwrap();
        let tonnes = |per_unit: Option<f64>| (per_unit.unwrap() * 730_000.0 / 1000.0).round();
        assert_eq!((tonnes(e.lower), tonnes(e.upper)), (50.0, 14_093.0));
    }

    #[test]
    fn a_wrong_pairing_is_refused_and_names_factor_and_activity() {
        let factors = [
            factor("grid", "2023", 0.6191, "kg CO2e/kWh", None),
            factor("n2o", "x", 0.016, "kg N2O-N/kg N", None),
            factor("gwp-ch4", "AR6", 27.0, "kg CO2e/kg CH4", None),
        ];
        let mass = Quantity::MassRateTag { tag: "t".into() };
        let load = Quantity::Load { flow_tag: "q".into(), concentration_tag: "c".into(), substance: "N".into() };
        for (activity, says) in [
            (activity(mass.clone(), "grid", None), "`x`, factor `grid` edition `2023`: the factor is per kWh"),
            (activity(mass, "none", None), "`x` names unknown factor `none`"),
            (activity(load.clone(), "n2o", None), "names no `gwp`"),
            (activity(load, "n2o", Some("gwp-ch4")), "needed is `kg CO2e/kg N2O`"),
        ] {
            let errors = check_chain(&activity, &factors);
            assert!(errors.len() == 1 && errors[0].contains(says), "{errors:?}");
        }
    }

    #[test]
    fn the_edition_in_force_on_the_day_is_used() {
        let factors = [
            factor("grid", "2023", 0.6191, "kg CO2e/kWh", Some("2025-12-31")),
            factor("grid", "2022", 0.6410, "kg CO2e/kWh", Some("2024-12-20")),
        ];
        let of = |date: &str| edition(&factors, "grid", day(date)).map(|i| factors[i].edition.as_str());
        assert_eq!(of("2025-12-30"), Some("2022"));
        assert_eq!(of("2025-12-31"), Some("2023"));
        assert_eq!(of("2020-01-01"), Some("2022"), "before the first, the first");
    }
}
