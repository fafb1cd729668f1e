//! Controlled objects in the journal and in the action log.

use penstock_engine::ObjectDef;
use penstock_ledger::{Action, ActionKind, ActionLog};
use penstock_model::{Cause, ObjectEvent, ObjectEventKind, Role, TagId, with_causes};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// The journal's row of an event. `when` names an interlock within its object: the restart reads it.
pub fn journal_body(event: &ObjectEvent, path: &dyn Fn(TagId) -> String) -> Json {
    let (word, rest) = match &event.what {
        ObjectEventKind::Mode { old, new, by } => {
            ("mode", json!({ "old": old.as_str(), "new": new.as_str(), "by": &**by }))
        }
        ObjectEventKind::Tripped { when, text, cause } => {
            ("tripped", json!({ "when": &**when, "zh": &*text.zh, "en": &*text.en, "cause": cause_json(cause, path) }))
        }
        ObjectEventKind::Cleared { when, text, latched } => {
            (if *latched { "latched" } else { "cleared" }, json!({ "when": &**when, "zh": &*text.zh, "en": &*text.en }))
        }
        ObjectEventKind::Reset { when, text, by } => {
            ("reset", json!({ "when": &**when, "zh": &*text.zh, "en": &*text.en, "by": &**by }))
        }
        ObjectEventKind::LeaseEnding { who, until } => {
            ("lease-ending", json!({ "by": &**who, "until_ms": until.millis() }))
        }
        ObjectEventKind::LeaseEnded { who } => ("lease-ended", json!({ "by": &**who })),
        ObjectEventKind::Locked(lock) => ("locked", json!({ "by": &*lock.who, "reason": &*lock.reason })),
        ObjectEventKind::Unlocked { by } => ("unlocked", json!({ "by": &**by })),
    };
    let mut body = json!({ "object": &*event.object, "event": word });
    if let (Some(body), Json::Object(rest)) = (body.as_object_mut(), rest) {
        body.extend(rest);
    }
    body
}

fn cause_json(cause: &Cause, path: &dyn Fn(TagId) -> String) -> Json {
    json!({
        "tag": path(cause.tag),
        "value": cause.value.as_ref().map(ToString::to_string),
        "quality": cause.quality.to_string(),
        "condition": &*cause.text,
    })
}

/// A hold that ends within this time of its declared end is the one that the record is about: the two clocks of the end
/// are not the same.
const SAME_END: Duration = Duration::from_secs(5);

/// Records the end of a lease in the action log, in the name of who held. Where somebody has taken the output again
/// meanwhile, that stands.
pub fn record_end(actions: &ActionLog, event: &ObjectEvent, objects: &[ObjectDef], path: &dyn Fn(TagId) -> String) {
    let ObjectEventKind::LeaseEnded { who } = &event.what else { return };
    let object = event.object.to_string();
    let def = objects.iter().find(|d| d.name == event.object);
    let (until, outputs, mode) = match def {
        Some(def) => {
            let standing = actions.objects().into_iter().find(|s| s.object == object);
            let mode = standing.as_ref().and_then(|s| s.resume).unwrap_or_else(|| def.resting_mode());
            let outputs = def.outputs.iter().map(|o| path(o.tag)).collect();
            (standing.and_then(|s| s.until), outputs, Some(mode))
        }
        None => {
            let hold = actions.holds().into_iter().find(|h| h.tag == object);
            (hold.and_then(|h| h.until), vec![object.clone()], None)
        }
    };
    if until.is_none_or(|until| until > event.at + SAME_END) {
        return;
    }
    let what = ActionKind::LeaseEnded { object, outputs, mode };
    let action = Action { at: event.at, who: who.to_string(), role: Role::Operator, what, station: "runtime".into() };
    if let Err(error) = actions.append(action) {
        // Nothing moves because of this: the end stands in the log with the hold itself.
        let error = with_causes(&error);
        tracing::error!(error, object = %event.object, "the end of a hold by hand could not be recorded");
    }
}
