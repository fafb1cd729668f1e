//! Sparkplug B edge node: publishes tags to an MQTT broker, and tells hosts honestly what it knows.
//!
//! Duties: birth with every metric (name, alias, type, value, quality), changes by alias, death as the broker's last will, rebirth on
//! request, reconnection for ever. It reads tags and never writes one: a command other than the rebirth is refused and logged.
//! Plain TCP; the broker is expected on the plant's own network or on this machine.
//!
//! Memory is bounded: nothing is queued for a broker that is away or slow. What hosts missed, the next birth tells.

pub mod limits;
mod node;
mod payload;
mod session;

use crate::limits::SESSION_GOOD_AFTER;
use crate::node::Node;
use penstock_model::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use penstock_model::{Clock, TagId, TagSample, ValueType, with_causes};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a broker and an edge node need to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Broker's host name or address.
    pub host: String,
    /// Broker's port.
    pub port: u16,
    /// Sparkplug group id.
    pub group: String,
    /// Sparkplug edge node id.
    pub edge: String,
    /// MQTT client id.
    pub client_id: String,
    /// How often changes are published; at least [`limits::PUBLISH_EVERY_MIN`].
    pub publish_every: Duration,
    /// The tags published, as metrics of the node.
    pub tags: Vec<TagMeta>,
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
}

impl Config {
    /// Everything wrong with it, in words; empty for one that can be run.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for (what, id) in [("group", &self.group), ("edge node", &self.edge)] {
            if id.is_empty() || id.contains(['/', '+', '#', '\0']) {
                errors.push(format!("{what} id `{id}`: not empty, and without `/`, `+`, `#`"));
            }
        }
        if self.client_id.trim().is_empty() {
            errors.push("the MQTT client id is empty".to_owned());
        }
        if self.host.is_empty() {
            errors.push("the broker's host is empty".to_owned());
        }
        if self.publish_every < limits::PUBLISH_EVERY_MIN {
            errors.push(format!("publishing every {:?}: at least {:?}", self.publish_every, limits::PUBLISH_EVERY_MIN));
        }
        let (mut ids, mut paths) = (HashSet::new(), HashSet::new());
        for meta in &self.tags {
            if !ids.insert(meta.tag) || !paths.insert(&meta.path) {
                errors.push(format!("tag `{}` is published twice", meta.path));
            }
        }
        errors
    }
}

/// Where the published samples come from.
pub trait MetricSource: Send + Sync {
    /// The current sample of every tag that changed since version `v` (0: of every tag), and the version now.
    fn changed_since(&self, v: u64) -> (u64, Vec<TagSample>);
}

/// Runs the edge node until `stop` turns true or its sender is gone. Never gives up on a broker: waits
/// [`RECONNECT_WAIT_MIN`], doubling to [`RECONNECT_WAIT_MAX`], between tries. A configuration that [`Config::check`] refuses is
/// logged and not run.
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
    let mut node = Node::new(config.clone());
    let ctx = session::Context { config: &config, source: source.as_ref(), clock: clock.as_ref() };
    let mut wait = RECONNECT_WAIT_MIN;
    let mut told = String::new();
    loop {
        let began = clock.now().mono;
        let Err(error) = session::run(&ctx, &mut node, &mut stop).await else { return };
        if clock.now().mono.since(began) >= SESSION_GOOD_AFTER {
            (wait, told) = (RECONNECT_WAIT_MIN, String::new());
        }
        // Told when it changes, not per try.
        let text = with_causes(&error);
        if text != told {
            tracing::warn!(broker = %config.host, port = config.port, error = %text, "edge node is offline; tried again");
            told = text;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = session::stopped(&mut stop) => return,
        }
        wait = (wait * 2).min(RECONNECT_WAIT_MAX);
    }
}
