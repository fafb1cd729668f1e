//! What must still be right in ten years: who did what, what was consumed, what it emitted.
//!
//! Two parts share one append-only, hash-chained file format (`docs/ledger-format.md`):
//! - [`ActionLog`], the record of people's actions;
//! - [`Ledger`], which turns energy registers into quarter-hours under rules for counters that lie, and quarter-hours
//!   into cost and emissions.
//!
//! Terms: a *register* is a meter's running total; a *stream* is one register or one integrated rate; a *quarter* is a
//! quarter-hour of UTC; an *issue* is something an auditor would ask about. Nothing written is ever changed: what
//! arrives late becomes a new revision of its quarter.

mod action;
mod book;
mod carbon;
mod chain;
mod config;
mod demand;
mod ledger;
pub mod limits;
mod publish;
mod quarter;
mod register;
mod report;
mod standing;
mod store;
mod summary;
mod tags;

pub use action::{Action, ActionKind, ActionLog, ActionRow, Hold};
pub use chain::{Broken, LogError, OpenReport, VerifyReport};
pub use config::{
    ActivityDef, Factor, FlowKind, LedgerConfig, LedgerInput, MeterDef, MeterKind, Quantity, Tariff, TariffPeriod,
    TariffTier,
};
pub use ledger::{Ledger, LedgerError, LedgerStatus};
pub use report::{
    CarbonLine, CarbonSummary, CostSummary, Coverage, FactorUse, Issue, IssueKind, MeterSummary, Residual, Summary,
    TierCost, Title,
};
pub use standing::ObjectStanding;
pub use tags::{LedgerTag, tag_list};

#[cfg(test)]
mod ledger_tests;
