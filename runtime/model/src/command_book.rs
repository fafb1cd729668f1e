//! The last command of each point of a device, and what became of it: the order in which a driver writes.
//!
//! A device keeps one command per point, the last one: older ones are superseded before they are sent, and after a
//! reconnect the last one is asserted again, because a device that was away may have forgotten it.
//!
//! What waits goes in this order: fallbacks that the device has not confirmed, then the rest as it began to wait. After a
//! reconnect what the device never confirmed goes before what it only may have forgotten. So the first write to a device
//! that comes back is what was declared for its absence, and never a set-point of before.

use crate::{Command, CommandId, Origin, OutcomeState, TagId};
use std::collections::HashMap;
use std::sync::Arc;

/// How far a kept command has come.
#[derive(Debug, Clone)]
enum Stage<W, T> {
    /// To be sent.
    Pending,
    /// Sent and confirmed; being read back.
    Verifying { written: W, next: T, until: T },
    /// Nothing to do until a newer command, a repetition or a reconnect.
    Settled,
}

#[derive(Debug, Clone)]
struct Slot<W, T> {
    command: Command,
    stage: Stage<W, T>,
    /// False until it was sent once: only then can a newer command supersede it unsent.
    sent: bool,
    /// The device has confirmed it once.
    confirmed: bool,
    /// Its place among what waits: the least goes first.
    rank: u64,
    /// When it is written again although nothing changed.
    again: Option<T>,
}

impl<W, T> Slot<W, T> {
    fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Pending)
    }

    /// True for a declared safe value that the device does not have yet: nothing else is written before it.
    fn is_urgent(&self) -> bool {
        !self.confirmed && matches!(self.command.origin, Origin::Fallback(_))
    }
}

/// News to be given for a command.
pub type CommandNews = (CommandId, TagId, OutcomeState);

/// A read-back that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueCheck<W, T> {
    /// Number of the point in its device.
    pub point: usize,
    /// What was commanded.
    pub command: Command,
    /// What went over the wire and is expected back.
    pub written: W,
    /// When the patience with it ends.
    pub until: T,
}

/// All kept commands of a device, by point. `W` is what a driver writes, `T` a time of its clock.
#[derive(Debug)]
pub struct CommandBook<W, T> {
    by_tag: HashMap<TagId, usize>,
    slots: HashMap<usize, Slot<W, T>>,
    /// The next place among what waits.
    next_rank: u64,
    device: Arc<str>,
}

impl<W: Clone, T: Copy + Ord> CommandBook<W, T> {
    /// An empty book of a device by name, for the numbers of its written points with their tags.
    pub fn new(device: Arc<str>, written: impl IntoIterator<Item = (usize, TagId)>) -> CommandBook<W, T> {
        let by_tag = written.into_iter().map(|(point, tag)| (tag, point)).collect();
        CommandBook { by_tag, slots: HashMap::new(), next_rank: 0, device }
    }

    /// Takes a command; the news tells what that alone already decides.
    pub fn accept(&mut self, command: Command) -> Vec<CommandNews> {
        let Some(&point) = self.by_tag.get(&command.tag) else {
            let reason = format!("device `{}` has no writable point for this tag", self.device);
            return vec![(command.id, command.tag, OutcomeState::Failed(reason.into()))];
        };
        let old = self.slots.remove(&point);
        let mut news: Vec<CommandNews> = old
            .filter(|s| s.is_pending() && !s.sent)
            .map(|s| (s.command.id, s.command.tag, OutcomeState::Superseded))
            .into_iter()
            .collect();
        if command.value.is_some() {
            let rank = self.next_rank;
            self.next_rank += 1;
            let slot = Slot { command, stage: Stage::Pending, sent: false, confirmed: false, rank, again: None };
            self.slots.insert(point, slot);
        } else {
            // Handed back to the device: from here on nothing is written, which needs no answer from it.
            news.push((command.id, command.tag, OutcomeState::Acknowledged));
        }
        news
    }

    /// True while something waits to be sent.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.slots.values().any(Slot::is_pending)
    }

    /// The point whose command is sent next.
    #[must_use]
    pub fn first_pending(&self) -> Option<usize> {
        let pending = self.slots.iter().filter(|(_, s)| s.is_pending());
        pending.min_by_key(|(_, s)| (!s.is_urgent(), s.rank)).map(|(point, _)| *point)
    }

    /// What is sent next, at most so many, in order.
    #[must_use]
    pub fn pending(&self, at_most: usize) -> Vec<(usize, Command)> {
        let pending = self.slots.iter().filter(|(_, s)| s.is_pending());
        let mut out: Vec<(usize, &Slot<W, T>)> = pending.map(|(point, s)| (*point, s)).collect();
        out.sort_unstable_by_key(|(_, s)| (!s.is_urgent(), s.rank));
        out.into_iter().take(at_most).map(|(point, s)| (point, s.command.clone())).collect()
    }

    /// The command to send for a point, and whether it is sent for the first time. It counts as sent from here on, and
    /// is due again at `again`. None where nothing of this point waits.
    pub fn send(&mut self, point: usize, again: Option<T>) -> Option<(Command, bool)> {
        let slot = self.slots.get_mut(&point).filter(|s| s.is_pending())?;
        slot.again = again;
        slot.stage = Stage::Settled;
        let first = !std::mem::replace(&mut slot.sent, true);
        Some((slot.command.clone(), first))
    }

    fn slot(&mut self, point: usize, id: CommandId) -> Option<&mut Slot<W, T>> {
        self.slots.get_mut(&point).filter(|s| s.command.id == id)
    }

    /// The device has confirmed the command. A command that was replaced meanwhile counts for nothing, here and below.
    pub fn confirm(&mut self, point: usize, id: CommandId) {
        if let Some(slot) = self.slot(point, id) {
            slot.confirmed = true;
        }
    }

    /// The command is confirmed but does not read back yet: it is looked at again at `next`, and given up at `until`.
    pub fn verify(&mut self, point: usize, id: CommandId, written: W, next: T, until: T) {
        if let Some(slot) = self.slot(point, id) {
            slot.stage = Stage::Verifying { written, next, until };
        }
    }

    /// The command needs nothing more for now.
    pub fn settle(&mut self, point: usize, id: CommandId) {
        if let Some(slot) = self.slot(point, id) {
            slot.stage = Stage::Settled;
        }
    }

    /// Read-backs due at `now`, in the order of their commands.
    #[must_use]
    pub fn due(&self, now: T) -> Vec<DueCheck<W, T>> {
        let check = |(point, slot): (&usize, &Slot<W, T>)| match &slot.stage {
            Stage::Verifying { written, next, until } if *next <= now => {
                Some(DueCheck { point: *point, command: slot.command.clone(), written: written.clone(), until: *until })
            }
            _ => None,
        };
        let mut out: Vec<DueCheck<W, T>> = self.slots.iter().filter_map(check).collect();
        out.sort_by_key(|c| c.command.id);
        out
    }

    /// Makes what is due again pending, behind what waits already.
    pub fn repeat(&mut self, now: T) {
        let due = |s: &Slot<W, T>| matches!(s.stage, Stage::Settled) && s.again.is_some_and(|again| again <= now);
        self.wait_again(due, |s| s.command.id);
    }

    /// When the next read-back is due.
    #[must_use]
    pub fn next_check(&self) -> Option<T> {
        let next = |slot: &Slot<W, T>| match &slot.stage {
            Stage::Verifying { next, .. } => Some(*next),
            _ => None,
        };
        self.slots.values().filter_map(next).min()
    }

    /// When the next read-back or repeated write is due.
    #[must_use]
    pub fn next_due(&self) -> Option<T> {
        let again = |slot: &Slot<W, T>| slot.again.filter(|_| matches!(slot.stage, Stage::Settled));
        self.slots.values().filter_map(again).chain(self.next_check()).min()
    }

    /// The link is new: everything kept is to be sent again, first what the device never confirmed.
    pub fn reassert(&mut self) {
        self.wait_again(|_| true, |s| (s.confirmed, s.command.id));
    }

    /// Makes commands pending, in this order.
    fn wait_again<K: Ord>(&mut self, which: impl Fn(&Slot<W, T>) -> bool, order: impl Fn(&Slot<W, T>) -> K) {
        let mut again: Vec<&mut Slot<W, T>> = self.slots.values_mut().filter(|s| which(s)).collect();
        again.sort_by_key(|s| order(s));
        for slot in again {
            slot.stage = Stage::Pending;
            slot.rank = self.next_rank;
            self.next_rank += 1;
        }
    }

    /// What was never sent and now never will be.
    #[must_use]
    pub fn unsent(&self) -> Vec<Command> {
        let mut out: Vec<Command> = self.slots.values().filter(|s| !s.sent).map(|s| s.command.clone()).collect();
        out.sort_by_key(|c| c.id);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceId, FallbackCause, Utc, Value};

    /// A book for points 0 to 3, whose tags have the same numbers; what is written is told by a word, time by a number.
    fn book() -> CommandBook<&'static str, u32> {
        CommandBook::new("plc".into(), (0..4).map(|i| (i, TagId(u32::try_from(i).unwrap()))))
    }

    fn command(id: u64, tag: u32, origin: Origin) -> Command {
        let (device, granted) = (DeviceId(0), Utc(0));
        Command { id: CommandId(id), tag: TagId(tag), device, value: Some(Value::Int(1)), origin, granted }
    }

    fn program(id: u64, tag: u32) -> Command {
        command(id, tag, Origin::Program("p".into()))
    }

    fn fallback(id: u64, tag: u32) -> Command {
        command(id, tag, Origin::Fallback(FallbackCause::Link))
    }

    /// Sends everything that waits, by a device that confirms the points listed; the order of it.
    fn send_all(book: &mut CommandBook<&'static str, u32>, again: Option<u32>, confirmed: &[usize]) -> Vec<u64> {
        let told: Vec<u64> = book.pending(9).iter().map(|(_, command)| command.id.0).collect();
        let mut sent = Vec::new();
        while let Some(point) = book.first_pending() {
            let (command, _) = book.send(point, again).unwrap();
            if confirmed.contains(&point) {
                book.confirm(point, command.id);
            }
            sent.push(command.id.0);
        }
        assert_eq!(sent, told, "one by one and all at once go in the same order");
        assert!(!book.has_pending());
        sent
    }

    const ALL: &[usize] = &[0, 1, 2, 3];

    #[test]
    fn what_waits_goes_out_as_it_came_and_a_fallback_first() {
        let mut book = book();
        for command in [program(1, 2), program(2, 0), fallback(3, 3), program(4, 1)] {
            assert!(book.accept(command).is_empty());
        }
        assert_eq!(book.pending(2).iter().map(|(_, c)| c.id.0).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(send_all(&mut book, None, ALL), [3, 1, 2, 4]);
    }

    #[test]
    fn after_a_return_what_the_device_never_confirmed_goes_first() {
        let mut book = book();
        for command in [program(1, 0), program(2, 1), program(3, 2), program(4, 3)] {
            book.accept(command);
        }
        // The device refuses point 1; then it is lost.
        assert_eq!(send_all(&mut book, None, &[0, 2, 3]), [1, 2, 3, 4]);
        book.accept(fallback(5, 3));
        book.reassert();
        assert_eq!(send_all(&mut book, None, ALL), [5, 2, 1, 3]);
        // Once confirmed, a fallback is as any other.
        book.reassert();
        assert_eq!(send_all(&mut book, None, ALL), [1, 2, 3, 5]);
    }

    #[test]
    fn a_fallback_that_was_tried_in_vain_is_the_first_again() {
        let mut book = book();
        book.accept(program(1, 0));
        assert_eq!(send_all(&mut book, None, ALL), [1]);
        book.accept(fallback(2, 1));
        // A probe without an answer: sent, never confirmed.
        for _ in 0..3 {
            book.reassert();
            let first = book.first_pending().unwrap();
            assert_eq!(book.send(first, None).unwrap().0.id, CommandId(2));
        }
        book.reassert();
        assert_eq!(send_all(&mut book, None, ALL), [2, 1]);
    }

    #[test]
    fn what_is_repeated_waits_behind_what_waits_already_and_before_what_comes_later() {
        let mut book = book();
        book.accept(program(1, 0));
        book.accept(program(2, 1));
        assert_eq!(send_all(&mut book, Some(7), ALL), [1, 2]);
        assert_eq!((book.next_due(), book.next_check()), (Some(7), None));
        book.accept(program(3, 2));
        book.repeat(6);
        assert_eq!(book.pending(9).len(), 1, "not due yet");
        book.repeat(7);
        book.accept(program(4, 3));
        assert_eq!(send_all(&mut book, None, ALL), [3, 1, 2, 4]);
    }

    #[test]
    fn a_confirmation_of_a_command_that_was_replaced_counts_for_nothing() {
        let mut book = book();
        book.accept(program(1, 0));
        book.accept(program(2, 1));
        assert_eq!(send_all(&mut book, None, &[0]), [1, 2]);
        book.accept(program(3, 1));
        book.confirm(1, CommandId(2));
        book.reassert();
        assert_eq!(send_all(&mut book, None, ALL), [3, 1]);
    }

    #[test]
    fn a_read_back_is_due_at_its_time_until_it_is_settled_or_replaced() {
        let mut book = book();
        book.accept(program(1, 0));
        book.accept(program(2, 1));
        send_all(&mut book, Some(50), ALL);
        book.verify(1, CommandId(2), "two", 20, 90);
        book.verify(0, CommandId(1), "one", 10, 80);
        assert_eq!((book.next_check(), book.next_due(), book.due(9).len()), (Some(10), Some(10), 0));
        let told: Vec<_> = book.due(20).into_iter().map(|c| (c.point, c.command.id.0, c.written, c.until)).collect();
        assert_eq!(told, [(0, 1, "one", 80), (1, 2, "two", 90)]);
        book.settle(0, CommandId(1));
        assert_eq!((book.next_check(), book.next_due()), (Some(20), Some(20)));
        book.accept(program(3, 1));
        assert_eq!((book.next_check(), book.next_due()), (None, Some(50)), "the repetition of the settled one is left");
    }

    #[test]
    fn a_newer_command_supersedes_what_was_never_sent_and_one_of_nobody_is_told() {
        let mut book = book();
        book.accept(program(1, 0));
        assert_eq!(book.accept(program(2, 0)), [(CommandId(1), TagId(0), OutcomeState::Superseded)]);
        assert_eq!(book.unsent().iter().map(|c| c.id.0).collect::<Vec<_>>(), [2]);
        assert_eq!(book.send(0, None).map(|(c, first)| (c.id.0, first)), Some((2, true)));
        assert!(book.accept(program(3, 0)).is_empty(), "what was sent has its own end");
        assert!(book.send(3, None).is_none());
        let released = Command { value: None, ..program(4, 0) };
        let news = [CommandId(3), CommandId(4)].map(|id| (id, TagId(0)));
        let ends = [OutcomeState::Superseded, OutcomeState::Acknowledged];
        let expected: Vec<CommandNews> = news.into_iter().zip(ends).map(|((id, tag), end)| (id, tag, end)).collect();
        assert_eq!(book.accept(released), expected);
        assert!(book.unsent().is_empty());
        match book.accept(program(5, 9)).as_slice() {
            [(CommandId(5), TagId(9), OutcomeState::Failed(why))] => assert!(why.contains("`plc`"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
