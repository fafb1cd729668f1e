//! One point of an OPC UA server: the driver runs with that point alone until its value has come, or until it has said what
//! became of a write.

use super::place::OpcUaPlace;
use super::read::{ms, value_json};
use penstock_model::{
    BadReason, Command, CommandId, LinkRecord, LinkState, Origin, Outcome, OutcomeState, Quality, Sample, SampleSink,
    SystemClock, TagSample, Utc, Value,
};
use penstock_opcua::DeviceConfig;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

/// What the driver delivered.
#[derive(Default)]
struct Heard {
    news: Mutex<News>,
    changed: Notify,
}

#[derive(Default, Clone)]
struct News {
    sample: Option<Sample>,
    link: Option<LinkRecord>,
    outcomes: Vec<OutcomeState>,
}

impl Heard {
    fn note(&self, f: impl FnOnce(&mut News)) {
        f(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn news(&self) -> News {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SampleSink for Heard {
    fn samples(&self, batch: &[TagSample]) {
        if let Some(last) = batch.last() {
            self.note(|news| news.sample = Some(last.sample.clone()));
        }
    }
    fn outcome(&self, outcome: Outcome) {
        self.note(|news| news.outcomes.push(outcome.state));
    }
    fn link(&self, link: LinkRecord) {
        self.note(|news| news.link = Some(link));
    }
}

/// Waits until the news satisfies `done`, the link has failed, or the time is over; then ends the driver.
async fn drive(
    config: DeviceConfig,
    command: Option<Command>,
    limit: Duration,
    done: impl Fn(&News) -> bool,
) -> Result<News, String> {
    let (name, endpoint) = (config.name.clone(), config.endpoint.clone());
    let heard = Arc::new(Heard::default());
    let (commands, receiver) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    if let Some(command) = command {
        // There is room for one, and it is the only one.
        let _ = commands.try_send(command);
    }
    let clock = Arc::new(SystemClock::new());
    let driver = tokio::spawn(penstock_opcua::run(config, heard.clone(), receiver, clock, stopped));
    let ended = |news: &News| done(news) || news.link.as_ref().is_some_and(|l| l.state == LinkState::Down);
    let wait = async {
        loop {
            let news = heard.news();
            if ended(&news) {
                return news;
            }
            heard.changed.notified().await;
        }
    };
    let news = tokio::time::timeout(limit, wait).await;
    // An error means that the driver has ended by itself.
    let _ = stop.send(true);
    // It closes the session, so that the server does not keep it.
    let _ = tokio::time::timeout(limit, driver).await;
    let who = format!("device `{name}` (opcua {endpoint})");
    match news {
        Err(_) => {
            Err(format!("{who}: nothing came within {limit:?}: does the server publish, and may we read the node?"))
        }
        Ok(news) if done(&news) => Ok(news),
        Ok(news) => {
            let why = news.link.map_or(String::new(), |l| l.reason.to_string());
            Err(format!("{who}: {why}"))
        }
    }
}

/// How long a session may take to be opened, asked and answered.
fn limit(config: &DeviceConfig) -> Duration {
    let slowest = config.groups.iter().map(|g| g.publish).max().unwrap_or_default();
    config.timeout * 8 + slowest * 3
}

/// The value of the point, read as a site would have it although the point be one that is written.
async fn sample(place: &OpcUaPlace) -> Result<(Sample, Duration), String> {
    let mut config = place.config.clone();
    config.points.iter_mut().for_each(|point| point.write = None);
    let limit = limit(&config);
    let begun = Instant::now();
    // A server that has just begun to look at the node says so first: that is not what was asked for.
    let initial = Quality::Bad(BadReason::Initial);
    let has_come = |news: &News| news.sample.as_ref().is_some_and(|s| s.quality != initial);
    let news = drive(config, None, limit, has_come).await?;
    let sample = news.sample.ok_or("the server sent no value")?;
    Ok((sample, begun.elapsed()))
}

/// `penstock point read` of an OPC UA tag.
///
/// # Errors
/// In words for a person.
pub async fn read(place: &OpcUaPlace, as_json: bool) -> Result<(), String> {
    let (sample, took) = sample(place).await?;
    if as_json {
        say!(
            "{:#}",
            json!({
                "tag": &*place.tag.path,
                "device": &*place.config.name,
                "address": place.config.endpoint,
                "node": place.config.points.first().map(|p| p.node.as_str()),
                "value": sample.value.as_ref().map(value_json),
                "quality": sample.quality.to_string(),
                "unit": place.tag.unit.to_string(),
                "source_time": time(sample.source_time),
                "took_ms": took.as_secs_f64() * 1e3,
            })
        );
    } else {
        say!("{}", text(place, &sample, took));
    }
    match sample.quality {
        Quality::Bad(reason) => {
            Err(format!("`{}` is bad ({reason}); PENSTOCK_LOG=warn tells the server's own code", place.tag.path))
        }
        _ => Ok(()),
    }
}

fn text(place: &OpcUaPlace, sample: &Sample, took: Duration) -> String {
    let value = sample.value.as_ref().map_or("no value".to_owned(), |v| format!("{v} {}", place.tag.unit));
    let node = place.config.points.first().map_or("", |p| p.node.as_str());
    format!(
        "{} = {} ({})\n  device      {} (opcua {})\n  node        {node}\n  source time {}\n  took        {}, session and subscription included",
        place.tag.path,
        value.trim_end(),
        sample.quality,
        place.config.name,
        place.config.endpoint,
        time(sample.source_time),
        ms(took)
    )
}

fn time(at: Utc) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map_or_else(|_| "?".to_owned(), |t| t.to_string())
}

/// `penstock point write` of an OPC UA tag: reads, asks, writes through the driver, which reads back.
///
/// # Errors
/// In words for a person; also where the server holds something else afterwards.
pub async fn write(
    place: &OpcUaPlace,
    value: Value,
    confirm: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    match sample(place).await {
        Ok((sample, took)) => say!("{}", text(place, &sample, took)),
        Err(why) => say!("{} cannot be read before it is written: {why}", place.tag.path),
    }
    say!("  to write    {value} {}", place.tag.unit);
    confirm()?;
    let mut config = place.config.clone();
    for point in &mut config.points {
        // What no output declares is held against what was written, at once and exactly.
        let rule = penstock_opcua::WriteConfig { verify_within: Duration::from_secs(2), tolerance: 0.0 };
        point.write = Some(point.write.unwrap_or(rule));
    }
    let verify = config.points.iter().filter_map(|p| p.write).map(|w| w.verify_within).max().unwrap_or_default();
    let limit = limit(&config) + verify;
    let command = Command {
        id: CommandId(1),
        tag: place.tag.id,
        device: config.id,
        value: Some(value.clone()),
        origin: Origin::Program("commissioning".into()),
        granted: Utc(0),
    };
    let over = |state: &OutcomeState| matches!(state, OutcomeState::ReadBack | OutcomeState::Failed(_));
    let news = drive(config, Some(command), limit, |news| news.outcomes.last().is_some_and(over)).await?;
    match news.outcomes.last() {
        Some(OutcomeState::ReadBack) => {
            say!("equal: the server holds what was written");
            Ok(())
        }
        Some(OutcomeState::Failed(why)) => Err(format!("NOT written, or not held: {why}")),
        _ => Err("it is not known what became of the write: read the point".to_owned()),
    }
}
