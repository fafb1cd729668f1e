//! From notifications to samples.
//!
//! A subscription speaks only of changes; that it speaks at all confirms the rest. So every publish, and every
//! keep-alive, delivers all tags of its subscription: the changed ones with their new value, the others with their
//! value as it was, received now. A tag grows old only when its subscription falls silent. What of a group is read, because
//! the server has no room to watch it, is confirmed by its reads alone.

use crate::config::DeviceConfig;
use crate::convert::{Reading, bare, read};
use crate::limits::CLOCK_OFF_MAX;
use opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use opcua::sync::Mutex;
use opcua::types::{
    DataChangeNotification, DataValue, DateTime, NotificationMessage, StatusChangeNotification, StatusCode,
};
use penstock_model::{BadReason, Clock, Quality, Sample, SampleSink, TagSample, Utc, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a point.
#[derive(Debug, Clone, Default)]
struct PointState {
    /// The last value, for showing.
    last: Option<Value>,
    /// What to deliver while the subscription speaks; `None` before the first value of this link.
    current: Option<(Quality, Utc)>,
    /// What is wrong with it; logged when it changes.
    wrong: Option<(Quality, String)>,
}

#[derive(Default)]
struct State {
    points: Vec<PointState>,
    /// Counts links: a notification of a former one is not delivered any more.
    link: u64,
    /// The server's clock is off, and the log said so.
    clock_off: bool,
    /// The same in words, for the health of the link.
    clock_note: String,
}

/// The samples of one device.
pub(crate) struct Feed {
    config: Arc<DeviceConfig>,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Feed {
    pub(crate) fn new(config: Arc<DeviceConfig>, sink: Arc<dyn SampleSink>, clock: Arc<dyn Clock>) -> Feed {
        let points = vec![PointState::default(); config.points.len()];
        Feed {
            config,
            sink,
            clock,
            state: Mutex::new(State { points, link: 0, clock_off: false, clock_note: String::new() }),
        }
    }

    /// A new link begins; its number goes to the subscriptions made on it.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.link += 1;
        state.points.iter_mut().for_each(|p| p.current = None);
        // Whoever answers now may have another clock.
        state.clock_off = false;
        state.clock_note.clear();
        state.link
    }

    /// All tags that are read become Bad(link) and keep their last value; nothing of the former link follows.
    pub(crate) fn lose(&self) {
        let points: Vec<usize> = (0..self.config.points.len()).collect();
        let mut state = self.state.lock();
        state.link += 1;
        self.deliver_lost(&mut state, &points);
    }

    /// The tags of a silent subscription become Bad(link).
    pub(crate) fn silent(&self, points: &[usize]) {
        self.deliver_lost(&mut self.state.lock(), points);
    }

    fn deliver_lost(&self, state: &mut State, points: &[usize]) {
        let now = self.clock.now();
        let mut batch = Vec::new();
        for &index in points.iter().filter(|i| self.config.points[**i].write.is_none()) {
            state.points[index].current = None;
            let sample = Sample::bad(BadReason::Link, state.points[index].last.clone(), now);
            batch.push(TagSample { tag: self.config.points[index].tag, sample });
        }
        self.sink.samples(&batch);
    }

    /// What the health of the link says of the server's clock; empty while it agrees with ours.
    pub(crate) fn clock_note(&self) -> String {
        self.state.lock().clock_note.clone()
    }

    /// True where the server did not have a point's node when it was asked last, or was not asked on this link.
    pub(crate) fn is_missing(&self, index: usize) -> bool {
        let current = self.state.lock().points[index].current;
        current.is_none_or(|(quality, _)| quality == Quality::Bad(BadReason::Configuration))
    }

    /// A point cannot be watched, for this reason; the rest goes on.
    pub(crate) fn refuse(&self, index: usize, reason: BadReason, why: &str) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.points[index].current = Some((Quality::Bad(reason), now.utc));
        self.note(&mut state.points[index], index, Some((Quality::Bad(reason), why.to_owned())));
        let sample = Sample::bad(reason, state.points[index].last.clone(), now);
        self.sink.samples(&[TagSample { tag: self.config.points[index].tag, sample }]);
    }

    /// A publish of a subscription, or a read of a group: `changes` by point in the order they happened, everything else
    /// of `points` as it was.
    pub(crate) fn publish(&self, link: u64, points: &[usize], changes: Vec<(usize, Reading)>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.link != link {
            return;
        }
        let mut batch = Vec::with_capacity(points.len());
        let mut changed = vec![false; self.config.points.len()];
        for (index, reading) in changes {
            let point = &mut state.points[index];
            let wrong = (!reading.quality.is_good()).then_some((reading.quality, reading.why));
            if reading.value.is_some() {
                point.last = reading.value;
            }
            point.current = Some((reading.quality, reading.source_time));
            self.note(point, index, wrong);
            changed[index] = true;
            batch.extend(self.sample(point, index, now.mono));
        }
        let unchanged = points.iter().copied().filter(|index| !changed[*index]);
        batch.extend(unchanged.filter_map(|index| self.sample(&state.points[index], index, now.mono)));
        // Delivered under the lock: a loss that follows is delivered after this.
        self.sink.samples(&batch);
    }

    /// A point as it is known now, received at `received`.
    fn sample(&self, point: &PointState, index: usize, received: penstock_model::Instant) -> Option<TagSample> {
        let (quality, source_time) = point.current?;
        let sample = Sample { value: point.last.clone(), quality, source_time, received };
        Some(TagSample { tag: self.config.points[index].tag, sample })
    }

    /// What a server sent for points of this device, read.
    pub(crate) fn read(&self, values: impl Iterator<Item = (usize, DataValue)>) -> Vec<(usize, Reading)> {
        let now = self.clock.now();
        values.filter_map(|(i, value)| Some((i, read(self.config.points.get(i)?, &value, now)))).collect()
    }

    /// The publishing interval of some points of one group.
    fn publish_of(&self, points: &[usize]) -> Duration {
        let group = points.first().and_then(|index| self.config.points.get(*index)).map(|point| point.group);
        group.and_then(|group| self.config.groups.get(group)).map(|group| group.publish).unwrap_or_default()
    }

    /// Tells when a server's clock begins or ceases to be off: its source times are then off with it. A server in front of
    /// devices publishes by its own clock and stamps values by theirs, so both are looked at: `published`, and the newest
    /// time that the server set on a change, which may be as old as its publishing interval, `late`.
    fn judge_clock(&self, published: &DateTime, stamped: Option<DateTime>, late: Duration) {
        let now = self.clock.now().utc.0;
        let ahead_s = |time: &DateTime| {
            let at = time.as_chrono().timestamp_nanos_opt().filter(|ns| *ns > 0)?;
            Some((at - now) / 1_000_000_000)
        };
        let limit = i64::try_from(CLOCK_OFF_MAX.as_secs()).unwrap_or(i64::MAX);
        let late_s = i64::try_from(late.as_secs()).unwrap_or(i64::MAX);
        let published = ahead_s(published).filter(|s| s.abs() > limit);
        let stamped = stamped.as_ref().and_then(ahead_s);
        let (ahead_s, off) = match (published, stamped) {
            (Some(ahead), _) => (ahead, true),
            (None, Some(ahead)) => (ahead, ahead > limit || ahead < -limit - late_s),
            // Nothing has changed: no news of the time that values are stamped with.
            (None, None) => return,
        };
        let mut state = self.state.lock();
        if state.clock_off == off {
            return;
        }
        state.clock_off = off;
        state.clock_note = match (off, ahead_s >= 0) {
            (false, _) => String::new(),
            (true, true) => format!("the server's clock is {ahead_s} s ahead of ours"),
            (true, false) => format!("the server's clock is {} s behind ours", ahead_s.unsigned_abs()),
        };
        if off {
            tracing::warn!(device = %self.config.name, ahead_s,
                "the server's clock is off: times of its values ahead of ours are replaced, others are kept as it says");
        } else {
            tracing::info!(device = %self.config.name, "the server's clock agrees with ours");
        }
    }

    /// Logs a point's trouble when it begins, when it changes and when it ends.
    fn note(&self, state: &mut PointState, index: usize, wrong: Option<(Quality, String)>) {
        if state.wrong == wrong {
            return;
        }
        let point = &self.config.points[index];
        match &wrong {
            Some((quality, why)) => {
                let what = if quality.is_bad() { "point is bad" } else { "point is uncertain" };
                tracing::warn!(device = %self.config.name, tag = %point.path, node = point.node, %quality, why, "{what}");
            }
            None => {
                tracing::info!(device = %self.config.name, tag = %point.path, node = point.node, "point is good");
            }
        }
        state.wrong = wrong;
    }
}

/// Signs of life of one subscription.
#[derive(Debug)]
pub(crate) struct Pulse {
    last: Mutex<Instant>,
    count: AtomicU64,
    ended: AtomicBool,
    /// Points whose node the server says is gone.
    gone: Mutex<BTreeSet<usize>>,
    /// Points of the group that are read: a publish says nothing of them.
    read: Mutex<BTreeSet<usize>>,
}

impl Pulse {
    pub(crate) fn new() -> Pulse {
        Pulse {
            last: Mutex::new(Instant::now()),
            count: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            gone: Mutex::new(BTreeSet::new()),
            read: Mutex::new(BTreeSet::new()),
        }
    }

    /// These points, and no others, are read: no publish confirms them.
    pub(crate) fn leave_out(&self, read: BTreeSet<usize>) {
        *self.read.lock() = read;
    }

    /// Points whose node went since this was asked last.
    pub(crate) fn take_gone(&self) -> BTreeSet<usize> {
        std::mem::take(&mut *self.gone.lock())
    }

    /// When it was heard last.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock()
    }

    /// How often it was heard since this was asked last.
    pub(crate) fn take_count(&self) -> u64 {
        self.count.swap(0, Ordering::Relaxed)
    }

    /// True when the server said that it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Receives the notifications of one subscription. Client handles are indices of points plus one.
pub(crate) struct Receiver {
    pub(crate) feed: Arc<Feed>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) link: u64,
    pub(crate) points: Vec<usize>,
    /// The values that a subscription begins with have come.
    pub(crate) begun: bool,
}

/// The client handle of a point.
pub(crate) fn handle(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX - 1) + 1
}

/// True when the server says that the node does not exist any more: its item is dead, and would stay so.
pub(crate) fn is_gone(status: StatusCode) -> bool {
    matches!(bare(status), StatusCode::BadNodeIdUnknown | StatusCode::BadNodeIdInvalid)
}

impl OnSubscriptionNotificationCore for Receiver {
    fn on_subscription_notification(&mut self, message: NotificationMessage, _items: MonitoredItemMap<'_>) {
        self.hear(message);
    }
}

impl Receiver {
    /// Takes a publish, or a keep-alive.
    fn hear(&mut self, message: NotificationMessage) {
        let mut values: Vec<(usize, DataValue)> = Vec::new();
        let published = message.publish_time;
        for object in message.notification_data.into_iter().flatten() {
            if let Some(change) = object.inner_as::<DataChangeNotification>() {
                let items = change.monitored_items.iter().flatten();
                values.extend(items.map(|i| ((i.client_handle as usize).wrapping_sub(1), i.value.clone())));
            } else if let Some(change) = object.inner_as::<StatusChangeNotification>() {
                let ended = change.status != StatusCode::Good;
                self.pulse.ended.store(ended, Ordering::Relaxed);
            }
        }
        // What is sent first is as old as it is.
        let newest = values.iter().filter_map(|(_, v)| v.server_timestamp).max().filter(|_| self.begun);
        self.begun |= !values.is_empty();
        self.feed.judge_clock(&published, newest, self.feed.publish_of(&self.points));
        let gone = values.iter().filter(|(_, v)| v.status.is_some_and(is_gone)).map(|(index, _)| *index);
        self.pulse.gone.lock().extend(gone.filter(|index| self.points.contains(index)));
        let changes = self.feed.read(values.into_iter());
        *self.pulse.last.lock() = Instant::now();
        self.pulse.count.fetch_add(1, Ordering::Relaxed);
        let read = self.pulse.read.lock();
        if read.is_empty() {
            self.feed.publish(self.link, &self.points, changes);
        } else {
            let points: Vec<usize> = self.points.iter().copied().filter(|index| !read.contains(index)).collect();
            self.feed.publish(self.link, &points, changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GroupConfig, PointConfig};
    use crate::part::Part;
    use crate::security::{Identity, Security};
    use penstock_model::{DeviceId, LinkRecord, Outcome, SystemClock, TagId, ValueType};

    /// Tags of what was delivered.
    #[derive(Default)]
    struct Heard(Mutex<Vec<u32>>);

    impl SampleSink for Heard {
        fn samples(&self, batch: &[TagSample]) {
            self.0.lock().extend(batch.iter().map(|s| s.tag.0));
        }

        fn outcome(&self, _: Outcome) {}

        fn link(&self, _: LinkRecord) {}
    }

    #[tokio::test]
    async fn a_publish_confirms_what_is_watched_and_nothing_that_is_read() {
        let point = |tag: u32| PointConfig {
            tag: TagId(tag),
            path: format!("t/{tag}").into(),
            node: format!("ns=2;s=N{tag}"),
            part: Part::default(),
            value_type: ValueType::Float,
            scale: 1.0,
            offset: 0.0,
            range: None,
            group: 0,
            write: None,
        };
        let config = DeviceConfig {
            id: DeviceId(0),
            name: "plc".into(),
            endpoint: "opc.tcp://nowhere:4840".into(),
            security: Security::None,
            exceptions: Vec::new(),
            identity: Identity::Anonymous,
            timeout: Duration::from_secs(2),
            groups: vec![GroupConfig::every("g", Duration::from_secs(1))],
            points: (0..3).map(point).collect(),
            pki_dir: "pki".into(),
            certificate_tag: None,
        };
        let heard = Arc::new(Heard::default());
        let feed = Arc::new(Feed::new(Arc::new(config), heard.clone(), Arc::new(SystemClock::new())));
        let (link, pulse, points) = (feed.begin(), Arc::new(Pulse::new()), vec![0, 1, 2]);
        let values = points.iter().map(|i| (*i, DataValue::new_now(1.5)));
        feed.publish(link, &points, feed.read(values));
        assert_eq!(std::mem::take(&mut *heard.0.lock()), [0, 1, 2]);
        let mut receiver = Receiver { feed, pulse: pulse.clone(), link, points, begun: true };
        let message = NotificationMessage { publish_time: DateTime::now(), ..NotificationMessage::default() };
        pulse.leave_out(BTreeSet::from([1]));
        receiver.hear(message);
        assert_eq!(std::mem::take(&mut *heard.0.lock()), [0, 2]);
    }
}
