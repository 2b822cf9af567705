//! Experiments: what combines the column that writes events with the one that reads them.
//!
//! ```
//! use brokerlab_lab::{Conclusion, Experiment, Keep, Request};
//!
//! let request = Request {
//!     scenario: "consumer-dies".to_string(),
//!     settings: vec!["contender.queue.prefetch=20".to_string()],
//!     contenders: vec!["queue".to_string()],
//!     ..Request::default()
//! };
//! let experiment = Experiment::open(request)?;
//! let outcome = experiment.run(Keep::default(), &());
//! assert_eq!(outcome.conclusion, Conclusion::Holds);
//! println!("{}", outcome.report.table(80, false));
//! # Ok::<(), brokerlab_lab::LabError>(())
//! ```
//!
//! - [`Request`] says what to run, [`Experiment`] is ready to be run, [`Outcome`] is what it came to.
//! - [`run()`] and [`run_contender`] run without anything around; [`judge`] holds expectations against runs.
//! - [`theory()`] is what queueing theory says of a contender, where its assumptions hold.
//! - [`Experiment::files`] is the folder of a run; [`write()`], [`redraw`] and [`verify`] work on folders.
//!
//! Front ends stand on this crate alone: it re-exports what they show.

mod error;
mod expectation;
mod experiment;
mod folder;
mod report;
mod run;
mod targets;
mod theory;

pub use brokerlab_analysis as analysis;
pub use brokerlab_event as event;
pub use brokerlab_report as reporting;
pub use brokerlab_scenario as scenario;

pub use error::LabError;
pub use expectation::{Finding, display, judge, value};
pub use experiment::{Conclusion, Experiment, Outcome, Request};
pub use folder::{ContenderVerification, Verification, redraw, reopen, verify, write};
pub use report::ENGINE;
pub use run::{Keep, Progress, Run, run, run_cancellable, run_contender, run_on, run_prepared};
pub use theory::{NoTheory, no_theory, theory};
