//! `penstock sim`: the bundled simulators as a process of their own, scenarios on the plant alone, and the handle by
//! which the demo holds that process. What speaks to running simulators is in `sim/client.rs`.

mod client;

use penstock_simulators::options::Options;
use penstock_simulators::{PlantKind, Weather};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// What `penstock sim` does besides running the simulators.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum SimVerb {
    /// Run a scenario on the plant alone, in virtual time.
    Run {
        /// The file; its format is described in docs/scenarios.md.
        file: PathBuf,
        /// Exit with 1 when an expectation fails.
        #[arg(long)]
        assert: bool,
        /// Print the verdict as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set, list and clear faults of simulators that run with --api.
    Fault {
        #[command(subcommand)]
        verb: client::FaultVerb,
        /// Address of their HTTP interface.
        #[arg(long, global = true, value_name = "ADDRESS", default_value = client::API)]
        api: SocketAddr,
    },
    /// Change the weather of simulators that run with --api.
    Weather {
        /// dry, rain or storm.
        weather: Weather,
        /// Address of their HTTP interface.
        #[arg(long, value_name = "ADDRESS", default_value = client::API)]
        api: SocketAddr,
    },
}

/// Options of the simulators.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimArgs {
    #[command(subcommand)]
    verb: Option<SimVerb>,
    #[command(flatten)]
    options: Options,
}

/// The simulator at whose default port an address (`host:port` or an endpoint) is configured.
#[must_use]
pub fn socket_of(address: &str) -> Option<&'static str> {
    let at_port = |port: u16| address.ends_with(&format!(":{port}"));
    penstock_simulators::DEVICES.iter().find(|(_, port)| at_port(*port)).map(|(name, _)| *name)
}

/// The plant a site is made for: the benchmark where a device of it is configured at the benchmark's default port.
#[must_use]
pub fn plant_of(site: &crate::config::Site) -> PlantKind {
    let benchmark =
        |device: &crate::config::Device| socket_of(&device.address) == Some(penstock_simulators::bsm1::site::DEVICE);
    if site.devices.iter().any(benchmark) { PlantKind::Bsm1 } else { PlantKind::Jinan }
}

/// Does what the command line asks of the simulators.
///
/// # Errors
/// In words for a person: see [`serve`]; a scenario that is wrong, or with `--assert` does not hold; nobody who listens.
pub async fn run(args: SimArgs) -> Result<(), String> {
    match args.verb.clone() {
        None => serve(args).await,
        Some(SimVerb::Run { file, assert, json }) => scenario(&file, assert, json),
        Some(SimVerb::Fault { verb, api }) => client::fault(api, &verb),
        Some(SimVerb::Weather { weather, api }) => client::weather(api, weather),
    }
}

fn scenario(file: &Path, assert: bool, json: bool) -> Result<(), String> {
    let verdict = penstock_simulators::scenario::run_file(file)?;
    if json {
        say!("{:#}", verdict.to_json());
    } else {
        say!("{verdict}");
    }
    if assert && !verdict.passed() {
        return Err(format!("{} expectations of the scenario failed", verdict.failures()));
    }
    Ok(())
}

/// Runs the simulators until a signal, or until standard input closes where that was asked for.
///
/// # Errors
/// In words for a person: a port that is taken, a setting out of range.
async fn serve(args: SimArgs) -> Result<(), String> {
    let signalled = crate::signals::wait();
    let exit_with_stdin = args.options.exit_with_stdin;
    let config = args.options.config().map_err(|e| e.to_string())?;
    let stop = async move {
        let stdin_closed = async {
            if exit_with_stdin {
                let mut lines = BufReader::new(tokio::io::stdin()).lines();
                while matches!(lines.next_line().await, Ok(Some(_))) {}
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = signalled => {}
            () = stdin_closed => {}
        }
    };
    penstock_simulators::run(
        config,
        |devices| {
            for (device, address) in devices {
                say!("listening {device} {address}");
            }
            say!("ready");
        },
        stop,
    )
    .await
    .map_err(|e| penstock_model::with_causes(&e))
}

/// Why the simulator process could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The process did not start.
    #[error("the simulators could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// It ended or said nothing.
    #[error("the simulators ended before they were ready: {0}")]
    NotReady(String),
}

/// A running simulator process. Dropping it ends the process.
pub struct SimProcess {
    child: Child,
    // Held open: the child ends when it closes.
    _stdin: Option<ChildStdin>,
    /// Addresses by device.
    pub devices: Vec<(String, SocketAddr)>,
}

impl SimProcess {
    /// Starts this very program as `penstock sim` and waits until every device listens.
    ///
    /// # Errors
    /// When it does not become ready within ten seconds, for example because a port is taken.
    pub async fn spawn(arguments: &[String]) -> Result<SimProcess, SpawnError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("sim")
            .args(arguments)
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: Ctrl-C reaches the runtime first, which then ends the simulators in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| SpawnError::NotReady("no output".into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let mut devices = Vec::new();
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                match line.split_whitespace().collect::<Vec<_>>()[..] {
                    ["listening", device, address] => {
                        let address = address.parse().map_err(|_| SpawnError::NotReady(line.clone()))?;
                        devices.push((device.to_owned(), address));
                    }
                    ["ready"] => return Ok(()),
                    _ => {}
                }
            }
            Err(SpawnError::NotReady("see its message above; is a port taken? Try --free-ports".into()))
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .map_err(|_| SpawnError::NotReady("ten seconds have passed".into()))??;
        Ok(SimProcess { child, _stdin: stdin, devices })
    }

    /// Process id, for a person who wants to kill it and see what happens.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends the process: closes its input, and kills it when it does not go within two seconds.
    pub async fn stop(mut self) {
        self._stdin = None;
        if tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await.is_err()
            && let Err(error) = self.child.kill().await
        {
            tracing::warn!(%error, "the simulators could not be ended");
        }
    }
}
