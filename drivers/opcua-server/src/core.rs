//! The standard's own nodes, by the library, with what it lacks: the methods of conditions, which clients call by the ids
//! of their types (part 9, 5.5), the items that watch events of the server, and what the server can do with history.

use crate::event::Remark;
use crate::history::Aggregate;
use crate::limits::{COMMENT_BYTES_MAX, HISTORY_VALUES_MAX};
use crate::nodes::refused;
use crate::serve::{NAMESPACE, Shared};
use crate::space::condition_id;
use crate::{Person, Refused};
use async_trait::async_trait;
use opcua::server::CreateMonitoredItem;
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{
    CoreNodeManagerBuilder, CoreNodeManagerImpl, InMemoryNodeManagerImpl, InMemoryNodeManagerImplBuilder,
};
use opcua::server::node_manager::{
    MethodCall, MonitoredItemRef, MonitoredItemUpdateRef, ParsedReadValueId, RequestContext, ServerContext,
};
use opcua::sync::RwLock;
use opcua::types::{
    AttributeId, DataValue, Identifier, MethodId, MonitoringMode, NodeId, ObjectId, ReferenceTypeId, StatusCode,
    TimestampsToReturn, VariableId, Variant,
};
use penstock_model::{AlarmId, Role};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The manager of the standard's nodes.
pub(crate) struct PlantCore {
    inner: CoreNodeManagerImpl,
    shared: Arc<Shared>,
}

/// Builds it.
pub(crate) struct PlantCoreBuilder(pub(crate) Arc<Shared>);

impl InMemoryNodeManagerImplBuilder for PlantCoreBuilder {
    type Impl = PlantCore;

    fn build(self, context: ServerContext, space: &mut AddressSpace) -> PlantCore {
        let inner = CoreNodeManagerBuilder.build(context, space);
        let shared = self.0;
        // A method is called only where its object has it.
        for def in shared.alarm_defs.iter().filter(|def| shared.served.has(def.tag)) {
            let condition = condition_id(NAMESPACE, def);
            for method in [MethodId::AcknowledgeableConditionType_Acknowledge, MethodId::ConditionType_AddComment] {
                space.insert_reference(&condition, &NodeId::from(method), ReferenceTypeId::HasComponent);
            }
        }
        for (function, _) in Aggregate::ALL {
            let functions: NodeId = ObjectId::HistoryServerCapabilities_AggregateFunctions.into();
            space.insert_reference(&functions, &NodeId::from(function), ReferenceTypeId::Organizes);
        }
        PlantCore { inner, shared }
    }
}

/// A call that is carried out on a thread that may wait.
struct Order {
    place: usize,
    alarm: AlarmId,
    comment: String,
    acknowledges: bool,
}

impl PlantCore {
    /// The alarm whose condition a node is.
    fn alarm(&self, id: &NodeId) -> Option<AlarmId> {
        let Identifier::String(name) = &id.identifier else { return None };
        let name = name.as_ref().strip_prefix("alarm:").filter(|_| id.namespace == NAMESPACE)?;
        self.shared.alarm_defs.iter().find(|d| *d.name == *name && self.shared.served.has(d.tag)).map(|d| d.id)
    }

    /// A call of Acknowledge or AddComment, looked at.
    fn order(&self, place: usize, call: &MethodCall, acknowledges: bool) -> Result<Order, StatusCode> {
        let alarm = self.alarm(call.object_id()).ok_or(StatusCode::BadNodeIdUnknown)?;
        let [Variant::ByteString(event), comment] = call.arguments() else {
            return Err(StatusCode::BadArgumentsMissing);
        };
        let comment = match comment {
            Variant::LocalizedText(text) => text.text.as_ref().trim().to_owned(),
            Variant::String(text) => text.as_ref().trim().to_owned(),
            Variant::Empty => String::new(),
            _ => return Err(StatusCode::BadInvalidArgument),
        };
        if comment.len() > COMMENT_BYTES_MAX || comment.chars().any(char::is_control) {
            return Err(StatusCode::BadInvalidArgument);
        }
        let event = event.value.as_deref().unwrap_or_default();
        if !self.shared.alarms.lock().is_last(alarm, event) {
            return Err(StatusCode::BadEventIdUnknown);
        }
        Ok(Order { place, alarm, comment, acknowledges })
    }

    fn refresh(&self, context: &RequestContext, call: &MethodCall, one_item: bool) -> Result<(), StatusCode> {
        let number = |at: usize| match call.arguments().get(at) {
            Some(Variant::UInt32(n)) => Ok(*n),
            Some(_) => Err(StatusCode::BadInvalidArgument),
            None => Err(StatusCode::BadArgumentsMissing),
        };
        let what = (number(0)?, if one_item { Some(number(1)?) } else { None });
        let session = context.subscriptions().get_session_subscriptions(context.session_id());
        if !session.is_some_and(|s| s.lock().contains(what.0)) {
            return Err(StatusCode::BadSubscriptionIdInvalid);
        }
        self.shared.about(|about, alarms| alarms.refresh(about, context.session_id(), what))
    }

    /// Carries acknowledgements and comments out.
    async fn carry_out(&self, context: &RequestContext, orders: Vec<Order>, calls: &mut [&mut &mut MethodCall]) {
        let person = self.shared.plant.person(&context.user_token().0).filter(|p| p.role >= Role::Operator);
        let place = self.shared.actions.clone().try_acquire_owned();
        let (Some(person), Ok(place)) = (person, place) else {
            for order in orders {
                self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
                calls[order.place].set_status(StatusCode::BadUserAccessDenied);
            }
            return;
        };
        let places: Vec<usize> = orders.iter().map(|o| o.place).collect();
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            orders.iter().map(|order| (order.place, one(&shared, &person, order))).collect::<Vec<_>>()
        });
        match done.await {
            Ok(answers) => answers.into_iter().for_each(|(place, status)| calls[place].set_status(status)),
            Err(_) => places.into_iter().for_each(|p| calls[p].set_status(StatusCode::BadInternalError)),
        }
    }
}

/// Carries one out: recorded by the runtime first, then told to everybody who watches.
fn one(shared: &Shared, person: &Person, order: &Order) -> StatusCode {
    let remark = || Remark { text: order.comment.clone(), by: person.name.clone(), at: now() };
    let done = if order.acknowledges {
        // The comment has to be there when the event of the acknowledgement goes out.
        let said = (!order.comment.is_empty()).then(remark);
        let before = shared.alarms.lock().exchange_remark(order.alarm, said);
        let done = shared.plant.acknowledge(person, order.alarm, &order.comment);
        if done != Ok(true) {
            shared.alarms.lock().exchange_remark(order.alarm, before);
        }
        done
    } else if order.comment.is_empty() {
        return StatusCode::BadInvalidArgument;
    } else {
        shared.plant.comment(person, order.alarm, &order.comment).map(|()| {
            shared.about(|about, alarms| alarms.remark(about, order.alarm, remark()));
            true
        })
    };
    let status = match done {
        Ok(true) => StatusCode::Good,
        Ok(false) => StatusCode::BadConditionBranchAlreadyAcked,
        Err(why @ (Refused::Denied | Refused::Busy | Refused::Record)) => refused(why),
        Err(_) => StatusCode::BadInternalError,
    };
    let counter = if status.is_good() { &shared.counts.done } else { &shared.counts.refused };
    counter.fetch_add(1, Ordering::Relaxed);
    status
}

fn now() -> penstock_model::Utc {
    crate::convert::utc(&opcua::types::DateTime::now())
}

/// What the server says of its history, where the library has nothing to say.
fn capability(node: &ParsedReadValueId) -> Option<Variant> {
    if node.attribute_id != AttributeId::Value || node.node_id.namespace != 0 {
        return None;
    }
    let Identifier::Numeric(id) = node.node_id.identifier else { return None };
    match VariableId::try_from(id).ok()? {
        VariableId::HistoryServerCapabilities_AccessHistoryDataCapability => Some(Variant::from(true)),
        VariableId::HistoryServerCapabilities_MaxReturnDataValues => {
            Some(Variant::from(u32::try_from(HISTORY_VALUES_MAX).unwrap_or(u32::MAX)))
        }
        _ => None,
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for PlantCore {
    async fn init(&self, address_space: &mut AddressSpace, context: ServerContext) {
        self.inner.init(address_space, context).await;
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.inner.namespaces()
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps_to_return: TimestampsToReturn,
    ) -> Vec<DataValue> {
        self.shared.heard(context.session_id());
        let mut values = self.inner.read_values(context, address_space, nodes, max_age, timestamps_to_return).await;
        for (value, node) in values.iter_mut().zip(nodes) {
            if let Some(known) = capability(node) {
                *value = DataValue::new_now(known);
            }
        }
        values
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        self.inner.create_value_monitored_items(context, address_space, items).await;
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

    async fn set_monitoring_mode(&self, context: &RequestContext, mode: MonitoringMode, items: &[&MonitoredItemRef]) {
        self.inner.set_monitoring_mode(context, mode, items).await;
    }

    async fn modify_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.inner.modify_monitored_items(context, items).await;
    }

    async fn delete_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.inner.delete_monitored_items(context, items).await;
        self.shared.forget(items);
    }

    async fn call(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        methods_to_call: &mut [&mut &mut MethodCall],
    ) -> Result<(), StatusCode> {
        self.shared.heard(context.session_id());
        let mut orders = Vec::new();
        let mut others = Vec::new();
        for (place, call) in methods_to_call.iter_mut().enumerate() {
            let status = match call.method_id().as_method_id() {
                Ok(MethodId::AcknowledgeableConditionType_Acknowledge) => self.order(place, call, true).map(Some),
                Ok(MethodId::ConditionType_AddComment) => self.order(place, call, false).map(Some),
                Ok(MethodId::ConditionType_ConditionRefresh) => self.refresh(context, call, false).map(|()| None),
                Ok(MethodId::ConditionType_ConditionRefresh2) => self.refresh(context, call, true).map(|()| None),
                _ => {
                    others.push(place);
                    continue;
                }
            };
            match status {
                Ok(Some(order)) => orders.push(order),
                Ok(None) => call.set_status(StatusCode::Good),
                Err(status) => call.set_status(status),
            }
        }
        if !orders.is_empty() {
            self.carry_out(context, orders, methods_to_call).await;
        }
        for place in others {
            // One at a time: the library wants them side by side.
            self.inner.call(context, address_space, &mut methods_to_call[place..=place]).await?;
        }
        Ok(())
    }
}
