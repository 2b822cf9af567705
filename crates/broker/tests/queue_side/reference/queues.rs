//! One queue: a list of messages and a list of consumers, both searched from end to end.

use std::cmp::Reverse;

use brokerlab_broker::Publication;
use brokerlab_broker::config::{Overflow, QueueConfig};
use brokerlab_broker::message::{Channel, ConsumerTag};
use brokerlab_event::ClientId;

/// A copy of a message.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its place in the order of arrival.
    pub place: u64,
    pub publication: Publication<()>,
    /// In nanoseconds.
    pub deadline: Option<u64>,
    pub redelivered: bool,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    /// Which of all consumers that the queue ever had.
    pub number: usize,
    pub client: ClientId,
    pub channel: Channel,
    pub tag: ConsumerTag,
    pub auto_ack: bool,
    pub exclusive: bool,
    pub prefetch: u32,
    pub priority: i32,
    pub unsettled: u32,
    /// When it joined the end of the ring; nothing while it is not in it.
    pub turn: Option<u64>,
}

impl Consumer {
    pub fn has_credit(&self) -> bool {
        self.auto_ack || self.prefetch == 0 || self.unsettled < self.prefetch
    }
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub config: QueueConfig,
    /// What is ready, in no order.
    pub ready: Vec<Copy>,
    pub arrived: u64,
    pub consumers: Vec<Consumer>,
    pub registered: usize,
    /// The single active consumer.
    pub active: Option<usize>,
    turns: u64,
}

impl Queue {
    pub fn new(config: QueueConfig) -> Queue {
        Queue { config, ready: vec![], arrived: 0, consumers: vec![], registered: 0, active: None, turns: 0 }
    }

    fn level(&self, copy: &Copy) -> u8 {
        let own = copy.publication.properties.as_ref().and_then(|properties| properties.priority);
        own.unwrap_or(0).min(self.config.max_priority.unwrap_or(0))
    }

    /// The message that is next: the earliest of the highest level.
    pub fn head(&self) -> Option<&Copy> {
        self.ready.iter().max_by_key(|copy| (self.level(copy), Reverse(copy.place)))
    }

    pub fn take_head(&mut self) -> Option<Copy> {
        let place = self.head()?.place;
        let index = self.ready.iter().position(|copy| copy.place == place)?;
        Some(self.ready.remove(index))
    }

    fn bytes(&self) -> u64 {
        self.ready.iter().map(|copy| u64::from(copy.publication.envelope.size)).sum()
    }

    fn is_over(&self, more: u64, more_bytes: u64) -> bool {
        let length = self.ready.len() as u64 + more;
        let bytes = self.bytes() + more_bytes;
        self.config.max_length.is_some_and(|max| length > max) || self.config.max_bytes.is_some_and(|max| bytes > max)
    }

    /// Whether it refuses a message of this size.
    pub fn refuses(&self, size: u32) -> bool {
        self.config.overflow != Overflow::DropHead && self.is_over(1, u64::from(size))
    }

    /// Whether it has to give up its head because it is too long.
    pub fn is_too_long(&self) -> bool {
        self.config.overflow == Overflow::DropHead && self.is_over(0, 0)
    }

    /// Whether its head has expired.
    pub fn has_expired(&self, now: u64) -> bool {
        self.head().is_some_and(|head| head.deadline.is_some_and(|deadline| deadline <= now))
    }

    pub fn consumer(&mut self, number: usize) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.number == number)
    }

    pub fn add(&mut self, consumer: Consumer) {
        let number = consumer.number;
        self.registered += 1;
        self.consumers.push(consumer);
        if self.config.single_active_consumer && self.active.is_none() {
            self.active = Some(number);
        }
        self.join(number);
    }

    /// Puts a consumer that can take a message at the end of the ring, unless it is in it.
    pub fn join(&mut self, number: usize) {
        self.turns += 1;
        let turn = self.turns;
        if let Some(consumer) = self.consumer(number)
            && consumer.turn.is_none()
            && consumer.has_credit()
        {
            consumer.turn = Some(turn);
        }
    }

    /// Takes a consumer away. A single active one is followed by the first of the highest priority.
    pub fn remove(&mut self, client: ClientId, channel: Channel, tag: Option<ConsumerTag>) {
        let leaves = |consumer: &Consumer| {
            (consumer.client, consumer.channel) == (client, channel) && tag.is_none_or(|tag| tag == consumer.tag)
        };
        self.consumers.retain(|consumer| !leaves(consumer));
        if let Some(active) = self.active
            && self.consumer(active).is_none()
        {
            let first = self.consumers.iter().max_by_key(|consumer| (consumer.priority, Reverse(consumer.number)));
            self.active = first.map(|consumer| consumer.number);
        }
    }

    /// The consumer whose turn it is.
    pub fn turn(&self) -> Option<&Consumer> {
        let in_ring = self.consumers.iter().filter(|consumer| consumer.turn.is_some());
        let may = in_ring.filter(|consumer| self.active.is_none_or(|active| active == consumer.number));
        may.min_by_key(|consumer| (Reverse(consumer.priority), consumer.turn))
    }
}
