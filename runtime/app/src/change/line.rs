//! One line over a socket within a time. The time is for all of it: a peer that sends or takes a byte now and then must
//! not hold up whoever serves it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn left(until: Instant) -> Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::new(ErrorKind::TimedOut, "the other side takes too long")) } else { Ok(left) }
}

/// Reads up to the end of a line, of the stream, or of `bytes_max`.
///
/// # Errors
/// When it takes longer, or the stream fails.
pub fn read(mut stream: &UnixStream, bytes_max: usize, within: Duration) -> Result<String> {
    let until = Instant::now() + within;
    let mut line = Vec::new();
    let mut part = [0; 4_096];
    while line.len() < bytes_max && !line.ends_with(b"\n") {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => line.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    line.truncate(bytes_max);
    String::from_utf8(line).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

/// Writes all of a text.
///
/// # Errors
/// When it takes longer, or the stream fails.
pub fn write(mut stream: &UnixStream, text: &str, within: Duration) -> Result<()> {
    let until = Instant::now() + within;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_drips_is_given_up_and_one_that_takes_nothing_too() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let dripping = std::thread::spawn(move || {
            let mut theirs = &theirs;
            while theirs.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        assert!(read(&ours, 65_536, Duration::from_millis(150)).is_err());
        drop(ours);
        dripping.join().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(write(&ours, &"x".repeat(16 * 1024 * 1024), Duration::from_millis(150)).is_err());
    }

    #[test]
    fn a_line_arrives_whole_and_no_longer_than_its_bound() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let long = "y".repeat(10_000);
        write(&ours, &format!("{long}\n"), Duration::from_secs(9)).unwrap();
        assert_eq!(read(&theirs, 65_536, Duration::from_secs(9)).unwrap(), format!("{long}\n"));
        write(&ours, "abc", Duration::from_secs(9)).unwrap();
        drop(ours);
        assert_eq!(read(&theirs, 2, Duration::from_secs(9)).unwrap(), "ab");
    }
}
