//! `recorder:` of the site.

use super::read::Reader;
use super::tags::Ctx;
use super::text::{At, parse_size};
use crate::diagnostics::FileId;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Default of `size_max`: some days of a works of a thousand tags.
const BYTES_MAX: u64 = 2_000_000_000;
/// Least `size_max`: sixteen segments with a keyframe in each.
const BYTES_MIN: u64 = 8_000_000;
/// Default of `keep`: an incident is looked into within the week.
const KEEP: Duration = Duration::from_secs(7 * 86_400);

/// `recorder:` of `site.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecorderFile {
    /// False: no scans are recorded. Default true.
    pub on: Option<bool>,
    /// Largest size on disk. Default `2 GB`.
    pub size_max: Option<At<String>>,
    /// Scans older than this are removed. Default `7d`.
    pub keep: Option<At<String>>,
}

/// The record of scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderSettings {
    /// Largest size on disk.
    pub bytes_max: u64,
    /// Scans older than this are removed.
    pub keep: Duration,
}

/// What the file says, or the defaults; `None` where it says that nothing is recorded.
pub fn settings(reader: &mut Reader, file: FileId, form: Option<&RecorderFile>) -> Option<RecorderSettings> {
    let mut settings = RecorderSettings { bytes_max: BYTES_MAX, keep: KEEP };
    let Some(form) = form else { return Some(settings) };
    let mut ctx = Ctx { reader, file };
    settings.keep = ctx.duration(&form.keep, KEEP);
    if let Some(at) = &form.size_max {
        match parse_size(&at.value) {
            Ok(bytes) if bytes >= BYTES_MIN => settings.bytes_max = bytes,
            Ok(_) => {
                ctx.error(at.pos, format!("`{}` is too small for a record of scans", at.value))
                    .help("at least 8 MB; to keep none, write `on: false`");
            }
            Err(e) => {
                ctx.error(at.pos, e).help("for example `2 GB`");
            }
        }
    }
    form.on.unwrap_or(true).then_some(settings)
}
