use super::*;

const STUCK: &str = "\
# the analyser sticks while the truth goes on
seed 7
start 2026-06-22T02:00:00Z   # Monday, 10 o'clock at the plant

at 1min   stuck aer/z5/nh4 30 for 8min
at 2min   shown aer/z5/nh4 <= 30
at 2min   shown aer/z5/nh4 >= 30
at 2min   aer/z5/nh4 < 20
at 3min   blower-trip b1
at 4min   aer/b1/fault >= 1
at 4min   clear blower-trip b1
at 9min   valve-stuck z4
at 10min  shown aer/z5/nh4 < 20
from 0s to 10min  eff/nh4 < 20
at 10min  clear all
";

#[test]
fn a_scenario_that_holds() {
    let verdict = Scenario::parse(STUCK).unwrap().run();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.checks.len(), 6);
    assert!(verdict.to_string().ends_with("6 of 6 assertions held"), "{verdict}");
}

#[test]
fn a_scenario_that_fails_says_where_and_when() {
    let text = "at 10s aer/header/pressure > 40\nat 20s power-cut\nfrom 0s to 2min aer/header/pressure > 50\n";
    let verdict = Scenario::parse(text).unwrap().run();
    assert!(!verdict.passed());
    assert!(verdict.checks[0].passed && !verdict.checks[1].passed);
    let failed = &verdict.checks[1];
    assert_eq!(failed.number, 3);
    assert!(failed.at_s > 20.0 && failed.at_s < 60.0 && failed.value <= 50.0, "{failed:?}");
    assert!(verdict.to_string().contains("FAILED line 3: from 0s to 2min"), "{verdict}");
}

#[test]
fn clearing_what_is_not_there_fails_the_run() {
    let verdict = Scenario::parse("at 1s clear stuck eff/nh4").unwrap().run();
    assert!(!verdict.passed());
    assert!(verdict.to_string().contains("line 1: at 1s clear stuck eff/nh4: no such fault is active"), "{verdict}");
}

#[test]
fn the_same_scenario_has_the_same_verdict() {
    let scenario = Scenario::parse("weather rain\nseed 3\nat 5s noise eff/nh4 1\nat 30s shown eff/nh4 > 100").unwrap();
    assert_eq!((scenario.seed, scenario.weather), (3, Weather::Rain));
    let (one, two) = (scenario.run(), scenario.run());
    assert_eq!(one, two);
    assert!(!one.passed());
}

#[test]
fn wrong_lines_are_named_by_number() {
    let cases = [
        ("seed 1\n\nafter 5s power-cut", 3, "`after` begins no line"),
        ("at 5 power-cut", 1, "`5` is no time"),
        ("at -5s power-cut", 1, "`-5s` is no time"),
        ("at 400d power-cut", 1, "`400d` is no time"),
        ("at 5s stuk eff/nh4", 1, "nearest is `stuck`"),
        ("at 5s eff/nh3 < 5", 1, "`eff/nh3` is measured; the nearest is `eff/nh4`"),
        ("at 5s eff/nh4 < five", 1, "an assertion is written"),
        ("at 5s eff/nh4 <", 1, "an assertion is written"),
        ("at 5s shown eff/nh4", 1, "an assertion is written"),
        ("at 5s shown aer/remote > 0", 1, "no instrument shows"),
        ("at 5s clear everything", 1, "no fault is called `everything`"),
        ("from 5s until 6s eff/nh4 < 5", 1, "a span is written"),
        ("from 9s to 6s eff/nh4 < 5", 1, "a span is written"),
        ("from 5s to 6s power-cut", 1, "a span is for assertions"),
        ("# first\nseed minus", 2, "no seed"),
        ("start yesterday", 1, "no RFC 3339 time"),
        ("start 2190-01-01T00:00:00Z", 1, "1970 to 2100"),
        ("weather snow", 1, "dry, rain, storm"),
    ];
    for (text, line, expected) in cases {
        let error = Scenario::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}
