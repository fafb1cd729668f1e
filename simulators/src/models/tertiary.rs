//! After the settler: lift pumping station, rapid mixer, flocculation, clarifier, filter, chlorine contact.
//!
//! Every tank carries all components of [`water`](super::water) and passes them on by backward Euler, so what the stage
//! receives is what it gives and keeps. Precipitation in the rapid mixer: `P_res = P_in * exp(-0.852 * beta^1.51)`, beta
//! in mol Al per mol P, not below 0.03 g/m3; the bound phosphorus is metal phosphate and leaves as sludge. Dead times are
//! volumes over flow. Chlorine: instant demand, then first-order decay along the contact tank.

use super::asm1::{SALK, SNH};
use super::dosing::Dosing;
use super::water::{self, MEOH, MEOH_PER_AL, MEOH_PER_P, MEP, MEP_PER_P, PARTICULATE, PO4, Stock, Water, through};
use crate::rng::Wander;

pub use super::dosing::DoseCommands;

/// Aluminium in one litre of PAC solution (10 % Al2O3 = 5.3 % Al, 1.2 kg/L), g.
pub const PAC_AL_G_L: f64 = 63.6;
/// Oxygen demand of one litre of the sodium acetate solution, g COD.
pub const CARBON_COD_G_L: f64 = 400.0;
/// Available chlorine in one litre of hypochlorite, g.
pub const NACLO_CL_G_L: f64 = 120.0;
const MOL_AL: f64 = 26.98;
const MOL_P: f64 = 30.97;
/// Alkalinity one mole of PAC's aluminium takes, mol: basicity of two thirds.
pub const ALKALINITY_PER_AL: f64 = 1.0;
/// Lowest residual phosphate that precipitation reaches, g/m3.
pub const PO4_FLOOR: f64 = 0.03;
/// Lift pumping station: volume at no flow, m3, and time constant of its level control, h.
const SUMP_M3: f64 = 20.0;
const SUMP_H: f64 = 300.0 / 3600.0;
/// Rapid mixer, m3.
const MIX_M3: f64 = 26.0;
/// Flocculation, then the clarifier as three mixed tanks, m3.
const FLOC_M3: f64 = 300.0;
const CLARIFIER_M3: f64 = 300.0;
/// Share of the suspended solids the clarifier takes out: biological flocs alone, and metal flocs with what they enmesh.
const CLARIFIED: f64 = 0.25;
const CLARIFIED_METAL: f64 = 0.80;
/// Sludge drawn from the clarifier, m3/h.
const CLARIFIER_SLUDGE_M3_H: f64 = 3.0;
/// Share of the suspended solids that passes the filter.
const FILTER_PASS: f64 = 0.2;
/// Water over and in the filter beds, m3.
const FILTER_M3: f64 = 120.0;
/// A quarter of the beds is washed when so much solids, kg, has been caught since the last wash, or after so many hours.
const WASH_KG: f64 = 40.0;
const WASH_EVERY_H: f64 = 12.0;
/// Duration of a wash, h, and the share of the caught solids it takes out.
const WASH_H: f64 = 1.0 / 3.0;
/// Flow of the wash water, m3/h.
pub const WASH_M3_H: f64 = 80.0;
const WASH_SHARE: f64 = 0.25;
/// A wash takes at most this share of the filtered water.
const WASH_FLOW_SHARE: f64 = 0.4;
/// Chlorine contact: four chambers, m3. Four mixed tanks in series have t10 = 0.436 V/Q: a moderately baffled tank.
const CHAMBER_M3: f64 = 100.0;
const BAFFLING: f64 = 0.436;
/// Decay of chlorine at 20 degC, 1/h, and its growth per K.
const CHLORINE_DECAY_1_H: f64 = 0.45;
const CHLORINE_THETA: f64 = 1.04;

/// State of the tertiary stage.
#[derive(Debug, Clone)]
pub struct Tertiary {
    /// PAC pump.
    pub pac: Dosing,
    /// Carbon pump.
    pub carbon: Dosing,
    /// Hypochlorite pump.
    pub naclo: Dosing,
    sump: Stock,
    mixer: Stock,
    floc: Stock,
    clarifier: [Stock; 3],
    filter: Stock,
    /// Solids on the filter beds; no water of their own.
    beds: Stock,
    since_wash_kg: f64,
    since_wash_h: f64,
    wash_left_h: f64,
    contact: [Stock; 4],
    chlorine: [f64; 4],
    efficacy: Wander,
    /// Share of the dosed metal that precipitates, by what it should be; 1.
    pub efficacy_factor: f64,
    /// Available chlorine in the hypochlorite, by [`NACLO_CL_G_L`]; 1 where it is fresh.
    pub hypochlorite_factor: f64,
    demand: Wander,
    flow_m3_h: f64,
}

/// What the stage gave during a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given {
    /// Effluent of the plant.
    pub effluent: Stock,
    /// Sludge of the clarifier and wash water of the filter.
    pub sludge: Stock,
    /// Metal that was dosed, g as Fe(OH)3.
    pub metal: f64,
    /// Solids the dose formed, g.
    pub solids_formed: f64,
}

impl Tertiary {
    /// At rest for mean load and the given doses, filled with the given secondary effluent.
    #[must_use]
    pub fn new(seed: u64, doses: &DoseCommands, secondary: &Water) -> Tertiary {
        let mut clear = *secondary;
        clear[PO4] = 0.26;
        PARTICULATE.iter().for_each(|i| clear[*i] *= 1.0 - CLARIFIED);
        let mut filtered = clear;
        PARTICULATE.iter().for_each(|i| filtered[*i] *= FILTER_PASS);
        Tertiary {
            pac: Dosing::new(doses.pac_l_h, 300.0, 20_000.0, 72.0),
            carbon: Dosing::new(doses.carbon_l_h, 300.0, 30_000.0, 64.0),
            naclo: Dosing::new(doses.naclo_l_h, 100.0, 8_000.0, 81.0),
            sump: Stock::of(SUMP_M3 + 750.0 * SUMP_H, secondary),
            mixer: Stock::of(MIX_M3, &clear),
            floc: Stock::of(FLOC_M3, &clear),
            clarifier: [Stock::of(CLARIFIER_M3, &clear); 3],
            filter: Stock::of(FILTER_M3, &filtered),
            beds: Stock::EMPTY,
            since_wash_kg: 0.0,
            since_wash_h: 0.0,
            wash_left_h: 0.0,
            contact: [Stock::of(CHAMBER_M3, &filtered); 4],
            chlorine: [0.5; 4],
            efficacy: Wander::new(seed, "precipitation", 0.04, 6.0 * 3600.0),
            efficacy_factor: 1.0,
            hypochlorite_factor: 1.0,
            demand: Wander::new(seed, "chlorine demand", 0.06, 3.0 * 3600.0),
            flow_m3_h: 750.0,
        }
    }

    /// The dosing pumps go on by `dt` seconds.
    pub fn step_pumps(&mut self, dt: f64, doses: &DoseCommands) {
        self.pac.step(dt, doses.pac_l_h);
        self.carbon.step(dt, doses.carbon_l_h);
        self.naclo.step(dt, doses.naclo_l_h);
    }

    /// Takes what came over the weir in `dt` seconds at `temp_c` and goes on.
    pub fn step(&mut self, dt: f64, secondary: &Stock, temp_c: f64) -> Given {
        let hours = dt / 3600.0;
        // The level follows the flow: a linear store above the least volume.
        self.sump.put(secondary);
        let free = (self.sump.m3 - SUMP_M3).max(0.0);
        let lifted_m3 = free * hours / (SUMP_H + hours);
        let lifted = self.sump.take(if self.sump.m3 > 0.0 { lifted_m3 / self.sump.m3 } else { 0.0 });
        self.flow_m3_h = if hours > 0.0 { lifted.m3 / hours } else { self.flow_m3_h };

        let before = water::tss(&lifted.mass) + water::tss(&self.mixer.mass);
        let (mixed, metal) = self.mix(dt, lifted);
        let solids_formed = water::tss(&mixed.mass) + water::tss(&self.mixer.mass) - before;
        let mut stream = through(&mut self.floc, &mixed);
        for tank in &mut self.clarifier {
            stream = through(tank, &stream);
        }
        let mut sludge = clarify(&mut stream, CLARIFIER_SLUDGE_M3_H * hours);
        let washed = self.step_filter(hours, &mut stream);
        sludge.put(&washed);
        for chamber in &mut self.contact {
            stream = through(chamber, &stream);
        }
        self.step_chlorine(dt, stream.m3, temp_c);
        Given { effluent: stream, sludge, metal, solids_formed }
    }

    /// Rapid mixer: the dose precipitates in the water that arrives. Returns what leaves and the metal dosed.
    fn mix(&mut self, dt: f64, mut arriving: Stock) -> (Stock, f64) {
        let al_g = self.pac.flow_l_h * PAC_AL_G_L * dt / 3600.0;
        let metal = al_g * MEOH_PER_AL;
        arriving.mass[MEOH] += metal;
        arriving.mass[SALK] = (arriving.mass[SALK] - ALKALINITY_PER_AL * al_g / MOL_AL).max(0.0);
        let efficacy = (1.0 + self.efficacy.step(dt)).max(0.1) * self.efficacy_factor;
        if arriving.m3 > 1e-9 {
            let po4 = arriving.mass[PO4] / arriving.m3;
            let beta = efficacy * (al_g / MOL_AL) / (arriving.mass[PO4].max(1e-9) / MOL_P);
            let wished = (po4 - precipitated(po4, beta)) * arriving.m3;
            let bound = wished.min(arriving.mass[MEOH] / MEOH_PER_P);
            arriving.mass[PO4] -= bound;
            arriving.mass[MEOH] -= bound * MEOH_PER_P;
            arriving.mass[MEP] += bound * MEP_PER_P;
        }
        (through(&mut self.mixer, &arriving), metal)
    }

    /// Filter: catches solids in its beds, washes them now and then. Returns the wash water with its solids.
    fn step_filter(&mut self, hours: f64, stream: &mut Stock) -> Stock {
        let caught = stream.take_parts(0.0, 1.0 - FILTER_PASS);
        self.since_wash_kg += water::tss(&caught.mass) / 1000.0;
        self.since_wash_h += hours;
        self.beds.put(&caught);
        *stream = through(&mut self.filter, stream);
        if self.wash_left_h <= 0.0 && (self.since_wash_kg > WASH_KG || self.since_wash_h > WASH_EVERY_H) {
            (self.wash_left_h, self.since_wash_kg, self.since_wash_h) = (WASH_H, 0.0, 0.0);
        }
        if self.wash_left_h <= 0.0 || stream.m3 <= 0.0 {
            return Stock::EMPTY;
        }
        let lasted = self.wash_left_h.min(hours);
        self.wash_left_h -= lasted;
        let mut wash = stream.take((WASH_M3_H * lasted / stream.m3).min(WASH_FLOW_SHARE));
        let loosened = 1.0 - (1.0 - WASH_SHARE).powf(lasted / WASH_H);
        wash.put(&self.beds.take(loosened));
        wash
    }

    fn step_chlorine(&mut self, dt: f64, m3: f64, temp_c: f64) {
        let clear = self.contact[0].concentration();
        let demand = (0.9 + 0.08 * clear[SNH] + 0.05 * water::tss(&clear)) * (1.0 + self.demand.step(dt));
        let hours = dt / 3600.0;
        let dosed = self.naclo.flow_l_h * NACLO_CL_G_L * self.hypochlorite_factor * hours;
        let mut arriving = if m3 > 1e-9 { (dosed / m3 - demand).max(0.0) } else { 0.0 };
        let decay = CHLORINE_DECAY_1_H * CHLORINE_THETA.powf(temp_c - 20.0) * hours * CHAMBER_M3;
        for residual in &mut self.chlorine {
            *residual = (*residual * CHAMBER_M3 + arriving * m3) / (CHAMBER_M3 + m3 + decay);
            arriving = *residual;
        }
    }

    /// A filter is being washed.
    #[must_use]
    pub fn washing(&self) -> bool {
        self.wash_left_h > 0.0
    }

    /// Flow of the lift pumps, m3/h.
    #[must_use]
    pub fn flow_m3_h(&self) -> f64 {
        self.flow_m3_h
    }

    /// Water that reaches the rapid mixer.
    #[must_use]
    pub fn inlet(&self) -> Water {
        self.sump.concentration()
    }

    /// Phosphate of the water after clarifier and filter, g/m3.
    #[must_use]
    pub fn po4_out(&self) -> f64 {
        self.filter.mass[PO4] / self.filter.m3
    }

    /// Effluent of the plant.
    #[must_use]
    pub fn effluent(&self) -> Water {
        self.contact[3].concentration()
    }

    /// Residual chlorine at the end of the contact tank, g/m3.
    #[must_use]
    pub fn chlorine(&self) -> f64 {
        self.chlorine[3]
    }

    /// Residual times the contact time a tenth of the water stays below (t10), g min/m3.
    #[must_use]
    pub fn ct(&self) -> f64 {
        let contact_m3 = CHAMBER_M3 * self.contact.len() as f64;
        self.chlorine() * BAFFLING * contact_m3 / self.flow_m3_h.max(1.0) * 60.0
    }

    /// Everything the stage holds.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let mut all = Stock::EMPTY;
        let tanks = [&self.sump, &self.mixer, &self.floc, &self.filter, &self.beds];
        tanks.into_iter().chain(&self.clarifier).chain(&self.contact).for_each(|tank| all.put(tank));
        all
    }
}

/// Phosphate left after precipitation, g/m3. `beta` in mol Al per mol P.
#[must_use]
pub fn precipitated(po4: f64, beta: f64) -> f64 {
    (po4 * (-0.852 * beta.max(0.0).powf(1.51)).exp()).max(PO4_FLOOR.min(po4))
}

/// Dose of PAC, L/h, that leaves `po4_out` of `po4` in so much water: the fit solved for its dose.
#[must_use]
pub fn pac_for(m3_h: f64, po4: f64, po4_out: f64) -> f64 {
    if po4 <= po4_out {
        return 0.0;
    }
    let beta = ((po4 / po4_out.max(PO4_FLOOR)).ln() / 0.852).powf(1.0 / 1.51);
    m3_h * po4 / MOL_P * beta * MOL_AL / PAC_AL_G_L
}

/// Takes the sludge of the clarifier out of a stream: solids by kind, water by the draw.
fn clarify(stream: &mut Stock, draw_m3: f64) -> Stock {
    let mut sludge = stream.take_parts(draw_m3.min(0.5 * stream.m3), CLARIFIED);
    for i in [MEOH, MEP] {
        let more = stream.mass[i] * (CLARIFIED_METAL - CLARIFIED) / (1.0 - CLARIFIED);
        stream.mass[i] -= more;
        sludge.mass[i] += more;
    }
    sludge
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::water::{PARTS, XPP};

    fn secondary() -> Water {
        let mut y = water::water(&[30.0, 0.9, 4.4, 0.2, 9.8, 0.6, 1.7, 1.5, 10.0, 1.5, 0.7, 0.01, 4.0], 1.5);
        y[XPP] = 0.28;
        y
    }

    struct Sums {
        taken: Stock,
        given: Stock,
        metal: f64,
    }

    fn run(tertiary: &mut Tertiary, doses: &DoseCommands, hours: f64) -> Sums {
        let mut sums = Sums { taken: Stock::EMPTY, given: Stock::EMPTY, metal: 0.0 };
        for step in 0..(hours * 360.0) as usize {
            let flow = 760.0 * (1.0 + 0.5 * (step as f64 / 2000.0).sin());
            let arriving = Stock::of(flow * 10.0 / 3600.0, &secondary());
            tertiary.step_pumps(10.0, doses);
            let given = tertiary.step(10.0, &arriving, 18.0);
            sums.taken.put(&arriving);
            sums.given.put(&given.effluent);
            sums.given.put(&given.sludge);
            sums.metal += given.metal;
        }
        sums
    }

    const IDLE: DoseCommands = DoseCommands { pac_l_h: 0.0, carbon_l_h: 0.0, naclo_l_h: 0.0 };

    #[test]
    fn residual_phosphate_follows_the_fit() {
        assert!((precipitated(1.0, 1.0) - (-0.852_f64).exp()).abs() < 1e-12);
        assert_eq!(precipitated(1.0, 50.0), PO4_FLOOR);
        assert_eq!(precipitated(0.01, 50.0), 0.01);
        assert_eq!(precipitated(1.3, 0.0), 1.3);
        let pac_l_h = pac_for(760.0, 1.5, 0.26);
        let beta = pac_l_h * PAC_AL_G_L / MOL_AL / (760.0 * 1.5 / MOL_P);
        assert!((precipitated(1.5, beta) - 0.26).abs() < 1e-9 && (15.0..40.0).contains(&pac_l_h), "{pac_l_h}");
        assert_eq!(pac_for(760.0, 0.2, 0.26), 0.0);
    }

    #[test]
    fn more_coagulant_less_phosphate_after_the_transport_time() {
        let mut tertiary = Tertiary::new(1, &IDLE, &secondary());
        run(&mut tertiary, &IDLE, 48.0);
        let undosed = tertiary.po4_out();
        assert!((undosed - tertiary.inlet()[PO4]).abs() < 0.02 && undosed > 1.0, "{undosed}");
        let dosed = DoseCommands { pac_l_h: 22.0, ..IDLE };
        run(&mut tertiary, &dosed, 0.25);
        assert!(tertiary.po4_out() > 0.9 * undosed, "the clarifier has a dead time");
        run(&mut tertiary, &dosed, 24.0);
        let some = tertiary.po4_out();
        assert!(some > 0.05 && some < 0.8, "22 L/h leave {some}");
        run(&mut tertiary, &DoseCommands { pac_l_h: 70.0, ..IDLE }, 24.0);
        assert!(tertiary.po4_out() < some);
        let solids = water::tss(&tertiary.effluent());
        assert!((1.0..6.0).contains(&solids), "{solids}");
    }

    #[test]
    fn water_phosphorus_metal_and_solids_balance() {
        let doses = DoseCommands { pac_l_h: 40.0, carbon_l_h: 0.0, naclo_l_h: 12.0 };
        let mut tertiary = Tertiary::new(1, &IDLE, &secondary());
        let before = tertiary.stock();
        let sums = run(&mut tertiary, &doses, 72.0);
        let after = tertiary.stock();
        let residual = |what: fn(&Water) -> f64, added: f64| {
            let came = what(&sums.taken.mass) + added;
            (came - what(&sums.given.mass) - (what(&after.mass) - what(&before.mass))) / came
        };
        assert!(residual(water::phosphorus, 0.0).abs() < 1e-9, "{}", residual(water::phosphorus, 0.0));
        assert!(residual(water::nitrogen, 0.0).abs() < 1e-9);
        assert!(residual(water::demand, 0.0).abs() < 1e-9);
        assert!(residual(water::metal, sums.metal / 106.87).abs() < 1e-9);
        let water = (sums.taken.m3 - sums.given.m3 - (after.m3 - before.m3)) / sums.taken.m3;
        assert!(water.abs() < 1e-9, "{water}");
        assert!(sums.given.mass[MEP] > 0.0 && after.mass.iter().chain(&sums.given.mass).all(|g| *g >= 0.0));
    }

    #[test]
    fn filters_are_washed_by_load_and_give_their_solids_to_the_sludge() {
        let mut tertiary = Tertiary::new(1, &IDLE, &secondary());
        let (mut washes, mut before) = (0, false);
        for _ in 0..2 * 8640 {
            tertiary.step(10.0, &Stock::of(760.0 / 360.0, &secondary()), 18.0);
            washes += usize::from(tertiary.washing() && !before);
            before = tertiary.washing();
        }
        assert!((4..20).contains(&washes), "{washes} washes in two days");
        assert!(water::tss(&tertiary.beds.mass) / 1000.0 < 10.0 * WASH_KG);
    }

    #[test]
    fn chlorine_meets_its_demand_first_and_decays() {
        let mut doses = DoseCommands { naclo_l_h: 4.0, ..IDLE };
        let mut tertiary = Tertiary::new(1, &doses, &secondary());
        run(&mut tertiary, &doses, 12.0);
        assert!(tertiary.chlorine() < 0.01, "4 L/h do not cover the demand: {}", tertiary.chlorine());
        doses.naclo_l_h = 14.0;
        run(&mut tertiary, &doses, 12.0);
        let residual = tertiary.chlorine();
        assert!(residual > 0.3 && residual < 1.5, "{residual}");
        // At mean flow t10 is about 14 minutes.
        assert!(tertiary.ct() / residual > 8.0 && tertiary.ct() / residual < 30.0, "{}", tertiary.ct());
        assert!(tertiary.chlorine[0] > tertiary.chlorine[3]);
        // What has lost its chlorine in the tank meets no more of the demand than less of it.
        tertiary.hypochlorite_factor = 4.0 / 14.0;
        run(&mut tertiary, &doses, 12.0);
        assert!(tertiary.chlorine() < 0.01, "aged hypochlorite: {}", tertiary.chlorine());
    }

    #[test]
    fn no_flow_is_no_harm() {
        let mut tertiary = Tertiary::new(1, &IDLE, &secondary());
        for _ in 0..2000 {
            tertiary.step_pumps(10.0, &DoseCommands { pac_l_h: 300.0, carbon_l_h: 0.0, naclo_l_h: 100.0 });
            tertiary.step(10.0, &Stock { m3: 0.0, mass: [0.0; PARTS] }, 18.0);
        }
        let all = tertiary.effluent();
        assert!(all.iter().all(|y| y.is_finite() && *y >= 0.0) && tertiary.chlorine().is_finite());
    }
}
