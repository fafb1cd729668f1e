//! OPC UA socket of the sludge and effluent PLC: namespace [`NAMESPACE`], with and without security.
//!
//! Server times are real UTC, as the clock of a device is, whatever the plant clock shows; source times say when the
//! instrument took the sample that is shown. Writes are checked for type and range before they reach the plant: wrong type
//! `BadTypeMismatch`, range or not finite `BadOutOfRange`, no right to write `BadUserAccessDenied`.
//!
//! The library fixes certificate and namespaces when a server is built. So what changes them on a real device, as a
//! restart does, ends the server of the library and begins another one: clients lose sessions and subscriptions.

mod access;
mod nodes;
mod pki;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opcua::server::address_space::AddressSpace;
use opcua::server::node_manager::ServerContext;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder};
use opcua::server::{Server, ServerBuilder, ServerHandle};
use opcua::types::DateTime;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::sludge::SharedNodes;
use crate::faults::{Certificate, LinkState};
pub use access::{Anonymous, OpcUaSettings, Secret, USER};
use nodes::{PlcNodes, SampleTimes};
use pki::Pki;

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

/// What a server of the library is built for; another one makes a new server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shape {
    certificate: Certificate,
    /// Restarts so far.
    life: u32,
    /// Downloads so far.
    program: u16,
}

/// One server of the library.
struct Inner {
    handle: ServerHandle,
    manager: Arc<InMemoryNodeManager<PlcNodes>>,
    /// The nodes of the program are there.
    present: bool,
}

/// What a server is built from, and the one that runs.
struct Site {
    /// Stays open from one server to the next: a client that comes in between waits.
    listener: std::net::TcpListener,
    /// Where clients are told to come to.
    address: SocketAddr,
    shared: SharedNodes,
    settings: OpcUaSettings,
    pki: Pki,
    running: Mutex<Option<Inner>>,
    link: Mutex<Seen>,
}

/// What was seen of the link last, and when instruments measured.
#[derive(Default)]
struct Seen {
    restarting: bool,
    downloading: bool,
    times: SampleTimes,
}

/// The running device.
pub struct OpcUaServer {
    site: Arc<Site>,
    shape: watch::Sender<Shape>,
    task: JoinHandle<Result<(), String>>,
}

type LibraryTask = JoinHandle<Result<(), String>>;

impl Site {
    /// Builds a server.
    fn build(&self, shape: Shape, present: bool) -> Result<(Server, ServerHandle), String> {
        self.pki.prepare(shape.certificate)?;
        let (certificate, key) = self.pki.files(shape.certificate);
        let shared = self.shared.clone();
        let manager = InMemoryNodeManagerBuilder::new(move |context: ServerContext, space: &mut AddressSpace| {
            PlcNodes::build(&context, space, shared, (shape.program, present))
        });
        let folder = self.pki.folder();
        let keeper = access::Gatekeeper::new(&self.settings, folder.to_path_buf());
        let mut builder = access::endpoints(ServerBuilder::new())
            .application_name("Penstock simulated sludge and effluent PLC")
            .application_uri(APPLICATION)
            .product_uri(APPLICATION)
            .host(self.address.ip().to_string())
            .port(self.address.port())
            .pki_dir(folder)
            .certificate_path(certificate)
            .private_key_path(key)
            .create_sample_keypair(false)
            .trust_client_certs(self.settings.trust_all)
            .with_authenticator(Arc::new(keeper))
            .with_node_manager(manager);
        let limits = &mut builder.limits_mut().subscriptions;
        limits.max_notifications_per_publish = 5000;
        limits.max_queued_notifications = 1000;
        builder.build()
    }

    /// Begins a server and waits until it listens.
    async fn start(self: &Arc<Self>, shape: Shape) -> Result<LibraryTask, String> {
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(|e| e.to_string())?;
        let port = self.listener.local_addr().map_err(|e| e.to_string())?.port();
        let present = !self.link.lock().downloading;
        let site = self.clone();
        // A new key takes up to a second of one core.
        let built = tokio::task::spawn_blocking(move || site.build(shape, present));
        let (server, handle) = built.await.map_err(|e| e.to_string())??;
        let manager = handle
            .node_managers()
            .get_of_type::<InMemoryNodeManager<PlcNodes>>()
            .ok_or("the node manager of the PLC is missing")?;
        let task = tokio::spawn(server.run_with(listener));
        advertise(&handle, &task, port, self.address.port()).await?;
        *self.running.lock() = Some(Inner { handle, manager, present });
        Ok(task)
    }

    /// Ends the running server.
    async fn stop(&self, mut task: LibraryTask) {
        if let Some(inner) = self.running.lock().take() {
            inner.handle.cancel();
        }
        if tokio::time::timeout(STOP_WAIT, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("OPC UA connections did not close in time");
        }
    }

    /// Keeps a server of the wanted shape running; ends when nobody wants one any more, or by an error.
    async fn keep(self: &Arc<Self>, mut task: LibraryTask, mut wanted: watch::Receiver<Shape>) -> Result<(), String> {
        let mut shape = *wanted.borrow_and_update();
        loop {
            let changed = tokio::select! {
                ended = &mut task => {
                    return ended.map_err(|e| e.to_string())?.and(Err("it ended by itself".to_owned()));
                }
                changed = wanted.wait_for(|wanted| *wanted != shape) => changed.map(|wanted| *wanted),
            };
            self.stop(task).await;
            let Ok(next) = changed else { return Ok(()) };
            shape = next;
            task = self.start(shape).await?;
        }
    }
}

/// When it begins to listen the library takes the port of its socket for that of its endpoints, and clients go to where
/// those are: past the gate. So wait for that, and put the public port in its place.
async fn advertise(handle: &ServerHandle, task: &LibraryTask, inner: u16, public: u16) -> Result<(), String> {
    let port = &handle.info().port;
    let listening = async {
        while port.load(Ordering::Relaxed) != inner && !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(START_WAIT, listening).await.map_err(|_| "it does not begin to listen".to_owned())?;
    port.store(public, Ordering::Relaxed);
    Ok(())
}

impl OpcUaServer {
    /// Serves the nodes on a listening socket; clients are told to come to `address`, where a gate may stand.
    ///
    /// # Errors
    /// What is wrong with the PKI folder, what the library says when it refuses the configuration, or that it did not
    /// begin to listen.
    pub async fn start(
        listener: TcpListener,
        address: SocketAddr,
        shared: SharedNodes,
        settings: &OpcUaSettings,
    ) -> Result<OpcUaServer, String> {
        let listener = listener.into_std().map_err(|e| e.to_string())?;
        let settings = settings.clone();
        let name = format!("penstock-sim-{}-{}", std::process::id(), address.port());
        // A key takes up to a second of one core.
        let site = tokio::task::spawn_blocking(move || {
            let pki = Pki::open(settings.pki.as_deref(), &name, APPLICATION, address.ip(), settings.certificate_days)?;
            let (running, link) = (Mutex::default(), Mutex::default());
            Ok::<Site, String>(Site { listener, address, shared, settings, pki, running, link })
        });
        let site = Arc::new(site.await.map_err(|e| e.to_string())??);
        let shape = watch::Sender::new(Shape::default());
        let (first, wanted) = (site.start(Shape::default()).await?, shape.subscribe());
        let keeper = site.clone();
        let task = tokio::spawn(async move { keeper.keep(first, wanted).await });
        Ok(OpcUaServer { site, shape, task })
    }

    /// Follows the faults of the device and sets the read-only nodes to what the PLC shows now.
    pub fn publish(&self, link: &LinkState) {
        let now = DateTime::from(DateTime::now().ticks() + (link.skew_s * TICKS_PER_S) as i64);
        let mut seen = self.site.link.lock();
        let begins = link.restarting && !seen.restarting;
        let loaded = seen.downloading && !link.downloading;
        (seen.restarting, seen.downloading) = (link.restarting, link.downloading);
        seen.times.note(&self.site.shared.lock(), now);
        self.shape.send_if_modified(|shape| {
            let before = *shape;
            shape.certificate = link.certificate;
            shape.life = shape.life.wrapping_add(u32::from(begins));
            shape.program = shape.program.wrapping_add(u16::from(loaded));
            *shape != before
        });
        let mut running = self.site.running.lock();
        let Some(inner) = running.as_mut() else { return };
        if link.downloading && inner.present {
            nodes::remove(&inner.manager);
            inner.present = false;
        }
        if inner.present {
            nodes::publish(&inner.manager, inner.handle.subscriptions(), &seen.times, now);
        } else {
            nodes::tell_gone(&inner.manager, inner.handle.subscriptions());
        }
    }

    /// Whether the device still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Closes connections and socket.
    pub async fn stop(self) {
        let OpcUaServer { site, shape, task } = self;
        drop(shape);
        if let Ok(Err(reason)) = task.await {
            tracing::warn!(reason, "the OPC UA server did not end well");
        }
        drop(site);
    }
}
