//! What travels between machines, and what a machine asks of its driver.

use std::sync::Arc;

use brokerlab_event::{ApplicationId, ClientId, Duration, KeyId, MessageId, NodeId, Offset, Refusal, StoreId, Time};

use crate::assignor::Assignor;
use crate::config::{Acks, ExchangeId, Isolation, RoutingKey};
use crate::log::Entry;
use crate::properties::Properties;
use crate::record::{Batch, Record};
use crate::share_partition::{Acknowledged, Acquired, ShareError};
use crate::transaction::{Instance, TransactionalId};

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
    /// The demand: tells producers what to send, and when.
    Demand,
    /// The disk of the machine that is addressed: reports what has become durable.
    Disk,
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
    /// The batch is larger than a segment may be.
    TooLarge,
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
        matches!(self, LogError::NotLeader | LogError::ConcurrentTransactions)
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The partition.
    pub store: StoreId,
    /// The committed offset (the next record to read), if there is one.
    pub committed: Option<Offset>,
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

/// A message between machines; imperative where it asks, plain where it answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Message<P> {
    /// Demand → producer: send this message now.
    Offer {
        /// Of which kind of the demand it is.
        kind: u16,
        /// The message.
        envelope: Envelope<P>,
    },
    /// Client → node: the first message of a connection.
    Connect,
    /// Client → node: a clean end of the connection. Unsettled deliveries are returned.
    Disconnect,
    /// Driver → node or client: the connection to this peer broke (process crash, reset), or could not be made.
    ConnectionLost,
    /// Driver → client: the connection that it asked for after the last one had broken is there.
    ConnectionRestored,

    // Queue side, client → node.
    /// Publish to an exchange.
    Publish {
        /// The channel.
        channel: Channel,
        /// Return the message where no queue takes it.
        mandatory: bool,
        /// The message, with the exchange and the routing key.
        publication: Publication<P>,
    },
    /// Number the publishes of this channel from 1 and confirm each.
    ConfirmSelect {
        /// The channel.
        channel: Channel,
    },
    /// Set the limit of unsettled deliveries.
    Qos {
        /// The channel.
        channel: Channel,
        /// The limit; 0 for none.
        prefetch: u32,
        /// For the channel as a whole instead of for each consumer that starts later on it.
        global: bool,
    },
    /// Start a consumer.
    Consume {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
        /// Its tag.
        tag: ConsumerTag,
        /// Deliveries are settled as they are sent.
        auto_ack: bool,
        /// Refused where there is another consumer, and no other is let in afterwards.
        exclusive: bool,
        /// Consumers of lower priority get messages only while none of this one can take any.
        priority: i32,
    },
    /// Subscribe to a broadcast on behalf of an application.
    Subscribe {
        /// The exchange.
        exchange: ExchangeId,
        /// The application.
        application: ApplicationId,
    },
    /// Stop a consumer; what it has not settled stays with its channel.
    Cancel {
        /// The channel.
        channel: Channel,
        /// The consumer.
        tag: ConsumerTag,
    },
    /// Ask for one message.
    Get {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
        /// Settled as it is sent.
        auto_ack: bool,
    },
    /// Settle: done.
    Ack {
        /// The channel.
        channel: Channel,
        /// The delivery.
        tag: DeliveryTag,
        /// And every earlier one of the channel; tag 0 means all.
        multiple: bool,
    },
    /// Settle: not done.
    Nack {
        /// The channel.
        channel: Channel,
        /// The delivery.
        tag: DeliveryTag,
        /// And every earlier one of the channel; tag 0 means all.
        multiple: bool,
        /// Deliver again, rather than drop.
        requeue: bool,
    },
    /// Settle: it failed here. A quorum queue counts this against the delivery limit, other than [`Message::Nack`].
    Reject {
        /// The channel.
        channel: Channel,
        /// The delivery.
        tag: DeliveryTag,
        /// Deliver again, rather than drop.
        requeue: bool,
    },
    /// Return everything unsettled on the channel to its queue.
    Recover {
        /// The channel.
        channel: Channel,
    },
    /// Remove everything that is ready.
    Purge {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
    },
    /// Make sure that the queue is there, as the deployment describes it; it may have expired or been deleted.
    DeclareQueue {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
    },
    /// Delete a queue with all that is in it.
    DeleteQueue {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
    },
    /// Ask how many messages are ready and how many consumers there are.
    InspectQueue {
        /// The channel.
        channel: Channel,
        /// The queue.
        queue: StoreId,
    },
    /// End the channel: its consumers stop, its unsettled deliveries are returned.
    CloseChannel {
        /// The channel.
        channel: Channel,
    },
    /// Consumer → node → producer: the answer to a message, straight to its sender without being stored
    /// (RabbitMQ's direct reply-to).
    Reply {
        /// Who asked.
        to: ClientId,
        /// The message that is answered.
        message: MessageId,
    },

    // Queue side, node → client.
    /// A publish was taken or refused.
    Confirm {
        /// The channel.
        channel: Channel,
        /// Its number in the channel.
        sequence: u64,
        /// Taken; otherwise the reason.
        result: Result<(), Refusal>,
    },
    /// A mandatory message that no queue takes comes back.
    Return {
        /// The channel.
        channel: Channel,
        /// Why.
        code: ReplyCode,
        /// The message.
        publication: Publication<P>,
    },
    /// A delivery to a consumer.
    Deliver {
        /// The channel.
        channel: Channel,
        /// The consumer.
        consumer: ConsumerTag,
        /// Number of the delivery, for settling it.
        tag: DeliveryTag,
        /// It was delivered before.
        redelivered: bool,
        /// How often deliveries of it have failed, where the queue counts that (`x-delivery-count`).
        delivery_count: u32,
        /// The queue ([`StoreId::MAX`] from a broadcast).
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// The message.
        publication: Publication<P>,
    },
    /// The answer to [`Message::Get`].
    GetAnswer {
        /// The channel.
        channel: Channel,
        /// The queue that was asked.
        store: StoreId,
        /// The delivery, if the queue had one: tag, redelivered, place, message.
        found: Option<(DeliveryTag, bool, Offset, Publication<P>)>,
        /// How many are ready after it.
        ready: u64,
    },
    /// The answer to [`Message::InspectQueue`].
    QueueState {
        /// The channel.
        channel: Channel,
        /// Ready messages.
        ready: u64,
        /// Consumers.
        consumers: u32,
    },
    /// The queue of a consumer is gone, and the consumer with it.
    ConsumerCancelled {
        /// The channel.
        channel: Channel,
        /// The consumer.
        tag: ConsumerTag,
    },
    /// The node closed the channel because of an error; what it had not settled is returned.
    ChannelError {
        /// The channel.
        channel: Channel,
        /// Why.
        code: ReplyCode,
    },

    /// The node has stopped reading from this connection.
    ConnectionBlocked,
    /// The node reads from this connection again.
    ConnectionUnblocked,

    // Log side, client → node.
    /// Append a batch to a partition.
    Produce {
        /// The partition.
        store: StoreId,
        /// Comes back in the answer.
        correlation: u32,
        /// When to answer.
        acks: Acks,
        /// The batch.
        batch: Batch<P>,
    },
    /// Read from positions. Answered when `min_bytes` are there or `max_wait` is over. A second fetch of one
    /// client replaces the first.
    Fetch {
        /// Comes back in the answer.
        correlation: u32,
        /// Which records the reader wants.
        isolation: Isolation,
        /// Partition and first offset wanted.
        positions: Vec<(StoreId, Offset)>,
    },
    /// Join the group of an application, or join it again.
    JoinGroup {
        /// The group.
        group: ApplicationId,
        /// Who joins.
        member: Member,
        /// What it says of itself.
        metadata: Arc<MemberMetadata>,
    },
    /// Get (the leader: distribute) the assignment of a generation.
    SyncGroup {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation.
        generation: u32,
        /// From the leader: who gets what. From others: empty.
        assignment: Vec<(Member, Vec<StoreId>)>,
    },
    /// Still here.
    Heartbeat {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation that the member believes in.
        generation: u32,
    },
    /// All that a member of the newer protocol says (KIP-848): that it joins, is there, gives up partitions, leaves.
    GroupHeartbeat {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// Its epoch; 0 to join, -1 to leave, -2 where a static member leaves that will come back.
        epoch: i32,
        /// With a join: what it says of itself.
        metadata: Option<Arc<MemberMetadata>>,
        /// What it owns, where that has changed.
        owned: Option<Vec<StoreId>>,
    },
    /// Leave the group.
    LeaveGroup {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
    },
    /// Store how far the group has read.
    CommitOffsets {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation that the member believes in.
        generation: u32,
        /// Partition and next record to read.
        offsets: Vec<(StoreId, Offset)>,
    },
    /// Ask where to start reading.
    FindPositions {
        /// The group.
        group: ApplicationId,
        /// The partitions.
        stores: Vec<StoreId>,
        /// Where the records of this time begin is asked too.
        time: Option<Time>,
    },

    /// Ask for a producer id and an epoch (`InitProducerId`).
    InitProducerId {
        /// Comes back in the answer.
        correlation: u32,
        /// The transactional id, for a producer that has one.
        transactional: Option<TransactionalId>,
        /// How long its transactions may stay open (`transaction.timeout.ms`, default 60 s).
        timeout: Duration,
        /// What the producer was before, where it asks only to move on after an error.
        known: Option<Instance>,
    },
    /// These partitions take part in the open transaction from now on (`AddPartitionsToTxn`). Only with version 1.
    AddPartitionsToTransaction {
        /// Comes back in the answer.
        correlation: u32,
        /// The transactional id.
        transactional: TransactionalId,
        /// The producer.
        producer: Instance,
        /// The partitions.
        stores: Vec<StoreId>,
    },
    /// Commit the open transaction, or abort it (`EndTxn`).
    EndTransaction {
        /// Comes back in the answer.
        correlation: u32,
        /// The transactional id.
        transactional: TransactionalId,
        /// The producer.
        producer: Instance,
        /// Commit.
        committed: bool,
    },

    // Share groups, client → node.
    /// Still here. The first one joins the share group of an application.
    ShareHeartbeat {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
    },
    /// Leave the share group.
    LeaveShareGroup {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
    },
    /// Acknowledge what was acquired before, then acquire more of what the group has still to do. Answered when there
    /// is something, or after `max_wait`. A second fetch of one client replaces the first.
    ShareFetch {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// Comes back in the answer.
        correlation: u32,
        /// How many records the member asks for.
        max_records: u32,
        /// What it says of records that it has acquired, by partition.
        acknowledged: Vec<(StoreId, Acknowledged)>,
    },
    /// Acknowledge what was acquired.
    ShareAcknowledge {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// What it says, by partition.
        acknowledged: Vec<(StoreId, Acknowledged)>,
    },

    // Log side, node → client.
    /// The answer to [`Message::InitProducerId`].
    ProducerIdAssigned {
        /// From the request.
        correlation: u32,
        /// The id and the epoch.
        result: Result<Instance, LogError>,
    },
    /// The answer to [`Message::AddPartitionsToTransaction`].
    PartitionsAdded {
        /// From the request.
        correlation: u32,
        /// Added, or why not.
        result: Result<(), LogError>,
    },
    /// The answer to [`Message::EndTransaction`]: it is decided. Markers are written afterwards.
    TransactionEnded {
        /// From the request.
        correlation: u32,
        /// Under which id and epoch the producer goes on.
        result: Result<Instance, LogError>,
    },
    /// The answer to [`Message::Produce`].
    Produced {
        /// The partition.
        store: StoreId,
        /// From the request.
        correlation: u32,
        /// Offset of the first record.
        result: Result<Offset, LogError>,
    },
    /// The answer to [`Message::Fetch`].
    Fetched {
        /// From the request.
        correlation: u32,
        /// One for each partition that has something to say.
        partitions: Vec<FetchedPartition<P>>,
        /// The positions of the request, whose memory serves the next one.
        positions: Vec<(StoreId, Offset)>,
    },
    /// The answer to [`Message::JoinGroup`], once all members have joined.
    Joined {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The new generation.
        generation: u32,
        /// The strategy that all members know.
        assignor: Assignor,
        /// For the leader: every member, to assign partitions to. For others: empty.
        members: Vec<(Member, Arc<MemberMetadata>)>,
        /// The partitions that the group reads, topic by topic: what members' metadata would tell them.
        topics: Arc<[Vec<StoreId>]>,
    },
    /// The member cannot be one, or not any more.
    JoinRefused {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// Why.
        error: GroupError,
    },
    /// The answer to [`Message::GroupHeartbeat`].
    GroupHeartbeatAnswer {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// Its epoch, and what it should own where that is news; or why it is no member.
        result: Result<(u32, Option<Vec<StoreId>>), GroupError>,
    },
    /// The answer to [`Message::SyncGroup`].
    Synced {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation.
        generation: u32,
        /// What the member owns now, or why it must join again.
        result: Result<Vec<StoreId>, GroupError>,
    },
    /// The answer to [`Message::Heartbeat`].
    HeartbeatAnswer {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation that was asked about.
        generation: u32,
        /// Fine, or why the member must join again.
        result: Result<(), GroupError>,
    },
    /// The answer to [`Message::CommitOffsets`].
    OffsetsCommitted {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation that the member believed in.
        generation: u32,
        /// What was asked to be stored.
        offsets: Vec<(StoreId, Offset)>,
        /// Stored, or why not.
        result: Result<(), GroupError>,
    },
    /// The answer to [`Message::FindPositions`].
    Positions {
        /// The group.
        group: ApplicationId,
        /// One for each partition asked for.
        positions: Vec<Position>,
    },

    /// The answer to [`Message::ShareHeartbeat`]: the partitions that the member may fetch from, which are all of its
    /// group's.
    ShareAssigned {
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The partitions.
        stores: Arc<[StoreId]>,
    },
    /// The answer to [`Message::ShareFetch`].
    ShareFetched {
        /// From the request.
        correlation: u32,
        /// One for each partition of which something was acquired.
        partitions: Vec<SharedPartition<P>>,
    },
    /// What a member said of records of a partition was refused as a whole.
    ShareRefused {
        /// The partition.
        store: StoreId,
        /// Why.
        error: ShareError,
    },

    // Node ↔ node.
    /// Follower → leader: send me what comes at and after this offset. It says at once that everything below
    /// has been appended.
    ReplicaFetch {
        /// The partition.
        store: StoreId,
        /// The follower's log end.
        offset: Offset,
        /// The leader epoch that the follower believes in.
        epoch: u32,
    },
    /// Leader → follower.
    ReplicaFetched {
        /// The partition.
        store: StoreId,
        /// The leader's epoch.
        epoch: u32,
        /// Where the follower goes on: it drops whatever it has from here.
        offset: Offset,
        /// The records, with their offsets.
        records: Vec<(Offset, Record<P>)>,
        /// What consumers may read.
        high_watermark: Offset,
    },

    // Disk → node: cumulative watermarks.
    /// Everything below is in the page cache: it survives the process, not the power.
    Written {
        /// The store.
        store: StoreId,
        /// The first place that is not.
        until: Offset,
    },
    /// Everything below is on stable storage.
    Flushed {
        /// The store.
        store: StoreId,
        /// The first place that is not.
        until: Offset,
    },
}

/// Something that a machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect<P> {
    /// Carry a message. Messages of one connection arrive in the order in which they were sent.
    Send {
        /// From whom.
        from: Address,
        /// To whom.
        to: Address,
        /// What.
        message: Message<P>,
    },
    /// Copy the store's entries below `until` into the page cache, then report [`Message::Written`].
    Write {
        /// The node that asks.
        node: NodeId,
        /// The store.
        store: StoreId,
        /// The first place that is not asked for.
        until: Offset,
    },
    /// Make the store's entries below `until` durable, then report [`Message::Flushed`].
    Flush {
        /// The node that asks.
        node: NodeId,
        /// The store.
        store: StoreId,
        /// The first place that is not asked for.
        until: Offset,
    },
}

impl<P> Message<P> {
    /// Whether it may hold memory of its own. `true` is always right; of those that are sent most it is known better.
    #[inline(always)]
    fn owns_memory(&self) -> bool {
        match self {
            Message::Publish { publication, .. } | Message::Deliver { publication, .. } => {
                std::mem::needs_drop::<P>() || publication.properties.is_some()
            }
            Message::Offer { .. } => std::mem::needs_drop::<P>(),
            Message::Fetch { positions, .. } => positions.capacity() > 0,
            Message::Fetched { partitions, positions, .. } => partitions.capacity() + positions.capacity() > 0,
            Message::Connect
            | Message::Ack { .. }
            | Message::Nack { .. }
            | Message::Confirm { .. }
            | Message::Produced { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatAnswer { .. } => false,
            _ => true,
        }
    }

    /// Takes the message out of its place; a message that says nothing is left there.
    #[inline]
    pub fn take(&mut self) -> Message<P> {
        std::mem::replace(self, Message::Connect)
    }
}

impl<P> Effect<P> {
    /// Something that nobody wants done: it stands in places that are not in use.
    const SPENT: Effect<P> = Effect::Send { from: Address::Demand, to: Address::Demand, message: Message::Connect };

    /// Whether it may hold memory of its own; see [`Message::owns_memory`].
    #[inline(always)]
    fn owns_memory(&self) -> bool {
        matches!(self, Effect::Send { message, .. } if message.owns_memory())
    }
}

/// What machines want done, first in, first out. The driver owns it, passes it to every handler and drains it;
/// effects that take no time are carried out in the order in which they were pushed, within the same instant.
///
/// Effects are large beside what is done about them, so the places that hold them are used again and again: effects
/// are written into their places, and a driver that is in a hurry reads them there, a round at a time
/// ([`Outbox::next_round`]).
#[derive(Clone, Debug)]
pub struct Outbox<P> {
    /// Those from `taken` up to `pushed` are still to be done, the others are spent.
    places: Vec<Effect<P>>,
    taken: usize,
    pushed: usize,
    /// Something that was pushed may hold memory of its own, which is to be given back once it is spent. Spent places
    /// hold none otherwise.
    owns_memory: bool,
}

/// Where an effect is to be written.
#[must_use = "a place that is not filled holds an effect that nobody wants"]
pub struct EffectPlace<'a, P> {
    effect: &'a mut Effect<P>,
    owns_memory: &'a mut bool,
}

impl<P> EffectPlace<'_, P> {
    /// Writes the effect. What stands in the place holds no memory, so it need not be dropped.
    #[inline(always)]
    pub fn fill(self, effect: Effect<P>) {
        *self.owns_memory |= effect.owns_memory();
        std::mem::forget(std::mem::replace(self.effect, effect));
    }
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        Outbox { places: Vec::new(), taken: 0, pushed: 0, owns_memory: false }
    }
}

impl<P> Outbox<P> {
    /// Asks for a message to be carried.
    #[inline]
    pub fn send(&mut self, from: Address, to: Address, message: Message<P>) {
        self.push(Effect::Send { from, to, message });
    }

    /// Asks for something else to be done.
    #[inline]
    pub fn push(&mut self, effect: Effect<P>) {
        self.place().fill(effect);
    }

    /// The place of the next effect, which must be filled at once. To ask for it first and to make the effect
    /// afterwards saves copying the effect.
    #[inline(always)]
    pub fn place(&mut self) -> EffectPlace<'_, P> {
        if self.pushed == self.places.len() {
            self.grow();
        }
        let effect = &mut self.places[self.pushed];
        self.pushed += 1;
        EffectPlace { effect, owns_memory: &mut self.owns_memory }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.places.push(Effect::SPENT);
    }

    /// The next thing to do.
    #[inline]
    pub fn pop(&mut self) -> Option<Effect<P>> {
        if self.taken == self.pushed {
            (self.taken, self.pushed) = (0, 0);
            return None;
        }
        self.taken += 1;
        Some(std::mem::replace(&mut self.places[self.taken - 1], Effect::SPENT))
    }

    /// Changes places with the outbox that handlers push to, once everything in this one is done. What is pushed
    /// while a round is carried out comes after it, so the order is that of pushing. Nothing where nothing is left.
    #[inline]
    pub fn next_round<'a>(self: &'a mut Box<Self>, pushed_to: &mut Box<Outbox<P>>) -> Option<&'a mut [Effect<P>]> {
        if pushed_to.is_empty() {
            return None;
        }
        if self.owns_memory {
            self.give_back();
        }
        (self.taken, self.pushed) = (0, 0);
        std::mem::swap(self, pushed_to);
        self.places.get_mut(self.taken..self.pushed)
    }

    /// True where nothing is left to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == self.pushed
    }

    /// Gives back the memory that spent effects hold.
    #[inline(never)]
    fn give_back(&mut self) {
        self.owns_memory = false;
        let spent = self.places.iter_mut().take(self.pushed);
        spent.filter(|effect| effect.owns_memory()).for_each(|effect| *effect = Effect::SPENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flush(number: u64) -> Effect<()> {
        Effect::Flush { node: NodeId::new(0), store: StoreId::new(0), until: Offset::new(number) }
    }

    #[test]
    fn what_was_pushed_first_comes_first_one_by_one_and_in_rounds() {
        let mut out: Outbox<()> = Outbox::default();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..100 {
            for _ in 0..round {
                out.push(flush(pushed));
                pushed += 1;
            }
            for _ in 0..round / 2 {
                assert_eq!(out.pop(), Some(flush(popped)));
                popped += 1;
            }
        }
        let (mut out, mut round) = (Box::new(out), Box::default());
        let mut more = 3;
        while let Some(effects) = Outbox::next_round(&mut round, &mut out) {
            for effect in effects {
                assert_eq!(*effect, flush(popped));
                popped += 1;
                if more > 0 {
                    more -= 1;
                    out.push(flush(pushed));
                    pushed += 1;
                }
            }
        }
        assert_eq!((popped, out.pop()), (pushed, None));
    }

    #[test]
    fn a_spent_place_gives_back_what_it_held() {
        let metadata = MemberMetadata {
            name: "member".into(),
            instance: None,
            assignors: vec![Assignor::Range],
            owned: Vec::new(),
            generation: None,
        };
        let metadata = Arc::new(metadata);
        let (group, member) = (ApplicationId::new(0), Member { client: ClientId::new(0), incarnation: 1 });
        let (mut out, mut round): (Box<Outbox<()>>, Box<Outbox<()>>) = Default::default();
        for _ in 0..4 {
            let message = Message::JoinGroup { group, member, metadata: Arc::clone(&metadata) };
            out.send(Address::Demand, Address::Disk, message);
            assert_eq!(round.next_round(&mut out).map(|effects| effects.len()), Some(1));
        }
        assert_eq!(Arc::strong_count(&metadata), 2, "besides this one, that of the last round");
    }
}
