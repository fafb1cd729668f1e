//! The last writes of an output: how far each has come, for whom, and when.

use crate::App;
use crate::guard::Viewer;
use crate::live::{millis, value_json};
use crate::reply::{ApiError, Ask};
use axum::Json;
use axum::extract::State;
use penstock_engine::WritesView;
use penstock_model::{Utc, WriteEnd, WriteLife};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct WritesAsk {
    tag: String,
}

/// `GET /api/writes?tag=<path>`
pub(crate) async fn writes(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Ask(ask): Ask<WritesAsk>,
) -> Result<Json<Json_>, ApiError> {
    let engine = &app.ctx.engine;
    let shown: String = ask.tag.chars().take(96).collect();
    let tag = engine.tags().find(&ask.tag).ok_or_else(|| ApiError::not_found(&format!("tag `{shown}`")))?;
    let view = engine.writes(tag).ok_or_else(|| {
        ApiError::bad_request(format!("`{shown}` 不写入任何设备"), format!("`{shown}` is written to no device"))
    })?;
    Ok(Json(writes_json(&ask.tag, &view)))
}

fn writes_json(tag: &str, view: &WritesView) -> Json_ {
    let c = &view.counts;
    json!({
        "tag": tag,
        "counts": {
            "granted": c.granted,
            "acknowledged": c.acknowledged,
            "settled": c.settled,
            "failed": c.failed,
            "superseded": c.superseded,
            "kept_back": c.kept_back,
        },
        "latency_ms": {
            "p50": millis(view.latency.p50),
            "p99": millis(view.latency.p99),
            "max": millis(view.latency.max),
        },
        "writes": view.last.iter().map(life_json).collect::<Vec<_>>(),
    })
}

pub(crate) fn life_json(life: &WriteLife) -> Json_ {
    let why = match &life.end {
        Some((WriteEnd::Failed(why), _)) => Some(&**why),
        _ => None,
    };
    json!({
        "id": life.command.id.0,
        "stage": life.stage(),
        "origin": life.command.origin.to_string(),
        "value": value_json(life.command.value.as_ref()),
        "wished": value_json(life.wished.as_ref()),
        "bound_by": life.bound_by.as_deref(),
        "requested_ms": life.requested.millis(),
        "granted_ms": life.command.granted.millis(),
        "queued_ms": life.queued.map(Utc::millis),
        "sent_ms": life.sent.map(Utc::millis),
        "acknowledged_ms": life.acknowledged.map(Utc::millis),
        "read_back_ms": life.read_back.map(Utc::millis),
        "ended_ms": life.end.as_ref().map(|(_, at)| at.millis()),
        "repeats": life.repeats,
        "text": why,
    })
}
