//! The form of `objects.yaml`, as written.

use super::text::{At, Label, Node, Pairs};
use schemars::JsonSchema;
use serde::Deserialize;

type Text = Option<At<String>>;

/// One controlled object: a machine or a valve with its outputs
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectFile {
    /// Its name, unique on the site: `aer/b1`. Its mode is the tag `<name>/mode`.
    pub object: At<String>,
    /// What a person calls it.
    pub title: Label,
    /// Its outputs; all are written in one task.
    pub outputs: Vec<ObjectOutputFile>,
    /// The modes that a person may select, and the least role for each: `{ auto: operator, off: engineer }`. Modes: `off`,
    /// `manual`, `auto`, `cascade`, `remote`. Default: off, manual and auto for operators.
    pub modes: Option<Pairs<At<String>>>,
    /// The mode at the first start. Default `auto`.
    pub initial: Text,
    /// The condition under which the panel in the field has it: `not aer/remote`.
    pub local: Text,
    /// How long it may be held by hand. Default: that of the site.
    pub hold: Option<HoldFile>,
    /// Conditions under which an output must take a value.
    #[serde(default)]
    pub interlocks: Vec<InterlockFile>,
    /// Conditions without which it is not started.
    #[serde(default)]
    pub permissives: Vec<PermissiveFile>,
}

/// An output of an object
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectOutputFile {
    /// Its tag.
    pub tag: At<String>,
    /// Its value in mode off.
    pub off: At<Node>,
    /// Its value under a maintenance lock. Default: that of off.
    pub lock: Option<At<Node>>,
    /// The tag that shows where it really stands.
    pub feedback: Text,
}

/// How long an output may be held by hand
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldFile {
    /// Where the person gives no time: `1h`. Default: until released.
    pub default: Text,
    /// The longest time. Default: any, and also without an end.
    pub max: Text,
}

/// A condition under which an output must take a value
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InterlockFile {
    /// The condition: `aer/b1/vibration > 7.1 mm/s for 2s`.
    pub when: At<String>,
    /// The output. Default: the only one.
    pub output: Text,
    /// The value. Default: that of off.
    pub value: Option<At<Node>>,
    /// What a person calls it.
    pub text: Label,
    /// What an input of bad quality means: `trip` (default), `ignore`, `hold`.
    pub bad: Text,
    /// It acts until a person resets it. Default false.
    #[serde(default)]
    pub latch: bool,
}

/// A condition without which an output is not started
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermissiveFile {
    /// The condition that must be met: `dos/pac/level > 5 %`.
    pub when: At<String>,
    /// The output. Default: all of them.
    pub output: Text,
    /// What a person calls it.
    pub text: Label,
    /// What an input of bad quality means: `trip` (default: not met), `ignore` (met), `hold`.
    pub bad: Text,
    /// Modes that cannot be selected from off without it. Default: all.
    pub modes: Option<Vec<At<String>>>,
}
