//! Statistics of a moving window in bounded memory.
//!
//! Each value counts for the time step it was held, so the mean is `1/t·∫x dt` and the deviation
//! `√(1/t·∫(x − mean)² dt)`. Values are gathered in spans of a 120th of the window; the oldest span leaves as a whole, so
//! the window is `t` to within that. Spans are joined by the pairwise formulas of Chan, Golub and LeVeque, *Updating
//! formulae and a pairwise algorithm for computing sample variances* (1979), which lose no digits on a large mean.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, result};
use super::memory::Pass;
use rhai::Dynamic;
use std::collections::VecDeque;

/// Spans of a full window.
const SPANS: usize = 120;
/// Spans kept at most: a window that grows keeps its finer, older spans until they are joined in pairs.
const SPANS_MAX: usize = 2 * SPANS;
/// Rounding of summed time steps, s.
const TIME_ROUNDING: f64 = 1e-6;

/// What is known of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    /// Length, s.
    pub time: f64,
    pub mean: f64,
    /// ∫(x − mean)² dt
    pub square: f64,
    pub min: f64,
    pub max: f64,
}

impl Span {
    fn join(self, other: Span) -> Span {
        let time = self.time + other.time;
        let (difference, share) = (other.mean - self.mean, other.time / time);
        Span {
            time,
            mean: bounded(self.mean + difference * share),
            square: bounded(self.square + other.square + difference * difference * self.time * share),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Population standard deviation.
    pub fn deviation(&self) -> f64 {
        (self.square / self.time).max(0.0).sqrt()
    }
}

/// The last `t` seconds of a value.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    spans: VecDeque<Span>,
}

impl Default for Window {
    fn default() -> Self {
        Window { spans: VecDeque::with_capacity(SPANS_MAX + 1) }
    }
}

impl Window {
    /// Takes `x` for the last `dt` seconds; the statistics of the last `t` (above 0) seconds with it.
    pub fn run(&mut self, x: f64, t: f64, dt: f64) -> Span {
        let now = Span { time: dt.min(t), mean: bounded(x), square: 0.0, min: x, max: x };
        let width = t / SPANS as f64;
        match self.spans.back_mut() {
            Some(last) if last.time + now.time <= width + TIME_ROUNDING => *last = last.join(now),
            _ => self.spans.push_back(now),
        }
        if self.spans.len() > SPANS_MAX {
            self.halve();
        }
        let mut total: f64 = self.spans.iter().map(|s| s.time).sum();
        while let Some(oldest) = self.spans.front().filter(|_| self.spans.len() > 1)
            && total - oldest.time + TIME_ROUNDING >= t
        {
            total -= oldest.time;
            self.spans.pop_front();
        }
        self.spans.iter().copied().reduce(Span::join).unwrap_or(now)
    }

    /// Joins spans in pairs.
    fn halve(&mut self) {
        let count = self.spans.len();
        for i in 0..count / 2 {
            self.spans[i] = self.spans[2 * i].join(self.spans[2 * i + 1]);
        }
        if count % 2 == 1 {
            self.spans[count / 2] = self.spans[count - 1];
        }
        self.spans.truncate(count.div_ceil(2));
    }

    pub fn clear(&mut self) {
        self.spans.clear();
    }
}

impl FunctionBlock for Window {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let t = call.time_above_0("t", "it is the length of the window")?.ok_or("`t` is missing")?;
        let seen = self.run(call.x(0)?, t, call.dt);
        Ok(result([
            ("mean", seen.mean.into()),
            ("min", seen.min.into()),
            ("max", seen.max.into()),
            ("std", seen.deviation().into()),
            ("filled", (seen.time / t).min(1.0).into()),
        ]))
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        self.clear();
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        let rows = self.spans.iter().map(|s| [s.time, s.mean, s.square, s.min, s.max]);
        let Some(rows) = pass.rows("spans", rows, SPANS_MAX) else { return };
        if rows.iter().any(|[time, _, square, ..]| *time <= 0.0 || *square < 0.0) {
            pass.refuse("`spans` has one of no time");
        }
        self.clear();
        self.spans.extend(rows.into_iter().map(|[time, mean, square, min, max]| Span { time, mean, square, min, max }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_whole_steps_holds_the_statistics_of_its_last_values() {
        let mut window = Window::default();
        let mut seen = Vec::new();
        for k in 0_u32..500 {
            // A large mean, where sums of squares would have lost the deviation.
            let x = 1e6 + f64::from(k * 7_919 % 101);
            seen.push(x);
            let span = window.run(x, 60.0, 1.0);
            let last = &seen[seen.len().saturating_sub(60)..];
            let n = last.len() as f64;
            let mean = last.iter().sum::<f64>() / n;
            let deviation = (last.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            assert!((span.mean - mean).abs() < 1e-6 && (span.deviation() - deviation).abs() < 1e-6, "{span:?}");
            assert_eq!(span.min, last.iter().copied().fold(f64::MAX, f64::min));
            assert_eq!(span.max, last.iter().copied().fold(f64::MIN, f64::max));
        }
    }

    #[test]
    fn a_ramp_has_the_deviation_of_its_length() {
        // A straight line over t: mean at its middle, deviation slope·t/√12; steps of 50 ms over 600 s are 12 000 values.
        let (mut window, slope, t, dt) = (Window::default(), 0.2, 600.0, 0.05);
        let mut last = window.run(0.0, t, dt);
        for k in 1_u32..40_000 {
            last = window.run(slope * f64::from(k) * dt, t, dt);
        }
        let end = slope * 39_999.0 * dt;
        assert!((last.time - t).abs() <= t / SPANS as f64 + 0.1, "{last:?}");
        assert!((last.mean - (end - slope * last.time / 2.0)).abs() < slope * dt, "{last:?}");
        assert!((last.deviation() - slope * last.time / 12.0_f64.sqrt()).abs() < 0.01, "{}", last.deviation());
    }

    #[test]
    fn a_window_may_grow_and_shrink_within_its_memory() {
        let mut window = Window::default();
        for k in 0_u32..20_000 {
            window.run(f64::from(k), 10.0 + f64::from(k), 0.5);
            assert!(window.spans.len() <= SPANS_MAX);
        }
        let short = window.run(5.0, 1.0, 1.0);
        assert_eq!((short.mean, short.min, short.max, window.spans.len()), (5.0, 5.0, 5.0, 1));
    }
}
