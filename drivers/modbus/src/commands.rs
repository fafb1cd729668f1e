//! The last command of each point, and what became of it.
//!
//! A device keeps one command per point, the last one: older ones are superseded before they are sent, and after a
//! reconnect the last one is asserted again, because a device that was away may have forgotten it.
//!
//! What waits goes in this order: fallbacks that the device has not confirmed, then the rest as it began to wait. After a
//! reconnect what the device never confirmed goes before what it only may have forgotten. So the first write to a device
//! that comes back is what was declared for its absence, and never a set-point of before.

use crate::codec::Encoded;
use crate::config::DeviceConfig;
use penstock_model::{Command, CommandId, Origin, OutcomeState, TagId};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// How far a kept command has come.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// To be sent.
    Pending,
    /// Sent and confirmed; being read back.
    Verifying { encoded: Encoded, next: Instant, until: Instant },
    /// Nothing to do until a newer command or a reconnect.
    Settled,
}

#[derive(Debug, Clone)]
struct Slot {
    command: Command,
    stage: Stage,
    /// False until it was sent once: only then can a newer command supersede it unsent.
    sent: bool,
    /// The device has confirmed it once.
    confirmed: bool,
    /// Its place among what waits: the least goes first.
    rank: u64,
    /// When it is written again although nothing changed.
    again: Option<Instant>,
}

impl Slot {
    /// True for a declared safe value that the device does not have yet: nothing else is written before it.
    fn is_urgent(&self) -> bool {
        !self.confirmed && matches!(self.command.origin, Origin::Fallback(_))
    }
}

/// News to be given for a command.
pub(crate) type News = (CommandId, TagId, OutcomeState);

/// A read-back that is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DueCheck {
    pub(crate) point: usize,
    pub(crate) command: Command,
    pub(crate) encoded: Encoded,
    pub(crate) until: Instant,
}

/// All kept commands of a device, by point.
pub(crate) struct Book {
    by_tag: HashMap<TagId, usize>,
    slots: HashMap<usize, Slot>,
    /// The next place among what waits.
    next_rank: u64,
    device: Arc<str>,
}

impl Book {
    /// An empty book for the written points of a device.
    pub(crate) fn new(config: &DeviceConfig) -> Book {
        let written = config.points.iter().enumerate().filter(|(_, p)| p.write.is_some());
        Book {
            by_tag: written.map(|(i, p)| (p.tag, i)).collect(),
            slots: HashMap::new(),
            next_rank: 0,
            device: config.name.clone(),
        }
    }

    /// Takes a command; the news tells what that alone already decides.
    pub(crate) fn accept(&mut self, command: Command) -> Vec<News> {
        let Some(&point) = self.by_tag.get(&command.tag) else {
            let reason = format!("device `{}` has no writable point for this tag", self.device);
            return vec![(command.id, command.tag, OutcomeState::Failed(reason.into()))];
        };
        let old = self.slots.remove(&point);
        let mut news: Vec<News> = old
            .filter(|s| s.stage == Stage::Pending && !s.sent)
            .map(|s| (s.command.id, s.command.tag, OutcomeState::Superseded))
            .into_iter()
            .collect();
        if command.value.is_some() {
            let rank = self.take_rank();
            let slot = Slot { command, stage: Stage::Pending, sent: false, confirmed: false, rank, again: None };
            self.slots.insert(point, slot);
        } else {
            // Handed back to the device: from here on nothing is written, which needs no answer from it.
            news.push((command.id, command.tag, OutcomeState::Acknowledged));
        }
        news
    }

    fn take_rank(&mut self) -> u64 {
        let rank = self.next_rank;
        self.next_rank += 1;
        rank
    }

    /// The point whose command is sent next.
    pub(crate) fn first_pending(&self) -> Option<usize> {
        let pending = self.slots.iter().filter(|(_, s)| s.stage == Stage::Pending);
        pending.min_by_key(|(_, s)| (!s.is_urgent(), s.rank)).map(|(point, _)| *point)
    }

    /// When the next read-back is due.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        let next = |slot: &Slot| match &slot.stage {
            Stage::Verifying { next, .. } => Some(*next),
            _ => None,
        };
        self.slots.values().filter_map(next).min()
    }

    /// The command to send for a point, and whether it is sent for the first time. It counts as sent from here on, and
    /// is due again at `again`.
    pub(crate) fn send(&mut self, point: usize, again: Option<Instant>) -> Option<(Command, bool)> {
        let slot = self.slots.get_mut(&point).filter(|s| s.stage == Stage::Pending)?;
        slot.again = again;
        let first = !slot.sent;
        slot.sent = true;
        slot.stage = Stage::Settled;
        Some((slot.command.clone(), first))
    }

    /// The device has confirmed the command.
    pub(crate) fn confirm(&mut self, point: usize, id: CommandId) {
        if let Some(slot) = self.slots.get_mut(&point).filter(|s| s.command.id == id) {
            slot.confirmed = true;
        }
    }

    /// The command is confirmed but does not read back yet.
    pub(crate) fn verify(&mut self, point: usize, id: CommandId, encoded: Encoded, next: Instant, until: Instant) {
        if let Some(slot) = self.slots.get_mut(&point).filter(|s| s.command.id == id) {
            slot.stage = Stage::Verifying { encoded, next, until };
        }
    }

    /// The command needs nothing more for now.
    pub(crate) fn settle(&mut self, point: usize, id: CommandId) {
        if let Some(slot) = self.slots.get_mut(&point).filter(|s| s.command.id == id) {
            slot.stage = Stage::Settled;
        }
    }

    /// Read-backs due at `now`.
    pub(crate) fn due(&self, now: Instant) -> Vec<DueCheck> {
        let check = |(point, slot): (&usize, &Slot)| match &slot.stage {
            Stage::Verifying { encoded, next, until } if *next <= now => {
                Some(DueCheck { point: *point, command: slot.command.clone(), encoded: encoded.clone(), until: *until })
            }
            _ => None,
        };
        let mut out: Vec<DueCheck> = self.slots.iter().filter_map(check).collect();
        out.sort_by_key(|c| c.command.id);
        out
    }

    /// Makes what is due again pending, behind what waits already.
    pub(crate) fn repeat(&mut self, now: Instant) {
        let due = |s: &Slot| s.stage == Stage::Settled && s.again.is_some_and(|again| again <= now);
        self.wait_again(due, |s| s.command.id);
    }

    /// When the next read-back or repeated write is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let next = |slot: &Slot| match &slot.stage {
            Stage::Verifying { next, .. } => Some(*next),
            Stage::Settled => slot.again,
            Stage::Pending => None,
        };
        self.slots.values().filter_map(next).min()
    }

    /// The link is new: everything kept is to be sent again, first what the device never confirmed.
    pub(crate) fn reassert(&mut self) {
        self.wait_again(|_| true, |s| (s.confirmed, s.command.id));
    }

    /// Makes commands pending, in this order.
    fn wait_again<K: Ord>(&mut self, which: impl Fn(&Slot) -> bool, order: impl Fn(&Slot) -> K) {
        let mut again: Vec<&mut Slot> = self.slots.values_mut().filter(|s| which(s)).collect();
        again.sort_by_key(|s| order(s));
        for slot in again {
            slot.stage = Stage::Pending;
            slot.rank = self.next_rank;
            self.next_rank += 1;
        }
    }

    /// What was never sent and now never will be.
    pub(crate) fn unsent(&self) -> Vec<Command> {
        let mut out: Vec<Command> = self.slots.values().filter(|s| !s.sent).map(|s| s.command.clone()).collect();
        out.sort_by_key(|c| c.id);
        out
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
