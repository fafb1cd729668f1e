//! Sparkplug B edge node: publishes tags to an MQTT broker, and tells hosts honestly what it knows.
//!
//! Duties: births with every metric (name, alias, type, value, quality, unit, range), changes by alias, deaths, rebirth on
//! request; waiting for the primary host where the site names one; values that nobody could take, kept on the disk and sent
//! afterwards as history, in order and at a bounded rate; commands, handed on as wishes where the site allows them; TLS,
//! several brokers in turn, reconnection for ever. It never writes a tag.
//!
//! Terms: a *session* is one connection with its birth and death; the *store* is what waits on the disk; a *section* is the
//! node or one of its Sparkplug devices; *confirmed* is what a broker has shown to have received.
//!
//! Memory is bounded: the client's queue, what is unconfirmed, and the store each have a bound in [`limits`].

mod command;
mod feed;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod host;
pub mod limits;
mod live;
mod node;
mod payload;
pub mod secure;
mod session;
mod store;

use crate::feed::Feed;
use crate::limits::{BROKERS_MAX, DEVICES_MAX, SESSION_GOOD_AFTER};
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use penstock_model::{Clock, TagId, TagSample, TagTable, Value, ValueType, with_causes};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the authorities that may sign a broker's certificate.
    pub ca: PathBuf,
    /// PEM files of our own certificate chain and its key, where brokers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Where a secret stands; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The content of a file, without line ends.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}

/// How we log in at a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
}

/// What is kept for hosts that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// Largest size on disk; at least [`limits::STORE_BYTES_MIN`].
    pub bytes_max: u64,
    /// Values older than this are dropped.
    pub age_max: Duration,
    /// Values per second that are sent afterwards.
    pub replay_per_s: u32,
}

/// What brokers and an edge node need to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Brokers, tried in turn.
    pub brokers: Vec<Broker>,
    /// TLS; `None` for plain TCP.
    pub tls: Option<Tls>,
    /// Login; `None` for none.
    pub login: Option<Login>,
    /// Sparkplug group id.
    pub group: String,
    /// Sparkplug edge node id.
    pub edge: String,
    /// MQTT client id.
    pub client_id: String,
    /// The host without which nothing is published.
    pub primary_host: Option<String>,
    /// How often changes are published; at least [`limits::PUBLISH_EVERY_MIN`].
    pub publish_every: Duration,
    /// Ids of the Sparkplug devices.
    pub devices: Vec<String>,
    /// The tags published.
    pub tags: Vec<TagMeta>,
    /// True where hosts may write what is marked in `tags`.
    pub takes_commands: bool,
    /// What is kept for hosts that are away; needs `state_dir`.
    pub store: Option<StoreConfig>,
    /// Folder for the store and for the number of the last session.
    pub state_dir: Option<PathBuf>,
}

/// One published tag.
#[derive(Debug, Clone, PartialEq)]
pub struct TagMeta {
    /// The tag.
    pub tag: TagId,
    /// Its path: the metric's name.
    pub path: Arc<str>,
    /// Its type.
    pub value_type: ValueType,
    /// The Sparkplug device it belongs to, by its place in [`Config::devices`]; `None` for the node itself.
    pub device: Option<usize>,
    /// True where hosts may write it.
    pub writable: bool,
    /// False: values that nobody could take are not kept.
    pub keep: bool,
}

impl TagMeta {
    /// A tag of the node itself, kept and read only.
    #[must_use]
    pub fn new(tag: TagId, path: &str, value_type: ValueType) -> TagMeta {
        TagMeta { tag, path: path.into(), value_type, device: None, writable: false, keep: true }
    }
}

impl Config {
    /// A plain node: no TLS, no login, no devices, no store, no commands.
    #[must_use]
    pub fn new(broker: Broker, group: &str, edge: &str, tags: Vec<TagMeta>) -> Config {
        Config {
            brokers: vec![broker],
            tls: None,
            login: None,
            group: group.to_owned(),
            edge: edge.to_owned(),
            client_id: format!("{group}-{edge}"),
            primary_host: None,
            publish_every: Duration::from_secs(1),
            devices: Vec::new(),
            tags,
            takes_commands: false,
            store: None,
            state_dir: None,
        }
    }

    /// Everything wrong with it, in words; empty for one that can be run.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let ids = [("group", &self.group), ("edge node", &self.edge)].into_iter();
        let devices = self.devices.iter().map(|d| ("device", d));
        for (what, id) in ids.chain(self.primary_host.iter().map(|h| ("primary host", h))).chain(devices) {
            if id.is_empty() || id.contains(['/', '+', '#', '\0']) {
                errors.push(format!("{what} id `{id}`: not empty, and without `/`, `+`, `#`"));
            }
        }
        if self.client_id.trim().is_empty() {
            errors.push("the MQTT client id is empty".to_owned());
        }
        if self.brokers.is_empty() || self.brokers.len() > BROKERS_MAX {
            errors.push(format!("{} brokers; 1 to {BROKERS_MAX} can be given", self.brokers.len()));
        }
        if self.brokers.iter().any(|b| b.host.is_empty()) {
            errors.push("a broker's host is empty".to_owned());
        }
        if self.publish_every < limits::PUBLISH_EVERY_MIN {
            errors.push(format!("publishing every {:?}: at least {:?}", self.publish_every, limits::PUBLISH_EVERY_MIN));
        }
        if self.devices.len() > DEVICES_MAX {
            errors.push(format!("{} devices; at most {DEVICES_MAX}", self.devices.len()));
        }
        if let Some(store) = &self.store {
            if store.bytes_max < limits::STORE_BYTES_MIN {
                errors.push(format!("a store of {} bytes; at least {}", store.bytes_max, limits::STORE_BYTES_MIN));
            }
            if store.replay_per_s == 0 {
                errors.push("a store that is never sent: its rate is 0".to_owned());
            }
        }
        let (mut tags, mut paths) = (HashSet::new(), HashSet::new());
        for meta in &self.tags {
            if !tags.insert(meta.tag) || !paths.insert(&meta.path) {
                errors.push(format!("tag `{}` is published twice", meta.path));
            }
            if meta.device.is_some_and(|d| d >= self.devices.len()) {
                errors.push(format!("tag `{}` belongs to a device that is not there", meta.path));
            }
        }
        errors
    }
}

/// A host's wish, read and allowed by the configuration; not yet weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The tag.
    pub tag: TagId,
    /// Its path.
    pub path: Arc<str>,
    /// The value wished; `None`: the host has no wish any more.
    pub value: Option<Value>,
}

/// What was asked for and is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it was about; `*` for a whole message.
    pub metric: String,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.metric, self.why)
    }
}

/// How the edge node stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The broker we are connected to, `host:port`.
    pub broker: Option<String>,
    /// Born: hosts see this node.
    pub online: bool,
    /// The primary host is there; `None` where none is named.
    pub host_online: Option<bool>,
    /// Values that wait on the disk.
    pub backlog: u64,
    /// Size of the store.
    pub backlog_bytes: u64,
    /// Age of the oldest value that waits.
    pub backlog_age: Duration,
    /// Values that were lost since the start: the store was full, too old, or could not be written.
    pub dropped: u64,
    /// The store can be written; true where there is none.
    pub store_ok: bool,
    /// Births of this run.
    pub births: u64,
}

/// Where the published samples come from, and where a host's wishes go. No call may block.
pub trait MetricSource: Send + Sync {
    /// The current sample of every tag that changed since version `v` (0: of every tag), and the version now.
    fn changed_since(&self, v: u64) -> (u64, Vec<TagSample>);
    /// The tags as they are declared now: the same table as long as nothing changed.
    fn tags(&self) -> Arc<TagTable>;
    /// How the node stands, about once a second.
    fn status(&self, _status: &Status) {}
    /// A host wishes something. It is answered by what the tags say afterwards.
    ///
    /// # Errors
    /// Why it is not taken up.
    fn order(&self, _order: Order) -> Result<(), String> {
        Err("commands are not taken here".to_owned())
    }
    /// Something was refused.
    fn refused(&self, _refusal: Refusal) {}
}

/// Runs the edge node until `stop` turns true or its sender is gone. Never gives up on a broker: waits
/// [`RECONNECT_WAIT_MIN`], doubling to [`RECONNECT_WAIT_MAX`], after each round of tries. A configuration that
/// [`Config::check`] refuses is logged and not run.
pub async fn run(
    config: Config,
    source: Arc<dyn MetricSource>,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    let errors = config.check();
    if !errors.is_empty() {
        tracing::error!(errors = %errors.join("; "), "the edge node is not run");
        return;
    }
    let config = Arc::new(config);
    let mut feed = Feed::new(config.clone(), source, clock.clone()).await;
    let mut hosts = vec![host::Host::default(); config.brokers.len()];
    let (mut wait, mut told, mut at) = (RECONNECT_WAIT_MIN, String::new(), 0);
    loop {
        let began = clock.now().mono;
        let broker = &config.brokers[at];
        let ended = session::run(&mut feed, broker, &mut hosts[at], &mut stop).await;
        feed.session_ended();
        let Err(error) = ended else { break };
        if clock.now().mono.since(began) >= SESSION_GOOD_AFTER {
            (wait, told) = (RECONNECT_WAIT_MIN, String::new());
        }
        // Told when it changes, not per try.
        let text = format!("{}:{}: {}", broker.host, broker.port, with_causes(&error));
        if text != told {
            tracing::warn!(broker = %broker.host, port = broker.port, error = %with_causes(&error), "edge node is offline; tried again");
            told = text;
        }
        at = (at + 1) % config.brokers.len();
        if !feed.wait(wait, &mut stop).await {
            break;
        }
        if at == 0 {
            wait = (wait * 2).min(RECONNECT_WAIT_MAX);
        }
    }
    feed.close().await;
}
