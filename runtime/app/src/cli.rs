//! The command line of `penstock`.

use crate::change::client;
use crate::config::Overrides;
use crate::run::{Options, Runtime};
use crate::supervise::Launch;
use crate::supervise::child::Line;
use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Industrial SCADA and control runtime for low-carbon plants.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the bundled plant: simulators, runtime and HMI.
    Demo(crate::demo::DemoArgs),
    /// Run a site.
    Run(RunArgs),
    /// Run the bundled simulators alone.
    Sim(crate::sim::SimArgs),
    /// Run a site's programs against the plant model in virtual time, and report.
    Simulate(crate::simulate::SimulateArgs),
    /// Find settings of a loop by a step or relay test on the plant model, in virtual time.
    Tune(crate::tune::TuneArgs),
    /// Check a site and list every mistake at once.
    Check {
        /// Site folder.
        site: PathBuf,
        /// Print one JSON object per mistake.
        #[arg(long)]
        json: bool,
        /// List what every bad input does: where its program's scan ends, and what the outputs do then.
        #[arg(long)]
        inputs: bool,
    },
    /// List every Modbus request of a site: registers read and wasted, bytes, time, load, and what dead units cost.
    Plan(crate::plan::PlanArgs),
    /// Say what differs between the configuration that runs and the folder, and what of it needs a restart.
    Diff(client::DiffArgs),
    /// Have the running site take over the folder's configuration at its next scan.
    Apply(client::ApplyArgs),
    /// List the configurations that ran: when, who, why, and what differed.
    History(client::HistoryArgs),
    /// Have the running site go back to an earlier configuration.
    Rollback(client::RollbackArgs),
    /// Have the running site end the fault of a task: its programs start fresh, and take over from what is granted.
    Reset(client::ResetArgs),
    /// Run a past window of scans again, with the scripts of then or with others, and compare.
    Replay(crate::replay::ReplayArgs),
    /// Run another program beside the live one on its inputs, and report what it would have done.
    Shadow(crate::replay::ShadowArgs),
    /// Tell why a tag stands as it stands, now or at a recorded moment.
    Why(crate::replay::WhyArgs),
    /// Print the registers in which the Modbus server serves tags, as a table for the other side.
    Registers(crate::registers::RegistersArgs),
    /// Print the JSON schema of a configuration file for an editor.
    Schema {
        /// Kind of file; all kinds are listed when absent.
        kind: Option<String>,
    },
    /// Run the cases beside control programs.
    Test {
        /// A folder of scripts, or one cases file.
        #[arg(default_value = "scripts")]
        path: PathBuf,
    },
    /// Manage the HMI's users.
    #[command(subcommand)]
    User(crate::users::UserVerb),
    /// Show what an OPC UA server has, or print its nodes as points for the device's file.
    Browse(crate::browse::BrowseArgs),
    /// Read, write, scan and decode points of devices, to take them into service.
    #[command(subcommand)]
    Point(crate::point::PointVerb),
    /// Manage the certificates of OPC UA links: whom we trust, and our own.
    #[command(subcommand)]
    Pki(crate::pki::PkiVerb),
    /// Verify the stores of a state folder: history and the log of operators' actions.
    Verify {
        /// State folder.
        state: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Site folder.
    site: PathBuf,
    /// Folder for history, ledger and users.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
    /// Address of the HMI. Anything but loopback needs a reverse proxy with TLS in front.
    #[arg(long, default_value = "127.0.0.1:8080")]
    hmi: SocketAddr,
    /// Address of a device in place of the configured one, as <device>=<host:port>; may be repeated.
    #[arg(long = "device", value_name = "DEVICE=ADDRESS", value_parser = device_address)]
    devices: Vec<(String, String)>,
    /// Stop by itself after this time, for example 60s.
    #[arg(long = "for", value_parser = duration)]
    run_for: Option<Duration>,
    /// Run without the supervisor that writes the declared values when this process dies: for a debugger, or where a
    /// container does its work.
    #[arg(long)]
    unsupervised: bool,
    /// Run the configuration that was last applied on this state folder, where the site's folder is another one or has
    /// mistakes: for a start that no person watches, as after a power cut.
    #[arg(long)]
    applied: bool,
    /// Started by the supervisor; its line is on standard input.
    #[arg(long, hide = true, conflicts_with = "unsupervised")]
    supervised: bool,
}

pub(crate) fn device_address(text: &str) -> Result<(String, String), String> {
    let (device, address) = text.split_once('=').ok_or("give it as <device>=<host:port>")?;
    Ok((device.to_owned(), address.to_owned()))
}

/// A duration as configuration files write it: `100ms`, `60s`, `15min`, `2h`.
///
/// # Errors
/// When the text is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    use crate::config::text::{DURATION_HELP, parse_duration};
    parse_duration(text).map_err(|why| format!("{why}: {DURATION_HELP}"))
}

/// Returns after the time, or never where there is none.
pub async fn elapsed(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Runs the command line. Exit code 0: done; 1: it failed, or found mistakes; 2: it was called wrongly.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // What a person asks once is answered once: the drivers' own news of the link would say it again.
    start_log(if matches!(cli.command, Verb::Point(_)) { "off" } else { DEFAULT_LOG });
    let ended = carry_out(cli.command);
    crate::log::flush();
    ended
}

fn carry_out(verb: Verb) -> ExitCode {
    match verb {
        Verb::Check { site, json, inputs } => check(&site, json, inputs),
        Verb::Plan(args) => done(crate::plan::run(&args)),
        Verb::Diff(args) => done(client::diff(&args)),
        Verb::Apply(args) => done(client::apply(&args)),
        Verb::History(args) => done(client::history(&args)),
        Verb::Rollback(args) => done(client::rollback(&args)),
        Verb::Reset(args) => done(client::reset(&args)),
        Verb::Replay(args) => done(crate::replay::replay(&args)),
        Verb::Shadow(args) => done(crate::replay::shadow(&args)),
        Verb::Why(args) => done(crate::replay::why(&args)),
        Verb::Registers(args) => done(crate::registers::run(&args)),
        Verb::Schema { kind } => schema(kind.as_deref()),
        Verb::Test { path } => test(&path),
        Verb::User(verb) => done(crate::users::run(verb)),
        Verb::Browse(args) => done(block_on(crate::browse::run(args))),
        Verb::Pki(verb) => done(crate::pki::run(verb)),
        Verb::Point(verb) => done(block_on(crate::point::run(verb))),
        Verb::Verify { state } => done(crate::verify::run(&state)),
        Verb::Demo(args) => plant(crate::demo::run(args)),
        Verb::Sim(args) => done(block_on(crate::sim::run(args))),
        Verb::Simulate(args) => done(crate::simulate::run(&args)),
        Verb::Tune(args) => done(crate::tune::run(&args)),
        Verb::Run(args) => {
            if args.supervised || args.unsupervised {
                crate::run::lock_program();
            } else {
                // The supervisor scans nothing, and has to be small.
                crate::supervise::heap::settle();
            }
            plant(run(args))
        }
    }
}

/// The protocol libraries complain on their own about every lost link; our drivers say it once, with the device's name.
const DEFAULT_LOG: &str =
    "info,sled=warn,opcua_client=off,opcua_core=off,opcua_crypto=off,opcua_server=off,opcua_types=off";

fn start_log(default: &str) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("PENSTOCK_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| crate::log::Writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would print its own troubles with `eprintln!`, which ends the thread that logs.
        .log_internal_errors(false)
        .init();
}

fn block_on<T, F: Future<Output = Result<T, String>>>(work: F) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the system refused threads: {e}"))?;
    let result = runtime.block_on(work);
    // A task that hangs in a foreign library must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn done(result: Result<(), String>) -> ExitCode {
    code(result.map(|()| ExitCode::SUCCESS))
}

fn code(result: Result<ExitCode, String>) -> ExitCode {
    result.unwrap_or_else(|message| {
        complain!("{}", as_error(&message));
        ExitCode::FAILURE
    })
}

/// A process that controls a plant: it waits for nobody who reads what it says, not even in its last words.
fn plant(work: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    crate::log::tell_panics();
    block_on(work).unwrap_or_else(|message| {
        crate::log::complain(&as_error(&message));
        ExitCode::FAILURE
    })
}

fn as_error(message: &str) -> String {
    // Lists of mistakes name each of theirs already.
    let prefix = if message.starts_with("error") { "" } else { "error: " };
    format!("{prefix}{message}")
}

fn check(site: &std::path::Path, json: bool, inputs: bool) -> ExitCode {
    match crate::config::load(site, &Overrides::default()) {
        Ok(loaded) => {
            let s = &loaded.site;
            let dependences = if inputs { crate::config::dependences(s) } else { Vec::new() };
            if json {
                let mut all = loaded.warnings.to_json();
                if inputs {
                    all["inputs"] = dependences.iter().map(crate::config::Dependence::to_json).collect();
                }
                say!("{all}");
            } else {
                for dependence in &dependences {
                    say!("{dependence}");
                }
                if !loaded.warnings.is_empty() {
                    complain!("{}", loaded.warnings);
                }
                say!(
                    "{}: {} tags, {} devices, {} programs, {} alarms: no mistakes (configuration {})",
                    site.display(),
                    s.tags.len(),
                    s.devices.len(),
                    s.programs.len(),
                    s.alarms.len(),
                    s.config_hash
                );
            }
            ExitCode::SUCCESS
        }
        Err(diagnostics) => {
            if json {
                say!("{}", diagnostics.to_json());
            } else {
                complain!("{diagnostics}");
            }
            ExitCode::FAILURE
        }
    }
}

fn schema(kind: Option<&str>) -> ExitCode {
    match kind {
        None => {
            for kind in crate::config::SCHEMA_KINDS {
                say!("{kind}");
            }
            ExitCode::SUCCESS
        }
        Some(kind) => match crate::config::schema(kind) {
            Some(schema) => {
                say!("{schema:#}");
                ExitCode::SUCCESS
            }
            None => {
                complain!("error: `{kind}` is no kind of file; there are: {}", crate::config::SCHEMA_KINDS.join(", "));
                ExitCode::from(2)
            }
        },
    }
}

fn test(path: &std::path::Path) -> ExitCode {
    let report = crate::cases::run_cases(path);
    say!("{report}");
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(args: RunArgs) -> Result<ExitCode, String> {
    let signalled = crate::signals::wait();
    let overrides = Overrides { device_address: args.devices.clone() };
    let (loaded, applied) = if args.applied {
        let choice = crate::change::applied::choose(&args.site, &args.state, &overrides)?;
        (choice.loaded, choice.applied)
    } else {
        (crate::config::load(&args.site, &overrides).map_err(|d| d.to_string())?, None)
    };
    // The supervisor has shown them already.
    if !loaded.warnings.is_empty() && !args.supervised {
        crate::log::complain(&loaded.warnings.to_string());
    }
    let run_for = args.run_for;
    let asked = async move {
        tokio::select! {
            () = signalled => {}
            () = elapsed(run_for) => {}
        }
    };
    if !args.unsupervised && !args.supervised {
        if let Some(applied) = &applied {
            applied.tell();
        }
        let RunArgs { site, state, hmi, devices, applied, .. } = args;
        let launch = Launch { site, state, hmi, devices, applied };
        return crate::supervise::run(launch, loaded, asked, |hmi| crate::log::say(&format!("open http://{hmi}")))
            .await;
    }
    let line = if args.supervised { Some(Line::on_stdin()?) } else { None };
    let options = Options { state_dir: args.state, hmi: args.hmi, supervisor: line.clone(), applied };
    let runtime = Runtime::start(loaded.site, options).await.map_err(|e| penstock_model::with_causes(&e))?;
    match &line {
        None => {
            crate::log::say(&format!("open http://{}", runtime.hmi_address()));
            asked.await;
        }
        Some(line) => {
            tokio::select! {
                () = asked => {}
                () = line.supervisor_gone() => {}
            }
            line.stopping();
        }
    }
    let summary = runtime.stop().await;
    crate::log::say(&summary.to_string());
    Ok(ExitCode::SUCCESS)
}
