//! One run of the runtime's process, seen by its supervisor: what it says, and how it ends.

use super::Launch;
use super::child::Said;
use super::failsafe::Writers;
use super::running::Running;
use crate::config::SupervisorSettings;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

/// The runtime must take over within this time of its start: the largest history opens faster.
const START_MAX: Duration = Duration::from_secs(120);
/// An orderly stop ends within this time: the drivers' last writes and the historian's last commit.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Periods without a scan after which a task hangs, if that is longer than the site's own limit.
const HANG_PERIODS: u32 = 10;

/// How a run ended.
pub enum End {
    /// As somebody asked.
    Ordered,
    /// It ended by itself before it touched the plant, with this code. Its own message says why.
    NeverStarted(u8),
    /// It did not end when it was asked to and was killed.
    Stuck(String),
    /// It crashed or was killed as hanging.
    Died(String),
}

/// The child and our end of the line to it.
pub struct Watched {
    child: Child,
    lines: Lines<BufReader<OwnedReadHalf>>,
    line_open: bool,
    answer: OwnedWriteHalf,
    first: bool,
    started: Instant,
    took_over: Option<Instant>,
    heard: Instant,
    stopping: bool,
}

impl Watched {
    /// Starts the runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn(launch: &Launch, first: bool, applied: bool) -> Result<Watched, String> {
        let refused = |what: &str, e: std::io::Error| format!("the runtime cannot be started: {what}: {e}");
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|e| refused("its line", e))?;
        ours.set_nonblocking(true).map_err(|e| refused("its line", e))?;
        let binary = std::env::current_exe().map_err(|e| refused("this program", e))?;
        let mut command = Command::new(binary);
        command.arg("run").arg(&launch.site).arg("--supervised").arg("--state").arg(&launch.state);
        command.arg("--hmi").arg(launch.hmi.to_string());
        for (device, address) in &launch.devices {
            command.arg(format!("--device={device}={address}"));
        }
        if applied {
            command.arg("--applied");
        }
        super::heap::of_runtime(&mut command);
        if !first {
            // A test's request to die holds for one run.
            command.env_remove(super::child::DIE_IN);
        }
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().map_err(|e| refused("its process", e))?;
        let (read, answer) = UnixStream::from_std(ours).map_err(|e| refused("its line", e))?.into_split();
        let lines = BufReader::new(read).lines();
        let now = Instant::now();
        Ok(Watched {
            child,
            lines,
            line_open: true,
            answer,
            first,
            started: now,
            took_over: None,
            heard: now,
            stopping: false,
        })
    }

    /// Watches until it ends; how, and for how long it owned the outputs, if it ever did.
    pub async fn watch(
        &mut self,
        launch: &mut Launch,
        running: &mut Running,
        writers: &mut Option<Writers>,
        stop: Pin<&mut impl Future<Output = ()>>,
        ready: &mut dyn FnMut(SocketAddr),
    ) -> (End, Option<Duration>) {
        let end = self.follow(launch, running, writers, stop, ready).await;
        (end, self.took_over.map(|at| at.elapsed()))
    }

    async fn follow(
        &mut self,
        launch: &mut Launch,
        running: &mut Running,
        writers: &mut Option<Writers>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        ready: &mut dyn FnMut(SocketAddr),
    ) -> End {
        let mut asked: Option<Instant> = None;
        loop {
            let look = Duration::from_millis(100);
            tokio::select! {
                // What it has said counts before how long it has been silent: this process may itself come late.
                biased;
                line = self.lines.next_line(), if self.line_open => match line {
                    Ok(Some(line)) => {
                        if let Some(why) = self.hear(&line, launch, running, writers, ready).await {
                            return self.kill(why).await;
                        }
                    }
                    _ => self.line_open = false,
                },
                () = running.take() => {}
                status = self.child.wait() => return self.ended(status, asked.is_some()),
                () = stop.as_mut(), if asked.is_none() => {
                    asked = Some(Instant::now());
                    self.stopping = true;
                    self.ask_to_end();
                }
                () = tokio::time::sleep(look) => {}
            }
            if asked.is_some_and(|at| at.elapsed() > STOP_MAX) {
                let why = format!("the runtime did not end within {STOP_MAX:?} of being asked to");
                self.kill(why.clone()).await;
                return End::Stuck(why);
            }
            if let Some(why) = self.silent(&running.settings) {
                return self.kill(why).await;
            }
        }
    }

    fn ask_to_end(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        {
            tracing::warn!(%error, "the runtime could not be asked to end");
        }
    }

    /// Takes a line of the runtime; why it hangs, where it says so.
    async fn hear(
        &mut self,
        line: &str,
        launch: &mut Launch,
        running: &mut Running,
        writers: &mut Option<Writers>,
        ready: &mut dyn FnMut(SocketAddr),
    ) -> Option<String> {
        self.heard = Instant::now();
        match Said::parse(line)? {
            Said::TakeOver => {
                if let Some(writers) = writers.take() {
                    writers.end();
                }
                self.took_over = Some(Instant::now());
                // A runtime that is gone meanwhile is noticed by its end.
                let _ = self.answer.write_all(b"go\n").await;
            }
            Said::Ready(address) => {
                // A port that the system chose stays the same over a restart: screens find the runtime again.
                launch.hmi = address;
                ready(address);
            }
            Said::Runs(number) => running.heard(launch, number),
            Said::Stopping => self.stopping = true,
            Said::Scans(tasks) if !self.stopping => {
                let owned = self.took_over.map_or(Duration::ZERO, |at| at.elapsed());
                let hangs = |(_, period, silence): &&(String, Duration, Option<Duration>)| {
                    silence.unwrap_or(owned) > (*period * HANG_PERIODS).max(running.settings.hang)
                };
                if let Some((name, _, silence)) = tasks.iter().find(hangs) {
                    return Some(format!("task `{name}` has not scanned for {:.1?}", silence.unwrap_or(owned)));
                }
            }
            Said::Scans(_) => {}
        }
        None
    }

    /// Why its silence shows that it hangs.
    fn silent(&self, settings: &SupervisorSettings) -> Option<String> {
        if self.stopping {
            return None;
        }
        match self.took_over {
            None if self.started.elapsed() > START_MAX => {
                Some(format!("the runtime did not come up within {START_MAX:?}"))
            }
            Some(_) if self.heard.elapsed() > settings.hang => {
                Some(format!("the runtime has said nothing for {:?}", settings.hang))
            }
            _ => None,
        }
    }

    async fn kill(&mut self, why: String) -> End {
        tracing::error!(%why, "the runtime hangs and is killed");
        if let Err(error) = self.child.kill().await {
            tracing::error!(%error, "the runtime could not be killed");
        }
        End::Died(format!("{why}; it was killed"))
    }

    fn ended(&self, status: std::io::Result<ExitStatus>, asked: bool) -> End {
        let status = match status {
            Ok(status) => status,
            Err(error) => return End::Died(format!("its end could not be learned: {error}")),
        };
        match status.code() {
            Some(0) => End::Ordered,
            Some(code) if self.first && self.took_over.is_none() => {
                End::NeverStarted(u8::try_from(code).unwrap_or(1).max(1))
            }
            Some(code) if asked => {
                tracing::error!(code, "the runtime ended while stopping");
                End::Stuck(format!("the runtime ended with code {code} while stopping"))
            }
            Some(code) => End::Died(format!("the runtime ended with code {code}")),
            None => {
                let signal = status.signal().map_or_else(|| "a signal".to_owned(), signal_name);
                let why = format!("the runtime was ended by {signal}");
                if asked { End::Stuck(why) } else { End::Died(why) }
            }
        }
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    format!("{name} (signal {number})")
}
