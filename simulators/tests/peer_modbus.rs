//! The Modbus devices as clients written by others see them: pymodbus over TCP and over a serial line, pysunspec2 on
//! the SunSpec chains.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

#[path = "support/peers.rs"]
mod peers;
mod support;

use penstock_simulators::SimConfig;
use support::Sim;

fn addresses(sim: &Sim) -> Vec<String> {
    sim.addresses.iter().map(|(device, address)| format!("{device}={address}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymodbus_reads_and_writes_the_devices() {
    let Some(python) = peers::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("meters");
    let serial = vec![format!("power_meters={},19200,8E1", link.display()).parse().unwrap()];
    let sim = Sim::start_with(SimConfig { serial, ..SimConfig::default() }).await;
    let arguments = [vec!["devices".to_owned(), format!("line={}", link.display())], addresses(&sim)].concat();
    peers::run(&python, "modbus_peer.py", &arguments).await;
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sunspec_clients_walk_the_chain_and_limit_the_power() {
    let Some(python) = peers::python() else { return };
    let sim = Sim::start_with(SimConfig { lockstep: true, ..SimConfig::default() }).await;
    let arguments = [vec!["sunspec".to_owned()], addresses(&sim)].concat();
    peers::run(&python, "modbus_peer.py", &arguments).await;
    sim.stop().await;
}
