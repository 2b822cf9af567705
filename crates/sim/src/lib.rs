//! Virtual time: runs the engine's machines from one due thing to the next.
//!
//! A [`Simulation`] is built from a [`Plan`](brokerlab_scenario::Plan), stepped, and cloned at will; it owns no
//! observers, so whoever steps it decides who looks on.
//!
//! ```
//! use brokerlab_event::{EventLog, Time};
//! use brokerlab_scenario::{Scenario, Source, compile};
//! use brokerlab_sim::Simulation;
//!
//! let scenario = Scenario::parse(&Source::bundled("consumer-dies").unwrap(), &[]).unwrap();
//! let plan = compile(&scenario, 0);
//! let mut simulation = Simulation::new(&plan);
//! let mut log = EventLog::default();
//! simulation.run_until(Time::from_nanos(1_000_000_000), &plan.header, &mut log);
//!
//! // What would have happened otherwise starts with a clone.
//! let what_if = simulation.clone();
//! assert_eq!(what_if.now(), simulation.now());
//! assert!(log.len() > 10);
//! ```
//!
//! Within an instant, effects are carried out first in, first out; what lies in the future waits in one agenda,
//! in order of time and then of scheduling. Together they define the order of all events.

mod agenda;
mod autoscaler;
mod client;
mod cluster;
mod fault;
mod network;
mod role;
#[cfg(feature = "sabotage")]
mod sabotage;
mod simulation;

#[cfg(feature = "sabotage")]
pub use sabotage::Spoil;
pub use simulation::Simulation;
