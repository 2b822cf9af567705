//! The quorum queue as a state machine: stories of each rule, every interleaving of a few messages and consumers, and
//! random commands held against a naive reference.

mod exhaustive;
mod ledger;
mod limits;
mod long;
mod random;
mod reference;
mod returns;
mod rig;
mod single_active;
mod time;
mod versions;
