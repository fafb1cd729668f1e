//! OPC UA servers: from a device file to what the driver runs.

use super::devices::{Devices, Group, groups_of, require_group};
use super::opcua_files::{OpcUaFile, OpcUaPoint, PublishGroup};
use super::points::{Declared, PointForm, PointPlace};
use super::spots::Spots;
use super::tags::{Ctx, Draft, Kind};
use super::text::{At, Pairs};
use super::{Device, DriverConfig, own_tag};
use crate::diagnostics::{FileId, suggest};
use penstock_model::{Category, TagId, Text, Unit, ValueType};
use penstock_opcua as opcua;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Default of `timeout`: opening a secure channel takes several exchanges.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Devices<'_> {
    /// Reads a server and its points.
    pub(super) fn opcua(&mut self, file: FileId, form: &OpcUaFile) {
        let id = self.name(file, &form.device);
        let device: Arc<str> = form.device.value.as_str().into();
        let title = form.title.as_ref().map_or_else(|| Text::same(&form.device.value), |l| l.0.clone());
        let endpoint = match self.address_override(&form.device.value, [form.gateway.as_ref(), None]) {
            Some(address) => with_authority(&form.endpoint.value, &address),
            None => form.endpoint.value.clone(),
        };
        let site_dir = self.site_dir;
        let mut ctx = Ctx { reader: self.reader, file };
        let security = security(&mut ctx, form);
        let exceptions = exceptions(&mut ctx, form, security);
        let identity = identity(&mut ctx, form, site_dir, security);
        let timeout = ctx.duration(&form.timeout, TIMEOUT);
        let category = ctx.category(&form.category, Category::Process);
        let groups: Vec<Group> = groups_of(&mut ctx, &form.groups, |g| &g.publish);
        require_group(&mut ctx, form.device.pos, &groups, form.points.is_empty(), "publish");
        let mut config = opcua::DeviceConfig {
            id,
            name: device.clone(),
            endpoint: endpoint.clone(),
            security,
            exceptions,
            identity,
            timeout,
            groups: subscriptions(&mut ctx, &form.groups, &groups),
            points: Vec::new(),
            pki_dir: form.pki_dir.as_ref().map_or_else(PathBuf::new, |p| site_dir.join(&p.value)),
            certificate_tag: (security != opcua::Security::None).then(|| self.certificate_tag(&device)).flatten(),
        };
        let at = PointPlace {
            device: id,
            file,
            repeats: false,
            prefix: None,
            prefix_title: None,
            place: None,
            category,
            groups: &groups,
            unit: 0,
        };
        let mut places = HashMap::new();
        for point in &form.points {
            if let Some(p) = self.opcua_point(&at, point, form.namespace.as_ref()) {
                places.insert(p.path.clone(), (file, point.node.pos));
                config.points.push(p);
            }
        }
        let spots = Spots { file, device: form.device.pos, address: Some(form.endpoint.pos), heartbeat: None, places };
        spots.tell(self.reader, &device, config.check());
        self.list.push(Device { id, name: device, title, address: endpoint, driver: DriverConfig::OpcUa(config) });
    }

    /// The tag by which a protected link tells how long its certificates last.
    fn certificate_tag(&mut self, device: &str) -> Option<TagId> {
        let title =
            Text::new(&format!("通讯 {device} 证书剩余天数"), &format!("Link {device}: days until a certificate ends"));
        let unit = Unit::parse("d").unwrap_or(Unit::NONE);
        let mut def = own_tag(&format!("sys/link/{device}/certificate_days"), title, unit, ValueType::Float);
        def.category = Category::System;
        def.decimals = 0;
        self.tags.add(self.reader, Draft { def, kind: Kind::Own, place: None, writer: None })
    }

    fn opcua_point(
        &mut self,
        at: &PointPlace<'_>,
        point: &OpcUaPoint,
        namespace: Option<&At<String>>,
    ) -> Option<opcua::PointConfig> {
        let form = PointForm {
            tag: &point.tag,
            title: point.title.as_ref().map(|l| &l.0),
            unit: &point.unit,
            value_type: &point.value_type,
            type_default: ValueType::Float,
            range: &point.range,
            decimals: point.decimals,
            ttl: &point.ttl,
            frozen_after: &point.frozen_after,
            category: &point.category,
            log: &point.log,
            states: &point.states,
            group: &point.group,
            write: point.write.as_ref(),
            fallback: point.fallback.as_ref(),
            entry: point.entry.as_ref(),
        };
        let Declared { def, group, write } = self.point(at, &form)?;
        let tag = def.id;
        let node = match namespace {
            Some(uri) if !point.node.value.starts_with("ns") => format!("nsu={};{}", uri.value, point.node.value),
            _ => point.node.value.clone(),
        };
        if let Err(e) = opcua::parse_node(&node) {
            let identifier = ["s=", "i=", "g=", "b="].iter().any(|kind| point.node.value.contains(kind));
            let help =
                if identifier { e.hint.to_owned() } else { format!("write s={}, or i=<number>", point.node.value) };
            self.reader
                .report
                .error(at.file, point.node.pos, format!("`{}` is not a node id", point.node.value))
                .help(help);
            return None;
        }
        let text = |t: &Option<At<String>>| t.as_ref().map(|at| at.value.clone());
        let (index, field) = (text(&point.index), text(&point.field));
        let part = opcua::Part::parse(index.as_deref(), field.as_deref()).unwrap_or_else(|why| {
            let pos = point.index.as_ref().or(point.field.as_ref()).map_or(point.node.pos, |t| t.pos);
            self.reader.report.error(at.file, pos, why);
            opcua::Part::default()
        });
        Some(opcua::PointConfig {
            tag,
            path: def.path,
            node,
            part,
            value_type: def.value_type,
            scale: point.scale.as_ref().map_or(1.0, |s| s.value),
            offset: point.offset.as_ref().map_or(0.0, |s| s.value),
            range: def.range,
            group,
            write: write.map(|w| opcua::WriteConfig { verify_within: w.verify_within, tolerance: w.tolerance }),
        })
    }
}

/// An unprotected channel is a decision, and has to be said.
fn security(ctx: &mut Ctx<'_>, form: &OpcUaFile) -> opcua::Security {
    let Some(at) = &form.security else {
        ctx.error(form.device.pos, format!("`{}` does not say how its channel is protected", form.device.value))
            .help("add: security: Basic256Sha256; or security: none, where nobody else can be on the network between");
        return opcua::Security::None;
    };
    opcua::Security::parse(&at.value).unwrap_or_else(|why| {
        ctx.error(at.pos, why);
        opcua::Security::None
    })
}

fn exceptions(ctx: &mut Ctx<'_>, form: &OpcUaFile, security: opcua::Security) -> Vec<opcua::Exception> {
    let all = &opcua::Exception::ALL;
    let mut out = Vec::new();
    for at in form.accept_certificate.iter().flatten() {
        match all.iter().find(|e| e.as_str() == at.value) {
            Some(exception) => out.push(*exception),
            None => {
                let help = suggest(&at.value, all.iter().map(|e| e.as_str()));
                let message = format!("`{}` is nothing that a certificate can be let pass with", at.value);
                ctx.error(at.pos, message).help_maybe(help);
            }
        }
        if security == opcua::Security::None {
            ctx.error(at.pos, "no certificate is looked at on a channel without security");
        }
    }
    out
}

/// Who we are to the server. Passwords stand outside of the site's files.
fn identity(ctx: &mut Ctx<'_>, form: &OpcUaFile, dir: &Path, security: opcua::Security) -> opcua::Identity {
    let password = match (&form.password_env, &form.password_file) {
        (Some(_), Some(file)) => {
            ctx.error(file.pos, "the password is in a variable and in a file").help("keep one of them");
            None
        }
        (Some(env), None) => Some((env, opcua::Password::Env(env.value.clone()))),
        (None, Some(file)) => Some((file, opcua::Password::File(dir.join(&file.value)))),
        (None, None) => None,
    };
    if let (Some((at, _)), None) = (&password, &form.user) {
        ctx.error(at.pos, "a password without a user").help("add: user: <name>");
    }
    match (&form.user, &form.user_certificate, &form.user_key) {
        (Some(_), Some(certificate), _) => {
            ctx.error(certificate.pos, "the device has a user name and a user's certificate").help("keep one of them");
            opcua::Identity::Anonymous
        }
        (Some(user), None, None) => {
            if let Some((at, password)) = &password {
                look_at_password(ctx, at, password, security);
            }
            opcua::Identity::User(user.value.clone(), password.map(|(_, p)| p))
        }
        (None, Some(certificate), Some(key)) => {
            opcua::Identity::Certificate { certificate: dir.join(&certificate.value), key: dir.join(&key.value) }
        }
        (None, Some(certificate), None) => {
            ctx.error(certificate.pos, "a user's certificate without its key").help("add: user_key: <file.pem>");
            opcua::Identity::Anonymous
        }
        (_, None, Some(key)) => {
            ctx.error(key.pos, "a user's key without its certificate").help("add: user_certificate: <file.der>");
            opcua::Identity::Anonymous
        }
        (None, None, None) => opcua::Identity::Anonymous,
    }
}

/// A password may be missing where a site is checked; one that others may read is a mistake wherever it lies.
fn look_at_password(ctx: &mut Ctx<'_>, at: &At<String>, password: &opcua::Password, security: opcua::Security) {
    let file = ctx.file;
    if let Some(why) = password.trouble() {
        match password {
            opcua::Password::File(path) if path.exists() => {
                ctx.error(at.pos, why);
            }
            opcua::Password::Env(name) => {
                let message = format!("the environment variable `{name}` is not set");
                ctx.reader.report.warning(file, at.pos, message).label("no password");
            }
            opcua::Password::File(_) => {
                ctx.reader.report.warning(file, at.pos, why).label("no password");
            }
        }
    }
    if security == opcua::Security::None {
        ctx.reader
            .report
            .warning(
                file,
                at.pos,
                "the channel is not protected: whoever is between can pose as the server and take the password",
            )
            .help("set security: Basic256Sha256");
    }
}

/// The groups with everything that is said of them.
fn subscriptions(ctx: &mut Ctx<'_>, forms: &Pairs<PublishGroup>, groups: &[Group]) -> Vec<opcua::GroupConfig> {
    let mut out = Vec::new();
    for (name, publish) in groups {
        let Some((_, form)) = forms.0.iter().find(|(n, _)| n.value == name.value) else { continue };
        let mut group = opcua::GroupConfig::every(&name.value, *publish);
        group.sampling = form.sampling.as_ref().and_then(|t| ctx.duration_at(t));
        group.queue = form.queue.as_ref().map_or(1, |q| q.value);
        group.fetch =
            ctx.word(&form.fetch, opcua::Fetch::Subscribe, "way to fetch", &opcua::Fetch::ALL, opcua::Fetch::as_str);
        if let Some(at) = &form.deadband {
            let (number, percent) = match at.value.strip_suffix('%') {
                Some(number) => (number, true),
                None => (at.value.as_str(), false),
            };
            match number.trim().parse() {
                Ok(x) if percent => group.deadband = Some(opcua::Deadband::Percent(x)),
                Ok(x) => group.deadband = Some(opcua::Deadband::Absolute(x)),
                Err(_) => {
                    ctx.error(at.pos, format!("`{}` is no deadband", at.value))
                        .help("write 0.5 in the node's unit, or 2 % of its range");
                }
            }
        }
        out.push(group);
    }
    out
}

/// `opc.tcp://host:port/path` with another `host:port`.
fn with_authority(endpoint: &str, address: &str) -> String {
    let rest = endpoint.strip_prefix("opc.tcp://").unwrap_or(endpoint);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    format!("opc.tcp://{address}{path}")
}
