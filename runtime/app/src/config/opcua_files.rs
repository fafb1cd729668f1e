//! The form of an OPC UA server's file, as written.

use super::files::{EntryFile, FallbackFile, LogFile, WriteFile};
use super::states::StatesFile;
use super::text::{At, Label, Pairs};
use schemars::JsonSchema;
use serde::Deserialize;

type Text = Option<At<String>>;
type Number = Option<At<f64>>;
type Span = Option<At<(f64, f64)>>;

/// An OPC UA server
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpcUaFile {
    /// Name of the device, unique on the site.
    pub device: At<String>,
    /// What a person calls it.
    pub title: Option<Label>,
    /// `opcua`
    #[expect(dead_code, reason = "read first, by the probe: it decides that this is the form")]
    pub driver: At<String>,
    /// `opc.tcp://host:port[/path]`
    pub endpoint: At<String>,
    /// Name of the gateway whose address this device shares.
    pub gateway: Text,
    /// `Basic256Sha256`, `Aes128_Sha256_RsaOaep` or `Aes256_Sha256_RsaPss`, signed and encrypted, with `/Sign` signed only;
    /// or `none`, which has to be said.
    pub security: Text,
    /// What is let pass of the server's certificate: `expired`, `host-name`, `no-crl`. Default nothing.
    pub accept_certificate: Option<Vec<At<String>>>,
    /// User name; anonymous without one.
    pub user: Text,
    /// Name of the environment variable that holds the password.
    pub password_env: Text,
    /// File that holds the password, for its owner's eyes alone, relative to the site.
    pub password_file: Text,
    /// Certificate of a person or account (`.der`, `.pem`) in place of a user name, relative to the site.
    pub user_certificate: Text,
    /// The private key of `user_certificate` (PEM), for its owner's eyes alone.
    pub user_key: Text,
    /// Folder of certificates, relative to the site. Default: `pki` in the state folder.
    pub pki_dir: Text,
    /// How long a connection or an answer may take. Default `5s`.
    pub timeout: Text,
    /// Namespace uri of nodes written as `s=...` or `i=...`.
    pub namespace: Text,
    /// What the tags are about.
    pub category: Text,
    /// Subscriptions and their publishing intervals.
    #[serde(default)]
    pub groups: Pairs<PublishGroup>,
    /// Points.
    #[serde(default)]
    pub points: Vec<OpcUaPoint>,
}

/// One subscription
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishGroup {
    /// Publishing interval: how often the server tells what changed.
    pub publish: At<String>,
    /// How often the server looks at the values; `0ms` is as fast as it can. Default: the publishing interval.
    pub sampling: Text,
    /// Values of one point that the server keeps between two publishes, 1 to 1000. Default 1: the latest.
    pub queue: Option<At<u32>>,
    /// How far a number moves before it is told: `0.5` in the node's unit, or `2 %` of its range. Default: any change.
    pub deadband: Text,
    /// `subscribe`, or `read` for a server without subscriptions. Default `subscribe`.
    pub fetch: Text,
}

/// A point of an OPC UA server
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpcUaPoint {
    /// Node id: `s=Tank.Level` in the device's namespace, `ns=2;s=...`, `nsu=<uri>;s=...`.
    pub node: At<String>,
    /// Element of an array, from 0: `3`, or `2,1` where it has two dimensions.
    pub index: Text,
    /// Field of a structure: `Level`, or `Status.Level` for one within another. Read only.
    pub field: Text,
    /// Tag value = node value × scale + offset.
    pub scale: Number,
    /// See `scale`.
    pub offset: Number,
    /// Subscription. Default: the first.
    pub group: Text,
    /// Path of the tag.
    pub tag: At<String>,
    /// What a person calls it.
    pub title: Option<Label>,
    /// Unit of the tag. Default none.
    pub unit: Text,
    /// `float` (default), `int`, `bool` or `text`.
    #[serde(rename = "type")]
    pub value_type: Text,
    /// Instrument or engineering range.
    pub range: Span,
    /// Figures after the decimal point on screens.
    pub decimals: Option<u8>,
    /// Older than this and the tag is bad. Default: five intervals, at least 2s.
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
    /// What the output does when it loses its reason to move.
    pub fallback: Option<At<FallbackFile>>,
    /// Present where a person enters the value.
    pub entry: Option<At<EntryFile>>,
}
