// long: one story of a meter per test, told in full.
//! The ledger under a small plant in virtual time: a grid meter, two loads, a PV meter, chemicals, nitrogen, water.

use crate::chain::Chain;
use crate::config::{
    ActivityDef, Factor, FlowKind, LedgerConfig, MeterDef, MeterKind, Quantity, Tariff, TariffPeriod, TariffTier,
};
use crate::ledger::{Ledger, LedgerError};
use crate::report::{Coverage, IssueKind, Summary};
use penstock_model::{BadReason, Clock, ManualClock, Quality, Sample, Text, Utc, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn utc(text: &str) -> Utc {
    Utc::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn meter(name: &str, kind: MeterKind, parent: Option<&str>) -> MeterDef {
    MeterDef {
        name: name.into(),
        title: Text::same(name),
        parent: parent.map(str::to_owned),
        import_tag: format!("{name}/import"),
        export_tag: (kind == MeterKind::Grid).then(|| format!("{name}/export")),
        power_tag: (kind == MeterKind::Grid).then(|| format!("{name}/power")),
        kind,
        rollover_kwh: 1e9,
        power_kw_max: 1_000.0,
    }
}

fn factor(id: &str, value: f64, unit: &str) -> Factor {
    let (id, unit) = (id.to_owned(), unit.to_owned());
    Factor { id, edition: "e1".into(), value, unit, source: "test".into(), valid_from: None, lower: None, upper: None }
}

fn activity(name: &str, scope: u8, factor: &str, gwp: Option<&str>, quantity: Quantity) -> ActivityDef {
    let (title, gwp) = (Text::same(name), gwp.map(str::to_owned));
    ActivityDef { name: name.into(), title, scope, factor: factor.into(), gwp, quantity }
}

fn config() -> LedgerConfig {
    let tier = |name: &str, price_per_kwh| TariffTier { name: name.into(), title: Text::same(name), price_per_kwh };
    let period = |from_min, to_min, tier, months| TariffPeriod { from_min, to_min, tier, months };
    let n2o = Factor { lower: Some(0.00016), upper: Some(0.045), ..factor("n2o", 0.016, "kg N2O-N/kg N") };
    LedgerConfig {
        meters: vec![
            meter("grid", MeterKind::Grid, None),
            meter("blowers", MeterKind::Load, Some("grid")),
            meter("pumps", MeterKind::Load, Some("grid")),
            meter("pv", MeterKind::Pv, Some("grid")),
        ],
        tariff: Tariff {
            tiers: vec![tier("valley", 0.3), tier("flat", 0.6), tier("peak", 0.9)],
            periods: vec![
                period(22 * 60, 7 * 60, 0, None),
                period(7 * 60, 18 * 60, 1, None),
                period(18 * 60, 22 * 60, 2, None),
                period(10 * 60, 14 * 60, 0, Some(vec![3, 4, 5])),
                period(7 * 60, 10 * 60, 1, Some(vec![3, 4, 5])),
            ],
            export_price: 0.39,
            currency: "CNY".into(),
        },
        factors: vec![
            factor("grid", 0.6191, "kg CO2/kWh"),
            factor("pac", 1.62, "kg CO2e/kg"),
            factor("acetate", 2.90, "kg CO2e/kg"),
            n2o,
            factor("gwp-n2o", 273.0, "kg CO2e/kg N2O"),
        ],
        activities: vec![
            activity("electricity", 2, "grid", None, Quantity::MeterImport("grid".into())),
            activity("pac", 3, "pac", None, Quantity::MassRateTag { tag: "pac/rate".into() }),
            activity(
                "acetate",
                3,
                "acetate",
                None,
                Quantity::VolumeFlowTag { tag: "acetate/flow".into(), kg_per_l: 0.5 },
            ),
            activity(
                "n2o",
                1,
                "n2o",
                Some("gwp-n2o"),
                Quantity::Load {
                    flow_tag: "water/flow".into(),
                    concentration_tag: "water/tn".into(),
                    substance: "N".into(),
                },
            ),
        ],
        time_zone: "Asia/Shanghai".into(),
        flow_meter: Some("water/flow".into()),
        flow_kind: FlowKind::Rate,
        demand_limit_kw: Some(500.0),
    }
}

/// A plant whose registers follow its powers.
struct Plant {
    clock: ManualClock,
    /// Register tag → (kWh, kW).
    registers: BTreeMap<String, (f64, f64)>,
    others: BTreeMap<String, f64>,
    dead: Vec<String>,
}

impl Plant {
    fn at(start: &str) -> Plant {
        let registers = [
            ("grid/import", 320.0),
            ("grid/export", 0.0),
            ("blowers/import", 200.0),
            ("pumps/import", 160.0),
            ("pv/import", 40.0),
        ];
        let others = [
            ("grid/power", 320.0),
            ("water/flow", 800.0),
            ("water/tn", 40.0),
            ("pac/rate", 12.0),
            ("acetate/flow", 30.0),
        ];
        Plant {
            clock: ManualClock::at(utc(start)),
            registers: registers.into_iter().map(|(tag, kw)| (tag.to_owned(), (10_000.0, kw))).collect(),
            others: others.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect(),
            dead: Vec::new(),
        }
    }

    fn power(&mut self, tag: &str, kw: f64) {
        self.registers.get_mut(tag).unwrap().1 = kw;
    }

    fn sample(&self, tag: &str) -> Option<Sample> {
        let now = self.clock.now();
        let value = self.registers.get(tag).map(|(kwh, _)| *kwh).or_else(|| self.others.get(tag).copied())?;
        if self.dead.iter().any(|d| d == tag) {
            return Some(Sample::bad(BadReason::Link, Some(Value::Float(value)), now));
        }
        Some(Sample::good(value, now))
    }

    /// Time passes for the plant, unseen.
    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        for (kwh, kw) in self.registers.values_mut() {
            *kwh += *kw * time.as_secs_f64() / 3600.0;
        }
    }

    /// Time passes under the eyes of the ledger; answers the last tags.
    fn run(&mut self, ledger: &Ledger, time: Duration, step: Duration) -> BTreeMap<String, Sample> {
        let mut tags = self.look(ledger);
        let mut left = time;
        while left > Duration::ZERO {
            let step = step.min(left);
            self.pass(step);
            left -= step;
            tags = self.look(ledger);
        }
        tags
    }

    fn look(&self, ledger: &Ledger) -> BTreeMap<String, Sample> {
        ledger.observe(self.clock.now(), &|tag| self.sample(tag)).into_iter().collect()
    }

    fn summary(&self, ledger: &Ledger, from: &str) -> Summary {
        ledger.summary(utc(from), self.clock.now().utc).unwrap()
    }
}

fn open(dir: &Path) -> Ledger {
    Ledger::open_with(dir, config(), None).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6 * b.abs().max(1.0)
}

fn number(tags: &BTreeMap<String, Sample>, path: &str) -> f64 {
    tags[path].usable_f64().unwrap_or_else(|| panic!("{path}: {:?}", tags[path]))
}

fn kinds(summary: &Summary) -> Vec<IssueKind> {
    summary.issues.iter().rev().map(|i| i.kind).collect()
}

#[test]
fn a_quarter_that_still_runs_is_energy_but_no_demand_yet() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.run(&ledger, Duration::from_secs(300), Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(s.import_kwh > 20.0 && s.demand_max_kw.is_none(), "{s:?}");
}

#[test]
fn a_quiet_hour_adds_up_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    let tags = plant.run(&ledger, Duration::from_secs(3600), Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(near(s.import_kwh, 320.0) && near(s.pv_kwh, 40.0) && near(s.load_kwh, 360.0), "{s:?}");
    assert_eq!((s.scr, s.ssr.map(|r| (r * 9.0).round())), (Some(1.0), Some(1.0)));
    assert!(near(s.residuals[0].residual_kwh, 0.0) && near(s.residuals[0].supplied_kwh, 360.0));
    assert!(near(s.kwh_per_m3.unwrap(), 360.0 / 800.0));
    assert!(near(s.demand_max_kw.unwrap(), 320.0));
    assert_eq!(s.meters[0].coverage, Coverage { measured: 4, ..Coverage::default() });
    assert!(s.issues.is_empty(), "{:?}", s.issues);
    // 10:00 to 11:00 in Jinan: flat.
    assert!(near(s.cost.import_cost, 320.0 * 0.6) && near(s.cost.tiers[1].kwh, 320.0));
    let kg: Vec<f64> = s.carbon.lines.iter().map(|l| l.kg).collect();
    let expected = [320.0 * 0.6191, 12.0 * 1.62, 15.0 * 2.9, 32.0 * 0.016 * 44.0 / 28.0 * 273.0];
    assert!(kg.iter().zip(expected).all(|(a, b)| near(*a, b)), "{kg:?} {expected:?}");
    assert!(near(s.carbon.total_kg, expected[..3].iter().sum()), "process gases stand apart");
    assert!(near(s.carbon.separate_kg, expected[3]));
    // The tags show the same numbers.
    for (path, value) in [
        ("energy/today/import_kwh", 320.0),
        ("energy/today/load_kwh", 360.0),
        ("energy/meter/blowers/today_kwh", 200.0),
        ("energy/self_use", 100.0),
        ("energy/kwh_per_m3", 0.45),
        ("energy/tariff/tier", 1.0),
        ("energy/tariff/price", 0.6),
        ("energy/demand_kw", 320.0),
        ("energy/demand/month_max_kw", 320.0),
        ("carbon/pac/today_kg", 12.0 * 1.62),
        ("carbon/today_kg", s.carbon.total_kg),
    ] {
        assert!(near(number(&tags, path), value), "{path}: {:?}", tags[path]);
    }
    let declared: Vec<String> = ledger.tags().into_iter().map(|t| t.path).collect();
    assert!(tags.len() == declared.len() && declared.iter().all(|p| tags.contains_key(p)));
}

#[test]
fn the_golden_year_comes_out() {
    // 50 000 m3/d, 5 430 MWh purchased, 1 200 MWh generated, 60 MWh fed in; chemicals 547.5 and 365 t; TN 40 mg/L. The
    // year's amounts flow in one hour: amounts count, not their speed.
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    for meter in &mut config.meters {
        meter.power_kw_max = 1e8;
    }
    let ledger = Ledger::open_with(dir.path(), config, None).unwrap();
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    for (tag, mwh) in [
        ("grid/import", 5_430.0),
        ("grid/export", 60.0),
        ("pv/import", 1_200.0),
        ("blowers/import", 6_570.0),
        ("pumps/import", 0.0),
    ] {
        plant.power(tag, mwh * 1000.0);
    }
    for (tag, value) in
        [("water/flow", 18.25e6), ("pac/rate", 547_500.0), ("acetate/flow", 730_000.0), ("grid/power", 5.37e6)]
    {
        plant.others.insert(tag.into(), value);
    }
    plant.run(&ledger, Duration::from_secs(3600), MINUTE);
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    let tonnes: Vec<f64> = s.carbon.lines.iter().map(|l| (l.kg / 10.0).round() / 100.0).collect();
    assert_eq!(tonnes, [3361.71, 886.95, 1058.50, 5010.72]);
    assert_eq!(s.scr.map(|r| (r * 1000.0).round()), Some(950.0));
    assert_eq!(s.ssr.map(|r| (r * 10_000.0).round()), Some(1735.0));
    assert_eq!((s.carbon.avoided_kg / 100.0).round() / 10.0, 37.1);
    assert!(near(s.carbon.total_kg, s.carbon.lines[..3].iter().map(|l| l.kg).sum()), "feed-in is never subtracted");
    let n2o = &s.carbon.lines[3];
    let range = (n2o.lower_kg.map(|k| (k / 1000.0).round()), n2o.upper_kg.map(|k| (k / 1000.0).round()));
    assert_eq!(range, (Some(50.0), Some(14_093.0)));
    assert!(n2o.separate && n2o.factor.edition == "e1" && n2o.gwp.as_ref().is_some_and(|g| g.value == 273.0));
    assert_eq!((s.carbon.lines[0].kg / s.flow_m3.unwrap() * 1000.0).round(), 184.0);
    assert!(near(s.residuals[0].residual_kwh, 0.0), "{:?}", s.residuals);
}

#[test]
fn a_restart_loses_nothing_and_counts_nothing_twice() {
    for crash in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut plant = Plant::at("2026-11-22T02:00:00Z");
        let ledger = open(dir.path());
        plant.run(&ledger, 20 * MINUTE, Duration::from_secs(10));
        let state = std::fs::read(dir.path().join("state.json")).unwrap();
        plant.run(&ledger, 15 * MINUTE, Duration::from_secs(10));
        drop(ledger);
        if crash {
            // The state of 15 minutes ago, one written quarter behind: as if the newer one had not reached the disk.
            std::fs::write(dir.path().join("state.json"), state).unwrap();
        }
        // Down for 40 minutes: 02:35 to 03:15.
        plant.pass(40 * MINUTE);
        let ledger = open(dir.path());
        let tags = plant.run(&ledger, 20 * MINUTE, Duration::from_secs(10));
        let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
        assert!(near(s.import_kwh, 320.0 * 95.0 / 60.0), "crash {crash}: {}", s.import_kwh);
        assert!(near(number(&tags, "energy/today/import_kwh"), s.import_kwh));
        assert!(s.meters[0].coverage.back_filled >= 2, "{:?}", s.meters[0].coverage);
        assert_eq!(s.meters[0].coverage.missing, 0);
        // Rates have no register to come back with: what was not seen is said.
        assert!(s.carbon.lines[1].coverage.missing >= 2, "{:?}", s.carbon.lines[1].coverage);
        assert!(kinds(&s).contains(&IssueKind::Gap));
        assert_eq!(Ledger::verify(dir.path()).unwrap().broken, None);
    }
}

#[test]
fn without_its_state_file_the_ledger_goes_on_from_its_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    let ledger = open(dir.path());
    plant.run(&ledger, 20 * MINUTE, Duration::from_secs(10));
    drop(ledger);
    std::fs::write(dir.path().join("state.json"), "{").unwrap();
    let ledger = open(dir.path());
    plant.run(&ledger, 15 * MINUTE, Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(near(s.import_kwh, 320.0 * 35.0 / 60.0), "{}", s.import_kwh);
    assert!(kinds(&s).contains(&IssueKind::Store));
}

#[test]
fn a_dead_meter_is_bad_then_missing_then_back_filled() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.run(&ledger, 10 * MINUTE, Duration::from_secs(10));
    plant.dead = vec!["grid/import".into(), "water/tn".into()];
    let tags = plant.run(&ledger, 25 * MINUTE, Duration::from_secs(10));
    let import = &tags["energy/today/import_kwh"];
    assert_eq!(import.quality, Quality::Bad(BadReason::Input));
    assert!(import.value.is_some(), "the last known sum is kept for showing");
    assert_eq!(tags["energy/meter/blowers/today_kwh"].quality, Quality::Good, "its neighbour is not touched");
    assert_eq!(tags["carbon/n2o/today_kg"].quality, Quality::Bad(BadReason::Input));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert_eq!(s.meters[0].coverage.missing, 2);
    assert!(s.issues.iter().any(|i| i.kind == IssueKind::Gap && i.until_ms.is_none()), "an open gap is listed");
    plant.dead.clear();
    let tags = plant.run(&ledger, 12 * MINUTE, Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(near(s.import_kwh, 320.0 * 47.0 / 60.0), "the register knew: {}", s.import_kwh);
    let c = s.meters[0].coverage;
    assert_eq!((c.measured, c.back_filled, c.missing), (1, 3, 0), "{c:?}");
    assert_eq!(tags["energy/today/import_kwh"].quality, Quality::Good);
    assert!(tags["carbon/n2o/today_kg"].quality.class() == "uncertain", "a rate does not come back");
    let gap = s.issues.iter().find(|i| i.stream == "meter:grid:import").unwrap();
    assert_eq!(gap.until_ms.map(|u| u - gap.at_ms), Some(25 * 60_000));
}

#[test]
fn registers_that_lie_are_not_booked_and_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    let step = Duration::from_secs(10);
    plant.run(&ledger, 3 * MINUTE, step);
    // Wakes up with zero for a minute.
    let true_value = plant.registers["pv/import"].0;
    plant.registers.get_mut("pv/import").unwrap().0 = 0.0;
    plant.power("pv/import", 0.0);
    let tags = plant.run(&ledger, MINUTE, step);
    assert!(near(number(&tags, "energy/today/pv_kwh"), 2.0), "held");
    assert_eq!(tags["energy/today/pv_kwh"].quality.class(), "uncertain");
    *plant.registers.get_mut("pv/import").unwrap() = (true_value, 40.0);
    plant.run(&ledger, 3 * MINUTE, step);
    // One poll with the bits of an underflow.
    let true_value = plant.registers["blowers/import"].0;
    plant.registers.get_mut("blowers/import").unwrap().0 = 42_949_672.95;
    plant.look(&ledger);
    plant.clock.advance(Duration::from_secs(1));
    plant.look(&ledger);
    plant.registers.get_mut("blowers/import").unwrap().0 = true_value;
    // The pumps' meter is replaced by a new one.
    plant.clock.advance(Duration::from_secs(1));
    plant.registers.get_mut("pumps/import").unwrap().0 = 3.0;
    plant.run(&ledger, 5 * MINUTE, step);
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(near(s.pv_kwh, 40.0 * 11.0 / 60.0), "{}", s.pv_kwh);
    assert!(near(s.meters[1].import_kwh, 200.0 * 12.0 / 60.0), "{}", s.meters[1].import_kwh);
    assert!(near(s.meters[2].import_kwh, 160.0 * 12.0 / 60.0), "{}", s.meters[2].import_kwh);
    assert_eq!(kinds(&s), [IssueKind::Zero, IssueKind::Jump, IssueKind::Decrease, IssueKind::Reset]);
    let jump = s.issues.iter().find(|i| i.kind == IssueKind::Jump).unwrap();
    assert!(near(jump.before.unwrap(), true_value) && jump.after == Some(42_949_672.95), "both readings: {jump:?}");
    assert_eq!(s.meters[2].coverage.estimated, 1);
}

#[test]
fn a_rollover_goes_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.meters[0].rollover_kwh = 10_005.0;
    let open = || Ledger::open_with(dir.path(), config.clone(), None).unwrap();
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    let ledger = open();
    plant.run(&ledger, MINUTE / 2, Duration::from_secs(10));
    drop(ledger);
    plant.pass(5 * MINUTE);
    plant.registers.get_mut("grid/import").unwrap().0 -= 10_005.0;
    let ledger = open();
    plant.run(&ledger, MINUTE, Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(near(s.import_kwh, 320.0 * 6.5 / 60.0), "{}", s.import_kwh);
    assert!(kinds(&s).contains(&IssueKind::Rollover));
}

#[test]
fn today_begins_at_local_midnight_and_the_tier_follows_local_time() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    // 23:30 in Jinan.
    let mut plant = Plant::at("2026-11-22T15:30:00Z");
    let before = plant.run(&ledger, 29 * MINUTE, MINUTE / 2);
    assert!(near(number(&before, "energy/today/import_kwh"), 320.0 * 29.0 / 60.0));
    let after = plant.run(&ledger, 11 * MINUTE, MINUTE / 2);
    assert!(
        near(number(&after, "energy/today/import_kwh"), 320.0 * 10.0 / 60.0),
        "{:?}",
        after["energy/today/import_kwh"]
    );
    assert!(near(number(&after, "energy/tariff/tier"), 0.0));
    assert!(near(number(&after, "carbon/pac/today_kg"), 2.0 * 1.62));
    let s = plant.summary(&ledger, "2026-11-22T15:30:00Z");
    assert!(near(s.import_kwh, 320.0 * 40.0 / 60.0));
    assert!(near(number(&after, "energy/demand/month_max_kw"), 320.0));
}

#[test]
fn cost_follows_months_midnight_and_daylight_saving() {
    for (zone, start, hours, tiers) in [
        // Jinan, an April day from 00:00: valley 0-7, flat 7-10, valley 10-14 (named months), flat 14-18, peak 18-22, valley.
        ("Asia/Shanghai", "2026-04-01T16:00:00Z", 24, [13.0, 7.0, 4.0]),
        // The same local hours in December: no named months.
        ("Asia/Shanghai", "2026-12-01T16:00:00Z", 24, [9.0, 11.0, 4.0]),
        // Berlin's short day, 29 March 2026: 23 hours, the lost one from the valley of the night.
        ("Europe/Berlin", "2026-03-28T23:00:00Z", 23, [12.0, 7.0, 4.0]),
        // Berlin's long day, 25 October 2026.
        ("Europe/Berlin", "2026-10-24T22:00:00Z", 25, [10.0, 11.0, 4.0]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = LedgerConfig { time_zone: zone.into(), ..config() };
        let ledger = Ledger::open_with(dir.path(), config, None).unwrap();
        let mut plant = Plant::at(start);
        let last = plant.run(&ledger, Duration::from_secs(hours * 3600 - 60), 15 * MINUTE);
        let s = plant.summary(&ledger, start);
        let kwh: Vec<f64> = s.cost.tiers.iter().map(|t| (t.kwh / 320.0 * 60.0).round()).collect();
        let minutes = [tiers[0] * 60.0 - 1.0, tiers[1] * 60.0, tiers[2] * 60.0];
        assert_eq!(kwh, minutes, "{zone} {start}");
        assert!(near(number(&last, "energy/today/import_kwh"), s.import_kwh), "{zone}: the whole local day is today");
    }
}

#[test]
fn a_step_of_civil_time_changes_no_energy() {
    for (name, to) in [
        ("an hour forward", "2026-11-22T03:05:00Z"),
        ("an hour back", "2026-11-22T01:05:00Z"),
        ("ten minutes back", "2026-11-22T01:55:00Z"),
        ("a year forward", "2027-11-22T02:05:00Z"),
        ("a year back", "2025-11-22T02:05:00Z"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(dir.path());
        let mut plant = Plant::at("2026-11-22T02:00:00Z");
        plant.run(&ledger, 5 * MINUTE, Duration::from_secs(5));
        plant.clock.step_utc(utc(to));
        plant.run(&ledger, 40 * MINUTE, Duration::from_secs(5));
        let day = |from: &str, until: &str| ledger.summary(utc(from), utc(until)).unwrap();
        let all: f64 = [
            ("2025-11-22T00:00:00Z", "2025-11-23T00:00:00Z"),
            ("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            ("2027-11-22T00:00:00Z", "2027-11-23T00:00:00Z"),
        ]
        .iter()
        .map(|(from, until)| day(from, until).import_kwh)
        .sum();
        assert!(near(all, 320.0 * 45.0 / 60.0), "{name}: {all}");
        let at = plant.clock.now().utc;
        let s = ledger.summary(at - 50 * MINUTE, at).unwrap();
        assert!(kinds(&s).contains(&IssueKind::ClockStep), "{name}: {:?}", s.issues);
        assert!(!kinds(&s).contains(&IssueKind::Jump), "{name}");
        assert_eq!(
            s.meters[0].coverage.back_filled + s.meters[0].coverage.missing,
            0,
            "{name}: {:?}",
            s.meters[0].coverage
        );
        // After the step the quarters are whole again.
        assert!(s.demand_max_kw.is_some_and(|kw| kw < 650.0), "{name}: {:?}", s.demand_max_kw);
    }
}

#[test]
fn old_quarters_are_read_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-09-01T00:00:00Z");
    plant.run(&ledger, Duration::from_secs(3600), MINUTE);
    // Ninety days later: the gap is booked at its end and said; the first hour is only on disk.
    plant.pass(Duration::from_secs(90 * 86_400));
    plant.run(&ledger, 5 * MINUTE, MINUTE);
    let s = ledger.summary(utc("2026-09-01T00:00:00Z"), utc("2026-09-01T01:00:00Z")).unwrap();
    assert!(near(s.import_kwh, 320.0), "{}", s.import_kwh);
    assert_eq!(s.quarters, 4);
    let all = plant.summary(&ledger, "2026-09-01T00:00:00Z");
    assert!(near(all.import_kwh, 320.0 * (90.0 * 24.0 + 1.0 + 5.0 / 60.0)), "{}", all.import_kwh);
    assert!(kinds(&all).contains(&IssueKind::LongGap));
}

#[test]
fn power_that_disagrees_with_its_register_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.others.insert("grid/power".into(), 500.0);
    plant.run(&ledger, 17 * MINUTE, Duration::from_secs(10));
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert_eq!(kinds(&s), [IssueKind::Mismatch]);
}

#[test]
fn a_stream_that_keeps_lying_is_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.look(&ledger);
    for step in 0..200 {
        plant.clock.advance(Duration::from_secs(1));
        plant.registers.get_mut("pv/import").unwrap().0 = if step % 2 == 0 { 90_000.0 } else { 10_000.0 };
        plant.look(&ledger);
    }
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert_eq!(s.issues.len(), 4);
    assert!(near(s.pv_kwh, 0.0), "{}", s.pv_kwh);
}

#[test]
fn a_disk_that_refuses_does_not_stop_the_counting() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&dir.path().join("ledger"));
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.run(&ledger, MINUTE, MINUTE);
    // A new month of UTC needs a new file.
    plant.clock.step_utc(utc("2026-11-30T23:50:00Z"));
    plant.run(&ledger, MINUTE, MINUTE);
    let (here, away) = (dir.path().join("ledger"), dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    plant.run(&ledger, 30 * MINUTE, MINUTE);
    let status = ledger.status();
    assert!(status.waiting > 0 && status.lost == 0 && status.last_error.is_some(), "{status:?}");
    std::fs::rename(&away, &here).unwrap();
    plant.run(&ledger, MINUTE, MINUTE);
    let status = ledger.status();
    assert!(status.waiting == 0 && status.last_error.is_none(), "{status:?}");
    assert_eq!(Ledger::verify(&here).unwrap().records, status.records);
}

#[test]
fn a_wrong_configuration_is_refused_with_every_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.meters[1].parent = Some("nobody".into());
    config.activities[1].factor = "grid".into();
    config.tariff.periods.remove(2);
    config.time_zone = "Asia/Jinan".into();
    let Err(LedgerError::Config(errors)) = Ledger::open_with(dir.path(), config, None) else { panic!("it opened") };
    for says in [
        "meter `blowers` names an unknown parent `nobody`",
        "activity `pac`, factor `grid` edition `e1`: the factor is per kWh",
        "no tariff tier at 18:00 in month 1",
        "`Asia/Jinan` is not a known time zone",
    ] {
        assert!(errors.iter().any(|e| e.contains(says)), "{says}: {errors:?}");
    }
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn a_store_changed_by_hand_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.run(&ledger, 35 * MINUTE, MINUTE / 2);
    drop(ledger);
    let path = dir.path().join("intervals-00001-2026-11.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"measured\"", "\"estimated\"", 1)).unwrap();
    assert_ne!(text, std::fs::read_to_string(&path).unwrap());
    let broken = Ledger::verify(dir.path()).unwrap().broken.unwrap();
    assert!(broken.reason.contains("does not match its hash"), "{broken}");
    let ledger = open(dir.path());
    plant.run(&ledger, 20 * MINUTE, MINUTE / 2);
    let s = plant.summary(&ledger, "2026-11-22T02:00:00Z");
    assert!(s.issues.iter().any(|i| i.kind == IssueKind::Store && i.text.contains(&format!("record {}", broken.seq))));
    assert!(Chain::open(dir.path(), "intervals", &mut |_, _| {}).is_err(), "one process at a time");
    assert!(dir.path().join("intervals-00002-2026-11.jsonl").exists());
}

/// Copies the files of `tests/v1/<folder>`, written to the page's letter by another program.
fn version_1(folder: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/v1").join(folder);
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

#[test]
fn files_of_version_1_are_read() {
    let dir = version_1("actions");
    let (log, report) = crate::ActionLog::open(dir.path()).unwrap();
    assert_eq!((report.records, report.broken), (3, None));
    assert_eq!(log.last_entries(), [("aer/nh4_sp".to_owned(), Value::Float(2.5), "li".to_owned())]);
    assert_eq!(log.latest(1)[0].action.what, crate::ActionKind::LoginFailed);

    let dir = version_1("ledger");
    assert_eq!(Ledger::verify(dir.path()).unwrap().broken, None);
    let ledger = open(dir.path());
    let s = ledger.summary(Utc(1_795_312_800_000_000_000), Utc(1_795_314_600_000_000_000)).unwrap();
    assert!(near(s.import_kwh, 155.5) && s.meters[0].coverage.measured == 2, "{s:?}");
    assert_eq!(kinds(&s), [IssueKind::Gap]);
    // The register goes on where the last quarter left it: 0.5 kWh in the ten seconds since.
    let mut plant = Plant::at("2026-11-22T02:30:10Z");
    plant.clock.step_utc(Utc(1_795_314_610_000_000_000));
    plant.registers.get_mut("grid/import").unwrap().0 = 10_156.0;
    plant.look(&ledger);
    let s = ledger.summary(Utc(1_795_312_800_000_000_000), Utc(1_795_315_000_000_000_000)).unwrap();
    assert!(near(s.import_kwh, 156.0), "{}", s.import_kwh);
}

#[test]
fn issues_reach_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let store = penstock_historian::Config {
        dir: dir.path().join("history"),
        retention: day,
        bytes_max: None,
        free_bytes_min: 0,
    };
    let (historian, _) = penstock_historian::Historian::open(store).unwrap();
    let historian = std::sync::Arc::new(historian);
    let ledger = Ledger::open(&dir.path().join("ledger"), config(), historian.clone()).unwrap();
    let mut plant = Plant::at("2026-11-22T02:00:00Z");
    plant.run(&ledger, MINUTE, MINUTE / 6);
    plant.registers.get_mut("pv/import").unwrap().0 = 0.0;
    plant.clock.advance(Duration::from_secs(1));
    plant.look(&ledger);
    plant.look(&ledger);
    historian.commit().unwrap();
    let rows = historian.events(utc("2026-11-22T00:00:00Z"), utc("2026-11-23T00:00:00Z"), Some("ledger"), 10).unwrap();
    assert_eq!(rows.len(), 1, "told once");
    assert!(rows[0].body.contains("\"kind\":\"zero\"") && rows[0].body.contains("meter:pv:import"), "{}", rows[0].body);
}
