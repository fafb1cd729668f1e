//! `modbus-server.yaml` of a site: which tags a foreign control system reads, and in which registers.

use super::read::Reader;
use super::tags::{Ctx, Tags};
use super::text::At;
use crate::diagnostics::{FileId, suggest};
use penstock_modbus::{Area, parse_address};
use penstock_modbus_server::limits::{CONNECTIONS_MAX, IDLE_LIMITS, POINTS_MAX};
use penstock_modbus_server::{Bad, Config, Form, Map, Point, WordOrder};
use penstock_model::{TagDef, ValueType};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Default of `address`: this machine alone, and a port that needs no privilege.
const ADDRESS: &str = "127.0.0.1:1502";
/// Default of `connections_max`.
const CONNECTIONS: usize = 8;
/// Default of `idle`.
const IDLE: Duration = Duration::from_secs(60);

/// `modbus-server.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusServerFile {
    /// Address to listen on, `ip:port`. Default `127.0.0.1:1502`; `0.0.0.0:1502` for every network of this machine.
    pub address: Option<At<String>>,
    /// Connections at once, 1 to 64. Default 8.
    pub connections_max: Option<At<usize>>,
    /// A connection without a request for this long is closed. Default `60s`.
    pub idle: Option<At<String>>,
    /// Order of the registers of a value: `ABCD` (default, high one first) or `CDAB`.
    pub word_order: Option<At<String>>,
    /// What stands in the registers of a bad value: `mark` (default: NaN, 0xFFFF, 0x8000), `last`, `exception`, or a number.
    pub bad: Option<At<BadFile>>,
    /// First register of the qualities, one for each point in the order of the list: 192 good, 64 uncertain, 0 bad.
    pub quality_at: Option<At<String>>,
    /// Register that counts up once a second while every task scans in time.
    pub heartbeat: Option<At<String>>,
    /// What stands where.
    pub points: Vec<ServedPoint>,
}

/// A tag in its registers
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServedPoint {
    /// The tag.
    pub tag: At<String>,
    /// Where it stands: `40011`, `HR11`, `DI1`. Registers are answered to functions 3 and 4 alike, bits to 1 and 2.
    pub at: At<String>,
    /// How it is written: `uint16`, `int16`, `uint32`, `int32`, `int64`, `float32`, `float64`. Default by the tag's type.
    #[serde(rename = "as")]
    pub form: Option<At<String>>,
    /// Value of one step: 0.01 writes 12.34 as 1234. Default 1.
    pub scale: Option<At<f64>>,
    /// As above, for this point.
    pub word_order: Option<At<String>>,
    /// As above, for this point.
    pub bad: Option<At<BadFile>>,
    /// Register of its quality, where it does not stand among the others.
    pub quality_at: Option<At<String>>,
}

/// What stands in the registers of a bad value
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BadFile {
    /// A number in the tag's unit.
    Number(f64),
    /// `mark`, `last` or `exception`.
    Word(String),
}

/// `modbus-server.yaml`, where the site has one.
pub fn read(reader: &mut Reader, dir: &Path) -> Option<(FileId, ModbusServerFile)> {
    let path = dir.join("modbus-server.yaml");
    if !path.exists() {
        return None;
    }
    let (file, text) = reader.text(&path, None)?;
    Some((file, reader.form(file, &text)?))
}

/// What the server of a site runs on; `None` where that cannot be meant.
pub fn settings(reader: &mut Reader, file: FileId, form: &ModbusServerFile, tags: &Tags) -> Option<Config> {
    let mut ctx = Ctx { reader, file };
    let before = ctx.reader.report.count();
    let text = form.address.as_ref().map_or(ADDRESS, |at| at.value.as_str());
    let bind = text.parse::<SocketAddr>().ok().filter(|a| a.port() > 0);
    if let (None, Some(at)) = (bind, &form.address) {
        ctx.error(at.pos, format!("`{}` is not an address to listen on", at.value)).help(
            "write an IP address of this machine and a port: 127.0.0.1:1502, or 0.0.0.0:1502 for all of its networks",
        );
    }
    let connections_max = form.connections_max.as_ref().map_or(CONNECTIONS, |at| at.value);
    if let Some(at) = form.connections_max.as_ref().filter(|at| !(1..=CONNECTIONS_MAX).contains(&at.value)) {
        ctx.error(at.pos, format!("{} connections; 1 to {CONNECTIONS_MAX} can be allowed", at.value));
    }
    let idle = ctx.duration(&form.idle, IDLE);
    if let Some(at) = form.idle.as_ref().filter(|_| !(IDLE_LIMITS.0..=IDLE_LIMITS.1).contains(&idle)) {
        ctx.error(at.pos, format!("`{}`: a silent connection is closed after 1s to 1d", at.value));
    }
    let heartbeat_at = form.heartbeat.as_ref().and_then(|at| ctx.register(at));
    let first_quality = form.quality_at.as_ref().and_then(|at| Some((at, ctx.register(at)?)));
    if let Some(point) = form.points.get(POINTS_MAX) {
        ctx.error(point.tag.pos, format!("more than {POINTS_MAX} points"));
        return None;
    }
    let mut points = Vec::new();
    for (number, served) in form.points.iter().enumerate() {
        let mut quality_at = served.quality_at.as_ref().and_then(|at| ctx.register(at));
        if let (None, Some((at, first))) = (&served.quality_at, first_quality) {
            quality_at = u16::try_from(usize::from(first) + number).ok();
            if quality_at.is_none() {
                ctx.error(at.pos, "the qualities go beyond the last register").help("begin them further down");
                return None;
            }
        }
        points.extend(ctx.served(form, served, quality_at, tags));
    }
    if ctx.reader.report.count() > before {
        return None;
    }
    if let Err((place, why)) = Map::new(points.clone(), heartbeat_at) {
        let at = form.points.get(place).map(|p| p.at.pos).unwrap_or_default();
        ctx.error(at, why).help("registers are one space for functions 3 and 4: 30011 and 40011 are the same one");
        return None;
    }
    Some(Config { bind: bind?, connections_max, idle, heartbeat_at, points })
}

impl Ctx<'_> {
    /// The number of a register, from 0.
    fn register(&mut self, at: &At<String>) -> Option<u16> {
        match parse_address(&at.value, false) {
            Ok(address) if address.area.is_register() && address.bit.is_none() => Some(address.pdu),
            Ok(_) => {
                self.error(at.pos, format!("`{}` is not a register", at.value)).help("for example HR1 or 40001");
                None
            }
            Err(error) => {
                self.error(at.pos, error.to_string());
                None
            }
        }
    }

    fn served(
        &mut self,
        file: &ModbusServerFile,
        served: &ServedPoint,
        quality_at: Option<u16>,
        tags: &Tags,
    ) -> Option<Point> {
        let id = tags.find(self.reader, self.file, &served.tag)?;
        let def = &tags.get(id).def;
        let address = match parse_address(&served.at.value, false) {
            Ok(address) if address.bit.is_none() => address,
            Ok(_) => {
                self.error(served.at.pos, "a bit of a register cannot be served").help("give it a bit: DI1");
                return None;
            }
            Err(error) => {
                self.error(served.at.pos, error.to_string());
                return None;
            }
        };
        let form = self.form(served, def, address.area)?;
        let scale = served.scale.as_ref().map_or(1.0, |at| at.value);
        if let Some(at) = served.scale.as_ref().filter(|_| !scale.is_finite() || scale == 0.0) {
            self.error(at.pos, format!("scale {scale} is not a number other than 0"));
            return None;
        }
        self.fits(served, def, form, scale);
        let order = match served.word_order.as_ref().or(file.word_order.as_ref()) {
            None => WordOrder::default(),
            Some(at) => match at.value.as_str() {
                "ABCD" => WordOrder::HighFirst,
                "CDAB" => WordOrder::LowFirst,
                _ => {
                    self.error(at.pos, format!("`{}` is not an order of registers", at.value))
                        .help("ABCD (the high register first) or CDAB (the low one)");
                    return None;
                }
            },
        };
        let bad = self.bad(served.bad.as_ref().or(file.bad.as_ref()))?;
        let (path, title, unit) = (def.path.clone(), def.title.clone(), def.unit.as_str().to_owned());
        Some(Point { tag: id, path, title, unit, at: address.pdu, form, order, scale, bad, quality_at })
    }

    fn form(&mut self, served: &ServedPoint, def: &TagDef, area: Area) -> Option<Form> {
        if def.value_type == ValueType::Text {
            self.error(served.tag.pos, format!("`{}` is a text: it has no registers", def.path));
            return None;
        }
        if !area.is_register() {
            if let Some(at) = &served.form {
                self.error(at.pos, format!("`{}` is a single bit", served.at.value))
                    .help("leave `as` out, or give it a register");
                return None;
            }
            if def.value_type != ValueType::Bool {
                self.error(served.at.pos, format!("`{}` is a {} and does not fit a bit", def.path, def.value_type))
                    .help("give it a register: HR1");
                return None;
            }
            return Some(Form::Bit);
        }
        let Some(at) = &served.form else {
            return Some(match def.value_type {
                ValueType::Float => Form::F32,
                ValueType::Int => Form::I32,
                ValueType::Bool | ValueType::Text => Form::U16,
            });
        };
        let named = Form::ALL.into_iter().filter(|f| *f != Form::Bit);
        let found = named.clone().find(|f| f.as_str() == at.value);
        if found.is_none() {
            let help = suggest(&at.value, named.map(Form::as_str));
            self.error(at.pos, format!("`{}` is not a type of registers", at.value)).help_maybe(help);
        }
        found
    }

    /// A range that the registers cannot hold would be shown as bad at its end.
    fn fits(&mut self, served: &ServedPoint, def: &TagDef, form: Form, scale: f64) {
        let Some((low, high)) = def.range else { return };
        for end in [low, high] {
            if !form.holds(end / scale) {
                let message = format!("{end} of `{}` does not fit {} at a scale of {scale}", def.path, form.as_str());
                self.error(served.at.pos, message).help("choose a larger type or another scale");
                return;
            }
        }
    }

    fn bad(&mut self, at: Option<&At<BadFile>>) -> Option<Bad> {
        let Some(at) = at else { return Some(Bad::Mark) };
        match &at.value {
            BadFile::Number(n) if n.is_finite() => Some(Bad::Value(*n)),
            BadFile::Word(word) if word == "mark" => Some(Bad::Mark),
            BadFile::Word(word) if word == "last" => Some(Bad::Last),
            BadFile::Word(word) if word == "exception" => Some(Bad::Exception),
            BadFile::Number(_) | BadFile::Word(_) => {
                self.error(at.pos, "a bad value is written as `mark`, `last`, `exception` or a number");
                None
            }
        }
    }
}
