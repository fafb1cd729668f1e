//! One turbo blower: compressor map with surge line, start with blow-off, protection, motor and converter.
//!
//! Pressures are gauge kPa behind the blower, air flows Nm3/h (0 degC, 101.325 kPa). The map is written in head and flow
//! relative to the rated point, so the affinity laws and the density of the intake act by themselves:
//! `h(q, n) = 1.676 n2 - 1.6 (q - 0.35 n)2`, q inlet volume flow, n speed; head is `T1 ((p2/p1)^0.2857 - 1)`. Left of
//! `q = 0.5 n` the blower surges: the surge line Qmin(p, T1) is what [`surge_flow`] gives.

use super::meters::EnergyRegister;

/// Absolute pressure of the atmosphere and of the norm cubic metre, kPa.
pub const ATMOSPHERE_KPA: f64 = 101.325;
/// Loss of intake filter and silencer, kPa.
const INTAKE_KPA: f64 = 1.0;
const ZERO_C_K: f64 = 273.15;
/// Exponent of the adiabatic compression, (k - 1)/k with k = 1.4.
const EXPONENT: f64 = 0.4 / 1.4;
/// Rated point: flow, Nm3/h, pressure, kPa, intake temperature, degC, at 100 % speed.
pub const RATED_NM3_H: f64 = 3200.0;
/// Rated pressure, kPa.
pub const RATED_KPA: f64 = 55.0;
/// Intake temperature of the rated point, degC.
pub const RATED_C: f64 = 20.0;
/// Temperature rise of the ideal compression at the rated point, K: ((101.325 + 55) / 100.325)^0.2857 - 1 of 293.15 K.
const RATED_HEAD_K: f64 = 39.604_529_117_017_23;
/// The characteristic: head at its top, curvature, place of the top and of the surge line, flow over speed.
const TOP: f64 = 1.676;
const CURVATURE: f64 = 1.6;
const TOP_AT: f64 = 0.35;
const SURGE_AT: f64 = 0.5;
/// Head at the surge line, at full speed.
const SURGE_HEAD: f64 = TOP - CURVATURE * (SURGE_AT - TOP_AT) * (SURGE_AT - TOP_AT);
/// Beyond the surge line the flow is gone within so many kPa.
const COLLAPSE_KPA: f64 = 3.0;
/// A surging blower catches itself when its head exceeds what the header asks by this share.
const RECOVER_SHARE: f64 = 0.02;
/// One surge cycle, s, and its part without flow; flow of the other part as a share of the surge flow.
const CYCLE_S: f64 = 2.0;
const COLLAPSED_S: f64 = 1.2;
const PUFF_SHARE: f64 = 0.7;
/// Surge protection trips after so many seconds of surge; they are forgotten at a third of the pace.
pub const SURGE_TRIP_S: f64 = 8.0;
/// Least speed of the converter, %.
pub const SPEED_MIN_PCT: f64 = 40.0;
/// Change of speed, %/s.
const SPEED_RATE_PCT_S: f64 = 3.0;
/// From the run command to full speed against the open blow-off, then the blow-off closes, s.
pub const START_S: f64 = 75.0;
/// Closing of the blow-off, s.
pub const BLOW_OFF_S: f64 = 20.0;
/// After a stop the motor may not start again for this time, s.
pub const RESTART_INHIBIT_S: f64 = 180.0;
/// A blower trips when it works against more than this pressure for [`TRIP_S`].
pub const TRIP_KPA: f64 = 78.0;
const TRIP_S: f64 = 10.0;
/// Adiabatic efficiency: its best, at which flow over speed and at which speed, and the curvatures around it.
const ETA_BEST: f64 = 0.79;
const ETA_AT: (f64, f64) = (0.80, 0.92);
const ETA_CURVATURE: (f64, f64) = (0.55, 0.60);
const ETA_LEAST: f64 = 0.35;
/// Pressure behind the open blow-off, kPa.
const BLOW_OFF_KPA: f64 = 20.0;
/// Losses: motor without load and per load, converter without load and per load, cooling fan; kW and shares.
const MOTOR_KW: f64 = 0.9;
const MOTOR_SHARE: f64 = 0.032;
const CONVERTER_KW: f64 = 0.5;
const CONVERTER_SHARE: f64 = 0.022;
const FAN_KW: f64 = 0.6;

/// Phase of a blower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BlowerPhase {
    /// Standing; the inhibit still runs for so many seconds.
    Stopped(f64),
    /// Accelerating against the open blow-off, so many seconds left.
    Starting(f64),
    /// Delivering into the header.
    Running,
    /// Tripped; cleared when the run command is taken away.
    Tripped,
}

/// What the blower draws in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intake {
    kelvin: f64,
    kpa: f64,
}

impl Intake {
    /// Air of a temperature, degC, at mean barometric pressure, behind the filter.
    #[must_use]
    pub fn at(temp_c: f64) -> Intake {
        Intake { kelvin: temp_c + ZERO_C_K, kpa: ATMOSPHERE_KPA - INTAKE_KPA }
    }

    /// Norm cubic metres in one cubic metre of intake air.
    fn norm(&self) -> f64 {
        self.kpa / ATMOSPHERE_KPA * ZERO_C_K / self.kelvin
    }

    /// Head needed against a gauge pressure, relative to the rated head, and how it grows with the pressure, 1/kPa.
    pub(super) fn head(&self, gauge_kpa: f64) -> (f64, f64) {
        let ratio = (ATMOSPHERE_KPA + gauge_kpa.max(0.0)) / self.kpa;
        let power = ratio.powf(EXPONENT);
        let scale = self.kelvin / RATED_HEAD_K;
        ((power - 1.0) * scale, EXPONENT * power / ratio / self.kpa * scale)
    }

    /// Flow of the map's unit, Nm3/h: the rated inlet volume flow at this intake.
    fn unit_flow(&self) -> f64 {
        RATED_NM3_H * self.norm() / Intake::at(RATED_C).norm()
    }
}

/// Flow at the surge line against a pressure, Nm3/h: what a blower has to deliver at least.
#[must_use]
pub fn surge_flow(gauge_kpa: f64, intake: &Intake) -> f64 {
    SURGE_AT * (intake.head(gauge_kpa).0.max(0.0) / SURGE_HEAD).sqrt() * intake.unit_flow()
}

/// Speed that delivers a flow, Nm3/h, against a pressure, %.
#[must_use]
pub fn speed_for(flow: f64, gauge_kpa: f64, intake: &Intake) -> f64 {
    // TOP n2 - CURVATURE (q - TOP_AT n)2 = h, solved for n.
    let (h, q) = (intake.head(gauge_kpa).0, flow / intake.unit_flow());
    let a = TOP - CURVATURE * TOP_AT * TOP_AT;
    let b = CURVATURE * TOP_AT * q;
    let c = CURVATURE * q * q + h;
    100.0 * (((b * b + a * c).sqrt() - b) / a)
}

/// One blower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blower {
    /// What it is doing.
    pub phase: BlowerPhase,
    /// Speed, %.
    pub speed_pct: f64,
    /// Electrical power, kW.
    pub power_kw: f64,
    /// Air into the header, Nm3/h.
    pub flow: f64,
    /// Distance from the surge line, % of the surge flow; 100 while it does not deliver.
    pub surge_margin_pct: f64,
    /// It surges.
    pub surging: bool,
    /// Starts since the beginning.
    pub starts: u32,
    /// Energy taken (32 bits of 0.1 kWh).
    pub energy: EnergyRegister,
    blow_off: f64,
    over_s: f64,
    surge_s: f64,
    cycle_s: f64,
}

/// Surge margin shown by a blower that does not deliver, %.
const MARGIN_STANDING: f64 = 100.0;

impl Blower {
    /// A blower at rest or delivering at a speed, with its energy register at `energy_kwh`.
    #[must_use]
    pub fn new(running: bool, speed_pct: f64, energy_kwh: f64) -> Blower {
        let (phase, speed_pct) =
            if running { (BlowerPhase::Running, speed_pct) } else { (BlowerPhase::Stopped(0.0), 0.0) };
        Blower {
            phase,
            speed_pct,
            power_kw: 0.0,
            flow: 0.0,
            surge_margin_pct: MARGIN_STANDING,
            surging: false,
            starts: 0,
            energy: EnergyRegister::new(32, 0.1, energy_kwh),
            blow_off: 0.0,
            over_s: 0.0,
            surge_s: 0.0,
            cycle_s: 0.0,
        }
    }

    /// The machine's own control goes on by `dt` seconds, before the header is solved.
    pub(super) fn step(&mut self, dt: f64, run: bool, speed_pct: f64, header_kpa: f64, intake: &Intake) {
        let before = self.phase;
        self.phase = match before {
            BlowerPhase::Stopped(left) if run && left <= 0.0 => BlowerPhase::Starting(START_S),
            BlowerPhase::Stopped(left) => BlowerPhase::Stopped((left - dt).max(0.0)),
            BlowerPhase::Tripped if !run => BlowerPhase::Stopped(RESTART_INHIBIT_S),
            BlowerPhase::Tripped => BlowerPhase::Tripped,
            _ if !run => BlowerPhase::Stopped(RESTART_INHIBIT_S),
            BlowerPhase::Starting(left) if left > dt => BlowerPhase::Starting(left - dt),
            BlowerPhase::Starting(_) => BlowerPhase::Running,
            BlowerPhase::Running if self.over_s >= TRIP_S || self.surge_s >= SURGE_TRIP_S => BlowerPhase::Tripped,
            BlowerPhase::Running => BlowerPhase::Running,
        };
        self.starts += u32::from(matches!((before, self.phase), (BlowerPhase::Stopped(_), BlowerPhase::Starting(_))));
        let running = self.phase == BlowerPhase::Running;
        self.blow_off = if running { (self.blow_off - dt / BLOW_OFF_S).max(0.0) } else { 1.0 };
        self.over_s = if running && header_kpa > TRIP_KPA { self.over_s + dt } else { 0.0 };
        let target = match self.phase {
            BlowerPhase::Running | BlowerPhase::Starting(_) => speed_pct.clamp(SPEED_MIN_PCT, 100.0),
            _ => 0.0,
        };
        let reach = SPEED_RATE_PCT_S * dt;
        self.speed_pct += (target - self.speed_pct).clamp(-reach, reach);
        if matches!(self.phase, BlowerPhase::Stopped(_) | BlowerPhase::Tripped) && self.speed_pct < 0.1 {
            self.speed_pct = 0.0;
        }
        self.watch_surge(dt, header_kpa, intake);
    }

    fn watch_surge(&mut self, dt: f64, header_kpa: f64, intake: &Intake) {
        // While the blow-off is open the blower has another way for its air.
        let alone = self.phase == BlowerPhase::Running && self.blow_off < 0.1;
        let able = SURGE_HEAD * (self.speed_pct / 100.0).powi(2);
        let needed = intake.head(header_kpa).0 * if self.surging { 1.0 + RECOVER_SHARE } else { 1.0 };
        self.surging = alone && needed >= able;
        if self.surging {
            self.surge_s += dt;
            self.cycle_s = (self.cycle_s + dt).rem_euclid(CYCLE_S);
        } else {
            self.surge_s = if alone { (self.surge_s - dt / 3.0).max(0.0) } else { 0.0 };
            self.cycle_s = 0.0;
        }
    }

    /// The part of a surge cycle in which the flow has collapsed.
    fn collapsed(&self) -> bool {
        self.cycle_s > 0.0 && self.cycle_s <= COLLAPSED_S
    }

    /// Flow through the machine against a head, and how it changes with it.
    fn through(&self, head: f64, unit_flow: f64) -> (f64, f64) {
        let n = self.speed_pct / 100.0;
        let room = TOP * n * n - head;
        let at_surge = SURGE_AT * n;
        if head < SURGE_HEAD * n * n {
            let root = (room / CURVATURE).sqrt();
            (unit_flow * (TOP_AT * n + root), -unit_flow / (2.0 * CURVATURE * root.max(1e-3)))
        } else {
            // The head of so many kPa above the surge line takes the rest of the flow.
            let slope = at_surge / (COLLAPSE_KPA / RATED_KPA);
            let flow = at_surge - slope * (head - SURGE_HEAD * n * n);
            if flow > 0.0 { (unit_flow * flow, -unit_flow * slope) } else { (0.0, 0.0) }
        }
    }

    /// Flow into the header against a head (see [`Intake::head`]), Nm3/h, and how it changes with the head.
    pub(super) fn delivery(&self, head: f64, intake: &Intake) -> (f64, f64) {
        if self.phase != BlowerPhase::Running {
            return (0.0, 0.0);
        }
        let unit_flow = intake.unit_flow();
        if self.surging {
            let puff = PUFF_SHARE * SURGE_AT * self.speed_pct / 100.0 * unit_flow;
            return (if self.collapsed() { 0.0 } else { puff }, 0.0);
        }
        let (flow, slope) = self.through(head, unit_flow);
        ((1.0 - self.blow_off) * flow, (1.0 - self.blow_off) * slope)
    }

    /// Flow, power and surge margin at the header pressure the step ended with; counts the energy.
    pub(super) fn settle(&mut self, dt: f64, header_kpa: f64, intake: &Intake) {
        let unit_flow = intake.unit_flow();
        let head = intake.head(header_kpa).0;
        self.flow = self.delivery(head, intake).0;
        let turning = self.speed_pct > 0.0 && !matches!(self.phase, BlowerPhase::Stopped(_) | BlowerPhase::Tripped);
        self.surge_margin_pct = if self.phase == BlowerPhase::Running {
            let through = if self.surging { self.flow } else { self.through(head, unit_flow).0 };
            let least = surge_flow(header_kpa, intake);
            ((through / least.max(1.0) - 1.0) * 100.0).clamp(-100.0, 300.0)
        } else {
            MARGIN_STANDING
        };
        self.power_kw = if turning { self.electrical_kw(header_kpa, head, intake) } else { 0.0 };
        self.energy.add(self.power_kw * dt / 3600.0);
    }

    fn electrical_kw(&self, header_kpa: f64, head: f64, intake: &Intake) -> f64 {
        let unit_flow = intake.unit_flow();
        let n = self.speed_pct / 100.0;
        let (flow, kpa) = match self.phase {
            // Against the blow-off the flow is limited by its throat, about the flow of the best efficiency.
            BlowerPhase::Starting(_) => (ETA_AT.0 * n * unit_flow, BLOW_OFF_KPA * n * n),
            _ if self.surging => (if self.collapsed() { 0.35 } else { 0.9 } * SURGE_AT * n * unit_flow, header_kpa),
            _ => (self.through(head, unit_flow).0, header_kpa),
        };
        let efficiency = efficiency(flow / unit_flow / n.max(0.05), n);
        let shaft = adiabatic_kw(flow / intake.norm(), kpa, intake, efficiency);
        let motor = shaft * (1.0 + MOTOR_SHARE) + MOTOR_KW;
        motor * (1.0 + CONVERTER_SHARE) + CONVERTER_KW + FAN_KW
    }

    /// Trips the blower, in whatever phase it is.
    pub fn trip(&mut self) {
        self.phase = BlowerPhase::Tripped;
    }

    /// The contactor drops: the blower stands and starts again by its run command after the inhibit.
    pub fn lose_power(&mut self) {
        if self.phase != BlowerPhase::Tripped {
            self.phase = BlowerPhase::Stopped(RESTART_INHIBIT_S);
        }
    }

    /// Delivering into the header.
    #[must_use]
    pub fn running(&self) -> bool {
        self.phase == BlowerPhase::Running
    }

    /// Tripped and not yet reset.
    #[must_use]
    pub fn tripped(&self) -> bool {
        self.phase == BlowerPhase::Tripped
    }
}

/// Adiabatic efficiency by flow over speed and by speed, both relative: an island around its best point.
fn efficiency(flow_over_speed: f64, speed: f64) -> f64 {
    let off = ETA_CURVATURE.0 * (flow_over_speed - ETA_AT.0).powi(2) + ETA_CURVATURE.1 * (speed - ETA_AT.1).powi(2);
    (ETA_BEST * (1.0 - off)).max(ETA_LEAST)
}

/// Shaft power of an adiabatic compression, kW: `Q1 p1 k/(k-1) ((p2/p1)^((k-1)/k) - 1) / eta`; `flow` in m3/h of intake
/// air.
#[must_use]
pub fn adiabatic_kw(flow: f64, gauge_kpa: f64, intake: &Intake, efficiency: f64) -> f64 {
    let ratio = (ATMOSPHERE_KPA + gauge_kpa.max(0.0)) / intake.kpa;
    flow / 3600.0 * intake.kpa / EXPONENT * (ratio.powf(EXPONENT) - 1.0) / efficiency
}

#[cfg(test)]
#[path = "blower_tests.rs"]
mod tests;
