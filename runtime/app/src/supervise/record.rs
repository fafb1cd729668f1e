//! What happened while there was no runtime, kept in a file until the next one journals it.

use super::failsafe::Written;
use penstock_historian::Historian;
use penstock_model::{Clock, OutcomeState, SystemClock, Utc};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of the file: hundreds of crashes. Beyond it nothing more is noted; the first trouble is the one that explains.
const BYTES_MAX: u64 = 1024 * 1024;

fn file(state: &Path) -> PathBuf {
    state.join("supervisor.jsonl")
}

/// Notes that a part broke, or is well again.
pub fn note(state: &Path, part: &str, message: &str, active: bool) {
    let now = SystemClock::new().now().utc;
    append(state, &[(now, "fault", json!({"part": part, "message": message, "active": active}))]);
}

/// Notes that the runtime is started with another configuration than lies in the site's folder.
pub fn configuration(state: &Path, message: &str) {
    let now = SystemClock::new().now().utc;
    append(state, &[(now, "config", json!({"what": "started again with", "by": "penstock", "comment": message}))]);
}

/// Notes what was written.
pub fn writes(state: &Path, report: &[Written]) {
    let mut rows = Vec::with_capacity(report.len() * 2);
    for w in report {
        let value = w.value.to_string();
        let origin = "fallback on crash";
        rows.push((w.granted, "command", json!({"tag": &*w.path, "value": value, "origin": origin})));
        let (stage, message, at) = match &w.news {
            Some((OutcomeState::ReadBack, at)) => ("settled", None, *at),
            Some((OutcomeState::Failed(why), at)) => ("failed", Some(why.to_string()), *at),
            Some((_, at)) => ("unknown", Some("confirmed, but not read back within the deadline".to_owned()), *at),
            None => ("unknown", Some("not answered within the deadline".to_owned()), w.granted),
        };
        let body = json!({"tag": &*w.path, "value": value, "origin": origin, "state": stage, "message": message});
        rows.push((at, "outcome", body));
    }
    append(state, &rows);
}

fn append(state: &Path, rows: &[(Utc, &str, Json)]) {
    let path = file(state);
    let result = (|| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        if file.metadata()?.len() > BYTES_MAX {
            return Ok(());
        }
        let mut text = String::new();
        for (at, kind, body) in rows {
            text.push_str(&json!({"at": at.0, "kind": kind, "body": body}).to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    })();
    if let Err(error) = result {
        tracing::warn!(%error, file = %path.display(), "what happened cannot be noted; this log is its only record");
    }
}

/// Journals what was noted, and that the runtime runs again. A line that is damaged is passed over.
pub fn journal(state: &Path, historian: &Historian, now: Utc) {
    let path = file(state);
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let mut rows = 0;
    for line in text.lines() {
        let Ok(row) = serde_json::from_str::<Json>(line) else { continue };
        let (Some(at), Some(kind)) = (row["at"].as_i64(), row["kind"].as_str()) else { continue };
        if let Err(error) = historian.events_append(Utc(at), kind, &row["body"].to_string()) {
            tracing::warn!(%error, "what happened without the runtime cannot be journalled yet; it is tried at the next start");
            return;
        }
        rows += 1;
    }
    if rows > 0 {
        let body = json!({"part": "runtime", "message": "started again", "active": false}).to_string();
        if let Err(error) = historian.events_append(now, "fault", &body) {
            tracing::warn!(%error, "the restart could not be journalled");
        }
        tracing::warn!(rows, "the journal now tells what happened while there was no runtime");
    }
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::warn!(%error, file = %path.display(), "the notes of the supervisor cannot be removed; they may be journalled twice");
    }
}
