//! Settings of a PI controller from what a test found. Pure arithmetic, each rule with its source.

/// A process of first order with dead time: what a step test finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// Change of the measurement per change of the output.
    pub gain: f64,
    /// Time constant, s.
    pub lag_s: f64,
    /// Dead time, s.
    pub dead_s: f64,
}

/// The border of stability under a relay: what a relay test finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ultimate {
    /// Gain at which the loop would swing without end, output per measurement.
    pub gain: f64,
    /// Its period, s.
    pub period_s: f64,
}

/// A proposal for `pid()`: `kp` in output per measurement, `ti` in s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Where the rule stands.
    pub source: &'static str,
    /// Magnitude of the gain.
    pub kp: f64,
    /// Integral time, s.
    pub ti_s: f64,
    /// The output has to fall where the measurement lies below the set-point.
    pub reverse: bool,
}

/// Name and source of the rule for steps.
pub const SIMC: &str = "SIMC (Skogestad, J. Process Control 13, 2003)";
/// Of the rule for a relay test.
pub const TYREUS_LUYBEN: &str = "Tyreus & Luyben (Ind. Eng. Chem. Res. 31, 1992)";
/// Of the rule of steps applied to an integrator with dead time that swings like the process.
pub const SIMC_ULTIMATE: &str = "SIMC of the integrator with dead time that has this period";

/// SIMC: `kp = lag / (|gain| (tc + dead))`, `ti = min(lag, 4 (tc + dead))`. `tc` is the wanted time constant of the closed
/// loop; the dead time itself where nobody wants another one, which is tight and still robust. A program that scans every
/// `scan_s` sees and acts half of that later.
pub fn simc(process: Process, closed_s: Option<f64>, scan_s: f64) -> Settings {
    let dead = process.dead_s + scan_s / 2.0;
    // Without any dead time a loop could be as fast as one likes: a twentieth of the lag is fast enough for a pump.
    let tc = closed_s.unwrap_or_else(|| dead.max(process.lag_s / 20.0));
    let kp = process.lag_s / (process.gain.abs() * (tc + dead));
    let ti_s = process.lag_s.min(4.0 * (tc + dead));
    Settings { source: SIMC, kp, ti_s, reverse: process.gain < 0.0 }
}

/// Tyreus & Luyben: `kp = 0.31 Ku`, `ti = 2.2 Pu`; and what SIMC makes of the same: with `dead = Pu / 4` and the integrating
/// gain `2 π / (Pu Ku)` it is `kp = Ku / π`, `ti = 2 Pu`.
pub fn of_relay(ultimate: Ultimate, falls: bool) -> [Settings; 2] {
    let reverse = falls;
    [
        Settings { source: TYREUS_LUYBEN, kp: ultimate.gain / 3.2, ti_s: 2.2 * ultimate.period_s, reverse },
        Settings {
            source: SIMC_ULTIMATE,
            kp: ultimate.gain / std::f64::consts::PI,
            ti_s: 2.0 * ultimate.period_s,
            reverse,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simc_is_that_of_its_paper() {
        // g = e^-s / (10 s + 1): kp = 10 / 2 = 5, ti = min(10, 8) = 8 with tc = dead = 1.
        let process = Process { gain: 1.0, lag_s: 10.0, dead_s: 1.0 };
        let found = simc(process, None, 0.0);
        assert!((found.kp - 5.0).abs() < 1e-12 && (found.ti_s - 8.0).abs() < 1e-12 && !found.reverse, "{found:?}");
        // A slow scan is a dead time; a slower loop was asked for; the process acts the other way.
        let found = simc(Process { gain: -2.0, ..process }, Some(4.0), 2.0);
        assert!((found.kp - 10.0 / (2.0 * 6.0)).abs() < 1e-12 && found.ti_s == 10.0 && found.reverse, "{found:?}");
        let found = simc(Process { dead_s: 0.0, ..process }, None, 0.0);
        assert!(found.kp.is_finite() && (found.kp - 20.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_relay_gives_the_gains_of_the_tables() {
        let [luyben, simc] = of_relay(Ultimate { gain: 3.2, period_s: 100.0 }, false);
        assert!((luyben.kp - 1.0).abs() < 1e-12 && (luyben.ti_s - 220.0).abs() < 1e-9, "{luyben:?}");
        assert!((simc.kp - 1.018_59).abs() < 1e-4 && simc.ti_s == 200.0, "{simc:?}");
    }
}
