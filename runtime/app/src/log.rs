//! The log, and what a running site says to whoever started it: lines that a thread of their own writes.
//!
//! A pipe that nobody reads fills up, a terminal can be stopped, and then whoever writes to it waits. Drivers, the
//! supervisor and the thread of a scan that panics all have something to say, and none of them may wait for a reader. So
//! a line is put into a bounded queue. What finds no room is lost, counted, and told in the log as soon as somebody reads
//! again; control notices nothing.

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use penstock_model::ValueType;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Lines that wait for a reader: minutes of a plant in trouble.
const LINES_WAITING_MAX: usize = 4_096;
/// Bytes that wait for a reader.
const BYTES_WAITING_MAX: usize = 1024 * 1024;
/// What the end of the process waits for a reader.
pub const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// System tags of the log: path, Chinese, English, unit, type.
pub const LOG_TAGS: &[(&str, &str, &str, &str, ValueType)] =
    &[("sys/log/lost", "日志丢失行数", "Lines of the log lost", "", ValueType::Int)];

/// One way out of the process: its standard error or its standard output.
struct Way {
    queue: Sender<Vec<u8>>,
    /// Lines and bytes that were put and are not written yet, the one being written included.
    lines: AtomicUsize,
    bytes: AtomicUsize,
    lost: Arc<AtomicU64>,
}

impl Way {
    /// Opens a way to a file and the thread that writes to it. Without the thread every line is lost, and counted.
    fn open(name: &str, file: Option<File>, told: bool) -> Arc<Way> {
        let (queue, lines) = bounded(LINES_WAITING_MAX);
        let way = Arc::new(Way { queue, lines: AtomicUsize::new(0), bytes: AtomicUsize::new(0), lost: Arc::default() });
        if let Some(file) = file {
            let own = way.clone();
            // Where the system refuses the thread there is nobody to tell either.
            let _ = std::thread::Builder::new().name(name.to_owned()).spawn(move || own.write(file, &lines, told));
        }
        way
    }

    /// Never waits.
    fn put(&self, line: Vec<u8>) {
        let bytes = line.len();
        let before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.lines.fetch_add(1, Ordering::SeqCst);
        // One line of any length passes an empty queue.
        let fits = before == 0 || before + bytes <= BYTES_WAITING_MAX;
        let put = if fits { self.queue.try_send(line) } else { Err(TrySendError::Full(line)) };
        if put.is_err() {
            self.done(bytes);
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn done(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.lines.fetch_sub(1, Ordering::SeqCst);
    }

    fn write(&self, mut file: File, lines: &Receiver<Vec<u8>>, told: bool) {
        let mut known = 0;
        for line in lines {
            // A reader that is gone for good costs the line; the next one may find another.
            if file.write_all(&line).is_err() {
                self.lost.fetch_add(1, Ordering::SeqCst);
            }
            self.done(line.len());
            let lost = self.lost.load(Ordering::SeqCst);
            // Told once there is room again: while it is lost line by line the notice would be lost too.
            if told && lost > known && self.lines.load(Ordering::SeqCst) < LINES_WAITING_MAX / 2 {
                tracing::warn!(
                    lost = lost - known,
                    "lines of this log were lost: they came faster than whoever reads it took them"
                );
                known = lost;
            }
        }
    }

    fn flush(&self, until: Instant) {
        while self.lines.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A handle of its own, so that nobody holds the standard library's lock on it while he waits.
fn own(fd: BorrowedFd<'_>) -> Option<File> {
    fd.try_clone_to_owned().ok().map(File::from)
}

fn errors() -> &'static Arc<Way> {
    static WAY: OnceLock<Arc<Way>> = OnceLock::new();
    WAY.get_or_init(|| Way::open("log", own(std::io::stderr().as_fd()), true))
}

fn output() -> &'static Arc<Way> {
    static WAY: OnceLock<Arc<Way>> = OnceLock::new();
    WAY.get_or_init(|| Way::open("output", own(std::io::stdout().as_fd()), false))
}

/// Where the subscriber of `tracing` writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Writer;

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        errors().put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Puts a text on the standard error, in its order with the log.
pub fn complain(text: &str) {
    errors().put(format!("{text}\n").into_bytes());
}

/// Puts a text on the standard output of a process that controls a plant.
pub fn say(text: &str) {
    output().put(format!("{text}\n").into_bytes());
}

/// Waits for what was put, at most [`FLUSH_WAIT`]. For the end of the process.
pub fn flush() {
    let until = Instant::now() + FLUSH_WAIT;
    errors().flush(until);
    output().flush(until);
}

/// Lines of the log lost since the start.
pub fn lost() -> Arc<AtomicU64> {
    errors().lost.clone()
}

/// Has a panic told by the log. The standard library's own words go to the standard error at once, and a scan thread
/// whose program meets a defect of ours would wait for their reader.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let said = panic.payload();
        let said =
            said.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| said.downcast_ref::<String>().cloned());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        tracing::error!(
            thread = thread.name().unwrap_or("?"),
            %place,
            "a defect of the runtime: {}{trace}",
            said.as_deref().unwrap_or("a panic without words")
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_nobody_waits() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let way = Way::open("log-of-a-test", Some(File::from(std::os::fd::OwnedFd::from(writer))), false);
        const LINES: usize = 3 * LINES_WAITING_MAX;
        for n in 0..LINES {
            way.put(format!("{n:>99}\n").into_bytes());
        }
        let lost = way.lost.load(Ordering::SeqCst);
        assert!(lost >= (LINES - 2 * LINES_WAITING_MAX) as u64, "{lost}");
        assert!(way.lines.load(Ordering::SeqCst) <= LINES_WAITING_MAX + 1);
        way.flush(Instant::now() + Duration::from_millis(20));
        let mut text = vec![0; (LINES - usize::try_from(lost).unwrap()) * 100];
        reader.read_exact(&mut text).unwrap();
        assert!(text.starts_with(format!("{:>99}\n", 0).as_bytes()), "the oldest are kept");
        way.flush(Instant::now() + Duration::from_secs(30));
        assert_eq!((way.lines.load(Ordering::SeqCst), way.bytes.load(Ordering::SeqCst)), (0, 0));
        way.put(b"again\n".to_vec());
        let mut again = [0; 6];
        reader.read_exact(&mut again).unwrap();
        assert_eq!(&again, b"again\n");
    }

    #[test]
    fn the_bytes_that_wait_are_bounded_and_a_reader_that_is_gone_is_counted() {
        let (reader, writer) = std::io::pipe().unwrap();
        let way = Way::open("log-of-another", Some(File::from(std::os::fd::OwnedFd::from(writer))), false);
        for _ in 0..40 {
            way.put(vec![b'x'; 100_000]);
        }
        assert!(way.bytes.load(Ordering::SeqCst) <= BYTES_WAITING_MAX);
        assert!(way.lost.load(Ordering::SeqCst) >= 29);
        drop(reader);
        way.flush(Instant::now() + Duration::from_secs(30));
        assert_eq!(way.lines.load(Ordering::SeqCst), 0);
        assert_eq!(way.lost.load(Ordering::SeqCst), 40);
    }
}
