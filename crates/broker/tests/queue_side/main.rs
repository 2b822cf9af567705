//! The queue side of a node as its clients see it: every interleaving of a few messages and consumers, and random
//! topologies and operations held against a naive reference.

mod interleavings;
mod ledger;
mod rig;
mod stories;
