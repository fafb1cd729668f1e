//! A relay test: the output jumps between two values by the sign of the deviation, and the loop swings at its own period.
//!
//! ```text
//! Ku = |U1| / |Y1|        first harmonics of output and measurement at the period of the swing
//! ```
//!
//! Åström & Hägglund, *Automatic tuning of simple regulators with specifications on phase and amplitude margins*,
//! Automatica 20, 1984. For an output that jumps U1 is their 4 d / π; taken from what the output really did it also holds where
//! a limit of its rate makes it a ramp. The band is a hysteresis that keeps noise from switching.

use super::rules::Ultimate;
use super::step::Look;

/// A relay as it runs.
#[derive(Debug, Clone)]
pub struct Relay {
    centre: f64,
    band: f64,
    /// +1 where more output raises the measurement, −1 where it lowers it; `None` until that was seen.
    sign: Option<f64>,
    /// The relay stands above.
    up: bool,
    /// Seconds at which it switched up.
    rises: Vec<f64>,
}

impl Relay {
    /// Around a measurement, with a hysteresis of `band` on either side.
    pub fn new(centre: f64, band: f64) -> Relay {
        Relay { centre, band, sign: None, up: true, rises: Vec::new() }
    }

    /// Whether the output is to stand above, after a look at the measurement.
    pub fn look(&mut self, t: f64, y: f64) -> bool {
        let off = y - self.centre;
        // The first jump shows which way the process acts. It has to leave the noise well behind.
        let Some(sign) = self.sign else {
            if off.abs() > 2.0 * self.band {
                self.sign = Some(off.signum());
            }
            return true;
        };
        let off = off * sign;
        if self.up && off > self.band {
            self.up = false;
        } else if !self.up && off < -self.band {
            self.up = true;
            self.rises.push(t);
        }
        self.up
    }

    /// Full cycles so far.
    pub fn cycles(&self) -> usize {
        self.rises.len().saturating_sub(1)
    }

    /// The measurement falls where the output rises.
    pub fn falls(&self) -> bool {
        self.sign == Some(-1.0)
    }

    /// What the looks of the test say about its cycles; the first one is left out, it still carries how the test began. With
    /// it the share by which periods differ: near 0 is a clean limit cycle.
    #[expect(clippy::cast_precision_loss, reason = "cycles of a test")]
    pub fn found(&self, looks: &[Look]) -> Option<(Ultimate, f64)> {
        let rises = self.rises.get(1..)?;
        let (begin, end) = (rises.first()?, rises.last()?);
        let periods: Vec<f64> = rises.windows(2).map(|two| two[1] - two[0]).collect();
        if periods.is_empty() {
            return None;
        }
        let period_s = (end - begin) / periods.len() as f64;
        let whole: Vec<&Look> = looks.iter().filter(|look| look.t >= *begin && look.t < *end).collect();
        let (u, y) =
            (harmonic(&whole, period_s, |look| look.u), harmonic(&whole, period_s, |look| look.y - self.centre));
        // A swing that noise could be is none.
        if y <= self.band / 2.0 || u <= 0.0 {
            return None;
        }
        let spread = periods.iter().map(|p| (p - period_s).abs()).fold(0.0, f64::max) / period_s;
        Some((Ultimate { gain: u / y, period_s }, spread))
    }
}

/// Amplitude of the first harmonic over whole periods.
#[expect(clippy::cast_precision_loss, reason = "looks of a test")]
fn harmonic(looks: &[&Look], period_s: f64, of: impl Fn(&Look) -> f64) -> f64 {
    let n = looks.len().max(1) as f64;
    let mean = looks.iter().map(|look| of(look)).sum::<f64>() / n;
    let part = |shift: f64| {
        let angle = |look: &Look| std::f64::consts::TAU * look.t / period_s + shift;
        2.0 / n * looks.iter().map(|look| (of(look) - mean) * angle(look).sin()).sum::<f64>()
    };
    part(0.0).hypot(part(std::f64::consts::FRAC_PI_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_border_of_stability_of_a_known_process() {
        // Lag 60 s, dead time 20 s, gain ±2. At the border ω: atan(60 ω) + 20 ω = π, ω = 0.0889: Pu = 70.7 s, and
        // Ku = √(1 + (60 ω)²) / 2 = 2.71. A relay sees the first harmonic alone: some percent off.
        for gain in [2.0, -2.0] {
            let (amplitude, dt) = (1.0, 0.5);
            let mut relay = Relay::new(10.0, 0.05);
            let (mut y, mut line, mut t, mut looks) = (0.0, vec![0.0; 40], 0.0, Vec::new());
            while relay.cycles() < 6 && t < 5_000.0 {
                let u = if relay.look(t, 10.0 + gain * y) { amplitude } else { -amplitude };
                looks.push(Look { t, u, y: 10.0 + gain * y });
                line.push(u);
                let late = line.remove(0);
                y = late + (y - late) * f64::exp(-dt / 60.0);
                t += dt;
            }
            let (found, spread) = relay.found(&looks).unwrap();
            assert!((found.period_s - 70.7).abs() < 7.0 && (found.gain - 2.71).abs() < 0.5, "{found:?}");
            assert!(spread < 0.05 && relay.falls() == (gain < 0.0), "{spread}");
        }
    }

    #[test]
    fn noise_within_the_band_switches_nothing_and_finds_nothing() {
        let mut relay = Relay::new(1.0, 0.1);
        for i in 0..1_000 {
            assert!(relay.look(f64::from(i), 1.0 + 0.09 * f64::from(i % 3 - 1)));
        }
        assert_eq!((relay.cycles(), relay.found(&[])), (0, None));
    }
}
