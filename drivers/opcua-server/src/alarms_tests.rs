use super::*;
use crate::event::Remark;
use crate::mock::{Mock, high};
use crate::{Security, Texts};
use opcua::nodes::Event;
use opcua::types::{AttributeId, NumericRange, QualifiedName, Variant};
use penstock_model::{TagId, Utc, Value};

fn config() -> Config {
    Config {
        bind: "127.0.0.1:4840".parse().unwrap(),
        host: "localhost".into(),
        name: "test".into(),
        namespace: "urn:test".into(),
        security: vec![Security::None],
        anonymous: false,
        connections_max: 1,
        sessions_max: 1,
        texts: Texts::Both,
        tags: vec![TagId(0)],
        writable: Vec::new(),
    }
}

fn with<T>(mock: &Mock, work: impl FnOnce(&About<'_>) -> T) -> T {
    let (config, tags) = (config(), mock.tags());
    let defs = [high()];
    work(&About { plant: mock, config: &config, namespace: 2, defs: &defs, tags: &tags, exposed: &|_| true })
}

fn handle(subscription_id: u32, monitored_item_id: u32) -> MonitoredItemHandle {
    MonitoredItemHandle { subscription_id, monitored_item_id }
}

fn field(event: &PlantEvent, path: &str) -> Variant {
    let path: Vec<QualifiedName> = path.split('/').filter(|p| !p.is_empty()).map(QualifiedName::from).collect();
    event.get_field(&NodeId::null(), AttributeId::Value, &NumericRange::None, &path)
}

fn change(state: AlarmState, by: Option<&str>) -> AlarmEvent {
    AlarmEvent { id: AlarmId(0), state, at: Utc(5), value: Some(Value::Float(9.5)), by: by.map(Into::into) }
}

#[test]
fn an_alarm_that_comes_and_is_acknowledged_tells_both_with_ids_of_their_own() {
    let mock = Mock::default();
    let mut alarms = Alarms::new(&mock, 7);
    assert!(alarms.watch(handle(1, 1), 1, "operator", &ObjectId::Server.into()));
    assert!(alarms.watch(handle(1, 2), 1, "operator", &NodeId::new(2, "other/")));
    with(&mock, |about| {
        alarms.changed(about, &change(AlarmState::ActiveUnacknowledged, None));
        alarms.exchange_remark(AlarmId(0), Some(Remark { text: "seen".into(), by: "li@opcua".into(), at: Utc(5) }));
        alarms.changed(about, &change(AlarmState::ActiveAcknowledged, Some("li@opcua")));
    });
    assert!(alarms.items[1].waiting.is_empty(), "another area");
    let events: Vec<_> = alarms.items[0].waiting.iter().cloned().collect();
    let [first, second] = &events[..] else { panic!("two events") };
    assert_ne!(field(first, "EventId"), field(second, "EventId"));
    for (path, of_first, of_second) in [
        ("ActiveState/Id", Variant::from(true), Variant::from(true)),
        ("AckedState/Id", Variant::from(false), Variant::from(true)),
        ("Severity", Variant::from(700_u16), Variant::from(700_u16)),
        ("Retain", Variant::from(true), Variant::from(true)),
        ("HighLimit", Variant::from(8.0), Variant::from(8.0)),
        ("LowLimit", Variant::Empty, Variant::Empty),
        ("SourceName", Variant::from("tank/level"), Variant::from("tank/level")),
        ("ConfirmedState/Id", Variant::Empty, Variant::Empty),
    ] {
        assert_eq!((field(first, path), field(second, path)), (of_first, of_second), "{path}");
    }
    let Variant::LocalizedText(comment) = field(second, "Comment") else { panic!("a comment") };
    assert_eq!(comment.text.as_ref(), "seen");
    let id = first.get_field(&NodeId::null(), AttributeId::NodeId, &NumericRange::None, &[]);
    assert_eq!(id, Variant::from(NodeId::new(2, "alarm:tank/level/high")));
    let Variant::ByteString(last) = field(second, "EventId") else { panic!("an id") };
    assert!(alarms.is_last(AlarmId(0), last.value.as_deref().unwrap()));
    assert!(!alarms.is_last(AlarmId(0), b"another"));
}

#[test]
fn a_refresh_is_for_one_subscription_and_not_without_end() {
    let mock = Mock::default();
    *mock.state.lock() = AlarmState::ActiveUnacknowledged;
    let mut alarms = Alarms::new(&mock, 7);
    for (subscription, item) in [(1, 1), (2, 2)] {
        assert!(alarms.watch(handle(subscription, item), 9, "operator", &ObjectId::Server.into()));
    }
    with(&mock, |about| {
        assert_eq!(alarms.refresh(about, 9, (1, None)), Ok(()));
        assert_eq!(alarms.refresh(about, 9, (5, None)), Err(StatusCode::BadSubscriptionIdInvalid));
        assert_eq!(alarms.refresh(about, 9, (2, Some(7))), Err(StatusCode::BadMonitoredItemIdInvalid));
    });
    assert_eq!(alarms.items.iter().map(|i| i.waiting.len()).collect::<Vec<_>>(), [3, 0], "begin, alarm, end");
    with(&mock, |about| {
        let answers: Vec<_> = (0..10).map(|_| alarms.refresh(about, 9, (1, None))).collect();
        assert!(answers.contains(&Err(StatusCode::BadRefreshInProgress)));
    });
}

#[test]
fn what_nobody_takes_is_bounded_and_counted() {
    let mock = Mock::default();
    let mut alarms = Alarms::new(&mock, 7);
    assert!(alarms.watch(handle(1, 1), 1, "operator", &ObjectId::Server.into()));
    with(&mock, |about| {
        for _ in 0..EVENTS_WAITING_MAX + 3 {
            alarms.changed(about, &change(AlarmState::ActiveUnacknowledged, None));
        }
    });
    assert_eq!((alarms.items[0].waiting.len(), alarms.lost()), (EVENTS_WAITING_MAX, 3));
    for n in 0..EVENT_ITEMS_MAX {
        alarms.watch(handle(3, u32::try_from(n).unwrap()), 1, "operator", &ObjectId::Server.into());
    }
    assert_eq!(alarms.len(), EVENT_ITEMS_MAX);
    alarms.revoke(&|_| false);
    assert_eq!(alarms.len(), 0);
}

#[test]
fn a_change_that_was_missed_is_told_late() {
    let mock = Mock::default();
    let mut alarms = Alarms::new(&mock, 7);
    assert!(alarms.watch(handle(1, 1), 1, "operator", &ObjectId::Server.into()));
    *mock.state.lock() = AlarmState::ActiveUnacknowledged;
    with(&mock, |about| alarms.settle(about));
    with(&mock, |about| alarms.settle(about));
    assert_eq!(alarms.items[0].waiting.len(), 1);
}
