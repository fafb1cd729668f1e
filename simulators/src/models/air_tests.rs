use super::*;
use crate::models::blower::{BLOW_OFF_S, BlowerPhase, RESTART_INHIBIT_S, START_S, TRIP_KPA};
use crate::rng::Rng;

const TWO: AirCommands =
    AirCommands { valve_pct: [58.0, 54.0, 46.0], speed_pct: [92.0, 92.0, 40.0], run: [true, true, false] };
const MILD: AirSurroundings = AirSurroundings::MILD;

fn settled(commands: &AirCommands) -> AirSystem {
    let mut air = AirSystem::new(commands, &MILD, [0.0; 3]);
    for _ in 0..600 {
        air.step(1.0, commands, &MILD);
    }
    air
}

#[test]
fn header_balances_and_responds_monotonically() {
    let base = settled(&TWO);
    let supply: f64 = base.blowers.iter().map(|b| b.flow).sum();
    let use_: f64 = base.zone_flow.iter().sum();
    assert!((supply - use_).abs() < 1.0, "{supply} against {use_}");
    assert!(base.header_kpa > 45.0 && base.header_kpa < 70.0, "{}", base.header_kpa);
    assert!(use_ > 3500.0 && use_ < 6000.0, "{use_}");

    let mut faster = TWO;
    faster.speed_pct = [97.0, 97.0, 40.0];
    let faster = settled(&faster);
    assert!(faster.header_kpa > base.header_kpa && faster.power_kw() > base.power_kw());
    assert!((0..3).all(|i| faster.zone_flow[i] > base.zone_flow[i] && faster.zone_kla[i] > base.zone_kla[i]));

    let mut opened = TWO;
    opened.valve_pct[0] = 68.0;
    let opened = settled(&opened);
    assert!(opened.header_kpa < base.header_kpa);
    assert!(opened.zone_flow[0] > base.zone_flow[0]);
    assert!(opened.zone_flow[1] < base.zone_flow[1] && opened.zone_flow[2] < base.zone_flow[2]);
}

#[test]
fn step_length_does_not_change_where_the_header_settles() {
    let coarse = settled(&TWO);
    let mut fine = AirSystem::new(&TWO, &MILD, [0.0; 3]);
    for _ in 0..3000 {
        fine.step(0.1, &TWO, &MILD);
    }
    assert!((coarse.header_kpa - fine.header_kpa).abs() < 0.01, "{} {}", coarse.header_kpa, fine.header_kpa);
}

#[test]
fn oxygen_transfer_grows_with_air_but_ever_less() {
    let mut previous = (0.0, f64::MAX);
    for step in 1..80 {
        let flow = 50.0 * f64::from(step);
        let value = kla(flow, 0.6);
        let efficiency = value / flow;
        assert!(value > previous.0 && efficiency <= previous.1 + 1e-12, "{flow}");
        previous = (value, efficiency);
    }
}

#[test]
fn load_lowers_alpha_and_age_fouls() {
    for zone in 0..3 {
        for load in [0.0, 0.5, 1.0, 2.0, 8.0] {
            assert!((0.35..=0.8).contains(&alpha(zone, load)), "{}", alpha(zone, load));
        }
        assert!(alpha(zone, 2.0) < alpha(zone, 1.0));
    }
    assert!(alpha(0, 1.0) < alpha(1, 1.0) && alpha(1, 1.0) < alpha(2, 1.0));
    assert!(fouling(1000.0) < fouling(100.0) && fouling(1e6) >= 0.6);
    assert!(foot_kpa(fouling(1000.0)) > foot_kpa(fouling(0.0)));
}

#[test]
fn valves_stick_within_their_stiction_and_take_their_travel_time() {
    let mut air = settled(&TWO);
    let start = air.valve_pct[0];
    let mut little = TWO;
    little.valve_pct[0] += 0.8;
    (0..30).for_each(|_| air.step(1.0, &little, &MILD));
    assert_eq!(air.valve_pct[0], start, "less than the stiction moves nothing");
    let mut closed = TWO;
    closed.valve_pct[0] = 10.0;
    let took = (1..100).find(|_| {
        air.step(1.0, &closed, &MILD);
        air.valve_pct[0] <= 10.0
    });
    let expected = (start - 10.0) / 100.0 * VALVE_TRAVEL_S;
    assert!(took.is_some_and(|s| (f64::from(s) - expected).abs() < 2.0), "{took:?} against {expected}");
    // Equal percentage: the same step changes the flow coefficient by the same share.
    assert!((valve_kv(60.0) / valve_kv(50.0) - valve_kv(40.0) / valve_kv(30.0)).abs() < 1e-9);
}

#[test]
fn start_takes_its_time_and_a_stopped_blower_waits() {
    let mut air = settled(&TWO);
    let mut commands = TWO;
    commands.run[2] = true;
    commands.speed_pct[2] = 92.0;
    let started = (1..200).find(|_| {
        air.step(1.0, &commands, &MILD);
        air.blowers[2].running()
    });
    assert!(matches!(started, Some(s) if (60..=120).contains(&s)), "{started:?}");
    (0..BLOW_OFF_S as usize + 5).for_each(|_| air.step(1.0, &commands, &MILD));
    assert_eq!(air.blowers[2].starts, 1);
    commands.run[2] = false;
    air.step(1.0, &commands, &MILD);
    commands.run[2] = true;
    let again = (1..600).find(|_| {
        air.step(1.0, &commands, &MILD);
        air.blowers[2].running()
    });
    let least = (RESTART_INHIBIT_S + START_S) as i32;
    assert!(matches!(again, Some(s) if s >= least - 1 && s <= least + 5), "{again:?}");
}

#[test]
fn closed_valves_trip_the_blower_and_the_relief_holds() {
    let mut air = settled(&TWO);
    let shut = AirCommands { valve_pct: [0.0; 3], speed_pct: [100.0; 3], run: [true, true, false] };
    let mut highest = 0.0_f64;
    for _ in 0..300 {
        air.step(1.0, &shut, &MILD);
        highest = highest.max(air.header_kpa);
    }
    assert!(highest > TRIP_KPA && highest < 90.0, "{highest}");
    assert_eq!(air.blowers[0].phase, BlowerPhase::Tripped);
    assert_eq!(air.blowers[0].power_kw, 0.0);
}

#[test]
fn too_little_air_for_two_blowers_makes_them_surge_and_trip() {
    let mut air = settled(&TWO);
    let narrow = AirCommands { valve_pct: [26.0; 3], speed_pct: [82.0; 3], run: [true, true, false] };
    let (mut surged, mut lowest, mut highest) = (false, f64::MAX, 0.0_f64);
    for _ in 0..1200 {
        air.step(0.1, &narrow, &MILD);
        surged |= air.blowers[0].surging;
        if air.blowers[0].surging {
            (lowest, highest) = (lowest.min(air.header_kpa), highest.max(air.header_kpa));
        }
    }
    assert!(surged && air.blowers.iter().any(Blower::tripped), "{:?}", air.blowers);
    assert!(highest > lowest, "the pressure pulsates: {lowest} to {highest}");
}

#[test]
fn random_commands_keep_everything_finite() {
    for seed in [1, 2, 3] {
        let mut rng = Rng::new(seed, "air");
        let mut air = AirSystem::new(&TWO, &MILD, [0.0; 3]);
        for step in 0..5000 {
            let commands = AirCommands {
                valve_pct: std::array::from_fn(|_| 100.0 * rng.uniform()),
                speed_pct: std::array::from_fn(|_| 120.0 * rng.uniform()),
                run: std::array::from_fn(|_| rng.uniform() > 0.1),
            };
            let around = AirSurroundings { load: 2.0 * rng.uniform(), intake_c: -15.0 + 55.0 * rng.uniform() };
            air.step(if step % 2 == 0 { 0.1 } else { 1.0 }, &commands, &around);
            assert!((0.0..100.0).contains(&air.header_kpa), "seed {seed} step {step}: {}", air.header_kpa);
            assert!(air.zone_flow.iter().chain(&air.zone_kla).all(|x| x.is_finite() && *x >= 0.0));
            assert!(air.blowers.iter().all(|b| b.power_kw.is_finite() && b.power_kw >= 0.0));
        }
    }
}
