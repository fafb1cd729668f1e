//! What an auditor would ask about: put into words, bounded, written down.

use super::Inner;
use crate::book::Book;
use crate::limits::{GAP_ISSUE_MIN, ISSUES_MAX, ISSUES_PER_QUARTER_MAX};
use crate::quarter::quarter_of;
use crate::register::{Finding, Rules, nanos};
use crate::report::{Issue, IssueKind};
use crate::store::{Stored, StoredIssue};

impl Inner {
    /// Issues of today.
    pub(crate) fn issues_since(&self, t: i64) -> usize {
        self.issues.iter().filter(|i| i.at_ms >= t / 1_000_000).count()
    }

    pub(super) fn open_gaps<'a>(&'a self, book: &'a Book) -> impl Iterator<Item = Issue> + 'a {
        let t = self.last.map_or(0, |(_, t)| t);
        book.streams.iter().zip(&self.streams).filter_map(move |(stream, state)| {
            let last = state.last_ok.filter(|last| t - last > nanos(GAP_ISSUE_MIN))?;
            Some(gap_issue(&stream.key, last, None))
        })
    }

    pub(super) fn tell_finding(&mut self, book: &Book, i: usize, rules: &Rules, finding: &Finding, t: i64) {
        let Finding { kind, before, after } = *finding;
        let unit = book.streams[i].unit;
        let text = match kind {
            IssueKind::Jump => format!(
                "the register jumped from {before} to {after} {unit}, more than {} {unit}/h allow; not booked",
                rules.rate_max
            ),
            IssueKind::Zero => format!("the register reads 0 after {before} {unit}; held"),
            IssueKind::Rollover => format!("the register rolled over from {before} to {after} {unit}; booked"),
            IssueKind::Reset => format!(
                "the register goes on from {after} after {before} {unit}: replaced or reset; what flowed in between is not booked"
            ),
            _ => format!("the register fell from {before} to {after} {unit}; not booked"),
        };
        let stream = book.streams[i].key.clone();
        let at_ms = t / 1_000_000;
        self.tell_of(
            i,
            t,
            Issue { at_ms, until_ms: None, stream, kind, before: Some(before), after: Some(after), text },
        );
    }

    /// An issue of a stream; a stream that keeps talking is cut short within a quarter.
    pub(super) fn tell_of(&mut self, i: usize, t: i64, mut issue: Issue) {
        let (quarter, told, held_back) = &mut self.live[i].issues;
        if *quarter != quarter_of(t) {
            if *held_back > 0 {
                issue.text = format!("{} ({held_back} more in an earlier quarter are not listed)", issue.text);
            }
            (*quarter, *told, *held_back) = (quarter_of(t), 0, 0);
        }
        if *told == ISSUES_PER_QUARTER_MAX {
            *held_back += 1;
            return;
        }
        *told += 1;
        self.tell(issue);
    }

    pub(super) fn tell(&mut self, issue: Issue) {
        let t = self.last.map_or(issue.at_ms.saturating_mul(1_000_000), |(_, t)| t);
        self.store.push(t, &Stored::Issue(StoredIssue::from(&issue)));
        if self.issues.len() == ISSUES_MAX {
            self.issues.pop_front();
        }
        // One look tells at most a few issues per stream; the list is emptied with each.
        self.fresh.push(issue.clone());
        self.issues.push_back(issue);
    }
}

pub(super) fn gap_issue(stream: &str, from: i64, until: Option<i64>) -> Issue {
    let text = match until {
        Some(until) => format!("no usable input for {:.0} s", (until - from) as f64 / 1e9),
        None => "no usable input since".to_owned(),
    };
    Issue {
        at_ms: from / 1_000_000,
        until_ms: until.map(|t| t / 1_000_000),
        stream: stream.to_owned(),
        kind: IssueKind::Gap,
        before: None,
        after: None,
        text,
    }
}
