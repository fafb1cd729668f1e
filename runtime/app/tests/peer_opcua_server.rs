//! The OPC UA server of a running site, against a client written by others.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{ENGINEER, OPERATOR, PENSTOCK, Plant, Session, VIEWER, add_user};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Environment variable with the Python that has the packages of `simulators/tests/peers/requirements.txt`.
const PYTHON: &str = "PENSTOCK_PEERS_PYTHON";
/// Longest a test waits for what must happen: far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(120);

const SITE: &str = "site: opcua\nname: { zh: 水池, en: Tank }\ntime_zone: Asia/Shanghai\ntasks: { normal: 100ms }\n";
const TAGS: &str = "entries:
  - { tag: tank/level_in, unit: m, initial: 1, limits: [0, 10], role: operator }
  - { tag: tank/factor, initial: 1, limits: [0, 5], role: engineer }
  - { tag: tank/kept, initial: 1, limits: [0, 5], role: operator }
computed:
  - { tag: tank/level, title: { zh: 液位, en: Level }, unit: m, range: [0, 10] }
  - { tag: tank/never, unit: m }
  - tag: tank/valve
    unit: '%'
    range: [0, 100]
    write: { }
    fallback: { bad_input: hold, fault: 0, link: hold, shutdown: 0 }
";
const PROGRAMS: &str = "- program: tank
  script: tank.rhai
  task: normal
  in: { level_in: tank/level_in }
  out: { level: tank/level, never: tank/never, valve: tank/valve }
";
const SCRIPT: &str = r#"
fn declare(p) {
    p.title("水池", "Tank");
    p.input("level_in", "m");
    p.output("level", "m");
    p.output("never", "m");
    p.output("valve", "%");
}
fn scan(io) {
    io.level = io.level_in;
    io.valve = 10.0;
}
"#;
const ALARMS: &str = "- alarm: tank/level/high
  tag: tank/level
  above: 8
  deadband: 0.5
  on_delay: 0s
  off_delay: 0s
  priority: high
  title: { zh: 液位高, en: Level is high }
  cause: { zh: 进水过多, en: too much inflow }
  consequence: { zh: 溢流, en: overflow }
  response: { zh: 开阀, en: open the valve }
";

fn site(dir: &Path, port: u16) -> PathBuf {
    let site = dir.join("site");
    std::fs::create_dir_all(site.join("scripts")).unwrap();
    let server = format!(
        "address: 127.0.0.1:{port}\nwrite: [tank/level_in, tank/factor, tank/valve]\ntags: [tank/*]\nconnections_max: 16\n"
    );
    for (name, text) in [
        ("site.yaml", SITE),
        ("tags.yaml", TAGS),
        ("programs.yaml", PROGRAMS),
        ("scripts/tank.rhai", SCRIPT),
        ("alarms.yaml", ALARMS),
        ("opcua-server.yaml", server.as_str()),
    ] {
        std::fs::write(site.join(name), text).unwrap();
    }
    site
}

/// A port that the server gets and nobody else.
fn free_port() -> u16 {
    // A connection that its listening end closed first keeps the port from being given to anybody who does not ask for
    // it by its number, for a minute: neither another test nor one of our own outgoing connections comes to hold it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    drop(client);
    address.port()
}

fn until(what: &str, mut hit: impl FnMut() -> bool) {
    let began = Instant::now();
    while !hit() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Peer {
    python: std::ffi::OsString,
    script: &'static str,
    port: u16,
    folder: PathBuf,
}

impl Peer {
    fn command(&self, what: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(self.script);
        let mut command = Command::new(&self.python);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(script).arg(self.port.to_string()).arg(&self.folder).arg(what);
        command
    }

    /// Runs it; what `meanwhile` does comes between the peer's `ready` and the line that it waits for.
    fn run_with(&self, what: &str, meanwhile: impl FnOnce()) -> Result<(), String> {
        let mut command = self.command(what);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        if line.trim() == "ready" {
            meanwhile();
            writeln!(child.stdin.take().unwrap()).unwrap();
        }
        said.read_to_string(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(line + &String::from_utf8_lossy(&output.stderr))
    }

    fn run(&self, what: &str) -> Result<String, String> {
        let output = self.command(what).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(text) } else { Err(text) }
    }
}

/// A site under way whose users are known, and the peer beside it.
struct Scene {
    plant: Plant,
    peer: Peer,
    site: PathBuf,
    state: PathBuf,
    dir: tempfile::TempDir,
}

impl Scene {
    /// None where there is no Python with the peer's library.
    fn begin(script: &'static str) -> Option<Scene> {
        let Some(python) = std::env::var_os(PYTHON) else {
            println!("skipped: {PYTHON} is not set; `cargo xtask test --only peers` sets it");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let (port, state) = (free_port(), dir.path().join("state"));
        let site = site(dir.path(), port);
        for (user, role) in [(OPERATOR, "operator"), (VIEWER, "viewer"), (ENGINEER, "engineer")] {
            add_user(&state, user, role);
        }
        let plant = Plant::launch(&site, &state, &[], &[]);
        until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let peer = Peer { python, script, port, folder: dir.path().to_path_buf() };
        Some(Scene { plant, peer, site, state, dir })
    }

    /// The peer plays one of its parts, or we tell what it and the runtime said.
    fn play(&self, what: &str) {
        self.peer.run(what).unwrap_or_else(|said| panic!("{what}: {said}\n{}", self.log()));
    }

    /// The same with something between its `ready` and its going on.
    fn play_with(&self, what: &str, meanwhile: impl FnOnce()) {
        self.peer.run_with(what, meanwhile).unwrap_or_else(|said| panic!("{what}: {said}\n{}", self.log()));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state.join("runtime.log")).unwrap_or_default()
    }

    fn penstock(&self, words: &[&str]) {
        let output = Command::new(PENSTOCK).args(words).arg("--state").arg(&self.state).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// What persons did, as the pages show it.
    fn actions(&self) -> String {
        Session::login(&self.plant.url, ENGINEER).get("/api/actions").to_string()
    }
}

#[test]
fn a_foreign_client_reads_writes_and_acknowledges_with_its_users_rights() {
    let Some(scene) = Scene::begin("opcua_client.py") else { return };
    scene.play("make");
    scene.play("untrusted");
    // It was kept for a person to decide about.
    let rejected = scene.state.join("pki/rejected");
    until("the client's certificate is kept", || std::fs::read_dir(&rejected).is_ok_and(|d| d.count() == 1));
    scene.penstock(&["pki", "trust", &scene.file("client.der")]);
    scene.play("all");
    // What persons did over OPC UA stands in the record like what they do at the pages.
    let actions = scene.actions();
    for part in ["zhang@opcua", "tank/level_in", "tank/valve", "tank/level/high", "seen, pump called", "wang@opcua"] {
        assert!(actions.contains(part), "{part} is not in {actions}");
    }
    for part in ["refused: write tank/level_in = 99", "refused: write tank/factor", "li@opcua"] {
        assert!(actions.contains(part), "{part} is not in {actions}");
    }
    assert!(scene.plant.stop());
}

#[test]
fn certificates_of_authorities_and_persons_count_while_they_stand() {
    let Some(scene) = Scene::begin("opcua_doors.py") else { return };
    let list = |name: &str| {
        std::fs::create_dir_all(scene.state.join("pki/crl")).unwrap();
        std::fs::copy(scene.file(name), scene.state.join("pki/crl/authority.crl")).unwrap();
    };
    scene.play("make");
    scene.play("unsigned");
    assert!(scene.log().contains("not let in"), "{}", scene.log());
    scene.penstock(&["pki", "trust", &scene.file("authority.der")]);
    scene.play("unsigned");
    list("nobody.crl");
    scene.play("signed");
    list("signed.crl");
    scene.play("unsigned");
    assert!(scene.log().contains("revoked"), "{}", scene.log());
    list("nobody.crl");

    scene.play("nobody");
    scene.penstock(&["pki", "user", OPERATOR.0, &scene.file("person.der")]);
    scene.play("person");
    scene.penstock(&["pki", "user", OPERATOR.0, "--remove"]);
    scene.play("nobody");
    scene.penstock(&["pki", "user", OPERATOR.0, &scene.file("person.der")]);
    scene.play_with("demoted", || add_user(&scene.state, OPERATOR, "viewer"));
    add_user(&scene.state, OPERATOR, "operator");

    scene.play_with("anew", || {
        common::edit(&scene.site.join("alarms.yaml"), "en: Level is high", "en: Level is too high");
        scene.penstock(&["apply", scene.site.to_str().unwrap(), "--yes", "--lang", "en"]);
    });
    assert!(scene.log().contains("the OPC UA server is begun anew"), "{}", scene.log());
    let actions = scene.actions();
    for part in ["zhang@opcua", "certificate "] {
        assert!(actions.contains(part), "{part} is not in {actions}");
    }
    assert!(scene.plant.stop());
}
