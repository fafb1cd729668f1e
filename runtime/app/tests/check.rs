//! What `penstock check` says. One small site loads; each case breaks one thing in it, and the whole answer is
//! compared with its section of `fixtures/check/gallery.txt`. Run with `PENSTOCK_UPDATE=1` to write that file anew,
//! and read the difference.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[path = "check_cases/modbus_server.rs"]
mod modbus_server;
#[path = "check_cases/mqtt.rs"]
mod mqtt;
#[path = "common/opcua_cases.rs"]
mod opcua_cases;
#[path = "check_cases/opcua_server.rs"]
mod opcua_server;
#[path = "check_cases/states.rs"]
mod states;
#[path = "check_cases/sunspec.rs"]
mod sunspec;

use penstock::config::{self, DriverConfig, Loaded, Overrides};
use penstock::diagnostics::{Diagnostics, Severity};
use penstock_model::{FallbackAction, Source, Value, ValueType};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The small site, on its own, to be broken.
fn mini() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("site"), &dir.path().join("site"));
    copy(&fixtures().join("profiles"), &dir.path().join("profiles"));
    dir
}

fn load(dir: &Path) -> Result<Loaded, Diagnostics> {
    config::load(&dir.join("site"), &Overrides::default())
}

/// A change of one file: this text becomes that; with no first text the file is replaced as a whole.
type Edit = (&'static str, &'static str, &'static str);

fn broken(name: &str, edits: &[Edit]) -> (Diagnostics, String) {
    let dir = mini();
    for (file, from, to) in edits {
        let path = dir.path().join("site").join(file);
        let text = if from.is_empty() {
            (*to).to_owned()
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "case `{name}`: `{from}` is not in {file}");
            text.replacen(from, to, 1)
        };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = load(dir.path()).err().unwrap_or_default();
    let text = found.to_string().replace(&format!("{}/", dir.path().display()), "");
    (found, text)
}

const PLC: &str = "devices/plc.yaml";

/// Every case: its name, how many errors it gives, and what is broken.
fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    let mut all = forms();
    all.extend(references());
    all.extend(values());
    all.extend(programs());
    all.extend(alarms_and_accounts());
    all.extend(objects());
    all.extend(opcua_cases::opcua_servers());
    all.extend(mqtt::cases());
    all.extend(sunspec::cases());
    all.extend(modbus_server::cases());
    all.extend(opcua_server::cases());
    all.extend(states::cases());
    all
}

fn forms() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        ("broken yaml", 1, vec![("tags.yaml", "entries:", "entries: [")]),
        ("tab for indentation", 1, vec![(PLC, "  fast: { every: 1s }", "\tfast: { every: 1s }")]),
        ("unknown key", 1, vec![(PLC, "range: [0, 5]", "rnage: [0, 5]")]),
        (
            "every unknown key at once",
            3,
            vec![
                (PLC, "    ttl: 5s", "    tll: 5s"),
                (PLC, "  - tag: pump/running\n    at: 10001", "  - tag: pump/running\n    att: 10001"),
                ("alarms.yaml", "on_delay", "ondelay"),
            ],
        ),
        ("missing key", 1, vec![("alarms.yaml", "  priority: high\n", "")]),
        ("key twice", 1, vec![(PLC, "    ttl: 5s", "    unit: m")]),
        ("not a number", 1, vec![(PLC, "range: [0, 5]", "range: [0, five]")]),
        ("a value is missing", 1, vec![(PLC, "tag: tank/level\n", "tag:\n")]),
        ("empty file", 1, vec![("energy.yaml", "", "\n")]),
        ("missing file", 1, vec![("site.yaml", "[programs.yaml]", "[programs.yaml, night.yaml]")]),
        ("no file matches", 1, vec![("site.yaml", "[devices/*.yaml]", "[devices/*.yaml, more/*.yaml]")]),
        ("site.yaml unknown key", 1, vec![("site.yaml", "time_zone:", "timezone:")]),
        (
            "empty site",
            1,
            vec![
                (
                    "site.yaml",
                    "",
                    "site: empty\nname: Empty\ntime_zone: UTC\ntasks: { normal: 1s }\ninclude:\n  devices: []\n  tags: []\n  programs: []\n  alarms: []\n  energy: e.yaml\n  carbon: c.yaml\n  pages: p.yaml\n",
                ),
                ("p.yaml", "", "{}\n"),
                (
                    "e.yaml",
                    "",
                    "meters: []\ntariff: { currency: CNY, export_price: 0, tiers: [{ tier: a, title: A, price: 1 }], periods: [{ tier: a, from: \"00:00\", to: \"24:00\" }] }\n",
                ),
                ("c.yaml", "", "factors: []\nactivities: []\n"),
            ],
        ),
        ("no task", 1, vec![("site.yaml", "tasks: { normal: 1s, slow: 10s }", "tasks: {}")]),
    ]
}

fn references() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        ("unknown tag", 1, vec![("programs.yaml", "sp: tank/level_sp", "sp: tank/levl_sp")]),
        ("unknown script", 1, vec![("programs.yaml", "script: level.rhai", "script: levle.rhai")]),
        ("unknown task", 1, vec![("programs.yaml", "task: slow", "task: slwo")]),
        ("unknown group", 1, vec![(PLC, "group: fast", "group: fats")]),
        ("unknown input", 1, vec![("programs.yaml", "sp: tank/level_sp", "setpoint: tank/level_sp")]),
        ("unknown output", 1, vec![("programs.yaml", "out: { speed:", "out: { sped:")]),
        ("unknown parameter", 1, vec![("programs.yaml", "kp: 20", "kpp: 20")]),
        ("unknown profile", 1, vec![("devices/meter.yaml", "profile: meter", "profile: metr")]),
        ("unknown driver", 1, vec![(PLC, "driver: modbus-tcp", "driver: modbus-tpc")]),
        ("no driver", 1, vec![(PLC, "driver: modbus-tcp\n", "")]),
        ("unknown time zone", 1, vec![("site.yaml", "Asia/Shanghai", "Asia/Shangai")]),
        ("unknown tag on a page", 1, vec![("hmi/pages.yaml", "tag: tank/level }", "tag: tank/levels }")]),
        (
            "loop in two units",
            1,
            vec![("site.yaml", "mqtt:", "loops: [{ measured: tank/level, set_point: tank/flow }]\nmqtt:")],
        ),
        ("unknown tag for mqtt", 1, vec![("site.yaml", "tags: [tank/*]", "tags: [tnk/*]")]),
        ("duplicate tag", 1, vec![("tags.yaml", "tag: gain", "tag: tank/flow")]),
        ("duplicate device", 1, vec![("devices/server.yaml", "device: server", "device: plc")]),
        ("duplicate program", 1, vec![("programs.yaml", "program: volume", "program: level")]),
        ("a tag of the runtime's own", 1, vec![("tags.yaml", "tag: gain", "tag: sys/gain")]),
        ("not a tag path", 1, vec![("tags.yaml", "tag: gain", "tag: /gain")]),
        (
            "a broken entry hides no other mistake and makes none up",
            2,
            vec![(PLC, "    ttl: 5s", "    tll: 5s"), ("alarms.yaml", "above: 4.5", "above: 4.5\n  below: 1")],
        ),
    ]
}

fn values() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        ("bad duration", 1, vec![(PLC, "timeout: 500ms", "timeout: 500")]),
        ("time beyond every clock", 1, vec![(PLC, "slow: { every: 10s }", "slow: { every: 99999999999999d }")]),
        ("bad unit of time", 1, vec![(PLC, "ttl: 5s", "ttl: 5sec")]),
        ("bad unit", 1, vec![(PLC, "unit: m3/h", "unit: m3/hr")]),
        ("bad register", 1, vec![(PLC, "at: 30003", "at: 70003")]),
        ("bad wire type", 1, vec![(PLC, "as: uint16", "as: uint17")]),
        ("bad byte order", 1, vec![(PLC, "byte_order: ABCD", "byte_order: ACBD")]),
        ("bad address", 1, vec![(PLC, "127.0.0.1:502", "127.0.0.1")]),
        ("bad node id", 1, vec![("devices/server.yaml", "s=Lab.PH", "Lab.PH")]),
        ("bad endpoint", 1, vec![("devices/server.yaml", "opc.tcp://127.0.0.1:4840", "http://127.0.0.1:4840")]),
        ("bad rate", 1, vec![(PLC, "rate: 1/s", "rate: fast")]),
        ("bad fallback", 1, vec![(PLC, "hold 5min then 40", "stay 5min")]),
        ("bad role", 1, vec![("tags.yaml", "role: engineer", "role: enginer")]),
        ("bad type", 1, vec![("tags.yaml", "    unit: \"\"", "    type: flaot")]),
        ("range upside down", 1, vec![(PLC, "range: [0, 5]\n    group", "range: [5, 0]\n    group")]),
        ("limits outside the range", 1, vec![(PLC, "limits: [20, 90]", "limits: [20, 120]")]),
        ("initial value outside the limits", 1, vec![(PLC, "initial: 2.5", "initial: 4.5")]),
        ("initial value of another type", 1, vec![(PLC, "initial: 2.5", "initial: high")]),
        ("fallback outside the limits", 1, vec![(PLC, "fault: 40", "fault: 10")]),
        (
            "fallback missing",
            1,
            vec![(
                PLC,
                "    fallback: { bad_input: hold 5min then 40, fault: 40, link: device, shutdown: hold }\n",
                "",
            )],
        ),
        ("fallback says not everything", 1, vec![(PLC, ", link: device", "")]),
        ("fallback for a crash outside the limits", 1, vec![(PLC, "shutdown: hold", "shutdown: hold, crash: 5")]),
        ("deadband too wide", 1, vec![(PLC, "tolerance: 0.05 }", "tolerance: 0.05, deadband: 20 }")]),
        ("quiet without a deadband", 1, vec![(PLC, "tolerance: 0.05 }", "tolerance: 0.05, quiet: 5s }")]),
        ("feedback is no tag", 1, vec![(PLC, "tolerance: 0.05 }", "tolerance: 0.05, feedback: { tag: pump/sped } }")]),
        (
            "feedback in another unit",
            1,
            vec![(PLC, "tolerance: 0.05 }", "tolerance: 0.05, feedback: { tag: tank/level } }")],
        ),
        ("heartbeat of unknown words", 2, vec![(PLC, "every: 1s }", "every: 1s, values: toggel, while: scan }")]),
        (
            "supervisor with wrong words",
            3,
            vec![(
                "site.yaml",
                "tasks: {",
                "supervisor: { deadline: 10ms, max_restarts: often, hang: 10ms }\ntasks: {",
            )],
        ),
        ("write to an input register", 1, vec![(PLC, "at: 40001", "at: 30101")]),
        ("register written twice", 1, vec![(PLC, "at: 40003", "at: 40001")]),
        ("heartbeat register written", 1, vec![(PLC, "HR900", "HR1")]),
        ("float in a coil", 1, vec![(PLC, "at: 30003", "at: \"00003\"")]),
        ("time to live within a poll", 1, vec![(PLC, "ttl: 5s", "ttl: 1s")]),
        ("task period out of bounds", 1, vec![("site.yaml", "normal: 1s", "normal: 1ms")]),
        (
            "task with wrong words",
            4,
            vec![(
                "site.yaml",
                "tasks: { normal: 1s, slow: 10s }",
                "tasks:\n  normal: { every: 1s, cpu: -1, overrun: skipp }\n  slow: { every: 5 parsec }\n  idle: { every: 20s, cores: 2 }",
            )],
        ),
        ("task without a period", 1, vec![("site.yaml", "normal: 1s", "normal: { cpu: 1 }")]),
        ("task period without a unit", 1, vec![("site.yaml", "normal: 1s", "normal: 100")]),
        ("bad broker", 1, vec![("site.yaml", "127.0.0.1:1883", "127.0.0.1")]),
    ]
}

fn programs() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        (
            "two writers",
            2,
            vec![
                ("programs.yaml", "volume: tank/volume", "volume: pump/speed/cmd"),
                ("scripts/volume.rhai", "\"m3\"", "\"%\""),
            ],
        ),
        ("unit mismatch", 1, vec![("scripts/volume.rhai", "p.input(\"level\", \"m\")", "p.input(\"level\", \"mm\")")]),
        ("type mismatch", 1, vec![("programs.yaml", "in: { level: tank/level }", "in: { level: pump/running }")]),
        ("input not bound", 1, vec![("programs.yaml", "in: { level: tank/level }", "in: {}")]),
        ("output not bound", 2, vec![("programs.yaml", "  out: { volume: tank/volume }\n", "")]),
        ("parameter not set", 1, vec![("programs.yaml", "kp: 20, ti: 5min", "kp: 20")]),
        ("parameter outside its limits", 1, vec![("programs.yaml", "kp: 20", "kp: 200")]),
        ("parameter of another type", 1, vec![("programs.yaml", "kp: 20", "kp: true")]),
        ("parameter with a bad duration", 1, vec![("programs.yaml", "ti: 5min", "ti: 5minutes")]),
        (
            "output to a tag that is read",
            2,
            vec![
                ("programs.yaml", "speed: pump/speed/cmd", "speed: lab/ph"),
                ("scripts/level.rhai", "p.output(\"speed\", \"%\")", "p.output(\"speed\", \"pH\")"),
            ],
        ),
        (
            "nothing writes an output",
            1,
            vec![(
                PLC,
                "    entry: { initial: 2.5, limits: [1, 4] }",
                "    fallback: { bad_input: hold, fault: hold, link: hold, shutdown: hold }",
            )],
        ),
        (
            "circle of programs",
            1,
            vec![
                ("tags.yaml", "computed:", "computed:\n  - { tag: other, unit: m3 }"),
                (
                    "scripts/copy.rhai",
                    "",
                    "fn declare(p) { p.title(\"拷贝\", \"Copy\"); p.input(\"a\", \"m3\"); p.output(\"b\", \"m3\"); }\nfn scan(io) { io.b = io.a; }\n",
                ),
                (
                    "programs.yaml",
                    "  script: volume.rhai\n  task: slow\n  in: { level: tank/level }\n  out: { volume: tank/volume }\n",
                    "  script: copy.rhai\n  task: slow\n  in: { a: other }\n  out: { b: tank/volume }\n- program: back\n  script: copy.rhai\n  task: slow\n  in: { a: tank/volume }\n  out: { b: other }\n",
                ),
            ],
        ),
        ("script does not compile", 1, vec![("scripts/volume.rhai", "io.level * 100.0;", "io.level * ;")]),
        ("script uses an undeclared port", 1, vec![("scripts/volume.rhai", "io.level * 100.0", "io.levle * 100.0")]),
        (
            "script calls an unknown function",
            1,
            vec![("scripts/volume.rhai", "io.level * 100.0", "clmap(io.level, 0.0, 1.0)")],
        ),
        ("script folder missing", 1, vec![("site.yaml", "tasks:", "scripts: ../scirpts\ntasks:")]),
    ]
}

/// The small site's one object, with this put into it.
const OBJECT: &str = "- object: pump\n  title: Pump\n  outputs: [{ tag: pump/speed/cmd, off: 20 }]\n";

fn objects() -> Vec<(&'static str, usize, Vec<Edit>)> {
    let with = |more: &str| -> Vec<Edit> {
        let text: &'static str = Box::leak(format!("{OBJECT}{more}").into_boxed_str());
        vec![("objects.yaml", "", text)]
    };
    let interlock = |when: &str| with(&format!("  interlocks:\n    - {{ when: \"{when}\", text: x }}\n"));
    vec![
        ("an interlock names a tag that does not exist", 1, interlock("tank/levle > 4 m")),
        ("an interlock in another unit", 1, interlock("tank/level > 4 bar for 2s")),
        ("an interlock with an unknown unit", 1, interlock("tank/level > 4 meter")),
        ("an interlock that reads its own output", 1, interlock("pump/speed/cmd > 80 %")),
        ("an interlock on a number alone", 1, interlock("tank/level and pump/running")),
        ("an interlock that can never act", 1, interlock("tank/level > 5 m")),
        ("an interlock with a switch as a number", 1, interlock("pump/running > 3")),
        ("an interlock that is not closed", 1, interlock("(tank/level > 4 m")),
        ("an interlock without a time", 1, interlock("tank/level > 4 m for long")),
        (
            "an interlock with a policy and a value that do not fit",
            2,
            with("  interlocks:\n    - { when: pump/running, value: 10, bad: fall, text: x }\n"),
        ),
        (
            "an off value outside the limits",
            1,
            vec![("objects.yaml", "", "- object: pump\n  title: Pump\n  outputs: [{ tag: pump/speed/cmd, off: 0 }]\n")],
        ),
        (
            "an object of what people enter",
            1,
            vec![("objects.yaml", "", "- object: pump\n  title: Pump\n  outputs: [{ tag: tank/level_sp, off: 2 }]\n")],
        ),
        (
            "an object of what is only measured",
            1,
            vec![("objects.yaml", "", "- object: pump\n  title: Pump\n  outputs: [{ tag: tank/level, off: 2 }]\n")],
        ),
        (
            "an output in two objects",
            1,
            vec![(
                "objects.yaml",
                "",
                "- object: a\n  title: A\n  outputs: [{ tag: pump/speed/cmd, off: 20 }]\n- object: b\n  title: B\n  outputs: [{ tag: pump/speed/cmd, off: 20 }]\n",
            )],
        ),
        (
            "an object twice",
            1,
            vec![(
                "objects.yaml",
                "",
                "- object: a\n  title: A\n  outputs: [{ tag: pump/speed/cmd, off: 20 }]\n- object: a\n  title: A\n  outputs: [{ tag: pump/speed/cmd, off: 20 }]\n",
            )],
        ),
        ("a mode that nobody can select", 1, with("  modes: { auto: operator, local: operator }\n")),
        ("a role that does not exist", 1, with("  modes: { auto: operater }\n")),
        ("an object that starts in a mode it does not offer", 1, with("  initial: cascade\n")),
        ("a hold that is longer than the longest", 1, with("  hold: { default: 8h, max: 1h }\n")),
        (
            "a permissive of another's output",
            1,
            with("  permissives:\n    - { when: pump/running, output: pump/speed, text: x }\n"),
        ),
        (
            "feedback in another unit",
            1,
            vec![(
                "objects.yaml",
                "",
                "- object: pump\n  title: Pump\n  outputs: [{ tag: pump/speed/cmd, off: 20, feedback: tank/level }]\n",
            )],
        ),
    ]
}

fn alarms_and_accounts() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        ("alarm on an unknown tag", 1, vec![("alarms.yaml", "tag: tank/level", "tag: tank/leveel")]),
        ("alarm limit on a switch", 1, vec![("alarms.yaml", "tag: tank/level\n", "tag: pump/running\n")]),
        ("alarm limit outside the range", 1, vec![("alarms.yaml", "above: 4.5", "above: 5")]),
        ("alarm equals on a float", 1, vec![("alarms.yaml", "above: 4.5", "equals: 4")]),
        ("alarm without a condition", 1, vec![("alarms.yaml", "  above: 4.5\n", "")]),
        ("alarm with two conditions", 1, vec![("alarms.yaml", "above: 4.5", "above: 4.5\n  bad: true")]),
        ("alarm priority unknown", 1, vec![("alarms.yaml", "priority: high", "priority: hihg")]),
        ("alarm deadband negative", 1, vec![("alarms.yaml", "deadband: 0.2", "deadband: -0.2")]),
        ("meter on an unknown tag", 1, vec![("energy.yaml", "import: met/energy", "import: met/enrgy")]),
        ("meter in another unit", 1, vec![("energy.yaml", "import: met/energy", "import: met/power")]),
        ("meter with an unknown parent", 1, vec![("energy.yaml", "kind: grid,", "kind: grid, parent: gird,")]),
        ("meter of an unknown kind", 1, vec![("energy.yaml", "kind: grid", "kind: gridd")]),
        ("tariff with a hole", 1, vec![("energy.yaml", "to: \"24:00\"", "to: \"23:00\"")]),
        ("tariff with an unknown tier", 1, vec![("energy.yaml", "tier: flat, from", "tier: falt, from")]),
        ("tariff with a bad time", 1, vec![("energy.yaml", "from: \"00:00\"", "from: midnight")]),
        ("factor unknown", 1, vec![("carbon.yaml", "factor: grid, quantity", "factor: gird, quantity")]),
        ("factor in another unit", 1, vec![("carbon.yaml", "unit: kg CO2e/kWh", "unit: kg CO2e/kg")]),
        ("factor outside its range", 1, vec![("carbon.yaml", "source: a test", "source: a test, range: [0.7, 0.8]")]),
        ("activity counts an unknown meter", 1, vec![("carbon.yaml", "{ meter: grid }", "{ meter: girds }")]),
        (
            "activity counts two things",
            1,
            vec![("carbon.yaml", "{ meter: grid }", "{ meter: grid, mass_flow: tank/flow }")],
        ),
    ]
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_was_meant() {
    let mut gallery = String::new();
    let mut wrong = Vec::new();
    for (name, count, edits) in cases() {
        let (found, text) = broken(name, &edits);
        let errors = found.errors().count();
        if errors != count || found.items.len() != count {
            wrong.push(format!("case `{name}`: {errors} errors, expected {count}\n{text}"));
        }
        for d in &found.items {
            if d.excerpt.is_none() && d.pos.line > 0 {
                wrong.push(format!("case `{name}`: no excerpt\n{d}"));
            }
        }
        writeln!(gallery, "## {name}\n\n{text}\n").unwrap();
    }
    let path = fixtures().join("gallery.txt");
    if std::env::var_os("PENSTOCK_UPDATE").is_some() {
        std::fs::write(&path, &gallery).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (got, want) in gallery.split("## ").zip(expected.split("## ")) {
        assert_eq!(got, want);
    }
    assert_eq!(gallery.len(), expected.len(), "the gallery has sections of cases that are gone");
}

#[test]
fn the_small_site_loads_as_written() {
    let dir = mini();
    let site = load(dir.path()).unwrap_or_else(|e| panic!("{e}")).site;
    let tag = |path: &str| site.tags.get(site.tags.find(path).unwrap_or_else(|| panic!("no tag {path}")));
    let level = tag("tank/level");
    assert_eq!((level.range, level.ttl), (Some((0.0, 5.0)), Some(Duration::from_secs(5))));
    assert_eq!(tag("tank/flow").ttl, Some(Duration::from_secs(5)), "five periods of the first group");
    assert_eq!(tag("pump/running").value_type, ValueType::Bool);
    assert_eq!(tag("met/power").title.en.as_ref(), "met/power");
    let speed = tag("pump/speed/cmd");
    assert_eq!(speed.source, Source::Program("level".into()));
    let output = speed.output.as_ref().unwrap();
    assert_eq!((output.limits, output.rate_per_s), (Some((20.0, 90.0)), Some(1.0)));
    assert_eq!(output.fallback.bad_input, FallbackAction::HoldThen(Duration::from_secs(300), Value::Float(40.0)));
    assert_eq!(output.fallback.overrun, FallbackAction::Value(Value::Float(40.0)), "as `fault`");
    assert_eq!(output.fallback.link, FallbackAction::Release);
    let sp = tag("tank/level_sp");
    assert_eq!(sp.source, Source::Operator);
    assert!(sp.output.is_some() && sp.entry.as_ref().is_some_and(|e| e.limits == Some((1.0, 4.0))));
    assert_eq!(tag("energy/tariff/tier").value_type, ValueType::Int, "published by the ledger");
    let level = &site.programs[0];
    assert_eq!(level.params, vec![("kp".to_owned(), Value::Float(20.0)), ("ti".to_owned(), Value::Float(300.0))]);
    assert!(site.objects.is_empty());
    assert_eq!(site.tasks.iter().map(|t| &*t.name).collect::<Vec<_>>(), ["normal", "slow"]);
    let names: Vec<&str> = site.devices.iter().map(|d| &*d.name).collect();
    assert_eq!(names, ["meter", "plc", "server"]);
    assert!(
        site.mqtt.as_ref().is_some_and(|m| m.config.brokers[0].port == 1883 && m.config.tags.len() == 4),
        "{:?}",
        site.mqtt
    );
    assert_eq!(site.pages["pages"][0]["items"][0]["tag"], "tank/level");
    assert_eq!(site.config_hash.len(), 12);
}

#[test]
fn the_hash_follows_the_content_and_not_the_place() {
    let (a, b) = (mini(), mini());
    let hash = |dir: &Path| load(dir).unwrap().site.config_hash;
    assert_eq!(hash(a.path()), hash(b.path()));
    let script = b.path().join("site/scripts/volume.rhai");
    let text = std::fs::read_to_string(&script).unwrap().replace("100.0", "101.0");
    std::fs::write(&script, text).unwrap();
    assert_ne!(hash(a.path()), hash(b.path()), "a script is part of the configuration");
}

#[test]
fn an_address_can_be_given_from_outside() {
    let dir = mini();
    let overrides = |list: &[(&str, &str)]| Overrides {
        device_address: list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
    };
    let given = overrides(&[("plc", "10.0.0.7:1502"), ("server", "10.0.0.8:4999")]);
    let site = config::load(&dir.path().join("site"), &given).unwrap().site;
    let address = |name: &str| match &site.devices.iter().find(|d| &*d.name == name).unwrap().driver {
        DriverConfig::Modbus(c) => c.address.clone(),
        DriverConfig::OpcUa(c) => c.endpoint.clone(),
    };
    assert_eq!(address("plc"), "10.0.0.7:1502");
    assert_eq!(address("server"), "opc.tcp://10.0.0.8:4999");
    let wrong = config::load(&dir.path().join("site"), &overrides(&[("plk", "10.0.0.7:1502")])).unwrap_err();
    assert!(wrong.to_string().contains("did you mean `plc`?"), "{wrong}");
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = mini();
    let path = dir.path().join("site/alarms.yaml");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(dir.path().join("site/tags.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let site = dir.path().join("site/site.yaml");
    let text =
        std::fs::read_to_string(&site).unwrap().replace("[programs.yaml]", "[programs.yaml]\n  alarms: [alarms.yaml]");
    std::fs::write(&site, text).unwrap();
    let found = load(dir.path()).unwrap_err().to_string();
    assert!(found.contains("alarms.yaml` is a folder, not a file"), "{found}");
    assert!(found.contains("tags.yaml` is not UTF-8 text"), "{found}");
}

#[test]
fn a_wrong_site_folder_is_told_as_such() {
    let dir = mini();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    for (folder, problem) in [
        ("none", "does not exist"),
        ("empty", "has no site.yaml; give the folder that holds it"),
        ("site/site.yaml", "is a file; give the folder that holds site.yaml"),
    ] {
        let found = config::load(&dir.path().join(folder), &Overrides::default()).unwrap_err().to_string();
        assert!(found.contains(&format!("{folder}` {problem}")), "{found}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_none_is_not_waited_for() {
    let dir = mini();
    let path = dir.path().join("site/tags.yaml");
    std::fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let found = load(dir.path()).unwrap_err().to_string();
    assert!(found.contains("tags.yaml` is no ordinary file"), "{found}");
}

#[test]
fn files_of_another_systems_editor_are_read_as_they_are() {
    let dir = mini();
    for file in ["site.yaml", "tags.yaml", "programs.yaml", PLC, "scripts/volume.rhai"] {
        let path = dir.path().join("site").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{FEFF}{}", text.replace('\n', "\r\n"))).unwrap();
    }
    let loaded = load(dir.path());
    assert!(loaded.is_ok(), "{}", loaded.err().unwrap());
}

#[test]
fn diagnostics_are_also_json() {
    let (found, _) = broken("json", &[(PLC, "range: [0, 5]", "rnage: [0, 5]")]);
    let json = found.to_json();
    assert_eq!(json["errors"][0]["line"], 16);
    assert_eq!(json["errors"][0]["column"], 5);
    assert_eq!(json["errors"][0]["help"], "did you mean `range`?");
    assert!(json["errors"][0]["file"].as_str().unwrap().ends_with("site/devices/plc.yaml"));
}

#[test]
fn every_kind_of_file_has_a_schema_that_knows_its_keys() {
    for kind in config::SCHEMA_KINDS {
        assert!(config::schema(kind).is_some(), "{kind}");
    }
    assert!(config::schema("colour").is_none());
    let text = config::schema("device").unwrap().to_string();
    for key in ["byte_order", "heartbeat", "fallback", "verify_within", "endpoint", "publish"] {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
}

/// Every site in the repository's `configs` loads, without a warning.
#[test]
fn every_site_in_the_repository_loads() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(&configs).unwrap().map(Result::unwrap) {
        if !entry.path().join("site.yaml").is_file() {
            continue;
        }
        let loaded = config::load(&entry.path(), &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(loaded.warnings.items.iter().all(|d| d.severity == Severity::Warning));
        seen += 1;
    }
    assert!(seen > 0, "no site in {}", configs.display());
}
