//! What every request passes: is it meant for us (Host), does it come from our own page (Origin), whose is it
//! (session), and may they do that (role). Also the headers every answer carries.

use crate::App;
use crate::desk::Person;
use crate::reply::ApiError;
use crate::sessions::{SessionKey, session_key};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use penstock_model::Role;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) const SESSION_COOKIE: &str = "penstock_session";

/// Scripts, pictures and connections come from this server alone. Styles may stand in attributes: the mimic drawings
/// and the trend canvas place things by them.
const PAGE_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Name endings that no public name server answers for, so no foreign page can be made to reach us under them.
const PRIVATE_ENDINGS: &[&str] = &[".local", ".localhost", ".internal", ".home.arpa"];

/// Refuses what is not meant for us or not from our own page, and puts the safety headers on every answer.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let mut response = match admit(request.method(), request.uri().path(), request.headers(), &app.config.station) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    put(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::X_FRAME_OPTIONS, "DENY");
    put(header::REFERRER_POLICY, "no-referrer");
    put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    put(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    if api {
        put(header::CACHE_CONTROL, "no-store");
    }
    response
}

fn admit(method: &Method, path: &str, headers: &HeaderMap, station: &str) -> Result<(), ApiError> {
    let host = text(headers, header::HOST).and_then(|h| h.parse::<Authority>().ok());
    let Some(host) = host.filter(|h| host_is_ours(h.host(), station)) else {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "请用 IP 地址、localhost 或本站主机名访问",
            "open this site by its IP address, localhost or its own host name",
        ));
    };
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    if !changes && path != "/api/live" {
        return Ok(());
    }
    // A browser always sends Origin here; what sends none is no browser and carries no cookie it did not log in for.
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or("");
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_none_or(|a| !a.eq_ignore_ascii_case(host.as_str()))
    });
    let foreign_site = text(headers, HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if foreign_origin || foreign_site {
        let en = "the request comes from a page of another site";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "请求来自其他网站的页面", en));
    }
    Ok(())
}

/// True for hosts that a foreign page cannot make point at us (DNS rebinding): addresses, names without a dot, names
/// under endings no public name server serves, and the station's own name.
fn host_is_ours(host: &str, station: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty()
        && (!name.contains('.')
            || PRIVATE_ENDINGS.iter().any(|ending| name.ends_with(ending))
            || name.eq_ignore_ascii_case(station))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// The id in the session cookie.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
}

/// Who asks: a logged-in user with the role the users file gives them now.
#[derive(Clone)]
pub(crate) struct Who {
    person: Person,
    pub(crate) key: SessionKey,
}

impl Deref for Who {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.person
    }
}

impl App {
    /// The user of a session, as long as it is open and the user still has the password it was opened with.
    pub(crate) fn who(&self, key: SessionKey, use_it: bool) -> Option<Who> {
        let session = self.sessions.find(&key, self.ctx.clock.now().mono, use_it)?;
        let standing = self.users.current().standing(&session.user);
        let Some((role, _)) = standing.filter(|(_, stamp)| *stamp == session.stamp) else {
            self.sessions.close(&key);
            return None;
        };
        Some(Who { person: Person { user: session.user, role }, key })
    }
}

fn asking(parts: &Parts, app: &App, least: Role) -> Result<Who, ApiError> {
    let key = session_id(&parts.headers).map(session_key).ok_or_else(ApiError::unauthorised)?;
    let who = app.who(key, true).ok_or_else(ApiError::unauthorised)?;
    may(&who, least)?;
    Ok(who)
}

/// Refuses a user whose role is below `least`.
pub(crate) fn may(who: &Person, least: Role) -> Result<(), ApiError> {
    if who.role >= least {
        return Ok(());
    }
    let (zh, en) = match least {
        Role::Viewer => ("需要登录", "a login is needed"),
        Role::Operator => ("需要操作员权限", "this needs the role of an operator"),
        Role::Engineer => ("需要工程师权限", "this needs the role of an engineer"),
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, zh, en))
}

macro_rules! asking_as {
    ($($(#[$meta:meta])* $name:ident)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name(pub(crate) Who);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
                asking(parts, app, Role::$name).map($name)
            }
        }
    )*};
}

asking_as! {
    /// Anyone logged in.
    Viewer
    /// At least an operator.
    Operator
    /// An engineer.
    Engineer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_cannot_be_rebound_are_ours() {
        for host in
            ["127.0.0.1", "[::1]", "10.2.3.4", "localhost", "scada", "scada.local", "hmi.internal", "plant.example"]
        {
            assert!(host_is_ours(host, "plant.example"), "{host}");
        }
        for host in ["", "evil.example", "10.2.3.4.evil.example", "local", "notlocal.example", "127.0.0.1.nip.io"] {
            let single_label = !host.is_empty() && !host.contains('.');
            assert_eq!(host_is_ours(host, "plant.example"), single_label, "{host}");
        }
    }

    fn request(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_foreign_page_can_neither_change_nor_listen() {
        type Row<'a> = (&'a Method, &'a str, &'a [(&'a str, &'a str)], Option<u16>);
        let rows: &[Row<'_>] = &[
            (&Method::GET, "/", &[("host", "localhost:8080")], None),
            (&Method::GET, "/", &[], Some(421)),
            (&Method::GET, "/api/site", &[("host", "evil.example")], Some(421)),
            (&Method::POST, "/api/claim", &[("host", "localhost:8080")], None),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("origin", "http://h:8080")], None),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("origin", "https://h:8080")], None),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("origin", "http://h:9090")], Some(403)),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("origin", "http://evil.example")], Some(403)),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("origin", "null")], Some(403)),
            (&Method::POST, "/api/claim", &[("host", "h:8080"), ("sec-fetch-site", "same-site")], Some(403)),
            (&Method::GET, "/api/live", &[("host", "h:8080"), ("origin", "http://evil.example")], Some(403)),
            (&Method::GET, "/api/live", &[("host", "h:8080"), ("origin", "http://h:8080")], None),
        ];
        for (method, path, headers, wanted) in rows {
            let headers: HeaderMap = headers
                .iter()
                .map(|(k, v)| (k.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
                .collect();
            let got = admit(method, path, &headers, "plant").err().map(|e| e.status.as_u16());
            assert_eq!(got, *wanted, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let headers = request(&[("cookie", "a=1; penstock_session=abc; penstock_sessionx=no")]);
        assert_eq!(session_id(&headers), Some("abc"));
        assert_eq!(session_id(&request(&[("cookie", "penstock_sessionx=no")])), None);
        assert_eq!(session_id(&HeaderMap::new()), None);
    }
}
