//! Life of the server: the library's server behind our gate, begun anew where definitions change or it has grown.

use crate::access::{Gatekeeper, endpoints, rights};
use crate::alarms::{About, Alarms};
use crate::core::PlantCoreBuilder;
use crate::gate::Gate;
use crate::limits::{
    ACTIONS_WAITING_MAX, ARRAY_MAX, BIND_WAIT, CHUNK_BYTES_MAX, CHUNKS_MAX, FEED_EVERY, HELLO_WAIT_MAX,
    HISTORY_CONTINUATIONS_MAX, HISTORY_NODES_MAX, HISTORY_READS_MAX, ITEMS_MADE_IDLE_MAX, ITEMS_MADE_MAX,
    ITEMS_PER_CALL_MAX, ITEMS_PER_SUBSCRIPTION_MAX, LOOK_EVERY, MESSAGE_BYTES_MAX, METHODS_PER_CALL_MAX,
    NODES_PER_CALL_MAX, NOTIFICATIONS_PER_PUBLISH_MAX, PUBLISHES_WAITING_MAX, QUEUE_MAX, SESSION_TIMEOUT_MAX,
    START_WAIT_MAX, STOP_WAIT_MAX, SUBSCRIPTIONS_PER_SESSION_MAX, TEXT_BYTES_MAX, WRITES_PER_CALL_MAX,
};
use crate::nodes::PlantNodesBuilder;
use crate::space::Served;
use crate::watch::Watches;
use crate::{Config, Identity, Plant, Status};
use opcua::nodes::AccessLevel;
use opcua::server::authenticator::UserToken;
use opcua::server::diagnostics::DiagnosticsNodeManagerBuilder;
use opcua::server::node_manager::memory::InMemoryNodeManagerBuilder;
use opcua::server::node_manager::{MonitoredItemRef, RequestContext};
use opcua::server::{CreateMonitoredItem, Limits, OperationalLimits, ServerBuilder, ServerHandle, SubscriptionLimits};
use opcua::types::{BuildInfo, StatusCode};
use parking_lot::Mutex;
use penstock_model::{AlarmDef, TagDef, TagTable};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Index of our namespace: 0 is the standard's, 1 the application's own.
pub(crate) const NAMESPACE: u16 = 2;

/// What is counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) logins_refused: Arc<AtomicU64>,
}

/// What all parts of one server of the library share.
pub(crate) struct Shared {
    pub(crate) plant: Arc<dyn Plant>,
    pub(crate) config: Arc<Config>,
    /// As they were declared when this server was begun.
    pub(crate) tags: Arc<TagTable>,
    pub(crate) alarm_defs: Vec<AlarmDef>,
    pub(crate) served: Served,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) alarms: Mutex<Alarms>,
    pub(crate) actions: Arc<Semaphore>,
    pub(crate) history_reads: Arc<Semaphore>,
    pub(crate) counts: Arc<Counts>,
}

impl Shared {
    fn new(plant: &Arc<dyn Plant>, config: &Arc<Config>, counts: &Arc<Counts>) -> Shared {
        let tags = plant.tags();
        let seed = UNIX_EPOCH.elapsed().map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        Shared {
            served: Served::new(config, &tags),
            alarm_defs: plant.alarm_defs(),
            watches: Mutex::default(),
            alarms: Mutex::new(Alarms::new(&**plant, seed)),
            actions: Arc::new(Semaphore::new(ACTIONS_WAITING_MAX)),
            history_reads: Arc::new(Semaphore::new(HISTORY_READS_MAX)),
            plant: plant.clone(),
            config: config.clone(),
            counts: counts.clone(),
            tags,
        }
    }

    pub(crate) fn rights(&self, token: &UserToken, all: AccessLevel) -> AccessLevel {
        rights(&*self.plant, self.config.anonymous, token, all)
    }

    /// Whether a session's user may still be here.
    pub(crate) fn is_known(&self, token: &str) -> bool {
        !self.rights(&UserToken(token.to_owned()), AccessLevel::CURRENT_READ).is_empty()
    }

    pub(crate) fn heard(&self, session: u32) {
        self.alarms.lock().heard(session);
    }

    /// The conditions, with what their events are made from.
    pub(crate) fn about<T>(&self, work: impl FnOnce(&About<'_>, &mut Alarms) -> T) -> T {
        let exposed = |tag| self.served.has(tag);
        let about = About {
            plant: &*self.plant,
            config: &self.config,
            namespace: NAMESPACE,
            defs: &self.alarm_defs,
            tags: &self.tags,
            exposed: &exposed,
        };
        work(&about, &mut self.alarms.lock())
    }

    /// Takes up an item that watches events.
    pub(crate) fn watch_events(&self, context: &RequestContext, item: &mut CreateMonitoredItem) {
        let token = context.user_token();
        if !self.is_known(&token.0) {
            item.set_status(StatusCode::BadUserAccessDenied);
            return;
        }
        // The library compares numbers only: such a filter would let nothing through, without a word.
        if compares_names(&format!("{:?}", item.filter())) {
            item.set_status(StatusCode::BadFilterOperatorUnsupported);
            return;
        }
        let (handle, node) = (item.handle(), &item.item_to_monitor().node_id);
        let taken = self.alarms.lock().watch(handle, context.session_id(), &token.0, node);
        item.set_status(if taken { StatusCode::Good } else { StatusCode::BadTooManyMonitoredItems });
    }

    pub(crate) fn forget(&self, items: &[&MonitoredItemRef]) {
        let mut watches = self.watches.lock();
        let mut alarms = self.alarms.lock();
        for item in items {
            watches.remove(item.handle());
            alarms.forget(item.handle());
        }
    }

    /// True where what the nodes say of tags or alarms is not so any more.
    fn is_outdated(&self) -> bool {
        let tags = self.plant.tags();
        let same = |a: &TagDef, b: &TagDef| {
            (&a.title, a.unit, a.value_type, a.range, &a.states) == (&b.title, b.unit, b.value_type, b.range, &b.states)
                && (&a.entry, a.log.enabled) == (&b.entry, b.log.enabled)
                && a.output.as_ref().and_then(|o| o.limits) == b.output.as_ref().and_then(|o| o.limits)
        };
        let changed =
            !Arc::ptr_eq(&tags, &self.tags) && self.config.tags.iter().any(|t| !same(tags.get(*t), self.tags.get(*t)));
        changed || self.plant.alarm_defs() != self.alarm_defs
    }
}

/// Whether a filter, as the library prints it, looks for an id or a text by comparing.
fn compares_names(filter: &str) -> bool {
    let compares = ["operator: Equals", "operator: InList"].iter().any(|o| filter.contains(o));
    let names = ["NodeId", "ExpandedNodeId", "String", "QualifiedName", "LocalizedText", "Guid", "ByteString"];
    compares && names.iter().any(|name| filter.contains(&format!("LiteralOperand {{ value: {name}")))
}

/// Serves until `stop` turns true or its sender is gone. Tells the address on `ready` once it listens. An address that is
/// taken is tried again for ever: control goes on without us.
pub async fn run(
    config: Config,
    identity: Identity,
    plant: Arc<dyn Plant>,
    mut stop: watch::Receiver<bool>,
    mut ready: Option<oneshot::Sender<SocketAddr>>,
) {
    let keeper = Keeper {
        gate: Gate::new(config.connections_max, plant.clone()),
        counts: Arc::default(),
        config: Arc::new(config),
        identity,
        plant,
    };
    let mut told = String::new();
    loop {
        let ended = tokio::select! {
            ended = keeper.serve(&mut ready) => ended,
            () = stopped(&mut stop) => break,
        };
        let error = ended.err().unwrap_or_else(|| "it ended".to_owned());
        if error != told {
            tracing::error!(address = %keeper.config.bind, error, "the OPC UA server cannot serve; tried again");
            told = error;
        }
        keeper.plant.status(&Status { listening: false, ..keeper.status(None) });
        tokio::select! {
            () = sleep(BIND_WAIT) => {}
            () = stopped(&mut stop) => break,
        }
    }
    keeper.plant.status(&Status { listening: false, ..keeper.status(None) });
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What stays the same from one server of the library to the next.
struct Keeper {
    config: Arc<Config>,
    identity: Identity,
    plant: Arc<dyn Plant>,
    gate: Gate,
    counts: Arc<Counts>,
}

/// One server of the library; it ends with this.
struct Running {
    handle: ServerHandle,
    task: JoinHandle<Result<(), String>>,
    shared: Arc<Shared>,
    address: SocketAddr,
    began: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.cancel();
        self.task.abort();
    }
}

impl Keeper {
    async fn serve(&self, ready: &mut Option<oneshot::Sender<SocketAddr>>) -> Result<(), String> {
        let listener = TcpListener::bind(self.config.bind).await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (inner, passed_to) = watch::channel(None);
        let first = self.begin(address.port()).await?;
        inner.send_replace(Some(first.address));
        tracing::info!(%address, tags = self.config.tags.len(), "OPC UA server listens");
        if let Some(ready) = ready.take() {
            // Who asked may have gone; serving is right all the same.
            let _ = ready.send(address);
        }
        tokio::select! {
            () = self.gate.serve(&listener, &passed_to) => Ok(()),
            ended = self.keep(first, &inner, address.port()) => ended,
        }
    }

    /// Keeps a server running, with nodes as they are declared now.
    async fn keep(
        &self,
        mut running: Running,
        inner: &watch::Sender<Option<SocketAddr>>,
        port: u16,
    ) -> Result<(), String> {
        loop {
            let why = {
                let Running { handle, task, shared, began, .. } = &mut running;
                tokio::select! {
                    ended = task => return ended.map_err(|e| e.to_string())?.and(Err("it ended by itself".to_owned())),
                    () = crate::feed::feed(shared, handle) => continue,
                    why = self.look(shared, *began) => why,
                }
            };
            tracing::info!(why, "the OPC UA server is begun anew; its clients connect again");
            inner.send_replace(None);
            self.end(running).await;
            running = self.begin(port).await?;
            inner.send_replace(Some(running.address));
        }
    }

    /// Looks after a server until there is a reason to begin another one.
    async fn look(&self, shared: &Arc<Shared>, began: Instant) -> &'static str {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.plant.status(&self.status(Some(shared)));
            let (plant, looked) = (self.plant.clone(), shared.clone());
            let outdated = tokio::task::spawn_blocking(move || {
                plant.housekeeping();
                looked.is_outdated()
            });
            // A definition that changes twice within a second is told of once.
            if outdated.await.unwrap_or(false) && began.elapsed() >= LOOK_EVERY {
                return "names, units, ranges or alarms were changed";
            }
            let made = shared.watches.lock().made();
            let idle = self.gate.connections() == 0;
            if made >= ITEMS_MADE_MAX || (idle && made >= ITEMS_MADE_IDLE_MAX) {
                return "what the library keeps of ended subscriptions has grown";
            }
        }
    }

    async fn end(&self, mut running: Running) {
        running.handle.cancel();
        if tokio::time::timeout(STOP_WAIT_MAX, &mut running.task).await.is_err() {
            tracing::debug!("OPC UA connections did not close in time");
        }
    }

    /// Begins a server and waits until it listens.
    async fn begin(&self, port: u16) -> Result<Running, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (plant, config, counts) = (self.plant.clone(), self.config.clone(), self.counts.clone());
        let identity = self.identity.clone();
        // Nodes of a large site take a second, and the key is read.
        let built = tokio::task::spawn_blocking(move || {
            let shared = Arc::new(Shared::new(&plant, &config, &counts));
            let built = builder(&shared, &identity, port)
                .with_node_manager(InMemoryNodeManagerBuilder::new(PlantCoreBuilder(shared.clone())))
                .with_node_manager(DiagnosticsNodeManagerBuilder)
                .with_node_manager(InMemoryNodeManagerBuilder::new(PlantNodesBuilder(shared.clone())))
                .build();
            built.map(|(server, handle)| (server, handle, shared))
        });
        let (server, handle, shared) = built.await.map_err(|e| e.to_string())??;
        let task = tokio::spawn(server.run_with(listener));
        let running = Running { handle, task, shared, address, began: Instant::now() };
        // When it begins to listen the library takes the port of its socket for that of its endpoints, and clients go to
        // where those are: past the gate. So wait for that, and put the public port in its place.
        let told = &running.handle.info().port;
        let listening = async {
            while told.load(Ordering::Relaxed) != address.port() && !running.task.is_finished() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(START_WAIT_MAX, listening).await.map_err(|_| "it does not begin to listen".to_owned())?;
        told.store(port, Ordering::Relaxed);
        Ok(running)
    }

    fn status(&self, shared: Option<&Arc<Shared>>) -> Status {
        let (events_lost, event_items) = shared.map_or((0, 0), |s| {
            let alarms = s.alarms.lock();
            (alarms.lost(), alarms.len())
        });
        Status {
            listening: shared.is_some(),
            connections: self.gate.connections(),
            turned_away: self.gate.turned_away(),
            items: shared.map_or(0, |s| s.watches.lock().len()) + event_items,
            done: self.counts.done.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
            logins_refused: self.counts.logins_refused.load(Ordering::Relaxed),
            events_lost,
        }
    }
}

/// The library's server, but for its nodes.
fn builder(shared: &Shared, identity: &Identity, port: u16) -> ServerBuilder {
    let config = &shared.config;
    let keeper = Gatekeeper {
        plant: shared.plant.clone(),
        anonymous: config.anonymous,
        refused: shared.counts.logins_refused.clone(),
    };
    let builder = ServerBuilder::new()
        .without_node_managers()
        .application_name(&config.name)
        .application_uri(&identity.application_uri)
        .product_uri("urn:penstock")
        .build_info(BuildInfo {
            product_uri: "urn:penstock".into(),
            manufacturer_name: "Penstock".into(),
            product_name: "Penstock".into(),
            software_version: env!("CARGO_PKG_VERSION").into(),
            build_number: env!("CARGO_PKG_VERSION").into(),
            ..BuildInfo::default()
        })
        .host(&config.host)
        .port(port)
        .pki_dir(&identity.pki_dir)
        .certificate_path(&identity.certificate)
        .private_key_path(&identity.key)
        .create_sample_keypair(false)
        .trust_client_certs(false)
        .check_cert_time(true)
        .diagnostics_enabled(true)
        .hello_timeout(u32::try_from(HELLO_WAIT_MAX.as_secs()).unwrap_or(u32::MAX))
        .max_session_timeout_ms(u64::try_from(SESSION_TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX))
        .subscription_poll_interval_ms(u64::try_from(FEED_EVERY.as_millis()).unwrap_or(u64::MAX))
        .limits(limits(config))
        .with_type_tree_getter(Arc::new(crate::types::PlantTypes::default()))
        .with_authenticator(Arc::new(keeper));
    endpoints(builder, config)
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_array_length: ARRAY_MAX,
        max_string_length: TEXT_BYTES_MAX,
        max_byte_string_length: TEXT_BYTES_MAX,
        max_message_size: MESSAGE_BYTES_MAX,
        max_chunk_count: CHUNKS_MAX,
        send_buffer_size: CHUNK_BYTES_MAX,
        receive_buffer_size: CHUNK_BYTES_MAX,
        max_history_continuation_points: HISTORY_CONTINUATIONS_MAX,
        max_sessions: config.sessions_max,
        subscriptions: SubscriptionLimits {
            max_subscriptions_per_session: SUBSCRIPTIONS_PER_SESSION_MAX,
            // Pacing is ours: see `watch`.
            min_sampling_interval_ms: 0.0,
            min_publishing_interval_ms: FEED_EVERY.as_secs_f64() * 1e3,
            max_monitored_items_per_sub: ITEMS_PER_SUBSCRIPTION_MAX,
            max_monitored_item_queue_size: QUEUE_MAX,
            max_notifications_per_publish: NOTIFICATIONS_PER_PUBLISH_MAX,
            max_queued_notifications: PUBLISHES_WAITING_MAX,
            ..SubscriptionLimits::default()
        },
        operational: OperationalLimits {
            max_nodes_per_read: NODES_PER_CALL_MAX,
            max_nodes_per_write: WRITES_PER_CALL_MAX,
            max_nodes_per_method_call: METHODS_PER_CALL_MAX,
            max_nodes_per_register_nodes: NODES_PER_CALL_MAX,
            max_monitored_items_per_call: ITEMS_PER_CALL_MAX,
            max_nodes_per_history_read_data: HISTORY_NODES_MAX,
            max_references_per_browse_node: NODES_PER_CALL_MAX,
            ..OperationalLimits::default()
        },
        ..Limits::default()
    }
}
