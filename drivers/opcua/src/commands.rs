//! The last command of each point, and what became of it.
//!
//! A device keeps one command per point, the last one: older ones are superseded before they are sent, and after a
//! reconnect the last one is asserted again, because a device that was away may have forgotten it.
//!
//! What waits goes in this order: fallbacks that the device has not confirmed, then the rest as it began to wait. After a
//! reconnect what the device never confirmed goes before what it only may have forgotten. So the first write to a server
//! that comes back is what was declared for its absence, and never a set-point of before.

use crate::config::DeviceConfig;
use opcua::types::Variant;
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
    Verifying { written: Variant, next: Instant, until: Instant },
    /// Nothing to do until a newer command or a reconnect.
    Settled,
}

#[derive(Debug, Clone)]
struct Slot {
    command: Command,
    stage: Stage,
    /// False until it was sent once: only then can a newer command supersede it unsent.
    sent: bool,
    /// The server has confirmed it once.
    confirmed: bool,
    /// Its place among what waits: the least goes first.
    rank: u64,
}

impl Slot {
    /// True for a declared safe value that the server does not have yet: nothing else is written before it.
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
    pub(crate) written: Variant,
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
            let rank = self.next_rank;
            self.next_rank += 1;
            self.slots.insert(point, Slot { command, stage: Stage::Pending, sent: false, confirmed: false, rank });
        } else {
            // Handed back to the device: from here on nothing is written, which needs no answer from it.
            news.push((command.id, command.tag, OutcomeState::Acknowledged));
        }
        news
    }

    /// True while something waits to be sent.
    pub(crate) fn has_pending(&self) -> bool {
        self.slots.values().any(|s| s.stage == Stage::Pending)
    }

    /// What is sent next, at most so many, in order.
    pub(crate) fn pending(&self, at_most: usize) -> Vec<(usize, Command)> {
        let mut out: Vec<(usize, &Slot)> =
            self.slots.iter().filter(|(_, s)| s.stage == Stage::Pending).map(|(point, s)| (*point, s)).collect();
        out.sort_unstable_by_key(|(_, s)| (!s.is_urgent(), s.rank));
        out.into_iter().take(at_most).map(|(point, s)| (point, s.command.clone())).collect()
    }

    /// The pending command of a point counts as sent from here on. True when it is sent for the first time.
    pub(crate) fn send(&mut self, point: usize) -> bool {
        let Some(slot) = self.slots.get_mut(&point).filter(|s| s.stage == Stage::Pending) else { return false };
        slot.stage = Stage::Settled;
        !std::mem::replace(&mut slot.sent, true)
    }

    /// The server has confirmed the command.
    pub(crate) fn confirm(&mut self, point: usize, id: CommandId) {
        if let Some(slot) = self.slots.get_mut(&point).filter(|s| s.command.id == id) {
            slot.confirmed = true;
        }
    }

    /// The command is confirmed but does not read back yet.
    pub(crate) fn verify(&mut self, point: usize, id: CommandId, written: Variant, next: Instant, until: Instant) {
        if let Some(slot) = self.slots.get_mut(&point).filter(|s| s.command.id == id) {
            slot.stage = Stage::Verifying { written, next, until };
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
            Stage::Verifying { written, next, until } if *next <= now => {
                Some(DueCheck { point: *point, command: slot.command.clone(), written: written.clone(), until: *until })
            }
            _ => None,
        };
        let mut out: Vec<DueCheck> = self.slots.iter().filter_map(check).collect();
        out.sort_by_key(|c| c.command.id);
        out
    }

    /// When the next read-back is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let next = |slot: &Slot| match &slot.stage {
            Stage::Verifying { next, .. } => Some(*next),
            _ => None,
        };
        self.slots.values().filter_map(next).min()
    }

    /// The link is new: everything kept is to be sent again, first what the server never confirmed.
    pub(crate) fn reassert(&mut self) {
        let mut all: Vec<&mut Slot> = self.slots.values_mut().collect();
        all.sort_unstable_by_key(|s| (s.confirmed, s.command.id));
        for slot in all {
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
