//! What the end-to-end tests share: the real program in real processes on ports the system chose, seen through the
//! same interface that the operators' screens use.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use serde_json::Value as Json;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const PENSTOCK: &str = env!("CARGO_BIN_EXE_penstock");
pub const OPERATOR: (&str, &str) = ("zhang", "blower-house-17");
pub const VIEWER: (&str, &str) = ("li", "only-looking-23");
pub const ENGINEER: (&str, &str) = ("wang", "engineer-desk-31");

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The bundled site.
pub fn bundled_site() -> PathBuf {
    root().join("configs/jinan-wwtp")
}

/// A copy of the bundled site that a test may change; scripts and profiles lie beside it as in the repository.
pub fn site_copy(into: &Path) -> PathBuf {
    copy_folder(&root().join("configs"), &into.join("configs"));
    copy_folder(&root().join("scripts"), &into.join("scripts"));
    into.join("configs/jinan-wwtp")
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes one text in a file; the text must be there.
pub fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", file.display());
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// The simulators in a process of their own.
pub struct Sim {
    child: Child,
    _stdin: Option<ChildStdin>,
    pub devices: HashMap<String, String>,
}

impl Sim {
    /// On ports that the system chooses.
    pub fn start() -> Sim {
        Self::spawn(&["--free-ports".into()])
    }

    /// On ports that the system chooses, with further options.
    pub fn start_with(options: &[String]) -> Sim {
        Self::spawn(&[&["--free-ports".to_owned()], options].concat())
    }

    /// Again on the ports it had before.
    pub fn restart(devices: &HashMap<String, String>) -> Sim {
        let ports: Vec<String> =
            devices.iter().map(|(d, a)| format!("--port={d}={}", a.rsplit(':').next().unwrap())).collect();
        Self::spawn(&ports)
    }

    fn spawn(arguments: &[String]) -> Sim {
        let mut child = Command::new(PENSTOCK)
            // A fixed evening: the plant a test meets must not depend on the hour it is run.
            .args(["sim", "--seed", "7", "--start", "1795354260", "--exit-with-stdin"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut devices = HashMap::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", device, address] => {
                    devices.insert(device.to_owned(), address.to_owned());
                }
                ["ready"] => break,
                _ => {}
            }
        }
        assert!(devices.len() >= 6, "the simulators did not come up: {devices:?}");
        Sim { child, _stdin: stdin, devices }
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The runtime in a process of its own.
pub struct Plant {
    child: Child,
    pub url: String,
}

impl Plant {
    /// Starts a site against the simulators and waits until its HMI listens.
    pub fn start(site: &Path, state: &Path, sim: &Sim) -> Plant {
        for (user, role) in [(OPERATOR, "operator"), (VIEWER, "viewer"), (ENGINEER, "engineer")] {
            add_user(state, user, role);
        }
        let devices: Vec<String> =
            device_addresses(sim).into_iter().map(|(device, address)| format!("--device={device}={address}")).collect();
        Self::launch(site, state, &devices, &[])
    }

    /// Starts any site, with further arguments and environment, and waits until its HMI listens.
    pub fn launch(site: &Path, state: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Plant {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(state.join("runtime.log")).unwrap();
        let (plant, lines) = Self::begin(site, state, arguments, environment, log.into());
        // Keeps reading, so that the summary at the end finds room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        plant
    }

    /// As [`Plant::launch`], and whoever read its output and its errors goes away once it is up: a terminal that closes.
    pub fn launch_unheard(site: &Path, state: &Path) -> Plant {
        Self::begin(site, state, &[], &[], Stdio::piped()).0
    }

    /// As [`Plant::launch`], with its errors to wherever the test wants them.
    pub fn launch_with_errors(site: &Path, state: &Path, environment: &[(&str, &str)], errors: Stdio) -> Plant {
        let (plant, lines) = Self::begin(site, state, &[], environment, errors);
        std::thread::spawn(move || lines.for_each(drop));
        plant
    }

    fn begin(
        site: &Path,
        state: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
        errors: Stdio,
    ) -> (Plant, std::io::Lines<BufReader<ChildStdout>>) {
        let mut command = Command::new(PENSTOCK);
        command.arg("run").arg(site).arg("--state").arg(state).args(["--hmi", "127.0.0.1:0"]).args(arguments);
        command.envs(environment.iter().copied());
        // A group of its own: the supervisor and the runtime are killed together, as a power cut would.
        command.process_group(0);
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let Some(line) = lines.next() else {
                panic!("the runtime ended: {:?}", std::fs::read_to_string(state.join("runtime.log")));
            };
            if let Some(url) = line.unwrap().strip_prefix("open ") {
                break url.to_owned();
            }
        };
        drop(child.stderr.take());
        (Plant { child, url }, lines)
    }

    /// Starts a site that has no devices and waits until its HMI listens.
    pub fn start_alone(site: &Path, state: &Path) -> Plant {
        add_user(state, ENGINEER, "engineer");
        Self::launch(site, state, &[], &[])
    }

    /// kill -9 of the supervisor and the runtime at once.
    pub fn kill(&mut self) {
        let runtime = self.runtime_pid();
        self.kill_group();
        self.child.wait().unwrap();
        // Its locks on the stores go with it.
        while runtime.is_some_and(lives) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill_group(&self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }

    /// Process id of the supervisor.
    pub fn supervisor_pid(&self) -> i32 {
        rustix::process::Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    /// Process id of the runtime, while there is one.
    pub fn runtime_pid(&self) -> Option<i32> {
        let id = self.supervisor_pid();
        std::fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten().find_map(|thread| {
            let children = std::fs::read_to_string(thread.path().join("children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }

    /// Asks it to end, as a service manager would, and returns whether it did so in order.
    pub fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.kill_group();
        let _ = self.child.wait();
    }
}

/// True while a process of that id runs.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything; the state comes after it.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

/// Sends a signal to one process.
pub fn send(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub fn add_user(state: &Path, user: (&str, &str), role: &str) {
    std::fs::create_dir_all(state).unwrap();
    let mut child = Command::new(PENSTOCK)
        .args(["user", "add", user.0, "--role", role, "--password-stdin", "--state"])
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", user.1).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Every device of the bundled site with the simulator's address behind it: the meters are units of one gateway.
fn device_addresses(sim: &Sim) -> Vec<(String, String)> {
    let mut addresses = Vec::new();
    for (device, address) in &sim.devices {
        if device == "power_meters" {
            for unit in ["grid", "blowers", "pumps", "heat_pump", "aux", "pv"] {
                addresses.push((format!("meter_{unit}"), address.clone()));
            }
        } else {
            addresses.push((device.clone(), address.clone()));
        }
    }
    addresses
}

/// A logged-in person.
pub struct Session {
    agent: ureq::Agent,
    url: String,
    cookie: String,
}

impl Session {
    pub fn login(url: &str, user: (&str, &str)) -> Session {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let reply = agent
            .post(format!("{url}/api/login"))
            .header("origin", url)
            .send_json(serde_json::json!({"user": user.0, "password": user.1}))
            .unwrap();
        assert_eq!(reply.status().as_u16(), 200, "login of {}", user.0);
        let cookie = reply.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Session { agent, url: url.to_owned(), cookie }
    }

    pub fn get(&self, path: &str) -> Json {
        let mut reply = self.agent.get(format!("{}{path}", self.url)).header("cookie", &self.cookie).call().unwrap();
        assert_eq!(reply.status().as_u16(), 200, "GET {path}");
        reply.body_mut().read_json().unwrap()
    }

    /// Status and body.
    pub fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        let mut reply = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("cookie", &self.cookie)
            .header("origin", &self.url)
            .send_json(body)
            .unwrap();
        (reply.status().as_u16(), reply.body_mut().read_json().unwrap_or(Json::Null))
    }

    /// The cookie that shows who it is.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Opens the live feed.
    pub async fn live(&self) -> Live {
        let site = self.get("/api/site");
        let ids = site["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| (t["path"].as_str().unwrap().to_owned(), t["id"].as_u64().unwrap()))
            .collect();
        let devices = site["devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| (d["id"].as_u64().unwrap(), d["name"].as_str().unwrap().to_owned()))
            .collect();
        Live::open(&self.url, &self.cookie, ids, devices).await
    }
}

/// One value as a screen sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub value: Json,
    pub quality: String,
    pub reason: String,
}

/// All that a screen knows.
#[derive(Debug, Default)]
pub struct Screen {
    pub values: HashMap<u64, Shown>,
    pub outputs: HashMap<u64, Json>,
    pub objects: HashMap<u64, Json>,
    pub alarms: Vec<Json>,
    pub links: HashMap<String, Json>,
    pub tasks: Vec<Json>,
}

/// The live feed of one screen.
pub struct Live {
    ids: HashMap<String, u64>,
    screen: Arc<Mutex<Screen>>,
}

impl Live {
    async fn open(url: &str, cookie: &str, ids: HashMap<String, u64>, devices: HashMap<u64, String>) -> Live {
        use futures_util::StreamExt;
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = format!("{}/api/live", url.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("origin", url.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let screen = Arc::new(Mutex::new(Screen::default()));
        let shared = screen.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if let Ok(text) = message.to_text()
                    && let Ok(json) = serde_json::from_str::<Json>(text)
                {
                    shared.lock().unwrap().take(&json, &devices);
                }
            }
        });
        Live { ids, screen }
    }

    /// The value of a tag, once it has been shown.
    pub fn value(&self, path: &str) -> Option<Shown> {
        let id = self.ids.get(path).unwrap_or_else(|| panic!("the site has no tag {path}"));
        self.screen.lock().unwrap().values.get(id).cloned()
    }

    /// A good number, else none.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.value(path).filter(|v| v.quality == "g").and_then(|v| v.value.as_f64())
    }

    /// The arbiter's view of an output.
    pub fn output(&self, path: &str) -> Option<Json> {
        self.screen.lock().unwrap().outputs.get(&self.ids[path]).cloned()
    }

    /// Looks at the whole screen.
    pub fn look<T>(&self, f: impl FnOnce(&Screen) -> T) -> T {
        f(&self.screen.lock().unwrap())
    }

    /// Waits until something is so, and says how long it took.
    pub async fn until(&self, what: &str, limit: Duration, so: impl Fn(&Live) -> bool) -> Duration {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        start.elapsed()
    }
}

impl Screen {
    fn take(&mut self, message: &Json, devices: &HashMap<u64, String>) {
        let items = || message["items"].as_array().cloned().unwrap_or_default();
        match message["type"].as_str() {
            Some("values") => {
                for v in message["values"].as_array().unwrap() {
                    let shown = Shown {
                        value: v[1].clone(),
                        quality: v[2].as_str().unwrap().to_owned(),
                        reason: v[3].as_str().unwrap_or_default().to_owned(),
                    };
                    self.values.insert(v[0].as_u64().unwrap(), shown);
                }
            }
            Some("outputs") => {
                for o in items() {
                    self.outputs.insert(o["tag"].as_u64().unwrap(), o);
                }
            }
            Some("objects") => {
                for o in items() {
                    self.objects.insert(o["object"].as_u64().unwrap(), o);
                }
            }
            Some("alarms") => self.alarms = items(),
            Some("links") => {
                for l in items() {
                    self.links.insert(devices[&l["device"].as_u64().unwrap()].clone(), l);
                }
            }
            Some("tasks") => self.tasks = items(),
            _ => {}
        }
    }
}

/// Reads holding registers of a simulator's device, as a foreign tool would.
pub async fn holding_registers(address: &str, unit: u8, pdu: u16, count: u16) -> Vec<u16> {
    use tokio_modbus::client::{Reader, tcp};
    let mut context = tcp::connect_slave(address.parse().unwrap(), tokio_modbus::Slave(unit)).await.unwrap();
    context.read_holding_registers(pdu, count).await.unwrap().unwrap()
}

/// The 32-bit float of two registers, high word first.
pub fn float_abcd(registers: &[u16]) -> f64 {
    f64::from(f32::from_bits(u32::from(registers[0]) << 16 | u32::from(registers[1])))
}
