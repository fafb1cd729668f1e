//! `mqtt:` of a site: what is published, and where; what is kept for hosts that are away; what hosts may write.

use super::read::{self, Reader};
use super::tags::{Ctx, Tags};
use super::text::{At, Pairs, parse_size};
use crate::diagnostics::{FileId, suggest};
use penstock_model::limits::{LEASE_MAX, LEASE_MIN};
use penstock_model::{Role, TagDef};
use penstock_mqtt::{Broker, Config, Login, Secret, StoreConfig, TagMeta, Tls, limits};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// Default of `publish_every`.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Default of `store: size_max`: some days of a works of a thousand tags that move every second or two.
const STORE_BYTES_MAX: u64 = 500_000_000;
/// Default of `store: keep`: a long weekend without a line, and the days to mend it.
const STORE_KEEP: Duration = Duration::from_secs(7 * 86_400);
/// Default of `store: values_per_s`: an hour of a hundred tags a second is told within two minutes.
const VALUES_PER_S: u32 = 5_000;
/// Default of `commands: lease`.
const LEASE: Duration = Duration::from_secs(900);
/// What the runtime says of its own publication: told while it can be, and never kept, or it would feed itself.
pub const OWN_TAGS: &str = "sys/mqtt/";

/// `mqtt:` of `site.yaml`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttFile {
    /// Broker, `host:port`.
    pub broker: Option<At<String>>,
    /// Several brokers, tried in turn.
    pub brokers: Option<Vec<At<String>>>,
    /// TLS. Without it everything goes in clear.
    pub tls: Option<TlsFile>,
    /// User name at the broker.
    pub user: Option<At<String>>,
    /// Where the password stands: `{ file: /etc/penstock/mqtt.pass }` or `{ env: NAME }`.
    pub password: Option<At<SecretFile>>,
    /// Sparkplug group.
    pub group: At<String>,
    /// Sparkplug edge node.
    pub edge: At<String>,
    /// MQTT client id. Default: group and edge.
    pub client_id: Option<At<String>>,
    /// Id of the host without which nothing is published: values are kept until it is online.
    pub primary_host: Option<At<String>>,
    /// How often changes are published. Default `1s`.
    pub publish_every: Option<At<String>>,
    /// Tags published; `*` stands for any part of a path. Default all.
    pub tags: Option<Vec<At<String>>>,
    /// Sparkplug devices: parts of the plant and their tags, `aeration: [aer/*]`. What is in none belongs to the node.
    #[serde(default)]
    pub devices: Pairs<Vec<At<String>>>,
    /// What is kept on the disk for hosts that are away.
    pub store: Option<StoreFile>,
    /// What hosts may write. Without it nothing.
    pub commands: Option<CommandsFile>,
}

/// `tls:` of `mqtt`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// PEM file with the CA of the broker's certificate, relative to the site.
    pub ca: At<String>,
    /// PEM file with our own certificate, where the broker asks for one.
    pub cert: Option<At<String>>,
    /// PEM file with its private key. Keep it outside of the site's folder.
    pub key: Option<At<String>>,
}

/// Where a secret stands
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// A file whose content it is. Keep it outside of the site's folder.
    pub file: Option<At<String>>,
    /// A variable of the environment.
    pub env: Option<At<String>>,
}

/// `store:` of `mqtt`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreFile {
    /// False: values that nobody could take are lost. Default true.
    pub on: Option<bool>,
    /// Largest size on disk. Default `500 MB`.
    pub size_max: Option<At<String>>,
    /// Values older than this are dropped. Default `7d`.
    pub keep: Option<At<String>>,
    /// How many values per second are sent afterwards. Default 5000.
    pub values_per_s: Option<At<u32>>,
}

/// `commands:` of `mqtt`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandsFile {
    /// Who writes, as it stands in the record of actions.
    pub user: At<String>,
    /// What they may do: `operator` (default) or `engineer`.
    pub role: Option<At<String>>,
    /// How long an output stays at what a host wrote, unless it is written again. Default `15min`.
    pub lease: Option<At<String>>,
    /// The tags that may be written; `*` stands for any part of a path.
    pub tags: Vec<At<String>>,
}

/// The publication of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttSettings {
    /// What the edge node runs on.
    pub config: Config,
    /// Who may write, where anybody may.
    pub commands: Option<RemoteUser>,
}

/// The hosts as one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUser {
    /// Name in the record of actions.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How long an output stays at what they wrote.
    pub lease: Duration,
}

/// What a site says of it; `None` where that cannot be meant.
pub fn settings(
    reader: &mut Reader,
    file: FileId,
    dir: &Path,
    form: &MqttFile,
    group_pos: crate::diagnostics::Pos,
    tags: &Tags,
) -> Option<MqttSettings> {
    let mut ctx = Ctx { reader, file };
    let brokers = ctx.brokers(form, group_pos);
    let publish_every = ctx.duration(&form.publish_every, PUBLISH_EVERY);
    if let Some(at) = form.publish_every.as_ref().filter(|_| publish_every < limits::PUBLISH_EVERY_MIN) {
        ctx.error(at.pos, format!("`{}` is too often", at.value)).help("at least 10ms");
    }
    let devices = form.devices.0.iter().map(|(name, _)| name);
    for at in [&form.group, &form.edge].into_iter().chain(&form.primary_host).chain(devices) {
        if at.value.is_empty() || at.value.contains(['/', '+', '#']) {
            ctx.error(at.pos, format!("`{}` cannot be a part of a topic", at.value)).help("no `/`, `+` or `#`");
        }
    }
    if let Some((name, _)) = form.devices.0.get(limits::DEVICES_MAX) {
        ctx.error(name.pos, format!("more than {} devices", limits::DEVICES_MAX))
            .help("a device is a part of the plant: aeration, sludge, energy");
    }
    let tls = form.tls.as_ref().and_then(|tls| ctx.tls(dir, tls));
    let login = ctx.login(dir, form);
    if let (Some(at), None) = (&form.user, &form.tls)
        && brokers.iter().any(|b| !is_here(&b.host))
    {
        let message = "user and password go over the network in clear";
        ctx.reader.report.warning(file, at.pos, message).help("add `tls: { ca: broker-ca.pem }`");
    }
    let mut metas = ctx.published(form, tags);
    let commands = form.commands.as_ref().and_then(|c| ctx.commands(c, tags, &mut metas));
    let store = ctx.store(form.store.as_ref());
    let (group, edge) = (form.group.value.clone(), form.edge.value.clone());
    let client_id = form.client_id.as_ref().map_or_else(|| format!("{group}-{edge}"), |c| c.value.clone());
    let config = Config {
        brokers,
        tls,
        login,
        group,
        edge,
        client_id,
        primary_host: form.primary_host.as_ref().map(|h| h.value.clone()),
        publish_every,
        devices: form.devices.0.iter().map(|(name, _)| name.value.clone()).collect(),
        tags: metas,
        takes_commands: commands.is_some(),
        store,
        state_dir: None,
    };
    (!config.brokers.is_empty()).then_some(MqttSettings { config, commands })
}

/// True for names of this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// The least role that may write a tag; `None` for one that nobody may.
fn role_of(def: &TagDef) -> Option<Role> {
    def.entry.as_ref().map(|e| e.role).or(def.output.as_ref().map(|_| Role::Operator))
}

impl Ctx<'_> {
    fn brokers(&mut self, form: &MqttFile, pos: crate::diagnostics::Pos) -> Vec<Broker> {
        let named: Vec<&At<String>> = form.broker.iter().chain(form.brokers.iter().flatten()).collect();
        match (&form.broker, &form.brokers) {
            (Some(_), Some(list)) => {
                let pos = list.first().map_or(pos, |at| at.pos);
                self.error(pos, "both `broker` and `brokers`")
                    .help("put all of them into `brokers`, the first one first");
            }
            _ if named.is_empty() => {
                self.error(pos, "no broker is named").help("for example `broker: 127.0.0.1:1883`");
            }
            _ => {}
        }
        if let Some(at) = named.get(limits::BROKERS_MAX) {
            self.error(at.pos, format!("more than {} brokers", limits::BROKERS_MAX));
        }
        let mut brokers = Vec::new();
        for at in named {
            let parts = at.value.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            match parts.filter(|(host, port)| !host.is_empty() && *port > 0) {
                Some((host, port)) => brokers.push(Broker { host: host.to_owned(), port }),
                None => {
                    self.error(at.pos, format!("`{}` is not host:port", at.value)).help("for example 127.0.0.1:1883");
                }
            }
        }
        brokers
    }

    /// The certificates are part of the site and read now; the key is not, and read by the runtime.
    fn tls(&mut self, dir: &Path, form: &TlsFile) -> Option<Tls> {
        let ca = dir.join(&form.ca.value);
        let read = self.reader.text(&ca, Some((self.file, form.ca.pos))).is_some();
        if let (true, Err(error)) = (read, penstock_mqtt::secure::authorities(&ca)) {
            self.error(form.ca.pos, penstock_model::with_causes(&error));
        }
        let client = match (&form.cert, &form.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let path = dir.join(&cert.value);
                let read = self.reader.text(&path, Some((self.file, cert.pos))).is_some();
                let what = "the client certificate";
                if let (true, Err(error)) = (read, penstock_mqtt::secure::certificates(what, &path)) {
                    self.error(cert.pos, penstock_model::with_causes(&error));
                }
                Some((path, dir.join(&key.value)))
            }
            (Some(at), None) => {
                self.error(at.pos, "a client certificate needs its key").help("add `key: /etc/penstock/mqtt.key`");
                None
            }
            (None, Some(at)) => {
                self.error(at.pos, "a key needs its certificate").help("add `cert: mqtt.pem`");
                None
            }
        };
        Some(Tls { ca, client })
    }

    fn login(&mut self, dir: &Path, form: &MqttFile) -> Option<Login> {
        let password = form.password.as_ref().and_then(|at| match (&at.value.file, &at.value.env) {
            (Some(path), None) => Some(Secret::File(dir.join(&path.value))),
            (None, Some(name)) => Some(Secret::Environment(name.value.clone())),
            _ => {
                self.error(at.pos, "a password is either in a `file` or in an `env` variable")
                    .help("password: { file: /etc/penstock/mqtt.pass }");
                None
            }
        });
        if let (None, Some(at)) = (&form.user, &form.password) {
            self.error(at.pos, "a password needs a user").help("add `user: penstock`");
        }
        form.user.as_ref().map(|user| Login { user: user.value.clone(), password })
    }

    fn store(&mut self, form: Option<&StoreFile>) -> Option<StoreConfig> {
        let mut store = StoreConfig { bytes_max: STORE_BYTES_MAX, age_max: STORE_KEEP, replay_per_s: VALUES_PER_S };
        let Some(form) = form else { return Some(store) };
        store.age_max = self.duration(&form.keep, STORE_KEEP);
        if let Some(at) = &form.size_max {
            match parse_size(&at.value) {
                Ok(bytes) if bytes >= limits::STORE_BYTES_MIN => store.bytes_max = bytes,
                Ok(_) => {
                    self.error(at.pos, format!("`{}` is too small for a store", at.value))
                        .help("at least 1 MB; to keep nothing, write `on: false`");
                }
                Err(why) => {
                    self.error(at.pos, why).help("for example `500 MB`");
                }
            }
        }
        match &form.values_per_s {
            Some(at) if at.value == 0 => {
                self.error(at.pos, "what is kept would never be sent").help("at least 1 value per second");
            }
            Some(at) => store.replay_per_s = at.value,
            None => {}
        }
        form.on.unwrap_or(true).then_some(store)
    }

    /// Which tags fit a list of patterns; each pattern must fit one.
    pub(super) fn fitting(&mut self, patterns: &[At<String>], tags: &Tags) -> Vec<bool> {
        let mut fits = vec![false; tags.list.len()];
        for at in patterns {
            let mut any = false;
            for (place, tag) in tags.list.iter().enumerate() {
                if read::fits(&at.value, &tag.def.path) {
                    (fits[place], any) = (true, true);
                }
            }
            if !any && !self.reader.lost.may_be(&at.value) {
                let help = suggest(&at.value, tags.list.iter().map(|t| &*t.def.path));
                self.error(at.pos, format!("no tag matches `{}`", at.value)).help_maybe(help);
            }
        }
        fits
    }

    fn published(&mut self, form: &MqttFile, tags: &Tags) -> Vec<TagMeta> {
        let chosen = form.tags.as_deref().map(|patterns| self.fitting(patterns, tags));
        let mut device_of: Vec<Option<usize>> = vec![None; tags.list.len()];
        for (number, (name, patterns)) in form.devices.0.iter().enumerate() {
            for (place, _) in self.fitting(patterns, tags).iter().enumerate().filter(|(_, fits)| **fits) {
                if let Some(other) = device_of[place] {
                    let other = &form.devices.0[other].0.value;
                    let path = &tags.list[place].def.path;
                    self.error(name.pos, format!("`{path}` is both in `{other}` and in `{}`", name.value))
                        .help("a tag belongs to one device");
                    break;
                }
                device_of[place] = Some(number);
            }
        }
        let metas = tags.list.iter().enumerate().filter(|(place, tag)| {
            // What was written last, and what became of it, is told to whoever may write.
            let answer = form.commands.is_some() && *tag.def.path == *"sys/mqtt/answer";
            answer || chosen.as_ref().is_none_or(|c| c[*place])
        });
        let metas = metas.map(|(place, tag)| TagMeta {
            device: device_of[place],
            keep: !tag.def.path.starts_with(OWN_TAGS),
            ..TagMeta::new(tag.def.id, &tag.def.path, tag.def.value_type)
        });
        metas.collect()
    }

    fn commands(&mut self, form: &CommandsFile, tags: &Tags, metas: &mut [TagMeta]) -> Option<RemoteUser> {
        if form.user.value.trim().is_empty() {
            self.error(form.user.pos, "who writes has no name").help("it stands in the record of actions");
        }
        let role = self.role(&form.role);
        let lease = self.duration(&form.lease, LEASE);
        if let Some(at) = form.lease.as_ref().filter(|_| !(LEASE_MIN..=LEASE_MAX).contains(&lease)) {
            self.error(
                at.pos,
                format!("a lease lasts {} s to {} d", LEASE_MIN.as_secs(), LEASE_MAX.as_secs() / 86_400),
            );
        }
        for at in &form.tags {
            let mut any = false;
            for (place, fits) in self.fitting(std::slice::from_ref(at), tags).into_iter().enumerate() {
                let def = &tags.list[place].def;
                let Some(wanted) = role_of(def).filter(|_| fits) else { continue };
                let Some(meta) = metas.iter_mut().find(|m| m.tag == def.id) else {
                    self.error(at.pos, format!("`{}` is not published, so no host can write it", def.path))
                        .help("add it to `mqtt: tags`");
                    return None;
                };
                if wanted > role {
                    self.error(at.pos, format!("`{}` wants the role {}", def.path, wanted.as_str()))
                        .help("leave it out, or give the hosts that role");
                    return None;
                }
                (meta.writable, any) = (true, true);
            }
            if !any && tags.list.iter().any(|t| read::fits(&at.value, &t.def.path)) {
                self.error(at.pos, format!("`{}` is read only", at.value))
                    .help("hosts write what persons enter, and outputs");
            }
        }
        Some(RemoteUser { name: form.user.value.trim().to_owned(), role, lease })
    }
}
