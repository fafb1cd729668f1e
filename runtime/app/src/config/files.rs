//! The forms of a site's files, as written. Unknown keys are refused; every reference and every value that is checked
//! later carries its place. What the words mean is decided in the modules beside this one.

use super::account_files::{CarbonFile, EnergyFile};
use super::case_files::CaseFile;
use super::modbus_files::ModbusFile;
use super::object_files::{HoldFile, ObjectFile};
use super::opcua_files::OpcUaFile;
use super::program_files::{InputFile, LimitsFile};
use super::states::StatesFile;
use super::tasks::TaskFile;
use super::text::{At, Label, Node, Pairs};
use super::writes::SupervisorFile;
use schemars::JsonSchema;
use serde::Deserialize;

type Text = Option<At<String>>;
type Number = Option<At<f64>>;
type Span = Option<At<(f64, f64)>>;

/// `site.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteFile {
    /// Short name of the site, used in files and topics.
    pub site: At<String>,
    /// What a person calls it.
    pub name: Label,
    /// IANA time zone: `Asia/Shanghai`. Tariffs and days follow it; records are in UTC.
    pub time_zone: At<String>,
    /// Languages offered on screens: `zh`, `en`.
    pub languages: Option<Vec<At<String>>>,
    /// Scan tasks and their periods: `normal: 1s`, or `normal: { every: 1s, cpu: 1, overrun: skip }`.
    pub tasks: Pairs<TaskFile>,
    /// Folder of shared scripts, relative to the site; looked into after `<site>/scripts`.
    pub scripts: Text,
    /// Folder of device profiles, relative to the site. Default `../profiles`.
    pub profiles: Text,
    /// Sets of names of states, that tags name instead of writing them out.
    #[serde(default)]
    pub state_sets: Pairs<Pairs<Label>>,
    /// Which files make up the site; `*` stands for any part of a file name.
    pub include: Option<IncludeFile>,
    /// What is kept, and for how long.
    pub historian: Option<HistorianFile>,
    /// What programs remember over a restart.
    pub retain: Option<RetainFile>,
    /// The record of scans, from which any window can be run again.
    pub recorder: Option<super::recorder::RecorderFile>,
    /// What is held at which set-point, for summaries.
    #[serde(default)]
    pub loops: Vec<LoopFile>,
    /// How long an output may be held by hand.
    pub hold: Option<HoldFile>,
    /// Publication over MQTT Sparkplug B.
    pub mqtt: Option<At<super::mqtt::MqttFile>>,
    /// What watches over the runtime's process, and what it does when that dies.
    pub supervisor: Option<SupervisorFile>,
}

/// A quantity and the set-point it is held at
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoopFile {
    /// Tag of what is measured.
    pub measured: At<String>,
    /// Tag of where it should be.
    pub set_point: At<String>,
}

/// Which files make up the site.
#[derive(Debug, Clone, Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct IncludeFile {
    /// Default `devices/*.yaml`.
    pub devices: Option<Vec<At<String>>>,
    /// Default `channels.yaml`.
    pub channels: Option<Vec<At<String>>>,
    /// Default `tags.yaml`.
    pub tags: Option<Vec<At<String>>>,
    /// Default `programs.yaml`.
    pub programs: Option<Vec<At<String>>>,
    /// Default `objects.yaml`.
    pub objects: Option<Vec<At<String>>>,
    /// Default `alarms.yaml`.
    pub alarms: Option<Vec<At<String>>>,
    /// Default `energy.yaml`.
    pub energy: Text,
    /// Default `carbon.yaml`.
    pub carbon: Text,
    /// Default `hmi/pages.yaml`; its folder also holds the mimics.
    pub pages: Text,
}

/// `historian:` of `site.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistorianFile {
    /// Samples older than this are removed: `400d`.
    pub retention: Text,
    /// Largest size on disk: `20 GB`.
    pub size_max: Text,
    /// Free space that always stays: `1 GB`.
    pub free_min: Text,
}

/// `retain:` of `site.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetainFile {
    /// How often what programs remember is written to the disk: `10s`.
    pub every: Text,
    /// Older than this at a start, and controllers start fresh; totals and hours always come back. Default `24h`.
    pub max_age: Text,
}

/// Which kind of device a file is about: read first.
#[derive(Debug, Deserialize)]
pub struct DeviceProbe {
    pub device: Text,
    pub driver: Text,
    pub profile: Text,
}

/// How a point is written
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// How long the device may take until the value reads back. Default `2s`.
    pub verify_within: Text,
    /// Largest difference between commanded and read back, in the tag's unit. Default 0.
    pub tolerance: Number,
    /// The last command is written again after this time, for a device that reverts when it hears nothing for a while.
    /// Default: on change only. Modbus devices only.
    pub repeat: Text,
    /// Smallest and largest value ever commanded. Default: the range.
    pub limits: Span,
    /// Largest change: `1/s`, `30/min`.
    pub rate: Text,
    /// A program's change of less than this is not written at once. Default 0: every change is.
    pub deadband: Number,
    /// A change kept back by `deadband` is written once the wish has stood for this long. Default `10s`.
    pub quiet: Text,
    /// What shows that the process followed.
    pub feedback: Option<At<FeedbackFile>>,
    /// Shortest time on, for switches.
    pub min_on: Text,
    /// Shortest time off, for switches.
    pub min_off: Text,
}

/// `feedback:` of an output: the measurement that follows it
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackFile {
    /// Tag of what follows: a position, a speed, a run signal.
    pub tag: At<String>,
    /// Largest difference between command and measurement, in the output's unit. Default 0.
    pub tolerance: Number,
    /// How long it may take after the device holds the value. Default `60s`.
    pub within: Text,
}

/// What an output does when it loses its reason to move: a value, `hold`, `hold 5min then 40`, or `device`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackFile {
    /// An input of its program is bad.
    pub bad_input: Option<At<Node>>,
    /// Its program or task is faulted.
    pub fault: Option<At<Node>>,
    /// Its task overran. Default: as `fault`.
    pub overrun: Option<At<Node>>,
    /// The link to its device is down.
    pub link: Option<At<Node>>,
    /// The runtime is stopping.
    pub shutdown: Option<At<Node>>,
    /// The runtime's process died. Default: as `shutdown`.
    pub crash: Option<At<Node>>,
}

/// What a person may enter
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryFile {
    /// The value before anyone has entered one.
    pub initial: At<Node>,
    /// Smallest and largest value accepted. Default: the range.
    pub limits: Span,
    /// The least role that may enter it: `operator` (default) or `engineer`.
    pub role: Text,
}

/// What the historian keeps of a tag
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// False: nothing. Default true.
    pub keep: Option<bool>,
    /// A change of at most this much is not kept. Default 0.
    pub deadband: Number,
    /// At least one sample per this time. Default `60s`.
    pub every: Text,
}

/// `tags.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsFile {
    /// What people enter and no device is told.
    #[serde(default)]
    pub entries: Vec<EntryTag>,
    /// What programs compute and no device is told.
    #[serde(default)]
    pub computed: Vec<ComputedTag>,
}

/// A tag that people enter
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryTag {
    /// Path of the tag.
    pub tag: At<String>,
    /// What a person calls it.
    pub title: Option<Label>,
    /// Unit. Default none.
    pub unit: Text,
    /// `float` (default), `int`, `bool` or `text`.
    #[serde(rename = "type")]
    pub value_type: Text,
    /// Engineering range. Default: the limits.
    pub range: Span,
    /// Figures after the decimal point on screens.
    pub decimals: Option<u8>,
    /// What the tag is about.
    pub category: Text,
    /// What the historian keeps.
    pub log: Option<LogFile>,
    /// Names of states by value, or a set of them by name.
    pub states: Option<At<StatesFile>>,
    /// The value before anyone has entered one.
    pub initial: At<Node>,
    /// Smallest and largest value accepted.
    pub limits: Span,
    /// The least role that may enter it: `operator` (default) or `engineer`.
    pub role: Text,
}

/// A tag that a program computes
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComputedTag {
    /// Path of the tag.
    pub tag: At<String>,
    /// What a person calls it.
    pub title: Option<Label>,
    /// Unit. Default none.
    pub unit: Text,
    /// `float` (default), `int`, `bool` or `text`.
    #[serde(rename = "type")]
    pub value_type: Text,
    /// Engineering range.
    pub range: Span,
    /// Figures after the decimal point on screens.
    pub decimals: Option<u8>,
    /// What the tag is about.
    pub category: Text,
    /// What the historian keeps.
    pub log: Option<LogFile>,
    /// Names of states by value, or a set of them by name.
    pub states: Option<At<StatesFile>>,
    /// Present where the value is limited, and may be held by hand.
    pub write: Option<At<WriteFile>>,
    /// What it does when its program loses an input or faults; needs `write`.
    pub fallback: Option<At<FallbackFile>>,
}

/// One entry of `programs.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramFile {
    /// Its name, unique on the site.
    pub program: At<String>,
    /// File name of its script.
    pub script: At<String>,
    /// The task that runs it.
    pub task: At<String>,
    /// Inputs: port and tag, or `{ tag: …, delay: 1 scan }`.
    #[serde(rename = "in", default)]
    pub inputs: Pairs<InputFile>,
    /// Outputs: port and tag.
    #[serde(rename = "out", default)]
    pub outputs: Pairs<At<String>>,
    /// Parameters.
    #[serde(default)]
    pub set: Pairs<At<Node>>,
    /// What it may use up in one scan.
    pub limits: Option<LimitsFile>,
}

/// One entry of `alarms.yaml`; exactly one of `above`, `below`, `equals`, `bad`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmFile {
    /// Its name, unique on the site: `aer/z3/do/low`.
    pub alarm: At<String>,
    /// The tag watched.
    pub tag: At<String>,
    /// Active above this limit.
    pub above: Number,
    /// Active below this limit.
    pub below: Number,
    /// Active at this whole number, or at true or false.
    pub equals: Option<At<Node>>,
    /// `true`: active while the tag's quality is bad.
    pub bad: Option<At<bool>>,
    /// Distance the value must come back by. Default 0.
    pub deadband: Number,
    /// How long the condition must hold first. Default none.
    pub on_delay: Text,
    /// How long it must be gone first. Default none.
    pub off_delay: Text,
    /// `low`, `medium`, `high`, `critical`.
    pub priority: At<String>,
    /// What is wrong.
    pub title: Label,
    /// What usually causes it.
    pub cause: Label,
    /// What happens if nobody acts.
    pub consequence: Label,
    /// What to do.
    pub response: Label,
}

/// The JSON schema of a kind of file, for editors: `site`, `device` (Modbus), `device-opcua`, `profile`, `tags`,
/// `programs`, `objects`, `alarms`, `energy`, `carbon`, `cases`.
#[must_use]
pub fn schema(kind: &str) -> Option<serde_json::Value> {
    let mut schema = match kind {
        "site" => schemars::schema_for!(SiteFile),
        "device" => {
            let modbus = schema("device-modbus")?;
            let opcua = schema("device-opcua")?;
            return Some(serde_json::json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": "device",
                "if": { "properties": { "driver": { "const": "opcua" } }, "required": ["driver"] },
                "then": opcua,
                "else": modbus,
            }));
        }
        "device-modbus" | "profile" => schemars::schema_for!(ModbusFile),
        "device-opcua" => schemars::schema_for!(OpcUaFile),
        "channels" => schemars::schema_for!(Vec<super::channels::ChannelFile>),
        "tags" => schemars::schema_for!(TagsFile),
        "programs" => schemars::schema_for!(Vec<ProgramFile>),
        "objects" => schemars::schema_for!(Vec<ObjectFile>),
        "alarms" => schemars::schema_for!(Vec<AlarmFile>),
        "energy" => schemars::schema_for!(EnergyFile),
        "carbon" => schemars::schema_for!(CarbonFile),
        "modbus-server" => schemars::schema_for!(super::modbus_server::ModbusServerFile),
        "opcua-server" => schemars::schema_for!(super::opcua_server::OpcUaServerFile),
        "cases" => schemars::schema_for!(Vec<CaseFile>),
        _ => return None,
    };
    schema.insert("$id".to_owned(), format!("penstock:{kind}").into());
    Some(schema.to_value())
}

/// The kinds of files that have a schema.
pub const SCHEMA_KINDS: [&str; 13] = [
    "site",
    "device",
    "profile",
    "channels",
    "tags",
    "programs",
    "objects",
    "alarms",
    "energy",
    "carbon",
    "modbus-server",
    "opcua-server",
    "cases",
];
