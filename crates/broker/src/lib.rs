//! The broker engine: nodes and clients as state machines without I/O.
//!
//! A machine is told something, with the time as an argument, and leaves what it wants done in an [`Outbox`] that
//! the driver owns; what happened goes to an observer. It has no clock, no threads, no randomness that it was not
//! given, and no way to reach anybody but through the outbox. So one engine runs in virtual time, live, and
//! under a test that plays network and disk by hand:
//!
//! ```
//! use brokerlab_broker::config::*;
//! use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
//! use brokerlab_event::{ClientId, EventLog, KeyId, MessageId, Model, NodeId, StoreId, Time};
//!
//! let queue = StoreId::new(0);
//! let deployment = Deployment {
//!     model: Model::Queue,
//!     nodes: 1,
//!     seed: 1,
//!     broker_sessions: BrokerSessions::default(),
//!     profile: Profile::default(),
//!     routing_keys: vec!["work".into()],
//!     exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct)],
//!     queues: vec![QueueConfig::new(queue, NodeId::new(0), RoutingKey(0))],
//!     memory_watermark: None,
//!     page_cache: None,
//!     bindings: vec![],
//!     topics: vec![],
//!     groups: vec![],
//!     share_groups: vec![],
//!     streams: vec![],
//!     fetch: FetchLimits::default(),
//!     producers: vec![],
//!     consumers: vec![],
//! };
//! let mut node: Node<&str> = Node::new(NodeId::new(0), &deployment);
//! let (mut out, mut log) = (Outbox::default(), EventLog::default());
//! let client = ClientId::new(0);
//! let envelope = Envelope {
//!     message: MessageId::new(0),
//!     key: KeyId::NONE,
//!     size: 5,
//!     timestamp: Time::ZERO,
//!     sender: client,
//!     tombstone: false,
//!     payload: "hello",
//! };
//! let (exchange, routing_key) = (ExchangeId::DEFAULT, RoutingKey(0));
//! let publication = Publication { envelope, exchange, routing_key, properties: None };
//! let publish = Message::Publish { channel: 1, mandatory: false, publication };
//! node.handle_message(Time::ZERO, Address::Client(client), publish, &mut out, &mut log);
//!
//! // A durable queue wants its disk to flush before it confirms.
//! assert!(matches!(out.pop(), Some(Effect::Flush { .. })));
//! assert_eq!(log.records()[0].event().name(), "Stored");
//! ```
//!
//! - [`message`]: what travels, and what machines ask of their driver. [`config`]: what they are built from.
//! - [`node`]: composes the components into a broker node. [`client`]: producers and consumers.
//! - Queue side: [`router`], [`properties`], [`queue`], [`quorum`], [`raft`], [`dispatch`], [`channel`], [`dead_letter`].
//! - Log side: [`record`], [`partition`], [`cleaner`], [`partitioner`], [`producer_state`], [`transaction`], [`group`],
//!   [`assignor`], [`share_partition`], [`stream`], [`deadlines`].
//! - [`log`]: the one store underneath both, with its watermarks and what a crash leaves of it.

pub mod assignor;
pub mod channel;
pub mod chronicle;
pub mod cleaner;
pub mod client;
pub mod config;
pub mod controller;
pub mod dead_letter;
pub mod deadlines;
pub mod dispatch;
pub mod group;
pub mod log;
pub mod message;
pub mod node;
pub mod partition;
pub mod partitioner;
pub mod producer_state;
pub mod properties;
pub mod queue;
pub mod quorum;
pub mod raft;
pub mod record;
pub mod replication;
mod ring;
pub mod router;
pub mod share_partition;
pub mod stream;
pub mod transaction;

pub use message::{Address, Effect, Envelope, Message, Outbox, Publication};
pub use node::Node;
pub use record::{Batch, Record};
