use super::super::inverter::{CONTROLS_123, CONTROLS_704, DER, INVERTER, SERVICE, SETTINGS_121, SETTINGS_702, STATUS};
use super::super::{COMMON, Placed};
use crate::devices::image::Refusal;
use crate::field::Field;
use crate::simulation::Simulation;

/// Noon of 21 June 2026.
const NOON: i64 = 1_782_014_400;

struct Bench(Simulation);

impl Bench {
    fn new() -> Bench {
        Bench(Simulation::new(1, NOON))
    }

    fn write(&self, at: u16, words: &[u16]) -> Result<(), Refusal> {
        self.0.inverter_image().lock().write_holding(at, words)
    }

    fn word(&self, at: u16) -> u16 {
        self.0.inverter_image().lock().word(at)
    }

    fn long(&self, at: u16) -> u32 {
        self.0.inverter_image().lock().long(at)
    }

    /// A value with its scale factor.
    fn value(&self, model: Placed, name: &str, factor: &str) -> f64 {
        let raw = f64::from(self.word(model.point(name)) as i16);
        raw * 10_f64.powi(i32::from(self.word(model.point(factor)) as i16))
    }

    /// Seconds pass; real and plant time alike.
    fn pass(&mut self, seconds: u32) {
        (0..seconds).for_each(|_| self.0.step(1.0, 1.0));
    }

    fn limit(&self) -> f64 {
        self.0.plant().handles.pv_limit_pct
    }
}

const ENABLE: u16 = CONTROLS_123.point("WMaxLim_Ena");
const LIMIT: u16 = CONTROLS_123.point("WMaxLimPct");

#[test]
fn a_limit_ramps_and_reverts_in_the_clients_time() {
    let mut bench = Bench::new();
    // 20 %, no window, reversion after 30 s, ramp of 10 s, enabled.
    bench.write(LIMIT, &[2000, 0, 30, 10, 1]).unwrap();
    bench.pass(5);
    assert!((bench.limit() - 60.0).abs() < 1e-9, "half of the ramp: {}", bench.limit());
    bench.pass(5);
    assert!((bench.limit() - 20.0).abs() < 1e-9);
    bench.pass(15);
    bench.write(LIMIT, &[2000]).unwrap();
    bench.pass(29);
    assert_eq!((bench.word(ENABLE), bench.limit()), (1, 20.0), "it was written again");
    bench.pass(3);
    assert_eq!(bench.word(ENABLE), 0);
    bench.pass(12);
    assert_eq!(bench.limit(), 100.0);
    // A window delays the change by a part of it; an hour of plant in a moment of real time is no silence.
    bench.write(LIMIT, &[5000, 60, 30, 0, 1]).unwrap();
    bench.0.step(3600.0, 1.0);
    assert_eq!((bench.word(ENABLE), bench.limit()), (1, 50.0));
}

#[test]
fn the_least_of_all_limits_holds() {
    let mut bench = Bench::new();
    bench.write(0, &[700, 1, 0]).unwrap();
    bench.pass(2);
    assert!((bench.limit() - 70.0).abs() < 1e-9);
    bench.write(LIMIT, &[4000, 0, 0, 0, 1]).unwrap();
    bench.pass(2);
    assert!((bench.limit() - 40.0).abs() < 1e-9);
    bench.write(CONTROLS_704.point("WMaxLimPctEna"), &[1, 300]).unwrap();
    bench.pass(2);
    assert!((bench.limit() - 30.0).abs() < 1e-9);
    // WMax of 300 kW: 30 % of it are 15 % of the rated power. It stands in both settings.
    bench.write(SETTINGS_702.point("WMax"), &[30_000]).unwrap();
    bench.pass(20);
    assert!((bench.limit() - 15.0).abs() < 1e-9);
    assert_eq!(bench.word(SETTINGS_121.point("WMax")), 30_000);
    assert!((bench.value(INVERTER, "W", "W_SF") - 90_000.0).abs() < 100.0);
    assert_eq!(bench.word(INVERTER.point("St")), 5, "throttled");
    assert_eq!((bench.word(DER.point("ThrotPct")), bench.long(DER.point("ThrotSrc"))), (85, 1));
    assert_eq!((bench.long(STATUS.point("StSetLimMsk")), bench.long(STATUS.point("StActCtl"))), (1, 1));
    bench.write(SETTINGS_121.point("WMax"), &[60_000]).unwrap();
    bench.pass(1);
    assert_eq!(bench.word(SETTINGS_702.point("WMax")), 60_000);
}

#[test]
fn model_704_reverts_to_what_was_agreed_and_counts_down() {
    let mut bench = Bench::new();
    let at = |name| CONTROLS_704.point(name);
    // 20 %, reverting to 60 %, enabled, after 30 s.
    bench.write(at("WMaxLimPctEna"), &[1, 200, 600, 1, 0, 30]).unwrap();
    bench.pass(11);
    assert_eq!((bench.limit(), bench.long(at("WMaxLimPctRvrtRem"))), (20.0, 20));
    bench.pass(21);
    assert_eq!((bench.word(at("WMaxLimPct")), bench.long(at("WMaxLimPctRvrtRem"))), (600, 0));
    bench.pass(100);
    assert_eq!((bench.limit(), bench.word(at("WMaxLimPctEna"))), (60.0, 1), "it does not run again by itself");
    assert_eq!(bench.long(at("WMaxLimPctRvrtTms")), 30);
}

#[test]
fn connection_and_service_are_left_and_entered_by_their_rules() {
    let mut bench = Bench::new();
    bench.write(CONTROLS_123.point("Conn_WinTms"), &[0, 20, 0]).unwrap();
    bench.pass(12);
    assert_eq!((bench.limit(), bench.word(INVERTER.point("St"))), (0.0, 1));
    assert_eq!(bench.word(STATUS.point("ECPConn")), 1);
    bench.pass(12);
    assert_eq!(bench.word(CONTROLS_123.point("Conn")), 1, "reverted");
    assert_eq!(bench.limit(), 100.0);
    // Without permission it stands; with it, 60 s later, it ramps up over 100 s.
    bench.write(SERVICE.point("ESRmpTms"), &[0, 100]).unwrap();
    bench.write(SERVICE.point("ES"), &[0]).unwrap();
    bench.pass(3);
    assert_eq!(bench.limit(), 0.0);
    bench.write(SERVICE.point("ES"), &[1]).unwrap();
    bench.pass(20);
    assert_eq!((bench.limit(), bench.long(SERVICE.point("ESDlyRemTms"))), (0.0, 40));
    bench.pass(90);
    assert!((45.0..=55.0).contains(&bench.limit()), "{}", bench.limit());
    bench.pass(60);
    assert_eq!(bench.limit(), 100.0);
    bench.0.inject("power-cut for 5s".parse().unwrap()).unwrap();
    bench.pass(3);
    assert_eq!((bench.word(INVERTER.point("St")), bench.long(INVERTER.point("Evt1"))), (7, 1 << 4));
    bench.pass(10);
    assert_eq!(bench.limit(), 0.0, "the net is back, the delay runs");
}

#[test]
fn writes_are_whole_and_refused_by_their_rules() {
    let bench = Bench::new();
    let cases = [
        (COMMON.point("Mn"), 0, Refusal::Address),
        (COMMON.point("DA"), 4, Refusal::Address),
        (INVERTER.point("W"), 0, Refusal::Address),
        (LIMIT, 10_001, Refusal::Value),
        (ENABLE, 2, Refusal::Value),
        (CONTROLS_123.point("OutPFSet"), 90, Refusal::Address),
        (CONTROLS_123.point("WMaxLimPct_SF"), 0, Refusal::Address),
        (SETTINGS_121.point("WMax"), 60_001, Refusal::Value),
        (CONTROLS_704.point("WMaxLimPctRvrtTms"), 0, Refusal::Value),
        (CONTROLS_704.point("WSet"), 0, Refusal::Address),
        (SERVICE.point("ESVHi"), 999, Refusal::Value),
    ];
    for (at, word, refusal) in cases {
        assert_eq!(bench.write(at, &[word]), Err(refusal), "{at}");
    }
    assert_eq!(bench.write(LIMIT, &[3000, 0, 30, 0, 2]), Err(Refusal::Value));
    assert_eq!(bench.word(LIMIT), 10_000, "nothing of it was taken");
}

#[test]
fn a_restart_forgets_what_clients_set() {
    let mut bench = Bench::new();
    bench.write(LIMIT, &[2000, 0, 0, 0, 1]).unwrap();
    bench.pass(3);
    assert_eq!(bench.limit(), 20.0);
    bench.0.inject("restart pv_inverter 1s".parse().unwrap()).unwrap();
    bench.pass(3);
    assert_eq!((bench.limit(), bench.word(ENABLE), bench.word(LIMIT)), (100.0, 0, 10_000));
}

#[test]
fn factors_move_with_the_day_and_values_stay_true() {
    let mut bench = Bench::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..72 {
        bench.0.step(600.0, 600.0);
        let truth = bench.0.plant().pv().power_kw * 1000.0;
        let shown = bench.value(INVERTER, "W", "W_SF");
        let factor = bench.word(INVERTER.point("W_SF")) as i16;
        assert!((shown - truth).abs() <= 0.51 * 10_f64.powi(i32::from(factor)), "{shown} for {truth}");
        assert!((bench.value(DER, "W", "W_SF") - truth).abs() <= 0.51 * 10_f64.powi(i32::from(factor)));
        seen.insert(factor);
    }
    assert!(seen.len() >= 3, "the factor took the values {seen:?}");
    let energy = bench.0.plant().pv().energy.count();
    assert_eq!(bench.long(INVERTER.point("WH")), energy as u32);
    let meter = bench.0.image("pv_inverter", super::super::meter::UNIT).unwrap();
    let import = meter.lock().long(super::super::meter::METER.point("TotWhImp"));
    let count = bench.0.plant().meter(crate::plant::Feeder::Grid).import.count();
    assert_eq!(import, (count * 10) as u32);
}
