//! A consumer to which messages are pushed: from a queue, or from a broadcast.

use std::collections::BTreeMap;

use brokerlab_event::{
    ApplicationId, ClientId, Count, Departure, Duration, Event, FailureLaw, MessageId, NodeId, Observer, Offset,
    Outcome, StoreId, Time,
};

use super::Worker;
use super::contacts::Contacts;
use crate::config::{ConsumerConfig, ConsumerKind, ExchangeId, OnFailure, QueueConsumerConfig};
use crate::message::{Address, Channel, DeliveryTag, Effect, Message, Outbox};
use crate::properties::{DeathReason, Properties};
use crate::ring::Ring;

const CHANNEL: Channel = 1;

/// How long a consumer waits before it tries again when the broker has refused it or taken its queue away.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Where its messages come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Queue(QueueConsumerConfig),
    Broadcast { exchange: ExchangeId },
}

/// A message that was delivered and is not done.
#[derive(Clone, Copy, Debug)]
struct InHand {
    message: MessageId,
    sender: ClientId,
    store: StoreId,
    offset: Offset,
    work: Duration,
    /// Nothing where the channel it came on is closed: it belongs to the queue again.
    tag: Option<DeliveryTag>,
    /// How often it was tried before, as far as anybody has told.
    attempts: u32,
}

/// A consumer on the queue side. It works on one message at a time, in the order of delivery, and acknowledges
/// each when its work is done.
#[derive(Clone, Debug)]
pub struct Subscriber {
    client: ClientId,
    application: ApplicationId,
    contacts: Contacts,
    source: Source,
    answers: bool,
    failures: Option<FailureLaw>,
    worker: Worker,
    /// The front is being worked on.
    in_hand: Ring<InHand>,
    /// Failed attempts at messages that may come back.
    failed: BTreeMap<MessageId, u32>,
    /// When to subscribe again.
    retry_at: Option<Time>,
}

impl Subscriber {
    /// A consumer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is that of a group member.
    pub fn new(config: &ConsumerConfig) -> Subscriber {
        let nodes = match config.kind {
            ConsumerKind::Queue(queue) => queue.nodes,
            _ => 1,
        };
        let source = match config.kind {
            ConsumerKind::Queue(queue) => Source::Queue(queue),
            ConsumerKind::Broadcast { exchange } => Source::Broadcast { exchange },
            ConsumerKind::Group(_) | ConsumerKind::Share(_) | ConsumerKind::Stream(_) => {
                panic!("only what a queue or a broadcast pushes comes here; others are other machines")
            }
        };
        Subscriber {
            client: config.client,
            application: config.application,
            contacts: Contacts::new(config.node, nodes),
            source,
            answers: config.answers,
            failures: config.failures,
            worker: Worker::new(config.client, config.work),
            in_hand: Ring::default(),
            failed: BTreeMap::new(),
            retry_at: None,
        }
    }

    #[inline]
    fn send<P>(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.contacts.node()), message);
    }

    /// The node that it is connected with, or tries.
    pub fn node(&self) -> NodeId {
        self.contacts.node()
    }

    /// The process starts, connects and subscribes.
    pub fn start<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        self.subscribe(out);
    }

    fn subscribe<P>(&mut self, out: &mut Outbox<P>) {
        let channel = CHANNEL;
        match self.source {
            Source::Queue(QueueConsumerConfig { queue, prefetch, auto_ack, exclusive, priority, .. }) => {
                self.send(Message::DeclareQueue { channel, queue }, out);
                self.send(Message::Qos { channel, prefetch, global: false }, out);
                self.send(Message::Consume { channel, queue, tag: 0, auto_ack, exclusive, priority }, out);
            }
            Source::Broadcast { exchange } => {
                self.send(Message::Subscribe { exchange, application: self.application }, out);
            }
        }
    }

    /// The process dies with what it holds.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.abandon();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: what it has not done is returned by closing the connection.
    pub fn leave<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if !self.contacts.is_cut_off() {
            self.send(Message::Disconnect, out);
        }
        self.abandon();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn abandon(&mut self) {
        self.in_hand.clear();
        self.failed.clear();
        self.retry_at = None;
        self.contacts.forget();
        self.worker.abandon();
    }

    /// The process, to be paused or slowed. Once it goes on, whatever has become due meanwhile is done at once.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// How many messages it holds that are not done.
    pub fn unsettled(&self) -> u64 {
        self.in_hand.len() as u64
    }

    /// Handles one message.
    pub fn handle_message<P, O: Observer>(&mut self, now: Time, message: Message<P>, observer: &mut O) {
        self.handle(now, &message, observer);
    }

    /// Handles one message where it is.
    #[inline(always)]
    pub fn handle<P, O: Observer>(&mut self, now: Time, message: &Message<P>, observer: &mut O) {
        let &Message::Deliver { tag, redelivered, delivery_count, store, offset, ref publication, .. } = message else {
            return self.handle_rare(now, message, observer);
        };
        let envelope = &publication.envelope;
        let (message, consumer) = (envelope.message, self.client);
        observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered });
        if self.is_settled_by_delivery() {
            let outcome = Outcome::Automatic;
            observer.observe(now, Event::Settled { message, consumer, store, offset, outcome });
        }
        let attempts = match self.failures {
            Some(_) => self.attempts(message, redelivered, delivery_count, publication.properties.as_deref()),
            None => 0,
        };
        let (sender, work) = (envelope.sender, self.worker.work(message));
        self.in_hand.push_back(InHand { message, sender, store, offset, work, tag: Some(tag), attempts });
        if !self.worker.is_busy() {
            self.worker.begin_known(now, message, work, observer);
        }
    }

    /// How often a message was tried before: what the broker says, or this consumer remembers.
    fn attempts(&self, message: MessageId, redelivered: bool, counted: u32, properties: Option<&Properties>) -> u32 {
        let own = self.failed.get(&message).copied().unwrap_or(0);
        let deaths = properties.into_iter().flat_map(|properties| &properties.deaths);
        let rejections = deaths.filter(|death| death.reason == DeathReason::Rejected).map(|death| death.count);
        let told = counted.saturating_add(rejections.sum::<u64>().try_into().unwrap_or(u32::MAX));
        own.max(told).max(u32::from(redelivered))
    }

    #[cold]
    fn handle_rare<P, O: Observer>(&mut self, now: Time, message: &Message<P>, observer: &mut O) {
        match *message {
            Message::ChannelError { code, .. } => {
                observer.observe(now, Event::ChannelClosed { client: self.client, code: Count::new(code as u16) });
                self.lose_channel(now);
            }
            Message::ConnectionBroken { .. } => {
                if self.contacts.broken(now) {
                    observer.observe(now, Event::ConnectionLost { client: self.client });
                }
                // What a delivery settles is its own for good.
                if !self.is_settled_by_delivery() {
                    self.lose_channel(now);
                }
                self.retry_at = None;
            }
            Message::ConnectionRestored { .. } => {
                observer.observe(now, Event::Reconnected { client: self.client });
                self.contacts.restored();
                self.retry_at = Some(now);
            }
            // Its queue is gone, or has taken back what was not settled in time. It settles what it holds all the same:
            // the rest of it may still be its own.
            Message::ConsumerCancelled { .. } => self.retry_at = Some(now.saturating_add(RETRY_INTERVAL)),
            _ => unreachable!("a node sends no such message to a subscriber"),
        }
    }

    /// What it held is not its own any more. The work in hand goes on, but cannot be settled.
    fn lose_channel(&mut self, now: Time) {
        self.in_hand.truncate(usize::from(self.worker.is_busy()));
        if let Some(front) = self.in_hand.get_mut(0) {
            front.tag = None;
        }
        self.retry_at = Some(now.saturating_add(RETRY_INTERVAL));
    }

    #[inline]
    fn is_settled_by_delivery(&self) -> bool {
        !matches!(self.source, Source::Queue(QueueConsumerConfig { auto_ack: false, .. }))
    }

    /// Finishes the work that is done, settles it, and begins the next.
    #[inline]
    pub fn handle_timeout<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.subscribe(out);
        }
        if self.contacts.is_due(now) {
            self.send(Message::Connect, out);
        }
        if !self.worker.finish(now) {
            return;
        }
        let done = self.in_hand.pop_front().expect("work in hand is about the message at the front");
        if self.failures.is_some_and(|law| law.fails(done.message, done.attempts)) {
            self.fail(now, done, out, observer);
        } else {
            self.succeed(now, done, out, observer);
        }
        if let Some(next) = self.in_hand.front() {
            self.worker.begin_known(now, next.message, next.work, observer);
        }
    }

    #[inline]
    fn succeed<P, O: Observer>(&mut self, now: Time, done: InHand, out: &mut Outbox<P>, observer: &mut O) {
        let InHand { message, sender, store, offset, tag, .. } = done;
        observer.observe(now, Event::Processed { message, consumer: self.client, store, offset });
        if self.answers && !self.contacts.is_cut_off() {
            self.send(Message::Reply { to: sender, message }, out);
        }
        if self.failures.is_some() {
            self.failed.remove(&message);
        }
        if let (false, Some(tag)) = (self.is_settled_by_delivery(), tag) {
            let outcome = Outcome::Ack;
            observer.observe(now, Event::Settled { message, consumer: self.client, store, offset, outcome });
            let (from, to) = (Address::Client(self.client), Address::Node(self.contacts.node()));
            let effect = out.place();
            let message = Message::Ack { channel: CHANNEL, tag, multiple: false };
            effect.fill(Effect::Send { from, to, message });
        }
    }

    #[inline(never)]
    fn fail<P, O: Observer>(&mut self, now: Time, done: InHand, out: &mut Outbox<P>, observer: &mut O) {
        let InHand { message, store, offset, tag, attempts, .. } = done;
        observer.observe(now, Event::Failed { message, consumer: self.client, store, offset });
        let Source::Queue(QueueConsumerConfig { auto_ack: false, on_failure, .. }) = self.source else { return };
        let Some(tag) = tag else { return };
        let channel = CHANNEL;
        let (outcome, answer) = match on_failure {
            OnFailure::Requeue => (Outcome::Requeue, Message::Nack { channel, tag, multiple: false, requeue: true }),
            OnFailure::Return => (Outcome::Requeue, Message::Reject { channel, tag, requeue: true }),
            OnFailure::Reject => (Outcome::Reject, Message::Reject { channel, tag, requeue: false }),
        };
        self.failed.insert(message, attempts + 1);
        observer.observe(now, Event::Settled { message, consumer: self.client, store, offset, outcome });
        self.send(answer, out);
    }

    /// When its work is done, or it subscribes again.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        match self.retry_at.or(self.contacts.next_timeout()) {
            Some(retry) if !self.worker.is_paused() => {
                Some(self.worker.done_at().map_or(retry, |done| done.min(retry)))
            }
            _ => self.worker.done_at(),
        }
    }

    /// At the end of a run: tells what it holds.
    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        for in_hand in self.in_hand.iter() {
            observer.observe(now, Event::Remaining { message: in_hand.message, application: self.application });
        }
    }
}
