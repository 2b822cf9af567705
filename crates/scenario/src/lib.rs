//! The scenario file format.

mod demand;
mod edit;
mod expect;
pub mod library;
mod options;
mod parse;
mod parse_contender;
mod parse_demand;
mod parse_rest;
mod plan;
mod problem;
mod promises;
mod reader;
mod scenario;
mod source;
mod suggest;
mod trace;
mod units;

pub use demand::{Arrival, Demand, LARGEST_MESSAGE};
pub use expect::{Clause, Comparison, Expectation, Flip, METRICS, Metric, Quantity, Relation};
pub use plan::{Plan, compile};
pub use problem::{Excerpt, Place, Problem, ScenarioError};
pub use scenario::{
    Application, ArrivalLaw, Arrivals, Contender, DemandSpec, FaultAction, FaultPlan, Keys, LogOptions, ModelOptions,
    Network, PLOTS, PublishOptions, QueueOptions, Role, Scenario, Target,
};
pub use source::Source;
pub use trace::{Row, Trace, TraceOptions};
