//! Reactors and settler of the plant: five tanks with ASM1 and phosphorus, ten settler layers with a composition of
//! their own.
//!
//! Layout, settling velocity and kinetics are those of [`works`](super::works), which is the benchmark to the letter.
//! The benchmark gives the settler's particulates the composition of tank 5 at once, so its balances close over the
//! reactors alone. Here every layer keeps what sank into it: nitrogen, oxygen demand, phosphorus, metal and solids close
//! over the whole. What leaves is integrated with the state by the same Runge-Kutta weights, see [`Passed`].

use super::asm1::{self, Params, SALK, SNH, SO, SS, STATES, XBH};
use super::tertiary::ALKALINITY_PER_AL;
use super::water::{self, MEOH, MEOH_PER_AL, MEOH_PER_P, MEP, MEP_PER_P, PARTICULATE, PARTS, PO4, Stock, Water, XPP};
use super::works::{LAYER_M, LAYERS, SETTLER_AREA_M2, VOLUMES_M3, Works, blanket_m, settling_fluxes};
use crate::clock::DAY_S;

/// Layer the feed enters, from the top, zero-based.
const FEED: usize = 4;
/// Volume of one settler layer, m3.
const LAYER_M3: f64 = SETTLER_AREA_M2 * LAYER_M;
/// Product of step and fastest rate at which the Runge-Kutta method is still well inside its stability limit of 2.78.
const STEP_RATE_MAX: f64 = 2.2;
/// Most parts a step is divided into.
const PARTS_MAX: f64 = 2000.0;
/// 1 for the components that settle.
const SETTLES: Water = settles();

/// Growth of heterotrophs stops without ammonium and phosphate: half-saturations, g/m3 (ASM2d K_P; its K_NH4 of 0.05
/// would move the benchmark's steady state).
const KN: f64 = 0.02;
const KP: f64 = 0.01;
/// Half-saturation of oxygen (ASM1 K_OH), g/m3.
const KO: f64 = 0.2;
/// Polyphosphate: greatest uptake, g P/(g COD d); half-saturation of phosphate (ASM2d K_PS), g/m3;
/// greatest content, g P/g COD, fitted to the 74 % the plant takes out at mean load; ASM2d K_IPP, g P/g COD.
const PP_UPTAKE: f64 = 0.5;
const PP_K_PO4: f64 = 0.2;
const PP_MAX: f64 = 0.0308;
const PP_K_ROOM: f64 = 0.02;
/// Release without oxygen, 1/d, and the substrate at which it has half its rate, g COD/m3 (ASM2d K_A).
const PP_RELEASE: f64 = 3.0;
const PP_K_A: f64 = 4.0;
/// Share of the stored polyphosphate that decaying biomass sets free per unit of ASM1's decay rate at 15 degC, 1/d.
const PP_LYSIS: f64 = 0.3;
/// Aluminium, g/mol.
const MOL_AL: f64 = 26.98;
/// Precipitation, m3/(g d), redissolution, 1/d, and its half-saturation of alkalinity, mol/m3 (ASM2d).
const K_PRE: f64 = 1.0;
const K_RED: f64 = 0.6;
const K_ALK: f64 = 0.5;

/// Phosphate, g/m3, and polyphosphate, g P/g COD of heterotrophs, of the tanks at rest at mean load (printed by the test
/// `print_settled_state`).
const PHOSPHORUS_SETTLED: [(f64, f64); 5] =
    [(3.2, 0.0284), (4.24, 0.0280), (2.85, 0.0285), (1.85, 0.0289), (1.15, 0.0292)];

const fn settles() -> Water {
    let mut mask = [0.0; PARTS];
    let mut i = 0;
    while i < PARTICULATE.len() {
        mask[PARTICULATE[i]] = 1.0;
        i += 1;
    }
    mask
}

/// State: concentrations of the tanks and of the settler layers from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Basin {
    /// The reactors.
    pub tanks: [Water; 5],
    /// The settler.
    pub layers: [Water; LAYERS],
}

/// What acts during a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    /// Concentrations of what enters tank 1 from outside: influent and reject water.
    pub influent: Water,
    /// Its flow, m3/d.
    pub q_in: f64,
    /// Internal recycle from tank 5 to tank 1, m3/d.
    pub q_internal: f64,
    /// Return sludge, m3/d.
    pub q_ras: f64,
    /// Waste sludge, m3/d, at most `q_in`.
    pub q_was: f64,
    /// Oxygen transfer coefficient per tank at 15 degC, 1/d.
    pub kla: [f64; 5],
    /// External carbon into tank 1, g COD/d.
    pub carbon: f64,
    /// Metal into tank 5, g/d as Fe(OH)3.
    pub metal: f64,
    /// Water temperature, degC.
    pub temp_c: f64,
}

/// What passed the boundaries of the basin during a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passed {
    /// Over the weir.
    pub effluent: Stock,
    /// Waste sludge.
    pub waste: Stock,
    /// Nitrogen gas, g N.
    pub nitrogen_gas: f64,
    /// Oxygen from the air, g.
    pub oxygen: f64,
    /// Solids formed by growth, decay and precipitation, g.
    pub solids_formed: f64,
}

/// Sources and sinks inside the basin, g/d.
#[derive(Debug, Clone, Copy)]
struct Sources {
    nitrogen_gas: f64,
    oxygen: f64,
    solids_formed: f64,
}

impl Passed {
    const NOTHING: Passed =
        Passed { effluent: Stock::EMPTY, waste: Stock::EMPTY, nitrogen_gas: 0.0, oxygen: 0.0, solids_formed: 0.0 };

    /// Adds the flows of a state over `h` days.
    fn add(&mut self, h: f64, state: &Basin, sources: &Sources, inputs: &Inputs) {
        let (over, waste) = ((inputs.q_in - inputs.q_was).max(0.0) * h, inputs.q_was * h);
        self.effluent.put(&Stock::of(over, &state.layers[0]));
        self.waste.put(&Stock::of(waste, &state.layers[LAYERS - 1]));
        self.nitrogen_gas += h * sources.nitrogen_gas;
        self.oxygen += h * sources.oxygen;
        self.solids_formed += h * sources.solids_formed;
    }
}

impl Basin {
    /// The state the plant starts from: see [`Works::settled`] for its ASM1 part.
    #[must_use]
    pub fn settled() -> Basin {
        let works = Works::settled();
        let mut tanks = works.tanks.map(|mix| water::water(&mix, 0.0));
        for (tank, (po4, stored)) in tanks.iter_mut().zip(PHOSPHORUS_SETTLED) {
            tank[PO4] = po4;
            tank[XPP] = stored * tank[XBH];
        }
        let solids = asm1::tss(&works.tanks[4]);
        let layers = std::array::from_fn(|layer| {
            // Solubles and solids of the benchmark's layer in the composition of tank 5.
            let share = works.settler.tss[layer] / solids;
            let mut y = tanks[4];
            PARTICULATE.iter().for_each(|i| y[*i] *= share);
            y
        });
        Basin { tanks, layers }
    }

    /// Goes on by `dt` seconds (classical Runge-Kutta, divided where the fastest rate asks for it).
    pub fn step(&mut self, dt: f64, inputs: &Inputs) -> Passed {
        self.step_with(dt, inputs, &Params::at(inputs.temp_c))
    }

    /// The same with parameters of its own.
    pub fn step_with(&mut self, dt: f64, inputs: &Inputs, params: &Params) -> Passed {
        let days = dt / DAY_S;
        let parts = self.parts(days, inputs, params);
        let mut passed = Passed::NOTHING;
        for _ in 0..parts as usize {
            self.runge_kutta(days / parts, inputs, params, &mut passed);
        }
        passed
    }

    fn parts(&self, days: f64, inputs: &Inputs, params: &Params) -> f64 {
        let through = (inputs.q_in + inputs.q_ras + inputs.q_internal) / VOLUMES_M3[0];
        let fastest = (0..5)
            .map(|k| {
                let tank = &self.tanks[k];
                let room = (PP_MAX * tank[XBH] - tank[XPP]).max(0.0) / tank[XBH].max(1e-9);
                let uptake = PP_UPTAKE * tank[XBH] * room / (PP_K_ROOM + room) * PP_K_PO4
                    / (PP_K_PO4 + tank[PO4]).powi(2)
                    + PP_UPTAKE / PP_K_ROOM;
                let precipitation = K_PRE * (tank[MEOH] + MEOH_PER_P * tank[PO4]) + K_RED * MEP_PER_P;
                let mix = water::mix(tank);
                let growth = asm1::nutrient_stiffness(&mix, params, KN) * (1.0 + KN / KP);
                let asm1 = asm1::stiffness(&mix, params) + inputs.kla[k] * params.kla_factor + growth;
                asm1.max(uptake + precipitation)
            })
            .fold(0.0, f64::max)
            + through;
        (days * fastest / STEP_RATE_MAX).ceil().clamp(1.0, PARTS_MAX)
    }

    fn runge_kutta(&mut self, h: f64, inputs: &Inputs, params: &Params, passed: &mut Passed) {
        let start = *self;
        let mut sum = *self;
        let mut stage = *self;
        for (reach, weight) in [(0.5, 1.0 / 6.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 3.0), (0.0, 1.0 / 6.0)] {
            let (slope, sources) = stage.derivative(inputs, params);
            passed.add(h * weight, &stage, &sources, inputs);
            sum.add(h * weight, &slope);
            stage = start;
            stage.add(h * reach, &slope);
        }
        *self = sum;
        // A vanishing state may end a hair below zero, where the kinetics have no meaning.
        self.tanks.iter_mut().chain(&mut self.layers).flatten().for_each(|y| *y = y.max(0.0));
    }

    fn add(&mut self, h: f64, slope: &Basin) {
        for (y, rate) in self.tanks.iter_mut().chain(&mut self.layers).zip(slope.tanks.iter().chain(&slope.layers)) {
            for i in 0..PARTS {
                y[i] += h * rate[i];
            }
        }
    }

    /// Change of every state per day, and what arises inside.
    fn derivative(&self, inputs: &Inputs, params: &Params) -> (Basin, Sources) {
        let underflow = &self.layers[LAYERS - 1];
        let through = inputs.q_in + inputs.q_ras + inputs.q_internal;
        let per_through = 1.0 / through.max(1e-9);
        let mut inlet: Water = std::array::from_fn(|i| {
            (inputs.q_in * inputs.influent[i] + inputs.q_ras * underflow[i] + inputs.q_internal * self.tanks[4][i])
                * per_through
        });
        let mut slope = Basin { tanks: [[0.0; PARTS]; 5], layers: self.settling(inputs) };
        let mut sources = Sources { nitrogen_gas: 0.0, oxygen: 0.0, solids_formed: 0.0 };
        for (k, rate) in slope.tanks.iter_mut().enumerate() {
            let tank = &self.tanks[k];
            let nitrogen_gas = reactions(tank, params, rate);
            sources.nitrogen_gas += VOLUMES_M3[k] * nitrogen_gas;
            sources.solids_formed += VOLUMES_M3[k] * water::tss(rate);
            let turnover = through / VOLUMES_M3[k];
            for i in 0..PARTS {
                rate[i] += turnover * (inlet[i] - tank[i]);
            }
            let oxygen = inputs.kla[k] * params.kla_factor * (params.so_sat - tank[SO]);
            rate[SO] += oxygen;
            sources.oxygen += VOLUMES_M3[k] * oxygen;
            inlet = *tank;
        }
        slope.tanks[0][SS] += inputs.carbon / VOLUMES_M3[0];
        let mut dosed = [0.0; PARTS];
        dosed[MEOH] = inputs.metal;
        slope.tanks[4][MEOH] += inputs.metal / VOLUMES_M3[4];
        slope.tanks[4][SALK] -= ALKALINITY_PER_AL * inputs.metal / MEOH_PER_AL / MOL_AL / VOLUMES_M3[4];
        sources.solids_formed += water::tss(&dosed);
        (slope, sources)
    }

    fn settling(&self, inputs: &Inputs) -> [Water; LAYERS] {
        let down = (inputs.q_ras + inputs.q_was) / SETTLER_AREA_M2 / LAYER_M;
        let up = (inputs.q_in - inputs.q_was).max(0.0) / SETTLER_AREA_M2 / LAYER_M;
        let feed = up + down;
        let solids = self.layers.map(|y| water::tss(&y));
        let flux = settling_fluxes(&solids, water::tss(&self.tanks[4]));
        let mut rate = [[0.0; PARTS]; LAYERS];
        for (i, rate) in rate.iter_mut().enumerate() {
            let own = &self.layers[i];
            // Bulk flow: water rises above the feed, sinks below it, both leave the feed layer.
            let (from, arriving, leaving) = match i.cmp(&FEED) {
                std::cmp::Ordering::Less => (&self.layers[i + 1], up, up),
                std::cmp::Ordering::Equal => (&self.tanks[4], feed, feed),
                std::cmp::Ordering::Greater => (&self.layers[i - 1], down, down),
            };
            for c in 0..PARTS {
                rate[c] = arriving * from[c] - leaving * own[c];
            }
        }
        for i in 0..LAYERS - 1 {
            // What sinks has the composition of the layer it leaves.
            let speed = if solids[i] > 1e-9 { flux[i] / solids[i] / LAYER_M } else { 0.0 };
            for c in 0..PARTS {
                let sinking = SETTLES[c] * speed * self.layers[i][c];
                rate[i][c] -= sinking;
                rate[i + 1][c] += sinking;
            }
        }
        rate
    }

    /// Water that leaves over the weir.
    #[must_use]
    pub fn effluent(&self) -> &Water {
        &self.layers[0]
    }

    /// Sludge that leaves at the bottom: return and waste sludge.
    #[must_use]
    pub fn underflow(&self) -> &Water {
        &self.layers[LAYERS - 1]
    }

    /// Everything the basin holds.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let mut all = Stock::EMPTY;
        self.tanks.iter().zip(VOLUMES_M3).for_each(|(y, m3)| all.put(&Stock::of(m3, y)));
        self.layers.iter().for_each(|y| all.put(&Stock::of(LAYER_M3, y)));
        all
    }

    /// All concentrations: tanks, then layers.
    pub fn concentrations(&self) -> impl Iterator<Item = &f64> {
        self.tanks.iter().chain(&self.layers).flatten()
    }

    /// Height of the sludge blanket (solids above 2500 g/m3) over the floor, m, interpolated between layer centres.
    #[must_use]
    pub fn blanket_m(&self) -> f64 {
        blanket_m(&self.layers.map(|y| water::tss(&y)))
    }
}

/// Writes the reaction rates, g/(m3 d), and returns the nitrogen gas formed.
fn reactions(y: &Water, params: &Params, rate: &mut Water) -> f64 {
    let nutrients = (y[SNH].max(0.0) / (KN + y[SNH].max(0.0))).min(y[PO4].max(0.0) / (KP + y[PO4].max(0.0)));
    let asm1 = asm1::limited_rates(&water::mix(y), params, nutrients);
    rate[..STATES].copy_from_slice(&asm1);
    rate[STATES..].fill(0.0);
    // Nitrogen leaves as gas alone, phosphorus not at all: what organic matter gains, the water loses.
    let nitrogen_gas = -asm1::total_nitrogen(&asm1);
    let organic = water::organic_phosphorus(rate);
    let (so, po4) = (y[SO].max(0.0), y[PO4].max(0.0));
    let (xbh, xpp) = (y[XBH].max(0.0), y[XPP].max(0.0));
    let oxic = so / (KO + so);
    let room = (PP_MAX - xpp / xbh.max(1e-9)).max(0.0);
    let uptake = PP_UPTAKE * oxic * po4 / (PP_K_PO4 + po4) * room / (PP_K_ROOM + room) * xbh;
    let substrate = y[SS].max(0.0) / (PP_K_A + y[SS].max(0.0));
    let release = (PP_RELEASE * substrate * (1.0 - oxic) + PP_LYSIS) * xpp;
    let alkalinity = y[SALK].max(0.0) / (K_ALK + y[SALK].max(0.0));
    let bound = K_PRE * po4 * y[MEOH].max(0.0) - K_RED * y[MEP].max(0.0) * alkalinity;
    rate[PO4] = release - uptake - organic - bound;
    rate[XPP] = uptake - release;
    rate[MEOH] = -MEOH_PER_P * bound;
    rate[MEP] = MEP_PER_P * bound;
    nitrogen_gas
}

#[cfg(test)]
#[path = "basin_tests.rs"]
mod tests;
