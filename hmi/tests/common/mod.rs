//! A small plant behind a real server: one device, one program, one alarm, a history and an action log in a temporary
//! folder, and clocks that stand still until a test moves them.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use parking_lot::Mutex;
use penstock_engine::{
    Engine, EngineConfig, ProgramDef, ProgramLimits, ScanTiming, Script, TaskCore, TaskDef, system_tags,
};
use penstock_historian::{Config, Historian, SeriesDef};
use penstock_hmi::{DeviceInfo, HmiConfig, HmiContext, SiteInfo, Users};
use penstock_ledger::{ActionLog, ActionRow};
use penstock_model::*;
use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client, handshake};

pub const PASSWORD: &str = "a long enough password";
pub const DO: TagId = TagId(0);
pub const SP: TagId = TagId(1);
pub const VALVE: TagId = TagId(2);
const SCRIPT: &str = r#"
fn declare(p) {
    p.title("阀", "Valve");
    p.input("x", "mg/L");
    p.output("valve", "%");
}
fn scan(io) {
    if io.x > 90.0 { throw "the sensor cannot show this"; }
    io.valve = 40.0;
}
"#;

#[derive(Default)]
pub struct Commands(Mutex<Vec<Command>>);

impl CommandSink for Commands {
    fn submit(&self, _: DeviceId, command: Command) -> Result<(), QueueFull> {
        self.0.lock().push(command);
        Ok(())
    }
}

struct NoRecords;

impl RecordSink for NoRecords {
    fn publish(&self, _: Record) {}
}

pub struct Plant {
    pub dir: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub engine: Engine,
    pub historian: Arc<Historian>,
    pub actions: Arc<ActionLog>,
    pub address: SocketAddr,
    cores: Mutex<Vec<TaskCore>>,
    commands: Arc<Commands>,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
    server: Option<tokio::task::JoinHandle<Result<(), penstock_hmi::HmiError>>>,
}

/// An answer, taken apart.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head, self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let find = |line: &'_ str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| find(line)).and_then(|line| line.split_once(':')).map(|(_, v)| v.trim())
    }

    /// The error in both languages; panics when it is not there in both.
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let text = |lang: &str| json["error"][lang].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned();
        (text("zh"), text("en"))
    }
}

/// The users of every test: hashing a password is slow on purpose, so it is done once.
fn users() -> &'static Users {
    static USERS: OnceLock<Users> = OnceLock::new();
    USERS.get_or_init(|| {
        let mut users = Users::default();
        users.set("guest", Role::Viewer, PASSWORD).unwrap();
        users.set("li", Role::Operator, PASSWORD).unwrap();
        users.set("wang", Role::Engineer, PASSWORD).unwrap();
        users
    })
}

fn tags() -> Vec<TagDef> {
    let unit = |u: &str| Unit::parse(u).unwrap();
    let entry = |role| Some(Box::new(EntryDef { initial: Value::Float(2.0), limits: Some((0.5, 8.0)), role }));
    let mut tags = vec![
        TagDef::float(DO, "z/do", unit("mg/L"), Source::Device(DeviceId(0))),
        TagDef { entry: entry(Role::Operator), ..TagDef::float(SP, "z/sp", unit("mg/L"), Source::Operator) },
        TagDef {
            output: Some(Box::new(OutputDef {
                device: Some(DeviceId(0)),
                limits: Some((0.0, 100.0)),
                rate_per_s: None,
                min_on: Duration::ZERO,
                min_off: Duration::ZERO,
                fallback: Fallback::always(FallbackAction::Hold),
                write: penstock_model::WritePolicy::default(),
            })),
            ..TagDef::float(VALVE, "z/valve", unit("%"), Source::Program("z".into()))
        },
        TagDef { entry: entry(Role::Engineer), ..TagDef::float(TagId(3), "z/kp", unit("%"), Source::Operator) },
    ];
    for tag in system_tags(&["normal".into()], &["plc".into()]) {
        let id = TagId(u32::try_from(tags.len()).unwrap());
        let def = TagDef::float(id, &tag.path, tag.unit, Source::System);
        tags.push(TagDef { value_type: tag.value_type, title: tag.title, category: Category::System, ..def });
    }
    tags
}

fn alarm() -> AlarmDef {
    AlarmDef {
        id: AlarmId(0),
        name: "z/do/high".into(),
        tag: DO,
        condition: AlarmCondition::Above { limit: 5.0, deadband: 0.5 },
        on_delay: Duration::ZERO,
        off_delay: Duration::ZERO,
        priority: AlarmPriority::High,
        title: Text::new("溶解氧高", "DO high"),
        cause: Text::same("too much air"),
        consequence: Text::same("energy is wasted"),
        response: Text::same("look at the valve"),
    }
}

impl Plant {
    pub fn start() -> Plant {
        let dir = tempfile::tempdir().unwrap();
        users().save(&dir.path().join("users.json")).unwrap();
        std::fs::create_dir(dir.path().join("hmi")).unwrap();
        std::fs::write(dir.path().join("hmi/overview.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
        std::fs::write(dir.path().join("secret.svg"), "classified").unwrap();
        let clock = Arc::new(ManualClock::at(Utc::from_millis(1_800_000_000_000)));
        let (engine, cores, commands) = engine(&clock);
        let history = Config {
            dir: dir.path().join("history"),
            retention: Duration::from_secs(86_400),
            bytes_max: None,
            free_bytes_min: 0,
        };
        let historian = Arc::new(Historian::open(history).unwrap().0);
        let actions = Arc::new(ActionLog::open(&dir.path().join("actions")).unwrap().0);
        let (stop, stopped) = watch::channel(false);
        let context = HmiContext {
            engine: engine.clone(),
            historian: historian.clone(),
            ledger: None,
            actions: actions.clone(),
            clock: clock.clone(),
            site: site_info(),
            drops: Arc::new(|| vec![("historian".to_owned(), 7)]),
        };
        let config = HmiConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            users_file: dir.path().join("users.json"),
            mimic_dir: dir.path().join("hmi"),
            station: "control-room".into(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ready, address) = oneshot::channel();
        let server = runtime.spawn(penstock_hmi::serve(config, context, stopped, ready));
        let address = runtime.block_on(address).expect("the server starts");
        let plant = Plant {
            dir,
            clock,
            engine,
            historian,
            actions,
            address,
            cores: Mutex::new(cores),
            commands,
            stop,
            runtime: Some(runtime),
            server: Some(server),
        };
        plant.measure(1.0);
        plant
    }

    /// Lets the device measure this, and the task scan once, a second later.
    pub fn measure(&self, oxygen: f64) {
        let sample = Sample::good(oxygen, self.clock.now());
        self.engine.sink().samples(&[TagSample { tag: DO, sample }]);
        self.scan();
    }

    pub fn scan(&self) {
        self.clock.advance(Duration::from_secs(1));
        for core in self.cores.lock().iter_mut() {
            core.scan(self.clock.now(), ScanTiming::default());
        }
    }

    /// The last value commanded to the valve.
    pub fn commanded(&self) -> Option<Value> {
        self.commands.0.lock().iter().rev().find(|c| c.tag == VALVE).and_then(|c| c.value.clone())
    }

    pub fn log(&self) -> Vec<ActionRow> {
        self.actions.latest(1_000)
    }

    /// Sends a request as it stands and reads the whole answer.
    pub fn raw(&self, request: &str) -> Answer {
        let text = String::from_utf8(self.raw_bytes(request)).unwrap();
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:.80}: {text:?}"));
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The whole answer as it came.
    pub fn raw_bytes(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect();
        // A server that refuses early may close before everything is written: the answer still counts.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn request(&self, method: &str, path: &str, cookie: &str, extra: &str, body: &str) -> Answer {
        let host = self.address;
        let length = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: penstock_session={cookie}\r\n\
             {extra}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub fn get(&self, path: &str, cookie: &str) -> Answer {
        self.request("GET", path, cookie, "", "")
    }

    pub fn post(&self, path: &str, cookie: &str, body: &Json) -> Answer {
        self.post_with(path, cookie, "Content-Type: application/json\r\n", &body.to_string())
    }

    pub fn post_with(&self, path: &str, cookie: &str, extra: &str, body: &str) -> Answer {
        self.request("POST", path, cookie, extra, body)
    }

    pub fn try_login(&self, user: &str, password: &str) -> Answer {
        self.post("/api/login", "", &serde_json::json!({ "user": user, "password": password }))
    }

    /// Logs in and returns the session's id.
    pub fn login(&self, user: &str) -> String {
        let answer = self.try_login(user, PASSWORD);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.header("set-cookie").expect("a cookie");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let id = cookie.strip_prefix("penstock_session=").and_then(|c| c.split(';').next()).expect("a session");
        id.to_owned()
    }

    /// Opens the live feed; the status where the server refuses.
    pub fn live(&self, cookie: &str, origin: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
        let mut request = format!("ws://{}/api/live", self.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("cookie", format!("penstock_session={cookie}").parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        match client(request, self.connect()) {
            Ok((socket, _)) => Ok(socket),
            Err(handshake::HandshakeError::Failure(tokio_tungstenite::tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub fn series(&self, path: &str) -> penstock_historian::SeriesId {
        let def = SeriesDef { path: path.into(), value_type: ValueType::Float, unit: "mg/L".into(), decimals: 2 };
        self.historian.series(&def).unwrap()
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the server's end after [`Plant::stop`].
    pub fn ended(mut self) -> bool {
        let (runtime, server) = (self.runtime.take().unwrap(), self.server.take().unwrap());
        runtime.block_on(server).unwrap().is_ok()
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// The next message of that type; the ones before are skipped.
pub fn next(socket: &mut WebSocket<TcpStream>, wanted: &str) -> Json {
    loop {
        if let Message::Text(text) = socket.read().expect("a live message") {
            let json: Json = serde_json::from_str(&text).unwrap();
            if json["type"] == wanted {
                return json;
            }
        }
    }
}

fn engine(clock: &ManualClock) -> (Engine, Vec<TaskCore>, Arc<Commands>) {
    let commands = Arc::new(Commands::default());
    let script = Script::compile("valve", SCRIPT).expect("the script compiles");
    let config = EngineConfig {
        tags: Arc::new(TagTable::new(tags()).unwrap()),
        tasks: vec![TaskDef::new(TaskId(0), "normal", Duration::from_secs(1))],
        programs: vec![ProgramDef {
            name: "z".into(),
            script,
            task: TaskId(0),
            inputs: vec![("x".into(), DO)],
            outputs: vec![("valve".into(), VALVE)],
            params: vec![],
            delays: vec![],
            limits: ProgramLimits::default(),
        }],
        alarms: vec![alarm()],
        devices: vec!["plc".into()],
        objects: vec![],
        entries: vec![],
    };
    let (engine, cores) = Engine::build(config, commands.clone(), Arc::new(NoRecords), clock.now()).unwrap();
    (engine, cores, commands)
}

fn site_info() -> SiteInfo {
    SiteInfo {
        name: Text::new("试验厂", "Test plant"),
        time_zone: "Asia/Shanghai".into(),
        config_hash: "abc".into(),
        version: "0.0.0".into(),
        devices: vec![DeviceInfo {
            id: DeviceId(0),
            name: "plc".into(),
            title: Text::new("控制器", "Controller"),
            driver: "modbus".into(),
            address: "127.0.0.1:502".into(),
        }],
        hold: HoldTimes::default(),
        pages: serde_json::json!({ "pages": ["overview"] }),
    }
}
