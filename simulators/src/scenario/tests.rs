#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not see as such")]

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::simulation::Simulation;

/// The names of the plant alone: one plant serves all tests.
static PLANT: LazyLock<Names> = LazyLock::new(|| Names::of(PlantKind::Jinan, &Simulation::new(1, START_UNIX_S)));

/// The same with a small runtime.
static SITE_NAMES: LazyLock<Names> = LazyLock::new(|| {
    let set = |path: &str, switch, limits, output| Settable { path: path.to_owned(), switch, limits, output };
    Names {
        runtime: Some(RuntimeNames {
            tags: ["aer/z5/do", "aer/do_sp", "aer/b1/run/cmd", "eff/nh4"].map(str::to_owned).to_vec(),
            settable: vec![set("aer/do_sp", false, Some((0.5, 2.8)), false), set("aer/b1/run/cmd", true, None, true)],
            alarms: vec!["nh4-high".to_owned()],
            reasons: vec!["frozen".to_owned(), "link".to_owned()],
            report: json!({"energy": {"kwh_per_m3": null}, "outputs": {"aer/do_sp": {"travel_per_day": 0.0}}, "seed": 1}),
        }),
        ..PLANT.clone()
    }
});

fn alone(text: &str) -> Scenario {
    Scenario::parse(text, &PLANT).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_scenario_holds_and_turned_around_it_fails() {
    let text = "
scenario: the analyser sticks while the truth goes on
title_zh: 仪表死值
seed: 7
start: 2026-06-22T02:00:00Z
do:
  - {at: 1min, fault: stuck aer/z5/nh4 30 for 8min}
  - {at: 3min, fault: blower-trip b1}
  - {at: 5min, clear: blower-trip b1}
  - {at: 10min, clear: all}
expect:
  - {shown: aer/z5/nh4, from: 2min, to: 8min, equals: 30, within: 0.2}
  - {true: aer/z5/nh4, at: 2min, below: 20}
  - {true: aer/b1/running, at: 4min, equals: false}
  - {mean: eff/nh4, at_most: 20}
  - {max: aer/b1/fault, at_least: 1}
  - {min: aer/b1/fault, at_most: 0}
  - {true: aer/b1/running, share_below: {limit: 0.5, at_least: 0.1}}
  - {travel: aer/b1/fault, per_day_at_least: 100}
";
    let verdict = alone(text).run(PlantKind::Jinan).unwrap();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.findings.len(), verdict.failures()), (8, 0));
    for (holds, fails) in [
        ("equals: 30, within: 0.2", "equals: 31, within: 0.2"),
        ("at: 2min, below: 20", "at: 2min, above: 20"),
        ("at: 4min, equals: false", "at: 4min, equals: true"),
        ("at_most: 20}", "at_least: 20}"),
        ("at_least: 1}", "below: 1}"),
        ("at_most: 0}", "above: 0}"),
        ("at_least: 0.1}", "at_most: 0.1}"),
        ("per_day_at_least: 100", "per_day_at_most: 100"),
    ] {
        let verdict = alone(&text.replace(holds, fails)).run(PlantKind::Jinan).unwrap();
        assert_eq!(verdict.failures(), 1, "{fails}: {verdict}");
    }
}

#[test]
fn a_failure_says_when_it_was_first_so_and_what_was_there() {
    let text = "scenario: cut\ndo:\n  - {at: 20s, fault: power-cut}\nexpect:\n  - {true: aer/header/pressure, to: 2min, above: 50}\n";
    let verdict = alone(text).run(PlantKind::Jinan).unwrap();
    let failed = &verdict.findings[0];
    assert!(!failed.held && failed.line == 5, "{verdict}");
    assert!(failed.at_s.is_some_and(|s| s > 20.0 && s < 60.0) && failed.value.is_some_and(|x| x <= 50.0), "{verdict}");
    let json = verdict.to_json();
    assert_eq!((&json["passed"], &json["failed"]), (&json!(false), &json!(1)));
    assert!(verdict.to_string().contains("FAILED line 5: {true: aer/header/pressure"), "{verdict}");
}

#[test]
fn clearing_what_is_not_there_fails_the_run() {
    let verdict = alone("scenario: x\ndo: [{at: 1s, clear: stuck eff/nh4}]").run(PlantKind::Jinan).unwrap();
    assert!(!verdict.passed() && verdict.to_string().contains("no such fault is active"), "{verdict}");
}

#[test]
fn the_same_scenario_has_the_same_verdict_and_weather_changes_it() {
    let text = "scenario: x\nseed: 3\nsettle: 10s\nweather: storm\ndo:\n  - {at: 5s, fault: noise eff/nh4 1}\n  - {at: 20s, weather: dry}\nexpect:\n  - {shown: eff/nh4, at: 30s, above: 100}\n";
    let scenario = alone(text);
    assert_eq!((scenario.seed, scenario.weather, scenario.settle_s), (3, Weather::Storm, 10.0));
    let (one, two) = (scenario.run(PlantKind::Jinan).unwrap(), scenario.run(PlantKind::Jinan).unwrap());
    assert_eq!(one, two);
    assert!(!one.passed());
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    // Text of one line, line, column, and words of the message or its help.
    let cases = [
        ("sit: jinan-wwtp", 1, "unknown key `sit`", "`site`"),
        ("site: elsewhere", 7, "meant for the site `elsewhere`", ""),
        ("seed: -1", 7, "no seed", ""),
        ("weather: snow", 10, "`snow` is no weather", "`storm`"),
        ("start: yesterday", 8, "no start", "2026-06-15"),
        ("settle: 12", 9, "no time", "90s"),
        ("days: 400", 7, "no length", ""),
        ("do: 5", 5, "expected a list", ""),
        ("do: [{at: 1s, fault: stuk eff/nh4}]", 22, "nearest is `stuck`", ""),
        ("do: [{at: 1s, fault: stuck eff/nh5 1}]", 28, "nearest is `eff/nh4`", ""),
        ("do: [{fault: power-cut}]", 6, "`at` is missing", ""),
        ("do: [{at: 1s, folt: power-cut}]", 15, "unknown key `folt`", "`fault`"),
        ("do: [{at: -1s, fault: power-cut}]", 11, "no time", ""),
        ("do: [{at: 1s, clear: everything}]", 22, "no fault is called `everything`", ""),
        ("do: [{at: 1s, weather: hail}]", 24, "`hail` is no weather", ""),
        ("do: [{at: 1s, fault: power-cut, clear: all}]", 33, "in one entry", ""),
        ("do: [{at: 1s, set: {aer/do_sp: 1}}]", 15, "needs the runtime", "penstock simulate"),
        ("expect: [{true: eff/nh3, below: 5}]", 17, "nothing called `eff/nh3`", "`eff/nh4`"),
        ("expect: [{shown: aer/remote, below: 5}]", 18, "is a state", ""),
        ("expect: [{true: eff/nh4, below: five}]", 33, "expected a number", ""),
        ("expect: [{true: eff/nh4}]", 10, "no comparison", "at_most"),
        ("expect: [{true: eff/nh4, blow: 5}]", 26, "unknown key `blow`", "`below`"),
        ("expect: [{men: eff/nh4, below: 5}]", 11, "expects nothing known", "`mean`"),
        ("expect: [{true: eff/nh4, from: 9s, to: 6s, below: 5}]", 40, "ends before it begins", ""),
        ("expect: [{true: eff/nh4, at: 9s, to: 6s, below: 5}]", 30, "a moment", ""),
        ("expect: [{true: eff/nh4, below: 5, within: 1}]", 44, "belongs to `equals`", ""),
        ("expect: [{true: eff/nh4, share_above: {limit: 1, at_most: 2}}]", 39, "no share", ""),
        ("expect: [{daily_mean: eff/nh4, to: 2h, below: 5}]", 10, "a day at least", ""),
        ("expect: [{tag: eff/nh4, below: 5}]", 11, "needs the runtime", "penstock simulate"),
        ("expect: [{alarm: nh4-high, never: true}]", 11, "needs the runtime", "penstock simulate"),
        ("expect: [{report: seed, equals: 1}]", 11, "needs the runtime", "penstock simulate"),
    ];
    for (line, column, message, help) in cases {
        let text = format!("scenario: x\n{line}\n");
        let problems = Scenario::parse(&text, &PLANT).unwrap_err();
        let found = problems.items.iter().find(|p| p.place.line == 2 && p.place.column == column);
        let found = found.unwrap_or_else(|| panic!("{line}: nothing at column {column}\n{problems}"));
        assert!(found.message.contains(message), "{line}: {problems}");
        assert!(found.help.as_deref().unwrap_or_default().contains(help), "{line}: {problems}");
    }
    let lines = ["sit: x", "seed: -1", "weather: snow", "days: 400", cases[8].0, cases[17].0];
    let problems = Scenario::parse(&lines.join("\n"), &PLANT).unwrap_err();
    let told: Vec<u32> = problems.items.iter().map(|p| p.place.line).collect();
    assert!((1..=6).all(|line| told.contains(&line)), "{problems}");
    assert!(problems.to_string().contains("`scenario` is missing"), "{problems}");
}

#[test]
fn names_of_the_runtime_are_checked_with_their_limits() {
    let parse = |line: &str| Scenario::parse(&format!("scenario: x\ndays: 1\n{line}\n"), &SITE_NAMES);
    for good in [
        "do: [{at: 1s, set: {aer/do_sp: 1.5, aer/b1/run/cmd: true}}, {at: 2s, release: aer/b1/run/cmd}]",
        "expect: [{tag: aer/z5/do, share_above: {limit: 2.5, at_most: 0.01}}]",
        "expect: [{quality: eff/nh4, at: 1h, is: uncertain, reason: frozen}]",
        "expect: [{alarm: nh4-high, raised: {from: 1h, to: 2h}}, {alarm: nh4-high, times_at_most: 3}, {faults: none}]",
        "expect: [{report: energy.kwh_per_m3, at_most: 0.4}, {report: outputs.aer/do_sp.travel_per_day, below: 9}]",
    ] {
        assert!(parse(good).is_ok(), "{good}: {}", parse(good).unwrap_err());
    }
    for (bad, message) in [
        ("do: [{at: 1s, set: {aer/do_sp: 5}}]", "5 is outside 0.5..2.8"),
        ("do: [{at: 1s, set: {aer/do_sp: true}}]", "takes a number"),
        ("do: [{at: 1s, set: {aer/z5/do: 1}}]", "is read only"),
        ("do: [{at: 1s, set: {aer/do_ps: 1}}]", "is no tag"),
        ("do: [{at: 1s, release: aer/do_sp}]", "cannot be released"),
        ("expect: [{tag: aer/z5/od, below: 1}]", "has no tag `aer/z5/od`"),
        ("expect: [{quality: eff/nh4, is: fine}]", "no quality"),
        ("expect: [{quality: eff/nh4, is: bad, reason: frosen}]", "no reason"),
        ("expect: [{alarm: nh4-hig, never: true}]", "no alarm `nh4-hig`"),
        ("expect: [{alarm: nh4-high}]", "what must hold"),
        ("expect: [{report: energy.kwh, at_most: 1}]", "`energy` of the report has no `kwh`"),
    ] {
        let problems = parse(bad).unwrap_err();
        assert!(problems.to_string().contains(message), "{bad}: {problems}");
    }
}

/// A run of made-up values: the value is the time, the quality bad from 50 s on.
struct Clockwork(f64);

impl Look for Clockwork {
    fn value(&self, source: Source, _: &str) -> Option<f64> {
        (source == Source::True || self.0 < 50.0).then_some(self.0)
    }
    fn quality(&self, _: &str) -> Option<(&'static str, &'static str)> {
        Some(if self.0 < 50.0 { ("good", "") } else { ("bad", "link") })
    }
}

fn judged(expectation: &str) -> Finding {
    let text = format!("scenario: x\ndays: 2\nexpect:\n  - {expectation}\n");
    let scenario = Scenario::parse(&text, &SITE_NAMES).unwrap_or_else(|problems| panic!("{expectation}: {problems}"));
    let mut judge = Judge::new(&scenario);
    judge.hear(-5.0, News::Raised("nh4-high"));
    judge.hear(30.0, News::Returned("nh4-high"));
    judge.hear(60.0, News::Raised("nh4-high"));
    judge.hear(70.0, News::Fault("task normal"));
    for second in 0..=172_800 {
        judge.second(f64::from(second), &Clockwork(f64::from(second)));
    }
    let report = json!({"energy": {"kwh_per_m3": 0.3}, "loops": [{"measured": "aer/z5/do", "iae": 4.0}]});
    judge.finish(Some(&report)).findings.remove(0)
}

#[test]
fn each_kind_of_expectation_can_hold_and_can_fail() {
    for (expectation, held) in [
        ("{true: eff/nh4, to: 10s, at_most: 10}", true),
        ("{true: eff/nh4, to: 11s, at_most: 10}", false),
        ("{tag: eff/nh4, at: 49s, equals: 49}", true),
        ("{tag: eff/nh4, at: 50s, equals: 50}", false),
        ("{tag: eff/nh4, to: 99s, share_above: {limit: 1000, at_most: 0.49}}", false),
        ("{tag: eff/nh4, to: 99s, share_above: {limit: 1000, at_most: 0.51}}", true),
        ("{mean: eff/nh4, to: 100s, equals: 50}", true),
        ("{mean: eff/nh4, of: tag, to: 100s, at_most: 100}", false),
        ("{mean: aer/z5/do, of: true, to: 100s, equals: 50}", true),
        ("{daily_mean: eff/nh4, above: 40000}", true),
        ("{daily_mean: eff/nh4, below: 100000}", false),
        ("{travel: eff/nh4, from: 0s, to: 99s, per_day_at_most: 86400}", true),
        ("{travel: eff/nh4, from: 0s, to: 99s, per_day_at_most: 80000}", false),
        ("{quality: eff/nh4, to: 49s, is: good}", true),
        ("{quality: eff/nh4, from: 50s, is: bad, reason: link}", true),
        ("{quality: eff/nh4, from: 50s, is: bad, reason: frozen}", false),
        ("{alarm: nh4-high, raised: {from: 50s, to: 70s}}", true),
        ("{alarm: nh4-high, raised: {from: 0s, to: 50s}}", false),
        ("{alarm: nh4-high, returned: {from: 0s, to: 50s}}", true),
        ("{alarm: nh4-high, returned: {from: 31s, to: 50s}}", false),
        ("{alarm: nh4-high, never: true, from: 0s, to: 10s}", false),
        ("{alarm: nh4-high, never: true, from: 31s, to: 50s}", true),
        ("{alarm: nh4-high, times_at_most: 1}", true),
        ("{alarm: nh4-high, times_at_most: 0}", false),
        ("{faults: none}", false),
        ("{faults: none, to: 69s}", true),
        ("{faults: task normal, raised: {from: 0s, to: 2min}}", true),
        ("{faults: task slow, never: true}", true),
        ("{report: energy.kwh_per_m3, at_most: 0.4}", true),
        ("{report: energy.kwh_per_m3, at_most: 0.2}", false),
    ] {
        let finding = judged(expectation);
        assert_eq!(finding.held, held, "{expectation}: {finding:?}");
        assert!(held || !finding.detail.is_empty(), "{expectation}: a failure says why");
    }
}

#[test]
fn times_are_told_as_people_read_them() {
    assert_eq!(told_time(3725.0), "01:02:05");
    assert_eq!(told_time(93_784.4), "1d 02:03:04");
    assert_eq!(told_time(-60.0), "-00:01:00");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = Scenario::parse(&text, &SITE_NAMES);
    }

    /// Words of the format in any order: deeper into the reader than noise comes.
    #[test]
    fn shuffled_words_of_the_format_never_panic(words in prop::collection::vec(prop::sample::select(vec![
        "scenario: x\n", "days: 1\n", "do:\n", "expect:\n", "  - ", "{", "}", "[", "]", ", ", "at: 1h", "from: 2h", "to: 1h",
        "fault: power-cut", "clear: all", "true: eff/nh4", "tag: eff/nh4", "mean: eff/nh4", "below: 5", "equals: .nan",
        "share_above: {limit: 1, at_most: 0.5}", "alarm: nh4-high", "never: true", "times_at_most: -1", "quality: eff/nh4",
        "is: bad", "report: energy.kwh_per_m3", "set: {aer/do_sp: 1}", "\n", "氨", "*a", "&a ", "~", "1e999", "\t",
    ]), 0..40)) {
        let text: String = words.concat();
        match Scenario::parse(&text, &SITE_NAMES) {
            Ok(scenario) => prop_assert!(scenario.length_s > 0.0),
            Err(problems) => prop_assert!(!problems.items.is_empty() && !problems.told("x").is_empty()),
        }
    }
}
