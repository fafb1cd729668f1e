//! Broken maps of the Modbus server.

use super::Edit;

/// The name of the case, and what `modbus-server.yaml` then holds.
fn with(name: &'static str, text: &'static str) -> (&'static str, usize, Vec<Edit>) {
    (name, 1, vec![("modbus-server.yaml", "", text)])
}

pub fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        with("served tag that is not there", "points:\n  - { tag: tank/levl, at: HR1 }\n"),
        with(
            "two served tags in one register",
            "points:\n  - { tag: tank/level, at: 40001 }\n  - { tag: tank/flow, at: 30002 }\n",
        ),
        with("served address that is none", "points:\n  - { tag: tank/level, at: 90001 }\n"),
        with("served type that is none", "points:\n  - { tag: tank/level, at: HR1, as: flaot32 }\n"),
        with("served range that does not fit", "points:\n  - { tag: tank/level, at: HR1, as: int16, scale: 0.0001 }\n"),
        with("served number in a bit", "points:\n  - { tag: tank/level, at: DI1 }\n"),
        with("served bad value that is none", "points:\n  - { tag: tank/level, at: HR1, bad: zero }\n"),
        with("served word order that is none", "word_order: BADC\npoints:\n  - { tag: tank/level, at: HR1 }\n"),
        with("server address that is none", "address: localhost\npoints:\n  - { tag: tank/level, at: HR1 }\n"),
        with("server with too many connections", "connections_max: 1000\npoints:\n  - { tag: tank/level, at: HR1 }\n"),
        with("server with a heartbeat in a value", "heartbeat: HR2\npoints:\n  - { tag: tank/level, at: HR1 }\n"),
        with(
            "server with qualities beyond the end",
            "quality_at: 465536\npoints:\n  - { tag: tank/level, at: HR1 }\n  - { tag: tank/flow, at: HR3 }\n",
        ),
    ]
}
