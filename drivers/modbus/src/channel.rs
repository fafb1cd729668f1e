//! One connection or serial line, and whose turn it is on it.
//!
//! One task owns the channel; one question is under way at a time. What is due goes in this order: commands, read-backs
//! and heartbeats of all units; then reads, the one first whose group's next turn would be missed first. So fast groups
//! go before slow ones, but none waits for ever. Equals take turns: the unit goes first that was served longest ago.
//! Reads that are due get one turn in nine however much is commanded.
//!
//! A unit that does not answer is left alone behind its breaker, and probes of such units are paid from the channel's
//! purse (`breaker`); its neighbours go on. A connection that breaks, or on which nobody answers any more, is made anew.

use crate::breaker::Purse;
use crate::config::DeviceConfig;
use crate::limits::{SILENT_ROW_MAX, WRITES_PER_READ};
use crate::line::Transport;
use crate::transport::{Wire, connect};
use crate::unit::{Trouble, Unit, Work};
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Everything the task of a channel owns.
pub(crate) struct Channel {
    pub(crate) units: Vec<Unit>,
    pub(crate) wire: Option<Wire>,
    purse: Purse,
    stop: watch::Receiver<bool>,
    /// The connection is not tried again before.
    retry_at: Option<Instant>,
    /// The next wait before it is tried again.
    wait: Duration,
    /// Pieces of work done.
    turns: u64,
    /// Questions in a row without an answer, whoever was asked.
    silent: u32,
    /// Pieces of work in a row that went before reads.
    before_reads: u32,
    /// When the counters of all links are looked at again.
    report_at: Instant,
}

/// Links whose state does not change are looked at this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);

impl Channel {
    /// A channel with its units; the first one's configuration says where it is. Not empty.
    pub(crate) fn new(units: Vec<Unit>, stop: watch::Receiver<bool>) -> Channel {
        let longest = units.iter().map(|u| u.config.timeout).max().unwrap_or(Duration::from_secs(1));
        let share = units.first().map_or(crate::limits::DEAD_SHARE_DEFAULT, |u| u.config.channel.dead_share);
        Channel {
            units,
            wire: None,
            purse: Purse::new(share, longest),
            stop,
            retry_at: None,
            wait: RECONNECT_WAIT_MIN,
            turns: 0,
            silent: 0,
            before_reads: 0,
            report_at: Instant::now() + REPORT_EVERY,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        while !self.units.is_empty() && !self.stopped() {
            self.turn().await;
        }
        self.finish().await;
    }

    /// Does the next piece of work, or waits for some.
    pub(crate) async fn turn(&mut self) {
        self.units.iter_mut().for_each(Unit::take_commands);
        let now = Instant::now();
        if self.report_at <= now {
            self.report_at = now + REPORT_EVERY;
            self.units.iter_mut().for_each(|u| u.link.report_if_due());
        }
        if !self.is_connected() {
            if self.retry_at.is_none_or(|at| at <= now) {
                self.connect().await;
            } else {
                self.idle(self.retry_at).await;
            }
            return;
        }
        match self.pick(now) {
            Some(index) => self.serve(index).await,
            None => {
                let wake = self.wakes_at(now);
                self.idle(wake).await;
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::is_alive)
    }

    async fn connect(&mut self) {
        self.wire = None;
        let Some(first) = self.units.first().map(|u| u.config.clone()) else { return };
        let longest = self.units.iter().map(|u| u.config.timeout).max().unwrap_or(first.timeout);
        let connected = tokio::select! {
            result = connect(&first.channel, &first.address, longest) => result,
            () = stop_requested(&mut self.stop) => return,
        };
        match connected {
            Ok(wire) => self.wire = Some(wire),
            Err(reason) => {
                self.units.iter_mut().for_each(|u| u.link.failed());
                self.lose(&reason);
                return;
            }
        }
        let pause = self.units.iter().map(|u| u.config.pause_after_connect).max().unwrap_or_default();
        if self.pause(pause).await {
            return;
        }
        self.open();
    }

    /// The connection is there: who was lost with the last one begins again.
    pub(crate) fn open(&mut self) {
        let now = Instant::now();
        self.silent = 0;
        for unit in self.units.iter_mut().filter(|u| u.away && u.breaker.open_until().is_none()) {
            unit.away = false;
            unit.begin(now);
            if unit.reads_nothing() {
                unit.link.up();
            }
        }
    }

    /// The connection is gone, and everybody on it.
    fn lose(&mut self, reason: &str) {
        self.wire = None;
        // Who comes back is written before it is read, however much was written before.
        self.before_reads = 0;
        self.purse.fill();
        self.units.iter_mut().for_each(|u| u.lose(reason));
        self.retry_at = Some(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(RECONNECT_WAIT_MAX);
    }

    /// The unit whose turn it is, if anybody has something to do.
    fn pick(&mut self, now: Instant) -> Option<usize> {
        let probe_at = self.probe_at(now);
        let reads_first = self.before_reads >= WRITES_PER_READ;
        let mut best: Option<((bool, Instant, u64), usize)> = None;
        for (index, unit) in self.units.iter_mut().enumerate() {
            let (later, deadline) = match unit.breaker.open_until() {
                Some(at) if at.max(probe_at).max(unit.ready_at()) <= now => (true, at + unit.fastest()),
                Some(_) => continue,
                None => match unit.due(now, reads_first) {
                    Some(due) => (!due.work.is_before_reads() && !reads_first, due.deadline),
                    None => continue,
                },
            };
            // Commands of all units are equally urgent: they take turns whatever their moment.
            let deadline = if later || reads_first { deadline } else { now };
            let key = (later, deadline, unit.served);
            if best.as_ref().is_none_or(|(least, _)| key < *least) {
                best = Some((key, index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// When a unit that does not answer may be probed, as far as the others' time is concerned.
    fn probe_at(&mut self, now: Instant) -> Instant {
        let living = self.units.iter().any(|u| u.breaker.open_until().is_none());
        if living && self.units.len() > 1 { self.purse.ready_at(now) } else { now }
    }

    /// Lets a unit do its most urgent piece of work.
    async fn serve(&mut self, index: usize) {
        let now = Instant::now();
        let (Some(unit), Some(wire)) = (self.units.get_mut(index), self.wire.as_mut()) else { return };
        let probing = unit.breaker.open_until().is_some();
        // The first question to a unit that was lost is what was declared for that, whatever its neighbours wait for.
        let reads_first = self.before_reads >= WRITES_PER_READ && !probing;
        if probing {
            unit.begin(now);
        }
        self.turns += 1;
        unit.served = self.turns;
        let asked = unit.asked;
        let mut done = None;
        // A heart that rests and a group that is left alone ask nothing: a probe goes on until something was asked.
        while let Some(due) = unit.due(now, reads_first) {
            self.before_reads = if due.work.is_before_reads() { self.before_reads.saturating_add(1) } else { 0 };
            done = Some((due.work, unit.work(due.work, wire).await));
            if !probing || unit.asked > asked {
                break;
            }
        }
        match done {
            Some((work, result)) => self.after(index, work, result),
            None if probing && unit.reads_nothing() => {
                unit.breaker.answered();
                unit.away = false;
                unit.link.up();
            }
            None if probing => unit.breaker.failed(now),
            None => {}
        }
    }

    /// What a piece of work has shown of its unit and of the connection.
    fn after(&mut self, index: usize, work: Work, result: Result<(), Trouble>) {
        let now = Instant::now();
        let alone = self.units.len() == 1;
        let Some(unit) = self.units.get_mut(index) else { return };
        if unit.take_answered() {
            self.silent = 0;
            self.wait = RECONNECT_WAIT_MIN;
            unit.breaker.answered();
            unit.away = false;
        } else if result.is_ok() && unit.breaker.open_until().is_some() {
            // Nothing was asked after all: the probe comes later.
            unit.breaker.failed(now);
        }
        let lost = unit.take_lost();
        if !lost.is_zero() {
            self.purse.spend(lost, now);
        }
        match result {
            Ok(()) => {}
            Err(Trouble::Channel(reason)) => self.lose(&reason),
            Err(Trouble::Unit(reason)) => {
                tracing::debug!(device = %unit.config.name, ?work, %reason, "no answer");
                unit.breaker.failed(now);
                unit.lose(&reason);
                self.silent = self.silent.saturating_add(1);
                let tcp = !matches!(unit.config.channel.transport, Transport::Serial(_));
                let unclean = self.wire.as_ref().is_some_and(|wire| !wire.is_clean());
                // A connection can die without a word; on one that nobody shares that is the likeliest reason.
                if tcp && unclean && (alone || self.silent >= SILENT_ROW_MAX) {
                    self.wire = None;
                    self.retry_at = Some(if alone { unit.breaker.open_until().unwrap_or(now) } else { now });
                    self.silent = 0;
                }
            }
        }
        if self.units.iter().all(|u| u.breaker.open_until().is_some()) {
            // Nobody is left to be spared: who comes back first must not keep the others waiting for an old debt.
            self.purse.fill();
        }
    }

    /// When there is something to do next.
    fn wakes_at(&mut self, now: Instant) -> Option<Instant> {
        let probe_at = self.probe_at(now);
        let of = |unit: &Unit| match unit.breaker.open_until() {
            Some(at) => Some(at.max(probe_at).max(unit.ready_at())),
            None => unit.wakes_at(),
        };
        self.units.iter().filter_map(of).min()
    }

    /// Waits until `wake`, a command, or the stop; without anything to do for a second, for the report of the links.
    async fn idle(&mut self, wake: Option<Instant>) {
        let wake = wake.map_or(self.report_at, |at| at.min(self.report_at));
        let Channel { units, stop, .. } = self;
        tokio::select! {
            () = sleep_until(wake) => {}
            () = any_command(units) => {}
            () = stop_requested(stop) => {}
        }
    }

    /// Waits while the connection is not ready yet; commands are kept meanwhile. True when stopped.
    async fn pause(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.stopped() {
            self.idle(Some(until)).await;
        }
        self.stopped()
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// The last commands of a runtime that stops (its shutdown fallbacks) still go out to who answers, if that takes no
    /// longer than one answer may take.
    async fn finish(&mut self) {
        self.units.iter_mut().for_each(Unit::take_commands);
        let limit = self.units.iter().map(|u| u.config.timeout).max().unwrap_or_default();
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_alive()) {
            let flush = async {
                for unit in self.units.iter_mut().filter(|u| u.breaker.open_until().is_none()) {
                    unit.flush(wire).await;
                }
            };
            // What is not out by then is told below.
            let _ = tokio::time::timeout(limit, flush).await;
        }
        self.units.iter_mut().for_each(Unit::tell_unsent);
    }
}

/// Completes when any unit has been given a command.
async fn any_command(units: &mut [Unit]) {
    poll_fn(|context| {
        let mut ready = Poll::Pending;
        for unit in units.iter_mut() {
            if unit.poll_command(context).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    })
    .await;
}

/// Completes when the runtime stops, or when nobody can tell us to any more.
async fn stop_requested(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The devices that share a channel, by their places in the list; each device is in one of them.
#[must_use]
pub fn channels<'a>(devices: impl IntoIterator<Item = &'a DeviceConfig>) -> Vec<Vec<usize>> {
    let mut out: Vec<(Option<&str>, Vec<usize>)> = Vec::new();
    for (index, device) in devices.into_iter().enumerate() {
        let name = device.channel.name.as_deref();
        match out.iter_mut().find(|(known, _)| name.is_some() && *known == name) {
            Some((_, members)) => members.push(index),
            None => out.push((name, vec![index])),
        }
    }
    out.into_iter().map(|(_, members)| members).collect()
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
