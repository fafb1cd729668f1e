//! `cargo xtask bench field`: the drivers under load, beside libmodbus, pymodbus and asyncua on the same devices.
//!
//! The devices are processes of their own (`register_bank`, `node_bank` of the simulators), whose share of the processor is
//! told apart. The product is the release binary on a generated site; what it reads is counted by the devices, not by it.

use crate::bench::said;
use crate::need;
use crate::proc::{Sample, sample};
use crate::steps::{Context, run};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Devices of every load.
const DEVICES: usize = 10;
/// How long each row is measured, where nobody says.
const SECONDS: u64 = 20;
/// How long a site polls before it is measured: its tags are loaded and every connection stands.
const SETTLE: Duration = Duration::from_secs(8);
/// How long an orderly stop may take.
const ORDERLY: Duration = Duration::from_secs(30);
/// The unit that is dead behind the second gateway.
const DEAD: &str = "7";
/// Least time for which a gateway is looked at.
const DEAD_SECONDS: u64 = 40;
/// Nodes that are subscribed, each changing ten times a second.
const NODES: &str = "2000";

/// The product, and the crates whose examples are the devices and the drivers alone.
const PACKAGES: &[&str] = &["penstock", "penstock-simulators", "penstock-modbus", "penstock-opcua"];
const EXAMPLES: &[&str] = &["register_bank", "node_bank", "field_load", "dead_unit", "notifications"];

/// One load on the product.
struct Load {
    floats: usize,
    every_ms: u64,
    logged: bool,
}

const LOADS: &[Load] = &[
    Load { floats: 1_000, every_ms: 1_000, logged: false },
    Load { floats: 5_000, every_ms: 1_000, logged: false },
    Load { floats: 10_000, every_ms: 1_000, logged: false },
    Load { floats: 1_000, every_ms: 100, logged: false },
    Load { floats: 10_000, every_ms: 1_000, logged: true },
];

/// Runs all of it and prints the tables.
pub fn field(context: &Context, words: &[&str]) -> Result<(), String> {
    let (development, seconds) = options(words)?;
    let build = Build { context, development };
    build.make()?;
    let python = need::peers(context)?;
    let mut bank = Bank::start(&build)?;
    if development {
        println!("\nthe development build: this tries the bench, its figures measure nothing");
    }
    println!("\nModbus TCP, floats of {DEVICES} devices, {seconds} s each; processor in percent of one core");
    println!("{}", row(&["load", "values/s", "cpu %", "memory MB", "devices' cpu %"]));
    for load in LOADS {
        let measured = product(&build, &mut bank, load, seconds)?;
        println!("{}", row(&measured.each_ref().map(String::as_str)));
    }
    peers(context, &mut bank, &python, seconds)?;
    writes(&build, &mut bank, seconds)?;
    dead_unit(&build, &bank, seconds)?;
    drop(bank);
    notifications(&build, &python, seconds)
}

/// `--seconds N` and `--debug`: whether the development build is taken, and the seconds of each row.
fn options(words: &[&str]) -> Result<(bool, u64), String> {
    match words {
        [] => Ok((false, SECONDS)),
        ["--debug", rest @ ..] => options(rest).map(|(_, seconds)| (true, seconds)),
        ["--seconds", n, rest @ ..] => match n.parse() {
            Ok(n @ 2..=3_600) => options(rest).map(|(development, _)| (development, n)),
            _ => Err(format!("`{n}` is no number of seconds from 2 to 3600")),
        },
        _ => Err("the bench `field` takes --seconds N, and --debug to try it with the development build".to_owned()),
    }
}

/// Where the programs are.
struct Build<'a> {
    context: &'a Context,
    development: bool,
}

impl Build<'_> {
    /// All in one call of cargo: package by package it would compile what they share once for each choice of features.
    fn make(&self) -> Result<(), String> {
        // The development build takes the features of the whole workspace, as the tests do: nothing is compiled twice.
        let mut arguments = vec!["build"];
        if self.development {
            arguments.push("--workspace");
        } else {
            arguments.push("--release");
            arguments.extend(PACKAGES.iter().flat_map(|name| ["-p", name]));
        }
        arguments.extend(["--bin", "penstock"]);
        arguments.extend(EXAMPLES.iter().flat_map(|name| ["--example", name]));
        self.context.cargo(&arguments)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.context.target().join(if self.development { "debug" } else { "release" }).join(name)
    }
}

fn row(cells: &[&str]) -> String {
    let mut out = format!("{:<44}", cells.first().unwrap_or(&""));
    cells.iter().skip(1).for_each(|cell| out.push_str(&format!(" {cell:>14}")));
    out
}

/// A process that ends with us.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Asked first, so that what it started ends before its folder is used again. It may have ended already.
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        let asked = Instant::now();
        while asked.elapsed() < ORDERLY && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The devices.
struct Bank {
    child: Kept,
    input: ChildStdin,
    output: std::io::Lines<BufReader<ChildStdout>>,
    ports: Vec<String>,
    /// Two gateways with twenty units each; the second one has a dead one.
    gateways: [String; 2],
}

impl Bank {
    fn start(build: &Build<'_>) -> Result<Bank, String> {
        let (child, input, output, ports) =
            started(Command::new(build.program("examples/register_bank")).arg(DEVICES.to_string()))?;
        match ports.as_slice() {
            [devices @ .., well, sick] if devices.len() == DEVICES => {
                let gateways = [well.clone(), sick.clone()];
                Ok(Bank { child, input, output, ports: devices.to_vec(), gateways })
            }
            _ => Err(format!("the devices listen on {} ports, not on {} and two", ports.len(), DEVICES)),
        }
    }

    /// Registers served so far.
    fn registers(&mut self) -> Result<f64, String> {
        writeln!(self.input).map_err(|e| format!("the devices have ended: {e}"))?;
        let line = self.output.next().and_then(Result::ok).unwrap_or_default();
        let count = line.strip_prefix("count ").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        count.ok_or_else(|| format!("the devices said `{line}`"))
    }

    fn sample(&self) -> Result<Sample, String> {
        sample(self.child.0.id())
    }
}

type Started = (Kept, ChildStdin, std::io::Lines<BufReader<ChildStdout>>, Vec<String>);

/// Starts a process that says `ready` and its ports.
fn started(command: &mut Command) -> Result<Started, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = Kept(child.map_err(|e| format!("{name} cannot be started: {e}"))?);
    let (Some(input), Some(output)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(format!("{name} has no input or output"));
    };
    let mut output = BufReader::new(output).lines();
    let ready = output.next().and_then(Result::ok).unwrap_or_default();
    let ports = ready.strip_prefix("ready ").ok_or_else(|| format!("{name} said `{ready}`"))?;
    let ports = ports.split(' ').map(str::to_owned).collect();
    Ok((child, input, output, ports))
}

/// The product on a site of this load: its row.
fn product(build: &Build<'_>, bank: &mut Bank, load: &Load, seconds: u64) -> Result<[String; 5], String> {
    let folder = build.context.target().join("bench-field");
    // What an earlier run left there must not stay.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let site = folder.join("site");
    write_site(&site, load, &bank.ports)?;
    let child = Command::new(build.program("penstock"))
        .arg("run")
        .arg(&site)
        .arg("--state")
        .arg(folder.join("state"))
        .args(["--hmi", "127.0.0.1:0"])
        .env("PENSTOCK_LOG", "error")
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Kept(child.map_err(|e| format!("penstock cannot be started: {e}"))?);
    let output = child.0.stdout.take().ok_or("penstock has no output")?;
    let mut lines = BufReader::new(output).lines();
    if !lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("open ")) {
        return Err("penstock did not come up".to_owned());
    }
    std::thread::sleep(SETTLE);
    let (ours, theirs, registers) = (sample(child.0.id())?, bank.sample()?, bank.registers()?);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let wall = begun.elapsed().as_secs_f64();
    let (ours_after, theirs_after) = (sample(child.0.id())?, bank.sample()?);
    let values = (bank.registers()? - registers) / 2.0 / wall;
    let what = if load.logged { ", each kept in history" } else { "" };
    Ok([
        format!("penstock, {} at {} ms{what}", load.floats * DEVICES, load.every_ms),
        format!("{values:.0}"),
        format!("{:.1}", ours_after.cpu_since(&ours, wall)),
        format!("{:.0}", ours_after.memory_mb),
        format!("{:.1}", theirs_after.cpu_since(&theirs, wall)),
    ])
}

/// Ten devices with so many points each.
fn write_site(site: &Path, load: &Load, ports: &[String]) -> Result<(), String> {
    let devices = site.join("devices");
    let failed = |e: std::io::Error| format!("{}: {e}", site.display());
    std::fs::create_dir_all(&devices).map_err(failed)?;
    let head = "site: bench\nname: Bench\ntime_zone: Asia/Shanghai\ntasks: { normal: 1s }\n";
    std::fs::write(site.join("site.yaml"), head).map_err(failed)?;
    for (number, port) in ports.iter().enumerate() {
        std::fs::write(devices.join(format!("d{number}.yaml")), device(number, port, load)).map_err(failed)?;
    }
    Ok(())
}

fn device(number: usize, port: &str, load: &Load) -> String {
    let mut text = format!(
        "device: d{number}\ndriver: modbus-tcp\naddress: 127.0.0.1:{port}\ngroups: {{ all: {{ every: {}ms }} }}\npoints:\n",
        load.every_ms
    );
    let log = if load.logged { "" } else { ", log: { keep: false }" };
    for point in 0..load.floats {
        text.push_str(&format!("  - {{ tag: d{number}/f{point}, at: HR{}, as: float32{log} }}\n", point * 2 + 1));
    }
    text
}

/// Loops of others over all registers of the largest load.
fn peers(context: &Context, bank: &mut Bank, python: &Path, seconds: u64) -> Result<(), String> {
    let floats = LOADS.iter().map(|load| load.floats).max().unwrap_or_default().to_string();
    let seconds = seconds.to_string();
    let arguments: Vec<&str> =
        [seconds.as_str(), &floats, "1000"].into_iter().chain(bank.ports.iter().map(String::as_str)).collect();
    let measured = |title: &str, command: &mut Command| -> Result<(), String> {
        let (before, begun) = (bank.sample()?, Instant::now());
        let text = said(command.args(&arguments))?;
        let devices = bank.sample()?.cpu_since(&before, begun.elapsed().as_secs_f64());
        let cells = figures(&text, 3)?;
        println!("{}", row(&[title, &cells[0], &cells[1], &cells[2], &format!("{devices:.1}")]));
        Ok(())
    };
    match libmodbus(context) {
        Ok(program) => measured("libmodbus, one loop, 100000 at 1000 ms", &mut Command::new(program))?,
        Err(why) => println!("libmodbus is left out: {why}"),
    }
    let script = context.root.join("xtask/bench/pymodbus_loop.py");
    measured("pymodbus, one loop, 100000 at 1000 ms", Command::new(python).arg(script))
}

/// The loop in C, built where a compiler and libmodbus are.
fn libmodbus(context: &Context) -> Result<PathBuf, String> {
    need::libmodbus()?;
    let program = context.target().join("bench-libmodbus-loop");
    let source = context.root.join("xtask/bench/libmodbus_loop.c");
    run(Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(source).arg("-lmodbus"))?;
    Ok(program)
}

/// The driver alone with the largest load, and verified writes beside it.
fn writes(build: &Build<'_>, bank: &mut Bank, seconds: u64) -> Result<(), String> {
    let mut command = Command::new(build.program("examples/field_load"));
    command.args([seconds.to_string(), "10000".to_owned(), "1000".to_owned()]).args(&bank.ports);
    let cells = figures(&said(&mut command)?, 8)?;
    println!("{}", row(&["driver alone, 100000 at 1000 ms", &cells[0], &cells[1], &cells[2]]));
    println!("\n{}", row(&["verified writes under that load", "writes", "failed", "p50 ms", "p99 ms", "max ms"]));
    println!(
        "{}",
        row(&["from the command to read back and equal", &cells[3], &cells[4], &cells[5], &cells[6], &cells[7]])
    );
    Ok(())
}

/// Twenty units on one gateway, all alive and with one of them dead.
fn dead_unit(build: &Build<'_>, bank: &Bank, seconds: u64) -> Result<(), String> {
    // Long enough for a few probes of the dead one.
    let seconds = seconds.max(DEAD_SECONDS).to_string();
    println!("\n{}", row(&["twenty units on one gateway, once a second", "mean age ms", "worst age ms"]));
    let mut ages = Vec::new();
    for (title, port) in ["all alive", "unit 7 dead"].iter().zip(&bank.gateways) {
        let mut command = Command::new(build.program("examples/dead_unit"));
        let cells = figures(&said(command.args([port.as_str(), &seconds, DEAD]))?, 2)?;
        println!("{}", row(&[title, &cells[0], &cells[1]]));
        ages.extend(cells[0].parse::<f64>());
    }
    if let [alive, dead] = ages[..] {
        println!("{}", row(&["the others' poll age changes by", &format!("{:+.1} %", (dead / alive - 1.0) * 100.0)]));
    }
    Ok(())
}

/// The same subscriptions by our driver and by asyncua.
fn notifications(build: &Build<'_>, python: &Path, seconds: u64) -> Result<(), String> {
    let (server, _input, _output, ports) = started(Command::new(build.program("examples/node_bank")).arg(NODES))?;
    let endpoint = format!("opc.tcp://127.0.0.1:{}/", ports.first().ok_or("the server names no port")?);
    let seconds = seconds.to_string();
    println!("\nOPC UA, {NODES} nodes, each changing every 100 ms");
    println!("{}", row(&["client", "notif./s", "cpu %", "server's cpu %"]));
    let script = build.context.root.join("xtask/bench/asyncua_notifications.py");
    let mut theirs = Command::new(python);
    theirs.arg(script);
    let mut ours = Command::new(build.program("examples/notifications"));
    for (title, command) in [("penstock's driver", &mut ours), ("asyncua", &mut theirs)] {
        let (before, begun) = (sample(server.0.id())?, Instant::now());
        let text = said(command.args([endpoint.as_str(), NODES, &seconds]))?;
        let cpu = sample(server.0.id())?.cpu_since(&before, begun.elapsed().as_secs_f64());
        let cells = figures(&text, 2)?;
        println!("{}", row(&[title, &cells[0], &cells[1], &format!("{cpu:.1}")]));
    }
    Ok(())
}

/// The figures of the last line `row` with so many of them.
fn figures(text: &str, count: usize) -> Result<Vec<String>, String> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("row\t"));
    let cells: Vec<String> = line.unwrap_or_default().split('\t').map(str::to_owned).collect();
    let numbers = cells.iter().all(|cell| cell.parse::<f64>().is_ok_and(f64::is_finite));
    if cells.len() == count && numbers { Ok(cells) } else { Err(format!("it printed no {count} figures: `{text}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_taken_whole_or_refused() {
        assert_eq!(figures("x\nrow\t1\t2.5\n", 2).unwrap(), ["1", "2.5"]);
        for wrong in ["", "row\t1\n", "row\t1\tNaN\n", "row\ta\tb\n", "1\t2\n"] {
            assert!(figures(wrong, 2).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_site_has_the_points_of_its_load() {
        let load = Load { floats: 3, every_ms: 100, logged: false };
        let text = device(7, "5020", &load);
        assert_eq!(text.matches("- {").count(), 3);
        assert!(text.contains("tag: d7/f2, at: HR5, as: float32, log: { keep: false }"), "{text}");
        assert!(text.contains("every: 100ms"));
    }

    #[test]
    fn options_are_understood_or_refused() {
        assert_eq!((options(&[]), options(&["--seconds", "5"])), (Ok((false, SECONDS)), Ok((false, 5))));
        assert_eq!(options(&["--seconds", "5", "--debug"]), Ok((true, 5)));
        assert_eq!(options(&["--debug", "--seconds", "5"]), Ok((true, 5)));
        for wrong in [&["--seconds", "1"][..], &["--seconds"], &["5"]] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }
}
