//! Broken points by SunSpec model and name.

use super::Edit;

/// What may be wrong with such a point: each case adds one to the device.
pub fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    let with =
        |name, errors, point: &'static str| (name, errors, vec![("devices/plc.yaml", "  - tag: pump/running", point)]);
    vec![
        with(
            "sunspec point that is misspelt",
            1,
            "  - { tag: pv/power, at: sunspec 103.w, unit: kW }\n  - tag: pump/running",
        ),
        with("sunspec model without a table", 1, "  - { tag: pv/power, at: sunspec 104.W }\n  - tag: pump/running"),
        with(
            "sunspec family that is misspelt",
            1,
            "  - { tag: pv/power, at: sunspec invertr.W }\n  - tag: pump/running",
        ),
        with("sunspec point of a repetition", 1, "  - { tag: pv/power, at: sunspec 160.DCW }\n  - tag: pump/running"),
        with(
            "sunspec unit of another quantity",
            1,
            "  - { tag: pv/power, at: sunspec 103.W, unit: kWh }\n  - tag: pump/running",
        ),
        with(
            "sunspec scale",
            1,
            "  - { tag: pv/power, at: sunspec 103.W, unit: kW, scale: 0.001 }\n  - tag: pump/running",
        ),
        with("sunspec type", 1, "  - { tag: pv/power, at: sunspec 103.W, unit: kW, as: int32 }\n  - tag: pump/running"),
        with("sunspec text or number", 1, "  - { tag: pv/serial, at: sunspec 1.SN | 1.DA }\n  - tag: pump/running"),
        with(
            "sunspec factor out of reach",
            1,
            "  - { tag: pv/power, at: sunspec 160.module.9.DCW, unit: kW }\n  - tag: pump/running",
        ),
        with(
            "sunspec command of a measurement",
            1,
            "  - { tag: pv/limit, at: sunspec 103.W, unit: kW, range: [0, 9], write: {}, entry: { initial: 1 } }\n  - tag: pump/running",
        ),
        with(
            "sunspec revert without a timer",
            1,
            "  - { tag: pv/limit, at: sunspec 121.WMax, unit: kW, range: [0, 9], revert: 60s, write: {}, entry: { initial: 1 } }\n  - tag: pump/running",
        ),
        with(
            "sunspec revert that comes before the repetition",
            1,
            "  - { tag: pv/limit, at: sunspec 123.WMaxLimPct, range: [0, 100], revert: 60s, write: { repeat: 90s }, entry: { initial: 1 } }\n  - tag: pump/running",
        ),
        with(
            "sunspec revert of a measurement",
            1,
            "  - { tag: pv/power, at: sunspec 103.W, revert: 60s }\n  - tag: pump/running",
        ),
        with(
            "revert of a plain register",
            1,
            "  - { tag: pv/power, at: 40100, as: int16, revert: 60s }\n  - tag: pump/running",
        ),
        (
            "sunspec base that is none",
            1,
            vec![("devices/plc.yaml", "heartbeat: { write: HR900, every: 1s }", "sunspec: { base: 40001x }")],
        ),
        (
            "sunspec heartbeat that nobody may write",
            1,
            vec![("devices/plc.yaml", "write: HR900", "write: sunspec 715.DERHb")],
        ),
    ]
}
