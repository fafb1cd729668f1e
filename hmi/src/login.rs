//! Login, logout, and who one is.

use crate::App;
use crate::gate::Peer;
use crate::guard::{SESSION_COOKIE, Viewer, session_id};
use crate::limits::{NOTE_WAIT_MAX, USER_NAME_BYTES_MAX};
use crate::reply::{ApiError, Body};
use crate::sessions::session_key;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use penstock_ledger::ActionKind;
use penstock_model::{Role, with_causes};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    user: String,
    password: String,
}

/// `POST /api/login`
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Body(body): Body<LoginBody>,
) -> Result<impl IntoResponse, ApiError> {
    let user = shown_name(&body.user);
    app.backoff.attempt(&user, from, app.ctx.clock.now().mono).map_err(|wait| {
        let seconds = wait.as_secs().max(1);
        let mut refusal = ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("登录失败次数过多，请等待 {seconds} 秒"),
            format!("too many failed logins; wait {seconds} s"),
        );
        refusal.retry_after = Some(wait);
        refusal
    })?;
    let place = app.password_checks.clone().acquire_owned().await.map_err(|_| ApiError::busy())?;
    let users = app.users.current();
    let checked = tokio::task::spawn_blocking({
        let users = users.clone();
        move || {
            let _place = place;
            users.verify(&body.user, &body.password)
        }
    });
    let failed = |e: &dyn std::fmt::Display| ApiError::internal("登录失败", "the login could not be checked", e);
    let role = checked.await.map_err(|e| failed(&e))?;
    let standing = users.standing(&user);
    let (Some(role), Some((_, stamp))) = (role, standing) else {
        tracing::warn!(%user, %from, "login refused");
        note(&app, &user, Role::Viewer, ActionKind::LoginFailed).await;
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "用户名或密码错误", "wrong user name or password"));
    };
    app.backoff.succeeded(&user, from);
    if let Some(old) = session_id(&headers) {
        app.sessions.close(&session_key(old));
    }
    let id = app.sessions.open(&user, stamp, app.ctx.clock.now().mono).map_err(|e| failed(&e))?;
    note(&app, &user, role, ActionKind::Login).await;
    let cookie = format!("{SESSION_COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict");
    Ok(([(header::SET_COOKIE, cookie)], Json(me_json(&user, role))))
}

/// `POST /api/logout`
pub(crate) async fn logout(State(app): State<Arc<App>>, Viewer(who): Viewer) -> impl IntoResponse {
    app.sessions.close(&who.key);
    note(&app, &who.user, who.role, ActionKind::Logout).await;
    let cookie = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Json(json!({})))
}

/// `GET /api/me`
pub(crate) async fn me(Viewer(who): Viewer) -> Json<Json_> {
    Json(me_json(&who.user, who.role))
}

fn me_json(user: &str, role: Role) -> Json_ {
    json!({ "user": user, "role": role.as_str() })
}

/// A login moves nothing on the plant: one that the log cannot take (disk full, or a disk that does not answer) is still
/// let in, and said aloud, because the person is needed exactly then. What moves the plant is refused when it cannot be
/// recorded.
async fn note(app: &Arc<App>, user: &str, role: Role, what: ActionKind) {
    let action = app.desk.action(user, role, what);
    let Ok(place) = app.note_places.clone().try_acquire_owned() else {
        tracing::error!(%user, "the action log does not answer and many wait for it: a login is not in it");
        return;
    };
    let app = app.clone();
    let noted = tokio::task::spawn_blocking(move || {
        let _place = place;
        app.ctx.actions.append(action).map_err(|e| with_causes(&e))
    });
    match tokio::time::timeout(NOTE_WAIT_MAX, noted).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => tracing::error!(%user, %error, "the action log cannot take a login"),
        Ok(Err(error)) => tracing::error!(%user, %error, "the action log cannot take a login"),
        Err(_) => tracing::error!(%user, "the action log does not answer; a login is let in and noted when it does"),
    }
}

/// A name as it may stand in tables and logs: bounded and without control characters.
fn shown_name(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars().map(|c| if c.is_control() { '?' } else { c }) {
        if shown.len() + c.len_utf8() > USER_NAME_BYTES_MAX {
            break;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_log_lines_or_fill_them() {
        assert_eq!(shown_name("li\n2026 wang"), "li?2026 wang");
        assert!(shown_name(&"长".repeat(100)).len() <= USER_NAME_BYTES_MAX);
    }
}
