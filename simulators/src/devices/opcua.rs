//! OPC UA socket of the sludge and effluent PLC: policy None, anonymous, namespace [`NAMESPACE`].
//!
//! Source timestamps are real UTC, as the clock of a device is, whatever the plant clock shows. Writes are checked for
//! type and range before they reach the plant: wrong type `BadTypeMismatch`, range or not finite `BadOutOfRange`.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opcua::nodes::VariableBuilder;
use opcua::server::address_space::{AddressSpace, write_node_value};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl};
use opcua::server::node_manager::{RequestContext, ServerContext, WriteNode};
use opcua::server::{ServerBuilder, ServerHandle};
use opcua::sync::RwLock;
use opcua::types::{AttributeId, DataTypeId, DataValue, DateTime, NodeId, ObjectId, StatusCode, Variant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::sludge::{COMMANDS, DEWATER_RUNNING, SharedNodes, double_nodes};

/// Namespace of the PLC's nodes.
pub const NAMESPACE: &str = "urn:penstock:sim:sludge-effluent";
/// The server's own namespace; the library gives it nodes of its own, so it must not be that of the PLC.
const APPLICATION: &str = "urn:penstock:sim";
/// OPC UA counts time in steps of 100 ns.
const TICKS_PER_S: f64 = 1e7;
/// Time the server has to begin to listen.
const START_WAIT: Duration = Duration::from_secs(10);
/// Time open connections have to close.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// The node manager of the PLC.
struct PlcNodes {
    namespace: u16,
    shared: SharedNodes,
}

impl PlcNodes {
    fn build(context: &ServerContext, address_space: &mut AddressSpace, shared: SharedNodes) -> PlcNodes {
        let namespace = context.type_tree.write().namespaces_mut().add_namespace(NAMESPACE);
        address_space.add_namespace(NAMESPACE, namespace);
        let id = |name: &str| NodeId::new(namespace, name);
        let objects: NodeId = ObjectId::ObjectsFolder.into();
        for folder in ["Effluent", "Sludge"] {
            address_space.add_folder(&id(folder), folder, folder, &objects);
        }
        let parent = |name: &str| id(name.split('.').next().unwrap_or_default());
        let nodes = shared.lock();
        let doubles = double_nodes().into_iter().zip(&nodes.doubles).map(|(name, value)| (name, *value, false));
        let commands = COMMANDS.iter().zip(nodes.commands).map(|(command, value)| (command.id, value, true));
        for (name, value, writable) in doubles.chain(commands) {
            let leaf = name.split('.').next_back().unwrap_or(name);
            let mut builder = VariableBuilder::new(&id(name), leaf, leaf)
                .data_type(DataTypeId::Double)
                .value(value)
                .organized_by(parent(name));
            if writable {
                builder = builder.writable();
            }
            builder.insert(address_space);
        }
        VariableBuilder::new(&id(DEWATER_RUNNING), "DewaterRunning", "DewaterRunning")
            .data_type(DataTypeId::Boolean)
            .value(nodes.dewater_running)
            .organized_by(parent(DEWATER_RUNNING))
            .insert(address_space);
        drop(nodes);
        PlcNodes { namespace, shared }
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

/// The running server.
pub struct OpcUaServer {
    handle: ServerHandle,
    manager: Arc<InMemoryNodeManager<PlcNodes>>,
    shared: SharedNodes,
    task: JoinHandle<Result<(), String>>,
    pki: PathBuf,
}

impl OpcUaServer {
    /// Serves the nodes on a listening socket; clients are told to come to `address`, where a gate may stand.
    ///
    /// # Errors
    /// What the library says when it refuses the configuration, or that it did not begin to listen.
    pub async fn start(listener: TcpListener, address: SocketAddr, shared: SharedNodes) -> Result<OpcUaServer, String> {
        let inner = listener.local_addr().map_err(|e| e.to_string())?;
        let server = OpcUaServer::spawn(listener, address, shared)?;
        server.advertise(inner.port(), address.port()).await?;
        Ok(server)
    }

    fn spawn(listener: TcpListener, address: SocketAddr, shared: SharedNodes) -> Result<OpcUaServer, String> {
        // The library keeps certificates in a folder even where none are used: one that goes with the process.
        let pki = std::env::temp_dir().join(format!("penstock-sim-{}-{}", std::process::id(), address.port()));
        let nodes = shared.clone();
        let manager = InMemoryNodeManagerBuilder::new(move |context: ServerContext, space: &mut AddressSpace| {
            PlcNodes::build(&context, space, nodes)
        });
        let mut builder = ServerBuilder::new_anonymous("Penstock simulated sludge and effluent PLC")
            .application_uri(APPLICATION)
            .product_uri(APPLICATION)
            .host(address.ip().to_string())
            .port(address.port())
            .pki_dir(&pki)
            .create_sample_keypair(false)
            .with_node_manager(manager);
        let limits = &mut builder.limits_mut().subscriptions;
        limits.max_notifications_per_publish = 5000;
        limits.max_queued_notifications = 1000;
        let (server, handle) = builder.build()?;
        let manager = handle
            .node_managers()
            .get_of_type::<InMemoryNodeManager<PlcNodes>>()
            .ok_or("the node manager of the PLC is missing")?;
        let task = tokio::spawn(server.run_with(listener));
        Ok(OpcUaServer { handle, manager, shared, task, pki })
    }

    /// When it begins to listen the library takes the port of its socket for that of its endpoints, and clients go to
    /// where those are: past the gate. So wait for that, and put the public port in its place.
    async fn advertise(&self, inner: u16, public: u16) -> Result<(), String> {
        let port = &self.handle.info().port;
        let listening = async {
            while port.load(Ordering::Relaxed) != inner && self.running() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(START_WAIT, listening).await.map_err(|_| "it does not begin to listen".to_owned())?;
        port.store(public, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the read-only nodes to what the PLC shows now. The command nodes change by writes alone: setting them from
    /// here too could bring back the value before a write that is under way.
    ///
    /// Source times are UTC plus `skew_s` seconds: the clock of the device may be wrong.
    pub fn publish(&self, skew_s: f64) {
        let namespace = self.manager.inner().namespace;
        let now = DateTime::from(DateTime::now().ticks() + (skew_s * TICKS_PER_S) as i64);
        let nodes = self.shared.lock().clone();
        let doubles = double_nodes().into_iter().zip(nodes.doubles);
        let values: Vec<(NodeId, DataValue)> = doubles
            .map(|(name, value)| (name, Variant::Double(value)))
            .chain([(DEWATER_RUNNING, Variant::Boolean(nodes.dewater_running))])
            .map(|(name, value)| (NodeId::new(namespace, name), DataValue::new_at(value, now)))
            .collect();
        let values = values.iter().map(|(id, value)| (id, None, value.clone()));
        if let Err(status) = self.manager.set_values(self.handle.subscriptions(), values) {
            tracing::error!(%status, "a node of the sludge and effluent PLC is missing");
        }
    }

    /// Whether the server still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Closes connections and socket.
    pub async fn stop(mut self) {
        self.handle.cancel();
        if tokio::time::timeout(STOP_WAIT, &mut self.task).await.is_err() {
            tracing::warn!("OPC UA connections did not close in time");
        }
    }
}

impl Drop for OpcUaServer {
    fn drop(&mut self) {
        self.handle.cancel();
        self.task.abort();
        // A folder that stays behind does no harm.
        let _ = std::fs::remove_dir_all(&self.pki);
    }
}
