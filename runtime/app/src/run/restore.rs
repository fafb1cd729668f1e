//! What people decided before a restart, taken up again: set-points, outputs held by hand, acknowledged alarms.

use penstock_engine::Engine;
use penstock_historian::Historian;
use penstock_ledger::Hold;
use penstock_model::{
    AlarmDef, AlarmId, AlarmState, AlarmView, Claim, Origin, Priority, TagId, TagTable, Utc, Value, Wish,
};
use std::sync::Arc;
use std::time::Duration;

/// How far back the journal is read for alarms that were acknowledged before a restart.
const ALARM_RESTORE_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// Rows of the journal read for that; a site floods long before.
const ALARM_RESTORE_ROWS: usize = 20_000;
/// The last entries of persons that still fit the site: a tag may have gone or changed its range since.
pub fn entries(
    tags: &TagTable,
    entries: Vec<(String, Value, String)>,
) -> Vec<(TagId, Value, Arc<str>)> {
    let mut kept = Vec::new();
    for (path, value, who) in entries {
        let Some(def) = tags.find(&path).map(|id| tags.get(id)) else {
            tracing::warn!(tag = %path, %value, "a stored entry names a tag that the site no longer has; it is left out");
            continue;
        };
        let Some(entry) = &def.entry else { continue };
        let fits = value.convert(def.value_type).filter(|v| {
            let number = v.as_f64();
            entry.limits.is_none_or(|(low, high)| number.is_none_or(|n| n >= low && n <= high))
        });
        match fits {
            Some(value) => kept.push((def.id, value, who.as_str().into())),
            None => tracing::warn!(
                tag = %path,
                %value,
                initial = %entry.initial,
                "a stored entry no longer fits the tag's type or limits; the initial value is used"
            ),
        }
    }
    kept
}

/// Outputs stay by hand over a restart, at the value they were held at and in the name of who holds them: whoever took
/// a valve by hand may have somebody working behind it, and did not agree to its program. A hold that may have been
/// released by a record that is damaged is left to the program, and so is one that no longer fits the tag.
pub fn holds(engine: &Engine, holds: &[Hold]) {
    for Hold { tag: path, value, who, at, doubtful } in holds {
        if *doubtful {
            tracing::error!(
                tag = %path, %value, who, since = %at,
                "an output was held by hand before the damaged record of the action log: its release may be lost, so it \
                 is left to its program; look at the output and take it by hand again where needed"
            );
            continue;
        }
        let Some(tag) = engine.tags().find(path) else {
            tracing::warn!(tag = %path, %value, who, "an output held by hand is no longer on the site; the hold is left out");
            continue;
        };
        let origin = Origin::User(who.as_str().into());
        let wish = Wish::Value(value.clone());
        match engine.claim(Claim { tag, wish, origin, priority: Priority::Manual, lease: None }) {
            Ok(()) => tracing::warn!(
                tag = %path, %value, who, since = %at,
                "this output was held by hand before the restart and is held again, until a person releases it"
            ),
            Err(error) => tracing::error!(
                tag = %path, %value, who, %error,
                "an output held by hand before the restart cannot be held again: its program moves it"
            ),
        }
    }
}

/// Alarms keep their acknowledgement over a restart: the journal's last word on each alarm is its state.
pub fn alarms(engine: &Engine, historian: &Historian, alarms: &[AlarmDef], now: Utc) {
    let rows = match historian.events(now - ALARM_RESTORE_WINDOW, now, Some("alarm"), ALARM_RESTORE_ROWS) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "the journal cannot be read; alarms start unacknowledged");
            return;
        }
    };
    let mut seen = vec![false; alarms.len()];
    for row in rows {
        let Ok(body) = serde_json::from_str::<serde_json::Value>(&row.body) else { continue };
        let Some(index) = alarms.iter().position(|a| Some(&*a.name) == body["alarm"].as_str()) else { continue };
        if std::mem::replace(&mut seen[index], true) {
            continue;
        }
        let state = match body["state"].as_str() {
            Some("active") => AlarmState::ActiveUnacknowledged,
            Some("acknowledged") => AlarmState::ActiveAcknowledged,
            Some("returned") => AlarmState::ReturnedUnacknowledged,
            _ => continue,
        };
        let acknowledged = body["by"].as_str().map(|by| (row.utc, by.into()));
        engine.restore_alarm(AlarmView {
            id: AlarmId(u32::try_from(index).unwrap_or(u32::MAX)),
            state,
            raised: Some(row.utc),
            returned: None,
            acknowledged,
            value: None,
        });
    }
}
