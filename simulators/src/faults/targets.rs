//! Names a fault can be aimed at, and the nearest of them to a mistyped one.

use super::{Actuator, PlantPart, Pump};
pub(crate) use crate::config::OPCUA_DEVICE as OPCUA;
pub use crate::devices::power_meters::METERS;
use crate::devices::{aeration, dosing, heat_pump, inverter, power_meters, sunspec};

/// Pumps by name.
pub const PUMPS: [(&str, Pump); 5] = [
    ("pac", Pump::Pac),
    ("carbon", Pump::Carbon),
    ("naclo", Pump::Naclo),
    ("recycle", Pump::Recycle),
    ("ras", Pump::Ras),
];

/// Properties of a plant by name.
pub const PLANT_PARTS: [(&str, PlantPart); 5] = [
    ("alpha", PlantPart::Alpha),
    ("growth", PlantPart::Growth),
    ("efficacy", PlantPart::Efficacy),
    ("phosphate", PlantPart::Phosphate),
    ("hypochlorite", PlantPart::Hypochlorite),
];

/// Actuators of the benchmark, and pumps of the works, by name.
pub const ACTUATORS: [(&str, Actuator); 17] = [
    ("kla", Actuator("kla")),
    ("kla1", Actuator("kla1")),
    ("kla2", Actuator("kla2")),
    ("kla3", Actuator("kla3")),
    ("kla4", Actuator("kla4")),
    ("kla5", Actuator("kla5")),
    ("internal", Actuator("internal")),
    ("ras", Actuator("ras")),
    ("was", Actuator("was")),
    ("carbon", Actuator("carbon")),
    ("carbon1", Actuator("carbon1")),
    ("carbon2", Actuator("carbon2")),
    ("carbon3", Actuator("carbon3")),
    ("carbon4", Actuator("carbon4")),
    ("carbon5", Actuator("carbon5")),
    ("pac", Actuator("pac")),
    ("naclo", Actuator("naclo")),
];

/// Name of a meter.
#[must_use]
pub fn meter_name(feeder: crate::plant::Feeder) -> &'static str {
    METERS.iter().find(|(_, f)| *f == feeder).map_or("", |(name, _)| name)
}

/// Name of a pump.
#[must_use]
pub fn pump_name(pump: Pump) -> &'static str {
    PUMPS.iter().find(|(_, p)| *p == pump).map_or("", |(name, _)| name)
}

/// Name of a property of a plant.
#[must_use]
pub fn part_name(part: PlantPart) -> &'static str {
    PLANT_PARTS.iter().find(|(_, p)| *p == part).map_or("", |(name, _)| name)
}

/// Measured quantities of the works with an instrument, by tag.
pub const QUANTITIES: [&str; 105] = [
    "aer/z3/do",
    "aer/z4/do",
    "aer/z5/do",
    "aer/z5/nh4",
    "aer/z2/no3",
    "aer/z3/air",
    "aer/z4/air",
    "aer/z5/air",
    "aer/z3/valve/pos",
    "aer/z4/valve/pos",
    "aer/z5/valve/pos",
    "aer/header/pressure",
    "aer/b1/speed",
    "aer/b2/speed",
    "aer/b3/speed",
    "aer/b1/power",
    "aer/b2/power",
    "aer/b3/power",
    "aer/water/temp",
    "inf/flow",
    "inf/nh4",
    "aer/recycle/flow",
    "aer/mlss",
    "inf/cod",
    "aer/b1/surge_margin",
    "aer/b2/surge_margin",
    "aer/b3/surge_margin",
    "aer/b1/starts",
    "aer/b2/starts",
    "aer/b3/starts",
    "dos/po4/in",
    "dos/po4/out",
    "dos/pac/flow",
    "dos/carbon/flow",
    "dos/naclo/flow",
    "dos/pac/level",
    "dos/carbon/level",
    "dos/naclo/level",
    "dos/cl2/residual",
    "dos/tp/out",
    "dos/pac5/flow",
    "dos/pac5/level",
    "pv/power",
    "pv/dc_power",
    "pv/irradiance",
    "pv/module_temp",
    "pv/freq",
    "met/grid/power",
    "met/grid/reactive",
    "met/grid/voltage",
    "met/grid/current",
    "met/grid/freq",
    "met/grid/pf",
    "met/blowers/power",
    "met/blowers/reactive",
    "met/blowers/voltage",
    "met/blowers/current",
    "met/blowers/freq",
    "met/blowers/pf",
    "met/pumps/power",
    "met/pumps/reactive",
    "met/pumps/voltage",
    "met/pumps/current",
    "met/pumps/freq",
    "met/pumps/pf",
    "met/heat_pump/power",
    "met/heat_pump/reactive",
    "met/heat_pump/voltage",
    "met/heat_pump/current",
    "met/heat_pump/freq",
    "met/heat_pump/pf",
    "met/aux/power",
    "met/aux/reactive",
    "met/aux/voltage",
    "met/aux/current",
    "met/aux/freq",
    "met/aux/pf",
    "met/pv/power",
    "met/pv/reactive",
    "met/pv/voltage",
    "met/pv/current",
    "met/pv/freq",
    "met/pv/pf",
    "hp/source/temp_in",
    "hp/source/temp_out",
    "hp/supply/temp",
    "hp/return/temp",
    "hp/tank/temp",
    "hp/outdoor/temp",
    "hp/source/flow",
    "hp/power",
    "hp/heat",
    "hp/demand",
    "eff/flow",
    "eff/nh4",
    "eff/cod",
    "eff/tn",
    "eff/tss",
    "eff/ph",
    "eff/temp",
    "slu/ras/flow",
    "slu/was/flow",
    "slu/blanket",
    "slu/ras/tss",
    "slu/dewater/power",
];

/// Measured quantities of the benchmark that the works do not have, by tag.
pub const BENCHMARK_QUANTITIES: [&str; 21] = [
    "t1/do",
    "t2/do",
    "t3/do",
    "t4/do",
    "t5/do",
    "t2/no3",
    "t5/no3",
    "t1/nh4",
    "t5/nh4",
    "t5/alk",
    "t5/mlss",
    "ras/tss",
    "eff/no3",
    "t1/kla",
    "t2/kla",
    "t3/kla",
    "t4/kla",
    "t5/kla",
    "internal/flow",
    "ras/flow",
    "was/flow",
];

/// Measured quantities of both plants, by tag.
pub fn quantities() -> impl Iterator<Item = &'static str> + Clone {
    QUANTITIES.into_iter().chain(BENCHMARK_QUANTITIES)
}

/// Modbus units of a device; none for the OPC UA device.
#[must_use]
pub fn units(device: &str) -> Vec<u8> {
    match device {
        "aeration_plc" => vec![aeration::UNIT],
        "dosing_skid" => vec![dosing::UNIT],
        "pv_inverter" => vec![inverter::UNIT, sunspec::meter::UNIT],
        "power_meters" => power_meters::UNITS.iter().map(|(unit, _)| *unit).collect(),
        "heat_pump" => vec![heat_pump::UNIT],
        "bsm1_plc" => vec![crate::bsm1::points::UNIT],
        _ => Vec::new(),
    }
}

/// The candidate with the fewest changed letters; the first of them where several are as near.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates.into_iter().min_by_key(|candidate| distance(word, candidate)).unwrap_or_default()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("aer/z5/nh3", QUANTITIES), "aer/z5/nh4");
        assert_eq!(nearest("reycle", PUMPS.map(|(name, _)| name)), "recycle");
    }
}
