//! The one integration binary.

mod architecture;
mod cli;
mod conformance;
mod determinism;
mod library;
mod skeleton;
mod swarm;
mod theory;
