//! `opcua-server.yaml` of a site: what foreign systems see of it over OPC UA, and what persons may write there.

use super::read::Reader;
use super::tags::{Ctx, Tags};
use super::text::At;
use crate::diagnostics::{FileId, suggest};
use penstock_model::TagId;
use penstock_opcua as client;
use penstock_opcua_server::limits::{CONNECTIONS_MAX, SESSIONS_MAX};
use penstock_opcua_server::{Config, Policy, Security, Texts};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Default of `address`: this machine alone, at the registered port.
const ADDRESS: &str = "127.0.0.1:4840";
/// Default of `connections_max`.
const CONNECTIONS: usize = 16;
/// Default of `sessions_max`.
const SESSIONS: usize = 16;
/// Default of `namespace`.
const NAMESPACE: &str = "urn:penstock:tags";
/// Default of `security`.
const POLICIES: [Policy; 3] = [Policy::Basic256Sha256, Policy::Aes128Sha256RsaOaep, Policy::Aes256Sha256RsaPss];

/// `opcua-server.yaml`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpcUaServerFile {
    /// Address to listen on, `ip:port`. Default `127.0.0.1:4840`; `0.0.0.0:4840` for every network of this machine.
    pub address: Option<At<String>>,
    /// Name or address that clients are told to come to. Default: the address, or this machine's name for `0.0.0.0`.
    pub host: Option<At<String>>,
    /// What is offered: `Basic256Sha256`, `Aes128_Sha256_RsaOaep`, `Aes256_Sha256_RsaPss` (the default, all three), signed
    /// and encrypted; with `/Sign` signed only; `none` for no protection at all.
    pub security: Option<Vec<At<String>>>,
    /// Clients without a user: `none` (default) or `read`. They never write.
    pub anonymous: Option<At<String>>,
    /// Languages of names and messages: `both` (default), `zh` or `en`.
    pub texts: Option<At<String>>,
    /// Tags that have a node; `*` stands for any part of a path. Default all.
    pub tags: Option<Vec<At<String>>>,
    /// Tags that users may write, each by their rights; `*` stands for any part of a path. Default none.
    pub write: Option<Vec<At<String>>>,
    /// Connections at once, 1 to 64. Default 16.
    pub connections_max: Option<At<usize>>,
    /// Sessions at once, 1 to 64. Default 16.
    pub sessions_max: Option<At<usize>>,
    /// Namespace uri of the nodes. Default `urn:penstock:tags`.
    pub namespace: Option<At<String>>,
    /// Folder of certificates, relative to the site. Default: `pki` in the state folder, as for the links.
    pub pki_dir: Option<At<String>>,
}

/// The server of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct OpcUaServerSettings {
    /// What it runs on.
    pub config: Config,
    /// Folder of certificates, where the site names one.
    pub pki_dir: Option<PathBuf>,
}

/// `opcua-server.yaml`, where the site has one. An empty file is a server with every default.
pub fn read(reader: &mut Reader, dir: &Path) -> Option<(FileId, OpcUaServerFile)> {
    let path = dir.join("opcua-server.yaml");
    if !path.exists() {
        return None;
    }
    let (file, text) = reader.text(&path, None)?;
    let is_blank = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if is_blank {
        return Some((file, OpcUaServerFile::default()));
    }
    Some((file, reader.form(file, &text)?))
}

/// What the server of a site runs on; `None` where that cannot be meant.
pub fn settings(
    reader: &mut Reader,
    file: FileId,
    form: &OpcUaServerFile,
    (dir, site): (&Path, &str),
    tags: &Tags,
) -> Option<OpcUaServerSettings> {
    let mut ctx = Ctx { reader, file };
    let before = ctx.reader.report.count();
    let bind = ctx.server_address(form);
    let security = ctx.offered(form, bind);
    let anonymous = ctx.anonymous(form);
    let texts = match form.texts.as_ref().map(|at| (at, at.value.as_str())) {
        None | Some((_, "both")) => Texts::Both,
        Some((_, "zh")) => Texts::Chinese,
        Some((_, "en")) => Texts::English,
        Some((at, word)) => {
            let message = format!("`{word}` is not a choice of languages");
            ctx.error(at.pos, message).help("both, zh or en");
            Texts::Both
        }
    };
    let connections_max = ctx.within(&form.connections_max, CONNECTIONS, CONNECTIONS_MAX, "connections");
    let sessions_max = ctx.within(&form.sessions_max, SESSIONS, SESSIONS_MAX, "sessions");
    let exposed = form.tags.as_deref().map(|patterns| ctx.fitting(patterns, tags));
    let shown = |place: usize| exposed.as_ref().is_none_or(|e| e[place]);
    let ids = tags.list.iter().enumerate().filter(|(place, _)| shown(*place)).map(|(_, tag)| tag.def.id);
    let ids: Vec<TagId> = ids.collect();
    let writable = ctx.writable(form, tags, &shown);
    let namespace = form.namespace.as_ref().map_or(NAMESPACE, |at| at.value.as_str());
    if let Some(at) = form.namespace.as_ref().filter(|at| !at.value.contains(':') || at.value.contains(' ')) {
        ctx.error(at.pos, format!("`{}` is not a uri", at.value)).help("for example urn:works:tags");
    }
    if ctx.reader.report.count() > before {
        return None;
    }
    let bind = bind?;
    let host = form.host.as_ref().map(|at| at.value.clone()).unwrap_or_else(|| host_of(bind));
    let config = Config {
        bind,
        host,
        name: format!("Penstock {site}"),
        namespace: namespace.to_owned(),
        security,
        anonymous,
        connections_max,
        sessions_max,
        texts,
        tags: ids,
        writable,
    };
    Some(OpcUaServerSettings { config, pki_dir: form.pki_dir.as_ref().map(|at| dir.join(&at.value)) })
}

/// Where clients are told to come to: an address that is none is no help to them.
fn host_of(bind: SocketAddr) -> String {
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    match bind {
        SocketAddr::V6(v6) if !v6.ip().is_unspecified() => format!("[{}]", v6.ip()),
        _ if bind.ip().is_unspecified() => {
            let name = machine();
            if name.is_empty() { "localhost".to_owned() } else { name }
        }
        _ => bind.ip().to_string(),
    }
}

impl Ctx<'_> {
    fn server_address(&mut self, form: &OpcUaServerFile) -> Option<SocketAddr> {
        let text = form.address.as_ref().map_or(ADDRESS, |at| at.value.as_str());
        let bind = text.parse::<SocketAddr>().ok().filter(|a| a.port() > 0);
        if let (None, Some(at)) = (bind, &form.address) {
            self.error(at.pos, format!("`{}` is not an address to listen on", at.value)).help(
                "write an IP address of this machine and a port: 127.0.0.1:4840, or 0.0.0.0:4840 for all of its networks",
            );
        }
        if let Some(at) = form.host.as_ref().filter(|at| at.value.is_empty() || at.value.contains(['/', ' '])) {
            self.error(at.pos, format!("`{}` is not a host", at.value)).help("a name or an address, without a port");
        }
        bind
    }

    /// The protections offered; none at all is a decision, and told of.
    fn offered(&mut self, form: &OpcUaServerFile, bind: Option<SocketAddr>) -> Vec<Security> {
        let Some(list) = &form.security else { return POLICIES.map(Security::SignAndEncrypt).to_vec() };
        let mut offered = Vec::new();
        for at in list {
            let security = match client::Security::parse(&at.value) {
                Ok(client::Security::None) => {
                    let far = bind.is_some_and(|b| !b.ip().is_loopback());
                    let message = if far {
                        "a channel without security: everybody on the network reads every value, and can pretend to be \
                         this server"
                    } else {
                        "a channel without security: every program of this machine can listen"
                    };
                    self.reader
                        .report
                        .warning(self.file, at.pos, message)
                        .help("leave `none` out where clients can do better");
                    Security::None
                }
                Ok(client::Security::Sign(policy)) => Security::Sign(policy_of(policy)),
                Ok(client::Security::SignAndEncrypt(policy)) => Security::SignAndEncrypt(policy_of(policy)),
                Err(why) => {
                    self.error(at.pos, why);
                    continue;
                }
            };
            if offered.contains(&security) {
                self.error(at.pos, format!("`{}` stands twice", at.value));
            }
            offered.push(security);
        }
        if list.is_empty() {
            let pos = form.address.as_ref().map(|at| at.pos).unwrap_or_default();
            self.error(pos, "`security` offers nothing").help("leave it out for all that is safe");
        }
        offered
    }

    fn anonymous(&mut self, form: &OpcUaServerFile) -> bool {
        match form.anonymous.as_ref().map(|at| (at, at.value.as_str())) {
            None | Some((_, "none")) => false,
            Some((at, "read")) => {
                let message = "clients without a user read every tag that has a node";
                self.reader.report.warning(self.file, at.pos, message).help("list what they may see under `tags`");
                true
            }
            Some((at, word)) => {
                let message = format!("`{word}` is not what clients without a user may do");
                let help = suggest(word, ["none", "read"]);
                self.error(at.pos, message)
                    .help_maybe(help.or_else(|| Some("none or read; they never write".to_owned())));
                false
            }
        }
    }

    fn within(&mut self, at: &Option<At<usize>>, default: usize, most: usize, what: &str) -> usize {
        if let Some(at) = at.as_ref().filter(|at| !(1..=most).contains(&at.value)) {
            self.error(at.pos, format!("{} {what}; 1 to {most} can be allowed", at.value));
        }
        at.as_ref().map_or(default, |at| at.value)
    }

    /// Tags that persons may write. A pattern that fits nothing that can be written is a mistake.
    fn writable(&mut self, form: &OpcUaServerFile, tags: &Tags, shown: &dyn Fn(usize) -> bool) -> Vec<TagId> {
        let mut writable = Vec::new();
        for at in form.write.iter().flatten() {
            let fits = self.fitting(std::slice::from_ref(at), tags);
            let any = fits.iter().any(|f| *f);
            let mut found = false;
            for (place, tag) in tags.list.iter().enumerate().filter(|(place, _)| fits[*place]) {
                let claimable = tag.def.entry.is_some() || tag.def.output.is_some();
                if claimable && !shown(place) {
                    self.error(at.pos, format!("`{}` has no node, so nobody can write it", tag.def.path))
                        .help("add it to `tags`");
                    return writable;
                }
                if claimable {
                    found = true;
                    if !writable.contains(&tag.def.id) {
                        writable.push(tag.def.id);
                    }
                }
            }
            if any && !found {
                self.error(at.pos, format!("`{}` is read only", at.value))
                    .help("persons write what they enter, and outputs");
            }
        }
        writable
    }
}

fn policy_of(policy: client::SecurityPolicy) -> Policy {
    match policy {
        client::SecurityPolicy::Basic256Sha256 => Policy::Basic256Sha256,
        client::SecurityPolicy::Aes128Sha256RsaOaep => Policy::Aes128Sha256RsaOaep,
        client::SecurityPolicy::Aes256Sha256RsaPss => Policy::Aes256Sha256RsaPss,
    }
}
