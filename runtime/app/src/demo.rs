//! `penstock demo`: the bundled simulators, the runtime on the bundled site, and the HMI, in one command.

use crate::config::Overrides;
use crate::run::{Options, Runtime};
use crate::sim::SimProcess;
use crate::supervise::Launch;
use penstock_hmi::Users;
use penstock_model::{Role, with_causes};
use penstock_simulators::PlantKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Options of the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Site folder; the bundled one when absent.
    #[arg(long)]
    pub site: Option<PathBuf>,
    /// Address of the HMI.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub hmi: SocketAddr,
    /// Folder for history, ledger and users.
    #[arg(long, default_value = "var/demo")]
    pub state: PathBuf,
    /// Stop by itself after this time, for example 60s.
    #[arg(long = "for", value_parser = crate::cli::duration)]
    pub run_for: Option<Duration>,
    /// Let the system choose the simulators' ports.
    #[arg(long)]
    pub free_ports: bool,
    /// Seed of the simulated plant.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Speed of the plant clock against real time. Control stays in real time: beyond 1 the plant reacts faster than
    /// the controllers were tuned for.
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Start of the plant clock, seconds since 1970 UTC; the present when absent.
    #[arg(long)]
    pub start: Option<i64>,
    /// Loopback address of the simulators' HTTP interface that sets and clears faults; off when absent.
    #[arg(long, value_name = "ADDRESS")]
    pub api: Option<SocketAddr>,
    /// Run without the supervisor that writes the declared values when the runtime dies.
    #[arg(long)]
    pub unsupervised: bool,
    /// Print one JSON line with address and users instead of the text for a person.
    #[arg(long)]
    pub json: bool,
}

/// The people of the demo: a name and what they may do.
const DEMO_USERS: &[(&str, Role)] =
    &[("viewer", Role::Viewer), ("operator", Role::Operator), ("engineer", Role::Engineer)];

/// Where each device of the site really is: a device configured at a simulator's default port follows that simulator
/// to the port it got. Several devices may follow one socket: units behind a gateway.
fn follow(site: &crate::config::Site, sim: &SimProcess) -> Vec<(String, String)> {
    let mut addresses = Vec::new();
    for device in &site.devices {
        let followed =
            crate::sim::socket_of(&device.address).and_then(|name| sim.devices.iter().find(|(d, _)| d == name));
        if let Some((_, address)) = followed {
            addresses.push((device.name.to_string(), address.to_string()));
        }
    }
    addresses
}

/// Runs the demo until a signal or for the time asked.
///
/// # Errors
/// In words for a person: what could not be started and what to do.
pub async fn run(args: DemoArgs) -> Result<ExitCode, String> {
    let signalled = crate::signals::wait();
    let site_dir = match &args.site {
        Some(dir) => dir.clone(),
        None => bundled_site()?,
    };
    // Checked before anything is started: a person sees the mistakes first.
    let plain = crate::config::load(&site_dir, &Overrides::default()).map_err(|d| d.to_string())?;
    let sim = start_simulators(&args, crate::sim::plant_of(&plain.site)).await?;
    let device_address = follow(&plain.site, &sim);
    let overrides = Overrides { device_address: device_address.clone() };
    let loaded = crate::config::load(&site_dir, &overrides).map_err(|d| d.to_string())?;
    let users = demo_users(&args.state)?;
    let asked = async {
        tokio::select! {
            () = signalled => {}
            () = crate::cli::elapsed(args.run_for) => {}
        }
        if !args.json {
            crate::log::say("stopping: outputs go to their declared shutdown state …");
        }
    };
    let greet = |hmi| greet(&args, hmi, &users, sim.id());
    let ended = if args.unsupervised {
        unsupervised(&args, loaded.site, asked, greet).await
    } else {
        let (state, hmi) = (args.state.clone(), args.hmi);
        let launch = Launch { site: site_dir, state, hmi, devices: device_address, applied: false };
        crate::supervise::run(launch, loaded, asked, greet).await
    };
    sim.stop().await;
    ended
}

async fn unsupervised(
    args: &DemoArgs,
    site: crate::config::Site,
    asked: impl Future<Output = ()>,
    greet: impl FnOnce(SocketAddr),
) -> Result<ExitCode, String> {
    let options = Options { state_dir: args.state.clone(), hmi: args.hmi, supervisor: None, applied: None };
    let runtime = Runtime::start(site, options).await.map_err(|error| with_causes(&error))?;
    greet(runtime.hmi_address());
    asked.await;
    crate::log::say(&runtime.stop().await.to_string());
    Ok(ExitCode::SUCCESS)
}

async fn start_simulators(args: &DemoArgs, plant: PlantKind) -> Result<SimProcess, String> {
    let mut arguments =
        vec![format!("--plant={plant}"), format!("--seed={}", args.seed), format!("--speed={}", args.speed)];
    if let Some(start) = args.start {
        arguments.push(format!("--start={start}"));
    }
    if let Some(api) = args.api {
        arguments.push(format!("--api={api}"));
    }
    if args.free_ports {
        arguments.push("--free-ports".into());
    }
    SimProcess::spawn(&arguments).await.map_err(|e| e.to_string())
}

/// Users of the demo with passwords made anew at every start: nothing to guess, nothing to forget in a file.
fn demo_users(state: &Path) -> Result<Vec<(&'static str, Role, String)>, String> {
    std::fs::create_dir_all(state).map_err(|e| format!("state directory {}: {e}", state.display()))?;
    let file = state.join("users.json");
    let mut users = Users::load(&file).map_err(|e| with_causes(&e))?;
    let mut made = Vec::new();
    for (name, role) in DEMO_USERS {
        let password = penstock_hmi::random_password().map_err(|e| e.to_string())?;
        users.set(name, *role, &password).map_err(|e| e.to_string())?;
        made.push((*name, *role, password));
    }
    users.save(&file).map_err(|e| with_causes(&e))?;
    Ok(made)
}

fn greet(args: &DemoArgs, hmi: SocketAddr, users: &[(&'static str, Role, String)], sim: Option<u32>) {
    if args.json {
        let users: Vec<_> =
            users.iter().map(|(n, r, p)| serde_json::json!({"name": n, "role": r.as_str(), "password": p})).collect();
        say!("{}", serde_json::json!({"url": format!("http://{hmi}"), "users": users, "sim_pid": sim}));
        return;
    }
    say!("\nPenstock demo · 演示水厂\n");
    say!("  open      http://{hmi}");
    for (name, role, password) in users {
        say!("  log in    {name:<9} {password}   ({})", role.as_str());
    }
    say!("  history   {}", args.state.display());
    if let Some(pid) = sim {
        say!("  to see a lost field:  kill {pid}");
    }
    match args.api {
        Some(api) => {
            say!("  to break something:   penstock sim fault add \"stuck aer/z5/nh4 0.5 for 30min\" --api {api}")
        }
        None => say!("  to break something:   start with --api 127.0.0.1:5090, then penstock sim fault menu"),
    }
    say!("  Ctrl-C stops everything\n");
}

/// The bundled site: beside the working directory in a checkout, or beside the binary in an installation.
fn bundled_site() -> Result<PathBuf, String> {
    const SITE: &str = "configs/jinan-wwtp";
    let mut places = vec![PathBuf::from(SITE)];
    if let Ok(binary) = std::env::current_exe() {
        places.extend(binary.ancestors().skip(1).map(|p| p.join(SITE)));
    }
    places
        .iter()
        .find(|p| p.join("site.yaml").is_file())
        .cloned()
        .ok_or_else(|| format!("the bundled site `{SITE}` was not found from here; name one with --site <folder>"))
}
