//! Blocks that decide a switch: hysteresis, on-delay, off-delay.

/// Rounding of summed time steps, s: a delay of ten steps must end at the tenth.
const TIME_ROUNDING: f64 = 1e-6;

/// Switch with two thresholds. `on ≥ off`: on at `x ≥ on`, off at `x ≤ off`. `on < off`: on at `x ≤ on`, off at
/// `x ≥ off`. Between them it stays; it starts off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hysteresis(pub bool);

impl Hysteresis {
    pub fn run(&mut self, x: f64, on: f64, off: f64) -> bool {
        let (turns_on, turns_off) = if on >= off { (x >= on, x <= off) } else { (x <= on, x >= off) };
        if turns_on {
            self.0 = true;
        } else if turns_off {
            self.0 = false;
        }
        self.0
    }
}

/// On once its input has been on for `t` seconds; off at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnDelay {
    on_for: Option<f64>,
}

impl OnDelay {
    pub fn run(&mut self, input: bool, t: f64, dt: f64) -> bool {
        self.on_for = input.then(|| self.on_for.map_or(0.0, |x| x + dt));
        self.on_for.is_some_and(|x| x + TIME_ROUNDING >= t)
    }

    pub fn reset(&mut self) {
        self.on_for = None;
    }
}

/// Off once its input has been off for `t` seconds; on at once. It starts off.
#[derive(Debug, Clone, Default)]
pub(crate) struct OffDelay {
    on: bool,
    off_for: Option<f64>,
}

impl OffDelay {
    pub fn run(&mut self, input: bool, t: f64, dt: f64) -> bool {
        if input {
            self.reset(true);
        } else if self.on {
            let off_for = self.off_for.map_or(0.0, |x| x + dt);
            self.off_for = Some(off_for);
            self.on = off_for + TIME_ROUNDING < t;
        }
        self.on
    }

    pub fn reset(&mut self, on: bool) {
        *self = Self { on, off_for: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hysteresis_keeps_its_state_between_its_thresholds() {
        let mut rising = Hysteresis::default();
        let seen = [4.0, 6.0, 4.9, 4.0, 3.9, 5.0].map(|x| rising.run(x, 5.0, 4.0));
        assert_eq!(seen, [false, true, true, false, false, true]);
        let mut falling = Hysteresis::default();
        let seen = [3.0, 1.9, 2.5, 3.0].map(|x| falling.run(x, 2.0, 3.0));
        assert_eq!(seen, [false, true, true, false]);
    }

    #[test]
    fn an_on_delay_waits_and_forgets_at_once() {
        let mut delay = OnDelay::default();
        let on = |d: &mut OnDelay, b| d.run(b, 1.0, 0.1);
        assert!((0..10).all(|_| !on(&mut delay, true)));
        assert!(on(&mut delay, true));
        assert!(!on(&mut delay, false));
        assert!(!on(&mut delay, true));
        assert!(OnDelay::default().run(true, 0.0, 0.1));
    }

    #[test]
    fn an_off_delay_holds_and_then_lets_go() {
        let mut delay = OffDelay::default();
        assert!(!delay.run(false, 1.0, 0.25));
        assert!(delay.run(true, 1.0, 0.25));
        let seen = [false; 6].map(|b| delay.run(b, 1.0, 0.25));
        assert_eq!(seen, [true, true, true, true, false, false]);
        assert!(delay.run(true, 1.0, 0.25));
    }
}
