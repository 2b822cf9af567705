//! The broker engine.

pub mod client;
pub mod config;
pub mod log;
pub mod message;
pub mod node;

pub use message::{Address, Effect, Envelope, Message, Outbox};
