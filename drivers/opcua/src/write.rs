//! Commands out: convert to the node's type, write, read back, say what became of it.

use crate::commands::DueCheck;
use crate::config::{PointConfig, WriteConfig};
use crate::connect::in_words;
use crate::convert::{self, read};
use crate::limits::{VERIFY_STEP_MAX, VERIFY_STEP_MIN};
use crate::session::{CallError, Driver, End, Live};
use opcua::types::{
    AttributeId, DataValue, NodeId, ReadValueId, TimestampsToReturn, Variant, VariantScalarTypeId, WriteValue,
};
use penstock_model::{Command, OutcomeState, Value};
use tokio::time::Instant;

/// What became of an attempt that did not end the link.
type Attempt<T> = Result<Result<T, String>, End>;

impl Driver {
    /// Sends the pending command of a point and reads it back once.
    pub(crate) async fn write(&mut self, live: &mut Live, index: usize) -> Result<(), End> {
        let Some((command, first)) = self.book.send(index) else { return Ok(()) };
        let point = self.config.points[index].clone();
        let (Some(value), Some(config)) = (command.value.clone(), point.write) else { return Ok(()) };
        let written = match self.prepare(live, index, &point, &value).await {
            Ok(Ok(written)) => written,
            Ok(Err(why)) => {
                self.fail(&command, &format!("{}: {why} ({})", point.path, point.node));
                return Ok(());
            }
            Err(end) => return Err(self.fail_by_link(&command, first, &point, end)),
        };
        self.tell((command.id, command.tag, OutcomeState::Sent));
        match self.put(live, index, &point, &written).await {
            Ok(Ok(())) => self.tell((command.id, command.tag, OutcomeState::Acknowledged)),
            Ok(Err(why)) => {
                // The type is asked again: a refusal may mean that the node was replaced.
                live.types.remove(&index);
                self.fail(&command, &format!("{}: writing {} failed: {why}", point.path, point.node));
                return Ok(());
            }
            Err(end) => return Err(self.fail_by_link(&command, first, &point, end)),
        }
        let until = Instant::now() + config.verify_within;
        self.check(live, DueCheck { point: index, command, written, until }).await
    }

    /// Reads a written node back: right, wrong for good, or to be asked again.
    pub(crate) async fn check(&mut self, live: &mut Live, due: DueCheck) -> Result<(), End> {
        let DueCheck { point: index, command, written, until } = due;
        let point = self.config.points[index].clone();
        let (Some(value), Some(config)) = (&command.value, point.write) else { return Ok(()) };
        match self.read_back(live, index, &point, &written, value, config).await? {
            Ok(()) => {
                self.book.settle(index, command.id);
                self.tell((command.id, command.tag, OutcomeState::ReadBack));
            }
            Err(_) if Instant::now() < until => {
                let step = (config.verify_within / 10).clamp(VERIFY_STEP_MIN, VERIFY_STEP_MAX);
                let next = (Instant::now() + step).min(until);
                self.book.verify(index, command.id, written, next, until);
            }
            Err(what) => {
                self.book.settle(index, command.id);
                let within = config.verify_within;
                self.fail(&command, &format!("{}: commanded {value}, but {what} {within:?} later", point.path));
            }
        }
        Ok(())
    }

    /// The value in the node's own type: a server may take another type silently and make nonsense of it.
    async fn prepare(&mut self, live: &mut Live, index: usize, point: &PointConfig, value: &Value) -> Attempt<Variant> {
        let node = match self.node(live, index) {
            Ok(node) => node,
            Err(why) => return Ok(Err(why)),
        };
        let kind = match live.types.get(&index) {
            Some(kind) => *kind,
            None => match self.node_type(live, point, node).await? {
                Ok(kind) => *live.types.entry(index).or_insert(kind),
                Err(why) => return Ok(Err(why)),
            },
        };
        Ok(convert::write(point, value, kind))
    }

    /// The type of a node, or of the element of it that is written: of its value, or as it declares where it has no
    /// value yet.
    async fn node_type(&mut self, live: &Live, point: &PointConfig, node: NodeId) -> Attempt<VariantScalarTypeId> {
        let ask = [
            ReadValueId::from(node.clone()),
            ReadValueId { attribute_id: AttributeId::DataType as u32, ..ReadValueId::from(node) },
        ];
        let answers = match self.call(live.session.clone().read(&ask, TimestampsToReturn::Neither, 0.0)).await {
            Ok(answers) => answers,
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            Err(CallError::Refused(status)) => return Ok(Err(in_words(status))),
        };
        let [value, declared] = answers.as_slice() else {
            return Ok(Err("the server does not say the node's type".to_owned()));
        };
        if let Some(variant) = value.value.as_ref().filter(|v| !v.is_empty()) {
            return Ok(point.part.of(variant).and_then(|value| match value.scalar_type_id() {
                Some(kind) if !value.is_array() => Ok(kind),
                _ => Err("the node is no single value".to_owned()),
            }));
        }
        let kind = match &declared.value {
            Some(Variant::NodeId(id)) => VariantScalarTypeId::try_from(id.as_ref()).ok(),
            _ => None,
        };
        let why = || in_words(declared.status.or(value.status).unwrap_or(opcua::types::StatusCode::BadNoValue));
        Ok(kind.ok_or_else(why))
    }

    async fn put(&mut self, live: &Live, index: usize, point: &PointConfig, written: &Variant) -> Attempt<()> {
        let node_id = match self.node(live, index) {
            Ok(node) => node,
            Err(why) => return Ok(Err(why)),
        };
        // The value alone: many servers refuse a write that also sets status or time.
        let shaped = match point.part.shaped(written.clone()) {
            Ok(shaped) => shaped,
            Err(why) => return Ok(Err(why)),
        };
        let value = DataValue { value: Some(shaped), ..DataValue::null() };
        let attribute_id = AttributeId::Value as u32;
        let ask = [WriteValue { node_id, attribute_id, index_range: point.part.range(), value }];
        match self.call(live.session.clone().write(&ask)).await {
            Ok(results) => Ok(match results.first() {
                Some(status) if !status.is_bad() => Ok(()),
                Some(status) => Err(in_words(*status)),
                None => Err("the server does not say whether it took the value".to_owned()),
            }),
            Err(CallError::Lost(reason)) => Err(End::Lost(reason)),
            Err(CallError::Refused(status)) => Ok(Err(in_words(status))),
        }
    }

    /// Right, or in words what the node holds instead.
    async fn read_back(
        &mut self,
        live: &Live,
        index: usize,
        point: &PointConfig,
        written: &Variant,
        wanted: &Value,
        config: WriteConfig,
    ) -> Attempt<()> {
        let node = match self.node(live, index) {
            Ok(node) => node,
            Err(why) => return Ok(Err(why)),
        };
        let ask = [ReadValueId::from(node)];
        let answers = match self.call(live.session.clone().read(&ask, TimestampsToReturn::Neither, 0.0)).await {
            Ok(answers) => answers,
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            Err(CallError::Refused(status)) => {
                return Ok(Err(format!("{} cannot be read back: {}", point.node, in_words(status))));
            }
        };
        let Some(data) = answers.first() else {
            return Ok(Err(format!("{} reads back nothing", point.node)));
        };
        let reading = read(point, data, self.clock.now());
        let Some(got) = reading.value else {
            return Ok(Err(format!("{} reads back as {}: {}", point.node, reading.quality, reading.why)));
        };
        let near = match (got.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= config.tolerance,
            _ => &got == wanted,
        };
        let as_written = data.value.as_ref().and_then(|v| point.part.of(v).ok()) == Some(written);
        Ok(if near || as_written { Ok(()) } else { Err(format!("{} reads back {got}", point.node)) })
    }

    /// A command that the link took away. One asserted again has had its news; a link that stays dead would repeat
    /// them for ever.
    fn fail_by_link(&self, command: &Command, first: bool, point: &PointConfig, end: End) -> End {
        if let (End::Lost(reason), true) = (&end, first) {
            self.fail(command, &format!("{}: writing {} failed: {reason}", point.path, point.node));
        }
        end
    }

    fn fail(&self, command: &Command, why: &str) {
        self.tell((command.id, command.tag, OutcomeState::Failed(why.into())));
    }
}
