//! When an output is written, what shows that it took effect, and who writes when the runtime's process dies.

use super::files::WriteFile;
use super::read::Reader;
use super::tags::{Ctx, Tags};
use super::text::{At, parse_duration};
use crate::diagnostics::FileId;
use penstock_model::limits::{WRITE_ANSWER, WRITE_QUIET};
use penstock_model::{SettleDef, TagDef, TagId, ValueType, WritePolicy};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Default of `feedback: within`: the slowest valve has run its way.
const FEEDBACK_WITHIN: Duration = Duration::from_secs(60);
/// Default of `supervisor: deadline`.
const DEADLINE: Duration = Duration::from_secs(2);
/// Shortest `supervisor: deadline`: finding the process dead, one connection and one exchange.
const DEADLINE_MIN: Duration = Duration::from_millis(200);
/// Longest `supervisor: deadline`.
const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// Default of `supervisor: max_restarts`.
const RESTARTS: (u32, Duration) = (5, Duration::from_secs(600));
/// Default of `supervisor: hang`.
const HANG: Duration = Duration::from_secs(3);
/// Shortest `supervisor: hang`: below it a busy machine would be taken for a hanging process.
const HANG_MIN: Duration = Duration::from_secs(1);

/// `supervisor:` of `site.yaml`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisorFile {
    /// Outputs have their declared value for a crash after this long. Default `2s`.
    pub deadline: Option<At<String>>,
    /// Whether the runtime is started again. Default true.
    pub restart: Option<bool>,
    /// How often at most: `5 per 10min` (default). Beyond it the outputs stay in their declared state.
    pub max_restarts: Option<At<String>>,
    /// A task that has not scanned for this long, and for ten of its periods, hangs. Default `3s`.
    pub hang: Option<At<String>>,
}

/// A measurement that follows an output, to be looked up once every tag is known.
#[derive(Debug)]
pub struct Feedback {
    file: FileId,
    tag: At<String>,
    prefix: Option<String>,
    tolerance: f64,
    within: Duration,
}

/// `supervisor:` of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorSettings {
    /// Outputs have their declared value for a crash after this long.
    pub deadline: Duration,
    /// Whether the runtime is started again.
    pub restart: bool,
    /// Restarts at most...
    pub restarts_max: u32,
    /// ...within this time.
    pub restarts_within: Duration,
    /// A task that has not scanned for this long, and for ten of its periods, hangs.
    pub hang: Duration,
}

impl Default for SupervisorSettings {
    fn default() -> Self {
        let (restarts_max, restarts_within) = RESTARTS;
        Self { deadline: DEADLINE, restart: true, restarts_max, restarts_within, hang: HANG }
    }
}

impl Ctx<'_> {
    /// When a change of this output is worth a write.
    pub fn write_policy(&mut self, def: &TagDef, w: &WriteFile) -> WritePolicy {
        let deadband = self.not_negative(&w.deadband, "deadband");
        if let (Some(at), false) = (&w.deadband, matches!(def.value_type, ValueType::Float | ValueType::Int)) {
            self.error(at.pos, format!("a {} has no deadband", def.value_type));
        }
        if let (Some(at), Some((low, high))) = (&w.deadband, def.range)
            && deadband > (high - low) / 10.0
        {
            let message = format!("a deadband of {deadband} is more than a tenth of the range {low}..{high}");
            self.error(at.pos, message).help("keep it below what the process would notice");
        }
        if let (Some(quiet), None) = (&w.quiet, &w.deadband) {
            self.error(quiet.pos, "`quiet` says when a change within the deadband is written; there is no `deadband`");
        }
        let verify = self.duration(&w.verify_within, super::devices::VERIFY_WITHIN);
        let quiet = self.duration(&w.quiet, WRITE_QUIET);
        WritePolicy { deadband, quiet, answer_within: WRITE_ANSWER + verify, settle: None }
    }

    /// What `feedback:` of an output says.
    pub fn feedback(&mut self, w: &WriteFile, prefix: Option<&str>) -> Option<Feedback> {
        let form = &w.feedback.as_ref()?.value;
        let tolerance = self.not_negative(&form.tolerance, "tolerance");
        let within = self.duration(&form.within, FEEDBACK_WITHIN);
        let prefix = prefix.map(str::to_owned);
        Some(Feedback { file: self.file, tag: form.tag.clone(), prefix, tolerance, within })
    }
}

/// Looks up the measurements that outputs name.
pub fn bind_feedback(reader: &mut Reader, tags: &mut Tags) {
    for (output, f) in std::mem::take(&mut tags.feedback) {
        let mut named = f.tag.clone();
        if let Some(prefix) = &f.prefix {
            named.value = format!("{prefix}/{}", named.value);
        }
        let Some(tag) = tags.find(reader, f.file, &named) else { continue };
        if let Err(why) = check_pair(tags, output, tag) {
            reader.report.error(f.file, f.tag.pos, why);
            continue;
        }
        if let Some(out) = &mut tags.list[output.index()].def.output {
            out.write.settle = Some(SettleDef { tag, tolerance: f.tolerance, within: f.within });
        }
    }
}

fn check_pair(tags: &Tags, output: TagId, follows: TagId) -> Result<(), String> {
    let (output, follows) = (&tags.get(output).def, &tags.get(follows).def);
    if output.id == follows.id {
        return Err(format!("`{}` cannot be its own feedback", output.path));
    }
    let number = |t: ValueType| matches!(t, ValueType::Float | ValueType::Int);
    if number(output.value_type) != number(follows.value_type) || output.unit != follows.unit {
        return Err(format!(
            "`{}` is a {} in `{}`, its feedback `{}` a {} in `{}`",
            output.path, output.value_type, output.unit, follows.path, follows.value_type, follows.unit
        ));
    }
    Ok(())
}

/// `supervisor:` of `site.yaml`.
pub fn supervisor(reader: &mut Reader, file: FileId, form: Option<&SupervisorFile>) -> SupervisorSettings {
    let mut settings = SupervisorSettings::default();
    let Some(form) = form else { return settings };
    let mut ctx = Ctx { reader, file };
    settings.deadline = ctx.duration(&form.deadline, DEADLINE);
    settings.hang = ctx.duration(&form.hang, HANG);
    settings.restart = form.restart.unwrap_or(true);
    if let (Some(at), false) = (&form.deadline, (DEADLINE_MIN..=DEADLINE_MAX).contains(&settings.deadline)) {
        ctx.error(at.pos, format!("a deadline of {} is outside {DEADLINE_MIN:?}..{DEADLINE_MAX:?}", at.value));
    }
    if let (Some(at), true) = (&form.hang, settings.hang < HANG_MIN) {
        ctx.error(at.pos, format!("{} is shorter than {HANG_MIN:?}: a busy machine would be taken for it", at.value));
    }
    if let Some(at) = &form.max_restarts {
        match parse_times(&at.value) {
            Ok((max, within)) => (settings.restarts_max, settings.restarts_within) = (max, within),
            Err(why) => {
                ctx.error(at.pos, why).help("write how often within what time: 5 per 10min");
            }
        }
    }
    settings
}

/// `5 per 10min`.
fn parse_times(text: &str) -> Result<(u32, Duration), String> {
    let wrong = || format!("`{text}` does not say how often");
    let (count, time) = text.split_once(" per ").ok_or_else(wrong)?;
    let count = count.trim().parse().map_err(|_| wrong())?;
    let within = parse_duration(time)?;
    if within.is_zero() { Err(wrong()) } else { Ok((count, within)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_is_a_count_within_a_time() {
        assert_eq!(parse_times("5 per 10min"), Ok((5, Duration::from_secs(600))));
        assert_eq!(parse_times("0 per 1s"), Ok((0, Duration::from_secs(1))));
        for wrong in ["5", "5 in 10min", "x per 10min", "5 per 10", "5 per 0s", "-1 per 1s"] {
            assert!(parse_times(wrong).is_err(), "{wrong}");
        }
    }
}
