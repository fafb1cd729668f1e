//! The site as the page needs it, made once for each configuration that runs.

use crate::HmiContext;
use penstock_model::{AlarmCondition, AlarmDef, DeviceId, Role, Source, TagDef, Text};
use serde_json::{Value as Json, json};

pub(crate) fn text(t: &Text) -> Json {
    json!({ "zh": &*t.zh, "en": &*t.en })
}

/// `GET /api/site`
pub(crate) fn site_json(ctx: &HmiContext) -> Json {
    let site = &ctx.site;
    let name = |id: DeviceId| site.devices.iter().find(|d| d.id == id).map(|d| d.name.clone());
    let from = |def: &TagDef| match &def.source {
        Source::Device(id) => name(*id),
        _ => None,
    };
    let to = |def: &TagDef| def.output.as_ref().and_then(|o| o.device).and_then(name);
    let tags: Vec<Json> = ctx.engine.tags().iter().map(|def| tag_json(def, from(def), to(def))).collect();
    let alarms: Vec<Json> = ctx.engine.alarm_defs().iter().map(alarm_json).collect();
    let tasks: Vec<Json> = ctx
        .engine
        .tasks()
        .iter()
        .map(|t| json!({ "id": t.id.0, "name": &*t.name, "period_ms": t.period.as_secs_f64() * 1e3 }))
        .collect();
    let devices: Vec<Json> = site
        .devices
        .iter()
        .map(|d| {
            json!({ "id": d.id.0, "name": d.name, "title": text(&d.title), "driver": d.driver, "address": d.address })
        })
        .collect();
    json!({
        "name": text(&site.name),
        "time_zone": site.time_zone,
        "config_hash": &*site.config_hash.get(),
        "version": site.version,
        "tags": tags,
        "alarms": alarms,
        "tasks": tasks,
        "devices": devices,
        "objects": crate::objects::defs_json(ctx),
        "hold": crate::objects::hold_json(site.hold),
        "pages": site.pages,
    })
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
