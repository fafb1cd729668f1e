//! Who watches which tag.
//!
//! The library decides by source times which value of an item is too early, changes the source time of such a value, and
//! tells a client without a filter of a change of the status only where the value changes too. So items are paced here,
//! by our own clock, and the library is asked to pace nothing:
//!
//! * An item with a sampling interval is asked of the library at a microsecond, and gets at most one value per interval,
//!   or per publishing interval where its queue holds one.
//! * An item that follows its subscription (-1) would keep the source time of its first value. Its values go without one.
//! * Where only the status changes, an item without a filter is told in two steps: empty, and the value again.

use crate::convert::value_and_status;
use crate::limits::{FEED_EVERY, ITEMS_MAX};
use opcua::server::{CreateMonitoredItem, MonitoredItemHandle};
use opcua::types::{DataValue, StatusCode, Variant};
use penstock_model::{Sample, TagId};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The library's shortest pace, in milliseconds: it then changes a time by a microsecond at most.
const LIBRARY_PACE_MS: f64 = 0.001;

/// An item that watches a tag's value.
#[derive(Debug)]
pub(crate) struct Watch {
    tag: TagId,
    token: String,
    pace: Duration,
    sent_at: Instant,
    sent: (Variant, StatusCode),
    filtered: bool,
    /// It follows its subscription: see above.
    follows: bool,
}

/// What is to be told to an item, in this order.
pub(crate) type Told = (MonitoredItemHandle, TagId, Vec<DataValue>);

/// All items that watch values.
#[derive(Default)]
pub(crate) struct Watches {
    items: HashMap<MonitoredItemHandle, Watch>,
    by_tag: HashMap<TagId, Vec<MonitoredItemHandle>>,
    pending: HashSet<MonitoredItemHandle>,
    made: u64,
}

impl Watches {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Items made since the library's server was begun.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Takes up an item that is being created; false where there are too many.
    pub(crate) fn add(
        &mut self,
        item: &mut CreateMonitoredItem,
        (tag, token): (TagId, &str),
        publishing: Duration,
        initial: &DataValue,
    ) -> bool {
        if self.items.len() >= ITEMS_MAX {
            return false;
        }
        let asked = item.sampling_interval();
        let follows = asked < 0.0;
        let mut pace = Duration::try_from_secs_f64(asked.max(0.0) / 1e3).unwrap_or(Duration::MAX).max(FEED_EVERY);
        if item.queue_size() <= 1 {
            pace = pace.max(publishing);
        }
        if !follows {
            item.revise_sampling_interval(LIBRARY_PACE_MS);
        }
        let handle = item.handle();
        let sent = (initial.value.clone().unwrap_or_default(), initial.status.unwrap_or(StatusCode::Good));
        let filtered = is_filtered(item);
        let watch = Watch { tag, token: token.to_owned(), pace, sent_at: Instant::now(), sent, filtered, follows };
        if self.items.insert(handle, watch).is_none() {
            self.by_tag.entry(tag).or_default().push(handle);
            self.made += 1;
        }
        // A change between its first value and now is looked for once.
        self.pending.insert(handle);
        true
    }

    /// An item got another filter: it may be none.
    pub(crate) fn refilter(&mut self, handle: MonitoredItemHandle) {
        if let Some(watch) = self.items.get_mut(&handle) {
            watch.filtered = false;
        }
    }

    pub(crate) fn remove(&mut self, handle: MonitoredItemHandle) {
        let Some(watch) = self.items.remove(&handle) else { return };
        self.pending.remove(&handle);
        if let Some(handles) = self.by_tag.get_mut(&watch.tag) {
            handles.retain(|h| *h != handle);
            if handles.is_empty() {
                self.by_tag.remove(&watch.tag);
            }
        }
    }

    /// These tags changed.
    pub(crate) fn changed(&mut self, tags: impl Iterator<Item = TagId>) {
        for tag in tags {
            if let Some(handles) = self.by_tag.get(&tag) {
                self.pending.extend(handles);
            }
        }
    }

    /// What is due to be told.
    pub(crate) fn due(&mut self, now: Instant, read: &dyn Fn(TagId) -> (Sample, DataValue)) -> Vec<Told> {
        let mut told = Vec::new();
        let items = &mut self.items;
        self.pending.retain(|handle| {
            let Some(watch) = items.get_mut(handle) else { return false };
            if now.saturating_duration_since(watch.sent_at) < watch.pace {
                return true;
            }
            let (sample, data) = read(watch.tag);
            if let Some(values) = watch.next(&sample, data) {
                watch.sent_at = now;
                told.push((*handle, watch.tag, values));
            }
            false
        });
        told
    }

    /// Items of users that are gone, or have another password: taken out, and told so for the last time.
    pub(crate) fn revoked(&mut self, is_known: &dyn Fn(&str) -> bool) -> Vec<Told> {
        let mut known: HashMap<&str, bool> = HashMap::new();
        let mut gone = Vec::new();
        for (handle, watch) in &self.items {
            if !*known.entry(&watch.token).or_insert_with(|| is_known(&watch.token)) {
                gone.push((*handle, watch.tag));
            }
        }
        let denied = || DataValue {
            value: Some(Variant::Empty),
            status: Some(StatusCode::BadUserAccessDenied),
            ..DataValue::default()
        };
        gone.iter().for_each(|(handle, _)| self.remove(*handle));
        gone.into_iter().map(|(handle, tag)| (handle, tag, vec![denied()])).collect()
    }
}

impl Watch {
    /// The values that tell of a sample; `None` where the item knows it already.
    fn next(&mut self, sample: &Sample, mut data: DataValue) -> Option<Vec<DataValue>> {
        let (value, status) = value_and_status(sample.value.as_ref(), sample.quality);
        if (&value, &status) == (&self.sent.0, &self.sent.1) {
            return None;
        }
        let same_value = value == self.sent.0;
        self.sent = (value, status);
        if self.follows {
            data.source_timestamp = None;
        }
        if !same_value || self.filtered {
            return Some(vec![data]);
        }
        let step = DataValue { value: Some(Variant::Empty), source_timestamp: None, ..data.clone() };
        Some(vec![step, data])
    }
}

/// Whether an item has a filter. The library does not export the filter's type; its variant without one prints so.
fn is_filtered(item: &CreateMonitoredItem) -> bool {
    format!("{:?}", item.filter()) != "None"
}
