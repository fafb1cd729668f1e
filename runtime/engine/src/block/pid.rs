//! PID controller in ISA form: set-point weights, filtered derivative, limits and rate of the output, back-calculation,
//! external reset, tracking, and modes that change without a bump.
//!
//! ```text
//! u = k·((b−1)·sp + z(e) + td·d(c·sp − pv)_f/dt) + I,   e = sp − pv
//! ```
//!
//! `k = kp`, or `−kp` with `reverse`; `z` is the dead zone of the error, so that with none `k·((b−1)·sp + e)` is the
//! usual `k·(b·sp − pv)`. The derivative passes a first-order filter of time constant `td/n`. With `v` the output
//! before limits and rate and `F` the one behind them (or `reset_from`), `dI/dt = k·z(e)/ti + (F − v)/tt`.
//! Discretised as in Åström & Hägglund, *Advanced PID Control* (ISA, 2006), section 13.4: the derivative by backward
//! differences, the integral by forward ones; its bumpless change of parameters is that section's too. Following an
//! external reset is solved exactly over the step, for it must bear any time step. With `b = 1`, `td = 0` and
//! `tt = ti` it is `dI/dt = (F − I)/ti`, the external reset of Shinskey, *Process Control Systems*, chapter 4.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, dead_zone};
use super::memory::Pass;
use rhai::Dynamic;

/// Ratio of derivative time to the time constant of its filter: 8 to 16 are usual; more lets measurement noise through.
const DERIVATIVE_FILTER: f64 = 10.0;

/// Names of the settings.
pub(crate) const SETTINGS: &[&str] = &[
    "b",
    "c",
    "cascade",
    "deadband",
    "kp",
    "manual",
    "max",
    "min",
    "mode",
    "n",
    "rate",
    "reset_from",
    "reverse",
    "td",
    "ti",
    "track",
    "tt",
];

/// Who gives the set-point or the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The set-point is the one of the call.
    #[default]
    Auto,
    /// The output is given.
    Manual,
    /// The set-point comes from a controller above.
    Cascade,
}

/// Settings of one step. Times in s; the rest in the units of output and measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PidSettings {
    /// Gain, output per measurement.
    pub kp: f64,
    /// Integral time, s; `None`: no integral action.
    pub ti: Option<f64>,
    /// Derivative time, s; 0: none.
    pub td: f64,
    /// Derivative time over the time constant of its filter.
    pub n: f64,
    /// Smallest output.
    pub min: f64,
    /// Largest output.
    pub max: f64,
    /// Set-point weight of the proportional part, 0..1.
    pub b: f64,
    /// Set-point weight of the derivative part, 0..1.
    pub c: f64,
    /// Tracking time of the anti-windup, s.
    pub tt: Option<f64>,
    /// Fastest change of the output, per s.
    pub rate: Option<f64>,
    /// Error that counts as none.
    pub deadband: f64,
    /// What the output really is, while somebody else decides it.
    pub track: Option<f64>,
    /// What really acts on the process, while the controller goes on: the integral follows it.
    pub reset_from: Option<f64>,
    pub mode: Mode,
    /// Output in manual; `None`: the last one, at the first step 0.
    pub manual: Option<f64>,
    /// Set-point in cascade.
    pub cascade: f64,
    /// True: the output rises when the measurement lies above the set-point.
    pub reverse: bool,
}

/// The words of the modes, in the order of [`MODES`].
const MODE_WORDS: &[&str] = &["auto", "manual", "cascade"];
const MODES: [Mode; 3] = [Mode::Auto, Mode::Manual, Mode::Cascade];

impl PidSettings {
    fn gain(&self) -> f64 {
        if self.reverse { -self.kp } else { self.kp }
    }

    fn proportional(&self, sp: f64, pv: f64) -> f64 {
        bounded(self.gain() * ((self.b - 1.0) * sp + dead_zone(sp - pv, self.deadband)))
    }

    fn tracking_time(&self, ti: f64) -> f64 {
        let usual = if self.td > 0.0 && self.reset_from.is_none() { (ti * self.td).sqrt() } else { ti };
        self.tt.unwrap_or(usual)
    }

    fn read(call: &Call) -> Result<PidSettings, String> {
        let (min, max) = call.limits_needed()?;
        let mode = MODES[call.word("mode", MODE_WORDS)?];
        let cascade = call.number("cascade")?;
        if mode == Mode::Cascade && cascade.is_none() {
            return Err("`cascade`, the set-point of mode \"cascade\", is missing".to_owned());
        }
        let ti = call.time_above_0("ti", "leave it out for no integral action")?;
        let reset_from = call.number("reset_from")?;
        if reset_from.is_some() && ti.is_none() {
            return Err("`reset_from` needs `ti`: it is the integral that follows".to_owned());
        }
        Ok(PidSettings {
            kp: call.needed("kp")?,
            ti,
            td: call.time_or_none("td")?.unwrap_or(0.0),
            n: call.within("n", 1.0..=100.0)?.unwrap_or(DERIVATIVE_FILTER),
            min,
            max,
            b: call.within("b", 0.0..=1.0)?.unwrap_or(1.0),
            c: call.within("c", 0.0..=1.0)?.unwrap_or(0.0),
            tt: call.time_above_0("tt", "leave it out for the usual one")?,
            rate: call.width("rate")?,
            deadband: call.width("deadband")?.unwrap_or(0.0),
            track: call.number("track")?,
            reset_from,
            mode,
            manual: call.number("manual")?,
            cascade: cascade.unwrap_or(0.0),
            reverse: call.flag("reverse")?,
        })
    }
}

/// What the last step saw and gave.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    sp: f64,
    pv: f64,
    proportional: f64,
    u: f64,
    mode: Mode,
}

impl Last {
    fn memory(&mut self, pass: &mut Pass) {
        pass.number("sp", &mut self.sp);
        pass.number("pv", &mut self.pv);
        pass.number("proportional", &mut self.proportional);
        pass.number("u", &mut self.u);
        let mut mode = MODES.iter().position(|m| *m == self.mode).unwrap_or(0);
        pass.word("mode", &mut mode, MODE_WORDS);
        self.mode = MODES[mode];
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pid {
    integral: f64,
    derivative: f64,
    last: Option<Last>,
    preset: Option<f64>,
}

impl Pid {
    /// The next step returns `value` (within its limits) and goes on from there.
    pub fn preset(&mut self, value: f64) {
        *self = Self { preset: Some(value), ..Self::default() };
    }

    /// One step of `dt` seconds.
    pub fn run(&mut self, sp: f64, pv: f64, s: &PidSettings, dt: f64) -> f64 {
        let sp = if s.mode == Mode::Cascade { s.cascade } else { sp };
        let switched = self.last.is_some_and(|last| last.mode != s.mode);
        let proportional = s.proportional(sp, pv);
        self.derive(sp, pv, s, dt, switched);
        // At the first step nothing stands yet: 0, never an output of the controller that nobody has switched on.
        let stays = self.last.map_or(0.0, |last| last.u);
        let by_hand = (s.mode == Mode::Manual).then(|| s.manual.unwrap_or(stays));
        // A preset is the program's own, newer word; tracking follows what was granted at the last scan.
        let u = if let Some(target) = self.preset.take().or(s.track).or(by_hand) {
            let u = target.clamp(s.min, s.max);
            self.integral = bounded(u - proportional - self.derivative);
            u
        } else {
            self.take_over(proportional, s, switched);
            self.control(proportional, dead_zone(sp - pv, s.deadband), s, dt)
        };
        self.last = Some(Last { sp, pv, proportional, u, mode: s.mode });
        u
    }

    fn derive(&mut self, sp: f64, pv: f64, s: &PidSettings, dt: f64, switched: bool) {
        let Some(last) = self.last.filter(|_| s.td > 0.0) else {
            self.derivative = 0.0;
            return;
        };
        // Another set-point because of another mode is no movement of the set-point.
        let moved = if switched { 0.0 } else { s.c * (sp - last.sp) } - (pv - last.pv);
        let denominator = s.td + s.n * dt;
        self.derivative = bounded(s.td / denominator * self.derivative + s.gain() * s.td * s.n / denominator * moved);
    }

    /// Another mode or other parameters leave the output where it is.
    fn take_over(&mut self, proportional: f64, s: &PidSettings, switched: bool) {
        let Some(last) = self.last else { return };
        if switched {
            self.integral = bounded(last.u - proportional - self.derivative);
        } else if s.ti.is_some() {
            // What the parameters change in the proportional part, the integral takes. Without integral action it
            // would keep that for ever.
            self.integral = bounded(self.integral + (last.proportional - s.proportional(last.sp, last.pv)));
        }
    }

    fn control(&mut self, proportional: f64, error: f64, s: &PidSettings, dt: f64) -> f64 {
        let v = proportional + self.integral + self.derivative;
        let mut u = v.clamp(s.min, s.max);
        if let (Some(rate), Some(last)) = (s.rate, self.last) {
            // Limits that have moved past the output count more than the rate.
            u = u.clamp(last.u - rate * dt, last.u + rate * dt).clamp(s.min, s.max);
        }
        if let Some(ti) = s.ti {
            let (gained, tt) = (s.gain() * error / ti, s.tracking_time(ti));
            self.integral = bounded(match s.reset_from {
                Some(actual) => self.integral + (actual - v + gained * tt) * -(-dt / tt).exp_m1(),
                None => self.integral + gained * dt + (u - v) * (dt / tt).min(1.0),
            });
        }
        u
    }
}

impl FunctionBlock for Pid {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        Ok(self.run(call.x(0)?, call.x(1)?, &PidSettings::read(call)?, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        match to.number()? {
            Some(x) => self.preset(x),
            None => *self = Self::default(),
        }
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.number("integral", &mut self.integral);
        pass.number("derivative", &mut self.derivative);
        let mut last: Vec<Last> = self.last.into_iter().collect();
        pass.parts("last", &mut last, 1, Last::default, Last::memory);
        self.last = last.pop();
        pass.maybe("preset", &mut self.preset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pi(kp: f64, ti: f64) -> PidSettings {
        PidSettings {
            kp,
            ti: Some(ti),
            td: 0.0,
            n: DERIVATIVE_FILTER,
            min: -1e9,
            max: 1e9,
            b: 1.0,
            c: 0.0,
            tt: None,
            rate: None,
            deadband: 0.0,
            track: None,
            reset_from: None,
            mode: Mode::Auto,
            manual: None,
            cascade: 0.0,
            reverse: false,
        }
    }

    #[test]
    fn a_constant_error_gives_a_step_and_a_ramp() {
        // u(t) = kp·e·(1 + t/ti)
        let mut pid = Pid::default();
        let s = pi(2.0, 10.0);
        for k in 0..50 {
            let u = pid.run(3.0, 1.0, &s, 0.5);
            let t = 0.5 * f64::from(k);
            assert!((u - 4.0 * (1.0 + t / 10.0)).abs() < 1e-9, "{u} at {t}");
        }
        let mut reverse = Pid::default();
        assert_eq!(reverse.run(3.0, 1.0, &PidSettings { reverse: true, ..s }, 0.5), -4.0);
    }

    #[test]
    fn a_first_order_plant_with_its_pole_cancelled_answers_as_the_formula_says() {
        // Plant T·dy/dt = K·u − y with ti = T: the closed loop is a lag of time constant T/(kp·K).
        let (gain, time, kp, dt) = (2.0, 20.0, 1.5, 0.01);
        let (mut pid, mut y) = (Pid::default(), 0.0);
        let s = pi(kp, time);
        for k in 0_u32..4_000 {
            let expected = 1.0 - (-f64::from(k) * dt * kp * gain / time).exp();
            assert!((y - expected).abs() < 5e-3, "{y} is not {expected} at step {k}");
            let u = pid.run(1.0, y, &s, dt);
            y += dt * (gain * u - y) / time;
        }
    }

    #[test]
    fn the_derivative_of_a_ramp_is_its_slope() {
        let mut pid = Pid::default();
        let s = PidSettings { ti: None, td: 5.0, b: 0.0, ..pi(2.0, 1.0) };
        let mut last = 0.0;
        for k in 0..200 {
            let pv = 0.3 * f64::from(k) * 0.1;
            last = pid.run(0.0, pv, &s, 0.1) + 2.0 * pv;
        }
        // −kp·td·dpv/dt
        assert!((last + 2.0 * 5.0 * 0.3).abs() < 1e-6, "{last}");
    }

    #[test]
    fn saturation_is_left_as_soon_as_the_error_turns() {
        let mut pid = Pid::default();
        let s = PidSettings { min: 0.0, max: 10.0, ..pi(1.0, 5.0) };
        for _ in 0..10_000 {
            assert!(pid.run(8.0, 1.0, &s, 1.0) <= 10.0);
        }
        let u = pid.run(8.0, 8.5, &s, 1.0);
        assert!(u < 10.0, "wound up: still at {u}");
    }

    #[test]
    fn tracking_and_preset_leave_no_bump() {
        let mut pid = Pid::default();
        let s = PidSettings { min: 0.0, max: 100.0, ..pi(2.0, 60.0) };
        for _ in 0..20 {
            pid.run(5.0, 3.0, &s, 1.0);
        }
        let by_hand = PidSettings { track: Some(60.0), ..s };
        for _ in 0..100 {
            assert_eq!(pid.run(5.0, 3.0, &by_hand, 1.0), 60.0);
        }
        let free = pid.run(5.0, 3.0, &s, 1.0);
        assert!((free - 60.0).abs() <= 2.0 * 2.0 / 60.0 + 1e-9, "bump to {free}");
        pid.preset(33.0);
        assert_eq!(pid.run(9.0, 1.0, &by_hand, 1.0), 33.0);
    }

    #[test]
    fn the_filtered_derivative_of_a_set_point_step_is_its_exponential() {
        // c·k·n·e^(−n·t/td) in continuous time; b = 0 and no integral leave the derivative alone.
        let (dt, td, n) = (0.001, 2.0, 8.0);
        let s = PidSettings { ti: None, td, n, b: 0.0, c: 0.5, ..pi(3.0, 1.0) };
        let mut pid = Pid::default();
        pid.run(0.0, 0.0, &s, dt);
        for k in 0_u32..1_000 {
            // b = 0 without a dead zone: the proportional part is −k·pv = 0.
            let (u, t) = (pid.run(1.0, 0.0, &s, dt), f64::from(k) * dt);
            let expected = 0.5 * 3.0 * n * (-n * t / td).exp();
            assert!((u - expected).abs() < 0.01 * 0.5 * 3.0 * n, "{u} is not {expected} at {t}");
        }
    }

    #[test]
    fn windup_settles_where_the_tracking_time_says() {
        // At a limit with a constant error: 0 = k·e/ti + (u − v)/tt, so v − u = k·e·tt/ti.
        let s = PidSettings { min: 0.0, max: 10.0, tt: Some(4.0), ..pi(2.0, 20.0) };
        let mut pid = Pid::default();
        for _ in 0..2_000 {
            assert!(pid.run(9.0, 1.0, &s, 0.5) <= 10.0);
        }
        let v = 2.0 * 8.0 + pid.integral;
        assert!((v - 10.0 - 2.0 * 8.0 * 4.0 / 20.0).abs() < 1e-9, "{v}");
    }

    #[test]
    fn an_external_reset_draws_the_integral_to_the_feedback() {
        // dI/dt = (F − I)/ti: u = k·e + F·(1 − e^(−t/ti)), whatever the time step.
        for dt in [0.1, 5.0, 300.0] {
            let s = PidSettings { reset_from: Some(40.0), max: 100.0, min: 0.0, ..pi(2.0, 30.0) };
            let mut pid = Pid::default();
            for k in 0_u32..50 {
                let (u, t) = (pid.run(5.0, 3.0, &s, dt), f64::from(k) * dt);
                let expected = 4.0 + 40.0 * (1.0 - (-t / 30.0).exp());
                assert!((u - expected).abs() < 1e-9, "{u} is not {expected} at {t} in steps of {dt}");
            }
        }
    }

    #[test]
    fn fed_back_to_itself_an_external_reset_is_the_ordinary_integral() {
        let (mut ordinary, mut external) = (Pid::default(), Pid::default());
        let s = pi(2.0, 30.0);
        let mut fed_back = 0.0;
        for k in 0_u32..600 {
            let pv = (f64::from(k) * 0.01).sin();
            let a = ordinary.run(1.0, pv, &s, 0.01);
            fed_back = external.run(1.0, pv, &PidSettings { reset_from: Some(fed_back), ..s }, 0.01);
            // The feedback is one step old, and so is this bound: a step of the output is under k·dt·(1 + 1/ti).
            assert!((a - fed_back).abs() < 0.05, "{a} is not {fed_back} at step {k}");
        }
    }

    #[test]
    fn modes_change_without_a_bump() {
        let mut pid = Pid::default();
        let auto = PidSettings { min: 0.0, max: 100.0, td: 3.0, b: 0.7, c: 1.0, ..pi(2.0, 60.0) };
        let cascade = PidSettings { mode: Mode::Cascade, cascade: 9.0, ..auto };
        let manual = PidSettings { mode: Mode::Manual, ..auto };
        let mut u = 0.0;
        for _ in 0..20 {
            u = pid.run(5.0, 3.0, &auto, 1.0);
        }
        for (s, name) in [(cascade, "cascade"), (auto, "auto"), (manual, "manual"), (cascade, "cascade again")] {
            let next = pid.run(5.0, 3.0, &s, 1.0);
            assert!((next - u).abs() < 1e-9, "{name}: {u} became {next}");
            u = next;
        }
        // In cascade it works on the other set-point: the integral gains k·(9 − 3)·dt/ti.
        let next = pid.run(5.0, 3.0, &cascade, 1.0);
        assert!((next - u - 2.0 * 6.0 / 60.0).abs() < 1e-9, "{next}");
        let set = PidSettings { manual: Some(12.5), ..manual };
        assert_eq!(pid.run(5.0, 3.0, &set, 1.0), 12.5);
        assert_eq!(pid.run(5.0, 3.0, &manual, 1.0), 12.5);
        assert_eq!(pid.run(5.0, 3.0, &auto, 1.0), 12.5);
    }

    #[test]
    fn in_manual_a_new_controller_stays_where_it_is_told_to_or_at_0() {
        let manual = PidSettings { mode: Mode::Manual, ..pi(20.0, 60.0) };
        let mut pid = Pid::default();
        assert_eq!(pid.run(5.0, 3.0, &manual, 1.0), 0.0, "not kp·e");
        assert_eq!(pid.run(9.0, 3.0, &manual, 1.0), 0.0);
        assert_eq!(pid.run(5.0, 3.0, &PidSettings { mode: Mode::Auto, ..manual }, 1.0), 0.0, "no bump either");
        let limited = PidSettings { min: 15.0, max: 85.0, ..manual };
        assert_eq!(Pid::default().run(5.0, 3.0, &limited, 1.0), 15.0, "0 within the limits");
        let mut preset = Pid::default();
        preset.preset(40.0);
        for _ in 0..3 {
            assert_eq!(preset.run(5.0, 3.0, &limited, 1.0), 40.0);
        }
        let mut tracked = Pid::default();
        assert_eq!(tracked.run(5.0, 3.0, &PidSettings { track: Some(33.0), ..limited }, 1.0), 33.0);
        assert_eq!(tracked.run(5.0, 3.0, &limited, 1.0), 33.0);
    }

    #[test]
    fn other_parameters_move_the_integral_and_not_the_output() {
        let mut pid = Pid::default();
        let before = PidSettings { b: 0.5, ..pi(2.0, 60.0) };
        let mut u = 0.0;
        for _ in 0..10 {
            u = pid.run(5.0, 3.0, &before, 1.0);
        }
        let gained = 2.0 * 2.0 / 60.0;
        let next = pid.run(5.0, 3.0, &PidSettings { b: 1.0, ..pi(7.0, 15.0) }, 1.0);
        assert!((next - u - gained).abs() < 1e-9, "{u} became {next}");
        // From here on it is a controller with the new parameters.
        let after = pid.run(5.0, 3.0, &pi(7.0, 15.0), 1.0);
        assert!((after - next - 7.0 * 2.0 / 15.0).abs() < 1e-9, "{next} became {after}");
        let proportional = PidSettings { ti: None, ..pi(2.0, 1.0) };
        let mut pid = Pid::default();
        pid.run(5.0, 3.0, &proportional, 1.0);
        assert_eq!(pid.run(5.0, 3.0, &PidSettings { kp: 3.0, ..proportional }, 1.0), 6.0, "no integral to hold it");
    }

    #[test]
    fn the_rate_bounds_the_output_and_the_integral_behind_it() {
        let mut pid = Pid::default();
        let s = PidSettings { rate: Some(0.5), min: 0.0, max: 100.0, ..pi(2.0, 10.0) };
        let mut u = pid.run(0.0, 0.0, &s, 1.0);
        for _ in 0..100 {
            let next = pid.run(20.0, 0.0, &s, 1.0);
            assert!((next - u - 0.5).abs() < 1e-9, "{u} became {next}");
            u = next;
        }
        // v rises as fast as u, so rate = k·e/ti − (v − u)/tt: 35 behind the rate, and one step's rise more after it.
        let v = 40.0 + pid.integral;
        assert!((v - u - 35.5).abs() < 1e-2, "{v} against {u}");
    }

    #[test]
    fn an_error_in_the_deadband_counts_as_none() {
        let mut pid = Pid::default();
        let s = PidSettings { deadband: 0.3, ..pi(2.0, 10.0) };
        for pv in [2.0, 1.8, 2.25] {
            assert_eq!(pid.run(2.0, pv, &s, 1.0), 0.0);
        }
        let u = pid.run(2.0, 1.0, &s, 1.0);
        assert!((u - 2.0 * 0.7).abs() < 1e-9, "{u}");
    }
}
