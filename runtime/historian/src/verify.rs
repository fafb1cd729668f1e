//! Reads every row of a store and says what does not hold.

use crate::api::VerifyReport;
use crate::cell::{chunk_cells, row_cells};
use crate::frame::{Damage, key, unframe};
use crate::limits::VERIFY_LINES_MAX;
use crate::memory::{Event, JournalState, SeriesState, decode_def};
use crate::recover::{HEADER_TEXT, LoadError, read_commit};
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

#[derive(Default)]
struct Seen {
    defined: bool,
    state: SeriesState,
    found: SeriesState,
}

#[derive(Default)]
struct Check {
    report: VerifyReport,
    series: BTreeMap<u32, Seen>,
    journal: u64,
    commit: u64,
}

impl Check {
    fn wrong(&mut self, line: String) {
        if self.report.damaged.len() < VERIFY_LINES_MAX {
            self.report.damaged.push(line);
        }
    }

    fn row(&mut self, k: &[u8], v: &[u8]) -> Result<(), Damage> {
        let payload = unframe(k, v)?;
        let short = Damage::Malformed("key is too short");
        match k.first() {
            Some(&key::SERIES) => {
                decode_def(payload)?;
                self.series.entry(key::id_of(k).ok_or(short)?).or_default().defined = true;
                self.report.series += 1;
            }
            Some(&key::STATE) => {
                self.series.entry(key::id_of(k).ok_or(short)?).or_default().state = SeriesState::decode(payload)?;
            }
            Some(&key::CHUNK) => {
                let (id, first_ms, number) = key::chunk_of(k).ok_or(short)?;
                let cells = chunk_cells(payload)?;
                if cells.first().is_none_or(|c| c.ms != first_ms) {
                    return Err(Damage::Malformed("first time is not that of the key"));
                }
                let found = &mut self.series.entry(id).or_default().found;
                found.chunks += 1;
                found.samples += cells.len() as u64;
                found.bytes += (k.len() + v.len()) as u64;
                found.last_chunk = found.last_chunk.max(number);
                self.report.chunks += 1;
                self.report.samples += cells.len() as u64;
            }
            Some(&key::ROW) => {
                let row = key::row_of(k).ok_or(short)?;
                self.report.tail_rows += 1;
                let mut unknown = false;
                for (id, _) in row_cells(payload)? {
                    match self.series.get(&id) {
                        // Rows that are packed already wait to be deleted; their points are in chunks.
                        Some(seen) => self.report.samples += u64::from(row > seen.state.sealed_row),
                        None => unknown = true,
                    }
                }
                if unknown {
                    return Err(Damage::Malformed("points of an unknown series"));
                }
            }
            Some(&key::EVENT) => {
                Event::decode(k, payload)?;
                self.report.events += 1;
            }
            _ if k == key::JOURNAL => self.journal = JournalState::decode(payload)?.rows,
            _ if k == key::COMMIT => self.commit = read_commit(v)?,
            _ if k == key::HEADER => {
                if payload != HEADER_TEXT {
                    return Err(Damage::Malformed("header is of something else"));
                }
            }
            _ => return Err(Damage::Malformed("key is of no kind")),
        }
        Ok(())
    }

    fn finish(mut self) -> VerifyReport {
        for (id, seen) in std::mem::take(&mut self.series) {
            // Points sealed beyond the last whole row are counted with the rows too.
            self.report.samples = self.report.samples.saturating_sub(seen.state.sealed_skip);
            let counted = (seen.state.chunks, seen.state.samples, seen.state.bytes);
            let found = (seen.found.chunks, seen.found.samples, seen.found.bytes);
            if counted != found {
                self.wrong(format!("series {id}: {found:?} chunks, points and bytes found, {counted:?} counted"));
            }
            if !seen.defined {
                self.wrong(format!("series {id}: no definition"));
            }
            if seen.found.last_chunk > seen.state.last_chunk {
                self.wrong(format!("series {id}: chunk {} is newer than its state", seen.found.last_chunk));
            }
        }
        if self.journal != self.report.events {
            self.wrong(format!("journal: {} rows found, {} counted", self.report.events, self.journal));
        }
        self.report
    }
}

/// Checks a whole store, and that it has the commits up to this number.
pub(crate) fn verify_store(storage: &dyn Storage, commits: u64) -> Result<VerifyReport, LoadError> {
    let mut check = Check::default();
    match storage.get(&key::HEADER)?.as_deref().map(|v| unframe(&key::HEADER, v)) {
        Some(Err(Damage::Version(found))) => return Err(LoadError::Version(found)),
        Some(_) => {}
        None => check.wrong("header is missing".into()),
    }
    storage.scan(&[], &[0xff], false, &mut |k, v| {
        if let Err(damage) = check.row(k, v) {
            check.wrong(format!("row {k:02x?}: {damage}"));
        }
        ControlFlow::Continue(())
    })?;
    if check.commit < commits {
        check.wrong(format!("the store fell back to commit {}, {commits} were confirmed", check.commit));
    }
    Ok(check.finish())
}
