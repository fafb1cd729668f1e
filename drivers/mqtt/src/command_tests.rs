use super::*;
use crate::fuzz::config;
use proptest::prelude::*;
use std::sync::Arc;

const NOW: i64 = 1_700_000_000_000;

fn ask(config: &Config, command: &Command) -> Asked {
    let node = Node::new(Arc::new(config.clone()), None);
    read(config, &node, command, Utc::from_millis(NOW))
}

fn named(name: &str, value: MetricValue) -> Metric {
    Metric { name: Some(name.to_owned()), value: Some(value), ..Metric::default() }
}

fn sent(metrics: Vec<Metric>) -> Command {
    let timestamp = Some(NOW.cast_unsigned());
    let payload = Payload { timestamp, metrics, seq: None }.encode_to_vec();
    Command { device: None, retained: false, payload }
}

/// The orders as tag and value, and the reasons of what was refused.
fn came_to(asked: &Asked) -> (Vec<(u32, Option<Value>)>, Vec<String>) {
    let orders = asked.orders.iter().map(|(_, o)| (o.tag.0, o.value.clone())).collect();
    (orders, asked.refused.iter().map(ToString::to_string).collect())
}

#[test]
fn a_rebirth_is_asked_for_by_true_alone() {
    for (value, rebirth) in
        [(MetricValue::Boolean(true), true), (MetricValue::Boolean(false), false), (MetricValue::Int(1), false)]
    {
        let asked = ask(&config(), &sent(vec![named(REBIRTH, value)]));
        assert_eq!(asked, Asked { rebirth, ..Asked::default() });
    }
}

#[test]
fn values_are_taken_by_name_or_alias_and_null_is_a_release() {
    let by_alias =
        Metric { alias: Some(3), value: Some(MetricValue::Long((-4i64).cast_unsigned())), ..Metric::default() };
    let null = Metric { name: Some("aer/do_sp".into()), is_null: Some(true), ..Metric::default() };
    let asked = ask(&config(), &sent(vec![named("aer/do_sp", MetricValue::Float(1.5)), by_alias, null]));
    let orders = vec![(0, Some(Value::Float(1.5))), (2, Some(Value::Int(-4))), (0, None)];
    assert_eq!(came_to(&asked), (orders, Vec::new()));
}

#[test]
fn a_device_is_commanded_at_its_own_topic_alone() {
    let on = named("pump/on", MetricValue::Boolean(true));
    assert_eq!(came_to(&ask(&config(), &sent(vec![on.clone()]))).1, ["pump/on: no such metric here"]);
    let command = Command { device: Some("pumps".into()), ..sent(vec![on]) };
    assert_eq!(came_to(&ask(&config(), &command)).0, [(3, Some(Value::Bool(true)))]);
}

#[test]
fn whole_numbers_have_the_width_that_their_type_names() {
    let rows = [
        (None, 0xffff_fffe, -2),
        (Some(datatype::INT32), 0xffff_fffe, -2),
        (Some(datatype::INT16), 0x0000_fffe, -2),
        (Some(datatype::INT8), 0x0000_00fe, -2),
        (Some(datatype::UINT8), 0xfe, 254),
        (Some(datatype::UINT32), 0xffff_fffe, 4_294_967_294),
        (Some(datatype::INT64), 5, 5),
    ];
    for (datatype, raw, value) in rows {
        let metric = Metric { datatype, ..named("aer/n", MetricValue::Int(raw)) };
        assert_eq!(came_to(&ask(&config(), &sent(vec![metric]))).0, [(2, Some(Value::Int(value)))], "{datatype:?}");
    }
    let large = Metric { datatype: Some(datatype::UINT64), ..named("aer/n", MetricValue::Long(u64::MAX)) };
    assert!(came_to(&ask(&config(), &sent(vec![large]))).1[0].contains("too large"));
}

#[test]
fn what_is_not_allowed_says_why() {
    let write = || named("aer/do_sp", MetricValue::Double(2.0));
    let mut off = config();
    off.takes_commands = false;
    let reason = |config: &Config, command: Command| {
        let asked = ask(config, &command);
        assert!(asked.orders.is_empty(), "{asked:?}");
        asked.refused[0].to_string()
    };
    assert!(reason(&off, sent(vec![write()])).contains("takes no commands"));
    assert!(reason(&config(), sent(vec![named("aer/do", MetricValue::Double(2.0))])).contains("not among those"));
    assert!(reason(&config(), sent(vec![named("no/such", MetricValue::Double(2.0))])).contains("no such metric"));
    assert!(reason(&config(), Command { retained: true, ..sent(vec![write()]) }).contains("retain"));
    let at = |ms: i64| Metric { timestamp: Some(ms.cast_unsigned()), ..write() };
    assert!(reason(&config(), sent(vec![at(NOW - 61_000)])).contains("61 s old"));
    assert!(reason(&config(), sent(vec![at(NOW + 90_000)])).contains("90 s ahead of our clock"));
    assert!(reason(&config(), sent(vec![Metric { value: None, ..write() }])).contains("no value"));
    let long = Command { payload: vec![0; COMMAND_BYTES_MAX + 1], ..sent(Vec::new()) };
    assert!(reason(&config(), long).contains("at most 65536 are read"));
    assert!(reason(&config(), sent(vec![write(); COMMAND_METRICS_MAX + 1])).contains("101 metrics"));
    assert!(reason(&config(), Command { payload: vec![0xff; 3], ..sent(Vec::new()) }).contains("no Sparkplug payload"));
}

#[test]
fn commands_are_allowed_so_many_a_second() {
    let mut allowance = Allowance::default();
    let at = |ms: u64| Instant(ms * 1_000_000);
    assert_eq!((0..30).filter(|_| allowance.take(at(5))).count(), COMMANDS_PER_S_MAX as usize);
    assert!(!allowance.take(at(1_004)) && allowance.take(at(1_005)));
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_a_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..400),
        retained in any::<bool>(),
    ) {
        let asked = ask(&config(), &Command { device: None, retained, payload });
        prop_assert!(asked.orders.iter().all(|(place, _)| config().tags[*place].writable));
    }

    /// Metrics as a hostile host would make them, for the node and for a device: what is ordered is writable, belongs to
    /// the topic, and its value is the type's.
    #[test]
    fn hostile_metrics_order_nothing_that_is_not_allowed(
        metrics in proptest::collection::vec(
            (
                proptest::option::of("aer/do_sp|aer/do|aer/n|pump/on|Node Control/Rebirth|bdSeq|\\PC{0,80}"),
                proptest::option::of(prop_oneof![0..6_u64, any::<u64>()]),
                proptest::option::of(any::<u64>()),
                proptest::option::of(prop_oneof![0..20_u32, any::<u32>()]),
                proptest::option::of(any::<bool>()),
                0..7_u8,
                any::<u64>(),
                "\\PC{0,40}",
            ),
            0..20,
        ),
        sent_at in proptest::option::of(any::<u64>()),
        device in proptest::option::of("pumps|\\PC{0,12}"),
    ) {
        let metrics = metrics.into_iter().map(|(name, alias, timestamp, datatype, is_null, kind, bits, text)| {
            let value = match kind {
                0 => Some(MetricValue::Int(bits as u32)),
                1 => Some(MetricValue::Long(bits)),
                2 => Some(MetricValue::Float(f32::from_bits(bits as u32))),
                3 => Some(MetricValue::Double(f64::from_bits(bits))),
                4 => Some(MetricValue::Boolean(bits & 1 == 1)),
                5 => Some(MetricValue::String(text)),
                _ => None,
            };
            let historical = Some(bits & 2 == 2);
            Metric { name, alias, timestamp, datatype, is_historical: historical, is_null, value, ..Metric::default() }
        });
        let metrics: Vec<Metric> = metrics.collect();
        let count = metrics.len();
        let payload = Payload { timestamp: sent_at, metrics, seq: Some(300) }.encode_to_vec();
        let own: &[usize] = match device.as_deref() {
            None => &[0, 2],
            Some("pumps") => &[3, 4],
            Some(_) => &[],
        };
        let asked = ask(&config(), &Command { device: device.clone(), retained: false, payload });
        prop_assert!(asked.orders.iter().all(|(place, _)| own.contains(place)), "{device:?}: {asked:?}");
        prop_assert!(asked.orders.len() + asked.refused.len() <= count);
        prop_assert!(asked.refused.iter().all(|r| r.to_string().chars().all(|c| !c.is_control())));
    }

    /// A sound payload with some of its bytes changed: whatever still decodes keeps the rules.
    #[test]
    fn a_damaged_command_orders_nothing_that_is_not_allowed(
        changes in proptest::collection::vec((0usize..200, any::<u8>()), 0..12),
        cut in 0usize..200,
    ) {
        let metrics = vec![
            named("aer/do_sp", MetricValue::Double(2.0)),
            Metric { alias: Some(3), datatype: Some(4), value: Some(MetricValue::Long(7)), ..Metric::default() },
            named("aer/do", MetricValue::String("x".into())),
        ];
        let mut command = sent(metrics);
        for (at, byte) in changes {
            let length = command.payload.len();
            command.payload[at % length] = byte;
        }
        command.payload.truncate(command.payload.len().saturating_sub(cut));
        let asked = ask(&config(), &command);
        prop_assert!(asked.orders.iter().all(|(place, o)| [0, 2].contains(place) && o.tag.0 as usize == *place));
    }
}
