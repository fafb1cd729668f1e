//! An OPC UA device that holds some nodes and remembers every write, behind a wire that can be cut, for tests that ask
//! what a device really got. The server is the library's own; nothing of the driver is in it.

use opcua::server::address_space::VariableBuilder;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle};
use opcua::types::{DataTypeId, DataValue, NodeId, ObjectId, StatusCode, Variant};
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const NAMESPACE: &str = "urn:penstock:test:device";

#[derive(Default)]
struct Held {
    values: Mutex<HashMap<String, f64>>,
    writes: Mutex<Vec<(Instant, String, f64)>>,
}

/// The device.
pub struct OpcUaDevice {
    /// Where the driver finds it: this end of the wire.
    pub address: SocketAddr,
    held: Arc<Held>,
    wire: Arc<Wire>,
    handle: ServerHandle,
    // The server lives on it.
    _threads: tokio::runtime::Runtime,
}

impl OpcUaDevice {
    pub fn start(nodes: &[&str]) -> OpcUaDevice {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let held = Arc::new(Held::default());
        let pki = std::env::temp_dir().join(format!("penstock-opcua-device-{}", std::process::id()));
        let metadata = NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
        let entered = threads.enter();
        let (server, handle) = ServerBuilder::new()
            .application_name("device")
            .application_uri("urn:device")
            .pki_dir(pki)
            .create_sample_keypair(false)
            .host("127.0.0.1")
            .add_endpoint("only", ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_string()]))
            .discovery_urls(vec!["/".to_owned()])
            .with_node_manager(simple_node_manager(metadata, "device"))
            .build()
            .unwrap();
        drop(entered);
        let manager = handle.node_managers().get_by_name::<SimpleNodeManager>("device").unwrap();
        let namespace = handle.get_namespace_index(NAMESPACE).unwrap();
        for name in nodes {
            add_node(&manager, NodeId::new(namespace, *name), name, &held);
        }
        let listener = threads.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let behind = listener.local_addr().unwrap();
        threads.spawn(async move { server.run_with(listener).await });
        let (address, wire) = Wire::to(behind);
        OpcUaDevice { address, held, wire, handle, _threads: threads }
    }

    /// Pulls the cable, or puts it back.
    pub fn connected(&self, on: bool) {
        self.wire.on.store(on, Ordering::SeqCst);
        if !on {
            for end in self.wire.open.lock().unwrap().drain(..) {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// What a node holds.
    pub fn holds(&self, node: &str) -> f64 {
        self.held.values.lock().unwrap()[node]
    }

    /// Every value written to a node since the moment, oldest first, with its time.
    pub fn written(&self, node: &str, since: Instant) -> Vec<(Instant, f64)> {
        let writes = self.held.writes.lock().unwrap();
        writes.iter().filter(|(at, n, _)| n == node && *at >= since).map(|(at, _, v)| (*at, *v)).collect()
    }

    /// The first write of all since the moment: which node, and what.
    pub fn first_written(&self, since: Instant) -> Option<(String, f64)> {
        let writes = self.held.writes.lock().unwrap();
        writes.iter().find(|(at, ..)| *at >= since).map(|(_, node, value)| (node.clone(), *value))
    }

    /// Waits until a node was written with this value since the moment; how long after it that was.
    pub fn wait_for(&self, node: &str, value: f64, since: Instant, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let got = self.written(node, since);
            if let Some((at, _)) = got.iter().find(|(_, v)| *v == value) {
                return at.duration_since(since);
            }
            assert!(start.elapsed() < limit, "node {node} never got {value}, but {got:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for OpcUaDevice {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

fn add_node(manager: &SimpleNodeManager, id: NodeId, name: &str, held: &Arc<Held>) {
    held.values.lock().unwrap().insert(name.to_owned(), 0.0);
    VariableBuilder::new(&id, name, name)
        .data_type(DataTypeId::Double)
        .value(0.0)
        .organized_by(ObjectId::ObjectsFolder)
        .writable()
        .insert(&mut *manager.address_space().write());
    let (name, store) = (name.to_owned(), held.clone());
    manager.inner().add_read_callback(id.clone(), {
        let (name, store) = (name.clone(), held.clone());
        move |_, _, _| Ok(DataValue::new_now(store.values.lock().unwrap()[&name]))
    });
    manager.inner().add_write_callback(id, move |value, _| {
        let Some(Variant::Double(number)) = value.value else { return StatusCode::BadTypeMismatch };
        store.values.lock().unwrap().insert(name.clone(), number);
        store.writes.lock().unwrap().push((Instant::now(), name.clone(), number));
        StatusCode::Good
    });
}

/// A wire to the server. Its address stays while it is cut.
#[derive(Default)]
struct Wire {
    on: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    fn to(behind: SocketAddr) -> (SocketAddr, Arc<Wire>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire { on: AtomicBool::new(true), open: Mutex::default() });
        let own = wire.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                if !own.on.load(Ordering::SeqCst) {
                    // The cable is out: whoever connects is cut off.
                    continue;
                }
                let Ok(far) = TcpStream::connect(behind) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    own.open.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        (address, wire)
    }
}
