//! What a person asks: history, journals, energy, the runtime's own health, mimic drawings.

use crate::guard::Viewer;
use crate::limits::{
    HISTORY_POINTS_DEFAULT, HISTORY_POINTS_MAX, HISTORY_SPAN_MAX_MS, HISTORY_TAGS_MAX, MIMIC_BYTES_MAX, ROWS_DEFAULT,
    ROWS_MAX,
};
use crate::live::{link_json, millis, quality_letter, task_json, value_json};
use crate::reply::{ApiError, Ask};
use crate::{App, running};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use penstock_engine::ProgramView;
use penstock_historian::{Bucket, EventRow, Historian, Point, Stats, StoreError};
use penstock_ledger::{ActionKind, ActionRow, LedgerError};
use penstock_model::{Utc, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json_, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs a query on a thread that may wait for the disk; a bounded number at a time.
async fn query<T: Send + 'static>(
    app: &Arc<App>,
    ask: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let place = app.query_places.clone().acquire_owned().await.map_err(|_| ApiError::busy())?;
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        ask(&app)
    });
    done.await.map_err(|e| ApiError::internal("查询失败", "the query failed", &e))?
}

/// A stretch of time that is not empty and not longer than `max_ms`.
fn span(from: i64, to: i64, max_ms: i64) -> Result<(Utc, Utc), ApiError> {
    if to <= from {
        return Err(ApiError::bad_request("`to` 须晚于 `from`", "`to` must be later than `from`"));
    }
    if to.saturating_sub(from) > max_ms {
        let days = max_ms / 86_400_000;
        return Err(ApiError::bad_request(
            format!("时段不得超过 {days} 天"),
            format!("the stretch exceeds {days} days"),
        ));
    }
    Ok((Utc::from_millis(from), Utc::from_millis(to)))
}

#[derive(Deserialize)]
pub(crate) struct HistoryAsk {
    tags: String,
    from: i64,
    to: i64,
    points: Option<usize>,
}

/// `GET /api/history`
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Ask(ask): Ask<HistoryAsk>,
) -> Result<Json<Json_>, ApiError> {
    let (from, to) = span(ask.from, ask.to, HISTORY_SPAN_MAX_MS)?;
    let points = ask.points.unwrap_or(HISTORY_POINTS_DEFAULT).clamp(1, HISTORY_POINTS_MAX);
    let tags: Vec<String> = ask.tags.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
    if tags.is_empty() || tags.len() > HISTORY_TAGS_MAX {
        let en = format!("1 to {HISTORY_TAGS_MAX} tags can be asked at a time");
        return Err(ApiError::bad_request(format!("一次可查询 1 至 {HISTORY_TAGS_MAX} 个点"), en));
    }
    if let Some(unknown) = tags.iter().find(|t| app.ctx.engine.tags().find(t).is_none()) {
        let shown: String = unknown.chars().take(96).collect();
        return Err(ApiError::not_found(&format!("tag `{shown}`")));
    }
    query(&app, move |app| {
        let mut series = Vec::with_capacity(tags.len());
        for tag in tags {
            let one = one_series(&app.ctx.historian, &tag, from, to, points)
                .map_err(|e| ApiError::internal("历史查询失败", "the history could not be read", &e))?;
            series.push(one);
        }
        Ok(Json(json!({ "series": series })))
    })
    .await
}

/// The samples themselves where they are few enough, else the extremes of each part. The last sample before the stretch
/// comes first: it is what held at its start. A tag of which nothing was ever kept has no points.
fn one_series(store: &Historian, tag: &str, from: Utc, to: Utc, points: usize) -> Result<Json_, StoreError> {
    let (raw, rows) = match series_rows(store, tag, from, to, points) {
        Err(StoreError::UnknownSeries(_)) => (true, Vec::new()),
        answer => answer?,
    };
    Ok(json!({ "tag": tag, "raw": raw, "points": rows }))
}

fn series_rows(
    store: &Historian,
    tag: &str,
    from: Utc,
    to: Utc,
    points: usize,
) -> Result<(bool, Vec<Json_>), StoreError> {
    let mut rows: Vec<Json_> = store.last_before(tag, from)?.iter().map(point_row).collect();
    let buckets = store.downsample(tag, from, to, points)?;
    let count: u64 = buckets.iter().map(|b| u64::from(b.count)).sum();
    let raw = count <= points as u64;
    if raw {
        rows.extend(store.query(tag, from, to)?.iter().map(point_row));
    } else {
        rows.extend(buckets.iter().map(bucket_row));
    }
    Ok((raw, rows))
}

fn point_row(p: &Point) -> Json_ {
    // A text has no place on a scale; the row still says when it was and how good.
    let value = match &p.value {
        Some(Value::Text(_)) | None => Json_::Null,
        Some(value) => json!(value.as_f64()),
    };
    json!([p.utc.millis(), value, value, value, quality_letter(p.quality)])
}

fn bucket_row(b: &Bucket) -> Json_ {
    json!([b.from.millis(), b.min, b.max, b.last, quality_letter(b.worst)])
}

#[derive(Deserialize)]
pub(crate) struct EventsAsk {
    from: Option<i64>,
    to: Option<i64>,
    kind: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/events`
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Ask(ask): Ask<EventsAsk>,
) -> Result<Json<Json_>, ApiError> {
    let from = Utc::from_millis(ask.from.unwrap_or(0));
    let to = ask.to.map_or(Utc(i64::MAX), Utc::from_millis);
    let limit = ask.limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
    query(&app, move |app| {
        let rows = app
            .ctx
            .historian
            .events(from, to, ask.kind.as_deref(), limit)
            .map_err(|e| ApiError::internal("事件查询失败", "the journal could not be read", &e))?;
        Ok(Json(rows.iter().map(event_row).collect()))
    })
    .await
}

/// A row of the journal: the writer's own fields beside time and kind, which a body cannot overwrite.
fn event_row(row: &EventRow) -> Json_ {
    let mut fields = match serde_json::from_str(&row.body) {
        Ok(Json_::Object(fields)) => fields,
        Ok(other) => Map::from_iter([("value".to_owned(), other)]),
        Err(_) => Map::from_iter([("text".to_owned(), json!(row.body))]),
    };
    fields.insert("utc_ms".into(), json!(row.utc.millis()));
    fields.insert("kind".into(), json!(row.kind));
    Json_::Object(fields)
}

#[derive(Deserialize)]
pub(crate) struct ActionsAsk {
    limit: Option<usize>,
}

/// `GET /api/actions`
pub(crate) async fn actions(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Ask(ask): Ask<ActionsAsk>,
) -> Result<Json<Json_>, ApiError> {
    let limit = ask.limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
    query(&app, move |app| Ok(Json(app.ctx.actions.latest(limit).iter().map(action_row).collect()))).await
}

fn action_row(row: &ActionRow) -> Json_ {
    let action = &row.action;
    let (kind, fields) = match &action.what {
        ActionKind::SetPoint { tag, old, new, unit } => (
            "set_point",
            json!({ "tag": tag, "old": value_json(old.as_ref()), "new": value_json(Some(new)), "unit": unit }),
        ),
        ActionKind::Manual { tag, old, new, until } => (
            "manual",
            json!({
                "tag": tag,
                "old": value_json(old.as_ref()),
                "new": value_json(Some(new)),
                "until_ms": until.map(Utc::millis),
            }),
        ),
        ActionKind::Mode { object, old, new, until, .. } => (
            "mode",
            json!({ "object": object, "old": old.as_str(), "new": new.as_str(), "until_ms": until.map(Utc::millis) }),
        ),
        ActionKind::Lock { object, reason, .. } => ("lock", json!({ "object": object, "reason": reason })),
        ActionKind::Unlock { object } => ("unlock", json!({ "object": object })),
        ActionKind::ResetInterlocks { object } => ("reset_interlocks", json!({ "object": object })),
        ActionKind::LeaseEnded { object, mode, .. } => {
            ("lease_ended", json!({ "object": object, "new": mode.map(penstock_model::Mode::as_str) }))
        }
        ActionKind::Release { tag } => ("release", json!({ "tag": tag })),
        ActionKind::Acknowledge { alarm } => ("acknowledge", json!({ "alarm": alarm })),
        ActionKind::ResetTask { task } => ("reset_task", json!({ "task": task })),
        ActionKind::Login => ("login", json!({})),
        ActionKind::LoginFailed => ("login_failed", json!({})),
        ActionKind::Logout => ("logout", json!({})),
        ActionKind::Custom { text } => ("custom", json!({ "text": text })),
    };
    let mut json = json!({
        "seq": row.seq,
        "utc_ms": action.at.millis(),
        "who": action.who,
        "role": action.role.as_str(),
        "station": action.station,
        "kind": kind,
    });
    if let (Some(json), Json_::Object(fields)) = (json.as_object_mut(), fields) {
        json.extend(fields);
    }
    json
}

#[derive(Deserialize)]
pub(crate) struct EnergyAsk {
    from: i64,
    to: i64,
}

/// `GET /api/energy`
pub(crate) async fn energy(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Ask(ask): Ask<EnergyAsk>,
) -> Result<Json<Json_>, ApiError> {
    let (from, to) = (Utc::from_millis(ask.from), Utc::from_millis(ask.to));
    query(&app, move |app| {
        let Some(ledger) = &app.ctx.ledger else {
            return Err(ApiError::new(StatusCode::NOT_FOUND, "本站未配置能源台账", "this site has no energy ledger"));
        };
        let failed =
            |e: &dyn std::fmt::Display| ApiError::internal("能源查询失败", "the energy could not be summed", e);
        let summary = ledger.summary(from, to).map_err(|e| match e {
            LedgerError::Range => ApiError::bad_request(format!("时段无效：{e}"), e.to_string()),
            e => failed(&e),
        })?;
        serde_json::to_value(&summary).map(Json).map_err(|e| failed(&e))
    })
    .await
}

/// `GET /api/system`
pub(crate) async fn system(State(app): State<Arc<App>>, Viewer(_): Viewer) -> Json<Json_> {
    let now = app.ctx.clock.now();
    let engine = &app.ctx.engine;
    let tasks: Vec<Json_> = engine.tasks().iter().map(task_json).collect();
    let links: Vec<Json_> = engine.links().iter().map(|l| link_json(l, now.mono)).collect();
    let programs: Vec<Json_> = engine.programs().iter().map(program_json).collect();
    let counts = &app.counts;
    let own = [
        ("hmi slow clients", counts.live_dropped.load(Ordering::Relaxed)),
        ("hmi clients refused", counts.live_refused.load(Ordering::Relaxed)),
        ("hmi connections refused", counts.turned_away.load(Ordering::Relaxed)),
    ];
    let drops: Vec<Json_> = (app.ctx.drops)()
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .chain(own)
        .map(|(name, count)| json!({ "name": name, "count": count }))
        .collect();
    Json(json!({
        "utc_ms": now.utc.millis(),
        "uptime_s": now.mono.since(app.started).as_secs(),
        "version": app.ctx.site.version,
        "config_hash": &*app.ctx.site.config_hash.get(),
        "tasks": tasks,
        "links": links,
        "programs": programs,
        "historian": stats_json(&app.ctx.historian.stats()),
        "ledger": app.ctx.ledger.as_ref().map(|ledger| ledger.status()),
        "drops": drops,
        "live_clients": crate::limits::LIVE_CLIENTS_MAX - app.live_places.available_permits(),
    }))
}

fn program_json(p: &ProgramView) -> Json_ {
    json!({
        "name": &*p.name,
        "script": &*p.script,
        "task": p.task.0,
        "fault": p.fault.as_deref(),
        "last_error": p.last_error.as_deref(),
        "bad_inputs": p.bad_inputs,
        "log": p.log,
    })
}

fn stats_json(s: &Stats) -> Json_ {
    json!({
        "series": s.series,
        "samples": s.samples,
        "dropped": s.dropped,
        "bytes_live": s.bytes_live,
        "bytes_disk": s.bytes_disk,
        "bytes_per_sample": s.bytes_per_sample,
        "chunks": s.chunks,
        "events": s.events,
        "pending": s.pending,
        "damaged": s.damaged,
        "last_commit_ms": millis(s.last_commit),
        "last_error": s.last_error,
    })
}

/// `GET /api/site`: packed for who takes it so, as every browser does.
pub(crate) async fn site(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let page = running::page(app.clone()).await;
    let kind = [(header::CONTENT_TYPE, "application/json"), (header::VARY, "accept-encoding")];
    if running::takes_gzip(&headers) {
        return Ok((kind, [(header::CONTENT_ENCODING, "gzip")], page).into_response());
    }
    let text = query(&app, move |_| {
        running::unpack(&page).map_err(|e| ApiError::internal("厂区资料损坏", "the page of the site is damaged", &e))
    });
    Ok((kind, text.await?).into_response())
}

/// A drawing may style itself and nothing else, also when it is opened by itself.
const DRAWING_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// `GET /api/mimic/<name>`
pub(crate) async fn mimic(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("such drawing");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(missing());
    }
    let svg = query(&app, move |app| {
        // The name holds no dot and no slash; this also stops a link that leads out of the folder.
        let dir = app.config.mimic_dir.canonicalize().map_err(|_| missing())?;
        let file = dir.join(format!("{name}.svg")).canonicalize().map_err(|_| missing())?;
        if !file.starts_with(&dir) {
            return Err(missing());
        }
        let failed = |e: &dyn std::fmt::Display| ApiError::internal("图形读取失败", "the drawing could not be read", e);
        let length = std::fs::metadata(&file).map_err(|e| failed(&e))?.len();
        if length > MIMIC_BYTES_MAX {
            return Err(failed(&format!("{} has {length} bytes", file.display())));
        }
        std::fs::read(&file).map_err(|e| failed(&e))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, DRAWING_POLICY)], svg)
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_forward_and_bounded() {
        assert!(span(5, 5, 10).is_err());
        assert!(span(5, 16, 10).is_err());
        assert!(span(i64::MIN, i64::MAX, HISTORY_SPAN_MAX_MS).is_err());
        assert_eq!(span(5, 15, 10).unwrap(), (Utc::from_millis(5), Utc::from_millis(15)));
    }

    #[test]
    fn a_journal_body_cannot_change_when_and_what() {
        let row =
            |body: &str| event_row(&EventRow { utc: Utc::from_millis(7), kind: "alarm".into(), body: body.into() });
        assert_eq!(row(r#"{"alarm":"a","kind":"x","utc_ms":1}"#), json!({"alarm":"a","kind":"alarm","utc_ms":7}));
        assert_eq!(row("plain"), json!({"text":"plain","kind":"alarm","utc_ms":7}));
    }
}
