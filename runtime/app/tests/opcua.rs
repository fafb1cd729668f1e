//! An OPC UA server is taken into service: trusted, browsed, pasted, checked, read; and then it breaks in every way that
//! the simulator knows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use penstock::config::{self, DriverConfig, Overrides, Site};
use penstock_model::{
    BadReason, LinkRecord, LinkState, Outcome, Quality, Sample, SampleSink, SystemClock, TagId, TagSample,
};
use penstock_opcua::DeviceConfig;
use penstock_simulators::devices::opcua::{Anonymous, OpcUaSettings, Secret};
use penstock_simulators::{Ports, SimConfig, SimError, run};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Longest a test waits for what must happen: far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// The simulated plant with its certificates in a folder of ours.
struct Sim {
    addresses: HashMap<String, SocketAddr>,
    pki: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), SimError>>,
}

impl Sim {
    async fn start(folder: &Path) -> Sim {
        let pki = folder.join("sim-pki");
        let config = SimConfig {
            ports: Ports::ephemeral(),
            start: Some(1_782_014_400),
            api: Some("127.0.0.1:0".parse().unwrap()),
            opcua: OpcUaSettings {
                pki: Some(pki.clone()),
                trust_all: true,
                anonymous: Anonymous::Read,
                password: Secret::new("turbid-water-7".to_owned()),
                ..OpcUaSettings::default()
            },
            ..SimConfig::default()
        };
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let told = move |addresses: &[(String, SocketAddr)]| ready.send(addresses.iter().cloned().collect()).unwrap();
        let task = tokio::spawn(run(config, told, async {
            let _ = stopped.await;
        }));
        Sim { addresses: is_ready.await.unwrap(), pki, stop, task }
    }

    /// Begins a fault; its number ends it.
    async fn fault(&self, fault: &str) -> u64 {
        let url = format!("http://{}/faults", self.addresses["api"]);
        let body = serde_json::json!({ "fault": fault });
        let made = tokio::task::spawn_blocking(move || {
            ureq::post(&url).send_json(&body).unwrap().body_mut().read_json::<serde_json::Value>().unwrap()
        });
        made.await.unwrap()["id"].as_u64().unwrap()
    }

    async fn clear(&self, fault: u64) {
        let url = format!("http://{}/faults/{fault}", self.addresses["api"]);
        tokio::task::spawn_blocking(move || ureq::delete(&url).call().unwrap()).await.unwrap();
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Runs `penstock`; whether it went well, and what it said.
async fn penstock(arguments: &[&str]) -> (bool, String) {
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let ran =
        tokio::task::spawn_blocking(move || Command::new(env!("CARGO_BIN_EXE_penstock")).args(arguments).output());
    let output = ran.await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), format!("{}{}", text(output.stdout), text(output.stderr)))
}

/// A site with one server and no point yet.
fn new_site(folder: &Path, address: SocketAddr) -> PathBuf {
    let site = folder.join("site");
    std::fs::create_dir_all(site.join("devices")).unwrap();
    std::fs::write(
        site.join("site.yaml"),
        "site: works\nname: Works\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\n",
    )
    .unwrap();
    let device = format!(
        "device: plc\ndriver: opcua\nendpoint: opc.tcp://{address}\nsecurity: Basic256Sha256\nuser: operator\n\
         password_file: secret\ngroups: {{ normal: {{ publish: 200ms }} }}\n"
    );
    std::fs::write(site.join("devices/plc.yaml"), device).unwrap();
    // The alarm of the guide, as it stands there.
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/opcua.md")).unwrap();
    let alarm = guide.split("```yaml\n").find(|part| part.starts_with("- alarm:")).unwrap();
    let alarm = alarm.split("```").next().unwrap().replace("line3", "plc");
    std::fs::write(site.join("alarms.yaml"), alarm).unwrap();
    std::fs::write(site.join("secret"), "turbid-water-7\n").unwrap();
    site
}

#[cfg(unix)]
fn rights(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[derive(Default)]
struct Seen {
    samples: HashMap<TagId, Sample>,
    link: Option<LinkRecord>,
}

#[derive(Default)]
struct Sink(Mutex<Seen>);

impl SampleSink for Sink {
    fn samples(&self, batch: &[TagSample]) {
        self.0.lock().unwrap().samples.extend(batch.iter().map(|s| (s.tag, s.sample.clone())));
    }
    fn outcome(&self, _: Outcome) {}
    fn link(&self, link: LinkRecord) {
        self.0.lock().unwrap().link = Some(link);
    }
}

/// The driver of the site's server, as the runtime would run it.
struct Running {
    sink: Arc<Sink>,
    site: Site,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _commands: mpsc::Sender<penstock_model::Command>,
}

impl Running {
    fn start(site: Site, pki: &Path) -> Running {
        let DriverConfig::OpcUa(config) = &site.devices[0].driver else { panic!("one server") };
        let config = DeviceConfig { pki_dir: pki.to_owned(), ..config.clone() };
        let sink = Arc::new(Sink::default());
        let (stop, stopped) = watch::channel(false);
        let (commands, receiver) = mpsc::channel(4);
        let task =
            tokio::spawn(penstock_opcua::run(config, sink.clone(), receiver, Arc::new(SystemClock::new()), stopped));
        Running { sink, site, stop, task, _commands: commands }
    }

    fn quality(&self, seen: &Seen, tag: &str) -> Option<Quality> {
        seen.samples.get(&self.site.tags.find(tag).unwrap()).map(|s| s.quality)
    }

    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let from = Instant::now();
        while !holds(&self.sink.0.lock().unwrap()) {
            let said = || {
                let seen = self.sink.0.lock().unwrap();
                let bad = seen.samples.iter().filter(|(_, s)| s.quality.is_bad()).take(5).collect::<Vec<_>>();
                format!("{:?}; bad: {bad:?}", seen.link)
            };
            assert!(from.elapsed() < PATIENCE, "never: {what}; {}", said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every tag is read; that an instrument warms up or is in maintenance is the plant's own affair.
    async fn all_well(&self, what: &str, tags: &[TagId]) {
        let own = |q| matches!(q, Quality::Bad(BadReason::Initial | BadReason::Disabled)) || !Quality::is_bad(q);
        self.until(what, |seen| {
            seen.link.as_ref().is_some_and(|l| l.state == LinkState::Up)
                && tags.iter().all(|t| seen.samples.get(t).is_some_and(|s| own(s.quality)))
        })
        .await;
    }

    async fn down(&self, reason: &str) {
        self.until(reason, |seen| {
            seen.link.as_ref().is_some_and(|l| l.state == LinkState::Down && l.reason.contains(reason))
        })
        .await;
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_taken_into_service_and_survives_what_servers_do() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path()).await;
    let site = new_site(folder.path(), sim.addresses["sludge_effluent_plc"]);
    let state = folder.path().join("state");
    let (site_text, state_text) = (site.to_str().unwrap(), state.to_str().unwrap());

    // The password file is looked at before anything is done with it.
    rights(&site.join("secret"), 0o644);
    let (well, said) = penstock(&["check", site_text]).await;
    assert!(!well && said.contains("chmod 600") && said.contains("plc.yaml:6:16"), "{said}");
    rights(&site.join("secret"), 0o600);
    let (well, said) = penstock(&["check", site_text]).await;
    assert!(well && said.contains("no tags"), "a site that is being begun: {said}");

    // The server is unknown; the error names the very command.
    let browse = |more: &[&str]| {
        let arguments = [&["browse", site_text, "plc", "--state", state_text], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        async move { penstock(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let (well, said) = browse(&[]).await;
    assert!(!well && said.contains("not trusted"), "{said}");
    let command = said.split("penstock pki ").nth(1).unwrap().lines().next().unwrap();
    let arguments: Vec<&str> = std::iter::once("pki").chain(command.split_whitespace()).collect();
    let (well, said) = penstock(&arguments).await;
    assert!(well && said.contains("trusted: "), "{command}: {said}");
    let (_, said) = penstock(&["pki", "list", "--state", state_text]).await;
    assert!(said.contains("own ") && said.contains("trusted ") && !said.contains("rejected "), "{said}");
    let (_, said) = penstock(&["pki", "show", "own", "--state", state_text]).await;
    assert!(said.contains("urn:penstock:client") && said.contains("days left"), "{said}");

    // The tree, a part of it, and points to paste.
    let (well, tree) = browse(&[]).await;
    let line = tree.lines().find(|l| l.contains("s=Effluent.NH4 ")).unwrap_or_else(|| panic!("{well} {tree}"));
    assert!(line.contains("Double, read, mg/L, 0 to 50 = ") && line.contains("氨氮"), "{line}");
    assert!(tree.lines().any(|l| l.contains("s=Sludge.RasCmd ") && l.contains("read and write")), "{tree}");
    let (_, part) = browse(&["--filter", "nh4", "--depth", "3"]).await;
    assert!(part.contains("Effluent.NH4") && !part.contains("Sludge.Ras"), "{part}");
    let (well, points) = browse(&["--yaml"]).await;
    assert!(well && points.contains("  - tag: plc/"), "{points}");
    let file = site.join("devices/plc.yaml");
    let text = format!("{}points:\n{points}", std::fs::read_to_string(&file).unwrap());
    std::fs::write(&file, text).unwrap();
    let (well, said) = penstock(&["check", site_text]).await;
    assert!(well && said.contains("no mistakes"), "{said}\n{points}");
    let (_, again) = browse(&["--yaml"]).await;
    assert!(!again.contains("- tag:") && again.contains("already"), "what is there is not offered twice: {again}");

    let loaded = config::load(&site, &Overrides::default()).unwrap().site;
    let ammonia = loaded.tags.find("plc/effluent/nh4").unwrap();
    let def = loaded.tags.get(ammonia);
    assert_eq!((def.unit.as_str(), def.range), ("mg/L", Some((0.0, 50.0))));
    live(&sim, loaded, &state.join("pki")).await;
    sim.stop().await;
}

/// The pasted points are all read; then the server breaks and is mended.
async fn live(sim: &Sim, loaded: Site, pki: &Path) {
    let tags: Vec<TagId> = loaded.tags.iter().filter(|t| t.path.starts_with("plc/")).map(|t| t.id).collect();
    assert!(tags.len() > 15, "{}", tags.len());
    let running = Running::start(loaded, pki);
    running.all_well("every pasted point has a value", &tags).await;
    let days = running.site.tags.find("sys/link/plc/certificate_days").unwrap();
    running.until("days left", |s| s.samples.get(&days).and_then(Sample::usable_f64).is_some_and(|d| d > 300.0)).await;

    // Trusted before, and expired now.
    let expired = sim.pki.join("own/expired.der");
    let (well, said) = penstock(&["pki", "trust", expired.to_str().unwrap(), "--pki", pki.to_str().unwrap()]).await;
    assert!(well, "{said}");
    let fault = sim.fault("cert-expired sludge_effluent_plc").await;
    running.down("has expired").await;
    sim.clear(fault).await;
    running.all_well("its own certificate again", &tags).await;

    // Another device in its place, or somebody who says so.
    let fault = sim.fault("new-certificate sludge_effluent_plc").await;
    running.down("not trusted").await;
    sim.clear(fault).await;
    running.all_well("its own certificate once more", &tags).await;

    // A download takes every node away on a living session, and brings it back under another number.
    let fault = sim.fault("download sludge_effluent_plc").await;
    let gone = Some(Quality::Bad(BadReason::Configuration));
    running.until("nodes gone", |seen| running.quality(seen, "plc/effluent/nh4") == gone).await;
    sim.clear(fault).await;
    running.all_well("nodes back", &tags).await;

    // It stalls without closing; then it restarts and has forgotten us.
    let fault = sim.fault("mute sludge_effluent_plc").await;
    running.down("").await;
    sim.clear(fault).await;
    running.all_well("answers again", &tags).await;
    sim.fault("restart sludge_effluent_plc 1s").await;
    running.down("").await;
    running.all_well("values after the restart", &tags).await;
    running.stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
}
