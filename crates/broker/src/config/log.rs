//! Topics and groups.

use brokerlab_event::{ApplicationId, Duration, NodeId, StoreId};

use crate::assignor::ServerAssignor;
use crate::config::OffsetReset;
use crate::replication::{ElectionRules, ReplicaRules};
use crate::share_partition::ShareRules;

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
    /// Which nodes have copies of them, and when a copy counts.
    pub replication: ReplicationConfig,
    /// Largest size of a batch in bytes (`max.message.bytes`, default 1 MiB and what surrounds it, 1048588).
    pub max_message_bytes: u32,
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
    /// When the broker itself flushes what it has written; by default never.
    pub flush: FlushPolicy,
}

/// How a cluster notices that a node is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokerSessions {
    /// A node that is silent for this long does not count any more (`broker.session.timeout.ms`, default 9 s).
    pub timeout: Duration,
    /// How often it says that it is there (`broker.heartbeat.interval.ms`, default 2 s).
    pub heartbeat_interval: Duration,
    /// How often the controller gives partitions back to their preferred leaders
    /// (`leader.imbalance.check.interval.seconds`, default 5 min). `None`: never (`auto.leader.rebalance.enable`).
    pub balance_interval: Option<Duration>,
}

impl Default for BrokerSessions {
    fn default() -> BrokerSessions {
        BrokerSessions {
            timeout: Duration::from_secs(9),
            heartbeat_interval: Duration::from_secs(2),
            balance_interval: Some(Duration::from_secs(300)),
        }
    }
}

/// The copies of a topic's partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicationConfig {
    /// The node with the first copy of partition 0.
    pub first: NodeId,
    /// Partitions are dealt to so many nodes in turn, those with the lowest numbers; at least 1.
    pub nodes: u16,
    /// How many copies there are of each partition (`replication.factor`): from 1 to `nodes`.
    pub copies: u16,
    /// When a copy is in sync, and how many have to be.
    pub replicas: ReplicaRules,
    /// Where nobody is left who has all that was confirmed, somebody else leads (`unclean.leader.election.enable`, by
    /// default not).
    pub unclean_election: bool,
    /// Eligible leader replicas are kept (`eligible.leader.replicas.version` 1).
    pub keeps_eligible: bool,
}

impl ReplicationConfig {
    /// One copy, on this node.
    pub fn single(node: NodeId) -> ReplicationConfig {
        let replicas = ReplicaRules::default();
        let nodes = node.get() + 1;
        ReplicationConfig { first: node, nodes, copies: 1, replicas, unclean_election: false, keeps_eligible: true }
    }

    /// The nodes with a copy of this partition of the topic. The first is the preferred leader: leaders are dealt out in
    /// turn, and the other copies are on the nodes that follow.
    pub fn replicas(&self, number: u32) -> impl Iterator<Item = NodeId> + use<> {
        let (first, nodes) = (u32::from(self.first.get()), u32::from(self.nodes));
        (0..u32::from(self.copies)).map(move |copy| NodeId::new(((first + number % nodes + copy) % nodes) as u16))
    }

    /// What the topic says about elections.
    pub fn election(&self) -> ElectionRules {
        let min_in_sync = self.replicas.min_in_sync.min(u32::from(self.copies));
        ElectionRules { min_in_sync, keeps_eligible: self.keeps_eligible }
    }
}

/// When a broker flushes a partition of its own accord, rather than leave that to the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FlushPolicy {
    /// Once so many records are not flushed, before they are acknowledged (`flush.messages`). `None`: never.
    pub messages: Option<u64>,
    /// This often (`flush.ms`). `None`: never.
    pub interval: Option<Duration>,
}

/// How the operating system writes back what it has in its page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageCacheConfig {
    /// What has been there for longer is written (Linux: `vm.dirty_expire_centisecs`, default 30 s).
    pub age: Duration,
    /// How often that is looked at (Linux: `vm.dirty_writeback_centisecs`, default 5 s).
    pub every: Duration,
}

impl Default for PageCacheConfig {
    fn default() -> PageCacheConfig {
        PageCacheConfig { age: Duration::from_secs(30), every: Duration::from_secs(5) }
    }
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
