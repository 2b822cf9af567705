//! What messages between machines are made of.

use std::sync::Arc;

use brokerlab_event::{ClientId, KeyId, MessageId, NodeId, Offset, StoreId, Time};

use crate::assignor::Assignor;
use crate::config::{ExchangeId, RoutingKey};
use crate::log::{Entry, EpochEnd};
use crate::partition::Copied;
use crate::properties::Properties;
use crate::quorum;
use crate::share_partition::Acquired;

/// One message (queue side) or record (log side) with what the broker must know of it. The payload is `()` in
/// simulation, where only the size counts, and real bytes in a live broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<P> {
    /// Which message of the demand it is.
    pub message: MessageId,
    /// Its key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// Size of the body in bytes.
    pub size: u32,
    /// The time that its producer stamped on it.
    pub timestamp: Time,
    /// Its sender, for answers.
    pub sender: ClientId,
    /// It has no body (a null value): a compacted log forgets its key.
    pub tombstone: bool,
    /// The body.
    pub payload: P,
}

impl<P> Entry for Envelope<P> {
    fn bytes(&self) -> u64 {
        u64::from(self.size)
    }
    fn timestamp(&self) -> Time {
        self.timestamp
    }
}

/// A message as it was published. A queue keeps it whole: what becomes of it later depends on how it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication<P> {
    /// The message.
    pub envelope: Envelope<P>,
    /// The exchange that it was published to.
    pub exchange: ExchangeId,
    /// Its routing key.
    pub routing_key: RoutingKey,
    /// What else its publisher said; most say nothing.
    pub properties: Option<Arc<Properties>>,
}

impl<P> Entry for Publication<P> {
    fn bytes(&self) -> u64 {
        self.envelope.bytes()
    }
    fn timestamp(&self) -> Time {
        self.envelope.timestamp
    }
}

/// Somebody who can send and receive messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Address {
    /// A producer or consumer.
    Client(ClientId),
    /// A broker node.
    Node(NodeId),
    /// The controller of the cluster.
    Controller,
    /// The demand: tells producers what to send, and when.
    Demand,
    /// The disk of the machine that is addressed: reports what has become durable.
    Disk,
}

/// What a leader says to a follower that asks for records.
#[derive(Clone, PartialEq, Debug)]
pub enum ReplicaAnswer<P> {
    /// What comes at this offset. It is another than the one asked for where the leader has nothing as old.
    Copied {
        /// Where the records begin.
        offset: Offset,
        /// The records.
        records: Copied<P>,
    },
    /// The follower's log is another than the leader's from some point on: this is what the leader knows of the
    /// follower's last epoch.
    Diverging(EpochEnd),
    /// The node that was asked does not lead the partition, or not in the epoch that the follower believes in.
    Refused,
}

/// Who has a partition, as the controller tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The partition.
    pub store: StoreId,
    /// The nodes with a copy of it.
    pub replicas: Vec<NodeId>,
    /// Those that are in sync.
    pub in_sync: Vec<NodeId>,
    /// Who leads it: nobody while it is offline.
    pub leader: Option<NodeId>,
    /// Counts the leaders.
    pub epoch: u32,
}

/// Who leads a partition, as a node knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionLeader {
    /// The partition.
    pub store: StoreId,
    /// The node: nobody while the partition is offline, or as far as is known.
    pub leader: Option<NodeId>,
    /// Counts the leaders. What is told with a lower number than before is out of date.
    pub epoch: u32,
}

/// Number of a channel within its connection.
pub type Channel = u16;
/// Number of a delivery within its channel, from 1.
pub type DeliveryTag = u64;
/// Number that a consumer chose for its subscription; unique within its connection.
pub type ConsumerTag = u32;

/// AMQP reply codes that an operation can be refused with (AMQP 0-9-1 specification, section 1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u16)]
pub enum ReplyCode {
    /// The message matched no queue.
    NoRoute = 312,
    /// A reserved name, or the exclusive use of somebody else.
    AccessRefused = 403,
    /// No such queue or exchange.
    NotFound = 404,
    /// The queue belongs to another connection.
    ResourceLocked = 405,
    /// A bad argument, an unknown delivery tag, other arguments at a redeclaration.
    PreconditionFailed = 406,
    /// The consumer tag is in use on this connection.
    NotAllowed = 530,
    /// The broker cannot do this here.
    NotImplemented = 540,
}

impl ReplyCode {
    /// True where the error ends the whole connection, not only the channel.
    pub fn ends_connection(self) -> bool {
        matches!(self, ReplyCode::NotAllowed | ReplyCode::NotImplemented)
    }
}

/// Why a request of the log side failed (Kafka protocol guide, error codes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogError {
    /// This node does not lead the partition.
    NotLeader,
    /// The position is outside [log start, log end].
    OffsetOutOfRange,
    /// The partition has had another leader, or its leader another start, since the reader last heard of it: what it has
    /// read may be gone ([KIP-320](https://cwiki.apache.org/confluence/display/KAFKA/KIP-320%3A+Allow+fetchers+to+detect+and+handle+log+truncation),
    /// code 74).
    FencedLeaderEpoch,
    /// Too few replicas are in sync for a record that all of them are to have: nothing was stored (code 19).
    NotEnoughReplicas,
    /// The same was found once the record was stored. It is in the log, and readers see it (code 20).
    NotEnoughReplicasAfterAppend,
    /// The batch is larger than the topic takes (code 10). The producer sends it again in parts.
    TooLarge,
    /// The batch is larger than a segment may be (code 18).
    LargerThanSegment,
    /// A record without a key for a topic that is compacted by keys (code 87).
    InvalidRecord,
    /// The producer stamped a time on a record that lies too far ahead (code 32).
    InvalidTimestamp,
    /// The sequence number is neither the next nor that of a batch that is remembered (code 45).
    OutOfOrderSequence,
    /// There is a newer instance of the producer (code 47).
    InvalidProducerEpoch,
    /// The producer has a transaction open and this is no part of it, or the other way round (code 48).
    InvalidTransactionState,
    /// The marker comes from a former coordinator of the transaction (code 52).
    CoordinatorFenced,
    /// The transactional id is not that of the producer id (code 49).
    InvalidProducerIdMapping,
    /// The coordinator allows no such transaction timeout (code 50).
    InvalidTransactionTimeout,
    /// The last transaction of the transactional id is still being completed: ask again (code 51).
    ConcurrentTransactions,
    /// Somebody else has taken over the transactional id (code 90).
    ProducerFenced,
    /// The partition is not part of the transaction, which can only be aborted (code 120).
    TransactionAbortable,
}

impl LogError {
    /// Whether the same request may succeed later, or elsewhere.
    pub fn is_retriable(self) -> bool {
        matches!(
            self,
            LogError::NotLeader
                | LogError::NotEnoughReplicas
                | LogError::NotEnoughReplicasAfterAppend
                | LogError::ConcurrentTransactions
        )
    }
}

/// Why a request to a group was refused (Kafka protocol guide, error codes 22, 25, 27, 82, 23, 110, 113, 111).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupError {
    /// The generation is over.
    IllegalGeneration,
    /// The coordinator does not know this member (any more).
    UnknownMember,
    /// The group is being rebalanced: join again.
    RebalanceInProgress,
    /// Another process has taken the place of this static member. It must not go on.
    FencedInstance,
    /// The member knows no strategy of assignment that all others know.
    InconsistentProtocol,
    /// The member's epoch is not that of the coordinator: join anew (KIP-848).
    FencedMemberEpoch,
    /// The epoch is over, or has not begun: try again with the one of the next heartbeat (KIP-848).
    StaleMemberEpoch,
    /// The static member that this would be is still there (KIP-848).
    UnreleasedInstance,
}

/// Why offsets were not taken into a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionalCommitError {
    /// Because of the producer or its transaction.
    Producer(LogError),
    /// Because of the member: whoever has lost its partitions must not say how far they are read (KIP-447).
    Group(GroupError),
}

/// What a member of a group says of itself when it joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberMetadata {
    /// Its member id; assignors order members by its bytes.
    pub name: Arc<str>,
    /// The id that a static member keeps through restarts (`group.instance.id`).
    pub instance: Option<Arc<str>>,
    /// The strategies that it knows, the one that it prefers first; empty in the newer protocol.
    pub assignors: Vec<Assignor>,
    /// What it owns, for strategies that look at that.
    pub owned: Vec<StoreId>,
    /// The generation in which it got that.
    pub generation: Option<u32>,
}

/// A member of a group: one membership of a client. A process that restarts, or that was removed from its group,
/// comes back as a *new* member; the coordinator keeps the old one until its session ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member {
    /// The client.
    pub client: ClientId,
    /// Which of its memberships, from 1.
    pub incarnation: u32,
}

/// Records of one partition in a fetch response.
#[derive(Clone, PartialEq, Debug)]
pub struct FetchedPartition<P> {
    /// The partition.
    pub store: StoreId,
    /// What was found from the requested position on, in order of offset.
    pub records: Result<Vec<(Offset, Envelope<P>)>, LogError>,
    /// Consumers may read below this offset.
    pub high_watermark: Offset,
    /// The offset after the last one that was looked at: there may have been none, or some that no consumer sees,
    /// behind the last record.
    pub next: Offset,
}

/// Where somebody reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPosition {
    /// The partition.
    pub store: StoreId,
    /// The leader epoch that the reader knows of.
    pub epoch: u32,
    /// The first offset wanted.
    pub offset: Offset,
}

/// Records of one partition that a member of a share group has acquired.
#[derive(Clone, PartialEq, Debug)]
pub struct SharedPartition<P> {
    /// The partition.
    pub store: StoreId,
    /// What was acquired. Not at every offset there must be a record.
    pub acquired: Vec<Acquired>,
    /// The records, in order of offset.
    pub records: Vec<(Offset, Envelope<P>)>,
}

/// What a coordinator and the leader of a partition know of a position: where a group's reader may start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Position {
    /// The partition.
    pub store: StoreId,
    /// The committed offset (the next record to read), if there is one.
    pub committed: Option<Offset>,
    /// Somebody has set that from outside, and who asks is to go there, wherever it is.
    pub sought: bool,
    /// An open transaction says that it is another. Who is to start there waits until that has ended
    /// (`UNSTABLE_OFFSET_COMMIT`, KIP-447).
    pub is_unstable: bool,
    /// Who says this coordinates the group. Otherwise nothing above means anything.
    pub is_coordinated: bool,
    /// Who says this leads the partition. Otherwise nothing below means anything.
    pub is_led: bool,
    /// The leader epoch.
    pub epoch: u32,
    /// The first readable offset.
    pub log_start: Offset,
    /// The offset that the next record will get: a position up to here is in range.
    pub log_end: Offset,
    /// Where a reader begins that wants only what is still to come.
    pub high_watermark: Offset,
    /// The first record at or after the time that was asked for; the high watermark where there is none, and where no
    /// time was asked for.
    pub at_time: Offset,
}

/// What the leader of a quorum queue tells a node of.
#[derive(Clone, PartialEq, Debug)]
pub enum Told<P> {
    /// Its orders up to this number are carried out.
    Carried(u64),
    /// Something that one of its channels is to hear.
    Effect(quorum::Effect<P>),
}
