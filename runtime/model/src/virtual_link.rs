//! The link of a device in virtual time: when it is lost and when it is tried again, by the rules that the drivers follow
//! on the wire, with the waits counted on the virtual clock.

use crate::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use crate::{Instant, LinkState};
use std::time::Duration;

/// What becomes of requests to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// They are answered; the answer may be a refusal.
    #[default]
    Answers,
    /// They arrive and act, but no answer comes in time.
    Silent,
    /// They do not arrive: there is no connection.
    Closed,
}

/// What a turn of the link means for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkTurn {
    /// Requests are answered now.
    pub ready: bool,
    /// The link came up again: what was commanded is to be asserted again.
    pub again: bool,
    /// A first request went out and got no answer: it acts all the same.
    pub unanswered: bool,
    /// The tags become Bad(link) now.
    pub lost: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Up,
    /// A request is without answer; the tags are lost at `overdue`, the link at `until`.
    Waiting {
        overdue: Instant,
        until: Instant,
    },
    /// Tried again at this time.
    Down(Instant),
}

/// The link and its counters.
#[derive(Debug)]
pub struct VirtualLink {
    state: State,
    tags_lost: bool,
    wait: Duration,
    timeout: Duration,
    overdue: Duration,
    /// Requests without answer, and attempts to connect that failed.
    pub failed: u64,
    /// Times the link came up again.
    pub reconnects: u64,
    /// Why it is down, in words for a person; empty while it is up.
    pub reason: String,
}

impl VirtualLink {
    /// A link that is up. `timeout` is how long an answer may take, `overdue` after which time its absence makes the tags
    /// bad.
    #[must_use]
    pub fn new(timeout: Duration, overdue: Duration) -> VirtualLink {
        VirtualLink {
            state: State::Up,
            tags_lost: false,
            wait: RECONNECT_WAIT_MIN,
            timeout,
            overdue: overdue.min(timeout),
            failed: 0,
            reconnects: 0,
            reason: String::new(),
        }
    }

    /// State of the link, as it is reported. A link that waits for an answer is not lost yet.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self.state {
            State::Down(_) => LinkState::Down,
            State::Waiting { .. } if !self.reason.is_empty() => LinkState::Down,
            State::Up | State::Waiting { .. } => LinkState::Up,
        }
    }

    /// One turn: `wants` says that a request is due.
    pub fn turn(&mut self, reach: Reach, wants: bool, now: Instant) -> LinkTurn {
        if let State::Waiting { overdue, until } = self.state {
            let lost = overdue <= now && !self.tags_lost;
            self.tags_lost |= lost;
            if until <= now {
                let reason = format!("no answer within {:?}", self.timeout);
                self.down(reason, now);
            }
            return LinkTurn { lost, ..LinkTurn::default() };
        }
        let down = match self.state {
            State::Down(again) if again > now => return LinkTurn::default(),
            State::Up if !wants => return LinkTurn { ready: reach == Reach::Answers, ..LinkTurn::default() },
            State::Down(_) => true,
            State::Up | State::Waiting { .. } => false,
        };
        match reach {
            Reach::Answers => {
                self.state = State::Up;
                self.tags_lost = false;
                self.wait = RECONNECT_WAIT_MIN;
                self.reason.clear();
                self.reconnects += u64::from(down);
                LinkTurn { ready: true, again: down, ..LinkTurn::default() }
            }
            Reach::Silent => {
                self.state = State::Waiting { overdue: now + self.overdue, until: now + self.timeout };
                LinkTurn { unanswered: true, ..LinkTurn::default() }
            }
            Reach::Closed => {
                self.down("the connection is refused or closed".to_owned(), now);
                LinkTurn { lost: !std::mem::replace(&mut self.tags_lost, true), ..LinkTurn::default() }
            }
        }
    }

    fn down(&mut self, reason: String, now: Instant) {
        self.failed += 1;
        self.reason = reason;
        self.state = State::Down(now + self.wait);
        self.wait = (self.wait * 2).min(RECONNECT_WAIT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn link() -> VirtualLink {
        VirtualLink::new(Duration::from_millis(500), Duration::from_millis(200))
    }

    #[test]
    fn a_closed_link_is_lost_at_the_next_request_and_tried_after_growing_waits() {
        let mut link = link();
        assert_eq!(link.turn(Reach::Closed, false, at(0)), LinkTurn::default(), "nobody asked for anything");
        assert_eq!(link.state(), LinkState::Up);
        assert!(link.turn(Reach::Closed, true, at(100)).lost);
        assert_eq!((link.state(), link.failed), (LinkState::Down, 1));
        // Tried 250 ms later, then 500 ms after that, and so on; the tags are lost once.
        let tries: Vec<u64> = (1..=30)
            .map(|step| 100 + step * 50)
            .filter(|ms| {
                let before = link.failed;
                assert!(!link.turn(Reach::Closed, true, at(*ms)).lost);
                link.failed > before
            })
            .collect();
        assert_eq!(tries, [350, 850]);
        let turn = link.turn(Reach::Answers, true, at(1_850));
        assert!(turn.ready && turn.again);
        assert_eq!((link.state(), link.reconnects, link.reason.as_str()), (LinkState::Up, 1, ""));
    }

    #[test]
    fn silence_makes_the_tags_bad_when_overdue_and_the_link_down_at_the_time_out() {
        let mut link = link();
        assert!(link.turn(Reach::Silent, true, at(0)).unanswered);
        assert!(!link.turn(Reach::Silent, true, at(100)).lost);
        assert!(link.turn(Reach::Silent, true, at(200)).lost);
        assert_eq!(link.state(), LinkState::Up);
        assert!(!link.turn(Reach::Answers, true, at(400)).ready, "the answer of the first request is still awaited");
        assert_eq!(link.turn(Reach::Answers, true, at(500)), LinkTurn::default());
        assert_eq!(link.state(), LinkState::Down);
        assert!(link.turn(Reach::Answers, true, at(750)).again);
    }

    #[test]
    fn the_wait_never_exceeds_its_bound() {
        let mut link = link();
        let mut last = 0;
        let mut longest = 0;
        for ms in (0..120_000).step_by(50) {
            let before = link.failed;
            let _ = link.turn(Reach::Closed, true, at(ms));
            if link.failed > before {
                longest = longest.max(ms - last);
                last = ms;
            }
        }
        assert_eq!(longest, 10_000);
    }
}
