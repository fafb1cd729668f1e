//! Electrical power of pumps, mixers and auxiliaries, machine by machine.
//!
//! A pump takes `rho g Q H / (eta_pump eta_motor eta_converter)` and a standing loss of its converter; heads and
//! efficiencies give the specific energies of the plant: lift 0.045, filter lift 0.012, internal recycle 0.004, return
//! sludge 0.008 and waste sludge 0.05 kWh/m3, the last three as in the benchmark.

/// Weight of one cubic metre of water over one metre, kWh.
const KWH_M3_M: f64 = 9.81 / 3600.0;

/// A pump: head, m, and the efficiencies of pump, motor and converter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pump {
    head_m: f64,
    pump: f64,
    motor: f64,
    converter: f64,
}

/// Inlet lift.
pub const LIFT: Pump = Pump { head_m: 11.2, pump: 0.74, motor: 0.93, converter: 0.985 };
/// Lift to the filters.
pub const FILTER_LIFT: Pump = Pump { head_m: 3.0, pump: 0.74, motor: 0.93, converter: 0.985 };
/// Internal recycle: a propeller pump over a low head.
pub const RECYCLE: Pump = Pump { head_m: 0.95, pump: 0.72, motor: 0.92, converter: 0.978 };
/// Return sludge.
pub const RAS: Pump = Pump { head_m: 1.9, pump: 0.72, motor: 0.92, converter: 0.978 };
/// Waste sludge: an eccentric screw pump.
pub const WAS: Pump = Pump { head_m: 9.4, pump: 0.58, motor: 0.90, converter: 0.97 };
/// Backwash of the filters.
pub const WASH: Pump = Pump { head_m: 9.0, pump: 0.76, motor: 0.93, converter: 0.985 };

impl Pump {
    /// Power at a flow, kW.
    #[must_use]
    pub fn kw(&self, m3_h: f64) -> f64 {
        KWH_M3_M * m3_h.max(0.0) * self.head_m / (self.pump * self.motor * self.converter)
    }

    /// Energy per cubic metre, kWh.
    #[must_use]
    pub fn kwh_m3(&self) -> f64 {
        self.kw(1.0)
    }
}

/// One dosing pump, kW while it turns.
pub const DOSING_KW: f64 = 0.3;
/// Mixers of the two anoxic tanks (5 W/m3), flocculators and clarifier drive, scrapers of the settler, kW.
pub const MIXERS_KW: f64 = 10.0;
/// Flocculators and clarifier drives, kW.
pub const FLOCCULATION_KW: f64 = 2.0;
/// Filter air scour and instruments, kW.
pub const FILTERS_KW: f64 = 7.0;
/// Thickener drive, kW.
pub const THICKENER_KW: f64 = 0.8;
/// Buildings by day and by night, kW.
pub const BUILDINGS_KW: (f64, f64) = (9.0, 6.0);

/// What every machine takes, kW.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Machines {
    /// Blowers 1 to 3 with converters.
    pub blowers: [f64; 3],
    /// Inlet lift pumps.
    pub lift: f64,
    /// Lift to the filters.
    pub filter_lift: f64,
    /// Internal recycle.
    pub recycle: f64,
    /// Return sludge.
    pub ras: f64,
    /// Waste sludge.
    pub was: f64,
    /// Backwash.
    pub wash: f64,
    /// Dosing pumps: PAC, carbon, hypochlorite.
    pub dosing: [f64; 3],
    /// Compressor of the heat pump.
    pub compressor: f64,
    /// Circulation pumps and electronics of the heat pump.
    pub heat_auxiliaries: f64,
    /// Mixers of the anoxic tanks.
    pub mixers: f64,
    /// Flocculators and clarifier.
    pub flocculation: f64,
    /// Filters and instruments.
    pub filters: f64,
    /// Thickener.
    pub thickener: f64,
    /// Dewatering.
    pub dewatering: f64,
    /// Buildings.
    pub buildings: f64,
}

impl Machines {
    /// Feeder of the blowers, kW.
    #[must_use]
    pub fn blower_feeder(&self) -> f64 {
        self.blowers.iter().sum()
    }

    /// Feeder of the pumps, kW.
    #[must_use]
    pub fn pump_feeder(&self) -> f64 {
        let dosing: f64 = self.dosing.iter().sum();
        self.lift + self.filter_lift + self.recycle + self.ras + self.was + self.wash + dosing
    }

    /// Feeder of the heat pump, kW.
    #[must_use]
    pub fn heat_feeder(&self) -> f64 {
        self.compressor + self.heat_auxiliaries
    }

    /// Feeder of the auxiliaries, kW.
    #[must_use]
    pub fn auxiliary_feeder(&self) -> f64 {
        self.mixers + self.flocculation + self.filters + self.thickener + self.dewatering + self.buildings
    }

    /// The same with everything off that hangs on a contactor: pumps and dewatering.
    #[must_use]
    pub fn without_contactors(&self) -> Machines {
        Machines {
            blowers: self.blowers,
            compressor: self.compressor,
            heat_auxiliaries: self.heat_auxiliaries,
            mixers: self.mixers,
            flocculation: self.flocculation,
            filters: self.filters,
            thickener: self.thickener,
            buildings: self.buildings,
            ..Machines::default()
        }
    }

    /// All machines, kW.
    #[must_use]
    pub fn total(&self) -> f64 {
        let pumps = [self.lift, self.filter_lift, self.recycle, self.ras, self.was, self.wash];
        let other = [
            self.compressor,
            self.heat_auxiliaries,
            self.mixers,
            self.flocculation,
            self.filters,
            self.thickener,
            self.dewatering,
            self.buildings,
        ];
        self.blowers.iter().chain(&self.dosing).chain(&pumps).chain(&other).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pumps_have_the_specific_energies_of_the_plant() {
        for (pump, kwh_m3) in [(LIFT, 0.045), (FILTER_LIFT, 0.012), (RECYCLE, 0.004), (RAS, 0.008), (WAS, 0.05)] {
            assert!((pump.kwh_m3() / kwh_m3 - 1.0).abs() < 0.03, "{} instead of {kwh_m3}", pump.kwh_m3());
        }
        assert_eq!(LIFT.kw(-5.0), 0.0);
    }

    #[test]
    fn feeders_sum_to_all_machines() {
        let machines = Machines {
            blowers: [60.0, 55.5, 0.0],
            lift: 34.0,
            dosing: [0.3, 0.0, 0.3],
            compressor: 120.0,
            dewatering: 26.0,
            buildings: 9.0,
            ..Machines::default()
        };
        let feeders =
            machines.blower_feeder() + machines.pump_feeder() + machines.heat_feeder() + machines.auxiliary_feeder();
        assert!((feeders - machines.total()).abs() < 1e-12 && machines.total() > 300.0);
    }
}
