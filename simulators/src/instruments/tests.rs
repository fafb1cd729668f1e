use super::*;
use crate::clock::PlantClock;
use proptest::prelude::*;
use status::{CALIBRATION, FAILURE, NEW_VALUE, REAGENT_LOW, SERVICE, VALID, WARM_UP};

#[test]
fn response_times_are_those_of_the_class() {
    // Time to 90 % of a step, s: A about 1 min, B0 about 10 min, C0 about 20 min.
    for (class, expected) in [(Class::A, 60.0), (Class::B0, 600.0), (Class::C0, 1200.0), (Class::Fast(2.0), 4.6)] {
        let mut instrument = Instrument::new(1, "step", class, 0.0, (0.0, 10.0));
        instrument.see(0.0, 0.1);
        let steps = (1..20_000).find(|_| {
            instrument.see(1.0, 0.1);
            instrument.value() >= 0.9
        });
        let took = f64::from(steps.unwrap()) * 0.1;
        assert!((took / expected - 1.0).abs() < 0.05, "{class:?}: {took} s");
    }
}

#[test]
fn noise_range_and_hold() {
    let mut instrument = Instrument::new(1, "noise", Class::Direct, 0.5, (0.0, 10.0));
    let mut shown = Vec::new();
    for _ in 0..20_000 {
        instrument.see(5.0, 1.0);
        shown.push(instrument.value());
    }
    let mean = shown.iter().sum::<f64>() / shown.len() as f64;
    let sigma = (shown.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / shown.len() as f64).sqrt();
    assert!((mean - 5.0).abs() < 0.02 && (sigma - 0.5).abs() < 0.02, "{mean} {sigma}");
    instrument.see(99.0, 1.0);
    assert_eq!(instrument.value(), 10.0);
    instrument.break_down(1, SensorFault::Maintenance, 1);
    instrument.see(1.0, 1.0);
    assert_eq!(instrument.value(), 10.0);

    let mut batch = Instrument::new(1, "batch", Class::B1, 0.1, (0.0, 10.0));
    batch.see(5.0, 1.0);
    let first = batch.value();
    let changed = (1..400).filter(|_| {
        let before = batch.value();
        batch.see(5.0, 1.0);
        batch.value() != before
    });
    assert_eq!(changed.count(), 1, "one new value in 400 s after {first}");
}

/// What an instrument of range 0 to 10 shows of 4.0 after `seconds` under a fault, and after its repair.
fn under(fault: SensorFault, seconds: usize) -> (Vec<f64>, f64) {
    let mut instrument = Instrument::new(1, "fault", Class::Direct, 0.0, (0.0, 10.0));
    instrument.see(4.0, 1.0);
    instrument.break_down(1, fault, 7);
    let shown = (0..seconds)
        .map(|_| {
            instrument.see(4.0, 1.0);
            instrument.value()
        })
        .collect();
    assert!(instrument.broken());
    instrument.repair(1);
    assert!(!instrument.broken());
    (shown, instrument.value())
}

#[test]
fn every_fault_acts_and_ends() {
    let cases: [(SensorFault, f64); 8] = [
        (SensorFault::Stuck { at: Some(0.5) }, 0.5),
        (SensorFault::Stuck { at: None }, 4.0),
        (SensorFault::Drift { per_h: 1.0 }, 5.0),
        (SensorFault::Bias { by: -1.5 }, 2.5),
        (SensorFault::Bias { by: 20.0 }, 10.0),
        (SensorFault::Gain { factor: 0.5 }, 2.0),
        (SensorFault::OutOfRange { high: true }, 10.9375),
        (SensorFault::OutOfRange { high: false }, -0.3125),
    ];
    for (fault, expected) in cases {
        let (shown, after) = under(fault, 3600);
        assert!((shown[3599] - expected).abs() < 1e-9, "{fault:?}: {}", shown[3599]);
        assert_eq!(after, 4.0, "{fault:?}");
    }
    let (noisy, after) = under(SensorFault::Noise { sigma: 0.5 }, 4000);
    let sigma = (noisy.iter().map(|x| (x - 4.0).powi(2)).sum::<f64>() / 4000.0).sqrt();
    assert!((sigma - 0.5).abs() < 0.03, "{sigma}");
    assert_eq!(after, 4.0);
    let (spiky, _) = under(SensorFault::Spike { by: 3.0, every_s: 100.0 }, 4000);
    let up = spiky.iter().filter(|x| **x == 7.0).count();
    assert!((60..200).contains(&up) && spiky.iter().all(|x| *x == 7.0 || *x == 4.0), "{up} seconds of spikes");
}

#[test]
fn a_stuck_instrument_does_not_follow_and_faults_lie_over_each_other() {
    let mut instrument = Instrument::new(1, "stuck", Class::Direct, 0.0, (0.0, 10.0));
    instrument.see(4.0, 1.0);
    instrument.break_down(1, SensorFault::Stuck { at: None }, 7);
    instrument.see(9.0, 1.0);
    assert_eq!(instrument.value(), 4.0);
    instrument.break_down(2, SensorFault::Bias { by: 1.0 }, 7);
    assert_eq!(instrument.value(), 5.0);
    instrument.repair(1);
    assert_eq!(instrument.value(), 10.0);
}

/// Monday 22 June 2026, 0:00 at UTC+8.
const MONDAY: i64 = 1_782_057_600;
const HOUR_S: f64 = 3600.0;

/// An instrument of the table beside a clock.
struct Bench {
    instrument: Instrument,
    clock: PlantClock,
    mains: bool,
}

impl Bench {
    fn new(tag: &str, class: Class, hour: f64) -> Bench {
        let clock = PlantClock::new(MONDAY + (hour * HOUR_S) as i64);
        Bench { instrument: Instrument::new(1, tag, class, 0.0, (0.0, 10.0)), clock, mains: true }
    }

    fn run(&mut self, seconds: usize, truth: f64) {
        for _ in 0..seconds {
            self.clock.advance(1.0);
            self.instrument.attend(service::week_s(&self.clock), self.mains);
            self.instrument.see(truth, 1.0);
        }
    }

    fn now(&self) -> (f64, u16) {
        (self.instrument.value(), self.instrument.status())
    }
}

#[test]
fn a_cleaning_holds_the_value_and_the_response_follows() {
    let mut bench = Bench::new("aer/z5/nh4", Class::B0, 2.0);
    bench.run(600, 4.0);
    assert_eq!(bench.now(), (4.0, SERVICE), "02:10");
    bench.run(719, 8.0);
    assert_eq!(bench.now(), (4.0, SERVICE), "02:21:59");
    bench.run(61, 8.0);
    let (value, status) = bench.now();
    assert_eq!(status, VALID);
    assert!(value < 4.5, "it comes back by its response, not at once: {value}");
    bench.run(900, 8.0);
    assert!(bench.now().0 > 7.8, "{}", bench.now().0);
}

#[test]
fn a_weekly_calibration_takes_a_drift_away() {
    let mut bench = Bench::new("aer/z5/nh4", Class::B0, 24.0 + 8.0);
    bench.run(1, 4.0);
    bench.instrument.break_down(1, SensorFault::Drift { per_h: 1.0 }, 1);
    bench.run(3500, 4.0);
    assert!((bench.now().0 - 4.97).abs() < 0.01, "{:?}", bench.now());
    bench.run(600, 4.0);
    assert_eq!(bench.now().1, CALIBRATION, "Tuesday 9:08");
    let held = bench.now().0;
    bench.run(1800, 4.0);
    assert_eq!(bench.now(), (held, CALIBRATION));
    bench.run(900, 4.0);
    assert_eq!(bench.now().1, VALID);
    assert!((bench.now().0 - 4.0).abs() < 0.2, "{:?}", bench.now());
}

#[test]
fn bubbles_of_a_wiper_are_seen_and_said() {
    let mut bench = Bench::new("eff/tss", Class::A, 0.5);
    bench.run(298, 1.0);
    assert_eq!(bench.now(), (1.0, VALID));
    bench.run(10, 1.0);
    assert_eq!(bench.now().1, SERVICE);
    assert!(bench.now().0 > 1.01, "{:?}", bench.now());
    bench.run(120, 1.0);
    assert_eq!(bench.now().1, VALID);
    assert!((bench.now().0 - 1.0).abs() < 1e-3);
}

#[test]
fn no_valid_value_before_the_warm_up_is_over() {
    let mut bench = Bench::new("aer/z5/nh4", Class::B0, 12.0);
    bench.run(60, 4.0);
    bench.mains = false;
    bench.run(60, 8.0);
    assert_eq!(bench.now(), (4.0, FAILURE));
    bench.mains = true;
    bench.run(299, 8.0);
    assert_eq!(bench.now(), (4.0, WARM_UP));
    bench.run(1, 8.0);
    assert_eq!(bench.now().1, VALID);
    assert!(bench.now().0 > 4.0);
    bench.instrument.power_cycle();
    bench.run(1, 8.0);
    assert_eq!(bench.now().1, WARM_UP);
    bench.run(300, 8.0);
    assert_eq!(bench.now().1, VALID);
}

#[test]
fn the_code_of_a_held_value_is_the_same_between_samples_whatever_the_cell_does() {
    let mut bench = Bench::new("dos/po4/out", Class::B1, 12.0);
    bench.run(1, 1.0);
    bench.instrument.break_down(1, SensorFault::Drift { per_h: 6.0 }, 1);
    bench.instrument.break_down(2, SensorFault::Noise { sigma: 0.2 }, 1);
    let mut changes = Vec::new();
    let mut before = bench.now();
    for second in 2..1000 {
        bench.run(1, 1.0 + 0.001 * f64::from(second));
        let now = bench.now();
        assert_eq!(now.0 == before.0, now.1 & NEW_VALUE == before.1 & NEW_VALUE, "the toggle tells: {second}");
        if now.0 != before.0 {
            changes.push(second);
        }
        before = now;
    }
    assert_eq!(changes, [301, 601, 901]);
    // The output itself can spike between two samples.
    bench.instrument.break_down(3, SensorFault::Spike { by: 3.0, every_s: 1e6 }, 1);
    let spiked = bench.now().0;
    assert!(spiked > before.0 + 2.9, "{spiked}");
    bench.run(4, 1.0);
    assert_eq!(bench.now().0, before.0);
}

#[test]
fn orders_of_people_and_reagents() {
    let mut bench = Bench::new("dos/po4/out", Class::B1, 12.0);
    bench.run(1, 1.0);
    for (fault, bits) in [
        (SensorFault::Maintenance, SERVICE),
        (SensorFault::Calibrate, CALIBRATION),
        (SensorFault::ReagentLow, VALID | REAGENT_LOW),
        (SensorFault::OutOfRange { high: true }, FAILURE),
    ] {
        bench.instrument.break_down(1, fault, 1);
        assert_eq!(bench.now().1 & !NEW_VALUE, bits, "{fault:?}");
        bench.instrument.repair(1);
        assert_eq!(bench.now().1 & !NEW_VALUE, VALID, "{fault:?}");
    }
    // Two months empty it, and no photometer takes its zero without being filled up by then.
    bench.instrument.reagent = 0.09;
    assert_eq!(bench.now().1 & REAGENT_LOW, REAGENT_LOW);
    bench.run(2 * 3600, 1.0);
    assert_eq!(bench.now().1 & REAGENT_LOW, 0);
    assert!(bench.instrument.reagent > 0.99);
}

fn any_fault() -> impl Strategy<Value = SensorFault> {
    let value = -20.0..20.0_f64;
    prop_oneof![
        prop::option::of(value.clone()).prop_map(|at| SensorFault::Stuck { at }),
        value.clone().prop_map(|per_h| SensorFault::Drift { per_h }),
        value.clone().prop_map(|by| SensorFault::Bias { by }),
        (0.0..5.0_f64).prop_map(|sigma| SensorFault::Noise { sigma }),
        (value.clone(), 1.0..100.0_f64).prop_map(|(by, every_s)| SensorFault::Spike { by, every_s }),
        any::<bool>().prop_map(|high| SensorFault::OutOfRange { high }),
        value.prop_map(|factor| SensorFault::Gain { factor }),
        Just(SensorFault::Maintenance),
        Just(SensorFault::Calibrate),
        Just(SensorFault::ReagentLow),
    ]
}

#[derive(Debug, Clone)]
enum Act {
    Break(SensorFault),
    Repair(u64),
    Restart,
    Mains(bool),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any_fault().prop_map(Act::Break),
        3 => (0..20_u64).prop_map(Act::Repair),
        1 => Just(Act::Restart),
        1 => any::<bool>().prop_map(Act::Mains),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_befell_an_instrument_it_works_when_all_is_cleared(
        tag in prop::sample::select(vec!["aer/z5/nh4", "aer/z3/do", "dos/po4/out", "eff/cod", "eff/tss", "eff/flow"]),
        class in prop::sample::select(vec![
            Class::Direct, Class::Fast(2.0), Class::A, Class::B0, Class::B1, Class::C0, Class::C1, Class::D,
        ]),
        hour in 0.0..160.0_f64,
        acts in prop::collection::vec((any_act(), 0..2000_usize), 1..20),
    ) {
        let run = || {
            let mut bench = Bench::new(tag, class, hour);
            let mut seen = Vec::new();
            for (id, (act, seconds)) in acts.iter().enumerate() {
                match act {
                    Act::Break(fault) => bench.instrument.break_down(id as u64, *fault, 3),
                    Act::Repair(id) => bench.instrument.repair(*id),
                    Act::Restart => bench.instrument.power_cycle(),
                    Act::Mains(on) => bench.mains = *on,
                }
                bench.run(*seconds, 4.0);
                seen.push((bench.now().0.to_bits(), bench.now().1));
            }
            (bench, seen)
        };
        let (mut bench, seen) = run();
        prop_assert!(seen.iter().all(|(bits, _)| f64::from_bits(*bits).is_finite()));
        prop_assert_eq!(&seen, &run().1, "the same acts are the same bytes");
        (0..20).for_each(|id| bench.instrument.repair(id));
        bench.mains = true;
        prop_assert!(!bench.instrument.broken());
        // A warm-up, a service and the response of the slowest class fit into four hours; then it waits for a gap.
        bench.run(4 * 3600, 4.0);
        let gap = (0..7200).find(|_| {
            bench.run(1, 4.0);
            bench.now().1 & VALID != 0
        });
        prop_assert!(gap.is_some(), "{:?}", bench.now());
        // What the hourly wiper has stirred up is the instrument's own; a class that holds may hold it for half an hour.
        let stirred = if tag == "eff/tss" { 0.2 } else { 0.0 };
        let (value, status) = bench.now();
        prop_assert!((-1e-3..stirred + 1e-3).contains(&(value - 4.0)), "{:?}", bench.now());
        if class.hold_s() == 0.0 {
            let mut spared = Bench::new(tag, class, hour);
            let lived = acts.iter().map(|(_, seconds)| seconds).sum::<usize>() + 4 * 3600 + gap.unwrap_or(0) + 1;
            spared.run(lived, 4.0);
            prop_assert!((value - spared.now().0).abs() < 1e-3, "{value} beside {:?}", spared.now());
            prop_assert_eq!(status & VALID, spared.now().1 & VALID);
        }
    }
}
