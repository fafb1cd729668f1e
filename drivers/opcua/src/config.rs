//! What a site declares about one OPC UA server that we are a client of.

use crate::limits::{INDEX_DIMENSIONS_MAX, PUBLISH_PERIOD_MIN, QUEUE_MAX};
use crate::node::parse_node;
use crate::part::Part;
use crate::security::{Identity, Security};
use penstock_model::{DeviceId, TagId, ValueType};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a point is written and checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteConfig {
    /// How long the server may take until the value reads back; zero checks once, at once.
    pub verify_within: Duration,
    /// Largest difference between the value commanded and the value read back, in the tag's unit.
    pub tolerance: f64,
}

/// One point: a node of the server and the tag it belongs to.
///
/// A point without `write` is subscribed into its tag. A point with `write` carries commands out: it is read back
/// after each write to judge the outcome, but it never delivers a sample, because the arbiter owns its tag's value.
#[derive(Debug, Clone, PartialEq)]
pub struct PointConfig {
    /// The tag.
    pub tag: TagId,
    /// The tag's path, for messages.
    pub path: Arc<str>,
    /// The node: `ns=2;s=Plant/FIT101`, or better `nsu=<namespace uri>;s=…`, which survives a server's renumbering.
    pub node: String,
    /// Which part of the node's value: an element of an array, a field of a structure. Usually all of it.
    pub part: Part,
    /// Type of the tag.
    pub value_type: ValueType,
    /// Tag value = node value × `scale` + `offset`; not 0. Reversed on write.
    pub scale: f64,
    /// See `scale`, in the tag's unit.
    pub offset: f64,
    /// Range of the tag in its unit: a value outside is Uncertain(range).
    pub range: Option<(f64, f64)>,
    /// Index of its group in [`DeviceConfig::groups`].
    pub group: usize,
    /// Present where the point is written.
    pub write: Option<WriteConfig>,
}

/// How the points of a group are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fetch {
    /// By subscription, and by reading where the server has none.
    #[default]
    Subscribe,
    /// By reading registered nodes once per publishing interval.
    Read,
}

impl Fetch {
    /// Both, in the order they are named.
    pub const ALL: [Fetch; 2] = [Fetch::Subscribe, Fetch::Read];

    /// The word in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fetch::Subscribe => "subscribe",
            Fetch::Read => "read",
        }
    }
}

/// How far a value may move without being reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deadband {
    /// In the node's own unit.
    Absolute(f64),
    /// In percent of the node's EURange, 0 to 100.
    Percent(f64),
}

/// Points that share a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// Its name in the device's file.
    pub name: Arc<str>,
    /// Publishing interval.
    pub publish: Duration,
    /// How often the server samples; `None` is as often as it publishes, zero as fast as it can.
    pub sampling: Option<Duration>,
    /// Values of one point that the server keeps between two publishes; the oldest goes first. 1 to [`QUEUE_MAX`].
    pub queue: u32,
    /// How far a number may move without being reported.
    pub deadband: Option<Deadband>,
    /// By subscription or by reading.
    pub fetch: Fetch,
}

impl GroupConfig {
    /// A subscription that publishes and samples at this interval, and reports every change.
    #[must_use]
    pub fn every(name: &str, publish: Duration) -> GroupConfig {
        GroupConfig { name: name.into(), publish, sampling: None, queue: 1, deadband: None, fetch: Fetch::Subscribe }
    }

    /// What cannot work, without the group's name.
    fn check(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.publish < PUBLISH_PERIOD_MIN {
            found.push(format!("publishes faster than {PUBLISH_PERIOD_MIN:?}"));
        }
        if self.sampling.is_some_and(|s| s > self.publish) {
            found.push("samples more slowly than it publishes: most publishes would have nothing new".to_owned());
        }
        if !(1..=QUEUE_MAX).contains(&self.queue) {
            found.push(format!("has a queue of {}; 1 to {QUEUE_MAX} values fit", self.queue));
        }
        match self.deadband {
            Some(Deadband::Absolute(x)) if !x.is_finite() || x < 0.0 => {
                found.push(format!("has a deadband of {x}; it must be 0 or more"));
            }
            Some(Deadband::Percent(x)) if !(0.0..=100.0).contains(&x) => {
                found.push(format!("has a deadband of {x} %; it must be within 0 to 100 %"));
            }
            _ => {}
        }
        if self.fetch == Fetch::Read && (self.deadband.is_some() || self.queue != 1 || self.sampling.is_some()) {
            found.push("is read, not subscribed: sampling, queue and deadband do nothing there".to_owned());
        }
        found
    }
}

/// What may be wrong with a server's certificate without ending the link; each one is a decision of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    /// It is not valid any more, or not yet.
    Expired,
    /// It names other hosts than the one it is reached at.
    HostName,
    /// Its authority has no list of what it revoked, or an old one.
    NoCrl,
}

impl Exception {
    /// All, in the order they are named.
    pub const ALL: [Exception; 3] = [Exception::Expired, Exception::HostName, Exception::NoCrl];

    /// The word in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Exception::Expired => "expired",
            Exception::HostName => "host-name",
            Exception::NoCrl => "no-crl",
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceConfig {
    /// Its place in the site.
    pub id: DeviceId,
    /// Its name, for messages.
    pub name: Arc<str>,
    /// `opc.tcp://host:port[/path]`.
    pub endpoint: String,
    /// How the channel is protected.
    pub security: Security,
    /// What is let pass of the server's certificate.
    pub exceptions: Vec<Exception>,
    /// Who we are to the server.
    pub identity: Identity,
    /// How long a connection or an answer may take.
    pub timeout: Duration,
    /// Subscriptions.
    pub groups: Vec<GroupConfig>,
    /// Points.
    pub points: Vec<PointConfig>,
    /// Folder with `own/ private/ trusted/ rejected/`. Used when the channel is protected.
    pub pki_dir: PathBuf,
    /// Tag for the days that the first of the certificates in use is still valid.
    pub certificate_tag: Option<TagId>,
}

impl DeviceConfig {
    /// Numbers and tags of the points that are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, TagId)> {
        self.points.iter().enumerate().filter(|(_, p)| p.write.is_some()).map(|(i, p)| (i, p.tag))
    }

    /// What cannot work although every key is spelt right. Empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut found = Vec::new();
        let name = &self.name;
        if !self.endpoint.strip_prefix("opc.tcp://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            found.push(format!(
                "device `{name}`: endpoint `{}` is not opc.tcp://host:port, for example opc.tcp://10.0.0.8:4840",
                self.endpoint
            ));
        }
        if self.timeout.is_zero() {
            found.push(format!("device `{name}`: timeout is zero"));
        }
        if self.security == Security::None && matches!(self.identity, Identity::Certificate { .. }) {
            found.push(format!(
                "device `{name}`: a user's certificate is proved by a signature, which there is none of on a channel \
                 without security; set security: Basic256Sha256"
            ));
        }
        for group in &self.groups {
            let about = |what: String| format!("device `{name}`: group `{}` {what}", group.name);
            found.extend(group.check().into_iter().map(about));
        }
        for point in &self.points {
            let mut say = |what: String| found.push(format!("device `{name}`, tag `{}`: {what}", point.path));
            if let Err(e) = parse_node(&point.node) {
                say(e.to_string());
            }
            if point.group >= self.groups.len() {
                say(format!("group {} does not exist", point.group));
            }
            if point.part.index.len() > INDEX_DIMENSIONS_MAX {
                say(format!("an index of more than {INDEX_DIMENSIONS_MAX} dimensions"));
            }
            if !point.part.fields.is_empty() && point.write.is_some() {
                say("a field of a structure cannot be written alone: the device may change the rest meanwhile"
                    .to_owned());
            }
            if !point.scale.is_finite() || point.scale == 0.0 || !point.offset.is_finite() {
                say(format!("scale {} and offset {} must be finite, and scale not 0", point.scale, point.offset));
            }
            let scaled = point.scale != 1.0 || point.offset != 0.0;
            if scaled && matches!(point.value_type, ValueType::Bool | ValueType::Text) {
                say(format!("a {} takes no scale and no offset", point.value_type));
            }
            let fractions = point.scale.fract() != 0.0 || point.offset.fract() != 0.0;
            if scaled && point.value_type == ValueType::Int && fractions {
                say(format!("scale {} and offset {} give fractions; the tag is an int", point.scale, point.offset));
            }
            if point.write.is_some_and(|w| !w.tolerance.is_finite() || w.tolerance < 0.0) {
                say("the tolerance of a write must be 0 or more".to_owned());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_names_what_cannot_work() {
        let point = |path: &str, node: &str| PointConfig {
            tag: TagId(0),
            path: path.into(),
            node: node.into(),
            part: Part::default(),
            value_type: ValueType::Float,
            scale: 1.0,
            offset: 0.0,
            range: None,
            group: 0,
            write: None,
        };
        let good = DeviceConfig {
            id: DeviceId(0),
            name: "plc".into(),
            endpoint: "opc.tcp://10.0.0.8:4840".into(),
            security: Security::None,
            exceptions: Vec::new(),
            identity: Identity::Anonymous,
            timeout: Duration::from_secs(2),
            groups: vec![GroupConfig::every("g", Duration::from_secs(1))],
            points: vec![point("a", "ns=2;s=A")],
            pki_dir: "pki".into(),
            certificate_tag: None,
        };
        assert_eq!(good.check(), Vec::<String>::new());
        let mut bad = DeviceConfig { endpoint: "10.0.0.8:4840".into(), timeout: Duration::ZERO, ..good };
        bad.points = vec![
            point("a", "A"),
            PointConfig { group: 3, ..point("b", "i=1") },
            PointConfig { scale: 0.0, ..point("c", "i=1") },
            PointConfig { scale: 0.1, value_type: ValueType::Int, ..point("d", "i=1") },
            PointConfig { scale: 2.0, value_type: ValueType::Bool, ..point("e", "i=1") },
        ];
        let found = bad.check().join("\n");
        for part in [
            "opc.tcp://",
            "timeout is zero",
            "tag `a`: `A` is not",
            "tag `b`: group 3",
            "tag `c`: scale 0",
            "tag `d`",
            "tag `e`",
        ] {
            assert!(found.contains(part), "missing {part} in:\n{found}");
        }
    }
}
