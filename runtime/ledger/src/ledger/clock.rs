//! Ledger time, and what a step of civil time does to what is stored.

use super::Inner;
use crate::book::Book;
use crate::limits::{CLOCK_STEP_MIN, DAYS_IN_MEMORY};
use crate::quarter::{quarter_of, start_of};
use crate::register::nanos;
use crate::report::{Issue, IssueKind};
use penstock_model::Now;

impl Inner {
    /// Ledger time of this look, and the time since the one before (none at the first).
    pub(super) fn tick(&mut self, book: &Book, now: Now) -> (i64, Option<i64>) {
        let utc = now.utc.0;
        let step_min = nanos(CLOCK_STEP_MIN);
        let Some((mono, t)) = self.last else {
            if let Some(saved) = self.saved_t.filter(|saved| utc < saved - step_min) {
                self.step(book, saved, utc);
            }
            self.opened = utc;
            self.next.get_or_insert(quarter_of(utc));
            self.last = Some((now.mono, utc));
            for text in std::mem::take(&mut self.complaints) {
                self.tell(Issue {
                    at_ms: utc / 1_000_000,
                    until_ms: None,
                    stream: String::new(),
                    kind: IssueKind::Store,
                    before: None,
                    after: None,
                    text,
                });
            }
            return (utc, None);
        };
        let dt = nanos(now.mono.since(mono));
        let expected = t.saturating_add(dt);
        let stepped = (utc - expected).abs() > step_min;
        if stepped {
            self.step(book, expected, utc);
        }
        let t = if stepped { utc } else { utc.max(t) };
        self.last = Some((now.mono, t));
        (t, Some(dt))
    }

    /// Civil time was stepped: what was at `from` is at `to` now.
    pub(super) fn step(&mut self, book: &Book, from: i64, to: i64) {
        let by = to - from;
        // What was counted so far belongs to the time as it was told then.
        let counted: Vec<i64> = self.pending.keys().copied().filter(|_| quarter_of(from) != quarter_of(to)).collect();
        for quarter in counted {
            self.write(book, quarter, from, quarter == quarter_of(from));
        }
        for stream in &mut self.streams {
            stream.register.shift(by);
            stream.last_ok = stream.last_ok.map(|t| t + by);
            if by < 0 {
                stream.born = stream.born.map(|b| b.min(to));
            }
        }
        self.demand.restart();
        if by > 0 {
            let ends = (start_of(quarter_of(from) + 1).min(to) - from, to - start_of(quarter_of(to)).max(from));
            if quarter_of(to) == quarter_of(from) {
                *self.skipped.entry(quarter_of(to)).or_default() += ends.0 as f64 / 1e9;
            } else {
                *self.skipped.entry(quarter_of(to)).or_default() += ends.1 as f64 / 1e9;
                self.next = Some(quarter_of(to));
            }
        } else {
            self.next = self.next.map(|n| n.min(quarter_of(to)));
            self.recall(book, quarter_of(to), quarter_of(from));
        }
        let text = format!("civil time was stepped by {:.1} s", by as f64 / 1e9);
        self.tell(Issue {
            at_ms: to / 1_000_000,
            until_ms: None,
            stream: String::new(),
            kind: IssueKind::ClockStep,
            before: Some(from as f64 / 1e9),
            after: Some(to as f64 / 1e9),
            text,
        });
    }

    /// Takes written quarters back into memory that a clock set back may come to again: what is booked in them is added, not put
    /// in their place.
    pub(super) fn recall(&mut self, book: &Book, present: i64, to: i64) {
        let from = present - DAYS_IN_MEMORY * 96;
        let known = self.rows.first_key_value().map_or(to, |(q, _)| *q);
        let Ok((rows, _)) = self.store.read(from, known.min(to)) else { return };
        for (quarter, rows) in rows {
            let rows = book.streams.iter().map(|s| rows.get(&s.key).copied()).collect();
            self.rows.entry(quarter).or_insert(rows);
        }
    }
}
