//! The broker engine.

pub mod assignor;
pub mod channel;
pub mod client;
pub mod config;
pub mod deadlines;
pub mod dispatch;
pub mod group;
pub mod log;
pub mod message;
pub mod node;
pub mod partition;
pub mod partitioner;
pub mod queue;
pub mod router;

pub use message::{Address, Effect, Envelope, Message, Outbox};
pub use node::Node;
