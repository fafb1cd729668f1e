//! `penstock verify`: reads every stored byte again and says what does not hold.

use penstock_model::with_causes;
use std::path::Path;

/// Verifies the stores of a state folder.
///
/// # Errors
/// In words for a person: the first thing that does not hold in each store.
pub fn run(state: &Path) -> Result<(), String> {
    if !state.is_dir() {
        return Err(format!("{} is no state folder: give the folder named by --state at the run", state.display()));
    }
    let mut broken = Vec::new();
    match penstock_historian::Historian::verify(&state.join("history")) {
        Ok(r) => {
            say!(
                "history: {} samples in {} series, {} chunks, {} journal rows",
                r.samples,
                r.series,
                r.chunks,
                r.events
            );
            broken.extend(r.damaged.iter().map(|d| format!("history: {d}")));
        }
        Err(error) => broken.push(with_causes(&error)),
    }
    let mut chain = |what: &str, result: Result<penstock_ledger::VerifyReport, String>| match result {
        Ok(r) => {
            say!("{what}: {} records, head {}", r.records, r.head);
            broken.extend(r.broken.map(|b| format!("{what}: {b}")));
        }
        Err(error) => broken.push(format!("{what}: {error}")),
    };
    chain("actions", penstock_ledger::ActionLog::verify(&state.join("actions")).map_err(|e| with_causes(&e)));
    // A site without an energy account has no ledger.
    let ledger = state.join("ledger");
    if ledger.exists() {
        chain("ledger", penstock_ledger::Ledger::verify(&ledger).map_err(|e| with_causes(&e)));
    } else {
        say!("ledger: none here");
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n       ")) }
}
