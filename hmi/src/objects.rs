//! Controlled objects: what a page needs to know of them, and what people order: modes, maintenance locks, resets.
//!
//! The order of things is that of a claim (see `act`): checked, recorded on the disk, handed to the engine, answered.

use crate::act::{one_at_a_time, shown};
use crate::desk::{Desk, Person};
use crate::guard::{Operator, may};
use crate::live::value_json;
use crate::reply::{ApiError, Body};
use crate::site::text;
use crate::{App, HmiContext};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use penstock_engine::{BadPolicy, Condition, Hindrance, ObjectDef, ObjectOrder, ObjectView, OrderKind};
use penstock_ledger::ActionKind;
use penstock_model::limits::{LEASE_MAX, LEASE_MIN, LOCK_REASON_BYTES_MAX};
use penstock_model::{Cause, Claim, HoldTimes, Mode, OrderError, Role, TagId, Utc, Value, Wish};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use std::sync::Arc;
use std::time::Duration;

/// Times offered for a hold by hand, in seconds.
const HOLD_CHOICES_S: [u64; 3] = [15 * 60, 3_600, 8 * 3_600];

/// The times that a person may hold an output by hand: the page offers these.
pub(crate) fn hold_json(hold: HoldTimes) -> Json_ {
    let mut choices: Vec<u64> = HOLD_CHOICES_S.to_vec();
    choices.extend(hold.default.map(|d| d.as_secs()));
    choices.extend(hold.max.map(|d| d.as_secs()));
    choices.retain(|s| hold.max.is_none_or(|max| *s <= max.as_secs()));
    choices.sort_unstable();
    choices.dedup();
    json!({
        "default_s": hold.lease(None).map(|d| d.as_secs()),
        "max_s": hold.max.map(|d| d.as_secs()),
        "choices_s": choices,
    })
}

/// The declared objects, by their number.
pub(crate) fn defs_json(ctx: &HmiContext) -> Vec<Json_> {
    ctx.engine.object_defs().map(def_json).collect()
}

fn def_json(def: &ObjectDef) -> Json_ {
    let outputs: Vec<Json_> = def
        .outputs
        .iter()
        .map(|o| {
            json!({
                "tag": o.tag.0,
                "off": value_json(Some(&o.off)),
                "lock": value_json(Some(&o.lock)),
                "feedback": o.feedback.map(|t| t.0),
            })
        })
        .collect();
    let modes: Vec<Json_> =
        def.modes.iter().map(|m| json!({ "mode": m.mode.as_str(), "role": m.role.as_str() })).collect();
    let condition = |when: &Condition, words: &penstock_model::Text, bad: BadPolicy| {
        let tags: Vec<u32> = when.tags().iter().map(|t| t.0).collect();
        json!({ "when": &**when.text(), "text": text(words), "bad": bad.as_str(), "tags": tags })
    };
    let interlocks: Vec<Json_> = def
        .interlocks
        .iter()
        .map(|i| {
            let mut json = condition(&i.when, &i.text, i.bad);
            json["output"] = json!(i.output);
            json["value"] = value_json(Some(&i.value));
            json["latch"] = json!(i.latch);
            json
        })
        .collect();
    let permissives: Vec<Json_> = def
        .permissives
        .iter()
        .map(|p| {
            let mut json = condition(&p.when, &p.text, p.bad);
            json["output"] = json!(p.output);
            json
        })
        .collect();
    json!({
        "name": &*def.name,
        "title": text(&def.title),
        "mode_tag": def.mode_tag.0,
        "outputs": outputs,
        "programs": def.programs.iter().map(|p| &**p).collect::<Vec<_>>(),
        "modes": modes,
        "local": def.local.as_ref().map(|l| &**l.text()),
        "hold": hold_json(def.hold),
        "interlocks": interlocks,
        "permissives": permissives,
    })
}

fn cause_json(cause: &Cause) -> Json_ {
    json!({
        "tag": cause.tag.0,
        "value": value_json(cause.value.as_ref()),
        "quality": crate::live::quality_letter(cause.quality),
        "reason": cause.quality.reason(),
        "text": &*cause.text,
    })
}

pub(crate) fn hindrance_json(why: &Hindrance) -> Json_ {
    json!({ "text": text(&why.text), "when": &*why.when, "cause": cause_json(&why.cause) })
}

/// An object as it stands: an item of the live feed.
pub(crate) fn view_json(number: usize, view: &ObjectView) -> Json_ {
    let interlocks: Vec<Json_> = view
        .interlocks
        .iter()
        .map(|i| {
            json!({
                "state": i.state.as_str(),
                "cause": i.cause.as_ref().map(cause_json),
                "since_ms": i.since.map(Utc::millis),
            })
        })
        .collect();
    let permissives: Vec<Json_> =
        view.permissives.iter().map(|p| json!({ "met": p.met, "cause": p.cause.as_ref().map(cause_json) })).collect();
    json!({
        "object": number,
        "mode": view.mode.as_str(),
        "selected": view.selected.as_str(),
        "by": &*view.by,
        "since_ms": view.since.millis(),
        "lock": view.lock.as_ref().map(|l| json!({
            "who": &*l.who, "reason": &*l.reason, "since_ms": l.since.millis(),
        })),
        "until_ms": view.until.map(Utc::millis),
        "ending": view.ending,
        "interlocks": interlocks,
        "permissives": permissives,
    })
}

/// A refused order in both languages.
pub(crate) fn refused(error: &OrderError) -> ApiError {
    let zh = match error {
        OrderError::Unknown(name) => return ApiError::not_found(&format!("object `{name}`")),
        OrderError::NotOffered { object, mode } => format!("{object} 不提供{}模式", mode.title().zh),
        OrderError::Locked { object, lock } => format!("{object} 已由 {} 检修锁定：{}", lock.who, lock.reason),
        OrderError::NotLocked(object) => format!("{object} 未锁定"),
        OrderError::Local(object) => format!("{object} 处于就地控制"),
        OrderError::NotRemote(object) => format!("{object} 不在远程模式"),
        OrderError::NotPermitted { object, text, condition } => {
            format!("{object} 不允许启动：{}（{condition}）", text.zh)
        }
        OrderError::NothingToReset(object) => format!("{object} 没有可复位的联锁，或其原因仍存在"),
        OrderError::Busy(object) => format!("{object}：等待处理的操作过多，请重试"),
    };
    let status = match error {
        OrderError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        OrderError::NotOffered { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    ApiError::new(status, zh, error.to_string())
}

/// A change of mode as the log takes it.
#[derive(Debug)]
pub(crate) struct ModeChange {
    object: String,
    old: Mode,
    new: Mode,
    until: Option<Utc>,
    outputs: Vec<(String, Option<Value>)>,
}

impl ModeChange {
    pub(crate) fn what(&self) -> ActionKind {
        ActionKind::Mode {
            object: self.object.clone(),
            old: self.old,
            new: self.new,
            until: self.until,
            outputs: self.outputs.clone(),
        }
    }

    /// What stands in the log after the engine refused: the mode before.
    pub(crate) fn undone(&self) -> ActionKind {
        let (object, outputs) = (self.object.clone(), self.outputs.clone());
        ActionKind::Mode { object, old: self.new, new: self.old, until: None, outputs }
    }
}

fn outputs_now(desk: &Desk, def: &ObjectDef) -> Vec<(String, Option<Value>)> {
    let engine = &desk.engine;
    def.outputs
        .iter()
        .map(|o| (engine.tags().get(o.tag).path.to_string(), engine.output(o.tag).and_then(|v| v.granted)))
        .collect()
}

fn object(desk: &Desk, number: usize) -> Option<(&ObjectDef, ObjectView)> {
    Some((desk.engine.object_defs().nth(number)?, desk.engine.object(number)?))
}

/// The lease of a hold on that output, and when it ends.
pub(crate) fn lease(
    desk: &Desk,
    tag: TagId,
    asked_s: Option<u64>,
) -> Result<(Option<Duration>, Option<Utc>), ApiError> {
    let def = desk.engine.object_of(tag).and_then(|n| desk.engine.object_defs().nth(n));
    lease_within(desk, def.map_or(desk.hold, |d| d.hold), asked_s)
}

fn lease_within(
    desk: &Desk,
    hold: HoldTimes,
    asked_s: Option<u64>,
) -> Result<(Option<Duration>, Option<Utc>), ApiError> {
    let lease = match asked_s {
        None => hold.lease(None),
        Some(0) if hold.max.is_none() => None,
        Some(s) => {
            let (time, max) = (Duration::from_secs(s), hold.max.unwrap_or(LEASE_MAX));
            if !(LEASE_MIN..=max).contains(&time) {
                let (least, most) = (LEASE_MIN.as_secs(), max.as_secs());
                let zh = format!("手动保持时间须为 {least} 至 {most} 秒");
                return Err(ApiError::unprocessable(zh, format!("a hold by hand lasts {least} to {most} seconds")));
            }
            Some(time)
        }
    };
    Ok((lease, lease.map(|time| desk.clock.now().utc + time)))
}

/// What a hand on an output means for the mode of its object: checked, and who may. `None` where the mode stays.
pub(crate) fn mode_of_hand(
    desk: &Desk,
    who: &Person,
    claim: &Claim,
    until: Option<Utc>,
) -> Result<Option<ModeChange>, ApiError> {
    let Some((number, (def, view))) = desk.engine.object_of(claim.tag).and_then(|n| Some((n, object(desk, n)?))) else {
        return Ok(None);
    };
    let release = claim.wish == Wish::Release;
    let new = if release { view.resume } else { Mode::Manual };
    if let (true, Some(lock)) = (release, &view.lock) {
        return Err(refused(&OrderError::Locked { object: def.name.clone(), lock: lock.clone() }));
    }
    if release && view.selected != Mode::Manual {
        return Ok(None);
    }
    may(who, def.role_for(new).unwrap_or(Role::Operator))?;
    if !release {
        let kind = OrderKind::Mode { mode: new, lease: None };
        desk.engine.check_order(number, &kind).map_err(|e| refused(&e))?;
        desk.engine.check_claim(claim).map_err(|e| crate::act::claim_refused(&e))?;
    }
    let outputs = outputs_now(desk, def);
    Ok(Some(ModeChange { object: def.name.to_string(), old: view.selected, new, until, outputs }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeBody {
    object: String,
    mode: String,
    /// Seconds that mode manual holds: absent for the site's own time, 0 for no end.
    #[serde(default)]
    lease_s: Option<u64>,
    #[serde(default)]
    confirm: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockBody {
    object: String,
    reason: String,
    #[serde(default)]
    confirm: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectBody {
    object: String,
    #[serde(default)]
    confirm: bool,
}

/// The object of a request; a change must be confirmed.
fn asked<'a>(app: &'a App, name: &str, confirm: bool) -> Result<(usize, &'a ObjectDef, ObjectView), ApiError> {
    let number = app.ctx.engine.object_defs().position(|d| *d.name == *name);
    let found = number.and_then(|n| object(&app.desk, n).map(|(def, view)| (n, def, view)));
    let found = found.ok_or_else(|| ApiError::not_found(&format!("object `{}`", shown(name))))?;
    if confirm { Ok(found) } else { Err(ApiError::unprocessable("操作须确认", "the change must be confirmed")) }
}

/// Checks, records and hands over; `undone` is recorded where the engine refuses what it let pass a moment before.
fn carry_out(
    desk: &Desk,
    who: &Person,
    number: usize,
    kind: OrderKind,
    what: ActionKind,
    undone: Option<ActionKind>,
) -> Result<u64, ApiError> {
    let engine = &desk.engine;
    engine.check_order(number, &kind).map_err(|e| refused(&e))?;
    let seq = desk.record(who, what)?;
    if let Err(error) = engine.order(ObjectOrder { object: number, kind, by: who.user.clone() }) {
        let text = format!("action {seq} was refused by the runtime and not done: {error}");
        tracing::error!(%error, "a checked order was refused; the record is put right");
        desk.record(who, ActionKind::Custom { text })?;
        if let Some(undone) = undone {
            desk.record(who, undone)?;
        }
        return Err(refused(&error));
    }
    Ok(seq)
}

/// `POST /api/objects/mode`
pub(crate) async fn mode(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<ModeBody>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let (number, def, view) = asked(app, &body.object, body.confirm)?;
        let Some(new) = Mode::parse(&body.mode) else {
            let word = shown(&body.mode);
            return Err(ApiError::unprocessable(format!("没有模式 {word}"), format!("there is no mode `{word}`")));
        };
        if let Some(role) = def.role_for(new) {
            may(&who, role)?;
        }
        let (lease, until) =
            if new == Mode::Manual { lease_within(&app.desk, def.hold, body.lease_s)? } else { (None, None) };
        let (object, outputs) = (def.name.to_string(), outputs_now(&app.desk, def));
        let change = ModeChange { object, old: view.selected, new, until, outputs };
        let kind = OrderKind::Mode { mode: new, lease };
        let seq = carry_out(&app.desk, &who, number, kind, change.what(), Some(change.undone()))?;
        Ok(Json(json!({
            "object": &*def.name, "old": change.old.as_str(), "new": new.as_str(),
            "until_ms": until.map(Utc::millis), "seq": seq,
        })))
    })
    .await
}

/// `POST /api/objects/lock`
pub(crate) async fn lock(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<LockBody>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let (number, def, _) = asked(app, &body.object, body.confirm)?;
        let reason = body.reason.trim();
        if reason.is_empty() || reason.len() > LOCK_REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(ApiError::unprocessable(
                format!("须填写检修原因，最多 {LOCK_REASON_BYTES_MAX} 字节"),
                format!("a lock needs a reason of at most {LOCK_REASON_BYTES_MAX} bytes"),
            ));
        }
        let outputs = outputs_now(&app.desk, def).into_iter().map(|(tag, _)| tag).collect();
        let what = ActionKind::Lock { object: def.name.to_string(), reason: reason.to_owned(), outputs };
        let undone = ActionKind::Unlock { object: def.name.to_string() };
        let kind = OrderKind::Lock { reason: reason.into() };
        let seq = carry_out(&app.desk, &who, number, kind, what, Some(undone))?;
        Ok(Json(json!({ "object": &*def.name, "seq": seq })))
    })
    .await
}

/// `POST /api/objects/unlock`: who locked, or an engineer.
pub(crate) async fn unlock(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<ObjectBody>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let (number, def, view) = asked(app, &body.object, body.confirm)?;
        let lock = view.lock.ok_or_else(|| refused(&OrderError::NotLocked(def.name.clone())))?;
        if lock.who != who.user && who.role < Role::Engineer {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("只有锁定者 {} 或工程师可以解锁", lock.who),
                format!("only {}, who locked it, or an engineer may unlock it", lock.who),
            ));
        }
        let object = def.name.to_string();
        let outputs = outputs_now(&app.desk, def).into_iter().map(|(tag, _)| tag).collect();
        let undone = ActionKind::Lock { object: object.clone(), reason: lock.reason.to_string(), outputs };
        let seq = carry_out(&app.desk, &who, number, OrderKind::Unlock, ActionKind::Unlock { object }, Some(undone))?;
        Ok(Json(json!({ "object": &*def.name, "seq": seq })))
    })
    .await
}

/// `POST /api/objects/reset`
pub(crate) async fn reset(
    State(app): State<Arc<App>>,
    Operator(who): Operator,
    Body(body): Body<ObjectBody>,
) -> Result<Json<Json_>, ApiError> {
    one_at_a_time(&app, move |app| {
        let (number, def, _) = asked(app, &body.object, body.confirm)?;
        let what = ActionKind::ResetInterlocks { object: def.name.to_string() };
        let seq = carry_out(&app.desk, &who, number, OrderKind::Reset, what, None)?;
        Ok(Json(json!({ "object": &*def.name, "seq": seq })))
    })
    .await
}
