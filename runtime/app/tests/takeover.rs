//! Kill -9 of the runtime while it controls the bundled site: the next one takes over, and what it writes first is near to
//! what was written last.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

mod common;

use common::{OPERATOR, Plant, Session, Sim, bundled_site, holding_registers, send};
use std::time::{Duration, Instant};

/// Generous: machines that run tests are slow now and then.
const LIMIT: Duration = Duration::from_secs(90);
/// Valve commands of the zones and speed commands of the blowers, from holding register 40001 on.
const COMMANDS: (u16, u16) = (0, 6);
/// Run commands of the blowers, coils from 1 on.
const RUNS: (u16, u16) = (0, 3);
/// After so long without a beat the PLC takes local control: what stands there then is its own.
const WATCHED: Duration = Duration::from_secs(5);
/// The heartbeat, 40900.
const HEART: u16 = 899;

async fn commands(address: &str) -> Vec<f64> {
    let words = holding_registers(address, 1, COMMANDS.0, COMMANDS.1).await;
    words.into_iter().map(|word| f64::from(word) * 0.01).collect()
}

async fn coils(address: &str, unit: u8, pdu: u16, count: u16) -> Vec<bool> {
    use tokio_modbus::client::{Reader, tcp};
    let mut context = tcp::connect_slave(address.parse().unwrap(), tokio_modbus::Slave(unit)).await.unwrap();
    context.read_coils(pdu, count).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_next_runtime_goes_on_where_the_outputs_stand() {
    for _ in 0..3 {
        if one_goes_on().await < WATCHED {
            return;
        }
        println!("this machine was so slow that the PLC took local control: nothing is seen of a takeover");
    }
    panic!("three times nobody took over before the PLC's own watch ended");
}

/// Kills a runtime. How long after it the heart beat again; what stands then is judged where it was in time.
async fn one_goes_on() -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::start();
    let plant = Plant::start(&bundled_site(), dir.path(), &sim);
    let live = Session::login(&plant.url, OPERATOR).live().await;
    let outputs = ["aer/z3/valve/cmd", "aer/z4/valve/cmd", "aer/z5/valve/cmd", "aer/b1/speed/cmd"];
    let controls = |live: &common::Live| outputs.iter().all(|tag| live.number(tag).is_some());
    live.until("the site controls", LIMIT, controls).await;
    // What programs remember is on the disk every ten seconds.
    let kept = dir.path().join("retained.json");
    live.until("the programs' memory is on the disk", LIMIT, |_| kept.exists()).await;

    let plc = &sim.devices["aeration_plc"];
    let before = commands(plc).await;
    let ran = coils(plc, 1, RUNS.0, RUNS.1).await;
    let (dead, killed) = (plant.runtime_pid().unwrap(), Instant::now());
    send(dead, rustix::process::Signal::KILL);
    let heart = holding_registers(plc, 1, HEART, 1).await[0];

    // The next runtime has taken over when its heart beats.
    let mut beats = std::collections::BTreeSet::new();
    let mut seen: Vec<Vec<f64>> = Vec::new();
    let (mut back, mut ran_on) = (None, true);
    while beats.len() < 5 {
        assert!(killed.elapsed() < LIMIT, "nobody took over: {beats:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen.push(commands(plc).await);
        ran_on &= coils(plc, 1, RUNS.0, RUNS.1).await == ran;
        let now = holding_registers(plc, 1, HEART, 1).await[0];
        if now != heart {
            back.get_or_insert(killed.elapsed());
            beats.insert(now);
        }
    }
    assert!(plant.runtime_pid().is_some_and(|pid| pid != dead), "the supervisor started another one");
    let back = back.unwrap();
    println!("the heart beat again {back:?} after the kill");
    if back >= WATCHED {
        return back;
    }
    assert!(ran_on, "a restart starts and stops no machine: {seen:?}");
    for row in &seen {
        for (place, (now, before)) in row.iter().zip(&before).enumerate() {
            let near = (now - before).abs() <= 0.05 * before.max(20.0);
            assert!(near, "command {place} went from {before} to {now}: {seen:?}");
        }
    }
    assert!(plant.stop());
    back
}
