use super::*;

/// Summer and winter, noon and night.
const STARTS: [i64; 4] = [1_782_014_400, 1_782_014_400 - 9 * 3600, 1_797_825_600, 1_797_825_600 + 10 * 3600];

#[test]
fn starts_at_a_sane_operating_point_and_stays_there() {
    for start in STARTS {
        let mut plant = Plant::new(1, start, Weather::Dry);
        for minute in 0..30 {
            let m = *plant.measured();
            for zone in 2..5 {
                assert!((0.6..3.0).contains(&m.tank_do[zone]), "start {start} minute {minute}: DO {:?}", m.tank_do);
            }
            assert!((45.0..65.0).contains(&m.header_kpa), "start {start} minute {minute}: {} kPa", m.header_kpa);
            assert!(m.z5_nh4 < 12.0 && (2500.0..4500.0).contains(&m.mlss), "{} {}", m.z5_nh4, m.mlss);
            assert!((0.05..0.8).contains(&m.po4_out), "start {start} minute {minute}: PO4 {}", m.po4_out);
            assert!((6.0..8.0).contains(&m.eff_ph), "{}", m.eff_ph);
            plant.step(60.0);
        }
    }
}

#[test]
fn meters_balance_and_registers_integrate_power() {
    let mut plant = Plant::new(2, STARTS[0], Weather::Dry);
    plant.handles.heat.run = true;
    let feeders = [Feeder::Grid, Feeder::Blowers, Feeder::Pumps, Feeder::HeatPump, Feeder::Aux, Feeder::Pv];
    let start = feeders.map(|f| (plant.meter(f).import.count(), plant.meter(f).export.count()));
    let mut kwh = [(0.0_f64, 0.0_f64); 6];
    for _ in 0..4 * 3600 {
        plant.step(1.0);
        let [grid, blowers, pumps, heat, aux, pv] = feeders.map(|f| plant.meter(f).power_kw);
        assert!((grid - (blowers + pumps + heat + aux - pv)).abs() < 1e-9);
        for (sum, power) in kwh.iter_mut().zip([grid, blowers, pumps, heat, aux, pv]) {
            sum.0 += power.max(0.0) / 3600.0;
            sum.1 += (-power).max(0.0) / 3600.0;
        }
    }
    for (i, feeder) in feeders.into_iter().enumerate() {
        let taken = (plant.meter(feeder).import.count() - start[i].0) as f64 * 0.01;
        let given = (plant.meter(feeder).export.count() - start[i].1) as f64 * 0.01;
        assert!((taken - kwh[i].0).abs() < 0.02, "{feeder:?}: {taken} against {}", kwh[i].0);
        assert!((given - kwh[i].1).abs() < 0.02, "{feeder:?}: {given} against {}", kwh[i].1);
    }
    assert!(kwh[5].0 > 100.0, "no sun at summer noon: {}", kwh[5].0);
}

#[test]
fn more_air_more_oxygen_less_ammonium() {
    let mut base = Plant::new(1, STARTS[0], Weather::Dry);
    let mut more = base.clone();
    for valve in &mut more.handles.air.valve_pct {
        *valve += 8.0;
    }
    more.handles.air.speed_pct = [100.0; 3];
    for _ in 0..60 {
        base.step(60.0);
        more.step(60.0);
    }
    assert!(more.measured().tank_do[3] > base.measured().tank_do[3] + 0.3);
    assert!(more.measured().z5_nh4 < base.measured().z5_nh4);
    assert!(more.meter(Feeder::Blowers).power_kw > base.meter(Feeder::Blowers).power_kw);
}

#[test]
fn carbon_lowers_nitrate_in_the_anoxic_tank() {
    let mut base = Plant::new(1, STARTS[0], Weather::Dry);
    let mut dosed = base.clone();
    dosed.handles.doses.carbon_l_h = 60.0;
    for _ in 0..240 {
        base.step(60.0);
        dosed.step(60.0);
    }
    assert!(
        dosed.measured().z2_no3 < base.measured().z2_no3 - 0.2,
        "{} {}",
        dosed.measured().z2_no3,
        base.measured().z2_no3
    );
}
