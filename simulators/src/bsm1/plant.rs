//! The benchmark plant: the biology of [`crate::models::works`] at 15 degC behind actuators, with its handles.
//!
//! Biology, actuators, lags of the default loops and mass ledger are one system of equations, integrated together by
//! the classical Runge-Kutta method; a step never crosses a change of influent or of the noise grid. The hydraulic
//! delay of 8.64 s of the Matlab code is left out: it changes nothing that is printed.

use super::balance::{self, Ledger};
use super::control::{Pi, PiState};
use super::influent::Series;
use super::noise::{GRID_S, Noise};
use super::sensors::{NOISE_SHARE, Sensor};
use crate::clock::DAY_S;
use crate::instruments::Class;
use crate::models::asm1::{Params, SNO, SO};
use crate::models::influent::Inflow;
use crate::models::works::{FEED_FIRST, Feeds, Inputs, Works};

/// COD of the external carbon, g/m3.
pub const CARBON_COD_G_M3: f64 = 400_000.0;
/// Time constant of each of the two lags of an aerator: 4 min of response over 3.89, d.
const KLA_TAU_D: f64 = 4.0 / 3.89 / 1440.0;
/// Lag of the internal recycle, d.
const INTERNAL_TAU_D: f64 = 0.001;
/// Longest step, s: the lags of a class A sensor are 15.4 s.
const STEP_MAX_S: f64 = 15.0;
/// Ranges of the sensors of the default loops: oxygen and nitrate, g/m3.
const LOOP_RANGE: [f64; 2] = [10.0, 20.0];
/// Noise channels of the sensors of the default loops.
const LOOP_CHANNEL: [usize; 2] = [0, 1];

/// What a controller may set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Handles {
    /// Internal recycle from tank 5 to tank 1, m3/d.
    pub q_internal: f64,
    /// Return sludge, m3/d.
    pub q_ras: f64,
    /// Waste sludge, m3/d.
    pub q_was: f64,
    /// Oxygen transfer coefficient per tank, 1/d.
    pub kla: [f64; 5],
    /// External carbon per tank, m3/d.
    pub carbon_m3_d: [f64; 5],
    /// Step feed: shares of influent, return sludge and internal recycle per tank.
    pub feeds: Feeds,
}

impl Handles {
    /// The constant handles of the open loop.
    pub const OPEN_LOOP: Handles = Handles {
        q_internal: 55_338.0,
        q_ras: 18_446.0,
        q_was: 385.0,
        kla: [0.0, 0.0, 240.0, 240.0, 84.0],
        carbon_m3_d: [0.0; 5],
        feeds: FEED_FIRST,
    };

    /// The greatest values; the least are 0.
    pub const MAX: Handles = Handles {
        q_internal: 92_230.0,
        q_ras: 36_892.0,
        q_was: 1844.6,
        kla: [360.0; 5],
        carbon_m3_d: [5.0; 5],
        feeds: [[1.0; 5]; 3],
    };

    /// Within the limits; a value that is no number stays what it was in `before`.
    #[must_use]
    fn limited(&self, before: &Handles) -> Handles {
        let limit = |value: f64, before: f64, max: f64| if value.is_nan() { before } else { value.clamp(0.0, max) };
        let each = |value: &[f64; 5], before: &[f64; 5], max: &[f64; 5]| {
            std::array::from_fn(|k| limit(value[k], before[k], max[k]))
        };
        Handles {
            q_internal: limit(self.q_internal, before.q_internal, Self::MAX.q_internal),
            q_ras: limit(self.q_ras, before.q_ras, Self::MAX.q_ras),
            q_was: limit(self.q_was, before.q_was, Self::MAX.q_was),
            kla: each(&self.kla, &before.kla, &Self::MAX.kla),
            carbon_m3_d: each(&self.carbon_m3_d, &before.carbon_m3_d, &Self::MAX.carbon_m3_d),
            feeds: std::array::from_fn(|s| shares(each(&self.feeds[s], &before.feeds[s], &Self::MAX.feeds[s]))),
        }
    }
}

/// Shares that add up to 1; all goes to the first tank where none is given.
fn shares(given: [f64; 5]) -> [f64; 5] {
    let sum: f64 = given.iter().sum();
    if sum > 1e-6 { given.map(|share| share / sum) } else { FEED_FIRST[0] }
}

/// State of the two default loops: sensor lags and controllers, oxygen in tank 5 and nitrate in tank 2.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Loops {
    so: [f64; 2],
    sno: [f64; 8],
    pi: [PiState; 2],
}

/// Everything that is integrated.
#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    works: Works,
    kla: [[f64; 2]; 5],
    q_internal: f64,
    loops: Loops,
    ledger: Ledger,
}

impl State {
    fn plus(&self, h: f64, slope: &State) -> State {
        fn add<const N: usize>(sum: &mut [f64; N], h: f64, slope: &[f64; N]) {
            sum.iter_mut().zip(slope).for_each(|(y, r)| *y += h * r);
        }
        let mut sum = State { works: self.works.plus(h, &slope.works), ..*self };
        sum.kla.iter_mut().zip(&slope.kla).for_each(|(y, r)| add(y, h, r));
        sum.q_internal += h * slope.q_internal;
        add(&mut sum.loops.so, h, &slope.loops.so);
        add(&mut sum.loops.sno, h, &slope.loops.sno);
        sum.loops.pi.iter_mut().zip(&slope.loops.pi).for_each(|(y, r)| add(y, h, r));
        add(&mut sum.ledger, h, &slope.ledger);
        sum
    }
}

/// Whether the default loops act, and what they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loop {
    Open,
    /// Sensors with lag and noise.
    Closed,
    /// Sensors that show the truth at once.
    Ideal,
}

/// What acts on the state during a step besides itself.
struct Drive<'a> {
    inflow: &'a Inflow,
    handles: &'a Handles,
    closed: Loop,
    params: &'a Params,
    alpha: f64,
}

impl Drive<'_> {
    fn inputs(&self, state: &State) -> Inputs {
        Inputs {
            influent: self.inflow.mix,
            q_in: self.inflow.q,
            q_internal: state.q_internal,
            q_ras: self.handles.q_ras,
            q_was: self.handles.q_was.min(self.inflow.q),
            feeds: self.handles.feeds,
            kla: state.kla.map(|lags| lags[1] * self.alpha),
            carbon: self.handles.carbon_m3_d.map(|q| q * CARBON_COD_G_M3),
            temp_c: 15.0,
        }
    }

    fn derivative(&self, state: &State, noise: [f64; 2]) -> State {
        let inputs = self.inputs(state);
        let mut kla_command = self.handles.kla;
        let mut q_command = self.handles.q_internal;
        let mut loops = Loops { so: [0.0; 2], sno: [0.0; 8], pi: [[0.0; 2]; 2] };
        if self.closed != Loop::Open {
            loops.so = chain(&state.loops.so, state.works.tanks[4][SO], Class::A);
            loops.sno = chain(&state.loops.sno, state.works.tanks[1][SNO], Class::B0);
            let shown = |channel: usize, lagged: f64, truth: f64| match self.closed {
                Loop::Ideal => truth,
                _ => (lagged + noise[channel]).clamp(0.0, LOOP_RANGE[channel]),
            };
            let so = shown(0, state.loops.so[1], state.works.tanks[4][SO]);
            let sno = shown(1, state.loops.sno[7], state.works.tanks[1][SNO]);
            (kla_command[4], loops.pi[0]) = Pi::SO5.respond(so, &state.loops.pi[0]);
            (q_command, loops.pi[1]) = Pi::SNO2.respond(sno, &state.loops.pi[1]);
        }
        State {
            works: state.works.derivative(&inputs, self.params),
            kla: std::array::from_fn(|k| {
                let [first, second] = state.kla[k];
                [(kla_command[k] - first) / KLA_TAU_D, (first - second) / KLA_TAU_D]
            }),
            q_internal: (q_command - state.q_internal) / INTERNAL_TAU_D,
            loops,
            ledger: balance::rates(&state.works, &inputs, self.params),
        }
    }
}

/// Change per day of a chain of lags.
fn chain<const N: usize>(lags: &[f64; N], truth: f64, class: Class) -> [f64; N] {
    let tau_d = class.lags().1 / DAY_S;
    std::array::from_fn(|i| (if i == 0 { truth } else { lags[i - 1] } - lags[i]) / tau_d)
}

/// The benchmark plant.
#[derive(Debug, Clone)]
pub struct Plant {
    state: State,
    handles: Handles,
    closed: Loop,
    influent: Series,
    noise: Noise,
    sensors: Vec<Sensor>,
    time_s: u64,
    steps: u64,
    clipped_g_m3: f64,
    params: Params,
    /// Oxygen transfer by what the handles say; 1.
    alpha: f64,
    step_max_s: f64,
}

impl Plant {
    /// A plant at the given state with the handles of the open loop, constant influent and no noise.
    #[must_use]
    pub fn new(works: Works) -> Plant {
        let handles = Handles::OPEN_LOOP;
        let loops = Loops { so: [0.0; 2], sno: [0.0; 8], pi: [[0.0; 2]; 2] };
        let kla = handles.kla.map(|kla| [kla; 2]);
        Plant {
            state: State { works, kla, q_internal: handles.q_internal, loops, ledger: [0.0; balance::COUNT] },
            handles,
            closed: Loop::Open,
            influent: Series::constant(),
            noise: Noise::None,
            sensors: Vec::new(),
            time_s: 0,
            steps: 0,
            clipped_g_m3: 0.0,
            params: Params::at(15.0),
            alpha: 1.0,
            step_max_s: STEP_MAX_S,
        }
    }

    /// Begins a part of a protocol: time 0, another influent, other noise; the state goes on.
    pub fn begin(&mut self, influent: Series, noise: Noise) {
        self.influent = influent;
        self.noise = noise;
        self.time_s = 0;
    }

    /// Goes on with another influent, whose rows up to now have passed.
    pub fn continue_with(&mut self, influent: Series) {
        self.influent = influent;
    }

    /// Gives the internal recycle and KLa of tank 5 to the default loops.
    pub fn close_loops(&mut self) {
        let tanks = &self.state.works.tanks;
        let (so, sno) = (tanks[4][SO], tanks[1][SNO]);
        // Without a bump: the integral is what is missing to what the actuators do.
        let start = |pi: Pi, measured: f64, stands: f64| {
            let action = pi.gain * (pi.setpoint - measured);
            [stands - pi.offset - action, 0.0]
        };
        let pi = [start(Pi::SO5, so, self.state.kla[4][1]), start(Pi::SNO2, sno, self.state.q_internal)];
        self.state.loops = Loops { so: [so; 2], sno: [sno; 8], pi };
        self.closed = Loop::Closed;
    }

    /// Lets closed loops see the truth at once and without noise: the benchmark's runs with ideal sensors.
    pub fn see_ideally(&mut self) {
        if self.closed == Loop::Closed {
            self.closed = Loop::Ideal;
        }
    }

    /// Takes internal recycle and KLa of tank 5 back from the default loops, at their present values.
    pub fn open_loops(&mut self) {
        if self.closed != Loop::Open {
            self.handles.q_internal = self.state.q_internal;
            self.handles.kla[4] = self.state.kla[4][1];
            self.closed = Loop::Open;
        }
    }

    /// Sets the handles, within their limits; a value that is no number leaves its handle alone.
    pub fn set_handles(&mut self, handles: &Handles) {
        self.handles = handles.limited(&self.handles);
    }

    /// Makes the plant another one than the benchmark: its oxygen transfer (the aerators' effort stays what the handles
    /// say) and the growth rates of its bacteria by these factors.
    pub fn set_nature(&mut self, alpha: f64, growth: f64) {
        self.alpha = alpha;
        self.params = Params::at(15.0).grown(growth);
    }

    /// Sets handles and puts the actuators there at once.
    pub(super) fn stand_at(&mut self, handles: &Handles) {
        self.set_handles(handles);
        self.state.kla = self.handles.kla.map(|kla| [kla; 2]);
        self.state.q_internal = self.handles.q_internal;
    }

    /// The handles as set. The default loops, where closed, act beside them: see [`Plant::applied`].
    #[must_use]
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// What the actuators do at this moment.
    #[must_use]
    pub fn applied(&self) -> Handles {
        self.applied_with(self.inflow())
    }

    fn applied_with(&self, inflow: &Inflow) -> Handles {
        let q_was = self.handles.q_was.min(inflow.q);
        let kla = self.state.kla.map(|lags| lags[1]);
        Handles { q_internal: self.state.q_internal, q_was, kla, ..self.handles }
    }

    /// Adds a sensor, its lags filled with the present truth, and returns its number.
    pub fn add_sensor(&mut self, mut sensor: Sensor) -> usize {
        let truth = sensor.measured().truth(&self.state.works, self.inflow(), &self.applied());
        sensor.fill(truth, &self.noise, self.time_s);
        self.sensors.push(sensor);
        self.sensors.len() - 1
    }

    /// What a sensor shows now; `None` for a number that no sensor has.
    #[must_use]
    pub fn shown(&self, sensor: usize) -> Option<f64> {
        self.sensors.get(sensor).map(|sensor| sensor.value(&self.noise, self.time_s))
    }

    /// Seconds since [`Plant::begin`].
    #[must_use]
    pub fn time_s(&self) -> u64 {
        self.time_s
    }

    /// Influent at this moment.
    #[must_use]
    pub fn inflow(&self) -> &Inflow {
        self.influent.at(self.time_s)
    }

    /// True state of the biology.
    #[must_use]
    pub fn works(&self) -> &Works {
        &self.state.works
    }

    /// Mass balances since the plant was made.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    /// Steps of integration taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sum of all concentrations that had to be lifted to zero, g/m3. The model lets heterotrophs take up ammonium that
    /// is not there; nothing of the benchmark comes near, extreme carbon dosing does.
    #[must_use]
    pub fn clipped_g_m3(&self) -> f64 {
        self.clipped_g_m3
    }

    /// Longest step of integration, s: for judging the accuracy of the default.
    pub fn limit_step(&mut self, step_max_s: f64) {
        self.step_max_s = step_max_s.clamp(0.1, STEP_MAX_S);
    }

    /// Goes on by whole seconds.
    pub fn advance(&mut self, seconds: u64) {
        let end = self.time_s + seconds;
        while self.time_s < end {
            let until = end.min((self.time_s / GRID_S + 1) * GRID_S);
            self.advance_to(until);
        }
    }

    /// Goes on to a time not beyond the next whole minute: influent holds, noise runs in a straight line.
    fn advance_to(&mut self, until_s: u64) {
        let inflow = *self.influent.at(self.time_s);
        let seconds = (until_s - self.time_s) as f64;
        let noise = |time_s: u64| {
            LOOP_CHANNEL.map(|c| NOISE_SHARE * LOOP_RANGE[c] * self.noise.at(LOOP_CHANNEL[c], time_s as f64))
        };
        let (from, to) = (noise(self.time_s), noise(until_s));
        let drive = Drive {
            inflow: &inflow,
            handles: &self.handles,
            closed: self.closed,
            params: &self.params,
            alpha: self.alpha,
        };
        let inputs = drive.inputs(&self.state);
        let parts = self.state.works.parts(seconds / DAY_S, &inputs, &self.params);
        let parts = parts.max((seconds / self.step_max_s).ceil());
        let h = seconds / DAY_S / parts;
        for part in 0..parts as usize {
            let at = |share: f64| [0, 1].map(|c| from[c] + (part as f64 + share) / parts * (to[c] - from[c]));
            self.state = runge_kutta(&drive, &self.state, h, [at(0.0), at(0.5), at(1.0)]);
            self.clipped_g_m3 += keep_positive(&mut self.state.works);
            let applied = self.applied_with(&inflow);
            for sensor in &mut self.sensors {
                sensor.see(sensor.measured().truth(&self.state.works, &inflow, &applied), h * DAY_S);
            }
        }
        self.steps += parts as u64;
        self.time_s = until_s;
        if until_s.is_multiple_of(GRID_S) {
            self.sensors.iter_mut().for_each(|sensor| sensor.hold(&self.noise, until_s));
        }
    }
}

/// One step of `h` days with the noise at its beginning, middle and end.
fn runge_kutta(drive: &Drive, state: &State, h: f64, noise: [[f64; 2]; 3]) -> State {
    let k1 = drive.derivative(state, noise[0]);
    let k2 = drive.derivative(&state.plus(h / 2.0, &k1), noise[1]);
    let k3 = drive.derivative(&state.plus(h / 2.0, &k2), noise[1]);
    let k4 = drive.derivative(&state.plus(h, &k3), noise[2]);
    state.plus(h / 6.0, &k1).plus(h / 3.0, &k2).plus(h / 3.0, &k3).plus(h / 6.0, &k4)
}

/// Lifts negative concentrations to zero and returns what was added.
fn keep_positive(works: &mut Works) -> f64 {
    let settler = &mut works.settler;
    let all = works.tanks.iter_mut().flatten().chain(&mut settler.tss).chain(settler.soluble.iter_mut().flatten());
    all.filter(|y| **y < 0.0).map(|y| -std::mem::replace(y, 0.0)).sum()
}
