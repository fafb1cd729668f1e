//! The driver without a wire: the same conversion against values in memory, one call per step of a virtual clock.

use crate::config::DeviceConfig;
use crate::convert;
use crate::node::{NodeRef, parse_node};
use opcua::types::{DataValue, Variant, VariantScalarTypeId};
use penstock_model::{
    BadReason, Command, Instant, LinkRecord, LinkState, Now, Outcome, OutcomeState, Quality, Sample, SampleSink,
    TagSample,
};
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
    report: Instant,
}

impl Lockstep {
    /// A device whose first step delivers every node.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Lockstep {
        Lockstep {
            nodes: config.points.iter().map(|p| parse_node(&p.node).ok()).collect(),
            due: vec![Instant::default(); config.groups.len()],
            report: Instant::default(),
            config,
        }
    }

    /// Carries out commands, then delivers the groups that are due at `now`.
    pub fn step(&mut self, server: &mut dyn Nodes, commands: Vec<Command>, sink: &dyn SampleSink, now: Now) {
        for command in commands {
            let state = self.write(&command, server);
            sink.outcome(Outcome { id: command.id, tag: command.tag, state, at: now.utc });
        }
        for group in 0..self.due.len() {
            if self.due[group] <= now.mono {
                self.due[group] = now.mono + self.config.groups[group].publish;
                sink.samples(&self.read(group, server, now));
            }
        }
        if self.report <= now.mono {
            self.report = now.mono + Duration::from_secs(1);
            sink.link(LinkRecord {
                device: self.config.id,
                state: LinkState::Up,
                reason: "".into(),
                at: now.utc,
                last_answer: Some(now.mono),
                answered: 0,
                failed: 0,
                refused: 0,
                reconnects: 0,
                round_trip: Duration::ZERO,
            });
        }
    }

    fn read(&self, group: usize, server: &mut dyn Nodes, now: Now) -> Vec<TagSample> {
        let points = self.config.points.iter().zip(&self.nodes);
        points
            .filter(|(p, _)| p.group == group && p.write.is_none())
            .map(|(point, node)| {
                let sample = match node.as_ref().and_then(|n| server.read(n)) {
                    None => Sample::bad(BadReason::Configuration, None, now),
                    Some(plain) => {
                        let variant = match plain {
                            Plain::Double(x) => Variant::Double(x),
                            Plain::Boolean(b) => Variant::Boolean(b),
                        };
                        let reading = convert::read(point, &DataValue::value_only(variant), now);
                        match (reading.value, reading.quality) {
                            (Some(value), quality) => Sample::with_quality(value, quality, now),
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
