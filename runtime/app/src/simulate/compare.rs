//! Two reports side by side: every number that changed by more than a hundredth, in groups, worst first.

use serde_json::Value as Json;
use std::fmt::Write as _;

/// A number is told as changed when it differs by more than this share of the larger of the two.
const CHANGE_SHARE: f64 = 0.01;
/// Numbers below this are rounding of 0.
const TINY: f64 = 1e-9;
/// What identifies an item of a list.
const NAMES: [&str; 4] = ["measured", "name", "activity", "parent"];

struct Change {
    group: String,
    place: String,
    before: String,
    now: String,
    /// Share of the larger of both, 0 to 1 or 2; 3 for what is no number.
    weight: f64,
    told: String,
}

/// What changed between an earlier report and a later one, as a table.
pub fn compare(before: &Json, now: &Json) -> String {
    let mut changes = Vec::new();
    differences(&mut Vec::new(), before, now, &mut changes);
    if changes.is_empty() {
        return "no number differs by more than 1 % from the earlier run\n".to_owned();
    }
    // Stable: equal weights stay in the order of the report.
    changes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let mut groups: Vec<&str> = Vec::new();
    for change in &changes {
        if !groups.contains(&change.group.as_str()) {
            groups.push(&change.group);
        }
    }
    let mut out = String::from("changed by more than 1 % against the earlier run\n");
    for group in groups {
        // A text is never full.
        let _ = writeln!(out, "\n{group:<44}{:>14}{:>14}{:>12}", "before", "now", "change");
        for c in changes.iter().filter(|c| c.group == group) {
            let _ = writeln!(out, "  {:<42}{:>14}{:>14}{:>12}", c.place, c.before, c.now, c.told);
        }
    }
    out
}

fn differences(path: &mut Vec<String>, before: &Json, now: &Json, changes: &mut Vec<Change>) {
    match (before, now) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                // The verdict is told by itself.
                if path.is_empty() && key == "verdict" {
                    continue;
                }
                path.push(key.clone());
                differences(path, a.get(key).unwrap_or(&Json::Null), b.get(key).unwrap_or(&Json::Null), changes);
                path.pop();
            }
        }
        (Json::Array(a), Json::Array(b)) => {
            let pick = |list: &[Json], name: &str, index: usize| {
                let named = list.iter().find(|item| label(item).as_deref() == Some(name));
                named.or_else(|| list.get(index).filter(|item| label(item).is_none())).cloned().unwrap_or_default()
            };
            let items = if b.len() >= a.len() { b } else { a };
            for (index, item) in items.iter().enumerate() {
                let name = label(item).unwrap_or_else(|| index.to_string());
                let (x, y) = (pick(a, &name, index), pick(b, &name, index));
                path.push(name);
                differences(path, &x, &y, changes);
                path.pop();
            }
        }
        _ => leaf(path, before, now, changes),
    }
}

fn label(item: &Json) -> Option<String> {
    NAMES.iter().find_map(|key| item[*key].as_str()).map(str::to_owned)
}

fn leaf(path: &[String], before: &Json, now: &Json, changes: &mut Vec<Change>) {
    let (weight, told) = match (before.as_f64(), now.as_f64()) {
        (Some(x), Some(y)) => {
            let scale = x.abs().max(y.abs());
            if scale <= TINY || (x - y).abs() <= CHANGE_SHARE * scale {
                return;
            }
            let told = if x.abs() <= TINY { "new".to_owned() } else { format!("{:+.1} %", (y - x) / x.abs() * 100.0) };
            ((x - y).abs() / scale, told)
        }
        _ if before == now => return,
        _ => (3.0, "other".to_owned()),
    };
    let (group, place) = match path {
        [one] => ("run".to_owned(), one.clone()),
        [group, rest @ ..] => (group.clone(), rest.join(" ")),
        [] => return,
    };
    changes.push(Change { group, place, before: shown(before), now: shown(now), weight, told });
}

fn shown(x: &Json) -> String {
    match x {
        Json::String(text) => text.clone(),
        Json::Null => "-".to_owned(),
        _ => x.as_f64().map_or_else(|| "…".to_owned(), |x| format!("{x:.4}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_grouped_and_the_worst_comes_first() {
        let before = json!({"site": "a", "seed": 1, "values": {"x": {"mean": 10.0}, "y": {"mean": 100.0}},
            "loops": [{"measured": "m", "iae": 1.0}, {"measured": "n", "iae": 2.0}], "verdict": {"failed": 0}});
        let now = json!({"site": "a", "seed": 1, "values": {"x": {"mean": 10.05}, "y": {"mean": 90.0}},
            "loops": [{"measured": "n", "iae": 1.0}, {"measured": "m", "iae": 1.0}], "verdict": {"failed": 1}});
        let table = compare(&before, &now);
        let lines: Vec<&str> = table.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.len(), 5, "{table}");
        assert!(
            lines[1].starts_with("loops") && lines[2].contains("n iae") && lines[2].ends_with("-50.0 %"),
            "{table}"
        );
        assert!(lines[3].starts_with("values") && lines[4].contains("y mean") && lines[4].ends_with("-10.0 %"));
        assert!(!table.contains("verdict") && !table.contains("x mean"), "{table}");
    }

    #[test]
    fn equal_reports_say_so_and_what_is_new_is_told() {
        let report = json!({"values": {"x": {"mean": 10.0}}, "faults": []});
        assert!(compare(&report, &report).starts_with("no number differs"));
        let table = compare(&json!({"indices": null}), &json!({"indices": {"EQI": 5.0}}));
        assert!(table.contains("run") || table.contains("indices"), "{table}");
        let table = compare(&json!({"values": {"x": 0.0}}), &json!({"values": {"x": 2.0}}));
        assert!(table.contains("new"), "{table}");
    }
}
