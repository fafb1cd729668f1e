//! Runs the simulated plant on its own: prints where every device listens, then `ready`, and goes on until told to stop.
//! `penstock-sim run <file>` runs a scenario in virtual time instead and prints its verdict.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use penstock_simulators::devices::modbus::Gateway;
use penstock_simulators::devices::opcua::{Anonymous, OpcUaSettings, Secret};
use penstock_simulators::devices::serial::SerialPort;
use penstock_simulators::faults::Injection;
use penstock_simulators::scenario;
use penstock_simulators::{PlantKind, Ports, SimConfig, Weather, bsm1, run, speed};
use tracing_subscriber::EnvFilter;

/// The simulated wastewater plants: Modbus and OPC UA devices in front of process models.
#[derive(Debug, Parser)]
#[command(name = "penstock-sim", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Plant: jinan, or bsm1 for the benchmark.
    #[arg(long, default_value = "jinan")]
    plant: PlantKind,
    /// Folder with the benchmark's influent and noise files, for its plant; our own generator where absent.
    #[arg(long, value_name = "FOLDER")]
    influent: Option<PathBuf>,
    /// Seed of weather, influent and instrument noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated seconds per second, up to 2000.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Start of the plant clock: RFC 3339 (`2026-06-21T12:00:00+08:00`) or Unix seconds; now where absent.
    #[arg(long, value_parser = parse_start)]
    start: Option<i64>,
    /// Weather over the catchment: dry, rain or storm.
    #[arg(long, default_value = "dry")]
    weather: Weather,
    /// A fault active from the start, as `stuck aer/z5/nh4 0.5 for 30min`; may be given several times.
    #[arg(long = "fault", value_name = "TEXT")]
    faults: Vec<Injection>,
    /// Loopback address of the HTTP fault interface, as `127.0.0.1:5090`; off where absent.
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// Address all devices listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Another port for one device, as `<device>=<port>`; may be given several times.
    #[arg(long = "port", value_name = "DEVICE=PORT", value_parser = parse_port)]
    ports: Vec<(String, u16)>,
    /// Every device on a free port chosen by the system.
    #[arg(long)]
    free_ports: bool,
    /// A device on a serial line too, as `power_meters=/tmp/meters,9600,8N1`: makes a link to a pseudo-terminal that
    /// speaks Modbus RTU; may be given several times.
    #[arg(long, value_name = "DEVICE=LINK[,BAUD[,FORMAT]]")]
    serial: Vec<SerialPort>,
    /// How a device's gateway answers for units that do not, as `power_meters=knowing|silent|<timeout>`; may be given
    /// several times.
    #[arg(long = "gateway", value_name = "DEVICE=KIND", value_parser = parse_gateway)]
    gateways: Vec<(String, Gateway)>,
    /// Plant time moves only as a client asks of the register at device `lockstep` (port 5029).
    #[arg(long, conflicts_with = "speed")]
    lockstep: bool,
    /// Stop when standard input closes, so that the plant ends with the process that started it.
    #[arg(long)]
    exit_with_stdin: bool,
    #[command(flatten)]
    opcua: OpcUaArguments,
}

/// Environment variable with the password of the OPC UA user `operator`.
const PASSWORD_VARIABLE: &str = "PENSTOCK_SIM_OPCUA_PASSWORD";

#[derive(Debug, clap::Args)]
struct OpcUaArguments {
    /// Folder of the OPC UA device's keys and certificates; a temporary one where absent.
    #[arg(long, value_name = "FOLDER")]
    pki: Option<PathBuf>,
    /// Trust every OPC UA client certificate: for demonstrations.
    #[arg(long)]
    trust_all: bool,
    /// What OPC UA clients without an identity may do: read, or write the commands too.
    #[arg(long, value_name = "read|write", default_value = "write")]
    opcua_anonymous: Anonymous,
    /// Password of the OPC UA user `operator`; PENSTOCK_SIM_OPCUA_PASSWORD says it without showing it to other users of
    /// the machine. Without either there is no such user.
    #[arg(long, value_name = "TEXT")]
    opcua_password: Option<String>,
    /// Days a new certificate of the OPC UA device is valid; 0 has expired when it is shown.
    #[arg(long, value_name = "DAYS", default_value_t = OpcUaSettings::default().certificate_days, value_parser = clap::value_parser!(u32).range(..=36_500))]
    certificate_days: u32,
}

impl OpcUaArguments {
    fn settings(self) -> OpcUaSettings {
        let password = self.opcua_password.or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
        OpcUaSettings {
            pki: self.pki,
            trust_all: self.trust_all,
            anonymous: self.opcua_anonymous,
            password: password.and_then(Secret::new),
            certificate_days: self.certificate_days,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a scenario file in virtual time and prints its verdict.
    Run {
        /// The file.
        file: PathBuf,
        /// Exit with 1 when an expectation fails.
        #[arg(long)]
        assert: bool,
        /// Print the verdict as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs the IWA benchmark BSM1 and prints its figures beside the published ones.
    Bsm1 {
        /// Folder of the benchmark's files; `PENSTOCK_BSM1_DATA` or `../shared/data/bsm1` where absent.
        #[arg(long)]
        data: Option<PathBuf>,
        /// File for the table instead of standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Measures the speed of the plants on one core: a line each, title and times real time, a tab between.
    Speed,
}

const BENCHMARK_HEAD: &str = "\
# Fidelity to BSM1

Published figures of the IWA benchmark beside those of this simulator. Made in the workspace by

    cargo run -p penstock-simulators --bin penstock-sim -- bsm1 --out docs/bsm1-fidelity.md

with the benchmark's files in `../shared/data/bsm1` or where `PENSTOCK_BSM1_DATA` points. The loops every 60 s are no part
of the benchmark: the figures beside theirs are those of an independent implementation.

";

/// The benchmark; fails where a figure is off, after the table is written.
fn benchmark(data: Option<PathBuf>, out: Option<PathBuf>) -> Result<bool, Box<dyn Error>> {
    let report = bsm1::fidelity(&data.unwrap_or_else(bsm1::default_data_dir))?;
    let text = format!("{BENCHMARK_HEAD}{report}");
    match out {
        Some(path) => {
            std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        None => write!(std::io::stdout(), "{text}")?,
    }
    Ok(report.holds())
}

/// Runs a scenario; a file that cannot be read or parsed is a failure with and without `--assert`.
fn run_scenario(file: &Path, assert: bool, json: bool) -> ExitCode {
    match scenario::run_file(file) {
        Ok(verdict) => {
            let text = if json { format!("{:#}", verdict.to_json()) } else { verdict.to_string() };
            // A reader that has gone away does not change the verdict.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            if assert && !verdict.passed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(reason) => {
            eprintln!("penstock-sim: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// An error with what lies behind it, on one line, each part once.
fn with_cause(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn parse_start(text: &str) -> Result<i64, String> {
    text.parse::<i64>().or_else(|_| text.parse::<jiff::Timestamp>().map(|t| t.as_second()).map_err(|e| e.to_string()))
}

fn parse_port(text: &str) -> Result<(String, u16), String> {
    let (device, port) = text.split_once('=').ok_or("expected <device>=<port>")?;
    let port = port.parse().map_err(|_| format!("`{port}` is not a port number"))?;
    Ports::ephemeral().set(device, port).map_err(|e| e.to_string())?;
    Ok((device.to_owned(), port))
}

fn parse_gateway(text: &str) -> Result<(String, Gateway), String> {
    let (device, kind) = text.split_once('=').ok_or("expected <device>=knowing|silent|<timeout>")?;
    Ok((device.to_owned(), kind.parse()?))
}

fn announce(addresses: &[(String, SocketAddr)]) {
    let mut out = std::io::stdout().lock();
    let lines = addresses.iter().try_for_each(|(device, address)| writeln!(out, "listening {device} {address}"));
    // A reader that has gone away is no reason to stop the plant.
    let _ = lines.and_then(|()| writeln!(out, "ready")).and_then(|()| out.flush());
}

async fn stopped(with_stdin: bool) {
    let stdin = async {
        if !with_stdin {
            return std::future::pending().await;
        }
        // A thread of its own: a blocked read would hold up the end of the runtime.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 256];
            while matches!(std::io::stdin().read(&mut bytes), Ok(count) if count > 0) {}
            // The receiver is gone when a signal was first.
            let _ = sender.send(());
        });
        // An error here means the thread ended: the same as a closed input.
        let _ = receiver.await;
    };
    tokio::select! {
        () = terminated() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stdin => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

#[tokio::main]
async fn main() -> ExitCode {
    // The OPC UA library reports the missing certificate of a server without encryption as an error: not ours to show.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,opcua_crypto=off,opcua_server=off,opcua_core=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Run { file, assert, json }) => return run_scenario(&file, assert, json),
        Some(Command::Speed) => {
            // A reader that has gone away wants no more lines.
            let _ = speed::measure().iter().try_for_each(|row| writeln!(std::io::stdout(), "{row}"));
            return ExitCode::SUCCESS;
        }
        Some(Command::Bsm1 { data, out }) => {
            return match benchmark(data, out) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => failure(&*Box::<dyn Error>::from("a figure is outside its band: see the table")),
                Err(error) => failure(&*error),
            };
        }
        None => {}
    }
    let mut ports = if arguments.free_ports { Ports::ephemeral() } else { Ports::default() };
    for (device, port) in &arguments.ports {
        if let Err(error) = ports.set(device, *port) {
            eprintln!("penstock-sim: {error}");
            return ExitCode::FAILURE;
        }
    }
    let config = SimConfig {
        plant: arguments.plant,
        influent: arguments.influent,
        seed: arguments.seed,
        speed: arguments.speed,
        start: arguments.start,
        weather: arguments.weather,
        faults: arguments.faults,
        api: arguments.api,
        host: arguments.host,
        ports,
        serial: arguments.serial,
        gateways: arguments.gateways.into_iter().collect(),
        lockstep: arguments.lockstep,
        opcua: arguments.opcua.settings(),
    };
    match run(config, announce, stopped(arguments.exit_with_stdin)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn failure(error: &dyn Error) -> ExitCode {
    eprintln!("penstock-sim: {}", with_cause(error));
    ExitCode::FAILURE
}
