//! Units of the models, and what they are in the units of tags.

type Row = (&'static str, Option<&'static str>, &'static [(&'static str, f64)]);

/// One row per unit of the definitions: our own unit of the same size first, where there is one, then others with their
/// factor.
const UNITS: [Row; 15] = [
    ("", Some(""), &[("%", 100.0)]),
    ("A", Some("A"), &[("mA", 1000.0)]),
    ("V", Some("V"), &[("mV", 1000.0)]),
    ("W", Some("W"), &[("kW", 0.001), ("MW", 0.000_001)]),
    ("VA", None, &[("kVA", 0.001)]),
    ("var", None, &[("kvar", 0.001)]),
    ("Wh", None, &[("kWh", 0.001), ("MWh", 0.000_001)]),
    ("VAh", None, &[]),
    ("varh", None, &[("kvarh", 0.001)]),
    ("Ah", None, &[]),
    ("Hz", Some("Hz"), &[]),
    ("Pct", Some("%"), &[("", 0.01)]),
    ("Pct/s", Some("%/s"), &[]),
    ("C", Some("degC"), &[]),
    ("Secs", Some("s"), &[("min", 1.0 / 60.0), ("h", 1.0 / 3600.0)]),
];

/// What a value in a unit of a model is multiplied by for a tag of this unit; a model's unit that tags do not have is
/// taken over as it is by a tag without unit. `None` where the two are different quantities.
#[must_use]
pub fn factor(of_model: &str, of_tag: &str) -> Option<f64> {
    let (_, same, others) = UNITS.iter().find(|row| row.0 == of_model)?;
    if same.or(others.is_empty().then_some("")) == Some(of_tag) {
        return Some(1.0);
    }
    others.iter().find(|(unit, _)| *unit == of_tag).map(|(_, factor)| *factor)
}

/// The units a tag may have for a unit of a model.
#[must_use]
pub fn fitting(of_model: &str) -> Vec<&'static str> {
    let row = UNITS.iter().find(|row| row.0 == of_model);
    row.map_or(Vec::new(), |(_, same, others)| {
        same.iter().copied().chain(others.iter().map(|(unit, _)| *unit)).filter(|unit| !unit.is_empty()).collect()
    })
}

/// The unit a tag gets that names none: the same, or the nearest there is.
#[must_use]
pub fn own(of_model: &str) -> Option<&'static str> {
    let (_, same, others) = UNITS.iter().find(|row| row.0 == of_model)?;
    same.or_else(|| others.first().map(|(unit, _)| *unit)).filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sunspec::models::Model;
    use penstock_model::Unit;

    #[test]
    fn every_unit_of_a_model_is_known_and_fits_units_of_tags() {
        for model in Model::all() {
            let repeated = model.repeats.map_or(&[][..], |(_, rows)| rows);
            for row in model.points.iter().chain(repeated) {
                assert!(UNITS.iter().any(|known| known.0 == row.unit), "{}.{}: {}", model.id, row.name, row.unit);
            }
        }
        for (of_model, _, _) in UNITS {
            for unit in fitting(of_model).into_iter().chain(own(of_model)) {
                assert_eq!(Unit::parse(unit).map(|u| u.to_string()), Ok(unit.to_owned()));
            }
        }
        assert_eq!((factor("W", "kW"), factor("W", "W"), factor("W", "kWh")), (Some(0.001), Some(1.0), None));
        assert_eq!((factor("VAh", ""), factor("Wh", ""), factor("W", "")), (Some(1.0), None, None));
        assert_eq!((own("W"), own("Wh"), own("VAh"), own("")), (Some("W"), Some("kWh"), None, None));
        assert_eq!((factor("Pct", "%"), factor("Pct", ""), factor("", "%")), (Some(1.0), Some(0.01), Some(100.0)));
    }
}
