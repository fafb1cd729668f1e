//! The runtime's end of the line to its supervisor: its standard input, a socket that carries lines both ways.
//!
//! The runtime says `take over` before it touches a device and waits for `go`, then how long each task has gone without
//! a scan, ten times a second. When the line ends the supervisor is gone: the runtime then stops in order, because
//! nobody would act if it died.

use penstock_engine::Engine;
use penstock_model::Clock;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Environment variable that makes a debug build kill itself in a scan: `<task>:<phase>:<scan>`, for tests.
pub const DIE_IN: &str = "PENSTOCK_DIE_IN";
/// How often the runtime says how its scans go.
const SAY_EVERY: Duration = Duration::from_millis(100);
/// How long the supervisor may take to stop its own writers.
const GO_WAIT: Duration = Duration::from_secs(5);

/// What the runtime says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It asks for the outputs.
    TakeOver,
    /// It is up, with its HMI at this address.
    Ready(SocketAddr),
    /// Name, period, and how long without a scan; `None` before the first.
    Scans(Vec<(String, Duration, Option<Duration>)>),
    /// The number of the configuration that runs, in the history of the state folder.
    Runs(u32),
    /// It ends in order.
    Stopping,
}

impl Said {
    fn text(&self) -> String {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let json = match self {
            Self::TakeOver => json!("take over"),
            Self::Stopping => json!("stopping"),
            Self::Ready(address) => json!({"ready": address.to_string()}),
            Self::Runs(number) => json!({ "runs": number }),
            Self::Scans(tasks) => {
                let rows: Vec<Json> = tasks.iter().map(|(n, p, s)| json!([n, ms(*p), s.map(ms)])).collect();
                json!({ "scans": rows })
            }
        };
        format!("{json}\n")
    }

    /// A line; `None` where it is none of ours.
    #[must_use]
    pub fn parse(line: &str) -> Option<Said> {
        let json: Json = serde_json::from_str(line).ok()?;
        match &json {
            Json::String(word) if word == "take over" => return Some(Self::TakeOver),
            Json::String(word) if word == "stopping" => return Some(Self::Stopping),
            _ => {}
        }
        if let Some(address) = json["ready"].as_str() {
            return address.parse().ok().map(Self::Ready);
        }
        if let Some(number) = json["runs"].as_u64() {
            return u32::try_from(number).ok().map(Self::Runs);
        }
        let rows = json["scans"].as_array()?.iter().map(|row| {
            let silence = row[2].as_u64().map(Duration::from_millis);
            Some((row[0].as_str()?.to_owned(), Duration::from_millis(row[1].as_u64()?), silence))
        });
        rows.collect::<Option<Vec<_>>>().map(Self::Scans)
    }
}

/// The line to the supervisor.
#[derive(Debug, Clone)]
pub struct Line {
    stream: Arc<UnixStream>,
    gone: Arc<Notify>,
    ended: Arc<AtomicBool>,
    /// Number of the configuration that runs; 0 where it could not be kept.
    runs: Arc<AtomicU32>,
}

impl Line {
    /// The line on standard input, where the supervisor put it.
    ///
    /// # Errors
    /// When standard input is no socket: somebody else started the runtime this way.
    pub fn on_stdin() -> Result<Line, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("--supervised is for the supervisor's own use: {e}");
        let fd = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| wrong(&e))?;
        let stream = UnixStream::from(fd);
        stream.peer_addr().map_err(|e| wrong(&e))?;
        stream.set_write_timeout(Some(Duration::from_secs(1))).map_err(|e| wrong(&e))?;
        Ok(Line { stream: Arc::new(stream), gone: Arc::default(), ended: Arc::default(), runs: Arc::default() })
    }

    fn say(&self, said: &Said) -> bool {
        (&*self.stream).write_all(said.text().as_bytes()).is_ok()
    }

    /// Asks for the outputs and waits until the supervisor has let go of them. Without an answer the runtime goes on:
    /// a supervisor that is gone writes nothing either.
    pub fn take_over(&self) {
        if !self.say(&Said::TakeOver) {
            return;
        }
        let waited = self.stream.set_read_timeout(Some(GO_WAIT));
        let mut answer = String::new();
        let got = waited.and_then(|()| BufReader::new(&*self.stream).read_line(&mut answer));
        if !matches!(got, Ok(n) if n > 0) {
            tracing::warn!("the supervisor did not answer; the runtime goes on");
        }
        if let Err(error) = self.stream.set_read_timeout(None) {
            tracing::warn!(%error, "the line to the supervisor");
        }
    }

    /// Notes which configuration of the history runs; it is said within a tenth of a second.
    pub fn runs(&self, number: u32) {
        self.runs.store(number, Ordering::SeqCst);
    }

    /// Begins to say how the scans go, and to listen for the end of the line.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn follow(&self, engine: Engine, clock: Arc<dyn Clock>, address: SocketAddr) -> std::io::Result<()> {
        self.say(&Said::Ready(address));
        let line = self.clone();
        std::thread::Builder::new().name("supervised".into()).spawn(move || {
            let mut told = 0;
            while !line.ended.load(Ordering::SeqCst) {
                let runs = line.runs.load(Ordering::SeqCst);
                if runs != told && line.say(&Said::Runs(runs)) {
                    told = runs;
                }
                let silence = engine.silence(clock.now().mono);
                let tasks = engine.tasks().into_iter().zip(silence);
                let said = Said::Scans(tasks.map(|(t, s)| (t.name.to_string(), t.period, s)).collect());
                line.say(&said);
                std::thread::sleep(SAY_EVERY);
            }
        })?;
        let line = self.clone();
        std::thread::Builder::new().name("supervisor-line".into()).spawn(move || {
            let mut lines = BufReader::new(&*line.stream).lines();
            while let Some(Ok(_)) = lines.next() {}
            line.gone.notify_one();
        })?;
        Ok(())
    }

    /// Returns when the supervisor is gone.
    pub async fn supervisor_gone(&self) {
        self.gone.notified().await;
        tracing::error!("the supervisor is gone: the runtime stops in order, because nobody would act if it died");
    }

    /// Says that the runtime ends in order.
    pub fn stopping(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.say(&Said::Stopping);
    }
}

/// Makes the task named by [`DIE_IN`] kill this process in the phase of the scan it says.
#[cfg(debug_assertions)]
pub fn arm(cores: &mut [penstock_engine::TaskCore]) {
    let Ok(text) = std::env::var(DIE_IN) else { return };
    let parts: Vec<&str> = text.split(':').collect();
    let [task, phase, scan] = parts[..] else { return };
    let (phase, scan) = (phase.to_owned(), scan.parse::<u64>().unwrap_or(0));
    if let Some(core) = cores.iter_mut().find(|c| c.name() == task) {
        core.set_probe(Box::new(move |reached, scans| {
            if scans >= scan && format!("{reached:?}").to_lowercase() == phase {
                // As kill -9 does it: no handler runs, no destructor, no flush.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let all = [
            Said::TakeOver,
            Said::Stopping,
            Said::Runs(41),
            Said::Ready("127.0.0.1:8080".parse().unwrap()),
            Said::Scans(vec![
                ("fast".into(), Duration::from_millis(100), Some(Duration::from_millis(7))),
                ("slow".into(), Duration::from_secs(10), None),
            ]),
        ];
        for said in all {
            assert_eq!(Said::parse(said.text().trim()), Some(said));
        }
        for noise in ["", "hello", "{}", "{\"scans\": [[1]]}", "{\"ready\": \"here\"}", "[]"] {
            assert_eq!(Said::parse(noise), None, "{noise}");
        }
    }
}
