//! The control engineer's guide builds what it says: its files make a site without mistakes, and its cases pass.

use penstock::cases::run_cases;
use penstock::config::{self, Overrides};
use std::path::Path;

/// Every file of the guide: a block of code under a line that holds nothing but its path in backquotes.
fn files(guide: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut path = None;
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let named = line.strip_prefix('`').and_then(|l| l.strip_suffix('`')).filter(|p| p.starts_with("my-plant/"));
        if let Some(named) = named {
            path = Some(named.to_owned());
        } else if line.starts_with("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
            if let Some(path) = path.take() {
                files.push((path, body.join("\n") + "\n"));
            }
        } else if !line.is_empty() {
            path = None;
        }
    }
    files
}

#[test]
fn the_guide_builds_a_site_that_loads_and_a_program_whose_cases_pass() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/control-engineer.md");
    let files = files(&std::fs::read_to_string(guide).unwrap());
    assert_eq!(files.len(), 7, "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let site = folder.path().join("my-plant");
    let loaded = config::load(&site, &Overrides::default()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(loaded.warnings.items.is_empty(), "{}", loaded.warnings);
    assert_eq!((loaded.site.programs.len(), loaded.site.alarms.len()), (1, 1));
    let report = run_cases(&site.join("scripts"));
    assert!(report.passed(), "{}", report.to_json());
    assert_eq!((report.scripts, report.cases), (1, 5));
}
