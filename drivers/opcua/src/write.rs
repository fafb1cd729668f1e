//! Commands out: convert to the node's type, write, read back, say what became of it.
//!
//! What waits is written in one request, bounded by what the server takes, with a result for each item; what it was
//! written as is read back in one request too. A server that refuses a request as a whole is asked for less of it, in the
//! end for each item alone, so that one item harms no other.

use crate::config::PointConfig;
use crate::connect::in_words;
use crate::convert::{self, read};
use crate::limits::{VERIFY_STEP_MAX, VERIFY_STEP_MIN, WRITES_PER_REQUEST};
use crate::session::{CallError, Driver, End, Live};
use crate::subscribe::too_many;
use opcua::types::{
    AttributeId, DataValue, ReadValueId, StatusCode, TimestampsToReturn, Variant, VariantScalarTypeId, WriteValue,
};
use penstock_model::{Command, OutcomeState};
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// A read-back of a node.
type DueCheck = penstock_model::DueCheck<Variant, Instant>;

/// A command on its way into a request.
struct Outgoing {
    point: usize,
    command: Command,
    /// The value in the node's own type.
    written: Variant,
    ask: WriteValue,
    /// Whether it goes out for the first time; `None` until it does.
    first: Option<bool>,
}

impl Driver {
    /// The command of a point goes out. True when it does so for the first time.
    fn sent(&mut self, point: usize) -> bool {
        self.book.send(point, None).is_some_and(|(_, first)| first)
    }

    /// Sends what waits, as much of it as goes into one request, the most urgent first, and reads it back once.
    pub(crate) async fn write_pending(&mut self, live: &mut Live) -> Result<(), End> {
        let pending = self.book.pending(self.writes.min(live.capacity.write));
        if pending.is_empty() {
            return Ok(());
        }
        let points: Vec<usize> = pending.iter().map(|(point, _)| *point).collect();
        let unknown = match self.learn_types_of(live, &points).await {
            Ok(unknown) => unknown,
            Err(end) => {
                for (point, command) in &pending {
                    let first = self.sent(*point);
                    self.fail_by_link(command, first, *point, &end);
                }
                return Err(end);
            }
        };
        let mut batch = VecDeque::with_capacity(pending.len());
        for (point, command) in pending {
            let made = match unknown.get(&point) {
                Some(why) => Err(why.clone()),
                None => self.outgoing(live, point, &command),
            };
            match made {
                Ok(out) => batch.push_back(out),
                Err(why) => {
                    self.sent(point);
                    let config = &self.config.points[point];
                    self.fail(&command, &format!("{}: {why} ({})", config.path, config.node));
                }
            }
        }
        let written = self.put(live, batch).await?;
        self.check(live, written).await
    }

    /// A command in the shape of its node: a server may take another type silently and make nonsense of it.
    fn outgoing(&self, live: &Live, index: usize, command: &Command) -> Result<Outgoing, String> {
        let point = &self.config.points[index];
        let node_id = self.node(live, index)?;
        let value = command.value.as_ref().ok_or_else(|| "there is no value to write".to_owned())?;
        let kind = live.types.get(&index).ok_or_else(|| "the type of the node is not known".to_owned())?;
        let written = convert::write(point, value, *kind)?;
        // The value alone: many servers refuse a write that also sets status or time.
        let shaped = DataValue { value: Some(point.part.shaped(written.clone())?), ..DataValue::null() };
        let attribute_id = AttributeId::Value as u32;
        let ask = WriteValue { node_id, attribute_id, index_range: point.part.range(), value: shaped };
        Ok(Outgoing { point: index, command: command.clone(), written, ask, first: None })
    }

    /// Learns the types of nodes that were not written yet: of their value, or as they declare where they have none. Tells
    /// why of those that have no type.
    async fn learn_types_of(&mut self, live: &mut Live, points: &[usize]) -> Result<HashMap<usize, String>, End> {
        let mut unknown = HashMap::new();
        let (mut new, mut asks) = (Vec::new(), Vec::new());
        for index in points.iter().filter(|index| !live.types.contains_key(index)) {
            match self.node(live, *index) {
                Ok(node) => {
                    new.push(*index);
                    asks.push(ReadValueId::from(node.clone()));
                    asks.push(ReadValueId { attribute_id: AttributeId::DataType as u32, ..ReadValueId::from(node) });
                }
                Err(why) => {
                    unknown.insert(*index, why);
                }
            }
        }
        let answers = self.read_all(live, asks).await?;
        for (index, two) in new.into_iter().zip(answers.chunks(2)) {
            match self.type_of(index, two) {
                Ok(kind) => {
                    live.types.insert(index, kind);
                }
                Err(why) => {
                    unknown.insert(index, why);
                }
            }
        }
        Ok(unknown)
    }

    /// The type of a node, or of the element of it that is written, by its value and its declaration.
    fn type_of(&self, index: usize, answers: &[Result<DataValue, StatusCode>]) -> Result<VariantScalarTypeId, String> {
        let [value, declared] = answers else { return Err("the server does not say the node's type".to_owned()) };
        let value = value.as_ref().map_err(|status| in_words(*status))?;
        if let Some(variant) = value.value.as_ref().filter(|v| !v.is_empty()) {
            let part = self.config.points[index].part.of(variant)?;
            return match part.scalar_type_id() {
                Some(kind) if !part.is_array() => Ok(kind),
                _ => Err("the node is no single value".to_owned()),
            };
        }
        let declared = declared.as_ref().map_err(|status| in_words(*status))?;
        let kind = match &declared.value {
            Some(Variant::NodeId(id)) => VariantScalarTypeId::try_from(id.as_ref()).ok(),
            _ => None,
        };
        kind.ok_or_else(|| in_words(declared.status.or(value.status).unwrap_or(StatusCode::BadNoValue)))
    }

    /// Writes a batch, in one request where the server takes it as one. What it took is to be read back.
    async fn put(&mut self, live: &mut Live, mut batch: VecDeque<Outgoing>) -> Result<Vec<DueCheck>, End> {
        let (mut size, mut taken) = (batch.len(), Vec::with_capacity(batch.len()));
        while !batch.is_empty() {
            let mut chunk: Vec<Outgoing> = batch.drain(..size.clamp(1, batch.len())).collect();
            for out in chunk.iter_mut().filter(|out| out.first.is_none()) {
                out.first = Some(self.sent(out.point));
                self.tell((out.command.id, out.command.tag, OutcomeState::Sent));
            }
            let asks: Vec<WriteValue> = chunk.iter().map(|out| out.ask.clone()).collect();
            match self.call(live.session.clone().write(&asks)).await {
                Ok(results) => {
                    self.writes = self.writes.saturating_mul(2).min(WRITES_PER_REQUEST);
                    let mut results = results.into_iter();
                    taken.extend(chunk.into_iter().filter_map(|out| self.judge(live, out, results.next())));
                }
                Err(CallError::Refused(status)) if chunk.len() > 1 => {
                    // Too much at once, or one item that the server cannot even answer for.
                    size = if too_many(status) { chunk.len() / 2 } else { 1 };
                    if too_many(status) {
                        live.capacity.write = size;
                    }
                    chunk.into_iter().rev().for_each(|out| batch.push_front(out));
                }
                Err(CallError::Refused(status)) => {
                    taken.extend(chunk.into_iter().filter_map(|out| self.judge(live, out, Some(status))));
                }
                Err(CallError::Lost(reason)) => {
                    // A slow server may need longer for so many than an answer may take: fewer next time.
                    self.writes = (chunk.len() / 2).max(1);
                    let end = End::Lost(reason);
                    for out in &chunk {
                        self.fail_by_link(&out.command, out.first == Some(true), out.point, &end);
                    }
                    return Err(end);
                }
            }
        }
        Ok(taken)
    }

    /// Tells what the server said of one item; what it took is to be read back.
    fn judge(&mut self, live: &mut Live, out: Outgoing, result: Option<StatusCode>) -> Option<DueCheck> {
        let Outgoing { point, command, written, .. } = out;
        let config = &self.config.points[point];
        let why = match result {
            Some(status) if !status.is_bad() => {
                let until = Instant::now() + config.write.map(|w| w.verify_within).unwrap_or_default();
                self.book.confirm(point, command.id);
                self.tell((command.id, command.tag, OutcomeState::Acknowledged));
                return Some(DueCheck { point, command, written, until });
            }
            Some(status) => in_words(status),
            None => "the server does not say whether it took the value".to_owned(),
        };
        // The type is asked again: a refusal may mean that the node was replaced.
        live.types.remove(&point);
        self.fail(&command, &format!("{}: writing {} failed: {why}", config.path, config.node));
        None
    }

    /// Reads written nodes back: right, wrong for good, or to be asked again.
    pub(crate) async fn check(&mut self, live: &mut Live, due: Vec<DueCheck>) -> Result<(), End> {
        let (mut checks, mut asks) = (Vec::with_capacity(due.len()), Vec::with_capacity(due.len()));
        for check in due {
            match self.node(live, check.point) {
                Ok(node) => {
                    asks.push(ReadValueId::from(node));
                    checks.push(check);
                }
                Err(why) => self.judge_read_back(check, Err(why)),
            }
        }
        let answers = self.read_all(live, asks).await?;
        for (check, answer) in checks.into_iter().zip(answers) {
            let found = match answer {
                Ok(data) => self.compare(&check, &data),
                Err(status) => {
                    let node = &self.config.points[check.point].node;
                    Err(format!("{node} cannot be read back: {}", in_words(status)))
                }
            };
            self.judge_read_back(check, found);
        }
        Ok(())
    }

    fn judge_read_back(&mut self, check: DueCheck, found: Result<(), String>) {
        let DueCheck { point: index, command, written, until } = check;
        let point = &self.config.points[index];
        let within = point.write.map(|w| w.verify_within).unwrap_or_default();
        match found {
            Ok(()) => {
                self.book.settle(index, command.id);
                self.tell((command.id, command.tag, OutcomeState::ReadBack));
            }
            Err(_) if Instant::now() < until => {
                let step = (within / 10).clamp(VERIFY_STEP_MIN, VERIFY_STEP_MAX);
                let next = (Instant::now() + step).min(until);
                self.book.verify(index, command.id, written, next, until);
            }
            Err(what) => {
                self.book.settle(index, command.id);
                let wanted = command.value.as_ref().map_or_else(String::new, ToString::to_string);
                self.fail(&command, &format!("{}: commanded {wanted}, but {what} {within:?} later", point.path));
            }
        }
    }

    /// Right, or in words what the node holds instead.
    fn compare(&self, check: &DueCheck, data: &DataValue) -> Result<(), String> {
        let point: &PointConfig = &self.config.points[check.point];
        let reading = read(point, data, self.clock.now());
        let Some(got) = reading.value else {
            return Err(format!("{} reads back as {}: {}", point.node, reading.quality, reading.why));
        };
        let tolerance = point.write.map(|w| w.tolerance).unwrap_or_default();
        let near = match (got.as_f64(), check.command.value.as_ref().and_then(|wanted| wanted.as_f64())) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance,
            _ => Some(&got) == check.command.value.as_ref(),
        };
        let as_written = data.value.as_ref().and_then(|v| point.part.of(v).ok()) == Some(&check.written);
        if near || as_written { Ok(()) } else { Err(format!("{} reads back {got}", point.node)) }
    }

    /// Reads nodes in as few requests as the server takes: an answer, or its refusal, for each.
    async fn read_all(
        &mut self,
        live: &mut Live,
        asks: Vec<ReadValueId>,
    ) -> Result<Vec<Result<DataValue, StatusCode>>, End> {
        let (mut size, mut all) = (live.capacity.read, Vec::with_capacity(asks.len()));
        while all.len() < asks.len() {
            let chunk = &asks[all.len()..(all.len() + size).min(asks.len())];
            match self.call(live.session.clone().read(chunk, TimestampsToReturn::Neither, 0.0)).await {
                Ok(answers) => {
                    let missing = std::iter::repeat(Err(StatusCode::BadNoData));
                    all.extend(answers.into_iter().map(Ok).chain(missing).take(chunk.len()));
                }
                Err(CallError::Refused(status)) if chunk.len() > 1 => {
                    size = if too_many(status) { chunk.len() / 2 } else { 1 };
                    if too_many(status) {
                        live.capacity.read = size;
                    }
                }
                Err(CallError::Refused(status)) => all.push(Err(status)),
                Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
            }
        }
        Ok(all)
    }

    /// A command that the link took away. One asserted again has had its news; a link that stays dead would repeat them
    /// for ever.
    fn fail_by_link(&self, command: &Command, first: bool, index: usize, end: &End) {
        if let (End::Lost(reason), true) = (end, first) {
            let point = &self.config.points[index];
            self.fail(command, &format!("{}: writing {} failed: {reason}", point.path, point.node));
        }
    }

    fn fail(&self, command: &Command, why: &str) {
        self.tell((command.id, command.tag, OutcomeState::Failed(why.into())));
    }
}
