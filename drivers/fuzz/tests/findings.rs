//! What was found once is tried again, and every target is reached from its seeds.

use penstock_fuzz::TARGETS;
use std::path::Path;

#[test]
fn what_was_found_once_holds_now() {
    let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    let folders = |at: &Path| std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    for folder in folders(&findings).into_iter().filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let target = penstock_fuzz::target(&name).unwrap_or_else(|| panic!("{} is of no target", folder.display()));
        for file in folders(&folder) {
            println!("{}", file.display());
            (target.promise)(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_name_of_its_own_and_seeds_that_hold() {
    for (at, target) in TARGETS.iter().enumerate() {
        assert!(TARGETS[..at].iter().all(|other| other.name != target.name), "{}", target.name);
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.promise)(seed));
    }
}
