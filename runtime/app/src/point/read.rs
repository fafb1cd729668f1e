//! `penstock point read`.

use super::place::{ModbusPlace, Place, PlaceArgs};
use penstock_modbus::{PointReading, Visit};
use penstock_model::{BadReason, Quality, Value};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What to read.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks once and prints.
///
/// # Errors
/// In words for a person; also where what came is no value.
pub async fn run(args: ReadArgs) -> Result<(), String> {
    match args.place.find()? {
        Place::OpcUa(place) => super::opcua::read(&place, args.json).await,
        Place::Modbus(place) => {
            let mut visit = Visit::open(place.config.clone()).await.map_err(|e| e.to_string())?;
            let reading = visit.point(place.index).await.map_err(|e| e.to_string())?;
            if args.json {
                say!("{:#}", to_json(&place, &reading));
            } else {
                say!("{}", text(&place, &reading, visit.connected_in()));
            }
            match reading.value {
                Ok(_) => Ok(()),
                Err(reason) => Err(format!("`{}` is {}", name(&place), no_value(&place, reason))),
            }
        }
    }
}

/// What a person called it.
pub fn name(place: &ModbusPlace) -> &str {
    &place.config.points[place.index].path
}

/// A value with its unit and quality, or why there is none.
pub fn shown(place: &ModbusPlace, value: &Result<(Value, Quality), BadReason>) -> String {
    let unit = place.tag.as_ref().map(|t| t.unit.to_string()).filter(|u| !u.is_empty());
    let unit = unit.map_or(String::new(), |u| format!(" {u}"));
    match value {
        Ok((value, Quality::Good)) => format!("{value}{unit} (good)"),
        Ok((value, quality)) => {
            let range = place.config.points[place.index].range;
            let range =
                range.map_or(String::new(), |(low, high)| format!("; the tag's range is {low} to {high}{unit}"));
            format!("{value}{unit} ({quality}{range})")
        }
        Err(reason) => no_value(place, *reason),
    }
}

fn no_value(place: &ModbusPlace, reason: BadReason) -> String {
    let point = &place.config.points[place.index];
    let help = match reason {
        BadReason::NotFinite => "the registers hold no finite number: many devices say so that a sensor is missing",
        BadReason::Undecodable => "the registers do not hold the declared type; `penstock point decode` shows others",
        _ => "",
    };
    format!("bad ({reason}) as {} {}: {help}", point.wire, point.order)
}

/// Several lines for a person.
pub fn text(place: &ModbusPlace, reading: &PointReading, connected_in: Duration) -> String {
    let (config, point) = (&place.config, &place.config.points[place.index]);
    let mut lines = vec![format!("{} = {}", name(place), shown(place, &reading.value))];
    let mut line = |what: &str, text: String| lines.push(format!("  {what:<11} {text}"));
    let transport = config.channel.transport.as_str();
    if *config.name == *config.address {
        line("device", format!("{transport} {} unit {}", config.address, config.unit));
    } else {
        line("device", format!("{} ({transport} {} unit {})", config.name, config.address, config.unit));
    }
    let mut form = format!("{} as {} {}", point.address, point.wire, point.order);
    if point.scale != 1.0 || point.offset != 0.0 {
        form.push_str(&format!(", × {} + {}", point.scale, point.offset));
    }
    line("point", form);
    line("raw", reading.raw.to_string());
    let request = &reading.request;
    let last = request.start.saturating_add(request.count.saturating_sub(1));
    let planned = if let Some(group) = config.groups.get(point.group).filter(|_| place.tag.is_some()) {
        match point.write {
            Some(_) => "; written, so no site polls it".to_owned(),
            None => format!("; a site asks so every {:?} (group `{}`)", group.every, group.name),
        }
    } else {
        String::new()
    };
    line(
        "asked",
        format!(
            "function {}, {} PDU {}..{last}, {} places{planned}",
            reading.function, request.area, request.start, request.count
        ),
    );
    line("round trip", format!("{} (connected in {})", ms(reading.round_trip), ms(connected_in)));
    if let Some(refused) = &reading.planned {
        line("warning", format!("the request of a site is refused, so the point was asked for alone: {refused}"));
    }
    lines.join("\n")
}

fn to_json(place: &ModbusPlace, reading: &PointReading) -> Json {
    let (config, point) = (&place.config, &place.config.points[place.index]);
    let (value, quality) = match &reading.value {
        Ok((value, quality)) => (value_json(value), quality.to_string()),
        Err(reason) => (Json::Null, Quality::Bad(*reason).to_string()),
    };
    json!({
        "tag": place.tag.as_ref().map(|t| t.path.to_string()),
        "device": &*config.name,
        "address": config.address,
        "unit_id": config.unit,
        "value": value,
        "quality": quality,
        "unit": place.tag.as_ref().map(|t| t.unit.to_string()),
        "area": point.address.area.as_str(),
        "pdu": point.address.pdu,
        "at": point.address.modicon(),
        "as": point.wire.to_string(),
        "byte_order": point.order.to_string(),
        "raw": raw_json(&reading.raw),
        "function": reading.function,
        "round_trip_ms": reading.round_trip.as_secs_f64() * 1e3,
        "planned_refused": reading.planned.as_ref().map(ToString::to_string),
    })
}

fn raw_json(raw: &penstock_modbus::Raw) -> Json {
    match raw {
        penstock_modbus::Raw::Bits(bits) => json!(bits),
        penstock_modbus::Raw::Words(words) => json!(words),
    }
}

/// A value as JSON has it.
pub fn value_json(value: &Value) -> Json {
    match value {
        Value::Bool(on) => json!(on),
        Value::Int(i) => json!(i),
        Value::Float(x) => json!(x),
        Value::Text(text) => json!(&**text),
    }
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
