//! Tariff clock of the meter at the grid: which of five tiers is in force, by month and quarter-hour of the local day.
//!
//! In the manner of Shandong: the deepest valley is at midday, when the sun feeds; the evening is dear, in summer longer.
//! The table belongs to the simulated meter, as a real one carries the table of its grid company.

use crate::clock::PlantClock;

/// A tier of the tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Deep valley.
    DeepValley = 0,
    /// Valley.
    Valley = 1,
    /// Flat.
    Flat = 2,
    /// Peak.
    Peak = 3,
    /// Sharp peak.
    Sharp = 4,
}

/// All tiers; the place is the number in the registers.
pub const TIERS: [Tier; 5] = [Tier::DeepValley, Tier::Valley, Tier::Flat, Tier::Peak, Tier::Sharp];

/// Beginnings of the tiers of a day, hours.
type Day = &'static [(f64, Tier)];

const DAY: Day = &[
    (0.0, Tier::Flat),
    (10.0, Tier::Valley),
    (11.0, Tier::DeepValley),
    (14.0, Tier::Valley),
    (15.0, Tier::Flat),
    (16.0, Tier::Peak),
    (17.0, Tier::Sharp),
    (20.0, Tier::Peak),
    (22.0, Tier::Flat),
];
/// June to August: sharp until 22 o'clock.
const SUMMER_DAY: Day = &[
    (0.0, Tier::Flat),
    (10.0, Tier::Valley),
    (11.0, Tier::DeepValley),
    (14.0, Tier::Valley),
    (15.0, Tier::Flat),
    (16.0, Tier::Peak),
    (17.0, Tier::Sharp),
    (22.0, Tier::Flat),
];

/// The tier in force in a month (1 to 12) at an hour of the local day.
#[must_use]
pub fn tier(month: u8, hour: f64) -> Tier {
    let day = if (6..=8).contains(&month) { SUMMER_DAY } else { DAY };
    day.iter().rev().find(|(from, _)| hour >= *from).map_or(Tier::Flat, |(_, tier)| *tier)
}

/// The tier in force at a moment.
#[must_use]
pub fn tier_at(clock: &PlantClock) -> Tier {
    tier(clock.month(), clock.hour())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midday_is_cheap_and_summer_evenings_are_dear_for_longer() {
        for month in 1..=12 {
            assert_eq!(tier(month, 12.0), Tier::DeepValley);
            assert_eq!(tier(month, 18.5), Tier::Sharp);
            assert_eq!(tier(month, 23.9), Tier::Flat);
            assert_eq!(tier(month, 21.0), if (6..=8).contains(&month) { Tier::Sharp } else { Tier::Peak });
            for day in [DAY, SUMMER_DAY] {
                assert!(day.windows(2).all(|pair| pair[0].0 < pair[1].0) && day[0].0 == 0.0);
            }
        }
        assert!(TIERS.iter().enumerate().all(|(place, tier)| *tier as usize == place));
    }

    #[test]
    fn the_clock_knows_its_month() {
        // Noon of 21 June 2026 and 31 December 2026, 23:30 local time.
        assert_eq!(tier_at(&PlantClock::new(1_782_014_400)), Tier::DeepValley);
        let eve = PlantClock::new(1_798_731_000);
        assert_eq!((eve.month(), tier_at(&eve)), (12, Tier::Flat));
        let mut later = eve;
        later.advance(3600.0);
        assert_eq!(later.month(), 1);
    }
}
