//! Runs the simulated plant on its own: prints where every device listens, then `ready`, and goes on until told to stop.
//! `penstock-sim run <file>` runs a scenario in virtual time instead and prints its verdict.

use std::error::Error;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use penstock_simulators::options::Options;
use penstock_simulators::scenario;
use penstock_simulators::{bsm1, run, speed};
use tracing_subscriber::EnvFilter;

/// The simulated wastewater plants: Modbus and OPC UA devices in front of process models.
#[derive(Debug, Parser)]
#[command(name = "penstock-sim", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
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
    let with_stdin = arguments.options.exit_with_stdin;
    let config = match arguments.options.config() {
        Ok(config) => config,
        Err(error) => return failure(&error),
    };
    match run(config, announce, stopped(with_stdin)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn failure(error: &dyn Error) -> ExitCode {
    eprintln!("penstock-sim: {}", with_cause(error));
    ExitCode::FAILURE
}
