//! What a script hands to a block, read with errors for a person: values, a map of settings, the value of a reset.

use crate::host::number;
use penstock_model::limits;
use rhai::{Array, Dynamic, Map};
use std::ops::RangeInclusive;

/// Largest magnitude that a block keeps in its memory. Sums and products of such numbers stay finite, so a nonsensical
/// input cannot leave a block with a memory that is not a number for ever.
pub(super) const MEMORY_MAX: f64 = 1e100;
/// Largest magnitude of an input or a setting: the product of two is one that can be kept. What lies beyond means no
/// quantity of a plant and counts as this much.
const INPUT_MAX: f64 = 1e50;

/// `x` within what a block keeps; 0 for what is not a number.
pub(crate) fn bounded(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x.clamp(-MEMORY_MAX, MEMORY_MAX) }
}

/// 0 within `±width`, and the rest beyond it: a dead zone without a jump at its edges.
pub(crate) fn dead_zone(x: f64, width: f64) -> f64 {
    if x > width {
        x - width
    } else if x < -width {
        x + width
    } else {
        0.0
    }
}

/// A finite number in a value of a script.
pub(crate) fn finite(value: &Dynamic) -> Option<f64> {
    number(value).filter(|x| x.is_finite()).map(|x| x.clamp(-INPUT_MAX, INPUT_MAX))
}

/// The result of a block that says more than one thing.
pub(crate) fn result<const N: usize>(entries: [(&str, Dynamic); N]) -> Dynamic {
    Dynamic::from_map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A whole number as scripts count.
pub(crate) fn whole(count: usize) -> Dynamic {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

/// Most settings that a kind of block has.
pub(super) const SETTINGS_MAX: usize = 24;

/// One `run` of a block: its values, its settings and the time step.
pub(crate) struct Call<'a> {
    values: &'a [Dynamic],
    names: &'static [&'static str],
    /// What a script gave, by the place of its name in `names`. A map is walked once and not searched for each of them.
    settings: [Option<&'a Dynamic>; SETTINGS_MAX],
    /// Seconds since the program's last scan, above 0.
    pub dt: f64,
}

impl<'a> Call<'a> {
    /// `names` are those of the settings that the block knows, in the order of the alphabet.
    ///
    /// # Errors
    /// The first name in `settings` that the block does not know.
    pub fn new(
        values: &'a [Dynamic],
        names: &'static [&'static str],
        settings: Option<&'a Map>,
        dt: f64,
    ) -> Result<Self, &'a str> {
        let mut call = Self { values, names, settings: [None; SETTINGS_MAX], dt };
        let mut known = names.iter().zip(&mut call.settings);
        for (name, value) in settings.into_iter().flatten() {
            // Both are in the order of the alphabet.
            let place = known.by_ref().find(|(known, _)| ***known >= *name.as_str());
            match place.filter(|(known, _)| ***known == *name.as_str()) {
                Some((_, place)) => *place = Some(value),
                None => return Err(name),
            }
        }
        Ok(call)
    }

    /// The value before the settings, in the order of the call.
    pub fn value(&self, index: usize) -> &'a Dynamic {
        &self.values[index]
    }

    /// A value that is a finite number.
    pub fn x(&self, index: usize) -> Result<f64, String> {
        let value = self.value(index);
        finite(value).ok_or_else(|| format!("run takes a finite number, not {value}"))
    }

    /// A value that is a switch.
    pub fn on(&self, index: usize) -> Result<bool, String> {
        let value = self.value(index);
        value.as_bool().map_err(|_| format!("run takes true or false, not {value}"))
    }

    /// A value that is an array of 1 to `most` elements.
    pub fn array(&self, index: usize, most: usize) -> Result<Array, String> {
        let value = self.value(index);
        let array = value.as_array_ref().map_err(|_| format!("run takes an array, not {value}"))?;
        if array.is_empty() || array.len() > most {
            return Err(format!("run takes an array of 1 to {most} elements, not {}", array.len()));
        }
        Ok(array.clone())
    }

    /// A setting as it stands; `()` counts as left out.
    pub fn get(&self, name: &str) -> Option<&'a Dynamic> {
        let place = self.names.iter().position(|known| *known == name);
        debug_assert!(place.is_some(), "`{name}` is read and not among the settings of the block");
        self.settings[place?].filter(|v| !v.is_unit())
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.get(name).map(|v| finite(v).ok_or_else(|| format!("`{name}` takes a finite number, not {v}"))).transpose()
    }

    pub fn needed(&self, name: &str) -> Result<f64, String> {
        self.number(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// A number within a range, or nothing.
    pub fn within(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(x) if !range.contains(&x) => {
                Err(format!("`{name}` lies between {} and {}, not {x}", range.start(), range.end()))
            }
            x => Ok(x),
        }
    }

    /// A number of at least 0 in the units of the signal, or nothing.
    pub fn width(&self, name: &str) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(x) if x < 0.0 => Err(format!("`{name}` is at least 0, not {x}")),
            x => Ok(x),
        }
    }

    /// A time of at least 0 s.
    pub fn time(&self, name: &str) -> Result<f64, String> {
        self.time_or_none(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// A time of at least 0 s, or nothing.
    pub fn time_or_none(&self, name: &str) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(t) if t < 0.0 => Err(format!("`{name}` is a time of at least 0 s, not {t}")),
            t => Ok(t),
        }
    }

    /// A time above 0 s, or nothing; `otherwise` says what leaving it out means.
    pub fn time_above_0(&self, name: &str, otherwise: &str) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(t) if t <= 0.0 => Err(format!("`{name}` is a time above 0 s; {otherwise}")),
            t => Ok(t),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, String> {
        self.get(name).map_or(Ok(false), |v| v.as_bool().map_err(|_| format!("`{name}` takes true or false, not {v}")))
    }

    /// One of the words in `words`, by its place; 0 when left out.
    pub fn word(&self, name: &str, words: &[&str]) -> Result<usize, String> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let wrong = || format!("`{name}` is one of {}, not {value}", words.join(", "));
        let text = value.as_immutable_string_ref().map_err(|_| wrong())?;
        words.iter().position(|w| *w == text.as_str()).ok_or_else(wrong)
    }

    /// A whole number from 0 to the longest list of a script, or nothing.
    pub fn count(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let count = value.as_int().ok().and_then(|i| usize::try_from(i).ok());
        match count.filter(|n| *n <= limits::SCRIPT_COLLECTION_MAX) {
            Some(n) => Ok(Some(n)),
            None => Err(format!("`{name}` takes a whole number from 0, not {value}")),
        }
    }

    /// `min` and `max`, the smaller first; without bound where left out.
    pub fn limits(&self) -> Result<(f64, f64), String> {
        let (min, max) = (self.number("min")?.unwrap_or(f64::MIN), self.number("max")?.unwrap_or(f64::MAX));
        if min > max {
            return Err(format!("`min` {min} is above `max` {max}"));
        }
        Ok((min, max))
    }

    /// `min` and `max`, both given.
    pub fn limits_needed(&self) -> Result<(f64, f64), String> {
        self.needed("min")?;
        self.needed("max")?;
        self.limits()
    }
}

/// What stands in `reset(…)`. `()` counts as nothing: `io.granted` is that before anything was granted.
#[derive(Clone, Copy)]
pub(crate) struct Reset<'a>(pub Option<&'a Dynamic>);

impl Reset<'_> {
    pub fn number(self) -> Result<Option<f64>, String> {
        self.0.map(|v| finite(v).ok_or_else(|| "reset takes a finite number".to_owned())).transpose()
    }

    pub fn switch(self) -> Result<bool, String> {
        self.0.map_or(Ok(false), |v| v.as_bool().map_err(|_| "reset takes true or false".to_owned()))
    }

    pub fn nothing(self) -> Result<(), String> {
        self.0.map_or(Ok(()), |_| Err("reset takes no value".to_owned()))
    }
}

/// A finite number, or nothing for `()`, in an element of an array.
pub(crate) fn number_or_none(value: &Dynamic) -> Result<Option<f64>, String> {
    if value.is_unit() {
        return Ok(None);
    }
    finite(value).map(Some).ok_or_else(|| format!("run takes finite numbers or (), not {value}"))
}
