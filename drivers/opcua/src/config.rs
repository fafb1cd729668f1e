//! What a site declares about one OPC UA server that we are a client of.

use crate::limits::PUBLISH_PERIOD_MIN;
use crate::node::parse_node;
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

/// Points that share a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// Its name in the device's file.
    pub name: Arc<str>,
    /// Publishing interval, and how often the server samples.
    pub publish: Duration,
}

/// Which algorithms protect the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityPolicy {
    /// Basic256Sha256.
    Basic256Sha256,
    /// Aes128_Sha256_RsaOaep.
    Aes128Sha256RsaOaep,
    /// Aes256_Sha256_RsaPss.
    Aes256Sha256RsaPss,
}

/// How the channel is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Security {
    /// Not at all: anyone on the network can read and write.
    #[default]
    None,
    /// Signed.
    Sign(SecurityPolicy),
    /// Signed and encrypted.
    SignAndEncrypt(SecurityPolicy),
}

impl Security {
    /// Reads `none`, or a policy with an optional mode: `basic256sha256`, `aes256_sha256_rsapss/sign`. Without a mode
    /// the channel is signed and encrypted. Case and underscores do not matter.
    ///
    /// # Errors
    /// When policy or mode is unknown; the text says what to write.
    pub fn parse(text: &str) -> Result<Security, String> {
        let word = text.trim().to_ascii_lowercase().replace(['_', '-', ' '], "");
        if word == "none" {
            return Ok(Security::None);
        }
        let (policy, mode) = word.split_once('/').unwrap_or((&word, "signandencrypt"));
        let policy = match policy {
            "basic256sha256" => SecurityPolicy::Basic256Sha256,
            "aes128sha256rsaoaep" => SecurityPolicy::Aes128Sha256RsaOaep,
            "aes256sha256rsapss" => SecurityPolicy::Aes256Sha256RsaPss,
            _ => {
                return Err(format!(
                    "`{text}` is not a security policy: use none, Basic256Sha256, Aes128_Sha256_RsaOaep or \
                     Aes256_Sha256_RsaPss"
                ));
            }
        };
        match mode {
            "sign" => Ok(Security::Sign(policy)),
            "signandencrypt" => Ok(Security::SignAndEncrypt(policy)),
            _ => Err(format!("`{text}`: the mode after `/` is Sign or SignAndEncrypt")),
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
    /// User name and password; `None` is anonymous.
    pub user: Option<(String, String)>,
    /// How long a connection or an answer may take.
    pub timeout: Duration,
    /// Subscriptions.
    pub groups: Vec<GroupConfig>,
    /// Points.
    pub points: Vec<PointConfig>,
    /// Folder with `own/ private/ trusted/ rejected/`. Used when the channel is protected.
    pub pki_dir: PathBuf,
}

impl DeviceConfig {
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
        for group in self.groups.iter().filter(|g| g.publish < PUBLISH_PERIOD_MIN) {
            found.push(format!("device `{name}`: group `{}` publishes faster than {PUBLISH_PERIOD_MIN:?}", group.name));
        }
        for point in &self.points {
            let mut say = |what: String| found.push(format!("device `{name}`, tag `{}`: {what}", point.path));
            if let Err(e) = parse_node(&point.node) {
                say(e.to_string());
            }
            if point.group >= self.groups.len() {
                say(format!("group {} does not exist", point.group));
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
    fn security_is_read_in_the_ways_people_write_it() {
        use SecurityPolicy::{Aes256Sha256RsaPss, Basic256Sha256};
        for (text, want) in [
            ("none", Security::None),
            ("None", Security::None),
            ("Basic256Sha256", Security::SignAndEncrypt(Basic256Sha256)),
            ("basic256sha256/sign", Security::Sign(Basic256Sha256)),
            ("Aes256_Sha256_RsaPss/SignAndEncrypt", Security::SignAndEncrypt(Aes256Sha256RsaPss)),
            ("aes256-sha256-rsapss/sign_and_encrypt", Security::SignAndEncrypt(Aes256Sha256RsaPss)),
        ] {
            assert_eq!(Security::parse(text), Ok(want), "{text}");
        }
        assert!(Security::parse("Basic128Rsa15").unwrap_err().contains("Basic256Sha256"));
        assert!(Security::parse("Basic256Sha256/whisper").unwrap_err().contains("SignAndEncrypt"));
    }

    #[test]
    fn the_check_names_what_cannot_work() {
        let point = |path: &str, node: &str| PointConfig {
            tag: TagId(0),
            path: path.into(),
            node: node.into(),
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
            user: None,
            timeout: Duration::from_secs(2),
            groups: vec![GroupConfig { name: "g".into(), publish: Duration::from_secs(1) }],
            points: vec![point("a", "ns=2;s=A")],
            pki_dir: "pki".into(),
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
