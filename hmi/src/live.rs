//! The live feed: each client pulls what changed since its last step, at its own bounded pace.
//!
//! Nothing is queued for a client: a step looks at the engine's present state and sends the difference to the last
//! step. A client that takes longer simply sees fewer steps; one that takes nothing at all is dropped and counted.

use crate::guard::{Viewer, Who};
use crate::limits::{
    LIVE_EVERY, LIVE_INBOUND_BYTES_MAX, LIVE_SEND_WAIT_MAX, LIVE_STEPS_PER_PING, LIVE_STEPS_PER_SECOND,
    LIVE_VALUES_PER_MESSAGE,
};
use crate::reply::ApiError;
use crate::{App, stopped};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use penstock_engine::{Engine, ObjectView, OutputView, Percentiles, TaskView};
use penstock_model::{AlarmState, AlarmView, Instant, LinkRecord, Now, OutcomeState, Quality, TagId, TagSample, Value};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Close code for a session that ended: the page shows the login instead of trying again.
const CLOSE_SESSION_ENDED: u16 = 4401;
/// Close code for a server that stops (RFC 6455: going away).
const CLOSE_STOPPING: u16 = 1001;
/// Close code for a client that talks (RFC 6455: policy violation): the feed takes no messages.
const CLOSE_POLICY: u16 = 1008;

/// `GET /api/live`
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Viewer(who): Viewer,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let place = app.live_places.clone().try_acquire_owned().map_err(|_| {
        app.counts.live_refused.fetch_add(1, Ordering::Relaxed);
        ApiError::busy()
    })?;
    Ok(upgrade
        .max_message_size(LIVE_INBOUND_BYTES_MAX)
        .max_frame_size(LIVE_INBOUND_BYTES_MAX)
        .on_upgrade(move |socket| serve_client(app, socket, who, place)))
}

async fn serve_client(app: Arc<App>, mut socket: WebSocket, who: Who, place: OwnedSemaphorePermit) {
    let mut feed = Feed::default();
    let mut steps = interval(LIVE_EVERY);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stopped(app.stop.clone()));
    let mut step = 0_u64;
    let farewell = loop {
        tokio::select! {
            _ = steps.tick() => {
                let each_second = step.is_multiple_of(LIVE_STEPS_PER_SECOND);
                if each_second && app.who(who.key, false).is_none() {
                    break Some((CLOSE_SESSION_ENDED, "the session has ended"));
                }
                let mut messages = feed.step(&app.ctx.engine, &app.writables, app.ctx.clock.now(), each_second);
                if step % LIVE_STEPS_PER_PING == LIVE_STEPS_PER_PING - 1 {
                    messages.push(Message::Ping(Bytes::new()));
                }
                step += 1;
                if !send_all(&app, &mut socket, messages).await {
                    break None;
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    break Some((CLOSE_POLICY, "the feed takes no messages"));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
            },
            () = &mut stop => break Some((CLOSE_STOPPING, "the runtime is stopping")),
        }
    };
    if let Some((code, reason)) = farewell {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // A client that does not take its farewell is gone either way.
        let _ = timeout(LIVE_SEND_WAIT_MAX, socket.send(close)).await;
    }
    drop(place);
}

/// Sends the messages of one step; false when the client is gone or takes nothing.
async fn send_all(app: &App, socket: &mut WebSocket, messages: Vec<Message>) -> bool {
    for message in messages {
        match timeout(LIVE_SEND_WAIT_MAX, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_) => {
                app.counts.live_dropped.fetch_add(1, Ordering::Relaxed);
                tracing::info!("a live client took nothing for {LIVE_SEND_WAIT_MAX:?} and was dropped");
                return false;
            }
        }
    }
    true
}

/// What one client has been told so far.
#[derive(Default)]
pub(crate) struct Feed {
    version: u64,
    started: bool,
    alarms: HashMap<u32, AlarmView>,
    outputs: HashMap<TagId, OutputView>,
    objects: Vec<Option<ObjectView>>,
}

impl Feed {
    /// The difference to the last step: everything on the first.
    pub(crate) fn step(&mut self, engine: &Engine, writables: &[TagId], now: Now, each_second: bool) -> Vec<Message> {
        let first = !std::mem::replace(&mut self.started, true);
        let mut messages = Vec::new();
        let mut push = |json: Json| messages.push(Message::Text(json.to_string().into()));
        let (version, changed) = engine.changed_since(self.version);
        self.version = version;
        for part in changed.chunks(LIVE_VALUES_PER_MESSAGE) {
            let values: Vec<Json> = part.iter().map(|s| value_row(s, now.mono)).collect();
            push(json!({ "type": "values", "utc_ms": now.utc.millis(), "values": values }));
        }
        if let Some(items) = self.alarm_items(engine.alarms(), first) {
            push(json!({ "type": "alarms", "items": items }));
        }
        let outputs = self.output_items(writables.iter().filter_map(|tag| engine.output(*tag)));
        if first || !outputs.is_empty() {
            push(json!({ "type": "outputs", "items": outputs }));
        }
        let objects = self.object_items(engine.objects());
        if first || !objects.is_empty() {
            push(json!({ "type": "objects", "items": objects }));
        }
        if each_second {
            let links: Vec<Json> = engine.links().iter().map(|l| link_json(l, now.mono)).collect();
            push(json!({ "type": "links", "items": links }));
            let tasks: Vec<Json> = engine.tasks().iter().map(task_json).collect();
            push(json!({ "type": "tasks", "items": tasks }));
        }
        messages
    }

    /// Every alarm that is not normal, and those that have just become so; `None` when nothing changed. A client may
    /// replace its list by the items or merge them: both end in the same picture.
    fn alarm_items(&mut self, alarms: Vec<AlarmView>, first: bool) -> Option<Vec<Json>> {
        let mut changed = first;
        let mut items = Vec::new();
        for view in alarms {
            let before = self.alarms.get(&view.id.0);
            let normal = view.state == AlarmState::Normal;
            if normal && before.is_none() {
                continue;
            }
            changed |= before != Some(&view);
            items.push(alarm_json(&view));
            if normal {
                self.alarms.remove(&view.id.0);
            } else {
                self.alarms.insert(view.id.0, view);
            }
        }
        changed.then_some(items)
    }

    fn object_items(&mut self, objects: Vec<ObjectView>) -> Vec<Json> {
        self.objects.resize(objects.len(), None);
        let mut items = Vec::new();
        for (number, (view, told)) in objects.into_iter().zip(&mut self.objects).enumerate() {
            if told.as_ref() != Some(&view) {
                items.push(crate::objects::view_json(number, &view));
                *told = Some(view);
            }
        }
        items
    }

    fn output_items(&mut self, outputs: impl Iterator<Item = OutputView>) -> Vec<Json> {
        let mut items = Vec::new();
        for view in outputs {
            if self.outputs.get(&view.tag) != Some(&view) {
                items.push(output_json(&view));
                self.outputs.insert(view.tag, view);
            }
        }
        items
    }
}

/// A value as JSON knows it. A number that is not finite has no spelling there: it is `null`.
pub(crate) fn value_json(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Bool(b)) => json!(b),
        Some(Value::Int(i)) => json!(i),
        Some(Value::Float(x)) => json!(x),
        Some(Value::Text(t)) => json!(&**t),
    }
}

/// `g`, `u` or `b`.
pub(crate) fn quality_letter(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "g",
        Quality::Uncertain(_) => "u",
        Quality::Bad(_) => "b",
    }
}

pub(crate) fn millis(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

fn value_row(s: &TagSample, now: Instant) -> Json {
    let sample = &s.sample;
    json!([
        s.tag.0,
        value_json(sample.value.as_ref()),
        quality_letter(sample.quality),
        sample.quality.reason(),
        sample.source_time.millis(),
        millis(sample.age(now)),
    ])
}

fn alarm_json(view: &AlarmView) -> Json {
    json!({
        "id": view.id.0,
        "state": view.state.as_str(),
        "raised_ms": view.raised.map(penstock_model::Utc::millis),
        "returned_ms": view.returned.map(penstock_model::Utc::millis),
        "ack_ms": view.acknowledged.as_ref().map(|(at, _)| at.millis()),
        "ack_by": view.acknowledged.as_ref().map(|(_, by)| &**by),
        "value": value_json(view.value.as_ref()),
    })
}

fn output_json(view: &OutputView) -> Json {
    let (outcome, text) = match view.last_outcome.as_ref().map(|o| &o.state) {
        None => (None, None),
        Some(OutcomeState::Sent) => (Some("sent"), None),
        Some(OutcomeState::Acknowledged) => (Some("acknowledged"), None),
        Some(OutcomeState::ReadBack) => (Some("read-back"), None),
        Some(OutcomeState::Failed(why)) => (Some("failed"), Some(&**why)),
        Some(OutcomeState::Superseded) => (Some("superseded"), None),
    };
    json!({
        "tag": view.tag.0,
        "manual": view.manual,
        "holder": view.holder.as_ref().map(|(origin, _)| origin.to_string()),
        "priority": view.holder.as_ref().map(|(_, priority)| priority.as_str()),
        "granted": value_json(view.granted.as_ref()),
        "wished": value_json(view.wished.as_ref()),
        "bound_by": view.bound_by.as_deref(),
        "interlock": view.interlock.as_deref().map(crate::objects::hindrance_json),
        "blocked": view.blocked.as_deref().map(crate::objects::hindrance_json),
        "until_ms": view.until.map(penstock_model::Utc::millis),
        "ending": view.ending,
        "fallback": view.fallback.map(penstock_model::FallbackCause::as_str),
        "outcome": outcome,
        "outcome_text": text,
        "outcome_ms": view.last_outcome.as_ref().map(|o| o.at.millis()),
    })
}

pub(crate) fn link_json(link: &LinkRecord, now: Instant) -> Json {
    json!({
        "device": link.device.0,
        "state": link.state.as_str(),
        "reason": &*link.reason,
        "answered": link.answered,
        "failed": link.failed,
        "refused": link.refused,
        "reconnects": link.reconnects,
        "round_trip_ms": link.round_trip.as_secs_f64() * 1e3,
        "retries": link.retries,
        "demoted": link.demoted,
        "quarantined": link.quarantined,
        "note": &*link.note,
        "last_answer_age_ms": link.last_answer.map(|at| millis(now.since(at))),
    })
}

pub(crate) fn task_json(task: &TaskView) -> Json {
    let spread = |p: &Percentiles| json!({ "p50": p.p50.as_micros() as u64, "p99": p.p99.as_micros() as u64, "max": p.max.as_micros() as u64 });
    json!({
        "id": task.id.0,
        "name": &*task.name,
        "scans": task.scans,
        "missed": task.missed,
        "jitter_us": spread(&task.jitter),
        "run_us": spread(&task.run_time),
        "fault": task.fault.as_deref(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{AlarmId, Utc};

    fn alarm(state: AlarmState) -> AlarmView {
        AlarmView { id: AlarmId(3), state, raised: Some(Utc(0)), returned: None, acknowledged: None, value: None }
    }

    #[test]
    fn an_alarm_is_told_when_it_changes_and_its_end_once() {
        let mut feed = Feed::default();
        assert_eq!(feed.alarm_items(vec![alarm(AlarmState::Normal)], true), Some(vec![]));
        assert_eq!(feed.alarm_items(vec![alarm(AlarmState::Normal)], false), None);
        let told = feed.alarm_items(vec![alarm(AlarmState::ActiveUnacknowledged)], false).unwrap();
        assert_eq!(told[0]["state"], "active");
        assert_eq!(feed.alarm_items(vec![alarm(AlarmState::ActiveUnacknowledged)], false), None);
        let told = feed.alarm_items(vec![alarm(AlarmState::Normal)], false).unwrap();
        assert_eq!(told[0]["state"], "normal");
        assert_eq!(feed.alarm_items(vec![alarm(AlarmState::Normal)], false), None);
    }

    #[test]
    fn a_number_json_cannot_spell_is_no_value() {
        assert_eq!(value_json(Some(&Value::Float(f64::NAN))), Json::Null);
        assert_eq!(value_json(Some(&Value::Float(1.5))), json!(1.5));
    }
}
