//! Points by model and name, as a profile writes them.
//!
//! | written | means |
//! | --- | --- |
//! | `sunspec 103.W` | point `W` of the first model 103 of the device |
//! | `sunspec inverter.W` | the same of whichever of the models 101 to 103 and 111 to 113 the device has |
//! | `sunspec inverter.W \| 701.W` | the first of them that the device has |
//! | `sunspec 103#2.W` | of the second model 103 |
//! | `sunspec 160.module.2.DCW` | of the second repetition within model 160 |

use super::models::{FAMILIES, Model, Row};
use std::fmt;

/// The word before a reference.
pub const WORD: &str = "sunspec";

/// Repetitions of one model that can be named; more than fit its address space.
const COPIES_MAX: u16 = 1_000;
/// Models of one number that can be named.
const INSTANCES_MAX: u16 = 100;

/// One place a point may be found at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Alternative {
    /// The model.
    pub model: &'static Model,
    /// Which one of that number in the chain, counted from 1.
    pub instance: u16,
    /// Which repetition within the model, counted from 1.
    pub copy: Option<u16>,
    /// The point.
    pub row: &'static Row,
    /// Its place from the start of the model.
    pub offset: u16,
    /// Place of its scale factor from there.
    pub factor: Option<u16>,
}

impl Alternative {
    fn new(model: &'static Model, instance: u16, copy: Option<u16>, name: &str) -> Option<Alternative> {
        let (offset, row) = model.point(copy, name)?;
        Some(Alternative { model, instance, copy, row, offset, factor: model.factor(copy, row) })
    }

    /// First register after the point and its scale factor, from the start of the model.
    #[must_use]
    pub fn end(&self) -> u16 {
        let own = self.offset.saturating_add(self.row.kind.registers());
        self.factor.map_or(own, |factor| own.max(factor.saturating_add(1)))
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.model.id)?;
        if self.instance > 1 {
            write!(f, "#{}", self.instance)?;
        }
        match (self.copy, self.model.repeats) {
            (Some(copy), Some((group, _))) => write!(f, ".{group}.{copy}.{}", self.row.name),
            _ => write!(f, ".{}", self.row.name),
        }
    }
}

impl fmt::Debug for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    /// As written, without the word before it.
    pub text: String,
    /// Where it may be found, the preferred first; not empty.
    pub any: Vec<Alternative>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {}", self.text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that names no point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ReferenceError {
    /// What is wrong.
    pub what: String,
    /// The name that is not known; empty where something else is wrong.
    pub unknown: String,
    /// The names that are known in its place.
    pub known: Vec<String>,
}

fn wrong(what: impl Into<String>) -> ReferenceError {
    ReferenceError { what: what.into(), unknown: String::new(), known: Vec::new() }
}

fn unknown(name: &str, what: String, known: impl Iterator<Item = String>) -> ReferenceError {
    ReferenceError { what, unknown: name.to_owned(), known: known.collect() }
}

/// True for an address that begins as a reference does.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    let word = text.trim_start().get(..WORD.len());
    word.is_some_and(|word| word.eq_ignore_ascii_case(WORD))
}

/// Reads `sunspec 103.W` and its like.
///
/// # Errors
/// When it names a model or a point that no table here has, with the names there are.
pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
    let text = text.trim();
    let body = text.get(WORD.len()..).filter(|_| is_reference(text)).map(str::trim);
    let Some(body) = body.filter(|body| !body.is_empty()) else {
        return Err(wrong(format!("`{text}` names no SunSpec point: write `sunspec 103.W`")));
    };
    let mut any: Vec<Alternative> = Vec::new();
    for part in body.split('|').map(str::trim) {
        for alternative in alternatives(part)? {
            if !any.contains(&alternative) {
                any.push(alternative);
            }
        }
    }
    Ok(Reference { text: body.to_owned(), any })
}

fn alternatives(part: &str) -> Result<Vec<Alternative>, ReferenceError> {
    let Some((head, point)) = part.split_once('.') else {
        return Err(wrong(format!("`{part}` names no point: write model and point, such as `103.W` or `inverter.W`")));
    };
    let (name, instance) = match head.split_once('#') {
        None => (head, 1),
        Some((name, number)) => (name, number_of(number, INSTANCES_MAX, "which model of the chain", part)?),
    };
    let (copy, name_of_point) = match point.split('.').collect::<Vec<_>>()[..] {
        [name] => (None, name),
        [group, number, name] => (Some((group, number_of(number, COPIES_MAX, "which repetition", part)?)), name),
        _ => {
            return Err(wrong(format!(
                "`{part}` has too many or too few dots: `160.module.2.DCW` is the longest form"
            )));
        }
    };
    models(name)?.into_iter().map(|model| one(model, instance, copy, name_of_point)).collect()
}

fn number_of(text: &str, most: u16, what: &str, part: &str) -> Result<u16, ReferenceError> {
    let number = text.parse::<u16>().ok().filter(|n| (1..=most).contains(n));
    number.ok_or_else(|| wrong(format!("`{text}` in `{part}` does not say {what}: 1 to {most}")))
}

fn models(name: &str) -> Result<Vec<&'static Model>, ReferenceError> {
    if let Some((_, members)) = FAMILIES.iter().find(|(family, _)| family.eq_ignore_ascii_case(name)) {
        return Ok(members.iter().filter_map(|id| Model::of(*id)).collect());
    }
    if let Some(model) = name.parse::<u16>().ok().and_then(Model::of) {
        return Ok(vec![model]);
    }
    let known = FAMILIES.iter().map(|(family, _)| (*family).to_owned()).chain(Model::all().map(|m| m.id.to_string()));
    let all: Vec<String> = known.collect();
    let what = format!("there is no table of SunSpec model `{name}`; known are {}", all.join(", "));
    // No number is near to another.
    let words = all.into_iter().filter(|known| known.parse::<u16>().is_err() && name.parse::<u16>().is_err());
    Err(unknown(name, what, words))
}

fn one(
    model: &'static Model,
    instance: u16,
    copy: Option<(&str, u16)>,
    name: &str,
) -> Result<Alternative, ReferenceError> {
    if let Some((group, _)) = copy {
        let known = model.repeats.map(|(known, _)| known);
        if known != Some(group) {
            let what = match known {
                Some(known) => format!("model {} repeats `{known}`, not `{group}`", model.id),
                None => format!("model {} ({}) repeats nothing", model.id, model.title),
            };
            return Err(unknown(group, what, known.map(str::to_owned).into_iter()));
        }
    }
    let copy = copy.map(|(_, number)| number);
    Alternative::new(model, instance, copy, name).ok_or_else(|| {
        let rows = match (copy, model.repeats) {
            (Some(_), Some((_, rows))) => rows,
            _ => model.points,
        };
        let what = format!("model {} ({}) has no point `{name}`", model.id, model.title);
        let repeated = model.repeats.filter(|(_, rows)| copy.is_none() && rows.iter().any(|row| row.name == name));
        match repeated {
            Some((group, _)) => wrong(format!("{what} of its own; write `{}.{group}.1.{name}`", model.id)),
            None => unknown(name, what, rows.iter().map(|row| row.name.to_owned())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        parse(text).unwrap().any.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(texts("sunspec 103.W"), ["103.W"]);
        assert_eq!(texts("SunSpec 103#2.W"), ["103#2.W"]);
        assert_eq!(texts("sunspec 160.module.2.DCW"), ["160.module.2.DCW"]);
        assert_eq!(texts("sunspec inverter.WH"), ["103.WH", "102.WH", "101.WH", "113.WH", "112.WH", "111.WH"]);
        assert_eq!(texts("sunspec 124.ChaState|713.SoC | 802.SoC"), ["124.ChaState", "713.SoC", "802.SoC"]);
        let w = parse("sunspec 103.W").unwrap().any[0];
        assert_eq!((w.offset, w.factor, w.end()), (14, Some(15), 16));
        let float = parse("sunspec 113.W").unwrap().any[0];
        assert_eq!((float.offset, float.factor, float.end()), (22, None, 24));
    }

    #[test]
    fn what_is_not_known_is_named_with_what_is() {
        let near = |text: &str, part: &str, known: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.what.contains(part), "{text}: {}", error.what);
            assert_eq!(error.known.iter().any(|k| k == known), !known.is_empty(), "{text}: {:?}", error.known);
        };
        near("sunspec 103.Watt", "model 103 (inverter, three phases) has no point `Watt`", "W");
        near("sunspec 104.W", "no table of SunSpec model `104`", "");
        near("sunspec inverters.W", "no table of SunSpec model `inverters`", "inverter");
        near("sunspec 160.modul.1.DCW", "repeats `module`", "module");
        near("sunspec 103.module.1.W", "repeats nothing", "");
        near("sunspec 160.DCW", "write `160.module.1.DCW`", "");
        near("sunspec 160.module.0.DCW", "which repetition", "");
        near("sunspec 103#0.W", "which model", "");
        near("sunspec 103", "names no point", "");
        near("sunspec", "write `sunspec 103.W`", "");
        near("sunspec 1.2.3.4.5", "dots", "");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "sunspec .{0,40}|\\PC{0,60}|sunspec [0-9]{1,6}(#[0-9]{0,6})?(\\.[a-zA-Z_0-9]{0,12}){0,4}( ?\\| ?[a-z0-9.]{0,12}){0,3}") {
            if let Ok(reference) = parse(&text) {
                prop_assert!(!reference.any.is_empty());
                let again = parse(&reference.to_string());
                prop_assert_eq!(again, Ok(reference));
            }
        }
    }
}
