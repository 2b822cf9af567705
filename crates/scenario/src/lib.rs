//! The scenario file format: one demand, the contenders that serve it, the faults that hit them, and what is
//! expected. This crate reads it, says what is wrong with it, and compiles it into plain data that drivers run.
//!
//! ```
//! use brokerlab_scenario::{Scenario, Source, compile};
//!
//! let text = r#"
//!     format = 1
//!     title = "Three consumers share a queue"
//!     duration = "10s"
//!     [demand]
//!     rate = "40/s"
//!     [[demand.application]]
//!     name = "billing"
//!     consumers = 3
//!     work = "60ms"
//!     [[contender]]
//!     name = "queue"
//!     model = "queue"
//! "#;
//! let source = Source::new("example.toml", text);
//! let scenario = Scenario::parse(&source, &["contender.queue.prefetch=10".to_string()])?;
//! let plan = compile(&scenario, 0);
//! assert_eq!(plan.header.clients[3].name, "billing/3");
//! assert!(plan.demand.clone().count() > 300);
//!
//! let error = Scenario::parse(&source, &["demand.application.billing.consumers=0".to_string()]).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "--set demand.application.billing.consumers: consumers must be a whole number from 1 to 100000, found 0"
//! );
//! # Ok::<(), brokerlab_scenario::ScenarioError>(())
//! ```
//!
//! - [`Source`] is a text and where its files are; [`Scenario`] what it means; [`ScenarioError`] what is wrong.
//! - [`compile`] makes a [`Plan`] for a contender: a deployment, a header with promises, and the [`Demand`].
//! - [`Expectation`] and [`Flip`] are read here and judged by whoever has the results; [`METRICS`] lists the
//!   names.
//! - [`library`] holds the scenarios that come with the program, [`TEMPLATES`] those to start from, and
//!   [`schema`] describes the format to editors.
//!
//! Every option stands once, in one table: reading, defaults, "did you mean" and the schema come from it. The
//! demand never looks at contenders or faults, so all contenders face the same messages.

mod demand;
mod edit;
mod expect;
mod fault;
pub mod library;
mod options;
mod options_log;
mod options_queue;
mod options_stream;
mod parse;
mod parse_contender;
mod parse_demand;
mod parse_fault;
mod parse_log_profile;
mod parse_producer;
mod parse_queue;
mod parse_queue_side;
mod parse_rest;
mod parse_share_group;
mod parse_stream;
mod plan;
mod problem;
mod promises;
mod promises_queue;
mod promises_share_group;
mod promises_stream;
mod reader;
mod reference;
mod resolved;
mod routes;
mod scenario;
mod schema;
mod source;
mod suggest;
mod templates;
mod topology;
mod trace;
mod units;
mod values;
mod wiring;

pub use demand::{Arrival, Demand, LARGEST_MESSAGE};
pub use expect::{Clause, Comparison, Expectation, Flip, METRICS, Metric, Quantity, Relation};
pub use fault::{FaultAction, FaultPlan, NodeRole, PartitionChoice, Role, Target};
pub use plan::{Addition, Plan, compile};
pub use problem::{Excerpt, Place, Problem, ScenarioError};
pub use reference::{OptionInfo, Section, UnknownSection, sections, sections_of};
pub use scenario::{
    Application, ArrivalLaw, Arrivals, Autoscale, Contender, DemandSpec, Failures, Keys, LogOptions, MessageKind,
    ModelOptions, MorePartitions, Network, PLOTS, PublishOptions, QueueOptions, RetryOptions, Scenario, SeekPlan,
    ShareGroupOptions, StreamOptions, TopicOptions,
};
pub use schema::schema;
pub use source::Source;
pub use suggest::closest;
pub use templates::{TEMPLATES, Template, template};
pub use topology::{BindingSpec, BoundTo, ConsumerSpec, DeadLetterSpec, QueueLifetime, QueueSpec, Topology};
pub use trace::{Row, Trace, TraceOptions};
pub use values::SettableValue;
pub use wiring::{Wire, WireEnd, WireKind, WiredExchange, Wiring};
