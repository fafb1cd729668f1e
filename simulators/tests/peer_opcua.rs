//! The OPC UA device in front of an independent client: asyncua, in Python.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

#[path = "support/peers.rs"]
mod peers;
mod support;

use penstock_simulators::SimConfig;
use penstock_simulators::devices::opcua::{Anonymous, OpcUaSettings, Secret};
use support::Sim;

/// Runs one part of the script beside a plant; skipped without Python.
async fn part(name: &str, settings: OpcUaSettings) {
    let Some(python) = peers::python() else { return };
    let pki = tempfile::tempdir().unwrap();
    let config = SimConfig {
        api: Some("127.0.0.1:0".parse().unwrap()),
        opcua: OpcUaSettings { pki: Some(pki.path().to_path_buf()), ..settings },
        ..SimConfig::default()
    };
    let sim = Sim::start_with(config).await;
    let url = format!("opc.tcp://{}", sim.addresses["sludge_effluent_plc"]);
    let api = sim.addresses["api"].to_string();
    let folder = pki.path().display().to_string();
    peers::run(&python, "opcua_peer.py", &[name.to_owned(), url, api, folder]).await;
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_browses_subscribes_and_writes_without_security() {
    part("plain", OpcUaSettings::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_secured_endpoint_and_identity() {
    let settings = OpcUaSettings {
        anonymous: Anonymous::Read,
        password: Secret::new("turbid-water-7".to_owned()),
        ..OpcUaSettings::default()
    };
    part("secure", settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_downloads_and_restarts() {
    part("faults", OpcUaSettings::default()).await;
}
