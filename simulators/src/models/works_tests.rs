//! Fidelity of the biological works: benchmark steady states, mass balance, positivity.

use super::asm1::{self, Mix, SNO, SO, STATES};
use super::works::{Inputs, LAYERS, Works};
use crate::clock::DAY_S;
use crate::rng::Rng;

/// Constant influent of the benchmark.
const CONSTANT: Mix = [30.0, 69.5, 51.2, 202.32, 28.17, 0.0, 0.0, 0.0, 0.0, 31.56, 6.95, 10.59, 7.0];
const START: Mix = [30.0, 5.0, 1000.0, 100.0, 2000.0, 100.0, 400.0, 1.0, 5.0, 5.0, 1.0, 5.0, 5.0];

fn open_loop() -> Inputs {
    Inputs {
        feeds: crate::models::works::FEED_FIRST,
        influent: CONSTANT,
        q_in: 18_446.0,
        q_internal: 55_338.0,
        q_ras: 18_446.0,
        q_was: 385.0,
        kla: [0.0, 0.0, 240.0, 240.0, 84.0],
        carbon: [0.0; 5],
        temp_c: 15.0,
    }
}

fn relaxed(inputs: &Inputs, days: f64) -> Works {
    let mut works = Works::uniform(START);
    let step_s = 20.0;
    for _ in 0..(days * DAY_S / step_s) as usize {
        works.step(step_s, inputs);
    }
    works
}

fn assert_close(what: &str, value: f64, expected: f64) {
    // 0.05 %, or 1e-4 where the figure itself is smaller than its last printed digit allows.
    let allowed = (0.0005 * expected.abs()).max(1e-4);
    assert!((value - expected).abs() <= allowed, "{what}: {value} instead of {expected}");
}

#[test]
fn open_loop_steady_state_is_the_benchmark() {
    let works = relaxed(&open_loop(), 200.0);
    let tss = [3285.20, 3282.546, 3277.853, 3273.633, 3269.837];
    let so = [0.004_298_4, 6.3132e-5, 1.7184, 2.4289, 0.49094];
    let sno = [5.3699, 3.6620, 6.5409, 9.2990, 10.4152];
    let snh = [7.9179, 8.3444, 5.5479, 2.9674, 1.7333];
    for k in 0..5 {
        assert_close(&format!("tank {} TSS", k + 1), asm1::tss(&works.tanks[k]), tss[k]);
        assert_close(&format!("tank {} SO", k + 1), works.tanks[k][SO], so[k]);
        assert_close(&format!("tank {} SNO", k + 1), works.tanks[k][SNO], sno[k]);
        assert_close(&format!("tank {} SNH", k + 1), works.tanks[k][asm1::SNH], snh[k]);
    }
    let layers = [12.497, 18.113, 29.540, 68.978, 356.0747, 356.0747, 356.0747, 356.0747, 356.0747, 6393.984];
    for (i, expected) in layers.into_iter().enumerate() {
        assert_close(&format!("layer {}", i + 1), works.settler.tss[i], expected);
    }
    compare_with_published_table(&works);
}

/// Every number of the published table, where a copy of it lies beside the repository (its terms of redistribution are
/// not settled) or at `PENSTOCK_BSM1_DATA`.
fn compare_with_published_table(works: &Works) {
    let folder = std::env::var("PENSTOCK_BSM1_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/bsm1").to_owned());
    let path = format!("{folder}/ref_steady_ol.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped the full published table: no file at {path}; set PENSTOCK_BSM1_DATA to its folder");
        return;
    };
    let mut compared = 0;
    for line in text.lines().skip(1).filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(',');
        let stream = fields.next().unwrap();
        let mix = match stream {
            "effluent" => works.effluent(),
            "underflow" => works.underflow(),
            tank => works.tanks[tank.trim_start_matches("reactor").parse::<usize>().unwrap() - 1],
        };
        for (i, field) in fields.take(STATES).enumerate() {
            assert_close(&format!("{stream} state {i}"), mix[i], field.parse().unwrap());
            compared += 1;
        }
    }
    assert_eq!(compared, 7 * STATES, "{path} is not the table of seven streams");
}

#[test]
fn solids_balance_of_the_settler_closes() {
    // Constant feed: what enters the settler leaves it, once settled.
    let inputs = open_loop();
    let works = relaxed(&inputs, 60.0);
    let mut later = works;
    later.step(3600.0, &inputs);
    let stored = |w: &Works| w.settler.tss.iter().sum::<f64>() * 0.4 * 1500.0;
    let fed = (inputs.q_in + inputs.q_ras) * asm1::tss(&works.tanks[4]);
    let left = (inputs.q_in - inputs.q_was) * works.settler.tss[0]
        + (inputs.q_ras + inputs.q_was) * works.settler.tss[LAYERS - 1];
    let storing = (stored(&later) - stored(&works)) * 24.0;
    assert!((fed - left - storing).abs() < 1e-5 * fed, "fed {fed} left {left} stored {storing}");

    // Far from rest too, over one short step.
    let works = Works::uniform(START);
    let mut next = works;
    next.step(0.5, &inputs);
    let rate = (stored(&next) - stored(&works)) * DAY_S / 0.5;
    let fed = (inputs.q_in + inputs.q_ras) * asm1::tss(&works.tanks[4]);
    let left = (inputs.q_in - inputs.q_was) * works.settler.tss[0]
        + (inputs.q_ras + inputs.q_was) * works.settler.tss[LAYERS - 1];
    assert!((fed - left - rate).abs() < 2e-3 * fed, "fed {fed} left {left} stored {rate}");
}

#[test]
fn states_stay_positive_and_finite_whatever_the_handles_do() {
    for seed in [1, 2, 3] {
        let mut rng = Rng::new(seed, "handles");
        let mut works = Works::settled();
        for step in 0..4000 {
            let mut inputs = open_loop();
            inputs.q_in = 60_000.0 * rng.uniform();
            inputs.q_internal = 92_230.0 * rng.uniform();
            inputs.q_ras = 36_892.0 * rng.uniform();
            inputs.q_was = (1844.6 * rng.uniform()).min(inputs.q_in);
            inputs.kla = std::array::from_fn(|_| 360.0 * rng.uniform());
            inputs.carbon[0] = 2_000_000.0 * rng.uniform();
            inputs.temp_c = 8.0 + 16.0 * rng.uniform();
            let dt = [1.0, 10.0, 60.0, 300.0][(rng.uniform() * 4.0) as usize];
            works.step(dt, &inputs);
            let states =
                works.tanks.iter().flatten().chain(&works.settler.tss).chain(works.settler.soluble.iter().flatten());
            for value in states {
                assert!(value.is_finite() && *value >= 0.0, "seed {seed} step {step}: {value}");
            }
            assert!(works.tanks.iter().all(|t| t[SO] <= 12.0), "seed {seed} step {step}: oxygen above saturation");
        }
    }
}

fn controlled() -> Inputs {
    Inputs { q_internal: 2.0 * 18_446.0, temp_c: 17.0, ..open_loop() }
}

/// Integrates with a proportional-integral hand on every aerated tank, as the controlled plant would.
fn settle(works: &mut Works, days: f64) -> [f64; 5] {
    let mut kla = [0.0, 0.0, 200.0, 150.0, 90.0];
    let step_s = 20.0;
    for _ in 0..(days * DAY_S / step_s) as usize {
        for (kla, tank) in kla.iter_mut().zip(&works.tanks).skip(2) {
            *kla = (*kla + 0.3 * (1.5 - tank[SO])).clamp(0.0, 360.0);
        }
        works.step(step_s, &Inputs { kla, ..controlled() });
    }
    kla
}

#[test]
fn settled_state_rests() {
    let start = Works::settled();
    let mut works = start;
    settle(&mut works, 2.0);
    for k in 0..5 {
        for i in 0..STATES {
            let (a, b) = (start.tanks[k][i], works.tanks[k][i]);
            assert!((a - b).abs() <= 0.01 * a.abs() + 0.02, "tank {} state {i}: {a} became {b}", k + 1);
        }
    }
}

#[test]
#[ignore = "prints the constants of settled.rs"]
fn print_settled_state() {
    let mut works = Works::uniform(START);
    let kla = settle(&mut works, 200.0);
    println!("{works:#?}");
    println!("KLa {kla:?}");
}

#[test]
fn blanket_lies_between_the_last_two_layers_at_rest() {
    let blanket = Works::settled().blanket_m();
    assert!(blanket > 0.2 && blanket < 0.6, "{blanket}");
}
