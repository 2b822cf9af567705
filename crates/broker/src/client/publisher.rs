//! A producer that publishes each message to an exchange and may wait for confirms.

use std::collections::VecDeque;

use brokerlab_event::{ClientId, Count, Departure, Event, MessageId, NodeId, Observer, Time};

use crate::config::{ExchangeId, RoutingKey};
use crate::message::{Address, Channel, Effect, Envelope, Message, Outbox, Publication};

const CHANNEL: Channel = 1;

/// How a publisher sends; see [`ProducerKind::Publisher`](crate::config::ProducerKind::Publisher).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublisherConfig {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The routing key of every message.
    pub routing_key: RoutingKey,
    /// Ask for confirms.
    pub confirms: bool,
    /// Ask for messages that no queue takes to be returned.
    pub mandatory: bool,
    /// With confirms: how many may be outstanding before the producer holds back.
    pub max_unconfirmed: u32,
}

/// A producer on the queue side.
#[derive(Clone, Debug)]
pub struct Publisher<P> {
    client: ClientId,
    node: NodeId,
    config: PublisherConfig,
    /// Number of the oldest publish in `unconfirmed`.
    oldest: u64,
    /// Publishes in the order of their numbers; confirmed ones in the middle are empty.
    unconfirmed: VecDeque<Option<MessageId>>,
    outstanding: u32,
    /// Messages that wait until fewer are unconfirmed.
    held_back: VecDeque<Envelope<P>>,
}

impl<P: Clone> Publisher<P> {
    /// A producer that is down.
    pub fn new(client: ClientId, node: NodeId, config: PublisherConfig) -> Publisher<P> {
        let (unconfirmed, held_back) = (VecDeque::new(), VecDeque::new());
        Publisher { client, node, config, oldest: 1, unconfirmed, outstanding: 0, held_back }
    }

    fn send(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.node), message);
    }

    /// The process starts and connects.
    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        if self.config.confirms {
            self.send(Message::ConfirmSelect { channel: CHANNEL }, out);
        }
    }

    /// The process dies. What was held back is never sent; what was unconfirmed stays so.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        *self = Publisher::new(self.client, self.node, self.config);
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.send(Message::Disconnect, out);
        *self = Publisher::new(self.client, self.node, self.config);
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    /// The process stands still.
    pub fn pause<O: Observer>(&mut self, now: Time, observer: &mut O) {
        observer.observe(now, Event::Paused { client: self.client });
    }

    /// The process goes on.
    pub fn resume<O: Observer>(&mut self, now: Time, observer: &mut O) {
        observer.observe(now, Event::Resumed { client: self.client });
    }

    /// Handles one message.
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        mut message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.handle(now, &mut message, out, observer);
    }

    /// Handles one message where it is.
    #[inline(always)]
    pub fn handle<O: Observer>(&mut self, now: Time, message: &mut Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        match message {
            Message::Offer(envelope) => {
                if self.config.confirms && self.outstanding >= self.config.max_unconfirmed {
                    self.held_back.push_back(envelope.clone());
                } else {
                    self.publish(now, envelope, out, observer);
                }
            }
            Message::Confirm { sequence, result, .. } => {
                let producer = self.client;
                if let Some(message) = self.confirmed(*sequence) {
                    match *result {
                        Ok(()) => observer.observe(now, Event::Confirmed { message, producer }),
                        Err(reason) => observer.observe(now, Event::Refused { message, producer, reason }),
                    }
                }
                if !self.held_back.is_empty() {
                    self.publish_held_back(now, out, observer);
                }
            }
            Message::Return { publication, .. } => {
                observer.observe(now, Event::Returned { message: publication.envelope.message, producer: self.client });
            }
            Message::Reply { message, .. } => {
                observer.observe(now, Event::Replied { message: *message, producer: self.client });
            }
            _ => unreachable!("a node sends no such message to a publisher"),
        }
    }

    #[inline(never)]
    fn publish_held_back<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while self.outstanding < self.config.max_unconfirmed
            && let Some(envelope) = self.held_back.pop_front()
        {
            self.publish(now, &envelope, out, observer);
        }
    }

    #[inline(always)]
    fn publish<O: Observer>(&mut self, now: Time, envelope: &Envelope<P>, out: &mut Outbox<P>, observer: &mut O) {
        let PublisherConfig { exchange, routing_key, mandatory, confirms, .. } = self.config;
        let message = envelope.message;
        if confirms {
            self.unconfirmed.push_back(Some(message));
            self.outstanding += 1;
        }
        observer.observe(now, Event::Sent { message, producer: self.client, attempt: Count::new(1) });
        let (from, to) = (Address::Client(self.client), Address::Node(self.node));
        let place = out.place();
        let publication = Publication { envelope: envelope.clone(), exchange, routing_key, properties: None };
        place.fill(Effect::Send { from, to, message: Message::Publish { channel: CHANNEL, mandatory, publication } });
    }

    /// The message of a publish that is confirmed or refused for the first time.
    #[inline]
    fn confirmed(&mut self, sequence: u64) -> Option<MessageId> {
        let index = usize::try_from(sequence.checked_sub(self.oldest)?).ok()?;
        let message = self.unconfirmed.get_mut(index)?.take()?;
        self.outstanding -= 1;
        while let Some(None) = self.unconfirmed.front() {
            self.unconfirmed.pop_front();
            self.oldest += 1;
        }
        Some(message)
    }
}
