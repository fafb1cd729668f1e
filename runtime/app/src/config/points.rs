//! One point of a device file: what it declares of its tag, whatever the driver.

use super::devices::{Devices, Group, TTL_MIN, TTL_PERIODS, VERIFY_WITHIN};
use super::files::{EntryFile, FallbackFile, WriteFile};
use super::tags::{Common, Ctx, Draft, Kind};
use super::text::At;
use crate::diagnostics::{FileId, Pos, suggest};
use penstock_model::{Category, DeviceId, Source, TagDef, Text, ValueType};
use std::time::Duration;

impl Devices<'_> {
    /// What a point of any driver declares: its tag, its group, how it is written.
    pub(super) fn point(&mut self, at: &PointPlace<'_>, p: &PointForm<'_>) -> Option<Declared> {
        let mut ctx = Ctx { reader: self.reader, file: at.file };
        let path = at.prefix.map_or_else(|| p.tag.value.clone(), |prefix| format!("{prefix}/{}", p.tag.value));
        let title = match (&at.prefix_title, p.title) {
            (Some(prefix), Some(own)) => {
                Some(Text::new(&format!("{}{}", prefix.zh, own.zh), &format!("{} {}", prefix.en, own.en)))
            }
            (_, own) => own.cloned(),
        };
        let group = match p.group {
            None => 0,
            Some(name) => at.groups.iter().position(|(n, _)| n.value == name.value).unwrap_or_else(|| {
                let help = suggest(&name.value, at.groups.iter().map(|(n, _)| n.value.as_str()));
                ctx.error(name.pos, format!("unknown group `{}`", name.value)).help_maybe(help);
                0
            }),
        };
        let common = Common {
            path,
            title,
            unit: p.unit,
            value_type: p.value_type,
            type_default: p.type_default,
            range: p.range,
            decimals: p.decimals,
            category: p.category,
            category_default: at.category,
            log: p.log,
            states: p.states,
        };
        let (kind, source) = match (p.write, p.entry) {
            (_, Some(_)) => (Kind::Entered, Source::Operator),
            (Some(_), None) => (Kind::Written, Source::Program("".into())),
            (None, None) => (Kind::Read, Source::Device(at.device)),
        };
        let mut def = ctx.tag(&common, source);
        let every = at.groups.get(group).map_or(Duration::from_secs(1), |(_, every)| *every);
        if kind == Kind::Read {
            def.ttl = Some(ctx.duration(p.ttl, (every * TTL_PERIODS).max(TTL_MIN)));
            def.frozen_after = p.frozen_after.as_ref().and_then(|t| ctx.duration_at(t));
            check_ttl(&mut ctx, p.ttl, def.ttl, every);
        }
        let write = p.write.map(|w| {
            def.output = Some(Box::new(ctx.output(&def, Some(at.device), w, p.fallback, p.entry.is_some())));
            Written {
                verify_within: ctx.duration(&w.value.verify_within, VERIFY_WITHIN),
                tolerance: ctx.not_negative(&w.value.tolerance, "tolerance"),
                repeat: w.value.repeat.as_ref().and_then(|t| ctx.duration_at(t)),
            }
        });
        if let Some(entry) = p.entry {
            def.entry = Some(Box::new(ctx.entry(&def, &entry.value.initial, &entry.value.limits, &entry.value.role)));
        }
        let feedback = p.write.and_then(|w| ctx.feedback(&w.value, at.prefix));
        check_parts(&mut ctx, p, at.repeats);
        let place = at.place.unwrap_or((at.file, p.tag.pos));
        let draft = Draft { def: def.clone(), kind, place: Some(place), writer: None };
        let id = self.tags.add(self.reader, draft)?;
        def.id = id;
        self.tags.feedback.extend(feedback.map(|f| (id, f)));
        Some(Declared { def, group, write })
    }
}

/// What a point has declared: its tag, its group, and how long and how closely it is verified when written.
pub(super) struct Declared {
    pub def: TagDef,
    pub group: usize,
    pub write: Option<Written>,
}

/// How a point is written.
pub(super) struct Written {
    pub verify_within: Duration,
    pub tolerance: f64,
    pub repeat: Option<Duration>,
}

/// Where a point stands.
pub(super) struct PointPlace<'a> {
    pub device: DeviceId,
    pub file: FileId,
    /// Its driver can write a command again and again.
    pub repeats: bool,
    pub prefix: Option<&'a str>,
    pub prefix_title: Option<Text>,
    /// The place to blame for the tag's path where the point itself is a profile's.
    pub place: Option<(FileId, Pos)>,
    pub category: Category,
    pub groups: &'a [Group],
    /// Modbus unit of the device.
    pub unit: u8,
}

/// What a point of any driver says.
pub(super) struct PointForm<'a> {
    pub tag: &'a At<String>,
    pub title: Option<&'a Text>,
    pub unit: &'a Option<At<String>>,
    pub value_type: &'a Option<At<String>>,
    pub type_default: ValueType,
    pub range: &'a Option<At<(f64, f64)>>,
    pub decimals: Option<u8>,
    pub ttl: &'a Option<At<String>>,
    pub frozen_after: &'a Option<At<String>>,
    pub category: &'a Option<At<String>>,
    pub log: &'a Option<super::files::LogFile>,
    pub states: &'a Option<At<super::states::StatesFile>>,
    pub group: &'a Option<At<String>>,
    pub write: Option<&'a At<WriteFile>>,
    pub fallback: Option<&'a At<FallbackFile>>,
    pub entry: Option<&'a At<EntryFile>>,
}

fn check_parts(ctx: &mut Ctx<'_>, p: &PointForm<'_>, repeats: bool) {
    if let Some(repeat) = p.write.and_then(|w| w.value.repeat.as_ref()).filter(|_| !repeats) {
        ctx.error(repeat.pos, "an OPC UA point is written on change only").help("leave `repeat` out");
    }
    if let (None, Some(fallback)) = (p.write, p.fallback) {
        ctx.error(fallback.pos, format!("`{}` has a fallback but no `write`", p.tag.value));
    }
    if let (None, Some(entry)) = (p.write, p.entry) {
        ctx.error(entry.pos, format!("`{}` is entered but not written to its device", p.tag.value))
            .help("add `write: {}`, or declare the entry in tags.yaml");
    }
    if let (Some(_), Some(ttl)) = (p.write, p.ttl) {
        ctx.error(ttl.pos, format!("`{}` is written: it has no time to live", p.tag.value));
    }
}

fn check_ttl(ctx: &mut Ctx<'_>, given: &Option<At<String>>, ttl: Option<Duration>, every: Duration) {
    if let (Some(at), Some(ttl)) = (given, ttl)
        && ttl <= every
    {
        ctx.error(at.pos, format!("a time to live of {} is over before the next poll ({every:?})", at.value))
            .help("three to five poll periods bear a lost answer");
    }
}
