//! Units as OPC UA names them: codes of UNECE Recommendation 20 (part 8, 5.6.3.3).

use opcua::types::EUInformation;

/// Namespace of the codes.
const UNECE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";
/// Namespace of units that have no code.
const OWN: &str = "urn:penstock:units";

/// Our canonical spelling and the common code. What is missing here has none, or none that is beyond doubt.
const CODES: &[(&str, &str)] = &[
    ("%", "P1"),
    ("mg/L", "M1"),
    ("ug/L", "H29"),
    ("kg/m3", "KMQ"),
    ("kg/L", "B35"),
    ("mol/m3", "C36"),
    ("m3/h", "MQH"),
    ("m3/d", "G52"),
    ("m3/s", "MQS"),
    ("L/h", "E32"),
    ("L/s", "G51"),
    ("m3", "MTQ"),
    ("L", "LTR"),
    ("kg", "KGM"),
    ("t", "TNE"),
    ("g", "GRM"),
    ("kg/h", "E93"),
    ("kg/d", "F30"),
    ("kg/s", "KGS"),
    ("kW", "KWT"),
    ("W", "WTT"),
    ("MW", "MAW"),
    ("kvar", "KVR"),
    ("kVA", "KVA"),
    ("kWh", "KWH"),
    ("MWh", "MWH"),
    ("kvarh", "K3"),
    ("GJ", "GV"),
    ("MJ", "3B"),
    ("kJ", "KJO"),
    ("V", "VLT"),
    ("mV", "2Z"),
    ("A", "AMP"),
    ("mA", "4K"),
    ("Hz", "HTZ"),
    ("rpm", "RPM"),
    ("degC", "CEL"),
    ("K", "KEL"),
    ("degC/h", "H12"),
    ("kPa", "KPA"),
    ("Pa", "PAL"),
    ("bar", "BAR"),
    ("mbar", "MBR"),
    ("m", "MTR"),
    ("mm", "MMT"),
    ("m2", "MTK"),
    ("m/s", "MTS"),
    ("mm/s", "C16"),
    ("s", "SEC"),
    ("ms", "C26"),
    ("us", "B98"),
    ("min", "MIN"),
    ("h", "HUR"),
    ("d", "DAY"),
    ("1/d", "E91"),
    ("1/h", "H10"),
    ("1/min", "C94"),
    ("1/s", "C97"),
    ("pH", "Q30"),
    ("mS/cm", "H61"),
    ("W/m2", "D54"),
    ("kWh/m3", "E46"),
    ("B", "AD"),
];

/// The characters of a code as one number.
fn id(code: &str) -> i32 {
    code.bytes().fold(0, |id, byte| (id << 8) | i32::from(byte))
}

/// A unit as clients read it; -1 where it has no code.
pub(crate) fn information(unit: &str) -> EUInformation {
    let code = CODES.iter().find(|(ours, _)| *ours == unit).map(|(_, code)| *code);
    EUInformation {
        namespace_uri: if code.is_some() { UNECE } else { OWN }.into(),
        unit_id: code.map_or(-1, id),
        display_name: unit.into(),
        description: unit.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::Unit;

    #[test]
    fn codes_are_numbers_of_their_letters_and_every_unit_is_ours() {
        // Examples of part 8: degree Celsius and metre.
        assert_eq!(information("degC").unit_id, 4_408_652);
        assert_eq!(information("m").unit_id, 5_067_858);
        assert_eq!(information("NTU").unit_id, -1);
        for (unit, code) in CODES {
            assert_eq!(Unit::parse(unit).unwrap().as_str(), *unit, "a canonical spelling");
            assert!((2..=3).contains(&code.len()), "{code}");
            assert_eq!(CODES.iter().filter(|(_, c)| c == code).count(), 1, "{code} stands twice");
        }
    }
}
