//! The one table of current samples: what drivers deliver, what tasks write, what the world reads.
//!
//! A slot per tag holds the sample as it came (`raw`) and as its task last latched or wrote it (`shown`). Latest wins,
//! so no burst costs memory. Each slot has a short lock of its own; none is ever held while a script runs.

use parking_lot::Mutex;
use penstock_model::{
    BadReason, Instant, Now, Quality, Sample, Source, TagDef, TagId, TagSample, TagTable, UncertainReason, Value,
    limits,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A value that is confirmed but does not change is shown again this often, so that its age on a screen stays true.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

struct Slot {
    raw: Sample,
    /// When the raw value last changed.
    moved: Instant,
    shown: Sample,
    /// The table's version when `shown` last changed.
    version: u64,
    /// When `shown` last changed its version.
    refreshed: Instant,
    /// True once anything was delivered.
    fed: bool,
}

pub(crate) struct Table {
    pub tags: Arc<TagTable>,
    slots: Vec<Mutex<Slot>>,
    /// Tags that are delivered from outside the engine.
    external: Vec<bool>,
    version: AtomicU64,
}

impl Table {
    /// A table without any value; `own` are the system tags that the engine writes itself.
    pub fn new(tags: Arc<TagTable>, own: &HashSet<TagId>, now: Now) -> Table {
        let slot = || {
            let sample = Sample::initial(None, now);
            let (raw, shown) = (sample.clone(), sample);
            Mutex::new(Slot { raw, moved: now.mono, shown, version: 1, refreshed: now.mono, fed: false })
        };
        let external = tags
            .iter()
            .map(|t| matches!(t.source, Source::Device(_) | Source::System) && !own.contains(&t.id))
            .collect();
        Table { slots: (0..tags.len()).map(|_| slot()).collect(), external, tags, version: AtomicU64::new(1) }
    }

    pub fn is_external(&self, tag: TagId) -> bool {
        self.external.get(tag.index()).copied().unwrap_or(false)
    }

    /// Takes a sample from outside. A tag that the engine writes itself, or that does not exist, is left alone: it has
    /// one writer. A sample received before the one held is late and dropped.
    pub fn deliver(&self, tag: TagId, sample: &Sample) {
        if !self.is_external(tag) {
            return;
        }
        let def = self.tags.get(tag);
        let mut slot = self.slots[tag.index()].lock();
        if slot.fed && sample.received < slot.raw.received {
            return;
        }
        slot.fed = true;
        let sample = checked(def, sample, &slot.raw);
        slot.take(sample);
    }

    /// The tag's sample as it counts at `now`: too old is Bad(stale), standing still too long is Uncertain(frozen).
    /// `publish` shows it to the world; only the tag's own task does.
    pub fn latch(&self, tag: TagId, now: Instant, publish: bool) -> Sample {
        let def = self.tags.get(tag);
        let mut slot = self.slots[tag.index()].lock();
        let mut sample = slot.raw.clone();
        if !sample.quality.is_bad() && def.ttl.is_some_and(|ttl| sample.age(now) > ttl) {
            sample.quality = Quality::Bad(BadReason::Stale);
        } else if sample.quality.is_good() && def.frozen_after.is_some_and(|t| now.since(slot.moved) > t) {
            sample.quality = Quality::Uncertain(UncertainReason::Frozen);
        }
        if publish {
            slot.show(&sample, now, &self.version);
        }
        sample
    }

    /// Writes a tag of the engine's own.
    pub fn write(&self, tag: TagId, sample: &Sample, now: Instant) {
        let mut slot = self.slots[tag.index()].lock();
        slot.take(sample.clone());
        slot.show(sample, now, &self.version);
    }

    /// The tag as its task last left it.
    pub fn shown(&self, tag: TagId) -> Sample {
        self.slots.get(tag.index()).map_or_else(
            || Sample::bad(BadReason::Configuration, None, Now::default()),
            |slot| slot.lock().shown.clone(),
        )
    }

    /// What was shown since `version`, and the version to ask with next time. Nothing is missed; what changes during
    /// the call may come twice.
    pub fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        // Read first: a writer takes its number while it holds its slot, so every number up to this one is already
        // in its slot, or will be when we get the slot's lock.
        let until = self.version.load(Ordering::Acquire);
        let mut changed = Vec::new();
        if until > version {
            for (index, slot) in (0_u32..).zip(&self.slots) {
                let slot = slot.lock();
                if slot.version > version {
                    changed.push(TagSample { tag: TagId(index), sample: slot.shown.clone() });
                }
            }
        }
        (until, changed)
    }
}

impl Slot {
    fn take(&mut self, sample: Sample) {
        if sample.value != self.raw.value {
            self.moved = sample.received;
        }
        self.raw = sample;
    }

    fn show(&mut self, sample: &Sample, now: Instant, version: &AtomicU64) {
        let changed = sample.value != self.shown.value || sample.quality != self.shown.quality;
        let confirmed = sample.received > self.shown.received && now.since(self.refreshed) >= REFRESH_EVERY;
        if changed || confirmed {
            self.version = version.fetch_add(1, Ordering::AcqRel) + 1;
            self.refreshed = now;
        }
        self.shown.clone_from(sample);
    }
}

/// A delivered sample as the engine takes it: finite, of the tag's type, and a bad one keeps the last value known.
fn checked(def: &TagDef, sample: &Sample, before: &Sample) -> Sample {
    let bad = |reason| Sample { value: before.value.clone(), quality: Quality::Bad(reason), ..sample.clone() };
    let Some(value) = &sample.value else {
        let quality = if sample.quality.is_bad() { sample.quality } else { Quality::Bad(BadReason::Undecodable) };
        return Sample { value: before.value.clone(), quality, ..sample.clone() };
    };
    if !value.is_finite() {
        return bad(BadReason::NotFinite);
    }
    if matches!(value, Value::Text(t) if t.len() > limits::TEXT_BYTES_MAX) {
        return bad(BadReason::Undecodable);
    }
    match value.convert(def.value_type) {
        Some(value) => Sample { value: Some(value), ..sample.clone() },
        None if sample.quality.is_bad() => Sample { value: before.value.clone(), ..sample.clone() },
        None => bad(BadReason::Undecodable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{DeviceId, Unit, Utc};

    fn at(ms: u64) -> Now {
        Now { mono: Instant(ms * 1_000_000), utc: Utc::from_millis(i64::try_from(ms).unwrap()) }
    }

    fn table(adjust: impl Fn(&mut TagDef)) -> Table {
        let mut device = TagDef::float(TagId(0), "x", Unit::NONE, Source::Device(DeviceId(0)));
        adjust(&mut device);
        let program = TagDef::float(TagId(1), "y", Unit::NONE, Source::Program("p".into()));
        Table::new(Arc::new(TagTable::new(vec![device, program]).unwrap()), &HashSet::new(), at(0))
    }

    const X: TagId = TagId(0);

    #[test]
    fn nothing_delivered_is_bad_and_not_just_zero() {
        assert_eq!(table(|_| ()).latch(X, at(0).mono, true).quality, Quality::Bad(BadReason::Initial));
    }

    #[test]
    fn what_is_not_a_finite_value_of_the_tags_type_is_bad_and_keeps_the_last_value() {
        let t = table(|_| ());
        t.deliver(X, &Sample::good(2.0, at(1)));
        for (value, reason) in [
            (Value::Float(f64::NAN), BadReason::NotFinite),
            (Value::Float(f64::INFINITY), BadReason::NotFinite),
            (Value::from("abc"), BadReason::Undecodable),
        ] {
            // Built by hand: the constructors refuse such values, a driver's mistake might not.
            t.deliver(X, &Sample { value: Some(value), ..Sample::good(0.0, at(2)) });
            let s = t.latch(X, at(2).mono, true);
            assert_eq!((s.quality, s.value), (Quality::Bad(reason), Some(Value::Float(2.0))));
        }
        t.deliver(X, &Sample::good(3_i64, at(3)));
        assert_eq!(t.latch(X, at(3).mono, true).usable(), Some(&Value::Float(3.0)));
    }

    #[test]
    fn an_old_sample_is_stale_and_a_late_one_does_not_come_back() {
        let t = table(|d| d.ttl = Some(Duration::from_millis(500)));
        t.deliver(X, &Sample::good(1.0, at(1_000)));
        assert!(t.latch(X, at(1_500).mono, true).quality.is_good());
        let stale = t.latch(X, at(1_501).mono, true);
        assert_eq!((stale.quality, stale.value), (Quality::Bad(BadReason::Stale), Some(Value::Float(1.0))));
        t.deliver(X, &Sample::good(9.0, at(900)));
        assert_eq!(t.latch(X, at(1_501).mono, true).value, Some(Value::Float(1.0)));
        t.deliver(X, &Sample::good(2.0, at(1_600)));
        assert_eq!(t.latch(X, at(1_600).mono, true).usable_f64(), Some(2.0));
    }

    #[test]
    fn a_value_that_stands_still_is_frozen_until_it_moves() {
        let t = table(|d| d.frozen_after = Some(Duration::from_secs(10)));
        for s in 0..=11 {
            t.deliver(X, &Sample::good(4.0, at(s * 1_000)));
        }
        let frozen = Quality::Uncertain(UncertainReason::Frozen);
        assert!(t.latch(X, at(10_000).mono, true).quality.is_good());
        assert_eq!(t.latch(X, at(11_000).mono, true).quality, frozen);
        t.deliver(X, &Sample::good(4.1, at(12_000)));
        assert!(t.latch(X, at(12_000).mono, true).quality.is_good());
    }

    #[test]
    fn a_tag_of_the_engine_takes_nothing_from_outside() {
        let t = table(|_| ());
        t.deliver(TagId(1), &Sample::good(7.0, at(1)));
        t.deliver(TagId(99), &Sample::good(7.0, at(1)));
        assert_eq!(t.latch(TagId(1), at(1).mono, true).value, None);
    }

    #[test]
    fn what_changed_is_told_once_and_a_confirmation_once_a_second() {
        let t = table(|_| ());
        let (v, all) = t.changed_since(0);
        assert_eq!(all.len(), 2);
        assert_eq!(t.changed_since(v).1.len(), 0);
        t.deliver(X, &Sample::good(1.0, at(100)));
        assert_eq!(t.changed_since(v).1.len(), 0, "shown before its task latched it");
        t.latch(X, at(100).mono, true);
        let (v, changed) = t.changed_since(v);
        assert_eq!(changed.iter().map(|c| c.sample.usable_f64()).collect::<Vec<_>>(), [Some(1.0)]);
        t.deliver(X, &Sample::good(1.0, at(200)));
        t.latch(X, at(200).mono, true);
        assert_eq!(t.changed_since(v).1.len(), 0);
        t.deliver(X, &Sample::good(1.0, at(1_100)));
        t.latch(X, at(1_100).mono, true);
        assert_eq!(t.changed_since(v).1.len(), 1);
    }
}
