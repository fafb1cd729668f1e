//! The site as the page needs it, made once for each configuration that runs.

use crate::HmiContext;
use penstock_model::{AlarmCondition, AlarmDef, DeviceId, Role, Source, TagDef, Text};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

pub(crate) fn text(t: &Text) -> Json {
    json!({ "zh": &*t.zh, "en": &*t.en })
}

/// `GET /api/site`. Tags and alarms are made while they are written, one by one: as a tree, a hundred thousand of them
/// would take half a gigabyte for a moment, and a part of it for good.
#[derive(Serialize)]
pub(crate) struct SiteView<'a> {
    name: Json,
    time_zone: &'a str,
    config_hash: String,
    version: &'a str,
    tags: Tags<'a>,
    alarms: Alarms<'a>,
    tasks: Vec<Json>,
    devices: Vec<Json>,
    objects: Vec<Json>,
    hold: Json,
    pages: &'a Json,
}

struct Tags<'a>(&'a HmiContext);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let HmiContext { site, engine, .. } = self.0;
        let name = |id: DeviceId| site.devices.iter().find(|d| d.id == id).map(|d| d.name.clone());
        let from = |def: &TagDef| match &def.source {
            Source::Device(id) => name(*id),
            _ => None,
        };
        let target = |def: &TagDef| def.output.as_ref().and_then(|o| o.device).and_then(name);
        to.collect_seq(engine.tags().iter().map(|def| tag_json(def, from(def), target(def))))
    }
}

struct Alarms<'a>(&'a HmiContext);

impl Serialize for Alarms<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.engine.alarm_defs().iter().map(alarm_json))
    }
}

/// The site as it runs now.
pub(crate) fn view(ctx: &HmiContext) -> SiteView<'_> {
    let site = &ctx.site;
    let tasks = ctx.engine.tasks();
    let tasks =
        tasks.iter().map(|t| json!({ "id": t.id.0, "name": &*t.name, "period_ms": t.period.as_secs_f64() * 1e3 }));
    let devices = site.devices.iter().map(
        |d| json!({ "id": d.id.0, "name": d.name, "title": text(&d.title), "driver": d.driver, "address": d.address }),
    );
    SiteView {
        name: text(&site.name),
        time_zone: &site.time_zone,
        config_hash: site.config_hash.get().to_string(),
        version: &site.version,
        tags: Tags(ctx),
        alarms: Alarms(ctx),
        tasks: tasks.collect(),
        devices: devices.collect(),
        objects: crate::objects::defs_json(ctx),
        hold: crate::objects::hold_json(site.hold),
        pages: &site.pages,
    }
}

/// What a person may do with a tag: `entry`, `output` or nothing. An entry that is also sent to a device is an entry.
pub(crate) fn writable(def: &TagDef) -> Option<&'static str> {
    match (&def.entry, &def.output) {
        (Some(_), _) => Some("entry"),
        (None, Some(_)) => Some("output"),
        (None, None) => None,
    }
}

/// The limits a person's value must keep.
pub(crate) fn limits(def: &TagDef) -> Option<(f64, f64)> {
    match (&def.entry, &def.output) {
        (Some(entry), _) => entry.limits,
        (None, Some(output)) => output.limits,
        (None, None) => None,
    }
}

/// The least role that may write a tag.
pub(crate) fn role(def: &TagDef) -> Option<Role> {
    match (&def.entry, &def.output) {
        (Some(entry), _) => Some(entry.role),
        (None, Some(_)) => Some(Role::Operator),
        (None, None) => None,
    }
}

fn pair(p: Option<(f64, f64)>) -> Option<[f64; 2]> {
    p.map(|(low, high)| [low, high])
}

fn tag_json(def: &TagDef, device: Option<String>, to: Option<String>) -> Json {
    let source = match &def.source {
        Source::Device(_) => "device",
        Source::Program(_) => "program",
        Source::Operator => "operator",
        Source::System => "system",
    };
    let states: Vec<Json> =
        def.states.iter().map(|(value, t)| json!({ "value": value, "zh": &*t.zh, "en": &*t.en })).collect();
    json!({
        "id": def.id.0,
        "path": &*def.path,
        "title": text(&def.title),
        "unit": def.unit.as_str(),
        "type": def.value_type.as_str(),
        "range": pair(def.range),
        "decimals": def.decimals,
        "category": def.category.as_str(),
        "source": source,
        "device": device,
        "to": to,
        "program": match &def.source { Source::Program(name) => Some(&**name), _ => None },
        "writable": writable(def),
        "limits": pair(limits(def)),
        "rate_per_s": def.output.as_ref().and_then(|o| o.rate_per_s),
        "role": role(def).map(Role::as_str),
        "states": states,
    })
}

fn alarm_json(def: &AlarmDef) -> Json {
    let (kind, limit, deadband) = match def.condition {
        AlarmCondition::Above { limit, deadband } => ("above", json!(limit), json!(deadband)),
        AlarmCondition::Below { limit, deadband } => ("below", json!(limit), json!(deadband)),
        AlarmCondition::Equals(value) => ("equals", json!(value), Json::Null),
        AlarmCondition::Bad => ("bad", Json::Null, Json::Null),
    };
    json!({
        "id": def.id.0,
        "name": &*def.name,
        "tag": def.tag.0,
        "priority": def.priority.as_str(),
        "title": text(&def.title),
        "cause": text(&def.cause),
        "consequence": text(&def.consequence),
        "response": text(&def.response),
        "kind": kind,
        "limit": limit,
        "deadband": deadband,
    })
}
