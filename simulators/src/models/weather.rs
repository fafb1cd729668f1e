//! Sun, clouds and temperatures at Jinan (36.67 N, 116.98 E).

use std::f64::consts::PI;

use crate::clock::{DAY_S, PlantClock};
use crate::rng::{Rng, Wander};

/// Latitude and longitude, degrees.
pub const LATITUDE: f64 = 36.67;
/// Degrees east.
pub const LONGITUDE: f64 = 116.98;
/// Tilt of the modules towards the south, degrees.
const TILT: f64 = 12.0;

/// Lasting rain cools the water of the reactors by so many K, with this time constant, s; the air by a multiple.
const RAIN_CHILL_C: f64 = 2.0;
const RAIN_TAU_S: f64 = 10.0 * 3600.0;
const AIR_PER_WATER: f64 = 2.0;

/// Place of the sun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sun {
    /// Sine of the height over the horizon.
    pub sin_height: f64,
    /// Cosine of the angle between sun and module normal.
    pub cos_module: f64,
}

/// Place of the sun at a moment (Spencer 1971 for declination and equation of time).
#[must_use]
pub fn sun(clock: &PlantClock) -> Sun {
    let unix = clock.unix_s();
    // The sun follows UTC: hour of the day there, corrected by longitude and equation of time.
    let days = unix / DAY_S;
    let g = 2.0 * PI * days.rem_euclid(365.2425) / 365.2425;
    let declination = 0.006_918 - 0.399_912 * g.cos() + 0.070_257 * g.sin() - 0.006_758 * (2.0 * g).cos()
        + 0.000_907 * (2.0 * g).sin()
        - 0.002_697 * (3.0 * g).cos()
        + 0.001_48 * (3.0 * g).sin();
    let equation_h = 3.819_7
        * (0.000_075 + 0.001_868 * g.cos()
            - 0.032_077 * g.sin()
            - 0.014_615 * (2.0 * g).cos()
            - 0.040_849 * (2.0 * g).sin());
    let solar_h = days.rem_euclid(1.0) * 24.0 + LONGITUDE / 15.0 + equation_h;
    let hour_angle = (solar_h - 12.0) * PI / 12.0;
    let height =
        |latitude: f64| latitude.sin() * declination.sin() + latitude.cos() * declination.cos() * hour_angle.cos();
    // A module tilted to the south sees the sun as a flat one does so many degrees nearer to the equator.
    Sun { sin_height: height(LATITUDE.to_radians()), cos_module: height((LATITUDE - TILT).to_radians()) }
}

/// Clear-sky irradiance on a horizontal plane, W/m2 (Haurwitz 1945).
#[must_use]
pub fn clear_sky(sin_height: f64) -> f64 {
    if sin_height <= 0.01 { 0.0 } else { 1098.0 * sin_height * (-0.057 / sin_height).exp() }
}

/// The weather at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Irradiance in the module plane, W/m2.
    pub irradiance: f64,
    /// Air temperature, degC.
    pub outdoor_c: f64,
    /// Water temperature in the reactors, degC.
    pub water_c: f64,
}

/// Seeded weather: cloud cover wanders over days, single clouds pass in minutes.
#[derive(Debug, Clone)]
pub struct Sky {
    cover: Wander,
    passing: Wander,
    air: Wander,
    water: Wander,
    shade: f64,
    chill_c: f64,
    ripple: Rng,
}

impl Sky {
    /// Weather of its own seed.
    #[must_use]
    pub fn new(seed: u64) -> Sky {
        Sky {
            cover: Wander::new(seed, "cloud cover", 0.28, 20.0 * 3600.0),
            passing: Wander::new(seed, "passing clouds", 1.0, 420.0),
            air: Wander::new(seed, "air temperature", 2.2, 1.5 * DAY_S),
            water: Wander::new(seed, "water temperature", 0.3, 2.0 * DAY_S),
            shade: 0.0,
            chill_c: 0.0,
            ripple: Rng::new(seed, "irradiance ripple"),
        }
    }

    /// Goes on by `dt` seconds and returns the weather at the clock's time; `wet` is how hard it rains, 0 to 1.
    pub fn step(&mut self, clock: &PlantClock, dt: f64, wet: f64) -> Conditions {
        let cover = (0.35 + self.cover.step(dt)).clamp(0.0, 1.0).max(wet);
        self.chill_c += (RAIN_CHILL_C * wet - self.chill_c) * (1.0 - (-dt / RAIN_TAU_S).exp());
        // The more cover, the more often a cloud stands before the sun; its edge takes some seconds to pass.
        let behind = self.passing.step(dt) < 2.6 * (cover - 0.5);
        let shade = if behind { 0.45 + 0.35 * cover } else { 0.06 * cover };
        self.shade += (shade - self.shade) * (1.0 - (-dt / 12.0).exp());
        let sun = sun(clock);
        let horizontal = clear_sky(sun.sin_height);
        let clearness = 1.0 - self.shade;
        let diffuse = horizontal * (0.14 + 0.25 * self.shade).min(clearness);
        let beam = (horizontal * clearness - diffuse).max(0.0);
        // Near the horizon the ratio of the angles has no limit; the modules' own horizon is at about 3 degrees.
        let tilted = if sun.sin_height > 0.05 { beam * (sun.cos_module / sun.sin_height).clamp(0.0, 3.0) } else { 0.0 };
        let irradiance = (tilted + diffuse) * (1.0 + 0.002 * self.ripple.gauss());
        Conditions {
            irradiance: irradiance.clamp(0.0, 1400.0),
            outdoor_c: outdoor_mean(clock) + self.air.step(dt) - AIR_PER_WATER * self.chill_c,
            water_c: water_mean(clock) + self.water.step(dt) - self.chill_c,
        }
    }
}

fn yearly(clock: &PlantClock, warmest_day: f64) -> f64 {
    (2.0 * PI * (clock.day_of_year() - warmest_day) / 365.2425).cos()
}

/// Mean air temperature by season and hour, degC.
fn outdoor_mean(clock: &PlantClock) -> f64 {
    14.5 + 13.5 * yearly(clock, 200.0) + 4.5 * (2.0 * PI * (clock.hour() - 15.0) / 24.0).cos()
}

/// Mean water temperature by season, degC.
fn water_mean(clock: &PlantClock) -> f64 {
    17.5 + 4.0 * yearly(clock, 225.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn height_deg(unix: i64) -> f64 {
        sun(&PlantClock::new(unix)).sin_height.asin().to_degrees()
    }

    #[test]
    fn sun_stands_where_the_almanac_says() {
        // Solar noon at Jinan on 21 June 2026 is about 12:14 local (04:14 UTC): height 90 - 36.67 + 23.44.
        let noon = 1_782_014_400 + 14 * 60;
        assert!((height_deg(noon) - 76.77).abs() < 0.3, "{}", height_deg(noon));
        assert!(height_deg(noon - 2 * 3600) < height_deg(noon) && height_deg(noon + 2 * 3600) < height_deg(noon));
        // Sunrise is about 04:52 and sunset 19:35 local that day.
        let sunrise = 1_782_014_400 - (12 * 60 - (4 * 60 + 52)) * 60;
        let sunset = 1_782_014_400 + (19 * 60 + 35 - 12 * 60) * 60;
        assert!(height_deg(sunrise).abs() < 2.0, "{}", height_deg(sunrise));
        assert!(height_deg(sunset).abs() < 2.0, "{}", height_deg(sunset));
        // Solar noon on 21 December 2026: 90 - 36.67 - 23.44.
        let winter = 1_797_825_600 + 10 * 60;
        assert!((height_deg(winter) - 29.9).abs() < 0.5, "{}", height_deg(winter));
    }

    #[test]
    fn a_day_is_dark_at_night_and_below_clear_sky() {
        for seed in 1..6 {
            let mut sky = Sky::new(seed);
            let mut clock = PlantClock::new(1_782_014_400);
            let mut day_wh = 0.0;
            for _ in 0..8640 {
                clock.advance(10.0);
                let weather = sky.step(&clock, 10.0, 0.0);
                if sun(&clock).sin_height < 0.0 {
                    assert_eq!(weather.irradiance, 0.0);
                }
                day_wh += weather.irradiance / 360.0;
                assert!(weather.outdoor_c > -10.0 && weather.outdoor_c < 45.0);
            }
            assert!(day_wh > 1000.0 && day_wh < 8600.0, "seed {seed}: {day_wh} Wh/m2");
        }
    }
}
