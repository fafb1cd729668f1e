//! Debian's mosquitto as broker, a Sparkplug host in Python, and a little plant to publish.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, which the lint does not see as such")]

use penstock_model::{Instant, Now, Sample, Source, TagDef, TagId, TagSample, TagTable, Unit, Utc, Value};
use penstock_mqtt::{MetricSource, Order, Refusal, Status};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};

/// Environment variable with the Python that has the peers' packages.
const PYTHON: &str = "PENSTOCK_PEERS_PYTHON";
/// What is waited for comes within this time, or never.
const LIMIT: Duration = Duration::from_secs(90);

/// The Python with the peers' packages; where there is none, says why the test is left out. With it a broker must be
/// there too: then nothing is left out in silence.
pub fn peers() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        println!("skipped: {PYTHON} is not set; `cargo xtask test --only peers` sets it");
    }
    python
}

fn mosquitto() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let found = dirs.map(|d| d.join("mosquitto")).find(|p| p.is_file());
    found.expect("mosquitto is not installed: apt-get install mosquitto")
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    // A connection that its listening end closed first keeps the port from being given to anybody who does not ask for
    // it by its number, for a minute: neither another test nor one of our own outgoing connections comes to hold it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    drop(client);
    address.port()
}

/// The broker.
pub struct Mosquitto {
    child: Child,
    pub port: u16,
    dir: tempfile::TempDir,
}

impl Mosquitto {
    /// A broker that lets everybody in.
    pub fn start() -> Mosquitto {
        Mosquitto::with("allow_anonymous true\n", free_port())
    }

    /// A broker with more lines in its configuration, `{dir}` standing for its folder.
    pub fn with(more: &str, port: u16) -> Mosquitto {
        Mosquitto::within(tempfile::tempdir().unwrap(), more, port)
    }

    pub fn within(dir: tempfile::TempDir, more: &str, port: u16) -> Mosquitto {
        let more = more.replace("{dir}", &dir.path().display().to_string());
        let config = dir.path().join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nuser root\n{more}")).unwrap();
        Mosquitto { child: spawn(&config, port), port, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The power of the broker's machine goes.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same broker again, without memory.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir.path().join("mosquitto.conf"), self.port);
    }

    /// The broker's process stands still, with its connections open.
    pub fn stall(&self) {
        let done = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

/// Starts the broker and waits until it listens.
fn spawn(config: &Path, port: u16) -> Child {
    let mut command = Command::new(mosquitto());
    let mut child = command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..1_000 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none(), "mosquitto has ended at once: {}", config.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("mosquitto does not listen");
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The host.
pub struct Host {
    _child: tokio::process::Child,
    said: Lines<BufReader<tokio::process::ChildStdout>>,
    ask: tokio::process::ChildStdin,
}

impl Host {
    /// A host that listens.
    pub async fn listen(python: &Path, port: u16) -> Host {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/sparkplug_host.py");
        let mut command = tokio::process::Command::new(python);
        command.arg(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let ask = child.stdin.take().unwrap();
        let mut host = Host { _child: child, said, ask };
        host.until("listening", |m| m["topic"] == "listening").await;
        host
    }

    pub async fn next(&mut self) -> Json {
        let line = tokio::time::timeout(LIMIT, self.said.next_line()).await.expect("the host hears nothing");
        serde_json::from_str(&line.unwrap().expect("the host has ended")).unwrap()
    }

    /// Passes over messages until one fits; answers it.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Json) -> bool) -> Json {
        let mut passed = Vec::new();
        let all = async {
            loop {
                let message = self.next().await;
                if fits(&message) {
                    return message;
                }
                passed.push(message);
            }
        };
        match tokio::time::timeout(LIMIT, all).await {
            Ok(message) => message,
            Err(_) => panic!("{what} did not come; what came: {passed:#?}"),
        }
    }

    /// The next message of that kind.
    pub async fn message(&mut self, kind: &str) -> Json {
        let part = format!("/{kind}/");
        self.until(kind, |m| m["topic"].as_str().unwrap().contains(&part)).await
    }

    pub async fn ask(&mut self, order: Json) {
        self.ask.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        self.ask.flush().await.unwrap();
    }

    pub async fn state(&mut self, online: bool, timestamp: u64) {
        self.ask(serde_json::json!({ "state": "scada", "online": online, "timestamp": timestamp })).await;
    }
}

/// A message's metric of that name.
pub fn named<'a>(message: &'a Json, name: &str) -> &'a Json {
    let metrics = message["metrics"].as_array().unwrap();
    metrics.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// The values of a metric in a message, by alias, with whether they are history.
pub fn values(message: &Json, alias: u64) -> Vec<(f64, bool)> {
    let metrics = message["metrics"].as_array().into_iter().flatten().filter(|m| m["alias"] == alias);
    metrics.filter_map(|m| Some((m["double_value"].as_f64()?, m["historical"].as_bool()?))).collect()
}

/// The tags of a little plant, and what became of what hosts asked for.
pub struct Plant {
    samples: Mutex<(u64, Vec<(u64, TagSample)>)>,
    table: Arc<TagTable>,
    ms: AtomicI64,
    asked: AtomicU64,
    pub status: Mutex<Status>,
    pub orders: Mutex<Vec<Order>>,
    pub refused: Mutex<Vec<Refusal>>,
}

impl Plant {
    /// Floating-point tags of these paths, in mg/L from 0 to 10.
    pub fn new(paths: &[&str]) -> Arc<Plant> {
        let def = |(i, path): (usize, &&str)| {
            let id = TagId(u32::try_from(i).unwrap());
            let mut def = TagDef::float(id, path, Unit::parse("mg/L").unwrap(), Source::System);
            def.range = Some((0.0, 10.0));
            def
        };
        let table = TagTable::new(paths.iter().enumerate().map(def).collect()).unwrap();
        Arc::new(Plant {
            samples: Mutex::default(),
            table: Arc::new(table),
            ms: AtomicI64::new(1_795_000_000_000),
            asked: AtomicU64::new(0),
            status: Mutex::default(),
            orders: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    pub fn set(&self, tag: u32, sample: Sample) {
        let mut table = self.samples.lock().unwrap();
        table.0 += 1;
        let version = table.0;
        table.1.retain(|(_, s)| s.tag != TagId(tag));
        table.1.push((version, TagSample { tag: TagId(tag), sample }));
    }

    pub fn good(&self, tag: u32, value: impl Into<Value>) {
        let utc = Utc::from_millis(self.ms.fetch_add(1, Ordering::SeqCst));
        self.set(tag, Sample::good(value, Now { mono: Instant(1), utc }));
    }

    /// Gives a tag the values one after the other, each once the node has asked for the one before.
    pub async fn walk(&self, tag: u32, values: std::ops::Range<u32>) {
        for value in values {
            self.good(tag, f64::from(value));
            let asked = self.asked.load(Ordering::SeqCst);
            let taken = async {
                // One call may have begun before the value was set.
                while self.asked.load(Ordering::SeqCst) < asked + 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(LIMIT, taken).await.expect("the node asks no more");
        }
    }

    pub async fn until(&self, what: &str, fits: impl Fn(&Status) -> bool) {
        let all = async {
            while !fits(&self.status.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::time::timeout(LIMIT, all).await;
        assert!(ended.is_ok(), "{what} was not reached: {:?}", self.status.lock().unwrap());
    }
}

impl MetricSource for Plant {
    fn changed_since(&self, v: u64) -> (u64, Vec<TagSample>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let table = self.samples.lock().unwrap();
        (table.0, table.1.iter().filter(|(version, _)| *version > v).map(|(_, s)| s.clone()).collect())
    }

    fn tags(&self) -> Arc<TagTable> {
        self.table.clone()
    }

    fn status(&self, status: &Status) {
        *self.status.lock().unwrap() = status.clone();
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.lock().unwrap().push(order);
        Ok(())
    }

    fn refused(&self, refusal: Refusal) {
        self.refused.lock().unwrap().push(refusal);
    }
}
