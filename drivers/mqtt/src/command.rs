//! What hosts ask for: NCMD and DCMD payloads, read with suspicion.

use crate::limits::{COMMAND_AGE_MAX, COMMAND_BYTES_MAX, COMMAND_METRICS_MAX, COMMANDS_PER_S_MAX};
use crate::node::{Node, REBIRTH};
use crate::payload::{Metric, MetricValue, Payload, datatype};
use crate::{Config, Order, Refusal};
use penstock_model::{Instant, Utc, Value};
use prost::Message as _;
use std::time::Duration;

/// A command as it came from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// The device it was sent to; `None` for the node.
    pub device: Option<String>,
    /// True where the broker kept it from before: who sent it did not mean now.
    pub retained: bool,
    pub payload: Vec<u8>,
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Asked {
    /// A new birth.
    pub rebirth: bool,
    /// Values to be written, by their place in the list of tags.
    pub orders: Vec<(usize, Order)>,
    /// What is refused already here.
    pub refused: Vec<Refusal>,
}

/// Reads a command.
pub(crate) fn read(config: &Config, node: &Node, command: &Command, now: Utc) -> Asked {
    let mut asked = Asked::default();
    let refuse = |why: String| Asked { refused: vec![Refusal { metric: "*".into(), why }], ..Asked::default() };
    if command.payload.len() > COMMAND_BYTES_MAX {
        return refuse(format!("{} bytes; at most {COMMAND_BYTES_MAX} are read", command.payload.len()));
    }
    let payload = match Payload::decode(command.payload.as_slice()) {
        Ok(payload) => payload,
        Err(error) => return refuse(format!("it is no Sparkplug payload: {error}")),
    };
    if payload.metrics.len() > COMMAND_METRICS_MAX {
        return refuse(format!("{} metrics; at most {COMMAND_METRICS_MAX} are taken at once", payload.metrics.len()));
    }
    for metric in &payload.metrics {
        if metric.name.as_deref() == Some(REBIRTH) && command.device.is_none() {
            // A rebirth harms nobody, so a kept one is as good as a fresh one.
            asked.rebirth |= metric.value == Some(MetricValue::Boolean(true));
            continue;
        }
        let sent = metric.timestamp.or(payload.timestamp);
        let why = match order(config, node, command, metric, sent, now) {
            Ok(order) => {
                asked.orders.push(order);
                continue;
            }
            Err(why) => why,
        };
        let name = match (&metric.name, metric.alias) {
            (Some(name), _) => shown(name),
            (None, Some(alias)) => format!("alias {alias}"),
            (None, None) => "a metric without name".to_owned(),
        };
        asked.refused.push(Refusal { metric: name, why });
    }
    asked
}

fn order(
    config: &Config,
    node: &Node,
    command: &Command,
    metric: &Metric,
    sent: Option<u64>,
    now: Utc,
) -> Result<(usize, Order), String> {
    if !config.takes_commands {
        return Err("this site takes no commands over MQTT".to_owned());
    }
    if command.retained {
        return Err("a retained message is no command: publish it without `retain`".to_owned());
    }
    let place = node.named(command.device.as_deref(), metric.name.as_deref(), metric.alias);
    let Some((place, meta)) = place.and_then(|p| Some((p, config.tags.get(p)?))) else {
        return Err("no such metric here".to_owned());
    };
    if !meta.writable {
        return Err("this tag is not among those that hosts may write".to_owned());
    }
    if let Some(sent) = sent.and_then(|ms| i64::try_from(ms).ok()) {
        let apart = Duration::from_millis(now.millis().abs_diff(sent));
        if apart > COMMAND_AGE_MAX {
            let (s, max) = (apart.as_secs(), COMMAND_AGE_MAX.as_secs());
            let late = if sent < now.millis() { "old" } else { "ahead of our clock" };
            return Err(format!("{s} s {late}; at most {max} s are taken: look at both clocks"));
        }
    }
    let value = if metric.is_null == Some(true) { None } else { Some(value_of(metric)?) };
    Ok((place, Order { tag: meta.tag, path: meta.path.clone(), value }))
}

/// A metric's value. Whole numbers come as two's complement of the width that the data type names.
fn value_of(metric: &Metric) -> Result<Value, String> {
    let value = metric.value.as_ref().ok_or("it has no value")?;
    let width = metric.datatype;
    Ok(match value {
        MetricValue::Boolean(b) => Value::Bool(*b),
        MetricValue::Double(x) => Value::Float(*x),
        MetricValue::Float(x) => Value::Float(f64::from(*x)),
        MetricValue::String(s) => Value::from(s.as_str()),
        #[expect(clippy::cast_possible_truncation, reason = "the data type says that only these bits count")]
        MetricValue::Int(n) => match width {
            None | Some(datatype::INT32) => Value::Int(i64::from(n.cast_signed())),
            Some(datatype::INT8) => Value::Int(i64::from((*n as u8).cast_signed())),
            Some(datatype::INT16) => Value::Int(i64::from((*n as u16).cast_signed())),
            Some(datatype::UINT8 | datatype::UINT16 | datatype::UINT32) => Value::Int(i64::from(*n)),
            // Libraries differ in where they put a small number of a wide type.
            Some(datatype::INT64 | datatype::UINT64) => Value::Int(i64::from(*n)),
            Some(other) => return Err(format!("data type {other} with a whole number")),
        },
        MetricValue::Long(n) => match width {
            Some(datatype::UINT64) => Value::Int(i64::try_from(*n).map_err(|_| format!("{n} is too large"))?),
            _ => Value::Int(n.cast_signed()),
        },
    })
}

/// A foreign text as it may be repeated in a log and on a screen.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// At most [`COMMANDS_PER_S_MAX`] per second, and as many at once.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    left: u32,
    since: Option<Instant>,
}

impl Allowance {
    /// True where one more is allowed.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= Duration::from_secs(1)) {
            (self.left, self.since) = (COMMANDS_PER_S_MAX, Some(now));
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
