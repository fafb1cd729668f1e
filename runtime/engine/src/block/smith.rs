//! Smith predictor: what the measurement would be without the dead time of the process.
//!
//! ```text
//! t·dy/dt = gain·u − y          the process without its dead time
//! prediction = pv + y − y(delayed)
//! ```
//!
//! O. J. M. Smith, *Closer control of loops with dead time*, Chem. Eng. Progress 53 (1957). A controller that works on
//! the prediction can be tuned as if there were no dead time; only the error of the model comes back late.
//!
//! The delay is either a dead time in s, or transport through a volume: with `n += flow/volume·dt` the parcel that leaves
//! now came in one `n` ago, which is exact for plug flow at a flow that changes. Both are one line over a coordinate
//! that grows (time, or `n`), read at a distance behind its head.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, number_or_none};
use super::memory::Pass;
use rhai::Dynamic;
use std::collections::VecDeque;

/// Points of the delay line. Between them lie straight lines: with a first-order model of a time constant of a tenth of
/// the longest dead time the error is below (10/510)²/8 of a step, 0.005 %.
const POINTS: usize = 512;

/// Distance by which the delay goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Delay {
    /// Dead time and its greatest value, s.
    Time { dead_time: f64, longest: f64 },
    /// Volumes that pass per second: flow over volume.
    Flow { per_s: f64 },
}

impl Delay {
    /// Coordinate per second, distance behind the head, greatest distance.
    fn parts(self) -> (f64, f64, f64) {
        match self {
            Self::Time { dead_time, longest } => (1.0, dead_time.min(longest), longest),
            Self::Flow { per_s } => (per_s, 1.0, 1.0),
        }
    }
}

/// Values over a growing coordinate, back to a greatest distance, in bounded memory.
#[derive(Debug, Clone)]
struct Line {
    /// Distance behind the head, growing from front to back, and value. The front is the head itself.
    points: VecDeque<(f64, f64)>,
}

impl Line {
    fn new() -> Line {
        Line { points: VecDeque::with_capacity(POINTS + 1) }
    }

    /// Moves the head by `distance` to `value`; keeps what lies within `longest`.
    fn advance(&mut self, distance: f64, value: f64, longest: f64) {
        let apart = longest / (POINTS - 2) as f64;
        for point in &mut self.points {
            point.0 = bounded(point.0 + distance);
        }
        // A head that stands too near to the point behind it has served.
        if let (Some(head), Some(next)) = (self.points.front(), self.points.get(1))
            && next.0 - head.0 < apart
        {
            self.points.pop_front();
        }
        self.points.push_front((0.0, value));
        // One point beyond the distance is needed to read up to it.
        while self.points.len() > POINTS || self.points.iter().rev().nth(1).is_some_and(|p| p.0 > longest) {
            self.points.pop_back();
        }
    }

    /// The value at `distance` behind the head; the oldest one where the line is shorter.
    fn read(&self, distance: f64) -> Option<f64> {
        let after = self.points.partition_point(|p| p.0 < distance);
        let Some(&(far, old)) = self.points.get(after) else { return self.points.back().map(|p| p.1) };
        let Some(&(near, new)) = after.checked_sub(1).and_then(|i| self.points.get(i)) else { return Some(old) };
        Some(new + (old - new) * (distance - near) / (far - near))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Smith {
    /// Output of the model without dead time.
    model: Option<f64>,
    line: Line,
    /// The line runs over volumes, not over time.
    by_flow: bool,
}

impl Default for Smith {
    fn default() -> Self {
        Smith { model: None, line: Line::new(), by_flow: false }
    }
}

impl Smith {
    /// One step: `u` is what has acted on the process since the last scan. `t` in s, 0 for a model without a lag.
    pub fn run(&mut self, u: f64, pv: f64, gain: f64, t: f64, delay: Delay, dt: f64) -> f64 {
        let by_flow = matches!(delay, Delay::Flow { .. });
        if by_flow != self.by_flow {
            // Distances in time say nothing about distances in volumes: as settled as at the start.
            self.line.points.clear();
            self.by_flow = by_flow;
        }
        let settled = bounded(gain * u);
        let model = match self.model {
            Some(y) if t > 0.0 => y + (settled - y) * -(-dt / t).exp_m1(),
            _ => settled,
        };
        self.model = Some(model);
        let (per_s, distance, longest) = delay.parts();
        self.line.advance(per_s * dt, model, longest);
        bounded(pv + (model - self.line.read(distance).unwrap_or(model)))
    }
}

impl FunctionBlock for Smith {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let given = ["dead_time", "dead_time_max", "flow", "volume"].map(|name| call.get(name).is_some());
        let delay = match given {
            [true, true, false, false] => {
                let longest = call.time_above_0("dead_time_max", "it bounds the memory")?;
                Delay::Time { dead_time: call.time("dead_time")?, longest: longest.unwrap_or(0.0) }
            }
            [false, false, true, true] => {
                let volume = call.needed("volume")?;
                if volume <= 0.0 {
                    return Err(format!("`volume` is above 0, not {volume}"));
                }
                // Flow per hour, as meters give it; backwards flow brings no parcel back.
                Delay::Flow { per_s: bounded(call.needed("flow")?.max(0.0) / volume / 3600.0) }
            }
            _ => return Err("takes either `dead_time` and `dead_time_max` or `flow` and `volume`".to_owned()),
        };
        let (gain, t, pv) = (call.needed("gain")?, call.time("t")?, call.x(1)?);
        // `io.granted` is `()` before anything was granted: nothing has acted on the process, so nothing is on its way.
        Ok(number_or_none(call.value(0))?.map_or(pv, |u| self.run(u, pv, gain, t, delay, call.dt)).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        self.model = None;
        self.line.points.clear();
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.maybe("model", &mut self.model);
        pass.switch("by_flow", &mut self.by_flow);
        let Some(points) = pass.rows("line", self.line.points.iter().map(|p| [p.0, p.1]), POINTS) else { return };
        if points.first().is_some_and(|p| p[0] < 0.0) || !points.is_sorted_by(|a, b| a[0] <= b[0]) {
            pass.refuse("the distances of `line` do not grow");
        }
        self.line.points.clear();
        self.line.points.extend(points.into_iter().map(|[distance, value]| (distance, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockKind;

    #[test]
    fn the_prediction_of_a_true_model_is_the_process_without_its_dead_time() {
        // Process: gain 2, time constant 30 s, dead time 45 s; a step of u by 1 at t = 0 from rest.
        let (gain, t, dead_time, dt) = (2.0_f64, 30.0_f64, 45.0_f64, 0.5);
        let delay = Delay::Time { dead_time, longest: 100.0 };
        let step = |x: f64| if x > 0.0 { gain * (1.0 - (-x / t).exp()) } else { 0.0 };
        let mut smith = Smith::default();
        smith.run(0.0, 0.0, gain, t, delay, dt);
        for k in 1_u32..600 {
            let now = f64::from(k) * dt;
            let seen = smith.run(1.0, step(now - dead_time), gain, t, delay, dt);
            assert!((seen - step(now)).abs() < 1e-3, "{seen} is not {} at {now} s", step(now));
        }
        assert!(smith.line.points.len() <= POINTS);
    }

    #[test]
    fn a_loop_around_the_predictor_answers_as_without_dead_time_only_later() {
        // The process's pole cancelled by ti = t: the loop without dead time is a lag of time constant t/(kp·gain), and
        // the predictor's loop is that lag after the dead time.
        let (gain, t, dead_time, kp, dt) = (2.0, 20.0, 30.0, 1.5, 0.02);
        let delay = Delay::Time { dead_time, longest: 40.0 };
        let (mut smith, mut pid) = (Smith::default(), BlockKind::Pid.make());
        let numbers = [("kp", kp), ("ti", t), ("min", -100.0), ("max", 100.0)];
        let settings: rhai::Map = numbers.into_iter().map(|(name, x)| (name.into(), x.into())).collect();
        let (mut u, mut process) = (0.0, 0.0);
        // The process's own delay: a plain queue of 1 500 steps.
        let mut pipe: VecDeque<f64> = std::iter::repeat_n(0.0, 1_500).collect();
        for k in 0_u32..5_000 {
            process += (gain * u - process) * -(-dt / t).exp_m1();
            pipe.push_back(process);
            let pv = pipe.pop_front().unwrap();
            let after = (f64::from(k) * dt - dead_time).max(0.0);
            let expected = 1.0 - (-after * kp * gain / t).exp();
            assert!((pv - expected).abs() < 0.01, "{pv} is not {expected} at step {k}");
            let predicted = smith.run(u, pv, gain, t, delay, dt);
            let values = [1.0.into(), predicted.into()];
            let call = Call::new(&values, BlockKind::Pid.settings(), Some(&settings), dt).unwrap();
            let answer = pid.step(&call).unwrap();
            u = answer.as_float().unwrap();
        }
    }

    #[test]
    fn before_anything_was_granted_the_measurement_passes() {
        let numbers = [("gain", 1.0), ("t", 5.0), ("dead_time", 10.0), ("dead_time_max", 60.0)];
        let settings = numbers.into_iter().map(|(name, x)| (name.into(), x.into())).collect();
        let mut smith = Smith::default();
        let values = [Dynamic::UNIT, 3.0.into()];
        let call = Call::new(&values, BlockKind::Smith.settings(), Some(&settings), 1.0).unwrap();
        let answer = smith.step(&call).unwrap();
        assert_eq!((answer.as_float().unwrap(), smith.model), (3.0, None));
    }

    #[test]
    fn a_small_scan_needs_no_longer_line() {
        // 10 ms over a dead time of an hour: 360 000 scans in 512 points.
        let delay = Delay::Time { dead_time: 3_000.0, longest: 3_600.0 };
        let (mut smith, t) = (Smith::default(), 500.0);
        smith.run(0.0, 0.0, 1.0, t, delay, 0.01);
        let mut worst: f64 = 0.0;
        for k in 1_u32..500_000 {
            let now = f64::from(k) * 0.01;
            let seen = smith.run(1.0, 0.0, 1.0, t, delay, 0.01);
            let late = if now > 3_000.0 { 1.0 - (-(now - 3_000.0) / t).exp() } else { 0.0 };
            worst = worst.max((seen - (1.0 - (-now / t).exp()) + late).abs());
        }
        // Straight lines of 7 s over a curve of 500 s; at the step itself half a line's rise.
        assert!(worst < 0.01, "{worst}");
    }

    #[test]
    fn a_volume_delays_by_what_flows_through_it() {
        // 50 m3, and a flow that goes from 600 m3/h (300 s) to 60 m3/h (3 000 s) while the parcel is half-way: the rest
        // takes 1 500 s.
        let mut smith = Smith::default();
        let flow = |k: u32| if k <= 150 { 600.0 } else { 60.0 };
        let mut arrived = None;
        smith.run(0.0, 0.0, 1.0, 0.0, Delay::Flow { per_s: flow(0) / 50.0 / 3_600.0 }, 1.0);
        for k in 1_u32..4_000 {
            let per_s = flow(k) / 50.0 / 3_600.0;
            let seen = smith.run(1.0, 0.0, 1.0, 0.0, Delay::Flow { per_s }, 1.0);
            // The prediction is 1 until the delayed model answers too.
            if arrived.is_none() && seen < 0.5 {
                arrived = Some(k);
            }
        }
        let arrived = arrived.unwrap();
        assert!(arrived.abs_diff(150 + 1_500) <= 6, "{arrived} s");
    }

    #[test]
    fn a_dead_time_may_change_at_every_scan_and_a_flow_may_stop() {
        let mut smith = Smith::default();
        let mut last = 0.0;
        for k in 0_u32..2_000 {
            let dead_time = if k % 2 == 0 { 0.0 } else { 1e9 };
            last = smith.run(1.0, 5.0, 3.0, 10.0, Delay::Time { dead_time, longest: 60.0 }, 1.0);
        }
        assert!((last - 5.0).abs() < 1e-9, "a settled model predicts the measurement: {last}");
        for _ in 0..10_000 {
            last = smith.run(2.0, 5.0, 3.0, 0.0, Delay::Flow { per_s: 0.0 }, 1.0);
        }
        assert!((last - 5.0).abs() < 1e-9 && smith.line.points.len() <= 3, "{last}");
    }

    #[test]
    fn a_volume_that_is_none_is_refused() {
        let numbers = [("gain", 1.0), ("t", 5.0), ("flow", 100.0), ("volume", 0.0)];
        let settings = numbers.into_iter().map(|(name, x)| (name.into(), x.into())).collect();
        let values = [1.0.into(), 1.0.into()];
        let call = Call::new(&values, BlockKind::Smith.settings(), Some(&settings), 1.0).unwrap();
        let error = Smith::default().step(&call).unwrap_err();
        assert!(error.contains("`volume` is above 0"), "{error}");
    }
}
