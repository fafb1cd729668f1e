//! Balance of the whole plant: what came in, went out and was formed, integrated with the models themselves.

use crate::models::water::{self, Stock};

/// Sums since the ledger was opened, at the boundary of the plant. Masses in g, water in m3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ledger {
    /// Influent.
    pub influent: Stock,
    /// Effluent.
    pub effluent: Stock,
    /// Sludge cake.
    pub cake: Stock,
    /// Inside the plant: waste sludge to the sludge line.
    pub waste: Stock,
    /// Inside the plant: sludge of clarifier and filter to the sludge line.
    pub tertiary_sludge: Stock,
    /// Inside the plant: reject water back to the inlet.
    pub reject: Stock,
    /// External carbon, g COD.
    pub carbon: f64,
    /// Metal dosed, mol.
    pub metal: f64,
    /// Nitrogen gas, g N.
    pub nitrogen_gas: f64,
    /// Oxygen from the air, g.
    pub oxygen: f64,
    /// Solids formed by growth and precipitation less those dissolved, g.
    pub solids_formed: f64,
}

/// What the balances fail to explain, as shares of what came in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// Water.
    pub water: f64,
    /// Oxygen demand (COD with the oxygen it met).
    pub demand: f64,
    /// Nitrogen.
    pub nitrogen: f64,
    /// Phosphorus.
    pub phosphorus: f64,
    /// Suspended solids, against those that came or were formed.
    pub solids: f64,
    /// Metal; 0 where none was dosed.
    pub metal: f64,
}

impl Ledger {
    /// An empty ledger.
    pub const EMPTY: Ledger = Ledger {
        influent: Stock::EMPTY,
        effluent: Stock::EMPTY,
        cake: Stock::EMPTY,
        waste: Stock::EMPTY,
        tertiary_sludge: Stock::EMPTY,
        reject: Stock::EMPTY,
        carbon: 0.0,
        metal: 0.0,
        nitrogen_gas: 0.0,
        oxygen: 0.0,
        solids_formed: 0.0,
    };

    /// Residuals between two stocks of the plant (see [`Plant::stock`](super::Plant::stock)), this being the ledger of
    /// the time between them.
    #[must_use]
    pub fn residual(&self, before: &Stock, after: &Stock) -> Residual {
        let stored = |what: fn(&water::Water) -> f64| what(&after.mass) - what(&before.mass);
        let left = |what: fn(&water::Water) -> f64| what(&self.effluent.mass) + what(&self.cake.mass);
        let came = |what: fn(&water::Water) -> f64| what(&self.influent.mass);
        let water = self.influent.m3 - self.effluent.m3 - self.cake.m3 - (after.m3 - before.m3);
        // Forming nitrogen gas from nitrate sets free 4.57 - 2.86 g/g of oxygen demand.
        let demand = came(water::demand) + self.carbon - self.oxygen + (4.57 - 2.86) * self.nitrogen_gas
            - left(water::demand)
            - stored(water::demand);
        let nitrogen = came(water::nitrogen) - self.nitrogen_gas - left(water::nitrogen) - stored(water::nitrogen);
        let phosphorus = came(water::phosphorus) - left(water::phosphorus) - stored(water::phosphorus);
        let solids = came(water::tss) + self.solids_formed - left(water::tss) - stored(water::tss);
        let metal = self.metal - left(water::metal) - stored(water::metal);
        let share = |off: f64, of: f64| if of.abs() > 1e-9 { off / of } else { off };
        Residual {
            water: share(water, self.influent.m3),
            demand: share(demand, came(water::demand) + self.carbon),
            nitrogen: share(nitrogen, came(water::nitrogen)),
            phosphorus: share(phosphorus, came(water::phosphorus)),
            solids: share(solids, came(water::tss) + self.solids_formed),
            metal: share(metal, self.metal),
        }
    }
}

impl Residual {
    /// The greatest of them.
    #[must_use]
    pub fn worst(&self) -> f64 {
        [self.water, self.demand, self.nitrogen, self.phosphorus, self.solids, self.metal]
            .iter()
            .fold(0.0, |worst, residual| residual.abs().max(worst))
    }
}
