//! The progress of a simulation on a terminal: how far it is, how fast, and how long it still takes.

use std::io::Write;
use std::time::{Duration, Instant};

/// Width of the bar, characters.
const WIDTH: usize = 32;
/// Real time between two drawings.
const EVERY: Duration = Duration::from_millis(200);

/// A bar that draws itself on standard error. It reads the host's clock and nothing of the run depends on it.
pub struct Progress {
    total: Duration,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// A bar of a run of this length.
    pub fn new(total: Duration) -> Progress {
        Progress { total, begun: Instant::now(), drawn: None }
    }

    /// Draws the bar when the last drawing is old enough.
    pub fn show(&mut self, elapsed: Duration) {
        if self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        eprint!("\r{}\u{1b}[K", line(elapsed, self.total, self.begun.elapsed()));
        // A progress bar that cannot be drawn is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    /// Ends the line of the bar.
    pub fn finish(&self) {
        let took = self.begun.elapsed().as_secs_f64();
        let speed = self.total.as_secs_f64() / took.max(1e-3);
        complain!("\r{:.2} days in {took:.1} s, {speed:.0} times real time\u{1b}[K", days(self.total));
    }
}

fn days(time: Duration) -> f64 {
    time.as_secs_f64() / 86_400.0
}

fn line(elapsed: Duration, total: Duration, took: Duration) -> String {
    let share = (elapsed.as_secs_f64() / total.as_secs_f64().max(1e-9)).min(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to WIDTH")]
    let filled = (share * WIDTH as f64) as usize;
    let bar = format!("[{}{}]", "█".repeat(filled), "·".repeat(WIDTH - filled));
    let speed = elapsed.as_secs_f64() / took.as_secs_f64().max(1e-3);
    let left = if share > 0.0 { took.as_secs_f64() * (1.0 - share) / share } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours at most, never negative")]
    let left = left.ceil() as u64;
    format!(
        "{bar} day {:.2} of {:.2}, {speed:.0} × real time, {}:{:02} left",
        days(elapsed),
        days(total),
        left / 60,
        left % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_share_speed_and_time_left() {
        let day = Duration::from_secs(86_400);
        let text = line(day / 4, day, Duration::from_secs(30));
        assert!(text.contains(&format!("{}·", "█".repeat(8))), "{text}");
        assert!(text.ends_with("day 0.25 of 1.00, 720 × real time, 1:30 left"), "{text}");
        assert!(line(Duration::ZERO, day, Duration::ZERO).ends_with("0:00 left"));
    }
}
