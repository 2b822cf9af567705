//! Plain data that machines are built from. `scenario` compiles files into it; tests write it by hand.

mod client;
mod log;
mod profile;
mod queue;
mod stream;

use brokerlab_event::Model;

pub use client::*;
pub use log::*;
pub use profile::*;
pub use queue::*;
pub use stream::*;

/// Everything that a contender consists of: nodes with what they host, and clients.
#[derive(Clone, PartialEq, Debug)]
pub struct Deployment {
    /// The shape.
    pub model: Model,
    /// How many nodes there are; at least 1.
    pub nodes: u16,
    /// What machines of nodes that leave something to chance draw from.
    pub seed: u64,
    /// How nodes of a cluster show that they are there. A node that is alone need not.
    pub broker_sessions: BrokerSessions,
    /// The rules of which version hold.
    pub profile: Profile,
    /// Interned routing keys and binding keys: each text stands once.
    pub routing_keys: Vec<String>,
    /// Exchanges; the first is the default exchange.
    pub exchanges: Vec<ExchangeConfig>,
    /// Queues.
    pub queues: Vec<QueueConfig>,
    /// Publishers are blocked while the bodies of all messages in a node's queues are larger than this, in bytes
    /// (`vm_memory_high_watermark`). `None`: never.
    pub memory_watermark: Option<u64>,
    /// Bindings.
    pub bindings: Vec<BindingConfig>,
    /// Topics.
    pub topics: Vec<TopicConfig>,
    /// Groups.
    pub groups: Vec<GroupConfig>,
    /// Share groups.
    pub share_groups: Vec<ShareGroupConfig>,
    /// Streams.
    pub streams: Vec<StreamConfig>,
    /// How much fetches wait for and return.
    pub fetch: FetchLimits,
    /// How the operating system of a node writes back what logs have written. `None`: it never does, which is all the
    /// same to a node that never loses its power.
    pub page_cache: Option<PageCacheConfig>,
    /// Producers; their ids count from 0.
    pub producers: Vec<ProducerConfig>,
    /// Consumers; their ids follow those of the producers.
    pub consumers: Vec<ConsumerConfig>,
}
