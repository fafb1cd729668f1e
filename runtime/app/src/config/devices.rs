//! Device files: from what an engineer wrote to what a driver runs.

use super::channels::{Channels, GroupPlaces, MODBUS_DRIVERS, Way, check_load, overridden};
use super::files::DeviceProbe;
use super::modbus_files::{ModbusFile, ModbusPoint};
use super::opcua_files::OpcUaFile;
use super::points::{Declared, PointForm, PointPlace};
use super::quirks::{group_places, quirks};
use super::read::Reader;
use super::spots::Spots;
use super::tags::{Ctx, Tags};
use super::text::{At, Pairs};
use super::{Device, DriverConfig, Overrides};
use crate::diagnostics::{FileId, Pos, suggest};
use penstock_modbus as modbus;
use penstock_model::limits::DEVICES_MAX;
use penstock_model::{Category, DeviceId, Text, ValueType};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DRIVERS: [&str; 5] = ["modbus-tcp", "modbus-rtu", "modbus-rtu-tcp", "modbus", "opcua"];
/// Time to live, in poll periods: four lost answers in a row are an outage, one is noise.
pub(super) const TTL_PERIODS: u32 = 5;
/// Shortest default time to live: shorter, and a garbage collection of a PC in between would be an outage.
pub(super) const TTL_MIN: Duration = Duration::from_secs(2);
/// Default of `timeout` of a Modbus device.
const MODBUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Default of `gap_max`: reading eight registers along costs less than another round trip.
const GAP_MAX: u16 = 8;
/// Default of `verify_within`.
pub(super) const VERIFY_WITHIN: Duration = Duration::from_secs(2);

type ModbusForm = (FileId, ModbusFile);
pub(super) type Group = (At<String>, Duration);

/// Reads device files into devices and their tags.
pub struct Devices<'a> {
    pub reader: &'a mut Reader,
    pub tags: &'a mut Tags,
    pub site_dir: &'a Path,
    pub profiles_dir: PathBuf,
    pub overrides: &'a Overrides,
    pub list: Vec<Device>,
    names: HashMap<String, (FileId, Pos)>,
    channels: Channels,
    /// Where Modbus devices and their groups stand.
    places: HashMap<String, GroupPlaces>,
    profiles: HashMap<String, Option<(FileId, Arc<ModbusFile>)>>,
    overridden: Vec<String>,
}

impl<'a> Devices<'a> {
    pub fn new(
        reader: &'a mut Reader,
        tags: &'a mut Tags,
        site_dir: &'a Path,
        profiles_dir: PathBuf,
        overrides: &'a Overrides,
        channels: Channels,
    ) -> Self {
        Self {
            reader,
            tags,
            site_dir,
            profiles_dir,
            overrides,
            list: Vec::new(),
            names: HashMap::new(),
            channels,
            places: HashMap::new(),
            profiles: HashMap::new(),
            overridden: Vec::new(),
        }
    }

    /// Reads one file.
    pub fn read(&mut self, path: &Path, named: Option<(FileId, Pos)>) {
        let Some((file, text)) = self.reader.text(path, named) else {
            self.reader.lost.any_tag = true;
            return;
        };
        let Ok(probe) = super::read::parse::<DeviceProbe>(&text) else {
            // The form below tells what is wrong with it.
            self.reader.form::<ModbusFile>(file, &text);
            self.reader.lost.any_tag = true;
            return;
        };
        match probe.driver.as_ref().map(|d| d.value.as_str()) {
            Some("opcua") => match self.reader.form::<OpcUaFile>(file, &text) {
                Some(form) => self.opcua(file, &form),
                None => self.reader.lost.any_tag = true,
            },
            Some(word) if MODBUS_DRIVERS.contains(&word) => self.modbus_file(file, &text),
            None if probe.profile.is_some() => self.modbus_file(file, &text),
            Some(other) => {
                let pos = probe.driver.as_ref().map(|d| d.pos).unwrap_or_default();
                let help = suggest(other, DRIVERS);
                self.reader.report.error(file, pos, format!("unknown driver `{other}`")).help_maybe(help);
                self.reader.lost.any_tag = true;
            }
            None => {
                let pos = probe.device.as_ref().map(|d| d.pos).unwrap_or_default();
                self.reader
                    .report
                    .error(file, pos, "the device names neither a driver nor a profile")
                    .help(format!("known drivers: {}", DRIVERS.join(", ")));
                self.reader.lost.any_tag = true;
            }
        }
    }

    /// What only the whole shows: overrides that met no device, channels that are asked too much.
    pub fn finish(self) -> Vec<Device> {
        check_load(self.reader, &self.list, &self.places);
        for (name, _) in &self.overrides.device_address {
            if !self.overridden.contains(name) {
                let help = suggest(name, self.list.iter().map(|d| &*d.name));
                self.reader
                    .report
                    .error_outside(format!("no device, gateway or channel is called `{name}`"))
                    .help_maybe(help);
            }
        }
        self.list
    }

    fn modbus_file(&mut self, file: FileId, text: &str) {
        let Some(form) = self.reader.form::<ModbusFile>(file, text) else {
            self.reader.lost.any_tag = true;
            return;
        };
        let profile = match &form.profile {
            None => None,
            Some(name) => match self.profile(file, name) {
                Some(profile) => Some(profile),
                None => {
                    self.reader.lost.any_tag = true;
                    return;
                }
            },
        };
        self.modbus(&(file, form), profile.as_ref().map(|(f, p)| (*f, &**p)));
    }

    fn profile(&mut self, file: FileId, name: &At<String>) -> Option<(FileId, Arc<ModbusFile>)> {
        if let Some(known) = self.profiles.get(&name.value) {
            return known.clone();
        }
        let path = self.profiles_dir.join(format!("{}.yaml", name.value));
        let found = if path.is_file() {
            let (profile_file, text) = self.reader.text(&path, Some((file, name.pos)))?;
            let form = self.reader.form::<ModbusFile>(profile_file, &text);
            form.filter(|form| self.profile_fits(profile_file, form)).map(|form| (profile_file, Arc::new(form)))
        } else {
            let all = self.reader.find(&self.profiles_dir, "*.yaml");
            let names: Vec<String> =
                all.iter().filter_map(|p| p.file_stem()).map(|s| s.to_string_lossy().into_owned()).collect();
            let help = suggest(&name.value, names.iter().map(String::as_str));
            self.reader.report.error(file, name.pos, format!("unknown profile `{}`", name.value)).help_maybe(help);
            None
        };
        self.profiles.insert(name.value.clone(), found.clone());
        found
    }

    /// A profile is for a driver that has profiles.
    fn profile_fits(&mut self, file: FileId, form: &ModbusFile) -> bool {
        let Some(driver) = form.driver.as_ref().filter(|d| !MODBUS_DRIVERS.contains(&d.value.as_str())) else {
            return true;
        };
        self.reader.report.error(file, driver.pos, format!("profiles are for Modbus, not for `{}`", driver.value));
        false
    }

    /// Takes a name for a new device.
    pub(super) fn name(&mut self, file: FileId, name: &At<String>) -> DeviceId {
        if let Some((other, pos)) = self.names.get(&name.value) {
            let first = self.reader.report.place(*other, *pos);
            self.reader
                .report
                .error(file, name.pos, format!("device `{}` is declared twice", name.value))
                .label(format!("first declared here: {first}"));
        }
        self.names.insert(name.value.clone(), (file, name.pos));
        if self.list.len() == DEVICES_MAX {
            self.reader.report.error(file, name.pos, format!("more than {DEVICES_MAX} devices"));
        }
        DeviceId(u16::try_from(self.list.len()).unwrap_or(u16::MAX))
    }

    /// The address given from outside for a device or its gateway.
    pub(super) fn address_override(&mut self, device: &str, others: [Option<&At<String>>; 2]) -> Option<String> {
        let (name, address) = overridden(self.overrides, device, others)?;
        self.overridden.push(name);
        Some(address)
    }

    fn modbus(&mut self, (file, form): &ModbusForm, profile: Option<(FileId, &ModbusFile)>) {
        let file = *file;
        let base = profile.map(|(_, p)| p);
        let Some(name) = &form.device else {
            self.reader.report.error(file, Pos::default(), "the device has no name").help("start with: device: <name>");
            return;
        };
        let id = self.name(file, name);
        let device: Arc<str> = name.value.as_str().into();
        let title = form.title.as_ref().map_or_else(|| Text::same(&name.value), |l| l.0.clone());
        let outside = self.address_override(&name.value, [form.gateway.as_ref(), form.channel.as_ref()]);
        let mut ctx = Ctx { reader: self.reader, file };
        let Way { address, config: channel, pos: address_pos } = self.channels.of(&mut ctx, name, form, base, outside);
        if let (Some(prefix), None) = (&form.prefix, profile) {
            ctx.error(prefix.pos, "a prefix belongs to a profile; this device names none");
        }
        let category =
            ctx.category(&form.category.clone().or(base.and_then(|b| b.category.clone())), Category::Process);
        let groups = modbus_groups(&mut ctx, form, profile);
        let mut config = modbus_head(&mut ctx, form, base, &groups);
        (config.id, config.name, config.address, config.channel) = (id, device.clone(), address.clone(), channel);
        config.heartbeat = heartbeat(&mut ctx, form, profile);
        config.sunspec = super::sunspec::settings(&mut ctx, form, profile);
        self.places.insert(name.value.clone(), group_places(file, form, profile));
        let mut places = HashMap::new();
        let parts = profile.into_iter().chain(std::iter::once((file, form)));
        for (point_file, part) in parts {
            let own = std::ptr::eq(part, form);
            let order = part.byte_order.as_ref().or(base.and_then(|b| b.byte_order.as_ref()));
            for point in &part.points {
                let at = PointPlace {
                    device: id,
                    file: point_file,
                    repeats: true,
                    prefix: form.prefix.as_ref().filter(|_| !own).map(|p| p.value.as_str()),
                    prefix_title: form.title.as_ref().filter(|_| !own && form.prefix.is_some()).map(|l| l.0.clone()),
                    place: if own { None } else { Some((file, name.pos)) },
                    category,
                    groups: &groups,
                    unit: config.unit,
                };
                let made = if modbus::sunspec::reference::is_reference(&point.at.value) {
                    self.sunspec_point(&at, point, super::sunspec::zero_counts(form, base))
                } else {
                    self.modbus_point(&at, point, order, zero_based(form, base))
                };
                if let Some(p) = made {
                    places.insert(p.path.clone(), (point_file, point.at.pos));
                    config.points.push(p);
                }
            }
        }
        config.points.shrink_to_fit();
        let spots = Spots {
            file,
            device: name.pos,
            address: address_pos,
            heartbeat: form.heartbeat.as_ref().map(|h| h.write.pos),
            places,
        };
        spots.tell(self.reader, &device, config.check());
        self.list.push(Device { id, name: device, title, address, driver: DriverConfig::Modbus(config) });
    }

    fn modbus_point(
        &mut self,
        at: &PointPlace<'_>,
        point: &ModbusPoint,
        order: Option<&At<String>>,
        zero_based: bool,
    ) -> Option<modbus::PointConfig> {
        let mut ctx = Ctx { reader: self.reader, file: at.file };
        let place = place_of(&mut ctx, &point.at, zero_based, at.unit);
        let address = place.map(|p| p.address);
        let wire = match (&point.wire, address) {
            (None, _) if place.is_some_and(|p| p.wire.is_some()) => place.and_then(|p| p.wire),
            (Some(text), _) => modbus::WireType::parse(&text.value)
                .map_err(|e| {
                    ctx.error(text.pos, format!("`{}` is not a wire type", text.value)).help(e.hint);
                })
                .ok(),
            (None, Some(a)) if !a.area.is_register() => Some(modbus::WireType::Bit),
            (None, _) => {
                ctx.error(point.at.pos, "the point does not say its wire type")
                    .help("add: as: uint16, or float32, or bit");
                None
            }
        };
        let order = point.byte_order.as_ref().or(order.filter(|_| place.is_none_or(|p| p.order.is_none())));
        let named = place.and_then(|p| p.order).unwrap_or_default();
        let order = order.map_or(Some(named), |text| {
            modbus::ByteOrder::parse(&text.value)
                .map_err(|e| {
                    ctx.error(text.pos, format!("`{}` is not a byte order", text.value)).help(e.hint);
                })
                .ok()
        });
        if let Some(revert) = &point.revert {
            ctx.error(revert.pos, "`revert` sets a timer that SunSpec models have")
                .help("leave it out, or use `write: repeat`");
        }
        let (scale, offset) = super::quirks::scaling(&mut ctx, point);
        let scaled = point.scale.is_some() || point.offset.is_some() || point.raw.is_some();
        let type_default = match wire {
            Some(modbus::WireType::Bit) => ValueType::Bool,
            Some(w) if w.is_text() => ValueType::Text,
            Some(modbus::WireType::Float32 | modbus::WireType::Float64) | None => ValueType::Float,
            Some(_) if scaled => ValueType::Float,
            Some(_) => ValueType::Int,
        };
        let form = PointForm {
            tag: &point.tag,
            title: point.title.as_ref().map(|l| &l.0),
            unit: &point.unit,
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
        let tag = def.id;
        Some(modbus::PointConfig {
            tag,
            path: def.path,
            address: address?,
            wire: wire?,
            order: order?,
            scale,
            offset,
            value_type: def.value_type,
            range: def.range,
            group,
            write: write.map(|w| modbus::WriteConfig {
                verify_within: w.verify_within,
                tolerance: w.tolerance,
                repeat: w.repeat,
            }),
            sunspec: None,
        })
    }
}

/// Everything about a device but its name, its address and its points.
fn modbus_head(
    ctx: &mut Ctx<'_>,
    form: &ModbusFile,
    base: Option<&ModbusFile>,
    groups: &[Group],
) -> modbus::DeviceConfig {
    let timeout_text = form.timeout.as_ref().or(base.and_then(|b| b.timeout.as_ref())).cloned();
    let timeout = ctx.duration(&timeout_text, MODBUS_TIMEOUT);
    let pause = form.pause_after_connect.as_ref().or(base.and_then(|b| b.pause_after_connect.as_ref())).cloned();
    let pause = ctx.duration(&pause, Duration::ZERO);
    let pick = |own: &Option<At<u16>>, from: Option<&Option<At<u16>>>, default: u16| {
        own.as_ref().or(from.and_then(Option::as_ref)).map_or(default, |at| at.value)
    };
    modbus::DeviceConfig {
        id: DeviceId(0),
        name: "".into(),
        address: String::new(),
        unit: form.unit.as_ref().or(base.and_then(|b| b.unit.as_ref())).map_or(1, |at| at.value),
        timeout,
        groups: groups
            .iter()
            .map(|(n, every)| modbus::GroupConfig { name: n.value.as_str().into(), every: *every })
            .collect(),
        points: modbus::Points::default(),
        registers_max: pick(&form.registers_max, base.map(|b| &b.registers_max), modbus::limits::REGISTERS_MAX),
        bits_max: pick(&form.bits_max, base.map(|b| &b.bits_max), modbus::limits::BITS_MAX),
        gap_max: pick(&form.gap_max, base.map(|b| &b.gap_max), GAP_MAX),
        heartbeat: None,
        pause_after_connect: pause,
        channel: modbus::ChannelConfig::default(),
        quirks: quirks(ctx, form, base),
        sunspec: modbus::sunspec::Settings::default(),
    }
}

/// The heartbeat, as the device's own file or its profile says, told where it stands.
fn heartbeat(
    ctx: &mut Ctx<'_>,
    form: &ModbusFile,
    profile: Option<(FileId, &ModbusFile)>,
) -> Option<modbus::Heartbeat> {
    let base = profile.map(|(_, p)| p);
    let theirs = profile.and_then(|(file, p)| Some((file, p.heartbeat.as_ref()?)));
    let (file, h) = form.heartbeat.as_ref().map(|h| (ctx.file, h)).or(theirs)?;
    let ctx = &mut Ctx { reader: ctx.reader, file };
    let every = ctx.duration_at(&h.every)?;
    let (address, sunspec) = super::sunspec::heartbeat(ctx, &h.write, zero_based(form, base))?;
    let values = ctx.word(&h.values, modbus::Beats::Count, "heartbeat", &modbus::Beats::ALL, modbus::Beats::as_str);
    let all = &modbus::BeatsWhile::ALL;
    let beats = ctx.word(&h.beats, modbus::BeatsWhile::Healthy, "condition", all, modbus::BeatsWhile::as_str);
    Some(modbus::Heartbeat { address, every, values, beats, placed: sunspec.is_none(), sunspec })
}

fn zero_based(form: &ModbusFile, base: Option<&ModbusFile>) -> bool {
    form.zero_based.or(base.and_then(|b| b.zero_based)).unwrap_or(false)
}

/// The place of a point in any notation; a unit it names is the device's own.
fn place_of(ctx: &mut Ctx<'_>, text: &At<String>, zero_based: bool, unit: u8) -> Option<modbus::Place> {
    match modbus::parse_place(&text.value, zero_based) {
        Ok(place) if place.unit.is_some_and(|named| named != unit) => {
            ctx.error(text.pos, format!("`{}` names another unit; this device is unit {unit}", text.value))
                .help("a unit is a device: give it a file of its own");
            None
        }
        Ok(place) => Some(place),
        Err(e) => {
            ctx.error(text.pos, format!("`{}` is not a Modbus address", text.value)).help(e.hint);
            None
        }
    }
}

pub(super) fn address_of(ctx: &mut Ctx<'_>, text: &At<String>, zero_based: bool) -> Option<modbus::Address> {
    match modbus::parse_address(&text.value, zero_based) {
        Ok(address) => Some(address),
        Err(e) => {
            ctx.error(text.pos, format!("`{}` is not a Modbus address", text.value)).help(e.hint);
            None
        }
    }
}

pub(super) fn groups_of<T>(ctx: &mut Ctx<'_>, groups: &Pairs<T>, period: impl Fn(&T) -> &At<String>) -> Vec<Group> {
    groups.0.iter().filter_map(|(name, g)| Some((name.clone(), ctx.duration_at(period(g))?))).collect()
}

/// A device's own groups, over those of its profile.
fn modbus_groups(ctx: &mut Ctx<'_>, form: &ModbusFile, profile: Option<(FileId, &ModbusFile)>) -> Vec<Group> {
    let mut groups = Vec::new();
    if let Some((file, base)) = profile {
        let mut ctx = Ctx { reader: ctx.reader, file };
        groups = groups_of(&mut ctx, &base.groups, |g| &g.every);
    }
    for own in groups_of(ctx, &form.groups, |g| &g.every) {
        match groups.iter_mut().find(|(name, _)| name.value == own.0.value) {
            Some(same) => *same = own,
            None => groups.push(own),
        }
    }
    let pos = form.device.as_ref().map(|d| d.pos).unwrap_or_default();
    let empty = form.points.is_empty() && profile.is_none_or(|(_, b)| b.points.is_empty());
    require_group(ctx, pos, &groups, empty, "every");
    groups
}

pub(super) fn require_group(ctx: &mut Ctx<'_>, pos: Pos, groups: &[Group], no_points: bool, key: &str) {
    if groups.is_empty() && !no_points {
        ctx.error(pos, "the device has points but no group")
            .help(format!("add: groups: {{ normal: {{ {key}: 1s }} }}"));
    }
}
