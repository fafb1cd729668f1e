//! What people decided before a restart, taken up again: set-points, outputs held by hand, acknowledged alarms.

use penstock_engine::{Engine, ObjectDef};
use penstock_historian::Historian;
use penstock_ledger::{ActionLog, Hold};
use penstock_model::{
    AlarmDef, AlarmId, AlarmState, AlarmView, Claim, Mode, Origin, Priority, TagId, TagTable, Utc, Value, Wish,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How far back the journal is read for alarms that were acknowledged before a restart.
const ALARM_RESTORE_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// Rows of the journal read for that; a site floods long before.
const ALARM_RESTORE_ROWS: usize = 20_000;
/// How far back the journal is read for writes that were under way: a write ends within minutes.
const WRITES_RESTORE_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Rows of the journal read for that, of each kind.
const WRITES_RESTORE_ROWS: usize = 2_000;
/// The last entries of persons that still fit the site: a tag may have gone or changed its range since.
pub fn entries(tags: &TagTable, entries: Vec<(String, Value, String)>) -> Vec<(TagId, Value, Arc<str>)> {
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
///
/// A hold with an end is taken up for what is left of its time, and not at all where that ended meanwhile.
pub fn holds(engine: &Engine, actions: &ActionLog, now: Utc) {
    let mut all = actions.holds();
    let over = |hold: &Hold| hold.until.is_some_and(|until| until <= now);
    for hold in all.iter().filter(|h| over(h)) {
        tracing::warn!(
            tag = %hold.tag, value = %hold.value, who = %hold.who, since = %shown(hold.at),
            "the time of this hold by hand ended while the runtime stood still; its program moves the output"
        );
    }
    all.retain(|hold| !over(hold));
    take_up(engine, &all, now);
}

fn take_up(engine: &Engine, holds: &[Hold], now: Utc) {
    for Hold { tag: path, value, who, at, until, doubtful } in holds {
        if *doubtful {
            tracing::error!(
                tag = %path, %value, who, since = %shown(*at),
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
        match engine.claim(Claim { tag, wish, origin, priority: Priority::Manual, lease: until.map(|u| left(u, now)) })
        {
            Ok(()) => tracing::warn!(
                tag = %path, %value, who, since = %shown(*at),
                "this output was held by hand before the restart and is held again, until a person releases it"
            ),
            Err(error) => tracing::error!(
                tag = %path, %value, who, %error,
                "an output held by hand before the restart cannot be held again: its program moves it"
            ),
        }
    }
}

/// Tells of writes that were under way when the runtime ended that nobody knows what became of them. A command that has
/// neither an outcome nor a successor in the journal was one; whether its device has the value is for the next write
/// to show.
pub fn writes(historian: &Historian, now: Utc) {
    let since = now - WRITES_RESTORE_WINDOW;
    let rows = |kind| historian.events(since, now, Some(kind), WRITES_RESTORE_ROWS);
    let (commands, outcomes) = match (rows("command"), rows("outcome")) {
        (Ok(commands), Ok(outcomes)) => (commands, outcomes),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "the journal cannot be read; writes that were under way are not told");
            return;
        }
    };
    let body = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let mut last_outcome = std::collections::HashMap::new();
    for row in &outcomes {
        let tag = body(&row.body)["tag"].as_str().unwrap_or_default().to_owned();
        let at = last_outcome.entry(tag).or_insert(row.utc);
        *at = row.utc.max(*at);
    }
    let mut seen = std::collections::HashSet::new();
    // Newest first: the first command of a tag is its last.
    for row in &commands {
        let command = body(&row.body);
        let Some(tag) = command["tag"].as_str() else { continue };
        if !seen.insert(tag.to_owned()) || last_outcome.get(tag).is_some_and(|at| *at >= row.utc) {
            continue;
        }
        let (value, origin) = (&command["value"], &command["origin"]);
        let message = "under way when the runtime ended: whether the device took it is not known";
        let told =
            serde_json::json!({"tag": tag, "value": value, "origin": origin, "state": "unknown", "message": message});
        tracing::warn!(%tag, %value, "a write was under way when the runtime ended; whether the device took it is not known");
        if let Err(error) = historian.events_append(now, "outcome", &told.to_string()) {
            tracing::warn!(%error, "the unknown end of a write could not be journalled");
        }
    }
}

/// What is left until then.
fn left(until: Utc, now: Utc) -> Duration {
    Duration::from_nanos(u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0))
}

/// Objects stand as they stood: mode, maintenance lock and what is left of a hold from the action log, latched interlocks
/// from the journal. A mode that the site no longer offers gives way to the declared first one.
pub fn objects(defs: &[ObjectDef], actions: &ActionLog, historian: &Historian, now: Utc) -> Vec<ObjectDef> {
    let mut out = defs.to_vec();
    for standing in actions.objects() {
        let Some(def) = out.iter_mut().find(|d| *d.name == *standing.object) else {
            tracing::warn!(object = %standing.object, "a stored mode names an object that the site no longer has; it is left out");
            continue;
        };
        let offered = |mode: Mode| mode == Mode::Off || def.role_for(mode).is_some();
        let mode = standing.mode.filter(|(mode, _)| {
            let fits = offered(*mode);
            if !fits {
                tracing::warn!(object = %def.name, %mode, "the site no longer offers the mode this object was in; it starts in {}", def.initial);
            }
            fits
        });
        let resume = standing.resume.filter(|m| offered(*m));
        let over = standing.until.is_some_and(|until| until <= now);
        let start = &mut def.start;
        start.resume = resume;
        start.mode = mode.map(|(mode, who)| {
            let ended = over && mode == Mode::Manual;
            (
                if ended { resume.unwrap_or_else(|| resting(def.modes.as_slice(), def.initial)) } else { mode },
                who.as_str().into(),
            )
        });
        start.lease = standing.until.filter(|_| !over).map(|until| left(until, now));
        start.lock = standing.lock;
    }
    latched(&mut out, historian, now);
    out
}

fn resting(modes: &[penstock_model::OfferedMode], initial: Mode) -> Mode {
    if modes.iter().any(|m| m.mode == Mode::Auto) { Mode::Auto } else { initial }
}

/// Interlocks that had latched, by the journal's last word on each: a restart is no reset.
fn latched(defs: &mut [ObjectDef], historian: &Historian, now: Utc) {
    let rows = match historian.events(now - ALARM_RESTORE_WINDOW, now, Some("object"), ALARM_RESTORE_ROWS) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, "the journal cannot be read: which interlocks had latched is not known; look at the machines before they start");
            return;
        }
    };
    let mut seen: HashSet<(String, String)> = HashSet::new();
    for row in rows {
        let Ok(body) = serde_json::from_str::<serde_json::Value>(&row.body) else { continue };
        let (Some(object), Some(when), Some(event)) =
            (body["object"].as_str(), body["when"].as_str(), body["event"].as_str())
        else {
            continue;
        };
        if !seen.insert((object.to_owned(), when.to_owned())) || event == "reset" {
            continue;
        }
        let Some(def) = defs.iter_mut().find(|d| &*d.name == object) else { continue };
        let text = def.interlocks.iter().find(|i| i.latch && &**i.when.text() == when).map(|i| i.when.text().clone());
        if let Some(text) = text {
            def.start.latched.push(text);
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

/// A moment as a log line shows it.
fn shown(at: Utc) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map_or_else(|_| "?".to_owned(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_engine::{EngineConfig, ScanTiming, TaskCore, TaskDef};
    use penstock_model::{
        Command, CommandSink, DeviceId, Fallback, FallbackAction, Instant, Now, OutputDef, QueueFull, Record,
        RecordSink, Source, TagDef, TaskId, Unit,
    };

    struct Nothing;

    impl CommandSink for Nothing {
        fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
            Ok(())
        }
    }

    impl RecordSink for Nothing {
        fn publish(&self, _: Record) {}
    }

    fn engine() -> (Engine, Vec<TaskCore>) {
        let output = Box::new(OutputDef {
            device: None,
            limits: Some((0.0, 100.0)),
            rate_per_s: None,
            min_on: Duration::ZERO,
            min_off: Duration::ZERO,
            fallback: Fallback::always(FallbackAction::Hold),
            write: penstock_model::WritePolicy::default(),
        });
        let tags = (0..3).map(|i| TagDef {
            output: (i < 2).then(|| output.clone()),
            ..TagDef::float(TagId(i), &format!("out{i}"), Unit::NONE, Source::System)
        });
        let config = EngineConfig {
            tags: Arc::new(TagTable::new(tags.collect()).unwrap()),
            tasks: vec![TaskDef::new(TaskId(0), "t", Duration::from_secs(1))],
            programs: Vec::new(),
            alarms: Vec::new(),
            devices: Vec::new(),
            objects: Vec::new(),
            entries: Vec::new(),
        };
        Engine::build(config, Arc::new(Nothing), Arc::new(Nothing), Now::default()).unwrap()
    }

    fn hold(tag: &str, value: f64, doubtful: bool) -> Hold {
        Hold { tag: tag.into(), value: value.into(), who: "li".into(), at: Utc(0), until: None, doubtful }
    }

    #[test]
    fn an_output_held_by_hand_is_held_from_the_first_scan_on() {
        let (engine, mut tasks) = engine();
        take_up(&engine, &[hold("out0", 40.0, false)], Utc(0));
        tasks[0].scan(Now { mono: Instant(1), utc: Utc(1) }, ScanTiming::default());
        let view = engine.output(TagId(0)).unwrap();
        assert!(view.manual);
        assert_eq!(view.granted, Some(Value::Float(40.0)));
        assert_eq!(view.holder, Some((Origin::User("li".into()), Priority::Manual)));
    }

    #[test]
    fn a_hold_that_is_doubtful_or_no_longer_fits_is_left_out() {
        let (engine, mut tasks) = engine();
        let all =
            [hold("out0", 400.0, false), hold("out1", 40.0, true), hold("out2", 1.0, false), hold("gone", 1.0, false)];
        take_up(&engine, &all, Utc(0));
        tasks[0].scan(Now { mono: Instant(1), utc: Utc(1) }, ScanTiming::default());
        assert!((0..2).all(|i| !engine.output(TagId(i)).unwrap().manual));
    }
}
