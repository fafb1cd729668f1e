//! What an edge node says and when: births, changes, death. Knows no network.
//!
//! Quality travels as the property `Quality` with the three codes Sparkplug allows: 192 good, 500 stale (for every uncertain
//! value: to be used with care), 0 bad; our own reason stands beside it as the text `Reason`, for example `bad(link)`.

use crate::Config;
use crate::payload::{Metric, MetricValue, Payload, Property, PropertySet, PropertyValue, datatype};
use penstock_model::{BadReason, Quality, Sample, TagSample, Utc, Value, ValueType};
use prost::Message;
use std::collections::HashMap;

/// Name of the metric that binds a birth to its death.
const BD_SEQ: &str = "bdSeq";
/// Name of the command every host may send.
pub(crate) const REBIRTH: &str = "Node Control/Rebirth";

/// The state of the edge node.
pub(crate) struct Node {
    config: Config,
    /// Place in `config.tags` by tag.
    places: HashMap<u32, usize>,
    /// What the hosts know of each tag: value and quality as last published.
    known: Vec<Option<(Option<Value>, Quality)>>,
    /// Number of this session's birth and death, 0..=255.
    bd_seq: u8,
    /// Number of the next message, 0..=255.
    seq: u8,
}

/// What a host asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// A new birth.
    pub rebirth: bool,
    /// Metrics that it wanted to write; this node takes none.
    pub writes: usize,
}

impl Node {
    pub(crate) fn new(config: Config) -> Node {
        let places = config.tags.iter().enumerate().map(|(place, meta)| (meta.tag.0, place)).collect();
        let known = vec![None; config.tags.len()];
        // The first session counts up to 0.
        Node { config, places, known, bd_seq: u8::MAX, seq: 0 }
    }

    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("spBv1.0/{}/{kind}/{}", self.config.group, self.config.edge)
    }

    /// A new session begins: the death to leave with the broker.
    pub(crate) fn begin_session(&mut self, now: Utc) -> Vec<u8> {
        self.bd_seq = self.bd_seq.wrapping_add(1);
        self.death(now)
    }

    /// The death certificate of this session.
    pub(crate) fn death(&self, now: Utc) -> Vec<u8> {
        Payload { timestamp: Some(millis(now)), metrics: vec![self.bd_seq_metric(now)], seq: None }.encode_to_vec()
    }

    /// The birth certificate: every metric with name, alias, type and present value. It restarts the numbering.
    pub(crate) fn birth(&mut self, samples: &[TagSample], now: Utc) -> Vec<u8> {
        self.seq = 0;
        let mut present: Vec<Option<&Sample>> = vec![None; self.config.tags.len()];
        for s in samples {
            if let Some(place) = self.places.get(&s.tag.0) {
                present[*place] = Some(&s.sample);
            }
        }
        let rebirth = Metric {
            name: Some(REBIRTH.to_owned()),
            timestamp: Some(millis(now)),
            datatype: Some(datatype::BOOLEAN),
            value: Some(MetricValue::Boolean(false)),
            ..Metric::default()
        };
        let mut metrics = vec![self.bd_seq_metric(now), rebirth];
        for (place, sample) in present.into_iter().enumerate() {
            let meta = &self.config.tags[place];
            let missing = Sample {
                value: None,
                quality: Quality::Bad(BadReason::Initial),
                source_time: now,
                received: Default::default(),
            };
            let sample = sample.unwrap_or(&missing);
            let mut metric = self.metric(place, sample, true);
            metric.name = Some(meta.path.to_string());
            metric.datatype = Some(datatype_of(meta.value_type));
            metrics.push(metric);
            self.known[place] = Some((sample.value.clone(), sample.quality));
        }
        self.message(metrics, now)
    }

    /// What of these samples the hosts do not know yet; none when they know all.
    ///
    /// The result counts as published: a message that is not sent must be followed by a birth.
    pub(crate) fn data(&mut self, samples: &[TagSample], now: Utc) -> Option<Vec<u8>> {
        let mut metrics = Vec::new();
        for s in samples {
            let Some(place) = self.places.get(&s.tag.0).copied() else { continue };
            let fresh = (s.sample.value.clone(), s.sample.quality);
            if self.known[place].as_ref() == Some(&fresh) {
                continue;
            }
            // A quality that was told and is good again must be told too: a host keeps the property it has.
            let told = self.known[place].as_ref().is_none_or(|(_, quality)| *quality != fresh.1);
            let with_quality = told || !fresh.1.is_good();
            metrics.push(self.metric(place, &s.sample, with_quality));
            self.known[place] = Some(fresh);
        }
        (!metrics.is_empty()).then(|| self.message(metrics, now))
    }

    /// Reads a command.
    pub(crate) fn command(bytes: &[u8]) -> Result<Asked, prost::DecodeError> {
        let payload = Payload::decode(bytes)?;
        let is_rebirth = |m: &&Metric| m.name.as_deref() == Some(REBIRTH);
        let rebirth = payload.metrics.iter().filter(is_rebirth).any(|m| m.value == Some(MetricValue::Boolean(true)));
        let writes = payload.metrics.iter().filter(|m| !is_rebirth(m)).count();
        Ok(Asked { rebirth, writes })
    }

    fn message(&mut self, metrics: Vec<Metric>, now: Utc) -> Vec<u8> {
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

/// Aliases are places in the list of published tags, from 1.
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

fn quality_properties(quality: Quality) -> PropertySet {
    let code = match quality {
        Quality::Good => 192,
        Quality::Uncertain(_) => 500,
        Quality::Bad(_) => 0,
    };
    let property = |kind, value| PropertyValue { kind: Some(kind), value: Some(value) };
    PropertySet {
        keys: vec!["Quality".to_owned(), "Reason".to_owned()],
        values: vec![
            property(datatype::INT32, Property::Int(code)),
            property(datatype::STRING, Property::String(quality.to_string())),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TagMeta;
    use penstock_model::{Now, TagId, UncertainReason};
    use std::time::Duration;

    fn node() -> Node {
        let meta = |tag, path: &str, value_type| TagMeta { tag: TagId(tag), path: path.into(), value_type };
        Node::new(Config {
            host: "127.0.0.1".into(),
            port: 1883,
            group: "plant".into(),
            edge: "jinan".into(),
            client_id: "penstock".into(),
            publish_every: Duration::from_secs(1),
            tags: vec![
                meta(7, "aer/do", ValueType::Float),
                meta(3, "aer/run", ValueType::Bool),
                meta(9, "aer/n", ValueType::Int),
                meta(1, "aer/sn", ValueType::Text),
            ],
        })
    }

    fn at() -> Now {
        Now { utc: Utc::from_millis(1_700_000_000_000), ..Now::default() }
    }

    fn good(tag: u32, value: impl Into<Value>) -> TagSample {
        TagSample { tag: TagId(tag), sample: Sample::good(value, at()) }
    }

    fn read(bytes: &[u8]) -> Payload {
        Payload::decode(bytes).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_published_schema() {
        // Field by field by hand: (number << 3) | wire type, from sparkplug_b.proto.
        let mut node = node();
        node.birth(&[], at().utc);
        let bytes = node.data(&[good(9, -2i64)], at().utc).unwrap();
        let time = [0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31];
        let text = |field: u8, t: &str| [&[field << 3 | 2, u8::try_from(t.len()).unwrap()], t.as_bytes()].concat();
        let message =
            |field: u8, body: Vec<u8>| [vec![field << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat();
        let quality = [vec![0x08, 3], vec![0x18, 0xc0, 0x01]].concat();
        let reason = [vec![0x08, 12], text(8, "good")].concat();
        let properties = [text(1, "Quality"), text(1, "Reason"), message(2, quality), message(2, reason)].concat();
        let value = [vec![0x58], vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat();
        let metric = [vec![0x10, 3, 0x18], time.to_vec(), message(9, properties), value].concat();
        let expected = [vec![0x08], time.to_vec(), message(2, metric), vec![0x18, 1]].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_birth_tells_everything_and_data_tells_changes() {
        let mut node = node();
        node.begin_session(at().utc);
        let birth = read(&node.birth(&[good(7, 2.0), good(3, true), good(99, 1.0)], at().utc));
        assert_eq!(birth.seq, Some(0));
        let names: Vec<_> =
            birth.metrics.iter().map(|m| (m.name.clone().unwrap(), m.alias, m.datatype.unwrap())).collect();
        let name = |n: &str, alias, kind| (n.to_owned(), alias, kind);
        assert_eq!(
            names,
            [
                name("bdSeq", None, 4),
                name(REBIRTH, None, 11),
                name("aer/do", Some(1), 10),
                name("aer/run", Some(2), 11),
                name("aer/n", Some(3), 4),
                name("aer/sn", Some(4), 12),
            ]
        );
        assert_eq!(birth.metrics[4].is_null, Some(true), "never received: a null, not a zero");
        assert_eq!(node.data(&[good(7, 2.0), good(99, 5.0)], at().utc), None, "known or not ours");
        let data = read(&node.data(&[good(7, 2.5), good(3, true)], at().utc).unwrap());
        assert_eq!((data.seq, data.metrics.len()), (Some(1), 1));
        let m = &data.metrics[0];
        assert_eq!((m.name.clone(), m.alias, m.datatype), (None, Some(1), None));
        assert_eq!((m.value.clone(), m.properties.clone()), (Some(MetricValue::Double(2.5)), None));
    }

    #[test]
    fn quality_is_told_when_it_changes_and_while_it_is_not_good() {
        let mut node = node();
        node.birth(&[good(7, 2.0)], at().utc);
        let bad = Sample::bad(BadReason::Link, Some(Value::Float(2.0)), at());
        let uncertain = Sample::with_quality(2.0, Quality::Uncertain(UncertainReason::Frozen), at());
        let rows = [
            (bad, Some((0, "bad(link)"))),
            (uncertain.clone(), Some((500, "uncertain(frozen)"))),
            (Sample { value: Some(Value::Float(2.1)), ..uncertain }, Some((500, "uncertain(frozen)"))),
            (Sample::good(2.1, at()), Some((192, "good"))),
            (Sample::good(2.2, at()), None),
        ];
        for (sample, told) in rows {
            let data = read(&node.data(&[TagSample { tag: TagId(7), sample: sample.clone() }], at().utc).unwrap());
            let told = told.map(|(code, reason)| {
                let property = |kind, value| PropertyValue { kind: Some(kind), value: Some(value) };
                PropertySet {
                    keys: vec!["Quality".into(), "Reason".into()],
                    values: vec![property(3, Property::Int(code)), property(12, Property::String(reason.into()))],
                }
            });
            assert_eq!(data.metrics[0].properties, told, "{sample:?}");
            assert!(data.metrics[0].value.is_some(), "the last value goes along, its quality says what it is worth");
        }
    }

    #[test]
    fn numbers_wrap_and_a_birth_starts_them_again() {
        let mut node = node();
        node.birth(&[], at().utc);
        let seqs: Vec<u64> =
            (0..300).map(|i| read(&node.data(&[good(9, i64::from(i))], at().utc).unwrap()).seq.unwrap()).collect();
        let expected: Vec<u64> = (1..=300).map(|i| i % 256).collect();
        assert_eq!(seqs, expected);
        assert_eq!(read(&node.birth(&[], at().utc)).seq, Some(0));
        assert_eq!(read(&node.data(&[good(9, 1i64)], at().utc).unwrap()).seq, Some(1));
    }

    #[test]
    fn birth_and_death_of_a_session_carry_one_number_and_the_next_session_another() {
        let mut node = node();
        let number = |bytes: &[u8]| match read(bytes).metrics[0].value {
            Some(MetricValue::Long(n)) => n,
            ref other => panic!("{other:?}"),
        };
        for session in 0..600u64 {
            let will = node.begin_session(at().utc);
            assert_eq!(number(&will), session % 256);
            assert_eq!(number(&node.birth(&[], at().utc)), session % 256);
            assert_eq!(read(&node.death(at().utc)), read(&will));
            assert_eq!(read(&will).seq, None);
        }
    }

    #[test]
    fn a_value_of_another_type_is_no_value() {
        let mut node = node();
        let birth = read(&node.birth(&[good(9, 2.5), good(7, 3i64), good(3, "on")], at().utc));
        let values: Vec<_> = birth.metrics[2..].iter().map(|m| (m.value.clone(), m.is_null)).collect();
        assert_eq!(values[0], (Some(MetricValue::Double(3.0)), None));
        assert_eq!(values[1], (None, Some(true)));
        assert_eq!(values[2], (None, Some(true)));
    }

    #[test]
    fn commands_are_read_and_nonsense_is_refused() {
        let metric =
            |name: &str, value| Metric { name: Some(name.to_owned()), value: Some(value), ..Metric::default() };
        let encode = |metrics| Payload { metrics, ..Payload::default() }.encode_to_vec();
        let ask = |rebirth, writes| Asked { rebirth, writes };
        for (bytes, asked) in [
            (encode(vec![metric(REBIRTH, MetricValue::Boolean(true))]), ask(true, 0)),
            (encode(vec![metric(REBIRTH, MetricValue::Boolean(false))]), ask(false, 0)),
            (encode(vec![metric(REBIRTH, MetricValue::Int(1))]), ask(false, 0)),
            (encode(vec![metric("aer/do", MetricValue::Double(9.0))]), ask(false, 1)),
            (encode(vec![]), ask(false, 0)),
        ] {
            assert_eq!(Node::command(&bytes), Ok(asked));
        }
        assert!(Node::command(&[0xff, 0xff, 0xff]).is_err());
    }
}
