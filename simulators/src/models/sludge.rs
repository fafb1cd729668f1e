//! Sludge line: gravity thickener, sludge store, dewatering in shifts, and the reject water that returns to the inlet.
//!
//! Everything is an amount that moves (see [`Stock`]): what comes in is what the cake and the reject water take out and
//! the store keeps. The thickener holds nothing itself. In the store biomass decays without oxygen and sets ammonium and
//! phosphate free: this makes the reject water what it is.

use super::asm1::{SND, SNH, SS, XBA, XBH, XND, XP, XS};
use super::water::{self, PARTICULATE, PO4, Stock, Water, XPP};
use crate::clock::DAY_S;

/// Share of the solids the thickener catches, and the solids of its sludge, g/m3.
const THICKENER_CATCH: f64 = 0.95;
const THICKENED_G_M3: f64 = 30_000.0;
/// Store: volume, m3; dewatering ends a shift below the first share of it and works around the clock from the second
/// until it is back at the third.
const STORE_M3: f64 = 600.0;
const STORE_EMPTY: f64 = 0.03;
const STORE_FULL: f64 = 0.90;
const STORE_RELIEVED: f64 = 0.60;
/// Dewatering: sludge fed, m3/h, share of the solids caught, solids of the cake, g/m3 (22 %).
const FEED_M3_H: f64 = 18.0;
const DEWATER_CATCH: f64 = 0.95;
const CAKE_G_M3: f64 = 240_000.0;
/// Working days from 8 to 16 o'clock.
const SHIFT_H: std::ops::Range<f64> = 8.0..16.0;
/// Reject water tank: volume at no flow, m3, and time constant of its level control, h.
const REJECT_M3: f64 = 15.0;
const REJECT_H: f64 = 1.0;
/// Without oxygen, 1/d: decay of biomass, hydrolysis of what it leaves, ammonification, release of polyphosphate.
const DECAY: f64 = 0.10;
const HYDROLYSIS: f64 = 0.15;
const AMMONIFICATION: f64 = 1.0;
const PP_RELEASE: f64 = 2.0;
/// ASM1's share of inert products in decay and nitrogen of biomass and of products.
const FP: f64 = 0.08;
const IXB: f64 = 0.08;
const IXP: f64 = 0.06;
/// Power of the dewatering: at rest between shifts, drive of the running centrifuge, and per m3/h of feed, kW.
const DEWATER_KW: f64 = 8.0;
const DEWATER_KW_PER_M3_H: f64 = 1.0;

/// State of the sludge line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SludgeLine {
    store: Stock,
    reject: Stock,
    running: bool,
    relieving: bool,
    reject_m3_h: f64,
    cake_m3_h: f64,
}

/// What the line gave during a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given {
    /// Reject water to the inlet.
    pub reject: Stock,
    /// Cake that leaves the plant.
    pub cake: Stock,
    /// Solids formed in the store, g; negative, as hydrolysis dissolves them.
    pub solids_formed: f64,
}

impl SludgeLine {
    /// With a store a quarter full of thickened sludge of a composition, and its reject water.
    #[must_use]
    pub fn new(sludge: &Water) -> SludgeLine {
        let mut thick = *sludge;
        let share = THICKENED_G_M3 / water::tss(sludge).max(1.0);
        PARTICULATE.iter().for_each(|i| thick[*i] *= share);
        let mut clear = *sludge;
        PARTICULATE.iter().for_each(|i| clear[*i] *= 0.05);
        SludgeLine {
            store: Stock::of(0.25 * STORE_M3, &thick),
            reject: Stock::of(REJECT_M3 + 12.0 * REJECT_H, &clear),
            running: false,
            relieving: false,
            reject_m3_h: 12.0,
            cake_m3_h: 0.0,
        }
    }

    /// Goes on by `dt` seconds with the waste and tertiary sludge of that time; `on_duty` is whether a shift is there.
    pub fn step(&mut self, dt: f64, mut sludge: Stock, on_duty: bool, powered: bool) -> Given {
        let hours = dt / 3600.0;
        let solids = water::tss(&sludge.mass);
        let thick_m3 = (solids * THICKENER_CATCH / THICKENED_G_M3).min(0.9 * sludge.m3);
        let thick = sludge.take_parts(thick_m3, THICKENER_CATCH);
        self.store.put(&thick);
        self.reject.put(&sludge);
        let before = water::tss(&self.store.mass);
        digest(&mut self.store.mass, dt / DAY_S);
        let solids_formed = water::tss(&self.store.mass) - before;

        let filled = self.store.m3 / STORE_M3;
        self.relieving = filled > if self.relieving { STORE_RELIEVED } else { STORE_FULL };
        self.running = powered && (on_duty || self.relieving) && filled > STORE_EMPTY;
        let cake = if self.running { self.dewater(hours) } else { Stock::EMPTY };
        self.cake_m3_h = if hours > 0.0 { cake.m3 / hours } else { 0.0 };

        let free = (self.reject.m3 - REJECT_M3).max(0.0);
        let m3 = free * hours / (REJECT_H + hours);
        let reject = self.reject.take(if self.reject.m3 > 0.0 { m3 / self.reject.m3 } else { 0.0 });
        self.reject_m3_h = if hours > 0.0 { reject.m3 / hours } else { 0.0 };
        Given { reject, cake, solids_formed }
    }

    fn dewater(&mut self, hours: f64) -> Stock {
        let mut feed = self.store.take((FEED_M3_H * hours / self.store.m3).min(1.0));
        let solids = water::tss(&feed.mass);
        let cake_m3 = (solids * DEWATER_CATCH / CAKE_G_M3).min(0.9 * feed.m3);
        let cake = feed.take_parts(cake_m3, DEWATER_CATCH);
        self.reject.put(&feed);
        cake
    }

    /// The dewatering turns.
    #[must_use]
    pub fn running(&self) -> bool {
        self.running
    }

    /// Power of the dewatering at its mean load, kW.
    #[must_use]
    pub fn power_kw(&self) -> f64 {
        if self.running { DEWATER_KW + DEWATER_KW_PER_M3_H * FEED_M3_H } else { 0.0 }
    }

    /// Reject water, m3/h.
    #[must_use]
    pub fn reject_m3_h(&self) -> f64 {
        self.reject_m3_h
    }

    /// Composition of the reject water.
    #[must_use]
    pub fn reject_water(&self) -> Water {
        self.reject.concentration()
    }

    /// Cake, m3/h.
    #[must_use]
    pub fn cake_m3_h(&self) -> f64 {
        self.cake_m3_h
    }

    /// Level of the store, %.
    #[must_use]
    pub fn store_pct(&self) -> f64 {
        self.store.m3 / STORE_M3 * 100.0
    }

    /// Everything the line holds.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let mut all = self.store;
        all.put(&self.reject);
        all
    }
}

/// A shift is on duty at an hour of a weekday (0 is Monday).
#[must_use]
pub fn on_duty(weekday: usize, hour: f64) -> bool {
    weekday < 5 && SHIFT_H.contains(&hour)
}

/// Decay without oxygen over `days`: oxygen demand, nitrogen and phosphorus change their places only.
fn digest(mass: &mut Water, days: f64) {
    let before = water::organic_phosphorus(mass);
    let lost = |rate: f64| -(-rate * days).exp_m1();
    let mut decayed = 0.0;
    for i in [XBH, XBA] {
        let out = mass[i] * lost(DECAY);
        mass[i] -= out;
        decayed += out;
    }
    mass[XP] += FP * decayed;
    mass[XS] += (1.0 - FP) * decayed;
    mass[XND] += (IXB - FP * IXP) * decayed;
    for (from, to, rate) in
        [(XS, SS, HYDROLYSIS), (XND, SND, HYDROLYSIS), (SND, SNH, AMMONIFICATION), (XPP, PO4, PP_RELEASE)]
    {
        let out = mass[from] * lost(rate);
        mass[from] -= out;
        mass[to] += out;
    }
    mass[PO4] += before - water::organic_phosphorus(mass);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::basin::Basin;

    fn waste() -> Water {
        *Basin::settled().underflow()
    }

    #[test]
    fn a_fortnight_balances_and_the_store_neither_overflows_nor_runs_dry() {
        let mut line = SludgeLine::new(&waste());
        let before = line.stock();
        let (mut came, mut went) = (Stock::EMPTY, Stock::EMPTY);
        let (mut cake_m3, mut cake_kg, mut reject_nh4) = (0.0, 0.0, 0.0);
        for step in 0..14 * 8640 {
            let sludge = Stock::of(16.0 / 360.0, &waste());
            let hour = f64::from(step % 8640) / 360.0;
            let given = line.step(10.0, sludge, on_duty((step / 8640) as usize % 7, hour), true);
            came.put(&sludge);
            went.put(&given.reject);
            went.put(&given.cake);
            cake_m3 += given.cake.m3;
            cake_kg += water::tss(&given.cake.mass) / 1000.0;
            reject_nh4 += given.reject.mass[SNH];
            assert!((0.0..=100.0).contains(&line.store_pct()), "{}", line.store_pct());
        }
        let after = line.stock();
        for what in [water::nitrogen, water::phosphorus, water::demand, water::metal] {
            let residual = what(&came.mass) - what(&went.mass) - (what(&after.mass) - what(&before.mass));
            assert!(residual.abs() <= 1e-9 * what(&came.mass), "{residual}");
        }
        let volume = came.m3 - went.m3 - (after.m3 - before.m3);
        assert!(volume.abs() < 1e-9 * came.m3, "{volume}");
        assert!((cake_kg / cake_m3 / 240.0 - 1.0).abs() < 1e-9, "{} kg/m3", cake_kg / cake_m3);
        assert!((1500.0..2800.0).contains(&(cake_kg / 14.0)), "{} kg/d", cake_kg / 14.0);
        // Reject water carries more ammonium than the waste sludge did.
        assert!(reject_nh4 > 3.0 * came.mass[SNH], "{reject_nh4} from {}", came.mass[SNH]);
    }

    #[test]
    fn shifts_are_kept_unless_the_store_fills() {
        let mut line = SludgeLine::new(&waste());
        line.step(10.0, Stock::EMPTY, false, true);
        assert!(!line.running() && line.power_kw() == 0.0);
        line.step(10.0, Stock::EMPTY, true, true);
        assert!(line.running() && line.power_kw() > 10.0 && line.cake_m3_h() > 1.0);
        line.step(10.0, Stock::EMPTY, true, false);
        assert!(!line.running(), "no power, no dewatering");
        line.store = Stock::of(0.95 * STORE_M3, &waste());
        line.step(10.0, Stock::EMPTY, false, true);
        assert!(line.running(), "a full store calls for a night shift");
        assert!(on_duty(0, 8.0) && !on_duty(0, 16.0) && !on_duty(5, 10.0));
    }
}
