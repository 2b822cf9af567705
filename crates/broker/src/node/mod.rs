//! A broker node: hosts queues and partitions, and talks to clients, other nodes and its disk. It only composes
//! the pure components; what a request does is decided in them.

mod log_side;
mod membership;
mod queue_side;

use brokerlab_event::{ApplicationId, Event, NodeId, Observer, Offset, RunHeader, StoreId, Time};

use crate::config::{Deployment, SeekTo};
use crate::controller::FIRST_INCARNATION;
use crate::log::Crash;
use crate::message::{Address, Message, Outbox};
use crate::partition::PartitionLog;
use crate::quorum::Home;
use crate::raft::LogEnd;

use self::membership::Membership;

pub use log_side::{DurableLogs, LogSide};
pub use queue_side::{DurableQueues, QueueSide};

/// What a handler needs of its surroundings.
pub struct Context<'a, P, O> {
    /// The present.
    pub now: Time,
    /// The node.
    pub node: NodeId,
    /// What it wants done.
    pub out: &'a mut Outbox<P>,
    /// Who sees what happens.
    pub observer: &'a mut O,
}

impl<P, O: Observer> Context<'_, P, O> {
    /// Answers or pushes to a client.
    #[inline]
    pub fn send(&mut self, to: Address, message: Message<P>) {
        self.out.send(Address::Node(self.node), to, message);
    }

    /// Tells what happened.
    #[inline(always)]
    pub fn observe(&mut self, event: Event) {
        self.observer.observe(self.now, event);
    }
}

/// A broker node.
#[derive(Clone, Debug)]
pub struct Node<P> {
    id: NodeId,
    queue_side: QueueSide<P>,
    log_side: LogSide<P>,
    membership: Membership,
    /// When the log side has something to do next. It costs more to find out than for queues, so it is looked up after
    /// log requests only.
    log_due: Option<Time>,
}

/// What is left of a node that has gone down. Only [`Node::recover`] makes a node of it again.
#[derive(Clone, Debug)]
pub struct Durable<P> {
    id: NodeId,
    incarnation: u32,
    queues: DurableQueues<P>,
    logs: DurableLogs<P>,
}

impl<P: Clone + Default> Node<P> {
    /// A node that hosts its part of the deployment.
    pub fn new(id: NodeId, deployment: &Deployment) -> Node<P> {
        let membership = Membership::new(FIRST_INCARNATION, deployment);
        Node::of(id, QueueSide::new(id, deployment), LogSide::new(id, deployment), membership)
    }

    fn of(id: NodeId, queue_side: QueueSide<P>, log_side: LogSide<P>, membership: Membership) -> Node<P> {
        let mut node = Node { id, queue_side, log_side, membership, log_due: None };
        node.note_log_due();
        node
    }

    /// The log side, and what is as rare.
    fn note_log_due(&mut self) {
        self.log_due = [self.log_side.next_timeout(), self.membership.next_timeout()].into_iter().flatten().min();
    }

    /// Handles one message.
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        from: Address,
        mut message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.handle(now, from, &mut message, out, observer);
    }

    /// Handles one message where it is. What is left of it means nothing.
    #[inline(always)]
    pub fn handle<O: Observer>(
        &mut self,
        now: Time,
        from: Address,
        message: &mut Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let mut context = Context { now, node: self.id, out, observer };
        match message {
            // What queues are asked most. The rest must not cost these anything.
            Message::Publish { .. } | Message::Ack { .. } => self.queue_side.handle(from, message, &mut context),
            _ => self.handle_other(from, message, &mut context),
        }
    }

    #[inline(never)]
    fn handle_other<O: Observer>(&mut self, from: Address, message: &mut Message<P>, context: &mut Context<'_, P, O>) {
        match message {
            Message::Produce { .. }
            | Message::Fetch { .. }
            | Message::JoinGroup { .. }
            | Message::SyncGroup { .. }
            | Message::Heartbeat { .. }
            | Message::GroupHeartbeat { .. }
            | Message::LeaveGroup { .. }
            | Message::CommitOffsets { .. }
            | Message::FindPositions { .. }
            | Message::FindPartitions { .. }
            | Message::FindEpochEnds { .. }
            | Message::InitProducerId { .. }
            | Message::AddPartitionsToTransaction { .. }
            | Message::AddOffsetsToTransaction { .. }
            | Message::CommitOffsetsInTransaction { .. }
            | Message::EndTransaction { .. }
            | Message::ShareHeartbeat { .. }
            | Message::LeaveShareGroup { .. }
            | Message::ShareFetch { .. }
            | Message::ShareAcknowledge { .. }
            | Message::PublishChunk { .. }
            | Message::SubscribeStream { .. }
            | Message::CreditStream { .. }
            | Message::StoreStreamOffset { .. }
            | Message::SteppedDown { .. }
            | Message::ReplicaFetch { .. }
            | Message::ReplicaFetched { .. } => {
                self.log_side.handle(from, message, context);
                self.note_log_due();
            }
            &mut Message::Written { store, until } => {
                self.log_side.written(store, until, context);
                self.note_log_due();
            }
            &mut Message::Flushed { store, until } => self.flushed(store, until, context),
            // What is meant for the former process of this node says nothing about this one.
            Message::PartitionsChanged { .. } if !self.membership.is_registered() => {}
            Message::PartitionsChanged { .. } => {
                self.log_side.handle(from, message, context);
                self.note_log_due();
            }
            &mut Message::BrokerHeartbeatAnswer { incarnation, is_registered, may_stop } => {
                self.membership.answered(incarnation, is_registered, may_stop, context.now);
                self.note_log_due();
            }
            Message::Disconnect | Message::ConnectionLost => {
                self.log_side.handle(from, &mut message.clone(), context);
                self.note_log_due();
                self.handle_queues(from, message, context);
            }
            _ => self.handle_queues(from, message, context),
        }
    }

    fn handle_queues<O: Observer>(&mut self, from: Address, message: &mut Message<P>, context: &mut Context<'_, P, O>) {
        match from {
            Address::Node(node) => self.queue_side.handle_node(node, message.take(), context),
            _ => self.queue_side.handle(from, message, context),
        }
    }

    /// The disk reports that everything in a partition below this place is in the page cache.
    #[inline]
    pub fn handle_written<O: Observer>(
        &mut self,
        now: Time,
        store: StoreId,
        until: Offset,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.log_side.written(store, until, &mut Context { now, node: self.id, out, observer });
        self.note_log_due();
    }

    /// The disk reports that everything in a queue or partition below this place is on stable storage.
    #[inline(always)]
    pub fn handle_flushed<O: Observer>(
        &mut self,
        now: Time,
        store: StoreId,
        until: Offset,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.flushed(store, until, &mut Context { now, node: self.id, out, observer });
    }

    #[inline(always)]
    fn flushed<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        if self.log_side.hosts(store) {
            self.log_side.flushed(store, until, context);
            self.note_log_due();
        } else {
            self.queue_side.flushed(store, until, context);
        }
    }

    /// Does what is due.
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let mut context = Context { now, node: self.id, out, observer };
        self.queue_side.handle_timeout(&mut context);
        self.log_side.handle_timeout(&mut context);
        self.membership.handle_timeout(&mut context);
        self.note_log_due();
    }

    /// When something is due next.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        match (self.queue_side.next_timeout(), self.log_due) {
            (Some(queues), Some(logs)) => Some(queues.min(logs)),
            (queues, logs) => queues.or(logs),
        }
    }

    /// How many messages are ready in a queue: 0 where it is not here.
    pub fn ready(&self, queue: StoreId) -> u64 {
        self.queue_side.ready(queue)
    }

    /// Somebody wants this node of a cluster to go down in good order (controlled shutdown): others are to lead first what
    /// it leads. Once that is so it [may stop](Node::may_stop).
    pub fn prepare_to_stop<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.membership.prepare_to_stop(&mut Context { now, node: self.id, out, observer });
        self.note_log_due();
    }

    /// The controller has let it go.
    pub fn may_stop(&self) -> bool {
        self.membership.may_stop()
    }

    /// Which node this is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The copy of a partition that this node has, if it has one.
    pub fn partition(&self, store: StoreId) -> Option<&PartitionLog<P>> {
        self.log_side.partition(store)
    }

    /// How many records a group that this node coordinates has still to read: from its committed offsets (or where it
    /// would begin) to the ends of the logs, which may be on other nodes.
    pub fn lag<'a>(&'a self, group: ApplicationId, log: impl Fn(StoreId) -> Option<&'a PartitionLog<P>>) -> u64 {
        self.log_side.lag(group, log)
    }

    /// Somebody sends the members of a group elsewhere, as `kafka-consumer-groups --reset-offsets` does: what is
    /// committed becomes this place in every partition that the group reads, and whoever reads it is told so when it
    /// asks. Members that read already ask once they are [told to](crate::client::GroupMember::ask_where).
    pub fn seek(&mut self, now: Time, group: ApplicationId, to: SeekTo) {
        self.log_side.seek(now, group, to);
        self.note_log_due();
    }

    /// Somebody adds partitions to the topic that `beside` is one of, as `kafka-topics --alter --partitions` does. They
    /// follow the topic's rules, and their numbers follow those of the others. Producers write to them, and members
    /// of groups read them, once they have heard of them.
    pub fn add_partitions<O: Observer>(
        &mut self,
        now: Time,
        beside: StoreId,
        stores: &[StoreId],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.log_side.grow_topic(beside, stores, &mut Context { now, node: self.id, out, observer });
        self.note_log_due();
    }

    /// The copies of partitions that this node has.
    pub fn partitions(&self) -> impl Iterator<Item = (StoreId, &PartitionLog<P>)> {
        self.log_side.partitions()
    }

    /// True where this node serves the clients of a queue, as far as it knows.
    pub fn leads(&self, queue: StoreId) -> bool {
        self.queue_side.leads(queue)
    }

    /// How far the log of the member goes that this node has of a quorum queue's group. Nothing where it has none, or
    /// one that has lost its disk.
    pub fn quorum_log_end(&self, queue: StoreId) -> Option<LogEnd> {
        self.queue_side.quorum_log_end(queue)
    }

    /// At the end of a run: tells which messages there still are for somebody of whom this node knows. `logs` are those
    /// of all partitions, wherever they are led, and `speaks_for` the quorum queues with members on several nodes that this
    /// one is to tell of, each with how much of its log is known.
    pub fn census<O: Observer>(
        &self,
        now: Time,
        header: &RunHeader,
        logs: &[(StoreId, &PartitionLog<P>)],
        speaks_for: &[(StoreId, Offset)],
        observer: &mut O,
    ) {
        let mut out = Outbox::default();
        let mut context = Context { now, node: self.id, out: &mut out, observer };
        self.queue_side.census(header, speaks_for, &mut context);
        self.log_side.census(logs, &mut context);
    }

    /// The node goes down; only what its disk keeps is left. Tells what queues and partitions lose, and what of theirs
    /// will be ready again.
    pub fn crash<O: Observer>(self, now: Time, kind: Crash, observer: &mut O) -> Durable<P> {
        observer.observe(now, Event::NodeDown { node: self.id });
        self.fall(now, kind, observer)
    }

    fn fall<O: Observer>(self, now: Time, kind: Crash, observer: &mut O) -> Durable<P> {
        let mut context = Context { now, node: self.id, out: &mut Outbox::default(), observer };
        let queues = self.queue_side.crash(kind, &mut context);
        let incarnation = self.membership.incarnation;
        Durable { id: self.id, incarnation, queues, logs: self.log_side.crash(kind, &mut context) }
    }

    /// The node comes back now with what its disk kept.
    pub fn recover(now: Time, durable: Durable<P>, deployment: &Deployment) -> Node<P> {
        let Durable { id, incarnation, queues, logs } = durable;
        let membership = Membership::recover(now, incarnation, deployment);
        let home = Home { node: id, start: membership.incarnation };
        let queue_side = QueueSide::recover(home, deployment, now, queues);
        let log_side = LogSide::recover(id, deployment, now, logs);
        Node::of(id, queue_side, log_side, membership)
    }
}

impl<P: Clone + Default> Durable<P> {
    /// The machine of a node that is down meets with something more. Tells what is lost besides.
    pub fn crash<O: Observer>(self, now: Time, kind: Crash, deployment: &Deployment, observer: &mut O) -> Durable<P> {
        Node::recover(now, self, deployment).fall(now, kind, observer)
    }
}
