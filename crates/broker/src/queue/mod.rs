//! The classic queue: a pure component that knows order and state of messages and nothing of clients.

mod order;

use std::collections::BTreeSet;

use brokerlab_event::{MessageId, Offset, Time};

use crate::log::{Crash, DurableLog, Entry, Log};
use crate::message::{Envelope, Publication};
use order::{Arrival, Levels, ReadyOrder};

/// Entries per segment of a queue's log: small enough that a drained queue gives its memory back.
const SEGMENT_ENTRIES: usize = 1024;

/// A message in a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct QueueEntry<P> {
    /// The message.
    pub publication: Publication<P>,
    /// When it expires; [`Time::MAX`] for never.
    pub deadline: Time,
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

/// A queue on a [`Log`]: first in, first out, or with levels of priority (`x-max-priority`). A message that is
/// returned goes back to its original position in its level, whatever the order of returns (RabbitMQ classic queues
/// since 2.7). A settled message is deleted; the log starts at the oldest message that is not settled.
///
/// ```
/// use brokerlab_broker::queue::ClassicQueue;
/// # use brokerlab_broker::{Envelope, Publication, config::*};
/// # use brokerlab_event::*;
/// # let message = |n| Publication { exchange: ExchangeId::DEFAULT, routing_key: RoutingKey(0), properties: None,
/// #     envelope: Envelope { message: MessageId::new(n), key: KeyId::NONE, size: 1, timestamp: Time::ZERO,
/// #         sender: ClientId::new(0), tombstone: false, payload: () } };
/// let mut queue = ClassicQueue::new(None);
/// queue.enqueue(message(1), None, Time::ZERO);
/// queue.enqueue(message(2), None, Time::ZERO);
/// let first = queue.deliver().unwrap();
/// let second = queue.deliver().unwrap();
/// queue.requeue(second);
/// queue.requeue(first);
/// assert_eq!(queue.deliver(), Some(first), "back at its original position");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct ClassicQueue<P> {
    log: Log<QueueEntry<P>>,
    order: ReadyOrder,
    ready: u64,
    ready_bytes: u64,
    /// Some message had a time to live, so the head has to be watched.
    expires: bool,
}

/// What becomes of a message of a queue when its node goes down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtCrash {
    /// It is gone.
    Lost,
    /// It was out for delivery and will be ready again.
    Returned,
    /// It waits, as before.
    Kept,
}

/// What is left of a queue when its node has gone down.
#[derive(Clone, PartialEq, Debug)]
pub struct DurableQueue<P>(DurableLog<QueueEntry<P>>);

impl<P: Clone> ClassicQueue<P> {
    /// An empty queue, with levels of priority from 0 to `max_priority` where that is given.
    pub fn new(max_priority: Option<u8>) -> ClassicQueue<P> {
        ClassicQueue::on(Log::default(), max_priority)
    }

    fn on(log: Log<QueueEntry<P>>, max_priority: Option<u8>) -> ClassicQueue<P> {
        let order = match max_priority {
            None => ReadyOrder::Arrival(Arrival { fresh: log.start(), returned: BTreeSet::new() }),
            Some(max) => ReadyOrder::Priority(Levels::new(max)),
        };
        ClassicQueue { log, order, ready: 0, ready_bytes: 0, expires: false }
    }

    /// How many messages could be delivered now.
    #[inline]
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// Size of their bodies.
    #[inline]
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// True where a message can expire.
    #[inline]
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// The log underneath.
    #[inline]
    pub fn log(&self) -> &Log<QueueEntry<P>> {
        &self.log
    }

    /// Adds a message at the tail and returns its position. It expires at `deadline`, if there is one.
    #[inline(always)]
    pub fn enqueue(&mut self, publication: Publication<P>, deadline: Option<Time>, now: Time) -> Offset {
        if self.log.active().len() >= SEGMENT_ENTRIES {
            self.log.roll(now);
        }
        self.ready += 1;
        self.ready_bytes += u64::from(publication.envelope.size);
        self.expires |= deadline.is_some();
        let deadline = deadline.unwrap_or(Time::MAX);
        if let ReadyOrder::Priority(levels) = &mut self.order {
            levels.add(levels.level(priority_of(&publication)), self.log.end());
        }
        self.log.append(QueueEntry { publication, deadline, redelivered: false, state: State::Ready }, now)
    }

    /// Takes the message at the head for delivery.
    #[inline]
    pub fn deliver(&mut self) -> Option<Offset> {
        self.deliver_entry().map(|(offset, _)| offset)
    }

    /// Takes the message at the head for delivery and shows it.
    #[inline]
    pub fn deliver_entry(&mut self) -> Option<(Offset, &QueueEntry<P>)> {
        if self.ready == 0 {
            return None;
        }
        self.ready -= 1;
        let from = match &mut self.order {
            ReadyOrder::Arrival(order) => match order.returned.is_empty() {
                true => {
                    // Settled ones stand between those that were never delivered after a recovery.
                    let fresh = ready_from(&self.log, order.fresh);
                    order.fresh = fresh.next();
                    fresh
                }
                false => order.returned.pop_first()?,
            },
            ReadyOrder::Priority(levels) => levels.take()?,
        };
        let entry = self.log.entry_mut(from).expect("a message that is ready is in the log");
        entry.state = State::Delivered;
        self.ready_bytes -= u64::from(entry.publication.envelope.size);
        Some((from, entry))
    }

    /// The position of the message that would be delivered next.
    pub fn head(&mut self) -> Option<Offset> {
        if self.ready == 0 {
            return None;
        }
        match &mut self.order {
            ReadyOrder::Arrival(order) => order.returned.first().copied().or_else(|| {
                order.fresh = ready_from(&self.log, order.fresh);
                Some(order.fresh)
            }),
            ReadyOrder::Priority(levels) => levels.head(),
        }
    }

    /// When the message at the head expires, if it does. Others may have expired long ago: they are still there
    /// until they are at the head.
    pub fn head_deadline(&mut self) -> Option<Time> {
        if !self.expires {
            return None;
        }
        let head = self.head()?;
        Some(self.entry_mut(head).deadline).filter(|deadline| *deadline < Time::MAX)
    }

    /// Deletes the message at the head and hands it over.
    pub fn drop_head(&mut self) -> Option<(Offset, Publication<P>)> {
        let (offset, entry) = self.deliver_entry()?;
        let publication = entry.publication.clone();
        self.settle(offset);
        Some((offset, publication))
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
        let Envelope { message, size, .. } = entry.publication.envelope;
        let priority = priority_of(&entry.publication);
        match &mut self.order {
            ReadyOrder::Arrival(order) => {
                order.returned.insert(offset);
            }
            ReadyOrder::Priority(levels) => levels.put_back(levels.level(priority), offset),
        }
        self.ready += 1;
        self.ready_bytes += u64::from(size);
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
        entry.publication.properties = None;
        let Envelope { message, size, .. } = entry.publication.envelope;
        if offset == self.log.start() {
            self.trim(offset.next());
        } else {
            self.log.release(offset);
        }
        (message, size)
    }

    /// Deletes everything that is ready, in the order in which it would have been delivered, and tells of each.
    pub fn purge(&mut self, mut gone: impl FnMut(Offset, &Publication<P>)) -> u64 {
        let count = self.ready;
        while let Some((offset, publication)) = self.drop_head() {
            gone(offset, &publication);
        }
        count
    }

    /// Moves the start of the log past settled messages. Those before `start` are settled all.
    #[inline(always)]
    fn trim(&mut self, mut start: Offset) {
        loop {
            match self.log.entry(start) {
                Some(entry) if entry.state == State::Settled => start = start.next(),
                None if start < self.log.end() => start = self.log.after_gap(start),
                _ => break,
            }
        }
        self.log.trim(start);
        if let ReadyOrder::Arrival(order) = &mut self.order {
            order.fresh = order.fresh.max(start);
        }
    }

    /// Every message that is not settled, in order of position.
    pub fn messages(&self) -> impl Iterator<Item = (Offset, &Publication<P>)> {
        let entries = self.log.entries_from(self.log.start());
        let kept = entries.filter(|(_, entry)| entry.state != State::Settled);
        kept.map(|(offset, entry)| (offset, &entry.publication))
    }

    /// The driver has made everything before this position durable.
    #[inline]
    pub fn mark_flushed(&mut self, until: Offset) {
        self.log.mark_flushed(until);
    }

    /// Every message that is not settled, in order of position, and what becomes of it when the node goes down now.
    pub fn at_crash(&self, kind: Crash) -> impl Iterator<Item = (Offset, &Publication<P>, AtCrash)> {
        let kept = self.log.kept_by(kind);
        let entries = self.log.entries_from(self.log.start());
        entries.filter(|(_, entry)| entry.state != State::Settled).map(move |(offset, entry)| {
            let becomes = match entry.state {
                _ if offset >= kept || is_transient(&entry.publication) => AtCrash::Lost,
                State::Delivered => AtCrash::Returned,
                State::Ready | State::Settled => AtCrash::Kept,
            };
            (offset, &entry.publication, becomes)
        })
    }

    /// What survives when the node goes down now.
    pub fn crash(self, kind: Crash) -> DurableQueue<P> {
        DurableQueue(self.log.crash(kind))
    }

    /// The queue of a node that comes back. Messages that were out for delivery are ready again at their old place,
    /// marked as redelivered; those that their publisher called transient are gone.
    pub fn recover(durable: DurableQueue<P>, max_priority: Option<u8>) -> ClassicQueue<P> {
        let mut queue = ClassicQueue::on(Log::recover(durable.0), max_priority);
        let (mut offset, end) = (queue.log.start(), queue.log.end());
        while offset < end {
            offset = queue.log.after_gap(offset);
            let Some(entry) = queue.log.entry_mut(offset) else { break };
            if is_transient(&entry.publication) {
                entry.state = State::Settled;
            }
            if entry.state == State::Delivered {
                entry.state = State::Ready;
                entry.redelivered = true;
            }
            if entry.state == State::Ready {
                queue.ready += 1;
                queue.ready_bytes += u64::from(entry.publication.envelope.size);
                queue.expires |= entry.deadline < Time::MAX;
                if let ReadyOrder::Priority(levels) = &mut queue.order {
                    levels.add(levels.level(priority_of(&entry.publication)), offset);
                }
            }
            offset = offset.next();
        }
        queue.trim(queue.log.start());
        queue
    }
}

/// The first ready position from here on; there is one.
#[inline]
fn ready_from<P>(log: &Log<QueueEntry<P>>, mut offset: Offset) -> Offset {
    loop {
        match log.entry(offset) {
            Some(entry) if entry.state == State::Ready => return offset,
            Some(_) => offset = offset.next(),
            None => offset = log.after_gap(offset),
        }
    }
}

#[inline]
fn priority_of<P>(publication: &Publication<P>) -> Option<u8> {
    publication.properties.as_ref().and_then(|properties| properties.priority)
}

fn is_transient<P>(publication: &Publication<P>) -> bool {
    publication.properties.as_ref().is_some_and(|properties| properties.transient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ExchangeId, RoutingKey};
    use crate::properties::Properties;
    use brokerlab_event::{ClientId, KeyId};
    use std::sync::Arc;

    fn queue(messages: u64) -> ClassicQueue<()> {
        let mut queue = ClassicQueue::new(None);
        for number in 0..messages {
            let envelope = Envelope {
                message: MessageId::new(number),
                key: KeyId::NONE,
                size: 1,
                timestamp: Time::ZERO,
                sender: ClientId::new(0),
                tombstone: false,
                payload: (),
            };
            let (exchange, routing_key) = (ExchangeId::DEFAULT, RoutingKey(0));
            queue.enqueue(Publication { envelope, exchange, routing_key, properties: None }, None, Time::ZERO);
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
        assert_eq!((queue.log().segment_count(), queue.log().bytes(), queue.ready()), (1, 0, 0));
    }

    #[test]
    fn an_old_message_does_not_keep_the_memory_of_those_that_came_and_went_behind_it() {
        let mut queue = queue(1);
        let old = queue.deliver().unwrap();
        for _ in 0..20_000 {
            let publication = queue.entry(old).unwrap().publication.clone();
            let offset = queue.enqueue(publication, None, Time::ZERO);
            assert_eq!(queue.deliver(), Some(offset));
            queue.settle(offset);
        }
        queue.mark_flushed(queue.log().end());
        assert!(queue.log().segment_count() <= 2, "{} segments", queue.log().segment_count());
        let mut recovered = ClassicQueue::recover(queue.clone().crash(Crash::Power), None);
        assert_eq!(
            (recovered.deliver(), recovered.deliver(), recovered.log().end()),
            (Some(old), None, queue.log().end())
        );
        queue.requeue(old);
        assert_eq!(queue.deliver(), Some(old));
        queue.settle(old);
        assert!(queue.log().is_empty());
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
        let mut recovered = ClassicQueue::recover(queue.crash(Crash::Power), None);
        assert_eq!(recovered.ready(), 2);
        assert_eq!(drain(&mut recovered), [(first.get(), true), (2, false)]);
    }

    fn with(number: u64, properties: Properties) -> Publication<()> {
        let envelope = Envelope {
            message: MessageId::new(number),
            key: KeyId::NONE,
            size: 10,
            timestamp: Time::ZERO,
            sender: ClientId::new(0),
            tombstone: false,
            payload: (),
        };
        let (exchange, routing_key) = (ExchangeId::DEFAULT, RoutingKey(0));
        Publication { envelope, exchange, routing_key, properties: Some(Arc::new(properties)) }
    }

    #[test]
    fn levels_are_served_from_the_top_and_survive_a_crash() {
        let mut queue = ClassicQueue::new(Some(3));
        for (number, priority) in [(0, Some(1)), (1, None), (2, Some(9)), (3, Some(3)), (4, Some(1))] {
            queue.enqueue(with(number, Properties { priority, ..Properties::default() }), None, Time::ZERO);
        }
        let first = queue.deliver().unwrap();
        assert_eq!((first.get(), queue.head().map(Offset::get), queue.ready_bytes()), (2, Some(3), 40));
        queue.requeue(first);
        queue.mark_flushed(Offset::new(5));
        let mut recovered = ClassicQueue::recover(queue.clone().crash(Crash::Power), Some(3));
        for queue in [&mut queue, &mut recovered] {
            assert_eq!(drain(queue).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 0, 4, 1]);
        }
    }

    #[test]
    fn only_the_head_is_asked_when_it_expires() {
        let mut queue = ClassicQueue::new(None);
        let at = Time::from_nanos;
        queue.enqueue(with(0, Properties::default()), Some(at(50)), Time::ZERO);
        queue.enqueue(with(1, Properties::default()), Some(at(10)), Time::ZERO);
        queue.enqueue(with(2, Properties::default()), None, Time::ZERO);
        assert_eq!(queue.head_deadline(), Some(at(50)));
        let out = queue.deliver().unwrap();
        assert_eq!(queue.head_deadline(), Some(at(10)));
        queue.requeue(out);
        assert_eq!(queue.head_deadline(), Some(at(50)), "it keeps its deadline");
        let gone: Vec<u64> = std::iter::from_fn(|| queue.drop_head()).map(|(offset, _)| offset.get()).collect();
        assert_eq!((gone, queue.head_deadline(), queue.log().len()), (vec![0, 1, 2], None, 0));
    }

    #[test]
    fn transient_messages_do_not_survive() {
        let mut queue = ClassicQueue::new(None);
        for number in 0..3 {
            let transient = number != 1;
            queue.enqueue(with(number, Properties { transient, ..Properties::default() }), None, Time::ZERO);
        }
        queue.mark_flushed(Offset::new(3));
        let mut recovered = ClassicQueue::recover(queue.crash(Crash::Power), None);
        assert_eq!((recovered.ready(), drain(&mut recovered)), (1, vec![(1, false)]));
    }
}
