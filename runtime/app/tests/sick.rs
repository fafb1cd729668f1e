//! Bad input on purpose: each gives a clear message, and the rest of the plant goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

mod common;

use common::{ENGINEER, PENSTOCK, Plant, Session, Sim, edit, site_copy};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Runs a site that must be refused, and returns what it said.
fn refused(site: &std::path::Path, state: &std::path::Path) -> String {
    let output = Command::new(PENSTOCK).arg("run").arg(site).arg("--state").arg(state).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn broken_yaml_and_a_wrong_register_type_are_refused_by_name_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_copy(folder.path());
    let device = site.join("devices/aeration-plc.yaml");
    edit(&device, "as: float32", "as: flaot32");
    let said = refused(&site, folder.path());
    assert!(said.contains("flaot32") && said.contains("float32") && said.contains("aeration-plc.yaml:"), "{said}");

    edit(&device, "as: flaot32", "as: [float32");
    let said = refused(&site, folder.path());
    assert!(said.contains("aeration-plc.yaml:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_exist_is_bad_alone() {
    let (folder, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let site = site_copy(folder.path());
    edit(&site.join("devices/sludge-effluent-plc.yaml"), "s=Effluent.COD", "s=Effluent.Cood");
    let plant = Plant::start(&site, folder.path(), &sim);
    let live = Session::login(&plant.url, ENGINEER).live().await;
    live.until("the wrong node's tag is bad for its configuration", SOON, |l| {
        l.value("eff/cod").is_some_and(|v| v.quality == "b" && v.reason == "configuration")
    })
    .await;
    live.until("its neighbours are good", SOON, |l| l.number("eff/nh4").is_some() && l.number("aer/z3/do").is_some())
        .await;
    let log = std::fs::read_to_string(folder.path().join("runtime.log")).unwrap();
    assert!(log.contains("Effluent.Cood") && log.contains("eff/cod"), "the log names tag and node: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_faults_its_task_alone() {
    let (folder, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let site = site_copy(folder.path());
    edit(&folder.path().join("scripts/energy_totals.rhai"), "fn scan(io) {", "fn scan(io) {\n    while true { }");
    let plant = Plant::start(&site, folder.path(), &sim);
    let engineer = Session::login(&plant.url, ENGINEER);
    let live = engineer.live().await;
    live.until("the slow task is faulted and says why", SOON, |l| {
        l.look(|s| s.tasks.iter().any(|t| t["fault"].as_str().is_some_and(|f| f.contains("energy/totals"))))
    })
    .await;
    let fine = live.look(|s| s.tasks.iter().filter(|t| t["fault"].is_null()).count());
    assert_eq!(fine, 2, "the other tasks go on");
    live.until("outputs of the other tasks are driven", SOON, |l| {
        l.number("aer/z3/valve/cmd").is_some() && l.number("aer/b1/speed/cmd").is_some()
    })
    .await;
    live.until("outputs of the faulted task are at their fallback", SOON, |l| {
        l.output("hp/run/cmd").is_some_and(|o| o["fallback"] == "fault" || o["fallback"] == "overrun")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_historian_alone() {
    let (folder, sim) = (tempfile::tempdir().unwrap(), Sim::start());
    let site = site_copy(folder.path());
    // No disk has this much room left: the historian must treat it as full from the first commit on.
    edit(&site.join("site.yaml"), "free_min: 1 GB", "free_min: 900000 TB");
    let plant = Plant::start(&site, folder.path(), &sim);
    let live = Session::login(&plant.url, ENGINEER).live().await;
    live.until("the historian says that it cannot save", SOON, |l| {
        l.value("sys/historian/ok").is_some_and(|v| v.value == false)
    })
    .await;
    live.until("control goes on", SOON, |l| l.number("aer/z3/do").is_some() && l.number("aer/z3/valve/cmd").is_some())
        .await;
    let log = std::fs::read_to_string(folder.path().join("runtime.log")).unwrap();
    assert!(log.contains("historian cannot save"), "{log}");
}
