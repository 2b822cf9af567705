//! Streams: logs in a queue broker, and their clients.

use brokerlab_event::{ApplicationId, ClientId, Duration, NodeId, Offset, StoreId, Time};

use crate::config::{FlushPolicy, ReplicationConfig, TopicConfig};
use crate::stream::StreamRules;

/// A stream, or a super stream: several streams behind a hash of the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamConfig {
    /// Its partitions in the order of their numbers. A stream has one.
    pub partitions: Vec<StoreId>,
    /// It is a super stream: the consumers of a name share its partitions, where only one at a time is active in each.
    pub is_super: bool,
    /// The node that leads them all (for now).
    pub node: NodeId,
    /// What is kept of each partition.
    pub rules: StreamRules,
}

impl StreamConfig {
    /// The partitions as a node hosts them. What is rolled and kept follows the rules of the stream.
    pub fn topic(&self) -> TopicConfig {
        TopicConfig {
            partitions: self.partitions.clone(),
            replication: ReplicationConfig::single(self.node),
            max_message_bytes: u32::MAX,
            segment_bytes: u64::MAX,
            segment_time: Duration::MAX,
            retention_time: None,
            retention_bytes: None,
            retention_check_interval: Duration::MAX,
            compaction: None,
            flush: FlushPolicy::default(),
        }
    }
}

/// A producer of a stream. The defaults are those of RabbitMQ's stream client for Java.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPublisherConfig {
    /// The partitions in the order of their numbers.
    pub partitions: Vec<StoreId>,
    /// So many messages go to the broker together (`batchSize`, default 100).
    pub batch_size: u32,
    /// Those that are fewer go after this long (`batchPublishingDelay`, default 100 ms).
    pub batch_publishing_delay: Duration,
    /// How many may be unconfirmed before the producer holds back (`maxUnconfirmedMessages`, default 10000).
    pub max_unconfirmed: u32,
    /// What is not confirmed after this long the application is told of as failed (`confirmTimeout`, default 30 s).
    pub confirm_timeout: Duration,
    /// It has a name, by which the broker knows what it has published already.
    pub deduplication: bool,
}

impl StreamPublisherConfig {
    /// A producer for these partitions with all defaults.
    pub fn new(partitions: Vec<StoreId>) -> StreamPublisherConfig {
        StreamPublisherConfig {
            partitions,
            batch_size: 100,
            batch_publishing_delay: Duration::from_millis(100),
            max_unconfirmed: 10_000,
            confirm_timeout: Duration::from_secs(30),
            deduplication: false,
        }
    }
}

/// Where a consumer of a stream begins (`x-stream-offset`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamOffset {
    /// With the oldest message kept.
    First,
    /// With the last chunk.
    Last,
    /// With what is still to come.
    Next,
    /// With this offset, or as near as the stream goes.
    Offset(Offset),
    /// With the first chunk of this time or later.
    Time(Time),
    /// With the first chunk that is no older than this when the consumer subscribes.
    Interval(Duration),
}

/// How much a consumer of a stream may be sent before it asks for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamCredit {
    /// So many chunks; another for each that it begins to work on (the stream protocol).
    Chunks(u32),
    /// So many messages; another for each that it acknowledges (AMQP 0-9-1, which asks for a prefetch).
    Messages(u32),
}

/// The name under which the broker keeps where a reader of a stream is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReaderName {
    /// The application.
    pub application: ApplicationId,
    /// The consumer, unless all consumers of the application read under one name.
    pub consumer: Option<ClientId>,
}

/// A consumer of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamConsumerConfig {
    /// The partitions that it reads.
    pub partitions: Vec<StoreId>,
    /// Where it begins, unless the broker knows where it was.
    pub from: StreamOffset,
    /// How much it may be sent in advance.
    pub credit: StreamCredit,
    /// Of the application's consumers only one at a time reads a partition (`single-active-consumer`). Otherwise each
    /// reads everything.
    pub single_active_consumer: bool,
    /// It lets the broker keep where it is. `None`: when it starts again it begins anew.
    pub tracking: Option<OffsetTracking>,
    /// A message on which the work fails is tried again in place until it has been tried this often; then it is passed
    /// over. 0 for never.
    pub max_attempts: u32,
}

impl StreamConsumerConfig {
    /// The name that it reads under.
    pub fn reader(&self, application: ApplicationId, client: ClientId) -> ReaderName {
        ReaderName { application, consumer: (!self.single_active_consumer).then_some(client) }
    }
}

/// When a consumer stores where it is (the automatic tracking of the Java client).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetTracking {
    /// After so many messages (`messageCountBeforeStorage`, default 10000).
    pub every: u32,
    /// And after this long, where there were fewer (`flushInterval`, default 5 s).
    pub interval: Duration,
}
