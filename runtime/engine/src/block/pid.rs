//! PID controller in ISA form with set-point weight, filtered derivative, output limits, back-calculation and
//! external tracking.
//!
//! ```text
//! u = k·(b·sp − pv + 1/ti·∫e dt − td·dpv_f/dt),   e = sp − pv
//! ```
//!
//! `k = kp`, or `−kp` with `reverse`. The derivative acts on the measurement only, through a first-order filter of
//! time constant `td/10`. Discretised as in Åström & Hägglund, *Advanced PID Control* (ISA, 2006), section 13.4.

/// Ratio of derivative time to the time constant of its filter: 8 to 16 are usual; more lets measurement noise through.
const DERIVATIVE_FILTER: f64 = 10.0;

/// Settings of one step. Times in s; the rest in the units of output and measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PidSettings {
    /// Gain, output per measurement.
    pub kp: f64,
    /// Integral time, s; `None`: no integral action.
    pub ti: Option<f64>,
    /// Derivative time, s; 0: none.
    pub td: f64,
    /// Smallest output.
    pub min: f64,
    /// Largest output.
    pub max: f64,
    /// Set-point weight of the proportional part, 0..1.
    pub b: f64,
    /// What the output really is, while somebody else decides it.
    pub track: Option<f64>,
    /// True: the output rises when the measurement lies above the set-point.
    pub reverse: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pid {
    integral: f64,
    derivative: f64,
    pv: Option<f64>,
    preset: Option<f64>,
}

impl Pid {
    /// The next step returns `value` (within its limits) and goes on from there.
    pub fn preset(&mut self, value: f64) {
        *self = Self { preset: Some(value), ..Self::default() };
    }

    /// One step of `dt` seconds.
    pub fn run(&mut self, sp: f64, pv: f64, s: &PidSettings, dt: f64) -> f64 {
        let k = if s.reverse { -s.kp } else { s.kp };
        let proportional = k * (s.b * sp - pv);
        if let (Some(before), true) = (self.pv, s.td > 0.0) {
            let denominator = s.td + DERIVATIVE_FILTER * dt;
            self.derivative =
                s.td / denominator * self.derivative - k * s.td * DERIVATIVE_FILTER / denominator * (pv - before);
        } else {
            self.derivative = 0.0;
        }
        self.pv = Some(pv);
        // A preset is the program's own, newer word; tracking follows what was granted at the last scan.
        if let Some(target) = self.preset.take().or(s.track) {
            let u = target.clamp(s.min, s.max);
            self.integral = u - proportional - self.derivative;
            return u;
        }
        let v = proportional + self.integral + self.derivative;
        let u = v.clamp(s.min, s.max);
        if let Some(ti) = s.ti {
            let tracking_time = if s.td > 0.0 { (ti * s.td).sqrt() } else { ti };
            self.integral += k * (sp - pv) * dt / ti + (u - v) * (dt / tracking_time).min(1.0);
        }
        u
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pi(kp: f64, ti: f64) -> PidSettings {
        PidSettings { kp, ti: Some(ti), td: 0.0, min: -1e9, max: 1e9, b: 1.0, track: None, reverse: false }
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
}
