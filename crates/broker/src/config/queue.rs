//! Exchanges, bindings and queues.

use brokerlab_event::{ClientId, Duration, NodeId, StoreId};

use crate::properties::FieldTable;
use crate::quorum::{DEFAULT_DELIVERY_LIMIT, DelayedRetry};

/// An exchange: an index into [`Deployment::exchanges`](crate::config::Deployment::exchanges). Number 0 is always the default exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(pub u16);

impl ExchangeId {
    /// The default exchange: a queue's name is its routing key.
    pub const DEFAULT: ExchangeId = ExchangeId(0);
}

/// An interned routing key: an index into [`Deployment::routing_keys`](crate::config::Deployment::routing_keys).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RoutingKey(pub u32);

/// How an exchange chooses among its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeKind {
    /// The binding key equals the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// The binding key is a pattern of words: `*` stands for one, `#` for any number.
    Topic,
    /// The arguments of the binding are compared with the headers of the message.
    Headers,
    /// No bindings and no queues: each message goes at once to one connected subscriber of each application and
    /// is not stored. An application with no subscriber misses it.
    Broadcast,
}

/// An exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeConfig {
    /// Its name; empty for the default exchange.
    pub name: String,
    /// How it chooses.
    pub kind: ExchangeKind,
    /// Where it sends what its own bindings do not take (`alternate-exchange`). One that does not exist takes nothing.
    pub alternate: Option<ExchangeId>,
    /// Publishers may not use it: only other exchanges and dead-lettering reach it.
    pub internal: bool,
    /// It goes when the last binding goes of which it is the source; not if it never had one.
    pub auto_delete: bool,
    /// It is there again after its node was down, with its bindings to what is there again, too.
    pub durable: bool,
}

impl ExchangeConfig {
    /// A durable exchange that only has a name and a kind.
    pub fn new(name: impl Into<String>, kind: ExchangeKind) -> ExchangeConfig {
        ExchangeConfig { name: name.into(), kind, alternate: None, internal: false, auto_delete: false, durable: true }
    }

    /// The exchanges that every RabbitMQ virtual host begins with, the default exchange first.
    pub fn predeclared() -> Vec<ExchangeConfig> {
        let named = [
            ("", ExchangeKind::Direct),
            ("amq.direct", ExchangeKind::Direct),
            ("amq.fanout", ExchangeKind::Fanout),
            ("amq.topic", ExchangeKind::Topic),
            ("amq.headers", ExchangeKind::Headers),
            ("amq.match", ExchangeKind::Headers),
        ];
        named.map(|(name, kind)| ExchangeConfig::new(name, kind)).into()
    }
}

/// Where a binding leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Destination {
    /// To a queue.
    Queue(StoreId),
    /// To another exchange, which sees the message with the same routing key.
    Exchange(ExchangeId),
}

/// A queue or an exchange bound to an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingConfig {
    /// The source.
    pub exchange: ExchangeId,
    /// The destination.
    pub destination: Destination,
    /// The binding key.
    pub key: RoutingKey,
    /// Its arguments, which a headers exchange goes by.
    pub arguments: FieldTable,
}

/// How long a consumer may take by default to settle a delivery (`consumer_timeout`).
pub const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// A queue. [`QueueConfig::new`] gives one without any optional argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// Its id.
    pub store: StoreId,
    /// The node that hosts it.
    pub node: NodeId,
    /// Its name as a routing key of the default exchange.
    pub name: RoutingKey,
    /// How it keeps messages.
    pub kind: QueueKind,
    /// Durable: a persistent message is confirmed once it is flushed. Otherwise it is confirmed once it is enqueued,
    /// and gone when the node goes down. Quorum queues are always durable.
    pub durable: bool,
    /// How long it exists.
    pub lifetime: Lifetime,
    /// It is deleted when it was unused for this long (`x-expires`): no consumer, no get, no new declaration.
    pub expires: Option<Duration>,
    /// Messages expire this long after they arrived (`x-message-ttl`). A message may have a shorter time of its own.
    pub message_ttl: Option<Duration>,
    /// Most ready messages (`x-max-length`).
    pub max_length: Option<u64>,
    /// Most bytes in the bodies of ready messages (`x-max-length-bytes`).
    pub max_bytes: Option<u64>,
    /// What happens at a limit (`x-overflow`).
    pub overflow: Overflow,
    /// Where messages go that it gives up (`x-dead-letter-exchange`).
    pub dead_letter: Option<DeadLetterConfig>,
    /// Levels of priority from 0 to this (`x-max-priority`, classic queues only; 1..=255).
    pub max_priority: Option<u8>,
    /// Only one of its consumers gets messages (`x-single-active-consumer`).
    pub single_active_consumer: bool,
}

impl QueueConfig {
    /// A durable classic queue without any optional argument.
    pub fn new(store: StoreId, node: NodeId, name: RoutingKey) -> QueueConfig {
        QueueConfig {
            store,
            node,
            name,
            kind: QueueKind::Classic,
            durable: true,
            lifetime: Lifetime::Permanent,
            expires: None,
            message_ttl: None,
            max_length: None,
            max_bytes: None,
            overflow: Overflow::DropHead,
            dead_letter: None,
            max_priority: None,
            single_active_consumer: false,
        }
    }

    /// The nodes that have a member of its group, of so many nodes: its own, which leads at first, and those that follow
    /// it. A classic queue lives on its own.
    pub fn members(&self, nodes: u16) -> Vec<NodeId> {
        let size = match self.kind {
            QueueKind::Classic => 1,
            QueueKind::Quorum(options) => options.group_size.clamp(1, nodes),
        };
        (0..size).map(|n| NodeId::new((self.node.get() + n) % nodes)).collect()
    }

    /// True where the queue is there again after its node was down.
    pub fn is_durable(&self) -> bool {
        self.durable && !matches!(self.lifetime, Lifetime::Exclusive(_))
    }

    /// True where this client may use the queue.
    pub fn is_open_to(&self, client: ClientId) -> bool {
        !matches!(self.lifetime, Lifetime::Exclusive(owner) if owner != client)
    }
}

/// How a queue keeps messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueKind {
    /// On one node.
    Classic,
    /// Replicated: a Raft group.
    Quorum(QuorumOptions),
}

/// What only a quorum queue can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuorumOptions {
    /// On how many nodes it has a member (`x-quorum-initial-group-size`), if there are so many.
    pub group_size: u16,
    /// A message is given up when it has failed more often than this (`x-delivery-limit`); `None` for never.
    pub delivery_limit: Option<u32>,
    /// Dead letters are kept until all their targets have confirmed them (`x-dead-letter-strategy`). Needs
    /// [`Overflow::RejectPublish`], otherwise they are handed over at most once.
    pub at_least_once: bool,
    /// Whether and how long returned messages wait before they are delivered again.
    pub delayed_retry: Option<DelayedRetry>,
    /// A delivery that is not settled for this long is returned, and its consumer cancelled (`x-consumer-timeout`).
    pub consumer_timeout: Option<Duration>,
}

impl Default for QuorumOptions {
    fn default() -> Self {
        QuorumOptions {
            group_size: 3,
            delivery_limit: Some(DEFAULT_DELIVERY_LIMIT),
            at_least_once: false,
            delayed_retry: None,
            consumer_timeout: Some(CONSUMER_TIMEOUT),
        }
    }
}

/// How long a queue exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// Until it is deleted or has expired.
    Permanent,
    /// Until its last consumer goes; while it never had one, it stays.
    AutoDelete,
    /// Until this client's connection ends. Nobody else may use it.
    Exclusive(ClientId),
}

/// What a queue does at its limit of length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Gives up messages at its head.
    DropHead,
    /// Refuses what is published to it.
    RejectPublish,
    /// Refuses it, and gives it up as a dead letter too. Classic queues only.
    RejectPublishDlx,
}

/// Where a queue's dead letters go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetterConfig {
    /// The exchange. One that does not exist loses them.
    pub exchange: ExchangeId,
    /// Their routing key; by default they keep their own.
    pub routing_key: Option<RoutingKey>,
}
