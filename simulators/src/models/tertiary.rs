//! After the settler: phosphorus and its precipitation, filtration, chlorine contact, and the dosing pumps with tanks.
//!
//! Flows in m3/h, concentrations in g/m3, doses in L/h. Precipitation:
//! `P_res = P_in * exp(-0.852 * beta^1.51)`, beta in mol Al per mol P, not below 0.03 g/m3. Chlorine: instant demand,
//! then first-order decay along the contact tank.

use super::asm1::{self, Mix, SNH};
use crate::rng::Wander;

/// Aluminium in one litre of PAC solution (10 % Al2O3 = 5.3 % Al, 1.2 kg/L), g.
pub const PAC_AL_G_L: f64 = 63.6;
/// Oxygen demand of one litre of the sodium acetate solution, g COD.
pub const CARBON_COD_G_L: f64 = 400.0;
/// Available chlorine in one litre of hypochlorite, g.
pub const NACLO_CL_G_L: f64 = 120.0;
const MOL_AL: f64 = 26.98;
const MOL_P: f64 = 30.97;
/// Lowest residual phosphate that precipitation reaches, g/m3.
pub const PO4_FLOOR: f64 = 0.03;
/// Rapid mixer, then flocculation and clarifier as a chain of equal tanks, m3.
const MIX_M3: f64 = 26.0;
const CLARIFIER_M3: [f64; 4] = [300.0, 300.0, 300.0, 300.0];
/// Water that smooths the phosphorus of the influent on its way: reactors and settler, m3.
const WORKS_M3: [f64; 2] = [6000.0, 6000.0];
/// Share of the ammonium figure that comes as phosphate in the influent.
const PO4_OF_NH4: f64 = 0.16;
/// Share of the influent phosphate the biology keeps when it has oxygen.
const UPTAKE: f64 = 0.74;
/// Share of the suspended solids that passes the filter.
const FILTER_PASS: f64 = 0.2;
/// Phosphorus bound in suspended solids, g per g.
const P_IN_SOLIDS: f64 = 0.025;
/// Precipitate that slips through, g solids per g Al dosed.
const FLOC_SLIP: f64 = 0.12;
/// Chlorine contact: four chambers, m3, and decay, 1/h.
const CONTACT_M3: [f64; 4] = [100.0; 4];
const CHLORINE_DECAY_1_H: f64 = 0.45;

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

    fn step(&mut self, dt: f64, command_l_h: f64) {
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

/// Phosphate left after precipitation, g/m3. `beta` in mol Al per mol P.
#[must_use]
pub fn precipitated(po4: f64, beta: f64) -> f64 {
    (po4 * (-0.852 * beta.max(0.0).powf(1.51)).exp()).max(PO4_FLOOR.min(po4))
}

/// State of the tertiary stage.
#[derive(Debug, Clone)]
pub struct Tertiary {
    /// PAC pump.
    pub pac: Dosing,
    /// Carbon pump.
    pub carbon: Dosing,
    /// Hypochlorite pump.
    pub naclo: Dosing,
    works_po4: [f64; 2],
    mix_po4: f64,
    mix_al: f64,
    clarifier_po4: [f64; 4],
    contact: [f64; 4],
    efficacy: Wander,
    demand: Wander,
    /// Suspended solids of the plant effluent, g/m3.
    pub tss: f64,
}

impl Tertiary {
    /// At rest for mean load and the given doses.
    #[must_use]
    pub fn new(seed: u64, doses: &DoseCommands) -> Tertiary {
        let po4 = PO4_OF_NH4 * super::influent::NH4_MEAN * (1.0 - UPTAKE);
        Tertiary {
            pac: Dosing::new(doses.pac_l_h, 300.0, 20_000.0, 72.0),
            carbon: Dosing::new(doses.carbon_l_h, 300.0, 30_000.0, 64.0),
            naclo: Dosing::new(doses.naclo_l_h, 100.0, 8_000.0, 81.0),
            works_po4: [po4; 2],
            mix_po4: po4,
            mix_al: doses.pac_l_h * PAC_AL_G_L / 768.6,
            clarifier_po4: [0.26; 4],
            contact: [0.5; 4],
            efficacy: Wander::new(seed, "precipitation", 0.04, 6.0 * 3600.0),
            demand: Wander::new(seed, "chlorine demand", 0.06, 3.0 * 3600.0),
            tss: 3.0,
        }
    }

    /// Goes on by `dt` seconds with `flow` m3/h of secondary effluent.
    pub fn step(&mut self, dt: f64, doses: &DoseCommands, flow: f64, stream: &TertiaryIn) {
        self.pac.step(dt, doses.pac_l_h);
        self.carbon.step(dt, doses.carbon_l_h);
        self.naclo.step(dt, doses.naclo_l_h);
        let hours = dt / 3600.0;

        // Without oxygen the biology gives its phosphorus back.
        let uptake = UPTAKE * stream.do_mean / (stream.do_mean + 0.1);
        let mut arriving = PO4_OF_NH4 * stream.influent_nh4 * (1.0 - uptake);
        for (state, volume) in self.works_po4.iter_mut().zip(WORKS_M3) {
            arriving = through(state, arriving, stream.influent_m3_h, volume, hours);
        }

        let turn = exchange(flow, MIX_M3, hours);
        let al = if flow > 1.0 { self.pac.flow_l_h * PAC_AL_G_L / flow } else { 0.0 };
        self.mix_po4 += (self.works_po4[1] - self.mix_po4) * turn;
        self.mix_al += (al - self.mix_al) * turn;
        let efficacy = 1.0 + self.efficacy.step(dt);
        let beta = efficacy * (self.mix_al / MOL_AL) / (self.mix_po4.max(1e-6) / MOL_P);
        let mut water = precipitated(self.mix_po4, beta);
        for (state, volume) in self.clarifier_po4.iter_mut().zip(CLARIFIER_M3) {
            water = through(state, water, flow, volume, hours);
        }

        let solids = FILTER_PASS * asm1::tss(&stream.secondary) + FLOC_SLIP * self.mix_al;
        self.tss += (solids - self.tss) * exchange(flow, 200.0, hours);
        self.step_chlorine(dt, flow, stream.secondary[SNH]);
    }

    fn step_chlorine(&mut self, dt: f64, flow: f64, nh4: f64) {
        let hours = dt / 3600.0;
        let demand = (0.9 + 0.08 * nh4 + 0.05 * self.tss) * (1.0 + self.demand.step(dt));
        let dosed = if flow > 1.0 { self.naclo.flow_l_h * NACLO_CL_G_L / flow } else { 0.0 };
        let mut water = (dosed - demand).max(0.0);
        for (state, volume) in self.contact.iter_mut().zip(CONTACT_M3) {
            water = through(state, water, flow, volume, hours);
            *state *= (-CHLORINE_DECAY_1_H * hours).exp();
        }
    }

    /// Phosphate of the secondary effluent, g/m3.
    #[must_use]
    pub fn po4_in(&self) -> f64 {
        self.works_po4[1]
    }

    /// Phosphate after clarifier and filter, g/m3.
    #[must_use]
    pub fn po4_out(&self) -> f64 {
        self.clarifier_po4[3]
    }

    /// Total phosphorus of the plant effluent, g/m3.
    #[must_use]
    pub fn tp_out(&self) -> f64 {
        self.po4_out() + P_IN_SOLIDS * self.tss
    }

    /// Residual chlorine at the end of the contact tank, g/m3.
    #[must_use]
    pub fn chlorine(&self) -> f64 {
        self.contact[3]
    }
}

/// What reaches the tertiary stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TertiaryIn {
    /// Ammonium of the plant influent, g/m3.
    pub influent_nh4: f64,
    /// Flow of the plant influent, m3/h.
    pub influent_m3_h: f64,
    /// Mean dissolved oxygen of the aerated tanks, g/m3.
    pub do_mean: f64,
    /// Secondary effluent.
    pub secondary: Mix,
}

/// Share of a mixed tank that is exchanged in a step (exact for constant flow).
fn exchange(flow: f64, volume: f64, hours: f64) -> f64 {
    1.0 - (-flow.max(0.0) / volume * hours).exp()
}

/// Passes water through one mixed tank and returns what leaves it.
fn through(state: &mut f64, arriving: f64, flow: f64, volume: f64, hours: f64) -> f64 {
    *state += (arriving - *state) * exchange(flow, volume, hours);
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: TertiaryIn = TertiaryIn {
        influent_nh4: 31.56,
        influent_m3_h: 768.6,
        do_mean: 1.5,
        secondary: [30.0, 0.9, 4.4, 0.2, 9.8, 0.6, 1.7, 1.5, 10.0, 1.5, 0.7, 0.01, 4.0],
    };

    fn run(tertiary: &mut Tertiary, doses: &DoseCommands, hours: f64) {
        for _ in 0..(hours * 360.0) as usize {
            tertiary.step(10.0, doses, 760.0, &STREAM);
        }
    }

    #[test]
    fn residual_phosphate_follows_the_fit() {
        assert!((precipitated(1.0, 1.0) - (-0.852_f64).exp()).abs() < 1e-12);
        assert_eq!(precipitated(1.0, 50.0), PO4_FLOOR);
        assert_eq!(precipitated(0.01, 50.0), 0.01);
        assert_eq!(precipitated(1.3, 0.0), 1.3);
    }

    #[test]
    fn more_coagulant_less_phosphate_after_the_transport_time() {
        let idle = DoseCommands { pac_l_h: 0.0, carbon_l_h: 0.0, naclo_l_h: 0.0 };
        let mut tertiary = Tertiary::new(1, &idle);
        run(&mut tertiary, &idle, 48.0);
        let undosed = tertiary.po4_out();
        assert!((undosed - tertiary.po4_in()).abs() < 0.02 && undosed > 1.0, "{undosed}");
        let dosed = DoseCommands { pac_l_h: 35.0, ..idle };
        run(&mut tertiary, &dosed, 0.25);
        assert!(tertiary.po4_out() > 0.9 * undosed, "the clarifier has a dead time");
        run(&mut tertiary, &dosed, 24.0);
        let some = tertiary.po4_out();
        assert!(some > 0.1 && some < 0.6, "35 L/h leave {some}");
        run(&mut tertiary, &DoseCommands { pac_l_h: 70.0, ..idle }, 24.0);
        assert!(tertiary.po4_out() < some);
    }

    #[test]
    fn chlorine_meets_its_demand_first_and_decays() {
        let mut doses = DoseCommands { pac_l_h: 0.0, carbon_l_h: 0.0, naclo_l_h: 4.0 };
        let mut tertiary = Tertiary::new(1, &doses);
        run(&mut tertiary, &doses, 12.0);
        assert!(tertiary.chlorine() < 0.01, "4 L/h do not cover the demand: {}", tertiary.chlorine());
        doses.naclo_l_h = 14.0;
        run(&mut tertiary, &doses, 12.0);
        let residual = tertiary.chlorine();
        assert!(residual > 0.3 && residual < 1.5, "{residual}");
    }

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
