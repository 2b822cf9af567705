//! Virtual time: runs the engine's machines from one due thing to the next.

mod agenda;
mod client;
mod fault;
mod network;
mod simulation;

pub use simulation::Simulation;
