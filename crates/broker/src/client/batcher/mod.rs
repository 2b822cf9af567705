//! A producer that appends batches to the partitions of a topic.
//!
//! It works like the Java client: `send()` puts a record into the batch of its partition ([`accumulator`]), and a sender
//! takes batches from there, a request at a time ([`sender`]). A record is done with once its batch is confirmed or
//! refused, or its time is over.

mod accumulator;
mod connections;
mod sender;
mod sequences;
mod transactions;

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_event::{Blockage, ClientId, Departure, Duration, Event, Generator, Observer, Refusal, Time};

use self::accumulator::{Accumulator, Gathered};
use self::connections::{Connection, Leader, Link};
use self::sender::InFlight;
use self::sequences::Sequences;
use self::transactions::Transactions;
use crate::config::{BatcherConfig, ProducerConfig, ProducerKind};
use crate::message::{Address, Envelope, Message, Outbox};
use crate::transaction::Instance;

/// A producer on the log side.
///
/// - A batch is worth sending when it is full or has lingered long enough, or when memory is short. A request then takes
///   the first batch of every partition that may have one sent, and so many requests may be under way.
/// - Without memory for another batch, `send()` blocks, and everything that the demand asks for meanwhile waits with it.
/// - A batch that fails, or whose connection is lost, is sent again after a while, *before* those behind it. Batches
///   that are under way already may land before it does.
/// - An idempotent producer numbers its records, so that the broker stores none twice and refuses a batch that comes too
///   early; batches of a partition that are sent again go one at a time, in order.
/// - A transactional producer sends nothing outside a transaction. Its records are confirmed when their transaction is
///   committed, and refused when it is aborted.
/// - When a batch is older than the delivery timeout the application is told so: nobody knows then whether it was stored.
#[derive(Clone, Debug)]
pub struct Batcher<P> {
    client: ClientId,
    config: BatcherConfig,
    gathered: Accumulator<P>,
    /// The first is with the node that it is told of, which coordinates its transactions.
    connections: Vec<Connection>,
    /// Who leads each partition; nothing where there is one node only.
    leaders: Vec<Leader>,
    /// Batches under way, in the order in which they were sent.
    in_flight: VecDeque<InFlight<P>>,
    /// Grows through restarts, so that no answer is taken for that to another request.
    correlation: u32,
    /// When the record that blocks `send()` is given up.
    blocked_until: Option<Time>,
    /// No batch is older than the delivery timeout before this moment.
    expiry: Option<Time>,
    jitter: Generator,
    /// The numbers of an idempotent producer.
    sequences: Option<Sequences>,
    transactions: Option<Box<Transactions<P>>>,
    /// The request for a producer id that is awaited, of a producer without transactions.
    asked: Option<u32>,
    /// Some partition is to be numbered anew as soon as everything of it is answered, or there is another producer id.
    renumbers: bool,
    /// When it asks which partitions there are.
    refresh_at: Option<Time>,
    /// Some partition has a batch that may not be sent, as it is numbered, before another is answered.
    holds_back: bool,
}

impl<P: Clone> Batcher<P> {
    /// A producer that is down. `hashes` are those of the keys ([`KeyHash::table`](crate::partitioner::KeyHash::table));
    /// one generator chooses partitions for records without a key, and another spreads what is tried again.
    ///
    /// # Panics
    /// Panics where the configuration is that of a publisher.
    pub fn new(config: &ProducerConfig, hashes: Arc<[u32]>, choices: Generator, jitter: Generator) -> Batcher<P> {
        let ProducerKind::Batcher(own) = &config.kind else {
            panic!("a publisher sends to an exchange; it is another machine");
        };
        let mut batcher = Batcher {
            client: config.client,
            gathered: Accumulator::new(own, hashes, choices),
            config: own.clone(),
            connections: vec![Connection::new(config.node)],
            leaders: Vec::new(),
            in_flight: VecDeque::new(),
            correlation: 0,
            blocked_until: None,
            expiry: None,
            jitter,
            sequences: own.idempotence.then(|| Sequences::new(own.partitions.len(), own.transactions.is_some())),
            transactions: own.transactions.map(|config| Box::new(Transactions::new(config, own.partitions.len()))),
            asked: None,
            renumbers: false,
            refresh_at: None,
            holds_back: false,
        };
        batcher.forget_leaders();
        batcher
    }

    fn send(&self, message: Message<P>, out: &mut Outbox<P>) {
        self.send_to(0, message, out);
    }

    #[inline]
    fn send_to(&self, connection: usize, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.connections[connection].node), message);
    }

    /// The process starts and connects.
    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        self.refresh(now, out);
        self.ask_for_id(out);
        self.coordinate(now, out, observer);
    }

    /// Asks which partitions there are, where there may be others than before. A process that has just started goes by
    /// what the one before it knew until the answer comes.
    fn refresh(&mut self, now: Time, out: &mut Outbox<P>) {
        let Some(age) = self.config.metadata_max_age else { return };
        self.refresh_at = Some(now.saturating_add(age));
        if let Some(connection) = self.any_connection() {
            self.send_to(connection, Message::FindPartitions { store: self.gathered.lanes[0].store }, out);
        }
    }

    /// Somebody else may lead a partition: asks again, after a while.
    fn refresh_soon(&mut self, now: Time) {
        if self.config.is_cluster {
            let soon = now.saturating_add(self.config.retry_backoff);
            self.refresh_at = Some(self.refresh_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Asks for a producer id where one is needed and none is there.
    fn ask_for_id(&mut self, out: &mut Outbox<P>) {
        let needs_one = self.sequences.as_ref().is_some_and(|sequences| !sequences.is_assigned());
        if needs_one
            && self.transactions.is_none()
            && self.asked.is_none()
            && let Some(connection) = self.any_connection()
        {
            let correlation = self.correlation;
            self.correlation = correlation.wrapping_add(1);
            self.asked = Some(correlation);
            // Without transactions the time that they may take means nothing.
            let timeout = Duration::ZERO;
            let request = Message::InitProducerId { correlation, transactional: None, timeout, known: None };
            self.send_to(connection, request, out);
        }
    }

    fn id_assigned<O: Observer>(&mut self, now: Time, (id, epoch): Instance, out: &mut Outbox<P>, observer: &mut O) {
        self.asked = None;
        if let Some(sequences) = &mut self.sequences {
            sequences.assigned(id, epoch);
        }
        self.begin_epoch_where_answered(true);
        self.send_ready(now, out, observer);
    }

    /// The process dies. What it had gathered is never sent; what was not confirmed stays so.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let was_over = self.is_over();
        self.abandon(now, observer);
        if was_over {
            return;
        }
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: it sends everything that it has gathered before it closes the connection.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.is_over() {
            return self.abandon(now, observer);
        }
        self.leave_transaction(now, out, observer);
        if self.any_connection().is_some() {
            if self.sequences.as_ref().is_none_or(Sequences::is_assigned) {
                self.flush(now, out, observer);
            }
            let up = (0..self.connections.len()).filter(|place| self.connections[*place].link == Link::Up);
            up.for_each(|connection| self.send_to(connection, Message::Disconnect, out));
        }
        self.abandon(now, observer);
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    /// True where the application has ended because it was shut out.
    fn is_over(&self) -> bool {
        self.transactions.as_ref().is_some_and(|own| own.is_over())
    }

    fn abandon<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.clear_transactions();
        if self.blocked_until.take().is_some() {
            observer.observe(now, Event::Unblocked { client: self.client });
        }
        self.gathered.clear(self.config.buffer_bytes);
        self.in_flight.clear();
        self.expiry = None;
        let Connection { node, next_request, .. } = self.connections[0];
        self.connections[0] = Connection { next_request, ..Connection::new(node) };
        self.forget_leaders();
        if let Some(sequences) = &mut self.sequences {
            sequences.clear();
        }
        (self.asked, self.holds_back, self.renumbers, self.refresh_at) = (None, false, false, None);
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
    #[inline]
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if self.transactions.is_some() {
            return self.handle_in_transaction(now, message, out, observer);
        }
        match message {
            Message::Offer { envelope: record, .. } => {
                self.append(now, record, observer);
                self.send_ready(now, out, observer);
            }
            message => self.handle_answer(now, message, out, observer),
        }
    }

    /// The same for a transactional producer.
    #[inline(never)]
    fn handle_in_transaction<O: Observer>(
        &mut self,
        now: Time,
        message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if self.is_over() {
            return;
        }
        match message {
            Message::Offer { envelope: record, .. } => self.offered_in_transaction(now, record, observer),
            Message::ProducerIdAssigned { correlation, result } | Message::TransactionEnded { correlation, result } => {
                self.coordinator_answered(now, correlation, result.map(Some), out, observer);
            }
            Message::PartitionsAdded { correlation, result } => {
                self.coordinator_answered(now, correlation, result.map(|()| None), out, observer);
            }
            message => self.handle_answer(now, message, out, observer),
        }
        self.go_on(now, out, observer);
    }

    /// Sends what is worth sending, and asks the coordinator for what comes next.
    fn go_on<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.send_ready(now, out, observer);
        if self.transactions.is_some() {
            self.unblock(now, observer);
            self.coordinate(now, out, observer);
        }
    }

    #[inline]
    fn handle_answer<O: Observer>(&mut self, now: Time, message: Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        match message {
            Message::Produced { correlation, result, .. } => {
                self.answered(now, correlation, result.err(), observer);
                self.ask_for_id(out);
                self.unblock(now, observer);
                self.send_ready(now, out, observer);
            }
            Message::Reply { message, .. } => {
                observer.observe(now, Event::Replied { message, producer: self.client });
            }
            Message::ProducerIdAssigned { correlation, result: Ok(identity) } if self.asked == Some(correlation) => {
                self.id_assigned(now, identity, out, observer);
            }
            Message::Partitions { partitions } => self.learn_partitions(now, &partitions, out, observer),
            Message::ConnectionBroken { node } => {
                if let Some(connection) = self.connection_with(node) {
                    self.disconnected(now, connection, observer);
                    self.unblock(now, observer);
                }
            }
            Message::ConnectionRestored { node } => self.reconnected(now, node, out, observer),
            _ => {}
        }
    }

    /// Does what is due: sends, tries again, gives up.
    #[inline]
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.rare_timeout().is_some_and(|at| at <= now) {
            self.handle_rare_timeout(now, out, observer);
        }
        self.go_on(now, out, observer);
    }

    /// How long it waits for an answer before it gives its connection up.
    pub fn request_timeout(&self) -> Duration {
        self.config.request_timeout
    }

    /// When something is due next. While nothing may be sent, it is no matter what is worth sending.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        let ready = Some(self.gathered.ready_at).filter(|at| *at < Time::MAX && self.may_send());
        [ready, self.rare_timeout()].into_iter().flatten().min()
    }

    #[inline]
    fn rare_timeout(&self) -> Option<Time> {
        let timeout = self.config.request_timeout;
        let of_connections = self.connections.iter().filter_map(|connection| connection.next_timeout(timeout)).min();
        let transaction = self.transactions.as_ref().and_then(|own| own.next_timeout(timeout));
        [of_connections, self.expiry, self.blocked_until, transaction, self.refresh_at].into_iter().flatten().min()
    }

    #[cold]
    fn handle_rare_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let timeout = self.config.request_timeout;
        let coordinator_waits = self.transactions.as_ref().is_some_and(|own| own.waits_too_long(now, timeout));
        for place in 0..self.connections.len() {
            if (place == 0 && coordinator_waits) || self.connections[place].waits_too_long(now, timeout) {
                // The client closes a connection on which it waits for too long, and all that is under way there fails.
                self.send_to(place, Message::Disconnect, out);
                self.disconnected(now, place, observer);
            }
            if matches!(self.connections[place].link, Link::Broken(at) if at <= now) {
                self.connections[place].link = Link::Connecting;
                self.send_to(place, Message::Connect, out);
            }
        }
        if self.expiry.is_some_and(|at| at <= now) {
            self.expire(now, observer);
            self.ask_for_id(out);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh(now, out);
        }
        self.unblock(now, observer);
        while self.blocked_until.is_some_and(|at| at <= now) {
            self.give_up_blocked(now, observer);
        }
    }

    /// `send()` of one record. False where the record is refused at once.
    #[inline]
    fn append<O: Observer>(&mut self, now: Time, record: Envelope<P>, observer: &mut O) -> bool {
        let (message, size) = (record.message, record.size);
        if size > self.config.max_request_bytes || u64::from(size) > self.config.buffer_bytes {
            let reason = Refusal::TooLarge;
            observer.observe(now, Event::Refused { message, producer: self.client, reason });
            return false;
        }
        match self.gathered.gather(now, record) {
            Gathered::Taken if self.expiry.is_none() => {
                self.expiry = Some(now.saturating_add(self.config.delivery_timeout));
            }
            Gathered::Taken => {}
            Gathered::Waits => self.block(now, observer),
        }
        true
    }

    #[cold]
    fn block<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if self.blocked_until.is_none() {
            self.blocked_until = Some(now.saturating_add(self.config.max_block));
            observer.observe(now, Event::Blocked { client: self.client, cause: Blockage::Buffer });
        }
    }

    /// Lets those go on that waited for memory, as far as there is some again.
    #[inline]
    fn unblock<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if self.blocked_until.is_some() {
            self.unblock_some(now, observer);
        }
    }

    #[cold]
    fn unblock_some<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let before = self.gathered.waiting();
        if self.gathered.gather_waiting(now) {
            self.blocked_until = None;
            observer.observe(now, Event::Unblocked { client: self.client });
        } else if self.gathered.waiting() < before {
            // Another call of send() blocks now.
            self.blocked_until = Some(now.saturating_add(self.config.max_block));
        }
        self.expiry = self.expiry.or(Some(now.saturating_add(self.config.delivery_timeout)));
    }

    /// The call of `send()` that blocks fails, and the next one begins to wait.
    fn give_up_blocked<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if let Some(message) = self.gathered.give_up_waiting() {
            let reason = Refusal::Timeout;
            observer.observe(now, Event::Refused { message, producer: self.client, reason });
            self.refused_in_transaction(now, message);
        }
        self.blocked_until = Some(now.saturating_add(self.config.max_block));
        self.unblock_some(now, observer);
    }
}
