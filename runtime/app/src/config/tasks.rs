//! `tasks:` of a site: `fast: 100ms`, or `fast: { every: 100ms, cpu: 1, overrun: skip }`.

use super::tags::Ctx;
use super::text::{At, DURATION_HELP, Node};
use crate::diagnostics::{Pos, suggest};
use penstock_engine::{OverrunPolicy, TaskDef};
use penstock_model::TaskId;
use penstock_model::limits::{SCAN_CPU_MAX, SCAN_PERIOD_MAX, SCAN_PERIOD_MIN};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// What stands behind a task's name.
const KEYS: [&str; 3] = ["every", "cpu", "overrun"];

/// A task of `site.yaml`: its period alone, or `{ every: 100ms, cpu: 1, overrun: count }`. The words are judged
/// below, so that each mistake has its own place.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct TaskFile(pub At<Node>);

impl JsonSchema for TaskFile {
    fn schema_name() -> Cow<'static, str> {
        "Task".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let policies = OverrunPolicy::ALL.map(OverrunPolicy::as_str);
        json_schema!({
            "description": "A scan task: its period, or what else is to be said of it.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "every": { "type": "string", "description": "Period: `100ms`." },
                        "cpu": {
                            "type": "integer", "minimum": 0, "maximum": SCAN_CPU_MAX,
                            "description": "Number of the processor its thread is bound to. Default: any."
                        },
                        "overrun": {
                            "enum": policies,
                            "description": "What becomes of missed deadlines: `count` them and run late (default), \
                                `skip` the late scan too and wait for the next deadline, `fault` the task."
                        }
                    },
                    "required": ["every"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

impl Ctx<'_> {
    /// The tasks of a site, fastest first, with every mistake told at its place. `pos` is for what is missing altogether.
    pub fn tasks(&mut self, files: &[(At<String>, TaskFile)], pos: Pos) -> Vec<TaskDef> {
        let mut list: Vec<TaskDef> = files.iter().map(|(name, file)| self.task(name, &file.0)).collect();
        if files.is_empty() || files.len() > usize::from(u8::MAX) {
            self.error(pos, "a site has 1 to 255 tasks").help("add: tasks: { fast: 100ms, normal: 1s, slow: 10s }");
        }
        // Ids follow the period, and priorities the ids: rate-monotonic. Equal periods stay in the order of the file.
        list.sort_by_key(|task| task.period);
        for (id, task) in (0..=u8::MAX).zip(&mut list) {
            task.id = TaskId(id);
        }
        list.truncate(usize::from(u8::MAX));
        list
    }

    /// One task. Where its period cannot be read it still exists, so that no program is told that it does not: the site
    /// is refused anyway.
    fn task(&mut self, name: &At<String>, file: &At<Node>) -> TaskDef {
        let short = [(At { value: "every".to_owned(), pos: file.pos }, file.clone())];
        let pairs: &[(At<String>, At<Node>)] = match &file.value {
            Node::Map(pairs) => pairs,
            _ => &short,
        };
        let mut task = TaskDef::new(TaskId(0), &name.value, SCAN_PERIOD_MIN);
        let mut said = false;
        for (key, value) in pairs {
            match key.value.as_str() {
                "every" => {
                    said = true;
                    task.period = self.period(value).unwrap_or(task.period);
                }
                "cpu" => task.cpu = self.cpu(value),
                "overrun" => task.overrun = self.overrun(value),
                other => {
                    let help = suggest(other, KEYS);
                    self.error(key.pos, format!("unknown key `{other}` of a task")).help_maybe(help);
                }
            }
        }
        if !said {
            let message = format!("task `{}` does not say how often it runs", name.value);
            self.error(name.pos, message).help("add: every: 100ms");
        }
        task
    }

    fn period(&mut self, at: &At<Node>) -> Option<std::time::Duration> {
        let Node::Text(text) = &at.value else {
            let message = match &at.value {
                Node::Int(_) | Node::Float(_) => format!("{} needs a unit of time", at.value.describe()),
                other => format!("{} is not a duration", other.describe()),
            };
            self.error(at.pos, message).help(DURATION_HELP);
            return None;
        };
        let period = self.duration_at(&At { value: text.clone(), pos: at.pos })?;
        if !(SCAN_PERIOD_MIN..=SCAN_PERIOD_MAX).contains(&period) {
            let message = format!("a task runs every {SCAN_PERIOD_MIN:?} to {SCAN_PERIOD_MAX:?}, not every {text}");
            self.error(at.pos, message);
        }
        Some(period)
    }

    fn cpu(&mut self, at: &At<Node>) -> Option<u16> {
        let cpu = match &at.value {
            Node::Int(number) => u16::try_from(*number).ok().filter(|cpu| *cpu <= SCAN_CPU_MAX),
            _ => None,
        };
        if cpu.is_none() {
            let message = format!("{} is not the number of a processor", at.value.describe());
            self.error(at.pos, message).help(format!("write a whole number from 0 to {SCAN_CPU_MAX}; the first is 0"));
        }
        cpu
    }

    fn overrun(&mut self, at: &At<Node>) -> OverrunPolicy {
        let word = match &at.value {
            Node::Text(word) => word.as_str(),
            _ => "",
        };
        OverrunPolicy::ALL.into_iter().find(|policy| policy.as_str() == word).unwrap_or_else(|| {
            let help = suggest(word, OverrunPolicy::ALL.map(OverrunPolicy::as_str));
            let message = format!("{} does not say what becomes of missed deadlines", at.value.describe());
            self.error(at.pos, message).help_maybe(help);
            OverrunPolicy::default()
        })
    }
}
