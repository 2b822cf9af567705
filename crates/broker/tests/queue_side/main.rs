//! The queue side of a node as its clients see it: every interleaving of a few messages and consumers, and random
//! topologies and operations held against a naive reference.

mod channels;
mod interleavings;
mod ledger;
mod random;
mod reference;
mod rig;
mod stories;
