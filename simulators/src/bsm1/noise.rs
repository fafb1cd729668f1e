//! Noise of the sensors: standard normal values on a grid of one minute, joined by straight lines.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Bsm1Error;
use crate::rng::Rng;

/// Distance of two values, s.
pub const GRID_S: u64 = 60;
/// Columns of the benchmark's noise file.
pub const COLUMNS: usize = 10;
/// Minutes between the noise of two channels that share a column: no multiple of a day.
const COLUMN_SHIFT_MIN: u64 = 4931;
/// Rows of fourteen days.
const ROWS: usize = 14 * 1440;

/// Where noise comes from. Every sensor has a channel of its own.
#[derive(Debug, Clone, Default)]
pub enum Noise {
    /// Sensors without noise.
    #[default]
    None,
    /// The columns of the benchmark, so that runs repeat exactly. Channels from ten on read the columns again, days
    /// later, so that no two sensors have the same noise at the same time.
    Columns(Arc<[[f64; COLUMNS]]>),
    /// Drawn by seed, channel and minute.
    Seeded(u64),
}

impl Noise {
    /// Reads the noise file of the benchmark: a time in days and ten columns.
    ///
    /// # Errors
    /// [`Bsm1Error`] where the file cannot be read, is short, or a row is not eleven numbers.
    pub fn read(path: &Path) -> Result<Noise, Bsm1Error> {
        let text = fs::read_to_string(path).map_err(|source| Bsm1Error::read(path, source))?;
        let rows: Result<Vec<_>, _> = text
            .lines()
            .enumerate()
            .skip(1)
            .map(|(line, text)| parse_row(text).map_err(|reason| Bsm1Error::line(path, line + 1, reason)))
            .collect();
        let rows = rows?;
        if rows.len() < ROWS {
            return Err(Bsm1Error::line(path, rows.len() + 1, format!("ends before row {ROWS} (fourteen days)")));
        }
        Ok(Noise::Columns(rows.into()))
    }

    /// Value of a channel at a time, s.
    #[must_use]
    pub fn at(&self, channel: usize, time_s: f64) -> f64 {
        let place = time_s / GRID_S as f64;
        let minute = place.floor();
        let share = place - minute;
        let here = self.on_grid(channel, minute as u64);
        if share == 0.0 { here } else { here + share * (self.on_grid(channel, minute as u64 + 1) - here) }
    }

    fn on_grid(&self, channel: usize, minute: u64) -> f64 {
        match self {
            Noise::None => 0.0,
            // A run longer than the file begins again.
            Noise::Columns(rows) => {
                let later = (channel / COLUMNS) as u64 * COLUMN_SHIFT_MIN;
                rows[((minute + later) % rows.len() as u64) as usize][channel % COLUMNS]
            }
            Noise::Seeded(seed) => {
                let place = minute.wrapping_mul(1024).wrapping_add(channel as u64);
                Rng::new(seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)), "bsm1 sensor noise").gauss()
            }
        }
    }
}

fn parse_row(text: &str) -> Result<[f64; COLUMNS], String> {
    let mut fields = text.split(',').skip(1);
    let mut row = [0.0_f64; COLUMNS];
    for value in &mut row {
        let field = fields.next().ok_or_else(|| format!("fewer than {} fields", COLUMNS + 1))?;
        *value = field.trim().parse().map_err(|_| format!("`{field}` is not a number"))?;
        if !value.is_finite() {
            return Err(format!("{field} is not a finite number"));
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_noise_is_white_standard_and_repeats() {
        let noise = Noise::Seeded(7);
        let draws: Vec<f64> = (0..20_000).map(|m| noise.at(3, f64::from(m) * 60.0)).collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let neighbours = draws.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05 && neighbours.abs() < 0.03);
        let channels = (0..20_000).map(|m| noise.at(4, f64::from(m) * 60.0) * draws[m as usize]).sum::<f64>() / n;
        assert!(channels.abs() < 0.03, "channels are related: {channels}");
        assert_eq!(Noise::Seeded(7).at(3, 600.0), draws[10]);
        assert!((noise.at(3, 630.0) - (draws[10] + draws[11]) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn rows_need_ten_columns() {
        assert_eq!(parse_row("0,1,2,3,4,5,6,7,8,9,10").unwrap()[9], 10.0);
        assert!(parse_row("0,1,2").is_err() && parse_row("0,1,2,3,4,5,6,7,8,9,x").is_err());
    }
}
