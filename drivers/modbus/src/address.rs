//! Modbus addresses as people write them, and as the wire counts them.
//!
//! Accepted here: Modicon five digits (`40001`), six digits (`400001`), and the mnemonics `HR1 IR1 C1 DI1`, each with an
//! optional `.bit` for one bit of a register; `notation` adds those of other products. All count from 1 unless the caller says the device's documents count
//! from 0. One form is stored, the area and the protocol's own offset, and both forms are printed back: half of all
//! Modbus mistakes are off by one, and nobody should have to guess which way.

use crate::notation::parse_place;
use std::fmt;

/// The four tables of a Modbus device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Switches that can be written (`0xxxx`).
    Coil,
    /// Switches that can only be read (`1xxxx`).
    Discrete,
    /// Registers that can only be read (`3xxxx`).
    Input,
    /// Registers that can be written (`4xxxx`).
    Holding,
}

/// One row per area: the Modicon digit, the mnemonic, the words.
const AREAS: [(Area, char, &str, &str); 4] = [
    (Area::Coil, '0', "C", "coil"),
    (Area::Discrete, '1', "DI", "discrete input"),
    (Area::Input, '3', "IR", "input register"),
    (Area::Holding, '4', "HR", "holding register"),
];

impl Area {
    fn row(self) -> (Area, char, &'static str, &'static str) {
        AREAS[match self {
            Self::Coil => 0,
            Self::Discrete => 1,
            Self::Input => 2,
            Self::Holding => 3,
        }]
    }

    /// The word for a person: `holding register`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().3
    }

    /// True for 16-bit registers, false for single bits.
    #[must_use]
    pub fn is_register(self) -> bool {
        matches!(self, Self::Input | Self::Holding)
    }

    /// True where the protocol has a function to write.
    #[must_use]
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Coil | Self::Holding)
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a point lives in its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The table.
    pub area: Area,
    /// The offset that goes over the wire, counted from 0.
    pub pdu: u16,
    /// One bit of a register, 0 being the lowest; registers only.
    pub bit: Option<u8>,
}

impl Address {
    /// The Modicon form counted from 1: `40001`, `40001.3`, six digits from 10000 on.
    #[must_use]
    pub fn modicon(&self) -> String {
        let digit = self.area.row().1;
        let number = u32::from(self.pdu) + 1;
        let mut text = if number <= 9_999 { format!("{digit}{number:04}") } else { format!("{digit}{number:05}") };
        if let Some(bit) = self.bit {
            text.push_str(&format!(".{bit}"));
        }
        text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} PDU {}", self.area, self.pdu)?;
        if let Some(bit) = self.bit {
            write!(f, " bit {bit}")?;
        }
        write!(f, " ({})", self.modicon())
    }
}

/// A text that is no address, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a Modbus address: {hint}")]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What to write instead.
    pub hint: String,
}

/// Reads an address. `zero_based` is for devices whose documents count from 0: then `HR0` and `40000` are the first
/// holding register; otherwise `HR1` and `40001` are.
///
/// # Errors
/// When the text is none of the accepted forms, or outside the area. The hint says what to write.
pub fn parse_address(text: &str, zero_based: bool) -> Result<Address, AddressError> {
    let place = parse_place(text, zero_based)?;
    if place.unit.is_some() || place.order.is_some() || place.wire.is_some() {
        let hint = format!("only the address belongs here: {}", place.address.modicon());
        return Err(AddressError { text: text.to_owned(), hint });
    }
    Ok(place.address)
}

/// The same for our own notations alone.
pub(crate) fn parse_plain(text: &str, zero_based: bool) -> Result<Address, AddressError> {
    let trimmed = text.trim();
    let fail = |hint: String| AddressError { text: text.to_owned(), hint };
    let (body, bit_text) = match trimmed.split_once('.') {
        Some((body, bit)) => (body, Some(bit)),
        None => (trimmed, None),
    };
    let (area, digits) = split_area(body).map_err(fail)?;
    let number: u32 = digits.parse().map_err(|_| fail(format!("`{digits}` is not a number of a {area}")))?;
    let first = u32::from(!zero_based);
    let Some(pdu) = number.checked_sub(first) else {
        return Err(fail(format!(
            "{area}s are counted from 1 here; if the device's documents count from 0, say `zero_based: true`"
        )));
    };
    let pdu = u16::try_from(pdu)
        .map_err(|_| fail(format!("the last {area} is {}{}", area.row().2, u32::from(u16::MAX) + first)))?;
    let bit = match bit_text {
        None => None,
        Some(_) if !area.is_register() => return Err(fail(format!("a {area} is a single bit and takes no `.bit`"))),
        Some(b) => match b.parse::<u8>() {
            Ok(n) if n <= 15 => Some(n),
            _ => return Err(fail("a bit of a register is `.0` (lowest) to `.15`".to_owned())),
        },
    };
    Ok(Address { area, pdu, bit })
}

/// The area and the digits that follow it.
fn split_area(body: &str) -> Result<(Area, &str), String> {
    if body.starts_with("0x") || body.starts_with("0X") {
        return Err(match u16::from_str_radix(&body[2..], 16) {
            Ok(n) => format!(
                "a hexadecimal address in a datasheet nearly always counts from 0; this one would be HR{} (or IR, C, DI)",
                u32::from(n) + 1
            ),
            Err(_) => "write it as 40001, 400001, HR1, IR1, C1 or DI1".to_owned(),
        });
    }
    if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
        let known = AREAS.iter().find(|row| body.starts_with(row.1));
        return match (body.len(), known) {
            (5 | 6, Some(row)) => Ok((row.0, &body[1..])),
            (5 | 6, None) => Err("the first digit is 0 (coil), 1 (discrete input), 3 (input register) or 4 \
                                  (holding register)"
                .to_owned()),
            _ => Err(format!(
                "a bare number does not say which table is meant; write HR{body}, IR{body}, C{body} or DI{body}, \
                 or five digits such as 40001 (a coil keeps its leading zero, in quotes: '00001')"
            )),
        };
    }
    let letters = body.len() - body.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    let (word, digits) = body.split_at(letters);
    match AREAS.iter().find(|row| row.2.eq_ignore_ascii_case(word)) {
        Some(row) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Ok((row.0, digits)),
        Some(row) if digits.strip_prefix("0x").is_some_and(|hex| u16::from_str_radix(hex, 16).is_ok()) => {
            let number = u16::from_str_radix(&digits[2..], 16).map(u32::from).unwrap_or_default();
            Err(format!(
                "a hexadecimal address in a datasheet nearly always counts from 0; write {}{} (counted from 1)",
                row.2,
                number + 1
            ))
        }
        Some(row) => Err(format!("`{}` is followed by a whole number, for example {}1", row.2, row.2)),
        None => Err("write it as 40001, 400001, HR1, IR1, C1 or DI1, with `.3` for bit 3 of a register".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(area: Area, pdu: u16) -> Address {
        Address { area, pdu, bit: None }
    }

    #[test]
    fn every_notation_of_one_address_is_the_same_address() {
        for text in ["40001", "400001", "HR1", "hr1", " HR1 ", "HR01"] {
            assert_eq!(parse_address(text, false), Ok(at(Area::Holding, 0)), "{text}");
        }
        for text in ["40000", "400000", "HR0"] {
            assert_eq!(parse_address(text, true), Ok(at(Area::Holding, 0)), "{text}");
        }
        for (text, want) in [
            ("30011", at(Area::Input, 10)),
            ("IR11", at(Area::Input, 10)),
            ("10007", at(Area::Discrete, 6)),
            ("DI7", at(Area::Discrete, 6)),
            ("00001", at(Area::Coil, 0)),
            ("000001", at(Area::Coil, 0)),
            ("C1", at(Area::Coil, 0)),
            ("465536", at(Area::Holding, u16::MAX)),
            ("HR65536", at(Area::Holding, u16::MAX)),
            ("49999", at(Area::Holding, 9_998)),
            ("40001.0", Address { bit: Some(0), ..at(Area::Holding, 0) }),
            ("IR2.15", Address { bit: Some(15), ..at(Area::Input, 1) }),
        ] {
            assert_eq!(parse_address(text, false), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_itself() {
        for area in [Area::Coil, Area::Discrete, Area::Input, Area::Holding] {
            for pdu in [0, 1, 898, 9_998, 9_999, u16::MAX] {
                for bit in [None, Some(3)] {
                    let a = Address { area, pdu, bit: bit.filter(|_| area.is_register()) };
                    assert_eq!(parse_address(&a.modicon(), false), Ok(a), "{a}");
                }
            }
        }
        assert_eq!(at(Area::Holding, 0).to_string(), "holding register PDU 0 (40001)");
        let bit = Address { bit: Some(3), ..at(Area::Input, 9_999) };
        assert_eq!(bit.to_string(), "input register PDU 9999 bit 3 (310000.3)");
    }

    #[test]
    fn a_wrong_text_says_what_to_write_instead() {
        for (text, hint) in [
            ("100", "HR100"),
            ("1", "'00001'"),
            ("", "HR1"),
            ("20001", "first digit"),
            ("40000", "zero_based"),
            ("HR0", "zero_based"),
            ("465537", "HR65536"),
            ("0x1F", "HR32"),
            ("40001.16", ".15"),
            ("40001.", ".15"),
            ("C1.2", "single bit"),
            ("QX100.0", "HR1"),
            ("HR", "HR1"),
            ("HR-1", "whole number"),
            ("HR99999999999", "number"),
        ] {
            let e = parse_address(text, false).unwrap_err();
            assert!(e.hint.contains(hint), "`{text}` → {e}");
        }
    }
}
