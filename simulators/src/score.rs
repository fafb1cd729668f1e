//! What a run of a plant came to by the truth, which no instrument sees: indices, violations of limits, daily means.

use serde::Serialize;

/// Most samples of a run that are kept, 15 min apart: a year, as long as the longest run in virtual time. A plant that
/// runs on forgets its oldest.
pub const SAMPLES_MAX: usize = 366 * 96;

/// One figure of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Short name, as `eqi`.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Unit; empty for a share or a count.
    pub unit: &'static str,
    /// Value.
    pub value: f64,
}

/// How a limit was kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitKept {
    /// What is limited, as `nh4`.
    pub name: &'static str,
    /// Unit of limit and means.
    pub unit: &'static str,
    /// The limit.
    pub limit: f64,
    /// Share of the samples above it, %.
    pub over_pct: f64,
    /// How often it was crossed upwards.
    pub crossings: u64,
    /// Value that 95 % of the samples do not exceed.
    pub p95: f64,
    /// Greatest sample.
    pub max: f64,
    /// Days whose flow-weighted mean lies above the limit.
    pub days_over: u64,
    /// Greatest flow-weighted mean of a full day; absent without a full day.
    pub worst_day: Option<f64>,
}

/// Everything a run came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Score {
    /// Figures, the most telling ones first.
    pub figures: Vec<Figure>,
    /// Limits.
    pub limits: Vec<LimitKept>,
}

impl Score {
    /// Adds a figure.
    pub fn add(&mut self, name: &'static str, title: &'static str, unit: &'static str, value: f64) {
        self.figures.push(Figure { name, title, unit, value });
    }

    /// The value of a figure.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

/// A row of samples of one quantity with the water they stand for.
#[derive(Debug, Clone, Default)]
pub struct Column {
    rows: Vec<(f64, f64)>,
}

impl Column {
    /// Adds a sample and the flow it stands for.
    pub fn add(&mut self, value: f64, flow: f64) {
        self.rows.push((value, flow.max(0.0)));
    }

    /// Flow-weighted mean; 0 without water.
    #[must_use]
    pub fn mean(&self) -> f64 {
        weighted(&self.rows)
    }

    /// How a limit was kept; `per_day` samples make a day.
    #[must_use]
    pub fn kept(&self, name: &'static str, unit: &'static str, limit: f64, per_day: usize) -> LimitKept {
        let over = self.rows.iter().filter(|(value, _)| *value > limit).count();
        let days: Vec<f64> = self.rows.chunks_exact(per_day).map(weighted).collect();
        let mut sorted: Vec<f64> = self.rows.iter().map(|(value, _)| *value).collect();
        sorted.sort_by(f64::total_cmp);
        let place = (0.95 * sorted.len() as f64).ceil() as usize;
        LimitKept {
            name,
            unit,
            limit,
            over_pct: 100.0 * over as f64 / self.rows.len().max(1) as f64,
            crossings: self.rows.windows(2).filter(|w| w[0].0 <= limit && w[1].0 > limit).count() as u64,
            p95: sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0),
            max: sorted.last().copied().unwrap_or(0.0),
            days_over: days.iter().filter(|mean| **mean > limit).count() as u64,
            worst_day: days.into_iter().reduce(f64::max),
        }
    }
}

fn weighted(rows: &[(f64, f64)]) -> f64 {
    let water: f64 = rows.iter().map(|(_, flow)| flow).sum();
    if water > 0.0 { rows.iter().map(|(value, flow)| value * flow).sum::<f64>() / water } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_judged_by_samples_and_by_days() {
        let mut column = Column::default();
        // Two days of four samples, one of them far over but with little water; half a day more.
        for (value, flow) in
            [(1.0, 1.0), (9.0, 0.1), (1.0, 1.0), (1.0, 1.0), (6.0, 1.0), (6.0, 1.0), (4.0, 1.0), (6.0, 1.0)]
        {
            column.add(value, flow);
        }
        column.add(20.0, 1.0);
        let kept = column.kept("x", "mg/L", 5.0, 4);
        assert!((kept.over_pct - 100.0 * 5.0 / 9.0).abs() < 1e-9);
        assert_eq!((kept.crossings, kept.days_over, kept.max, kept.p95), (3, 1, 20.0, 20.0));
        assert!((kept.worst_day.unwrap() - 5.5).abs() < 1e-12);
        assert!((column.mean() - (3.0 + 0.9 + 22.0 + 20.0) / 8.1).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_nothing() {
        let kept = Column::default().kept("x", "", 5.0, 96);
        assert_eq!((kept.over_pct, kept.crossings, kept.worst_day), (0.0, 0, None));
        assert_eq!(Column::default().mean(), 0.0);
        let mut score = Score::default();
        score.add("a", "A", "kg", 2.0);
        assert_eq!((score.get("a"), score.get("b")), (Some(2.0), None));
    }
}
