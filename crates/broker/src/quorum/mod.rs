//! The quorum queue: the state machine that every member of a queue's Raft group applies the same commands to.
//!
//! It has no clock. A command carries its index in the group's log and the time at which its leader appended it;
//! whatever depends on time (expiry, the retry of returned messages, overdue deliveries) happens while a command is
//! applied, and [`QuorumQueue::next_timeout`] says when a [`Command::Tick`] is due. Applying the same commands gives
//! the same state and the same effects, wherever and whenever that is done. The rules are those of RabbitMQ's
//! `rabbit_fifo`, of the versions that [`Version`] names.
//!
//! ```
//! use brokerlab_broker::quorum::*;
//! # use brokerlab_broker::{Envelope, Publication, config::*};
//! # use brokerlab_event::*;
//! # let message = |n| Publication { exchange: ExchangeId::DEFAULT, routing_key: RoutingKey(0), properties: None,
//! #     envelope: Envelope { message: MessageId::new(n), key: KeyId::NONE, size: 1, timestamp: Time::ZERO,
//! #         sender: ClientId::new(0), tombstone: false, payload: () } };
//! let mut queue = QuorumQueue::new(QuorumConfig::default());
//! let mut effects = Vec::new();
//! queue.apply(1, Time::ZERO, Command::Enqueue { publication: message(7), sequence: None }, &mut effects);
//!
//! let consumer = ConsumerKey::subscription(ClientId::new(1), 1, 0);
//! let options = ConsumerOptions { prefetch: 1, ..ConsumerOptions::default() };
//! queue.apply(2, Time::ZERO, Command::Register { consumer, options }, &mut effects);
//! assert!(matches!(&effects[1], Effect::Delivered { delivery, .. } if !delivery.redelivered()));
//!
//! let settlement = Settlement::RejectRequeue;
//! queue.apply(3, Time::ZERO, Command::Settle { consumer, deliveries: vec![0], settlement }, &mut effects);
//! assert!(matches!(&effects[3], Effect::Delivered { delivery, .. } if delivery.delivery_count == 1));
//! ```
//!
//! Left out: consumers whose node is out of reach for a while (they are down or they are not), AMQP 1.0 credit and
//! annotations. The state is its own snapshot. [`Agreed`] is what a whole group shares, by way of [`raft`](crate::raft).

mod command;
mod config;
mod consumers;
mod dead_letters;
mod group;
mod publishing;
mod ready;
mod serving;
mod settling;

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_event::{Offset, Time};

pub use command::{
    Command, ConsumerKey, ConsumerOptions, DeadLetter, Delivery, DeliveryNumber, Effect, Home, Receiver, Return,
    Session, Settlement,
};
pub use config::{
    DEAD_LETTER_PREFETCH, DEFAULT_DELIVERY_LIMIT, DeadLettering, DelayedRetry, Overflow, QuorumConfig, RetryKind,
    UNLIMITED_PREFETCH, Version,
};

pub use group::{Agreed, DurableGroupMember, GroupMember, GroupMessage, Order, Reception};

use crate::message::{Envelope, Publication};
use crate::properties::DeathReason;
use consumers::Consumers;
use dead_letters::{Backlog, letter};
use publishing::Sessions;
use ready::{Message, Ready};

/// A quorum queue.
#[derive(Clone, PartialEq, Debug)]
pub struct QuorumQueue<P> {
    config: QuorumConfig,
    /// Index of the last command.
    applied: u64,
    /// The time of the last command; time never goes back.
    now: Time,
    /// The next place.
    end: Offset,
    sessions: Sessions,
    ready: Ready<P>,
    consumers: Consumers<P>,
    backlog: Backlog<P>,
}

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Whereabouts {
    /// Ready, and not returned since it was put in line.
    Ready,
    /// Ready after it was returned.
    Returned,
    /// Waits for its retry.
    Delayed,
    /// A consumer holds it.
    Held,
    /// It was given up, and the targets of dead letters do not have it yet.
    DeadLetter,
}

impl<P: Clone> QuorumQueue<P> {
    /// An empty queue.
    pub fn new(config: QuorumConfig) -> QuorumQueue<P> {
        QuorumQueue {
            applied: 0,
            now: Time::ZERO,
            end: Offset::ZERO,
            sessions: Sessions::default(),
            ready: Ready::new(config.version),
            consumers: Consumers::new(config.single_active_consumer),
            backlog: Backlog::default(),
            config,
        }
    }

    /// Applies a command: its index in the log, from 1 and growing, and the time that its leader gave it.
    ///
    /// # Panics
    /// Panics where the index does not grow.
    pub fn apply(&mut self, index: u64, time: Time, command: Command<P>, effects: &mut Vec<Effect<P>>) {
        assert!(index > self.applied, "commands are applied in the order of the log");
        self.applied = index;
        self.now = self.now.max(time);
        match command {
            Command::RegisterSession(session) => self.register_session(session, effects),
            Command::Enqueue { publication, sequence } => self.enqueue(publication, sequence, effects),
            Command::Register { consumer, options } => self.register(consumer, options, effects),
            Command::Cancel { consumer } => self.cancel(consumer, effects),
            Command::Down(session) => self.down(session, effects),
            Command::NodeDown { node, starts } => {
                let dead = |session: &Session| session.home.node == node && session.home.start < starts;
                self.sessions().into_iter().filter(dead).for_each(|session| self.down(session, effects));
            }
            Command::ReturnAll => self.return_everything(effects),
            Command::Settle { consumer, deliveries, settlement } => {
                self.settle(consumer, deliveries, settlement, effects);
            }
            Command::Get { consumer, options } => self.answer_get(consumer, options, effects),
            Command::Purge => self.purge(effects),
            Command::SettleDeadLetters { numbers } => {
                self.backlog.settle(&numbers, effects);
                self.serve(effects);
            }
            Command::RestartDeadLettering => {
                self.backlog.restart();
                self.serve(effects);
            }
            Command::Tick => self.tick(effects),
            Command::Delete => self.delete(effects),
        }
    }

    /// When a [`Command::Tick`] is due: not later than the next thing that happens by itself. It may be too early
    /// where deliveries were settled in time, and then that command changes nothing but this.
    pub fn next_timeout(&self) -> Option<Time> {
        self.ready.next_timeout().into_iter().chain(self.consumers.next_deadline()).min()
    }

    fn tick(&mut self, effects: &mut Vec<Effect<P>>) {
        while let Some(position) = self.ready.promote(self.now) {
            effects.push(Effect::Ready { position });
        }
        while let Some(message) = self.ready.pop_expired_anywhere(self.now) {
            self.give_up(DeathReason::Expired, message, effects);
        }
        if self.consumers.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.return_overdue(effects);
        }
        self.serve(effects);
    }

    /// Removes everything that nobody holds, dead letters included.
    fn purge(&mut self, effects: &mut Vec<Effect<P>>) {
        let mut count = self.ready.drain(|message| effects.push(removed(&message)));
        // Dead letters were told of when they were given up.
        count += self.backlog.drain(|message| {
            let (position, message) = (message.position, message.publication.envelope.message);
            effects.push(Effect::DeadLetterSettled { position, message });
        });
        effects.push(Effect::Purged { count });
        self.limit(effects);
    }

    /// Removes everything and everybody. Numbers go on, so that what is still under way finds nothing.
    fn delete(&mut self, effects: &mut Vec<Effect<P>>) {
        let ready = self.ready.len();
        let mut gone = |message| effects.push(removed(&message));
        self.ready.drain(&mut gone);
        for (_, consumer) in self.consumers.iter() {
            consumer.held.values().for_each(|held| effects.push(removed(&held.message)));
        }
        self.backlog.drain(|message| effects.push(removed(&message)));
        self.consumers = Consumers::new(self.config.single_active_consumer);
        self.sessions = Sessions::default();
        effects.push(Effect::Deleted { ready });
    }

    /// The queue does not want this message any more.
    fn give_up(&mut self, reason: DeathReason, message: Message<P>, effects: &mut Vec<Effect<P>>) {
        let position = message.position;
        let Envelope { message: id, size, .. } = message.publication.envelope;
        match self.config.effective_dead_lettering() {
            DeadLettering::Disabled => effects.push(Effect::Dropped { position, message: id, size, reason }),
            DeadLettering::AtMostOnce => effects.push(Effect::DeadLettered(letter(reason, None, message))),
            DeadLettering::AtLeastOnce => {
                effects.push(Effect::Discarded { position, message: id, size, reason });
                self.backlog.push(reason, message);
            }
        }
    }
}

fn removed<P>(message: &Message<P>) -> Effect<P> {
    let Envelope { message: id, size, .. } = message.publication.envelope;
    Effect::Removed { position: message.position, message: id, size }
}

/// What can be seen of the queue.
impl<P> QuorumQueue<P> {
    /// What it was built from.
    pub fn config(&self) -> &QuorumConfig {
        &self.config
    }

    /// How many messages could be delivered now.
    pub fn ready(&self) -> u64 {
        self.ready.len()
    }

    /// The place that the next message will get.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// How many subscriptions there are, those that wait included.
    pub fn consumer_count(&self) -> u32 {
        self.consumers.iter().filter(|(_, consumer)| consumer.wants()).count() as u32
    }

    /// The messages that could be delivered now: returned ones first, then level by level from the highest. This is
    /// the order of delivery but for two levels, which take turns.
    pub fn ready_messages(&self) -> impl Iterator<Item = (Offset, &Publication<P>)> {
        self.ready.iter().map(|message| (message.position, &message.publication))
    }

    /// Everybody who holds messages, as they were started, with the deliveries in order.
    pub fn held(&self) -> impl Iterator<Item = (ConsumerKey, DeliveryNumber, Offset, &Publication<P>)> {
        self.consumers.iter().flat_map(|(_, consumer)| {
            let held = consumer.held.iter();
            held.map(|(number, held)| (consumer.key, *number, held.message.position, &held.message.publication))
        })
    }

    /// Every channel that the queue knows of.
    pub fn sessions(&self) -> BTreeSet<Session> {
        let consumers = self.consumers.iter().map(|(_, consumer)| consumer.key.session);
        consumers.chain(self.sessions.all()).collect()
    }

    /// The single active consumer.
    pub fn active_consumer(&self) -> Option<ConsumerKey> {
        self.consumers.active.map(|number| self.consumers.get(number).key)
    }

    /// With a single active consumer: those that wait, the next first.
    pub fn waiting_consumers(&self) -> Vec<ConsumerKey> {
        let waiting = self.consumers.waiting(self.config.version != Version::V3_13);
        waiting.into_iter().map(|number| self.consumers.get(number).key).collect()
    }

    /// Where every message is that the queue has, by place.
    pub fn census(&self) -> BTreeMap<Offset, (Whereabouts, &Publication<P>)> {
        let returned = self.ready.returned().count();
        let line =
            |(index, message)| (if index < returned { Whereabouts::Returned } else { Whereabouts::Ready }, message);
        let ready = self.ready.iter().enumerate().map(line);
        let delayed = self.ready.delayed().map(|message| (Whereabouts::Delayed, message));
        let held = self.consumers.iter().flat_map(|(_, consumer)| consumer.held.values());
        let held = held.map(|held| (Whereabouts::Held, &held.message));
        let dead = self.backlog.iter().map(|message| (Whereabouts::DeadLetter, message));
        let all = ready.chain(delayed).chain(held).chain(dead);
        all.map(|(place, message)| (message.position, (place, &message.publication))).collect()
    }
}
