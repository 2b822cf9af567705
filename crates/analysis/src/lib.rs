//! What the events of a run mean: the fate of every message, metrics, time series and verdicts.
//!
//! - [`Results`]: what a run came to. [`Fate`], [`Summary`], [`Series`], [`Verdict`]: its parts.
//! - [`Histogram`]: durations, mergeable and the same on every platform.

mod analysis;
mod finish;
mod histogram;
mod ledger;
mod levels;
#[cfg(feature = "oracle")]
pub mod oracle;
mod order;
mod places;
mod results;
mod series;
mod stores;
mod table;
mod timeline;
mod verdict;
mod view;

pub use analysis::{Analysis, Options};
pub use histogram::{CurvePoint, Histogram};
pub use places::PlaceSet;
pub use results::{
    ApplicationBin, ApplicationResults, Bin, Fate, FateCounts, FaultHit, Judgement, MessageRow, OutOfOrder, Results,
    Series, Stage, Summary, Verdict,
};
pub use timeline::{Notable, NotableKind, Timeline};
pub use view::{ApplicationView, ClientView, ContentView, CountersView, GroupView, StoreView, View};
