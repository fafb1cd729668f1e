//! The one table of current samples: what drivers deliver, what tasks write, what the world reads.
//!
//! A slot per tag holds the sample as it came (`raw`) and as its task last latched or wrote it (`shown`). Latest wins,
//! so no burst costs memory. A page of neighbouring slots shares a short lock, which a latch takes once for all it finds
//! there; none is ever held while a script runs. Beside the slots stands a stamp for each, so that a latch passes over
//! what has not moved without touching the slot.

use parking_lot::{Mutex, MutexGuard};
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

/// Slots under one lock: enough that a latch of many tags pays little for locks, few enough that whoever wants one slot
/// of them waits a few microseconds at the most.
const PAGE: usize = 64;

/// What a task remembers of a tag that it latched.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The tag's stamp then; 0 before the first latch.
    stamp: u64,
    /// The sample counts as it did until after this time, if nothing is delivered.
    until: Instant,
}

struct Slot {
    raw: Sample,
    /// A sample older than this is stale; the longest time there is where none does.
    ttl: Span,
    /// A value that stands longer than this is frozen; likewise.
    frozen_after: Span,
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
    /// [`PAGE`] slots each, the last one perhaps fewer.
    pages: Vec<Mutex<Box<[Slot]>>>,
    /// Counts what was delivered or written to each slot, from 1. Changed under the lock of its page.
    stamps: Vec<AtomicU64>,
    /// Tags that are delivered from outside the engine.
    external: Vec<bool>,
    version: AtomicU64,
}

impl Table {
    /// A table without any value; `own` are the system tags that the engine writes itself.
    pub fn new(tags: Arc<TagTable>, own: &HashSet<TagId>, now: Now) -> Table {
        let slot = |def: &TagDef| {
            let sample = Sample::initial(None, now);
            let (raw, shown) = (sample.clone(), sample);
            let (ttl, frozen_after, moved) = (Span::of(def.ttl), Span::of(def.frozen_after), now.mono);
            Slot { raw, ttl, frozen_after, moved, shown, version: 1, refreshed: now.mono, fed: false }
        };
        let external = tags
            .iter()
            .map(|t| matches!(t.source, Source::Device(_) | Source::System) && !own.contains(&t.id))
            .collect();
        let mut slots = tags.iter().map(slot);
        let page = || slots.by_ref().take(PAGE).collect::<Box<[Slot]>>();
        let pages = std::iter::repeat_with(page).take_while(|page| !page.is_empty()).map(Mutex::new).collect();
        drop(slots);
        let stamps = tags.iter().map(|_| AtomicU64::new(1)).collect();
        Table { pages, stamps, external, tags, version: AtomicU64::new(1) }
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
        let mut page = self.page(tag);
        let slot = &mut page[tag.index() % PAGE];
        if slot.fed && sample.received < slot.raw.received {
            return;
        }
        slot.fed = true;
        let sample = checked(def, sample, &slot.raw);
        slot.take(sample);
        self.stamp(tag);
    }

    /// The page that the slot of the tag is in.
    fn page(&self, tag: TagId) -> MutexGuard<'_, Box<[Slot]>> {
        self.pages[tag.index() / PAGE].lock()
    }

    /// Tells that the slot of the tag took a sample. To be called under the lock of its page.
    fn stamp(&self, tag: TagId) {
        // Alone at it under that lock: a plain addition serves, which costs a tenth of an atomic one.
        let stamp = &self.stamps[tag.index()];
        stamp.store(stamp.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Begins a latch at `now`. It may hold the lock of a page until it is dropped.
    pub fn latch(&self, now: Instant) -> Latch<'_> {
        Latch { table: self, now, page: None, version: None }
    }

    /// Writes a tag of the engine's own.
    pub fn write(&self, tag: TagId, sample: &Sample, now: Instant) {
        let mut page = self.page(tag);
        let slot = &mut page[tag.index() % PAGE];
        slot.take(sample.clone());
        self.stamp(tag);
        if slot.show(sample.quality, now) {
            slot.version = self.next_version();
        }
    }

    /// A number for what is shown from now on. To be taken under the lock of the page that it is for.
    fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// When the tag's value last moved.
    pub fn moved(&self, tag: TagId) -> Instant {
        self.page(tag)[tag.index() % PAGE].moved
    }

    /// Puts a tag of the engine's own back to where it stood, for a replay.
    pub fn put_back(&self, tag: TagId, sample: &Sample, moved: Instant, now: Instant) {
        self.write(tag, sample, now);
        self.page(tag)[tag.index() % PAGE].moved = moved;
    }

    /// The tag as its task last left it.
    pub fn shown(&self, tag: TagId) -> Sample {
        if tag.index() < self.stamps.len() {
            self.page(tag)[tag.index() % PAGE].shown.clone()
        } else {
            Sample::bad(BadReason::Configuration, None, Now::default())
        }
    }

    /// What was shown since `version`, and the version to ask with next time. Nothing is missed; what changes during
    /// the call may come twice.
    pub fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        // Read first: a writer takes its number while it holds its page, so every number up to this one is already
        // in its slots, or will be when we get the page's lock.
        let until = self.version.load(Ordering::Acquire);
        let mut changed = Vec::new();
        if until > version {
            let mut ids = (0_u32..).map(TagId);
            for page in &self.pages {
                let page = page.lock();
                for (slot, tag) in page.iter().zip(&mut ids) {
                    if slot.version > version {
                        changed.push(TagSample { tag, sample: slot.shown.clone() });
                    }
                }
            }
        }
        (until, changed)
    }
}

/// A latch of many tags: the lock of a page is kept while the next tag is on the same one.
pub(crate) struct Latch<'a> {
    table: &'a Table,
    now: Instant,
    /// The page last locked, and its place.
    page: Option<(usize, MutexGuard<'a, Box<[Slot]>>)>,
    /// The number of what this latch showed on that page.
    version: Option<u64>,
}

impl Latch<'_> {
    /// Brings `sample` up to what the tag counts as now: too old is Bad(stale), standing still too long is
    /// Uncertain(frozen). False: it counts as at the latch that `seen` remembers, and `sample` was left alone.
    /// `publish` shows it to the world; only the tag's own task does.
    pub fn take(&mut self, tag: TagId, publish: bool, seen: &mut Seen, sample: &mut Sample) -> bool {
        let (table, place) = (self.table, tag.index() / PAGE);
        if self.page.as_ref().is_some_and(|(held, _)| *held != place) {
            // Before the next is taken, so that nobody ever holds two; and at once, whether or not this tag needs one.
            self.page = None;
            self.version = None;
        }
        let stamp = &table.stamps[tag.index()];
        if stamp.load(Ordering::Acquire) == seen.stamp && self.now <= seen.until {
            return false;
        }
        let (_, page) = self.page.get_or_insert_with(|| (place, table.pages[place].lock()));
        let slot = &mut page[tag.index() % PAGE];
        let (quality, until) = slot.judge(self.now);
        *seen = Seen { stamp: stamp.load(Ordering::Acquire), until };
        let Sample { value, source_time, received, .. } = &slot.raw;
        *sample = Sample { value: value.clone(), quality, source_time: *source_time, received: *received };
        if publish && slot.show(quality, self.now) {
            // One number serves all that is shown under one lock: nobody sees a part of it.
            slot.version = *self.version.get_or_insert_with(|| table.next_version());
        }
        true
    }
}

/// A span of time in nanoseconds, the longest one for "never": half the size of an `Option<Duration>`.
#[derive(Debug, Clone, Copy)]
struct Span(u64);

impl Span {
    fn of(span: Option<Duration>) -> Span {
        Span(span.map_or(u64::MAX, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The end of the span that begins at `start`.
    fn after(self, start: Instant) -> Instant {
        Instant(start.0.saturating_add(self.0))
    }
}

impl Slot {
    /// The quality that the raw sample counts as at `now`, and until after when.
    fn judge(&self, now: Instant) -> (Quality, Instant) {
        let quality = self.raw.quality;
        let stale_after = self.ttl.after(self.raw.received);
        let frozen_after = self.frozen_after.after(self.moved);
        if quality.is_bad() {
            (quality, Instant(u64::MAX))
        } else if now > stale_after {
            (Quality::Bad(BadReason::Stale), Instant(u64::MAX))
        } else if !quality.is_good() {
            (quality, stale_after)
        } else if now > frozen_after {
            (Quality::Uncertain(UncertainReason::Frozen), stale_after)
        } else {
            (quality, stale_after.min(frozen_after))
        }
    }

    fn take(&mut self, sample: Sample) {
        if sample.value != self.raw.value {
            self.moved = sample.received;
        }
        self.raw = sample;
    }

    /// Shows the raw sample with the quality it counts as; true where the world has not seen it so yet.
    fn show(&mut self, quality: Quality, now: Instant) -> bool {
        let changed = self.raw.value != self.shown.value || quality != self.shown.quality;
        let confirmed = self.raw.received > self.shown.received && now.since(self.refreshed) >= REFRESH_EVERY;
        if changed {
            self.shown.value.clone_from(&self.raw.value);
        }
        if changed || confirmed {
            self.refreshed = now;
        }
        self.shown.quality = quality;
        self.shown.source_time = self.raw.source_time;
        self.shown.received = self.raw.received;
        changed || confirmed
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

    /// What a task that never latched the tag before takes, at `now`.
    fn latched(t: &Table, tag: TagId, now: Now) -> Sample {
        let mut sample = Sample::initial(None, now);
        assert!(t.latch(now.mono).take(tag, true, &mut Seen::default(), &mut sample));
        sample
    }

    #[test]
    fn nothing_delivered_is_bad_and_not_just_zero() {
        assert_eq!(latched(&table(|_| ()), X, at(0)).quality, Quality::Bad(BadReason::Initial));
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
            let s = latched(&t, X, at(2));
            assert_eq!((s.quality, s.value), (Quality::Bad(reason), Some(Value::Float(2.0))));
        }
        t.deliver(X, &Sample::good(3_i64, at(3)));
        assert_eq!(latched(&t, X, at(3)).usable(), Some(&Value::Float(3.0)));
    }

    #[test]
    fn an_old_sample_is_stale_and_a_late_one_does_not_come_back() {
        let t = table(|d| d.ttl = Some(Duration::from_millis(500)));
        t.deliver(X, &Sample::good(1.0, at(1_000)));
        assert!(latched(&t, X, at(1_500)).quality.is_good());
        let stale = latched(&t, X, at(1_501));
        assert_eq!((stale.quality, stale.value), (Quality::Bad(BadReason::Stale), Some(Value::Float(1.0))));
        t.deliver(X, &Sample::good(9.0, at(900)));
        assert_eq!(latched(&t, X, at(1_501)).value, Some(Value::Float(1.0)));
        t.deliver(X, &Sample::good(2.0, at(1_600)));
        assert_eq!(latched(&t, X, at(1_600)).usable_f64(), Some(2.0));
    }

    #[test]
    fn a_value_that_stands_still_is_frozen_until_it_moves() {
        let t = table(|d| d.frozen_after = Some(Duration::from_secs(10)));
        for s in 0..=11 {
            t.deliver(X, &Sample::good(4.0, at(s * 1_000)));
        }
        let frozen = Quality::Uncertain(UncertainReason::Frozen);
        assert!(latched(&t, X, at(10_000)).quality.is_good());
        assert_eq!(latched(&t, X, at(11_000)).quality, frozen);
        t.deliver(X, &Sample::good(4.1, at(12_000)));
        assert!(latched(&t, X, at(12_000)).quality.is_good());
    }

    #[test]
    fn a_tag_of_the_engine_takes_nothing_from_outside() {
        let t = table(|_| ());
        t.deliver(TagId(1), &Sample::good(7.0, at(1)));
        t.deliver(TagId(99), &Sample::good(7.0, at(1)));
        assert_eq!(latched(&t, TagId(1), at(1)).value, None);
    }

    #[test]
    fn what_changed_is_told_once_and_a_confirmation_once_a_second() {
        let t = table(|_| ());
        let (v, all) = t.changed_since(0);
        assert_eq!(all.len(), 2);
        assert_eq!(t.changed_since(v).1.len(), 0);
        t.deliver(X, &Sample::good(1.0, at(100)));
        assert_eq!(t.changed_since(v).1.len(), 0, "shown before its task latched it");
        latched(&t, X, at(100));
        let (v, changed) = t.changed_since(v);
        assert_eq!(changed.iter().map(|c| c.sample.usable_f64()).collect::<Vec<_>>(), [Some(1.0)]);
        t.deliver(X, &Sample::good(1.0, at(200)));
        latched(&t, X, at(200));
        assert_eq!(t.changed_since(v).1.len(), 0);
        t.deliver(X, &Sample::good(1.0, at(1_100)));
        latched(&t, X, at(1_100));
        assert_eq!(t.changed_since(v).1.len(), 1);
    }

    #[test]
    fn a_latch_passes_over_what_stands_and_never_over_what_ages() {
        let t = table(|d| (d.ttl, d.frozen_after) = (Some(Duration::from_secs(5)), Some(Duration::from_secs(3))));
        let (mut seen, mut sample) = (Seen::default(), Sample::initial(None, at(0)));
        let mut latch = |ms| (t.latch(at(ms).mono).take(X, true, &mut seen, &mut sample), sample.quality);
        t.deliver(X, &Sample::good(1.0, at(1_000)));
        assert_eq!(latch(1_000), (true, Quality::Good));
        assert_eq!(latch(4_000), (false, Quality::Good));
        assert_eq!(latch(4_001), (true, Quality::Uncertain(UncertainReason::Frozen)));
        assert!(!latch(6_000).0);
        assert_eq!(latch(6_001), (true, Quality::Bad(BadReason::Stale)));
        assert!(!latch(60_000).0);
        t.deliver(X, &Sample::good(1.0, at(61_000)));
        assert_eq!(latch(61_000), (true, Quality::Uncertain(UncertainReason::Frozen)));
        t.deliver(X, &Sample::good(2.0, at(61_000)));
        assert_eq!(latch(61_000), (true, Quality::Good), "delivered again at the same time");
    }

    /// Two pages and a part of a third.
    fn wide() -> (Table, Vec<TagId>) {
        let ids: Vec<TagId> = (0..150).map(TagId).collect();
        let def = |id: &TagId| TagDef::float(*id, &format!("x{}", id.0), Unit::NONE, Source::Device(DeviceId(0)));
        let tags = TagTable::new(ids.iter().map(def).collect()).unwrap();
        (Table::new(Arc::new(tags), &HashSet::new(), at(0)), ids)
    }

    #[test]
    fn a_latch_of_many_pages_takes_and_tells_each_tag_by_itself() {
        let (t, ids) = wide();
        let (mut version, _) = t.changed_since(0);
        let mut seen = vec![Seen::default(); ids.len()];
        let mut image = vec![Sample::initial(None, at(0)); ids.len()];
        // All of them, each second one, the last of a page and the first of the next, none.
        let rounds: [fn(u32) -> bool; 4] = [|_| true, |id| id % 2 == 0, |id| id == 63 || id == 64, |_| false];
        let mut stands = vec![None; ids.len()];
        for (round, news) in (1_u32..).zip(rounds) {
            let now = at(u64::from(round) * 100);
            for tag in ids.iter().filter(|tag| news(tag.0)) {
                let value = f64::from(round * 1_000 + tag.0);
                t.deliver(*tag, &Sample::good(value, now));
                stands[tag.index()] = Some(value);
            }
            let mut latch = t.latch(now.mono);
            for ((tag, seen), sample) in ids.iter().zip(&mut seen).zip(&mut image) {
                assert_eq!(latch.take(*tag, true, seen, sample), round == 1 || news(tag.0), "{tag:?} in {round}");
            }
            drop(latch);
            assert_eq!(image.iter().map(Sample::usable_f64).collect::<Vec<_>>(), stands);
            let (until, changed) = t.changed_since(version);
            let told: Vec<TagId> = changed.iter().map(|c| c.tag).collect();
            assert_eq!(told, ids.iter().copied().filter(|tag| news(tag.0)).collect::<Vec<_>>(), "{round}");
            assert!(changed.iter().all(|c| c.sample.usable_f64() == stands[c.tag.index()]));
            version = until;
        }
    }

    #[test]
    fn a_latch_leaves_a_page_at_the_first_tag_of_another_one() {
        let (t, ids) = wide();
        let mut sample = Sample::initial(None, at(0));
        let mut seen = Seen::default();
        t.latch(at(1).mono).take(ids[64], true, &mut seen, &mut sample);
        let mut latch = t.latch(at(1).mono);
        assert!(latch.take(ids[0], true, &mut Seen::default(), &mut sample));
        assert!(t.pages[0].try_lock().is_none());
        assert!(!latch.take(ids[64], true, &mut seen, &mut sample), "nothing new");
        assert!(t.pages[0].try_lock().is_some(), "what is passed over on another page keeps nobody waiting");
    }
}
