//! What the events of a run mean: the fate of every message, metrics, time series and verdicts.
//!
//! - [`Results`]: what a run came to. [`Fate`], [`Summary`], [`Series`], [`Verdict`]: its parts.
//! - [`Histogram`]: durations, mergeable and the same on every platform.

mod analysis;
mod finish;
mod histogram;
mod intervals;
mod ledger;
mod levels;
#[cfg(feature = "oracle")]
pub mod oracle;
mod order;
mod results;
mod series;
mod stores;
mod table;
mod verdict;

pub use analysis::{Analysis, Options};
pub use histogram::{CurvePoint, Histogram};
pub use intervals::IntervalSet;
pub use results::{
    ApplicationBin, ApplicationResults, Bin, Fate, FateCounts, FaultHit, Judgement, MessageRow, OutOfOrder, Results,
    Series, Stage, Summary, Verdict,
};
