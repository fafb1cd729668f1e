//! The tags that the runtime publishes about itself.

use super::Device;
use super::mqtt::MqttFile;
use super::read::Reader;
use super::tags::{Draft, Kind, Tags};
use penstock_engine::TaskDef;
use penstock_model::{Category, Source, TagDef, TagId, Text, Unit, ValueType};
use std::sync::Arc;

/// A tag that the runtime publishes.
pub fn own_tag(path: &str, title: Text, unit: Unit, value_type: ValueType) -> TagDef {
    let mut def = TagDef::float(TagId(0), path, unit, Source::System);
    def.title = title;
    def.value_type = value_type;
    def
}

/// The tags of engine, historian, changes, recorder and MQTT.
pub fn add_system_tags(
    reader: &mut Reader,
    tags: &mut Tags,
    tasks: &[TaskDef],
    devices: &[Device],
    mqtt: Option<&MqttFile>,
) {
    let tasks: Vec<Arc<str>> = tasks.iter().map(|t| t.name.clone()).collect();
    let devices: Vec<Arc<str>> = devices.iter().map(|d| d.name.clone()).collect();
    for tag in penstock_engine::system_tags(&tasks, &devices) {
        let mut def = own_tag(&tag.path, tag.title, tag.unit, tag.value_type);
        def.category = Category::System;
        def.decimals = 0;
        tags.add(reader, Draft { def, kind: Kind::Own, place: None, writer: None });
    }
    let own = crate::run::history::HEALTH_TAGS.iter().chain(crate::change::control::CHANGE_TAGS);
    let own = own.chain(crate::recorder::RECORDER_TAGS).chain(crate::log::LOG_TAGS).chain(crate::run::mqtt::tags(mqtt));
    add_own_tags(reader, tags, own);
}

/// Tags that the runtime publishes: path, Chinese, English, unit, type.
pub fn add_own_tags<'a>(
    reader: &mut Reader,
    tags: &mut Tags,
    own: impl Iterator<Item = &'a (&'a str, &'a str, &'a str, &'a str, ValueType)>,
) {
    for (path, zh, en, unit, value_type) in own {
        let unit = Unit::parse(unit).unwrap_or(Unit::NONE);
        let mut def = own_tag(path, Text::new(zh, en), unit, *value_type);
        def.category = Category::System;
        def.decimals = 0;
        tags.add(reader, Draft { def, kind: Kind::Own, place: None, writer: None });
    }
}
