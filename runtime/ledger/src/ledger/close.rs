//! Writing quarters down: when one is over, what stands in it, and whether its power agrees.

use super::{Inner, Rows};
use crate::book::Book;
use crate::config::MeterKind;
use crate::limits::{
    BACKFILL_QUARTERS_MAX, CLOSE_GRACE, DAYS_IN_MEMORY, LINES_WAITING_MAX, POWER_MISMATCH_KWH_MIN, POWER_MISMATCH_MAX,
    RATE_STEP_MAX,
};
use crate::quarter::{Class, QUARTER_NS, Row, quarter_of, start_of};
use crate::register::nanos;
use crate::report::{Issue, IssueKind};
use crate::store::{Stored, StoredRow};
use penstock_model::Instant;
use std::collections::BTreeMap;

/// A meter's power, integrated beside its registers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PowerCheck {
    quarter: i64,
    kwh: f64,
    seconds: f64,
    /// The quarter before, complete.
    before: Option<(i64, f64, f64)>,
}

impl Inner {
    /// Writes the quarters that are over, and revisions of written ones.
    pub(super) fn close(&mut self, book: &Book, mono: Instant, t: i64) {
        let current = quarter_of(t);
        let mut next = self.next.unwrap_or(current);
        if current - next > BACKFILL_QUARTERS_MAX {
            next = current;
        }
        let mut wrote = false;
        while next < current {
            let end = start_of(next + 1);
            let grace_over = t >= end.max(self.opened) + nanos(CLOSE_GRACE);
            if !grace_over && !self.settled(book, end) {
                break;
            }
            self.write(book, next, t, true);
            self.check_power(book, next, t);
            self.skipped.remove(&next);
            next += 1;
            wrote = true;
            if self.store.waiting() >= LINES_WAITING_MAX / 2 {
                self.store.flush(mono);
            }
        }
        self.next = Some(next);
        let late: Vec<i64> = self.pending.range(..next).map(|(q, _)| *q).collect();
        wrote |= !late.is_empty();
        for quarter in late {
            self.write(book, quarter, t, false);
            self.skipped.remove(&quarter);
            if self.store.waiting() >= LINES_WAITING_MAX / 2 {
                self.store.flush(mono);
            }
        }
        let month = book.begin_of(t, true);
        if wrote || self.month_max.is_none_or(|(begin, _)| begin != month) {
            self.rows = self.rows.split_off(&(current - DAYS_IN_MEMORY * 96));
            self.month_max = Some((month, self.month_demand(book, month)));
        }
        if wrote {
            self.saved_at = Instant(0);
        }
    }

    /// True when every register that was ever read has been read at or after `end`.
    pub(super) fn settled(&self, book: &Book, end: i64) -> bool {
        book.streams.iter().zip(&self.streams).all(|(stream, state)| {
            !stream.input.is_register() || state.register.base().is_none_or(|(_, seen)| seen >= end)
        })
    }

    /// Writes a quarter: all streams, or those with something to add.
    pub(super) fn write(&mut self, book: &Book, quarter: i64, t: i64, all: bool) {
        let count = book.streams.len();
        let pending = self.pending.remove(&quarter).unwrap_or_else(|| vec![None; count]);
        let mut streams = BTreeMap::new();
        for (i, stream) in book.streams.iter().enumerate() {
            let before = self.rows.get(&quarter).and_then(|rows| rows[i]);
            let born = self.streams[i].born.filter(|born| *born < start_of(quarter + 1));
            let all = all && born.is_some();
            let mut row = match (before, pending[i]) {
                (Some(before), Some(later)) => Row { rev: before.rev.saturating_add(1), ..before.merged(&later) },
                (None, Some(later)) => later,
                (None, None) if all => Row::default(),
                (_, None) => continue,
            };
            if before.is_none() {
                let skipped = self.skipped.get(&quarter).copied().unwrap_or(0.0);
                row.expected_s = (Row::expected(quarter, born.unwrap_or(0), t, false) - skipped).max(0.0);
            }
            self.rows.entry(quarter).or_insert_with(|| vec![None; count])[i] = Some(row);
            let register = stream.input.is_register();
            let stored = StoredRow { value: row.value(register), class: row.class(register), row };
            streams.insert(stream.key.clone(), stored);
        }
        if !streams.is_empty() {
            self.store.push(t, &Stored::Quarter { start_s: start_of(quarter) / 1_000_000_000, streams });
        }
    }

    /// Registers and integrated power of the same quarter must agree.
    pub(super) fn check_power(&mut self, book: &Book, quarter: i64, t: i64) {
        let Some(rows) = self.rows.get(&quarter).cloned() else { return };
        for (m, (import, export)) in book.meters.iter().enumerate() {
            let Some(power_kwh) = self.power[m].complete(quarter) else { continue };
            let measured = |i: usize| rows[i].filter(|r| r.class(true) == Class::Measured && r.expected_s > 899.0);
            let (Some(import_row), Some(exported)) =
                (measured(*import), export.map_or(Some(0.0), |e| measured(e).map(|r| r.amount)))
            else {
                continue;
            };
            let counted = import_row.amount - exported;
            let apart = (counted - power_kwh).abs();
            if apart > POWER_MISMATCH_KWH_MIN && apart > POWER_MISMATCH_MAX * counted.abs().max(power_kwh.abs()) {
                let text = format!(
                    "its registers counted {counted:.2} kWh in the quarter, its power comes to {power_kwh:.2} kWh"
                );
                self.tell_of(
                    *import,
                    t,
                    Issue {
                        at_ms: start_of(quarter) / 1_000_000,
                        until_ms: Some(start_of(quarter + 1) / 1_000_000),
                        stream: book.streams[*import].key.clone(),
                        kind: IssueKind::Mismatch,
                        before: Some(counted),
                        after: Some(power_kwh),
                        text,
                    },
                );
            }
        }
    }

    pub(super) fn month_demand(&self, book: &Book, month: i64) -> f64 {
        let grid = book.of_kind(MeterKind::Grid, false);
        let demand = |rows: &Rows| grid.iter().filter_map(|i| rows[*i]).map(|r| r.amount * 4.0).sum::<f64>();
        self.rows.range(quarter_of(month)..).map(|(_, rows)| demand(rows)).fold(0.0, f64::max)
    }
}

impl PowerCheck {
    pub(super) fn tick(&mut self, t: i64, dt: i64, power_kw: Option<f64>) {
        // The time that ends at a border belongs to the quarter before it.
        let quarter = quarter_of(t - 1);
        if quarter != self.quarter {
            self.before = Some((self.quarter, self.kwh, self.seconds));
            (self.quarter, self.kwh, self.seconds) = (quarter, 0.0, 0.0);
        }
        if let Some(kw) = power_kw.filter(|_| dt <= nanos(RATE_STEP_MAX)) {
            self.kwh += kw * dt as f64 / 3.6e12;
            self.seconds += dt as f64 / 1e9;
        }
    }

    /// The energy of a quarter, where its power was known throughout.
    fn complete(&self, quarter: i64) -> Option<f64> {
        let now = Some((self.quarter, self.kwh, self.seconds));
        let known = |(q, _, seconds): &(i64, f64, f64)| *q == quarter && *seconds >= 0.99 * QUARTER_NS as f64 / 1e9;
        self.before.filter(known).or(now.filter(known)).map(|(_, kwh, _)| kwh)
    }
}
