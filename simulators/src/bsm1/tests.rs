//! The benchmark itself: steady states, dynamic runs, mass balances, accuracy of the integration.

use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use super::balance::{Residual, Stock};
use super::fidelity;
use super::fidelity::{Comparison, compare, dynamic_runs};
use super::influent::{CONSTANT, ROW_S, Series};
use super::noise::Noise;
use super::plant::{Handles, Plant};
use super::protocol::{Files, closed_loop_at_rest, closed_loop_rested, open_loop_at_rest};
use super::published;
use crate::models::asm1::{self, Mix, SNO, SO, STATES};
use crate::models::influent::Inflow;
use crate::models::works::{LAYERS, Works};
use crate::rng::Rng;

fn assert_close(what: &str, value: f64, expected: f64) {
    let allowed = (0.0005 * expected.abs()).max(1e-4);
    assert!((value - expected).abs() <= allowed, "{what}: {value} instead of {expected}");
}

fn assert_streams(works: &Works, published: &[Mix], tss: &[f64; 5]) {
    let streams = works.tanks.into_iter().chain([works.effluent(), works.underflow()]);
    for (s, (mix, expected)) in streams.zip(published).enumerate() {
        for i in 0..STATES {
            assert_close(&format!("stream {s} state {i}"), mix[i], expected[i]);
        }
    }
    for (tank, expected) in works.tanks.iter().zip(tss) {
        assert_close("TSS of a tank", asm1::tss(tank), *expected);
    }
}

static OPEN: LazyLock<Plant> = LazyLock::new(open_loop_at_rest);
static CLOSED: LazyLock<Plant> = LazyLock::new(closed_loop_at_rest);

#[test]
fn open_loop_rests_at_the_published_state() {
    assert_streams(OPEN.works(), &published::OPEN_LOOP, &published::OPEN_LOOP_TSS);
    for i in 0..LAYERS {
        assert_close(&format!("layer {i}"), OPEN.works().settler.tss[i], published::OPEN_LOOP_LAYERS[i]);
    }
}

#[test]
fn default_loops_rest_at_the_published_state() {
    assert_streams(CLOSED.works(), &published::CLOSED_LOOP, &published::CLOSED_LOOP_TSS);
    let applied = CLOSED.applied();
    assert_close("internal recycle", applied.q_internal, published::CLOSED_LOOP_HANDLES.0);
    assert_close("KLa5", applied.kla[4], published::CLOSED_LOOP_HANDLES.1);
}

/// Needs the files of the benchmark; says so where they are not.
#[test]
fn the_stored_rest_is_the_one_the_plant_comes_to() {
    let mut stored = closed_loop_rested();
    stored.advance(86_400);
    for (tank, (a, b)) in stored.works().tanks.iter().zip(&CLOSED.works().tanks).enumerate() {
        for i in 0..STATES {
            assert!((a[i] - b[i]).abs() <= 1e-6 * b[i].abs() + 1e-9, "tank {tank} state {i}: {} and {}", a[i], b[i]);
        }
    }
    for (a, b) in stored.works().settler.tss.iter().zip(&CLOSED.works().settler.tss) {
        assert!((a - b).abs() <= 1e-6 * b, "{a} and {b}");
    }
}

#[test]
fn dynamic_figures_are_the_published_ones() {
    let folder = std::env::var("PENSTOCK_BSM1_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/bsm1").to_owned());
    let files = match Files::read(Path::new(&folder)) {
        Ok(files) => files,
        Err(error) => {
            // Not `eprintln`, whose output the test harness keeps to itself.
            writeln!(
                std::io::stderr(),
                "SKIPPED the dynamic runs of BSM1: {error}; set PENSTOCK_BSM1_DATA to the folder of its files"
            )
            .unwrap();
            return;
        }
    };
    let runs = dynamic_runs(&files, &OPEN, &CLOSED);
    let rows = compare(&runs);
    assert_eq!(rows.len(), published::figures().len());
    for row in rows {
        assert!(row.holds(), "{}, {}: {} instead of {}", row.run, row.figure, row.measured, row.published);
    }
    for (case, indices) in runs {
        assert_eq!(indices.days.len(), 7, "{case}");
    }
}

/// The page shows every figure, and what it shows lies within the band.
#[test]
fn the_page_holds_every_figure() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bsm1-fidelity.md")).unwrap();
    for figure in published::figures() {
        let begin = format!("| {} | {} | {} |", figure.case, figure.index.label(), figure.value);
        let rest = page.lines().find_map(|line| line.strip_prefix(&begin));
        let rest = rest.unwrap_or_else(|| panic!("no row {begin}: make the page again"));
        let row = Comparison {
            run: figure.case.to_string(),
            figure: figure.index.label().to_owned(),
            published: figure.value,
            measured: rest.split('|').next().unwrap().trim().parse().unwrap(),
            band: figure.band,
        };
        assert!(row.holds() && rest.ends_with("| holds |"), "{begin}{rest}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = fidelity(Path::new("no such folder")).unwrap_err();
    assert!(error.to_string().contains("inf_dry.csv"), "{error}");
}

/// Influent of a wild plant: flows and loads of the benchmark and beyond, a new row every 15 minutes.
fn wild_influent(rng: &mut Rng, rows: usize) -> Series {
    let row = |rng: &mut Rng| {
        let (organic, nitrogen) = (0.3 + 1.7 * rng.uniform(), 0.3 + 1.7 * rng.uniform());
        let mix = std::array::from_fn(|i| {
            let share = match i {
                asm1::SNH | asm1::SND | asm1::XND => nitrogen,
                asm1::SI | asm1::SALK => 1.0,
                _ => organic,
            };
            CONSTANT[i] * share * (0.9 + 0.2 * rng.uniform())
        });
        Inflow { q: 8000.0 + 52_000.0 * rng.uniform(), mix }
    };
    Series::from_rows((0..rows).map(|_| row(rng)).collect())
}

fn wild_handles(rng: &mut Rng, carbon_max: f64) -> Handles {
    let max = Handles::MAX;
    Handles {
        q_internal: max.q_internal * rng.uniform(),
        q_ras: max.q_ras * rng.uniform(),
        q_was: max.q_was * rng.uniform(),
        kla: max.kla.map(|kla| kla * rng.uniform()),
        carbon_m3_d: std::array::from_fn(|_| carbon_max * rng.uniform()),
        feeds: std::array::from_fn(|_| std::array::from_fn(|_| rng.uniform())),
    }
}

fn assert_physical(plant: &Plant, what: &str) {
    let works = plant.works();
    let states = works.tanks.iter().flatten().chain(&works.settler.tss).chain(works.settler.soluble.iter().flatten());
    for value in states {
        assert!(value.is_finite() && *value >= 0.0, "{what}: {value}");
    }
    assert!(works.tanks.iter().all(|t| t[SO] <= 8.0), "{what}: oxygen above saturation");
}

#[test]
fn mass_closes_and_nothing_turns_negative_whatever_the_handles_do() {
    for seed in 1..=6 {
        let mut rng = Rng::new(seed, "bsm1 wild");
        let mut plant = Plant::new(Works::settled());
        if seed % 2 == 0 {
            plant.close_loops();
        }
        plant.begin(wild_influent(&mut rng, 10 * 96), Noise::Seeded(seed));
        let before = Stock::of(plant.works());
        for quarter in 0..10 * 96 {
            if rng.uniform() < 0.1 {
                plant.set_handles(&wild_handles(&mut rng, 0.2));
            }
            plant.advance(ROW_S);
            assert_physical(&plant, &format!("seed {seed} quarter {quarter}"));
        }
        assert_eq!(plant.clipped_g_m3(), 0.0, "seed {seed}");
        let residual = Residual::between(&before, &Stock::of(plant.works()), plant.ledger());
        // Return sludge makes the reference large; what is left is rounding.
        assert!(residual.worst() < 1e-9, "seed {seed}: {residual:?}");
    }
}

#[test]
fn extreme_carbon_leaves_the_plant_physical() {
    // All carbon there is, hardly any nitrogen: heterotrophs take up more ammonium than there is.
    let mut rng = Rng::new(9, "bsm1 carbon");
    let mut plant = Plant::new(Works::settled());
    let mut mix = CONSTANT;
    (mix[asm1::SNH], mix[asm1::SND], mix[asm1::XND]) = (1.0, 0.1, 0.1);
    plant.begin(Series::from_rows(vec![Inflow { q: 18_446.0, mix }]), Noise::None);
    for hour in 0..72 {
        let mut handles = wild_handles(&mut rng, 5.0);
        handles.carbon_m3_d = [5.0; 5];
        plant.set_handles(&handles);
        plant.advance(3600);
        assert_physical(&plant, &format!("hour {hour}"));
    }
    assert!(plant.clipped_g_m3() > 0.0, "the run is not extreme: nothing had to be lifted to zero");
}

#[test]
fn shorter_steps_change_nothing_that_is_printed() {
    let influent = wild_influent(&mut Rng::new(3, "bsm1 steps"), 96);
    let run = |step_max_s: f64| {
        let mut plant = Plant::new(Works::settled());
        plant.limit_step(step_max_s);
        plant.close_loops();
        plant.begin(influent.clone(), Noise::Seeded(3));
        plant.advance(86_400);
        plant
    };
    let (coarse, fine) = (run(15.0), run(2.0));
    for k in 0..5 {
        for i in 0..STATES {
            let (a, b) = (coarse.works().tanks[k][i], fine.works().tanks[k][i]);
            assert!((a - b).abs() <= 1e-4 * b.abs() + 1e-6, "tank {k} state {i}: {a} and {b}");
        }
    }
    let (a, b) = (coarse.applied(), fine.applied());
    assert!((a.kla[4] - b.kla[4]).abs() < 0.05 && (a.q_internal - b.q_internal).abs() < 5.0, "{a:?} {b:?}");
}

#[test]
fn handles_are_limited_and_nonsense_is_left_aside() {
    let mut plant = Plant::new(Works::settled());
    let mut handles = Handles::OPEN_LOOP;
    handles.kla[4] = 1000.0;
    handles.kla[3] = f64::NAN;
    handles.q_internal = -5.0;
    handles.q_was = f64::INFINITY;
    plant.set_handles(&handles);
    assert_eq!(plant.handles().kla, [0.0, 0.0, 240.0, 240.0, 360.0]);
    assert_eq!((plant.handles().q_internal, plant.handles().q_was), (0.0, 1844.6));
    // Actuators take their time: KLa answers to 90 % in 4 min.
    plant.advance(240);
    let answered = (plant.applied().kla[4] - 84.0) / (360.0 - 84.0);
    assert!((answered - 0.9).abs() < 0.01, "{answered}");
    assert!(plant.works().tanks[1][SNO] >= 0.0);
}

#[test]
fn loops_open_without_a_bump() {
    let mut plant = Plant::new(Works::settled());
    plant.close_loops();
    plant.advance(3600);
    let before = plant.applied();
    plant.open_loops();
    plant.advance(600);
    let after = plant.applied();
    assert!((after.kla[4] - before.kla[4]).abs() < 3.0, "{before:?} {after:?}");
    assert!((after.q_internal - before.q_internal).abs() < 1.0, "{before:?} {after:?}");
}
