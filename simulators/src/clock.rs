//! The one clock of the plant: where it started and how far the models have been stepped since.

/// Seconds of one day.
pub const DAY_S: f64 = 86_400.0;

/// Local time of the plant is UTC+8 all the year.
const ZONE_S: f64 = 8.0 * 3600.0;

/// Plant time. Only [`PlantClock::advance`] moves it; nothing here reads the clock of the host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlantClock {
    start_unix_s: i64,
    elapsed_s: f64,
}

impl PlantClock {
    /// A clock that shows `start_unix_s` (Unix seconds).
    #[must_use]
    pub fn new(start_unix_s: i64) -> PlantClock {
        PlantClock { start_unix_s, elapsed_s: 0.0 }
    }

    /// Moves on by `dt` seconds.
    pub fn advance(&mut self, dt: f64) {
        self.elapsed_s += dt;
    }

    /// Seconds since the start of the simulation.
    #[must_use]
    pub fn elapsed_s(&self) -> f64 {
        self.elapsed_s
    }

    /// Unix time in seconds.
    #[must_use]
    pub fn unix_s(&self) -> f64 {
        self.start_unix_s as f64 + self.elapsed_s
    }

    fn local_days(&self) -> f64 {
        (self.unix_s() + ZONE_S) / DAY_S
    }

    /// Hour of the local day, 0 to 24.
    #[must_use]
    pub fn hour(&self) -> f64 {
        self.local_days().rem_euclid(1.0) * 24.0
    }

    /// Day of the week, 0 is Monday.
    #[must_use]
    pub fn weekday(&self) -> usize {
        // 1 January 1970 was a Thursday.
        (self.local_days().floor() as i64 + 3).rem_euclid(7) as usize
    }

    /// Month of the local calendar, 1 to 12.
    #[must_use]
    pub fn month(&self) -> u8 {
        // Days since 1 March of year 0 in the proleptic Gregorian calendar (Hinnant's civil-from-days).
        let days = self.local_days().floor() as i64 + 719_468;
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        (if from_march < 10 { from_march + 3 } else { from_march - 9 }) as u8
    }

    /// Day of the year with fraction, 0 to 366 (mean Gregorian year: at most a day off, enough for sun and season).
    #[must_use]
    pub fn day_of_year(&self) -> f64 {
        self.local_days().rem_euclid(365.2425)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_of_a_leap_year() {
        // From 1 January 2028, 00:30 local time.
        let first = 1_830_297_600 - 8 * 3600 + 1800;
        let days = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut clock = PlantClock::new(first);
        for (month, days) in (1..).zip(days) {
            assert_eq!(clock.month(), month);
            clock.advance(f64::from(days) * DAY_S - 3600.0);
            assert_eq!(clock.month(), month);
            clock.advance(3600.0);
        }
        assert_eq!(clock.month(), 1);
    }

    #[test]
    fn local_calendar_of_known_moments() {
        // 2026-06-21T04:00:00Z is Sunday noon at UTC+8.
        let clock = PlantClock::new(1_782_014_400);
        assert!((clock.hour() - 12.0).abs() < 1e-6);
        assert_eq!(clock.weekday(), 6);
        assert!((clock.day_of_year() - 171.5).abs() < 1.5, "{}", clock.day_of_year());
        let mut later = clock;
        later.advance(12.5 * 3600.0);
        assert!((later.hour() - 0.5).abs() < 1e-6);
        assert_eq!(later.weekday(), 0);
    }
}
