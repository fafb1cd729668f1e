// long: the way out and the way in of every field stand in one file, so that they are changed together.
//! Journals of scans as bytes. `docs/recorder-format.md` describes every field.
//!
//! The way out and the way in of every field stand in this one file, long as it is, so that they are changed together. What is read comes from a disk and is not trusted: every length is
//! held against what is there, and what does not fit ends the reading of its block with [`Torn`].

use penstock_engine::{
    BlockKind, BlockMemory, BlockState, Field, Grant, HeldClaim, Hindrance, Imposed, Imposition, Issued, Keyframe,
    Latched, ObjectHold, OutputMemory, ProgramState, SavedProgram, ScanJournal, TimeStop, Wished, Written,
};
use penstock_model::{
    Cause, Claim, Command, CommandId, DeviceId, FallbackCause, Instant, Mode, Now, Origin, Outcome, OutcomeState,
    Priority, Quality, Sample, TagId, TagSample, TaskId, Text, Utc, Value, Wish,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are no journal of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes of a block are no journals of this version")]
pub struct Torn;

type Read<T> = Result<T, Torn>;

/// Bits beside the mode of a hold: its end follows; what hinders the output follows. Records of before them have neither.
const HOLD_ENDS: u8 = 0x40;
const HOLD_HINDERED: u8 = 0x80;

/// Deepest nesting of a block's memory that is read: parts within parts.
const DEPTH_MAX: u32 = 4;

/// Samples and grants as they were told last: what stays the same takes no room. Empty at every keyframe.
#[derive(Debug, Default)]
pub struct Memory {
    samples: HashMap<TagId, (Option<Value>, Quality)>,
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Out(pub Vec<u8>);

impl Out {
    fn byte(&mut self, b: u8) {
        self.0.push(b);
    }

    fn count(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n & 0x7F) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push((n & 0x7F) as u8);
    }

    #[expect(clippy::cast_sign_loss, reason = "the zigzag of a signed number")]
    fn signed(&mut self, n: i64) {
        self.count(((n << 1) ^ (n >> 63)) as u64);
    }

    fn len(&mut self, n: usize) {
        self.count(n as u64);
    }

    fn float(&mut self, x: f64) {
        self.0.extend_from_slice(&x.to_bits().to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn maybe<T: ?Sized>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Out, &T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, list: &[T], write: impl Fn(&mut Out, &T)) {
        self.len(list.len());
        for item in list {
            write(self, item);
        }
    }

    fn span(&mut self, time: Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn value(&mut self, value: Option<&Value>) {
        match value {
            None => self.byte(0),
            Some(Value::Bool(on)) => self.byte(1 + u8::from(*on)),
            Some(Value::Int(n)) => {
                self.byte(3);
                self.signed(*n);
            }
            Some(Value::Float(x)) => {
                self.byte(4);
                self.float(*x);
            }
            Some(Value::Text(t)) => {
                self.byte(5);
                self.text(t);
            }
        }
    }

    fn now(&mut self, now: Now) {
        self.count(now.mono.0);
        self.signed(now.utc.0);
    }

    fn origin(&mut self, origin: &Origin) {
        match origin {
            Origin::Program(n) => {
                self.byte(0);
                self.text(n);
            }
            Origin::User(n) => {
                self.byte(1);
                self.text(n);
            }
            Origin::Remote(n) => {
                self.byte(2);
                self.text(n);
            }
            Origin::Fallback(cause) => {
                self.byte(3);
                self.byte(cause_code(*cause));
            }
            Origin::Retained => self.byte(4),
            Origin::Off(n) => {
                self.byte(5);
                self.text(n);
            }
            Origin::Local(n) => {
                self.byte(6);
                self.text(n);
            }
            Origin::Interlock(n) => {
                self.byte(7);
                self.text(n);
            }
            Origin::Lock(n) => {
                self.byte(8);
                self.text(n);
            }
        }
    }

    fn wish(&mut self, wish: &Wish) {
        match wish {
            Wish::Value(v) => {
                self.byte(0);
                self.value(Some(v));
            }
            Wish::Band(low, high) => {
                self.byte(1);
                self.float(*low);
                self.float(*high);
            }
            Wish::Release => self.byte(2),
        }
    }

    fn command(&mut self, c: &Command) {
        self.count(c.id.0);
        self.count(u64::from(c.tag.0));
        self.count(u64::from(c.device.0));
        self.value(c.value.as_ref());
        self.origin(&c.origin);
        self.signed(c.granted.0);
    }

    fn outcome(&mut self, o: &Outcome) {
        self.count(o.id.0);
        self.count(u64::from(o.tag.0));
        match &o.state {
            OutcomeState::Sent => self.byte(0),
            OutcomeState::Acknowledged => self.byte(1),
            OutcomeState::ReadBack => self.byte(2),
            OutcomeState::Failed(why) => {
                self.byte(3);
                self.text(why);
            }
            OutcomeState::Superseded => self.byte(4),
        }
        self.signed(o.at.0);
    }

    fn memory(&mut self, memory: &BlockMemory) {
        self.list(memory, |out, (name, field)| {
            out.text(name);
            match field {
                Field::Nothing => out.byte(0),
                Field::Switch(on) => out.byte(1 + u8::from(*on)),
                Field::Number(x) => {
                    out.byte(3);
                    out.float(*x);
                }
                Field::Count(n) => {
                    out.byte(4);
                    out.count(*n);
                }
                Field::Word(word) => {
                    out.byte(5);
                    out.text(word);
                }
                Field::Numbers(list) => {
                    out.byte(6);
                    out.list(list, |out, x| out.float(*x));
                }
                Field::Parts(parts) => {
                    out.byte(7);
                    out.list(parts, Out::memory);
                }
            }
        });
    }

    fn program(&mut self, p: &SavedProgram) {
        self.text(&p.name);
        self.text(&p.script);
        self.list(&p.state.blocks, |out, b| {
            out.text(&b.name);
            out.text(b.kind.as_str());
            out.memory(&b.memory);
        });
        self.list(&p.state.states, |out, (name, value)| {
            out.text(name);
            out.value(Some(value));
        });
        self.byte(u8::from(p.state.first));
        self.maybe(p.state.last.as_ref(), |out, at| out.count(at.0));
    }

    fn held_claim(&mut self, c: &HeldClaim) {
        self.wish(&c.wish);
        self.origin(&c.origin);
        self.byte(priority_code(c.priority));
        self.maybe(c.expires.as_ref(), |out, at| out.count(at.0));
    }

    fn hold(&mut self, hold: &ObjectHold) {
        let hindered = hold.interlock.is_some() || hold.blocked.is_some();
        let bits = if hold.until.is_some() { HOLD_ENDS } else { 0 } | if hindered { HOLD_HINDERED } else { 0 };
        self.byte(mode_code(hold.mode) | bits);
        match &hold.imposed {
            Imposed::Nothing => self.byte(0),
            Imposed::Value(value, origin, priority) => {
                self.byte(1);
                self.value(Some(value));
                self.origin(origin);
                self.byte(priority_code(*priority));
            }
            Imposed::Stand => self.byte(2),
            Imposed::HandedBack(origin, shown) => {
                self.byte(3);
                self.origin(origin);
                self.value(shown.as_ref());
            }
        }
        self.value(hold.permit_off.as_ref());
        self.value(hold.tracked.as_ref());
        if let Some(until) = hold.until {
            self.signed(until.0);
        }
        if hindered {
            self.maybe(hold.interlock.as_deref(), Out::hindrance);
            self.maybe(hold.blocked.as_deref(), Out::hindrance);
        }
    }

    fn hindrance(&mut self, h: &Hindrance) {
        [&*h.text.zh, &*h.text.en, &*h.when].iter().for_each(|text| self.text(text));
        // Of an interlock that had latched before a restart nothing more is known.
        let tag = (h.cause.tag != TagId(u32::MAX)).then_some(&h.cause.tag);
        self.maybe(tag, |out, tag| out.count(u64::from(tag.0)));
        self.value(h.cause.value.as_ref());
        self.byte(h.cause.quality.code());
        self.text(&h.cause.text);
    }

    fn imposition(&mut self, i: &Imposition) {
        self.count(u64::from(i.tag.0));
        self.list(&i.claims, Out::held_claim);
        self.hold(&i.hold);
    }

    fn output(&mut self, o: &OutputMemory) {
        self.count(u64::from(o.tag.0));
        self.list(&o.claims, Out::held_claim);
        self.maybe(o.base.as_ref(), |out, (value, origin, now)| {
            out.value(Some(value));
            out.origin(origin);
            out.now(*now);
        });
        self.value(o.program_wish.as_ref());
        match &o.wished {
            Wished::Nobody => self.byte(0),
            Wished::Value(value, quality) => {
                self.byte(1);
                self.value(Some(value));
                self.byte(quality.code());
            }
            Wished::Keep(quality) => {
                self.byte(2);
                self.byte(quality.code());
            }
        }
        self.hold(&o.hold);
        self.grant(&o.stands);
        self.maybe(o.changed_at.as_ref(), |out, at| out.count(at.0));
        self.span(o.stood_before);
        self.count(o.stands_since.0);
        self.count(o.stepped_at.0);
        self.value(o.commanded.as_ref());
        self.maybe(o.last_command.as_deref(), Out::command);
        self.maybe(o.last_outcome.as_ref(), Out::outcome);
        self.count(u64::from(o.failures));
        self.maybe(o.retry_at.as_ref(), |out, at| out.count(at.0));
    }

    fn grant(&mut self, g: &Grant) {
        self.value(g.granted.as_ref());
        self.maybe(g.position.as_ref(), |out, x| out.float(*x));
        self.maybe(g.holder.as_ref(), |out, (origin, priority)| {
            out.origin(origin);
            out.byte(priority_code(*priority));
        });
        self.value(g.wished.as_ref());
        self.maybe(g.bound_by.as_deref(), Out::text);
        self.maybe(g.fallback.as_ref(), |out, cause| out.byte(cause_code(*cause)));
        self.maybe(g.cause.as_ref(), |out, (cause, since)| {
            out.byte(cause_code(*cause));
            out.count(since.0);
        });
        self.byte(g.quality.code());
    }

    fn keyframe(&mut self, key: &Keyframe, now: Now) {
        self.list(&key.programs, Out::program);
        self.list(&key.outputs, Out::output);
        self.list(&key.image, |out, latched| {
            out.count(u64::from(latched.tag.0));
            out.value(latched.sample.value.as_ref());
            out.byte(latched.sample.quality.code());
            out.times(&latched.sample, now);
            out.count(latched.moved.0);
        });
        self.maybe(key.fault.as_ref(), |out, (cause, message)| {
            out.byte(cause_code(*cause));
            out.text(message);
        });
    }

    /// As they lie before the scan: small numbers.
    fn times(&mut self, sample: &Sample, now: Now) {
        self.signed(now.utc.0.wrapping_sub(sample.source_time.0));
        self.signed(before(now.mono, sample.received));
    }

    fn samples(&mut self, samples: &[TagSample], now: Now, memory: &mut Memory) {
        self.len(samples.len());
        let (mut last_tag, mut last_times) = (0_i64, None);
        for TagSample { tag, sample } in samples {
            self.signed(i64::from(tag.0) - last_tag);
            last_tag = i64::from(tag.0);
            let known = memory.samples.get(tag);
            let same_value = known.is_some_and(|(value, _)| same(value.as_ref(), sample.value.as_ref()));
            let same_quality = known.is_some_and(|(_, quality)| *quality == sample.quality);
            let times = (sample.source_time, sample.received);
            let same_times = last_times == Some(times);
            last_times = Some(times);
            self.byte(u8::from(same_value) | u8::from(same_quality) << 1 | u8::from(same_times) << 2);
            if !same_value {
                self.value(sample.value.as_ref());
            }
            if !same_quality {
                self.byte(sample.quality.code());
            }
            if !same_times {
                self.times(sample, now);
            }
            memory.samples.insert(*tag, (sample.value.clone(), sample.quality));
        }
    }

    /// One journal. A keyframe empties `memory`.
    pub fn journal(&mut self, j: &ScanJournal, memory: &mut Memory) {
        self.count(j.scan);
        self.count(u64::from(j.changes));
        self.now(j.now);
        self.span(j.jitter);
        self.count(u64::from(j.missed_now));
        self.byte(u8::from(j.reset));
        self.list(&j.links_down, |out, d| out.count(u64::from(d.0)));
        if j.key.is_some() {
            *memory = Memory::default();
        }
        self.maybe(j.key.as_deref(), |out, key| out.keyframe(key, j.now));
        self.samples(&j.samples, j.now, memory);
        self.list(&j.claims, |out, c| {
            out.count(u64::from(c.tag.0));
            out.wish(&c.wish);
            out.origin(&c.origin);
            out.byte(priority_code(c.priority));
            out.maybe(c.lease.as_ref(), |out, lease| out.span(*lease));
        });
        self.list(&j.impositions, Out::imposition);
        self.list(&j.outcomes, Out::outcome);
        self.maybe(j.stop.as_ref(), |out, stop| {
            out.maybe(stop.program.as_deref(), Out::text);
            out.text(&stop.message);
        });
        self.list(&j.written, |out, w| {
            out.count(u64::from(w.tag.0));
            out.value(w.value.as_ref());
            out.byte(w.quality.code());
            // A wish that is granted as it is takes one byte.
            let granted = w.wish.is_some() && same(w.wish.as_ref(), w.value.as_ref());
            out.byte(u8::from(granted));
            if !granted {
                out.value(w.wish.as_ref());
            }
        });
        self.list(&j.commands, |out, c| {
            out.command(&c.command);
            out.byte(u8::from(c.refused));
        });
    }
}

/// Equal to the bit, so that a zero keeps its sign.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Float(a)), Some(Value::Float(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// `a - b`, signed.
fn before(a: Instant, b: Instant) -> i64 {
    i64::try_from(i128::from(a.0) - i128::from(b.0)).unwrap_or(i64::MAX)
}

fn cause_code(cause: FallbackCause) -> u8 {
    match cause {
        FallbackCause::BadInput => 0,
        FallbackCause::Fault => 1,
        FallbackCause::Overrun => 2,
        FallbackCause::Link => 3,
        FallbackCause::Shutdown => 4,
        FallbackCause::Crash => 5,
    }
}

fn mode_code(mode: Mode) -> u8 {
    match mode {
        Mode::Off => 0,
        Mode::Manual => 1,
        Mode::Auto => 2,
        Mode::Cascade => 3,
        Mode::Remote => 4,
        Mode::Local => 5,
    }
}

fn priority_code(priority: Priority) -> u8 {
    match priority {
        Priority::Program => 0,
        Priority::Optimiser => 1,
        Priority::Grid => 2,
        Priority::Manual => 3,
        Priority::Interlock => 4,
    }
}

/// Bytes on their way in; `tags` and `devices` are the site's for each number written.
pub struct In<'a> {
    bytes: &'a [u8],
    tags: &'a [TagId],
    devices: &'a [DeviceId],
}

impl<'a> In<'a> {
    /// To read these bytes.
    pub fn new(bytes: &'a [u8], tags: &'a [TagId], devices: &'a [DeviceId]) -> In<'a> {
        In { bytes, tags, devices }
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(Torn)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    fn switch(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Torn),
        }
    }

    fn count(&mut self) -> Read<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let part = u64::from(b & 0x7F);
            if shift == 63 && part > 1 {
                return Err(Torn);
            }
            n |= part << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Torn)
    }

    #[expect(clippy::cast_possible_wrap, reason = "the zigzag of a signed number")]
    fn signed(&mut self) -> Read<i64> {
        let n = self.count()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Read<T> {
        T::try_from(self.count()?).map_err(|_| Torn)
    }

    fn float(&mut self) -> Read<f64> {
        let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| Torn)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    fn text(&mut self) -> Read<&'a str> {
        let len = self.small()?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Torn)
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.switch()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Every item takes a byte at least, so that no length asks for more room than there are bytes.
    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let len: usize = self.small()?;
        if len > self.bytes.len() {
            return Err(Torn);
        }
        (0..len).map(|_| read(self)).collect()
    }

    fn tag(&mut self) -> Read<TagId> {
        let n: usize = self.small()?;
        self.tags.get(n).copied().ok_or(Torn)
    }

    fn device(&mut self) -> Read<DeviceId> {
        let n: usize = self.small()?;
        self.devices.get(n).copied().ok_or(Torn)
    }

    fn instant(&mut self) -> Read<Instant> {
        Ok(Instant(self.count()?))
    }

    fn span(&mut self) -> Read<Duration> {
        Ok(Duration::from_nanos(self.count()?))
    }

    fn now(&mut self) -> Read<Now> {
        Ok(Now { mono: self.instant()?, utc: Utc(self.signed()?) })
    }

    fn quality(&mut self) -> Read<Quality> {
        Quality::from_code(self.byte()?).ok_or(Torn)
    }

    fn value(&mut self) -> Read<Option<Value>> {
        Ok(match self.byte()? {
            0 => None,
            1 => Some(Value::Bool(false)),
            2 => Some(Value::Bool(true)),
            3 => Some(Value::Int(self.signed()?)),
            4 => Some(Value::Float(self.float()?)),
            5 => Some(Value::Text(self.text()?.into())),
            _ => return Err(Torn),
        })
    }

    fn some_value(&mut self) -> Read<Value> {
        self.value()?.ok_or(Torn)
    }

    fn cause(&mut self) -> Read<FallbackCause> {
        Ok(match self.byte()? {
            0 => FallbackCause::BadInput,
            1 => FallbackCause::Fault,
            2 => FallbackCause::Overrun,
            3 => FallbackCause::Link,
            4 => FallbackCause::Shutdown,
            5 => FallbackCause::Crash,
            _ => return Err(Torn),
        })
    }

    fn priority(&mut self) -> Read<Priority> {
        Ok(match self.byte()? {
            0 => Priority::Program,
            1 => Priority::Optimiser,
            2 => Priority::Grid,
            3 => Priority::Manual,
            4 => Priority::Interlock,
            _ => return Err(Torn),
        })
    }

    fn origin(&mut self) -> Read<Origin> {
        Ok(match self.byte()? {
            0 => Origin::Program(self.text()?.into()),
            1 => Origin::User(self.text()?.into()),
            2 => Origin::Remote(self.text()?.into()),
            3 => Origin::Fallback(self.cause()?),
            4 => Origin::Retained,
            5 => Origin::Off(self.text()?.into()),
            6 => Origin::Local(self.text()?.into()),
            7 => Origin::Interlock(self.text()?.into()),
            8 => Origin::Lock(self.text()?.into()),
            _ => return Err(Torn),
        })
    }

    fn wish(&mut self) -> Read<Wish> {
        Ok(match self.byte()? {
            0 => Wish::Value(self.some_value()?),
            1 => Wish::Band(self.float()?, self.float()?),
            2 => Wish::Release,
            _ => return Err(Torn),
        })
    }

    fn command(&mut self) -> Read<Command> {
        Ok(Command {
            id: CommandId(self.count()?),
            tag: self.tag()?,
            device: self.device()?,
            value: self.value()?,
            origin: self.origin()?,
            granted: Utc(self.signed()?),
        })
    }

    fn outcome(&mut self) -> Read<Outcome> {
        let (id, tag) = (CommandId(self.count()?), self.tag()?);
        let state = match self.byte()? {
            0 => OutcomeState::Sent,
            1 => OutcomeState::Acknowledged,
            2 => OutcomeState::ReadBack,
            3 => OutcomeState::Failed(self.text()?.into()),
            4 => OutcomeState::Superseded,
            _ => return Err(Torn),
        };
        Ok(Outcome { id, tag, state, at: Utc(self.signed()?) })
    }

    fn memory(&mut self, depth: u32) -> Read<BlockMemory> {
        if depth > DEPTH_MAX {
            return Err(Torn);
        }
        self.list(|from| {
            let name = Cow::Owned(from.text()?.to_owned());
            let field = match from.byte()? {
                0 => Field::Nothing,
                1 => Field::Switch(false),
                2 => Field::Switch(true),
                3 => Field::Number(from.float()?),
                4 => Field::Count(from.count()?),
                5 => Field::Word(Cow::Owned(from.text()?.to_owned())),
                6 => Field::Numbers(from.list(In::float)?),
                7 => Field::Parts(from.list(|from| from.memory(depth + 1))?),
                _ => return Err(Torn),
            };
            Ok((name, field))
        })
    }

    fn program(&mut self) -> Read<SavedProgram> {
        let (name, script) = (self.text()?.into(), self.text()?.into());
        let blocks = self.list(|from| {
            let name = from.text()?.to_owned();
            let kind = BlockKind::parse(from.text()?).ok_or(Torn)?;
            Ok(BlockState { name, kind, memory: from.memory(0)? })
        })?;
        let states = self.list(|from| Ok((from.text()?.to_owned(), from.some_value()?)))?;
        let (first, last) = (self.switch()?, self.maybe(In::instant)?);
        Ok(SavedProgram { name, script, state: ProgramState { blocks, states, first, last } })
    }

    fn held_claim(&mut self) -> Read<HeldClaim> {
        let (wish, origin, priority) = (self.wish()?, self.origin()?, self.priority()?);
        Ok(HeldClaim { wish, origin, priority, expires: self.maybe(In::instant)? })
    }

    fn hold(&mut self) -> Read<ObjectHold> {
        let bits = self.byte()?;
        let mode = Mode::ALL.get(usize::from(bits & !(HOLD_ENDS | HOLD_HINDERED))).copied().ok_or(Torn)?;
        let imposed = match self.byte()? {
            0 => Imposed::Nothing,
            1 => Imposed::Value(self.some_value()?, self.origin()?, self.priority()?),
            2 => Imposed::Stand,
            3 => Imposed::HandedBack(self.origin()?, self.value()?),
            _ => return Err(Torn),
        };
        let (permit_off, tracked) = (self.value()?, self.value()?);
        let until = if bits & HOLD_ENDS == 0 { None } else { Some(Utc(self.signed()?)) };
        let (interlock, blocked) = if bits & HOLD_HINDERED == 0 {
            (None, None)
        } else {
            (self.maybe(In::hindrance)?.map(Arc::new), self.maybe(In::hindrance)?.map(Arc::new))
        };
        Ok(ObjectHold { mode, imposed, permit_off, tracked, until, interlock, blocked })
    }

    fn hindrance(&mut self) -> Read<Hindrance> {
        let text = Text::new(self.text()?, self.text()?);
        let when = self.text()?.into();
        let tag = self.maybe(In::tag)?.unwrap_or(TagId(u32::MAX));
        let (value, quality) = (self.value()?, self.quality()?);
        Ok(Hindrance { text, when, cause: Cause { tag, value, quality, text: self.text()?.into() } })
    }

    fn imposition(&mut self) -> Read<Imposition> {
        Ok(Imposition { tag: self.tag()?, claims: self.list(In::held_claim)?, hold: self.hold()? })
    }

    fn output(&mut self) -> Read<OutputMemory> {
        Ok(OutputMemory {
            tag: self.tag()?,
            claims: self.list(In::held_claim)?,
            base: self.maybe(|from| Ok((from.some_value()?, from.origin()?, from.now()?)))?,
            program_wish: self.value()?,
            wished: match self.byte()? {
                0 => Wished::Nobody,
                1 => Wished::Value(self.some_value()?, self.quality()?),
                2 => Wished::Keep(self.quality()?),
                _ => return Err(Torn),
            },
            hold: self.hold()?,
            stands: Grant {
                granted: self.value()?,
                position: self.maybe(In::float)?,
                holder: self.maybe(|from| Ok((from.origin()?, from.priority()?)))?,
                wished: self.value()?,
                bound_by: self.maybe(|from| Ok(from.text()?.into()))?,
                fallback: self.maybe(In::cause)?,
                cause: self.maybe(|from| Ok((from.cause()?, from.instant()?)))?,
                quality: self.quality()?,
            },
            changed_at: self.maybe(In::instant)?,
            stood_before: self.span()?,
            stands_since: self.instant()?,
            stepped_at: self.instant()?,
            commanded: self.value()?,
            last_command: self.maybe(|from| Ok(Arc::new(from.command()?)))?,
            last_outcome: self.maybe(In::outcome)?,
            failures: self.small()?,
            retry_at: self.maybe(In::instant)?,
        })
    }

    fn keyframe(&mut self, now: Now) -> Read<Keyframe> {
        Ok(Keyframe {
            programs: self.list(In::program)?,
            outputs: self.list(In::output)?,
            image: self.list(|from| {
                let tag = from.tag()?;
                let (value, quality) = (from.value()?, from.quality()?);
                let (source_time, received) = from.times(now)?;
                let sample = Sample { value, quality, source_time, received };
                Ok(Latched { tag, sample, moved: from.instant()? })
            })?,
            fault: self.maybe(|from| Ok((from.cause()?, from.text()?.into())))?,
        })
    }

    fn times(&mut self, now: Now) -> Read<(Utc, Instant)> {
        let source_time = Utc(now.utc.0.wrapping_sub(self.signed()?));
        let received = i128::from(now.mono.0) - i128::from(self.signed()?);
        Ok((source_time, Instant(u64::try_from(received).map_err(|_| Torn)?)))
    }

    fn samples(&mut self, now: Now, memory: &mut Memory) -> Read<Vec<TagSample>> {
        let len: usize = self.small()?;
        if len > self.bytes.len() {
            return Err(Torn);
        }
        let mut samples = Vec::with_capacity(len);
        let (mut last_tag, mut last_times) = (0_i64, None);
        for _ in 0..len {
            last_tag = last_tag.checked_add(self.signed()?).ok_or(Torn)?;
            let place = usize::try_from(last_tag).map_err(|_| Torn)?;
            let tag = self.tags.get(place).copied().ok_or(Torn)?;
            let same = self.byte()?;
            if same > 7 {
                return Err(Torn);
            }
            let known = memory.samples.get(&tag);
            let value = if same & 1 != 0 { known.ok_or(Torn)?.0.clone() } else { self.value()? };
            let quality = if same & 2 != 0 { known.ok_or(Torn)?.1 } else { self.quality()? };
            let times = if same & 4 != 0 { last_times.ok_or(Torn)? } else { self.times(now)? };
            last_times = Some(times);
            memory.samples.insert(tag, (value.clone(), quality));
            let (source_time, received) = times;
            samples.push(TagSample { tag, sample: Sample { value, quality, source_time, received } });
        }
        Ok(samples)
    }

    /// One journal of this task. `memory` must be that of the journal before, or the journal has a keyframe.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn journal(&mut self, task: TaskId, memory: &mut Memory) -> Result<ScanJournal, Torn> {
        let scan = self.count()?;
        let changes = self.small()?;
        let now = self.now()?;
        let (jitter, missed_now, reset) = (self.span()?, self.small()?, self.switch()?);
        let links_down = self.list(In::device)?;
        let key = self.maybe(|from| from.keyframe(now))?.map(Box::new);
        if key.is_some() {
            *memory = Memory::default();
        }
        let samples = self.samples(now, memory)?;
        let claims = self.list(|from| {
            let (tag, wish, origin) = (from.tag()?, from.wish()?, from.origin()?);
            Ok(Claim { tag, wish, origin, priority: from.priority()?, lease: from.maybe(In::span)? })
        })?;
        let impositions = self.list(In::imposition)?;
        let outcomes = self.list(In::outcome)?;
        let stop = self.maybe(|from| {
            Ok(TimeStop { program: from.maybe(|from| Ok(from.text()?.into()))?, message: from.text()?.into() })
        })?;
        let written = self.list(|from| {
            let (tag, value, quality) = (from.tag()?, from.value()?, from.quality()?);
            let wish = if from.switch()? { value.clone() } else { from.value()? };
            Ok(Written { tag, value, quality, wish })
        })?;
        let commands = self.list(|from| Ok(Issued { command: Arc::new(from.command()?), refused: from.switch()? }))?;
        Ok(ScanJournal {
            task,
            scan,
            changes,
            now,
            jitter,
            missed_now,
            reset,
            links_down,
            samples,
            claims,
            impositions,
            outcomes,
            stop,
            written,
            commands,
            key,
        })
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
