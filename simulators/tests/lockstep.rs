//! Plant time in the hands of a client: the lock-step register over its socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

mod support;

use std::time::{Duration, Instant};

use penstock_simulators::SimConfig;
use support::{Sim, ask};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> Sim {
    Sim::start_with(SimConfig { lockstep: true, ..SimConfig::default() }).await
}

/// Advances and returns the plant time then, ms.
async fn advance(register: &mut TcpStream, request: u16, ms: u32) -> u64 {
    let mut write = vec![16, 0, 0, 0, 3, 6];
    write.extend(ms.to_be_bytes());
    write.extend(request.to_be_bytes());
    assert_eq!(ask(register, 1, &write).await, [16, 0, 0, 0, 3]);
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = ask(register, 1, &[4, 0, 0, 0, 6]).await;
        if answer[2..4] == request.to_be_bytes() && answer[12..14] == [0, 0] {
            return u64::from_be_bytes(answer[4..12].try_into().unwrap());
        }
        assert!(Instant::now() < until, "the plant does not advance: {answer:?}");
    }
}

/// Everything five devices show.
async fn everything(sim: &Sim) -> Vec<u8> {
    let blocks: [(&str, u8, &[u8]); 7] = [
        ("aeration_plc", 1, &[4, 0, 0, 0, 48]),
        ("dosing_skid", 2, &[4, 0, 0, 0, 24]),
        ("pv_inverter", 3, &[4, 0, 0, 0, 12]),
        ("pv_inverter", 3, &[3, 0x9c, 0x86, 0, 52]),
        ("pv_inverter", 240, &[3, 0x9c, 0x86, 0, 107]),
        ("power_meters", 11, &[4, 0, 0, 0, 12]),
        ("heat_pump", 1, &[4, 0, 0, 0, 15]),
    ];
    let mut all = Vec::new();
    for (device, unit, pdu) in blocks {
        let answer = ask(&mut sim.connect(device).await, unit, pdu).await;
        assert_eq!(answer[0], pdu[0], "{device}/{unit}: {answer:?}");
        all.extend(answer);
    }
    all
}

#[tokio::test]
async fn the_same_sequence_gives_the_same_bytes() {
    let run = async || {
        let sim = start().await;
        let mut register = sim.connect("lockstep").await;
        let mut plc = sim.connect("aeration_plc").await;
        let mut shown = vec![everything(&sim).await];
        for (request, ms) in [(1, 1000), (2, 60_000), (3, 250), (4, 600_000)] {
            ask(&mut plc, 1, &[6, 0, 0, 0x1b, 0x58 + request as u8]).await;
            advance(&mut register, request, ms).await;
            shown.push(everything(&sim).await);
        }
        sim.stop().await;
        shown
    };
    let (first, second) = (run().await, run().await);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "the plant moves");
    assert_eq!(first, second);
}

#[tokio::test]
async fn time_stands_still_but_for_requests_and_timers_count_it() {
    let sim = start().await;
    let mut register = sim.connect("lockstep").await;
    let still = everything(&sim).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(everything(&sim).await, still, "nothing passes by itself");
    assert_eq!(ask(&mut register, 1, &[16, 0, 0, 0, 2, 4, 0, 0x36, 0xee, 0x81]).await, [0x90, 3], "more than an hour");
    // A limit of 20 % with a reversion time of 30 s, in the vendor's registers.
    let mut inverter = sim.connect("pv_inverter").await;
    ask(&mut inverter, 3, &[16, 0, 0, 0, 3, 6, 0, 200, 0, 1, 0, 30]).await;
    assert_eq!(advance(&mut register, 1, 25_000).await, 25_000);
    assert_eq!(ask(&mut inverter, 3, &[3, 0, 0, 0, 1]).await, [3, 2, 0, 200]);
    assert_eq!(advance(&mut register, 2, 10_000).await, 35_000);
    assert_eq!(ask(&mut inverter, 3, &[3, 0, 0, 0, 1]).await, [3, 2, 3, 0xe8], "35 s have passed for the client");
    assert_eq!(advance(&mut register, 3, 0).await, 35_000, "no time at all");
    sim.stop().await;
}

/// Steps of 60 s with ten reads and three writes each; says how long 14 days take.
async fn speed(steps: u16) {
    let sim = start().await;
    let mut register = sim.connect("lockstep").await;
    let mut plc = sim.connect("aeration_plc").await;
    let mut meters = sim.connect("power_meters").await;
    let clock = Instant::now();
    for step in 1..=steps {
        for _ in 0..4 {
            ask(&mut plc, 1, &[4, 0, 0, 0, 48]).await;
        }
        for unit in 11..=16 {
            ask(&mut meters, unit, &[4, 0, 0, 0, 12]).await;
        }
        for valve in 0..3 {
            assert_eq!(ask(&mut plc, 1, &[6, 0, valve, 0x1b, 0x58]).await[0], 6);
        }
        assert_eq!(advance(&mut register, step, 60_000).await, u64::from(step) * 60_000);
    }
    let took = clock.elapsed().as_secs_f64();
    let fortnight = took * 20_160.0 / f64::from(steps);
    println!("{steps} steps of 60 s took {took:.2} s: 14 days take {fortnight:.0} s");
    assert!(fortnight < 600.0, "14 days would take {fortnight:.0} s");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hours_at_sixty_seconds() {
    speed(360).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: the speed of 14 days in one piece"]
async fn fourteen_days_at_sixty_seconds() {
    speed(20_160).await;
}
