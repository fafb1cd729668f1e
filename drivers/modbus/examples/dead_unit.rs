//! What a dead unit among twenty on one gateway costs the others: a part of the bench `field`.
//!
//! `dead_unit <port> <seconds> <unit left out>` polls units 1 to 20 once a second and prints `row`, the mean poll age of the
//! units but the one left out, and the worst of them, in ms: what a clock that looks at random would find.

use penstock_modbus::{
    Address, Area, ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, Member, PointConfig, Quirks, WireType,
    run_channel,
};
use penstock_model::{DeviceId, LinkRecord, Outcome, Quality, SampleSink, SystemClock, TagId, TagSample, ValueType};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Units on the gateway.
const UNITS: std::ops::RangeInclusive<u8> = 1..=20;

/// When each unit's tag had a good sample.
#[derive(Default)]
struct Heard(Mutex<HashMap<TagId, Vec<Instant>>>);

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sample in batch.iter().filter(|s| s.sample.quality == Quality::Good) {
            heard.entry(sample.tag).or_default().push(Instant::now());
        }
    }
    fn outcome(&self, _: Outcome) {}
    fn link(&self, _: LinkRecord) {}
}

fn unit(unit: u8, port: &str, channel: &ChannelConfig) -> DeviceConfig {
    DeviceConfig {
        id: DeviceId(unit.into()),
        name: format!("u{unit}").into(),
        address: format!("127.0.0.1:{port}"),
        unit,
        timeout: Duration::from_millis(500),
        groups: vec![GroupConfig { name: "all".into(), every: Duration::from_secs(1) }],
        points: vec![PointConfig {
            tag: TagId(unit.into()),
            path: format!("u{unit}/value").into(),
            address: Address { area: Area::Holding, pdu: 0, bit: None },
            wire: WireType::Float32,
            order: ByteOrder::Abcd,
            scale: 1.0,
            offset: 0.0,
            value_type: ValueType::Float,
            range: None,
            group: 0,
            write: None,
            sunspec: None,
        }]
        .into(),
        registers_max: 125,
        bits_max: 2_000,
        gap_max: 8,
        heartbeat: None,
        pause_after_connect: Duration::ZERO,
        channel: channel.clone(),
        quirks: Quirks::default(),
        sunspec: penstock_modbus::sunspec::Settings::default(),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, seconds, left_out] = arguments.as_slice() else {
        return Err("dead_unit <port> <seconds> <unit left out>".into());
    };
    let (seconds, left_out) = (Duration::from_secs(seconds.parse()?), left_out.parse::<u32>()?);
    let channel = ChannelConfig { name: Some("gateway".into()), ..ChannelConfig::default() };
    let heard = Arc::new(Heard::default());
    let (stop, stopped) = watch::channel(false);
    let members = UNITS.map(|number| Member { config: unit(number, port, &channel), commands: mpsc::channel(1).1 });
    let driver = tokio::spawn(run_channel(members.collect(), heard.clone(), Arc::new(SystemClock::new()), stopped));
    tokio::time::sleep(seconds).await;
    stop.send(true)?;
    driver.await?;
    let heard = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    let ages: Vec<f64> =
        heard.iter().filter(|(tag, _)| tag.0 != left_out).filter_map(|(_, times)| age_ms(times)).collect();
    if ages.len() + 1 != UNITS.count() {
        return Err(format!("{} units answered", ages.len()).into());
    }
    let mean = ages.iter().sum::<f64>() / ages.len() as f64;
    println!("row\t{mean:.1}\t{:.1}", ages.iter().copied().fold(0.0, f64::max));
    Ok(())
}

/// Mean age of a value over time; `None` where there were too few.
fn age_ms(times: &[Instant]) -> Option<f64> {
    let gaps: Vec<f64> = times.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    let sum: f64 = gaps.iter().sum();
    (sum > 0.0).then(|| gaps.iter().map(|gap| gap * gap).sum::<f64>() / (2.0 * sum) * 1e3)
}
