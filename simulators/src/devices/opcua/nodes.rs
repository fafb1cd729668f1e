//! The address space of the PLC: folders, analog items with range and unit, status words, commands.

use std::future::Future;
use std::pin::Pin;

use opcua::nodes::VariableBuilder;
use opcua::server::SubscriptionCache;
use opcua::server::address_space::{AddressSpace, write_node_value};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerImpl};
use opcua::server::node_manager::{RequestContext, ServerContext, WriteNode};
use opcua::sync::RwLock;
use opcua::types::{
    AttributeId, DataTypeId, DataValue, DateTime, EUInformation, ExtensionObject, Identifier, LocalizedText, NodeId,
    ObjectId, QualifiedName, Range, StatusCode, VariableTypeId, Variant,
};

use super::NAMESPACE;
use crate::devices::sludge::{
    COMMAND_UNIT, COMMANDS, DEWATER_RUNNING, Nodes, STATUS_NODES, SharedNodes, Unit, analog_nodes,
};
use crate::instruments::status::Condition;

/// Namespace of the UNECE codes of units (part 8, 5.6.3.3).
const UNECE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";
/// Folders under `Objects`; the first part of a node's identifier.
const FOLDERS: [&str; 2] = ["Effluent", "Sludge"];
/// Programs before namespaces are numbered as at the first again.
const PROGRAMS_MAX: u16 = 16;

/// The node manager of the PLC.
pub(super) struct PlcNodes {
    namespace: u16,
    shared: SharedNodes,
}

/// English and Chinese in one text: the library keeps one description, whatever the locale of a session.
fn both([english, chinese]: [&str; 2]) -> LocalizedText {
    LocalizedText::from(format!("{english} / {chinese}"))
}

/// Builds the nodes of one namespace.
struct Builder<'a> {
    namespace: u16,
    space: &'a mut AddressSpace,
}

impl Builder<'_> {
    fn id(&self, name: &str) -> NodeId {
        NodeId::new(self.namespace, name)
    }

    fn variable(&self, name: &str, kind: DataTypeId, value: Variant, description: [&str; 2]) -> VariableBuilder {
        let (folder, leaf) = name.split_once('.').unwrap_or((name, name));
        VariableBuilder::new(&self.id(name), QualifiedName::new(self.namespace, leaf), leaf)
            .description(both(description))
            .data_type(kind)
            .value(value)
            .organized_by(self.id(folder))
    }

    /// A property: its name is one of the standard's.
    fn property(&mut self, of: &str, name: &str, kind: DataTypeId, value: ExtensionObject) {
        VariableBuilder::new(&self.id(&format!("{of}.{name}")), QualifiedName::new(0, name), name)
            .data_type(kind)
            .value(Variant::from(value))
            .has_type_definition(VariableTypeId::PropertyType)
            .property_of(self.id(of))
            .insert(self.space);
    }

    /// `EURange` and `EngineeringUnits` of an analog item.
    fn analog(&mut self, variable: VariableBuilder, name: &str, (low, high): (f64, f64), unit: Unit) {
        variable.has_type_definition(VariableTypeId::AnalogItemType).insert(self.space);
        self.property(name, "EURange", DataTypeId::Range, ExtensionObject::from_message(Range { low, high }));
        let unit = EUInformation {
            namespace_uri: UNECE.into(),
            unit_id: unit.id(),
            display_name: unit.symbol.into(),
            description: unit.symbol.into(),
        };
        self.property(name, "EngineeringUnits", DataTypeId::EUInformation, ExtensionObject::from_message(unit));
    }

    fn all(&mut self, nodes: &Nodes) {
        let objects: NodeId = ObjectId::ObjectsFolder.into();
        for folder in FOLDERS {
            let (id, name) = (self.id(folder), QualifiedName::new(self.namespace, folder));
            self.space.add_folder(&id, name, folder, &objects);
        }
        for (node, value) in analog_nodes().into_iter().zip(&nodes.doubles) {
            let variable = self.variable(node.id, DataTypeId::Double, Variant::Double(*value), node.description);
            self.analog(variable, node.id, node.range, node.unit);
        }
        for (command, value) in COMMANDS.iter().zip(nodes.commands) {
            let variable = self.variable(command.id, DataTypeId::Double, Variant::Double(value), command.description);
            self.analog(variable.writable(), command.id, (command.low, command.high), COMMAND_UNIT);
        }
        for ((name, _), value) in STATUS_NODES.into_iter().zip(&nodes.statuses) {
            let description = ["Status word of the instrument", "仪表状态字"];
            let variable = self.variable(name, DataTypeId::UInt16, Variant::UInt16(*value), description);
            variable.has_type_definition(VariableTypeId::BaseDataVariableType).insert(self.space);
        }
        let running = Variant::Boolean(nodes.dewater_running);
        let variable =
            self.variable(DEWATER_RUNNING, DataTypeId::Boolean, running, ["Dewatering running", "脱水机运行"]);
        variable.has_type_definition(VariableTypeId::BaseDataVariableType).insert(self.space);
    }
}

impl PlcNodes {
    /// The nodes after so many downloads; none while one is under way. Each program brings a namespace before theirs.
    pub(super) fn build(
        context: &ServerContext,
        space: &mut AddressSpace,
        shared: SharedNodes,
        (program, present): (u16, bool),
    ) -> PlcNodes {
        let namespace = {
            let mut tree = context.type_tree.write();
            for earlier in 1..=program % PROGRAMS_MAX {
                let uri = format!("{NAMESPACE}:program-{earlier}");
                let index = tree.namespaces_mut().add_namespace(&uri);
                space.add_namespace(&uri, index);
            }
            tree.namespaces_mut().add_namespace(NAMESPACE)
        };
        space.add_namespace(NAMESPACE, namespace);
        if present {
            Builder { namespace, space }.all(&shared.lock());
        }
        PlcNodes { namespace, shared }
    }

    /// Identifiers of the nodes whose values clients watch.
    fn values(&self) -> Vec<NodeId> {
        let names = analog_nodes().into_iter().map(|node| node.id);
        let names = names.chain(COMMANDS.map(|command| command.id)).chain(STATUS_NODES.map(|(name, _)| name));
        names.chain([DEWATER_RUNNING]).map(|name| NodeId::new(self.namespace, name)).collect()
    }

    /// Takes one write to the plant, or says why not.
    fn accept(&self, write: &WriteNode) -> Result<(), StatusCode> {
        let value = write.value();
        let command = COMMANDS.iter().position(|command| value.node_id == NodeId::new(self.namespace, command.id));
        let index = command.ok_or(StatusCode::BadNotWritable)?;
        let Some(Variant::Double(wanted)) = value.value.value else {
            return Err(StatusCode::BadTypeMismatch);
        };
        let range = COMMANDS[index].low..=COMMANDS[index].high;
        if !range.contains(&wanted) {
            return Err(StatusCode::BadOutOfRange);
        }
        self.shared.lock().commands[index] = wanted;
        Ok(())
    }

    fn write_all(&self, context: &RequestContext, address_space: &RwLock<AddressSpace>, writes: &mut [&mut WriteNode]) {
        let mut address_space = address_space.write();
        let type_tree = context.type_tree.read();
        for write in writes {
            let result = address_space.validate_node_write(context, write.value(), &*type_tree).and_then(|node| {
                if write.value().attribute_id != AttributeId::Value {
                    return Err(StatusCode::BadNotWritable);
                }
                self.accept(write)?;
                write_node_value(node, write.value())
            });
            write.set_status(result.err().unwrap_or(StatusCode::Good));
            if result.is_ok() {
                let value = DataValue::new_now(write.value().value.value.clone().unwrap_or_default());
                let changed = (value, &write.value().node_id, AttributeId::Value);
                context.subscriptions.notify_data_change(std::iter::once(changed));
            }
        }
    }
}

/// The methods spell out what `async_trait` would generate, which saves a dependency for two of them.
impl InMemoryNodeManagerImpl for PlcNodes {
    fn init<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _address_space: &'life1 mut AddressSpace,
        _context: ServerContext,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        Self: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(std::future::ready(()))
    }

    fn name(&self) -> &str {
        "sludge-effluent"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: NAMESPACE.to_owned(),
            namespace_index: self.namespace,
            ..NamespaceMetadata::default()
        }]
    }

    fn write<'life0, 'life1, 'life2, 'life3, 'life4, 'async_trait>(
        &'life0 self,
        context: &'life1 RequestContext,
        address_space: &'life2 RwLock<AddressSpace>,
        nodes_to_write: &'life3 mut [&'life4 mut WriteNode],
    ) -> Pin<Box<dyn Future<Output = Result<(), StatusCode>> + Send + 'async_trait>>
    where
        Self: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        'life4: 'async_trait,
    {
        self.write_all(context, address_space, nodes_to_write);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What a condition of an instrument is in OPC UA (part 8, annex A): a held value is `Uncertain`, one nobody answers for `Bad`.
fn status(condition: Condition) -> StatusCode {
    match condition {
        Condition::Measuring => StatusCode::Good,
        Condition::Disturbed => StatusCode::Uncertain,
        Condition::Cleaning | Condition::Calibrating => StatusCode::UncertainLastUsableValue,
        Condition::Maintenance => StatusCode::BadOutOfService,
        Condition::WarmUp => StatusCode::BadWaitingForInitialData,
        Condition::Unpowered => StatusCode::BadDeviceFailure,
        Condition::Failed => StatusCode::BadSensorFailure,
    }
}

/// When the instruments took the samples they show, or went into the condition they are in, by the clock of the device:
/// the source times of their values (part 4, 7.11.3).
#[derive(Default)]
pub(super) struct SampleTimes(Vec<((u64, Condition), DateTime)>);

impl SampleTimes {
    /// Takes note of new samples and conditions: `now` is when they came.
    pub(super) fn note(&mut self, nodes: &Nodes, now: DateTime) {
        self.0.resize(nodes.samples.len(), ((0, Condition::default()), now));
        let states = nodes.samples.iter().copied().zip(nodes.conditions.iter().copied());
        for (seen, state) in self.0.iter_mut().zip(states) {
            if seen.0 != state {
                *seen = (state, now);
            }
        }
    }
}

/// Sets the read-only nodes to what the PLC shows now. The command nodes change by writes alone: setting them from here
/// too could bring back the value before a write that is under way.
pub(super) fn publish(
    manager: &InMemoryNodeManager<PlcNodes>,
    subscriptions: &SubscriptionCache,
    times: &SampleTimes,
    now: DateTime,
) {
    let namespace = manager.inner().namespace;
    let nodes = manager.inner().shared.lock().clone();
    // An empty value goes with a bad status: nobody is to use it. And the library tells clients without a filter of a
    // change of the value alone, and forgets the status where there is no value at all.
    let data = |value: Variant, status: StatusCode, measured: DateTime| DataValue {
        value: Some(if status.is_bad() { Variant::Empty } else { value }),
        status: Some(status),
        source_timestamp: Some(measured),
        server_timestamp: Some(now),
        ..DataValue::default()
    };
    let mut values: Vec<(NodeId, DataValue)> = Vec::new();
    let mut set = |name: &str, value: DataValue| values.push((NodeId::new(namespace, name), value));
    for (i, node) in analog_nodes().into_iter().enumerate() {
        let measured = times.0.get(i).map_or(now, |(_, at)| *at);
        set(node.id, data(Variant::Double(nodes.doubles[i]), status(nodes.conditions[i]), measured));
    }
    for ((name, _), word) in STATUS_NODES.into_iter().zip(nodes.statuses) {
        set(name, data(Variant::UInt16(word), StatusCode::Good, now));
    }
    set(DEWATER_RUNNING, data(Variant::Boolean(nodes.dewater_running), StatusCode::Good, now));
    let values = values.iter().map(|(id, value)| (id, None, value.clone()));
    if let Err(status) = manager.set_values(subscriptions, values) {
        tracing::error!(%status, "a node of the sludge and effluent PLC is missing");
    }
}

/// Takes the nodes of the program away.
pub(super) fn remove(manager: &InMemoryNodeManager<PlcNodes>) {
    let plc = manager.inner();
    let mut space = manager.address_space().write();
    for id in plc.values() {
        if let Identifier::String(name) = &id.identifier {
            for property in ["EURange", "EngineeringUnits"] {
                space.delete(&NodeId::new(plc.namespace, format!("{name}.{property}")), true);
            }
        }
        space.delete(&id, true);
    }
    for folder in FOLDERS {
        space.delete(&NodeId::new(plc.namespace, folder), true);
    }
}

/// Tells who watches the nodes of the program that they are gone. Said again and again: a value the library has put off
/// to the end of a sampling interval may come out after the first time.
pub(super) fn tell_gone(manager: &InMemoryNodeManager<PlcNodes>, subscriptions: &SubscriptionCache) {
    let values = manager.inner().values();
    let gone =
        DataValue { value: Some(Variant::Empty), status: Some(StatusCode::BadNodeIdUnknown), ..DataValue::default() };
    let changes = values.iter().map(|id| (gone.clone(), id, AttributeId::Value));
    subscriptions.notify_data_change(changes);
}
