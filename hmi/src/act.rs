//! What a person does to the plant: set-points, outputs by hand, acknowledgements, resets.
//!
//! Order of a claim: it is checked, then recorded (durable on the disk), then handed to the engine, then answered.
//! * An answered claim is always in the log: nothing is answered before the record is on the disk.
//! * Nothing moves the plant unrecorded: with a full disk the claim is refused, and the plant stays as it is.
//! * What the check refuses is never recorded. Should the engine refuse what the check let pass (its queue is full), the
//!   record is followed by two more: one that says so, and one that puts the old value back, so that a restart, which
//!   reads the last entries from the log, does not bring the refused value to life.
//! * A crash between record and answer leaves a recorded value that the restart then applies: the person got no answer,
//!   and sees on the screen what holds.
//!
//! One action at a time, so that the log and the engine see them in one order.

use crate::App;
use crate::desk::{Desk, Order, Person};
use crate::guard::{Engineer, Operator};
use crate::limits::ACKNOWLEDGE_MAX;
use crate::live::value_json;
use crate::objects;
use crate::reply::{ApiError, Body};
use crate::site::limits;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use penstock_ledger::ActionKind;
use penstock_model::limits::TEXT_BYTES_MAX;
use penstock_model::{AlarmId, ClaimError, TagDef, TaskId, Value, ValueType};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use std::sync::Arc;

/// Runs an action on a thread that may wait for the disk, one at a time.
pub(crate) async fn one_at_a_time<T: Send + 'static>(
    app: &Arc<App>,
    act: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let place = app.action_places.clone().try_acquire_owned().map_err(|_| ApiError::busy())?;
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        let _one = app.ctx.actions.turn();
        act(&app)
    });
    done.await.map_err(|e| ApiError::internal("操作失败", "the action failed", &e))?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimBody {
    tag: String,
    value: Option<Json_>,
    #[serde(default)]
    release: bool,
    /// Seconds that an output is held by hand: absent for the site's own time, 0 for no end.
    #[serde(default)]
    lease_s: Option<u64>,
    #[serde(default)]
    confirm: bool,
}

/// `POST /api/claim`
pub(crate) async fn claim(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<ClaimBody>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let order = check(&app.desk, &who, &body)?;
        let seq = app.desk.carry_out(&who, &order)?;
        Ok(Json(json!({
            "tag": order.path,
            "old": value_json(order.old.as_ref()),
            "new": value_json(order.new.as_ref()),
            "seq": seq,
        })))
    })
    .await
}

/// Everything that can be wrong with a claim, before anything is recorded or moved.
fn check(desk: &Desk, who: &Person, body: &ClaimBody) -> Result<Order, ApiError> {
    let tags = desk.engine.tags();
    let tag = tags.find(&body.tag).ok_or_else(|| ApiError::not_found(&format!("tag `{}`", shown(&body.tag))))?;
    let def = tags.get(tag);
    let entry = desk.may_write(who, def)?;
    let new = match (&body.value, body.release) {
        (Some(_), true) | (None, false) => {
            let en = "either `value` or `release` must be given";
            return Err(ApiError::bad_request("须给出 value 或 release 之一", en));
        }
        (Some(_), false) if !body.confirm => {
            return Err(ApiError::unprocessable("操作须确认", "the change must be confirmed"));
        }
        (None, true) if entry => return Err(not_released(def)),
        (Some(json), false) => Some(wished(def, json).map_err(|e| claim_refused(&e))?),
        (None, true) => None,
    };
    desk.order(who, def, new, body.lease_s)
}

/// A set-point keeps its value until another one is entered.
pub(crate) fn not_released(def: &TagDef) -> ApiError {
    let (zh, en) = ("设定值不能释放", "a set-point cannot be released");
    ApiError::unprocessable(format!("{}：{zh}", def.path), format!("`{}`: {en}", def.path))
}

/// The value of the request as the tag takes it.
fn wished(def: &TagDef, json: &Json_) -> Result<Value, ClaimError> {
    let wrong = |got| ClaimError::WrongType { path: def.path.clone(), wanted: def.value_type, got };
    let value = match json {
        Json_::Bool(b) => Value::Bool(*b),
        Json_::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(x)) => Value::Float(x),
            (None, None) => return Err(ClaimError::NotFinite(def.path.clone())),
        },
        Json_::String(s) if s.len() > TEXT_BYTES_MAX => {
            let (value, high) = (s.len() as f64, TEXT_BYTES_MAX as f64);
            return Err(ClaimError::OutOfRange { path: def.path.clone(), value, low: 0.0, high });
        }
        Json_::String(s) => Value::from(s.as_str()),
        _ => return Err(wrong(ValueType::Text)),
    };
    fits(def, &value)
}

/// A value as the tag takes it.
pub(crate) fn fits(def: &TagDef, value: &Value) -> Result<Value, ClaimError> {
    let wrong = |got| ClaimError::WrongType { path: def.path.clone(), wanted: def.value_type, got };
    if let Value::Text(text) = value
        && text.len() > TEXT_BYTES_MAX
    {
        let (value, high) = (text.len() as f64, TEXT_BYTES_MAX as f64);
        return Err(ClaimError::OutOfRange { path: def.path.clone(), value, low: 0.0, high });
    }
    let value = value.convert(def.value_type).ok_or_else(|| wrong(value.value_type()))?;
    if !value.is_finite() {
        return Err(ClaimError::NotFinite(def.path.clone()));
    }
    if let (Some((low, high)), Some(number)) = (limits(def), value.as_f64())
        && !(low..=high).contains(&number)
    {
        return Err(ClaimError::OutOfRange { path: def.path.clone(), value: number, low, high });
    }
    Ok(value)
}

/// A refused claim in both languages.
pub(crate) fn claim_refused(error: &ClaimError) -> ApiError {
    let zh = match error {
        ClaimError::ReadOnly(path) => format!("{path} 只读"),
        ClaimError::OutOfRange { path, value, low, high } => format!("{path}：{value} 超出 {low}..{high}"),
        ClaimError::WrongType { path, wanted, got } => format!("{path} 的类型为 {wanted}，不接受 {got}"),
        ClaimError::NotFinite(path) => format!("{path} 须为有限数"),
        ClaimError::Busy(path) => format!("{path}：等待处理的操作过多，请重试"),
        ClaimError::Object { refused, .. } => return objects::refused(refused),
    };
    let status = match error {
        ClaimError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    ApiError::new(status, zh, error.to_string())
}

/// A text of a request as it may be repeated in an answer.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).filter(|c| !c.is_control()).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcknowledgeBody {
    ids: Vec<u32>,
}

/// `POST /api/alarms/ack`: what needs no acknowledgement is left out of the answer and of the log.
pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<AcknowledgeBody>,
) -> Result<Json<Json_>, ApiError> {
    if body.ids.len() > ACKNOWLEDGE_MAX {
        let en = format!("at most {ACKNOWLEDGE_MAX} alarms are acknowledged at a time");
        return Err(ApiError::unprocessable(format!("一次最多确认 {ACKNOWLEDGE_MAX} 条报警"), en));
    }
    one_at_a_time(&app, move |app| {
        let mut done = Vec::new();
        for id in body.ids {
            if app.desk.acknowledge_one(&who, AlarmId(id), "")? {
                done.push(id);
            }
        }
        Ok(Json(json!({ "acknowledged": done })))
    })
    .await
}

/// `POST /api/tasks/<id>/reset`
pub(crate) async fn reset_task(
    State(app): State<Arc<App>>,
    Engineer(who): Engineer,
    Path(id): Path<String>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let engine = &app.ctx.engine;
        let task = id.parse().ok().and_then(|n| engine.tasks().into_iter().find(|t| t.id == TaskId(n)));
        let Some(task) = task else { return Err(ApiError::not_found(&format!("task `{}`", shown(&id)))) };
        if task.fault.is_none() {
            let (zh, en) = (format!("任务 {} 没有故障", task.name), format!("task `{}` is not faulted", task.name));
            return Err(ApiError::new(StatusCode::CONFLICT, zh, en));
        }
        app.desk.record(&who, ActionKind::ResetTask { task: task.name.to_string() })?;
        engine.reset_task(task.id);
        Ok(Json(json!({ "task": &*task.name })))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{EntryDef, Role, Source, TagId, Unit};

    fn entry(value_type: ValueType) -> TagDef {
        let mut def = TagDef::float(TagId(0), "aer/nh4_sp", Unit::NONE, Source::Operator);
        def.value_type = value_type;
        def.entry =
            Some(Box::new(EntryDef { initial: Value::Float(2.0), limits: Some((0.5, 8.0)), role: Role::Operator }));
        def
    }

    #[test]
    fn a_value_is_taken_only_as_the_tag_takes_it() {
        let rows = [
            (ValueType::Float, json!(3), Ok(Value::Float(3.0))),
            (ValueType::Float, json!(2.5), Ok(Value::Float(2.5))),
            (ValueType::Float, json!(8.01), Err("outside 0.5..8")),
            (ValueType::Float, json!(1e308), Err("outside")),
            (ValueType::Float, json!("3"), Err("takes a float, not a text")),
            (ValueType::Float, json!(null), Err("takes a float")),
            (ValueType::Float, json!([1]), Err("takes a float")),
            (ValueType::Int, json!(2.5), Err("takes a int, not a float")),
            (ValueType::Int, json!(3), Ok(Value::Int(3))),
            (ValueType::Text, json!("x".repeat(TEXT_BYTES_MAX + 1)), Err("257 is outside 0..256")),
        ];
        for (value_type, json, wanted) in rows {
            let got = wished(&entry(value_type), &json).map_err(|e| e.to_string());
            match (&got, wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(*got, wanted, "{json}"),
                (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{json}: {got}"),
                _ => panic!("{json}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_speaks_both_languages() {
        let e = claim_refused(&ClaimError::OutOfRange { path: "a/b".into(), value: 9.0, low: 0.5, high: 8.0 });
        assert_eq!(e.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(e.zh.contains("超出 0.5..8") && e.en.contains("outside 0.5..8"));
        assert_eq!(claim_refused(&ClaimError::Busy("a".into())).status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
