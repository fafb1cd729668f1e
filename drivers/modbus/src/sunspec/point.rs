//! A SunSpec point of a device: what is wanted of it, and where the device turned out to have it.
//!
//! A value and its scale factor are always of one answer. Where one answer reaches that far, the head of the model is in
//! it too, so that a device whose chain has moved gives no value in place of a wrong one.

use super::chain::{BASE_MAX, BASES, Chain, Found};
use super::kind::Kind;
use super::models::HEAD;
use super::reference::{Alternative, Reference};
use crate::address::{Address, Area};
use crate::codec::{Encoded, Places, decode, encode};
use crate::config::{DeviceConfig, PointConfig};
use penstock_model::{BadReason, Quality, Value};
use std::time::Duration;

/// Largest scale factor either way.
const FACTOR_MAX: i16 = 10;

/// A point that is found by model and name.
#[derive(Debug, Clone, PartialEq)]
pub struct SunSpecPoint {
    /// By model and name.
    pub wanted: Reference,
    /// For each alternative: value in the unit of the tag = value in the unit of the model × this; not 0.
    pub scales: Vec<f64>,
    /// The device takes the command back after so long without a new one: its own timer is set with each.
    pub revert: Option<Duration>,
    /// A counter that stands at 0 counts; otherwise it says that the device does not count.
    pub zero_counts: bool,
    /// Where the device has it; `None` until it was asked.
    pub placed: Option<Placed>,
}

/// Where a device has a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Model and name.
    pub at: Alternative,
    /// Its model in the chain.
    pub model: Found,
    /// Address of its scale factor.
    factor: Option<u16>,
    /// The head of the model is read with it.
    head: bool,
    /// Written before the value, and after it.
    before: Vec<(u16, Vec<u16>)>,
    after: Vec<(u16, Vec<u16>)>,
}

impl Placed {
    /// Where its scale factor is, if it has one.
    pub(crate) fn factor(&self) -> Option<u16> {
        self.factor
    }

    /// Where the head of its model is, if that is read with it.
    pub(crate) fn head(&self) -> Option<u16> {
        self.head.then_some(self.model.at)
    }

    /// What is written before the value: places and registers.
    pub(crate) fn before(&self) -> &[(u16, Vec<u16>)] {
        &self.before
    }

    /// What is written after it.
    pub(crate) fn after(&self) -> &[(u16, Vec<u16>)] {
        &self.after
    }
}

/// Finds every SunSpec point of a device in its chain; what the device does not have, by place in the list of points.
pub(crate) fn place(config: &mut DeviceConfig, chain: &Chain) -> Vec<(usize, String)> {
    let (most, head) = (config.registers_max, !config.quirks.one_by_one);
    let mut missing = Vec::new();
    for (index, point) in config.points.iter_mut().enumerate() {
        match find(point, chain, most, head) {
            Ok(()) => {}
            Err(why) => missing.push((index, why)),
        }
    }
    if let Some(beat) = &mut config.heartbeat
        && let Some(at) = beat.sunspec
    {
        let found = chain.model(at.model.id, at.instance).filter(|found| fits(*found) && holds(*found, &at));
        beat.placed = found.is_some();
        if let Some(found) = found {
            beat.address.pdu = found.at + at.offset;
        }
    }
    missing
}

/// Forgets where the points are.
pub(crate) fn forget(config: &mut DeviceConfig) {
    // A device without such points goes on sharing its list.
    if config.points.iter().any(|point| point.sunspec.is_some()) {
        for sunspec in config.points.iter_mut().filter_map(|point| point.sunspec.as_mut()) {
            sunspec.placed = None;
        }
    }
    if let Some(beat) = &mut config.heartbeat {
        beat.placed = beat.sunspec.is_none();
    }
}

/// The model ends before the last register: one that is only assumed may not.
fn fits(found: Found) -> bool {
    u32::from(found.at) + u32::from(HEAD) + u32::from(found.length) <= u32::from(u16::MAX)
}

/// The model is long enough for the point and its scale factor.
fn holds(found: Found, at: &Alternative) -> bool {
    u32::from(at.end()) <= u32::from(HEAD) + u32::from(found.length)
}

fn find(point: &mut PointConfig, chain: &Chain, most: u16, head: bool) -> Result<(), String> {
    let Some(sunspec) = point.sunspec.as_mut() else { return Ok(()) };
    sunspec.placed = None;
    let mut found = sunspec.wanted.any.iter().zip(&sunspec.scales);
    let found = found.find_map(|(at, scale)| Some((at, scale, chain.model(at.model.id, at.instance)?)));
    let Some((at, scale, model)) = found else {
        let has: Vec<String> = chain.models.iter().map(|m| m.id.to_string()).collect();
        return Err(format!("the device has no {}; its models are {}", sunspec.wanted, has.join(", ")));
    };
    if !fits(model) {
        return Err(format!("model {} at PDU {} would run past the last register", model.id, model.at));
    }
    if !holds(model, at) {
        return Err(format!("model {} of the device is {} registers long: {at} is not in it", model.id, model.length));
    }
    let first = model.at + at.factor.map_or(at.offset, |factor| factor.min(at.offset));
    let end = model.at + at.end();
    if end - first > most {
        return Err(format!(
            "{at} and its scale factor {} are {} registers apart; one request carries {most}, and a value is never taken \
             with a factor of another answer",
            at.row.factor,
            end - first
        ));
    }
    let (before, after) = match sunspec.revert {
        None => (Vec::new(), Vec::new()),
        Some(time) => along(at, model, time)?,
    };
    point.address = Address { area: Area::Holding, pdu: model.at + at.offset, bit: None };
    point.wire = at.row.kind.wire();
    point.scale = *scale;
    let factor = at.factor.map(|factor| model.at + factor);
    sunspec.placed = Some(Placed { at: *at, model, factor, head: head && end - model.at <= most, before, after });
    Ok(())
}

type Writes = Vec<(u16, Vec<u16>)>;

/// What is written with a command that the device takes back after a time.
fn along(at: &Alternative, model: Found, time: Duration) -> Result<(Writes, Writes), String> {
    // That there is a timer is checked before a site runs.
    let Some(control) = at.model.control(at.row.name) else { return Ok(Default::default()) };
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let write = |name: &str, value: u32| {
        let (offset, row) = at.model.point(None, name).ok_or_else(|| format!("model {} has no {name}", model.id))?;
        let words = match row.kind.registers() {
            1 => vec![u16::try_from(value).map_err(|_| format!("{name} holds at most 65534 s"))?],
            _ => vec![(value >> 16) as u16, (value & 0xFFFF) as u16],
        };
        if row.kind.is_absent(&words, true) {
            return Err(format!("{name} cannot hold {value}"));
        }
        if u32::from(offset) + u32::from(row.kind.registers()) > u32::from(HEAD) + u32::from(model.length) {
            return Err(format!("model {} of the device is too short for {name}", model.id));
        }
        Ok((model.at + offset, words))
    };
    let before = write(control.revert, seconds)?;
    let after: Result<Writes, String> = control.enable.iter().map(|(n, v)| write(n, u32::from(*v))).collect();
    Ok((vec![before], after?))
}

impl PointConfig {
    /// True for a point that has an address: every plain one, and a SunSpec point once the device was asked.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.sunspec.as_ref().is_none_or(|s| s.placed.is_some())
    }

    fn placed(&self) -> Option<&Placed> {
        self.sunspec.as_ref().and_then(|s| s.placed.as_ref())
    }

    /// First register of what is read for it, and the first one after: its scale factor and the head of its model
    /// belong to it.
    #[must_use]
    pub fn span(&self) -> (u16, u32) {
        let (start, end) = (self.address.pdu, self.end());
        let Some(placed) = self.placed() else { return (start, end) };
        let end = placed.factor.map_or(end, |factor| end.max(u32::from(factor) + 1));
        let start = placed.factor.map_or(start, |factor| start.min(factor));
        (if placed.head { placed.model.at } else { start }, end)
    }

    /// Points of different blocks are never read with one request.
    pub(crate) fn block(&self) -> Option<u16> {
        self.placed().map(|placed| placed.model.at)
    }

    /// Its place for a person: the address, and for a SunSpec point its name.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.sunspec {
            None => self.address.to_string(),
            Some(sunspec) => match &sunspec.placed {
                Some(placed) => format!("sunspec {} at {}", placed.at, self.address),
                None => sunspec.wanted.to_string(),
            },
        }
    }

    /// The value in registers that begin at `start`.
    ///
    /// # Errors
    /// As [`decode`]; Bad(not-implemented) where the device says that it does not have the point; Bad(configuration)
    /// where another model lies there now.
    pub(crate) fn value_in(&self, words: &[u16], start: u16) -> Result<(Value, Quality), BadReason> {
        let part = |at: u16, count: u16| {
            let from = usize::from(at.checked_sub(start)?);
            words.get(from..from + usize::from(count))
        };
        let own = part(self.address.pdu, self.places()).ok_or(BadReason::Undecodable)?;
        let Some(placed) = self.placed() else { return decode(self, Places::Words(own)) };
        if placed.head && part(placed.model.at, HEAD) != Some(&[placed.model.id, placed.model.length]) {
            return Err(BadReason::Configuration);
        }
        let factor = match placed.factor {
            None => None,
            Some(at) => Some(part(at, 1).and_then(|w| w.first().copied()).ok_or(BadReason::Undecodable)?),
        };
        let zero_counts = self.sunspec.as_ref().is_some_and(|s| s.zero_counts);
        if placed.at.row.kind.is_absent(own, zero_counts) {
            return Err(BadReason::NotImplemented);
        }
        decode(&self.scaled(factor)?, Places::Words(own))
    }

    /// The point as it is with this scale factor.
    ///
    /// # Errors
    /// Bad(not-implemented) where the device has no factor, Bad(undecodable) for one beyond ±10.
    pub(crate) fn scaled(&self, factor: Option<u16>) -> Result<PointConfig, BadReason> {
        let mut point = self.clone();
        let Some(word) = factor else { return Ok(point) };
        if Kind::Factor.is_absent(&[word], false) {
            return Err(BadReason::NotImplemented);
        }
        let power = word.cast_signed();
        if !(-FACTOR_MAX..=FACTOR_MAX).contains(&power) {
            return Err(BadReason::Undecodable);
        }
        // Divided by the whole power: 0.1 is no binary number, and 2341 / 10 is nearer to the instrument than 2341 × 0.1.
        let ten = 10_f64.powi(i32::from(power.abs()));
        point.scale = if power < 0 { point.scale / ten } else { point.scale * ten };
        Ok(point)
    }

    /// True when these registers hold just what is written for a value under the scale factor among them.
    pub(crate) fn holds(&self, words: &[u16], start: u16, wanted: &Value) -> bool {
        let part = |at: u16, count: u16| {
            let from = usize::from(at.checked_sub(start)?);
            words.get(from..from + usize::from(count))
        };
        let Some(placed) = self.placed() else { return false };
        let factor = placed.factor.and_then(|at| part(at, 1)).and_then(|words| words.first().copied());
        let own = part(self.address.pdu, self.places());
        matches!((self.encoded(wanted, factor), own), (Ok(Encoded::Words(wanted)), Some(own)) if wanted == own)
    }

    /// What to write for a value with this scale factor.
    ///
    /// # Errors
    /// When the point cannot carry the value; in words.
    pub(crate) fn encoded(&self, value: &Value, factor: Option<u16>) -> Result<Encoded, String> {
        let Some(placed) = self.placed() else { return encode(self, value).map_err(|e| e.to_string()) };
        if placed.factor.is_some() && factor.is_none() {
            return Err(format!("the scale factor {} was not read", placed.at.row.factor));
        }
        let scaled =
            self.scaled(factor).map_err(|why| format!("its scale factor {} is bad ({why})", placed.at.row.factor))?;
        let encoded = encode(&scaled, value).map_err(|e| e.to_string())?;
        match &encoded {
            Encoded::Words(words) if placed.at.row.kind.is_absent(words, true) => {
                Err(format!("{value} is what SunSpec writes for \"not implemented\""))
            }
            _ => Ok(encoded),
        }
    }
}

impl DeviceConfig {
    /// True where points are found by model and name.
    #[must_use]
    pub fn uses_sunspec(&self) -> bool {
        self.points.iter().any(|p| p.sunspec.is_some()) || self.heartbeat.is_some_and(|b| b.sunspec.is_some())
    }

    /// What cannot work of the SunSpec points, beside what holds for every point.
    pub(crate) fn check_sunspec(&self, found: &mut Vec<String>) {
        let name = &self.name;
        if let Some(base) = self.sunspec.base.filter(|base| *base > BASE_MAX) {
            found.push(format!(
                "device `{name}`: no SunSpec device fits behind PDU {base}; the last place is {BASE_MAX}"
            ));
        }
        for point in &self.points {
            let Some(sunspec) = &point.sunspec else { continue };
            let mut say = |what: String| found.push(format!("device `{name}`, tag `{}`: {what}", point.path));
            if let Some(write) = point.write {
                if let Some(fixed) = sunspec.wanted.any.iter().find(|at| !at.row.writable) {
                    say(format!("sunspec {fixed} can only be read"));
                }
                match (sunspec.revert, write.repeat) {
                    (Some(revert), Some(repeat)) if repeat >= revert => {
                        say(format!(
                            "the device takes the command back after {revert:?}, before it is repeated ({repeat:?})"
                        ));
                    }
                    (Some(_), None) => say("a command that the device takes back has to be repeated".to_owned()),
                    _ => {}
                }
            }
            let untimed = |at: &&Alternative| at.model.control(at.row.name).is_none();
            if let Some(at) = sunspec.wanted.any.iter().find(untimed).filter(|_| sunspec.revert.is_some()) {
                let timed: Vec<&str> = at.model.controls.iter().flat_map(|c| c.points.iter().copied()).collect();
                let has =
                    if timed.is_empty() { "none of that model has".to_owned() } else { timed.join(", ") + " have" };
                say(format!("sunspec {at} has no timer that takes it back; {has}"));
            }
            let along = sunspec.placed.iter().flat_map(|placed| placed.before.iter().chain(&placed.after));
            for (at, words) in along {
                let end = u32::from(*at) + u32::try_from(words.len()).unwrap_or(0);
                let also = |p: &&PointConfig| {
                    p.write.is_some() && u32::from(p.address.pdu) < end && p.end() > u32::from(*at) && p.is_placed()
                };
                if let Some(other) = self.points.iter().find(also) {
                    say(format!("`revert` writes {}, and so does tag `{}`", other.place(), other.path));
                }
            }
        }
    }

    /// The device with its SunSpec points where they would be if it had the first model that each of them names, each as
    /// long as its definition, from the usual base on; and what cannot be read even then.
    #[must_use]
    pub fn assumed(&self) -> (DeviceConfig, Vec<(usize, String)>) {
        if !self.uses_sunspec() {
            return (self.clone(), Vec::new());
        }
        let mut config = self.clone();
        let points = self.points.iter().filter_map(|p| p.sunspec.as_ref()?.wanted.any.first());
        let beat = self.heartbeat.as_ref().and_then(|b| b.sunspec.as_ref());
        // By number and instance: how many repetitions each needs.
        let mut models: std::collections::BTreeMap<(u16, u16), (&Alternative, u16)> = std::collections::BTreeMap::new();
        for at in points.chain(beat) {
            for instance in 1..=at.instance {
                let entry = models.entry((at.model.id, instance)).or_insert((at, 0));
                entry.1 = entry.1.max(at.copy.unwrap_or(0));
            }
        }
        let each = models.iter().map(|((id, _), (at, copies))| (*id, at.model.length(*copies)));
        let common = (!models.contains_key(&(1, 1))).then_some((1, 66));
        let base = self.sunspec.base.filter(|base| *base <= BASE_MAX).unwrap_or(BASES[0]);
        let chain = Chain::assumed(base, common.into_iter().chain(each));
        let missing = place(&mut config, &chain);
        (config, missing)
    }
}

#[cfg(test)]
#[path = "point_tests.rs"]
mod tests;
