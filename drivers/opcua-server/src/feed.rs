//! Changes out to the clients that watch them, ten times a second.

use crate::convert::data_value;
use crate::limits::{FEED_EVERY, LOOK_EVERY};
use crate::serve::Shared;
use crate::watch::Told;
use opcua::server::{ServerHandle, SubscriptionCache};
use opcua::types::{AttributeId, DateTime};
use std::time::Instant;
use tokio::time::{MissedTickBehavior, interval};

/// Feeds until dropped.
pub(crate) async fn feed(shared: &Shared, handle: &ServerHandle) {
    let mut ticks = interval(FEED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut version = shared.plant.changed_since(0).0;
    let mut looked = Instant::now();
    loop {
        ticks.tick().await;
        let (next, changed) = shared.plant.changed_since(version);
        version = next;
        let cache = handle.subscriptions();
        let due = {
            let mut watches = shared.watches.lock();
            watches.changed(changed.iter().map(|sample| sample.tag));
            let now = DateTime::now();
            watches.due(Instant::now(), &|tag| {
                let sample = shared.plant.read(tag);
                let data = data_value(&sample, now);
                (sample, data)
            })
        };
        tell(shared, cache, due);
        events(shared, handle);
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            let known = |token: &str| shared.is_known(token);
            let revoked = shared.watches.lock().revoked(&known);
            tell(shared, cache, revoked);
            shared.alarms.lock().revoke(&known);
            shared.about(|about, alarms| alarms.settle(about));
        }
    }
}

fn tell(shared: &Shared, cache: &SubscriptionCache, told: Vec<Told>) {
    if told.is_empty() {
        return;
    }
    let mut notifier = cache.data_notifier();
    for (handle, tag, values) in told {
        let path: &str = &shared.tags.get(tag).path;
        if let Some(mut batch) = notifier.notify_for((crate::serve::NAMESPACE, path), AttributeId::Value) {
            values.into_iter().for_each(|value| batch.data_value_to_item(value, &handle));
        }
    }
}

fn events(shared: &Shared, handle: &ServerHandle) {
    let changes = shared.plant.alarm_events();
    shared.about(|about, alarms| {
        for change in &changes {
            alarms.changed(about, change);
        }
    });
    let types = handle.type_tree().read();
    shared.alarms.lock().hand_on(handle.subscriptions(), &*types);
}
