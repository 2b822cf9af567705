//! Producers and consumers.

use std::sync::Arc;

use brokerlab_event::{ApplicationId, ClientId, Duration, FailureLaw, NodeId, Offset, StoreId, Stream, Time, WorkLaw};

use crate::assignor::Assignor;
use crate::config::{Acks, ExchangeId, RoutingKey, StreamConsumerConfig, StreamPublisherConfig, TransactionVersion};
use crate::partitioner::KeyHash;
use crate::properties::Properties;
use crate::transaction::TransactionalId;

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
        /// How many nodes it may connect with: its own, and where that does not let it in the others.
        nodes: u16,
    },
    /// Appends batches to the partitions of a topic.
    Batcher(BatcherConfig),
    /// Publishes to a stream.
    Stream(StreamPublisherConfig),
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
    /// It sends in transactions. Needs idempotence.
    pub transactions: Option<TransactionConfig>,
    /// How often it asks which partitions there are (`metadata.max.age.ms`, default 5 min). `None`: never, because there
    /// will be no others.
    pub metadata_max_age: Option<Duration>,
    /// Partitions are led by several nodes: it asks by which, and connects to those.
    pub is_cluster: bool,
}

/// How an application puts what it sends into transactions: one follows the other, each begins with the first message
/// after the last one has ended, and the application waits while one is being committed or aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionConfig {
    /// The name under which the coordinator knows it (`transactional.id`).
    pub id: TransactionalId,
    /// How far the id moves on with every start of the process; 0 where it outlives the process, as it should.
    pub id_step: u32,
    /// It ends after this many messages. `None`: however many there are.
    pub messages: Option<u32>,
    /// It ends this long after it began. `None`: however long it takes.
    pub every: Option<Duration>,
    /// The coordinator aborts one that is open for longer (`transaction.timeout.ms`, default 1 min).
    pub timeout: Duration,
    /// How many in a million the application aborts instead of committing them.
    pub aborts: u32,
    /// Which ones, by their number.
    pub chance: Stream,
    /// An application that was shut out begins again with a new producer; otherwise it ends.
    pub restarts: bool,
    /// The rules of the broker.
    pub version: TransactionVersion,
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
            transactions: None,
            metadata_max_age: None,
            is_cluster: false,
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
    /// It reads streams.
    Stream(StreamConsumerConfig),
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
    /// How many nodes it may connect with: its own, and where that does not let it in the others.
    pub nodes: u16,
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
    /// How often it asks which partitions there are (`metadata.max.age.ms`, default 5 min). `None`: never, because there
    /// will be no others.
    pub metadata_max_age: Option<Duration>,
    /// Partitions are led by several nodes: it asks by which, and connects to those.
    pub is_cluster: bool,
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
