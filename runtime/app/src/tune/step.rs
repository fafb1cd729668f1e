//! The model of a step test: first order with dead time, fitted to what was seen.
//!
//! ```text
//! measured(t) = level + drift · t + gain · y(t)        lag · dy/dt = u(t − dead) − y
//! ```
//!
//! Level, drift and gain follow from linear least squares for each pair of lag and dead time; the pair is searched on a
//! grid and then more and more finely around the best. The drift takes up what the day does meanwhile.

use super::rules::Process;

/// Most samples that a fit looks at; more are thinned out.
const SAMPLES_MAX: usize = 1_500;
/// Points of the grid along each side.
const GRID: i32 = 14;
/// Rounds of refinement: each halves the width.
const ROUNDS: u32 = 12;

/// One look: seconds, the output against where it stood before, the measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Seconds since the test began.
    pub t: f64,
    /// Output less its value before the step.
    pub u: f64,
    /// Measurement.
    pub y: f64,
}

/// What a fit found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// The process.
    pub process: Process,
    /// Drift of the measurement that is not the output's work, per hour.
    pub drift_h: f64,
    /// Share of the variation that the model explains: 1 is all of it.
    pub explained: f64,
    /// Standard deviation of what is left, in the measurement's unit.
    pub noise: f64,
}

/// Fits a process to looks at a steady rate; `None` where the output never moved or there are too few.
pub fn fit(looks: &[Look]) -> Option<Fit> {
    let every = looks.len().div_ceil(SAMPLES_MAX).max(1);
    let looks: Vec<Look> = looks.iter().step_by(every).copied().collect();
    let (first, last) = (looks.first()?, looks.last()?);
    let span = last.t - first.t;
    if looks.len() < 20 || span <= 0.0 || looks.iter().all(|look| look.u == 0.0) {
        return None;
    }
    let dt = span / (looks.len() - 1) as f64;
    let mut best: Option<(f64, f64, Line)> = None;
    let take = |lag: f64, dead: f64, best: &mut Option<(f64, f64, Line)>| {
        let (lag, dead) = (lag.clamp(dt / 4.0, span), dead.clamp(0.0, span / 3.0));
        let Some(line) = line(&looks, dt, lag, dead) else { return };
        if best.as_ref().is_none_or(|(_, _, known)| line.left < known.left) {
            *best = Some((lag, dead, line));
        }
    };
    for i in 0..=GRID {
        // Even in the logarithm: from the rate of the looks to the length of the test.
        let lag = dt * (span / dt).powf(f64::from(i) / f64::from(GRID));
        for j in 0..=GRID {
            take(lag, span / 3.0 * (f64::from(j) / f64::from(GRID)).powi(2), &mut best);
        }
    }
    let (mut width, mut step) = ((span / dt).powf(1.0 / f64::from(GRID)), span / 3.0 / f64::from(GRID));
    for _ in 0..ROUNDS {
        let (lag, dead, _) = best?;
        for (a, b) in [(width, 0.0), (1.0 / width, 0.0), (1.0, step), (1.0, -step), (width, -step), (1.0 / width, step)]
        {
            take(lag * a, dead + b, &mut best);
        }
        width = width.sqrt();
        step /= 2.0;
    }
    let (lag_s, dead_s, line) = best?;
    let noise = (line.left / looks.len() as f64).sqrt();
    let explained = if line.all > 0.0 { 1.0 - line.left / line.all } else { 0.0 };
    Some(Fit { process: Process { gain: line.gain, lag_s, dead_s }, drift_h: line.drift * 3600.0, explained, noise })
}

/// A linear fit for one pair of lag and dead time.
#[derive(Debug, Clone, Copy)]
struct Line {
    gain: f64,
    drift: f64,
    /// Sum of the squares that are left, and that there were beyond level and drift.
    left: f64,
    all: f64,
}

fn line(looks: &[Look], dt: f64, lag: f64, dead: f64) -> Option<Line> {
    let fade = (-dt / lag).exp();
    let mut y = 0.0;
    let mut shape = Vec::with_capacity(looks.len());
    for i in 0..looks.len() {
        // The output as it was `dead` ago; it stood still before the test.
        let back = i as f64 - dead / dt;
        let u = if back < 0.0 { 0.0 } else { looks[back as usize].u };
        y = u + (y - u) * fade;
        shape.push(y);
    }
    // Level and drift are taken out of both, what is left is a line through the origin.
    let t: Vec<f64> = looks.iter().map(|look| look.t).collect();
    let x = without_trend(&t, &shape).0;
    let (z, slope_z) = without_trend(&t, &looks.iter().map(|look| look.y).collect::<Vec<_>>());
    let slope_x = without_trend(&t, &shape).1;
    let xx: f64 = x.iter().map(|x| x * x).sum();
    if xx <= f64::EPSILON {
        return None;
    }
    let gain = x.iter().zip(&z).map(|(x, z)| x * z).sum::<f64>() / xx;
    let left = x.iter().zip(&z).map(|(x, z)| (z - gain * x).powi(2)).sum();
    Some(Line { gain, drift: slope_z - gain * slope_x, left, all: z.iter().map(|z| z * z).sum() })
}

/// What is left of a row of numbers without its mean and its slope, and the slope.
fn without_trend(t: &[f64], y: &[f64]) -> (Vec<f64>, f64) {
    let n = t.len() as f64;
    let (mt, my) = (t.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let tt: f64 = t.iter().map(|t| (t - mt).powi(2)).sum();
    let slope = if tt > 0.0 { t.iter().zip(y).map(|(t, y)| (t - mt) * (y - my)).sum::<f64>() / tt } else { 0.0 };
    (t.iter().zip(y).map(|(t, y)| y - my - slope * (t - mt)).collect(), slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test on a known process: up, down and back, with a drift and noise of a fixed pattern.
    fn seen(gain: f64, lag: f64, dead: f64, drift_h: f64, noise: f64) -> Vec<Look> {
        let (dt, quarter) = (1.0, 6.0 * (lag + dead));
        let (mut y, mut looks) = (0.0, Vec::new());
        let u_at = |t: f64| match t {
            t if t < quarter => 0.0,
            t if t < 2.0 * quarter => 5.0,
            t if t < 3.0 * quarter => -5.0,
            _ => 0.0,
        };
        let mut t = 0.0;
        while t < 4.0 * quarter {
            let u = u_at(t - dead);
            y = u + (y - u) * (-dt / lag).exp();
            let ripple = noise * ((t * 12.9898).sin() * 43_758.547).fract();
            looks.push(Look { t, u: u_at(t), y: 2.0 + drift_h * t / 3600.0 + gain * y + ripple });
            t += dt;
        }
        looks
    }

    #[test]
    fn a_known_process_is_found_through_drift_and_noise() {
        for (gain, lag, dead, drift, noise) in [
            (0.4, 120.0, 30.0, 0.0, 0.0),
            (0.4, 120.0, 30.0, 1.5, 0.2),
            (-3.0, 20.0, 40.0, -2.0, 1.0),
            (1.0, 600.0, 0.0, 0.0, 0.3),
        ] {
            let found = fit(&seen(gain, lag, dead, drift, noise)).unwrap();
            let near = |a: f64, b: f64, slack: f64| (a - b).abs() <= slack;
            let p = found.process;
            assert!(near(p.gain, gain, 0.05 * gain.abs()), "{found:?} for {gain} {lag} {dead}");
            assert!(
                near(p.lag_s, lag, 0.12 * lag) && near(p.dead_s, dead, 4.0 + 0.1 * lag),
                "{found:?} for {lag} {dead}"
            );
            assert!(near(found.drift_h, drift, 0.2) && found.explained > 0.9, "{found:?}");
        }
    }

    #[test]
    fn what_shows_nothing_is_no_model() {
        assert_eq!(fit(&[]), None);
        let still: Vec<Look> = (0..500).map(|i| Look { t: f64::from(i), u: 0.0, y: 1.0 }).collect();
        assert_eq!(fit(&still), None);
        let deaf: Vec<Look> = seen(0.0, 60.0, 10.0, 0.0, 1.0);
        assert!(fit(&deaf).is_none_or(|found| found.explained < 0.2), "{:?}", fit(&deaf));
    }
}
