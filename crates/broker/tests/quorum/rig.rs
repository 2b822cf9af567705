//! A queue that is told commands and answers with short words: one for each effect.
//!
//! Messages are called by their place, consumers by their number: `0>c1.3` is message 0 on its way to consumer 1 as
//! that consumer's delivery 3. Counts stand behind it where they are not zero (`d1` deliveries that failed, `a2` in
//! all), and `!` where it is settled.

use std::sync::Arc;

use brokerlab_broker::config::{ExchangeId, RoutingKey};
use brokerlab_broker::properties::Properties;
use brokerlab_broker::quorum::*;
use brokerlab_broker::{Envelope, Publication};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, NodeId, Time};

pub struct Rig {
    pub queue: QuorumQueue<u64>,
    pub now: Time,
    pub index: u64,
    published: u64,
}

/// The subscription of a consumer, which has a channel of its own.
pub fn consumer(number: u32) -> ConsumerKey {
    at_home(ConsumerKey::subscription(ClientId::new(number), 1, 0))
}

/// Every other client is connected with the second node.
pub fn at_home(mut key: ConsumerKey) -> ConsumerKey {
    key.session.home.node = NodeId::new(key.session.client.get() as u16 % 2);
    key
}

/// A channel that publishes.
pub fn session(number: u32) -> Session {
    Session::new(ClientId::new(number), 9)
}

/// A message as it is published: what it is called, its size, and what its publisher says of it.
pub fn publication(message: u64, size: u32, priority: Option<u8>, ttl: Option<u64>) -> Publication<u64> {
    let envelope = Envelope {
        message: MessageId::new(message),
        key: KeyId::NONE,
        size,
        timestamp: Time::ZERO,
        sender: ClientId::new(0),
        tombstone: false,
        payload: message,
    };
    let expiration = ttl.map(|ttl| ttl.to_string().into());
    let properties = Arc::new(Properties { priority, expiration, ..Properties::default() });
    Publication { envelope, exchange: ExchangeId::DEFAULT, routing_key: RoutingKey(0), properties: Some(properties) }
}

impl Rig {
    pub fn new(config: QuorumConfig) -> Rig {
        Rig { queue: QuorumQueue::new(config), now: Time::ZERO, index: 0, published: 0 }
    }

    pub fn apply(&mut self, command: Command<u64>) -> String {
        self.index += 1;
        let mut effects = Vec::new();
        self.queue.apply(self.index, self.now, command, &mut effects);
        effects.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    pub fn publish_with(&mut self, size: u32, priority: Option<u8>, ttl: Option<u64>) -> String {
        let publication = publication(self.published, size, priority, ttl);
        self.published += 1;
        self.apply(Command::Enqueue { publication, sequence: None })
    }

    pub fn publish(&mut self, count: u32) -> String {
        (0..count).map(|_| self.publish_with(1, None, None)).collect::<Vec<_>>().join(" ")
    }

    pub fn publish_as(&mut self, number: u32, sequence: u64) -> String {
        let publication = publication(self.published, 1, None, None);
        self.published += 1;
        self.apply(Command::Enqueue { publication, sequence: Some((session(number), sequence)) })
    }

    pub fn consume_with(&mut self, number: u32, options: ConsumerOptions) -> String {
        self.apply(Command::Register { consumer: consumer(number), options })
    }

    pub fn consume(&mut self, number: u32, prefetch: u32) -> String {
        self.consume_with(number, ConsumerOptions { prefetch, ..ConsumerOptions::default() })
    }

    pub fn consume_at(&mut self, number: u32, prefetch: u32, priority: i32) -> String {
        self.consume_with(number, ConsumerOptions { prefetch, priority, ..ConsumerOptions::default() })
    }

    pub fn cancel(&mut self, number: u32) -> String {
        self.apply(Command::Cancel { consumer: consumer(number) })
    }

    pub fn down(&mut self, number: u32) -> String {
        self.apply(Command::Down(consumer(number).session))
    }

    pub fn settle(&mut self, number: u32, deliveries: &[u64], settlement: Settlement) -> String {
        self.apply(Command::Settle { consumer: consumer(number), deliveries: deliveries.to_vec(), settlement })
    }

    pub fn ack(&mut self, number: u32, deliveries: &[u64]) -> String {
        self.settle(number, deliveries, Settlement::Ack)
    }

    pub fn nack(&mut self, number: u32, deliveries: &[u64]) -> String {
        self.settle(number, deliveries, Settlement::NackRequeue)
    }

    pub fn reject(&mut self, number: u32, deliveries: &[u64]) -> String {
        self.settle(number, deliveries, Settlement::RejectRequeue)
    }

    pub fn discard(&mut self, number: u32, deliveries: &[u64]) -> String {
        self.settle(number, deliveries, Settlement::Discard)
    }

    /// Asks for one message, with a channel of its own for each consumer.
    pub fn get(&mut self, number: u32, auto_ack: bool) -> String {
        let consumer = at_home(ConsumerKey::get(ClientId::new(number), 1, self.index));
        self.apply(Command::Get { consumer, options: ConsumerOptions { auto_ack, ..ConsumerOptions::default() } })
    }

    /// Lets time pass; what comes due happens at its own time.
    pub fn advance(&mut self, ms: u64) -> String {
        let end = self.now.saturating_add(Duration::from_millis(ms));
        let mut words = Vec::new();
        while let Some(due) = self.queue.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            words.push(self.apply(Command::Tick));
        }
        self.now = end;
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    /// Takes everything that is ready, one by one.
    pub fn drain(&mut self) -> String {
        let count = self.queue.ready();
        (0..count).map(|_| self.get(99, true)).collect::<Vec<_>>().join(" ")
    }
}

fn who(key: &ConsumerKey) -> String {
    match key.receiver {
        Receiver::Subscription(_) => format!("c{}", key.session.client.get()),
        Receiver::Get(_) => format!("g{}", key.session.client.get()),
    }
}

fn counts(delivery_count: u32, acquired_count: u32, settled: bool) -> String {
    let count = |letter, count| if count > 0 { format!("{letter}{count}") } else { String::new() };
    format!("{}{}{}", count('d', delivery_count), count('a', acquired_count), if settled { "!" } else { "" })
}

/// An effect in one word, which names messages by their place.
pub fn show(effect: &Effect<u64>) -> String {
    match effect {
        Effect::Enqueued { position, sequence: None, .. } => format!("in{}", position.get()),
        Effect::Enqueued { position, sequence: Some((_, number)), .. } => format!("in{}#{number}", position.get()),
        Effect::Repeated { sequence } => format!("again#{}", sequence.1),
        Effect::OutOfSequence { sequence } => format!("gap#{}", sequence.1),
        Effect::PublishingStopped(session) => format!("stop{}", session.client),
        Effect::PublishingResumed(session) => format!("go{}", session.client),
        Effect::Delivered { consumer, delivery } => {
            let counts = counts(delivery.delivery_count, delivery.acquired_count, delivery.settled);
            assert_eq!(delivery.redelivered(), delivery.acquired_count > 0);
            format!("{}>{}.{}{counts}", delivery.position.get(), who(consumer), delivery.number)
        }
        Effect::GetAnswered { delivery: None, .. } => "none".into(),
        Effect::GetAnswered { delivery: Some(delivery), .. } => {
            let counts = counts(delivery.delivery_count, delivery.acquired_count, delivery.settled);
            format!("got{}{counts}", delivery.position.get())
        }
        Effect::GetRefused { .. } => "refused".into(),
        Effect::Acked { position, .. } => format!("ack{}", position.get()),
        Effect::Returned { position, to, .. } => match to {
            Return::First => format!("back{}", position.get()),
            Return::Last => format!("last{}", position.get()),
            Return::Until(until) => format!("wait{}@{}", position.get(), until.as_nanos() / 1_000_000),
        },
        Effect::Ready { position } => format!("ready{}", position.get()),
        Effect::Dropped { position, reason, .. } => format!("drop{}:{}", position.get(), reason.word()),
        Effect::Discarded { position, reason, .. } => format!("kept{}:{}", position.get(), reason.word()),
        Effect::DeadLettered(letter) => {
            let number = letter.number.map(|number| format!("#{number}")).unwrap_or_default();
            format!("dlx{}:{}{number}", letter.position.get(), letter.reason.word())
        }
        Effect::DeadLetterSettled { position, .. } => format!("done{}", position.get()),
        Effect::Removed { position, .. } => format!("gone{}", position.get()),
        Effect::Purged { count } => format!("purged={count}"),
        Effect::Deleted { ready } => format!("deleted={ready}"),
        Effect::ConsumerActivated(key) => format!("{}:active", who(key)),
        Effect::ConsumerDeactivated(key) => format!("{}:waits", who(key)),
        Effect::ConsumerTimedOut { consumer, deliveries } => format!("{}:overdue{deliveries:?}", who(consumer)),
    }
}
