//! Units of tags: a closed list, so that a misspelt unit is found and two spellings of one unit are the same.

use std::fmt;

/// Canonical spelling and other spellings taken for it.
const UNITS: &[(&str, &[&str])] = &[
    ("", &["1", "-"]),
    ("%", &["percent"]),
    ("mg/L", &["mg/l", "g/m3", "g/m³"]),
    ("ug/L", &["ug/l", "µg/L"]),
    ("kg/m3", &["kg/m³", "g/L"]),
    ("mol/m3", &["mol/m³", "mmol/L"]),
    ("mol/mol", &[]),
    ("kg/kg", &[]),
    ("m3/h", &["m³/h"]),
    ("m3/d", &["m³/d"]),
    ("m3/s", &["m³/s"]),
    ("L/h", &["l/h"]),
    ("L/s", &["l/s"]),
    ("Nm3/h", &["Nm³/h"]),
    ("m3", &["m³"]),
    ("Nm3", &["Nm³"]),
    ("L", &["l"]),
    ("kg", &[]),
    ("t", &[]),
    ("g", &[]),
    ("kg/h", &[]),
    ("kg/d", &[]),
    ("kg/s", &[]),
    ("kW", &[]),
    ("W", &[]),
    ("MW", &[]),
    ("kvar", &[]),
    ("kVA", &[]),
    ("kWh", &[]),
    ("MWh", &[]),
    ("kvarh", &[]),
    ("GJ", &[]),
    ("MJ", &[]),
    ("kJ", &[]),
    ("V", &[]),
    ("A", &[]),
    ("mA", &[]),
    ("Hz", &[]),
    ("rpm", &[]),
    ("degC", &["°C", "℃"]),
    ("K", &[]),
    ("degC/h", &["°C/h"]),
    ("kPa", &[]),
    ("bar", &[]),
    ("Pa", &[]),
    ("mbar", &[]),
    ("m", &[]),
    ("mm", &[]),
    ("m2", &["m²"]),
    ("m/s", &[]),
    ("mm/s", &[]),
    ("s", &[]),
    ("ms", &[]),
    ("us", &["µs"]),
    ("min", &[]),
    ("h", &[]),
    ("d", &[]),
    ("1/d", &[]),
    ("1/h", &[]),
    ("1/min", &[]),
    ("1/s", &[]),
    ("NTU", &[]),
    ("pH", &[]),
    ("mS/cm", &[]),
    ("mV", &[]),
    ("kWh/m3", &["kWh/m³"]),
    ("kWh/kg", &[]),
    ("kg CO2e", &["kgCO2e"]),
    ("t CO2e", &["tCO2e"]),
    ("kg CO2e/kWh", &["kgCO2e/kWh"]),
    ("kg CO2e/m3", &["kgCO2e/m3"]),
    ("kg CO2e/h", &[]),
    ("kg CO2e/kg", &[]),
    ("CNY", &["元"]),
    ("CNY/kWh", &["元/kWh"]),
    ("CNY/h", &[]),
    ("W/m2", &["W/m²"]),
    ("samples", &[]),
    ("B", &["bytes"]),
    ("starts/h", &[]),
    ("Nm3/h per mg/L", &[]),
    ("% per mg/L", &[]),
    ("% per kPa", &[]),
    ("% per Nm3/h", &[]),
    ("mg/L per mg/L", &[]),
    ("kPa/%", &["kPa per %"]),
    ("L/h per mg/L", &[]),
    ("%/s", &[]),
    ("Nm3/h/s", &[]),
    ("kg/L", &[]),
];

/// A known unit in its canonical spelling. Two units are the same only when they are equal: nothing is converted silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit(&'static str);

/// A spelling that is no unit of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a known unit")]
pub struct UnknownUnit {
    /// The spelling found.
    pub text: String,
}

impl Unit {
    /// No unit: counts, ratios, switches.
    pub const NONE: Unit = Unit("");

    /// Whatever unit stands on the other side: for ports of programs that are written for no unit in particular. No tag
    /// has it, and no spelling parses to it.
    pub const ANY: Unit = Unit("any");

    /// The unit of that spelling.
    ///
    /// # Errors
    /// When the spelling is not in the list.
    pub fn parse(text: &str) -> Result<Unit, UnknownUnit> {
        let text = text.trim();
        UNITS
            .iter()
            .find(|(name, aliases)| *name == text || aliases.contains(&text))
            .map(|(name, _)| Unit(name))
            .ok_or_else(|| UnknownUnit { text: text.to_owned() })
    }

    /// The canonical spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Every canonical spelling, for hints and for the editor's schema.
    pub fn all() -> impl Iterator<Item = &'static str> {
        UNITS.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn spellings_of_one_unit_meet_and_no_spelling_is_taken_twice() {
        assert_eq!(Unit::parse("g/m3"), Unit::parse("mg/L"));
        assert_eq!(Unit::parse(" °C ").unwrap().as_str(), "degC");
        assert!(Unit::parse("mg/Liter").is_err() && Unit::parse("any").is_err());
        let mut seen = HashSet::new();
        for (name, aliases) in UNITS {
            for spelling in std::iter::once(name).chain(*aliases) {
                assert!(seen.insert(*spelling), "{spelling} stands twice");
            }
        }
    }
}
