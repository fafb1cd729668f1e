use proptest::prelude::*;

use super::*;
use crate::faults::{FAULTS_MAX, MENU, QUANTITIES};
use crate::models::wet::Weather;

const NOON: i64 = 1_782_014_400;

fn inject(simulation: &mut Simulation, text: &str) -> u64 {
    simulation.inject(text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))).unwrap()
}

fn quantity(simulation: &Simulation, tag: &str) -> Quantity {
    simulation.quantities().into_iter().find(|quantity| quantity.tag == tag).unwrap()
}

fn truth(simulation: &Simulation, tag: &str) -> f64 {
    quantity(simulation, tag).truth
}

fn shown(simulation: &Simulation, tag: &str) -> f64 {
    quantity(simulation, tag).shown.unwrap()
}

fn seconds(simulation: &mut Simulation, count: usize) {
    (0..count).for_each(|_| simulation.step(1.0, 1.0));
}

#[test]
fn the_list_of_quantities_is_that_of_the_devices() {
    let mut simulation = Simulation::new(1, NOON);
    let mut of_devices: Vec<String> =
        simulation.quantities().into_iter().filter(|q| q.shown.is_some()).map(|q| q.tag).collect();
    let mut listed: Vec<String> = QUANTITIES.map(str::to_owned).into();
    of_devices.sort();
    listed.sort();
    assert_eq!(of_devices, listed);
    for tag in QUANTITIES {
        let (_, stations) = simulation.stations();
        assert_eq!(stations.into_iter().filter_map(|station| station.instrument(tag)).count(), 1, "{tag}");
    }
}

#[test]
fn every_instrument_fault_is_seen_and_cleared_on_every_device() {
    let cases = [
        ("aer/z5/nh4", "stuck aer/z5/nh4 40"),
        ("dos/po4/out", "bias dos/po4/out 1"),
        ("pv/power", "gain pv/power 2"),
        ("pv/irradiance", "range pv/irradiance high"),
        ("met/grid/voltage", "bias met/grid/voltage -200"),
        ("hp/tank/temp", "stuck hp/tank/temp 90"),
        ("eff/nh4", "spike eff/nh4 20 1h"),
        ("eff/ph", "range eff/ph low"),
        ("aer/mlss", "noise aer/mlss 5000"),
    ];
    for (tag, text) in cases {
        let mut simulation = Simulation::new(1, NOON);
        let healthy = shown(&simulation, tag);
        let id = inject(&mut simulation, text);
        simulation.step(1.0, 1.0);
        let off = (shown(&simulation, tag) - healthy).abs();
        assert!(off > 0.2 * healthy.abs().max(0.5), "{text}: {healthy} and off by {off}");
        assert!(simulation.clear(id) && !simulation.clear(id));
        assert!((shown(&simulation, tag) - healthy).abs() < 0.2 * off, "{text}: {}", shown(&simulation, tag));
        assert!(simulation.faults().is_empty());
    }
}

#[test]
fn a_drift_grows_in_plant_time_and_ends_by_itself() {
    let mut simulation = Simulation::new(1, NOON);
    inject(&mut simulation, "drift eff/temp 2 for 1h");
    simulation.step(3500.0, 0.1);
    let off = shown(&simulation, "eff/temp") - truth(&simulation, "eff/temp");
    assert!((off - 2.0 * 3500.0 / 3600.0).abs() < 0.1, "{off}");
    assert_eq!(simulation.faults().len(), 1);
    simulation.step(200.0, 0.1);
    assert!(simulation.faults().is_empty());
    assert!((shown(&simulation, "eff/temp") - truth(&simulation, "eff/temp")).abs() < 0.1);
}

#[test]
fn a_stuck_valve_does_not_obey_and_then_does() {
    let mut simulation = Simulation::new(1, NOON);
    let before = truth(&simulation, "aer/z4/valve/pos");
    let id = inject(&mut simulation, "valve-stuck z4");
    simulation.aeration_image().lock().write_holding(1, &[8000]).unwrap();
    seconds(&mut simulation, 90);
    assert_eq!(truth(&simulation, "aer/z4/valve/pos"), before);
    simulation.clear(id);
    seconds(&mut simulation, 90);
    assert!((truth(&simulation, "aer/z4/valve/pos") - 80.0).abs() < 0.6);
    inject(&mut simulation, "valve-stuck z4 20");
    seconds(&mut simulation, 90);
    assert!((truth(&simulation, "aer/z4/valve/pos") - 20.0).abs() < 0.6);
}

#[test]
fn tripped_pumps_stand_and_start_again() {
    for (pump, tag) in [
        ("pac", "dos/pac/flow"),
        ("carbon", "dos/carbon/flow"),
        ("naclo", "dos/naclo/flow"),
        ("recycle", "aer/recycle/flow"),
        ("ras", "slu/ras/flow"),
    ] {
        let mut simulation = Simulation::new(1, NOON);
        let image = simulation.images_of("dosing_skid");
        image.lock().write_holding(101, &[500]).unwrap();
        seconds(&mut simulation, 60);
        let before = truth(&simulation, tag);
        assert!(before > 1.0, "{tag} {before}");
        inject(&mut simulation, &format!("pump-trip {pump} for 2min"));
        seconds(&mut simulation, 119);
        assert!(truth(&simulation, tag) < 0.001 * before, "{tag} {}", truth(&simulation, tag));
        seconds(&mut simulation, 121);
        assert!((truth(&simulation, tag) / before - 1.0).abs() < 0.01, "{tag} {}", truth(&simulation, tag));
    }
}

#[test]
fn a_blower_trips_and_needs_its_run_command_taken_away() {
    let mut simulation = Simulation::new(1, NOON);
    let image = simulation.aeration_image();
    let id = inject(&mut simulation, "blower-trip b1");
    seconds(&mut simulation, 5);
    assert_eq!(truth(&simulation, "aer/b1/fault"), 1.0);
    assert_eq!((truth(&simulation, "aer/b1/running"), truth(&simulation, "aer/b1/power")), (0.0, 0.0));
    image.lock().write_coils(0, &[false]).unwrap();
    seconds(&mut simulation, 5);
    assert_eq!(truth(&simulation, "aer/b1/fault"), 1.0, "no reset while the cause is there");
    simulation.clear(id);
    seconds(&mut simulation, 5);
    assert_eq!(truth(&simulation, "aer/b1/fault"), 0.0);
    image.lock().write_coils(0, &[true]).unwrap();
    seconds(&mut simulation, 260);
    assert_eq!(truth(&simulation, "aer/b1/running"), 1.0);
}

#[test]
fn a_dip_stops_the_blowers_and_a_cut_stops_everything() {
    let mut simulation = Simulation::new(1, NOON);
    inject(&mut simulation, "power-dip");
    simulation.step(0.5, 0.5);
    assert!(shown(&simulation, "met/grid/voltage") < 300.0);
    seconds(&mut simulation, 2);
    assert!(simulation.faults().is_empty() && shown(&simulation, "met/grid/voltage") > 390.0);
    assert_eq!(truth(&simulation, "aer/b1/running"), 0.0, "the restart inhibit runs");
    seconds(&mut simulation, 300);
    assert_eq!((truth(&simulation, "aer/b1/running"), truth(&simulation, "aer/b1/fault")), (1.0, 0.0));

    inject(&mut simulation, "power-cut for 10min");
    seconds(&mut simulation, 300);
    for tag in ["met/grid/power", "met/blowers/power", "met/grid/voltage", "met/grid/current", "pv/power"] {
        assert_eq!(shown(&simulation, tag), 0.0, "{tag}");
    }
    assert!(truth(&simulation, "slu/ras/flow") < 1.0 && truth(&simulation, "aer/header/pressure") < 45.0);
    assert!(truth(&simulation, "aer/z3/do") < 0.2, "{}", truth(&simulation, "aer/z3/do"));
    assert!(truth(&simulation, "inf/flow") > 200.0, "the sewer does not need power");
    seconds(&mut simulation, 600);
    assert!(shown(&simulation, "pv/power") > 1.0 && truth(&simulation, "slu/ras/flow") > 500.0);
    assert_eq!(truth(&simulation, "aer/b1/running"), 1.0);
}

#[test]
fn a_restart_forgets_what_was_written_and_closes_the_port() {
    let mut simulation = Simulation::new(1, NOON);
    let image = simulation.aeration_image();
    let power_on = image.lock().word(0);
    image.lock().write_holding(0, &[8000]).unwrap();
    image.lock().write_holding(899, &[1]).unwrap();
    seconds(&mut simulation, 2);
    simulation.sludge_nodes().lock().commands = [1400.0, 70.0];
    inject(&mut simulation, "restart aeration_plc 5s");
    inject(&mut simulation, "restart sludge_effluent_plc");
    assert_eq!(image.lock().word(0), power_on);
    assert_eq!(image.lock().word(899), 0);
    assert_eq!(image.lock().writes(899), 0);
    assert_ne!(simulation.sludge_nodes().lock().commands, [1400.0, 70.0]);
    assert!(simulation.link("aeration_plc").refused && !simulation.link("heat_pump").refused);
    seconds(&mut simulation, 5);
    assert!(!simulation.link("aeration_plc").refused && simulation.link("sludge_effluent_plc").refused);
    seconds(&mut simulation, 5);
    assert!(simulation.faults().is_empty());
    assert!(simulation.remote(), "the watchdog sleeps until it hears the first beat");
}

/// Everything there is to see, as bytes.
fn bytes(simulation: &Simulation) -> Vec<u8> {
    let quantities = simulation.quantities();
    let values = quantities.iter().flat_map(|q| [q.truth, q.shown.unwrap_or(0.0)]);
    let mut all: Vec<u8> = values.flat_map(f64::to_be_bytes).collect();
    all.extend(format!("{:?} {:?}", simulation.faults(), simulation.plant().works()).into_bytes());
    for (device, units) in simulation.modbus_devices() {
        all.extend(format!("{device} {units:?}").into_bytes());
    }
    all
}

#[test]
fn same_seed_and_same_faults_are_the_same_bytes() {
    let run = |seed: u64, noise: &str| {
        let mut simulation = Simulation::in_weather(seed, NOON, Weather::Storm);
        for (at, text) in [(10, noise), (20, "spike eff/nh4 4 1min"), (40, "power-dip"), (60, "pump-trip ras for 1min")]
        {
            while simulation.plant().clock().elapsed_s() < f64::from(at) {
                simulation.step(1.0, 0.1);
            }
            inject(&mut simulation, text);
        }
        simulation.step(600.0, 1.0);
        bytes(&simulation)
    };
    assert_eq!(run(5, "noise aer/z5/do 0.5"), run(5, "noise aer/z5/do 0.5"));
    assert_ne!(run(5, "noise aer/z5/do 0.5"), run(6, "noise aer/z5/do 0.5"));
    assert_ne!(run(5, "noise aer/z5/do 0.5"), run(5, "noise aer/z5/do 0.6"));
}

#[test]
fn a_cleared_fault_leaves_no_trace_in_the_other_instruments() {
    let run = |fault: Option<&str>| {
        let mut simulation = Simulation::new(5, NOON);
        let id = fault.map(|text| inject(&mut simulation, text));
        seconds(&mut simulation, 100);
        if let Some(id) = id {
            simulation.clear(id);
        }
        seconds(&mut simulation, 100);
        bytes(&simulation)
    };
    assert_eq!(run(None), run(Some("noise eff/nh4 2")));
}

/// A fault of the menu at random: some text from a menu entry, with a random target of its kind and parameter.
fn any_fault() -> impl Strategy<Value = String> {
    let example = (0..MENU.len()).prop_map(|i| MENU[i].example.to_owned());
    let sensor = (
        prop::sample::select(vec!["stuck", "drift", "bias", "gain", "noise", "spike"]),
        prop::sample::select(QUANTITIES.to_vec()),
        -1e4..1e4_f64,
    )
        .prop_map(|(name, tag, value)| format!("{name} {tag} {}", if name == "noise" { value.abs() } else { value }));
    let machine = prop::sample::select(vec![
        "valve-stuck z3 0",
        "valve-stuck z4 100",
        "valve-stuck z5",
        "pump-trip ras",
        "pump-trip recycle",
        "pump-trip carbon for 5min",
        "blower-trip b1",
        "blower-trip b2 for 3min",
        "blower-trip b3",
        "power-cut for 4min",
        "power-dip",
    ])
    .prop_map(str::to_owned);
    prop_oneof![example, sensor, machine]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_faults_never_panic_and_never_give_negative_concentrations(
        seed in 0..1000_u64,
        weather in prop::sample::select(vec![Weather::Dry, Weather::Rain, Weather::Storm]),
        acts in prop::collection::vec((any_fault(), 1.0..900.0_f64, prop::option::of(0..20_u64)), 1..14),
    ) {
        let mut simulation = Simulation::in_weather(seed, NOON + 40_000 * seed as i64, weather);
        for (text, dt, cleared) in acts {
            inject(&mut simulation, &text);
            if let Some(id) = cleared {
                simulation.clear(id);
            }
            simulation.step(dt, dt.min(5.0));
            prop_assert!(simulation.faults().len() <= FAULTS_MAX);
            let works = simulation.plant().works();
            for state in works.concentrations() {
                prop_assert!(state.is_finite() && *state >= 0.0, "{text}: {works:?}");
            }
            for quantity in simulation.quantities() {
                prop_assert!(quantity.truth.is_finite(), "{text}: {quantity:?}");
                prop_assert!(quantity.shown.is_none_or(f64::is_finite), "{text}: {quantity:?}");
                let concentration = ["nh4", "no3", "cod", "/tn", "tss", "mlss", "po4", "tp/out", "cl2", "/do"];
                if concentration.iter().any(|part| quantity.tag.contains(part)) {
                    prop_assert!(quantity.truth >= 0.0, "{text}: {quantity:?}");
                }
            }
        }
    }
}

#[test]
fn orders_reach_status_words_and_nodes() {
    use crate::devices::image::input;
    let mut simulation = Simulation::new(1, NOON);
    let word = |simulation: &Simulation, device: &str, number: u16| {
        simulation.images_of(device).lock().read_input(input(number), 1).unwrap()[0]
    };
    assert_eq!(word(&simulation, "aeration_plc", 30_204), 1);
    assert_eq!(word(&simulation, "dosing_skid", 30_202) & !32, 1);
    let orders = ["maintenance aer/z5/nh4", "calibrate dos/po4/out", "maintenance eff/nh4", "range eff/ph high"];
    for text in orders {
        inject(&mut simulation, text);
    }
    let held = shown(&simulation, "eff/nh4");
    simulation.step(500.0, 1.0);
    assert_eq!(word(&simulation, "aeration_plc", 30_204), 4);
    assert_eq!(word(&simulation, "dosing_skid", 30_202) & !32, 2);
    assert!(simulation.images_of("dosing_skid").lock().read_discrete(3, 1).unwrap()[0], "the skid's own bit");
    assert_eq!(shown(&simulation, "eff/nh4"), held);
    assert!((shown(&simulation, "eff/ph") - 14.0 * (1.0 + 1.5 / 16.0)).abs() < 1e-9, "21.5 mA");
    assert_eq!(simulation.sludge_nodes().lock().statuses[0], 4);
    assert_eq!(simulation.sludge_nodes().lock().statuses[4], 16);
    simulation.step(200.0, 1.0);
    assert_eq!(simulation.faults().len(), 3, "a zero takes ten minutes and ends by itself");
    simulation.clear_all();
    simulation.step(1.0, 1.0);
    assert_eq!(simulation.sludge_nodes().lock().statuses[0], 1);
    assert!(!simulation.images_of("dosing_skid").lock().read_discrete(3, 1).unwrap()[0]);
}

#[test]
fn analysers_warm_up_after_a_power_cut_and_after_a_restart_of_their_device() {
    use crate::instruments::status::{FAILURE, VALID, WARM_UP};
    let mut simulation = Simulation::new(1, NOON);
    let ammonia = |simulation: &Simulation| simulation.sludge_nodes().lock().statuses[0];
    inject(&mut simulation, "power-cut for 1min");
    seconds(&mut simulation, 30);
    let held = shown(&simulation, "eff/nh4");
    assert_eq!(ammonia(&simulation), FAILURE);
    seconds(&mut simulation, 40);
    assert_eq!((ammonia(&simulation), shown(&simulation, "eff/nh4")), (WARM_UP, held));
    seconds(&mut simulation, 300);
    assert_eq!(ammonia(&simulation), VALID);
    inject(&mut simulation, "restart sludge_effluent_plc 1s");
    seconds(&mut simulation, 5);
    assert_eq!(ammonia(&simulation), WARM_UP);
    seconds(&mut simulation, 300);
    assert_eq!(ammonia(&simulation), VALID);
}

#[test]
fn meters_are_replaced_and_roll_over() {
    let mut simulation = Simulation::new(1, NOON);
    let reading = |simulation: &Simulation| simulation.plant().meter(crate::plant::Feeder::Pumps).import.count();
    let before = reading(&simulation);
    simulation.inject("meter-reset pumps".parse().unwrap()).unwrap();
    for _ in 0..120 {
        simulation.step(1.0, 1.0);
    }
    assert!(reading(&simulation) < 1000 && before > 10_000_000, "{before} and {}", reading(&simulation));
    assert!(simulation.faults().is_empty(), "an event is over by itself");
    // A register of 32 bits of 0.01 kWh goes round at 42 949 672.96 kWh.
    simulation.inject("meter-preset pumps 42949672.9".parse().unwrap()).unwrap();
    assert!(reading(&simulation) > 4_294_967_280);
    for _ in 0..600 {
        simulation.step(1.0, 1.0);
    }
    assert!(reading(&simulation) < 100_000, "{}", reading(&simulation));
}
