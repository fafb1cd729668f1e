//! `penstock browse`: what an OPC UA server has, as a tree for a person or as points for the device's file.

use crate::config::{self, Device, DriverConfig, Overrides, Site};
use clap::Args;
use penstock_model::Unit;
use penstock_model::limits::TAG_PATH_BYTES_MAX;
use penstock_opcua::{BrowsedNode, Kind, Tree, Variable, browse};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Elements of an array that are printed as points of their own; a longer one is named and left to a person.
const ELEMENTS_MAX: u32 = 32;
/// Longest value shown in the tree.
const VALUE_CHARS_MAX: usize = 40;

/// What to browse.
#[derive(Debug, Args)]
pub struct BrowseArgs {
    /// Site folder.
    site: PathBuf,
    /// Name of the OPC UA device in the site.
    device: String,
    /// Node to begin with, as the device's file writes it. Default: the server's objects, without the standard's own.
    node: Option<String>,
    /// Levels below it.
    #[arg(long, default_value_t = 5)]
    depth: usize,
    /// Only nodes with this text in name, title, description or node id, and what leads to them.
    #[arg(long)]
    filter: Option<String>,
    /// Print variables as points to paste into the device's file.
    #[arg(long)]
    yaml: bool,
    /// State folder, where the certificates are.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
    /// Address of the device in place of the configured one, as <device>=<host:port>.
    #[arg(long = "device", value_name = "DEVICE=ADDRESS", value_parser = crate::cli::device_address)]
    devices: Vec<(String, String)>,
}

/// Connects, browses and prints.
///
/// # Errors
/// In words for a person.
pub async fn run(args: BrowseArgs) -> Result<(), String> {
    let overrides = Overrides { device_address: args.devices.clone() };
    let site = config::load(&args.site, &overrides).map_err(|d| d.to_string())?.site;
    let device = find(&site, &args.device)?;
    let DriverConfig::OpcUa(config) = &device.driver else {
        return Err(format!("device `{}` is no OPC UA server: there is nothing to browse", device.name));
    };
    let config = crate::pki::with_folder(config, &args.state);
    let namespace = namespace_of(&config);
    let start = args.node.as_deref().map(|node| with_namespace(node, namespace.as_deref()));
    let tree = browse(&config, start.as_deref(), args.depth).await?;
    let kept = matching(&tree, args.filter.as_deref());
    if args.yaml {
        let known: HashMap<String, String> =
            config.points.iter().map(|p| (p.node.clone(), p.path.to_string())).collect();
        say_part!("{}", points(&tree, &kept, &Paste { site: &site, device, namespace: namespace.as_deref(), known }));
    } else {
        say_part!("{}", outline(&tree, &kept));
        if !tree.left_out.is_empty() {
            say!("left out, as every server has them: {}", tree.left_out.join(", "));
        }
    }
    if tree.truncated {
        complain!("warning: there are more nodes than are visited; begin further down, with a node");
    }
    Ok(())
}

fn find<'a>(site: &'a Site, name: &str) -> Result<&'a Device, String> {
    site.devices.iter().find(|d| &*d.name == name).ok_or_else(|| {
        let opcua = site.devices.iter().filter(|d| matches!(d.driver, DriverConfig::OpcUa(_)));
        let names: Vec<&str> = opcua.map(|d| &*d.name).collect();
        format!("the site has no device `{name}`; its OPC UA servers are: {}", names.join(", "))
    })
}

/// The namespace that every point of the device shares, where there is one: the file's `namespace`.
fn namespace_of(config: &penstock_opcua::DeviceConfig) -> Option<String> {
    let uri = |node: &str| node.strip_prefix("nsu=").and_then(|rest| Some(rest.split_once(';')?.0.to_owned()));
    let first = uri(&config.points.first()?.node)?;
    config.points.iter().all(|p| uri(&p.node).as_ref() == Some(&first)).then_some(first)
}

/// A node written without namespace is in the device's own, as in its file; `i=85` and its like are the standard's.
fn with_namespace(node: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(uri) if !node.starts_with("ns") && !node.starts_with("i=") => format!("nsu={uri};{node}"),
        _ => node.to_owned(),
    }
}

/// Which nodes are shown: those that fit, and what leads to them.
fn matching(tree: &Tree, filter: Option<&str>) -> Vec<bool> {
    let Some(filter) = filter.map(str::to_lowercase) else { return vec![true; tree.nodes.len()] };
    let fits = |n: &BrowsedNode| {
        [&n.name, &n.display, &n.description, &n.id].iter().any(|text| text.to_lowercase().contains(&filter))
    };
    let mut kept: Vec<bool> = tree.nodes.iter().map(fits).collect();
    // From the last to the first: a node is kept for what is below it.
    let mut wanted_above = usize::MAX;
    for (index, node) in tree.nodes.iter().enumerate().rev() {
        if node.depth < wanted_above && wanted_above != usize::MAX {
            kept[index] = true;
        }
        if kept[index] {
            wanted_above = node.depth;
        }
    }
    kept
}

fn outline(tree: &Tree, kept: &[bool]) -> String {
    let mut out = String::new();
    for (node, _) in tree.nodes.iter().zip(kept).filter(|(_, kept)| **kept) {
        let indent = "  ".repeat(node.depth);
        let name = if node.display.is_empty() { &node.name } else { &node.display };
        let _ = write!(out, "{indent}{name}  {}", node.id);
        if let Some(variable) = &node.variable {
            let _ = write!(out, "  {}", described(variable));
        }
        if !node.description.is_empty() {
            let _ = write!(out, "  # {}", one_line(&node.description));
        }
        out.push('\n');
    }
    out
}

/// Type, rights, unit, range and value of a variable in a few words.
fn described(variable: &Variable) -> String {
    let mut out = variable.data_type.clone();
    for size in &variable.dimensions {
        let _ = write!(out, "[{size}]");
    }
    let rights = match (variable.readable, variable.writable) {
        (true, true) => "read and write",
        (true, false) => "read",
        (false, true) => "write only",
        (false, false) => "no access",
    };
    let _ = write!(out, ", {rights}");
    if let Some(unit) = &variable.unit {
        let _ = write!(out, ", {unit}");
    }
    if let Some((low, high)) = variable.range {
        let _ = write!(out, ", {low} to {high}");
    }
    if !variable.value.is_empty() {
        let short: String = one_line(&variable.value).chars().take(VALUE_CHARS_MAX).collect();
        let _ = write!(out, " = {short}");
    }
    if !variable.status.is_empty() {
        let _ = write!(out, " ({})", variable.status);
    }
    out
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where points are pasted.
struct Paste<'a> {
    site: &'a Site,
    device: &'a Device,
    namespace: Option<&'a str>,
    /// Tags of nodes that the device has already.
    known: HashMap<String, String>,
}

/// Every variable that a tag can hold as a point; what cannot be one is a comment that says why.
fn points(tree: &Tree, kept: &[bool], paste: &Paste<'_>) -> String {
    let mut out = format!(
        "# Points of `{}`, to be put below `points:` in its file. Names, limits and groups are yours to\n",
        paste.device.name
    );
    out.push_str("# choose; a point that is to be written needs `write` and `fallback`.\n");
    let mut taken: HashSet<String> = HashSet::new();
    let mut above: Vec<&str> = Vec::new();
    for (node, kept) in tree.nodes.iter().zip(kept) {
        above.truncate(node.depth);
        above.push(&node.name);
        let Some(variable) = node.variable.as_ref().filter(|_| *kept) else { continue };
        if let Some(tag) = paste.known.get(&node.id) {
            let _ = writeln!(out, "  # {}: is the tag {tag} already", node.id);
            continue;
        }
        if variable.kind == Kind::Other || !variable.readable {
            let why = if variable.readable { "a tag cannot hold it whole; name a field" } else { "we may not read it" };
            let _ = writeln!(out, "  # {}: {}: {why}", node.id, described(variable));
            continue;
        }
        let elements: Vec<Option<u32>> = match variable.dimensions.as_slice() {
            [] => vec![None],
            [size] if *size <= ELEMENTS_MAX => (0..*size).map(Some).collect(),
            _ => {
                let _ = writeln!(out, "  # {}: {}: choose elements by `index`", node.id, described(variable));
                continue;
            }
        };
        for index in elements {
            let mut parts = above[1.min(above.len() - 1)..].to_vec();
            let number = index.map(|i| i.to_string());
            parts.extend(number.as_deref());
            let path = free_path(paste, &parts, &mut taken);
            out.push_str(&point(node, variable, index, &path, paste.namespace));
        }
    }
    out
}

/// A tag's path from the names that lead to a node, which nothing else has.
fn free_path(paste: &Paste<'_>, parts: &[&str], taken: &mut HashSet<String>) -> String {
    let word = |text: &str| {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c.to_ascii_lowercase() } else { '_' }
        };
        let text: String = text.chars().map(plain).collect();
        if text.chars().all(|c| c == '_') { String::new() } else { text }
    };
    let mut words: Vec<String> = vec![word(&paste.device.name)];
    words.extend(parts.iter().map(|p| word(p)).filter(|w| !w.is_empty()));
    // Room for a number behind it; what is cut is the middle, for the last word tells most.
    while words.len() > 2 && words.join("/").len() > TAG_PATH_BYTES_MAX - 8 {
        words.remove(1);
    }
    let mut base = words.join("/");
    base.truncate(TAG_PATH_BYTES_MAX - 8);
    let free = |path: &str, taken: &HashSet<String>| !taken.contains(path) && paste.site.tags.find(path).is_none();
    let path = std::iter::once(base.clone())
        .chain((2..).map(|n| format!("{base}_{n}")))
        .find(|path| free(path, taken))
        .unwrap_or(base);
    taken.insert(path.clone());
    path
}

/// One point in the form of a device's file.
fn point(node: &BrowsedNode, variable: &Variable, index: Option<u32>, path: &str, namespace: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let id = namespace.and_then(|uri| node.id.strip_prefix(&format!("nsu={uri};"))).unwrap_or(&node.id);
    let mut out = format!("  - tag: {path}\n    node: {}\n", quoted(id));
    if let Some(index) = index {
        let _ = writeln!(out, "    index: {index}");
    }
    let title = if node.display.is_empty() { &node.name } else { &node.display };
    let title = index.map_or_else(|| title.clone(), |i| format!("{title} {i}"));
    if !title.is_empty() {
        let _ = writeln!(out, "    title: {}", quoted(&one_line(&title)));
    }
    match variable.kind {
        Kind::Int => out.push_str("    type: int\n"),
        Kind::Bool => out.push_str("    type: bool\n"),
        Kind::Text => out.push_str("    type: text\n"),
        Kind::Float | Kind::Other => {}
    }
    let number = matches!(variable.kind, Kind::Int | Kind::Float);
    match variable.unit.as_deref().filter(|_| number) {
        Some(unit) if Unit::parse(unit).is_ok() => {
            let _ = writeln!(out, "    unit: {}", quoted(unit));
        }
        Some(unit) => {
            let _ = writeln!(out, "    # unit on the server: {}", one_line(unit));
        }
        None => {}
    }
    if let (Some((low, high)), true) = (variable.range, number) {
        let _ = writeln!(out, "    range: [{low}, {high}]");
    }
    if variable.writable {
        out.push_str("    # can be written\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(depth: usize, name: &str) -> BrowsedNode {
        BrowsedNode { depth, name: name.into(), id: format!("s={name}"), ..BrowsedNode::default() }
    }

    #[test]
    fn a_filter_keeps_what_leads_to_a_hit_and_nothing_beside_it() {
        let nodes =
            vec![node(0, "Objects"), node(1, "A"), node(2, "Level"), node(1, "B"), node(2, "Flow"), node(1, "C")];
        let tree = Tree { nodes, truncated: false, left_out: Vec::new() };
        assert_eq!(matching(&tree, Some("level")), [true, true, true, false, false, false]);
        assert_eq!(matching(&tree, Some("FLOW")), [true, false, false, true, true, false]);
        assert_eq!(matching(&tree, Some("nothing")), [false; 6]);
        assert_eq!(matching(&tree, None), [true; 6]);
    }
}
