//! What an edge node says and when: births, changes, deaths. Knows no network.
//!
//! The node itself and each of its Sparkplug devices are *sections* with metrics of their own; one run of message numbers
//! goes over all of them. A device is a part of the plant that the site names: a host shows it as a folder, and its death
//! when none of its tags can be used.
//!
//! Quality travels as the property `Quality` with the three codes Sparkplug allows: 192 good, 500 stale (for every uncertain
//! value: to be used with care), 0 bad; our own reason stands beside it as the text `Reason`, for example `bad(link)`.

use crate::Config;
use crate::limits::DEVICE_DEATH_AFTER;
use crate::payload::{Metric, MetricValue, Payload, Property, PropertySet, PropertyValue, datatype};
use crate::store::{StoredTable, StoredTag};
use penstock_model::{BadReason, Instant, Now, Quality, Sample, TagDef, TagSample, TagTable, Utc, Value, ValueType};
use prost::Message as _;
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the metric that binds a birth to its death.
const BD_SEQ: &str = "bdSeq";
/// Name of the command every host may send.
pub(crate) const REBIRTH: &str = "Node Control/Rebirth";

/// A message, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// News of a tag that hosts do not have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    place: usize,
    sample: Sample,
    /// A quality that was told and is good again must be told too: a host keeps the property it has.
    with_quality: bool,
}

/// The node itself, or one of its devices.
struct Section {
    /// The device's id; `None` for the node.
    device: Option<String>,
    places: Vec<usize>,
    /// Tags whose known sample is bad, or that have none.
    bad: usize,
    /// False between a device's death and its next birth.
    alive: bool,
    /// Since when none of its tags can be used.
    unusable: Option<Instant>,
}

/// The state of the edge node.
pub(crate) struct Node {
    config: Arc<Config>,
    /// Place in `config.tags` by tag.
    places: HashMap<u32, usize>,
    /// What the hosts know of each tag, as last published.
    known: Vec<Option<Sample>>,
    /// The node first, then its devices.
    sections: Vec<Section>,
    /// Section by place.
    section_of: Vec<usize>,
    /// Number of this session's birth and death, 0..=255.
    bd_seq: u8,
    /// Number of the next message, 0..=255.
    seq: u8,
}

impl Node {
    /// A node whose last session had that number; `None` where there was none.
    pub(crate) fn new(config: Arc<Config>, last_bd_seq: Option<u8>) -> Node {
        let places = config.tags.iter().enumerate().map(|(place, meta)| (meta.tag.0, place)).collect();
        let section_of: Vec<usize> = config.tags.iter().map(|m| m.device.map_or(0, |d| d + 1)).collect();
        let names = std::iter::once(None).chain(config.devices.iter().cloned().map(Some));
        let sections = names.enumerate().map(|(i, device)| {
            let places: Vec<usize> = (0..section_of.len()).filter(|p| section_of[*p] == i).collect();
            Section { device, bad: places.len(), places, alive: false, unusable: None }
        });
        let sections = sections.collect();
        let known = vec![None; config.tags.len()];
        // The first session counts up to 0.
        Node { config, places, known, sections, section_of, bd_seq: last_bd_seq.unwrap_or(u8::MAX), seq: 0 }
    }

    /// The topic of a kind of message of the node itself.
    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("spBv1.0/{}/{kind}/{}", self.config.group, self.config.edge)
    }

    fn section_topic(&self, section: usize, what: &str) -> String {
        match &self.sections[section].device {
            None => self.topic(&format!("N{what}")),
            Some(device) => format!("{}/{device}", self.topic(&format!("D{what}"))),
        }
    }

    /// A new session begins: its number.
    pub(crate) fn begin_session(&mut self) -> u8 {
        self.bd_seq = self.bd_seq.wrapping_add(1);
        self.bd_seq
    }

    /// The death certificate of this session.
    pub(crate) fn death(&self, now: Utc) -> Vec<u8> {
        Payload { timestamp: Some(millis(now)), metrics: vec![self.bd_seq_metric(now)], seq: None }.encode_to_vec()
    }

    /// The birth certificates of the node and of each device: every metric with name, alias, type, properties and present
    /// value. They restart the numbering. What hosts know must have been brought up to date by [`Node::changes`].
    pub(crate) fn birth(&mut self, table: &TagTable, now: Utc) -> Vec<Message> {
        self.seq = 0;
        (0..self.sections.len()).map(|section| self.birth_of(section, table, now)).collect()
    }

    fn birth_of(&mut self, section: usize, table: &TagTable, now: Utc) -> Message {
        let mut metrics = Vec::with_capacity(self.sections[section].places.len() + 2);
        if section == 0 {
            let rebirth = Metric {
                name: Some(REBIRTH.to_owned()),
                timestamp: Some(millis(now)),
                datatype: Some(datatype::BOOLEAN),
                value: Some(MetricValue::Boolean(false)),
                ..Metric::default()
            };
            metrics.extend([self.bd_seq_metric(now), rebirth]);
        }
        for place in &self.sections[section].places {
            let meta = &self.config.tags[*place];
            let missing = || Sample::bad(BadReason::Initial, None, Now { utc: now, ..Now::default() });
            let sample = self.known[*place].clone().unwrap_or_else(missing);
            let mut metric = self.metric(*place, &sample, true);
            metric.name = Some(meta.path.to_string());
            metric.datatype = Some(datatype_of(meta.value_type));
            if let (Some(properties), true) = (&mut metric.properties, meta.tag.index() < table.len()) {
                describe(properties, table.get(meta.tag), meta.writable);
            }
            metrics.push(metric);
        }
        self.sections[section].alive = true;
        let topic = self.section_topic(section, "BIRTH");
        Message { topic, payload: self.numbered(metrics, now) }
    }

    /// What of these samples the hosts do not know yet. It counts as told from here on: what is not published must be
    /// kept, or followed by a birth.
    pub(crate) fn changes(&mut self, samples: &[TagSample]) -> Vec<Change> {
        let mut changes = Vec::new();
        for s in samples {
            let Some(place) = self.places.get(&s.tag.0).copied() else { continue };
            let before = &self.known[place];
            if before.as_ref().is_some_and(|b| b.value == s.sample.value && b.quality == s.sample.quality) {
                // Confirmed only: the next birth tells the younger time.
                self.known[place] = Some(s.sample.clone());
                continue;
            }
            let never = s.sample.value.is_none() && s.sample.quality == Quality::Bad(BadReason::Initial);
            let told = before.as_ref().is_none_or(|b| b.quality != s.sample.quality);
            let (was_bad, is_bad) = (before.as_ref().is_none_or(|b| b.quality.is_bad()), s.sample.quality.is_bad());
            let section = &mut self.sections[self.section_of[place]];
            match (was_bad, is_bad) {
                (true, false) => section.bad -= 1,
                (false, true) => section.bad += 1,
                _ => {}
            }
            let first = before.is_none();
            self.known[place] = Some(s.sample.clone());
            // That nothing has ever been known is no news.
            if !(first && never) {
                let with_quality = told || !s.sample.quality.is_good();
                changes.push(Change { place, sample: s.sample.clone(), with_quality });
            }
        }
        changes
    }

    /// What hosts know of a tag, to be told once more.
    pub(crate) fn again(&self, place: usize) -> Option<Change> {
        let sample = self.known.get(place)?.clone()?;
        Some(Change { place, sample, with_quality: true })
    }

    /// The messages that tell these changes. What belongs to a dead device waits for its birth.
    pub(crate) fn data(&mut self, changes: &[Change], now: Utc) -> Vec<Message> {
        let metrics = changes.iter().map(|c| (c.place, self.metric(c.place, &c.sample, c.with_quality)));
        let metrics = metrics.collect();
        self.data_messages(metrics, now)
    }

    fn data_messages(&mut self, metrics: Vec<(usize, Metric)>, now: Utc) -> Vec<Message> {
        let mut by_section: Vec<Vec<Metric>> = vec![Vec::new(); self.sections.len()];
        for (place, metric) in metrics {
            by_section[self.section_of[place]].push(metric);
        }
        let mut messages = Vec::new();
        for (section, metrics) in by_section.into_iter().enumerate() {
            if metrics.is_empty() || !self.sections[section].alive {
                continue;
            }
            let topic = self.section_topic(section, "DATA");
            messages.push(Message { topic, payload: self.numbered(metrics, now) });
        }
        messages
    }

    /// Births of devices that have come back, and, where `may_die`, deaths of those that have not had a single usable tag
    /// for [`DEVICE_DEATH_AFTER`].
    pub(crate) fn judge_devices(&mut self, table: &TagTable, may_die: bool, now: Now) -> Vec<Message> {
        let mut messages = Vec::new();
        for section in 1..self.sections.len() {
            let s = &mut self.sections[section];
            if s.bad < s.places.len() {
                s.unusable = None;
                if !s.alive {
                    messages.push(self.birth_of(section, table, now.utc));
                }
                continue;
            }
            let since = *s.unusable.get_or_insert(now.mono);
            if s.alive && may_die && now.mono.since(since) >= DEVICE_DEATH_AFTER {
                s.alive = false;
                let topic = self.section_topic(section, "DEATH");
                messages.push(Message { topic, payload: self.numbered(Vec::new(), now.utc) });
            }
        }
        messages
    }

    /// True where the site names devices.
    pub(crate) fn has_devices(&self) -> bool {
        self.sections.len() > 1
    }

    /// These changes as the store keeps them, and how many they are: historical, under the aliases of
    /// [`Node::stored_table`], without number.
    pub(crate) fn history(&self, changes: &[Change], now: Utc) -> (u32, Vec<u8>) {
        let kept = changes.iter().filter(|c| self.config.tags[c.place].keep);
        let metrics: Vec<Metric> = kept
            .map(|c| Metric { is_historical: Some(true), ..self.metric(c.place, &c.sample, c.with_quality) })
            .collect();
        let count = u32::try_from(metrics.len()).unwrap_or(u32::MAX);
        (count, Payload { timestamp: Some(millis(now)), metrics, seq: None }.encode_to_vec())
    }

    /// What the aliases of this configuration mean.
    pub(crate) fn stored_table(config: &Config) -> StoredTable {
        let tag = |m: &crate::TagMeta| StoredTag { path: m.path.to_string(), datatype: datatype_of(m.value_type) };
        StoredTable { tags: config.tags.iter().map(tag).collect() }
    }

    /// Today's place of each alias of a stored table; `None` for a tag that is no longer published, or of another type.
    pub(crate) fn places_of(&self, table: &StoredTable) -> Vec<Option<usize>> {
        let paths: HashMap<&str, usize> =
            self.config.tags.iter().enumerate().map(|(place, m)| (&*m.path, place)).collect();
        let same = |t: &StoredTag| {
            let place = *paths.get(t.path.as_str())?;
            (datatype_of(self.config.tags[place].value_type) == t.datatype).then_some(place)
        };
        table.tags.iter().map(same).collect()
    }

    /// The messages that tell a kept record; `places`: see [`Node::places_of`].
    pub(crate) fn replay(&mut self, kept: &[u8], places: &[Option<usize>], now: Utc) -> Vec<Message> {
        let Ok(payload) = Payload::decode(kept) else { return Vec::new() };
        let metrics = payload.metrics.into_iter().filter_map(|m| {
            let old = usize::try_from(m.alias?.checked_sub(1)?).ok()?;
            let place = places.get(old).copied().flatten()?;
            Some((place, Metric { alias: Some(alias(place)), is_historical: Some(true), ..m }))
        });
        let metrics = metrics.collect();
        self.data_messages(metrics, now)
    }

    /// The place of the tag that a command names, in the device it was sent to (`None`: to the node).
    pub(crate) fn named(&self, device: Option<&str>, name: Option<&str>, by_alias: Option<u64>) -> Option<usize> {
        let place = match (name, by_alias) {
            (Some(name), _) => self.config.tags.iter().position(|m| &*m.path == name)?,
            (None, Some(number)) => usize::try_from(number.checked_sub(1)?).ok()?,
            (None, None) => return None,
        };
        let section = self.section_of.get(place)?;
        (self.sections[*section].device.as_deref() == device).then_some(place)
    }

    fn numbered(&mut self, metrics: Vec<Metric>, now: Utc) -> Vec<u8> {
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        Payload { timestamp: Some(millis(now)), metrics, seq: Some(u64::from(seq)) }.encode_to_vec()
    }

    fn bd_seq_metric(&self, now: Utc) -> Metric {
        Metric {
            name: Some(BD_SEQ.to_owned()),
            timestamp: Some(millis(now)),
            datatype: Some(datatype::INT64),
            value: Some(MetricValue::Long(u64::from(self.bd_seq))),
            ..Metric::default()
        }
    }

    /// A tag's sample under its alias. A value that is not of the declared type is no value.
    fn metric(&self, place: usize, sample: &Sample, with_quality: bool) -> Metric {
        let meta = &self.config.tags[place];
        let value = sample.value.as_ref().and_then(|v| v.convert(meta.value_type)).filter(Value::is_finite);
        let value = value.map(|v| match v {
            Value::Bool(b) => MetricValue::Boolean(b),
            Value::Int(i) => MetricValue::Long(i.cast_unsigned()),
            Value::Float(x) => MetricValue::Double(x),
            Value::Text(t) => MetricValue::String(t.to_string()),
        });
        Metric {
            alias: Some(alias(place)),
            timestamp: Some(millis(sample.source_time)),
            is_null: value.is_none().then_some(true),
            properties: with_quality.then(|| quality_properties(sample.quality)),
            value,
            ..Metric::default()
        }
    }
}

/// Aliases are places in the list of published tags, from 1: one run of them over the node and its devices.
fn alias(place: usize) -> u64 {
    place as u64 + 1
}

fn millis(t: Utc) -> u64 {
    u64::try_from(t.millis()).unwrap_or(0)
}

fn datatype_of(value_type: ValueType) -> u32 {
    match value_type {
        ValueType::Bool => datatype::BOOLEAN,
        ValueType::Int => datatype::INT64,
        ValueType::Float => datatype::DOUBLE,
        ValueType::Text => datatype::STRING,
    }
}

fn put(properties: &mut PropertySet, key: &str, kind: u32, value: Property) {
    properties.keys.push(key.to_owned());
    properties.values.push(PropertyValue { kind: Some(kind), value: Some(value) });
}

fn quality_properties(quality: Quality) -> PropertySet {
    let code = match quality {
        Quality::Good => 192,
        Quality::Uncertain(_) => 500,
        Quality::Bad(_) => 0,
    };
    let mut properties = PropertySet::default();
    put(&mut properties, "Quality", datatype::INT32, Property::Int(code));
    put(&mut properties, "Reason", datatype::STRING, Property::String(quality.to_string()));
    properties
}

/// What a host shows of a tag beside its value, under the names that Ignition reads: unit, range, words, and whether it
/// may be written.
fn describe(properties: &mut PropertySet, def: &TagDef, writable: bool) {
    if !def.unit.as_str().is_empty() {
        put(properties, "engUnit", datatype::STRING, Property::String(def.unit.as_str().to_owned()));
    }
    if let Some((low, high)) = def.range {
        put(properties, "engLow", datatype::DOUBLE, Property::Double(low));
        put(properties, "engHigh", datatype::DOUBLE, Property::Double(high));
    }
    let (zh, en) = (&*def.title.zh, &*def.title.en);
    let words = if zh == en { en.to_owned() } else { format!("{zh} / {en}") };
    put(properties, "documentation", datatype::STRING, Property::String(words));
    put(properties, "readOnly", datatype::BOOLEAN, Property::Boolean(!writable));
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
