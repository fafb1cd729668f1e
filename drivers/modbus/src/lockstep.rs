//! The driver without a wire: the same plan, the same codec and the same order of work against registers in memory, one
//! call per step of a virtual clock. For running a plant model and its control programs together, faster than time.
//!
//! A refused block is Bad(refused). A link that is lost, because the device says so by [`Registers::reach`], follows the
//! rules of the wire: see [`VirtualLink`]. Late answers that still come in time do not exist here.

use crate::address::Area;
use crate::codec::{Encoded, Places, decode};
use crate::config::{DeviceConfig, PointConfig};
use crate::plan::{Plan, ReadRequest};
use crate::sunspec::chain::{Reply, Step, Walk};
use crate::sunspec::point::{forget, place};
use crate::sunspec::{AGAIN, RECHECK};
use penstock_model::{
    BadReason, Command, Instant, LinkRecord, LinkState, LinkTurn, Now, Outcome, OutcomeState, Reach, Sample,
    SampleSink, TagSample, Value, VirtualLink,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Places of a device in memory. `None` and `false` mean that the device refuses.
pub trait Registers {
    /// What becomes of requests at this moment.
    fn reach(&self) -> Reach {
        Reach::Answers
    }
    /// Registers of an area.
    fn words(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<u16>>;
    /// Bits of an area.
    fn bits(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<bool>>;
    /// Writes holding registers.
    fn write_words(&mut self, start: u16, words: &[u16]) -> bool;
    /// Writes a coil.
    fn write_bit(&mut self, at: u16, on: bool) -> bool;
}

/// The last command of a point.
struct Kept {
    command: Command,
    /// When it is written again.
    again: Option<Instant>,
    /// False until it was written once: only then can a newer command supersede it unsent.
    sent: bool,
}

/// One device in lock-step.
pub struct Lockstep {
    config: DeviceConfig,
    requests: Vec<Vec<ReadRequest>>,
    due: Vec<Instant>,
    last: Vec<Option<Value>>,
    kept: BTreeMap<usize, Kept>,
    line: VirtualLink,
    last_answer: Option<Instant>,
    beat: (u16, Instant),
    report: Instant,
    reported: LinkState,
    answered: u64,
    refused: u64,
    /// Where points are found by model: when the chain is looked through next, and what the device does not have.
    chain_due: Option<Instant>,
    missing: Vec<usize>,
}

impl Lockstep {
    /// A device whose first step polls every group.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Lockstep {
        let requests = Plan::new(&config).groups;
        let fastest = config.groups.iter().map(|g| g.every).min().unwrap_or(config.timeout);
        Lockstep {
            due: vec![Instant::default(); requests.len()],
            requests,
            last: vec![None; config.points.len()],
            kept: BTreeMap::new(),
            line: VirtualLink::new(config.timeout, fastest),
            last_answer: None,
            beat: (0, Instant::default()),
            report: Instant::default(),
            reported: LinkState::Connecting,
            answered: 0,
            refused: 0,
            chain_due: config.uses_sunspec().then(Instant::default),
            missing: Vec::new(),
            config,
        }
    }

    /// Carries out commands, then beats, then polls what is due at `now`; where the link is lost, keeps the commands and
    /// tries it again by the rules of the wire.
    pub fn step(&mut self, device: &mut dyn Registers, commands: Vec<Command>, sink: &dyn SampleSink, now: Now) {
        let wants = !commands.is_empty() || self.something_due(now.mono);
        let turn = self.line.turn(device.reach(), wants, now.mono);
        if turn.lost {
            sink.samples(&self.lost(now));
        }
        if turn.ready {
            self.work(device, commands, turn, sink, now);
        } else {
            for command in commands {
                self.keep(command, sink, now);
            }
            if turn.unanswered {
                self.write_unanswered(device, sink, now);
            }
        }
        if self.report <= now.mono || self.reported != self.line.state() {
            self.reported = self.line.state();
            self.report = now.mono + Duration::from_secs(1);
            sink.link(self.link(now));
        }
    }

    fn something_due(&self, now: Instant) -> bool {
        self.due.iter().any(|due| *due <= now)
            || self.config.heartbeat.is_some() && self.beat.1 <= now
            || self.chain_due.is_some_and(|due| due <= now)
            || self.kept.values().any(|kept| !kept.sent || kept.again.is_some_and(|at| at <= now))
    }

    /// A turn on a link that answers.
    fn work(
        &mut self,
        device: &mut dyn Registers,
        commands: Vec<Command>,
        turn: LinkTurn,
        sink: &dyn SampleSink,
        now: Now,
    ) {
        self.last_answer = Some(now.mono);
        if turn.again {
            // A device that was away may have forgotten: everything is read and asserted again.
            self.due.fill(now.mono);
            self.kept.values_mut().for_each(|kept| kept.again = Some(now.mono));
            self.chain_due = self.chain_due.map(|_| now.mono);
        }
        if self.chain_due.is_some_and(|due| due <= now.mono) {
            self.discover(device, now.mono);
        }
        for command in commands {
            self.take(command, device, sink, now);
        }
        let due = |kept: &Kept| !kept.sent || kept.again.is_some_and(|at| at <= now.mono);
        let again: Vec<usize> = self.kept.iter().filter(|(_, kept)| due(kept)).map(|(i, _)| *i).collect();
        for index in again {
            self.write(index, device, sink, now);
        }
        if let Some(beat) = self.config.heartbeat
            && self.beat.1 <= now.mono
        {
            self.beat.1 = now.mono + beat.every;
            if beat.beats.is_met(sink.liveness(self.config.id, now.mono)) {
                self.beat.0 = self.beat.0.wrapping_add(1);
                if beat.placed {
                    device.write_words(beat.address.pdu, &beat.words(self.beat.0));
                }
            }
        }
        for group in 0..self.requests.len() {
            if self.due[group] <= now.mono {
                self.due[group] = now.mono + self.config.groups[group].every;
                self.poll(group, device, sink, now);
            }
        }
    }

    /// The first request of a turn that gets no answer: a command, else the heartbeat, else a poll, which leaves no trace.
    fn write_unanswered(&mut self, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
        let first = self.kept.iter_mut().min_by_key(|(_, kept)| kept.command.id);
        if let Some((index, kept)) = first {
            let point = &self.config.points[*index];
            if let Some(Ok(encoded)) = kept.command.value.as_ref().map(|value| encoded(point, value, device)) {
                kept.sent = true;
                // Whether the device took it is not heard of.
                let _ = put(point, &encoded, device);
            }
        } else if let Some(beat) = self.config.heartbeat
            && beat.beats.is_met(sink.liveness(self.config.id, now.mono))
        {
            self.beat = (self.beat.0.wrapping_add(1), now.mono + beat.every);
            if beat.placed {
                device.write_words(beat.address.pdu, &beat.words(self.beat.0));
            }
        }
    }

    /// Looks through the chain of models, all at once: here a question takes no time.
    fn discover(&mut self, device: &mut dyn Registers, now: Instant) {
        let mut walk = Walk::new(&self.config.sunspec.bases());
        let mut step = walk.step();
        while let Step::Ask(at, count) = step {
            let words = device.words(Area::Holding, at, count);
            step = walk.take(&words.as_ref().map_or(Reply::Refused("refused"), |words| Reply::Words(words)));
        }
        self.missing = match step {
            Step::Done(chain) => place(&mut self.config, &chain).into_iter().map(|(index, _)| index).collect(),
            _ => {
                forget(&mut self.config);
                (0..self.config.points.len()).filter(|i| self.config.points[*i].sunspec.is_some()).collect()
            }
        };
        self.chain_due = Some(now + if self.missing.is_empty() { RECHECK } else { AGAIN });
        self.requests = Plan::new(&self.config).groups;
    }

    /// Every tag that is read, Bad(link) with its last value.
    fn lost(&self, now: Now) -> Vec<TagSample> {
        let read = self.config.points.iter().zip(&self.last).filter(|(point, _)| point.write.is_none());
        read.map(|(point, last)| TagSample { tag: point.tag, sample: Sample::bad(BadReason::Link, last.clone(), now) })
            .collect()
    }

    fn poll(&mut self, group: usize, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
        let absent = |i: &&usize| self.config.points[**i].group == group && self.config.points[**i].write.is_none();
        let absent = self.missing.iter().filter(absent).map(|i| TagSample {
            tag: self.config.points[*i].tag,
            sample: Sample::bad(BadReason::Configuration, self.last[*i].clone(), now),
        });
        let absent: Vec<TagSample> = absent.collect();
        if !absent.is_empty() {
            sink.samples(&absent);
        }
        for request in &self.requests[group] {
            let (words, bits) = if request.area.is_register() {
                (device.words(request.area, request.start, request.count), None)
            } else {
                (None, device.bits(request.area, request.start, request.count))
            };
            if words.is_some() || bits.is_some() {
                self.answered += 1;
            } else {
                self.refused += 1;
            }
            let mut batch = Vec::with_capacity(request.points.len());
            for &index in &request.points {
                let point = &self.config.points[index];
                let from = usize::from(point.address.pdu - request.start);
                let decoded = match (&words, &bits) {
                    (Some(words), _) => point.value_in(words, request.start),
                    (_, Some(bits)) => {
                        let place = bits.get(from).copied().map(Places::Bit);
                        place.ok_or(BadReason::Refused).and_then(|place| decode(point, place))
                    }
                    _ => Err(BadReason::Refused),
                };
                if decoded == Err(BadReason::Configuration) {
                    self.chain_due = Some(now.mono);
                }
                let sample = match decoded {
                    Ok((value, quality)) => {
                        self.last[index] = Some(value.clone());
                        Sample::with_quality(value, quality, now)
                    }
                    Err(reason) => Sample::bad(reason, self.last[index].clone(), now),
                };
                batch.push(TagSample { tag: point.tag, sample });
            }
            sink.samples(&batch);
        }
    }

    fn take(&mut self, command: Command, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
        if let Some(index) = self.keep(command, sink, now) {
            self.write(index, device, sink, now);
        }
    }

    /// Takes a command as the last one of its point; the point where there is something to write.
    fn keep(&mut self, command: Command, sink: &dyn SampleSink, now: Now) -> Option<usize> {
        let found = self.config.points.iter().position(|p| p.tag == command.tag && p.write.is_some());
        let Some(index) = found else {
            let why = format!("device `{}` has no writable point for this tag", self.config.name);
            tell(&command, OutcomeState::Failed(why.into()), sink, now);
            return None;
        };
        if let Some(old) = self.kept.remove(&index).filter(|old| !old.sent) {
            tell(&old.command, OutcomeState::Superseded, sink, now);
        }
        if command.value.is_none() {
            tell(&command, OutcomeState::Acknowledged, sink, now);
            return None;
        }
        self.kept.insert(index, Kept { command, again: None, sent: false });
        Some(index)
    }

    fn write(&mut self, index: usize, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
        let point = &self.config.points[index];
        let Some(Kept { command, again, sent }) = self.kept.get_mut(&index) else { return };
        *again = point.write.and_then(|w| w.repeat).map(|every| now.mono + every);
        *sent = true;
        let Some(value) = &command.value else { return };
        let state = match encoded(point, value, device) {
            Err(e) => OutcomeState::Failed(format!("{}: {e} ({})", point.path, point.place()).into()),
            Ok(encoded) => {
                tell(command, OutcomeState::Sent, sink, now);
                if put(point, &encoded, device) {
                    tell(command, OutcomeState::Acknowledged, sink, now);
                    OutcomeState::ReadBack
                } else {
                    OutcomeState::Failed(format!("{}: writing {} was refused", point.path, point.address).into())
                }
            }
        };
        tell(command, state, sink, now);
    }

    fn link(&self, now: Now) -> LinkRecord {
        LinkRecord {
            device: self.config.id,
            state: self.line.state(),
            reason: self.line.reason.as_str().into(),
            at: now.utc,
            last_answer: self.last_answer,
            answered: self.answered,
            failed: self.line.failed,
            refused: self.refused,
            reconnects: self.line.reconnects,
            round_trip: Duration::ZERO,
            retries: 0,
            demoted: false,
            quarantined: 0,
            note: "".into(),
        }
    }
}

/// What to write for a value, with the scale factor as the device has it now.
fn encoded(point: &PointConfig, value: &Value, device: &mut dyn Registers) -> Result<Encoded, String> {
    if !point.is_placed() {
        return Err("the device does not have it".to_owned());
    }
    let factor = point.sunspec.as_ref().and_then(|s| s.placed.as_ref()).and_then(|placed| placed.factor());
    let factor = factor.and_then(|at| device.words(Area::Holding, at, 1)).and_then(|words| words.first().copied());
    point.encoded(value, factor)
}

/// Writes, and true when the device then holds what was written.
fn put(point: &PointConfig, encoded: &Encoded, device: &mut dyn Registers) -> bool {
    let at = point.address.pdu;
    let placed = point.sunspec.as_ref().and_then(|sunspec| sunspec.placed.as_ref());
    let before = placed.map_or(&[][..], |placed| placed.before());
    let after = placed.map_or(&[][..], |placed| placed.after());
    before.iter().all(|(at, words)| device.write_words(*at, words))
        && put_alone(at, point, encoded, device)
        && after.iter().all(|(at, words)| device.write_words(*at, words))
}

fn put_alone(at: u16, point: &PointConfig, encoded: &Encoded, device: &mut dyn Registers) -> bool {
    match encoded {
        Encoded::Bit(on) => device.write_bit(at, *on) && device.bits(point.address.area, at, 1) == Some(vec![*on]),
        Encoded::Words(words) => {
            let count = u16::try_from(words.len()).unwrap_or(u16::MAX);
            device.write_words(at, words) && device.words(point.address.area, at, count).as_ref() == Some(words)
        }
        Encoded::Part { mask, bits } => {
            let Some(old) = device.words(point.address.area, at, 1).and_then(|w| w.first().copied()) else {
                return false;
            };
            device.write_words(at, &[(old & !mask) | bits])
        }
    }
}

fn tell(command: &Command, state: OutcomeState, sink: &dyn SampleSink, now: Now) {
    sink.outcome(Outcome { id: command.id, tag: command.tag, state, at: now.utc });
}

#[cfg(test)]
#[path = "lockstep_tests.rs"]
mod tests;
