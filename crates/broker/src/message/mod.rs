//! What travels between machines, and what a machine asks of its driver.

mod outbox;
mod parts;

use std::sync::Arc;

use brokerlab_event::{ApplicationId, ClientId, Duration, MessageId, NodeId, Offset, Refusal, StoreId, Time};

use crate::assignor::Assignor;
use crate::config::{Acks, ExchangeId, Isolation, ReaderName, StreamCredit, StreamOffset};
use crate::quorum::{GroupMessage, Order, Session};
use crate::record::Batch;
use crate::share_partition::{Acknowledged, ShareError};
use crate::transaction::{Instance, TransactionalId};

pub use outbox::{Effect, EffectPlace, Outbox};
pub use parts::*;

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
    /// Driver → node: the connection to this peer broke (process crash, reset).
    ConnectionLost,
    /// Driver → client: the connection with this node broke, or could not be made.
    ConnectionBroken {
        /// The node.
        node: NodeId,
    },
    /// Driver → client: the connection that it asked for after the last one had broken is there.
    ConnectionRestored {
        /// With this node.
        node: NodeId,
    },

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
        /// Where to read.
        positions: Vec<FetchPosition>,
        /// What the last answer said, whose memory serves the next one.
        spare: Vec<FetchedPartition<P>>,
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
        /// Comes back in the answer.
        correlation: u32,
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

    /// Ask where in each partition the epoch ended in which a reader came to its position (`OffsetsForLeaderEpoch`).
    FindEpochEnds {
        /// The positions.
        positions: Vec<FetchPosition>,
    },

    /// Ask which partitions a topic has (`Metadata`).
    FindPartitions {
        /// One of them.
        store: StoreId,
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
    /// The offsets of a group take part in the open transaction from now on (`AddOffsetsToTxn`). Only with version 1;
    /// answered by [`Message::PartitionsAdded`].
    AddOffsetsToTransaction {
        /// Comes back in the answer.
        correlation: u32,
        /// The transactional id.
        transactional: TransactionalId,
        /// The producer.
        producer: Instance,
        /// The group.
        group: ApplicationId,
    },
    /// Store how far a group has read, if the open transaction is committed (`TxnOffsetCommit`): what was read and what
    /// was sent because of it then count together, or not at all.
    CommitOffsetsInTransaction {
        /// Comes back in the answer.
        correlation: u32,
        /// The transactional id.
        transactional: TransactionalId,
        /// The producer.
        producer: Instance,
        /// The group.
        group: ApplicationId,
        /// The member that has read.
        member: Member,
        /// The generation that the member believes in.
        generation: u32,
        /// Partition and next record to read.
        offsets: Vec<(StoreId, Offset)>,
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

    // Streams, client → node.
    /// Append a chunk to a stream. Answered by [`Message::Produced`] once it is safe. The publishing id of a message is
    /// its number.
    PublishChunk {
        /// The stream.
        store: StoreId,
        /// Comes back in the answer.
        correlation: u32,
        /// The publisher has a name: what it has published already is not stored again.
        deduplicate: bool,
        /// The messages, in order.
        messages: Vec<Envelope<P>>,
    },
    /// Subscribe to a stream, instead of any earlier subscription of this client to it.
    SubscribeStream {
        /// The stream.
        store: StoreId,
        /// Under which name.
        reader: ReaderName,
        /// Where to begin.
        from: StreamOffset,
        /// Rather begin behind the last message that was stored as done under this name.
        tracked: bool,
        /// How much may be sent.
        credit: StreamCredit,
    },
    /// More chunks or messages of a stream may be sent.
    CreditStream {
        /// The stream.
        store: StoreId,
        /// How many.
        count: u32,
    },
    /// Keep the last message that a reader has done. Nothing is answered.
    StoreStreamOffset {
        /// The stream.
        store: StoreId,
        /// The name.
        reader: ReaderName,
        /// Its offset.
        offset: Offset,
    },
    /// The answer to [`Message::StepDown`]: somebody else may go on.
    SteppedDown {
        /// The stream.
        store: StoreId,
        /// The name.
        reader: ReaderName,
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
    /// The answer to [`Message::CommitOffsetsInTransaction`].
    OffsetsCommittedInTransaction {
        /// From the request.
        correlation: u32,
        /// Taken until the transaction ends, or why not.
        result: Result<(), TransactionalCommitError>,
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
        positions: Vec<FetchPosition>,
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
        /// From the request.
        correlation: u32,
        /// The group.
        group: ApplicationId,
        /// The member.
        member: Member,
        /// The generation that the member believed in.
        generation: u32,
        /// What was stored, or not; without what is out of date because the group was sent elsewhere.
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

    /// The answer to [`Message::FindEpochEnds`]: each partition with its epoch now, and where the epoch that was asked for
    /// ended.
    EpochEnds {
        /// The ends.
        ends: Vec<FetchPosition>,
    },
    /// The answer to [`Message::FindPartitions`].
    Partitions {
        /// The partitions in the order of their numbers, as far as this node knows.
        partitions: Vec<PartitionLeader>,
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

    // Streams, node → client.
    /// A subscription has become active.
    StreamStarted {
        /// The stream.
        store: StoreId,
        /// The first offset that will be sent.
        offset: Offset,
    },
    /// A chunk of a stream, or a part of one.
    DeliverChunk {
        /// The stream.
        store: StoreId,
        /// The messages, with their offsets, in order.
        messages: Vec<(Offset, Envelope<P>)>,
    },
    /// Somebody else is to go on with a stream: nothing more is sent.
    StepDown {
        /// The stream.
        store: StoreId,
    },

    // Node ↔ node.
    /// Follower → leader: send me what comes at and after this offset. It says at once that everything below
    /// has been appended.
    ReplicaFetch {
        /// The partition.
        store: StoreId,
        /// The leader epoch that the follower believes in.
        epoch: u32,
        /// The follower's log end.
        offset: Offset,
        /// Of which epoch the last leader is that the follower has heard of in its log, if any.
        last_epoch: Option<u32>,
    },
    /// Leader → follower.
    ReplicaFetched {
        /// The partition.
        store: StoreId,
        /// The epoch that the follower named.
        epoch: u32,
        /// What the leader has.
        answer: ReplicaAnswer<P>,
        /// What consumers may read.
        high_watermark: Offset,
    },

    /// Node → node: I am here.
    NodeHeartbeat {
        /// Which start of it.
        start: u32,
    },
    /// Between the members of a quorum queue's group.
    QuorumGroup {
        /// The queue.
        store: StoreId,
        /// What one says to another.
        message: Box<GroupMessage<P>>,
    },
    /// A node, for its channels → the leader of a quorum queue.
    QuorumOrder {
        /// The queue.
        store: StoreId,
        /// What is asked.
        order: Box<Order<P>>,
    },
    /// The leader of a quorum queue → a node: what was done for its channels.
    QuorumTold {
        /// The queue.
        store: StoreId,
        /// The leader's term.
        term: u32,
        /// What was done, in order.
        told: Vec<Told<P>>,
    },
    /// The leader of a quorum queue → every node: I lead.
    QuorumLeads {
        /// The queue.
        store: StoreId,
        /// Since when.
        term: u32,
        /// The channels of that node from which the queue takes nothing at present.
        stopped: Vec<Session>,
    },

    // Node ↔ controller.
    /// Node → controller: I am here. The first one of a process registers it.
    BrokerHeartbeat {
        /// Which start of the node it is.
        incarnation: u32,
        /// It wants to go down, once others lead what it leads.
        wants_to_stop: bool,
    },
    /// The answer to [`Message::BrokerHeartbeat`].
    BrokerHeartbeatAnswer {
        /// Which start of the node was meant.
        incarnation: u32,
        /// It counts as a broker of the cluster. It does not yet while an earlier start of it does.
        is_registered: bool,
        /// It leads nothing any more that others can lead, and may go down.
        may_stop: bool,
    },
    /// Leader → controller: these replicas of a partition should count as in sync, the leader among them.
    AlterInSync {
        /// The partition.
        store: StoreId,
        /// The leader's epoch.
        epoch: u32,
        /// The replicas.
        in_sync: Vec<NodeId>,
    },
    /// Controller → node: who leads partitions now. Every node is told of every partition.
    PartitionsChanged {
        /// The partitions.
        partitions: Vec<PartitionState>,
        /// The nodes that the controller counts on no more.
        fenced: Vec<NodeId>,
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

impl<P> Message<P> {
    /// Whether it may hold memory of its own. `true` is always right; of those that are sent most it is known better.
    #[inline(always)]
    fn owns_memory(&self) -> bool {
        match self {
            Message::Publish { publication, .. } | Message::Deliver { publication, .. } => {
                std::mem::needs_drop::<P>() || publication.properties.is_some()
            }
            Message::Offer { .. } => std::mem::needs_drop::<P>(),
            Message::Fetch { positions, spare, .. } => positions.capacity() + spare.capacity() > 0,
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
