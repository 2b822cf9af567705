//! Clients: state machines like the node's, with a life cycle that faults act on.
//!
//! A client is `start`ed (it connects), may `crash` (it loses what it holds and says nothing to anybody), `leave`
//! (in good order), be `pause`d and `resume`d. Each of these is an event. Of a consumer, it is the [`Worker`] that is
//! paused, resumed, or slowed.

mod batcher;
mod contacts;
mod group_member;
mod publisher;
pub mod reading;
mod share_consumer;
mod stream_consumer;
mod stream_publisher;
mod subscriber;
mod worker;

pub use batcher::Batcher;
pub use group_member::GroupMember;
pub use publisher::{Publisher, PublisherConfig};
pub use share_consumer::ShareConsumer;
pub use stream_consumer::StreamConsumer;
pub use stream_publisher::StreamPublisher;
pub use subscriber::Subscriber;
pub use worker::Worker;
