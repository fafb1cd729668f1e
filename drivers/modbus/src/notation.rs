//! How other products write a place in a device, so that a list of points can be taken over as it is.
//!
//! | product | written | read as |
//! | --- | --- | --- |
//! | Ignition | `[PLC1]HR1`, `IR1`, `C1`, `DI1` | counted from 1, or from 0 where the device says `zero_based`; the name in brackets is dropped |
//! | Neuron | `1!400001`, `1!400001.3`, `1!400001#LB`, `1!400001.20H` | unit, bit, byte order, text of 20 bytes |
//! | EVA ICS | `h0`, `i0`, `d0`, `h0x1F`, `h0/3` | counted from 0 always; `/3` is bit 3 |
//! | PLC4X | `holding-register:1:REAL`, `coil:1` | counted from 1 always, with its type |
//! | OpenPLC | `%QX0.3`, `%IX0.3`, `%IW0`, `%QW0`, `%MW0`, `%MD0`, `%ML0` | as its own server lays them out |
//!
//! Whatever is accepted is stored as the protocol counts and shown in both forms. What two products read differently is
//! refused with both readings named.

use crate::address::{Address, AddressError, Area, parse_plain};
use crate::limits::TEXT_BYTES_WIRE_MAX;
use crate::wire::{ByteOrder, WireType};

/// What a notation says of a point beside its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: Address,
    /// The unit it names.
    pub unit: Option<u8>,
    /// The byte order it names.
    pub order: Option<ByteOrder>,
    /// The wire type it names.
    pub wire: Option<WireType>,
}

/// First holding register of the memory words of an OpenPLC server, and of its double and long words.
const OPENPLC_MEMORY: [(&str, u32, u32); 3] = [("MW", 1_024, 1), ("MD", 2_048, 2), ("ML", 4_096, 4)];

/// Reads a place in any notation. `zero_based` counts for those that leave it open: then `HR0` and `40000` are the first
/// holding register; otherwise `HR1` and `40001` are.
///
/// # Errors
/// When the text is in none of the notations, says two things at once, or lies outside the area. The hint says what to
/// write.
pub fn parse_place(text: &str, zero_based: bool) -> Result<Place, AddressError> {
    let fail = |hint: String| AddressError { text: text.to_owned(), hint };
    let mut rest = text.trim();
    let mut place =
        Place { address: Address { area: Area::Holding, pdu: 0, bit: None }, unit: None, order: None, wire: None };
    if let Some(inner) = rest.strip_prefix('[') {
        rest = inner.split_once(']').map(|(_, after)| after).ok_or_else(|| fail("`[` needs its `]`".to_owned()))?;
    }
    if let Some((unit, after)) = rest.split_once('!') {
        place.unit = Some(unit.trim().parse().map_err(|_| fail(format!("`{unit}!` names no unit from 0 to 255")))?);
        rest = after;
    }
    if let Some((before, order)) = rest.split_once('#') {
        let found = ByteOrder::parse(&format!("#{order}"));
        place.order = Some(found.map_err(|_| fail(format!("`#{order}` is no byte order; there are #BB #LB #BL #LL")))?);
        rest = before;
    }
    place.address = if let Some(iec) = rest.strip_prefix('%') {
        openplc(iec).map_err(fail)?
    } else if let Some((area, after)) = plc4x(rest) {
        let (number, wire) = after.split_once(':').map_or((after, None), |(n, w)| (n, Some(w)));
        place.wire = wire.map(|w| named_type(w).map_err(fail)).transpose()?;
        one_based(area, number).map_err(fail)?
    } else if let Some(address) = eva(rest) {
        address.map_err(fail)?
    } else {
        rest = neuron_text(rest, &mut place).map_err(fail)?;
        parse_plain(rest, zero_based).map_err(|e| fail(e.hint))?
    };
    Ok(place)
}

/// `h0`, `i0`, `d0`: one small letter, counted from 0, decimal or `0x` hexadecimal, with `/bit`.
fn eva(text: &str) -> Option<Result<Address, String>> {
    let letter = text.chars().next()?;
    let (body, bit) =
        text[letter.len_utf8()..].split_once('/').map_or((&text[letter.len_utf8()..], None), |(b, n)| (b, Some(n)));
    let number = match body.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) => body.parse().ok(),
        None => return None,
    };
    let area = match letter {
        'h' => Area::Holding,
        'i' => Area::Input,
        'd' => Area::Discrete,
        'c' => {
            let hint = number.map_or_else(
                || "write C1 (counted from 1) or 00001".to_owned(),
                |n| format!("one product counts `{text}` from 0, another from 1: write C{} or C{n}", n + 1),
            );
            return Some(Err(hint));
        }
        _ => return None,
    };
    let Some(pdu) = number.and_then(|n| u16::try_from(n).ok()) else {
        return Some(Err(format!("the last {area} is {letter}65535 here: this notation counts from 0")));
    };
    Some(bit_of(bit, area).map(|bit| Address { area, pdu, bit }))
}

fn bit_of(text: Option<&str>, area: Area) -> Result<Option<u8>, String> {
    match text {
        None => Ok(None),
        Some(_) if !area.is_register() => Err(format!("a {area} is a single bit")),
        Some(text) => match text.parse::<u8>() {
            Ok(bit) if bit <= 15 => Ok(Some(bit)),
            _ => Err("a bit of a register is 0 (lowest) to 15".to_owned()),
        },
    }
}

/// `holding-register:` and its like.
fn plc4x(text: &str) -> Option<(Area, &str)> {
    let (word, rest) = text.split_once(':')?;
    let area = match word.trim().to_ascii_lowercase().as_str() {
        "coil" => Area::Coil,
        "discrete-input" => Area::Discrete,
        "input-register" => Area::Input,
        "holding-register" => Area::Holding,
        _ => return None,
    };
    Some((area, rest.trim()))
}

fn named_type(text: &str) -> Result<WireType, String> {
    let (word, count) = text.trim().split_once('[').map_or((text.trim(), None), |(w, n)| (w, Some(n)));
    if count.is_some_and(|n| n != "1]") {
        return Err(format!("`{text}` is an array: write one point for each value"));
    }
    WireType::parse(word).map_err(|e| e.hint)
}

fn one_based(area: Area, number: &str) -> Result<Address, String> {
    let pdu = number.trim().parse::<u32>().ok().and_then(|n| n.checked_sub(1)).and_then(|n| u16::try_from(n).ok());
    let pdu =
        pdu.ok_or_else(|| format!("`{number}` is no number of a {area}; this notation counts from 1 to 65536"))?;
    Ok(Address { area, pdu, bit: None })
}

/// The located variables of an OpenPLC, as its Modbus server shows them.
fn openplc(text: &str) -> Result<Address, String> {
    let upper = text.trim().to_ascii_uppercase();
    let (kind, rest) = upper.split_at_checked(2).ok_or("write %QX0.3, %IX0.3, %IW0, %QW0, %MW0, %MD0 or %ML0")?;
    let whole = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` in `%{upper}` is no number"));
    let (area, number) = match kind {
        "QX" | "IX" => {
            let (byte, bit) =
                rest.split_once('.').ok_or_else(|| format!("`%{kind}` names a byte and a bit: %{kind}0.3"))?;
            let bit = whole(bit)?;
            if bit > 7 {
                return Err("a bit of a byte is 0 to 7".to_owned());
            }
            (if kind == "QX" { Area::Coil } else { Area::Discrete }, whole(byte)?.saturating_mul(8).saturating_add(bit))
        }
        "IW" => (Area::Input, whole(rest)?),
        "QW" => (Area::Holding, whole(rest)?),
        _ => {
            let row = OPENPLC_MEMORY.iter().find(|row| row.0 == kind);
            let (_, first, width) = row.ok_or("write %QX0.3, %IX0.3, %IW0, %QW0, %MW0, %MD0 or %ML0")?;
            (Area::Holding, whole(rest)?.saturating_mul(*width).saturating_add(*first))
        }
    };
    let pdu = u16::try_from(number).map_err(|_| format!("`%{upper}` lies beyond the last {area}"))?;
    Ok(Address { area, pdu, bit: None })
}

/// Takes `.20H` or `.20L` off: a text of 20 bytes, the high or the low byte of each register first.
fn neuron_text<'a>(text: &'a str, place: &mut Place) -> Result<&'a str, String> {
    let Some((before, length)) = text.rsplit_once('.') else { return Ok(text) };
    let Some(digits) = length.strip_suffix(['H', 'L']).filter(|d| !d.is_empty()) else { return Ok(text) };
    let bytes = digits.parse::<u16>().ok().filter(|n| (1..=TEXT_BYTES_WIRE_MAX).contains(n));
    let bytes = bytes.ok_or_else(|| format!("a text has 1 to {TEXT_BYTES_WIRE_MAX} bytes"))?;
    place.wire = Some(WireType::Text(bytes));
    if length.ends_with('L') {
        place.order = Some(ByteOrder::Badc);
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(area: Area, pdu: u16, bit: Option<u8>) -> Address {
        Address { area, pdu, bit }
    }

    #[test]
    fn every_notation_is_the_place_it_means() {
        let (h, i, c, d) = (Area::Holding, Area::Input, Area::Coil, Area::Discrete);
        for (text, want) in [
            ("40001", at(h, 0, None)),
            ("[PLC 1]HR1", at(h, 0, None)),
            ("[PLC 1]IR11.3", at(i, 10, Some(3))),
            ("1!400001", at(h, 0, None)),
            ("1!400001.3", at(h, 0, Some(3))),
            ("1!300011#LB", at(i, 10, None)),
            ("1!400001.20H", at(h, 0, None)),
            ("h0", at(h, 0, None)),
            ("h0x1F", at(h, 31, None)),
            ("i65535", at(i, 65_535, None)),
            ("d7", at(d, 7, None)),
            ("h2/15", at(h, 2, Some(15))),
            ("holding-register:1", at(h, 0, None)),
            ("holding-register:4:UINT", at(h, 3, None)),
            ("Input-Register:65536:REAL", at(i, 65_535, None)),
            ("coil:1", at(c, 0, None)),
            ("discrete-input:9:BOOL", at(d, 8, None)),
            ("%QX1.3", at(c, 11, None)),
            ("%IX100.0", at(d, 800, None)),
            ("%IW100", at(i, 100, None)),
            ("%QW7", at(h, 7, None)),
            ("%MW2", at(h, 1_026, None)),
            ("%MD2", at(h, 2_052, None)),
            ("%ml2", at(h, 4_104, None)),
        ] {
            assert_eq!(parse_place(text, false).map(|p| p.address), Ok(want), "{text}");
        }
        // What counts from 0 or 1 by itself does not care what the device's documents do.
        for text in ["h5", "holding-register:5", "%QW5"] {
            assert_eq!(parse_place(text, true), parse_place(text, false), "{text}");
        }
        assert_eq!(parse_place("[a]HR0", true).map(|p| p.address), Ok(at(h, 0, None)));
    }

    #[test]
    fn what_a_notation_says_beside_the_address_is_kept() {
        let place = parse_place("3!400001#LB", false).unwrap();
        assert_eq!((place.unit, place.order, place.wire), (Some(3), Some(ByteOrder::Cdab), None));
        assert_eq!(parse_place("1!400001.20H", false).unwrap().wire, Some(WireType::Text(20)));
        let low = parse_place("1!400001.20L", false).unwrap();
        assert_eq!((low.wire, low.order), (Some(WireType::Text(20)), Some(ByteOrder::Badc)));
        assert_eq!(parse_place("holding-register:4:REAL", false).unwrap().wire, Some(WireType::Float32));
        assert_eq!(parse_place("holding-register:4:UINT[1]", false).unwrap().wire, Some(WireType::Uint16));
    }

    #[test]
    fn what_means_two_things_or_nothing_says_what_to_write() {
        for (text, hint) in [
            ("c5", "C6 or C5"),
            ("h65536", "counts from 0"),
            ("h1/16", "0 (lowest) to 15"),
            ("d1/3", "single bit"),
            ("256!40001", "unit"),
            ("1!40001#XX", "#BB"),
            ("holding-register:0", "counts from 1"),
            ("holding-register:4:UINT[10]", "array"),
            ("holding-register:4:BLOB", "uint16"),
            ("%QX1", "byte and a bit"),
            ("%QX1.8", "0 to 7"),
            ("%IX800900090.4", "beyond the last"),
            ("%IW70000", "beyond"),
            ("%ZZ1", "%QX0.3"),
            ("%", "%QX0.3"),
            ("[a", "`]`"),
            ("40001.300H", "250 bytes"),
            ("0x1F", "HR32"),
            ("HR0x1F", "HR32"),
        ] {
            let e = parse_place(text, false).unwrap_err();
            assert!(e.hint.contains(hint), "`{text}` → {e}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,24}", zero_based: bool) {
            let _ = parse_place(&text, zero_based);
        }

        #[test]
        fn near_addresses_never_panic(text in "[0-9hidcHRICD%QXMWL.!#/:\\[\\]x]{0,14}", zero_based: bool) {
            if let Ok(place) = parse_place(&text, zero_based) {
                let again = parse_place(&place.address.modicon(), false);
                prop_assert_eq!(again.map(|p| p.address), Ok(place.address));
            }
        }
    }
}
