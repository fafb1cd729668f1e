//! Air side: three blowers, a common header, three zone valves with diffusers, and the way from air to oxygen transfer.
//!
//! Pressures are gauge kPa, air flows Nm3/h. Header: isothermal store. Zone: static head of the water, wet diffuser
//! pressure that grows with flow and fouling, equal-percentage valve. Blowers: see [`blower`](super::blower). Oxygen
//! transfer: `KLa = Q * 24 * 1000 * 0.299 * SOTE * alpha * F / (SOsat V)`, 0.299 kg O2 per Nm3, SOTE falling with the
//! air flux, alpha with the organic load, F with the age of the diffusers. KLa is that of 15 degC; the biology applies
//! 1.024^(T-15).

use super::blower::{ATMOSPHERE_KPA, Blower, Intake, speed_for};

pub use super::blower::SPEED_MIN_PCT;

/// Volume of header and drop legs, m3.
const HEADER_M3: f64 = 60.0;
/// Head of water over the diffusers, kPa (3.8 m).
const STATIC_KPA: f64 = 37.3;
/// Wet diffuser pressure: of new membranes at no flow, kPa, what fouling adds at its worst, growth, kPa per Nm3/h.
const DIFFUSER_KPA: f64 = 2.2;
const DIFFUSER_FOULED_KPA: f64 = 1.5;
const DIFFUSER_KPA_PER_FLOW: f64 = 0.000_75;
/// Zone valve: flow at full opening and 1 kPa, Nm3/h, and rangeability of the equal-percentage characteristic.
const VALVE_KV: f64 = 2751.0;
const VALVE_RANGEABILITY: f64 = 50.0;
/// Travel of a valve from closed to open, s, and the least change that moves it, %.
const VALVE_TRAVEL_S: f64 = 45.0;
const VALVE_STICTION_PCT: f64 = 1.0;
/// Below this opening the disc sits in its seat, %.
const VALVE_SHUT_PCT: f64 = 2.0;
/// Relief valve of the header: opening pressure, kPa, and capacity, Nm3/h per kPa above it.
const RELIEF_KPA: f64 = 80.0;
const RELIEF_FLOW_PER_KPA: f64 = 1500.0;
/// alpha of the three zones at mean load, how much of it a doubled organic load takes away, and its bounds.
const ALPHA: [f64; 3] = [0.63, 0.71, 0.79];
const ALPHA_LOAD: [f64; 3] = [0.14, 0.07, 0.03];
const ALPHA_RANGE: (f64, f64) = (0.35, 0.80);
/// The load acts on alpha with the residence time of the tanks before, s.
const ALPHA_TAU_S: f64 = 1800.0;
/// Fouling factor: of new membranes, of old ones, and its time constant, d; age at the start, d.
const FOULING_NEW: f64 = 1.0;
const FOULING_OLD: f64 = 0.75;
const FOULING_TAU_D: f64 = 900.0;
const FOULING_AGE_D: f64 = 220.0;
/// Oxygen transfer efficiency at the reference flow of a zone, its exponent and its limits.
const SOTE_REF: f64 = 0.28;
const SOTE_REF_FLOW: f64 = 1500.0;
const SOTE_EXPONENT: f64 = -0.12;
const SOTE_RANGE: (f64, f64) = (0.20, 0.36);
/// Oxygen per Nm3 of air, kg.
const OXYGEN_KG_NM3: f64 = 0.299;
/// Saturation that defines KLa at 15 degC, g/m3.
const SO_SAT: f64 = 8.0;
/// Volume of one aerated tank, m3.
const ZONE_M3: f64 = 1333.0;
/// The header is solved to this pressure, kPa, in at most so many iterations.
const HEADER_TOLERANCE_KPA: f64 = 1e-7;
const HEADER_ITERATIONS: usize = 40;

/// What the air side is told to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AirCommands {
    /// Position of the zone valves, % open.
    pub valve_pct: [f64; 3],
    /// Speed of the blowers, %.
    pub speed_pct: [f64; 3],
    /// Run command of the blowers.
    pub run: [bool; 3],
}

/// What acts on the air side from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AirSurroundings {
    /// Organic load of the influent relative to its mean.
    pub load: f64,
    /// Temperature of the intake air, degC.
    pub intake_c: f64,
}

impl AirSurroundings {
    /// Mean load and mild air.
    pub const MILD: AirSurroundings = AirSurroundings { load: 1.0, intake_c: 20.0 };
}

/// The air side.
#[derive(Debug, Clone, PartialEq)]
pub struct AirSystem {
    /// Header pressure, kPa gauge.
    pub header_kpa: f64,
    /// Valve positions, %.
    pub valve_pct: [f64; 3],
    valve_moving: [bool; 3],
    /// Blowers.
    pub blowers: [Blower; 3],
    /// Air of the zones, Nm3/h.
    pub zone_flow: [f64; 3],
    /// Oxygen transfer coefficients of the zones at 15 degC, 1/d.
    pub zone_kla: [f64; 3],
    /// Oxygen transfer in sewage by what it should be; 1.
    pub alpha_factor: f64,
    load: f64,
    age_d: f64,
}

impl AirSystem {
    /// Running at the given commands, at rest. The energy registers of the blowers start at `energy_kwh`.
    #[must_use]
    pub fn new(commands: &AirCommands, around: &AirSurroundings, energy_kwh: [f64; 3]) -> AirSystem {
        let blower = |i: usize| Blower::new(commands.run[i], commands.speed_pct[i], 0.0);
        let mut air = AirSystem {
            header_kpa: 50.0,
            valve_pct: commands.valve_pct,
            valve_moving: [false; 3],
            blowers: std::array::from_fn(blower),
            zone_flow: [0.0; 3],
            zone_kla: [0.0; 3],
            alpha_factor: 1.0,
            load: around.load,
            age_d: FOULING_AGE_D,
        };
        for _ in 0..600 {
            air.step(0.1, commands, around);
        }
        for (blower, kwh) in air.blowers.iter_mut().zip(energy_kwh) {
            let settled = *blower;
            *blower = Blower::new(settled.running(), settled.speed_pct, kwh);
        }
        air.step(0.1, commands, around);
        air.age_d = FOULING_AGE_D;
        air
    }

    /// Valve positions (within 15 to 85 %) and blower speeds that give the wanted transfer coefficients at 55 kPa.
    #[must_use]
    pub fn commands_for(zone_kla: [f64; 3], around: &AirSurroundings) -> AirCommands {
        const HEADER_KPA: f64 = 55.0;
        /// Most one machine is asked for, Nm3/h.
        const MACHINE_MAX: f64 = 3000.0;
        let fouling = fouling(FOULING_AGE_D);
        let valve_pct = std::array::from_fn(|zone| {
            let (mut low, mut high) = (15.0, 85.0);
            for _ in 0..40 {
                let middle = (low + high) / 2.0;
                let air = zone_flow(valve_kv(middle), HEADER_KPA - foot_kpa(fouling)).0;
                if kla(air, alpha(zone, around.load) * fouling) < zone_kla[zone] { low = middle } else { high = middle }
            }
            low
        });
        let total: f64 = valve_pct.iter().map(|pct| zone_flow(valve_kv(*pct), HEADER_KPA - foot_kpa(fouling)).0).sum();
        let machines = (total / MACHINE_MAX).ceil().clamp(1.0, 3.0);
        let speed = speed_for(total / machines, HEADER_KPA, &Intake::at(around.intake_c));
        AirCommands {
            valve_pct,
            speed_pct: [speed.clamp(SPEED_MIN_PCT, 100.0); 3],
            run: std::array::from_fn(|i| (i as f64) < machines),
        }
    }

    /// Goes on by `dt` seconds.
    pub fn step(&mut self, dt: f64, commands: &AirCommands, around: &AirSurroundings) {
        let intake = Intake::at(around.intake_c);
        for i in 0..3 {
            self.move_valve(i, commands.valve_pct[i], dt);
            self.blowers[i].step(dt, commands.run[i], commands.speed_pct[i], self.header_kpa, &intake);
        }
        self.load += (around.load - self.load) * (dt / ALPHA_TAU_S).min(1.0);
        self.age_d += dt / 86_400.0;
        let fouling = fouling(self.age_d);
        let foot = foot_kpa(fouling);
        let kv = self.valve_pct.map(valve_kv);
        self.header_kpa = self.solve_header(dt, &intake, &kv, foot);
        for blower in &mut self.blowers {
            blower.settle(dt, self.header_kpa, &intake);
        }
        for (i, kv) in kv.into_iter().enumerate() {
            self.zone_flow[i] = zone_flow(kv, self.header_kpa - foot).0;
            self.zone_kla[i] = kla(self.zone_flow[i], alpha(i, self.load) * self.alpha_factor * fouling);
        }
    }

    fn move_valve(&mut self, i: usize, command: f64, dt: f64) {
        let command = command.clamp(0.0, 100.0);
        let off = command - self.valve_pct[i];
        if off.abs() > VALVE_STICTION_PCT {
            self.valve_moving[i] = true;
        }
        if self.valve_moving[i] {
            let reach = 100.0 / VALVE_TRAVEL_S * dt;
            self.valve_pct[i] += off.clamp(-reach, reach);
            self.valve_moving[i] = off.abs() > reach;
        }
    }

    /// Backward Euler: the header is faster than a second when the valves stand wide open. What it stores grows with the
    /// pressure and what flows in on balance falls with it, so there is one solution, and Newton's method finds it
    /// within the bracket that bisection keeps.
    fn solve_header(&self, dt: f64, intake: &Intake, kv: &[f64; 3], foot: f64) -> f64 {
        let rate = ATMOSPHERE_KPA / (HEADER_M3 * 3600.0) * dt;
        let (mut low, mut high) = (0.0, 2.0 * RELIEF_KPA);
        let mut p = self.header_kpa;
        for _ in 0..HEADER_ITERATIONS {
            let (net, slope) = self.net_flow(p, intake, kv, foot);
            let off = p - self.header_kpa - rate * net;
            if off > 0.0 {
                high = p
            } else {
                low = p
            }
            let newton = p - off / (1.0 - rate * slope);
            let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
            if (next - p).abs() < HEADER_TOLERANCE_KPA {
                return next;
            }
            p = next;
        }
        p
    }

    /// What flows into the header on balance at a pressure, and how it changes with it.
    fn net_flow(&self, p: f64, intake: &Intake, kv: &[f64; 3], foot: f64) -> (f64, f64) {
        let (head, head_slope) = intake.head(p);
        let (mut net, mut slope) = (0.0, 0.0);
        for blower in &self.blowers {
            let (flow, by_head) = blower.delivery(head, intake);
            net += flow;
            slope += by_head * head_slope;
        }
        for kv in kv {
            let (flow, by_pressure) = zone_flow(*kv, p - foot);
            net -= flow;
            slope -= by_pressure;
        }
        if p > RELIEF_KPA {
            net -= RELIEF_FLOW_PER_KPA * (p - RELIEF_KPA);
            slope -= RELIEF_FLOW_PER_KPA;
        }
        (net, slope)
    }

    /// Power of all blowers, kW.
    #[must_use]
    pub fn power_kw(&self) -> f64 {
        self.blowers.iter().map(|b| b.power_kw).sum()
    }

    /// Fouling factor F of the diffusers.
    #[must_use]
    pub fn fouling(&self) -> f64 {
        fouling(self.age_d)
    }
}

/// Fouling factor of diffusers of an age.
fn fouling(age_d: f64) -> f64 {
    FOULING_OLD + (FOULING_NEW - FOULING_OLD) * (-age_d / FOULING_TAU_D).exp()
}

/// Pressure at which the first air comes out of the diffusers.
fn foot_kpa(fouling: f64) -> f64 {
    STATIC_KPA + DIFFUSER_KPA + DIFFUSER_FOULED_KPA * (FOULING_NEW - fouling) / (FOULING_NEW - FOULING_OLD)
}

/// Flow coefficient of a valve at a position, Nm3/h at 1 kPa; 0 in its seat.
fn valve_kv(position_pct: f64) -> f64 {
    if position_pct < VALVE_SHUT_PCT { 0.0 } else { VALVE_KV * VALVE_RANGEABILITY.powf(position_pct / 100.0 - 1.0) }
}

/// Flow through valve and diffusers of one zone at a pressure above the foot, and how it grows with the pressure:
/// `p = foot + d q + (q/Kv)^2` solved for q.
fn zone_flow(kv: f64, drop: f64) -> (f64, f64) {
    if drop <= 0.0 || kv <= 0.0 {
        return (0.0, 0.0);
    }
    let a = 1.0 / (kv * kv);
    let d = DIFFUSER_KPA_PER_FLOW;
    let flow = ((d * d + 4.0 * a * drop).sqrt() - d) / (2.0 * a);
    (flow, 1.0 / (2.0 * a * flow + d))
}

/// alpha of a zone at an organic load.
fn alpha(zone: usize, load: f64) -> f64 {
    (ALPHA[zone] * (1.0 - ALPHA_LOAD[zone] * (load - 1.0).clamp(-0.5, 3.0))).clamp(ALPHA_RANGE.0, ALPHA_RANGE.1)
}

fn kla(flow: f64, alpha_f: f64) -> f64 {
    if flow <= 0.0 {
        return 0.0;
    }
    let sote = (SOTE_REF * (flow / SOTE_REF_FLOW).powf(SOTE_EXPONENT)).clamp(SOTE_RANGE.0, SOTE_RANGE.1);
    flow * 24.0 * 1000.0 * OXYGEN_KG_NM3 * sote * alpha_f / (SO_SAT * ZONE_M3)
}

#[cfg(test)]
#[path = "air_tests.rs"]
mod tests;
