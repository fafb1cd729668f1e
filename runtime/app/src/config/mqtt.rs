//! `mqtt:` of a site: what is published, and where.

use super::files::MqttFile;
use super::read::{self, Reader};
use super::tags::{Ctx, Tags};
use crate::diagnostics::{FileId, suggest};
use std::time::Duration;

/// Default of `mqtt: publish_every`.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What a site says of it; `None` where that cannot be meant.
pub fn settings(reader: &mut Reader, file: FileId, form: &MqttFile, tags: &Tags) -> Option<penstock_mqtt::Config> {
    let mut ctx = Ctx { reader, file };
    let every = ctx.duration(&form.publish_every, PUBLISH_EVERY);
    let broker = form.broker.value.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    for at in [&form.group, &form.edge] {
        if at.value.is_empty() || at.value.contains(['/', '+', '#']) {
            ctx.error(at.pos, format!("`{}` cannot be a part of a topic", at.value)).help("no `/`, `+` or `#`");
        }
    }
    let patterns = form.tags.as_deref();
    for at in patterns.unwrap_or_default() {
        if !tags.list.iter().any(|t| read::fits(&at.value, &t.def.path)) {
            let help = suggest(&at.value, tags.list.iter().map(|t| &*t.def.path));
            ctx.error(at.pos, format!("no tag matches `{}`", at.value)).help_maybe(help);
        }
    }
    let chosen = |path: &str| patterns.is_none_or(|list| list.iter().any(|at| read::fits(&at.value, path)));
    let Some((host, port)) = broker else {
        ctx.error(form.broker.pos, format!("`{}` is not host:port", form.broker.value))
            .help("for example 127.0.0.1:1883");
        return None;
    };
    let metas = tags.list.iter().filter(|t| chosen(&t.def.path)).map(|t| penstock_mqtt::TagMeta {
        tag: t.def.id,
        path: t.def.path.clone(),
        value_type: t.def.value_type,
    });
    let (group, edge) = (form.group.value.clone(), form.edge.value.clone());
    let client_id = form.client_id.as_ref().map_or_else(|| format!("{group}-{edge}"), |c| c.value.clone());
    Some(penstock_mqtt::Config {
        host: host.to_owned(),
        port,
        group,
        edge,
        client_id,
        publish_every: every,
        tags: metas.collect(),
    })
}
