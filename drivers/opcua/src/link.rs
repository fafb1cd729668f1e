//! The state of the link and its counters, and when they are reported.

use crate::limits::LINK_REPORT_EVERY;
use penstock_model::{Clock, DeviceId, Instant, LinkRecord, LinkState, SampleSink};
use std::sync::Arc;
use std::time::Duration;

/// One link: logs, counts and reports in one call, on change.
pub(crate) struct Link {
    name: Arc<str>,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    record: LinkRecord,
    reported: Option<Instant>,
    was_up: bool,
}

impl Link {
    pub(crate) fn new(device: DeviceId, name: Arc<str>, sink: Arc<dyn SampleSink>, clock: Arc<dyn Clock>) -> Link {
        let record = LinkRecord {
            device,
            state: LinkState::Connecting,
            reason: "".into(),
            at: clock.now().utc,
            last_answer: None,
            answered: 0,
            failed: 0,
            refused: 0,
            reconnects: 0,
            round_trip: Duration::ZERO,
            retries: 0,
            demoted: false,
            quarantined: 0,
            note: "".into(),
        };
        let mut link = Link { name, sink, clock, record, reported: None, was_up: false };
        link.report();
        link
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self, round_trip: Duration) {
        self.record.answered += 1;
        self.record.round_trip = round_trip;
        self.record.last_answer = Some(self.clock.now().mono);
        self.up();
    }

    /// Notifications came without being asked for one by one.
    pub(crate) fn heard(&mut self, notifications: u64) {
        if notifications > 0 {
            self.record.answered += notifications;
            self.record.last_answer = Some(self.clock.now().mono);
            self.report_if_due();
        }
    }

    /// Answers and refusals so far: it grows while the server is heard.
    pub(crate) fn answers(&self) -> u64 {
        self.record.answered + self.record.refused
    }

    /// What a person should know of a link that works; empty for nothing.
    pub(crate) fn note(&mut self, note: &str) {
        if &*self.record.note != note {
            self.record.note = note.into();
            self.report();
        }
    }

    /// A request was answered with a refusal: the link works, the device does not want to.
    pub(crate) fn refused(&mut self) {
        self.record.refused += 1;
        self.up();
    }

    /// A request, or the attempt to connect, failed.
    pub(crate) fn failed(&mut self) {
        self.record.failed += 1;
    }

    /// The link works.
    pub(crate) fn up(&mut self) {
        if self.record.state == LinkState::Up {
            self.report_if_due();
            return;
        }
        if self.was_up {
            self.record.reconnects += 1;
        }
        tracing::info!(device = %self.name, reconnects = self.record.reconnects, "link is up");
        self.was_up = true;
        self.record.state = LinkState::Up;
        self.record.reason = "".into();
        self.report();
    }

    /// The link does not work. True when that is news.
    pub(crate) fn down(&mut self, reason: &str) -> bool {
        if self.record.state == LinkState::Down {
            if &*self.record.reason != reason {
                self.record.reason = reason.into();
            }
            self.report_if_due();
            return false;
        }
        tracing::warn!(device = %self.name, reason, "link is down");
        self.record.state = LinkState::Down;
        self.record.reason = reason.into();
        self.report();
        true
    }

    /// Reports the counters when the last report is old enough.
    pub(crate) fn report_if_due(&mut self) {
        let now = self.clock.now().mono;
        if self.reported.is_none_or(|at| now.since(at) >= LINK_REPORT_EVERY) {
            self.report();
        }
    }

    fn report(&mut self) {
        let now = self.clock.now();
        self.reported = Some(now.mono);
        self.record.at = now.utc;
        self.sink.link(self.record.clone());
    }
}
