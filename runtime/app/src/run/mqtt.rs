//! The engine behind a Sparkplug edge node: its tags as metrics, how the node stands as tags, and what hosts write as
//! claims.
//!
//! A host's write goes the way of a person's: it is checked, then recorded (durable on the disk), then handed to the
//! engine, then answered in `sys/mqtt/answer`. A set-point keeps its value like one that a person entered. An output is
//! claimed in the host's name below a person's hand, and only for the lease: a host that has gone away moves nothing for
//! long. What is refused is logged and answered, and leaves nothing behind.

use crate::config::{MqttSettings, RemoteUser};
use penstock_engine::Engine;
use penstock_ledger::{Action, ActionKind, ActionLog};
use penstock_model::{
    Claim, ClaimError, Clock, Origin, Priority, TagDef, TagSample, TagTable, Value, ValueType, Wish, with_causes,
};
use penstock_mqtt::{Config, MetricSource, Order, Refusal, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Writes waiting for the disk: what is allowed within three seconds.
const ORDERS_WAITING_MAX: usize = 64;

type OwnTag = (&'static str, &'static str, &'static str, &'static str, ValueType);

/// What the edge node says of itself: path, Chinese, English, unit, type.
const MQTT_TAGS: &[OwnTag] = &[
    ("sys/mqtt/online", "MQTT 在线", "MQTT online", "", ValueType::Bool),
    ("sys/mqtt/broker", "MQTT 代理", "MQTT broker", "", ValueType::Text),
    ("sys/mqtt/backlog", "待补传数值", "Values waiting for hosts", "", ValueType::Int),
    ("sys/mqtt/backlog_bytes", "补传缓存占用", "Store for hosts on disk", "B", ValueType::Float),
    ("sys/mqtt/backlog_age", "待补传数据时长", "Age of what waits for hosts", "s", ValueType::Float),
    ("sys/mqtt/dropped", "补传丢弃数值", "Values lost for hosts", "", ValueType::Int),
    ("sys/mqtt/store_ok", "补传缓存可写", "Store for hosts is written", "", ValueType::Bool),
    ("sys/mqtt/births", "上线报文次数", "Births sent", "", ValueType::Int),
];
/// See [`MQTT_TAGS`]; where a primary host is named.
const HOST_TAGS: &[OwnTag] = &[("sys/mqtt/host_online", "主站在线", "Primary host online", "", ValueType::Bool)];
/// See [`MQTT_TAGS`]; where hosts may write.
const COMMAND_TAGS: &[OwnTag] = &[
    ("sys/mqtt/commands", "远程写入次数", "Remote writes done", "", ValueType::Int),
    ("sys/mqtt/refused", "远程写入拒绝次数", "Remote writes refused", "", ValueType::Int),
    ("sys/mqtt/answer", "最近远程写入结果", "Answer to the last remote write", "", ValueType::Text),
];

/// The system tags that a site with this `mqtt:` has.
pub(crate) fn tags(form: Option<&crate::config::MqttFile>) -> impl Iterator<Item = &'static OwnTag> {
    let some = |yes: bool, list: &'static [OwnTag]| if yes { list } else { &[] };
    let own = some(form.is_some(), MQTT_TAGS).iter();
    let host = some(form.is_some_and(|m| m.primary_host.is_some()), HOST_TAGS);
    own.chain(host).chain(some(form.is_some_and(|m| m.commands.is_some()), COMMAND_TAGS))
}

/// What the node runs on, and the engine behind it.
pub fn node(
    settings: &MqttSettings,
    engine: &Engine,
    clock: &Arc<dyn Clock>,
    actions: &Arc<ActionLog>,
    state: &std::path::Path,
) -> (Config, Arc<dyn MetricSource>) {
    let config = Config { state_dir: Some(state.join("mqtt")), ..settings.config.clone() };
    let answers = Arc::new(Answers {
        engine: engine.clone(),
        clock: clock.clone(),
        done: AtomicI64::new(0),
        refused: AtomicI64::new(0),
    });
    let orders = settings.commands.clone().and_then(|user| {
        let (orders, waiting) = sync_channel(ORDERS_WAITING_MAX);
        let station = format!("mqtt {}/{}", config.group, config.edge);
        let desk = Desk { user, station, actions: actions.clone(), answers: answers.clone() };
        let started = std::thread::Builder::new().name("mqtt-commands".to_owned()).spawn(move || desk.serve(&waiting));
        match started {
            Ok(_) => Some(orders),
            Err(error) => {
                tracing::error!(%error, "the thread for remote writes cannot be started: none is taken");
                None
            }
        }
    });
    if orders.is_some() {
        answers.publish(None);
    }
    (config, Arc::new(EngineMetrics { answers, orders }))
}

/// The engine's tags as a Sparkplug edge node's metrics.
struct EngineMetrics {
    answers: Arc<Answers>,
    orders: Option<SyncSender<Order>>,
}

impl MetricSource for EngineMetrics {
    fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        self.answers.engine.changed_since(version)
    }

    fn tags(&self) -> Arc<TagTable> {
        self.answers.engine.tags()
    }

    fn status(&self, status: &Status) {
        let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "a size for a screen")]
        let bytes = Value::Float(status.backlog_bytes as f64);
        let values = [
            ("sys/mqtt/online", Value::Bool(status.online)),
            ("sys/mqtt/broker", Value::from(status.broker.as_deref().unwrap_or(""))),
            ("sys/mqtt/backlog", count(status.backlog)),
            ("sys/mqtt/backlog_bytes", bytes),
            ("sys/mqtt/backlog_age", Value::Float(status.backlog_age.as_secs_f64().floor())),
            ("sys/mqtt/dropped", count(status.dropped)),
            ("sys/mqtt/store_ok", Value::Bool(status.store_ok)),
            ("sys/mqtt/births", count(status.births)),
            ("sys/mqtt/host_online", Value::Bool(status.host_online.unwrap_or(false))),
        ];
        self.answers.show(values);
    }

    fn order(&self, order: Order) -> Result<(), String> {
        let Some(orders) = &self.orders else { return Err("this site takes no commands over MQTT".to_owned()) };
        orders.try_send(order).map_err(|_| "too many commands are waiting; try again".to_owned())
    }

    fn refused(&self, refusal: Refusal) {
        self.answers.refuse(&refusal);
    }
}

/// What hosts are told of their writes.
struct Answers {
    engine: Engine,
    clock: Arc<dyn Clock>,
    done: AtomicI64,
    refused: AtomicI64,
}

impl Answers {
    fn show(&self, values: impl IntoIterator<Item = (&'static str, Value)>) {
        let (tags, sink) = (self.engine.tags(), self.engine.sink());
        super::history::publish(&tags, &*sink, self.clock.now(), values);
    }

    fn done(&self, what: &str) {
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::info!(what, "a remote write was done");
        self.publish(Some(format!("done {number}: {what}")));
    }

    fn refuse(&self, refusal: &Refusal) {
        let number = self.refused.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::warn!(metric = %refusal.metric, why = %refusal.why, "a remote write was refused");
        self.publish(Some(format!("refused {number}: {refusal}")));
    }

    fn publish(&self, answer: Option<String>) {
        let mut answer = answer.unwrap_or_default();
        // Cut at a character: a text value has a bound.
        while answer.len() > penstock_model::limits::TEXT_BYTES_MAX {
            answer.pop();
        }
        self.show([
            ("sys/mqtt/commands", Value::Int(self.done.load(Ordering::SeqCst))),
            ("sys/mqtt/refused", Value::Int(self.refused.load(Ordering::SeqCst))),
            ("sys/mqtt/answer", Value::from(answer.as_str())),
        ]);
    }
}

/// Where hosts' writes are checked, recorded and handed in, one at a time.
struct Desk {
    user: RemoteUser,
    station: String,
    actions: Arc<ActionLog>,
    answers: Arc<Answers>,
}

impl Desk {
    fn serve(&self, waiting: &Receiver<Order>) {
        while let Ok(order) = waiting.recv() {
            let metric = order.path.to_string();
            match self.carry_out(&order) {
                Ok(what) => self.answers.done(&what),
                Err(why) => {
                    // A refused claim names its tag, and so does a refusal.
                    let why = why.strip_prefix(&format!("`{metric}`: ")).unwrap_or(&why).to_owned();
                    self.answers.refuse(&Refusal { metric, why });
                }
            }
        }
    }

    fn carry_out(&self, order: &Order) -> Result<String, String> {
        let engine = &self.answers.engine;
        let _one = self.actions.turn();
        let tags = engine.tags();
        let def = tags.get(order.tag);
        let claim = self.claim(def, order)?;
        engine.check_claim(&claim).map_err(|e| e.to_string())?;
        let value = match &claim.wish {
            Wish::Value(value) => Some(value.clone()),
            Wish::Band(..) | Wish::Release => None,
        };
        let unit = def.unit.as_str();
        let said = match &value {
            Some(value) => format!("{} = {value} {unit}", def.path),
            None => format!("{} released", def.path),
        };
        let old = engine.read(order.tag).value;
        let what = match (&def.entry, value) {
            (Some(_), Some(new)) => {
                let unit = unit.to_owned();
                ActionKind::SetPoint { tag: def.path.to_string(), old: old.clone(), new, unit }
            }
            _ => {
                let before = old.as_ref().map_or("nothing".to_owned(), ToString::to_string);
                let lease = claim.lease.map_or(String::new(), |l| format!(" for {} s", l.as_secs()));
                ActionKind::Custom { text: format!("remote write: {}{lease} (before: {before})", said.trim_end()) }
            }
        };
        let undone = match &what {
            ActionKind::SetPoint { tag, new, unit, .. } => old.map(|old| ActionKind::SetPoint {
                tag: tag.clone(),
                old: Some(new.clone()),
                new: old,
                unit: unit.clone(),
            }),
            _ => None,
        };
        let seq = self.record(what)?;
        if let Err(refused) = engine.claim(claim) {
            self.undo(seq, &refused, undone);
            return Err(refused.to_string());
        }
        Ok(said.trim_end().to_owned())
    }

    /// The claim that an order comes to.
    fn claim(&self, def: &TagDef, order: &Order) -> Result<Claim, String> {
        let origin = Origin::Remote(self.user.name.as_str().into());
        let wish = match &order.value {
            Some(value) => {
                let got = value.value_type();
                let (path, wanted) = (def.path.clone(), def.value_type);
                let value = value.convert(wanted);
                Wish::Value(value.ok_or_else(|| ClaimError::WrongType { path, wanted, got }.to_string())?)
            }
            None => Wish::Release,
        };
        let Some(entry) = &def.entry else {
            let lease = order.value.as_ref().map(|_| self.user.lease);
            // Above what plans, below a person's hand: whoever stands in the control room has the last word.
            return Ok(Claim { tag: order.tag, wish, origin, priority: Priority::Grid, lease });
        };
        if wish == Wish::Release {
            return Err("a set-point cannot be released: write a value".to_owned());
        }
        if entry.role > self.user.role {
            return Err(format!("wants the role {}", entry.role.as_str()));
        }
        Ok(Claim { tag: order.tag, wish, origin, priority: Priority::Manual, lease: None })
    }

    fn record(&self, what: ActionKind) -> Result<u64, String> {
        let action = Action {
            at: self.answers.clock.now().utc,
            who: format!("remote {}", self.user.name),
            role: self.user.role,
            what,
            station: self.station.clone(),
        };
        self.actions.append(action).map_err(|error| {
            tracing::error!(
                error = with_causes(&error),
                "the action log cannot be written; a remote write was refused"
            );
            "the record of actions cannot be written".to_owned()
        })
    }

    /// The engine refused what the check let pass a moment before: the record is put right.
    fn undo(&self, seq: u64, refused: &ClaimError, undone: Option<ActionKind>) {
        let text = format!("action {seq} was refused by the runtime and not done: {refused}");
        tracing::error!(%refused, "a checked remote write was refused; the record is put right");
        for what in std::iter::once(ActionKind::Custom { text }).chain(undone) {
            // Told by `record` where it fails; there is nobody else to tell.
            let _ = self.record(what);
        }
    }
}

#[cfg(test)]
#[path = "mqtt_tests.rs"]
mod tests;
