//! Plain data that machines are built from. `scenario` compiles files into it; tests write it by hand.

use std::sync::Arc;

use crate::assignor::{Assignor, ServerAssignor};
use crate::properties::Properties;
use crate::quorum::{DEFAULT_DELIVERY_LIMIT, DelayedRetry, Version};
use crate::share_partition::ShareRules;
use brokerlab_event::{ApplicationId, ClientId, Duration, FailureLaw, Model, NodeId, Offset, StoreId, Time, WorkLaw};

use crate::partitioner::KeyHash;
use crate::properties::FieldTable;

/// An exchange: an index into [`Deployment::exchanges`]. Number 0 is always the default exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(pub u16);

impl ExchangeId {
    /// The default exchange: a queue's name is its routing key.
    pub const DEFAULT: ExchangeId = ExchangeId(0);
}

/// An interned routing key: an index into [`Deployment::routing_keys`].
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
}

impl ExchangeConfig {
    /// An exchange that only has a name and a kind.
    pub fn new(name: impl Into<String>, kind: ExchangeKind) -> ExchangeConfig {
        ExchangeConfig { name: name.into(), kind, alternate: None, internal: false, auto_delete: false }
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

/// The protocol of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionVersion {
    /// A producer tells the coordinator of every partition before it writes there, and keeps its epoch.
    V1,
    /// Each end of a transaction moves the epoch on, so that late requests are refused, and a partition takes part by
    /// being written to (KIP-890, the default since 4.0).
    V2,
}

/// Rules that differ between versions of Kafka, each by its name. The default is the newest version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogProfile {
    /// The protocol of transactions.
    pub transactions: TransactionVersion,
}

impl Default for LogProfile {
    fn default() -> Self {
        LogProfile { transactions: TransactionVersion::V2 }
    }
}

impl LogProfile {
    /// The rules of a version: `kafka-3.9`, `kafka-4.0` to `kafka-4.2`.
    pub fn named(name: &str) -> Option<LogProfile> {
        match name {
            "kafka-4.0" | "kafka-4.1" | "kafka-4.2" => Some(LogProfile::default()),
            "kafka-3.9" => Some(LogProfile { transactions: TransactionVersion::V1 }),
            _ => None,
        }
    }
}

/// Rules that differ between versions of RabbitMQ, each by its name, and those of logs. The default is the newest
/// version of both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Most words `#` in a binding key of a topic exchange (2 since 4.3). `None`: any number.
    pub topic_hash_words_max: Option<u8>,
    /// A prefetch that all consumers of a channel share is permitted (not by default since 4.3, where it acts as one
    /// for each consumer).
    pub shared_prefetch: bool,
    /// The state machine of quorum queues.
    pub quorum: Version,
    /// A channel is closed (406) when a delivery on it is not settled for this long (`consumer_timeout`, 30 minutes,
    /// looked at every minute). Since 4.3 only quorum queues look, each for itself.
    pub channel_timeout: Option<Duration>,
    /// The rules of logs.
    pub log: LogProfile,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            topic_hash_words_max: Some(2),
            shared_prefetch: false,
            quorum: Version::V4_3,
            channel_timeout: None,
            log: LogProfile::default(),
        }
    }
}

impl Profile {
    /// The rules of a version: `rabbit-3.13`, `rabbit-4.0` to `rabbit-4.3`.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "rabbit-4.3" => Some(Profile::default()),
            "rabbit-3.13" | "rabbit-4.0" | "rabbit-4.1" | "rabbit-4.2" => {
                let quorum = if name == "rabbit-3.13" { Version::V3_13 } else { Version::V4_0 };
                let channel_timeout = Some(CONSUMER_TIMEOUT);
                let log = LogProfile::default();
                Some(Profile { topic_hash_words_max: None, shared_prefetch: true, quorum, channel_timeout, log })
            }
            _ => None,
        }
    }
}

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
    /// Replicated: a Raft group, for now of one member.
    Quorum(QuorumOptions),
}

/// What only a quorum queue can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuorumOptions {
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

/// When the leader answers a produce request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Never: the producer counts a record as sent, not as stored.
    None,
    /// After its own append.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

/// A topic of the log side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicConfig {
    /// Its partitions in the order of their numbers.
    pub partitions: Vec<StoreId>,
    /// The node that leads them all (for now).
    pub node: NodeId,
    /// The nodes that keep a copy of each partition besides its leader; none by default.
    pub followers: Vec<NodeId>,
    /// Largest size of a segment in bytes (`segment.bytes`, default 1 GiB).
    pub segment_bytes: u64,
    /// Largest age of a segment (`segment.ms`, default 7 days).
    pub segment_time: Duration,
    /// Records older than this are dropped, segment by segment (`retention.ms`, default 7 days). `None`: never.
    pub retention_time: Option<Duration>,
    /// Size that a partition is cut back to, segment by segment (`retention.bytes`). `None`: never.
    pub retention_bytes: Option<u64>,
    /// How often retention is looked at (`log.retention.check.interval.ms`, default 5 min).
    pub retention_check_interval: Duration,
    /// Compaction, where `cleanup.policy` contains `compact`. Where it does not contain `delete`, there is no
    /// retention by time or size.
    pub compaction: Option<CompactionConfig>,
}

/// How a topic is compacted: of every key at least the latest record stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionConfig {
    /// A log is compacted once a larger part of it than this is dirty, in millionths (`min.cleanable.dirty.ratio`,
    /// default 0.5).
    pub min_cleanable_dirty_ratio: u32,
    /// Records stay dirty for at least this long (`min.compaction.lag.ms`, default 0).
    pub min_lag: Duration,
    /// A log with older dirty records is compacted however clean the rest is (`max.compaction.lag.ms`). `None`: never.
    pub max_lag: Option<Duration>,
    /// How long a tombstone stays after the first pass that has looked at it (`delete.retention.ms`, default 24 h).
    pub delete_retention: Duration,
    /// How long the cleaner rests where nothing is to be done (`log.cleaner.backoff.ms`, default 15 s).
    pub cleaner_backoff: Duration,
    /// A producer id that was silent for this long is forgotten (`producer.id.expiration.ms`, default 24 h).
    pub producer_id_expiration: Duration,
}

impl Default for CompactionConfig {
    fn default() -> CompactionConfig {
        CompactionConfig {
            min_cleanable_dirty_ratio: 500_000,
            min_lag: Duration::ZERO,
            max_lag: None,
            delete_retention: Duration::from_secs(24 * 3600),
            cleaner_backoff: Duration::from_secs(15),
            producer_id_expiration: Duration::from_secs(24 * 3600),
        }
    }
}

/// A consumer group: the way a log serves an application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// The application, whose id names the group.
    pub application: ApplicationId,
    /// The node that coordinates it.
    pub node: NodeId,
    /// The partitions that it reads.
    pub partitions: Vec<StoreId>,
    /// A member that is silent for this long is removed (`session.timeout.ms`, default 45 s).
    pub session_timeout: Duration,
    /// How long a rebalance waits for members to join again (`max.poll.interval.ms`, default 5 min).
    pub rebalance_timeout: Duration,
    /// How long the first join of an empty group waits for others (`group.initial.rebalance.delay.ms`, 3 s).
    pub initial_rebalance_delay: Duration,
    /// How long a group without members keeps its committed offsets (`offsets.retention.minutes`, 7 days).
    pub offsets_retention: Duration,
    /// How it gives out partitions (`group.protocol`).
    pub protocol: GroupProtocol,
}

/// How a group gives out its partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupProtocol {
    /// All join in rounds, and one of them deals out the partitions by a strategy that all know.
    Classic,
    /// The coordinator deals them out, and each member moves towards its share by itself (KIP-848).
    Consumer(ServerAssignor),
}

/// A share group: the way a log serves an application whose consumers share the records one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareGroupConfig {
    /// The application, whose id names the group.
    pub application: ApplicationId,
    /// The node that coordinates it.
    pub node: NodeId,
    /// The partitions that it reads.
    pub partitions: Vec<StoreId>,
    /// A member that is silent for this long is removed (`group.share.session.timeout.ms`, default 45 s).
    pub session_timeout: Duration,
    /// The rules of its partitions.
    pub rules: ShareRules,
    /// Where it begins to read a partition (`share.auto.offset.reset`). Without a policy it is the latest record, as by
    /// default.
    pub reset: OffsetReset,
}

/// A producer.
#[derive(Clone, PartialEq, Debug)]
pub struct ProducerConfig {
    /// Its id.
    pub client: ClientId,
    /// The node that it connects to.
    pub node: NodeId,
    /// How it sends.
    pub kind: ProducerKind,
}

/// How messages of one kind are addressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishAddress {
    /// Their routing key.
    pub routing_key: RoutingKey,
    /// Their properties.
    pub properties: Option<Arc<Properties>>,
}

/// How a producer sends.
#[derive(Clone, PartialEq, Debug)]
pub enum ProducerKind {
    /// Publishes each message to an exchange.
    Publisher {
        /// The exchange.
        exchange: ExchangeId,
        /// How messages of each kind are addressed; one for each kind of the demand.
        addresses: Arc<[PublishAddress]>,
        /// Ask for confirms.
        confirms: bool,
        /// Ask for messages that no queue takes to be returned.
        mandatory: bool,
        /// With confirms: how many may be outstanding before the producer holds back (at least 1).
        max_unconfirmed: u32,
        /// With confirms: what was not confirmed when the connection broke is published again on the next one.
        republish: bool,
    },
    /// Appends batches to the partitions of a topic.
    Batcher(BatcherConfig),
}

/// How a producer of the log side works. The defaults are those of Kafka 4.0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatcherConfig {
    /// The partitions in the order of their numbers.
    pub partitions: Vec<StoreId>,
    /// When the broker answers (`acks`, default all).
    pub acks: Acks,
    /// How long a batch waits for company (`linger.ms`, default 5 ms).
    pub linger: Duration,
    /// A batch of this many bytes is full (`batch.size`, default 16 KiB).
    pub batch_bytes: u32,
    /// How many requests may be on their way to a node (`max.in.flight.requests.per.connection`, default 5).
    pub max_in_flight: u32,
    /// Number records so that none is stored twice (`enable.idempotence`, default true). Needs answers from all replicas
    /// and no more than five requests under way.
    pub idempotence: bool,
    /// How often a batch is sent again (`retries`, default 2³¹ - 1).
    pub retries: u32,
    /// A batch that is older than this is given up (`delivery.timeout.ms`, default 2 min).
    pub delivery_timeout: Duration,
    /// A request that is not answered within this breaks the connection (`request.timeout.ms`, default 30 s).
    pub request_timeout: Duration,
    /// How long a batch that failed waits before it is sent again (`retry.backoff.ms`, default 100 ms).
    pub retry_backoff: Duration,
    /// It waits twice as long each time, up to this (`retry.backoff.max.ms`, default 1 s).
    pub retry_backoff_max: Duration,
    /// Memory for all batches that are not confirmed (`buffer.memory`, default 32 MiB).
    pub buffer_bytes: u64,
    /// How long `send()` waits for memory (`max.block.ms`, default 1 min).
    pub max_block: Duration,
    /// Largest size of a request, and so of a record (`max.request.size`, default 1 MiB).
    pub max_request_bytes: u32,
    /// Which partition a record goes to (`partitioner.class`).
    pub partitioner: Partitioner,
    /// Records without a key go rather to partitions with short queues (`partitioner.adaptive.partitioning.enable`,
    /// default true).
    pub adaptive: bool,
}

impl BatcherConfig {
    /// A producer for these partitions with all defaults.
    pub fn new(partitions: Vec<StoreId>) -> BatcherConfig {
        BatcherConfig {
            partitions,
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_bytes: 16 << 10,
            max_in_flight: 5,
            idempotence: true,
            retries: i32::MAX as u32,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            buffer_bytes: 32 << 20,
            max_block: Duration::from_secs(60),
            max_request_bytes: 1 << 20,
            partitioner: Partitioner::ByKey(KeyHash::Murmur2),
            adaptive: true,
        }
    }
}

/// Which partition a record goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partitioner {
    /// By the hash of its key; without one, to the partition that records without a key stick to.
    ByKey(KeyHash),
    /// To the partition that records without a key stick to, whatever its key (`partitioner.ignore.keys`).
    Sticky,
    /// To the next in turn, whatever its key.
    RoundRobin,
}

/// A consumer.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsumerConfig {
    /// Its id.
    pub client: ClientId,
    /// Its name, with which its member id in a group begins.
    pub name: Arc<str>,
    /// The application that it works for.
    pub application: ApplicationId,
    /// The node that it connects to.
    pub node: NodeId,
    /// Its work per message.
    pub work: WorkLaw,
    /// On which messages its work fails, if on any.
    pub failures: Option<FailureLaw>,
    /// Sends an answer to the sender when the work on a message is done, where the contender has a way back.
    pub answers: bool,
    /// How it gets messages.
    pub kind: ConsumerKind,
}

/// How a consumer gets messages.
#[derive(Clone, PartialEq, Debug)]
pub enum ConsumerKind {
    /// Messages of a queue are pushed to it.
    Queue(QueueConsumerConfig),
    /// Whatever is sent while it is connected is pushed to it.
    Broadcast {
        /// The exchange.
        exchange: ExchangeId,
    },
    /// It polls the partitions that its group gives it.
    Group(GroupMemberConfig),
    /// It polls the partitions that its share group reads, together with the group's other members.
    Share(ShareConsumerConfig),
}

/// A consumer of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConsumerConfig {
    /// The queue.
    pub queue: StoreId,
    /// At most this many unsettled; 0 for no limit.
    pub prefetch: u32,
    /// Deliveries are settled as they are sent.
    pub auto_ack: bool,
    /// It wants the queue for itself.
    pub exclusive: bool,
    /// Consumers of lower priority get messages only while none of this one can take any.
    pub priority: i32,
    /// What it does with a message on which its work fails.
    pub on_failure: OnFailure,
}

/// What a consumer of a queue does with a message on which its work fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// Gives it back, to be delivered again to whoever is next (`basic.nack` with requeue).
    Requeue,
    /// Gives it back as one that has failed here (`basic.reject` with requeue): a quorum queue counts it against the
    /// delivery limit.
    Return,
    /// Rejects it: the queue gives it up, and its dead-letter exchange gets it (`basic.reject` without requeue).
    Reject,
}

/// A consumer of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMemberConfig {
    /// The strategies of assignment that it knows, the one that it prefers first (`partition.assignment.strategy`,
    /// default range, cooperative-sticky). Empty where the coordinator assigns (`group.protocol=consumer`).
    pub assignors: Vec<Assignor>,
    /// It is a static member by its name (`group.instance.id`): it keeps its share through a restart that is over
    /// before its session is.
    pub is_static: bool,
    /// How often it sends a heartbeat (`heartbeat.interval.ms`, default 3 s).
    pub heartbeat_interval: Duration,
    /// Most records that one poll returns (`max.poll.records`, default 500).
    pub max_poll_records: u32,
    /// A member that takes longer between polls leaves the group (`max.poll.interval.ms`, default 5 min).
    pub max_poll_interval: Duration,
    /// Where it starts without a committed offset in range.
    pub reset: OffsetReset,
    /// When offsets are committed.
    pub commit: CommitPolicy,
    /// A record on which the work fails is tried again in place, and everything behind it waits, until it has been
    /// tried this often; then it is set aside, or passed over. 0 for never.
    pub max_attempts: u32,
    /// Where it sets records aside on which the work has failed. `None`: nowhere.
    pub retry: Option<RetryConfig>,
    /// Which records it reads (`isolation.level`).
    pub isolation: Isolation,
}

/// A consumer of a share group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareConsumerConfig {
    /// How often it sends a heartbeat (`group.share.heartbeat.interval.ms`, default 5 s).
    pub heartbeat_interval: Duration,
    /// How many records it asks for at a time (`max.poll.records`, default 500).
    pub max_poll_records: u32,
    /// What it tells the broker of the records that a poll returned (`share.acknowledgement.mode`).
    pub acknowledge: ShareAcknowledge,
    /// While it works, it renews the locks of the records that it holds, this long after the last time.
    pub renew_every: Option<Duration>,
}

/// What a consumer of a share group tells the broker of the records that a poll returned, with its next poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareAcknowledge {
    /// It accepts all of them, also those on which its work failed.
    Implicit,
    /// It accepts those that are done, and does this with those on which its work failed.
    Explicit(OnShareFailure),
}

/// What a consumer of a share group does with a record on which its work failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnShareFailure {
    /// Gives it back, to be delivered again to whoever is next.
    Release,
    /// Gives it up for the whole group.
    Reject,
}

/// Which records of a partition a reader wants (`isolation.level`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Isolation {
    /// All that are replicated, whatever becomes of their transaction.
    #[default]
    ReadUncommitted,
    /// Only up to the first transaction that is still open, and no aborted ones.
    ReadCommitted,
}

/// Where the members of a group put records on which the work has failed, so that those behind need not wait: a copy
/// goes to a topic that the group reads as well, and the original counts as done. Kafka has no such thing of its own;
/// it is how applications retry without blocking (Spring Kafka's non-blocking retries).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryConfig {
    /// One after the other, from the first retry on.
    pub topics: Vec<RetryTopic>,
    /// The partitions that take what has failed in the last of them too. Empty: it is passed over.
    pub dead_letters: Vec<StoreId>,
}

/// A topic of records that are to be tried again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryTopic {
    /// How long after it was written a record is tried.
    pub delay: Duration,
    /// Its partitions.
    pub partitions: Vec<StoreId>,
}

impl RetryConfig {
    /// Which retry a partition is for: 0 is the first attempt, on a partition of the topic itself.
    pub fn level(&self, store: StoreId) -> usize {
        self.topics.iter().position(|topic| topic.partitions.contains(&store)).map_or(0, |index| index + 1)
    }

    /// How long a record of this partition waits after it was written.
    pub fn delay(&self, store: StoreId) -> Duration {
        self.level(store).checked_sub(1).map_or(Duration::ZERO, |index| self.topics[index].delay)
    }

    /// Where a record of this partition goes on which the work has failed.
    pub fn target(&self, store: StoreId) -> Option<StoreId> {
        let next = self.topics.get(self.level(store)).map_or(&self.dead_letters, |topic| &topic.partitions);
        next.get(store.index() % next.len().max(1)).copied()
    }
}

/// Where a reader starts that has no committed offset, or one outside [log start, log end] (`auto.offset.reset`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetReset {
    /// With the oldest record kept.
    Earliest,
    /// With the next record to come.
    Latest,
    /// Nowhere: its application fails with an exception.
    None,
    /// With the first record that is no older than this (since Kafka 4.0, KIP-1106).
    ByDuration(Duration),
}

/// Where somebody asks the members of a group to go (`kafka-consumer-groups --reset-offsets`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeekTo {
    /// To the oldest record kept.
    Earliest,
    /// To the next record to come.
    Latest,
    /// To the first record of this time or later.
    Time(Time),
    /// To this offset, or as near as the partition goes.
    Offset(Offset),
}

/// When a group member commits its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitPolicy {
    /// Inside a poll, when this long has passed since the last commit (`auto.commit.interval.ms`): the position,
    /// that is everything that *earlier* polls returned.
    Automatic {
        /// The interval.
        every: Duration,
    },
    /// After the work on everything that a poll returned, before the next poll.
    AfterBatch,
    /// The same, and the next poll does not wait for the answer (`commitAsync`).
    AfterBatchAsync,
    /// After the work on each record.
    AfterEach,
    /// The same, and the work on the next record does not wait for the answer.
    AfterEachAsync,
    /// Before the work on what a poll returned: at most once.
    BeforeBatch,
}

/// How much a fetch waits for and returns. The defaults are Kafka's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchLimits {
    /// Answer once this many bytes are there (`fetch.min.bytes`, default 1).
    pub min_bytes: u32,
    /// Answer anyway after this long (`fetch.max.wait.ms`, default 500 ms).
    pub max_wait: Duration,
    /// Most bytes of one partition (`max.partition.fetch.bytes`, default 1 MiB); the first record always fits.
    pub max_partition_bytes: u32,
    /// Most bytes of all partitions together (`fetch.max.bytes`, default 50 MiB); the first record always fits.
    pub max_bytes: u32,
}

impl GroupMemberConfig {
    /// Whether it keeps what it owns while the group is rebalanced: only where it knows no strategy that would have
    /// it give everything back first.
    pub fn is_cooperative(&self) -> bool {
        !self.assignors.is_empty() && self.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }
}

impl Default for FetchLimits {
    fn default() -> Self {
        FetchLimits {
            min_bytes: 1,
            max_wait: Duration::from_millis(500),
            max_partition_bytes: 1 << 20,
            max_bytes: 50 << 20,
        }
    }
}

/// Everything that a contender consists of: nodes with what they host, and clients.
#[derive(Clone, PartialEq, Debug)]
pub struct Deployment {
    /// The shape.
    pub model: Model,
    /// How many nodes there are; at least 1.
    pub nodes: u16,
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
    /// How much fetches wait for and return.
    pub fetch: FetchLimits,
    /// Producers; their ids count from 0.
    pub producers: Vec<ProducerConfig>,
    /// Consumers; their ids follow those of the producers.
    pub consumers: Vec<ConsumerConfig>,
}
