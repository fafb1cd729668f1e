//! The chain of SunSpec models of a unit: looked through when the unit comes, again when it refuses what was found, and now
//! and then while all is well. One question at a time, so that neighbours on the channel wait for none of it.

use crate::address::Area;
use crate::config::DeviceConfig;
use crate::pdu::{Answer, Request, refusal};
use crate::read::Group;
use crate::sunspec::chain::{Chain, Reply, Step, Walk};
use crate::sunspec::point::{forget, place};
use crate::sunspec::{AGAIN, RECHECK};
use crate::transport::{CallError, Wire};
use crate::unit::{Trouble, Unit, trouble};
use tokio::time::Instant;

/// What is known of the chain of a unit.
pub(crate) struct Discovery {
    /// Under way.
    walk: Option<Walk>,
    chain: Option<Chain>,
    /// When the next walk begins.
    next: Instant,
    /// When the last one ended.
    ended: Option<Instant>,
    /// Points that the unit does not have, by their place, and why.
    missing: Vec<(usize, String)>,
    /// How many of the usual places are left for later, because the unit fell silent there.
    skipped: usize,
    /// What was told last, so that it is told on change.
    told: String,
}

impl Discovery {
    /// For a device whose points need one.
    pub(crate) fn of(config: &DeviceConfig, now: Instant) -> Option<Discovery> {
        config.uses_sunspec().then(|| Discovery {
            walk: None,
            chain: None,
            next: now,
            ended: None,
            missing: Vec::new(),
            skipped: 0,
            told: String::new(),
        })
    }

    /// The unit is new: nothing found before counts.
    fn begin(&mut self, now: Instant) {
        (self.walk, self.chain, self.next) = (None, None, now);
        self.missing.clear();
    }

    /// A question of it is due, and the places of points depend on it.
    pub(crate) fn is_needed(&self, now: Instant) -> bool {
        self.chain.is_none() && self.is_due(now)
    }

    /// A question of it is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.walk.is_some() || self.next <= now
    }

    /// When it has something to ask.
    pub(crate) fn wakes_at(&self, now: Instant) -> Instant {
        if self.walk.is_some() { now } else { self.next }
    }

    /// The unit refuses what was found, or something else lies there: looked through again, at most once a minute.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.next = self.next.min(self.ended.map_or(now, |ended| (ended + AGAIN).max(now)));
    }

    /// Points that the unit does not have.
    pub(crate) fn missing(&self) -> &[(usize, String)] {
        &self.missing
    }

    fn walk(&mut self, config: &DeviceConfig) -> &mut Walk {
        let skipped = self.skipped;
        self.walk.get_or_insert_with(|| {
            let mut bases = config.sunspec.bases();
            let count = bases.len().max(1);
            bases.rotate_left(skipped % count);
            Walk::new(&bases)
        })
    }
}

impl Unit {
    /// The unit begins anew: its points have no place until its chain is known.
    pub(crate) fn forget_chain(&mut self, now: Instant) {
        let Some(discovery) = &mut self.discovery else { return };
        discovery.begin(now);
        forget(&mut self.config);
        self.groups = Group::all(&self.config, &[], now);
    }

    /// Asks the next question of the walk along the chain.
    pub(crate) async fn discover(&mut self, wire: &mut Wire) -> Result<(), Trouble> {
        let Some(discovery) = &mut self.discovery else { return Ok(()) };
        let step = discovery.walk(&self.config).step();
        let Step::Ask(start, count) = step else {
            self.settle_chain(step);
            return Ok(());
        };
        let result = self.exchange(wire, &Request::Read { area: Area::Holding, start, count }).await;
        let broken = result.as_ref().err().and_then(trouble);
        let Some(discovery) = &mut self.discovery else { return Ok(()) };
        let walk = discovery.walk(&self.config);
        if let Some(broken) = broken {
            // Some units do not refuse what they do not have, they say nothing: next time another place comes first.
            if matches!(broken, Trouble::Unit(_)) && walk.base() == Some(start) {
                discovery.skipped += 1;
            }
            discovery.walk = None;
            return Err(broken);
        }
        let step = match &result {
            Ok(Answer::Words(words)) => walk.take(&Reply::Words(words)),
            Err(CallError::Refused(code)) => walk.take(&Reply::Refused(&refusal(*code))),
            Err(CallError::Nonsense(what)) => walk.take(&Reply::Refused(what)),
            _ => walk.take(&Reply::Refused("no registers came")),
        };
        if !matches!(step, Step::Ask(..)) {
            self.settle_chain(step);
        }
        Ok(())
    }

    /// The walk is over: points get their places, or are known not to have one.
    fn settle_chain(&mut self, step: Step) {
        let now = Instant::now();
        let Some(discovery) = &mut self.discovery else { return };
        (discovery.walk, discovery.ended) = (None, Some(now));
        let known = discovery.chain.take();
        let told = match step {
            Step::Done(chain) => {
                let same = known.as_ref() == Some(&chain);
                let told = if chain.closed { chain.to_string() } else { format!("{chain}; no end model follows") };
                if !same {
                    discovery.missing = place(&mut self.config, &chain);
                }
                discovery.next = now + if discovery.missing.is_empty() { RECHECK } else { AGAIN };
                discovery.chain = Some(chain);
                if same {
                    return;
                }
                tracing::info!(device = %self.config.name, "{told}");
                told
            }
            Step::Failed(why) => {
                forget(&mut self.config);
                let points = self.config.points.iter().enumerate().filter(|(_, p)| p.sunspec.is_some());
                discovery.missing = points.map(|(index, _)| (index, why.clone())).collect();
                discovery.next = now + AGAIN;
                if discovery.told != why {
                    tracing::warn!(device = %self.config.name, %why, again_s = AGAIN.as_secs(), "the models are not found");
                }
                why
            }
            Step::Ask(..) => return,
        };
        if discovery.told != told {
            if let Some(beat) = self.config.heartbeat.filter(|beat| !beat.placed) {
                let at = beat.sunspec.map(|at| at.to_string()).unwrap_or_default();
                tracing::error!(device = %self.config.name, at, "the device has no such heartbeat register: none beats");
            }
            discovery.told = told;
        }
        let absent: Vec<usize> = discovery.missing.iter().map(|(index, _)| *index).collect();
        self.groups = Group::all(&self.config, &absent, now);
        if known.is_some() {
            // What was commanded lies elsewhere now.
            self.book.reassert();
        }
        self.tell_quarantined();
    }
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
