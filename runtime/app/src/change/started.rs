//! What a start means for the history of configurations: which entry runs, and what is told where it is not the one that
//! ran last, or not the site's folder.

use super::applied::Applied;
use super::control::{Context, account};
use super::diff::differences;
use super::history::{self, Kind, Note, Outcome};
use super::words::Words;

/// Notes in the history what is started, and tells what differs from what ran last. To be called once at the start.
pub fn started(context: &Context) -> u32 {
    let number = note_start(context);
    if let Some(line) = &context.supervisor {
        line.runs(number);
    }
    number
}

fn note_start(context: &Context) -> u32 {
    let (site, state) = (&context.site, &context.state_dir);
    let last = match history::list(state) {
        Ok((mut entries, broken)) => {
            for asked in entries.iter().filter(|e| e.outcome == Outcome::Asked) {
                let why = Words::new("未知是否生效：运行时在其间结束", "the runtime ended before it was known to run");
                if let Err(error) = history::refuse(state, asked, why) {
                    tracing::warn!(%error, number = asked.number, "the end of a change could not be noted in the history");
                }
            }
            entries.retain(|e| e.outcome == Outcome::Ran);
            for name in broken {
                tracing::warn!(%name, "an entry of the history of configurations cannot be read; it is passed over");
            }
            entries.into_iter().next_back()
        }
        Err(error) => {
            tracing::error!(%error, "the history of configurations cannot be read: what is applied cannot be gone back to");
            None
        }
    };
    if let Some(last) = last.as_ref().filter(|last| last.hash == site.config_hash) {
        return match &context.applied {
            // A runtime that keeps dying must not push out what people did.
            Some(applied) if last.kind != Kind::Restart => note_restart(context, applied, last.number),
            _ => last.number,
        };
    }
    let mut lines = Vec::new();
    if let Some(last) = &last {
        match history::configuration(state, last, &context.overrides) {
            Ok(loaded) => lines = differences(&loaded.site, site).into_iter().map(|d| d.words).collect(),
            Err(error) => tracing::warn!(%error, "what ran last cannot be compared"),
        }
        tracing::warn!(
            last = last.number,
            differences = lines.len(),
            "the site's folder is not the configuration that ran last; the folder is what runs now, because a person started it. \
             `penstock rollback` goes back to what ran last"
        );
        for line in &lines {
            tracing::warn!("  {}", line.en);
        }
    }
    let note = Note {
        at: context.clock.now().utc,
        kind: Kind::Start,
        who: account(None),
        comment: String::new(),
        of: None,
        lines,
    };
    match history::add(state, site, note) {
        Ok(entry) => entry.number,
        Err(error) => {
            tracing::error!(%error, "the running configuration could not be kept: it cannot be gone back to");
            0
        }
    }
}

/// Notes that what was last applied runs again although the folder is another one.
fn note_restart(context: &Context, applied: &Applied, last: u32) -> u32 {
    let note = Note {
        at: context.clock.now().utc,
        kind: Kind::Restart,
        who: "penstock".to_owned(),
        comment: "after a crash".to_owned(),
        of: Some(last),
        lines: vec![applied.words()],
    };
    match history::add(&context.state_dir, &context.site, note) {
        Ok(entry) => entry.number,
        Err(error) => {
            tracing::error!(%error, "the restart could not be noted in the history of configurations");
            last
        }
    }
}
