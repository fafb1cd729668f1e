//! Photovoltaic plant over the tanks: module temperature, direct-current power, inverter with limit.

use super::meters::EnergyRegister;

/// Rated power of the inverter, kW.
pub const RATED_KW: f64 = 600.0;
/// Module power at 1000 W/m2 and 25 degC after soiling and mismatch, kW.
const MODULES_KW: f64 = 610.0;
/// Change of power with module temperature, 1/K.
const TEMPERATURE_COEFFICIENT: f64 = -0.0036;
/// Rise of the module over the air, K per W/m2, and its time constant, s.
const RISE_K_PER_W: f64 = 0.030;
const MODULE_TAU_S: f64 = 300.0;
/// Efficiency and own consumption of the inverter, kW.
const EFFICIENCY: f64 = 0.978;
const OWN_KW: f64 = 0.6;
/// Irradiance at which the inverter wakes and at which it feeds, W/m2.
const WAKE_W: f64 = 3.0;
const FEED_W: f64 = 15.0;
/// After waking the energy register shows 0 for so long, s.
pub const WAKE_ZERO_S: f64 = 20.0;
/// Ramp of the limit, share of rated power per second.
const RAMP_1_S: f64 = 0.10;

/// What the inverter is doing, with the numbers of its state register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PvState {
    /// Night.
    Off = 0,
    /// Awake, too dark to feed.
    Standby = 1,
    /// Feeding what the sun gives.
    Running = 4,
    /// Feeding less than the sun gives.
    Curtailed = 5,
}

/// Modules and inverter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pv {
    /// What it is doing.
    pub state: PvState,
    /// Power fed in, kW.
    pub power_kw: f64,
    /// Power of the modules, kW.
    pub dc_kw: f64,
    /// Module temperature, degC.
    pub module_c: f64,
    /// Irradiance seen, W/m2.
    pub irradiance: f64,
    /// Energy fed in (64 bits of 0.001 kWh).
    pub energy: EnergyRegister,
    /// The mains are there to feed into.
    pub mains: bool,
    limit_kw: f64,
    awake_s: f64,
}

impl Pv {
    /// At rest in the night.
    #[must_use]
    pub fn new(energy_kwh: f64, outdoor_c: f64) -> Pv {
        Pv {
            state: PvState::Off,
            power_kw: 0.0,
            dc_kw: 0.0,
            module_c: outdoor_c,
            irradiance: 0.0,
            energy: EnergyRegister::new(64, 0.001, energy_kwh),
            mains: true,
            limit_kw: RATED_KW,
            awake_s: f64::INFINITY,
        }
    }

    /// What the energy register shows, in steps: nothing in the first seconds after
    /// the inverter woke in the morning or started again, until it has read its counter back from memory. Readers must not take that for a new meter.
    #[must_use]
    pub fn shown_count(&self) -> u64 {
        if self.state != PvState::Off && self.awake_s < WAKE_ZERO_S { 0 } else { self.energy.count() }
    }

    /// The inverter's electronics start again: its register shows nothing for a while.
    pub fn restart(&mut self) {
        self.awake_s = 0.0;
    }

    /// Goes on by `dt` seconds; `limit_pct` is the limit in force, % of rated power.
    pub fn step(&mut self, dt: f64, irradiance: f64, outdoor_c: f64, limit_pct: f64) {
        self.irradiance = irradiance;
        let module = outdoor_c + RISE_K_PER_W * irradiance;
        self.module_c += (module - self.module_c) * (1.0 - (-dt / MODULE_TAU_S).exp());
        let reach = RATED_KW * RAMP_1_S * dt;
        let wanted = RATED_KW * limit_pct.clamp(0.0, 100.0) / 100.0;
        self.limit_kw += (wanted - self.limit_kw).clamp(-reach, reach);

        let sun_kw = MODULES_KW * irradiance / 1000.0 * (1.0 + TEMPERATURE_COEFFICIENT * (self.module_c - 25.0));
        let possible = (EFFICIENCY * sun_kw - OWN_KW).clamp(0.0, RATED_KW);
        (self.state, self.power_kw) = if irradiance < WAKE_W {
            (PvState::Off, 0.0)
        } else if irradiance < FEED_W || possible <= 0.0 || !self.mains {
            (PvState::Standby, 0.0)
        } else if possible > self.limit_kw + 0.5 {
            (PvState::Curtailed, self.limit_kw)
        } else {
            (PvState::Running, possible.min(self.limit_kw))
        };
        self.awake_s = if self.state == PvState::Off { 0.0 } else { self.awake_s + dt };
        self.dc_kw = if self.power_kw > 0.0 { (self.power_kw + OWN_KW) / EFFICIENCY } else { 0.0 };
        self.energy.add(self.power_kw * dt / 3600.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(irradiance: f64, limit_pct: f64) -> Pv {
        let mut pv = Pv::new(0.0, 20.0);
        for _ in 0..3600 {
            pv.step(1.0, irradiance, 20.0, limit_pct);
        }
        pv
    }

    #[test]
    fn feeds_by_sun_and_stops_at_its_rating() {
        assert_eq!(at(0.0, 100.0).state, PvState::Off);
        assert_eq!(at(8.0, 100.0).state, PvState::Standby);
        let half = at(500.0, 100.0);
        assert_eq!(half.state, PvState::Running);
        assert!((half.module_c - 35.0).abs() < 0.1, "{}", half.module_c);
        assert!(half.power_kw > 270.0 && half.power_kw < 300.0, "{}", half.power_kw);
        assert!(at(1300.0, 100.0).power_kw <= RATED_KW);
    }

    #[test]
    fn limit_curtails_and_the_energy_is_what_was_fed() {
        let limited = at(800.0, 25.0);
        assert_eq!(limited.state, PvState::Curtailed);
        assert!((limited.power_kw - 150.0).abs() < 1e-9);
        let mut pv = at(800.0, 25.0);
        let start = pv.energy.count();
        for _ in 0..3600 {
            pv.step(1.0, 800.0, 20.0, 25.0);
        }
        assert!((pv.energy.count() - start).abs_diff(150_000) <= 1);
    }

    #[test]
    fn the_register_shows_nothing_for_a_while_after_waking() {
        let mut pv = Pv::new(500.0, 20.0);
        pv.step(1.0, 600.0, 20.0, 100.0);
        assert!(pv.shown_count() >= 500_000, "it was awake before");
        pv.step(1.0, 0.0, 20.0, 100.0);
        assert!(pv.shown_count() >= 500_000, "asleep it keeps its last answer");
        let mut shown = Vec::new();
        for _ in 0..30 {
            pv.step(1.0, 5.0, 20.0, 100.0);
            shown.push(pv.shown_count());
        }
        let zeros = shown.iter().take_while(|count| **count == 0).count();
        assert!((zeros as f64 - WAKE_ZERO_S).abs() <= 1.0, "{zeros} s");
        assert!(shown[29] >= 500_000 && pv.energy.count() >= 500_000);
        pv.restart();
        assert_eq!(pv.shown_count(), 0);
    }
}
