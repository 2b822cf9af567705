//! What the events of a run mean: the fate of every message, metrics, time series and verdicts.
//!
//! - [`Results`]: what a run came to. [`Fate`], [`Summary`], [`Series`], [`Verdict`]: its parts.
//! - [`Histogram`]: durations, mergeable and the same on every platform.

mod histogram;
mod results;

pub use histogram::{CurvePoint, Histogram};
pub use results::{
    ApplicationBin, ApplicationResults, Bin, Fate, FateCounts, FaultHit, Judgement, MessageRow, OutOfOrder, Results,
    Series, Stage, Summary, Verdict,
};
