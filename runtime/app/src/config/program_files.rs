//! What a program of `programs.yaml` may say beside tags: that an input is read one scan late, and what the program may
//! use up.

use super::tags::Ctx;
use super::text::{At, Node, Pairs};
use crate::diagnostics::{Pos, suggest};
use penstock_engine::{Declaration, Delay, ProgramLimits, TaskDef};
use penstock_model::ValueType;
use penstock_model::limits::{PROGRAM_TIME_MIN, SCRIPT_OPERATIONS_MAX, SCRIPT_OPERATIONS_MIN};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// What stands behind the name of an input that is read late.
const KEYS: [&str; 3] = ["tag", "delay", "or"];
/// The one delay there is.
const ONE_SCAN: &str = "1 scan";

/// An input of a program: its tag, or `{ tag: a/b, delay: 1 scan, or: 0 }`. The words are judged below, so that each
/// mistake has its own place.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct InputFile(pub At<Node>);

impl JsonSchema for InputFile {
    fn schema_name() -> Cow<'static, str> {
        "Input".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An input: its tag, or what else is to be said of it.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "tag": { "type": "string", "description": "The tag." },
                        "delay": {
                            "enum": [ONE_SCAN],
                            "description": "The tag is read as it stood at the end of the last scan, so that programs \
                                of one task may feed each other in a circle."
                        },
                        "or": {
                            "type": ["number", "boolean"],
                            "description": "What is read instead, as uncertain, while the tag is bad: in the first \
                                scan, and after a disturbance. Without it a circle that is bad once stays bad."
                        }
                    },
                    "required": ["tag", "delay"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// `limits:` of a program
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Most operations of its script in one scan; beyond them its task is faulted. Default and most: 100 000.
    pub operations: Option<At<i64>>,
    /// Longest run in one scan: `5ms`; beyond it its task is faulted as an overrun. At most what the task itself has,
    /// which is the default too: 80 % of its period, and 50 ms where that is less.
    pub time: Option<At<String>>,
}

/// An input that is read late, with the places of what is said of it.
#[derive(Debug)]
pub struct LateInput {
    /// Name of the input.
    pub port: String,
    /// Place of `delay`.
    pub pos: Pos,
    /// What is read while it is bad.
    pub otherwise: Option<At<Node>>,
}

impl Ctx<'_> {
    /// The tags of inputs, and which of the inputs are read late.
    pub fn inputs(&mut self, files: &Pairs<InputFile>) -> (Pairs<At<String>>, Vec<LateInput>) {
        let (mut tags, mut late) = (Vec::new(), Vec::new());
        for (port, InputFile(at)) in &files.0 {
            match &at.value {
                Node::Text(tag) => tags.push((port.clone(), At { value: tag.clone(), pos: at.pos })),
                Node::Map(pairs) => {
                    let (tag, delayed) = self.late_input(port, pairs);
                    tags.extend(tag.map(|tag| (port.clone(), tag)));
                    late.extend(delayed);
                }
                other => {
                    let message = format!("input `{}`: {} is no tag", port.value, other.describe());
                    self.error(at.pos, message).help("write the tag's path, or { tag: <path>, delay: 1 scan }");
                }
            }
        }
        (Pairs(tags), late)
    }

    fn late_input(
        &mut self,
        port: &At<String>,
        pairs: &[(At<String>, At<Node>)],
    ) -> (Option<At<String>>, Option<LateInput>) {
        let (mut tag, mut delay, mut otherwise) = (None, None, None);
        for (key, value) in pairs {
            match (key.value.as_str(), &value.value) {
                ("tag", Node::Text(path)) => tag = Some(At { value: path.clone(), pos: value.pos }),
                ("delay", Node::Text(text)) if text.split_whitespace().eq(ONE_SCAN.split(' ')) => {
                    delay = Some(value.pos);
                }
                ("or", Node::Bool(_) | Node::Int(_) | Node::Float(_)) => otherwise = Some(value.clone()),
                ("tag", other) => {
                    self.error(value.pos, format!("{} is no tag", other.describe()));
                }
                ("delay", other) => {
                    self.error(value.pos, format!("{} is not how late an input can be read", other.describe()))
                        .help("write `delay: 1 scan`: there is no longer one");
                    delay = Some(value.pos);
                }
                ("or", other) => {
                    self.error(value.pos, format!("{} cannot be read instead of a tag", other.describe()))
                        .help("write a number, true or false");
                }
                (unknown, _) => {
                    let help = suggest(unknown, KEYS);
                    self.error(key.pos, format!("unknown key `{unknown}` of an input")).help_maybe(help);
                }
            }
        }
        if !pairs.iter().any(|(key, _)| key.value == "tag") {
            self.error(port.pos, format!("input `{}` does not say its tag", port.value)).help("add: tag: <path>");
        }
        if !pairs.iter().any(|(key, _)| key.value == "delay") {
            self.error(port.pos, format!("input `{}` says no `delay`", port.value))
                .help("add `delay: 1 scan`, or write the tag's path alone");
        }
        let late = delay.map(|pos| LateInput { port: port.value.clone(), pos, otherwise });
        (tag, late)
    }

    /// The delays of a program, their `or` in the types of the script's inputs.
    pub fn delays(&mut self, late: &[LateInput], declaration: &Declaration) -> Vec<Delay> {
        let mut out = Vec::new();
        for one in late {
            let Some(port) = declaration.inputs.iter().find(|p| p.name == one.port) else { continue };
            let otherwise = one.otherwise.as_ref().and_then(|at| {
                let value = at.value.to_value(port.value_type);
                if value.is_none() {
                    let wanted = if port.value_type == ValueType::Bool { "true or false" } else { "a number" };
                    let message = format!("input `{}` takes {wanted}, not {}", port.name, at.value.describe());
                    self.error(at.pos, message);
                }
                value
            });
            out.push(Delay { input: one.port.clone(), otherwise });
        }
        out
    }

    /// What a program may use up: each within what its task has.
    pub fn program_limits(&mut self, form: Option<&LimitsFile>, task: Option<&TaskDef>) -> ProgramLimits {
        let Some(form) = form else { return ProgramLimits::default() };
        let operations = form.operations.as_ref().and_then(|at| {
            let fits =
                u64::try_from(at.value).ok().filter(|n| (SCRIPT_OPERATIONS_MIN..=SCRIPT_OPERATIONS_MAX).contains(n));
            if fits.is_none() {
                let message = format!("{} operations cannot be the limit of a program", at.value);
                self.error(at.pos, message)
                    .help(format!("write {SCRIPT_OPERATIONS_MIN} to {SCRIPT_OPERATIONS_MAX}; the most is the default"));
            }
            fits
        });
        let time = form.time.as_ref().and_then(|at| {
            let time = self.duration_at(at)?;
            let most = task.map_or(time, |task| task.run_max());
            if time < PROGRAM_TIME_MIN || time > most {
                let message = format!("a program of this task runs {PROGRAM_TIME_MIN:?} to {most:?}, not {}", at.value);
                self.error(at.pos, message)
                    .help(format!("the task itself is stopped after {most:?}: leave `time` out for that"));
            }
            Some(time)
        });
        ProgramLimits { operations, time }
    }
}
