//! Whether a loop swings: how regular the times are between two crossings of its set-point.
//!
//! ```text
//! regularity = mean(T) / (3 · σ(T))          T: time between two crossings
//! ```
//!
//! Above 1 the crossings are too regular to be chance: the loop oscillates with the period 2 · mean(T). Thornhill, Huang &
//! Zhang, *Detection of multiple oscillations in control loops*, J. Process Control 13, 2003. Noise that crosses in bursts gives
//! short and irregular times, a slow day long ones.

/// Fewer crossings say nothing.
const CROSSINGS_MIN: u64 = 10;

/// The crossings of one loop, as sums.
#[derive(Debug, Clone, Copy, Default)]
pub struct Swing {
    above: Option<bool>,
    /// Looks since the last crossing; none before the first.
    since: Option<f64>,
    times: u64,
    sum: f64,
    squares: f64,
}

impl Swing {
    /// Takes the error of a look; `None` breaks the time that runs.
    pub fn add(&mut self, error: Option<f64>) {
        let Some(error) = error else {
            *self = Swing { above: None, since: None, ..*self };
            return;
        };
        self.since = self.since.map(|since| since + 1.0);
        let above = error > 0.0;
        if error == 0.0 || self.above == Some(above) {
            return;
        }
        // The first sign is no crossing.
        if self.above.replace(above).is_none() {
            return;
        }
        if let Some(since) = self.since.replace(0.0) {
            self.times += 1;
            self.sum += since;
            self.squares += since * since;
        }
    }

    /// Regularity and period in looks, once there are crossings enough.
    #[expect(clippy::cast_precision_loss, reason = "crossings of a run")]
    pub fn found(&self) -> Option<(f64, f64)> {
        if self.times < CROSSINGS_MIN {
            return None;
        }
        let n = self.times as f64;
        let mean = self.sum / n;
        // A spread below half a look is not seen: looks are what times are counted in.
        let sigma = (self.squares / n - mean * mean).max(0.25).sqrt();
        Some((mean / (3.0 * sigma), 2.0 * mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Fn(f64) -> f64) -> Option<(f64, f64)> {
        let mut swing = Swing::default();
        (0..20_000).for_each(|i| swing.add(Some(error(f64::from(i)))));
        swing.found()
    }

    #[test]
    fn a_swing_is_told_from_noise_and_from_rest() {
        let (regular, period) = of(|t| (t / 40.0).sin()).unwrap();
        assert!(regular > 5.0 && (period - 251.3).abs() < 2.0, "{regular} {period}");
        let (regular, _) = of(|t| ((t * 12.9898).sin() * 43_758.547).fract().abs() - 0.5).unwrap();
        assert!(regular < 1.0, "noise: {regular}");
        assert_eq!(of(|_| 0.3), None);
        assert_eq!(of(|t| if t < 10_000.0 { 1.0 } else { -1.0 }), None, "one crossing is no swing");
    }

    #[test]
    fn a_gap_is_no_time_between_two_crossings() {
        let mut swing = Swing::default();
        for i in 0..4_000 {
            let gap = i % 1_000 > 900;
            swing.add((!gap).then(|| if i / 25 % 2 == 0 { 1.0 } else { -1.0 }));
        }
        let (regular, period) = swing.found().unwrap();
        assert!(regular > 5.0 && (period - 50.0).abs() < 0.5, "{regular} {period}");
    }
}
