//! How fast the plants run on one core of this machine.

use std::fmt;
use std::time::Instant;

use crate::bsm1::influent::Series;
use crate::bsm1::noise::Noise;
use crate::bsm1::plant::Plant as BenchmarkPlant;
use crate::models::wet::Weather;
use crate::models::works::Works;
use crate::plant::Plant;
use crate::simulation::Simulation;

/// Monday noon in June: every machine and the sun are at work.
const START_UNIX_S: i64 = 1_781_496_000;

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Speed {
    /// What ran.
    pub title: &'static str,
    /// Simulated seconds per second.
    pub times_real: f64,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{:.0}", self.title, self.times_real)
    }
}

fn timed(title: &'static str, seconds: f64, run: impl FnOnce()) -> Speed {
    let begin = Instant::now();
    run();
    Speed { title, times_real: seconds / begin.elapsed().as_secs_f64() }
}

/// Runs every plant for a while.
#[must_use]
pub fn measure() -> Vec<Speed> {
    let mut open = BenchmarkPlant::new(Works::settled());
    let mut closed = BenchmarkPlant::new(Works::settled());
    closed.close_loops();
    closed.begin(Series::constant(), Noise::Seeded(1));
    let mut works = Plant::new(1, START_UNIX_S, Weather::Dry);
    let mut fine = works.clone();
    let mut devices = Simulation::new(1, START_UNIX_S);
    let mut fine_devices = Simulation::new(1, START_UNIX_S);
    let day = 86_400.0;
    vec![
        timed("BSM1, open loop", 28.0 * day, || open.advance(28 * 86_400)),
        timed("BSM1, default loops with noise", 28.0 * day, || closed.advance(28 * 86_400)),
        timed("Jinan works, steps of 1 s", day, || (0..86_400).for_each(|_| works.step(1.0))),
        timed("Jinan works, steps of 0.1 s", 0.25 * day, || (0..216_000).for_each(|_| fine.step(0.1))),
        timed("Jinan works with devices, steps of 1 s", day, || (0..86_400).for_each(|_| devices.step(1.0, 1.0))),
        timed("Jinan works with devices, steps of 0.1 s", 0.25 * day, || {
            (0..216_000).for_each(|_| fine_devices.step(0.1, 0.1));
        }),
    ]
}
