//! Copies of a partition: which of them are in sync and how far all of those are ([`ReplicaSet`], which the leader
//! keeps), and who leads when a node comes or goes ([`Registration`], which the controller keeps).

mod election;
mod replica_set;

pub use election::{Change, Election, ElectionRules, Registration};
pub use replica_set::{NotEnoughReplicas, ReplicaRules, ReplicaSet};
