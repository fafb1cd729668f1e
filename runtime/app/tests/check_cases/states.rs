//! Names of states: a tag's own, and sets that tags share.

use super::{Edit, PLC, load, mini};
use std::sync::Arc;

const SETS: &str = "tasks: { normal: 1s, slow: 10s }
state_sets:
  pump: { false: { zh: 停止, en: stopped }, true: running }
  unit: { 0: idle, 1: { zh: 运行, en: at work }, 2: failed }
";
const TASKS: &str = "tasks: { normal: 1s, slow: 10s }\n";
const SWITCH: &str = "  - tag: pump/running\n";

fn with(name: &'static str, states: &'static str) -> (&'static str, usize, Vec<Edit>) {
    (name, 1, vec![("site.yaml", TASKS, SETS), (PLC, SWITCH, states)])
}

pub fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        with("states of a set that is not there", "  - tag: pump/running\n    states: pumps\n"),
        (
            "states of a set where the site has none",
            1,
            vec![(PLC, SWITCH, "  - tag: pump/running\n    states: pump\n")],
        ),
        with("states of a set that is for numbers", "  - tag: pump/running\n    states: unit\n"),
        (
            "states of a set that can be none, and no tag names it",
            2,
            vec![(
                "site.yaml",
                TASKS,
                "tasks: { normal: 1s, slow: 10s }\nstate_sets:\n  pump: { off: stopped, true: running }\n  unit: { 0: idle, 1.5: half }\n",
            )],
        ),
        with("states that are neither names nor a set", "  - tag: pump/running\n    states: [off, on]\n"),
        with("states of a switch by number", "  - tag: pump/running\n    states: { 2: tripped }\n"),
        (
            "states of a quantity",
            1,
            vec![("site.yaml", TASKS, SETS), ("tags.yaml", "range: [0, 500] }", "range: [0, 500], states: unit }")],
        ),
    ]
}

#[test]
fn tags_that_name_a_set_share_it() {
    let dir = mini();
    let edit = |file: &str, from: &str, to: &str| {
        let path = dir.path().join("site").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    edit("site.yaml", TASKS, SETS);
    edit(
        PLC,
        SWITCH,
        "  - tag: pump/remote\n    at: 10002\n    states: pump\n  - tag: pump/running\n    states: pump\n",
    );
    edit(
        "tags.yaml",
        "entries:\n",
        "entries:\n  - { tag: unit/a, type: int, initial: 0, limits: [0, 2], states: unit }\n  - { tag: unit/b, type: int, initial: 3, limits: [0, 5], states: { 3: own } }\n",
    );
    let site = load(dir.path()).unwrap().site;
    let states = |path: &str| site.tags.iter().find(|t| &*t.path == path).unwrap().states.clone();
    let english = |path: &str| states(path).iter().map(|(n, t)| (*n, t.en.to_string())).collect::<Vec<_>>();
    assert_eq!(english("pump/running"), [(0, "stopped".to_owned()), (1, "running".to_owned())]);
    assert_eq!(english("unit/a"), [(0, "idle".to_owned()), (1, "at work".to_owned()), (2, "failed".to_owned())]);
    assert_eq!(&*states("unit/a")[1].1.zh, "运行");
    assert_eq!(english("unit/b"), [(3, "own".to_owned())]);
    assert!(Arc::ptr_eq(&states("pump/running"), &states("pump/remote")), "kept once for all that name it");
}
