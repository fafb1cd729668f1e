//! What keeps an instrument true: cleaning, calibration, warm-up, reagents. One table by tag.
//!
//! Windows are in plant time and count from Monday 0:00 local time, so that every day and every week has its own. They are
//! staggered: a crew calibrates one analyser after the other, and no two zones lose their probe at once.

use crate::clock::{DAY_S, PlantClock};

const HOUR_S: f64 = 3600.0;
const MIN_S: f64 = 60.0;
const WEEK_S: f64 = 7.0 * DAY_S;
/// Sums of steps miss a full minute by rounding: less than this counts as there, s.
const CLOCK_SLACK_S: f64 = 1e-3;
/// Time a calibration asked for by hand takes where the table names none, s: two standards by hand.
const CALIBRATION_S: f64 = 15.0 * MIN_S;

/// Times that come again and again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Time between two beginnings, s; a week is a whole number of them.
    pub every_s: f64,
    /// The first beginning, s since Monday 0:00 local time.
    pub from_s: f64,
    /// Duration, s.
    pub lasts_s: f64,
}

impl Window {
    const fn new(every_s: f64, from_s: f64, lasts_s: f64) -> Window {
        Window { every_s, from_s, lasts_s }
    }

    const fn daily(hour: f64, minutes: f64) -> Window {
        Window::new(DAY_S, hour * HOUR_S, minutes * MIN_S)
    }

    const fn weekly(day: f64, hour: f64, minutes: f64) -> Window {
        Window::new(WEEK_S, day * DAY_S + hour * HOUR_S, minutes * MIN_S)
    }

    /// Whether a moment, s since Monday 0:00 local time, lies in it.
    #[must_use]
    pub fn holds(&self, week_s: f64) -> bool {
        (week_s - self.from_s + CLOCK_SLACK_S).rem_euclid(self.every_s) < self.lasts_s
    }
}

/// Seconds since Monday 0:00 local time.
#[must_use]
pub fn week_s(clock: &PlantClock) -> f64 {
    clock.weekday() as f64 * DAY_S + clock.hour() * HOUR_S
}

/// What the output does while the instrument cleans itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cleaning {
    /// Holds the last good value.
    Held,
    /// Goes on, and sees the cleaning: so much of the span on top of the truth, as bubbles before a lens.
    Seen(f64),
}

/// The service of one instrument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// It cleans itself by this schedule.
    pub cleaning: Option<Window>,
    /// What it shows meanwhile.
    pub cleaning_shows: Cleaning,
    /// It is calibrated by this schedule.
    pub calibration: Option<Window>,
    /// Time without a valid value after power comes, s.
    pub warm_up_s: f64,
    /// Time a filling of reagents lasts, s; none where it needs none.
    pub reagent_s: Option<f64>,
}

impl Service {
    /// Time one calibration takes, s.
    #[must_use]
    pub fn calibration_s(&self) -> f64 {
        self.calibration.map_or(CALIBRATION_S, |window| window.lasts_s)
    }
}

/// Time one calibration of the instrument of a tag takes, s.
#[must_use]
pub fn calibration_s(tag: &str) -> f64 {
    of(tag).map_or(CALIBRATION_S, |service| service.calibration_s())
}

/// Instruments that use up reagents.
#[must_use]
pub fn uses_reagents(tag: &str) -> bool {
    of(tag).is_some_and(|service| service.reagent_s.is_some())
}

const MONDAY: f64 = 0.0;
const TUESDAY: f64 = 1.0;
const WEDNESDAY: f64 = 2.0;
const THURSDAY: f64 = 3.0;
const FRIDAY: f64 = 4.0;

/// A probe with a membrane or a lens: ready a minute after power.
const fn probe(cleaning: Option<Window>, calibration: Option<Window>) -> Service {
    Service { cleaning, cleaning_shows: Cleaning::Held, calibration, warm_up_s: MIN_S, reagent_s: None }
}

/// An analyser with a sample line: so many minutes to be ready after power, reagents for so many days.
const fn analyser(cleaning: Window, calibration: Window, warm_up_min: f64, reagent_d: Option<f64>) -> Service {
    let reagent_s = match reagent_d {
        Some(days) => Some(days * DAY_S),
        None => None,
    };
    Service {
        cleaning: Some(cleaning),
        cleaning_shows: Cleaning::Held,
        calibration: Some(calibration),
        warm_up_s: warm_up_min * MIN_S,
        reagent_s,
    }
}

/// Ammonia by ion-selective electrode: a cleaning every night, a calibration every Tuesday in working hours.
const fn ammonia(cleaning_hour: f64, calibration_hour: f64) -> Service {
    analyser(Window::daily(cleaning_hour, 12.0), Window::weekly(TUESDAY, calibration_hour, 45.0), 5.0, None)
}

/// Photometer: a cleaning every night, and the zero every six hours, which is its calibration.
const fn photometer() -> Service {
    let zero = Window::new(6.0 * HOUR_S, HOUR_S + 20.0 * MIN_S, 10.0 * MIN_S);
    analyser(Window::daily(3.0, 20.0), zero, 15.0, Some(60.0))
}

/// Digestion and titration in batches.
const fn digester(cleaning_hour: f64, day: f64, hour: f64) -> Service {
    analyser(Window::daily(cleaning_hour, 15.0), Window::weekly(day, hour, 60.0), 30.0, Some(28.0))
}

/// The service of the instrument of a tag; none where it needs none, as flow meters and positions.
#[must_use]
pub fn of(tag: &str) -> Option<Service> {
    // Optical oxygen probes: an air blast every four hours, one zone after the other.
    let air_blast = |minute: f64| probe(Some(Window::new(4.0 * HOUR_S, minute * MIN_S, 90.0)), None);
    Some(match tag {
        "aer/z3/do" => air_blast(40.0),
        "aer/z4/do" => air_blast(50.0),
        "aer/z5/do" => air_blast(60.0),
        "aer/z5/nh4" => ammonia(2.0 + 10.0 / 60.0, 9.0),
        "inf/nh4" => ammonia(2.5, 10.0),
        "eff/nh4" => ammonia(2.0 + 50.0 / 60.0, 11.0),
        // Ultraviolet absorption: compressed air over the windows.
        "aer/z2/no3" => analyser(
            Window::new(6.0 * HOUR_S, 30.0 * MIN_S, 2.0 * MIN_S),
            Window::weekly(WEDNESDAY, 9.0, 20.0),
            3.0,
            None,
        ),
        "aer/mlss" => probe(Some(Window::new(2.0 * HOUR_S, 15.0 * MIN_S, 30.0)), None),
        "dos/po4/in" | "dos/po4/out" => photometer(),
        "dos/tp/out" => digester(3.5, THURSDAY, 9.0),
        "dos/cl2/residual" => probe(None, Some(Window::weekly(THURSDAY, 14.0, 20.0))),
        "inf/cod" => digester(4.0, WEDNESDAY, 10.0),
        "eff/cod" => digester(4.25, WEDNESDAY, 13.0),
        "eff/tn" => digester(4.5, WEDNESDAY, 15.0),
        // The wiper passes before the lens, and bubbles with it.
        "eff/tss" => Service {
            cleaning_shows: Cleaning::Seen(0.02),
            ..probe(Some(Window::new(HOUR_S, 35.0 * MIN_S, 10.0)), Some(Window::weekly(MONDAY, 10.0, 20.0)))
        },
        "eff/ph" => probe(Some(Window::daily(5.0, 3.0)), Some(Window::weekly(FRIDAY, 9.0, 20.0))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::QUANTITIES;

    #[test]
    fn windows_come_again_and_a_week_is_a_whole_number_of_them() {
        let ammonia = of("aer/z5/nh4").unwrap();
        let daily = ammonia.cleaning.unwrap();
        let at = |day: f64, hour: f64, minute: f64| day * DAY_S + hour * HOUR_S + minute * MIN_S;
        for day in [0.0, 3.0, 6.0] {
            assert!(!daily.holds(at(day, 2.0, 9.9)) && daily.holds(at(day, 2.0, 10.1)));
            assert!(daily.holds(at(day, 2.0, 21.9)) && !daily.holds(at(day, 2.0, 22.1)));
        }
        let weekly = ammonia.calibration.unwrap();
        assert!(weekly.holds(at(1.0, 9.0, 0.1)) && weekly.holds(at(1.0, 9.0, 44.9)));
        assert!(!weekly.holds(at(1.0, 9.0, 45.1)) && !weekly.holds(at(2.0, 9.0, 10.0)));
        for service in QUANTITIES.into_iter().filter_map(of) {
            for window in [service.cleaning, service.calibration].into_iter().flatten() {
                assert_eq!(WEEK_S % window.every_s, 0.0, "{window:?}");
                assert!(window.lasts_s < window.every_s && window.from_s < WEEK_S, "{window:?}");
            }
        }
    }

    #[test]
    fn the_week_begins_on_monday_at_midnight() {
        // 2026-06-21T04:00:00Z is Sunday noon at UTC+8.
        let mut clock = PlantClock::new(1_782_014_400);
        assert!((week_s(&clock) - 6.5 * DAY_S).abs() < 1.0);
        clock.advance(DAY_S / 2.0 + 10.0);
        assert!((week_s(&clock) - 10.0).abs() < 0.1, "{}", week_s(&clock));
    }

    #[test]
    fn probes_of_the_zones_are_never_cleaned_together() {
        let windows = ["aer/z3/do", "aer/z4/do", "aer/z5/do"].map(|tag| of(tag).unwrap().cleaning.unwrap());
        for second in 0..86_400 {
            let cleaned = windows.iter().filter(|window| window.holds(f64::from(second))).count();
            assert!(cleaned <= 1, "{second}");
        }
        assert!(uses_reagents("dos/po4/in") && !uses_reagents("aer/z5/nh4") && !uses_reagents("eff/flow"));
        assert_eq!(calibration_s("aer/z5/nh4"), 2700.0);
        assert_eq!(calibration_s("eff/flow"), CALIBRATION_S);
    }
}
