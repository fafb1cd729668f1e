//! The forms of a `*.cases.yaml`, as written.

use super::text::{At, Node, Pairs};
use schemars::JsonSchema;
use serde::Deserialize;

/// One case of a `*.cases.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// What is shown, in a sentence; unique in its file.
    pub case: At<String>,
    /// Parameters.
    #[serde(default)]
    pub set: Pairs<At<Node>>,
    /// Outputs held by hand from the first row on.
    #[serde(default)]
    pub manual: Pairs<At<Node>>,
    /// The scans.
    pub rows: Vec<At<RowFile>>,
}

/// One row of a case: one or more scans with the same inputs
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowFile {
    /// Time since the scan before. Default: as in the row before.
    pub dt: Option<At<String>>,
    /// How many scans. Default 1.
    pub times: Option<At<u32>>,
    /// The runtime is restarted before the row's first scan.
    pub restart: Option<At<RestartFile>>,
    /// Inputs that change: a value, `{ bad: link }`, `{ uncertain: frozen, value: 2.0 }`.
    #[serde(rename = "in", default)]
    pub inputs: Pairs<At<Node>>,
    /// Outputs held by hand from here on; `release` ends it.
    #[serde(default)]
    pub manual: Pairs<At<Node>>,
    /// What is expected after the last scan of the row.
    #[serde(default)]
    pub out: Pairs<At<Node>>,
    /// The scan must fail with a message that contains this.
    pub error: Option<At<String>>,
}

/// `restart:` of a row
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestartFile {
    /// With all that the program remembers, as after a short stop.
    Kept,
    /// With its totals alone, as after a long stop or the reset of a faulted task.
    Fresh,
}
