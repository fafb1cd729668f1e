//! Who gets in, and what they may do: login, sessions, roles, foreign pages, malformed requests, files.

mod common;

use common::{PASSWORD, Plant};
use penstock_hmi::{Users, limits};
use penstock_ledger::ActionKind;
use penstock_model::{Clock, Role};
use serde_json::json;
use std::io::Read;
use std::time::Duration;

const JSON: &str = "Content-Type: application/json\r\n";
/// Every route behind the login with the least role that may use it.
const ROUTES: &[(&str, &str, Role)] = &[
    ("GET", "/api/me", Role::Viewer),
    ("GET", "/api/site", Role::Viewer),
    ("GET", "/api/mimic/overview", Role::Viewer),
    ("GET", "/api/history?tags=z/do&from=0&to=1000", Role::Viewer),
    ("GET", "/api/events", Role::Viewer),
    ("GET", "/api/actions", Role::Viewer),
    ("GET", "/api/energy?from=0&to=1000", Role::Viewer),
    ("GET", "/api/system", Role::Viewer),
    ("POST", "/api/claim", Role::Operator),
    ("POST", "/api/alarms/ack", Role::Operator),
    ("POST", "/api/tasks/0/reset", Role::Engineer),
    ("POST", "/api/logout", Role::Viewer),
];

#[test]
fn a_login_opens_a_session_and_a_logout_ends_it() {
    let plant = Plant::start();
    let id = plant.login("li");
    assert_eq!(id.len(), 64);
    assert_eq!(plant.get("/api/me", &id).json(), json!({ "user": "li", "role": "operator" }));
    assert_eq!(plant.post("/api/logout", &id, &json!({})).status, 200);
    assert_eq!(plant.get("/api/me", &id).status, 401);
    let kinds: Vec<_> = plant.log().into_iter().map(|row| row.action.what).collect();
    assert_eq!(kinds, [ActionKind::Logout, ActionKind::Login]);
    assert_eq!(plant.log()[0].action.station, "control-room");
}

#[test]
fn a_wrong_password_an_unknown_name_and_no_name_are_one_answer() {
    let plant = Plant::start();
    for (user, password) in [("li", "not the password"), ("nobody", PASSWORD), ("", "")] {
        let answer = plant.try_login(user, password);
        assert_eq!(answer.status, 401, "{user:?}");
        assert_eq!(answer.error().1, "wrong user name or password");
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert!(plant.log().iter().all(|row| row.action.what == ActionKind::LoginFailed));
    assert_eq!(plant.log().len(), 3);
}

#[test]
fn guessing_has_to_wait_and_the_right_password_too() {
    let plant = Plant::start();
    for _ in 0..limits::LOGIN_FREE_MISSES {
        assert_eq!(plant.try_login("li", "not the password").status, 401);
    }
    let refused = plant.try_login("li", PASSWORD);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{}", refused.body);
    assert_eq!(plant.log().len(), limits::LOGIN_FREE_MISSES as usize, "a refused try fills no disk");
    plant.login("wang");
    plant.clock.advance(Duration::from_secs(1));
    plant.login("li");
}

#[test]
fn nothing_but_the_login_answers_a_stranger() {
    let plant = Plant::start();
    for (method, path, _) in ROUTES {
        let made_up = "0".repeat(64);
        for cookie in ["", made_up.as_str(), "x"] {
            let answer = match *method {
                "GET" => plant.get(path, cookie),
                _ => plant.post(path, cookie, &json!({})),
            };
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(!answer.error().0.is_empty());
        }
    }
    assert!(plant.log().is_empty());
}

#[test]
fn a_route_takes_its_least_role_and_no_lower_one() {
    let plant = Plant::start();
    for (user, role) in [("guest", Role::Viewer), ("li", Role::Operator), ("wang", Role::Engineer)] {
        let id = plant.login(user);
        for (method, path, least) in ROUTES {
            let answer = match *method {
                "GET" => plant.get(path, &id),
                _ => plant.post(path, &id, &json!({})),
            };
            assert_eq!(answer.status == 403, role < *least, "{user} {method} {path}: {}", answer.body);
            assert_ne!(answer.status, 401, "{user} {method} {path}");
        }
    }
}

#[test]
fn a_session_ends_by_itself_after_a_shift_unused() {
    let plant = Plant::start();
    let id = plant.login("li");
    plant.clock.advance(limits::SESSION_IDLE_MAX);
    assert_eq!(plant.get("/api/me", &id).status, 200);
    plant.clock.advance(limits::SESSION_IDLE_MAX + Duration::from_secs(1));
    assert_eq!(plant.get("/api/me", &id).status, 401);
    // A jump of civil time is no time.
    let id = plant.login("li");
    let later = plant.clock.now().utc + Duration::from_secs(400 * 86_400);
    plant.clock.step_utc(later);
    assert_eq!(plant.get("/api/me", &id).status, 200);
}

#[test]
fn a_session_follows_its_user_in_the_file() {
    let plant = Plant::start();
    let file = plant.dir.path().join("users.json");
    let (li, wang) = (plant.login("li"), plant.login("wang"));
    let mut users = Users::load(&file).unwrap();
    users.set("li", Role::Operator, "another long password").unwrap();
    users.save(&file).unwrap();
    assert_eq!(plant.get("/api/me", &li).status, 401, "the password was changed");
    assert_eq!(plant.get("/api/me", &wang).status, 200);
    users.remove("wang");
    users.save(&file).unwrap();
    assert_eq!(plant.get("/api/me", &wang).status, 401, "the user is gone");
}

#[test]
fn a_page_of_another_site_can_do_nothing() {
    let plant = Plant::start();
    let id = plant.login("wang");
    let body = json!({ "tag": "z/sp", "value": 3.0, "confirm": true }).to_string();
    let own = format!("{JSON}Origin: http://{}\r\n", plant.address);
    let foreign = format!("{JSON}Origin: http://evil.example\r\n");
    assert_eq!(plant.post_with("/api/claim", &id, &foreign, &body).status, 403);
    assert_eq!(plant.post_with("/api/claim", &id, &format!("{JSON}Sec-Fetch-Site: cross-site\r\n"), &body).status, 403);
    assert_eq!(plant.post_with("/api/login", "", &foreign, "{}").status, 403);
    assert_eq!(plant.live(&id, Some("http://evil.example")).err(), Some(403));
    assert_eq!(plant.post_with("/api/claim", &id, &own, &body).status, 200);
    assert!(plant.live(&id, Some(&format!("http://{}", plant.address))).is_ok());
    // A foreign name that was made to point at this address.
    let rebound = format!(
        "GET /api/site HTTP/1.1\r\nHost: evil.example\r\nCookie: penstock_session={id}\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(plant.raw(&rebound).status, 421);
    assert_eq!(plant.raw("GET / HTTP/1.0\r\nConnection: close\r\n\r\n").status, 421);
}

#[test]
fn malformed_requests_are_refused_in_words() {
    let plant = Plant::start();
    let id = plant.login("wang");
    let big = format!("{{\"tag\":\"{}\"}}", "x".repeat(limits::BODY_BYTES_MAX));
    let rows: &[(&str, &str, &str, u16)] = &[
        ("/api/claim", JSON, "{", 400),
        ("/api/claim", JSON, "", 400),
        ("/api/claim", JSON, "[1]", 400),
        ("/api/claim", JSON, r#"{"tag":"z/sp","value":1,"confirm":true,"more":1}"#, 400),
        ("/api/claim", JSON, r#"{"tag":"z/sp"}"#, 400),
        ("/api/claim", JSON, &big, 413),
        ("/api/claim", "", r#"{"tag":"z/sp","value":1,"confirm":true}"#, 415),
        ("/api/claim", "Content-Type: text/plain\r\n", r#"{"tag":"z/sp","value":1,"confirm":true}"#, 415),
        ("/api/alarms/ack", JSON, r#"{"ids":[-1]}"#, 400),
        ("/api/alarms/ack", JSON, r#"{"ids":[77]}"#, 404),
        ("/api/tasks/nine/reset", JSON, "{}", 404),
        ("/api/tasks/300/reset", JSON, "{}", 404),
        ("/api/nothing", JSON, "{}", 404),
    ];
    let before = plant.log().len();
    for (path, head, body, status) in rows {
        let answer = plant.post_with(path, &id, head, body);
        assert_eq!(answer.status, *status, "{path} {body:.60}: {}", answer.body);
        let (zh, en) = answer.error();
        assert!(!zh.is_empty() && !en.is_empty());
    }
    for path in [
        "/api/history",
        "/api/history?tags=z/do&from=5&to=5",
        "/api/history?tags=z/do&from=x&to=5",
        "/api/history?tags=&from=1&to=5",
        "/api/history?tags=z/do&from=-9223372036854775808&to=9223372036854775807",
        "/api/events?limit=-1",
    ] {
        assert_eq!(plant.get(path, &id).status, 400, "{path}");
    }
    assert_eq!(plant.get("/api/history?tags=no/such&from=1&to=5", &id).status, 404);
    assert_eq!(plant.log().len(), before, "nothing refused was recorded");
}

#[test]
fn drawings_come_from_their_folder_alone() {
    let plant = Plant::start();
    let id = plant.login("guest");
    std::os::unix::fs::symlink(plant.dir.path().join("secret.svg"), plant.dir.path().join("hmi/leak.svg")).unwrap();
    let drawing = plant.get("/api/mimic/overview", &id);
    assert_eq!((drawing.status, drawing.header("content-type")), (200, Some("image/svg+xml")));
    assert!(drawing.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    for name in ["../secret", "..%2Fsecret", "%2e%2e%2fsecret", "leak", "overview.svg", "", "%00", "a/../overview"] {
        let answer = plant.get(&format!("/api/mimic/{name}"), &id);
        assert_eq!(answer.status, 404, "{name}: {}", answer.body);
        assert!(!answer.body.contains("classified"), "{name}");
    }
}

#[test]
fn the_page_comes_with_its_safety_headers() {
    let plant = Plant::start();
    let page = plant.get("/", "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("script-src 'self';"), "{policy}");
    assert!(!policy.contains("http"), "no other host: {policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(plant.get("/trends/aeration", "").body, page.body, "an address inside the page");
    let tag = page.header("etag").unwrap();
    let known = format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n");
    assert_eq!(plant.raw(&known).status, 304);
    for missing in ["/assets/none.js", "/../Cargo.toml", "/%2e%2e/users.json", "/api", "/api/none"] {
        assert_eq!(plant.get(missing, "").status, 404, "{missing}");
    }
    assert_eq!(plant.post_with("/", "", "", "").status, 405);
    assert_eq!(plant.get("/api/me", "").header("cache-control"), Some("no-store"));
}

#[test]
fn one_address_cannot_take_every_place() {
    let plant = Plant::start();
    let held: Vec<_> = (0..limits::CONNECTIONS_PER_ADDRESS_MAX).map(|_| plant.connect()).collect();
    // Places are taken in the order of arrival: the next one finds none and is closed without an answer.
    let mut refused = plant.connect();
    let mut byte = [0];
    assert_eq!(refused.read(&mut byte).unwrap_or(0), 0);
    drop(held);
    // The server notices the closed ones by itself; until then a request may be turned away like the one above.
    let free = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let mut stream = plant.connect();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", plant.address);
        let mut text = String::new();
        std::io::Write::write_all(&mut stream, request.as_bytes()).is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && text.starts_with("HTTP/1.1 200")
    });
    assert!(free, "places come free again");
}
