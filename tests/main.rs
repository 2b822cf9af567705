//! The one integration binary.

mod architecture;
mod conformance;
mod skeleton;
mod swarm;
mod theory;
