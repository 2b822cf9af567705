//! The classic queue: a pure component that knows order and state of messages and nothing of clients.

use std::collections::BTreeSet;

use brokerlab_event::{MessageId, Offset, Time};

use crate::log::{Crash, DurableLog, Entry, Log};
use crate::message::Publication;

/// Entries per segment of a queue's log: small enough that a drained queue gives its memory back.
const SEGMENT_ENTRIES: usize = 1024;

/// A message in a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct QueueEntry<P> {
    /// The message.
    pub publication: Publication<P>,
    /// It was delivered and came back at least once.
    pub redelivered: bool,
    state: State,
}

/// Where a message is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ready,
    Delivered,
    Settled,
}

impl<P> Entry for QueueEntry<P> {
    fn bytes(&self) -> u64 {
        self.publication.bytes()
    }
    fn timestamp(&self) -> Time {
        self.publication.timestamp()
    }
}

/// A first-in-first-out queue on a [`Log`]. A message that is returned goes back to its original position,
/// whatever the order of returns (RabbitMQ classic queues since 2.7). A settled message is deleted; the log
/// starts at the oldest message that is not settled.
///
/// ```
/// use brokerlab_broker::queue::ClassicQueue;
/// # use brokerlab_broker::{Envelope, Publication, config::*};
/// # use brokerlab_event::*;
/// # let message = |n| Publication { exchange: ExchangeId::DEFAULT, routing_key: RoutingKey(0), properties: None,
/// #     envelope: Envelope { message: MessageId::new(n), key: KeyId::NONE, size: 1, timestamp: Time::ZERO,
/// #         sender: ClientId::new(0), payload: () } };
/// let mut queue = ClassicQueue::default();
/// queue.enqueue(message(1), Time::ZERO);
/// queue.enqueue(message(2), Time::ZERO);
/// let first = queue.deliver().unwrap();
/// let second = queue.deliver().unwrap();
/// queue.requeue(second);
/// queue.requeue(first);
/// assert_eq!(queue.deliver(), Some(first), "back at its original position");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct ClassicQueue<P> {
    log: Log<QueueEntry<P>>,
    /// No message at or after this position was ever delivered.
    fresh: Offset,
    /// Ready messages before `fresh`: those that came back.
    returned: BTreeSet<Offset>,
    ready: u64,
}

/// What is left of a queue when its node has gone down.
#[derive(Clone, PartialEq, Debug)]
pub struct DurableQueue<P>(DurableLog<QueueEntry<P>>);

impl<P> Default for ClassicQueue<P> {
    fn default() -> Self {
        ClassicQueue { log: Log::default(), fresh: Offset::ZERO, returned: BTreeSet::new(), ready: 0 }
    }
}

impl<P> ClassicQueue<P> {
    /// How many messages could be delivered now.
    #[inline]
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// The log underneath.
    #[inline]
    pub fn log(&self) -> &Log<QueueEntry<P>> {
        &self.log
    }

    /// Adds a message at the tail and returns its position.
    #[inline(always)]
    pub fn enqueue(&mut self, publication: Publication<P>, now: Time) -> Offset {
        if self.log.active().len() >= SEGMENT_ENTRIES {
            self.log.roll(now);
        }
        self.ready += 1;
        self.log.append(QueueEntry { publication, redelivered: false, state: State::Ready }, now)
    }

    /// Takes the message at the head for delivery: the oldest that is ready.
    #[inline]
    pub fn deliver(&mut self) -> Option<Offset> {
        self.deliver_with(|_| ()).map(|(offset, ())| offset)
    }

    /// Takes the message at the head for delivery and reads what is wanted of it.
    #[inline]
    pub fn deliver_with<R>(&mut self, read: impl Fn(&QueueEntry<P>) -> R) -> Option<(Offset, R)> {
        if self.ready == 0 {
            return None;
        }
        self.ready -= 1;
        if !self.returned.is_empty() {
            let offset = self.returned.pop_first()?;
            let entry = self.entry_mut(offset);
            entry.state = State::Delivered;
            return Some((offset, read(entry)));
        }
        // Settled ones stand between those that were never delivered after a recovery.
        loop {
            let offset = self.fresh;
            self.fresh = offset.next();
            let entry = self.entry_mut(offset);
            if entry.state == State::Ready {
                entry.state = State::Delivered;
                return Some((offset, read(entry)));
            }
        }
    }

    /// The message at a position. `None` once it is settled and gone.
    #[inline]
    pub fn entry(&self, offset: Offset) -> Option<&QueueEntry<P>> {
        self.log.entry(offset).filter(|entry| entry.state != State::Settled)
    }

    #[inline]
    fn entry_mut(&mut self, offset: Offset) -> &mut QueueEntry<P> {
        self.log.entry_mut(offset).expect("a message that is not settled is in the log")
    }

    /// Puts a delivered message back to its original position and marks it as redelivered. Tells which it is.
    ///
    /// # Panics
    /// Panics where the message is not out for delivery.
    pub fn requeue(&mut self, offset: Offset) -> MessageId {
        let entry = self.entry_mut(offset);
        assert!(entry.state == State::Delivered, "only a delivered message can come back");
        entry.state = State::Ready;
        entry.redelivered = true;
        let message = entry.publication.envelope.message;
        self.returned.insert(offset);
        self.ready += 1;
        message
    }

    /// Deletes a delivered message. Tells which it was, and its size in bytes.
    ///
    /// # Panics
    /// Panics where the message is not out for delivery.
    #[inline(always)]
    pub fn settle(&mut self, offset: Offset) -> (MessageId, u32) {
        let entry = self.entry_mut(offset);
        assert!(entry.state == State::Delivered, "only a delivered message can be settled");
        entry.state = State::Settled;
        let (message, size) = (entry.publication.envelope.message, entry.publication.envelope.size);
        if offset == self.log.start() {
            self.trim(offset.next());
        }
        (message, size)
    }

    /// Deletes everything that is ready, in order of position, and tells of each message.
    pub fn purge(&mut self, mut gone: impl FnMut(Offset, &Publication<P>)) -> u64 {
        let count = self.ready;
        while let Some(offset) = self.deliver() {
            let entry = self.entry_mut(offset);
            entry.state = State::Settled;
            gone(offset, &entry.publication);
        }
        self.trim(self.log.start());
        count
    }

    /// Moves the start of the log past settled messages. Those before `start` are settled all.
    #[inline(always)]
    fn trim(&mut self, mut start: Offset) {
        while self.log.entry(start).is_some_and(|entry| entry.state == State::Settled) {
            start = start.next();
        }
        self.log.trim(start);
        self.fresh = self.fresh.max(start);
    }

    /// Every message that is not settled, in order of position.
    pub fn messages(&self) -> impl Iterator<Item = &Publication<P>> {
        let entries = self.log.entries_from(self.log.start()).map(|(_, entry)| entry);
        entries.filter(|entry| entry.state != State::Settled).map(|entry| &entry.publication)
    }

    /// The driver has made everything before this position durable.
    #[inline]
    pub fn mark_flushed(&mut self, until: Offset) {
        self.log.mark_flushed(until);
    }

    /// What survives when the node goes down now.
    pub fn crash(self, kind: Crash) -> DurableQueue<P> {
        DurableQueue(self.log.crash(kind))
    }

    /// The queue of a node that comes back: messages that were out for delivery are ready again at their old
    /// place, marked as redelivered.
    pub fn recover(durable: DurableQueue<P>) -> ClassicQueue<P> {
        let mut log = Log::recover(durable.0);
        let mut ready = 0;
        let (mut offset, end) = (log.start(), log.end());
        while offset < end {
            if let Some(entry) = log.entry_mut(offset) {
                if entry.state == State::Delivered {
                    entry.state = State::Ready;
                    entry.redelivered = true;
                }
                ready += u64::from(entry.state == State::Ready);
            }
            offset = offset.next();
        }
        ClassicQueue { fresh: log.start(), log, returned: BTreeSet::new(), ready }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ExchangeId, RoutingKey};
    use crate::message::Envelope;
    use brokerlab_event::{ClientId, KeyId};

    fn queue(messages: u64) -> ClassicQueue<()> {
        let mut queue = ClassicQueue::default();
        for number in 0..messages {
            let envelope = Envelope {
                message: MessageId::new(number),
                key: KeyId::NONE,
                size: 1,
                timestamp: Time::ZERO,
                sender: ClientId::new(0),
                payload: (),
            };
            let (exchange, routing_key) = (ExchangeId::DEFAULT, RoutingKey(0));
            queue.enqueue(Publication { envelope, exchange, routing_key, properties: None }, Time::ZERO);
        }
        queue
    }

    fn drain(queue: &mut ClassicQueue<()>) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| {
            let offset = queue.deliver()?;
            let entry = queue.entry(offset).unwrap();
            Some((entry.publication.envelope.message.get(), entry.redelivered))
        })
        .collect()
    }

    #[test]
    fn returns_in_any_order_restore_the_order_of_publishing() {
        let mut queue = queue(4);
        let taken: Vec<Offset> = (0..3).map(|_| queue.deliver().unwrap()).collect();
        for index in [2, 0, 1] {
            queue.requeue(taken[index]);
        }
        assert_eq!(drain(&mut queue), [(0, true), (1, true), (2, true), (3, false)]);
    }

    #[test]
    fn settling_out_of_order_trims_the_log_as_soon_as_the_head_is_settled() {
        let mut queue = queue(3);
        let taken: Vec<Offset> = (0..3).map(|_| queue.deliver().unwrap()).collect();
        queue.settle(taken[1]);
        assert_eq!((queue.log().len(), queue.messages().count()), (3, 2));
        queue.settle(taken[0]);
        assert_eq!((queue.log().len(), queue.log().start().get()), (1, 2));
        queue.settle(taken[2]);
        assert!(queue.log().is_empty() && queue.entry(taken[2]).is_none());
    }

    #[test]
    fn a_long_queue_gives_its_memory_back_segment_by_segment() {
        let mut queue = queue(5_000);
        for _ in 0..5_000 {
            let offset = queue.deliver().unwrap();
            queue.settle(offset);
        }
        assert_eq!((queue.log().segments().len(), queue.log().bytes(), queue.ready()), (1, 0, 0));
    }

    #[test]
    fn purging_removes_what_is_ready_and_leaves_what_is_out() {
        let mut queue = queue(4);
        let out = queue.deliver().unwrap();
        let mut gone = Vec::new();
        assert_eq!(queue.purge(|_, publication| gone.push(publication.envelope.message.get())), 3);
        assert_eq!(gone, [1, 2, 3]);
        queue.requeue(out);
        assert_eq!(drain(&mut queue), [(0, true)]);
    }

    #[test]
    fn a_power_loss_cuts_the_unflushed_tail_and_returns_what_was_out() {
        let mut queue = queue(4);
        let (first, second) = (queue.deliver().unwrap(), queue.deliver().unwrap());
        queue.settle(second);
        queue.mark_flushed(Offset::new(3));
        let mut recovered = ClassicQueue::recover(queue.crash(Crash::Power));
        assert_eq!(recovered.ready(), 2);
        assert_eq!(drain(&mut recovered), [(first.get(), true), (2, false)]);
    }
}
