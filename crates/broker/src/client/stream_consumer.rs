//! A consumer of streams, working as RabbitMQ's stream client for Java does: it is sent chunks, works on their messages
//! one after the other, and lets the broker keep where it is.

use std::collections::VecDeque;

use brokerlab_event::{
    ApplicationId, ClientId, Count, Departure, Event, FailureLaw, MessageId, NodeId, Observer, Offset, Outcome,
    StoreId, Time,
};

use super::Worker;
use super::contacts::RECONNECT_DELAY;
use crate::config::{ConsumerConfig, ConsumerKind, ReaderName, StreamConsumerConfig, StreamCredit, StreamOffset};
use crate::message::{Address, Envelope, Message, Outbox};

/// A message in the hands of the application.
#[derive(Clone, Copy, Debug)]
struct InHand {
    message: MessageId,
    store: StoreId,
    offset: Offset,
    /// It is the first of what was sent together.
    begins_chunk: bool,
    /// The stream has been given up since: only the work in hand goes on.
    is_orphan: bool,
    /// It came on a connection that is gone.
    is_stale: bool,
}

/// A stream that it reads.
#[derive(Clone, Copy, Debug)]
struct Reading {
    store: StoreId,
    /// The broker sends it.
    is_active: bool,
    /// How often it has become so.
    turns: u16,
    /// The last message that is done since this process began.
    done: Option<Offset>,
    /// Messages that are done and not stored as such.
    unstored: u32,
    /// Somebody has sent it elsewhere, and it has not arrived yet.
    sought: bool,
}

/// A consumer of streams.
#[derive(Clone, Debug)]
pub struct StreamConsumer {
    client: ClientId,
    application: ApplicationId,
    node: NodeId,
    config: StreamConsumerConfig,
    failures: Option<FailureLaw>,
    worker: Worker,
    is_up: bool,
    readings: Vec<Reading>,
    /// The front is being worked on.
    in_hand: VecDeque<InHand>,
    /// How often the front was tried.
    attempts: u32,
    /// When to store where it is.
    store_at: Option<Time>,
    is_cut_off: bool,
    reconnect_at: Option<Time>,
}

impl StreamConsumer {
    /// A consumer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is not that of a reader of streams.
    pub fn new(config: &ConsumerConfig) -> StreamConsumer {
        let ConsumerKind::Stream(own) = &config.kind else {
            panic!("only a reader of streams is sent chunks; others are other machines");
        };
        StreamConsumer {
            client: config.client,
            application: config.application,
            node: config.node,
            config: own.clone(),
            failures: config.failures,
            worker: Worker::new(config.client, config.work),
            is_up: false,
            readings: Vec::new(),
            in_hand: VecDeque::new(),
            attempts: 0,
            store_at: None,
            is_cut_off: false,
            reconnect_at: None,
        }
    }

    fn reader(&self) -> ReaderName {
        self.config.reader(self.application, self.client)
    }

    fn send<P>(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.node), message);
    }

    /// The process starts, connects and subscribes.
    pub fn start<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.is_up = true;
        self.send(Message::Connect, out);
        let reading = |store| Reading { store, is_active: false, turns: 0, done: None, unstored: 0, sought: false };
        self.readings = self.config.partitions.iter().copied().map(reading).collect();
        self.begin_interval(now);
        self.subscribe_all(out);
    }

    fn subscribe_all<P>(&self, out: &mut Outbox<P>) {
        for index in 0..self.readings.len() {
            self.subscribe(index, out);
        }
    }

    /// Subscribes to a stream. Who reads by himself goes on where he was; who takes turns with others asks the broker.
    fn subscribe<P>(&self, index: usize, out: &mut Outbox<P>) {
        let Reading { store, done, sought, .. } = self.readings[index];
        // What is in hand will be done.
        let in_hand = self.in_hand.front().filter(|held| held.store == store && !held.is_orphan);
        let own = in_hand.map(|held| held.offset).or(done).filter(|_| !self.config.single_active_consumer);
        let own = own.map(|last| StreamOffset::Offset(last.next()));
        let tracked = own.is_none() && (sought || self.config.tracking.is_some());
        let from = own.unwrap_or(self.config.from);
        let (reader, credit) = (self.reader(), self.config.credit);
        self.send(Message::SubscribeStream { store, reader, from, tracked, credit }, out);
    }

    /// The process dies with what it holds.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: it stores where it is.
    pub fn leave<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if !self.is_cut_off {
            self.store_all(now, out, observer);
            self.send(Message::Disconnect, out);
        }
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn stop(&mut self) {
        self.worker.abandon();
        self.in_hand.clear();
        self.readings.clear();
        (self.is_up, self.is_cut_off, self.attempts) = (false, false, 0);
        (self.store_at, self.reconnect_at) = (None, None);
    }

    /// The process, to be paused or slowed. Once it goes on, whatever has become due meanwhile is done at once.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// Its readers were [sent elsewhere](crate::Node::seek): it subscribes anew to the streams that it is reading.
    pub fn ask_where<P>(&mut self, out: &mut Outbox<P>) {
        if self.is_cut_off {
            return;
        }
        for index in 0..self.readings.len() {
            if self.readings[index].is_active {
                self.drop_unbegun(self.readings[index].store);
                let reading = &mut self.readings[index];
                (reading.is_active, reading.sought, reading.done, reading.unstored) = (false, true, None, 0);
                self.subscribe(index, out);
            }
        }
    }

    /// How many messages it holds that are not done.
    pub fn unsettled(&self) -> u64 {
        self.in_hand.len() as u64
    }

    /// At the end of a run: tells what it holds.
    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        for in_hand in &self.in_hand {
            observer.observe(now, Event::Remaining { message: in_hand.message, application: self.application });
        }
    }

    /// Handles one message where it is. What is left of it means nothing.
    pub fn handle<P, O: Observer>(
        &mut self,
        now: Time,
        message: &mut Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if !self.is_up {
            return;
        }
        match message {
            Message::DeliverChunk { store, messages } => {
                self.take_chunk(now, *store, std::mem::take(messages), out, observer);
            }
            Message::StreamStarted { store, offset } => self.started(now, *store, *offset, observer),
            Message::StepDown { store } => self.step_down(now, *store, out, observer),
            Message::ConnectionBroken { .. } => {
                if !self.is_cut_off {
                    observer.observe(now, Event::ConnectionLost { client: self.client });
                }
                self.is_cut_off = true;
                self.lose_connection();
                self.readings.iter_mut().for_each(|reading| reading.is_active = false);
                self.reconnect_at = Some(now.saturating_add(RECONNECT_DELAY));
            }
            Message::ConnectionRestored { .. } => {
                observer.observe(now, Event::Reconnected { client: self.client });
                self.is_cut_off = false;
                self.subscribe_all(out);
            }
            _ => {}
        }
    }

    /// The work in hand goes on. Who takes turns with others does it for nothing: somebody else goes on with the stream.
    fn lose_connection(&mut self) {
        let is_busy = self.worker.is_busy();
        self.in_hand.truncate(usize::from(is_busy));
        for held in &mut self.in_hand {
            held.is_orphan |= self.config.single_active_consumer;
            held.is_stale = true;
        }
    }

    fn reading(&mut self, store: StoreId) -> Option<&mut Reading> {
        self.readings.iter_mut().find(|reading| reading.store == store)
    }

    fn started<O: Observer>(&mut self, now: Time, store: StoreId, offset: Offset, observer: &mut O) {
        let consumer = self.client;
        let Some(reading) = self.reading(store) else { return };
        (reading.is_active, reading.unstored) = (true, 0);
        if std::mem::take(&mut reading.sought) {
            return observer.observe(now, Event::Sought { consumer, store, offset });
        }
        reading.turns = reading.turns.saturating_add(1);
        let generation = Count::new(reading.turns);
        observer.observe(now, Event::Assigned { consumer, store, offset, generation });
    }

    fn take_chunk<P, O: Observer>(
        &mut self,
        now: Time,
        store: StoreId,
        messages: Vec<(Offset, Envelope<P>)>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if !self.reading(store).is_some_and(|reading| reading.is_active) {
            return;
        }
        let (consumer, redelivered) = (self.client, false);
        for (index, (offset, envelope)) in messages.into_iter().enumerate() {
            let message = envelope.message;
            observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered });
            let begins_chunk = index == 0;
            let (is_orphan, is_stale) = (false, false);
            self.in_hand.push_back(InHand { message, store, offset, begins_chunk, is_orphan, is_stale });
        }
        self.work(now, out, observer);
    }

    /// Begins the work on the front, if it is not at work. The broker may send another chunk then.
    fn work<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let Some(&InHand { message, store, begins_chunk, .. }) = self.in_hand.front() else { return };
        if self.worker.is_busy() {
            return;
        }
        self.worker.begin(now, message, observer);
        if begins_chunk && matches!(self.config.credit, StreamCredit::Chunks(_)) {
            self.send(Message::CreditStream { store, count: 1 }, out);
        }
    }

    /// Forgets what it has not begun to work on of a stream. The work in hand goes on, for nothing.
    fn drop_unbegun(&mut self, store: StoreId) {
        let is_of = |held: &InHand| held.store == store;
        let mut index = 0;
        let is_busy = self.worker.is_busy();
        self.in_hand.retain_mut(|held| {
            index += 1;
            held.is_orphan |= is_of(held);
            !is_of(held) || (index == 1 && is_busy)
        });
    }

    /// Somebody else goes on with a stream: it stores what it has done there, and says so.
    fn step_down<P, O: Observer>(&mut self, now: Time, store: StoreId, out: &mut Outbox<P>, observer: &mut O) {
        let (consumer, reader) = (self.client, self.reader());
        let Some(index) = self.readings.iter().position(|reading| reading.store == store) else { return };
        if self.config.tracking.is_some() {
            self.store_offset(now, index, out, observer);
        }
        self.drop_unbegun(store);
        let reading = &mut self.readings[index];
        (reading.is_active, reading.done) = (false, None);
        let generation = Count::new(reading.turns);
        observer.observe(now, Event::Revoked { consumer, store, generation });
        self.send(Message::SteppedDown { store, reader }, out);
        self.work(now, out, observer);
    }

    /// Does what is due: finishes work, stores where it is, connects again.
    pub fn handle_timeout<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.worker.is_paused() {
            return;
        }
        if self.reconnect_at.take_if(|at| *at <= now).is_some() {
            self.send(Message::Connect, out);
        }
        // Work that takes no time is done at once, one message after the other.
        while self.worker.finish(now) {
            self.worked(now, out, observer);
            self.work(now, out, observer);
        }
        if self.store_at.is_some_and(|at| at <= now) {
            if !self.is_cut_off {
                self.store_all(now, out, observer);
            }
            self.begin_interval(now);
        }
    }

    /// When the next of these is due.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.worker.is_paused() {
            return None;
        }
        [self.worker.done_at(), self.store_at, self.reconnect_at].into_iter().flatten().min()
    }

    fn begin_interval(&mut self, now: Time) {
        self.store_at = self.config.tracking.map(|tracking| now.saturating_add(tracking.interval));
    }

    /// The work on the front is over.
    fn worked<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let held = *self.in_hand.front().expect("work in hand is about the front");
        let InHand { message, store, offset, is_orphan, .. } = held;
        let consumer = self.client;
        if self.failures.is_some_and(|law| law.fails(message, self.attempts)) {
            observer.observe(now, Event::Failed { message, consumer, store, offset });
            self.attempts += 1;
            if !is_orphan && (self.config.max_attempts == 0 || self.attempts < self.config.max_attempts) {
                return self.worker.begin(now, message, observer);
            }
        } else {
            observer.observe(now, Event::Processed { message, consumer, store, offset });
        }
        self.attempts = 0;
        self.in_hand.pop_front();
        if !is_orphan {
            self.done(now, held, out, observer);
        }
    }

    /// The application is done with a message of a stream that it still reads.
    fn done<P, O: Observer>(
        &mut self,
        now: Time,
        InHand { message, store, offset, is_stale, .. }: InHand,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if matches!(self.config.credit, StreamCredit::Messages(_)) && !is_stale {
            let (consumer, outcome) = (self.client, Outcome::Ack);
            observer.observe(now, Event::Settled { message, consumer, store, offset, outcome });
            self.send(Message::CreditStream { store, count: 1 }, out);
        }
        let index = self.readings.iter().position(|reading| reading.store == store);
        let index = index.expect("what is in hand comes from a stream that it reads");
        let reading = &mut self.readings[index];
        reading.done = Some(offset);
        reading.unstored += 1;
        let is_many = |every| self.readings[index].unstored >= every;
        if self.config.tracking.is_some_and(|tracking| is_many(tracking.every)) && !self.is_cut_off {
            self.store_offset(now, index, out, observer);
        }
    }

    fn store_all<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        for index in 0..self.readings.len() {
            if self.config.tracking.is_some() && self.readings[index].is_active {
                self.store_offset(now, index, out, observer);
            }
        }
    }

    /// Lets the broker keep the last message that is done, if that is news.
    fn store_offset<P, O: Observer>(&mut self, now: Time, index: usize, out: &mut Outbox<P>, observer: &mut O) {
        let (consumer, reader) = (self.client, self.reader());
        let Reading { store, done: Some(offset), unstored: 1.., .. } = self.readings[index] else { return };
        self.readings[index].unstored = 0;
        // The protocol has no answer to this.
        observer.observe(now, Event::Committed { consumer, store, offset: offset.next() });
        self.send(Message::StoreStreamOffset { store, reader, offset }, out);
    }
}
