//! A device on a serial line: Modbus RTU over a pseudo-terminal whose other end clients open like an RS-485 adapter.
//!
//! The simulator holds the controlling end and keeps the far end open as well, so that clients may come and go. Bytes
//! pass at once through a pseudo-terminal; the time they would take on the wire is waited out before the answer.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::modbus::{Units, garbage};
use super::rtu::{Decoder, Request, crc, frame};
use crate::faults::LinkState;
use crate::rng::Rng;

/// Silence that ends a frame at least, whatever the speed: a busy host delivers pieces of one write apart.
const SILENCE_MIN: Duration = Duration::from_millis(10);
/// A client that does not take its answers loses them after this.
const WRITE_WAIT: Duration = Duration::from_secs(1);
/// Wait before the next attempt to open a terminal again.
const RETRY: Duration = Duration::from_millis(200);
/// Bytes read at a time.
const CHUNK: usize = 512;

/// Parity of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even number of ones.
    Even,
    /// Odd number of ones.
    Odd,
}

/// How characters go over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSettings {
    /// Bits per second, 300 to 921 600.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
}

impl Default for LineSettings {
    fn default() -> LineSettings {
        LineSettings { baud: 9600, parity: Parity::None, stop_bits: 1 }
    }
}

impl LineSettings {
    /// Time one character takes: start bit, eight data bits, parity, stop bits.
    #[must_use]
    pub fn character(&self) -> Duration {
        let bits = 9 + u32::from(self.parity != Parity::None) + u32::from(self.stop_bits);
        Duration::from_secs_f64(f64::from(bits) / f64::from(self.baud))
    }

    /// Silence between frames: 3.5 characters, from 19 200 bits per second on 1.75 ms (Modbus over Serial Line V1.02).
    #[must_use]
    pub fn gap(&self) -> Duration {
        if self.baud > 19_200 { Duration::from_micros(1750) } else { self.character().mul_f64(3.5) }
    }
}

/// A device on a serial line, as `power_meters=/tmp/meters,9600,8N1` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialPort {
    /// Device socket name.
    pub device: String,
    /// Where clients find the terminal: a symbolic link the simulator makes.
    pub link: PathBuf,
    /// Speed and format.
    pub settings: LineSettings,
}

impl FromStr for SerialPort {
    type Err = String;

    fn from_str(text: &str) -> Result<SerialPort, String> {
        let form = || format!("`{text}` is not of the form <device>=<path>[,<bits per second>[,8N1]]");
        let (device, rest) = text.split_once('=').ok_or_else(form)?;
        let mut parts = rest.split(',');
        let link = parts.next().filter(|path| !path.is_empty()).ok_or_else(form)?;
        let mut settings = LineSettings::default();
        if let Some(word) = parts.next() {
            let baud = word.parse().ok().filter(|baud| (300..=921_600).contains(baud));
            settings.baud = baud.ok_or_else(|| format!("`{word}` is no speed from 300 to 921600 bits per second"))?;
        }
        if let Some(word) = parts.next() {
            (settings.parity, settings.stop_bits) = match word {
                "8N1" => (Parity::None, 1),
                "8N2" => (Parity::None, 2),
                "8E1" => (Parity::Even, 1),
                "8O1" => (Parity::Odd, 1),
                _ => return Err(format!("`{word}` is no character format; there are 8N1, 8N2, 8E1, 8O1")),
            };
        }
        match parts.next() {
            None => Ok(SerialPort { device: device.to_owned(), link: PathBuf::from(link), settings }),
            Some(_) => Err(form()),
        }
    }
}

/// An open pseudo-terminal with its link; closing it takes the link away.
pub struct Terminal {
    // The controlling end twice, as the two directions of a pipe: that is all tokio need know of it.
    requests: pipe::Receiver,
    answers: pipe::Sender,
    // Held open: without an open far end a read of the near end fails.
    _far: OwnedFd,
    far_path: PathBuf,
    link: PathBuf,
}

impl Terminal {
    /// Opens a terminal in raw mode and makes the link to it. A link that stands there from an earlier run is replaced,
    /// anything else is left alone.
    ///
    /// # Errors
    /// The system's reason; [`io::ErrorKind::AlreadyExists`] where something else stands at the path.
    pub fn open(port: &SerialPort) -> io::Result<Terminal> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?;
        let far_path = PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let far = rustix::fs::open(&far_path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut mode = tcgetattr(&far)?;
        mode.make_raw();
        // A pseudo-terminal knows no parity: the format counts for the time on the wire alone.
        mode.set_speed(port.settings.baud)?;
        tcsetattr(&far, OptionalActions::Now, &mode)?;
        rustix::io::ioctl_fionbio(&near, true)?;
        if port.link.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            std::fs::remove_file(&port.link)?;
        }
        std::os::unix::fs::symlink(&far_path, &port.link)?;
        let answers = pipe::Sender::from_file_unchecked(File::from(near.try_clone()?))?;
        let requests = pipe::Receiver::from_file_unchecked(File::from(near))?;
        Ok(Terminal { requests, answers, _far: far, far_path, link: port.link.clone() })
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; CHUNK];
        let count = self.requests.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        chunk.truncate(count);
        Ok(chunk)
    }

    /// Writes all bytes, or loses the rest where no client takes them.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(WRITE_WAIT, self.answers.write_all(bytes)).await.unwrap_or(Ok(()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Another run may have put its own link there meanwhile.
        if std::fs::read_link(&self.link).is_ok_and(|target| target == self.far_path) {
            // A link that stays behind leads nowhere and is replaced by the next run.
            let _ = std::fs::remove_file(&self.link);
        }
    }
}

/// One serial line with the units on it.
pub struct Line {
    /// Device socket name.
    pub device: &'static str,
    /// Terminal and speed.
    pub port: SerialPort,
    /// Units on the line.
    pub units: Units,
    /// State of the link.
    pub link: watch::Receiver<LinkState>,
    /// Jitter and garbage.
    pub rng: Rng,
}

impl Line {
    /// Serves until the future is dropped, which closes the terminal.
    pub async fn serve(mut self, terminal: Terminal) {
        let mut terminal = Some(terminal);
        loop {
            let Some(mut open) = terminal.take() else {
                // An error here is the end of the simulation, which drops this future.
                let _ = self.link.wait_for(|link| !link.unplugged).await;
                match Terminal::open(&self.port) {
                    Ok(again) => terminal = Some(again),
                    Err(error) => {
                        warn!(device = self.device, %error, "cannot open the terminal again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
                continue;
            };
            let mut until = self.link.clone();
            let ended = tokio::select! {
                ended = self.answer(&mut open) => ended,
                _ = until.wait_for(|link| link.unplugged) => Ok(()),
            };
            if let Err(error) = ended {
                debug!(device = self.device, %error, "the terminal has ended");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn answer(&mut self, terminal: &mut Terminal) -> io::Result<()> {
        let silence = self.port.settings.gap().max(SILENCE_MIN);
        let mut decoder = Decoder::default();
        let mut earlier: Option<Vec<u8>> = None;
        loop {
            let chunk = if decoder.waits() {
                tokio::time::timeout(silence, terminal.read()).await.ok().transpose()?
            } else {
                Some(terminal.read().await?)
            };
            match chunk {
                // A cut line, or a device that is starting, hears nothing.
                Some(_) if self.link.borrow().closed() => decoder = Decoder::default(),
                Some(chunk) => {
                    decoder.push(&chunk);
                    while let Some(request) = decoder.next_complete() {
                        self.serve_one(terminal, request, &mut earlier).await?;
                    }
                }
                None => {
                    if let Some(request) = decoder.silence() {
                        self.serve_one(terminal, request, &mut earlier).await?;
                    }
                }
            }
        }
    }

    async fn serve_one(
        &mut self,
        terminal: &mut Terminal,
        request: Request,
        earlier: &mut Option<Vec<u8>>,
    ) -> io::Result<()> {
        let settings = self.port.settings;
        if request.unit == 0 {
            self.units.broadcast(&request.pdu);
        }
        if !self.units.has(request.unit) {
            return Ok(());
        }
        let done = self.units.exchange((request.unit, &request.pdu), &self.link, &mut self.rng, true).await;
        let Some(pdu) = done.answer else { return Ok(()) };
        let unit = if done.treatment.wrong_unit { request.unit.wrapping_add(1) } else { request.unit };
        let healthy = frame(unit, &pdu);
        let before = earlier.replace(healthy.clone());
        let mut answer = if done.treatment.stale {
            // A line has no transaction numbers: what comes late is the answer before.
            let Some(before) = before else { return Ok(()) };
            before
        } else {
            healthy
        };
        if done.treatment.bad_crc {
            let end = answer.len() - 2;
            let wrong = crc(&answer[..end]) ^ 0x5555;
            answer[end..].copy_from_slice(&wrong.to_le_bytes());
        }
        if done.treatment.short {
            answer.truncate(answer.len() / 2);
        }
        if done.treatment.garbage {
            answer.splice(0..0, garbage(&mut self.rng));
        }
        if done.treatment.echo {
            answer.splice(0..0, request.bytes.iter().copied());
        }
        let characters = (request.bytes.len() + answer.len()) as u32;
        tokio::time::sleep(settings.character() * characters + settings.gap()).await;
        if self.link.borrow().closed() { Ok(()) } else { terminal.write(&answer).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_their_text() {
        let port = |text: &str| text.parse::<SerialPort>();
        let plain = port("power_meters=/tmp/meters").unwrap();
        assert_eq!((plain.device.as_str(), plain.link.to_str()), ("power_meters", Some("/tmp/meters")));
        assert_eq!(plain.settings, LineSettings::default());
        let full = port("heat_pump=hp,19200,8E1").unwrap().settings;
        assert_eq!(full, LineSettings { baud: 19_200, parity: Parity::Even, stop_bits: 1 });
        assert_eq!(full.character(), Duration::from_secs_f64(11.0 / 19_200.0));
        assert_eq!(full.gap(), full.character().mul_f64(3.5));
        assert_eq!(port("a=b,115200").unwrap().settings.gap(), Duration::from_micros(1750));
        for wrong in ["", "a", "a=", "a=b,", "a=b,100", "a=b,9600,7E1", "a=b,9600,8N1,x"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
