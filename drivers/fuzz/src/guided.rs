//! One target, named in `PENSTOCK_FUZZ_TARGET`, with bytes that coverage guides (libFuzzer); its places to begin from
//! are written into the folder `PENSTOCK_FUZZ_SEEDS`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static PROMISE: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("PENSTOCK_FUZZ_TARGET").unwrap_or_default();
        let target = penstock_fuzz::target(&name).unwrap_or_else(|| panic!("PENSTOCK_FUZZ_TARGET: no target `{name}`"));
        let seeds = std::env::var_os("PENSTOCK_FUZZ_SEEDS").map(std::path::PathBuf::from);
        if let Some(Err(why)) = seeds.map(|folder| target.write_seeds(&folder)) {
            panic!("{why}");
        }
        PROMISE.get_or_init(|| target.promise);
    },
    |data: &[u8]| {
        if let Some(promise) = PROMISE.get() {
            promise(data);
        }
    }
);
