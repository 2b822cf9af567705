//! A producer of a stream, working as RabbitMQ's stream client for Java does: it gathers messages, publishes them
//! together, and publishes what is not confirmed again when its connection was lost.

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_event::{ClientId, Count, Departure, Event, KeyId, MessageId, NodeId, Observer, Refusal, StoreId, Time};

use super::contacts::RECONNECT_DELAY;
use crate::config::{ProducerConfig, ProducerKind, StreamPublisherConfig};
use crate::message::{Address, Envelope, Message, Outbox};

/// What was published together and is not confirmed.
#[derive(Clone, Debug)]
struct Chunk<P> {
    correlation: u32,
    store: StoreId,
    messages: Vec<Envelope<P>>,
    /// How often it was sent.
    attempts: u16,
    /// When the application is told that it has failed.
    expires: Time,
}

/// A producer of a stream, or of a super stream.
#[derive(Clone, Debug)]
pub struct StreamPublisher<P> {
    client: ClientId,
    node: NodeId,
    config: StreamPublisherConfig,
    /// The hash of every key.
    hashes: Arc<[u32]>,
    /// Where the next message without a key goes.
    next_partition: u32,
    /// What is gathered for each partition.
    gathered: Vec<Vec<Envelope<P>>>,
    /// When it is published, however little it is.
    publish_at: Option<Time>,
    /// In the order in which they were published first.
    unconfirmed: VecDeque<Chunk<P>>,
    /// Grows through restarts, so that no answer is taken for that to another chunk.
    correlation: u32,
    /// Messages gathered or not confirmed.
    outstanding: u32,
    /// Messages that wait until fewer are.
    held_back: VecDeque<Envelope<P>>,
    /// The connection broke, and there is no other yet.
    is_cut_off: bool,
    reconnect_at: Option<Time>,
}

impl<P: Clone> StreamPublisher<P> {
    /// A producer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is not that of a producer of streams.
    pub fn new(config: &ProducerConfig, hashes: Arc<[u32]>) -> StreamPublisher<P> {
        let ProducerKind::Stream(own) = &config.kind else {
            panic!("only a producer of streams publishes chunks; others are other machines");
        };
        StreamPublisher {
            client: config.client,
            node: config.node,
            config: own.clone(),
            hashes,
            next_partition: 0,
            gathered: vec![Vec::new(); own.partitions.len()],
            publish_at: None,
            unconfirmed: VecDeque::new(),
            correlation: 0,
            outstanding: 0,
            held_back: VecDeque::new(),
            is_cut_off: false,
            reconnect_at: None,
        }
    }

    fn send(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.node), message);
    }

    /// The process starts and connects.
    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
    }

    /// The process dies. What it had gathered is never sent; what was unconfirmed stays so.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.forget();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: what it has gathered it publishes first.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if !self.is_cut_off {
            self.publish_all(now, out, observer);
            self.send(Message::Disconnect, out);
        }
        self.forget();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn forget(&mut self) {
        self.gathered.iter_mut().for_each(Vec::clear);
        self.unconfirmed.clear();
        self.held_back.clear();
        self.outstanding = 0;
        (self.publish_at, self.is_cut_off, self.reconnect_at) = (None, false, None);
    }

    /// The messages that the application has not been told anything of, in their order: what another process that
    /// takes its place must send.
    pub fn unconfirmed(&self) -> Vec<Envelope<P>> {
        let published = self.unconfirmed.iter().flat_map(|chunk| &chunk.messages);
        let waiting = self.gathered.iter().flatten().chain(&self.held_back);
        let mut all: Vec<Envelope<P>> = published.chain(waiting).cloned().collect();
        all.sort_by_key(|envelope| envelope.message);
        all
    }

    /// The process stands still.
    pub fn pause<O: Observer>(&mut self, now: Time, observer: &mut O) {
        observer.observe(now, Event::Paused { client: self.client });
    }

    /// The process goes on.
    pub fn resume<O: Observer>(&mut self, now: Time, observer: &mut O) {
        observer.observe(now, Event::Resumed { client: self.client });
    }

    /// Handles one message where it is. What is left of it means nothing.
    pub fn handle<O: Observer>(&mut self, now: Time, message: &mut Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        match message {
            Message::Offer { envelope, .. } if self.outstanding < self.config.max_unconfirmed => {
                self.gather(now, envelope.clone(), out, observer);
            }
            Message::Offer { envelope, .. } => self.held_back.push_back(envelope.clone()),
            Message::Produced { correlation, result, .. } => {
                self.answered(now, *correlation, result.is_ok(), observer);
                self.gather_held_back(now, out, observer);
            }
            Message::ConnectionBroken { .. } => {
                if !self.is_cut_off {
                    observer.observe(now, Event::ConnectionLost { client: self.client });
                }
                self.is_cut_off = true;
                self.reconnect_at = Some(now.saturating_add(RECONNECT_DELAY));
            }
            Message::ConnectionRestored { .. } => {
                self.is_cut_off = false;
                observer.observe(now, Event::Reconnected { client: self.client });
                self.publish_again(now, out, observer);
            }
            _ => {}
        }
    }

    /// Does what is due: publishes what has waited long enough, gives up what was not confirmed, connects again.
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.reconnect_at.take_if(|at| *at <= now).is_some() {
            self.send(Message::Connect, out);
        }
        while let Some(chunk) = self.unconfirmed.pop_front_if(|chunk| chunk.expires <= now) {
            self.outstanding -= chunk.messages.len() as u32;
            for envelope in &chunk.messages {
                observer.observe(now, Event::SendExpired { message: envelope.message, producer: self.client });
            }
        }
        self.gather_held_back(now, out, observer);
        if self.publish_at.is_some_and(|at| at <= now) && !self.is_cut_off {
            self.publish_all(now, out, observer);
        }
    }

    /// When the next of these is due.
    pub fn next_timeout(&self) -> Option<Time> {
        let publish = self.publish_at.filter(|_| !self.is_cut_off);
        let expires = self.unconfirmed.front().map(|chunk| chunk.expires);
        publish.into_iter().chain(expires).chain(self.reconnect_at).min()
    }

    /// A message with a key goes where all of its key go, any other to the next partition in turn.
    fn partition(&mut self, key: KeyId) -> usize {
        let count = self.config.partitions.len() as u32;
        if key != KeyId::NONE {
            return (self.hashes[key.index()] % count) as usize;
        }
        let partition = self.next_partition % count;
        self.next_partition = partition + 1;
        partition as usize
    }

    fn gather<O: Observer>(&mut self, now: Time, envelope: Envelope<P>, out: &mut Outbox<P>, observer: &mut O) {
        let partition = self.partition(envelope.key);
        self.outstanding += 1;
        self.gathered[partition].push(envelope);
        self.publish_at.get_or_insert(now.saturating_add(self.config.batch_publishing_delay));
        if self.gathered[partition].len() >= self.config.batch_size as usize && !self.is_cut_off {
            self.publish(now, partition, out, observer);
        }
        if self.gathered.iter().all(Vec::is_empty) {
            self.publish_at = None;
        }
    }

    fn gather_held_back<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while self.outstanding < self.config.max_unconfirmed
            && let Some(envelope) = self.held_back.pop_front()
        {
            self.gather(now, envelope, out, observer);
        }
    }

    fn publish_all<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.publish_at = None;
        for partition in 0..self.gathered.len() {
            self.publish(now, partition, out, observer);
        }
    }

    /// Publishes what is gathered for a partition, as one chunk.
    fn publish<O: Observer>(&mut self, now: Time, partition: usize, out: &mut Outbox<P>, observer: &mut O) {
        let mut left = std::mem::take(&mut self.gathered[partition]);
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(self.config.batch_size as usize));
            let messages = std::mem::replace(&mut left, rest);
            self.correlation = self.correlation.wrapping_add(1);
            let (correlation, store) = (self.correlation, self.config.partitions[partition]);
            let expires = now.saturating_add(self.config.confirm_timeout);
            let chunk = Chunk { correlation, store, messages, attempts: 0, expires };
            self.unconfirmed.push_back(chunk);
            self.send_chunk(now, self.unconfirmed.len() - 1, out, observer);
        }
    }

    /// What was not confirmed goes first on a new connection, in its old order.
    fn publish_again<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        for index in 0..self.unconfirmed.len() {
            self.send_chunk(now, index, out, observer);
        }
        self.publish_all(now, out, observer);
    }

    fn send_chunk<O: Observer>(&mut self, now: Time, index: usize, out: &mut Outbox<P>, observer: &mut O) {
        let chunk = &mut self.unconfirmed[index];
        chunk.attempts = chunk.attempts.saturating_add(1);
        let (attempt, producer) = (Count::new(chunk.attempts), self.client);
        for envelope in &chunk.messages {
            observer.observe(now, Event::Sent { message: envelope.message, producer, attempt });
        }
        let Chunk { correlation, store, ref messages, .. } = *chunk;
        let (deduplicate, messages) = (self.config.deduplication, messages.clone());
        self.send(Message::PublishChunk { store, correlation, deduplicate, messages }, out);
    }

    /// A chunk is confirmed, or its stream is not there. Chunks of other streams may be confirmed before.
    fn answered<O: Observer>(&mut self, now: Time, correlation: u32, taken: bool, observer: &mut O) {
        let Some(index) = self.unconfirmed.iter().position(|chunk| chunk.correlation == correlation) else { return };
        let chunk = self.unconfirmed.remove(index).expect("it was found just now");
        self.outstanding -= chunk.messages.len() as u32;
        let producer = self.client;
        let told = |message: MessageId| match taken {
            true => Event::Confirmed { message, producer },
            false => Event::Refused { message, producer, reason: Refusal::NotFound },
        };
        chunk.messages.iter().for_each(|envelope| observer.observe(now, told(envelope.message)));
    }
}
