//! Influent files of the benchmark: fourteen days of 15-minute rows, each of which holds until the next.

use std::fs;
use std::path::Path;

use super::Bsm1Error;
use crate::clock::PlantClock;
use crate::models::asm1::{Mix, STATES};
use crate::models::influent::{FLOW_MEAN_M3_D, Inflow, Influent};
use crate::models::wet::Weather;

/// Time a row holds, s.
pub const ROW_S: u64 = 900;
/// Rows of a file of fourteen days.
pub const ROWS: usize = 14 * 96;
/// Rows of a week.
const WEEK: usize = 7 * 96;
/// Most rows kept of a series that another one follows: ten years.
const MOST: usize = 3653 * 96;
/// Concentrations of the constant influent.
pub const CONSTANT: Mix = [30.0, 69.5, 51.2, 202.32, 28.17, 0.0, 0.0, 0.0, 0.0, 31.56, 6.95, 10.59, 7.0];
const HEADER: &str = "t_d,SI,SS,XI,XS,XBH,XBA,XP,SO,SNO,SNH,SND,XND,SALK,TSS,Q";
/// Column of the flow, after the time, the states and the suspended solids (which follow from the states).
const FLOW_COLUMN: usize = STATES + 2;

/// Influent over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    rows: Vec<Inflow>,
}

impl Series {
    /// The constant influent.
    #[must_use]
    pub fn constant() -> Series {
        Series { rows: vec![Inflow { q: FLOW_MEAN_M3_D, mix: CONSTANT }] }
    }

    /// Rows of 15 minutes. An empty list is the constant influent.
    #[must_use]
    pub fn from_rows(rows: Vec<Inflow>) -> Series {
        if rows.is_empty() { Series::constant() } else { Series { rows } }
    }

    /// Reads a file of fourteen days.
    ///
    /// # Errors
    /// [`Bsm1Error`] where the file cannot be read, is short, or a row is not what the header says.
    pub fn read(path: &Path) -> Result<Series, Bsm1Error> {
        let text = fs::read_to_string(path).map_err(|source| Bsm1Error::read(path, source))?;
        let rows = parse(&text).map_err(|(line, reason)| Bsm1Error::line(path, line, reason))?;
        if rows.len() < ROWS {
            return Err(Bsm1Error::line(path, rows.len() + 1, format!("ends before row {ROWS} (fourteen days)")));
        }
        Ok(Series { rows })
    }

    /// Days of our own generator: `days` from `start_unix_s` on, in rows of 15 minutes as in the benchmark's files.
    #[must_use]
    pub fn generated(seed: u64, weather: Weather, start_unix_s: i64, days: u32) -> Series {
        let mut clock = PlantClock::new(start_unix_s);
        let mut influent = Influent::new(seed, weather, start_unix_s);
        let rows = (0..u64::from(days) * 86_400 / ROW_S).map(|_| {
            let row = influent.step(&clock, ROW_S as f64);
            clock.advance(ROW_S as f64);
            row
        });
        Series::from_rows(rows.collect())
    }

    /// These rows up to a time, s, and those of `later` (from its beginning) from there on.
    #[must_use]
    pub fn followed_by(&self, time_s: u64, later: &Series) -> Series {
        let rows = usize::try_from(time_s.div_ceil(ROW_S)).unwrap_or(usize::MAX);
        let kept = (0..rows.min(MOST)).map(|row| *self.at(row as u64 * ROW_S));
        Series { rows: kept.chain(later.rows.iter().copied()).collect() }
    }

    /// What flows in at a time after the start, s. After the end the last week comes again and again; where there is no
    /// week, the last row holds on.
    #[must_use]
    pub fn at(&self, time_s: u64) -> &Inflow {
        let row = usize::try_from(time_s / ROW_S).unwrap_or(usize::MAX);
        let count = self.rows.len();
        if row < count {
            &self.rows[row]
        } else if count >= WEEK {
            &self.rows[count - WEEK + (row - count) % WEEK]
        } else {
            &self.rows[count - 1]
        }
    }
}

fn parse(text: &str) -> Result<Vec<Inflow>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, header)| header.trim()) != Some(HEADER) {
        return Err((1, format!("expected the header {HEADER}")));
    }
    lines.enumerate().map(|(row, (line, text))| parse_row(text, row).map_err(|reason| (line + 1, reason))).collect()
}

fn parse_row(text: &str, row: usize) -> Result<Inflow, String> {
    let mut values = [0.0_f64; FLOW_COLUMN + 1];
    let mut count = 0;
    for field in text.split(',') {
        let value: f64 = field.trim().parse().map_err(|_| format!("`{field}` is not a number"))?;
        if !value.is_finite() || value < 0.0 {
            return Err(format!("{value} is not a concentration, flow or time"));
        }
        *values.get_mut(count).ok_or_else(|| format!("more than {} fields", FLOW_COLUMN + 1))? = value;
        count += 1;
    }
    if count != values.len() {
        return Err(format!("{count} fields instead of {}", values.len()));
    }
    // The files round their time to 1e-9 d.
    let expected = row as f64 / 96.0;
    if (values[0] - expected).abs() > 1e-4 {
        return Err(format!("time {} d instead of {expected:.6} d", values[0]));
    }
    Ok(Inflow { q: values[FLOW_COLUMN], mix: std::array::from_fn(|i| values[i + 1]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "30,69.5,51.2,202.32,28.17,0,0,0,0,31.56,6.95,10.59,7,211.2675,18446";

    #[test]
    fn rows_hold_for_fifteen_minutes() {
        let text = format!("{HEADER}\n0.0,{ROW}\n0.010416667,{}\n", ROW.replace("18446", "20000"));
        let series = Series::from_rows(parse(&text).unwrap());
        assert_eq!(series.at(0).mix, CONSTANT);
        assert_eq!([0, 899, 900, 1_000_000].map(|t| series.at(t).q), [18_446.0, 18_446.0, 20_000.0, 20_000.0]);
    }

    #[test]
    fn bad_rows_name_their_line() {
        let cases = [
            ("t,Q\n".to_owned(), 1, "header"),
            (format!("{HEADER}\n0.0,{ROW}\n0.5,{ROW}\n"), 3, "time"),
            (format!("{HEADER}\n0.0,{ROW},1\n"), 2, "more than"),
            (format!("{HEADER}\n0.0,1,2\n"), 2, "3 fields"),
            (format!("{HEADER}\n0.0,{}\n", ROW.replace("31.56", "-1")), 2, "not a concentration"),
            (format!("{HEADER}\n0.0,{}\n", ROW.replace("31.56", "NaN")), 2, "not a concentration"),
            (format!("{HEADER}\n0.0,{}\n", ROW.replace("31.56", "x")), 2, "not a number"),
        ];
        for (text, line, reason) in cases {
            let (at, why) = parse(&text).unwrap_err();
            assert!(at == line && why.contains(reason), "{text}: line {at}: {why}");
        }
    }
}
