//! An event as clients select its fields: of a condition, or the begin and end of a refresh.

use crate::convert::{date_time, status};
use crate::space::{condition_id, event_type, words};
use crate::{Config, Texts};
use opcua::nodes::Event;
use opcua::server::EventField;
use opcua::types::{
    AttributeId, ByteString, DateTime, LocalizedText, NodeId, NumericRange, ObjectId, ObjectTypeId, QualifiedName,
    UAString, Variant,
};
use penstock_model::{AlarmCondition, AlarmDef, AlarmPriority, AlarmState, Quality, TagDef, Text, Utc, Value};
use std::sync::Arc;

/// A comment on an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) text: String,
    pub(crate) by: Arc<str>,
    pub(crate) at: Utc,
}

/// How an alarm stands, as one event tells it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) event_id: [u8; 16],
    pub(crate) state: AlarmState,
    pub(crate) at: Utc,
    pub(crate) raised: Option<Utc>,
    pub(crate) returned: Option<Utc>,
    pub(crate) acknowledged: Option<(Utc, Arc<str>)>,
    pub(crate) value: Option<Value>,
    pub(crate) quality: Quality,
    pub(crate) remark: Option<Remark>,
    /// Who caused the event: an acknowledgement or a comment.
    pub(crate) by: Option<Arc<str>>,
}

/// What an event is about.
#[derive(Debug)]
enum About {
    Condition {
        def: Box<AlarmDef>,
        snapshot: Box<Snapshot>,
        source: NodeId,
        source_name: UAString,
        id: NodeId,
        unit: String,
    },
    Refresh {
        event_id: [u8; 16],
    },
}

/// One event.
#[derive(Debug)]
pub(crate) struct PlantEvent {
    about: About,
    kind: NodeId,
    time: DateTime,
    received: DateTime,
    texts: Texts,
}

/// The severity of a priority: 1 to 1000, 1000 the most urgent (part 5, 6.4.2).
pub(crate) fn severity(priority: AlarmPriority) -> u16 {
    match priority {
        AlarmPriority::Low => 200,
        AlarmPriority::Medium => 500,
        AlarmPriority::High => 700,
        AlarmPriority::Critical => 1_000,
    }
}

impl PlantEvent {
    /// The event of a condition.
    pub(crate) fn of_condition(
        config: &Config,
        namespace: u16,
        def: &AlarmDef,
        source: &TagDef,
        snapshot: Snapshot,
    ) -> PlantEvent {
        let time = date_time(snapshot.at);
        PlantEvent {
            kind: event_type(def.condition).into(),
            about: About::Condition {
                id: condition_id(namespace, def),
                source: NodeId::new(namespace, &*source.path),
                source_name: (&*source.path).into(),
                unit: source.unit.as_str().to_owned(),
                def: Box::new(def.clone()),
                snapshot: Box::new(snapshot),
            },
            time,
            received: time,
            texts: config.texts,
        }
    }

    /// The event before the first, or after the last event of a refresh.
    pub(crate) fn of_refresh(begins: bool, event_id: [u8; 16], texts: Texts) -> PlantEvent {
        let kind = if begins { ObjectTypeId::RefreshStartEventType } else { ObjectTypeId::RefreshEndEventType };
        let now = DateTime::now();
        PlantEvent { about: About::Refresh { event_id }, kind: kind.into(), time: now, received: now, texts }
    }

    fn words(&self, zh: &str, en: &str) -> LocalizedText {
        words(self.texts, &Text::new(zh, en))
    }

    fn field(&self, path: &str) -> Variant {
        match path {
            "EventType" => return Variant::from(self.kind.clone()),
            "Time" => return Variant::from(self.time),
            "ReceiveTime" => return Variant::from(self.received),
            _ => {}
        }
        match &self.about {
            About::Refresh { event_id } => match path {
                "EventId" => Variant::from(ByteString::from(event_id.to_vec())),
                "SourceNode" => Variant::from(NodeId::from(ObjectId::Server)),
                "SourceName" => Variant::from(UAString::from("Server")),
                "Message" => Variant::from(self.words("报警刷新", "refresh of conditions")),
                "Severity" => Variant::from(1_u16),
                _ => Variant::Empty,
            },
            About::Condition { def, snapshot, source, source_name, unit, .. } => match path {
                "EventId" => Variant::from(ByteString::from(snapshot.event_id.to_vec())),
                "SourceNode" | "InputNode" => Variant::from(source.clone()),
                "SourceName" => Variant::from(source_name.clone()),
                "Message" => Variant::from(self.message(def, snapshot, unit)),
                "Severity" | "LastSeverity" => Variant::from(severity(def.priority)),
                _ => self.condition_field(path, def, snapshot),
            },
        }
    }

    fn condition_field(&self, path: &str, def: &AlarmDef, s: &Snapshot) -> Variant {
        let time = |at: Option<Utc>| at.map_or(Variant::Empty, |at| Variant::from(date_time(at)));
        let active = s.state.is_active();
        let acked = !s.state.needs_acknowledge();
        match path {
            "ConditionClassId" => Variant::from(NodeId::from(ObjectTypeId::ProcessConditionClassType)),
            "ConditionClassName" => Variant::from(self.words("过程", "Process")),
            "ConditionName" => Variant::from(UAString::from(&*def.name)),
            "BranchId" => Variant::from(NodeId::null()),
            "Retain" => Variant::from(s.state != AlarmState::Normal),
            "EnabledState" => Variant::from(self.words("已启用", "Enabled")),
            "EnabledState/Id" => Variant::from(true),
            "ActiveState" | "ActiveState/EffectiveDisplayName" => {
                Variant::from(if active { self.words("激活", "Active") } else { self.words("未激活", "Inactive") })
            }
            "ActiveState/Id" => Variant::from(active),
            "ActiveState/TransitionTime" => time(if active { s.raised } else { s.returned }),
            "AckedState" => Variant::from(if acked {
                self.words("已确认", "Acknowledged")
            } else {
                self.words("未确认", "Unacknowledged")
            }),
            "AckedState/Id" => Variant::from(acked),
            "AckedState/TransitionTime" => {
                time(if acked { s.acknowledged.as_ref().map(|(at, _)| *at) } else { s.raised })
            }
            "SuppressedOrShelved" => Variant::from(false),
            "Quality" => Variant::from(status(s.quality)),
            "Quality/SourceTimestamp" | "LastSeverity/SourceTimestamp" => Variant::from(self.time),
            "Comment" => {
                Variant::from(s.remark.as_ref().map_or_else(LocalizedText::null, |r| LocalizedText::new("", &r.text)))
            }
            "Comment/SourceTimestamp" => time(s.remark.as_ref().map(|r| r.at)),
            "ClientUserId" => s.by.as_ref().map_or(Variant::Empty, |by| Variant::from(UAString::from(&**by))),
            _ => limit_field(path, def.condition, active),
        }
    }

    fn message(&self, def: &AlarmDef, s: &Snapshot, unit: &str) -> LocalizedText {
        let value = match (&s.value, def.condition) {
            (Some(Value::Float(x)), _) => format!("{x:.3} {unit}"),
            (Some(value), _) => format!("{value} {unit}"),
            (None, _) => String::new(),
        };
        let value = value.trim_end();
        let (zh, en) = match s.state {
            AlarmState::ActiveUnacknowledged => ("报警", "active"),
            AlarmState::ActiveAcknowledged => ("已确认", "acknowledged"),
            AlarmState::ReturnedUnacknowledged => ("恢复，未确认", "returned, not acknowledged"),
            AlarmState::Normal => ("恢复正常", "normal"),
        };
        let said = |title: &str, state: &str| match value {
            "" => format!("{title}: {state}"),
            value => format!("{title}: {state} ({value})"),
        };
        words(self.texts, &Text::new(&said(&def.title.zh, zh), &said(&def.title.en, en)))
    }
}

/// The limit of an alarm with one, and on which side the value is.
fn limit_field(path: &str, condition: AlarmCondition, active: bool) -> Variant {
    let (name, limit) = match condition {
        AlarmCondition::Above { limit, .. } => ("HighLimit", limit),
        AlarmCondition::Below { limit, .. } => ("LowLimit", limit),
        AlarmCondition::Equals(_) | AlarmCondition::Bad => return Variant::Empty,
    };
    let high = name == "HighLimit";
    match path {
        _ if path == name => Variant::from(limit),
        "LimitState/CurrentState" if active => Variant::from(LocalizedText::new("", if high { "High" } else { "Low" })),
        "LimitState/CurrentState/Id" if active => {
            let state = if high {
                ObjectId::ExclusiveLimitStateMachineType_High
            } else {
                ObjectId::ExclusiveLimitStateMachineType_Low
            };
            Variant::from(NodeId::from(state))
        }
        _ => Variant::Empty,
    }
}

impl Event for PlantEvent {
    fn get_field(
        &self,
        _type: &NodeId,
        attribute_id: AttributeId,
        index_range: &NumericRange,
        browse_path: &[QualifiedName],
    ) -> Variant {
        self.get_value(attribute_id, index_range, browse_path)
    }

    fn time(&self) -> &DateTime {
        &self.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.kind
    }
}

impl EventField for PlantEvent {
    fn get_value(&self, attribute_id: AttributeId, range: &NumericRange, path: &[QualifiedName]) -> Variant {
        if let ([], AttributeId::NodeId, About::Condition { id, .. }) = (path, attribute_id, &self.about) {
            // The condition's own id has no name: it is asked for by the attribute of the event itself.
            return Variant::from(id.clone());
        }
        let of_standard = path.iter().all(|name| name.namespace_index == 0);
        if attribute_id != AttributeId::Value || !of_standard || !matches!(range, NumericRange::None) {
            return Variant::Empty;
        }
        let names: Vec<&str> = path.iter().map(|name| name.name.as_ref()).collect();
        self.field(&names.join("/"))
    }
}
