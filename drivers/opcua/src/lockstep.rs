//! The driver without a wire: the same conversion against values in memory, one call per step of a virtual clock. A
//! session that is lost, because the server says so by [`Nodes::reach`], follows the rules of the wire: see
//! [`VirtualLink`].

use crate::config::DeviceConfig;
use crate::convert;
use crate::limits::{KEEP_ALIVE_COUNT, SILENCE_GRACE};
use crate::node::{NodeRef, parse_node};
use opcua::types::{DataValue, Variant, VariantScalarTypeId};
use penstock_model::{
    BadReason, Command, Instant, LinkRecord, LinkState, Now, Outcome, OutcomeState, Quality, Reach, Sample, SampleSink,
    TagId, TagSample, Value, VirtualLink,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A node's value in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    /// A Double.
    Double(f64),
    /// A Boolean.
    Boolean(bool),
}

/// Nodes of a server in memory. `None` and `false` mean that the server refuses.
pub trait Nodes {
    /// What becomes of requests at this moment.
    fn reach(&self) -> Reach {
        Reach::Answers
    }
    /// The value of a node.
    fn read(&mut self, node: &NodeRef) -> Option<Plain>;
    /// Writes a node.
    fn write(&mut self, node: &NodeRef, value: Plain) -> bool;
}

/// One device in lock-step.
pub struct Lockstep {
    config: DeviceConfig,
    nodes: Vec<Option<NodeRef>>,
    due: Vec<Instant>,
    /// The last value of each point.
    last: Vec<Option<Value>>,
    /// The last command of each tag, and whether it was written.
    kept: BTreeMap<TagId, (Command, bool)>,
    line: VirtualLink,
    last_answer: Option<Instant>,
    report: Instant,
    reported: LinkState,
}

impl Lockstep {
    /// A device whose first step delivers every node.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Lockstep {
        // A server that says nothing is known to be silent when a keep-alive of its fastest subscription is overdue.
        let fastest = config.groups.iter().map(|g| g.publish).min().unwrap_or(config.timeout);
        let silence = fastest * KEEP_ALIVE_COUNT * 2 + SILENCE_GRACE;
        Lockstep {
            nodes: config.points.iter().map(|p| parse_node(&p.node).ok()).collect(),
            due: vec![Instant::default(); config.groups.len()],
            last: vec![None; config.points.len()],
            kept: BTreeMap::new(),
            line: VirtualLink::new(silence.max(config.timeout), silence),
            last_answer: None,
            report: Instant::default(),
            reported: LinkState::Connecting,
            config,
        }
    }

    /// Carries out commands, then delivers the groups that are due at `now`; where the session is lost, keeps the commands
    /// and tries it again by the rules of the wire.
    pub fn step(&mut self, server: &mut dyn Nodes, commands: Vec<Command>, sink: &dyn SampleSink, now: Now) {
        for command in commands {
            self.keep(command, sink, now);
        }
        // A session notices at once that its connection is gone.
        let turn = self.line.turn(server.reach(), true, now.mono);
        if turn.lost {
            sink.samples(&self.lost(now));
        }
        if turn.ready {
            self.last_answer = Some(now.mono);
            if turn.again {
                // A server that was away may have forgotten: everything is delivered and asserted again.
                self.due.fill(now.mono);
                self.kept.values_mut().for_each(|(_, sent)| *sent = false);
            }
            self.write_kept(server, sink, now);
            for group in 0..self.due.len() {
                if self.due[group] <= now.mono {
                    self.due[group] = now.mono + self.config.groups[group].publish;
                    sink.samples(&self.read(group, server, now));
                }
            }
        }
        if self.report <= now.mono || self.reported != self.line.state() {
            self.reported = self.line.state();
            self.report = now.mono + Duration::from_secs(1);
            sink.link(self.link(now));
        }
    }

    fn link(&self, now: Now) -> LinkRecord {
        LinkRecord {
            device: self.config.id,
            state: self.line.state(),
            reason: self.line.reason.as_str().into(),
            at: now.utc,
            last_answer: self.last_answer,
            answered: 0,
            failed: self.line.failed,
            refused: 0,
            reconnects: self.line.reconnects,
            round_trip: Duration::ZERO,
            retries: 0,
            demoted: false,
            quarantined: 0,
            note: "".into(),
        }
    }

    /// Takes a command as the last one of its tag.
    fn keep(&mut self, command: Command, sink: &dyn SampleSink, now: Now) {
        let tell = |command: &Command, state| {
            sink.outcome(Outcome { id: command.id, tag: command.tag, state, at: now.utc });
        };
        if let Some((old, false)) = self.kept.remove(&command.tag) {
            tell(&old, OutcomeState::Superseded);
        }
        if command.value.is_none() {
            tell(&command, OutcomeState::Acknowledged);
        } else {
            self.kept.insert(command.tag, (command, false));
        }
    }

    fn write_kept(&mut self, server: &mut dyn Nodes, sink: &dyn SampleSink, now: Now) {
        let mut kept = std::mem::take(&mut self.kept);
        for (command, sent) in kept.values_mut().filter(|(_, sent)| !sent) {
            *sent = true;
            let tell = |state| sink.outcome(Outcome { id: command.id, tag: command.tag, state, at: now.utc });
            tell(OutcomeState::Sent);
            let state = self.write(command, server);
            if state == OutcomeState::ReadBack {
                tell(OutcomeState::Acknowledged);
            }
            tell(state);
        }
        self.kept = kept;
    }

    /// Every tag that is read, Bad(link) with its last value.
    fn lost(&self, now: Now) -> Vec<TagSample> {
        let read = self.config.points.iter().zip(&self.last).filter(|(point, _)| point.write.is_none());
        read.map(|(point, last)| TagSample { tag: point.tag, sample: Sample::bad(BadReason::Link, last.clone(), now) })
            .collect()
    }

    fn read(&mut self, group: usize, server: &mut dyn Nodes, now: Now) -> Vec<TagSample> {
        let points = self.config.points.iter().zip(&self.nodes).zip(&mut self.last);
        points
            .filter(|((p, _), _)| p.group == group && p.write.is_none())
            .map(|((point, node), last)| {
                let sample = match node.as_ref().and_then(|n| server.read(n)) {
                    None => Sample::bad(BadReason::Configuration, None, now),
                    Some(plain) => {
                        let variant = match plain {
                            Plain::Double(x) => Variant::Double(x),
                            Plain::Boolean(b) => Variant::Boolean(b),
                        };
                        let reading = convert::read(point, &DataValue::value_only(variant), now);
                        match (reading.value, reading.quality) {
                            (Some(value), quality) => {
                                *last = Some(value.clone());
                                Sample::with_quality(value, quality, now)
                            }
                            (None, Quality::Bad(reason)) => Sample::bad(reason, None, now),
                            (None, _) => Sample::bad(BadReason::Device, None, now),
                        }
                    }
                };
                TagSample { tag: point.tag, sample }
            })
            .collect()
    }

    fn write(&self, command: &Command, server: &mut dyn Nodes) -> OutcomeState {
        let Some(value) = &command.value else { return OutcomeState::Acknowledged };
        let found = self.config.points.iter().zip(&self.nodes).find(|(p, _)| p.tag == command.tag && p.write.is_some());
        let Some((point, Some(node))) = found else {
            return OutcomeState::Failed(
                format!("device `{}` has no writable node for this tag", self.config.name).into(),
            );
        };
        let kind = match server.read(node) {
            Some(Plain::Boolean(_)) => VariantScalarTypeId::Boolean,
            _ => VariantScalarTypeId::Double,
        };
        let plain = match convert::write(point, value, kind) {
            Ok(Variant::Double(x)) => Plain::Double(x),
            Ok(Variant::Boolean(b)) => Plain::Boolean(b),
            Ok(_) => return OutcomeState::Failed(format!("{}: no such node type in memory", point.path).into()),
            Err(why) => return OutcomeState::Failed(format!("{}: {why}", point.path).into()),
        };
        if server.write(node, plain) {
            OutcomeState::ReadBack
        } else {
            OutcomeState::Failed(format!("{}: writing {} was refused", point.path, point.node).into())
        }
    }
}

#[cfg(test)]
#[path = "lockstep_tests.rs"]
mod tests;
