//! The driver without a wire: the same plan, the same codec and the same order of work against registers in memory, one
//! call per step of a virtual clock. For running a plant model and its control programs together, faster than time.
//!
//! What a real link adds (time-outs, reconnects, late answers) does not exist here; a refused block is Bad(refused).

use crate::address::Area;
use crate::codec::{Encoded, Places, decode, encode};
use crate::config::{DeviceConfig, PointConfig};
use crate::plan::ReadRequest;
use penstock_model::{
    BadReason, Command, Instant, LinkRecord, LinkState, Now, Outcome, OutcomeState, Sample, SampleSink, TagSample,
    Value,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Places of a device in memory. `None` and `false` mean that the device refuses.
pub trait Registers {
    /// Registers of an area.
    fn words(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<u16>>;
    /// Bits of an area.
    fn bits(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<bool>>;
    /// Writes holding registers.
    fn write_words(&mut self, start: u16, words: &[u16]) -> bool;
    /// Writes a coil.
    fn write_bit(&mut self, at: u16, on: bool) -> bool;
}

/// One device in lock-step.
pub struct Lockstep {
    config: DeviceConfig,
    requests: Vec<Vec<ReadRequest>>,
    due: Vec<Instant>,
    last: Vec<Option<Value>>,
    /// The last command of each written point, and when it is written again.
    kept: BTreeMap<usize, (Command, Option<Instant>)>,
    beat: (u16, Instant),
    report: Instant,
    answered: u64,
    refused: u64,
}

impl Lockstep {
    /// A device whose first step polls every group.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Lockstep {
        let requests = config.plan().groups;
        Lockstep {
            due: vec![Instant::default(); requests.len()],
            requests,
            last: vec![None; config.points.len()],
            kept: BTreeMap::new(),
            beat: (0, Instant::default()),
            report: Instant::default(),
            answered: 0,
            refused: 0,
            config,
        }
    }

    /// Carries out commands, then beats, then polls what is due at `now`.
    pub fn step(&mut self, device: &mut dyn Registers, commands: Vec<Command>, sink: &dyn SampleSink, now: Now) {
        for command in commands {
            self.take(command, device, sink, now);
        }
        let again: Vec<usize> =
            self.kept.iter().filter(|(_, (_, at))| at.is_some_and(|at| at <= now.mono)).map(|(i, _)| *i).collect();
        for index in again {
            self.write(index, device, sink, now);
        }
        if let Some(beat) = self.config.heartbeat
            && self.beat.1 <= now.mono
        {
            self.beat = (self.beat.0.wrapping_add(1), now.mono + beat.every);
            device.write_words(beat.address.pdu, &[self.beat.0]);
        }
        for group in 0..self.requests.len() {
            if self.due[group] <= now.mono {
                self.due[group] = now.mono + self.config.groups[group].every;
                self.poll(group, device, sink, now);
            }
        }
        if self.report <= now.mono {
            self.report = now.mono + Duration::from_secs(1);
            sink.link(self.link(now));
        }
    }

    fn poll(&mut self, group: usize, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
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
                let to = from + usize::from(point.places());
                let places = match (&words, &bits) {
                    (Some(words), _) => words.get(from..to).map(Places::Words),
                    (_, Some(bits)) => bits.get(from).copied().map(Places::Bit),
                    _ => None,
                };
                let sample = match places.ok_or(BadReason::Refused).and_then(|p| decode(point, p)) {
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
        let found = self.config.points.iter().position(|p| p.tag == command.tag && p.write.is_some());
        let Some(index) = found else {
            let why = format!("device `{}` has no writable point for this tag", self.config.name);
            tell(&command, OutcomeState::Failed(why.into()), sink, now);
            return;
        };
        if command.value.is_none() {
            self.kept.remove(&index);
            tell(&command, OutcomeState::Acknowledged, sink, now);
            return;
        }
        self.kept.insert(index, (command, None));
        self.write(index, device, sink, now);
    }

    fn write(&mut self, index: usize, device: &mut dyn Registers, sink: &dyn SampleSink, now: Now) {
        let point = &self.config.points[index];
        let Some((command, again)) = self.kept.get_mut(&index) else { return };
        *again = point.write.and_then(|w| w.repeat).map(|every| now.mono + every);
        let Some(value) = &command.value else { return };
        let state = match encode(point, value) {
            Err(e) => OutcomeState::Failed(format!("{}: {e} ({})", point.path, point.address).into()),
            Ok(encoded) if put(point, &encoded, device) => {
                tell(command, OutcomeState::Acknowledged, sink, now);
                OutcomeState::ReadBack
            }
            Ok(_) => OutcomeState::Failed(format!("{}: writing {} was refused", point.path, point.address).into()),
        };
        tell(command, state, sink, now);
    }

    fn link(&self, now: Now) -> LinkRecord {
        LinkRecord {
            device: self.config.id,
            state: LinkState::Up,
            reason: "".into(),
            at: now.utc,
            last_answer: Some(now.mono),
            answered: self.answered,
            failed: 0,
            refused: self.refused,
            reconnects: 0,
            round_trip: Duration::ZERO,
        }
    }
}

/// Writes, and true when the device then holds what was written.
fn put(point: &PointConfig, encoded: &Encoded, device: &mut dyn Registers) -> bool {
    let at = point.address.pdu;
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
