//! The biological works: five reactors, ten-layer settler, internal recycle and return sludge.
//!
//! Layout and settler as in BSM1: tanks of 1000, 1000 and three times 1333 m3, settler 1500 m2 by 4 m with the feed in
//! layer 5 from the top, Takacs double-exponential settling, no reactions in the settler. Flows in m3/d.

use super::asm1::{self, Mix, Params, SALK, SI, SND, SNH, SNO, SO, SS, STATES, XBA, XBH, XI, XND, XP, XS};
use crate::clock::DAY_S;

/// Volumes of the reactors, m3.
pub const VOLUMES_M3: [f64; 5] = [1000.0, 1000.0, 1333.0, 1333.0, 1333.0];
/// Surface of the settler, m2.
pub const SETTLER_AREA_M2: f64 = 1500.0;
/// Height of one settler layer, m.
pub const LAYER_M: f64 = 0.4;
/// Number of settler layers, counted from the top.
pub const LAYERS: usize = 10;
/// Layer the feed enters, from the top, zero-based.
const FEED: usize = 4;
/// Soluble states, transported through the settler as they are.
pub(crate) const SOLUBLE: [usize; 7] = [SI, SS, SO, SNO, SNH, SND, SALK];
/// Particulate states, which follow the suspended solids.
const PARTICULATE: [usize; 6] = [XI, XS, XBH, XBA, XP, XND];
/// Product of step and fastest rate at which the Runge-Kutta method is still well inside its stability limit of 2.78.
const STEP_RATE_MAX: f64 = 2.2;

/// Settler: suspended solids and soluble concentrations of every layer, g/m3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settler {
    /// Suspended solids per layer, top to bottom.
    pub tss: [f64; LAYERS],
    /// Soluble states per layer.
    pub soluble: [[f64; SOLUBLE.len()]; LAYERS],
}

/// State of the works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Works {
    /// The reactors.
    pub tanks: [Mix; 5],
    /// The settler.
    pub settler: Settler,
}

/// Shares of the three streams that enter the tanks: influent, return sludge, internal recycle. Each row adds up to 1.
pub type Feeds = [[f64; 5]; 3];
/// All of every stream enters the first tank.
pub const FEED_FIRST: Feeds = [[1.0, 0.0, 0.0, 0.0, 0.0]; 3];

/// What acts on the works during a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    /// Influent concentrations.
    pub influent: Mix,
    /// Influent flow, m3/d.
    pub q_in: f64,
    /// Internal recycle from tank 5 to tank 1, m3/d.
    pub q_internal: f64,
    /// Return sludge, m3/d.
    pub q_ras: f64,
    /// Waste sludge, m3/d.
    pub q_was: f64,
    /// Where influent, return sludge and internal recycle enter.
    pub feeds: Feeds,
    /// Oxygen transfer coefficient per tank at 15 degC, 1/d.
    pub kla: [f64; 5],
    /// External carbon per tank, g COD/d.
    pub carbon: [f64; 5],
    /// Water temperature, degC.
    pub temp_c: f64,
}

impl Works {
    /// Mixed liquor of the same composition everywhere and clear water above: where a relaxation starts.
    #[must_use]
    pub fn uniform(liquor: Mix) -> Works {
        let solubles = SOLUBLE.map(|i| liquor[i]);
        let solids = asm1::tss(&liquor);
        let mut tss = [0.02 * solids; LAYERS];
        tss[FEED..].fill(0.1 * solids);
        tss[LAYERS - 1] = 2.0 * solids;
        Works { tanks: [liquor; 5], settler: Settler { tss, soluble: [solubles; LAYERS] } }
    }

    /// A settled state of the controlled plant at mean load: DO near 1.5 mg/L in tanks 3 to 5, internal recycle twice
    /// the influent, water at 17 degC. Made by relaxing this model (see the test `settled_state_rests`).
    #[must_use]
    pub fn settled() -> Works {
        super::settled::STATE
    }

    /// Goes on by `dt` seconds (classical Runge-Kutta, divided where the fastest rate asks for it).
    pub fn step(&mut self, dt: f64, inputs: &Inputs) {
        let params = Params::at(inputs.temp_c);
        let days = dt / DAY_S;
        let parts = self.parts(days, inputs, &params);
        for _ in 0..parts as usize {
            self.runge_kutta(days / parts, inputs, &params);
        }
        self.keep_positive();
    }

    /// Steps the Runge-Kutta method has to take for so many days from here, a whole number.
    pub(crate) fn parts(&self, days: f64, inputs: &Inputs, params: &Params) -> f64 {
        let through = (inputs.q_in + inputs.q_ras + inputs.q_internal) / VOLUMES_M3[0];
        let fastest = (0..5)
            .map(|k| asm1::stiffness(&self.tanks[k], params) + inputs.kla[k] * params.kla_factor)
            .fold(0.0, f64::max)
            + through;
        (days * fastest / STEP_RATE_MAX).ceil().clamp(1.0, 1000.0)
    }

    fn runge_kutta(&mut self, h: f64, inputs: &Inputs, params: &Params) {
        let k1 = self.derivative(inputs, params);
        let k2 = self.plus(h / 2.0, &k1).derivative(inputs, params);
        let k3 = self.plus(h / 2.0, &k2).derivative(inputs, params);
        let k4 = self.plus(h, &k3).derivative(inputs, params);
        *self = self.plus(h / 6.0, &k1).plus(h / 3.0, &k2).plus(h / 3.0, &k3).plus(h / 6.0, &k4);
    }

    /// This state and `h` days of the slope.
    pub(crate) fn plus(&self, h: f64, slope: &Works) -> Works {
        let mut sum = *self;
        for (tank, rate) in sum.tanks.iter_mut().zip(&slope.tanks) {
            tank.iter_mut().zip(rate).for_each(|(y, r)| *y += h * r);
        }
        sum.settler.tss.iter_mut().zip(&slope.settler.tss).for_each(|(y, r)| *y += h * r);
        for (layer, rate) in sum.settler.soluble.iter_mut().zip(&slope.settler.soluble) {
            layer.iter_mut().zip(rate).for_each(|(y, r)| *y += h * r);
        }
        sum
    }

    /// Rounding may leave a vanishing state a hair below zero, where the kinetics have no meaning.
    fn keep_positive(&mut self) {
        let all = self
            .tanks
            .iter_mut()
            .flatten()
            .chain(&mut self.settler.tss)
            .chain(self.settler.soluble.iter_mut().flatten());
        all.for_each(|y| *y = y.max(0.0));
    }

    /// Change of every state per day.
    pub(crate) fn derivative(&self, inputs: &Inputs, params: &Params) -> Works {
        let underflow = self.underflow();
        let flows = [inputs.q_in, inputs.q_ras, inputs.q_internal];
        let streams = [&inputs.influent, &underflow, &self.tanks[4]];
        let mut through = 0.0;
        let mut inlet: Mix = [0.0; STATES];
        let mut tanks = [[0.0; STATES]; 5];
        for (k, rate) in tanks.iter_mut().enumerate() {
            let tank = &self.tanks[k];
            *rate = asm1::rates(tank, params);
            let fed: [f64; 3] = std::array::from_fn(|s| flows[s] * inputs.feeds[s][k]);
            let fresh: f64 = fed.iter().sum();
            if fresh > 0.0 {
                let all = through + fresh;
                inlet = std::array::from_fn(|i| {
                    (through * inlet[i] + (0..3).map(|s| fed[s] * streams[s][i]).sum::<f64>()) / all
                });
                through = all;
            }
            let turnover = through / VOLUMES_M3[k];
            for i in 0..STATES {
                rate[i] += turnover * (inlet[i] - tank[i]);
            }
            rate[SO] += inputs.kla[k] * params.kla_factor * (params.so_sat - tank[SO]);
            rate[SS] += inputs.carbon[k] / VOLUMES_M3[k];
            inlet = *tank;
        }
        Works { tanks, settler: self.settler_derivative(inputs) }
    }

    fn settler_derivative(&self, inputs: &Inputs) -> Settler {
        let q_feed = inputs.q_in + inputs.q_ras;
        let q_under = inputs.q_ras + inputs.q_was;
        let down = q_under / SETTLER_AREA_M2;
        let up = (q_feed - q_under).max(0.0) / SETTLER_AREA_M2;
        let feed = q_feed / SETTLER_AREA_M2;
        let feed_tss = asm1::tss(&self.tanks[4]);
        let x = &self.settler.tss;
        let sink = settling_fluxes(x, feed_tss);
        let feed_soluble = SOLUBLE.map(|i| self.tanks[4][i]);
        let mut rate = Settler { tss: [0.0; LAYERS], soluble: [[0.0; SOLUBLE.len()]; LAYERS] };
        for i in 0..LAYERS {
            // Bulk flow: water rises above the feed, sinks below it, both leave the feed layer.
            let bulk = |own: f64, fed: f64, at: &dyn Fn(usize) -> f64| match i.cmp(&FEED) {
                std::cmp::Ordering::Less => up * (at(i + 1) - own),
                std::cmp::Ordering::Equal => feed * fed - (up + down) * own,
                std::cmp::Ordering::Greater => down * (at(i - 1) - own),
            };
            let arriving = if i > 0 { sink[i - 1] } else { 0.0 };
            let leaving = if i + 1 < LAYERS { sink[i] } else { 0.0 };
            rate.tss[i] = (bulk(x[i], feed_tss, &|j| x[j]) + arriving - leaving) / LAYER_M;
            for (s, fed) in feed_soluble.iter().enumerate() {
                let own = self.settler.soluble[i][s];
                rate.soluble[i][s] = bulk(own, *fed, &|j| self.settler.soluble[j][s]) / LAYER_M;
            }
        }
        rate
    }

    /// Water that leaves over the weir.
    #[must_use]
    pub fn effluent(&self) -> Mix {
        self.settled_stream(0)
    }

    /// Sludge that leaves at the bottom: return and waste sludge.
    #[must_use]
    pub fn underflow(&self) -> Mix {
        self.settled_stream(LAYERS - 1)
    }

    /// Solubles of a layer with particulates of tank 5's composition, scaled to the solids of the layer.
    fn settled_stream(&self, layer: usize) -> Mix {
        let mut stream = [0.0; STATES];
        for (s, i) in SOLUBLE.into_iter().enumerate() {
            stream[i] = self.settler.soluble[layer][s];
        }
        let share = self.settler.tss[layer] / asm1::tss(&self.tanks[4]).max(1e-9);
        for i in PARTICULATE {
            stream[i] = self.tanks[4][i] * share;
        }
        stream
    }

    /// Height of the sludge blanket (solids above 2500 g/m3) over the floor, m, interpolated between layer centres.
    #[must_use]
    pub fn blanket_m(&self) -> f64 {
        blanket_m(&self.settler.tss)
    }
}

/// Height over the floor, m, at which the solids of a settler's layers, g/m3, reach 2500 g/m3, interpolated between layer
/// centres.
pub(super) fn blanket_m(x: &[f64; LAYERS]) -> f64 {
    const BLANKET: f64 = 2500.0;
    let centre = |i: usize| (LAYERS - i) as f64 * LAYER_M - LAYER_M / 2.0;
    match (0..LAYERS).find(|i| x[*i] >= BLANKET) {
        None => 0.0,
        Some(0) => LAYERS as f64 * LAYER_M,
        Some(i) => centre(i) + LAYER_M * (x[i] - BLANKET) / (x[i] - x[i - 1]),
    }
}

/// Solids flux by gravity from every layer to the next, g/(m2 d), by the suspended solids of the layers and of the feed, g/m3
/// (Takacs).
pub(super) fn settling_fluxes(x: &[f64; LAYERS], feed_tss: f64) -> [f64; LAYERS - 1] {
    const THRESHOLD: f64 = 3000.0;
    let least = 0.00228 * feed_tss;
    let flux = x.map(|x| {
        let over = x - least;
        let velocity = (474.0 * ((-0.000576 * over).exp() - (-0.00286 * over).exp())).clamp(0.0, 250.0);
        velocity * x
    });
    std::array::from_fn(|i| {
        let free = i < FEED && x[i + 1] <= THRESHOLD;
        if free { flux[i] } else { flux[i].min(flux[i + 1]) }
    })
}
