//! The one integration binary.

mod architecture;
mod conformance;
mod library;
mod skeleton;
mod swarm;
mod theory;
