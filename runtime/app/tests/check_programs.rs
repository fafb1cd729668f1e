//! What `penstock check` says of programs that read inputs bare, feed each other in a circle, or have limits.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use penstock::config::{self, Loaded, Overrides, dependences};
use penstock::diagnostics::Diagnostics;
use std::path::Path;

const PLC: &str = "devices/plc.yaml";
const COPY: &str = "fn declare(p) { p.input(\"a\", \"m3\"); p.output(\"b\", \"m3\"); }\nfn scan(io) { io.b = io.a; }\n";

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

/// The small site with these edits; with no first text a file is replaced as a whole.
fn load(edits: &[(&str, &str, &str)]) -> Result<Loaded, Diagnostics> {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check");
    copy(&fixtures.join("site"), &dir.path().join("site"));
    copy(&fixtures.join("profiles"), &dir.path().join("profiles"));
    for (file, from, to) in edits {
        let path = dir.path().join("site").join(file);
        let text = if from.is_empty() {
            (*to).to_owned()
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "`{from}` is not in {file}");
            text.replacen(from, to, 1)
        };
        std::fs::write(&path, text).unwrap();
    }
    config::load(&dir.path().join("site"), &Overrides::default())
}

fn warnings(edits: &[(&str, &str, &str)]) -> String {
    load(edits).unwrap_or_else(|e| panic!("{e}")).warnings.to_string()
}

fn errors(edits: &[(&str, &str, &str)]) -> String {
    load(edits).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn every_bare_read_is_listed_with_what_it_takes_along() {
    let site = load(&[]).unwrap().site;
    let said: Vec<String> = dependences(&site).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "level: when `level` (tank/level) is bad the scan ends at level.rhai:13:49\n  \
             pump/speed/cmd takes its fallback for a bad input: hold 300s then 40 %",
            "volume: when `level` (tank/level) is bad the scan ends at volume.rhai:8:20\n  \
             tank/volume becomes bad: it is computed, and has no fallback",
        ]
    );
    let json = dependences(&site)[0].to_json();
    assert_eq!((&json["input"], &json["outputs"][0]["tag"]), (&"level".into(), &"pump/speed/cmd".into()));
}

#[test]
fn an_output_that_would_stay_half_way_for_ever_is_warned_of_where_it_is_read() {
    let hold = (PLC, "bad_input: hold 5min then 40", "bad_input: hold");
    let said = warnings(&[hold]);
    assert!(said.contains("when `level` is bad the scan ends here"), "{said}");
    assert!(said.contains("level.rhai:13:49") && said.contains("`pump/speed/cmd`"), "{said}");
    assert!(!said.contains("volume"), "{said}");
    // A set-point is never bad, a guard was asked, a fallback ends.
    let guarded = (
        "scripts/level.rhai",
        "    io.speed",
        "    if !io.usable(\"level\") { io.speed = 30.0; return; }\n    io.speed",
    );
    let entry = ("scripts/level.rhai", "io.or(\"sp\", 2.0), io.level", "io.sp, io.or(\"level\", 2.0)");
    for edits in [vec![], vec![hold, guarded], vec![hold, entry]] {
        assert_eq!(warnings(&edits), "");
    }
}

/// `tank/volume` and `other` in a circle, with this said of one input.
fn circle<'a>(input: &'a str, programs: &'a mut String) -> [(&'a str, &'a str, &'a str); 3] {
    *programs = format!(
        "- program: volume\n  script: copy.rhai\n  task: slow\n  in: {{ a: other }}\n  out: {{ b: tank/volume }}\n\
         - program: back\n  script: copy.rhai\n  task: slow\n  in: {{ a: {input} }}\n  out: {{ b: other }}\n\
         - program: level\n  script: level.rhai\n  task: normal\n  in: {{ level: tank/level }}\n  out: {{ speed: pump/speed/cmd }}\n  set: {{ ti: 5min }}\n"
    );
    [
        ("tags.yaml", "computed:", "computed:\n  - { tag: other, unit: m3 }"),
        ("scripts/copy.rhai", "", COPY),
        ("programs.yaml", "", programs),
    ]
}

#[test]
fn a_circle_names_its_tags_and_is_broken_by_a_delay() {
    let mut text = String::new();
    let said = errors(&circle("tank/volume", &mut text));
    for part in ["back → volume → back", "by other, tank/volume", "delay: 1 scan"] {
        assert!(said.contains(part), "{said}");
    }
    let loaded =
        load(&circle("{ tag: tank/volume, delay: 1 scan, or: 5 }", &mut text)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.warnings.to_string(), "");
    let back = loaded.site.programs.iter().find(|p| &*p.name == "back").unwrap();
    assert_eq!((back.delays[0].input.as_str(), &back.delays[0].otherwise), ("a", &Some(5.0.into())));
    let said = warnings(&circle("{ tag: tank/volume, delay: 1 scan }", &mut text));
    assert!(said.contains("the circle stays bad") && said.contains("copy.rhai reads it bare at 2:25"), "{said}");
    for (input, part) in [
        ("{ tag: tank/volume, delay: 2 scans, or: 5 }", "`2 scans` is not how late an input can be read"),
        ("{ tag: tank/volume, delay: 1 scan, or: true }", "input `a` takes a number, not true"),
        ("{ tag: tank/volume, dealy: 1 scan }", "unknown key `dealy` of an input"),
        ("{ tag: tank/volume }", "input `a` says no `delay`"),
        ("{ delay: 1 scan }", "input `a` does not say its tag"),
        ("{ tag: gain, delay: 1 scan }", "no program of task `slow` writes `gain`"),
        ("12", "input `a`: 12 is no tag"),
    ] {
        let said = errors(&circle(input, &mut text));
        assert!(said.contains(part), "{input}: {said}");
    }
}

#[test]
fn limits_of_a_program_are_within_those_of_its_task() {
    let with = |limits: &str| format!("  set: {{ kp: 20, ti: 5min }}\n  limits: {limits}");
    let set = "  set: { kp: 20, ti: 5min }";
    let loaded = load(&[("programs.yaml", set, &with("{ operations: 20000, time: 5ms }"))]).unwrap();
    let limits = loaded.site.programs[0].limits;
    assert_eq!((limits.operations, limits.time), (Some(20_000), Some(std::time::Duration::from_millis(5))));
    for (limits, part) in [
        ("{ operations: 200000 }", "200000 operations cannot be the limit of a program"),
        ("{ operations: 5 }", "write 100 to 100000"),
        ("{ time: 900ms }", "a program of this task runs 100µs to 800ms, not 900ms"),
        ("{ time: 5 }", "limits"),
        ("{ tiem: 5ms }", "tiem"),
    ] {
        let said = errors(&[("programs.yaml", set, &with(limits))]);
        assert!(said.contains(part), "{limits}: {said}");
    }
}
