//! `penstock plan`: every Modbus request of a site, what it carries and takes, and what is left when units die.

use crate::config::{DriverConfig, Overrides, Site, load};
use penstock_modbus::{ChannelLoad, DeviceConfig, PlannedRequest, PointConfig, ReadRequest};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What `penstock plan` is asked.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Site folder.
    site: PathBuf,
    /// Name every point with its place in the device, written points too.
    #[arg(long)]
    points: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Prints the plan of a site.
///
/// # Errors
/// When the site has mistakes: all of them.
pub fn run(args: &PlanArgs) -> Result<(), String> {
    let loaded = load(&args.site, &Overrides::default()).map_err(|d| d.to_string())?;
    let devices = modbus(&loaded.site);
    let loads = penstock_modbus::load(&devices);
    if args.json {
        say!("{:#}", Json::Array(loads.iter().map(|load| channel_json(&devices, load)).collect()));
    } else {
        say!("{}", text(&devices, &loads, args.points).trim_end());
    }
    Ok(())
}

fn modbus(site: &Site) -> Vec<&DeviceConfig> {
    site.devices
        .iter()
        .filter_map(|device| match &device.driver {
            DriverConfig::Modbus(config) => Some(config),
            DriverConfig::OpcUa(_) => None,
        })
        .collect()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn title(devices: &[&DeviceConfig], load: &ChannelLoad) -> String {
    let Some(first) = load.members.first().map(|i| devices[*i]) else { return String::new() };
    let way = match &first.channel.transport {
        penstock_modbus::Transport::Serial(serial) => {
            format!("{} {} {serial}", first.channel.transport.as_str(), first.address)
        }
        other => format!("{} {}", other.as_str(), first.address),
    };
    match &first.channel.name {
        Some(name) if **name != *first.address => format!("channel {name}: {way}"),
        _ => format!("channel {way}"),
    }
}

fn text(devices: &[&DeviceConfig], loads: &[ChannelLoad], points: bool) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    for load in loads {
        let bytes: usize = load.requests.iter().map(|r| r.bytes).sum();
        let wasted: u32 = load.requests.iter().map(|r| u32::from(r.wasted)).sum();
        line(format!(
            "{}\n  {} units, {} requests, {bytes} bytes, {wasted} places read for nothing; load {:.1} %, everything at once {}",
            title(devices, load),
            load.members.len(),
            load.requests.len(),
            load.share * 100.0,
            ms(load.turn)
        ));
        for dead in &load.dead {
            line(format!(
                "  {} dead: everything at once {} when it happens, then at most {}",
                dead.units,
                ms(dead.at_first),
                ms(dead.then)
            ));
        }
        for &device in &load.members {
            let config = devices[device];
            line(format!("  {} unit {}", config.name, config.unit));
            for (group, settings) in config.groups.iter().enumerate() {
                let share = load.group_share(devices, device, group) * 100.0;
                line(format!("    {} every {:?}, {share:.2} % of the channel", settings.name, settings.every));
                for request in load.requests.iter().filter(|r| r.device == device && r.group == group) {
                    line(format!("      {}", request_text(config, request)));
                    for point in request.request.points.iter().map(|i| &config.points[*i]).filter(|_| points) {
                        line(format!("        {}  {} {}  {}", point.place(), point.wire, point.order, point.path));
                    }
                }
            }
            for point in config.points.iter().filter(|p| points && p.write.is_some()) {
                line(format!("    written: {}  {} {}  {}", point.place(), point.wire, point.order, point.path));
            }
        }
    }
    if loads.is_empty() {
        line("the site has no Modbus devices".to_owned());
    }
    out
}

/// The model that a request reads, as far as is known before the device was asked: the first that its points name.
fn model(config: &DeviceConfig, request: &ReadRequest) -> Option<u16> {
    let point = request.points.first().and_then(|i| config.points.get(*i))?;
    point.sunspec.as_ref()?.wanted.any.first().map(|at| at.model.id)
}

fn request_text(config: &DeviceConfig, planned: &PlannedRequest) -> String {
    let PlannedRequest { request, wasted, bytes, expected, .. } = planned;
    let assumed = model(config, request).map_or_else(String::new, |id| format!("model {id}, assumed at "));
    format!(
        "{assumed}{} PDU {}..{}: {} read, {wasted} for nothing, {} points, {bytes} bytes, {}",
        request.area,
        request.start,
        u32::from(request.start) + u32::from(request.count) - 1,
        request.count,
        request.points.len(),
        ms(*expected)
    )
}

fn channel_json(devices: &[&DeviceConfig], load: &ChannelLoad) -> Json {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    json!({
        "channel": title(devices, load),
        "devices": load.members.iter().map(|i| &*devices[*i].name).collect::<Vec<_>>(),
        "load": load.share,
        "turn_ms": millis(load.turn),
        "dead": load.dead.iter().map(|d| json!({
            "units": d.units, "at_first_ms": millis(d.at_first), "then_ms": millis(d.then),
        })).collect::<Vec<_>>(),
        "requests": load.requests.iter().map(|r| json!({
            "device": &*devices[r.device].name,
            "unit": devices[r.device].unit,
            "group": &*devices[r.device].groups[r.group].name,
            "every_ms": millis(devices[r.device].groups[r.group].every),
            "area": r.request.area.as_str(),
            "pdu": r.request.start,
            "count": r.request.count,
            "wasted": r.wasted,
            "bytes": r.bytes,
            "expected_ms": millis(r.expected),
            "model": model(devices[r.device], &r.request),
            "points": r.request.points.iter().map(|i| point_json(&devices[r.device].points[*i])).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn point_json(p: &PointConfig) -> Json {
    if p.sunspec.is_some() {
        return json!({ "tag": &*p.path, "at": p.place(), "pdu": Json::Null, "as": p.wire.to_string() });
    }
    json!({ "tag": &*p.path, "at": p.address.modicon(), "pdu": p.address.pdu, "as": p.wire.to_string() })
}
