//! All that reads foreign bytes, by name: the promise it keeps for any bytes, and places to begin from.
//!
//! `cargo xtask fuzz` lets coverage guide the bytes. What it has found once lies under `findings/`, in a folder per target,
//! and is tried with every `cargo test`.

use std::path::Path;

/// Something that reads foreign bytes.
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Panics where the promise does not hold.
    pub promise: fn(&[u8]),
    /// Places to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", promise: penstock_modbus::fuzz::frames, seeds: || penstock_modbus::fuzz::seeds("frames") },
    Target {
        name: "answers",
        promise: penstock_modbus::fuzz::answers,
        seeds: || penstock_modbus::fuzz::seeds("answers"),
    },
    Target { name: "values", promise: penstock_modbus::fuzz::values, seeds: || penstock_modbus::fuzz::seeds("values") },
    Target {
        name: "sunspec",
        promise: penstock_modbus::fuzz::sunspec,
        seeds: || penstock_modbus::fuzz::seeds("sunspec"),
    },
    Target {
        name: "addresses",
        promise: penstock_modbus::fuzz::addresses,
        seeds: || penstock_modbus::fuzz::seeds("addresses"),
    },
    Target {
        name: "commands",
        promise: penstock_mqtt::fuzz::commands,
        seeds: || penstock_mqtt::fuzz::seeds("commands"),
    },
    Target { name: "states", promise: penstock_mqtt::fuzz::states, seeds: || penstock_mqtt::fuzz::seeds("states") },
    Target { name: "records", promise: penstock_historian::fuzz::records, seeds: penstock_historian::fuzz::seeds },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Writes its places to begin from into a folder, which is made.
    ///
    /// # Errors
    /// Which file could not be written.
    pub fn write_seeds(&self, folder: &Path) -> Result<(), String> {
        let wrong = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(folder).map_err(|e| wrong(folder, e))?;
        for (number, seed) in (self.seeds)().iter().enumerate() {
            let path = folder.join(format!("seed-{number}"));
            std::fs::write(&path, seed).map_err(|e| wrong(&path, e))?;
        }
        Ok(())
    }
}
