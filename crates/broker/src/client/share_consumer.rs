//! A consumer of a share group, working as Kafka's share consumer does: it polls, works on what the poll returned, and
//! tells the broker with its next poll what became of that.

use std::collections::VecDeque;

use brokerlab_event::{
    ApplicationId, ClientId, Count, Departure, Event, FailureLaw, MessageId, NodeId, Observer, Offset, Outcome,
    StoreId, Time,
};

use super::Worker;
use crate::client::group_member::RECONNECT_BACKOFF;
use crate::config::{ConsumerConfig, ConsumerKind, OnShareFailure, ShareAcknowledge, ShareConsumerConfig};
use crate::message::{Address, Envelope, Member, Message, Outbox, SharedPartition};
use crate::share_partition::{Acknowledged, Acknowledgement};

/// Where a membership stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Membership {
    /// The process is down.
    Down,
    /// It waits to be told its partitions.
    Joining,
    /// It reads.
    Active,
}

/// A record in the hands of the application.
#[derive(Clone, Copy, Debug)]
struct InHand {
    message: MessageId,
    store: StoreId,
    offset: Offset,
    /// How often it was delivered, this time included.
    delivery_count: u32,
}

/// What the broker is to be told of an offset.
#[derive(Clone, Copy, Debug)]
struct Word {
    store: StoreId,
    offset: Offset,
    /// Nothing where there is no record at the offset.
    message: Option<MessageId>,
    kind: Acknowledgement,
}

/// A consumer of a share group.
#[derive(Clone, Debug)]
pub struct ShareConsumer {
    client: ClientId,
    application: ApplicationId,
    node: NodeId,
    config: ShareConsumerConfig,
    failures: Option<FailureLaw>,
    worker: Worker,
    membership: Membership,
    /// Which of this client's processes it is.
    incarnation: u32,
    /// What the last poll returned and the application has not done. The front is being worked on.
    batch: VecDeque<InHand>,
    /// What the broker has not been told yet.
    words: Vec<Word>,
    /// The fetch that is awaited.
    fetching: Option<u32>,
    correlation: u32,
    next_heartbeat: Option<Time>,
    next_renewal: Option<Time>,
    /// Its connection broke, and there is no other yet: nothing that it says is heard.
    is_cut_off: bool,
    reconnect_at: Option<Time>,
}

impl ShareConsumer {
    /// A consumer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is not that of a member of a share group.
    pub fn new(config: &ConsumerConfig) -> ShareConsumer {
        let ConsumerKind::Share(own) = config.kind else {
            panic!("only a member of a share group shares records; others are other machines");
        };
        ShareConsumer {
            client: config.client,
            application: config.application,
            node: config.node,
            config: own,
            failures: config.failures,
            worker: Worker::new(config.client, config.work),
            membership: Membership::Down,
            incarnation: 0,
            batch: VecDeque::new(),
            words: Vec::new(),
            fetching: None,
            correlation: 0,
            next_heartbeat: None,
            next_renewal: None,
            is_cut_off: false,
            reconnect_at: None,
        }
    }

    fn member(&self) -> Member {
        Member { client: self.client, incarnation: self.incarnation }
    }

    fn send<P>(&self, message: Message<P>, out: &mut Outbox<P>) {
        out.send(Address::Client(self.client), Address::Node(self.node), message);
    }

    /// The process starts, connects and joins its group.
    pub fn start<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.incarnation += 1;
        self.send(Message::Connect, out);
        self.join(now, out);
    }

    fn join<P>(&mut self, now: Time, out: &mut Outbox<P>) {
        self.membership = Membership::Joining;
        self.fetching = None;
        self.beat(now, out);
    }

    fn beat<P>(&mut self, now: Time, out: &mut Outbox<P>) {
        self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_interval));
        self.send(Message::ShareHeartbeat { group: self.application, member: self.member() }, out);
    }

    /// The process dies with what it holds.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: it tells what it has done, where it does so explicitly, and leaves its group,
    /// which releases the rest.
    pub fn leave<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let group = self.application;
        if self.config.acknowledge == ShareAcknowledge::Implicit {
            self.words.retain(|word| word.message.is_none());
        }
        let acknowledged = self.take_words(now, observer);
        if !acknowledged.is_empty() {
            self.send(Message::ShareAcknowledge { group, member: self.member(), acknowledged }, out);
        }
        self.send(Message::LeaveShareGroup { group, member: self.member() }, out);
        self.send(Message::Disconnect, out);
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn stop(&mut self) {
        self.worker.abandon();
        self.batch.clear();
        self.words.clear();
        self.membership = Membership::Down;
        (self.fetching, self.next_heartbeat, self.next_renewal) = (None, None, None);
        (self.is_cut_off, self.reconnect_at) = (false, None);
    }

    /// The connection broke: the broker has released what it held, and it tries to connect again. What it has in hand
    /// it works off; that comes too late, and who gets the records then does the work again.
    fn cut_off<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if !self.is_cut_off {
            observer.observe(now, Event::ConnectionLost { client: self.client });
        }
        self.is_cut_off = true;
        self.membership = Membership::Joining;
        (self.fetching, self.next_heartbeat, self.next_renewal) = (None, None, None);
        self.reconnect_at = Some(now.saturating_add(RECONNECT_BACKOFF));
    }

    /// The process, to be paused or slowed. While it stands still it sends no heartbeats either; once it goes on,
    /// whatever has become due meanwhile is done at once.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// How many messages it holds that are not done.
    pub fn unsettled(&self) -> u64 {
        self.batch.len() as u64
    }

    /// At the end of a run: tells what it holds.
    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        for in_hand in &self.batch {
            observer.observe(now, Event::Remaining { message: in_hand.message, application: self.application });
        }
    }

    /// Handles one message where it is. What is left of it means nothing.
    pub fn handle<P: Clone, O: Observer>(
        &mut self,
        now: Time,
        message: &mut Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if self.membership == Membership::Down {
            return;
        }
        match message {
            Message::ShareFetched { correlation, partitions } if self.fetching == Some(*correlation) => {
                self.fetching = None;
                self.fetched(now, std::mem::take(partitions), observer);
                self.go_on(now, out, observer);
            }
            Message::ShareAssigned { member, .. }
                if *member == self.member() && self.membership == Membership::Joining =>
            {
                self.membership = Membership::Active;
                self.poll_if_idle(now, out, observer);
            }
            Message::ConnectionBroken { .. } => self.cut_off(now, observer),
            Message::ConnectionRestored { .. } if self.is_cut_off => {
                observer.observe(now, Event::Reconnected { client: self.client });
                self.is_cut_off = false;
                self.join(now, out);
            }
            // Heartbeats that are answered, acknowledgements that come too late: the records are somebody else's, and
            // whoever has them now will tell what becomes of them. And answers to what is no longer asked.
            _ => {}
        }
    }

    /// Does what is due: finishes work, sends heartbeats, renews locks.
    pub fn handle_timeout<P: Clone, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.worker.is_paused() {
            return;
        }
        if self.reconnect_at.take_if(|at| *at <= now).is_some() {
            self.send(Message::Connect, out);
        }
        if self.next_heartbeat.is_some_and(|at| at <= now) {
            self.beat(now, out);
        }
        if self.next_renewal.is_some_and(|at| at <= now) {
            self.renew(now, out, observer);
        }
        // Work that takes no time is done at once, one record after the other.
        while self.worker.finish(now) {
            self.worked(now, observer);
            self.go_on(now, out, observer);
        }
    }

    /// When the next of these is due.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.worker.is_paused() {
            return None;
        }
        let due = [self.worker.done_at(), self.next_heartbeat, self.next_renewal, self.reconnect_at];
        due.into_iter().flatten().min()
    }

    /// The next record of the batch, or the next poll.
    fn go_on<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        match self.batch.front() {
            Some(front) => self.worker.begin(now, front.message, observer),
            None => self.poll_if_idle(now, out, observer),
        }
    }

    /// The application asks for records, and with that tells what became of those that it had.
    fn poll_if_idle<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let idle = self.batch.is_empty() && self.fetching.is_none();
        if !idle || self.membership != Membership::Active {
            return;
        }
        self.next_renewal = None;
        self.correlation = self.correlation.wrapping_add(1);
        self.fetching = Some(self.correlation);
        let (group, member, correlation) = (self.application, self.member(), self.correlation);
        let (max_records, acknowledged) = (self.config.max_poll_records, self.take_words(now, observer));
        self.send(Message::ShareFetch { group, member, correlation, max_records, acknowledged }, out);
    }

    /// Takes what was acquired into hand. Of offsets without a record the broker is told that there is none.
    fn fetched<P, O: Observer>(&mut self, now: Time, partitions: Vec<SharedPartition<P>>, observer: &mut O) {
        for SharedPartition { store, acquired, records } in partitions {
            if let (Some((offset, _)), count) = (records.first(), Count::saturating(records.len() as u64)) {
                observer.observe(now, Event::Polled { consumer: self.client, store, offset: *offset, count });
            }
            let mut records = records.into_iter().peekable();
            for own in acquired {
                for offset in (own.first.get()..=own.last.get()).map(Offset::new) {
                    match records.next_if(|(at, _)| *at == offset) {
                        Some((_, record)) => self.take(now, record, store, offset, own.delivery_count, observer),
                        None => self.words.push(Word { store, offset, message: None, kind: Acknowledgement::Gap }),
                    }
                }
            }
        }
        if !self.batch.is_empty() {
            self.next_renewal = self.config.renew_every.map(|every| now.saturating_add(every));
        }
    }

    fn take<P, O: Observer>(
        &mut self,
        now: Time,
        record: Envelope<P>,
        store: StoreId,
        offset: Offset,
        delivery_count: u32,
        observer: &mut O,
    ) {
        let (message, consumer, redelivered) = (record.message, self.client, delivery_count > 1);
        observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered });
        self.batch.push_back(InHand { message, store, offset, delivery_count });
    }

    /// The work on the front of the batch is over.
    fn worked<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let InHand { message, store, offset, delivery_count } =
            self.batch.pop_front().expect("work in hand is about the front of the batch");
        let consumer = self.client;
        let failed = self.failures.is_some_and(|law| law.fails(message, delivery_count - 1));
        observer.observe(
            now,
            if failed {
                Event::Failed { message, consumer, store, offset }
            } else {
                Event::Processed { message, consumer, store, offset }
            },
        );
        let kind = match self.config.acknowledge {
            ShareAcknowledge::Explicit(OnShareFailure::Release) if failed => Acknowledgement::Release,
            ShareAcknowledge::Explicit(OnShareFailure::Reject) if failed => Acknowledgement::Reject,
            ShareAcknowledge::Explicit(_) | ShareAcknowledge::Implicit => Acknowledgement::Accept,
        };
        self.words.push(Word { store, offset, message: Some(message), kind });
    }

    /// Tells what is done so far, and that it is still at work on the rest.
    fn renew<P, O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.next_renewal = self.config.renew_every.map(|every| now.saturating_add(every));
        let kind = Acknowledgement::Renew;
        let still = self.batch.iter().map(|held| Word { store: held.store, offset: held.offset, message: None, kind });
        self.words.extend(still);
        let (group, member, acknowledged) = (self.application, self.member(), self.take_words(now, observer));
        self.send(Message::ShareAcknowledge { group, member, acknowledged }, out);
    }

    /// What is to be told, with neighbours told of together.
    fn take_words<O: Observer>(&mut self, now: Time, observer: &mut O) -> Vec<(StoreId, Acknowledged)> {
        let mut told: Vec<(StoreId, Acknowledged)> = Vec::new();
        self.words.sort_by_key(|word| (word.store, word.offset));
        for Word { store, offset, message, kind } in self.words.drain(..) {
            let outcome = match kind {
                Acknowledgement::Release => Outcome::Requeue,
                Acknowledgement::Reject => Outcome::Reject,
                Acknowledgement::Accept | Acknowledgement::Gap | Acknowledgement::Renew => Outcome::Ack,
            };
            if let Some(message) = message {
                observer.observe(now, Event::Settled { message, consumer: self.client, store, offset, outcome });
            }
            match told.last_mut() {
                Some((last_store, last)) if *last_store == store && last.last.next() == offset => {
                    last.last = offset;
                    last.kinds.push(kind);
                }
                _ => told.push((store, Acknowledged { first: offset, last: offset, kinds: vec![kind] })),
            }
        }
        for (_, told) in &mut told {
            if told.kinds.iter().all(|kind| *kind == told.kinds[0]) {
                told.kinds.truncate(1);
            }
        }
        told
    }
}
