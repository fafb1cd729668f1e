//! How many notifications a second the driver takes: a part of the bench `field`.
//!
//! `notifications <endpoint> <nodes> <seconds>` subscribes N0, N1 and so on at 100 ms and prints `row`, changed values per
//! second, and processor in percent of a core.

use penstock_model::{DeviceId, LinkRecord, Outcome, SampleSink, SystemClock, TagId, TagSample, Value, ValueType};
use penstock_opcua::{DeviceConfig, GroupConfig, Identity, Part, PointConfig, Security};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Values come for so long before anything counts.
const SETTLE: Duration = Duration::from_secs(5);

/// A publish delivers every tag; only what has changed came as a notification.
struct Counts {
    changed: AtomicU64,
    last: Mutex<Vec<Option<Value>>>,
}

impl SampleSink for Counts {
    fn samples(&self, batch: &[TagSample]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = 0;
        for TagSample { tag, sample } in batch {
            if let Some(before) = last.get_mut(tag.index())
                && *before != sample.value
            {
                before.clone_from(&sample.value);
                changed += 1;
            }
        }
        self.changed.fetch_add(changed, Ordering::Relaxed);
    }
    fn outcome(&self, _: Outcome) {}
    fn link(&self, _: LinkRecord) {}
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, nodes, seconds] = arguments.as_slice() else {
        return Err("notifications <endpoint> <nodes> <seconds>".into());
    };
    let (nodes, seconds) = (nodes.parse::<u32>()?, Duration::from_secs(seconds.parse()?));
    let point = |n: u32| PointConfig {
        tag: TagId(n),
        path: format!("n{n}").into(),
        node: format!("nsu=urn:penstock:bench;s=N{n}"),
        part: Part::default(),
        value_type: ValueType::Float,
        scale: 1.0,
        offset: 0.0,
        range: None,
        group: 0,
        write: None,
    };
    let config = DeviceConfig {
        id: DeviceId(0),
        name: "bench".into(),
        endpoint: endpoint.clone(),
        security: Security::None,
        exceptions: Vec::new(),
        identity: Identity::Anonymous,
        timeout: Duration::from_secs(10),
        groups: vec![GroupConfig::every("all", Duration::from_millis(100))],
        points: (0..nodes).map(point).collect(),
        pki_dir: std::env::temp_dir().join(format!("penstock-bench-pki-{}", std::process::id())),
        certificate_tag: None,
    };
    let counts = Arc::new(Counts { changed: AtomicU64::new(0), last: Mutex::new(vec![None; nodes as usize]) });
    let (_, receiver) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let driver =
        tokio::spawn(penstock_opcua::run(config, counts.clone(), receiver, Arc::new(SystemClock::new()), stopped));
    tokio::time::sleep(SETTLE).await;
    let (changed, cpu, begun) = (counts.changed.load(Ordering::Relaxed), cpu_seconds(), Instant::now());
    tokio::time::sleep(seconds).await;
    let wall = begun.elapsed().as_secs_f64();
    let per_second = (counts.changed.load(Ordering::Relaxed) - changed) as f64 / wall;
    println!("row\t{per_second:.0}\t{:.1}", (cpu_seconds() - cpu) / wall * 100.0);
    stop.send(true)?;
    driver.await?;
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
