//! A site's configuration: from its folder to everything the runtime is built from, or to every mistake at once.
//!
//! The way: files → forms (`files`, `read`) → tags (`tags`, `devices`, `accounts`) → bindings (`bindings`) → [`Site`].
//! Whatever later parts refer to is declared before them, so each reference is checked where it stands.

mod account_files;
mod accounts;
pub(crate) mod bindings;
pub(crate) mod case_files;
mod channels;
mod devices;
pub(crate) mod files;
mod flow;
mod modbus_files;
pub(crate) mod modbus_server;
mod mqtt;
mod object_files;
mod objects;
mod opcua;
mod opcua_files;
pub(crate) mod opcua_server;
mod own_tags;
mod points;
mod program_files;
mod quirks;
pub(crate) mod read;
mod recorder;
mod retain;
pub(crate) mod sources;
mod spots;
mod states;
mod sunspec;
pub(crate) mod tags;
mod tasks;
pub(crate) mod text;
mod unguarded;
mod writes;

pub use files::{SCHEMA_KINDS, schema};
pub(crate) use mqtt::MqttFile;
pub use mqtt::{MqttSettings, RemoteUser};
pub use recorder::RecorderSettings;
pub use retain::RetainSettings;
pub use unguarded::{Dependence, dependences};
pub use writes::SupervisorSettings;

use crate::diagnostics::{Diagnostics, FileId, Pos, Severity};
use account_files::{CarbonFile, EnergyFile};
use accounts::Accounts;
use bindings::{Alarms, Programs};
use devices::Devices;
use files::{HistorianFile, IncludeFile, LoopFile, SiteFile, TagsFile};
use own_tags::{add_own_tags, add_system_tags, own_tag};
use penstock_engine::{ObjectDef, ProgramDef, TaskDef};
use penstock_ledger::LedgerConfig;
use penstock_model::limits::TAGS_MAX;
use penstock_model::{AlarmDef, DeviceId, HoldTimes, TagId, TagTable, Text};
use read::Reader;
use sources::Sources;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tags::{Ctx, Draft, Kind, Tags};
use text::{At, Node, parse_size};

/// Default of `historian: retention`: a year of comparison and a month to look at it.
const RETENTION: Duration = Duration::from_secs(400 * 86_400);
/// Default of `historian: free_min`.
const FREE_BYTES_MIN: u64 = 1_000_000_000;
/// A site, ready to run.
#[derive(Debug)]
pub struct Site {
    /// Short name, for files and topics.
    pub id: String,
    /// What a person calls it.
    pub name: Text,
    /// IANA time zone of tariffs and days.
    pub time_zone: String,
    /// Languages offered on screens, the first one first.
    pub languages: Vec<String>,
    /// Twelve hexadecimal digits over the content of every file read.
    pub config_hash: String,
    /// The folder it was read from.
    pub dir: PathBuf,
    /// Every tag, those of the runtime included.
    pub tags: Arc<TagTable>,
    /// Scan tasks, fastest first.
    pub tasks: Vec<TaskDef>,
    /// Scripts bound to tags.
    pub programs: Vec<ProgramDef>,
    /// Controlled objects.
    pub objects: Vec<ObjectDef>,
    /// How long an output without an object may be held by hand.
    pub hold: HoldTimes,
    /// Alarms.
    pub alarms: Vec<AlarmDef>,
    /// Devices, by their id.
    pub devices: Vec<Device>,
    /// Energy and carbon, where the site has an `energy.yaml`.
    pub ledger: Option<LedgerConfig>,
    /// What the site holds at a set-point, for summaries.
    pub loops: Vec<ControlLoop>,
    /// What watches over the runtime's process.
    pub supervisor: SupervisorSettings,
    /// Publication over MQTT, where the site asks for it.
    pub mqtt: Option<MqttSettings>,
    /// Tags served to a foreign system in registers, where the site has a `modbus-server.yaml`.
    pub modbus_server: Option<penstock_modbus_server::Config>,
    /// What foreign systems see over OPC UA, where the site has an `opcua-server.yaml`.
    pub opcua_server: Option<opcua_server::OpcUaServerSettings>,
    /// What is kept, and for how long.
    pub historian: HistorianSettings,
    /// What programs remember over a restart.
    pub retain: RetainSettings,
    /// The record of scans, where the site keeps one.
    pub recorder: Option<RecorderSettings>,
    /// `hmi/pages.yaml` as it stands; null where there is none.
    pub pages: serde_json::Value,
    /// Folder of the mimics.
    pub hmi_dir: PathBuf,
    /// Every file read, with its bytes.
    pub sources: Sources,
    /// What the command line changed.
    pub overrides: Overrides,
}

/// A quantity and the set-point it is held at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlLoop {
    /// What is measured.
    pub measured: TagId,
    /// Where it should be.
    pub set_point: TagId,
}

/// A device of the site.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id: equal to its place in the site's list.
    pub id: DeviceId,
    /// Its name.
    pub name: Arc<str>,
    /// What a person calls it.
    pub title: Text,
    /// Its address, as shown: `host:port` or the endpoint.
    pub address: String,
    /// What its driver runs on.
    pub driver: DriverConfig,
}

/// What a driver runs on.
#[derive(Debug, Clone)]
pub enum DriverConfig {
    /// Modbus over TCP or a serial line.
    Modbus(penstock_modbus::DeviceConfig),
    /// OPC UA client.
    OpcUa(penstock_opcua::DeviceConfig),
}

impl DriverConfig {
    /// The word used in files and on screens.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Modbus(config) => config.channel.transport.as_str(),
            Self::OpcUa(_) => "opcua",
        }
    }
}

/// `historian:` of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorianSettings {
    /// Samples older than this are removed.
    pub retention: Duration,
    /// Largest size on disk.
    pub bytes_max: Option<u64>,
    /// Free space that always stays.
    pub free_bytes_min: u64,
}

/// What the command line changes.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Device or gateway, and the `host:port` it is really at.
    pub device_address: Vec<(String, String)>,
}

/// A site that loads.
#[derive(Debug)]
pub struct Loaded {
    /// The site.
    pub site: Site,
    /// What a person should look at.
    pub warnings: Diagnostics,
}

/// Loads a site from its folder.
///
/// # Errors
/// Every mistake found, with its place. Nothing is half loaded.
pub fn load(site_dir: &Path, overrides: &Overrides) -> Result<Loaded, Diagnostics> {
    load_limited(site_dir, overrides, TAGS_MAX)
}

fn load_limited(site_dir: &Path, overrides: &Overrides, tags_max: usize) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::default();
    let site = build(&mut reader, site_dir, overrides, tags_max);
    let failed = reader.report.has_errors();
    let sources = Sources::new(&reader.take_contents());
    let diagnostics = reader.report.finish();
    match site {
        Some(mut site) if !failed => {
            site.sources = sources;
            debug_assert!(diagnostics.items.iter().all(|d| d.severity == Severity::Warning));
            Ok(Loaded { site, warnings: diagnostics })
        }
        _ => Err(diagnostics),
    }
}

fn build(reader: &mut Reader, dir: &Path, overrides: &Overrides, tags_max: usize) -> Option<Site> {
    if !dir.join("site.yaml").exists() {
        let problem = match std::fs::metadata(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "does not exist",
            Ok(meta) if !meta.is_dir() => "is a file; give the folder that holds site.yaml",
            _ => "has no site.yaml; give the folder that holds it",
        };
        reader.report.error_outside(format!("site folder `{}` {problem}", dir.display()));
        return None;
    }
    let (file, text) = reader.text(&dir.join("site.yaml"), None)?;
    let mut form = reader.form::<SiteFile>(file, &text)?;
    Ctx { reader: &mut *reader, file }.take_state_sets(std::mem::take(&mut form.state_sets));
    let time_zone = time_zone(reader, file, &form.time_zone);
    let tasks = Ctx { reader: &mut *reader, file }.tasks(&form.tasks.0, form.site.pos);
    let languages = languages(reader, file, &form);
    let include = form.include.clone().unwrap_or_default();
    let mut tags = Tags::default();

    let devices = read_devices(reader, &mut tags, dir, file, &form, &include, overrides);
    read_tags(reader, &mut tags, dir, file, &include);
    let ledger = read_accounts(reader, &mut tags, dir, file, &include, &time_zone);
    let served = modbus_server::read(reader, dir);
    let opcua_form = opcua_server::read(reader, dir);
    add_system_tags(reader, &mut tags, &tasks, &devices, form.mqtt.as_ref().map(|m| &m.value));
    add_own_tags(reader, &mut tags, crate::run::modbus_server::tags(served.is_some()).iter());
    add_own_tags(reader, &mut tags, crate::run::opcua_server::tags(opcua_form.is_some()).iter());
    writes::bind_feedback(reader, &mut tags);
    let supervisor = writes::supervisor(reader, file, form.supervisor.as_ref());
    if tags.list.iter().all(|t| t.kind == Kind::Own) && !reader.lost.any_tag && reader.lost.tags.is_empty() {
        // A site that has a device and no point yet is one that is being begun: its devices can be browsed.
        let (report, pos) = (&mut reader.report, form.site.pos);
        if devices.is_empty() {
            report.error(file, pos, "the site has no tags").help("declare a device in devices/*.yaml");
        } else {
            report.warning(file, pos, "the site has no tags").help("add points to its devices");
        }
    }
    if tags.list.len() > tags_max {
        let message = format!("the site has {} tags; at most {tags_max} fit", tags.list.len());
        reader.report.error(file, form.site.pos, message);
        return None;
    }

    let hold = form.hold.as_ref().map(|h| objects::hold_times(&mut Ctx { reader: &mut *reader, file }, h));
    let hold = hold.unwrap_or_default();
    let mut objects = objects::Forms::default();
    for (path, named) in found(reader, dir, file, include.objects.as_deref(), "objects.yaml") {
        match reader.text(&path, named) {
            Some((file, text)) => objects.read(reader, &mut tags, file, &text),
            None => reader.lost.any_tag = true,
        }
    }
    let programs = read_programs(reader, &mut tags, dir, file, &form, &include, &tasks);
    let objects = objects.finish(reader, &tags, &programs, hold);
    let mut alarms = Alarms::new(reader, &tags);
    for (path, named) in found(alarms.reader, dir, file, include.alarms.as_deref(), "alarms.yaml") {
        alarms.read(&path, named);
    }
    let alarms = alarms.list;
    let loops = loops(reader, file, &form.loops, &tags);
    let mqtt = form.mqtt.as_ref().and_then(|m| mqtt::settings(reader, file, dir, &m.value, m.pos, &tags));
    let modbus_server = served.and_then(|(file, form)| modbus_server::settings(reader, file, &form, &tags));
    let opcua_server =
        opcua_form.and_then(|(file, own)| opcua_server::settings(reader, file, &own, (dir, &form.site.value), &tags));
    let historian = historian(reader, file, form.historian.as_ref());
    let retain = retain::settings(reader, file, form.retain.as_ref());
    let recorder = recorder::settings(reader, file, form.recorder.as_ref());
    let (pages, hmi_dir) = read_pages(reader, dir, file, &include, &tags);
    let config_hash = reader.hash(dir);
    let tags = match tags.into_table() {
        Ok(table) => Arc::new(table),
        Err(e) => {
            reader.report.error_outside(e.to_string());
            return None;
        }
    };
    Some(Site {
        id: form.site.value.clone(),
        name: form.name.0.clone(),
        time_zone,
        languages,
        config_hash,
        dir: dir.to_path_buf(),
        tags,
        tasks,
        programs,
        objects,
        hold,
        alarms,
        devices,
        ledger,
        loops,
        supervisor,
        mqtt,
        modbus_server,
        opcua_server,
        historian,
        retain,
        recorder,
        pages,
        hmi_dir,
        sources: Sources::default(),
        overrides: overrides.clone(),
    })
}

/// A file, and the place that names it.
type Named = (PathBuf, Option<(FileId, Pos)>);

/// The files of an include list; the default where the site says nothing, which may be absent.
fn found(reader: &mut Reader, dir: &Path, file: FileId, list: Option<&[At<String>]>, default: &str) -> Vec<Named> {
    let Some(list) = list else {
        return reader.find(dir, default).into_iter().filter(|p| p.exists()).map(|p| (p, None)).collect();
    };
    let mut out = Vec::new();
    for pattern in list {
        let paths = reader.find(dir, &pattern.value);
        if paths.is_empty() {
            reader.report.error(file, pattern.pos, format!("no file matches `{}`", pattern.value));
        }
        out.extend(paths.into_iter().map(|p| (p, Some((file, pattern.pos)))));
    }
    out
}

fn time_zone(reader: &mut Reader, file: FileId, at: &At<String>) -> String {
    if jiff::tz::TimeZone::get(&at.value).is_err() {
        let names: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).collect();
        let help = crate::diagnostics::nearest(&at.value, names.iter().map(String::as_str)).map_or_else(
            || "write an IANA name, for example Asia/Shanghai".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        reader.report.error(file, at.pos, format!("unknown time zone `{}`", at.value)).help(help);
    }
    at.value.clone()
}

fn languages(reader: &mut Reader, file: FileId, form: &SiteFile) -> Vec<String> {
    let Some(list) = &form.languages else { return vec!["zh".to_owned(), "en".to_owned()] };
    for at in list.iter().filter(|at| !["zh", "en"].contains(&at.value.as_str())) {
        reader.report.error(file, at.pos, format!("unknown language `{}`", at.value)).help("known: zh, en");
    }
    list.iter().map(|at| at.value.clone()).collect()
}

fn read_devices(
    reader: &mut Reader,
    tags: &mut Tags,
    dir: &Path,
    file: FileId,
    form: &SiteFile,
    include: &IncludeFile,
    overrides: &Overrides,
) -> Vec<Device> {
    let files = found(reader, dir, file, include.devices.as_deref(), "devices/*.yaml");
    let profiles = dir.join(form.profiles.as_ref().map_or("../profiles", |p| p.value.as_str()));
    let mut channels = channels::Channels::default();
    for (path, named) in found(reader, dir, file, include.channels.as_deref(), "channels.yaml") {
        channels.read(reader, &path, named);
    }
    let mut devices = Devices::new(reader, tags, dir, profiles, overrides, channels);
    for (path, named) in files {
        devices.read(&path, named);
    }
    devices.finish()
}

fn read_tags(reader: &mut Reader, tags: &mut Tags, dir: &Path, file: FileId, include: &IncludeFile) {
    for (path, named) in found(reader, dir, file, include.tags.as_deref(), "tags.yaml") {
        let form =
            reader.text(&path, named).and_then(|(file, text)| Some((file, reader.form::<TagsFile>(file, &text)?)));
        let Some((file, form)) = form else {
            reader.lost.any_tag = true;
            continue;
        };
        let mut ctx = Ctx { reader, file };
        for entry in &form.entries {
            ctx.entry_tag(tags, entry);
        }
        for computed in &form.computed {
            ctx.computed_tag(tags, computed);
        }
    }
}

fn read_programs(
    reader: &mut Reader,
    tags: &mut Tags,
    dir: &Path,
    file: FileId,
    form: &SiteFile,
    include: &IncludeFile,
    tasks: &[TaskDef],
) -> Vec<ProgramDef> {
    let mut script_dirs = vec![dir.join("scripts")];
    script_dirs.extend(form.scripts.as_ref().map(|s| dir.join(&s.value)));
    if let Some(at) = form.scripts.as_ref().filter(|s| !dir.join(&s.value).is_dir()) {
        reader.report.error(file, at.pos, format!("folder `{}` does not exist", at.value));
    }
    let mut programs = Programs::new(reader, tags, tasks, script_dirs);
    for (path, named) in found(programs.reader, dir, file, include.programs.as_deref(), "programs.yaml") {
        programs.read(&path, named);
    }
    programs.finish()
}

fn read_accounts(
    reader: &mut Reader,
    tags: &mut Tags,
    dir: &Path,
    file: FileId,
    include: &IncludeFile,
    time_zone: &str,
) -> Option<LedgerConfig> {
    let one = |reader: &mut Reader, at: &Option<At<String>>, default: &str| -> Option<(FileId, String)> {
        let (path, named) = match at {
            Some(at) => (dir.join(&at.value), Some((file, at.pos))),
            None => (dir.join(default), None),
        };
        if named.is_none() && !path.exists() { None } else { reader.text(&path, named) }
    };
    let energy = one(reader, &include.energy, "energy.yaml");
    let carbon = one(reader, &include.carbon, "carbon.yaml");
    let energy = energy.map(|(file, text)| (file, reader.form::<EnergyFile>(file, &text)));
    let carbon = carbon.map(|(file, text)| (file, reader.form::<CarbonFile>(file, &text)));
    if let (None, Some((file, Some(_)))) = (&energy, &carbon) {
        reader
            .report
            .error(*file, Pos::default(), "carbon.yaml needs an energy.yaml")
            .help("emissions of electricity come from its meters");
        return None;
    }
    let energy_file = energy?;
    let mut accounts = Accounts::new(reader);
    let config = match (energy_file, carbon) {
        ((_, None), _) | (_, Some((_, None))) => None,
        ((file, Some(form)), carbon) => {
            let carbon = carbon.and_then(|(file, form)| Some((file, form?)));
            accounts.build(time_zone, (file, form), carbon)
        }
    };
    let Some(config) = config else {
        // What the ledger would publish is not known: nobody is told that its tags do not exist.
        reader.lost.prefixes.extend(["energy/".to_owned(), "carbon/".to_owned()]);
        return None;
    };
    accounts.check(&config, tags);
    for tag in penstock_ledger::tag_list(&config) {
        let mut def = own_tag(&tag.path, tag.title, tag.unit, tag.value_type);
        def.category = tag.category;
        def.decimals = tag.decimals;
        def.states = tag.states.into();
        tags.add(reader, Draft { def, kind: Kind::Own, place: None, writer: None });
    }
    Some(config)
}

fn loops(reader: &mut Reader, file: FileId, named: &[LoopFile], tags: &Tags) -> Vec<ControlLoop> {
    let mut out = Vec::new();
    for LoopFile { measured, set_point } in named {
        let (m, s) = (tags.find(reader, file, measured), tags.find(reader, file, set_point));
        let (Some(m), Some(s)) = (m, s) else { continue };
        let (unit, other) = (tags.get(m).def.unit, tags.get(s).def.unit);
        let sure = !reader.lost.doubtful.contains(&measured.value) && !reader.lost.doubtful.contains(&set_point.value);
        if unit != other && sure {
            let message = format!("`{}` is in `{unit}`, its set-point in `{other}`", measured.value);
            reader.report.error(file, set_point.pos, message);
        }
        out.push(ControlLoop { measured: m, set_point: s });
    }
    out
}

fn historian(reader: &mut Reader, file: FileId, form: Option<&HistorianFile>) -> HistorianSettings {
    let mut settings = HistorianSettings { retention: RETENTION, bytes_max: None, free_bytes_min: FREE_BYTES_MIN };
    let Some(form) = form else { return settings };
    let mut ctx = Ctx { reader, file };
    settings.retention = ctx.duration(&form.retention, RETENTION);
    let mut size = |at: &Option<At<String>>| {
        let at = at.as_ref()?;
        parse_size(&at.value)
            .map_err(|why| {
                ctx.error(at.pos, why).help("write a number and a unit: 20 GB");
            })
            .ok()
    };
    settings.bytes_max = size(&form.size_max);
    settings.free_bytes_min = size(&form.free_min).unwrap_or(FREE_BYTES_MIN);
    settings
}

fn read_pages(
    reader: &mut Reader,
    dir: &Path,
    file: FileId,
    include: &IncludeFile,
    tags: &Tags,
) -> (serde_json::Value, PathBuf) {
    let (path, named) = match &include.pages {
        Some(at) => (dir.join(&at.value), Some((file, at.pos))),
        None => (dir.join("hmi/pages.yaml"), None),
    };
    let hmi_dir = path.parent().map_or_else(|| dir.join("hmi"), Path::to_path_buf);
    if named.is_none() && !path.is_file() {
        return (serde_json::Value::Null, hmi_dir);
    }
    let form = reader.text(&path, named).and_then(|(file, text)| Some((file, reader.form::<Node>(file, &text)?)));
    let Some((file, node)) = form else { return (serde_json::Value::Null, hmi_dir) };
    check_pages(reader, file, &node, tags);
    (to_json(&node), hmi_dir)
}

/// Tags that pages name under `tag` or `tags` exist.
fn check_pages(reader: &mut Reader, file: FileId, node: &Node, tags: &Tags) {
    match node {
        Node::List(items) => items.iter().for_each(|item| check_pages(reader, file, &item.value, tags)),
        Node::Map(pairs) => {
            for (key, value) in pairs {
                let named: Vec<At<String>> = match (&value.value, key.value.as_str()) {
                    (Node::Text(path), "tag") => vec![At { value: path.clone(), pos: value.pos }],
                    (Node::List(items), "tags") => items
                        .iter()
                        .filter_map(|i| match &i.value {
                            Node::Text(path) => Some(At { value: path.clone(), pos: i.pos }),
                            _ => None,
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                for path in named.iter().filter(|p| !p.value.contains(['*', '{'])) {
                    tags.find(reader, file, path);
                }
                check_pages(reader, file, &value.value, tags);
            }
        }
        _ => {}
    }
}

fn to_json(node: &Node) -> serde_json::Value {
    match node {
        Node::Bool(b) => (*b).into(),
        Node::Int(i) => (*i).into(),
        Node::Float(x) => (*x).into(),
        Node::Text(t) => t.as_str().into(),
        Node::List(items) => items.iter().map(|i| to_json(&i.value)).collect(),
        Node::Map(pairs) => {
            serde_json::Value::Object(pairs.iter().map(|(k, v)| (k.value.clone(), to_json(&v.value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_tags_are_refused_before_anything_is_laid_out_by_tag() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check/site");
        let found = load_limited(&dir, &Overrides::default(), 3).unwrap_err();
        assert_eq!(found.items.len(), 1, "{found}");
        assert!(found.items[0].message.ends_with("tags; at most 3 fit"), "{found}");
    }
}
