//! The quorum queue as a state machine: stories of each rule.

mod limits;
mod returns;
mod rig;
mod single_active;
mod time;
mod versions;
