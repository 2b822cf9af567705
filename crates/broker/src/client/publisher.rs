//! A producer that publishes each message to an exchange and may wait for confirms.

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_event::{ClientId, Count, Departure, Event, MessageId, NodeId, Observer, Time};

use super::contacts::Contacts;
use crate::config::{ExchangeId, PublishAddress};
use crate::message::{Address, Channel, Effect, Envelope, Message, Outbox, Publication};
use crate::ring::Ring;

const FIRST_CHANNEL: Channel = 1;

/// How a publisher sends; see [`ProducerKind::Publisher`](crate::config::ProducerKind::Publisher).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublisherConfig {
    /// The exchange.
    pub exchange: ExchangeId,
    /// How messages of each kind are addressed.
    pub addresses: Arc<[PublishAddress]>,
    /// Ask for confirms.
    pub confirms: bool,
    /// Ask for messages that no queue takes to be returned.
    pub mandatory: bool,
    /// With confirms: how many may be outstanding before the producer holds back.
    pub max_unconfirmed: u32,
    /// With confirms: what was not confirmed when the connection broke is published again on the next one.
    pub republish: bool,
    /// How many nodes it may connect with: its own, and where that does not let it in the others.
    pub nodes: u16,
}

/// A message to be published: its kind, how often it was published before, and itself.
type Waiting<P> = (u16, u16, Envelope<P>);

/// A producer on the queue side.
#[derive(Clone, Debug)]
pub struct Publisher<P> {
    client: ClientId,
    contacts: Contacts,
    config: PublisherConfig,
    /// Answers on any other are about what was given up.
    channel: Channel,
    /// Number of the oldest publish in `unconfirmed`.
    oldest: u64,
    /// Publishes in the order of their numbers; confirmed ones in the middle are empty.
    unconfirmed: Ring<Option<MessageId>>,
    /// The same publishes, where they may have to be published again.
    copies: VecDeque<Waiting<P>>,
    outstanding: u32,
    /// The broker does not read from this connection.
    blocked: bool,
    /// Messages that wait until the producer may send again.
    held_back: VecDeque<Waiting<P>>,
}

impl<P: Clone> Publisher<P> {
    /// A producer that is down.
    pub fn new(client: ClientId, node: NodeId, config: PublisherConfig) -> Publisher<P> {
        Publisher {
            client,
            contacts: Contacts::new(node, config.nodes),
            config,
            channel: FIRST_CHANNEL,
            oldest: 1,
            unconfirmed: Ring::default(),
            copies: VecDeque::new(),
            outstanding: 0,
            blocked: false,
            held_back: VecDeque::new(),
        }
    }

    fn send(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.contacts.node()), message);
    }

    /// The node that it is connected with, or tries.
    pub fn node(&self) -> NodeId {
        self.contacts.node()
    }

    /// The process starts and connects.
    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        self.open_channel(out);
    }

    fn open_channel(&self, out: &mut Outbox<P>) {
        if self.config.confirms {
            self.send(Message::ConfirmSelect { channel: self.channel }, out);
        }
    }

    /// The process dies. What was held back is never sent; what was unconfirmed stays so.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.forget();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if !self.contacts.is_cut_off() {
            self.send(Message::Disconnect, out);
        }
        self.forget();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn forget(&mut self) {
        self.contacts.forget();
        *self = Publisher::new(self.client, self.contacts.node(), self.config.clone());
    }

    /// The messages that the application has not been told anything of, each with its kind, in the order in which they
    /// were to be sent: what another process that takes its place must send. What was published counts only where the
    /// publisher waits for confirms.
    pub fn unconfirmed(&self) -> Vec<(u16, Envelope<P>)> {
        let published = self.copies.iter().zip(self.unconfirmed.iter());
        let published = published.filter(|(_, message)| message.is_some()).map(|(copy, _)| copy);
        published.chain(&self.held_back).map(|(kind, _, envelope)| (*kind, envelope.clone())).collect()
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
        match *message {
            Message::Offer { kind, ref envelope } => {
                if self.may_send() {
                    self.publish(now, kind, 0, envelope, out, observer);
                } else {
                    self.held_back.push_back((kind, 0, envelope.clone()));
                }
            }
            Message::Confirm { channel, sequence, result } if channel == self.channel => {
                let producer = self.client;
                if let Some(message) = self.confirmed(sequence) {
                    match result {
                        Ok(()) => observer.observe(now, Event::Confirmed { message, producer }),
                        Err(reason) => observer.observe(now, Event::Refused { message, producer, reason }),
                    }
                }
                if !self.held_back.is_empty() {
                    self.publish_held_back(now, out, observer);
                }
            }
            _ => self.handle_rare(now, message.take(), out, observer),
        }
    }

    #[cold]
    fn handle_rare<O: Observer>(&mut self, now: Time, message: Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        let producer = self.client;
        match message {
            Message::Return { publication, .. } => {
                observer.observe(now, Event::Returned { message: publication.envelope.message, producer });
            }
            Message::Reply { message, .. } => observer.observe(now, Event::Replied { message, producer }),
            Message::ConnectionBroken { .. } => self.cut_off(now, observer),
            Message::ConnectionRestored { .. } => {
                self.contacts.restored();
                observer.observe(now, Event::Reconnected { client: producer });
                self.open_channel(out);
                self.publish_held_back(now, out, observer);
            }
            Message::ConnectionBlocked => self.blocked = true,
            Message::ConnectionUnblocked => {
                self.blocked = false;
                self.publish_held_back(now, out, observer);
            }
            // What comes from channels that were given up: their publishes stay of unknown fate.
            Message::Confirm { .. } => {}
            Message::ChannelError { channel, .. } if channel != self.channel => {}
            Message::ChannelError { code, .. } => {
                observer.observe(now, Event::ChannelClosed { client: producer, code: Count::new(code as u16) });
                // A new channel numbers its publishes anew; what the old one had not confirmed it never will.
                self.begin_channel();
                self.open_channel(out);
                self.publish_held_back(now, out, observer);
            }
            _ => unreachable!("a node sends no such message to a publisher"),
        }
    }

    fn begin_channel(&mut self) {
        self.channel = self.channel.checked_add(1).unwrap_or(FIRST_CHANNEL);
        (self.oldest, self.outstanding) = (1, 0);
        self.unconfirmed.clear();
        self.copies.clear();
    }

    /// The connection broke, or could not be made. What was not confirmed goes first on the next one, or stays so.
    fn cut_off<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if self.contacts.broken(now) {
            observer.observe(now, Event::ConnectionLost { client: self.client });
        }
        self.blocked = false;
        let lost = std::mem::take(&mut self.copies).into_iter().zip(self.unconfirmed.iter());
        let again: Vec<Waiting<P>> = lost.filter(|(_, open)| open.is_some()).map(|(copy, _)| copy).collect();
        for (kind, attempts, envelope) in again.into_iter().rev() {
            self.held_back.push_front((kind, attempts.saturating_add(1), envelope));
        }
        self.begin_channel();
    }

    /// Connects again, where that is due.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Outbox<P>) {
        if self.contacts.is_due(now) {
            self.send(Message::Connect, out);
        }
    }

    /// When it connects again.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.contacts.next_timeout()
    }

    #[inline]
    fn may_send(&self) -> bool {
        let full = self.config.confirms && self.outstanding >= self.config.max_unconfirmed;
        !self.blocked && !full && !self.contacts.is_cut_off()
    }

    #[inline(never)]
    fn publish_held_back<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while self.may_send()
            && let Some((kind, attempts, envelope)) = self.held_back.pop_front()
        {
            self.publish(now, kind, attempts, &envelope, out, observer);
        }
    }

    #[inline(never)]
    fn publish<O: Observer>(
        &mut self,
        now: Time,
        kind: u16,
        attempts: u16,
        envelope: &Envelope<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let message = envelope.message;
        if self.config.confirms {
            self.unconfirmed.push_back(Some(message));
            self.outstanding += 1;
            if self.config.republish {
                self.copies.push_back((kind, attempts, envelope.clone()));
            }
        }
        let attempt = Count::new(attempts.saturating_add(1));
        observer.observe(now, Event::Sent { message, producer: self.client, attempt });
        let PublishAddress { routing_key, ref properties } = self.config.addresses[usize::from(kind)];
        let (exchange, mandatory) = (self.config.exchange, self.config.mandatory);
        let (from, to) = (Address::Client(self.client), Address::Node(self.contacts.node()));
        let place = out.place();
        let publication =
            Publication { envelope: envelope.clone(), exchange, routing_key, properties: properties.clone() };
        place.fill(Effect::Send {
            from,
            to,
            message: Message::Publish { channel: self.channel, mandatory, publication },
        });
    }

    /// The message of a publish that is confirmed or refused for the first time.
    #[inline(always)]
    fn confirmed(&mut self, sequence: u64) -> Option<MessageId> {
        // Most are confirmed in order.
        if sequence == self.oldest
            && let Some(Some(_)) = self.unconfirmed.front()
        {
            let message = self.unconfirmed.pop_front().flatten();
            self.copies.pop_front();
            self.oldest += 1;
            self.outstanding -= 1;
            self.forget_confirmed();
            return message;
        }
        self.confirmed_out_of_order(sequence)
    }

    #[inline(never)]
    fn confirmed_out_of_order(&mut self, sequence: u64) -> Option<MessageId> {
        let index = usize::try_from(sequence.checked_sub(self.oldest)?).ok()?;
        let message = self.unconfirmed.get_mut(index)?.take()?;
        self.outstanding -= 1;
        self.forget_confirmed();
        Some(message)
    }

    #[inline]
    fn forget_confirmed(&mut self) {
        while let Some(None) = self.unconfirmed.front() {
            self.unconfirmed.drop_front(1);
            self.copies.pop_front();
            self.oldest += 1;
        }
    }
}
