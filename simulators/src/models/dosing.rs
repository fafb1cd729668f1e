//! Dosing pumps with their storage tanks. Flows in L/h.

/// One dosing pump with its storage tank.
#[derive(Debug, Clone, PartialEq)]
pub struct Dosing {
    /// Flow, L/h.
    pub flow_l_h: f64,
    /// Level of the storage tank, %.
    pub level_pct: f64,
    tank_l: f64,
    flow_max_l_h: f64,
    filling: bool,
}

/// Time constant of a dosing pump, s.
const PUMP_TAU_S: f64 = 3.0;
/// Delivery starts below and ends above these levels, %, at so many % per second.
const REFILL_PCT: (f64, f64) = (25.0, 90.0);
const REFILL_PCT_S: f64 = 1.0 / 60.0;
/// Below this flow the pump stands, L/h.
const PUMP_MIN_L_H: f64 = 0.2;

impl Dosing {
    /// A pump of `flow_max_l_h` on a tank of `tank_l` litres that stands at `level_pct`.
    #[must_use]
    pub fn new(flow_l_h: f64, flow_max_l_h: f64, tank_l: f64, level_pct: f64) -> Dosing {
        Dosing { flow_l_h, level_pct, tank_l, flow_max_l_h, filling: false }
    }

    /// Goes on by `dt` seconds towards a command.
    pub fn step(&mut self, dt: f64, command_l_h: f64) {
        let empty = self.level_pct <= 1.0;
        let target = command_l_h.clamp(0.0, self.flow_max_l_h);
        let target = if empty || target < PUMP_MIN_L_H { 0.0 } else { target };
        self.flow_l_h += (target - self.flow_l_h) * (1.0 - (-dt / PUMP_TAU_S).exp());
        if target == 0.0 && self.flow_l_h < PUMP_MIN_L_H {
            self.flow_l_h = 0.0;
        }
        self.filling = self.level_pct < if self.filling { REFILL_PCT.1 } else { REFILL_PCT.0 };
        let used = self.flow_l_h / 3600.0 * dt / self.tank_l * 100.0;
        let filled = if self.filling { REFILL_PCT_S * dt } else { 0.0 };
        self.level_pct = (self.level_pct - used + filled).clamp(0.0, 100.0);
    }

    /// The pump turns.
    #[must_use]
    pub fn running(&self) -> bool {
        self.flow_l_h > 0.0
    }
}

/// Commands of the three dosing pumps, L/h.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoseCommands {
    /// Polyaluminium chloride before the rapid mixer.
    pub pac_l_h: f64,
    /// Sodium acetate into tank 1.
    pub carbon_l_h: f64,
    /// Hypochlorite before the contact tank.
    pub naclo_l_h: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tank_empties_by_the_dose_and_is_refilled() {
        let mut pump = Dosing::new(100.0, 300.0, 20_000.0, 50.0);
        for _ in 0..3600 {
            pump.step(1.0, 100.0);
        }
        assert!((pump.level_pct - 49.5).abs() < 1e-6, "{}", pump.level_pct);
        pump.level_pct = 24.0;
        for _ in 0..2 * 3600 {
            pump.step(1.0, 100.0);
        }
        assert!(pump.level_pct > 85.0, "{}", pump.level_pct);
    }
}
