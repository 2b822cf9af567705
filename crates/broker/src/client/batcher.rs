//! A producer that appends batches to the partitions of a topic.

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_event::{
    ClientId, Count, Departure, Duration, Event, Generator, MessageId, NodeId, Observer, Refusal, StoreId, Time,
};

use crate::config::{Acks, ProducerConfig, ProducerKind};
use crate::message::{Address, Envelope, LogError, Message, Outbox};
use crate::partitioner::{LoadTable, Sticky};

/// Records on their way into one partition.
#[derive(Clone, Debug)]
struct Lane<P> {
    store: StoreId,
    /// Full batches, oldest first.
    sealed: VecDeque<Vec<Envelope<P>>>,
    /// The batch that records are added to.
    open: Vec<Envelope<P>>,
    open_bytes: u32,
    /// Counts the batches of this lane, to tell whether a lingering one is still open.
    serial: u64,
    /// The open batch has lingered long enough and stands in the queue, still open to records.
    is_due: bool,
}

/// A batch whose answer is awaited.
#[derive(Clone, Debug)]
struct InFlight {
    correlation: u32,
    messages: Vec<MessageId>,
}

/// A producer on the log side. A batch leaves when it is full or has lingered long enough, and no more than
/// a number of requests are awaited. There are no retries: connections lose nothing while they live.
#[derive(Clone, Debug)]
pub struct Batcher<P> {
    client: ClientId,
    node: NodeId,
    acks: Acks,
    linger: Duration,
    batch_bytes: u32,
    max_in_flight: usize,
    /// The hash of every key.
    hashes: Arc<[u32]>,
    sticky: Sticky,
    lanes: Vec<Lane<P>>,
    /// Lanes with a batch to send, in the order in which the batches became ready; once for each batch.
    ready: VecDeque<u32>,
    /// When open batches have lingered long enough: time, lane, serial. The front is always such a batch.
    lingering: VecDeque<(Time, u32, u64)>,
    in_flight: VecDeque<InFlight>,
    /// Grows through restarts, so that no answer is taken for that to another request.
    correlation: u32,
    /// Memory of answered requests.
    spare: Vec<Vec<MessageId>>,
}

impl<P: Clone> Batcher<P> {
    /// A producer that is down. `hashes` are those of the keys ([`KeyHash::table`](crate::partitioner::KeyHash::table));
    /// the generator chooses for records without one.
    ///
    /// # Panics
    /// Panics where the configuration is that of a publisher.
    pub fn new(config: &ProducerConfig, hashes: Arc<[u32]>, generator: Generator) -> Batcher<P> {
        let ProducerKind::Batcher { partitions, acks, linger, batch_bytes, max_in_flight } = &config.kind else {
            panic!("a publisher sends to an exchange; it is another machine");
        };
        Batcher {
            client: config.client,
            node: config.node,
            acks: *acks,
            linger: *linger,
            batch_bytes: *batch_bytes,
            max_in_flight: *max_in_flight as usize,
            hashes,
            sticky: Sticky::new(partitions.len() as u32, *batch_bytes, generator),
            lanes: partitions.iter().map(|store| Lane::new(*store)).collect(),
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            in_flight: VecDeque::new(),
            correlation: 0,
            spare: Vec::new(),
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

    /// The process dies. What it had gathered is never sent; what was not confirmed stays so.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        self.abandon();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order: it sends everything that it has gathered before it closes the connection.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while let Some(lane) = self.ready.pop_front() {
            self.send_batch(now, lane, out, observer);
        }
        for lane in 0..self.lanes.len() as u32 {
            if !self.lanes[lane as usize].open.is_empty() {
                self.send_batch(now, lane, out, observer);
            }
        }
        self.send(Message::Disconnect, out);
        self.abandon();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn abandon(&mut self) {
        for lane in &mut self.lanes {
            *lane = Lane::new(lane.store);
        }
        self.ready.clear();
        self.lingering.clear();
        self.in_flight.clear();
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
        match message {
            Message::Offer { envelope: record, .. } => {
                self.gather(now, record);
                self.send_ready(now, out, observer);
            }
            Message::Produced { correlation, result, .. } => {
                self.answered(now, correlation, result.err(), observer);
                self.send_ready(now, out, observer);
            }
            Message::Reply { message, .. } => {
                observer.observe(now, Event::Replied { message, producer: self.client });
            }
            // What was in flight stays unconfirmed; what was gathered goes out on a new connection.
            Message::ConnectionLost => {
                self.in_flight.clear();
                self.send(Message::Connect, out);
                self.send_ready(now, out, observer);
            }
            _ => {}
        }
    }

    /// Sends the batches that have lingered long enough.
    #[inline]
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while let Some((due, lane, _)) = self.lingering.front().copied()
            && due <= now
        {
            self.lingering.pop_front();
            self.lanes[lane as usize].is_due = true;
            self.ready.push_back(lane);
            self.drop_sent_from_lingering();
        }
        self.send_ready(now, out, observer);
    }

    /// When the oldest open batch has lingered long enough.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.lingering.front().map(|(due, _, _)| *due)
    }

    /// Adds a record to the batch of its partition, or to a new one where it does not fit.
    fn gather(&mut self, now: Time, record: Envelope<P>) {
        let (key, size) = (record.key.some(), record.size);
        let index = key.map_or_else(|| self.sticky.current(), |key| self.hashes[key.index()] % self.lanes.len() as u32);
        let lane = &mut self.lanes[index as usize];
        if !lane.open.is_empty() && lane.open_bytes.saturating_add(size) > self.batch_bytes {
            lane.seal(index, &mut self.ready);
        }
        if lane.open.is_empty() {
            self.lingering.push_back((now.saturating_add(self.linger), index, lane.serial));
        }
        lane.open.push(record);
        lane.open_bytes = lane.open_bytes.saturating_add(size);
        if lane.open_bytes >= self.batch_bytes {
            lane.seal(index, &mut self.ready);
        }
        if key.is_none() {
            let all_full = self.lanes[index as usize].open.is_empty();
            if self.sticky.appended(size, all_full) {
                self.sticky.move_on(&LoadTable::default());
            }
        }
        if self.linger.is_zero()
            && let lane = &mut self.lanes[index as usize]
            && !lane.open.is_empty()
            && !lane.is_due
        {
            lane.is_due = true;
            self.ready.push_back(index);
            self.lingering.pop_back();
        }
        self.drop_sent_from_lingering();
    }

    fn drop_sent_from_lingering(&mut self) {
        while let Some((_, lane, serial)) = self.lingering.front()
            && self.lanes[*lane as usize].serial != *serial
        {
            self.lingering.pop_front();
        }
    }

    fn send_ready<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while self.in_flight.len() < self.max_in_flight
            && let Some(lane) = self.ready.pop_front()
        {
            self.send_batch(now, lane, out, observer);
        }
    }

    fn send_batch<O: Observer>(&mut self, now: Time, lane: u32, out: &mut Outbox<P>, observer: &mut O) {
        let lane = &mut self.lanes[lane as usize];
        let (store, records) = (lane.store, lane.next_batch());
        self.drop_sent_from_lingering();
        for record in &records {
            let (message, attempt) = (record.message, Count::new(1));
            observer.observe(now, Event::Sent { message, producer: self.client, attempt });
        }
        let (correlation, acks) = (self.correlation, self.acks);
        self.correlation = correlation.wrapping_add(1);
        if acks != Acks::None {
            let mut messages = self.spare.pop().unwrap_or_default();
            messages.extend(records.iter().map(|record| record.message));
            self.in_flight.push_back(InFlight { correlation, messages });
        }
        self.send(Message::Produce { store, correlation, acks, batch: records.into() }, out);
    }

    fn answered<O: Observer>(&mut self, now: Time, correlation: u32, error: Option<LogError>, observer: &mut O) {
        let Some(index) = self.in_flight.iter().position(|request| request.correlation == correlation) else {
            return;
        };
        let InFlight { mut messages, .. } = self.in_flight.remove(index).expect("found just now");
        let producer = self.client;
        for message in messages.drain(..) {
            observer.observe(
                now,
                match error {
                    None => Event::Confirmed { message, producer },
                    Some(LogError::TooLarge) => Event::Refused { message, producer, reason: Refusal::TooLarge },
                    // There is no other place to send it to: partitions do not move.
                    Some(_) => Event::Refused { message, producer, reason: Refusal::NotFound },
                },
            );
        }
        self.spare.push(messages);
    }
}

impl<P> Lane<P> {
    fn new(store: StoreId) -> Lane<P> {
        Lane { store, sealed: VecDeque::new(), open: Vec::new(), open_bytes: 0, serial: 0, is_due: false }
    }

    /// Ends the open batch. One that is due stands in the queue already.
    fn seal(&mut self, index: u32, ready: &mut VecDeque<u32>) {
        if !self.is_due {
            ready.push_back(index);
        }
        self.is_due = false;
        self.serial += 1;
        self.open_bytes = 0;
        self.sealed.push_back(std::mem::take(&mut self.open));
    }

    /// Takes the oldest batch.
    fn next_batch(&mut self) -> Vec<Envelope<P>> {
        self.sealed.pop_front().unwrap_or_else(|| {
            self.is_due = false;
            self.serial += 1;
            self.open_bytes = 0;
            std::mem::take(&mut self.open)
        })
    }
}
