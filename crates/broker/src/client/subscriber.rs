//! A consumer to which messages are pushed: from a queue, or from a broadcast.

use std::collections::VecDeque;

use brokerlab_event::{
    ApplicationId, ClientId, Departure, Event, MessageId, Millionths, NodeId, Observer, Offset, Outcome, StoreId, Time,
};

use super::Worker;
use crate::config::{ConsumerConfig, ConsumerKind, ExchangeId};
use crate::message::{Address, Channel, DeliveryTag, Effect, Message, Outbox};

const CHANNEL: Channel = 1;

/// Where its messages come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Queue { queue: StoreId, prefetch: u32, auto_ack: bool },
    Broadcast { exchange: ExchangeId },
}

/// A message that was delivered and is not done.
#[derive(Clone, Copy, Debug)]
struct InHand {
    message: MessageId,
    sender: ClientId,
    store: StoreId,
    offset: Offset,
    tag: DeliveryTag,
}

/// A consumer on the queue side. It works on one message at a time, in the order of delivery, and acknowledges
/// each when its work is done.
#[derive(Clone, Debug)]
pub struct Subscriber {
    client: ClientId,
    application: ApplicationId,
    node: NodeId,
    source: Source,
    answers: bool,
    worker: Worker,
    /// The front is being worked on.
    in_hand: VecDeque<InHand>,
}

impl Subscriber {
    /// A consumer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is that of a group member.
    pub fn new(config: &ConsumerConfig) -> Subscriber {
        let source = match config.kind {
            ConsumerKind::Queue { queue, prefetch, auto_ack } => Source::Queue { queue, prefetch, auto_ack },
            ConsumerKind::Broadcast { exchange } => Source::Broadcast { exchange },
            ConsumerKind::Group(_) => panic!("a group member polls; it is another machine"),
        };
        Subscriber {
            client: config.client,
            application: config.application,
            node: config.node,
            source,
            answers: config.answers,
            worker: Worker::new(config.client, config.work),
            in_hand: VecDeque::new(),
        }
    }

    #[inline]
    fn send<P>(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.node), message);
    }

    /// The process starts, connects and subscribes.
    pub fn start<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        match self.source {
            Source::Queue { queue, prefetch, auto_ack } => {
                self.send(Message::Qos { channel: CHANNEL, prefetch, global: false }, out);
                self.send(Message::Consume { channel: CHANNEL, queue, tag: 0, auto_ack }, out);
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
        self.send(Message::Disconnect, out);
        self.abandon();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn abandon(&mut self) {
        self.in_hand.clear();
        self.worker.abandon();
    }

    /// The process stands still.
    pub fn pause<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.worker.pause(now, observer);
    }

    /// The process goes on.
    pub fn resume<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.worker.resume(now, observer);
    }

    /// Its work takes this many millionths of its usual time from now on.
    pub fn set_speed<O: Observer>(&mut self, now: Time, factor: Millionths, observer: &mut O) {
        self.worker.set_speed(now, factor, observer);
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
        let &Message::Deliver { tag, redelivered, store, offset, ref publication, .. } = message else {
            unreachable!("a node sends nothing but deliveries to a subscriber");
        };
        let envelope = &publication.envelope;
        let (message, consumer) = (envelope.message, self.client);
        observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered });
        if self.is_settled_by_delivery() {
            let outcome = Outcome::Automatic;
            observer.observe(now, Event::Settled { message, consumer, store, offset, outcome });
        }
        self.in_hand.push_back(InHand { message, sender: envelope.sender, store, offset, tag });
        if !self.worker.is_busy() {
            self.worker.begin(now, message, observer);
        }
    }

    #[inline]
    fn is_settled_by_delivery(&self) -> bool {
        !matches!(self.source, Source::Queue { auto_ack: false, .. })
    }

    /// Finishes the work that is done, settles it, and begins the next.
    #[inline]
    pub fn handle_timeout<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if !self.worker.finish(now) {
            return;
        }
        let done = self.in_hand.pop_front().expect("work in hand is about the message at the front");
        let InHand { message, sender, store, offset, tag } = done;
        observer.observe(now, Event::Processed { message, consumer: self.client, store, offset });
        if self.answers {
            self.send(Message::Reply { to: sender, message }, out);
        }
        if !self.is_settled_by_delivery() {
            let outcome = Outcome::Ack;
            observer.observe(now, Event::Settled { message, consumer: self.client, store, offset, outcome });
            let (from, to) = (Address::Client(self.client), Address::Node(self.node));
            out.place().fill(Effect::Send {
                from,
                to,
                message: Message::Ack { channel: CHANNEL, tag, multiple: false },
            });
        }
        if let Some(next) = self.in_hand.front() {
            self.worker.begin(now, next.message, observer);
        }
    }

    /// When its work is done.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.worker.done_at()
    }

    /// At the end of a run: tells what it holds.
    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        for in_hand in &self.in_hand {
            observer.observe(now, Event::Remaining { message: in_hand.message, application: self.application });
        }
    }
}
