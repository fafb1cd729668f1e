use super::*;
use crate::{Broker, TagMeta};
use penstock_model::{Now, Source, TagId, Text, UncertainReason, Unit};

fn config() -> Config {
    let meta = |tag, path: &str, value_type| TagMeta::new(TagId(tag), path, value_type);
    let tags = vec![
        meta(7, "aer/do", ValueType::Float),
        meta(3, "aer/run", ValueType::Bool),
        meta(9, "aer/n", ValueType::Int),
        meta(1, "aer/sn", ValueType::Text),
    ];
    Config::new(Broker { host: "127.0.0.1".into(), port: 1883 }, "plant", "jinan", tags)
}

fn node() -> Node {
    Node::new(Arc::new(config()), None)
}

/// The same with a device `aeration` that has all tags but the first.
fn with_device() -> Node {
    let mut config = config();
    config.devices = vec!["aeration".into()];
    config.tags.iter_mut().skip(1).for_each(|m| m.device = Some(0));
    Node::new(Arc::new(config), None)
}

fn table() -> TagTable {
    let defs = (0..10).map(|i| {
        let mut def = TagDef::float(TagId(i), &format!("t{i}"), Unit::NONE, Source::System);
        if i == 7 {
            (def.unit, def.range) = (Unit::parse("mg/L").unwrap(), Some((0.0, 10.0)));
            def.title = Text::new("溶解氧", "Oxygen");
        }
        def
    });
    TagTable::new(defs.collect()).unwrap()
}

/// The node's birth after these samples.
fn birth(node: &mut Node, samples: &[TagSample]) -> Vec<u8> {
    node.changes(samples);
    node.birth(&table(), at().utc).remove(0).payload
}

/// What tells these samples; none where they are known.
fn data(node: &mut Node, samples: &[TagSample]) -> Option<Vec<u8>> {
    let changes = node.changes(samples);
    let mut messages = node.data(&changes, at().utc);
    assert!(messages.len() <= 1, "{messages:?}");
    messages.pop().map(|m| m.payload)
}

fn kinds(messages: &[Message]) -> Vec<(String, Option<u64>)> {
    messages.iter().map(|m| (m.topic.clone(), read(&m.payload).seq)).collect()
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
    birth(&mut node, &[]);
    let bytes = data(&mut node, &[good(9, -2i64)]).unwrap();
    let time = [0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31];
    let text = |field: u8, t: &str| [&[field << 3 | 2, u8::try_from(t.len()).unwrap()], t.as_bytes()].concat();
    let message = |field: u8, body: Vec<u8>| [vec![field << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat();
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
    node.begin_session();
    let told = read(&birth(&mut node, &[good(7, 2.0), good(3, true), good(99, 1.0)]));
    assert_eq!(told.seq, Some(0));
    let names: Vec<_> = told.metrics.iter().map(|m| (m.name.clone().unwrap(), m.alias, m.datatype.unwrap())).collect();
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
    assert_eq!(told.metrics[4].is_null, Some(true), "never received: a null, not a zero");
    assert_eq!(data(&mut node, &[good(7, 2.0), good(99, 5.0)]), None, "known or not ours");
    let news = read(&data(&mut node, &[good(7, 2.5), good(3, true)]).unwrap());
    assert_eq!((news.seq, news.metrics.len()), (Some(1), 1));
    let m = &news.metrics[0];
    assert_eq!((m.name.clone(), m.alias, m.datatype), (None, Some(1), None));
    assert_eq!((m.value.clone(), m.properties.clone()), (Some(MetricValue::Double(2.5)), None));
}

#[test]
fn quality_is_told_when_it_changes_and_while_it_is_not_good() {
    let mut node = node();
    birth(&mut node, &[good(7, 2.0)]);
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
        let news = read(&data(&mut node, &[TagSample { tag: TagId(7), sample: sample.clone() }]).unwrap());
        let told = told.map(|(code, reason)| {
            let property = |kind, value| PropertyValue { kind: Some(kind), value: Some(value) };
            PropertySet {
                keys: vec!["Quality".into(), "Reason".into()],
                values: vec![property(3, Property::Int(code)), property(12, Property::String(reason.into()))],
            }
        });
        assert_eq!(news.metrics[0].properties, told, "{sample:?}");
        assert!(news.metrics[0].value.is_some(), "the last value goes along, its quality says what it is worth");
    }
}

#[test]
fn numbers_wrap_and_a_birth_starts_them_again() {
    let mut node = node();
    birth(&mut node, &[]);
    let seqs: Vec<u64> =
        (0..300).map(|i| read(&data(&mut node, &[good(9, i64::from(i))]).unwrap()).seq.unwrap()).collect();
    let expected: Vec<u64> = (1..=300).map(|i| i % 256).collect();
    assert_eq!(seqs, expected);
    assert_eq!(read(&birth(&mut node, &[])).seq, Some(0));
    assert_eq!(read(&data(&mut node, &[good(9, 1i64)]).unwrap()).seq, Some(1));
}

#[test]
fn birth_and_death_of_a_session_carry_one_number_and_the_next_session_another() {
    let mut node = node();
    let number = |bytes: &[u8]| match read(bytes).metrics[0].value {
        Some(MetricValue::Long(n)) => n,
        ref other => panic!("{other:?}"),
    };
    for session in 0..600u64 {
        assert_eq!(u64::from(node.begin_session()), session % 256);
        let will = node.death(at().utc);
        assert_eq!(number(&will), session % 256);
        assert_eq!(number(&birth(&mut node, &[])), session % 256);
        assert_eq!(read(&node.death(at().utc)), read(&will));
        assert_eq!(read(&will).seq, None);
    }
}

#[test]
fn a_value_of_another_type_is_no_value() {
    let mut node = node();
    let told = read(&birth(&mut node, &[good(9, 2.5), good(7, 3i64), good(3, "on")]));
    let values: Vec<_> = told.metrics[2..].iter().map(|m| (m.value.clone(), m.is_null)).collect();
    assert_eq!(values[0], (Some(MetricValue::Double(3.0)), None));
    assert_eq!(values[1], (None, Some(true)));
    assert_eq!(values[2], (None, Some(true)));
}

#[test]
fn a_birth_describes_what_a_host_shows_beside_the_value() {
    let mut node = node();
    let told = read(&birth(&mut node, &[good(7, 2.0)]));
    let properties = told.metrics[2].properties.clone().unwrap();
    let value = |key: &str| {
        let place = properties.keys.iter().position(|k| k == key).unwrap_or_else(|| panic!("no {key}"));
        properties.values[place].value.clone().unwrap()
    };
    assert_eq!(value("Quality"), Property::Int(192));
    assert_eq!(value("engUnit"), Property::String("mg/L".into()));
    assert_eq!((value("engLow"), value("engHigh")), (Property::Double(0.0), Property::Double(10.0)));
    assert_eq!(value("documentation"), Property::String("溶解氧 / Oxygen".into()));
    assert_eq!(value("readOnly"), Property::Boolean(true));
}

#[test]
fn a_device_has_births_data_and_deaths_of_its_own_in_one_run_of_numbers() {
    let mut node = with_device();
    let later = |s: u64| Now { mono: Instant(s * 1_000_000_000), ..at() };
    node.changes(&[good(7, 2.0), good(3, true)]);
    let name = |kind: &str, seq| (format!("spBv1.0/plant/{kind}"), Some(seq));
    let births = node.birth(&table(), at().utc);
    assert_eq!(kinds(&births), [name("NBIRTH/jinan", 0), name("DBIRTH/jinan/aeration", 1)]);
    assert_eq!(read(&births[1].payload).metrics[0].alias, Some(2), "one run of aliases over all");
    let changes = node.changes(&[good(7, 2.5), good(3, false)]);
    let told = node.data(&changes, at().utc);
    assert_eq!(kinds(&told), [name("NDATA/jinan", 2), name("DDATA/jinan/aeration", 3)]);

    let lost = TagSample { tag: TagId(3), sample: Sample::bad(BadReason::Link, None, at()) };
    let changes = node.changes(std::slice::from_ref(&lost));
    assert_eq!(kinds(&node.data(&changes, at().utc)), [name("DDATA/jinan/aeration", 4)]);
    assert_eq!(node.judge_devices(&table(), true, later(1)), [], "it may come back at once");
    assert_eq!(node.judge_devices(&table(), false, later(7)), [], "not while its history is sent");
    let death = node.judge_devices(&table(), true, later(8));
    assert_eq!(kinds(&death), [name("DDEATH/jinan/aeration", 5)]);
    assert_eq!(node.judge_devices(&table(), true, later(9)), [], "told once");

    let changes = node.changes(&[good(3, true)]);
    assert_eq!(node.data(&changes, at().utc), [], "nothing is told of a dead device before its birth");
    let back = node.judge_devices(&table(), true, later(10));
    assert_eq!(kinds(&back), [name("DBIRTH/jinan/aeration", 6)]);
    assert_eq!(read(&back[0].payload).metrics[0].value, Some(MetricValue::Boolean(true)));
}

#[test]
fn what_was_kept_comes_back_marked_as_history_under_todays_aliases() {
    let mut old = node();
    let changes = old.changes(&[good(7, 1.0), good(3, true), good(9, 5i64)]);
    let (count, kept) = old.history(&changes, at().utc);
    assert_eq!(count, 3);
    let stored = Node::stored_table(&config());
    // Another configuration: other places, one tag of another type.
    let mut config = config();
    config.tags.reverse();
    config.tags[1].value_type = ValueType::Float;
    let mut node = Node::new(Arc::new(config), None);
    birth(&mut node, &[]);
    let places = node.places_of(&stored);
    assert_eq!(places, [Some(3), Some(2), None, Some(0)]);
    let messages = node.replay(&kept, &places, at().utc);
    assert_eq!(kinds(&messages), [("spBv1.0/plant/NDATA/jinan".to_owned(), Some(1))]);
    let told = read(&messages[0].payload);
    let rows: Vec<_> = told.metrics.iter().map(|m| (m.alias, m.is_historical, m.timestamp)).collect();
    let time = Some(1_700_000_000_000);
    assert_eq!(rows, [(Some(4), Some(true), time), (Some(3), Some(true), time)]);
    assert!(node.replay(&[0xff; 40], &places, at().utc).is_empty(), "damage is no message");
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let mut config = config();
    config.tags[0].keep = false;
    let mut node = Node::new(Arc::new(config), None);
    let changes = node.changes(&[good(7, 1.0), good(3, true)]);
    assert_eq!(node.history(&changes, at().utc).0, 1);
}

#[test]
fn the_number_of_the_last_session_is_gone_on_with() {
    let mut node = Node::new(Arc::new(config()), Some(254));
    assert_eq!((node.begin_session(), node.begin_session()), (255, 0));
}
