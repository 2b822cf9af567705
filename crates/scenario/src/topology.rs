//! Exchanges, queues, bindings and consumers of a contender. The short form of a contender and what it declares in
//! full become the same thing.

use brokerlab_broker::config::{ExchangeConfig, ExchangeId, OnFailure, Overflow, QueueKind};
use brokerlab_broker::properties::FieldTable;
use brokerlab_event::{ApplicationId, Duration};

/// What messages go through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topology {
    /// Exchanges; the first is the default exchange.
    pub exchanges: Vec<ExchangeConfig>,
    /// Queues.
    pub queues: Vec<QueueSpec>,
    /// Bindings.
    pub bindings: Vec<BindingSpec>,
    /// Consumers. Those of an application are numbered through in the order of its entries.
    pub consumers: Vec<ConsumerSpec>,
    /// The exchange that messages are published to.
    pub publish_to: ExchangeId,
    /// The routing key of all messages; without it each has the name of its kind.
    pub routing_key: Option<String>,
}

impl Topology {
    /// What each consumer of an application is told, one after the other.
    pub fn consumers_of(&self, application: ApplicationId) -> impl Iterator<Item = &ConsumerSpec> {
        let own = self.consumers.iter().filter(move |consumer| consumer.application == application);
        own.flat_map(|consumer| std::iter::repeat_n(consumer, consumer.count as usize))
    }

    /// Whether its queues have members on several of so many nodes, and can be used at any.
    pub(crate) fn is_spread(&self, nodes: u16) -> bool {
        self.queues.iter().any(|queue| queue.is_spread(nodes))
    }

    /// Why this cannot run on so many nodes, if it cannot.
    pub(crate) fn misfit(&self, nodes: u16, answers: bool) -> Option<&'static str> {
        if !self.is_spread(nodes) {
            return None;
        }
        let is_here = |queue: &QueueSpec| !queue.is_spread(nodes);
        if self.queues.iter().any(is_here) {
            return Some(
                "some of these queues have members on several nodes and others live on one: in a cluster they must be \
                 all the one or all the other as yet",
            );
        }
        if self.queues.iter().any(|queue| queue.expires.is_some()) {
            return Some("queues with members on several nodes do not expire as yet: leave out expires");
        }
        answers.then_some("answers find no way back yet where clients connect with several nodes: leave out answer")
    }
}

impl QueueSpec {
    /// Whether it has members on several of so many nodes.
    pub(crate) fn is_spread(&self, nodes: u16) -> bool {
        matches!(self.kind, QueueKind::Quorum(options) if options.group_size.min(nodes) > 1)
    }
}

/// A queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// How it keeps messages.
    pub kind: QueueKind,
    /// Messages are on disk before they are confirmed.
    pub durable: bool,
    /// How long it exists.
    pub lifetime: QueueLifetime,
    /// It is deleted when it was unused for this long.
    pub expires: Option<Duration>,
    /// Messages expire this long after they arrived.
    pub message_ttl: Option<Duration>,
    /// Most ready messages.
    pub max_length: Option<u64>,
    /// Most bytes in the bodies of ready messages.
    pub max_bytes: Option<u64>,
    /// What happens at a limit.
    pub overflow: Overflow,
    /// Where its dead letters go.
    pub dead_letter: Option<DeadLetterSpec>,
    /// Levels of priority.
    pub max_priority: Option<u8>,
    /// Only one of its consumers gets messages.
    pub single_active_consumer: bool,
    /// For whom a message in it is still to be had, where the scenario says so.
    pub serves: Option<Vec<ApplicationId>>,
}

/// How long a queue exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueLifetime {
    /// Until it is deleted or has expired.
    Permanent,
    /// Until its last consumer goes.
    AutoDelete,
    /// Until the connection of its only consumer ends.
    Exclusive,
}

/// Where dead letters go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterSpec {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Their routing key; by default they keep their own.
    pub routing_key: Option<String>,
}

/// A binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingSpec {
    /// The exchange.
    pub source: ExchangeId,
    /// What is bound to it.
    pub destination: BoundTo,
    /// The binding key.
    pub key: String,
    /// Arguments.
    pub arguments: FieldTable,
}

/// What is bound to an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoundTo {
    /// A queue, an index.
    Queue(usize),
    /// Another exchange.
    Exchange(ExchangeId),
}

/// Consumers of an application that consume one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerSpec {
    /// Whom they work for.
    pub application: ApplicationId,
    /// The queue, an index.
    pub queue: usize,
    /// How many they are.
    pub count: u32,
    /// How many deliveries of each may be unsettled; 0 for no limit.
    pub prefetch: u32,
    /// Deliveries are settled as they are sent.
    pub automatic_ack: bool,
    /// Each wants the queue for itself.
    pub exclusive: bool,
    /// Consumers of lower priority wait for those of higher.
    pub priority: i32,
    /// What becomes of a message on which work fails.
    pub on_failure: OnFailure,
}
