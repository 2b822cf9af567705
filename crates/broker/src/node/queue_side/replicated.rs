//! Quorum queues on a node: requests become commands in a log, and what the state machine tells becomes messages and
//! events.
//!
//! The Raft group has one member for now: a command is committed as soon as this node's disk has it, and only then
//! applied. Everything that was applied is therefore durable, and the state machine itself is the snapshot of the
//! log up to there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use brokerlab_event::{Bytes, ClientId, Event, MessageId, Observer, Offset, Refusal, Removal, Time};

use super::QueueSide;
use super::confirming::Waiting;
use super::delivering::Settlement;
use super::hosted::removal;
use super::lifetimes::Timer;
use super::publishing::DEAD_LETTERS;
use crate::channel::Unsettled;
use crate::config::{Overflow, Profile, QueueConfig, QueueKind};
use crate::dead_letter::DeadLetter;
use crate::log::{Crash, DurableLog, Entry, Log};
use crate::message::{Address, Effect, Message, Publication, ReplyCode};
use crate::node::Context;
use crate::quorum::{
    self, Command, ConsumerKey, ConsumerOptions, DeadLettering, Delivery, DeliveryNumber, QuorumConfig, QuorumQueue,
    Receiver, Session,
};

/// A command with the time that its leader gave it.
#[derive(Clone, PartialEq, Debug)]
struct LogEntry<P> {
    time: Time,
    command: Command<P>,
}

impl<P> Entry for LogEntry<P> {
    fn bytes(&self) -> u64 {
        match &self.command {
            Command::Enqueue { publication, .. } => publication.bytes(),
            _ => 0,
        }
    }
    fn timestamp(&self) -> Time {
        self.time
    }
}

/// A member of a quorum queue's group.
#[derive(Clone, Debug)]
pub(super) struct Replica<P> {
    pub machine: QuorumQueue<P>,
    log: Log<LogEntry<P>>,
    flushing: bool,
    /// Publishes in the log that were not applied yet: whose, and whom to tell.
    pub enqueued: VecDeque<(ClientId, Waiting)>,
    /// Who holds the message at a place, and by which number.
    held: BTreeMap<Offset, (ConsumerKey, DeliveryNumber)>,
    /// Channels that have published here, where the queue may tell them to stop.
    publishers: BTreeSet<Session>,
    /// Those that it has told.
    stopped: BTreeSet<Session>,
    /// Channels of the time before the node went down, which nobody has declared dead yet.
    stale: BTreeSet<Session>,
    /// The node was down and has not said so to the state machine yet.
    recovered: bool,
    gets: u64,
}

/// What is left of a replica when its node has gone down.
#[derive(Clone, Debug)]
pub struct DurableReplica<P> {
    snapshot: QuorumQueue<P>,
    log: DurableLog<LogEntry<P>>,
}

impl<P: Clone> Replica<P> {
    /// The replica that a configuration asks for; nothing for a classic queue.
    pub fn of(config: &QueueConfig, profile: &Profile) -> Option<Box<Replica<P>>> {
        let QueueKind::Quorum(options) = config.kind else { return None };
        let dead_lettering = match config.dead_letter {
            None => DeadLettering::Disabled,
            Some(_) if options.at_least_once => DeadLettering::AtLeastOnce,
            Some(_) => DeadLettering::AtMostOnce,
        };
        let machine = QuorumQueue::new(QuorumConfig {
            version: profile.quorum,
            delivery_limit: options.delivery_limit,
            message_ttl: config.message_ttl,
            max_length: config.max_length,
            max_bytes: config.max_bytes,
            overflow: match config.overflow {
                Overflow::DropHead => quorum::Overflow::DropHead,
                Overflow::RejectPublish | Overflow::RejectPublishDlx => quorum::Overflow::RejectPublish,
            },
            dead_lettering,
            single_active_consumer: config.single_active_consumer,
            delayed_retry: options.delayed_retry,
        });
        Some(Box::new(Replica::with(machine, Log::default())))
    }

    fn with(machine: QuorumQueue<P>, log: Log<LogEntry<P>>) -> Replica<P> {
        Replica {
            stale: machine.sessions(),
            recovered: false,
            machine,
            log,
            flushing: false,
            enqueued: VecDeque::new(),
            held: BTreeMap::new(),
            publishers: BTreeSet::new(),
            stopped: BTreeSet::new(),
            gets: 0,
        }
    }

    /// What survives when the node goes down now.
    pub fn crash(self, kind: Crash) -> DurableReplica<P> {
        let snapshot = match kind {
            Crash::Process | Crash::Power => self.machine,
            Crash::Disk => QuorumQueue::new(self.machine.config().clone()),
        };
        DurableReplica { snapshot, log: self.log.crash(kind) }
    }

    /// The replica of a node that comes back. Its first command declares all channels dead.
    pub fn recover(durable: DurableReplica<P>) -> Replica<P> {
        let replica = Replica::with(durable.snapshot, Log::recover(durable.log));
        Replica { recovered: true, ..replica }
    }

    /// Appends a command, which is applied once the disk has it.
    fn submit<O>(&mut self, queue: &QueueConfig, command: Command<P>, context: &mut Context<'_, P, O>) {
        self.log.append(LogEntry { time: context.now, command }, context.now);
        self.flush(queue, context);
    }

    fn flush<O>(&mut self, queue: &QueueConfig, context: &mut Context<'_, P, O>) {
        if !self.flushing && !self.log.is_flushed() {
            self.flushing = true;
            let until = self.log.end();
            context.out.push(Effect::Flush { node: context.node, store: queue.store, until });
        }
    }
}

impl<P: Clone> QueueSide<P> {
    /// True where this queue is a quorum queue.
    #[inline]
    pub(super) fn is_replicated(&self, index: usize) -> bool {
        self.queues[index].replica.is_some()
    }

    /// Appends a command to the log of a quorum queue.
    fn submit<O: Observer>(&mut self, index: usize, command: Command<P>, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        let replica = hosted.replica.as_mut().expect("only quorum queues have commands");
        replica.submit(&hosted.config, command, context);
    }

    /// Adds a message, unless its channel was told to stop. False where the message is refused.
    #[inline(never)]
    pub(super) fn submit_publish<O: Observer>(
        &mut self,
        index: usize,
        session: Session,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) -> bool {
        let hosted = &mut self.queues[index];
        let replica = hosted.replica.as_mut().expect("only quorum queues have commands");
        // Dead letters that nobody keeps are not held up: they would be lost.
        let is_letter = session == DEAD_LETTERS && waiting.is_nobody();
        if !is_letter && replica.stopped.contains(&session) {
            let (message, store) = (publication.envelope.message, hosted.config.store);
            context.observe(Event::Declined { message, store, reason: Refusal::Full });
            self.answer(waiting, Err(Refusal::Full), context);
            return false;
        }
        if !is_letter && hosted.config.overflow != Overflow::DropHead && replica.publishers.insert(session) {
            replica.submit(&hosted.config, Command::RegisterSession(session), context);
        }
        replica.enqueued.push_back((session.client, waiting));
        let command = Command::Enqueue { publication: publication.clone(), sequence: None };
        replica.submit(&hosted.config, command, context);
        self.charge(session.client);
        true
    }

    /// Starts a consumer.
    pub(super) fn submit_consumer<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        options: ConsumerOptions,
        context: &mut Context<'_, P, O>,
    ) {
        let QueueKind::Quorum(quorum) = self.queues[index].config.kind else { return };
        let watches = self.profile.channel_timeout.is_none();
        let timeout = quorum.consumer_timeout.filter(|_| watches);
        let options = ConsumerOptions { timeout, ..options };
        self.submit(index, Command::Register { consumer, options }, context);
    }

    pub(super) fn submit_cancel<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        context: &mut Context<'_, P, O>,
    ) {
        self.submit(index, Command::Cancel { consumer }, context);
    }

    pub(super) fn submit_purge<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        self.submit(index, Command::Purge, context);
    }

    pub(super) fn submit_get<O: Observer>(
        &mut self,
        index: usize,
        session: Session,
        auto_ack: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues have commands");
        replica.gets += 1;
        let consumer = ConsumerKey { session, receiver: Receiver::Get(replica.gets) };
        let options = ConsumerOptions { auto_ack, ..ConsumerOptions::default() };
        self.submit(index, Command::Get { consumer, options }, context);
    }

    /// A channel has ended: tells the queue if it has to do with it.
    pub(super) fn submit_down<O: Observer>(&mut self, index: usize, session: Session, context: &mut Context<'_, P, O>) {
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues have commands");
        replica.publishers.remove(&session);
        replica.stopped.remove(&session);
        self.submit(index, Command::Down(session), context);
    }

    /// The quorum queues that a channel has published to.
    pub(super) fn published_to(&self, session: Session) -> impl Iterator<Item = usize> {
        let replicas =
            self.queues.iter().enumerate().filter_map(|(index, hosted)| Some((index, hosted.replica.as_ref()?)));
        replicas.filter(move |(_, replica)| replica.publishers.contains(&session)).map(|(index, _)| index)
    }

    /// Settles deliveries of one quorum queue, in this order: a command for each consumer that they went to.
    #[inline(never)]
    pub(super) fn submit_settlement<O: Observer>(
        &mut self,
        index: usize,
        places: &[Offset],
        how: Settlement,
        context: &mut Context<'_, P, O>,
    ) {
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues have commands");
        let mut by_consumer: Vec<(ConsumerKey, Vec<DeliveryNumber>)> = Vec::new();
        for (key, number) in places.iter().filter_map(|place| replica.held.remove(place)) {
            match by_consumer.iter_mut().find(|(known, _)| *known == key) {
                Some((_, numbers)) => numbers.push(number),
                None => by_consumer.push((key, vec![number])),
            }
        }
        let settlement = match how {
            Settlement::Ack => quorum::Settlement::Ack,
            Settlement::Requeue => quorum::Settlement::NackRequeue,
            Settlement::Return => quorum::Settlement::RejectRequeue,
            Settlement::Reject => quorum::Settlement::Discard,
        };
        for (consumer, deliveries) in by_consumer {
            self.submit(index, Command::Settle { consumer, deliveries, settlement }, context);
        }
    }

    /// A dead letter that is kept has reached all its targets.
    pub(super) fn dead_letter_taken<O: Observer>(
        &mut self,
        index: usize,
        number: u64,
        context: &mut Context<'_, P, O>,
    ) {
        if self.queues[index].exists {
            self.submit(index, Command::SettleDeadLetters { numbers: vec![number] }, context);
        }
    }

    /// Dead letters that found nobody, or were refused, are tried again.
    pub(super) fn retry_dead_letters<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        if self.queues[index].exists {
            self.submit(index, Command::RestartDeadLettering, context);
        }
    }

    /// Something is due in the state machine.
    pub(super) fn tick<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues have commands");
        let recovered = std::mem::take(&mut replica.recovered);
        for session in std::mem::take(&mut replica.stale) {
            self.submit(index, Command::Down(session), context);
        }
        if recovered {
            // What became of dead letters that were under way nobody knows.
            self.submit(index, Command::RestartDeadLettering, context);
        }
        self.submit(index, Command::Tick, context);
    }

    /// The disk has the log of a quorum queue up to this place: that much is committed.
    pub(super) fn committed<O: Observer>(&mut self, index: usize, until: Offset, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        let replica = hosted.replica.as_mut().expect("only quorum queues have commands");
        replica.log.mark_flushed(until);
        replica.flushing = false;
        replica.flush(&hosted.config, context);
        let flushed = replica.log.flushed();
        let entries: Vec<_> =
            replica.log.entries_from(replica.log.start()).map(|(at, entry)| (at, entry.clone())).collect();
        let mut told = Vec::new();
        for (at, LogEntry { time, command }) in entries.into_iter().take_while(|(at, _)| *at < flushed) {
            replica.machine.apply(at.get() + 1, time, command, &mut told);
        }
        replica.log.trim(flushed);
        let next = replica.machine.next_timeout();
        self.timers.set_or_clear(Timer::Head.number(index), next);
        for effect in told {
            self.tell(index, effect, context);
        }
        self.bury(context);
    }

    /// Turns what the state machine tells into messages and events.
    fn tell<O: Observer>(&mut self, index: usize, effect: quorum::Effect<P>, context: &mut Context<'_, P, O>) {
        use quorum::Effect as Told;
        match effect {
            Told::Enqueued { position, message, size, .. } => {
                self.memory.held += u64::from(size);
                let (store, size) = (self.queues[index].config.store, Bytes::new(size));
                context.observe(Event::Stored { message, store, offset: position, size });
                self.enqueue_answered(index, context);
            }
            Told::Repeated { .. } | Told::OutOfSequence { .. } => self.enqueue_answered(index, context),
            Told::Delivered { consumer, delivery } => self.pass_on(index, consumer, delivery, context),
            Told::GetAnswered { consumer, delivery, ready } => {
                self.answer_get(index, consumer, delivery, ready, context)
            }
            Told::GetRefused { consumer: ConsumerKey { session: Session { client, channel }, .. } } => {
                self.fail_channel(client, channel, ReplyCode::ResourceLocked, context);
            }
            Told::Acked { position, message, size, .. } => {
                self.removed(index, (message, size), position, Removal::Acked, context);
            }
            Told::Returned { position, message, .. } => {
                let store = self.queues[index].config.store;
                let replica = self.queues[index].replica.as_mut().expect("only quorum queues tell this");
                replica.held.remove(&position);
                context.observe(Event::Requeued { message, store, offset: position });
            }
            Told::Dropped { position, message, size, reason } | Told::Discarded { position, message, size, reason } => {
                self.removed(index, (message, size), position, removal(reason), context);
            }
            Told::DeadLettered(letter) => self.given_up(index, letter, context),
            Told::Removed { position, message, size } => {
                self.removed(index, (message, size), position, Removal::Purged, context);
            }
            Told::PublishingStopped(session) => {
                self.queues[index].replica.as_mut().expect("only quorum queues tell this").stopped.insert(session);
            }
            Told::PublishingResumed(session) => {
                self.queues[index].replica.as_mut().expect("only quorum queues tell this").stopped.remove(&session);
            }
            Told::ConsumerTimedOut { consumer, .. } => self.timed_out(index, consumer, context),
            Told::Ready { .. }
            | Told::DeadLetterSettled { .. }
            | Told::Purged { .. }
            | Told::Deleted { .. }
            | Told::ConsumerActivated(_)
            | Told::ConsumerDeactivated(_) => {}
        }
    }

    fn removed<O: Observer>(
        &mut self,
        index: usize,
        (message, size): (MessageId, u32),
        offset: Offset,
        cause: Removal,
        context: &mut Context<'_, P, O>,
    ) {
        let hosted = &mut self.queues[index];
        hosted.replica.as_mut().expect("only quorum queues tell this").held.remove(&offset);
        self.memory.held -= u64::from(size);
        let (store, size) = (hosted.config.store, Bytes::new(size));
        context.observe(Event::Removed { message, store, offset, size, cause });
    }

    fn given_up<O: Observer>(&mut self, index: usize, letter: quorum::DeadLetter<P>, context: &mut Context<'_, P, O>) {
        let quorum::DeadLetter { number, position, reason, publication, .. } = letter;
        if number.is_none() {
            let envelope = &publication.envelope;
            self.removed(index, (envelope.message, envelope.size), position, removal(reason), context);
        }
        let queue = self.queues[index].config.store;
        self.dead.push_back(DeadLetter { publication, queue, reason, number });
    }

    fn enqueue_answered<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues tell this");
        // After a recovery nobody waits for what is applied from the log.
        if let Some((client, waiting)) = replica.enqueued.pop_front() {
            self.written(client, waiting, context);
        }
    }

    fn pass_on<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: Delivery<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let ConsumerKey { session: Session { client, channel }, receiver } = consumer;
        let Receiver::Subscription(tag) = receiver else { return };
        let Some(delivery_tag) = self.number_delivery(index, consumer, &delivery, context) else { return };
        let Delivery { position, publication, delivery_count, acquired_count, .. } = delivery;
        let store = self.queues[index].config.store;
        let message = Message::Deliver {
            channel,
            consumer: tag,
            tag: delivery_tag,
            redelivered: acquired_count > 0,
            delivery_count,
            store,
            offset: position,
            publication,
        };
        context.send(Address::Client(client), message);
    }

    fn answer_get<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: Option<Delivery<P>>,
        ready: u64,
        context: &mut Context<'_, P, O>,
    ) {
        let Session { client, channel } = consumer.session;
        let found = delivery.and_then(|delivery| {
            let tag = self.number_delivery(index, consumer, &delivery, context)?;
            Some((tag, delivery.redelivered(), delivery.position, delivery.publication))
        });
        let store = self.queues[index].config.store;
        context.send(Address::Client(client), Message::GetAnswer { channel, store, found, ready });
    }

    /// Gives a delivery its tag on the channel. Nothing where the channel has ended: the queue will be told so, and
    /// return it.
    fn number_delivery<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: &Delivery<P>,
        context: &mut Context<'_, P, O>,
    ) -> Option<u64> {
        let (store, offset) = (self.queues[index].config.store, delivery.position);
        if delivery.settled {
            let envelope = &delivery.publication.envelope;
            self.removed(index, (envelope.message, envelope.size), offset, Removal::AutoAcked, context);
        } else {
            let replica = self.queues[index].replica.as_mut().expect("only quorum queues tell this");
            replica.held.insert(offset, (consumer, delivery.number));
        }
        let Session { client, channel } = consumer.session;
        let channels = &mut self.connections.get_mut(client.index())?.channels;
        let channel = channels.iter_mut().find(|known| known.number == channel)?;
        Some(match delivery.settled {
            true => channel.deliver_settled(),
            false => {
                let tag = channel.deliver(Unsettled { store, offset, consumer: None });
                if self.profile.channel_timeout.is_some() {
                    channel.stamp(context.now);
                }
                tag
            }
        })
    }

    /// A consumer did not settle in time: its deliveries are back in the queue, and it is cancelled.
    fn timed_out<O: Observer>(&mut self, index: usize, consumer: ConsumerKey, context: &mut Context<'_, P, O>) {
        let ConsumerKey { session: Session { client, channel }, receiver } = consumer;
        let Receiver::Subscription(tag) = receiver else { return };
        let queue = &self.queues[index];
        let held = &queue.replica.as_ref().expect("only quorum queues tell this").held;
        let store = queue.config.store;
        let channels = self.connections.get_mut(client.index()).map(|connection| &mut connection.channels);
        let state = channels.into_iter().flatten().find(|known| known.number == channel);
        if let Some(state) = state {
            state.consumers.retain(|(other, ..)| *other != tag);
            state.disown(|delivery| delivery.store == store && !held.contains_key(&delivery.offset));
        }
        self.submit_cancel(index, consumer, context);
        context.send(Address::Client(client), Message::ConsumerCancelled { channel, tag });
    }
}
