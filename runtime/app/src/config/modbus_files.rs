//! The forms of Modbus devices and their profiles, as written.

use super::files::{EntryFile, FallbackFile, LogFile, WriteFile};
use super::states::StatesFile;
use super::text::{At, Label, Pairs};
use schemars::JsonSchema;
use serde::Deserialize;

type Text = Option<At<String>>;
type Number = Option<At<f64>>;
type Span = Option<At<(f64, f64)>>;

/// A Modbus device, or a profile of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusFile {
    /// Name of the device, unique on the site.
    pub device: Text,
    /// What a person calls it.
    pub title: Option<Label>,
    /// `modbus-tcp`, `modbus-rtu` (a serial port of its own), `modbus-rtu-tcp` (a serial device server), or `modbus`: the
    /// channel says which.
    pub driver: Text,
    /// In a device: the profile it follows. In a profile: its own name.
    pub profile: Text,
    /// Put before every tag of the profile: `met/grid`.
    pub prefix: Text,
    /// `host:port`, or the path of a serial port: `/dev/ttyUSB0`.
    pub address: Text,
    /// Name of the gateway whose address and connection this device shares.
    pub gateway: Text,
    /// Name of a channel of `channels.yaml`, in place of an address.
    pub channel: Text,
    /// How characters go over a serial port of its own.
    pub line: Option<At<super::channels::LineFile>>,
    /// Unit identifier. Default 1.
    pub unit: Option<At<u8>>,
    /// Byte order of values over more than one register: `ABCD`, `CDAB`, `BADC`, `DCBA`. Default `ABCD`.
    pub byte_order: Text,
    /// True where the device's manual counts addresses from 0.
    pub zero_based: Option<bool>,
    /// How long a connection or an answer may take. Default `1s`.
    pub timeout: Text,
    /// Wait after connecting. Default none.
    pub pause_after_connect: Text,
    /// Wait after each answer of this device. Default none.
    pub pause_between_requests: Text,
    /// Wait after a write. Default none.
    pub pause_after_write: Text,
    /// How long a write may take to be confirmed. Default as `timeout`.
    pub write_timeout: Text,
    /// True where a request may ask for one point alone.
    pub one_by_one: Option<bool>,
    /// Which functions write: `auto` (default), `single` (5 and 6 only), `multiple` (15 and 16 only), `read_write` (23).
    pub write_with: Text,
    /// True where single bits of a register are written with function 22.
    pub mask_write: Option<bool>,
    /// Something is read when nothing was asked for so long, so that the device does not close the connection.
    pub keep_alive: Text,
    /// True to ask the device what it is (function 43/14) when it comes; the log tells.
    pub identify: Option<bool>,
    /// How often a question without an answer is repeated. Default 0 over TCP, 1 on a serial line.
    pub retries: Option<At<u8>>,
    /// Where points are found by SunSpec model and name: how the device is looked through.
    pub sunspec: Option<super::sunspec::SunSpecFile>,
    /// A register that is counted up so that the device notices when we fall silent.
    pub heartbeat: Option<HeartbeatFile>,
    /// Most registers per request. Default 125.
    pub registers_max: Option<At<u16>>,
    /// Most bits per request. Default 2000.
    pub bits_max: Option<At<u16>>,
    /// Most unused registers read along to join two points into one request. Default 8.
    pub gap_max: Option<At<u16>>,
    /// What the tags are about: `process` (default), `energy`, `carbon`.
    pub category: Text,
    /// Poll groups and their periods.
    #[serde(default)]
    pub groups: Pairs<PollGroup>,
    /// Points.
    #[serde(default)]
    pub points: Vec<ModbusPoint>,
}

/// `heartbeat:` of a Modbus device
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatFile {
    /// The register: `HR900`, or `sunspec 715.ControllerHb`.
    pub write: At<String>,
    /// How often.
    pub every: At<String>,
    /// What is written: `count` (default) or `toggle`, 1 and 0 in turn.
    pub values: Text,
    /// When it beats: `healthy` (default) while every task that commands the device scans in time and is not faulted,
    /// `scans` also while one is faulted, `link` whenever the device is connected.
    #[serde(rename = "while")]
    pub beats: Text,
}

/// One poll group
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollGroup {
    /// Poll period.
    pub every: At<String>,
}

/// A point of a Modbus device
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusPoint {
    /// Where: `30011`, `400101`, `HR1`, `IR1`, `C1`, `DI1`, `40001.3` for a bit of a register; `h0`, `1!400001#LB`,
    /// `holding-register:1:REAL`, `%QW0` as other products write them; `sunspec 103.W`, `sunspec inverter.W | 701.W` by model
    /// and name. `penstock plan --points` shows each as the protocol counts.
    pub at: At<String>,
    /// Wire type: `float32`, `uint16`, `int32`, `bit` and so on. Coils and discrete inputs are `bit`.
    #[serde(rename = "as")]
    pub wire: Text,
    /// Byte order of this point, where it differs from the device's.
    pub byte_order: Text,
    /// Tag value = wire value × scale + offset.
    pub scale: Number,
    /// See `scale`.
    pub offset: Number,
    /// In place of scale and offset: the wire values at the ends of `range`, `[0, 27648]`.
    pub raw: Span,
    /// Poll group. Default: the first.
    pub group: Text,
    /// Path of the tag.
    pub tag: At<String>,
    /// What a person calls it.
    pub title: Option<Label>,
    /// Unit of the tag. Default none.
    pub unit: Text,
    /// `float`, `int`, `bool` or `text`. Default: what the wire type and scale give.
    #[serde(rename = "type")]
    pub value_type: Text,
    /// Instrument or engineering range.
    pub range: Span,
    /// Figures after the decimal point on screens.
    pub decimals: Option<u8>,
    /// Older than this and the tag is bad. Default: five poll periods, at least 2s.
    pub ttl: Text,
    /// Unchanged for longer than this and the tag is uncertain.
    pub frozen_after: Text,
    /// What the tag is about.
    pub category: Text,
    /// What the historian keeps.
    pub log: Option<LogFile>,
    /// Names of states by value, or a set of them by name.
    pub states: Option<At<StatesFile>>,
    /// Present where the point is written.
    pub write: Option<At<WriteFile>>,
    /// SunSpec commands: the device takes the command back after so long without a new one. Its timer is set with each
    /// command, the function is switched on, and the command is repeated in time.
    pub revert: Text,
    /// What the output does when it loses its reason to move.
    pub fallback: Option<At<FallbackFile>>,
    /// Present where a person enters the value.
    pub entry: Option<At<EntryFile>>,
}
