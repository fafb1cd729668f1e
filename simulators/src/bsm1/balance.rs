//! Mass balances: what came in, went out, reacted and was transferred, integrated with the plant itself.
//!
//! Particulates of the settler have no composition of their own (the benchmark gives its streams that of tank 5 at
//! once), so nitrogen and oxygen demand are balanced over the reactors, solids and solubles over the settler.

use crate::models::asm1::{self, Mix, Params, SNO, SO};
use crate::models::works::{Inputs, LAYER_M, LAYERS, SETTLER_AREA_M2, SOLUBLE, VOLUMES_M3, Works};

/// Number of integrated quantities.
pub const COUNT: usize = 11;
/// Integrals since the ledger was opened, g, indexed by the constants of this module.
pub type Ledger = [f64; COUNT];

/// Nitrogen into the reactors with influent and return sludge.
pub const NITROGEN_IN: usize = 0;
/// Nitrogen from the reactors to the settler.
pub const NITROGEN_OUT: usize = 1;
/// Nitrogen gas formed.
pub const NITROGEN_GAS: usize = 2;
/// Oxygen demand into the reactors with influent, return sludge and carbon.
pub const DEMAND_IN: usize = 3;
/// Oxygen demand from the reactors to the settler.
pub const DEMAND_OUT: usize = 4;
/// Oxygen transferred from air.
pub const OXYGEN: usize = 5;
/// Solids into the settler.
pub const SOLIDS_IN: usize = 6;
/// Solids over the weir.
pub const SOLIDS_OVER: usize = 7;
/// Solids with return and waste sludge.
pub const SOLIDS_UNDER: usize = 8;
/// Solubles into the settler, all of them added up.
pub const SOLUBLE_IN: usize = 9;
/// Solubles out of the settler.
pub const SOLUBLE_OUT: usize = 10;

/// Oxygen demand of a stream down to nitrate and carbon dioxide: COD less oxygen and the oxygen in nitrate, g/m3.
/// Forming nitrogen gas sets free 1.71 g/g N of it.
fn demand(y: &Mix) -> f64 {
    asm1::cod(y) - y[SO] - 4.57 * y[SNO]
}

fn solubles(y: &Mix) -> f64 {
    SOLUBLE.iter().map(|i| y[*i]).sum()
}

/// Change of the ledger per day.
#[must_use]
pub fn rates(works: &Works, inputs: &Inputs, params: &Params) -> Ledger {
    let (effluent, underflow) = (works.effluent(), works.underflow());
    let feed = &works.tanks[4];
    let q_feed = inputs.q_in + inputs.q_ras;
    let q_under = inputs.q_ras + inputs.q_was;
    let q_over = q_feed - q_under;
    let mut ledger = [0.0; COUNT];
    for (k, tank) in works.tanks.iter().enumerate() {
        ledger[NITROGEN_GAS] += VOLUMES_M3[k] * asm1::nitrogen_gas(tank, params);
        ledger[OXYGEN] += VOLUMES_M3[k] * inputs.kla[k] * params.kla_factor * (params.so_sat - tank[SO]);
    }
    let nitrogen = asm1::total_nitrogen;
    ledger[NITROGEN_IN] = inputs.q_in * nitrogen(&inputs.influent) + inputs.q_ras * nitrogen(&underflow);
    ledger[NITROGEN_OUT] = q_feed * nitrogen(feed);
    ledger[DEMAND_IN] =
        inputs.q_in * demand(&inputs.influent) + inputs.q_ras * demand(&underflow) + inputs.carbon.iter().sum::<f64>();
    ledger[DEMAND_OUT] = q_feed * demand(feed);
    ledger[SOLIDS_IN] = q_feed * asm1::tss(feed);
    ledger[SOLIDS_OVER] = q_over * works.settler.tss[0];
    ledger[SOLIDS_UNDER] = q_under * works.settler.tss[LAYERS - 1];
    ledger[SOLUBLE_IN] = q_feed * solubles(feed);
    ledger[SOLUBLE_OUT] = q_over * solubles(&effluent) + q_under * solubles(&underflow);
    ledger
}

/// What the plant holds, g.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stock {
    /// Nitrogen in the reactors.
    pub nitrogen: f64,
    /// Oxygen demand in the reactors.
    pub demand: f64,
    /// Solids in the reactors.
    pub reactor_solids: f64,
    /// Solids in the settler.
    pub settler_solids: f64,
    /// Solubles in the settler.
    pub solubles: f64,
}

impl Stock {
    /// Stock of a state.
    #[must_use]
    pub fn of(works: &Works) -> Stock {
        let reactors = |what: fn(&Mix) -> f64| works.tanks.iter().zip(VOLUMES_M3).map(|(y, v)| v * what(y)).sum();
        let layer_m3 = SETTLER_AREA_M2 * LAYER_M;
        Stock {
            nitrogen: reactors(asm1::total_nitrogen),
            demand: reactors(demand),
            reactor_solids: reactors(asm1::tss),
            settler_solids: layer_m3 * works.settler.tss.iter().sum::<f64>(),
            solubles: layer_m3 * works.settler.soluble.iter().flatten().sum::<f64>(),
        }
    }
}

/// What the balances fail to explain, as a share of what flowed in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// Nitrogen of the reactors.
    pub nitrogen: f64,
    /// Oxygen demand of the reactors.
    pub demand: f64,
    /// Solids of the settler.
    pub solids: f64,
    /// Solubles of the settler.
    pub solubles: f64,
}

impl Residual {
    /// Residual of the balances between two stocks, with the ledger of the time between them.
    #[must_use]
    pub fn between(before: &Stock, after: &Stock, ledger: &Ledger) -> Residual {
        let nitrogen =
            after.nitrogen - before.nitrogen - (ledger[NITROGEN_IN] - ledger[NITROGEN_OUT] - ledger[NITROGEN_GAS]);
        let demand = after.demand
            - before.demand
            - (ledger[DEMAND_IN] - ledger[DEMAND_OUT] - ledger[OXYGEN] + (4.57 - 2.86) * ledger[NITROGEN_GAS]);
        let solids = after.settler_solids
            - before.settler_solids
            - (ledger[SOLIDS_IN] - ledger[SOLIDS_OVER] - ledger[SOLIDS_UNDER]);
        let solubles = after.solubles - before.solubles - (ledger[SOLUBLE_IN] - ledger[SOLUBLE_OUT]);
        Residual {
            nitrogen: nitrogen / ledger[NITROGEN_IN],
            demand: demand / ledger[DEMAND_IN],
            solids: solids / ledger[SOLIDS_IN],
            solubles: solubles / ledger[SOLUBLE_IN],
        }
    }

    /// The greatest of them.
    #[must_use]
    pub fn worst(&self) -> f64 {
        [self.nitrogen, self.demand, self.solids, self.solubles].iter().fold(0.0, |worst, r| r.abs().max(worst))
    }
}
