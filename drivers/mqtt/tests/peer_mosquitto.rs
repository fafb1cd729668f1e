//! The edge node at Debian's mosquitto, as a host sees it that decodes with the schema of Eclipse Tahu. What happens to
//! brokers happens here: restart, stall and death, a host that goes away, wrong certificates and passwords.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use penstock_model::{BadReason, Clock, Instant, Now, Sample, SystemClock, TagId, Utc, Value, ValueType};
use penstock_mqtt::{Broker, Config, Login, MetricSource, Secret, StoreConfig, TagMeta, Tls};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use support::{Host, Mosquitto, Plant, free_port, named, peers, values};
use tokio::sync::watch;
use tokio::task::JoinHandle;

fn config(port: u16) -> Config {
    let meta = |tag, path| TagMeta::new(TagId(tag), path, ValueType::Float);
    let tags = vec![meta(0, "aer/do"), TagMeta { device: Some(0), ..meta(1, "pump/speed") }];
    let mut config = Config::new(Broker { host: "127.0.0.1".into(), port }, "plant", "jinan", tags);
    config.devices = vec!["pumps".into()];
    config.publish_every = Duration::from_millis(10);
    config
}

/// The same, with what nobody takes kept in a folder.
fn keeping(port: u16, dir: &Path) -> Config {
    let store =
        StoreConfig { bytes_max: 5_000_000, age_max: Duration::from_secs(86_400 * 365 * 30), replay_per_s: 2_000 };
    Config { store: Some(store), state_dir: Some(dir.to_path_buf()), ..config(port) }
}

fn plant() -> Arc<Plant> {
    let plant = Plant::new(&["aer/do", "pump/speed"]);
    plant.good(0, 1.0);
    plant.good(1, 50.0);
    plant
}

struct Node {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Node {
    fn run(config: Config, plant: &Arc<Plant>) -> Node {
        let (stop, stopped) = watch::channel(false);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let source: Arc<dyn MetricSource> = plant.clone();
        Node { stop, task: tokio::spawn(penstock_mqtt::run(config, source, clock, stopped)) }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

/// Values of a tag as the host hears them, until one of them is `last`.
async fn heard(host: &mut Host, alias: u64, last: f64) -> Vec<(f64, bool)> {
    let mut all = Vec::new();
    while all.last().is_none_or(|(value, _)| *value != last) {
        let message = host.until("data", |m| m["topic"].as_str().unwrap().contains("DATA/")).await;
        all.extend(values(&message, alias));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_decodes_births_changes_and_deaths() {
    let Some(python) = peers() else { return };
    let broker = Mosquitto::start();
    let mut host = Host::listen(&python, broker.port).await;
    let plant = plant();
    let node = Node::run(config(broker.port), &plant);
    let birth = host.message("NBIRTH").await;
    assert_eq!((&birth["seq"], &birth["retain"]), (&json!(0), &json!(false)));
    assert_eq!(named(&birth, "bdSeq")["long_value"], 0);
    assert_eq!(named(&birth, "Node Control/Rebirth")["boolean_value"], false);
    let oxygen = named(&birth, "aer/do");
    assert_eq!((&oxygen["double_value"], &oxygen["datatype"]), (&json!(1.0), &json!(10)));
    let wanted = json!({ "Quality": 192, "Reason": "good", "engUnit": "mg/L", "engLow": 0.0, "engHigh": 10.0,
        "documentation": "aer/do", "readOnly": true });
    assert_eq!(oxygen["properties"], wanted);
    let device = host.message("DBIRTH").await;
    assert_eq!((&device["topic"], &device["seq"]), (&json!("spBv1.0/plant/DBIRTH/jinan/pumps"), &json!(1)));
    assert_eq!(named(&device, "pump/speed")["double_value"], 50.0);

    plant.set(1, Sample::bad(BadReason::Link, Some(Value::Float(50.0)), Now { mono: Instant(2), utc: Utc(0) }));
    let data = host.message("DDATA").await;
    assert_eq!(data["seq"], 2);
    assert_eq!(data["metrics"][0]["properties"], json!({ "Quality": 0, "Reason": "bad(link)" }));
    assert_eq!(host.message("DDEATH").await["seq"], 3, "none of its tags can be used");
    plant.good(1, 51.0);
    assert_eq!(host.message("DBIRTH").await["seq"], 4);

    host.ask(json!({ "command": "spBv1.0/plant/NCMD/jinan", "metrics": [{ "name": "Node Control/Rebirth", "boolean": true }] }))
        .await;
    let again = host.message("NBIRTH").await;
    assert_eq!((&again["seq"], &named(&again, "bdSeq")["long_value"]), (&json!(0), &json!(0)));
    // The process is gone without a word: the broker tells the will.
    node.task.abort();
    let death = host.message("NDEATH").await;
    assert_eq!((&death["seq"], &named(&death, "bdSeq")["long_value"]), (&json!(null), &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_the_broker_was_away_comes_as_history_in_order() {
    let Some(python) = peers() else { return };
    let mut broker = Mosquitto::start();
    let dir = tempfile::tempdir().unwrap();
    let plant = plant();
    // Without it the node would tell everything before the host has found the broker again.
    let config = Config { primary_host: Some("scada".into()), ..keeping(broker.port, dir.path()) };
    let mut host = Host::listen(&python, broker.port).await;
    host.state(true, 10).await;
    let node = Node::run(config, &plant);
    plant.until("online", |s| s.online).await;
    drop(host);
    broker.kill();
    plant.until("offline", |s| !s.online).await;
    plant.walk(0, 100..150).await;
    plant.until("kept", |s| s.backlog >= 50).await;
    broker.restart();
    let mut host = Host::listen(&python, broker.port).await;
    host.state(true, 20).await;
    let heard = heard(&mut host, 1, 149.0).await;
    let history: Vec<f64> = heard.iter().filter(|(_, h)| *h).map(|(v, _)| *v).filter(|v| *v >= 100.0).collect();
    let wanted: Vec<f64> = (100..150).map(f64::from).collect();
    assert_eq!(history, wanted, "every value, in order, once");
    plant.good(0, 500.0);
    let live = host.until("the live value", |m| values(m, 1).iter().any(|(v, _)| *v == 500.0)).await;
    assert_eq!(values(&live, 1), [(500.0, false)]);
    // The next answer of the broker shows that all has arrived.
    plant.until("nothing waits any more", |s| s.backlog == 0 && s.dropped == 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_took_with_it_when_it_died_is_sent_again() {
    let Some(python) = peers() else { return };
    let mut broker = Mosquitto::start();
    let dir = tempfile::tempdir().unwrap();
    let plant = plant();
    // Without it the node would tell everything before the host has found the broker again.
    let config = Config { primary_host: Some("scada".into()), ..keeping(broker.port, dir.path()) };
    let mut host = Host::listen(&python, broker.port).await;
    host.state(true, 10).await;
    let node = Node::run(config, &plant);
    plant.until("online", |s| s.online).await;
    drop(host);
    // It stands still with its connections open: what is sent now lies in its system's buffers.
    broker.stall();
    plant.walk(0, 200..230).await;
    assert!(plant.status.lock().unwrap().online, "nobody can know yet");
    broker.kill();
    plant.until("offline", |s| !s.online).await;
    broker.restart();
    let mut host = Host::listen(&python, broker.port).await;
    host.state(true, 20).await;
    let heard = heard(&mut host, 1, 229.0).await;
    let history: Vec<f64> = heard.iter().filter(|(_, h)| *h).map(|(v, _)| *v).filter(|v| *v >= 200.0).collect();
    let wanted: Vec<f64> = (200..230).map(f64::from).collect();
    assert_eq!(history, wanted);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_outlives_the_process_and_sessions_go_on_being_counted() {
    let Some(python) = peers() else { return };
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let first = plant();
    let node = Node::run(keeping(port, dir.path()), &first);
    first.walk(0, 300..320).await;
    first.until("kept", |s| s.backlog >= 20).await;
    node.task.abort();
    let _ = node.task.await;
    let last: u64 = std::fs::read_to_string(dir.path().join("bdseq")).unwrap().trim().parse().unwrap();
    let broker = Mosquitto::with("allow_anonymous true\n", port);
    let mut host = Host::listen(&python, broker.port).await;
    let second = plant();
    let node = Node::run(keeping(port, dir.path()), &second);
    let birth = host.message("NBIRTH").await;
    let number = named(&birth, "bdSeq")["long_value"].as_u64().unwrap();
    assert!(number == (last + 1) % 256, "{number} after {last}");
    let history: Vec<f64> = heard(&mut host, 1, 319.0).await.iter().filter(|(_, h)| *h).map(|(v, _)| *v).collect();
    let wanted: Vec<f64> = (300..320).map(f64::from).collect();
    assert!(history.ends_with(&wanted), "{history:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_without_the_primary_host() {
    let Some(python) = peers() else { return };
    let broker = Mosquitto::start();
    let mut host = Host::listen(&python, broker.port).await;
    let dir = tempfile::tempdir().unwrap();
    let plant = plant();
    host.state(false, 10).await;
    host.message("STATE").await;
    let node = Node::run(Config { primary_host: Some("scada".into()), ..keeping(broker.port, dir.path()) }, &plant);
    plant.walk(0, 400..410).await;
    plant.until("kept", |s| s.backlog >= 10 && !s.online && s.host_online == Some(false)).await;
    host.state(true, 20).await;
    let birth = host.until("a birth", |m| !m["topic"].as_str().unwrap().contains("STATE")).await;
    assert_eq!(birth["topic"], "spBv1.0/plant/NBIRTH/jinan", "nothing before it");
    let history: Vec<f64> = heard(&mut host, 1, 409.0).await.iter().map(|(v, _)| *v).collect();
    assert!(history.ends_with(&[407.0, 408.0, 409.0]), "{history:?}");
    plant.until("online", |s| s.online && s.host_online == Some(true)).await;
    // The will of a connection before the present one does not count; a fresh goodbye does.
    host.state(false, 15).await;
    host.state(false, 30).await;
    let death = host.message("NDEATH").await;
    assert_eq!(named(&death, "bdSeq")["long_value"], named(&birth, "bdSeq")["long_value"]);
    plant.until("offline", |s| !s.online).await;
    host.state(true, 40).await;
    let next = host.message("NBIRTH").await;
    assert_ne!(named(&next, "bdSeq")["long_value"], named(&birth, "bdSeq")["long_value"]);
    node.stop().await;
    assert_eq!(host.message("NDEATH").await["seq"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_writes_what_it_may_and_sees_what_holds() {
    let Some(python) = peers() else { return };
    let broker = Mosquitto::start();
    let mut host = Host::listen(&python, broker.port).await;
    let plant = plant();
    let mut config = Config { takes_commands: true, ..config(broker.port) };
    config.tags[1].writable = true;
    let node = Node::run(config, &plant);
    host.message("DBIRTH").await;
    let order = |topic: &str, name: &str, value: f64| json!({ "command": format!("spBv1.0/plant/{topic}"), "metrics": [{ "name": name, "double": value }] });
    host.ask(order("NCMD/jinan", "aer/do", 9.0)).await;
    host.ask(order("DCMD/jinan/pumps", "pump/speed", 60.0)).await;
    let told = host.message("DDATA").await;
    assert_eq!(values(&told, 2), [(50.0, false)], "its own value again, since nobody has carried the order out");
    let orders = plant.orders.lock().unwrap().clone();
    assert_eq!(orders.len(), 1);
    assert_eq!((&*orders[0].path, &orders[0].value), ("pump/speed", &Some(Value::Float(60.0))));
    let refused = plant.refused.lock().unwrap().clone();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].to_string().contains("aer/do: this tag is not among those"), "{refused:?}");
    node.stop().await;
}

/// What was logged, by all tests of this file together.
fn log() -> Arc<Mutex<Vec<u8>>> {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    struct Out(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let out = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Out(out.clone()));
        subscriber.init();
        log
    });
    log.clone()
}

/// Waits for a line of the log about the broker at a port.
async fn logged(port: u16, what: &str) {
    let log = log();
    for _ in 0..3_000 {
        let text = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
        if text.lines().any(|l| l.contains(&format!("port={port}")) && l.contains(what)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    panic!("`{what}` was not logged: {text}");
}

/// A CA and what it signed, as PEM files in a folder: `ca.pem`, `<name>.pem`, `<name>.key`.
fn certificates(dir: &Path, names: &[&str]) {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    for name in names {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        // One of the authority's own name would look as if it had signed itself.
        params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_tells_what_is_wrong_and_takes_what_is_right_without_a_restart() {
    let Some(_python) = peers() else { return };
    log();
    let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(ours.path(), &["broker", "edge"]);
    certificates(others.path(), &[]);
    let lines = "allow_anonymous true\ncafile {dir}/ca.pem\ncertfile {dir}/broker.pem\nkeyfile {dir}/broker.key\n\
        require_certificate true\n";
    let broker = Mosquitto::within(ours, lines, free_port());
    let site = tempfile::tempdir().unwrap();
    std::fs::copy(others.path().join("ca.pem"), site.path().join("ca.pem")).unwrap();
    for file in ["edge.pem", "edge.key"] {
        std::fs::copy(broker.dir().join(file), site.path().join(file)).unwrap();
    }
    let tls = |client: bool| Tls {
        ca: site.path().join("ca.pem"),
        client: client.then(|| (site.path().join("edge.pem"), site.path().join("edge.key"))),
    };
    let plant = plant();
    let node = Node::run(Config { tls: Some(tls(true)), ..config(broker.port) }, &plant);
    logged(broker.port, "the broker's certificate is signed by nobody in").await;
    std::fs::copy(broker.dir().join("ca.pem"), site.path().join("ca.pem")).unwrap();
    plant.until("online over TLS", |s| s.online).await;
    node.stop().await;
    let node = Node::run(Config { tls: Some(tls(false)), ..config(broker.port) }, &plant);
    logged(broker.port, "the broker refuses our client certificate, or wants one").await;
    node.stop().await;
    std::fs::write(site.path().join("ca.pem"), "no certificate at all").unwrap();
    let node = Node::run(Config { tls: Some(tls(true)), ..config(broker.port) }, &plant);
    logged(broker.port, "holds no certificate in PEM form").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_the_next_broker_is_tried() {
    let Some(_python) = peers() else { return };
    log();
    let dir = tempfile::tempdir().unwrap();
    // Nobody is known to it.
    std::fs::write(dir.path().join("users"), "").unwrap();
    let closed = Mosquitto::within(dir, "allow_anonymous false\npassword_file {dir}/users\n", free_port());
    let open = Mosquitto::start();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "wrong\n").unwrap();
    let password = Some(Secret::File(secret.path().to_path_buf()));
    let mut config = config(closed.port);
    config.login = Some(Login { user: "penstock".into(), password });
    config.brokers.push(Broker { host: "127.0.0.1".into(), port: open.port });
    let plant = plant();
    let node = Node::run(config, &plant);
    logged(closed.port, "the broker refuses this user or password").await;
    let broker = format!("127.0.0.1:{}", open.port);
    plant.until("the second broker", |s| s.online && s.broker.as_deref() == Some(broker.as_str())).await;
    node.stop().await;
}
