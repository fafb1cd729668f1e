//! The driver alone under load, and how long a verified write takes beside it: a part of the bench `field`.
//!
//! `field_load <seconds> <floats per device> <period in ms> <port>...` polls every device, commands one output after the
//! other, each to a new value, and prints `row`, good values per second, processor in percent of a core, memory in MB,
//! writes, failed writes, and p50, p99 and longest time in ms from the command to "read back and equal".

use penstock_modbus::{
    Address, Area, ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, PointConfig, Quirks, WireType, WriteConfig,
};
use penstock_model::{
    Command, CommandId, DeviceId, LinkRecord, Origin, Outcome, OutcomeState, Quality, SampleSink, SystemClock, TagId,
    TagSample, Utc, Value, ValueType,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Where the output of each device is: registers that hold what was written.
const OUTPUT: u16 = 60_000;
/// Polls run for so long before anything counts.
const SETTLE: Duration = Duration::from_secs(3);
/// Silence between two writes.
const BETWEEN: Duration = Duration::from_millis(20);
/// A write that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(10);

struct Counts {
    good: AtomicU64,
    ended: mpsc::UnboundedSender<(CommandId, bool)>,
}

impl SampleSink for Counts {
    fn samples(&self, batch: &[TagSample]) {
        let good = batch.iter().filter(|s| s.sample.quality == Quality::Good).count();
        self.good.fetch_add(good as u64, Ordering::Relaxed);
    }
    fn outcome(&self, outcome: Outcome) {
        let held = match outcome.state {
            OutcomeState::ReadBack => true,
            OutcomeState::Failed(_) | OutcomeState::Superseded => false,
            _ => return,
        };
        // Nobody listens any more at the end.
        let _ = self.ended.send((outcome.id, held));
    }
    fn link(&self, _: LinkRecord) {}
}

fn point(tag: u32, pdu: u16, write: Option<WriteConfig>) -> PointConfig {
    PointConfig {
        tag: TagId(tag),
        path: format!("t{tag}").into(),
        address: Address { area: Area::Holding, pdu, bit: None },
        wire: WireType::Float32,
        order: ByteOrder::Abcd,
        scale: 1.0,
        offset: 0.0,
        value_type: ValueType::Float,
        range: None,
        group: 0,
        write,
        sunspec: None,
    }
}

fn device(number: u16, port: &str, floats: u16, every: Duration) -> DeviceConfig {
    let write = Some(WriteConfig { verify_within: Duration::from_secs(2), tolerance: 0.0, repeat: None });
    let base = u32::from(number) * 100_000;
    let mut points: Vec<PointConfig> = (0..floats).map(|i| point(base + u32::from(i), i * 2, None)).collect();
    points.push(point(base + 99_999, OUTPUT, write));
    DeviceConfig {
        id: DeviceId(number),
        name: format!("d{number}").into(),
        address: format!("127.0.0.1:{port}"),
        unit: 1,
        timeout: Duration::from_secs(2),
        groups: vec![GroupConfig { name: "all".into(), every }],
        points: points.into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: ChannelConfig::default(),
        quirks: Quirks::default(),
        sunspec: penstock_modbus::sunspec::Settings::default(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, floats, every, ports @ ..] = arguments.as_slice() else {
        return Err("field_load <seconds> <floats per device> <period in ms> <port>...".into());
    };
    let (seconds, floats) = (Duration::from_secs(seconds.parse()?), floats.parse::<u16>()?);
    let every = Duration::from_millis(every.parse()?);
    // As many threads as the runtime gives its drivers.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    threads.block_on(run(seconds, floats, every, ports))
}

async fn run(
    seconds: Duration,
    floats: u16,
    every: Duration,
    ports: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let counts = Arc::new(Counts { good: AtomicU64::new(0), ended });
    let clock = Arc::new(SystemClock::new());
    let (stop, stopped) = watch::channel(false);
    let (mut drivers, mut outputs) = (Vec::new(), Vec::new());
    for (number, port) in (0_u16..).zip(ports) {
        let (commands, receiver) = mpsc::channel(16);
        let config = device(number, port, floats, every);
        outputs.push((config.id, TagId(u32::from(number) * 100_000 + 99_999), commands));
        drivers.push(tokio::spawn(penstock_modbus::run(
            config,
            counts.clone(),
            receiver,
            clock.clone(),
            stopped.clone(),
        )));
    }
    tokio::time::sleep(SETTLE).await;
    let (good, cpu, begun) = (counts.good.load(Ordering::Relaxed), cpu_seconds(), Instant::now());
    let (mut took, mut failed) = (Vec::new(), 0_u64);
    for turn in 0_u64.. {
        if begun.elapsed() >= seconds {
            break;
        }
        let Some((device, tag, commands)) = outputs.get(turn as usize % outputs.len().max(1)) else { break };
        let id = CommandId(turn + 1);
        let command = Command {
            id,
            tag: *tag,
            device: *device,
            value: Some(Value::Float((turn % 10_000) as f64 + 0.5)),
            origin: Origin::Program("bench".into()),
            granted: Utc(0),
        };
        let at = Instant::now();
        commands.send(command).await?;
        let end = async {
            while let Some((ended, held)) = ends.recv().await {
                if ended == id {
                    return held;
                }
            }
            false
        };
        if tokio::time::timeout(LONGEST, end).await.unwrap_or(false) {
            took.push(at.elapsed().as_secs_f64() * 1e3);
        } else {
            failed += 1;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let wall = begun.elapsed().as_secs_f64();
    let values = (counts.good.load(Ordering::Relaxed) - good) as f64 / wall;
    let cpu = (cpu_seconds() - cpu) / wall * 100.0;
    took.sort_by(f64::total_cmp);
    let at =
        |share: f64| took.get(((took.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied().unwrap_or(0.0);
    println!(
        "row\t{values:.0}\t{cpu:.1}\t{:.0}\t{}\t{failed}\t{:.1}\t{:.1}\t{:.1}",
        memory_mb(),
        took.len(),
        at(0.5),
        at(0.99),
        took.last().copied().unwrap_or(0.0)
    );
    stop.send(true)?;
    for driver in drivers {
        driver.await?;
    }
    Ok(())
}

/// Processor time of this process so far; Linux counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // Behind the name and the state: user and system time are the 14th and 15th field of all.
    fields.get(10..12).map_or(0.0, |both| both.iter().sum::<f64>() / 100.0)
}

/// Memory that is in use now, MB of 10^6 bytes.
fn memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.split_whitespace().next()?.parse().ok());
    kib.map_or(0.0, |kib: f64| kib * 1_024.0 / 1e6)
}
