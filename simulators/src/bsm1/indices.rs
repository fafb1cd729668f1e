//! Performance indices of the benchmark, with the weights of its update of 2008 (those of BSM2).
//!
//! Samples of 15 minutes, each of which stands for the time until the next (rectangular rule). Energies in kWh/d,
//! quality indices in kg pollution units/d, sludge in kg TSS/d, carbon in kg COD/d.

use super::balance::Stock;
use super::plant::{CARBON_COD_G_M3, Handles, Plant};
use crate::models::asm1::{self, Mix, SNH, SNO, SO, SS, XBA, XBH, XS};
use crate::models::influent::Inflow;
use crate::models::works::{LAYERS, VOLUMES_M3};
use crate::score::Score;

/// Time between two samples, s.
pub const SAMPLE_S: u64 = 900;
const SAMPLE_D: f64 = SAMPLE_S as f64 / 86_400.0;
/// Oxygen per kWh, kg (AE).
const OXYGEN_KG_KWH: f64 = 1.8;
/// KLa below which a tank needs its mixer, 1/d.
const MIXER_BELOW_KLA: f64 = 20.0;
/// Mixer power, kW/m3.
const MIXER_KW_M3: f64 = 0.005;
/// Share of degradable COD that is BOD5, in the effluent and in the influent.
const BOD_EFFLUENT: f64 = 0.25;
const BOD_INFLUENT: f64 = 0.65;

/// Biochemical oxygen demand, g/m3.
fn bod5(y: &Mix, share: f64) -> f64 {
    share * (y[SS] + y[XS] + 0.92 * (y[XBH] + y[XBA]))
}

/// Pollution units of a stream, g/m3.
fn pollution(y: &Mix, bod_share: f64) -> f64 {
    2.0 * asm1::tss(y) + asm1::cod(y) + 30.0 * asm1::kjeldahl_nitrogen(y) + 10.0 * y[SNO] + 2.0 * bod5(y, bod_share)
}

/// The plant at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Influent.
    pub inflow: Inflow,
    /// Effluent.
    pub effluent: Mix,
    /// Effluent flow, m3/d.
    pub q_effluent: f64,
    /// Solids of the underflow, g/m3.
    pub underflow_tss: f64,
    /// What the actuators did.
    pub handles: Handles,
    /// True oxygen in tank 5, g/m3.
    pub so5: f64,
    /// True nitrate in tank 2, g N/m3.
    pub sno2: f64,
}

impl Sample {
    /// The present moment of a plant.
    #[must_use]
    pub fn of(plant: &Plant) -> Sample {
        let (works, handles, inflow) = (plant.works(), plant.applied(), *plant.inflow());
        Sample {
            inflow,
            effluent: works.effluent(),
            q_effluent: inflow.q - handles.q_was,
            underflow_tss: works.settler.tss[LAYERS - 1],
            handles,
            so5: works.tanks[4][SO],
            sno2: works.tanks[1][SNO],
        }
    }
}

/// Concentrations the effluent is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Ammonium nitrogen, g/m3.
    pub nh4: f64,
    /// Total nitrogen, g/m3.
    pub tn: f64,
    /// Nitrate nitrogen, g/m3.
    pub no3: f64,
    /// Kjeldahl nitrogen, g/m3.
    pub tkn: f64,
    /// COD, g/m3.
    pub cod: f64,
    /// BOD5, g/m3.
    pub bod5: f64,
    /// Suspended solids, g/m3.
    pub tss: f64,
}

impl Quality {
    /// Limits of the benchmark; nitrate and Kjeldahl nitrogen have none.
    pub const LIMITS: Quality =
        Quality { nh4: 4.0, tn: 18.0, no3: f64::INFINITY, tkn: f64::INFINITY, cod: 100.0, bod5: 10.0, tss: 30.0 };

    /// Quality of an effluent.
    #[must_use]
    pub fn of(y: &Mix) -> Quality {
        Quality {
            nh4: y[SNH],
            tn: asm1::total_nitrogen(y),
            no3: y[SNO],
            tkn: asm1::kjeldahl_nitrogen(y),
            cod: asm1::cod(y),
            bod5: bod5(y, BOD_EFFLUENT),
            tss: asm1::tss(y),
        }
    }

    /// Applies a function to every concentration of a row of qualities, and one of its own to none.
    fn each(rows: &[Quality], f: impl Fn(&dyn Fn(&Quality) -> f64) -> f64) -> Quality {
        debug_assert!(!rows.is_empty());
        Quality {
            nh4: f(&|q| q.nh4),
            tn: f(&|q| q.tn),
            no3: f(&|q| q.no3),
            tkn: f(&|q| q.tkn),
            cod: f(&|q| q.cod),
            bod5: f(&|q| q.bod5),
            tss: f(&|q| q.tss),
        }
    }
}

/// How well a loop held its setpoint (true values), and how much its handle moved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoopMetrics {
    /// Integral of the absolute error, (g/m3) d.
    pub iae: f64,
    /// Integral of the squared error, (g/m3)2 d.
    pub ise: f64,
    /// Greatest absolute error, g/m3.
    pub error_max: f64,
    /// Mean of the handle.
    pub handle_mean: f64,
    /// Greatest change of the handle from one sample to the next.
    pub handle_step_max: f64,
}

impl LoopMetrics {
    fn of(samples: &[Sample], error: impl Fn(&Sample) -> f64, handle: impl Fn(&Sample) -> f64) -> LoopMetrics {
        let mut metrics = LoopMetrics::default();
        for sample in samples {
            let e = error(sample).abs();
            metrics.iae += e * SAMPLE_D;
            metrics.ise += e * e * SAMPLE_D;
            metrics.error_max = metrics.error_max.max(e);
            metrics.handle_mean += handle(sample) / samples.len() as f64;
        }
        for pair in samples.windows(2) {
            metrics.handle_step_max = metrics.handle_step_max.max((handle(&pair[1]) - handle(&pair[0])).abs());
        }
        metrics
    }
}

/// All indices of one evaluation window.
#[derive(Debug, Clone, PartialEq)]
pub struct Indices {
    /// Influent quality index.
    pub iqi: f64,
    /// Effluent quality index.
    pub eqi: f64,
    /// Aeration energy.
    pub ae: f64,
    /// Pumping energy.
    pub pe: f64,
    /// Mixing energy.
    pub me: f64,
    /// Sludge production.
    pub sp: f64,
    /// External carbon.
    pub ec: f64,
    /// Mean effluent flow, m3/d.
    pub q_effluent: f64,
    /// Flow-weighted means of the effluent.
    pub mean: Quality,
    /// Greatest values of the effluent.
    pub max: Quality,
    /// 95th percentiles of the effluent.
    pub p95: Quality,
    /// Share of time over the limits, %.
    pub over_pct: Quality,
    /// Number of times a limit was crossed upwards.
    pub crossings: Quality,
    /// Flow-weighted means of every full day.
    pub days: Vec<Quality>,
    /// Loop of oxygen in tank 5.
    pub so5: LoopMetrics,
    /// Loop of nitrate in tank 2.
    pub sno2: LoopMetrics,
}

impl Indices {
    /// The indices as figures of a run.
    #[must_use]
    pub fn score(&self) -> Score {
        let mut score = Score::default();
        score.add("eqi", "effluent quality index", "kg/d", self.eqi);
        score.add("oci", "operational cost index", "", self.oci());
        score.add("ae", "aeration energy", "kWh/d", self.ae);
        score.add("pe", "pumping energy", "kWh/d", self.pe);
        score.add("me", "mixing energy", "kWh/d", self.me);
        score.add("sp", "sludge production", "kg TSS/d", self.sp);
        score.add("ec", "external carbon", "kg COD/d", self.ec);
        score.add("iqi", "influent quality index", "kg/d", self.iqi);
        score.add("nh4_mean", "mean ammonium nitrogen of the effluent", "mg/L", self.mean.nh4);
        score.add("no3_mean", "mean nitrate nitrogen of the effluent", "mg/L", self.mean.no3);
        score.add("tn_mean", "mean total nitrogen of the effluent", "mg/L", self.mean.tn);
        score.add("cod_mean", "mean COD of the effluent", "mg/L", self.mean.cod);
        score.add("bod5_mean", "mean BOD5 of the effluent", "mg/L", self.mean.bod5);
        score.add("tss_mean", "mean suspended solids of the effluent", "mg/L", self.mean.tss);
        score.add("flow_mean", "mean effluent flow", "m3/d", self.q_effluent);
        score.add(
            "iae_so5",
            "oxygen in tank 5 against 2 mg/L: integral of the absolute error",
            "(mg/L) d",
            self.so5.iae,
        );
        score.add(
            "iae_sno2",
            "nitrate in tank 2 against 1 mg/L: integral of the absolute error",
            "(mg/L) d",
            self.sno2.iae,
        );
        score.add("kla5_mean", "mean KLa of tank 5", "1/d", self.so5.handle_mean);
        score.add("internal_mean", "mean internal recycle", "m3/d", self.sno2.handle_mean);
        score
    }

    /// Operational cost index.
    #[must_use]
    pub fn oci(&self) -> f64 {
        self.ae + self.pe + 5.0 * self.sp + 3.0 * self.ec + self.me
    }

    /// Indices of samples 15 min apart, with the stock of the plant at the first sample and after the last. `None`
    /// without samples.
    #[must_use]
    pub fn of(samples: &[Sample], before: &Stock, after: &Stock) -> Option<Indices> {
        if samples.is_empty() {
            return None;
        }
        let mean = |f: &dyn Fn(&Sample) -> f64| samples.iter().map(f).sum::<f64>() / samples.len() as f64;
        let days = samples.len() as f64 * SAMPLE_D;
        let stored = after.reactor_solids + after.settler_solids - before.reactor_solids - before.settler_solids;
        let wasted = mean(&|s| s.underflow_tss * s.handles.q_was);
        let rows: Vec<Quality> = samples.iter().map(|s| Quality::of(&s.effluent)).collect();
        let day = 86_400 / SAMPLE_S as usize;
        Some(Indices {
            iqi: mean(&|s| pollution(&s.inflow.mix, BOD_INFLUENT) * s.inflow.q) / 1000.0,
            eqi: mean(&|s| pollution(&s.effluent, BOD_EFFLUENT) * s.q_effluent) / 1000.0,
            ae: mean(&|s| aeration_kwh_d(&s.handles)),
            pe: mean(&|s| 0.004 * s.handles.q_internal + 0.008 * s.handles.q_ras + 0.05 * s.handles.q_was),
            me: mean(&|s| mixing_kwh_d(&s.handles)),
            sp: (stored / days + wasted) / 1000.0,
            ec: mean(&|s| s.handles.carbon_m3_d.iter().sum::<f64>()) * CARBON_COD_G_M3 / 1000.0,
            q_effluent: mean(&|s| s.q_effluent),
            mean: weighted(samples, &rows),
            max: Quality::each(&rows, |of| rows.iter().map(of).fold(f64::MIN, f64::max)),
            p95: Quality::each(&rows, |of| percentile(rows.iter().map(of).collect(), 0.95)),
            over_pct: over(&rows, |column, limit| {
                100.0 * column.iter().filter(|x| **x > limit).count() as f64 / column.len() as f64
            }),
            crossings: over(&rows, |column, limit| {
                column.windows(2).filter(|w| w[0] <= limit && w[1] > limit).count() as f64
            }),
            days: samples.chunks_exact(day).zip(rows.chunks_exact(day)).map(|(s, r)| weighted(s, r)).collect(),
            so5: LoopMetrics::of(samples, |s| super::control::Pi::SO5.setpoint - s.so5, |s| s.handles.kla[4]),
            sno2: LoopMetrics::of(samples, |s| super::control::Pi::SNO2.setpoint - s.sno2, |s| s.handles.q_internal),
        })
    }
}

/// A limited quantity of the effluent: name, limit, samples with the flow they stand for.
pub type Limited = (&'static str, f64, Vec<(f64, f64)>);

/// The limited quantities of samples.
#[must_use]
pub fn limited(samples: &[Sample]) -> Vec<Limited> {
    let rows: Vec<(Quality, f64)> = samples.iter().map(|s| (Quality::of(&s.effluent), s.q_effluent)).collect();
    type Of = fn(&Quality) -> f64;
    let of: [(&'static str, Of); 5] =
        [("nh4", |q| q.nh4), ("tn", |q| q.tn), ("cod", |q| q.cod), ("bod5", |q| q.bod5), ("tss", |q| q.tss)];
    of.into_iter()
        .map(|(name, of)| (name, of(&Quality::LIMITS), rows.iter().map(|(q, flow)| (of(q), *flow)).collect()))
        .collect()
}

fn aeration_kwh_d(handles: &Handles) -> f64 {
    let transfer: f64 = handles.kla.iter().zip(VOLUMES_M3).map(|(kla, volume)| kla * volume).sum();
    8.0 / (OXYGEN_KG_KWH * 1000.0) * transfer
}

fn mixing_kwh_d(handles: &Handles) -> f64 {
    let mixed = handles.kla.iter().zip(VOLUMES_M3).filter(|(kla, _)| **kla < MIXER_BELOW_KLA);
    24.0 * MIXER_KW_M3 * mixed.map(|(_, volume)| volume).sum::<f64>()
}

fn weighted(samples: &[Sample], rows: &[Quality]) -> Quality {
    let water: f64 = samples.iter().map(|s| s.q_effluent).sum();
    Quality::each(rows, |of| rows.iter().zip(samples).map(|(q, s)| of(q) * s.q_effluent).sum::<f64>() / water)
}

fn over(rows: &[Quality], f: impl Fn(&[f64], f64) -> f64) -> Quality {
    Quality::each(rows, |of| f(&rows.iter().map(of).collect::<Vec<_>>(), of(&Quality::LIMITS)))
}

/// Value that the given share of a column does not exceed.
fn percentile(mut column: Vec<f64>, share: f64) -> f64 {
    column.sort_by(f64::total_cmp);
    let place = (share * column.len() as f64).ceil() as usize;
    column[place.clamp(1, column.len()) - 1]
}

/// Names of the indices, for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of `Indices`, and `label` spells them out
pub enum Index {
    Iqi,
    Eqi,
    Ae,
    Pe,
    Me,
    Sp,
    Oci,
    MeanNh4,
    MeanTn,
    MeanNo3,
    MeanTkn,
    MeanCod,
    MeanBod,
    MeanTss,
    MeanFlow,
    OverNh4,
    OverTn,
    Nh4At95,
    TnAt95,
    So5Iae,
    So5Ise,
    So5Max,
    Sno2Iae,
    Sno2Ise,
    Kla5Mean,
    Kla5Step,
    QintrMean,
}

impl Index {
    /// Name and unit.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Index::Iqi => "IQI, kg/d",
            Index::Eqi => "EQI, kg/d",
            Index::Ae => "AE, kWh/d",
            Index::Pe => "PE, kWh/d",
            Index::Me => "ME, kWh/d",
            Index::Sp => "SP, kg TSS/d",
            Index::Oci => "OCI",
            Index::MeanNh4 => "mean NH4-N, g/m3",
            Index::MeanTn => "mean TN, g/m3",
            Index::MeanNo3 => "mean NO3-N, g/m3",
            Index::MeanTkn => "mean TKN, g/m3",
            Index::MeanCod => "mean COD, g/m3",
            Index::MeanBod => "mean BOD5, g/m3",
            Index::MeanTss => "mean TSS, g/m3",
            Index::MeanFlow => "mean effluent flow, m3/d",
            Index::OverNh4 => "time NH4-N over 4, %",
            Index::OverTn => "time TN over 18, %",
            Index::Nh4At95 => "95th percentile NH4-N, g/m3",
            Index::TnAt95 => "95th percentile TN, g/m3",
            Index::So5Iae => "SO5 IAE, (g/m3) d",
            Index::So5Ise => "SO5 ISE, (g/m3)2 d",
            Index::So5Max => "SO5 greatest error, g/m3",
            Index::Sno2Iae => "SNO2 IAE, (g/m3) d",
            Index::Sno2Ise => "SNO2 ISE, (g/m3)2 d",
            Index::Kla5Mean => "mean KLa5, 1/d",
            Index::Kla5Step => "greatest change of KLa5 in 15 min, 1/d",
            Index::QintrMean => "mean internal recycle, m3/d",
        }
    }

    /// Its value.
    #[must_use]
    pub fn of(self, indices: &Indices) -> f64 {
        match self {
            Index::Iqi => indices.iqi,
            Index::Eqi => indices.eqi,
            Index::Ae => indices.ae,
            Index::Pe => indices.pe,
            Index::Me => indices.me,
            Index::Sp => indices.sp,
            Index::Oci => indices.oci(),
            Index::MeanNh4 => indices.mean.nh4,
            Index::MeanTn => indices.mean.tn,
            Index::MeanNo3 => indices.mean.no3,
            Index::MeanTkn => indices.mean.tkn,
            Index::MeanCod => indices.mean.cod,
            Index::MeanBod => indices.mean.bod5,
            Index::MeanTss => indices.mean.tss,
            Index::MeanFlow => indices.q_effluent,
            Index::OverNh4 => indices.over_pct.nh4,
            Index::OverTn => indices.over_pct.tn,
            Index::Nh4At95 => indices.p95.nh4,
            Index::TnAt95 => indices.p95.tn,
            Index::So5Iae => indices.so5.iae,
            Index::So5Ise => indices.so5.ise,
            Index::So5Max => indices.so5.error_max,
            Index::Sno2Iae => indices.sno2.iae,
            Index::Sno2Ise => indices.sno2.ise,
            Index::Kla5Mean => indices.so5.handle_mean,
            Index::Kla5Step => indices.so5.handle_step_max,
            Index::QintrMean => indices.sno2.handle_mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bsm1::influent::CONSTANT;
    use crate::bsm1::published::OPEN_LOOP;

    fn stock(kg: f64) -> Stock {
        Stock { nitrogen: 0.0, demand: 0.0, reactor_solids: 1000.0 * kg, settler_solids: 0.0, solubles: 0.0 }
    }

    fn sample(nh4: f64) -> Sample {
        let mut effluent = OPEN_LOOP[5];
        effluent[SNH] = nh4;
        Sample {
            inflow: Inflow { q: 18_446.0, mix: CONSTANT },
            effluent,
            q_effluent: 18_061.0,
            underflow_tss: 6394.0,
            handles: Handles::OPEN_LOOP,
            so5: 1.5,
            sno2: 3.0,
        }
    }

    #[test]
    fn energies_and_costs_of_constant_handles() {
        let mut rows = [sample(1.0); 96];
        for row in &mut rows {
            row.handles.carbon_m3_d[0] = 0.5;
        }
        let indices = Indices::of(&rows, &stock(100.0), &stock(150.0)).unwrap();
        assert!((indices.ae - 3341.39).abs() < 0.01, "{}", indices.ae);
        assert!((indices.pe - 388.17).abs() < 0.01, "{}", indices.pe);
        assert!((indices.me - 240.0).abs() < 1e-9 && (indices.ec - 200.0).abs() < 1e-9);
        // 50 kg stored in a day and 385 m3 wasted at 6.394 kg/m3.
        assert!((indices.sp - (50.0 + 385.0 * 6.394)).abs() < 1e-6, "{}", indices.sp);
        let oci = indices.ae + indices.pe + 5.0 * indices.sp + 3.0 * 200.0 + 240.0;
        assert!((indices.oci() - oci).abs() < 1e-9);
        assert!((indices.so5.iae - 0.5).abs() < 1e-9 && (indices.so5.ise - 0.25).abs() < 1e-9);
        assert!((indices.sno2.iae - 2.0).abs() < 1e-9 && indices.sno2.error_max == 2.0);
        assert!(Indices::of(&[], &stock(0.0), &stock(0.0)).is_none());
    }

    #[test]
    fn quality_weighs_the_pollutants() {
        let mut y = [0.0; asm1::STATES];
        y[SNO] = 1.0;
        assert!((pollution(&y, 0.25) - 10.0).abs() < 1e-12);
        y = [0.0; asm1::STATES];
        y[SNH] = 1.0;
        assert!((pollution(&y, 0.25) - 30.0).abs() < 1e-12);
        y = [0.0; asm1::STATES];
        // COD 1, TSS 0.75, BOD5 0.25 * 0.92, nitrogen 0.08.
        y[XBH] = 1.0;
        assert!((pollution(&y, 0.25) - (1.0 + 2.0 * 0.75 + 2.0 * 0.23 + 30.0 * 0.08)).abs() < 1e-12);
    }

    #[test]
    fn violations_percentiles_and_means() {
        // 100 samples: 1..=100 tenths of a gram of ammonium, so that 60 lie over 4.
        let mut rows: Vec<Sample> = (1..=100).map(|n| sample(f64::from(n) / 10.0)).collect();
        rows[50].effluent[SNH] = 1.0;
        let indices = Indices::of(&rows, &stock(0.0), &stock(0.0)).unwrap();
        assert_eq!((indices.over_pct.nh4, indices.crossings.nh4), (59.0, 2.0));
        assert_eq!((indices.over_pct.no3, indices.crossings.no3), (0.0, 0.0));
        assert_eq!((indices.p95.nh4, indices.max.nh4), (9.5, 10.0));
        // A sample with all the flow carries the mean.
        rows[9].q_effluent = 1e12;
        let indices = Indices::of(&rows, &stock(0.0), &stock(0.0)).unwrap();
        assert!((indices.mean.nh4 - 1.0).abs() < 1e-4, "{}", indices.mean.nh4);
    }
}
