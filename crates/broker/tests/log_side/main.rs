//! The log side: stories of nodes and clients in virtual time, known answers, and naive references.

mod adding;
mod cluster;
mod compaction;
mod consumer_group;
mod group;
mod member;
mod memory;
mod numbering;
mod offsets;
mod ownership;
mod producers;
mod reading;
mod reference;
mod replication;
mod rig;
mod seeking;
mod share;
mod stories;
mod stream;
mod transactions;
