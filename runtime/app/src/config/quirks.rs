//! What is peculiar to a Modbus device, from its file or its profile; and how wire values become the tag's.

use super::channels::GroupPlaces;
use super::modbus_files::{ModbusFile, ModbusPoint};
use super::tags::Ctx;
use super::text::At;
use crate::diagnostics::FileId;
use penstock_modbus::{Quirks, WriteWith};
use std::collections::HashMap;
use std::time::Duration;

/// The device's own word, else its profile's.
pub fn quirks(ctx: &mut Ctx<'_>, form: &ModbusFile, base: Option<&ModbusFile>) -> Quirks {
    type Text = Option<At<String>>;
    let text = |of: fn(&ModbusFile) -> &Text| -> Text { of(form).clone().or_else(|| base.and_then(|b| of(b).clone())) };
    let flag = |of: fn(&ModbusFile) -> Option<bool>| of(form).or(base.and_then(of)).unwrap_or(false);
    let mut time = |of: fn(&ModbusFile) -> &Text| text(of).as_ref().and_then(|at| ctx.duration_at(at));
    let pause = time(|f| &f.pause_between_requests).unwrap_or(Duration::ZERO);
    let pause_after_write = time(|f| &f.pause_after_write).unwrap_or(Duration::ZERO);
    let (write_timeout, keep_alive) = (time(|f| &f.write_timeout), time(|f| &f.keep_alive));
    let with = text(|f| &f.write_with);
    Quirks {
        pause,
        pause_after_write,
        write_timeout,
        one_by_one: flag(|f| f.one_by_one),
        write_with: ctx.word(&with, WriteWith::Auto, "way to write", &WriteWith::ALL, WriteWith::as_str),
        mask_write: flag(|f| f.mask_write),
        keep_alive,
        identify: flag(|f| f.identify),
        retries: form.retries.as_ref().or(base.and_then(|b| b.retries.as_ref())).map(|at| at.value),
    }
}

/// Scale and offset of a point: as written, or from the wire values at the ends of its range.
pub fn scaling(ctx: &mut Ctx<'_>, point: &ModbusPoint) -> (f64, f64) {
    let given = (point.scale.as_ref().map_or(1.0, |s| s.value), point.offset.as_ref().map_or(0.0, |s| s.value));
    let Some(raw) = &point.raw else { return given };
    if let Some(other) = point.scale.as_ref().or(point.offset.as_ref()) {
        ctx.error(other.pos, "`raw` and `range` say the scale already").help("leave out either of them");
        return given;
    }
    let Some(range) = &point.range else {
        ctx.error(raw.pos, "`raw` needs a `range`: the values that belong to its ends").help("add: range: [0, 100]");
        return given;
    };
    let ((from, to), (low, high)) = (raw.value, range.value);
    let scale = (high - low) / (to - from);
    if !scale.is_finite() || scale == 0.0 {
        ctx.error(raw.pos, format!("`raw` from {from} to {to} gives no scale for a range from {low} to {high}"))
            .help("the ends of a span differ, and are finite");
        return given;
    }
    (scale, low - from * scale)
}

/// Where a device and its groups stand; its own groups before those of its profile.
pub fn group_places(file: FileId, form: &ModbusFile, profile: Option<(FileId, &ModbusFile)>) -> GroupPlaces {
    let mut groups = HashMap::new();
    for (file, form) in profile.into_iter().chain([(file, form)]) {
        groups.extend(form.groups.0.iter().map(|(name, group)| (name.value.clone(), (file, group.every.pos))));
    }
    GroupPlaces { device: (file, form.device.as_ref().map(|d| d.pos).unwrap_or_default()), groups }
}
