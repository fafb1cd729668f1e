//! An OPC UA server in the test's own process, a wire to it that can be cut or fall mute, and a sink that remembers
//! what the driver delivered.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use opcua::crypto::{CertificateStore, SecurityPolicy, X509Data};
use opcua::server::address_space::VariableBuilder;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle, ServerUserToken};
use opcua::types::{
    AttributeId, DataTypeId, DataValue, DateTime, MessageSecurityMode, NodeId, ObjectId, StatusCode, Variant,
};
use penstock_model::{
    Command, CommandId, DeviceId, LinkRecord, LinkState, Origin, Outcome, OutcomeState, Quality, Sample, SampleSink,
    SystemClock, TagId, TagSample, Utc, Value, ValueType,
};
use penstock_opcua::{DeviceConfig, GroupConfig, Identity, Part, PointConfig, Security, WriteConfig};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};

/// Longest a test waits for something that must happen: far beyond what it takes, so that only a defect meets it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Namespace of the test's nodes.
pub const NAMESPACE: &str = "urn:penstock:test";

/// How a test's server differs from the plain one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Another namespace comes first, so that ours has another number.
    pub shifted: bool,
    /// Nothing is ever published.
    pub silent: bool,
    /// Only protected channels, by every policy and mode.
    pub secure: bool,
    /// The server's certificate is valid for no time at all.
    pub expired: bool,
    /// What the server takes at most; `None` as it takes by itself.
    pub sessions_max: Option<usize>,
    pub subscriptions_max: Option<usize>,
    pub items_max: Option<usize>,
    pub writes_max: Option<usize>,
    pub reads_max: Option<usize>,
}

/// The server.
pub struct Server {
    handle: ServerHandle,
    nodes: Arc<SimpleNodeManager>,
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
    namespace: u16,
    pki: tempfile::TempDir,
}

impl Server {
    pub async fn start(options: Options) -> Server {
        let pki = tempfile::tempdir().unwrap();
        if options.secure {
            make_certificate(pki.path(), if options.expired { 0 } else { 30 });
        }
        let metadata = |uri: &str| NamespaceMetadata { namespace_uri: uri.to_owned(), ..Default::default() };
        let mut builder = ServerBuilder::new()
            .application_name("test")
            .application_uri("urn:test")
            .pki_dir(pki.path().to_owned())
            .create_sample_keypair(false)
            .trust_client_certs(true)
            .host("127.0.0.1")
            .add_user_token("operator", ServerUserToken::user_pass("operator", "right"))
            .discovery_urls(vec!["/".to_owned()])
            .subscription_poll_interval_ms(if options.silent { 3_600_000 } else { 10 });
        if options.secure {
            let holder = ServerUserToken::x509("holder", &pki.path().join("user.der"));
            builder = builder.add_user_token("holder", holder);
        }
        for (name, endpoint) in endpoints(options) {
            builder = builder.add_endpoint(name, endpoint);
        }
        if options.shifted {
            builder = builder.with_node_manager(simple_node_manager(metadata("urn:another"), "another"));
        }
        builder = builder.with_node_manager(simple_node_manager(metadata(NAMESPACE), "test"));
        let limits = &mut builder.limits_mut().subscriptions;
        limits.min_publishing_interval_ms = 10.0;
        limits.min_sampling_interval_ms = 10.0;
        set(&mut limits.max_subscriptions_per_session, options.subscriptions_max);
        set(&mut limits.max_monitored_items_per_sub, options.items_max);
        set(&mut builder.limits_mut().max_sessions, options.sessions_max);
        set(&mut builder.limits_mut().operational.max_nodes_per_write, options.writes_max);
        set(&mut builder.limits_mut().operational.max_nodes_per_read, options.reads_max);
        let (server, handle) = builder.build().unwrap();
        let nodes = handle.node_managers().get_by_name::<SimpleNodeManager>("test").unwrap();
        let namespace = handle.get_namespace_index(NAMESPACE).unwrap();
        add_nodes(&nodes, namespace);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { server.run_with(listener).await.unwrap() });
        Server { handle, nodes, address, task, namespace, pki }
    }

    fn id(&self, name: &str) -> NodeId {
        NodeId::new(self.namespace, name)
    }

    /// Sets a node's value as its device would.
    pub fn set(&self, name: &str, value: impl Into<Variant>, status: StatusCode, at: DateTime) {
        let value = DataValue {
            value: Some(value.into()),
            status: Some(status),
            source_timestamp: Some(at),
            server_timestamp: Some(DateTime::now()),
            ..DataValue::null()
        };
        self.nodes.set_value(self.handle.subscriptions(), &self.id(name), None, value).unwrap();
    }

    pub fn good(&self, name: &str, value: impl Into<Variant>) {
        self.set(name, value, StatusCode::Good, DateTime::now());
    }

    /// What a node holds.
    pub fn value(&self, name: &str) -> Variant {
        let space = self.nodes.address_space().read();
        let Some(opcua::server::address_space::NodeType::Variable(v)) = space.find(&self.id(name)) else {
            panic!("no node {name}")
        };
        let index = opcua::types::NumericRange::None;
        v.value(opcua::types::TimestampsToReturn::Neither, &index, &opcua::types::DataEncoding::Binary, 0.0)
            .value
            .unwrap()
    }

    /// A program download takes the node away; who watches it is told.
    pub fn remove(&self, name: &str) {
        let status = Some(StatusCode::BadNodeIdUnknown);
        let gone = DataValue { value: Some(Variant::Empty), status, ..DataValue::default() };
        self.nodes.address_space().write().delete(&self.id(name), true).unwrap();
        self.handle.subscriptions().notify_data_change([(gone, &self.id(name), AttributeId::Value)].into_iter());
    }

    /// Adds nodes that are written, `Out0` and so on.
    pub fn add_outputs(&self, count: u32) {
        for i in 0..count {
            let name = format!("Out{i}");
            add_node(&self.nodes, self.namespace, &name, DataTypeId::Double, Variant::Double(0.0), true);
        }
    }

    /// And brings it back.
    pub fn add(&self, name: &str, value: f64) {
        add_node(&self.nodes, self.namespace, name, DataTypeId::Double, Variant::Double(value), false);
    }

    /// Where the key of a person is that the server knows.
    pub fn person(&self) -> Identity {
        Identity::Certificate { certificate: self.pki.path().join("user.der"), key: self.pki.path().join("user.pem") }
    }

    /// Where the server keeps its own certificate.
    pub fn certificate(&self) -> std::path::PathBuf {
        self.pki.path().join("own/cert.der")
    }

    pub async fn stop(self) {
        self.handle.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the server stops").unwrap();
    }
}

fn set(limit: &mut usize, to: Option<usize>) {
    *limit = to.unwrap_or(*limit);
}

/// One without protection, or six with.
fn endpoints(options: Options) -> Vec<(String, ServerEndpoint)> {
    use MessageSecurityMode as Mode;
    use SecurityPolicy as Policy;
    let mut users = vec![ANONYMOUS_USER_TOKEN_ID.to_string(), "operator".to_string()];
    if !options.secure {
        return vec![("only".to_owned(), ServerEndpoint::new_none("/", &users))];
    }
    users.push("holder".to_owned());
    [Policy::Basic256Sha256, Policy::Aes128Sha256RsaOaep, Policy::Aes256Sha256RsaPss]
        .into_iter()
        .flat_map(|policy| [(policy, Mode::Sign), (policy, Mode::SignAndEncrypt)])
        .map(|(policy, mode)| (format!("{policy}-{mode}"), ServerEndpoint::new("/", policy, mode, &users)))
        .collect()
}

/// Key and certificate of the server, and a certificate with its key for a person.
fn make_certificate(pki: &Path, days: u32) {
    let make = |uri: &str, days, cert: &str, key: &str| {
        let data = X509Data {
            key_size: 2048,
            common_name: uri.to_owned(),
            organization: String::new(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names(uri, Some(vec!["127.0.0.1".to_owned()]), false, false, false),
            certificate_duration_days: days,
        };
        let (cert, key) = (pki.join(cert), pki.join(key));
        CertificateStore::create_certificate_and_key(&data, true, &cert, &key).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    make("urn:test", days, "own/cert.der", "private/private.pem");
    make("urn:person", 30, "user.der", "user.pem");
}

fn add_nodes(nodes: &SimpleNodeManager, namespace: u16) {
    let rows: [(&str, DataTypeId, Variant, bool); 8] = [
        ("Level", DataTypeId::Double, Variant::Double(1.5), false),
        ("Count", DataTypeId::Int32, Variant::Int32(7), false),
        ("Name", DataTypeId::String, Variant::from("P-12"), false),
        ("Run", DataTypeId::Boolean, Variant::Boolean(true), false),
        ("Cmd", DataTypeId::Double, Variant::Double(0.0), true),
        ("Speed", DataTypeId::Int16, Variant::Int16(0), true),
        ("Locked", DataTypeId::Double, Variant::Double(0.0), false),
        ("Speeds", DataTypeId::Int16, Variant::from(vec![10_i16, 20, 30]), true),
    ];
    for (name, kind, value, writable) in rows {
        add_node(nodes, namespace, name, kind, value, writable);
    }
}

fn add_node(nodes: &SimpleNodeManager, namespace: u16, name: &str, kind: DataTypeId, value: Variant, writable: bool) {
    let mut space = nodes.address_space().write();
    let array = value.is_array();
    let variable = VariableBuilder::new(&NodeId::new(namespace, name), name, name)
        .data_type(kind)
        .value_rank(if array { 1 } else { -1 })
        .value(value)
        .organized_by(ObjectId::ObjectsFolder);
    let variable = if writable { variable.writable() } else { variable };
    variable.insert(&mut *space);
}

/// How the wire behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Pass,
    /// Connections end, and new ones end at once.
    Cut,
    /// Connections stay, and nothing arrives.
    Mute,
}

/// A wire between driver and server. Its address stays while servers come and go behind it.
pub struct Wire {
    pub address: SocketAddr,
    pub mode: watch::Sender<Mode>,
    pub to: Arc<Mutex<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    pub async fn to(server: &Server) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        let to = Arc::new(Mutex::new(server.address));
        let target = to.clone();
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let to = *target.lock().unwrap();
                if *modes.borrow() == Mode::Cut {
                    continue;
                }
                let modes = modes.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near_in, far_out, modes.clone()) => {}
                        () = carry(far_in, near_out, modes) => {}
                    }
                });
            }
        });
        Wire { address, mode, to, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries bytes one way until an end closes or the wire is cut.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(n) if n > 0 => {
                    if *modes.borrow() == Mode::Pass && to.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            changed = modes.changed() => {
                if changed.is_err() || *modes.borrow() == Mode::Cut {
                    return;
                }
            }
        }
    }
}

/// Everything the driver delivered, in order.
#[derive(Default)]
pub struct Delivered {
    pub samples: Vec<TagSample>,
    pub outcomes: Vec<Outcome>,
    pub links: Vec<LinkRecord>,
}

impl Delivered {
    pub fn last(&self, tag: u32) -> Option<&Sample> {
        self.samples.iter().rev().find(|s| s.tag == TagId(tag)).map(|s| &s.sample)
    }

    pub fn is(&self, tag: u32, value: impl Into<Value>, quality: Quality) -> bool {
        let value = value.into();
        self.last(tag).is_some_and(|s| s.quality == quality && s.value.as_ref() == Some(&value))
    }

    pub fn quality(&self, tag: u32) -> Option<Quality> {
        self.last(tag).map(|s| s.quality)
    }

    pub fn link(&self) -> Option<LinkState> {
        self.links.last().map(|l| l.state)
    }

    pub fn reason(&self) -> String {
        self.links.last().map(|l| l.reason.to_string()).unwrap_or_default()
    }

    pub fn outcomes_of(&self, id: u64) -> Vec<OutcomeState> {
        self.outcomes.iter().filter(|o| o.id == CommandId(id)).map(|o| o.state.clone()).collect()
    }
}

#[derive(Default)]
pub struct Sink {
    pub delivered: Mutex<Delivered>,
    changed: Notify,
}

impl Sink {
    fn add(&self, f: impl FnOnce(&mut Delivered)) {
        f(&mut self.delivered.lock().unwrap());
        self.changed.notify_waiters();
    }
}

impl SampleSink for Sink {
    fn samples(&self, batch: &[TagSample]) {
        self.add(|d| d.samples.extend_from_slice(batch));
    }
    fn outcome(&self, outcome: Outcome) {
        self.add(|d| d.outcomes.push(outcome));
    }
    fn link(&self, link: LinkRecord) {
        self.add(|d| d.links.push(link));
    }
}

/// A driver at work.
pub struct Rig {
    pub sink: Arc<Sink>,
    pub commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    pub fn start(config: DeviceConfig) -> Rig {
        assert_eq!(config.check(), Vec::<String>::new());
        let sink = Arc::new(Sink::default());
        let (commands, receiver) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let clock = Arc::new(SystemClock::new());
        let task = tokio::spawn(penstock_opcua::run(config, sink.clone(), receiver, clock, stopped));
        Rig { sink, commands, stop, task }
    }

    pub fn see<R>(&self, f: impl FnOnce(&Delivered) -> R) -> R {
        f(&self.sink.delivered.lock().unwrap())
    }

    /// Waits until what was delivered satisfies the condition.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        mut holds: impl FnMut(&Delivered) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let wait = async {
                loop {
                    let changed = self.sink.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    if self.see(&mut holds) {
                        return;
                    }
                    changed.await;
                }
            };
            if tokio::time::timeout(PATIENCE, wait).await.is_err() {
                let news = self.see(|d| format!("outcomes {:?}; link {:?}", d.outcomes, d.links.last()));
                panic!("{caller}: never: {what}; {news}");
            }
        }
    }

    /// Gives a command for a tag; `None` hands the output back.
    pub async fn command(&self, id: u64, tag: u32, value: Option<Value>) {
        self.command_of(id, tag, value, Origin::Program("test".into())).await;
    }

    pub async fn command_of(&self, id: u64, tag: u32, value: Option<Value>, origin: Origin) {
        let command =
            Command { id: CommandId(id), tag: TagId(tag), device: DeviceId(0), value, origin, granted: Utc(0) };
        self.commands.send(command).await.unwrap();
    }

    /// Requests that were answered until the last outcome: told in the report of the link that follows it.
    pub async fn answered(&self) -> u64 {
        let told = |d: &Delivered| Some(d.links.last()?.at > d.outcomes.last()?.at);
        self.until("a report of the link", |d| told(d) == Some(true)).await;
        self.see(|d| d.links.last().unwrap().answered)
    }

    pub async fn stop(self) -> Arc<Sink> {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the driver must stop").unwrap();
        self.sink
    }
}

/// A device with one group and no points.
pub fn device(address: SocketAddr, pki: &Path) -> DeviceConfig {
    DeviceConfig {
        id: DeviceId(0),
        name: "plc".into(),
        endpoint: format!("opc.tcp://{address}/"),
        security: Security::None,
        exceptions: Vec::new(),
        identity: Identity::Anonymous,
        timeout: Duration::from_secs(2),
        groups: vec![GroupConfig::every("fast", Duration::from_millis(50))],
        points: Vec::new(),
        pki_dir: pki.to_owned(),
        certificate_tag: None,
    }
}

/// A point that is read: tag number, node, type.
pub fn read(tag: u32, name: &str, value_type: ValueType) -> PointConfig {
    PointConfig {
        tag: TagId(tag),
        path: format!("t/{tag}").into(),
        node: format!("nsu={NAMESPACE};s={name}"),
        part: Part::default(),
        value_type,
        scale: 1.0,
        offset: 0.0,
        range: None,
        group: 0,
        write: None,
    }
}

/// A point that is written.
pub fn write(tag: u32, name: &str) -> PointConfig {
    let write = Some(WriteConfig { verify_within: Duration::from_millis(200), tolerance: 0.0 });
    PointConfig { write, ..read(tag, name, ValueType::Float) }
}
