//! A water stream of the whole plant: the states of ASM1 and, beside them, phosphorus and the metal that binds it.
//!
//! Phosphorus: dissolved phosphate, polyphosphate stored in heterotrophic biomass, and the organic phosphorus that is a
//! share of the organic states, as nitrogen is in ASM1. Metal: hydroxide and phosphate as in ASM2d (Henze et al. 1999),
//! counted as Fe(OH)3 and FePO4: 3.45 g hydroxide bind 1 g P into 4.87 g phosphate. Aluminium is counted by moles: a
//! mole of it is the 106.87 g of a mole of iron hydroxide, and weighs less (see [`tss`]).

use super::asm1::{self, Mix, SALK, SI, SND, SNH, SNO, SO, SS, STATES, XBA, XBH, XI, XND, XP, XS};

/// Number of components.
pub const PARTS: usize = STATES + 4;
/// Concentrations, g/m3 (alkalinity mol/m3), or masses, g: those of ASM1 first.
pub type Water = [f64; PARTS];

/// Dissolved phosphate, g P.
pub const PO4: usize = STATES;
/// Polyphosphate stored in biomass, g P.
pub const XPP: usize = STATES + 1;
/// Metal hydroxide, g as Fe(OH)3.
pub const MEOH: usize = STATES + 2;
/// Metal phosphate, g as FePO4.
pub const MEP: usize = STATES + 3;

/// Components that move with the water.
pub const SOLUBLE: [usize; 8] = [SI, SS, SO, SNO, SNH, SND, SALK, PO4];
/// Components that settle.
pub const PARTICULATE: [usize; 9] = [XI, XS, XBH, XBA, XP, XND, XPP, MEOH, MEP];

/// Molar masses of Fe(OH)3, FePO4, P and Al, g/mol.
const MOL_MEOH: f64 = 106.87;
const MOL_MEP: f64 = 150.82;
const MOL_P: f64 = 30.97;
const MOL_AL: f64 = 26.98;
/// Hydroxide that binds 1 g P, g (3.45 in ASM2d).
pub const MEOH_PER_P: f64 = MOL_MEOH / MOL_P;
/// Phosphate that 1 g P forms, g (4.87 in ASM2d).
pub const MEP_PER_P: f64 = MOL_MEP / MOL_P;
/// Hydroxide counted for 1 g of aluminium, g.
pub const MEOH_PER_AL: f64 = MOL_MEOH / MOL_AL;
/// Phosphorus in biomass, g/g COD (ASM2d i_P,BM).
pub const IP_BIOMASS: f64 = 0.02;
/// Phosphorus in other particulate organics, g/g COD (lower end of the ASM2d range of 0.005 to 0.01).
pub const IP_ORGANIC: f64 = 0.005;
/// Solids of the counted metal compounds: Al(OH)3 weighs 78.00 and AlPO4 121.95 g/mol.
const MEOH_SOLIDS: f64 = 78.00 / MOL_MEOH;
const MEP_SOLIDS: f64 = 121.95 / MOL_MEP;
/// Solids of stored polyphosphate, g per g P (ASM2d).
const XPP_SOLIDS: f64 = 3.23;

/// Water with the given ASM1 states and phosphate, without stored phosphorus and metal.
#[must_use]
pub fn water(mix: &Mix, po4: f64) -> Water {
    let mut water = [0.0; PARTS];
    water[..STATES].copy_from_slice(mix);
    water[PO4] = po4;
    water
}

/// The ASM1 states of a stream.
#[must_use]
pub fn mix(y: &Water) -> Mix {
    std::array::from_fn(|i| y[i])
}

/// Suspended solids: 0.75 g/g COD of the organics, polyphosphate, aluminium hydroxide and phosphate.
#[must_use]
pub fn tss(y: &Water) -> f64 {
    0.75 * (y[XI] + y[XS] + y[XBH] + y[XBA] + y[XP]) + XPP_SOLIDS * y[XPP] + MEOH_SOLIDS * y[MEOH] + MEP_SOLIDS * y[MEP]
}

/// Chemical oxygen demand.
#[must_use]
pub fn cod(y: &Water) -> f64 {
    asm1::cod(&mix(y))
}

/// Total nitrogen.
#[must_use]
pub fn nitrogen(y: &Water) -> f64 {
    asm1::total_nitrogen(&mix(y))
}

/// Total phosphorus.
#[must_use]
pub fn phosphorus(y: &Water) -> f64 {
    y[PO4] + y[XPP] + organic_phosphorus(y) + y[MEP] / MEP_PER_P
}

/// Phosphorus bound in organic matter.
#[must_use]
pub fn organic_phosphorus(y: &Water) -> f64 {
    IP_BIOMASS * (y[XBH] + y[XBA]) + IP_ORGANIC * (y[XI] + y[XS] + y[XP])
}

/// Oxygen demand down to carbon dioxide and nitrate: COD less the oxygen dissolved and that in nitrate. Forming
/// nitrogen gas sets free 4.57 - 2.86 g/g N of it.
#[must_use]
pub fn demand(y: &Water) -> f64 {
    cod(y) - y[SO] - 4.57 * y[SNO]
}

/// Suspended metal, mol.
#[must_use]
pub fn metal(y: &Water) -> f64 {
    y[MEOH] / MOL_MEOH + y[MEP] / MOL_MEP
}

/// Moles of metal in so many g of hydroxide.
#[must_use]
pub fn hydroxide_mol(meoh: f64) -> f64 {
    meoh / MOL_MEOH
}

/// A stored amount of water: volume, m3, and what is in it, g.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stock {
    /// Volume, m3.
    pub m3: f64,
    /// Masses, g.
    pub mass: Water,
}

impl Stock {
    /// Nothing.
    pub const EMPTY: Stock = Stock { m3: 0.0, mass: [0.0; PARTS] };

    /// So much water of a composition.
    #[must_use]
    pub fn of(m3: f64, water: &Water) -> Stock {
        Stock { m3, mass: water.map(|g_m3| g_m3 * m3) }
    }

    /// Concentrations; nothing where there is no water.
    #[must_use]
    pub fn concentration(&self) -> Water {
        if self.m3 <= 1e-9 { [0.0; PARTS] } else { self.mass.map(|g| g / self.m3) }
    }

    /// Puts another amount in.
    pub fn put(&mut self, other: &Stock) {
        self.m3 += other.m3;
        self.mass.iter_mut().zip(&other.mass).for_each(|(g, more)| *g += more);
    }

    /// Takes a share, 0 to 1, of everything out.
    pub fn take(&mut self, share: f64) -> Stock {
        let out = Stock { m3: self.m3 * share, mass: self.mass.map(|g| g * share) };
        self.m3 -= out.m3;
        self.mass.iter_mut().zip(&out.mass).for_each(|(g, less)| *g -= less);
        out
    }

    /// Takes `m3` of water with the solubles in it and a share, 0 to 1, of the particulates.
    pub fn take_parts(&mut self, m3: f64, particulate_share: f64) -> Stock {
        let share = if self.m3 > 1e-12 { (m3 / self.m3).clamp(0.0, 1.0) } else { 0.0 };
        let mut out = Stock { m3: self.m3 * share, mass: self.mass };
        SOLUBLE.iter().for_each(|i| out.mass[*i] *= share);
        PARTICULATE.iter().for_each(|i| out.mass[*i] *= particulate_share);
        self.m3 -= out.m3;
        self.mass.iter_mut().zip(&out.mass).for_each(|(g, less)| *g -= less);
        out
    }
}

/// A completely mixed tank of constant volume: takes a portion in, mixes, gives the same volume out. Backward Euler, so
/// it is stable at any step and what goes in less what goes out is what it holds.
pub fn through(tank: &mut Stock, arriving: &Stock) -> Stock {
    let m3 = tank.m3;
    tank.put(arriving);
    let out = if tank.m3 > 0.0 { tank.take(arriving.m3 / tank.m3) } else { Stock::EMPTY };
    tank.m3 = m3;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Water {
        std::array::from_fn(|i| 1.0 + i as f64)
    }

    #[test]
    fn components_are_either_soluble_or_particulate() {
        let mut all: Vec<usize> = SOLUBLE.iter().chain(&PARTICULATE).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..PARTS).collect::<Vec<_>>());
    }

    #[test]
    fn stocks_lose_nothing_on_the_way() {
        let mut tank = Stock::of(300.0, &sample());
        let arriving = Stock::of(12.0, &[2.0; PARTS]);
        let before: f64 = tank.mass.iter().sum();
        let out = through(&mut tank, &arriving);
        let after: f64 = tank.mass.iter().chain(&out.mass).sum();
        assert!((before + 12.0 * 2.0 * PARTS as f64 - after).abs() < 1e-9);
        assert_eq!((tank.m3, out.m3), (300.0, 12.0));
        let thick = tank.take_parts(30.0, 0.9);
        assert!((thick.mass[XI] / (thick.mass[XI] + tank.mass[XI]) - 0.9).abs() < 1e-12);
        assert!((thick.mass[SI] / (thick.mass[SI] + tank.mass[SI]) - 0.1).abs() < 1e-12);
        assert_eq!(Stock::EMPTY.concentration(), [0.0; PARTS]);
    }

    #[test]
    fn a_mole_of_aluminium_binds_at_most_a_mole_of_phosphorus() {
        // 26.98 g Al bind 30.97 g P into 121.95 g AlPO4.
        let hydroxide = 26.98 * MEOH_PER_AL;
        let bound = hydroxide / MEOH_PER_P;
        assert!((bound / 30.97 - 1.0).abs() < 0.001, "{bound}");
        let mut y = [0.0; PARTS];
        y[MEP] = bound * MEP_PER_P;
        assert!((tss(&y) / 121.95 - 1.0).abs() < 0.001, "{}", tss(&y));
        assert!((phosphorus(&y) - bound).abs() < 1e-12);
    }
}
