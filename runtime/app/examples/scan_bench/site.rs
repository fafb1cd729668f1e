//! A generated site: as many aeration zones as asked for, half of them at 10 ms and half at 100 ms, and measured points
//! besides.

use std::fmt::Write as _;
use std::path::Path;

/// Programs of the site, half in each task.
pub const ZONES: usize = 200;
/// Measured points that no program reads. With the zones' own tags and those of the runtime the site has 10 000.
const POINTS: usize = 9_163;

/// Writes the site's files into `folder`.
///
/// # Errors
/// When a file cannot be written, with its name.
pub fn write(folder: &Path, scripts: &Path) -> Result<(), String> {
    let scripts = scripts.canonicalize().map_err(|e| format!("{}: {e}", scripts.display()))?;
    let devices = folder.join("devices");
    std::fs::create_dir_all(&devices).map_err(|e| format!("{}: {e}", devices.display()))?;
    let save = |path: std::path::PathBuf, text: String| {
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    save(folder.join("site.yaml"), main_file(&scripts))?;
    save(folder.join("tags.yaml"), ENTRIES.to_owned())?;
    save(folder.join("programs.yaml"), programs())?;
    save(devices.join("field.yaml"), field())
}

const ENTRIES: &str = "\
entries:
  - { tag: do_sp, title: Oxygen set-point, unit: mg/L, initial: 2, limits: [0.5, 4] }
";

fn main_file(scripts: &Path) -> String {
    format!(
        "site: jitter\nname: Jitter\ntime_zone: UTC\ntasks:\n  fast: 10ms\n  normal: 100ms\nscripts: {}\n",
        scripts.display()
    )
}

fn programs() -> String {
    let mut text = String::new();
    for z in 0..ZONES {
        let task = if z < ZONES / 2 { "fast" } else { "normal" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- program: z{z}\n  script: aeration_zone.rhai\n  task: {task}\n  in: {{ o2: z{z}/do, sp: do_sp, air: z{z}/air, \
             pos: z{z}/pos }}\n  out: {{ valve: z{z}/cmd }}"
        );
    }
    text
}

fn field() -> String {
    let mut text = "\
device: field
title: Field
driver: modbus-tcp
address: 127.0.0.1:502
groups:
  normal: { every: 1s }
points:
"
    .to_owned();
    let mut register = 1;
    let mut input = |text: &mut String, tag: &str, unit: &str, range: &str| {
        let _ = writeln!(text, "  - {{ tag: {tag}, at: IR{register}, as: float32, unit: {unit}, range: {range} }}");
        register += 2;
    };
    for z in 0..ZONES {
        input(&mut text, &format!("z{z}/do"), "mg/L", "[0, 10]");
        input(&mut text, &format!("z{z}/air"), "Nm3/h", "[0, 4000]");
        input(&mut text, &format!("z{z}/pos"), "\"%\"", "[0, 100]");
    }
    for p in 0..POINTS {
        input(&mut text, &format!("point/{p}"), "degC", "[0, 100]");
    }
    for z in 0..ZONES {
        let _ = writeln!(
            text,
            "  - tag: z{z}/cmd\n    at: HR{}\n    as: uint16\n    scale: 0.01\n    unit: \"%\"\n    range: [0, 100]\n    \
             write: {{ limits: [15, 85] }}\n    fallback: {{ bad_input: hold, fault: 40, link: device, shutdown: device }}",
            z + 1
        );
    }
    text
}
