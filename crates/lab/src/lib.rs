//! Experiments: what combines the column that writes events with the one that reads them.

mod expectation;
mod run;

pub use expectation::{Finding, display, judge, value};
pub use run::{Keep, Progress, Run, run, run_contender, run_on};
