use super::*;
use crate::models::asm1::{SNO, XI};
use crate::models::influent::NH4_MEAN;

/// Constant influent of the benchmark with its phosphate.
const CONSTANT: [f64; STATES] = [30.0, 69.5, 51.2, 202.32, 28.17, 0.0, 0.0, 0.0, 0.0, 31.56, 6.95, 10.59, 7.0];

fn inputs() -> Inputs {
    Inputs {
        influent: water::water(&CONSTANT, 0.16 * NH4_MEAN),
        q_in: 18_446.0,
        q_internal: 2.0 * 18_446.0,
        q_ras: 18_446.0,
        q_was: 385.0,
        kla: [0.0, 0.0, 220.0, 180.0, 110.0],
        carbon: 0.0,
        metal: 0.0,
        temp_c: 17.0,
    }
}

/// Oxygen held at 1.5 g/m3 in the aerated tanks, as the controlled plant would.
fn settle(basin: &mut Basin, inputs: &mut Inputs, days: f64) -> Passed {
    let step_s = 20.0;
    let mut passed = Passed::NOTHING;
    for _ in 0..(days * DAY_S / step_s) as usize {
        for k in 2..5 {
            inputs.kla[k] = (inputs.kla[k] + 0.3 * (1.5 - basin.tanks[k][SO])).clamp(0.0, 360.0);
        }
        passed = basin.step(step_s, inputs);
    }
    passed
}

#[test]
fn the_state_of_the_start_rests() {
    let start = Basin::settled();
    let mut basin = start;
    settle(&mut basin, &mut inputs(), 3.0);
    for k in 0..5 {
        for (i, allowed) in [(SNH, 0.4), (SNO, 0.4), (PO4, 0.4), (XPP, 3.0), (XBH, 40.0), (XI, 20.0)] {
            let (a, b) = (start.tanks[k][i], basin.tanks[k][i]);
            assert!((a - b).abs() <= allowed, "tank {} component {i}: {a} became {b}", k + 1);
        }
    }
}

#[test]
#[ignore = "prints the constants of the settled state"]
fn print_settled_state() {
    let mut basin = Basin::settled();
    for _ in 0..5 {
        settle(&mut basin, &mut inputs(), 30.0);
        for tank in &basin.tanks {
            println!(
                "PO4 {:.3} XPP/XBH {:.5} NH4 {:.3} NO3 {:.3} TSS {:.0}",
                tank[PO4],
                tank[XPP] / tank[XBH],
                tank[SNH],
                tank[SNO],
                water::tss(tank)
            );
        }
        println!("layers {:?}", basin.layers.map(|y| water::tss(&y).round()));
    }
}

#[test]
fn with_phosphorus_enough_it_is_the_benchmark() {
    use crate::models::works;
    let mut asm1_inputs = works::Inputs {
        feeds: works::FEED_FIRST,
        influent: CONSTANT,
        q_in: 18_446.0,
        q_internal: 55_338.0,
        q_ras: 18_446.0,
        q_was: 385.0,
        kla: [0.0, 0.0, 240.0, 240.0, 84.0],
        carbon: [0.0; 5],
        temp_c: 15.0,
    };
    asm1_inputs.carbon[0] = 100_000.0;
    let inputs = Inputs {
        influent: water::water(&CONSTANT, 5.0),
        q_internal: 55_338.0,
        kla: asm1_inputs.kla,
        carbon: 100_000.0,
        temp_c: 15.0,
        ..inputs()
    };
    let mut reference = Works::settled();
    let mut basin = Basin::settled();
    for _ in 0..2000 {
        reference.step(60.0, &asm1_inputs);
        basin.step(60.0, &inputs);
    }
    for k in 0..5 {
        for i in 0..STATES {
            let (a, b) = (reference.tanks[k][i], basin.tanks[k][i]);
            // The delay of the composition in the settler is all the difference.
            assert!((a - b).abs() <= 0.02 * a.abs() + 0.02, "tank {} state {i}: {a} against {b}", k + 1);
        }
    }
}

#[test]
fn simultaneous_precipitation_leaves_what_asm2d_says() {
    // Residual of ASM2d at 5 g/m3 of phosphate by beta, mol metal per mol P: without biological uptake, at rest.
    for (beta, expected) in [(1.0, 1.64), (1.5, 0.94), (2.0, 0.62)] {
        let po4_in = 5.0;
        let mut y = [0.0; PARTS];
        y[PO4] = po4_in;
        y[SALK] = 4.0;
        y[MEOH] = MEOH_PER_P * beta * po4_in;
        let params = Params::at(15.0);
        let mut rate = [0.0; PARTS];
        // A batch as old as the sludge of the table, ten days, at its enrichment of ten days over 7.7 hours.
        let enriched = 10.0 * 24.0 / 7.7;
        y[MEOH] *= enriched;
        let h = 2e-5;
        for step in 0..200_000 {
            reactions(&y, &params, &mut rate);
            (PO4..PARTS).for_each(|i| y[i] += h * rate[i]);
            // Phosphate comes in and metal goes on with the flow of the water and of the sludge.
            y[PO4] += h * 24.0 / 7.7 * (po4_in - y[PO4]);
            y[MEOH] += h * (MEOH_PER_P * beta * po4_in * 24.0 / 7.7 - y[MEOH] / 10.0);
            y[MEP] -= h * y[MEP] / 10.0;
            assert!(y.iter().all(|y| y.is_finite()), "step {step}");
        }
        for _ in 0..2_000_000 {
            reactions(&y, &params, &mut rate);
            (PO4..PARTS).for_each(|i| y[i] += h * rate[i]);
            y[PO4] += h * 24.0 / 7.7 * (po4_in - y[PO4]);
            y[MEOH] += h * (MEOH_PER_P * beta * po4_in * 24.0 / 7.7 - y[MEOH] / 10.0);
            y[MEP] -= h * y[MEP] / 10.0;
        }
        assert!((y[PO4] / expected - 1.0).abs() < 0.08, "beta {beta}: {} instead of {expected}", y[PO4]);
    }
}

#[test]
fn metal_in_tank_5_lowers_phosphate_and_thickens_the_sludge() {
    let (mut base, mut dosed) = (Basin::settled(), Basin::settled());
    let (mut plain, mut with_metal) = (inputs(), inputs());
    with_metal.metal = 150_000.0 * water::MEOH_PER_AL;
    settle(&mut base, &mut plain, 1.0);
    settle(&mut dosed, &mut with_metal, 1.0);
    assert!(dosed.effluent()[PO4] < 0.7 * base.effluent()[PO4], "{} {}", dosed.effluent()[PO4], base.effluent()[PO4]);
    assert!(dosed.tanks[4][MEP] > 5.0 && water::tss(&dosed.tanks[4]) > water::tss(&base.tanks[4]) + 10.0);
}

#[test]
fn without_oxygen_the_sludge_gives_its_phosphorus_back() {
    let mut basin = Basin::settled();
    let before = basin.tanks[4][PO4];
    let choked = Inputs { kla: [0.0; 5], ..inputs() };
    for _ in 0..6 * 60 {
        basin.step(60.0, &choked);
    }
    assert!(basin.tanks[4][PO4] > before + 1.0, "{} after {before}", basin.tanks[4][PO4]);
    assert!(basin.concentrations().all(|y| y.is_finite() && *y >= 0.0));
}
