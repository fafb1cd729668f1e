//! Activated Sludge Model No. 1: states, parameters with temperature, reaction rates.
//!
//! Equations and parameters as in the COST/IWA benchmark BSM1 (Alex et al. 2008; reference temperature 15 degC); the
//! temperature dependence is that of BSM2. Concentrations in g/m3 (alkalinity in mol/m3), rates per day.

/// Number of state variables.
pub const STATES: usize = 13;
/// Concentrations of one water stream, indexed by the constants of this module.
pub type Mix = [f64; STATES];

/// Soluble inert organics.
pub const SI: usize = 0;
/// Readily biodegradable substrate.
pub const SS: usize = 1;
/// Particulate inert organics.
pub const XI: usize = 2;
/// Slowly biodegradable substrate.
pub const XS: usize = 3;
/// Heterotrophic biomass.
pub const XBH: usize = 4;
/// Autotrophic biomass.
pub const XBA: usize = 5;
/// Particulate products of decay.
pub const XP: usize = 6;
/// Dissolved oxygen.
pub const SO: usize = 7;
/// Nitrate and nitrite nitrogen.
pub const SNO: usize = 8;
/// Ammonium nitrogen.
pub const SNH: usize = 9;
/// Soluble organic nitrogen.
pub const SND: usize = 10;
/// Particulate organic nitrogen.
pub const XND: usize = 11;
/// Alkalinity, mol/m3.
pub const SALK: usize = 12;

const KS: f64 = 10.0;
const KOH: f64 = 0.2;
const KNO: f64 = 0.5;
const ETA_G: f64 = 0.8;
const ETA_H: f64 = 0.8;
const KX: f64 = 0.1;
const KNH: f64 = 1.0;
const KOA: f64 = 0.4;
const YH: f64 = 0.67;
const YA: f64 = 0.24;
const FP: f64 = 0.08;
const IXB: f64 = 0.08;
const IXP: f64 = 0.06;

/// Parameters that depend on temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    mu_h: f64,
    b_h: f64,
    k_h: f64,
    mu_a: f64,
    b_a: f64,
    k_a: f64,
    /// Oxygen saturation, g/m3 (8 at 15 degC).
    pub so_sat: f64,
    /// Factor on oxygen transfer, 1.024^(T-15).
    pub kla_factor: f64,
}

impl Params {
    /// Parameters at a water temperature in degC; at 15 exactly those of BSM1.
    #[must_use]
    pub fn at(temp_c: f64) -> Params {
        let over = temp_c - 15.0;
        // k(T) = k15 * exp(ln(k15/k10)/5 * (T-15))
        let k = |k15: f64, k10: f64| k15 * ((k15 / k10).ln() / 5.0 * over).exp();
        Params {
            mu_h: k(4.0, 3.0),
            b_h: k(0.3, 0.2),
            k_h: k(3.0, 2.5),
            mu_a: k(0.5, 0.3),
            b_a: k(0.05, 0.03),
            k_a: k(0.05, 0.04),
            so_sat: 8.0 * (saturation_exponent(temp_c) - saturation_exponent(15.0)).exp(),
            kla_factor: 1.024_f64.powf(over),
        }
    }
}

impl Params {
    /// The same with growth rates of both kinds of bacteria multiplied by a factor.
    #[must_use]
    pub fn grown(mut self, factor: f64) -> Params {
        self.mu_h *= factor;
        self.mu_a *= factor;
        self
    }
}

/// Exponent of the oxygen saturation curve used in BSM2 (Weiss form).
fn saturation_exponent(temp_c: f64) -> f64 {
    let t = (temp_c + 273.15) / 100.0;
    -66.7354 + 87.4755 / t + 24.4526 * t.ln()
}

/// Suspended solids of a stream, g/m3.
#[must_use]
pub fn tss(y: &Mix) -> f64 {
    0.75 * (y[XI] + y[XS] + y[XBH] + y[XBA] + y[XP])
}

/// Total chemical oxygen demand, g/m3.
#[must_use]
pub fn cod(y: &Mix) -> f64 {
    y[SI] + y[SS] + y[XI] + y[XS] + y[XBH] + y[XBA] + y[XP]
}

/// Total nitrogen including that bound in organic matter, g/m3.
#[must_use]
pub fn total_nitrogen(y: &Mix) -> f64 {
    y[SNO] + y[SNH] + y[SND] + y[XND] + IXB * (y[XBH] + y[XBA]) + IXP * (y[XP] + y[XI])
}

/// Reaction rates, g/(m3 d). Oxygen transfer is not part of it.
#[must_use]
pub fn rates(y: &Mix, p: &Params) -> Mix {
    limited_rates(y, p, 1.0)
}

/// The same with the growth of heterotrophs multiplied by `nutrients`, 0 to 1. The benchmark lets them grow without
/// ammonium, which then becomes negative.
#[must_use]
pub fn limited_rates(y: &Mix, p: &Params, nutrients: f64) -> Mix {
    let so = y[SO].max(0.0);
    let sno = y[SNO].max(0.0);
    let substrate = y[SS].max(0.0) / (KS + y[SS].max(0.0));
    let ammonium = y[SNH].max(0.0) / (KNH + y[SNH].max(0.0));
    let oxic = so / (KOH + so);
    let anoxic = KOH / (KOH + so) * sno / (KNO + sno);
    let xbh = y[XBH].max(0.0);
    let xba = y[XBA].max(0.0);
    let xs = y[XS].max(0.0);

    let p1 = p.mu_h * substrate * oxic * xbh * nutrients;
    let p2 = p.mu_h * substrate * anoxic * ETA_G * xbh * nutrients;
    let p3 = p.mu_a * ammonium * so / (KOA + so) * xba;
    let p4 = p.b_h * xbh;
    let p5 = p.b_a * xba;
    let p6 = p.k_a * y[SND].max(0.0) * xbh;
    // kh (XS/XBH)/(KX+XS/XBH) XBH, written so that no biomass and no substrate is no division by zero.
    let hydrolysis = p.k_h * xbh / (KX * xbh + xs).max(1e-12) * (oxic + ETA_H * anoxic);
    let p7 = hydrolysis * xs;
    let p8 = hydrolysis * y[XND].max(0.0);

    let mut r = [0.0; STATES];
    r[SS] = -(p1 + p2) / YH + p7;
    r[XS] = (1.0 - FP) * (p4 + p5) - p7;
    r[XBH] = p1 + p2 - p4;
    r[XBA] = p3 - p5;
    r[XP] = FP * (p4 + p5);
    r[SO] = -(1.0 - YH) / YH * p1 - (4.57 - YA) / YA * p3;
    r[SNO] = -(1.0 - YH) / (2.86 * YH) * p2 + p3 / YA;
    r[SNH] = -IXB * (p1 + p2) - (IXB + 1.0 / YA) * p3 + p6;
    r[SND] = -p6 + p8;
    r[XND] = (IXB - FP * IXP) * (p4 + p5) - p8;
    r[SALK] = -IXB / 14.0 * p1 + ((1.0 - YH) / (14.0 * 2.86 * YH) - IXB / 14.0) * p2
        - (IXB / 14.0 + 1.0 / (7.0 * YA)) * p3
        + p6 / 14.0;
    r
}

/// Nitrogen gas formed by denitrification, g N/(m3 d).
#[must_use]
pub fn nitrogen_gas(y: &Mix, p: &Params) -> f64 {
    let substrate = y[SS].max(0.0) / (KS + y[SS].max(0.0));
    let anoxic = KOH / (KOH + y[SO].max(0.0)) * y[SNO].max(0.0) / (KNO + y[SNO].max(0.0));
    (1.0 - YH) / (2.86 * YH) * p.mu_h * substrate * anoxic * ETA_G * y[XBH].max(0.0)
}

/// Nitrogen bound in ammonium and organic matter (Kjeldahl), g N/m3.
#[must_use]
pub fn kjeldahl_nitrogen(y: &Mix) -> f64 {
    total_nitrogen(y) - y[SNO]
}

/// Upper bound of the fastest local rate constant of a tank, 1/d: oxygen uptake at zero oxygen, substrate uptake at
/// the present substrate. It bounds the step an explicit method may take.
#[must_use]
pub fn stiffness(y: &Mix, p: &Params) -> f64 {
    let ss = y[SS].max(0.0);
    let substrate = ss / (KS + ss);
    let ammonium = y[SNH].max(0.0) / (KNH + y[SNH].max(0.0));
    let oxygen =
        (1.0 - YH) / YH * p.mu_h * substrate * y[XBH] / KOH + (4.57 - YA) / YA * p.mu_a * ammonium * y[XBA] / KOA;
    oxygen + p.mu_h / YH * y[XBH] * KS / (KS + ss).powi(2)
}

/// Rate constant at which growth takes up ammonium that limits it with a half-saturation of `k_nh`, 1/d.
#[must_use]
pub fn nutrient_stiffness(y: &Mix, p: &Params, k_nh: f64) -> f64 {
    let ss = y[SS].max(0.0);
    IXB * p.mu_h * ss / (KS + ss) * y[XBH] * k_nh / (k_nh + y[SNH].max(0.0)).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIQUOR: Mix = [30.0, 2.0, 1149.0, 60.0, 2557.0, 150.0, 450.0, 1.5, 7.0, 5.0, 0.8, 4.4, 4.5];

    #[test]
    fn reactions_conserve_cod_and_nitrogen() {
        for so in [0.0, 0.5, 4.0] {
            let mut y = LIQUOR;
            y[SO] = so;
            let r = rates(&y, &Params::at(15.0));
            // COD balance: organics - oxygen demand; denitrified N carries 2.86, nitrified 4.57 g O2/g N.
            let organics: f64 = [SI, SS, XI, XS, XBH, XBA, XP].iter().map(|i| r[*i]).sum();
            let no3_formed = rates_of_nitrification(&y);
            let denitrified = no3_formed - r[SNO];
            let cod = organics - r[SO] - 4.57 * no3_formed + 2.86 * denitrified;
            assert!(cod.abs() < 1e-9 * 1e4, "COD imbalance {cod} at SO {so}");
            // Nitrogen: all forms sum to minus the nitrogen gas formed.
            let nitrogen = r[SNO] + r[SNH] + r[SND] + r[XND] + IXB * (r[XBH] + r[XBA]) + IXP * r[XP];
            assert!((nitrogen + denitrified).abs() < 1e-9 * 1e4, "N imbalance {nitrogen} {denitrified} at SO {so}");
        }
    }

    fn rates_of_nitrification(y: &Mix) -> f64 {
        let mut aerobic = *y;
        aerobic[XBH] = 0.0;
        rates(&aerobic, &Params::at(15.0))[SNO]
    }

    #[test]
    fn parameters_at_15_are_the_benchmark_and_rise_with_temperature() {
        let p = Params::at(15.0);
        assert_eq!((p.mu_h, p.b_h, p.k_h, p.mu_a, p.b_a, p.k_a), (4.0, 0.3, 3.0, 0.5, 0.05, 0.05));
        assert_eq!((p.so_sat, p.kla_factor), (8.0, 1.0));
        let cold = Params::at(10.0);
        assert!((cold.mu_a - 0.3).abs() < 1e-12 && (cold.k_h - 2.5).abs() < 1e-12);
        // Fresh water: 11.29 at 10 degC against 10.08 at 15 degC.
        assert!((cold.so_sat / 8.0 - 11.29 / 10.08).abs() < 0.01, "{}", cold.so_sat);
    }
}
