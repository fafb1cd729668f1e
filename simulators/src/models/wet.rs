//! Wet weather: what rain brings into the sewer, as a pure function of seed and time.
//!
//! Rain as in the benchmark's rain file: about two days of steady inflow of 20 000 m3/d that carries nothing, so the
//! loads stay and the concentrations fall. Storm as in its storm file: two cloudbursts in one week; the sewer carries
//! at most 60 000 m3/d to the plant and the rest overflows at the inlet concentration. The first cloudburst flushes what dry weeks
//! left in the sewer, the second finds little of it. Events come back every week, so that a long run is not dry after
//! the first.

use std::str::FromStr;

use crate::rng::Rng;

const HOUR_S: f64 = 3600.0;
const WEEK_S: f64 = 7.0 * 24.0 * HOUR_S;
/// Greatest flow the sewer brings to the plant, m3/d (maximum of the benchmark's storm file).
pub const SEWER_MAX_M3_D: f64 = 60_000.0;
/// Flow of a long rain, m3/d (difference of the benchmark's rain and dry files).
const RAIN_M3_D: f64 = 20_000.0;
/// Least flow of a cloudburst, m3/d: with the night's dry flow of 10 000 it fills the sewer.
const STORM_M3_D: f64 = 55_000.0;
/// Organic load of the first flush in the sewer at its height, kg COD/d: with the dry load of an afternoon, and less the
/// quarter that overflows then, the influent carries the 56 600 kg/d of the benchmark's storm file.
const FLUSH_KG_D: f64 = 64_000.0;
/// What the second cloudburst finds of that.
const SECOND_FLUSH: f64 = 0.3;
/// From the beginning of a cloudburst to the height of the flush, s.
const FLUSH_PEAK_S: f64 = 0.75 * HOUR_S;

/// Weather over the catchment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// No rain.
    #[default]
    Dry,
    /// Two days of rain every week.
    Rain,
    /// Two cloudbursts every week, the first with a flush of the sewer.
    Storm,
}

/// A word is not a weather.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no weather; there are dry, rain, storm")]
pub struct WeatherError {
    /// The word that was given.
    pub word: String,
}

impl FromStr for Weather {
    type Err = WeatherError;

    fn from_str(word: &str) -> Result<Weather, WeatherError> {
        match word {
            "dry" => Ok(Weather::Dry),
            "rain" => Ok(Weather::Rain),
            "storm" => Ok(Weather::Storm),
            _ => Err(WeatherError { word: word.to_owned() }),
        }
    }
}

/// What wet weather adds to the influent at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Runoff {
    /// Water, m3/d.
    pub q: f64,
    /// Flushed organic load, kg COD/d.
    pub flush_kg_d: f64,
    /// How wet the sky is, 0 to 1.
    pub wet: f64,
}

/// One event of a week.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    from_s: f64,
    to_s: f64,
    q: f64,
    rise_s: f64,
    recession_s: f64,
    flush_kg_d: f64,
}

impl Event {
    fn at(&self, time_s: f64) -> Runoff {
        let since = time_s - self.from_s;
        if since <= 0.0 {
            return Runoff::default();
        }
        let over = time_s - self.to_s;
        let rise = (since / self.rise_s).min(1.0);
        let share = rise * if over > 0.0 { (-over / self.recession_s).exp() } else { 1.0 };
        let x = since / FLUSH_PEAK_S;
        // Rises and falls once, 1 at its height.
        let flush = x * (1.0 - x).exp();
        Runoff {
            q: self.q * share,
            flush_kg_d: self.flush_kg_d * flush * flush,
            wet: if over > 0.0 { 0.0 } else { rise },
        }
    }
}

/// The events of one weather and seed.
#[derive(Debug, Clone)]
pub struct WetWeather {
    weather: Weather,
    seed: u64,
    start_s: f64,
    week: i64,
    events: Vec<Event>,
}

impl WetWeather {
    /// Weather whose weeks are counted from `start_s` (Unix seconds of plant time), the hour of day in local time.
    #[must_use]
    pub fn new(seed: u64, weather: Weather, start_s: f64) -> WetWeather {
        let mut wet = WetWeather { weather, seed, start_s, week: i64::MIN, events: Vec::new() };
        wet.plan(0);
        wet
    }

    /// Another weather, whose weeks are counted from `now_s` (Unix seconds of plant time); what still ran off is gone.
    pub fn set(&mut self, weather: Weather, now_s: f64) {
        *self = WetWeather::new(self.seed, weather, now_s);
    }

    /// The runoff at a moment of plant time; nothing before the start, and no gap between weeks: an event has run dry
    /// long before the next week begins.
    pub fn at(&mut self, unix_s: f64) -> Runoff {
        let time_s = unix_s - self.start_s;
        let week = (time_s / WEEK_S).floor() as i64;
        if week < 0 {
            return Runoff::default();
        }
        self.plan(week);
        self.events.iter().fold(Runoff::default(), |sum, event| {
            let more = event.at(time_s);
            Runoff { q: sum.q + more.q, flush_kg_d: sum.flush_kg_d + more.flush_kg_d, wet: sum.wet.max(more.wet) }
        })
    }

    /// Lays out the events of a week.
    fn plan(&mut self, week: i64) {
        if week == self.week {
            return;
        }
        self.week = week;
        let mut rng = Rng::new(self.seed, &format!("wet week {week}"));
        let week_s = week as f64 * WEEK_S;
        // Local hour at the beginning of the week: cloudbursts come in the late afternoon.
        let hour = (self.start_s / HOUR_S + 8.0).rem_euclid(24.0);
        self.events = match self.weather {
            Weather::Dry => Vec::new(),
            Weather::Rain => {
                let from_s = week_s + HOUR_S * (8.0 + 10.0 * rng.uniform());
                let to_s = from_s + HOUR_S * (44.0 + 6.0 * rng.uniform());
                let q = RAIN_M3_D * (0.96 + 0.08 * rng.uniform());
                vec![Event { from_s, to_s, q, rise_s: 2.0 * HOUR_S, recession_s: 1.5 * HOUR_S, flush_kg_d: 0.0 }]
            }
            Weather::Storm => [(0.0, 1.0), (2.0, SECOND_FLUSH)]
                .into_iter()
                .map(|(days, flush)| {
                    let afternoon = (15.0 + 2.0 * rng.uniform() - hour).rem_euclid(24.0);
                    let from_s = week_s + HOUR_S * (24.0 * days + afternoon);
                    let to_s = from_s + HOUR_S * (2.0 + 1.5 * rng.uniform());
                    let q = STORM_M3_D * (1.0 + 0.1 * rng.uniform());
                    let flush_kg_d = FLUSH_KG_D * flush * (0.97 + 0.06 * rng.uniform());
                    Event { from_s, to_s, q, rise_s: 0.4 * HOUR_S, recession_s: 1.0 * HOUR_S, flush_kg_d }
                })
                .collect(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_dry_days() {
        assert_eq!("storm".parse(), Ok(Weather::Storm));
        let error = "snow".parse::<Weather>().unwrap_err().to_string();
        assert!(error.contains("`snow`") && error.contains("dry, rain, storm"), "{error}");
        let mut dry = WetWeather::new(1, Weather::Dry, 0.0);
        assert!((0..400).all(|hour| dry.at(f64::from(hour) * HOUR_S) == Runoff::default()));
        let mut storm = WetWeather::new(1, Weather::Storm, 1e9);
        assert_eq!(storm.at(1e9 - 1.0), Runoff::default(), "the day of warm-up is dry");
    }

    #[test]
    fn weeks_differ_and_the_same_moment_is_the_same_rain() {
        let mut one = WetWeather::new(3, Weather::Rain, 0.0);
        let mut two = WetWeather::new(3, Weather::Rain, 0.0);
        let forth: Vec<Runoff> = (0..700).map(|hour| one.at(f64::from(hour) * HOUR_S)).collect();
        let mut back: Vec<Runoff> = (0..700).rev().map(|hour| two.at(f64::from(hour) * HOUR_S)).collect();
        back.reverse();
        assert_eq!(forth, back, "the order of questions does not matter");
        let wet = |week: usize| forth[week * 168..(week + 1) * 168].iter().map(|r| r.q).collect::<Vec<_>>();
        assert_ne!(wet(0), wet(1));
        assert!((0..4).all(|week| wet(week).iter().any(|q| *q > 19_000.0)));
    }
}
