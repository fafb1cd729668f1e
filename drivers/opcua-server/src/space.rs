//! The nodes. Ids are strings that stay the same over restarts:
//!
//! | id | node |
//! | --- | --- |
//! | `aer/z3/do` | the variable of the tag of that path |
//! | `aer/z3/` | the folder of an area: a part of the paths, with the stroke at its end |
//! | `aer/z3/do#EURange` | a property of a variable |
//! | `alarm:aer/z3/do/low` | the condition of an alarm |
//!
//! No tag path has a `#` or a `:`, so no two of them meet.

use crate::convert::data_type;
use crate::units::information;
use crate::{Config, Texts};
use opcua::nodes::{EventNotifier, ObjectBuilder, VariableBuilder};
use opcua::server::address_space::AddressSpace;
use opcua::types::{
    DataTypeId, EnumValueType, ExtensionObject, LocalizedText, NodeId, ObjectId, ObjectTypeId, QualifiedName, Range,
    ReferenceTypeId, VariableTypeId, Variant,
};
use penstock_model::{AlarmCondition, AlarmDef, TagDef, TagId, TagTable, Text, ValueType};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A text in the languages of the site.
pub(crate) fn words(texts: Texts, text: &Text) -> LocalizedText {
    match texts {
        Texts::Both if text.zh == text.en => LocalizedText::new("", &text.en),
        Texts::Both => LocalizedText::new("", &format!("{} / {}", text.en, text.zh)),
        Texts::Chinese => LocalizedText::new("zh", &text.zh),
        Texts::English => LocalizedText::new("en", &text.en),
    }
}

/// The id of the condition of an alarm.
pub(crate) fn condition_id(namespace: u16, def: &AlarmDef) -> NodeId {
    NodeId::new(namespace, format!("alarm:{}", def.name))
}

/// The id of the folder at the top of a path's area; the Objects folder for a tag without one.
pub(crate) fn top_area(namespace: u16, path: &str) -> Option<NodeId> {
    path.split_once('/').map(|(top, _)| NodeId::new(namespace, format!("{top}/")))
}

/// The type of event an alarm sends.
pub(crate) fn event_type(condition: AlarmCondition) -> ObjectTypeId {
    match condition {
        AlarmCondition::Above { .. } | AlarmCondition::Below { .. } => ObjectTypeId::ExclusiveLevelAlarmType,
        AlarmCondition::Equals(_) | AlarmCondition::Bad => ObjectTypeId::OffNormalAlarmType,
    }
}

/// Builds the nodes of one namespace.
pub(crate) struct Builder<'a> {
    pub(crate) config: &'a Config,
    pub(crate) namespace: u16,
    pub(crate) space: &'a mut AddressSpace,
    /// Tags that have a node, and tags that are written.
    pub(crate) served: &'a Served,
}

/// Which tags have a node, and which are written, by their place in the table.
#[derive(Debug, Default)]
pub(crate) struct Served {
    exposed: Vec<bool>,
    writable: Vec<bool>,
}

impl Served {
    pub(crate) fn new(config: &Config, tags: &TagTable) -> Served {
        let marked = |list: &[TagId]| {
            let mut marks = vec![false; tags.len()];
            list.iter().filter_map(|t| marks.get_mut(t.index()).map(|m| *m = true)).count();
            marks
        };
        Served { exposed: marked(&config.tags), writable: marked(&config.writable) }
    }

    pub(crate) fn has(&self, tag: TagId) -> bool {
        self.exposed.get(tag.index()).is_some_and(|yes| *yes)
    }

    pub(crate) fn writes(&self, tag: TagId) -> bool {
        self.has(tag) && self.writable.get(tag.index()).is_some_and(|yes| *yes)
    }
}

impl Builder<'_> {
    /// All nodes of the exposed tags, and the conditions of alarms on them.
    pub(crate) fn all(&mut self, tags: &TagTable, alarms: &[AlarmDef]) {
        let mut areas = BTreeSet::new();
        for def in tags.iter().filter(|def| self.served.has(def.id)) {
            self.areas(&def.path, &mut areas);
            self.tag(def);
        }
        for alarm in alarms.iter().filter(|a| self.served.has(a.tag)) {
            self.condition(alarm, tags.get(alarm.tag));
        }
    }

    fn id(&self, name: &str) -> NodeId {
        NodeId::new(self.namespace, name)
    }

    /// Where a node of that path hangs.
    fn parent(&self, path: &str) -> NodeId {
        let path = path.strip_suffix('/').unwrap_or(path);
        path.rfind('/').map_or_else(|| ObjectId::ObjectsFolder.into(), |at| self.id(&path[..=at]))
    }

    /// The folders above a path. Each tells of the events below it; the uppermost is where they are sent from.
    fn areas(&mut self, path: &str, made: &mut BTreeSet<String>) {
        for (at, _) in path.match_indices('/') {
            let area = &path[..=at];
            if !made.insert(area.to_owned()) {
                continue;
            }
            let name = area.trim_end_matches('/').rsplit('/').next().unwrap_or(area).to_owned();
            let top = !area[..at].contains('/');
            let notifier = if top { EventNotifier::SUBSCRIBE_TO_EVENTS } else { EventNotifier::empty() };
            let browse = QualifiedName::new(self.namespace, name.as_str());
            ObjectBuilder::new(&self.id(area), browse, name.as_str())
                .is_folder()
                .event_notifier(notifier)
                .organized_by(self.parent(area))
                .insert(self.space);
            if top {
                let server: NodeId = ObjectId::Server.into();
                self.space.insert_reference(&server, &self.id(area), ReferenceTypeId::HasNotifier);
            }
        }
    }

    fn tag(&mut self, def: &TagDef) {
        let leaf = def.path.rsplit('/').next().unwrap_or(&def.path);
        let name = words(self.config.texts, &def.title);
        let kind = data_type(def.value_type);
        let description = self.description(def);
        let mut variable = VariableBuilder::new(&self.id(&def.path), QualifiedName::new(self.namespace, leaf), name)
            .description(description)
            .data_type(kind)
            .value(Variant::Empty)
            .has_type_definition(variable_type(def))
            .organized_by(self.parent(&def.path));
        if self.served.writes(def.id) {
            variable = variable.writable();
        }
        if def.log.enabled {
            variable = variable.history_readable().historizing(true);
        }
        variable.insert(self.space);
        self.properties(def);
    }

    fn description(&self, def: &TagDef) -> LocalizedText {
        let unit = def.unit.as_str();
        let mut text = def.title.clone();
        if !unit.is_empty() {
            text = Text::new(&format!("{}（{unit}）", text.zh), &format!("{} ({unit})", text.en));
        }
        words(self.config.texts, &text)
    }

    fn properties(&mut self, def: &TagDef) {
        let texts = self.config.texts;
        if let Some((low, high)) = def.range {
            let range = ExtensionObject::from_message(Range { low, high });
            self.property(&def.path, "EURange", DataTypeId::Range, Variant::from(range));
        }
        let unit = def.unit.as_str();
        if !unit.is_empty() {
            let unit = ExtensionObject::from_message(information(unit));
            self.property(&def.path, "EngineeringUnits", DataTypeId::EUInformation, Variant::from(unit));
        }
        let limits = def.entry.as_ref().and_then(|e| e.limits).or(def.output.as_ref().and_then(|o| o.limits));
        if let Some((low, high)) = limits {
            let range = ExtensionObject::from_message(Range { low, high });
            self.property(&def.path, "Limits", DataTypeId::Range, Variant::from(range));
        }
        let state = |value: i64| def.states.iter().find(|(v, _)| *v == value).map(|(_, t)| words(texts, t));
        if def.value_type == ValueType::Bool {
            for (name, value) in [("TrueState", 1), ("FalseState", 0)] {
                if let Some(text) = state(value) {
                    self.property(&def.path, name, DataTypeId::LocalizedText, Variant::from(text));
                }
            }
        } else if !def.states.is_empty() {
            let values: Vec<ExtensionObject> = def
                .states
                .iter()
                .map(|(value, text)| {
                    let display_name = words(texts, text);
                    ExtensionObject::from_message(EnumValueType {
                        value: *value,
                        display_name,
                        description: LocalizedText::null(),
                    })
                })
                .collect();
            self.property(&def.path, "EnumValues", DataTypeId::EnumValueType, Variant::from(values));
        }
    }

    /// A property: its name is one of the standard's, but for `Limits`.
    fn property(&mut self, of: &str, name: &str, kind: DataTypeId, value: Variant) {
        let namespace = if name == "Limits" { self.namespace } else { 0 };
        let rank = if matches!(value, Variant::Array(_)) { 1 } else { -1 };
        VariableBuilder::new(&self.id(&format!("{of}#{name}")), QualifiedName::new(namespace, name), name)
            .data_type(kind)
            .value_rank(rank)
            .value(value)
            .has_type_definition(VariableTypeId::PropertyType)
            .property_of(self.id(of))
            .insert(self.space);
    }

    fn condition(&mut self, alarm: &AlarmDef, source: &TagDef) {
        let id = condition_id(self.namespace, alarm);
        let name: Arc<str> = alarm.name.clone();
        ObjectBuilder::new(&id, QualifiedName::new(self.namespace, &*name), words(self.config.texts, &alarm.title))
            .description(words(self.config.texts, &alarm.consequence))
            .has_type_definition(event_type(alarm.condition))
            .insert(self.space);
        let source_id = self.id(&source.path);
        self.space.insert_reference(&source_id, &id, ReferenceTypeId::HasCondition);
        if let Some(area) = top_area(self.namespace, &source.path) {
            self.space.insert_reference(&area, &source_id, ReferenceTypeId::HasEventSource);
        }
    }
}

fn variable_type(def: &TagDef) -> VariableTypeId {
    let has = |value: i64| def.states.iter().any(|(v, _)| *v == value);
    match def.value_type {
        ValueType::Bool if has(0) && has(1) => VariableTypeId::TwoStateDiscreteType,
        ValueType::Int | ValueType::Float if def.range.is_some() => VariableTypeId::AnalogItemType,
        ValueType::Int | ValueType::Float if !def.unit.as_str().is_empty() => VariableTypeId::AnalogUnitType,
        _ => VariableTypeId::BaseDataVariableType,
    }
}
