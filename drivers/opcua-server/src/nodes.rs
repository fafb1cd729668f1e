//! Services on our nodes: read, write, subscribe, history. Values are read from the runtime when they are asked for.

use crate::convert::{data_value, read as read_variant, with_times};
use crate::history::{self, Cursor, Page, Raw};
use crate::limits::{HISTORY_READS_MAX, HISTORY_TIMES_MAX, HISTORY_VALUES_MAX, HISTORY_VALUES_PER_CALL_MAX};
use crate::serve::Shared;
use crate::space::Builder;
use crate::{Person, Refused};
use async_trait::async_trait;
use opcua::nodes::AccessLevel;
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManagerImpl, InMemoryNodeManagerImplBuilder};
use opcua::server::node_manager::{
    HistoryNode, MonitoredItemRef, MonitoredItemUpdateRef, ParsedReadValueId, RequestContext, ServerContext, WriteNode,
};
use opcua::server::{ContinuationPoint, CreateMonitoredItem};
use opcua::sync::RwLock;
use opcua::types::{
    AttributeId, DataEncoding, DataValue, DateTime, HistoryData, IdType, Identifier, NodeId, NumericRange,
    ReadAtTimeDetails, ReadProcessedDetails, ReadRawModifiedDetails, StatusCode, TimestampsToReturn,
};
use penstock_model::{Role, TagId, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The manager of our nodes.
pub(crate) struct PlantNodes {
    shared: Arc<Shared>,
}

/// Builds it.
pub(crate) struct PlantNodesBuilder(pub(crate) Arc<Shared>);

impl InMemoryNodeManagerImplBuilder for PlantNodesBuilder {
    type Impl = PlantNodes;

    fn build(self, context: ServerContext, space: &mut AddressSpace) -> PlantNodes {
        let shared = self.0;
        let namespace = context.type_tree.write().namespaces_mut().add_namespace(&shared.config.namespace);
        space.add_namespace(&shared.config.namespace, namespace);
        debug_assert_eq!(namespace, crate::serve::NAMESPACE);
        Builder { config: &shared.config, namespace, space, served: &shared.served }
            .all(&shared.tags, &shared.alarm_defs);
        PlantNodes { shared }
    }
}

/// A history read of one node, and where it goes on.
struct Continued<T> {
    ask: T,
    cursor: Cursor,
}

impl PlantNodes {
    /// The tag of a node, where it has one.
    fn tag(&self, id: &NodeId) -> Option<TagId> {
        let Identifier::String(path) = &id.identifier else { return None };
        self.shared.tags.find(path.as_ref()).filter(|tag| self.shared.served.has(*tag))
    }

    fn rights(&self, context: &RequestContext) -> AccessLevel {
        let all = AccessLevel::CURRENT_READ | AccessLevel::CURRENT_WRITE | AccessLevel::HISTORY_READ;
        self.shared.rights(context.user_token(), all)
    }

    /// A tag's value as it stands.
    fn value(&self, tag: TagId, node: &ParsedReadValueId, now: DateTime) -> DataValue {
        let problem = if node.index_range != NumericRange::None {
            Some(StatusCode::BadIndexRangeNoData)
        } else if !matches!(node.data_encoding, DataEncoding::Binary) {
            Some(StatusCode::BadDataEncodingInvalid)
        } else {
            None
        };
        match problem {
            Some(status) => DataValue { status: Some(status), ..DataValue::default() },
            None => data_value(&self.shared.plant.read(tag), now),
        }
    }

    /// What is wrong with a write before anybody is asked; else the tag and the value.
    fn look_at(&self, node: &WriteNode) -> Result<(TagId, Option<Value>), StatusCode> {
        let write = node.value();
        let known = self.tag(&write.node_id);
        let Some(tag) = known.filter(|_| write.attribute_id == AttributeId::Value) else {
            return Err(StatusCode::BadNotWritable);
        };
        if !self.shared.served.writes(tag) {
            return Err(StatusCode::BadNotWritable);
        }
        if write.index_range != NumericRange::None || write.value.status.is_some_and(|s| s != StatusCode::Good) {
            return Err(StatusCode::BadWriteNotSupported);
        }
        let empty = opcua::types::Variant::Empty;
        read_variant(write.value.value.as_ref().unwrap_or(&empty)).map(|value| (tag, value))
    }

    /// The tags of a history read; those that cannot be read are told so.
    fn asked(&self, nodes: &mut [&mut &mut HistoryNode]) -> Vec<(usize, TagId)> {
        let mut asked = Vec::new();
        for (place, node) in nodes.iter_mut().enumerate() {
            match self.tag(node.node_id()) {
                Some(tag) if self.shared.tags.get(tag).log.enabled => asked.push((place, tag)),
                Some(_) => node.set_status(StatusCode::BadHistoryOperationUnsupported),
                None => node.set_status(StatusCode::BadNodeIdUnknown),
            }
        }
        asked
    }

    /// Does work on a thread that may wait for the disk, few at a time.
    async fn off<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> Result<T, StatusCode> {
        let Ok(place) = self.shared.history_reads.clone().acquire_owned().await else {
            return Err(StatusCode::BadServerHalted);
        };
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&shared)
        });
        done.await.map_err(|_| StatusCode::BadInternalError)
    }
}

/// The status of a refusal.
pub(crate) fn refused(why: Refused) -> StatusCode {
    match why {
        Refused::Denied => StatusCode::BadUserAccessDenied,
        Refused::Range => StatusCode::BadOutOfRange,
        Refused::Type => StatusCode::BadTypeMismatch,
        Refused::ReadOnly => StatusCode::BadNotWritable,
        Refused::State => StatusCode::BadInvalidState,
        Refused::Busy => StatusCode::BadTooManyOperations,
        Refused::Record => StatusCode::BadResourceUnavailable,
    }
}

type Orders = Vec<(usize, TagId, Option<Value>)>;

/// Carries writes out, one by one, each with its own answer.
fn carry_out(shared: &Shared, person: &Person, orders: Orders) -> Vec<(usize, StatusCode)> {
    let one = |(place, tag, value): (usize, TagId, Option<Value>)| {
        let status = shared.plant.write(person, tag, value).map_or_else(refused, |()| StatusCode::Good);
        let counter = if status.is_good() { &shared.counts.done } else { &shared.counts.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        (place, status)
    };
    orders.into_iter().map(one).collect()
}

#[async_trait]
impl InMemoryNodeManagerImpl for PlantNodes {
    async fn init(&self, _address_space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "plant"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: self.shared.config.namespace.clone(),
            namespace_index: crate::serve::NAMESPACE,
            static_node_id_types: Some(vec![IdType::String]),
            is_namespace_subset: Some(false),
            ..NamespaceMetadata::default()
        }]
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps_to_return: TimestampsToReturn,
    ) -> Vec<DataValue> {
        let allowed = self.rights(context).contains(AccessLevel::CURRENT_READ);
        self.shared.heard(context.session_id());
        let now = DateTime::now();
        let space = address_space.read();
        let value = |node: &&ParsedReadValueId| match self.tag(&node.node_id) {
            _ if !allowed => DataValue { status: Some(StatusCode::BadUserAccessDenied), ..DataValue::default() },
            Some(tag) => with_times(self.value(tag, node, now), timestamps_to_return),
            None => space.read(context, node, max_age, timestamps_to_return),
        };
        nodes.iter().map(value).collect()
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let allowed = self.rights(context).contains(AccessLevel::CURRENT_READ);
        let now = DateTime::now();
        let session = context.subscriptions().get_session_subscriptions(context.session_id());
        self.shared.heard(context.session_id());
        for item in items {
            if !allowed {
                item.set_status(StatusCode::BadUserAccessDenied);
                continue;
            }
            let Some(tag) = self.tag(&item.item_to_monitor().node_id) else {
                let value = address_space.read().read(context, item.item_to_monitor(), 0.0, TimestampsToReturn::Both);
                // An attribute that is not there has no first value; a node that is not there has no item.
                match value.status.unwrap_or(StatusCode::Good) {
                    status @ (StatusCode::BadNodeIdUnknown | StatusCode::BadUserAccessDenied) => {
                        item.set_status(status)
                    }
                    _ => {
                        item.set_initial_value(value);
                        item.set_status(StatusCode::Good);
                    }
                }
                continue;
            };
            let value = self.value(tag, item.item_to_monitor(), now);
            let subscription = item.handle().subscription_id;
            let publishing = session.as_ref().and_then(|s| s.lock().get(subscription).map(|s| s.publishing_interval()));
            let publishing = publishing.unwrap_or(Duration::ZERO);
            let token = &context.user_token().0;
            if !self.shared.watches.lock().add(item, (tag, token), publishing, &value) {
                item.set_status(StatusCode::BadTooManyMonitoredItems);
                continue;
            }
            item.set_initial_value(value);
            item.set_status(StatusCode::Good);
        }
    }

    async fn create_event_monitored_items(
        &self,
        context: &RequestContext,
        _address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        for item in items {
            self.shared.watch_events(context, item);
        }
    }

    async fn modify_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        let mut watches = self.shared.watches.lock();
        items.iter().for_each(|item| watches.refilter(item.handle()));
    }

    async fn delete_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.shared.forget(items);
    }

    async fn write(
        &self,
        context: &RequestContext,
        _address_space: &RwLock<AddressSpace>,
        nodes_to_write: &mut [&mut WriteNode],
    ) -> Result<(), StatusCode> {
        self.shared.heard(context.session_id());
        let person = self.shared.plant.person(&context.user_token().0);
        let denied = person.as_ref().is_none_or(|p| p.role < Role::Operator);
        let mut orders = Vec::new();
        let mut told = Vec::new();
        for (place, node) in nodes_to_write.iter_mut().enumerate() {
            match self.look_at(node) {
                Ok((tag, value)) if !denied => orders.push((place, tag, value)),
                looked => {
                    let status = looked.err().filter(|_| !denied).unwrap_or(StatusCode::BadUserAccessDenied);
                    node.set_status(status);
                    self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
                    let path = match &node.value().node_id.identifier {
                        Identifier::String(path) => path.as_ref().chars().take(96).collect(),
                        _ => node.value().node_id.to_string(),
                    };
                    told.push((path, status));
                }
            }
        }
        let Ok(place) = self.shared.actions.clone().try_acquire_owned() else {
            orders.iter().for_each(|(place, ..)| nodes_to_write[*place].set_status(StatusCode::BadTooManyOperations));
            return Ok(());
        };
        let (shared, places): (_, Vec<usize>) = (self.shared.clone(), orders.iter().map(|o| o.0).collect());
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            for (path, status) in told {
                shared.plant.write_refused(person.as_ref(), &path, status.sub_code().name());
            }
            person.map_or_else(Vec::new, |person| carry_out(&shared, &person, orders))
        });
        match done.await {
            Ok(answers) => answers.into_iter().for_each(|(place, status)| nodes_to_write[place].set_status(status)),
            // It is not known how far it came.
            Err(_) => places.into_iter().for_each(|p| nodes_to_write[p].set_status(StatusCode::BadInternalError)),
        }
        Ok(())
    }

    async fn history_read_raw_modified(
        &self,
        context: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps_to_return: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.shared.heard(context.session_id());
        let ask = Raw::parse(details)?;
        let asked = self.asked(nodes);
        let page = HISTORY_VALUES_MAX.min(HISTORY_VALUES_PER_CALL_MAX / asked.len().max(1)).max(1);
        let mut questions = Vec::new();
        for (place, tag) in asked {
            let (ask, cursor) = match nodes[place].continuation_point().map(|c| c.get::<Continued<Raw>>()) {
                None => (ask, None),
                Some(Some(continued)) => (continued.ask, Some(continued.cursor.clone())),
                Some(None) => {
                    nodes[place].set_status(StatusCode::BadContinuationPointInvalid);
                    continue;
                }
            };
            questions.push((place, tag, ask, cursor));
        }
        let answers = self
            .off(move |shared| {
                let answer = |(place, tag, ask, cursor): (usize, TagId, Raw, Option<Cursor>)| {
                    (place, ask, history::raw(&*shared.plant, tag, &ask, cursor.as_ref(), page))
                };
                questions.into_iter().map(answer).collect::<Vec<_>>()
            })
            .await?;
        for (place, ask, answer) in answers {
            let node = &mut nodes[place];
            match answer {
                Ok((values, next)) => {
                    let next: Page = (values, next);
                    let empty = next.0.is_empty();
                    node.set_result(HistoryData { data_values: Some(history::timed(next.0, timestamps_to_return)) });
                    node.set_next_continuation_point(
                        next.1.map(|cursor| ContinuationPoint::new(Box::new(Continued { ask, cursor }))),
                    );
                    node.set_status(if empty { StatusCode::GoodNoData } else { StatusCode::Good });
                }
                Err(status) => node.set_status(status),
            }
        }
        Ok(())
    }

    async fn history_read_at_time(
        &self,
        context: &RequestContext,
        details: &ReadAtTimeDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps_to_return: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let times = details.req_times.as_ref().map_or(0, Vec::len);
        if times.saturating_mul(nodes.len()) > HISTORY_TIMES_MAX {
            return Err(StatusCode::BadTooManyOperations);
        }
        let details = details.clone();
        self.ask_all(context, nodes, timestamps_to_return, move |shared, tag| {
            history::at_times(&*shared.plant, tag, &details)
        })
        .await
    }

    async fn history_read_processed(
        &self,
        context: &RequestContext,
        details: &ReadProcessedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps_to_return: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let details = details.clone();
        self.ask_all(context, nodes, timestamps_to_return, move |shared, tag| {
            history::processed(&*shared.plant, tag, &details)
        })
        .await
    }
}

impl PlantNodes {
    /// Answers every node of a history read in one go.
    async fn ask_all(
        &self,
        context: &RequestContext,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
        ask: impl Fn(&Shared, TagId) -> Result<Vec<DataValue>, StatusCode> + Send + 'static,
    ) -> Result<(), StatusCode> {
        self.shared.heard(context.session_id());
        let asked = self.asked(nodes);
        let answers = self
            .off(move |shared| asked.into_iter().map(|(place, tag)| (place, ask(shared, tag))).collect::<Vec<_>>())
            .await?;
        for (place, answer) in answers {
            match answer {
                Ok(values) => {
                    nodes[place].set_result(HistoryData { data_values: Some(history::timed(values, timestamps)) });
                    nodes[place].set_status(StatusCode::Good);
                }
                Err(status) => nodes[place].set_status(status),
            }
        }
        Ok(())
    }
}

const _: () = assert!(HISTORY_READS_MAX > 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_status_of_its_own() {
        let all = [
            (Refused::Denied, StatusCode::BadUserAccessDenied),
            (Refused::Range, StatusCode::BadOutOfRange),
            (Refused::Type, StatusCode::BadTypeMismatch),
            (Refused::ReadOnly, StatusCode::BadNotWritable),
            (Refused::State, StatusCode::BadInvalidState),
            (Refused::Busy, StatusCode::BadTooManyOperations),
            (Refused::Record, StatusCode::BadResourceUnavailable),
        ];
        for (why, status) in all {
            assert_eq!(refused(why), status, "{why:?}");
        }
    }
}
