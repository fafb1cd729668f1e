//! What a run of the Jinan works came to by the truth: effluent against class 1A, energy, chemicals.

use std::collections::VecDeque;

use crate::models::asm1::{SNO, SS, XBA, XBH, XS};
use crate::models::tertiary::{CARBON_COD_G_L, NACLO_CL_G_L, PAC_AL_G_L};
use crate::models::water;
use crate::plant::{Feeder, Plant};
use crate::score::{Column, SAMPLES_MAX, Score};

/// Time between two samples, s.
const SAMPLE_S: f64 = 900.0;
const SAMPLES_PER_DAY: usize = 96;
/// Share of degradable COD that is BOD5 in the effluent (BSM1).
const BOD_EFFLUENT: f64 = 0.25;
/// Names of the feeders in figures, in the order of [`Feeder`].
const FEEDERS: [(&str, &str); 6] = [
    ("kwh_grid", "energy from the grid"),
    ("kwh_blowers", "energy of the blowers"),
    ("kwh_pumps", "energy of the pumps"),
    ("kwh_heat_pump", "energy of the heat pump"),
    ("kwh_aux", "energy of mixers, dewatering and buildings"),
    ("kwh_pv", "energy of the photovoltaics"),
];

/// Sums since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sums {
    kwh: [f64; 6],
    exported_kwh: f64,
    litres: [f64; 3],
    /// PAC into tank 5, L.
    pac5_l: f64,
    water_m3: f64,
    nh4_removed_kg: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Row {
    at_s: f64,
    flow_m3_h: f64,
    cod: f64,
    bod5: f64,
    tss: f64,
    tn: f64,
    nh4: f64,
    no3: f64,
    tp: f64,
    po4: f64,
    chlorine: f64,
    pollution: f64,
    sums: Sums,
}

/// Keeps the account of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorksScore {
    sums: Sums,
    rows: VecDeque<Row>,
    next_s: f64,
}

impl WorksScore {
    /// Counts what `dt` seconds came to, with the plant as it is at their end.
    pub(crate) fn count(&mut self, plant: &Plant, dt: f64) {
        let hours = dt / 3600.0;
        let m = plant.measured();
        let feeders = [Feeder::Grid, Feeder::Blowers, Feeder::Pumps, Feeder::HeatPump, Feeder::Aux, Feeder::Pv];
        for (kwh, feeder) in self.sums.kwh.iter_mut().zip(feeders) {
            *kwh += plant.meter(feeder).power_kw.max(0.0) * hours;
        }
        self.sums.exported_kwh += (-plant.meter(Feeder::Grid).power_kw).max(0.0) * hours;
        self.sums.litres.iter_mut().zip(m.dose_flow).for_each(|(sum, flow)| *sum += flow * hours);
        self.sums.pac5_l += m.pac5_flow * hours;
        self.sums.water_m3 += m.eff_flow * hours;
        self.sums.nh4_removed_kg += (m.inf_flow * m.inf_nh4 - m.eff_flow * m.eff_nh4) * hours / 1000.0;
        let at_s = plant.clock().elapsed_s();
        if at_s >= self.next_s {
            self.next_s = (at_s / SAMPLE_S).floor() * SAMPLE_S + SAMPLE_S;
            if self.rows.len() == SAMPLES_MAX {
                self.rows.pop_front();
            }
            self.rows.push_back(self.row(plant, at_s));
        }
    }

    fn row(&self, plant: &Plant, at_s: f64) -> Row {
        let m = plant.measured();
        let secondary = plant.works().effluent();
        // The filter keeps particulates back without regard to what they are.
        let passed = m.eff_tss / water::tss(secondary).max(1e-9);
        let degradable = secondary[SS] + passed * (secondary[XS] + 0.92 * (secondary[XBH] + secondary[XBA]));
        let bod5 = BOD_EFFLUENT * degradable;
        let tkn = m.eff_tn - secondary[SNO];
        Row {
            at_s,
            flow_m3_h: m.eff_flow,
            cod: m.eff_cod,
            bod5,
            tss: m.eff_tss,
            tn: m.eff_tn,
            nh4: m.eff_nh4,
            no3: secondary[SNO],
            tp: m.tp_out,
            po4: m.po4_out,
            chlorine: m.chlorine,
            pollution: 2.0 * m.eff_tss + m.eff_cod + 30.0 * tkn + 10.0 * secondary[SNO] + 2.0 * bod5,
            sums: self.sums,
        }
    }

    /// The account since the first sample at or after `from_s`.
    pub(crate) fn score(&self, from_s: f64) -> Score {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.at_s >= from_s).collect();
        let mut score = Score::default();
        let Some(first) = rows.first() else { return score };
        let columns = |of: fn(&Row) -> f64| {
            let mut column = Column::default();
            rows.iter().for_each(|row| column.add(of(row), row.flow_m3_h));
            column
        };
        let pollution = rows.iter().map(|row| row.pollution * row.flow_m3_h * 24.0 / 1000.0).sum::<f64>();
        score.add("eqi", "effluent quality index", "kg/d", pollution / rows.len() as f64);
        self.add_sums(&mut score, &first.sums);
        for (name, title, of) in [
            ("nh4_mean", "mean ammonium nitrogen of the effluent", (|r| r.nh4) as fn(&Row) -> f64),
            ("no3_mean", "mean nitrate nitrogen of the effluent", |r| r.no3),
            ("tn_mean", "mean total nitrogen of the effluent", |r| r.tn),
            ("cod_mean", "mean COD of the effluent", |r| r.cod),
            ("tss_mean", "mean suspended solids of the effluent", |r| r.tss),
            ("po4_mean", "mean phosphate of the effluent", |r| r.po4),
            ("tp_mean", "mean total phosphorus of the effluent", |r| r.tp),
            ("chlorine_mean", "mean residual chlorine", |r| r.chlorine),
        ] {
            score.add(name, title, "mg/L", columns(of).mean());
        }
        // The tertiary stage is judged by what it leaves of phosphate: most of the time, and at worst.
        let po4 = columns(|r| r.po4).kept("po4", "mg/L", 0.3, SAMPLES_PER_DAY);
        score.add("po4_p95", "phosphate that 95 % of the time is not exceeded", "mg/L", po4.p95);
        score.add("po4_max", "greatest phosphate", "mg/L", po4.max);
        // GB 18918-2002, class 1A.
        for (name, limit, of) in [
            ("cod", 50.0, (|r| r.cod) as fn(&Row) -> f64),
            ("bod5", 10.0, |r| r.bod5),
            ("tss", 10.0, |r| r.tss),
            ("tn", 15.0, |r| r.tn),
            ("nh4", 5.0, |r| r.nh4),
            ("tp", 0.5, |r| r.tp),
        ] {
            score.limits.push(columns(of).kept(name, "mg/L", limit, SAMPLES_PER_DAY));
        }
        score
    }

    fn add_sums(&self, score: &mut Score, before: &Sums) {
        let water = (self.sums.water_m3 - before.water_m3).max(1e-9);
        let kwh: [f64; 6] = std::array::from_fn(|i| self.sums.kwh[i] - before.kwh[i]);
        let loads = kwh[1] + kwh[2] + kwh[3] + kwh[4];
        let removed = (self.sums.nh4_removed_kg - before.nh4_removed_kg).max(1e-9);
        score.add("water", "treated water", "m3", water);
        score.add("kwh_per_m3", "energy of all machines per treated water", "kWh/m3", loads / water);
        score.add("blower_kwh_per_m3", "energy of the blowers per treated water", "kWh/m3", kwh[1] / water);
        score.add("kwh_per_kg_nh4", "energy of all machines per ammonium nitrogen removed", "kWh/kg", loads / removed);
        score.add(
            "blower_kwh_per_kg_nh4",
            "energy of the blowers per ammonium nitrogen removed",
            "kWh/kg",
            kwh[1] / removed,
        );
        for ((name, title), kwh) in FEEDERS.into_iter().zip(kwh) {
            score.add(name, title, "kWh", kwh);
        }
        score.add("kwh_exported", "energy given to the grid", "kWh", self.sums.exported_kwh - before.exported_kwh);
        let kg = |pump: usize, grams_per_litre: f64| {
            (self.sums.litres[pump] - before.litres[pump]) * grams_per_litre / 1000.0
        };
        let simultaneous = (self.sums.pac5_l - before.pac5_l) * PAC_AL_G_L / 1000.0;
        let al = kg(0, PAC_AL_G_L) + simultaneous;
        score.add("al", "aluminium dosed", "kg", al);
        score.add("al_tank5", "of it into tank 5", "kg", simultaneous);
        score.add("al_per_1000_m3", "aluminium per treated water", "kg/1000 m3", 1000.0 * al / water);
        score.add("carbon_cod", "external carbon dosed", "kg COD", kg(1, CARBON_COD_G_L));
        score.add("chlorine", "chlorine dosed", "kg", kg(2, NACLO_CL_G_L));
    }
}
