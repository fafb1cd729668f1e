//! `channels.yaml`: connections and serial lines that several devices share; and which channel each device is on.
//!
//! A device names its channel, or says its own address. Devices of one gateway, and devices on one serial port, share
//! the connection although nobody declared a channel.

use super::modbus_files::ModbusFile;
use super::read::Reader;
use super::tags::Ctx;
use super::text::At;
use super::{Device, DriverConfig, Overrides};
use crate::diagnostics::{FileId, Pos, suggest};
use penstock_modbus::limits::{BAUDS, DEAD_SHARE_DEFAULT, DEAD_SHARE_MAX, UNITS_MAX};
use penstock_modbus::{ChannelConfig, Parity, Rts, SerialSettings, Transport};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// What stands behind `driver:` of a Modbus device. `modbus` leaves the transport to the channel.
pub const MODBUS_DRIVERS: [&str; 4] = ["modbus-tcp", "modbus-rtu", "modbus-rtu-tcp", "modbus"];

/// One connection or serial line of `channels.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelFile {
    /// Its name: devices say `channel: <name>`.
    pub channel: At<String>,
    /// Modbus TCP: `host:port` of the gateway.
    pub tcp: Option<At<String>>,
    /// Modbus RTU through a serial device server: its `host:port`.
    pub rtu_over_tcp: Option<At<String>>,
    /// Modbus RTU: path of the serial port, `/dev/ttyUSB0`.
    pub serial: Option<At<String>>,
    /// How characters go over the serial line.
    pub line: Option<At<LineFile>>,
    /// Silence kept between frames, beyond what the standard asks. Default none.
    pub pause: Option<At<String>>,
    /// After an answer that did not come, the line must be silent for this long. Default 100ms on a serial line, 200ms
    /// behind a serial device server.
    pub turnaround: Option<At<String>>,
    /// How long devices think before they answer: for `penstock plan` and the check. Default 2ms over TCP, 10ms on a line.
    pub answer_time: Option<At<String>>,
    /// Share of the channel's time that units which do not answer may take, in percent. Default 4.
    pub dead_share: Option<At<f64>>,
}

/// `line:` of a channel, or of a device that has a serial port of its own
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineFile {
    /// Bits per second. Default 19200.
    pub baud: Option<At<u32>>,
    /// `even` (default), `odd`, `none`.
    pub parity: Option<At<String>>,
    /// 1 (default) or 2.
    pub stop_bits: Option<At<u8>>,
    /// What the adapter's request-to-send does: `auto` (default), `send` (on while we send), `listen` (on while we do not).
    pub rts: Option<At<String>>,
    /// True where our own bytes come back.
    pub echo: Option<bool>,
}

/// A channel as declared, or as the first device of it has it.
#[derive(Debug, Clone)]
struct Known {
    file: FileId,
    pos: Pos,
    address: String,
    config: ChannelConfig,
    units: HashMap<u8, (FileId, Pos)>,
}

/// All channels of a site.
#[derive(Debug, Default)]
pub struct Channels {
    declared: HashMap<String, Known>,
    /// By gateway or by serial port.
    shared: HashMap<String, Known>,
}

/// Where a device is, once that is known.
pub struct Way {
    pub address: String,
    pub config: ChannelConfig,
    /// The place that says so.
    pub pos: Option<Pos>,
}

impl Channels {
    /// Reads one file of channels.
    pub fn read(&mut self, reader: &mut Reader, path: &Path, named: Option<(FileId, Pos)>) {
        let Some((file, text)) = reader.text(path, named) else { return };
        let Some(list) = reader.form::<Vec<ChannelFile>>(file, &text) else { return };
        for form in &list {
            let name = &form.channel;
            if let Some(first) = self.declared.get(&name.value) {
                let first = reader.report.place(first.file, first.pos);
                reader
                    .report
                    .error(file, name.pos, format!("channel `{}` is declared twice", name.value))
                    .label(format!("first declared here: {first}"));
                continue;
            }
            let mut ctx = Ctx { reader, file };
            let (address, config) = declared(&mut ctx, form);
            let known = Known { file, pos: name.pos, address, config, units: HashMap::new() };
            self.declared.insert(name.value.clone(), known);
        }
    }

    /// The channel of a device: by its name, or by the device's own address.
    pub fn of(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: &At<String>,
        form: &ModbusFile,
        base: Option<&ModbusFile>,
        overridden: Option<String>,
    ) -> Way {
        if let Some(channel) = &form.channel {
            let profile = base.and_then(|b| b.unit.as_ref()).map(|unit| unit.value);
            return self.named(ctx, form, channel, (overridden, profile));
        }
        let pos = form.address.as_ref().map(|a| a.pos);
        let moved = overridden.is_some();
        let address = overridden.or_else(|| form.address.as_ref().map(|a| a.value.clone())).unwrap_or_else(|| {
            ctx.error(name.pos, format!("device `{}` has no address", name.value))
                .help("add: address: <host>:502, or channel: <a channel of channels.yaml>");
            String::new()
        });
        let driver = form.driver.as_ref().or(base.and_then(|b| b.driver.as_ref())).map_or("modbus-tcp", |d| &d.value);
        let transport = match driver {
            "modbus-rtu" => Transport::Serial(serial(ctx, form.line.as_ref().map(|at| &at.value))),
            "modbus-rtu-tcp" => Transport::RtuOverTcp,
            "modbus" => {
                ctx.error(name.pos, format!("device `{}` does not say how it is reached", name.value))
                    .help("say channel: <name>, or driver: modbus-tcp, modbus-rtu or modbus-rtu-tcp");
                Transport::Tcp
            }
            _ => Transport::Tcp,
        };
        if let (Some(line), false) = (&form.line, matches!(transport, Transport::Serial(_))) {
            ctx.error(line.pos, format!("`line` belongs to a serial port; the driver is `{driver}`"))
                .help("say driver: modbus-rtu");
        }
        let mut config = ChannelConfig { transport, ..ChannelConfig::default() };
        let shared = match (&form.gateway, &config.transport) {
            // Moved from outside, devices share what they are moved to.
            (Some(gateway), _) if moved => Some((format!("{} at {address}", gateway.value), gateway.pos)),
            (Some(gateway), _) => Some((gateway.value.clone(), gateway.pos)),
            (None, Transport::Serial(_)) if !address.is_empty() => Some((address.clone(), pos.unwrap_or(name.pos))),
            _ => None,
        };
        if let Some((key, at)) = shared {
            config.name = Some(key.as_str().into());
            let from_profile = base.and_then(|b| b.unit.as_ref()).map(|unit| (unit.value, at));
            let unit = form.unit.as_ref().map(|unit| (unit.value, unit.pos)).or(from_profile).unwrap_or((1, at));
            self.share(ctx, (&key, at), &address, &config, unit);
        }
        Way { address, config, pos }
    }

    /// A device that names a declared channel.
    fn named(
        &mut self,
        ctx: &mut Ctx<'_>,
        form: &ModbusFile,
        channel: &At<String>,
        (overridden, profile_unit): (Option<String>, Option<u8>),
    ) -> Way {
        let other = [&form.address, &form.gateway].into_iter().flatten().map(|at| at.pos);
        for pos in other.chain(form.line.as_ref().map(|line| line.pos)) {
            ctx.error(pos, format!("the device is on channel `{}`, which says this already", channel.value))
                .help("leave it out here");
        }
        let Some(known) = self.declared.get_mut(&channel.value) else {
            let help = suggest(&channel.value, self.declared.keys().map(String::as_str));
            ctx.error(channel.pos, format!("unknown channel `{}`", channel.value))
                .help(help.unwrap_or_else(|| "declare it in channels.yaml".to_owned()));
            // What is wrong is told; the rest of the device is looked at all the same.
            return Way { address: "unknown:1".to_owned(), config: ChannelConfig::default(), pos: Some(channel.pos) };
        };
        let word = known.config.transport.as_str();
        if let Some(driver) = form.driver.as_ref().filter(|d| d.value != "modbus" && d.value != word) {
            ctx.error(driver.pos, format!("channel `{}` is `{word}`, not `{}`", channel.value, driver.value))
                .help("say driver: modbus, which leaves it to the channel");
        }
        let unit = form.unit.as_ref().map_or((profile_unit.unwrap_or(1), channel.pos), |at| (at.value, at.pos));
        take_unit(ctx, known, unit, &channel.value);
        let mut config = known.config.clone();
        if let Some(address) = &overridden {
            config.name = Some(format!("{} at {address}", channel.value).into());
        }
        Way { address: overridden.unwrap_or_else(|| known.address.clone()), config, pos: Some(channel.pos) }
    }

    /// A device on a connection that others use without a declaration: all say the same of it.
    fn share(
        &mut self,
        ctx: &mut Ctx<'_>,
        (key, at): (&str, Pos),
        address: &str,
        config: &ChannelConfig,
        unit: (u8, Pos),
    ) {
        let fresh = || Known {
            file: ctx.file,
            pos: at,
            address: address.to_owned(),
            config: config.clone(),
            units: HashMap::new(),
        };
        let known = self.shared.entry(key.to_owned()).or_insert_with(fresh);
        if known.address != address || known.config != *config {
            let first = ctx.reader.report.place(known.file, known.pos);
            ctx.error(at, format!("`{key}` is described in two ways"))
                .label(format!("the other one: {first}"))
                .help("give all its devices one address and one transport, or declare it once in channels.yaml");
            return;
        }
        take_unit(ctx, known, unit, key);
    }
}

/// Two devices with one number on one line would answer together.
fn take_unit(ctx: &mut Ctx<'_>, known: &mut Known, (unit, pos): (u8, Pos), channel: &str) {
    let others = matches!(known.config.transport, Transport::Serial(_) | Transport::RtuOverTcp);
    if let (Some((file, other)), true) = (known.units.get(&unit), others) {
        let first = ctx.reader.report.place(*file, *other);
        ctx.error(pos, format!("unit {unit} of `{channel}` is taken")).label(format!("by the device at {first}"));
    }
    known.units.insert(unit, (ctx.file, pos));
    if known.units.len() > UNITS_MAX {
        ctx.error(pos, format!("more than {UNITS_MAX} units on `{channel}`"));
    }
}

fn declared(ctx: &mut Ctx<'_>, form: &ChannelFile) -> (String, ChannelConfig) {
    let ways = [
        form.tcp.as_ref().map(|at| (at, 0)),
        form.rtu_over_tcp.as_ref().map(|at| (at, 1)),
        form.serial.as_ref().map(|at| (at, 2)),
    ];
    let given: Vec<(&At<String>, u8)> = ways.into_iter().flatten().collect();
    let help = "say one of: tcp: <host>:502, rtu_over_tcp: <host>:<port>, serial: /dev/ttyUSB0";
    let (address, transport) = match given.as_slice() {
        [(at, 0)] => (at.value.clone(), Transport::Tcp),
        [(at, 1)] => (at.value.clone(), Transport::RtuOverTcp),
        [(at, _)] => (at.value.clone(), Transport::Serial(serial(ctx, form.line.as_ref().map(|at| &at.value)))),
        [] => {
            ctx.error(form.channel.pos, format!("channel `{}` does not say where it is", form.channel.value))
                .help(help);
            ("unknown:1".to_owned(), Transport::Tcp)
        }
        [first, second, ..] => {
            ctx.error(second.0.pos, format!("channel `{}` is in two places", form.channel.value)).help(help);
            (first.0.value.clone(), Transport::Tcp)
        }
    };
    if let (Some(line), false) = (&form.line, matches!(transport, Transport::Serial(_))) {
        ctx.error(line.pos, "`line` belongs to a serial port").help("say serial: <port>, or leave it out");
    }
    let share = form.dead_share.as_ref().map_or(DEAD_SHARE_DEFAULT, |at| {
        let most = DEAD_SHARE_MAX * 100.0;
        if (0.1..=most).contains(&at.value) {
            return at.value / 100.0;
        }
        ctx.error(at.pos, format!("a dead share of {} % is outside 0.1..{most} %", at.value));
        DEAD_SHARE_DEFAULT
    });
    let config = ChannelConfig {
        name: Some(form.channel.value.as_str().into()),
        transport,
        pause: ctx.duration(&form.pause, Duration::ZERO),
        turnaround: form.turnaround.as_ref().and_then(|t| ctx.duration_at(t)),
        dead_share: share,
        answer_time: form.answer_time.as_ref().and_then(|t| ctx.duration_at(t)),
    };
    (address, config)
}

fn serial(ctx: &mut Ctx<'_>, line: Option<&LineFile>) -> SerialSettings {
    let default = SerialSettings::default();
    let Some(line) = line else { return default };
    if let Some(at) = line.baud.as_ref().filter(|at| !BAUDS.contains(&at.value)) {
        ctx.error(at.pos, format!("{} bits per second is outside {}..{}", at.value, BAUDS.start(), BAUDS.end()));
    }
    if let Some(at) = line.stop_bits.as_ref().filter(|at| !(1..=2).contains(&at.value)) {
        ctx.error(at.pos, format!("{} stop bits; there are 1 and 2", at.value));
    }
    SerialSettings {
        baud: line.baud.as_ref().map_or(default.baud, |at| at.value.clamp(*BAUDS.start(), *BAUDS.end())),
        parity: ctx.word(&line.parity, default.parity, "parity", &Parity::ALL, Parity::as_str),
        stop_bits: line.stop_bits.as_ref().map_or(default.stop_bits, |at| at.value.clamp(1, 2)),
        rts: ctx.word(&line.rts, default.rts, "use of request-to-send", &Rts::ALL, Rts::as_str),
        echo: line.echo.unwrap_or(default.echo),
    }
}

/// The address given from outside for a device, its gateway or its channel.
pub fn overridden(overrides: &Overrides, device: &str, others: [Option<&At<String>>; 2]) -> Option<(String, String)> {
    let hit = |name: &&(String, String)| name.0 == device || others.iter().flatten().any(|g| g.value == name.0);
    overrides.device_address.iter().find(hit).cloned()
}

/// Channels that cannot meet the periods asked of them are refused, at the group that asks most.
pub fn check_load(reader: &mut Reader, devices: &[Device], places: &HashMap<String, GroupPlaces>) {
    let modbus: Vec<&penstock_modbus::DeviceConfig> = devices
        .iter()
        .filter_map(|d| match &d.driver {
            DriverConfig::Modbus(config) => Some(config),
            DriverConfig::OpcUa(_) => None,
        })
        .collect();
    for load in penstock_modbus::load(&modbus) {
        let (Some(why), Some((device, group))) = (load.too_much(&modbus), load.heaviest(&modbus)) else { continue };
        let config = modbus[device];
        let group = config.groups.get(group).map_or("", |g| &*g.name);
        let place = places.get(&*config.name).and_then(|p| p.groups.get(group).copied().or(Some(p.device)));
        let help = "poll slower, join points (gap_max, registers_max), raise the baud, or use another line; \
                    `penstock plan` lists every request";
        match place {
            Some((file, pos)) => reader.report.error(file, pos, why).help(help),
            None => reader.report.error_outside(why).help(help),
        };
    }
}

/// Where a device and its groups stand.
#[derive(Debug)]
pub struct GroupPlaces {
    pub device: (FileId, Pos),
    pub groups: HashMap<String, (FileId, Pos)>,
}
