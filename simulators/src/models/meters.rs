//! Electrical loads and energy registers of finite width.

use super::tariff::TIERS;

/// A counter as a device keeps it: whole steps of its resolution in a register that rolls over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyRegister {
    count: u64,
    rest: f64,
    resolution_kwh: f64,
    bits: u32,
}

impl EnergyRegister {
    /// A register of `bits` (1 to 64) in steps of `resolution_kwh` that shows `start_kwh`.
    #[must_use]
    pub fn new(bits: u32, resolution_kwh: f64, start_kwh: f64) -> EnergyRegister {
        let count = (start_kwh.max(0.0) / resolution_kwh).round() as u64;
        EnergyRegister { count, rest: 0.0, resolution_kwh, bits }
    }

    /// Counts energy; negative energy is not counted.
    pub fn add(&mut self, kwh: f64) {
        self.rest += kwh.max(0.0) / self.resolution_kwh;
        let whole = self.rest.floor();
        self.rest -= whole;
        let mask = if self.bits >= 64 { u64::MAX } else { (1_u64 << self.bits) - 1 };
        self.count = self.count.wrapping_add(whole as u64) & mask;
    }

    /// What the register shows, in steps.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the register shows, kWh.
    #[must_use]
    pub fn kwh(&self) -> f64 {
        self.count as f64 * self.resolution_kwh
    }

    /// Energy at which the register starts again at 0, kWh.
    #[must_use]
    pub fn rollover_kwh(&self) -> f64 {
        2.0_f64.powi(self.bits as i32) * self.resolution_kwh
    }

    /// Starts again at 0, as after a change of the meter; what was not yet a whole step is lost with it.
    pub fn reset(&mut self) {
        (self.count, self.rest) = (0, 0.0);
    }

    /// Shows a reading from now on, taken within the register's width; a negative one is 0.
    pub fn preset(&mut self, kwh: f64) {
        let steps = (kwh.max(0.0) / self.resolution_kwh).round();
        let span = 2.0_f64.powi(self.bits as i32);
        // A whole number below 2^53 or, for the widest registers, as near as a float can say it.
        (self.count, self.rest) = (steps.rem_euclid(span) as u64, 0.0);
    }
}

/// Meter of one feeder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meter {
    /// Active power, kW; import is positive.
    pub power_kw: f64,
    /// Reactive power, kvar.
    pub reactive_kvar: f64,
    /// Line voltage, V.
    pub voltage_v: f64,
    /// Frequency, Hz.
    pub frequency_hz: f64,
    /// Energy taken.
    pub import: EnergyRegister,
    /// Energy given back.
    pub export: EnergyRegister,
    /// Energy taken by tier of the tariff, in the order of [`TIERS`](super::tariff::TIERS).
    pub tiers: [EnergyRegister; TIERS.len()],
    /// Tier in force, a place in [`TIERS`](super::tariff::TIERS).
    pub tier: usize,
}

impl Meter {
    /// A meter whose registers (32 bits of 0.01 kWh) start at the given readings.
    #[must_use]
    pub fn new(import_kwh: f64, export_kwh: f64) -> Meter {
        Meter {
            power_kw: 0.0,
            reactive_kvar: 0.0,
            voltage_v: 400.0,
            frequency_hz: 50.0,
            import: EnergyRegister::new(32, 0.01, import_kwh),
            export: EnergyRegister::new(32, 0.01, export_kwh),
            // Past consumption in shares as they are usual: the tiers of a new meter would all stand at 0.
            tiers: [0.16, 0.14, 0.38, 0.18, 0.14].map(|share| EnergyRegister::new(32, 0.01, share * import_kwh)),
            tier: 0,
        }
    }

    /// Goes on by `dt` seconds at the given load.
    pub fn step(&mut self, dt: f64, power_kw: f64, reactive_kvar: f64) {
        self.power_kw = power_kw;
        self.reactive_kvar = reactive_kvar;
        let kwh = power_kw * dt / 3600.0;
        self.import.add(kwh);
        self.export.add(-kwh);
        self.tiers[self.tier].add(kwh);
    }

    /// A new meter stands in this one's place: all its registers begin at 0.
    pub fn reset(&mut self) {
        self.import.reset();
        self.export.reset();
        self.tiers.iter_mut().for_each(EnergyRegister::reset);
    }

    /// Apparent power, kVA.
    #[must_use]
    pub fn apparent_kva(&self) -> f64 {
        self.power_kw.hypot(self.reactive_kvar)
    }

    /// Line current, A; 0 without voltage.
    #[must_use]
    pub fn current_a(&self) -> f64 {
        if self.voltage_v < 1.0 { 0.0 } else { self.apparent_kva() * 1000.0 / (3.0_f64.sqrt() * self.voltage_v) }
    }

    /// Power factor, negative on export; 1 without load.
    #[must_use]
    pub fn power_factor(&self) -> f64 {
        let apparent = self.apparent_kva();
        if apparent < 1e-6 { 1.0 } else { self.power_kw / apparent }
    }
}

/// Reactive power of a load at a power factor, kvar.
#[must_use]
pub fn reactive(power_kw: f64, power_factor: f64) -> f64 {
    power_kw * (1.0 / (power_factor * power_factor) - 1.0).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn register_is_the_integral_of_power() {
        let mut rng = Rng::new(3, "power");
        let mut meter = Meter::new(1000.0, 500.0);
        let start = (meter.import.count(), meter.export.count());
        let (mut taken, mut given) = (0.0_f64, 0.0_f64);
        for _ in 0..100_000 {
            let power = 400.0 * rng.gauss();
            meter.step(0.1, power, 0.0);
            let kwh = power * 0.1 / 3600.0;
            taken += kwh.max(0.0);
            given += (-kwh).max(0.0);
        }
        assert!(((meter.import.count() - start.0) as f64 * 0.01 - taken).abs() < 0.0101);
        assert!(((meter.export.count() - start.1) as f64 * 0.01 - given).abs() < 0.0101);
    }

    #[test]
    fn register_rolls_over_at_its_width() {
        let full = 4_294_967_296.0 * 0.01;
        let mut register = EnergyRegister::new(32, 0.01, full - 0.02);
        assert_eq!(register.count(), u64::from(u32::MAX) - 1);
        register.add(0.05);
        assert_eq!(register.count(), 3);
        register.add(-1.0);
        assert_eq!(register.count(), 3);
    }

    #[test]
    fn registers_can_be_reset_and_preset_and_count_on() {
        let mut register = EnergyRegister::new(32, 0.01, 1234.5);
        assert!((register.kwh() - 1234.5).abs() < 1e-9);
        register.preset(register.rollover_kwh() - 0.05);
        register.add(0.10);
        assert_eq!(register.count(), 5);
        register.preset(-3.0);
        assert_eq!(register.count(), 0);
        register.preset(2.0 * register.rollover_kwh() + 1.0);
        assert_eq!(register.count(), 100);
        register.add(7.0);
        register.reset();
        assert_eq!(register.count(), 0);
        assert_eq!(EnergyRegister::new(64, 0.001, 5.0).count(), 5000);
    }

    #[test]
    fn the_tier_in_force_counts_and_a_new_meter_begins_at_nothing() {
        let mut meter = Meter::new(1000.0, 10.0);
        let start = meter.tiers;
        meter.tier = 3;
        meter.step(3600.0, 25.0, 0.0);
        meter.step(3600.0, -5.0, 0.0);
        for (i, (now, before)) in meter.tiers.iter().zip(&start).enumerate() {
            assert_eq!(now.count() - before.count(), if i == 3 { 2500 } else { 0 });
        }
        meter.reset();
        assert!(meter.tiers.iter().chain([&meter.import, &meter.export]).all(|register| register.count() == 0));
    }

    #[test]
    fn current_and_power_factor_of_a_known_load() {
        let mut meter = Meter::new(0.0, 0.0);
        meter.step(1.0, 80.0, 60.0);
        assert!((meter.apparent_kva() - 100.0).abs() < 1e-9);
        assert!((meter.power_factor() - 0.8).abs() < 1e-9);
        assert!((meter.current_a() - 144.34).abs() < 0.01);
        assert!((reactive(80.0, 0.8) - 60.0).abs() < 1e-9);
    }
}
