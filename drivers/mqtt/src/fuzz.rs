//! What any bytes from a broker may do to this crate: each function panics where one of our promises does not hold. Compiled
//! for tests and for the fuzzer alone.

use crate::command::{Command, read};
use crate::node::Node;
use crate::{Broker, Config, TagMeta, host};
use penstock_model::{TagId, Utc, ValueType};
use std::sync::Arc;

/// A node with a tag of each type; all but the second may be written, the last two stand under the device `pumps`.
pub(crate) fn config() -> Config {
    let meta = |tag, path: &str, value_type| TagMeta::new(TagId(tag), path, value_type);
    let mut tags = vec![
        meta(0, "aer/do_sp", ValueType::Float),
        meta(1, "aer/do", ValueType::Float),
        meta(2, "aer/n", ValueType::Int),
        meta(3, "pump/on", ValueType::Bool),
        meta(4, "pump/note", ValueType::Text),
    ];
    for (place, meta) in tags.iter_mut().enumerate() {
        meta.writable = place != 1;
        meta.device = (place >= 3).then_some(0);
    }
    let mut config = Config::new(Broker { host: "h".into(), port: 1 }, "g", "e", tags);
    config.devices = vec!["pumps".into()];
    config.takes_commands = true;
    config
}

/// The first byte says how the message came, the rest is its payload: what is ordered may be written and belongs to the
/// topic; what is refused is told without control characters. Whoever carries an order out weighs type and range.
///
/// # Panics
/// Where that does not hold.
pub fn commands(bytes: &[u8]) {
    let Some((how, payload)) = bytes.split_first() else { return };
    let (device, own): (Option<&str>, &[usize]) = match how % 3 {
        0 => (None, &[0, 2]),
        1 => (Some("pumps"), &[3, 4]),
        _ => (Some("unknown"), &[]),
    };
    let command = Command { device: device.map(str::to_owned), retained: how & 0x80 != 0, payload: payload.to_vec() };
    let config = Arc::new(config());
    let node = Node::new(config.clone(), None);
    let asked = read(&config, &node, &command, Utc::from_millis(1_700_000_000_000));
    assert!(!command.retained || asked.orders.is_empty(), "a kept message ordered {asked:?}");
    for (place, order) in &asked.orders {
        assert!(own.contains(place) && order.tag == config.tags[*place].tag, "{device:?}: {asked:?}");
    }
    for refused in &asked.refused {
        assert!(refused.to_string().chars().all(|c| !c.is_control()), "{refused:?}");
    }
}

/// A STATE message: read or refused, and an older one never undoes a newer one.
///
/// # Panics
/// Where that does not hold.
pub fn states(bytes: &[u8]) {
    let Ok(state) = host::read(bytes) else { return };
    let mut host = host::Host::default();
    assert!(host.take(state) && host.online == state.online);
    if let Some(older) = state.timestamp.checked_sub(1) {
        assert!(!host.take(host::State { online: !state.online, timestamp: older }) && host.online == state.online);
    }
}

/// Places to begin from, by the function that takes them.
#[must_use]
pub fn seeds(of: &str) -> Vec<Vec<u8>> {
    use crate::node::REBIRTH;
    use crate::payload::{Metric, MetricValue, Payload};
    use prost::Message as _;
    if of == "states" {
        let states: [&[u8]; 2] =
            [br#"{"online":true,"timestamp":1668114759262}"#, br#"{"timestamp":5,"online":false}"#];
        return states.map(<[u8]>::to_vec).to_vec();
    }
    let named = |name: &str, value| Metric { name: Some(name.to_owned()), value: Some(value), ..Metric::default() };
    let aliased = |alias, value| Metric { alias: Some(alias), value: Some(value), ..Metric::default() };
    let of_node = vec![
        named("aer/do_sp", MetricValue::Double(2.0)),
        named("aer/do", MetricValue::Float(1.0)),
        aliased(2, MetricValue::Long(7)),
        named(REBIRTH, MetricValue::Boolean(true)),
        Metric { is_historical: Some(true), datatype: Some(9), ..named("aer/n", MetricValue::Int(3)) },
    ];
    let of_pumps = vec![
        named("pump/on", MetricValue::Boolean(true)),
        named("pump/note", MetricValue::String("ok".into())),
        Metric { is_null: Some(true), ..aliased(3, MetricValue::Int(0)) },
    ];
    let message = |how: u8, metrics: Vec<Metric>| {
        let payload = Payload { timestamp: Some(1_700_000_000_000), metrics, seq: None };
        [vec![how], payload.encode_to_vec()].concat()
    };
    vec![message(0, of_node), message(1, of_pumps)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_begun_from_is_read() {
        seeds("commands").iter().for_each(|seed| commands(seed));
        seeds("states").iter().for_each(|seed| {
            assert!(host::read(seed).is_ok());
            states(seed);
        });
    }

    proptest! {
        #[test]
        fn damaged_seeds_keep_the_promises(
            which: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            for (name, promise) in [("commands", commands as fn(&[u8])), ("states", states)] {
                let seeds = seeds(name);
                let mut bytes = which.get(&seeds).clone();
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                promise(&bytes);
            }
        }
    }
}
