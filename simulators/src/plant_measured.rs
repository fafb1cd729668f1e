//! True values of everything that is measured.

use super::Plant;
use crate::models::asm1;
use crate::models::asm1::{SALK, SNH, SNO, SO};
use crate::models::water::{self, PO4};

/// True values the instruments see. Flows in m3/h, concentrations in mg/L, temperatures in degC, powers in kW.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[allow(missing_docs)] // the names say it, the units stand above
pub struct Measured {
    pub tank_do: [f64; 5],
    pub z5_nh4: f64,
    pub z2_no3: f64,
    pub mlss: f64,
    pub zone_air: [f64; 3],
    pub valve_pct: [f64; 3],
    pub header_kpa: f64,
    pub blower_speed: [f64; 3],
    pub blower_kw: [f64; 3],
    pub blower_running: [bool; 3],
    pub blower_fault: [bool; 3],
    /// Distance of the blowers from their surge line, % of the surge flow; 100 while they do not deliver.
    pub surge_margin: [f64; 3],
    /// Starts of the blowers since the beginning.
    pub blower_starts: [f64; 3],
    pub water_c: f64,
    pub inf_flow: f64,
    pub inf_nh4: f64,
    pub inf_cod: f64,
    pub recycle_flow: f64,
    pub ras_flow: f64,
    pub was_flow: f64,
    pub po4_in: f64,
    pub po4_out: f64,
    pub tp_out: f64,
    pub chlorine: f64,
    /// Residual chlorine times contact time t10, mg min/L.
    pub chlorine_ct: f64,
    /// PAC, carbon, hypochlorite: L/h.
    pub dose_flow: [f64; 3],
    /// PAC, carbon, hypochlorite: %.
    pub dose_level: [f64; 3],
    pub dose_running: [bool; 3],
    /// PAC into tank 5: L/h, and level of its tank, %.
    pub pac5_flow: f64,
    pub pac5_level: f64,
    pub eff_flow: f64,
    pub eff_nh4: f64,
    pub eff_cod: f64,
    pub eff_tn: f64,
    pub eff_tss: f64,
    pub eff_ph: f64,
    pub eff_c: f64,
    pub blanket_m: f64,
    pub ras_tss: f64,
    pub dewater_kw: f64,
    pub dewater_running: bool,
    /// Reject water to the inlet, m3/h, and its ammonium and phosphate.
    pub reject_flow: f64,
    pub reject_nh4: f64,
    pub reject_po4: f64,
    /// Level of the sludge store, %.
    pub sludge_store: f64,
    /// Dewatered cake, m3/h.
    pub cake_flow: f64,
    pub outdoor_c: f64,
    pub irradiance: f64,
}

impl Plant {
    /// What changes with every step: the air side.
    pub(super) fn sense_air(&mut self) {
        let blowers = &self.air.blowers;
        let m = &mut self.measured;
        m.zone_air = self.air.zone_flow;
        m.valve_pct = self.air.valve_pct;
        m.header_kpa = self.air.header_kpa;
        for (i, blower) in blowers.iter().enumerate() {
            m.blower_speed[i] = blower.speed_pct;
            m.blower_kw[i] = blower.power_kw;
            m.blower_running[i] = blower.running();
            m.blower_fault[i] = blower.tripped();
            m.surge_margin[i] = blower.surge_margin_pct;
            m.blower_starts[i] = f64::from(blower.starts);
        }
    }

    /// What changes with the slow steps: flows, doses, weather, sludge line.
    pub(super) fn sense_slow(&mut self) {
        let dosing = [&self.tertiary.pac, &self.tertiary.carbon, &self.tertiary.naclo];
        let m = &mut self.measured;
        m.water_c = self.weather.water_c;
        m.eff_c = self.weather.water_c;
        m.inf_flow = self.inflow.q / 24.0;
        m.inf_nh4 = self.inflow.mix[SNH];
        m.inf_cod = asm1::cod(&self.inflow.mix);
        m.recycle_flow = self.recycle_m3_h;
        m.ras_flow = self.ras_m3_h;
        m.was_flow = self.was_m3_h;
        m.dose_flow = dosing.map(|d| d.flow_l_h);
        m.dose_level = dosing.map(|d| d.level_pct);
        (m.pac5_flow, m.pac5_level) = (self.pac5.flow_l_h, self.pac5.level_pct);
        m.dose_running = dosing.map(|d| d.running());
        m.outdoor_c = self.weather.outdoor_c;
        m.irradiance = self.weather.irradiance;
    }

    /// What changes with the steps of the water.
    pub(super) fn sense_water(&mut self) {
        let tanks = &self.basin.tanks;
        let effluent = self.tertiary.effluent();
        let reject = self.sludge.reject_water();
        let m = &mut self.measured;
        m.tank_do = std::array::from_fn(|k| tanks[k][SO]);
        m.z5_nh4 = tanks[4][SNH];
        m.z2_no3 = tanks[1][SNO];
        m.mlss = water::tss(&tanks[4]);
        m.po4_in = self.tertiary.inlet()[PO4];
        m.po4_out = self.tertiary.po4_out();
        m.tp_out = water::phosphorus(&effluent);
        m.chlorine = self.tertiary.chlorine();
        m.chlorine_ct = self.tertiary.ct();
        m.eff_flow = self.eff_m3_h;
        m.eff_nh4 = effluent[SNH];
        m.eff_cod = water::cod(&effluent);
        m.eff_tn = water::nitrogen(&effluent);
        m.eff_tss = water::tss(&effluent);
        // Carbonic acid equilibrium: pK 6.4, about 0.95 mmol/L of dissolved carbon dioxide after aeration.
        m.eff_ph = 6.4 + (effluent[SALK].max(0.05) / 0.95).log10();
        m.blanket_m = self.basin.blanket_m();
        m.ras_tss = water::tss(self.basin.underflow());
        m.dewater_running = self.sludge.running();
        m.reject_flow = self.sludge.reject_m3_h();
        m.reject_nh4 = reject[SNH];
        m.reject_po4 = reject[PO4];
        m.sludge_store = self.sludge.store_pct();
        m.cake_flow = self.sludge.cake_m3_h();
    }
}
