//! SunSpec in device files: points by model and name, their units, and what is written with a command.

use super::devices::Devices;
use super::modbus_files::{ModbusFile, ModbusPoint};
use super::points::{Declared, PointForm, PointPlace};
use super::tags::Ctx;
use super::text::At;
use crate::diagnostics::{FileId, suggest};
use penstock_modbus as modbus;
use penstock_modbus::sunspec::chain::BASE_MAX;
use penstock_modbus::sunspec::point::SunSpecPoint;
use penstock_modbus::sunspec::reference::{Alternative, Reference, is_reference, parse};
use penstock_modbus::sunspec::{Settings, units};
use penstock_model::{Unit, ValueType};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// A command is repeated so often within the time after which the device takes it back: one repetition may be lost.
const REPEATS: u32 = 3;
/// Shortest `revert`: it is counted in seconds, and repeated within them.
const REVERT_MIN: Duration = Duration::from_secs(3);

/// `sunspec:` of a Modbus device or a profile
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SunSpecFile {
    /// Where the device begins: `auto` (default) looks at 40000, 50000 and 0; else the address, counted from 0.
    pub base: Option<At<String>>,
    /// True where a counter that stands at 0 counts. By the definitions 0 says that the device does not count.
    pub zero_counts: Option<bool>,
}

/// Where the device is looked through: its own word, else its profile's.
pub fn settings(ctx: &mut Ctx<'_>, form: &ModbusFile, profile: Option<(FileId, &ModbusFile)>) -> Settings {
    let of = |(file, form): (FileId, &ModbusFile)| Some((file, form.sunspec.as_ref()?.base.clone()?));
    let said = of((ctx.file, form)).or_else(|| profile.and_then(of)).filter(|(_, text)| text.value != "auto");
    let Some((file, text)) = said else { return Settings::default() };
    let ctx = &mut Ctx { reader: ctx.reader, file };
    let base = text.value.parse::<u16>().ok().filter(|base| *base <= BASE_MAX);
    if base.is_none() {
        ctx.error(text.pos, format!("`{}` is not where a SunSpec device begins", text.value))
            .help(format!("write auto, or the address of \"SunS\" counted from 0, at most {BASE_MAX}: 40000"));
    }
    Settings { base }
}

/// Whether a counter at 0 counts.
pub fn zero_counts(form: &ModbusFile, base: Option<&ModbusFile>) -> bool {
    let of = |form: &ModbusFile| form.sunspec.as_ref().and_then(|s| s.zero_counts);
    of(form).or_else(|| base.and_then(of)).unwrap_or(false)
}

/// The register of a heartbeat, by address or by model and name.
pub fn heartbeat(
    ctx: &mut Ctx<'_>,
    text: &At<String>,
    zero_based: bool,
) -> Option<(modbus::Address, Option<Alternative>)> {
    if !is_reference(&text.value) {
        return super::devices::address_of(ctx, text, zero_based).map(|address| (address, None));
    }
    let wanted = reference(ctx, text)?;
    if wanted.any.len() > 1 {
        ctx.error(text.pos, "a heartbeat is one register").help("name one model: sunspec 715.ControllerHb");
        return None;
    }
    let address = modbus::Address { area: modbus::Area::Holding, pdu: 0, bit: None };
    Some((address, wanted.any.first().copied()))
}

fn reference(ctx: &mut Ctx<'_>, text: &At<String>) -> Option<Reference> {
    match parse(&text.value) {
        Ok(wanted) => Some(wanted),
        Err(e) => {
            let help = suggest(&e.unknown, e.known.iter().map(String::as_str));
            ctx.error(text.pos, e.what).help_maybe(help);
            None
        }
    }
}

impl Devices<'_> {
    /// A point by model and name: the model says its type, its scale and its unit.
    pub(super) fn sunspec_point(
        &mut self,
        at: &PointPlace<'_>,
        point: &ModbusPoint,
        zero_counts: bool,
    ) -> Option<modbus::PointConfig> {
        let mut ctx = Ctx { reader: self.reader, file: at.file };
        let wanted = reference(&mut ctx, &point.at)?;
        refuse_own_scaling(&mut ctx, point);
        let type_default = value_type(&mut ctx, &point.at, &wanted)?;
        let own = wanted.any.first().and_then(|at| units::own(at.row.unit));
        let own = own.map(|unit| At { value: unit.to_owned(), pos: point.at.pos });
        let unit = point.unit.clone().or(own.filter(|_| type_default == ValueType::Float));
        let scales = scales(&mut ctx, point, &wanted, unit.as_ref());
        let revert = revert(&mut ctx, point);
        let form = PointForm {
            tag: &point.tag,
            title: point.title.as_ref().map(|l| &l.0),
            unit: &unit,
            value_type: &point.value_type,
            type_default,
            range: &point.range,
            decimals: point.decimals,
            ttl: &point.ttl,
            frozen_after: &point.frozen_after,
            category: &point.category,
            log: &point.log,
            states: &point.states,
            group: &point.group,
            write: point.write.as_ref(),
            fallback: point.fallback.as_ref(),
            entry: point.entry.as_ref(),
        };
        let Declared { def, group, write } = self.point(at, &form)?;
        let first = *wanted.any.first()?;
        Some(modbus::PointConfig {
            tag: def.id,
            path: def.path,
            address: modbus::Address { area: modbus::Area::Holding, pdu: 0, bit: None },
            wire: first.row.kind.wire(),
            order: modbus::ByteOrder::Abcd,
            scale: 1.0,
            offset: 0.0,
            value_type: def.value_type,
            range: def.range,
            group,
            write: write.map(|w| modbus::WriteConfig {
                verify_within: w.verify_within,
                tolerance: w.tolerance,
                repeat: w.repeat.or(revert.map(|time| time / REPEATS)),
            }),
            sunspec: Some(Box::new(SunSpecPoint { wanted, scales, revert, zero_counts, placed: None })),
        })
    }
}

/// What a model says cannot be said again.
fn refuse_own_scaling(ctx: &mut Ctx<'_>, point: &ModbusPoint) {
    let said = [("as", point.wire.as_ref().map(|t| t.pos)), ("byte_order", point.byte_order.as_ref().map(|t| t.pos))];
    let said = said
        .into_iter()
        .chain([("offset", point.offset.as_ref().map(|n| n.pos)), ("raw", point.raw.as_ref().map(|n| n.pos))]);
    for (key, pos) in said.filter_map(|(key, pos)| Some((key, pos?))) {
        ctx.error(pos, format!("`{key}` is said by the SunSpec model")).help("leave it out");
    }
    if let Some(scale) = point.scale.as_ref().filter(|scale| scale.value.abs() != 1.0) {
        ctx.error(scale.pos, "the scale is said by the device and by the unit of the tag")
            .help("leave it out; only -1, which turns the sign, may stand here");
    }
}

/// What the tag is where nothing is said: a number with fractions where any of the models gives one.
fn value_type(ctx: &mut Ctx<'_>, text: &At<String>, wanted: &Reference) -> Option<ValueType> {
    let texts = wanted.any.iter().filter(|at| at.row.kind.wire().is_text()).count();
    if texts > 0 && texts < wanted.any.len() {
        ctx.error(text.pos, "one of these is a text and another a number").help("one tag is either");
        return None;
    }
    let fractions = |at: &Alternative| at.factor.is_some() || at.row.kind.is_float() || !at.row.unit.is_empty();
    Some(match texts {
        0 if wanted.any.iter().any(fractions) => ValueType::Float,
        0 => ValueType::Int,
        _ => ValueType::Text,
    })
}

/// For each alternative, what makes its unit the tag's.
fn scales(ctx: &mut Ctx<'_>, point: &ModbusPoint, wanted: &Reference, unit: Option<&At<String>>) -> Vec<f64> {
    let sign = point.scale.as_ref().map_or(1.0, |scale| scale.value.signum());
    let of_tag = unit.map_or(Ok(Unit::NONE), |unit| Unit::parse(&unit.value));
    // A unit that nobody knows is told of where the tag is declared.
    let Ok(of_tag) = of_tag else { return vec![sign; wanted.any.len()] };
    let mut factor = |at: &Alternative| {
        units::factor(at.row.unit, &of_tag.to_string()).unwrap_or_else(|| {
            let pos = unit.map_or(point.at.pos, |unit| unit.pos);
            let is = if at.row.unit.is_empty() { "has no unit".to_owned() } else { format!("is in {}", at.row.unit) };
            let fits = units::fitting(at.row.unit);
            let help = (!fits.is_empty()).then(|| format!("a tag of it can be in {}", fits.join(", ")));
            let what =
                if of_tag == Unit::NONE { "the tag has none".to_owned() } else { format!("the tag in {of_tag}") };
            ctx.error(pos, format!("sunspec {at} {is}, {what}")).help_maybe(help);
            1.0
        })
    };
    wanted.any.iter().map(|at| sign * factor(at)).collect()
}

fn revert(ctx: &mut Ctx<'_>, point: &ModbusPoint) -> Option<Duration> {
    let text = point.revert.as_ref()?;
    if point.write.is_none() {
        ctx.error(text.pos, "only a command is taken back").help("add `write: {}`, or leave `revert` out");
        return None;
    }
    let time = ctx.duration_at(text)?;
    if time < REVERT_MIN || time.subsec_nanos() != 0 {
        ctx.error(text.pos, format!("`{}` is not a time a device counts", text.value))
            .help(format!("whole seconds, at least {} s: 60s", REVERT_MIN.as_secs()));
        return None;
    }
    Some(time)
}
